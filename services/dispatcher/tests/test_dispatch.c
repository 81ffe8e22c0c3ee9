/* The dispatcher's core against hand-written logs. */
#include "testkit/testkit.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatcher/breaker.h"
#include "dispatcher/dispatch.h"
#include "dispatcher/status.h"

#define CLAIM 10

/* A log of one partition: what the core writes is read back at once. */
struct log {
    struct dispatch *core;
    int64_t offset, now;
    int64_t attempts;
    struct outputs out;
    char last_finished[40];
    int last_outcome;
    int64_t counts[4]; /* delivered, repeated, not accepted, failed */
};

static void feed(struct log *l, const struct event *ev)
{
    dispatch_journal(l->core, ev, l->offset++, l->now, false, false);
}

static void read_back(struct log *l)
{
    struct arena *a = arena_new(0);
    for (size_t i = 0; i < l->out.records.n; i++) {
        struct event ev;
        struct err e = {0};
        const struct output_record *r = &l->out.records.items[i];
        assert_int_equal(event_decode(&ev, r->value.data, r->value.len, a, &e), 0);
        assert_string_equal(r->noun, "delivery");
        if (ev.type == EVENT_DELIVERY_FINISHED) {
            assert_int_equal(r->claim, CLAIM);
            str_copy(l->last_finished, sizeof l->last_finished, ev.finished.delivery);
            l->last_outcome = ev.finished.outcome;
            l->counts[0] = ev.finished.delivered;
            l->counts[1] = ev.finished.repeated;
            l->counts[2] = ev.finished.not_accepted;
            l->counts[3] = ev.finished.failed;
        }
        feed(l, &ev);
    }
    outputs_clear(&l->out);
    arena_free(a);
}

static int64_t attempts_of(void *arg, const struct delivery *x)
{
    if (strcmp(x->target, "later") == 0)
        return DISPATCH_NOT_YET;
    return strcmp(x->target, "gone") == 0 ? 0 : ((struct log *)arg)->attempts;
}

static void settle(struct log *l)
{
    struct err e = {0};
    do {
        assert_int_equal(dispatch_settle(l->core, l->now, attempts_of, l, &l->out, &e), 0);
        if (l->out.records.n == 0)
            break;
        read_back(l);
    } while (1);
}

static bool always(void *arg, const char *target, const char *patient)
{
    (void)arg;
    (void)target;
    (void)patient;
    return true;
}

static struct log start(int64_t floor)
{
    struct log l = {.core = dispatch_new(0, CLAIM, floor, 0), .now = 1000000, .attempts = 2};
    l.out.source = "/talaria/test/dispatcher/1";
    l.out.now_ms = l.now;
    return l;
}

static void finish(struct log *l)
{
    dispatch_free(l->core);
    outputs_free(&l->out);
}

static void request_some(struct log *l, const char *id, const char *target, int64_t members,
                         const char *positions, int priority)
{
    struct event ev = {.type = EVENT_DELIVERY_REQUESTED,
                       .requested = {.delivery = id,
                                     .decision = "d0",
                                     .target = target,
                                     .study = "1.2",
                                     .patient_hash = "p",
                                     .manifest = {"manifests/m.json", "00"},
                                     .members = members,
                                     .positions = positions,
                                     .priority = priority}};
    feed(l, &ev);
    settle(l);
}

static void request(struct log *l, const char *id, const char *target, int64_t members,
                    int priority)
{
    request_some(l, id, target, members, NULL, priority);
}

static void outcome_status(struct log *l, const char *id, int64_t attempt, int64_t position,
                           int state, int64_t status)
{
    struct event_member_outcome o = {.position = position, .state = state, .status = status};
    struct event ev = {.type = EVENT_DELIVERY_PROGRESS,
                       .progress = {.delivery = id, .attempt = attempt, .outcomes = {&o, 1}}};
    feed(l, &ev);
}

static void outcome(struct log *l, const char *id, int64_t attempt, int64_t position, int state)
{
    outcome_status(l, id, attempt, position, state, 0);
}

static void attempt_ends(struct log *l, struct delivery *x, const char *reason)
{
    struct err e = {0};
    struct attempt_end end = {reason, 1, 60000};
    assert_int_equal(dispatch_attempt_ended(l->core, x, "me", &end, l->now, &l->out, &e), 0);
    read_back(l);
    settle(l);
}

static void all_members_delivered_ends_it(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_non_null(x);
    assert_int_equal(dispatch_begin(l.core, x), 1);
    assert_null(dispatch_next(l.core, l.now, true, always, NULL));
    outcome(&l, "a1", 1, 0, MEMBER_DELIVERED);
    outcome(&l, "a1", 1, 1, MEMBER_DELIVERED);
    attempt_ends(&l, x, "");
    assert_string_equal(l.last_finished, "a1");
    assert_int_equal(l.last_outcome, OUTCOME_DELIVERED);
    assert_int_equal(l.counts[0], 2);
    assert_int_equal(dispatch_open(l.core), 0);
    assert_int_equal(dispatch_floor(l.core, 77), 77);
    finish(&l);
}

static void refused_once(struct log *l, const char *reason, bool refused)
{
    struct err e = {0};
    struct attempt_end end = {reason, 1, 0, refused};
    struct delivery *x = dispatch_next(l->core, l->now, true, always, NULL);
    assert_non_null(x);
    dispatch_begin(l->core, x);
    assert_int_equal(
        dispatch_attempt_ended(l->core, x, "me", &end, l->now, &l->out, &e), 0);
    read_back(l);
    settle(l);
}

static void a_target_refuses_for_good_until_an_attempt_goes_well(void **state)
{
    (void)state;
    struct log l = start(0);
    l.attempts = 9;
    request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
    assert_false(dispatch_refused(l.core, "pacs"));
    refused_once(&l, "rejected", true);
    assert_true(dispatch_refused(l.core, "pacs"));
    assert_false(dispatch_refused(l.core, "other"));
    refused_once(&l, "connection refused", false); /* says nothing of it */
    assert_true(dispatch_refused(l.core, "pacs"));
    refused_once(&l, NULL, false);
    assert_false(dispatch_refused(l.core, "pacs"));
    finish(&l);
}

static bool is_named(void *arg, const char *target)
{
    return strcmp(arg, target) == 0;
}

static void a_refusal_is_over_when_the_target_is_gone(void **state)
{
    (void)state;
    struct log l = start(0);
    l.attempts = 9;
    request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
    refused_once(&l, "rejected", true);
    assert_null(dispatch_refusal_over(l.core, is_named, "other"));
    assert_string_equal(dispatch_refusal_over(l.core, is_named, "pacs"), "pacs");
    assert_null(dispatch_refusal_over(l.core, is_named, "pacs"));
    assert_false(dispatch_refused(l.core, "pacs"));
    refused_once(&l, "rejected", true); /* it is back, and refuses as before */
    assert_true(dispatch_refused(l.core, "pacs"));
    finish(&l);
}

static void a_retry_sends_only_what_is_open_and_the_last_attempt_fails_the_rest(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 3, PRIORITY_NORMAL);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    dispatch_begin(l.core, x);
    outcome(&l, "a1", 1, 1, MEMBER_DELIVERED);
    attempt_ends(&l, x, "refused");
    assert_int_equal(dispatch_open(l.core), 1);
    assert_null(dispatch_next(l.core, l.now, true, always, NULL));
    l.now += 60000;
    x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_non_null(x);
    assert_int_equal(MEMBER_STATE(x->states[1]), MEMBER_DELIVERED);
    assert_int_equal(MEMBER_STATE(x->states[0]), MEMBER_OPEN);
    assert_int_equal(dispatch_begin(l.core, x), 2);
    attempt_ends(&l, x, "refused");
    assert_int_equal(l.last_outcome, OUTCOME_FAILED);
    assert_int_equal(l.counts[0], 1);
    assert_int_equal(l.counts[3], 2);
    finish(&l);
}

static void a_repeated_request_of_an_ended_delivery_is_ignored(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 0, PRIORITY_NORMAL);
    assert_int_equal(l.last_outcome, OUTCOME_DELIVERED);
    l.last_finished[0] = '\0';
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    assert_int_equal(dispatch_open(l.core), 0);
    assert_string_equal(l.last_finished, "");
    finish(&l);
}

static void what_lies_before_the_floor_causes_nothing(void **state)
{
    (void)state;
    struct log l = start(5);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    assert_int_equal(dispatch_open(l.core), 0);
    l.offset = 6;
    request(&l, "a1", "pacs", 2,
            PRIORITY_NORMAL); /* the same request again: its id is remembered */
    assert_int_equal(dispatch_open(l.core), 0);
    request(&l, "a2", "pacs", 2, PRIORITY_NORMAL);
    assert_int_equal(dispatch_open(l.core), 1);
    assert_int_equal(dispatch_floor(l.core, 99), 7);
    finish(&l);
}

static void urgent_goes_before_normal_before_offpeak(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a0", "pacs", 1, PRIORITY_OFFPEAK);
    request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
    request(&l, "a2", "pacs", 1, PRIORITY_URGENT);
    static const char *const want[] = {"a2", "a1", "a0"};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
        assert_string_equal(x->id, want[i]);
        dispatch_begin(l.core, x);
    }
    finish(&l);
}

static void offpeak_waits_for_its_hours(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a0", "pacs", 1, PRIORITY_OFFPEAK);
    assert_null(dispatch_next(l.core, l.now, false, always, NULL));
    l.now += 1000; /* a lane without work is looked at again within a second */
    assert_non_null(dispatch_next(l.core, l.now, true, always, NULL));
    finish(&l);
}

static bool not_alice(void *arg, const char *target, const char *patient)
{
    (void)arg;
    (void)target;
    return strcmp(patient, "p") != 0;
}

static bool not_the_dead(void *arg, const char *target, const char *patient)
{
    (void)patient;
    ++*(int *)arg;
    return strcmp(target, "dead") != 0;
}

static void a_lane_that_may_not_start_is_not_walked(void **state)
{
    (void)state;
    struct log l = start(0);
    char id[40];
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "dead%d", i);
        request(&l, id, "dead", 1, PRIORITY_NORMAL);
    }
    request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
    int asked = 0;
    struct delivery *x = dispatch_next(l.core, l.now, true, not_the_dead, &asked);
    assert_string_equal(x->id, "a1");
    assert_true(asked <= 3);
    finish(&l);
}

static void a_patient_under_way_holds_up_no_other(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 1, PRIORITY_NORMAL); /* patient p */
    struct event ev = {.type = EVENT_DELIVERY_REQUESTED,
                       .requested = {.delivery = "b1",
                                     .decision = "d",
                                     .target = "pacs",
                                     .study = "1.3",
                                     .patient_hash = "q",
                                     .manifest = {"manifests/m.json", "00"},
                                     .members = 1}};
    feed(&l, &ev);
    settle(&l);
    assert_string_equal(dispatch_next(l.core, l.now, true, not_alice, NULL)->id, "b1");
    assert_string_equal(dispatch_next(l.core, l.now, true, always, NULL)->id, "a1");
    finish(&l);
}

static void a_breaker_opens_lets_one_through_and_closes(void **state)
{
    (void)state;
    struct breaker b = {0};
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        assert_true(breaker_allows(&b, 0, 5));
        breaker_result(&b, false, 0, 900000);
    }
    assert_false(breaker_allows(&b, BREAKER_PAUSE_MS - 1, 0));
    assert_true(breaker_allows(&b, BREAKER_PAUSE_MS, 0));
    assert_false(breaker_allows(&b, BREAKER_PAUSE_MS, 1));
    breaker_result(&b, false, BREAKER_PAUSE_MS, 900000);
    assert_false(breaker_allows(&b, 2 * BREAKER_PAUSE_MS, 0));
    assert_true(breaker_allows(&b, 3 * BREAKER_PAUSE_MS, 0));
    for (int i = 0; i < 10; i++)
        breaker_result(&b, false, 0, 5000);
    assert_true(breaker_allows(&b, 5000, 0)); /* never longer than the target's own pause */
    breaker_result(&b, true, 0, 900000);
    assert_true(breaker_allows(&b, 0, 5));
}

static void an_attempt_that_died_leaves_unknown_members_behind_the_recorded_ones(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 4, PRIORITY_NORMAL);
    outcome(&l, "a1", 1, 0, MEMBER_DELIVERED); /* attempt 1 has begun, and never ended */
    dispatch_opened(l.core);
    settle(&l);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_non_null(x);
    assert_int_equal(x->states[0], MEMBER_DELIVERED);
    for (int i = 1; i < 4; i++)
        assert_int_equal(x->states[i], MEMBER_OPEN | MEMBER_UNKNOWN);
    finish(&l);
}

static void
an_attempt_that_died_between_associations_leaves_unknown_members_before_the_recorded(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 4, PRIORITY_NORMAL);
    outcome(&l, "a1", 1, 0, MEMBER_OPEN); /* without an answer */
    outcome_status(&l, "a1", 1, 1, MEMBER_OPEN, 0xA700);
    outcome(&l, "a1", 1, 3, MEMBER_DELIVERED); /* 2 has another AE pair: its turn may have come */
    dispatch_opened(l.core);
    settle(&l);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_non_null(x);
    assert_int_equal(x->states[0], MEMBER_OPEN | MEMBER_UNKNOWN);
    assert_int_equal(x->states[1], MEMBER_OPEN | MEMBER_REFUSED);
    assert_int_equal(x->states[2], MEMBER_OPEN | MEMBER_UNKNOWN);
    assert_int_equal(x->states[3], MEMBER_DELIVERED);
    finish(&l);
}

static void the_better_end_counts_and_two_successes_are_two_copies(void **state)
{
    (void)state;
    static const struct {
        int first, second, want;
    } rows[] = {
        {MEMBER_DELIVERED, MEMBER_DELIVERED, MEMBER_REPEATED},
        {MEMBER_DELIVERED, MEMBER_REPEATED, MEMBER_REPEATED},
        {MEMBER_REPEATED, MEMBER_DELIVERED, MEMBER_REPEATED},
        {MEMBER_DELIVERED, MEMBER_FAILED, MEMBER_DELIVERED},
        {MEMBER_FAILED, MEMBER_DELIVERED, MEMBER_DELIVERED},
        {MEMBER_CANCELLED, MEMBER_DELIVERED, MEMBER_DELIVERED},
        {MEMBER_NOT_ACCEPTED, MEMBER_FAILED, MEMBER_NOT_ACCEPTED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct log l = start(0);
        request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
        outcome(&l, "a1", 1, 0, rows[i].first);
        outcome(&l, "a1", 1, 0, rows[i].second);
        assert_int_equal(dispatch_find(l.core, "a1")->states[0], rows[i].want);
        finish(&l);
    }
}

static void begun(struct log *l, const char *id, int64_t attempt)
{
    struct event ev = {.type = EVENT_DELIVERY_PROGRESS,
                       .progress = {.delivery = id, .attempt = attempt}};
    feed(l, &ev);
}

static void an_attempt_that_never_ends_is_none_but_ten_in_a_row_fail_the_delivery(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    for (int i = 1; i < DISPATCH_LOST_MAX; i++)
        begun(&l, "a1", i);
    dispatch_opened(l.core);
    settle(&l);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_non_null(x);
    assert_int_equal(dispatch_begin(l.core, x), DISPATCH_LOST_MAX);
    finish(&l);

    l = start(0);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    for (int i = 1; i <= DISPATCH_LOST_MAX; i++)
        begun(&l, "a1", i);
    dispatch_opened(l.core);
    settle(&l);
    assert_int_equal(l.last_outcome, OUTCOME_FAILED);
    assert_int_equal(l.counts[3], 2);
    finish(&l);
}

static void an_outcome_says_that_an_attempt_was_not_lost(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 20, PRIORITY_NORMAL);
    for (int i = 1; i <= DISPATCH_LOST_MAX + 5; i++) {
        begun(&l, "a1", i);
        outcome(&l, "a1", i, i, MEMBER_DELIVERED);
    }
    dispatch_opened(l.core);
    settle(&l);
    assert_non_null(dispatch_next(l.core, l.now, true, always, NULL));
    finish(&l);
}

static void the_end_of_anothers_attempt_does_not_end_ours(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_int_equal(dispatch_begin(l.core, x), 1);
    struct event ev = {.type = EVENT_DELIVERY_ATTEMPTED,
                       .attempted = {.delivery = "a1", .attempt = 1, .owner = "zombie", .open = 2}};
    feed(&l, &ev);
    settle(&l);
    assert_int_equal(x->phase, DELIVERY_RUNNING);
    assert_null(dispatch_next(l.core, l.now, true, always, NULL));
    outcome(&l, "a1", 1, 0, MEMBER_DELIVERED);
    outcome(&l, "a1", 1, 1, MEMBER_DELIVERED);
    attempt_ends(&l, x, NULL);
    assert_int_equal(l.last_outcome, OUTCOME_DELIVERED);
    finish(&l);
}

static void a_refusal_that_may_pass_is_worth_one_more_try_and_no_unknown(void **state)
{
    (void)state;
    static const struct {
        int64_t status;
        uint8_t want;
    } rows[] = {{0, MEMBER_UNKNOWN},
                {0xA700, MEMBER_REFUSED},
                {0x0110, MEMBER_REFUSED | MEMBER_TRIED},
                {0x0210, MEMBER_REFUSED | MEMBER_TRIED}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct log l = start(0);
        request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
        outcome_status(&l, "a1", 1, 0, MEMBER_OPEN, rows[i].status);
        const struct delivery *x = dispatch_find(l.core, "a1");
        assert_int_equal(x->states[0], rows[i].want);
        assert_int_equal(MEMBER_STATE(x->states[0]), MEMBER_OPEN);
        finish(&l);
    }
}

static void a_request_of_a_newer_configuration_waits_for_it(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "later", 2, PRIORITY_NORMAL);
    dispatch_expire(l.core, l.now, attempts_of, &l);
    settle(&l);
    assert_int_equal(dispatch_open(l.core), 1);
    finish(&l);
}

static void what_is_open_too_long_expires(void **state)
{
    (void)state;
    struct log l = start(0);
    dispatch_free(l.core);
    l.core = dispatch_new(0, CLAIM, 0, 60000);
    request(&l, "a1", "pacs", 3, PRIORITY_NORMAL);
    outcome(&l, "a1", 1, 1, MEMBER_DELIVERED);
    l.now += 60000;
    dispatch_expire(l.core, l.now, attempts_of, &l);
    settle(&l);
    assert_int_equal(dispatch_open(l.core), 1);
    l.now++;
    dispatch_expire(l.core, l.now, attempts_of, &l);
    settle(&l);
    assert_int_equal(l.last_outcome, OUTCOME_EXPIRED);
    assert_int_equal(l.counts[0], 1);
    assert_int_equal(l.counts[3], 2);
    finish(&l);
}

static void members_that_are_not_asked_for_are_no_members(void **state)
{
    (void)state;
    int64_t counts[MEMBER_CANCELLED + 1];
    struct log l = start(0);
    request_some(&l, "a1", "pacs", 3, "1,3-4", PRIORITY_NORMAL);
    struct delivery *x = dispatch_next(l.core, l.now, true, always, NULL);
    assert_int_equal(x->span, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(MEMBER_STATE(x->states[i]) == MEMBER_OPEN, i == 1 || i > 2);
    dispatch_begin(l.core, x);
    for (int i = 0; i < 6; i++) /* what others say of members that are none changes nothing */
        outcome(&l, "a1", 1, i, i == 3 ? MEMBER_OPEN : MEMBER_DELIVERED);
    dispatch_count(x, counts);
    assert_int_equal(counts[MEMBER_DELIVERED], 2);
    assert_int_equal(counts[MEMBER_OPEN], 1);
    attempt_ends(&l, x, "away");
    l.now += 60000;
    x = dispatch_next(l.core, l.now, true, always, NULL);
    dispatch_begin(l.core, x);
    attempt_ends(&l, x, "away"); /* the last: it fails what is open, and nothing else */
    assert_string_equal(l.last_finished, "a1");
    assert_int_equal(l.last_outcome, OUTCOME_FAILED);
    assert_int_equal(l.counts[0], 2);
    assert_int_equal(l.counts[1] + l.counts[2], 0);
    assert_int_equal(l.counts[3], 1);
    finish(&l);
}

static void what_may_have_been_sent_is_counted_in_members(void **state)
{
    (void)state;
    struct log l = start(0);
    struct str odd = STR_INIT;
    for (int i = 1; i < 2 * DISPATCH_BATCH; i += 2)
        str_printf(&odd, "%s%d", i > 1 ? "," : "", i);
    request_some(&l, "a1", "pacs", DISPATCH_BATCH, str_cstr(&odd), PRIORITY_NORMAL);
    outcome(&l, "a1", 1, 1, MEMBER_DELIVERED); /* then its process died */
    dispatch_opened(l.core);
    struct delivery *x = dispatch_find(l.core, "a1");
    assert_int_equal(x->states[0], MEMBER_NOT_ASKED);
    for (int i = 3; i < 2 * DISPATCH_BATCH; i += 2)
        assert_int_equal(x->states[i], MEMBER_OPEN | MEMBER_UNKNOWN);
    str_free(&odd);
    finish(&l);
}

static void a_target_that_is_not_configured_fails_visibly(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "gone", 2, PRIORITY_NORMAL);
    assert_int_equal(l.last_outcome, OUTCOME_FAILED);
    assert_int_equal(l.counts[3], 2);
    finish(&l);
}

static void cancel_ends_a_waiting_delivery(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    struct event ev = {.type = EVENT_COMMAND_CANCEL,
                       .command = {.command = "c", .delivery = "a1", .user = "u"}};
    feed(&l, &ev);
    settle(&l);
    assert_int_equal(l.last_outcome, OUTCOME_CANCELLED);
    finish(&l);
}

/* Its owner died between the members' outcomes and the end. */
static void a_cancel_that_was_cut_short_is_no_delivery(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 2, PRIORITY_NORMAL);
    outcome(&l, "a1", 1, 0, MEMBER_DELIVERED);
    outcome(&l, "a1", 1, 1, MEMBER_CANCELLED);
    dispatch_opened(l.core);
    settle(&l);
    assert_string_equal(l.last_finished, "a1");
    assert_int_equal(l.last_outcome, OUTCOME_CANCELLED);
    assert_int_equal(l.counts[0], 1);
    finish(&l);
}

static void a_void_end_ends_nothing(void **state)
{
    (void)state;
    struct log l = start(0);
    request(&l, "a1", "pacs", 1, PRIORITY_NORMAL);
    struct event ev = {.type = EVENT_DELIVERY_FINISHED, .finished = {.delivery = "a1"}};
    dispatch_journal(l.core, &ev, l.offset++, l.now, false, true);
    assert_int_equal(dispatch_open(l.core), 1);
    finish(&l);
}

static void statuses_have_the_right_class(void **state)
{
    (void)state;
    static const struct {
        uint16_t status;
        enum status_class want;
    } rows[] = {{0x0000, STATUS_STORED},    {0xB000, STATUS_STORED},    {0xB006, STATUS_STORED},
                {0xB007, STATUS_STORED},    {0xA700, STATUS_TRY_LATER}, {0xA7FF, STATUS_TRY_LATER},
                {0x0110, STATUS_ONCE_MORE}, {0x0111, STATUS_ONCE_MORE}, {0x0210, STATUS_ONCE_MORE},
                {0xA900, STATUS_NEVER},     {0xC000, STATUS_NEVER},     {0x0122, STATUS_NEVER},
                {0x0117, STATUS_NEVER},     {0x0124, STATUS_NEVER},     {0xFE00, STATUS_NEVER}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(status_class(rows[i].status), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members_delivered_ends_it),
        cmocka_unit_test(a_target_refuses_for_good_until_an_attempt_goes_well),
        cmocka_unit_test(a_refusal_is_over_when_the_target_is_gone),
        cmocka_unit_test(a_retry_sends_only_what_is_open_and_the_last_attempt_fails_the_rest),
        cmocka_unit_test(a_repeated_request_of_an_ended_delivery_is_ignored),
        cmocka_unit_test(what_lies_before_the_floor_causes_nothing),
        cmocka_unit_test(urgent_goes_before_normal_before_offpeak),
        cmocka_unit_test(offpeak_waits_for_its_hours),
        cmocka_unit_test(a_lane_that_may_not_start_is_not_walked),
        cmocka_unit_test(a_patient_under_way_holds_up_no_other),
        cmocka_unit_test(an_attempt_that_never_ends_is_none_but_ten_in_a_row_fail_the_delivery),
        cmocka_unit_test(an_outcome_says_that_an_attempt_was_not_lost),
        cmocka_unit_test(the_end_of_anothers_attempt_does_not_end_ours),
        cmocka_unit_test(the_better_end_counts_and_two_successes_are_two_copies),
        cmocka_unit_test(a_refusal_that_may_pass_is_worth_one_more_try_and_no_unknown),
        cmocka_unit_test(a_request_of_a_newer_configuration_waits_for_it),
        cmocka_unit_test(what_is_open_too_long_expires),
        cmocka_unit_test(a_breaker_opens_lets_one_through_and_closes),
        cmocka_unit_test(an_attempt_that_died_leaves_unknown_members_behind_the_recorded_ones),
        cmocka_unit_test(
            an_attempt_that_died_between_associations_leaves_unknown_members_before_the_recorded),
        cmocka_unit_test(members_that_are_not_asked_for_are_no_members),
        cmocka_unit_test(what_may_have_been_sent_is_counted_in_members),
        cmocka_unit_test(a_target_that_is_not_configured_fails_visibly),
        cmocka_unit_test(cancel_ends_a_waiting_delivery),
        cmocka_unit_test(a_cancel_that_was_cut_short_is_no_delivery),
        cmocka_unit_test(a_void_end_ends_nothing),
        cmocka_unit_test(statuses_have_the_right_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
