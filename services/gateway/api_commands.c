/*
 * What people do to studies: a replay (the rules once more) and a reroute (to named targets) are
 * commands to the router, in the partition of the study. The answer comes when the ledger shows what
 * the router said. A command that has its answer already is not given again.
 */
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "event/ids.h"
#include "gateway/gateway.h"
#include "ledger/ledger.h"

enum {
    ERRORS_MAX = 20,
    DECISIONS_MAX = 200, /* what the router takes at once */
    TARGETS_MAX = 32,
    RULES_MAX = 100,
    NAME_MAX_BYTES = 64,
    ANSWER_MS = 10000,
    LOOK_MS = 50,
};

/* ---- bodies ---- */

bool command_take(struct call *c, void *body_out, const struct row_table *t, struct arena *a,
                  char command[COMMAND_MAX + 1])
{
    struct rows_error errors[ERRORS_MAX];
    struct slice body = c->request->body;
    size_t n = rows_decode_all(body_out, t, body.p ? body.p : "", body.n, a, NULL, errors, ERRORS_MAX);
    if (n > 0) {
        reply_errors(c, errors, n < ERRORS_MAX ? n : ERRORS_MAX);
        return false;
    }
    const char *key = http_header(c->request, "Idempotency-Key");
    if (!key || !*key)
        id_uuid7(command);
    else if (!str_copy(command, COMMAND_MAX + 1, key)) {
        reply_problem(c, 400, "bad-request", "Idempotency-Key is too long.");
        return false;
    }
    return true;
}

void command_refuse(struct call *c, const struct err *e)
{
    if (e->kind == ERR_REJECT && e->code == 409)
        reply_problem(c, 409, "conflict", e->text);
    else
        reply_err(c, e);
}

struct study_body {
    const char *reason, *configuration;
    struct row_strings decisions, rules, targets;
    bool dry_run;
};

static int check_configuration(const char *value, struct err *e)
{
    return strcmp(value, "current") == 0 || strcmp(value, "original") == 0
               ? 0
               : err_set(e, ERR_REJECT, 0, "must be current or original");
}

#define COMMON_ROWS                                                                                \
    {"reason",   ROW_STRING, ROW(study_body, reason), ROW_REQUIRED,                                \
     .min = 1,   .max = COMMAND_REASON_MAX, .help = "For the record."},                            \
    {                                                                                              \
        "decisions", ROW_STRINGS, ROW(study_body, decisions), .max = DECISIONS_MAX,                \
        .help = "These decisions; absent: those of all windows of the study."                      \
    }
#define DRY_RUN_ROW                                                                                \
    {                                                                                              \
        "dryRun", ROW_BOOL, ROW(study_body, dry_run), .help = "Only tell what would happen."       \
    }

static const struct row replay_rows[] = {
    COMMON_ROWS,
    {"rules", ROW_STRINGS, ROW(study_body, rules), .max = RULES_MAX,
     .help = "Only these rules; absent: all."},
    {"configuration", ROW_STRING, ROW(study_body, configuration), .check = check_configuration,
     .help = "current (default) or original: that of each decision."},
    DRY_RUN_ROW,
};
static const struct row_table replay_table = {
    "replay", sizeof(struct study_body), replay_rows, ARRAY_LEN(replay_rows),
    "The rules once more.", true};

static const struct row reroute_rows[] = {
    COMMON_ROWS,
    {"targets", ROW_STRINGS, ROW(study_body, targets), ROW_REQUIRED, .min = 1, .max = TARGETS_MAX,
     .help = "Names of targets."},
    DRY_RUN_ROW,
};
static const struct row_table reroute_table = {
    "reroute", sizeof(struct study_body), reroute_rows, ARRAY_LEN(reroute_rows),
    "To named targets, whatever the rules say.", true};

static bool names_fit(const struct row_strings *names)
{
    for (size_t i = 0; i < names->n; i++)
        if (!*names->items[i] || strlen(names->items[i]) > NAME_MAX_BYTES)
            return false;
    return true;
}

/* False: answered with 422. */
static bool check(struct call *c, const struct study_body *b, bool reroute)
{
    static const struct rows_error odd = {"", "names have 1 to 64 characters"};
    static const struct rows_error none = {"/targets", "at least one target must be named"};
    bool fit = names_fit(&b->decisions) && names_fit(&b->rules) && names_fit(&b->targets);
    bool enough = !reroute || b->targets.n;
    if (!fit || !enough)
        reply_errors(c, fit ? &none : &odd, 1);
    return fit && enough;
}

/* ---- the answer ---- */

/* 1: it is in the reply; 0: not yet. */
static int look(struct call *c, const char *id, struct err *e)
{
    struct pg *pg = pool_take(c->g->pool, e);
    int rc = pg ? ledger_answer(pg, &c->reply->body, id, e) : -1;
    pool_give(c->g->pool, pg);
    if (rc == 0)
        return 1;
    return e->kind == ERR_REJECT && e->code == 404 ? 0 : -1;
}

static int wait_answer(struct call *c, const char *id, struct err *e)
{
    int64_t until = clock_mono_ms() + ANSWER_MS;
    for (;;) {
        int rc = look(c, id, e);
        if (rc || clock_mono_ms() >= until)
            return rc;
        (void)clock_sleep_ms(LOOK_MS, NULL);
    }
}

/* ---- the command ---- */

/* The decisions' ids, in a. */
static int find_decisions(struct call *c, struct study_body *b, struct arena *a, struct err *e)
{
    struct str text = STR_INIT;
    struct pg *pg = pool_take(c->g->pool, e);
    int rc = pg ? ledger_decisions(pg, &text, c->param, b->decisions.items, b->decisions.n,
                                   DECISIONS_MAX, e)
                : -1;
    pool_give(c->g->pool, pg);
    if (rc == 0) {
        char *rest = NULL, *at = arena_strndup(a, str_cstr(&text), text.len);
        b->decisions = (struct row_strings){arena_alloc(a, DECISIONS_MAX * sizeof(char *)), 0};
        for (at = strtok_r(at, "\n", &rest); at && b->decisions.n < DECISIONS_MAX;
             at = strtok_r(NULL, "\n", &rest))
            b->decisions.items[b->decisions.n++] = at;
    }
    str_free(&text);
    return rc;
}

static int give(struct call *c, enum event_type type, const struct study_body *b,
                const char *command, struct err *e)
{
    struct event ev = {.type = type,
                       .command = {.command = command,
                                   .user = COMMAND_USER,
                                   .reason = b->reason,
                                   .study = c->param,
                                   .decisions = b->decisions,
                                   .rules = b->rules,
                                   .targets = b->targets,
                                   .configuration = b->configuration,
                                   .dry_run = b->dry_run}};
    struct gateway_record record = {"instance", c->param, &ev};
    return c->g->append(c->g->arg, &record, 1, e);
}

static void reply_accepted(struct call *c, const char *command)
{
    c->reply->status = 202;
    str_puts(&c->reply->body, "{\"command\":");
    str_json(&c->reply->body, command, strlen(command));
    str_putc(&c->reply->body, '}');
}

static void study_command(struct call *c, enum event_type type, const struct row_table *table)
{
    struct err e = {0};
    struct study_body b;
    char command[COMMAND_MAX + 1], id[HASH_ID_HEX];
    struct arena *a = arena_new(0);
    if (!command_take(c, &b, table, a, command) || !check(c, &b, type == EVENT_COMMAND_REROUTE))
        goto out;
    ids_command_decision(id, command, "answered");
    int rc = look(c, id, &e);
    if (rc == 0) {
        rc = find_decisions(c, &b, a, &e);
        if (rc == 0)
            rc = give(c, type, &b, command, &e);
        if (rc == 0)
            rc = wait_answer(c, id, &e);
    }
    if (rc < 0)
        command_refuse(c, &e);
    else if (rc == 0)
        reply_accepted(c, command);
out:
    arena_free(a);
}

void api_study_replay(struct call *c)
{
    study_command(c, EVENT_COMMAND_REPLAY, &replay_table);
}

void api_study_reroute(struct call *c)
{
    study_command(c, EVENT_COMMAND_REROUTE, &reroute_table);
}
