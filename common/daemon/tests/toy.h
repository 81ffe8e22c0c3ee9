/* A process around the skeleton's inside, against librdkafka's own broker. */
#ifndef DAEMON_TESTS_TOY_H
#define DAEMON_TESTS_TOY_H

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/careful.h"
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

/* A claim of a stranger, as another worker would write it. */
static inline int64_t foreign_claim(struct daemon *d, int32_t partition)
{
    char name[TOPIC_NAME];
    struct err e = {0};
    struct kafka_ack ack;
    struct kafka_message m = {.topic = topics_name(name, d->settings->site, "decision"),
                              .partition = partition,
                              .key = SLICE("x"),
                              .value = SLICE("{}"),
                              .headers = {{"ce_type", SLICE("talaria.claim.v1")}},
                              .n_headers = 1};
    if (kafka_produce_wait(d->producer, &m, 10000, &ack, &e))
        fail_msg("%s", e.text);
    return ack.offset;
}

static inline void choice_under(struct daemon *d, int32_t partition, int64_t claim,
                                int64_t attempt)
{
    struct err e = {0};
    struct outputs out = daemon_outputs(d);
    struct event ev = {.type = EVENT_TASK_STARTED};
    ev.task_started.task = "task";
    ev.task_started.attempt = attempt;
    ev.task_started.owner = "stranger";
    if (outputs_event(&out, "decision", partition, "k", &ev, claim, &e) ||
        daemon_write(d, &out, &e))
        fail_msg("%s", e.text);
    outputs_free(&out);
}

/* What an owner before us has left in Kafka. */
static inline void left_behind(struct daemon *d, const char *stage, const char *noun, int64_t floor,
                               const char *metadata)
{
    char name[TOPIC_NAME], group[TOPIC_NAME];
    kafka_mock_commit(mock, topics_group(group, d->settings->site, stage),
                      topics_name(name, d->settings->site, noun), 0, floor, metadata);
}

/* The metadata of partition 0 as it is committed now, and the floor (may be NULL). */
static inline struct careful left_metadata(struct daemon *d, const char *stage, const char *noun,
                                           int64_t *floor)
{
    char name[TOPIC_NAME], group[TOPIC_NAME];
    struct err e = {0};
    struct careful c;
    struct kafka_partition p = {.topic = topics_name(name, d->settings->site, noun)};
    if (kafka_commits(&d->kafka, topics_group(group, d->settings->site, stage), &p, 1, &e) ||
        careful_decode(&c, p.metadata, &e))
        fail_msg("%s", e.text);
    mem_free((char *)(uintptr_t)p.metadata);
    if (floor)
        *floor = p.committed;
    return c;
}

static inline int start_mock(void **state)
{
    (void)state;
    mock = kafka_mock_new(1);
    return 0;
}

static inline int stop_mock(void **state)
{
    (void)state;
    kafka_mock_free(mock);
    return 0;
}

#endif
