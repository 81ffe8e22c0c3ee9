/* Records of the event topic that the cleaner writes: alarms, and what it condemned and deleted. */
#ifndef CLEANER_NOTES_H
#define CLEANER_NOTES_H

#include <stdbool.h>

#include "daemon/daemon.h"
#include "pg/pg.h"

/* One alarm: raised and cleared once each, also over restarts (the ledger knows how it stands). */
struct alarm {
    const char *kind; /* "disk"; also its name */
    bool known, raised;
};
/* Writes a record if it is news. text: numbers only, for people. */
int alarm_set(struct alarm *a, struct daemon *d, struct pg *pg, bool raised, const char *text,
              struct err *e) MUST_CHECK;

/* object.condemned or object.deleted; ids are receipts if kind is "receipt", at most 500 per
 * record. */
int notes_objects(struct daemon *d, enum event_type type, const char *kind, const char *const *ids,
                  size_t n, struct err *e) MUST_CHECK;

#endif
