/* Brings a database to the newest schema, one transaction per file, under an advisory lock. */
#include "pg/pg.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "pg/pg_priv.h"

/* Any number that no other application uses in the same database. */
#define LOCK "7401902643"

static const char create[] = "CREATE TABLE IF NOT EXISTS migrations ("
                             "version int PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
                             "applied_at timestamptz NOT NULL DEFAULT now())";

static int apply(struct pg *c, const struct pg_migration *m, const char *sha256, struct err *e)
{
    char version[16];
    snprintf(version, sizeof version, "%d", m->version);
    char *sql = mem_strndup(m->start, (size_t)(m->end - m->start));
    int rc = pg_exec(c, "BEGIN", e);
    if (rc == 0)
        rc = pg_exec(c, sql, e);
    if (rc == 0)
        rc = pg_query(c, NULL, "INSERT INTO migrations (version, name, sha256) VALUES ($1, $2, $3)",
                      3, (const char *const[]){version, m->name, sha256}, e);
    if (rc == 0)
        rc = pg_exec(c, "COMMIT", e);
    else
        pg_rollback(c);
    mem_free(sql);
    return rc == 0 ? 0 : err_wrap(e, "migration %s", m->name);
}

/* 1 applied as it is here, 0 missing, -1 error or applied with other contents. */
static int applied(struct pg *c, const struct pg_migration *m, const char *sha256, struct err *e)
{
    char version[16];
    snprintf(version, sizeof version, "%d", m->version);
    struct pg_result *r;
    if (pg_query(c, &r, "SELECT sha256 FROM migrations WHERE version = $1", 1,
                 (const char *const[]){version}, e) != 0)
        return -1;
    int found = pg_rows(r) > 0;
    if (found && strcmp(pg_value(r, 0, 0), sha256) != 0)
        found = err_set(e, ERR_FATAL, 0, "migration %s: the database has another version of it",
                        m->name);
    pg_result_free(r);
    return found;
}

static int migrate_all(struct pg *c, struct err *e)
{
    if (pg_exec(c, create, e) != 0)
        return -1;
    for (size_t i = 0; i < pg_migrations_n; i++) {
        const struct pg_migration *m = &pg_migrations[i];
        char sha256[HASH_SHA256_HEX];
        hash_sha256_hex(sha256, m->start, (size_t)(m->end - m->start));
        int there = applied(c, m, sha256, e);
        if (there < 0 || (there == 0 && apply(c, m, sha256, e) != 0))
            return -1;
    }
    return 0;
}

int pg_migrate(struct pg *c, struct err *e)
{
    if (pg_connect(c, e) != 0 || pg_exec(c, "SELECT pg_advisory_lock(" LOCK ")", e) != 0)
        return -1;
    int rc = migrate_all(c, e);
    if (rc == 0)
        return pg_exec(c, "SELECT pg_advisory_unlock(" LOCK ")", e);
    pg_disconnect(c); /* gives the lock back whatever state the session is in */
    return -1;
}

int pg_check_version(struct pg *c, struct err *e)
{
    struct pg_result *r;
    if (pg_connect(c, e) != 0 ||
        pg_query(c, &r, "SELECT to_regclass('migrations')", 0, NULL, e) != 0)
        return -1;
    int exists = pg_value(r, 0, 0) != NULL;
    pg_result_free(r);
    int64_t version = 0;
    if (exists) {
        if (pg_query(c, &r, "SELECT max(version) FROM migrations", 0, NULL, e) != 0)
            return -1;
        version = pg_int(r, 0, 0, 0);
        pg_result_free(r);
    }
    int want = pg_migrations[pg_migrations_n - 1].version;
    if (version < want)
        return err_set(e, ERR_RETRY, 0, "the database has schema %lld, this program needs %d",
                       (long long)version, want);
    return 0;
}
