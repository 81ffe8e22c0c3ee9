/* Requests over a socket to the real adapter, core, Postgres: statuses, bodies, limits. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/ids.h"
#include "gateway/gateway.h"
#include "pg/tests/cluster.h"

enum { BODY_MAX = 4096 };

#define REQUEST                                                                                    \
    "{\"delivery\":\"x\",\"decision\":\"d\",\"target\":\"pacs\",\"study\":\"1.2\","              \
    "\"members\":3,\"manifest\":{\"key\":\"m\",\"sha256\":\"s\"},"                                \
    "\"notAfter\":\"2020-01-01T00:00:00Z\"}"

static struct cluster cluster;
static struct gateway gateway;
static struct http_server *server;
static bool broker_away;

static int fake_write(void *arg, const struct event *current, const struct event *published,
                      struct err *e)
{
    (void)arg, (void)current, (void)published;
    return broker_away ? err_set(e, ERR_RETRY, 0, "the broker is away") : 0;
}

static struct {
    size_t n;
    char noun[16], key[32], parent[40], id[40];
} appended;

static int fake_append(void *arg, const struct gateway_record *records, size_t n, struct err *e)
{
    (void)arg, (void)e;
    appended.n = n;
    str_copy(appended.noun, sizeof appended.noun, records[0].noun);
    str_copy(appended.key, sizeof appended.key, records[0].key ? records[0].key : "");
    const struct event *ev = records[0].ev;
    bool request = ev->type == EVENT_DELIVERY_REQUESTED;
    str_copy(appended.parent, sizeof appended.parent, request ? ev->requested.parent : "");
    str_copy(appended.id, sizeof appended.id,
             request ? ev->requested.delivery : ev->command.command);
    return 0;
}

static void no_newest(void *arg, char out[CONFIGS_REVISION])
{
    (void)arg;
    *out = '\0';
}

static int start(void **state)
{
    (void)state;
    struct err e;
    cluster_start(&cluster);
    struct pg *pg = cluster_connect(&cluster);
    assert_int_equal(pg_migrate(pg, &e), 0);
    assert_int_equal(pg_exec(pg,
                             "INSERT INTO studies VALUES ('1.2','Brain','P1',now(),now());"
                             "INSERT INTO series (study,series,patient_id,first_at,last_at)"
                             " VALUES ('1.2','1.2.9','P1',now(),now())",
                             &e),
                     0);
    pg_free(pg);
    gateway = (struct gateway){.pool = pool_new(cluster.conninfo, 2),
                               .publisher = {.write = fake_write},
                               .newest = no_newest};
    assert_int_equal(objstore_open(&gateway.publisher.store, "null:", &e), 0);
    struct http_options o = {.address = "127.0.0.1",
                             .body_max = BODY_MAX,
                             .connections = 64,
                             .timeout_seconds = 5,
                             .handle = gateway_handle,
                             .arg = &gateway};
    if (http_start(&server, &o, &e) != 0)
        fail_msg("%s", e.text);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_stop(server);
    pool_free(gateway.pool);
    objstore_close(gateway.publisher.store);
    cluster_stop(&cluster);
    return 0;
}

/* ---- a client ---- */

static struct str reply;

static int status_of_reply(void)
{
    return reply.len > 12 ? atoi(reply.data + 9) : 0;
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int send_all(const char *text, size_t n)
{
    int fd = dial();
    char part[4096];
    ssize_t got;
    str_clear(&reply);
    /* the server may answer and close before it has read all */
    (void)!send(fd, text, n, MSG_NOSIGNAL);
    while ((got = recv(fd, part, sizeof part, 0)) > 0)
        str_append(&reply, part, (size_t)got);
    close(fd);
    return status_of_reply();
}

/* headers: lines with \r\n at their ends. */
static int ask(const char *method, const char *path, const char *headers, const char *body)
{
    struct str s = STR_INIT;
    str_printf(&s, "%s %s HTTP/1.1\r\nConnection: close\r\n%s", method, path, headers);
    if (!strstr(headers, "Host:"))
        str_puts(&s, "Host: 127.0.0.1\r\n");
    if (body)
        str_printf(&s, "Content-Length: %zu\r\n", strlen(body));
    str_printf(&s, "\r\n%s", body ? body : "");
    int status = send_all(s.data, s.len);
    str_free(&s);
    return status;
}

static bool says(const char *text)
{
    return strstr(str_cstr(&reply), text) != NULL;
}

#define JSON "Content-Type: application/json\r\n"

/* ---- tests ---- */

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *headers, *body;
        int want;
        const char *text;
    } table[] = {
        {"GET", "/", "", NULL, 200, "default-src 'none'"},
        {"GET", "/status.js", "", NULL, 200, "text/javascript"},
        {"GET", "/status.css", "", NULL, 200, "prefers-color-scheme"},
        {"GET", "/api/v1/openapi.yaml", "", NULL, 200, "openapi: 3.1.0"},
        {"HEAD", "/api/v1/status", "", NULL, 200, "application/json"},
        {"GET", "/api/v1/status", "", NULL, 200, "\"problems\""},
        {"GET", "/api/v1/studies", "", NULL, 200, "\"1.2\""},
        {"GET", "/api/v1/studies?q=P1&limit=1", "", NULL, 200, "~1.2\""},
        {"GET", "/api/v1/studies?q=nobody", "", NULL, 200, "[]"},
        {"GET", "/api/v1/studies?limit=0x1", "", NULL, 400, "problem+json"},
        {"GET", "/api/v1/studies?limit=501", "", NULL, 400, "bad-request"},
        {"GET", "/api/v1/studies?cursor=x", "", NULL, 400, "malformed cursor"},
        {"GET", "/api/v1/studies/1.2", "", NULL, 200, "Brain"},
        {"GET", "/api/v1/studies/9.9", "", NULL, 404, "not-found"},
        {"GET", "/api/v1/studies/", "", NULL, 404, "not-found"},
        {"GET", "/api/v1/studies/1.2/x", "", NULL, 404, "not-found"},
        {"GET", "/api/v1/studies/..%2f..%2fetc", "", NULL, 404, "not-found"},
        {"GET", "/api/v1/series/1.2.1", "", NULL, 404, "not-found"},
        {"GET", "/api/v1/deliveries?target=pacs&state=open", "", NULL, 200, "[]"},
        {"GET", "/api/v1/events?after=0", "", NULL, 200, "[]"},
        {"GET", "/api/v1/events?after=-1", "", NULL, 400, "bad-request"},
        {"GET", "/api/v1/config/revisions", "", NULL, 200, "items"},
        {"GET", "/nowhere", "", NULL, 404, "No such path"},
        {"DELETE", "/api/v1/config", "", NULL, 405, "method-not-allowed"},
        {"GET", "/api/v1/status", "Host: evil.example\r\n", NULL, 421, "unknown-host"},
        {"GET", "/api/v1/status", "Host: localhost:8000\r\n", NULL, 200, "problems"},
        {"GET", "/api/v1/status", "Host: [::1]:8000\r\n", NULL, 200, "problems"},
        {"POST", "/api/v1/config/check", "Content-Type: text/plain\r\n", "{}", 415, "not-json"},
        {"POST", "/api/v1/config/check", JSON, "{}", 200, "{\"valid\":true}"},
        {"POST", "/api/v1/config/check", JSON, "", 422, "\"errors\""},
        {"POST", "/api/v1/config/check", JSON, "{\"rules\":{\"a\":{\"rule\":\"1 +\"}}}", 422,
         "\"pointer\":\"/rules/a"},
        {"PUT", "/api/v1/config", JSON, "{}", 428, "if-match-required"},
        {"PUT", "/api/v1/config", JSON "If-Match: \"9-ab\"\r\n", "{}", 412, "ETag: \"0\""},
        {"PUT", "/api/v1/config", JSON "If-Match: \"0\"\r\n", "{\"nonsense\":1}", 422, "/nonsense"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int got = ask(table[i].method, table[i].path, table[i].headers, table[i].body);
        if (got != table[i].want || !says(table[i].text))
            fail_msg("%s %s: got %d, want %d with %s\n%s", table[i].method, table[i].path, got,
                     table[i].want, table[i].text, str_cstr(&reply));
        assert_true(says("nosniff"));
    }
}

static void test_config_is_put_read_and_found_stale(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/api/v1/config", "", NULL), 200);
    assert_true(says("ETag: \"0\"") && says("{}"));
    assert_int_equal(ask("PUT", "/api/v1/config?why=try", JSON "If-Match: \"0\"\r\n", "{}"), 200);
    assert_true(says("ETag: \"1-44136fa355b3\"") && says("\"published\":true"));
    assert_int_equal(ask("PUT", "/api/v1/config", JSON "If-Match: \"0\"\r\n", "{ }"), 412);
    broker_away = true;
    assert_int_equal(ask("PUT", "/api/v1/config",
                         JSON "If-Match: 1-44136fa355b3\r\n"
                              "Talaria-User: eva\r\n",
                         "{ }"),
                     202);
    broker_away = false;
    assert_true(says("\"published\":false"));
    assert_int_equal(ask("GET", "/api/v1/config", "", NULL), 200);
    assert_true(says("ETag: \"2-") && says("{ }"));
    assert_int_equal(ask("GET", "/api/v1/config/revisions", "", NULL), 200);
    assert_true(says("\"why\":\"try\"") && says("\"by\":\"eva\""));
}

static void test_rules_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int want;
        const char *text;
    } table[] = {
        {"{\"rule\":\"tags.Modality == 'CT'\",\"tags\":{\"Modality\":\"CT\"}}", 200,
         "\"verdict\":\"match\""},
        {"{\"rule\":\"tags.Modality == 'CT'\",\"tags\":{\"Modality\":\"MR\"}}", 200,
         "\"verdict\":\"no match\""},
        {"{\"rule\":\"tags.Modality == 'CT'\",\"tags\":{\"modality\":\"CT\"}}", 200,
         "tags.Modality"},
        {"{\"rule\":\"tags.Modality ==\"}", 422, "\"pointer\":\"/rule\""},
        {"{\"tags\":{}}", 422, "/rule"},
        {"{\"rule\":\"True\",\"x\":1}", 422, "/x"},
        {"{\"rule\":", 422, "errors"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int got = ask("POST", "/api/v1/rules/test", JSON, table[i].body);
        if (got != table[i].want || !says(table[i].text))
            fail_msg("%s: got %d, want %d with %s\n%s", table[i].body, got, table[i].want,
                     table[i].text, str_cstr(&reply));
    }
}

static void test_large_bodies_are_refused_whole(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    str_puts(&s, "{}");
    while (s.len < BODY_MAX)
        str_putc(&s, ' ');
    assert_int_equal(ask("POST", "/api/v1/config/check", JSON, s.data),
                     200); /* exactly the limit */
    str_putc(&s, ' ');
    assert_int_equal(ask("POST", "/api/v1/config/check", JSON, s.data), 413);
    /* chunked: nobody said how much would come */
    struct str c = STR_INIT;
    str_puts(&c,
             "POST /api/v1/config/check HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" JSON
             "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 4; i++)
        str_printf(&c, "%zx\r\n%s\r\n", s.len, s.data);
    str_puts(&c, "0\r\n\r\n");
    assert_int_equal(send_all(c.data, c.len), 413);
    str_free(&c);
    str_free(&s);
}

static void test_a_token_is_asked_for_where_one_is_set(void **state)
{
    (void)state;
    hash_sha256_hex(gateway.token_sha256, "correct-horse", 13);
    assert_int_equal(ask("GET", "/", "", NULL), 200);
    assert_int_equal(ask("GET", "/api/v1/status", "", NULL), 401);
    assert_true(says("WWW-Authenticate: Bearer"));
    assert_int_equal(ask("GET", "/api/v1/status", "Authorization: Bearer wrong\r\n", NULL), 401);
    assert_int_equal(ask("GET", "/api/v1/status", "Authorization: Bearer correct-horse\r\n", NULL),
                     200);
    gateway.token_sha256[0] = '\0';
}

/* id, state, parent, request; of an end of three members, one arrived and one was not accepted. */
static const char deliveries_sql[] =
    "INSERT INTO deliveries (delivery,state,target,study,parent,asked_at,finished_at,request,"
    "delivered,not_accepted,failed) SELECT v.id,v.state::delivery_state,'pacs','1.2',v.parent,now(),"
    "CASE WHEN v.state > 'b' THEN now() END,v.request,1,1,1 FROM (VALUES ('open','attempted',NULL,'{}'),"
    "('failed','failed',NULL,'" REQUEST "'),('superseded','failed',NULL,'{}'),"
    "('child','requested','superseded','{}'),('old','failed',NULL,NULL),"
    "('behind','failed',NULL,'" REQUEST "'),('well','delivered',NULL,'" REQUEST "'),"
    "('early','dismissed',NULL,'{}')) v (id,state,parent,request);"
    "UPDATE deliveries SET finished_at=NULL WHERE delivery='early';"
    "UPDATE deliveries SET delivered=3,not_accepted=0,failed=0 WHERE delivery='well';"
    "INSERT INTO delivery_members (delivery,position,state,attempt) VALUES ('failed',0,'delivered',1),"
    "('failed',1,'failed',1),('failed',2,'not-accepted',1),('behind',0,'delivered',1),"
    "('well',0,'delivered',1),('well',1,'repeated',1),('well',2,'delivered',1)";

static void test_what_people_do_to_deliveries(void **state)
{
    (void)state;
    struct pg *pg = cluster_connect(&cluster);
    struct err e = {0};
    if (pg_exec(pg, deliveries_sql, &e))
        fail_msg("%s", e.text);
    pg_free(pg);
    gateway.append = fake_append;
    static const struct {
        const char *path, *body;
        int want;
        const char *text, *noun; /* noun: what was appended first; NULL: nothing */
    } rows[] = {
        {"open/cancel", "{\"reason\":\"r\"}", 202, "\"command\":\"key1\"", "delivery"},
        {"open/retry", "{\"reason\":\"r\"}", 202, "\"delivery\":\"open\"", "delivery"},
        {"open/cancel", "{}", 422, "/reason", NULL},
        {"open/restart", "{\"reason\":\"r\"}", 409, "has not ended", NULL},
        {"failed/cancel", "{\"reason\":\"r\"}", 409, "has ended", NULL},
        {"failed/restart", "{\"reason\":\"r\"}", 202, "\"members\":1", "delivery"},
        {"failed/resend", "{\"reason\":\"r\"}", 202, "\"members\":3", "delivery"},
        {"well/restart", "{\"reason\":\"r\"}", 409, "A resend sends all of it", NULL},
        {"well/resend", "{\"reason\":\"r\"}", 202, "\"resent\":\"", "delivery"},
        {"well/resend", "{}", 422, "/reason", NULL},
        {"open/resend", "{\"reason\":\"r\"}", 409, "has not ended", NULL},
        {"early/restart", "{\"reason\":\"r\"}", 409, "has not ended", NULL},
        {"behind/restart", "{\"reason\":\"r\"}", 409, "1 of 2 members", NULL},
        {"superseded/restart", "{\"reason\":\"r\"}", 409, "already, as child", NULL},
        {"superseded/resend", "{\"reason\":\"r\"}", 409, "already, as child", NULL},
        {"resend", "{\"reason\":\"r\"}", 422, "/ids", NULL},
        {"resend", "{\"reason\":\"r\",\"ids\":[\"well\",\"open\"]}", 202, "has not ended", "delivery"},
        {"old/restart", "{\"reason\":\"r\"}", 409, "does not hold", NULL},
        {"none/retry", "{\"reason\":\"r\"}", 404, "", NULL},
        {"open/pause", "{\"reason\":\"r\"}", 404, "", NULL},
        {"restart", "{\"reason\":\"r\"}", 422, "target or ids", NULL},
        {"restart", "{\"reason\":\"r\",\"ids\":[\"failed\",\"failed\",\"none\"]}", 202,
         "\"delivery\":\"none\",\"problem\":\"no such delivery\"", "delivery"},
        {"restart", "{\"reason\":\"r\",\"target\":\"pacs\"}", 202, "does not hold", "delivery"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[128];
        snprintf(path, sizeof path, "/api/v1/deliveries/%s", rows[i].path);
        memset(&appended, 0, sizeof appended);
        int got = ask("POST", path, JSON "Idempotency-Key: key1\r\n", rows[i].body);
        if (got != rows[i].want || !says(rows[i].text))
            fail_msg("%s %s: %s", path, rows[i].body, str_cstr(&reply));
        assert_string_equal(appended.noun, rows[i].noun ? rows[i].noun : "");
        if (!rows[i].noun)
            continue;
        assert_string_equal(appended.key, "pacs");
        if (strstr(path, "restart") || strstr(path, "resend")) {
            assert_string_equal(appended.parent, says("\"delivery\":\"well") ? "well" : "failed");
            assert_int_equal(appended.n, 2); /* one request, and its answer */
            assert_true(says(appended.id));
        }
    }
}

/* The ledger does not show the first one yet. */
static void test_two_who_restart_one_delivery_at_once_make_one_restart(void **state)
{
    (void)state;
    static const char *const body = "{\"reason\":\"r\"}";
    char first[sizeof appended.id];
    assert_int_equal(ask("POST", "/api/v1/deliveries/failed/restart",
                         JSON "Idempotency-Key: one\r\n", body),
                     202);
    str_copy(first, sizeof first, appended.id);
    assert_int_equal(ask("POST", "/api/v1/deliveries/failed/restart",
                         JSON "Idempotency-Key: other\r\n", body),
                     202);
    assert_string_equal(appended.id, first);
    assert_int_equal(ask("POST", "/api/v1/deliveries/failed/resend",
                         JSON "Idempotency-Key: other\r\n", body),
                     202);
    assert_string_not_equal(appended.id, first);
}

/* Killed between the two: the request stands, and nobody has said who asked for it. */
static void test_a_repeated_restart_asks_for_nothing_but_says_who_asked(void **state)
{
    (void)state;
    struct pg *pg = cluster_connect(&cluster);
    struct err e = {0};
    char child[HASH_ID_HEX], sql[256];
    ids_restart(child, "failed");
    snprintf(sql, sizeof sql,
             "INSERT INTO deliveries (delivery,state,parent,target,study,asked_at,request) VALUES"
             " ('%s','requested','failed','pacs','1.2',now(),'{\"command\":\"one\"}')",
             child);
    if (pg_exec(pg, sql, &e))
        fail_msg("%s", e.text);
    pg_free(pg);
    memset(&appended, 0, sizeof appended);
    assert_int_equal(ask("POST", "/api/v1/deliveries/failed/restart",
                         JSON "Idempotency-Key: one\r\n", "{\"reason\":\"r\"}"),
                     202);
    assert_true(says(child));
    assert_int_equal(appended.n, 1);
    assert_string_equal(appended.noun, "event");
    assert_int_equal(ask("POST", "/api/v1/deliveries/failed/restart",
                         JSON "Idempotency-Key: other\r\n", "{\"reason\":\"r\"}"),
                     409);
}

static void test_many_silent_connections_do_not_stop_the_others(void **state)
{
    (void)state;
    int fds[40];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial();
    assert_int_equal(ask("GET", "/api/v1/status", "", NULL), 200);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_postgres_away_is_503(void **state)
{
    (void)state;
    cluster_stop_server(&cluster);
    assert_int_equal(ask("GET", "/api/v1/status", "", NULL), 503);
    assert_true(says("Retry-After: 2"));
    assert_int_equal(ask("GET", "/", "", NULL), 200);
    cluster_start_server(&cluster);
    assert_int_equal(ask("GET", "/api/v1/status", "", NULL), 200);
    str_free(&reply);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_config_is_put_read_and_found_stale),
        cmocka_unit_test(test_rules_are_explained),
        cmocka_unit_test(test_large_bodies_are_refused_whole),
        cmocka_unit_test(test_a_token_is_asked_for_where_one_is_set),
        cmocka_unit_test(test_what_people_do_to_deliveries),
        cmocka_unit_test(test_two_who_restart_one_delivery_at_once_make_one_restart),
        cmocka_unit_test(test_a_repeated_restart_asks_for_nothing_but_says_who_asked),
        cmocka_unit_test(test_many_silent_connections_do_not_stop_the_others),
        cmocka_unit_test(test_postgres_away_is_503),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
