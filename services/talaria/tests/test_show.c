/* JSON of the gateway as text. */
#include <stdlib.h>

#include "base/mem.h"
#include "talaria/show.h"
#include "testkit/testkit.h"

static json_t *parse(const char *text)
{
    json_error_t why;
    json_t *j = json_loads(text, 0, &why);
    if (!j)
        fail_msg("%s", why.text);
    return j;
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"1970-01-01T00:00:01Z", 1000},
        {"1970-01-01T00:00:01.5Z", 1500},
        {"1970-01-01T00:00:01.123456+00:00", 1123},
        {"1970-01-01T02:00:00+02:00", 0},
        {"1970-01-01T00:00:00-00:30", 1800000},
        {"1970-01-01T00:00:00", -1},
        {"1970-01-01T00:00:00+2", -1},
        {"yesterday", -1},
        {NULL, -1},
    };
    char at[SHOW_CLOCK];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(show_parse_time(cases[i].text), cases[i].want);
    assert_string_equal(show_clock(at, 1773483302123, false), "10:15:02.123");
    assert_string_equal(show_clock(at, 1773483302123, true), "2026-03-14 10:15:02");
    assert_string_equal(show_clock(at, -1, true), "-");
}

static const char study_json[] =
    "{\"study\":\"1.2.3\",\"state\":\"%s\",\"description\":\"Demo\",\"patientId\":\"P\","
    "\"firstAt\":\"2026-03-14T10:15:00.000Z\",\"lastAt\":\"2026-03-14T10:15:01Z\","
    "\"accessions\":[],\"modalities\":[\"CT\"],\"stages\":[],"
    "\"series\":[{\"series\":\"1.2.3.1\",\"study\":\"1.2.3\",\"modality\":\"CT\",\"description\":"
    "\"Thorax\",\"source\":\"demo\",\"firstAt\":\"2026-03-14T10:15:00Z\",\"lastAt\":"
    "\"2026-03-14T10:15:01Z\",\"instances\":20,\"bytes\":660000,\"undecided\":%d,\"associations\":"
    "[{\"association\":\"a\",\"outcome\":\"released\",\"answered\":20}]}],"
    "\"decisions\":[{\"decision\":\"d\",\"kind\":\"series\",\"series\":\"1.2.3.1\",\"reason\":"
    "\"released\",\"addition\":1,\"instances\":20,\"decidedAt\":\"2026-03-14T10:15:03.250Z\","
    "\"fired\":{\"all\":\"route\"},\"failed\":null,\"held\":null}],"
    "\"tasks\":[],\"deliveries\":[{\"delivery\":\"x\",\"target\":\"pacs\",\"series\":\"1.2.3.1\","
    "\"state\":\"%s\",\"attempts\":2,\"members\":{\"asked\":20,\"open\":%d,\"delivered\":%d,"
    "\"repeated\":0,\"notAccepted\":0,\"failed\":0,\"cancelled\":0},\"reasons\":[],"
    "\"attemptedAt\":\"2026-03-14T10:15:03.500Z\",\"finishedAt\":%s,\"reason\":%s}],"
    "\"rejected\":[]}";

static json_t *study(const char *state, int undecided, const char *delivery, int open,
                     const char *finished, const char *reason)
{
    struct str s = STR_INIT;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    str_printf(&s, study_json, state, undecided, delivery, open, 20 - open, finished, reason);
#pragma GCC diagnostic pop
    json_t *j = parse(str_cstr(&s));
    str_free(&s);
    return j;
}

static void test_decision_by_command(void **state)
{
    (void)state;
    json_t *j = study("delivered", 0, "delivered", 0, "\"2026-03-14T10:15:03.750Z\"", "null");
    json_t *d = json_array_get(json_object_get(j, "decisions"), 0);
    struct str s = STR_INIT;
    json_object_set_new(d, "of", json_pack("[s]", "before"));
    show_study(&s, j, false);
    assert_non_null(strstr(str_cstr(&s), "again by command, over 1 decision: rules all (route)"));
    str_free(&s);
    json_decref(j);
}

static void test_study_delivered(void **state)
{
    (void)state;
    json_t *j = study("delivered", 0, "delivered", 0, "\"2026-03-14T10:15:03.750Z\"", "null");
    struct str s = STR_INIT;
    show_study(&s, j, false);
    assert_string_equal(
        str_cstr(&s),
        "Demo  1.2.3\ndelivered; received on 2026-03-14 10:15:00 UTC\n\n"
        "TIME          AFTER  STAGE      SERIES     WHAT\n"
        "10:15:00.000  0 ms   received   CT Thorax  20 images, 660 KB from demo in 1.0 s; "
        "association released\n"
        "10:15:03.250  3.2 s  decided    CT Thorax  released, 20 images: rules all (route)\n"
        "10:15:03.750  3.7 s  delivered  CT Thorax  pacs: 20 delivered of 20, 2 attempts\n");
    assert_true(show_study_ended(j));
    assert_false(show_study_bad(j));
    str_free(&s);
    json_decref(j);
}

static void test_study_open(void **state)
{
    (void)state;
    json_t *j = study("working", 0, "attempted", 5, "null", "\"no answer \\u001b[2J\"");
    struct str s = STR_INIT;
    show_study(&s, j, false);
    assert_non_null(strstr(str_cstr(&s), "10:15:03.500  3.5 s  delivering  CT Thorax  pacs: 15 "
                                         "delivered, 5 open of 20, 2 attempts: no answer ?[2J\n"));
    assert_false(show_study_ended(j));
    str_free(&s);
    json_decref(j);
}

static void test_study_ended(void **state)
{
    (void)state;
    static const struct {
        const char *state, *delivery;
        int undecided;
        bool ended, bad;
    } cases[] = {
        {"receiving", "delivered", 1, false, false}, {"working", "asked", 0, false, false},
        {"working", "requested", 0, false, false},   {"failed", "failed", 0, true, true},
        {"held", "delivered", 0, true, true},        {"done", "dismissed", 0, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *j = study(cases[i].state, cases[i].undecided, cases[i].delivery, 0, "null", "null");
        assert_int_equal(show_study_ended(j), cases[i].ended);
        assert_int_equal(show_study_bad(j), cases[i].bad);
        json_decref(j);
    }
    json_t *empty = parse("{}");
    assert_false(show_study_ended(empty));
    json_decref(empty);
}

static void test_nothing_of_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}", "[]",
        "{\"series\":[{}],\"decisions\":[{}],\"tasks\":[{}],\"deliveries\":[{}],"
        "\"rejected\":[{}],\"items\":[{}],\"targets\":[{}],\"problems\":[{}]}",
        "{\"series\":3,\"decisions\":{\"a\":1},\"targets\":[1],\"problems\":\"x\",\"items\":[null]"
        "}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *j = parse(texts[i]);
        struct str s = STR_INIT;
        show_study(&s, j, true);
        show_status(&s, j, true);
        show_studies(&s, j, true);
        assert_true(s.len > 0);
        str_free(&s);
        json_decref(j);
    }
}

static void test_status(void **state)
{
    (void)state;
    json_t *j = parse(
        "{\"at\":\"2026-03-14T10:15:00Z\",\"configuration\":{\"revision\":\"3-ab\",\"at\":"
        "\"2026-03-14T10:00:00Z\",\"by\":\"jo\",\"why\":\"new CT\",\"published\":true},"
        "\"receipts\":{\"undecided\":4,\"oldest\":\"2026-03-14T10:14:30Z\"},\"studies\":{"
        "\"lastDay\":"
        "7,\"newest\":\"2026-03-14T10:14:59Z\"},\"tasks\":{\"open\":0,\"oldest\":null},"
        "\"deliveries\":{\"open\":0,\"oldest\":null},\"targets\":[{\"target\":\"pacs\",\"open\":1,"
        "\"failed\":0,\"delivered\":12,\"oldestOpen\":\"2026-03-14T10:14:00Z\",\"lastDelivered\":"
        "\"2026-03-14T10:13:00Z\",\"reason\":\"refused\"}],\"problems\":[{\"kind\":\"deliveries "
        "failed\",\"subject\":\"pacs\",\"count\":2,\"since\":\"2026-03-14T08:10:00Z\"}]}");
    struct str s = STR_INIT;
    show_status(&s, j, false);
    assert_string_equal(
        str_cstr(&s), "configuration  3-ab of 2026-03-14 10:00:00 by jo: new CT\n"
                      "studies        7 in the last day, the newest image at 2026-03-14 10:14:59\n"
                      "undecided      4, the oldest for 30.0 s\n"
                      "open tasks     0\n"
                      "deliveries     0\n\n"
                      "TARGET  DELIVERED  OPEN  OLDEST     FAILED  LAST                 REASON\n"
                      "pacs    12         1     1 min 0 s  0       2026-03-14 10:13:00  refused\n\n"
                      "PROBLEM            WHERE  COUNT  FOR\n"
                      "deliveries failed  pacs   2      2 h 5 min\n");
    str_free(&s);
    json_decref(j);
}

static void test_ledger(void **state)
{
    (void)state;
    static const struct {
        const char *balanced, *receipts, *say;
    } cases[] = {{"true", "0", "The ledger adds up."},
                 {"false", "3", "THE LEDGER DOES NOT ADD UP."}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[500];
        struct str out = STR_INIT;
        snprintf(text, sizeof text,
                 "{\"balanced\":%s,\"balances\":{\"receipts\":%s,\"deliveries\":0},\"states\":["
                 "{\"state\":\"delivery open\",\"count\":7,\"oldestSeconds\":3725.5},"
                 "{\"state\":\"delivery failed\",\"count\":2,\"oldestSeconds\":0.0}]}",
                 cases[i].balanced, cases[i].receipts);
        json_t *j = parse(text);
        show_ledger(&out, j, false);
        assert_non_null(strstr(out.data, cases[i].say));
        assert_non_null(strstr(out.data, "1 h 2 min"));
        snprintf(text, sizeof text, "receipts    %s", cases[i].receipts);
        assert_non_null(strstr(out.data, text));
        assert_non_null(strstr(out.data, "delivery failed  2"));
        json_decref(j);
        str_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),         cmocka_unit_test(test_decision_by_command),
        cmocka_unit_test(test_study_delivered),
        cmocka_unit_test(test_study_open),    cmocka_unit_test(test_study_ended),
        cmocka_unit_test(test_nothing_of_it), cmocka_unit_test(test_status),
        cmocka_unit_test(test_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
