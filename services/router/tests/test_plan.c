/* plan: validity by the newest claim, requests out, claims in the commit metadata. */
#include "testkit/testkit.h"

#include "router/plan/plan.h"
#include "router/sim/world.h"

struct step {
    enum event_type type;
    int journal;
    int64_t offset, claim;
    const char *id; /* decision, or task of a task.finished */
};

static struct event_delivery_requested delivery = {.delivery = "d1",
                                                   .target = "pacs",
                                                   .study = "1.2",
                                                   .manifest = {.key = "m"},
                                                   .rules = {NULL, 0}};
static struct event_task_requested tasks[] = {
    {.task = "t1", .decision = "x1", .study = "1.2", .manifest = {.key = "m"}},
    {.task = "t2",
     .decision = "x1",
     .study = "1.2",
     .manifest = {.key = "m"},
     .persistence = "folder"},
};

static void body(struct event *ev, const struct step *s)
{
    *ev = (struct event){.type = s->type};
    switch (s->type) {
    case EVENT_SERIES_DECIDED:
        delivery.decision = s->id;
        delivery.task = NULL;
        ev->decided = (struct event_series_decided){.decision = s->id,
                                                    .study = "1.2",
                                                    .series = "1.2.3",
                                                    .manifest = {.key = "m"},
                                                    .tasks = {tasks, 2},
                                                    .deliveries = {&delivery, 1}};
        break;
    case EVENT_TASK_FINISHED:
        delivery.decision = NULL;
        delivery.task = s->id;
        ev->task_finished = (struct event_task_finished){.task = s->id,
                                                         .attempt = 1,
                                                         .outcome = OUTCOME_SUCCEEDED,
                                                         .deliveries = {&delivery, 1}};
        break;
    case EVENT_TASK_STARTED:
        ev->task_started = (struct event_task_started){s->id, 1, "o"};
        break;
    default:
        ev->claim = (struct event_claim){.owner = "o"};
    }
}

static int give(struct plan *p, const struct step *s, struct outputs *out)
{
    struct outputs made = {.source = "/talaria/main/router/x"};
    struct event ev;
    struct err e;
    body(&ev, s);
    assert_int_equal(outputs_event(&made, "decision", 0, "k", &ev, s->claim, &e), 0);
    struct arena *a = arena_new(0);
    const struct plan_input in = {s->journal, s->offset, s->type, s->claim,
                                  str_slice(&made.records.items[0].value)};
    int rc = plan_record(p, &in, a, out, &e);
    arena_free(a);
    outputs_free(&made);
    return rc;
}

static void requests(void **state)
{
    (void)state;
    struct outputs out = {.source = "/talaria/main/router/x"};
    struct plan p;
    plan_init(&p);
    assert_int_equal(
        give(&p, &(struct step){EVENT_SERIES_DECIDED, PLAN_DECISION, 5, 2, "x1"}, &out), 0);
    static const struct {
        enum event_type type;
        const char *noun, *key;
    } want[] = {
        {EVENT_TASK_REQUESTED, "task", "t1"},
        {EVENT_TASK_REQUESTED, "task", "folder"},
        {EVENT_DELIVERY_REQUESTED, "delivery", "pacs"},
    };
    assert_int_equal(out.records.n, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const struct output_record *r = &out.records.items[i];
        assert_int_equal(r->type, want[i].type);
        assert_string_equal(r->noun, want[i].noun);
        assert_string_equal(r->key, want[i].key);
        assert_int_equal(r->partition, -1);
        assert_int_equal(r->claim, -1);
    }
    assert_non_null(strstr(out.records.items[0].value.data, "\"id\":\"t1\""));
    assert_non_null(strstr(out.records.items[2].value.data, "\"id\":\"d1\""));
    outputs_clear(&out);
    assert_int_equal(give(&p, &(struct step){EVENT_TASK_FINISHED, PLAN_TASK, 9, 3, "t1"}, &out), 0);
    assert_int_equal(out.records.n, 1);
    assert_int_equal(out.records.items[0].type, EVENT_DELIVERY_REQUESTED);
    outputs_free(&out);
}

/* Which of the last steps are valid (their records come out) after which claims. */
static void validity(void **state)
{
    static const struct {
        const char *what, *saved;
        struct step steps[4];
        bool valid; /* the last step */
    } cases[] = {
        {"under the newest claim",
         NULL,
         {{EVENT_CLAIM, PLAN_DECISION, 3, -1, NULL},
          {EVENT_SERIES_DECIDED, PLAN_DECISION, 4, 3, "x"}},
         true},
        {"a newer claim precedes it",
         NULL,
         {{EVENT_CLAIM, PLAN_DECISION, 3, -1, NULL},
          {EVENT_CLAIM, PLAN_DECISION, 5, -1, NULL},
          {EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 3, "x"}},
         false},
        {"no claim known: the first name counts",
         NULL,
         {{EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 3, "x"}},
         true},
        {"no claim known: a higher one was named",
         NULL,
         {{EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 5, "x"},
          {EVENT_SERIES_DECIDED, PLAN_DECISION, 7, 3, "y"}},
         false},
        {"a choice of another kind names a claim",
         NULL,
         {{EVENT_TASK_STARTED, PLAN_TASK, 6, 5, "x"}, {EVENT_TASK_FINISHED, PLAN_TASK, 7, 3, "y"}},
         false},
        {"claims of the other journal do not count",
         NULL,
         {{EVENT_CLAIM, PLAN_TASK, 9, -1, NULL}, {EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 3, "x"}},
         true},
        {"from the metadata: void",
         "d5 t-1",
         {{EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 3, "x"}},
         false},
        {"from the metadata: valid",
         "d5 t9",
         {{EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 5, "x"}},
         true},
        {"from the metadata: the task journal",
         "d5 t9",
         {{EVENT_TASK_FINISHED, PLAN_TASK, 16, 8, "x"}},
         false},
        {"metadata that is not ours",
         "d5",
         {{EVENT_SERIES_DECIDED, PLAN_DECISION, 6, 3, "x"}},
         true},
        {"a choice without a claim",
         NULL,
         {{EVENT_SERIES_DECIDED, PLAN_DECISION, 6, -1, "x"}},
         false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outputs out = {.source = "/talaria/main/router/x"};
        struct plan p;
        plan_init(&p);
        plan_restore(&p, cases[i].saved);
        for (size_t n = 0; n < 4 && cases[i].steps[n].type; n++) {
            outputs_clear(&out);
            assert_int_equal(give(&p, &cases[i].steps[n], &out), 0);
        }
        if ((out.records.n > 0) != cases[i].valid)
            fail_msg("%s: got %s, want %s", cases[i].what, out.records.n ? "valid" : "void",
                     cases[i].valid ? "valid" : "void");
        outputs_free(&out);
    }
}

static void metadata_round_trip(void **state)
{
    (void)state;
    struct plan p, q;
    struct str s = STR_INIT;
    plan_init(&p);
    p.newest[PLAN_DECISION] = INT64_MAX;
    p.newest[PLAN_TASK] = -1;
    plan_save(&p, &s);
    plan_init(&q);
    plan_restore(&q, str_cstr(&s));
    assert_memory_equal(p.newest, q.newest, sizeof p.newest);
    str_free(&s);
}

static void undecodable(void **state)
{
    (void)state;
    struct outputs out = {.source = "/talaria/main/router/x"};
    struct plan p;
    struct err e;
    struct arena *a = arena_new(0);
    plan_init(&p);
    const struct plan_input in = {PLAN_DECISION, 5, EVENT_SERIES_DECIDED, 2, SLICE("{}")};
    assert_int_equal(plan_record(&p, &in, a, &out, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(out.records.n, 0);
    arena_free(a);
    outputs_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(validity),
        cmocka_unit_test(metadata_round_trip),
        cmocka_unit_test(undecodable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
