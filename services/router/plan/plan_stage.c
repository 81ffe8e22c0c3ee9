/* The shell of plan: it has no journal and no state but the newest claims, in the commit metadata.
 */
#include "metrics/metrics.h"
#include "plan.h"
#include "router/router.h"

METRIC_COUNTER(metric_requests, "talaria_plan_requests_total",
               "Requests written from valid decisions and ended tasks.", "kind");
METRIC_COUNTER(metric_void, "talaria_plan_void_total", "Void choices that were passed over.", "");

static void *stage_open(const struct stage_partition *p)
{
    struct plan *plan = mem_alloc(sizeof *plan);
    (void)p;
    plan_init(plan);
    return plan;
}

static enum stage_verdict stage_record(void *state, const struct stage_record *r, struct arena *a,
                                       struct outputs *out, struct err *e)
{
    struct plan *plan = state;
    const struct plan before = *plan;
    const struct plan_input in = {strcmp(r->noun, "task") == 0 ? PLAN_TASK : PLAN_DECISION,
                                  r->offset, r->type, r->claim, r->value};
    if (plan_record(plan, &in, a, out, e))
        return e->kind == ERR_RETRY ? STAGE_RETRY : STAGE_REJECT;
    if (plan->tasks != before.tasks)
        metric_add(&metric_requests, (double)(plan->tasks - before.tasks), "task");
    if (plan->deliveries != before.deliveries)
        metric_add(&metric_requests, (double)(plan->deliveries - before.deliveries), "delivery");
    if (plan->voids != before.voids)
        metric_add(&metric_void, 1);
    return STAGE_DONE;
}

static int64_t stage_floor(const void *state, int64_t position)
{
    (void)state; /* what a record asks for is written before the next one is read */
    return position;
}

static void stage_save(const void *state, struct str *out)
{
    plan_save(state, out);
}

static void stage_restore(void *state, const char *saved)
{
    plan_restore(state, saved);
}

static void stage_close(void *state)
{
    mem_free(state);
}

const struct stage router_plan = {
    .name = "plan",
    .inputs = {"decision", "task"},
    .open = stage_open,
    .record = stage_record,
    .floor = stage_floor,
    .save = stage_save,
    .restore = stage_restore,
    .close = stage_close,
};
