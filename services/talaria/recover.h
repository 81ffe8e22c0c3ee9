/*
 * talaria recover: a log has lost its end (a power cut), and what stood there is brought back from
 * the object store (design.md §3, Lost tail).
 */
#ifndef TALARIA_RECOVER_H
#define TALARIA_RECOVER_H

#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "base/vec.h"
#include "event/outputs.h"
#include "event/topics.h"
#include "kafka/kafka.h"
#include "objstore/objstore.h"

#define RECOVER_PARTITIONS 256

/* A journal or input, and the highest offset of each partition that anybody has named (-1: none). */
struct recover_topic {
    const struct topic_spec *spec;
    char name[TOPIC_NAME];
    int32_t n;
    int64_t named[RECOVER_PARTITIONS];
};

struct recover {
    const char *site;
    struct kafka_options options;
    struct kafka_producer *producer;
    struct objstore *store;
    struct recover_topic instance, decision, task, delivery, event, config, dlq;
    VEC(char *) manifests;    /* of valid decisions */
    VEC(uint64_t) decided;    /* receipts that stand there, sorted */
    struct config_snapshot *snapshot; /* in use; NULL: none */
    int64_t padded;
    int64_t objects, known, announced, old, torn, strange; /* instances of the store */
};

/* All topics, in a list. */
#define RECOVER_TOPICS 7
void recover_topics(struct recover *r, struct recover_topic *out[RECOVER_TOPICS]);

void recover_named(struct recover_topic *t, int32_t partition, int64_t offset);
/* A group that has lost its offsets begins at the log's start: an older floor is harmless. */
int recover_starts(struct recover *r, struct err *e) MUST_CHECK;
/* What committed metadata and offsets name. */
int recover_commits(struct recover *r, struct err *e) MUST_CHECK;
/* What decisions name, and their manifests. */
int recover_decisions(struct recover *r, struct err *e) MUST_CHECK;
/* Padding to and beyond every offset that is named, at least one record in each partition. */
int recover_pad(struct recover *r, struct err *e) MUST_CHECK;
/* Receipts of the manifests. */
int recover_receipts(struct recover *r, struct err *e) MUST_CHECK;
/* The configuration in use: which tags records carry. */
int recover_config(struct recover *r, struct err *e) MUST_CHECK;
/* Announces every other receipt of the store again. */
int recover_announce(struct recover *r, struct err *e) MUST_CHECK;

/* Every record of a partition, up to the end that it has now. fn: non-zero ends it. */
int recover_read(struct recover *r, const char *topic, int32_t partition,
                 int (*fn)(void *arg, const struct kafka_record *k), void *arg,
                 struct err *e) MUST_CHECK;
/* Writes the records and waits for all of them; the outputs are empty afterwards. *last (may be NULL):
 * the highest offset acknowledged. */
int recover_write(struct recover *r, struct outputs *out, int64_t *last, struct err *e) MUST_CHECK;

#endif
