/* UIDs, transfer syntaxes and the small dictionary. */
#include "base/mem.h"
#include "dicom/syntax.h"
#include "dicom/tag.h"
#include "dicom/uid.h"
#include "testkit/testkit.h"

#define SIXTY "1.2.840.10008.5.1.4.1.1.2.840.10008.5.1.4.1.1.2.840.10008.51"

static void what_may_be_a_path(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
        bool want;
    } cases[] = {
        {"1.2.3", 5, true},
        {"0", 1, true},
        {"1.2.840.10008", 13, true},
        {SIXTY "1234", 64, true},
        {SIXTY "12345", 65, false},
        {"", 0, false},
        {".", 1, false},
        {"..", 2, false},
        {"../../x", 7, false},
        {"1.2/3", 5, false},
        {"1.2\0003", 5, false},
        {"1.2 ", 4, false},
        {"1.2a", 4, false},
        {"..1", 3, true},
    };
    assert_int_equal(strlen(SIXTY), 60);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(uid_safe(cases[i].p, cases[i].n), cases[i].want);
}

static void storage_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *uid;
        bool non_storage;
    } cases[] = {
        {"1.2.840.10008.1.1", true},
        {"1.2.840.10008.5.1.4.1.1.2", false},
        {"1.2.840.10008.5.1.4.1.2.2.1", true},
        {"1.2.840.10008.5.1.4.31", true},
        {"1.2.840.10008.3.1.2.3.3", true},
        {"1.2.840.10008.1.20.1", true},
        {"1.2.840.10008.5.1.1.9", true},
        {"1.2.840.10008.5.1.1.29", false},
        {"1.2.840.10008.5.1.4.34.6.1", true},
        {"1.2.840.10008.5.1.4.34.7", false},
        {"1.2.840.10008.5.1.4.38.1", false},
        {"1.2.840.10008.5.1.4.38.2", true},
        {"1.2.840.10008.5.1.4.1.1.200.3", false},
        {"1.2.840.113619.4.26", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (uid_known_non_storage(cases[i].uid) != cases[i].non_storage)
            fail_msg("%s", cases[i].uid);
    }
}

static void syntaxes(void **state)
{
    (void)state;
    static const struct {
        const char *uid;
        bool known, explicit_vr, big, deflated, encapsulated, uncompressed;
    } cases[] = {
        {"1.2.840.10008.1.2", true, false, false, false, false, true},
        {"1.2.840.10008.1.2.1", true, true, false, false, false, true},
        {"1.2.840.10008.1.2.2", true, true, true, false, false, true},
        {"1.2.840.10008.1.2.1.99", true, true, false, true, false, false},
        {"1.2.840.10008.1.2.4.70", true, true, false, false, true, false},
        {"1.2.840.10008.1.2.4.201", true, true, false, false, true, false},
        {"1.2.840.10008.1.2.5", true, true, false, false, true, false},
        {"1.2.3.4.5", false, true, false, false, true, false},
        {"", false, true, false, false, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct syntax *x = syntax_find(cases[i].uid);
        assert_int_equal(syntax_known(cases[i].uid), cases[i].known);
        assert_int_equal(x->explicit_vr, cases[i].explicit_vr);
        assert_int_equal(x->big_endian, cases[i].big);
        assert_int_equal(x->deflated, cases[i].deflated);
        assert_int_equal(x->encapsulated, cases[i].encapsulated);
        assert_int_equal(syntax_uncompressed(cases[i].uid), cases[i].uncompressed);
    }
}

static void dictionary(void **state)
{
    (void)state;
    assert_int_equal(tag_by_keyword("PatientName")->tag, 0x00100010);
    assert_string_equal(tag_by_keyword("Rows")->vr, "US");
    assert_null(tag_by_keyword("patientname"));
    assert_null(tag_by_keyword(""));
    assert_string_equal(tag_find(0x0020000d)->keyword, "StudyInstanceUID");
    assert_null(tag_find(0x00091001));
    assert_null(tag_find(0xffffffff));
    assert_string_equal(tag_vr(0x00400275), "SQ");
    assert_string_equal(tag_vr(0x00100000), "UL");
    assert_string_equal(tag_vr(0x00091001), "UN");
    /* sorted, or tag_find would miss some: the keyword of each element leads back to it */
    uint32_t last = 0;
    int found = 0;
    for (uint32_t tag = 0x00080000; tag < 0x00700000; tag++) {
        const struct tag *t = tag_find(tag);
        if (!t)
            continue;
        assert_int_equal(t->tag, tag);
        assert_ptr_equal(tag_by_keyword(t->keyword), t);
        assert_true(tag > last);
        last = tag;
        found++;
    }
    assert_true(found > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_a_path),
        cmocka_unit_test(storage_or_not),
        cmocka_unit_test(syntaxes),
        cmocka_unit_test(dictionary),
    };
    return cmocka_run_group_tests_name("uid", tests, NULL, NULL);
}
