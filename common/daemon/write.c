/* Outputs: objects first, then records, then the wait for every acknowledgement. */
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "daemon/write.h"
#include "metrics/metrics.h"

/* A little more than the producer itself gives a record. */
#define WRITE_MS 20000

METRIC_COUNTER(written, "talaria_outputs_written_total",
               "Records and objects written as outputs, by kind and outcome.", "kind,outcome");

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

int write_records(struct kafka_producer *p, const char *site, const struct outputs *o,
                  int64_t wait_ms, const volatile int *stop, int64_t *last, struct err *e)
{
    struct kafka_flight *f = kafka_flight_new(p);
    int64_t until = clock_mono_ms() + wait_ms;
    struct kafka_ack ack;
    int r = 0;
    for (size_t i = 0; i < o->records.n && !r; i++) {
        const struct output_record *x = &o->records.items[i];
        char topic[TOPIC_NAME];
        struct kafka_message m;
        write_message(&m, x, topics_name(topic, site, x->noun));
        r = kafka_flight_add(f, &m, until, stop, e);
    }
    /* what was sent is waited for, too */
    int waited = kafka_flight_land(f, until, &ack, r ? NULL : e);
    if (!r && !waited && last)
        *last = ack.offset;
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
    if (o->records.n)
        r = write_records(d->producer, d->settings->site, o, WRITE_MS, &d->stopping, NULL, e);
    count("record", o->records.n, !r);
    return r ? r : stage_failpoint(name, "flushed", e);
}
