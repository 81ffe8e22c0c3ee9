/* Decode, encode, peek and set against tables of got and want. */
#include "testkit/testkit.h"

#include "base/mem.h"
#include "sample.h"

#define EACH(table) for (size_t i = 0; i < ARRAY_LEN(table); i++)

static int decode(struct sample *s, const char *text, struct arena *a, struct err *e)
{
    /* exact copy: a read past the end is seen by the sanitizer */
    size_t n = strlen(text);
    char *exact = mem_dup(text, n);
    int rc = rows_decode(s, &sample_table, exact, n, a, NULL, e);
    mem_free(exact);
    return rc;
}

static void round_trips(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want; /* NULL: as in */
    } cases[] = {
        {"{\"port\":104}", NULL},
        {"{}", "{\"port\":104}"},
        {" {\n\t\"text\" : \"x\" , \"port\" : 1 }\r\n", "{\"text\":\"x\",\"port\":1}"},
        {"{\"text\":\"\",\"port\":104}", NULL},
        {"{\"text\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\",\"port\":104}",
         "{\"text\":\"a\\\"\\\\/\\u0008\\u000c\\n\\r\\tA\",\"port\":104}"},
        {"{\"text\":\"\\u00e9\\u20ac\\uD83D\\uDE00\xC3\xA9\",\"port\":104}",
         "{\"text\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xC3\xA9\",\"port\":104}"},
        {"{\"\\u0074ext\":\"x\",\"port\":104}", "{\"text\":\"x\",\"port\":104}"},
        {"{\"checked\":\"good\",\"on\":true,\"off\":false,\"ratio\":0.5,\"colour\":\"dark-green\"}",
         "{\"port\":104}"},
        {"{\"port\":104,\"ratio\":0.1,\"on\":false,\"off\":true,\"colour\":\"red\"}", NULL},
        {"{\"port\":104,\"ratio\":-1.25e-7}", "{\"port\":104,\"ratio\":-1.25e-07}"},
        {"{\"count\":-9223372036854775808,\"port\":104}", NULL},
        {"{\"count\":9223372036854775807,\"port\":104}", NULL},
        {"{\"port\":104,\"list\":[\"a\",\"\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]}", NULL},
        {"{\"port\":104,\"list\":[]}", "{\"port\":104}"},
        {"{\"port\":104,\"pairs\":{\"b\":\"1\",\"a\":\"\"}}", NULL},
        {"{\"raw\" : {\"x\": [1, null, true]} }",
         "{\"port\":104,\"raw\":{\"x\": [1, null, true]}}"},
        {"{\"port\":104,\"part\":{\"name\":\"p\",\"weight\":3}}", NULL},
        {"{\"port\":104,\"option\":{\"name\":\"p\"}}", NULL},
        {"{\"port\":104,\"parts\":[{\"name\":\"a\"},{\"name\":\"b\",\"weight\":2},{\"name\":\"c\"},"
         "{\"name\":\"d\"},{\"name\":\"e\"}]}",
         NULL},
        {"{\"port\":104,\"map\":{\"x\":{},\"y\":{\"weight\":1}}}", NULL},
        {"{\"other\":{\"a\":[{\"b\":\"\\n\"},-1.5E+3,false]},\"port\":104}", "{\"port\":104}"},
    };
    EACH(cases)
    {
        struct arena *a = arena_new(0);
        struct sample s;
        struct err e = {0};
        struct str got = STR_INIT;
        if (decode(&s, cases[i].in, a, &e))
            fail_msg("%s: %s", cases[i].in, e.text);
        rows_encode(&got, &sample_table, &s, true);
        assert_string_equal(str_cstr(&got), cases[i].want ? cases[i].want : cases[i].in);
        str_free(&got);
        arena_free(a);
    }
}

static void errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"", "/: text ends where an object should be"},
        {"[]", "/: an object expected at byte 0"},
        {"{", "/: text ends where a string should be"},
        {"{}x", "/: the end of the text expected at byte 2"},
        {"{\"text\"}", "/text: ':' expected at byte 7"},
        {"{\"text\":\"x\"", "/text: text ends where ',' or '}' should be"},
        {"{\"text\":\"x\",}", "/: a string expected at byte 12"},
        {"{\"text\":\"x", "/text: text ends in a string"},
        {"{\"text\":\"x\\", "/text: text ends in a string"},
        {"{\"text\":\"a\nb\"}", "/text: control character in a string"},
        {"{\"text\":\"\\x\"}", "/text: unknown escape"},
        {"{\"text\":\"\\u12g4\"}", "/text: malformed \\u escape"},
        {"{\"text\":\"\\u0000\"}", "/text: a string must not hold the NUL character"},
        {"{\"other\":\"\\u0000\"}", "/other: a string must not hold the NUL character"},
        {"{\"text\":\"\\ud800\"}", "/text: half a surrogate pair"},
        {"{\"text\":\"\\ud800\\u0041\"}", "/text: half a surrogate pair"},
        {"{\"text\":\"\\udc00\"}", "/text: half a surrogate pair"},
        {"{\"text\":\"\xC0\x80\"}", "/text: not valid UTF-8"},
        {"{\"text\":\"abcdefghijk\xE9\"}", "/text: not valid UTF-8"},
        {"{\"text\":1}", "/text: must be a string"},
        {"{\"text\":null}", "/text: must be a string"},
        {"{\"text\":nul}", "/text: a value expected at byte 8"},
        {"{\"checked\":\"bad\"}", "/checked: must not be bad"},
        {"{\"count\":\"1\"}", "/count: must be an integer"},
        {"{\"count\":1.5}", "/count: must be an integer of 64 bits"},
        {"{\"count\":9223372036854775808}", "/count: must be an integer of 64 bits"},
        {"{\"count\":-9223372036854775809}", "/count: must be an integer of 64 bits"},
        {"{\"count\":01}", "/count: ',' or '}' expected at byte 10"},
        {"{\"count\":-}", "/count: a number expected at byte 9"},
        {"{\"port\":0}", "/port: must be between 1 and 65535"},
        {"{\"ratio\":1.}", "/ratio: a number expected at byte 9"},
        {"{\"ratio\":1e999}", "/ratio: number too large"},
        {"{\"ratio\":true}", "/ratio: must be a number"},
        {"{\"on\":1}", "/on: must be true or false"},
        {"{\"on\":tru}", "/on: true or false expected at byte 6"},
        {"{\"colour\":\"pink\"}", "/colour: must be one of red, dark-green, blue"},
        {"{\"list\":\"a\"}", "/list: must be an array"},
        {"{\"list\":[\"a\",2]}", "/list/1: must be a string"},
        {"{\"list\":[\"a\",]}", "/list/1: a value expected at byte 13"},
        {"{\"list\":[\"a\" \"b\"]}", "/list/0: ',' or ']' expected at byte 13"},
        {"{\"pairs\":{\"a/b~\":1}}", "/pairs/a~1b~0: must be a string"},
        {"{\"pairs\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}", "/pairs/a: duplicate member"},
        {"{\"text\":\"a\",\"count\":1,\"te\\u0078t\":\"b\"}", "/text: duplicate member"},
        {"{\"x\":1,\"y\":2,\"x\":3}", "/x: duplicate member"},
        {"{\"y\":{\"x\":1,\"\\u0078\":3}}", "/y/x: duplicate member"},
        {"{\"raw\":{\"x\":1,\"x\":3}}", "/raw/x: duplicate member"},
        {"{\"map\":{\"x\":{},\"x\":{}}}", "/map/x: duplicate member"},
        {"{\"map\":{\"x\":[]}}", "/map/x: must be an object"},
        {"{\"map\":{\"far too long\":{}}}",
         "/map/far too long: name must have at most 8 characters"},
        {"{\"part\":{}}", "/part/name: required"},
        {"{\"part\":[]}", "/part: must be an object"},
        {"{\"option\":{\"weight\":1}}", "/option/name: required"},
        {"{\"parts\":[{\"name\":\"a\"},{}]}", "/parts/1/name: required"},
        {"{\"parts\":[{\"name\":\"123456789\"}]}", "/parts/0/name: must have at most 8 characters"},
        {"{\"list\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
         "\"\",\"\","
         "\"\",\"\",\"\",\"\"]}",
         "/list/20: more than 20 elements"},
        {"{\"raw\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
         "/raw/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0: nested deeper than "
         "32"},
    };
    EACH(cases)
    {
        struct arena *a = arena_new(0);
        struct sample s;
        struct err e = {0};
        int rc = decode(&s, cases[i].in, a, &e);
        if (rc == 0)
            fail_msg("accepted: %s", cases[i].in);
        assert_string_equal(e.text, cases[i].want);
        assert_int_equal(e.kind, ERR_REJECT);
        arena_free(a);
    }
}

static void every_cut_of_a_document_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"text\":\"a\\u00e9\xC3\xA9\",\"count\":-12,\"ratio\":1.5e3,\"on\":true,\"list\":[\"a\"],"
        "\"pairs\":{\"a\":\"b\"},\"raw\":[null,{\"x\":false}],\"parts\":[{\"name\":\"n\"}],"
        "\"map\":{\"m\":{}},\"other\":{}}";
    for (size_t n = 0; n + 1 < sizeof text; n++) {
        struct arena *a = arena_new(0);
        struct sample s;
        struct err e = {0};
        char *exact = mem_dup(text, n);
        assert_int_equal(rows_decode(&s, &sample_table, exact, n, a, NULL, &e), -1);
        mem_free(exact);
        arena_free(a);
    }
    struct arena *a = arena_new(0);
    struct sample s;
    struct err e = {0};
    assert_int_equal(rows_decode(&s, &sample_table, text, sizeof text - 1, a, NULL, &e), 0);
    arena_free(a);
}

static void limits_hold(void **state)
{
    (void)state;
    static const char text[] = "{\"list\":[\"a\",\"b\",\"c\"],\"raw\":[[1]]}";
    static const struct {
        struct rows_limits limits;
        const char *want;
    } cases[] = {
        {{.bytes = 33}, "/: larger than 33 bytes"},
        {{.elements = 6}, "/raw/0/0: more than 6 values"},
        {{.depth = 2}, "/raw/0: nested deeper than 2"},
    };
    EACH(cases)
    {
        struct arena *a = arena_new(0);
        struct sample s;
        struct err e = {0};
        assert_int_equal(
            rows_decode(&s, &sample_table, text, sizeof text - 1, a, &cases[i].limits, &e), -1);
        assert_string_equal(e.text, cases[i].want);
        arena_free(a);
    }
    for (size_t cap = 1; cap < 200; cap++) { /* any cap: an error, never a NULL that is used */
        struct arena *a = arena_new(cap);
        struct sample s;
        struct err e = {0};
        if (decode(&s, text, a, &e))
            assert_non_null(strstr(e.text, "needs more memory than allowed"));
        else
            assert_int_equal(s.list.n, 3);
        arena_free(a);
    }
}

static void many_names_are_compared(void **state)
{
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        struct str text = STR_INIT;
        str_puts(&text, "{\"pairs\":{");
        for (int i = 0; i < 1000; i++) /* equal first and last 8 bytes: equal hashes */
            str_printf(&text, "\"aaaaaaaa%04dzzzzzzzz\":\"\",", i);
        str_printf(&text, "\"aaaaaaaa%sbzzzzzzzz\":\"\"}}", twice ? "0500" : "050");
        if (twice) {
            char *b = strstr(text.data, "0500bz");
            memmove(b + 4, b + 5, strlen(b + 5) + 1);
        }
        struct arena *a = arena_new(0);
        struct sample s;
        struct err e = {0};
        int rc = decode(&s, str_cstr(&text), a, &e);
        assert_int_equal(rc, twice ? -1 : 0);
        if (twice)
            assert_string_equal(e.text, "/pairs/aaaaaaaa0500zzzzzzzz: duplicate member");
        str_free(&text);
        arena_free(a);
    }
}

static void all_errors_are_collected(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *pointers[4];
    } cases[] = {
        {"{}", 0, {0}},
        {"{\"text\":1,\"part\":{\"weight\":\"x\"},\"colour\":\"pink\"}",
         4,
         {"/text", "/part/weight", "/part/name", "/colour"}},
        {"{\"text\":1,\"x\":{\"y\":1,\"y\":2},\"on\":maybe,\"port\":0}",
         3,
         {"/text", "/x/y", "/on"}},
        {"{\"text\":1,\"count\":1.5,\"port\":0,\"on\":0,\"off\":0}",
         4,
         {"/text", "/count", "/port", "/on"}},
        {"{\"text\":\"a\",\"text\":{},\"map\":{\"m\":{\"weight\":[]}}}",
         2,
         {"/text", "/map/m/weight"}},
    };
    EACH(cases)
    {
        struct arena *a = arena_new(0);
        struct sample s;
        struct rows_error errors[4];
        size_t n = rows_decode_all(&s, &sample_table, cases[i].in, strlen(cases[i].in), a, NULL,
                                   errors, 4);
        assert_int_equal(n, cases[i].n);
        for (size_t k = 0; k < n; k++)
            assert_string_equal(errors[k].pointer, cases[i].pointers[k]);
        arena_free(a);
    }
}

static void closed_tables_refuse_unknown_members(void **state)
{
    (void)state;
    struct row_table closed = sample_table;
    closed.closed = true;
    struct arena *a = arena_new(0);
    struct sample s;
    struct err e = {0};
    static const char text[] = "{\"text\":\"x\",\"typo\":{}}";
    assert_int_equal(rows_decode(&s, &closed, text, sizeof text - 1, a, NULL, &e), -1);
    assert_string_equal(e.text, "/typo: unknown member");
    arena_free(a);
}

static void secrets_are_not_printed(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    struct sample s;
    struct str got = STR_INIT;
    rows_defaults(&s, &sample_table, a);
    s.secret = "hunter2";
    rows_encode(&got, &sample_table, &s, false);
    assert_string_equal(str_cstr(&got), "{\"secret\":\"***\",\"port\":104}");
    str_clear(&got);
    rows_encode(&got, &sample_table, &s, true);
    assert_string_equal(str_cstr(&got), "{\"secret\":\"hunter2\",\"port\":104}");
    str_free(&got);
    arena_free(a);
}

static void peek_finds_one_member(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int want;
        const char *value;
    } cases[] = {
        {"{\"type\":\"x\"}", 0, "\"x\""},
        {" { \"a\" : {\"type\":1,\"\\u0061\":[\"]}\"]} , \"type\" : [1, 2] } junk", 0, "[1, 2]"},
        {"{\"typ\":1,\"types\":2}", 1, NULL},
        {"{}", 1, NULL},
        {"{\"a\":}", -1, NULL},
        {"[]", -1, NULL},
        {"", -1, NULL},
        {"{\"a\":1", -1, NULL},
    };
    EACH(cases)
    {
        struct slice got = {0};
        char *exact = mem_dup(cases[i].in, strlen(cases[i].in));
        assert_int_equal(rows_peek(&got, exact, strlen(cases[i].in), "type"), cases[i].want);
        if (cases[i].value)
            assert_true(slice_is(got, cases[i].value));
        mem_free(exact);
    }
}

static void text_sets_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *want; /* want NULL: as JSON {name: text} */
        const char *error;
    } cases[] = {
        {"text", "a \"b\"", "{\"text\":\"a \\\"b\\\"\",\"port\":104}", NULL},
        {"count", "-5", "{\"count\":-5,\"port\":104}", NULL},
        {"count", "5x", NULL, "/count: must be an integer"},
        {"port", "70000", NULL, "/port: must be between 1 and 65535"},
        {"ratio", "2.5", "{\"port\":104,\"ratio\":2.5}", NULL},
        {"ratio", "nan", NULL, "/ratio: must be a number"},
        {"on", "no", "{\"port\":104,\"on\":false}", NULL},
        {"off", "1", "{\"port\":104,\"off\":true}", NULL},
        {"off", "maybe", NULL, "/off: must be true or false"},
        {"colour", "blue", "{\"port\":104,\"colour\":\"blue\"}", NULL},
        {"colour", "", NULL, "/colour: must be one of red, dark-green, blue"},
        {"list", " a, b ,,c", "{\"port\":104,\"list\":[\"a\",\"b\",\"c\"]}", NULL},
        {"list", "[\"a,b\"]", "{\"port\":104,\"list\":[\"a,b\"]}", NULL},
        {"list", "", "{\"port\":104}", NULL},
        {"pairs", "{\"a\":\"b\"}", "{\"port\":104,\"pairs\":{\"a\":\"b\"}}", NULL},
        {"parts", "[{}]", NULL, "/parts: /0/name: required"},
        {"checked", "bad", NULL, "/checked: must not be bad"},
        {"nothing", "x", NULL, "/nothing: unknown member"},
        {"text", "\xFF", NULL, "/text: not valid UTF-8"},
    };
    EACH(cases)
    {
        struct arena *a = arena_new(0);
        struct sample s;
        struct err e = {0};
        struct str got = STR_INIT;
        rows_defaults(&s, &sample_table, a);
        int rc = rows_set(&s, &sample_table, cases[i].name, cases[i].text, a, &e);
        if (cases[i].error) {
            assert_int_equal(rc, -1);
            assert_string_equal(e.text, cases[i].error);
        } else {
            assert_int_equal(rc, 0);
            rows_encode(&got, &sample_table, &s, true);
            assert_string_equal(str_cstr(&got), cases[i].want);
        }
        str_free(&got);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(every_cut_of_a_document_is_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(many_names_are_compared),
        cmocka_unit_test(all_errors_are_collected),
        cmocka_unit_test(closed_tables_refuse_unknown_members),
        cmocka_unit_test(secrets_are_not_printed),
        cmocka_unit_test(peek_finds_one_member),
        cmocka_unit_test(text_sets_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
