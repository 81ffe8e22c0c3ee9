/*
 * The stage machinery with a toy: every record of `instance` becomes one choice (task.started,
 * attempt = the record's offset) in `decision`. Whatever happens, the journal must hold exactly one
 * valid choice for each.
 */
#include "daemon/careful.h"
#include "toy.h"

#include <inttypes.h>
#include <stdlib.h>

#define RECORDS_MAX 512

struct toy {
    struct stage_partition info;
    bool covered[RECORDS_MAX], pending[RECORDS_MAX];
    bool opened;
};

static struct {
    int opened, closed, voids, ticks, retries;
    int wakes; /* how many ticks ask for the next one at once */
    int64_t skipped; /* sum of offsets */
    int want_retry; /* how often "retry" is put off */
    int64_t saved;
} seen;

static void *toy_open(const struct stage_partition *p)
{
    struct toy *t = mem_zalloc(sizeof *t);
    t->info = *p;
    return t;
}

static void toy_journal(void *state, const struct stage_record *r, struct arena *a)
{
    struct toy *t = state;
    struct err e = {0};
    if (r->is_void)
        __atomic_add_fetch(&seen.voids, 1, __ATOMIC_RELAXED);
    if (r->type != EVENT_TASK_STARTED || r->is_void)
        return;
    const struct event *ev = stage_event(r, a, &e);
    if (!ev || ev->task_started.attempt >= RECORDS_MAX)
        return;
    t->covered[ev->task_started.attempt] = true;
}

static void toy_opened(void *state, struct outputs *out)
{
    struct toy *t = state;
    (void)out;
    t->opened = true;
    __atomic_add_fetch(&seen.opened, 1, __ATOMIC_RELAXED);
}

static enum stage_verdict toy_record(void *state, const struct stage_record *r, struct arena *a,
                                     struct outputs *out, struct err *e)
{
    struct toy *t = state;
    assert_true(t->opened);
    assert_int_equal(r->partition, t->info.partition);
    const struct event *in = stage_event(r, a, e);
    if (!in)
        return STAGE_REJECT;
    if (r->offset >= RECORDS_MAX || t->covered[r->offset] || t->pending[r->offset])
        return STAGE_DONE;
    char task[64];
    snprintf(task, sizeof task, "task-%d", (int)r->partition);
    struct event ev = {.type = EVENT_TASK_STARTED};
    ev.task_started.task = task;
    ev.task_started.attempt = r->offset;
    ev.task_started.owner = t->info.owner;
    if (outputs_event(out, "decision", r->partition, task, &ev, t->info.claim, e))
        return STAGE_REJECT;
    if (in->type == EVENT_COMMAND_COMPLETE && strcmp(in->command.reason, "retry") == 0 &&
        seen.want_retry > 0) {
        seen.want_retry--;
        __atomic_add_fetch(&seen.retries, 1, __ATOMIC_RELAXED);
        err_set(e, ERR_RETRY, 0, "not yet");
        return STAGE_RETRY; /* with an output that must not be written */
    }
    t->pending[r->offset] = true;
    return STAGE_DONE;
}

static void toy_tick(void *state, int64_t log_now, bool caught_up, struct outputs *out)
{
    struct toy *t = state;
    (void)log_now;
    (void)out;
    if (__atomic_load_n(&seen.wakes, __ATOMIC_RELAXED) > 0) {
        __atomic_sub_fetch(&seen.wakes, 1, __ATOMIC_RELAXED);
        stage_wake(&t->info);
    }
    if (caught_up)
        __atomic_add_fetch(&seen.ticks, 1, __ATOMIC_RELAXED);
}

static int64_t toy_floor(const void *state, int64_t position)
{
    const struct toy *t = state;
    int64_t floor = t->info.floor;
    while (floor < position && t->covered[floor])
        floor++;
    return floor;
}

static void toy_skipped(void *state, const struct stage_record *r)
{
    struct toy *t = state;
    __atomic_add_fetch(&seen.skipped, r->offset, __ATOMIC_RELAXED);
    t->covered[r->offset] = true; /* for the floor */
}

static void toy_close(void *state)
{
    __atomic_add_fetch(&seen.closed, 1, __ATOMIC_RELAXED);
    mem_free(state);
}

static const struct stage toy = {
    .name = "count",
    .inputs = {"instance"},
    .journal = "decision",
    .memory_ms = STAGE_FROM_START,
    .open = toy_open,
    .journal_record = toy_journal,
    .opened = toy_opened,
    .record = toy_record,
    .tick = toy_tick,
    .floor = toy_floor,
    .skipped = toy_skipped,
    .close = toy_close,
};
static const struct stage *const stages[] = {&toy, NULL};
static const struct service service = {.name = "toy", .summary = "counts", .stages = stages};

/* ---- helpers ---- */

static struct daemon *site(const char *name, int partitions)
{
    memset(&seen, 0, sizeof seen);
    topic(name, "instance", partitions);
    topic(name, "decision", partitions);
    topic(name, "dlq", 1);
    struct daemon *d = toy_daemon(&service, name, "a");
    start_offsets(d, "count", "instance", partitions);
    return d;
}

static void send(struct daemon *d, int partition, const char *reason, int n)
{
    struct err e = {0};
    struct outputs out = daemon_outputs(d);
    for (int i = 0; i < n; i++) {
        struct event ev = {.type = EVENT_COMMAND_COMPLETE};
        ev.command.command = "c";
        ev.command.user = "u";
        ev.command.reason = reason;
        ev.command.study = "1.2.3";
        if (outputs_event(&out, "instance", partition, "1.2.3", &ev, -1, &e))
            fail_msg("%s", e.text);
    }
    if (daemon_write(d, &out, &e))
        fail_msg("%s", e.text);
    outputs_free(&out);
}

struct verdict {
    int64_t newest;
    int valid[RECORDS_MAX], voids, claims, total;
};

static void judge(const struct kafka_record *k, void *arg)
{
    struct verdict *v = arg;
    struct err e = {0};
    struct event ev;
    enum event_type type = event_type_of_header(kafka_record_header(k, "ce_type"));
    if (type == EVENT_CLAIM) {
        v->newest = k->offset;
        v->claims++;
    }
    if (type != EVENT_TASK_STARTED)
        return;
    v->total++;
    struct slice header = kafka_record_header(k, "claim");
    if (!header.p || strtoll(header.p, NULL, 10) < v->newest) {
        v->voids++;
        return;
    }
    struct arena *a = arena_new(0);
    assert_int_equal(event_decode(&ev, k->value.p, k->value.n, a, &e), 0);
    v->valid[ev.task_started.attempt]++;
    arena_free(a);
}

static struct verdict judgement(struct daemon *d, int32_t partition)
{
    struct verdict v = {.newest = -1};
    read_all(d, "decision", partition, judge, &v);
    return v;
}

static void assert_once(const struct verdict *v, int n)
{
    for (int i = 0; i < n; i++)
        if (v->valid[i] != 1)
            fail_msg("record %d has %d valid choices", i, v->valid[i]);
}

struct wanted {
    struct daemon *d;
    int32_t partition;
    int n;
};

static int all_decided(void *arg)
{
    struct wanted *w = arg;
    struct verdict v = judgement(w->d, w->partition);
    for (int i = 0; i < w->n; i++)
        if (!v.valid[i])
            return 0;
    return 1;
}

static void wait_decided(struct daemon *d, int32_t partition, int n)
{
    struct wanted w = {d, partition, n};
    assert_true(testkit_within(30000, all_decided, &w));
}

static int is_ready(void *arg)
{
    char why[DAEMON_WHY];
    return runner_ready(arg, why);
}

static struct runner *start(struct daemon *d)
{
    struct runner *r = NULL;
    struct err e = {0};
    if (runner_start(&r, d, &toy, &e))
        fail_msg("%s", e.text);
    return r;
}

static int64_t committed(struct daemon *d, int32_t partition)
{
    struct err e = {0};
    char name[TOPIC_NAME], group[TOPIC_NAME];
    topics_name(name, d->settings->site, "instance");
    topics_group(group, d->settings->site, "count");
    int64_t offset = -2;
    if (kafka_committed(&d->kafka, group, name, partition, &offset, &e))
        fail_msg("%s", e.text);
    return offset;
}

struct floor_wanted {
    struct daemon *d;
    int64_t floor;
};

static int floor_reached(void *arg)
{
    struct floor_wanted *w = arg;
    return committed(w->d, 0) == w->floor;
}

/* ---- tests ---- */

static void each_record_once_and_the_floor_follows(void **state)
{
    (void)state;
    struct daemon *d = site("s1", 1);
    send(d, 0, "x", 50);
    struct runner *r = start(d);
    wait_decided(d, 0, 50);
    assert_true(testkit_within(10000, is_ready, r));
    struct floor_wanted w = {d, 50};
    assert_true(testkit_within(10000, floor_reached, &w));
    assert_true(seen.ticks > 0);
    runner_stop(r);
    assert_int_equal(seen.opened, seen.closed);

    /* a second life: nothing is decided again */
    send(d, 0, "x", 10);
    r = start(d);
    wait_decided(d, 0, 60);
    runner_stop(r);
    struct verdict v = judgement(d, 0);
    assert_once(&v, 60);
    assert_int_equal(v.total, 60);
    assert_int_equal(v.claims, 2);
    assert_int_equal(committed(d, 0), 60);
    toy_free(d);
}

static int all_woken(void *arg)
{
    (void)arg;
    return __atomic_load_n(&seen.wakes, __ATOMIC_RELAXED) == 0;
}

/* 400 ticks at their usual pace take 20 s. */
static void who_is_woken_ticks_at_once(void **state)
{
    (void)state;
    struct daemon *d = site("s8", 1);
    struct runner *r = start(d);
    assert_true(testkit_within(10000, is_ready, r));
    __atomic_store_n(&seen.wakes, 400, __ATOMIC_RELAXED);
    assert_true(testkit_within(5000, all_woken, NULL));
    runner_stop(r);
    toy_free(d);
}

static void a_newer_claim_makes_older_choices_void(void **state)
{
    (void)state;
    struct daemon *d = site("s2", 1);
    send(d, 0, "x", 10);
    struct runner *r = start(d);
    wait_decided(d, 0, 10);
    for (int round = 0; round < 3; round++) {
        int64_t stranger = foreign_claim(d, 0);
        send(d, 0, "x", 10);
        wait_decided(d, 0, 20 + round * 10);
        choice_under(d, 0, stranger, 0); /* void: the owner has claimed again */
    }
    runner_stop(r);
    struct verdict v = judgement(d, 0);
    assert_once(&v, 40);
    assert_int_equal(v.claims, 7); /* 1, then 3 strangers, each answered */
    assert_true(v.voids >= 3);
    toy_free(d);
}

static void unwritten_outputs_open_the_partition_again(void **state)
{
    (void)state;
    struct daemon *d = site("s3", 2);
    send(d, 0, "x", 5);
    send(d, 1, "x", 5);
    struct runner *r = start(d);
    wait_decided(d, 0, 5);
    wait_decided(d, 1, 5);
    int before = seen.opened;
    kafka_mock_fail_produce(mock, 10 /* MESSAGE_TOO_LARGE */, 1);
    struct daemon *other = toy_daemon(&service, "s3", "sender");
    struct err e = {0};
    /* whoever produces first takes the injected failure: the sender repeats, the stage opens again
     */
    for (int i = 0; i < 5; i++) {
        struct outputs out = daemon_outputs(other);
        struct event ev = {.type = EVENT_COMMAND_COMPLETE};
        ev.command.command = ev.command.user = "u";
        ev.command.reason = "x";
        ev.command.study = "1.2.3";
        assert_int_equal(outputs_event(&out, "instance", 0, "1.2.3", &ev, -1, &e), 0);
        while (daemon_write(other, &out, &e))
            ;
        outputs_free(&out);
        kafka_mock_fail_produce(mock, 10, 1);
        wait_decided(d, 0, 6 + i);
    }
    assert_true(__atomic_load_n(&seen.opened, __ATOMIC_RELAXED) > before);
    runner_stop(r);
    struct verdict v = judgement(d, 0);
    assert_once(&v, 10);
    v = judgement(d, 1);
    assert_once(&v, 5);
    kafka_mock_clear_produce(mock);
    toy_free(other);
    toy_free(d);
}

static void count_dead(const struct kafka_record *k, void *arg)
{
    struct err e = {0};
    struct event ev;
    struct arena *a = arena_new(0);
    assert_int_equal(event_decode(&ev, k->value.p, k->value.n, a, &e), 0);
    assert_int_equal(ev.type, EVENT_RECORD_REJECTED);
    assert_string_equal(ev.rejected.stage, "count");
    assert_string_equal(ev.rejected.topic, "talaria.s4.instance");
    assert_int_equal(ev.rejected.offset, 3);
    assert_string_equal(ev.rejected.record_base64, "bm9uc2Vuc2U="); /* "nonsense" */
    ++*(int *)arg;
    arena_free(a);
}

static void retried_and_rejected_records(void **state)
{
    (void)state;
    struct daemon *d = site("s4", 1);
    char name[TOPIC_NAME];
    struct err e = {0};
    int dead = 0;
    seen.want_retry = 3;
    send(d, 0, "x", 2);
    send(d, 0, "retry", 1);
    struct kafka_message m = {.topic = topics_name(name, "s4", "instance"),
                              .partition = 0,
                              .value = SLICE("nonsense"),
                              .headers = {{"ce_type", SLICE("talaria.tick.v1")}},
                              .n_headers = 1};
    assert_int_equal(kafka_produce_wait(d->producer, &m, 10000, NULL, &e), 0);
    send(d, 0, "x", 100);
    struct runner *r = start(d);
    struct wanted w = {d, 0, 3};
    assert_true(testkit_within(30000, all_decided, &w));
    send(d, 0, "x", 1);
    int64_t end = clock_mono_ms() + 20000;
    struct verdict v = {0};
    while (v.valid[104] == 0 && clock_mono_ms() < end)
        v = judgement(d, 0);
    runner_stop(r);
    v = judgement(d, 0);
    v.valid[3]++; /* the rejected one has no choice */
    assert_once(&v, 105);
    assert_int_equal(seen.retries, 3);
    assert_int_equal(v.total, 104);
    read_all(d, "dlq", 0, count_dead, &dead);
    assert_true(dead >= 1);
    toy_free(d);
}

static void two_workers_share_and_hand_over(void **state)
{
    (void)state;
    struct daemon *a = site("s5", 2), *b = toy_daemon(&service, "s5", "b");
    send(a, 0, "x", 20);
    send(a, 1, "x", 20);
    struct runner *ra = start(a);
    wait_decided(a, 0, 20);
    wait_decided(a, 1, 20);
    struct runner *rb = start(b);
    assert_true(testkit_within(30000, is_ready, rb));
    send(a, 0, "x", 20);
    send(a, 1, "x", 20);
    wait_decided(a, 0, 40);
    wait_decided(a, 1, 40);
    runner_stop(ra);
    runner_stop(rb);
    struct verdict v = judgement(a, 0);
    assert_once(&v, 40);
    v = judgement(a, 1);
    assert_once(&v, 40);
    assert_int_equal(seen.opened, seen.closed);
    toy_free(a);
    toy_free(b);
}

static void see_poison(const struct kafka_record *k, void *arg)
{
    struct err e = {0};
    struct event ev;
    struct arena *a = arena_new(0);
    assert_int_equal(event_decode(&ev, k->value.p, k->value.n, a, &e), 0);
    assert_int_equal(ev.rejected.offset, 5);
    assert_int_equal(ev.rejected.attempts, 4);
    ++*(int *)arg;
    arena_free(a);
}

/* The fourth crash, the second with record 5 in hand. */
static void what_was_in_hand_at_two_crashes_goes_to_dlq(void **state)
{
    (void)state;
    struct daemon *d = site("s6", 1);
    int dead = 0;
    send(d, 0, "x", 10);
    left_behind(d, "count", "instance", 2, "{\"v\":1,\"open\":\"dead\",\"crashes\":3,\"at\":-1,\"hand\":5,"
                      "\"suspect\":5,\"hits\":1,\"skips\":[\"7\"]}");
    struct runner *r = start(d);
    struct floor_wanted w = {d, 10};
    assert_true(testkit_within(30000, floor_reached, &w));
    runner_stop(r);
    struct verdict v = judgement(d, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(v.valid[i], i >= 2 && i != 5 && i != 7);
    read_all(d, "dlq", 0, see_poison, &dead);
    assert_int_equal(dead, 1);
    assert_int_equal(seen.skipped, 5 + 7);
    struct careful c = left_metadata(d, "count", "instance", NULL);
    assert_string_equal(c.open, "");
    assert_int_equal(c.crashes, 0);
    assert_int_equal(c.n_skips, 0); /* the floor is beyond */
    assert_int_equal(c.at, 9);
    toy_free(d);
}

static void name_alarm(const struct kafka_record *k, void *arg)
{
    struct str *out = arg;
    struct slice type = kafka_record_header(k, "ce_type");
    str_append(out, type.p, type.n);
    str_putc(out, ' ');
}

static int alarms_are(struct daemon *d, const char *want)
{
    struct str got = STR_INIT;
    read_all(d, "event", 0, name_alarm, &got);
    int same = strcmp(str_cstr(&got), want) == 0;
    str_free(&got);
    return same;
}

#define RAISED  "talaria.alarm.raised.v1 "
#define CLEARED "talaria.alarm.cleared.v1 "

static int is_raised(void *arg)
{
    return alarms_are(arg, RAISED);
}

static int is_cleared(void *arg)
{
    return alarms_are(arg, RAISED CLEARED);
}

static void append_padding(struct daemon *d, int n)
{
    struct err e = {0};
    struct outputs out = daemon_outputs(d);
    for (int i = 0; i < n; i++) {
        struct event ev = {.type = EVENT_PADDING, .claim = {.owner = "recover"}};
        if (outputs_event(&out, "instance", 0, "padding", &ev, -1, &e))
            fail_msg("%s", e.text);
    }
    if (daemon_write(d, &out, &e))
        fail_msg("%s", e.text);
    outputs_free(&out);
}

/* The log has other records than those that were read, or ends before them. */
static void a_lost_tail_keeps_it_closed(const char *name, int64_t floor, const char *metadata,
                                        int paddings)
{
    topic(name, "event", 1);
    struct daemon *d = site(name, 1);
    char why[DAEMON_WHY];
    send(d, 0, "x", 10);
    left_behind(d, "count", "instance", floor, metadata);
    struct runner *r = start(d);
    assert_true(testkit_within(30000, is_raised, d));
    assert_false(runner_ready(r, why));
    assert_int_equal(seen.opened, 0);
    append_padding(d, paddings);
    assert_true(testkit_within(30000, is_cleared, d));
    send(d, 0, "x", 1);
    int last = 10 + paddings;
    int64_t end = clock_mono_ms() + 30000;
    struct verdict v = {0};
    while (!v.valid[last] && clock_mono_ms() < end)
        v = judgement(d, 0);
    runner_stop(r);
    assert_int_equal(v.valid[last], 1);
    assert_int_equal(seen.opened, 1);
    assert_false(left_metadata(d, "count", "instance", NULL).alarm);
    toy_free(d);
}

static void another_record_than_was_read_keeps_it_closed(void **state)
{
    (void)state;
    a_lost_tail_keeps_it_closed("s7", 2, "{\"v\":1,\"at\":4,\"mark\":\"0000000000000001\"}", 1);
}

static void an_end_before_what_was_read_keeps_it_closed(void **state)
{
    (void)state;
    a_lost_tail_keeps_it_closed("s8", 2, "{\"v\":1,\"at\":12,\"mark\":\"0000000000000001\"}", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_once_and_the_floor_follows),
        cmocka_unit_test(who_is_woken_ticks_at_once),
        cmocka_unit_test(a_newer_claim_makes_older_choices_void),
        cmocka_unit_test(unwritten_outputs_open_the_partition_again),
        cmocka_unit_test(retried_and_rejected_records),
        cmocka_unit_test(two_workers_share_and_hand_over),
        cmocka_unit_test(what_was_in_hand_at_two_crashes_goes_to_dlq),
        cmocka_unit_test(another_record_than_was_read_keeps_it_closed),
        cmocka_unit_test(an_end_before_what_was_read_keeps_it_closed),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_mock, stop_mock);
}
