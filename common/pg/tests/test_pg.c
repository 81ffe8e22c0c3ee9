/* Connection, errors, arrays and migrations against a real server. */
#include <dirent.h>

#include "base/mem.h"
#include "pg/pg_priv.h"
#include "pg/tests/cluster.h"

static struct cluster cluster;

static int start(void **state)
{
    (void)state;
    cluster_start(&cluster);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_stop(&cluster);
    return 0;
}

static void test_errors_have_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        enum err_kind want;
    } table[] = {
        {"SELECT 1", ERR_NONE},
        {"SELECT 1 / 0", ERR_REJECT},
        {"SELECT 'secret-name'::int", ERR_REJECT},
        {"INSERT INTO t VALUES ('secret-name'), ('secret-name')", ERR_REJECT},
        {"SELECT * FROM nowhere", ERR_FATAL},
        {"SELEC", ERR_FATAL},
        {"SET statement_timeout = 20; SELECT pg_sleep(5)", ERR_RETRY},
        {"SELECT pg_terminate_backend(pg_backend_pid())", ERR_RETRY},
    };
    struct pg *c = cluster_connect(&cluster);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err e = {0};
        assert_int_equal(pg_connect(c, &e), 0);
        assert_int_equal(pg_exec(c, "CREATE TEMP TABLE IF NOT EXISTS t (a text PRIMARY KEY)", &e),
                         0);
        int rc = pg_exec(c, table[i].sql, &e);
        if ((rc == 0) != (table[i].want == ERR_NONE) || e.kind != table[i].want)
            fail_msg("%s: got %d (%s), want %d", table[i].sql, e.kind, e.text, table[i].want);
        assert_null(strstr(e.text, "secret-name"));
    }
    pg_free(c);
}

static void test_a_lost_connection_is_never_silently_a_new_one(void **state)
{
    (void)state;
    struct err e;
    struct pg *c = cluster_connect(&cluster);
    assert_int_equal(pg_exec(c, "BEGIN", &e), 0);
    assert_int_equal(pg_exec(c, "SELECT pg_terminate_backend(pg_backend_pid())", &e), -1);
    assert_int_equal(pg_exec(c, "SELECT 1", &e), -1); /* would run outside the transaction */
    assert_int_equal(e.kind, ERR_RETRY);
    assert_int_equal(pg_connect(c, &e), 0);
    assert_int_equal(pg_exec(c, "SELECT 1", &e), 0);
    pg_free(c);
}

static void test_no_server_is_a_retry(void **state)
{
    (void)state;
    struct err e;
    struct pg *c = pg_new("host=/nonexistent user=postgres");
    assert_int_equal(pg_connect(c, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    pg_free(c);
}

static void test_arrays_keep_every_byte(void **state)
{
    (void)state;
    static const char *const values[] = {
        "plain",         "",   "with \"quotes\"", "back\\slash\\", "{br,ace}", "NULL", " spaces ",
        "M\xc3\xbcller", NULL, "a\nb\t'c'",       "\\\"",          "$1 %s"};
    struct str a = STR_INIT;
    pg_array_begin(&a);
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (values[i])
            pg_array_add(&a, values[i], strlen(values[i]));
        else
            pg_array_add_null(&a);
    pg_array_end(&a);
    struct err e;
    struct pg_result *r;
    struct pg *c = cluster_connect(&cluster);
    assert_int_equal(pg_query_arrays(c, &r,
                                     "SELECT v FROM unnest($1::text[]) WITH ORDINALITY u(v, n)"
                                     " ORDER BY n",
                                     1, &a, &e),
                     0);
    assert_int_equal(pg_rows(r), ARRAY_LEN(values));
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (values[i])
            assert_string_equal(pg_value(r, (int)i, 0), values[i]);
        else
            assert_null(pg_value(r, (int)i, 0));
    pg_result_free(r);
    pg_array_begin(&a);
    pg_array_end(&a);
    assert_int_equal(pg_query_arrays(c, &r, "SELECT * FROM unnest($1::text[])", 1, &a, &e), 0);
    assert_int_equal(pg_rows(r), 0);
    pg_result_free(r);
    str_free(&a);
    pg_free(c);
}

static void test_affected_and_ints(void **state)
{
    (void)state;
    struct err e;
    struct pg_result *r;
    struct pg *c = cluster_connect(&cluster);
    assert_int_equal(pg_exec(c, "CREATE TEMP TABLE n (a bigint)", &e), 0);
    assert_int_equal(pg_query(c, &r, "INSERT INTO n VALUES (-5), (NULL), ($1)", 1,
                              (const char *const[]){"9223372036854775807"}, &e),
                     0);
    assert_int_equal(pg_affected(r), 3);
    pg_result_free(r);
    assert_int_equal(pg_query(c, &r, "SELECT a FROM n ORDER BY a NULLS FIRST", 0, NULL, &e), 0);
    assert_int_equal(pg_int(r, 0, 0, 42), 42);
    assert_int_equal(pg_int(r, 1, 0, 42), -5);
    assert_true(pg_int(r, 2, 0, 42) == INT64_MAX);
    pg_result_free(r);
    pg_free(c);
}

static void test_every_file_of_the_folder_is_embedded(void **state)
{
    (void)state;
    struct dirent **found;
    int n = scandir("schemas/sql", &found, NULL, alphasort);
    assert_true(n > 2);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        size_t len = strlen(found[i]->d_name);
        if (len > 4 && strcmp(found[i]->d_name + len - 4, ".sql") == 0) {
            assert_true(at < pg_migrations_n);
            assert_string_equal(pg_migrations[at].name, found[i]->d_name);
            assert_int_equal(pg_migrations[at].version, atoi(found[i]->d_name));
            assert_int_equal(pg_migrations[at].version, at + 1);
            at++;
        }
        free(found[i]);
    }
    free(found);
    assert_int_equal(at, pg_migrations_n);
}

static pid_t migrate_in_child(const char *conninfo)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct err e;
        struct pg *c = pg_new(conninfo);
        int rc = pg_migrate(c, &e);
        pg_free(c);
        _exit(rc == 0 ? 0 : 1);
    }
    return pid;
}

static void test_migrations_run_once_even_in_parallel(void **state)
{
    (void)state;
    struct err e;
    struct pg *c = cluster_connect(&cluster);
    assert_int_equal(pg_check_version(c, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    pid_t children[4];
    for (size_t i = 0; i < ARRAY_LEN(children); i++)
        children[i] = migrate_in_child(cluster.conninfo);
    for (size_t i = 0; i < ARRAY_LEN(children); i++) {
        int status;
        assert_true(waitpid(children[i], &status, 0) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(pg_check_version(c, &e), 0);
    assert_int_equal(pg_migrate(c, &e), 0);
    assert_int_equal(atoi(cluster_one(c, "SELECT count(*) FROM migrations")), pg_migrations_n);
    assert_string_equal(cluster_one(c, "SELECT revision FROM config_current"), "0");

    assert_int_equal(pg_exec(c, "UPDATE migrations SET sha256 = 'other'", &e), 0);
    assert_int_equal(pg_migrate(c, &e), -1);
    assert_int_equal(e.kind, ERR_FATAL);
    pg_free(c);
}

/* A migration that waits in the middle: for a table of that name, which another one has begun. */
#define WAITING \
    "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

static int waits(void *watcher)
{
    return strcmp(cluster_one(watcher, "SELECT count(*) " WAITING), "1") == 0;
}

/* A server process whose client was killed ends when it has its lock. */
static int alone(void *watcher)
{
    return strcmp(cluster_one(watcher, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                                       "AND database = (SELECT oid FROM pg_database "
                                       "WHERE datname = current_database())"),
                  "0") == 0;
}

/* Migrates an empty database and is killed at that table (or its server process is); then once
 * more. So many files are done in between. */
static void kill_at(const char *table, int done, bool backend)
{
    struct err e;
    char conninfo[256], sql[128];
    struct pg *c = cluster_connect(&cluster);
    assert_int_equal(pg_exec(c, "CREATE DATABASE half", &e), 0);
    snprintf(conninfo, sizeof conninfo, "%s dbname=half", cluster.conninfo);
    struct pg *watcher = pg_new(conninfo), *other = pg_new(conninfo);
    assert_int_equal(pg_connect(watcher, &e) | pg_connect(other, &e), 0);
    snprintf(sql, sizeof sql, "BEGIN; CREATE TABLE %s (a int)", table);
    assert_int_equal(pg_exec(other, sql, &e), 0);

    pid_t child = migrate_in_child(conninfo);
    assert_true(testkit_within(20000, waits, watcher));
    if (backend)
        assert_string_equal(cluster_one(watcher, "SELECT pg_terminate_backend(pid) " WAITING), "t");
    else
        kill(child, SIGKILL);
    int status;
    assert_true(waitpid(child, &status, 0) > 0);
    assert_true(backend ? WIFEXITED(status) && WEXITSTATUS(status) == 1 : WIFSIGNALED(status));
    assert_int_equal(pg_exec(other, "ROLLBACK", &e), 0);
    assert_true(testkit_within(20000, alone, watcher));
    assert_int_equal(atoi(cluster_one(watcher, "SELECT count(*) FROM migrations")), done);

    pid_t next = migrate_in_child(conninfo);
    assert_true(waitpid(next, &status, 0) > 0);
    assert_int_equal(status, 0);
    assert_int_equal(pg_check_version(watcher, &e), 0);
    assert_int_equal(atoi(cluster_one(watcher, "SELECT count(*) FROM migrations")),
                     pg_migrations_n);
    pg_free(other);
    pg_free(watcher);
    assert_int_equal(pg_exec(c, "DROP DATABASE half WITH (FORCE)", &e), 0);
    pg_free(c);
}

static void test_a_migration_killed_in_the_middle_is_done_whole_by_whoever_comes_next(void **state)
{
    (void)state;
    static const struct {
        const char *table;
        int done;
    } table[] = {{"positions", 0}, {"config_current", 0}, {"condemned", 1}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        kill_at(table[i].table, table[i].done, false);
        kill_at(table[i].table, table[i].done, true);
    }
}

static void test_a_restarted_server_costs_no_statement(void **state)
{
    (void)state;
    struct err e;
    struct pg *c = cluster_connect(&cluster);
    cluster_stop_server(&cluster);
    cluster_start_server(&cluster);
    assert_int_equal(pg_connect(c, &e), 0);
    assert_int_equal(pg_exec(c, "SELECT 1", &e), 0);
    pg_free(c);
}

static void test_a_hanging_server_is_noticed(void **state)
{
    (void)state;
    struct err e;
    struct pg *c = pg_new(cluster.conninfo);
    kill(cluster.server, SIGSTOP);
    assert_int_equal(pg_connect(c, &e), -1); /* within its 5 s */
    assert_int_equal(e.kind, ERR_RETRY);
    kill(cluster.server, SIGCONT);
    pg_free(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_have_kinds),
        cmocka_unit_test(test_a_lost_connection_is_never_silently_a_new_one),
        cmocka_unit_test(test_no_server_is_a_retry),
        cmocka_unit_test(test_arrays_keep_every_byte),
        cmocka_unit_test(test_affected_and_ints),
        cmocka_unit_test(test_every_file_of_the_folder_is_embedded),
        cmocka_unit_test(test_migrations_run_once_even_in_parallel),
        cmocka_unit_test(test_a_migration_killed_in_the_middle_is_done_whole_by_whoever_comes_next),
        cmocka_unit_test(test_a_restarted_server_costs_no_statement),
        cmocka_unit_test(test_a_hanging_server_is_noticed),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
