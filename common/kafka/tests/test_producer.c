/* The producer against librdkafka's own broker: acknowledgements, refusals, recovery. */
#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka_priv.h"
#include "kafka/mock.h"
#include "kafka/tests/side.h"
#include "testkit/testkit.h"

#define OUT_OF_ORDER 45 /* OUT_OF_ORDER_SEQUENCE_NUMBER of Kafka's protocol */
#define TIMED_OUT    7  /* REQUEST_TIMED_OUT */

static struct kafka_mock *mock;

static struct kafka_options options(void)
{
    return (struct kafka_options){.brokers = kafka_mock_brokers(mock), .client_id = "test"};
}

static struct kafka_producer *producer(const struct kafka_options *o)
{
    struct kafka_producer *p = NULL;
    struct err e = {0};
    if (kafka_producer_new(&p, o, &e))
        fail_msg("%s", e.text);
    return p;
}

static int start_mock(void **state)
{
    (void)state;
    mock = kafka_mock_new(1);
    kafka_mock_topic(mock, "t", 4);
    return 0;
}

static int stop_mock(void **state)
{
    (void)state;
    kafka_mock_free(mock);
    return 0;
}

/* Values of org.apache.kafka.common.utils.Utils.murmur2. */
static void partitions_are_javas(void **state)
{
    static const struct {
        const char *key;
        uint32_t murmur2;
    } cases[] = {
        {"kafka", 0xd067cf64}, {"giberish123456789", 0x8f552b0c},
        {"1234", 0x9fc97b14},  {"234", 0xe7c009ca},
        {"34", 0x873930da},    {"4", 0x5a4b5ca1},
        {"", 0x106e08d9},      {"PreAmbleWillBeRemoved,ThePrePartThatIs", 0x78424f1c},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int32_t n = 1; n <= 24; n++)
            assert_int_equal(kafka_partition_of(slice_of(cases[i].key), n),
                             (int32_t)((cases[i].murmur2 & 0x7fffffff) % (uint32_t)n));
    assert_int_equal(kafka_partition_of((struct slice){NULL, 0}, 0), 0);
}

static void a_record_is_acknowledged_where_its_key_belongs(void **state)
{
    struct kafka_options o = options();
    struct kafka_producer *p = producer(&o);
    struct err e = {0};
    (void)state;
    for (int i = 0; i < 20; i++) {
        char key[16];
        struct kafka_ack ack;
        snprintf(key, sizeof key, "key-%d", i);
        struct kafka_message m = {.topic = "t",
                                  .partition = -1,
                                  .key = slice_of(key),
                                  .value = SLICE("v"),
                                  .headers = {{"a", SLICE("1")}},
                                  .n_headers = 1};
        if (kafka_produce_wait(p, &m, 10000, &ack, &e))
            fail_msg("%s", e.text);
        assert_int_equal(ack.partition, kafka_partition_of(slice_of(key), 4));
        assert_true(ack.offset >= 0);
    }
    assert_true(kafka_producer_ready(p));
    assert_int_equal(kafka_partitions(p, "t", &e), 4);
    assert_int_equal(kafka_partitions(p, "t", &e), 4);
    int64_t low, high, sum = 0;
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(kafka_watermarks(p, "t", i, &low, &high, &e), 0);
        assert_int_equal(low, 0);
        sum += high;
    }
    assert_int_equal(sum, 20);
    kafka_producer_free(p);
}

static void wrong_messages_are_refused_at_once(void **state)
{
    static char large[2 << 20];
    struct kafka_options o = options();
    struct kafka_producer *p = producer(&o);
    struct err e = {0};
    struct kafka_ack ack;
    (void)state;
    struct kafka_message m = {
        .topic = "t", .partition = -1, .key = SLICE("k"), .value = {large, sizeof large}};
    assert_int_equal(kafka_produce_wait(p, &m, 10000, &ack, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    m = (struct kafka_message){.topic = "t", .partition = 0, .value = SLICE("v")};
    assert_int_equal(kafka_produce_wait(p, &m, 10000, &ack, &e), 0);
    m.partition = 17;
    m.headers[0] = (struct kafka_header){"h", SLICE("x")};
    m.n_headers = 1;
    assert_int_equal(kafka_produce_wait(p, &m, 10000, &ack, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    m.n_headers = KAFKA_HEADERS + 1;
    assert_int_equal(kafka_produce_wait(p, &m, 10000, &ack, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    kafka_producer_free(p);
}

static void without_a_broker_the_message_times_out(void **state)
{
    struct kafka_options o = options();
    struct err e = {0};
    (void)state;
    o.brokers = "127.0.0.1:1";
    o.message_timeout_ms = 500;
    struct kafka_producer *p = producer(&o);
    struct kafka_message m = {.topic = "t", .partition = 0, .value = SLICE("v")};
    assert_int_equal(kafka_produce_wait(p, &m, 50, NULL, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    assert_int_equal(kafka_produce_wait(p, &m, 20000, NULL, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    assert_false(kafka_producer_ready(p));
    kafka_producer_free(p);
}

struct tally {
    int acked, failed;
};

static void count(void *arg, const struct kafka_ack *ack)
{
    struct tally *t = arg;
    __atomic_add_fetch(ack->err.kind ? &t->failed : &t->acked, 1, __ATOMIC_RELAXED);
}

static void produce_n(struct kafka_producer *p, int n, struct tally *t)
{
    struct err e = {0};
    for (int i = 0; i < n; i++) {
        struct kafka_message m = {.topic = "t", .partition = i % 4, .value = SLICE("v")};
        if (kafka_produce(p, &m, count, t, &e))
            fail_msg("%s", e.text);
    }
}

/* The case of the reference: the broker refuses a batch whose predecessor it has already taken. */
static void a_fatal_error_of_the_broker_costs_only_time(void **state)
{
    struct kafka_options o = options();
    struct kafka_producer *p = producer(&o);
    struct tally t = {0};
    (void)state;
    produce_n(p, 8, &t);
    kafka_producer_flush(p, 10000);
    assert_int_equal(t.acked, 8);
    rd_kafka_t *before = kafka_producer_handle(p);
    kafka_mock_fail_produce(mock, TIMED_OUT, 1);
    kafka_mock_fail_produce(mock, OUT_OF_ORDER, 4);
    produce_n(p, 20, &t);
    kafka_producer_flush(p, 20000);
    assert_int_equal(t.acked, 28);
    assert_int_equal(t.failed, 0);
    assert_ptr_not_equal(kafka_producer_handle(p), before);
    kafka_producer_free(p);
}

static void a_fatal_error_of_the_client_costs_only_time(void **state)
{
    struct kafka_options o = options();
    struct kafka_producer *p = producer(&o);
    struct tally t = {0};
    (void)state;
    for (int round = 0; round < 3; round++) {
        rd_kafka_test_fatal_error(kafka_producer_handle(p), RD_KAFKA_RESP_ERR__FENCED, "test");
        produce_n(p, 100, &t);
        kafka_producer_flush(p, 20000);
        assert_int_equal(t.acked, (round + 1) * 100);
        assert_int_equal(t.failed, 0);
    }
    kafka_producer_free(p);
}

static int is_ready(void *arg)
{
    return kafka_producer_ready(arg);
}

static int is_not_ready(void *arg)
{
    return !kafka_producer_ready(arg);
}

static void readiness_follows_the_broker(void **state)
{
    struct kafka_options o = options();
    struct kafka_producer *p = producer(&o);
    (void)state;
    assert_true(testkit_within(5000, is_ready, p));
    kafka_mock_down(mock);
    assert_true(testkit_within(10000, is_not_ready, p));
    kafka_mock_up(mock);
    assert_true(testkit_within(10000, is_ready, p));
    kafka_producer_free(p);
}

static void closing_answers_what_is_left(void **state)
{
    struct kafka_options o = options();
    struct tally t = {0};
    (void)state;
    o.brokers = "127.0.0.1:1";
    struct kafka_producer *p = producer(&o);
    produce_n(p, 10, &t);
    kafka_producer_free(p);
    assert_int_equal(t.failed, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitions_are_javas),
        cmocka_unit_test(a_record_is_acknowledged_where_its_key_belongs),
        cmocka_unit_test(wrong_messages_are_refused_at_once),
        cmocka_unit_test(without_a_broker_the_message_times_out),
        cmocka_unit_test(a_fatal_error_of_the_broker_costs_only_time),
        cmocka_unit_test(a_fatal_error_of_the_client_costs_only_time),
        cmocka_unit_test(readiness_follows_the_broker),
        cmocka_unit_test(closing_answers_what_is_left),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_mock, stop_mock);
}
