/* The table of routes and schemas/openapi.yaml say the same. */
#include <ctype.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/vec.h"
#include "gateway/gateway.h"
#include "testkit/testkit.h"

struct operation {
    char method[8], path[128];
};
typedef VEC(struct operation) operations;

static const char *const methods[] = {"get", "put", "post", "delete", "patch", "head", "options"};

static void add_method(operations *out, const char *path, const char *line)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        size_t n = strlen(methods[i]);
        if (strncmp(line, methods[i], n) != 0 || line[n] != ':')
            continue;
        struct operation *o = vec_push(out);
        snprintf(o->path, sizeof o->path, "%s", path);
        for (size_t c = 0; c <= n; c++)
            o->method[c] = (char)toupper((unsigned char)methods[i][c]);
    }
}

/* Paths stand at two spaces below "paths:", their methods at four. */
static void read_openapi(operations *out)
{
    struct err e;
    struct str text = STR_INIT;
    char path[128] = "";
    bool in_paths = false;
    if (file_read(&text, "schemas/openapi.yaml", 1 << 20, &e) != 0)
        fail_msg("%s", e.text);
    char *rest = text.data, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (line[0] && line[0] != ' ')
            in_paths = strcmp(line, "paths:") == 0;
        else if (in_paths && strncmp(line, "  /", 3) == 0)
            snprintf(path, sizeof path, "%.*s", (int)strcspn(line + 2, ":"), line + 2);
        else if (in_paths && strncmp(line, "    ", 4) == 0 && line[4] != ' ')
            add_method(out, path, line + 4);
    }
    str_free(&text);
}

static void test_routes_and_openapi_agree(void **state)
{
    (void)state;
    operations ops = {0};
    read_openapi(&ops);
    assert_true(ops.n > 10);
    for (size_t i = 0; i < ops.n; i++) {
        bool found = false;
        for (size_t r = 0; r < routes_n && !found; r++)
            found = strcmp(routes[r].method, ops.items[i].method) == 0 &&
                    strcmp(routes[r].path, ops.items[i].path) == 0;
        if (!found)
            fail_msg("openapi.yaml has %s %s, the table has not", ops.items[i].method,
                     ops.items[i].path);
    }
    assert_int_equal(ops.n, routes_n); /* no duplicates in either, so equal sets */
    for (size_t r = 0; r < routes_n; r++)
        for (size_t q = 0; q < r; q++)
            assert_false(strcmp(routes[r].method, routes[q].method) == 0 &&
                         strcmp(routes[r].path, routes[q].path) == 0);
    vec_free(&ops);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_routes_and_openapi_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
