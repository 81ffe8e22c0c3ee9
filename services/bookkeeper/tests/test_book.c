/* Batches against a real Postgres and a file store: order, repetition, zombies, members. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "bookkeeper/book.h"
#include "bookkeeper/tests/records.h"
#include "pg/tests/cluster.h"

#define INSTANCE "talaria.test.instance"
#define DECISION "talaria.test.decision"
#define DELIVERY "talaria.test.delivery"
#define EVENT    "talaria.test.event"

static struct cluster cluster;
static char store_path[256];
static struct objstore *store;
static struct pg *look; /* for the test's own queries */

static int start(void **state)
{
    (void)state;
    struct err e;
    char url[300];
    cluster_start(&cluster);
    look = cluster_connect(&cluster);
    if (pg_migrate(look, &e) != 0)
        fail_msg("%s", e.text);
    snprintf(store_path, sizeof store_path, "%s", testkit_tmpdir());
    snprintf(url, sizeof url, "file:%s", store_path);
    if (objstore_open(&store, url, &e) != 0)
        fail_msg("%s", e.text);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    objstore_close(store);
    testkit_rmdir(store_path);
    pg_free(look);
    cluster_stop(&cluster);
    return 0;
}

static int empty(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(pg_exec(look,
                             "TRUNCATE positions, receipts, studies, series, decisions,"
                             " members, void_choices, tasks, deliveries, delivery_members,"
                             " associations, events, rejected, holds, dismissals, commands",
                             &e),
                     0);
    return 0;
}

/* ---- records ---- */

static struct event stored(const char *receipt)
{
    static struct row_pair tags[] = {{"PatientID", "P \"1\""},
                                     {"AccessionNumber", "A1"},
                                     {"Modality", "CT"},
                                     {"StudyDescription", "M\xc3\xbcller"}};
    return (struct event){
        .type = EVENT_INSTANCE_STORED,
        .stored = {.receipt = receipt,
                   .key = "instances/k",
                   .size = 11,
                   .study = "1.2",
                   .series = "1.2.3",
                   .sop = "1.2.3.4",
                   .sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                   .source = {.name = "ct"},
                   .received_at = "2026-11-24T10:00:00.000Z",
                   .tags = {tags, ARRAY_LEN(tags)}}};
}

static struct event_delivery_requested requested(void)
{
    return (struct event_delivery_requested){.delivery = "del1",
                                             .decision = "dec1",
                                             .target = "pacs",
                                             .study = "1.2",
                                             .series = "1.2.3",
                                             .manifest = {.key = "manifests/m1"},
                                             .members = 2};
}

static struct event decided(struct event_delivery_requested *d)
{
    static struct event_window w = {.first = 0, .last = 2, .last_receipt = "r3", .n = 3};
    *d = requested();
    return (struct event){.type = EVENT_SERIES_DECIDED,
                          .decided = {.decision = "dec1",
                                      .study = "1.2",
                                      .series = "1.2.3",
                                      .window = &w,
                                      .opened_at = "2026-11-24T10:00:00.000Z",
                                      .closed_at = "2026-11-24T10:00:09.000Z",
                                      .manifest = {.key = "manifests/m1"},
                                      .addition = 1,
                                      .revision = "1-aa",
                                      .keep = 60,
                                      .deliveries = {d, 1}}};
}

static struct event progress(struct event_member_outcome *o, size_t n, int64_t attempt)
{
    return (struct event){.type = EVENT_DELIVERY_PROGRESS,
                          .progress = {.delivery = "del1", .attempt = attempt, .outcomes = {o, n}}};
}

static struct event delivery_finished(void)
{
    return (struct event){
        .type = EVENT_DELIVERY_FINISHED,
        .finished = {
            .delivery = "del1", .outcome = OUTCOME_DELIVERED, .delivered = 1, .repeated = 1}};
}

static void put_manifest(const char *key)
{
    static const char text[] =
        "{\"decision\":\"dec1\",\"members\":[{\"receipt\":\"r1\",\"key\":\"a\",\"size\":1,"
        "\"sop\":\"1\",\"sha256\":"
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""
        "},{\"receipt\":\"r3\",\"key\":\"c\",\"size\":1,\"sop\":\"2\",\"sha256\":"
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}],\"duplicate\":["
        "{\"receipt\":\"r2\",\"key\":\"b\",\"sop\":\"1\",\"size\":1,\"of\":0}]}";
    struct err e;
    if (objstore_put_bytes(store, key, text, sizeof text - 1, &e) != 0)
        fail_msg("%s", e.text);
}

/* ---- a bookkeeper ---- */

static struct book *book(const char *topic, int64_t *from)
{
    struct err e;
    struct book *b = book_new(cluster.conninfo, store);
    struct stage_place p = {.topic = topic, .partition = 0};
    if (book_positions(b, &p, 1, &e) != 0)
        fail_msg("%s", e.text);
    if (from)
        *from = p.start;
    return b;
}

/* One batch of one topic by a bookkeeper of its own. claims[i] -1: not a choice. */
static void feed(const char *topic, const struct event *events, const int64_t *claims, size_t n)
{
    struct test_record t[16];
    struct kafka_record r[16];
    int64_t from;
    struct err e;
    struct book *b = book(topic, &from);
    from = from < 0 ? 0 : from;
    for (size_t i = 0; i < n; i++)
        r[i] = *record_fill(&t[i], events[i], topic, from + (int64_t)i, claims ? claims[i] : -1);
    if (book_batch(b, r, n, &e) != 0)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < n; i++)
        record_free(&t[i]);
    book_free(b);
}

static void feed_instances(void)
{
    feed(INSTANCE, (struct event[]){stored("r1"), stored("r2"), stored("r3"), stored("r1")}, NULL,
         4);
}

static void feed_decided(struct event decision)
{
    struct event claim = {.type = EVENT_CLAIM, .claim = {.owner = "o"}};
    feed(DECISION, (struct event[]){claim, decision}, (const int64_t[]){-1, 0}, 2);
}

static void feed_decision(void)
{
    struct event_delivery_requested d;
    feed_decided(decided(&d));
}

static void feed_delivery(void)
{
    struct event_member_outcome first[] = {{.position = 0, .state = MEMBER_DELIVERED},
                                           {.position = 1, .state = MEMBER_OPEN, .reason = "lost"}};
    struct event_member_outcome second[] = {{.position = 1, .state = MEMBER_REPEATED},
                                            {.position = 0, .state = MEMBER_FAILED}};
    struct event claim = {.type = EVENT_CLAIM, .claim = {.owner = "o"}};
    struct event asked = {.type = EVENT_DELIVERY_REQUESTED, .requested = requested()};
    struct event attempted = {.type = EVENT_DELIVERY_ATTEMPTED,
                              .attempted = {.delivery = "del1", .attempt = 1, .open = 1}};
    feed(DELIVERY,
         (struct event[]){claim, asked, progress(first, 2, 1), attempted, progress(second, 2, 2),
                          delivery_finished()},
         (const int64_t[]){-1, -1, -1, -1, -1, 0}, 6);
}

static void check_story(void)
{
    static const struct {
        const char *sql, *want;
    } table[] = {
        {"SELECT string_agg(receipt || ':' || state, ' ' ORDER BY receipt) FROM receipts",
         "r1:decided r2:decided r3:decided"},
        {"SELECT tags->>'PatientID' FROM receipts WHERE receipt='r2'", "P \"1\""},
        {"SELECT \"offset\" FROM receipts WHERE receipt='r1'", "3"}, /* the newest announcement */
        {"SELECT string_agg(concat(role, position, receipt, COALESCE(of, 9)), ' ' ORDER BY role,"
         " position) FROM members",
         "member0r19 member1r39 duplicate0r20"},
        {"SELECT description || patient_id FROM studies", "M\xc3\xbcllerP \"1\""},
        {"SELECT accession || modality || source FROM series", "A1CTct"},
        {"SELECT concat(reason, n, keep_seconds, closed_at - opened_at) FROM decisions",
         "quiet36000:00:09"},
        {"SELECT members_at IS NOT NULL FROM decisions", "t"},
        {"SELECT concat(state, target, members, delivered, repeated, attempts) FROM deliveries",
         "deliveredpacs2111"},
        {"SELECT count(asked_at) + count(requested_at) + count(finished_at) FROM deliveries", "3"},
        {"SELECT string_agg(position || ':' || state, ' ' ORDER BY position)"
         " FROM delivery_members",
         "0:delivered 1:repeated"},
        {"SELECT count(*) FROM void_choices", "0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *got = cluster_one(look, table[i].sql);
        if (strcmp(got, table[i].want) != 0)
            fail_msg("%s: got %s, want %s", table[i].sql, got, table[i].want);
    }
}

/* ---- tests ---- */

static void test_any_order_of_topics_ends_alike(void **state)
{
    static void (*const orders[][3])(void) = {
        {feed_instances, feed_decision, feed_delivery},
        {feed_delivery, feed_decision, feed_instances},
        {feed_decision, feed_delivery, feed_instances},
        {feed_decision, feed_instances, feed_delivery},
    };
    put_manifest("manifests/m1");
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        empty(state);
        for (size_t k = 0; k < 3; k++)
            orders[i][k]();
        check_story();
        struct err e; /* restored from yesterday: everything again, nothing changes */
        assert_int_equal(pg_exec(look, "UPDATE positions SET next_offset = 0", &e), 0);
        for (size_t k = 0; k < 3; k++)
            orders[i][k]();
        check_story();
    }
}

static void test_a_zombie_rolls_back(void **state)
{
    (void)state;
    struct err e;
    struct test_record t[2];
    struct book *old = book(INSTANCE, NULL), *new = book(INSTANCE, NULL);
    record_fill(&t[0], stored("z1"), INSTANCE, 0, -1);
    record_fill(&t[1], stored("z2"), INSTANCE, 1, -1);
    assert_int_equal(book_batch(new, &t[0].record, 1, &e), 0);
    assert_int_equal(book_batch(old, &t[1].record, 1, &e), -1);
    assert_int_equal(e.kind, ERR_FATAL);
    assert_string_equal(cluster_one(look, "SELECT string_agg(receipt, ',') FROM receipts"), "z1");
    int64_t from;
    book_free(old);
    old = book(INSTANCE, &from);
    assert_int_equal(from, 1);
    assert_int_equal(book_batch(old, &t[1].record, 1, &e), 0);
    book_free(old);
    book_free(new);
    record_free(&t[0]);
    record_free(&t[1]);
}

/* Two owners worked on one delivery for a while. */
static void test_the_better_end_of_a_member_counts_and_two_successes_are_two_copies(void **state)
{
    (void)state;
    const char *early = "2026-11-24T10:00:00.100Z", *late = "2026-11-24T10:00:00.200Z";
    struct event_member_outcome first[] = {{0, MEMBER_DELIVERED, 0, NULL, early},
                                           {1, MEMBER_FAILED, 0xC000, "no", early},
                                           {2, MEMBER_DELIVERED, 0, NULL, early}};
    struct event_member_outcome second[] = {{0, MEMBER_DELIVERED, 0, NULL, late},
                                            {1, MEMBER_DELIVERED, 0, NULL, late},
                                            {2, MEMBER_FAILED, 0xC000, "no", late}};
    struct event records[] = {progress(first, 3, 1), progress(second, 3, 1)};
    for (size_t at_once = 1; at_once <= 2; at_once++) {
        empty(state);
        for (int again = 0; again < 2; again++) {
            struct err e;
            for (size_t i = 0; i < 2; i += at_once)
                feed(DELIVERY, records + i, (const int64_t[]){-1, -1}, at_once);
            assert_string_equal(
                cluster_one(look, "SELECT string_agg(concat_ws(':',position,state,reason), ' '"
                                  " ORDER BY position) FROM delivery_members"),
                "0:repeated 1:delivered 2:delivered");
            assert_int_equal(pg_exec(look, "UPDATE positions SET next_offset = 0", &e), 0);
        }
    }
}

static void test_void_choices_change_nothing(void **state)
{
    (void)state;
    struct event claim = {.type = EVENT_CLAIM, .claim = {.owner = "o"}};
    struct event asked = {.type = EVENT_DELIVERY_REQUESTED, .requested = requested()};
    /* across two batches: the newest claim stands in Postgres */
    feed(DELIVERY, (struct event[]){claim, asked, claim}, (const int64_t[]){-1, -1, -1}, 3);
    feed(DELIVERY, (struct event[]){delivery_finished()}, (const int64_t[]){0}, 1);
    assert_string_equal(cluster_one(look, "SELECT state FROM deliveries"), "requested");
    assert_string_equal(cluster_one(look, "SELECT type || id || claim || newest_claim"
                                          " FROM void_choices"),
                        "delivery.finisheddel102");
    feed(DELIVERY, (struct event[]){delivery_finished()}, (const int64_t[]){2}, 1);
    assert_string_equal(cluster_one(look, "SELECT state FROM deliveries"), "delivered");
}

static void test_a_bad_record_is_named_and_neighbours_stay_out(void **state)
{
    (void)state;
    struct err e;
    struct test_record t[2];
    struct kafka_record r[2];
    struct book *b = book(INSTANCE, NULL);
    r[0] = *record_fill(&t[0], stored("good"), INSTANCE, 0, -1);
    r[1] = *record_fill(&t[1], stored("bad"), INSTANCE, 1, -1);
    r[1].value = SLICE("{}");
    assert_int_equal(book_batch(b, r, 2, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM receipts"), "0");
    assert_int_equal(book_batch(b, r, 1, &e), 0); /* the halves */
    assert_int_equal(book_batch(b, r + 1, 1, &e), -1);
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM receipts"), "1");
    book_free(b);
    record_free(&t[0]);
    record_free(&t[1]);
}

static void test_a_missing_manifest_is_awaited_then_marked(void **state)
{
    (void)state;
    struct err e;
    struct event_delivery_requested d;
    struct event late = decided(&d);
    late.decided.manifest.key = "manifests/late";
    feed_decided(late);
    const char *pending = "SELECT members_at IS NULL AND members_error IS NULL FROM decisions";
    assert_string_equal(cluster_one(look, pending), "t");
    struct book *b = book(DECISION, NULL);
    /* younger than the limit: stays pending */
    assert_int_equal(pg_exec(look, "UPDATE decisions SET decided_at = now()", &e), 0);
    assert_int_equal(book_pending(b, &e), 0);
    assert_string_equal(cluster_one(look, pending), "t");
    put_manifest("manifests/late");
    assert_int_equal(book_pending(b, &e), 0);
    assert_string_equal(cluster_one(look, "SELECT members_at IS NOT NULL FROM decisions"), "t");
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM members"), "3");
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM receipts"), "3");
    /* older: marked */
    assert_int_equal(pg_exec(look,
                             "UPDATE decisions SET decided_at = now() - interval '3 minutes',"
                             " members_at = NULL, manifest_key = 'manifests/never'",
                             &e),
                     0);
    assert_int_equal(book_pending(b, &e), 0);
    assert_string_equal(cluster_one(look, "SELECT members_error IS NOT NULL FROM decisions"), "t");
    book_free(b);
}

static void test_tasks_events_and_the_rest_reach_their_tables(void **state)
{
    (void)state;
    struct event_step step = {.module = "lung", .settings = SLICE("{\"a\":1}")};
    struct event_task_requested want = {.task = "t1",
                                        .decision = "dec1",
                                        .rule = "r",
                                        .study = "1.2",
                                        .manifest = {.key = "m"},
                                        .steps = {&step, 1}};
    struct event task = {.type = EVENT_TASK_REQUESTED, .task_requested = want};
    struct event begun = {.type = EVENT_TASK_STARTED,
                          .task_started = {.task = "t1", .attempt = 1, .owner = "p1"}};
    struct event beat = begun;
    beat.type = EVENT_TASK_HEARTBEAT;
    struct event ended = {
        .type = EVENT_TASK_FINISHED,
        .task_finished = {
            .task = "t1", .attempt = 1, .outcome = OUTCOME_FAILED, .reason = "exit 1"}};
    feed("talaria.test.task", (struct event[]){task, begun, beat, ended},
         (const int64_t[]){-1, 0, -1, 0}, 4);
    struct event note = {.type = EVENT_DISMISSED,
                         .note = {.kind = "task", .name = "t1", .by = "eva", .why = "known"}};
    struct event_series_count counts[] = {{"1.2.3", 3}, {"1.2.4", 5}};
    struct event gone = {.type = EVENT_ASSOCIATION_ENDED,
                         .ended = {.association = "as1",
                                   .outcome = ASSOCIATION_RELEASED,
                                   .study = "1.2",
                                   .series = {counts, 2}}};
    struct row_pair header = {"study", "1.2"};
    struct event rejected = {.type = EVENT_RECORD_REJECTED,
                             .rejected = {.topic = INSTANCE,
                                          .offset = 9,
                                          .stage = "decide",
                                          .error = "bad",
                                          .headers = {&header, 1}}};
    feed(EVENT, &note, NULL, 1);
    feed(INSTANCE, &gone, NULL, 1);
    feed("talaria.test.dlq", &rejected, NULL, 1);
    static const struct {
        const char *sql, *want;
    } table[] = {
        {"SELECT concat(state, attempt, owner, reason, steps->0->'settings'->>'a') FROM tasks",
         "dismissed1p1exit 11"},
        {"SELECT count(heartbeat_at) + count(dismissed_at) + count(started_at) FROM tasks", "3"},
        {"SELECT type || (body->>'by') FROM events", "dismissedeva"},
        {"SELECT sum(answered) || min(outcome::text) FROM associations", "8released"},
        {"SELECT stage || \"offset\" || study FROM rejected", "decide91.2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_string_equal(cluster_one(look, table[i].sql), table[i].want);
}

static void test_holds_commands_and_deletions_reach_their_tables(void **state)
{
    (void)state;
    const char *pair[] = {"r1", "r2"}, *of[] = {"dec1"}, *rule[] = {"ai"};
    struct event set = {.type = EVENT_HOLD_SET,
                        .note = {.name = "h1",
                                 .study = "1.2",
                                 .by = "eva",
                                 .why = "research",
                                 .until = "2099-01-01T00:00:00Z"}};
    struct event some = {.type = EVENT_HOLD_SET,
                         .note = {.name = "h2", .receipts = {pair, 2}, .by = "eva"}};
    struct event freed = {.type = EVENT_HOLD_RELEASED, .note = {.name = "h1", .by = "bob"}};
    struct event held = {.type = EVENT_DISMISSED,
                         .note = {.kind = "held", .name = "dec1/ai", .by = "eva", .why = "no"}};
    struct event replay = {
        .type = EVENT_COMMAND_REPLAY,
        .command = {.command = "c1", .study = "1.2", .decisions = {of, 1}, .rules = {rule, 1}}};
    struct event answer = {.type = EVENT_COMMAND_ANSWERED,
                           .note = {.command = "c1", .outcome = "done"}};
    struct event second = {.type = EVENT_COMMAND_ANSWERED,
                           .note = {.command = "c1", .outcome = "refused"}};
    struct event condemned = {.type = EVENT_OBJECT_CONDEMNED,
                              .note = {.name = "r1", .receipts = {pair, 2}}};
    struct event deleted = {.type = EVENT_OBJECT_DELETED,
                            .note = {.name = "r1", .receipts = {pair, 1}}};
    /* the answer before what it answers; a deletion before its instance */
    feed(EVENT,
         (struct event[]){answer, set, some, freed, set, held, condemned, deleted, condemned}, NULL,
         9);
    struct event first = stored("r1");
    feed(INSTANCE, (struct event[]){first, replay}, NULL, 2);
    feed(EVENT, &second, NULL, 1);
    static const struct {
        const char *sql, *want;
    } table[] = {
        {"SELECT string_agg(hold, ' ' ORDER BY hold) FROM standing_holds", "h1 h2"},
        {"SELECT by_user || why || released_by || (until > now()) FROM holds WHERE hold='h1'",
         "evaresearchbobtrue"},
        {"SELECT receipts FROM holds WHERE hold='h2'", "{r1,r2}"},
        {"SELECT concat(kind, id, by_user, why) FROM dismissals", "helddec1/aievano"},
        {"SELECT type || study || decisions || rules || outcome || (answered_at IS NOT NULL)"
         " FROM commands",
         "command.replay1.2[\"dec1\"][\"ai\"]donetrue"},
        {"SELECT string_agg(receipt || state, ' ' ORDER BY receipt) FROM receipts",
         "r1deleted r2condemned"},
        {"SELECT study FROM receipts WHERE receipt='r1'", "1.2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_string_equal(cluster_one(look, table[i].sql), table[i].want);
    feed(EVENT, &freed, NULL, 1);
    assert_string_equal(cluster_one(look, "SELECT string_agg(hold, ' ') FROM standing_holds"),
                        "h2");
}

/* ---- two at once ---- */

enum { ROUNDS = 400, ROUND = 5, NAMES = 6 };

/* One record about some of few receipts, commands, tasks and deliveries: those of a round touch one
 * table, each kind by a statement of its own. */
static struct event any_record(unsigned *seed, int round)
{
    static const int kinds[][3] = {{0, 8, 8}, {1, 2, 1}, {3, 4, 5}, {5, 6, 7}};
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};
    static const char *const studies[NAMES] = {"1.1", "1.2", "1.3", "1.4", "1.5", "1.6"};
    static const char *lists[NAMES * 2];
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        lists[i] = names[i % NAMES];
    unsigned at = (unsigned)rand_r(seed) % NAMES;
    const char *name = names[at];
    struct event instance = stored(name);
    struct event_delivery_requested d = requested();
    instance.stored.study = studies[at];
    d.delivery = name;
    switch (kinds[round % 4][rand_r(seed) % 3]) {
    case 0:
        return (struct event){.type = EVENT_OBJECT_CONDEMNED,
                              .note = {.name = name, .receipts = {lists + at, 2}}};
    case 1:
        return (struct event){.type = EVENT_COMMAND_COMPLETE,
                              .command = {.command = name, .study = "1.2"}};
    case 2:
        return (struct event){.type = EVENT_COMMAND_ANSWERED,
                              .note = {.command = name, .outcome = "done"}};
    case 3:
        return (struct event){.type = EVENT_TASK_HEARTBEAT, .task_started = {.task = name, .attempt = 1}};
    case 4:
        return (struct event){.type = EVENT_TASK_REQUESTED,
                              .task_requested = {.task = name,
                                                 .decision = "dec1",
                                                 .rule = "r",
                                                 .study = "1.2",
                                                 .manifest = {.key = "m"}}};
    case 5:
        return (struct event){
            .type = EVENT_DISMISSED,
            .note = {.kind = rand_r(seed) % 2 ? "task" : "delivery", .name = name}};
    case 6:
        return (struct event){.type = EVENT_DELIVERY_ATTEMPTED, .attempted = {.delivery = name}};
    case 7:
        return (struct event){.type = EVENT_DELIVERY_REQUESTED, .requested = d};
    default:
        return instance;
    }
}

struct writer {
    const char *topic;
    struct test_record records[ROUNDS][ROUND];
    struct err err;
    int failed;
};

static pthread_barrier_t round_begins;

/* Round by round beside the other one, also when it has failed. */
static void *write_rounds(void *arg)
{
    struct writer *w = arg;
    struct book *b = book_new(cluster.conninfo, store);
    struct stage_place p = {.topic = w->topic};
    int rc = book_positions(b, &p, 1, &w->err);
    for (size_t i = 0; i < ROUNDS; i++) {
        struct kafka_record r[ROUND];
        for (size_t k = 0; k < ROUND; k++)
            r[k] = w->records[i][k].record;
        pthread_barrier_wait(&round_begins);
        if (rc == 0)
            rc = book_batch(b, r, ROUND, &w->err);
    }
    w->failed = rc;
    book_free(b);
    return NULL;
}

static struct writer writers[2] = {{.topic = INSTANCE}, {.topic = EVENT}};

/* Both write at once what they were given; nobody was ever in a deadlock. */
static void both_write(void)
{
    pthread_t threads[2];
    pthread_barrier_init(&round_begins, NULL, 2);
    for (size_t w = 0; w < 2; w++)
        assert_int_equal(pthread_create(&threads[w], NULL, write_rounds, &writers[w]), 0);
    for (size_t w = 0; w < 2; w++)
        pthread_join(threads[w], NULL);
    pthread_barrier_destroy(&round_begins);
    for (size_t w = 0; w < 2; w++) {
        if (writers[w].failed)
            fail_msg("%s", writers[w].err.text);
        for (int i = 0; i < ROUNDS * ROUND; i++)
            record_free(&writers[w].records[i / ROUND][i % ROUND]);
    }
    assert_string_equal(cluster_one(look, "SELECT deadlocks FROM pg_stat_database"
                                          " WHERE datname = current_database()"),
                        "0");
}

static void test_two_bookkeepers_never_wait_for_each_other(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (size_t w = 0; w < 2; w++)
        for (int i = 0; i < ROUNDS * ROUND; i++)
            record_fill(&writers[w].records[i / ROUND][i % ROUND], any_record(&seed, i / ROUND),
                        writers[w].topic, i, -1);
    both_write();
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM receipts WHERE study IS NOT NULL"),
                        "6");
}

/* What is told again after a crash has the same id, but may come to another partition. */
static void test_nor_do_they_for_events_that_were_told_twice(void **state)
{
    (void)state;
    for (int w = 0; w < 2; w++)
        for (int i = 0; i < ROUNDS * ROUND; i++) {
            char id[32];
            int k = i % ROUND;
            snprintf(id, sizeof id, "e%d-%d", i / ROUND, w ? k : ROUND - 1 - k);
            struct event ev = {.type = EVENT_ALARM_CLEARED, .id = id, .note = {.name = "pacs"}};
            record_fill(&writers[w].records[i / ROUND][k], ev, writers[w].topic, i, -1);
        }
    both_write();
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM events"), "2000");
}

static void test_postgres_away_then_back(void **state)
{
    (void)state;
    struct err e;
    struct test_record t;
    struct book *b = book(INSTANCE, NULL);
    record_fill(&t, stored("away"), INSTANCE, 0, -1);
    cluster_stop_server(&cluster);
    pg_disconnect(look);
    assert_int_equal(book_batch(b, &t.record, 1, &e), -1);
    assert_int_equal(e.kind, ERR_RETRY);
    cluster_start_server(&cluster);
    assert_int_equal(pg_connect(look, &e), 0);
    assert_int_equal(book_batch(b, &t.record, 1, &e), 0);
    assert_string_equal(cluster_one(look, "SELECT count(*) FROM receipts"), "1");
    book_free(b);
    record_free(&t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_any_order_of_topics_ends_alike, empty),
        cmocka_unit_test_setup(test_a_zombie_rolls_back, empty),
        cmocka_unit_test_setup(
            test_the_better_end_of_a_member_counts_and_two_successes_are_two_copies, empty),
        cmocka_unit_test_setup(test_void_choices_change_nothing, empty),
        cmocka_unit_test_setup(test_a_bad_record_is_named_and_neighbours_stay_out, empty),
        cmocka_unit_test_setup(test_a_missing_manifest_is_awaited_then_marked, empty),
        cmocka_unit_test_setup(test_tasks_events_and_the_rest_reach_their_tables, empty),
        cmocka_unit_test_setup(test_holds_commands_and_deletions_reach_their_tables, empty),
        cmocka_unit_test_setup(test_two_bookkeepers_never_wait_for_each_other, empty),
        cmocka_unit_test_setup(test_nor_do_they_for_events_that_were_told_twice, empty),
        cmocka_unit_test_setup(test_postgres_away_then_back, empty),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
