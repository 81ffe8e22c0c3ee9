/*
 * Text to UTF-8. Code extension (ISO 2022) is walked here byte by byte; iconv is asked only for the
 * two-byte sets, GB18030 and GBK, opened per call (0.2 µs) so that no thread keeps a handle. Escape
 * sequences are followed even where the charset does not announce them.
 */
#include "dicom/charset.h"

#include <iconv.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/charset_priv.h"

#define REPLACEMENT "\xef\xbf\xbd"
#define TERM_MAX    24

/* How a VR's values are split and trimmed, and whether the charset applies. */
struct manner {
    bool charset;  /* SH LO ST LT UC UT PN */
    bool multiple; /* '\' separates values */
    bool name;     /* '^' and '=' separate components */
    bool leading;  /* leading spaces are padding too */
};

struct decoder {
    struct str *out;
    struct manner manner;
    enum set whole;    /* UTF-8, GB18030, GBK: no code extension; else SET_NONE */
    enum set first_g1; /* at the start and after every reset */
    enum set g0, g1;
    iconv_t open[SET_GBK + 1]; /* NULL: not yet opened */
    bool ok;
};

/* Defined terms (PS3.3 C.12.1.1.2) by their ISO-IR number, and what people write instead. Compared
 * in capitals, without anything but letters and digits. */
static const struct {
    const char *term;
    enum set set;
} terms[] = {
    {"6", SET_ASCII},    {"100", SET_8859_1},    {"101", SET_8859_2},      {"109", SET_8859_3},
    {"110", SET_8859_4}, {"144", SET_8859_5},    {"127", SET_8859_6},      {"126", SET_8859_7},
    {"138", SET_8859_8}, {"148", SET_8859_9},    {"203", SET_8859_15},     {"166", SET_THAI},
    {"13", SET_KANA},    {"87", SET_JIS0208},    {"159", SET_JIS0212},     {"149", SET_KSX1001},
    {"58", SET_GB2312},  {"192", SET_UTF8},      {"GB18030", SET_GB18030}, {"GBK", SET_GBK},
    {"UTF8", SET_UTF8},  {"LATIN1", SET_8859_1}, {"ISO88591", SET_8859_1}, {"ASCII", SET_ASCII},
};

static const struct {
    const char *bytes; /* after ESC */
    bool g1;
    enum set set;
} escapes[] = {
    {"(B", false, SET_ASCII},   {"(J", false, SET_ASCII},   {"(I", false, SET_KANA},
    {")I", true, SET_KANA},     {"-A", true, SET_8859_1},   {"-B", true, SET_8859_2},
    {"-C", true, SET_8859_3},   {"-D", true, SET_8859_4},   {"-L", true, SET_8859_5},
    {"-G", true, SET_8859_6},   {"-F", true, SET_8859_7},   {"-H", true, SET_8859_8},
    {"-M", true, SET_8859_9},   {"-b", true, SET_8859_15},  {"-T", true, SET_THAI},
    {"$B", false, SET_JIS0208}, {"$@", false, SET_JIS0208}, {"$(D", false, SET_JIS0212},
    {"$)C", true, SET_KSX1001}, {"$)A", true, SET_GB2312},
};

static const char *const iconv_names[SET_GBK + 1] = {
    [SET_JIS0208] = "EUC-JP", [SET_JIS0212] = "EUC-JP",  [SET_KSX1001] = "EUC-KR",
    [SET_GB2312] = "EUC-CN",  [SET_GB18030] = "GB18030", [SET_GBK] = "GBK",
};

static bool is_padding(char c)
{
    return c == ' ' || c == '\0';
}

/* SET_NONE: there is no such term. An empty one is the default repertoire. */
static enum set set_of_term(const char *p, size_t n)
{
    char key[TERM_MAX];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 32) : p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            continue;
        if (k + 1 == TERM_MAX)
            return SET_NONE;
        key[k++] = c;
    }
    key[k] = '\0';
    if (k == 0)
        return SET_ASCII;
    const char *name = key;
    if (!strncmp(key, "ISO2022IR", 9))
        name = key + 9;
    else if (!strncmp(key, "ISOIR", 5))
        name = key + 5;
    else if (key[0] >= '0' && key[0] <= '9')
        return SET_NONE;
    for (size_t i = 0; i < ARRAY_LEN(terms); i++) {
        if (!strcmp(terms[i].term, name))
            return terms[i].set;
    }
    return SET_NONE;
}

bool charset_known(const char *term)
{
    return term && *term && set_of_term(term, strlen(term)) != SET_NONE;
}

static bool has_g1(enum set s)
{
    return s >= SET_8859_1 && s <= SET_GB2312 && s != SET_JIS0208 && s != SET_JIS0212;
}

/* Takes over what the raw value of (0008,0005) says. False: its first term is unknown. Where the
 * first term leaves the upper half free, the next one that has an upper half gets it: many writers
 * forget to designate it. */
static bool use_charset(struct decoder *d, struct slice charset)
{
    d->whole = SET_NONE;
    d->first_g1 = SET_NONE;
    bool first_known = true;
    for (size_t at = 0, number = 0; at <= charset.n; number++) {
        const char *p = charset.p + at;
        const char *stop = memchr(p, '\\', charset.n - at);
        size_t n = stop ? (size_t)(stop - p) : charset.n - at;
        at += n + 1;
        enum set set = set_of_term(p, n);
        if (number == 0)
            first_known = set != SET_NONE;
        if (number == 0 && set >= SET_UTF8) {
            d->whole = set;
            return true;
        }
        if (d->first_g1 == SET_NONE && has_g1(set))
            d->first_g1 = set;
    }
    return first_known;
}

static void replace(struct decoder *d)
{
    str_append(d->out, REPLACEMENT, 3);
    d->ok = false;
}

static void put_code_point(struct str *out, uint32_t c)
{
    char b[3];
    size_t n = 0;
    if (c < 0x80) {
        b[n++] = (char)c;
    } else if (c < 0x800) {
        b[n++] = (char)(0xc0 | c >> 6);
        b[n++] = (char)(0x80 | (c & 0x3f));
    } else {
        b[n++] = (char)(0xe0 | c >> 12);
        b[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        b[n++] = (char)(0x80 | (c & 0x3f));
    }
    str_append(out, b, n);
}

/* Code point of a byte ≥ 0x80 in a single-byte set; 0 = none. */
static uint32_t single_byte(enum set set, uint8_t b)
{
    if (set >= SET_8859_1 && set <= SET_8859_15 && b < 0xa0)
        return b; /* C1 control characters */
    if (set == SET_8859_1)
        return b;
    if (set >= SET_8859_2 && set <= SET_8859_15)
        return charset_upper[set - SET_8859_2][b - 0xa0];
    if (set == SET_KANA)
        return b >= 0xa1 && b <= 0xdf ? 0xff61u + b - 0xa1 : 0;
    if (set == SET_THAI && ((b >= 0xa1 && b <= 0xda) || (b >= 0xdf && b <= 0xfb)))
        return 0x0e01u + b - 0xa1;
    return 0;
}

static iconv_t handle(struct decoder *d, enum set set)
{
    if (!d->open[set])
        d->open[set] = iconv_open("UTF-8", iconv_names[set]);
    return d->open[set];
}

static void close_handles(struct decoder *d)
{
    for (size_t i = 0; i < ARRAY_LEN(d->open); i++) {
        if (d->open[i] && d->open[i] != (iconv_t)-1)
            iconv_close(d->open[i]);
    }
}

/* Converts with recovery: a byte that fits nowhere becomes U+FFFD. */
static void convert(struct decoder *d, enum set set, const char *p, size_t n)
{
    iconv_t cd = handle(d, set);
    char buffer[512], *in = (char *)(uintptr_t)p;
    while (n) {
        char *to = buffer;
        size_t room = sizeof buffer, before = n;
        if (cd != (iconv_t)-1)
            (void)iconv(cd, &in, &n, &to, &room); /* every outcome shows in n and room */
        str_append(d->out, buffer, sizeof buffer - room);
        if (n == before && room == sizeof buffer) {
            replace(d);
            in++;
            n--;
        }
    }
    if (cd != (iconv_t)-1)
        iconv(cd, NULL, NULL, NULL, NULL);
}

/* One character of a two-byte set; p has at least two bytes. */
static void two_bytes(struct decoder *d, enum set set, const uint8_t *p)
{
    char b[3];
    size_t n = 0, before = d->out->len;
    if (set == SET_JIS0212)
        b[n++] = (char)0x8f;
    b[n++] = (char)(p[0] | 0x80);
    b[n++] = (char)(p[1] | 0x80);
    bool ok = d->ok;
    d->ok = true;
    convert(d, set, b, n);
    if (!d->ok) { /* one sign for the pair, whatever the converter made of it */
        d->out->len = before;
        replace(d);
    }
    d->ok = d->ok && ok;
}

static void reset(struct decoder *d)
{
    d->g0 = SET_ASCII;
    d->g1 = d->first_g1;
}

/* Bytes of the escape sequence at p, or 0. */
static size_t escape(struct decoder *d, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
        size_t len = strlen(escapes[i].bytes);
        if (n > len && !memcmp(p + 1, escapes[i].bytes, len)) {
            *(escapes[i].g1 ? &d->g1 : &d->g0) = escapes[i].set;
            return len + 1;
        }
    }
    return 0;
}

static bool is_delimiter(const struct manner *m, uint8_t b)
{
    return (m->multiple && b == '\\') || (m->name && (b == '^' || b == '='));
}

/* A byte of the lower half. Returns the bytes used. */
static size_t lower_half(struct decoder *d, const uint8_t *p, size_t n)
{
    bool graphic = p[0] > 0x20 && p[0] < 0x7f;
    if (graphic && (d->g0 == SET_JIS0208 || d->g0 == SET_JIS0212)) {
        if (n < 2 || p[1] <= 0x20 || p[1] >= 0x7f) {
            replace(d);
            return 1;
        }
        two_bytes(d, d->g0, p);
        return 2;
    }
    if (p[0] == 0) {
        replace(d);
        return 1;
    }
    if (graphic && d->g0 == SET_KANA && p[0] <= 0x5f) {
        put_code_point(d->out, 0xff61u + p[0] - 0x21);
        return 1;
    }
    if (p[0] < 0x20 || is_delimiter(&d->manner, p[0]))
        reset(d);
    str_putc(d->out, (char)p[0]);
    return 1;
}

static size_t upper_half(struct decoder *d, const uint8_t *p, size_t n)
{
    if (d->g1 == SET_KSX1001 || d->g1 == SET_GB2312) {
        if (n < 2 || p[0] < 0xa1 || p[1] < 0xa1) {
            replace(d);
            return 1;
        }
        two_bytes(d, d->g1, p);
        return 2;
    }
    uint32_t c = single_byte(d->g1, p[0]);
    if (c)
        put_code_point(d->out, c);
    else
        replace(d);
    return 1;
}

static void decode_extended(struct decoder *d, const uint8_t *p, size_t n)
{
    reset(d);
    while (n) {
        size_t used = 0;
        if (*p == 0x1b && d->manner.charset) {
            used = escape(d, p, n);
            if (!used) {
                replace(d);
                used = 1;
            }
        } else {
            used = *p < 0x80 ? lower_half(d, p, n) : upper_half(d, p, n);
        }
        p += used;
        n -= used;
    }
}

static void decode_utf8(struct decoder *d, const char *p, size_t n)
{
    while (n) {
        size_t good = utf8_valid_prefix(p, n);
        str_append(d->out, p, good);
        p += good;
        n -= good;
        if (n) {
            replace(d);
            p++;
            n--;
        }
    }
}

/* Sets without code extension: whole runs, cut only at NUL, which is part of no other character. */
static void decode_whole(struct decoder *d, const char *p, size_t n)
{
    while (n) {
        const char *nul = memchr(p, 0, n);
        size_t run = nul ? (size_t)(nul - p) : n;
        if (d->whole == SET_UTF8)
            decode_utf8(d, p, run);
        else
            convert(d, d->whole, p, run);
        p += run;
        n -= run;
        if (nul) {
            replace(d);
            p++;
            n--;
        }
    }
}

/* Neither upper half nor NUL nor ESC: the usual value, so eight bytes at a time. */
static bool plain_ascii(struct slice v)
{
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    uint64_t odd = 0;
    size_t i = 0;
    for (; i + 8 <= v.n; i += 8) {
        uint64_t w;
        memcpy(&w, v.p + i, 8);
        uint64_t esc = w ^ (ones * 0x1b);
        odd |= (w | (w - ones) | (esc - ones)) & high; /* with no high bit: a zero byte borrows */
    }
    for (; i < v.n; i++)
        odd |= (unsigned char)v.p[i] >= 0x80 || v.p[i] == 0 || v.p[i] == 0x1b;
    return odd == 0;
}

static struct manner manner_of(const char *vr)
{
#define VR(a, b) ((a) << 8 | (b))
    if (!vr[0])
        return (struct manner){.multiple = true, .leading = true};
    switch (VR(vr[0], vr[1])) {
    case VR('P', 'N'):
        return (struct manner){.charset = true, .multiple = true, .name = true};
    case VR('U', 'C'):
        return (struct manner){.charset = true, .multiple = true};
    case VR('S', 'H'):
    case VR('L', 'O'):
        return (struct manner){.charset = true, .multiple = true, .leading = true};
    case VR('S', 'T'):
    case VR('L', 'T'):
    case VR('U', 'T'):
        return (struct manner){.charset = true};
    case VR('U', 'R'):
        return (struct manner){.multiple = false};
    default:
        return (struct manner){.multiple = true, .leading = true};
    }
#undef VR
}

/* Takes the padding off each value that was appended from start on; moves the rest together. */
static void trim(struct str *out, size_t start, const struct manner *m)
{
    char *to = out->data + start;
    const char *p = to, *end = out->data + out->len;
    for (;;) {
        const char *stop = m->multiple ? memchr(p, '\\', (size_t)(end - p)) : NULL;
        const char *last = stop ? stop : end;
        while (m->leading && p < last && *p == ' ')
            p++;
        while (last > p && last[-1] == ' ')
            last--;
        if (to != p)
            memmove(to, p, (size_t)(last - p));
        to += last - p;
        if (!stop)
            break;
        *to++ = '\\';
        p = stop + 1;
    }
    out->len = (size_t)(to - out->data);
    out->data[out->len] = '\0';
}

static bool decode(struct str *out, const struct manner *manner, struct slice value,
                   struct slice charset, const char *fallback)
{
    struct decoder d = {.out = out, .manner = *manner, .ok = true};
    bool known = manner->charset && charset.n && use_charset(&d, charset);
    if (manner->charset && !known && fallback && *fallback)
        (void)use_charset(&d, slice_of(fallback)); /* an unknown one leaves ASCII */
    if (d.whole != SET_NONE)
        decode_whole(&d, value.p, value.n);
    else
        decode_extended(&d, (const uint8_t *)value.p, value.n);
    close_handles(&d);
    return d.ok;
}

bool charset_utf8(struct str *out, const char *vr, struct slice value, struct slice charset,
                  const char *fallback)
{
    struct manner manner = manner_of(vr);
    size_t start = out->len;
    bool ok = true;
    while (value.n && is_padding(value.p[value.n - 1]))
        value.n--;
    while (charset.n && is_padding(charset.p[charset.n - 1]))
        charset.n--;
    str_reserve(out, value.n + 1);
    if (plain_ascii(value))
        str_append(out, value.p, value.n);
    else
        ok = decode(out, &manner, value, charset, fallback);
    trim(out, start, &manner);
    return ok;
}
