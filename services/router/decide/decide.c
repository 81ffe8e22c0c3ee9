/* The order of things in one partition: timers first, then the record, then what it asked for. */
#include "decide_priv.h"

struct decide *decide_new(const struct decide_setup *setup)
{
    struct decide *d = mem_zalloc(sizeof *d);
    d->setup = *setup;
    d->site = mem_strdup(setup->site);
    d->owner = mem_strdup(setup->owner);
    d->next_due = INT64_MAX;
    d->seen = INT64_MAX;
    d->latest = 0;
    d->named = -1;
    d->scratch = arena_new(0);
    return d;
}

void decide_free(struct decide *d)
{
    if (!d)
        return;
    struct window *w, *next;
    HASH_ITER(hh, d->open, w, next)
    {
        HASH_DEL(d->open, w);
        window_free(w);
    }
    HASH_ITER(hh, d->closing, w, next)
    {
        HASH_DEL(d->closing, w);
        window_free(w);
    }
    coverage_free(d);
    left_out_free(d);
    mem_free(d->named_receipt);
    vec_free(&d->closers);
    str_free(&d->key);
    arena_free(d->scratch);
    mem_free(d->site);
    mem_free(d->owner);
    mem_free(d);
}

/* ---- journal ---- */

void decide_journal(struct decide *d, const struct decide_entry *j, struct arena *a)
{
    struct event ev;
    struct err e;
    if ((j->type != EVENT_SERIES_DECIDED && j->type != EVENT_COMMAND_DECIDED) || j->is_void ||
        event_decode(&ev, j->value.p, j->value.n, a, &e) || ev.type != j->type)
        return;
    if (j->type == EVENT_COMMAND_DECIDED) {
        coverage_conclude(d, ev.note.command);
        replay_read_back(d, ev.id);
        return;
    }
    coverage_take(d, &ev.decided, j->offset);
    replay_read_back(d, ev.decided.decision);
    if (strlen(ev.decided.decision) != HASH_ID_HEX - 1)
        return;
    struct window *w;
    HASH_FIND(hh, d->closing, ev.decided.decision, HASH_ID_HEX - 1, w);
    if (w) { /* read back and valid: it counts from now on */
        HASH_DEL(d->closing, w);
        window_free(w);
    }
}

const char *decide_named(const struct decide *d, int64_t *offset)
{
    *offset = d->named;
    return d->named_receipt;
}

int64_t decide_floor(const struct decide *d, int64_t position)
{
    /* Open windows stand in the order of their first offsets; closing ones do not. */
    if (d->open && d->open->first < position)
        position = d->open->first;
    for (const struct window *w = d->closing; w; w = w->hh.next)
        if (w->first < position)
            position = w->first;
    for (size_t i = 0; i < d->asked.n; i++)
        if (d->asked.items[i].at < position)
            position = d->asked.items[i].at;
    return position;
}

/* ---- timers ---- */

static void closer_push(struct decide *d, struct window *w, int reason)
{
    *vec_push(&d->closers) = (struct closer){w, reason};
}

/* The cap is a bound, not a guess about the sender: it never starts anew. */
static void fire(struct decide *d, struct window *w, int64_t now, bool gap)
{
    if (w->full || now > w->cap_at)
        closer_push(d, w, REASON_CAP);
    else if (gap && now + DECIDE_SOON_MS > w->due)
        window_restart(d, w, now);
    else if (now > w->due)
        closer_push(d, w, w->reason);
}

static int64_t earliest(const struct window *w)
{
    return w->full ? INT64_MIN : w->due < w->cap_at ? w->due : w->cap_at;
}

/* Makes next_due exact. */
static void find_next_due(struct decide *d)
{
    d->next_due = INT64_MAX;
    for (const struct window *w = d->open; w; w = w->hh.next) {
        int64_t due = earliest(w);
        if (due < d->next_due)
            d->next_due = due;
    }
}

/* The log's clock was set back (a broker's was corrected): a quiet time that counts from a point in the
 * future would last until then. Like one that found nobody at work it starts anew. */
static void set_back(struct decide *d, int64_t now)
{
    d->latest = now;
    for (struct window *w = d->open; w; w = w->hh.next)
        if (w->base > now + DECIDE_SET_BACK_MS)
            window_set_back(d, w, now);
        else if (w->base > d->latest)
            d->latest = w->base;
    find_next_due(d);
}

static void collect_timers(struct decide *d, int64_t now)
{
    if (d->latest - DECIDE_SET_BACK_MS > now)
        set_back(d, now);
    bool gap = d->seen < now && now - d->seen > DECIDE_GAP_MS;
    int64_t until = gap ? now + DECIDE_SOON_MS : now;
    if (until <= d->next_due)
        return;
    for (struct window *w = d->open; w; w = w->hh.next)
        if (until > earliest(w))
            fire(d, w, now, gap);
    find_next_due(d);
}

static bool asked_for(const struct window *w, const struct event_command *c)
{
    return c->study && slice_is(decide_trim(slice_of(c->study)), w->study) &&
           (!c->series || !*c->series || slice_is(decide_trim(slice_of(c->series)), w->series));
}

static bool collected(const struct decide *d, const struct window *w)
{
    for (size_t i = 0; i < d->closers.n; i++)
        if (d->closers.items[i].w == w)
            return true;
    return false;
}

static void collect_command(struct decide *d, const struct event_command *c)
{
    for (struct window *w = d->open; w; w = w->hh.next)
        if (asked_for(w, c) && !collected(d, w))
            closer_push(d, w, REASON_COMMAND);
}

/* ---- records ---- */

static bool well_formed(const struct event_instance_stored *s)
{
    return s->receipt && *s->receipt && s->key && s->sha256 && s->study && s->series && s->sop;
}

/* Is the offset covered? By the headers alone, so that replay does not decode what is decided. */
static bool covered(struct decide *d, const struct decide_input *in)
{
    if (in->type != EVENT_INSTANCE_STORED || !in->study.p || !in->series.p)
        return false;
    decide_key(d, in->study, in->series);
    const struct coverage *c = coverage_find(d);
    return c && in->offset <= c->last;
}

static void apply_stored(struct decide *d, const struct config_snapshot *config,
                         const struct decide_input *in, const struct event_instance_stored *s)
{
    decide_key(d, slice_of(s->study), slice_of(s->series));
    const struct coverage *c = coverage_find(d);
    if (c && in->offset <= c->last) {
        d->stats.skipped++;
        return;
    }
    struct window *w = window_find(d);
    if (!w)
        w = window_open(d, config, in, s);
    window_add(d, w, config, in, s);
}

static void answer(struct decide *d, const struct event_command *c, const char *text,
                   struct outputs *out)
{
    char id[HASH_ID_HEX];
    ids_command_decision(id, c->command, "answered");
    struct event ev = {.type = EVENT_COMMAND_ANSWERED,
                       .id = id,
                       .subject = c->command,
                       .note = {.command = c->command,
                                .outcome = "done",
                                .text = text,
                                .by = c->user,
                                .study = c->study}};
    struct err e;
    if (outputs_event(out, "event", -1, NULL, &ev, -1, &e) == 0)
        d->stats.answered++;
}

/* A command that is read again is answered again, under the same id: the answer may not be in the log. */
static void completed(struct decide *d, const struct event_command *c, size_t closed,
                      struct outputs *out)
{
    bool before = c->command && coverage_acted(d, c->command);
    if (c->command)
        answer(d, c, closed || before ? "closed" : "nothing was open", out);
}

static bool needs_body(enum event_type t)
{
    return t == EVENT_INSTANCE_STORED || t == EVENT_ASSOCIATION_ENDED ||
           t == EVENT_ASSOCIATION_ALIVE || t == EVENT_COMMAND_COMPLETE ||
           t == EVENT_COMMAND_REPLAY || t == EVENT_COMMAND_REROUTE;
}

static int decode(struct event *ev, const struct decide_input *in, struct arena *a, struct err *e)
{
    if (event_decode(ev, in->value.p, in->value.n, a, e))
        return -1;
    if (ev->type != in->type)
        return err_set(e, ERR_REJECT, 0, "the record is not what its header says");
    if (in->type == EVENT_INSTANCE_STORED && !well_formed(&ev->stored))
        return err_set(e, ERR_REJECT, 0, "instance.stored lacks a required field");
    return 0;
}

static void apply(struct decide *d, const struct config_snapshot *config,
                  const struct decide_input *in, const struct event *ev, size_t closed,
                  struct outputs *out)
{
    switch (in->type) {
    case EVENT_INSTANCE_STORED:
        apply_stored(d, config, in, &ev->stored);
        break;
    case EVENT_ASSOCIATION_ENDED:
        window_ended(d, &ev->ended, in->timestamp);
        break;
    case EVENT_ASSOCIATION_ALIVE:
        window_alive(d, &ev->alive, in->timestamp);
        break;
    case EVENT_COMMAND_COMPLETE:
        completed(d, &ev->command, closed, out);
        break;
    case EVENT_TICK:
        d->tick_in_flight = false;
        break;
    default:
        break;
    }
}

static int mark_known(struct decide *d, struct err *e)
{
    for (size_t i = 0; i < d->closers.n; i++)
        if (coverage_mark(d, d->closers.items[i].w, e))
            return -1;
    return 0;
}

static void close_collected(struct decide *d, const struct config_snapshot *config,
                            const char *command, int64_t at, struct outputs *out)
{
    for (size_t i = 0; i < d->closers.n; i++) {
        struct closer c = d->closers.items[i];
        struct err e;
        if (close_window(d, c.w, c.reason, c.reason == REASON_COMMAND ? command : NULL, at, config,
                         out, &e))
            window_restart(d, c.w, at); /* stays open, holds the floor, and is tried again */
    }
}

enum decide_verdict decide_record(struct decide *d, const struct config_snapshot *config,
                                  const struct decide_input *in, struct arena *a,
                                  struct outputs *out, struct err *e)
{
    struct event ev = {0};
    bool skip = covered(d, in);
    bool body = !skip && needs_body(in->type);
    if (body && decode(&ev, in, a, e)) {
        decide_leave_out(d, in);
        return DECIDE_REJECT;
    }
    vec_clear(&d->closers);
    collect_timers(d, in->timestamp);
    if (in->type == EVENT_COMMAND_COMPLETE)
        collect_command(d, &ev.command);
    struct replay *replay = NULL;
    bool asks = in->type == EVENT_COMMAND_REPLAY || in->type == EVENT_COMMAND_REROUTE;
    if (mark_known(d, e) || (asks && replay_prepare(&replay, d, config, in, &ev.command, e))) {
        d->next_due = INT64_MIN; /* the same timers again when the record comes again */
        return DECIDE_RETRY;
    }
    const char *command = in->type == EVENT_COMMAND_COMPLETE ? ev.command.command : NULL;
    close_collected(d, config, command, in->timestamp, out);
    if (skip)
        d->stats.skipped++;
    else
        apply(d, config, in, &ev, d->closers.n, out);
    if (replay)
        replay_do(d, replay, out);
    replay_free(replay);
    if (d->closers.n)
        find_next_due(d);
    d->seen = in->timestamp;
    return DECIDE_DONE;
}

static bool tick_is_due(const struct decide *d, int64_t log_now)
{
    bool silent = log_now > d->seen && log_now - d->seen >= DECIDE_PULSE_MS;
    return log_now > d->next_due ||
           (silent && log_now + DECIDE_SOON_MS + DECIDE_GAP_MS > d->next_due);
}

void decide_tick(struct decide *d, int64_t log_now, bool caught_up, struct outputs *out)
{
    if (!caught_up || d->tick_in_flight || !tick_is_due(d, log_now))
        return;
    find_next_due(d); /* instances have moved it since */
    if (!tick_is_due(d, log_now))
        return;
    struct event ev = {.type = EVENT_TICK, .subject = "tick", .claim = {.owner = d->owner}};
    struct err e;
    if (outputs_event(out, "instance", d->setup.partition, NULL, &ev, -1, &e) == 0) {
        d->tick_in_flight = true;
        d->stats.ticks++;
    }
}

struct decide_stats decide_stats(const struct decide *d)
{
    struct decide_stats s = d->stats;
    s.open = HASH_COUNT(d->open);
    s.closing = HASH_COUNT(d->closing);
    s.next_due = d->next_due;
    return s;
}
