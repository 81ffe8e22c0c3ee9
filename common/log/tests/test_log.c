/* One JSON line per call; repeated causes are limited and counted. */
#include "testkit/testkit.h"

#include <unistd.h>

#include "log/log.h"

static int saved = -1, reading = -1;

static int capture(void **state)
{
    (void)state;
    int pipes[2];
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    if (pipe(pipes))
        return -1;
    dup2(pipes[1], STDERR_FILENO);
    close(pipes[1]);
    reading = pipes[0];
    return 0;
}

static int release(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(reading);
    return 0;
}

static const char *captured(void)
{
    static char text[8192];
    ssize_t n = read(reading, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void a_line_is_one_json_object(void **state)
{
    (void)state;
    log_setup("receiver", "r\"1", LOG_LEVEL_INFO);
    log_debug("not shown");
    log_info("hello", LOG_STR("who", "w\n"), LOG_INT("n", -3), LOG_NUM("x", 0.5));
    const char *got = captured();
    assert_non_null(strstr(got, "\"level\":\"info\",\"service\":\"receiver\",\"instance\":\"r\\\"1\","
                                "\"msg\":\"hello\",\"who\":\"w\\n\",\"n\":-3,\"x\":0.5}\n"));
    assert_null(strstr(got, "not shown"));
}

static void a_repeated_cause_is_limited(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        LOG_LIMITED(LOG_LEVEL_WARN, "again", LOG_INT("i", i));
    const char *got = captured();
    const char *first = strstr(got, "again");
    assert_non_null(first);
    assert_null(strstr(first + 1, "again"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_one_json_object, capture, release),
        cmocka_unit_test_setup_teardown(a_repeated_cause_is_limited, capture, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
