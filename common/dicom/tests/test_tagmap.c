/* From a dataset's bytes to the map of texts. */
#include "base/mem.h"
#include "build_dataset.h"
#include "dicom/tagmap.h"
#include "testkit/testkit.h"

static const struct syntax *implicit, *explicit_le, *big;

static const char *const extras[] = {"PatientWeight",     "0009,1001",
                                     "00400275.00400009", "00091002",
                                     "PatientName",       "0010,0010",
                                     "DiffusionBValue",   "0028,0009",
                                     "0018,9076",         "SmallestImagePixelValue",
                                     "0009,1003",         "ProcedureCodeSequence",
                                     "0009,10AB"};

struct fixture {
    struct tagmap_set *set;
    struct tagmap *map;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    struct err e = {0};
    assert_int_equal(tagmap_set_new(&f->set, extras, ARRAY_LEN(extras), &e), 0);
    f->map = tagmap_new(f->set);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tagmap_free(f->map);
    tagmap_set_free(f->set);
    mem_free(f);
    return 0;
}

static enum scan_state run(struct tagmap *m, const struct syntax *x, struct str *b,
                           const char *fallback)
{
    tagmap_start(m, x);
    for (size_t at = 0; at < b->len; at += 13)
        tagmap_feed(m, b->data + at, b->len - at < 13 ? b->len - at : 13);
    enum scan_state s = tagmap_finish(m, fallback);
    str_free(b);
    return s;
}

static void check(const struct tagmap *m, const char *key, const char *want)
{
    const char *got = tagmap_get(m, key);
    if (!want ? got != NULL : !got || strcmp(got, want))
        fail_msg("%s: got \"%s\", want \"%s\"", key, got ? got : "(absent)",
                 want ? want : "(absent)");
}

static void build_one(struct str *b, const struct syntax *x)
{
    bool be = x->big_endian;
    put_text(b, x, 0x00080005, "CS", "ISO_IR 100");
    put_text(b, x, 0x00080008, "CS", "ORIGINAL \\PRIMARY\\AXIAL");
    put_text(b, x, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2");
    put_text(b, x, 0x00080018, "UI", "1.2.3.4");
    put_text(b, x, 0x00080055, "AE", " STATION ");
    put_text(b, x, 0x00080060, "CS", "CT");
    put_bytes(b, x, 0x00081032, "SQ", "", 0);
    put_text(b, x, 0x0008103e, "LO",
             "Sch\xe4"
             "del \"nativ\"");
    put_text(b, x, 0x00091001, "UN", "private text");
    put_bytes(b, x, 0x00091002, "OB", "\1\2", 2);
    put_bytes(b, x, 0x00091003, "UN", "\1\2\0\0", 4);
    put_bytes(b, x, 0x000910ab, "UN", "", 0);
    put_text(b, x, 0x00100010, "PN", "M\xfcller^J\xf6rg");
    put_text(b, x, 0x00100020, "LO", "");
    put_text(b, x, 0x00101030, "DS", "80.5");
    put_head(b, x, 0x00189076, "FD", 8);
    str_append(b, be ? "\0\0\0\0\0\0\0\1" : "\1\0\0\0\0\0\0\0", 8);
    put_head(b, x, 0x00189087, "FD", 16);
    str_append(b, be ? "\x3f\xb9\x99\x99\x99\x99\x99\x9a" : "\x9a\x99\x99\x99\x99\x99\xb9\x3f", 8);
    str_append(b, be ? "\x40\x8f\x40\0\0\0\0\0" : "\0\0\0\0\0\x40\x8f\x40", 8);
    put_text(b, x, 0x0020000d, "UI", "1.2.3");
    put_text(b, x, 0x0020000e, "UI", "1.2.3.5");
    put_text(b, x, 0x00280008, "IS", "12");
    put_head(b, x, 0x00280009, "AT", 8);
    put16(b, be, 0x0018), put16(b, be, 0x1063), put16(b, be, 0x0054), put16(b, be, 0x00ab);
    put_head(b, x, 0x00280010, "US", 2);
    put16(b, be, 512);
    put_head(b, x, 0x00280011, "US", 4);
    put16(b, be, 640), put16(b, be, 65535);
    put_head(b, x, 0x00280106, x->explicit_vr ? "SS" : "US", 2);
    put16(b, be, 0xfffe);
}

static void text_and_numbers(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    const struct syntax *list[] = {implicit, explicit_le, big};
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        const struct syntax *x = list[i];
        struct str b = STR_INIT;
        build_one(&b, x);
        assert_int_equal(run(m, x, &b, NULL), SCAN_DONE);

        check(m, "SeriesDescription", "Schädel \"nativ\"");
        check(m, "PatientName", "Müller^Jörg");
        check(m, "0010,0010", "Müller^Jörg");
        check(m, "PatientID", "");
        check(m, "PatientSex", NULL);
        check(m, "ImageType", "ORIGINAL\\PRIMARY\\AXIAL");
        check(m, "StationAETitle", "STATION");
        check(m, "PatientWeight", "80.5");
        check(m, "NumberOfFrames", "12");
        check(m, "Rows", "512");
        check(m, "Columns", "640\\65535");
        check(m, "SmallestImagePixelValue", x->explicit_vr ? "-2" : "65534");
        check(m, "DiffusionBValue", "0.1\\1000");
        check(m, "0018,9076", x->explicit_vr ? "4.94065645841247e-324" : NULL);
        check(m, "0028,0009", x->explicit_vr ? "(0018,1063)\\(0054,00ab)" : NULL);
        check(m, "0009,1001", "private text");
        check(m, "00091002", NULL); /* OB, or UN that is no text */
        check(m, "0009,1003", NULL);
        check(m, "0009,10AB", "");
        check(m, "ProcedureCodeSequence", NULL);
        check(m, "NoSuchKey", NULL);
        assert_string_equal(tagmap_uid(m, TAGMAP_STUDY), "1.2.3");
        assert_string_equal(tagmap_uid(m, TAGMAP_SERIES), "1.2.3.5");
        assert_string_equal(tagmap_uid(m, TAGMAP_SOP), "1.2.3.4");
        assert_string_equal(tagmap_uid(m, TAGMAP_SOP_CLASS), "1.2.840.10008.5.1.4.1.1.2");
        assert_false(tagmap_cut(m));
        assert_false(tagmap_undecodable(m));
        assert_string_equal(tagmap_reason(m), "");
    }
}

static void entries_are_the_present_ones(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    struct str b = STR_INIT;
    put_text(&b, explicit_le, 0x00080060, "CS", "MR");
    put_text(&b, explicit_le, 0x00100010, "PN", "A^B");
    assert_int_equal(run(m, explicit_le, &b, NULL), SCAN_DONE);
    assert_int_equal(tagmap_count(m), 3);
    const char *key, *value;
    tagmap_at(m, 0, &key, &value);
    assert_string_equal(key, "Modality");
    assert_string_equal(value, "MR");
    tagmap_at(m, 2, &key, &value);
    assert_string_equal(key, "0010,0010");
    assert_string_equal(value, "A^B");
    assert_string_equal(tagmap_uid(m, TAGMAP_STUDY), "");
    /* nothing of it is left in the next one */
    struct str none = STR_INIT;
    assert_int_equal(run(m, explicit_le, &none, NULL), SCAN_DONE);
    assert_int_equal(tagmap_count(m), 0);
}

static void nested_value_in_its_own_charset(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    struct str b = STR_INIT;
    put_text(&b, explicit_le, 0x00080005, "CS", "ISO_IR 100");
    put_text(&b, explicit_le, 0x00100010, "PN", "\xfc");
    put_head(&b, explicit_le, 0x00400275, "SQ", UNDEF);
    put_head(&b, explicit_le, ITEM, NULL, UNDEF);
    put_text(&b, explicit_le, 0x00080005, "CS", "ISO_IR 144");
    put_text(&b, explicit_le, 0x00400009, "SH", "\xbb\xee");
    put_head(&b, explicit_le, ITEM_END, NULL, 0);
    put_head(&b, explicit_le, SEQ_END, NULL, 0);
    assert_int_equal(run(m, explicit_le, &b, NULL), SCAN_DONE);
    check(m, "PatientName", "ü");
    check(m, "00400275.00400009", "Лю");
}

static void charset_of_the_source(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    for (int with = 0; with < 2; with++) {
        struct str b = STR_INIT;
        put_text(&b, explicit_le, 0x00100010, "PN", "M\xfcller");
        assert_int_equal(run(m, explicit_le, &b, with ? "ISO_IR 100" : NULL), SCAN_DONE);
        check(m, "PatientName", with ? "Müller" : "M\xef\xbf\xbdller");
        assert_int_equal(tagmap_undecodable(m), !with);
    }
}

static void damaged_dataset_keeps_what_it_had(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    struct str b = STR_INIT;
    put_text(&b, explicit_le, 0x00080060, "CS", "MR");
    put_head(&b, explicit_le, 0x00100010, "PN", 200);
    str_puts(&b, "short");
    assert_int_equal(run(m, explicit_le, &b, NULL), SCAN_BAD);
    check(m, "Modality", "MR");
    check(m, "PatientName", NULL);
    assert_string_equal(tagmap_reason(m), "ends inside a value");
}

static void hostile_uids_stay_visible(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    struct str b = STR_INIT;
    put_text(&b, explicit_le, 0x00080018, "UI", "../../x");
    put_bytes(&b, explicit_le, 0x0020000d, "UI", "1.2\0/etc", 8);
    put_bytes(&b, explicit_le, 0x0020000e, "UI", "1.2.3 \0\0", 8);
    assert_int_equal(run(m, explicit_le, &b, NULL), SCAN_DONE);
    assert_string_equal(tagmap_uid(m, TAGMAP_SOP), "../../x");
    assert_string_equal(tagmap_uid(m, TAGMAP_STUDY), "1.2\xef\xbf\xbd/etc");
    assert_string_equal(tagmap_uid(m, TAGMAP_SERIES), "1.2.3");
}

static void put_long(struct str *b, uint32_t tag, const char *unit, size_t times)
{
    put_head(b, implicit, tag, NULL, (uint32_t)(strlen(unit) * times));
    for (size_t i = 0; i < times; i++)
        str_puts(b, unit);
}

static void budget_of_all_values(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    struct str b = STR_INIT;
    put_text(&b, implicit, 0x00080005, "CS", "ISO_IR 192");
    put_text(&b, implicit, 0x0008103e, "LO", "kept");
    put_long(&b, 0x00100010, "ä", 8000);
    put_long(&b, 0x00100020, "€", 5000);
    put_long(&b, 0x00204000, "€", 9000);
    put_text(&b, implicit, 0x0020000d, "UI", "1.2.3");
    assert_int_equal(run(m, implicit, &b, NULL), SCAN_DONE);
    assert_true(tagmap_cut(m));
    assert_false(tagmap_undecodable(m));
    check(m, "StudyInstanceUID", "1.2.3");
    check(m, "SeriesDescription", "kept");
    size_t sum = 0;
    for (size_t i = 0; i < tagmap_count(m); i++) {
        const char *key, *value;
        tagmap_at(m, i, &key, &value);
        sum += strlen(value);
        assert_int_equal(utf8_valid_prefix(value, strlen(value)), strlen(value));
    }
    assert_true(sum <= TAGMAP_MAX_BYTES && sum > TAGMAP_MAX_BYTES - 4);
}

static void one_long_value(void **state)
{
    struct tagmap *m = ((struct fixture *)*state)->map;
    struct str b = STR_INIT;
    put_text(&b, implicit, 0x00080005, "CS", "ISO_IR 192");
    put_long(&b, 0x00204000, "€", 9000);
    assert_int_equal(run(m, implicit, &b, NULL), SCAN_DONE);
    assert_true(tagmap_cut(m));
    assert_false(tagmap_undecodable(m)); /* the cut in a character is not the sender's fault */
    assert_int_equal(strlen(tagmap_get(m, "ImageComments")), SCAN_VALUE_MAX / 3 * 3);
}

static void extras_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "NoSuchKeyword",
        "",
        "0010,001",
        "0010,00100",
        "0010,00xx",
        "0010:0010",
        "001000",
        "00400275.",
        "0002,0010",
        "7fe0,0010",
        "fffe,e000",
        "00400275.0040",
        "00400275/00400009",
        "0000,0100",
        "00400275.00400275.00400275.00400275.00400275.00400275.00400275.00400275.00400009"};
    static const char *const deepest =
        "00400275.00400275.00400275.00400275.00400275.00400275.00400275.00400009";
    struct tagmap_set *set = NULL;
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        err_clear(&e);
        assert_int_equal(tagmap_set_new(&set, &bad[i], 1, &e), -1);
        assert_int_equal(e.kind, ERR_REJECT);
        assert_null(set);
    }
    assert_int_equal(tagmap_set_new(&set, &deepest, 1, &e), 0);
    tagmap_set_free(set);
    tagmap_set_free(NULL);
    tagmap_free(NULL);
}

int main(void)
{
    implicit = syntax_find(SYNTAX_IMPLICIT_LE);
    explicit_le = syntax_find(SYNTAX_EXPLICIT_LE);
    big = syntax_find(SYNTAX_EXPLICIT_BE);
#define WITH_MAP(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_MAP(text_and_numbers),
        WITH_MAP(entries_are_the_present_ones),
        WITH_MAP(nested_value_in_its_own_charset),
        WITH_MAP(charset_of_the_source),
        WITH_MAP(damaged_dataset_keeps_what_it_had),
        WITH_MAP(hostile_uids_stay_visible),
        WITH_MAP(budget_of_all_values),
        WITH_MAP(one_long_value),
        cmocka_unit_test(extras_are_checked),
    };
    return cmocka_run_group_tests_name("tagmap", tests, NULL, NULL);
}
