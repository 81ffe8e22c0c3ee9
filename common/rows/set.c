/* Defaults, values from plain text (settings, environment), and the bounds of rows. */
#include "rows_priv.h"

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>

/* ---- bounds: NULL or the reason, formatted into scratch ---- */

static const char *reason(struct err *scratch, const char *fmt, ...) PRINTF_LIKE(2, 3);
static const char *reason(struct err *scratch, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(scratch->text, sizeof scratch->text, fmt, args);
    va_end(args);
    return scratch->text;
}

/* Characters, not bytes, so that the check agrees with the JSON Schema. */
static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

const char *row_bounds_string(const struct row *row, const char *value, struct err *scratch)
{
    if (row->min == 1 && !*value)
        return "must not be empty";
    if (row->min > 1 || row->max) {
        size_t n = characters(value);
        if (n < (size_t)row->min)
            return row->min == 1
                       ? "must not be empty"
                       : reason(scratch, "must have at least %lld characters", (long long)row->min);
        if (row->max && n > (size_t)row->max)
            return reason(scratch, "must have at most %lld characters", (long long)row->max);
    }
    if (row->check) {
        err_clear(scratch);
        if (row->check(value, scratch))
            return *scratch->text ? scratch->text : "is not valid";
    }
    return NULL;
}

const char *row_bounds_int(const struct row *row, int64_t v, struct err *scratch)
{
    if ((row->min || row->max) && (v < row->min || v > row->max))
        return reason(scratch, "must be between %lld and %lld", (long long)row->min,
                      (long long)row->max);
    return NULL;
}

const char *row_bounds_number(const struct row *row, double v, struct err *scratch)
{
    if ((row->min || row->max) && (v < (double)row->min || v > (double)row->max))
        return reason(scratch, "must be between %lld and %lld", (long long)row->min,
                      (long long)row->max);
    return NULL;
}

const char *row_bounds_enum(const struct row *row, const char *value, int *out, struct err *scratch)
{
    size_t used = 0;
    for (int i = 0; row->names[i]; i++)
        if (strcmp(row->names[i], value) == 0) {
            *out = i;
            return NULL;
        }
    used = (size_t)snprintf(scratch->text, sizeof scratch->text, "must be one of");
    for (int i = 0; row->names[i] && used < sizeof scratch->text; i++)
        used += (size_t)snprintf(scratch->text + used, sizeof scratch->text - used, "%s %s",
                                 i ? "," : "", row->names[i]);
    return scratch->text;
}

size_t row_max_count(const struct row *row, size_t engine)
{
    return row->max > 0 ? (size_t)row->max : engine;
}

/* ---- numbers, whatever the locale of the process ---- */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

double number_of_text(const char *text, size_t n)
{
    char copy[64];
    if (n >= sizeof copy)
        return __builtin_nan("");
    memcpy(copy, text, n);
    copy[n] = '\0';
    pthread_once(&c_locale_once, make_c_locale);
    char *end;
    double v = strtod_l(copy, &end, c_locale);
    return n && *end == '\0' ? v : __builtin_nan("");
}

/* ---- values from text ---- */

static const char *set_int(int64_t *at, const struct row *row, const char *text,
                           struct err *scratch)
{
    int64_t v;
    if (str_int64(&v, text, INT64_MIN, INT64_MAX))
        return "must be an integer";
    const char *why = row_bounds_int(row, v, scratch);
    if (!why)
        *at = v;
    return why;
}

static const char *set_number(double *at, const struct row *row, const char *text,
                              struct err *scratch)
{
    double v = number_of_text(text, strlen(text));
    if (!__builtin_isfinite(v))
        return "must be a number";
    const char *why = row_bounds_number(row, v, scratch);
    if (!why)
        *at = v;
    return why;
}

static const char *set_bool(bool *at, const char *text)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *at = i & 1;
            return NULL;
        }
    return "must be true or false";
}

static const char *set_string(const char **at, const struct row *row, const char *text,
                              struct arena *a, struct err *scratch)
{
    if (utf8_valid_prefix(text, strlen(text)) != strlen(text))
        return "not valid UTF-8";
    const char *why = row_bounds_string(row, text, scratch);
    if (why)
        return why;
    const char *copy = a ? arena_strdup(a, text) : text;
    if (!copy)
        return "needs more memory than allowed";
    *at = copy;
    return NULL;
}

/* "a, b" → {"a", "b"}; an empty text is an empty list. */
static const char *set_strings(struct row_strings *at, const struct row *row, const char *text,
                               struct arena *a)
{
    size_t n = 0, max = 1;
    for (const char *p = text; *p; p++)
        max += *p == ',';
    if (max > row_max_count(row, 10000))
        return "too many elements";
    const char **items = arena_alloc(a, max * sizeof *items);
    for (const char *p = text; items && *p; p += *p == ',') {
        size_t len = strcspn(p, ",");
        struct slice s = slice_trim((struct slice){p, len}, " \t");
        if (s.n && !(items[n++] = arena_strndup(a, s.p, s.n)))
            return "needs more memory than allowed";
        p += len;
    }
    if (!items)
        return "needs more memory than allowed";
    *at = (struct row_strings){items, n};
    return NULL;
}

static const char *set_json(void *at, const struct row *row, const char *text, struct arena *a,
                            struct err *scratch)
{
    struct reader r;
    int rc = -1;
    if (!reader_init(&r, text, strlen(text), a, NULL, scratch)) {
        rc = decode_value(&r, row, at) || reader_end(&r) ? -1 : 0;
        reader_free(&r);
    }
    return rc ? scratch->text : NULL;
}

const char *set_text(void *at, const struct row *row, const char *text, struct arena *a,
                     struct err *scratch)
{
    switch (row->type) {
    case ROW_STRING:
        return set_string(at, row, text, a, scratch);
    case ROW_INT:
        return set_int(at, row, text, scratch);
    case ROW_NUMBER:
        return set_number(at, row, text, scratch);
    case ROW_BOOL:
        return set_bool(at, text);
    case ROW_ENUM:
        return row_bounds_enum(row, text, at, scratch);
    case ROW_STRINGS:
        if (*text != '[')
            return set_strings(at, row, text, a);
        return set_json(at, row, text, a, scratch);
    default:
        return set_json(at, row, text, a, scratch);
    }
}

const struct row *rows_find(const struct row_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->rows[i].name, name) == 0)
            return &t->rows[i];
    return NULL;
}

int rows_set(void *out, const struct row_table *t, const char *name, const char *text,
             struct arena *a, struct err *e)
{
    struct err scratch;
    const struct row *row = rows_find(t, name);
    if (!row)
        return err_set(e, ERR_REJECT, 0, "/%s: unknown member", name);
    const char *why = set_text((char *)out + row->offset, row, text, a, &scratch);
    return why ? err_set(e, ERR_REJECT, 0, "/%s: %s", name, why) : 0;
}

static void set_default(void *at, const struct row *row, struct arena *a)
{
    struct err scratch;
    if (row->type == ROW_STRING) {
        *(const char **)at = row->def;
        return;
    }
    if (row->type == ROW_RAW) {
        *(struct slice *)at = slice_of(row->def);
        return;
    }
    const char *why = set_text(at, row, row->def, a, &scratch);
    if (why && !arena_failed(a)) {
        fprintf(stderr, "default of %s: %s\n", row->name, why);
        abort(); /* a table of the program is wrong, whatever the input */
    }
}

void rows_defaults(void *out, const struct row_table *t, struct arena *a)
{
    memset(out, 0, t->size);
    for (size_t i = 0; i < t->n; i++) {
        const struct row *row = &t->rows[i];
        char *at = (char *)out + row->offset;
        if (row->type == ROW_OBJECT)
            rows_defaults(at, row->of, a);
        else if (row->def && *row->def)
            set_default(at, row, a);
    }
}
