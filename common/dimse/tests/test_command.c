/* The command codec against a table of good and hostile command sets. */
#include "dimse/dimse_priv.h"
#include "testkit/testkit.h"

struct set {
    uint8_t p[512];
    size_t n;
};

static void put(struct set *s, uint16_t group, uint16_t element, uint32_t length, const void *v,
                size_t n)
{
    uint8_t h[8] = {(uint8_t)group,          (uint8_t)(group >> 8),  (uint8_t)element,
                    (uint8_t)(element >> 8), (uint8_t)length,        (uint8_t)(length >> 8),
                    (uint8_t)(length >> 16), (uint8_t)(length >> 24)};

    memcpy(s->p + s->n, h, sizeof h);
    memcpy(s->p + s->n + 8, v, n);
    s->n += 8 + n;
}

static void put_us(struct set *s, uint16_t element, uint16_t v)
{
    put(s, 0, element, 2, (uint8_t[2]){(uint8_t)v, (uint8_t)(v >> 8)}, 2);
}

static void put_text(struct set *s, uint16_t element, const char *v)
{
    put(s, 0, element, (uint32_t)strlen(v), v, strlen(v));
}

static struct set basic(void)
{
    struct set s = {.n = 0};

    put_us(&s, 0x0100, 0x0001);
    put_us(&s, 0x0110, 42);
    put_us(&s, 0x0800, 0x0000);
    return s;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const struct dimse_command cases[] = {
        {.field = DIMSE_C_ECHO_RQ, .message_id = 1, .sop_class = "1.2.840.10008.1.1"},
        {.field = DIMSE_C_ECHO_RSP, .message_id = 65535, .status = 0x0211, .comment = "why"},
        {.field = DIMSE_C_STORE_RQ,
         .message_id = 7,
         .priority = 2,
         .has_dataset = true,
         .sop_class = "1.2.3",
         .sop = "1234567890123456789012345678901234567890123456789012345678901234",
         .move_originator = "MOVE-SCU-6789012",
         .move_originator_id = 9},
        {.field = DIMSE_C_STORE_RSP,
         .message_id = 7,
         .status = 0xA700,
         .sop_class = "1.2.3",
         .sop = "1.2",
         .comment = "1234567890123456789012345678901234567890123456789012345678901234"},
        {.field = DIMSE_C_CANCEL_RQ, .message_id = 3},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[DIMSE_COMMAND_BYTES];
        struct dimse_command got;
        size_t n = command_encode(&cases[i], bytes);
        uint8_t *exact = memcpy(test_malloc(n), bytes, n);

        assert_int_equal(n % 2, 0);
        assert_int_equal(bytes[8] | bytes[9] << 8, n - 12);
        assert_int_equal(command_parse(&got, exact, n, NULL), 0);
        assert_int_equal(got.field, cases[i].field);
        assert_int_equal(got.message_id, cases[i].message_id);
        assert_int_equal(got.priority, cases[i].priority);
        assert_int_equal(got.status, cases[i].status);
        assert_int_equal(got.has_dataset, cases[i].has_dataset);
        assert_string_equal(got.sop_class, cases[i].sop_class);
        assert_string_equal(got.sop, cases[i].sop);
        assert_string_equal(got.comment, cases[i].comment);
        assert_string_equal(got.move_originator, cases[i].move_originator);
        assert_int_equal(got.move_originator_id, cases[i].move_originator_id);
        test_free(exact);
    }
}

static void test_text_is_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *want;
    } cases[] = {
        {"1.2.3", 5, "1.2.3"},
        {"1.2.3\0", 6, "1.2.3"},
        {" 1.2.3 ", 7, "1.2.3"},
        {"1.2\0evil", 8, "1.2"},
        {"1.2\n/..\x80", 8, "1.2?/..?"},
        {"", 0, ""},
        {"    ", 4, ""},
        {"12345678901234567890123456789012345678901234567890123456789012345", 65,
         "1234567890123456789012345678901234567890123456789012345678901234"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct set s = basic();
        struct dimse_command c;

        put(&s, 0, 0x1000, (uint32_t)cases[i].n, cases[i].bytes, cases[i].n);
        assert_int_equal(command_parse(&c, s.p, s.n, NULL), 0);
        assert_string_equal(c.sop, cases[i].want);
        assert_int_equal(c.message_id, 42);
        assert_true(c.has_dataset);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *names[] = {"empty",        "no field",    "no type",     "cut header",
                                  "cut value",    "undefined",   "nested item", "group 0008",
                                  "short number", "long number", "long UID",    "wrap"};

    for (int i = 0; i < 12; i++) {
        struct set s = basic();
        struct dimse_command c = {.message_id = 77};
        struct err e = {0};

        switch (i) {
        case 0:
            s.n = 0;
            break;
        case 1:
            s.n = 0;
            put_us(&s, 0x0800, 0x0101);
            break;
        case 2:
            s.n = 0;
            put_us(&s, 0x0100, 1);
            break;
        case 3:
            s.n -= 3;
            break;
        case 4:
            put(&s, 0, 0x1000, 100, "1.2", 3);
            break;
        case 5:
            put(&s, 0, 0x1000, 0xFFFFFFFF, "", 0);
            break;
        case 6:
            put(&s, 0, 0x0001, 0xFFFFFFFF, "\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF", 8);
            break;
        case 7:
            put(&s, 8, 0x0018, 4, "1.23", 4);
            break;
        case 8:
            put(&s, 0, 0x0700, 1, "x", 1);
            break;
        case 9:
            put(&s, 0, 0x0900, 4, "xxxx", 4);
            break;
        case 10: {
            char uid[70];
            memset(uid, '1', sizeof uid);
            put(&s, 0, 0x1000, sizeof uid, uid, sizeof uid);
            break;
        }
        default:
            put(&s, 0, 0x1000, 0xFFFFFFF8, "", 0);
        }
        if (command_parse(&c, s.p, s.n, &e) != -1)
            fail_msg("%s: got 0, want -1", names[i]);
        assert_int_equal(e.kind, ERR_REJECT);
        assert_int_equal(c.message_id, 77); /* untouched */
    }
}

static void test_unknown_elements_are_skipped(void **state)
{
    (void)state;
    struct set s = basic();
    struct dimse_command c;

    put_text(&s, 0x0600, "DESTINATION");
    put_us(&s, 0x1020, 5);
    put_text(&s, 0x1000, "1.9");
    assert_int_equal(command_parse(&c, s.p, s.n, NULL), 0);
    assert_string_equal(c.sop, "1.9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_text_is_cleaned),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unknown_elements_are_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
