/* One partition of a record stage: its floor, the metadata of its commits, its end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/stage_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define METADATA_MAX 1024

METRIC_GAUGE(floor_age, "talaria_stage_floor_age_seconds",
             "How long a floor has not moved though records after it were read.", "stage");

/* ---- metadata: {"v":1,"claim":N,"save":"…"}; claim is that of the input at its floor ---- */

struct metadata {
    int64_t v, claim;
    const char *save;
};
static const struct row metadata_rows[] = {
    {"v", ROW_INT, ROW(metadata, v), ROW_REQUIRED, .min = 1, .max = 1},
    {"claim", ROW_INT, ROW(metadata, claim), 0, "-1", .min = -1, .max = INT64_MAX},
    {"save", ROW_STRING, ROW(metadata, save)},
};
static const struct row_table metadata_table = {"commit metadata", sizeof(struct metadata),
                                                metadata_rows, ARRAY_LEN(metadata_rows)};

static void metadata_put(struct str *out, int64_t claim, const char *save)
{
    str_clear(out);
    str_printf(out, "{\"v\":1,\"claim\":%" PRId64, claim);
    if (save && *save) {
        str_puts(out, ",\"save\":");
        str_json(out, save, strlen(save));
    }
    str_putc(out, '}');
}

static void metadata_get(struct slot *s, size_t input, const char *text)
{
    struct arena *a = arena_new(1 << 16);
    struct metadata m = {0};
    struct err e = {0};
    if (*text && !rows_decode(&m, &metadata_table, text, strlen(text), a, NULL, &e)) {
        s->in[input].claim = s->in[input].floor_claim = m.claim;
        if (m.save && !s->saved)
            s->saved = mem_strdup(m.save);
    } else if (*text) {
        log_warn("commit metadata of another kind", LOG_ERR(&e));
    }
    arena_free(a);
}

/* ---- life ---- */

struct slot *slot_new(struct runner *r, const struct kafka_partition *parts, size_t n,
                      int32_t partition)
{
    struct slot *s = mem_zalloc(sizeof *s);
    s->partition = partition;
    s->claim = s->newest = -1;
    for (size_t i = 0; i < STAGE_INPUTS; i++)
        s->in[i] = (struct input){-1, -1, -1, -1, -1};
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < r->n_inputs; i++)
            if (parts[k].partition == partition && strcmp(parts[k].topic, r->topics[i]) == 0) {
                s->in[i].committed = parts[k].committed;
                metadata_get(s, i, parts[k].metadata);
            }
    s->moved = clock_mono_ms();
    return s;
}

void slot_close(struct runner *r, struct slot *s, int64_t reopen_in)
{
    if (r->reader && *r->journal)
        kafka_reader_remove(r->reader, r->journal, s->partition);
    if (s->state && r->stage->close)
        r->stage->close(s->state);
    s->state = NULL;
    MEM_CLEAR(s->again);
    s->reopen_at = reopen_in < 0 ? 0 : clock_mono_ms() + reopen_in;
}

void slot_free(struct runner *r, struct slot *s)
{
    slot_close(r, s, -1);
    mem_free(s->saved);
    mem_free(s);
}

void slot_log_time(struct slot *s, int64_t timestamp)
{
    if (timestamp < s->log_ts)
        return;
    s->log_ts = timestamp;
    s->log_mono = clock_mono_ms();
}

/* ---- floors ---- */

static int64_t floor_of(const struct runner *r, const struct slot *s, size_t i)
{
    const struct input *in = &s->in[i];
    int64_t floor = in->position;
    if (r->n_inputs == 1 && r->stage->floor)
        floor = r->stage->floor(s->state, in->position);
    if (floor > in->position)
        floor = in->position;
    return floor > in->committed ? floor : in->committed; /* a floor never goes back */
}

/* One request for all; what it says becomes the slots' own truth only when it was accepted. */
struct committing {
    struct slot *slot;
    size_t input;
    int64_t claim;
    struct str metadata;
    char *saved; /* with the first input of a slot */
};

struct commit {
    struct runner *r;
    VEC(struct kafka_partition) parts;
    VEC(struct committing) items;
};

static int64_t claim_at(const struct slot *s, size_t i, int64_t floor)
{
    if (floor == s->in[i].position)
        return s->in[i].claim;
    return floor == s->in[i].committed ? s->in[i].floor_claim : -1;
}

static void add_input(struct commit *c, struct slot *s, size_t i, int64_t floor, const char *save)
{
    struct committing x = {.slot = s, .input = i, .claim = claim_at(s, i, floor)};
    metadata_put(&x.metadata, x.claim, save);
    if (x.metadata.len > METADATA_MAX) {
        log_error("commit metadata is too long", LOG_STR("stage", c->r->stage->name),
                  LOG_INT("bytes", x.metadata.len));
        save = NULL;
        metadata_put(&x.metadata, x.claim, NULL);
    }
    if (i == 0)
        x.saved = mem_strdup(save && *save ? save : NULL);
    *vec_push(&c->items) = x;
    *vec_push(&c->parts) = (struct kafka_partition){
        .topic = c->r->topics[i], .partition = s->partition, .committed = floor};
}

static void add_slot(struct commit *c, struct slot *s, bool force)
{
    struct runner *r = c->r;
    struct str save = STR_INIT;
    int64_t floors[STAGE_INPUTS];
    bool moved = force;
    if (r->stage->save)
        r->stage->save(s->state, &save);
    moved = moved || strcmp(str_cstr(&save), s->saved ? s->saved : "") != 0;
    for (size_t i = 0; i < r->n_inputs; i++) {
        floors[i] = floor_of(r, s, i);
        moved = moved || floors[i] != s->in[i].committed;
    }
    for (size_t i = 0; moved && i < r->n_inputs; i++)
        add_input(c, s, i, floors[i], str_cstr(&save));
    str_free(&save);
}

static int commit_send(struct commit *c, struct err *e)
{
    for (size_t i = 0; i < c->parts.n; i++)
        c->parts.items[i].metadata = str_cstr(&c->items.items[i].metadata);
    int result = c->parts.n ? kafka_commit_all(c->r->consumer, c->parts.items, c->parts.n, e) : 0;
    for (size_t i = 0; i < c->parts.n && !result; i++) {
        struct committing *x = &c->items.items[i];
        struct input *in = &x->slot->in[x->input];
        if (in->committed != c->parts.items[i].committed)
            x->slot->moved = clock_mono_ms();
        in->committed = c->parts.items[i].committed;
        in->floor_claim = x->claim;
        if (x->input)
            continue;
        mem_free(x->slot->saved);
        x->slot->saved = x->saved;
        x->saved = NULL;
    }
    return result;
}

static void commit_free(struct commit *c)
{
    for (size_t i = 0; i < c->items.n; i++) {
        str_free(&c->items.items[i].metadata);
        mem_free(c->items.items[i].saved);
    }
    vec_free(&c->items);
    vec_free(&c->parts);
}

static void measure(struct runner *r)
{
    int64_t now = clock_mono_ms(), oldest = now;
    for (size_t k = 0; k < r->slots.n; k++) {
        struct slot *s = r->slots.items[k];
        bool behind = false;
        for (size_t i = 0; i < r->n_inputs; i++)
            behind |= s->in[i].committed < s->in[i].position;
        if (!behind)
            s->moved = now;
        if (s->moved < oldest)
            oldest = s->moved;
    }
    metric_set(&floor_age, (double)(now - oldest) / 1000, r->stage->name);
}

int floors_commit(struct runner *r, bool force, struct err *e)
{
    struct commit c = {.r = r};
    for (size_t i = 0; i < r->slots.n; i++)
        if (r->slots.items[i]->state)
            add_slot(&c, r->slots.items[i], force);
    bool any = c.parts.n > 0;
    int result = commit_send(&c, e);
    commit_free(&c);
    measure(r);
    if (!result && any && runner_failpoint(r, "committed", e))
        return -1;
    return result;
}

int slot_confirm(struct runner *r, struct slot *s, struct err *e)
{
    struct commit c = {.r = r};
    for (size_t i = 0; i < r->n_inputs; i++) {
        struct committing x = {.slot = s, .input = i, .claim = s->in[i].floor_claim};
        x.saved = i ? NULL : mem_strdup(s->saved);
        metadata_put(&x.metadata, x.claim, s->saved);
        *vec_push(&c.items) = x;
        *vec_push(&c.parts) = (struct kafka_partition){
            .topic = r->topics[i], .partition = s->partition, .committed = s->in[i].committed};
    }
    int result = commit_send(&c, e);
    commit_free(&c);
    return result;
}
