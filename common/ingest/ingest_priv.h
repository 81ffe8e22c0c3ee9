/* Shared between the files of this library. */
#ifndef INGEST_PRIV_H
#define INGEST_PRIV_H

#include <pthread.h>

#include "base/hash.h"
#include "base/str.h"
#include "dicom/tagmap.h"
#include "ingest/ingest.h"

/* One tag set with its users; the newest one is ingest.tags. */
struct tag_set {
    struct tagmap_set *set;
    int users; /* items that use it, and one for being the newest */
};

struct announcer; /* announce.c */

struct ingest {
    struct ingest_options options;
    char *site, *source;
    pthread_mutex_t lock;
    struct tag_set *tags;
    struct ingest_item *pool; /* free items */
    size_t n_pool;
    size_t buffered; /* bytes reserved by items in flight; atomic */
    int64_t space_checked_ms, failed_until_ms;
    bool space_low;
    struct announcer *announcer;
};

/* Dataset bytes in memory, with room for the Part 10 head before them, so that the whole object is one
 * aligned buffer (objstore_put_block). */
#define BODY_HEAD 2048
struct body {
    char *data; /* BODY_HEAD bytes of room, then the dataset */
    size_t len, cap; /* of the dataset; of the whole buffer */
};

struct ingest_item {
    struct ingest *ingest;
    struct ingest_item *next; /* in the pool */
    struct ingest_sender sender;
    struct tag_set *tags;
    struct tagmap *map;
    struct hash *hash;
    struct body body; /* the dataset while it is in memory */
    size_t reserved;  /* of the budget */
    struct objstore_writer *writer;
    size_t head_room; /* bytes of the provisional meta, when streaming */
    int64_t dataset_bytes;
    enum scan_state scan;
    struct err failed; /* kind ERR_NONE while all is well */
    char receipt[17], sha256[HASH_SHA256_HEX], received_at[32];
    char syntax[65], sop_class[65], sop[65]; /* as the command and context say */
};

/* record.c: what is written about an item. */
struct item_ids {
    char study[129], series[129], sop[129], sop_class[65];
    bool uid_differs, sop_missing, uid_hashed;
};
/* -1: no study or series. */
int record_ids(struct item_ids *ids, const struct ingest_item *item, struct err *e);
/* The preamble and meta; pad_to > 0 makes it exactly that long. */
int record_head(struct str *out, const struct ingest_item *item, const struct item_ids *ids,
                size_t pad_to);
int record_encode(struct str *out, const struct ingest_item *item, const struct item_ids *ids,
                  const char *key, int64_t size, struct err *e);

/* announce.c */
int announcer_new(struct announcer **out, const struct ingest *i, struct err *e);
void announcer_free(struct announcer *a);
/* Kafka, else outbox. *by_kafka tells which. -1: neither; *maybe: the record may still arrive. */
int announce(struct announcer *a, const char *receipt, const char *study, const char *series,
             const struct str *record, bool *by_kafka, bool *maybe, struct err *e);

#endif
