/* A stage without a journal, as plan is one: it reads the choices of others, and must judge them as
 * everybody does, whatever happens between two of its commits. */
#include "daemon/stage_priv.h"
#include "toy.h"

#include <ctype.h>

#define RECORDS_MAX 16

static struct {
    struct daemon *daemon;
    bool commit_always;         /* before a record is handled, as careful mode of another partition does */
    char verdicts[RECORDS_MAX]; /* by offset: 'v'alid, 'x' void, '.' passed by */
    int claims_ahead;           /* commits whose claim does not precede their floor */
    int commits;
} seen;

static void *follow_open(const struct stage_partition *p)
{
    return p->runner;
}

static void check_commit(struct runner *r)
{
    struct err e = {0};
    int64_t floor;
    if (slots_commit(r, &e))
        return; /* the group has not settled yet */
    struct careful c = left_metadata(seen.daemon, "follow", "decision", &floor);
    seen.claims_ahead += c.claim >= floor;
    seen.commits++;
}

static enum stage_verdict follow_record(void *state, const struct stage_record *r, struct arena *a,
                                        struct outputs *out, struct err *e)
{
    (void)a;
    (void)out;
    (void)e;
    if (seen.commit_always)
        check_commit(state);
    if (r->offset < RECORDS_MAX)
        __atomic_store_n(&seen.verdicts[r->offset], r->is_void ? 'x' : 'v', __ATOMIC_RELEASE);
    return STAGE_DONE;
}

static void follow_skipped(void *state, const struct stage_record *r)
{
    (void)state;
    if (r->offset < RECORDS_MAX)
        __atomic_store_n(&seen.verdicts[r->offset], '.', __ATOMIC_RELEASE);
}

static const struct stage follow = {
    .name = "follow",
    .inputs = {"decision"},
    .open = follow_open,
    .record = follow_record,
    .skipped = follow_skipped,
};
static const struct stage *const stages[] = {&follow, NULL};
static const struct service service = {.name = "toy", .summary = "follows", .stages = stages};

static struct daemon *site(const char *name)
{
    memset(&seen, 0, sizeof seen);
    topic(name, "decision", 1);
    seen.daemon = toy_daemon(&service, name, "a");
    start_offsets(seen.daemon, "follow", "decision", 1);
    return seen.daemon;
}

/* "c" is a claim, a digit a choice that names the offset. */
static void write_log(struct daemon *d, const char *log)
{
    for (int64_t i = 0; log[i]; i++)
        if (isdigit((unsigned char)log[i]))
            choice_under(d, 0, log[i] - '0', i);
        else
            assert_int_equal(foreign_claim(d, 0), i);
}

static int all_handled(void *arg)
{
    size_t n = *(const size_t *)arg;
    for (size_t i = 0; i < n; i++)
        if (!__atomic_load_n(&seen.verdicts[i], __ATOMIC_ACQUIRE))
            return 0;
    return 1;
}

static void follow_log(struct daemon *d, const char *log)
{
    size_t n = strlen(log);
    struct runner *r = NULL;
    struct err e = {0};
    write_log(d, log);
    if (runner_start(&r, d, &follow, &e))
        fail_msg("%s", e.text);
    assert_true(testkit_within(30000, all_handled, &n));
    runner_stop(r);
}

/* Were it a later one, the choices in between would be void after a crash. */
static void the_claim_beside_a_floor_precedes_it(void **state)
{
    (void)state;
    struct daemon *d = site("k1");
    seen.commit_always = true;
    follow_log(d, "c0c2c4");
    assert_string_equal(seen.verdicts, "vvvvvv");
    assert_true(seen.commits > 0);
    assert_int_equal(seen.claims_ahead, 0);
    toy_free(d);
}

static void a_claim_that_is_passed_by_counts(void **state)
{
    (void)state;
    struct daemon *d = site("k2");
    left_behind(d, "follow", "decision", 0, "{\"v\":1,\"skips\":[\"2\"]}");
    follow_log(d, "c0c0002");
    assert_string_equal(seen.verdicts, "vv.xxxv");
    toy_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_claim_beside_a_floor_precedes_it),
        cmocka_unit_test(a_claim_that_is_passed_by_counts),
    };
    return side_by_side(tests, ARRAY_LEN(tests), start_mock, stop_mock);
}
