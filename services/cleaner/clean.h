/*
 * Passes over the ledger: choose and mark, barrier, ask again, record, delete, record. A pass that
 * ends anywhere is finished or undone by the next one. One thread.
 */
#ifndef CLEANER_CLEAN_H
#define CLEANER_CLEAN_H

#include "base/str.h"
#include "cleaner/choose.h"
#include "cleaner/settings.h"
#include "pg/pg.h"

struct clean {
    struct daemon *daemon;
    struct pg *pg;
    const struct cleaner_settings *settings;
    const volatile int *stop;
    /* how far this scan is */
    char at[64], decision[80];
    double oldest; /* seconds since the oldest receipt seen by this scan was due */
};

/* Only one process cleans a site. 1: it is this one until clean_leave; 0: another one. */
int clean_enter(struct clean *c, struct err *e) MUST_CHECK;
void clean_leave(struct clean *c);

/* Begins a scan: undoes what was only chosen, finishes what was confirmed. */
int clean_begin(struct clean *c, struct err *e) MUST_CHECK;
/* One page of decisions, at most one batch of receipts. 1: there is more; 0: the scan is over. */
int clean_step(struct clean *c, enum choose_mode mode, struct err *e) MUST_CHECK;
/* Results, logs and manifests: one batch. */
int clean_objects(struct clean *c, enum choose_mode mode, struct err *e) MUST_CHECK;

#endif
