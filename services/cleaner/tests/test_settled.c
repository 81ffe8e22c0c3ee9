/* What is settled: one receipt of which everything is, and a table of situations that differ from
 * it in one thing each. */
#include "base/mem.h"
#include "pg/tests/cluster.h"

static struct cluster cluster;
static struct pg *pg;

static int start(void **state)
{
    (void)state;
    struct err e;
    cluster_start(&cluster);
    pg = cluster_connect(&cluster);
    if (pg_migrate(pg, &e) != 0)
        fail_msg("%s", e.text);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    pg_free(pg);
    cluster_stop(&cluster);
    return 0;
}

/* Receipt r1 in decision d1 of ten days ago, which asked for a delivery (ended well five days ago)
 * and a task with a delivery of its own; all is kept for three days. r2 is another instance of it.
 */
static const char settled[] =
    "TRUNCATE receipts, decisions, members, tasks, deliveries, holds, dismissals, commands, "
    "rejected,"
    " condemned;"
    "INSERT INTO receipts (receipt,state,study,series,object_key,size) VALUES"
    " ('r1','decided','1','1.1','k1',10),('r2','decided','1','1.1','k2',10);"
    "INSERT INTO decisions "
    "(decision,kind,study,series,decided_at,manifest_key,members_at,keep_seconds,"
    "held,joined,claim,partition,\"offset\") VALUES ('d1','series','1','1.1',now()-interval '10 "
    "d','m1',"
    "now()-interval '10 d',259200,'[]','[]',0,0,7);"
    "INSERT INTO members VALUES ('d1','member',0,'r1','s1',NULL),('d1','duplicate',0,'r2','s1',0);"
    "INSERT INTO tasks "
    "(task,state,decision,study,series,manifest_key,asked_at,started_at,finished_at,"
    "result_key,keep_seconds) VALUES ('t1','succeeded','d1','1','1.1','m1',now()-interval '10 d',"
    "now()-interval '9 d',now()-interval '9 d','results/t1/1.0/manifest.json',259200);"
    "INSERT INTO deliveries (delivery,state,decision,task,study,series,manifest_key,finished_at) "
    "VALUES"
    " ('v1','delivered','d1',NULL,'1','1.1','m1',now()-interval '5 d'),"
    " ('v2','delivered',NULL,'t1','1','1.1','results/t1/1.0/manifest.json',now()-interval '5 d');";

#define CHILD(columns, values)                                                                     \
    "INSERT INTO deliveries (delivery,parent,decision,study,series,manifest_key," columns          \
    ") VALUES ('c1','v1','d1','1','1.1','m1'," values ");"
#define FAILED "UPDATE deliveries SET state='failed' WHERE delivery='v1';"
#define STUDY_DECISION(id, up_to, more, values)                                                    \
    "INSERT INTO decisions (decision,kind,study,decided_at,manifest_key,members_at,keep_seconds,"  \
    "joined,claim,partition,\"offset\",last_offset" more ") VALUES ('" id "','study','1',now()-"   \
    "interval '9 d','ms',now(),259200,'[\"whole\"]',0,0,20," up_to values ");"
#define JOINED "UPDATE decisions SET joined='[\"whole\"]' WHERE decision='d1';"
#define HELD   "UPDATE decisions SET held='[{\"rule\":\"ai\",\"why\":\"late\"}]' WHERE decision='d1';"
#define REPLAY(of)                                                                                 \
    "INSERT INTO decisions (decision,kind,study,series,command,\"of\",decided_at,members_at,"      \
    "keep_seconds,held,joined,claim,partition,\"offset\") VALUES "                                 \
    "('x1','series','1','1.1','c1','" of "',now()-interval '8 d',now(),259200,'[]','[]',0,0,9);"

static const struct {
    const char *what, *change, *want; /* receipts */
} situations[] = {
    {"everything ended", "", "r1 r2"},
    /* the receipt itself */
    {"not decided", "UPDATE receipts SET state='stored' WHERE receipt='r1'", "r2"},
    {"condemned before", "UPDATE receipts SET state='condemned' WHERE receipt='r1'", "r2"},
    {"removed before", "UPDATE receipts SET removed_at=now() WHERE receipt='r1'", "r2"},
    {"in no decision", "DELETE FROM members WHERE receipt='r1'", "r2"},
    {"never announced", "UPDATE receipts SET object_key=NULL WHERE receipt='r1'", "r2"},
    /* (1) deliveries and tasks */
    {"delivery asked", "UPDATE deliveries SET state='asked',finished_at=NULL WHERE delivery='v1'",
     ""},
    {"delivery under way",
     "UPDATE deliveries SET state='attempted',finished_at=NULL WHERE delivery='v1'", ""},
    {"delivery failed", FAILED, ""},
    {"delivery cancelled", "UPDATE deliveries SET state='cancelled' WHERE delivery='v1'", ""},
    {"delivery expired", "UPDATE deliveries SET state='expired' WHERE delivery='v1'", ""},
    {"delivery failed and dismissed",
     "UPDATE deliveries SET state='dismissed',dismissed_at=now()-interval"
     " '4 d' WHERE delivery='v1'",
     "r1 r2"},
    {"delivery dismissed before it ended",
     "UPDATE deliveries SET state='dismissed',finished_at=NULL,dismissed_at=now()-interval '4 d'"
     " WHERE delivery='v1'",
     ""},
    {"restart under way", FAILED CHILD("state", "'requested'"), ""},
    {"restart ended well", FAILED CHILD("state,finished_at", "'delivered',now()-interval '4 d'"),
     "r1 r2"},
    {"restart failed, too", FAILED CHILD("state,finished_at", "'failed',now()-interval '4 d'"), ""},
    {"restart of the restart ended well",
     FAILED CHILD("state,finished_at",
                  "'failed',now()-interval '4 d'") "INSERT INTO deliveries "
                                                   "(delivery,parent,decision,study,manifest_key,"
                                                   "state,finished_at) VALUES"
                                                   " ('c2','c1','d1','1','m1','delivered',now()-"
                                                   "interval '4 d')",
     "r1 r2"},
    {"restart failed and was dismissed",
     FAILED CHILD("state,finished_at,dismissed_at",
                  "'dismissed',now()-interval '4 d',now()-interval '4 d'"),
     "r1 r2"},
    {"a resend of what was delivered failed",
     CHILD("state,finished_at", "'failed',now()-interval '4 d'"), ""},
    {"task under way", "UPDATE tasks SET state='started',finished_at=NULL", ""},
    {"task failed", "UPDATE tasks SET state='failed'", ""},
    {"task failed and dismissed",
     "UPDATE tasks SET state='dismissed',dismissed_at=now()-interval '4 d'", "r1 r2"},
    {"restarted task ended well",
     "UPDATE tasks SET state='failed'; INSERT INTO tasks "
     "(task,parent,decision,study,series,manifest_key,"
     "state,finished_at) VALUES ('t2','t1','d1','1','1.1','m1','succeeded',now()-interval '4 d')",
     "r1 r2"},
    {"delivery of a task under way",
     "UPDATE deliveries SET state='requested',finished_at=NULL"
     " WHERE delivery='v2'",
     ""},
    {"delivery of a task failed", "UPDATE deliveries SET state='failed' WHERE delivery='v2'", ""},
    /* (1) held */
    {"held", HELD, ""},
    {"held, dismissed as a whole",
     HELD "INSERT INTO dismissals VALUES ('held','d1',NULL,NULL,now())", "r1 r2"},
    {"held, this rule dismissed",
     HELD "INSERT INTO dismissals VALUES ('held','d1/ai',NULL,NULL,now())", "r1 r2"},
    {"held, another rule dismissed",
     HELD "INSERT INTO dismissals VALUES ('held','d1/other',NULL,NULL,now())", ""},
    {"held, replayed", HELD REPLAY("[\"d1\"]"), "r1 r2"},
    {"held, another decision replayed", HELD REPLAY("[\"d9\"]"), ""},
    {"held, replayed for another rule",
     HELD REPLAY("[\"d1\"]") "INSERT INTO commands (command,rules) VALUES ('c1','[\"other\"]')",
     ""},
    /* (1) every decision that names it */
    {"a second decision is under way",
     REPLAY("[]") "INSERT INTO members VALUES ('x1','member',0,'r1','s1',NULL);"
                  "INSERT INTO deliveries (delivery,state,decision,study) VALUES "
                  "('v9','asked','x1','1')",
     "r2"},
    {"a second decision of which the members are not read yet",
     "INSERT INTO decisions "
     "(decision,kind,study,decided_at,manifest_key,claim,partition,\"offset\") VALUES"
     " ('x2','series','1',now()-interval '9 d','m2',0,0,9)",
     ""},
    {"a decision of another study names it",
     REPLAY("[]") "UPDATE decisions SET study='2' WHERE decision='x1';"
                  "INSERT INTO members VALUES ('x1','member',0,'r1','s1',NULL)",
     "r2"},
    {"a later window's task over all of the series is under way",
     REPLAY("[]") "INSERT INTO tasks (task,state,decision,study,series,manifest_key) VALUES"
                  " ('t9','asked','x1','1','1.1','union')",
     ""},
    {"a later window's task over all of another series is under way",
     REPLAY("[]") "UPDATE decisions SET series='1.2' WHERE decision='x1';"
                  "INSERT INTO tasks (task,state,decision,study,series,manifest_key) VALUES"
                  " ('t9','asked','x1','1','1.2','union')",
     "r1 r2"},
    /* (1) study groups */
    {"its study group is open", JOINED, ""},
    {"its study group ended", JOINED STUDY_DECISION("g1", "7", "", ""), "r1 r2"},
    {"its study group ended before it", JOINED STUDY_DECISION("g1", "6", "", ""), ""},
    {"another rule's study group ended",
     JOINED STUDY_DECISION("g1", "7", "", "") "UPDATE decisions SET joined='[\"other\"]' WHERE"
                                              " decision='g1'",
     ""},
    {"its study group's delivery is under way",
     JOINED STUDY_DECISION("g1", "7", "",
                           "") "INSERT INTO deliveries (delivery,state,decision,study) VALUES "
                               "('vg','requested','g1','1')",
     ""},
    {"its study group holds something",
     JOINED STUDY_DECISION("g1", "7", ",held", ",'[{\"rule\":\"whole\",\"why\":\"late\"}]'"), ""},
    /* (2) commands */
    {"a replay is unanswered",
     "INSERT INTO commands (command,type,study,asked_at) VALUES ('c','command.replay','1',now())",
     ""},
    {"a reroute of its decision is unanswered",
     "INSERT INTO commands (command,type,decisions,asked_at) VALUES "
     "('c','command.reroute','[\"d1\"]',now())",
     ""},
    {"a replay of another study is unanswered",
     "INSERT INTO commands (command,type,study,asked_at) VALUES ('c','command.replay','2',now())",
     "r1 r2"},
    {"a replay was answered just now",
     "INSERT INTO commands (command,type,study,answered_at) VALUES "
     "('c','command.replay','1',now())",
     ""},
    {"a replay was answered long ago",
     "INSERT INTO commands (command,type,study,answered_at) VALUES ('c','command.replay','1',now()-"
     "interval '1 h')",
     "r1 r2"},
    {"a cancel is unanswered",
     "INSERT INTO commands (command,type,study,asked_at) VALUES ('c','command.cancel','1',now())",
     "r1 r2"},
    /* (3) holds */
    {"a hold on the study", "INSERT INTO holds (hold,study,set_offset) VALUES ('h','1',5)", ""},
    {"a hold on the receipt", "INSERT INTO holds (hold,receipts,set_offset) VALUES ('h','{r1}',5)",
     "r2"},
    {"a hold that is over",
     "INSERT INTO holds (hold,study,set_offset,until) VALUES ('h','1',5,now()-interval '1 s')",
     "r1 r2"},
    {"a hold with a time to come",
     "INSERT INTO holds (hold,study,set_offset,until) VALUES ('h','1',5,now()+interval '1 h')", ""},
    {"a released hold",
     "INSERT INTO holds (hold,study,set_offset,released_offset) VALUES ('h','1',5,6)", "r1 r2"},
    {"a hold set again",
     "INSERT INTO holds (hold,study,set_offset,released_offset) VALUES ('h','1',7,6)", ""},
    {"a hold on another study", "INSERT INTO holds (hold,study,set_offset) VALUES ('h','2',5)",
     "r1 r2"},
    /* (4) rejected records */
    {"a rejected record of its study",
     "INSERT INTO rejected VALUES ('t',0,0,'decide',0,'1','bad',2,now())", ""},
    {"a rejected record of another study",
     "INSERT INTO rejected VALUES ('t',0,0,'decide',0,'2','bad',2,now())", "r1 r2"},
    /* retention: since the last end */
    {"ended two days ago",
     "UPDATE deliveries SET finished_at=now()-interval '2 d' WHERE delivery='v1'", ""},
    {"a task's delivery ended two days ago",
     "UPDATE deliveries SET finished_at=now()-interval '2 d' WHERE delivery='v2'", ""},
    {"dismissed two days ago",
     "UPDATE deliveries SET state='dismissed',dismissed_at=now()-interval '2 d'"
     " WHERE delivery='v1'",
     ""},
    {"kept for longer", "UPDATE decisions SET keep_seconds=604800", ""},
    {"kept for no time",
     "UPDATE decisions SET keep_seconds=0;"
     "UPDATE deliveries SET finished_at=now()-interval '1 s' WHERE delivery='v1'",
     "r1 r2"},
    {"no word on how long it is kept: three days",
     "UPDATE decisions SET keep_seconds=NULL;"
     "UPDATE deliveries SET finished_at=now()-interval '2 d'",
     ""},
    {"its study group keeps it longer",
     JOINED STUDY_DECISION(
         "g1", "7", "",
         "") "UPDATE decisions SET keep_seconds=864000 WHERE"
             " decision='g1'; INSERT INTO members VALUES ('g1','member',0,'r1','s1',NULL)",
     "r2"},
};

static const char *receipts_settled(const char *at_once)
{
    char sql[300];
    snprintf(sql, sizeof sql,
             "SELECT string_agg(receipt, ' ' ORDER BY receipt) FROM settled_receipts('{1,1}',%s)",
             at_once);
    return cluster_one(pg, sql);
}

static void set_up(const char *change)
{
    struct err e;
    if (pg_exec(pg, settled, &e) != 0 || pg_exec(pg, change, &e) != 0)
        fail_msg("%s: %s", change, e.text);
}

static void test_each_clause_alone_keeps_a_receipt(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(situations); i++) {
        set_up(situations[i].change);
        const char *got = receipts_settled("false");
        if (strcmp(got, situations[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", situations[i].what, got, situations[i].want);
    }
}

static void test_disk_pressure_shortens_only_the_retention(void **state)
{
    (void)state;
    static const char *const young[] = {
        "UPDATE deliveries SET finished_at=now()-interval '2 d' WHERE delivery='v1'",
        "UPDATE decisions SET keep_seconds=604800"};
    for (size_t i = 0; i < ARRAY_LEN(young); i++) {
        set_up(young[i]);
        assert_string_equal(receipts_settled("false"), "");
        assert_string_equal(receipts_settled("true"), "r1 r2");
    }
    for (size_t i = 0; i < ARRAY_LEN(situations); i++) {
        set_up(situations[i].change);
        bool by_time = strstr(situations[i].what, "days") || strstr(situations[i].what, "longer");
        if (!by_time && strcmp(receipts_settled("true"), situations[i].want) != 0)
            fail_msg("%s: settled under pressure", situations[i].what);
    }
}

static const struct {
    const char *what, *change, *want;
} objects[] = {
    {"a result whose deliveries ended", "", "result:t1:results/t1/"},
    {"its delivery is under way", "UPDATE deliveries SET state='requested' WHERE delivery='v2'",
     ""},
    {"its delivery ended two days ago",
     "UPDATE deliveries SET finished_at=now()-interval '2 d' WHERE delivery='v2'", ""},
    {"its task failed", "UPDATE tasks SET state='failed'", ""},
    {"there is none", "UPDATE tasks SET result_key=NULL", ""},
    {"its study is held", "INSERT INTO holds (hold,study,set_offset) VALUES ('h','1',5)", ""},
    {"it is gone", "INSERT INTO condemned VALUES ('result','t1','k','p',true)", ""},
    {"it is only chosen", "INSERT INTO condemned VALUES ('result','t1','k','p',false)",
     "result:t1:results/t1/"},
    {"a log of 31 days", "UPDATE tasks SET result_key=NULL,finished_at=now()-interval '31 d'",
     "log:t1:logs/t1/"},
    {"a manifest of 36 days whose members are gone",
     "UPDATE tasks SET result_key=NULL; UPDATE decisions SET cleaned_at=now(),"
     "decided_at=now()-interval '36 d'",
     "manifest:d1:m1"},
    {"a manifest of 36 days with members",
     "UPDATE tasks SET result_key=NULL; UPDATE decisions SET decided_at=now()-interval '36 d'", ""},
    {"a manifest of 34 days whose members are gone",
     "UPDATE tasks SET result_key=NULL; UPDATE decisions SET cleaned_at=now(),"
     "decided_at=now()-interval '34 d'",
     ""},
};

static void test_results_logs_and_manifests_have_their_own_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        set_up(objects[i].change);
        const char *got = cluster_one(
            pg, "SELECT string_agg(kind || ':' || id || ':' || key, ' ' ORDER BY kind, id)"
                " FROM settled_objects(false)");
        if (strcmp(got, objects[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", objects[i].what, got, objects[i].want);
    }
}

static void test_a_study_is_held_until_its_entries_ended(void **state)
{
    (void)state;
    static const struct {
        const char *change, *want;
    } table[] = {
        {"", "delivered"},
        {HELD, "held"},
        {HELD "INSERT INTO dismissals VALUES ('held','d1/ai',NULL,NULL,now())", "delivered"},
        {HELD "INSERT INTO dismissals VALUES ('held','d1/b',NULL,NULL,now())", "held"},
        {HELD REPLAY("[\"d1\"]"), "delivered"}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        set_up(table[i].change);
        assert_string_equal(cluster_one(pg, "SELECT study_state('1')"), table[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_clause_alone_keeps_a_receipt),
        cmocka_unit_test(test_disk_pressure_shortens_only_the_retention),
        cmocka_unit_test(test_a_study_is_held_until_its_entries_ended),
        cmocka_unit_test(test_results_logs_and_manifests_have_their_own_times),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
