/*
 * The runner of a stage: one thread, one group consumer, one reader of the own journal. A turn
 * handles what has come, ticks, writes all outputs of the turn, and only then counts the records as
 * handled.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/thread.h"
#include "daemon/stage_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define SETUP_RETRY_MS 1000
#define AGAIN_MIN_MS   100
#define AGAIN_MAX_MS   5000

METRIC_COUNTER(handled, "talaria_stage_records_total", "Input records, by what the handler said.",
               "stage,verdict");
METRIC_GAUGE(position_lag, "talaria_stage_position_lag",
             "Records between the positions of the stage and the ends of its inputs.", "stage");

/* ---- records ---- */

void stage_fill(struct stage_record *out, const struct kafka_record *k, const char *noun,
                struct claims *claims)
{
    *out = (struct stage_record){
        .noun = noun,
        .partition = k->partition,
        .offset = k->offset,
        .timestamp = k->timestamp,
        .type = event_type_of_header(kafka_record_header(k, "ce_type")),
        .key = k->key,
        .study = kafka_record_header(k, "study"),
        .series = kafka_record_header(k, "series"),
        .claim = -1,
        .value = k->value,
    };
    if (event_is_choice(out->type))
        out->claim = slice_number(kafka_record_header(k, "claim"));
    out->is_void = claims_void(claims, out->type, out->offset, out->claim);
}

const struct event *stage_event(const struct stage_record *r, struct arena *a, struct err *e)
{
    struct event *ev = arena_alloc(a, sizeof *ev);
    if (!ev) {
        err_set(e, ERR_REJECT, 0, "too large");
        return NULL;
    }
    if (event_decode(ev, r->value.p ? r->value.p : "", r->value.n, a, e))
        return NULL;
    if (ev->type == r->type)
        return ev;
    err_set(e, ERR_REJECT, 0, "the record is not what its header says");
    return NULL;
}

struct slot *runner_slot(struct runner *r, int32_t partition)
{
    for (size_t i = 0; i < r->slots.n; i++)
        if (r->slots.items[i]->partition == partition)
            return r->slots.items[i];
    return NULL;
}

/* ---- failpoints and fatal errors ---- */

/* Only those that a stage of this kind passes: the kill tests run over the list. */
static const struct {
    const char *name;
    bool journal, record, batch; /* passed by a stage with a journal; that has record(); of batches */
} failpoints[] = {{"claimed", true, false, false}, {"folded", true, false, false},
                  {"handled", false, true, false}, {"objects", true, true, false},
                  {"flushed", true, true, false},  {"committed", true, true, true}};

void stage_failpoints(const struct stage *s, void (*fn)(const char *name, void *arg), void *arg)
{
#if FAILPOINTS
    for (size_t i = 0; i < ARRAY_LEN(failpoints); i++) {
        char name[96];
        if (!(failpoints[i].journal && s->journal) && !(failpoints[i].record && s->record) &&
            !(failpoints[i].batch && s->batch))
            continue;
        snprintf(name, sizeof name, "%s.%s", s->name, failpoints[i].name);
        fn(name, arg);
    }
#endif
    (void)failpoints;
    (void)s;
    (void)fn;
    (void)arg;
}

int runner_failpoint(struct runner *r, const char *where, struct err *e)
{
    return stage_failpoint(r->stage->name, where, e);
}

void runner_leave(struct runner *r, const struct err *e)
{
    log_error("the stage cannot go on; leaving", LOG_STR("stage", r->stage->name), LOG_ERR(e));
    r->stop = 1;
    r->daemon->failed = 1;
    r->daemon->stopping = 1;
}

#define REJOINS       3
#define REJOIN_SPAN_MS 300000

void runner_fatal(struct runner *r, const struct err *e)
{
    int64_t now = clock_mono_ms();
    if (now - r->rejoins_since > REJOIN_SPAN_MS) {
        r->rejoins_since = now;
        r->rejoins = 0;
    }
    if (e->code != KAFKA_FENCED || ++r->rejoins > REJOINS) {
        runner_leave(r, e);
        return;
    }
    log_warn("the group has fenced this member; it joins anew", LOG_STR("stage", r->stage->name),
             LOG_ERR(e));
    r->rejoin = true;
}

/* ---- outputs ---- */

static int64_t longer(int64_t pause)
{
    pause = pause ? pause * 2 : STAGE_PAUSE_MIN;
    return pause < STAGE_PAUSE_MAX ? pause : STAGE_PAUSE_MAX;
}

static void close_all(struct runner *r)
{
    for (size_t i = 0; i < r->slots.n; i++) {
        struct slot *s = r->slots.items[i];
        if (!s->state)
            continue;
        s->pause = longer(s->pause);
        slot_close(r, s, s->pause);
    }
}

int runner_settle(struct runner *r)
{
    struct err e = {0};
    int result = 0;
    if (r->out.objects.n || r->out.records.n)
        result = write_outputs(r->daemon, &r->out, r->stage->name, &e);
    outputs_clear(&r->out);
    if (result) {
        LOG_LIMITED(LOG_LEVEL_ERROR, "outputs not written: the partitions are opened again",
                    LOG_STR("stage", r->stage->name), LOG_ERR(&e));
        close_all(r);
        return -1;
    }
    for (size_t i = 0; i < r->slots.n; i++)
        for (size_t k = 0; k < r->n_inputs; k++)
            slot_settled(&r->slots.items[i]->in[k]);
    return 0;
}

/* A handler that wants its record again must not leave half its outputs behind. */
static void outputs_cut(struct outputs *o, size_t objects, size_t records)
{
    struct outputs tail = {0};
    while (o->objects.n > objects)
        *vec_push(&tail.objects) = o->objects.items[--o->objects.n];
    while (o->records.n > records)
        *vec_push(&tail.records) = o->records.items[--o->records.n];
    outputs_free(&tail);
}

/* ---- one input record ---- */

static struct again *again_new(const struct kafka_record *k, size_t input)
{
    size_t n = k->key.n + k->value.n, names = 0;
    for (size_t i = 0; i < k->n_headers; i++)
        names += strlen(k->headers[i].name) + 1 + k->headers[i].value.n;
    struct again *a = mem_zalloc(sizeof *a + n + names);
    char *at = a->data;
    a->input = input;
    a->record = *k;
#define KEEP(slice)                                                                                \
    ((slice).n ? memcpy(at, (slice).p, (slice).n) : 0, (slice).p = (slice).p ? at : NULL,          \
     at += (slice).n)
    KEEP(a->record.key);
    KEEP(a->record.value);
    for (size_t i = 0; i < k->n_headers; i++) {
        size_t len = strlen(k->headers[i].name) + 1;
        a->record.headers[i].name = memcpy(at, k->headers[i].name, len);
        at += len;
        KEEP(a->record.headers[i].value);
    }
#undef KEEP
    return a;
}

static void dead_letter(struct runner *r, struct slot *s, const struct kafka_record *k,
                        const struct err *why)
{
    struct err e = {0};
    struct rejected rejected = {r->stage->name, s->claim, 1};
    log_error("record rejected", LOG_STR("stage", r->stage->name), LOG_STR("topic", k->topic),
              LOG_INT("partition", k->partition), LOG_INT("offset", k->offset), LOG_ERR(why));
    if (dlq_append(&r->out, k, &rejected, why, &e))
        log_error("rejected record cannot be described", LOG_ERR(&e));
}

/* The verdict of the handler; outputs are appended. */
static enum stage_verdict handle(struct runner *r, struct slot *s, const struct kafka_record *k,
                                 size_t input)
{
    struct stage_record rec;
    struct err e = {0};
    size_t objects = r->out.objects.n, records = r->out.records.n;
    const struct claims before = s->in[input].claims;
    stage_fill(&rec, k, r->stage->inputs[input], &s->in[input].claims);
    if (rec.type == EVENT_UNKNOWN || !r->stage->record)
        return STAGE_DONE;
    arena_reset(r->arena);
    enum stage_verdict v = r->stage->record(s->state, &rec, r->arena, &r->out, &e);
    if (v != STAGE_DONE)
        outputs_cut(&r->out, objects, records);
    if (v == STAGE_REJECT)
        dead_letter(r, s, k, &e);
    if (v == STAGE_RETRY) {
        s->in[input].claims = before;
        LOG_LIMITED(LOG_LEVEL_WARN, "a record has to wait", LOG_STR("stage", r->stage->name),
                    LOG_INT("partition", s->partition), LOG_INT("offset", k->offset), LOG_ERR(&e));
    }
    static const char *const names[] = {"done", "retry", "reject"};
    metric_add(&handled, 1, r->stage->name, names[v]);
    if (runner_failpoint(r, "handled", &e)) {
        outputs_cut(&r->out, objects, records);
        s->in[input].claims = before;
        return STAGE_RETRY;
    }
    return v;
}

/* As handle, carefully where the partition needs it. The slot may be closed afterwards. */
static enum stage_verdict work(struct runner *r, struct slot *s, const struct kafka_record *k,
                               size_t input)
{
    int touch = careful_before(r, s, input, k);
    if (touch < 0)
        return STAGE_RETRY;
    enum stage_verdict v = touch ? handle(r, s, k, input) : STAGE_DONE;
    if (v != STAGE_RETRY)
        slot_read(&s->in[input], k);
    if (touch)
        careful_after(r, s, input, k->offset, v != STAGE_RETRY);
    return v;
}

static void input_record(struct runner *r, const struct kafka_record *k)
{
    struct slot *s = runner_slot(r, k->partition);
    size_t i = 0;
    while (i < r->n_inputs && strcmp(r->topics[i], k->topic) != 0)
        i++;
    if (!s || !s->state || i == r->n_inputs || k->offset < s->in[i].read)
        return;
    if (s->again && s->again->input == i) {
        s->again->dropped = true;
        return;
    }
    slot_log_time(s, &s->told[i], k->timestamp);
    if (work(r, s, k, i) != STAGE_RETRY || !s->state)
        return;
    if (s->again) { /* one at a time: this one is read again after the other */
        struct err e = {0};
        if (kafka_seek(r->consumer, k->topic, k->partition, k->offset, &e))
            slot_close(r, s, STAGE_PAUSE_MIN);
        return;
    }
    s->again = again_new(k, i);
    s->again->pause = AGAIN_MIN_MS;
    s->again->due = clock_mono_ms() + AGAIN_MIN_MS;
}

static void try_again(struct runner *r, struct slot *s)
{
    struct again *a = s->again;
    struct err e = {0};
    s->again = NULL; /* while it is worked: closing the partition would free it */
    enum stage_verdict v = work(r, s, &a->record, a->input);
    if (!s->state) {
        mem_free(a);
        return;
    }
    if (v == STAGE_RETRY) {
        s->again = a;
        a->pause = a->pause * 2 < AGAIN_MAX_MS ? a->pause * 2 : AGAIN_MAX_MS;
        a->due = clock_mono_ms() + a->pause;
        return;
    }
    if (a->dropped &&
        kafka_seek(r->consumer, r->topics[a->input], s->partition, s->in[a->input].read, &e))
        slot_close(r, s, STAGE_PAUSE_MIN); /* opening it again seeks, too */
    mem_free(a);
}

/* ---- a turn ---- */

static bool full(const struct runner *r)
{
    return r->out.records.n >= STAGE_OUTPUTS || r->out.objects.n >= STAGE_OUTPUTS;
}

static void lost(struct runner *r, const struct kafka_record *where, const struct err *e)
{
    struct slot *s = runner_slot(r, where->partition);
    log_error("a partition's place is not in the log: it stays closed",
              LOG_STR("stage", r->stage->name), LOG_INT("partition", where->partition), LOG_ERR(e));
    if (s)
        slot_close(r, s, STAGE_LOST_MS); /* opening it again looks what is there */
}

static void trouble(struct runner *r, const struct kafka_record *where, const struct err *e)
{
    if (e->kind == ERR_FATAL)
        runner_fatal(r, e);
    else if (e->kind == ERR_REJECT && where->topic)
        lost(r, where, e);
    else
        LOG_LIMITED(LOG_LEVEL_WARN, "kafka", LOG_STR("stage", r->stage->name), LOG_ERR(e));
}

/* The partitions are opened again, which compares the log with what was read. */
static bool was_cut(struct runner *r)
{
    if (!kafka_consumer_cut(r->consumer) || !r->stage->unflushed)
        return false;
    log_warn("the broker was away: what was read is compared with the log",
             LOG_STR("stage", r->stage->name));
    outputs_clear(&r->out);
    close_all(r);
    return true;
}

/* Handles what is there without waiting; how many records. */
static int poll_inputs(struct runner *r)
{
    struct kafka_record k;
    int n = 0;
    for (; n < STAGE_TURN && !full(r) && !r->stop; n++) {
        struct err e = {0};
        int got = kafka_poll(r->consumer, &k, 0, &e);
        if (got < 0)
            trouble(r, &k, &e);
        if (was_cut(r) || got <= 0)
            break;
        input_record(r, &k);
    }
    return n;
}

static int poll_journal(struct runner *r)
{
    struct kafka_record k;
    int n = 0;
    for (; *r->journal && n < STAGE_TURN && !full(r) && !r->stop; n++) {
        struct err e = {0};
        int got = kafka_reader_poll(r->reader, &k, 0, &e);
        if (got < 0)
            trouble(r, &k, &e);
        if (got <= 0)
            break;
        journal_read(r, &k);
    }
    return n;
}

static bool caught_up(const struct runner *r, const struct slot *s)
{
    if (*r->journal && !kafka_reader_at_end(r->reader, r->journal, s->partition))
        return false;
    for (size_t i = 0; i < r->n_inputs && !r->same; i++)
        if (!kafka_at_end(r->consumer, r->topics[i], s->partition))
            return false;
    return !s->again;
}

/* The flag is set before the thread can be woken by the descriptor. */
void stage_wake(const struct stage_partition *p)
{
    uint64_t one = 1;
    __atomic_store_n(&p->runner->tick_at_once, true, __ATOMIC_RELEASE);
    if (write(p->runner->wake, &one, sizeof one) < 0 && errno != EAGAIN)
        log_debug("eventfd", LOG_INT("errno", errno));
}

static void tick(struct runner *r)
{
    int64_t now = clock_mono_ms();
    bool at_once = __atomic_exchange_n(&r->tick_at_once, false, __ATOMIC_ACQ_REL);
    if (!at_once && now < r->tick_at)
        return;
    r->tick_at = now + STAGE_TICK_MS;
    for (size_t i = 0; i < r->slots.n; i++) {
        struct slot *s = r->slots.items[i];
        if (s->state && s->again && now >= s->again->due)
            try_again(r, s);
        if (s->state && r->stage->tick)
            r->stage->tick(s->state, s->log_ts + now - s->log_mono, caught_up(r, s), &r->out);
    }
}

/* ---- opening again ---- */

static int seek_inputs(struct runner *r, struct slot *s, struct err *e)
{
    for (size_t i = 0; i < r->n_inputs && !r->same; i++)
        if (kafka_seek(r->consumer, r->topics[i], s->partition, s->in[i].read, e))
            return -1;
    return 0;
}

static void reopen_later(struct slot *s)
{
    s->pause = longer(s->pause);
    s->reopen_at = clock_mono_ms() + s->pause;
}

static void reopen(struct runner *r, struct slot *s)
{
    struct err e = {0};
    if (slot_commit(r, s, &e) || slots_open(r, &s, 1, &e)) {
        LOG_LIMITED(LOG_LEVEL_WARN, "a partition is not opened yet",
                    LOG_STR("stage", r->stage->name), LOG_INT("partition", s->partition),
                    LOG_ERR(&e));
        reopen_later(s);
        return;
    }
    if (s->state && seek_inputs(r, s, &e))
        slot_close(r, s, longer(s->pause));
}

static void reopen_due(struct runner *r)
{
    for (size_t i = 0; i < r->slots.n && !r->stop; i++) {
        struct slot *s = r->slots.items[i];
        if (!s->state && s->reopen_at && clock_mono_ms() >= s->reopen_at)
            reopen(r, s);
    }
}

/* ---- once a second ---- */

static void tell(struct runner *r)
{
    char why[DAEMON_WHY] = "has not joined its group";
    bool ready = kafka_member(r->consumer);
    int64_t lag = 0;
    for (size_t i = 0; i < r->slots.n; i++) {
        struct slot *s = r->slots.items[i];
        for (size_t k = 0; k < r->n_inputs; k++) {
            int64_t end = r->same ? kafka_reader_end(r->reader, r->journal, s->partition)
                                  : kafka_end(r->consumer, r->topics[k], s->partition);
            lag += end > s->in[k].position ? end - s->in[k].position : 0;
        }
        if (ready && !s->state) {
            ready = false;
            if (s->why[0])
                str_copy(why, sizeof why, s->why);
            else
                snprintf(why, sizeof why, "partition %d is closed", s->partition);
        }
    }
    tails_measure(r);
    metric_set(&position_lag, (double)lag, r->stage->name);
    readiness_set(&r->ready, ready, why);
}

static void keep_floors(struct runner *r)
{
    struct err e = {0};
    int64_t now = clock_mono_ms();
    if (now < r->commit_at)
        return;
    r->commit_at = now + STAGE_COMMIT_MS;
    if (floors_commit(r, false, &e)) {
        LOG_LIMITED(LOG_LEVEL_WARN, "floors not committed", LOG_STR("stage", r->stage->name),
                    LOG_ERR(&e));
        if (e.kind == ERR_FATAL) /* another owns them: the group will tell */
            close_all(r);
    }
    tell(r);
}

static void wait_for_more(struct runner *r)
{
    uint64_t n;
    struct pollfd p = {r->wake, POLLIN, 0};
    if (poll(&p, 1, STAGE_TICK_MS) > 0 && read(r->wake, &n, sizeof n) < 0 && errno != EAGAIN)
        log_debug("eventfd", LOG_INT("errno", errno));
}

static void turn(struct runner *r)
{
    r->out.now_ms = clock_wall_ms();
    int n = poll_inputs(r);
    if (r->rejoin)
        return;
    int own = poll_journal(r);
    n += own;
    if (r->same && own)
        r->tick_at = 0; /* what was read may be due */
    tick(r);
    if (!runner_settle(r))
        keep_floors(r);
    reopen_due(r);
    if (!n && !r->stop)
        wait_for_more(r);
}

/* ---- rebalancing ---- */

static void drop_slots(struct runner *r)
{
    for (size_t i = 0; i < r->slots.n; i++)
        slot_free(r, r->slots.items[i]);
    vec_clear(&r->slots);
}

static int assigned(void *arg, struct kafka_partition *parts, size_t n, struct err *e)
{
    struct runner *r = arg;
    drop_slots(r);
    if (r->stage->batch)
        return batch_assigned(r, parts, n, e);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].committed < 0)
            return err_set(e, ERR_RETRY, 0, "%s [%d]: no committed offset: talaria recover",
                           parts[i].topic, parts[i].partition);
        if (!runner_slot(r, parts[i].partition))
            *vec_push(&r->slots) = slot_new(r, parts, n, parts[i].partition);
    }
    r->out.now_ms = clock_wall_ms();
    /* whose they are is said before anything is touched */
    if (!slots_commit(r, e) && !slots_open(r, r->slots.items, r->slots.n, e))
        return 0;
    drop_slots(r);
    outputs_clear(&r->out);
    return -1;
}

static void revoked(void *arg, const struct kafka_partition *parts, size_t n, bool is_lost)
{
    struct runner *r = arg;
    struct err e = {0};
    (void)parts;
    (void)n;
    if (r->stage->batch) {
        batch_revoked(r);
        return;
    }
    if (!is_lost && (runner_settle(r) || floors_leave(r, &e)))
        log_warn("floors not committed while partitions are given away",
                 LOG_STR("stage", r->stage->name), LOG_ERR(&e));
    outputs_clear(&r->out);
    drop_slots(r);
}

/* ---- life ---- */

static int connect(struct runner *r, struct err *e)
{
    char group[TOPIC_NAME];
    const struct kafka_options *o = &r->daemon->kafka;
    struct kafka_group g = {.group = topics_group(group, r->daemon->settings->site, r->stage->name),
                            .gather_ms = r->stage->gather_ms,
                            .member = r->daemon->owner,
                            .topics = r->topics,
                            .n_topics = r->n_inputs,
                            .session_timeout_ms = (int)r->daemon->settings->session_seconds * 1000,
                            .assign_only = r->same,
                            .assigned = assigned,
                            .revoked = revoked,
                            .arg = r};
    if (!r->reader) {
        if (kafka_reader_new(&r->reader, o, e))
            return -1;
        if (!r->stage->batch)
            kafka_reader_wake(r->reader, r->wake);
    }
    if (kafka_consumer_new(&r->consumer, o, &g, e))
        return -1;
    kafka_consumer_wake(r->consumer, r->wake);
    return 0;
}

static void join(struct runner *r)
{
    struct err e = {0};
    while (!r->stop && connect(r, &e)) {
        watchdog_beat(r->beat);
        readiness_set(&r->ready, false, e.text);
        clock_sleep_ms(SETUP_RETRY_MS, &r->stop);
    }
}

/* Nothing can be committed by a fenced handle: what it owned is opened again after the next join. */
static void rejoin(struct runner *r)
{
    r->rejoin = false;
    readiness_set(&r->ready, false, "joins its group again");
    kafka_consumer_free(r->consumer);
    r->consumer = NULL;
    if (r->stage->batch)
        batch_revoked(r);
    outputs_clear(&r->out);
    drop_slots(r);
    join(r);
}

static void *run(void *arg)
{
    struct runner *r = arg;
    join(r);
    while (!r->stop) {
        watchdog_beat(r->beat);
        if (r->rejoin)
            rejoin(r);
        if (r->stop)
            break;
        if (r->stage->batch)
            batch_turn(r);
        else
            turn(r);
    }
    if (r->stage->batch)
        batch_last(r);
    kafka_consumer_free(r->consumer); /* revoked() writes, commits and closes */
    r->consumer = NULL;
    watchdog_leave(r->beat);
    return NULL;
}

static void runner_free(struct runner *r)
{
    drop_slots(r);
    vec_free(&r->slots);
    kafka_reader_free(r->reader);
    outputs_free(&r->out);
    vec_free(&r->batch);
    vec_free(&r->owned);
    arena_free(r->arena);
    arena_free(r->batch_arena);
    close(r->wake);
    mem_free(r);
}

int runner_start(struct runner **out, struct daemon *d, const struct stage *s, struct err *e)
{
    struct runner *r = mem_zalloc(sizeof *r);
    r->daemon = d;
    r->stage = s;
    readiness_init(&r->ready, "has not joined its group");
    r->out = daemon_outputs(d);
    r->arena = arena_new(STAGE_ARENA);
    r->batch_arena = arena_new(0);
    r->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    id_receipt(r->life);
    for (; r->n_inputs < STAGE_INPUTS && s->inputs[r->n_inputs]; r->n_inputs++)
        r->topics[r->n_inputs] =
            topics_name(r->inputs[r->n_inputs], d->settings->site, s->inputs[r->n_inputs]);
    if (s->journal)
        topics_name(r->journal, d->settings->site, s->journal);
    r->same = s->journal && r->n_inputs == 1 && strcmp(s->journal, s->inputs[0]) == 0;
    r->beat = watchdog_add(d, s->name);
    if (thread_start(&r->thread, s->name, 0, run, r, e)) {
        watchdog_leave(r->beat);
        runner_free(r);
        return -1;
    }
    *out = r;
    return 0;
}

void runner_stop(struct runner *r)
{
    if (!r)
        return;
    r->stop = 1;
    thread_join(r->thread);
    runner_free(r);
}

bool runner_ready(struct runner *r, char why[DAEMON_WHY])
{
    return readiness_get(&r->ready, why);
}

const char *runner_name(const struct runner *r)
{
    return r->stage->name;
}
