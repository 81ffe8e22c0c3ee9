/*
 * Connection, statements, results, array parameters. Every wait has a deadline of our own: a server
 * that hangs (stopped, or its network gone) must not hang us.
 */
#include "pg/pg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <postgresql/libpq-fe.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum { CONNECT_MS = 5000, STATEMENT_MS = 30000, ANSWER_MS = STATEMENT_MS + 5000 };

struct pg {
    char *conninfo;
    PGconn *conn; /* NULL: not connected */
};
/* PGresult under our own name, so that no caller needs libpq's header. */
#define RESULT(r) ((const PGresult *)(const void *)(r))

struct pg *pg_new(const char *conninfo)
{
    struct pg *c = mem_zalloc(sizeof *c);
    c->conninfo = mem_strdup(conninfo);
    return c;
}

void pg_disconnect(struct pg *c)
{
    if (c->conn)
        PQfinish(c->conn);
    c->conn = NULL;
}

void pg_free(struct pg *c)
{
    if (!c)
        return;
    pg_disconnect(c);
    mem_free(c->conninfo);
    mem_free(c);
}

/* Waits until the socket is readable or writable, or the deadline has passed (0). */
static int wait_socket(PGconn *conn, short events, int64_t deadline)
{
    struct pollfd p = {PQsocket(conn), events, 0};
    for (;;) {
        int64_t left = deadline - clock_mono_ms();
        if (p.fd < 0 || left <= 0)
            return 0;
        int n = poll(&p, 1, (int)left);
        if (n > 0)
            return 1;
        if (n < 0 && errno != EINTR)
            return 0;
    }
}

static int connect_loop(PGconn *conn)
{
    int64_t deadline = clock_mono_ms() + CONNECT_MS;
    PostgresPollingStatusType s = PGRES_POLLING_WRITING;
    while (s != PGRES_POLLING_OK && s != PGRES_POLLING_FAILED) {
        if (!wait_socket(conn, s == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
            return -1;
        s = PQconnectPoll(conn);
    }
    return s == PGRES_POLLING_OK ? 0 : -1;
}

/* libpq's text is several lines and may name users and hosts; the first line is enough. */
static int connection_error(struct err *e, PGconn *conn, const char *what)
{
    const char *text = conn ? PQerrorMessage(conn) : "";
    int n = (int)strcspn(text, "\n");
    return err_set(e, ERR_RETRY, 0, "postgres: %s%s%.*s", what, n ? ": " : "", n > 180 ? 180 : n,
                   text);
}

/* A server that has closed an idle connection is noticed here, not by the next statement. Its last
 * words come before the end of the stream, so there may be something to read a few times. */
static int still_there(PGconn *conn)
{
    struct pollfd p = {PQsocket(conn), POLLIN, 0};
    for (int i = 0; i < 8 && p.fd >= 0 && poll(&p, 1, 0) > 0; i++)
        if (!PQconsumeInput(conn))
            return 0;
    return PQstatus(conn) == CONNECTION_OK;
}

/* libpq would print notices on stderr, between our JSON lines. */
static void no_notice(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

int pg_connect(struct pg *c, struct err *e)
{
    if (c->conn && still_there(c->conn))
        return 0;
    pg_disconnect(c);
    /* Later ones win, and dbname is expanded, so the caller's string overrides ours. */
    static const char *const keys[] = {"application_name", "keepalives_idle", "tcp_user_timeout",
                                       "client_encoding",  "dbname",          NULL};
    const char *const values[] = {"talaria", "10", "20000", "UTF8", c->conninfo, NULL};
    c->conn = PQconnectStartParams(keys, values, 1);
    if (!c->conn || PQstatus(c->conn) == CONNECTION_BAD || connect_loop(c->conn) != 0) {
        int rc = connection_error(e, c->conn, "cannot connect");
        pg_disconnect(c);
        return rc;
    }
    PQsetNoticeProcessor(c->conn, no_notice, NULL);
    return pg_exec(c,
                   "SET statement_timeout = 30000; SET timezone = 'UTC'; SET jit = off;"
                   "SET idle_in_transaction_session_timeout = 60000",
                   e);
}

static int retriable(const char *state)
{
    static const char *const classes[] = {"08", "40", "53", "55", "57", "58"};
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (strncmp(state, classes[i], 2) == 0)
            return 1;
    return 0;
}

/* Messages of data errors quote values (patient data): only the state and the place are kept. */
static int result_error(struct err *e, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *table = PQresultErrorField(r, PG_DIAG_TABLE_NAME);
    const char *place = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
    if (!state)
        return err_set(e, ERR_RETRY, 0, "postgres: connection lost");
    int code = atoi(state);
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        return err_set(e, ERR_REJECT, code, "postgres: %s%s%s%s%s", state, table ? " in " : "",
                       table ? table : "", place ? " " : "", place ? place : "");
    return err_set(e, retriable(state) ? ERR_RETRY : ERR_FATAL, code, "postgres: %s %.200s", state,
                   text ? text : "");
}

static int flush_all(PGconn *conn, int64_t deadline)
{
    for (;;) {
        int f = PQflush(conn);
        if (f <= 0)
            return f;
        if (!wait_socket(conn, POLLIN | POLLOUT, deadline) || !PQconsumeInput(conn))
            return -1;
    }
}

/* The last result of what was sent (or the first error); NULL: the connection is lost. */
static PGresult *collect(PGconn *conn)
{
    int64_t deadline = clock_mono_ms() + ANSWER_MS;
    if (flush_all(conn, deadline) != 0)
        return NULL;
    PGresult *last = NULL;
    for (;;) {
        while (PQisBusy(conn))
            if (!wait_socket(conn, POLLIN, deadline) || !PQconsumeInput(conn)) {
                PQclear(last);
                return NULL;
            }
        PGresult *r = PQgetResult(conn);
        if (!r)
            return last;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(r);
            continue;
        }
        PQclear(last);
        last = r;
    }
}

static int finish(struct pg *c, int sent, struct pg_result **out, struct err *e)
{
    PGresult *r = sent ? collect(c->conn) : NULL;
    if (!r) {
        int rc = connection_error(e, c->conn, "connection lost");
        pg_disconnect(c);
        return rc;
    }
    ExecStatusType s = PQresultStatus(r);
    if (s != PGRES_TUPLES_OK && s != PGRES_COMMAND_OK && s != PGRES_EMPTY_QUERY) {
        int rc = result_error(e, r);
        PQclear(r);
        if (PQstatus(c->conn) != CONNECTION_OK) {
            if (e)
                e->kind = ERR_RETRY;
            pg_disconnect(c);
        }
        return rc;
    }
    if (out)
        *out = (struct pg_result *)(void *)r;
    else
        PQclear(r);
    return 0;
}

int pg_query(struct pg *c, struct pg_result **out, const char *sql, int n,
             const char *const *params, struct err *e)
{
    if (!c->conn)
        return err_set(e, ERR_RETRY, 0, "postgres: not connected");
    PQsetnonblocking(c->conn, 1);
    int sent = PQsendQueryParams(c->conn, sql, n, NULL, params, NULL, NULL, 0);
    return finish(c, sent, out, e);
}

int pg_exec(struct pg *c, const char *sql, struct err *e)
{
    if (!c->conn)
        return err_set(e, ERR_RETRY, 0, "postgres: not connected");
    PQsetnonblocking(c->conn, 1);
    return finish(c, PQsendQuery(c->conn, sql), NULL, e);
}

void pg_rollback(struct pg *c)
{
    struct err e;
    if (c->conn && pg_exec(c, "ROLLBACK", &e) != 0)
        pg_disconnect(c);
}

int pg_rows(const struct pg_result *r)
{
    return PQntuples(RESULT(r));
}

int64_t pg_affected(const struct pg_result *r)
{
    int64_t n = 0;
    const char *text = PQcmdTuples((PGresult *)(void *)(uintptr_t)r);
    return str_int64(&n, text, 0, INT64_MAX) == 0 ? n : 0;
}

const char *pg_value(const struct pg_result *r, int row, int column)
{
    return PQgetisnull(RESULT(r), row, column) ? NULL : PQgetvalue(RESULT(r), row, column);
}

int64_t pg_int(const struct pg_result *r, int row, int column, int64_t if_null)
{
    int64_t v = if_null;
    const char *text = pg_value(r, row, column);
    return text && str_int64(&v, text, INT64_MIN, INT64_MAX) == 0 ? v : if_null;
}

void pg_result_free(struct pg_result *r)
{
    PQclear((PGresult *)(void *)r);
}

/* ---- arrays ---- */

enum { ARRAY_HEADER = 20, ARRAY_COUNT_AT = 12, TEXT_OID = 25, PARAMS_MAX = 64 };

static void put_int(char *at, uint32_t v)
{
    v = htonl(v);
    memcpy(at, &v, sizeof v);
}

static void append_int(struct str *s, uint32_t v)
{
    char bytes[4];
    put_int(bytes, v);
    str_append(s, bytes, sizeof bytes);
}

/* Dimensions, has-nulls, element type; then per dimension its length and lower bound. The length is
 * counted up in place. */
void pg_array_begin(struct str *s)
{
    static const uint32_t header[] = {1, 1, TEXT_OID, 0, 1};
    str_clear(s);
    for (size_t i = 0; i < ARRAY_LEN(header); i++)
        append_int(s, header[i]);
}

static void array_count(struct str *s)
{
    uint32_t n;
    memcpy(&n, s->data + ARRAY_COUNT_AT, sizeof n);
    put_int(s->data + ARRAY_COUNT_AT, ntohl(n) + 1);
}

void pg_array_add(struct str *s, const char *value, size_t n)
{
    array_count(s);
    append_int(s, (uint32_t)n);
    str_append(s, value, n);
}

void pg_array_add_null(struct str *s)
{
    array_count(s);
    append_int(s, UINT32_MAX);
}

void pg_array_end(struct str *s)
{
    if (s->len == ARRAY_HEADER) {
        put_int(s->data, 0); /* an empty array has no dimension */
        s->len = ARRAY_COUNT_AT;
    }
}

int pg_query_arrays(struct pg *c, struct pg_result **out, const char *sql, int n,
                    const struct str *arrays, struct err *e)
{
    const char *values[PARAMS_MAX];
    int lengths[PARAMS_MAX], formats[PARAMS_MAX];
    if (!c->conn)
        return err_set(e, ERR_RETRY, 0, "postgres: not connected");
    if (n > PARAMS_MAX)
        return err_set(e, ERR_FATAL, 0, "postgres: %d parameters", n);
    for (int i = 0; i < n; i++) {
        if (arrays[i].len > INT32_MAX)
            return err_set(e, ERR_REJECT, 0, "postgres: a column of %zu bytes", arrays[i].len);
        values[i] = arrays[i].data;
        lengths[i] = (int)arrays[i].len;
        formats[i] = 1;
    }
    PQsetnonblocking(c->conn, 1);
    int sent = PQsendQueryParams(c->conn, sql, n, NULL, values, lengths, formats, 0);
    return finish(c, sent, out, e);
}
