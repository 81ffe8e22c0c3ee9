/* Which choices are void, after which records. */
#include "testkit/testkit.h"

#include "base/mem.h"
#include "event/claims.h"

#define STEPS_MAX 5

struct step {
    enum event_type type;
    int64_t offset, named;
};
#define CLAIM(offset)         {EVENT_CLAIM, offset, -1}
#define CHOICE(offset, named) {EVENT_SERIES_DECIDED, offset, named}

/* What the last step is; of the steps before it, those that are not void stand for what they
 * name. */
static const struct {
    const char *what;
    int64_t known; /* newest at the start */
    struct step steps[STEPS_MAX];
    bool is_void;
    int64_t newest; /* afterwards */
} cases[] = {
    {"under the newest claim", -1, {CLAIM(3), CHOICE(4, 3)}, false, 3},
    {"twice under the newest claim", -1, {CLAIM(3), CHOICE(4, 3), CHOICE(5, 3)}, false, 3},
    {"after a newer claim", -1, {CLAIM(3), CLAIM(5), CHOICE(6, 3)}, true, 5},
    {"under the newer one of two claims", -1, {CLAIM(3), CLAIM(5), CHOICE(6, 5)}, false, 5},
    {"between a void one and its own claim", -1, {CLAIM(3), CLAIM(5), CHOICE(6, 3), CHOICE(7, 5)},
     false, 5},
    {"before the newer claim", -1, {CLAIM(3), CHOICE(4, 3), CLAIM(5)}, false, 5},

    {"a claim that was not read", -1, {CHOICE(6, 3)}, false, 3},
    {"older than a name", -1, {CHOICE(6, 5), CHOICE(7, 3)}, true, 5},
    {"newer than a name", -1, {CHOICE(6, 3), CHOICE(7, 5)}, false, 5},
    {"older than a name, after an older claim", -1, {CLAIM(2), CHOICE(6, 5), CHOICE(7, 2)}, true, 5},
    {"a claim after a name", -1, {CHOICE(6, 5), CLAIM(7), CHOICE(8, 5)}, true, 7},
    {"a void one stands for nothing", -1, {CLAIM(5), CHOICE(6, 3), CHOICE(7, 5)}, false, 5},

    {"a claim that was kept", 5, {CHOICE(6, 5)}, false, 5},
    {"older than the claim that was kept", 5, {CHOICE(6, 3)}, true, 5},
    {"newer than the claim that was kept", 5, {CHOICE(9, 7)}, false, 7},
    {"a claim read once more", 5, {CLAIM(3), CHOICE(6, 3)}, true, 5},
    {"the first claim of all", -1, {CLAIM(0), CHOICE(1, 0)}, false, 0},

    {"no claim named", -1, {CHOICE(6, -1)}, true, -1},
    {"no claim named, one is known", 5, {CHOICE(6, -1)}, true, 5},
    {"names itself", -1, {CHOICE(6, 6)}, true, -1},
    {"names what comes later", 3, {CHOICE(6, INT64_MAX), CHOICE(7, 3)}, false, 3},

    {"every kind of choice names a claim", -1,
     {{EVENT_TASK_STARTED, 6, 5}, {EVENT_TASK_FINISHED, 7, 3}}, true, 5},
    {"a fact counts whoever wrote it", 5, {{EVENT_DELIVERY_PROGRESS, 6, 3}}, false, 5},
    {"a fact names nothing", 5, {{EVENT_DELIVERY_PROGRESS, 9, 8}, CHOICE(10, 5)}, false, 5},
    {"a record that nobody knows", 5, {{EVENT_UNKNOWN, 9, 8}, CHOICE(10, 5)}, false, 5},
};

static void a_choice_is_void_after_a_newer_claim(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct claims c = {cases[i].known};
        bool got = false;
        for (size_t n = 0; n < STEPS_MAX && cases[i].steps[n].offset + cases[i].steps[n].type; n++) {
            const struct step *s = &cases[i].steps[n];
            got = claims_void(&c, s->type, s->offset, s->named);
        }
        if (got != cases[i].is_void || c.newest != cases[i].newest)
            fail_msg("%s: got %s and newest %lld, want %s and %lld", cases[i].what,
                     got ? "void" : "not void", (long long)c.newest,
                     cases[i].is_void ? "void" : "not void", (long long)cases[i].newest);
    }
}

/* A reader that begins anywhere, and one that has kept its newest claim at some offset, judge as
 * the one that has read everything: the latter always, the former once a claim or a valid choice
 * has told it. */
static void readers_that_begin_later_come_to_agree(void **state)
{
    (void)state;
    static const struct step log[] = {CLAIM(0),      CHOICE(1, 0), CLAIM(2),     CHOICE(3, 0),
                                      CHOICE(4, 2),  CHOICE(5, 0), CLAIM(6),     CHOICE(7, 2),
                                      CHOICE(8, 6),  CHOICE(9, 2), CHOICE(10, 6), CHOICE(11, 0)};
    bool want[ARRAY_LEN(log)];
    struct claims all = CLAIMS_NONE, kept[ARRAY_LEN(log)];
    for (size_t i = 0; i < ARRAY_LEN(log); i++) {
        kept[i] = all;
        want[i] = claims_void(&all, log[i].type, log[i].offset, log[i].named);
    }
    for (size_t from = 0; from < ARRAY_LEN(log); from++) {
        struct claims late = CLAIMS_NONE, back = kept[from];
        bool told = false;
        for (size_t i = from; i < ARRAY_LEN(log); i++) {
            const struct step *s = &log[i];
            told |= s->type == EVENT_CLAIM || !want[i];
            bool got = claims_void(&late, s->type, s->offset, s->named);
            assert_int_equal(claims_void(&back, s->type, s->offset, s->named), want[i]);
            assert_true(!told || got == want[i]);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_choice_is_void_after_a_newer_claim),
        cmocka_unit_test(readers_that_begin_later_come_to_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
