/* Settings: precedence, spelling, refusals; what needs no broker. */
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "testkit/testkit.h"

struct own {
    struct daemon_settings common;
    int64_t tls_port;
    const char *word;
};
static const struct row rows[] = {
    {"tlsPort", ROW_INT, ROW(own, tls_port), 0, "1", 0, 65535, .help = "A port."},
    {"word", ROW_STRING, ROW(own, word), 0, "default", 0, 64},
};
static const struct service service = {.name = "toy",
                                       .summary = "plays",
                                       .settings = rows,
                                       .n_settings = ARRAY_LEN(rows),
                                       .settings_size = sizeof(struct own)};

static char file[300];

static int read_with(struct own *out, struct arena *a, struct err *e, const char *const *flags,
                     enum settings_mode *mode)
{
    char *argv[16] = {(char *)"toy"};
    int argc = 1;
    for (; flags && *flags; flags++)
        argv[argc++] = (char *)*flags;
    return settings_read(out, &service, argc, argv, a, mode, e);
}

static void flags_win_over_environment_over_file(void **state)
{
    static const struct {
        const char *file, *env, *flag; /* of tlsPort */
        int64_t want;
    } cases[] = {
        {NULL, NULL, NULL, 1}, {"{\"tlsPort\":2}", NULL, NULL, 2},
        {NULL, "3", NULL, 3},  {"{\"tlsPort\":2}", "3", NULL, 3},
        {NULL, NULL, "4", 4},  {"{\"tlsPort\":2}", "3", "4", 4},
    };
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *flags[5] = {NULL};
        size_t n = 0;
        struct arena *a = arena_new(0);
        struct own got;
        enum settings_mode mode;
        if (cases[i].file) {
            assert_int_equal(file_replace(file, cases[i].file, strlen(cases[i].file), 0600, &e), 0);
            flags[n++] = "--settings";
            flags[n++] = file;
        }
        if (cases[i].env)
            setenv("TALARIA_TLS_PORT", cases[i].env, 1);
        if (cases[i].flag) {
            flags[n++] = "--tls-port";
            flags[n++] = cases[i].flag;
        }
        if (read_with(&got, a, &e, flags, &mode))
            fail_msg("%s", e.text);
        unsetenv("TALARIA_TLS_PORT");
        assert_int_equal(got.tls_port, cases[i].want);
        assert_string_equal(got.word, "default");
        assert_string_equal(got.common.site, "main");
        assert_true(*got.common.instance);
        assert_int_equal(mode, MODE_RUN);
        arena_free(a);
    }
}

static void wrong_settings_are_refused(void **state)
{
    static const struct {
        const char *flags[4];
        const char *text; /* part of the error */
    } cases[] = {
        {{"--nonsense", "1"}, "nonsense"},
        {{"--tls-port", "70000"}, "tls-port"},
        {{"--tls-port", "x"}, "tls-port"},
        {{"--tls-port"}, "needs a value"},
        {{"word"}, "unexpected"},
        {{"--site", "Not Good"}, "site"},
        {{"--log-level", "loud"}, "log-level"},
        {{"--settings", "/nonexistent/x"}, "/nonexistent"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *a = arena_new(0);
        struct err e = {0};
        struct own got;
        enum settings_mode mode;
        assert_int_equal(read_with(&got, a, &e, cases[i].flags, &mode), -1);
        assert_int_equal(e.kind, ERR_FATAL);
        if (!strstr(e.text, cases[i].text))
            fail_msg("\"%s\" does not name %s", e.text, cases[i].text);
        arena_free(a);
    }
}

static void an_unknown_member_of_the_file_is_refused(void **state)
{
    struct arena *a = arena_new(0);
    struct err e = {0};
    struct own got;
    enum settings_mode mode;
    (void)state;
    assert_int_equal(file_replace(file, "{\"tlsprot\":1}", 13, 0600, &e), 0);
    assert_int_equal(read_with(&got, a, &e, (const char *const[]){"--settings", file, NULL}, &mode),
                     -1);
    assert_non_null(strstr(e.text, "tlsprot"));
    arena_free(a);
}

static void modes_are_recognised(void **state)
{
    static const struct {
        const char *flag;
        enum settings_mode mode;
    } cases[] = {{"--help", MODE_HELP},
                 {"--version", MODE_VERSION},
                 {"--failpoints", MODE_FAILPOINTS},
                 {"--reference", MODE_REFERENCE},
                 {"--check", MODE_CHECK}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *a = arena_new(0);
        struct err e = {0};
        struct own got;
        enum settings_mode mode;
        const char *flags[] = {"--word=a b", cases[i].flag, NULL};
        assert_int_equal(read_with(&got, a, &e, flags, &mode), 0);
        assert_int_equal(mode, cases[i].mode);
        assert_string_equal(got.word, "a b");
        arena_free(a);
    }
}

static void a_silent_thread_is_named(void **state)
{
    struct daemon d = {.service = &service};
    const char *name;
    (void)state;
    struct beat *a = watchdog_add(&d, "a"), *b = watchdog_add(&d, "b");
    assert_true(watchdog_silence(&d, &name) < 1000);
    __atomic_store_n(&b->at, a->at - 70000, __ATOMIC_RELAXED);
    assert_true(watchdog_silence(&d, &name) >= 70000);
    assert_string_equal(name, "b");
    struct str body = STR_INIT;
    assert_int_equal(admin_health(&d, &body), 503);
    watchdog_leave(b);
    str_clear(&body);
    assert_int_equal(admin_health(&d, &body), 200);
    str_free(&body);
}

static int make_file(void **state)
{
    (void)state;
    snprintf(file, sizeof file, "%s/settings.json", testkit_tmpdir());
    unsetenv("TALARIA_SETTINGS");
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    *strrchr(file, '/') = 0;
    testkit_rmdir(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_win_over_environment_over_file),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(an_unknown_member_of_the_file_is_refused),
        cmocka_unit_test(modes_are_recognised),
        cmocka_unit_test(a_silent_thread_is_named),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
