/*
 * The barrier: the end of every partition whose records may say something about an instance. When
 * the bookkeeper has passed them, the ledger knows all that was written before they were taken.
 */
#ifndef CLEANER_ENDS_H
#define CLEANER_ENDS_H

#include "daemon/daemon.h"
#include "pg/pg.h"

/* Takes the ends and waits until the ledger has passed them. ERR_RETRY: not within wait_ms. */
int ends_pass(struct daemon *d, struct pg *pg, int64_t wait_ms, const volatile int *stop,
              struct err *e) MUST_CHECK;

#endif
