/* A document's text to a snapshot, and finding things in it. */
#include "config/config_priv.h"

static struct config_snapshot *snapshot_new(const char *revision)
{
    struct arena *a = arena_new(0);
    struct config_snapshot *s = arena_alloc(a, sizeof *s);
    s->arena = a;
    (void)str_copy(s->revision, sizeof s->revision, revision);
    return s;
}

size_t config_load(struct config_snapshot **out, const char *text, size_t n, const char *revision,
                   struct arena *scratch, struct rows_error *errors, size_t max)
{
    struct config_snapshot *s = snapshot_new(revision);
    struct config_document *d = arena_alloc(s->arena, sizeof *d);
    struct config_errors found = {.items = errors, .max = max, .arena = scratch};
    found.n = rows_decode_all(d, &config_document_table, text, n, s->arena, NULL, errors, max);
    for (size_t i = 0; i < found.n && i < max; i++) {
        errors[i].pointer = arena_strdup(scratch, errors[i].pointer);
        errors[i].reason = arena_strdup(scratch, errors[i].reason);
    }
    if (found.n == 0) {
        s->defaults = d->defaults;
        s->sources = d->sources;
        s->targets = d->targets;
        s->modules = d->modules;
        s->rules = d->rules;
        config_check(s, &found);
    }
    if (found.n > 0)
        config_free(s);
    else
        *out = s;
    return found.n;
}

void config_free(struct config_snapshot *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->rules.n; i++)
        rules_free(rows_at(struct config_rule, &s->rules, i)->program);
    arena_free(s->arena);
}

struct config_snapshot *config_empty(void)
{
    struct config_snapshot *s = snapshot_new("");
    rows_defaults(&s->defaults, &config_defaults_table, s->arena);
    return s;
}

const struct config_target *config_target(const struct config_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->targets.n; i++)
        if (strcmp(rows_at(struct config_target, &s->targets, i)->name, name) == 0)
            return rows_at(struct config_target, &s->targets, i);
    return NULL;
}

const struct config_rule *config_rule(const struct config_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->rules.n; i++)
        if (strcmp(rows_at(struct config_rule, &s->rules, i)->name, name) == 0)
            return rows_at(struct config_rule, &s->rules, i);
    return NULL;
}

const struct config_source *config_source(const struct config_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->sources.n; i++)
        if (strcmp(rows_at(struct config_source, &s->sources, i)->name, name) == 0)
            return rows_at(struct config_source, &s->sources, i);
    return NULL;
}

const char *config_charset(const void *snapshot, const char *source)
{
    const struct config_source *s = config_source(snapshot, source);
    return s ? s->charset : NULL;
}
