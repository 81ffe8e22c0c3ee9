/*
 * The records of formats.md as C structs, and their codec (CloudEvents 1.0, structured JSON).
 * A struct event is the envelope plus one body; which body is said by type. JSON member names are
 * the C names in camelCase; "data" holds the body.
 *
 * Decoded records live in the arena given to event_decode and point nowhere else. Pure; any thread.
 */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "rows/rows.h"

#ifdef __cplusplus
extern "C" {
#endif

enum event_type {
    EVENT_UNKNOWN = 0, /* a type this version does not know: ignored by consumers */
    /* instance */
    EVENT_INSTANCE_STORED,
    EVENT_ASSOCIATION_ENDED,
    EVENT_ASSOCIATION_ALIVE,
    EVENT_TICK,
    EVENT_PADDING,
    EVENT_COMMAND_COMPLETE,
    EVENT_COMMAND_REROUTE,
    EVENT_COMMAND_REPLAY,
    /* every journal */
    EVENT_CLAIM,
    /* decision */
    EVENT_SERIES_DECIDED,
    EVENT_STUDY_DECIDED,
    /* task */
    EVENT_TASK_REQUESTED,
    EVENT_TASK_STARTED,
    EVENT_TASK_HEARTBEAT,
    EVENT_TASK_ATTEMPTED,
    EVENT_TASK_FINISHED,
    /* delivery */
    EVENT_DELIVERY_REQUESTED,
    EVENT_DELIVERY_PROGRESS,
    EVENT_DELIVERY_ATTEMPTED,
    EVENT_DELIVERY_FINISHED,
    EVENT_COMMAND_CANCEL,
    EVENT_COMMAND_RETRY,
    /* config */
    EVENT_CONFIG_CURRENT,
    /* dlq */
    EVENT_RECORD_REJECTED,
    /* event */
    EVENT_SERVICE_STARTED,
    EVENT_SERVICE_STOPPED,
    EVENT_CONFIG_PUBLISHED,
    EVENT_TARGET_TESTED,
    EVENT_OBJECT_CONDEMNED,
    EVENT_OBJECT_DELETED,
    EVENT_HOLD_SET,
    EVENT_HOLD_RELEASED,
    EVENT_DISMISSED,
    EVENT_COMMAND_ANSWERED,
    EVENT_COMMAND_DECIDED,
    EVENT_RULE_FAILED,
    EVENT_ALARM_RAISED,
    EVENT_ALARM_CLEARED,
    EVENT_TYPES
};

/* "instance.stored" ⇄ EVENT_INSTANCE_STORED; the header ce_type is "talaria.instance.stored.v1". */
const char *event_type_name(enum event_type t);
enum event_type event_type_of_header(struct slice ce_type);
/* A choice counts only under the newest claim of its partition (formats.md). */
bool event_is_choice(enum event_type t);

struct event_source { /* who sent it, by the sources table */
    const char *name, *label, *site;
};

/* A pair of counts or texts by name uses struct row_pairs; numbers there are decimal text. */

struct event_instance_stored {
    const char *receipt, *key, *sha256;
    int64_t size; /* bytes of the whole Part 10 object */
    const char *study, *series, *sop, *sop_class, *syntax;
    const char *association;
    struct event_source source;
    const char *calling_ae, *called_ae, *peer;
    const char *received_at;
    const char *forced_rule;
    struct row_strings flags; /* again, reconciled, uid-differs, tags-cut, … */
    struct row_pairs tags;    /* keyword → UTF-8 value; multi-values joined by '\' */
};

struct event_series_count {
    const char *series;
    int64_t answered;
};
struct event_association_ended {
    const char *association;
    struct event_source source;
    int outcome; /* enum event_association_outcome */
    const char *study;
    struct row_list series; /* of struct event_series_count */
};
enum event_association_outcome { ASSOCIATION_RELEASED, ASSOCIATION_ABORTED, ASSOCIATION_LOST };

struct event_association_alive {
    const char *association;
    struct event_source source;
    struct row_strings studies;
};

struct event_claim { /* also tick and padding */
    const char *owner;
    int64_t generation;
};

struct event_command { /* complete, reroute, replay, cancel, retry */
    const char *command, *user, *reason;
    const char *study, *series;
    struct row_strings decisions, targets, rules;
    const char *configuration; /* current | original */
    bool dry_run;
    const char *task, *delivery;
};

struct event_manifest_ref {
    const char *key, *sha256;
};

enum event_priority { PRIORITY_NORMAL, PRIORITY_URGENT, PRIORITY_OFFPEAK };

struct event_delivery_requested {
    const char *delivery, *parent;
    const char *decision, *task; /* exactly one */
    const char *target, *revision;
    const char *study, *series, *patient_hash;
    struct event_source source;
    const char *calling_ae, *called_ae, *peer; /* of the first member: target "sender", pass-through */
    struct event_manifest_ref manifest;
    int64_t members;
    const char *command; /* of the restart or resend; NULL: a decision or result asks for it */
    const char *positions; /* only these members of the manifest (positions.h); NULL: all */
    struct row_strings rules;
    int priority;
    const char *not_before, *not_after;
};

struct event_step {
    const char *module;
    struct slice settings; /* raw JSON object */
};
struct event_task_requested {
    const char *task, *parent, *decision, *rule, *revision;
    const char *study, *series;
    struct event_manifest_ref manifest;
    struct row_list steps; /* of struct event_step */
    const char *persistence;
    int priority;
    const char *not_before, *not_after;
};

struct event_window {
    int64_t first, last; /* offsets in instance[p] */
    const char *last_receipt;
    int64_t n, bytes;
};
struct event_held {
    const char *rule, *why;
};
enum event_reason { REASON_QUIET, REASON_RELEASED, REASON_COMMAND, REASON_CAP };

struct event_series_decided {
    const char *decision;
    const char *study, *series;
    struct event_window *window; /* NULL: by replay or reroute */
    const char *command;
    struct row_strings of; /* decisions replayed */
    int reason;
    const char *opened_at, *closed_at;
    double waited; /* seconds from the last instance to the decision, log time */
    struct event_manifest_ref manifest;
    struct row_pairs tags;
    struct row_strings conflicting; /* tags with different values in the series */
    struct event_source source;
    const char *calling_ae, *called_ae, *peer;
    const char *forced_rule; /* the sender's: it alone is evaluated, unless a command names rules */
    int64_t addition; /* 1 = first window of this series */
    const char *revision;
    int64_t keep; /* seconds */
    struct row_pairs fired, failed; /* rule → what was done / error */
    const char *discarded_by;       /* a rule's name, or "unmatched" */
    struct row_list held;           /* of struct event_held */
    struct row_strings left_out;
    struct row_strings joined; /* study groups: rule names */
    struct row_list tasks;      /* of struct event_task_requested */
    struct row_list deliveries; /* of struct event_delivery_requested */
};

enum event_study_reason {
    STUDY_TIMEOUT,
    STUDY_REQUIRED,
    STUDY_COMMAND,
    STUDY_FORCED_DISCARD,
    STUDY_FORCED_PROCEED,
    STUDY_EXPIRED,
};
struct event_study_decided {
    const char *decision;
    const char *study, *rule;
    const char *first_member; /* its decision */
    int64_t up_to;            /* highest decision offset covered */
    int reason;               /* enum event_study_reason */
    const char *closed_at;
    struct event_manifest_ref manifest;
    struct row_pairs tags; /* of the first member */
    struct event_source source;
    const char *calling_ae, *called_ae, *peer;
    const char *revision;
    int64_t keep; /* seconds */
    const char *discarded_by;
    struct row_list held;       /* of struct event_held */
    struct row_list tasks;      /* of struct event_task_requested */
    struct row_list deliveries; /* of struct event_delivery_requested */
};

struct event_task_started { /* started, heartbeat */
    const char *task;
    int64_t attempt;
    const char *owner;
};
struct event_task_attempted {
    const char *task;
    int64_t attempt;
    const char *owner;
    int outcome; /* enum event_outcome */
    const char *reason;
    struct row_pairs exit_codes; /* step → code */
    struct event_manifest_ref *result;
    struct row_pairs usage; /* "cpuSeconds", "memoryBytes" … → number */
    const char *log_key;
};
struct event_task_finished {
    const char *task;
    int64_t attempt;
    int outcome; /* enum event_outcome */
    const char *reason;
    struct event_manifest_ref *result;
    int64_t keep;
    struct row_list deliveries;
};

/* How a member of a delivery stands (formats.md "Ledger states"). */
enum event_member_state {
    MEMBER_OPEN,
    MEMBER_DELIVERED,
    MEMBER_REPEATED,
    MEMBER_NOT_ACCEPTED,
    MEMBER_FAILED,
    MEMBER_CANCELLED,
};
struct event_member_outcome {
    int64_t position; /* in the manifest, from 0 */
    int state;
    int64_t status;     /* DICOM status, HTTP status, errno; 0 = success */
    const char *reason; /* why, for people, when not plainly delivered */
    const char *time;
};
struct event_delivery_progress {
    const char *delivery;
    int64_t attempt;
    struct row_list outcomes; /* ≤ 500 of struct event_member_outcome */
};
struct event_delivery_attempted {
    const char *delivery;
    int64_t attempt;
    const char *owner;
    int64_t open; /* members left */
    const char *reason;
    const char *next_due; /* RFC 3339; absent: none */
    bool refused;         /* the target does not want us, for good: somebody has to look */
};
enum event_outcome { OUTCOME_DELIVERED, OUTCOME_FAILED, OUTCOME_CANCELLED, OUTCOME_EXPIRED, OUTCOME_SUCCEEDED };
struct event_delivery_finished {
    const char *delivery;
    int outcome;
    const char *reason;
    int64_t delivered, repeated, not_accepted, failed, cancelled;
};

struct event_config_current { /* also config.published, with by/why */
    const char *revision, *key, *sha256;
    const char *by, *why;
};

struct event_record_rejected {
    const char *topic;
    int64_t partition, offset;
    const char *stage;
    int64_t claim;
    const char *error;
    int64_t attempts;
    struct row_pairs headers;
    const char *record_key;
    const char *record_base64;
};

struct event_note { /* every other record of the event topic */
    const char *kind, *name, *by, *why, *until;
    const char *command, *outcome, *text;
    struct row_strings receipts;
    const char *study;
};

struct event {
    enum event_type type;
    const char *id, *source, *subject, *time, *traceparent;
    union {
        struct event_instance_stored stored;
        struct event_association_ended ended;
        struct event_association_alive alive;
        struct event_claim claim;
        struct event_command command;
        struct event_series_decided decided;
        struct event_study_decided study_decided;
        struct event_task_requested task_requested;
        struct event_task_started task_started;
        struct event_task_attempted task_attempted;
        struct event_task_finished task_finished;
        struct event_delivery_requested requested;
        struct event_delivery_progress progress;
        struct event_delivery_attempted attempted;
        struct event_delivery_finished finished;
        struct event_config_current config;
        struct event_record_rejected rejected;
        struct event_note note;
    };
};

#define EVENT_MAX          (64 * 1024)
#define EVENT_MAX_REJECTED (128 * 1024) /* of record.rejected, which holds a whole record */

/* The row table of a type's body (schemas, references, nested requests); NULL if unknown. */
const struct row_table *event_table(enum event_type t);

/* Appends the record's JSON. source and time must be set; id and subject may be NULL where the body
 * gives them (docs/formats.md). Too large, or without what a reader insists on, is ERR_REJECT and
 * nothing is appended. */
int event_encode(struct str *out, const struct event *ev, struct err *e) MUST_CHECK;
int event_decode(struct event *out, const char *text, size_t n, struct arena *a,
                 struct err *e) MUST_CHECK;

/* The id and the subject that the body gives, into buf if they are composed; NULL: none. */
#define EVENT_ID 192
const char *event_id(char buf[EVENT_ID], const struct event *ev);
const char *event_subject(const struct event *ev);

/* The Kafka headers of a record, all computed from the record (plus the claim of a choice, -1 =
 * none). Values are valid as long as *ev and out itself; returns how many. */
struct event_header {
    const char *name, *value;
    char text[48]; /* room for a computed value: do not move the struct */
};
#define EVENT_HEADERS 8
size_t event_headers(struct event_header out[EVENT_HEADERS], const struct event *ev, int64_t claim);

#ifdef __cplusplus
}
#endif
#endif
