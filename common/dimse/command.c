/*
 * DIMSE command sets (PS3.7 §6.3.1, annex E): group 0000, implicit VR little endian, never nested.
 * Elements that we do not use are skipped; anything that is not flat is refused.
 */
#include <string.h>

#include "base/mem.h"
#include "dimse/dimse_priv.h"

#define NO_DATASET 0x0101

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Trimmed at both ends (spaces; NUL and what follows it), unprintable bytes replaced, cut at cap.
 */
static void copy_text(char *out, size_t cap, const uint8_t *p, size_t n)
{
    const uint8_t *nul = memchr(p, 0, n);

    if (nul)
        n = (size_t)(nul - p);
    while (n > 0 && *p == ' ') {
        p++;
        n--;
    }
    while (n > 0 && p[n - 1] == ' ')
        n--;
    if (n >= cap)
        n = cap - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = p[i] >= 0x20 && p[i] < 0x7F ? (char)p[i] : '?';
    out[n] = 0;
}

enum kind { US, UI, AE, LO };
struct layout {
    uint16_t element;
    enum kind kind;
    size_t offset; /* in struct dimse_command */
};

static const struct layout layouts[] = {
    {0x0002, UI, offsetof(struct dimse_command, sop_class)},
    {0x0003, UI, offsetof(struct dimse_command, sop_class)}, /* requested, in N-* */
    {0x0100, US, offsetof(struct dimse_command, field)},
    {0x0110, US, offsetof(struct dimse_command, message_id)},
    {0x0120, US, offsetof(struct dimse_command, message_id)}, /* being responded to */
    {0x0700, US, offsetof(struct dimse_command, priority)},
    {0x0900, US, offsetof(struct dimse_command, status)},
    {0x0902, LO, offsetof(struct dimse_command, comment)},
    {0x1000, UI, offsetof(struct dimse_command, sop)},
    {0x1001, UI, offsetof(struct dimse_command, sop)}, /* requested, in N-* */
    {0x1030, AE, offsetof(struct dimse_command, move_originator)},
    {0x1031, US, offsetof(struct dimse_command, move_originator_id)},
};

static int take(struct dimse_command *c, uint16_t element, const uint8_t *p, uint32_t n,
                struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
        const struct layout *l = &layouts[i];
        char *at = (char *)c + l->offset;

        if (l->element != element)
            continue;
        if (l->kind == US) {
            if (n != 2)
                return err_set(e, ERR_REJECT, element, "command element %04x: not 2 bytes",
                               element);
            uint16_t v = le16(p);
            memcpy(at, &v, sizeof v);
        } else if (l->kind == UI) {
            /* 64 characters and one of padding is what real peers send at most */
            if (n > 65)
                return err_set(e, ERR_REJECT, element, "command element %04x: UID too long",
                               element);
            copy_text(at, DIMSE_UID, p, n);
        } else {
            copy_text(at, l->kind == AE ? sizeof c->move_originator : sizeof c->comment, p, n);
        }
        return 0;
    }
    return 0;
}

int command_parse(struct dimse_command *out, const uint8_t *p, size_t n, struct err *e)
{
    struct dimse_command c = {0};
    bool has_field = false, has_type = false;

    if (n > DIMSE_COMMAND_MAX)
        return err_set(e, ERR_REJECT, 0, "command set longer than %d bytes", DIMSE_COMMAND_MAX);
    for (size_t at = 0; at < n;) {
        if (n - at < 8)
            return err_set(e, ERR_REJECT, 0, "command set ends inside an element");
        uint16_t group = le16(p + at), element = le16(p + at + 2);
        uint32_t length = le32(p + at + 4);

        at += 8;
        if (group != 0)
            return err_set(e, ERR_REJECT, group, "group %04x in a command set", group);
        if (length > n - at)
            return err_set(e, ERR_REJECT, element, "command element %04x: length beyond the set",
                           element);
        if (take(&c, element, p + at, length, e))
            return -1;
        if (element == 0x0100)
            has_field = true;
        if (element == 0x0800) {
            if (length != 2)
                return err_set(e, ERR_REJECT, element, "command element 0800: not 2 bytes");
            has_type = true;
            c.has_dataset = le16(p + at) != NO_DATASET;
        }
        at += length;
    }
    if (!has_field || !has_type)
        return err_set(e, ERR_REJECT, 0, "command set without command field or data set type");
    *out = c;
    return 0;
}

static uint8_t *put_head(uint8_t *p, uint16_t element, uint32_t n)
{
    p[0] = p[1] = 0;
    p[2] = (uint8_t)element;
    p[3] = (uint8_t)(element >> 8);
    p[4] = (uint8_t)n;
    p[5] = (uint8_t)(n >> 8);
    p[6] = p[7] = 0;
    return p + 8;
}

static uint8_t *put_us(uint8_t *p, uint16_t element, uint16_t v)
{
    p = put_head(p, element, 2);
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static uint8_t *put_text(uint8_t *p, uint16_t element, const char *s, size_t max, char pad)
{
    size_t n = strnlen(s, max);

    if (n == 0)
        return p;
    p = put_head(p, element, (uint32_t)(n + (n & 1)));
    memcpy(p, s, n);
    p += n;
    if (n & 1)
        *p++ = (uint8_t)pad;
    return p;
}

size_t command_encode(const struct dimse_command *c, uint8_t out[DIMSE_COMMAND_BYTES])
{
    bool response = c->field & 0x8000;
    uint8_t *p = out + 12; /* after the group length */

    p = put_text(p, 0x0002, c->sop_class, 64, 0);
    p = put_us(p, 0x0100, c->field);
    p = put_us(p, response || c->field == DIMSE_C_CANCEL_RQ ? 0x0120 : 0x0110, c->message_id);
    if (c->field == DIMSE_C_STORE_RQ)
        p = put_us(p, 0x0700, c->priority);
    p = put_us(p, 0x0800, c->has_dataset ? 0x0001 : NO_DATASET);
    if (response) {
        p = put_us(p, 0x0900, c->status);
        p = put_text(p, 0x0902, c->comment, 64, ' ');
    }
    p = put_text(p, 0x1000, c->sop, 64, 0);
    if (c->move_originator[0]) {
        p = put_text(p, 0x1030, c->move_originator, 16, ' ');
        p = put_us(p, 0x1031, c->move_originator_id);
    }
    uint32_t length = (uint32_t)(p - out - 12);
    put_head(out, 0x0000, 4);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    out[10] = out[11] = 0;
    return (size_t)(p - out);
}
