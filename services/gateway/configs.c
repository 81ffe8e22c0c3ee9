/* Saving, publishing and importing configuration revisions. */
#include "gateway/configs.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/hash.h"
#include "base/mem.h"
#include "event/keys.h"

#define DOCUMENT_MAX (4 * 1024 * 1024)
/* One publisher at a time, whatever the number of gateways. */
#define PUBLISH_LOCK "7401902644"

static const char current_sql[] = "SELECT c.number,c.revision,r.document,COALESCE(r.published,true)"
                                  " FROM config_current c LEFT JOIN config_revisions r"
                                  " USING (number)";

int configs_get(struct pg *c, struct configs_current *out, struct err *e)
{
    struct pg_result *r;
    *out = (struct configs_current){0};
    if (pg_query(c, &r, current_sql, 0, NULL, e) != 0)
        return -1;
    const char *document = pg_value(r, 0, 2);
    out->number = pg_int(r, 0, 0, 0);
    str_copy(out->revision, sizeof out->revision, pg_value(r, 0, 1));
    str_puts(&out->document, document ? document : "{}");
    out->published = strcmp(pg_value(r, 0, 3), "t") == 0;
    pg_result_free(r);
    return 0;
}

/* ---- saving ---- */

static int insert_revision(struct pg *c, const char *number, const char *revision,
                           const struct configs_change *x, const char *sha256, bool published,
                           struct err *e)
{
    char *document = mem_strndup(x->document, x->n);
    int rc = pg_query(c, NULL,
                      "INSERT INTO config_revisions (number,revision,document,sha256,by_user,why,"
                      "published) VALUES ($1,$2,$3,$4,$5,$6,$7)",
                      7,
                      (const char *const[]){number, revision, document, sha256, x->by, x->why,
                                            published ? "t" : "f"},
                      e);
    mem_free(document);
    if (rc == 0)
        rc = pg_query(c, NULL, "UPDATE config_current SET number=$1,revision=$2", 2,
                      (const char *const[]){number, revision}, e);
    return rc;
}

/* The current revision, locked until the transaction ends. */
static int lock_current(struct pg *c, int64_t *number, char revision[CONFIGS_REVISION],
                        struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r, "SELECT number,revision FROM config_current FOR UPDATE", 0, NULL, e) != 0)
        return -1;
    *number = pg_int(r, 0, 0, 0);
    str_copy(revision, CONFIGS_REVISION, pg_value(r, 0, 1));
    pg_result_free(r);
    return 0;
}

static int put_locked(struct pg *c, const struct configs_change *x, char out[CONFIGS_REVISION],
                      struct err *e)
{
    int64_t number;
    char sha256[HASH_SHA256_HEX], next[24];
    if (lock_current(c, &number, out, e) != 0)
        return -1;
    if (strcmp(out, x->if_match) != 0)
        return err_set(e, ERR_REJECT, 412, "the current revision is %s", out);
    hash_sha256_hex(sha256, x->document, x->n);
    const char *dash = strchr(out, '-');
    if (dash && strncmp(dash + 1, sha256, 12) == 0)
        return 0;
    snprintf(next, sizeof next, "%" PRId64, number + 1);
    snprintf(out, CONFIGS_REVISION, "%s-%.12s", next, sha256);
    return insert_revision(c, next, out, x, sha256, false, e);
}

int configs_put(struct pg *c, const struct configs_change *x, char out[CONFIGS_REVISION],
                struct err *e)
{
    if (pg_exec(c, "BEGIN", e) != 0)
        return -1;
    if (put_locked(c, x, out, e) != 0 || pg_exec(c, "COMMIT", e) != 0) {
        pg_rollback(c);
        return -1;
    }
    return FAILPOINT("gateway.saved") ? err_set(e, ERR_RETRY, 0, "failpoint") : 0;
}

/* ---- publishing ---- */

/* A document that came back (a revert) has its object already. */
static int put_object(struct objstore *store, const char *key, const char *document, struct err *e)
{
    int64_t size;
    struct err missing;
    size_t n = strlen(document);
    if (objstore_head(store, key, &size, &missing) == 0 && size == (int64_t)n)
        return 0;
    return objstore_put_bytes(store, key, document, n, e);
}

static int publish_row(struct pg *c, const struct configs_publisher *p, const struct pg_result *r,
                       int row, bool current, struct err *e)
{
    const char *number = pg_value(r, row, 0), *sha256 = pg_value(r, row, 2);
    char id[CONFIGS_REVISION + 16];
    struct str key = STR_INIT;
    keys_config(&key, sha256);
    struct event now = {.type = EVENT_CONFIG_CURRENT}, said = {.type = EVENT_CONFIG_PUBLISHED};
    now.config = (struct event_config_current){.revision = pg_value(r, row, 1),
                                               .key = str_cstr(&key),
                                               .sha256 = sha256,
                                               .by = pg_value(r, row, 4),
                                               .why = pg_value(r, row, 5)};
    said.config = now.config;
    now.subject = "current";
    said.subject = said.config.revision;
    said.id = id; /* said again after a crash, it is the same event */
    snprintf(id, sizeof id, "%s.published", said.config.revision);
    int rc = put_object(p->store, str_cstr(&key), pg_value(r, row, 3), e);
    if (rc == 0)
        rc = p->write(p->arg, current ? &now : NULL, &said, e);
    if (rc == 0 && FAILPOINT("gateway.published"))
        rc = err_set(e, ERR_RETRY, 0, "failpoint");
    if (rc == 0)
        rc = pg_query(c, NULL, "UPDATE config_revisions SET published=true WHERE number=$1", 1,
                      &number, e);
    str_free(&key);
    return rc;
}

static int publish_locked(struct pg *c, const struct configs_publisher *p, struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r,
                 "SELECT number,revision,sha256,document,by_user,why FROM config_revisions"
                 " WHERE NOT published ORDER BY number LIMIT 100",
                 0, NULL, e) != 0)
        return -1;
    int rc = 0, n = pg_rows(r);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = publish_row(c, p, r, i, i == n - 1, e);
    pg_result_free(r);
    return rc == 0 ? n : -1;
}

int configs_publish(struct pg *c, const struct configs_publisher *p, struct err *e)
{
    if (pg_exec(c, "SELECT pg_advisory_lock(" PUBLISH_LOCK ")", e) != 0)
        return -1;
    int n = publish_locked(c, p, e);
    struct err why;
    if (pg_exec(c, "SELECT pg_advisory_unlock(" PUBLISH_LOCK ")", &why) != 0)
        pg_disconnect(c); /* gives the lock back */
    return n;
}

/* ---- importing ---- */

struct search {
    char prefix[32], sha256[HASH_SHA256_HEX];
};

static int found_object(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    (void)size, (void)modified_ms;
    struct search *s = arg;
    if (strncmp(key, s->prefix, strlen(s->prefix)) != 0)
        return 0;
    size_t n = strspn(key + strlen("config/"), "0123456789abcdef");
    if (n != HASH_SHA256_HEX - 1)
        return 0;
    memcpy(s->sha256, key + strlen("config/"), n);
    return 1;
}

static int read_object(struct objstore *store, const char *revision, struct str *document,
                       char sha256[HASH_SHA256_HEX], struct err *e)
{
    struct search s = {0};
    struct str key = STR_INIT;
    const char *dash = strchr(revision, '-');
    snprintf(s.prefix, sizeof s.prefix, "config/%.12s", dash ? dash + 1 : "-");
    int rc = objstore_list(store, "config/", found_object, &s, e);
    if (rc == 0)
        return err_set(e, ERR_RETRY, 0, "the object of configuration %s is not there", revision);
    if (rc < 0)
        return -1;
    keys_config(&key, s.sha256);
    rc = objstore_get(store, str_cstr(&key), document, DOCUMENT_MAX, e);
    str_free(&key);
    hash_sha256_hex(sha256, str_cstr(document), document->len);
    if (rc == 0 && strcmp(sha256, s.sha256) != 0)
        rc = err_set(e, ERR_REJECT, 0, "the object of configuration %s is damaged", revision);
    return rc;
}

static int import_locked(struct pg *c, int64_t number, const char *revision,
                         const struct configs_change *x, const char *sha256, struct err *e)
{
    char have[CONFIGS_REVISION], next[24];
    int64_t at;
    if (lock_current(c, &at, have, e) != 0 || at >= number)
        return at >= number ? 0 : -1;
    snprintf(next, sizeof next, "%" PRId64, number);
    return insert_revision(c, next, revision, x, sha256, true, e);
}

int configs_import(struct pg *c, struct objstore *store, const char *revision, struct err *e)
{
    int64_t number;
    char head[24] = "", sha256[HASH_SHA256_HEX];
    size_t n = strcspn(revision, "-");
    struct configs_current now;
    if (n >= sizeof head)
        return err_set(e, ERR_REJECT, 0, "malformed revision");
    memcpy(head, revision, n);
    if (str_int64(&number, head, 0, INT64_MAX - 1) != 0)
        return 0; /* the built-in configuration has no number */
    if (configs_get(c, &now, e) != 0)
        return -1;
    str_free(&now.document);
    if (now.number >= number)
        return 0;
    struct str document = STR_INIT;
    int rc = read_object(store, revision, &document, sha256, e);
    struct configs_change x = {str_cstr(&document), document.len, NULL, "gateway",
                               "taken over from the published revision"};
    if (rc == 0)
        rc = pg_exec(c, "BEGIN", e);
    if (rc == 0 && (rc = import_locked(c, number, revision, &x, sha256, e)) == 0)
        rc = pg_exec(c, "COMMIT", e);
    if (rc != 0)
        pg_rollback(c);
    str_free(&document);
    return rc;
}

int configs_list(struct pg *c, struct str *out, struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r,
                 "SELECT json_build_object('items',COALESCE(json_agg(x),'[]')) FROM (SELECT number,"
                 "revision,sha256,by_user AS by,why,at,published FROM config_revisions"
                 " ORDER BY number DESC LIMIT 100) x",
                 0, NULL, e) != 0)
        return -1;
    str_puts(out, pg_value(r, 0, 0));
    pg_result_free(r);
    return 0;
}
