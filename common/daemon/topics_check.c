/* Does the broker have the topics of this service as the list says? Missing ones are waited for; a
 * difference that would break the journals ends the process. */
#include "base/clock.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "log/log.h"

#define TOPICS_MAX 32
#define RETRY_MS   1000

static bool among(const struct row_strings *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static bool stage_uses(const struct stage *s, const char *noun)
{
    for (size_t i = 0; i < ARRAY_LEN(s->inputs) && s->inputs[i]; i++)
        if (strcmp(s->inputs[i], noun) == 0)
            return true;
    return s->journal && strcmp(s->journal, noun) == 0;
}

static bool uses(const struct service *s, const struct topic_spec *t)
{
    bool yes = among(&t->producers, s->name);
    yes |= !s->without_config && strcmp(t->noun, "config") == 0;
    for (size_t i = 0; s->stages && s->stages[i]; i++)
        yes |= stage_uses(s->stages[i], t->noun);
    return yes;
}

struct plan {
    struct kafka_topic topics[TOPICS_MAX];
    const struct topic_spec *specs[TOPICS_MAX];
    char names[TOPICS_MAX][TOPIC_NAME];
    struct kafka_header config[TOPICS_MAX][2];
    size_t n;
};

static void make_plan(struct plan *p, struct daemon *d)
{
    size_t n;
    const struct topic_spec *all = topics_all(&n);
    p->n = 0;
    for (size_t i = 0; i < n && p->n < TOPICS_MAX; i++) {
        if (!uses(d->service, &all[i]))
            continue;
        struct kafka_header *config = p->config[p->n];
        config[0] = (struct kafka_header){"cleanup.policy", slice_of(all[i].policy)};
        config[1] = (struct kafka_header){"message.timestamp.type", SLICE("LogAppendTime")};
        p->specs[p->n] = &all[i];
        p->topics[p->n] = (struct kafka_topic){
            .name = topics_name(p->names[p->n], d->settings->site, all[i].noun),
            .partitions = 0, /* one of two counts: compared below */
            .config = config,
            .n_config = 2};
        p->n++;
    }
}

/* The full count or that of tests, and the same for all that belong together. */
static int check_counts(struct daemon *d, const struct plan *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct topic_spec *s = p->specs[i];
        int32_t n = kafka_partitions(d->producer, p->names[i], e);
        if (n < 0)
            return -1;
        if (n != s->partitions && n != s->partitions_test)
            return err_set(e, ERR_FATAL, 0, "topic %s has %d partitions, not %lld", p->names[i], n,
                           (long long)s->partitions);
        for (size_t k = 0; s->copartition && k < p->n; k++)
            if (strcmp(p->specs[k]->noun, s->copartition) == 0 &&
                kafka_partitions(d->producer, p->names[k], e) != n)
                return err_set(e, ERR_FATAL, 0, "topics %s and %s differ in partitions",
                               p->names[i], p->names[k]);
    }
    return 0;
}

int topics_check(struct daemon *d, struct err *e)
{
    struct plan *p = mem_zalloc(sizeof *p);
    make_plan(p, d);
    int r = -1;
    while (r && !d->stopping) {
        r = kafka_check_topics(&d->kafka, p->topics, p->n, e);
        if (!r)
            r = check_counts(d, p, e);
        if (!r || e->kind == ERR_FATAL)
            break;
        readiness_set(&d->boot, false, e->text);
        LOG_LIMITED(LOG_LEVEL_WARN, "waiting for topics", LOG_ERR(e));
        watchdog_beat(d->main_beat);
        clock_sleep_ms(RETRY_MS, &d->stopping);
    }
    mem_free(p);
    return d->stopping ? 0 : r;
}
