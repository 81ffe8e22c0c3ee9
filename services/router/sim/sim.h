/*
 * The simulator: decide and plan in a world that misbehaves. From a seed it makes a plan of what
 * senders do (series, associations, repeats, late images, reordered ones, a broker outage, commands, new
 * configurations) and of what goes wrong (crashes between any two steps, zombies, delays, a log's
 * clock that jumps, poison, a log that loses its end), runs the real cores step by step, and checks the
 * promises after each step and at the end. README.md says which fault is where.
 */
#ifndef ROUTER_SIM_SIM_H
#define ROUTER_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

/* Planted faults: a simulator that cannot see these sees nothing. */
enum sim_fault {
    SIM_NO_FAULT,
    SIM_FAULT_NO_FOLD,        /* coverage is ignored when a partition is opened */
    SIM_FAULT_NO_CLAIM_CHECK, /* decide takes void decisions for valid ones */
    SIM_FAULT_NO_CLAIM,       /* partitions are taken over without a claim */
    SIM_FAULT_FLOOR,          /* the position is committed instead of the floor */
    SIM_FAULT_FLOOR_ACK,      /* the floor follows acknowledgements, not what is read back */
    SIM_FAULT_PLAN_CLAIM,     /* plan forgets the claims it has seen when it starts again */
    SIM_FAULT_EVALUATE,       /* plan asks the rules of today, not the record */
    SIM_FAULT_CLOCK,          /* the owner takes its own clock for log time */
    SIM_FAULT_MANIFESTS,      /* earlier manifests are not read */
    SIM_FAULT_SERIES_ONLY,    /* coverage is keyed by the series alone */
    SIM_FAULT_POISON_FLOOR,   /* what is at the floor is taken for the poison */
    SIM_FAULT_NO_GUARD,       /* a lost tail is not noticed: offsets are used twice */
    SIM_FAULT_NO_PADDING,     /* recover announces again without padding */
    SIM_FAULT_NOT_AGAIN,      /* recover pads, but announces nothing again */
    SIM_FAULT_REFUSALS,       /* the fold forgets what a command came to: it is judged anew */
    SIM_FAULT_VOID_ANSWERS,   /* plan answers by what a zombie thinks of a command */
    SIM_FAULTS
};
extern const char *const sim_fault_names[SIM_FAULTS];

struct sim_result {
    bool ok;
    char why[256]; /* the first promise that was broken */
    uint64_t steps, crashes, takeovers, decisions, voids, receipts, outages;
    uint64_t jumps, cuts, recoveries, poisoned, replayed;
    uint64_t refused, tried, halves; /* commands: refused, dry runs, half done */
};

/* In a seed: people replay and reroute studies. */
#define SIM_REPLAYS (UINT64_C(1) << 62)

/* trace: print every step to stdout. */
void sim_run(struct sim_result *r, uint64_t seed, enum sim_fault fault, bool trace);

#endif
