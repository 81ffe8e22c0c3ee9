/* Our file meta, and everybody's. */
#include "base/mem.h"
#include "build_dataset.h"
#include "dicom/part10.h"
#include "testkit/testkit.h"

static const struct part10_meta meta = {
    .sop_class = "1.2.840.10008.5.1.4.1.1.2",
    .sop = "1.2.3.4.5",
    .syntax = SYNTAX_EXPLICIT_LE,
    .calling_ae = "CT1",
    .called_ae = "TALARIA",
    .private_json = "{\"receipt\":\"0011223344556677\",\"n\":1}",
};
static const char dataset[] = "\x08\0\x05\0CS\x0a\0ISO_IR 100";

static void check_same(const struct part10_read *r, const struct part10_meta *m)
{
    assert_string_equal(r->sop_class, m->sop_class);
    assert_string_equal(r->sop, m->sop);
    assert_string_equal(r->syntax, m->syntax);
    assert_string_equal(r->calling_ae, m->calling_ae);
    assert_string_equal(r->called_ae, m->called_ae);
    assert_true(slice_is(r->private_json, m->private_json ? m->private_json : ""));
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct part10_meta m = meta;
        if (!with)
            m.private_json = NULL;
        struct str b = STR_INIT;
        struct part10_read r;
        struct err e;
        part10_write(&b, &m);
        size_t n = b.len;
        assert_int_equal(n % 2, 0);
        assert_memory_equal(b.data + 128, "DICM\2\0\0\0UL\4\0", 12);
        uint32_t length = 0;
        memcpy(&length, b.data + 140, 4);
        assert_int_equal(length, n - 144);
        str_append(&b, dataset, sizeof dataset - 1);
        assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
        check_same(&r, &m);
        assert_int_equal(r.dataset, n);
        assert_false(r.without_meta);
        str_free(&b);
    }
}

static void cut_anywhere_is_refused_or_whole(void **state)
{
    (void)state;
    struct str b = STR_INIT;
    part10_write(&b, &meta);
    for (size_t n = 0; n < b.len; n++) {
        struct part10_read r = {.dataset = 77};
        struct err e = {0};
        char *exact = mem_dup(b.data, n);
        int got = part10_parse(&r, exact, n, &e);
        if (got == 0) /* between two elements: what came before stands */
            assert_int_equal(r.dataset, n);
        else
            assert_int_equal(r.dataset, 77); /* untouched on failure */
        mem_free(exact);
    }
    str_free(&b);
}

static void foreign_private_information_is_not_ours(void **state)
{
    (void)state;
    const struct syntax *x = syntax_find(SYNTAX_EXPLICIT_LE);
    struct str b = STR_INIT;
    struct part10_read r;
    struct err e;
    str_puts(&b, "DICM");
    put_text(&b, x, 0x00020010, "UI", SYNTAX_IMPLICIT_LE);
    put_text(&b, x, 0x00020100, "UI", "1.2.3");
    put_text(&b, x, 0x00020102, "OB", "{}");
    size_t n = b.len;
    str_append(&b, "\x08\0\x05\0\0\0\0\0", 8);
    assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
    assert_int_equal(r.private_json.n, 0);
    assert_int_equal(r.dataset, n);
    assert_string_equal(r.syntax, SYNTAX_IMPLICIT_LE);
    str_free(&b);
}

/* A deflated dataset whose first bytes look like group 2: only the group length tells. */
static void group_length_ends_the_meta(void **state)
{
    (void)state;
    struct part10_meta m = meta;
    m.syntax = SYNTAX_DEFLATED_LE;
    struct str b = STR_INIT;
    struct part10_read r;
    struct err e;
    part10_write(&b, &m);
    size_t n = b.len;
    str_append(&b, "\2\0\x10\0UI\2\0XY....", 14);
    assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
    assert_int_equal(r.dataset, n);
    assert_string_equal(r.syntax, SYNTAX_DEFLATED_LE);
    /* a wrong group length is not believed */
    b.data[140] ^= 1;
    b.len = n;
    str_append(&b, dataset, sizeof dataset - 1);
    assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
    assert_int_equal(r.dataset, n);
    str_free(&b);
}

struct guess_case {
    const char *bytes;
    size_t n;
    const char *syntax; /* NULL: refused */
    size_t dataset;
};
#define BYTES(x) x, sizeof(x) - 1
static const struct guess_case guesses[] = {
    {BYTES("\x08\0\x05\0CS\x0a\0ISO_IR 100"), SYNTAX_EXPLICIT_LE, 0},
    {BYTES("\0\x08\0\x05"
           "CS\0\x0aISO_IR 100"),
     SYNTAX_EXPLICIT_BE, 0},
    {BYTES("\x08\0\x05\0\x0a\0\0\0ISO_IR 100"), SYNTAX_IMPLICIT_LE, 0},
    {BYTES("\x08\0\0\0\4\0\0\0\x70\1\0\0"), SYNTAX_IMPLICIT_LE, 0},
    /* meta without preamble, without group length, implicit meta, meta without a syntax */
    {BYTES("\2\0\x10\0UI\x12\0"
           "1.2.840.10008.1.2\0"
           "\x08\0\5\0\0\0\0\0"),
     SYNTAX_IMPLICIT_LE, 26},
    {BYTES("\2\0\x10\0\x12\0\0\0"
           "1.2.840.10008.1.2\0"
           "\x08\0\5\0\0\0\0\0"),
     SYNTAX_IMPLICIT_LE, 26},
    {BYTES("\2\0\3\0UI\4\0"
           "1.2\0"
           "\x08\0\5\0CS\0\0"),
     SYNTAX_EXPLICIT_LE, 12},
    {BYTES(""), NULL, 0},
    {BYTES("\x08\0\x05\0CS"), NULL, 0},
    {BYTES("DICM\2\0\3\0UI\4\0"
           "1.2\0"
           "what is it?"),
     SYNTAX_IMPLICIT_LE, 16},
    {BYTES("DICMwhat is it?"), NULL, 0},
    {BYTES("hello, this is text"), NULL, 0},
    {BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), NULL, 0},
    {BYTES("%PDF-1.4 and so on"), NULL, 0},
    {BYTES("PK\3\4\x14\0\0\0\x08\0"), NULL, 0},
    {BYTES("\2\0\x10\0UI\xff\xff"
           "1.2"),
     NULL, 0},
    {BYTES("\2\0\x02\1OB\0\0\xff\xff\xff\xff"), NULL, 0},
};

static void without_meta_it_is_guessed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
        const struct guess_case *c = &guesses[i];
        struct part10_read r;
        struct err e = {0};
        char *exact = mem_dup(c->bytes, c->n);
        int got = part10_parse(&r, exact, c->n, &e);
        if ((got == 0) != (c->syntax != NULL))
            fail_msg("case %zu: %d %s", i, got, e.text);
        if (c->syntax) {
            assert_string_equal(r.syntax, c->syntax);
            assert_int_equal(r.dataset, c->dataset);
        } else {
            assert_int_equal(e.kind, ERR_REJECT);
        }
        mem_free(exact);
    }
}

static void hostile_lengths_are_cut(void **state)
{
    (void)state;
    char longest[300];
    memset(longest, '1', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct part10_meta m = {.sop_class = longest,
                            .sop = longest,
                            .syntax = SYNTAX_IMPLICIT_LE,
                            .calling_ae = longest,
                            .called_ae = ""};
    struct str b = STR_INIT;
    struct part10_read r;
    struct err e;
    part10_write(&b, &m);
    assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
    assert_int_equal(strlen(r.sop), 64);
    assert_int_equal(strlen(r.calling_ae), 16);
    assert_string_equal(r.called_ae, "");
    /* and a foreign file with longer ones than the standard allows */
    str_clear(&b);
    put_text(&b, syntax_find(SYNTAX_EXPLICIT_LE), 0x00020010, "UI", SYNTAX_IMPLICIT_LE);
    put_text(&b, syntax_find(SYNTAX_EXPLICIT_LE), 0x00020003, "UI", longest);
    put_text(&b, syntax_find(SYNTAX_EXPLICIT_LE), 0x00020017, "AE", longest);
    assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
    assert_int_equal(strlen(r.sop), 64);
    assert_int_equal(strlen(r.calling_ae), 16);
    /* what follows a NUL does not count, nor the space before it */
    str_clear(&b);
    put_text(&b, syntax_find(SYNTAX_EXPLICIT_LE), 0x00020010, "UI", SYNTAX_IMPLICIT_LE);
    put_bytes(&b, syntax_find(SYNTAX_EXPLICIT_LE), 0x00020003, "UI", " 1.2 \0junk", 10);
    assert_int_equal(part10_parse(&r, b.data, b.len, &e), 0);
    assert_string_equal(r.sop, "1.2");
    str_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(cut_anywhere_is_refused_or_whole),
        cmocka_unit_test(foreign_private_information_is_not_ours),
        cmocka_unit_test(group_length_ends_the_meta),
        cmocka_unit_test(without_meta_it_is_guessed),
        cmocka_unit_test(hostile_lengths_are_cut),
    };
    return cmocka_run_group_tests_name("part10", tests, NULL, NULL);
}
