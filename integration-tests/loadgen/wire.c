/* PDUs and command sets. */
#include <stdio.h>
#include <string.h>

#include "loadgen.h"

#define CT_IMAGE     "1.2.840.10008.5.1.4.1.1.2"
#define EXPLICIT_LE  "1.2.840.10008.1.2.1"
#define APPLICATION  "1.2.840.10008.3.1.1.1"
#define OUR_UID      "2.25.309129846253611845160713405632117209147"
#define FIXED_FIELDS 68 /* of an A-ASSOCIATE PDU, after its header */

uint32_t wire_u32be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned u16be(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static unsigned u16le(const uint8_t *p)
{
    return (unsigned)p[1] << 8 | p[0];
}

static void be(struct str *s, uint32_t v, int bytes)
{
    while (bytes-- > 0)
        str_putc(s, (char)(v >> (8 * bytes)));
}

static void le(struct str *s, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_putc(s, (char)(v >> (8 * i)));
}

/* Starts an item (or PDU, with 4 length bytes); item_end writes its length. */
static size_t item_begin(struct str *s, unsigned type, int length_bytes)
{
    be(s, type, 1);
    be(s, 0, 1);
    be(s, 0, length_bytes);
    return s->len;
}

static void item_end(struct str *s, size_t start, int length_bytes)
{
    size_t n = s->len - start;
    for (int i = 0; i < length_bytes; i++)
        s->data[start - 1 - (size_t)i] = (char)(n >> (8 * i));
}

static void text_item(struct str *s, unsigned type, const char *text)
{
    size_t at = item_begin(s, type, 2);
    str_puts(s, text);
    item_end(s, at, 2);
}

static void ae(struct str *s, const char *title)
{
    char padded[17];
    snprintf(padded, sizeof padded, "%-16s", title);
    str_append(s, padded, 16);
}

static void user_information(struct str *s, uint32_t max_pdu, unsigned window)
{
    size_t at = item_begin(s, 0x50, 2), in = item_begin(s, 0x51, 2);
    be(s, max_pdu, 4);
    item_end(s, in, 2);
    text_item(s, 0x52, OUR_UID);
    if (window > 1) {
        in = item_begin(s, 0x53, 2);
        be(s, window, 2);
        be(s, 1, 2);
        item_end(s, in, 2);
    }
    text_item(s, 0x55, "LOADGEN");
    item_end(s, at, 2);
}

void wire_associate_rq(struct str *out, const struct proposal *p)
{
    size_t pdu = item_begin(out, PDU_ASSOCIATE_RQ, 4);
    be(out, 1, 2);
    be(out, 0, 2);
    ae(out, p->called);
    ae(out, p->calling);
    for (int i = 0; i < 8; i++)
        be(out, 0, 4);
    text_item(out, 0x10, APPLICATION);
    size_t at = item_begin(out, 0x20, 2);
    be(out, 1, 1);
    be(out, 0, 3);
    text_item(out, 0x30, CT_IMAGE);
    text_item(out, 0x40, EXPLICIT_LE);
    item_end(out, at, 2);
    user_information(out, p->max_pdu, p->window);
    item_end(out, pdu, 4);
}

/* The next item of p[0..n): its type and body; false at the end or when it does not fit. */
struct item {
    unsigned type;
    const uint8_t *body;
    size_t n;
};
static bool next_item(struct item *out, const uint8_t **p, size_t *n)
{
    if (*n < 4)
        return false;
    *out = (struct item){(*p)[0], *p + 4, u16be(*p + 2)};
    if (out->n > *n - 4)
        return false;
    *p += 4 + out->n;
    *n -= 4 + out->n;
    return true;
}

void wire_parse_ac(struct accepted *out, const uint8_t *body, size_t n)
{
    struct item i, u;
    *out = (struct accepted){.max_pdu = 16384, .window = 1};
    if (n < FIXED_FIELDS)
        return;
    body += FIXED_FIELDS;
    n -= FIXED_FIELDS;
    while (next_item(&i, &body, &n)) {
        if (i.type == 0x21 && i.n >= 4)
            out->context = i.body[2] == 0;
        if (i.type != 0x50)
            continue;
        while (next_item(&u, &i.body, &i.n)) {
            if (u.type == 0x51 && u.n == 4)
                out->max_pdu = wire_u32be(u.body);
            if (u.type == 0x53 && u.n == 4)
                out->window = u16be(u.body) ? u16be(u.body) : 64;
        }
    }
}

static void answer_context(struct str *out, const uint8_t *body, size_t n)
{
    struct item i;
    const uint8_t *p = body + 4;
    size_t left = n - 4, at = item_begin(out, 0x21, 2);
    be(out, body[0], 1);
    be(out, 0, 3);
    while (next_item(&i, &p, &left))
        if (i.type == 0x40) {
            size_t in = item_begin(out, 0x40, 2);
            str_append(out, i.body, i.n);
            item_end(out, in, 2);
            break;
        }
    item_end(out, at, 2);
}

int wire_associate_ac(struct str *out, const uint8_t *rq, size_t n)
{
    struct item i, u;
    unsigned window = 1;
    if (n < FIXED_FIELDS)
        return -1;
    size_t pdu = item_begin(out, PDU_ASSOCIATE_AC, 4);
    str_append(out, rq, FIXED_FIELDS);
    text_item(out, 0x10, APPLICATION);
    const uint8_t *p = rq + FIXED_FIELDS;
    n -= FIXED_FIELDS;
    while (next_item(&i, &p, &n)) {
        if (i.type == 0x20 && i.n >= 4)
            answer_context(out, i.body, i.n);
        while (i.type == 0x50 && next_item(&u, &i.body, &i.n))
            if (u.type == 0x53 && u.n == 4)
                window = u16be(u.body) ? u16be(u.body) : 64;
    }
    user_information(out, 131072, window);
    item_end(out, pdu, 4);
    return 0;
}

/* ---- command sets (implicit VR little endian) ---- */

static void copy_text(char to[65], const uint8_t *p, size_t n)
{
    n = n > 64 ? 64 : n;
    memcpy(to, p, n);
    to[n] = '\0';
}

int wire_parse_command(struct command_set *out, const uint8_t *p, size_t n)
{
    *out = (struct command_set){0};
    while (n >= 8) {
        uint32_t tag = (uint32_t)u16le(p) << 16 | u16le(p + 2);
        size_t size = (size_t)u16le(p + 4) | (size_t)u16le(p + 6) << 16;
        if (size > n - 8)
            return -1;
        const uint8_t *v = p + 8;
        unsigned number = size >= 2 ? u16le(v) : 0;
        if (tag == 0x0002)
            copy_text(out->sop_class, v, size);
        else if (tag == 0x0100)
            out->field = number;
        else if (tag == 0x0110 || tag == 0x0120)
            out->message_id = number;
        else if (tag == 0x0800)
            out->has_dataset = number != 0x0101;
        else if (tag == 0x0900)
            out->status = number;
        else if (tag == 0x1000)
            copy_text(out->sop, v, size);
        p += 8 + size;
        n -= 8 + size;
    }
    return n ? -1 : 0;
}

static void element(struct str *s, unsigned e, uint32_t size)
{
    le(s, 0, 2);
    le(s, e, 2);
    le(s, size, 4);
}

static void us(struct str *s, unsigned e, unsigned v)
{
    element(s, e, 2);
    le(s, v, 2);
}

static void ui(struct str *s, unsigned e, const char *uid)
{
    size_t n = strlen(uid);
    if (n == 0)
        return;
    element(s, e, (uint32_t)(n + n % 2));
    str_puts(s, uid);
    if (n % 2)
        str_putc(s, '\0');
}

void wire_response(struct str *out, unsigned context, const struct command_set *rq, unsigned status)
{
    size_t pdu = item_begin(out, PDU_DATA, 4), pdv = out->len;
    be(out, 0, 4);
    be(out, context, 1);
    be(out, 3, 1);
    size_t group = out->len;
    element(out, 0, 4);
    le(out, 0, 4);
    size_t start = out->len;
    ui(out, 0x0002, rq->sop_class);
    us(out, 0x0100, rq->field | 0x8000);
    us(out, 0x0120, rq->message_id);
    us(out, 0x0800, 0x0101);
    us(out, 0x0900, status);
    ui(out, 0x1000, rq->sop);
    size_t n = out->len - start, fragment = out->len - pdv - 4;
    for (int i = 0; i < 4; i++) {
        out->data[group + 8 + (size_t)i] = (char)(n >> (8 * i));
        out->data[pdv + 3 - (size_t)i] = (char)(fragment >> (8 * i));
    }
    item_end(out, pdu, 4);
}
