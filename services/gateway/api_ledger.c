/* Handlers that answer from the ledger. */
#include "gateway/gateway.h"
#include "ledger/ledger.h"

/* An empty parameter is none. */
static const char *query(const struct call *c, const char *name)
{
    const char *v = http_query(c->request, name);
    return v && *v ? v : NULL;
}

/* -1: answered with 400. */
static int number(struct call *c, const char *name, int64_t max, int64_t *out)
{
    const char *v = query(c, name);
    *out = 0;
    if (!v || str_int64(out, v, 0, max) == 0)
        return 0;
    reply_problem(c, 400, "bad-request", "A number in the query is not one, or out of range.");
    return -1;
}

static int page_of(struct call *c, struct ledger_page *p)
{
    p->cursor = query(c, "cursor");
    return number(c, "limit", LEDGER_PAGE_MAX, &p->limit);
}

static void finish(struct call *c, struct pg *pg, int rc, const struct err *e)
{
    pool_give(c->g->pool, pg);
    if (rc != 0)
        reply_err(c, e);
}

void api_status(struct call *c)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    finish(c, pg, pg ? ledger_status(pg, &c->reply->body, &e) : -1, &e);
}

void api_studies(struct call *c)
{
    struct err e = {0};
    struct ledger_page p;
    if (page_of(c, &p) != 0)
        return;
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc =
        pg ? ledger_studies(pg, &c->reply->body, query(c, "q"), query(c, "state"), &p, &e) : -1;
    finish(c, pg, rc, &e);
}

void api_study(struct call *c)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    finish(c, pg, pg ? ledger_study(pg, &c->reply->body, c->param, &e) : -1, &e);
}

void api_series(struct call *c)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    finish(c, pg, pg ? ledger_series(pg, &c->reply->body, c->param, &e) : -1, &e);
}

void api_deliveries(struct call *c)
{
    struct err e = {0};
    struct ledger_page p;
    if (page_of(c, &p) != 0)
        return;
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc = pg ? ledger_deliveries(pg, &c->reply->body, query(c, "target"), query(c, "state"),
                                    query(c, "study"), &p, &e)
                : -1;
    finish(c, pg, rc, &e);
}

void api_events(struct call *c)
{
    struct err e = {0};
    int64_t after, limit;
    if (number(c, "after", INT64_MAX, &after) != 0 ||
        number(c, "limit", LEDGER_PAGE_MAX, &limit) != 0)
        return;
    struct pg *pg = pool_take(c->g->pool, &e);
    finish(c, pg, pg ? ledger_events(pg, &c->reply->body, after, limit, &e) : -1, &e);
}
