/* The run: senders, owners, planner and faults, one small step after another. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "event/ids.h"
#include "sim_priv.h"

#define FAULTS_UNTIL_MS 500000  /* afterwards everybody behaves */
#define GIVE_UP_MS      2000000 /* by then all must be decided */

const char *const sim_fault_names[SIM_FAULTS] = {
    [SIM_NO_FAULT] = "none",
    [SIM_FAULT_NO_FOLD] = "no fold",
    [SIM_FAULT_NO_CLAIM_CHECK] = "claims not checked",
    [SIM_FAULT_NO_CLAIM] = "no claim",
    [SIM_FAULT_FLOOR] = "position committed",
    [SIM_FAULT_FLOOR_ACK] = "floor by acknowledgement",
    [SIM_FAULT_PLAN_CLAIM] = "plan forgets claims",
    [SIM_FAULT_EVALUATE] = "evaluation at replay",
    [SIM_FAULT_CLOCK] = "timers by the own clock",
    [SIM_FAULT_MANIFESTS] = "earlier manifests not read",
    [SIM_FAULT_SERIES_ONLY] = "coverage by series only",
    [SIM_FAULT_POISON_FLOOR] = "poison taken at the floor",
    [SIM_FAULT_NO_GUARD] = "lost tail not noticed",
    [SIM_FAULT_NO_PADDING] = "recover without padding",
    [SIM_FAULT_NOT_AGAIN] = "recover announces nothing",
    [SIM_FAULT_REFUSALS] = "refusals forgotten",
    [SIM_FAULT_VOID_ANSWERS] = "void outcomes answered",
};

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

bool sim_outage(const struct sim *s)
{
    int64_t now = s->world.now - s->start;
    return now >= s->script.outage_from && now < s->script.outage_to;
}

/* ---- senders ---- */

void sim_announce(struct sim *s, int receipt, const char *flag)
{
    struct known *k = &s->known[receipt];
    char id[32], association[32];
    snprintf(id, sizeof id, "%016x", (unsigned)receipt);
    snprintf(association, sizeof association, "a%d", k->association);
    static struct row_pair modality = {"Modality", "CT"};
    const struct sim_record *r = world_instance(
        &s->world, &(struct sim_instance){.receipt = id,
                                          .study = script_study(k->series),
                                          .series = script_series(k->series),
                                          .association = association,
                                          .source = s->script.release[k->series] ? "release" : "quiet",
                                          .tags = {&modality, 1},
                                          .flag = flag});
    if (k->first < 0)
        k->first = r->offset;
    sim_trace(s, "instance %lld: receipt %d of %s/%s by %s%s%s", (long long)r->offset, receipt,
              r->study, r->series, association, flag ? ", " : "", flag ? flag : "");
}

static void produce_instance(struct sim *s, const struct script_item *item)
{
    struct known *k = &s->known[item->receipt];
    k->stored = true;
    k->series = item->series;
    k->association = item->association;
    sim_announce(s, item->receipt, NULL);
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
    while (s->produced < s->script.items.n && !sim_outage(s)) {
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
        case SCRIPT_ASKED:
            commands_give(s, item);
            break;
        case SCRIPT_CONFIG:
            s->config = s->script.replays ? 1 - s->config : 1;
            sim_trace(s, "configuration %d", s->config + 1);
            break;
        }
        s->world.now += 1 + random_below(&s->random, 20);
    }
}

/* ---- plan ---- */

void planner_start(struct sim *s)
{
    struct planner *p = &s->planner;
    outputs_clear(&p->out);
    p->records = 0;
    p->busy = false;
    p->at = p->committed;
    p->claims = s->fault == SIM_FAULT_PLAN_CLAIM ? CLAIMS_NONE : p->saved;
}

/* The planted fault: what the rules say today. */
static void planner_evaluates(struct sim *s, const struct sim_record *r)
{
    struct event ev, asked = {.type = EVENT_DELIVERY_REQUESTED};
    struct err e;
    char id[HASH_ID_HEX];
    arena_reset(s->arena);
    if (event_decode(&ev, r->value.data, r->value.len, s->arena, &e) || !ev.decided.deliveries.n)
        return;
    asked.requested = *rows_at(struct event_delivery_requested, &ev.decided.deliveries, 0);
    asked.requested.target = "archive";
    ids_delivery(id, ev.decided.decision, asked.requested.target);
    asked.id = asked.subject = asked.requested.delivery = id;
    if (outputs_event(&s->planner.out, "delivery", -1, "archive", &asked, -1, &e))
        sim_broken(s, "plan: %s", e.text);
}

static void planner_read(struct sim *s)
{
    struct planner *p = &s->planner;
    const struct sim_log *log = &s->world.logs[SIM_DECISION];
    if (p->at >= log->records.n)
        return;
    const struct sim_record *r = &log->records.items[p->at++];
    if (s->fault == SIM_FAULT_EVALUATE && s->config == 1 && r->type == EVENT_SERIES_DECIDED)
        planner_evaluates(s, r);
    bool is_void = claims_void(&p->claims, r->type, r->offset, r->claim);
    if (s->fault == SIM_FAULT_VOID_ANSWERS && r->type == EVENT_COMMAND_DECIDED)
        is_void = false;
    const struct plan_input in = {PLAN_DECISION, r->type, is_void, str_slice(&r->value)};
    struct plan_made made;
    struct err e;
    arena_reset(s->arena);
    if (plan_record(&made, &in, s->arena, &p->out, &e))
        sim_broken(s, "plan: %s", e.text);
    p->busy = true;
}

static void planner_step(struct sim *s)
{
    struct planner *p = &s->planner;
    if (sim_outage(s))
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
        p->saved = p->claims;
    }
}

/* ---- what goes wrong ---- */

/* The group gives the partition to the other one; the former has closed it, or goes on until it
 * reads the claim. */
static void takeover(struct sim *s)
{
    int next = 1 - s->group;
    if (sim_outage(s) || s->owners[next].down_until > s->world.now)
        return;
    if (random_percent(&s->random, 30))
        owner_leave(s, s->group);
    else if (random_percent(&s->random, 50))
        s->owners[s->group].deaf_until = s->world.now + random_below(&s->random, 90000);
    s->group = next;
    s->result->takeovers++;
    sim_trace(s, "the group gives the partition to owner %d", next);
    owner_assigned(s, next);
    owner_open(s, next);
}

static void misbehave(struct sim *s)
{
    int n = (int)random_below(&s->random, SIM_OWNERS);
    switch (random_below(&s->random, 400)) {
    case 0:
    case 1:
        owner_crash(s, n);
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
        if (n != s->group && s->owners[n].decide && !sim_outage(s)) {
            sim_trace(s, "zombie:");
            owner_open(s, n);
        }
        break;
    case 8:
        power_jump(s);
        break;
    default:
        break;
    }
}

static void revive(struct sim *s)
{
    struct owner *o = &s->owners[s->group];
    if (o->decide || sim_outage(s) || (!s->calm && o->down_until > s->world.now))
        return;
    if (s->lost && s->world.now < o->down_until)
        return;
    if (!o->lives)
        owner_assigned(s, s->group);
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
        commands_configure(c, i);
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
    script_make(&s->script, &s->random, seed & SIM_REPLAYS);
    configure(s);
    for (int i = 0; i < SIM_RECEIPTS; i++)
        s->known[i].first = -1;
    s->named = -1;
    careful_init(&s->meta);
    for (int i = 0; i < SIM_OWNERS; i++)
        s->owners[i].out.source = i ? "/talaria/main/router/1" : "/talaria/main/router/0";
    s->planner.out.source = "/talaria/main/router/plan";
    s->planner.claims = s->planner.saved = CLAIMS_NONE;
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
    check_free(s);
    commands_free(s);
    vec_free(&s->script.items);
    for (int i = 0; i < 2; i++)
        sim_config_free(&s->configs[i]);
    world_free(&s->world);
    arena_free(s->arena);
}

static bool idle(struct sim *s)
{
    return s->produced == s->script.items.n && !power_busy(s) && check_all_decided(s) &&
           commands_answered(s) && !s->planner.busy &&
           s->planner.at == s->world.logs[SIM_DECISION].records.n;
}

static void step(struct sim *s)
{
    s->result->steps++;
    if (random_percent(&s->random, 30))
        s->world.now += random_below(&s->random, 1000);
    s->calm = s->world.now - s->start > FAULTS_UNTIL_MS;
    produce(s);
    power_step(s);
    commands_step(s);
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
