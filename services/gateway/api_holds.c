/*
 * Holds (nothing they name is deleted) and dismissals (what failed or is held is done with). Both
 * are records; the answer comes when the ledger shows them, and tells what was chosen for deletion
 * before.
 */
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "gateway/gateway.h"
#include "ledger/ledger.h"

enum { ERRORS_MAX = 20, SHOWN_MS = 10000, LOOK_MS = 50, NAME_MAX_BYTES = 128 };
#define USER "admin"

static void finish(struct call *c, struct pg *pg, int rc, const struct err *e)
{
    pool_give(c->g->pool, pg);
    if (rc == 0)
        return;
    if (e->kind == ERR_REJECT && e->code == 409)
        reply_problem(c, 409, "conflict", e->text);
    else
        reply_err(c, e);
}

/* ---- bodies ---- */

static int check_time(const char *value, struct err *e)
{
    return clock_parse_rfc3339(value) > 0
               ? 0
               : err_set(e, ERR_REJECT, 0, "must be a time such as 2026-11-24T13:16:00Z");
}

static int check_kind(const char *value, struct err *e)
{
    return strcmp(value, "task") == 0 || strcmp(value, "delivery") == 0 ||
                   strcmp(value, "held") == 0
               ? 0
               : err_set(e, ERR_REJECT, 0, "must be task, delivery or held");
}

struct hold_body {
    const char *study, *why, *until;
    struct row_strings receipts;
};
static const struct row hold_rows[] = {
    {"study", ROW_STRING, ROW(hold_body, study), .min = 1, .max = NAME_MAX_BYTES,
     .help = "StudyInstanceUID: everything of it, also what is still to come."},
    {"receipts", ROW_STRINGS, ROW(hold_body, receipts), .max = 500, .help = "Single instances."},
    {"why", ROW_STRING, ROW(hold_body, why), ROW_REQUIRED, .min = 1, .max = 500,
     .help = "For the record."},
    {"until", ROW_STRING, ROW(hold_body, until), .check = check_time,
     .help = "The hold ends by itself then; absent: when it is released."},
};
static const struct row_table hold_table = {
    "hold", sizeof(struct hold_body), hold_rows, ARRAY_LEN(hold_rows), "What is held.", true};

struct dismissal_body {
    const char *kind, *id, *why;
};
static const struct row dismissal_rows[] = {
    {"kind", ROW_STRING, ROW(dismissal_body, kind), ROW_REQUIRED, .check = check_kind,
     .help = "task, delivery or held."},
    {"id", ROW_STRING, ROW(dismissal_body, id), ROW_REQUIRED, .min = 1, .max = 200,
     .help = "Task or delivery; of what is held: decision, or decision/rule."},
    {"why", ROW_STRING, ROW(dismissal_body, why), ROW_REQUIRED, .min = 1, .max = 500,
     .help = "For the record."},
};
static const struct row_table dismissal_table = {
    "dismissal",          sizeof(struct dismissal_body),
    dismissal_rows,       ARRAY_LEN(dismissal_rows),
    "What is done with.", true};

/* False: answered with 422. */
static bool decode(struct call *c, void *out, const struct row_table *t, struct arena *a)
{
    struct rows_error errors[ERRORS_MAX];
    struct slice body = c->request->body;
    size_t n = rows_decode_all(out, t, body.p ? body.p : "", body.n, a, NULL, errors, ERRORS_MAX);
    if (n > 0)
        reply_errors(c, errors, n < ERRORS_MAX ? n : ERRORS_MAX);
    return n == 0;
}

/* ---- the ledger shows it ---- */

struct shown {
    const char *kind, *id; /* kind NULL: the hold id */
    bool standing;
};

/* 1: it does; 0: not within the time. */
static int wait_shown(struct call *c, const struct shown *s, struct err *e)
{
    int64_t until = clock_mono_ms() + SHOWN_MS;
    for (;;) {
        bool yes = false;
        struct pg *pg = pool_take(c->g->pool, e);
        int rc = !pg       ? -1
                 : s->kind ? ledger_dismissed(pg, &yes, s->kind, s->id, e)
                           : ledger_hold_stands(pg, &yes, s->id, e);
        pool_give(c->g->pool, pg);
        if (rc != 0 && !(e->kind == ERR_REJECT && e->code == 404))
            return -1;
        if (rc == 0 && yes == s->standing)
            return 1;
        if (clock_mono_ms() >= until)
            return 0;
        (void)clock_sleep_ms(LOOK_MS, NULL);
    }
}

static void reply_hold(struct call *c, const char *hold, int status)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    c->reply->status = status;
    finish(c, pg, pg ? ledger_hold(pg, &c->reply->body, hold, &e) : -1, &e);
}

/* The record is written; the ledger will show it. */
static void reply_later(struct call *c, const char *name, const char *id)
{
    c->reply->status = 202;
    str_printf(&c->reply->body, "{\"%s\":", name);
    str_json(&c->reply->body, id, strlen(id));
    str_puts(&c->reply->body, ",\"shown\":false}");
}

/* ---- handlers ---- */

void api_holds(struct call *c)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    finish(c, pg, pg ? ledger_holds(pg, &c->reply->body, &e) : -1, &e);
}

/* A name that the client chose, so that a repeated request is the same hold. False: answered. */
static bool name_hold(struct call *c, char out[NAME_MAX_BYTES + 1])
{
    const char *key = http_header(c->request, "Idempotency-Key");
    if (key && *key && str_copy(out, NAME_MAX_BYTES + 1, key))
        return true;
    if (key && *key) {
        reply_problem(c, 400, "bad-request", "Idempotency-Key is too long.");
        return false;
    }
    id_uuid7(out);
    return true;
}

static bool receipts_valid(const struct row_strings *receipts)
{
    for (size_t i = 0; i < receipts->n; i++)
        if (!id_is_hex(receipts->items[i], 16))
            return false;
    return true;
}

static void set_hold(struct call *c, const struct hold_body *b, const char *hold)
{
    struct err e = {0};
    struct event ev = {.type = EVENT_HOLD_SET,
                       .note = {.kind = b->study ? "study" : "receipts",
                                .name = hold,
                                .by = USER,
                                .why = b->why,
                                .until = b->until,
                                .study = b->study,
                                .receipts = b->receipts}};
    int rc = c->g->write(c->g->arg, &ev, &e);
    if (rc == 0)
        rc = wait_shown(c, &(struct shown){.id = hold, .standing = true}, &e);
    if (rc < 0)
        reply_err(c, &e);
    else if (rc == 0)
        reply_later(c, "hold", hold);
    else
        reply_hold(c, hold, 201);
}

void api_holds_post(struct call *c)
{
    struct arena *a = arena_new(0);
    struct hold_body b;
    char hold[NAME_MAX_BYTES + 1];
    if (decode(c, &b, &hold_table, a) && name_hold(c, hold)) {
        static const struct rows_error none = {"", "study or receipts must be given, not both"};
        static const struct rows_error odd = {"/receipts", "a receipt is 16 hexadecimal digits"};
        if (!b.study == !b.receipts.n)
            reply_errors(c, &none, 1);
        else if (!receipts_valid(&b.receipts))
            reply_errors(c, &odd, 1);
        else
            set_hold(c, &b, hold);
    }
    arena_free(a);
}

void api_holds_delete(struct call *c)
{
    struct err e = {0};
    bool stands;
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc = pg ? ledger_hold_stands(pg, &stands, c->param, &e) : -1;
    pool_give(c->g->pool, pg);
    if (rc == 0 && stands) {
        struct event ev = {.type = EVENT_HOLD_RELEASED, .note = {.name = c->param, .by = USER}};
        rc = c->g->write(c->g->arg, &ev, &e);
        if (rc == 0)
            rc = wait_shown(c, &(struct shown){.id = c->param}, &e);
        if (rc == 0) {
            reply_later(c, "hold", c->param);
            return;
        }
    }
    if (rc < 0)
        reply_err(c, &e);
    else
        reply_hold(c, c->param, 200);
}

static void dismiss(struct call *c, const struct dismissal_body *b, const char *study)
{
    struct err e = {0};
    struct event ev = {.type = EVENT_DISMISSED,
                       .note = {.kind = b->kind,
                                .name = b->id,
                                .by = USER,
                                .why = b->why,
                                .study = *study ? study : NULL}};
    int rc = c->g->write(c->g->arg, &ev, &e);
    if (rc == 0)
        rc = wait_shown(c, &(struct shown){.kind = b->kind, .id = b->id, .standing = true}, &e);
    if (rc < 0) {
        reply_err(c, &e);
    } else if (rc == 0) {
        reply_later(c, "id", b->id);
    } else {
        c->reply->status = 201;
        str_puts(&c->reply->body, "{\"id\":");
        str_json(&c->reply->body, b->id, strlen(b->id));
        str_puts(&c->reply->body, ",\"shown\":true}");
    }
}

void api_dismissals_post(struct call *c)
{
    struct arena *a = arena_new(0);
    struct err e = {0};
    struct dismissal_body b;
    char study[129];
    if (decode(c, &b, &dismissal_table, a)) {
        struct pg *pg = pool_take(c->g->pool, &e);
        int rc = pg ? ledger_dismissable(pg, study, b.kind, b.id, &e) : -1;
        finish(c, pg, rc, &e);
        if (rc == 0)
            dismiss(c, &b, study);
    }
    arena_free(a);
}

void api_ledger(struct call *c)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    finish(c, pg, pg ? ledger_sheet(pg, &c->reply->body, &e) : -1, &e);
}
