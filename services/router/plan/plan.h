/*
 * plan: a valid decision or task.finished becomes the task.requested and delivery.requested records
 * that it contains. Pure; it keeps nothing but the newest claim of each journal it reads, which
 * travels in the commit metadata. Repeating a record gives the same ids again, which the journals'
 * owners ignore.
 */
#ifndef ROUTER_PLAN_H
#define ROUTER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "event/event.h"
#include "event/outputs.h"

enum plan_journal { PLAN_DECISION, PLAN_TASK, PLAN_JOURNALS };

struct plan {                                     /* of one partition of both journals */
    int64_t newest[PLAN_JOURNALS];                /* claim; -1: none known */
    uint64_t decisions, voids, tasks, deliveries; /* counters */
};

struct plan_input {
    int journal; /* enum plan_journal */
    int64_t offset;
    enum event_type type;
    int64_t claim; /* header of a choice; -1: none */
    struct slice value;
};

void plan_init(struct plan *p);
/* 0 or -1 (ERR_REJECT: can never be understood; nothing was appended). */
int plan_record(struct plan *p, const struct plan_input *in, struct arena *a, struct outputs *out,
                struct err *e) MUST_CHECK;
/* The commit metadata, and back; text that it does not know is ignored. */
void plan_save(const struct plan *p, struct str *out);
void plan_restore(struct plan *p, const char *saved);

#endif
