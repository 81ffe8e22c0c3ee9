/* Errors, strings, arenas, ids, hashes, clocks, files. */
#include "testkit/testkit.h"

#include <errno.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/str.h"
#include "base/vec.h"

static void errors_carry_kind_code_and_text(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_errno(&e, ERR_RETRY, ENOSPC, "put %s", "x"), -1);
    assert_int_equal(e.code, ENOSPC);
    assert_string_equal(e.text, "put x: No space left on device");
    assert_int_equal(err_wrap(&e, "store"), -1);
    assert_string_equal(e.text, "store: put x: No space left on device");
    assert_int_equal(err_set(NULL, ERR_FATAL, 0, "nobody listens"), -1);
}

static void json_strings_are_always_valid(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\r\t\x01", "\"\\n\\r\\t\\u0001\""},
        {"M\xC3\xBCller", "\"M\xC3\xBCller\""},
        {"\xE5\xB1\xB1", "\"\xE5\xB1\xB1\""},
        {"x\xFFy", "\"x\xEF\xBF\xBDy\""},
        {"\xC3", "\"\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* a surrogate is not UTF-8 */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str s = STR_INIT;
        str_json(&s, rows[i].in, strlen(rows[i].in));
        assert_string_equal(s.data, rows[i].want);
        str_free(&s);
    }
}

static void utf8_prefix_refuses_what_rfc_3629_forbids(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t want;
    } rows[] = {{"abc", 3},          {"\xC0\x80", 0},         {"a\xC1\xBF", 1},
                {"\xE0\x80\x80", 0}, {"\xF0\x9F\x98\x80", 4}, {"\xF4\x90\x80\x80", 0},
                {"\xF5\x80", 0},     {"ok\x80", 2}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(utf8_valid_prefix(rows[i].in, strlen(rows[i].in)), rows[i].want);
}

static void numbers_must_be_whole_and_in_range(void **state)
{
    (void)state;
    int64_t v = 7;
    assert_int_equal(str_int64(&v, "42", 0, 100), 0);
    assert_int_equal(slice_number(SLICE("42")), 42);
    assert_int_equal(slice_number(SLICE("-1")), -1);
    assert_int_equal(slice_number(SLICE("123456789012345678901234567890")), -1);
    assert_int_equal(slice_number((struct slice){0}), -1);
    assert_int_equal(v, 42);
    static const char *const bad[] = {"", " 4", "4x", "101", "-1", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_int64(&v, bad[i], 0, 100), -1);
    assert_int_equal(v, 42);
}

static void an_arena_past_its_cap_fails_and_recovers(void **state)
{
    (void)state;
    struct arena *a = arena_new(10000);
    assert_non_null(arena_alloc(a, 6000));
    assert_null(arena_alloc(a, 5000));
    assert_true(arena_failed(a));
    arena_reset(a);
    assert_false(arena_failed(a));
    assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
    assert_null(arena_alloc(a, SIZE_MAX - 3));
    arena_free(a);
}

static void hash_ids_are_length_prefixed(void **state)
{
    (void)state;
    char a[HASH_ID_HEX], b[HASH_ID_HEX], hex[HASH_SHA256_HEX];
    struct slice one[] = {SLICE("ab"), SLICE("c")}, two[] = {SLICE("a"), SLICE("bc")};
    hash_id(a, one, 2);
    hash_id(b, two, 2);
    assert_string_not_equal(a, b);
    assert_true(id_is_hex(a, 32));
    hash_sha256_hex(hex, "abc", 3);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void ids_have_their_form(void **state)
{
    (void)state;
    char r1[ID_RECEIPT], r2[ID_RECEIPT], u1[ID_UUID], u2[ID_UUID];
    id_receipt(r1);
    id_receipt(r2);
    assert_true(id_is_hex(r1, 16));
    assert_string_not_equal(r1, r2);
    id_uuid7(u1);
    id_uuid7(u2);
    assert_int_equal(u1[14], '7');
    assert_non_null(strchr("89ab", u1[19]));
    assert_string_not_equal(u1, u2);
}

static void times_survive_text(void **state)
{
    (void)state;
    char text[CLOCK_RFC3339];
    assert_string_equal(clock_rfc3339(text, 1700000000123), "2023-11-14T22:13:20.123Z");
    assert_int_equal(clock_parse_rfc3339(text), 1700000000123);
    assert_int_equal(clock_parse_rfc3339("2023-11-14T22:13:20Z"), 1700000000000);
    static const char *const bad[] = {"", "2023-11-14", "2023-11-14T22:13:20", "x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(clock_parse_rfc3339(bad[i]), -1);
    assert_int_equal(clock_parse_rfc3339(NULL), -1);
}

static void a_file_is_replaced_whole_and_read_bounded(void **state)
{
    (void)state;
    const char *dir = testkit_tmpdir();
    struct str path = STR_INIT, got = STR_INIT;
    struct err e = {0};
    str_printf(&path, "%s/a", dir);
    assert_int_equal(file_replace(path.data, "one", 3, 0600, &e), 0);
    assert_int_equal(file_replace(path.data, "two", 3, 0600, &e), 0);
    assert_int_equal(file_read(&got, path.data, 100, &e), 0);
    assert_string_equal(got.data, "two");
    str_clear(&got);
    assert_int_equal(file_read(&got, path.data, 2, &e), -1);
    assert_int_equal(e.code, EFBIG);
    testkit_rmdir(dir);
    str_free(&path);
    str_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_carry_kind_code_and_text),
        cmocka_unit_test(json_strings_are_always_valid),
        cmocka_unit_test(utf8_prefix_refuses_what_rfc_3629_forbids),
        cmocka_unit_test(numbers_must_be_whole_and_in_range),
        cmocka_unit_test(an_arena_past_its_cap_fails_and_recovers),
        cmocka_unit_test(hash_ids_are_length_prefixed),
        cmocka_unit_test(ids_have_their_form),
        cmocka_unit_test(times_survive_text),
        cmocka_unit_test(a_file_is_replaced_whole_and_read_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
