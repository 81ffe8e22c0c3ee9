/* Owners of the partition, as common/daemon works one: claim, fold, records, outputs, floors, careful
 * mode. One small step at a time, so that anything can happen between any two. */
#include "sim_priv.h"

#include <stdio.h>

#define LOOK_AGAIN_MS 5000 /* at a partition that stays closed */

static int owner_known(void *arg, const char *key, decide_receipt_fn fn, void *to, struct err *e)
{
    struct sim *s = arg;
    if (s->fault == SIM_FAULT_MANIFESTS)
        return 0;
    if (!s->calm && random_percent(&s->random, 10))
        return err_set(e, ERR_RETRY, 0, "the store is slow");
    return world_known_receipts(&s->world, key, fn, to, e);
}

static int owner_decision(void *arg, int64_t offset, struct slice *out, struct arena *a,
                          struct err *e)
{
    struct sim *s = arg;
    if (!s->calm && random_percent(&s->random, 10))
        return err_set(e, ERR_RETRY, 0, "the log is slow");
    return world_decision(&s->world, offset, out, a, e);
}

static int owner_manifest(void *arg, const char *key, struct slice *out, struct arena *a,
                          struct err *e)
{
    return world_manifest(&((struct sim *)arg)->world, key, out, a, e);
}

void owner_close(struct owner *o)
{
    decide_free(o->decide);
    o->decide = NULL;
    outputs_clear(&o->out);
    o->busy = false;
    o->objects = o->records = 0;
    o->hand = o->working = -1;
    careful_put(&o->careful);
}

static void owner_seen(struct sim *s, struct owner *o, const struct sim_record *r)
{
    o->seen_ts = r->timestamp;
    o->seen_at = s->world.now;
}

/* ---- journal ---- */

/* The planted fault: a decision of one study's series counts for the other study's, too. */
static void cover_other_study(struct sim *s, struct owner *o, const struct decide_entry *entry)
{
    struct str text = STR_INIT;
    str_append(&text, entry->value.p, entry->value.n);
    for (char *at = text.data; (at = strstr(at, "\"study\":\"1.")) != NULL; at++)
        at[11] = at[11] == '1' ? '2' : '1';
    struct decide_entry other = *entry;
    other.value = str_slice(&text);
    arena_reset(s->arena);
    decide_journal(o->decide, &other, s->arena);
    str_free(&text);
}

static void owner_takes(struct sim *s, struct owner *o, const struct sim_record *r, bool is_void)
{
    const struct decide_entry entry = {r->offset, r->type, is_void, str_slice(&r->value)};
    arena_reset(s->arena);
    decide_journal(o->decide, &entry, s->arena);
    if (s->fault == SIM_FAULT_SERIES_ONLY && r->type == EVENT_SERIES_DECIDED && !is_void)
        cover_other_study(s, o, &entry);
}

static void owner_read_journal(struct sim *s, struct owner *o, bool folding)
{
    const struct sim_log *log = &s->world.logs[SIM_DECISION];
    const struct sim_record *r = &log->records.items[o->journal_at++];
    bool is_void = claims_void(&o->claims, r->type, r->offset, r->claim);
    if (s->fault == SIM_FAULT_NO_CLAIM_CHECK)
        is_void = false;
    if (folding && (s->fault == SIM_FAULT_NO_FOLD ||
                    (s->fault == SIM_FAULT_REFUSALS && r->type == EVENT_COMMAND_DECIDED)))
        return;
    owner_takes(s, o, r, is_void);
}

/* ---- open ---- */

void owner_assigned(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    char name[CAREFUL_NAME];
    for (int i = 0; i < SIM_OWNERS; i++) /* a zombie leaves its work to others */
        if (i != n && s->owners[i].lives && s->owners[i].exposed >= 0 &&
            s->owners[i].exposed < SIM_OFFSETS && s->interrupted[s->owners[i].exposed] < 100)
            s->interrupted[s->owners[i].exposed]++;
    o->lives = true;
    o->exposed = -1;
    o->careful = s->meta;
    snprintf(name, sizeof name, "r%d-%d", n, o->life);
    careful_open(&o->careful, name);
}

static void stays_closed(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    owner_close(o);
    o->down_until = s->world.now + LOOK_AGAIN_MS;
    if (!s->lost)
        sim_trace(s, "owner %d finds that the log has lost its end", n);
    s->lost = true;
}

/* The planted fault: no record says that the partition has a new owner. */
static int64_t newest_claim(const struct sim *s)
{
    const struct sim_log *log = &s->world.logs[SIM_DECISION];
    for (size_t i = log->records.n; i-- > 0;)
        if (log->records.items[i].type == EVENT_CLAIM)
            return log->records.items[i].offset;
    return -1;
}

static void owner_claims(struct sim *s, struct owner *o)
{
    o->claim = s->fault == SIM_FAULT_NO_CLAIM ? newest_claim(s) : -1;
    if (o->claim < 0) {
        const struct sim_record *claim = world_claim(&s->world, SIM_DECISION);
        o->claim = claim->offset;
    }
    o->careful.own = o->claim;
    o->seen_ts = s->world.now + s->world.skew;
    o->seen_at = s->world.now;
}

void owner_open(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    owner_close(o);
    if (!power_sound(s, &o->careful, NULL, -1)) {
        stays_closed(s, n);
        return;
    }
    if (s->group == n) /* a name before anything is touched */
        s->meta = o->careful;
    o->input_at = (size_t)s->committed;
    o->from = s->committed;
    o->until = careful_until(&o->careful, s->committed,
                             (int64_t)s->world.logs[SIM_INSTANCE].records.n);
    owner_claims(s, o);
    o->claims = CLAIMS_NONE;
    o->journal_at = 0;
    const struct decide_setup setup = {.site = "main",
                                       .owner = n ? "router-1" : "router-0",
                                       .claim = o->claim,
                                       .known_receipts = owner_known,
                                       .decision = owner_decision,
                                       .manifest = owner_manifest,
                                       .arg = s};
    o->decide = decide_new(&setup);
    while (o->journal_at < s->world.logs[SIM_DECISION].records.n)
        owner_read_journal(s, o, true);
    int64_t offset;
    const char *id = decide_named(o->decide, &offset);
    if (id && !power_sound(s, &o->careful, id, offset)) {
        stays_closed(s, n);
        return;
    }
    sim_trace(s, "owner %d opens with claim %lld at floor %lld%s", n, (long long)o->claim,
              (long long)s->committed, careful_is(&o->careful) ? ", carefully" : "");
}

/* ---- commit ---- */

static bool owner_commit(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    int64_t position = (int64_t)o->input_at;
    int64_t floor = s->fault == SIM_FAULT_FLOOR ? position : decide_floor(o->decide, position);
    if (s->group != n || sim_outage(s))
        return false;
    check_floor(s, floor);
    if (floor < s->committed)
        floor = s->committed;
    if (position >= o->until && (floor > o->from || floor == position) && o->hand < 0)
        careful_calm(&o->careful);
    careful_floor(&o->careful, floor);
    s->committed = floor;
    s->meta = o->careful;
    if (o->hand < 0)
        o->exposed = -1;
    return true;
}

void owner_leave(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (!o->decide || o->busy || o->stalled_until > s->world.now || !owner_commit(s, n))
        return;
    careful_close(&s->meta);
    owner_close(o);
    o->exposed = -1;
    o->lives = false;
    sim_trace(s, "owner %d leaves", n);
}

/* A newer claim: somebody else, or a zombie, has taken over. The commit says who is right. */
static void owner_newer_claim(struct sim *s, int n)
{
    bool mine = owner_commit(s, n);
    sim_trace(s, "owner %d reads a newer claim: %s", n, mine ? "opens again" : "closes");
    if (mine)
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
    if (o->claims.newest > o->claim)
        owner_newer_claim(s, n);
}

/* ---- input ---- */

static void owner_passed(struct owner *o, const struct sim_record *r)
{
    o->input_at++;
    if (r->offset > o->careful.at) {
        o->careful.at = r->offset;
        o->careful.mark = careful_mark(r->timestamp, str_slice(&r->value));
    }
}

static struct careful_place place(const struct sim_record *r)
{
    return careful_place(r->offset, r->timestamp, str_slice(&r->value));
}

/* In hand before it is touched. */
static void owner_takes_in_hand(struct sim *s, int n, const struct sim_record *r)
{
    struct owner *o = &s->owners[n];
    int64_t floor = decide_floor(o->decide, r->offset);
    struct careful_place hand = place(r);
    if (s->fault == SIM_FAULT_POISON_FLOOR)
        hand = (struct careful_place){floor, 0};
    careful_take(&o->careful, hand);
    o->hand = r->offset;
    if (owner_commit(s, n))
        o->exposed = r->offset;
    else /* what the group knows is still the one before */
        owner_close(o);
}

/* dlq first, then the skip list. */
static void owner_rejects(struct sim *s, int n, const struct sim_record *r,
                          const struct decide_input *in)
{
    struct owner *o = &s->owners[n];
    if (sim_outage(s)) {
        owner_close(o);
        return;
    }
    check_poisoned(s, r);
    careful_skip(&o->careful, place(r));
    decide_leave_out(o->decide, in);
    owner_passed(o, r);
    if (!owner_commit(s, n))
        owner_close(o);
}

static bool owner_survives(struct sim *s, int n, const struct sim_record *r)
{
    bool poison = s->script.poison >= 0 && check_receipt_of(r) == s->script.poison;
    if (!poison && !commands_poison(s, r))
        return true;
    sim_trace(s, "poison:");
    owner_crash(s, n);
    return false;
}

static void owner_works(struct sim *s, int n, const struct sim_record *r,
                        const struct decide_input *in)
{
    struct owner *o = &s->owners[n];
    struct err e;
    o->exposed = r->offset;
    if (!owner_survives(s, n, r))
        return;
    arena_reset(s->arena);
    enum decide_verdict v =
        decide_record(o->decide, &s->configs[s->config].snapshot, in, s->arena, &o->out, &e);
    owner_seen(s, o, r);
    if (v == DECIDE_REJECT)
        sim_broken(s, "a record was rejected: %s", e.text);
    if (v == DECIDE_RETRY) { /* it has to wait, untouched */
        careful_put(&o->careful);
        o->hand = -1;
        return;
    }
    o->working = r->offset;
    o->busy = true;
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
    switch (careful_record(&o->careful, place(r))) {
    case CAREFUL_PASS:
        decide_leave_out(o->decide, &in);
        owner_passed(o, r);
        return;
    case CAREFUL_POISON:
        owner_rejects(s, n, r, &in);
        return;
    default:
        break;
    }
    if (careful_is(&o->careful) && o->hand != r->offset)
        owner_takes_in_hand(s, n, r);
    else
        owner_works(s, n, r, &in);
}

static void owner_written(struct sim *s, struct owner *o)
{
    outputs_clear(&o->out);
    o->objects = o->records = 0;
    o->busy = false;
    if (o->working < 0)
        return;
    careful_done(&o->careful, o->working);
    o->hand = o->working = -1;
    owner_passed(o, &s->world.logs[SIM_INSTANCE].records.items[o->input_at]);
}

/* Between the decisions of one command; who goes on may have another configuration. */
static void crash_halfway(struct sim *s, int n)
{
    owner_crash(s, n);
    if (random_percent(&s->random, 50))
        s->config = 1 - s->config;
}

static void owner_write_record(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (sim_outage(s)) { /* an output that cannot be written closes the partition */
        owner_close(o);
        return;
    }
    const struct sim_record *r = world_append(&s->world, &o->out.records.items[o->records++]);
    if (!event_is_choice(r->type))
        return;
    sim_trace(s, "owner %d writes %s of %s/%s at %lld%s", n, event_type_name(r->type),
              r->study ? r->study : "-", r->series ? r->series : "-", (long long)r->offset,
              world_is_void(&s->world.logs[SIM_DECISION], r) ? " (void)" : "");
    check_appended(s, r);
    if (s->fault == SIM_FAULT_FLOOR_ACK)
        owner_takes(s, o, r, false);
    if (s->script.replays && !s->calm && o->records < o->out.records.n &&
        random_percent(&s->random, 10))
        crash_halfway(s, n);
}

static void owner_write_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (o->objects < o->out.objects.n)
        world_put(&s->world, &o->out.objects.items[o->objects++]);
    else if (o->records < o->out.records.n)
        owner_write_record(s, n);
    else
        owner_written(s, o);
}

static void owner_tick_step(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    decide_tick(o->decide, o->seen_ts + (s->world.now - o->seen_at), true, &o->out);
    o->busy = o->out.records.n > 0;
}

void owner_step(struct sim *s, int n)
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
        if (o->input_at >= s->world.logs[SIM_INSTANCE].records.n)
            owner_tick_step(s, n);
        else
            owner_input_step(s, n);
        break;
    default:
        (void)owner_commit(s, n);
    }
}

void owner_crash(struct sim *s, int n)
{
    struct owner *o = &s->owners[n];
    if (!o->decide)
        return;
    if (o->exposed >= 0 && o->exposed < SIM_OFFSETS && s->interrupted[o->exposed] < 100)
        s->interrupted[o->exposed]++;
    owner_close(o);
    o->exposed = -1;
    o->lives = false;
    o->life++;
    o->down_until = s->world.now + random_below(&s->random, 60000);
    s->result->crashes++;
    sim_trace(s, "owner %d crashes", n);
}
