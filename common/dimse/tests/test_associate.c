/* The guard in front of DCMTK, our own request, and the answer to it. */
#include "acceptor.h"

static enum associate_verdict check(const struct str *s, struct associate_request *out,
                                    struct err *e)
{
    uint8_t *exact = mem_dup(s->data, s->len);
    enum associate_verdict v = associate_check(exact, s->len, out, e);

    mem_free(exact);
    return v;
}

/* Appends an item to the request, inside its user information (which is last) if user. */
static void extend(struct str *s, bool user, uint8_t type, const void *p, size_t n)
{
    raw_item(s, type, p, n);
    put_be32((uint8_t *)s->data + 2, (uint32_t)(s->len - 6));
    if (user) /* raw_request ends with an item 50H of 8 bytes */
        put_be16((uint8_t *)s->data + s->len - n - 4 - 10, (unsigned)(8 + 4 + n));
}

static void test_items(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool user;
        uint8_t type;
        const char *p;
        size_t n;
        enum associate_verdict want;
    } cases[] = {
        {"unknown item", false, 0x77, "abc", 3, ASSOCIATE_OK},
        {"unknown user item", true, 0x77, "abc", 3, ASSOCIATE_OK},
        {"window", true, 0x53, "\0\5\0\1", 4, ASSOCIATE_OK},
        {"short window", true, 0x53, "\0\5", 2, ASSOCIATE_MALFORMED},
        {"class UID", true, 0x52, "1.2.3", 5, ASSOCIATE_OK},
        {"maximum length of 3 bytes", true, 0x51, "abc", 3, ASSOCIATE_MALFORMED},
        {"role", true, 0x54,
         "\0\3"
         "1.2"
         "\1\1",
         7, ASSOCIATE_OK},
        {"role UID beyond item", true, 0x54,
         "\0\4"
         "1.2"
         "\1\1",
         7, ASSOCIATE_MALFORMED},
        {"empty role", true, 0x54, "", 0, ASSOCIATE_MALFORMED},
        {"extended", true, 0x56,
         "\0\3"
         "1.2"
         "abc",
         8, ASSOCIATE_OK},
        {"extended UID beyond item", true, 0x56,
         "\0\7"
         "1.2",
         5, ASSOCIATE_MALFORMED},
        {"identity user", true, 0x58,
         "\1\0\0\3"
         "bob"
         "\0\0",
         9, ASSOCIATE_OK},
        {"identity password", true, 0x58,
         "\2\0\0\3"
         "bob"
         "\0\2"
         "pw",
         11, ASSOCIATE_OK},
        {"identity user with password", true, 0x58,
         "\1\0\0\3"
         "bob"
         "\0\2"
         "pw",
         11, ASSOCIATE_MALFORMED},
        {"identity primary too long", true, 0x58,
         "\1\0\0\x20"
         "bob"
         "\0\0",
         9, ASSOCIATE_MALFORMED},
        {"identity secondary too long", true, 0x58,
         "\2\0\0\3"
         "bob"
         "\0\x20",
         9, ASSOCIATE_MALFORMED},
        {"identity answer", true, 0x59, "\0\0", 2, ASSOCIATE_MALFORMED},
        {"second user information", false, 0x50, "", 0, ASSOCIATE_MALFORMED},
        {"second application context", false, 0x10, "1.2", 3, ASSOCIATE_MALFORMED},
        {"context answer", false, 0x21, "\3\0\0\0", 4, ASSOCIATE_MALFORMED},
        {"short context", false, 0x20, "\3\0", 2, ASSOCIATE_MALFORMED},
        {"context without syntaxes", false, 0x20, "\3\0\0\0", 4, ASSOCIATE_MALFORMED},
        {"context without transfer syntax", false, 0x20,
         "\3\0\0\0\x30\0\0\3"
         "1.2",
         11, ASSOCIATE_MALFORMED},
        {"context", false, 0x20,
         "\3\0\0\0\x30\0\0\3"
         "1.2"
         "\x40\0\0\3"
         "1.3",
         18, ASSOCIATE_OK},
        {"context id twice", false, 0x20,
         "\1\0\0\0\x30\0\0\3"
         "1.2"
         "\x40\0\0\3"
         "1.3",
         18, ASSOCIATE_MALFORMED},
        {"two abstract syntaxes", false, 0x20,
         "\3\0\0\0\x30\0\0\3"
         "1.2"
         "\x30\0\0\3"
         "1.2"
         "\x40\0\0\3"
         "1.3",
         25, ASSOCIATE_MALFORMED},
        {"sub-item beyond context", false, 0x20,
         "\3\0\0\0\x30\0\0\3"
         "1.2"
         "\x40\0\0\4"
         "1.3",
         18, ASSOCIATE_MALFORMED},
        {"NUL syntax", false, 0x20,
         "\3\0\0\0\x30\0\0\3"
         "1.2"
         "\x40\0\0\2\0\0",
         17, ASSOCIATE_MALFORMED},
        {"empty syntax", false, 0x20,
         "\3\0\0\0\x30\0\0\0\x40\0\0\3"
         "1.3",
         15, ASSOCIATE_MALFORMED},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str s = STR_INIT;
        struct associate_request out;
        struct err e = {0};

        raw_request(&s, 1, 1);
        extend(&s, cases[i].user, cases[i].type, cases[i].p, cases[i].n);
        if (check(&s, &out, &e) != cases[i].want)
            fail_msg("%s: want %d (%s)", cases[i].name, cases[i].want, e.text);
        assert_int_equal(out.window, cases[i].type == 0x53 && cases[i].n == 4 ? 5 : 0);
        /* what the guard lets through DCMTK can parse, and nothing leaks */
        if (cases[i].want == ASSOCIATE_OK) {
            struct negotiation *g = NULL;
            struct dimse_peer peer;
            uint32_t max;

            assert_int_equal(negotiate_read(&g, (uint8_t *)s.data, s.len, &peer, &max, &e), 0);
            assert_int_equal(max, 0x4000);
            negotiate_free(g);
        }
        str_free(&s);
    }
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        unsigned contexts, syntaxes;
        enum associate_verdict want;
    } cases[] = {{0, 0, ASSOCIATE_MALFORMED},   {128, 1, ASSOCIATE_OK},
                 {129, 1, ASSOCIATE_MALFORMED}, {10000, 1, ASSOCIATE_MALFORMED},
                 {1, 50, ASSOCIATE_OK},         {1, 128, ASSOCIATE_OK},
                 {1, 129, ASSOCIATE_MALFORMED}, {128, 128, ASSOCIATE_OK}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str s = STR_INIT;
        struct associate_request out;

        raw_request(&s, cases[i].contexts, cases[i].syntaxes);
        assert_int_equal(check(&s, &out, NULL), cases[i].want);
        str_free(&s);
    }
}

/* No prefix of a good request is good, and no single changed length byte makes it read outside. */
static void test_cut_and_bent(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    struct associate_request out;

    raw_request(&s, 3, 2);
    for (size_t n = 0; n < s.len; n++) {
        struct str cut = {s.data, n, n};
        assert_int_not_equal(check(&cut, &out, NULL), ASSOCIATE_OK);
    }
    for (size_t i = 6; i < s.len; i++)
        for (int v = 0; v < 256; v += 15) {
            char before = s.data[i];
            struct negotiation *g = NULL;
            struct dimse_peer peer;
            uint32_t max;

            s.data[i] = (char)v;
            if (check(&s, &out, NULL) == ASSOCIATE_OK) {
                assert_int_equal(negotiate_read(&g, (uint8_t *)s.data, s.len, &peer, &max, NULL),
                                 0);
                negotiate_free(g);
            }
            s.data[i] = before;
        }
    str_free(&s);
}

static void test_own_request_passes_the_guard(void **state)
{
    (void)state;
    static const struct dimse_proposal proposals[] = {{ECHO, {IMPLICIT}},
                                                      {CT, {"1.1", "1.2", "1.3", "1.4"}}};
    struct dimse_dial d = {.calling_ae = "A",
                           .called_ae = "SIXTEEN-LONG-AET",
                           .proposals = proposals,
                           .n = 2,
                           .window = 9};
    struct associate_request out;
    struct str s = STR_INIT;
    struct negotiation *g = NULL;
    struct dimse_peer peer = {0};
    struct dimse_context c;
    struct arena *arena = arena_new(0);
    uint32_t max;

    associate_write_rq(&s, &d);
    assert_int_equal(check(&s, &out, NULL), ASSOCIATE_OK);
    assert_true(out.asks_window);
    assert_int_equal(out.window, 9);
    assert_int_equal(negotiate_read(&g, (uint8_t *)s.data, s.len, &peer, &max, NULL), 0);
    assert_string_equal(peer.calling_ae, "A");
    assert_string_equal(peer.called_ae, "SIXTEEN-LONG-AET");
    assert_int_equal(max, DIMSE_PDU_MAX);
    assert_int_equal(negotiate_contexts(g), 2);
    negotiate_context(g, 1, arena, &c);
    assert_int_equal(c.id, 3);
    assert_int_equal(c.n_syntaxes, 4);
    assert_string_equal(c.syntaxes[3], "1.4");
    negotiate_free(g);
    arena_free(arena);
    str_free(&s);
}

static void answer(struct str *s, const char *items, size_t n)
{
    uint8_t head[74] = {PDU_ASSOCIATE_AC, [7] = 1};

    str_append(s, head, sizeof head);
    str_append(s, items, n);
    put_be32((uint8_t *)s->data + 2, (uint32_t)(s->len - 6));
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *items;
        size_t n;
        int want;
        const char *accepted;
        uint32_t max;
        unsigned window;
    } cases[] = {
        {"nothing", "", 0, 0, NULL, 0, 1},
        {"accepted",
         "\x21\0\0\x0B\1\0\0\0\x40\0\0\3"
         "1.2",
         15, 0, "1.2", 0, 1},
        {"padded UID",
         "\x21\0\0\x0C\1\0\0\0\x40\0\0\4"
         "1.2\0",
         16, 0, "1.2", 0, 1},
        {"refused",
         "\x21\0\0\x0B\1\0\3\0\x40\0\0\3"
         "1.2",
         15, 0, NULL, 0, 1},
        {"not proposed syntax",
         "\x21\0\0\x0B\1\0\0\0\x40\0\0\3"
         "9.9",
         15, 0, NULL, 0, 1},
        {"unknown context",
         "\x21\0\0\x0B\3\0\0\0\x40\0\0\3"
         "1.2",
         15, -1, NULL, 0, 1},
        {"even context",
         "\x21\0\0\x0B\2\0\0\0\x40\0\0\3"
         "1.2",
         15, -1, NULL, 0, 1},
        {"context 0",
         "\x21\0\0\x0B\0\0\0\0\x40\0\0\3"
         "1.2",
         15, -1, NULL, 0, 1},
        {"short context", "\x21\0\0\2\1\0", 6, -1, NULL, 0, 1},
        {"item too long", "\x21\0\0\x09\1\0\0\0", 8, -1, NULL, 0, 1},
        {"user", "\x50\0\0\x10\x51\0\0\4\0\1\0\0\x53\0\0\4\0\3\0\1", 20, 0, NULL, 65536, 3},
        {"unlimited window", "\x50\0\0\x08\x53\0\0\4\0\0\0\0", 12, 0, NULL, 0, 65535},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *syntaxes[] = {"1.1", "1.2"};
        struct dimse_context c = {.id = 1, .n_syntaxes = 2, .syntaxes = syntaxes};
        struct associate_answer out = {.window = 1};
        struct str s = STR_INIT;

        answer(&s, cases[i].items, cases[i].n);
        if (associate_read_ac((uint8_t *)s.data, s.len, &c, 1, &out, NULL) != cases[i].want)
            fail_msg("%s: want %d", cases[i].name, cases[i].want);
        if (cases[i].accepted)
            assert_string_equal(c.accepted, cases[i].accepted);
        else
            assert_null(c.accepted);
        assert_int_equal(out.max_pdu, cases[i].max);
        assert_int_equal(out.window, cases[i].window);
        str_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_cut_and_bent), cmocka_unit_test(test_own_request_passes_the_guard),
        cmocka_unit_test(test_answers),
    };

    dimse_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
