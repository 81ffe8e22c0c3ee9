/* Options, settings, formats and tables. */
#include <stdlib.h>

#include "base/mem.h"
#include "talaria/commands.h"
#include "testkit/testkit.h"

static void test_options(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum options_result want;
        const char *to, *operands;
        bool flag;
        int64_t number;
        const char *error;
    } cases[] = {
        {"a b", OPTIONS_OK, "def", "a b", false, 7, ""},
        {"a --to x b --json", OPTIONS_OK, "x", "a b", true, 7, ""},
        {"--to=x=y --n 3", OPTIONS_OK, "x=y", "", false, 3, ""},
        {"a -- --to x", OPTIONS_OK, "def", "a --to x", false, 7, ""},
        {"- a", OPTIONS_OK, "def", "- a", false, 7, ""},
        {"a --help", OPTIONS_HELP, "def", NULL, false, 7, ""},
        {"-h", OPTIONS_HELP, "def", NULL, false, 7, ""},
        {"--nope", OPTIONS_BAD, "def", NULL, false, 7, "unknown option --nope"},
        {"--to", OPTIONS_BAD, "def", NULL, false, 7, "--to needs a value: X"},
        {"--json=1", OPTIONS_BAD, "def", NULL, true, 7, "--json takes no value"},
        {"--n 11", OPTIONS_BAD, "def", NULL, false, 7, "--n takes a number from 0 to 10"},
        {"--n 1x", OPTIONS_BAD, "def", NULL, false, 7, "--n takes a number from 0 to 10"},
        {"--t x", OPTIONS_BAD, "def", NULL, false, 7, "unknown option --t"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *to = "def";
        bool flag = false;
        int64_t number = 7;
        const struct option_row rows[] = {
            OPTION_TEXT("--to", "X", &to, ""),
            OPTION_FLAG("--json", &flag, ""),
            OPTION_NUMBER("--n", "N", &number, 0, 10, ""),
        };
        char line[128], *argv[17], *save = NULL;
        int argc = 1;
        struct err e = {0};
        struct str operands = STR_INIT;
        str_copy(line, sizeof line, cases[i].line);
        argv[0] = line;
        for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
            argv[argc++] = w;
        enum options_result got = options_parse(rows, ARRAY_LEN(rows), &argc, argv, &e);
        assert_int_equal(got, cases[i].want);
        assert_string_equal(to, cases[i].to);
        assert_int_equal(flag, cases[i].flag);
        assert_int_equal(number, cases[i].number);
        assert_string_equal(e.text, cases[i].error);
        for (int k = 1; k < argc && cases[i].operands; k++)
            str_printf(&operands, "%s%s", k > 1 ? " " : "", argv[k]);
        if (cases[i].operands)
            assert_string_equal(str_cstr(&operands), cases[i].operands);
        str_free(&operands);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void test_settings_precedence(void **state)
{
    (void)state;
    const char *folder = testkit_tmpdir();
    char path[512], a[] = "talaria", b[] = "topics", f1[] = "--site", f2[] = "flag", j[] = "--json",
                    end[] = "--", f3[] = "--site";
    char *argv[] = {a, f1, f2, b, j, end, f3, NULL};
    int argc = 7;
    struct cli c;
    struct err e = {0};
    snprintf(path, sizeof path, "%s/settings.json", folder);
    write_file(path, "{\"gateway\":\"http://file\",\"site\":\"file\",\"brokers\":\"file:1\"}");
    setenv("TALARIA_SETTINGS", path, 1);
    setenv("TALARIA_BROKERS", "environment:2", 1);
    setenv("TALARIA_SITE", "environment", 1);
    assert_int_equal(settings_load(&c, &argc, argv, &e), 0);
    assert_string_equal(c.settings->gateway, "http://file");
    assert_string_equal(c.settings->brokers, "environment:2");
    assert_string_equal(c.settings->site, "flag");
    assert_true(c.json);
    assert_int_equal(argc, 4); /* talaria topics -- --site: what stands behind -- is no flag */
    assert_string_equal(argv[1], "topics");
    assert_string_equal(argv[3], "--site");
    testkit_rmdir(folder);
}

static void test_settings_refused(void **state)
{
    (void)state;
    const char *folder = testkit_tmpdir();
    char path[512], a[] = "talaria", f1[] = "--site";
    char *argv[] = {a, f1, NULL};
    int argc = 1;
    struct cli c;
    struct err e = {0};
    snprintf(path, sizeof path, "%s/settings.json", folder);
    setenv("TALARIA_SETTINGS", path, 1);
    assert_int_equal(settings_load(&c, &argc, argv, &e), -1); /* named, but not there */
    write_file(path, "{\"gatewy\":\"x\"}");
    assert_int_equal(settings_load(&c, &argc, argv, &e), -1);
    assert_non_null(strstr(e.text, "/gatewy"));
    write_file(path, "{}");
    argc = 2;
    assert_int_equal(settings_load(&c, &argc, argv, &e), -1);
    assert_string_equal(e.text, "--site needs a value");
    unsetenv("TALARIA_SETTINGS");
    testkit_rmdir(folder);
}

static void test_formats(void **state)
{
    (void)state;
    static const struct {
        int64_t v;
        const char *size, *span;
    } cases[] = {
        {-1, "-1 B", "-"},
        {0, "0 B", "0 ms"},
        {999, "999 B", "999 ms"},
        {1000, "1.0 KB", "1.0 s"},
        {59999, "60 KB", "59.9 s"},
        {60000, "60 KB", "1 min 0 s"},
        {999600, "1.0 MB", "16 min 39 s"},
        {7500000, "7.5 MB", "2 h 5 min"},
        {273600000, "274 MB", "3 d 4 h"},
    };
    char size[FORMAT_SIZE], span[FORMAT_SPAN];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(format_size(size, cases[i].v), cases[i].size);
        assert_string_equal(format_span(span, cases[i].v), cases[i].span);
    }
}

static void test_safe(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"plain", "plain"},
        {"a\033[2Jb\n", "a?[2Jb?"},
        {"Grüße", "Grüße"},
        {"\xC2\x9B"
         "31m",
         "?31m"}, /* CSI as a C1 control */
        {"a\xFF\xC3", "a??"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str s = STR_INIT;
        format_safe(&s, cases[i].text);
        assert_string_equal(str_cstr(&s), cases[i].want);
        str_free(&s);
    }
}

static void test_table(void **state)
{
    (void)state;
    static const char *const titles[] = {"NAME", "N"};
    struct table *t = table_new(2, titles);
    struct str s = STR_INIT;
    table_cell(t, "Müller");
    table_cell(t, "1");
    table_cell(t, NULL);
    table_cell(t, "22");
    table_write(t, &s, false);
    assert_string_equal(str_cstr(&s), "NAME    N\nMüller  1\n-       22\n");
    str_free(&s);
    table_free(t);
}

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; commands[i]; i++) {
        assert_ptr_equal(command_find(commands[i]->name), commands[i]);
        assert_true(*commands[i]->summary);
    }
    assert_null(command_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_settings_precedence),
        cmocka_unit_test(test_settings_refused),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_safe),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
