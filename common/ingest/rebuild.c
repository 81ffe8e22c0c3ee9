/* The instance.stored record once more, from the object alone: its private information says who
 * sent it, its dataset says what it is. Only an object that is whole and is what its key says gets
 * one. */
#include "ingest/ingest.h"

#include "base/arena.h"
#include "base/mem.h"
#include "dicom/part10.h"
#include "dicom/syntax.h"
#include "event/keys.h"
#include "ingest/ingest_priv.h"

#define HEAD_BYTES  (64 * 1024)
#define PIECE_BYTES (256 * 1024)

/* (0002,0102), as record.c writes it. */
struct origin {
    const char *receipt, *sha256, *peer, *source, *label, *site, *association, *received_at,
        *forced_rule;
};
static const struct row origin_rows[] = {
    {"receipt", ROW_STRING, ROW(origin, receipt), ROW_REQUIRED, .min = 16, .max = 16},
    {"sha256", ROW_STRING, ROW(origin, sha256), ROW_REQUIRED, .min = 64, .max = 64},
    {"receivedAt", ROW_STRING, ROW(origin, received_at), ROW_REQUIRED, .min = 1, .max = 31},
    {"peer", ROW_STRING, ROW(origin, peer)},
    {"source", ROW_STRING, ROW(origin, source)},
    {"sourceLabel", ROW_STRING, ROW(origin, label)},
    {"sourceSite", ROW_STRING, ROW(origin, site)},
    {"association", ROW_STRING, ROW(origin, association)},
    {"forcedRule", ROW_STRING, ROW(origin, forced_rule)},
};
static const struct row_table origin_table = {
    "origin", sizeof(struct origin), origin_rows, ARRAY_LEN(origin_rows), NULL, false};

struct rebuild {
    const struct ingest_rules *rules;
    struct ingest ingest; /* only its source is looked at */
    struct ingest_item item;
    struct part10_read meta;
    struct arena *arena;
    struct objstore_reader *reader;
    struct tagmap_set *tags;
    struct str piece;
    int64_t size;
};

static void take_origin(struct rebuild *b, const struct origin *o)
{
    struct ingest_item *item = &b->item;
    item->sender = (struct ingest_sender){.association = o->association,
                                          .source = {o->source, o->label, o->site},
                                          .calling_ae = b->meta.calling_ae,
                                          .called_ae = b->meta.called_ae,
                                          .peer = o->peer,
                                          .forced_rule = o->forced_rule};
    if (b->rules->charset && o->source)
        item->sender.charset = b->rules->charset(b->rules->arg, o->source);
    str_copy(item->receipt, sizeof item->receipt, o->receipt);
    str_copy(item->sha256, sizeof item->sha256, o->sha256);
    str_copy(item->received_at, sizeof item->received_at, o->received_at);
    str_copy(item->syntax, sizeof item->syntax, b->meta.syntax);
    str_copy(item->sop_class, sizeof item->sop_class, b->meta.sop_class);
    str_copy(item->sop, sizeof item->sop, b->meta.sop);
}

/* Fills the piece (≤ want bytes, fewer only at the end). */
static int fill(struct rebuild *b, size_t want, struct err *e)
{
    str_clear(&b->piece);
    str_reserve(&b->piece, want);
    while (b->piece.len < want) {
        ssize_t n = objstore_read(b->reader, b->piece.data + b->piece.len, want - b->piece.len, e);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        b->piece.len += (size_t)n;
    }
    return 0;
}

static int read_head(struct rebuild *b, struct err *e)
{
    struct origin o;
    if (fill(b, HEAD_BYTES, e) || part10_parse(&b->meta, b->piece.data, b->piece.len, e))
        return -1;
    struct slice json = b->meta.private_json;
    if (!json.p || b->meta.without_meta || b->meta.dataset > b->piece.len)
        return err_set(e, ERR_REJECT, 0, "no private information of ours");
    if (rows_decode(&o, &origin_table, json.p, json.n, b->arena, NULL, e))
        return -1;
    take_origin(b, &o);
    return 0;
}

static void feed(struct rebuild *b, const char *p, size_t n)
{
    hash_update(b->item.hash, p, n);
    if (b->item.scan == SCAN_MORE)
        b->item.scan = tagmap_feed(b->item.map, p, n);
}

/* The whole dataset through hash and scanner. */
static int read_dataset(struct rebuild *b, struct err *e)
{
    char sha256[HASH_SHA256_HEX];
    b->item.scan = SCAN_MORE;
    tagmap_start(b->item.map, syntax_find(b->item.syntax));
    feed(b, b->piece.data + b->meta.dataset, b->piece.len - b->meta.dataset);
    do {
        if (fill(b, PIECE_BYTES, e))
            return -1;
        feed(b, b->piece.data, b->piece.len);
    } while (b->piece.len > 0);
    b->item.scan = tagmap_finish(b->item.map, b->item.sender.charset);
    hash_hex(b->item.hash, sha256);
    if (strcmp(sha256, b->item.sha256) != 0)
        return err_set(e, ERR_REJECT, 0, "the dataset is not what its hash says");
    return 0;
}

static int encode(struct rebuild *b, struct str *record, const char *key, struct err *e)
{
    struct item_ids ids;
    struct str expected = STR_INIT;
    if (record_ids(&ids, &b->item, e))
        return -1;
    keys_instance(&expected, ids.study, ids.series, ids.sop, b->item.receipt);
    int r = strcmp(str_cstr(&expected), key) == 0
                ? record_encode(record, &b->item, &ids, key, b->size, e)
                : err_set(e, ERR_REJECT, 0, "the object is not what its key says");
    str_free(&expected);
    return r;
}

int ingest_rebuild(struct str *record, struct objstore *store, const char *key, const char *source,
                   const struct ingest_rules *rules, struct err *e)
{
    struct rebuild b = {.rules = rules, .arena = arena_new(1 << 20)};
    int r = -1;
    b.ingest.source = (char *)(uintptr_t)source;
    b.item.ingest = &b.ingest;
    b.item.hash = hash_new();
    if (tagmap_set_new(&b.tags, rules->extras, rules->n, e) ||
        objstore_read_begin(store, key, &b.reader, &b.size, e))
        goto out;
    b.item.map = tagmap_new(b.tags);
    if (read_head(&b, e) == 0 && read_dataset(&b, e) == 0)
        r = encode(&b, record, key, e);
out:
    if (b.reader)
        objstore_read_end(b.reader);
    tagmap_free(b.item.map);
    tagmap_set_free(b.tags);
    hash_free(b.item.hash);
    str_free(&b.piece);
    arena_free(b.arena);
    return r;
}
