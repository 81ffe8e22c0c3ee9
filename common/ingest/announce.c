/*
 * Announcing: a record goes to Kafka; if that does not acknowledge in time, it stands in the outbox
 * and the instance is safe all the same. From then on records go straight to the outbox until the
 * drain has emptied it through a broker that acknowledges again (design.md §4 "Outbox").
 */
#include <errno.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/vec.h"
#include "event/keys.h"
#include "event/topics.h"
#include "ingest/ingest_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

METRIC_HISTOGRAM(announce_seconds, "talaria_ingest_announce_seconds",
                 "From stable storage to Kafka's acknowledgement.", "", metric_seconds_instance);
METRIC_COUNTER(outboxed, "talaria_outbox_records_total", "Records that went to the outbox.", "");
METRIC_GAUGE(outbox_waiting, "talaria_outbox_objects", "Records waiting in the outbox.", "");
METRIC_GAUGE(outbox_age, "talaria_outbox_oldest_age_seconds",
             "Age of the oldest record in the outbox.", "");

#define DRAIN_PAUSE_MS  500
#define DRAIN_LIST_MAX  50000
#define DRAIN_BATCH     256 /* on their way at once: one after the other would never catch up */
#define DRAIN_WAIT_MS   5000
#define DRAIN_LAST_LOOK 16 /* passes with the lock held */
#define IDLE_LOOKS      20 /* pauses between two looks for what other receivers left behind */
#define OUTBOX_READ_MAX (256 * 1024)

struct announcer {
    struct objstore *store;
    struct kafka_producer *producer;
    char topic[TOPIC_NAME];
    int64_t wait_ms;
    pthread_mutex_t lock; /* held by the drain's last look, so that nobody adds meanwhile */
    int use_outbox;
    volatile int stop;
    pthread_t drain;
    bool drain_runs;
};

static void message_of(struct kafka_message *m, const struct announcer *a, const struct event *ev,
                       const struct str *record, struct event_header headers[EVENT_HEADERS])
{
    memset(m, 0, sizeof *m);
    m->topic = a->topic;
    m->partition = -1;
    m->value = str_slice(record);
    m->key = slice_of(ev->stored.study);
    size_t n = event_headers(headers, ev, -1);
    for (size_t i = 0; i < n && i < KAFKA_HEADERS; i++)
        m->headers[m->n_headers++] = (struct kafka_header){headers[i].name, slice_of(headers[i].value)};
}

/* Hands the record to Kafka, if there is room at once; *f is to land with its acknowledgement. */
static int hand_over(struct announcer *a, const struct event *ev, const struct str *record,
                     struct kafka_flight **f, struct err *e)
{
    struct kafka_message m;
    struct event_header headers[EVENT_HEADERS];
    *f = kafka_flight_new(a->producer);
    message_of(&m, a, ev, record, headers);
    if (kafka_flight_add(*f, &m, 0, NULL, e) == 0)
        return 0;
    kafka_flight_free(*f);
    *f = NULL;
    return -1;
}

/* *maybe: it is not acknowledged, but may be in the log, now or later. */
static int within_time(struct announcer *a, const struct event *ev, const struct str *record,
                       bool *maybe, struct err *e)
{
    struct kafka_flight *f;
    *maybe = false;
    if (hand_over(a, ev, record, &f, e))
        return -1;
    int r = kafka_flight_land(f, clock_mono_ms() + a->wait_ms, NULL, e);
    *maybe = r && e->kind == ERR_RETRY; /* who gives up on an answer does not know it */
    return r;
}

static int by_outbox(struct announcer *a, const char *receipt, const struct str *record,
                     struct err *e)
{
    struct str key = STR_INIT;
    keys_outbox(&key, receipt);
    pthread_mutex_lock(&a->lock);
    int r = objstore_put_bytes(a->store, key.data, record->data, record->len, e);
    if (r == 0)
        __atomic_store_n(&a->use_outbox, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&a->lock);
    str_free(&key);
    if (r == 0)
        metric_add(&outboxed, 1);
    return r;
}

int announce(struct announcer *a, const char *receipt, const char *study, const char *series,
             const struct str *record, bool *by_kafka, bool *maybe, struct err *e)
{
    int64_t started = clock_mono_ns();
    struct event ev = {.type = EVENT_INSTANCE_STORED,
                       .stored = {.receipt = receipt, .study = study, .series = series}};
    *by_kafka = false;
    *maybe = false;
    if (!__atomic_load_n(&a->use_outbox, __ATOMIC_ACQUIRE)) {
        if (within_time(a, &ev, record, maybe, e) == 0) {
            metric_observe(&announce_seconds, (double)(clock_mono_ns() - started) / 1e9);
            (void)FAILPOINT("receiver.announced");
            *by_kafka = true;
            return 0;
        }
        LOG_LIMITED(LOG_LEVEL_WARN, "Kafka is away, records go to the outbox", LOG_ERR(e));
    }
    if (by_outbox(a, receipt, record, e))
        return -1;
    (void)FAILPOINT("receiver.outboxed");
    return 0;
}

/* ---- drain ---- */

struct found {
    VEC(char *) keys;
    int64_t oldest_ms;
    size_t total;
};

static int note_key(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    struct found *f = arg;
    (void)size;
    f->total++;
    if (!f->oldest_ms || modified_ms < f->oldest_ms)
        f->oldest_ms = modified_ms;
    if (f->keys.n < DRAIN_LIST_MAX)
        *vec_push(&f->keys) = mem_strdup(key);
    return 0;
}

static int look(struct announcer *a, struct found *f, struct err *e)
{
    memset(f, 0, sizeof *f);
    int r = objstore_list(a->store, "outbox/", note_key, f, e);
    metric_set(&outbox_waiting, (double)f->total);
    metric_set(&outbox_age, f->oldest_ms ? (double)(clock_wall_ms() - f->oldest_ms) / 1000 : 0);
    return r;
}

static void forget(struct found *f)
{
    for (size_t i = 0; i < f->keys.n; i++)
        mem_free(f->keys.items[i]);
    vec_free(&f->keys);
}

/* Reads one outbox record and hands it over. 0 without a flight: another receiver was first. */
static int drain_one(struct announcer *a, const char *key, struct kafka_flight **f, struct err *e)
{
    struct str record = STR_INIT;
    struct arena *arena = arena_new(1 << 20);
    struct event ev;
    int r = objstore_get(a->store, key, &record, OUTBOX_READ_MAX, e);
    if (r && e->code == ENOENT) {
        r = 0;
        goto out;
    }
    if (r)
        goto out;
    r = event_decode(&ev, record.data, record.len, arena, e);
    if (r == 0 && ev.type != EVENT_INSTANCE_STORED)
        r = err_set(e, ERR_REJECT, 0, "not an instance.stored record");
    if (r)
        LOG_LIMITED(LOG_LEVEL_ERROR, "an outbox record is unreadable and stays",
                    LOG_STR("key", key), LOG_ERR(e));
    else
        r = hand_over(a, &ev, &record, f, e);
out:
    arena_free(arena);
    str_free(&record);
    return r;
}

/* Removes what is acknowledged. 0 only if all of the batch was. */
static int drain_wait(struct announcer *a, char *const *keys, struct kafka_flight *const *flights,
                      size_t n, struct err *e)
{
    int64_t end = clock_mono_ms() + DRAIN_WAIT_MS;
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        struct err mine = {0};
        if (!flights[i])
            continue;
        int one = kafka_flight_land(flights[i], end, NULL, &mine);
        if (one == 0) {
            (void)FAILPOINT("receiver.drained");
            one = objstore_delete(a->store, keys[i], &mine);
        }
        if (one) {
            r = -1;
            *e = mine;
        }
    }
    return r;
}

/* *sent counts what has left the outbox's way; unreadable records stay and keep nobody waiting. */
static int drain_batch(struct announcer *a, char *const *keys, size_t n, size_t *sent,
                       struct err *e)
{
    struct kafka_flight *flights[DRAIN_BATCH] = {NULL}; /* each is asked for by itself */
    int r = 0;
    size_t i = 0;
    for (; r == 0 && i < n; i++) {
        r = drain_one(a, keys[i], &flights[i], e);
        *sent += r == 0;
        if (r && e->kind == ERR_REJECT)
            r = 0;
    }
    return drain_wait(a, keys, flights, i, e) || r ? -1 : 0;
}

/* One pass. 1: something was sent, look again; 0: nothing sendable is left. */
static int drain_pass(struct announcer *a, struct err *e)
{
    struct found f;
    int r = look(a, &f, e);
    size_t sent = 0;
    for (size_t i = 0; r == 0 && i < f.keys.n && !a->stop; i += DRAIN_BATCH) {
        size_t n = f.keys.n - i < DRAIN_BATCH ? f.keys.n - i : DRAIN_BATCH;
        r = drain_batch(a, f.keys.items + i, n, &sent, e);
    }
    forget(&f);
    return r || sent == 0 ? r : 1;
}

/* Back to Kafka when nothing sendable is left; the lock keeps others from adding meanwhile, else a
 * steady stream of images would never let it end. */
static void leave_outbox(struct announcer *a)
{
    struct err e = {0};
    int r = 1;
    pthread_mutex_lock(&a->lock);
    for (int i = 0; r == 1 && i < DRAIN_LAST_LOOK && !a->stop; i++)
        r = drain_pass(a, &e);
    if (r == 0) {
        __atomic_store_n(&a->use_outbox, 0, __ATOMIC_RELEASE);
        log_info("the outbox is empty, records go to Kafka again");
    }
    pthread_mutex_unlock(&a->lock);
}

static void *drain_loop(void *arg)
{
    struct announcer *a = arg;
    for (unsigned pauses = 1; clock_sleep_ms(DRAIN_PAUSE_MS, &a->stop) == 0; pauses++) {
        struct err e = {0};
        bool in_use = __atomic_load_n(&a->use_outbox, __ATOMIC_ACQUIRE);
        if (!in_use && pauses % IDLE_LOOKS != 0)
            continue;
        int r;
        while ((r = drain_pass(a, &e)) == 1 && !a->stop)
            ;
        if (r == 0 && in_use)
            leave_outbox(a);
        else if (r < 0)
            LOG_LIMITED(LOG_LEVEL_WARN, "the outbox cannot be drained yet", LOG_ERR(&e));
    }
    return NULL;
}

int announcer_new(struct announcer **out, const struct ingest *i, struct err *e)
{
    struct announcer *a = mem_zalloc(sizeof *a);
    a->store = i->options.store;
    a->producer = i->options.producer;
    a->wait_ms = i->options.announce_ms;
    topics_name(a->topic, i->site, "instance");
    pthread_mutex_init(&a->lock, NULL);
    struct found f;
    struct err unknown = {0};
    /* what cannot be listed now may hold records: the drain finds out */
    a->use_outbox = look(a, &f, &unknown) != 0 || f.total > 0;
    forget(&f);
    int r = thread_start(&a->drain, "outbox", 0, drain_loop, a, e);
    a->drain_runs = r == 0;
    *out = a;
    return r;
}

void announcer_free(struct announcer *a)
{
    if (!a)
        return;
    a->stop = 1;
    if (a->drain_runs)
        thread_join(a->drain);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}
