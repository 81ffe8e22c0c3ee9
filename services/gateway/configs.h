/*
 * Configuration revisions: kept in Postgres (compare-and-set), then published as one object and one
 * pointer record (design.md §5). What is saved and not published is published by whoever comes
 * next.
 */
#ifndef GATEWAY_CONFIGS_H
#define GATEWAY_CONFIGS_H

#include "event/event.h"
#include "objstore/objstore.h"
#include "pg/pg.h"

#define CONFIGS_REVISION 64

struct configs_current {
    int64_t number;
    char revision[CONFIGS_REVISION]; /* "0": nothing was ever saved */
    struct str document;             /* str_free */
    bool published;
};
int configs_get(struct pg *c, struct configs_current *out, struct err *e) MUST_CHECK;

struct configs_change {
    const char *document;
    size_t n;
    const char *if_match; /* revision that the caller has seen */
    const char *by, *why;
};
/* Makes the document the current one. The same document again changes nothing. ERR_REJECT, code
 * 412: if_match is not the current revision, which is in out in any case. */
int configs_put(struct pg *c, const struct configs_change *change, char out[CONFIGS_REVISION],
                struct err *e) MUST_CHECK;

/* How records are written: config.current (may be NULL) and config.published. */
struct configs_publisher {
    struct objstore *store;
    int (*write)(void *arg, const struct event *current, const struct event *published,
                 struct err *e);
    void *arg;
};
/* Publishes every saved and unpublished revision; the pointer is written for the current one only,
 * so that it never goes back. Returns how many, or -1. */
int configs_publish(struct pg *c, const struct configs_publisher *p, struct err *e) MUST_CHECK;

/* Postgres is behind what Kafka's pointer names (restored from yesterday): takes the revision over
 * from its object. Nothing happens if it is not behind. */
int configs_import(struct pg *c, struct objstore *store, const char *revision,
                   struct err *e) MUST_CHECK;

/* The newest 100 revisions, without documents. */
int configs_list(struct pg *c, struct str *out, struct err *e) MUST_CHECK;

#endif
