/* Saving, publishing and importing revisions against a real Postgres and a file store. */
#include "base/mem.h"
#include "event/keys.h"
#include "gateway/configs.h"
#include "pg/tests/cluster.h"

static struct cluster cluster;
static struct pg *pg;
static struct objstore *store;
static char store_path[256];

/* What was written: "revision" per config.published, "=revision" per config.current. */
static struct str written;
static int failures; /* so many writes fail first */

static int record_write(void *arg, const struct event *current, const struct event *published,
                        struct err *e)
{
    (void)arg;
    struct str text = STR_INIT;
    struct event copy = *published;
    int64_t size;
    if (failures > 0) {
        failures--;
        return err_set(e, ERR_RETRY, 0, "the broker is away");
    }
    copy.source = "/talaria/test/gateway/1";
    copy.time = "2026-11-24T10:00:00.000Z";
    if (!copy.id || strncmp(copy.id, copy.config.revision, strlen(copy.config.revision)) != 0)
        fail_msg("the event's id does not follow from its revision");
    if (event_encode(&text, &copy, e) != 0)
        fail_msg("%s", e->text);
    /* the object is there before the record that points to it */
    if (objstore_head(store, published->config.key, &size, e) != 0)
        fail_msg("%s", e->text);
    str_printf(&written, "%s%s ", current ? "=" : "", published->config.revision);
    str_free(&text);
    return 0;
}

static struct configs_publisher publisher(void)
{
    return (struct configs_publisher){store, record_write, NULL};
}

static int start(void **state)
{
    (void)state;
    struct err e;
    char url[300];
    cluster_start(&cluster);
    pg = cluster_connect(&cluster);
    assert_int_equal(pg_migrate(pg, &e), 0);
    snprintf(store_path, sizeof store_path, "%s", testkit_tmpdir());
    snprintf(url, sizeof url, "file:%s", store_path);
    assert_int_equal(objstore_open(&store, url, &e), 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    str_free(&written);
    objstore_close(store);
    testkit_rmdir(store_path);
    pg_free(pg);
    cluster_stop(&cluster);
    return 0;
}

static int empty(void **state)
{
    (void)state;
    struct err e;
    str_clear(&written);
    failures = 0;
    return pg_exec(pg, "TRUNCATE config_revisions; UPDATE config_current SET number=0,revision='0'",
                   &e);
}

/* Saves; returns the code of the refusal or 0. revision: in what is expected, out what is current.
 */
static int put(const char *document, char revision[CONFIGS_REVISION])
{
    struct err e = {0};
    char seen[CONFIGS_REVISION];
    str_copy(seen, sizeof seen, revision);
    struct configs_change x = {document, strlen(document), seen, "eva", "because"};
    if (configs_put(pg, &x, revision, &e) == 0)
        return 0;
    if (e.kind != ERR_REJECT)
        fail_msg("%s", e.text);
    return e.code;
}

static int publish(void)
{
    struct err e;
    struct configs_publisher p = publisher();
    return configs_publish(pg, &p, &e);
}

static void test_nothing_saved_is_revision_0(void **state)
{
    (void)state;
    struct err e;
    struct configs_current now;
    assert_int_equal(configs_get(pg, &now, &e), 0);
    assert_string_equal(now.revision, "0");
    assert_string_equal(str_cstr(&now.document), "{}");
    assert_true(now.published);
    str_free(&now.document);
    assert_int_equal(publish(), 0);
}

static void test_compare_and_set(void **state)
{
    (void)state;
    char first[CONFIGS_REVISION] = "0", second[CONFIGS_REVISION], stale[CONFIGS_REVISION] = "0";
    assert_int_equal(put("{}", first), 0);
    assert_string_equal(first, "1-44136fa355b3"); /* number and hash of the text */
    assert_int_equal(put("{ }", stale), 412);
    assert_string_equal(stale, first); /* what the caller should have seen */
    str_copy(second, sizeof second, first);
    assert_int_equal(put("{}", second), 0); /* the same again changes nothing */
    assert_string_equal(second, first);
    assert_int_equal(put("{ }", second), 0);
    assert_true(strncmp(second, "2-", 2) == 0);
    assert_string_equal(cluster_one(pg, "SELECT by_user || why FROM config_revisions"
                                        " WHERE number=2"),
                        "evabecause");
}

static void test_published_once_in_order_pointer_last(void **state)
{
    (void)state;
    char r[CONFIGS_REVISION] = "0", want[200], one[CONFIGS_REVISION];
    put("{}", r);
    str_copy(one, sizeof one, r);
    put("{ }", r);
    assert_int_equal(publish(), 2);
    snprintf(want, sizeof want, "%s =%s ", one, r);
    assert_string_equal(str_cstr(&written), want);
    assert_int_equal(publish(), 0);
    assert_string_equal(str_cstr(&written), want);
}

static void test_a_failed_publication_is_repeated(void **state)
{
    (void)state;
    char r[CONFIGS_REVISION] = "0";
    put("{  }", r);
    failures = 1;
    assert_int_equal(publish(), -1);
    assert_string_equal(cluster_one(pg, "SELECT published FROM config_revisions"), "f");
    assert_int_equal(publish(), 1);
    assert_string_equal(cluster_one(pg, "SELECT published FROM config_revisions"), "t");
}

static void test_a_reverted_document_has_its_object_already(void **state)
{
    (void)state;
    char r[CONFIGS_REVISION] = "0";
    put("{}", r);
    assert_int_equal(publish(), 1);
    put("{\n}", r);
    assert_int_equal(publish(), 1);
    put("{}", r);
    assert_int_equal(publish(), 1);
    assert_true(strncmp(r, "3-44136fa355b3", 14) == 0);
}

static void test_what_kafka_is_ahead_by_is_imported(void **state)
{
    (void)state;
    struct err e;
    char r[CONFIGS_REVISION] = "0", ahead[CONFIGS_REVISION];
    struct configs_current now;
    put("{\"rules\":{}}", r);
    assert_int_equal(publish(), 1);
    snprintf(ahead, sizeof ahead, "7%s", strchr(r, '-'));
    empty(state); /* Postgres comes back from an old backup */
    static const char *const harmless[] = {"", "0", "garbage", "0-aa"};
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
        assert_int_equal(configs_import(pg, store, harmless[i], &e), 0);
    assert_int_equal(configs_import(pg, store, ahead, &e), 0);
    assert_int_equal(configs_import(pg, store, ahead, &e), 0);
    assert_int_equal(configs_get(pg, &now, &e), 0);
    assert_string_equal(now.revision, ahead);
    assert_int_equal(now.number, 7);
    assert_string_equal(str_cstr(&now.document), "{\"rules\":{}}");
    assert_true(now.published);
    str_free(&now.document);
    assert_int_equal(configs_import(pg, store, "9-0123456789ab", &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
}

static void test_history(void **state)
{
    (void)state;
    struct err e;
    struct str out = STR_INIT;
    char r[CONFIGS_REVISION] = "0";
    put("{}", r);
    assert_int_equal(configs_list(pg, &out, &e), 0);
    assert_non_null(strstr(str_cstr(&out), "\"why\":\"because\""));
    assert_null(strstr(str_cstr(&out), "document"));
    str_free(&out);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_saved_is_revision_0, empty),
        cmocka_unit_test_setup(test_compare_and_set, empty),
        cmocka_unit_test_setup(test_published_once_in_order_pointer_last, empty),
        cmocka_unit_test_setup(test_a_failed_publication_is_repeated, empty),
        cmocka_unit_test_setup(test_a_reverted_document_has_its_object_already, empty),
        cmocka_unit_test_setup(test_what_kafka_is_ahead_by_is_imported, empty),
        cmocka_unit_test_setup(test_history, empty),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
