/* Clocks that jump, and a log that loses its end: the guard of common/daemon's tail.c, and what
 * `talaria recover` and the reconciler do about it. */
#include "sim_priv.h"

#include <stdio.h>

#define JUMP_MS  120000
#define LOSS_MAX 12 /* records */

void power_jump(struct sim *s)
{
    if (!s->script.jumps || !random_percent(&s->random, 30))
        return;
    int64_t by = random_below(&s->random, 2 * JUMP_MS) - JUMP_MS;
    s->world.skew += by;
    s->result->jumps++;
    sim_trace(s, "the log's clock jumps by %lld ms", (long long)by);
}

/* ---- the guard ---- */

static bool same(const struct sim_record *r, const struct careful *c, const char *id)
{
    if (id)
        return slice_is(careful_id(str_slice(&r->value)), id);
    return careful_mark(r->timestamp, str_slice(&r->value)) == c->mark;
}

static bool padded(const struct sim_log *log, int64_t from)
{
    for (size_t i = (size_t)from; i < log->records.n; i++)
        if (log->records.items[i].type == EVENT_PADDING)
            return true;
    return false;
}

bool power_sound(struct sim *s, const struct careful *c, const char *id, int64_t offset)
{
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    if (s->fault == SIM_FAULT_NO_GUARD || (s->fault == SIM_FAULT_NO_PADDING && s->recovered))
        return true;
    if (!id)
        offset = c->at;
    bool end_only = !id && s->committed - 1 > offset;
    if (end_only)
        offset = s->committed - 1;
    if (offset < 0)
        return true;
    if (offset >= (int64_t)log->records.n)
        return false;
    return end_only || same(&log->records.items[offset], c, id) || padded(log, offset);
}

/* ---- the cut ---- */

static void find_first(struct sim *s)
{
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    for (int i = 0; i < SIM_RECEIPTS; i++)
        s->known[i].first = -1;
    for (size_t i = log->records.n; i-- > 0;) {
        int receipt = check_receipt_of(&log->records.items[i]);
        if (receipt >= 0)
            s->known[receipt].first = log->records.items[i].offset;
    }
}

/* Everything on this machine ends at once. Only `instance` is not flushed before it is
 * acknowledged: the other logs and the store keep what they had. */
static void power_cut(struct sim *s)
{
    size_t n = s->world.logs[SIM_INSTANCE].records.n;
    size_t loss = (size_t)random_below(&s->random, (int64_t)(n < LOSS_MAX ? n : LOSS_MAX) + 1);
    for (int i = 0; i < SIM_OWNERS; i++)
        owner_crash(s, i);
    planner_start(s);
    world_cut(&s->world, SIM_INSTANCE, n - loss);
    find_first(s);
    s->cut = true;
    s->result->cuts++;
    s->orphans_at = s->world.now + 30000 + random_below(&s->random, 100000);
    if (random_percent(&s->random, 30)) /* a person may do it for nothing */
        s->recover_at = s->world.now + random_below(&s->random, 60000);
    sim_trace(s, "power cut: %zu records are lost, instance ends at %zu", loss, n - loss);
}

/* ---- recovery ---- */

static void pad(struct sim *s)
{
    int64_t named = s->named, last;
    if (s->committed - 1 > named)
        named = s->committed - 1;
    if (s->meta.at > named)
        named = s->meta.at;
    if (s->meta.hand.offset > named)
        named = s->meta.hand.offset;
    struct event ev = {.type = EVENT_PADDING, .claim = {.owner = "talaria"}};
    do {
        last = world_produce(&s->world, SIM_INSTANCE, &ev, -1)->offset;
    } while (last < named);
    sim_trace(s, "recover: padding up to %lld", (long long)last);
}

/* Padding first; then every receipt of the store that stands in no decision is announced again. */
static void recover(struct sim *s)
{
    s->recover_at = 0;
    s->lost = false;
    s->recovered = true;
    s->result->recoveries++;
    if (s->fault != SIM_FAULT_NO_PADDING)
        pad(s);
    for (int i = 0; i < SIM_RECEIPTS && s->fault != SIM_FAULT_NOT_AGAIN; i++) {
        struct known *k = &s->known[i];
        if (!k->stored || k->decisions)
            continue;
        k->missing = true;
        k->first = -1; /* what counts from now on is the record to come */
    }
}

/* What no record names is an orphan of the store. */
static void find_orphans(struct sim *s)
{
    s->orphans_at = 0;
    for (int i = 0; i < SIM_RECEIPTS; i++) {
        struct known *k = &s->known[i];
        k->missing |= k->stored && !k->decisions && k->first < 0;
    }
}

static void announce_one(struct sim *s)
{
    for (int i = 0; i < SIM_RECEIPTS; i++) {
        if (!s->known[i].missing)
            continue;
        s->known[i].missing = false;
        sim_announce(s, i, "again");
        return;
    }
}

void power_step(struct sim *s)
{
    int64_t now = s->world.now;
    if (!s->script.cut_at || sim_outage(s))
        return;
    if (!s->cut) {
        if (now - s->start >= s->script.cut_at)
            power_cut(s);
        return;
    }
    if (s->lost && !s->recover_at)
        s->recover_at = now + random_below(&s->random, 60000);
    if (s->recover_at && now >= s->recover_at)
        recover(s);
    else if (s->orphans_at && now >= s->orphans_at)
        find_orphans(s);
    else if (random_percent(&s->random, 20))
        announce_one(s);
}

bool power_busy(const struct sim *s)
{
    if (!s->script.cut_at)
        return false;
    bool missing = false;
    for (int i = 0; i < SIM_RECEIPTS; i++)
        missing |= s->known[i].missing;
    return missing || !s->cut || s->lost || s->recover_at || s->orphans_at;
}
