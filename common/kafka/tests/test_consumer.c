/* The group consumer and the reader against librdkafka's own broker. */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "kafka/mock.h"
#include "kafka/tests/side.h"
#include "testkit/testkit.h"

static struct kafka_mock *mock;
static struct kafka_options options;
static struct kafka_producer *producer;

static int start_mock(void **state)
{
    struct err e = {0};
    (void)state;
    mock = kafka_mock_new(1);
    options = (struct kafka_options){.brokers = kafka_mock_brokers(mock), .client_id = "test"};
    return kafka_producer_new(&producer, &options, &e);
}

static int stop_mock(void **state)
{
    (void)state;
    kafka_producer_free(producer);
    kafka_mock_free(mock);
    return 0;
}

static int64_t put(const char *topic, int32_t partition, const char *value)
{
    struct err e = {0};
    struct kafka_ack ack;
    struct kafka_message m = {.topic = topic,
                              .partition = partition,
                              .key = SLICE("key"),
                              .value = slice_of(value),
                              .headers = {{"ce_type", SLICE("x")}, {"claim", SLICE("7")}},
                              .n_headers = 2};
    if (kafka_produce_wait(producer, &m, 10000, &ack, &e))
        fail_msg("%s", e.text);
    return ack.offset;
}

/* What the callbacks saw, and what assigned shall answer. */
struct seen {
    int assigned, revoked, refuse;
    size_t n;
    int64_t committed;
    char metadata[1100];
};

static int on_assigned(void *arg, struct kafka_partition *parts, size_t n, struct err *e)
{
    struct seen *s = arg;
    s->assigned++;
    s->n = n;
    s->committed = parts[0].committed;
    str_copy(s->metadata, sizeof s->metadata, parts[0].metadata);
    if (s->refuse-- > 0)
        return err_set(e, ERR_RETRY, 0, "not now");
    return 0;
}

static void on_revoked(void *arg, const struct kafka_partition *parts, size_t n, bool lost)
{
    struct seen *s = arg;
    (void)parts;
    (void)lost;
    s->revoked += (int)n;
}

static struct kafka_consumer *join(const char *group, const char *topic, struct seen *s,
                                   bool assign_only)
{
    struct kafka_consumer *c = NULL;
    struct err e = {0};
    struct kafka_group g = {.group = group,
                            .topics = (const char *const[]){topic},
                            .n_topics = 1,
                            .session_timeout_ms = 4000,
                            .assigned = on_assigned,
                            .revoked = on_revoked,
                            .assign_only = assign_only,
                            .arg = s};
    if (kafka_consumer_new(&c, &options, &g, &e))
        fail_msg("%s", e.text);
    return c;
}

/* Polls until a record comes or ms have passed; errors are counted. */
static int next(struct kafka_consumer *c, struct kafka_record *r, int ms, int *errors)
{
    int64_t end = clock_mono_ms() + ms;
    struct err e = {0};
    while (clock_mono_ms() < end) {
        int k = kafka_poll(c, r, 50, &e);
        if (k > 0)
            return 1;
        if (k < 0)
            ++*errors;
    }
    return 0;
}

static void start_group(const char *group, const char *topic, int partitions)
{
    struct err e = {0};
    kafka_mock_topic(mock, topic, partitions);
    if (kafka_commit_start(&options, group, topic, partitions, &e))
        fail_msg("%s", e.text);
    assert_int_equal(kafka_commit_start(&options, group, topic, partitions, &e), 0);
}

static void floors_and_metadata_come_back(void **state)
{
    struct seen s = {0};
    struct kafka_record r;
    struct err e = {0};
    int errors = 0;
    (void)state;
    start_group("g1", "c1", 1);
    for (int i = 0; i < 5; i++)
        put("c1", 0, "value");
    struct kafka_consumer *c = join("g1", "c1", &s, false);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(next(c, &r, 15000, &errors), 1);
        assert_int_equal(r.offset, i);
        assert_string_equal(r.topic, "c1");
        assert_true(slice_is(r.value, "value"));
        assert_true(slice_is(kafka_record_header(&r, "claim"), "7"));
        assert_null(kafka_record_header(&r, "none").p);
    }
    assert_int_equal(s.committed, 0);
    int64_t end = clock_mono_ms() + 10000;
    while (!kafka_at_end(c, "c1", 0) && clock_mono_ms() < end)
        assert_int_equal(next(c, &r, 50, &errors), 0);
    assert_true(kafka_at_end(c, "c1", 0));
    assert_true(kafka_member(c));
    assert_int_equal(kafka_commit(c, "c1", 0, 3, "{\"v\":1}", true, &e), 0);
    char long_text[1100];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    assert_int_equal(kafka_commit(c, "c1", 0, 3, long_text, true, &e), -1);
    kafka_consumer_free(c);
    assert_int_equal(s.revoked, 1);
    assert_int_equal(errors, 0);

    memset(&s, 0, sizeof s);
    c = join("g1", "c1", &s, false);
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_int_equal(r.offset, 3);
    assert_int_equal(s.committed, 3);
    assert_string_equal(s.metadata, "{\"v\":1}");
    assert_int_equal(kafka_seek(c, "c1", 0, 1, &e), 0);
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_int_equal(r.offset, 1);
    kafka_consumer_free(c);
}

static void refused_partitions_are_offered_again(void **state)
{
    struct seen s = {.refuse = 2};
    struct kafka_record r;
    int errors = 0;
    (void)state;
    start_group("g2", "c2", 2);
    put("c2", 1, "v");
    struct kafka_consumer *c = join("g2", "c2", &s, false);
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_int_equal(s.assigned, 3);
    assert_int_equal(s.n, 2);
    assert_int_equal(errors, 2);
    kafka_consumer_free(c);
    assert_int_equal(s.revoked, 2);
}

static void without_a_committed_offset_nothing_is_read(void **state)
{
    struct seen s = {0};
    struct kafka_record r;
    int errors = 0;
    (void)state;
    kafka_mock_topic(mock, "c3", 1);
    put("c3", 0, "v");
    struct kafka_consumer *c = join("g3", "c3", &s, false);
    int64_t end = clock_mono_ms() + 15000;
    while (!errors && clock_mono_ms() < end)
        assert_int_equal(next(c, &r, 100, &errors), 0);
    assert_int_equal(errors > 0, 1);
    assert_false(kafka_member(c));
    kafka_consumer_free(c);
    assert_int_equal(s.revoked, 0);
}

static void an_owner_without_fetching_can_commit(void **state)
{
    struct seen s = {0};
    struct kafka_record r;
    struct err e = {0};
    int errors = 0;
    (void)state;
    start_group("g4", "c4", 1);
    for (int i = 0; i < 3; i++)
        put("c4", 0, "v");
    struct kafka_consumer *c = join("g4", "c4", &s, true);
    int64_t end = clock_mono_ms() + 15000;
    while (!s.assigned && clock_mono_ms() < end)
        assert_int_equal(next(c, &r, 50, &errors), 0);
    put("c4", 0, "v");
    assert_int_equal(next(c, &r, 500, &errors), 0);
    assert_int_equal(kafka_commit(c, "c4", 0, 2, "", true, &e), 0);
    kafka_consumer_free(c);
    memset(&s, 0, sizeof s);
    c = join("g4", "c4", &s, true);
    end = clock_mono_ms() + 15000;
    while (!s.assigned && clock_mono_ms() < end)
        assert_int_equal(next(c, &r, 50, &errors), 0);
    assert_int_equal(s.committed, 2);
    kafka_consumer_free(c);
}

static void a_lost_tail_is_told(void **state)
{
    struct seen s = {0};
    struct kafka_record r;
    struct err e = {0};
    int k = 0;
    (void)state;
    start_group("g5", "c5", 1);
    put("c5", 0, "v");
    struct kafka_consumer *c = join("g5", "c5", &s, false);
    int errors = 0;
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_int_equal(kafka_seek(c, "c5", 0, 500, &e), 0);
    int64_t end = clock_mono_ms() + 10000;
    while (k == 0 && clock_mono_ms() < end)
        k = kafka_poll(c, &r, 50, &e);
    assert_int_equal(k, -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_non_null(strstr(e.text, "c5 [0]"));
    /* and the way back */
    assert_int_equal(kafka_seek(c, "c5", 0, 0, &e), 0);
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_int_equal(r.offset, 0);
    kafka_consumer_free(c);
}

/* ---- reader ---- */

static int read_next(struct kafka_reader *r, struct kafka_record *out, int ms)
{
    int64_t end = clock_mono_ms() + ms;
    struct err e = {0};
    while (clock_mono_ms() < end) {
        int k = kafka_reader_poll(r, out, 50, &e);
        if (k < 0)
            fail_msg("%s", e.text);
        if (k > 0)
            return 1;
    }
    return 0;
}

static void a_reader_reads_any_partition_from_anywhere(void **state)
{
    struct kafka_reader *r = NULL;
    struct kafka_record rec;
    struct err e = {0};
    (void)state;
    kafka_mock_topic(mock, "r1", 2);
    for (int i = 0; i < 10; i++)
        put("r1", 0, "v");
    put("r1", 1, "other");
    assert_int_equal(kafka_reader_new(&r, &options, &e), 0);
    assert_int_equal(kafka_reader_add(r, "r1", 0, KAFKA_START, &e), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(read_next(r, &rec, 10000), 1);
        assert_int_equal(rec.offset, i);
    }
    int64_t end = clock_mono_ms() + 10000;
    while (!kafka_reader_at_end(r, "r1", 0) && clock_mono_ms() < end)
        assert_int_equal(read_next(r, &rec, 50), 0);
    assert_true(kafka_reader_at_end(r, "r1", 0));
    assert_int_equal(kafka_reader_add(r, "r1", 0, 7, &e), 0);
    assert_false(kafka_reader_at_end(r, "r1", 0));
    for (int i = 7; i < 10; i++) {
        assert_int_equal(read_next(r, &rec, 10000), 1);
        assert_int_equal(rec.offset, i);
    }
    kafka_reader_remove(r, "r1", 0);
    assert_int_equal(kafka_reader_add(r, "r1", 1, 0, &e), 0);
    put("r1", 0, "not read");
    assert_int_equal(read_next(r, &rec, 10000), 1);
    assert_int_equal(rec.partition, 1);
    assert_true(slice_is(rec.value, "other"));
    assert_int_equal(read_next(r, &rec, 300), 0);
    assert_int_equal(kafka_reader_add(r, "r1", 0, KAFKA_END, &e), 0);
    assert_int_equal(read_next(r, &rec, 500), 0);
    int64_t offset = put("r1", 0, "new");
    assert_int_equal(read_next(r, &rec, 10000), 1);
    assert_int_equal(rec.offset, offset);
    kafka_reader_free(r);
}

static void a_reader_wakes_an_eventfd(void **state)
{
    struct kafka_reader *r = NULL;
    struct kafka_record rec;
    struct err e = {0};
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    (void)state;
    kafka_mock_topic(mock, "r2", 1);
    assert_int_equal(kafka_reader_new(&r, &options, &e), 0);
    kafka_reader_wake(r, fd);
    assert_int_equal(kafka_reader_add(r, "r2", 0, KAFKA_START, &e), 0);
    for (int i = 0; i < 20; i++) {
        uint64_t n;
        while (kafka_reader_poll(r, &rec, 0, &e) > 0)
            ;
        put("r2", 0, "v");
        struct pollfd p = {fd, POLLIN, 0};
        int got = 0;
        while (!got) { /* the end of the partition wakes, too */
            assert_int_equal(poll(&p, 1, 5000), 1);
            assert_int_equal(read(fd, &n, sizeof n), sizeof n);
            got = kafka_reader_poll(r, &rec, 0, &e);
        }
        assert_int_equal(rec.offset, i);
    }
    kafka_reader_free(r);
    close(fd);
}

static void a_reader_beyond_the_end_is_told(void **state)
{
    struct kafka_reader *r = NULL;
    struct kafka_record rec;
    struct err e = {0};
    int k = 0;
    (void)state;
    kafka_mock_topic(mock, "r3", 1);
    put("r3", 0, "v");
    assert_int_equal(kafka_reader_new(&r, &options, &e), 0);
    assert_int_equal(kafka_reader_add(r, "r3", 0, 99, &e), 0);
    int64_t end = clock_mono_ms() + 10000;
    while (k == 0 && clock_mono_ms() < end)
        k = kafka_reader_poll(r, &rec, 50, &e);
    assert_int_equal(k, -1);
    assert_int_equal(e.kind, ERR_REJECT);
    int64_t offset = 0;
    assert_int_equal(
        kafka_reader_offset_of_time(r, "r3", 0, clock_wall_ms() + 3600000, &offset, &e), 0);
    assert_int_equal(offset, 1);
    kafka_reader_free(r);
}

static void a_broker_that_is_back_at_once_was_away(void **state)
{
    (void)state;
    struct seen s = {0};
    struct kafka_record r;
    int errors = 0;
    start_group("g6", "c6", 1);
    put("c6", 0, "before");
    struct kafka_consumer *c = join("g6", "c6", &s, false);
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    (void)kafka_consumer_cut(c);
    kafka_mock_down(mock);
    kafka_mock_up(mock);
    put("c6", 0, "after");
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_true(kafka_consumer_cut(c));
    kafka_consumer_free(c);
}

static void a_lost_connection_is_told_once(void **state)
{
    (void)state;
    struct seen s = {0};
    struct kafka_record r;
    int errors = 0;
    start_group("g5", "c5", 1);
    put("c5", 0, "v");
    struct kafka_consumer *c = join("g5", "c5", &s, false);
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    assert_false(kafka_consumer_cut(c));
    kafka_mock_down(mock);
    bool cut = false;
    for (int64_t end = clock_mono_ms() + 15000; !cut && clock_mono_ms() < end;) {
        (void)next(c, &r, 50, &errors);
        cut = kafka_consumer_cut(c);
    }
    assert_true(cut);
    kafka_mock_up(mock);
    put("c5", 0, "after");
    assert_int_equal(next(c, &r, 15000, &errors), 1);
    kafka_consumer_free(c);
}

static void a_topic_is_checked(void **state)
{
    struct err e = {0};
    (void)state;
    kafka_mock_topic(mock, "k1", 3);
    struct kafka_topic t = {.name = "k1", .partitions = 3};
    assert_int_equal(kafka_check_topic(&options, &t, &e), 0);
    t.partitions = 4;
    assert_int_equal(kafka_check_topic(&options, &t, &e), -1);
    assert_int_equal(e.kind, ERR_FATAL);
    struct kafka_options away = options;
    away.brokers = "127.0.0.1:1";
    assert_int_equal(kafka_check_topic(&away, &t, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floors_and_metadata_come_back),
        cmocka_unit_test(refused_partitions_are_offered_again),
        cmocka_unit_test(without_a_committed_offset_nothing_is_read),
        cmocka_unit_test(an_owner_without_fetching_can_commit),
        cmocka_unit_test(a_lost_tail_is_told),
        cmocka_unit_test(a_reader_reads_any_partition_from_anywhere),
        cmocka_unit_test(a_reader_wakes_an_eventfd),
        cmocka_unit_test(a_reader_beyond_the_end_is_told),
        cmocka_unit_test(a_lost_connection_is_told_once),
        cmocka_unit_test(a_broker_that_is_back_at_once_was_away),
        cmocka_unit_test(a_topic_is_checked),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_mock, stop_mock);
}
