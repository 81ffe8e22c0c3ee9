/* Generated references: every row is in them, secrets are not. */
#include "testkit/testkit.h"

#include "sample.h"

static void schema_of_a_table(void **state)
{
    (void)state;
    struct str got = STR_INIT;
    struct row_table closed = part_table;
    closed.closed = true;
    closed.help = "A \"part\".";
    rows_schema(&got, &closed, "urn:x");
    assert_string_equal(
        str_cstr(&got),
        "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
        "  \"$id\": \"urn:x\",\n  \"title\": \"part\",\n  \"description\": \"A \\\"part\\\".\",\n"
        "  \"type\": \"object\",\n  \"properties\": {\n"
        "    \"name\": {\"type\": \"string\", \"maxLength\": 8, \"description\": \"Its name.\"},\n"
        "    \"weight\": {\"type\": \"integer\", \"description\": \"Unit: grams.\"}},\n"
        "  \"required\": [\"name\"],\n  \"additionalProperties\": false\n}\n");
    str_free(&got);
}

/* The schema of all row types is itself strict JSON (the reader checks it) with the right words. */
static void schema_of_all_row_types(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"secret", "{\"type\": \"string\", \"writeOnly\": true}"},
        {"port", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535, \"default\": 104}"},
        {"colour", "{\"type\": \"string\", \"enum\": [\"red\", \"dark-green\", \"blue\"], "
                   "\"default\": \"dark-green\"}"},
        {"list", "{\"type\": \"array\", \"maxItems\": 20, \"items\": {\"type\": \"string\"}}"},
        {"pairs", "{\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}}"},
        {"words", "{\"type\": \"array\", \"default\": [\"one\", \"two\"], "
                  "\"items\": {\"type\": \"string\"}}"},
        {"raw", "{}"},
    };
    struct str got = STR_INIT;
    struct slice properties, one, inner;
    rows_schema(&got, &sample_table, "urn:x");
    assert_int_equal(rows_peek(&properties, str_cstr(&got), got.len, "properties"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(rows_peek(&one, properties.p, properties.n, cases[i].name), 0);
        assert_true(slice_is(one, cases[i].want));
    }
    assert_int_equal(rows_peek(&one, properties.p, properties.n, "map"), 0);
    assert_int_equal(rows_peek(&inner, one.p, one.n, "additionalProperties"), 0);
    assert_int_equal(rows_peek(&one, inner.p, inner.n, "required"), 1); /* the name is the key */
    assert_int_equal(rows_peek(&one, properties.p, properties.n, "parts"), 0);
    assert_int_equal(rows_peek(&inner, one.p, one.n, "items"), 0);
    assert_int_equal(rows_peek(&one, inner.p, inner.n, "required"), 0);
    str_free(&got);
}

static void markdown_of_all_row_types(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "| name | type | default | meaning |\n|---|---|---|---|\n",
        "| `text` | string |  | Any \\| text. |\n",
        "| `secret` | string |  | Secret. |\n",
        "| `port` | integer, 1–65535 | `104` |  |\n",
        "| `colour` | `red`, `dark-green`, `blue` | `dark-green` |  |\n",
        "| `list` | list of strings |  |  |\n",
        "| `raw` | JSON |  |  |\n",
        "| `part.name` | string | required | Its name. |\n",
        "| `parts[].weight` | integer, grams |  |  |\n",
        "| `map` | map of entry |  |  |\n| `map.<name>.<name>` | string | required |  |\n",
    };
    struct str got = STR_INIT;
    rows_markdown(&got, &sample_table);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(str_cstr(&got), lines[i]))
            fail_msg("no %s in:\n%s", lines[i], str_cstr(&got));
    str_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_of_a_table),
        cmocka_unit_test(schema_of_all_row_types),
        cmocka_unit_test(markdown_of_all_row_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
