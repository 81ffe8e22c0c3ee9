/*
 * The shell of decide: records in, outputs out, the configuration of the moment, and what a later
 * window needs: the manifests of its series' earlier windows.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "decide.h"
#include "event/manifest.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "past_stage.h"
#include "router/router.h"

/* A manifest lives longer than its decision can be read; on a shared file system it may show late.
 */
#define MISSING_MS 120000

METRIC_COUNTER(metric_instances, "talaria_decide_instances_total",
               "Instance records by what decide did with them.", "outcome");
METRIC_COUNTER(metric_windows, "talaria_decide_windows_total", "Windows by how they ended.",
               "outcome");
METRIC_COUNTER(metric_requests, "talaria_decide_requests_total", "What the decisions asked for.",
               "kind");
METRIC_COUNTER(metric_commands, "talaria_decide_command_decisions_total",
               "Decisions by command: series replayed and rerouted.", "kind");
METRIC_COUNTER(metric_timers, "talaria_decide_timers_total",
               "Timers: ticks written, and restarts after an outage.", "kind");
METRIC_COUNTER(metric_rule_errors, "talaria_decide_rule_errors_total",
               "Rules that failed on a series.", "");
METRIC_GAUGE(metric_open, "talaria_decide_open_windows",
             "Windows that collect, or whose decision was not read back yet.", "");

struct shell {
    struct decide *core;
    struct daemon *daemon;
    int32_t partition;
    int64_t missing_since; /* monotonic; 0: nothing is missing */
    struct decide_stats shown;
    struct past_reader past;
};

static int read_manifest(struct shell *s, const char *key, struct str *text, struct err *e)
{
    if (objstore_get(daemon_store(s->daemon), key, text, MANIFEST_MAX, e) == 0) {
        s->missing_since = 0;
        return 0;
    }
    if (e->kind != ERR_REJECT || e->code != ENOENT)
        return -1;
    int64_t now = clock_mono_ms();
    if (!s->missing_since)
        s->missing_since = now ? now : 1;
    if (now - s->missing_since < MISSING_MS)
        return -1;
    /* Its members are gone with it: nothing of this window can stand there any more. */
    LOG_LIMITED(LOG_LEVEL_ERROR, "manifest of an earlier window is missing",
                LOG_INT("partition", s->partition));
    return 1;
}

static int known_receipts(void *arg, const char *key, decide_receipt_fn fn, void *to, struct err *e)
{
    struct str text = STR_INIT;
    int rc = read_manifest(arg, key, &text, e);
    if (rc == 0)
        rc = decide_manifest_receipts(text.data, text.len, fn, to, e);
    str_free(&text);
    return rc < 0 ? -1 : 0;
}

/* For a command: nobody waits for one that is missing, the command can be given again. */
static int manifest(void *arg, const char *key, struct slice *out, struct arena *a, struct err *e)
{
    struct shell *s = arg;
    struct str text = STR_INIT;
    int rc = objstore_get(daemon_store(s->daemon), key, &text, MANIFEST_MAX, e);
    if (rc == 0)
        *out = (struct slice){arena_strndup(a, str_cstr(&text), text.len), text.len};
    str_free(&text);
    return rc == 0 ? 0 : e->kind == ERR_REJECT ? 1 : -1;
}

static int decision(void *arg, int64_t offset, struct slice *out, struct arena *a, struct err *e)
{
    return past_decision(&((struct shell *)arg)->past, offset, out, a, e);
}

static int configuration(void *arg, const char *revision, const struct config_snapshot **out,
                         struct err *e)
{
    return past_configuration(&((struct shell *)arg)->past, revision, out, e);
}

static void *stage_open(const struct stage_partition *p)
{
    struct shell *s = mem_zalloc(sizeof *s);
    const struct decide_setup setup = {
        .site = p->site,
        .owner = p->owner,
        .partition = p->partition,
        .claim = p->claim,
        .known_receipts = known_receipts,
        .decision = decision,
        .manifest = manifest,
        .configuration = configuration,
        .arg = s,
    };
    s->daemon = p->daemon;
    s->partition = p->partition;
    past_init(&s->past, p->daemon, p->partition);
    s->core = decide_new(&setup);
    return s;
}

static void stage_journal(void *state, const struct stage_record *r, struct arena *a)
{
    struct shell *s = state;
    const struct decide_entry entry = {r->offset, r->type, r->is_void, r->value};
    decide_journal(s->core, &entry, a);
}

/* For tests: the failpoint decide.poison strikes at records that hold the text TALARIA_POISON. It is not
 * in the list of failpoints, because no ordinary study passes it. */
static void poison(const struct stage_record *r)
{
#if FAILPOINTS
    const char *text = getenv("TALARIA_POISON");
    if (text && *text && r->value.p && memmem(r->value.p, r->value.n, text, strlen(text)))
        (void)failpoint_named("decide.poison");
#endif
    (void)r;
}

static enum stage_verdict stage_record(void *state, const struct stage_record *r, struct arena *a,
                                       struct outputs *out, struct err *e)
{
    struct shell *s = state;
    const struct decide_input in = {r->offset, r->timestamp, r->type,
                                    r->study,  r->series,    r->value};
    const struct config_snapshot *config = daemon_config(s->daemon);
    poison(r);
    enum decide_verdict v = decide_record(s->core, config, &in, a, out, e);
    daemon_config_release(s->daemon, config);
    past_done(&s->past);
    switch (v) {
    case DECIDE_RETRY:
        return STAGE_RETRY;
    case DECIDE_REJECT:
        return STAGE_REJECT;
    default:
        return STAGE_DONE;
    }
}

static void stage_skipped(void *state, const struct stage_record *r)
{
    const struct decide_input in = {r->offset, r->timestamp, r->type,
                                    r->study,  r->series,    r->value};
    decide_leave_out(((struct shell *)state)->core, &in);
}

static const char *stage_named(const void *state, int64_t *offset)
{
    return decide_named(((const struct shell *)state)->core, offset);
}

static void show(struct metric *m, uint64_t now, uint64_t *before, const char *label)
{
    if (now == *before)
        return;
    metric_add(m, (double)(now - *before), label);
    *before = now;
}

static void show_all(struct shell *s)
{
    static const char *const reasons[] = {"quiet", "released", "command", "cap"};
    struct decide_stats now = decide_stats(s->core), *was = &s->shown;
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        show(&metric_windows, now.closed[i], &was->closed[i], reasons[i]);
    show(&metric_windows, now.dropped, &was->dropped, "nothing-left");
    show(&metric_instances, now.stored, &was->stored, "taken");
    show(&metric_instances, now.repeated, &was->repeated, "repeated");
    show(&metric_instances, now.skipped, &was->skipped, "covered");
    show(&metric_requests, now.tasks, &was->tasks, "task");
    show(&metric_requests, now.deliveries, &was->deliveries, "delivery");
    show(&metric_requests, now.held, &was->held, "held");
    show(&metric_requests, now.discarded, &was->discarded, "discarded");
    show(&metric_commands, now.replayed, &was->replayed, "replay");
    show(&metric_commands, now.rerouted, &was->rerouted, "reroute");
    show(&metric_timers, now.ticks, &was->ticks, "tick");
    show(&metric_timers, now.restarted, &was->restarted, "restart");
    if (now.rule_errors != was->rule_errors)
        metric_add(&metric_rule_errors, (double)(now.rule_errors - was->rule_errors));
    metric_add(&metric_open, (double)(now.open + now.closing) - (double)(was->open + was->closing));
    s->shown = now;
}

static void stage_tick(void *state, int64_t log_now, bool caught_up, struct outputs *out)
{
    struct shell *s = state;
    decide_tick(s->core, log_now, caught_up, out);
    show_all(s);
}

static int64_t stage_floor(const void *state, int64_t position)
{
    return decide_floor(((const struct shell *)state)->core, position);
}

static void stage_close(void *state)
{
    struct shell *s = state;
    show_all(s);
    metric_add(&metric_open, -(double)(s->shown.open + s->shown.closing));
    decide_free(s->core);
    mem_free(s);
}

const struct stage router_decide = {
    .name = "decide",
    .inputs = {"instance"},
    .journal = "decision",
    .unflushed = true,
    .gather_ms = 40, /* windows wait for seconds; a busy broker is spared a fetch per instance */
    .memory_ms = STAGE_FROM_START,
    .open = stage_open,
    .journal_record = stage_journal,
    .record = stage_record,
    .tick = stage_tick,
    .floor = stage_floor,
    .skipped = stage_skipped,
    .named = stage_named,
    .close = stage_close,
};
