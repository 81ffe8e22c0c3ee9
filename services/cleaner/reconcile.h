/*
 * The reconciler: walks the instances in the store and looks for objects that the ledger does not
 * know. One that is whole and young enough is announced (flags again, reconciled); what is torn or
 * too old is counted and shown. Nothing is ever deleted here. One thread.
 */
#ifndef CLEANER_RECONCILE_H
#define CLEANER_RECONCILE_H

#include "cleaner/notes.h"
#include "cleaner/settings.h"

struct reconcile {
    struct daemon *daemon;
    struct pg *pg;
    const struct cleaner_settings *settings;
    const volatile int *stop;
    struct alarm alarm;
};

int reconcile_run(struct reconcile *r, struct err *e) MUST_CHECK;

#endif
