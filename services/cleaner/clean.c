/*
 * A pass. The marks in Postgres make it restartable: "condemned" alone is undone by the next scan,
 * "final" (confirmed after the barrier) is carried out, whatever happened in between.
 */
#include "cleaner/clean.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cleaner/ends.h"
#include "cleaner/notes.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* Unlike those of the migrations (…643) and of publishing a configuration (…644). */
#define LOCK "7401902651"
enum { PAGE = 100 };

METRIC_COUNTER(deleted_objects, "talaria_cleaner_deleted_objects_total", "Objects deleted.",
               "kind");
METRIC_COUNTER(deleted_bytes, "talaria_cleaner_deleted_bytes_total", "Bytes of instances deleted.",
               "");
METRIC_COUNTER(spared, "talaria_cleaner_spared_total",
               "Objects that were chosen and after the barrier no longer settled.", "");

/* What differs between receipts and everything else. */
struct kind {
    const char *undo;    /* no parameters */
    const char *confirm; /* $1 pass, $2 at once */
    const char *rest;    /* $1 how many: kind, id, key, size of what is confirmed and still there */
    const char *done;    /* $1 kinds, $2 ids */
};

/* Statements break where SQL does. */
/* clang-format off */
/* Receipts are locked in the order of their key, as the bookkeeper does: neither waits for the
 * other. */
static const struct kind receipts = {
    .undo = "UPDATE receipts SET condemned_at=NULL,condemned_pass=NULL WHERE receipt IN (SELECT receipt"
            " FROM receipts WHERE condemned_at IS NOT NULL AND removed_at IS NULL AND NOT"
            " condemned_final ORDER BY receipt FOR UPDATE)",
    .confirm =
        "WITH mine AS MATERIALIZED (SELECT receipt,study FROM receipts WHERE condemned_at IS NOT NULL"
        " AND removed_at IS NULL AND condemned_pass=$1 AND NOT condemned_final"
        " ORDER BY receipt FOR UPDATE),"
        " ok AS MATERIALIZED (SELECT receipt FROM mine WHERE receipt IN (SELECT s.receipt FROM"
        " settled_receipts((SELECT array_agg(DISTINCT study) FROM mine),$2::bool) s)) "
        "UPDATE receipts r SET condemned_final=x.ok,condemned_at=CASE WHEN x.ok THEN"
        " r.condemned_at END,condemned_pass=CASE WHEN x.ok THEN r.condemned_pass END FROM"
        " (SELECT receipt,receipt IN (SELECT receipt FROM ok) AS ok FROM mine) x"
        " WHERE r.receipt=x.receipt AND r.condemned_pass=$1 AND NOT r.condemned_final"
        " RETURNING x.ok",
    .rest = "SELECT 'receipt',receipt,object_key,size FROM receipts WHERE condemned_at IS NOT NULL"
            " AND removed_at IS NULL AND condemned_final ORDER BY object_key LIMIT $1::bigint",
    .done = "UPDATE receipts SET removed_at=now() WHERE receipt IN (SELECT receipt FROM receipts WHERE"
            " receipt IN (SELECT id FROM unnest($1::text[],$2::text[]) u (kind,id) WHERE"
            " kind='receipt') ORDER BY receipt FOR UPDATE)",
};

static const struct kind others = {
    .undo = "DELETE FROM condemned WHERE removed_at IS NULL AND NOT final",
    .confirm = "WITH ok AS MATERIALIZED (SELECT kind,id FROM settled_objects($2::bool)),"
               " gone AS (DELETE FROM condemned c WHERE pass=$1 AND removed_at IS NULL AND NOT final"
               " AND NOT EXISTS (SELECT FROM ok WHERE ok.kind=c.kind AND ok.id=c.id)"
               " RETURNING false AS ok),"
               " kept AS (UPDATE condemned c SET final=true FROM ok WHERE ok.kind=c.kind AND"
               " ok.id=c.id AND pass=$1 AND removed_at IS NULL AND NOT final RETURNING true AS ok)"
               " SELECT ok FROM gone UNION ALL SELECT ok FROM kept",
    .rest = "SELECT kind,id,key,0 FROM condemned WHERE removed_at IS NULL AND final"
            " ORDER BY kind,key LIMIT $1::bigint",
    .done = "UPDATE condemned c SET removed_at=now() FROM unnest($1::text[],$2::text[]) u (kind,id)"
            " WHERE c.kind=u.kind AND c.id=u.id",
};

#define PAGE_SQL                                                                                   \
    "SELECT decision,study,decided_at FROM decisions WHERE cleaned_at IS NULL AND"                 \
    " (decided_at,decision) > ($1::timestamptz,$2) AND ($3::bool OR decided_at +"                  \
    " make_interval(secs => COALESCE(keep_seconds,259200)) <= now())"                              \
    " ORDER BY decided_at,decision LIMIT $4::bigint"

static const char trim_sql[] =
    "WITH page AS MATERIALIZED (" PAGE_SQL ") UPDATE decisions x SET cleaned_at=now() FROM page"
    " WHERE x.decision=page.decision AND (x.members_at IS NOT NULL OR x.manifest_key IS NULL)"
    " AND NOT EXISTS (SELECT FROM members m JOIN receipts r USING (receipt) WHERE"
    " m.decision=x.decision AND r.removed_at IS NULL AND r.state < 'deleted')";

/* $6: mark them, else only look. */
static const char choose_sql[] =
    "WITH page AS MATERIALIZED (" PAGE_SQL "),"
    " due AS MATERIALIZED (SELECT s.receipt,s.due FROM settled_receipts((SELECT"
    " array_agg(DISTINCT study) FROM page),$3::bool) s JOIN receipts r USING (receipt) WHERE"
    " r.condemned_at IS NULL ORDER BY s.due LIMIT $5::bigint),"
    " marked AS (UPDATE receipts SET condemned_at=now(),condemned_pass=$6 WHERE receipt IN (SELECT"
    " r.receipt FROM receipts r WHERE $6::text IS NOT NULL AND r.receipt IN (SELECT receipt FROM due)"
    " AND r.condemned_at IS NULL ORDER BY r.receipt FOR UPDATE) RETURNING 1),"
    " last AS (SELECT decided_at,decision FROM page ORDER BY decided_at DESC,decision DESC LIMIT 1)"
    " SELECT (SELECT count(*) FROM marked),(SELECT count(*) FROM page),"
    "(SELECT extract(epoch FROM now()-min(due)) FROM due),(SELECT decided_at FROM last),"
    "(SELECT decision FROM last)";

static const char choose_others_sql[] =
    "INSERT INTO condemned (kind,id,key,pass) SELECT kind,id,key,$1 FROM settled_objects($2::bool)"
    " LIMIT $3::bigint ON CONFLICT DO NOTHING";
/* clang-format on */

/* ---- one process ---- */

int clean_enter(struct clean *c, struct err *e)
{
    struct pg_result *r;
    if (pg_connect(c->pg, e) || pg_check_version(c->pg, e) ||
        pg_query(c->pg, &r, "SELECT pg_try_advisory_lock(" LOCK ")", 0, NULL, e))
        return -1;
    int mine = strcmp(pg_value(r, 0, 0), "t") == 0;
    pg_result_free(r);
    return mine;
}

void clean_leave(struct clean *c)
{
    struct err e;
    if (pg_query(c->pg, NULL, "SELECT pg_advisory_unlock(" LOCK ")", 0, NULL, &e))
        pg_disconnect(c->pg); /* which gives it back, too */
}

/* ---- deleting ---- */

typedef VEC(char *) keys_vec;

static void keys_free(keys_vec *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        mem_free(keys->items[i]);
    vec_free(keys);
}

static int add_key(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    (void)size;
    (void)modified_ms;
    *vec_push((keys_vec *)arg) = mem_strdup(key);
    return 0;
}

static int delete_below(struct objstore *store, const char *prefix, struct err *e)
{
    keys_vec keys = {0};
    int rc = objstore_list(store, prefix, add_key, &keys, e);
    for (size_t i = 0; i < keys.n && rc == 0; i++)
        rc = objstore_delete(store, keys.items[i], e);
    keys_free(&keys);
    return rc;
}

static int delete_one(struct objstore *store, const char *key, struct err *e)
{
    size_t n = strlen(key);
    return n > 0 && key[n - 1] == '/' ? delete_below(store, key, e)
                                      : objstore_delete(store, key, e);
}

/* Rows of one kind, [from, to), as an array of ids. */
static int note(struct clean *c, enum event_type type, const struct pg_result *r, int from, int to,
                struct err *e)
{
    const char **ids = mem_array(NULL, (size_t)(to - from) + 1, sizeof *ids);
    for (int i = from; i < to; i++)
        ids[i - from] = pg_value(r, i, 1);
    int rc = notes_objects(c->daemon, type, pg_value(r, from, 0), ids, (size_t)(to - from), e);
    mem_free(ids);
    return rc;
}

/* Records all rows, kind by kind (they come sorted by it). */
static int note_all(struct clean *c, enum event_type type, const struct pg_result *r, int n,
                    struct err *e)
{
    int rc = 0;
    for (int from = 0, to; from < n && rc == 0; from = to) {
        for (to = from + 1; to < n && strcmp(pg_value(r, to, 0), pg_value(r, from, 0)) == 0; to++)
            ;
        rc = note(c, type, r, from, to, e);
    }
    return rc;
}

static int mark_done(struct clean *c, const struct kind *k, const struct pg_result *r, int n,
                     struct err *e)
{
    struct str columns[2] = {STR_INIT, STR_INIT};
    for (int column = 0; column < 2; column++) {
        pg_array_begin(&columns[column]);
        for (int i = 0; i < n; i++)
            pg_array_add(&columns[column], pg_value(r, i, column), strlen(pg_value(r, i, column)));
        pg_array_end(&columns[column]);
    }
    int rc = pg_query_arrays(c->pg, NULL, k->done, 2, columns, e);
    str_free(&columns[0]);
    str_free(&columns[1]);
    return rc;
}

/* Deletes rows in order; how many, fewer than all with the error in *e. */
static int delete_rows(struct clean *c, const struct pg_result *r, struct err *e)
{
    int i = 0;
    for (; i < pg_rows(r); i++) {
        if (*c->stop) {
            (void)err_set(e, ERR_RETRY, 0, "stopping");
            break;
        }
        if (delete_one(daemon_store(c->daemon), pg_value(r, i, 2), e))
            break;
        metric_add(&deleted_objects, 1, pg_value(r, i, 0));
        metric_add(&deleted_bytes, (double)pg_int(r, i, 3, 0));
    }
    return i;
}

static int failpoint(int injected, struct err *e)
{
    return injected ? err_errno(e, ERR_RETRY, injected, "failpoint") : 0;
}

/* Records, deletes, records what is confirmed: one batch. */
static int remove_rows(struct clean *c, const struct kind *k, const struct pg_result *r,
                       struct err *e)
{
    struct err why = {0};
    if (note_all(c, EVENT_OBJECT_CONDEMNED, r, pg_rows(r), e) ||
        failpoint(FAILPOINT("cleaner.recorded"), e))
        return -1;
    int n = delete_rows(c, r, &why);
    if (failpoint(FAILPOINT("cleaner.deleted"), e))
        return -1;
    if (n > 0 && (note_all(c, EVENT_OBJECT_DELETED, r, n, e) || mark_done(c, k, r, n, e)))
        return -1;
    if (n > 0)
        log_info("deleted what was settled", LOG_STR("kind", pg_value(r, 0, 0)),
                 LOG_INT("objects", n));
    if (n == pg_rows(r))
        return 0;
    *e = why;
    return -1;
}

static int remove_rest(struct clean *c, const struct kind *k, struct err *e)
{
    char batch[24];
    const char *params[] = {batch};
    int n = 1, rc = 0;
    snprintf(batch, sizeof batch, "%" PRId64, c->settings->batch);
    while (n > 0 && rc == 0) {
        struct pg_result *r;
        if (pg_query(c->pg, &r, k->rest, 1, params, e))
            return -1;
        n = pg_rows(r);
        if (n > 0)
            rc = remove_rows(c, k, r, e);
        pg_result_free(r);
    }
    return rc;
}

/* ---- a pass ---- */

static int confirm(struct clean *c, const struct kind *k, const char *pass, bool at_once,
                   struct err *e)
{
    struct pg_result *r;
    if (pg_query(c->pg, &r, k->confirm, 2, (const char *const[]){pass, at_once ? "t" : "f"}, e))
        return -1;
    int no_more = 0;
    for (int i = 0; i < pg_rows(r); i++)
        no_more += strcmp(pg_value(r, i, 0), "t") != 0;
    pg_result_free(r);
    if (no_more)
        metric_add(&spared, no_more);
    return 0;
}

/* From the marks on. */
static int finish_pass(struct clean *c, const struct kind *k, const char *pass, bool at_once,
                       struct err *e)
{
    if (failpoint(FAILPOINT("cleaner.condemned"), e) ||
        ends_pass(c->daemon, c->pg, c->settings->barrier_seconds * 1000, c->stop, e) ||
        confirm(c, k, pass, at_once, e) || failpoint(FAILPOINT("cleaner.passed"), e))
        return -1;
    return remove_rest(c, k, e);
}

int clean_begin(struct clean *c, struct err *e)
{
    str_copy(c->at, sizeof c->at, "-infinity");
    c->decision[0] = '\0';
    c->oldest = 0;
    if (pg_query(c->pg, NULL, receipts.undo, 0, NULL, e) ||
        pg_query(c->pg, NULL, others.undo, 0, NULL, e) || remove_rest(c, &receipts, e))
        return -1;
    return remove_rest(c, &others, e);
}

static void note_age(struct clean *c, const char *seconds)
{
    double age = seconds ? strtod(seconds, NULL) : 0;
    if (age > c->oldest)
        c->oldest = age;
}

int clean_step(struct clean *c, enum choose_mode mode, struct err *e)
{
    char page[24], batch[24], pass[ID_UUID];
    bool at_once = mode == CHOOSE_ALL, mark = mode != CHOOSE_NOTHING;
    struct pg_result *r;
    id_uuid7(pass);
    snprintf(page, sizeof page, "%d", PAGE);
    snprintf(batch, sizeof batch, "%" PRId64, c->settings->batch);
    const char *const params[] = {c->at, c->decision, at_once ? "t" : "f",
                                  page,  batch,       mark ? pass : NULL};
    if (pg_query(c->pg, NULL, trim_sql, 4, params, e) ||
        pg_query(c->pg, &r, choose_sql, 6, params, e))
        return -1;
    int64_t marked = pg_int(r, 0, 0, 0), seen = pg_int(r, 0, 1, 0);
    note_age(c, pg_value(r, 0, 2));
    bool same_again = marked == c->settings->batch;
    if (seen > 0 && !same_again) {
        str_copy(c->at, sizeof c->at, pg_value(r, 0, 3));
        str_copy(c->decision, sizeof c->decision, pg_value(r, 0, 4));
    }
    pg_result_free(r);
    if (marked > 0 && finish_pass(c, &receipts, pass, at_once, e))
        return -1;
    return same_again || seen == PAGE;
}

int clean_objects(struct clean *c, enum choose_mode mode, struct err *e)
{
    char batch[24], pass[ID_UUID];
    bool at_once = mode == CHOOSE_ALL;
    struct pg_result *r;
    if (mode == CHOOSE_NOTHING)
        return 0;
    id_uuid7(pass);
    snprintf(batch, sizeof batch, "%" PRId64, c->settings->batch);
    if (pg_query(c->pg, &r, choose_others_sql, 3,
                 (const char *const[]){pass, at_once ? "t" : "f", batch}, e))
        return -1;
    int64_t chosen = pg_affected(r);
    pg_result_free(r);
    return chosen > 0 ? finish_pass(c, &others, pass, at_once, e) : 0;
}
