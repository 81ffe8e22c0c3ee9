/* Messages on their way, and one who waits for all of them; kafka.h says how it is used. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"

#define FULL_PAUSE_MS 20

/* Shared by the waiting thread and the delivery reports; the last one frees it. */
struct kafka_flight {
    struct kafka_producer *producer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t left, owners;
    struct kafka_ack last; /* the good one of the highest offset */
    struct err first;      /* the first failure */
};

struct kafka_flight *kafka_flight_new(struct kafka_producer *p)
{
    struct kafka_flight *f = mem_zalloc(sizeof *f);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&f->lock, NULL);
    f->producer = p;
    f->owners = 1;
    f->last = (struct kafka_ack){.partition = -1, .offset = -1, .timestamp = -1};
    return f;
}

static void release(struct kafka_flight *f) /* locked */
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
    struct kafka_flight *f = arg;
    pthread_mutex_lock(&f->lock);
    if (ack->err.kind && !f->first.kind)
        f->first = ack->err;
    if (!ack->err.kind && ack->offset > f->last.offset)
        f->last = *ack;
    if (--f->left == 0)
        pthread_cond_signal(&f->changed);
    release(f);
}

/* Counted before it can be acknowledged. */
static int add_now(struct kafka_flight *f, const struct kafka_message *m, struct err *e)
{
    pthread_mutex_lock(&f->lock);
    f->left++;
    f->owners++;
    pthread_mutex_unlock(&f->lock);
    if (!kafka_produce(f->producer, m, landed, f, e))
        return 0;
    pthread_mutex_lock(&f->lock);
    f->left--;
    release(f); /* the caller still owns it */
    return -1;
}

int kafka_flight_add(struct kafka_flight *f, const struct kafka_message *m, int64_t until,
                     const volatile int *stop, struct err *e)
{
    for (;;) {
        struct err own = {0};
        if (!add_now(f, m, &own))
            return 0;
        if (own.kind == ERR_RETRY && clock_mono_ms() < until &&
            !clock_sleep_ms(FULL_PAUSE_MS, stop))
            continue;
        if (e)
            *e = own;
        return -1;
    }
}

int kafka_flight_land(struct kafka_flight *f, int64_t until, struct kafka_ack *last, struct err *e)
{
    const struct timespec t = {until / 1000, until % 1000 * 1000000};
    int r = 0;
    pthread_mutex_lock(&f->lock);
    while (f->left && !r)
        if (pthread_cond_timedwait(&f->changed, &f->lock, &t) == ETIMEDOUT && f->left)
            r = err_set(e, ERR_RETRY, ETIMEDOUT, "%zu records not acknowledged in time", f->left);
    if (!r && f->first.kind) {
        r = -1;
        if (e)
            *e = f->first;
    }
    if (!r && last)
        *last = f->last;
    release(f);
    return r;
}

void kafka_flight_free(struct kafka_flight *f)
{
    pthread_mutex_lock(&f->lock);
    release(f);
}

int kafka_produce_wait(struct kafka_producer *p, const struct kafka_message *m, int64_t wait_ms,
                       struct kafka_ack *ack, struct err *e)
{
    int64_t until = clock_mono_ms() + wait_ms;
    struct kafka_flight *f = kafka_flight_new(p);
    int r = kafka_flight_add(f, m, until, NULL, e);
    int waited = kafka_flight_land(f, until, ack, r ? NULL : e);
    return r ? r : waited;
}
