/* schemas/events/<type>.json and schemas/events/manifest.json are generated from the row tables:
 * this test fails when they differ, and writes them when UPDATE=1 is set. */
#include "testkit/testkit.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/event.h"
#include "event/manifest.h"

static void generate(struct str *out, const struct row_table *t)
{
    char id[128];
    snprintf(id, sizeof id, "urn:talaria:schema:%s.v1", t->name);
    rows_schema(out, t, id);
}

static void check_file(const struct row_table *t)
{
    char path[256];
    struct str want = STR_INIT, got = STR_INIT;
    struct err e = {0};
    snprintf(path, sizeof path, "schemas/events/%s.json", t->name);
    generate(&want, t);
    const char *update = getenv("UPDATE");
    if (update && strcmp(update, "1") == 0 &&
        file_replace(path, str_cstr(&want), want.len, 0644, &e))
        fail_msg("%s", e.text);
    if (file_read(&got, path, 1 << 20, &e))
        fail_msg("%s (UPDATE=1 writes it)", e.text);
    if (strcmp(str_cstr(&got), str_cstr(&want)) != 0)
        fail_msg("%s is not what the tables say (UPDATE=1 writes it)", path);
    str_free(&want);
    str_free(&got);
}

static void schema_files_are_up_to_date(void **state)
{
    (void)state;
    for (int t = EVENT_UNKNOWN + 1; t < EVENT_TYPES; t++)
        check_file(event_table((enum event_type)t));
    check_file(&manifest_table);
}

/* A schema is JSON, and names each member of the body. */
static void schemas_are_json_with_every_member(void **state)
{
    (void)state;
    for (int t = EVENT_UNKNOWN + 1; t < EVENT_TYPES; t++) {
        const struct row_table *table = event_table((enum event_type)t);
        struct str text = STR_INIT;
        struct slice properties, one;
        generate(&text, table);
        assert_int_equal(rows_peek(&properties, str_cstr(&text), text.len, "properties"), 0);
        for (size_t i = 0; i < table->n; i++)
            if (rows_peek(&one, properties.p, properties.n, table->rows[i].name))
                fail_msg("%s: no %s", table->name, table->rows[i].name);
        str_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_files_are_up_to_date),
        cmocka_unit_test(schemas_are_json_with_every_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
