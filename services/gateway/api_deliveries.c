/*
 * What people do to deliveries. Cancel and retry are commands to the dispatcher, in the partition
 * of the target. Restart and resend of what has ended are a new request with `parent`, made from
 * the ledger (again.h). A restart's id comes from the parent's: asked for twice before the ledger
 * shows it, it is one. A resend's comes from the command's, too: a repeated request is the same
 * one.
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/vec.h"
#include "event/ids.h"
#include "gateway/again.h"
#include "gateway/gateway.h"
#include "ledger/ledger.h"

enum { BULK_MAX = 500, TARGET_MAX = 64 };

/* ---- bodies ---- */

struct action_body {
    const char *reason, *target;
    struct row_strings ids;
};
static const struct row action_rows[] = {
    {"reason", ROW_STRING, ROW(action_body, reason), ROW_REQUIRED, .min = 1, .max = COMMAND_REASON_MAX,
     .help = "For the record."},
};
static const struct row_table action_table = {
    "action", sizeof(struct action_body), action_rows, ARRAY_LEN(action_rows), "Why.", true};

static const struct row bulk_rows[] = {
    {"reason", ROW_STRING, ROW(action_body, reason), ROW_REQUIRED, .min = 1, .max = COMMAND_REASON_MAX,
     .help = "For the record."},
    {"target", ROW_STRING, ROW(action_body, target), .min = 1, .max = TARGET_MAX,
     .help = "All of this target that failed or expired, the oldest first, at most 500."},
    {"ids", ROW_STRINGS, ROW(action_body, ids), .max = BULK_MAX, .help = "These deliveries."},
};
static const struct row_table bulk_table = {
    "restart", sizeof(struct action_body), bulk_rows, ARRAY_LEN(bulk_rows), "What is restarted.",
    true};

static const struct row ids_rows[] = {
    {"reason", ROW_STRING, ROW(action_body, reason), ROW_REQUIRED, .min = 1, .max = COMMAND_REASON_MAX,
     .help = "For the record."},
    {"ids", ROW_STRINGS, ROW(action_body, ids), ROW_REQUIRED, .min = 1, .max = BULK_MAX,
     .help = "These deliveries."},
};
static const struct row_table ids_table = {
    "resend", sizeof(struct action_body), ids_rows, ARRAY_LEN(ids_rows), "What is sent again.",
    true};

static void begin_answer(struct call *c, const char *command)
{
    c->reply->status = 202;
    str_puts(&c->reply->body, "{\"command\":");
    str_json(&c->reply->body, command, strlen(command));
}

/* ---- cancel, retry ---- */

static void command(struct call *c, enum event_type type)
{
    struct arena *a = arena_new(0);
    struct err e = {0};
    struct action_body b;
    struct ledger_delivery d = {0};
    char id[COMMAND_MAX + 1];
    if (!command_take(c, &b, &action_table, a, id))
        goto out;
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc = pg ? ledger_delivery(pg, &d, c->param, &e) : -1;
    pool_give(c->g->pool, pg);
    if (rc == 0 && (d.ended || !*d.target))
        rc = err_set(&e, ERR_REJECT, 409, "The delivery has ended: %s.", d.status);
    if (rc == 0) {
        struct event ev = {.type = type,
                           .command = {.command = id,
                                       .user = COMMAND_USER,
                                       .reason = b.reason,
                                       .delivery = c->param,
                                       .study = *d.study ? d.study : NULL}};
        struct gateway_record record = {"delivery", d.target, &ev};
        rc = c->g->append(c->g->arg, &record, 1, &e);
    }
    if (rc == 0) {
        begin_answer(c, id);
        str_puts(&c->reply->body, ",\"delivery\":");
        str_json(&c->reply->body, c->param, strlen(c->param));
        str_putc(&c->reply->body, '}');
    } else {
        command_refuse(c, &e);
    }
out:
    arena_free(a);
}

void api_delivery_cancel(struct call *c)
{
    command(c, EVENT_COMMAND_CANCEL);
}

void api_delivery_retry(struct call *c)
{
    command(c, EVENT_COMMAND_RETRY);
}

/* ---- restart, resend ---- */

static const struct {
    const char *kind, *done; /* of command.answered; of the answer's member with the new id */
} words[] = {[AGAIN_RESTART] = {"restart", "restarted"}, [AGAIN_RESEND] = {"resend", "resent"}};

/* What one command asks for. What stands already is not requested once more: the dispatcher would
 * forget after days that it has done it. */
struct again {
    struct call *c;
    enum again_kind kind;
    struct arena *arena;
    const char *command;
    VEC(struct gateway_record) records; /* new requests */
    size_t done, whole;                 /* of all */
    const char *study;                  /* of the last */
};

/* The delivery, and what becomes of it, as members of an object in the answer. */
static void put_item(struct again *r, struct str *out, const struct event_delivery_requested *x,
                     bool whole)
{
    str_printf(out, ",\"%s\":\"%s\",\"members\":%lld", words[r->kind].done, x->delivery,
               (long long)x->members);
    if (whole)
        str_puts(out, ",\"whole\":true");
}

static int send_again(struct again *r, struct str *out, const char *id, struct err *e)
{
    struct ledger_ended d = {0};
    char child[HASH_ID_HEX];
    bool whole;
    struct event *ev = arena_alloc(r->arena, sizeof *ev);
    *ev = (struct event){.type = EVENT_DELIVERY_REQUESTED};
    if (r->kind == AGAIN_RESTART)
        ids_restart(child, id);
    else
        ids_resend(child, id, r->command);
    const struct again_ids ids = {id, child, r->command};
    struct pg *pg = pool_take(r->c->g->pool, e);
    int rc = pg ? ledger_ended(pg, &d, id, child, r->command, e) : -1;
    pool_give(r->c->g->pool, pg);
    if (rc == 0)
        rc = again_request(&ev->requested, &whole, r->kind, &d, &ids, r->arena, e);
    if (rc == 0) {
        put_item(r, out, &ev->requested, whole);
        r->done++;
        r->whole += whole;
        r->study = ev->requested.study;
    }
    if (rc == 0 && !d.again)
        *vec_push(&r->records) = (struct gateway_record){"delivery", ev->requested.target, ev};
    ledger_ended_free(&d);
    return rc;
}

/* The requests, then the answer that says who wanted it and why; also when a repeated command finds
 * its requests: whoever wrote them may have died before the answer, which has the same id. */
static int write_again(struct again *r, const char *name, const char *reason, struct err *e)
{
    char id[COMMAND_MAX + 16], text[128];
    if (r->done == 0)
        return 0;
    snprintf(id, sizeof id, "%s.answered", r->command);
    int at = snprintf(text, sizeof text, "%zu %s", r->done, words[r->kind].done);
    if (r->whole)
        snprintf(text + at, sizeof text - (size_t)at,
                 ", %zu of them whole: what is open has too many pieces", r->whole);
    struct event answered = {
        .type = EVENT_COMMAND_ANSWERED,
        .id = id,
        .note = {.kind = words[r->kind].kind,
                 .name = name,
                 .by = COMMAND_USER,
                 .why = reason,
                 .command = r->command,
                 .outcome = "done",
                 .text = text,
                 .study = r->done == 1 ? r->study : NULL}};
    *vec_push(&r->records) = (struct gateway_record){"event", NULL, &answered};
    return r->c->g->append(r->c->g->arg, r->records.items, r->records.n, e);
}

static void one_again(struct call *c, enum again_kind kind)
{
    struct err e = {0};
    struct action_body b;
    struct str item = STR_INIT;
    char id[COMMAND_MAX + 1];
    struct again r = {.c = c, .kind = kind, .arena = arena_new(0), .command = id};
    if (command_take(c, &b, &action_table, r.arena, id)) {
        if (send_again(&r, &item, c->param, &e) || write_again(&r, c->param, b.reason, &e)) {
            command_refuse(c, &e);
        } else {
            begin_answer(c, id);
            str_puts(&c->reply->body, ",\"delivery\":");
            str_json(&c->reply->body, c->param, strlen(c->param));
            str_printf(&c->reply->body, "%s}", str_cstr(&item));
        }
    }
    vec_free(&r.records);
    str_free(&item);
    arena_free(r.arena);
}

void api_delivery_restart(struct call *c)
{
    one_again(c, AGAIN_RESTART);
}

void api_delivery_resend(struct call *c)
{
    one_again(c, AGAIN_RESEND);
}

/* ---- many ---- */

/* One item of the answer; -1: the ledger does not answer, nothing was written. */
static int add_item(struct again *r, struct str *items, const char *id, struct err *e)
{
    str_puts(items, items->len ? ",{\"delivery\":" : "{\"delivery\":");
    str_json(items, id, strlen(id));
    if (send_again(r, items, id, e)) {
        if (e->kind != ERR_REJECT)
            return -1;
        str_puts(items, ",\"problem\":");
        str_json(items, e->text, strlen(e->text));
    }
    str_putc(items, '}');
    err_clear(e);
    return 0;
}

/* The target's failed ones as ids. */
static int failures_of(struct call *c, const char *target, struct row_strings *ids, struct arena *a,
                       struct err *e)
{
    struct str text = STR_INIT;
    struct pg *pg = pool_take(c->g->pool, e);
    int rc = pg ? ledger_delivery_failures(pg, &text, target, BULK_MAX, e) : -1;
    pool_give(c->g->pool, pg);
    if (rc == 0) {
        char *at = arena_strndup(a, str_cstr(&text), text.len), *rest = NULL;
        ids->items = arena_alloc(a, BULK_MAX * sizeof *ids->items);
        for (at = strtok_r(at, "\n", &rest); at && ids->n < BULK_MAX;
             at = strtok_r(NULL, "\n", &rest))
            ids->items[ids->n++] = at;
    }
    str_free(&text);
    return rc;
}

static bool repeats(const struct row_strings *ids, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(ids->items[k], ids->items[i]) == 0)
            return true;
    return false;
}

static int all_again(struct again *r, struct action_body *b, struct str *items, struct err *e)
{
    if (b->target && failures_of(r->c, b->target, &b->ids, r->arena, e))
        return -1;
    for (size_t i = 0; i < b->ids.n; i++)
        if (!repeats(&b->ids, i) && add_item(r, items, b->ids.items[i], e))
            return -1;
    return write_again(r, b->target ? b->target : "deliveries", b->reason, e);
}

static void many_again(struct call *c, enum again_kind kind, const struct row_table *table)
{
    static const struct rows_error none = {"", "target or ids must be given, not both"};
    struct err e = {0};
    struct action_body b = {0};
    struct str items = STR_INIT;
    char id[COMMAND_MAX + 1];
    struct again r = {.c = c, .kind = kind, .arena = arena_new(0), .command = id};
    if (!command_take(c, &b, table, r.arena, id))
        goto out;
    if (!b.target == !b.ids.n) {
        reply_errors(c, &none, 1);
    } else if (all_again(&r, &b, &items, &e)) {
        command_refuse(c, &e);
    } else {
        begin_answer(c, id);
        str_printf(&c->reply->body, ",\"items\":[%s]}", str_cstr(&items));
    }
out:
    vec_free(&r.records);
    str_free(&items);
    arena_free(r.arena);
}

void api_deliveries_restart(struct call *c)
{
    many_again(c, AGAIN_RESTART, &bulk_table);
}

void api_deliveries_resend(struct call *c)
{
    many_again(c, AGAIN_RESEND, &ids_table);
}
