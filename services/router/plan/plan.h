/*
 * plan: a valid decision or task.finished becomes the task.requested and delivery.requested records
 * that it contains, a valid command.decided the command's answer. Pure, and without a state: whoever
 * reads the journals says what is void (event/claims.h). Repeating a record gives the same ids again, which the journals' owners ignore.
 */
#ifndef ROUTER_PLAN_H
#define ROUTER_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "event/event.h"
#include "event/outputs.h"

enum plan_journal { PLAN_DECISION, PLAN_TASK };

struct plan_input {
    enum plan_journal journal;
    enum event_type type;
    bool is_void; /* a void choice */
    struct slice value;
};

struct plan_made {
    size_t tasks, deliveries; /* requests */
    size_t answers;
};

/* 0 or -1 (ERR_REJECT: can never be understood; nothing was appended). */
int plan_record(struct plan_made *made, const struct plan_input *in, struct arena *a,
                struct outputs *out, struct err *e) MUST_CHECK;

#endif
