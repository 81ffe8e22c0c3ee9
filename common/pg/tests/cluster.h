/*
 * A throw-away PostgreSQL cluster for tests and benchmarks: initdb in a fresh folder, one server on
 * a Unix socket there, stopped and removed at the end. As root the server runs as user postgres.
 */
#ifndef PG_TESTS_CLUSTER_H
#define PG_TESTS_CLUSTER_H

#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg/pg.h"
#include "testkit/testkit.h"

struct cluster {
    char folder[64], bin[128], conninfo[160];
    pid_t server;
    bool durable; /* fsync on (benchmarks) */
};

static inline void cluster_drop_root(const char *folder)
{
    struct passwd *p = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (p && (setgid(p->pw_gid) != 0 || setuid(p->pw_uid) != 0))
        _exit(126);
    if (chdir(folder) != 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
}

/* Runs bin/name with arguments, output to folder/log. */
static inline pid_t cluster_spawn(struct cluster *c, char *const *argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        cluster_drop_root(c->folder);
        if (!freopen("log", "a", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
            _exit(126);
        char path[256];
        snprintf(path, sizeof path, "%s/%s", c->bin, argv[0]);
        char *args[32] = {path}; /* PostgreSQL 16 finds its other programs by argv[0] only */
        for (int i = 1; i < 31 && argv[i]; i++)
            args[i] = argv[i];
        execv(path, args);
        _exit(127);
    }
    return pid;
}

static inline int cluster_answers(void *arg)
{
    struct cluster *c = arg;
    struct err e;
    struct pg *conn = pg_new(c->conninfo);
    int ok = pg_connect(conn, &e) == 0;
    pg_free(conn);
    return ok;
}

static inline void cluster_start_server(struct cluster *c)
{
    const char *fsync = c->durable ? "fsync=on" : "fsync=off";
    char *argv[] = {(char *)"postgres",
                    (char *)"-D",
                    (char *)"data",
                    (char *)"-k",
                    c->folder,
                    (char *)"-c",
                    (char *)"listen_addresses=",
                    (char *)"-c",
                    (char *)fsync,
                    (char *)"-c",
                    (char *)"max_wal_size=4GB",
                    NULL};
    c->server = cluster_spawn(c, argv);
    assert_true(testkit_within(20000, cluster_answers, c));
}

static inline void cluster_stop_server(struct cluster *c)
{
    if (c->server > 0) {
        kill(c->server, SIGQUIT);
        waitpid(c->server, NULL, 0);
    }
    c->server = 0;
}

static struct cluster *cluster_running; /* one at a time */

static inline void cluster_stop(struct cluster *c)
{
    cluster_stop_server(c);
    testkit_rmdir(c->folder);
    cluster_running = NULL;
}

/* A test that failed in its start leaves nothing behind. */
static inline void cluster_at_exit(void)
{
    if (cluster_running)
        cluster_stop(cluster_running);
}

static inline void cluster_start(struct cluster *c)
{
    glob_t found;
    assert_int_equal(glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found), 0);
    snprintf(c->bin, sizeof c->bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(c->bin, '/') = '\0';
    globfree(&found);
    snprintf(c->folder, sizeof c->folder, "/tmp/talaria-pg-XXXXXX"); /* socket paths are short */
    assert_non_null(mkdtemp(c->folder));
    cluster_running = c;
    atexit(cluster_at_exit);
    struct passwd *p = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (p)
        assert_int_equal(chown(c->folder, p->pw_uid, p->pw_gid), 0);
    snprintf(c->conninfo, sizeof c->conninfo, "host=%s user=postgres dbname=postgres", c->folder);
    char *initdb[] = {(char *)"initdb",
                      (char *)"-D",
                      (char *)"data",
                      (char *)"-A",
                      (char *)"trust",
                      (char *)"-U",
                      (char *)"postgres",
                      (char *)"-N",
                      (char *)"-E",
                      (char *)"UTF8",
                      (char *)"--locale=C.UTF-8",
                      NULL};
    int status;
    assert_true(waitpid(cluster_spawn(c, initdb), &status, 0) > 0);
    assert_int_equal(status, 0);
    cluster_start_server(c);
}

/* A connected handle; fails the test if it cannot be had. */
static inline struct pg *cluster_connect(struct cluster *c)
{
    struct err e;
    struct pg *conn = pg_new(c->conninfo);
    if (pg_connect(conn, &e) != 0)
        fail_msg("%s", e.text);
    return conn;
}

/* First column of the first row as text in a static buffer; "" for SQL null or no row. */
static inline const char *cluster_one(struct pg *conn, const char *sql)
{
    static char text[4096];
    struct err e;
    struct pg_result *r;
    if (pg_query(conn, &r, sql, 0, NULL, &e) != 0)
        fail_msg("%s: %s", sql, e.text);
    const char *v = pg_rows(r) ? pg_value(r, 0, 0) : NULL;
    snprintf(text, sizeof text, "%s", v ? v : "");
    pg_result_free(r);
    return text;
}

#endif
