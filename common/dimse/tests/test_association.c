/* Our requestor and our acceptor together over TCP on the loopback: what is promised when both
 * behave. */
#include "acceptor.h"

static enum dimse_event response(struct dimse_assoc *a, struct dimse_command *c)
{
    struct err e = {0};
    enum dimse_event got = dimse_next(a, c, &e);

    if (got != DIMSE_COMMAND)
        print_message("dimse_next: %s\n", e.text);
    return got;
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31 + (i >> 9));
}

static void test_echo_and_peer(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    assert_non_null(dimse_accepted(a, 0));
    assert_string_equal(dimse_accepted(a, 1)->accepted, EXPLICIT);
    assert_null(dimse_accepted(a, 2));
    assert_int_equal(dimse_echo_begin(a, dimse_accepted(a, 0)->id, 7, &e), 0);
    assert_int_equal(response(a, &c), DIMSE_COMMAND);
    assert_int_equal(c.field, DIMSE_C_ECHO_RSP);
    assert_int_equal(c.message_id, 7);
    assert_int_equal(c.status, 0);
    assert_int_equal(dimse_release(a, &e), 0);
    dimse_free(a);
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_RELEASED);
    assert_int_equal(x.echoes, 1);
    assert_string_equal(x.peer.address, "127.0.0.1");
    assert_string_equal(x.peer.calling_ae, "SENDER");
    assert_string_equal(x.peer.called_ae, "RECEIVER");
    assert_string_equal(x.peer.implementation_version, DIMSE_VERSION_NAME);
    assert_string_equal(x.peer.certificate_sha256, "");
    assert_int_equal(x.peer.contexts, 2);
}

/* Datasets around every border of a PDU, written in pieces of several sizes. */
static void test_store_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 131066, 131067, 131068, 262132, 262134, 5000000};
    static const size_t pieces[] = {5000000, 131066, 4096, 1013};
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};
    uint64_t sum = fnv(0, "", 0), total = 0;
    uint16_t id = 0;
    uint8_t *data = mem_alloc(5000000);

    fill(data, 5000000);
    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
            size_t n = sizes[i], at = 0;

            assert_int_equal(dimse_store_begin(a, 3, ++id, CT, "1.2.3.4", 0, &e), 0);
            do {
                size_t k = n - at < pieces[j] ? n - at : pieces[j];
                assert_int_equal(dimse_store_write(a, data + at, k, at + k == n, &e), 0);
                at += k;
            } while (at < n);
            sum = fnv(sum, data, n);
            total += n;
            assert_int_equal(response(a, &c), DIMSE_COMMAND);
            assert_int_equal(c.message_id, id);
            assert_int_equal(c.status, 0);
            assert_string_equal(c.sop, "1.2.3.4");
        }
    assert_int_equal(dimse_release(a, &e), 0);
    struct dimse_stats stats;
    dimse_stats(a, &stats);
    assert_true(stats.bytes_out > total);
    dimse_free(a);
    acceptor_join(&x);
    mem_free(data);
    assert_int_equal(x.stores, id);
    assert_int_equal(x.bytes, total);
    assert_true(x.sum == sum);
    assert_string_equal(x.sop, "1.2.3.4");
}

static void test_window(void **state)
{
    (void)state;
    static const struct {
        unsigned asked, offered, want;
    } cases[] = {{1, 8, 1}, {8, 1, 1}, {8, 4, 4}, {2, 8, 2}, {8, 8, 8}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct acceptor x = {.window = cases[i].offered};
        struct dimse_assoc *a = NULL;
        struct err e = {0};

        acceptor_start(&x);
        struct dimse_dial d = dial_to(&x);
        d.window = cases[i].asked;
        assert_int_equal(dimse_connect(&a, &d, &e), 0);
        assert_int_equal(dimse_window(a), cases[i].want);
        assert_int_equal(dimse_release(a, &e), 0);
        dimse_free(a);
        acceptor_join(&x);
        assert_int_equal(x.answered_window, cases[i].want);
    }
}

/* A hundred requests are on their way before the first answer is read. */
static void test_pipelining_without_window(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};
    uint8_t data[3000];

    fill(data, sizeof data);
    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    for (uint16_t i = 1; i <= 100; i++) {
        assert_int_equal(dimse_store_begin(a, 3, i, CT, "1.2.3.4", 0, &e), 0);
        assert_int_equal(dimse_store_write(a, data, sizeof data, true, &e), 0);
    }
    for (uint16_t i = 1; i <= 100; i++) {
        assert_int_equal(response(a, &c), DIMSE_COMMAND);
        assert_int_equal(c.message_id, i);
    }
    assert_int_equal(dimse_release(a, &e), 0);
    dimse_free(a);
    acceptor_join(&x);
    assert_int_equal(x.stores, 100);
}

static void test_reject_codes(void **state)
{
    (void)state;
    static const struct {
        enum dimse_reject why;
        enum err_kind kind;
        int code;
    } cases[] = {
        {DIMSE_REJECT_CALLING, ERR_REJECT, 0x010103},   {DIMSE_REJECT_CALLED, ERR_REJECT, 0x010107},
        {DIMSE_REJECT_CONGESTION, ERR_RETRY, 0x020301}, {DIMSE_REJECT_LIMIT, ERR_RETRY, 0x020302},
        {DIMSE_REJECT_PERMANENT, ERR_REJECT, 0x010101},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct acceptor x = {.reject = (int)cases[i].why + 1};
        struct dimse_assoc *a = NULL;
        struct err e = {0};

        acceptor_start(&x);
        struct dimse_dial d = dial_to(&x);
        assert_int_equal(dimse_connect(&a, &d, &e), -1);
        assert_null(a);
        assert_int_equal(e.kind, cases[i].kind);
        assert_int_equal(e.code, cases[i].code);
        acceptor_join(&x);
        assert_int_equal(x.accepted, 1);
    }
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct err e = {0};

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    close(raw_connect(x.port));
    acceptor_join(&x);
    assert_int_equal(x.accepted, 0);
    assert_int_equal(dimse_connect(&a, &d, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    assert_int_equal(e.code, ECONNREFUSED);
    d.host = "name.invalid";
    assert_int_equal(dimse_connect(&a, &d, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
}

/* The peer that connects but never answers costs the negotiation time, no more. */
static void test_connect_deadline(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct err e = {0};
    int64_t before = clock_mono_ms();

    acceptor_start(&x);
    int held = raw_connect(x.port); /* occupies the acceptor; ours stays in the backlog */
    struct dimse_dial d = dial_to(&x);
    d.limits.negotiate_ms = 200;
    assert_int_equal(dimse_connect(&a, &d, &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    assert_true(clock_mono_ms() - before < 10000);
    close(held);
    acceptor_join(&x);
}

static void test_acceptor_releases(void **state)
{
    (void)state;
    struct acceptor x = {.stop_after = 1};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    assert_int_equal(dimse_store_begin(a, 3, 1, CT, "1.2", 0, &e), 0);
    assert_int_equal(dimse_store_write(a, "abcd", 4, true, &e), 0);
    assert_int_equal(response(a, &c), DIMSE_COMMAND);
    assert_int_equal(dimse_next(a, &c, &e), DIMSE_RELEASED);
    assert_int_equal(dimse_next(a, &c, &e), DIMSE_LOST);
    dimse_free(a);
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_RELEASED);
}

static void test_release_collision(void **state)
{
    (void)state;
    struct acceptor x = {.stop_after = 1};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    assert_int_equal(dimse_store_begin(a, 3, 1, CT, "1.2", 0, &e), 0);
    assert_int_equal(dimse_store_write(a, "abcd", 4, true, &e), 0);
    assert_int_equal(response(a, &c), DIMSE_COMMAND);
    /* the acceptor has asked for release by now or will; we ask too */
    assert_int_equal(dimse_release(a, &e), 0);
    dimse_free(a);
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_RELEASED);
}

static void test_sink_refuses(void **state)
{
    (void)state;
    struct acceptor x = {.refuse_sink = 5};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};
    uint8_t *data = mem_zalloc(300000);

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    for (uint16_t i = 1; i <= 2; i++) { /* the association goes on afterwards */
        assert_int_equal(dimse_store_begin(a, 3, i, CT, "1.2", 0, &e), 0);
        assert_int_equal(dimse_store_write(a, data, 300000, true, &e), 0);
        assert_int_equal(response(a, &c), DIMSE_COMMAND);
        assert_int_equal(c.status, 0xA700);
        assert_string_equal(c.comment, "no");
    }
    dimse_abort(a);
    dimse_free(a);
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_ABORTED);
    mem_free(data);
}

static void test_misuse(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct err e = {0};

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    assert_int_equal(dimse_store_write(a, "x", 1, true, &e), -1);
    assert_int_equal(dimse_store_begin(a, 5, 1, CT, "1.2", 0, &e), -1); /* no such context */
    assert_int_equal(dimse_store_begin(a, 3, 1, CT, "1.2", 0, &e), 0);
    assert_int_equal(dimse_store_begin(a, 3, 2, CT, "1.2", 0, &e), -1);
    assert_int_equal(dimse_release(a, &e), -1);
    dimse_free(a); /* aborts */
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_ABORTED);
}

static void *wake_soon(void *arg)
{
    struct dimse_assoc *a = arg;

    dimse_wake(a);
    return NULL;
}

static void test_wake(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};
    pthread_t t;

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    d.limits.idle_ms = 60000;
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    assert_int_equal(thread_start(&t, "wake", 0, wake_soon, a, &e), 0);
    assert_int_equal(dimse_next(a, &c, &e), DIMSE_LOST);
    thread_join(t);
    dimse_free(a);
    acceptor_join(&x);
}

/* Many associations negotiate at once: DCMTK's part is free of shared state. */
static void *one_association(void *arg)
{
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    int *failed = arg;

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    *failed = dimse_connect(&a, &d, NULL) || dimse_echo_begin(a, 1, 1, NULL) ||
              dimse_next(a, &c, NULL) != DIMSE_COMMAND || dimse_release(a, NULL);
    dimse_free(a);
    acceptor_join(&x);
    return NULL;
}

static void test_in_parallel(void **state)
{
    (void)state;
    enum { N = 24 };
    pthread_t threads[N];
    int failed[N] = {0};

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < N; i++)
            assert_int_equal(
                thread_start(&threads[i], "pair", 0, one_association, &failed[i], NULL), 0);
        for (int i = 0; i < N; i++) {
            thread_join(threads[i]);
            assert_int_equal(failed[i], 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_and_peer),
        cmocka_unit_test(test_store_sizes),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_pipelining_without_window),
        cmocka_unit_test(test_reject_codes),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_connect_deadline),
        cmocka_unit_test(test_acceptor_releases),
        cmocka_unit_test(test_release_collision),
        cmocka_unit_test(test_sink_refuses),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_in_parallel),
    };

    dimse_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
