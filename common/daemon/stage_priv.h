/* What the files of a stage's runner share: stage.c (thread, loop), slot.c (floors, metadata,
 * closing), journal.c (claim, fold, read-back), poison.c (careful mode), tail.c (lost tails),
 * batch.c. All of it belongs to the stage's thread. */
#ifndef DAEMON_STAGE_PRIV_H
#define DAEMON_STAGE_PRIV_H

#include "base/vec.h"
#include "daemon/careful.h"
#include "daemon/daemon_priv.h"
#include "event/claims.h"

#define STAGE_INPUTS    8
#define STAGE_TURN      500 /* records handled before outputs are written */
#define STAGE_OUTPUTS   500 /* or as many output records */
#define STAGE_ARENA     (64 << 20)
#define STAGE_TICK_MS   50
#define STAGE_COMMIT_MS 1000
#define STAGE_PAUSE_MIN 200
#define STAGE_PAUSE_MAX 30000
#define STAGE_LOST_MS   2000 /* pause before a partition with a lost tail is looked at again */

/* One input of one partition. */
struct input {
    int64_t committed;   /* the floor that Kafka has */
    int64_t read;        /* next record to handle */
    int64_t position;    /* all before it are handled and their outputs acknowledged */
    struct claims claims;        /* of the records before read */
    struct claims settled, floor; /* the same at position, and at the committed floor if known */
    int64_t last;        /* the record before read, with its mark; -1 */
    uint64_t mark;
    int64_t until, from;   /* the place of crashes is passed there; the floor at the opening */
    struct careful careful; /* as it is to be committed, but for claim */
    char *text;             /* committed metadata; NULL: none */
};

/* A record that its handler wants again; a copy. */
struct again {
    size_t input;
    struct kafka_record record;
    int64_t due, pause;
    bool dropped; /* records after it were read and thrown away: seek when it is done */
    char data[];
};

struct slot {
    int32_t partition;
    void *state; /* NULL: closed */
    int64_t claim, claimed_at;
    struct claims claims; /* of the own journal, as far as it was read */
    bool folded;
    int64_t floor_time; /* log time of the record at the floor, while opening; -1 unknown */
    struct input in[STAGE_INPUTS];
    char why[DAEMON_WHY]; /* it stays closed until `talaria recover`; "": it does not */
    int64_t log_ts, log_mono;
    int64_t told[STAGE_INPUTS + 1]; /* by the newest record of each input, and of the journal */
    int64_t moved;            /* monotonic: when the floor moved, or nothing was behind it */
    int64_t reopen_at, pause; /* while closed; reopen_at 0: not before the group says so */
    struct again *again;
};

/* One partition of a batch stage. */
struct place {
    struct stage_place at;
    int64_t committed;    /* what the stage has, as Kafka is to know it; -1 */
    bool alarm;           /* it is known that it stays closed */
    int64_t end;          /* of the log, when the place was looked at */
    bool mended;          /* padding stands where a record is missed */
    char why[DAEMON_WHY]; /* it stays closed until `talaria recover`; "": it does not */
};

struct pending_record;

struct runner {
    struct daemon *daemon;
    const struct stage *stage;
    pthread_t thread;
    struct beat *beat;
    struct readiness ready;
    volatile int stop;
    struct kafka_consumer *consumer;
    struct kafka_reader *reader;
    int wake;          /* eventfd */
    bool tick_at_once; /* atomic */
    char inputs[STAGE_INPUTS][TOPIC_NAME];
    const char *topics[STAGE_INPUTS];
    size_t n_inputs;
    char journal[TOPIC_NAME]; /* "" = none */
    bool same;                /* the journal is the input */
    VEC(struct slot *) slots;
    struct arena *arena;
    bool rejoin; /* the group has fenced this handle */
    int rejoins;
    int64_t rejoins_since;
    struct outputs out;
    int64_t commit_at, tick_at;
    char life[CAREFUL_NAME]; /* of this process: who has partitions open */
    /* batch stages */
    VEC(struct kafka_record) batch;
    struct arena *batch_arena;
    size_t batch_bytes;
    int64_t batch_since, batch_due, batch_pause;
    VEC(struct place) owned;
    bool names;      /* what Kafka is to know of them has changed */
    int64_t look_at; /* closed places are looked at again; 0: there are none */
};

/* stage.c */
/* The next record of a log, whether or not it will be worked: claims is moved on over it. */
void stage_fill(struct stage_record *out, const struct kafka_record *k, const char *noun,
                struct claims *claims);
struct slot *runner_slot(struct runner *r, int32_t partition);
/* Writes the outputs of all slots; on failure every slot is closed, to be opened again later. */
int runner_settle(struct runner *r);
int runner_failpoint(struct runner *r, const char *where, struct err *e);
/* Fenced: joins anew with a new handle, if that did not happen too often; else runner_leave. */
void runner_fatal(struct runner *r, const struct err *e);
void runner_leave(struct runner *r, const struct err *e); /* a fatal error: the process ends */

/* slot.c */
struct slot *slot_new(struct runner *r, const struct kafka_partition *parts, size_t n,
                      int32_t partition);
void slot_close(struct runner *r, struct slot *s, int64_t reopen_in); /* -1: not by itself */
void slot_free(struct runner *r, struct slot *s);
/* A record tells log time; *before: what the record before it in the same log told. */
void slot_log_time(struct slot *s, int64_t *before, int64_t timestamp);
/* Commits every open slot's floor and metadata if they moved (or force). FATAL: refused. */
int floors_commit(struct runner *r, bool force, struct err *e);
/* All slots are given away: floors, and that they were closed cleanly. */
int floors_leave(struct runner *r, struct err *e);
/* One slot, open or not; also tells whether we still own it. */
int slot_commit(struct runner *r, struct slot *s, struct err *e);
/* All slots, open or not, as far as something has changed. */
int slots_commit(struct runner *r, struct err *e);
/* The record at in.read is handled. */
void slot_read(struct input *in, const struct kafka_record *k);
/* All that was read is acknowledged. */
void slot_settled(struct input *in);

/* journal.c */
/* Opens slots (claim, fold, opened()). What can never be opened stays closed; -1: try all again. */
int slots_open(struct runner *r, struct slot **slots, size_t n, struct err *e);
void journal_read(struct runner *r, const struct kafka_record *k);

/* poison.c */
/* Before a record is touched. 1: work it; 0: pass it by; -1: the partition was closed. */
int careful_before(struct runner *r, struct slot *s, size_t input, const struct kafka_record *k);
/* Afterwards: it is through, or has to come again. */
void careful_after(struct runner *r, struct slot *s, size_t input, int64_t offset, bool done);

/* tail.c */
/* Compares the logs with what the committed metadata says. Slots whose log has lost its tail stay
 * closed (why says it). */
int tails_check(struct runner *r, struct slot **slots, size_t n, struct err *e);
/* The same with what the folded journals name. */
int tails_named(struct runner *r, struct slot **slots, size_t n, struct err *e);
/* The same for places of a batch stage: sets why or mended. */
int tails_places(struct runner *r, struct place **places, size_t n, struct err *e);
/* The partition stays closed, with an alarm, until the log has been mended. */
void slot_lost(struct runner *r, struct slot *s, const char *why);
void slot_found(struct runner *r, struct slot *s); /* it is open: the alarm is over */
void tails_measure(struct runner *r);
/* alarm.raised or alarm.cleared. name: <stage>/<place>. */
int tail_say(struct runner *r, const char *name, enum event_type type, const char *text);

/* batch.c */
int batch_assigned(struct runner *r, struct kafka_partition *parts, size_t n, struct err *e);
void batch_revoked(struct runner *r);
void batch_turn(struct runner *r);
void batch_last(struct runner *r); /* what is left at the end */

#endif
