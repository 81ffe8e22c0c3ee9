/*
 * Postgres through libpq: a connection that reconnects, parameterised queries, migrations. A
 * connection belongs to one thread.
 */
#ifndef PG_PG_H
#define PG_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pg;
struct pg_result;

/* Does not connect yet. */
struct pg *pg_new(const char *conninfo);
void pg_free(struct pg *c);
/* Connects if needed (≤ 5 s). ERR_RETRY: Postgres is away. Call it before each unit of work:
 * statements never connect by themselves, because a new connection would be outside the transaction
 * of the lost one. */
int pg_connect(struct pg *c, struct err *e) MUST_CHECK;

/* Text parameters (NULL = SQL null). A lost connection is ERR_RETRY (and the transaction is gone),
 * an integrity or data error (class 22, 23) ERR_REJECT, serialization or deadlock ERR_RETRY,
 * anything else ERR_FATAL. Statement time limit 30 s. *out may be NULL. */
int pg_query(struct pg *c, struct pg_result **out, const char *sql, int n,
             const char *const *params, struct err *e) MUST_CHECK;
/* Several statements without parameters. */
int pg_exec(struct pg *c, const char *sql, struct err *e) MUST_CHECK;

/* Ends a failed transaction: the session is usable afterwards, or disconnected. */
void pg_rollback(struct pg *c);
void pg_disconnect(struct pg *c);

int pg_rows(const struct pg_result *r);
int64_t pg_affected(const struct pg_result *r);
/* NULL for SQL null. */
const char *pg_value(const struct pg_result *r, int row, int column);
int64_t pg_int(const struct pg_result *r, int row, int column, int64_t if_null);
void pg_result_free(struct pg_result *r);

/* Columns of many rows as text[] parameters, in Postgres' binary form (several times cheaper than
 * array literals on both sides). begin clears; NULL elements are allowed. The SQL casts:
 * $1::text[]. */
void pg_array_begin(struct str *s);
void pg_array_add(struct str *s, const char *value, size_t n);
void pg_array_add_null(struct str *s);
void pg_array_end(struct str *s);
/* As pg_query; every parameter is such an array. */
int pg_query_arrays(struct pg *c, struct pg_result **out, const char *sql, int n,
                    const struct str *arrays, struct err *e) MUST_CHECK;

/* schemas/sql/NNNN_name.sql, embedded. Applies what is missing, one transaction each, under an
 * advisory lock. check only: -1 if the database is behind (ERR_RETRY) or ahead (fine). */
int pg_migrate(struct pg *c, struct err *e) MUST_CHECK;
int pg_check_version(struct pg *c, struct err *e) MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
