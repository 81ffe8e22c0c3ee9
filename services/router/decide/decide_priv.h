/* Private to decide: the windows of a partition, what is covered, and the steps of a closing. */
#ifndef ROUTER_DECIDE_PRIV_H
#define ROUTER_DECIDE_PRIV_H

#include "decide.h"

#include "base/map.h"
#include "base/vec.h"
#include "event/ids.h"
#include "event/manifest.h"

struct receipt { /* one instance.stored in a window */
    UT_hash_handle hh;
    const char *receipt, *key, *sha256, *sop, *sop_class, *syntax, *calling_ae, *called_ae;
    const char *received_at;
    int64_t size, offset;
    bool again; /* announced again by the reconciler or after a lost tail: its offset says little */
    bool known; /* stands in an earlier manifest of the series */
};

struct carrier { /* an association that carried receipts of a window */
    const char *id;
    int64_t n; /* distinct receipts in this window */
    int64_t answered, seen;
    int completion; /* enum config_completion of its source */
    bool ended, released;
};

struct window {
    UT_hash_handle hh; /* in decide.open by key, or in decide.closing by decision */
    char *key;         /* study NUL series */
    size_t key_n;
    const char *study, *series;
    struct arena *arena; /* all text of the window */

    int64_t first, last; /* offsets */
    const char *last_receipt;
    int64_t opened, newest;   /* log time of the first and the newest receipt */
    struct receipt *receipts; /* by id, in log order */
    VEC(struct carrier) carriers;

    /* of the lowest offset */
    struct row_pairs tags;
    bool *differs;           /* per tag */
    VEC(const char *) extra; /* names that only later instances have */
    struct event_source source;
    const char *calling_ae, *called_ae, *peer, *forced_rule;

    /* timers, log time */
    int64_t base; /* the quiet time counts from here */
    int64_t quiet_ms, grace_ms, lost_ms, cap_ms, cap_at, cap_n;
    int64_t evidence_at; /* the associations prove it whole since then; -1: they do not */
    int64_t not_before;  /* the end of an open association */
    int64_t due;
    int reason; /* what closes it at due */
    bool full;
    size_t checked; /* manifests of the coverage whose receipts are marked */

    char decision[HASH_ID_HEX]; /* closing */
    char *manifest_key;
    VEC(char *) processed; /* names of the rules that asked for a task */
};

struct coverage { /* what the journal says of a series */
    UT_hash_handle hh;
    char *key;
    int64_t last; /* highest covered offset */
    int64_t n;    /* valid window decisions */
    VEC(char *) manifests;
    VEC(char *) processed; /* rules that asked for a task */
};

struct past { /* a valid decision, by window or by command */
    UT_hash_handle hh;
    char decision[HASH_ID_HEX];
    char *study;
    int64_t offset; /* in the journal */
    int64_t closed; /* log time of the input; -1: unknown */
    bool window;
};

struct asked { /* a decision by command, or command.decided, that was not read back yet */
    char decision[HASH_ID_HEX];
    int64_t at; /* offset of the command */
};

struct commanded { /* a command that stands in a valid decision, or is concluded */
    UT_hash_handle hh;
    char *command;
    bool concluded; /* by command.decided: nothing follows from it any more */
};

struct closer { /* a window to close before a record is applied */
    struct window *w;
    int reason;
};

struct left_out { /* an instance that is not worked */
    char *key, *receipt;
    size_t key_n;
};

struct decide {
    struct decide_setup setup;
    char *site, *owner;
    struct window *open, *closing;
    struct coverage *coverage;
    struct commanded *commanded;
    struct past *past; /* by decision, in log order */
    VEC(struct asked) asked;
    VEC(struct left_out) left_out;
    int64_t named; /* highest last of a valid decision; -1 */
    char *named_receipt;
    int64_t next_due; /* lower bound of all timers */
    int64_t seen;     /* log time of the newest record; INT64_MAX: none yet */
    int64_t latest;   /* upper bound of where quiet times count from */
    bool tick_in_flight;
    struct decide_stats stats;
    VEC(struct closer) closers;
    struct str key; /* scratch for look-ups */
    struct arena *scratch;
};

/* ---- window.c ---- */
struct slice decide_trim(struct slice uid);
/* study NUL series in d->key. */
void decide_key(struct decide *d, struct slice study, struct slice series);
struct window *window_find(struct decide *d);
/* A new open window for the key in d->key. */
struct window *window_open(struct decide *d, const struct config_snapshot *config,
                           const struct decide_input *in, const struct event_instance_stored *s);
void window_add(struct decide *d, struct window *w, const struct config_snapshot *config,
                const struct decide_input *in, const struct event_instance_stored *s);
void window_free(struct window *w);
/* Association records. */
void window_ended(struct decide *d, const struct event_association_ended *ended, int64_t at);
void window_alive(struct decide *d, const struct event_association_alive *alive, int64_t at);
/* Computes due and reason from the state. */
void window_schedule(struct decide *d, struct window *w);
/* A timer found nobody at work: starts anew. */
void window_restart(struct decide *d, struct window *w, int64_t at);
/* The log's clock was set back to at: nothing of the window may lie in the future. */
void window_set_back(struct decide *d, struct window *w, int64_t at);

/* ---- tags.c ---- */
void tags_take(struct window *w, const struct row_pairs *tags);
void tags_compare(struct window *w, const struct row_pairs *tags);
/* Names of tags with different values, sorted as in the tags. */
struct row_strings tags_conflicting(const struct window *w, struct arena *a);
/* The tags of a decision as rules see them: with SenderAddress, SenderAET and ReceiverAET. */
struct row_pairs tags_for_rules(const struct event_series_decided *s, struct arena *a);

/* ---- coverage.c ---- */
struct coverage *coverage_find(struct decide *d);
void coverage_take(struct decide *d, const struct event_series_decided *s, int64_t offset);
struct past *coverage_past(const struct decide *d, const char *decision);
/* Valid decisions and those not yet read back, of the window's series. */
int64_t coverage_additions(const struct decide *d, const struct window *w);
bool coverage_processed(const struct decide *d, const struct window *w, const char *rule);
/* Manifest keys of the earlier windows, in order. */
struct row_strings coverage_manifests(const struct decide *d, const struct window *w,
                                      struct arena *a);
/* Marks the receipts of w that stand in earlier manifests. */
int coverage_mark(struct decide *d, struct window *w, struct err *e);
/* The command stands in a valid decision, or is concluded. */
bool coverage_acted(const struct decide *d, const char *command);
bool coverage_concluded(const struct decide *d, const char *command);
void coverage_conclude(struct decide *d, const char *command);
void coverage_free(struct decide *d);

/* ---- left_out.c ---- */
/* Receipts of the window's series that were left out and stand in no decision yet. */
struct row_strings left_out_of(const struct decide *d, const struct window *w, struct arena *a);
void left_out_told(struct decide *d, const struct window *w); /* a decision says them */
void left_out_free(struct decide *d);

/* ---- members.c ---- */
struct members {
    struct row_list members, duplicate, superseded;
    int64_t n, bytes;           /* receipts (all three lists) and their sizes */
    const struct receipt *head; /* lowest offset among them */
};
void members_build(struct members *m, const struct window *w, struct arena *a);

/* ---- fanout.c ---- */
struct fanout_input {
    const struct config_snapshot *config;
    const struct event_series_decided *decided; /* all but what follows from the rules */
    struct row_pairs tags;
    const char *forced_rule, *site;
    struct row_strings only; /* not empty: no other rule is evaluated */
    int64_t members;
    bool late; /* addition > 1 */
    bool (*processed)(const void *arg, const char *rule);
    const void *arg;
};
struct fanout {
    struct row_pairs fired, failed;
    const char *discarded_by;
    struct row_list held, tasks, deliveries;
    bool *whole; /* per task: over the union of the series' manifests */
    int64_t keep;
};
void fanout_evaluate(struct fanout *f, const struct fanout_input *in, struct arena *a);
/* Deliveries to these targets, whatever the rules say. */
void fanout_reroute(struct fanout *f, const struct fanout_input *in,
                    const struct row_strings *targets, struct arena *a);
/* Was it a task that this rule asked for? (value of a pair in fired) */
bool fanout_is_task(const char *done);

/* ---- close.c ---- */
/* What follows goes into the decision. */
void close_follow(struct event_series_decided *s, const struct fanout *f);
/* Encodes m as an object of the series of w; its key and digest go to *ref (in the scratch arena). */
void close_manifest(const struct decide *d, const struct window *w, const struct manifest *m,
                    const char *id, struct event_manifest_ref *ref, struct str *bytes);
/* The manifests over the whole series of w, of the tasks that want it. own: the manifest of a window
 * that is not covered yet, or NULL. */
void close_unions(struct decide *d, const struct window *w, struct event_series_decided *s,
                  const bool *whole, const char *own, struct outputs *out);
/* The record, kept below EVENT_MAX, and what it says of rules that failed. */
int close_write(struct decide *d, struct event_series_decided *s, struct outputs *out,
                struct err *e);
/* Decides w: manifest, rules, record. w is closing afterwards, or freed if nothing is left. */
int close_window(struct decide *d, struct window *w, int reason, const char *command, int64_t at,
                 const struct config_snapshot *config, struct outputs *out, struct err *e);

/* ---- replay.c ---- */
struct replay; /* what a command.replay or command.reroute needs, read and checked */
/* -1: something cannot be read now. NULL at *out: it has no id, nothing is done. */
int replay_prepare(struct replay **out, struct decide *d, const struct config_snapshot *config,
                   const struct decide_input *in, const struct event_command *c, struct err *e);
/* Decides, and concludes the command. */
void replay_do(struct decide *d, struct replay *r, struct outputs *out);
void replay_free(struct replay *r); /* NULL is fine */
/* A decision was read back. */
void replay_read_back(struct decide *d, const char *decision);

#endif
