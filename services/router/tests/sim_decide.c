/*
 * Many seeds through the simulator; a failing one is printed with its schedule and stops the test.
 * And the simulator itself is tested: it must find faults that are planted. SEEDS=n    so many
 * seeds (default 600), and half as many with commands. SEED=n     only this one, with its schedule
 */
#include "testkit/testkit.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "router/sim/sim.h"

static uint64_t number(const char *name, uint64_t def)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : def;
}

static void add(struct sim_result *sum, const struct sim_result *r)
{
    sum->steps += r->steps;
    sum->crashes += r->crashes;
    sum->takeovers += r->takeovers;
    sum->decisions += r->decisions;
    sum->voids += r->voids;
    sum->receipts += r->receipts;
    sum->outages += r->outages;
    sum->jumps += r->jumps;
    sum->cuts += r->cuts;
    sum->recoveries += r->recoveries;
    sum->poisoned += r->poisoned;
    sum->replayed += r->replayed;
    sum->refused += r->refused;
    sum->tried += r->tried;
    sum->halves += r->halves;
}

static void promises_hold(void **state)
{
    (void)state;
    struct sim_result sum = {0}, r;
    uint64_t one = number("SEED", 0), n = one ? 1 : number("SEEDS", 600);
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t seed = one ? one : i;
        sim_run(&r, seed, SIM_NO_FAULT, one != 0);
        if (!r.ok) {
            sim_run(&r, seed, SIM_NO_FAULT, true);
            fail_msg("seed %" PRIu64 ": %s", seed, r.why);
        }
        add(&sum, &r);
    }
    printf("%" PRIu64 " seeds: %" PRIu64 " steps, %" PRIu64 " crashes, %" PRIu64
           " takeovers, %" PRIu64 " outages, %" PRIu64 " receipts, %" PRIu64 " decisions (%" PRIu64
           " void), %" PRIu64 " clock jumps, %" PRIu64 " lost tails, %" PRIu64 " recoveries, %" PRIu64
           " poisoned\n",
           n, sum.steps, sum.crashes, sum.takeovers, sum.outages, sum.receipts, sum.decisions,
           sum.voids, sum.jumps, sum.cuts, sum.recoveries, sum.poisoned);
    if (n >= 100) { /* a simulator in which nothing happens proves nothing */
        assert_true(sum.crashes > n && sum.takeovers > n / 2 && sum.voids > 0);
        assert_true(sum.decisions > n && sum.outages > n / 4);
        assert_true(sum.jumps > n / 4 && sum.cuts > n / 8 && sum.recoveries > n / 20);
        assert_true(sum.poisoned > n / 20);
    }
}

/* SEED=n with the bit (4611686018427387905 is the first) shows one of these. */
static void commands_have_one_outcome(void **state)
{
    (void)state;
    struct sim_result sum = {0}, r;
    uint64_t n = number("SEED", 0) ? 0 : number("SEEDS", 600) / 2;
    for (uint64_t seed = SIM_REPLAYS + 1; seed <= SIM_REPLAYS + n; seed++) {
        sim_run(&r, seed, SIM_NO_FAULT, false);
        if (!r.ok) {
            sim_run(&r, seed, SIM_NO_FAULT, true);
            fail_msg("seed %" PRIu64 ": %s", seed, r.why);
        }
        add(&sum, &r);
    }
    printf("%" PRIu64 " seeds with commands: %" PRIu64 " decisions, %" PRIu64
           " of them by command; %" PRIu64 " commands refused, %" PRIu64 " tried, %" PRIu64
           " half done\n",
           n, sum.decisions, sum.replayed, sum.refused, sum.tried, sum.halves);
    if (n >= 100)
        assert_true(sum.replayed > n / 5 && sum.refused > n / 5 && sum.tried > n / 5);
    if (n >= 10000)
        assert_true(sum.halves > 0);
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    struct sim_result a, b;
    sim_run(&a, 7, SIM_NO_FAULT, false);
    sim_run(&b, 7, SIM_NO_FAULT, false);
    assert_memory_equal(&a, &b, sizeof a);
}

static void planted_faults_are_found(void **state)
{
    (void)state;
    for (int fault = SIM_NO_FAULT + 1; fault < SIM_FAULTS; fault++) {
        struct sim_result r = {.ok = true};
        bool commands = fault == SIM_FAULT_REFUSALS || fault == SIM_FAULT_VOID_ANSWERS;
        uint64_t first = commands ? SIM_REPLAYS : 0, seed = first;
        while (r.ok && seed < first + 500)
            sim_run(&r, ++seed, (enum sim_fault)fault, false);
        if (r.ok)
            fail_msg("planted fault %s was not found", sim_fault_names[fault]);
        printf("fault %s: found by seed %" PRIu64 ": %s\n", sim_fault_names[fault], seed, r.why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_hold),
        cmocka_unit_test(commands_have_one_outcome),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(planted_faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
