/*
 * decide: is this series whole, and what happens to it? The pure core of one partition: folded over
 * instance[p] (input) and decision[p] (journal), it appends manifests and one series.decided per
 * window to its outputs. No clock, no I/O; time is the timestamps of the records. One thread.
 *
 * Life cycle: decide_new, decide_journal for the fold up to the own claim, then decide_record for
 * the input from the floor on, with decide_journal for what is read back and decide_tick between.
 */
#ifndef ROUTER_DECIDE_H
#define ROUTER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "config/config.h"
#include "event/event.h"
#include "event/outputs.h"

/* A record that comes so long after the one before it found the log closed, or nobody at work: every
 * timer that is due by then, or soon, starts anew (docs/decisions/0004-an-open-log.md). So that a log which
 * is open shows it, the owner appends a tick after each second of silence while a timer is soon due. */
#define DECIDE_GAP_MS   4000
#define DECIDE_PULSE_MS 1000
#define DECIDE_SOON_MS  15000 /* the receivers' outbox needs a while to come after an outage */
/* A quiet time that counts from a point so far in the future starts anew: the log's clock was set back. */
#define DECIDE_SET_BACK_MS 10000

struct decide;

/* What a receipt of an earlier manifest is told to. */
typedef void (*decide_receipt_fn)(void *to, const char *receipt);

struct decide_setup {
    const char *site, *owner;
    int32_t partition;
    int64_t claim; /* the own one; header of every choice */
    /* Tells every receipt (members, duplicates, superseded) of a manifest of this series. -1: it
     * could not be read now, the record is tried again. Called only before a later window closes.
     */
    int (*known_receipts)(void *arg, const char *manifest_key, decide_receipt_fn fn, void *to,
                          struct err *e);
    /* For replay and reroute. 0: *out is the text, in a; 1: it is gone for good; -1: not now, the
     * record is tried again. */
    int (*decision)(void *arg, int64_t offset, struct slice *out, struct arena *a, struct err *e);
    int (*manifest)(void *arg, const char *key, struct slice *out, struct arena *a, struct err *e);
    /* The configuration of an earlier revision, valid until the record is done. Results as above. */
    int (*configuration)(void *arg, const char *revision, const struct config_snapshot **out,
                         struct err *e);
    void *arg;
};

struct decide *decide_new(const struct decide_setup *setup);
void decide_free(struct decide *d); /* NULL is fine */

struct decide_entry { /* a record of the journal */
    int64_t offset;
    enum event_type type;
    bool is_void;
    struct slice value;
};
/* While folding and for what is read back afterwards, ours and others'. Void choices, claims and
 * undecodable records change nothing. */
void decide_journal(struct decide *d, const struct decide_entry *j, struct arena *a);

struct decide_input {          /* a record of instance[p] */
    int64_t offset, timestamp; /* log time, ms */
    enum event_type type;
    struct slice study, series; /* headers; p = NULL if absent */
    struct slice value;
};
enum decide_verdict {
    DECIDE_DONE,
    DECIDE_RETRY,  /* nothing was changed; the same record again, later */
    DECIDE_REJECT, /* nothing was changed; the record can never be understood */
};
/* config is used during the call only. */
enum decide_verdict decide_record(struct decide *d, const struct config_snapshot *config,
                                  const struct decide_input *in, struct arena *a,
                                  struct outputs *out, struct err *e);

/* An instance that is not worked, because it killed its worker again and again: its series says so. */
void decide_leave_out(struct decide *d, const struct decide_input *in);

/* The highest offset that a valid decision names, and the receipt there; NULL: none. */
const char *decide_named(const struct decide *d, int64_t *offset);

/* Appends a tick to instance[p] when, by log_now, a timer should be due and no record has shown it, or
 * when one is soon due and nothing has shown that the log is open. */
void decide_tick(struct decide *d, int64_t log_now, bool caught_up, struct outputs *out);

/* The oldest offset still needed: the first of every window whose decision was not read back valid.
 */
int64_t decide_floor(const struct decide *d, int64_t position);

struct decide_stats { /* counters since decide_new, for metrics and tests */
    uint64_t stored, skipped,
        repeated;                    /* instance records: taken, covered, the same receipt again */
    uint64_t closed[REASON_CAP + 1]; /* by enum event_reason */
    uint64_t dropped;                /* windows whose receipts all stood in earlier manifests */
    uint64_t restarted;              /* timers that started anew */
    uint64_t ticks, rule_errors, answered;
    uint64_t discarded, held, tasks, deliveries;
    uint64_t replayed, rerouted; /* decisions by command */
    size_t open, closing; /* windows now */
    int64_t next_due;     /* earliest timer (a lower bound); INT64_MAX: none */
};
struct decide_stats decide_stats(const struct decide *d);

/* Tells the receipts of a manifest's JSON; for the shell and the simulator. */
int decide_manifest_receipts(const char *text, size_t n, decide_receipt_fn fn, void *to,
                             struct err *e) MUST_CHECK;

#endif
