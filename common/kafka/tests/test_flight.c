/* Flights against librdkafka's own broker: who waits hears of all, and who leaves leaves nothing
 * behind. */
#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "kafka/mock.h"
#include "kafka/tests/side.h"
#include "testkit/testkit.h"

#include <errno.h>

static struct kafka_mock *mock;

static int start_mock(void **state)
{
    (void)state;
    mock = kafka_mock_new(1);
    kafka_mock_topic(mock, "t", 1);
    return 0;
}

static int stop_mock(void **state)
{
    (void)state;
    kafka_mock_free(mock);
    return 0;
}

static struct kafka_producer *producer(const char *brokers, int timeout_ms)
{
    const struct kafka_options o = {
        .brokers = brokers, .client_id = "test", .message_timeout_ms = timeout_ms};
    struct kafka_producer *p = NULL;
    struct err e = {0};
    if (kafka_producer_new(&p, &o, &e))
        fail_msg("%s", e.text);
    return p;
}

static const struct kafka_message message = {.topic = "t", .partition = 0, .value = SLICE("v")};

static void add(struct kafka_flight *f, int n)
{
    struct err e = {0};
    for (int i = 0; i < n; i++)
        if (kafka_flight_add(f, &message, clock_mono_ms() + 10000, NULL, &e))
            fail_msg("%s", e.text);
}

static void all_land_and_the_highest_offset_is_told(void **state)
{
    (void)state;
    struct kafka_producer *p = producer(kafka_mock_brokers(mock), 0);
    struct kafka_ack last = {0};
    struct err e = {0};
    struct kafka_flight *f = kafka_flight_new(p);
    add(f, 500);
    assert_int_equal(kafka_flight_land(f, clock_mono_ms() + 10000, &last, &e), 0);
    assert_int_equal(last.offset, 499);
    f = kafka_flight_new(p); /* with nothing in it there is nothing to wait for */
    assert_int_equal(kafka_flight_land(f, 0, &last, &e), 0);
    assert_int_equal(last.offset, -1);
    kafka_producer_free(p);
}

static void one_failure_fails_the_flight_and_the_others_are_waited_for(void **state)
{
    (void)state;
    static char large[2 << 20];
    struct kafka_producer *p = producer(kafka_mock_brokers(mock), 0);
    struct kafka_message wrong = message;
    struct err e = {0};
    int64_t low, high;
    struct kafka_flight *f = kafka_flight_new(p);
    add(f, 5);
    wrong.value = (struct slice){large, sizeof large};
    assert_int_equal(kafka_flight_add(f, &wrong, clock_mono_ms() + 10000, NULL, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT); /* at once, though there was time to wait */
    wrong = message;
    wrong.partition = 17;
    if (!kafka_flight_add(f, &wrong, 0, NULL, &e))
        assert_int_equal(kafka_flight_land(f, clock_mono_ms() + 10000, NULL, &e), -1);
    else
        assert_int_equal(kafka_flight_land(f, clock_mono_ms() + 10000, NULL, NULL), 0);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(kafka_watermarks(p, "t", 0, &low, &high, &e), 0);
    assert_int_equal(high, 5);
    kafka_producer_free(p);
}

/* Whoever frees it, it is freed once: the sanitizers watch. */
static void who_does_not_wait_to_the_end_leaves_it_to_the_acknowledgements(void **state)
{
    (void)state;
    struct kafka_producer *p = producer("127.0.0.1:1", 500);
    struct err e = {0};
    for (int i = 0; i < 3; i++) {
        struct kafka_flight *f = kafka_flight_new(p);
        add(f, 10);
        assert_int_equal(kafka_flight_land(f, clock_mono_ms() + 10, NULL, &e), -1);
        assert_int_equal(e.kind, ERR_RETRY);
        assert_int_equal(e.code, ETIMEDOUT);
    }
    struct kafka_flight *f = kafka_flight_new(p);
    add(f, 10);
    kafka_flight_free(f);
    f = kafka_flight_new(p);
    add(f, 10);
    assert_int_equal(kafka_flight_land(f, clock_mono_ms() + 20000, NULL, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    assert_int_not_equal(e.code, ETIMEDOUT); /* all were answered */
    kafka_producer_free(p);
}

static void a_full_queue_is_waited_for_unless_somebody_stops(void **state)
{
    (void)state;
    struct kafka_producer *p = producer("127.0.0.1:1", 1000);
    struct kafka_flight *f = kafka_flight_new(p);
    struct err e = {0};
    const volatile int stop = 1;
    int n = 0;
    while (!kafka_flight_add(f, &message, 0, NULL, &e))
        assert_true(++n < 1000000);
    assert_int_equal(e.kind, ERR_RETRY);
    while (!kafka_flight_add(f, &message, clock_mono_ms() + 20000, &stop, &e))
        assert_true(++n < 1000000);
    add(f, 1); /* once the first ones have timed out */
    assert_int_equal(kafka_flight_land(f, clock_mono_ms() + 20000, NULL, &e), -1);
    kafka_producer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_land_and_the_highest_offset_is_told),
        cmocka_unit_test(one_failure_fails_the_flight_and_the_others_are_waited_for),
        cmocka_unit_test(who_does_not_wait_to_the_end_leaves_it_to_the_acknowledgements),
        cmocka_unit_test(a_full_queue_is_waited_for_unless_somebody_stops),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_mock, stop_mock);
}
