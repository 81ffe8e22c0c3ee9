/* What the cleaner decides without looking at anything: pure. */
#ifndef CLEANER_CHOOSE_H
#define CLEANER_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

enum choose_mode {
    CHOOSE_NOTHING, /* peak hours: only look how much waits */
    CHOOSE_DUE,     /* what is settled and whose retention is over */
    CHOOSE_ALL,     /* disk pressure: what is settled, oldest first */
};
enum choose_mode choose_mode(bool off_peak, bool pressure);

/* Used share of a volume in percent, rounded down; 0 if its size is not known. */
int choose_used(uint64_t free_bytes, uint64_t total);

/* The receipt in the key of an instance: instances/…/<sop>.<receipt>.dcm. False: no such key. */
#define CHOOSE_RECEIPT 17
bool choose_receipt(char out[CHOOSE_RECEIPT], const char *key);

/* What is done with an object that the ledger does not know. */
enum choose_orphan {
    ORPHAN_YOUNG,    /* its record may be on its way */
    ORPHAN_EXPIRED,  /* older than the topic: nobody can say what happened to it; shown */
    ORPHAN_ANNOUNCE, /* to be verified and announced */
};
/* All in milliseconds. modified: by the store; now: by this machine. */
enum choose_orphan choose_orphan(int64_t now, int64_t modified, int64_t young, int64_t retention);

/* How far the bookkeeper has to have read a partition whose log is [low, high): 0 if there is
 * nothing in it to read. */
int64_t choose_needed(int64_t low, int64_t high);

#endif
