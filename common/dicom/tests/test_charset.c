/* Values in the character sets of DICOM, to UTF-8. Examples after PS3.5 Annexes H, I, J, K. */
#include "base/mem.h"
#include "dicom/charset.h"
#include "testkit/testkit.h"

struct charset_case {
    const char *vr, *charset, *fallback;
    const char *bytes;
    size_t n;
    const char *want;
    bool ok;
};
#define B(x) x, sizeof(x) - 1
#define FFFD "\xef\xbf\xbd"

static const struct charset_case cases[] = {
    /* plain and padding */
    {"LO", "", NULL, B("abc "), "abc", true},
    {"LO", "", NULL, B(""), "", true},
    {"LO", "", NULL, B(" \0 \0"), "", true},
    {"LO", "", NULL, B(" a \\ b\\\\c "), "a\\b\\\\c", true},
    {"PN", "", NULL, B(" Doe^J "), " Doe^J", true},
    {"ST", "", NULL, B("  two \\ lines\r\n"), "  two \\ lines\r\n", true},
    {"UI", "", NULL, B("1.2.3\0"), "1.2.3", true},
    {"UI", "", NULL, B("1.2\0.3"), "1.2" FFFD ".3", false},
    {"DS", "ISO_IR 100", NULL, B("1.5 \\ 2 "), "1.5\\2", true},
    {"CS", "ISO_IR 100", NULL, B("AB\xe9"), "AB" FFFD, false},
    {"LO", "", NULL, B("M\xfcller"), "M" FFFD "ller", false},
    {"LO", "", "ISO_IR 100", B("M\xfcller"), "Müller", true},
    {"LO", "ISO_IR 192", "ISO_IR 100", B("M\xc3\xbcller"), "Müller", true},
    {"LO", "NO SUCH", NULL, B("M\xfcller"), "M" FFFD "ller", false},
    {"LO", "NO SUCH", "ISO_IR 100", B("M\xfcller"), "Müller", true},
    {"LO", "NO SUCH", "NEITHER", B("plain"), "plain", true},
    {"LO", "NO SUCH", "NEITHER", B("M\xfcller"), "M" FFFD "ller", false},
    {"LO", "iso ir-100 ", NULL, B("M\xfcller"), "Müller", true},
    /* ISO 8859 */
    {"PN", "ISO_IR 100", NULL, B("Buc^J\xe9r\xf4me"), "Buc^Jérôme", true},
    {"PN", "ISO_IR 100", NULL,
     B("\xc4neas^R\xfc"
       "diger"),
     "Äneas^Rüdiger", true},
    {"PN", "ISO_IR 101", NULL, B("W\xb3odzimierz"), "Włodzimierz", true},
    {"PN", "ISO_IR 109", NULL, B("\xb1"), "ħ", true},
    {"PN", "ISO_IR 110", NULL, B("\xe7"), "į", true},
    {"PN", "ISO_IR 144", NULL, B("\xbb\xee\xda\xe1\xd5\xdc\xd1\xe3\xe0\xd3"), "Люксембург", true},
    {"PN", "ISO_IR 127", NULL, B("\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1"), "قباني^لنزار", true},
    {"PN", "ISO_IR 126", NULL, B("\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2"), "Διονυσιος", true},
    {"PN", "ISO_IR 138", NULL, B("\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4"), "שרון^דבורה", true},
    {"PN", "ISO_IR 138", NULL, B("\xa1"), FFFD, false},
    {"PN", "ISO_IR 148", NULL,
     B("\xc7"
       "avu\xfeo\xf0lu"),
     "Çavuşoğlu", true},
    {"PN", "ISO_IR 203", NULL, B("Saint-\xc9tienne \xa4"), "Saint-Étienne €", true},
    {"PN", "ISO_IR 166", NULL, B("\xb9\xd2\xc2"), "นาย", true},
    /* code extension, single byte */
    {"PN", "ISO 2022 IR 100\\ISO 2022 IR 144", NULL, B("Dion\xe9^\x1b-L\xbb\xee\xda"), "Dioné^Люк",
     true},
    {"PN", "ISO 2022 IR 100\\ISO 2022 IR 144", NULL, B("\x1b-L\xbb\xee\xda^\xe9"), "Люк^é",
     true}, /* '^' resets */
    {"LO", "ISO 2022 IR 100\\ISO 2022 IR 144", NULL, B("\x1b-L\xbb\xee^\xda\\\xe9"), "Лю^к\\é",
     true}, /* in LO only '\' does */
    {"LT", "ISO 2022 IR 100\\ISO 2022 IR 144", NULL, B("\x1b-L\xbb\\\xee\r\n\xe9"), "Л\\ю\r\né",
     true}, /* in LT only line ends */
    /* Japanese: H.3.1, H.3.2, and JIS X 0201 */
    {"PN", "\\ISO 2022 IR 87", NULL,
     B("Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
     "Yamada^Tarou=山田^太郎=やまだ^たろう", true},
    {"PN", "ISO 2022 IR 13\\ISO 2022 IR 87", NULL,
     B("\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J="
       "\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"),
     "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", true},
    {"PN", "ISO_IR 13", NULL, B("\xd4\xcf\xc0\xde^\xc0\xdb\xb3"), "ﾔﾏﾀﾞ^ﾀﾛｳ", true},
    {"PN", "\\ISO 2022 IR 87\\ISO 2022 IR 159", NULL, B("\x1b$(D0!\x1b(B"), "丂", true},
    {"LO", "ISO 2022 IR 87", NULL, B("\x1b$B;3ED\x1b(B"), "山田", true},
    {"LO", "\\ISO 2022 IR 87", NULL, B("\x1b$B;3E"), "山" FFFD, false}, /* cut in a pair */
    {"LO", "\\ISO 2022 IR 87", NULL, B("\x1b$B;3\r\nED"), "山\r\nED", true},
    {"LO", "\\ISO 2022 IR 87", NULL, B("\x1b$B\x29\x21"), FFFD, false}, /* not assigned */
    /* Korean: I.2, and a writer that forgets to designate */
    {"PN", "\\ISO 2022 IR 149", NULL,
     B("Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6"
       "\xb5\xbf"),
     "Hong^Gildong=洪^吉洞=홍^길동", true},
    {"PN", "\\ISO 2022 IR 149", NULL, B("\xc8\xab^\xb1\xe6\xb5\xbf"), "홍^길동", true},
    {"LO", "\\ISO 2022 IR 149", NULL, B("\xc8"), FFFD, false},
    /* Chinese: K.2, J.3 */
    {"PN", "\\ISO 2022 IR 58", NULL, B("Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="),
     "Zhang^XiaoDong=张^小东=", true},
    {"PN", "GB18030", NULL, B("Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab="),
     "Wang^XiaoDong=王^小东=", true},
    {"PN", "GBK", NULL, B("\xcd\xf5^\xd0\xa1\xb6\xab"), "王^小东", true},
    {"LO", "GB18030", NULL, B("\x81\x30\x89\x38"), "ß", true}, /* four bytes */
    {"LO", "GBK", NULL, B("\x81\x5c\\x"), "乗\\x", true},      /* 0x5C inside a character */
    {"LO", "GB18030", NULL, B("ab\xffz"), "ab" FFFD "z", false},
    {"LO", "GB18030", NULL, B("ab\0\xcd\xf5"), "ab" FFFD "王", false},
    /* UTF-8 */
    {"PN", "ISO_IR 192", NULL, B("Wang^XiaoDong=\xe7\x8e\x8b"), "Wang^XiaoDong=王", true},
    {"LO", "ISO_IR 192", NULL,
     B("a\xff"
       "b\xc3"),
     "a" FFFD "b" FFFD, false},
    {"LO", "ISO_IR 192", NULL, B("a\0b\0\xe7\x8e\x8b"), "a" FFFD "b" FFFD "王", false},
    {"LO", "ISO_IR 192\\ISO 2022 IR 87", NULL, B("\xe7\x8e\x8b"), "王", true},
    /* escape sequences nobody knows */
    {"LO", "ISO 2022 IR 100", NULL, B("a\x1b%Gb"), "a" FFFD "%Gb", false},
    {"LO", "ISO 2022 IR 100", NULL, B("a\x1b"), "a" FFFD, false},
};

static void each_case(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct charset_case *c = &cases[i];
        char *exact = mem_dup(c->bytes, c->n);
        str_clear(&out);
        str_puts(&out, "before ");
        bool ok = charset_utf8(&out, c->vr, (struct slice){exact, c->n}, slice_of(c->charset),
                               c->fallback);
        if (ok != c->ok || strcmp(out.data + 7, c->want) || memcmp(out.data, "before ", 7))
            fail_msg("case %zu (%s): got \"%s\" %d, want \"%s\"", i, c->charset, out.data, ok,
                     c->want);
        mem_free(exact);
    }
    str_free(&out);
}

static void terms(void **state)
{
    (void)state;
    static const char *const good[] = {
        "ISO_IR 6",        "ISO_IR 100",      "ISO_IR 101",     "ISO_IR 109",
        "ISO_IR 110",      "ISO_IR 144",      "ISO_IR 127",     "ISO_IR 126",
        "ISO_IR 138",      "ISO_IR 148",      "ISO_IR 203",     "ISO_IR 13",
        "ISO_IR 166",      "ISO_IR 192",      "GB18030",        "GBK",
        "ISO 2022 IR 6",   "ISO 2022 IR 100", "ISO 2022 IR 87", "ISO 2022 IR 159",
        "ISO 2022 IR 149", "ISO 2022 IR 58"};
    static const char *const none[] = {
        "",    "ISO_IR 1", "ISO_IR 1000",
        "100", "EBCDIC",   "ISO_IR 100 and something that is far too long"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(charset_known(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(charset_known(none[i]));
    assert_false(charset_known(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_case), cmocka_unit_test(terms)};
    return cmocka_run_group_tests_name("charset", tests, NULL, NULL);
}
