/* A window: the open collection of one series' receipts, its associations and its timers. */
#include "decide_priv.h"

/* Fields of a DICOM UID may be padded with NUL or space; both are not part of the name. */
struct slice decide_trim(struct slice uid)
{
    while (uid.n && (uid.p[uid.n - 1] == ' ' || uid.p[uid.n - 1] == '\0'))
        uid.n--;
    while (uid.n && (uid.p[0] == ' ' || uid.p[0] == '\0'))
        uid.p++, uid.n--;
    return uid;
}

void decide_key(struct decide *d, struct slice study, struct slice series)
{
    study = decide_trim(study);
    series = decide_trim(series);
    str_clear(&d->key);
    str_append(&d->key, study.p, study.n);
    str_putc(&d->key, '\0');
    str_append(&d->key, series.p, series.n);
}

struct window *window_find(struct decide *d)
{
    struct window *w;
    HASH_FIND(hh, d->open, d->key.data, d->key.len, w);
    return w;
}

struct window *window_open(struct decide *d, const struct config_snapshot *config,
                           const struct decide_input *in, const struct event_instance_stored *s)
{
    struct window *w = mem_zalloc(sizeof *w);
    w->arena = arena_new(0);
    w->key = mem_dup(d->key.data, d->key.len + 1);
    w->key_n = d->key.len;
    w->study = w->key;
    w->series = w->key + strlen(w->key) + 1;
    w->first = in->offset;
    w->opened = in->timestamp;
    w->evidence_at = -1;
    w->not_before = INT64_MIN;
    w->cap_ms = config->defaults.cap_seconds * 1000;
    w->cap_at = in->timestamp + w->cap_ms;
    w->cap_n = config->defaults.cap_instances > 0 ? config->defaults.cap_instances : INT64_MAX;
    w->source.name = arena_strdup(w->arena, s->source.name);
    w->source.label = arena_strdup(w->arena, s->source.label);
    w->source.site = arena_strdup(w->arena, s->source.site);
    w->calling_ae = arena_strdup(w->arena, s->calling_ae);
    w->called_ae = arena_strdup(w->arena, s->called_ae);
    w->peer = arena_strdup(w->arena, s->peer);
    tags_take(w, &s->tags);
    HASH_ADD_KEYPTR(hh, d->open, w->key, w->key_n, w);
    return w;
}

void window_free(struct window *w)
{
    if (!w)
        return;
    HASH_CLEAR(hh, w->receipts); /* the receipts lie in the arena */
    for (size_t i = 0; i < w->processed.n; i++)
        mem_free(w->processed.items[i]);
    vec_free(&w->processed);
    vec_free(&w->carriers);
    vec_free(&w->extra);
    mem_free(w->manifest_key);
    mem_free(w->key);
    arena_free(w->arena);
    mem_free(w);
}

static struct carrier *carrier_find(struct window *w, const char *id)
{
    for (size_t i = w->carriers.n; i-- > 0;)
        if (strcmp(w->carriers.items[i].id, id) == 0)
            return &w->carriers.items[i];
    return NULL;
}

/* The quiet time is the longest of all sources that contributed, the grace too. */
static void source_settings(struct window *w, const struct config_snapshot *config,
                            const char *name, int *completion)
{
    const struct config_source *source = name ? config_source(config, name) : NULL;
    int64_t quiet = config->defaults.quiet_seconds, grace = config->defaults.grace_seconds;
    *completion = COMPLETION_QUIET;
    if (source) {
        *completion = source->completion;
        if (source->quiet_seconds > 0)
            quiet = source->quiet_seconds;
        if (source->grace_seconds >= 0)
            grace = source->grace_seconds;
    }
    if (quiet * 1000 > w->quiet_ms)
        w->quiet_ms = quiet * 1000;
    if (grace * 1000 > w->grace_ms)
        w->grace_ms = grace * 1000;
    if (config->defaults.lost_seconds * 1000 > w->lost_ms)
        w->lost_ms = config->defaults.lost_seconds * 1000;
}

static struct carrier *carrier_take(struct window *w, const struct config_snapshot *config,
                                    const struct event_instance_stored *s)
{
    const char *id = s->association ? s->association : "";
    struct carrier *c = carrier_find(w, id);
    if (c)
        return c;
    c = vec_push(&w->carriers);
    *c = (struct carrier){.id = arena_strdup(w->arena, id)};
    source_settings(w, config, s->source.name, &c->completion);
    return c;
}

/* Neighbours in a series mostly share these values: one copy serves them all. */
static const char *shared(struct window *w, const char *text, const char *previous)
{
    if (!text || (previous && strcmp(text, previous) == 0))
        return text ? previous : NULL;
    return arena_strdup(w->arena, text);
}

static bool has_flag(const struct row_strings *flags, const char *name)
{
    for (size_t i = 0; i < flags->n; i++)
        if (strcmp(flags->items[i], name) == 0)
            return true;
    return false;
}

static void receipt_take(struct window *w, int64_t offset, const struct event_instance_stored *s)
{
    const struct receipt *previous =
        w->receipts ? ELMT_FROM_HH(w->receipts->hh.tbl, w->receipts->hh.tbl->tail)
                    : &(struct receipt){0};
    struct receipt *r = arena_alloc(w->arena, sizeof *r);
    r->receipt = arena_strdup(w->arena, s->receipt);
    r->key = arena_strdup(w->arena, s->key);
    r->sha256 = arena_strdup(w->arena, s->sha256);
    r->sop = arena_strdup(w->arena, s->sop);
    r->sop_class = shared(w, s->sop_class, previous->sop_class);
    r->syntax = shared(w, s->syntax, previous->syntax);
    r->calling_ae = shared(w, s->calling_ae, previous->calling_ae);
    r->called_ae = shared(w, s->called_ae, previous->called_ae);
    r->received_at = arena_strdup(w->arena, s->received_at);
    r->size = s->size;
    r->offset = offset;
    r->again = has_flag(&s->flags, "again");
    HASH_ADD_KEYPTR(hh, w->receipts, r->receipt, strlen(r->receipt), r);
}

/* Every association that carried the window was released, its counts agree, and at least one of
 * them carried two instances. Abort and loss are evidence of nothing: the quiet time decides. */
static bool has_evidence(const struct window *w)
{
    bool several = false;
    for (size_t i = 0; i < w->carriers.n; i++) {
        const struct carrier *c = &w->carriers.items[i];
        if (c->completion != COMPLETION_RELEASE || !c->released || c->answered != c->n)
            return false;
        several |= c->n >= 2;
    }
    return several;
}

void window_schedule(struct decide *d, struct window *w)
{
    int64_t quiet = w->base + w->quiet_ms;
    if (w->not_before > quiet)
        quiet = w->not_before;
    for (size_t i = 0; i < w->carriers.n; i++) {
        const struct carrier *c = &w->carriers.items[i];
        if (c->completion == COMPLETION_OPEN_ASSOCIATION && !c->ended &&
            c->seen + w->lost_ms > quiet)
            quiet = c->seen + w->lost_ms;
    }
    w->due = quiet;
    w->reason = REASON_QUIET;
    if (w->base > d->latest)
        d->latest = w->base;
    if (w->evidence_at >= 0 && w->evidence_at + w->grace_ms < w->due) {
        w->due = w->evidence_at + w->grace_ms;
        w->reason = REASON_RELEASED;
    }
    int64_t next = w->full ? INT64_MIN : w->due < w->cap_at ? w->due : w->cap_at;
    if (next < d->next_due)
        d->next_due = next;
}

void window_restart(struct decide *d, struct window *w, int64_t at)
{
    w->base = at;
    w->evidence_at = -1;
    d->stats.restarted++;
    window_schedule(d, w);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void window_set_back(struct decide *d, struct window *w, int64_t at)
{
    w->opened = least(w->opened, at);
    w->newest = least(w->newest, at);
    w->cap_at = least(w->cap_at, at + w->cap_ms);
    w->not_before = least(w->not_before, at);
    for (size_t i = 0; i < w->carriers.n; i++)
        w->carriers.items[i].seen = least(w->carriers.items[i].seen, at);
    window_restart(d, w, at);
}

void window_add(struct decide *d, struct window *w, const struct config_snapshot *config,
                const struct decide_input *in, const struct event_instance_stored *s)
{
    w->last = in->offset;
    struct receipt *r;
    HASH_FIND_STR(w->receipts, s->receipt, r);
    if (r) { /* the late original beside its outbox copy, or announced again: nothing new came */
        w->last_receipt = r->receipt;
        d->stats.repeated++;
        return;
    }
    if (w->receipts)
        tags_compare(w, &s->tags);
    receipt_take(w, in->offset, s);
    HASH_FIND_STR(w->receipts, s->receipt, r);
    w->last_receipt = r->receipt;
    if (!w->forced_rule && s->forced_rule && *s->forced_rule)
        w->forced_rule = arena_strdup(w->arena, s->forced_rule);
    struct carrier *c = carrier_take(w, config, s);
    c->n++;
    c->seen = in->timestamp;
    w->base = w->newest = in->timestamp;
    w->full = (int64_t)HASH_COUNT(w->receipts) >= w->cap_n;
    w->evidence_at = has_evidence(w) ? in->timestamp : -1;
    d->stats.stored++;
    window_schedule(d, w);
}

void window_ended(struct decide *d, const struct event_association_ended *ended, int64_t at)
{
    for (size_t i = 0; i < ended->series.n; i++) {
        const struct event_series_count *count =
            rows_at(struct event_series_count, &ended->series, i);
        decide_key(d, slice_of(ended->study), slice_of(count->series));
        struct window *w = window_find(d);
        struct carrier *c = w && ended->association ? carrier_find(w, ended->association) : NULL;
        if (!c)
            continue;
        c->ended = true;
        c->released = ended->outcome == ASSOCIATION_RELEASED;
        c->answered = count->answered;
        if (c->completion == COMPLETION_OPEN_ASSOCIATION)
            w->not_before = at;
        if (w->evidence_at < 0 && has_evidence(w))
            w->evidence_at = at;
        window_schedule(d, w);
    }
}

static bool touches(const struct event_association_alive *alive, const char *study)
{
    for (size_t i = 0; i < alive->studies.n; i++)
        if (slice_is(decide_trim(slice_of(alive->studies.items[i])), study))
            return true;
    return alive->studies.n == 0;
}

void window_alive(struct decide *d, const struct event_association_alive *alive, int64_t at)
{
    if (!alive->association)
        return;
    for (struct window *w = d->open; w; w = w->hh.next) {
        struct carrier *c = carrier_find(w, alive->association);
        if (!c || !touches(alive, w->study))
            continue;
        c->seen = at;
        window_schedule(d, w);
    }
}
