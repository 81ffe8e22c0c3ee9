/* One owner of one partition on a desk: what is produced is handled, written and read back at once.
 */
#ifndef ROUTER_TESTS_DESK_H
#define ROUTER_TESTS_DESK_H

#include "router/decide/decide.h"
#include "router/sim/world.h"

struct desk {
    struct sim_world world;
    struct sim_config config;
    struct decide *decide;
    struct outputs out;
    struct arena *arena, *kept;
    int64_t start;        /* world.now at the start */
    size_t handled, read; /* positions in instance and decision */
    bool hold;            /* do not read back */
    bool unreadable;      /* known_receipts and the log of decisions fail */
    bool expired;         /* the log of decisions holds nothing any more */
    bool away;            /* nobody is at work while time passes */
    int64_t claim;
    struct sim_config *original; /* what the store holds of older configurations */
};

static inline int desk_known(void *arg, const char *key, decide_receipt_fn fn, void *to,
                             struct err *e)
{
    struct desk *k = arg;
    if (k->unreadable)
        return err_set(e, ERR_RETRY, 0, "the store is away");
    return world_known_receipts(&k->world, key, fn, to, e);
}

static inline int desk_past(void *arg, int64_t offset, struct slice *out, struct arena *a,
                            struct err *e)
{
    struct desk *k = arg;
    if (k->unreadable)
        return err_set(e, ERR_RETRY, 0, "the log is away");
    return k->expired ? 1 : world_decision(&k->world, offset, out, a, e);
}

static inline int desk_manifest(void *arg, const char *key, struct slice *out, struct arena *a,
                                struct err *e)
{
    return world_manifest(&((struct desk *)arg)->world, key, out, a, e);
}

static inline int desk_configuration(void *arg, const char *revision,
                                     const struct config_snapshot **out, struct err *e)
{
    struct desk *k = arg;
    (void)e;
    if (!k->original || strcmp(k->original->snapshot.revision, revision) != 0)
        return 1;
    *out = &k->original->snapshot;
    return 0;
}

static inline void desk_read_back(struct desk *k)
{
    struct sim_log *log = &k->world.logs[SIM_DECISION];
    for (; k->read < log->records.n; k->read++) {
        const struct sim_record *r = &log->records.items[k->read];
        const struct decide_entry entry = {r->offset, r->type,
                                           event_is_choice(r->type) && world_is_void(log, r),
                                           str_slice(&r->value)};
        arena_reset(k->arena);
        decide_journal(k->decide, &entry, k->arena);
    }
}

/* Opens (again): claim, fold, input from floor. */
static inline void desk_open(struct desk *k, int64_t floor)
{
    decide_free(k->decide);
    k->claim = world_claim(&k->world, SIM_DECISION)->offset;
    const struct decide_setup setup = {.site = "main",
                                       .owner = "router-desk",
                                       .claim = k->claim,
                                       .known_receipts = desk_known,
                                       .decision = desk_past,
                                       .manifest = desk_manifest,
                                       .configuration = desk_configuration,
                                       .arg = k};
    k->decide = decide_new(&setup);
    k->read = 0;
    desk_read_back(k);
    k->handled = (size_t)floor;
}

static inline void desk_init(struct desk *k)
{
    memset(k, 0, sizeof *k);
    world_init(&k->world);
    sim_config_init(&k->config, "1-000000000000");
    k->arena = arena_new(0);
    k->kept = arena_new(0);
    k->out.source = "/talaria/main/router/desk";
    k->start = k->world.now;
    desk_open(k, 0);
}

static inline void desk_free(struct desk *k)
{
    decide_free(k->decide);
    outputs_free(&k->out);
    sim_config_free(&k->config);
    world_free(&k->world);
    arena_free(k->arena);
    arena_free(k->kept);
}

static inline enum decide_verdict desk_handle_one(struct desk *k)
{
    const struct sim_record *r = &k->world.logs[SIM_INSTANCE].records.items[k->handled];
    const struct decide_input in = {r->offset,          r->timestamp,        r->type,
                                    slice_of(r->study), slice_of(r->series), str_slice(&r->value)};
    struct err e;
    arena_reset(k->arena);
    enum decide_verdict v =
        decide_record(k->decide, &k->config.snapshot, &in, k->arena, &k->out, &e);
    if (v == DECIDE_RETRY)
        return v;
    k->handled++;
    world_write(&k->world, &k->out);
    if (!k->hold)
        desk_read_back(k);
    return v;
}

static inline void desk_run(struct desk *k)
{
    while (k->handled < k->world.logs[SIM_INSTANCE].records.n)
        if (desk_handle_one(k) == DECIDE_RETRY)
            return;
}

/* Appends a tick if the owner wants to. */
static inline void desk_pulse(struct desk *k)
{
    decide_tick(k->decide, k->world.now, true, &k->out);
    world_write(&k->world, &k->out);
}

/* Log time in seconds after the start; handles what lies before it. On the way the owner is at work,
 * unless it is away (or the log closed). */
static inline void desk_at(struct desk *k, double seconds)
{
    int64_t until = k->start + (int64_t)(seconds * 1000);
    desk_run(k);
    while (!k->away && k->world.now + 1000 < until) {
        k->world.now += 1000;
        desk_pulse(k);
        desk_run(k);
    }
    k->world.now = until;
}

static inline void desk_instance(struct desk *k, const struct sim_instance *i)
{
    (void)world_instance(&k->world, i);
    desk_run(k);
}

/* The owner's clock says it is so late. Returns whether something was decided then. */
static inline bool desk_tick(struct desk *k, double seconds)
{
    desk_at(k, seconds);
    size_t before = k->world.logs[SIM_DECISION].records.n;
    desk_pulse(k);
    desk_run(k);
    return k->world.logs[SIM_DECISION].records.n > before;
}

/* Decision number i of the log, decoded; NULL if there are not so many. */
static inline const struct event_series_decided *desk_decision(struct desk *k, size_t i)
{
    struct sim_log *log = &k->world.logs[SIM_DECISION];
    for (size_t at = 0; at < log->records.n; at++) {
        const struct sim_record *r = &log->records.items[at];
        if (r->type != EVENT_SERIES_DECIDED || i-- > 0)
            continue;
        struct event *ev = arena_alloc(k->kept, sizeof *ev);
        struct err e;
        if (event_decode(ev, r->value.data, r->value.len, k->kept, &e))
            return NULL;
        return &ev->decided;
    }
    return NULL;
}

static inline size_t desk_decisions(struct desk *k)
{
    size_t n = 0;
    while (desk_decision(k, n))
        n++;
    return n;
}

#endif
