/* The tags of a window: those of its lowest offset, and which differ within the series. */
#include "decide_priv.h"

#include <strings.h>

#define EXTRA_MAX 256 /* names that only later instances have */

void tags_take(struct window *w, const struct row_pairs *tags)
{
    w->tags.n = tags->n;
    w->tags.items = arena_alloc(w->arena, tags->n * sizeof *tags->items);
    w->differs = arena_alloc(w->arena, tags->n * sizeof *w->differs);
    for (size_t i = 0; i < tags->n; i++) {
        w->tags.items[i].name = arena_strdup(w->arena, tags->items[i].name);
        w->tags.items[i].value = arena_strdup(w->arena, tags->items[i].value);
    }
}

/* Index of name, tried first at the place where it stands in most instances. */
static size_t find(const struct row_pairs *tags, const char *name, size_t guess)
{
    if (guess < tags->n && strcmp(tags->items[guess].name, name) == 0)
        return guess;
    for (size_t i = 0; i < tags->n; i++)
        if (strcmp(tags->items[i].name, name) == 0)
            return i;
    return tags->n;
}

static void add_extra(struct window *w, const char *name)
{
    for (size_t i = 0; i < w->extra.n; i++)
        if (strcmp(w->extra.items[i], name) == 0)
            return;
    if (w->extra.n < EXTRA_MAX)
        *vec_push(&w->extra) = arena_strdup(w->arena, name);
}

static void mark_absent(struct window *w, const struct row_pairs *tags)
{
    for (size_t i = 0; i < w->tags.n; i++)
        if (!w->differs[i])
            w->differs[i] = find(tags, w->tags.items[i].name, i) == tags->n;
}

void tags_compare(struct window *w, const struct row_pairs *tags)
{
    size_t guess = 0, found = 0;
    for (size_t i = 0; i < tags->n; i++) {
        const struct row_pair *tag = &tags->items[i];
        size_t at = find(&w->tags, tag->name, guess);
        if (at == w->tags.n) {
            add_extra(w, tag->name);
            continue;
        }
        guess = at + 1;
        found++;
        if (!w->differs[at] && strcmp(w->tags.items[at].value, tag->value) != 0)
            w->differs[at] = true;
    }
    if (found < w->tags.n)
        mark_absent(w, tags);
}

struct row_strings tags_conflicting(const struct window *w, struct arena *a)
{
    struct row_strings out = {.items =
                                  arena_alloc(a, (w->tags.n + w->extra.n) * sizeof *out.items)};
    for (size_t i = 0; i < w->tags.n; i++)
        if (w->differs[i])
            out.items[out.n++] = w->tags.items[i].name;
    for (size_t i = 0; i < w->extra.n; i++)
        out.items[out.n++] = w->extra.items[i];
    return out;
}

struct row_pairs tags_for_rules(const struct event_series_decided *s, struct arena *a)
{
    const struct row_pair own[] = {
        {"SenderAddress", s->peer}, {"SenderAET", s->calling_ae}, {"ReceiverAET", s->called_ae}};
    struct row_pairs out = {.items =
                                arena_alloc(a, (s->tags.n + ARRAY_LEN(own)) * sizeof *out.items)};
    for (size_t i = 0; i < s->tags.n; i++)
        out.items[out.n++] = s->tags.items[i];
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (own[i].value && find(&s->tags, own[i].name, s->tags.n) == s->tags.n)
            out.items[out.n++] = own[i];
    return out;
}
