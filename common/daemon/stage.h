/*
 * A stage: one consumer group, one thread, many partitions (design.md §3, §7). The skeleton does
 * the I/O (claim, fold, read-back, outputs, floor, re-opening); a stage is a table of functions
 * over a state per partition. Handlers never block: they append to the outputs.
 *
 * With a journal, open means: append a claim, fold the journal up to it, seek the input to the
 * floor. From then on the stage sees input records by record() and its own journal read back by
 * journal(). Where input and journal are the same topic, everything comes through journal() and
 * record() is NULL.
 */
#ifndef DAEMON_STAGE_H
#define DAEMON_STAGE_H

#include "event/event.h"
#include "event/outputs.h"
#include "kafka/kafka.h"

#ifdef __cplusplus
extern "C" {
#endif

struct daemon;
struct runner;

struct stage_partition {
    struct daemon *daemon;
    struct runner *runner; /* for stage_wake */
    const char *site, *owner; /* owner: "<service>-<instance>" */
    int32_t partition;
    int64_t claim;      /* offset of our claim in the journal; -1 without a journal */
    int64_t claimed_at; /* its log time */
    int64_t floor;      /* committed offset of the input at open */
};

struct stage_record {
    const char *noun; /* topic */
    int32_t partition;
    int64_t offset, timestamp; /* log time, ms */
    enum event_type type;
    struct slice key, study, series; /* headers; p = NULL if absent */
    int64_t claim;                   /* header of a choice; -1 if none */
    bool is_void; /* a choice whose claim was not the newest of its journal when it was appended */
    bool folding; /* journal(): lies before our own claim */
    struct slice value;
};
/* Decodes the record's body into the stage's arena, which is reset before each callback. NULL and
 * e: undecodable. */
const struct event *stage_event(const struct stage_record *r, struct arena *a, struct err *e);

/* Something that tick() asks for has happened: it is called at once. Any thread, until close() has
 * returned; costs a system call. */
void stage_wake(const struct stage_partition *p);

/* Appends the record, whole, to out for dlq: for what journal_record cannot use (record says REJECT). */
int stage_reject(struct outputs *out, const struct stage_record *r, const struct daemon *d,
                 const char *stage, int64_t claim, const struct err *why, struct err *e) MUST_CHECK;

enum stage_verdict {
    STAGE_DONE,
    STAGE_RETRY,  /* the record comes again after a pause (a resource is away) */
    STAGE_REJECT, /* to dlq, the partition goes on */
};

#define STAGE_FROM_START (-1)

/* Where a batch stage goes on in a partition. */
struct stage_place {
    const char *topic;
    int32_t partition;
    int64_t start; /* KAFKA_START: where the log begins */
    bool marked;   /* the record before start is known */
    uint64_t mark; /* careful_mark of it */
    int64_t time;  /* its log time, ms */
};

struct stage {
    const char *name;      /* "decide": group talaria.<site>.decide, label of its metrics */
    const char *inputs[8]; /* topic nouns, NULL-terminated */
    const char *journal;   /* noun or NULL */
    int64_t memory_ms; /* how far (log time) before the floor the fold starts; STAGE_FROM_START */
    /* > 0: the broker gathers input for so long before it answers a fetch (struct kafka_group); for
     * stages that need not see each record at once. */
    int gather_ms;
    /* An input may lose its end in a power cut of the broker: after a connection was lost, what was
     * read is compared with the log again before anything more is read. */
    bool unflushed;

    /* ---- record stages ---- */
    void *(*open)(const struct stage_partition *p);
    /* A record of the journal: while folding, and read back afterwards (ours and others'). */
    void (*journal_record)(void *state, const struct stage_record *r, struct arena *a);
    /* The fold has reached our claim. */
    void (*opened)(void *state, struct outputs *out);
    /* A record of an input topic (not of the journal). */
    enum stage_verdict (*record)(void *state, const struct stage_record *r, struct arena *a,
                                 struct outputs *out, struct err *e);
    /* Called every ≤ 50 ms, at once after stage_wake, and where the journal is the input after records
     * of it. log_now: log time as this process reckons it (timestamp of the newest
     * record read plus monotonic time since); caught_up: the input's end has been reached. */
    void (*tick)(void *state, int64_t log_now, bool caught_up, struct outputs *out);
    /* The oldest input offset still needed, given the next unread one. NULL: that one, for what a
     * record asks for is written before the position moves on; so it is where there are more inputs
     * than one. */
    int64_t (*floor)(const void *state, int64_t position);
    /* A record of an input that has killed its worker again and again (or is in dlq from before) and
     * is not worked. May be NULL. */
    void (*skipped)(void *state, const struct stage_record *r);
    /* After the fold: the highest input offset that the journal names, and the id of the record there
     * (NULL: nothing is named). The log is compared with it: a lost tail keeps the partition closed.
     * May be NULL. */
    const char *(*named)(const void *state, int64_t *offset);
    void (*close)(void *state);

    /* ---- batch stages (bookkeeper): instead of all the above but name and inputs ---- */
    /* Where to read each partition from: sets all but topic and partition. The log is compared with
     * what is known of the record before: a lost tail keeps the partition closed. */
    int (*positions)(struct daemon *d, struct stage_place *places, size_t n, struct err *e);
    /* The log was mended; what was written between its lost end and start is read from an earlier
     * offset on. 1: not this partition. May be NULL. */
    int (*back)(struct daemon *d, const struct stage_place *place, int64_t offset, struct err *e);
    /* ≤ 1000 records or 200 ms; all or nothing. -1 RETRY: the same batch again after a pause;
     * REJECT: the skeleton calls again with halves until the bad record stands alone, which goes to
     * dlq. FATAL: positions are asked again. */
    int (*batch)(struct daemon *d, const struct kafka_record *records, size_t n, struct err *e);
};

#ifdef __cplusplus
}
#endif
#endif
