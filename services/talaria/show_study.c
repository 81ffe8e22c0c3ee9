/* One study as a timeline: received, decided, processed, delivered, each with its time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "talaria/show.h"

struct line {
    int64_t at; /* -1: of no known time, at the end */
    size_t order;
    const char *stage;
    struct str where, what;
};
typedef VEC(struct line) lines;

static struct line *add(lines *l, int64_t at, const char *stage)
{
    struct line *x = vec_push(l);
    *x = (struct line){.at = at, .order = l->n, .stage = stage};
    return x;
}

static const json_t *series_of(const json_t *study, const char *uid)
{
    const json_t *all = json_object_get(study, "series");
    for (size_t i = 0; uid && i < json_array_size(all); i++) {
        const char *other = show_text(json_array_get(all, i), "series");
        if (other && strcmp(other, uid) == 0)
            return json_array_get(all, i);
    }
    return NULL;
}

/* "CT Thorax 1.25 mm" */
static void name_series(struct str *out, const json_t *study, const char *uid)
{
    const json_t *s = series_of(study, uid);
    const char *modality = show_text(s, "modality"), *description = show_text(s, "description");
    if (!s) {
        str_puts(out, uid ? uid : "whole study");
        return;
    }
    str_printf(out, "%s %s", modality ? modality : "?", description ? description : uid);
}

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

static void add_count(struct str *s, int64_t n, const char *what)
{
    if (n > 0)
        str_printf(s, "%s%lld %s", s->len ? ", " : "", (long long)n, what);
}

/* ---- the lines ---- */

static void add_series(lines *l, const json_t *study, const json_t *s)
{
    struct line *x = add(l, show_time(s, "firstAt"), "received");
    char size[FORMAT_SIZE], span[FORMAT_SPAN];
    int64_t n = show_number(s, "instances"), last = show_time(s, "lastAt");
    const char *source = show_text(s, "source");
    name_series(&x->where, study, show_text(s, "series"));
    str_printf(&x->what, "%lld image%s, %s", (long long)n, plural(n),
               format_size(size, show_number(s, "bytes")));
    if (source)
        str_printf(&x->what, " from %s", source);
    if (n > 1 && last >= x->at)
        str_printf(&x->what, " in %s", format_span(span, last - x->at));
    const json_t *as = json_object_get(s, "associations");
    for (size_t i = 0; i < json_array_size(as); i++) {
        const char *outcome = show_text(json_array_get(as, i), "outcome");
        str_printf(&x->what, "; association %s", outcome ? outcome : "?");
    }
    add_count(&x->what, show_number(s, "undecided"), "undecided");
}

static void add_pairs(struct str *out, const char *label, const json_t *pairs)
{
    const char *name;
    json_t *value;
    bool first = true;
    json_object_foreach((json_t *)(uintptr_t)pairs, name, value)
    {
        const char *text = json_string_value(value);
        str_printf(out, "%s%s", first ? label : ", ", name);
        if (text && *text)
            str_printf(out, " (%s)", text);
        first = false;
    }
}

static void add_held(struct str *out, const json_t *held)
{
    for (size_t i = 0; i < json_array_size(held); i++) {
        const json_t *h = json_array_get(held, i);
        const char *rule = show_text(h, "rule"), *why = show_text(h, "why");
        str_printf(out, "; held for %s (%s)", rule ? rule : "?", why ? why : "?");
    }
}

static void add_decision(lines *l, const json_t *study, const json_t *d)
{
    struct line *x = add(l, show_time(d, "decidedAt"), "decided");
    const char *reason = show_text(d, "reason"), *discarded = show_text(d, "discardedBy"),
               *error = show_text(d, "membersError");
    int64_t n = show_number(d, "instances");
    name_series(&x->where, study, show_text(d, "series"));
    size_t of = json_array_size(json_object_get(d, "of"));
    if (of)
        str_printf(&x->what, "again by command, over %zu decision%s", of,
                   plural((int64_t)of));
    else
        str_printf(&x->what, "%s, %lld image%s", reason ? reason : "?", (long long)n, plural(n));
    if (show_number(d, "addition") > 1)
        str_printf(&x->what, " (addition %lld)", (long long)show_number(d, "addition"));
    add_pairs(&x->what, ": rules ", json_object_get(d, "fired"));
    add_pairs(&x->what, "; failed rules ", json_object_get(d, "failed"));
    if (discarded)
        str_printf(&x->what, "; discarded by %s", discarded);
    add_held(&x->what, json_object_get(d, "held"));
    if (error)
        str_printf(&x->what, "; manifest not readable: %s", error);
}

static bool is_one_of(const char *state, const char *const *words)
{
    for (; state && *words; words++)
        if (strcmp(state, *words) == 0)
            return true;
    return false;
}

static bool is_open(const char *state)
{
    static const char *const open[] = {"asked", "requested", "started", "attempted", NULL};
    return is_one_of(state, open);
}

/* The time that tells most: of the end, else of the newest step. */
static int64_t newest(const json_t *o, const char *const *names)
{
    for (; *names; names++) {
        int64_t at = show_time(o, *names);
        if (at >= 0)
            return at;
    }
    return -1;
}

static void add_task(lines *l, const json_t *study, const json_t *t)
{
    static const char *const times[] = {"finishedAt", "startedAt", "requestedAt", "askedAt", NULL};
    const char *state = show_text(t, "state"), *rule = show_text(t, "rule"),
               *reason = show_text(t, "reason");
    struct line *x = add(l, newest(t, times), state && is_open(state) ? "processing" : state);
    name_series(&x->where, study, show_text(t, "series"));
    str_printf(&x->what, "task of rule %s", rule ? rule : "?");
    if (state && is_open(state))
        str_printf(&x->what, ": %s", state);
    if (show_number(t, "attempt") > 1)
        str_printf(&x->what, ", attempt %lld", (long long)show_number(t, "attempt"));
    if (reason && *reason)
        str_printf(&x->what, ": %s", reason);
}

static void add_members(struct str *out, const json_t *m)
{
    static const struct {
        const char *name, *what;
    } states[] = {{"delivered", "delivered"},      {"repeated", "repeated"},
                  {"notAccepted", "not accepted"}, {"failed", "failed"},
                  {"cancelled", "cancelled"},      {"open", "open"}};
    struct str s = STR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        add_count(&s, show_number(m, states[i].name), states[i].what);
    str_printf(out, "%s of %lld", s.len ? str_cstr(&s) : "nothing",
               (long long)show_number(m, "asked"));
    str_free(&s);
}

static void add_delivery(lines *l, const json_t *study, const json_t *d)
{
    static const char *const times[] = {"finishedAt", "attemptedAt", "requestedAt", "askedAt",
                                        NULL};
    const char *state = show_text(d, "state"), *target = show_text(d, "target"),
               *reason = show_text(d, "reason");
    struct line *x = add(l, newest(d, times), state && is_open(state) ? "delivering" : state);
    int64_t attempts = show_number(d, "attempts"), due = show_time(d, "nextDue");
    char at[SHOW_CLOCK];
    name_series(&x->where, study, show_text(d, "series"));
    str_printf(&x->what, "%s: ", target ? target : "?");
    add_members(&x->what, json_object_get(d, "members"));
    if (attempts > 1)
        str_printf(&x->what, ", %lld attempts", (long long)attempts);
    if (due >= 0)
        str_printf(&x->what, ", next at %s", show_clock(at, due, false));
    if (reason && *reason)
        str_printf(&x->what, ": %s", reason);
}

static void add_rejected(lines *l, const json_t *r)
{
    struct line *x = add(l, show_time(r, "at"), "rejected");
    const char *stage = show_text(r, "stage"), *error = show_text(r, "error");
    str_printf(&x->where, "%s", stage ? stage : "?");
    str_printf(&x->what, "a record of %s could not be worked: %s",
               show_text(r, "topic") ? show_text(r, "topic") : "?", error ? error : "?");
}

static void add_each(lines *l, const json_t *study, const char *list,
                     void (*one)(lines *, const json_t *, const json_t *))
{
    const json_t *all = json_object_get(study, list);
    for (size_t i = 0; i < json_array_size(all); i++)
        one(l, study, json_array_get(all, i));
}

/* ---- the whole ---- */

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->at != y->at) {
        if (x->at < 0 || y->at < 0)
            return x->at < 0 ? 1 : -1;
        return x->at < y->at ? -1 : 1;
    }
    return x->order < y->order ? -1 : 1;
}

static void show_head(struct str *out, const json_t *study, int64_t began, bool bold)
{
    char at[SHOW_CLOCK];
    const char *description = show_text(study, "description"), *state = show_text(study, "state");
    str_puts(out, bold ? "\033[1m" : "");
    format_safe(out, description ? description : "study");
    str_printf(out, "%s  ", bold ? "\033[0m" : "");
    format_safe(out, show_text(study, "study") ? show_text(study, "study") : "?");
    str_printf(out, "\n%s; received on %s UTC\n\n", state ? state : "?",
               show_clock(at, began, true));
}

static void show_lines(struct str *out, const lines *l, int64_t began, bool bold)
{
    static const char *const titles[] = {"TIME", "AFTER", "STAGE", "SERIES", "WHAT"};
    struct table *t = table_new(ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < l->n; i++) {
        const struct line *x = &l->items[i];
        char at[SHOW_CLOCK], span[FORMAT_SPAN];
        table_cell(t, show_clock(at, x->at, false));
        table_cell(t, x->at < 0 || began < 0 ? NULL : format_span(span, x->at - began));
        table_cell(t, x->stage);
        table_cell(t, str_cstr(&x->where));
        table_cell(t, str_cstr(&x->what));
    }
    table_write(t, out, bold);
    table_free(t);
}

void show_study(struct str *out, const json_t *study, bool bold)
{
    lines l = {0};
    int64_t began = show_time(study, "firstAt");
    add_each(&l, study, "series", add_series);
    add_each(&l, study, "decisions", add_decision);
    add_each(&l, study, "tasks", add_task);
    add_each(&l, study, "deliveries", add_delivery);
    const json_t *rejected = json_object_get(study, "rejected");
    for (size_t i = 0; i < json_array_size(rejected); i++)
        add_rejected(&l, json_array_get(rejected, i));
    if (l.n)
        qsort(l.items, l.n, sizeof *l.items, by_time);
    show_head(out, study, began, bold);
    show_lines(out, &l, began, bold);
    for (size_t i = 0; i < l.n; i++) {
        str_free(&l.items[i].where);
        str_free(&l.items[i].what);
    }
    vec_free(&l);
}

static bool any_open(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (is_open(show_text(json_array_get(list, i), "state")))
            return true;
    return false;
}

bool show_study_ended(const json_t *study)
{
    const json_t *series = json_object_get(study, "series");
    for (size_t i = 0; i < json_array_size(series); i++)
        if (show_number(json_array_get(series, i), "undecided") > 0)
            return false;
    return json_array_size(series) > 0 && !any_open(json_object_get(study, "tasks")) &&
           !any_open(json_object_get(study, "deliveries"));
}

bool show_study_bad(const json_t *study)
{
    static const char *const bad[] = {"rejected", "failed", "held", NULL};
    return is_one_of(show_text(study, "state"), bad);
}
