/* What the rules make of a series: mercure's rows 17, 18, 21, 26-34 and what goes beyond them. */
#include "testkit/testkit.h"

#include <stdlib.h>

#include "base/hash.h"
#include "desk.h"
#include "event/ids.h"
#include "event/manifest.h"

#define RULES 4

struct fanout_case {
    const char *what;
    struct config_rule rules[RULES];
    const char *forced;
    /* "name=value name=value" and so on, sorted by the order of the record */
    const char *fired, *failed, *discarded, *held, *deliveries, *tasks;
};

#define ROUTE(n, r, ...)                                                                           \
    {                                                                                              \
        .name = n, .rule = r, .targets = STRINGS(__VA_ARGS__)                                      \
    }
#define PROCESS(n, r, act)                                                                         \
    {                                                                                              \
        .name = n, .rule = r, .action = act, .modules = STRINGS("m1")                              \
    }

static const struct fanout_case *cases_all(size_t *n)
{
    static struct fanout_case cases[32];
    static const char *pacs[] = {"pacs"}, *both[] = {"pacs", "arch"}, *twice[] = {"pacs", "pacs"};
    static const char *module[] = {"m1"};
    const struct row_strings to_pacs = {pacs, 1}, to_both = {both, 2}, to_twice = {twice, 2};
    const struct row_strings m1 = {module, 1};
    size_t i = 0;
#define CASE(...) cases[i++] = (struct fanout_case){__VA_ARGS__}
    CASE("17: no rule matches", {{.name = "a", .rule = "False", .targets = to_pacs}},
         .discarded = "unmatched");
    CASE("no rules at all", {{0}}, .discarded = "unmatched");
    CASE("18: matching",
         {{.name = "a", .rule = "'THOR' in tags.SeriesDescription", .targets = to_pacs}},
         .fired = "a=route", .deliveries = "pacs(a)");
    CASE("18: not matching",
         {{.name = "a", .rule = "'HEAD' in tags.SeriesDescription", .targets = to_pacs}},
         .discarded = "unmatched");
    CASE("19: attribute in any case",
         {{.name = "a", .rule = "tags.modality == 'CT'", .targets = to_pacs}}, .fired = "a=route",
         .deliveries = "pacs(a)");
    CASE("20: absent tag is no error",
         {{.name = "a", .rule = "tags.Absent == '1'", .targets = to_pacs}},
         .discarded = "unmatched");
    CASE("21: an error beside a valid rule",
         {{.name = "bad", .rule = "1/0", .targets = to_pacs},
          {.name = "good", .rule = "True", .targets = to_pacs}},
         .fired = "good=route", .failed = "bad", .deliveries = "pacs(good)");
    CASE("26: disabled", {{.name = "a", .rule = "True", .disabled = true, .targets = to_pacs}},
         .discarded = "unmatched");
    CASE("27: fallback used",
         {{.name = "f", .rule = "True", .fallback = true, .targets = to_both},
          {.name = "a", .rule = "False", .targets = to_pacs}},
         .fired = "f=route", .deliveries = "pacs(f) arch(f)");
    CASE("27: fallback unused",
         {{.name = "f", .rule = "True", .fallback = true, .targets = to_both},
          {.name = "a", .rule = "True", .targets = to_pacs}},
         .fired = "a=route", .deliveries = "pacs(a)");
    CASE("27: fallback's own expression is false",
         {{.name = "f", .rule = "False", .fallback = true, .targets = to_both}},
         .discarded = "unmatched");
    CASE("27: a disabled fallback",
         {{.name = "f", .rule = "True", .fallback = true, .disabled = true, .targets = to_both}},
         .discarded = "unmatched");
    CASE("27: the last fallback",
         {{.name = "f", .rule = "True", .fallback = true, .targets = to_both},
          {.name = "g", .rule = "True", .fallback = true, .targets = to_pacs}},
         .fired = "g=route", .deliveries = "pacs(g)");
    CASE("28: route then discard",
         {{.name = "a", .rule = "True", .targets = to_pacs},
          {.name = "d", .rule = "True", .action = ACTION_DISCARD},
          {.name = "b", .rule = "True", .targets = to_both}},
         .fired = "d=discard", .discarded = "d");
    CASE("28: a discard that does not fire",
         {{.name = "a", .rule = "True", .targets = to_pacs},
          {.name = "d", .rule = "False", .action = ACTION_DISCARD}},
         .fired = "a=route", .deliveries = "pacs(a)");
    CASE("29: two rules, one target",
         {{.name = "a", .rule = "True", .targets = to_pacs},
          {.name = "b", .rule = "True", .targets = to_pacs}},
         .fired = "a=route b=route", .deliveries = "pacs(a,b)");
    CASE("30: one rule, two targets", {{.name = "a", .rule = "True", .targets = to_both}},
         .fired = "a=route", .deliveries = "pacs(a) arch(a)");
    CASE("a rule names a target twice", {{.name = "a", .rule = "True", .targets = to_twice}},
         .fired = "a=route", .deliveries = "pacs(a)");
    CASE("31: route and process",
         {{.name = "a", .rule = "True", .targets = to_pacs},
          {.name = "p", .rule = "True", .action = ACTION_PROCESS, .modules = m1},
          {.name = "q", .rule = "True", .action = ACTION_BOTH, .modules = m1, .targets = to_both}},
         .fired = "a=route p=process q=both", .deliveries = "pacs(a)", .tasks = "p q");
    CASE("32: notification only", {{.name = "n", .rule = "True", .action = ACTION_NOTIFICATION}},
         .fired = "n=notified");
    CASE("33: forced, disabled",
         {{.name = "a", .rule = "True", .targets = to_both},
          {.name = "x", .rule = "False", .disabled = true, .targets = to_pacs}},
         .forced = "x", .fired = "x=route", .deliveries = "pacs(x)");
    CASE("34: forced, unknown", {{.name = "a", .rule = "True", .targets = to_pacs}},
         .forced = "nobody", .failed = "nobody", .discarded = "unmatched");
    CASE("35 later: study rules are held, never lost",
         {{.name = "s", .rule = "True", .trigger = TRIGGER_STUDY, .targets = to_pacs},
          {.name = "a", .rule = "True", .targets = to_pacs}},
         .fired = "s=held a=route", .held = "s", .deliveries = "pacs(a)");
    CASE("only a study rule", {{.name = "s", .rule = "True", .trigger = TRIGGER_STUDY}},
         .fired = "s=held", .held = "s");
    CASE("3: sender and receiver",
         {{.name = "a",
           .rule = "tags.SenderAET == 'CT1' and tags.ReceiverAET == 'TALARIA' and "
                   "tags.SenderAddress == '10.0.0.7'",
           .targets = to_pacs}},
         .fired = "a=route", .deliveries = "pacs(a)");
#undef CASE
    assert_true(i <= ARRAY_LEN(cases));
    *n = i;
    return cases;
}

static void send_series(struct desk *k, const char *receipt, const char *forced)
{
    struct row_pair tags[] = {
        {"Modality", "CT"}, {"SeriesDescription", "THORAX"}, {"PatientID", "P1"}};
    desk_instance(
        k, &(struct sim_instance){.receipt = receipt, .forced_rule = forced, .tags = {tags, 3}});
    desk_tick(k, (double)(k->world.now - k->start) / 1000 + 60.5);
}

static void add(struct str *out, const char *text)
{
    str_printf(out, "%s%s", out->len ? " " : "", text);
}

static void pairs(struct str *out, const struct row_pairs *p, bool values)
{
    for (size_t i = 0; i < p->n; i++) {
        add(out, p->items[i].name);
        if (values)
            str_printf(out, "=%s", p->items[i].value);
    }
}

static void deliveries(struct str *out, const struct row_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct event_delivery_requested *x =
            rows_at(struct event_delivery_requested, list, i);
        add(out, x->target);
        str_putc(out, '(');
        for (size_t r = 0; r < x->rules.n; r++)
            str_printf(out, "%s%s", r ? "," : "", x->rules.items[r]);
        str_putc(out, ')');
    }
}

static void same(const char *what, const char *part, struct str *got, const char *want)
{
    if (strcmp(str_cstr(got), want ? want : "") != 0)
        fail_msg("%s: %s: got '%s', want '%s'", what, part, str_cstr(got), want ? want : "");
    str_free(got);
}

static void check(const struct fanout_case *c, const struct event_series_decided *s)
{
    struct str got = STR_INIT;
    pairs(&got, &s->fired, true);
    same(c->what, "fired", &got, c->fired);
    pairs(&got, &s->failed, false);
    same(c->what, "failed", &got, c->failed);
    if (s->discarded_by)
        add(&got, s->discarded_by);
    same(c->what, "discarded by", &got, c->discarded);
    for (size_t i = 0; i < s->held.n; i++)
        add(&got, rows_at(struct event_held, &s->held, i)->rule);
    same(c->what, "held", &got, c->held);
    deliveries(&got, &s->deliveries);
    same(c->what, "deliveries", &got, c->deliveries);
    for (size_t i = 0; i < s->tasks.n; i++)
        add(&got, rows_at(struct event_task_requested, &s->tasks, i)->rule);
    same(c->what, "tasks", &got, c->tasks);
}

static void rules(void **state)
{
    size_t n;
    const struct fanout_case *cases = cases_all(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct desk k;
        desk_init(&k);
        for (size_t r = 0; r < RULES && cases[i].rules[r].name; r++)
            sim_config_rule(&k.config, &cases[i].rules[r]);
        send_series(&k, "r1", cases[i].forced);
        const struct event_series_decided *s = desk_decision(&k, 0);
        if (!s)
            fail_msg("%s: not decided", cases[i].what);
        check(&cases[i], s);
        desk_free(&k);
    }
}

static void a_failed_rule_is_an_event(void **state)
{
    struct desk k;
    (void)state;
    desk_init(&k);
    sim_config_rule(&k.config, &(struct config_rule)ROUTE("bad", "1/0", "pacs"));
    send_series(&k, "r1", NULL);
    assert_int_equal(k.world.logs[SIM_EVENT].records.n, 1);
    assert_int_equal(k.world.logs[SIM_EVENT].records.items[0].type, EVENT_RULE_FAILED);
    desk_free(&k);
}

static void requests_are_whole(void **state)
{
    struct desk k;
    (void)state;
    desk_init(&k);
    sim_config_rule(&k.config, &(struct config_rule)ROUTE("a", "True", "pacs"));
    sim_config_rule(&k.config, &(struct config_rule)PROCESS("p", "True", ACTION_PROCESS));
    send_series(&k, "r1", NULL);
    const struct event_series_decided *s = desk_decision(&k, 0);
    const struct event_delivery_requested *d =
        rows_at(struct event_delivery_requested, &s->deliveries, 0);
    const struct event_task_requested *t = rows_at(struct event_task_requested, &s->tasks, 0);
    char id[HASH_ID_HEX];
    ids_delivery(id, s->decision, "pacs");
    assert_string_equal(d->delivery, id);
    assert_string_equal(d->decision, s->decision);
    assert_string_equal(d->manifest.key, s->manifest.key);
    assert_string_equal(d->manifest.sha256, s->manifest.sha256);
    assert_string_equal(d->revision, "1-000000000000");
    assert_string_equal(d->calling_ae, "CT1");
    assert_string_equal(d->peer, "10.0.0.7");
    assert_int_equal(d->members, 1);
    hash_id(id, (struct slice[]){SLICE("main"), SLICE("P1")}, 2);
    assert_string_equal(d->patient_hash, id);
    ids_task(id, s->decision, "p");
    assert_string_equal(t->task, id);
    assert_string_equal(t->manifest.key, s->manifest.key);
    assert_int_equal(t->steps.n, 1);
    assert_string_equal(rows_at(struct event_step, &t->steps, 0)->module, "m1");
    desk_free(&k);
}

static void priority_and_keep(void **state)
{
    static const struct {
        int a, b, want;
        int64_t keep_a, keep_b, keep;
    } cases[] = {
        {PRIORITY_NORMAL, PRIORITY_URGENT, PRIORITY_URGENT, 0, 0, 259200},
        {PRIORITY_OFFPEAK, PRIORITY_URGENT, PRIORITY_URGENT, 10, 20, 20},
        {PRIORITY_OFFPEAK, PRIORITY_NORMAL, PRIORITY_NORMAL, 10, 0, 259200},
        {PRIORITY_OFFPEAK, PRIORITY_OFFPEAK, PRIORITY_OFFPEAK, 999999, 0, 999999},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk k;
        desk_init(&k);
        struct config_rule a = ROUTE("a", "True", "pacs"), b = ROUTE("b", "True", "pacs");
        a.priority = cases[i].a;
        b.priority = cases[i].b;
        a.keep_seconds = cases[i].keep_a;
        b.keep_seconds = cases[i].keep_b;
        sim_config_rule(&k.config, &a);
        sim_config_rule(&k.config, &b);
        send_series(&k, "r1", NULL);
        const struct event_series_decided *s = desk_decision(&k, 0);
        assert_int_equal(rows_at(struct event_delivery_requested, &s->deliveries, 0)->priority,
                         cases[i].want);
        assert_int_equal(s->keep, cases[i].keep);
        desk_free(&k);
    }
}

/* ---- late windows ---- */

static void late_windows(void **state)
{
    static const struct {
        const char *what;
        int late;
        const char *fired, *held, *tasks;
    } cases[] = {
        {"hold", LATE_HOLD, "a=route p=held", "p", ""},
        {"again", LATE_AGAIN, "a=route p=process", "", "p"},
        {"ignore", LATE_IGNORE, "a=route p=ignored late", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk k;
        desk_init(&k);
        struct config_rule p = PROCESS("p", "True", ACTION_PROCESS);
        p.late = cases[i].late;
        sim_config_rule(&k.config, &(struct config_rule)ROUTE("a", "True", "pacs"));
        sim_config_rule(&k.config, &p);
        send_series(&k, "r1", NULL);
        send_series(&k, "r2", NULL);
        const struct fanout_case want = {.what = cases[i].what,
                                         .fired = cases[i].fired,
                                         .held = cases[i].held,
                                         .deliveries = "pacs(a)",
                                         .tasks = cases[i].tasks};
        check(&want, desk_decision(&k, 1));
        desk_free(&k);
    }
}

static struct manifest manifest_at(struct desk *k, const char *key)
{
    struct manifest m;
    struct err e;
    const struct str *bytes = world_get(&k->world, key);
    assert_non_null(bytes);
    assert_int_equal(rows_decode(&m, &manifest_table, bytes->data, bytes->len, k->kept, NULL, &e),
                     0);
    return m;
}

/* The rule fires first on the second window: nothing is late for it, and it gets the whole series,
 * even when the first decision was not read back yet. */
static void a_rule_that_fires_first_on_a_later_window_gets_all(void **state)
{
    (void)state;
    for (int hold = 0; hold <= 1; hold++) {
        struct desk k;
        desk_init(&k);
        k.hold = hold;
        struct config_rule p = PROCESS("p", "tags.Late == '1'", ACTION_PROCESS);
        sim_config_rule(&k.config, &p);
        desk_instance(&k, &(struct sim_instance){.receipt = "r1"});
        desk_tick(&k, 61);
        struct row_pair late[] = {{"Late", "1"}};
        desk_instance(&k, &(struct sim_instance){.receipt = "r2", .tags = {late, 1}});
        desk_tick(&k, 122);
        const struct event_series_decided *s = desk_decision(&k, 1);
        assert_non_null(s);
        assert_int_equal(s->tasks.n, 1);
        const struct event_task_requested *t = rows_at(struct event_task_requested, &s->tasks, 0);
        assert_string_not_equal(t->manifest.key, s->manifest.key);
        struct manifest m = manifest_at(&k, t->manifest.key);
        assert_int_equal(m.members.n, 0);
        assert_int_equal(m.parts.n, 2);
        assert_string_equal(m.parts.items[0], desk_decision(&k, 0)->manifest.key);
        assert_string_equal(m.parts.items[1], s->manifest.key);
        desk_free(&k);
    }
}

static void lateness_survives_a_fold(void **state)
{
    struct desk k;
    (void)state;
    desk_init(&k);
    struct config_rule p = PROCESS("p", "True", ACTION_BOTH);
    sim_config_rule(&k.config, &p);
    send_series(&k, "r1", NULL);
    desk_open(&k, (int64_t)k.handled);
    send_series(&k, "r2", NULL);
    const struct event_series_decided *s = desk_decision(&k, 1);
    assert_int_equal(s->held.n, 1);
    assert_int_equal(s->tasks.n, 0);
    desk_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),
        cmocka_unit_test(a_failed_rule_is_an_event),
        cmocka_unit_test(requests_are_whole),
        cmocka_unit_test(priority_and_keep),
        cmocka_unit_test(late_windows),
        cmocka_unit_test(a_rule_that_fires_first_on_a_later_window_gets_all),
        cmocka_unit_test(lateness_survives_a_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
