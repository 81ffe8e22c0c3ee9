/* The promises, checked by other means than the cores keep them: sets over the logs. */
#include "sim_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "event/ids.h"

static int receipt_number(const char *receipt)
{
    long n = strtol(receipt, NULL, 16);
    return n >= 0 && n < SIM_RECEIPTS ? (int)n : -1;
}

/* ---- after each step ---- */

static void count_receipt(void *to, const char *receipt)
{
    struct sim *s = to;
    int n = receipt_number(receipt);
    if (n < 0 || !s->known[n].stored)
        sim_broken(s, "a decision names receipt %s, which was never stored", receipt);
    else if (++s->known[n].decisions > 1)
        sim_broken(s, "receipt %d stands in two valid decisions", n);
}

/* Released: each association of the window's receipts had ended well, a grace before. */
static void check_released(struct sim *s, const struct event_series_decided *d, int64_t closed)
{
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    for (int64_t i = d->window->last + 1; i < (int64_t)log->records.n; i++) {
        const struct sim_record *r = &log->records.items[i];
        if (r->type == EVENT_ASSOCIATION_ENDED && r->timestamp + SIM_GRACE_MS < closed)
            return;
    }
    /* A late instance may complete the evidence too; then the end stands inside the window. */
    for (int64_t i = d->window->first; i < d->window->last; i++)
        if (log->records.items[i].type == EVENT_ASSOCIATION_ENDED)
            return;
    sim_broken(s, "%s was closed as released without an association's end", d->series);
}

int check_receipt_of(const struct sim_record *r)
{
    struct slice raw, data;
    char receipt[17] = "";
    if (r->type != EVENT_INSTANCE_STORED)
        return -1;
    if (rows_peek(&data, r->value.data, r->value.len, "data") == 0 &&
        rows_peek(&raw, data.p, data.n, "receipt") == 0 && raw.n == 18)
        memcpy(receipt, raw.p + 1, 16);
    return receipt_number(receipt);
}

static bool of_series(const struct sim_record *r, const struct event_series_decided *d)
{
    return r->type == EVENT_INSTANCE_STORED && strcmp(r->study, d->study) == 0 &&
           strcmp(r->series, d->series) == 0;
}

/* Log time when the newest receipt of a window came, or the earliest afterwards: the clock may have
 * been set back. */
static int64_t newest(const struct sim *s, const struct event_series_decided *d)
{
    bool seen[SIM_RECEIPTS] = {false};
    int64_t at = 0, last = d->window->first;
    for (int64_t i = d->window->first; i <= d->window->last; i++) {
        const struct sim_record *r = &s->world.logs[SIM_INSTANCE].records.items[i];
        int n = of_series(r, d) ? check_receipt_of(r) : -1;
        if (n < 0 || seen[n])
            continue;
        seen[n] = true;
        at = r->timestamp;
        last = i;
    }
    for (; last < (int64_t)s->world.logs[SIM_INSTANCE].records.n; last++)
        if (s->world.logs[SIM_INSTANCE].records.items[last].timestamp < at)
            at = s->world.logs[SIM_INSTANCE].records.items[last].timestamp;
    return at;
}

/* The record at which the quiet time of a window must have ended: the first that is past it, unless
 * the log was closed, or nobody at work, shortly before: then the time starts anew. */
static int64_t quiet_end(const struct sim *s, const struct event_series_decided *d)
{
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    bool seen[SIM_RECEIPTS] = {false};
    int64_t base = 0;
    for (int64_t i = d->window->first; i < (int64_t)log->records.n; i++) {
        const struct sim_record *r = &log->records.items[i];
        if (base > r->timestamp + DECIDE_SET_BACK_MS)
            base = r->timestamp; /* the log's clock was set back: anew */
        bool gap = base && i > d->window->first && r->timestamp - r[-1].timestamp > DECIDE_GAP_MS;
        if (gap && r->timestamp + DECIDE_SOON_MS > base + SIM_QUIET_MS)
            base = r->timestamp;
        else if (base && r->timestamp > base + SIM_QUIET_MS)
            return r->timestamp;
        if (!of_series(r, d))
            continue;
        int n = check_receipt_of(r);
        if (n >= 0 && !seen[n]) {
            seen[n] = true;
            base = r->timestamp;
        }
    }
    return -1;
}

static bool of_release(const struct sim *s, const struct event_series_decided *d)
{
    for (int i = 0; i < s->script.series; i++)
        if (strcmp(script_study(i), d->study) == 0 && strcmp(script_series(i), d->series) == 0)
            return s->script.release[i];
    return false;
}

static void check_time(struct sim *s, const struct event_series_decided *d)
{
    int64_t closed = clock_parse_rfc3339(d->closed_at);
    if (!s->script.same_quiet || s->result->poisoned)
        return;
    if (d->reason == REASON_RELEASED)
        check_released(s, d, closed);
    if (d->reason != REASON_QUIET)
        return;
    int64_t want = quiet_end(s, d);
    if (of_release(s, d)) { /* its grace may have started the quiet time anew, earlier */
        want = newest(s, d) + SIM_QUIET_MS + 1;
        if (closed >= want)
            return;
    }
    if (closed != want)
        sim_broken(s, "%s [%lld-%lld] closed at %lld ms, want %lld", d->series,
                   (long long)d->window->first, (long long)d->window->last,
                   (long long)(closed - s->start), (long long)(want - s->start));
}

static bool is_valid_id(const struct sim *s, const char *id)
{
    for (size_t i = 0; i < s->valid.n; i++)
        if (strcmp(s->valid.items[i], id) == 0)
            return true;
    return false;
}

/* By command: over valid decisions that stand before it. */
static void check_replayed(struct sim *s, const struct event_series_decided *d)
{
    for (size_t i = 0; i < d->of.n; i++)
        if (!is_valid_id(s, d->of.items[i]))
            sim_broken(s, "a replay of %s, which is no valid decision", d->of.items[i]);
    if (d->of.n == 0)
        sim_broken(s, "a replay of nothing");
    commands_acted(s, d->command);
    s->result->replayed++;
}

void check_appended(struct sim *s, const struct sim_record *r)
{
    if (!event_is_choice(r->type))
        return;
    s->result->decisions += r->type == EVENT_SERIES_DECIDED;
    if (world_is_void(&s->world.logs[SIM_DECISION], r)) {
        s->result->voids++;
        return;
    }
    struct event ev;
    struct err e;
    arena_reset(s->arena);
    if (event_decode(&ev, r->value.data, r->value.len, s->arena, &e)) {
        sim_broken(s, "a decision that cannot be read: %s", e.text);
        return;
    }
    if (ev.type == EVENT_COMMAND_DECIDED) {
        commands_decided(s, &ev.note);
        return;
    }
    const struct event_series_decided *d = &ev.decided;
    if (is_valid_id(s, d->decision))
        sim_broken(s, "%s is decided twice", d->decision);
    *vec_push(&s->valid) = mem_strdup(d->decision);
    for (size_t i = 0; i < d->deliveries.n; i++) {
        const struct event_delivery_requested *x =
            rows_at(struct event_delivery_requested, &d->deliveries, i);
        *vec_push(&s->asked) =
            (struct asked){mem_strdup(x->delivery), mem_strdup(x->manifest.key), false};
    }
    const struct str *manifest = world_get(&s->world, d->manifest.key);
    if (!manifest)
        sim_broken(s, "a decision was written before its manifest");
    if (!d->window) {
        check_replayed(s, d);
        return;
    }
    if (d->window->last > s->named)
        s->named = d->window->last;
    *vec_push(&s->settled) = (struct settled){mem_strdup(d->study), mem_strdup(d->series),
                                              clock_parse_rfc3339(d->closed_at)};
    if (manifest && decide_manifest_receipts(manifest->data, manifest->len, count_receipt, s, &e))
        sim_broken(s, "a manifest that cannot be read: %s", e.text);
    check_time(s, d);
}

void check_floor(struct sim *s, int64_t floor)
{
    for (int i = 0; i < s->script.receipts; i++)
        if (s->known[i].first >= 0 && s->known[i].first < floor && !s->known[i].decisions &&
            !s->known[i].poisoned)
            sim_broken(s, "floor %lld is past receipt %d at %lld, which is not decided",
                       (long long)floor, i, (long long)s->known[i].first);
}

bool check_all_decided(const struct sim *s)
{
    for (int i = 0; i < s->script.receipts; i++)
        if (!s->known[i].decisions && !s->known[i].poisoned)
            return false;
    return true;
}

void check_poisoned(struct sim *s, const struct sim_record *r)
{
    int receipt = check_receipt_of(r);
    commands_poisoned(s, r);
    sim_trace(s, "record %lld goes to dlq", (long long)r->offset);
    s->result->poisoned++;
    if (receipt >= 0)
        s->known[receipt].poisoned = true;
    if (r->offset < SIM_OFFSETS && s->interrupted[r->offset] < CAREFUL_HITS)
        sim_broken(s, "record %lld went to dlq, but its worker died %d times", (long long)r->offset,
                   s->interrupted[r->offset]);
}

void check_free(struct sim *s)
{
    for (size_t i = 0; i < s->valid.n; i++)
        mem_free(s->valid.items[i]);
    for (size_t i = 0; i < s->asked.n; i++) {
        mem_free(s->asked.items[i].delivery);
        mem_free(s->asked.items[i].manifest);
    }
    for (size_t i = 0; i < s->settled.n; i++) {
        mem_free(s->settled.items[i].study);
        mem_free(s->settled.items[i].series);
    }
    vec_free(&s->valid);
    vec_free(&s->settled);
    vec_free(&s->asked);
}

/* ---- at the end ---- */

/* Every window that was decided before a replay is decided once more. (Read again by another quiet
 * time, a window may end before a command that found it open.) */
static void check_replays(struct sim *s)
{
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    if (s->cut || s->script.jumps || !s->script.same_quiet || s->result->poisoned)
        return;
    for (size_t i = 0; i < log->records.n; i++) {
        const struct sim_record *r = &log->records.items[i];
        bool is = r->type == EVENT_COMMAND_REPLAY &&
                  strstr(str_cstr(&r->value), "\"c2\""); /* a plain one, given once */
        for (size_t k = 0; is && k < s->settled.n; k++) {
            const struct settled *w = &s->settled.items[k];
            char id[HASH_ID_HEX];
            ids_command_decision(id, "c2", w->series);
            if (w->closed < r->timestamp && strcmp(w->study, r->study) == 0 && !is_valid_id(s, id))
                sim_broken(s, "series %s was not replayed", w->series);
        }
    }
}

/* A core that has seen nothing, over the whole log: the same decisions with the same ids. */
static void check_replay(struct sim *s)
{
    const struct decide_setup setup = {.site = "main", .owner = "replay", .claim = 1};
    struct decide *d = decide_new(&setup);
    struct outputs out = {.source = "/talaria/main/router/replay"};
    const struct sim_log *log = &s->world.logs[SIM_INSTANCE];
    for (size_t i = 0; i < log->records.n; i++) {
        const struct sim_record *r = &log->records.items[i];
        const struct decide_input in = {
            r->offset,          r->timestamp,        r->type,
            slice_of(r->study), slice_of(r->series), str_slice(&r->value)};
        struct err e;
        arena_reset(s->arena);
        if (decide_record(d, &s->configs[0].snapshot, &in, s->arena, &out, &e) != DECIDE_DONE)
            sim_broken(s, "replay: %s", e.text);
    }
    size_t n = 0;
    for (size_t i = 0; i < out.records.n; i++) {
        const struct output_record *r = &out.records.items[i];
        struct event ev;
        struct err e;
        arena_reset(s->arena);
        if (r->type != EVENT_SERIES_DECIDED ||
            event_decode(&ev, r->value.data, r->value.len, s->arena, &e))
            continue;
        n++;
        if (!is_valid_id(s, ev.decided.decision))
            sim_broken(s, "replay decides %s [%lld-%lld] otherwise", ev.decided.series,
                       (long long)ev.decided.window->first, (long long)ev.decided.window->last);
    }
    if (n != s->valid.n)
        sim_broken(s, "replay gives %zu decisions, the log has %zu valid ones", n, s->valid.n);
    outputs_free(&out);
    decide_free(d);
}

/* A delivery is one that a valid decision contains, over the manifest that stands there. */
static void check_delivery(struct sim *s, const struct event_delivery_requested *x)
{
    for (size_t i = 0; i < s->asked.n; i++) {
        struct asked *asked = &s->asked.items[i];
        if (strcmp(asked->delivery, x->delivery) != 0)
            continue;
        asked->requested = true;
        if (strcmp(asked->manifest, x->manifest.key) != 0)
            sim_broken(s, "a delivery over the manifest of another decision");
        return;
    }
    sim_broken(s, "a delivery that no valid decision contains");
}

static void check_deliveries(struct sim *s)
{
    const struct sim_log *log = &s->world.logs[SIM_DELIVERY];
    for (size_t i = 0; i < log->records.n; i++) {
        const struct sim_record *r = &log->records.items[i];
        struct event ev;
        struct err e;
        arena_reset(s->arena);
        if (event_decode(&ev, r->value.data, r->value.len, s->arena, &e))
            sim_broken(s, "a delivery that cannot be read: %s", e.text);
        else
            check_delivery(s, &ev.requested);
    }
    for (size_t i = 0; i < s->asked.n; i++)
        if (!s->asked.items[i].requested)
            sim_broken(s, "delivery %s was never requested", s->asked.items[i].delivery);
}

void check_end(struct sim *s)
{
    for (int i = 0; i < s->script.receipts; i++)
        if (s->known[i].decisions != 1 && !s->known[i].poisoned)
            sim_broken(s, "receipt %d stands in %d valid decisions", i, s->known[i].decisions);
    if (s->world.written_twice)
        sim_broken(s, "an object was written twice");
    if (s->script.replays)
        check_replays(s);
    else if (s->script.same_quiet && !s->cut && !s->result->poisoned)
        check_replay(s);
    check_deliveries(s);
}
