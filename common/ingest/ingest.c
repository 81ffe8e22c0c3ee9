/* Items in flight: buffering, scanning, hashing, the object on stable storage (see ingest.h). */
#include "ingest/ingest.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/mem.h"
#include "event/keys.h"
#include "ingest/ingest_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

METRIC_COUNTER(stored_bytes, "talaria_received_bytes_total", "Bytes of objects stored.", "");
METRIC_COUNTER(flagged, "talaria_instances_flagged_total",
               "Stored instances whose dataset is malformed or whose UIDs are unsafe.", "");
METRIC_HISTOGRAM(store_seconds, "talaria_ingest_store_seconds",
                 "From the last dataset byte to stable storage.", "", metric_seconds_instance);

#define POOL_ITEMS     32 /* with their bodies at most 34 MB */
#define POOL_BODY_KEEP (1 << 20)
#define DIRECT_MIN     (64 * 1024) /* larger datasets go past the page cache */
#define FAILED_HOLD_MS 2000 /* after a failed write no association is taken for this long */

/* ---- dataset bytes in memory ---- */

#define BODY_FIRST (64 * 1024)

static void body_free(struct body *b)
{
    mem_free(b->data);
    *b = (struct body){0};
}

static void body_append(struct body *b, const void *p, size_t n)
{
    size_t want = BODY_HEAD + b->len + n;
    if (want > b->cap) {
        size_t cap = b->cap ? b->cap : BODY_FIRST;
        while (cap < want)
            cap *= 2;
        char *data = mem_aligned(OBJSTORE_BLOCK, cap);
        if (b->len)
            memcpy(data + BODY_HEAD, b->data + BODY_HEAD, b->len);
        mem_free(b->data);
        b->data = data;
        b->cap = cap;
    }
    memcpy(b->data + BODY_HEAD + b->len, p, n);
    b->len += n;
}

/* ---- life cycle ---- */

static struct tag_set *tag_set_new(const char *const *extras, size_t n, struct err *e)
{
    struct tagmap_set *set;
    if (tagmap_set_new(&set, extras, n, e))
        return NULL;
    struct tag_set *t = mem_alloc(sizeof *t);
    *t = (struct tag_set){set, 1};
    return t;
}

/* Caller holds the lock. */
static void tag_set_leave(struct tag_set *t)
{
    if (--t->users > 0)
        return;
    tagmap_set_free(t->set);
    mem_free(t);
}

int ingest_new(struct ingest **out, const struct ingest_options *o, struct err *e)
{
    struct ingest *i = mem_zalloc(sizeof *i);
    i->options = *o;
    i->site = mem_strdup(o->site);
    i->source = mem_strdup(o->source);
    pthread_mutex_init(&i->lock, NULL);
    i->tags = tag_set_new(NULL, 0, e);
    if (!i->tags || announcer_new(&i->announcer, i, e)) {
        ingest_free(i);
        return -1;
    }
    *out = i;
    return 0;
}

static void item_free(struct ingest_item *item)
{
    tagmap_free(item->map);
    hash_free(item->hash);
    body_free(&item->body);
    mem_free(item);
}

void ingest_free(struct ingest *i)
{
    if (!i)
        return;
    announcer_free(i->announcer);
    while (i->pool) {
        struct ingest_item *next = i->pool->next;
        tag_set_leave(i->pool->tags);
        item_free(i->pool);
        i->pool = next;
    }
    if (i->tags)
        tag_set_leave(i->tags);
    pthread_mutex_destroy(&i->lock);
    mem_free(i->site);
    mem_free(i->source);
    mem_free(i);
}

int ingest_set_tags(struct ingest *i, const char *const *extras, size_t n, struct err *e)
{
    struct tag_set *fresh = tag_set_new(extras, n, e);
    if (!fresh)
        return -1;
    pthread_mutex_lock(&i->lock);
    tag_set_leave(i->tags);
    i->tags = fresh;
    pthread_mutex_unlock(&i->lock);
    return 0;
}

/* ---- can we store? ---- */

static void note_failure(struct ingest *i)
{
    __atomic_store_n(&i->failed_until_ms, clock_mono_ms() + FAILED_HOLD_MS, __ATOMIC_RELAXED);
}

bool ingest_can_store(struct ingest *i, char why[128])
{
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&i->lock);
    if (now - i->space_checked_ms >= 1000 || !i->space_checked_ms) {
        uint64_t free_bytes = 0, total = 0;
        i->space_checked_ms = now;
        i->space_low = objstore_space(i->options.store, &free_bytes, &total, NULL) != 0 ||
                       (total && free_bytes < i->options.reserve_bytes);
    }
    bool low = i->space_low;
    pthread_mutex_unlock(&i->lock);
    bool failing = now < __atomic_load_n(&i->failed_until_ms, __ATOMIC_RELAXED);
    if (low)
        snprintf(why, 128, "the object store is below its reserve of free space");
    else if (failing)
        snprintf(why, 128, "the object store failed a moment ago");
    return !low && !failing;
}

/* ---- items ---- */

static struct ingest_item *item_new(struct ingest *i)
{
    struct ingest_item *item = mem_zalloc(sizeof *item);
    item->ingest = i;
    item->hash = hash_new();
    return item;
}

/* A pooled item, or a new one, whose tag map belongs to the newest tag set. */
static struct ingest_item *item_take(struct ingest *i)
{
    pthread_mutex_lock(&i->lock);
    struct ingest_item *item = i->pool;
    if (item) {
        i->pool = item->next;
        i->n_pool--;
    }
    struct tag_set *tags = i->tags;
    bool fresh_map = !item || item->tags != tags;
    if (fresh_map)
        tags->users++;
    struct tag_set *old = fresh_map && item ? item->tags : NULL;
    pthread_mutex_unlock(&i->lock);
    if (!item)
        item = item_new(i);
    if (fresh_map) {
        tagmap_free(item->map);
        item->map = tagmap_new(tags->set);
        item->tags = tags;
    }
    if (old) {
        pthread_mutex_lock(&i->lock);
        tag_set_leave(old);
        pthread_mutex_unlock(&i->lock);
    }
    return item;
}

/* Gives the item's share of the memory budget back. */
static void unreserve(struct ingest_item *item)
{
    __atomic_sub_fetch(&item->ingest->buffered, item->reserved, __ATOMIC_RELAXED);
    item->reserved = 0;
}

static void item_put_back(struct ingest_item *item)
{
    struct ingest *i = item->ingest;
    unreserve(item);
    item->writer = NULL;
    if (item->body.cap > POOL_BODY_KEEP)
        body_free(&item->body);
    pthread_mutex_lock(&i->lock);
    bool keep = i->n_pool < POOL_ITEMS;
    if (keep) {
        item->next = i->pool;
        i->pool = item;
        i->n_pool++;
    } else {
        tag_set_leave(item->tags);
    }
    pthread_mutex_unlock(&i->lock);
    if (!keep)
        item_free(item);
}

struct ingest_item *ingest_begin(struct ingest *i, const struct ingest_sender *sender,
                                 const char *syntax, const char *sop_class, const char *sop)
{
    struct ingest_item *item = item_take(i);
    item->sender = *sender;
    str_copy(item->syntax, sizeof item->syntax, syntax);
    str_copy(item->sop_class, sizeof item->sop_class, sop_class);
    str_copy(item->sop, sizeof item->sop, sop);
    item->dataset_bytes = 0;
    item->head_room = 0;
    item->scan = SCAN_MORE;
    err_clear(&item->failed);
    item->body.len = 0;
    hash_reset(item->hash);
    tagmap_start(item->map, syntax_find(item->syntax));
    id_receipt(item->receipt);
    clock_rfc3339(item->received_at, clock_wall_ms());
    memset(item->sha256, '0', HASH_SHA256_HEX - 1);
    item->sha256[HASH_SHA256_HEX - 1] = '\0';
    return item;
}

/* Takes n bytes of the shared budget, or fails. */
static int reserve(struct ingest_item *item, size_t n)
{
    struct ingest *i = item->ingest;
    size_t now = __atomic_add_fetch(&i->buffered, n, __ATOMIC_RELAXED);
    item->reserved += n;
    if (now <= i->options.memory_budget)
        return 0;
    return err_set(&item->failed, ERR_RETRY, 0, "memory budget of %zu bytes is used up",
                   i->options.memory_budget);
}

/* The object is larger than memory should hold: from here on it goes to the store as it arrives. The
 * meta is written now with room to spare and again at the end, when hash and UIDs are known. */
static int start_streaming(struct ingest_item *item)
{
    struct item_ids ids = {0};
    struct str head = STR_INIT;
    str_copy(ids.sop_class, sizeof ids.sop_class, item->sop_class);
    str_copy(ids.sop, sizeof ids.sop, item->sop);
    record_head(&head, item, &ids, 0);
    item->head_room = head.len + 256;
    int r = record_head(&head, item, &ids, item->head_room);
    if (r == 0)
        r = objstore_begin(item->ingest->options.store, NULL, &item->writer, &item->failed);
    if (r == 0)
        r = objstore_write(item->writer, head.data, head.len, &item->failed);
    if (r == 0)
        r = objstore_write(item->writer, item->body.data + BODY_HEAD, item->body.len,
                           &item->failed);
    str_free(&head);
    body_free(&item->body); /* it may take minutes until the rest is here */
    unreserve(item);
    return r;
}

int ingest_write(struct ingest_item *item, const void *p, size_t n)
{
    if (item->failed.kind)
        return -1;
    item->dataset_bytes += (int64_t)n;
    hash_update(item->hash, p, n);
    if (item->scan == SCAN_MORE)
        item->scan = tagmap_feed(item->map, p, n);
    if (!item->writer) {
        if (reserve(item, n))
            return -1;
        body_append(&item->body, p, n);
        if (item->body.len > item->ingest->options.stream_above && start_streaming(item))
            note_failure(item->ingest);
    } else if (objstore_write(item->writer, p, n, &item->failed)) {
        note_failure(item->ingest);
    }
    return item->failed.kind ? -1 : 0;
}

/* The head goes into its room before the dataset and the whole is one aligned buffer; a small object,
 * or one whose head does not fit, is written in two pieces through the page cache. */
static int put_whole(struct ingest_item *item, const struct item_ids *ids, const char *key,
                     int64_t *size, struct err *e)
{
    struct body *b = &item->body;
    struct objstore *store = item->ingest->options.store;
    struct str head = STR_INIT;
    int r;
    if (b->len >= DIRECT_MIN && record_head(&head, item, ids, BODY_HEAD) == 0) {
        memcpy(b->data, head.data, head.len);
        r = objstore_put_block(store, key, b->data, BODY_HEAD + b->len, b->cap, e);
    } else {
        record_head(&head, item, ids, 0);
        struct iovec pieces[2] = {{head.data, head.len},
                                  {b->data ? b->data + BODY_HEAD : NULL, b->len}};
        r = objstore_put(store, key, pieces, 2, e);
    }
    *size = (int64_t)(head.len + b->len);
    str_free(&head);
    return r;
}

static int put_streamed(struct ingest_item *item, const struct item_ids *ids, const char *key,
                        int64_t *size, struct err *e)
{
    struct str head = STR_INIT;
    struct objstore_writer *w = item->writer;
    item->writer = NULL;
    int r = record_head(&head, item, ids, item->head_room);
    if (r) {
        err_set(e, ERR_REJECT, 0, "UIDs of the dataset are longer than those of the command");
        objstore_abort(w);
    } else if ((r = objstore_rewrite(w, head.data, head.len, e))) {
        objstore_abort(w);
    } else {
        r = objstore_commit_as(w, key, e);
    }
    *size = (int64_t)item->head_room + item->dataset_bytes;
    str_free(&head);
    return r;
}

/* Puts the object; *key is what it is called. */
static int store(struct ingest_item *item, const struct item_ids *ids, struct str *key,
                 int64_t *size, struct err *e)
{
    int64_t started = clock_mono_ns();
    keys_instance(key, ids->study, ids->series, ids->sop, item->receipt);
    int r = item->writer ? put_streamed(item, ids, key->data, size, e)
                         : put_whole(item, ids, key->data, size, e);
    if (r == 0)
        metric_observe(&store_seconds, (double)(clock_mono_ns() - started) / 1e9);
    else
        note_failure(item->ingest);
    return r;
}

static enum ingest_outcome store_and_announce(struct ingest_item *item, struct ingest_result *r,
                                              struct err *e)
{
    struct item_ids ids;
    struct str key = STR_INIT, record = STR_INIT;
    enum ingest_outcome outcome = INGEST_NO_RESOURCES;
    struct ingest *i = item->ingest;
    if (record_ids(&ids, item, e))
        return INGEST_NOT_DICOM;
    str_copy(r->study, sizeof r->study, ids.study);
    str_copy(r->series, sizeof r->series, ids.series);
    if (store(item, &ids, &key, &r->size, e))
        goto out;
    (void)FAILPOINT("receiver.stored");
    bool maybe = false;
    int announced = record_encode(&record, item, &ids, key.data, r->size, e);
    if (announced == 0)
        announced = announce(i->announcer, item->receipt, ids.study, ids.series, &record,
                             &r->announced, &maybe, e);
    if (announced == 0) {
        outcome = INGEST_STORED;
        metric_add(&stored_bytes, (double)r->size);
        if (item->scan == SCAN_BAD || ids.uid_hashed)
            metric_add(&flagged, 1);
    } else if (!maybe && objstore_delete(i->options.store, key.data, NULL)) {
        /* a definite failure that could not be cleaned up: an orphan that the reconciler shows */
        LOG_LIMITED(LOG_LEVEL_WARN, "object of a failed instance could not be removed",
                    LOG_STR("receipt", item->receipt));
    }
out:
    str_free(&key);
    str_free(&record);
    return outcome;
}

void ingest_finish(struct ingest_item *item, struct ingest_result *r, struct err *e)
{
    memset(r, 0, sizeof *r);
    str_copy(r->receipt, sizeof r->receipt, item->receipt);
    item->scan = tagmap_finish(item->map, item->sender.charset);
    hash_hex(item->hash, item->sha256);
    if (item->failed.kind) {
        *e = item->failed;
        r->outcome = INGEST_NO_RESOURCES;
    } else {
        r->outcome = store_and_announce(item, r, e);
    }
    objstore_abort(item->writer);
    item_put_back(item);
}

void ingest_abandon(struct ingest_item *item)
{
    objstore_abort(item->writer);
    item_put_back(item);
}
