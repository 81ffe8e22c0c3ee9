/* Nested requests of valid choices, out as records of their own. */
#include "plan.h"

#include "event/ids.h"

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

static int request(struct plan_made *made, const struct row_list *tasks,
                   const struct row_list *deliveries, struct outputs *out, struct err *e)
{
    for (size_t i = 0; tasks && i < tasks->n; i++)
        if (request_task(rows_at(struct event_task_requested, tasks, i), out, e))
            return -1;
    for (size_t i = 0; i < deliveries->n; i++)
        if (request_delivery(rows_at(struct event_delivery_requested, deliveries, i), out, e))
            return -1;
    *made = (struct plan_made){.tasks = tasks ? tasks->n : 0, .deliveries = deliveries->n};
    return 0;
}

/* Not by decide: an owner that has lost its partition would answer what never came to be. */
static int answer(struct plan_made *made, const struct event_note *decided, struct outputs *out,
                  struct err *e)
{
    char id[HASH_ID_HEX];
    ids_command_decision(id, decided->command, "answered");
    struct event ev = {.type = EVENT_COMMAND_ANSWERED,
                       .id = id,
                       .subject = decided->command,
                       .note = *decided};
    made->answers = 1;
    return outputs_event(out, "event", -1, NULL, &ev, -1, e);
}

static bool concerns(const struct plan_input *in)
{
    switch (in->type) {
    case EVENT_SERIES_DECIDED:
    case EVENT_STUDY_DECIDED:
    case EVENT_COMMAND_DECIDED:
        return in->journal == PLAN_DECISION;
    case EVENT_TASK_FINISHED:
        return in->journal == PLAN_TASK;
    default:
        return false;
    }
}

int plan_record(struct plan_made *made, const struct plan_input *in, struct arena *a,
                struct outputs *out, struct err *e)
{
    *made = (struct plan_made){0};
    if (in->is_void || !concerns(in))
        return 0;
    struct event ev;
    if (event_decode(&ev, in->value.p, in->value.n, a, e))
        return -1;
    if (ev.type != in->type)
        return err_set(e, ERR_REJECT, 0, "the record is not what its header says");
    switch (ev.type) {
    case EVENT_SERIES_DECIDED:
        return request(made, &ev.decided.tasks, &ev.decided.deliveries, out, e);
    case EVENT_STUDY_DECIDED:
        return request(made, &ev.study_decided.tasks, &ev.study_decided.deliveries, out, e);
    case EVENT_COMMAND_DECIDED:
        return answer(made, &ev.note, out, e);
    default:
        return request(made, NULL, &ev.task_finished.deliveries, out, e);
    }
}
