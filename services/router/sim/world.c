/* Logs, store and records of the fake world. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "../decide/decide.h"
#include "base/hash.h"

static const char *const nouns[SIM_NOUNS] = {"instance", "decision", "task", "delivery", "event"};

static _Noreturn void stop(const char *what, const char *why)
{
    fprintf(stderr, "simulated world: %s: %s\n", what, why);
    abort();
}

void world_init(struct sim_world *w)
{
    memset(w, 0, sizeof *w);
    w->now = 1785571200000; /* some day in 2026 */
    w->producer.source = "/talaria/main/receiver/sim";
}

static void log_cut(struct sim_log *log, size_t n)
{
    while (log->records.n > n) {
        struct sim_record *r = &log->records.items[--log->records.n];
        mem_free(r->key);
        mem_free(r->study);
        mem_free(r->series);
        str_free(&r->value);
    }
}

static void log_free(struct sim_log *log)
{
    log_cut(log, 0);
    vec_free(&log->records);
}

void world_cut(struct sim_world *w, enum sim_noun noun, size_t n)
{
    log_cut(&w->logs[noun], n);
}

void world_free(struct sim_world *w)
{
    for (int i = 0; i < SIM_NOUNS; i++)
        log_free(&w->logs[i]);
    struct sim_object *o, *next;
    HASH_ITER(hh, w->store, o, next)
    {
        HASH_DEL(w->store, o);
        mem_free(o->key);
        str_free(&o->bytes);
        mem_free(o);
    }
    outputs_free(&w->producer);
}

static struct sim_log *log_of(struct sim_world *w, const char *noun)
{
    for (int i = 0; i < SIM_NOUNS; i++)
        if (strcmp(nouns[i], noun) == 0)
            return &w->logs[i];
    stop("unknown topic", noun);
}

static char *header(const struct output_record *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return mem_strdup(r->headers[i].value);
    return NULL;
}

const struct sim_record *world_append(struct sim_world *w, const struct output_record *r)
{
    struct sim_log *log = log_of(w, r->noun);
    int64_t offset = (int64_t)log->records.n;
    struct sim_record *x = vec_push(&log->records);
    *x = (struct sim_record){.offset = offset,
                             .timestamp = w->now + w->skew,
                             .type = r->type,
                             .claim = r->claim,
                             .key = mem_strdup(r->key),
                             .study = header(r, "study"),
                             .series = header(r, "series")};
    str_append(&x->value, r->value.data, r->value.len);
    return x;
}

void world_put(struct sim_world *w, const struct output_object *o)
{
    struct sim_object *x;
    HASH_FIND_STR(w->store, o->key, x);
    if (x) {
        w->written_twice++;
        return;
    }
    x = mem_zalloc(sizeof *x);
    x->key = mem_strdup(o->key);
    str_append(&x->bytes, o->bytes.data, o->bytes.len);
    HASH_ADD_KEYPTR(hh, w->store, x->key, strlen(x->key), x);
}

void world_write(struct sim_world *w, struct outputs *out)
{
    for (size_t i = 0; i < out->objects.n; i++)
        world_put(w, &out->objects.items[i]);
    for (size_t i = 0; i < out->records.n; i++)
        (void)world_append(w, &out->records.items[i]);
    outputs_clear(out);
}

const struct str *world_get(const struct sim_world *w, const char *key)
{
    struct sim_object *x;
    HASH_FIND_STR(w->store, key, x);
    return x ? &x->bytes : NULL;
}

const struct sim_record *world_produce(struct sim_world *w, enum sim_noun noun,
                                       const struct event *ev, int64_t claim)
{
    struct err e;
    w->producer.now_ms = w->now;
    if (outputs_event(&w->producer, nouns[noun], 0, NULL, ev, claim, &e))
        stop("not a record", e.text);
    world_write(w, &w->producer);
    struct sim_log *log = &w->logs[noun];
    return &log->records.items[log->records.n - 1];
}

const struct sim_record *world_claim(struct sim_world *w, enum sim_noun noun)
{
    struct event ev = {.type = EVENT_CLAIM, .claim = {.owner = "router-sim"}};
    return world_produce(w, noun, &ev, -1);
}

int world_known_receipts(void *arg, const char *key, void (*fn)(void *to, const char *receipt),
                         void *to, struct err *e)
{
    const struct str *bytes = world_get(arg, key);
    if (!bytes)
        return err_set(e, ERR_RETRY, 0, "no such manifest");
    return decide_manifest_receipts(bytes->data, bytes->len, fn, to, e);
}

int world_decision(void *arg, int64_t offset, struct slice *out, struct arena *a, struct err *e)
{
    const struct sim_log *log = &((struct sim_world *)arg)->logs[SIM_DECISION];
    (void)a;
    (void)e;
    if (offset < 0 || (size_t)offset >= log->records.n)
        return 1;
    *out = str_slice(&log->records.items[offset].value);
    return 0;
}

int world_manifest(void *arg, const char *key, struct slice *out, struct arena *a, struct err *e)
{
    const struct str *bytes = world_get(arg, key);
    (void)a;
    (void)e;
    if (!bytes)
        return 1;
    *out = str_slice(bytes);
    return 0;
}

bool world_is_void(const struct sim_log *log, const struct sim_record *r)
{
    for (int64_t i = r->offset - 1; i > r->claim; i--)
        if (log->records.items[i].type == EVENT_CLAIM)
            return true;
    return false;
}

static const char * or (const char *text, const char *def)
{
    return text ? text : def;
}

const struct sim_record *world_instance(struct sim_world *w, const struct sim_instance *i)
{
    char sha[HASH_SHA256_HEX];
    const char *receipt = or (i->receipt, "00000000000000aa"), *sop = or (i->sop, receipt);
    const char *content = or (i->sha256, sop);
    hash_sha256_hex(sha, content, strlen(content));
    const char *flag[] = {i->flag};
    const struct row_strings flags = {flag, i->flag != NULL};
    struct event ev = {.type = EVENT_INSTANCE_STORED,
                       .stored = {
                           .receipt = receipt,
                           .key = receipt,
                           .size = i->size ? i->size : 100,
                           .sha256 = sha,
                           .study = or (i->study, "1.2"),
                           .series = or (i->series, "1.2.3"),
                           .sop = sop,
                           .sop_class = "1.2.840.10008.5.1.4.1.1.2",
                           .syntax = "1.2.840.10008.1.2.1",
                           .association = i->association,
                           .source = {.name = i->source},
                           .calling_ae = "CT1",
                           .called_ae = "TALARIA",
                           .peer = "10.0.0.7",
                           .received_at = or (i->received_at, "2026-08-01T08:00:00.000Z"),
                           .forced_rule = i->forced_rule,
                           .flags = flags,
                           .tags = i->tags,
                       }};
    return world_produce(w, SIM_INSTANCE, &ev, -1);
}

const struct sim_record *world_ended(struct sim_world *w, const char *association,
                                     const char *study, int outcome,
                                     const struct event_series_count *counts, size_t n)
{
    struct event ev = {.type = EVENT_ASSOCIATION_ENDED,
                       .ended = {.association = association,
                                 .outcome = outcome,
                                 .study = or (study, "1.2"),
                                 .series = {mem_dup(counts, n * sizeof *counts), n}}};
    const struct sim_record *r = world_produce(w, SIM_INSTANCE, &ev, -1);
    mem_free(ev.ended.series.items);
    return r;
}

/* ---- configuration ---- */

void sim_config_init(struct sim_config *c, const char *revision)
{
    memset(c, 0, sizeof *c);
    c->arena = arena_new(0);
    c->snapshot.arena = c->arena;
    str_copy(c->snapshot.revision, sizeof c->snapshot.revision, revision);
    c->snapshot.defaults = (struct config_defaults){.quiet_seconds = 60,
                                                    .grace_seconds = 2,
                                                    .lost_seconds = 180,
                                                    .cap_seconds = 86400,
                                                    .cap_instances = 50000,
                                                    .keep_seconds = 259200};
}

void sim_config_free(struct sim_config *c)
{
    for (size_t i = 0; i < c->snapshot.rules.n; i++)
        rules_free(rows_at(struct config_rule, &c->snapshot.rules, i)->program);
    arena_free(c->arena);
}

static void *grow(struct sim_config *c, struct row_list *list, size_t size)
{
    char *items = arena_alloc(c->arena, (list->n + 1) * size);
    if (list->n)
        memcpy(items, list->items, list->n * size);
    list->items = items;
    return items + list->n++ * size;
}

static void add_targets(struct sim_config *c, const struct row_strings *names)
{
    for (size_t i = 0; i < names->n; i++)
        *(struct config_target *)grow(c, &c->snapshot.targets, sizeof(struct config_target)) =
            (struct config_target){.name = names->items[i], .type = TARGET_DUMMY};
}

void sim_config_source(struct sim_config *c, const struct config_source *source)
{
    *(struct config_source *)grow(c, &c->snapshot.sources, sizeof *source) = *source;
}

void sim_config_rule(struct sim_config *c, const struct config_rule *rule)
{
    struct err e;
    struct config_rule *x = grow(c, &c->snapshot.rules, sizeof *rule);
    *x = *rule;
    if (rules_compile(&x->program, rule->rule, &e))
        stop(rule->rule, e.text);
    add_targets(c, &rule->targets);
}
