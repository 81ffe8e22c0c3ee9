/*
 * Kafka as the services need it, on librdkafka ≥ 2.0.2: an idempotent producer that survives fatal
 * errors, a group consumer that commits floors by hand, a reader without group (journals, config,
 * replay), and the topic administration. Traps that this library closes: reference in README.md.
 *
 * Offsets and timestamps are the broker's (LogAppendTime, Unix ms). Records borrow memory until the
 * next poll of the same handle. A producer may be used from any thread; a consumer and a reader
 * belong to one thread.
 */
#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kafka_options {
    const char *brokers;    /* host:port,… */
    const char *client_id;  /* "<service>-<instance>" */
    int linger_ms;          /* producer; 0 or 1 */
    int message_timeout_ms; /* producer; 0 = 15000 */
    int fetch_wait_ms; /* reader: how long the broker holds an empty fetch (0 = 250). New records
                        * come at once anyway; what it delays is a partition that is added
                        * meanwhile. */
    const char *security_protocol, *sasl_mechanism, *sasl_user, *sasl_password_file, *ca_file,
        *certificate_file, *key_file; /* NULL: plaintext */
};

#define KAFKA_HEADERS 8
struct kafka_header {
    const char *name;
    struct slice value;
};

/* ---- producer ---- */
struct kafka_producer;

struct kafka_message {
    const char *topic;
    int32_t partition; /* -1: murmur2 of the key */
    struct slice key, value;
    struct kafka_header headers[KAFKA_HEADERS];
    size_t n_headers;
};

struct kafka_ack {
    int32_t partition;
    int64_t offset, timestamp; /* timestamp -1 if the broker did not say */
    struct err err;            /* kind ERR_NONE = acknowledged */
};
/* Called once per accepted message, in the producer's own thread: be quick, do not block. */
typedef void (*kafka_acked)(void *arg, const struct kafka_ack *ack);

/* Connects in the background; a warm-up metadata request is made, no record is sent. */
int kafka_producer_new(struct kafka_producer **out, const struct kafka_options *o,
                       struct err *e) MUST_CHECK;
/* Copies the message. Queue full or closed: -1 at once, ERR_RETRY, acked is not called. After a
 * fatal error the library makes a new handle and sends all that is unacknowledged again. */
int kafka_produce(struct kafka_producer *p, const struct kafka_message *m, kafka_acked acked,
                  void *arg, struct err *e) MUST_CHECK;
/*
 * A flight: messages on their way, and one thread that waits for all of them. That thread makes it,
 * adds, and lands or frees it once, which ends it for the thread; where it does not wait to the
 * end, the last acknowledgement gives the memory back. Acknowledgements come in the producer's
 * thread.
 */
struct kafka_flight;
struct kafka_flight *kafka_flight_new(struct kafka_producer *p);
/* kafka_produce; while the queue is full it waits until (clock_mono_ms; 0: not at all), or until
 * *stop is set (may be NULL). -1: this message is not on its way; the others are. */
int kafka_flight_add(struct kafka_flight *f, const struct kafka_message *m, int64_t until,
                     const volatile int *stop, struct err *e) MUST_CHECK;
/* Waits until (clock_mono_ms) all are acknowledged. *last (may be NULL): the acknowledgement of the
 * highest offset; offset -1 if there was nothing to wait for. -1: the first failure, or ERR_RETRY,
 * ETIMEDOUT: not in time; the records may still arrive. e may be NULL. */
int kafka_flight_land(struct kafka_flight *f, int64_t until, struct kafka_ack *last,
                      struct err *e) MUST_CHECK;
void kafka_flight_free(struct kafka_flight *f); /* without waiting */
/* A flight of one message, of ≤ wait_ms. ack may be NULL. */
int kafka_produce_wait(struct kafka_producer *p, const struct kafka_message *m, int64_t wait_ms,
                       struct kafka_ack *ack, struct err *e) MUST_CHECK;
/* A broker answers, and the last acknowledgement was good (or failed more than 3 s ago). */
bool kafka_producer_ready(struct kafka_producer *p);
/* Partition count of a topic (cached metadata), or -1. */
int32_t kafka_partitions(struct kafka_producer *p, const char *topic, struct err *e);
void kafka_producer_flush(struct kafka_producer *p, int64_t wait_ms);
void kafka_producer_free(struct kafka_producer *p);
/* The partition a key has among n (murmur2, as Java's default partitioner). */
int32_t kafka_partition_of(struct slice key, int32_t n);

/* ---- records ---- */
struct kafka_record {
    const char *topic;
    int32_t partition;
    int64_t offset, timestamp;
    struct slice key, value;
    struct kafka_header headers[KAFKA_HEADERS];
    size_t n_headers;
};
/* Value of a header; p = NULL if absent. */
struct slice kafka_record_header(const struct kafka_record *r, const char *name);

/* ---- consumer of a group ---- */
struct kafka_consumer;

struct kafka_partition {
    const char *topic;
    int32_t partition;
    int64_t committed;    /* -1: none */
    const char *metadata; /* of the commit; "" if none */
    int64_t start;        /* set by assigned(): where to read from */
};

struct kafka_group {
    const char *group, *member; /* member: static group.instance.id, NULL = dynamic */
    const char *const *topics;
    size_t n_topics;
    int session_timeout_ms; /* 0 = 7000 */
    /* > 0: the broker gathers records for so long before it answers a fetch (or until 256 KB are there), which
     * saves it most of its work for a busy topic; 0: every record comes at once. */
    int gather_ms;
    /* Only ownership and commits: nothing is fetched (the partitions stay paused). */
    bool assign_only;
    /* Called inside kafka_poll. assigned sets start of each (default: committed; KAFKA_START is
     * allowed); returning non-zero leaves the partitions unassigned, kafka_poll returns the error,
     * and a later kafka_poll asks again (after 0.2 … 5 s) while the group does not take them away.
     * revoked: only for what assigned took; the partitions are still owned, commits still work
     * (lost: they are not). */
    int (*assigned)(void *arg, struct kafka_partition *parts, size_t n, struct err *e);
    void (*revoked)(void *arg, const struct kafka_partition *parts, size_t n, bool lost);
    void *arg;
};
/* e->code of an ERR_FATAL that kafka_poll gives when the group knows another member by our name: also
 * after an outage of the broker, when it has seen a request of ours twice. A new handle may join. */
#define KAFKA_FENCED 82
int kafka_consumer_new(struct kafka_consumer **out, const struct kafka_options *o,
                       const struct kafka_group *g, struct err *e) MUST_CHECK;
/* 1: *out filled; 0: nothing within wait_ms (the queue is empty); -1: error (RETRY: poll again;
 * FATAL: give up). An offset out of range (the log's tail or head was lost) is ERR_REJECT. On
 * errors topic and partition of *out say where, topic NULL: everywhere. */
int kafka_poll(struct kafka_consumer *c, struct kafka_record *out, int64_t wait_ms,
               struct err *e) MUST_CHECK;
/* Commits offset (the floor: the next one needed) with metadata ≤ 1 KB. sync: waits; a refusal
 * (another member owns it) is ERR_FATAL. */
int kafka_commit(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
                 const char *metadata, bool sync, struct err *e) MUST_CHECK;
/* Several at once (synchronous): topic, partition, committed and metadata of each. All or nothing.
 */
int kafka_commit_all(struct kafka_consumer *c, const struct kafka_partition *parts, size_t n,
                     struct err *e) MUST_CHECK;
/* Stops and resumes fetching of everything that is assigned; the group is served by kafka_poll all
 * the while. Resuming takes up to a second: for outages of what is behind the consumer. */
void kafka_pause(struct kafka_consumer *c, bool pause);
int kafka_seek(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
               struct err *e) MUST_CHECK;
/* The last thing read of this partition was its end. */
bool kafka_at_end(const struct kafka_consumer *c, const char *topic, int32_t partition);
/* Its end (next) offset as the last fetch told, or -1. Needs no request. */
int64_t kafka_end(const struct kafka_consumer *c, const char *topic, int32_t partition);
/* A connection was lost since this was asked last: a broker that comes back may have lost the end of
 * its logs. It is told with the call of kafka_poll before any record that was fetched afterwards. */
bool kafka_consumer_cut(struct kafka_consumer *c);
/* Has joined the group, and whatever it was given was taken. */
bool kafka_member(const struct kafka_consumer *c);
/* Adds 1 to an eventfd whenever the empty queue gets something: poll with wait_ms 0 until nothing
 * comes, then wait on the eventfd. Lets one thread wait for a consumer and a reader. */
void kafka_consumer_wake(struct kafka_consumer *c, int event_fd);
void kafka_consumer_free(struct kafka_consumer *c); /* calls revoked; a static member stays known */

/* ---- reader without group ---- */
struct kafka_reader;
int kafka_reader_new(struct kafka_reader **out, const struct kafka_options *o,
                     struct err *e) MUST_CHECK;
#define KAFKA_START (-2)
#define KAFKA_END   (-1)
/* Adds a partition from offset (or KAFKA_START, KAFKA_END); again: seeks. */
int kafka_reader_add(struct kafka_reader *r, const char *topic, int32_t partition, int64_t offset,
                     struct err *e) MUST_CHECK;
void kafka_reader_remove(struct kafka_reader *r, const char *topic, int32_t partition);
/* As kafka_poll; returns 0 early at the end of a partition. */
int kafka_reader_poll(struct kafka_reader *r, struct kafka_record *out, int64_t wait_ms,
                      struct err *e) MUST_CHECK;
bool kafka_reader_at_end(const struct kafka_reader *r, const char *topic, int32_t partition);
int64_t kafka_reader_end(const struct kafka_reader *r, const char *topic, int32_t partition);
void kafka_reader_wake(struct kafka_reader *r, int event_fd); /* see kafka_consumer_wake */
/* First offset whose timestamp is ≥ t (the end if none). */
int kafka_reader_offset_of_time(struct kafka_reader *r, const char *topic, int32_t partition,
                                int64_t t, int64_t *offset, struct err *e) MUST_CHECK;
void kafka_reader_free(struct kafka_reader *r);

/* Log start and end (next) offset; own connection, does not wait behind fetches. Any thread. */
int kafka_watermarks(struct kafka_producer *p, const char *topic, int32_t partition, int64_t *low,
                     int64_t *high, struct err *e) MUST_CHECK;

/* ---- administration ---- */
struct kafka_topic {
    const char *name;
    int32_t partitions;
    int32_t replicas;                  /* -1 = broker's default */
    const struct kafka_header *config; /* name → value */
    size_t n_config;
};
/* Creates what is missing in one request, waits until leaders are visible. Existing is fine. */
int kafka_create_topics(const struct kafka_options *o, const struct kafka_topic *t, size_t n,
                        int64_t wait_ms, struct err *e) MUST_CHECK;
/* Commits the log's start for every partition of topic in group, where nothing is committed. */
int kafka_commit_start(const struct kafka_options *o, const char *group, const char *topic,
                       int32_t partitions, struct err *e) MUST_CHECK;
/* The committed offset of a group (-1: none), from outside; for tools and tests. */
int kafka_committed(const struct kafka_options *o, const char *group, const char *topic,
                    int32_t partition, int64_t *offset, struct err *e) MUST_CHECK;
/* The same for many partitions (topic and partition of each are set): committed, and metadata, which
 * the caller frees (mem_free); "" if there is none. */
int kafka_commits(const struct kafka_options *o, const char *group, struct kafka_partition *parts,
                  size_t n, struct err *e) MUST_CHECK;
/* Does the broker have this topic with this partition count and config values? -1 says what differs
 * (ERR_FATAL), or that the broker did not answer (ERR_RETRY). */
int kafka_check_topic(const struct kafka_options *o, const struct kafka_topic *t,
                      struct err *e) MUST_CHECK;
int kafka_check_topics(const struct kafka_options *o, const struct kafka_topic *t, size_t n,
                       struct err *e) MUST_CHECK;
int kafka_delete_topics(const struct kafka_options *o, const char *const *names, size_t n,
                        struct err *e) MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
