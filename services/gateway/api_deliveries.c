/*
 * What people do to deliveries. Cancel and retry are commands to the dispatcher, in the partition
 * of the target. A restart of what has ended is a new request with `parent`, made from the ledger;
 * its id comes from the parent's and the command's, so a repeated request is the same restart.
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/vec.h"
#include "event/ids.h"
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

static int look_up(struct call *c, struct ledger_delivery *d, const char *id, struct err *e)
{
    struct pg *pg = pool_take(c->g->pool, e);
    *d = (struct ledger_delivery){0};
    int rc = pg ? ledger_delivery(pg, d, id, e) : -1;
    pool_give(c->g->pool, pg);
    return rc;
}

static void reply_accepted(struct call *c, const char *command, const char *delivery,
                           const char *child)
{
    struct str *s = &c->reply->body;
    c->reply->status = 202;
    str_puts(s, "{\"command\":");
    str_json(s, command, strlen(command));
    str_puts(s, ",\"delivery\":");
    str_json(s, delivery, strlen(delivery));
    if (child)
        str_printf(s, ",\"restarted\":\"%s\"", child);
    str_putc(s, '}');
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
    int rc = look_up(c, &d, c->param, &e);
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
    if (rc == 0)
        reply_accepted(c, id, c->param, NULL);
    else
        command_refuse(c, &e);
out:
    ledger_delivery_free(&d);
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

/* ---- restart ---- */

/* 409 if it may not be restarted. *again: this very command has restarted it already. */
static int may_restart(const struct ledger_delivery *d, const char *child, bool *again,
                       struct err *e)
{
    *again = strcmp(d->child, child) == 0;
    if (*again)
        return 0;
    if (!d->ended)
        return err_set(e, ERR_REJECT, 409, "The delivery has not ended: %s.", d->status);
    if (d->child_open || strcmp(d->status, "superseded") == 0)
        return err_set(e, ERR_REJECT, 409, "It was restarted already, as %s.", d->child);
    if (d->request.len == 0)
        return err_set(e, ERR_REJECT, 409, "The ledger does not hold its request.");
    return 0;
}

/* The request once more, under the child's id. Its texts live in a. */
static int make_request(struct event *ev, const struct ledger_delivery *d, const char *parent,
                        const char *child, struct arena *a, struct err *e)
{
    struct event_delivery_requested *r = &ev->requested;
    ev->type = EVENT_DELIVERY_REQUESTED;
    if (rows_decode(r, event_table(ev->type), d->request.data, d->request.len, a, NULL, e))
        return err_wrap(e, "request in the ledger");
    r->delivery = arena_strdup(a, child);
    r->parent = arena_strdup(a, parent);
    r->not_before = r->not_after = NULL; /* they were those of the first one */
    return 0;
}

/* Appends the request of one restart to records (none if it stands already). */
struct restart {
    struct call *c;
    struct arena *arena;
    const char *command;
    VEC(struct gateway_record) records;
};

static int restart_one(struct restart *r, const char *id, char child[HASH_ID_HEX], struct err *e)
{
    struct ledger_delivery d;
    bool again = false;
    ids_restart(child, id, r->command);
    int rc = look_up(r->c, &d, id, e);
    if (rc == 0)
        rc = may_restart(&d, child, &again, e);
    if (rc == 0 && !again) {
        struct event *ev = arena_alloc(r->arena, sizeof *ev);
        *ev = (struct event){0};
        rc = make_request(ev, &d, id, child, r->arena, e);
        if (rc == 0)
            *vec_push(&r->records) = (struct gateway_record){"delivery", ev->requested.target, ev};
    }
    ledger_delivery_free(&d);
    return rc;
}

/* The requests, then the answer that says who wanted it and why. */
static int write_restarts(struct restart *r, const char *name, const char *reason, struct err *e)
{
    char id[COMMAND_MAX + 16], text[64];
    size_t n = r->records.n;
    if (n == 0)
        return 0;
    snprintf(id, sizeof id, "%s.answered", r->command);
    snprintf(text, sizeof text, "%zu restarted", n);
    struct event answered = {
        .type = EVENT_COMMAND_ANSWERED,
        .id = id,
        .note = {.kind = "restart",
                 .name = name,
                 .by = COMMAND_USER,
                 .why = reason,
                 .command = r->command,
                 .outcome = "done",
                 .text = text,
                 .study = n == 1 ? r->records.items[0].ev->requested.study : NULL}};
    *vec_push(&r->records) = (struct gateway_record){"event", NULL, &answered};
    return r->c->g->append(r->c->g->arg, r->records.items, r->records.n, e);
}

void api_delivery_restart(struct call *c)
{
    struct err e = {0};
    struct action_body b;
    char id[COMMAND_MAX + 1], child[HASH_ID_HEX];
    struct restart r = {.c = c, .arena = arena_new(0), .command = id};
    if (command_take(c, &b, &action_table, r.arena, id)) {
        if (restart_one(&r, c->param, child, &e) || write_restarts(&r, c->param, b.reason, &e))
            command_refuse(c, &e);
        else
            reply_accepted(c, id, c->param, child);
    }
    vec_free(&r.records);
    arena_free(r.arena);
}

/* ---- many ---- */

/* One item of the answer; -1: the ledger does not answer, nothing was written. */
static int restart_item(struct restart *r, struct str *items, const char *id, struct err *e)
{
    char child[HASH_ID_HEX];
    int rc = restart_one(r, id, child, e);
    if (rc && e->kind != ERR_REJECT)
        return -1;
    str_puts(items, items->len ? ",{\"delivery\":" : "{\"delivery\":");
    str_json(items, id, strlen(id));
    str_puts(items, rc ? ",\"problem\":" : ",\"restarted\":");
    str_json(items, rc ? e->text : child, strlen(rc ? e->text : child));
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

static int restart_many(struct restart *r, struct action_body *b, struct str *items, struct err *e)
{
    if (b->target && failures_of(r->c, b->target, &b->ids, r->arena, e))
        return -1;
    for (size_t i = 0; i < b->ids.n; i++)
        if (!repeats(&b->ids, i) && restart_item(r, items, b->ids.items[i], e))
            return -1;
    return write_restarts(r, b->target ? b->target : "deliveries", b->reason, e);
}

void api_deliveries_restart(struct call *c)
{
    static const struct rows_error none = {"", "target or ids must be given, not both"};
    struct err e = {0};
    struct action_body b = {0};
    struct str items = STR_INIT;
    char id[COMMAND_MAX + 1];
    struct restart r = {.c = c, .arena = arena_new(0), .command = id};
    if (!command_take(c, &b, &bulk_table, r.arena, id))
        goto out;
    if (!b.target == !b.ids.n) {
        reply_errors(c, &none, 1);
    } else if (restart_many(&r, &b, &items, &e)) {
        command_refuse(c, &e);
    } else {
        c->reply->status = 202;
        str_puts(&c->reply->body, "{\"command\":");
        str_json(&c->reply->body, id, strlen(id));
        str_printf(&c->reply->body, ",\"items\":[%s]}", str_cstr(&items));
    }
out:
    vec_free(&r.records);
    str_free(&items);
    arena_free(r.arena);
}
