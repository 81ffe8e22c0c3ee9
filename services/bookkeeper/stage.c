/*
 * The stage writes batches with a connection of its own; the part beside it migrates, reads the
 * manifests that were not there yet, and measures how old the oldest open things are.
 */
#include "bookkeeper/stage.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "bookkeeper/book.h"
#include "ledger/ledger.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { AGES_MS = 10000, BALANCES_MS = 300000, PENDING_MS = 2000, AWAY_MS = 1000 };

static const double batch_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 0};
METRIC_COUNTER(records_total, "talaria_bookkeeper_records_total", "Records in the ledger.",
               "topic");
METRIC_HISTOGRAM(batch_seconds, "talaria_bookkeeper_batch_seconds",
                 "Time to write one batch, committed.", "", batch_bounds);
METRIC_GAUGE(open_count, "talaria_ledger_open", "What is open, failed or rejected.", "state");
METRIC_GAUGE(open_age, "talaria_ledger_open_age_seconds", "Age of the oldest.", "state");
METRIC_GAUGE(imbalance, "talaria_ledger_imbalance",
             "What does not add up in the last 24 hours; 0 in a healthy ledger.", "balance");

struct keeper {
    struct book *stage; /* of the stage's thread */
    struct book *watch; /* of the part's thread */
    pthread_t thread;
    volatile int stop;
    int64_t next_ages, next_balances; /* of its thread */
    pthread_mutex_t lock;
    bool migrated, ready;
    struct err why;
};

/* ---- the stage ---- */

static bool migrated(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool yes = k->migrated;
    pthread_mutex_unlock(&k->lock);
    return yes;
}

static int positions(struct daemon *d, struct stage_place *places, size_t n, struct err *e)
{
    struct keeper *k = daemon_context(d);
    if (!migrated(k))
        return err_set(e, ERR_RETRY, 0, "waiting for PostgreSQL");
    return book_positions(k->stage, places, n, e);
}

static int back(struct daemon *d, const struct stage_place *place, int64_t offset, struct err *e)
{
    struct keeper *k = daemon_context(d);
    return book_back(k->stage, place, offset, e);
}

/* The noun of talaria.<site>.<noun>: few values, so it may be a label. */
static const char *noun_of(const char *topic)
{
    const char *dot = strrchr(topic, '.');
    return dot ? dot + 1 : topic;
}

static int batch(struct daemon *d, const struct kafka_record *records, size_t n, struct err *e)
{
    struct keeper *k = daemon_context(d);
    int64_t begun = clock_mono_ns();
    if (book_batch(k->stage, records, n, e) != 0)
        return -1;
    metric_observe(&batch_seconds, (double)(clock_mono_ns() - begun) / 1e9);
    for (size_t i = 0; i < n; i++)
        metric_add(&records_total, 1, noun_of(records[i].topic));
    return 0;
}

const struct stage bookkeeper_stage = {
    .name = "bookkeeper",
    .inputs = {"instance", "decision", "task", "delivery", "event", "config", "dlq"},
    .unflushed = true,
    .gather_ms = 100, /* people look at the ledger; a busy broker is spared a fetch per record */
    .positions = positions,
    .back = back,
    .batch = batch,
};

/* ---- the part ---- */

static void say(struct keeper *k, bool ready, const struct err *e)
{
    pthread_mutex_lock(&k->lock);
    k->ready = ready;
    k->migrated = k->migrated || ready;
    if (!ready)
        k->why = *e;
    pthread_mutex_unlock(&k->lock);
}

static bool ready(struct daemon *d, char why[128])
{
    struct keeper *k = daemon_context(d);
    pthread_mutex_lock(&k->lock);
    bool yes = k->ready;
    if (!yes)
        str_copy(why, 128, *k->why.text ? k->why.text : "waiting for PostgreSQL");
    pthread_mutex_unlock(&k->lock);
    return yes;
}

static void show(const struct ledger_ages *a)
{
    for (size_t i = 0; i < LEDGER_STATES; i++) {
        const char *name = ledger_state_name((enum ledger_state)i);
        metric_set(&open_count, (double)a->of[i].n, name);
        metric_set(&open_age, a->of[i].age, name);
    }
}

static void show_balances(const struct ledger_balances *b)
{
    metric_set(&imbalance, (double)b->receipts, "receipts");
    metric_set(&imbalance, (double)b->deliveries, "deliveries");
    if (b->receipts || b->deliveries)
        LOG_LIMITED(LOG_LEVEL_ERROR, "the ledger does not add up", LOG_INT("receipts", b->receipts),
                    LOG_INT("deliveries", b->deliveries));
}

static int measure(struct keeper *k, struct err *e)
{
    struct ledger_ages ages;
    struct ledger_balances balances;
    if (clock_mono_ms() >= k->next_ages) {
        if (ledger_ages(book_pg(k->watch), &ages, e) != 0)
            return -1;
        show(&ages);
        k->next_ages = clock_mono_ms() + AGES_MS;
    }
    if (clock_mono_ms() >= k->next_balances) {
        if (ledger_balances(book_pg(k->watch), &balances, e) != 0)
            return -1;
        show_balances(&balances);
        k->next_balances = clock_mono_ms() + BALANCES_MS;
    }
    return 0;
}

static int look(struct keeper *k, struct err *e)
{
    if (pg_connect(book_pg(k->watch), e) != 0)
        return -1;
    if (!migrated(k) && pg_migrate(book_pg(k->watch), e) != 0)
        return -1;
    say(k, true, NULL);
    return book_pending(k->watch, e) == 0 ? measure(k, e) : -1;
}

static void *run(void *arg)
{
    struct keeper *k = arg;
    while (!k->stop) {
        struct err e = {0};
        int rc = look(k, &e);
        if (rc != 0) {
            say(k, false, &e);
            LOG_LIMITED(LOG_LEVEL_WARN, "the ledger cannot be read", LOG_ERR(&e));
        }
        (void)clock_sleep_ms(rc == 0 ? PENDING_MS : AWAY_MS, &k->stop);
    }
    return NULL;
}

static void keeper_free(struct keeper *k)
{
    book_free(k->stage);
    book_free(k->watch);
    pthread_mutex_destroy(&k->lock);
    mem_free(k);
}

static int start(struct daemon *d, struct err *e)
{
    const struct daemon_settings *s = daemon_settings(d);
    struct keeper *k = mem_zalloc(sizeof *k);
    pthread_mutex_init(&k->lock, NULL);
    k->stage = book_new(s->database, daemon_store(d));
    k->watch = book_new(s->database, daemon_store(d));
    daemon_set_context(d, k);
    if (thread_start(&k->thread, "ledger", 0, run, k, e) == 0)
        return 0;
    daemon_set_context(d, NULL);
    keeper_free(k);
    return -1;
}

static void stop(struct daemon *d)
{
    struct keeper *k = daemon_context(d);
    if (!k)
        return;
    k->stop = 1;
    thread_join(k->thread);
    daemon_set_context(d, NULL);
    keeper_free(k);
}

const struct daemon_part bookkeeper_ledger = {
    .name = "ledger", .start = start, .stop = stop, .ready = ready};
