/* The planner against the golden records of schemas/examples, and its choices about claims. */
#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "bookkeeper/tests/records.h"

/* The rows that a golden record gives: kind and how many. Files that are not here give none. */
static const struct {
    const char *file;
    struct {
        enum plan_kind kind;
        size_t n;
    } want[4];
} goldens[] = {
    {"instance.stored.json", {{PLAN_RECEIPT, 1}}},
    {"data-before-type.json", {{PLAN_EVENT, 0}}},
    {"unknown-members.json", {{PLAN_EVENT, 0}}},
    {"unknown-type.json", {{PLAN_EVENT, 0}}},
    {"association.ended.json", {{PLAN_ASSOCIATION, 1}}},
    {"association.alive.json", {{PLAN_EVENT, 0}}},
    {"claim.json", {{PLAN_EVENT, 0}}},
    {"tick.json", {{PLAN_EVENT, 0}}},
    {"padding.json", {{PLAN_EVENT, 0}}},
    {"command.complete.json", {{PLAN_EVENT, 1}, {PLAN_COMMAND, 1}}},
    {"command.replay.json", {{PLAN_EVENT, 1}, {PLAN_COMMAND, 1}}},
    {"command.reroute.json", {{PLAN_EVENT, 1}, {PLAN_COMMAND, 1}}},
    {"command.cancel.json", {{PLAN_EVENT, 1}, {PLAN_COMMAND, 1}}},
    {"command.retry.json", {{PLAN_EVENT, 1}, {PLAN_COMMAND, 1}}},
    {"command.answered.json", {{PLAN_EVENT, 1}, {PLAN_ANSWERED, 1}}},
    {"command.decided.json", {{PLAN_EVENT, 0}}},
    {"series.decided.json", {{PLAN_DECISION, 1}, {PLAN_TASK_ASKED, 1}, {PLAN_DELIVERY_ASKED, 1}}},
    {"study.decided.json", {{PLAN_DECISION, 1}, {PLAN_DELIVERY_ASKED, 1}}},
    {"task.requested.json", {{PLAN_TASK_REQUESTED, 1}}},
    {"task.started.json", {{PLAN_TASK_STARTED, 1}}},
    {"task.heartbeat.json", {{PLAN_TASK_HEARTBEAT, 1}}},
    {"task.attempted.json", {{PLAN_EVENT, 1}}},
    {"task.finished.json", {{PLAN_TASK_FINISHED, 1}, {PLAN_DELIVERY_ASKED, 1}}},
    {"delivery.requested.json", {{PLAN_DELIVERY_REQUESTED, 1}}},
    {"delivery.requested-again.json", {{PLAN_DELIVERY_REQUESTED, 1}}},
    {"delivery.progress.json", {{PLAN_DELIVERY_MEMBER, 3}}},
    {"delivery.attempted.json", {{PLAN_DELIVERY_ATTEMPTED, 1}}},
    {"delivery.finished.json", {{PLAN_DELIVERY_FINISHED, 1}}},
    {"config.current.json", {{PLAN_EVENT, 0}}},
    {"config.published.json", {{PLAN_EVENT, 1}}},
    {"record.rejected.json", {{PLAN_REJECTED, 1}}},
    {"dismissed.json", {{PLAN_EVENT, 1}, {PLAN_DELIVERY_DISMISSED, 1}, {PLAN_DISMISSAL, 1}}},
    {"hold.set.json", {{PLAN_EVENT, 1}, {PLAN_HOLD_SET, 1}}},
    {"hold.released.json", {{PLAN_EVENT, 1}, {PLAN_HOLD_RELEASED, 1}}},
    {"object.condemned.json", {{PLAN_EVENT, 1}, {PLAN_RECEIPT_STATE, 1}}},
    {"object.deleted.json", {{PLAN_EVENT, 1}, {PLAN_RECEIPT_STATE, 1}}},
    {"rule.failed.json", {{PLAN_EVENT, 1}}},
    {"alarm.raised.json", {{PLAN_EVENT, 1}}},
    {"alarm.cleared.json", {{PLAN_EVENT, 1}}},
    {"service.started.json", {{PLAN_EVENT, 1}}},
    {"service.stopped.json", {{PLAN_EVENT, 1}}},
    {"target.tested.json", {{PLAN_EVENT, 1}}},
};

/* ce_type as the producer would have written it: the body's "type". */
static struct slice type_of(const struct str *body)
{
    struct slice raw;
    assert_int_equal(rows_peek(&raw, body->data, body->len, "type"), 0);
    return slice_trim(raw, "\"");
}

static void test_golden_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
        char path[256];
        struct err e;
        struct str body = STR_INIT;
        snprintf(path, sizeof path, "schemas/examples/valid/%s", goldens[i].file);
        if (file_read(&body, path, 1 << 20, &e) != 0)
            fail_msg("%s", e.text);
        struct kafka_record r = {.topic = "talaria.test.x", .offset = 7, .timestamp = 1000};
        r.value = str_slice(&body);
        r.headers[0] = (struct kafka_header){"ce_type", type_of(&body)};
        r.headers[1] = (struct kafka_header){"claim", SLICE("3")};
        r.n_headers = 2;
        struct plan p;
        plan_init(&p);
        struct plan_position at = {"talaria.test.x", 0, 7, {3}};
        if (plan_record(&p, &at, &r, &e) != 0)
            fail_msg("%s: %s", goldens[i].file, e.text);
        assert_int_equal(at.next, 8);
        /* two of the files are there for their envelope: any rows are right */
        bool envelope = strcmp(goldens[i].file, "data-before-type.json") == 0 ||
                        strcmp(goldens[i].file, "unknown-members.json") == 0;
        for (int k = 0; k < PLAN_KINDS && !envelope; k++) {
            size_t want = 0;
            for (size_t w = 0; w < ARRAY_LEN(goldens[i].want); w++)
                want += (int)goldens[i].want[w].kind == k ? goldens[i].want[w].n : 0;
            if (p.rows[k].n != want)
                fail_msg("%s: got %zu rows of %s, want %zu", goldens[i].file, p.rows[k].n,
                         plan_kinds[k].name, want);
        }
        plan_free(&p);
        str_free(&body);
    }
}

static void test_every_example_is_in_the_table(void **state)
{
    (void)state;
    DIR *d = opendir("schemas/examples/valid");
    assert_non_null(d);
    struct dirent *f;
    while ((f = readdir(d))) {
        bool found = f->d_name[0] == '.';
        for (size_t i = 0; i < ARRAY_LEN(goldens) && !found; i++)
            found = strcmp(goldens[i].file, f->d_name) == 0;
        if (!found)
            fail_msg("%s has no row in this test", f->d_name);
    }
    closedir(d);
}

static void test_columns_are_as_many_as_they_say(void **state)
{
    (void)state;
    for (int k = 0; k < PLAN_KINDS; k++) {
        size_t n = 1;
        for (const char *c = plan_kinds[k].columns; *c; c++)
            n += *c == ',';
        if (n != plan_kinds[k].n || n > PLAN_COLUMNS)
            fail_msg("%s: %zu columns, says %zu", plan_kinds[k].name, n, plan_kinds[k].n);
    }
}

/* The rule itself has its table in common/event; here: it is asked, and what it says is kept. */
static void test_void_choices_are_kept_as_such(void **state)
{
    (void)state;
    static const struct {
        int64_t newest, claim;
        bool is_void;
        int64_t newest_then;
    } table[] = {
        {-1, 5, false, 5}, /* the log begins after the claim: its name stands for it */
        {5, 5, false, 5},
        {9, 5, true, 9},
        {-1, -1, true, -1}, /* no claim named */
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err e;
        struct plan p;
        struct test_record t;
        struct event ev = {.type = EVENT_DELIVERY_FINISHED};
        ev.finished.delivery = "d1";
        plan_init(&p);
        struct plan_position at = {"t", 0, 0, {table[i].newest}};
        record_fill(&t, ev, "t", 20, table[i].claim);
        assert_int_equal(plan_record(&p, &at, &t.record, &e), 0);
        assert_int_equal(p.rows[PLAN_VOID].n, table[i].is_void);
        assert_int_equal(p.rows[PLAN_DELIVERY_FINISHED].n, !table[i].is_void);
        assert_int_equal(at.claims.newest, table[i].newest_then);
        record_free(&t);
        plan_free(&p);
    }
}

static void test_a_claim_moves_the_newest(void **state)
{
    (void)state;
    struct err e;
    struct plan p;
    struct test_record t;
    struct event ev = {.type = EVENT_CLAIM};
    ev.claim.owner = "x";
    plan_init(&p);
    struct plan_position at = {"t", 0, 0, {4}};
    record_fill(&t, ev, "t", 30, -1);
    assert_int_equal(plan_record(&p, &at, &t.record, &e), 0);
    assert_int_equal(at.claims.newest, 30);
    assert_int_equal(at.next, 31);
    record_free(&t);
    plan_free(&p);
}

static void test_undecodable_adds_nothing(void **state)
{
    (void)state;
    struct err e;
    struct plan p;
    plan_init(&p);
    struct plan_position at = {"t", 0, 0, {-1}};
    struct kafka_record r = {.topic = "t", .offset = 3, .value = SLICE("{\"half\":")};
    r.headers[0] = (struct kafka_header){"ce_type", SLICE("talaria.instance.stored.v1")};
    r.n_headers = 1;
    assert_int_equal(plan_record(&p, &at, &r, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(at.next, 0);
    r.headers[0].value = SLICE("talaria.from.the.future.v1");
    assert_int_equal(plan_record(&p, &at, &r, &e), 0); /* unknown types are passed over */
    assert_int_equal(at.next, 4);
    for (int k = 0; k < PLAN_KINDS; k++)
        assert_int_equal(p.rows[k].n, 0);
    plan_free(&p);
}

static void test_a_rejected_instance_is_a_failed_receipt(void **state)
{
    (void)state;
    /* {"id":"0123456789abcdef"} and others */
    static const struct {
        const char *topic, *stage, *type, *base64, *want;
    } table[] = {
        {"talaria.t.instance", "decide", "instance.stored", "eyJpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ==",
         "0123456789abcdef"},
        {"talaria.t.instance", "bookkeeper", "instance.stored",
         "eyJpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ==", NULL},
        {"talaria.t.task", "decide", "instance.stored", "eyJpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ==",
         NULL},
        {"talaria.t.instance", "decide", "tick", "eyJpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ==", NULL},
        {"talaria.t.instance", "decide", "instance.stored", "e30=", NULL},
        {"talaria.t.instance", "decide", "instance.stored", "eyJpZCI6IjAxIn0=", NULL},
        {"talaria.t.instance", "decide", "instance.stored", "no base64", NULL},
        {"talaria.t.instance", "decide", "instance.stored", NULL, NULL},
        {"instance", "decide", "instance.stored", "eyJpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ==", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char type[64];
        snprintf(type, sizeof type, "talaria.%s.v1", table[i].type);
        struct row_pair header = {"ce_type", type};
        struct event ev = {.type = EVENT_RECORD_REJECTED,
                           .rejected = {.topic = table[i].topic,
                                        .stage = table[i].stage,
                                        .error = "why",
                                        .headers = {&header, 1},
                                        .record_base64 = table[i].base64}};
        struct test_record t;
        struct plan p;
        struct err e = {0};
        struct plan_position at = {"talaria.t.dlq", 0, 0, {-1}};
        plan_init(&p);
        assert_int_equal(plan_record(&p, &at, record_fill(&t, ev, at.topic, 0, -1), &e), 0);
        assert_int_equal(p.rows[PLAN_REJECTED].n, 1);
        assert_int_equal(p.rows[PLAN_RECEIPT_STATE].n, table[i].want != NULL);
        if (table[i].want)
            assert_string_equal(p.rows[PLAN_RECEIPT_STATE].items[0].cells[0], table[i].want);
        plan_free(&p);
        record_free(&t);
    }
}

static void test_members_count_through_parts(void **state)
{
    (void)state;
    struct manifest_member members[] = {{.receipt = "r1", .sop = "1"}, {.receipt = "r2"}};
    struct manifest_shadow shadow = {.receipt = "r0", .of = 1};
    struct manifest m = {.members = {members, 2}, .superseded = {&shadow, 1}};
    struct plan p;
    plan_init(&p);
    struct plan_count at = {0};
    plan_members(&p, "d", &m, &at);
    plan_members(&p, "d", &m, &at);
    assert_int_equal(at.members, 4);
    assert_int_equal(at.superseded, 2);
    static const char *const want[][3] = {{"member", "0", NULL},    {"member", "1", NULL},
                                          {"superseded", "0", "1"}, {"member", "2", NULL},
                                          {"member", "3", NULL},    {"superseded", "1", "3"}};
    assert_int_equal(p.rows[PLAN_MEMBER].n, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const char *const *got = p.rows[PLAN_MEMBER].items[i].cells;
        assert_string_equal(got[1], want[i][0]);
        assert_string_equal(got[2], want[i][1]);
        assert_string_equal(got[5] ? got[5] : "-", want[i][2] ? want[i][2] : "-");
    }
    plan_free(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_records),
        cmocka_unit_test(test_every_example_is_in_the_table),
        cmocka_unit_test(test_columns_are_as_many_as_they_say),
        cmocka_unit_test(test_void_choices_are_kept_as_such),
        cmocka_unit_test(test_a_claim_moves_the_newest),
        cmocka_unit_test(test_undecodable_adds_nothing),
        cmocka_unit_test(test_a_rejected_instance_is_a_failed_receipt),
        cmocka_unit_test(test_members_count_through_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
