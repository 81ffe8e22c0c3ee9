/* Golden samples: every file of schemas/examples/valid is read, written and read again with the
 * same result; every file of schemas/examples/invalid is refused for the reason that stands beside
 * it. */
#include "testkit/testkit.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/event.h"

#define VALID   "schemas/examples/valid"
#define INVALID "schemas/examples/invalid"

static void read_file(struct str *out, const char *folder, const char *name, const char *suffix)
{
    char path[512];
    struct err e = {0};
    size_t stem = strlen(name) - strlen(".json");
    snprintf(path, sizeof path, "%s/%.*s%s", folder, (int)stem, name, suffix);
    if (file_read(out, path, 1 << 20, &e))
        fail_msg("%s", e.text);
}

static int decode(struct event *ev, const struct str *text, struct arena *a, struct err *e)
{
    char *exact = mem_dup(str_cstr(text), text->len); /* reads past the end are seen */
    int rc = event_decode(ev, exact, text->len, a, e);
    mem_free(exact);
    return rc;
}

/* The text without white space between its tokens. */
static void compact(struct str *out, const struct str *text)
{
    bool in_string = false;
    for (size_t i = 0; i < text->len; i++) {
        char c = text->data[i];
        if (!in_string && strchr(" \n\r\t", c))
            continue;
        str_putc(out, c);
        if (in_string && c == '\\')
            str_putc(out, text->data[++i]);
        else if (c == '"')
            in_string = !in_string;
    }
}

/* Samples of what a reader accepts but nobody writes. */
static bool written_by_others(const char *name)
{
    return strcmp(name, "data-before-type.json") == 0 ||
           strcmp(name, "unknown-members.json") == 0 || strcmp(name, "unknown-type.json") == 0;
}

static int each_example(const char *folder, void (*check)(const char *name))
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        size_t len = strlen(d->d_name);
        if (len < 5 || strcmp(d->d_name + len - 5, ".json") != 0)
            continue;
        check(d->d_name);
        n++;
    }
    closedir(dir);
    return n;
}

static bool seen[EVENT_TYPES];

static void check_valid(const char *name)
{
    struct arena *a = arena_new(0);
    struct str text = STR_INIT, first = STR_INIT, second = STR_INIT, want = STR_INIT;
    struct event ev, again;
    struct err e = {0};
    read_file(&text, VALID, name, ".json");
    if (decode(&ev, &text, a, &e))
        fail_msg("%s: %s", name, e.text);
    seen[ev.type] = true;
    if (ev.type != EVENT_UNKNOWN) {
        if (event_encode(&first, &ev, &e) || decode(&again, &first, a, &e) ||
            event_encode(&second, &again, &e))
            fail_msg("%s: %s", name, e.text);
        assert_string_equal(str_cstr(&first), str_cstr(&second));
    }
    if (!written_by_others(name)) { /* every member is known, in the order of the table */
        struct str got = STR_INIT;
        compact(&want, &text);
        compact(&got, &first); /* raw members keep their spaces */
        assert_string_equal(str_cstr(&got), str_cstr(&want));
        str_free(&got);
    }
    str_free(&want);
    str_free(&text);
    str_free(&first);
    str_free(&second);
    arena_free(a);
}

static void check_invalid(const char *name)
{
    struct arena *a = arena_new(0);
    struct str text = STR_INIT, want = STR_INIT;
    struct event ev;
    struct err e = {0};
    read_file(&text, INVALID, name, ".json");
    read_file(&want, INVALID, name, ".error");
    if (decode(&ev, &text, a, &e) == 0)
        fail_msg("%s was accepted", name);
    want.data[strcspn(want.data, "\n")] = '\0';
    assert_string_equal(e.text, str_cstr(&want));
    assert_int_equal(e.kind, ERR_REJECT);
    str_free(&text);
    str_free(&want);
    arena_free(a);
}

static void valid_examples_survive_a_round_trip(void **state)
{
    (void)state;
    assert_true(each_example(VALID, check_valid) >= EVENT_TYPES);
    for (int t = 0; t < EVENT_TYPES; t++)
        if (!seen[t])
            fail_msg("no example of %s", event_type_name((enum event_type)t));
}

static void invalid_examples_are_refused_for_their_reason(void **state)
{
    (void)state;
    assert_true(each_example(INVALID, check_invalid) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_examples_survive_a_round_trip),
        cmocka_unit_test(invalid_examples_are_refused_for_their_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
