/* The life of a process: boot in order, wait for signals, stop in reverse. */
#include "daemon/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define RETRY_MS 1000
#define STUCK_MS 120000
#define FLUSH_MS 10000
#define TURN_MS  1000
#define BACK_MS  2000 /* a wall clock that is set back by more ends the process */
#define LEAVE_S  30   /* … within so long */

METRIC_GAUGE(build_info, "talaria_build_info", "1; what runs here.", "service,version");

/* ---- accessors ---- */

const struct daemon_settings *daemon_settings(const struct daemon *d)
{
    return d->settings;
}

const char *daemon_owner(const struct daemon *d)
{
    return d->owner;
}

const char *daemon_source(const struct daemon *d)
{
    return d->source;
}

struct kafka_producer *daemon_producer(struct daemon *d)
{
    return d->producer;
}

struct objstore *daemon_store(struct daemon *d)
{
    return d->store;
}

bool daemon_stopping(const struct daemon *d)
{
    return d->stopping;
}

void daemon_set_context(struct daemon *d, void *context)
{
    __atomic_store_n(&d->context, context, __ATOMIC_RELEASE);
}

void *daemon_context(struct daemon *d)
{
    return __atomic_load_n(&d->context, __ATOMIC_ACQUIRE);
}

const struct config_snapshot *daemon_config(struct daemon *d)
{
    return feed_hold(d->feed);
}

void daemon_config_release(struct daemon *d, const struct config_snapshot *s)
{
    if (s)
        feed_release(d->feed, s);
}

void daemon_on_config(struct daemon *d, void (*fn)(void *arg), void *arg)
{
    feed_notify(d->feed, fn, arg);
}

struct outputs daemon_outputs(struct daemon *d)
{
    return (struct outputs){.source = d->source, .now_ms = clock_wall_ms()};
}

int daemon_write(struct daemon *d, struct outputs *o, struct err *e)
{
    return write_outputs(d, o, NULL, e);
}

/* ---- parts ---- */

static void drain_parts(struct daemon *d)
{
    for (size_t i = 0; i < d->n_parts; i++)
        if (d->service->parts[i]->drain)
            d->service->parts[i]->drain(d);
}

/* The last one that runs; from now on nobody asks it whether it is ready. */
static const struct daemon_part *take_part(struct daemon *d)
{
    return d->service->parts[__atomic_sub_fetch(&d->n_parts, 1, __ATOMIC_ACQ_REL)];
}

/* ---- the wall clock ---- */

static int64_t wall_ahead(void)
{
    return clock_wall_ms() - clock_mono_ms();
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_FAILURE);
}

/* The Kafka client waits for wall times: set back by an hour, its heartbeats, and its end, are an
 * hour late. So the process leaves as if it were killed, but for its associations, which may end
 * (docs/decisions/0006). Kafka's threads may sleep: whatever waits for them is cut short. */
static void leave_if_set_back(struct daemon *d)
{
    int64_t ahead = wall_ahead(), back = d->wall_ahead - ahead;
    d->wall_ahead = ahead;
    if (back < BACK_MS)
        return;
    log_error("the wall clock was set back; leaving, to be started again", LOG_INT("ms", back));
    signal(SIGALRM, on_alarm);
    alarm(LEAVE_S);
    readiness_set(&d->boot, false, "the wall clock was set back");
    drain_parts(d);
    while (d->n_parts) {
        const struct daemon_part *p = take_part(d);
        if (p->drain && p->stop)
            p->stop(d);
    }
    _exit(EXIT_FAILURE);
}

/* ---- boot ---- */

/* One step of the start: 0 done, RETRY again later, else the process ends. */
struct step {
    const char *name;
    int (*run)(struct daemon *d, struct err *e);
};

static int start_admin(struct daemon *d, struct err *e)
{
    return admin_start(&d->admin, d, e);
}

static int start_store(struct daemon *d, struct err *e)
{
    return d->service->without_store ? 0 : objstore_open(&d->store, d->settings->store, e);
}

static int start_producer(struct daemon *d, struct err *e)
{
    return d->service->without_kafka ? 0 : kafka_producer_new(&d->producer, &d->kafka, e);
}

static int check_topics(struct daemon *d, struct err *e)
{
    return d->service->without_kafka ? 0 : topics_check(d, e);
}

static bool wants_config(const struct service *s)
{
    return !s->without_config && !s->without_kafka && !s->without_store;
}

static int start_feed(struct daemon *d, struct err *e)
{
    return wants_config(d->service) ? feed_start(&d->feed, d, e) : 0;
}

static int await_config(struct daemon *d, struct err *e)
{
    char why[DAEMON_WHY];
    (void)e;
    while (d->feed && !d->stopping && !feed_loaded(d->feed, why)) {
        readiness_set(&d->boot, false, why);
        watchdog_beat(d->main_beat);
        leave_if_set_back(d);
        clock_sleep_ms(50, &d->stopping);
    }
    return 0;
}

/* Waits for what is away, says so, and stops waiting when told to stop. */
static int patiently(struct daemon *d, const char *name,
                     int (*run)(struct daemon *d, struct err *e), struct err *e)
{
    for (;;) {
        err_clear(e);
        if (!run(d, e) || d->stopping)
            return 0;
        err_wrap(e, "%s", name);
        if (e->kind != ERR_RETRY)
            return -1;
        readiness_set(&d->boot, false, e->text);
        LOG_LIMITED(LOG_LEVEL_WARN, "waiting", LOG_ERR(e));
        watchdog_beat(d->main_beat);
        leave_if_set_back(d);
        clock_sleep_ms(RETRY_MS, &d->stopping);
    }
}

static int start_next_part(struct daemon *d, struct err *e)
{
    return d->service->parts[d->n_parts]->start(d, e);
}

static int start_parts(struct daemon *d, struct err *e)
{
    const struct service *s = d->service;
    while (s->parts && s->parts[d->n_parts] && !d->stopping) {
        if (patiently(d, s->parts[d->n_parts]->name, start_next_part, e))
            return -1;
        if (!d->stopping || !e->kind)
            __atomic_add_fetch(&d->n_parts, 1, __ATOMIC_RELEASE);
    }
    return 0;
}

static int start_stages(struct daemon *d, struct err *e)
{
    const struct service *s = d->service;
    while (s->stages && s->stages[d->n_runners] && d->n_runners < DAEMON_STAGES) {
        if (runner_start(&d->runners[d->n_runners], d, s->stages[d->n_runners], e))
            return -1;
        __atomic_add_fetch(&d->n_runners, 1, __ATOMIC_RELEASE);
    }
    return 0;
}

static int boot(struct daemon *d, struct err *e)
{
    static const struct step steps[] = {
        {"admin", start_admin},   {"object store", start_store}, {"kafka", start_producer},
        {"topics", check_topics}, {"configuration", start_feed}, {"configuration", await_config},
        {"parts", start_parts},   {"stages", start_stages},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps) && !d->stopping; i++) {
        readiness_set(&d->boot, false, steps[i].name);
        if (patiently(d, steps[i].name, steps[i].run, e))
            return -1;
    }
    readiness_set(&d->boot, !d->stopping, "stopping");
    return 0;
}

static void note(struct daemon *d, enum event_type type)
{
    struct err e = {0};
    struct outputs out = daemon_outputs(d);
    struct event ev = {.type = type, .subject = d->owner};
    ev.note.name = d->owner;
    ev.note.text = TALARIA_VERSION;
    if (d->producer && kafka_producer_ready(d->producer) &&
        (outputs_event(&out, "event", -1, d->owner, &ev, -1, &e) || daemon_write(d, &out, &e)))
        log_warn("event not written", LOG_ERR(&e));
    outputs_free(&out);
}

/* ---- signals ---- */

static struct daemon *volatile the_daemon; /* for the handler only */

/* First TERM or INT: drain. Second: leave at once. */
static void on_signal(int signal_number)
{
    struct daemon *d = the_daemon;
    if (!d || d->stopping)
        _exit(128 + signal_number);
    d->stopping = 1;
}

static void catch_signals(struct daemon *d)
{
    the_daemon = d;
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

/* ---- running and stopping ---- */

static void watch(struct daemon *d)
{
    const char *name;
    int64_t silence = watchdog_silence(d, &name);
    if (silence < STUCK_MS)
        return;
    log_error("a thread is stuck; leaving", LOG_STR("thread", name), LOG_INT("ms", silence));
    abort();
}

static bool all_ready(struct daemon *d)
{
    struct str body = STR_INIT;
    bool ready = admin_ready(d, &body) == 200;
    str_free(&body);
    return ready;
}

static void serve(struct daemon *d)
{
    bool told = false;
    while (!d->stopping) {
        if (!told && all_ready(d)) {
            told = true;
            log_info("ready");
            notify_supervisor("READY=1");
            note(d, EVENT_SERVICE_STARTED);
        }
        clock_sleep_ms(told ? TURN_MS : 50, &d->stopping);
        watchdog_beat(d->main_beat);
        leave_if_set_back(d);
        watch(d);
        notify_supervisor("WATCHDOG=1");
    }
}

static void stop(struct daemon *d)
{
    d->stopping = 1;
    watchdog_leave(d->main_beat);
    notify_supervisor("STOPPING=1");
    log_info("stopping");
    drain_parts(d);
    while (d->n_runners)
        runner_stop(d->runners[__atomic_sub_fetch(&d->n_runners, 1, __ATOMIC_ACQ_REL)]);
    while (d->n_parts) {
        const struct daemon_part *p = take_part(d);
        if (p->stop)
            p->stop(d);
    }
    if (d->producer) {
        note(d, EVENT_SERVICE_STOPPED);
        kafka_producer_flush(d->producer, FLUSH_MS);
    }
    admin_stop(d->admin);
    feed_stop(d->feed);
    kafka_producer_free(d->producer);
    objstore_close(d->store);
}

static int run(struct daemon *d)
{
    struct err e = {0};
    catch_signals(d);
    readiness_init(&d->boot, "starting");
    d->main_beat = watchdog_add(d, "main");
    d->wall_ahead = wall_ahead();
    metric_set(&build_info, 1, d->service->name, TALARIA_VERSION);
    log_info("starting", LOG_STR("version", TALARIA_VERSION), LOG_STR("site", d->settings->site));
    int r = boot(d, &e);
    if (r)
        log_error("cannot start", LOG_ERR(&e));
    else
        serve(d);
    stop(d);
    log_info("stopped");
    return r || d->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void fill(struct daemon *d)
{
    struct daemon_settings *s = d->settings;
    d->owner = arena_printf(d->arena, "%s-%s", d->service->name, s->instance);
    d->source = arena_printf(d->arena, "/talaria/%s/%s/%s", s->site, d->service->name, s->instance);
    d->kafka = s->kafka;
    d->kafka.brokers = s->brokers;
    d->kafka.client_id = d->owner;
    d->kafka.linger_ms = (int)d->settings->linger_ms;
}

static int asked(const struct service *s, enum settings_mode mode)
{
    if (mode == MODE_HELP)
        reference_help(s);
    else if (mode == MODE_REFERENCE)
        reference_markdown(s);
    else if (mode == MODE_FAILPOINTS)
        reference_failpoints(s);
    else if (mode == MODE_VERSION)
        printf("talaria-%s %s\n", s->name, TALARIA_VERSION);
    else
        printf("settings are valid\n");
    return EXIT_SUCCESS;
}

int daemon_main(const struct service *s, int argc, char **argv)
{
    struct daemon d = {.service = s};
    enum settings_mode mode;
    struct err e = {0};
    mallopt(M_ARENA_MAX, 2); /* many threads, little memory each */
    d.arena = arena_new(0);
    d.settings = arena_alloc(d.arena, s->settings_size ? s->settings_size : sizeof *d.settings);
    if (settings_read(d.settings, s, argc, argv, d.arena, &mode, &e)) {
        fprintf(stderr, "talaria-%s: %s\n", s->name, e.text);
        arena_free(d.arena);
        return EXIT_FAILURE;
    }
    int r;
    if (mode != MODE_RUN) {
        r = asked(s, mode);
    } else {
        log_setup(s->name, d.settings->instance, (enum log_level)d.settings->log_level);
        fill(&d);
        r = run(&d);
    }
    arena_free(d.arena);
    return r;
}
