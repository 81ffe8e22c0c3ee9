/* The run: senders, owners, planner and faults, one small step after another. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "sim_priv.h"

#define FAULTS_UNTIL_MS 500000  /* afterwards everybody behaves */
#define GIVE_UP_MS      2000000 /* by then all must be decided */

const char *const sim_fault_names[SIM_FAULTS] = {"none",       "no-fold", "no-claim-check", "floor",
                                                 "plan-claim", "clock",   "manifests"};

void sim_broken(struct sim *s, const char *fmt, ...)
{
    if (!s->result->ok)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->result->why, sizeof s->result->why, fmt, args);
    va_end(args);
    s->result->ok = false;
    sim_trace(s, "BROKEN: %s", s->result->why);
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
    if (!s->trace)
        return;
    va_list args;
    va_start(args, fmt);
    printf("%9.3f  ", (double)(s->world.now - s->start) / 1000);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
}

static bool outage(const struct sim *s)
{
    int64_t now = s->world.now - s->start;
    return now >= s->script.outage_from && now < s->script.outage_to;
}

/* ---- senders ---- */

static void produce_instance(struct sim *s, const struct script_item *item)
{
    char receipt[32], association[32];
    snprintf(receipt, sizeof receipt, "%016x", (unsigned)item->receipt);
    snprintf(association, sizeof association, "a%d", item->association);
    const struct sim_record *r = world_instance(
        &s->world,
        &(struct sim_instance){.receipt = receipt,
                               .study = script_study(item->series),
                               .series = script_series(item->series),
                               .association = association,
                               .source = s->script.release[item->series] ? "release" : "quiet"});
    if (s->known[item->receipt].first < 0)
        s->known[item->receipt].first = r->offset;
    sim_trace(s, "instance %lld: receipt %d of %s by %s", (long long)r->offset, item->receipt,
              script_series(item->series), association);
}

static void produce_ended(struct sim *s, const struct script_item *item)
{
    char association[32];
    snprintf(association, sizeof association, "a%d", item->association);
    const struct event_series_count count = {script_series(item->series), item->n};
    (void)world_ended(&s->world, association, script_study(item->series), item->outcome, &count, 1);
    sim_trace(s, "ended %s: outcome %d, %lld", association, item->outcome, (long long)item->n);
}

static void produce(struct sim *s)
{
    while (s->produced < s->script.items.n && !outage(s)) {
        const struct script_item *item = &s->script.items.items[s->produced];
        if (item->at > s->world.now - s->start)
            return;
        s->produced++;
        struct event ev = {.type = EVENT_COMMAND_COMPLETE,
                           .command = {.command = "c1", .study = script_study(item->series)}};
        switch (item->kind) {
        case SCRIPT_INSTANCE:
            produce_instance(s, item);
            break;
        case SCRIPT_ENDED:
            produce_ended(s, item);
            break;
        case SCRIPT_COMMAND:
            (void)world_produce(&s->world, SIM_INSTANCE, &ev, -1);
            sim_trace(s, "command complete %s", script_study(item->series));
            break;
        case SCRIPT_CONFIG:
            s->config = 1;
            sim_trace(s, "configuration 2");
            break;
        }
        s->world.now += 1 + random_below(&s->random, 20);
    }
}

/* ---- owners of the partition ---- */

static int owner_known(void *arg, const char *key, decide_receipt_fn fn, void *to, struct err *e)
{
    struct sim *s = arg;
    if (s->fault == SIM_FAULT_MANIFESTS)
        return 0;
    if (!s->calm && random_percent(&s->random, 10))
        return err_set(e, ERR_RETRY, 0, "the store is slow");
    return world_known_receipts(&s->world, key, fn, to, e);
}

static void owner_close(struct owner *o)
{
    decide_free(o->decide);
    o->decide = NULL;
    outputs_clear(&o->out);
    o->busy = false;
    o->objects = o->records = 0;
}

static void owner_seen(struct sim *s, struct owner *o, const struct sim_record *r)
{
    o->seen_ts = r->timestamp;
    o->seen_at = s->world.now;
}

static void owner_read_journal(struct sim *s, struct owner *o, bool folding)
{
    const struct sim_log *log = &s->world.logs[SIM_DECISION];
    const struct sim_record *r = &log->records.items[o->journal_at++];
    if (r->type == EVENT_CLAIM && r->offset > o->newest_claim)
        o->newest_claim = r->offset;
    bool is_void = event_is_choice(r->type) && r->claim < o->newest_claim;
    if (s->fault == SIM_FAULT_NO_CLAIM_CHECK)
        is_void = false;
    if (folding && s->fault == SIM_FAULT_NO_FOLD)
        return;
    const struct decide_entry entry = {r->offset, r->type, is_void, str_slice(&r->value)};
    arena_reset(s->arena);
    decide_journal(o->decide, &entry, s->arena);
}

static void owner_open(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    owner_close(o);
    o->input_at = (size_t)s->committed;
    o->claim = world_claim(&s->world, SIM_DECISION)->offset;
    o->newest_claim = -1;
    o->journal_at = 0;
    const struct decide_setup setup = {.site = "main",
                                       .owner = n ? "router-1" : "router-0",
                                       .claim = o->claim,
                                       .known_receipts = owner_known,
                                       .arg = s};
    o->decide = decide_new(&setup);
    while ((int64_t)o->journal_at <= o->claim)
        owner_read_journal(s, o, true);
    o->seen_ts = o->seen_at = s->world.now;
    sim_trace(s, "owner %d opens with claim %lld at floor %lld", n, (long long)o->claim,
              (long long)s->committed);
}

static void owner_commit(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    int64_t position = (int64_t)o->input_at;
    int64_t floor = s->fault == SIM_FAULT_FLOOR ? position : decide_floor(o->decide, position);
    if (s->group != n || outage(s))
        return;
    check_floor(s, floor);
    if (floor > s->committed)
        s->committed = floor;
}

/* A newer claim: somebody else, or a zombie, has taken over. The commit says who is right. */
static void owner_newer_claim(struct sim *s, int n)
{
    if (outage(s)) {
        owner_close(&s->owners[n]);
        return;
    }
    owner_commit(s, n);
    sim_trace(s, "owner %d reads a newer claim: %s", n, s->group == n ? "opens again" : "closes");
    if (s->group == n)
        owner_open(s, n);
    else
        owner_close(&s->owners[n]);
}

static void owner_journal_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (o->deaf_until > s->world.now || o->journal_at >= s->world.logs[SIM_DECISION].records.n)
        return;
    owner_read_journal(s, o, false);
    if (o->newest_claim > o->claim)
        owner_newer_claim(s, n);
}

static void owner_input_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    if (o->input_at >= log->records.n)
        return;
    const struct sim_record *r = &log->records.items[o->input_at];
    int64_t at = s->fault == SIM_FAULT_CLOCK ? s->world.now : r->timestamp;
    const struct decide_input in = {
        r->offset, at, r->type, slice_of(r->study), slice_of(r->series), str_slice(&r->value)};
    struct err e;
    arena_reset(s->arena);
    enum decide_verdict v =
        decide_record(o->decide, &s->configs[s->config].snapshot, &in, s->arena, &o->out, &e);
    owner_seen(s, o, r);
    if (v == DECIDE_REJECT)
        sim_broken(s, "a record was rejected: %s", e.text);
    if (v == DECIDE_RETRY)
        return;
    o->input_at++;
    o->busy = true;
}

static void owner_write_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (o->objects < o->out.objects.n) {
        world_put(&s->world, &o->out.objects.items[o->objects++]);
    } else if (o->records < o->out.records.n) {
        if (outage(s)) { /* an output that cannot be written closes the partition */
            owner_close(o);
            return;
        }
        const struct sim_record *r = world_append(&s->world, &o->out.records.items[o->records++]);
        if (r->type == EVENT_SERIES_DECIDED) {
            sim_trace(s, "owner %d writes a decision of %s at %lld%s", n, r->series,
                      (long long)r->offset,
                      world_is_void(&s->world.logs[SIM_DECISION], r) ? " (void)" : "");
            check_appended(s, r);
        }
    } else {
        outputs_clear(&o->out);
        o->objects = o->records = 0;
        o->busy = false;
    }
}

static void owner_tick_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    bool caught_up = o->input_at >= s->world.logs[SIM_INSTANCE].records.n;
    decide_tick(o->decide, o->seen_ts + (s->world.now - o->seen_at), caught_up, &o->out);
    o->busy = true;
}

static bool owner_caught_up(const struct sim *s, int n)
{
    return s->owners[n].input_at >= s->world.logs[SIM_INSTANCE].records.n;
}

static void owner_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (!o->decide || o->stalled_until > s->world.now)
        return;
    if (o->busy) {
        owner_write_step(s, n);
        return;
    }
    switch (random_below(&s->random, 6)) {
    case 0:
    case 1:
        owner_journal_step(s, n);
        break;
    case 2:
    case 3:
    case 4:
        if (owner_caught_up(s, n))
            owner_tick_step(s, n);
        else
            owner_input_step(s, n);
        break;
    default:
        owner_commit(s, n);
    }
}

/* ---- plan ---- */

static void planner_start(struct sim *s)
{
    struct planner *p = &s->planner;
    outputs_clear(&p->out);
    p->records = 0;
    p->busy = false;
    p->at = p->committed;
    plan_init(&p->plan);
    if (s->fault != SIM_FAULT_PLAN_CLAIM)
        plan_restore(&p->plan, str_cstr(&p->saved));
}

static void planner_read(struct sim *s)
{
    struct planner *p = &s->planner;
    const struct sim_log *log = &s->world.logs[SIM_DECISION];
    if (p->at >= log->records.n)
        return;
    const struct sim_record *r = &log->records.items[p->at++];
    const struct plan_input in = {PLAN_DECISION, r->offset, r->type, r->claim,
                                  str_slice(&r->value)};
    struct err e;
    arena_reset(s->arena);
    if (plan_record(&p->plan, &in, s->arena, &p->out, &e))
        sim_broken(s, "plan: %s", e.text);
    p->busy = true;
}

static void planner_step(struct sim *s)
{
    struct planner *p = &s->planner;
    if (outage(s))
        return;
    if (p->busy && p->records < p->out.records.n) {
        (void)world_append(&s->world, &p->out.records.items[p->records++]);
    } else if (p->busy) {
        outputs_clear(&p->out);
        p->records = 0;
        p->busy = false;
    } else if (random_percent(&s->random, 60)) {
        planner_read(s);
    } else {
        p->committed = p->at;
        str_clear(&p->saved);
        plan_save(&p->plan, &p->saved);
    }
}

/* ---- what goes wrong ---- */

static void crash(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (!o->decide)
        return;
    owner_close(o);
    o->down_until = s->world.now + random_below(&s->random, 60000);
    s->result->crashes++;
    sim_trace(s, "owner %d crashes", n);
}

/* The group gives the partition to the other one; the former goes on until it reads the claim. */
static void takeover(struct sim *s)
{
    int next = 1 - s->group;
    if (outage(s) || s->owners[next].down_until > s->world.now)
        return;
    if (random_percent(&s->random, 50))
        s->owners[s->group].deaf_until = s->world.now + random_below(&s->random, 90000);
    s->group = next;
    s->result->takeovers++;
    sim_trace(s, "the group gives the partition to owner %d", next);
    owner_open(s, next);
}

static void misbehave(struct sim *s)
{
    int n = (int)random_below(&s->random, SIM_OWNERS);
    switch (random_below(&s->random, 400)) {
    case 0:
    case 1:
        crash(s, n);
        break;
    case 2:
    case 3:
        takeover(s);
        break;
    case 4:
        s->owners[n].stalled_until = s->world.now + random_below(&s->random, 90000);
        sim_trace(s, "owner %d stalls", n);
        break;
    case 5:
    case 6:
        planner_start(s);
        sim_trace(s, "plan starts again");
        break;
    case 7: /* a zombie that opens although the group gave the partition away */
        if (n != s->group && s->owners[n].decide && !outage(s)) {
            sim_trace(s, "zombie:");
            owner_open(s, n);
        }
        break;
    default:
        break;
    }
}

static void revive(struct sim *s)
{
    struct owner *o = &s->owners[s->group];
    if (!o->decide && !outage(s) && (s->calm || o->down_until <= s->world.now))
        owner_open(s, s->group);
}

/* ---- the run ---- */

static void configure(struct sim *s)
{
    for (int i = 0; i < 2; i++) {
        struct sim_config *c = &s->configs[i];
        sim_config_init(c, i ? "2-000000000000" : "1-000000000000");
        if (i && !s->script.same_quiet)
            c->snapshot.defaults.quiet_seconds = 45;
        sim_config_source(c, &(struct config_source){.name = "release",
                                                     .grace_seconds = -1,
                                                     .completion = COMPLETION_RELEASE});
        sim_config_source(c, &(struct config_source){.name = "quiet", .grace_seconds = -1});
        static const char *first[] = {"pacs"}, *second[] = {"pacs", "archive"};
        sim_config_rule(c, &(struct config_rule){.name = "all",
                                                 .rule = "True",
                                                 .targets = {i ? second : first, i ? 2 : 1}});
        sim_config_rule(
            c, &(struct config_rule){
                   .name = "task", .rule = "True", .action = ACTION_PROCESS, .late = LATE_AGAIN});
    }
}

static void start(struct sim *s, struct sim_result *r, uint64_t seed, enum sim_fault fault,
                  bool trace)
{
    memset(s, 0, sizeof *s);
    memset(r, 0, sizeof *r);
    r->ok = true;
    s->result = r;
    s->fault = fault;
    s->trace = trace;
    s->random.state = seed;
    s->arena = arena_new(0);
    world_init(&s->world);
    s->start = s->world.now;
    script_make(&s->script, &s->random);
    configure(s);
    for (int i = 0; i < SIM_RECEIPTS; i++)
        s->known[i].first = -1;
    for (int i = 0; i < SIM_OWNERS; i++)
        s->owners[i].out.source = i ? "/talaria/main/router/1" : "/talaria/main/router/0";
    s->planner.out.source = "/talaria/main/router/plan";
    plan_init(&s->planner.plan);
    r->receipts = (uint64_t)s->script.receipts;
    r->outages = s->script.outage_to > 0;
}

static void finish(struct sim *s)
{
    for (int i = 0; i < SIM_OWNERS; i++) {
        owner_close(&s->owners[i]);
        outputs_free(&s->owners[i].out);
    }
    outputs_free(&s->planner.out);
    str_free(&s->planner.saved);
    for (size_t i = 0; i < s->valid.n; i++)
        mem_free(s->valid.items[i]);
    vec_free(&s->valid);
    vec_free(&s->script.items);
    for (int i = 0; i < 2; i++)
        sim_config_free(&s->configs[i]);
    world_free(&s->world);
    arena_free(s->arena);
}

static bool idle(const struct sim *s)
{
    return s->produced == s->script.items.n && check_all_decided(s) && !s->planner.busy &&
           s->planner.at == s->world.logs[SIM_DECISION].records.n;
}

static void step(struct sim *s)
{
    s->result->steps++;
    if (random_percent(&s->random, 30))
        s->world.now += random_below(&s->random, 1000);
    s->calm = s->world.now - s->start > FAULTS_UNTIL_MS;
    produce(s);
    revive(s);
    if (!s->calm)
        misbehave(s);
    for (int i = 0; i < SIM_OWNERS; i++) {
        if (s->calm)
            s->owners[i].stalled_until = s->owners[i].deaf_until = 0;
        owner_step(s, i);
    }
    planner_step(s);
}

void sim_run(struct sim_result *r, uint64_t seed, enum sim_fault fault, bool trace)
{
    struct sim s;
    start(&s, r, seed, fault, trace);
    while (r->ok && !(s.calm && idle(&s))) {
        if (s.world.now - s.start > GIVE_UP_MS) {
            sim_broken(&s, "not all was decided and planned in time");
            break;
        }
        step(&s);
    }
    if (r->ok)
        check_end(&s);
    finish(&s);
}
