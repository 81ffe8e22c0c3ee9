/* Connections are made when first needed and kept. */
#include "gateway/pool.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/mem.h"

enum { WAIT_SECONDS = 5 };

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct pg **idle;
    size_t n, size;
};

struct pool *pool_new(const char *conninfo, size_t connections)
{
    struct pool *p = mem_zalloc(sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->freed, NULL);
    p->size = p->n = connections;
    p->idle = mem_array(NULL, connections, sizeof *p->idle);
    for (size_t i = 0; i < connections; i++)
        p->idle[i] = pg_new(conninfo);
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        pg_free(p->idle[i]);
    mem_free(p->idle);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

static struct pg *take_idle(struct pool *p)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    struct pg *c = NULL;
    pthread_mutex_lock(&p->lock);
    while (p->n == 0 && pthread_cond_timedwait(&p->freed, &p->lock, &until) != ETIMEDOUT)
        ;
    if (p->n > 0)
        c = p->idle[--p->n];
    pthread_mutex_unlock(&p->lock);
    return c;
}

struct pg *pool_take(struct pool *p, struct err *e)
{
    struct pg *c = take_idle(p);
    if (!c) {
        (void)err_set(e, ERR_RETRY, 0, "every database connection is busy");
        return NULL;
    }
    if (pg_connect(c, e) == 0)
        return c;
    pool_give(p, c);
    return NULL;
}

void pool_give(struct pool *p, struct pg *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&p->lock);
    p->idle[p->n++] = c;
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}
