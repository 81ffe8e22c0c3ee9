/*
 * Ingest: one instance becomes durable, then known (design.md §2 rule 1). Shared by the receiver and
 * the gateway's uploads: bytes in, Part 10 object on stable storage, instance.stored acknowledged by
 * Kafka or standing in the outbox.
 *
 * struct ingest is shared by all threads. A struct ingest_item is one instance in flight and belongs
 * to one thread; items are pooled, with their buffers.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "event/event.h"
#include "kafka/kafka.h"
#include "objstore/objstore.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ingest;
struct ingest_item;

struct ingest_options {
    const char *site;
    const char *source; /* CloudEvents source of the records */
    struct objstore *store;
    struct kafka_producer *producer;
    size_t memory_budget;    /* bytes buffered by all items together */
    size_t stream_above;     /* larger objects go to the store while they arrive */
    uint64_t reserve_bytes;  /* free space below which nothing new is taken */
    int64_t announce_ms;     /* wait for Kafka before the outbox is used: 2000 */
};

/* Starts the outbox drain (a thread). While the outbox holds records of an earlier run, new ones go
 * there, too, until it is drained. */
int ingest_new(struct ingest **out, const struct ingest_options *o, struct err *e) MUST_CHECK;
void ingest_free(struct ingest *i); /* after the last item */

/* Extra tags of a new configuration: items begun from now on use them. Any thread. */
int ingest_set_tags(struct ingest *i, const char *const *extras, size_t n,
                    struct err *e) MUST_CHECK;

/* False with a reason: the store is full, below its reserve or failing; reject associations. */
bool ingest_can_store(struct ingest *i, char why[128]);

/* Who sends; borrowed until ingest_finish. */
struct ingest_sender {
    const char *association;
    struct event_source source;
    const char *calling_ae, *called_ae, *peer;
    const char *charset;     /* for datasets without (0008,0005); may be NULL */
    const char *forced_rule; /* may be NULL */
};

/* Starts an instance. sop_class and sop are the command's. Never fails: a lack of memory or disk is told by finish. */
struct ingest_item *ingest_begin(struct ingest *i, const struct ingest_sender *sender,
                                 const char *syntax, const char *sop_class, const char *sop);
/* Dataset bytes as received. Non-zero: it cannot be stored any more, further bytes are ignored. */
int ingest_write(struct ingest_item *item, const void *p, size_t n);

enum ingest_outcome {
    INGEST_STORED,       /* on stable storage, and announced or in the outbox: 0000 */
    INGEST_NO_RESOURCES, /* disk, budget, Kafka and outbox: A700 */
    INGEST_NOT_DICOM,    /* no Study or Series Instance UID, or a hopeless dataset: C000 */
};
struct ingest_result {
    enum ingest_outcome outcome;
    bool announced; /* acknowledged by Kafka (not by way of the outbox) */
    char receipt[17], study[129], series[129];
    int64_t size; /* bytes of the object */
};
/* Ends the dataset: durable, then announced. Frees the item. e says why when not stored. */
void ingest_finish(struct ingest_item *item, struct ingest_result *r, struct err *e);
/* The dataset did not arrive whole: nothing is left behind. Frees the item. */
void ingest_abandon(struct ingest_item *item);

/* What the configuration says of tags: extras as in ingest_set_tags; charset (may be NULL): that of a source,
 * for datasets without (0008,0005), or NULL. */
struct ingest_rules {
    const char *const *extras;
    size_t n;
    const char *(*charset)(const void *arg, const char *source);
    const void *arg;
};
/* The instance.stored record of an object that is there already (appended to *record), as it would have
 * been announced: from its private information and its dataset, which is read whole. ERR_REJECT: the object
 * is not whole, or not what its key says; ERR_RETRY: the store. */
int ingest_rebuild(struct str *record, struct objstore *store, const char *key, const char *source,
                   const struct ingest_rules *rules, struct err *e) MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
