/*
 * Characters: UTF-8 by code points, and the Unicode properties that string methods need.
 * Independent of the locale. A byte that is no UTF-8 counts as one character without properties.
 */
#include "rules/rules_priv.h"

struct range {
    uint16_t first, last;
};
struct mapping {
    uint16_t first, last;
    int32_t distance;
    uint16_t stride;
};

#include "rules/unicode_tables.h"

#define NOT_UTF8 0xFFFFFFFFu

static bool continues(const char *p, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)p[i] & 0xC0) != 0x80)
            return false;
    return true;
}

size_t text_decode(const char *p, size_t n, uint32_t *code)
{
    unsigned char c = (unsigned char)p[0];
    if (c < 0x80) {
        *code = c;
        return 1;
    }
    size_t len = c >= 0xF0 && c < 0xF5   ? 4
                 : c >= 0xE0 && c < 0xF0 ? 3
                 : c >= 0xC2 && c < 0xE0 ? 2
                                         : 0;
    if (len == 0 || len > n || !continues(p, len)) {
        *code = NOT_UTF8;
        return 1;
    }
    uint32_t v = len == 2 ? c & 0x1Fu : len == 3 ? c & 0x0Fu : c & 0x07u;
    for (size_t i = 1; i < len; i++)
        v = v << 6 | ((unsigned char)p[i] & 0x3Fu);
    *code = v;
    return len;
}

size_t text_encode(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

size_t text_length(const char *p, size_t n)
{
    size_t count = 0;
    uint32_t code;
    for (size_t i = 0; i < n; count++)
        i += text_decode(p + i, n - i, &code);
    return count;
}

size_t text_offset(const char *p, size_t n, size_t chars)
{
    size_t i = 0;
    uint32_t code;
    for (; i < n && chars > 0; chars--)
        i += text_decode(p + i, n - i, &code);
    return i;
}

size_t text_last(const char *p, size_t n, uint32_t *code)
{
    for (size_t len = n < 4 ? n : 4; len > 1; len--)
        if (text_decode(p + n - len, len, code) == len)
            return len;
    return text_decode(p + n - 1, 1, code);
}

struct slice text_strip(struct slice s, bool left, bool right)
{
    uint32_t code;
    while (left && s.n > 0) {
        size_t len = text_decode(s.p, s.n, &code);
        if (!text_is_space(code))
            break;
        s.p += len;
        s.n -= len;
    }
    while (right && s.n > 0) {
        size_t len = text_last(s.p, s.n, &code);
        if (!text_is_space(code))
            break;
        s.n -= len;
    }
    return s;
}

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > r[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && c >= r[low].first;
}

static uint32_t mapped(const struct mapping *m, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > m[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < n && c >= m[low].first && (c - m[low].first) % m[low].stride == 0)
        return (uint32_t)((int64_t)c + m[low].distance);
    return c;
}

uint32_t text_lower(uint32_t c)
{
    if (c < 128)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return mapped(lower_runs, ARRAY_LEN(lower_runs), c);
}

uint32_t text_upper(uint32_t c)
{
    if (c < 128)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    return mapped(upper_runs, ARRAY_LEN(upper_runs), c);
}

bool text_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

bool text_is_alpha(uint32_t c)
{
    if (c < 128)
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    return in_ranges(alpha_ranges, ARRAY_LEN(alpha_ranges), c);
}

bool text_is_decimal(uint32_t c)
{
    if (c < 128)
        return c >= '0' && c <= '9';
    return in_ranges(decimal_ranges, ARRAY_LEN(decimal_ranges), c);
}

bool text_is_digit(uint32_t c)
{
    if (c < 128)
        return c >= '0' && c <= '9';
    return in_ranges(digit_ranges, ARRAY_LEN(digit_ranges), c);
}

bool text_is_numeric(uint32_t c)
{
    if (c < 128)
        return c >= '0' && c <= '9';
    return in_ranges(numeric_ranges, ARRAY_LEN(numeric_ranges), c);
}
