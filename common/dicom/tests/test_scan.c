/* The scanner against hand-made datasets: values, nesting, lies, limits, and any way of cutting. */
#include <zlib.h>

#include "base/mem.h"
#include "build_dataset.h"
#include "dicom/scan.h"
#include "testkit/testkit.h"

static const struct scan_want wants[] = {
    {{0x00080018}, 1},
    {{0x00100010}, 1},
    {{0x00280010}, 1},
    {{0x00400275, 0x00400009}, 2},
    {{0x00400275, 0x00400008, 0x00080104}, 3},
    {{0x00080005}, 1},
    {{0x00091002}, 1},
    {{0x00400275}, 1},
};
enum { SOP, NAME, ROWS, STEP, MEANING, CHARSET, PRIVATE, REQUEST, WANTS };

static const struct syntax *implicit, *explicit_le, *big, *deflated;

static enum scan_state run(struct scan *s, const struct syntax *x, const void *p, size_t n,
                           size_t piece)
{
    scan_start(s, x, wants, WANTS);
    for (size_t at = 0; at < n; at += piece)
        scan_feed(s, (const char *)p + at, n - at < piece ? n - at : piece);
    return scan_finish(s);
}

static void check_value(const struct scan *s, int want, const char *vr, const char *bytes,
                        const char *charset)
{
    const struct scan_value *v = scan_get(s, (size_t)want);
    assert_true(v->found);
    assert_string_equal(v->vr, vr);
    assert_int_equal(v->n, strlen(bytes));
    assert_memory_equal(v->bytes, bytes, v->n);
    if (!charset) {
        assert_null(v->charset);
    } else {
        assert_int_equal(v->charset_n, strlen(charset));
        assert_memory_equal(v->charset, charset, v->charset_n);
    }
}

/* One nested dataset in every way of writing lengths. */
static void build(struct str *b, const struct syntax *x, bool defined)
{
    struct str inner = STR_INIT, item = STR_INIT, code = STR_INIT;
    put_text(&code, x, 0x00080100, "SH", "C1");
    put_text(&code, x, 0x00080104, "LO", "first meaning.");
    put_text(&item, x, 0x00080005, "CS", "ISO_IR 144");
    put_head(&item, x, 0x00400008, "SQ", defined ? (uint32_t)code.len + 8 : UNDEF);
    put_head(&item, x, ITEM, NULL, defined ? (uint32_t)code.len : UNDEF);
    str_append(&item, code.data, code.len);
    if (!defined) {
        put_head(&item, x, ITEM_END, NULL, 0);
        put_head(&item, x, SEQ_END, NULL, 0);
    }
    put_text(&item, x, 0x00400009, "SH", "STEP-1");
    put_head(&inner, x, ITEM, NULL, defined ? (uint32_t)item.len : UNDEF);
    str_append(&inner, item.data, item.len);
    if (!defined)
        put_head(&inner, x, ITEM_END, NULL, 0);
    struct str second = STR_INIT;
    put_text(&second, x, 0x00400009, "SH", "STEP-2");
    put_head(&inner, x, ITEM, NULL, (uint32_t)second.len);
    str_append(&inner, second.data, second.len);

    put_text(b, x, 0x00080005, "CS", "ISO_IR 100");
    put_text(b, x, 0x00080018, "UI", "1.2.3.44");
    put_text(b, x, 0x00091002, "LO", "PRIVAT");
    put_bytes(b, x, 0x00091003, "OB", "0123456789012345678901234567890123456789", 40);
    put_text(b, x, 0x00100010, "PN", "Doe^Jane");
    unsigned rows = x->big_endian ? 0x0002 : 0x0200;
    put_head(b, x, 0x00280010, "US", 2);
    put16(b, false, rows);
    put_head(b, x, 0x00400275, "SQ", defined ? (uint32_t)inner.len : UNDEF);
    str_append(b, inner.data, inner.len);
    if (!defined)
        put_head(b, x, SEQ_END, NULL, 0);
    put_text(b, x, 0x00400301, "LO", "after");
    put_head(b, x, 0x7fe00010, "OW", 4);
    str_append(b, "\1\2\3\4", 4);
    str_free(&inner);
    str_free(&item);
    str_free(&code);
    str_free(&second);
}

static void check_nested(const struct scan *s, const struct syntax *x)
{
    check_value(s, SOP, "UI", "1.2.3.44", "ISO_IR 100");
    check_value(s, NAME, "PN", "Doe^Jane", "ISO_IR 100");
    check_value(s, PRIVATE, x->explicit_vr ? "LO" : "UN", "PRIVAT", "ISO_IR 100");
    check_value(s, STEP, "SH", "STEP-1", "ISO_IR 144");
    check_value(s, MEANING, "LO", "first meaning.", "ISO_IR 144");
    check_value(s, CHARSET, "CS", "ISO_IR 100", "ISO_IR 100");
    const struct scan_value *rows = scan_get(s, ROWS);
    assert_true(rows->found);
    assert_string_equal(rows->vr, "US");
    assert_int_equal(rows->big_endian, x->big_endian);
    assert_memory_equal(rows->bytes, x->big_endian ? "\2\0" : "\0\2", 2);
    assert_true(scan_get(s, REQUEST)->found);
    assert_int_equal(scan_get(s, REQUEST)->n, 0);
    assert_string_equal(scan_reason(s), "");
}

static void every_syntax_every_cut(void **state)
{
    (void)state;
    const struct syntax *list[] = {implicit, explicit_le, big};
    struct scan *s = scan_new();
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        for (int defined = 0; defined < 2; defined++) {
            struct str b = STR_INIT;
            build(&b, list[i], defined);
            for (size_t piece = 1; piece <= b.len; piece++) {
                assert_int_equal(run(s, list[i], b.data, b.len, piece), SCAN_DONE);
                check_nested(s, list[i]);
            }
            str_free(&b);
        }
    }
    scan_free(s);
}

static void every_truncation_is_seen(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    struct str b = STR_INIT;
    build(&b, explicit_le, false);
    size_t pixel = b.len - 4;
    int done = 0;
    for (size_t n = 0; n < pixel; n++) {
        char *exact = mem_dup(b.data, n);
        enum scan_state whole = run(s, explicit_le, exact, n, n + 1);
        bool name = scan_get(s, NAME)->found;
        done += whole == SCAN_DONE;
        for (size_t piece = 1; piece < 20; piece++) {
            assert_int_equal(run(s, explicit_le, exact, n, piece), whole);
            assert_int_equal(scan_get(s, NAME)->found, name);
        }
        mem_free(exact);
    }
    assert_int_equal(done, 9); /* only between the elements of the top level */
    assert_int_equal(run(s, explicit_le, b.data, pixel, 7), SCAN_DONE);
    str_free(&b);
    scan_free(s);
}

static void put_deflated(struct str *out, const void *p, size_t n)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    str_reserve(out, deflateBound(&z, n) + 16);
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)out->data;
    z.avail_out = (uInt)deflateBound(&z, n);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len = z.total_out;
    deflateEnd(&z);
}

static void deflated_data(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    struct str b = STR_INIT, z = STR_INIT;
    build(&b, explicit_le, false);
    put_deflated(&z, b.data, b.len);
    for (size_t piece = 1; piece <= z.len; piece++) {
        assert_int_equal(run(s, deflated, z.data, z.len, piece), SCAN_DONE);
        check_nested(s, deflated);
    }
    assert_int_equal(run(s, deflated, z.data, 20, 20), SCAN_BAD);
    assert_string_equal(scan_reason(s), "deflated data end early");
    assert_int_equal(run(s, deflated, "\xff\xff\xff\xff", 4, 4), SCAN_BAD);
    assert_string_equal(scan_reason(s), "deflated data are damaged");
    /* and the same object still works afterwards */
    assert_int_equal(run(s, deflated, z.data, z.len, 3), SCAN_DONE);
    str_free(&b);
    str_free(&z);
    scan_free(s);
}

static void deflate_bomb(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    struct str b = STR_INIT, z = STR_INIT;
    size_t n = 8 << 20;
    put_head(&b, explicit_le, 0x00091003, "OB", (uint32_t)n);
    str_reserve(&b, n);
    memset(b.data + b.len, 0, n);
    b.len += n;
    put_deflated(&z, b.data, b.len);
    assert_true(z.len < 10000);
    for (size_t piece = 1; piece <= z.len; piece = piece * 7 + 1) {
        assert_int_equal(run(s, deflated, z.data, z.len, piece), SCAN_BAD);
        assert_string_equal(scan_reason(s), "deflated data expand beyond all measure");
    }
    str_free(&b);
    str_free(&z);
    scan_free(s);
}

static void deep_nesting_ends(void **state)
{
    (void)state;
    const struct syntax *list[] = {implicit, explicit_le};
    struct scan *s = scan_new();
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        for (int levels = 63; levels <= 10000; levels = levels < 66 ? levels + 1 : levels * 12) {
            struct str b = STR_INIT;
            for (int d = 0; d < levels; d++) {
                put_head(&b, list[i], 0x00400275, "SQ", UNDEF);
                put_head(&b, list[i], ITEM, NULL, UNDEF);
            }
            for (int d = 0; d < levels; d++) {
                put_head(&b, list[i], ITEM_END, NULL, 0);
                put_head(&b, list[i], SEQ_END, NULL, 0);
            }
            enum scan_state want = levels <= SCAN_DEPTH ? SCAN_DONE : SCAN_BAD;
            assert_int_equal(run(s, list[i], b.data, b.len, 1000), want);
            assert_string_equal(scan_reason(s),
                                want == SCAN_BAD ? "sequences nested too deeply" : "");
            str_free(&b);
        }
    }
    scan_free(s);
}

static void too_many_elements(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    struct str many = STR_INIT;
    for (int i = 0; i < 1000; i++)
        put_head(&many, explicit_le, 0x00090010, "LO", 0);
    scan_start(s, explicit_le, wants, WANTS);
    for (int fed = 0; fed < SCAN_ELEMENTS / 1000; fed++)
        assert_int_equal(scan_feed(s, many.data, many.len), SCAN_MORE);
    assert_int_equal(scan_feed(s, many.data, many.len), SCAN_BAD);
    assert_string_equal(scan_reason(s), "too many elements");
    str_free(&many);
    scan_free(s);
}

/* Hostile and merely odd bytes: (text of the case, bytes, state, reason, name found). */
struct odd_case {
    const char *name;
    const struct syntax **syntax;
    const char *bytes;
    size_t n;
    enum scan_state want;
    const char *reason;
    const char *patient; /* NULL: not found */
};
#define BYTES(x)    x, sizeof(x) - 1
#define PN_EXPLICIT "\x10\0\x10\0PN\4\0A^B "
static const struct odd_case odd[] = {
    {"empty", &explicit_le, BYTES(""), SCAN_DONE, "", NULL},
    {"odd length", &explicit_le, BYTES("\x09\0\1\0LO\3\0abc" PN_EXPLICIT), SCAN_DONE, "", "A^B "},
    {"unordered", &explicit_le,
     BYTES("\x28\0\x30\0DS\2\0"
           "1 " PN_EXPLICIT),
     SCAN_DONE, "", "A^B "},
    {"twice: the first counts", &explicit_le,
     BYTES(PN_EXPLICIT "\x10\0\x10\0PN\4\0"
                       "CCCC"),
     SCAN_DONE, "", "A^B "},
    {"unknown VR, not letters", &explicit_le, BYTES("\x09\0\1\0?\1\2\0ab" PN_EXPLICIT), SCAN_DONE,
     "", "A^B "},
    {"unknown VR, short", &explicit_le, BYTES("\x09\0\1\0ZZ\2\0ab" PN_EXPLICIT), SCAN_DONE, "",
     "A^B "},
    {"new VR, long", &explicit_le, BYTES("\x09\0\1\0ZZ\0\0\2\0\0\0ab" PN_EXPLICIT), SCAN_DONE, "",
     "A^B "},
    {"group length", &explicit_le, BYTES("\x10\0\0\0UL\4\0\7\0\0\0" PN_EXPLICIT), SCAN_DONE, "",
     "A^B "},
    {"trailing padding", &explicit_le, BYTES(PN_EXPLICIT "\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0"),
     SCAN_DONE, "", "A^B "},
    {"trailing zeros", &explicit_le, BYTES(PN_EXPLICIT "\0\0\0"), SCAN_DONE, "", "A^B "},
    {"stray delimiter", &explicit_le, BYTES("\xfe\xff\xdd\xe0\0\0\0\0" PN_EXPLICIT), SCAN_DONE, "",
     "A^B "},
    {"lying 4 GB length", &implicit,
     BYTES("\x09\0\1\0\xfe\xff\xff\xff"
           "abcd"),
     SCAN_BAD, "ends inside a value", NULL},
    {"lying length of a wanted value", &implicit,
     BYTES("\x10\0\x10\0\xf0\0\0\0"
           "abcd"),
     SCAN_BAD, "ends inside a value", NULL},
    {"undefined length of text", &explicit_le,
     BYTES("\x09\0\1\0OB\0\0\xff\xff\xff\xff"
           "ab"),
     SCAN_BAD, "undefined length of a plain value", NULL},
    {"item at the top", &explicit_le, BYTES("\xfe\xff\0\xe0\0\0\0\0"), SCAN_BAD,
     "item outside a sequence", NULL},
    {"delimiter with a length", &explicit_le, BYTES("\xfe\xff\xdd\xe0\4\0\0\0"), SCAN_BAD,
     "delimiter with a length", NULL},
    {"UN hides implicit", &explicit_le,
     BYTES("\x09\0\1\0UN\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
           "\x10\0\x10\0\4\0\0\0"
           "XXXX"
           "\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" PN_EXPLICIT),
     SCAN_DONE, "", "A^B "},
    {"no item", &explicit_le, BYTES("\x40\0\x75\2SQ\0\0\xff\xff\xff\xff" PN_EXPLICIT), SCAN_BAD,
     "no item where a sequence must have one", NULL},
    {"no item, known length", &explicit_le,
     BYTES("\x40\0\x75\2SQ\0\0\x0c\0\0\0"
           "\x10\0\x10\0PN\4\0YYYY" PN_EXPLICIT),
     SCAN_DONE, "", "A^B "},
    {"value beyond its item", &explicit_le,
     BYTES("\x40\0\x75\2SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\x10\0\0\0"
           "\x40\0\x09\0SH\xff\0"),
     SCAN_BAD, "length beyond the enclosing item", NULL},
    {"item beyond its sequence", &explicit_le,
     BYTES("\x40\0\x75\2SQ\0\0\x10\0\0\0\xfe\xff\0\xe0\x10\0\0\0"
           "\x40\0\x09\0SH\x08\0abcdefgh"),
     SCAN_BAD, "length beyond the enclosing item", NULL},
    {"header beyond its item", &explicit_le,
     BYTES("\x40\0\x75\2SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\4\0\0\0"
           "\x40\0\x09\0SH\0\0"),
     SCAN_BAD, "element beyond the enclosing item", NULL},
    {"sequence end in an item", &explicit_le,
     BYTES("\x40\0\x75\2SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
           "\xfe\xff\xdd\xe0\0\0\0\0"),
     SCAN_BAD, "sequence ends inside an item", NULL},
    {"nested encapsulated pixels", &explicit_le,
     BYTES("\x88\0\0\2SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
           "\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
           "\xfe\xff\0\xe0\0\0\0\0"
           "\xfe\xff\0\xe0\4\0\0\0"
           "\xfe\xff\xdd\xe0"
           "\xfe\xff\xdd\xe0\0\0\0\0"
           "\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" PN_EXPLICIT),
     SCAN_DONE, "", "A^B "},
    {"fragment of undefined length", &explicit_le,
     BYTES("\x88\0\0\2SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
           "\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
           "\xfe\xff\0\xe0\xff\xff\xff\xff"),
     SCAN_BAD, "fragment of undefined length", NULL},
    {"float pixels end it", &explicit_le, BYTES(PN_EXPLICIT "\xe0\x7f\x08\0OF\0\0\4\0\0\0"),
     SCAN_DONE, "", "A^B "},
    {"after pixels nothing counts", &explicit_le,
     BYTES("\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
           "garbage garbage" PN_EXPLICIT),
     SCAN_DONE, "", NULL},
};

static void odd_bytes(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        const struct odd_case *c = &odd[i];
        char *exact = mem_dup(c->bytes, c->n);
        for (size_t piece = 1; piece <= c->n + 1; piece++) {
            enum scan_state got = run(s, *c->syntax, exact, c->n, piece);
            const struct scan_value *v = scan_get(s, NAME);
            bool same = got == c->want && !strcmp(scan_reason(s), c->reason) &&
                        v->found == (c->patient != NULL) &&
                        (!c->patient ||
                         (v->n == strlen(c->patient) && !memcmp(v->bytes, c->patient, v->n)));
            if (!same)
                fail_msg("%s (pieces of %zu): state %d, reason \"%s\"", c->name, piece, (int)got,
                         scan_reason(s));
        }
        mem_free(exact);
    }
    scan_free(s);
}

/* What is declared and what is written differ: the first element tells. */
static void wrong_declaration(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    struct str b = STR_INIT;
    build(&b, implicit, false);
    for (size_t piece = 1; piece < 30; piece++) {
        assert_int_equal(run(s, explicit_le, b.data, b.len, piece), SCAN_DONE);
        check_nested(s, implicit);
    }
    str_clear(&b);
    build(&b, explicit_le, true);
    for (size_t piece = 1; piece < 30; piece++) {
        assert_int_equal(run(s, implicit, b.data, b.len, piece), SCAN_DONE);
        check_nested(s, explicit_le);
    }
    str_free(&b);
    scan_free(s);
}

static void long_values_are_cut(void **state)
{
    (void)state;
    struct scan *s = scan_new();
    struct str b = STR_INIT;
    put_head(&b, implicit, 0x00091002, NULL, 100000);
    for (int i = 0; i < 100000; i++)
        str_putc(&b, (char)('a' + i % 26));
    put_text(&b, implicit, 0x00100010, "PN", "Doe^Jane");
    for (size_t piece = 1; piece <= b.len; piece = piece * 5 + 3) {
        assert_int_equal(run(s, implicit, b.data, b.len, piece), SCAN_DONE);
        const struct scan_value *v = scan_get(s, PRIVATE);
        assert_true(v->found && v->cut);
        assert_int_equal(v->n, SCAN_VALUE_MAX);
        assert_memory_equal(v->bytes, b.data + 8, v->n);
        check_value(s, NAME, "PN", "Doe^Jane", NULL);
        assert_false(scan_get(s, NAME)->cut);
    }
    str_free(&b);
    scan_free(s);
}

static void all_values_have_a_budget(void **state)
{
    (void)state;
    struct scan_want many[8];
    struct str b = STR_INIT;
    for (unsigned i = 0; i < 8; i++) {
        many[i] = (struct scan_want){.path = {0x00091000 + i}, .depth = 1};
        put_head(&b, implicit, 0x00091000 + i, NULL, 16000);
        for (int k = 0; k < 16000; k++)
            str_putc(&b, (char)('a' + i));
    }
    struct scan *s = scan_new();
    scan_start(s, implicit, many, 8);
    scan_feed(s, b.data, b.len);
    assert_int_equal(scan_finish(s), SCAN_DONE);
    size_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        const struct scan_value *v = scan_get(s, i);
        assert_true(v->found);
        assert_int_equal(v->cut, i >= 4);
        for (size_t k = 0; k < v->n; k++)
            assert_int_equal(v->bytes[k], 'a' + (int)i);
        sum += v->n;
    }
    assert_int_equal(sum, 65536);
    str_free(&b);
    scan_free(s);
}

static void same_element_wanted_twice(void **state)
{
    (void)state;
    static const struct scan_want twice[] = {
        {{0x00100010}, 1}, {{0x00100010}, 1}, {{0}, 0}, {{0}, SCAN_PATH + 1}};
    struct scan *s = scan_new();
    scan_start(s, explicit_le, twice, ARRAY_LEN(twice));
    assert_int_equal(scan_feed(s, BYTES(PN_EXPLICIT)), SCAN_MORE);
    assert_int_equal(scan_finish(s), SCAN_DONE);
    assert_ptr_equal(scan_get(s, 0), scan_get(s, 1));
    assert_true(scan_get(s, 1)->found);
    assert_false(scan_get(s, 2)->found);
    assert_false(scan_get(s, 3)->found);
    assert_false(scan_get(s, 99)->found);
    scan_free(s);
    scan_free(NULL);
}

/* UN of known length that holds a wanted sequence, in a big endian dataset. */
static void wanted_path_through_un(void **state)
{
    (void)state;
    struct str item = STR_INIT, b = STR_INIT;
    put_text(&item, implicit, 0x00400009, "SH", "STEP-1");
    put_head(&b, big, 0x00400275, "UN", (uint32_t)item.len + 8);
    put_head(&b, implicit, ITEM, NULL, (uint32_t)item.len);
    str_append(&b, item.data, item.len);
    put_text(&b, big, 0x00400301, "LO", "after");
    struct scan *s = scan_new();
    assert_int_equal(run(s, big, b.data, b.len, 5), SCAN_DONE);
    check_value(s, STEP, "SH", "STEP-1", NULL);
    assert_false(scan_get(s, STEP)->big_endian);
    str_free(&item);
    str_free(&b);
    scan_free(s);
}

int main(void)
{
    implicit = syntax_find(SYNTAX_IMPLICIT_LE);
    explicit_le = syntax_find(SYNTAX_EXPLICIT_LE);
    big = syntax_find(SYNTAX_EXPLICIT_BE);
    deflated = syntax_find(SYNTAX_DEFLATED_LE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_syntax_every_cut),
        cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(deflated_data),
        cmocka_unit_test(deflate_bomb),
        cmocka_unit_test(deep_nesting_ends),
        cmocka_unit_test(too_many_elements),
        cmocka_unit_test(odd_bytes),
        cmocka_unit_test(wrong_declaration),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(all_values_have_a_budget),
        cmocka_unit_test(same_element_wanted_twice),
        cmocka_unit_test(wanted_path_through_un),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
