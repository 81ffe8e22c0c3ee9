/*
 * Domain documents (sources, targets, modules, rules, defaults) and the snapshot: one immutable
 * revision of all of them, with rules compiled. Pure: decoding, checking, matching; no I/O. A
 * snapshot is read-only after config_load and may be shared by threads (the holder counts references).
 *
 * The document's JSON: {"defaults": {…}, "sources": {name: {…}}, "targets": {…}, "modules": {…},
 * "rules": {…}}; names are [0-9A-Za-z_-]{1,64}. Rules are tried in the document's order.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "rows/rows.h"
#include "rules/rules.h"

#ifdef __cplusplus
extern "C" {
#endif

enum config_completion { COMPLETION_QUIET, COMPLETION_RELEASE, COMPLETION_OPEN_ASSOCIATION };
enum config_syntaxes { SYNTAXES_ANY, SYNTAXES_UNCOMPRESSED };

struct config_source {
    const char *name, *label, *site;
    struct row_strings calling_aes, called_aes; /* globs with * and ?; empty = any */
    struct row_strings addresses;               /* IP or CIDR, v4 or v6; empty = any */
    struct row_strings certificates;            /* SHA-256 hex or subject name; empty = any */
    bool accept;                                /* default true; false refuses what matches */
    const char *charset;                        /* for datasets without (0008,0005) */
    int completion;                             /* default quiet */
    int64_t quiet_seconds;                      /* 0 = defaults.quietSeconds */
    int64_t grace_seconds;                      /* -1 = defaults.graceSeconds */
    int syntaxes;                               /* default any */
};

enum config_target_type {
    TARGET_DICOM,
    TARGET_FOLDER,
    TARGET_DUMMY,
    TARGET_FAIL,
    TARGET_DICOMTLS,
};
enum config_unaccepted { UNACCEPTED_FAIL, UNACCEPTED_SKIP };

struct config_dicom_target {
    const char *host; /* "sender": back to the peer that sent the series */
    int64_t port;
    const char *called_ae, *calling_ae; /* mercure: aet_target, aet_source */
    bool pass_sender_ae, pass_receiver_ae; /* use the instance's own calling / called AE */
    int64_t timeout_seconds;               /* for one answer; default 60 */
    int64_t window;                        /* asynchronous operations asked for; default 1 */
    /* dicomtls only: PEM files on the dispatcher's machine */
    const char *ca;               /* who signs the target's certificate */
    const char *certificate, *key; /* ours; both or none */
    const char *certificate_name; /* that the target's must carry; NULL: host */
};
struct config_folder_target {
    const char *path;           /* absolute */
    struct row_strings exclude; /* globs of file names */
};
struct config_target {
    const char *name;
    int type;
    struct config_dicom_target *dicom;   /* the one that type names is required */
    struct config_dicom_target *dicomtls;
    struct config_folder_target *folder;
    int64_t attempts;                    /* default 5 */
    int64_t retry_seconds;               /* default 900 */
    int64_t associations;                /* at once; default 1 */
    int unaccepted;                      /* default fail */
    bool paused;
    const char *pause_reason, *contact, *comment;
};

struct config_module {
    const char *name, *image, *contact, *comment;
    struct slice settings; /* raw JSON object */
    struct row_pairs environment;
};

enum config_action { ACTION_ROUTE, ACTION_PROCESS, ACTION_BOTH, ACTION_DISCARD, ACTION_NOTIFICATION };
enum config_trigger { TRIGGER_SERIES, TRIGGER_STUDY };
enum config_late { LATE_HOLD, LATE_AGAIN, LATE_IGNORE };

struct config_rule {
    const char *name;
    const char *rule; /* the expression */
    bool disabled, fallback;
    int action, trigger, priority /* enum event_priority */, late;
    struct row_strings targets, modules;
    struct row_list settings;  /* per step, raw JSON: of struct config_step_settings */
    int64_t keep_seconds;      /* retention; 0 = defaults.keepSeconds */
    const char *contact, *comment;
    struct rule_program *program; /* compiled by config_load; not a row */
};
struct config_step_settings {
    struct slice settings;
};

struct config_defaults {
    int64_t quiet_seconds;    /* 60 */
    int64_t grace_seconds;    /* 2, for completion release */
    int64_t lost_seconds;     /* 180, for completion open-association */
    int64_t cap_seconds;      /* 86400 */
    int64_t cap_instances;    /* 50000 */
    int64_t keep_seconds;     /* 259200 */
    struct row_strings extra_tags; /* keyword, gggg,eeee or path; in every record and usable in rules */
    const char *off_peak_start, *off_peak_end; /* HH:MM, 22:00 and 06:00 */
};

struct config_snapshot {
    char revision[64]; /* "<number>-<12 hex>", or "" for the built-in empty one */
    struct config_defaults defaults;
    struct row_list sources, targets, modules, rules; /* of the structs above, in order */
    struct arena *arena;
};

extern const struct row_table config_document_table; /* the whole document */
extern const struct row_table config_source_table, config_target_table, config_module_table,
    config_rule_table, config_defaults_table;

/* Decodes and checks a whole document: names, references (rules → targets, modules), AE titles,
 * hosts, globs, CIDRs, expressions. Errors (with pointers) go to errors[0..max). Returns the number of errors;
 * 0: *out is a new snapshot (config_free). */
size_t config_load(struct config_snapshot **out, const char *text, size_t n, const char *revision,
                   struct arena *scratch, struct rows_error *errors, size_t max);
void config_free(struct config_snapshot *s);
/* The built-in configuration: accepts any sender, no rules. Never NULL. */
struct config_snapshot *config_empty(void);

const struct config_target *config_target(const struct config_snapshot *s, const char *name);
const struct config_rule *config_rule(const struct config_snapshot *s, const char *name);
const struct config_source *config_source(const struct config_snapshot *s, const char *name);
/* Of a source, as struct ingest_rules wants it; NULL: none. */
const char *config_charset(const void *snapshot, const char *source);

struct config_sender {
    const char *calling_ae, *called_ae, *address, *certificate_sha256, *certificate_name;
};
/* The first source that matches, in order; without any source document: the built-in "any". NULL:
 * no source matches (refuse). *why (may be NULL): which part did not match, when NULL. */
enum config_mismatch { MISMATCH_NONE, MISMATCH_ADDRESS, MISMATCH_CALLING, MISMATCH_CALLED, MISMATCH_REFUSED };
const struct config_source *config_match_source(const struct config_snapshot *s,
                                                const struct config_sender *sender,
                                                enum config_mismatch *why);
/* Where a rule finds the tags of a record or a request; borrows tags. */
struct rule_tags config_rule_tags(struct row_pairs *tags);

/* Minute of the day (0…1439) of HH:MM; -1 if it is none. */
int config_minute(const char *hh_mm);
/* Is minute within [start, end], both inclusive, perhaps over midnight? (mercure: the same.) */
bool config_in_hours(const char *start, const char *end, int minute);
/* Is it off-peak at this time, by the process's time zone (TZ)? */
bool config_off_peak(const struct config_defaults *d, int64_t unix_ms);

/* Glob with * and ?, whole string; case-sensitive. At most length × length steps. */
bool config_glob(const char *pattern, const char *text);

#ifdef __cplusplus
}
#endif
#endif
