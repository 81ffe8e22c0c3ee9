/* Families, labels, the cap, histograms, text form. */
#include "testkit/testkit.h"

#include "metrics/metrics.h"

static const double bounds[] = {1, 5, 0};
METRIC_COUNTER(plain, "test_plain_total", "Plain.", "");
METRIC_COUNTER(labelled, "test_labelled_total", "Labelled.", "source,outcome");
METRIC_COUNTER(crowded, "test_crowded_total", "Crowded.", "source");
METRIC_HISTOGRAM(seconds, "test_seconds", "Seconds.", "", bounds);

static double answer(void)
{
    return 42;
}
METRIC_GAUGE_READ(computed, "test_computed", "Computed.", answer);

static void assert_has(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("missing: %s\nin:\n%s", line, text);
}

static void families_render_as_prometheus_text(void **state)
{
    (void)state;
    metric_add(&plain, 2);
    metric_add(&labelled, 1, "ct\"1\\", "ok");
    metric_add(&labelled, 1.5, "ct\"1\\", "ok");
    metric_observe(&seconds, 0.5);
    metric_observe(&seconds, 3);
    metric_observe(&seconds, 9);
    struct str s = STR_INIT;
    metrics_render(&s);
    assert_has(s.data, "# TYPE test_plain_total counter\ntest_plain_total 2\n");
    assert_has(s.data, "test_labelled_total{source=\"ct\\\"1\\\\\",outcome=\"ok\"} 2.5\n");
    assert_has(s.data, "test_computed 42\n");
    assert_has(s.data, "test_seconds_bucket{le=\"1\"} 1\n");
    assert_has(s.data, "test_seconds_bucket{le=\"5\"} 2\n");
    assert_has(s.data, "test_seconds_bucket{le=\"+Inf\"} 3\n");
    assert_has(s.data, "test_seconds_sum 12.5\ntest_seconds_count 3\n");
    str_free(&s);
}

METRIC_GAUGE(passing, "test_passing", "Of things that pass.", "thing");

static void what_is_forgotten_is_not_rendered_until_it_is_set_again(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    metric_set(&passing, 1, "a");
    metric_set(&passing, 2, "b");
    metric_forget(&passing, "a");
    metric_forget(&passing, "never seen");
    metrics_render(&s);
    assert_null(strstr(s.data, "thing=\"a\""));
    assert_null(strstr(s.data, "never"));
    assert_has(s.data, "test_passing{thing=\"b\"} 2\n");
    metric_set(&passing, 3, "a");
    str_clear(&s);
    metrics_render(&s);
    assert_has(s.data, "test_passing{thing=\"a\"} 3\n");
    str_free(&s);
}

static void the_65th_label_value_is_other(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        metric_add(&crowded, 1, name);
    }
    struct str s = STR_INIT;
    metrics_render(&s);
    assert_has(s.data, "test_crowded_total{source=\"s63\"} 1\n");
    assert_has(s.data, "test_crowded_total{source=\"other\"} 136\n");
    assert_null(strstr(s.data, "source=\"s64\""));
    str_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_render_as_prometheus_text),
        cmocka_unit_test(what_is_forgotten_is_not_rendered_until_it_is_set_again),
        cmocka_unit_test(the_65th_label_value_is_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
