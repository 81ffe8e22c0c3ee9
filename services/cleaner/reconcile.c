/*
 * One walk: list, ask the ledger; of what it does not know, a batch at a time: barrier, ask again,
 * verify, announce.
 */
#include "cleaner/reconcile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cleaner/choose.h"
#include "cleaner/ends.h"
#include "event/keys.h"
#include "event/topics.h"
#include "ingest/ingest.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { ASK_AT_ONCE = 1000 };

METRIC_GAUGE(shown, "talaria_cleaner_orphans",
             "Objects that nobody knows and that are not announced: torn, expired or strange.",
             "kind");
METRIC_COUNTER(announced, "talaria_cleaner_orphans_announced_total",
               "Objects that nobody knew and that were announced.", "");
METRIC_GAUGE(walked, "talaria_cleaner_walked_objects", "Instances seen by the last walk.", "");

struct found {
    char *key;
    char receipt[CHOOSE_RECEIPT];
    int64_t modified;
};
typedef VEC(struct found) found_vec;

struct walk {
    struct reconcile *r;
    found_vec batch;   /* seen, not yet asked for */
    found_vec orphans; /* the ledger does not know them */
    int64_t seen, strange, expired, torn;
    int64_t now, young, retention;
    bool failed;
    struct err *e;
};

static void found_clear(found_vec *v)
{
    for (size_t i = 0; i < v->n; i++)
        mem_free(v->items[i].key);
    vec_clear(v);
}

/* ---- asking ---- */

/* Which of these does the ledger not know? Moves them to the front of *v and frees the others. */
static int keep_unknown(struct reconcile *r, found_vec *v, struct err *e)
{
    struct str columns[2] = {STR_INIT, STR_INIT};
    struct pg_result *known;
    pg_array_begin(&columns[0]);
    pg_array_begin(&columns[1]);
    for (size_t i = 0; i < v->n; i++) {
        pg_array_add(&columns[0], v->items[i].receipt, strlen(v->items[i].receipt));
        pg_array_add(&columns[1], v->items[i].key, strlen(v->items[i].key));
    }
    pg_array_end(&columns[0]);
    pg_array_end(&columns[1]);
    int rc = pg_query_arrays(r->pg, &known,
                             "SELECT EXISTS (SELECT FROM receipts r WHERE r.receipt=u.receipt AND"
                             " (r.object_key IS NULL OR r.object_key=u.key)) FROM"
                             " unnest($1::text[],$2::text[]) WITH ORDINALITY u (receipt,key,n)"
                             " ORDER BY n",
                             2, columns, e);
    size_t kept = 0;
    for (size_t i = 0; rc == 0 && i < v->n; i++) {
        if (strcmp(pg_value(known, (int)i, 0), "t") == 0)
            mem_free(v->items[i].key);
        else
            v->items[kept++] = v->items[i];
    }
    if (rc == 0) {
        v->n = kept;
        pg_result_free(known);
    }
    str_free(&columns[0]);
    str_free(&columns[1]);
    return rc;
}

/* ---- announcing ---- */

/* The record stands in the outbox: whoever drains that announces it. */
static int in_outbox(struct reconcile *r, const char *receipt, struct err *e)
{
    struct str key = STR_INIT;
    int64_t size;
    keys_outbox(&key, receipt);
    int rc = objstore_head(daemon_store(r->daemon), key.data, &size, e);
    str_free(&key);
    if (rc == 0)
        return 1;
    return e->kind == ERR_REJECT && e->code == ENOENT ? 0 : -1;
}

/* Writes the record with its two flags. */
static int write_again(struct reconcile *r, const struct str *record, struct err *e)
{
    struct arena *a = arena_new(0);
    struct outputs o = daemon_outputs(r->daemon);
    struct event ev;
    int rc = event_decode(&ev, record->data, record->len, a, e);
    if (rc == 0) {
        struct row_strings *flags = &ev.stored.flags;
        const char **more = arena_alloc(a, (flags->n + 2) * sizeof *more);
        for (size_t i = 0; i < flags->n; i++)
            more[i] = flags->items[i];
        more[flags->n] = "again";
        more[flags->n + 1] = "reconciled";
        *flags = (struct row_strings){more, flags->n + 2};
        rc = outputs_event(&o, "instance", -1, ev.stored.study, &ev, -1, e);
    }
    if (rc == 0)
        rc = daemon_write(r->daemon, &o, e);
    outputs_free(&o);
    arena_free(a);
    return rc;
}

static int rebuild(struct reconcile *r, struct str *record, const char *key, struct err *e)
{
    const struct config_snapshot *c = daemon_config(r->daemon);
    const struct ingest_rules rules = {c->defaults.extra_tags.items, c->defaults.extra_tags.n,
                                       config_charset, c};
    int rc = ingest_rebuild(record, daemon_store(r->daemon), key, daemon_source(r->daemon), &rules, e);
    daemon_config_release(r->daemon, c);
    return rc;
}

/* 1: announced or somebody else's; 0: torn; -1: not now. */
static int announce_one(struct reconcile *r, const struct found *f, struct err *e)
{
    struct str record = STR_INIT;
    int rc = in_outbox(r, f->receipt, e);
    if (rc == 0) {
        rc = rebuild(r, &record, f->key, e);
        if (rc == 0 && (rc = write_again(r, &record, e)) == 0) {
            metric_add(&announced, 1);
            log_info("announced an object that nobody knew", LOG_STR("receipt", f->receipt));
            rc = 1;
        } else if (e->kind == ERR_REJECT) {
            rc = e->code == ENOENT; /* removed meanwhile: its receiver took it back */
            if (!rc)
                LOG_LIMITED(LOG_LEVEL_WARN, "an object that nobody knows is not whole",
                            LOG_STR("receipt", f->receipt), LOG_ERR(e));
        }
    }
    str_free(&record);
    return rc;
}

static int announce_orphans(struct walk *w, struct err *e)
{
    for (size_t i = 0; i < w->orphans.n; i++) {
        const struct found *f = &w->orphans.items[i];
        if (*w->r->stop)
            return err_set(e, ERR_RETRY, 0, "stopping");
        if (choose_orphan(w->now, f->modified, w->young, w->retention) == ORPHAN_EXPIRED) {
            w->expired++;
            continue;
        }
        int rc = announce_one(w->r, f, e);
        if (rc < 0)
            return -1;
        w->torn += rc == 0;
    }
    return 0;
}

/* What was listed was written before these ends; if its record was, too, the ledger knows it
 * then. */
static int settle_orphans(struct walk *w, struct err *e)
{
    struct reconcile *r = w->r;
    if (w->orphans.n == 0)
        return 0;
    if (ends_pass(r->daemon, r->pg, r->settings->barrier_seconds * 1000, r->stop, e) ||
        keep_unknown(r, &w->orphans, e) || announce_orphans(w, e))
        return -1;
    found_clear(&w->orphans);
    return 0;
}

/* ---- the walk ---- */

static int ask_batch(struct walk *w)
{
    if (keep_unknown(w->r, &w->batch, w->e))
        return -1;
    for (size_t i = 0; i < w->batch.n; i++)
        *vec_push(&w->orphans) = w->batch.items[i];
    vec_clear(&w->batch);
    return (int64_t)w->orphans.n >= w->r->settings->batch ? settle_orphans(w, w->e) : 0;
}

static int see(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    struct walk *w = arg;
    struct found f = {.modified = modified_ms};
    (void)size;
    w->seen++;
    if (*w->r->stop) {
        w->failed = true;
        (void)err_set(w->e, ERR_RETRY, 0, "stopping");
        return 1;
    }
    if (choose_orphan(w->now, modified_ms, w->young, 0) == ORPHAN_YOUNG)
        return 0;
    if (!choose_receipt(f.receipt, key)) {
        w->strange++;
        return 0;
    }
    f.key = mem_strdup(key);
    *vec_push(&w->batch) = f;
    bool full = w->batch.n >= ASK_AT_ONCE || (int64_t)w->batch.n >= w->r->settings->batch;
    if (full && ask_batch(w))
        w->failed = true;
    return w->failed;
}

static int walk_store(struct walk *w, struct err *e)
{
    int rc = objstore_list(daemon_store(w->r->daemon), "instances/", see, w, e);
    if (w->failed || rc < 0 || ask_batch(w))
        return -1;
    return settle_orphans(w, e);
}

static int show(struct walk *w, struct err *e)
{
    char text[160];
    metric_set(&walked, (double)w->seen);
    metric_set(&shown, (double)w->torn, "torn");
    metric_set(&shown, (double)w->expired, "expired");
    metric_set(&shown, (double)w->strange, "strange");
    snprintf(text, sizeof text,
             "objects that nobody knows: %" PRId64 " torn, %" PRId64
             " older than the topic, %" PRId64 " with strange names",
             w->torn, w->expired, w->strange);
    return alarm_set(&w->r->alarm, w->r->daemon, w->r->pg, w->torn + w->expired + w->strange > 0,
                     text, e);
}

int reconcile_run(struct reconcile *r, struct err *e)
{
    struct walk w = {.r = r,
                     .now = clock_wall_ms(),
                     .young = r->settings->orphan_seconds * 1000,
                     .retention = topics_find("instance")->retention_ms,
                     .e = e};
    int rc = pg_connect(r->pg, e);
    if (rc == 0)
        rc = pg_check_version(r->pg, e);
    if (rc == 0)
        rc = walk_store(&w, e);
    if (rc == 0)
        rc = show(&w, e);
    found_clear(&w.batch);
    found_clear(&w.orphans);
    vec_free(&w.batch);
    vec_free(&w.orphans);
    return rc;
}
