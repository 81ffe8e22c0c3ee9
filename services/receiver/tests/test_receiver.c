/* The receiver's pure decisions: contexts, statuses, evidence. */
#include "testkit/testkit.h"

#include "base/mem.h"
#include "dicom/syntax.h"
#include "dicom/uid.h"
#include "receiver/alive.h"
#include "receiver/evidence.h"
#include "receiver/policy.h"

#define CT     "1.2.840.10008.5.1.4.1.1.2"
#define FIND   "1.2.840.10008.5.1.4.1.2.2.1"
#define JPEG   "1.2.840.10008.1.2.4.50"
#define HTJ2K  "1.2.840.10008.1.2.4.201"
#define SECRET "1.3.6.1.4.1.99999.7"

static void contexts_are_taken_one_by_one(void **state)
{
    (void)state;
    static const struct {
        const char *abstract, *syntaxes[3];
        enum config_syntaxes allowed;
        const char *want;
        enum dimse_refusal why;
    } rows[] = {
        {UID_VERIFICATION, {SYNTAX_IMPLICIT_LE}, SYNTAXES_ANY, SYNTAX_IMPLICIT_LE, 0},
        {CT, {SYNTAX_EXPLICIT_LE, SYNTAX_IMPLICIT_LE}, SYNTAXES_ANY, SYNTAX_EXPLICIT_LE, 0},
        {CT, {JPEG, SYNTAX_IMPLICIT_LE}, SYNTAXES_ANY, JPEG, 0},
        {CT, {HTJ2K}, SYNTAXES_ANY, HTJ2K, 0},
        {CT, {"1.2.3.4.5"}, SYNTAXES_ANY, "1.2.3.4.5", 0},
        {CT, {JPEG, SYNTAX_IMPLICIT_LE}, SYNTAXES_UNCOMPRESSED, SYNTAX_IMPLICIT_LE, 0},
        {CT, {JPEG}, SYNTAXES_UNCOMPRESSED, NULL, DIMSE_REFUSE_SYNTAX},
        {SECRET, {SYNTAX_EXPLICIT_LE}, SYNTAXES_ANY, SYNTAX_EXPLICIT_LE, 0},
        {FIND, {SYNTAX_EXPLICIT_LE}, SYNTAXES_ANY, NULL, DIMSE_REFUSE_ABSTRACT},
        {CT, {NULL}, SYNTAXES_ANY, NULL, DIMSE_REFUSE_SYNTAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned n = 0;
        enum dimse_refusal why = 0;
        while (n < 3 && rows[i].syntaxes[n])
            n++;
        const char *got =
            policy_context(rows[i].abstract, rows[i].syntaxes, n, rows[i].allowed, &why);
        if (!rows[i].want) {
            assert_null(got);
            assert_int_equal(why, rows[i].why);
            continue;
        }
        assert_non_null(got);
        assert_string_equal(got, rows[i].want);
    }
}

static void only_stored_is_success(void **state)
{
    (void)state;
    assert_int_equal(policy_status(INGEST_STORED), 0x0000);
    assert_int_equal(policy_status(INGEST_NO_RESOURCES), 0xA700);
    assert_int_equal(policy_status(INGEST_NOT_DICOM), 0xC000);
}

static struct outputs records_of(const struct evidence *v)
{
    struct outputs out = {.source = "/talaria/test/receiver/1", .now_ms = 1};
    struct event_source source = {"any", NULL, NULL};
    struct err e = {0};
    assert_int_equal(evidence_records(v, "a1", &source, ASSOCIATION_RELEASED, &out, &e), 0);
    return out;
}

static void evidence_is_one_record_per_study(void **state)
{
    (void)state;
    struct evidence *v = evidence_new();
    evidence_answered(v, "1.1", "1.1.1", true);
    evidence_answered(v, "1.2", "1.2.1", true);
    evidence_answered(v, "1.1", "1.1.1", true);
    evidence_answered(v, "1.1", "1.1.2", true);
    struct outputs out = records_of(v);
    assert_int_equal(out.records.n, 2);
    struct arena *a = arena_new(0);
    struct event ev;
    struct err e = {0};
    const struct str *text = &out.records.items[0].value;
    assert_int_equal(event_decode(&ev, text->data, text->len, a, &e), 0);
    assert_string_equal(ev.ended.study, "1.1");
    assert_int_equal(ev.ended.series.n, 2);
    assert_string_equal(rows_at(struct event_series_count, &ev.ended.series, 0)->series, "1.1.1");
    assert_int_equal(rows_at(struct event_series_count, &ev.ended.series, 0)->answered, 2);
    assert_string_equal(out.records.items[1].key, "1.2");
    arena_free(a);
    outputs_free(&out);
    evidence_free(v);
}

static void an_association_that_used_the_outbox_testifies_nothing(void **state)
{
    (void)state;
    struct evidence *v = evidence_new();
    evidence_answered(v, "1.1", "1.1.1", true);
    evidence_answered(v, "1.1", "1.1.1", false);
    struct outputs out = records_of(v);
    assert_int_equal(out.records.n, 0);
    outputs_free(&out);
    evidence_free(v);
}

static void over_500_series_make_several_records(void **state)
{
    (void)state;
    struct evidence *v = evidence_new();
    for (int i = 0; i < 1201; i++) {
        char series[32];
        snprintf(series, sizeof series, "1.1.%d", i);
        evidence_answered(v, "1.1", series, true);
    }
    struct outputs out = records_of(v);
    assert_int_equal(out.records.n, 3);
    outputs_free(&out);
    evidence_free(v);
}

static struct outputs alive_of(const struct alive *l)
{
    struct outputs out = {.source = "/talaria/test/receiver/1", .now_ms = 1};
    struct event_source source = {"pacs", NULL, NULL};
    struct err e = {0};
    assert_int_equal(alive_records(l, "a1", &source, &out, &e), 0);
    return out;
}

static void an_open_association_says_each_study_it_has_touched(void **state)
{
    (void)state;
    struct alive *l = alive_new();
    struct outputs out = alive_of(l);
    assert_int_equal(out.records.n, 0); /* it has carried nothing */
    alive_touch(l, "1.1");
    alive_touch(l, "1.2");
    alive_touch(l, "1.1");
    outputs_free(&out);
    out = alive_of(l);
    assert_int_equal(out.records.n, 2);
    assert_string_equal(out.records.items[0].key, "1.2");
    assert_string_equal(out.records.items[1].key, "1.1");
    struct arena *a = arena_new(0);
    struct event ev;
    struct err e = {0};
    const struct str *text = &out.records.items[1].value;
    assert_int_equal(event_decode(&ev, text->data, text->len, a, &e), 0);
    assert_int_equal(ev.type, EVENT_ASSOCIATION_ALIVE);
    assert_string_equal(ev.alive.association, "a1");
    assert_int_equal(ev.alive.studies.n, 1);
    assert_string_equal(ev.alive.studies.items[0], "1.1");
    arena_free(a);
    outputs_free(&out);
    alive_free(l);
}

static void of_many_studies_the_latest_are_said(void **state)
{
    (void)state;
    struct alive *l = alive_new();
    alive_touch(l, "1.0");
    for (int i = 1; i <= ALIVE_STUDIES; i++) {
        char study[32];
        snprintf(study, sizeof study, "1.%d", i);
        alive_touch(l, study);
        alive_touch(l, "1.0"); /* touched again and again: it stays */
    }
    struct outputs out = alive_of(l);
    assert_int_equal(out.records.n, ALIVE_STUDIES);
    assert_string_equal(out.records.items[0].key, "1.2");
    assert_string_equal(out.records.items[ALIVE_STUDIES - 1].key, "1.0");
    outputs_free(&out);
    alive_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_are_taken_one_by_one),
        cmocka_unit_test(only_stored_is_success),
        cmocka_unit_test(evidence_is_one_record_per_study),
        cmocka_unit_test(an_association_that_used_the_outbox_testifies_nothing),
        cmocka_unit_test(over_500_series_make_several_records),
        cmocka_unit_test(an_open_association_says_each_study_it_has_touched),
        cmocka_unit_test(of_many_studies_the_latest_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
