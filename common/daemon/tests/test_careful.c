/* Commit metadata and careful mode, by tables of what happens to a partition. */
#include "base/mem.h"
#include "daemon/careful.h"
#include "testkit/testkit.h"

static void text_comes_back(void **state)
{
    (void)state;
    struct careful in, out;
    struct str text = STR_INIT, again = STR_INIT;
    struct err e = {0};
    careful_init(&in);
    in.claim = INT64_MAX;
    in.own = 7;
    str_copy(in.open, sizeof in.open, "0123456789abcdef");
    in.crashes = 3;
    in.at = INT64_MAX - 1;
    in.mark = UINT64_C(0xfedcba9876543210);
    in.hand = in.suspect = (struct careful_place){INT64_MAX - 2, UINT16_MAX};
    in.hits = 1;
    in.alarm = true;
    while (in.n_skips < CAREFUL_SKIPS)
        in.skips[in.n_skips] =
            (struct careful_place){INT64_MAX - 100 - (int64_t)in.n_skips, UINT16_MAX},
        in.n_skips++;
    careful_encode(&text, &in);
    assert_int_equal(careful_decode(&out, str_cstr(&text), &e), 0);
    careful_encode(&again, &out);
    assert_string_equal(str_cstr(&again), str_cstr(&text));
    assert_true(out.mark == in.mark);
    assert_memory_equal(&out.skips[CAREFUL_SKIPS - 1], &in.skips[CAREFUL_SKIPS - 1],
                        sizeof in.skips[0].offset);
    assert_int_equal(out.skips[CAREFUL_SKIPS - 1].mark, UINT16_MAX);
    assert_int_equal(out.hand.mark, UINT16_MAX);
    assert_true(text.len <= 1024);
    str_free(&text);
    str_free(&again);
}

static void other_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want;
    } table[] = {
        {"{\"v\":1}", 0},
        {"{\"v\":1,\"claim\":5,\"save\":\"x\"}", 0}, /* as an older version wrote it */
        {"{\"v\":1,\"more\":[1,2]}", 0},
        {"{\"v\":2}", -1},
        {"{}", -1},
        {"", -1},
        {"{\"v\":1,\"hand\":-2}", -1},
        {"{\"v\":1,\"mark\":\"12\"}", -1},
        {"{\"v\":1,\"open\":\"0123456789012345678901234567890123456789\"}", -1},
        {"{\"v\":1,\"skips\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
         "\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}",
         -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct careful c;
        struct err e = {0};
        if (careful_decode(&c, table[i].text, &e) != table[i].want)
            fail_msg("%s: want %d", table[i].text, table[i].want);
    }
}

static struct careful_place record(int64_t offset)
{
    return careful_place(offset, 1, SLICE("{\"id\":\"a\"}"));
}

/* Where the log has lost its tail another record may stand. */
static struct careful_place other(int64_t offset)
{
    return careful_place(offset, 1, SLICE("{\"id\":\"b\"}"));
}

/* One letter is one thing that happens:
 * o open by a new process, O by the same again, c closed cleanly, x nothing (a crash);
 * t take 5 in hand, T take 6, n take another one at 5, d done with what was taken, p put it back, m the place is passed. */
static void after(struct careful *c, const char *what)
{
    static int life;
    char me[CAREFUL_NAME];
    careful_init(c);
    for (; *what; what++) {
        life += *what == 'o';
        snprintf(me, sizeof me, "%d", life);
        if (*what == 'o' || *what == 'O')
            careful_open(c, me);
        else if (*what == 'c')
            careful_close(c);
        else if (*what == 't' || *what == 'T')
            careful_take(c, record(*what == 't' ? 5 : 6));
        else if (*what == 'n')
            careful_take(c, other(5));
        else if (*what == 'd')
            careful_done(c, c->hand.offset);
        else if (*what == 'p')
            careful_put(c);
        else if (*what == 'm')
            careful_calm(c);
    }
}

static void what_happens(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int crashes;
        bool careful;
        enum careful_what five, six;
    } table[] = {
        {"o", 0, false, CAREFUL_WORK, CAREFUL_WORK},
        {"oxo", 1, false, CAREFUL_WORK, CAREFUL_WORK},
        {"oOO", 0, false, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoco", 0, false, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxo", 2, true, CAREFUL_WORK, CAREFUL_WORK},
        {"oxomxo", 1, false, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxotxo", 3, true, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxotxotxo", 4, true, CAREFUL_POISON, CAREFUL_WORK},
        {"oxoxotxoTdtxo", 4, true, CAREFUL_POISON, CAREFUL_WORK},
        {"oxoxotxotdxo", 4, true, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxotxotdTxoTxo", 5, true, CAREFUL_WORK, CAREFUL_POISON},
        {"oxoxotxoTxo", 4, true, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxotpxotpxo", 4, true, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxotxotco", 0, false, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxotxonxo", 4, true, CAREFUL_WORK, CAREFUL_WORK},
        {"oxoxonxonxo", 4, true, CAREFUL_WORK, CAREFUL_WORK},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct careful c;
        after(&c, table[i].what);
        if (c.crashes != table[i].crashes || careful_is(&c) != table[i].careful ||
            careful_record(&c, record(5)) != table[i].five ||
            careful_record(&c, record(6)) != table[i].six)
            fail_msg("%s: crashes %d, suspect %d, hits %d", table[i].what, (int)c.crashes,
                     (int)c.suspect.offset, (int)c.hits);
        assert_int_equal(careful_record(&c, other(6)), CAREFUL_WORK);
    }
}

static void poison_is_passed_by_until_the_floor_is_beyond(void **state)
{
    (void)state;
    struct careful c;
    after(&c, "oxoxotxotxo");
    assert_int_equal(careful_record(&c, record(5)), CAREFUL_POISON);
    careful_skip(&c, record(5));
    assert_int_equal(careful_record(&c, record(5)), CAREFUL_PASS);
    assert_int_equal(careful_record(&c, other(5)), CAREFUL_WORK);
    assert_int_equal(c.hits, 0);
    for (int64_t i = 1; i < CAREFUL_SKIPS; i++)
        careful_skip(&c, record(5 + i));
    careful_floor(&c, 7);
    assert_int_equal(c.n_skips, CAREFUL_SKIPS - 2);
    assert_int_equal(careful_record(&c, record(6)), CAREFUL_WORK);
    assert_int_equal(careful_record(&c, record(7)), CAREFUL_PASS);
    for (int64_t i = 100; i < 103; i++)
        careful_skip(&c, record(i));
    assert_int_equal(c.n_skips, CAREFUL_SKIPS);
    assert_int_equal(careful_record(&c, record(7)), CAREFUL_WORK); /* the oldest went */
    assert_int_equal(careful_record(&c, record(8)), CAREFUL_PASS);
    assert_int_equal(careful_record(&c, record(102)), CAREFUL_PASS);
}

/* What an older version wrote has no marks: any record at the offset is meant. */
static void older_metadata_means_any_record(void **state)
{
    (void)state;
    struct careful c;
    struct err e = {0};
    assert_int_equal(careful_decode(&c,
                                    "{\"v\":1,\"open\":\"x\",\"crashes\":3,\"hand\":5,\"suspect\":5,"
                                    "\"hits\":1,\"skips\":[\"7\"]}",
                                    &e),
                     0);
    careful_open(&c, "me");
    assert_int_equal(careful_record(&c, record(5)), CAREFUL_POISON);
    assert_int_equal(careful_record(&c, record(7)), CAREFUL_PASS);
}

static void where_the_place_is_passed(void **state)
{
    (void)state;
    static const struct {
        int64_t at, suspect, floor, end, want;
    } table[] = {
        {-1, -1, 0, 10, 10},       {9, -1, 0, 10, 10},     {100, -1, 0, 90000, 101 + CAREFUL_AHEAD},
        {5, 8000, 3, 90000, 8001 + CAREFUL_AHEAD}, {5, 80, 3, 90, 90}, {-1, -1, 50, 20, 20},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct careful c;
        careful_init(&c);
        c.at = table[i].at;
        c.suspect.offset = table[i].suspect;
        assert_int_equal(careful_until(&c, table[i].floor, table[i].end), table[i].want);
    }
}

static void marks_tell_records_apart(void **state)
{
    (void)state;
    const struct slice a = SLICE("{\"id\":\"a\",\"data\":{}}"), same = SLICE("{\"id\":\"a\"}"),
                       b = SLICE("{\"id\":\"b\",\"data\":{}}"), x = SLICE("nonsense"),
                       y = SLICE("{\"id\":7}"), none = {NULL, 0};
    assert_true(careful_mark(1, a) == careful_mark(1, same));
    assert_true(careful_mark(1, a) != careful_mark(2, a));
    assert_true(careful_mark(1, a) != careful_mark(1, b));
    assert_true(careful_mark(1, x) != careful_mark(1, y));
    assert_true(careful_mark(1, none) != careful_mark(2, none));
    assert_true(slice_is(careful_id(a), "a"));
    assert_null(careful_id(x).p);
    assert_null(careful_id(y).p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(other_texts),
        cmocka_unit_test(what_happens),
        cmocka_unit_test(poison_is_passed_by_until_the_floor_is_beyond),
        cmocka_unit_test(older_metadata_means_any_record),
        cmocka_unit_test(where_the_place_is_passed),
        cmocka_unit_test(marks_tell_records_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
