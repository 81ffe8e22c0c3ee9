/* Batches into Postgres: rows of each kind, members of the decisions, positions by compare-and-set.
 */
#include "bookkeeper/book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/hash.h"
#include "base/mem.h"

/* Members of a batch are written in pieces, so that a replay of large series stays small. */
enum { MEMBERS_AT_ONCE = 5000, PARTS_MAX = 10000 };
#define GIVE_UP "2 minutes"

struct book {
    struct pg *pg;
    struct objstore *store;
    VEC(struct plan_position) positions; /* topic is owned */
    struct plan plan;
    struct str columns[PLAN_COLUMNS];
};

struct book *book_new(const char *conninfo, struct objstore *store)
{
    struct book *b = mem_zalloc(sizeof *b);
    b->pg = pg_new(conninfo);
    b->store = store;
    plan_init(&b->plan);
    return b;
}

static void forget_positions(struct book *b)
{
    for (size_t i = 0; i < b->positions.n; i++)
        mem_free((char *)(uintptr_t)b->positions.items[i].topic);
    vec_clear(&b->positions);
}

void book_free(struct book *b)
{
    if (!b)
        return;
    forget_positions(b);
    vec_free(&b->positions);
    plan_free(&b->plan);
    for (size_t i = 0; i < PLAN_COLUMNS; i++)
        str_free(&b->columns[i]);
    pg_free(b->pg);
    mem_free(b);
}

struct pg *book_pg(struct book *b)
{
    return b->pg;
}

/* ---- positions ---- */

static int read_position(struct book *b, struct stage_place *place, struct err *e)
{
    char partition[16];
    snprintf(partition, sizeof partition, "%d", place->partition);
    struct pg_result *r;
    if (pg_query(b->pg, &r,
                 "INSERT INTO positions AS o (topic,partition,next_offset) VALUES ($1,$2::int,-1)"
                 " ON CONFLICT (topic,partition) DO UPDATE SET topic=o.topic"
                 " RETURNING next_offset,newest_claim,last_mark IS NOT NULL,last_mark,last_time",
                 2, (const char *const[]){place->topic, partition}, e) != 0)
        return -1;
    const struct plan_position p = {.topic = mem_strdup(place->topic),
                                    .partition = place->partition,
                                    .next = pg_int(r, 0, 0, -1),
                                    .claims = {pg_int(r, 0, 1, -1)},
                                    .marked = strcmp(pg_value(r, 0, 2), "t") == 0,
                                    .mark = (uint64_t)pg_int(r, 0, 3, 0),
                                    .time = pg_int(r, 0, 4, 0)};
    *vec_push(&b->positions) = p;
    place->start = p.next >= 0 ? p.next : KAFKA_START;
    place->marked = p.marked;
    place->mark = p.mark;
    place->time = p.time;
    pg_result_free(r);
    return 0;
}

int book_positions(struct book *b, struct stage_place *places, size_t n, struct err *e)
{
    forget_positions(b);
    if (pg_connect(b->pg, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (read_position(b, &places[i], e) != 0)
            return -1;
    return 0;
}

static struct plan_position *position_of(struct book *b, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < b->positions.n; i++)
        if (b->positions.items[i].partition == partition &&
            strcmp(b->positions.items[i].topic, topic) == 0)
            return &b->positions.items[i];
    return NULL;
}

int book_back(struct book *b, const struct stage_place *place, int64_t offset, struct err *e)
{
    struct plan_position *p = position_of(b, place->topic, place->partition);
    char partition[16], next[24], start[24];
    struct pg_result *r;
    if (!p || p->claims.newest >= 0)
        return 1;
    snprintf(partition, sizeof partition, "%d", place->partition);
    snprintf(next, sizeof next, "%" PRId64, offset);
    snprintf(start, sizeof start, "%" PRId64, p->next);
    if (pg_connect(b->pg, e) != 0 ||
        pg_query(b->pg, &r,
                 "UPDATE positions SET next_offset=$3::bigint,last_mark=NULL,at=now() WHERE topic=$1"
                 " AND partition=$2::int AND next_offset=$4::bigint AND newest_claim<0",
                 4, (const char *const[]){place->topic, partition, next, start}, e) != 0)
        return -1;
    int64_t moved = pg_affected(r);
    pg_result_free(r);
    if (moved != 1)
        return err_set(e, ERR_RETRY, 0, "%s [%d]: another bookkeeper has moved the position",
                       place->topic, place->partition);
    p->next = offset;
    p->marked = false;
    return 0;
}

static void add_number(struct str *column, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, v);
    pg_array_add(column, text, (size_t)n);
}

/* Moves what has changed from old to new; anything else than every row is another bookkeeper. */
static int write_positions(struct book *b, const struct plan_position *after, struct err *e)
{
    struct str *c = b->columns;
    int64_t changed = 0;
    for (size_t i = 0; i < 7; i++)
        pg_array_begin(&c[i]);
    for (size_t i = 0; i < b->positions.n; i++) {
        const struct plan_position *old = &b->positions.items[i];
        if (after[i].next == old->next)
            continue;
        changed++;
        pg_array_add(&c[0], old->topic, strlen(old->topic));
        add_number(&c[1], old->partition);
        add_number(&c[2], old->next);
        add_number(&c[3], after[i].next);
        add_number(&c[4], after[i].claims.newest);
        add_number(&c[5], (int64_t)after[i].mark);
        add_number(&c[6], after[i].time);
    }
    for (size_t i = 0; i < 7; i++)
        pg_array_end(&c[i]);
    struct pg_result *r;
    if (pg_query_arrays(b->pg, NULL,
                        "SELECT FROM positions o JOIN unnest($1::text[],$2::text[]) AS n (t,p)"
                        " ON o.topic=n.t AND o.partition=n.p::int ORDER BY o.topic,o.partition"
                        " FOR UPDATE OF o",
                        2, c, e) != 0 ||
        pg_query_arrays(
            b->pg, &r,
            "UPDATE positions o SET next_offset=n.new::bigint,newest_claim=n.claim::bigint,"
            "last_mark=n.mark::bigint,last_time=n.time::bigint,at=now() FROM"
            " unnest($1::text[],$2::text[],$3::text[],$4::text[],$5::text[],$6::text[],$7::text[])"
            " AS n (topic,partition,old,new,claim,mark,time) WHERE o.topic=n.topic AND"
            " o.partition=n.partition::int AND o.next_offset=n.old::bigint",
            7, c, e) != 0)
        return -1;
    int64_t moved = pg_affected(r);
    pg_result_free(r);
    if (moved != changed)
        return err_set(e, ERR_FATAL, 0,
                       "%" PRId64 " of %" PRId64 " positions are not where this"
                       " bookkeeper left them",
                       changed - moved, changed);
    return 0;
}

/* ---- rows ---- */

static void fill_columns(struct str *columns, const plan_rows *rows, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        pg_array_begin(&columns[c]);
        for (size_t i = 0; i < rows->n; i++) {
            const char *cell = rows->items[i].cells[c];
            if (cell)
                pg_array_add(&columns[c], cell, strlen(cell));
            else
                pg_array_add_null(&columns[c]);
        }
        pg_array_end(&columns[c]);
    }
}

/* Of a table that several kinds of this batch touch, every row is locked in order beforehand. */
static int lock_table(struct book *b, const struct plan_table *t, struct err *e)
{
    struct str *keys = &b->columns[0];
    size_t kinds = 0;
    pg_array_begin(keys);
    for (enum plan_kind k = t->first; k <= t->last; k++) {
        const plan_rows *rows = &b->plan.rows[k];
        if (rows->n == 0)
            continue;
        kinds++;
        for (size_t i = 0; i < rows->n; i++)
            pg_array_add(keys, rows->items[i].cells[0], strlen(rows->items[i].cells[0]));
    }
    pg_array_end(keys);
    return kinds < 2 ? 0 : pg_query_arrays(b->pg, NULL, t->sql, 1, keys, e);
}

static int write_kind(struct book *b, enum plan_kind k, struct err *e)
{
    const struct plan_kind_info *info = &plan_kinds[k];
    plan_rows *rows = &b->plan.rows[k], *more = &b->plan.rows[info->with];
    size_t n_more = info->with ? plan_kinds[info->with].n : 0;
    for (size_t t = 0; t < PLAN_TABLES; t++)
        if (plan_tables[t].first == k && lock_table(b, &plan_tables[t], e) != 0)
            return -1;
    if (!info->sql || (rows->n == 0 && (n_more == 0 || more->n == 0)))
        return 0;
    fill_columns(b->columns, rows, info->n);
    fill_columns(b->columns + info->n, more, n_more);
    if (pg_query_arrays(b->pg, NULL, info->sql, (int)(info->n + n_more), b->columns, e) != 0)
        return err_wrap(e, "%s", info->name);
    vec_clear(rows);
    if (n_more)
        vec_clear(more);
    return 0;
}

/* ---- manifests ---- */

static int read_manifest(struct book *b, struct manifest *out, const char *key, const char *sha256,
                         struct arena *a, struct err *e)
{
    static const struct rows_limits limits = {MANIFEST_MAX, 8, 2000000};
    struct str bytes = STR_INIT;
    char got[HASH_SHA256_HEX];
    int rc = objstore_get(b->store, key, &bytes, MANIFEST_MAX, e);
    if (rc == 0 && sha256) {
        hash_sha256_hex(got, bytes.data, bytes.len);
        if (strcmp(got, sha256) != 0)
            rc = err_set(e, ERR_REJECT, 0, "manifest differs from its hash");
    }
    if (rc == 0)
        rc = rows_decode(out, &manifest_table, str_cstr(&bytes), bytes.len, a, &limits, e);
    str_free(&bytes);
    return rc;
}

/* Rows of one manifest, of its parts if it has some. Errors of the store and of Postgres are told
 * apart by *of_store. */
static int plan_manifest(struct book *b, const struct plan_manifest *m, bool *of_store,
                         struct err *e)
{
    struct arena *a = arena_new(0);
    struct manifest top, part;
    struct plan_count at = {0};
    *of_store = true;
    int rc = read_manifest(b, &top, m->key, m->sha256, a, e);
    if (rc == 0 && top.parts.n > PARTS_MAX)
        rc = err_set(e, ERR_REJECT, 0, "manifest with %zu parts", top.parts.n);
    if (rc == 0)
        plan_members(&b->plan, m->decision, &top, &at);
    for (size_t i = 0; rc == 0 && i < top.parts.n; i++) {
        rc = read_manifest(b, &part, top.parts.items[i], NULL, a, e);
        if (rc == 0)
            plan_members(&b->plan, m->decision, &part, &at);
    }
    arena_free(a);
    if (rc == 0 && b->plan.rows[PLAN_MEMBER].n >= MEMBERS_AT_ONCE) {
        *of_store = false;
        rc = write_kind(b, PLAN_MEMBER, e);
    }
    return rc;
}

/* By their decisions: members are written in the order of their key, whatever the pieces are. */
static int by_decision(const void *a, const void *b)
{
    const struct plan_manifest *x = a, *y = b;
    return strcmp(x->decision, y->decision);
}

/* A manifest that cannot be read now leaves its decision pending; the batch goes on. */
static int plan_manifests(struct book *b, struct err *e)
{
    if (b->plan.manifests.n)
        qsort(b->plan.manifests.items, b->plan.manifests.n, sizeof *b->plan.manifests.items,
              by_decision);
    for (size_t i = 0; i < b->plan.manifests.n; i++) {
        const struct plan_manifest *m = &b->plan.manifests.items[i];
        bool of_store;
        size_t before = b->plan.rows[PLAN_MEMBER].n, states = b->plan.rows[PLAN_RECEIPT_STATE].n;
        if (plan_manifest(b, m, &of_store, e) == 0) {
            plan_members_read(&b->plan, m->row,
                              arena_printf(b->plan.arena, "%" PRId64, clock_wall_ms()));
            continue;
        }
        if (!of_store)
            return -1;
        b->plan.rows[PLAN_MEMBER].n = before;
        b->plan.rows[PLAN_RECEIPT_STATE].n = states;
    }
    return 0;
}

/* ---- batch ---- */

/* Positions come first: of two bookkeepers with the same records one waits, then finds them
 * done. */
static int write_all(struct book *b, const struct plan_position *after, struct err *e)
{
    if (pg_exec(b->pg, "BEGIN", e) != 0 || write_positions(b, after, e) != 0 ||
        plan_manifests(b, e) != 0)
        return -1;
    for (enum plan_kind k = 0; k < PLAN_KINDS; k++)
        if (write_kind(b, k, e) != 0)
            return -1;
    if (FAILPOINT("bookkeeper.before-commit"))
        return err_set(e, ERR_RETRY, 0, "failpoint");
    return pg_exec(b->pg, "COMMIT", e); /* then the skeleton's bookkeeper.committed */
}

static int plan_batch(struct book *b, struct plan_position *after,
                      const struct kafka_record *records, size_t n, struct err *e)
{
    for (size_t i = 0; i < b->positions.n; i++)
        after[i] = b->positions.items[i];
    for (size_t i = 0; i < n; i++) {
        const struct plan_position *p = position_of(b, records[i].topic, records[i].partition);
        if (!p)
            return err_set(e, ERR_FATAL, 0, "record of a partition without a position");
        size_t at = (size_t)(p - b->positions.items);
        if (records[i].offset < after[at].next)
            continue; /* seen already: the fetch began before the position */
        if (plan_record(&b->plan, &after[at], &records[i], e) != 0)
            return -1;
    }
    return 0;
}

int book_batch(struct book *b, const struct kafka_record *records, size_t n, struct err *e)
{
    struct plan_position *after = mem_array(NULL, b->positions.n + 1, sizeof *after);
    plan_clear(&b->plan);
    int rc = plan_batch(b, after, records, n, e);
    if (rc == 0)
        rc = pg_connect(b->pg, e);
    if (rc == 0 && (rc = write_all(b, after, e)) != 0)
        pg_rollback(b->pg);
    for (size_t i = 0; rc == 0 && i < b->positions.n; i++)
        b->positions.items[i] = after[i];
    mem_free(after);
    return rc;
}

/* ---- pending ---- */

static int settle_pending(struct book *b, const struct plan_manifest *m, const char *old,
                          struct err *e)
{
    bool of_store;
    struct err why = {0};
    if (pg_exec(b->pg, "BEGIN", e) != 0)
        return -1;
    int rc = plan_manifest(b, m, &of_store, &why);
    if (rc != 0 && !of_store) {
        *e = why;
        return -1;
    }
    if (rc != 0) {
        vec_clear(&b->plan.rows[PLAN_MEMBER]);
        vec_clear(&b->plan.rows[PLAN_RECEIPT_STATE]);
    }
    if (write_kind(b, PLAN_MEMBER, e) != 0 || write_kind(b, PLAN_RECEIPT, e) != 0)
        return -1;
    if (rc == 0)
        rc = pg_query(b->pg, NULL, "UPDATE decisions SET members_at=now() WHERE decision=$1", 1,
                      (const char *const[]){m->decision}, e);
    else if (strcmp(old, "t") == 0)
        rc = pg_query(b->pg, NULL, "UPDATE decisions SET members_error=$2 WHERE decision=$1", 2,
                      (const char *const[]){m->decision, why.text}, e);
    else
        rc = 0;
    return rc == 0 ? pg_exec(b->pg, "COMMIT", e) : -1;
}

int book_pending(struct book *b, struct err *e)
{
    struct pg_result *r;
    if (pg_connect(b->pg, e) != 0 ||
        pg_query(b->pg, &r,
                 "SELECT decision,manifest_key,manifest_sha256,decided_at < now() -"
                 " interval '" GIVE_UP "' FROM decisions WHERE members_at IS NULL AND members_error"
                 " IS NULL AND manifest_key IS NOT NULL ORDER BY decided_at LIMIT 100",
                 0, NULL, e) != 0)
        return -1;
    int rc = 0;
    for (int i = 0; rc == 0 && i < pg_rows(r); i++) {
        struct plan_manifest m = {pg_value(r, i, 0), pg_value(r, i, 1), pg_value(r, i, 2), 0};
        plan_clear(&b->plan);
        rc = settle_pending(b, &m, pg_value(r, i, 3), e);
        if (rc != 0)
            pg_rollback(b->pg);
    }
    pg_result_free(r);
    return rc;
}
