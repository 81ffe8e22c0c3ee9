/* command.replay and command.reroute: what they decide, what they refuse, and that they do it once. */
#include "testkit/testkit.h"

#include "desk.h"
#include "event/ids.h"
#include "event/manifest.h"

static const char *const pacs[] = {"pacs"}, *const arch[] = {"arch"}, *const module[] = {"m1"};
#define LIST(x) ((struct row_strings){(const char **)(x), ARRAY_LEN(x)})

static void add_target(struct sim_config *c, const char *name)
{
    struct row_list *t = &c->snapshot.targets;
    if (!t->items)
        t->items = arena_alloc(c->arena, 4 * sizeof(struct config_target));
    *rows_at(struct config_target, t, t->n++) = (struct config_target){.name = name};
}

static int setup(void **state)
{
    struct desk *k = mem_alloc(sizeof *k);
    desk_init(k);
    add_target(&k->config, "pacs");
    add_target(&k->config, "arch");
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct desk *k = *state;
    desk_free(k);
    mem_free(k);
    return 0;
}

static void window(struct desk *k, const char *receipt, const char *series, const char *sop)
{
    static struct row_pair tags[] = {{"Modality", "CT"}, {"PatientID", "p1"}};
    double at = (double)(k->world.now - k->start) / 1000;
    desk_instance(k, &(struct sim_instance){
                         .receipt = receipt, .series = series, .sop = sop, .tags = {tags, 2}});
    desk_tick(k, at + 61);
}

static void rule(struct desk *k, const char *name, const char *expression, int action, int late)
{
    struct config_rule r = {.name = name, .rule = expression, .action = action, .late = late};
    r.targets = action == ACTION_ROUTE ? LIST(arch) : (struct row_strings){0};
    r.modules = action == ACTION_PROCESS ? LIST(module) : (struct row_strings){0};
    sim_config_rule(&k->config, &r);
}

static void ask(struct desk *k, enum event_type type, struct event_command c)
{
    c.command = c.command ? c.command : "c1";
    c.user = "admin";
    struct event ev = {.type = type, .command = c};
    k->world.now += 10;
    (void)world_produce(&k->world, SIM_INSTANCE, &ev, -1);
    desk_run(k);
}

static const char *decision_id(struct desk *k, size_t i)
{
    return desk_decision(k, i)->decision;
}

/* What the newest command came to; "" if there is none. */
static const struct event_note *outcome(struct desk *k)
{
    static struct event ev;
    struct err e;
    struct sim_log *log = &k->world.logs[SIM_DECISION];
    ev.note = (struct event_note){.outcome = "", .text = ""};
    for (size_t i = log->records.n; i-- > 0;) {
        const struct sim_record *r = &log->records.items[i];
        if (r->type != EVENT_COMMAND_DECIDED)
            continue;
        assert_int_equal(event_decode(&ev, r->value.data, r->value.len, k->kept, &e), 0);
        break;
    }
    return &ev.note;
}

static size_t outcomes(struct desk *k)
{
    size_t n = 0;
    for (size_t i = 0; i < k->world.logs[SIM_DECISION].records.n; i++)
        n += k->world.logs[SIM_DECISION].records.items[i].type == EVENT_COMMAND_DECIDED;
    return n;
}

static const struct event_delivery_requested *delivery(const struct event_series_decided *s,
                                                       size_t i)
{
    assert_true(i < s->deliveries.n);
    return rows_at(struct event_delivery_requested, &s->deliveries, i);
}

static struct manifest manifest_at(struct desk *k, const char *key)
{
    struct manifest m;
    struct err e;
    const struct str *bytes = world_get(&k->world, key);
    assert_non_null(bytes);
    assert_int_equal(
        rows_decode(&m, &manifest_table, bytes->data, bytes->len, k->kept, NULL, &e), 0);
    return m;
}

static void a_discarded_series_is_rerouted(void **state)
{
    struct desk *k = *state;
    char id[HASH_ID_HEX], request[HASH_ID_HEX];
    window(k, "r1", NULL, NULL);
    assert_string_equal(desk_decision(k, 0)->discarded_by, "unmatched");
    const char *of[] = {decision_id(k, 0), decision_id(k, 0)}, *to[] = {"pacs", "arch", "pacs"};
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.decisions = LIST(of), .targets = LIST(to)});
    assert_string_equal(outcome(k)->outcome, "done");
    assert_string_equal(outcome(k)->text, "1.2.3: to pacs, arch");
    assert_int_equal(desk_decisions(k), 2);
    const struct event_series_decided *s = desk_decision(k, 1);
    ids_command_decision(id, "c1", "1.2.3");
    assert_string_equal(s->decision, id);
    assert_null(s->window);
    assert_string_equal(s->command, "c1");
    assert_int_equal(s->of.n, 1);
    assert_string_equal(s->of.items[0], of[0]);
    assert_string_equal(s->manifest.key, desk_decision(k, 0)->manifest.key);
    assert_null(s->discarded_by);
    assert_int_equal(s->deliveries.n, 2);
    ids_delivery(request, id, "pacs");
    assert_string_equal(delivery(s, 0)->delivery, request);
    assert_string_equal(delivery(s, 0)->manifest.sha256, desk_decision(k, 0)->manifest.sha256);
    assert_int_equal(delivery(s, 0)->members, 1);
    assert_int_equal(delivery(s, 0)->rules.n, 0);
    assert_string_equal(delivery(s, 1)->target, "arch");
}

static void a_replay_decides_by_the_rules_of_now(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    window(k, "r2", "5", NULL);
    rule(k, "new", "tags.Modality == 'CT'", ACTION_ROUTE, 0);
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    assert_int_equal(desk_decisions(k), 4);
    for (size_t i = 2; i < 4; i++) {
        const struct event_series_decided *s = desk_decision(k, i);
        assert_string_equal(delivery(s, 0)->target, "arch");
        assert_string_equal(delivery(s, 0)->rules.items[0], "new");
        assert_int_equal(s->reason, REASON_COMMAND);
    }
    assert_string_equal(outcome(k)->text, "1.2.3: rules new (route); to arch\n5: rules new (route); to arch");
}

static void only_the_named_rules_are_evaluated(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    rule(k, "a", "True", ACTION_ROUTE, 0);
    rule(k, "d", "True", ACTION_DISCARD, 0);
    const char *of[] = {decision_id(k, 0)}, *only[] = {"a"}, *wrong[] = {"a", "typo"};
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.decisions = LIST(of), .rules = LIST(only)});
    assert_int_equal(desk_decision(k, 1)->fired.n, 1);
    assert_string_equal(desk_decision(k, 1)->fired.items[0].name, "a");
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.command = "c2", .decisions = LIST(of)});
    assert_string_equal(desk_decision(k, 2)->discarded_by, "d");
    ask(k, EVENT_COMMAND_REPLAY,
        (struct event_command){.command = "c3", .decisions = LIST(of), .rules = LIST(wrong)});
    assert_int_equal(desk_decisions(k), 3);
    assert_string_equal(outcome(k)->outcome, "refused");
    assert_string_equal(outcome(k)->text, "no rule typo");
}

static void a_forced_rule_is_forced_again_unless_rules_are_named(void **state)
{
    static struct row_pair tags[] = {{"Modality", "CT"}, {"PatientID", "p1"}};
    struct desk *k = *state;
    rule(k, "a", "True", ACTION_ROUTE, 0);
    rule(k, "mine", "False", ACTION_DISCARD, 0);
    desk_instance(k, &(struct sim_instance){.receipt = "r1", .forced_rule = "mine", .tags = {tags, 2}});
    desk_tick(k, 61);
    assert_string_equal(desk_decision(k, 0)->discarded_by, "mine");
    assert_string_equal(desk_decision(k, 0)->forced_rule, "mine");
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    assert_string_equal(desk_decision(k, 1)->discarded_by, "mine");
    const char *of[] = {decision_id(k, 1)}, *named[] = {"a"};
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.command = "c2", .decisions = LIST(of)});
    assert_string_equal(desk_decision(k, 2)->discarded_by, "mine");
    ask(k, EVENT_COMMAND_REPLAY,
        (struct event_command){.command = "c3", .decisions = LIST(of), .rules = LIST(named)});
    assert_null(desk_decision(k, 3)->discarded_by);
    assert_string_equal(desk_decision(k, 3)->fired.items[0].name, "a");
}

static void a_dry_run_changes_nothing(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, "s1");
    window(k, "r2", NULL, "s2");
    rule(k, "a", "True", ACTION_ROUTE, 0);
    rule(k, "p", "True", ACTION_PROCESS, LATE_HOLD);
    size_t objects = HASH_COUNT(k->world.store);
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2", .dry_run = true});
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(HASH_COUNT(k->world.store), objects);
    assert_string_equal(outcome(k)->outcome, "done");
    assert_string_equal(outcome(k)->text, "dry run, nothing was done\n"
                                         "1.2.3: rules a (route), p (process); to arch; tasks 1");
    assert_int_equal(decide_floor(k->decide, 99), 99);
    assert_int_equal(decide_stats(k->decide).deliveries, 0);
}

/* What was held for a person runs, over the whole series. */
static void a_held_window_is_replayed(void **state)
{
    struct desk *k = *state;
    rule(k, "p", "True", ACTION_PROCESS, LATE_HOLD);
    window(k, "r1", NULL, "s1");
    window(k, "r2", NULL, "s2");
    assert_int_equal(desk_decision(k, 1)->held.n, 1);
    const char *of[] = {decision_id(k, 1)};
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.decisions = LIST(of)});
    const struct event_series_decided *s = desk_decision(k, 2);
    assert_int_equal(s->held.n, 0);
    assert_int_equal(s->tasks.n, 1);
    assert_string_equal(s->manifest.key, desk_decision(k, 1)->manifest.key);
    struct manifest m =
        manifest_at(k, rows_at(struct event_task_requested, &s->tasks, 0)->manifest.key);
    assert_int_equal(m.parts.n, 2);
    assert_string_equal(m.parts.items[0], desk_decision(k, 0)->manifest.key);
    assert_string_equal(m.parts.items[1], desk_decision(k, 1)->manifest.key);
}

/* A rule that a replay has made fire has fired: what comes later is late. */
static void what_comes_after_a_replay_is_late(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, "s1");
    rule(k, "p", "True", ACTION_PROCESS, LATE_HOLD);
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    desk_open(k, (int64_t)k->handled);
    window(k, "r2", NULL, "s2");
    assert_int_equal(desk_decision(k, 2)->addition, 2);
    assert_int_equal(desk_decision(k, 2)->held.n, 1);
}

/* Several windows of a series become one manifest: the newer content of an instance replaces the older. */
static void windows_of_a_series_become_one(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, "s1");
    window(k, "r2", NULL, "s2");
    desk_instance(k, &(struct sim_instance){.receipt = "r3", .sop = "s1", .sha256 = "other"});
    window(k, "r4", NULL, "s3");
    assert_int_equal(desk_decisions(k), 3);
    const char *of[] = {decision_id(k, 2), decision_id(k, 1), decision_id(k, 0)};
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.decisions = LIST(of), .targets = LIST(pacs)});
    assert_int_equal(desk_decisions(k), 4);
    const struct event_series_decided *s = desk_decision(k, 3);
    assert_int_equal(s->of.n, 3);
    assert_int_equal(delivery(s, 0)->members, 3);
    struct manifest m = manifest_at(k, s->manifest.key);
    static const char *const want[] = {"r3", "r2", "r4"};
    assert_int_equal(m.members.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(rows_at(struct manifest_member, &m.members, i)->receipt, want[i]);
    assert_int_equal(m.superseded.n, 1);
    assert_string_equal(rows_at(struct manifest_shadow, &m.superseded, 0)->receipt, "r1");
    assert_int_equal(rows_at(struct manifest_shadow, &m.superseded, 0)->of, 0);

    /* beside a decision by command, whose members are older or the same */
    const char *both[] = {decision_id(k, 2), decision_id(k, 3)};
    ask(k, EVENT_COMMAND_REROUTE,
        (struct event_command){.command = "c2", .decisions = LIST(both), .targets = LIST(pacs)});
    m = manifest_at(k, desk_decision(k, 4)->manifest.key);
    assert_int_equal(m.members.n, 3);
    assert_int_equal(m.superseded.n, 1);
    assert_int_equal(m.duplicate.n, 0);
}

struct refusal {
    const char *what, *text;
    enum event_type type;
    bool nothing, of_other_study, original;
    const char *decision, *target, *configuration;
};

static void refusals(void **state)
{
    static const struct refusal cases[] = {
        {"unknown", "decision 00112233445566778899aabbccddeeff is not in the log",
         EVENT_COMMAND_REROUTE, .decision = "00112233445566778899aabbccddeeff", .target = "pacs"},
        {"no such target", "no target typo", EVENT_COMMAND_REROUTE, .target = "typo"},
        {"two studies", "several studies", EVENT_COMMAND_REROUTE, .target = "pacs",
         .of_other_study = true},
        {"nothing named", "no decision", EVENT_COMMAND_REPLAY, .nothing = true},
        {"a configuration of no meaning", "current or original", EVENT_COMMAND_REPLAY,
         .configuration = "newest"},
        {"a revision that is gone", "configuration 1-000000000000 is not in the store",
         EVENT_COMMAND_REPLAY, .configuration = "original"},
    };
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    desk_instance(k, &(struct sim_instance){.receipt = "x1", .study = "7", .series = "7.1"});
    desk_tick(k, 200);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct refusal *c = &cases[i];
        const char *of[] = {c->decision ? c->decision : decision_id(k, 0), decision_id(k, 1)};
        const char *to[] = {c->target};
        char command[16];
        snprintf(command, sizeof command, "c%zu", i);
        struct event_command x = {.command = command, .configuration = c->configuration};
        x.decisions = (struct row_strings){of, c->nothing ? 0 : c->of_other_study ? 2 : 1};
        x.targets = (struct row_strings){to, c->target != NULL};
        ask(k, c->type, x);
        if (strcmp(outcome(k)->outcome, "refused") != 0 || !strstr(outcome(k)->text, c->text))
            fail_msg("%s: %s: %s", c->what, outcome(k)->outcome, outcome(k)->text);
        assert_string_equal(outcome(k)->command, command);
        assert_int_equal(desk_decisions(k), 2);
    }
    const char *of[] = {decision_id(k, 0)};
    k->expired = true;
    ask(k, EVENT_COMMAND_REROUTE,
        (struct event_command){.command = "old", .decisions = LIST(of), .targets = LIST(pacs)});
    assert_non_null(strstr(outcome(k)->text, "cannot be read any more"));
}

/* It is read again after a crash or a restart, as long as an older window is open. */
static void a_command_that_did_nothing_still_does_nothing_when_it_is_read_again(void **state)
{
    struct desk *k = *state;
    const char *new[] = {"new"};
    window(k, "r1", NULL, NULL);
    const char *of[] = {decision_id(k, 0)};
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.decisions = LIST(of), .targets = LIST(new)});
    assert_string_equal(outcome(k)->text, "no target new");
    ask(k, EVENT_COMMAND_REPLAY,
        (struct event_command){.command = "dry", .study = "1.2", .dry_run = true});
    char *dry = arena_strdup(k->kept, outcome(k)->text);
    add_target(&k->config, "new");
    rule(k, "a", "True", ACTION_ROUTE, 0);
    desk_open(k, 0);
    desk_run(k);
    assert_int_equal(outcomes(k), 2);
    assert_string_equal(outcome(k)->outcome, "done");
    assert_string_equal(outcome(k)->text, dry);
    assert_int_equal(desk_decisions(k), 1);
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.decisions = LIST(of), .targets = LIST(new)});
    assert_int_equal(outcomes(k), 2);
    assert_int_equal(desk_decisions(k), 1);
    ask(k, EVENT_COMMAND_REROUTE,
        (struct event_command){.command = "c2", .decisions = LIST(of), .targets = LIST(new)});
    assert_string_equal(outcome(k)->outcome, "done");
    assert_int_equal(desk_decisions(k), 2);
}

static void the_original_configuration(void **state)
{
    struct desk *k = *state;
    struct sim_config original;
    sim_config_init(&original, "1-000000000000");
    struct config_rule r = {.name = "was", .rule = "True", .targets = LIST(pacs)};
    sim_config_rule(&original, &r);
    k->original = &original;
    window(k, "r1", NULL, NULL);
    str_copy(k->config.snapshot.revision, sizeof k->config.snapshot.revision, "2-111111111111");
    rule(k, "is", "True", ACTION_ROUTE, 0);
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2", .configuration = "original"});
    assert_string_equal(desk_decision(k, 1)->fired.items[0].name, "was");
    assert_string_equal(desk_decision(k, 1)->revision, "1-000000000000");
    sim_config_free(&original);
}

/* Rules that see less than they saw might send images where nobody wanted them. */
static void tags_that_were_cut_are_not_judged(void **state)
{
    struct desk *k = *state;
    struct row_pair cut[] = {{"Modality", "CT"}, {"TagsCut", "StudyDescription"}};
    desk_instance(k, &(struct sim_instance){.receipt = "r1", .tags = {cut, 2}});
    desk_tick(k, 61);
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    assert_string_equal(outcome(k)->outcome, "refused");
    assert_non_null(strstr(outcome(k)->text, "does not hold all tags"));
}

/* Read again after a crash: what is in the log stands, the rest is done. */
static void a_command_acts_once(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    window(k, "r2", "5", NULL);
    rule(k, "a", "True", ACTION_ROUTE, 0);
    int64_t at = (int64_t)k->handled;
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    assert_int_equal(desk_decisions(k), 4);
    desk_open(k, at);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 4);
    assert_int_equal(outcomes(k), 1);
    assert_string_equal(outcome(k)->text,
                        "1.2.3: rules a (route); to arch\n5: rules a (route); to arch");

    world_cut(&k->world, SIM_DECISION, k->world.logs[SIM_DECISION].records.n - 3);
    assert_int_equal(desk_decisions(k), 3); /* the crash came between the two */
    window(k, "r9", "9", NULL);             /* decided later: not what was asked for */
    desk_open(k, at);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 5);
    assert_string_equal(desk_decision(k, 4)->series, "5");
    assert_string_equal(outcome(k)->text, "1.2.3: done before\n5: rules a (route); to arch");
}

/* The configuration has changed between a crash, between two decisions, and the next try. */
static void a_command_that_cannot_be_ended_says_that_it_has_begun(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    window(k, "r2", "5", NULL);
    int64_t at = (int64_t)k->handled;
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.study = "1.2", .targets = LIST(arch)});
    world_cut(&k->world, SIM_DECISION, k->world.logs[SIM_DECISION].records.n - 2);
    assert_int_equal(desk_decisions(k), 3);
    k->config.snapshot.targets.n--;
    desk_open(k, at);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 3);
    assert_string_equal(outcome(k)->outcome, "failed");
    assert_string_equal(outcome(k)->text, "a part was done before; the rest was not: no target arch");
    k->config.snapshot.targets.n++;
    desk_open(k, at);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 3);
    assert_int_equal(outcomes(k), 1);
}

/* A client that had no answer tries again with the same id, at once. */
static void a_command_that_is_given_twice_acts_once(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    k->hold = true;
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.study = "1.2", .targets = LIST(arch)});
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.study = "1.2", .targets = LIST(arch)});
    assert_int_equal(desk_decisions(k), 2);
    k->hold = false;
    desk_read_back(k);
    desk_run(k);
    assert_int_equal(k->handled, k->world.logs[SIM_INSTANCE].records.n);
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(outcomes(k), 1);
}

/* `instance` loses its end, the journal does not: another record gets the offset of a command that has its
 * outcome, and the command is given again. */
static void what_takes_the_offset_of_a_lost_command_is_worked(void **state)
{
    struct desk *k = *state;
    const char *new[] = {"new"};
    window(k, "r1", NULL, NULL);
    size_t at = k->handled;
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.study = "1.2", .targets = LIST(new)});
    assert_string_equal(outcome(k)->outcome, "refused");
    world_cut(&k->world, SIM_INSTANCE, at);
    desk_open(k, (int64_t)at);
    add_target(&k->config, "new");
    desk_instance(k, &(struct sim_instance){.receipt = "r2", .series = "5"});
    assert_int_equal(decide_floor(k->decide, (int64_t)k->handled), at);
    ask(k, EVENT_COMMAND_REROUTE, (struct event_command){.study = "1.2", .targets = LIST(new)});
    desk_tick(k, 300);
    assert_string_equal(desk_decision(k, 1)->series, "5");
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(outcomes(k), 1);
    assert_int_equal(decide_floor(k->decide, (int64_t)k->handled), k->handled);
}

/* The floor stays at the command until its decision was read back and is valid. */
static void the_floor_waits_for_the_decision(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    int64_t at = (int64_t)k->handled;
    k->hold = true;
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(decide_floor(k->decide, at + 1), at);
    k->hold = false;
    desk_read_back(k);
    assert_int_equal(decide_floor(k->decide, at + 1), at + 1);
}

static void what_cannot_be_read_now_is_asked_again(void **state)
{
    struct desk *k = *state;
    window(k, "r1", NULL, NULL);
    k->unreadable = true;
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.study = "1.2"});
    assert_int_equal(desk_decisions(k), 1);
    assert_int_equal(outcomes(k), 0);
    k->unreadable = false;
    desk_run(k);
    assert_int_equal(desk_decisions(k), 2);

    k->hold = true; /* a window that is decided and was not read back yet */
    window(k, "r2", "5", NULL);
    ask(k, EVENT_COMMAND_REPLAY, (struct event_command){.command = "c2", .study = "1.2"});
    assert_int_equal(outcomes(k), 1);
    k->hold = false;
    desk_read_back(k);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 5);
    assert_int_equal(outcomes(k), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_discarded_series_is_rerouted),
        TEST(a_replay_decides_by_the_rules_of_now),
        TEST(only_the_named_rules_are_evaluated),
        TEST(a_forced_rule_is_forced_again_unless_rules_are_named),
        TEST(a_dry_run_changes_nothing),
        TEST(a_held_window_is_replayed),
        TEST(what_comes_after_a_replay_is_late),
        TEST(windows_of_a_series_become_one),
        TEST(refusals),
        TEST(a_command_that_did_nothing_still_does_nothing_when_it_is_read_again),
        TEST(the_original_configuration),
        TEST(tags_that_were_cut_are_not_judged),
        TEST(a_command_acts_once),
        TEST(a_command_that_cannot_be_ended_says_that_it_has_begun),
        TEST(a_command_that_is_given_twice_acts_once),
        TEST(what_takes_the_offset_of_a_lost_command_is_worked),
        TEST(the_floor_waits_for_the_decision),
        TEST(what_cannot_be_read_now_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
