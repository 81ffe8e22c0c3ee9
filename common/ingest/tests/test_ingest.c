/* Instances become durable, then known: on a real folder, on stores that fail, and on librdkafka's own
 * broker, up and down. */
#include "testkit/testkit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "dicom/part10.h"
#include "dicom/syntax.h"
#include "event/topics.h"
#include "ingest/ingest_priv.h"
#include "kafka/mock.h"

#define CT    "1.2.840.10008.5.1.4.1.1.2"
#define SOP   "1.2.3.4"
#define TOPIC "talaria.t.instance"

static struct kafka_mock *mock;
static char folder[256];
static struct objstore *store;
static struct kafka_producer *producer;
static struct kafka_reader *reader;
static struct ingest *ingest;
static struct arena *arena;

/* ---- the stage ---- */

static void open_with(const char *url, struct ingest_options o)
{
    struct err e = {0};
    struct kafka_options k = {.brokers = kafka_mock_brokers(mock), .client_id = "test"};
    o.site = "t";
    o.source = "/talaria/t/receiver/1";
    if (!o.memory_budget)
        o.memory_budget = 8 << 20;
    if (!o.stream_above)
        o.stream_above = 1 << 20;
    if (!o.announce_ms)
        o.announce_ms = 10000;
    if (objstore_open(&store, url, &e) || kafka_producer_new(&producer, &k, &e) ||
        kafka_reader_new(&reader, &k, &e) || kafka_reader_add(reader, TOPIC, 0, KAFKA_START, &e))
        fail_msg("%s", e.text);
    o.store = store;
    o.producer = producer;
    if (ingest_new(&ingest, &o, &e))
        fail_msg("%s", e.text);
}

static void open_folder(struct ingest_options o)
{
    char url[300];
    snprintf(url, sizeof url, "file:%s", folder);
    open_with(url, o);
}

static void close_all(void)
{
    ingest_free(ingest);
    kafka_producer_free(producer);
    kafka_reader_free(reader);
    objstore_close(store);
    ingest = NULL;
}

static int set_up(void **state)
{
    (void)state;
    mock = kafka_mock_new(1);
    kafka_mock_topic(mock, TOPIC, 1);
    snprintf(folder, sizeof folder, "%s", testkit_tmpdir());
    arena = arena_new(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (ingest)
        close_all();
    kafka_mock_free(mock);
    testkit_rmdir(folder);
    arena_free(arena);
    return 0;
}

/* ---- datasets: explicit VR little endian ---- */

static void put(struct str *s, unsigned group, unsigned element, const char *vr, const char *value,
                size_t n)
{
    unsigned char h[8] = {group & 0xFF,   group >> 8, element & 0xFF,        element >> 8,
                          (unsigned char)vr[0], (unsigned char)vr[1], (n + n % 2) & 0xFF, (n + n % 2) >> 8 & 0xFF};
    str_append(s, h, sizeof h);
    str_append(s, value, n);
    if (n % 2)
        str_putc(s, strcmp(vr, "UI") == 0 ? '\0' : ' ');
}

static void put_text(struct str *s, unsigned group, unsigned element, const char *vr, const char *v)
{
    if (v)
        put(s, group, element, vr, v, strlen(v));
}

static void put_pixels(struct str *s, size_t n)
{
    unsigned char h[12] = {0xE0, 0x7F, 0x10, 0,        'O',      'W',       0, 0,
                           n & 0xFF, n >> 8 & 0xFF, n >> 16 & 0xFF, n >> 24 & 0xFF};
    str_append(s, h, sizeof h);
    str_reserve(s, n);
    memset(s->data + s->len, 7, n);
    s->len += n;
}

struct made {
    const char *sop, *study, *series, *comment;
    size_t pixels;
    const char *operators; /* NULL: Nurse^A */
    const struct ingest_sender *sender; /* NULL: the usual one */
};

static struct str dataset(const struct made *m)
{
    struct str s = STR_INIT;
    put_text(&s, 0x0008, 0x0016, "UI", CT);
    put_text(&s, 0x0008, 0x0018, "UI", m->sop);
    put_text(&s, 0x0008, 0x0060, "CS", "CT");
    put_text(&s, 0x0008, 0x1070, "PN", m->operators ? m->operators : "Nurse^A");
    put_text(&s, 0x0020, 0x000D, "UI", m->study);
    put_text(&s, 0x0020, 0x000E, "UI", m->series);
    put_text(&s, 0x0020, 0x4000, "LT", m->comment);
    put_pixels(&s, m->pixels ? m->pixels : 64);
    return s;
}

static const struct made good = {.sop = SOP, .study = "1.2.3", .series = "1.2.3.1"};

static const struct ingest_sender sender = {.association = "a1",
                                            .source = {"any", "Scanner", NULL},
                                            .calling_ae = "CT1",
                                            .called_ae = "TALARIA",
                                            .peer = "192.0.2.7"};

static struct ingest_result give(const struct made *m, const char *command_sop, struct err *e)
{
    struct ingest_result r;
    struct str s = dataset(m);
    struct ingest_item *item = ingest_begin(ingest, m->sender ? m->sender : &sender, SYNTAX_EXPLICIT_LE, CT, command_sop);
    for (size_t at = 0; at < s.len; at += 10007)
        if (ingest_write(item, s.data + at, s.len - at < 10007 ? s.len - at : 10007))
            break;
    ingest_finish(item, &r, e);
    str_free(&s);
    return r;
}

/* ---- looking ---- */

static int count_one(void *arg, const char *key, int64_t size, int64_t modified_ms)
{
    (void)key;
    (void)size;
    (void)modified_ms;
    ++*(int *)arg;
    return 0;
}

static int count(const char *prefix)
{
    struct err e = {0};
    int n = 0;
    assert_int_equal(objstore_list(store, prefix, count_one, &n, &e), 0);
    return n;
}

static int outbox_empty(void *arg)
{
    (void)arg;
    return count("outbox/") == 0;
}

/* The next record of the topic. */
static struct event next_event(void)
{
    struct kafka_record r;
    struct event ev;
    struct err e = {0};
    for (int64_t end = clock_mono_ms() + 10000; clock_mono_ms() < end;) {
        if (kafka_reader_poll(reader, &r, 100, &e) != 1)
            continue;
        if (event_decode(&ev, r.value.p, r.value.n, arena, &e))
            fail_msg("%s", e.text);
        assert_true(slice_eq(r.key, slice_of(ev.stored.study)));
        assert_string_equal(event_type_name(event_type_of_header(kafka_record_header(&r, "ce_type"))),
                            "instance.stored");
        return ev;
    }
    fail_msg("no record came");
    return ev;
}

static const char *tag(const struct event *ev, const char *name)
{
    for (size_t i = 0; i < ev->stored.tags.n; i++)
        if (strcmp(ev->stored.tags.items[i].name, name) == 0)
            return ev->stored.tags.items[i].value;
    return "";
}

static bool flag(const struct event *ev, const char *name)
{
    for (size_t i = 0; i < ev->stored.flags.n; i++)
        if (strcmp(ev->stored.flags.items[i], name) == 0)
            return true;
    return false;
}

/* The object is a Part 10 file with exactly the dataset's bytes, and its meta knows the record. */
static void check_object(const struct event *ev, const struct made *m)
{
    struct str object = STR_INIT, sent = dataset(m);
    struct part10_read p;
    struct err e = {0};
    if (objstore_get(store, ev->stored.key, &object, 64 << 20, &e) ||
        part10_parse(&p, object.data, object.len, &e))
        fail_msg("%s", e.text);
    assert_int_equal(object.len, ev->stored.size);
    assert_int_equal(object.len - p.dataset, sent.len);
    assert_memory_equal(object.data + p.dataset, sent.data, sent.len);
    char sha256[HASH_SHA256_HEX];
    hash_sha256_hex(sha256, sent.data, sent.len);
    assert_string_equal(ev->stored.sha256, sha256);
    assert_string_equal(p.calling_ae, "CT1");
    assert_string_equal(p.syntax, SYNTAX_EXPLICIT_LE);
    struct str private = STR_INIT;
    str_append(&private, p.private_json.p, p.private_json.n);
    assert_non_null(strstr(private.data, ev->stored.receipt));
    assert_non_null(strstr(private.data, sha256));
    str_free(&private);
    str_free(&object);
    str_free(&sent);
}

/* ---- tests ---- */

static void stored_and_announced(void **state)
{
    (void)state;
    struct err e = {0};
    open_folder((struct ingest_options){0});
    struct ingest_result r = give(&good, SOP, &e);
    assert_int_equal(r.outcome, INGEST_STORED);
    assert_true(r.announced);
    struct event ev = next_event();
    assert_string_equal(ev.stored.receipt, r.receipt);
    assert_string_equal(ev.stored.study, "1.2.3");
    assert_string_equal(tag(&ev, "Modality"), "CT");
    assert_string_equal(tag(&ev, "SenderAET"), "CT1");
    assert_string_equal(tag(&ev, "ReceiverAET"), "TALARIA");
    assert_string_equal(tag(&ev, "SenderAddress"), "192.0.2.7");
    assert_int_equal(ev.stored.flags.n, 0);
    check_object(&ev, &good);
}

static void a_large_object_is_the_same_as_a_small_one(void **state)
{
    (void)state;
    static const char *const sops[] = {SOP, "1.2", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20", ""};
    for (size_t i = 0; i < ARRAY_LEN(sops); i++) {
        struct err e = {0};
        struct made m = good;
        m.pixels = 3 << 20;
        /* a budget smaller than the object: what has gone to the store takes no share of it */
        open_folder((struct ingest_options){.stream_above = 65536, .memory_budget = 1 << 20});
        struct ingest_result r = give(&m, sops[i], &e);
        assert_int_equal(r.outcome, INGEST_STORED);
        struct event ev = next_event();
        while (strcmp(ev.stored.receipt, r.receipt) != 0)
            ev = next_event();
        check_object(&ev, &m);
        assert_int_equal(flag(&ev, "uid-differs"), strcmp(sops[i], SOP) != 0);
        assert_int_equal(count("parts/"), 0);
        close_all();
    }
}

static void a_dataset_without_its_ids_is_refused(void **state)
{
    (void)state;
    struct made without_study = good, without_series = good, nothing = {.sop = NULL};
    without_study.study = NULL;
    without_series.series = "";
    const struct made *const cases[] = {&without_study, &without_series, &nothing};
    open_folder((struct ingest_options){0});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        assert_int_equal(give(cases[i], SOP, &e).outcome, INGEST_NOT_DICOM);
        assert_true(e.text[0]);
    }
    struct made without_sop = good;
    struct err e = {0};
    without_sop.sop = NULL;
    assert_int_equal(give(&without_sop, "", &e).outcome, INGEST_NOT_DICOM);
    assert_int_equal(count(""), 0);
    assert_int_equal(give(&without_sop, "1.9", &e).outcome, INGEST_STORED);
    struct event ev = next_event();
    assert_string_equal(ev.stored.sop, "1.9");
    assert_true(flag(&ev, "sop-missing"));
}

static void hostile_ids_never_become_paths(void **state)
{
    (void)state;
    static const char *const uids[] = {"../../x", "/etc/passwd", "..", ".", "1.2/../3", "a b",
                                       "12345678901234567890123456789012345678901234567890123456789012345"};
    open_folder((struct ingest_options){0});
    for (size_t i = 0; i < ARRAY_LEN(uids); i++)
        for (int which = 0; which < 3; which++) {
            struct made m = good;
            struct err e = {0};
            *(which == 0 ? &m.study : which == 1 ? &m.series : &m.sop) = uids[i];
            assert_int_equal(give(&m, SOP, &e).outcome, INGEST_STORED);
            struct event ev = next_event();
            assert_true(flag(&ev, "uid-unsafe"));
            assert_memory_equal(ev.stored.key, "instances/", 10);
            assert_null(strstr(ev.stored.key, "/."));
            if (strlen(uids[i]) > 2)
                assert_null(strstr(ev.stored.key, uids[i]));
            check_object(&ev, &m);
        }
    assert_int_equal(count("instances/"), 3 * ARRAY_LEN(uids));
}

static void values_that_only_escape_sequences_can_tell_still_fit(void **state)
{
    (void)state;
    char comment[10001];
    struct made m = good;
    struct err e = {0};
    memset(comment, 1, sizeof comment - 1); /* six bytes of JSON each */
    comment[sizeof comment - 1] = '\0';
    m.comment = comment;
    open_folder((struct ingest_options){0});
    if (give(&m, SOP, &e).outcome != INGEST_STORED)
        fail_msg("%s", e.text);
    struct event ev = next_event();
    assert_true(flag(&ev, "tags-cut"));
    assert_string_equal(tag(&ev, "ImageComments"), "");
    assert_string_equal(tag(&ev, "Modality"), "CT");
    check_object(&ev, &m);
}

static void new_tags_count_for_the_next_instance(void **state)
{
    (void)state;
    static const char *const extra[] = {"OperatorsName"}, *const wrong[] = {"NoSuchKeyword"};
    struct err e = {0};
    struct str s = dataset(&good);
    struct ingest_result r;
    open_folder((struct ingest_options){0});
    struct ingest_item *before = ingest_begin(ingest, &sender, SYNTAX_EXPLICIT_LE, CT, SOP);
    assert_int_equal(ingest_set_tags(ingest, wrong, 1, &e), -1);
    assert_int_equal(ingest_set_tags(ingest, extra, 1, &e), 0);
    assert_int_equal(ingest_write(before, s.data, s.len), 0);
    ingest_finish(before, &r, &e);
    struct event ev = next_event();
    assert_string_equal(tag(&ev, "OperatorsName"), "");
    assert_int_equal(give(&good, SOP, &e).outcome, INGEST_STORED);
    ev = next_event();
    assert_string_equal(tag(&ev, "OperatorsName"), "Nurse^A");
    str_free(&s);
}

static void what_did_not_arrive_whole_leaves_nothing(void **state)
{
    (void)state;
    struct made m = good;
    m.pixels = 1 << 20;
    struct str s = dataset(&m);
    open_folder((struct ingest_options){.stream_above = 65536});
    for (size_t n = 0; n < s.len; n += 300000) {
        struct ingest_item *item = ingest_begin(ingest, &sender, SYNTAX_EXPLICIT_LE, CT, SOP);
        assert_int_equal(ingest_write(item, s.data, n), 0);
        ingest_abandon(item);
    }
    assert_int_equal(count(""), 0);
    str_free(&s);
}

static void the_budget_is_shared_and_given_back(void **state)
{
    (void)state;
    struct err e = {0};
    struct made m = good;
    m.pixels = 600000;
    struct str s = dataset(&m);
    open_folder((struct ingest_options){.memory_budget = 1 << 20, .stream_above = 1 << 30});
    for (int round = 0; round < 3; round++) {
        struct ingest_item *a = ingest_begin(ingest, &sender, SYNTAX_EXPLICIT_LE, CT, SOP);
        struct ingest_item *b = ingest_begin(ingest, &sender, SYNTAX_EXPLICIT_LE, CT, SOP);
        struct ingest_result ra, rb;
        char why[128];
        assert_int_equal(ingest_write(a, s.data, s.len), 0);
        assert_int_not_equal(ingest_write(b, s.data, s.len), 0);
        ingest_finish(b, &rb, &e);
        ingest_finish(a, &ra, &e);
        assert_int_equal(ra.outcome, INGEST_STORED);
        assert_int_equal(rb.outcome, INGEST_NO_RESOURCES);
        assert_true(ingest_can_store(ingest, why));
    }
    assert_int_equal(count("instances/"), 3);
    str_free(&s);
}

static void a_store_that_fails_is_told(void **state)
{
    (void)state;
    struct made large = good;
    large.pixels = 1 << 20;
    const struct made *const cases[] = {&good, &large};
    char why[128] = "";
    open_with("fail:", (struct ingest_options){.stream_above = 65536});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        assert_int_equal(give(cases[i], SOP, &e).outcome, INGEST_NO_RESOURCES);
        assert_int_equal(e.kind, ERR_RETRY);
        assert_false(ingest_can_store(ingest, why));
        assert_true(why[0]);
    }
}

static void too_little_space_is_told(void **state)
{
    (void)state;
    char why[128] = "";
    open_folder((struct ingest_options){.reserve_bytes = UINT64_C(1) << 60});
    assert_false(ingest_can_store(ingest, why));
    assert_non_null(strstr(why, "reserve"));
}

static void without_kafka_the_outbox_keeps_the_records(void **state)
{
    (void)state;
    struct err e = {0};
    open_folder((struct ingest_options){.announce_ms = 300});
    assert_true(give(&good, SOP, &e).announced);
    next_event();
    kafka_mock_down(mock);
    struct ingest_result lost[20];
    int64_t started = clock_mono_ms();
    for (int i = 0; i < 20; i++) {
        lost[i] = give(&good, SOP, &e);
        assert_int_equal(lost[i].outcome, INGEST_STORED);
        assert_false(lost[i].announced);
    }
    assert_true(clock_mono_ms() - started < 20 * 300); /* only the first waited */
    assert_int_equal(count("outbox/"), 20);

    kafka_mock_up(mock);
    assert_true(testkit_within(30000, outbox_empty, NULL));
    int seen = 0;
    bool found[20] = {false};
    while (seen < 20) { /* the late original of the first may come, too */
        struct event ev = next_event();
        for (int i = 0; i < 20; i++)
            if (strcmp(ev.stored.receipt, lost[i].receipt) == 0) {
                seen += !found[i];
                found[i] = true;
                check_object(&ev, &good);
            }
    }
}

static int announces(void *arg)
{
    struct err e = {0};
    (void)arg;
    return give(&good, SOP, &e).announced;
}

static void what_an_earlier_run_left_is_announced_and_rubbish_stays(void **state)
{
    (void)state;
    struct err e = {0};
    open_folder((struct ingest_options){.announce_ms = 200});
    kafka_mock_down(mock);
    struct ingest_result r = give(&good, SOP, &e);
    assert_int_equal(r.outcome, INGEST_STORED);
    close_all(); /* the process ends before Kafka is back */

    char path[300];
    static const char claim[] =
        "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"/talaria/t/router/1\",\"type\":\"talaria.claim.v1\","
        "\"subject\":\"s\",\"time\":\"2026-01-01T00:00:00Z\",\"data\":{\"owner\":\"router-1\"}}";
    snprintf(path, sizeof path, "%s/outbox/rubbish.json", folder);
    assert_int_equal(file_replace(path, "not a record", 12, 0640, &e), 0);
    snprintf(path, sizeof path, "%s/outbox/claim.json", folder);
    assert_int_equal(file_replace(path, claim, sizeof claim - 1, 0640, &e), 0);

    kafka_mock_up(mock);
    open_folder((struct ingest_options){0});
    assert_true(testkit_within(30000, announces, NULL));
    assert_int_equal(count("outbox/"), 2);
    for (struct event ev = next_event(); strcmp(ev.stored.receipt, r.receipt) != 0; ev = next_event())
        ;
}

/* Neither Kafka nor outbox: refused. The object stays only where the record may still arrive. */
static void neither_kafka_nor_outbox_is_no_success(void **state)
{
    (void)state;
    char path[300];
    struct err e = {0};
    open_folder((struct ingest_options){0});
    snprintf(path, sizeof path, "%s/outbox", folder);
    assert_int_equal(file_replace(path, "", 0, 0640, &e), 0); /* in the way of the folder */
    kafka_mock_fail_produce(mock, 10, 1000);                  /* MESSAGE_TOO_LARGE: definite */
    assert_int_equal(give(&good, SOP, &e).outcome, INGEST_NO_RESOURCES);
    assert_int_equal(count("instances/"), 0);
    close_all();
    kafka_mock_clear_produce(mock);
    open_folder((struct ingest_options){.announce_ms = 300});
    kafka_mock_down(mock);
    assert_int_equal(give(&good, SOP, &e).outcome, INGEST_NO_RESOURCES);
    assert_int_equal(count("instances/"), 1);
}

/* ---- the record once more ---- */

/* What the source's document says. */
static const char *charset_of(const void *arg, const char *source)
{
    (void)arg;
    return strcmp(source, "latin") == 0 ? "ISO_IR 100" : NULL;
}

static int rebuild(const char *key, struct event *ev, struct err *e)
{
    static const char *const extras[] = {"OperatorsName"};
    struct str record = STR_INIT;
    const struct ingest_rules rules = {extras, 1, charset_of, NULL};
    int r = ingest_rebuild(&record, store, key, "/talaria/t/cleaner/1", &rules, e);
    if (r == 0 && event_decode(ev, record.data, record.len, arena, e))
        fail_msg("%s", e->text);
    str_free(&record);
    return r;
}

static void the_record_can_be_rebuilt_from_the_object(void **state)
{
    (void)state;
    struct err e = {0};
    const struct made large = {.sop = SOP, .study = "1.2.3", .series = "1.2.3.1", .pixels = 300000};
    const struct made *const cases[] = {&good, &large};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        /* the larger one went to the store while it arrived */
        open_folder((struct ingest_options){.stream_above = 100000});
        assert_int_equal(give(cases[i], SOP, &e).outcome, INGEST_STORED);
        struct event was = next_event(), is;
        while (was.stored.size < (int64_t)cases[i]->pixels)
            was = next_event();
        if (rebuild(was.stored.key, &is, &e))
            fail_msg("%s", e.text);
        const char *const pairs[][2] = {
            {is.id, was.id},
            {is.source, "/talaria/t/cleaner/1"},
            {is.stored.receipt, was.stored.receipt},
            {is.stored.key, was.stored.key},
            {is.stored.sha256, was.stored.sha256},
            {is.stored.study, was.stored.study},
            {is.stored.series, was.stored.series},
            {is.stored.sop, was.stored.sop},
            {is.stored.sop_class, was.stored.sop_class},
            {is.stored.syntax, was.stored.syntax},
            {is.stored.association, was.stored.association},
            {is.stored.source.name, was.stored.source.name},
            {is.stored.source.label, was.stored.source.label},
            {is.stored.calling_ae, was.stored.calling_ae},
            {is.stored.called_ae, was.stored.called_ae},
            {is.stored.peer, was.stored.peer},
            {is.stored.received_at, was.stored.received_at},
            {tag(&is, "Modality"), "CT"},
            {tag(&is, "OperatorsName"), "Nurse^A"},
            {tag(&is, "SenderAET"), "CT1"},
        };
        for (size_t k = 0; k < ARRAY_LEN(pairs); k++)
            assert_string_equal(pairs[k][0], pairs[k][1]);
        assert_int_equal(is.stored.size, was.stored.size);
        close_all();
    }
    open_folder((struct ingest_options){0});
}

/* A dataset that does not say in which characters it is written: its source does. */
static void a_rebuilt_record_has_the_characters_of_its_source(void **state)
{
    (void)state;
    struct err e = {0};
    struct event is;
    static const struct ingest_sender latin = {.source = {"latin", NULL, NULL},
                                               .charset = "ISO_IR 100"};
    const struct made m = {.sop = SOP,
                           .study = "1.2.3",
                           .series = "1.2.3.1",
                           .operators = "M\xFCller^J\xF6rg",
                           .sender = &latin};
    open_folder((struct ingest_options){0});
    struct ingest_result r = give(&m, SOP, &e);
    assert_int_equal(r.outcome, INGEST_STORED);
    struct event was = next_event();
    while (strcmp(was.stored.receipt, r.receipt) != 0)
        was = next_event();
    if (rebuild(was.stored.key, &is, &e))
        fail_msg("%s", e.text);
    assert_string_equal(tag(&is, "OperatorsName"), "M\xC3\xBCller^J\xC3\xB6rg");
}

static void what_is_not_whole_gets_no_record(void **state)
{
    (void)state;
    struct err e = {0};
    open_folder((struct ingest_options){0});
    assert_int_equal(give(&good, SOP, &e).outcome, INGEST_STORED);
    struct event ev = next_event();
    struct str object = STR_INIT;
    assert_int_equal(objstore_get(store, ev.stored.key, &object, 1 << 20, &e), 0);
    static const char *const elsewhere = "instances/aa/1.2.3/1.2.3.1/1.2.3.4.0123456789abcdef.dcm";
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, ev.stored.key);
    struct event is;
    const size_t lengths[] = {0, 100, 132, 300, object.len - 1};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) { /* torn */
        assert_int_equal(file_replace(path, object.data, lengths[i], 0640, &e), 0);
        assert_int_equal(rebuild(ev.stored.key, &is, &e), -1);
        assert_int_equal(e.kind, ERR_REJECT);
    }
    object.data[object.len - 1] ^= 1; /* one bit */
    assert_int_equal(file_replace(path, object.data, object.len, 0640, &e), 0);
    assert_int_equal(rebuild(ev.stored.key, &is, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    object.data[object.len - 1] ^= 1;
    /* whole, under another key */
    assert_int_equal(objstore_put_bytes(store, elsewhere, object.data, object.len, &e), 0);
    assert_int_equal(rebuild(elsewhere, &is, &e), -1);
    assert_int_equal(e.kind, ERR_REJECT);
    assert_int_equal(rebuild("instances/aa/none.dcm", &is, &e), -1);
    assert_int_equal(e.code, ENOENT);
    str_free(&object);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(stored_and_announced),
        TEST(a_large_object_is_the_same_as_a_small_one),
        TEST(a_dataset_without_its_ids_is_refused),
        TEST(hostile_ids_never_become_paths),
        TEST(values_that_only_escape_sequences_can_tell_still_fit),
        TEST(new_tags_count_for_the_next_instance),
        TEST(what_did_not_arrive_whole_leaves_nothing),
        TEST(the_budget_is_shared_and_given_back),
        TEST(a_store_that_fails_is_told),
        TEST(too_little_space_is_told),
        TEST(without_kafka_the_outbox_keeps_the_records),
        TEST(what_an_earlier_run_left_is_announced_and_rubbish_stays),
        TEST(neither_kafka_nor_outbox_is_no_success),
        TEST(the_record_can_be_rebuilt_from_the_object),
        TEST(a_rebuilt_record_has_the_characters_of_its_source),
        TEST(what_is_not_whole_gets_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
