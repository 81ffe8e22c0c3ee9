/* Failpoints: errno from the k-th hit on, and the list. */
#include "testkit/testkit.h"

#include <stdlib.h>

#include "base/failpoint.h"

static int hit(void)
{
    return FAILPOINT("test.errno");
}

static void errno_is_injected_from_the_named_hit_on(void **state)
{
    (void)state;
    assert_int_equal(hit(), 0);
    assert_int_equal(hit(), 28);
    assert_int_equal(hit(), 28);
    assert_int_equal(failpoint_named("test.other"), 0);
}

static void note(const char *name, void *arg)
{
    *(int *)arg += strcmp(name, "test.errno") == 0;
}

static void compiled_in_names_are_listed_once(void **state)
{
    (void)state;
    int found = 0;
    failpoint_each(note, &found);
    assert_int_equal(found, FAILPOINTS);
}

int main(void)
{
    setenv("TALARIA_FAILPOINTS", "test.errno=errno:28@2;test.kill=kill@9", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_is_injected_from_the_named_hit_on),
        cmocka_unit_test(compiled_in_names_are_listed_once),
    };
    return FAILPOINTS ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
