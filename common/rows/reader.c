/*
 * The pull reader: one pass over JSON text (RFC 8259), UTF-8 validated, with bounds on depth and
 * number of values. It keeps the path to the value in hand, so that each error can name its place.
 */
#include "rows_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ONES  0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

#define POOL_PIECE     (16 * 1024)
#define POINTER_MAX    160
#define DEFAULT_DEPTH  32
#define DEFAULT_VALUES 200000

int reader_init(struct reader *r, const char *text, size_t n, struct arena *a,
                const struct rows_limits *limits, struct err *e)
{
    static const struct rows_limits none = {0};
    if (!limits)
        limits = &none;
    /* Not zeroed as a whole: the path is large and written before it is read. */
    r->start = r->p = text;
    r->end = text + n;
    r->arena = a;
    r->pool = r->pool_end = NULL;
    r->depth = r->elements = 0;
    r->max_depth = limits->depth ? limits->depth : DEFAULT_DEPTH;
    if (r->max_depth > READER_DEPTH)
        r->max_depth = READER_DEPTH;
    r->max_elements = limits->elements ? limits->elements : DEFAULT_VALUES;
    r->names.items = NULL;
    r->names.n = r->names.cap = 0;
    r->no_names = false;
    r->err = e;
    r->errors = NULL;
    r->n_errors = r->max_errors = 0;
    r->stopped = false;
    size_t max = limits->bytes ? limits->bytes : READER_BYTES;
    return n > max ? reader_fail(r, "larger than %zu bytes", max) : 0;
}

void reader_free(struct reader *r)
{
    vec_free(&r->names);
}

/* ---- errors ---- */

static void append_step(char *out, size_t cap, const struct reader_step *s)
{
    size_t used = strlen(out);
    if (!s->name) {
        snprintf(out + used, cap - used, "/%zu", s->index);
        return;
    }
    if (used + 1 < cap)
        out[used++] = '/';
    for (size_t i = 0; i < s->n && used + 3 < cap; i++) {
        char c = s->name[i];
        if (c == '~' || c == '/') {
            out[used++] = '~';
            c = c == '~' ? '0' : '1';
        }
        out[used++] = (unsigned char)c < 0x20 || c == 0x7F ? '?' : c;
    }
    out[used] = '\0';
    out[utf8_valid_prefix(out, used)] = '\0';
}

/* JSON Pointer of the value in hand; a long one is cut. */
static void pointer_text(const struct reader *r, char out[POINTER_MAX])
{
    out[0] = '\0';
    for (size_t i = 1; i <= r->depth; i++)
        append_step(out, POINTER_MAX, &r->path[i]);
}

static void report(struct reader *r, const char *fmt, va_list args)
{
    char pointer[POINTER_MAX], reason[256];
    pointer_text(r, pointer);
    vsnprintf(reason, sizeof reason, fmt, args);
    if (r->n_errors == 0)
        err_set(r->err, ERR_REJECT, 0, "%s: %s", *pointer ? pointer : "/", reason);
    if (r->n_errors < r->max_errors) {
        struct rows_error *out = &r->errors[r->n_errors];
        char *p = arena_strdup(r->arena, pointer), *why = arena_strdup(r->arena, reason);
        out->pointer = p ? p : "";
        out->reason = why ? why : "the document needs more memory than allowed";
    }
    r->n_errors++;
}

int reader_fail(struct reader *r, const char *fmt, ...)
{
    if (r->stopped)
        return -1;
    va_list args;
    va_start(args, fmt);
    report(r, fmt, args);
    va_end(args);
    r->stopped = true;
    return -1;
}

int reader_reject(struct reader *r, const char *fmt, ...)
{
    if (r->stopped)
        return -1;
    va_list args;
    va_start(args, fmt);
    report(r, fmt, args);
    va_end(args);
    r->stopped = r->n_errors >= r->max_errors;
    return r->stopped ? -1 : 0;
}

/* ---- structure ---- */

static inline void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

char reader_next(struct reader *r)
{
    skip_space(r);
    return r->p < r->end ? *r->p : '\0';
}

static int unexpected(struct reader *r, const char *wanted)
{
    if (r->p >= r->end)
        return reader_fail(r, "text ends where %s should be", wanted);
    return reader_fail(r, "%s expected at byte %zu", wanted, (size_t)(r->p - r->start));
}

static int count_value(struct reader *r)
{
    if (++r->elements > r->max_elements)
        return reader_fail(r, "more than %zu values", r->max_elements);
    return 0;
}

int reader_open(struct reader *r, char open)
{
    if (reader_next(r) != open)
        return unexpected(r, open == '{' ? "an object" : "an array");
    if (r->depth >= r->max_depth)
        return reader_fail(r, "nested deeper than %zu", r->max_depth);
    r->p++;
    char c = reader_next(r);
    if (c == (open == '{' ? '}' : ']')) {
        r->p++;
        return 0;
    }
    r->depth++;
    r->path[r->depth] = (struct reader_step){NULL, 0, 0};
    return count_value(r) ? -1 : 1;
}

int reader_more(struct reader *r, char close)
{
    char c = reader_next(r);
    if (c == ',') {
        r->p++;
        if (close == ']')
            r->path[r->depth].index++;
        return count_value(r) ? -1 : 1;
    }
    if (c != close)
        return unexpected(r, close == '}' ? "',' or '}'" : "',' or ']'");
    r->p++;
    r->depth--;
    return 0;
}

int reader_end(struct reader *r)
{
    return reader_next(r) || r->p < r->end ? unexpected(r, "the end of the text") : 0;
}

/* ---- strings ---- */

char *reader_copy(struct reader *r, const char *p, size_t n)
{
    if (n + 1 > (size_t)(r->pool_end - r->pool)) {
        size_t left = (size_t)(r->end - r->start) + 1;
        size_t piece = left < POOL_PIECE ? left : POOL_PIECE;
        if (piece < n + 1)
            piece = n + 1;
        r->pool = arena_alloc(r->arena, piece);
        if (!r->pool) {
            r->pool_end = NULL;
            (void)reader_fail(r, "needs more memory than allowed");
            return NULL;
        }
        r->pool_end = r->pool + piece;
    }
    char *out = r->pool;
    if (n)
        memcpy(out, p, n);
    out[n] = '\0';
    r->pool += n + 1;
    return out;
}

/* Bytes of w that end a plain run: quote, backslash, control characters (lowest one is exact). */
static inline uint64_t special_bytes(uint64_t w)
{
    uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((w - ONES * 0x20) & ~w)) &
           HIGHS;
}

/* Advances over plain characters; *high collects whether any byte is not ASCII. */
static const char *plain_run(const char *p, const char *end, uint64_t *high)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t special = special_bytes(w);
        *high |= w & HIGHS;
        if (special)
            return p + (__builtin_ctzll(special) >> 3);
        p += 8;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) {
        *high |= (uint64_t)(unsigned char)*p & 0x80;
        p++;
    }
    return p;
}

static int hex4(const char *p, unsigned *out)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
        if (d > 15)
            return -1;
        v = v << 4 | d;
    }
    *out = v;
    return 0;
}

static size_t put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* \uXXXX at p (after the 'u'), with its second half if it is a surrogate. Returns the characters
 * consumed, 0 with *why set. */
static size_t unicode_escape(const char *p, size_t n, unsigned *c, const char **why)
{
    *why = "malformed \\u escape";
    if (n < 4 || hex4(p, c))
        return 0;
    if (*c == 0) {
        *why = "a string must not hold the NUL character";
        return 0;
    }
    if (*c < 0xD800 || *c > 0xDFFF)
        return 4;
    unsigned low;
    *why = "half a surrogate pair";
    if (*c > 0xDBFF || n < 10 || p[4] != '\\' || p[5] != 'u' || hex4(p + 6, &low) || low < 0xDC00 ||
        low > 0xDFFF)
        return 0;
    *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
    return 10;
}

/* Decodes the escapes of raw into out (at least raw.n bytes; NULL: only check). NULL or reason. */
static const char *unescape(struct slice raw, char *out, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char dummy[4];
    size_t used = 0;
    for (size_t i = 0; i < raw.n;) {
        char *at = out ? out + used : dummy;
        if (raw.p[i] != '\\') {
            *at = raw.p[i++];
            used++;
            continue;
        }
        char c = raw.p[i + 1]; /* the scanner saw that a character follows */
        const char *simple = strchr(from, c);
        i += 2;
        if (c == 'u') {
            unsigned code;
            const char *why;
            size_t took = unicode_escape(raw.p + i, raw.n - i, &code, &why);
            if (!took)
                return why;
            i += took;
            used += put_utf8(at, code);
        } else if (simple && c) {
            *at = to[simple - from];
            used++;
        } else {
            return "unknown escape";
        }
    }
    *len = used;
    return NULL;
}

int reader_raw_string(struct reader *r, struct slice *raw, bool *escapes)
{
    if (reader_next(r) != '"')
        return unexpected(r, "a string");
    const char *start = r->p + 1, *p = start;
    uint64_t high = 0;
    *escapes = false;
    for (;;) {
        p = plain_run(p, r->end, &high);
        if (p >= r->end)
            return reader_fail(r, "text ends in a string");
        if (*p == '"')
            break;
        if (*p != '\\')
            return reader_fail(r, "control character in a string");
        if (r->end - p < 2)
            return reader_fail(r, "text ends in a string");
        *escapes = true;
        p += 2;
    }
    *raw = (struct slice){start, (size_t)(p - start)};
    r->p = p + 1;
    if (high && utf8_valid_prefix(raw->p, raw->n) != raw->n)
        return reader_fail(r, "not valid UTF-8");
    return 0;
}

static int value_of_raw(struct reader *r, struct slice raw, bool escapes, struct slice *out)
{
    char *copy = reader_copy(r, raw.p, raw.n);
    if (!copy)
        return -1;
    *out = (struct slice){copy, raw.n};
    if (!escapes)
        return 0;
    const char *why = unescape(raw, copy, &out->n);
    if (why)
        return reader_fail(r, "%s", why);
    copy[out->n] = '\0';
    return 0;
}

int reader_string(struct reader *r, struct slice *out)
{
    struct slice raw;
    bool escapes;
    if (reader_raw_string(r, &raw, &escapes))
        return -1;
    return value_of_raw(r, raw, escapes, out);
}

int reader_member(struct reader *r, struct slice *name)
{
    struct slice raw;
    bool escapes;
    r->path[r->depth] = (struct reader_step){"", 0, 0};
    if (reader_raw_string(r, &raw, &escapes))
        return -1;
    *name = raw;
    if (escapes && !r->no_names && value_of_raw(r, raw, true, name))
        return -1;
    r->path[r->depth] = (struct reader_step){name->p, name->n, 0};
    if (reader_next(r) != ':')
        return unexpected(r, "':'");
    r->p++;
    return 0;
}

/* ---- other values ---- */

static const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* End of the number at p by the grammar of RFC 8259, NULL if it is none. */
static const char *number_end(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (p >= end || *p < '0' || *p > '9')
        return NULL;
    p = *p == '0' ? p + 1 : digits(p, end);
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p = digits(fraction, end);
        if (p == fraction)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *exponent = p;
        p = digits(exponent, end);
        if (p == exponent)
            return NULL;
    }
    return p;
}

int reader_number(struct reader *r, struct slice *raw)
{
    reader_next(r);
    const char *end = number_end(r->p, r->end);
    if (!end)
        return unexpected(r, "a number");
    *raw = (struct slice){r->p, (size_t)(end - r->p)};
    r->p = end;
    return 0;
}

static bool literal(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return false;
    r->p += n;
    return true;
}

int reader_bool(struct reader *r, bool *out)
{
    reader_next(r);
    if (literal(r, "true"))
        *out = true;
    else if (literal(r, "false"))
        *out = false;
    else
        return unexpected(r, "true or false");
    return 0;
}

static int skip_object(struct reader *r)
{
    size_t base = r->names.n;
    int more = reader_open(r, '{');
    if (more <= 0)
        return more;
    do {
        struct slice name;
        if (reader_member(r, &name))
            return -1;
        reader_remember(r, name);
        if (reader_skip(r, NULL))
            return -1;
        more = reader_more(r, '}');
    } while (more == 1);
    return more ? -1 : reader_distinct(r, base);
}

static int skip_array(struct reader *r)
{
    int more = reader_open(r, '[');
    while (more == 1) {
        if (reader_skip(r, NULL))
            return -1;
        more = reader_more(r, ']');
    }
    return more;
}

static int skip_string(struct reader *r)
{
    struct slice raw;
    bool escapes;
    size_t len;
    if (reader_raw_string(r, &raw, &escapes))
        return -1;
    const char *why = escapes ? unescape(raw, NULL, &len) : NULL;
    return why ? reader_fail(r, "%s", why) : 0;
}

static int skip_value(struct reader *r)
{
    struct slice number;
    switch (reader_next(r)) {
    case '{':
        return skip_object(r);
    case '[':
        return skip_array(r);
    case '"':
        return skip_string(r);
    case 't':
        return literal(r, "true") ? 0 : unexpected(r, "a value");
    case 'f':
        return literal(r, "false") ? 0 : unexpected(r, "a value");
    case 'n':
        return literal(r, "null") ? 0 : unexpected(r, "a value");
    case '-':
    case '0' ... '9':
        return reader_number(r, &number);
    default:
        return unexpected(r, "a value");
    }
}

int reader_skip(struct reader *r, struct slice *raw)
{
    reader_next(r);
    const char *start = r->p;
    if (skip_value(r))
        return -1;
    if (raw)
        *raw = (struct slice){start, (size_t)(r->p - start)};
    return 0;
}

/* ---- duplicate names ---- */

/* Cheap on purpose: equal hashes are compared in full, and large objects are sorted, so names
 * chosen to collide cost a bounded time. */
static uint64_t name_hash(struct slice s)
{
    uint64_t a = 0, b = 0;
    if (s.n >= 8) {
        memcpy(&a, s.p, 8);
        memcpy(&b, s.p + s.n - 8, 8);
    } else if (s.n) {
        memcpy(&a, s.p, s.n);
    }
    uint64_t h = (a ^ (b << 23 | b >> 41) ^ s.n) * 0x9E3779B97F4A7C15ULL;
    return h ^ h >> 29;
}

void reader_remember(struct reader *r, struct slice name)
{
    if (!r->no_names)
        *vec_push(&r->names) = (struct reader_name){name.p, name.n, name_hash(name)};
}

static int compare_names(const void *pa, const void *pb)
{
    const struct reader_name *a = pa, *b = pb;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return a->n ? memcmp(a->p, b->p, a->n) : 0;
}

static const struct reader_name *duplicate_sorted(struct reader_name *names, size_t n)
{
    qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 1; i < n; i++)
        if (compare_names(&names[i - 1], &names[i]) == 0)
            return &names[i];
    return NULL;
}

/* Open addressing over at most 128 names. */
static const struct reader_name *duplicate_small(const struct reader_name *names, size_t n)
{
    uint8_t slots[256] = {0};
    for (size_t i = 0; i < n; i++) {
        size_t at = names[i].hash & 255;
        for (; slots[at]; at = (at + 1) & 255)
            if (compare_names(&names[slots[at] - 1], &names[i]) == 0)
                return &names[i];
        slots[at] = (uint8_t)(i + 1);
    }
    return NULL;
}

int reader_distinct(struct reader *r, size_t base)
{
    size_t n = r->names.n - base;
    if (n < 2) {
        r->names.n = base;
        return 0;
    }
    struct reader_name *names = r->names.items + base;
    const struct reader_name *twice =
        n <= 128 ? duplicate_small(names, n) : duplicate_sorted(names, n);
    r->names.n = base;
    if (!twice)
        return 0;
    /* The object is closed already: its members are one step below. */
    r->path[++r->depth] = (struct reader_step){twice->p, twice->n, 0};
    int rc = reader_reject(r, "duplicate member");
    r->depth--;
    return rc;
}

int rows_peek(struct slice *out, const char *text, size_t n, const char *member)
{
    struct reader r;
    size_t len = strlen(member);
    struct rows_limits limits = {.bytes = n, .elements = SIZE_MAX, .depth = READER_DEPTH};
    if (reader_init(&r, text, n, NULL, &limits, NULL))
        return -1;
    r.no_names = true;
    int more = reader_open(&r, '{');
    while (more == 1) {
        struct slice name;
        bool escapes;
        if (reader_raw_string(&r, &name, &escapes) || reader_next(&r) != ':')
            return -1;
        r.p++;
        bool found = name.n == len && memcmp(name.p, member, len) == 0;
        if (reader_skip(&r, found ? out : NULL))
            return -1;
        if (found)
            return 0;
        more = reader_more(&r, '}');
    }
    return more ? -1 : 1;
}
