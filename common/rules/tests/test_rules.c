/*
 * The rule language against cases.txt (whose verdicts are Python's, see oracle.py), error texts,
 * bounds and explanations. An argument names another table of cases (oracle.py --random).
 */
#include "rules/rules.h"

#include <stdlib.h>

#include "base/mem.h"
#include "testkit/testkit.h"

#define TABLE   "common/rules/tests/cases.txt"
#define TAG_MAX 32

struct tag_set {
    char names[TAG_MAX][64];
    char values[TAG_MAX][256];
    size_t n;
};

static const char *get(void *arg, const char *name, bool any_case)
{
    const struct tag_set *t = arg;
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->names[i], name) == 0)
            return t->values[i];
    for (size_t i = 0; any_case && i < t->n; i++)
        if (strcasecmp(t->names[i], name) == 0)
            return t->values[i];
    return NULL;
}

static size_t count(void *arg)
{
    return ((const struct tag_set *)arg)->n;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* A JSON string of the table: escapes \\ and \" only. */
static const char *json_string(const char *p, char *out)
{
    assert_int_equal(*p, '"');
    for (p++; *p != '"'; p++) {
        p += *p == '\\';
        *out++ = *p;
    }
    *out = '\0';
    return p + 1;
}

static void json_tags(const char *p, struct tag_set *out)
{
    out->n = 0;
    for (p++; *p != '}';) {
        p = json_string(p, out->names[out->n]) + 2;
        p = json_string(p, out->values[out->n++]);
        p += *p == ',' ? 2 : 0;
    }
}

static const char *const verdicts[] = {"no-match", "match", "error"};

static const char *verdict(const char *text, struct tag_set *tags, struct err *e)
{
    struct rule_program *p = NULL;
    *e = (struct err){0};
    if (rules_compile(&p, text, e) < 0) {
        assert_null(p);
        assert_int_equal(e->kind, ERR_REJECT);
        return "refused";
    }
    struct arena *scratch = arena_new(4 << 20);
    struct rule_tags source = {get, count, tags};
    const char *missing;
    const char *out = verdicts[rules_eval(p, &source, scratch, &missing, e)];
    rules_free(p);
    arena_free(scratch);
    return out;
}

static void newlines(char *s)
{
    for (char *at; (at = strstr(s, "␤")) != NULL;) {
        *at = '\n';
        memmove(at + 1, at + 3, strlen(at + 3) + 1);
    }
}

static const char *table = TABLE;

static void test_cases(void **state)
{
    (void)state;
    FILE *f = fopen(table, "r");
    assert_non_null(f);
    char line[8192];
    static struct tag_set standard, own;
    int number = 0, cases = 0, wrong = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        number++;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "= ", 2) == 0)
            json_tags(line + 2, &standard);
        char *tags = strchr(line, '\t'), *want = tags != NULL ? strchr(tags + 1, '\t') : NULL;
        if (want == NULL)
            continue;
        *tags++ = *want++ = '\0';
        want[strcspn(want, "\t")] = '\0';
        if (tags[0] != '-')
            json_tags(tags, &own);
        newlines(line);
        struct err e;
        const char *got = verdict(line, tags[0] == '-' ? &standard : &own, &e);
        cases++;
        if (strcmp(got, want) != 0 && wrong++ < 50)
            print_message("%s:%d: %s: got %s (%s), want %s\n", table, number, line, got, e.text,
                          want);
    }
    fclose(f);
    assert_true(cases >= 200);
    assert_int_equal(wrong, 0);
}

/* ---- error texts ----------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"tags.Modality = 'CT'", "1:15: assignment is not available; use == to compare"},
        {"True and\n foo(1)", "1:9: a value is missing at the end of the line; put parentheses "
                              "around a rule of several lines"},
        {"(True and\n foo(1))", "2:2: unknown function foo()"},
        {"Modality == 'CT'",
         "1:1: unknown name Modality; a tag is written tags.Modality, a text 'in quotes'"},
        {"tags.Modality.lowercase()", "1:15: unknown method .lowercase()"},
        {"'ä' == len()", "1:11: len() takes 1 argument, not 0"},
        {"'a'.replace('b')", "1:12: replace() takes 2 to 3 arguments, not 1"},
        {"max()", "1:4: max() takes at least 1 argument, not 0"},
        {"[x for x in 'a']",
         "1:4: comprehensions and loops are not available; any() and all() take a list"},
        {"1 if True else 2",
         "1:3: conditional expressions (x if y else z) are not available; use and, or, not"},
        {"lambda: 1", "1:1: lambda is not available"},
        {"f'x'", "1:1: f-strings are not available; compare or join strings with +"},
        {"import os", "1:1: import is not available"},
        {"True; False", "1:5: a rule is one expression; join several with and, or"},
        {"tags.Modality == 'CT", "1:18: this string is not closed"},
        {"tags.Modality == \xE2\x80\x98"
         "CT",
         "1:18: this is a typographic quote; use ' or \""},
        {"tags.Modality in 'A', 'B'", "1:21: put parentheses around a list of values: ('A', 'B')"},
        {"sorted([1], reverse=True)", "1:13: arguments by name (reverse=) are not available"},
        {"tags.Modality is 'CT'", "1:18: is compares only with None, True and False; use =="},
        {"(True", "1:6: , or ) is missing at the end"},
        {"\xFF", "1:1: the text is not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_program *p = NULL;
        struct err e = {0};
        assert_int_equal(rules_compile(&p, cases[i].text, &e), -1);
        assert_string_equal(e.text, cases[i].want);
    }
}

/* An error names the place and the reason, and never a value: values are patient data. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"True and tags.Modality < 5",
         "1:10: a text and a whole number have no order; make a number of the text with float()"},
        {"float(tags.PatientName) > 1", "1:1: float() needs the text of a number"},
        {"int(tags.SliceThickness) == 1",
         "1:1: int() needs the text of a whole number; use float()"},
        {"1 / 0", "1:1: division by zero"},
        {"tags.PatientName + 1",
         "1:1: a text + a whole number is not possible; use float() or str()"},
        {"tags.PatientName[99]", "1:1: there is no position 99"},
    };
    static struct tag_set tags = {.names = {"Modality", "PatientName", "SliceThickness"},
                                  .values = {"CT", "Doe^Jane", "1.5"},
                                  .n = 3};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e;
        assert_string_equal(verdict(cases[i].text, &tags, &e), "error");
        assert_string_equal(e.text, cases[i].want);
        assert_null(strstr(e.text, "Doe"));
    }
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static char *repeated(const char *first, const char *part, size_t times, const char *last)
{
    struct str s = STR_INIT;
    str_puts(&s, first);
    for (size_t i = 0; i < times; i++)
        str_puts(&s, part);
    str_puts(&s, last);
    return str_take(&s);
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *first, *part;
        size_t times;
        const char *last, *want;
    } cases[] = {
        {"", " ", RULES_TEXT_MAX, "", "no-match"},
        {"", " ", RULES_TEXT_MAX, " ", "refused"},
        {"", "True and ", 1000, "True", "match"},
        {"0", " or 0", 3000, " or 1", "match"},
        {"1 < 2", " < 3", 1, "", "match"},
        {"'a'", " + 'a'", 60, "", "match"},
        {"'a'", " + 'a'", 100, "", "refused"},
        {"'a'", ".lower()", 100, "", "refused"},
        {"", "-", 5000, "1", "refused"},
        {"2", "**1", 5000, "", "refused"},
        {"", "[", 5000, "", "refused"},
        {"1 in [", "1,", 5000, "]", "match"},
        {"'a'", "*100", 8, " == ''", "error"},
        {"len(str([0]", "*30", 1, "*30)) > 0", "match"},
        {"[[[[0] * 999] * 999] * 999] == [[[[0] * 999] * 999] * 999", "", 0, "]", "error"},
        {"str([[[['a'] * 999] * 999] * 999])", "", 0, "", "error"},
        {"sorted(range(90000))", "", 0, "", "error"},
        {"range(9223372036854775807)", "", 0, "", "error"},
        {"('a' * 30000).replace('a', 'b' * 30000)", "", 0, "", "error"},
        {"('b' * 500).join('a' * 30000)", "", 0, "", "error"},
        {"('a' * 60000).rfind('a' * 30000 + 'b')", "", 0, "", "error"},
        {"'a'.center(9223372036854775807)", "", 0, "", "error"},
        {"9223372036854775807 * '' == ''", "", 0, "", "match"},
    };
    static struct tag_set none;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = repeated(cases[i].first, cases[i].part, cases[i].times, cases[i].last);
        struct err e;
        const char *got = verdict(text, &none, &e);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("case %zu %.60s: got %s (%s), want %s", i, text, got, e.text, cases[i].want);
        mem_free(text);
    }
}

static void test_small_arena(void **state)
{
    (void)state;
    struct rule_program *p;
    struct err e = {0};
    struct rule_tags source = {get, count, &(struct tag_set){.n = 0}};
    struct arena *scratch = arena_new(64);
    assert_int_equal(rules_compile(&p, "('ab' * 50).lower() == ''", &e), 0);
    assert_int_equal(rules_eval(p, &source, scratch, NULL, &e), RULE_ERROR);
    assert_string_equal(e.text, "1:1: out of memory for this evaluation");
    rules_free(p);
    arena_free(scratch);
}

/* ---- missing tags and explanations ----------------------------------------------------------- */

static void test_missing(void **state)
{
    (void)state;
    struct rule_program *p;
    struct err e = {0};
    const char *missing;
    struct rule_tags source = {get, count, &(struct tag_set){.n = 0}};
    struct arena *scratch = arena_new(0);
    assert_int_equal(rules_compile(&p, "1 == 1 and tags.KVP != '1'", &e), 0);
    assert_int_equal(rules_eval(p, &source, scratch, &missing, &e), RULE_NO_MATCH);
    rules_free(p);
    assert_string_equal(missing, "KVP");
    assert_int_equal(e.kind, ERR_NONE);
    assert_int_equal(rules_compile(&p, "tags['K' + 'VP'] != '1' or 1", &e), 0);
    assert_int_equal(rules_eval(p, &source, scratch, &missing, &e), RULE_NO_MATCH);
    assert_string_equal(missing, "KVP");
    rules_free(p);
    arena_free(scratch);
}

static void collect(void *arg, int depth, struct slice source, const char *value)
{
    str_printf(arg, "%*s%.*s -> %s\n", depth * 2, "", (int)source.n, source.p, value);
}

static void test_explain(void **state)
{
    (void)state;
    static struct tag_set tags = {
        .names = {"Modality", "SliceThickness"}, .values = {"CT", "1.5"}, .n = 2};
    static const struct {
        const char *text;
        enum rule_verdict verdict;
        const char *want;
    } cases[] = {
        {"tags.Modality == 'CT' and (float(tags.SliceThickness) < 1 or not tags.KVP)",
         RULE_NO_MATCH,
         "tags.Modality == 'CT' and (float(tags.SliceThickness) < 1 or not tags.KVP) -> missing\n"
         "  tags.Modality == 'CT' -> true\n"
         "    tags.Modality -> 'CT'\n"
         "  (float(tags.SliceThickness) < 1 or not tags.KVP) -> missing\n"
         "    float(tags.SliceThickness) < 1 -> false\n"
         "      float(tags.SliceThickness) -> 1.5\n"
         "        tags.SliceThickness -> '1.5'\n"
         "    not tags.KVP -> missing\n"
         "      tags.KVP -> missing\n"},
        {"tags.Modality == 'MR' and tags.KVP", RULE_NO_MATCH,
         "tags.Modality == 'MR' and tags.KVP -> false\n"
         "  tags.Modality == 'MR' -> false\n"
         "    tags.Modality -> 'CT'\n"
         "  tags.KVP -> not evaluated\n"},
        {"True or 1/0", RULE_MATCH,
         "True or 1/0 -> true\n  True -> true\n  1/0 -> not evaluated\n"},
        {"False or tags.Modality > 1", RULE_ERROR,
         "False or tags.Modality > 1 -> error: 1:10: a text and a whole number have no order; make "
         "a number "
         "of the text with float()\n"
         "  False -> false\n"
         "  tags.Modality > 1 -> error: 1:10: a text and a whole number have no order; make a "
         "number "
         "of the text with float()\n"
         "    tags.Modality -> 'CT'\n"},
        {"('a' * 300)[0:]", RULE_MATCH, NULL},
        {"  # nothing", RULE_NO_MATCH, ""},
    };
    struct rule_tags source = {get, count, &tags};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_program *p;
        struct err e = {0};
        struct str got = STR_INIT;
        struct arena *scratch = arena_new(0);
        assert_int_equal(rules_compile(&p, cases[i].text, &e), 0);
        assert_int_equal(rules_explain(p, &source, scratch, collect, &got, &e), cases[i].verdict);
        if (cases[i].want != NULL)
            assert_string_equal(str_cstr(&got), cases[i].want);
        else
            assert_true(strstr(str_cstr(&got), "aaa…\n") != NULL);
        arena_free(scratch);
        str_free(&got);
        rules_free(p);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_small_arena), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_explain),
    };
    table = argc > 1 ? argv[1] : TABLE;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
