/* talaria recover, the logs: what anybody has named, and the padding that goes beyond it. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/careful.h"
#include "daemon/write.h"
#include "event/claims.h"
#include "talaria/recover.h"

#define WRITE_MS    60000
#define SILENCE_MS  15000
#define PAD_AT_ONCE 1000
#define PAD_MAX     10000000 /* more than any machine loses in its page cache */

/* ---- reading and writing ---- */

int recover_read(struct recover *r, const char *topic, int32_t partition,
                 int (*fn)(void *arg, const struct kafka_record *k), void *arg, struct err *e)
{
    int64_t low, high, next;
    struct kafka_reader *reader = NULL;
    if (kafka_watermarks(r->producer, topic, partition, &low, &high, e))
        return -1;
    if (low >= high)
        return 0;
    if (kafka_reader_new(&reader, &r->options, e))
        return -1;
    int result = kafka_reader_add(reader, topic, partition, low, e);
    int64_t until = clock_mono_ms() + SILENCE_MS;
    for (next = low; next < high && !result;) {
        struct kafka_record k;
        int got = kafka_reader_poll(reader, &k, 200, e);
        if (got > 0) {
            next = k.offset + 1;
            until = clock_mono_ms() + SILENCE_MS;
            result = fn(arg, &k);
        } else if (got == 0 && kafka_reader_at_end(reader, topic, partition)) {
            break;
        } else if (got < 0 || clock_mono_ms() > until) {
            result = got < 0 ? -1 : err_set(e, ERR_RETRY, 0, "%s cannot be read", topic);
        }
    }
    kafka_reader_free(reader);
    return result;
}

int recover_write(struct recover *r, struct outputs *out, int64_t *last, struct err *e)
{
    int result = write_records(r->producer, r->site, out, WRITE_MS, NULL, last, e);
    outputs_clear(out);
    return result;
}

/* ---- what is named ---- */

void recover_named(struct recover_topic *t, int32_t partition, int64_t offset)
{
    if (partition < RECOVER_PARTITIONS && offset > t->named[partition])
        t->named[partition] = offset;
}

/* The journal whose claims a stage's metadata names. */
static struct recover_topic *journal_of(struct recover *r, struct recover_topic *input,
                                        const char *stage)
{
    if (strcmp(stage, "decide") == 0)
        return &r->decision;
    return strcmp(stage, "process") == 0 || strcmp(stage, "dispatch") == 0 ? input : NULL;
}

static void take_commit(struct recover *r, struct recover_topic *t, const char *stage,
                        const struct kafka_partition *p)
{
    struct recover_topic *journal = journal_of(r, t, stage);
    struct careful c;
    struct err e = {0};
    recover_named(t, p->partition, p->committed - 1);
    if (!*p->metadata || careful_decode(&c, p->metadata, &e))
        return; /* not a stage of ours: the offset is all that it names */
    recover_named(t, p->partition, c.at);
    recover_named(t, p->partition, c.hand.offset);
    if (journal)
        recover_named(journal, p->partition, c.own);
}

static int group_commits(struct recover *r, struct recover_topic *t, const char *stage,
                         struct err *e)
{
    char group[TOPIC_NAME];
    struct kafka_partition parts[RECOVER_PARTITIONS];
    for (int32_t i = 0; i < t->n; i++)
        parts[i] = (struct kafka_partition){.topic = t->name, .partition = i};
    if (kafka_commits(&r->options, topics_group(group, r->site, stage), parts, (size_t)t->n, e))
        return -1;
    for (int32_t i = 0; i < t->n; i++) {
        take_commit(r, t, stage, &parts[i]);
        mem_free((char *)(uintptr_t)parts[i].metadata);
    }
    return 0;
}

int recover_commits(struct recover *r, struct err *e)
{
    struct recover_topic *topics[RECOVER_TOPICS];
    recover_topics(r, topics);
    for (size_t i = 0; i < RECOVER_TOPICS; i++)
        for (size_t g = 0; g < topics[i]->spec->groups.n; g++)
            if (group_commits(r, topics[i], topics[i]->spec->groups.items[g], e))
                return -1;
    return 0;
}

int recover_starts(struct recover *r, struct err *e)
{
    struct recover_topic *topics[RECOVER_TOPICS];
    char group[TOPIC_NAME];
    recover_topics(r, topics);
    for (size_t i = 0; i < RECOVER_TOPICS; i++) {
        const struct row_strings *groups = &topics[i]->spec->groups;
        for (size_t g = 0; g < groups->n; g++)
            if (kafka_commit_start(&r->options, topics_group(group, r->site, groups->items[g]),
                                   topics[i]->name, topics[i]->n, e))
                return -1;
    }
    return 0;
}

struct fold {
    struct recover *recover;
    int32_t partition;
    struct claims claims;
    struct arena *arena;
};

static void take_decision(struct fold *f, const struct event_series_decided *s)
{
    struct recover *r = f->recover;
    if (!s->window)
        return; /* by replay or reroute: covers nothing */
    recover_named(&r->instance, f->partition, s->window->last);
    if (s->manifest.key)
        *vec_push(&r->manifests) = mem_strdup(s->manifest.key);
}

static int fold_record(void *arg, const struct kafka_record *k)
{
    struct fold *f = arg;
    struct event ev;
    struct err e = {0};
    enum event_type type = event_type_of_header(kafka_record_header(k, "ce_type"));
    bool is_void = claims_void(&f->claims, type, k->offset,
                               slice_number(kafka_record_header(k, "claim")));
    if (type != EVENT_SERIES_DECIDED || is_void)
        return 0;
    arena_reset(f->arena);
    if (!event_decode(&ev, k->value.p ? k->value.p : "", k->value.n, f->arena, &e))
        take_decision(f, &ev.decided);
    return 0;
}

int recover_decisions(struct recover *r, struct err *e)
{
    struct fold f = {.recover = r, .arena = arena_new(0)};
    int result = 0;
    for (f.partition = 0; f.partition < r->decision.n && !result; f.partition++) {
        f.claims = CLAIMS_NONE;
        result = recover_read(r, r->decision.name, f.partition, fold_record, &f, e);
    }
    arena_free(f.arena);
    return result;
}

/* ---- padding ---- */

static int pad_some(struct recover *r, const struct recover_topic *t, int32_t partition, int64_t n,
                    int64_t *last, struct err *e)
{
    struct outputs out = {.source = "/talaria/cli/recover", .now_ms = clock_wall_ms()};
    int result = 0;
    for (int64_t i = 0; i < n && !result; i++) {
        struct event ev = {.type = EVENT_PADDING, .claim = {.owner = "talaria"}};
        result = outputs_event(&out, t->spec->noun, partition, "padding", &ev, -1, e);
    }
    if (!result)
        result = recover_write(r, &out, last, e);
    r->padded += result ? 0 : n;
    outputs_free(&out);
    return result;
}

static int pad(struct recover *r, const struct recover_topic *t, int32_t partition, struct err *e)
{
    int64_t low, high, last = -1;
    if (kafka_watermarks(r->producer, t->name, partition, &low, &high, e))
        return -1;
    if (t->named[partition] - high > PAD_MAX)
        return err_set(e, ERR_FATAL, 0, "%s [%d]: offset %lld is named, but the log ends at %lld",
                       t->name, partition, (long long)t->named[partition], (long long)high);
    if (strcmp(t->spec->policy, "compact") == 0 && t->named[partition] < high)
        return 0; /* what stood at an offset cannot be told there */
    do {
        int64_t n = t->named[partition] - (last < 0 ? high - 1 : last);
        n = n < 1 ? 1 : n > PAD_AT_ONCE ? PAD_AT_ONCE : n;
        if (pad_some(r, t, partition, n, &last, e))
            return -1;
    } while (last < t->named[partition]);
    return 0;
}

int recover_pad(struct recover *r, struct err *e)
{
    struct recover_topic *topics[RECOVER_TOPICS];
    recover_topics(r, topics);
    for (size_t i = 0; i < RECOVER_TOPICS; i++)
        for (int32_t p = 0; p < topics[i]->n; p++)
            if (pad(r, topics[i], p, e))
                return -1;
    return 0;
}
