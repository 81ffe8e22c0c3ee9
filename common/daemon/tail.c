/*
 * Lost tails (design.md §3): a power cut may take the end of a log, and offsets are then used twice.
 * What somebody has named, by the metadata of a commit or in a journal, is compared with what stands
 * there. Unequal, or beyond the end: the partition stays closed with an alarm, until a padding record
 * stands at or beyond the named offset: `talaria recover` writes it, and announces again what may have
 * been there.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/stage_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define SILENCE_MS 10000

METRIC_GAUGE(closed, "talaria_stage_closed",
             "Partitions that stay closed until `talaria recover`: their log has lost its end.", "stage");

/* One offset that somebody has named, and what is known of the record there. */
struct probe {
    struct slot *slot;
    struct place *place; /* instead of slot */
    const char *topic;
    int32_t partition;
    int64_t offset;
    uint64_t mark;
    const char *id; /* instead of mark */
    bool end_only;  /* nothing is known of the record: only that the log went on to it */
    enum { ASKED, SOUND, MENDED, LOST } state;
};

typedef VEC(struct probe) probes;

static bool same(const struct probe *p, const struct kafka_record *k)
{
    if (k->offset != p->offset)
        return false;
    return p->id ? slice_is(careful_id(k->value), p->id)
                 : careful_mark(k->timestamp, k->value) == p->mark;
}

static void look(struct probe *p, const struct kafka_record *k)
{
    if (k->offset < p->offset)
        return;
    if (same(p, k))
        p->state = SOUND;
    else if (event_type_of_header(kafka_record_header(k, "ce_type")) == EVENT_PADDING)
        p->state = MENDED;
}

/* What is in the log at all? */
static int bounds(struct runner *r, struct probe *p, int64_t *end, struct err *e)
{
    int64_t low, high;
    if (kafka_watermarks(r->daemon->producer, p->topic, p->partition, &low, &high, e))
        return -1;
    *end = high;
    if (p->offset >= high)
        p->state = LOST;
    else if (p->offset < low || p->end_only)
        p->state = SOUND; /* retention took it: nobody can tell */
    return 0;
}

/* A record, or NULL: the queue is empty. How many probes still wait. */
static size_t offer(struct runner *r, probes *all, const struct kafka_record *k)
{
    size_t left = 0;
    bool taken = false;
    for (size_t i = 0; i < all->n; i++) {
        struct probe *p = &all->items[i];
        bool mine = k && k->partition == p->partition && strcmp(k->topic, p->topic) == 0;
        taken |= mine;
        if (p->state == ASKED && mine)
            look(p, k);
        else if (p->state == ASKED && !k &&
                 kafka_reader_at_end(r->reader, p->topic, p->partition))
            p->state = LOST;
        left += p->state == ASKED;
    }
    if (k && !taken && *r->journal)
        journal_read(r, k); /* of a partition that is open */
    return left;
}

static int read_probes(struct runner *r, probes *all, struct err *e)
{
    size_t left = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct probe *p = &all->items[i];
        left += p->state == ASKED;
        if (p->state == ASKED &&
            kafka_reader_add(r->reader, p->topic, p->partition, p->offset, e))
            return -1;
    }
    int64_t until = clock_mono_ms() + SILENCE_MS;
    while (left) {
        struct kafka_record k;
        int got = kafka_reader_poll(r->reader, &k, 100, e);
        if (got < 0)
            return -1;
        watchdog_beat(r->beat);
        if (got)
            until = clock_mono_ms() + SILENCE_MS;
        if (clock_mono_ms() > until || r->stop)
            return err_set(e, ERR_RETRY, 0, "what was read last cannot be read again");
        left = offer(r, all, got ? &k : NULL);
    }
    return 0;
}

static void tell(struct runner *r, const struct probe *p)
{
    char why[DAEMON_WHY];
    if (p->place)
        p->place->mended = p->state == MENDED;
    if (p->state != LOST)
        return;
    snprintf(why, sizeof why,
             "%s [%d] has lost its end: offset %" PRId64 " was read and is gone; talaria recover",
             p->topic, p->partition, p->offset);
    if (p->place)
        str_copy(p->place->why, sizeof p->place->why, why);
    else
        slot_lost(r, p->slot, why);
}

static int check(struct runner *r, probes *all, struct err *e)
{
    int result = all->n ? read_probes(r, all, e) : 0;
    for (size_t i = 0; i < all->n; i++)
        kafka_reader_remove(r->reader, all->items[i].topic, all->items[i].partition);
    for (size_t i = 0; i < all->n && !result; i++)
        tell(r, &all->items[i]);
    return result;
}

static int add_probe(struct runner *r, probes *all, const struct probe *p, int64_t *end,
                     struct err *e)
{
    struct probe copy = *p;
    if (bounds(r, &copy, end, e))
        return -1;
    if (copy.offset >= 0 && copy.state != SOUND)
        *vec_push(all) = copy;
    return 0;
}

static int input_probes(struct runner *r, probes *all, struct slot *s, struct err *e)
{
    int64_t end;
    for (size_t i = 0; i < r->n_inputs; i++) {
        struct input *in = &s->in[i];
        struct probe p = {.slot = s,
                          .topic = r->topics[i],
                          .partition = s->partition,
                          .offset = in->careful.at,
                          .mark = in->careful.mark};
        p.end_only = in->committed - 1 > p.offset; /* committed by an older version */
        if (p.end_only)
            p.offset = in->committed - 1;
        if (add_probe(r, all, &p, &end, e))
            return -1;
        in->until = careful_until(&in->careful, in->committed, end);
        in->from = in->committed;
    }
    const struct probe own = {.slot = s,
                              .topic = r->journal,
                              .partition = s->partition,
                              .offset = s->in[0].careful.own,
                              .end_only = true};
    return *r->journal && !r->same && own.offset >= 0 ? add_probe(r, all, &own, &end, e) : 0;
}

int tails_check(struct runner *r, struct slot **slots, size_t n, struct err *e)
{
    probes all = {0};
    int result = 0;
    for (size_t i = 0; i < n && !result; i++) {
        slots[i]->why[0] = '\0';
        result = input_probes(r, &all, slots[i], e);
    }
    if (!result)
        result = check(r, &all, e);
    vec_free(&all);
    return result;
}

int tails_named(struct runner *r, struct slot **slots, size_t n, struct err *e)
{
    probes all = {0};
    int64_t end;
    int result = 0;
    for (size_t i = 0; i < n && !result && r->stage->named; i++) {
        struct probe p = {.slot = slots[i],
                          .topic = r->topics[0],
                          .partition = slots[i]->partition,
                          .offset = -1};
        p.id = slots[i]->state ? r->stage->named(slots[i]->state, &p.offset) : NULL;
        if (p.id)
            result = add_probe(r, &all, &p, &end, e);
    }
    if (!result)
        result = check(r, &all, e);
    vec_free(&all);
    return result;
}

/* Of a compacted topic the record before may be gone for good reason. */
static bool is_compacted(const struct runner *r, const char *topic)
{
    for (size_t i = 0; i < r->n_inputs; i++)
        if (strcmp(r->topics[i], topic) == 0)
            return strcmp(topics_find(r->stage->inputs[i])->policy, "compact") == 0;
    return false;
}

int tails_places(struct runner *r, struct place **places, size_t n, struct err *e)
{
    probes all = {0};
    int result = 0;
    for (size_t i = 0; i < n && !result; i++) {
        const struct stage_place *at = &places[i]->at;
        const struct probe p = {.place = places[i],
                                .topic = at->topic,
                                .partition = at->partition,
                                .offset = at->start - 1,
                                .mark = at->mark,
                                .end_only = !at->marked || is_compacted(r, at->topic)};
        places[i]->why[0] = '\0';
        places[i]->mended = false;
        if (at->start > 0)
            result = add_probe(r, &all, &p, &places[i]->end, e);
    }
    if (!result)
        result = check(r, &all, e);
    vec_free(&all);
    return result;
}

/* ---- alarm ---- */

int tail_say(struct runner *r, const char *name, enum event_type type, const char *text)
{
    struct err e = {0};
    struct outputs out = daemon_outputs(r->daemon);
    struct event ev = {.type = type, .note = {.kind = "stage", .name = name, .text = text}};
    int result = outputs_event(&out, "event", -1, NULL, &ev, -1, &e);
    if (!result)
        result = daemon_write(r->daemon, &out, &e);
    if (result)
        log_warn("an alarm is not written", LOG_ERR(&e));
    outputs_free(&out);
    return result;
}

/* Said once, whoever owns the partition: the metadata remembers it. */
static void alarm(struct runner *r, struct slot *s, bool raised)
{
    struct err e = {0};
    char name[64];
    snprintf(name, sizeof name, "%s/%d", r->stage->name, s->partition);
    if (s->in[0].careful.alarm == raised ||
        tail_say(r, name, raised ? EVENT_ALARM_RAISED : EVENT_ALARM_CLEARED, s->why))
        return;
    for (size_t i = 0; i < r->n_inputs; i++)
        s->in[i].careful.alarm = raised;
    if (slot_commit(r, s, &e))
        log_warn("an alarm is not remembered", LOG_ERR(&e));
}

void slot_lost(struct runner *r, struct slot *s, const char *why)
{
    str_copy(s->why, sizeof s->why, why);
    LOG_LIMITED(LOG_LEVEL_ERROR, "a partition stays closed", LOG_STR("stage", r->stage->name),
                LOG_INT("partition", s->partition), LOG_STR("why", s->why));
    slot_close(r, s, STAGE_LOST_MS);
    alarm(r, s, true);
}

void slot_found(struct runner *r, struct slot *s)
{
    s->why[0] = '\0';
    alarm(r, s, false);
}

void tails_measure(struct runner *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->slots.n; i++)
        n += r->slots.items[i]->why[0] != '\0';
    for (size_t i = 0; i < r->owned.n; i++)
        n += r->owned.items[i].why[0] != '\0';
    metric_set(&closed, (double)n, r->stage->name);
}
