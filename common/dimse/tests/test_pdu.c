/*
 * The PDU reader on bytes in memory. The first test is the regression of what DCMTK's DUL_NextPDV
 * gets wrong: from the third PDV of a PDU on, unless all but the last have equal length.
 */
#include "acceptor.h"

struct memory {
    const uint8_t *p;
    size_t n, step;
};

static ssize_t memory_read(void *arg, void *p, size_t n, struct err *e)
{
    struct memory *m = arg;
    size_t k = n < m->n ? n : m->n;

    (void)e;
    if (k > m->step)
        k = m->step;
    if (k > 0)
        memcpy(p, m->p, k);
    m->p += k;
    m->n -= k;
    return (ssize_t)k;
}

struct seen {
    struct str command, data;
    unsigned commands, datasets;
    uint8_t context;
};

static enum pdu_kind read_all(const struct str *bytes, size_t step, struct seen *s,
                              struct pdu_piece *piece)
{
    struct memory m = {(const uint8_t *)bytes->data, bytes->len, step};
    struct pdu_reader r;
    enum pdu_kind k;

    pdu_init(&r, memory_read, &m, DIMSE_PDU_MAX);
    while ((k = pdu_next(&r, piece, NULL)) == PDU_GOT_DATA) {
        str_append(piece->command ? &s->command : &s->data, piece->p, piece->n);
        s->context = piece->context;
        if (piece->last && piece->command)
            s->commands++;
        else if (piece->last)
            s->datasets++;
    }
    pdu_free(&r);
    return k;
}

static void seen_free(struct seen *s)
{
    str_free(&s->command);
    str_free(&s->data);
}

/* A message in PDUs: so many data PDVs of unequal length, the command before them in the same PDU,
 * in its own, or split over two. */
enum place { SAME, OWN, SPLIT };

static void message(struct str *out, unsigned pdvs, enum place place, struct str *want)
{
    uint8_t command[DIMSE_COMMAND_BYTES];
    size_t n = store_command(command, 1);
    struct str body = STR_INIT;

    if (place == SPLIT) {
        raw_pdv(&body, 1, 1, command, 11);
        raw_p_data(out, &body);
        str_clear(&body);
        raw_pdv(&body, 1, 3, command + 11, n - 11);
    } else {
        raw_pdv(&body, 1, 3, command, n);
    }
    if (place == OWN) {
        raw_p_data(out, &body);
        str_clear(&body);
    }
    for (unsigned i = 0; i < pdvs; i++) {
        uint8_t data[1000];
        size_t k = (i * 37) % 991 + (i % 3);

        for (size_t j = 0; j < k; j++)
            data[j] = (uint8_t)(i + j);
        raw_pdv(&body, 1, i + 1 == pdvs ? 2 : 0, data, k);
        str_append(want, data, k);
    }
    raw_p_data(out, &body);
    str_free(&body);
}

static void test_many_unequal_pdvs(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 2, 3, 6, 50};
    static const size_t steps[] = {1, 7, 64, 1 << 20};

    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        for (enum place place = SAME; place <= SPLIT; place++)
            for (size_t j = 0; j < ARRAY_LEN(steps); j++) {
                struct str bytes = STR_INIT, want = STR_INIT;
                struct seen s = {0};
                struct pdu_piece piece;
                struct dimse_command c;

                message(&bytes, counts[i], place, &want);
                message(&bytes, counts[i], place, &want); /* and another right behind it */
                assert_int_equal(read_all(&bytes, steps[j], &s, &piece), PDU_GOT_END);
                assert_int_equal(s.commands, 2);
                assert_int_equal(s.datasets, 2);
                assert_int_equal(s.data.len, want.len);
                if (want.len)
                    assert_memory_equal(s.data.data, want.data, want.len);
                assert_int_equal(
                    command_parse(&c, (uint8_t *)s.command.data, s.command.len / 2, NULL), 0);
                assert_string_equal(c.sop_class, CT);
                seen_free(&s);
                str_free(&bytes);
                str_free(&want);
            }
}

static void test_control_pdus(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        enum pdu_kind want;
    } cases[] = {{PDU_RELEASE_RQ, PDU_GOT_RELEASE_RQ},
                 {PDU_RELEASE_RP, PDU_GOT_RELEASE_RP},
                 {PDU_ABORT, PDU_GOT_ABORT}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step < 12; step += 10) {
            uint8_t pdu[10] = {cases[i].type, 0, 0, 0, 0, 4, 0, 0, 2, 6};
            struct str bytes = STR_INIT;
            struct seen s = {0};
            struct pdu_piece piece;

            str_append(&bytes, pdu, sizeof pdu);
            assert_int_equal(read_all(&bytes, step, &s, &piece), cases[i].want);
            assert_int_equal(piece.reason, 6);
            str_free(&bytes);
        }
}

static void test_broken(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t bytes[24];
        size_t n;
        enum pdu_kind want;
        uint8_t reason;
    } cases[] = {
        {"nothing", {0}, 0, PDU_GOT_END, 0},
        {"half a header", {4, 0, 0}, 3, PDU_GOT_END, 0},
        {"type 0", {0, 0, 0, 0, 0, 4, 0, 0, 0, 0}, 10, PDU_GOT_BROKEN, ABORT_UNRECOGNIZED},
        {"type 8", {8, 0, 0, 0, 0, 4, 0, 0, 0, 0}, 10, PDU_GOT_BROKEN, ABORT_UNRECOGNIZED},
        {"RQ again", {1, 0, 0, 0, 0, 4, 0, 0, 0, 0}, 10, PDU_GOT_BROKEN, ABORT_UNEXPECTED},
        {"long release",
         {5, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0},
         11,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"long abort", {7, 0, 0xFF, 0, 0, 4}, 6, PDU_GOT_BROKEN, ABORT_BAD_PARAMETER},
        {"one too long", {4, 0, 0, 2, 0, 1}, 6, PDU_GOT_BROKEN, ABORT_BAD_PARAMETER},
        {"4 GB", {4, 0, 0xFF, 0xFF, 0xFF, 0xFF}, 6, PDU_GOT_BROKEN, ABORT_BAD_PARAMETER},
        {"empty PDU", {4, 0, 0, 0, 0, 0}, 6, PDU_GOT_BROKEN, ABORT_BAD_PARAMETER},
        {"no room for a PDV",
         {4, 0, 0, 0, 0, 5, 0, 0, 0, 2, 1},
         11,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"PDV length 1",
         {4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 2},
         12,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"PDV length 0",
         {4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 1, 2},
         12,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"PDV beyond its PDU",
         {4, 0, 0, 0, 0, 7, 0, 0, 0, 4, 1, 2, 9},
         13,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"PDV of 4 GB",
         {4, 0, 0, 0, 0, 7, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 9},
         13,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"bytes after the last PDV",
         {4, 0, 0, 0, 0, 8, 0, 0, 0, 2, 1, 2, 0, 0},
         14,
         PDU_GOT_BROKEN,
         ABORT_BAD_PARAMETER},
        {"cut in the data", {4, 0, 0, 0, 0, 10, 0, 0, 0, 6, 1, 2, 0, 0}, 14, PDU_GOT_END, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step < 30; step += 28) {
            struct str bytes = STR_INIT;
            struct seen s = {0};
            struct pdu_piece piece;

            str_append(&bytes, cases[i].bytes, cases[i].n);
            enum pdu_kind got = read_all(&bytes, step, &s, &piece);
            if (got != cases[i].want || piece.reason != cases[i].reason)
                fail_msg("%s: got %d/%d, want %d/%d", cases[i].name, got, piece.reason,
                         cases[i].want, cases[i].reason);
            seen_free(&s);
            str_free(&bytes);
        }
}

/* The largest PDU we announce, and an empty last fragment behind it. */
static void test_largest_and_empty(void **state)
{
    (void)state;
    struct str body = STR_INIT, bytes = STR_INIT;
    struct seen s = {0};
    struct pdu_piece piece;
    uint8_t *data = mem_zalloc(DIMSE_PDU_MAX);

    raw_pdv(&body, 255, 0, data, DIMSE_PDU_MAX - 6);
    raw_p_data(&bytes, &body);
    str_clear(&body);
    raw_pdv(&body, 255, 2, "", 0);
    raw_p_data(&bytes, &body);
    assert_int_equal(read_all(&bytes, 1 << 20, &s, &piece), PDU_GOT_END);
    assert_int_equal(s.data.len, DIMSE_PDU_MAX - 6);
    assert_int_equal(s.datasets, 1);
    assert_int_equal(s.context, 255);
    seen_free(&s);
    str_free(&body);
    str_free(&bytes);
    mem_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_unequal_pdvs),
        cmocka_unit_test(test_control_pdus),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_largest_and_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
