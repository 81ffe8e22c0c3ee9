/* The codec from the writer's side: what is filled in, what is refused, headers, names. */
#include "testkit/testkit.h"

#include "base/mem.h"
#include "event/event.h"

#define EACH(table) for (size_t i = 0; i < ARRAY_LEN(table); i++)

static struct event sample_stored(void)
{
    static struct row_pair tags[] = {{"Modality", "CT"}, {"PatientName", "Phantom^Test"}};
    return (struct event){
        .type = EVENT_INSTANCE_STORED,
        .source = "/talaria/main/receiver/r0",
        .time = "2026-08-01T08:16:02.113Z",
        .stored = {.receipt = "4f1c9a7720be03d5",
                   .key = "instances/8a/1/2/3.4f1c9a7720be03d5.dcm",
                   .sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                   .size = 1234,
                   .study = "1",
                   .series = "2",
                   .sop = "3",
                   .source = {.name = "ct", .site = "main"},
                   .tags = {tags, 2}},
    };
}

static void writer_fills_id_and_subject(void **state)
{
    (void)state;
    struct event ev = sample_stored(), back;
    struct str text = STR_INIT;
    struct err e = {0};
    struct arena *a = arena_new(0);
    assert_int_equal(event_encode(&text, &ev, &e), 0);
    assert_int_equal(event_decode(&back, str_cstr(&text), text.len, a, &e), 0);
    assert_int_equal(back.type, EVENT_INSTANCE_STORED);
    assert_string_equal(back.id, "4f1c9a7720be03d5");
    assert_string_equal(back.subject, "1");
    assert_string_equal(back.stored.source.name, "ct");
    assert_null(back.stored.source.label);
    assert_int_equal(back.stored.size, 1234);
    assert_int_equal(back.stored.tags.n, 2);
    assert_string_equal(back.stored.tags.items[1].value, "Phantom^Test");
    str_free(&text);
    arena_free(a);
}

static void writer_refuses_what_readers_refuse(void **state)
{
    (void)state;
    struct event ev = sample_stored();
    struct str text = STR_INIT;
    struct err e = {0};
    static char long_value[EVENT_MAX];
    static struct row_pair long_tags[] = {{"ImageComments", long_value}};
    str_puts(&text, "before");
    struct {
        struct event ev;
        const char *want;
    } cases[] = {
        {ev, "/time: required"},
        {ev, "/source: required"},
        {ev, "/data/study: required"},
        {ev, "/data/receipt: must not be empty"},
        {ev, "/data/size: must be between 0 and 9223372036854775807"},
        {ev, "/: record of "},
        {{.type = EVENT_TICK, .source = "s", .time = "t"}, "/id: required"},
        {{.type = EVENT_UNKNOWN, .source = "s", .time = "t"}, "/type: unknown"},
        {{.type = EVENT_DELIVERY_FINISHED,
          .source = "s",
          .time = "t",
          .finished = {.delivery = "d", .outcome = 77}},
         "/data/outcome: no such name"},
        {{.type = EVENT_DELIVERY_REQUESTED,
          .source = "s",
          .time = "t",
          .requested = {.delivery = "d",
                        .target = "t",
                        .study = "1",
                        .decision = "a",
                        .task = "b",
                        .manifest = {.key = "k"}}},
         "/data: exactly one of decision and task"},
    };
    memset(long_value, 'x', sizeof long_value - 1);
    cases[0].ev.time = NULL;
    cases[1].ev.source = NULL;
    cases[2].ev.stored.study = NULL;
    cases[3].ev.stored.receipt = "";
    cases[3].ev.id = "x";
    cases[4].ev.stored.size = -1;
    cases[5].ev.stored.tags = (struct row_pairs){long_tags, 1};
    EACH(cases)
    {
        assert_int_equal(event_encode(&text, &cases[i].ev, &e), -1);
        assert_memory_equal(e.text, cases[i].want, strlen(cases[i].want));
        assert_int_equal(e.kind, ERR_REJECT);
        assert_string_equal(str_cstr(&text), "before");
    }
    str_free(&text);
}

static void names_and_headers_agree(void **state)
{
    (void)state;
    for (int t = EVENT_UNKNOWN + 1; t < EVENT_TYPES; t++) {
        char header[64];
        snprintf(header, sizeof header, "talaria.%s.v1", event_type_name((enum event_type)t));
        assert_int_equal(event_type_of_header(slice_of(header)), t);
        assert_string_equal(event_table((enum event_type)t)->name,
                            event_type_name((enum event_type)t));
    }
    static const char *const others[] = {
        "", "tick", "talaria..v1", "talaria.tick.v2", "talaria.tick.v1x", "xalaria.tick.v1"};
    EACH(others)
    assert_int_equal(event_type_of_header(slice_of(others[i])), EVENT_UNKNOWN);
    assert_int_equal(event_type_of_header((struct slice){NULL, 0}), EVENT_UNKNOWN);
    assert_null(event_table(EVENT_UNKNOWN));
    assert_null(event_table(EVENT_TYPES));
}

static void choices_are_those_of_the_formats(void **state)
{
    (void)state;
    static const enum event_type choices[] = {EVENT_SERIES_DECIDED, EVENT_STUDY_DECIDED,
                                              EVENT_TASK_STARTED, EVENT_TASK_FINISHED,
                                              EVENT_DELIVERY_FINISHED, EVENT_COMMAND_DECIDED};
    int n = 0;
    for (int t = 0; t < EVENT_TYPES; t++)
        n += event_is_choice((enum event_type)t);
    assert_int_equal(n, ARRAY_LEN(choices));
    EACH(choices)
    assert_true(event_is_choice(choices[i]));
}

static void headers_come_from_the_record(void **state)
{
    (void)state;
    struct event_window window = {.first = 100, .last = 131};
    struct event decided = {.type = EVENT_SERIES_DECIDED,
                            .traceparent = "00-0a-0b-01",
                            .decided = {.study = "1.2", .series = "1.2.3", .window = &window}};
    struct event stored = sample_stored();
    struct event finished = {.type = EVENT_DELIVERY_FINISHED};
    const struct {
        const struct event *ev;
        int64_t claim;
        const char *want;
    } cases[] = {
        {&decided, 17,
         "ce_type=talaria.series.decided.v1 content-type=application/cloudevents+json study=1.2 "
         "series=1.2.3 window=100-131 claim=17 traceparent=00-0a-0b-01 "},
        {&stored, -1,
         "ce_type=talaria.instance.stored.v1 content-type=application/cloudevents+json study=1 "
         "series=2 "},
        {&finished, 0,
         "ce_type=talaria.delivery.finished.v1 content-type=application/cloudevents+json claim=0 "},
    };
    EACH(cases)
    {
        struct event_header headers[EVENT_HEADERS];
        struct str got = STR_INIT;
        size_t n = event_headers(headers, cases[i].ev, cases[i].claim);
        for (size_t k = 0; k < n; k++)
            str_printf(&got, "%s=%s ", headers[k].name, headers[k].value);
        assert_string_equal(str_cstr(&got), cases[i].want);
        str_free(&got);
    }
}

static void ids_follow_from_bodies(void **state)
{
    (void)state;
    const struct {
        struct event ev;
        const char *want;
    } cases[] = {
        {{.type = EVENT_TASK_STARTED, .task_started = {.task = "t", .attempt = 2}}, "t.2.started"},
        {{.type = EVENT_TASK_FINISHED, .task_finished = {.task = "t", .attempt = 2}}, "t.finished"},
        {{.type = EVENT_DELIVERY_ATTEMPTED, .attempted = {.delivery = "d", .attempt = 3}},
         "d.3.attempted"},
        {{.type = EVENT_DELIVERY_FINISHED, .finished = {.delivery = "d"}}, "d.finished"},
        {{.type = EVENT_RECORD_REJECTED, .rejected = {.topic = "x", .partition = 1, .offset = 2}},
         "x/1/2"},
        {{.type = EVENT_COMMAND_RETRY, .command = {.command = "c"}}, "c"},
        {{.type = EVENT_TICK}, NULL},
        {{.type = EVENT_DELIVERY_FINISHED}, NULL},
    };
    EACH(cases)
    {
        char buf[EVENT_ID];
        const char *got = event_id(buf, &cases[i].ev);
        if (cases[i].want)
            assert_string_equal(got, cases[i].want);
        else
            assert_null(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_fills_id_and_subject),
        cmocka_unit_test(writer_refuses_what_readers_refuse),
        cmocka_unit_test(names_and_headers_agree),
        cmocka_unit_test(choices_are_those_of_the_formats),
        cmocka_unit_test(headers_come_from_the_record),
        cmocka_unit_test(ids_follow_from_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
