/* What the senders do: a script from the seed. */
#include "sim_priv.h"

#include <stdlib.h>

/* splitmix64 */
uint64_t random_next(struct sim_random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

int64_t random_below(struct sim_random *r, int64_t n)
{
    return n > 0 ? (int64_t)(random_next(r) % (uint64_t)n) : 0;
}

bool random_percent(struct sim_random *r, int percent)
{
    return random_below(r, 100) < percent;
}

const char *script_study(int series)
{
    return series < 2 ? "1.1" : "1.2";
}

const char *script_series(int series)
{
    /* two studies share a series UID: some modalities do that */
    static const char *const uids[SIM_SERIES] = {"1.1.1", "1.1.2", "1.1.1", "1.2.2"};
    return uids[series];
}

static struct script_item *add(struct script *s, int64_t at, enum script_kind kind)
{
    struct script_item *item = vec_push(&s->items);
    *item = (struct script_item){.at = at, .kind = kind, .order = (int)s->items.n};
    return item;
}

/* Mostly quick, sometimes almost the quiet time, sometimes beyond it. */
static int64_t gap(struct sim_random *r)
{
    int64_t what = random_below(r, 20);
    if (what < 15)
        return random_below(r, 3000);
    if (what < 18)
        return 40000 + random_below(r, 20000);
    return SIM_QUIET_MS + random_below(r, 60000);
}

static void repeat(struct script *s, struct sim_random *r, int64_t at, int receipt, int series,
                   int association)
{
    struct script_item *item = add(s, at + random_below(r, 150000), SCRIPT_INSTANCE);
    item->receipt = receipt;
    item->series = series;
    item->association = association;
}

static int64_t association(struct script *s, struct sim_random *r, int64_t at, int series, int id)
{
    int64_t n = 1 + random_below(r, 5), sent = 0;
    for (; sent < n && s->receipts < SIM_RECEIPTS; sent++) {
        at += gap(r);
        struct script_item *item = add(s, at, SCRIPT_INSTANCE);
        item->receipt = s->receipts++;
        item->series = series;
        item->association = id;
        if (random_percent(r, 8)) /* through the outbox: later than what came after it */
            item->at += random_below(r, 90000);
        if (random_percent(r, 15))
            repeat(s, r, at, item->receipt, series, id);
    }
    if (random_percent(r, 85)) {
        at += random_below(r, 1000);
        struct script_item *item = add(s, at, SCRIPT_ENDED);
        item->series = series;
        item->association = id;
        item->n = random_percent(r, 90) ? sent : sent + 1;
        item->outcome = random_percent(r, 75) ? ASSOCIATION_RELEASED : ASSOCIATION_ABORTED;
    }
    return at;
}

static int by_time(const void *a, const void *b)
{
    const struct script_item *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->order - y->order;
}

static void command(struct script *s, struct sim_random *r, int64_t end, int number)
{
    bool late = random_percent(r, 60); /* when most is decided */
    const int64_t at = random_below(r, end) + (late ? end / 2 + SIM_QUIET_MS : 0);
    struct script_item *item = add(s, at, SCRIPT_ASKED);
    item->n = number;
    item->series = (int)random_below(r, s->series);
    if (number == SIM_FIRST_COMMAND)
        return;
    item->outcome = (int)random_below(r, COMMAND_KINDS);
    item->receipt = (int)random_below(r, 3);
    struct script_item again = *item;
    if (random_percent(r, 20)) { /* given twice: the first answer did not come */
        item = add(s, at + random_below(r, 3000), SCRIPT_ASKED);
        again.at = item->at;
        again.order = item->order;
        *item = again;
    }
    if (random_percent(r, 30))
        add(s, at + random_below(r, 3000), SCRIPT_CONFIG);
}

/* Replays and reroutes, between configurations that come and go. */
static void commands(struct script *s, struct sim_random *r, int64_t end)
{
    int n = 1 + (int)random_below(r, SIM_COMMANDS - SIM_FIRST_COMMAND);
    for (int i = 0; i < n; i++)
        command(s, r, end, SIM_FIRST_COMMAND + i);
    for (int64_t i = random_below(r, 4); i > 0; i--)
        add(s, random_below(r, end), SCRIPT_CONFIG);
    if (random_percent(r, 5))
        s->poison_command = SIM_FIRST_COMMAND + (int)random_below(r, n);
}

void script_make(struct script *s, struct sim_random *r, bool replays)
{
    *s = (struct script){.replays = replays};
    s->same_quiet = random_percent(r, 80);
    s->series = 1 + (int)random_below(r, SIM_SERIES);
    int id = 0;
    int64_t end = 0;
    for (int series = 0; series < s->series; series++) {
        s->release[series] = random_percent(r, 50);
        int64_t at = random_below(r, 60000);
        int64_t associations = 1 + random_below(r, 3);
        for (int64_t i = 0; i < associations; i++) {
            at = association(s, r, at, series, id++) + random_below(r, 100000);
            end = at > end ? at : end;
        }
    }
    if (random_percent(r, 25))
        add(s, random_below(r, end + 1), SCRIPT_COMMAND)->series = (int)random_below(r, s->series);
    if (random_percent(r, 40))
        add(s, random_below(r, end + 1), SCRIPT_CONFIG);
    if (random_percent(r, 40)) {
        s->outage_from = random_below(r, end + 1);
        s->outage_to = s->outage_from + 1000 + random_below(r, 200000);
    }
    s->jumps = random_percent(r, 35);
    if (random_percent(r, 30))
        s->cut_at = random_below(r, end + 60000);
    s->poison = random_percent(r, 12) ? (int)random_below(r, s->receipts) : -1;
    if (s->replays)
        commands(s, r, end + SIM_QUIET_MS);
    qsort(s->items.items, s->items.n, sizeof *s->items.items, by_time);
}
