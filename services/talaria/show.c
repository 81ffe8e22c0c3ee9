/* JSON members, times, and the two short tables: status and studies. */
#include "talaria/show.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

const char *show_text(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

int64_t show_number(const json_t *o, const char *name)
{
    return (int64_t)json_number_value(json_object_get(o, name));
}

/* "+02:00" in minutes; false if it is none. */
static bool parse_offset(const char *text, int *minutes)
{
    int h, m;
    char end;
    *minutes = 0;
    if (strcmp(text, "Z") == 0)
        return true;
    if ((*text != '+' && *text != '-') || strlen(text) != 6 ||
        sscanf(text + 1, "%2d:%2d%c", &h, &m, &end) != 2)
        return false;
    *minutes = (*text == '-' ? -1 : 1) * (h * 60 + m);
    return true;
}

int64_t show_parse_time(const char *text)
{
    struct tm t = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &t) : NULL;
    int64_t ms = 0, scale = 100;
    int minutes;
    if (!rest)
        return -1;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            ms += (*rest - '0') * scale;
    if (!parse_offset(rest, &minutes))
        return -1;
    return ((int64_t)timegm(&t) - minutes * 60) * 1000 + ms;
}

int64_t show_time(const json_t *o, const char *name)
{
    return show_parse_time(show_text(o, name));
}

char *show_clock(char out[SHOW_CLOCK], int64_t ms, bool date)
{
    time_t s = (time_t)(ms / 1000);
    struct tm t;
    if (ms < 0) {
        str_copy(out, SHOW_CLOCK, "-");
        return out;
    }
    gmtime_r(&s, &t);
    size_t n = strftime(out, SHOW_CLOCK, date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &t);
    if (!date)
        snprintf(out + n, SHOW_CLOCK - n, ".%03d", (int)(ms % 1000));
    return out;
}

void show_joined(struct str *out, const json_t *array, const char *between)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        str_puts(out, i ? between : "");
        str_puts(out, text ? text : "?");
    }
}

/* A cell with a number; with how long ago the oldest of them was. */
static void number_cell(struct table *t, int64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)n);
    table_cell(t, text);
}

static void age_cell(struct table *t, int64_t now, int64_t then)
{
    char span[FORMAT_SPAN];
    table_cell(t, then < 0 ? NULL : format_span(span, now > then ? now - then : 0));
}

/* ---- status ---- */

static void show_configuration(struct str *out, const json_t *status)
{
    const json_t *c = json_object_get(status, "configuration");
    const char *revision = show_text(c, "revision"), *by = show_text(c, "by"),
               *why = show_text(c, "why");
    char at[SHOW_CLOCK];
    if (!revision || strcmp(revision, "0") == 0) {
        str_puts(out, "configuration  none yet: everything is accepted, no rule fires\n");
        return;
    }
    str_puts(out, "configuration  ");
    format_safe(out, revision);
    str_printf(out, " of %s", show_clock(at, show_time(c, "at"), true));
    if (by) {
        str_puts(out, " by ");
        format_safe(out, by);
    }
    if (why && *why) {
        str_puts(out, ": ");
        format_safe(out, why);
    }
    str_puts(out, json_is_false(json_object_get(c, "published")) ? " (not yet published)\n" : "\n");
}

static void show_open(struct str *out, const char *what, const json_t *o, const char *count,
                      int64_t now)
{
    char span[FORMAT_SPAN];
    int64_t n = show_number(o, count), oldest = show_time(o, "oldest");
    str_printf(out, "%-14s %lld", what, (long long)n);
    if (n > 0 && oldest >= 0)
        str_printf(out, ", the oldest for %s", format_span(span, now > oldest ? now - oldest : 0));
    str_putc(out, '\n');
}

static void show_problems(struct str *out, const json_t *problems, int64_t now, bool bold)
{
    static const char *const titles[] = {"PROBLEM", "WHERE", "COUNT", "FOR"};
    if (json_array_size(problems) == 0) {
        str_puts(out, "\nno problems\n");
        return;
    }
    struct table *t = table_new(ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *p = json_array_get(problems, i);
        table_cell(t, show_text(p, "kind"));
        table_cell(t, show_text(p, "subject"));
        number_cell(t, show_number(p, "count"));
        age_cell(t, now, show_time(p, "since"));
    }
    str_putc(out, '\n');
    table_write(t, out, bold);
    table_free(t);
}

static void show_targets(struct str *out, const json_t *targets, int64_t now, bool bold)
{
    static const char *const titles[] = {"TARGET", "DELIVERED", "OPEN",  "OLDEST",
                                         "FAILED", "LAST",      "REASON"};
    if (json_array_size(targets) == 0)
        return;
    struct table *t = table_new(ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const json_t *g = json_array_get(targets, i);
        char at[SHOW_CLOCK];
        table_cell(t, show_text(g, "target"));
        number_cell(t, show_number(g, "delivered"));
        number_cell(t, show_number(g, "open"));
        age_cell(t, now, show_time(g, "oldestOpen"));
        number_cell(t, show_number(g, "failed"));
        table_cell(t, show_clock(at, show_time(g, "lastDelivered"), true));
        table_cell(t, show_text(g, "reason"));
    }
    str_putc(out, '\n');
    table_write(t, out, bold);
    table_free(t);
}

void show_status(struct str *out, const json_t *status, bool bold)
{
    int64_t now = show_time(status, "at");
    const json_t *studies = json_object_get(status, "studies");
    char at[SHOW_CLOCK];
    show_configuration(out, status);
    str_printf(out, "studies        %lld in the last day, the newest image at %s\n",
               (long long)show_number(studies, "lastDay"),
               show_clock(at, show_time(studies, "newest"), true));
    show_open(out, "undecided", json_object_get(status, "receipts"), "undecided", now);
    show_open(out, "open tasks", json_object_get(status, "tasks"), "open", now);
    show_open(out, "deliveries", json_object_get(status, "deliveries"), "open", now);
    show_targets(out, json_object_get(status, "targets"), now, bold);
    show_problems(out, json_object_get(status, "problems"), now, bold);
}

/* ---- studies ---- */

void show_studies(struct str *out, const json_t *page, bool bold)
{
    static const char *const titles[] = {"LAST IMAGE (UTC)", "STATE",       "SERIES",  "IMAGES",
                                         "MODALITIES",       "DESCRIPTION", "TARGETS", "STUDY"};
    const json_t *items = json_object_get(page, "items");
    struct table *t = table_new(ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *s = json_array_get(items, i);
        struct str joined = STR_INIT;
        char at[SHOW_CLOCK];
        table_cell(t, show_clock(at, show_time(s, "lastAt"), true));
        table_cell(t, show_text(s, "state"));
        number_cell(t, show_number(s, "seriesCount"));
        number_cell(t, show_number(s, "instances"));
        show_joined(&joined, json_object_get(s, "modalities"), " ");
        table_cell(t, str_cstr(&joined));
        table_cell(t, show_text(s, "description"));
        str_clear(&joined);
        show_joined(&joined, json_object_get(s, "targets"), " ");
        table_cell(t, str_cstr(&joined));
        table_cell(t, show_text(s, "study"));
        str_free(&joined);
    }
    table_write(t, out, bold);
    table_free(t);
}
