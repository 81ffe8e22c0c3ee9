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
#define STAGE_BACK_MS (INT64_C(3600) * 1000)

METRIC_COUNTER(batches, "talaria_stage_batches_total", "Batches, by outcome.", "stage,outcome");
METRIC_COUNTER(batch_records, "talaria_stage_batch_records_total", "Records in accepted batches.",
               "stage");

static struct slice keep(struct arena *a, struct slice s)
{
    if (!s.p)
        return s;
    return (struct slice){arena_strndup(a, s.p, s.n), s.n};
}

static struct place *place_of(struct runner *r, const struct kafka_record *k)
{
    for (size_t i = 0; i < r->owned.n; i++) {
        struct place *p = &r->owned.items[i];
        if (p->at.partition == k->partition && strcmp(p->at.topic, k->topic) == 0)
            return p;
    }
    return NULL;
}

/* Of a partition that stays closed nothing is taken. */
static bool is_closed(struct runner *r, const struct kafka_record *k)
{
    const struct place *p = r->look_at ? place_of(r, k) : NULL;
    return p && *p->why;
}

static void collect(struct runner *r, const struct kafka_record *k)
{
    if (is_closed(r, k))
        return;
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
    for (size_t i = 0; i < n; i++) {
        struct place *p = place_of(r, &records[i]);
        if (p)
            p->committed = records[i].offset + 1;
    }
    r->names = true;
}

static int tell_name(struct runner *r, const struct place *p, struct err *e)
{
    struct careful c;
    struct str metadata = STR_INIT;
    careful_init(&c);
    c.alarm = p->alarm;
    if (c.alarm)
        careful_encode(&metadata, &c);
    int result = kafka_commit(r->consumer, p->at.topic, p->at.partition, p->committed,
                              str_cstr(&metadata), false, e);
    str_free(&metadata);
    return result;
}

static void tell_names(struct runner *r)
{
    struct err e = {0};
    int64_t now = clock_mono_ms();
    if (!r->names || now < r->commit_at || !kafka_member(r->consumer))
        return;
    r->commit_at = now + NAMES_MS;
    r->names = false;
    for (size_t i = 0; i < r->owned.n; i++)
        if (r->owned.items[i].committed >= 0 && tell_name(r, &r->owned.items[i], &e))
            LOG_LIMITED(LOG_LEVEL_WARN, "positions not committed",
                        LOG_STR("stage", r->stage->name), LOG_ERR(&e));
}

/* ---- where to read ---- */

static void alarm(struct runner *r, struct place *p, bool raised, const char *why)
{
    char name[64];
    const char *dot = strrchr(p->at.topic, '.'); /* talaria.<site>.<noun> */
    if (p->alarm == raised)
        return;
    snprintf(name, sizeof name, "%s/%s/%d", r->stage->name, dot ? dot + 1 : p->at.topic,
             p->at.partition);
    if (tail_say(r, name, raised ? EVENT_ALARM_RAISED : EVENT_ALARM_CLEARED, why))
        return;
    p->alarm = raised;
    r->names = true;
}

/* The partition stays closed, until `talaria recover` has mended the log. The others go on. */
static void lost(struct runner *r, struct place *p)
{
    LOG_LIMITED(LOG_LEVEL_ERROR, "a partition stays closed", LOG_STR("stage", r->stage->name),
                LOG_STR("why", p->why));
    r->look_at = clock_mono_ms() + STAGE_LOST_MS;
    alarm(r, p, true, p->why);
}

/* The log was mended: what was written after its lost end, at offsets that were read before, has not
 * been seen. The clocks of before and after may differ. */
static int go_back(struct runner *r, struct place *p, struct err *e)
{
    int64_t offset;
    if (!p->mended || !r->stage->back)
        return 0;
    if (kafka_reader_offset_of_time(r->reader, p->at.topic, p->at.partition,
                                    p->at.time - STAGE_BACK_MS, &offset, e))
        return -1;
    if (offset >= p->at.start)
        return 0;
    int result = r->stage->back(r->daemon, &p->at, offset, e);
    if (result == 0)
        p->at.start = offset;
    return result < 0 ? -1 : 0;
}

static int look(struct runner *r, struct place **places, size_t n, struct err *e)
{
    if (tails_places(r, places, n, e))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (*places[i]->why)
            lost(r, places[i]);
        else if (go_back(r, places[i], e))
            return -1;
        else
            alarm(r, places[i], false, "");
    return 0;
}

/* Asks for all places, and compares the log with them. */
static int take_places(struct runner *r, struct err *e)
{
    size_t n = r->owned.n;
    struct stage_place *at = mem_array(NULL, n + 1, sizeof *at);
    struct place **places = mem_array(NULL, n + 1, sizeof *places);
    for (size_t i = 0; i < n; i++) {
        places[i] = &r->owned.items[i];
        at[i] = (struct stage_place){.topic = places[i]->at.topic,
                                     .partition = places[i]->at.partition};
    }
    r->look_at = 0;
    r->names = true;
    int result = r->stage->positions(r->daemon, at, n, e);
    for (size_t i = 0; i < n && !result; i++) {
        places[i]->at = at[i];
        places[i]->committed = at[i].start;
    }
    if (!result)
        result = look(r, places, n, e);
    mem_free(places);
    mem_free(at);
    return result;
}

/* What comes of a closed partition is thrown away, wherever it is read. */
static int64_t read_from(const struct place *p)
{
    return *p->why ? p->end : p->at.start;
}

static int seek(struct runner *r, const struct place *p, struct err *e)
{
    return kafka_seek(r->consumer, p->at.topic, p->at.partition, read_from(p), e);
}

/* Closed places: has somebody mended the log? */
static void look_again(struct runner *r)
{
    struct err e = {0};
    VEC(struct place *) closed = {0};
    if (!r->look_at || clock_mono_ms() < r->look_at || r->batch_due)
        return;
    r->look_at = 0;
    for (size_t i = 0; i < r->owned.n; i++)
        if (*r->owned.items[i].why)
            *vec_push(&closed) = &r->owned.items[i];
    int result = look(r, closed.items, closed.n, &e);
    for (size_t i = 0; i < closed.n && !result; i++)
        result = *closed.items[i]->why ? 0 : seek(r, closed.items[i], &e);
    if (result) { /* what is known of them is not certain: from the beginning */
        LOG_LIMITED(LOG_LEVEL_WARN, "kafka", LOG_STR("stage", r->stage->name), LOG_ERR(&e));
        r->batch_due = clock_mono_ms() + STAGE_LOST_MS;
        r->batch_pause = -1;
        kafka_pause(r->consumer, true);
    }
    vec_free(&closed);
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

/* Where to go on is asked again: somebody else may have moved the positions. */
static void start_again(struct runner *r)
{
    struct err e = {0};
    forget(r);
    int result = take_places(r, &e);
    for (size_t i = 0; i < r->owned.n && !result; i++)
        result = seek(r, &r->owned.items[i], &e);
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
    const char *why = NULL;
    for (size_t i = 0; i < r->owned.n && !why; i++)
        why = *r->owned.items[i].why ? r->owned.items[i].why : NULL;
    if (why)
        readiness_set(&r->ready, false, why);
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

/* The log ends before the place, though it did not when the place was taken. */
static void out_of_range(struct runner *r, const struct kafka_record *where)
{
    struct place *p = place_of(r, where);
    if (!p || *p->why)
        return;
    snprintf(p->why, sizeof p->why, "%s [%d] does not hold what was read: talaria recover",
             p->at.topic, p->at.partition);
    lost(r, p);
}

void batch_turn(struct runner *r)
{
    struct kafka_record k;
    struct err e = {0};
    int got = kafka_poll(r->consumer, &k, patience(r, clock_mono_ms()), &e);
    if (kafka_consumer_cut(r->consumer) && r->stage->unflushed)
        start_again(r);
    else if (got > 0)
        collect(r, &k);
    if (got < 0 && e.kind == ERR_FATAL) {
        runner_fatal(r, &e);
        return;
    }
    if (got < 0 && e.kind == ERR_REJECT && k.topic)
        out_of_range(r, &k);
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

static bool was_alarmed(const char *metadata)
{
    struct careful c = {0};
    struct err e = {0};
    bool yes = *metadata && !careful_decode(&c, metadata, &e) && c.alarm;
    return yes;
}

int batch_assigned(struct runner *r, struct kafka_partition *parts, size_t n, struct err *e)
{
    batch_revoked(r);
    for (size_t i = 0; i < n; i++)
        *vec_push(&r->owned) = (struct place){
            .at = {.topic = parts[i].topic, .partition = parts[i].partition},
            .committed = -1,
            .alarm = was_alarmed(parts[i].metadata)};
    if (take_places(r, e)) {
        batch_revoked(r);
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        parts[i].start = read_from(&r->owned.items[i]);
    return 0;
}

/* What was collected is not written yet, and so belongs to whoever comes next. Partitions are given
 * away resumed: librdkafka would remember the pause until they come back. */
void batch_revoked(struct runner *r)
{
    forget(r);
    vec_clear(&r->owned);
    r->look_at = 0;
}
