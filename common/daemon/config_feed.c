/*
 * The configuration feed: reads the topic config from its start without a group, gets the snapshot
 * that the newest pointer names from the object store, checks its sum, loads it and swaps it in. A
 * snapshot that is away or bad never replaces a good one. Before the first good one the service
 * does not work: the built-in configuration counts only where the topic holds no pointer at all.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "daemon/daemon_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define SNAPSHOT_MAX  (16 << 20)
#define POLL_MS       500
#define FETCH_WAIT_MS 2000 /* its one partition never changes */
#define RETRY_MIN_MS  250
#define RETRY_MAX_MS  10000
#define ERRORS_SHOWN  8
#define POINTERS_KEPT 4

METRIC_GAUGE(config_info, "talaria_config_info", "1 for the configuration revision in use.",
             "revision");
METRIC_COUNTER(loads, "talaria_config_loads_total", "Configuration snapshots loaded, by outcome.",
               "outcome");

struct pointer {
    char *revision, *key, *sha256;
    bool bad; /* its bytes are what it says and are not valid: they never will be */
};

/* A snapshot and how many hold it; the newest is held by the feed itself. */
struct held {
    struct held *next;
    struct config_snapshot *snapshot;
    int holders;
};

struct feed {
    struct daemon *daemon;
    struct kafka_reader *reader;
    char topic[TOPIC_NAME];
    pthread_t thread;
    struct beat *beat;
    pthread_mutex_t lock;
    struct held *all, *newest;
    bool loaded;
    char why[DAEMON_WHY];
    pthread_mutex_t notify_lock; /* held while fn runs, so that it can be taken away safely */
    void (*fn)(void *arg);
    void *arg;
    volatile int stop;
    /* the thread's own */
    struct pointer pointers[POINTERS_KEPT]; /* newest first */
    size_t n_pointers;
    bool dirty;        /* the newest pointer is not in use yet */
    int64_t next, end; /* what is read next; the end as the broker told it when reading began */
    int64_t retry_at, pause;
};

/* ---- holding ---- */

const struct config_snapshot *feed_hold(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->newest->holders++;
    const struct config_snapshot *s = f->newest->snapshot;
    pthread_mutex_unlock(&f->lock);
    return s;
}

static struct held *drop_locked(struct feed *f, const struct config_snapshot *s)
{
    struct held **at = &f->all;
    while (*at && (*at)->snapshot != s)
        at = &(*at)->next;
    struct held *h = *at;
    if (!h || --h->holders > 0)
        return NULL;
    *at = h->next;
    return h;
}

void feed_release(struct feed *f, const struct config_snapshot *s)
{
    pthread_mutex_lock(&f->lock);
    struct held *dead = drop_locked(f, s);
    pthread_mutex_unlock(&f->lock);
    if (!dead)
        return;
    config_free(dead->snapshot);
    mem_free(dead);
}

static void swap(struct feed *f, struct config_snapshot *s)
{
    struct held *h = mem_zalloc(sizeof *h), *old = f->newest;
    h->snapshot = s;
    h->holders = 1;
    pthread_mutex_lock(&f->lock);
    h->next = f->all;
    f->all = h;
    f->newest = h;
    pthread_mutex_unlock(&f->lock);
    if (!old)
        return;
    metric_set(&config_info, 0, old->snapshot->revision);
    feed_release(f, old->snapshot);
}

static void set_loaded(struct feed *f, bool loaded, const char *why)
{
    pthread_mutex_lock(&f->lock);
    f->loaded = f->loaded || loaded; /* what is in use stays in use */
    str_copy(f->why, sizeof f->why, why);
    pthread_mutex_unlock(&f->lock);
}

bool feed_loaded(struct feed *f, char why[DAEMON_WHY])
{
    pthread_mutex_lock(&f->lock);
    bool loaded = f->loaded;
    str_copy(why, DAEMON_WHY, f->why);
    pthread_mutex_unlock(&f->lock);
    return loaded;
}

void feed_notify(struct feed *f, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&f->notify_lock);
    f->fn = fn;
    f->arg = arg;
    pthread_mutex_unlock(&f->notify_lock);
}

static void notify(struct feed *f)
{
    pthread_mutex_lock(&f->notify_lock);
    if (f->fn)
        f->fn(f->arg);
    pthread_mutex_unlock(&f->notify_lock);
}

/* ---- pointers ---- */

static void pointer_free(struct pointer *p)
{
    mem_free(p->revision);
    mem_free(p->key);
    mem_free(p->sha256);
}

static void take_pointer(struct feed *f, const struct event_config_current *c)
{
    if (f->n_pointers == POINTERS_KEPT)
        pointer_free(&f->pointers[--f->n_pointers]);
    memmove(&f->pointers[1], &f->pointers[0], f->n_pointers * sizeof f->pointers[0]);
    f->pointers[0] =
        (struct pointer){mem_strdup(c->revision), mem_strdup(c->key), mem_strdup(c->sha256), false};
    f->n_pointers++;
    f->dirty = true;
    f->retry_at = f->pause = 0;
}

static void take_record(struct feed *f, const struct kafka_record *r)
{
    struct err e = {0};
    struct event ev;
    if (event_type_of_header(kafka_record_header(r, "ce_type")) != EVENT_CONFIG_CURRENT)
        return;
    struct arena *a = arena_new(1 << 20);
    if (event_decode(&ev, r->value.p, r->value.n, a, &e))
        log_error("a configuration pointer is not readable", LOG_ERR(&e),
                  LOG_INT("offset", r->offset));
    else
        take_pointer(f, &ev.config);
    arena_free(a);
}

/* ---- loading ---- */

static int load_text(struct config_snapshot **out, struct pointer *p, const struct str *text,
                     struct err *e)
{
    char sum[HASH_SHA256_HEX];
    struct rows_error errors[ERRORS_SHOWN];
    hash_sha256_hex(sum, str_cstr(text), text->len);
    if (strcmp(sum, p->sha256) != 0)
        return err_set(e, ERR_REJECT, 0, "another SHA-256 than its pointer");
    struct arena *scratch = arena_new(0);
    size_t n =
        config_load(out, str_cstr(text), text->len, p->revision, scratch, errors, ERRORS_SHOWN);
    for (size_t i = 0; i < n && i < ERRORS_SHOWN; i++)
        log_error("configuration is not valid", LOG_STR("revision", p->revision),
                  LOG_STR("pointer", errors[i].pointer), LOG_STR("reason", errors[i].reason));
    p->bad = n > 0;
    if (n)
        err_set(e, ERR_REJECT, 0, "%.60s: %.100s", errors[0].pointer, errors[0].reason);
    arena_free(scratch);
    return n ? -1 : 0;
}

static int load(struct feed *f, struct pointer *p, struct err *e)
{
    struct str text = STR_INIT;
    struct config_snapshot *s = NULL;
    int r = objstore_get(f->daemon->store, p->key, &text, SNAPSHOT_MAX, e);
    if (!r)
        r = load_text(&s, p, &text, e);
    str_free(&text);
    metric_add(&loads, 1, r ? "failed" : "ok");
    if (r)
        return err_wrap(e, "configuration %s", p->revision);
    swap(f, s);
    metric_set(&config_info, 1, s->revision);
    log_info("configuration in use", LOG_STR("revision", s->revision));
    return 0;
}

static bool in_use(const struct feed *f, const struct pointer *p)
{
    return strcmp(f->newest->snapshot->revision, p->revision) == 0;
}

/* The newest that can be had. An older one only where nothing better is in use yet. */
static void load_newest(struct feed *f)
{
    struct err e = {0}, first = {0};
    f->dirty = true;
    for (size_t i = 0; i < f->n_pointers && f->dirty; i++) {
        if (i && (f->loaded || in_use(f, &f->pointers[i])))
            break;
        if (f->pointers[i].bad)
            continue;
        if (!load(f, &f->pointers[i], &e)) {
            f->dirty = i > 0 && !f->pointers[0].bad;
            set_loaded(f, true, first.text);
            notify(f);
            break;
        }
        LOG_LIMITED(LOG_LEVEL_ERROR, "configuration cannot be loaded", LOG_ERR(&e));
        if (i == 0)
            first = e;
    }
    if (*first.text)
        set_loaded(f, false, first.text);
    if (f->loaded && f->pointers[0].bad)
        f->dirty = false; /* nothing to wait for but the next pointer */
    if (!f->dirty)
        return;
    f->pause = f->pause ? f->pause * 2 : RETRY_MIN_MS;
    if (f->pause > RETRY_MAX_MS)
        f->pause = RETRY_MAX_MS;
    f->retry_at = clock_mono_ms() + f->pause;
}

static int open_reader(struct feed *f, struct err *e)
{
    struct kafka_options o = f->daemon->kafka;
    o.fetch_wait_ms = FETCH_WAIT_MS;
    if (kafka_reader_new(&f->reader, &o, e))
        return -1;
    if (!kafka_watermarks(f->daemon->producer, f->topic, 0, &f->next, &f->end, e) &&
        !kafka_reader_add(f->reader, f->topic, 0, f->next, e))
        return 0;
    kafka_reader_free(f->reader);
    f->reader = NULL;
    return -1;
}

/* Everything that was there when reading began has been read, or the end was met. (The end of an
 * empty topic is told only when the broker's wait is over.) */
static bool at_end(const struct feed *f)
{
    return f->next >= f->end || kafka_reader_at_end(f->reader, f->topic, 0);
}

static void turn(struct feed *f)
{
    struct kafka_record r;
    struct err e = {0};
    int k =
        kafka_reader_poll(f->reader, &r, at_end(f) && !f->dirty && f->loaded ? POLL_MS : 20, &e);
    if (k > 0) {
        take_record(f, &r);
        f->next = r.offset + 1;
    }
    if (k < 0) {
        LOG_LIMITED(LOG_LEVEL_WARN, "reading the configuration topic", LOG_ERR(&e));
        set_loaded(f, false, e.text);
        clock_sleep_ms(POLL_MS, &f->stop);
    }
    if (!at_end(f))
        return;
    if (f->dirty && clock_mono_ms() >= f->retry_at)
        load_newest(f);
    if (!f->n_pointers && !f->loaded) {
        log_info("no configuration has been published: any sender, no rules");
        set_loaded(f, true, "");
    }
}

static void *run(void *arg)
{
    struct feed *f = arg;
    struct err e = {0};
    while (!f->stop && !f->reader) {
        watchdog_beat(f->beat);
        if (open_reader(f, &e)) {
            set_loaded(f, false, e.text);
            clock_sleep_ms(1000, &f->stop);
        }
    }
    while (!f->stop) {
        watchdog_beat(f->beat);
        turn(f);
    }
    watchdog_leave(f->beat);
    return NULL;
}

int feed_start(struct feed **out, struct daemon *d, struct err *e)
{
    struct feed *f = mem_zalloc(sizeof *f);
    f->daemon = d;
    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_init(&f->notify_lock, NULL);
    topics_name(f->topic, d->settings->site, "config");
    str_copy(f->why, sizeof f->why, "the configuration topic is not read yet");
    swap(f, config_empty());
    f->beat = watchdog_add(d, "config");
    if (thread_start(&f->thread, "config", 0, run, f, e)) {
        watchdog_leave(f->beat);
        feed_release(f, f->newest->snapshot);
        mem_free(f);
        return -1;
    }
    *out = f;
    return 0;
}

void feed_stop(struct feed *f)
{
    if (!f)
        return;
    f->stop = 1;
    thread_join(f->thread);
    kafka_reader_free(f->reader);
    while (f->n_pointers)
        pointer_free(&f->pointers[--f->n_pointers]);
    while (f->all) { /* holders are gone by now */
        struct held *h = f->all;
        f->all = h->next;
        config_free(h->snapshot);
        mem_free(h);
    }
    pthread_mutex_destroy(&f->lock);
    pthread_mutex_destroy(&f->notify_lock);
    mem_free(f);
}
