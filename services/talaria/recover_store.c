/* talaria recover, the store: which receipts stand in a decision, and the others' records again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/mem.h"
#include "config/config.h"
#include "event/manifest.h"
#include "ingest/ingest.h"
#include "talaria/cli.h"
#include "talaria/recover.h"

#define SNAPSHOT_MAX (16 << 20)
#define WRITE_AT     200
/* A topic's retention ends between two of its segments. */
#define MARGIN_MS (INT64_C(24) * 3600 * 1000)

/* ---- decided receipts ---- */

static bool number_of(uint64_t *out, const char *receipt)
{
    if (!receipt || strlen(receipt) != ID_RECEIPT - 1 || !id_is_hex(receipt, ID_RECEIPT - 1))
        return false;
    *out = strtoull(receipt, NULL, 16);
    return true;
}

static void take(struct recover *r, const char *receipt)
{
    uint64_t n;
    if (number_of(&n, receipt))
        *vec_push(&r->decided) = n;
}

static int take_manifest(struct recover *r, const struct str *text, struct err *e)
{
    struct arena *a = arena_new(0);
    struct manifest m;
    const struct rows_limits limits = {.bytes = MANIFEST_MAX, .elements = 10000000};
    int result = rows_decode(&m, &manifest_table, str_cstr(text), text->len, a, &limits, e);
    for (size_t i = 0; !result && i < m.members.n; i++)
        take(r, rows_at(struct manifest_member, &m.members, i)->receipt);
    for (size_t i = 0; !result && i < m.duplicate.n; i++)
        take(r, rows_at(struct manifest_shadow, &m.duplicate, i)->receipt);
    for (size_t i = 0; !result && i < m.superseded.n; i++)
        take(r, rows_at(struct manifest_shadow, &m.superseded, i)->receipt);
    arena_free(a);
    return result;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A manifest that is gone was deleted together with its members. */
int recover_receipts(struct recover *r, struct err *e)
{
    for (size_t i = 0; i < r->manifests.n; i++) {
        struct str text = STR_INIT;
        int result = objstore_get(r->store, r->manifests.items[i], &text, MANIFEST_MAX, e);
        if (result && e->kind == ERR_REJECT && e->code == ENOENT)
            result = 0;
        else if (!result)
            result = take_manifest(r, &text, e);
        str_free(&text);
        if (result)
            return err_wrap(e, "%s", r->manifests.items[i]);
    }
    if (r->decided.n)
        qsort(r->decided.items, r->decided.n, sizeof r->decided.items[0], by_number);
    return 0;
}

/* ---- configuration ---- */

struct pointer {
    char key[OBJSTORE_KEY_MAX], revision[64];
};

static int see_pointer(void *arg, const struct kafka_record *k)
{
    struct pointer *p = arg;
    struct event ev;
    struct err e = {0};
    struct arena *a = arena_new(0);
    if (event_type_of_header(kafka_record_header(k, "ce_type")) == EVENT_CONFIG_CURRENT &&
        !event_decode(&ev, k->value.p ? k->value.p : "", k->value.n, a, &e)) {
        str_copy(p->key, sizeof p->key, ev.config.key);
        str_copy(p->revision, sizeof p->revision, ev.config.revision);
    }
    arena_free(a);
    return 0;
}

static int load(struct recover *r, const struct pointer *p, struct err *e)
{
    struct str text = STR_INIT;
    struct rows_error error;
    struct arena *scratch = arena_new(0);
    int result = objstore_get(r->store, p->key, &text, SNAPSHOT_MAX, e);
    if (!result &&
        config_load(&r->snapshot, str_cstr(&text), text.len, p->revision, scratch, &error, 1) > 0)
        result = err_set(e, ERR_REJECT, 0, "%.60s: %.100s", error.pointer, error.reason);
    arena_free(scratch);
    str_free(&text);
    return result;
}

int recover_config(struct recover *r, struct err *e)
{
    struct pointer newest = {0};
    char topic[TOPIC_NAME];
    if (recover_read(r, topics_name(topic, r->site, "config"), 0, see_pointer, &newest, e))
        return -1;
    return *newest.key ? load(r, &newest, e) : 0;
}

/* ---- announcing ---- */

struct walk {
    struct recover *recover;
    struct outputs out;
    struct ingest_rules rules;
    struct err *e;
    int64_t now, oldest;
};

static int flush(struct walk *w)
{
    struct recover *r = w->recover;
    int64_t n = (int64_t)w->out.records.n;
    if (recover_write(r, &w->out, NULL, w->e))
        return -1;
    r->announced += n;
    return 0;
}

/* The record as it was, with its flag. */
static int append(struct walk *w, const struct str *record)
{
    struct arena *a = arena_new(0);
    struct event ev;
    int result = event_decode(&ev, record->data, record->len, a, w->e);
    if (!result) {
        struct row_strings *flags = &ev.stored.flags;
        const char **more = arena_alloc(a, (flags->n + 1) * sizeof *more);
        for (size_t i = 0; i < flags->n; i++)
            more[i] = flags->items[i];
        more[flags->n] = "again";
        *flags = (struct row_strings){more, flags->n + 1};
        result = outputs_event(&w->out, "instance", -1, ev.stored.study, &ev, -1, w->e);
    }
    arena_free(a);
    return result;
}

static int announce(struct walk *w, const char *key)
{
    struct recover *r = w->recover;
    struct str record = STR_INIT;
    int result = ingest_rebuild(&record, r->store, key, "/talaria/cli/recover", &w->rules, w->e);
    if (!result)
        result = append(w, &record);
    str_free(&record);
    if (result && w->e->kind == ERR_REJECT) { /* torn, or deleted meanwhile */
        r->torn += w->e->code != ENOENT;
        return 0;
    }
    if (!result && w->out.records.n >= WRITE_AT)
        result = flush(w);
    return result;
}

/* The receipt in instances/…/<sop>.<receipt>.dcm */
static bool receipt_of(uint64_t *out, const char *key)
{
    size_t n = strlen(key), tail = strlen(".0123456789abcdef.dcm");
    char receipt[ID_RECEIPT];
    if (n <= tail || strcmp(key + n - 4, ".dcm") != 0 || key[n - tail] != '.')
        return false;
    memcpy(receipt, key + n - tail + 1, ID_RECEIPT - 1);
    receipt[ID_RECEIPT - 1] = '\0';
    return number_of(out, receipt);
}

static int see(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    struct walk *w = arg;
    struct recover *r = w->recover;
    uint64_t receipt;
    (void)size;
    r->objects++;
    if (!receipt_of(&receipt, key)) {
        r->strange++;
        return 0;
    }
    if (r->decided.n && bsearch(&receipt, r->decided.items, r->decided.n,
                                sizeof r->decided.items[0], by_number)) {
        r->known++;
        return 0;
    }
    if (modified_ms < w->oldest) { /* its decision may have left the log as well */
        r->old++;
        return 0;
    }
    return announce(w, key);
}

int recover_announce(struct recover *r, struct err *e)
{
    struct walk w = {.recover = r, .e = e, .now = clock_wall_ms()};
    w.out = (struct outputs){.source = "/talaria/cli/recover", .now_ms = w.now};
    if (r->snapshot)
        w.rules = (struct ingest_rules){r->snapshot->defaults.extra_tags.items,
                                        r->snapshot->defaults.extra_tags.n, config_charset,
                                        r->snapshot};
    w.oldest = w.now - r->instance.spec->retention_ms + MARGIN_MS;
    int result = objstore_list(r->store, "instances/", see, &w, e);
    if (!result)
        result = flush(&w);
    outputs_free(&w.out);
    return result ? -1 : 0;
}
