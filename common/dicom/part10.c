/*
 * The writer of our file meta and the reader of anybody's. The meta group is explicit little endian
 * whatever the dataset is; readers must bear files without it.
 */
#include "dicom/part10.h"

#include <string.h>

#include "dicom/scan_priv.h"
#include "dicom/syntax.h"
#include "dicom/uid.h"

#define PREAMBLE 128

static void put16(struct str *s, unsigned v)
{
    char b[2] = {(char)v, (char)(v >> 8)};
    str_append(s, b, 2);
}

static void put32(struct str *s, uint32_t v)
{
    put16(s, v & 0xffff);
    put16(s, v >> 16);
}

/* (0002,element), even-padded. OB has the long header. Absent values are left out. */
static void put(struct str *s, unsigned element, const char *vr, const char *p, size_t n)
{
    put16(s, 0x0002);
    put16(s, element);
    str_append(s, vr, 2);
    if (!strcmp(vr, "OB")) {
        put16(s, 0);
        put32(s, (uint32_t)(n + n % 2));
    } else {
        put16(s, (unsigned)(n + n % 2));
    }
    str_append(s, p, n);
    if (n % 2)
        str_putc(s, !strcmp(vr, "UI") || !strcmp(vr, "OB") ? '\0' : ' ');
}

static void put_text(struct str *s, unsigned element, const char *vr, const char *text, size_t max)
{
    if (text && *text)
        put(s, element, vr, text, strnlen(text, max));
}

void part10_write(struct str *out, const struct part10_meta *m)
{
    static const char zero[PREAMBLE];
    str_append(out, zero, PREAMBLE);
    str_puts(out, "DICM");
    size_t length_at = out->len + 8;
    put(out, 0x0000, "UL", "\0\0\0\0", 4);
    put(out, 0x0001, "OB", "\0\1", 2);
    put_text(out, 0x0002, "UI", m->sop_class, UID_MAX);
    put_text(out, 0x0003, "UI", m->sop, UID_MAX);
    put_text(out, 0x0010, "UI", m->syntax, UID_MAX);
    put_text(out, 0x0012, "UI", PART10_IMPLEMENTATION_UID, UID_MAX);
    put_text(out, 0x0013, "SH", "TALARIA", 16);
    put_text(out, 0x0017, "AE", m->calling_ae, 16);
    put_text(out, 0x0018, "AE", m->called_ae, 16);
    if (m->private_json) {
        put_text(out, 0x0100, "UI", PART10_PRIVATE_CREATOR, UID_MAX);
        put(out, 0x0102, "OB", m->private_json, strlen(m->private_json));
    }
    uint32_t n = (uint32_t)(out->len - length_at - 4);
    for (int i = 0; i < 4; i++)
        out->data[length_at + (size_t)i] = (char)(n >> (8 * i));
}

static unsigned le16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | (uint32_t)le16(p + 2) << 16;
}

struct meta_element {
    unsigned element;
    const char *value;
    size_t n, size; /* of the value; of the whole element */
};

/* 1: an element of group 2; 0: something else begins here; -1: it goes beyond the bytes. */
static int meta_next(struct meta_element *out, const uint8_t *p, size_t n)
{
    if (n == 0 || p[0] != 2 || (n > 1 && p[1] != 0))
        return 0;
    if (n < 8)
        return -1;
    bool implicit = p[4] < 'A' || p[4] > 'Z' || p[5] < 'A' || p[5] > 'Z';
    unsigned head = implicit ? 8 : scan_explicit_size(p);
    if (n < head)
        return -1;
    uint32_t length = implicit ? le32(p + 4) : head == 12 ? le32(p + 8) : le16(p + 6);
    if (length > n - head)
        return -1;
    *out = (struct meta_element){.element = le16(p + 2),
                                 .value = (const char *)p + head,
                                 .n = length,
                                 .size = head + (size_t)length};
    return 1;
}

static struct slice without_padding(struct slice s)
{
    while (s.n && (s.p[s.n - 1] == '\0' || s.p[s.n - 1] == ' '))
        s.n--;
    return s;
}

/* Up to the first NUL, cut to the field, without the padding at both ends. */
static void take_text(char *out, size_t cap, const struct meta_element *m)
{
    struct slice v = {m->value, strnlen(m->value, m->n)};
    while (v.n && v.p[0] == ' ')
        v.p++, v.n--;
    if (v.n > cap - 1)
        v.n = cap - 1;
    v = without_padding(v);
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
}

static void take(struct part10_read *r, const struct meta_element *m, bool *ours)
{
    char creator[65];
    switch (m->element) {
    case 0x0002:
        take_text(r->sop_class, sizeof r->sop_class, m);
        break;
    case 0x0003:
        take_text(r->sop, sizeof r->sop, m);
        break;
    case 0x0010:
        take_text(r->syntax, sizeof r->syntax, m);
        break;
    case 0x0017:
        take_text(r->calling_ae, sizeof r->calling_ae, m);
        break;
    case 0x0018:
        take_text(r->called_ae, sizeof r->called_ae, m);
        break;
    case 0x0100:
        take_text(creator, sizeof creator, m);
        *ours = !strcmp(creator, PART10_PRIVATE_CREATOR);
        break;
    case 0x0102:
        r->private_json = without_padding((struct slice){m->value, m->n});
        break;
    default:
        break;
    }
}

/* Walks group 2 from at on. The group length, where it is true, ends it: the first bytes of a
 * deflated dataset may look like anything. */
static int read_meta(struct part10_read *r, const uint8_t *p, size_t n, size_t at, struct err *e)
{
    struct meta_element m;
    size_t group_end = SIZE_MAX; /* unknown */
    bool ours = false;
    int more = 0;
    while (at != group_end && (more = meta_next(&m, p + at, n - at)) > 0) {
        at += m.size;
        if (m.element == 0x0000 && m.n == 4 && group_end == SIZE_MAX)
            group_end = at + le32((const uint8_t *)m.value);
        take(r, &m, &ours);
    }
    if (at != group_end && more < 0)
        return err_set(e, ERR_REJECT, 0, "the file meta information is damaged or cut off");
    if (!ours)
        r->private_json = (struct slice){NULL, 0};
    r->dataset = at;
    return 0;
}

static bool dataset_group(unsigned group)
{
    return group >= 0x0004 && group <= 0x7fe0;
}

/* The syntax of a dataset by its first element; NULL if it cannot be one. */
static const char *guess_syntax(const uint8_t *p, size_t n)
{
    if (n < 8)
        return NULL;
    unsigned little = le16(p), big = (unsigned)p[0] << 8 | p[1];
    if (scan_known_vr(p + 4)) {
        if (dataset_group(little) && little <= 0x0028)
            return SYNTAX_EXPLICIT_LE;
        if (dataset_group(big) && big <= 0x0028)
            return SYNTAX_EXPLICIT_BE;
        return NULL;
    }
    if (dataset_group(little) && little <= 0x0020 && le32(p + 4) <= SCAN_FIRST_MAX)
        return SYNTAX_IMPLICIT_LE;
    return NULL;
}

int part10_parse(struct part10_read *out, const void *bytes, size_t n, struct err *e)
{
    const uint8_t *p = bytes;
    struct part10_read r = {.dataset = 0};
    size_t meta = 0;
    if (n >= PREAMBLE + 4 && !memcmp(p + PREAMBLE, "DICM", 4))
        meta = PREAMBLE + 4;
    else if (n >= 4 && !memcmp(p, "DICM", 4))
        meta = 4;
    if (read_meta(&r, p, n, meta, e))
        return -1;
    r.without_meta = meta == 0 && r.dataset == 0;
    if (!r.syntax[0]) {
        const char *guess = guess_syntax(p + r.dataset, n - r.dataset);
        if (!guess && meta && r.dataset > meta)
            guess = SYNTAX_IMPLICIT_LE; /* the default: this is DICOM, whatever it begins with */
        if (!guess)
            return err_set(e, ERR_REJECT, 0, "not a DICOM file");
        r.without_meta = 1;
        (void)str_copy(r.syntax, sizeof r.syntax, guess); /* always fits */
    }
    *out = r;
    return 0;
}
