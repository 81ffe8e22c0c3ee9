/* The shell of plan: it has no journal and no state; the skeleton keeps the newest claims of what it
 * reads in the commit metadata. */
#include "metrics/metrics.h"
#include "plan.h"
#include "router/router.h"

METRIC_COUNTER(metric_requests, "talaria_plan_requests_total",
               "Requests written from valid decisions and ended tasks.", "kind");
METRIC_COUNTER(metric_answers, "talaria_plan_answers_total", "Answers to replays and reroutes.", "");
METRIC_COUNTER(metric_void, "talaria_plan_void_total", "Void choices that were passed over.", "");

static void *stage_open(const struct stage_partition *p)
{
    static char no_state;
    (void)p;
    return &no_state;
}

static enum stage_verdict stage_record(void *state, const struct stage_record *r, struct arena *a,
                                       struct outputs *out, struct err *e)
{
    const struct plan_input in = {strcmp(r->noun, "task") == 0 ? PLAN_TASK : PLAN_DECISION, r->type,
                                  r->is_void, r->value};
    struct plan_made made;
    (void)state;
    if (plan_record(&made, &in, a, out, e))
        return e->kind == ERR_RETRY ? STAGE_RETRY : STAGE_REJECT;
    if (made.tasks)
        metric_add(&metric_requests, (double)made.tasks, "task");
    if (made.deliveries)
        metric_add(&metric_requests, (double)made.deliveries, "delivery");
    if (made.answers)
        metric_add(&metric_answers, (double)made.answers);
    if (r->is_void)
        metric_add(&metric_void, 1);
    return STAGE_DONE;
}

const struct stage router_plan = {
    .name = "plan",
    .inputs = {"decision", "task"},
    .open = stage_open,
    .record = stage_record,
};
