/* Private to the simulator: the senders' script, the workers, and the promises. */
#ifndef ROUTER_SIM_SIM_PRIV_H
#define ROUTER_SIM_SIM_PRIV_H

#include "../decide/decide.h"
#include "../plan/plan.h"
#include "daemon/careful.h"
#include "event/claims.h"
#include "sim.h"
#include "world.h"

#define SIM_RECEIPTS 64
#define SIM_SERIES   4
#define SIM_OWNERS   2
#define SIM_OFFSETS  4096
#define SIM_QUIET_MS 60000
#define SIM_GRACE_MS 2000
/* Replays and reroutes are c2 ... c7; c2 is a plain replay of a study. */
#define SIM_FIRST_COMMAND 2
#define SIM_COMMANDS      8

struct sim_random {
    uint64_t state;
};
uint64_t random_next(struct sim_random *r);
/* 0 … n-1 */
int64_t random_below(struct sim_random *r, int64_t n);
bool random_percent(struct sim_random *r, int percent);

enum script_kind { SCRIPT_INSTANCE, SCRIPT_ENDED, SCRIPT_COMMAND, SCRIPT_ASKED, SCRIPT_CONFIG };
/* What a command is; the last ones are dry runs. */
enum {
    COMMAND_REPLAYS,
    COMMAND_REROUTES,
    COMMAND_TRIES_RULES,
    COMMAND_TRIES_TARGETS,
    COMMAND_KINDS
};
struct script_item {
    int64_t at; /* ms after the start */
    enum script_kind kind;
    int receipt, series, association; /* asked: receipt is the target */
    int outcome;                      /* ended; asked: COMMAND_… */
    int64_t n;                        /* ended: answered; asked: which command */
    int order;   /* of items at the same time */
};
struct script {
    VEC(struct script_item) items;  /* by time */
    int64_t outage_from, outage_to; /* nothing can be appended */
    int receipts, series;
    bool release[SIM_SERIES]; /* completion of the series' source */
    int64_t cut_at;           /* the power fails; 0: never */
    bool jumps;               /* the log's clock does */
    int poison;               /* the receipt that kills its worker; -1 */
    int poison_command;       /* the same; 0 */
    bool replays;             /* studies are replayed and rerouted */
    bool same_quiet;          /* all configurations have the same times */
};
void script_make(struct script *s, struct sim_random *random, bool replays);
const char *script_study(int series);
const char *script_series(int series);

struct owner {
    struct decide *decide; /* NULL: closed */
    int64_t claim;
    size_t journal_at, input_at;
    struct claims claims;
    struct outputs out;
    size_t objects, records; /* written of out */
    bool busy;
    bool lives; /* as a process that was given the partition */
    int life;
    struct careful careful;
    int64_t from, until; /* of careful mode */
    int64_t hand;        /* taken in hand; -1 */
    int64_t working;     /* being worked; -1 */
    int64_t exposed;     /* a crash now would be its crash; -1 */
    int64_t stalled_until, down_until;
    int64_t deaf_until;       /* its reader of the journal is slow: a zombie that goes on writing */
    int64_t seen_ts, seen_at; /* newest record read, and when: the own estimate of log time */
};

struct planner {
    size_t at, committed;
    struct claims claims, saved; /* of what was read; beside the offset that was committed */
    struct outputs out;
    size_t records;
    bool busy;
};

struct known {     /* what is known of a receipt */
    bool stored;   /* and acknowledged to its sender */
    int series, association;
    int64_t first; /* offset in instance of the record that counts; -1: none */
    int decisions; /* valid ones that name it */
    bool poisoned; /* lies in dlq */
    bool missing;  /* to be announced again */
};

struct settled { /* a valid decision of a window */
    char *study, *series;
    int64_t closed;
};

struct asked { /* a delivery that a valid decision contains */
    char *delivery, *manifest;
    bool requested;
};

struct told { /* a replay or reroute */
    bool asked, poisoned, answered;
    bool again; /* given again after the cut */
    int series, what;
    const char *target;
    int64_t given_at;
    int64_t decisions;    /* valid ones */
    char *outcome, *text; /* of the valid command.decided */
};

struct sim {
    struct sim_world world;
    struct sim_random random;
    struct script script;
    size_t produced;
    int64_t start;
    struct sim_config configs[2];
    int config;
    enum sim_fault fault;
    bool trace, calm;
    struct owner owners[SIM_OWNERS];
    int group; /* the owner that the group says */
    int64_t committed;
    struct careful meta; /* committed with it */
    uint8_t interrupted[SIM_OFFSETS]; /* how often the work at an offset was; saturated */
    bool cut, lost, recovered;        /* the log's end is gone; the guard has said so; padded */
    int64_t recover_at, orphans_at;   /* 0: not */
    int64_t named;                    /* highest offset that a valid decision names */
    struct planner planner;
    struct known known[SIM_RECEIPTS];
    VEC(char *) valid; /* ids of valid decisions */
    VEC(struct settled) settled;
    VEC(struct asked) asked;
    struct told told[SIM_COMMANDS];
    size_t answers_at; /* in event */
    struct arena *arena;
    struct sim_result *result;
};

void sim_broken(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_trace(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Nothing can be appended now. */
bool sim_outage(const struct sim *s);
void sim_announce(struct sim *s, int receipt, const char *flag);
void planner_start(struct sim *s);

/* ---- owner.c ---- */
void owner_step(struct sim *s, int n);
/* The group gives it the partition: what was committed is read. */
void owner_assigned(struct sim *s, int n);
void owner_open(struct sim *s, int n);
void owner_close(struct owner *o);
void owner_leave(struct sim *s, int n); /* cleanly, if it can */
void owner_crash(struct sim *s, int n);

/* ---- power.c: clocks that jump, logs that lose their end ---- */
void power_jump(struct sim *s);
void power_step(struct sim *s);
bool power_busy(const struct sim *s);
/* The guard: may this owner open? id: what decide_named tells; NULL: what was committed. */
bool power_sound(struct sim *s, const struct careful *c, const char *id, int64_t offset);

/* ---- check.c ---- */
void check_appended(struct sim *s, const struct sim_record *r); /* in decision */
void check_floor(struct sim *s, int64_t floor);
bool check_all_decided(const struct sim *s);
void check_end(struct sim *s);
void check_poisoned(struct sim *s, const struct sim_record *r); /* goes to dlq */
int check_receipt_of(const struct sim_record *r);               /* -1: of none */
void check_free(struct sim *s);

/* ---- commands.c: replays and reroutes ---- */
/* What only configuration i has. */
void commands_configure(struct sim_config *c, int i);
void commands_give(struct sim *s, const struct script_item *item);
void commands_step(struct sim *s);
bool commands_poison(struct sim *s, const struct sim_record *r);
void commands_poisoned(struct sim *s, const struct sim_record *r);
void commands_acted(struct sim *s, const char *command);
void commands_decided(struct sim *s, const struct event_note *note);
bool commands_answered(struct sim *s); /* checks each answer, too */
void commands_free(struct sim *s);

#endif
