/* From a struct to compact JSON; absent and default values are left out. */
#include "rows_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void encode_object(struct str *out, const struct row_table *t, const char *in, bool secrets);

static void encode_int(struct str *out, int64_t v)
{
    char digits[24];
    char *p = digits + sizeof digits;
    uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0)
        *--p = '-';
    str_append(out, p, (size_t)(digits + sizeof digits - p));
}

/* The shortest of 15 or 17 digits that reads back as the same value. */
static void encode_number(struct str *out, double v)
{
    char text[40];
    assert(__builtin_isfinite(v));
    int n = snprintf(text, sizeof text, "%.15g", v);
    for (int i = 0; i < n; i++)
        if (text[i] == ',')
            text[i] = '.';
    double back = number_of_text(text, (size_t)n);
    if (back < v || back > v) {
        n = snprintf(text, sizeof text, "%.17g", v);
        for (int i = 0; i < n; i++)
            if (text[i] == ',')
                text[i] = '.';
    }
    str_append(out, text, (size_t)n);
}

static const char *enum_name(const struct row *row, int v)
{
    int i = 0;
    while (row->names[i] && i != v)
        i++;
    assert(row->names[i]); /* a caller's bug: no such name */
    return row->names[i];
}

static void encode_text(struct str *out, const char *s)
{
    str_json(out, s, strlen(s));
}

static void encode_strings(struct str *out, const struct row_strings *s)
{
    str_putc(out, '[');
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            str_putc(out, ',');
        encode_text(out, s->items[i]);
    }
    str_putc(out, ']');
}

static void encode_pairs(struct str *out, const struct row_pairs *s)
{
    str_putc(out, '{');
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            str_putc(out, ',');
        encode_text(out, s->items[i].name);
        str_putc(out, ':');
        encode_text(out, s->items[i].value);
    }
    str_putc(out, '}');
}

static const char *entry_name(const struct row_table *t, const char *item)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].flags & ROW_NAME) {
            const char *name = *(const char *const *)(item + t->rows[i].offset);
            return name ? name : "";
        }
    return "";
}

static void encode_list(struct str *out, const struct row *row, const struct row_list *l,
                        bool secrets)
{
    bool map = row->type == ROW_MAP;
    str_putc(out, map ? '{' : '[');
    for (size_t i = 0; i < l->n; i++) {
        const char *item = (const char *)l->items + i * row->of->size;
        if (i)
            str_putc(out, ',');
        if (map) {
            encode_text(out, entry_name(row->of, item));
            str_putc(out, ':');
        }
        encode_object(out, row->of, item, secrets);
    }
    str_putc(out, map ? '}' : ']');
}

static bool strings_differ(const struct row *row, const struct row_strings *s)
{
    struct arena *a = arena_new(0);
    struct row_strings def = {0};
    struct err scratch;
    bool same = !set_text(&def, row, row->def, a, &scratch) && def.n == s->n;
    for (size_t i = 0; same && i < s->n; i++)
        same = strcmp(def.items[i], s->items[i]) == 0;
    arena_free(a);
    return !same;
}

/* Whether the value differs from what a reader would find without it. */
static bool differs(const struct row *row, const void *at)
{
    bool has_default = row->def && *row->def;
    switch (row->type) {
    case ROW_STRING: {
        const char *s = *(const char *const *)at;
        return s && (!has_default || strcmp(s, row->def) != 0);
    }
    case ROW_RAW:
        return ((const struct slice *)at)->n &&
               !(has_default && slice_is(*(const struct slice *)at, row->def));
    case ROW_OPTION:
        return *(void *const *)at != NULL;
    case ROW_OBJECT:
        return true; /* decided by its members */
    case ROW_STRINGS:
        return has_default ? strings_differ(row, at) : ((const struct row_strings *)at)->n > 0;
    case ROW_PAIRS:
        return has_default || ((const struct row_pairs *)at)->n;
    case ROW_LIST:
    case ROW_MAP:
        return has_default || ((const struct row_list *)at)->n;
    case ROW_INT:
        return *(const int64_t *)at != (has_default ? strtoll(row->def, NULL, 10) : 0);
    case ROW_NUMBER: {
        double def = has_default ? number_of_text(row->def, strlen(row->def)) : 0;
        return *(const double *)at < def || *(const double *)at > def;
    }
    case ROW_BOOL:
    case ROW_ENUM:
        break;
    }
    union {
        bool b;
        int e;
    } def = {0};
    struct err scratch;
    if (row->type == ROW_BOOL) {
        bool b = has_default && strchr("ty1o", row->def[0]) && strcmp(row->def, "off") != 0;
        return *(const bool *)at != b;
    }
    if (has_default)
        (void)row_bounds_enum(row, row->def, &def.e, &scratch);
    return *(const int *)at != def.e;
}

static void encode_value(struct str *out, const struct row *row, const void *at, bool secrets)
{
    switch (row->type) {
    case ROW_STRING:
        encode_text(out, *(const char *const *)at);
        break;
    case ROW_INT:
        encode_int(out, *(const int64_t *)at);
        break;
    case ROW_NUMBER:
        encode_number(out, *(const double *)at);
        break;
    case ROW_BOOL:
        str_puts(out, *(const bool *)at ? "true" : "false");
        break;
    case ROW_ENUM:
        encode_text(out, enum_name(row, *(const int *)at));
        break;
    case ROW_STRINGS:
        encode_strings(out, at);
        break;
    case ROW_PAIRS:
        encode_pairs(out, at);
        break;
    case ROW_RAW:
        str_append(out, ((const struct slice *)at)->p, ((const struct slice *)at)->n);
        break;
    case ROW_OBJECT:
        encode_object(out, row->of, at, secrets);
        break;
    case ROW_OPTION:
        encode_object(out, row->of, *(const char *const *)at, secrets);
        break;
    case ROW_LIST:
    case ROW_MAP:
        encode_list(out, row, at, secrets);
        break;
    }
}

/* A value that cannot be written at all, however much it is wanted. */
static bool unwritable(const struct row *row, const void *at)
{
    if (row->type == ROW_STRING || row->type == ROW_OPTION)
        return *(void *const *)at == NULL;
    return row->type == ROW_RAW && ((const struct slice *)at)->n == 0;
}

static void encode_member(struct str *out, const struct row *row, const void *at, bool secrets)
{
    bool always = row->flags & (ROW_ALWAYS | ROW_REQUIRED);
    if (row->flags & ROW_NAME || unwritable(row, at) || (!always && !differs(row, at)))
        return;
    size_t before = out->len;
    if (out->data[out->len - 1] != '{')
        str_putc(out, ',');
    str_putc(out, '"');
    str_puts(out, row->name);
    str_append(out, "\":", 2);
    if (row->flags & ROW_SECRET && !secrets) {
        str_append(out, "\"***\"", 5);
        return;
    }
    size_t value = out->len;
    encode_value(out, row, at, secrets);
    if (row->type == ROW_OBJECT && !always && out->len == value + 2) {
        out->len = before;
        out->data[before] = '\0';
    }
}

static void encode_object(struct str *out, const struct row_table *t, const char *in, bool secrets)
{
    str_putc(out, '{');
    for (size_t i = 0; i < t->n; i++)
        encode_member(out, &t->rows[i], in + t->rows[i].offset, secrets);
    str_putc(out, '}');
}

void rows_encode(struct str *out, const struct row_table *t, const void *in, bool show_secrets)
{
    encode_object(out, t, in, show_secrets);
}
