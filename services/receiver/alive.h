/*
 * What association.alive says of one association of a source with completion open-association: the
 * studies that it has touched, the latest ones. Pure; the owner locks.
 */
#ifndef RECEIVER_ALIVE_H
#define RECEIVER_ALIVE_H

#include "event/outputs.h"

/* Of more studies those touched longest ago are forgotten: their series then end as if it were lost. */
#define ALIVE_STUDIES 200

struct alive;

struct alive *alive_new(void);
void alive_free(struct alive *l); /* NULL is fine */
/* An instance of this study was answered 0000. */
void alive_touch(struct alive *l, const char *study);
/* Appends one association.alive per study. */
int alive_records(const struct alive *l, const char *association,
                  const struct event_source *source, struct outputs *out, struct err *e) MUST_CHECK;

#endif
