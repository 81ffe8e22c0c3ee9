/* plan: the requests of valid choices come out. */
#include "testkit/testkit.h"

#include "event/ids.h"
#include "router/plan/plan.h"
#include "router/sim/world.h"

struct step {
    enum event_type type;
    enum plan_journal journal;
    bool is_void;
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
    case EVENT_COMMAND_DECIDED:
        ev->note = (struct event_note){
            .command = s->id, .outcome = "refused", .text = "why", .by = "admin", .study = "1.2"};
        break;
    case EVENT_TASK_STARTED:
        ev->task_started = (struct event_task_started){s->id, 1, "o"};
        break;
    default:
        ev->claim = (struct event_claim){.owner = "o"};
    }
}

static int give(const struct step *s, struct outputs *out)
{
    struct outputs filled = {.source = "/talaria/main/router/x"};
    struct plan_made made;
    struct event ev;
    struct err e;
    body(&ev, s);
    assert_int_equal(outputs_event(&filled, "decision", 0, "k", &ev, 2, &e), 0);
    struct arena *a = arena_new(0);
    const struct plan_input in = {s->journal, s->type, s->is_void,
                                  str_slice(&filled.records.items[0].value)};
    size_t before = out->records.n;
    int rc = plan_record(&made, &in, a, out, &e);
    assert_int_equal(made.tasks + made.deliveries + made.answers, out->records.n - before);
    arena_free(a);
    outputs_free(&filled);
    return rc;
}

static void requests(void **state)
{
    (void)state;
    struct outputs out = {.source = "/talaria/main/router/x"};
    assert_int_equal(give(&(struct step){EVENT_SERIES_DECIDED, PLAN_DECISION, false, "x1"}, &out),
                     0);
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
    assert_int_equal(give(&(struct step){EVENT_TASK_FINISHED, PLAN_TASK, false, "t1"}, &out), 0);
    assert_int_equal(out.records.n, 1);
    assert_int_equal(out.records.items[0].type, EVENT_DELIVERY_REQUESTED);
    outputs_free(&out);
}

static void a_command_is_answered_with_what_it_came_to(void **state)
{
    (void)state;
    struct outputs out = {.source = "/talaria/main/router/x"};
    struct arena *a = arena_new(0);
    struct event ev;
    struct err e;
    char id[HASH_ID_HEX];
    for (int i = 0; i < 2; i++) /* read twice */
        assert_int_equal(
            give(&(struct step){EVENT_COMMAND_DECIDED, PLAN_DECISION, false, "c1"}, &out), 0);
    ids_command_decision(id, "c1", "answered");
    assert_int_equal(out.records.n, 2);
    for (int i = 0; i < 2; i++) {
        const struct output_record *r = &out.records.items[i];
        assert_string_equal(r->noun, "event");
        assert_int_equal(event_decode(&ev, r->value.data, r->value.len, a, &e), 0);
        assert_int_equal(ev.type, EVENT_COMMAND_ANSWERED);
        assert_string_equal(ev.id, id);
        assert_string_equal(ev.note.command, "c1");
        assert_string_equal(ev.note.outcome, "refused");
        assert_string_equal(ev.note.text, "why");
        assert_string_equal(ev.note.by, "admin");
        assert_string_equal(ev.note.study, "1.2");
    }
    arena_free(a);
    outputs_free(&out);
}

static void only_valid_choices_of_their_journal_ask_for_something(void **state)
{
    static const struct {
        struct step step;
        size_t want;
    } cases[] = {
        {{EVENT_SERIES_DECIDED, PLAN_DECISION, false, "x"}, 3},
        {{EVENT_SERIES_DECIDED, PLAN_DECISION, true, "x"}, 0},
        {{EVENT_SERIES_DECIDED, PLAN_TASK, false, "x"}, 0},
        {{EVENT_TASK_FINISHED, PLAN_TASK, false, "x"}, 1},
        {{EVENT_TASK_FINISHED, PLAN_TASK, true, "x"}, 0},
        {{EVENT_TASK_FINISHED, PLAN_DECISION, false, "x"}, 0},
        {{EVENT_TASK_STARTED, PLAN_TASK, false, "x"}, 0},
        {{EVENT_COMMAND_DECIDED, PLAN_DECISION, false, "c1"}, 1},
        {{EVENT_COMMAND_DECIDED, PLAN_DECISION, true, "c1"}, 0},
        {{EVENT_COMMAND_DECIDED, PLAN_TASK, false, "c1"}, 0},
        {{EVENT_CLAIM, PLAN_DECISION, false, NULL}, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outputs out = {.source = "/talaria/main/router/x"};
        assert_int_equal(give(&cases[i].step, &out), 0);
        if (out.records.n != cases[i].want)
            fail_msg("case %zu: got %zu records, want %zu", i, out.records.n, cases[i].want);
        outputs_free(&out);
    }
}

static void undecodable(void **state)
{
    (void)state;
    struct outputs out = {.source = "/talaria/main/router/x"};
    struct plan_made made;
    struct err e;
    struct arena *a = arena_new(0);
    const struct plan_input in = {PLAN_DECISION, EVENT_SERIES_DECIDED, false, SLICE("{}")};
    assert_int_equal(plan_record(&made, &in, a, &out, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(out.records.n, 0);
    arena_free(a);
    outputs_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(a_command_is_answered_with_what_it_came_to),
        cmocka_unit_test(only_valid_choices_of_their_journal_ask_for_something),
        cmocka_unit_test(undecodable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
