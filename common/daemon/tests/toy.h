/* A process around the skeleton's inside, against librdkafka's own broker. */
#ifndef DAEMON_TESTS_TOY_H
#define DAEMON_TESTS_TOY_H

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "kafka/mock.h"
#include "kafka/tests/side.h"
#include "testkit/testkit.h"

static struct kafka_mock *mock;

static inline void topic(const char *site, const char *noun, int partitions)
{
    char name[TOPIC_NAME];
    kafka_mock_topic(mock, topics_name(name, site, noun), partitions);
}

static inline void start_offsets(struct daemon *d, const char *stage, const char *noun, int n)
{
    char name[TOPIC_NAME], group[TOPIC_NAME];
    struct err e = {0};
    if (kafka_commit_start(&d->kafka, topics_group(group, d->settings->site, stage),
                           topics_name(name, d->settings->site, noun), n, &e))
        fail_msg("%s", e.text);
}

static inline struct daemon *toy_daemon(const struct service *s, const char *site,
                                        const char *instance)
{
    struct err e = {0};
    struct daemon *d = mem_zalloc(sizeof *d);
    d->service = s;
    d->arena = arena_new(0);
    d->settings = arena_alloc(d->arena, sizeof *d->settings);
    d->settings->site = site;
    d->settings->instance = instance;
    d->settings->brokers = kafka_mock_brokers(mock);
    d->settings->session_seconds = 4; /* the mock makes who comes back wait for it */
    d->settings->admin = "127.0.0.1:0";
    d->settings->admin_file = "";
    d->owner = arena_printf(d->arena, "%s-%s", s->name, instance);
    d->source = arena_printf(d->arena, "/talaria/%s/%s/%s", site, s->name, instance);
    d->kafka = (struct kafka_options){
        .brokers = d->settings->brokers, .client_id = d->owner, .fetch_wait_ms = 10};
    readiness_init(&d->boot, "starting");
    d->main_beat = watchdog_add(d, "main");
    if (kafka_producer_new(&d->producer, &d->kafka, &e))
        fail_msg("%s", e.text);
    return d;
}

static inline void toy_free(struct daemon *d)
{
    kafka_producer_free(d->producer);
    objstore_close(d->store);
    arena_free(d->arena);
    mem_free(d);
}

/* Reads a whole partition; calls fn for each record. Returns the end offset. */
static inline int64_t read_all(struct daemon *d, const char *noun, int32_t partition,
                               void (*fn)(const struct kafka_record *k, void *arg), void *arg)
{
    char name[TOPIC_NAME];
    struct err e = {0};
    struct kafka_reader *r = NULL;
    struct kafka_record k;
    int64_t end = clock_mono_ms() + 10000, next = 0;
    topics_name(name, d->settings->site, noun);
    if (kafka_reader_new(&r, &d->kafka, &e) ||
        kafka_reader_add(r, name, partition, KAFKA_START, &e))
        fail_msg("%s", e.text);
    while (!kafka_reader_at_end(r, name, partition) && clock_mono_ms() < end) {
        int got = kafka_reader_poll(r, &k, 50, &e);
        if (got < 0)
            fail_msg("%s", e.text);
        if (got > 0) {
            next = k.offset + 1;
            if (fn)
                fn(&k, arg);
        }
    }
    assert_true(kafka_reader_at_end(r, name, partition));
    kafka_reader_free(r);
    return next;
}

#endif
