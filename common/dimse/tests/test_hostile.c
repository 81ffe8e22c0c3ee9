/* Peers that break the protocol, lie, stall or vanish: each costs its own association, in bounded
 * time. */
#include "acceptor.h"

/* Sends bytes on an open association; wants an A-ABORT and the acceptor's verdict. */
static void expect_abort(const struct str *bytes, const char *want)
{
    struct acceptor x = {0};
    struct str body = STR_INIT;

    acceptor_start(&x);
    int fd = raw_open(x.port);
    raw_send(fd, bytes->data, bytes->len);
    assert_int_equal(raw_pdu(fd, &body), PDU_ABORT);
    close(fd);
    acceptor_join(&x);
    str_free(&body);
    assert_int_equal(x.last, DIMSE_LOST);
    assert_int_equal(x.e.kind, ERR_REJECT);
    if (!strstr(x.e.text, want))
        fail_msg("got '%s', want '%s'", x.e.text, want);
}

/* One P-DATA-TF with the PDVs, then expect_abort. */
static void expect_abort_of(struct str *pdvs, const char *want)
{
    struct str bytes = STR_INIT;

    raw_p_data(&bytes, pdvs);
    expect_abort(&bytes, want);
    str_free(&bytes);
    str_free(pdvs);
}

static void test_protocol_violations(void **state)
{
    (void)state;
    uint8_t command[DIMSE_COMMAND_BYTES];
    size_t n = store_command(command, 1);
    struct str b = STR_INIT;

    raw_pdv(&b, 3, 3, command, n);
    expect_abort_of(&b, "context was not accepted");
    raw_pdv(&b, 1, 2, "data", 4);
    expect_abort_of(&b, "data set without a command");
    raw_pdv(&b, 1, 3, command, n);
    raw_pdv(&b, 1, 3, command, n);
    expect_abort_of(&b, "interrupted");
    raw_pdv(&b, 1, 3, command, n);
    raw_pdv(&b, 3, 2, "data", 4);
    expect_abort_of(&b, "interrupted");
    raw_pdv(&b, 1, 3, command, n - 1);
    expect_abort_of(&b, "beyond the set");
    raw_pdv(&b, 1, 3, "", 0);
    expect_abort_of(&b, "without command field");
    raw_pdv(&b, 1, 3, command, n);
    str_append(&b, "\x7F\xFF\xFF\xFF\1\2", 6); /* a PDV that claims 2 GB */
    expect_abort_of(&b, "PDV length beyond its PDU");
    str_append(&b, "\4\0\0\2\0\1", 6);
    expect_abort(&b, "longer than announced");
    str_clear(&b);
    str_append(&b, "\1\0\0\0\0\4\0\0\0\0", 10);
    expect_abort(&b, "A-ASSOCIATE on an open");
    str_clear(&b);
    str_append(&b, "GET / HTTP/1.1\r\n", 16);
    expect_abort(&b, "unknown PDU type");
    str_free(&b);
}

static void test_release_inside_a_message(void **state)
{
    (void)state;
    uint8_t command[DIMSE_COMMAND_BYTES];
    size_t n = store_command(command, 1);
    struct str b = STR_INIT, bytes = STR_INIT;

    for (int half = 0; half < 2; half++) {
        str_clear(&b);
        str_clear(&bytes);
        raw_pdv(&b, 1, half ? 1 : 3, command, half ? 20 : n);
        raw_p_data(&bytes, &b);
        str_append(&bytes, "\5\0\0\0\0\4\0\0\0\0", 10);
        expect_abort(&bytes, "release PDU inside a message");
    }
    str_free(&b);
    str_free(&bytes);
}

/* 320 KB of nested sequences as a command set: what kills DIMSE_receiveCommand. */
static void test_nested_command_set(void **state)
{
    (void)state;
    struct str set = STR_INIT, b = STR_INIT, bytes = STR_INIT;

    for (int i = 0; i < 20000; i++)
        str_append(&set, "\0\0\1\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF", 16);
    raw_pdv(&b, 1, 3, set.data, 4000);
    expect_abort_of(&b, "length beyond the set");
    for (size_t at = 0; at < set.len; at += 8000) {
        str_clear(&b);
        raw_pdv(&b, 1, at + 8000 >= set.len ? 3 : 1, set.data + at, 8000);
        raw_p_data(&bytes, &b);
    }
    expect_abort(&bytes, "command set too long");
    str_free(&set);
    str_free(&b);
    str_free(&bytes);
}

/* Odd fragments, an empty last one, command and data packed, a command over two PDUs, two messages
 * in one PDU: all legal or harmless. */
static void test_unusual_but_fine(void **state)
{
    (void)state;
    uint8_t command[DIMSE_COMMAND_BYTES];
    size_t n = store_command(command, 1);
    struct acceptor x = {0};
    struct str b = STR_INIT, bytes = STR_INIT, body = STR_INIT;

    raw_pdv(&b, 1, 3, command, n);
    raw_pdv(&b, 1, 0, "abc", 3);
    raw_pdv(&b, 1, 0, "", 0);
    raw_pdv(&b, 1, 0, "d", 1);
    raw_pdv(&b, 1, 2, "", 0);
    raw_pdv(&b, 1, 1, command, 3);
    raw_p_data(&bytes, &b);
    str_clear(&b);
    raw_pdv(&b, 1, 1, command + 3, 1);
    raw_pdv(&b, 1, 3, command + 4, n - 4);
    raw_pdv(&b, 1, 2, "efgh", 4);
    raw_pdv(&b, 1, 3, command, n);
    raw_pdv(&b, 1, 2, "ij", 2);
    raw_p_data(&bytes, &b);
    str_append(&bytes, "\5\0\0\0\0\4\0\0\0\0", 10);
    acceptor_start(&x);
    int fd = raw_open(x.port);
    raw_send(fd, bytes.data, bytes.len);
    for (int i = 0; i < 3; i++) {
        struct dimse_command c;

        assert_int_equal(raw_pdu(fd, &body), PDU_P_DATA);
        assert_int_equal(command_parse(&c, (uint8_t *)body.data + 6, body.len - 6, NULL), 0);
        assert_int_equal(c.field, DIMSE_C_STORE_RSP);
        assert_int_equal(c.status, 0);
    }
    assert_int_equal(raw_pdu(fd, &body), PDU_RELEASE_RP);
    close(fd);
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_RELEASED);
    assert_int_equal(x.stores, 3);
    assert_int_equal(x.bytes, 10);
    assert_true(x.sum == fnv(fnv(0, "", 0), "abcdefghij", 10));
    str_free(&b);
    str_free(&bytes);
    str_free(&body);
}

static void test_vanishing(void **state)
{
    (void)state;
    uint8_t command[DIMSE_COMMAND_BYTES];
    size_t n = store_command(command, 1);
    static const struct {
        const char *tail;
        size_t n;
        enum dimse_event want;
    } cases[] = {{"", 0, DIMSE_LOST}, {"\7\0\0\0\0\4\0\0\0\0", 10, DIMSE_LOST}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct acceptor x = {0};
        struct str b = STR_INIT, bytes = STR_INIT;

        raw_pdv(&b, 1, 3, command, n);
        raw_pdv(&b, 1, 0, "half", 4);
        raw_p_data(&bytes, &b);
        str_append(&bytes, cases[i].tail, cases[i].n);
        acceptor_start(&x);
        int fd = raw_open(x.port);
        raw_send(fd, bytes.data, bytes.len);
        close(fd);
        acceptor_join(&x);
        assert_int_equal(x.last, cases[i].want);
        assert_int_equal(x.stores, 0);
        assert_non_null(strstr(x.e.text, cases[i].n ? "aborted" : "closed"));
        str_free(&b);
        str_free(&bytes);
    }
}

/* ---- negotiation ---- */
/* Sends bytes instead of an A-ASSOCIATE-RQ; the PDU that comes back. */
static int refused(const struct str *rq, struct str *body, struct err *e)
{
    struct acceptor x = {0};
    int64_t before = clock_mono_ms();

    acceptor_start(&x);
    int fd = raw_connect(x.port);
    raw_send(fd, rq->data, rq->len);
    int got = raw_pdu(fd, body);
    close(fd);
    acceptor_join(&x);
    assert_int_equal(x.accepted, 0);
    assert_true(clock_mono_ms() - before < 12000);
    *e = x.e;
    return got;
}

static void test_refused_requests(void **state)
{
    (void)state;
    struct str rq = STR_INIT, body = STR_INIT;
    struct err e = {0};

    raw_request(&rq, 10000, 1);
    assert_int_equal(refused(&rq, &body, &e), PDU_ABORT);
    raw_request(&rq, 1, 129);
    assert_int_equal(refused(&rq, &body, &e), PDU_ABORT);
    raw_request(&rq, 1, 1);
    rq.data[7] = 2; /* a protocol version without bit 0 */
    assert_int_equal(refused(&rq, &body, &e), PDU_ASSOCIATE_RJ);
    assert_memory_equal(body.data + 1, "\1\2\2", 3);
    raw_request(&rq, 1, 1);
    memcpy(rq.data + 2, "\xFF\xFF\xFF\xFF", 4);
    assert_int_equal(refused(&rq, &body, &e), PDU_ABORT);
    str_clear(&rq);
    str_append(&rq, "\4\0\0\0\0\6\0\0\0\2\1\2", 12);
    assert_int_equal(refused(&rq, &body, &e), PDU_ABORT);
    str_clear(&rq);
    str_append(&rq, "\x16\3\1\2\0\1\0\1\xFC\3\3", 11); /* a TLS client on a plain port */
    assert_int_equal(refused(&rq, &body, &e), 0);
    assert_int_equal(e.kind, ERR_REJECT);
    str_free(&rq);
    str_free(&body);
}

static void test_many_syntaxes(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct str rq = STR_INIT, body = STR_INIT;

    raw_request(&rq, 128, 100);
    acceptor_start(&x);
    int fd = raw_connect(x.port);
    raw_send(fd, rq.data, rq.len);
    assert_int_equal(raw_pdu(fd, &body), PDU_ASSOCIATE_AC);
    raw_send(fd, "\5\0\0\0\0\4\0\0\0\0", 10);
    assert_int_equal(raw_pdu(fd, &body), PDU_RELEASE_RP);
    close(fd);
    acceptor_join(&x);
    assert_int_equal(x.peer.contexts, 128);
    assert_int_equal(x.most_syntaxes, DIMSE_KEPT_SYNTAXES);
    str_free(&rq);
    str_free(&body);
}

/* Blank AE titles are accepted, and come back as they were sent. */
static void test_blank_titles(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct str rq = STR_INIT, body = STR_INIT;

    raw_request(&rq, 1, 1);
    memset(rq.data + 10, ' ', 32);
    acceptor_start(&x);
    int fd = raw_connect(x.port);
    raw_send(fd, rq.data, rq.len);
    assert_int_equal(raw_pdu(fd, &body), PDU_ASSOCIATE_AC);
    assert_memory_equal(body.data + 4, rq.data + 10, 64);
    close(fd);
    acceptor_join(&x);
    assert_string_equal(x.peer.calling_ae, "");
    str_free(&rq);
    str_free(&body);
}

/* ---- time ---- */
static int peer_gone(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, wait_ms) > 0;
}

/* A byte now and then gains no time: the deadline is absolute. Step is where the bytes go slow. */
static void trickle(int fd, const struct str *bytes)
{
    for (size_t i = 0; i < bytes->len && !peer_gone(fd, 20); i++)
        raw_send(fd, bytes->data + i, 1);
}

static void test_slow_request(void **state)
{
    (void)state;
    struct acceptor x = {.limits = {.negotiate_ms = 300, .idle_ms = 30000, .message_ms = 30000}};
    struct str rq = STR_INIT;
    int64_t before = clock_mono_ms();

    raw_request(&rq, 1, 1);
    acceptor_start(&x);
    int fd = raw_connect(x.port);
    trickle(fd, &rq);
    acceptor_join(&x);
    close(fd);
    assert_int_equal(x.accepted, 0);
    assert_int_equal(x.e.code, ETIMEDOUT);
    assert_true(clock_mono_ms() - before < 10000);
    str_free(&rq);
}

static void test_half_header(void **state)
{
    (void)state;
    struct acceptor x = {.limits = {.negotiate_ms = 200, .idle_ms = 30000, .message_ms = 30000}};

    acceptor_start(&x);
    int fd = raw_connect(x.port);
    raw_send(fd, "\1\0\0", 3);
    acceptor_join(&x);
    close(fd);
    assert_int_equal(x.e.code, ETIMEDOUT);
}

static void test_idle_and_slow_message(void **state)
{
    (void)state;
    uint8_t command[DIMSE_COMMAND_BYTES];
    size_t n = store_command(command, 1);

    for (int slow = 0; slow < 2; slow++) {
        struct acceptor x = {.limits = {.negotiate_ms = 30000, .idle_ms = slow ? 30000 : 250,
                                        .message_ms = slow ? 400 : 30000}};
        struct str b = STR_INIT, bytes = STR_INIT, body = STR_INIT;
        int64_t before = clock_mono_ms();

        raw_pdv(&b, 1, 3, command, n);
        raw_p_data(&bytes, &b);
        acceptor_start(&x);
        int fd = raw_open(x.port);
        if (slow)
            trickle(fd, &bytes);
        assert_int_equal(raw_pdu(fd, &body), PDU_ABORT);
        close(fd);
        acceptor_join(&x);
        assert_int_equal(x.last, DIMSE_LOST);
        assert_int_equal(x.e.code, ETIMEDOUT);
        assert_non_null(strstr(x.e.text, slow ? "message" : "idle"));
        assert_true(clock_mono_ms() - before < 12000);
        str_free(&b);
        str_free(&bytes);
        str_free(&body);
    }
}

static void test_dataset_too_large(void **state)
{
    (void)state;
    struct acceptor x = {
        .limits = {.negotiate_ms = 30000, .idle_ms = 30000, .message_ms = 30000, .message_max = 1000}};
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e = {0};
    uint8_t data[1002] = {0};

    acceptor_start(&x);
    struct dimse_dial d = dial_to(&x);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    assert_int_equal(dimse_store_begin(a, 3, 1, CT, "1.2", 0, &e), 0);
    assert_int_equal(dimse_store_write(a, data, 1000, true, &e), 0);
    assert_int_equal(dimse_next(a, &c, &e), DIMSE_COMMAND);
    assert_int_equal(dimse_store_begin(a, 3, 2, CT, "1.2", 0, &e), 0);
    assert_int_equal(dimse_store_write(a, data, 1002, true, &e), 0);
    assert_int_equal(dimse_next(a, &c, &e), DIMSE_ABORTED);
    dimse_free(a);
    acceptor_join(&x);
    assert_int_equal(x.last, DIMSE_LOST);
    assert_int_equal(x.stores, 1);
}

struct answering {
    int listener, fd;
    struct str *answer;
};

static void *accept_and_answer(void *arg)
{
    struct answering *p = arg;

    p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    raw_send(p->fd, p->answer->data, p->answer->len);
    return NULL;
}

/* A peer that takes the association and then reads nothing. */
static void test_peer_does_not_read(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct dimse_assoc *a = NULL;
    struct err e = {0};
    int64_t before = clock_mono_ms();
    size_t size = 64 << 20;
    uint8_t *data = mem_zalloc(size);
    static const char ac[] = "\x21\0\0\x0B\3\0\0\0\x40\0\0\3";
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof s;
    struct str answer = STR_INIT;
    uint8_t head[74] = {PDU_ASSOCIATE_AC, [7] = 1};

    str_append(&answer, head, sizeof head);
    str_append(&answer, ac, 12);
    str_append(&answer, EXPLICIT, strlen(EXPLICIT));
    answer.data[77] = (char)(8 + strlen(EXPLICIT));
    answer.data[85] = (char)strlen(EXPLICIT);
    put_be32((uint8_t *)answer.data + 2, (uint32_t)(answer.len - 6));
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&s, sizeof s), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&s, &n), 0);
    x.port = ntohs(s.sin_port);
    struct dimse_dial d = dial_to(&x);
    d.limits.message_ms = 300;
    struct answering peer = {listener, -1, &answer};
    pthread_t t;

    assert_int_equal(thread_start(&t, "peer", 0, accept_and_answer, &peer, NULL), 0);
    assert_int_equal(dimse_connect(&a, &d, &e), 0);
    thread_join(t);
    assert_int_equal(dimse_store_begin(a, 3, 1, CT, "1.2", 0, &e), 0);
    assert_int_equal(dimse_store_write(a, data, size, true, &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    assert_true(clock_mono_ms() - before < 20000);
    close(peer.fd);
    dimse_free(a);
    close(listener);
    str_free(&answer);
    mem_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_protocol_violations),
        cmocka_unit_test(test_release_inside_a_message),
        cmocka_unit_test(test_nested_command_set),
        cmocka_unit_test(test_unusual_but_fine),
        cmocka_unit_test(test_vanishing),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_many_syntaxes),
        cmocka_unit_test(test_blank_titles),
        cmocka_unit_test(test_slow_request),
        cmocka_unit_test(test_half_header),
        cmocka_unit_test(test_idle_and_slow_message),
        cmocka_unit_test(test_dataset_too_large),
        cmocka_unit_test(test_peer_does_not_read),
    };

    dimse_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
