/* Byte strings, JSON string escaping, UTF-8 validation. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

struct slice slice_of(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_of(s));
}

int64_t slice_number(struct slice s)
{
    char text[24];
    int64_t v;
    if (!s.p || s.n >= sizeof text)
        return -1;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return str_int64(&v, text, 0, INT64_MAX) ? -1 : v;
}

struct slice slice_trim(struct slice s, const char *chars)
{
    while (s.n && strchr(chars, s.p[0]) && s.p[0])
        s.p++, s.n--;
    while (s.n && strchr(chars, s.p[s.n - 1]) && s.p[s.n - 1])
        s.n--;
    return s;
}

void str_reserve(struct str *s, size_t more)
{
    if (s->cap - s->len > more)
        return;
    size_t want = s->len + more + 1;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < want)
        cap += cap / 2 + 64;
    s->data = mem_realloc(s->data, cap);
    s->cap = cap;
}

void str_append(struct str *s, const void *p, size_t n)
{
    str_reserve(s, n);
    if (n)
        memcpy(s->data + s->len, p, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void str_puts(struct str *s, const char *text)
{
    str_append(s, text, strlen(text));
}

void str_putc(struct str *s, char c)
{
    str_append(s, &c, 1);
}

void str_printf(struct str *s, const char *fmt, ...)
{
    char small[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n < sizeof small) {
        str_append(s, small, (size_t)n);
        return;
    }
    str_reserve(s, (size_t)n);
    va_start(args, fmt);
    vsnprintf(s->data + s->len, (size_t)n + 1, fmt, args);
    va_end(args);
    s->len += (size_t)n;
}

static void json_escape_char(struct str *s, unsigned char c)
{
    switch (c) {
    case '"':
        str_append(s, "\\\"", 2);
        break;
    case '\\':
        str_append(s, "\\\\", 2);
        break;
    case '\n':
        str_append(s, "\\n", 2);
        break;
    case '\r':
        str_append(s, "\\r", 2);
        break;
    case '\t':
        str_append(s, "\\t", 2);
        break;
    default:
        str_printf(s, "\\u%04x", c);
    }
}

void str_json(struct str *s, const char *text, size_t n)
{
    str_reserve(s, n + 2);
    str_putc(s, '"');
    size_t i = 0;
    while (i < n) {
        size_t run = i;
        while (run < n && (unsigned char)text[run] >= 0x20 && (unsigned char)text[run] < 0x80 &&
               text[run] != '"' && text[run] != '\\')
            run++;
        str_append(s, text + i, run - i);
        i = run;
        if (i == n)
            break;
        if ((unsigned char)text[i] < 0x80) {
            json_escape_char(s, (unsigned char)text[i++]);
            continue;
        }
        size_t left = n - i < 4 ? n - i : 4;
        size_t valid = 0;
        for (size_t k = 2; k <= left && !valid; k++)
            valid = utf8_valid_prefix(text + i, k) == k ? k : 0;
        if (valid)
            str_append(s, text + i, valid);
        else
            str_append(s, "\xEF\xBF\xBD", 3);
        i += valid ? valid : 1;
    }
    str_putc(s, '"');
}

void str_clear(struct str *s)
{
    s->len = 0;
    if (s->data)
        s->data[0] = '\0';
}

void str_free(struct str *s)
{
    mem_free(s->data);
    *s = (struct str)STR_INIT;
}

char *str_take(struct str *s)
{
    char *p = s->data ? s->data : mem_strdup("");
    *s = (struct str)STR_INIT;
    return p;
}

const char *str_cstr(const struct str *s)
{
    return s->data ? s->data : "";
}

struct slice str_slice(const struct str *s)
{
    return (struct slice){str_cstr(s), s->len};
}

bool str_copy(char *dst, size_t cap, const char *src)
{
    size_t n = src ? strlen(src) : 0;
    size_t take = n < cap ? n : cap - 1;
    if (take)
        memcpy(dst, src, take);
    dst[take] = '\0';
    return take == n;
}

int str_int64(int64_t *out, const char *s, int64_t min, int64_t max)
{
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (end == s || *end || errno || isspace((unsigned char)*s) || v < min || v > max)
        return -1;
    *out = v;
    return 0;
}

/* Length of the sequence at p (RFC 3629: no surrogates, nothing overlong), 0 if invalid or cut. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) ||
        (c == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

size_t utf8_valid_prefix(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t len = utf8_sequence((const unsigned char *)p + i, n - i);
        if (!len)
            break;
        i += len;
    }
    return i;
}
