/* Documents to snapshots: a whole one, what is refused and where, which source a peer is. */
#include "config/config.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "testkit/testkit.h"

#define ERRORS_MAX 8

static const char *const document =
    "{\"defaults\": {\"quietSeconds\": 30, \"extraTags\": [\"PatientWeight\", \"0040,0275\", "
    "\"00400275.00400009\"]},\n"
    " \"sources\": {\n"
    "  \"banned\": {\"addresses\": [\"10.9.9.9\"], \"accept\": false},\n"
    "  \"ct-1\": {\"callingAes\": [\"CT?\", \"SCANNER*\"], \"addresses\": [\"10.0.0.0/8\", "
    "\"fe80::/10\"],\n"
    "            \"completion\": \"release\", \"graceSeconds\": 0, \"charset\": \"ISO_IR 100\"},\n"
    "  \"tls\": {\"certificates\": [\"CN=mr\"], \"calledAes\": [\"TALARIA\"], \"syntaxes\": "
    "\"uncompressed\"}},\n"
    " \"targets\": {\n"
    "  \"pacs\": {\"type\": \"dicom\", \"dicom\": {\"host\": \"pacs.example\", \"port\": 11112}},\n"
    "  \"disk\": {\"type\": \"folder\", \"folder\": {\"path\": \"/data/out\", \"exclude\": "
    "[\"*.tmp\"]},\n"
    "           \"attempts\": 3, \"unaccepted\": \"skip\", \"paused\": true}},\n"
    " \"modules\": {\"seg\": {\"image\": \"example/seg:1.2\", \"settings\": {\"a\": [1, 2]}, "
    "\"environment\": {\"X\": \"1\"}}},\n"
    " \"rules\": {\n"
    "  \"z-first\": {\"rule\": \"tags.Modality == 'CT'\", \"targets\": [\"pacs\", \"disk\"], "
    "\"priority\": "
    "\"urgent\"},\n"
    "  \"a-second\": {\"rule\": \"'MR' in tags.Modality\", \"action\": \"both\", \"modules\": "
    "[\"seg\", "
    "\"seg\"],\n"
    "               \"targets\": [\"pacs\"], \"settings\": [{}, {\"settings\": {\"b\": 1}}], "
    "\"late\": "
    "\"again\"},\n"
    "  \"rest\": {\"rule\": \"True\", \"fallback\": true, \"action\": \"discard\", "
    "\"keepSeconds\": 60}}}";

static struct config_snapshot *load(const char *text)
{
    struct config_snapshot *s = NULL;
    struct rows_error errors[ERRORS_MAX];
    struct arena *scratch = arena_new(0);
    size_t n = config_load(&s, text, strlen(text), "7-0123456789ab", scratch, errors, ERRORS_MAX);
    if (n > 0)
        fail_msg("%s: %s", errors[0].pointer, errors[0].reason);
    arena_free(scratch);
    return s;
}

static const char *modality(void *arg, const char *name, bool any_case)
{
    (void)any_case;
    return strcmp(name, "Modality") == 0 ? arg : NULL;
}

static void rules_are_compiled_in_order(const struct config_snapshot *s)
{
    static const char *const names[] = {"z-first", "a-second", "rest"};
    struct rule_tags tags = {.get = modality, .arg = (void *)"CT"};
    struct arena *scratch = arena_new(0);
    struct err e;
    assert_int_equal(s->rules.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(rows_at(struct config_rule, &s->rules, i)->name, names[i]);
    const struct config_rule *r = config_rule(s, "z-first");
    assert_int_equal(r->action, ACTION_ROUTE);
    assert_int_equal(r->priority, 1);
    assert_int_equal(r->targets.n, 2);
    assert_int_equal(rules_eval(r->program, &tags, scratch, NULL, &e), RULE_MATCH);
    r = config_rule(s, "a-second");
    assert_int_equal(rules_eval(r->program, &tags, scratch, NULL, &e), RULE_NO_MATCH);
    assert_int_equal(r->late, LATE_AGAIN);
    assert_int_equal(r->settings.n, 2);
    assert_true(
        slice_is(rows_at(struct config_step_settings, &r->settings, 1)->settings, "{\"b\": 1}"));
    assert_true(config_rule(s, "rest")->fallback);
    assert_null(config_rule(s, "none"));
    arena_free(scratch);
}

static void a_whole_document(void **state)
{
    (void)state;
    struct config_snapshot *s = load(document);
    assert_string_equal(s->revision, "7-0123456789ab");
    assert_int_equal(s->defaults.quiet_seconds, 30);
    assert_int_equal(s->defaults.cap_instances, 50000);
    assert_int_equal(s->defaults.extra_tags.n, 3);
    const struct config_source *source = config_source(s, "ct-1");
    assert_int_equal(source->completion, COMPLETION_RELEASE);
    assert_int_equal(source->grace_seconds, 0);
    assert_int_equal(source->quiet_seconds, 0);
    assert_true(source->accept);
    assert_int_equal(config_source(s, "tls")->grace_seconds, -1);
    const struct config_target *t = config_target(s, "pacs");
    assert_int_equal(t->type, TARGET_DICOM);
    assert_int_equal(t->dicom->port, 11112);
    assert_null(t->dicom->called_ae);
    assert_int_equal(t->attempts, 5);
    assert_null(t->folder);
    t = config_target(s, "disk");
    assert_string_equal(t->folder->path, "/data/out");
    assert_int_equal(t->unaccepted, UNACCEPTED_SKIP);
    assert_true(t->paused);
    assert_null(config_target(s, "nowhere"));
    rules_are_compiled_in_order(s);
    config_free(s);
}

static void the_empty_ones(void **state)
{
    (void)state;
    struct config_sender sender = {.calling_ae = "X", .called_ae = "Y", .address = "192.0.2.1"};
    struct config_snapshot *both[] = {config_empty(), load("{}")};
    assert_string_equal(both[0]->revision, "");
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        enum config_mismatch why = MISMATCH_CALLED;
        assert_int_equal(both[i]->defaults.quiet_seconds, 60);
        assert_int_equal(both[i]->defaults.keep_seconds, 259200);
        assert_int_equal(both[i]->rules.n, 0);
        const struct config_source *any = config_match_source(both[i], &sender, &why);
        assert_string_equal(any->name, "any");
        assert_true(any->accept);
        assert_int_equal(any->grace_seconds, -1);
        assert_int_equal(why, MISMATCH_NONE);
        config_free(both[i]);
    }
    config_free(NULL);
}

static void refused_with_pointer(void **state)
{
    (void)state;
#define D "{\"targets\": {\"t\": {\"type\": \"dummy\"}}, \"modules\": {\"m\": {\"image\": \"x\"}}, "
    static const struct {
        const char *text, *pointer, *reason; /* reason: how it begins */
    } cases[] = {
        {"{\"rule\": {}}", "/rule", "unknown"},
        {"{\"rules\": {\"a\": {}}}", "/rules/a/rule", "required"},
        {"{\"rules\": {\"a b\": {\"rule\": \"1\"}}}", "/rules/a b", "name is not of letters"},
        {"{\"rules\": {\"\": {\"rule\": \"1\"}}}", "/rules/", "name must not be empty"},
        {D "\"rules\": {\"a\": {\"rule\": \"tags.X ==\", \"targets\": [\"t\"]}}}", "/rules/a/rule",
         "1:10: a value is missing at the end"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\"}}}", "/rules/a/targets",
         "required for this action"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"targets\": [\"t\", \"u\"]}}}",
         "/rules/a/targets/1", "names nothing in /targets"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"targets\": [\"t\", \"t\"]}}}",
         "/rules/a/targets/1", "is named twice"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"action\": \"process\", \"modules\": [\"n\"]}}}",
         "/rules/a/modules/0", "names nothing in /modules"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"action\": \"discard\", \"targets\": [\"t\"]}}}",
         "/rules/a/targets", "does not belong to this action"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"action\": \"process\", \"modules\": [\"m\"], "
           "\"settings\": "
           "[{}, {}]}}}",
         "/rules/a/settings", "more settings than modules"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"action\": \"process\", \"modules\": [\"m\"], "
           "\"settings\": "
           "[{\"settings\": 5}]}}}",
         "/rules/a/settings/0", "settings is not an object"},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"action\": \"rout\"}}}", "/rules/a/action", ""},
        {D "\"rules\": {\"a\": {\"rule\": \"1\", \"action\": \"both\", \"targets\": [\"t\"]}}}",
         "/rules/a/modules", "required for this action"},
        {"{\"targets\": {\"t\": {}}}", "/targets/t/type", "required"},
        {"{\"targets\": {\"t\": {\"type\": \"dicom\"}}}", "/targets/t/dicom",
         "required for type dicom"},
        {"{\"targets\": {\"t\": {\"type\": \"dicomtls\", \"dicomtls\": {\"host\": \"h\"}}}}",
         "/targets/t/dicomtls/ca", ""},
        {"{\"targets\": {\"t\": {\"type\": \"dicomtls\", \"dicomtls\": {\"host\": \"h\", "
         "\"ca\": \"/ca.pem\", \"key\": \"/k.pem\"}}}}",
         "/targets/t/dicomtls", "certificate and key belong together"},
        {"{\"targets\": {\"t\": {\"type\": \"dummy\", \"folder\": {\"path\": \"/x\"}}}}",
         "/targets/t/folder", "does not belong to this type"},
        {"{\"targets\": {\"t\": {\"type\": \"folder\", \"folder\": {\"path\": \"x\"}}}}",
         "/targets/t/folder/path", "is not an absolute path"},
        {"{\"targets\": {\"t\": {\"type\": \"folder\", \"folder\": {\"path\": \"/x/../y\"}}}}",
         "/targets/t/folder/path", "has .. in it"},
        {"{\"targets\": {\"t\": {\"type\": \"folder\", \"folder\": {\"path\": \"/x\", \"exclude\": "
         "[\"a/b\"]}}}}",
         "/targets/t/folder/exclude/0", "is not a file name"},
        {"{\"targets\": {\"t\": {\"type\": \"dicom\", \"dicom\": {\"host\": \"a b\"}}}}",
         "/targets/t/dicom/host", "is not a host name"},
        {"{\"targets\": {\"t\": {\"type\": \"dicom\", \"dicom\": {\"host\": \"-a\"}}}}",
         "/targets/t/dicom/host", "is not a host name"},
        {"{\"targets\": {\"t\": {\"type\": \"dicom\", \"dicom\": {\"host\": \"a\", \"port\": "
         "65536}}}}",
         "/targets/t/dicom/port", ""},
        {"{\"targets\": {\"t\": {\"type\": \"dicom\", \"dicom\": {\"host\": \"a\", \"calledAe\": "
         "\"SEVENTEEN-LETTERS\"}}}}",
         "/targets/t/dicom/calledAe", ""},
        {"{\"targets\": {\"t\": {\"type\": \"dicom\", \"dicom\": {\"host\": \"a\", \"callingAe\": "
         "\"A\\\\B\"}}}}",
         "/targets/t/dicom/callingAe", "is not an AE title"},
        {"{\"targets\": {\"t\": {\"type\": \"dummy\", \"attempts\": 0}}}", "/targets/t/attempts",
         ""},
        {"{\"sources\": {\"s\": {\"addresses\": [\"10.0.0.0/33\"]}}}", "/sources/s/addresses/0",
         "is not an IP address"},
        {"{\"sources\": {\"s\": {\"addresses\": [\"host\"]}}}", "/sources/s/addresses/0",
         "is not an IP address"},
        {"{\"sources\": {\"s\": {\"callingAes\": [\"\"]}}}", "/sources/s/callingAes/0",
         "is not an AE title"},
        {"{\"sources\": {\"s\": {\"charset\": \"a;b\"}}}", "/sources/s/charset",
         "is not a value of"},
        {"{\"modules\": {\"m\": {\"image\": \"a b\"}}}", "/modules/m/image", "is not the name"},
        {"{\"modules\": {\"m\": {\"image\": \"a\", \"settings\": []}}}", "/modules/m/settings",
         "is not an object"},
        {"{\"modules\": {\"m\": {\"image\": \"a\", \"environment\": {\"A=B\": \"1\"}}}}",
         "/modules/m/environment", "a name is empty"},
        {"{\"defaults\": {\"extraTags\": [\"0040,027\"]}}", "/defaults/extraTags/0",
         "unknown tag"},
        {"{\"defaults\": {\"extraTags\": [\"00400275.\"]}}", "/defaults/extraTags/0",
         "unknown tag"},
        {"{\"defaults\": {\"extraTags\": [\"Modality\", \"NoSuchKeyword\"]}}",
         "/defaults/extraTags/1", "unknown tag \"NoSuchKeyword\""},
        {"{\"defaults\": {\"quietSeconds\": 0}}", "/defaults/quietSeconds", ""},
        {"[]", "", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_snapshot *s = NULL;
        struct rows_error errors[ERRORS_MAX] = {{NULL, NULL}};
        struct arena *scratch = arena_new(0);
        size_t n = config_load(&s, cases[i].text, strlen(cases[i].text), "1-x", scratch, errors,
                               ERRORS_MAX);
        assert_null(s);
        if (n != 1)
            fail_msg("case %zu: %zu errors, want 1: %s %s", i, n, errors[0].pointer,
                     errors[0].reason);
        assert_string_equal(errors[0].pointer, cases[i].pointer);
        if (strncmp(errors[0].reason, cases[i].reason, strlen(cases[i].reason)) != 0)
            fail_msg("case %zu: got %s, want %s", i, errors[0].reason, cases[i].reason);
        arena_free(scratch);
    }
}

static void all_errors_are_counted(void **state)
{
    (void)state;
    const char *text = "{\"rules\": {\"a\": {\"rule\": \"(\"}, \"b\": {\"rule\": \")\"}}}";
    struct config_snapshot *s = NULL;
    struct rows_error errors[2];
    struct arena *scratch = arena_new(0);
    assert_int_equal(config_load(&s, text, strlen(text), "1-x", scratch, errors, 2), 4);
    assert_null(s);
    assert_string_equal(errors[0].pointer, "/rules/a/targets");
    assert_string_equal(errors[1].pointer, "/rules/a/rule");
    arena_free(scratch);
}

static void which_source(void **state)
{
    (void)state;
    struct config_snapshot *s = load(document);
    static const struct {
        struct config_sender sender;
        const char *want; /* NULL: none */
        enum config_mismatch why;
    } cases[] = {
        {{"CT1", "ANY", "10.1.2.3", NULL, NULL}, "ct-1", MISMATCH_NONE},
        {{"SCANNER-7", "ANY", "10.255.255.255", NULL, NULL}, "ct-1", MISMATCH_NONE},
        {{"CT1", "ANY", "::ffff:10.1.2.3", NULL, NULL}, "ct-1", MISMATCH_NONE},
        {{"CT1", "ANY", "fe80::1", NULL, NULL}, "ct-1", MISMATCH_NONE},
        {{"CT1", "ANY", "febf::1", NULL, NULL}, "ct-1", MISMATCH_NONE},
        {{"CT1", "ANY", "fec0::1", NULL, NULL}, NULL, MISMATCH_ADDRESS},
        {{"CT12", "ANY", "10.1.2.3", NULL, NULL}, NULL, MISMATCH_CALLING},
        {{"ct1", "ANY", "10.1.2.3", NULL, NULL}, NULL, MISMATCH_CALLING},
        {{"CT1", "ANY", "11.1.2.3", NULL, NULL}, NULL, MISMATCH_ADDRESS},
        {{"CT1", "ANY", "10.9.9.9", NULL, NULL}, NULL, MISMATCH_REFUSED},
        {{"CT1", "ANY", "nonsense", NULL, NULL}, NULL, MISMATCH_ADDRESS},
        {{"CT1", "ANY", NULL, NULL, NULL}, NULL, MISMATCH_ADDRESS},
        {{"X", "TALARIA", "192.0.2.1", "ab", "CN=mr"}, "tls", MISMATCH_NONE},
        {{"X", "OTHER", "192.0.2.1", "ab", "CN=mr"}, NULL, MISMATCH_CALLED},
        {{"X", "TALARIA", "192.0.2.1", "ab", "CN=ct"}, NULL, MISMATCH_ADDRESS},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum config_mismatch why = MISMATCH_REFUSED;
        const struct config_source *got = config_match_source(s, &cases[i].sender, &why);
        if (why != cases[i].why)
            fail_msg("case %zu: got why %d, want %d", i, why, cases[i].why);
        if (cases[i].want == NULL)
            assert_null(got);
        else
            assert_string_equal(got->name, cases[i].want);
        assert_ptr_equal(config_match_source(s, &cases[i].sender, NULL), got);
    }
    config_free(s);
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool want;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*", "abc", true},
        {"*c", "abc", true},
        {"a*c", "abc", true},
        {"a*d", "abc", false},
        {"?", "", false},
        {"?", "a", true},
        {"??", "a", false},
        {"a?c", "abc", true},
        {"*a*b*", "xxaxxb", true},
        {"*ab", "aab", true},
        {"*aab", "aaaab", true},
        {"a**b", "ab", true},
        {"ab", "abc", false},
        {"abc", "ab", false},
        {"A", "a", false},
        {"*.dcm", "x.dcm", true},
        {"*.dcm", "x.dcmx", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (config_glob(cases[i].pattern, cases[i].text) != cases[i].want)
            fail_msg("%s of %s: want %d", cases[i].pattern, cases[i].text, cases[i].want);
    char pattern[4097], text[4097];
    for (size_t i = 0; i < 4096; i++) {
        pattern[i] = i % 2 ? 'a' : '*';
        text[i] = 'a';
    }
    pattern[4096] = text[4096] = '\0';
    pattern[4095] = 'b';
    assert_false(config_glob(pattern, text));
}

/* ---- generated references -------------------------------------------------------------------- */

static void up_to_date(const char *path, const struct str *want)
{
    struct str got = STR_INIT;
    struct err e = {0};
    const char *update = getenv("UPDATE");
    if (update != NULL && strcmp(update, "1") == 0 &&
        (file_mkdirs("schemas/config", 0755, &e) != 0 ||
         file_mkdirs("docs/reference", 0755, &e) != 0 ||
         file_replace(path, str_cstr(want), want->len, 0644, &e) != 0))
        fail_msg("%s", e.text);
    if (file_read(&got, path, 1 << 20, &e) != 0)
        fail_msg("%s (UPDATE=1 writes it)", e.text);
    if (strcmp(str_cstr(&got), str_cstr(want)) != 0)
        fail_msg("%s is not what the tables say (UPDATE=1 writes it)", path);
    str_free(&got);
}

static const struct row_table *const tables[] = {
    &config_document_table, &config_defaults_table, &config_source_table,
    &config_target_table,   &config_module_table,   &config_rule_table,
};

static void schemas_are_up_to_date(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        char path[128], id[128];
        struct str want = STR_INIT;
        snprintf(path, sizeof path, "schemas/config/%s.json", tables[i]->name);
        snprintf(id, sizeof id, "urn:talaria:schema:%s", tables[i]->name);
        rows_schema(&want, tables[i], id);
        up_to_date(path, &want);
        str_free(&want);
    }
}

static void reference_is_up_to_date(void **state)
{
    (void)state;
    struct str want = STR_INIT;
    str_puts(&want, "# Configuration\n\n<!-- generated by common/config/tests/test_config.c "
                    "(UPDATE=1): do not edit -->"
                    "\n\nThe domain configuration is one JSON document: `{\"defaults\": {…}, "
                    "\"sources\": {name: {…}}, "
                    "\"targets\": {…}, \"modules\": {…}, \"rules\": {…}}`. It is read and applied "
                    "through the gateway "
                    "(`talaria export`, `talaria apply`) and published as a numbered revision. "
                    "What is not a member "
                    "listed here is refused, and so is a document that names a target or module "
                    "that is not in it. "
                    "Expressions: [Writing rules](../rules.md).\n");
    for (size_t i = 1; i < ARRAY_LEN(tables); i++) {
        str_printf(&want, "\n## %s%s\n\n%s\n\n", tables[i]->name, i == 1 ? "" : "s",
                   tables[i]->help);
        rows_markdown(&want, tables[i]);
    }
    up_to_date("docs/reference/configuration.md", &want);
    str_free(&want);
}

static void hours_are_inclusive_and_may_wrap_midnight(void **state)
{
    (void)state;
    static const struct {
        const char *start, *end;
        int minute;
        bool want;
    } rows[] = {
        {"22:00", "06:00", 22 * 60, true},      {"22:00", "06:00", 6 * 60, true},
        {"22:00", "06:00", 6 * 60 + 1, false},  {"22:00", "06:00", 0, true},
        {"22:00", "06:00", 12 * 60, false},     {"08:00", "17:30", 17 * 60 + 30, true},
        {"08:00", "17:30", 7 * 60 + 59, false}, {"x", "06:00", 12 * 60, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(config_in_hours(rows[i].start, rows[i].end, rows[i].minute),
                         rows[i].want);
    assert_int_equal(config_minute("23:59"), 1439);
    static const char *const bad[] = {"24:00", "9:00", "09-00", "ab:cd", "", "09:60"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(config_minute(bad[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_document),       cmocka_unit_test(the_empty_ones),
        cmocka_unit_test(refused_with_pointer),   cmocka_unit_test(all_errors_are_counted),
        cmocka_unit_test(which_source),           cmocka_unit_test(globs),
        cmocka_unit_test(schemas_are_up_to_date), cmocka_unit_test(reference_is_up_to_date),
        cmocka_unit_test(hours_are_inclusive_and_may_wrap_midnight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
