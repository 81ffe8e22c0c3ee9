/* Commit metadata and careful mode; see careful.h. */
#include "daemon/careful.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rows/rows.h"

/* ---- text ---- */

struct metadata {
    int64_t v, claim, own, crashes, at, hand, suspect, hits;
    const char *open, *mark, *hand_mark, *suspect_mark;
    struct row_strings skips;
    bool alarm;
};

#define AT(member) ROW(metadata, member)
static const struct row rows[] = {
    {"v", ROW_INT, AT(v), ROW_REQUIRED, .min = 1, .max = 1},
    {"claim", ROW_INT, AT(claim), 0, "-1", .min = -1, .max = INT64_MAX},
    {"own", ROW_INT, AT(own), 0, "-1", .min = -1, .max = INT64_MAX},
    {"open", ROW_STRING, AT(open), 0, NULL, 0, CAREFUL_NAME - 1},
    {"crashes", ROW_INT, AT(crashes), .max = INT32_MAX},
    {"at", ROW_INT, AT(at), 0, "-1", .min = -1, .max = INT64_MAX},
    {"mark", ROW_STRING, AT(mark), 0, NULL, 16, 16},
    {"hand", ROW_INT, AT(hand), 0, "-1", .min = -1, .max = INT64_MAX},
    {"handMark", ROW_STRING, AT(hand_mark), 0, NULL, 1, 4},
    {"suspect", ROW_INT, AT(suspect), 0, "-1", .min = -1, .max = INT64_MAX},
    {"suspectMark", ROW_STRING, AT(suspect_mark), 0, NULL, 1, 4},
    {"hits", ROW_INT, AT(hits), .max = INT32_MAX},
    {"skips", ROW_STRINGS, AT(skips), .max = CAREFUL_SKIPS},
    {"alarm", ROW_BOOL, AT(alarm)},
};
static const struct row_table table = {"commit metadata", sizeof(struct metadata), rows,
                                       ARRAY_LEN(rows)};

void careful_init(struct careful *c)
{
    memset(c, 0, sizeof *c);
    c->claim = c->own = c->at = c->hand.offset = c->suspect.offset = -1;
}

static uint16_t hex(const char *text)
{
    return text ? (uint16_t)strtoul(text, NULL, 16) : 0;
}

/* "12:ab": offset and mark; an older version wrote the offset alone. */
static void take_skips(struct careful *c, const struct row_strings *skips)
{
    for (size_t i = 0; i < skips->n; i++) {
        char number[24];
        int64_t offset;
        size_t n = strcspn(skips->items[i], ":");
        snprintf(number, sizeof number, "%.*s", (int)(n < sizeof number ? n : 0), skips->items[i]);
        if (str_int64(&offset, number, 0, INT64_MAX) == 0)
            c->skips[c->n_skips++] = (struct careful_place){
                offset, skips->items[i][n] ? hex(skips->items[i] + n + 1) : 0};
    }
}

int careful_decode(struct careful *c, const char *text, struct err *e)
{
    struct arena *a = arena_new(1 << 16);
    struct metadata m = {0};
    careful_init(c);
    int result = rows_decode(&m, &table, text, strlen(text), a, NULL, e);
    if (!result) {
        c->claim = m.claim;
        c->own = m.own;
        c->crashes = m.crashes;
        c->at = m.at;
        c->hand = (struct careful_place){m.hand, hex(m.hand_mark)};
        c->suspect = (struct careful_place){m.suspect, hex(m.suspect_mark)};
        c->hits = m.hits;
        c->alarm = m.alarm;
        str_copy(c->open, sizeof c->open, m.open ? m.open : "");
        c->mark = m.mark ? strtoull(m.mark, NULL, 16) : 0;
        take_skips(c, &m.skips);
    }
    arena_free(a);
    return result;
}

void careful_encode(struct str *out, const struct careful *c)
{
    char texts[CAREFUL_SKIPS][36], mark[24], hand_mark[12], suspect_mark[12];
    const char *skips[CAREFUL_SKIPS];
    for (size_t i = 0; i < c->n_skips; i++) {
        snprintf(texts[i], sizeof texts[i], "%" PRId64 ":%" PRIx16, c->skips[i].offset,
                 c->skips[i].mark);
        skips[i] = texts[i];
    }
    snprintf(mark, sizeof mark, "%016" PRIx64, c->mark);
    snprintf(hand_mark, sizeof hand_mark, "%" PRIx16, c->hand.mark);
    snprintf(suspect_mark, sizeof suspect_mark, "%" PRIx16, c->suspect.mark);
    const struct metadata m = {.v = 1,
                               .claim = c->claim,
                               .own = c->own,
                               .open = *c->open ? c->open : NULL,
                               .crashes = c->crashes,
                               .at = c->at,
                               .mark = mark,
                               .hand = c->hand.offset,
                               .hand_mark = c->hand.offset >= 0 ? hand_mark : NULL,
                               .suspect = c->suspect.offset,
                               .suspect_mark = c->suspect.offset >= 0 ? suspect_mark : NULL,
                               .hits = c->hits,
                               .skips = {skips, c->n_skips},
                               .alarm = c->alarm};
    str_clear(out);
    rows_encode(out, &table, &m, true);
}

/* ---- careful mode ---- */

static const struct careful_place none = {-1, 0};

static bool same(struct careful_place a, struct careful_place b)
{
    return a.offset == b.offset && (a.mark == b.mark || a.mark == 0 || b.mark == 0);
}

static void forget_suspect(struct careful *c)
{
    c->suspect = none;
    c->hits = 0;
}

void careful_open(struct careful *c, const char *me)
{
    if (*c->open && strcmp(c->open, me) != 0) {
        c->crashes++;
        if (c->hand.offset >= 0 && same(c->hand, c->suspect))
            c->hits++;
        else if (c->hand.offset >= 0) {
            c->suspect = c->hand;
            c->hits = 1;
        }
    }
    c->hand = none;
    str_copy(c->open, sizeof c->open, me);
}

void careful_close(struct careful *c)
{
    careful_calm(c);
    c->open[0] = '\0';
}

void careful_calm(struct careful *c)
{
    c->crashes = 0;
    c->hand = none;
    forget_suspect(c);
}

bool careful_is(const struct careful *c)
{
    return c->crashes >= CAREFUL_CRASHES;
}

enum careful_what careful_record(const struct careful *c, struct careful_place p)
{
    for (size_t i = 0; i < c->n_skips; i++)
        if (same(c->skips[i], p))
            return CAREFUL_PASS;
    return same(c->suspect, p) && c->hits >= CAREFUL_HITS ? CAREFUL_POISON : CAREFUL_WORK;
}

void careful_take(struct careful *c, struct careful_place p)
{
    c->hand = p;
}

void careful_put(struct careful *c)
{
    c->hand = none;
}

void careful_done(struct careful *c, int64_t offset)
{
    c->hand = none;
    if (offset == c->suspect.offset)
        forget_suspect(c);
}

void careful_skip(struct careful *c, struct careful_place p)
{
    if (c->n_skips == CAREFUL_SKIPS) {
        c->n_skips--;
        memmove(c->skips, c->skips + 1, c->n_skips * sizeof c->skips[0]);
    }
    c->skips[c->n_skips++] = p;
    careful_done(c, p.offset);
}

void careful_floor(struct careful *c, int64_t floor)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_skips; i++)
        if (c->skips[i].offset >= floor)
            c->skips[kept++] = c->skips[i];
    c->n_skips = kept;
}

int64_t careful_until(const struct careful *c, int64_t floor, int64_t end)
{
    int64_t known = c->at + 1 > floor ? c->at + 1 : floor;
    if (c->suspect.offset + 1 > known)
        known = c->suspect.offset + 1;
    return end - known < CAREFUL_AHEAD ? end : known + CAREFUL_AHEAD;
}

/* ---- records ---- */

struct slice careful_id(struct slice value)
{
    struct slice id;
    if (!value.p || rows_peek(&id, value.p, value.n, "id") || id.n < 2 || id.p[0] != '"')
        return (struct slice){NULL, 0};
    return (struct slice){id.p + 1, id.n - 2};
}

/* FNV-1a: the two records at one offset are no enemies, only different. */
static uint64_t mix(uint64_t hash, const void *p, size_t n)
{
    const uint8_t *byte = p;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t careful_mark(int64_t timestamp, struct slice value)
{
    struct slice id = careful_id(value);
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), &timestamp, sizeof timestamp);
    if (id.p)
        return mix(hash, id.p, id.n);
    return value.p ? mix(hash, value.p, value.n) : hash;
}

struct careful_place careful_place(int64_t offset, int64_t timestamp, struct slice value)
{
    uint16_t part = (uint16_t)careful_mark(timestamp, value);
    return (struct careful_place){offset, part ? part : 1};
}
