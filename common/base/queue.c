/* Bounded queue: a ring under one mutex, waits on the monotonic clock. */
#include "base/queue.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t can_push, can_pop;
    void **ring;
    size_t capacity, head, n;
    bool closed;
};

struct queue *queue_new(size_t capacity)
{
    struct queue *q = mem_zalloc(sizeof *q);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->can_push, &attr);
    pthread_cond_init(&q->can_pop, &attr);
    pthread_condattr_destroy(&attr);
    q->capacity = capacity;
    q->ring = mem_array(NULL, capacity, sizeof *q->ring);
    return q;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->can_push);
    pthread_cond_destroy(&q->can_pop);
    pthread_mutex_destroy(&q->lock);
    mem_free(q->ring);
    mem_free(q);
}

/* Waits on c until the deadline; false when it has passed. */
static bool wait_until(struct queue *q, pthread_cond_t *c, int64_t deadline_ms)
{
    struct timespec t = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    return pthread_cond_timedwait(c, &q->lock, &t) == 0;
}

bool queue_push(struct queue *q, void *item, int64_t wait_ms)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->n == q->capacity && wait_ms > 0)
        if (!wait_until(q, &q->can_push, deadline))
            break;
    bool ok = !q->closed && q->n < q->capacity;
    if (ok) {
        q->ring[(q->head + q->n++) % q->capacity] = item;
        pthread_cond_signal(&q->can_pop);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void *queue_pop(struct queue *q, int64_t wait_ms)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->n == 0 && wait_ms > 0)
        if (!wait_until(q, &q->can_pop, deadline))
            break;
    void *item = NULL;
    if (q->n) {
        item = q->ring[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->n--;
        pthread_cond_signal(&q->can_push);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->can_pop);
    pthread_cond_broadcast(&q->can_push);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_length(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->n;
    pthread_mutex_unlock(&q->lock);
    return n;
}
