/* A log whose clock is corrected: the broker's was ahead, and is set back. */
#include "testkit/testkit.h"

#include "base/mem.h"
#include "router/tests/desk.h"

static void stored(struct desk *k, double at, const char *receipt)
{
    desk_at(k, at);
    desk_instance(k, &(struct sim_instance){.receipt = receipt});
}

/* What came while the clock was a year ahead does not wait for a year. */
static void a_clock_that_is_set_back_starts_anew(void **state)
{
    struct desk k;
    (void)state;
    desk_init(&k);
    stored(&k, 31536000, "r1");
    stored(&k, 50, "r2");
    desk_tick(&k, 109);
    assert_int_equal(desk_decisions(&k), 0);
    desk_tick(&k, 110.5);
    assert_int_equal(desk_decisions(&k), 1);
    assert_int_equal(desk_decision(&k, 0)->window->n, 2);
    desk_free(&k);
}

/* Other series' records tell it, too; the cap counts from there as well. */
static void any_record_tells(void **state)
{
    struct desk k;
    (void)state;
    desk_init(&k);
    stored(&k, 31536000, "r1");
    desk_at(&k, 10);
    desk_instance(&k, &(struct sim_instance){.receipt = "x", .series = "9"});
    desk_tick(&k, 71);
    assert_int_equal(desk_decisions(&k), 2);
    assert_true(desk_decision(&k, 0)->waited < 62);
    desk_free(&k);
}

static void a_small_step_back_changes_nothing(void **state)
{
    struct desk k;
    (void)state;
    desk_init(&k);
    stored(&k, 100, "r1");
    desk_at(&k, 95);
    desk_instance(&k, &(struct sim_instance){.receipt = "x", .series = "9"});
    desk_tick(&k, 159);
    assert_int_equal(decide_stats(k.decide).restarted, 0);
    desk_tick(&k, 161);
    assert_int_equal(desk_decisions(&k), 2);
    desk_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_is_set_back_starts_anew),
        cmocka_unit_test(any_record_tells),
        cmocka_unit_test(a_small_step_back_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
