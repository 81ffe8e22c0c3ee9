/* Topic names of one site, from schemas/topics.json (the one list, embedded at build time). */
#ifndef EVENT_TOPICS_H
#define EVENT_TOPICS_H

#include <stddef.h>
#include <stdint.h>

#include "rows/rows.h"

#ifdef __cplusplus
extern "C" {
#endif

struct topic_spec {
    const char *noun; /* "instance" */
    int64_t partitions, partitions_test;
    const char *copartition; /* its partition p belongs to partition p of this topic; or NULL */
    int64_t retention_ms;    /* -1 with policy compact */
    const char *policy;   /* delete | compact */
    bool flush;           /* fsync before the acknowledgement, on one machine */
    int64_t max_bytes;    /* of one record's value */
    struct row_strings groups;    /* consumer groups (stage names) whose offset 0 is committed */
    struct row_strings producers; /* services */
};

/* All topics, in file order. */
const struct topic_spec *topics_all(size_t *n);
const struct topic_spec *topics_find(const char *noun);
/* talaria.<site>.<noun> into out. */
#define TOPIC_NAME 128
char *topics_name(char out[TOPIC_NAME], const char *site, const char *noun);
char *topics_group(char out[TOPIC_NAME], const char *site, const char *stage);

#ifdef __cplusplus
}
#endif
#endif
