/* What the journal says: which offsets of a series are decided, by which manifests, and which
 * commands have acted or are concluded. */
#include "decide_priv.h"

#include "base/clock.h"

struct coverage *coverage_find(struct decide *d)
{
    struct coverage *c;
    HASH_FIND(hh, d->coverage, d->key.data, d->key.len, c);
    return c;
}

static struct coverage *coverage_of(const struct decide *d, const struct window *w)
{
    struct coverage *c;
    HASH_FIND(hh, d->coverage, w->key, w->key_n, c);
    return c;
}

static bool contains(char *const *items, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i], name) == 0)
            return true;
    return false;
}

static struct coverage *coverage_add(struct decide *d)
{
    struct coverage *c = mem_zalloc(sizeof *c);
    c->key = mem_dup(d->key.data, d->key.len + 1);
    c->last = -1;
    HASH_ADD_KEYPTR(hh, d->coverage, c->key, d->key.len, c);
    return c;
}

static struct commanded *command_find(const struct decide *d, const char *command)
{
    struct commanded *x;
    HASH_FIND_STR(d->commanded, command, x);
    return x;
}

static struct commanded *command_take(struct decide *d, const char *command)
{
    struct commanded *x = command_find(d, command);
    if (x)
        return x;
    x = mem_zalloc(sizeof *x);
    x->command = mem_strdup(command);
    HASH_ADD_KEYPTR(hh, d->commanded, x->command, strlen(x->command), x);
    return x;
}

static void name(struct decide *d, const struct event_window *w)
{
    if (w->last <= d->named || !w->last_receipt)
        return;
    mem_free(d->named_receipt);
    d->named = w->last;
    d->named_receipt = mem_strdup(w->last_receipt);
}

static void processed_take(struct coverage *c, const struct event_series_decided *s)
{
    for (size_t i = 0; i < s->fired.n; i++) {
        const struct row_pair *fired = &s->fired.items[i];
        if (fanout_is_task(fired->value) &&
            !contains(c->processed.items, c->processed.n, fired->name))
            *vec_push(&c->processed) = mem_strdup(fired->name);
    }
}

struct past *coverage_past(const struct decide *d, const char *decision)
{
    struct past *x;
    HASH_FIND_STR(d->past, decision, x);
    return x;
}

static void past_take(struct decide *d, const struct event_series_decided *s, int64_t offset)
{
    if (!s->study || strlen(s->decision) != HASH_ID_HEX - 1 || coverage_past(d, s->decision))
        return;
    struct past *x = mem_zalloc(sizeof *x);
    memcpy(x->decision, s->decision, HASH_ID_HEX);
    x->study = mem_strdup(s->study);
    x->offset = offset;
    x->closed = s->closed_at ? clock_parse_rfc3339(s->closed_at) : -1;
    x->window = s->window != NULL;
    HASH_ADD_STR(d->past, decision, x);
}

void coverage_take(struct decide *d, const struct event_series_decided *s, int64_t offset)
{
    past_take(d, s, offset);
    if (s->command && *s->command)
        command_take(d, s->command);
    if (!s->study || !s->series)
        return;
    decide_key(d, slice_of(s->study), slice_of(s->series));
    struct coverage *c = coverage_find(d);
    if (!s->window) { /* by replay or reroute: covers nothing, but what comes now is late */
        if (c)
            processed_take(c, s);
        return;
    }
    name(d, s->window);
    if (!c)
        c = coverage_add(d);
    if (s->window->last <= c->last)
        return; /* read twice */
    c->last = s->window->last;
    c->n++;
    if (s->manifest.key)
        *vec_push(&c->manifests) = mem_strdup(s->manifest.key);
    processed_take(c, s);
}

static bool same_series(const struct window *a, const struct window *b)
{
    return a != b && a->key_n == b->key_n && memcmp(a->key, b->key, a->key_n) == 0;
}

int64_t coverage_additions(const struct decide *d, const struct window *w)
{
    const struct coverage *c = coverage_of(d, w);
    int64_t n = c ? c->n : 0;
    for (const struct window *x = d->closing; x; x = x->hh.next)
        n += same_series(x, w);
    return n;
}

bool coverage_processed(const struct decide *d, const struct window *w, const char *rule)
{
    const struct coverage *c = coverage_of(d, w);
    if (c && contains(c->processed.items, c->processed.n, rule))
        return true;
    for (const struct window *x = d->closing; x; x = x->hh.next)
        if (same_series(x, w) && contains(x->processed.items, x->processed.n, rule))
            return true;
    return false;
}

struct row_strings coverage_manifests(const struct decide *d, const struct window *w,
                                      struct arena *a)
{
    const struct coverage *c = coverage_of(d, w);
    size_t n = c ? c->manifests.n : 0;
    struct row_strings out = {.items =
                                  arena_alloc(a, (n + HASH_COUNT(d->closing)) * sizeof *out.items)};
    for (size_t i = 0; i < n; i++)
        out.items[out.n++] = c->manifests.items[i];
    for (const struct window *x = d->closing; x; x = x->hh.next)
        if (same_series(x, w))
            out.items[out.n++] = x->manifest_key;
    return out;
}

static void mark(void *to, const char *receipt)
{
    struct window *w = to;
    struct receipt *r;
    HASH_FIND_STR(w->receipts, receipt, r);
    if (r)
        r->known = true;
}

int coverage_mark(struct decide *d, struct window *w, struct err *e)
{
    const struct coverage *c = coverage_of(d, w);
    for (; c && w->checked < c->manifests.n; w->checked++)
        if (d->setup.known_receipts(d->setup.arg, c->manifests.items[w->checked], mark, w, e))
            return -1;
    for (const struct window *x = d->closing; x; x = x->hh.next)
        if (same_series(x, w))
            for (const struct receipt *r = x->receipts; r; r = r->hh.next)
                mark(w, r->receipt);
    return 0;
}

bool coverage_acted(const struct decide *d, const char *command)
{
    return command_find(d, command);
}

bool coverage_concluded(const struct decide *d, const char *command)
{
    const struct commanded *x = command_find(d, command);
    return x && x->concluded;
}

void coverage_conclude(struct decide *d, const char *command)
{
    if (command && *command)
        command_take(d, command)->concluded = true;
}

static void free_strings(char **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(items[i]);
}

void coverage_free(struct decide *d)
{
    struct coverage *c, *next;
    HASH_ITER(hh, d->coverage, c, next)
    {
        HASH_DEL(d->coverage, c);
        free_strings(c->manifests.items, c->manifests.n);
        free_strings(c->processed.items, c->processed.n);
        vec_free(&c->manifests);
        vec_free(&c->processed);
        mem_free(c->key);
        mem_free(c);
    }
    struct commanded *x, *y;
    HASH_ITER(hh, d->commanded, x, y)
    {
        HASH_DEL(d->commanded, x);
        mem_free(x->command);
        mem_free(x);
    }
    struct past *p, *q;
    HASH_ITER(hh, d->past, p, q)
    {
        HASH_DEL(d->past, p);
        mem_free(p->study);
        mem_free(p);
    }
    vec_free(&d->asked);
}
