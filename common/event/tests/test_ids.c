/* Ids, object keys, manifests and topics: what outlives a process must never change, so the wanted
 * values are written out here, computed by other means (see each comment). */
#include "testkit/testkit.h"

#include "base/file.h"
#include "base/mem.h"
#include "event/ids.h"
#include "event/keys.h"
#include "event/manifest.h"
#include "event/topics.h"

#define EACH(table) for (size_t i = 0; i < ARRAY_LEN(table); i++)
#define X64         "1234567890123456789012345678901234567890123456789012345678901234"

/* Computed with Python: sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts))[:16]. */
static void ids_are_fixed_for_ever(void **state)
{
    (void)state;
    char got[8][HASH_ID_HEX];
    ids_window_decision(got[0], "main", "1.2", "1.2.3", 100, 131);
    ids_command_decision(got[1], "cmd-1", "1.2.3");
    ids_study_decision(got[2], "main", "1.2", "trial", "d1", 44);
    ids_task(got[3], "d1", "lung");
    ids_delivery(got[4], "d1", "pacs");
    ids_restart(got[5], "d1");
    ids_resend(got[6], "d1", "cmd-1");
    ids_window_decision(got[7], "main", "1.2", "1.2.31", 0, 131);
    static const char *const want[] = {
        "056cf555a82268e13383cbb549a32873", "d224afb7f74edbd70a9038b377d580f7",
        "6b978b454911fece61c9fcc1d4c0cb13", "cbffe3442c3521eee2b51b236f620441",
        "8ca7dde72b70044f456f67dd5e561454", "99eae5f86e7f71345f90fc57daf42376",
        "b68379ff23ca9093d31ce5010c5e4a52", "c1d68c40bf6c8ca40c52755663f76f41",
    };
    EACH(want)
    assert_string_equal(got[i], want[i]);
    EACH(got)
    for (size_t k = 0; k < i; k++)
        assert_string_not_equal(got[i], got[k]);
}

static void unsafe_uids_never_become_a_path(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int hashed;
    } cases[] = {
        {"1.2.840.10008", 0},
        {"0", 0},
        {X64, 0},
        {"1..2", 0},
        {X64 "5", 1},
        {"", 1},
        {".", 1},
        {"..", 1},
        {"1.2/3", 1},
        {"1.2 ", 1},
        {"../1", 1},
        {"1.2\n", 1},
        {"a", 1},
        {"\xC3\xA9", 1},
        {NULL, 1},
    };
    EACH(cases)
    {
        char got[KEYS_UID], again[KEYS_UID];
        assert_int_equal(keys_uid(got, cases[i].in), cases[i].hashed);
        if (!cases[i].hashed)
            assert_string_equal(got, cases[i].in);
        else
            assert_true(got[0] == 'x' && strlen(got) == 33 &&
                        strspn(got + 1, "0123456789abcdef") == 32);
        (void)keys_uid(again, cases[i].in);
        assert_string_equal(got, again);
    }
}

static void keys_are_those_of_the_formats(void **state)
{
    (void)state;
    struct str got = STR_INIT;
    assert_int_equal(keys_instance(&got, "1.2", "1.2.3", "1.2.3.4", "4f1c9a7720be03d5"), 0);
    /* printf 1.2 | sha256sum */
    assert_string_equal(str_cstr(&got), "instances/77/1.2/1.2.3/1.2.3.4.4f1c9a7720be03d5.dcm");
    str_clear(&got);
    assert_int_equal(keys_instance(&got, "1.2", "../../etc", "1", "../x"), 1);
    assert_null(strstr(str_cstr(&got), ".."));
    str_clear(&got);
    keys_outbox(&got, "4f1c9a7720be03d5");
    assert_string_equal(str_cstr(&got), "outbox/4f1c9a7720be03d5.json");
    str_clear(&got);
    keys_config(&got, X64);
    assert_string_equal(str_cstr(&got), "config/" X64 ".json");
    str_clear(&got);
    manifest_key(&got, "1.2", "1.2.3", "d1", 17);
    assert_string_equal(str_cstr(&got), "manifests/77/1.2/1.2.3/d1.17.json");
    str_clear(&got);
    manifest_key(&got, "1.2", NULL, "d1", 0);
    assert_string_equal(str_cstr(&got), "manifests/77/1.2/-/d1.0.json");
    str_free(&got);
}

static void manifests_survive_a_round_trip(void **state)
{
    (void)state;
    static const char text[] =
        "{\"decision\":\"d1\",\"members\":[{\"receipt\":\"r1\",\"key\":\"k1\",\"size\":7,"
        "\"sha256\":\"s1\",\"sop\":\"1\",\"sopClass\":\"2\",\"syntax\":\"3\",\"callingAe\":\"A\","
        "\"calledAe\":\"B\"},{\"kind\":\"file\",\"key\":\"k2\",\"size\":8,\"name\":\"a/b.txt\"}],"
        "\"duplicate\":[{\"receipt\":\"r2\",\"key\":\"k3\",\"sop\":\"1\",\"size\":7,\"of\":0}],"
        "\"superseded\":[{\"receipt\":\"r3\",\"of\":1}],\"parts\":[\"manifests/x\"]}";
    struct arena *a = arena_new(0);
    struct manifest m;
    struct err e = {0};
    struct str got = STR_INIT;
    assert_int_equal(rows_decode(&m, &manifest_table, text, sizeof text - 1, a, NULL, &e), 0);
    assert_int_equal(rows_at(struct manifest_member, &m.members, 1)->kind, MANIFEST_FILE);
    rows_encode(&got, &manifest_table, &m, false);
    assert_string_equal(str_cstr(&got), text);
    str_free(&got);
    arena_free(a);
}

static void topics_are_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *noun;
        int64_t partitions, partitions_test, days;
        const char *policy;
        bool flush;
        const char *group;
    } want[] = {
        {"instance", 24, 2, 14, "delete", false, "decide"},
        {"decision", 24, 2, 30, "delete", true, "plan"},
        {"task", 24, 2, 180, "delete", true, "plan"},
        {"delivery", 24, 2, 180, "delete", true, "dispatch"},
        {"event", 6, 2, 30, "delete", true, "bookkeeper"},
        {"config", 1, 1, 0, "compact", true, "bookkeeper"},
        {"dlq", 1, 1, 90, "delete", true, "bookkeeper"},
    };
    size_t n;
    const struct topic_spec *t = topics_all(&n);
    assert_int_equal(n, ARRAY_LEN(want));
    EACH(want)
    {
        assert_string_equal(t[i].noun, want[i].noun);
        assert_ptr_equal(topics_find(want[i].noun), &t[i]);
        assert_int_equal(t[i].partitions, want[i].partitions);
        assert_int_equal(t[i].partitions_test, want[i].partitions_test);
        assert_int_equal(t[i].retention_ms, want[i].days ? want[i].days * 86400000 : -1);
        assert_string_equal(t[i].policy, want[i].policy);
        assert_int_equal(t[i].flush, want[i].flush);
        assert_string_equal(t[i].groups.items[0], want[i].group);
        assert_string_equal(t[i].groups.items[t[i].groups.n - 1], "bookkeeper");
        if (t[i].copartition) {
            const struct topic_spec *with = topics_find(t[i].copartition);
            assert_non_null(with);
            assert_int_equal(with->partitions, t[i].partitions);
            assert_int_equal(with->partitions_test, t[i].partitions_test);
        }
    }
    assert_string_equal(t[1].copartition, "instance");
    assert_null(topics_find("nothing"));
    char name[TOPIC_NAME];
    assert_string_equal(topics_name(name, "main", "instance"), "talaria.main.instance");
    assert_string_equal(topics_group(name, "t1", "decide"), "talaria.t1.decide");
}

/* The build does not see that topics.c depends on the file. */
extern const char topics_json[], topics_json_end[];

static void topics_are_the_newest_file(void **state)
{
    (void)state;
    struct str file = STR_INIT;
    struct err e = {0};
    assert_int_equal(file_read(&file, "schemas/topics.json", 1 << 20, &e), 0);
    struct slice embedded = {topics_json, (size_t)(topics_json_end - topics_json)};
    if (!slice_eq(str_slice(&file), embedded))
        fail_msg("schemas/topics.json changed: touch common/event/topics.c and build again");
    str_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_fixed_for_ever),
        cmocka_unit_test(unsafe_uids_never_become_a_path),
        cmocka_unit_test(keys_are_those_of_the_formats),
        cmocka_unit_test(manifests_survive_a_round_trip),
        cmocka_unit_test(topics_are_the_file),
        cmocka_unit_test(topics_are_the_newest_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
