/* Two threads: one cleans and watches disk and outbox, one reconciles. */
#include "cleaner/cleaner.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cleaner/clean.h"
#include "cleaner/notes.h"
#include "cleaner/reconcile.h"
#include "config/config.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { AWAY_MS = 1000, STACK = 1 << 20 };

METRIC_GAUGE(used, "talaria_store_used_percent", "Use of the volume that holds the store.", "");
METRIC_GAUGE(outbox_age, "talaria_cleaner_outbox_age_seconds",
             "Age of the oldest record in the outbox.", "");
METRIC_GAUGE(oldest_due, "talaria_cleaner_oldest_due_seconds",
             "How long the oldest settled object has been due.", "");
METRIC_GAUGE(leads, "talaria_cleaner_leads", "1: this process cleans; 0: another one does.", "");
METRIC_COUNTER(scans, "talaria_cleaner_scans_total", "Looks for what is settled, by outcome.",
               "outcome");
METRIC_COUNTER(walks, "talaria_cleaner_walks_total", "Walks through the store, by outcome.",
               "outcome");

struct cleaner {
    struct daemon *daemon;
    struct clean clean;
    struct reconcile reconcile;
    struct alarm disk, outbox;
    pthread_t cleaning, reconciling;
    bool threads;
    volatile int stop;
    pthread_mutex_t lock;
    bool ready;
    struct err why;
};

static void say(struct cleaner *c, const struct err *e)
{
    pthread_mutex_lock(&c->lock);
    c->ready = !e;
    if (e)
        c->why = *e;
    pthread_mutex_unlock(&c->lock);
}

static bool ready(struct daemon *d, char why[128])
{
    struct cleaner *c = daemon_context(d);
    pthread_mutex_lock(&c->lock);
    bool yes = c->ready;
    if (!yes)
        str_copy(why, 128, *c->why.text ? c->why.text : "waiting for PostgreSQL");
    pthread_mutex_unlock(&c->lock);
    return yes;
}

/* ---- disk and outbox ---- */

static int disk_pressure(struct cleaner *c, bool *pressure, struct err *e)
{
    uint64_t free_bytes, total;
    char text[96];
    if (objstore_space(daemon_store(c->daemon), &free_bytes, &total, e))
        return -1;
    int percent = choose_used(free_bytes, total);
    int64_t limit = c->clean.settings->emergency_percentage;
    metric_set(&used, percent);
    *pressure = percent >= limit;
    snprintf(text, sizeof text, "%d %% of the store's volume used, limit %lld %%", percent,
             (long long)limit);
    return alarm_set(&c->disk, c->daemon, c->clean.pg, *pressure, text, e);
}

static int oldest(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    int64_t *first = arg;
    (void)key;
    (void)size;
    if (!*first || modified_ms < *first)
        *first = modified_ms;
    return 0;
}

static int watch_outbox(struct cleaner *c, struct err *e)
{
    int64_t first = 0;
    char text[96];
    if (objstore_list(daemon_store(c->daemon), "outbox/", oldest, &first, e) < 0)
        return -1;
    int64_t age = first ? (clock_wall_ms() - first) / 1000 : 0;
    metric_set(&outbox_age, (double)(age > 0 ? age : 0));
    snprintf(text, sizeof text, "the oldest record waits in the outbox since %lld s",
             (long long)age);
    return alarm_set(&c->outbox, c->daemon, c->clean.pg,
                     age >= c->clean.settings->outbox_alarm_seconds, text, e);
}

/* ---- cleaning ---- */

static int mode_now(struct cleaner *c, enum choose_mode *mode, struct err *e)
{
    bool pressure;
    if (disk_pressure(c, &pressure, e))
        return -1;
    const struct config_snapshot *s = daemon_config(c->daemon);
    *mode = choose_mode(config_off_peak(&s->defaults, clock_wall_ms()), pressure);
    daemon_config_release(c->daemon, s);
    return 0;
}

/* Hours and pressure are looked at before every batch. */
static int clean_all(struct cleaner *c, struct err *e)
{
    enum choose_mode mode = CHOOSE_NOTHING;
    int more = 1;
    if (clean_begin(&c->clean, e))
        return -1;
    while (more > 0) {
        if (c->stop)
            return err_set(e, ERR_RETRY, 0, "stopping");
        if (mode_now(c, &mode, e))
            return -1;
        more = clean_step(&c->clean, mode, e);
        metric_set(&oldest_due, c->clean.oldest);
    }
    if (more == 0 && mode != CHOOSE_NOTHING)
        metric_set(&oldest_due, 0);
    return more < 0 ? -1 : clean_objects(&c->clean, mode, e);
}

/* The first scan after an outage may have much to delete: nobody waits for its end. */
static void say_first(struct cleaner *c)
{
    if (!*c->why.text)
        say(c, NULL);
}

static int scan(struct cleaner *c, struct err *e)
{
    int mine = clean_enter(&c->clean, e);
    if (mine < 0)
        return -1;
    metric_set(&leads, mine);
    say_first(c);
    if (!mine)
        return 0;
    int rc = watch_outbox(c, e);
    if (rc == 0)
        rc = clean_all(c, e);
    if (rc)
        pg_rollback(c->clean.pg);
    clean_leave(&c->clean);
    return rc;
}

static void *cleaning(void *arg)
{
    struct cleaner *c = arg;
    while (!c->stop) {
        struct err e = {0};
        int rc = scan(c, &e);
        say(c, rc ? &e : NULL);
        metric_add(&scans, 1, rc ? "failed" : "ok");
        if (rc && !c->stop)
            LOG_LIMITED(LOG_LEVEL_WARN, "cleaning waits", LOG_ERR(&e));
        (void)clock_sleep_ms(rc ? AWAY_MS : c->clean.settings->scan_seconds * 1000, &c->stop);
    }
    return NULL;
}

static void *reconciling(void *arg)
{
    struct cleaner *c = arg;
    while (!c->stop) {
        struct err e = {0};
        int rc = reconcile_run(&c->reconcile, &e);
        metric_add(&walks, 1, rc ? "failed" : "ok");
        if (rc && !c->stop)
            LOG_LIMITED(LOG_LEVEL_WARN, "reconciling waits", LOG_ERR(&e));
        (void)clock_sleep_ms(rc ? AWAY_MS * 5 : c->clean.settings->reconcile_seconds * 1000,
                             &c->stop);
    }
    return NULL;
}

/* ---- the part ---- */

static void stop(struct daemon *d)
{
    struct cleaner *c = daemon_context(d);
    if (!c)
        return;
    c->stop = 1;
    if (c->threads) {
        thread_join(c->cleaning);
        thread_join(c->reconciling);
    }
    pg_free(c->clean.pg);
    pg_free(c->reconcile.pg);
    pthread_mutex_destroy(&c->lock);
    daemon_set_context(d, NULL);
    mem_free(c);
}

static int start(struct daemon *d, struct err *e)
{
    const struct cleaner_settings *s = (const struct cleaner_settings *)daemon_settings(d);
    struct cleaner *c = mem_zalloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->daemon = d;
    c->disk.kind = "disk";
    c->outbox.kind = "outbox";
    c->clean = (struct clean){
        .daemon = d, .pg = pg_new(s->common.database), .settings = s, .stop = &c->stop};
    c->reconcile = (struct reconcile){.daemon = d,
                                      .pg = pg_new(s->common.database),
                                      .settings = s,
                                      .stop = &c->stop,
                                      .alarm = {.kind = "orphan"}};
    daemon_set_context(d, c);
    if (thread_start(&c->cleaning, "cleaning", STACK, cleaning, c, e)) {
        stop(d);
        return -1;
    }
    if (thread_start(&c->reconciling, "reconciling", STACK, reconciling, c, e)) {
        c->stop = 1;
        thread_join(c->cleaning);
        stop(d);
        return -1;
    }
    c->threads = true;
    return 0;
}

const struct daemon_part cleaner_part = {
    .name = "cleaner", .start = start, .stop = stop, .ready = ready};
