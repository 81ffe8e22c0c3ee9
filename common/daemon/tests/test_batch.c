/* Batch stages: everything once and in order; bad records alone go to dlq; outages lose nothing. */
#include <stdlib.h>

#include "daemon/stage_priv.h"
#include "toy.h"

#define MAX 20000

/* What the toy's "database" holds: offsets advance with what is taken. */
static struct {
    pthread_mutex_t lock;
    int64_t next[2];
    uint64_t mark[2]; /* of the record before; 0: unknown */
    int taken[2][MAX];
    int away, fatal, calls, asked;
    size_t largest;
} base = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int positions(struct daemon *d, struct stage_place *places, size_t n, struct err *e)
{
    (void)d;
    (void)e;
    pthread_mutex_lock(&base.lock);
    base.asked++;
    for (size_t i = 0; i < n; i++) {
        places[i].start = base.next[places[i].partition];
        places[i].marked = base.mark[places[i].partition] != 0;
        places[i].mark = base.mark[places[i].partition];
    }
    pthread_mutex_unlock(&base.lock);
    return 0;
}

static bool has_bad(const struct kafka_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_is(records[i].value, "bad"))
            return true;
    return false;
}

static int take(const struct kafka_record *records, size_t n, struct err *e)
{
    base.calls++;
    if (n > base.largest)
        base.largest = n;
    if (base.away-- > 0)
        return err_set(e, ERR_RETRY, 0, "away");
    if (base.fatal-- > 0)
        return err_set(e, ERR_FATAL, 0, "positions have moved");
    if (has_bad(records, n))
        return err_set(e, ERR_REJECT, 0, "a bad record");
    for (size_t i = 0; i < n; i++) {
        const struct kafka_record *k = &records[i];
        if (!slice_is(k->key, "key") || !slice_is(kafka_record_header(k, "h"), "value"))
            abort();
        base.taken[k->partition][k->offset]++;
        base.next[k->partition] = k->offset + 1;
        base.mark[k->partition] = careful_mark(k->timestamp, k->value);
    }
    return 0;
}

static int batch(struct daemon *d, const struct kafka_record *records, size_t n, struct err *e)
{
    (void)d;
    pthread_mutex_lock(&base.lock);
    int r = take(records, n, e);
    pthread_mutex_unlock(&base.lock);
    return r;
}

static const struct stage toy = {
    .name = "book", .inputs = {"instance"}, .positions = positions, .batch = batch};
static const struct stage *const stages[] = {&toy, NULL};
static const struct service service = {.name = "toy", .summary = "books", .stages = stages};

static void put_typed(struct daemon *d, int32_t partition, const char *value, int n, const char *type)
{
    char name[TOPIC_NAME];
    struct err e = {0};
    struct kafka_message m = {.topic = topics_name(name, d->settings->site, "instance"),
                              .partition = partition,
                              .key = SLICE("key"),
                              .value = slice_of(value),
                              .headers = {{"h", SLICE("value")}, {"ce_type", slice_of(type)}},
                              .n_headers = 2};
    for (int i = 0; i < n; i++)
        if (kafka_produce(d->producer, &m, NULL, NULL, &e))
            fail_msg("%s", e.text);
    kafka_producer_flush(d->producer, 10000);
}

static void put(struct daemon *d, int32_t partition, const char *value, int n)
{
    put_typed(d, partition, value, n, "talaria.event.v1");
}

/* As `talaria recover` does. */
static void put_padding(struct daemon *d, int32_t partition)
{
    put_typed(d, partition, "good", 1, "talaria.padding.v1");
}

struct wanted {
    int64_t next[2];
};

static int taken(void *arg)
{
    struct wanted *w = arg;
    pthread_mutex_lock(&base.lock);
    int yes = base.next[0] >= w->next[0] && base.next[1] >= w->next[1];
    pthread_mutex_unlock(&base.lock);
    return yes;
}

static struct daemon *site(const char *name, struct runner **r)
{
    struct err e = {0};
    memset(base.next, 0, sizeof base.next);
    memset(base.mark, 0, sizeof base.mark);
    memset(base.taken, 0, sizeof base.taken);
    base.away = base.fatal = base.calls = base.asked = 0;
    base.largest = 0;
    topic(name, "event", 2); /* alarms */
    topic(name, "instance", 2);
    topic(name, "dlq", 1);
    struct daemon *d = toy_daemon(&service, name, "a");
    put(d, 0, "good", 2500);
    put(d, 1, "good", 10);
    if (runner_start(r, d, &toy, &e))
        fail_msg("%s", e.text);
    return d;
}

static void end(struct daemon *d, struct runner *r, int n0, int n1, int bad)
{
    runner_stop(r);
    for (int i = 0; i < n0; i++)
        if (base.taken[0][i] != (i != bad))
            fail_msg("record %d was taken %d times", i, base.taken[0][i]);
    for (int i = 0; i < n1; i++)
        assert_int_equal(base.taken[1][i], 1);
    toy_free(d);
}

static void all_are_taken_once(void **state)
{
    struct runner *r;
    struct daemon *d = site("b1", &r);
    struct wanted w = {{2500, 10}};
    (void)state;
    assert_true(testkit_within(30000, taken, &w));
    assert_true(base.largest <= 1000);
    put(d, 1, "good", 1); /* alone: not kept longer than a moment */
    w.next[1] = 11;
    assert_true(testkit_within(5000, taken, &w));
    end(d, r, 2500, 11, -1);
}

static void a_bad_record_goes_alone(void **state)
{
    struct runner *r;
    struct daemon *d = site("b2", &r);
    struct wanted w = {{2601, 10}};
    (void)state;
    put(d, 0, "bad", 1);
    put(d, 0, "good", 100);
    assert_true(testkit_within(30000, taken, &w));
    end(d, r, 2601, 10, 2500);
}

static void an_outage_loses_nothing(void **state)
{
    struct runner *r;
    base.away = 0;
    struct daemon *d = site("b3", &r);
    struct wanted w = {{2500, 10}};
    (void)state;
    pthread_mutex_lock(&base.lock);
    base.away = 4;
    pthread_mutex_unlock(&base.lock);
    assert_true(testkit_within(30000, taken, &w));
    put(d, 0, "good", 500);
    w.next[0] = 3000;
    assert_true(testkit_within(30000, taken, &w));
    end(d, r, 3000, 10, -1);
}

static void refused_positions_are_asked_again(void **state)
{
    struct runner *r;
    struct daemon *d = site("b4", &r);
    struct wanted w = {{2500, 10}};
    (void)state;
    assert_true(testkit_within(30000, taken, &w));
    pthread_mutex_lock(&base.lock);
    base.fatal = 1;
    int before = base.asked;
    pthread_mutex_unlock(&base.lock);
    put(d, 0, "good", 100);
    w.next[0] = 2600;
    assert_true(testkit_within(30000, taken, &w));
    assert_true(base.asked > before);
    end(d, r, 2600, 10, -1);
}

static int closed(void *arg)
{
    struct runner *r = arg;
    char why[DAEMON_WHY];
    return !readiness_get(&r->ready, why) && strstr(why, "talaria recover") != NULL;
}

static int ready(void *arg)
{
    struct runner *r = arg;
    char why[DAEMON_WHY];
    return readiness_get(&r->ready, why);
}

/* What stands before the place is another record than the one that was read. */
static void another_record_before_its_place_closes_a_partition(void **state)
{
    struct runner *r;
    struct daemon *d = site("b5", &r);
    struct wanted w = {{2500, 10}};
    struct err e = {0};
    (void)state;
    assert_true(testkit_within(30000, taken, &w));
    runner_stop(r);
    base.mark[0]++;
    put(d, 0, "good", 5);
    put(d, 1, "good", 5);
    if (runner_start(&r, d, &toy, &e))
        fail_msg("%s", e.text);
    w = (struct wanted){{0, 15}};
    assert_true(testkit_within(30000, closed, r));
    assert_true(testkit_within(30000, taken, &w)); /* the other goes on */
    assert_int_equal(base.next[0], 2500);
    put_padding(d, 0);
    w.next[0] = 2506;
    assert_true(testkit_within(30000, taken, &w));
    assert_true(testkit_within(30000, ready, r));
    end(d, r, 2506, 15, -1);
}

/* The log has not so many records any more. */
static void a_place_beyond_the_end_closes_a_partition(void **state)
{
    struct runner *r;
    struct daemon *d = site("b6", &r);
    struct wanted w = {{2500, 10}};
    struct err e = {0};
    (void)state;
    assert_true(testkit_within(30000, taken, &w));
    runner_stop(r);
    base.next[1] = 12;
    if (runner_start(&r, d, &toy, &e))
        fail_msg("%s", e.text);
    assert_true(testkit_within(30000, closed, r));
    for (int i = 0; i < 3; i++)
        put_padding(d, 1);
    w = (struct wanted){{2500, 13}};
    assert_true(testkit_within(30000, taken, &w));
    assert_true(testkit_within(30000, ready, r));
    runner_stop(r);
    toy_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_taken_once),
        cmocka_unit_test(a_bad_record_goes_alone),
        cmocka_unit_test(an_outage_loses_nothing),
        cmocka_unit_test(refused_positions_are_asked_again),
        cmocka_unit_test(another_record_before_its_place_closes_a_partition),
        cmocka_unit_test(a_place_beyond_the_end_closes_a_partition),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_mock, stop_mock);
}
