/* Windows, timers, validity and manifests of decide. Times are seconds of log time. */
#include "testkit/testkit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "desk.h"
#include "event/manifest.h"

static int setup(void **state)
{
    struct desk *k = mem_alloc(sizeof *k);
    desk_init(k);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    desk_free(*state);
    mem_free(*state);
    return 0;
}

static void stored(struct desk *k, double at, const char *receipt)
{
    desk_at(k, at);
    desk_instance(k,
                  &(struct sim_instance){.receipt = receipt, .association = "a1", .source = "ct"});
}

static void stored_by(struct desk *k, double at, const char *receipt, const char *association)
{
    desk_at(k, at);
    desk_instance(
        k, &(struct sim_instance){.receipt = receipt, .association = association, .source = "ct"});
}

static void ended(struct desk *k, double at, const char *association, int outcome, int64_t n)
{
    const struct event_series_count count = {"1.2.3", n};
    desk_at(k, at);
    (void)world_ended(&k->world, association, "1.2", outcome, &count, 1);
    desk_run(k);
}

static void source(struct desk *k, int completion)
{
    sim_config_source(&k->config, &(struct config_source){.name = "ct",
                                                          .accept = true,
                                                          .completion = completion,
                                                          .grace_seconds = -1});
}

static struct manifest manifest_of(struct desk *k, const struct event_series_decided *s)
{
    struct manifest m;
    struct err e;
    const struct str *bytes = world_get(&k->world, s->manifest.key);
    assert_non_null(bytes);
    assert_int_equal(rows_decode(&m, &manifest_table, bytes->data, bytes->len, k->kept, NULL, &e),
                     0);
    char sha[HASH_SHA256_HEX];
    hash_sha256_hex(sha, bytes->data, bytes->len);
    assert_string_equal(sha, s->manifest.sha256);
    return m;
}

static double closed_after(struct desk *k, const struct event_series_decided *s)
{
    return (double)(clock_parse_rfc3339(s->closed_at) - k->start) / 1000;
}

/* mercure row 15: quiet for 60 s, decided once; row 16: a new file at 59 s keeps it open. */
static void quiet_closes_once(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    stored(k, 59, "r2");
    assert_false(desk_tick(k, 61));
    assert_int_equal(desk_decisions(k), 0);
    assert_false(desk_tick(k, 119));
    assert_true(desk_tick(k, 119.05));
    assert_int_equal(desk_decisions(k), 1);
    const struct event_series_decided *s = desk_decision(k, 0);
    assert_int_equal(s->reason, REASON_QUIET);
    assert_int_equal(s->window->first, 0);
    assert_int_equal(k->world.logs[SIM_INSTANCE].records.items[s->window->last].type,
                     EVENT_INSTANCE_STORED);
    assert_string_equal(s->window->last_receipt, "r2");
    assert_int_equal(s->window->n, 2);
    assert_int_equal(s->window->bytes, 200);
    assert_int_equal(s->addition, 1);
    assert_true(closed_after(k, s) > 119.04 && closed_after(k, s) < 119.06);
    assert_true(s->waited > 60.04 && s->waited < 60.06);
    assert_false(desk_tick(k, 500));
    assert_int_equal(desk_decisions(k), 1);
}

static void timers_fire_on_records_only(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    desk_at(k, 60); /* exactly due: not past it */
    desk_instance(k, &(struct sim_instance){.receipt = "x1", .series = "9"});
    assert_int_equal(desk_decisions(k), 0);
    desk_at(k, 60.001);
    desk_instance(k, &(struct sim_instance){.receipt = "x2", .series = "9"});
    assert_int_equal(desk_decisions(k), 1);
    assert_string_equal(desk_decision(k, 0)->series, "1.2.3");
}

static void tick_needs_the_end_of_the_log(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    decide_tick(k->decide, k->start + 61000, false, &k->out);
    assert_int_equal(k->out.records.n, 0);
    decide_tick(k->decide, k->start + 61000, true, &k->out);
    assert_int_equal(k->out.records.n, 1);
    assert_int_equal(k->out.records.items[0].partition, 0);
    assert_string_equal(k->out.records.items[0].noun, "instance");
    decide_tick(k->decide, k->start + 62000, true, &k->out); /* one is in flight */
    assert_int_equal(k->out.records.n, 1);
}

/* A log that was closed longer than the quiet time never splits a series. */
static void outage_starts_anew(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    k->away = true;
    stored(k, 500, "r2"); /* from the outbox, after an outage */
    k->away = false;
    assert_int_equal(desk_decisions(k), 0);
    desk_tick(k, 561);
    assert_int_equal(desk_decisions(k), 1);
    assert_int_equal(desk_decision(k, 0)->window->n, 2);
}

static void nobody_at_work_starts_anew(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    k->away = true;
    desk_tick(k, 300); /* the first worker after a night */
    k->away = false;
    assert_int_equal(desk_decisions(k), 0);
    desk_tick(k, 360.5);
    assert_int_equal(desk_decisions(k), 1);
}

/* However an outage lies to the due time of a series (60): what the receivers took in meanwhile
 * comes to its window, which closes by a quiet time that saw the log open. */
static void an_outage_near_the_due_time_splits_no_series(void **state)
{
    static const struct {
        const char *what;
        double from, to, due;
    } cases[] = {
        {"over before it is soon due", 5, 44, 60},
        {"ends before the due time", 5, 55, 115},
        {"ends with the due time", 5, 60, 120},
        {"ends just after it", 5, 60.1, 120.1},
        {"begins shortly before the due time, ends after it", 56, 61, 121},
        {"much later", 5, 500, 560},
        {"too short to be seen", 50, 53, 60},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk k;
        desk_init(&k);
        stored(&k, 0, "r1");
        desk_at(&k, cases[i].from);
        k.away = true;
        desk_tick(&k, cases[i].to);
        k.away = false;
        desk_tick(&k, cases[i].due);
        if (desk_decisions(&k) != 0)
            fail_msg("%s: decided too early", cases[i].what);
        desk_tick(&k, cases[i].due + 0.2);
        if (desk_decisions(&k) != 1)
            fail_msg("%s: not decided in time", cases[i].what);
        desk_free(&k);
    }
}

static void a_busy_log_shows_by_itself_that_it_is_open(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    for (double at = 0.5; at < 70; at += 0.5) {
        char receipt[16];
        snprintf(receipt, sizeof receipt, "x%d", (int)(at * 2));
        desk_at(k, at);
        desk_instance(k, &(struct sim_instance){.receipt = receipt, .series = "9"});
    }
    assert_int_equal(desk_decisions(k), 1);
    assert_int_equal(decide_stats(k->decide).ticks, 0);
}

static void an_idle_log_gets_few_ticks(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    desk_at(k, 40);
    assert_int_equal(decide_stats(k->decide).ticks, 0);
    desk_tick(k, 60.5);
    assert_int_equal(desk_decisions(k), 1);
    assert_in_range(decide_stats(k->decide).ticks, 15, 21);
    desk_tick(k, 500); /* nothing is open: no tick */
    assert_in_range(decide_stats(k->decide).ticks, 15, 21);
}

static void release_closes_after_grace(void **state)
{
    struct desk *k = *state;
    source(k, COMPLETION_RELEASE);
    stored(k, 0, "r1");
    stored(k, 1, "r2");
    ended(k, 1.5, "a1", ASSOCIATION_RELEASED, 2);
    assert_false(desk_tick(k, 3.5));
    assert_true(desk_tick(k, 3.6));
    assert_int_equal(desk_decisions(k), 1);
    assert_int_equal(desk_decision(k, 0)->reason, REASON_RELEASED);
}

static void a_new_instance_takes_the_evidence_back(void **state)
{
    struct desk *k = *state;
    source(k, COMPLETION_RELEASE);
    stored(k, 0, "r1");
    stored(k, 1, "r2");
    ended(k, 1.5, "a1", ASSOCIATION_RELEASED, 2);
    stored_by(k, 3, "r3", "a2");
    desk_tick(k, 5);
    assert_int_equal(desk_decisions(k), 0);
    ended(k, 6, "a2", ASSOCIATION_RELEASED, 1);
    desk_tick(k, 8.5);
    assert_int_equal(desk_decisions(k), 1);
    assert_int_equal(desk_decision(k, 0)->window->n, 3);
}

static void no_evidence_means_quiet(void **state)
{
    static const struct {
        const char *what;
        int completion, outcome;
        int64_t n, answered;
    } cases[] = {
        {"aborted", COMPLETION_RELEASE, ASSOCIATION_ABORTED, 2, 2},
        {"lost", COMPLETION_RELEASE, ASSOCIATION_LOST, 2, 2},
        {"counts differ: more answered", COMPLETION_RELEASE, ASSOCIATION_RELEASED, 2, 3},
        {"counts differ: fewer answered", COMPLETION_RELEASE, ASSOCIATION_RELEASED, 2, 1},
        {"a single instance", COMPLETION_RELEASE, ASSOCIATION_RELEASED, 1, 1},
        {"the source says quiet", COMPLETION_QUIET, ASSOCIATION_RELEASED, 2, 2},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk k;
        desk_init(&k);
        source(&k, cases[i].completion);
        for (int64_t n = 0; n < cases[i].n; n++)
            stored(&k, (double)n / 10, n ? "r2" : "r1");
        ended(&k, 1, "a1", cases[i].outcome, cases[i].answered);
        desk_tick(&k, 20);
        if (desk_decisions(&k) != 0)
            fail_msg("%s: decided by evidence", cases[i].what);
        desk_tick(&k, 60.5);
        if (desk_decisions(&k) != 1 || desk_decision(&k, 0)->reason != REASON_QUIET)
            fail_msg("%s: not decided by the quiet time", cases[i].what);
        desk_free(&k);
    }
}

static void open_association_keeps_open(void **state)
{
    struct desk *k = *state;
    struct event alive = {.type = EVENT_ASSOCIATION_ALIVE,
                          .subject = "1.2",
                          .alive = {.association = "a1", .studies = STRINGS("1.2")}};
    source(k, COMPLETION_OPEN_ASSOCIATION);
    stored(k, 0, "r1");
    for (int minute = 1; minute <= 5; minute++) {
        desk_at(k, minute * 60);
        (void)world_produce(&k->world, SIM_INSTANCE, &alive, -1);
        desk_run(k);
        desk_tick(k, minute * 60 + 30);
    }
    assert_int_equal(desk_decisions(k), 0);
    ended(k, 310, "a1", ASSOCIATION_RELEASED, 1);
    desk_tick(k, 310.1);
    assert_int_equal(desk_decisions(k), 1);
}

static void silent_association_counts_as_lost(void **state)
{
    struct desk *k = *state;
    source(k, COMPLETION_OPEN_ASSOCIATION);
    stored(k, 0, "r1");
    desk_tick(k, 179);
    assert_int_equal(desk_decisions(k), 0);
    desk_tick(k, 180.1);
    assert_int_equal(desk_decisions(k), 1);
}

static void source_has_its_own_quiet_time(void **state)
{
    struct desk *k = *state;
    sim_config_source(
        &k->config, &(struct config_source){.name = "ct", .quiet_seconds = 5, .grace_seconds = -1});
    sim_config_source(&k->config, &(struct config_source){
                                      .name = "slow", .quiet_seconds = 100, .grace_seconds = -1});
    stored(k, 0, "r1");
    desk_at(k, 1);
    desk_instance(k, &(struct sim_instance){.receipt = "r2", .association = "b", .source = "slow"});
    desk_tick(k, 62);
    assert_int_equal(desk_decisions(k), 0); /* the longest of its sources */
    desk_tick(k, 101.5);
    assert_int_equal(desk_decisions(k), 1);
}

static void command(struct desk *k, const char *study, const char *series)
{
    struct event ev = {.type = EVENT_COMMAND_COMPLETE,
                       .command = {.command = "c1", .user = "u", .study = study, .series = series}};
    (void)world_produce(&k->world, SIM_INSTANCE, &ev, -1);
    desk_run(k);
}

static void command_closes(void **state)
{
    static const struct {
        const char *study, *series, *text;
        size_t decisions;
    } cases[] = {
        {"1.2", NULL, "closed", 2},
        {"1.2", "1.2.3", "closed", 1},
        {"1.2", "7", "nothing was open", 0},
        {"1", NULL, "nothing was open", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk k;
        desk_init(&k);
        stored(&k, 0, "r1");
        desk_instance(&k, &(struct sim_instance){.receipt = "r2", .series = "4"});
        command(&k, cases[i].study, cases[i].series);
        assert_int_equal(desk_decisions(&k), cases[i].decisions);
        for (size_t n = 0; n < cases[i].decisions; n++) {
            assert_int_equal(desk_decision(&k, n)->reason, REASON_COMMAND);
            assert_string_equal(desk_decision(&k, n)->command, "c1");
            assert_non_null(desk_decision(&k, n)->window);
        }
        struct sim_log *events = &k.world.logs[SIM_EVENT];
        assert_int_equal(events->records.n, 1);
        assert_non_null(strstr(events->records.items[0].value.data, cases[i].text));
        desk_free(&k);
    }
}

static void caps(void **state)
{
    struct desk *k = *state;
    k->config.snapshot.defaults.cap_instances = 3;
    k->config.snapshot.defaults.cap_seconds = 100;
    for (int i = 0; i < 4; i++) {
        char receipt[16];
        snprintf(receipt, sizeof receipt, "r%d", i);
        stored(k, i, receipt);
    }
    assert_int_equal(desk_decisions(k), 1); /* the fourth opens another window */
    assert_int_equal(desk_decision(k, 0)->reason, REASON_CAP);
    assert_int_equal(desk_decision(k, 0)->window->n, 3);
    stored(k, 50, "r5");
    stored(k, 103.5, "r6"); /* the second window is 100.5 s old now: the cap, not an outage */
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(desk_decision(k, 1)->reason, REASON_CAP);
    assert_int_equal(desk_decision(k, 1)->window->n, 2);
    assert_int_equal(desk_decision(k, 1)->addition, 2);
}

static void a_receipt_is_in_a_window_once(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    stored(k, 1, "r2");
    stored(k, 30, "r1"); /* the late original beside its outbox copy */
    desk_tick(k, 61.5);
    const struct event_series_decided *s = desk_decision(k, 0);
    assert_non_null(s);
    assert_int_equal(s->window->n, 2);
    assert_int_equal(s->window->last, 2);
    assert_string_equal(s->window->last_receipt, "r1");
    assert_int_equal(manifest_of(k, s).members.n, 2);
}

/* The next record is passed by, as the skeleton does with what is poison. */
static void pass_by(struct desk *k)
{
    const struct sim_record *r = &k->world.logs[SIM_INSTANCE].records.items[k->handled++];
    const struct decide_input in = {r->offset,          r->timestamp,        r->type,
                                    slice_of(r->study), slice_of(r->series), str_slice(&r->value)};
    decide_leave_out(k->decide, &in);
}

static void what_nobody_can_work_is_named_by_its_series(void **state)
{
    struct desk *k = *state;
    int64_t offset;
    assert_null(decide_named(k->decide, &offset));
    stored(k, 0, "r1");
    const struct sim_instance poison = {.receipt = "00000000000000ff"};
    (void)world_instance(&k->world, &poison);
    pass_by(k);
    stored(k, 1, "r2");
    desk_tick(k, 62);
    const struct event_series_decided *s = desk_decision(k, 0);
    assert_non_null(s);
    assert_int_equal(s->window->n, 2);
    assert_int_equal(s->left_out.n, 1);
    assert_string_equal(s->left_out.items[0], "00000000000000ff");
    assert_string_equal(decide_named(k->decide, &offset), "r2");
    assert_int_equal(offset, 2);
    stored(k, 100, "r3");
    desk_tick(k, 162);
    assert_int_equal(desk_decision(k, 1)->left_out.n, 0);
    assert_string_equal(decide_named(k->decide, &offset), "r3");
    k->handled = 1; /* replayed after a crash: the decision has said it */
    pass_by(k);
    stored(k, 200, "r4");
    desk_tick(k, 262);
    assert_int_equal(desk_decision(k, 2)->left_out.n, 0);
}

static void receipts_of_earlier_windows_are_left_out(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    desk_tick(k, 61);
    stored(k, 100, "r1");
    stored(k, 101, "r2");
    desk_tick(k, 162);
    const struct event_series_decided *s = desk_decision(k, 1);
    assert_non_null(s);
    assert_int_equal(s->addition, 2);
    assert_int_equal(s->window->n, 1);
    struct manifest m = manifest_of(k, s);
    assert_int_equal(m.members.n, 1);
    assert_string_equal(rows_at(struct manifest_member, &m.members, 0)->receipt, "r2");
    stored(k, 200, "r1");
    stored(k, 201, "r2");
    desk_tick(k, 262); /* nothing left: no decision */
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(decide_stats(k->decide).dropped, 1);
    assert_int_equal(decide_floor(k->decide, 99), 99);
}

static void an_unreadable_manifest_changes_nothing(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    desk_tick(k, 61);
    stored(k, 100, "r2");
    k->unreadable = true;
    desk_tick(k, 161);
    size_t at = k->handled;
    assert_int_equal(desk_handle_one(k), DECIDE_RETRY);
    assert_int_equal(desk_handle_one(k), DECIDE_RETRY);
    assert_int_equal(k->handled, at);
    assert_int_equal(desk_decisions(k), 1);
    k->unreadable = false;
    assert_int_equal(desk_handle_one(k), DECIDE_DONE);
    assert_int_equal(desk_decisions(k), 2);
}

/* Same content twice: one member; other content of the same SOP UID: the newest. */
static void members(void **state)
{
    static const struct {
        const char *what;
        struct {
            const char *receipt, *sop, *content, *flag, *received_at;
        } in[4];
        const char *members, *duplicate, *superseded;
    } cases[] = {
        {"distinct", {{"r1", "1", "x"}, {"r2", "2", "y"}}, "r1 r2", "", ""},
        {"same content", {{"r1", "1", "x"}, {"r2", "1", "x"}, {"r3", "2", "z"}}, "r2 r3", "r1", ""},
        {"other content", {{"r1", "1", "x"}, {"r2", "1", "y"}}, "r2", "", "r1"},
        {"both", {{"r1", "1", "x"}, {"r2", "1", "y"}, {"r3", "1", "x"}}, "r3", "r1", "r2"},
        {"again: by received at",
         {{"r1", "1", "x", NULL, "2026-08-01T10:00:00.000Z"},
          {"r2", "1", "y", "again", "2026-08-01T09:00:00.000Z"}},
         "r1",
         "",
         "r2"},
        {"not again: by offset",
         {{"r1", "1", "x", NULL, "2026-08-01T10:00:00.000Z"},
          {"r2", "1", "y", NULL, "2026-08-01T09:00:00.000Z"}},
         "r2",
         "",
         "r1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk k;
        desk_init(&k);
        for (size_t n = 0; n < 4 && cases[i].in[n].receipt; n++)
            desk_instance(&k, &(struct sim_instance){.receipt = cases[i].in[n].receipt,
                                                     .sop = cases[i].in[n].sop,
                                                     .sha256 = cases[i].in[n].content,
                                                     .flag = cases[i].in[n].flag,
                                                     .received_at = cases[i].in[n].received_at});
        desk_tick(&k, 61);
        struct manifest m = manifest_of(&k, desk_decision(&k, 0));
        const struct {
            const char *what, *want;
            const struct row_list *list;
            size_t size, at;
        } lists[] = {
            {"members", cases[i].members, &m.members, sizeof(struct manifest_member),
             offsetof(struct manifest_member, receipt)},
            {"duplicate", cases[i].duplicate, &m.duplicate, sizeof(struct manifest_shadow),
             offsetof(struct manifest_shadow, receipt)},
            {"superseded", cases[i].superseded, &m.superseded, sizeof(struct manifest_shadow),
             offsetof(struct manifest_shadow, receipt)},
        };
        for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
            struct str got = STR_INIT;
            for (size_t n = 0; n < lists[l].list->n; n++) {
                const char *item = (char *)lists[l].list->items + n * lists[l].size;
                str_printf(&got, "%s%s", n ? " " : "", *(const char *const *)(item + lists[l].at));
            }
            if (strcmp(str_cstr(&got), lists[l].want) != 0)
                fail_msg("%s: %s: got %s, want %s", cases[i].what, lists[l].what, str_cstr(&got),
                         lists[l].want);
            str_free(&got);
        }
        desk_free(&k);
    }
}

static void tags_of_the_lowest_offset(void **state)
{
    struct desk *k = *state;
    struct row_pair first[] = {{"Modality", "CT"}, {"InstanceNumber", "1"}, {"Gone", "x"}};
    struct row_pair second[] = {{"InstanceNumber", "2"}, {"Modality", "CT"}, {"New", "y"}};
    desk_instance(k, &(struct sim_instance){.receipt = "r1", .tags = {first, 3}});
    desk_instance(k, &(struct sim_instance){.receipt = "r2", .tags = {second, 3}});
    desk_instance(k, &(struct sim_instance){.receipt = "r2", .tags = {second, 1}});
    desk_tick(k, 61);
    const struct event_series_decided *s = desk_decision(k, 0);
    assert_int_equal(s->tags.n, 3);
    assert_string_equal(s->tags.items[1].value, "1");
    assert_int_equal(s->conflicting.n, 3);
    assert_string_equal(s->conflicting.items[0], "InstanceNumber");
    assert_string_equal(s->conflicting.items[1], "Gone");
    assert_string_equal(s->conflicting.items[2], "New");
}

static void padded_uids_are_one_series(void **state)
{
    struct desk *k = *state;
    desk_instance(k, &(struct sim_instance){.receipt = "r1", .series = "1.2.3 "});
    desk_instance(k, &(struct sim_instance){.receipt = "r2", .series = " 1.2.3"});
    desk_tick(k, 61);
    assert_int_equal(desk_decisions(k), 1);
    assert_string_equal(desk_decision(k, 0)->series, "1.2.3");
    assert_int_equal(desk_decision(k, 0)->window->n, 2);
}

/* ---- floor, read-back, fold ---- */

static void floor_follows_what_is_read_back(void **state)
{
    struct desk *k = *state;
    k->hold = true;
    desk_instance(k, &(struct sim_instance){.receipt = "x", .series = "9"});
    command(k, "1.2", "9");
    stored(k, 1, "r1");
    assert_int_equal(decide_floor(k->decide, 3), 0); /* written, not read back */
    desk_read_back(k);
    assert_int_equal(decide_floor(k->decide, 3), 2);
    desk_tick(k, 62);
    stored(k, 63, "r2"); /* the series goes on while its first window is closing */
    assert_int_equal(decide_floor(k->decide, (int64_t)k->handled), 2);
    desk_read_back(k);
    assert_int_equal(decide_floor(k->decide, 500), k->handled - 1);
    assert_int_equal(decide_stats(k->decide).closing, 0);
}

static void additions_count_what_is_closing(void **state)
{
    struct desk *k = *state;
    k->hold = true;
    stored(k, 0, "r1");
    desk_tick(k, 61);
    stored(k, 62, "r1");
    stored(k, 63, "r2");
    desk_tick(k, 124);
    const struct event_series_decided *s = desk_decision(k, 1);
    assert_non_null(s);
    assert_int_equal(s->addition, 2);
    assert_int_equal(s->window->n, 1); /* r1 stands in the window that is closing */
}

static void fold_skips_what_is_covered(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    stored(k, 1, "r2");
    desk_tick(k, 61.5);
    stored(k, 100, "r3");
    size_t third = k->handled - 1;
    desk_open(k, 0);
    desk_run(k);
    assert_int_equal(decide_stats(k->decide).skipped, 2);
    desk_tick(k, 161);
    assert_int_equal(desk_decisions(k), 2);
    assert_int_equal(desk_decision(k, 1)->window->first, third);
    assert_int_equal(desk_decision(k, 1)->addition, 2);
}

static void repeats_give_the_same_id(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    stored(k, 1, "r2");
    k->hold = true;
    desk_tick(k, 61.5);
    (void)world_claim(&k->world,
                      SIM_DECISION); /* a zombie's claim: what follows is void for ours */
    const char *id = desk_decision(k, 0)->decision;
    /* the same again, as if the decision had never been written */
    k->world.logs[SIM_DECISION].records.n = 1;
    struct sim_record *cut = k->world.logs[SIM_DECISION].records.items;
    for (int i = 1; i <= 2; i++) {
        mem_free(cut[i].key);
        mem_free(cut[i].study);
        mem_free(cut[i].series);
        str_free(&cut[i].value);
    }
    desk_open(k, 0);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 1);
    assert_string_equal(desk_decision(k, 0)->decision, id);
}

static void void_decisions_cover_nothing(void **state)
{
    struct desk *k = *state;
    stored(k, 0, "r1");
    (void)world_claim(&k->world, SIM_DECISION); /* somebody else took over */
    desk_tick(k, 61);
    assert_int_equal(desk_decisions(k), 1);
    assert_int_equal(decide_floor(k->decide, 2), 0); /* void: nothing is covered */
    assert_int_equal(decide_stats(k->decide).closing, 1);
    desk_open(k, 0);
    desk_run(k);
    assert_int_equal(desk_decisions(k), 2);
    assert_string_equal(desk_decision(k, 0)->decision, desk_decision(k, 1)->decision);
    assert_string_not_equal(desk_decision(k, 0)->manifest.key, desk_decision(k, 1)->manifest.key);
    assert_int_equal(decide_floor(k->decide, 2), 2);
}

/* A crash may have come between the decision and the answer. */
static void a_command_that_is_read_again_is_answered_under_the_same_id(void **state)
{
    struct desk *k = *state;
    struct arena *a = arena_new(0);
    stored(k, 0, "r1");
    command(k, "1.2", NULL);
    desk_open(k, 0);
    desk_run(k);
    struct event ev[2];
    struct sim_log *events = &k->world.logs[SIM_EVENT];
    assert_int_equal(events->records.n, 2);
    for (size_t i = 0; i < 2; i++) {
        struct err e;
        const struct str *text = &events->records.items[i].value;
        assert_int_equal(event_decode(&ev[i], text->data, text->len, a, &e), 0);
    }
    assert_string_equal(ev[0].id, ev[1].id);
    assert_string_equal(ev[0].note.text, ev[1].note.text);
    arena_free(a);
}

static void undecodable_records_change_nothing(void **state)
{
    struct desk *k = *state;
    const struct decide_input in = {
        0, k->start, EVENT_INSTANCE_STORED, SLICE("1.2"), SLICE("1.2.3"), SLICE("{\"type\":")};
    struct err e;
    assert_int_equal(decide_record(k->decide, &k->config.snapshot, &in, k->arena, &k->out, &e),
                     DECIDE_REJECT);
    assert_int_equal(k->out.records.n, 0);
    assert_int_equal(decide_stats(k->decide).open, 0);
}

/* ---- the bound of a record ---- */

static void large_tags_give_way(void **state)
{
    struct desk *k = *state;
    enum { N = 100, LENGTH = 620 };
    struct row_pair *tags = mem_alloc(N * sizeof *tags);
    char name[N][16], *value = mem_alloc(LENGTH + 1);
    memset(value, 'x', LENGTH);
    value[LENGTH] = '\0';
    for (int i = 0; i < N; i++) {
        snprintf(name[i], sizeof name[i], "Tag%d", i);
        tags[i] = (struct row_pair){name[i], value};
    }
    sim_config_rule(&k->config, &(struct config_rule){.name = "all",
                                                      .rule = "True",
                                                      .targets = STRINGS("p1", "p2", "p3", "p4")});
    desk_instance(k, &(struct sim_instance){.receipt = "r1", .tags = {tags, N}});
    desk_tick(k, 61);
    const struct event_series_decided *s = desk_decision(k, 0);
    assert_non_null(s);
    assert_int_equal(s->tags.n, N + 1);
    assert_int_equal(strlen(s->tags.items[0].value), 256);
    assert_string_equal(s->tags.items[N].name, "TagsCut");
    assert_int_equal(s->deliveries.n, 4);
    mem_free(tags);
    mem_free(value);
}

static void too_many_deliveries_are_held(void **state)
{
    struct desk *k = *state;
    enum { N = 200 };
    char names[N][32];
    const char *targets[N];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "target-number-%d", i);
        targets[i] = names[i];
    }
    sim_config_rule(&k->config,
                    &(struct config_rule){.name = "all", .rule = "True", .targets = {targets, N}});
    stored(k, 0, "r1");
    desk_tick(k, 61);
    const struct event_series_decided *s = desk_decision(k, 0);
    assert_non_null(s);
    assert_int_equal(s->deliveries.n, 0);
    assert_int_equal(s->held.n, 1);
    assert_string_equal(rows_at(struct event_held, &s->held, 0)->rule, "all");
    assert_null(s->discarded_by);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(quiet_closes_once),
        TEST(timers_fire_on_records_only),
        TEST(tick_needs_the_end_of_the_log),
        TEST(outage_starts_anew),
        TEST(nobody_at_work_starts_anew),
        TEST(an_outage_near_the_due_time_splits_no_series),
        TEST(a_busy_log_shows_by_itself_that_it_is_open),
        TEST(an_idle_log_gets_few_ticks),
        TEST(release_closes_after_grace),
        TEST(a_new_instance_takes_the_evidence_back),
        TEST(no_evidence_means_quiet),
        TEST(open_association_keeps_open),
        TEST(silent_association_counts_as_lost),
        TEST(source_has_its_own_quiet_time),
        TEST(command_closes),
        TEST(caps),
        TEST(a_receipt_is_in_a_window_once),
        TEST(receipts_of_earlier_windows_are_left_out),
        TEST(what_nobody_can_work_is_named_by_its_series),
        TEST(an_unreadable_manifest_changes_nothing),
        TEST(members),
        TEST(tags_of_the_lowest_offset),
        TEST(padded_uids_are_one_series),
        TEST(floor_follows_what_is_read_back),
        TEST(additions_count_what_is_closing),
        TEST(fold_skips_what_is_covered),
        TEST(repeats_give_the_same_id),
        TEST(void_decisions_cover_nothing),
        TEST(a_command_that_is_read_again_is_answered_under_the_same_id),
        TEST(undecodable_records_change_nothing),
        TEST(large_tags_give_way),
        TEST(too_many_deliveries_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
