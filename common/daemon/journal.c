/*
 * Opening partitions and reading the own journal on.
 *
 * All partitions of one assignment are opened together: their claims are appended, then their
 * journals are folded side by side up to the claims, each from the log's start or from some time
 * before its floor.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/stage_priv.h"
#include "daemon/write.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define CLAIM_MS   15000
#define SILENCE_MS 30000 /* a journal that gives nothing for so long while it is folded */
#define LOST_MS    30000 /* pause before a partition that is another's is asked for again */

METRIC_COUNTER(opens, "talaria_stage_opens_total", "Partitions opened, by outcome.",
               "stage,outcome");
METRIC_COUNTER(folded_records, "talaria_stage_folded_records_total",
               "Journal records read while opening.", "stage");
METRIC_COUNTER(void_choices, "talaria_stage_void_choices_total",
               "Choices read that a newer claim had made void.", "stage");

/* ---- claim ---- */

static int append_claim(struct runner *r, struct slot *s, struct err *e)
{
    struct outputs out = daemon_outputs(r->daemon);
    struct event ev = {.type = EVENT_CLAIM, .subject = r->daemon->owner};
    struct kafka_ack ack;
    ev.claim.owner = r->daemon->owner;
    int result = outputs_event(&out, r->stage->journal, s->partition, r->daemon->owner, &ev, -1, e);
    if (!result) {
        struct kafka_message m;
        write_message(&m, &out.records.items[0], r->journal);
        result = kafka_produce_wait(r->daemon->producer, &m, CLAIM_MS, &ack, e);
    }
    outputs_free(&out);
    if (result)
        return err_wrap(e, "claim of %s [%d]", r->journal, s->partition);
    s->claim = ack.offset;
    s->claimed_at = ack.timestamp >= 0 ? ack.timestamp : clock_wall_ms();
    for (size_t i = 0; i < r->n_inputs; i++)
        s->in[i].careful.own = s->claim;
    return runner_failpoint(r, "claimed", e);
}

/* ---- where the fold starts ---- */

static const char *floor_topic(const struct runner *r)
{
    return r->same ? r->journal : r->topics[0];
}

static bool wants_time(const struct runner *r, const struct slot *s)
{
    return r->stage->memory_ms > 0 && s->state && s->in[0].committed >= 0;
}

static bool no_timely_record(const struct runner *r, const struct slot *s)
{
    return r->same ? s->in[0].committed >= s->claim
                   : kafka_reader_at_end(r->reader, floor_topic(r), s->partition);
}

/* Of the slots that are being opened. The reader reads on for the others meanwhile. */
static struct slot *among(struct slot **slots, size_t n, int32_t partition)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i]->partition == partition && slots[i]->state)
            return slots[i];
    return NULL;
}

/* Log time of the record at each floor (the own claim if there is none). */
static int read_floor_times(struct runner *r, struct slot **slots, size_t n, struct err *e)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        slots[i]->floor_time = -1;
        if (!wants_time(r, slots[i]))
            continue;
        if (kafka_reader_add(r->reader, floor_topic(r), slots[i]->partition,
                             slots[i]->in[0].committed, e))
            return -1;
        left++;
    }
    int64_t until = clock_mono_ms() + SILENCE_MS;
    while (left) {
        struct kafka_record k;
        int got = kafka_reader_poll(r->reader, &k, 100, e);
        if (got < 0)
            return -1;
        if (clock_mono_ms() > until || r->stop)
            return err_set(e, ERR_RETRY, 0, "%s: floors cannot be read", r->journal);
        watchdog_beat(r->beat);
        if (got && !among(slots, n, k.partition))
            journal_read(r, &k);
        for (size_t i = 0; i < n; i++) {
            struct slot *s = slots[i];
            bool hit = got && k.partition == s->partition && strcmp(k.topic, floor_topic(r)) == 0;
            if (!wants_time(r, s) || s->floor_time >= 0 || (!hit && !no_timely_record(r, s)))
                continue;
            s->floor_time = hit ? k.timestamp : clock_wall_ms();
            kafka_reader_remove(r->reader, floor_topic(r), s->partition);
            left--;
        }
    }
    return 0;
}

static int fold_start(struct runner *r, const struct slot *s, int64_t *start, struct err *e)
{
    *start = KAFKA_START;
    if (r->stage->memory_ms == STAGE_FROM_START)
        return 0;
    int64_t floor = r->same ? s->in[0].committed : s->claim;
    if (r->stage->memory_ms > 0) {
        if (kafka_reader_offset_of_time(r->reader, r->journal, s->partition,
                                        s->floor_time - r->stage->memory_ms, start, e))
            return -1;
        floor = *start < floor ? *start : floor;
    }
    *start = floor;
    return 0;
}

/* ---- fold ---- */

static void hand_over(struct runner *r, struct slot *s, const struct kafka_record *k, bool folding)
{
    struct stage_record rec;
    stage_fill(&rec, k, r->stage->journal, &s->claims);
    rec.folding = folding;
    slot_log_time(s, &s->told[STAGE_INPUTS], k->timestamp);
    if (rec.is_void)
        metric_add(&void_choices, 1, r->stage->name);
    if (rec.type == EVENT_UNKNOWN || !r->stage->journal_record)
        return;
    arena_reset(r->arena);
    r->stage->journal_record(s->state, &rec, r->arena);
}

/* Where the journal is the input, its records may be poison, too; what lies before the floor was
 * worked before. -1: the partition was closed. */
static int deliver(struct runner *r, struct slot *s, const struct kafka_record *k, bool folding)
{
    bool input = r->same && k->offset >= s->in[0].committed;
    int work = input ? careful_before(r, s, 0, k) : 1;
    if (work < 0)
        return -1;
    if (work)
        hand_over(r, s, k, folding);
    if (input)
        careful_after(r, s, 0, k->offset, true);
    return s->state ? 0 : -1;
}

static int start_folds(struct runner *r, struct slot **slots, size_t n, size_t *left, struct err *e)
{
    *left = 0;
    if (read_floor_times(r, slots, n, e))
        return -1;
    for (size_t i = 0; i < n; i++) {
        int64_t start;
        slots[i]->folded = false;
        if (!slots[i]->state)
            continue;
        if (fold_start(r, slots[i], &start, e) ||
            kafka_reader_add(r->reader, r->journal, slots[i]->partition, start, e))
            return -1;
        ++*left;
    }
    return 0;
}

/* One record of a fold. Returns 1 when the slot has reached its claim. */
static int fold_record(struct runner *r, struct slot *s, const struct kafka_record *k)
{
    if (s->folded || k->offset > s->claim)
        return 0;
    if (deliver(r, s, k, true) < 0)
        return 0;
    metric_add(&folded_records, 1, r->stage->name);
    if (k->offset < s->claim || !s->state)
        return 0;
    if (r->same)
        slot_read(&s->in[0], k);
    s->claimed_at = k->timestamp;
    s->folded = true;
    kafka_reader_remove(r->reader, r->journal, s->partition);
    return 1;
}

static int fold(struct runner *r, struct slot **slots, size_t n, struct err *e)
{
    size_t left;
    if (start_folds(r, slots, n, &left, e))
        return -1;
    int64_t until = clock_mono_ms() + SILENCE_MS;
    while (left) {
        struct kafka_record k;
        int got = kafka_reader_poll(r->reader, &k, 100, e);
        if (got < 0)
            return -1;
        watchdog_beat(r->beat);
        struct slot *s = got ? among(slots, n, k.partition) : NULL;
        if (s && fold_record(r, s, &k))
            left--;
        if (s && !s->state)
            return err_set(e, ERR_RETRY, 0, "%s: closed while it was folded", r->journal);
        if (got && !s)
            journal_read(r, &k);
        if (got)
            until = clock_mono_ms() + SILENCE_MS;
        if (clock_mono_ms() > until || r->stop)
            return err_set(e, ERR_RETRY, 0, "%s: the fold does not go on", r->journal);
    }
    return runner_failpoint(r, "folded", e);
}

/* ---- open ---- */

static void make_state(struct runner *r, struct slot *s)
{
    struct stage_partition p = {.daemon = r->daemon,
                                .runner = r,
                                .site = r->daemon->settings->site,
                                .owner = r->daemon->owner,
                                .partition = s->partition,
                                .claim = s->claim,
                                .claimed_at = s->claimed_at,
                                .floor = s->in[0].committed};
    s->state = r->stage->open(&p);
}

static int begin(struct runner *r, struct slot *s, struct err *e)
{
    if (s->why[0])
        return 0; /* it stays closed */
    s->claim = -1;
    s->claims = CLAIMS_NONE;
    s->claimed_at = s->log_ts = clock_wall_ms();
    s->log_mono = clock_mono_ms();
    memset(s->told, 0, sizeof s->told);
    for (size_t i = 0; i < r->n_inputs; i++) {
        s->in[i].read = s->in[i].position = s->in[i].committed;
        s->in[i].claims = s->in[i].settled = s->in[i].floor;
        s->in[i].last = -1;
    }
    if (*r->journal && append_claim(r, s, e))
        return -1;
    if (*r->journal)
        s->log_ts = 0; /* the fold tells log time */
    make_state(r, s);
    return 0;
}

static int finish(struct runner *r, struct slot *s, struct err *e)
{
    if (!s->state)
        return 0;
    if (*r->journal && kafka_reader_add(r->reader, r->journal, s->partition, s->claim + 1, e))
        return -1;
    if (r->same)
        slot_settled(&s->in[0]);
    if (r->stage->opened)
        r->stage->opened(s->state, &r->out);
    s->pause = 0;
    slot_found(r, s);
    metric_add(&opens, 1, r->stage->name, "opened");
    log_info("partition opened", LOG_STR("stage", r->stage->name),
             LOG_INT("partition", s->partition), LOG_INT("claim", s->claim),
             LOG_INT("floor", s->in[0].committed));
    return 0;
}

int slots_open(struct runner *r, struct slot **slots, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        slot_close(r, slots[i], -1);
    int result = tails_check(r, slots, n, e);
    for (size_t i = 0; i < n && !result; i++)
        result = begin(r, slots[i], e);
    if (!result && *r->journal)
        result = fold(r, slots, n, e);
    if (!result)
        result = tails_named(r, slots, n, e);
    for (size_t i = 0; i < n && !result; i++)
        result = finish(r, slots[i], e);
    for (size_t i = 0; i < n && result; i++) {
        kafka_reader_remove(r->reader, floor_topic(r), slots[i]->partition);
        slot_close(r, slots[i], -1);
        metric_add(&opens, 1, r->stage->name, "failed");
    }
    return result;
}

/* ---- reading on ---- */

/* Somebody has claimed the journal after us. Only the group knows who is right. */
static void newer_claim(struct runner *r, struct slot *s, int64_t claim)
{
    struct err e = {0};
    log_warn("a newer claim stands in the journal", LOG_STR("stage", r->stage->name),
             LOG_INT("partition", s->partition), LOG_INT("own", s->claim), LOG_INT("newer", claim));
    if (runner_settle(r)) /* closes everything; opening again asks the group */
        return;
    if (floors_commit(r, true, &e) && e.kind == ERR_FATAL) {
        log_warn("the group refuses the floor: the partition is another's now", LOG_ERR(&e));
        slot_close(r, s, LOST_MS);
        return;
    }
    slot_close(r, s, 0);
}

void journal_read(struct runner *r, const struct kafka_record *k)
{
    struct slot *s = runner_slot(r, k->partition);
    if (!s || !s->state || k->offset <= s->claim)
        return;
    if (deliver(r, s, k, false))
        return;
    if (r->same)
        slot_read(&s->in[0], k);
    if (s->claims.newest > s->claim &&
        event_type_of_header(kafka_record_header(k, "ce_type")) == EVENT_CLAIM)
        newer_claim(r, s, k->offset);
}
