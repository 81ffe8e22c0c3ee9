/* Positions as text: what is one and what is none, and the difference against a plain bitmap. */
#include "testkit/testkit.h"

#include "base/mem.h"
#include "event/positions.h"

static void what_is_a_text_of_positions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t count, end; /* -1: none */
    } rows[] = {
        {"0", 1, 1},
        {"0-3,17,20-29", 15, 30},
        {"3,4,5-6", 4, 7}, /* beside each other is not twice */
        {"4999999", 1, POSITIONS_END},
        {"0-4999999", POSITIONS_END, POSITIONS_END},
        {"", -1, 0},
        {",", -1, 0},
        {"1,", -1, 0},
        {"1,,2", -1, 0},
        {"-1", -1, 0},
        {"1-", -1, 0},
        {"1--2", -1, 0},
        {"5-5", -1, 0},
        {"5-2", -1, 0},
        {"2,1", -1, 0},
        {"1,1", -1, 0},
        {"0-3,3", -1, 0},
        {"0-3,2-9", -1, 0},
        {"01", -1, 0},
        {" 1", -1, 0},
        {"1 ", -1, 0},
        {"1;2", -1, 0},
        {"0x1", -1, 0},
        {"5000000", -1, 0},
        {"0-5000000", -1, 0},
        {"99999999999999999999999999", -1, 0},
        {"0-99999999999999999999999999", -1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        char *exact = mem_strdup(rows[i].text); /* reads past the end are seen */
        if (positions_check(exact, &e) != (rows[i].count < 0 ? -1 : 0))
            fail_msg("%s", exact);
        if (rows[i].count >= 0) {
            assert_int_equal(positions_count(exact), rows[i].count);
            assert_int_equal(positions_end(exact), rows[i].end);
        }
        mem_free(exact);
    }
    assert_int_equal(positions_count(NULL), 0);
}

static void all_without_some(void **state)
{
    (void)state;
    static const struct {
        const char *all;
        int64_t n;
        const char *done, *want;
        int64_t count;
    } rows[] = {
        {NULL, 3, "", "0-2", 3},
        {NULL, 3, NULL, "0-2", 3},
        {NULL, 0, "", "", 0},
        {NULL, 3, "0-2", "", 0},
        {NULL, 3, "1", "0,2", 2},
        {NULL, 9, "0-1,5,8", "2-4,6-7", 5},
        {NULL, 3, "2-9", "0-1", 2},
        {"0-3,17", 99, "1-2,17", "0,3", 2},
        {"4,6,8-9", 99, "0-6", "8-9", 2},
        {"4,6", 99, "0-100", "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str out = STR_INIT;
        str_puts(&out, "before");
        int64_t count = positions_without(&out, rows[i].all, rows[i].n, rows[i].done);
        assert_string_equal(str_cstr(&out) + strlen("before"), rows[i].want);
        assert_int_equal(count, rows[i].count);
        str_free(&out);
    }
}

#define N 40

static uint32_t dice(uint64_t *random, uint32_t n)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % n;
}

static void to_text(struct str *out, const bool set[N])
{
    struct str none = STR_INIT;
    for (int i = 0; i < N; i++)
        if (!set[i])
            str_printf(&none, "%s%d", none.len ? "," : "", i);
    (void)positions_without(out, NULL, N, str_cstr(&none));
    str_free(&none);
}

static void to_set(bool set[N], const char *text)
{
    memset(set, 0, N * sizeof *set);
    struct positions p = positions_of(*text ? text : NULL);
    while (positions_next(&p) > 0)
        for (int64_t i = p.first; i <= p.last; i++)
            set[i] = true;
}

static void the_difference_is_that_of_sets(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int round = 0; round < 2000; round++) {
        bool all[N], done[N], got[N];
        struct str a = STR_INIT, d = STR_INIT, out = STR_INIT;
        int64_t want = 0;
        for (int i = 0; i < N; i++) {
            all[i] = dice(&random, 4) != 0;
            done[i] = dice(&random, 1 + (uint32_t)round % 5) == 0;
            want += all[i] && !done[i];
        }
        to_text(&a, all);
        to_text(&d, done);
        assert_int_equal(positions_without(&out, str_cstr(&a), 0, str_cstr(&d)), want);
        to_set(got, str_cstr(&out));
        for (int i = 0; i < N; i++)
            assert_int_equal(got[i], all[i] && !done[i]);
        str_free(&a);
        str_free(&d);
        str_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_text_of_positions),
        cmocka_unit_test(all_without_some),
        cmocka_unit_test(the_difference_is_that_of_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
