/* cmocka tests side by side, each in a process of its own with its own setup. */
#ifndef KAFKA_TESTS_SIDE_H
#define KAFKA_TESTS_SIDE_H

#include "kafka/mock.h"
#include "testkit/testkit.h"

struct side {
    const struct CMUnitTest *tests;
    CMFixtureFunction setup, teardown;
};

static inline int side_one(void *arg, size_t i)
{
    const struct side *s = arg;
    const struct CMUnitTest test[] = {s->tests[i]};
    return cmocka_run_group_tests(test, s->setup, s->teardown);
}

static inline int side_by_side(const struct CMUnitTest *tests, size_t n, CMFixtureFunction setup,
                               CMFixtureFunction teardown)
{
    struct side s = {tests, setup, teardown};
    return kafka_mock_side_by_side(side_one, &s, n);
}

#endif
