/* The cleaner's pure choices. */
#include "base/mem.h"
#include "cleaner/choose.h"
#include "testkit/testkit.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

static void test_pressure_goes_before_hours(void **state)
{
    (void)state;
    assert_int_equal(choose_mode(false, false), CHOOSE_NOTHING);
    assert_int_equal(choose_mode(true, false), CHOOSE_DUE);
    assert_int_equal(choose_mode(false, true), CHOOSE_ALL);
    assert_int_equal(choose_mode(true, true), CHOOSE_ALL);
}

static void test_used_share_of_a_volume(void **state)
{
    (void)state;
    static const struct {
        uint64_t free_bytes, total;
        int want;
    } table[] = {{0, 0, 0},
                 {0, 100, 100},
                 {100, 100, 0},
                 {10, 100, 90},
                 {101, 1000, 89},
                 {200, 100, 0},
                 {UINT64_C(1) << 60, UINT64_C(1) << 62, 75}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(choose_used(table[i].free_bytes, table[i].total), table[i].want);
}

static void test_the_receipt_in_a_key(void **state)
{
    (void)state;
    static const struct {
        const char *key, *want; /* NULL: none */
    } table[] = {
        {"instances/0a/1.2/1.3/1.4.0123456789abcdef.dcm", "0123456789abcdef"},
        {"instances/0a/1.2/1.3/x.0123456789abcdef.dcm", "0123456789abcdef"},
        {"instances/0a/1.2/1.3/1.4.0123456789ABCDEF.dcm", NULL},
        {"instances/0a/1.2/1.3/1.4.123456789abcdef.dcm", NULL},
        {"instances/0a/1.2/1.3/1.4.0123456789abcdef.part", NULL},
        {"0123456789abcdef.dcm", NULL},
        {".dcm", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char got[CHOOSE_RECEIPT];
        bool found = choose_receipt(got, table[i].key);
        assert_int_equal(found, table[i].want != NULL);
        if (found)
            assert_string_equal(got, table[i].want);
    }
}

static void test_an_orphan_is_neither_young_nor_older_than_its_topic(void **state)
{
    (void)state;
    static const struct {
        int64_t age;
        enum choose_orphan want;
    } table[] = {
        {0, ORPHAN_YOUNG},           {-HOUR, ORPHAN_YOUNG}, /* the store's clock is ahead */
        {HOUR - 1, ORPHAN_YOUNG},    {HOUR, ORPHAN_ANNOUNCE},
        {13 * DAY, ORPHAN_ANNOUNCE}, {13 * DAY + 1, ORPHAN_EXPIRED},
        {15 * DAY, ORPHAN_EXPIRED}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(choose_orphan(100 * DAY, 100 * DAY - table[i].age, HOUR, 14 * DAY),
                         table[i].want);
    assert_int_equal(choose_orphan(100 * DAY, 0, HOUR, -1), ORPHAN_ANNOUNCE);
}

static void test_what_the_bookkeeper_must_have_read(void **state)
{
    (void)state;
    assert_int_equal(choose_needed(0, 0), 0);
    assert_int_equal(choose_needed(0, 7), 7);
    assert_int_equal(choose_needed(5, 7), 7);
    assert_int_equal(choose_needed(7, 7), 0); /* all of it has expired */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pressure_goes_before_hours),
        cmocka_unit_test(test_used_share_of_a_volume),
        cmocka_unit_test(test_the_receipt_in_a_key),
        cmocka_unit_test(test_an_orphan_is_neither_young_nor_older_than_its_topic),
        cmocka_unit_test(test_what_the_bookkeeper_must_have_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
