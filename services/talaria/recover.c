/* talaria recover: the command, step by step. */
#include "talaria/recover.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "talaria/commands.h"

#define STORE "file:var/store"

struct step {
    const char *name;
    int (*run)(struct recover *r, struct err *e);
};

/* The padding stands before the store is looked at: what a receiver announces later comes after it. */
static const struct step steps[] = {
    {"lost offsets", recover_starts},   {"committed offsets", recover_commits},
    {"decisions", recover_decisions},   {"configuration", recover_config},
    {"padding", recover_pad},           {"manifests", recover_receipts},
    {"announcing", recover_announce},
};

static void prepare(struct recover *r, struct recover_topic *t, const char *noun)
{
    t->spec = topics_find(noun);
    topics_name(t->name, r->site, noun);
    for (size_t i = 0; i < RECOVER_PARTITIONS; i++)
        t->named[i] = -1;
}

void recover_topics(struct recover *r, struct recover_topic *out[RECOVER_TOPICS])
{
    struct recover_topic *const all[RECOVER_TOPICS] = {
        &r->instance, &r->decision, &r->task, &r->delivery, &r->event, &r->config, &r->dlq};
    memcpy(out, all, sizeof all);
}

static int count_partitions(struct recover *r, struct recover_topic *t, struct err *e)
{
    t->n = kafka_partitions(r->producer, t->name, e);
    if (t->n > RECOVER_PARTITIONS)
        return err_set(e, ERR_FATAL, 0, "%s: %d partitions", t->name, t->n);
    return t->n < 0 ? -1 : 0;
}

static int open_all(struct recover *r, const char *store, struct err *e)
{
    prepare(r, &r->instance, "instance");
    prepare(r, &r->decision, "decision");
    prepare(r, &r->task, "task");
    prepare(r, &r->delivery, "delivery");
    prepare(r, &r->event, "event");
    prepare(r, &r->config, "config");
    prepare(r, &r->dlq, "dlq");
    if (objstore_open(&r->store, store, e) || kafka_producer_new(&r->producer, &r->options, e))
        return -1;
    struct recover_topic *topics[RECOVER_TOPICS];
    recover_topics(r, topics);
    for (size_t i = 0; i < RECOVER_TOPICS; i++)
        if (count_partitions(r, topics[i], e))
            return -1;
    if (r->instance.n != r->decision.n)
        return err_set(e, ERR_FATAL, 0, "instance and decision differ in partitions");
    return 0;
}

static void close_all(struct recover *r)
{
    for (size_t i = 0; i < r->manifests.n; i++)
        mem_free(r->manifests.items[i]);
    vec_free(&r->manifests);
    vec_free(&r->decided);
    config_free(r->snapshot);
    kafka_producer_free(r->producer);
    objstore_close(r->store);
}

static void tell(const struct cli *c, const struct recover *r)
{
    if (c->json) {
        printf("{\"padding\":%lld,\"objects\":%lld,\"decided\":%lld,\"announced\":%lld,"
               "\"old\":%lld,\"torn\":%lld,\"strange\":%lld}\n",
               (long long)r->padded, (long long)r->objects, (long long)r->known,
               (long long)r->announced, (long long)r->old, (long long)r->torn,
               (long long)r->strange);
        return;
    }
    printf("%lld padding records written\n", (long long)r->padded);
    printf("%lld instances in the store: %lld stand in a decision, %lld announced again\n",
           (long long)r->objects, (long long)r->known, (long long)r->announced);
    if (r->old + r->torn + r->strange)
        printf("not announced: %lld older than the log, %lld not whole, %lld with strange names\n",
               (long long)r->old, (long long)r->torn, (long long)r->strange);
}

static int run(struct cli *c, int argc, char **argv)
{
    const char *store = getenv("TALARIA_STORE");
    const struct option_row rows[] = {
        OPTION_TEXT("--store", "URL", &store, "the object store (TALARIA_STORE; " STORE ")"),
    };
    int status = options_take(&command_recover, rows, ARRAY_LEN(rows), &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    struct recover r = {.site = c->settings->site,
                        .options = {.brokers = c->settings->brokers, .client_id = "talaria"}};
    struct err e = {0};
    int result = open_all(&r, store && *store ? store : STORE, &e);
    for (size_t i = 0; i < ARRAY_LEN(steps) && !result; i++) {
        result = steps[i].run(&r, &e);
        if (result)
            err_wrap(&e, "%s", steps[i].name);
    }
    status = result ? failed(&e) : EXIT_DONE;
    if (!result)
        tell(c, &r);
    close_all(&r);
    return status;
}

const struct command command_recover = {
    "recover", "", "after a log has lost its end: pads it, and announces again what was in it", run};
