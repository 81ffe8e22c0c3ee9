/*
 * Batch stages: records are copied until there are 1000, 4 MB, or the oldest is 200 ms old, then
 * the stage takes all of them or none. Offsets are the stage's own business (positions()).
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/stage_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define BATCH_RECORDS 1000
#define BATCH_BYTES   (4u << 20)
#define BATCH_MS      200
#define IDLE_MS       500
#define NAMES_MS      1000

METRIC_COUNTER(batches, "talaria_stage_batches_total", "Batches, by outcome.", "stage,outcome");
METRIC_COUNTER(batch_records, "talaria_stage_batch_records_total", "Records in accepted batches.",
               "stage");

static struct slice keep(struct arena *a, struct slice s)
{
    if (!s.p)
        return s;
    return (struct slice){arena_strndup(a, s.p, s.n), s.n};
}

static void collect(struct runner *r, const struct kafka_record *k)
{
    struct kafka_record *c = vec_push(&r->batch);
    *c = *k; /* the topic is the consumer's own name, which lives longer */
    c->key = keep(r->batch_arena, k->key);
    c->value = keep(r->batch_arena, k->value);
    for (size_t i = 0; i < k->n_headers; i++) {
        c->headers[i].name = arena_strdup(r->batch_arena, k->headers[i].name);
        c->headers[i].value = keep(r->batch_arena, k->headers[i].value);
    }
    r->batch_bytes += k->value.n + k->key.n;
    if (r->batch.n == 1)
        r->batch_since = clock_mono_ms();
}

static void forget(struct runner *r)
{
    vec_clear(&r->batch);
    arena_reset(r->batch_arena);
    r->batch_bytes = 0;
    if (r->batch_due)
        kafka_pause(r->consumer, false);
    r->batch_due = r->batch_pause = 0;
}

static int dead_letter(struct runner *r, const struct kafka_record *k, const struct err *why,
                       struct err *e)
{
    struct outputs out = daemon_outputs(r->daemon);
    struct rejected rejected = {r->stage->name, -1, 1};
    log_error("record rejected", LOG_STR("stage", r->stage->name), LOG_STR("topic", k->topic),
              LOG_INT("partition", k->partition), LOG_INT("offset", k->offset), LOG_ERR(why));
    int result = dlq_append(&out, k, &rejected, why, e);
    if (!result)
        result = write_outputs(r->daemon, &out, r->stage->name, e);
    outputs_free(&out);
    return result;
}

/* ---- positions for others ---- */

/* Kafka is told what the stage has, for people and for `talaria recover`, which must know every offset
 * that somebody has named; where to go on is only asked of positions(). */
static void note_names(struct runner *r, const struct kafka_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < r->owned.n; k++) {
            struct kafka_partition *p = &r->owned.items[k];
            if (p->partition == records[i].partition && strcmp(p->topic, records[i].topic) == 0)
                p->committed = records[i].offset + 1;
        }
    r->names = true;
}

static void tell_names(struct runner *r)
{
    struct err e = {0};
    int64_t now = clock_mono_ms();
    if (!r->names || now < r->commit_at || !kafka_member(r->consumer))
        return;
    r->commit_at = now + NAMES_MS;
    r->names = false;
    for (size_t i = 0; i < r->owned.n; i++) {
        const struct kafka_partition *p = &r->owned.items[i];
        if (p->committed >= 0 &&
            kafka_commit(r->consumer, p->topic, p->partition, p->committed, "", false, &e))
            LOG_LIMITED(LOG_LEVEL_WARN, "positions not committed",
                        LOG_STR("stage", r->stage->name), LOG_ERR(&e));
    }
}

/* ---- a batch ---- */

/* Halves until the bad record stands alone. *done = how many are through. */
static int divide(struct runner *r, const struct kafka_record *records, size_t n, size_t *done,
                  struct err *e)
{
    watchdog_beat(r->beat);
    err_clear(e);
    if (!r->stage->batch(r->daemon, records, n, e)) {
        metric_add(&batch_records, (double)n, r->stage->name);
        note_names(r, records, n);
        *done += n;
        return 0;
    }
    if (e->kind != ERR_REJECT)
        return -1;
    if (n == 1) {
        struct err why = *e;
        if (dead_letter(r, records, &why, e)) {
            e->kind = ERR_RETRY;
            return -1;
        }
        *done += 1;
        return 0;
    }
    if (divide(r, records, n / 2, done, e))
        return -1;
    return divide(r, records + n / 2, n - n / 2, done, e);
}

static void drop_first(struct runner *r, size_t n)
{
    memmove(r->batch.items, r->batch.items + n, (r->batch.n - n) * sizeof *r->batch.items);
    r->batch.n -= n;
}

static void take_names(struct runner *r)
{
    for (size_t i = 0; i < r->owned.n; i++)
        r->owned.items[i].committed = r->owned.items[i].start;
    r->names = true;
}

/* Where to go on is asked again: somebody else may have moved the positions. */
static void start_again(struct runner *r)
{
    struct err e = {0};
    forget(r);
    int result = r->stage->positions(r->daemon, r->owned.items, r->owned.n, &e);
    for (size_t i = 0; i < r->owned.n && !result; i++)
        result = kafka_seek(r->consumer, r->owned.items[i].topic, r->owned.items[i].partition,
                            r->owned.items[i].start, &e);
    if (!result)
        take_names(r);
    if (!result)
        return;
    LOG_LIMITED(LOG_LEVEL_ERROR, "positions cannot be had", LOG_STR("stage", r->stage->name),
                LOG_ERR(&e));
    r->batch_due = clock_mono_ms() + STAGE_PAUSE_MIN;
    r->batch_pause = -1; /* asked again before anything is read */
    kafka_pause(r->consumer, true);
}

/* The stage cannot take it now. The group is served meanwhile, so nothing may be fetched. */
static void put_off(struct runner *r, const struct err *e)
{
    LOG_LIMITED(LOG_LEVEL_WARN, "a batch has to wait", LOG_STR("stage", r->stage->name),
                LOG_ERR(e));
    if (!r->batch_due)
        kafka_pause(r->consumer, true);
    r->batch_pause = r->batch_pause > 0 ? r->batch_pause * 2 : STAGE_PAUSE_MIN;
    if (r->batch_pause > STAGE_PAUSE_MAX)
        r->batch_pause = STAGE_PAUSE_MAX;
    r->batch_due = clock_mono_ms() + r->batch_pause;
    readiness_set(&r->ready, false, e->text);
}

static void flush(struct runner *r)
{
    struct err e = {0};
    size_t done = 0;
    int result = divide(r, r->batch.items, r->batch.n, &done, &e);
    metric_add(&batches, 1, r->stage->name, result ? "failed" : "ok");
    if (result && e.kind == ERR_FATAL) {
        log_warn("a batch was refused: positions are asked again", LOG_STR("stage", r->stage->name),
                 LOG_ERR(&e));
        start_again(r);
        return;
    }
    if (result) {
        drop_first(r, done);
        put_off(r, &e);
        return;
    }
    forget(r);
    if (runner_failpoint(r, "committed", &e))
        LOG_LIMITED(LOG_LEVEL_WARN, "failpoint", LOG_ERR(&e));
}

static bool complete(const struct runner *r, int64_t now)
{
    return r->batch.n >= BATCH_RECORDS || r->batch_bytes >= BATCH_BYTES ||
           (r->batch.n && now - r->batch_since >= BATCH_MS);
}

static void tell(struct runner *r)
{
    if (r->batch_due || clock_mono_ms() < r->tick_at)
        return;
    r->tick_at = clock_mono_ms() + IDLE_MS;
    tails_measure(r);
    if (r->lost_why[0])
        readiness_set(&r->ready, false, r->lost_why);
    else
        readiness_set(&r->ready, kafka_member(r->consumer), "has not joined its group");
}

static int64_t patience(const struct runner *r, int64_t now)
{
    int64_t until = r->batch_due ? r->batch_due
                    : r->batch.n ? r->batch_since + BATCH_MS
                                 : now + IDLE_MS;
    int64_t wait = until > now ? until - now : 0;
    return wait < IDLE_MS ? wait : IDLE_MS;
}

static void waiting(struct runner *r)
{
    if (clock_mono_ms() < r->batch_due)
        return;
    if (r->batch_pause < 0)
        start_again(r);
    else if (r->batch.n)
        flush(r);
    else
        forget(r);
}

/* ---- a lost tail ---- */

/* A position is not in the log. The other partitions go on; it is tried again, until `talaria recover`
 * has mended the log. */
static void lost(struct runner *r, const struct kafka_record *where, const struct err *e)
{
    snprintf(r->lost_why, sizeof r->lost_why, "%s [%d] does not hold what was read: talaria recover",
             where->topic, where->partition);
    LOG_LIMITED(LOG_LEVEL_ERROR, "a place is not in the log", LOG_STR("stage", r->stage->name),
                LOG_STR("why", r->lost_why), LOG_ERR(e));
    r->lost_at = clock_mono_ms() + STAGE_LOST_MS;
    r->lost_until = r->lost_at + STAGE_LOST_MS;
    if (!r->lost_told)
        r->lost_told = !tail_say(r, -1, EVENT_ALARM_RAISED, r->lost_why);
}

static void look_again(struct runner *r)
{
    int64_t now = clock_mono_ms();
    if (r->lost_at && now >= r->lost_at && !r->batch_due) {
        r->lost_at = 0;
        start_again(r);
    }
    if (!r->lost_why[0] || r->lost_at || now < r->lost_until)
        return;
    log_info("every place is in the log again", LOG_STR("stage", r->stage->name));
    if (r->lost_told && !tail_say(r, -1, EVENT_ALARM_CLEARED, r->lost_why))
        r->lost_told = false;
    r->lost_why[0] = '\0';
}

void batch_turn(struct runner *r)
{
    struct kafka_record k;
    struct err e = {0};
    int got = kafka_poll(r->consumer, &k, patience(r, clock_mono_ms()), &e);
    if (got > 0)
        collect(r, &k);
    if (got < 0 && e.kind == ERR_FATAL) {
        runner_fatal(r, &e);
        return;
    }
    if (got < 0 && e.kind == ERR_REJECT && k.topic)
        lost(r, &k, &e);
    else if (got < 0)
        LOG_LIMITED(LOG_LEVEL_WARN, "kafka", LOG_STR("stage", r->stage->name), LOG_ERR(&e));
    if (got < 0)
        readiness_set(&r->ready, false, e.text);
    if (r->batch_due)
        waiting(r);
    else if (complete(r, clock_mono_ms()))
        flush(r);
    look_again(r);
    tell_names(r);
    tell(r);
}

void batch_last(struct runner *r)
{
    if (r->batch.n && !r->batch_due)
        flush(r);
    r->commit_at = 0;
    tell_names(r);
}

int batch_assigned(struct runner *r, struct kafka_partition *parts, size_t n, struct err *e)
{
    batch_revoked(r);
    if (r->stage->positions(r->daemon, parts, n, e))
        return -1;
    for (size_t i = 0; i < n; i++) {
        *vec_push(&r->owned) = parts[i];
        r->owned.items[i].metadata = "";
    }
    take_names(r);
    return 0;
}

/* What was collected is not written yet, and so belongs to whoever comes next. Partitions are given
 * away resumed: librdkafka would remember the pause until they come back. */
void batch_revoked(struct runner *r)
{
    forget(r);
    vec_clear(&r->owned);
}
