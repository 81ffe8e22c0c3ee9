/* One partition of a record stage: its floor, the metadata of its commits, its end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/stage_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define SET_BACK_MS  10000 /* from one record of a log to its next: a broker's clock was corrected */

METRIC_GAUGE(floor_age, "talaria_stage_floor_age_seconds",
             "How long a floor has not moved though records after it were read.", "stage");

/* ---- metadata ---- */

static void metadata_get(struct slot *s, size_t input, const char *text)
{
    struct input *in = &s->in[input];
    struct err e = {0};
    if (!*text)
        return;
    in->text = mem_strdup(text);
    if (careful_decode(&in->careful, text, &e))
        log_warn("commit metadata of another kind", LOG_ERR(&e));
    in->floor.newest = in->careful.claim;
}

/* ---- life ---- */

struct slot *slot_new(struct runner *r, const struct kafka_partition *parts, size_t n,
                      int32_t partition)
{
    struct slot *s = mem_zalloc(sizeof *s);
    s->partition = partition;
    s->claim = -1;
    s->claims = CLAIMS_NONE;
    for (size_t i = 0; i < STAGE_INPUTS; i++) {
        s->in[i] = (struct input){-1, -1, -1, CLAIMS_NONE, CLAIMS_NONE, CLAIMS_NONE, .last = -1};
        careful_init(&s->in[i].careful);
    }
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < r->n_inputs; i++)
            if (parts[k].partition == partition && strcmp(parts[k].topic, r->topics[i]) == 0) {
                s->in[i].committed = parts[k].committed;
                metadata_get(s, i, parts[k].metadata);
                careful_open(&s->in[i].careful, r->life);
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
    for (size_t i = 0; i < STAGE_INPUTS; i++)
        mem_free(s->in[i].text);
    mem_free(s);
}

void slot_log_time(struct slot *s, int64_t *before, int64_t timestamp)
{
    bool set_back = timestamp < *before - SET_BACK_MS;
    *before = timestamp;
    if (timestamp < s->log_ts && !set_back)
        return;
    s->log_ts = timestamp;
    s->log_mono = clock_mono_ms();
}

void slot_read(struct input *in, const struct kafka_record *k)
{
    in->read = k->offset + 1;
    in->last = k->offset;
    in->mark = careful_mark(k->timestamp, k->value);
}

void slot_settled(struct input *in)
{
    in->position = in->read;
    in->settled = in->claims;
    if (in->last <= in->careful.at)
        return; /* read again, after an opening */
    in->careful.at = in->last;
    in->careful.mark = in->mark;
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
    struct claims claims;
    struct str metadata;
};

struct commit {
    struct runner *r;
    VEC(struct kafka_partition) parts;
    VEC(struct committing) items;
};

static struct claims claims_at(const struct input *in, int64_t floor)
{
    if (floor == in->position)
        return in->settled;
    return floor == in->committed ? in->floor : CLAIMS_NONE;
}

/* How a slot is committed: if something has changed, at all events, or as closed cleanly. */
enum how { CHANGED, FORCED, LEAVING };

static void add_input(struct commit *c, struct slot *s, size_t i, enum how how)
{
    struct input *in = &s->in[i];
    int64_t floor = s->state ? floor_of(c->r, s, i) : in->committed;
    struct committing x = {.slot = s, .input = i};
    if (floor < 0)
        return;
    x.claims = s->state ? claims_at(in, floor) : in->floor;
    careful_floor(&in->careful, floor);
    struct careful careful = in->careful;
    careful.claim = x.claims.newest;
    if (how == LEAVING)
        careful_close(&careful);
    careful_encode(&x.metadata, &careful);
    if (how == CHANGED && floor == in->committed && in->text &&
        strcmp(in->text, str_cstr(&x.metadata)) == 0) {
        str_free(&x.metadata);
        return;
    }
    *vec_push(&c->items) = x;
    *vec_push(&c->parts) = (struct kafka_partition){
        .topic = c->r->topics[i], .partition = s->partition, .committed = floor};
}

static void add_slot(struct commit *c, struct slot *s, enum how how)
{
    for (size_t i = 0; i < c->r->n_inputs; i++)
        add_input(c, s, i, how);
}

static void committed(struct committing *x, int64_t floor)
{
    struct input *in = &x->slot->in[x->input];
    if (in->committed != floor)
        x->slot->moved = clock_mono_ms();
    in->committed = floor;
    in->floor = x->claims;
    mem_free(in->text);
    in->text = str_take(&x->metadata);
}

static int commit_send(struct commit *c, struct err *e)
{
    for (size_t i = 0; i < c->parts.n; i++)
        c->parts.items[i].metadata = str_cstr(&c->items.items[i].metadata);
    int result = c->parts.n ? kafka_commit_all(c->r->consumer, c->parts.items, c->parts.n, e) : 0;
    for (size_t i = 0; i < c->parts.n && !result; i++)
        committed(&c->items.items[i], c->parts.items[i].committed);
    return result;
}

static void commit_free(struct commit *c)
{
    for (size_t i = 0; i < c->items.n; i++)
        str_free(&c->items.items[i].metadata);
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

/* A partition that has passed the place of its crashes is worked like any other again. */
static void calm(struct runner *r, struct slot *s)
{
    bool passed = true;
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct input *in = &s->in[i];
        int64_t floor = floor_of(r, s, i);
        passed &= in->position >= in->until && (floor > in->from || floor == in->position);
    }
    if (!passed || !s->in[0].careful.crashes)
        return;
    log_info("the place of the crashes is passed", LOG_STR("stage", r->stage->name),
             LOG_INT("partition", s->partition), LOG_INT("crashes", s->in[0].careful.crashes));
    for (size_t i = 0; i < r->n_inputs; i++)
        careful_calm(&s->in[i].careful);
}

static int commit_slots(struct runner *r, struct slot **slots, size_t n, enum how how, bool *any,
                        struct err *e)
{
    struct commit c = {.r = r};
    for (size_t i = 0; i < n; i++)
        add_slot(&c, slots[i], how);
    *any = c.parts.n > 0;
    int result = commit_send(&c, e);
    commit_free(&c);
    return result;
}

int floors_commit(struct runner *r, bool force, struct err *e)
{
    VEC(struct slot *) open = {0};
    bool any;
    for (size_t i = 0; i < r->slots.n; i++)
        if (r->slots.items[i]->state) {
            calm(r, r->slots.items[i]);
            *vec_push(&open) = r->slots.items[i];
        }
    int result = commit_slots(r, open.items, open.n, force ? FORCED : CHANGED, &any, e);
    vec_free(&open);
    measure(r);
    if (!result && any && runner_failpoint(r, "committed", e))
        return -1;
    return result;
}

int floors_leave(struct runner *r, struct err *e)
{
    bool any;
    int result = commit_slots(r, r->slots.items, r->slots.n, LEAVING, &any, e);
    measure(r);
    return result ? result : any ? runner_failpoint(r, "committed", e) : 0;
}

int slot_commit(struct runner *r, struct slot *s, struct err *e)
{
    bool any;
    return commit_slots(r, &s, 1, FORCED, &any, e);
}

int slots_commit(struct runner *r, struct err *e)
{
    bool any;
    return commit_slots(r, r->slots.items, r->slots.n, CHANGED, &any, e);
}
