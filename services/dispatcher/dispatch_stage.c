/* The shell around the core: a journal stage on `delivery` whose jobs run in threads of their own.
 */
#include "dispatcher/dispatch_stage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatcher/job.h"
#include "log/log.h"
#include "metrics/metrics.h"

METRIC_GAUGE(open_deliveries, "talaria_deliveries_open", "Deliveries not ended, by partition.",
             "partition");

METRIC_GAUGE(target_refused, "talaria_target_refused",
             "1 while the target rejects associations for good (AE titles, as a rule).", "target");

#define MEMORY_MS (INT64_C(3) * 24 * 3600 * 1000) /* design.md §3: ended ids are remembered */
#define EXPIRE_MS 5000

struct part {
    struct stage_partition info;
    struct dispatch *core;
    struct jobs *jobs;
    bool opened;
    int64_t expired_ms;
    struct outputs notes; /* made while records are read, written with the next tick */
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

static const struct dispatcher_settings *settings_of(const struct part *me)
{
    return (const struct dispatcher_settings *)daemon_settings(me->info.daemon);
}

static void *open_partition(const struct stage_partition *p)
{
    struct part *me = mem_zalloc(sizeof *me);
    me->info = *p;
    me->core =
        dispatch_new(p->partition, p->claim, p->floor, settings_of(me)->expire_seconds * 1000);
    me->jobs = daemon_context(p->daemon);
    me->notes = daemon_outputs(p->daemon);
    return me;
}

static void close_partition(void *state)
{
    struct part *me = state;
    jobs_abandon(me->jobs, me->info.partition, settings_of(me)->stop_seconds * 1000);
    dispatch_free(me->core);
    outputs_free(&me->notes);
    mem_free(me);
}

/* To dlq, whole. Read again after a crash it goes there again, under the same id. */
static void reject(struct part *me, const struct stage_record *r, const struct err *why)
{
    struct err e = {0};
    log_error("an undecodable record in delivery", LOG_ERR(why), LOG_INT("partition", r->partition),
              LOG_INT("offset", r->offset));
    if (r->offset >= me->info.floor &&
        stage_reject(&me->notes, r, me->info.daemon, dispatch_stage.name, me->info.claim, why, &e))
        log_error("rejected record cannot be described", LOG_ERR(&e));
}

/* Every command ends in an answer; one that is read again after a crash is answered again. */
static void answer(struct part *me, const struct event_command *c, bool known)
{
    char id[EVENT_ID];
    struct err e = {0};
    snprintf(id, sizeof id, "%.150s.answered", c->command);
    struct event ev = {.type = EVENT_COMMAND_ANSWERED,
                       .id = id,
                       .note = {.command = c->command,
                                .name = c->delivery,
                                .by = c->user,
                                .why = c->reason,
                                .study = c->study,
                                .outcome = known ? "done" : "ignored",
                                .text = known ? NULL : "no such delivery is open"}};
    if (outputs_event(&me->notes, "event", -1, NULL, &ev, -1, &e))
        log_error("an answer to a command could not be made", LOG_ERR(&e));
}

static void tell_alarm(struct part *me, enum event_type type, const char *id, const char *target,
                       const char *text)
{
    struct err e = {0};
    struct event alarm = {
        .type = type, .id = id, .note = {.kind = "target", .name = target, .text = text}};
    if (outputs_event(&me->notes, "event", -1, NULL, &alarm, -1, &e))
        log_error("an alarm could not be made", LOG_ERR(&e));
}

/* An alarm when a target begins to refuse us for good, and its end. Told by the records alone, so
 * one that is read again after a crash tells the same again, under the same id. */
static void tell_refusal(struct part *me, const struct stage_record *r, const struct event *ev,
                         const char *target, bool refused)
{
    char id[EVENT_ID];
    metric_set(&target_refused, refused, target);
    if (r->offset < me->info.floor)
        return;
    snprintf(id, sizeof id, "%.100s.%lld.%s", ev->attempted.delivery,
             (long long)ev->attempted.attempt, refused ? "refused" : "accepted");
    tell_alarm(me, refused ? EVENT_ALARM_RAISED : EVENT_ALARM_CLEARED, id, target,
               refused ? ev->attempted.reason : NULL);
}

static void attempted(struct part *me, const struct stage_record *r, const struct event *ev)
{
    const struct delivery *x = dispatch_find(me->core, ev->attempted.delivery);
    const bool before = x && dispatch_refused(me->core, x->target);
    dispatch_journal(me->core, ev, r->offset, r->timestamp, r->folding, r->is_void);
    if (x && before != dispatch_refused(me->core, x->target))
        tell_refusal(me, r, ev, x->target, !before);
}

static void commanded(struct part *me, const struct stage_record *r, const struct event *ev,
                      const struct delivery *x)
{
    if (r->offset < me->info.floor)
        return;
    if (x && ev->type == EVENT_COMMAND_CANCEL && x->phase == DELIVERY_RUNNING)
        jobs_cancel(me->jobs, me->info.partition, x->id);
    if (x && ev->type == EVENT_COMMAND_RETRY && !r->folding)
        jobs_hurry(me->jobs, x->target);
    answer(me, &ev->command, x != NULL);
}

static void journal_record(void *state, const struct stage_record *r, struct arena *a)
{
    struct part *me = state;
    struct err e = {0};
    const struct event *ev = stage_event(r, a, &e);
    if (!ev) {
        reject(me, r, &e);
        return;
    }
    if (ev->type == EVENT_DELIVERY_ATTEMPTED) {
        attempted(me, r, ev);
        return;
    }
    dispatch_journal(me->core, ev, r->offset, r->timestamp, r->folding, r->is_void);
    if ((ev->type == EVENT_COMMAND_CANCEL || ev->type == EVENT_COMMAND_RETRY) &&
        ev->command.delivery)
        commanded(me, r, ev, dispatch_find(me->core, ev->command.delivery));
}

/* The notes' records become the stage's outputs. */
static void hand_over(struct outputs *notes, struct outputs *out)
{
    for (size_t i = 0; i < notes->records.n; i++)
        *vec_push(&out->records) = notes->records.items[i];
    vec_clear(&notes->records);
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

/* A revision is "<number>-<hash>"; the built-in empty configuration has number 0. */
static int64_t attempts_of(void *arg, const struct delivery *x)
{
    const struct round *r = arg;
    const struct config_target *t = config_target(r->config, x->target);
    if (t)
        return t->attempts;
    return strtoll(r->config->revision, NULL, 10) < x->revision ? DISPATCH_NOT_YET : 0;
}

/* Taken out of the configuration, or renamed, or paused: nobody asks it, so nothing is known of
 * it. */
static bool is_gone(void *arg, const char *target)
{
    const struct round *r = arg;
    const struct config_target *t = config_target(r->config, target);
    return strtoll(r->config->revision, NULL, 10) > 0 && (!t || t->paused);
}

static void end_alarms(struct part *me, struct round *r)
{
    const char *target;
    char id[EVENT_ID];
    while ((target = dispatch_refusal_over(me->core, is_gone, r))) {
        metric_forget(&target_refused, target);
        snprintf(id, sizeof id, "%.64s.%s.gone", target, r->config->revision);
        const bool paused = config_target(r->config, target);
        tell_alarm(me, EVENT_ALARM_CLEARED, id, target,
                   paused ? "the target is paused" : "the configuration has no such target any more");
    }
}

static int take_ended(struct part *me, int64_t now, struct outputs *out, struct err *e)
{
    struct job_result result;
    while (jobs_take_ended(me->jobs, me->info.partition, &result)) {
        struct delivery *x = dispatch_find(me->core, result.delivery);
        struct attempt_end end = {*result.reason ? result.reason : NULL, result.open,
                                  result.retry_ms, result.refused};
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
        if (jobs_start(me->jobs, &me->info, x, dispatch_begin(me->core, x), &e)) {
            dispatch_not_begun(me->core, x);
            LOG_LIMITED(LOG_LEVEL_ERROR, "an attempt could not be started", LOG_ERR(&e));
            return;
        }
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
        dispatch_expire(me->core, log_now, attempts_of, &r);
        end_alarms(me, &r);
        jobs_forget_gone(me->jobs, r.config);
    }
    hand_over(&me->notes, out);
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
