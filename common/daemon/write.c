/* Outputs: objects first, then records, then the wait for every acknowledgement. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "metrics/metrics.h"

/* A little more than the producer itself gives a record. */
#define WRITE_MS 20000

METRIC_COUNTER(written, "talaria_outputs_written_total",
               "Records and objects written as outputs, by kind and outcome.", "kind,outcome");

/* Shared by the writer and the delivery reports; the last one frees it. */
struct flight {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t left, owners;
    struct err first; /* the first failure */
};

static struct flight *flight_new(void)
{
    struct flight *f = mem_zalloc(sizeof *f);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&f->lock, NULL);
    f->owners = 1;
    return f;
}

static void flight_release(struct flight *f) /* locked */
{
    bool last = --f->owners == 0;
    pthread_mutex_unlock(&f->lock);
    if (!last)
        return;
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

static void landed(void *arg, const struct kafka_ack *ack)
{
    struct flight *f = arg;
    pthread_mutex_lock(&f->lock);
    if (ack->err.kind && !f->first.kind)
        f->first = ack->err;
    if (--f->left == 0)
        pthread_cond_signal(&f->changed);
    flight_release(f);
}

static int produce_one(struct daemon *d, struct flight *f, const struct kafka_message *m,
                       int64_t until, struct err *e)
{
    for (;;) {
        pthread_mutex_lock(&f->lock);
        f->left++;
        f->owners++;
        pthread_mutex_unlock(&f->lock);
        int r = kafka_produce(d->producer, m, landed, f, e);
        if (!r)
            return 0;
        pthread_mutex_lock(&f->lock);
        f->left--;
        f->owners--;
        pthread_mutex_unlock(&f->lock);
        if (e->kind != ERR_RETRY || clock_mono_ms() > until || clock_sleep_ms(20, &d->stopping))
            return -1;
    }
}

static int wait_landed(struct flight *f, int64_t until, struct err *e)
{
    struct timespec t = {until / 1000, until % 1000 * 1000000};
    int r = 0;
    while (f->left && !r)
        if (pthread_cond_timedwait(&f->changed, &f->lock, &t) == ETIMEDOUT && f->left)
            r = err_set(e, ERR_RETRY, ETIMEDOUT, "%zu records not acknowledged in time", f->left);
    if (!r && f->first.kind) {
        *e = f->first;
        r = -1;
    }
    return r;
}

void write_message(struct kafka_message *m, const struct output_record *r, const char *topic)
{
    *m = (struct kafka_message){.topic = topic,
                                .partition = r->partition,
                                .key = slice_of(r->key),
                                .value = str_slice(&r->value),
                                .n_headers = r->n_headers};
    for (size_t i = 0; i < r->n_headers; i++)
        m->headers[i] = (struct kafka_header){r->headers[i].name, slice_of(r->headers[i].value)};
}

static int write_records(struct daemon *d, const struct outputs *o, struct err *e)
{
    struct flight *f = flight_new();
    int64_t until = clock_mono_ms() + WRITE_MS;
    int r = 0;
    for (size_t i = 0; i < o->records.n && !r; i++) {
        const struct output_record *out = &o->records.items[i];
        char topic[TOPIC_NAME];
        struct kafka_message m;
        write_message(&m, out, topics_name(topic, d->settings->site, out->noun));
        r = produce_one(d, f, &m, until, e);
    }
    struct err late = {0};
    pthread_mutex_lock(&f->lock);
    int waited = wait_landed(f, until, r ? &late : e); /* what was sent is waited for, too */
    flight_release(f);
    return r ? r : waited;
}

static int write_objects(struct daemon *d, const struct outputs *o, struct err *e)
{
    for (size_t i = 0; i < o->objects.n; i++) {
        const struct output_object *x = &o->objects.items[i];
        if (!d->store)
            return err_set(e, ERR_FATAL, 0, "this service has no object store");
        if (objstore_put_bytes(d->store, x->key, x->bytes.data, x->bytes.len, e))
            return -1;
    }
    return 0;
}

/* A failpoint of a stage: its name is made at run time. */
int stage_failpoint(const char *stage, const char *where, struct err *e)
{
#if FAILPOINTS
    char name[96];
    if (!stage)
        return 0;
    snprintf(name, sizeof name, "%s.%s", stage, where);
    int injected = failpoint_named(name);
    if (injected)
        return err_errno(e, ERR_RETRY, injected, "failpoint %s", name);
#endif
    (void)stage;
    (void)where;
    (void)e;
    return 0;
}

static void count(const char *kind, size_t n, bool ok)
{
    if (n)
        metric_add(&written, (double)n, kind, ok ? "ok" : "failed");
}

int write_outputs(struct daemon *d, struct outputs *o, const char *name, struct err *e)
{
    int r = write_objects(d, o, e);
    count("object", o->objects.n, !r);
    if (r || stage_failpoint(name, "objects", e))
        return -1;
    if (o->records.n && !d->producer)
        return err_set(e, ERR_FATAL, 0, "this service has no producer");
    r = o->records.n ? write_records(d, o, e) : 0;
    count("record", o->records.n, !r);
    return r ? r : stage_failpoint(name, "flushed", e);
}
