/* One conformance suite over every backend row, then what only the file backend promises. */
#include "testkit/testkit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "objstore/objstore.h"

enum behaviour { KEEPS, TAKES, FAILS };

struct row {
    const char *scheme;
    enum behaviour behaviour;
};

static const struct row rows[] = {{"file", KEEPS}, {"null", TAKES}, {"fail", FAILS}};

static struct objstore *open_row(const struct row *r, const char *dir)
{
    struct str url = STR_INIT;
    struct err e = {0};
    struct objstore *s = NULL;
    str_printf(&url, "%s:%s", r->scheme, dir);
    assert_int_equal(objstore_open(&s, url.data, &e), 0);
    str_free(&url);
    return s;
}

static void every_backend_keeps_takes_or_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *dir = mem_strdup(testkit_tmpdir());
        struct objstore *s = open_row(&rows[i], dir);
        struct err e = {0};
        int want = rows[i].behaviour == FAILS ? -1 : 0;
        assert_int_equal(objstore_put_bytes(s, "a/b/one", "hello", 5, &e), want);
        struct objstore_writer *w = NULL;
        int began = objstore_begin(s, "a/c/two", &w, &e);
        assert_int_equal(began, want);
        if (began == 0) {
            assert_int_equal(objstore_write(w, "xxxlo ", 6, &e), 0);
            assert_int_equal(objstore_write(w, "world", 5, &e), 0);
            assert_int_equal(objstore_rewrite(w, "hel", 3, &e), 0);
            assert_int_equal(objstore_commit(w, &e), 0);
        }
        struct str got = STR_INIT;
        want = rows[i].behaviour == KEEPS ? 0 : -1;
        assert_int_equal(objstore_get(s, "a/b/one", &got, 100, &e), want);
        assert_string_equal(str_cstr(&got), want ? "" : "hello");
        str_clear(&got);
        assert_int_equal(objstore_get(s, "a/c/two", &got, 100, &e), want);
        assert_string_equal(str_cstr(&got), want ? "" : "hello world");
        str_free(&got);
        assert_int_equal(objstore_delete(s, "a/b/one", &e), rows[i].behaviour == FAILS ? -1 : 0);
        assert_int_equal(objstore_get(s, "a/b/one", &got, 100, &e), -1);
        objstore_close(s);
        testkit_rmdir(dir);
        mem_free(dir);
    }
}

static void bad_keys_never_reach_the_disk(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "/a",    "a/",        "..",      "a/../b", "a//b",
                                      "a/./b", "../x",  "a\\b",      "a\nb",    ".",      "a/..",
                                      "a b"};
    char *dir = mem_strdup(testkit_tmpdir());
    struct objstore *s = open_row(&rows[0], dir);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        assert_int_equal(objstore_put_bytes(s, bad[i], "x", 1, &e), -1);
        assert_int_equal(e.kind, ERR_REJECT);
    }
    objstore_close(s);
    testkit_rmdir(dir);
    mem_free(dir);
}

static int count(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    (void)key;
    assert_true(size >= 0 && modified_ms > 0);
    ++*(int *)arg;
    return 0;
}

static void a_key_is_written_once_and_listed(void **state)
{
    (void)state;
    char *dir = mem_strdup(testkit_tmpdir());
    struct objstore *s = open_row(&rows[0], dir);
    struct err e = {0};
    assert_int_equal(objstore_put_bytes(s, "outbox/1.json", "a", 1, &e), 0);
    assert_int_equal(objstore_put_bytes(s, "outbox/2.json", "b", 1, &e), 0);
    assert_int_equal(objstore_put_bytes(s, "instances/x/1", "c", 1, &e), 0);
    assert_int_equal(objstore_put_bytes(s, "outbox/1.json", "z", 1, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(e.code, EEXIST);
    struct objstore_writer *w = NULL;
    assert_int_equal(objstore_begin(s, NULL, &w, &e), 0);
    assert_int_equal(objstore_write(w, "z", 1, &e), 0);
    assert_int_equal(objstore_commit_as(w, "outbox/1.json", &e), -1);
    struct str got = STR_INIT;
    assert_int_equal(objstore_get(s, "outbox/1.json", &got, 10, &e), 0);
    assert_string_equal(got.data, "a");
    str_free(&got);
    int n = 0;
    assert_int_equal(objstore_list(s, "outbox/", count, &n, &e), 0);
    assert_int_equal(n, 2);
    int parts = 0;
    assert_int_equal(objstore_list(s, "parts/", count, &parts, &e), 0);
    assert_int_equal(parts, 0);
    objstore_close(s);
    testkit_rmdir(dir);
    mem_free(dir);
}

static void a_missing_object_is_a_rejection(void **state)
{
    (void)state;
    char *dir = mem_strdup(testkit_tmpdir());
    struct objstore *s = open_row(&rows[0], dir);
    struct err e = {0};
    struct str got = STR_INIT;
    assert_int_equal(objstore_get(s, "no/such", &got, 10, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(e.code, ENOENT);
    assert_int_equal(objstore_put_bytes(s, "big", "0123456789", 10, &e), 0);
    assert_int_equal(objstore_get(s, "big", &got, 9, &e), -1);
    assert_int_equal(e.code, EFBIG);
    assert_int_equal(objstore_delete(s, "no/such", &e), 0);
    str_free(&got);
    objstore_close(s);
    testkit_rmdir(dir);
    mem_free(dir);
}

/* Reads pieces of an odd size from an odd place and compares. */
static void assert_reads(struct objstore *s, const char *key, const char *want, size_t n)
{
    struct err e = {0};
    struct objstore_reader *r = NULL;
    int64_t size = 0;
    char piece[70001];
    assert_int_equal(objstore_read_begin(s, key, &r, &size, &e), 0);
    assert_int_equal(size, n);
    size_t at = n ? n / 3 | 1 : 0;
    assert_int_equal(objstore_seek(r, (int64_t)at, &e), 0);
    ssize_t got;
    while ((got = objstore_read(r, piece, sizeof piece, &e)) > 0) {
        assert_true(at + (size_t)got <= n);
        assert_memory_equal(piece, want + at, (size_t)got);
        at += (size_t)got;
    }
    assert_int_equal(got, 0);
    assert_int_equal(at, n);
    objstore_read_end(r);
}

static void blocks_of_any_length_come_back_the_same(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 511, 4095, 4096, 4097, 262143, 262144, 262145, 1048000};
    size_t cap = 1 << 20;
    char *want = mem_alloc(cap), *block = mem_aligned(OBJSTORE_BLOCK, cap);
    for (size_t i = 0; i < cap; i++)
        want[i] = (char)(i * 2654435761u >> 13);
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        char *dir = mem_strdup(testkit_tmpdir());
        struct objstore *s = open_row(&rows[k], dir);
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            char key[32];
            struct err e = {0};
            snprintf(key, sizeof key, "blocks/%zu", lengths[i]);
            memcpy(block, want, cap);
            int r = objstore_put_block(s, key, block, lengths[i], cap, &e);
            assert_int_equal(r, rows[k].behaviour == FAILS ? -1 : 0);
            if (rows[k].behaviour == KEEPS)
                assert_reads(s, key, want, lengths[i]);
            if (rows[k].behaviour == KEEPS)
                assert_int_equal(objstore_put_block(s, key, block, lengths[i], cap, &e), -1);
        }
        objstore_close(s);
        testkit_rmdir(dir);
        mem_free(dir);
    }
    mem_free(want);
    mem_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_backend_keeps_takes_or_fails),
        cmocka_unit_test(blocks_of_any_length_come_back_the_same),
        cmocka_unit_test(bad_keys_never_reach_the_disk),
        cmocka_unit_test(a_key_is_written_once_and_listed),
        cmocka_unit_test(a_missing_object_is_a_rejection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
