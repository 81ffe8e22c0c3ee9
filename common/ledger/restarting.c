/* What a person needs to cancel, retry or restart a delivery. */
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* clang-format off */
static const char delivery_sql[] =
    "SELECT d.state,s.status,COALESCE(d.target,''),COALESCE(d.study,''),d.request,"
    "d.state >= 'delivered',c.delivery,c.state < 'delivered'"
    " FROM deliveries d JOIN delivery_status s USING (delivery)"
    " LEFT JOIN LATERAL (SELECT delivery,state FROM deliveries x WHERE x.parent=d.delivery AND"
    " x.state NOT IN ('failed','cancelled','expired') ORDER BY x.state < 'delivered' DESC LIMIT 1) c"
    " ON true WHERE d.delivery=$1";
static const char failures_sql[] =
    "SELECT string_agg(delivery,E'\\n') FROM (SELECT delivery FROM delivery_status WHERE target=$1"
    " AND status IN ('failed','expired') ORDER BY finished_at,delivery LIMIT $2::bigint) x";
/* clang-format on */

static void take(char *out, size_t n, const struct pg_result *r, int column)
{
    const char *text = pg_value(r, 0, column);
    str_copy(out, n, text ? text : "");
}

static bool is_true(const struct pg_result *r, int column)
{
    const char *text = pg_value(r, 0, column);
    return text && *text == 't';
}

int ledger_delivery(struct pg *c, struct ledger_delivery *out, const char *id, struct err *e)
{
    struct pg_result *r;
    memset(out, 0, sizeof *out);
    if (pg_query(c, &r, delivery_sql, 1, &id, e) != 0)
        return -1;
    int rc = pg_rows(r) > 0 ? 0 : err_set(e, ERR_REJECT, 404, "no such delivery");
    if (rc == 0) {
        const char *request = pg_value(r, 0, 4);
        take(out->state, sizeof out->state, r, 0);
        take(out->status, sizeof out->status, r, 1);
        take(out->target, sizeof out->target, r, 2);
        take(out->study, sizeof out->study, r, 3);
        take(out->child, sizeof out->child, r, 6);
        out->ended = is_true(r, 5);
        out->child_open = is_true(r, 7);
        if (request)
            str_puts(&out->request, request);
    }
    pg_result_free(r);
    return rc;
}

void ledger_delivery_free(struct ledger_delivery *d)
{
    str_free(&d->request);
}

int ledger_delivery_failures(struct pg *c, struct str *out, const char *target, int64_t max,
                             struct err *e)
{
    struct pg_result *r;
    char limit[24];
    snprintf(limit, sizeof limit, "%" PRId64, max);
    if (pg_query(c, &r, failures_sql, 2, (const char *const[]){target, limit}, e) != 0)
        return -1;
    const char *text = pg_value(r, 0, 0);
    str_puts(out, text ? text : "");
    pg_result_free(r);
    return 0;
}
