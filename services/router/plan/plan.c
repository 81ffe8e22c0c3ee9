/* Validity by the newest claim, then nested requests out as records of their own. */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>

void plan_init(struct plan *p)
{
    *p = (struct plan){.newest = {-1, -1}};
}

/* A choice names a claim that precedes it, so a name is as good as the claim itself: where the
 * claims were not seen (the log's start), the highest one named so far counts. */
static bool valid(struct plan *p, const struct plan_input *in)
{
    int64_t *newest = &p->newest[in->journal];
    if (in->claim < 0 || in->claim < *newest)
        return false;
    *newest = in->claim;
    return true;
}

static int request_task(const struct event_task_requested *t, struct outputs *out, struct err *e)
{
    struct event ev = {
        .type = EVENT_TASK_REQUESTED, .id = t->task, .subject = t->task, .task_requested = *t};
    const char *key = t->persistence && *t->persistence ? t->persistence : t->task;
    return outputs_event(out, "task", -1, key, &ev, -1, e);
}

static int request_delivery(const struct event_delivery_requested *r, struct outputs *out,
                            struct err *e)
{
    struct event ev = {.type = EVENT_DELIVERY_REQUESTED,
                       .id = r->delivery,
                       .subject = r->delivery,
                       .requested = *r};
    return outputs_event(out, "delivery", -1, r->target, &ev, -1, e);
}

static int request(struct plan *p, const struct row_list *tasks, const struct row_list *deliveries,
                   struct outputs *out, struct err *e)
{
    for (size_t i = 0; tasks && i < tasks->n; i++)
        if (request_task(rows_at(struct event_task_requested, tasks, i), out, e))
            return -1;
    for (size_t i = 0; i < deliveries->n; i++)
        if (request_delivery(rows_at(struct event_delivery_requested, deliveries, i), out, e))
            return -1;
    p->tasks += tasks ? tasks->n : 0;
    p->deliveries += deliveries->n;
    p->decisions++;
    return 0;
}

static bool concerns(const struct plan_input *in)
{
    switch (in->type) {
    case EVENT_SERIES_DECIDED:
    case EVENT_STUDY_DECIDED:
        return in->journal == PLAN_DECISION;
    case EVENT_TASK_FINISHED:
        return in->journal == PLAN_TASK;
    default:
        return false;
    }
}

int plan_record(struct plan *p, const struct plan_input *in, struct arena *a, struct outputs *out,
                struct err *e)
{
    if (in->type == EVENT_CLAIM) {
        if (in->offset > p->newest[in->journal])
            p->newest[in->journal] = in->offset;
        return 0;
    }
    if (!event_is_choice(in->type))
        return 0;
    if (!valid(p, in)) {
        p->voids++;
        return 0;
    }
    if (!concerns(in))
        return 0;
    struct event ev;
    if (event_decode(&ev, in->value.p, in->value.n, a, e))
        return -1;
    if (ev.type != in->type)
        return err_set(e, ERR_REJECT, 0, "the record is not what its header says");
    switch (ev.type) {
    case EVENT_SERIES_DECIDED:
        return request(p, &ev.decided.tasks, &ev.decided.deliveries, out, e);
    case EVENT_STUDY_DECIDED:
        return request(p, &ev.study_decided.tasks, &ev.study_decided.deliveries, out, e);
    default:
        return request(p, NULL, &ev.task_finished.deliveries, out, e);
    }
}

void plan_save(const struct plan *p, struct str *out)
{
    str_printf(out, "d%" PRId64 " t%" PRId64, p->newest[PLAN_DECISION], p->newest[PLAN_TASK]);
}

void plan_restore(struct plan *p, const char *saved)
{
    int64_t d, t;
    int end = 0;
    if (saved && sscanf(saved, "d%" SCNd64 " t%" SCNd64 "%n", &d, &t, &end) == 2 && d >= -1 &&
        t >= -1) {
        p->newest[PLAN_DECISION] = d;
        p->newest[PLAN_TASK] = t;
    }
}
