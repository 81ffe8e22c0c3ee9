/* Every query against a real ledger with one story in it, and pages, filters, balances. */
#include <stdio.h>

#include "base/mem.h"
#include "ledger/ledger.h"
#include "pg/tests/cluster.h"

static struct cluster cluster;
static struct pg *pg;
static struct str out;

/* Two studies: 1.2 delivered to pacs, failed at archive; 1.3 still receiving. */
static const char story[] =
    "INSERT INTO studies VALUES ('1.2','Brain','P_1',now()-interval '9 min',now()-interval '8 "
    "min'),"
    " ('1.3','Chest','PX1',now()-interval '1 min',now());"
    "INSERT INTO series (study,series,patient_id,accession,modality,first_at,last_at) VALUES"
    " ('1.2','1.2.1','P_1','ACC-1','MR',now(),now()),('1.3','1.3.1','PX1','ACC-2','CT',now(),now())"
    ";"
    "INSERT INTO receipts (receipt,state,study,series,sop,size,stored_at) VALUES"
    " ('r1','decided','1.2','1.2.1','a',10,now()-interval '9 min'),"
    " ('r2','decided','1.2','1.2.1','b',20,now()-interval '8 min'),"
    " ('r3','stored','1.3','1.3.1','c',30,now()-interval '2 hours');"
    "INSERT INTO associations VALUES ('as1','1.2','1.2.1','ct','released',2,now());"
    "INSERT INTO decisions "
    "(decision,kind,study,series,reason,n,left_out,decided_at,members_at,held,"
    "fired,claim,partition,\"offset\") VALUES ('dec1','series','1.2','1.2.1','released',2,0,"
    "now()-interval '7 min',now(),'[]','{\"r\":\"route\"}',0,0,1);"
    "INSERT INTO members VALUES "
    "('dec1','member',0,'r1','a',NULL),('dec1','member',1,'r2','b',NULL);"
    "INSERT INTO deliveries (delivery,state,parent,decision,target,study,series,members,rules,"
    "asked_at,requested_at,finished_at,delivered,failed,reason) VALUES"
    " ('del1','delivered',NULL,'dec1','pacs','1.2','1.2.1',2,'r',now()-interval '7 "
    "min',now(),now(),"
    "2,0,NULL),"
    " ('del2','failed',NULL,'dec1','archive','1.2','1.2.1',2,'r',now()-interval '6 "
    "min',now(),now(),"
    "1,1,'gave up');"
    "INSERT INTO delivery_members VALUES ('del1',0,'delivered',1,0,NULL,now()),"
    "('del1',1,'delivered',1,45056,'coercion',now()),('del2',0,'delivered',1,0,NULL,now()),"
    "('del2',1,'failed',3,43264,'out of resources',now());"
    "INSERT INTO events (id,type,at,body) SELECT 'e'||i,'alarm.raised',now(),'{}'"
    " FROM generate_series(1,5) i;";

static int start(void **state)
{
    (void)state;
    struct err e;
    cluster_start(&cluster);
    pg = cluster_connect(&cluster);
    if (pg_migrate(pg, &e) != 0 || pg_exec(pg, story, &e) != 0)
        fail_msg("%s", e.text);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    str_free(&out);
    pg_free(pg);
    cluster_stop(&cluster);
    return 0;
}

/* The value at a path ({items,0,study}) of the last answer, by Postgres itself. */
static const char *at(const char *path)
{
    static char text[4096];
    struct err e;
    struct pg_result *r;
    if (pg_query(pg, &r, "SELECT $1::json #>> $2::text[]", 2,
                 (const char *const[]){str_cstr(&out), path}, &e) != 0)
        fail_msg("%s in %s", e.text, str_cstr(&out));
    snprintf(text, sizeof text, "%s", pg_value(r, 0, 0) ? pg_value(r, 0, 0) : "");
    pg_result_free(r);
    return text;
}

struct expectation {
    const char *path, *want;
};
static void check(const struct expectation *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(at(x[i].path), x[i].want) != 0)
            fail_msg("%s: got %s, want %s\n%s", x[i].path, at(x[i].path), x[i].want,
                     str_cstr(&out));
}
#define CHECK(...)                                                                                 \
    check((const struct expectation[]){__VA_ARGS__},                                               \
          ARRAY_LEN(((const struct expectation[]){__VA_ARGS__})))

static void ok(int rc, const struct err *e)
{
    if (rc != 0)
        fail_msg("%s", e->text);
}

static void test_status(void **state)
{
    (void)state;
    struct err e;
    str_clear(&out);
    ok(ledger_status(pg, &out, &e), &e);
    CHECK({"{configuration,revision}", "0"}, {"{receipts,undecided}", "1"},
          {"{deliveries,open}", "0"}, {"{targets,0,target}", "archive"},
          {"{targets,0,failed}", "1"}, {"{targets,0,reason}", "gave up"},
          {"{targets,1,delivered}", "1"}, {"{problems,0,kind}", "instances undecided for long"},
          {"{problems,1,kind}", "deliveries failed"}, {"{problems,1,subject}", "archive"});
}

static void test_one_study(void **state)
{
    (void)state;
    struct err e;
    str_clear(&out);
    ok(ledger_study(pg, &out, "1.2", &e), &e);
    CHECK({"{state}", "failed"}, {"{accessions,0}", "ACC-1"}, {"{series,0,instances}", "2"},
          {"{series,0,bytes}", "30"}, {"{series,0,associations,0,answered}", "2"},
          {"{decisions,0,fired,r}", "route"}, {"{deliveries,0,target}", "pacs"},
          {"{deliveries,0,members,delivered}", "2"},
          {"{deliveries,0,reasons,0,reason}", "coercion"}, {"{deliveries,1,state}", "failed"},
          {"{deliveries,1,reason}", "gave up"}, {"{deliveries,1,members,open}", "0"},
          {"{stages,0,done}", "2"}, {"{stages,1,open}", "0"}, {"{stages,3,failed}", "1"},
          {"{stages,3,stage}", "delivered"});
    assert_int_equal(ledger_study(pg, &out, "9.9", &e), -1);
    assert_int_equal(e.code, 404);
}

static void test_one_series(void **state)
{
    (void)state;
    struct err e;
    str_clear(&out);
    ok(ledger_series(pg, &out, "1.3.1", &e), &e);
    CHECK({"{items,0,study}", "1.3"}, {"{items,0,items,0,receipt}", "r3"},
          {"{items,0,undecided}", "1"});
    assert_int_equal(ledger_series(pg, &out, "9.9", &e), -1);
    assert_int_equal(e.code, 404);
}

static void test_studies_by_filter(void **state)
{
    (void)state;
    static const struct {
        const char *q, *state, *want; /* first item; "" = none */
    } table[] = {
        {NULL, NULL, "1.3"},      {"ACC-1", NULL, "1.2"},
        {"P_", NULL, "1.2"},      {"1.2", NULL, "1.2"},
        {"%", NULL, ""},          {"", NULL, "1.3"},
        {NULL, "failed", "1.2"},  {NULL, "receiving", "1.3"},
        {NULL, "delivered", ""},  {"' OR 1=1 --", NULL, ""},
        {"ACC", "failed", "1.2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err e;
        struct ledger_page page = {0};
        str_clear(&out);
        ok(ledger_studies(pg, &out, table[i].q, table[i].state, &page, &e), &e);
        CHECK({"{items,0,study}", table[i].want});
    }
}

static void test_pages_meet_everything_once(void **state)
{
    (void)state;
    struct err e;
    struct ledger_page page = {.limit = 1};
    static const char *const want[] = {"1.3", "1.2"};
    char cursor[256] = "";
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        page.cursor = cursor;
        str_clear(&out);
        ok(ledger_studies(pg, &out, NULL, NULL, &page, &e), &e);
        CHECK({"{items,0,study}", want[i]});
        snprintf(cursor, sizeof cursor, "%s", at("{next}"));
        assert_true(*cursor);
    }
    str_clear(&out);
    ok(ledger_studies(pg, &out, NULL, NULL, &page, &e), &e);
    CHECK({"{items,0}", ""}, {"{next}", ""});
    static const char *const bad[] = {"x", "~", "x~1", "-4~1", "99999999999999999999~1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        page.cursor = bad[i];
        assert_int_equal(ledger_studies(pg, &out, NULL, NULL, &page, &e), -1);
        assert_int_equal(e.code, 400);
    }
}

static void test_deliveries(void **state)
{
    (void)state;
    struct err e;
    struct ledger_page page = {0};
    str_clear(&out);
    ok(ledger_deliveries(pg, &out, NULL, NULL, NULL, &page, &e), &e);
    CHECK({"{items,0,delivery}", "del2"}, {"{items,1,delivery}", "del1"}, {"{next}", ""});
    str_clear(&out);
    ok(ledger_deliveries(pg, &out, "pacs", "delivered", "1.2", &page, &e), &e);
    CHECK({"{items,0,delivery}", "del1"}, {"{items,1}", ""});
    page.limit = 1;
    str_clear(&out);
    ok(ledger_deliveries(pg, &out, NULL, NULL, NULL, &page, &e), &e);
    char cursor[256];
    snprintf(cursor, sizeof cursor, "%s", at("{next}"));
    page.cursor = cursor;
    str_clear(&out);
    ok(ledger_deliveries(pg, &out, NULL, NULL, NULL, &page, &e), &e);
    CHECK({"{items,0,delivery}", "del1"});
}

static void test_events(void **state)
{
    (void)state;
    struct err e;
    str_clear(&out);
    ok(ledger_events(pg, &out, 0, 2, &e), &e);
    CHECK({"{items,0,id}", "e4"}, {"{items,1,id}", "e5"}, {"{next}", "5"});
    str_clear(&out);
    ok(ledger_events(pg, &out, 2, 2, &e), &e);
    CHECK({"{items,0,id}", "e3"}, {"{items,1,id}", "e4"}, {"{next}", "4"});
    str_clear(&out);
    ok(ledger_events(pg, &out, 5, 2, &e), &e);
    CHECK({"{items,0}", ""}, {"{next}", "5"});
}

static void test_ages_and_balances(void **state)
{
    (void)state;
    struct err e;
    struct ledger_ages a;
    struct ledger_balances b;
    ok(ledger_ages(pg, &a, &e), &e);
    assert_int_equal(a.of[LEDGER_RECEIPT_UNDECIDED].n, 1);
    assert_true(a.of[LEDGER_RECEIPT_UNDECIDED].age > 7000);
    assert_int_equal(a.of[LEDGER_DELIVERY_FAILED].n, 1);
    assert_int_equal(a.of[LEDGER_DELIVERY_UNREQUESTED].n, 0);
    ok(ledger_balances(pg, &b, &e), &e);
    assert_int_equal(b.receipts, 0);
    assert_int_equal(b.deliveries, 0);
    /* a member lost, a receipt decided but never announced, an outcome lost */
    ok(pg_exec(pg,
               "BEGIN; DELETE FROM members WHERE receipt='r2';"
               "UPDATE receipts SET study=NULL WHERE receipt='r1';"
               "UPDATE deliveries SET delivered=1 WHERE delivery='del1'",
               &e),
       &e);
    ok(ledger_balances(pg, &b, &e), &e);
    assert_int_equal(b.receipts, 2);
    assert_int_equal(b.deliveries, 1);
    pg_rollback(pg);
}

static void test_a_restart_supersedes(void **state)
{
    (void)state;
    struct err e;
    struct ledger_ages a;
    ok(pg_exec(pg,
               "BEGIN; INSERT INTO deliveries (delivery,state,parent,target,study,asked_at)"
               " VALUES ('del3','requested','del2','archive','1.2',now())",
               &e),
       &e);
    str_clear(&out);
    ok(ledger_study(pg, &out, "1.2", &e), &e);
    CHECK({"{state}", "working"}, {"{deliveries,1,state}", "superseded"});
    ok(ledger_ages(pg, &a, &e), &e);
    assert_int_equal(a.of[LEDGER_DELIVERY_FAILED].n, 0);
    pg_rollback(pg);
}

/* A decision by command covers nothing, so no window tells how many it is about. */
static void test_what_a_replay_asked_for_is_counted(void **state)
{
    (void)state;
    struct err e;
    struct ledger_ages a;
    struct ledger_balances b;
    ok(pg_exec(pg,
               "BEGIN; INSERT INTO commands (command,type,study,asked_at) VALUES"
               " ('c1','command.replay','1.2',now()-interval '3 hours');"
               "INSERT INTO decisions (decision,kind,study,series,command,reason,left_out,"
               "decided_at,members_at,manifest_key,held,claim,partition,\"offset\") VALUES"
               " ('dec2','series','1.2','1.2.1','c1','command',0,now()-interval '2 hours',now(),"
               "'m2','[]',0,0,9);"
               "INSERT INTO members VALUES ('dec2','member',0,'r1','a',NULL),"
               "('dec2','member',1,'r2','b',NULL);"
               "INSERT INTO deliveries (delivery,state,decision,target,study,members,manifest_key,"
               "asked_at) VALUES ('del4','asked','dec2','pacs','1.2',2,'m2',now()-interval '2 hours')",
               &e),
       &e);
    ok(ledger_ages(pg, &a, &e), &e);
    assert_int_equal(a.of[LEDGER_COMMAND_UNANSWERED].n, 1);
    assert_true(a.of[LEDGER_COMMAND_UNANSWERED].age > 10000);
    assert_int_equal(a.of[LEDGER_DELIVERY_UNREQUESTED].n, 1);
    assert_true(a.of[LEDGER_DELIVERY_UNREQUESTED].age > 7000);
    str_clear(&out);
    ok(ledger_sheet(pg, &out, &e), &e);
    CHECK({"{balanced}", "true"}, {"{states,0,state}", "receipt undecided"},
          {"{states,1,state}", "decision without members"}, {"{states,5,count}", "1"},
          {"{states,5,state}", "delivery unrequested"});
    ok(pg_exec(pg, "UPDATE deliveries SET members=1 WHERE delivery='del4'", &e), &e);
    ok(ledger_balances(pg, &b, &e), &e);
    assert_int_equal(b.deliveries, 1);
    ok(pg_exec(pg,
               "UPDATE deliveries SET members=2,state='requested' WHERE delivery='del4';"
               "UPDATE commands SET answered_at=now()",
               &e),
       &e);
    ok(ledger_ages(pg, &a, &e), &e);
    assert_int_equal(a.of[LEDGER_COMMAND_UNANSWERED].n, 0);
    assert_int_equal(a.of[LEDGER_DELIVERY_UNREQUESTED].n, 0);
    assert_int_equal(a.of[LEDGER_DELIVERY_OPEN].n, 1);
    pg_rollback(pg);
}

/* del2 → del3 (failed) → what the statement adds. */
static void child(const char *sql)
{
    struct err e;
    ok(pg_exec(pg,
               "BEGIN; UPDATE deliveries SET request='first' WHERE delivery='del2';"
               "INSERT INTO deliveries (delivery,state,parent,target,study,decision,asked_at,"
               "finished_at,request,delivered,failed) VALUES ('del3','failed','del2','archive','1.2',"
               "'dec1',now(),now(),'{\"command\":\"second\"}',2,1);"
               "INSERT INTO delivery_members (delivery,position,state,attempt) SELECT 'del3',i,"
               "(CASE i WHEN 4 THEN 'open' WHEN 5 THEN 'failed' WHEN 6 THEN 'not-accepted' WHEN 7"
               " THEN 'cancelled' WHEN 9 THEN 'repeated' ELSE 'delivered' END)::member_state,1"
               " FROM generate_series(2,9) i",
               &e),
       &e);
    ok(pg_exec(pg, sql, &e), &e);
}

static void test_what_a_restart_is_made_of(void **state)
{
    (void)state;
    struct err e;
    struct ledger_ended d;
    child("SELECT");
    ok(ledger_ended(pg, &d, "del3", "none", "second", &e), &e);
    assert_string_equal(d.status, "failed");
    assert_true(d.ended && !d.again && !d.deleted);
    assert_int_equal(d.kin, KIN_NONE);
    assert_int_equal(d.counted_well, 2);
    assert_int_equal(d.well_n, 5);
    assert_string_equal(str_cstr(&d.well), "2-3,6,8-9");
    assert_string_equal(str_cstr(&d.request), "{\"command\":\"second\"}");
    assert_string_equal(str_cstr(&d.first), "first");
    ledger_ended_free(&d);
    ok(pg_exec(pg, "UPDATE receipts SET condemned_at=now() WHERE receipt='r1'", &e), &e);
    ok(ledger_ended(pg, &d, "del2", "del3", "another", &e), &e);
    assert_false(d.again);
    ledger_ended_free(&d);
    ok(ledger_ended(pg, &d, "del2", "del3", "second", &e), &e);
    assert_true(d.again && d.deleted);
    assert_int_equal(d.kin, KIN_BAD);
    assert_string_equal(d.kin_id, "del3");
    assert_string_equal(d.kin_status, "failed");
    assert_string_equal(str_cstr(&d.well), "0");
    ledger_ended_free(&d);
    assert_int_equal(ledger_ended(pg, &d, "none", "x", "y", &e), -1);
    assert_int_equal(e.code, 404);
    pg_rollback(pg);
}

static void test_a_restart_of_a_restart_supersedes_both(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        enum ledger_kin kin;
    } rows[] = {{"requested", KIN_OPEN}, {"delivered", KIN_WELL}, {"failed", KIN_BAD},
                {"cancelled", KIN_BAD}, {"dismissed", KIN_WELL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e;
        struct ledger_ended d;
        char sql[256];
        snprintf(sql, sizeof sql,
                 "INSERT INTO deliveries (delivery,state,parent,target,study,asked_at) VALUES"
                 " ('del4','%s','del3','archive','1.2',now())",
                 rows[i].state);
        child(sql);
        str_clear(&out);
        ok(ledger_delivery_failures(pg, &out, "archive", 10, &e), &e);
        assert_string_equal(str_cstr(&out), strcmp(rows[i].state, "failed") == 0 ? "del4" : "");
        ok(ledger_ended(pg, &d, "del2", "x", "y", &e), &e);
        assert_int_equal(d.kin, rows[i].kin);
        assert_string_equal(d.kin_id, "del4");
        assert_string_equal(d.status, rows[i].kin == KIN_BAD ? "failed" : "superseded");
        ledger_ended_free(&d);
        pg_rollback(pg);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_one_study),
        cmocka_unit_test(test_one_series),
        cmocka_unit_test(test_studies_by_filter),
        cmocka_unit_test(test_pages_meet_everything_once),
        cmocka_unit_test(test_deliveries),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_ages_and_balances),
        cmocka_unit_test(test_a_restart_supersedes),
        cmocka_unit_test(test_what_a_restart_is_made_of),
        cmocka_unit_test(test_a_restart_of_a_restart_supersedes_both),
        cmocka_unit_test(test_what_a_replay_asked_for_is_counted),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
