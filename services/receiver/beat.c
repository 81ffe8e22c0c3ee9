/*
 * One thread that says association.alive for every open association that carries studies of a source
 * with completion open-association. Never through the outbox: without it such an association counts as
 * lost after a while, which costs time, not instances.
 */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/thread.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "receiver/receiver.h"

#define RECORDS_PER_BEAT 10000 /* so that the lock is held for a tenth of a second at most */

METRIC_COUNTER(said, "talaria_associations_alive_total",
               "association.alive records, by outcome.", "outcome");

/* -1: not all associations had room. */
static int collect(struct receiver *r, struct outputs *out, struct err *e)
{
    int result = 0;
    pthread_mutex_lock(&r->lock);
    for (const struct association *a = r->associations; a && result == 0; a = a->next) {
        if (!a->alive)
            continue;
        struct event_source source = {a->source->name, a->source->label, a->source->site};
        if (out->records.n + ALIVE_STUDIES > RECORDS_PER_BEAT)
            result = err_set(e, ERR_RETRY, 0, "more than %d studies", RECORDS_PER_BEAT);
        else
            result = alive_records(a->alive, a->id, &source, out, e);
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

static void say(struct receiver *r)
{
    struct outputs out = daemon_outputs(r->daemon);
    struct err e = {0};
    if (collect(r, &out, &e))
        LOG_LIMITED(LOG_LEVEL_WARN, "not all open associations can be told", LOG_ERR(&e));
    size_t n = out.records.n;
    bool ok = true;
    if (n) {
        (void)FAILPOINT("receiver.alive");
        ok = daemon_write(r->daemon, &out, &e) == 0;
        metric_add(&said, (double)n, ok ? "ok" : "failed");
    }
    if (!ok)
        LOG_LIMITED(LOG_LEVEL_WARN, "open associations were not told", LOG_ERR(&e));
    outputs_free(&out);
}

static void *beat(void *arg)
{
    struct receiver *r = arg;
    while (clock_sleep_ms(r->settings->alive_seconds * 1000, &r->stopped) == 0)
        say(r);
    return NULL;
}

int receiver_beat_start(struct receiver *r, struct err *e)
{
    if (thread_start(&r->beat_thread, "alive", 0, beat, r, e))
        return -1;
    r->beats = true;
    return 0;
}

void receiver_beat_stop(struct receiver *r)
{
    r->stopped = 1;
    if (r->beats)
        thread_join(r->beat_thread);
}
