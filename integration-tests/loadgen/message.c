/*
 * One C-STORE request of a CT image, framed into PDUs once. What differs between instances (message
 * id, UIDs, instance number) has a fixed width and lies at its beginning.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "loadgen.h"

#define CT_IMAGE  "1.2.840.10008.5.1.4.1.1.2"
#define HEAD_ROOM 4096

static void le(struct str *s, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_putc(s, (char)(v >> (8 * i)));
}

static void be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * (3 - i)));
}

/* ---- dataset: explicit VR little endian ---- */

static bool is_long(const char *vr)
{
    return strcmp(vr, "OW") == 0 || strcmp(vr, "SQ") == 0 || strcmp(vr, "UN") == 0;
}

static void tag(struct str *s, uint32_t t, const char *vr, size_t n)
{
    le(s, t >> 16, 2);
    le(s, t & 0xFFFF, 2);
    str_append(s, vr, 2);
    if (is_long(vr))
        le(s, 0, 2);
    le(s, (uint32_t)n, is_long(vr) ? 4 : 2);
}

/* Returns where the value begins. */
static size_t text(struct str *s, uint32_t t, const char *vr, const char *value)
{
    size_t n = strlen(value), at;
    tag(s, t, vr, n + n % 2);
    at = s->len;
    str_puts(s, value);
    if (n % 2)
        str_putc(s, strcmp(vr, "UI") == 0 ? '\0' : ' ');
    return at;
}

static void us(struct str *s, uint32_t t, unsigned v)
{
    tag(s, t, "US", 2);
    le(s, v, 2);
}

/* The attributes a CT has, about 1.5 KB, and pixels up to size. Offsets are of the dataset. */
static void make_dataset(struct str *s, struct message *m, size_t size)
{
    char uid[UID_FIXED + 1];
    memset(uid, '1', UID_FIXED);
    uid[UID_FIXED] = '\0';
    text(s, 0x00080005, "CS", "ISO_IR 100");
    text(s, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI");
    text(s, 0x00080012, "DA", "20260314");
    text(s, 0x00080013, "TM", "101502.437000");
    text(s, 0x00080016, "UI", CT_IMAGE);
    m->sop_at = text(s, 0x00080018, "UI", uid);
    text(s, 0x00080020, "DA", "20260314");
    text(s, 0x00080021, "DA", "20260314");
    text(s, 0x00080022, "DA", "20260314");
    text(s, 0x00080030, "TM", "101442.125000");
    text(s, 0x00080031, "TM", "101500.375000");
    text(s, 0x00080050, "SH", "A4711000815");
    text(s, 0x00080060, "CS", "CT");
    text(s, 0x00080070, "LO", "LOADGEN");
    text(s, 0x00080080, "LO", "General Hospital");
    text(s, 0x00080090, "PN", "Referrer^Rita^^Dr.");
    text(s, 0x00081010, "SH", "CT99");
    text(s, 0x00081030, "LO", "CT Thorax/Abdomen with contrast");
    text(s, 0x0008103E, "LO", "Thorax 1.0 B30f venous");
    text(s, 0x00081090, "LO", "Load Generator");
    text(s, 0x00100010, "PN", "Bench^Mark");
    text(s, 0x00100020, "LO", "BENCH0001");
    text(s, 0x00100030, "DA", "19620729");
    text(s, 0x00100040, "CS", "F");
    text(s, 0x00101010, "AS", "063Y");
    text(s, 0x00180015, "CS", "CHEST");
    text(s, 0x00180022, "CS", "HELICAL MODE");
    text(s, 0x00180050, "DS", "1.0");
    text(s, 0x00180060, "DS", "120");
    text(s, 0x00181030, "LO", "Thorax routine");
    text(s, 0x00181151, "IS", "187");
    text(s, 0x00181210, "SH", "B30f");
    m->study_at = text(s, 0x0020000D, "UI", uid);
    m->series_at = text(s, 0x0020000E, "UI", uid);
    text(s, 0x00200010, "SH", "4711");
    text(s, 0x00200011, "IS", "3");
    m->number_at = text(s, 0x00200013, "IS", "00000001");
    text(s, 0x00200032, "DS", "-187.63\\-187.63\\-512.5");
    text(s, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    us(s, 0x00280002, 1);
    text(s, 0x00280004, "CS", "MONOCHROME2");
    us(s, 0x00280010, 512);
    us(s, 0x00280011, 512);
    text(s, 0x00280030, "DS", "0.732421875\\0.732421875");
    us(s, 0x00280100, 16);
    us(s, 0x00280101, 12);
    us(s, 0x00280102, 11);
    us(s, 0x00280103, 0);
    text(s, 0x00281052, "DS", "-1024");
    text(s, 0x00281053, "DS", "1");
    size_t pixels = size > s->len + 12 ? (size - s->len - 12) & ~(size_t)1 : 2;
    tag(s, 0x7FE00010, "OW", pixels);
    uint32_t noise = 2463534242;
    for (size_t i = 0; i < pixels; i += 2) { /* xorshift: pixels that do not compress to nothing */
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        le(s, 1000 + (noise & 0x1FF), 2);
    }
}

/* ---- command ---- */

static void element(struct str *s, unsigned e, uint32_t n)
{
    le(s, 0, 2);
    le(s, e, 2);
    le(s, n, 4);
}

static void us_command(struct str *s, unsigned e, unsigned v)
{
    element(s, e, 2);
    le(s, v, 2);
}

static void make_command(struct str *s, struct message *m)
{
    static const char class[] = CT_IMAGE "\0";
    uint32_t n = (sizeof CT_IMAGE) & ~1u; /* with the NUL that makes it even */
    element(s, 0, 4);
    le(s, 8 + n + 4 * 10 + 8 + UID_FIXED, 4);
    element(s, 0x0002, n);
    str_append(s, class, n);
    us_command(s, 0x0100, C_STORE_RQ);
    us_command(s, 0x0110, 0);
    m->message_id_at = s->len - 2;
    us_command(s, 0x0700, 0);
    us_command(s, 0x0800, 1);
    element(s, 0x1000, UID_FIXED);
    m->command_sop_at = s->len;
    for (int i = 0; i < UID_FIXED; i++)
        str_putc(s, '1');
}

/* ---- framing ---- */

static void frame(struct str *out, const char *p, size_t n, unsigned control)
{
    uint8_t head[PDU_HEADER + PDV_HEADER] = {PDU_DATA};
    be32(head + 2, (uint32_t)(n + PDV_HEADER));
    be32(head + 6, (uint32_t)(n + 2));
    head[10] = 1;
    head[11] = (uint8_t)control;
    str_append(out, head, sizeof head);
    str_append(out, p, n);
}

void message_new(struct message *m, size_t dataset_bytes, uint32_t max_pdu)
{
    struct str command = STR_INIT, data = STR_INIT, wire = STR_INIT;
    *m = (struct message){0};
    make_command(&command, m);
    make_dataset(&data, m, dataset_bytes);
    frame(&wire, command.data, command.len, 3);
    m->message_id_at += PDU_HEADER + PDV_HEADER;
    m->command_sop_at += PDU_HEADER + PDV_HEADER;
    size_t first = wire.len + PDU_HEADER + PDV_HEADER;
    size_t step = max_pdu - PDV_HEADER; /* the maximum length counts what follows the PDU header */
    for (size_t at = 0; at < data.len; at += step) {
        size_t n = data.len - at < step ? data.len - at : step;
        frame(&wire, data.data + at, n, at + n == data.len ? 2 : 0);
    }
    m->sop_at += first;
    m->study_at += first;
    m->series_at += first;
    m->number_at += first;
    m->dataset = data.len;
    m->n = wire.len;
    m->head = wire.len < HEAD_ROOM ? wire.len : HEAD_ROOM;
    m->bytes = (uint8_t *)str_take(&wire);
    str_free(&command);
    str_free(&data);
}

void message_free(struct message *m)
{
    mem_free(m->bytes);
}

/* Components of fixed width without leading zeros: 2.25.KIND.1RUN.1STUDY.1SERIES.1NUMBER,
 * 52 characters each. */
static void make_uid(uint8_t *to, unsigned kind, uint32_t run, uint32_t study, uint32_t series,
                     uint32_t number)
{
    char uid[UID_FIXED + 16];
    int n = snprintf(uid, sizeof uid, "2.25.%u.1%010u.1%09u.1%08u.1%010u", kind, run, study, series,
                     number);
    memset(to, '0', UID_FIXED); /* the last component is filled up to the width */
    memcpy(to, uid, n < UID_FIXED ? (size_t)n : UID_FIXED);
}

void message_head(uint8_t *head, const struct message *m, uint16_t message_id,
                  const struct instance *i)
{
    char number[16];
    memcpy(head, m->bytes, m->head);
    head[m->message_id_at] = (uint8_t)message_id;
    head[m->message_id_at + 1] = (uint8_t)(message_id >> 8);
    make_uid(head + m->sop_at, 3, i->run, i->study, i->series, i->number);
    memcpy(head + m->command_sop_at, head + m->sop_at, UID_FIXED);
    make_uid(head + m->study_at, 1, i->run, i->study, 0, 0);
    make_uid(head + m->series_at, 2, i->run, i->study, i->series, 0);
    snprintf(number, sizeof number, "%08u", i->number % 100000000);
    memcpy(head + m->number_at, number, 8);
}
