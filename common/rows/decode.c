/* From JSON text straight into the struct that a table describes. */
#include "rows_priv.h"

#include <assert.h>
#include <stdlib.h>

#define LIST_FIRST 4

/* Elements of a list under construction; moved to twice the room when full. */
struct growing {
    char *items;
    size_t n, cap, size, max;
};

static void *grow(struct reader *r, struct growing *g)
{
    if (g->n >= g->max) {
        (void)reader_fail(r, "more than %zu elements", g->max);
        return NULL;
    }
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : LIST_FIRST;
        char *items = arena_alloc(r->arena, cap * g->size);
        if (!items) {
            (void)reader_fail(r, "needs more memory than allowed");
            return NULL;
        }
        if (g->n)
            memcpy(items, g->items, g->n * g->size);
        g->items = items;
        g->cap = cap;
    }
    return g->items + g->n++ * g->size;
}

static int wrong_type(struct reader *r, const char *wanted)
{
    return reader_skip(r, NULL) ? -1 : reader_reject(r, "must be %s", wanted);
}

static int check_count(struct reader *r, const struct row *row, size_t n)
{
    if (row->min > 0 && n < (size_t)row->min)
        return reader_reject(r, "must have at least %lld elements", (long long)row->min);
    return 0;
}

static int decode_string(struct reader *r, const struct row *row, const char **at)
{
    struct slice s;
    if (reader_next(r) != '"')
        return wrong_type(r, "a string");
    if (reader_string(r, &s))
        return -1;
    struct err scratch;
    const char *why = row_bounds_string(row, s.p, &scratch);
    if (why)
        return reader_reject(r, "%s", why);
    *at = s.p;
    return 0;
}

static bool at_number(struct reader *r)
{
    char c = reader_next(r);
    return c == '-' || (c >= '0' && c <= '9');
}

/* A plain integer without leading plus, fraction or exponent; false also if it does not fit. */
static bool integer_of(struct slice s, int64_t *out)
{
    bool negative = s.p[0] == '-';
    int64_t v = 0;
    for (size_t i = negative; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        int digit = s.p[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) || (negative ? __builtin_sub_overflow(v, digit, &v)
                                                           : __builtin_add_overflow(v, digit, &v)))
            return false;
    }
    *out = v;
    return true;
}

static int decode_int(struct reader *r, const struct row *row, int64_t *at)
{
    struct slice s;
    int64_t v;
    if (!at_number(r))
        return wrong_type(r, "an integer");
    if (reader_number(r, &s))
        return -1;
    if (!integer_of(s, &v))
        return reader_reject(r, "must be an integer of 64 bits");
    struct err scratch;
    const char *why = row_bounds_int(row, v, &scratch);
    if (why)
        return reader_reject(r, "%s", why);
    *at = v;
    return 0;
}

static int decode_number(struct reader *r, const struct row *row, double *at)
{
    struct slice s;
    if (!at_number(r))
        return wrong_type(r, "a number");
    if (reader_number(r, &s))
        return -1;
    if (s.n > 63)
        return reader_reject(r, "number of more than 63 characters");
    double v = number_of_text(s.p, s.n);
    if (!__builtin_isfinite(v))
        return reader_reject(r, "number too large");
    struct err scratch;
    const char *why = row_bounds_number(row, v, &scratch);
    if (why)
        return reader_reject(r, "%s", why);
    *at = v;
    return 0;
}

static int decode_bool(struct reader *r, bool *at)
{
    char c = reader_next(r);
    return c == 't' || c == 'f' ? reader_bool(r, at) : wrong_type(r, "true or false");
}

static int decode_enum(struct reader *r, const struct row *row, int *at)
{
    struct slice s;
    if (reader_next(r) != '"')
        return wrong_type(r, "a string");
    if (reader_string(r, &s))
        return -1;
    struct err scratch;
    const char *why = row_bounds_enum(row, s.p, at, &scratch);
    return why ? reader_reject(r, "%s", why) : 0;
}

static int decode_strings(struct reader *r, const struct row *row, struct row_strings *at)
{
    struct growing g = {.size = sizeof(char *), .max = row_max_count(row, r->max_elements)};
    if (reader_next(r) != '[')
        return wrong_type(r, "an array");
    int more = reader_open(r, '[');
    while (more == 1) {
        const char **item, *value = "";
        static const struct row any = {.name = "", .type = ROW_STRING};
        if (decode_string(r, &any, &value) || !(item = grow(r, &g)))
            return -1;
        *item = value;
        more = reader_more(r, ']');
    }
    *at = (struct row_strings){(const char **)(void *)g.items, g.n};
    return more ? -1 : check_count(r, row, g.n);
}

/* Name of a pair or map entry, as a string of its own. */
static const char *own_name(struct reader *r, struct slice name)
{
    return reader_copy(r, name.p, name.n);
}

static int decode_pairs(struct reader *r, const struct row *row, struct row_pairs *at)
{
    struct growing g = {.size = sizeof(struct row_pair),
                        .max = row_max_count(row, r->max_elements)};
    static const struct row any = {.name = "", .type = ROW_STRING};
    if (reader_next(r) != '{')
        return wrong_type(r, "an object");
    size_t base = r->names.n;
    int more = reader_open(r, '{');
    while (more == 1) {
        struct slice name;
        struct row_pair pair = {NULL, ""}, *item;
        if (reader_member(r, &name) || decode_string(r, &any, &pair.value) ||
            !(pair.name = own_name(r, name)) || !(item = grow(r, &g)))
            return -1;
        *item = pair;
        reader_remember(r, name);
        more = reader_more(r, '}');
    }
    *at = (struct row_pairs){(struct row_pair *)(void *)g.items, g.n};
    if (more || reader_distinct(r, base))
        return -1;
    return check_count(r, row, g.n);
}

static int decode_raw(struct reader *r, struct slice *at)
{
    struct slice s;
    if (reader_skip(r, &s))
        return -1;
    const char *copy = reader_copy(r, s.p, s.n);
    if (!copy)
        return -1;
    *at = (struct slice){copy, s.n};
    return 0;
}

static int decode_option(struct reader *r, const struct row *row, void **at)
{
    if (reader_next(r) != '{')
        return wrong_type(r, "an object");
    char *p = arena_alloc(r->arena, row->of->size);
    if (!p)
        return reader_fail(r, "needs more memory than allowed");
    if (decode_object(r, row->of, p))
        return -1;
    *at = p;
    return 0;
}

static int decode_list(struct reader *r, const struct row *row, struct row_list *at)
{
    struct growing g = {.size = row->of->size, .max = row_max_count(row, r->max_elements)};
    if (reader_next(r) != '[')
        return wrong_type(r, "an array");
    int more = reader_open(r, '[');
    while (more == 1) {
        char *item = grow(r, &g);
        if (!item)
            return -1;
        if (reader_next(r) != '{' ? wrong_type(r, "an object") : decode_object(r, row->of, item))
            return -1;
        more = reader_more(r, ']');
    }
    *at = (struct row_list){g.items, g.n};
    return more ? -1 : check_count(r, row, g.n);
}

static const struct row *name_row(const struct row_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].flags & ROW_NAME)
            return &t->rows[i];
    return NULL;
}

static int set_entry_name(struct reader *r, const struct row *row, char *item, const char *name)
{
    struct err scratch;
    if (!row)
        return 0;
    const char *why = row_bounds_string(row, name, &scratch);
    if (why)
        return reader_reject(r, "name %s", why);
    memcpy(item + row->offset, &name, sizeof name);
    return 0;
}

static int decode_map(struct reader *r, const struct row *row, struct row_list *at)
{
    struct growing g = {.size = row->of->size, .max = row_max_count(row, r->max_elements)};
    const struct row *key = name_row(row->of);
    if (reader_next(r) != '{')
        return wrong_type(r, "an object");
    size_t base = r->names.n;
    int more = reader_open(r, '{');
    while (more == 1) {
        struct slice name;
        const char *copy;
        char *item;
        if (reader_member(r, &name) || !(copy = own_name(r, name)) || !(item = grow(r, &g)))
            return -1;
        reader_remember(r, (struct slice){copy, name.n});
        if (reader_next(r) != '{' ? wrong_type(r, "an object") : decode_object(r, row->of, item))
            return -1;
        if (set_entry_name(r, key, item, copy))
            return -1;
        more = reader_more(r, '}');
    }
    *at = (struct row_list){g.items, g.n};
    if (more || reader_distinct(r, base))
        return -1;
    return check_count(r, row, g.n);
}

int decode_value(struct reader *r, const struct row *row, void *at)
{
    switch (row->type) {
    case ROW_STRING:
        return decode_string(r, row, at);
    case ROW_INT:
        return decode_int(r, row, at);
    case ROW_NUMBER:
        return decode_number(r, row, at);
    case ROW_BOOL:
        return decode_bool(r, at);
    case ROW_ENUM:
        return decode_enum(r, row, at);
    case ROW_STRINGS:
        return decode_strings(r, row, at);
    case ROW_PAIRS:
        return decode_pairs(r, row, at);
    case ROW_RAW:
        return decode_raw(r, at);
    case ROW_OBJECT:
        return reader_next(r) == '{' ? decode_object(r, row->of, at) : wrong_type(r, "an object");
    case ROW_OPTION:
        return decode_option(r, row, at);
    case ROW_LIST:
        return decode_list(r, row, at);
    case ROW_MAP:
        return decode_map(r, row, at);
    }
    return reader_fail(r, "row of unknown type");
}

/* The row of a member name, looked for from where the last one was found: members mostly come in
 * the order of the table. */
static const struct row *find_from(const struct row_table *t, struct slice name, size_t *hint)
{
    size_t at = *hint;
    for (size_t tried = 0; tried < t->n; tried++, at++) {
        if (at == t->n)
            at = 0;
        const struct row *row = &t->rows[at];
        if (strncmp(row->name, name.p, name.n) == 0 && row->name[name.n] == '\0' &&
            !(row->flags & ROW_NAME)) {
            *hint = at + 1 == t->n ? 0 : at + 1;
            return row;
        }
    }
    return NULL;
}

static int unknown_member(struct reader *r, const struct row_table *t, struct slice name)
{
    reader_remember(r, name);
    if (reader_skip(r, NULL))
        return -1;
    return t->closed ? reader_reject(r, "unknown member") : 0;
}

/* With seen, a bit for each row, instead of the names: most members are known. */
static int decode_member(struct reader *r, const struct row_table *t, char *out, size_t *hint,
                         uint64_t *seen)
{
    struct slice name;
    if (reader_member(r, &name))
        return -1;
    const struct row *row = name.n ? find_from(t, name, hint) : NULL;
    if (!row)
        return unknown_member(r, t, name);
    size_t i = (size_t)(row - t->rows);
    if (seen[i / 64] >> (i % 64) & 1) {
        if (reader_reject(r, "duplicate member"))
            return -1;
        return reader_skip(r, NULL);
    }
    seen[i / 64] |= 1ULL << (i % 64);
    return decode_value(r, row, out + row->offset);
}

static int missing_member(struct reader *r, const char *name)
{
    /* The object is closed already: its members are one step below. */
    r->path[++r->depth] = (struct reader_step){name, strlen(name), 0};
    int rc = reader_reject(r, "required");
    r->depth--;
    return rc;
}

static int check_required(struct reader *r, const struct row_table *t, const uint64_t *seen)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct row *row = &t->rows[i];
        if (!(row->flags & ROW_REQUIRED) || row->flags & ROW_NAME || seen[i / 64] >> (i % 64) & 1)
            continue;
        if (missing_member(r, row->name))
            return -1;
    }
    return 0;
}

int decode_object(struct reader *r, const struct row_table *t, char *out)
{
    uint64_t seen[READER_MAX_ROWS / 64] = {0};
    size_t hint = 0, base = r->names.n;
    if (t->n > READER_MAX_ROWS)
        abort(); /* a table of the program, not input */
    rows_defaults(out, t, r->arena);
    int more = reader_open(r, '{');
    while (more == 1) {
        if (decode_member(r, t, out, &hint, seen))
            return -1;
        more = reader_more(r, '}');
    }
    if (more || reader_distinct(r, base))
        return -1;
    return check_required(r, t, seen);
}

int rows_decode(void *out, const struct row_table *t, const char *text, size_t n, struct arena *a,
                const struct rows_limits *limits, struct err *e)
{
    struct reader r;
    if (reader_init(&r, text, n, a, limits, e))
        return -1;
    int rc = decode_object(&r, t, out) || reader_end(&r) ? -1 : 0;
    reader_free(&r);
    return rc;
}

size_t rows_decode_all(void *out, const struct row_table *t, const char *text, size_t n,
                       struct arena *a, const struct rows_limits *limits, struct rows_error *errors,
                       size_t max)
{
    struct reader r;
    struct err first;
    assert(max > 0);
    struct rows_limits l = limits ? *limits : (struct rows_limits){0};
    size_t bytes = l.bytes;
    l.bytes = SIZE_MAX; /* checked below, when there is somewhere to report to */
    if (reader_init(&r, text, n, a, &l, &first))
        return 0;
    r.errors = errors;
    r.max_errors = max;
    rows_defaults(out, t, a);
    int rc = 0;
    if (n > (bytes ? bytes : READER_BYTES))
        rc = reader_fail(&r, "larger than %zu bytes", bytes ? bytes : READER_BYTES);
    else
        rc = decode_object(&r, t, out) || reader_end(&r) ? -1 : 0;
    reader_free(&r);
    assert(rc == 0 || r.n_errors > 0);
    return r.n_errors < max ? r.n_errors : max;
}
