/* The configuration feed with the file store, and the admin port over a real socket. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "toy.h"

static const struct service service = {.name = "toy", .summary = "plays"};
static char store_path[256], store_url[300];

static struct daemon *site(const char *name)
{
    struct err e = {0};
    topic(name, "config", 1);
    struct daemon *d = toy_daemon(&service, name, "a");
    if (objstore_open(&d->store, store_url, &e))
        fail_msg("%s", e.text);
    return d;
}

static void point(struct daemon *d, const char *revision, const char *key, const char *sha256)
{
    struct err e = {0};
    struct outputs out = daemon_outputs(d);
    struct event ev = {.type = EVENT_CONFIG_CURRENT};
    ev.config.revision = revision;
    ev.config.key = key;
    ev.config.sha256 = sha256;
    if (outputs_event(&out, "config", 0, "current", &ev, -1, &e) || daemon_write(d, &out, &e))
        fail_msg("%s", e.text);
    outputs_free(&out);
}

/* Stores (unless key is given) and points. */
static void publish(struct daemon *d, const char *revision, const char *document)
{
    char sha[HASH_SHA256_HEX], key[128];
    struct err e = {0};
    hash_sha256_hex(sha, document, strlen(document));
    snprintf(key, sizeof key, "config/%s.json", sha);
    if (objstore_put_bytes(d->store, key, document, strlen(document), &e))
        fail_msg("%s", e.text);
    point(d, revision, key, sha);
}

struct expected {
    struct daemon *d;
    const char *revision, *why;
};

static int in_use(void *arg)
{
    struct expected *x = arg;
    const struct config_snapshot *s = daemon_config(x->d);
    int same = strcmp(s->revision, x->revision) == 0;
    daemon_config_release(x->d, s);
    return same;
}

static int loaded(void *arg)
{
    char why[DAEMON_WHY];
    return feed_loaded(((struct expected *)arg)->d->feed, why);
}

static int complains(void *arg)
{
    struct expected *x = arg;
    char why[DAEMON_WHY];
    (void)feed_loaded(x->d->feed, why);
    return strstr(why, x->why) != NULL;
}

static void heard(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static void an_empty_topic_means_the_built_in_configuration(void **state)
{
    struct daemon *d = site("f1");
    struct err e = {0};
    struct expected x = {.d = d};
    (void)state;
    assert_int_equal(feed_start(&d->feed, d, &e), 0);
    assert_true(testkit_within(10000, loaded, &x));
    const struct config_snapshot *s = daemon_config(d);
    assert_string_equal(s->revision, "");
    daemon_config_release(d, s);
    feed_stop(d->feed);
    toy_free(d);
}

static void good_replaces_good_and_bad_replaces_nothing(void **state)
{
    struct daemon *d = site("f2");
    struct err e = {0};
    int calls = 0;
    (void)state;
    publish(d, "1-a", "{\"defaults\":{\"quietSeconds\":7}}");
    publish(d, "2-b", "{\"defaults\":{\"quietSeconds\":8}}");
    assert_int_equal(feed_start(&d->feed, d, &e), 0);
    feed_notify(d->feed, heard, &calls);
    struct expected x = {d, "2-b", NULL};
    assert_true(testkit_within(10000, in_use, &x));
    assert_true(testkit_within(10000, loaded, &x));

    const struct config_snapshot *old = daemon_config(d);
    assert_int_equal(old->defaults.quiet_seconds, 8);
    publish(d, "3-c", "{\"nonsense\":{}}");
    x.why = "3-c";
    assert_true(testkit_within(10000, complains, &x));
    assert_true(in_use(&x) && loaded(&x));

    char sha[HASH_SHA256_HEX];
    hash_sha256_hex(sha, "other", 5);
    point(d, "4-d", "config/absent.json", sha);
    x.why = "4-d";
    assert_true(testkit_within(10000, complains, &x));
    assert_true(in_use(&x));

    publish(d, "5-e", "{\"defaults\":{\"quietSeconds\":9}}");
    x.revision = "5-e";
    assert_true(testkit_within(10000, in_use, &x));
    assert_int_equal(old->defaults.quiet_seconds, 8); /* held, so still there */
    daemon_config_release(d, old);
    feed_notify(d->feed, NULL, NULL);
    assert_true(__atomic_load_n(&calls, __ATOMIC_RELAXED) >= 1);
    feed_stop(d->feed);
    toy_free(d);
}

static void a_wrong_sum_is_not_loaded(void **state)
{
    struct daemon *d = site("f3");
    struct err e = {0};
    char sha[HASH_SHA256_HEX];
    (void)state;
    hash_sha256_hex(sha, "x", 1);
    assert_int_equal(objstore_put_bytes(d->store, "config/torn.json", "{}", 2, &e), 0);
    publish(d, "1-a", "{\"defaults\":{\"quietSeconds\":11}}");
    point(d, "2-b", "config/torn.json", sha);
    assert_int_equal(feed_start(&d->feed, d, &e), 0);
    struct expected x = {d, "1-a", "SHA-256"};
    assert_true(testkit_within(10000, complains, &x));
    assert_true(testkit_within(10000, in_use, &x)); /* the one before is better than none */
    feed_stop(d->feed);
    toy_free(d);
}

static void without_a_good_one_it_is_not_loaded(void **state)
{
    struct daemon *d = site("f4");
    struct err e = {0};
    char sha[HASH_SHA256_HEX];
    (void)state;
    hash_sha256_hex(sha, "x", 1);
    point(d, "1-a", "config/away.json", sha);
    assert_int_equal(feed_start(&d->feed, d, &e), 0);
    struct expected x = {d, "1-a", "1-a"};
    assert_true(testkit_within(10000, complains, &x));
    assert_false(loaded(&x));
    assert_int_equal(objstore_put_bytes(d->store, "config/away.json", "x", 1, &e), 0);
    publish(d, "2-b", "{}");
    x.revision = "2-b";
    assert_true(testkit_within(10000, in_use, &x));
    assert_true(testkit_within(10000, loaded, &x));
    feed_stop(d->feed);
    toy_free(d);
}

/* ---- admin ---- */

static void fetch(int port, const char *request, char *answer, size_t max)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t n = 0;
    ssize_t got;
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (n + 1 < max && (got = read(fd, answer + n, max - 1 - n)) > 0)
        n += (size_t)got;
    answer[n] = 0;
    close(fd);
}

static void the_admin_port_answers(void **state)
{
    static char answer[1 << 20];
    struct daemon *d = site("f5");
    struct err e = {0};
    (void)state;
    assert_int_equal(admin_start(&d->admin, d, &e), 0);
    int port = admin_port(d->admin);
    fetch(port, "GET /healthz HTTP/1.0\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, " 200 "));
    fetch(port, "GET /readyz HTTP/1.0\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, " 503 "));
    assert_non_null(strstr(answer, "starting"));
    readiness_set(&d->boot, true, "");
    struct str body = STR_INIT;
    int64_t end = clock_mono_ms() + 20000;
    while (admin_ready(d, &body) != 200 && clock_mono_ms() < end)
        str_clear(&body);
    assert_int_equal(admin_ready(d, &body), 200);
    str_free(&body);
    fetch(port, "GET /metrics HTTP/1.0\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, "process_resident_memory_bytes"));
    fetch(port, "POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, " 405 "));
    fetch(port, "GET /other HTTP/1.0\r\n\r\n", answer, sizeof answer);
    assert_non_null(strstr(answer, " 404 "));
    admin_stop(d->admin);
    toy_free(d);
}

static int start_all(void **state)
{
    (void)state;
    mock = kafka_mock_new(1);
    str_copy(store_path, sizeof store_path, testkit_tmpdir());
    snprintf(store_url, sizeof store_url, "file:%s", store_path);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    kafka_mock_free(mock);
    testkit_rmdir(store_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_topic_means_the_built_in_configuration),
        cmocka_unit_test(good_replaces_good_and_bad_replaces_nothing),
        cmocka_unit_test(a_wrong_sum_is_not_loaded),
        cmocka_unit_test(without_a_good_one_it_is_not_loaded),
        cmocka_unit_test(the_admin_port_answers),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_all, stop_all);
}
