/* One thread: migrations first, then import of what Kafka is ahead by, and publication of what
 * waits. */
#include "gateway/relay.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { EVERY_MS = 5000, AWAY_MS = 1000 };

METRIC_COUNTER(published, "talaria_gateway_config_published_total",
               "Configuration revisions published.", "");

struct relay {
    struct gateway *g;
    struct pg *pg;
    pthread_t thread;
    volatile int stop;
    pthread_mutex_t lock;
    bool ready;
    struct err why;
};

static void say(struct relay *r, bool ready, const struct err *e)
{
    pthread_mutex_lock(&r->lock);
    r->ready = ready;
    if (e)
        r->why = *e;
    pthread_mutex_unlock(&r->lock);
}

bool relay_ready(struct relay *r, char why[128])
{
    pthread_mutex_lock(&r->lock);
    bool ready = r->ready;
    if (!ready)
        str_copy(why, 128, *r->why.text ? r->why.text : "waiting for PostgreSQL");
    pthread_mutex_unlock(&r->lock);
    return ready;
}

/* What stands in Postgres and what stands in Kafka; either may be ahead. */
static int work(struct relay *r, struct err *e)
{
    char newest[CONFIGS_REVISION] = "";
    r->g->newest(r->g->arg, newest);
    if (configs_import(r->pg, r->g->publisher.store, newest, e) != 0)
        return -1;
    int n = configs_publish(r->pg, &r->g->publisher, e);
    if (n > 0) {
        metric_add(&published, n);
        log_info("configuration published", LOG_INT("revisions", n));
    }
    return n < 0 ? -1 : 0;
}

static void *run(void *arg)
{
    struct relay *r = arg;
    bool migrated = false;
    while (!r->stop) {
        struct err e = {0};
        if (!migrated)
            migrated = pg_migrate(r->pg, &e) == 0;
        int rc = migrated ? pg_connect(r->pg, &e) : -1;
        say(r, rc == 0, rc == 0 ? NULL : &e);
        if (rc == 0)
            rc = work(r, &e);
        if (rc != 0)
            LOG_LIMITED(LOG_LEVEL_WARN, "configuration relay waits", LOG_ERR(&e));
        (void)clock_sleep_ms(rc == 0 ? EVERY_MS : AWAY_MS, &r->stop);
    }
    return NULL;
}

int relay_start(struct relay **out, struct gateway *g, const char *conninfo, struct err *e)
{
    struct relay *r = mem_zalloc(sizeof *r);
    r->g = g;
    r->pg = pg_new(conninfo);
    pthread_mutex_init(&r->lock, NULL);
    if (thread_start(&r->thread, "relay", 0, run, r, e) != 0) {
        pg_free(r->pg);
        mem_free(r);
        return -1;
    }
    *out = r;
    return 0;
}

void relay_stop(struct relay *r)
{
    if (!r)
        return;
    r->stop = 1;
    thread_join(r->thread);
    pg_free(r->pg);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}
