/* The shell around the core: a journal stage on `delivery` whose jobs run in threads of their own. */
#include "dispatcher/dispatch_stage.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatcher/job.h"
#include "log/log.h"
#include "metrics/metrics.h"

METRIC_GAUGE(open_deliveries, "talaria_deliveries_open", "Deliveries not ended, by partition.",
             "partition");

#define MEMORY_MS (INT64_C(3) * 24 * 3600 * 1000) /* design.md §3: ended ids are remembered */
#define EXPIRE_MS 5000

struct part {
    struct stage_partition info;
    struct dispatch *core;
    struct jobs *jobs;
    bool opened;
    int64_t expired_ms;
};

static int start_jobs(struct daemon *d, struct err *e)
{
    (void)e;
    daemon_set_context(d, jobs_new(d, (const struct dispatcher_settings *)daemon_settings(d)));
    return 0;
}

static void stop_jobs(struct daemon *d)
{
    jobs_free(daemon_context(d));
}

const struct daemon_part dispatch_jobs = {.name = "jobs", .start = start_jobs, .stop = stop_jobs};

static void *open_partition(const struct stage_partition *p)
{
    struct part *me = mem_zalloc(sizeof *me);
    me->info = *p;
    me->core = dispatch_new(p->partition, p->claim, p->floor);
    me->jobs = daemon_context(p->daemon);
    return me;
}

static void close_partition(void *state)
{
    struct part *me = state;
    const struct dispatcher_settings *s =
        (const struct dispatcher_settings *)daemon_settings(me->info.daemon);
    jobs_abandon(me->jobs, me->info.partition, s->stop_seconds * 1000);
    dispatch_free(me->core);
    mem_free(me);
}

static void journal_record(void *state, const struct stage_record *r, struct arena *a)
{
    struct part *me = state;
    struct err e = {0};
    const struct event *ev = stage_event(r, a, &e);
    if (ev)
        dispatch_journal(me->core, ev, r->offset, r->timestamp, r->folding, r->is_void);
    else
        LOG_LIMITED(LOG_LEVEL_ERROR, "an undecodable record in delivery", LOG_ERR(&e),
                    LOG_INT("partition", r->partition), LOG_INT("offset", r->offset));
}

static void opened(void *state, struct outputs *out)
{
    struct part *me = state;
    (void)out;
    dispatch_opened(me->core);
    me->opened = true;
}

/* ---- tick: what has ended, what follows, what starts ---- */

struct round {
    struct part *me;
    const struct config_snapshot *config;
};

static bool allows(void *arg, const char *target, const char *patient)
{
    const struct round *r = arg;
    return jobs_allow(r->me->jobs, r->config, target, patient);
}

static int64_t attempts_of(void *arg, const char *target)
{
    const struct round *r = arg;
    const struct config_target *t = config_target(r->config, target);
    return t ? t->attempts : 0;
}

static int take_ended(struct part *me, int64_t now, struct outputs *out, struct err *e)
{
    struct job_result result;
    while (jobs_take_ended(me->jobs, me->info.partition, &result)) {
        struct delivery *x = dispatch_find(me->core, result.delivery);
        struct attempt_end end = {*result.reason ? result.reason : NULL, result.open,
                                  result.retry_ms};
        if (x && x->phase == DELIVERY_RUNNING &&
            dispatch_attempt_ended(me->core, x, me->info.owner, &end, now, out, e))
            return -1;
    }
    return 0;
}

static void start_due(struct part *me, struct round *r, int64_t now)
{
    struct delivery *x;
    bool off_peak = config_off_peak(&r->config->defaults, now);
    while ((x = dispatch_next(me->core, now, off_peak, allows, r))) {
        struct err e = {0};
        if (jobs_start(me->jobs, me->info.partition, x, x->attempts + 1, &e)) {
            LOG_LIMITED(LOG_LEVEL_ERROR, "an attempt could not be started", LOG_ERR(&e));
            return;
        }
        (void)dispatch_begin(me->core, x);
    }
}

static void tick(void *state, int64_t log_now, bool caught_up, struct outputs *out)
{
    struct part *me = state;
    struct err e = {0};
    (void)caught_up;
    if (!me->opened)
        return;
    struct round r = {me, daemon_config(me->info.daemon)};
    if (clock_mono_ms() - me->expired_ms > EXPIRE_MS) {
        char text[16];
        me->expired_ms = clock_mono_ms();
        snprintf(text, sizeof text, "%d", (int)me->info.partition);
        metric_set(&open_deliveries, (double)dispatch_open(me->core), text);
        dispatch_expire(me->core, log_now);
    }
    if (take_ended(me, log_now, out, &e) ||
        dispatch_settle(me->core, log_now, attempts_of, &r, out, &e))
        log_error("a record of a delivery could not be made", LOG_ERR(&e));
    start_due(me, &r, log_now);
    daemon_config_release(me->info.daemon, r.config);
}

static int64_t stage_floor(const void *state, int64_t position)
{
    return dispatch_floor(((const struct part *)state)->core, position);
}

const struct stage dispatch_stage = {
    .name = "dispatch",
    .inputs = {"delivery"},
    .journal = "delivery",
    .memory_ms = MEMORY_MS,
    .open = open_partition,
    .journal_record = journal_record,
    .opened = opened,
    .tick = tick,
    .floor = stage_floor,
    .close = close_partition,
};
