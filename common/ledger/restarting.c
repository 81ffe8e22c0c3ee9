/* What a person needs to cancel, retry, restart or resend a delivery. */
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* clang-format off */
static const char delivery_sql[] =
    "SELECT status,COALESCE(target,''),COALESCE(study,''),state >= 'delivered'"
    " FROM delivery_status WHERE delivery=$1";

#define BADLY "('failed','cancelled','expired')"
/* The end of a delivery and its outcomes stand in one partition, in this order. Of positions
 * more ranges than a record takes are of no use. A bad end that was restarted is its restart's
 * affair. */
static const char ended_sql[] =
    "WITH RECURSIVE kin AS (SELECT delivery,state,asked_at,requested_at FROM deliveries"
    " WHERE parent=$1 UNION SELECT c.delivery,c.state,c.asked_at,c.requested_at FROM deliveries c"
    " JOIN kin k ON c.parent=k.delivery),"
    "up AS (SELECT delivery,parent,request FROM deliveries WHERE delivery=$1 UNION"
    " SELECT p.delivery,p.parent,p.request FROM deliveries p JOIN up u ON p.delivery=u.parent),"
    "judged AS (SELECT delivery,state,requested_at,CASE WHEN state < 'delivered' THEN 3 WHEN state IN "
    BADLY " THEN 2 ELSE 1 END AS weight FROM kin k WHERE state NOT IN " BADLY " OR NOT EXISTS"
    " (SELECT FROM deliveries c WHERE c.parent=k.delivery)),"
    "well AS (SELECT position FROM delivery_members WHERE delivery=$1 AND"
    " state IN ('delivered','repeated','not-accepted')),"
    "ranges AS (SELECT min(position) AS a,max(position) AS b FROM (SELECT position,position -"
    " row_number() OVER (ORDER BY position) AS run FROM well) x GROUP BY run ORDER BY 1 LIMIT 100000)"
    "SELECT s.status,s.state >= 'delivered' AND s.finished_at IS NOT NULL,"
    "EXISTS (SELECT FROM deliveries WHERE delivery=$2 AND request::jsonb->>'command'=$3),"
    "EXISTS (SELECT FROM members m JOIN receipts r USING (receipt) WHERE m.decision=s.decision AND"
    " m.role='member' AND r.condemned_at IS NOT NULL),"
    "k.weight,k.delivery,k.state,"
    "COALESCE(s.delivered,0)+COALESCE(s.repeated,0)+COALESCE(s.not_accepted,0),"
    "(SELECT count(*) FROM well),(SELECT string_agg(CASE WHEN a=b THEN a::text ELSE a||'-'||b END,','"
    " ORDER BY a) FROM ranges),s.request,"
    "(SELECT request FROM up WHERE request IS NOT NULL AND parent IS NULL LIMIT 1)"
    " FROM delivery_status s LEFT JOIN LATERAL (SELECT * FROM judged ORDER BY weight DESC,"
    "requested_at DESC NULLS LAST,delivery LIMIT 1) k ON true WHERE s.delivery=$1";

static const char failures_sql[] =
    "SELECT string_agg(delivery,E'\\n') FROM (SELECT delivery FROM deliveries d WHERE target=$1"
    " AND state IN ('failed','expired') AND NOT EXISTS (SELECT FROM deliveries c WHERE"
    " c.parent=d.delivery) ORDER BY finished_at,delivery LIMIT $2::bigint) x";
/* clang-format on */

static void take(char *out, size_t n, const struct pg_result *r, int column)
{
    const char *text = pg_value(r, 0, column);
    str_copy(out, n, text ? text : "");
}

static void take_text(struct str *out, const struct pg_result *r, int column)
{
    const char *text = pg_value(r, 0, column);
    str_puts(out, text ? text : "");
}

static bool is_true(const struct pg_result *r, int column)
{
    const char *text = pg_value(r, 0, column);
    return text && *text == 't';
}

static int look_up(struct pg *c, struct pg_result **r, const char *sql, int n,
                   const char *const *params, struct err *e)
{
    if (pg_query(c, r, sql, n, params, e) != 0)
        return -1;
    if (pg_rows(*r) > 0)
        return 0;
    pg_result_free(*r);
    return err_set(e, ERR_REJECT, 404, "no such delivery");
}

int ledger_delivery(struct pg *c, struct ledger_delivery *out, const char *id, struct err *e)
{
    struct pg_result *r;
    memset(out, 0, sizeof *out);
    if (look_up(c, &r, delivery_sql, 1, &id, e))
        return -1;
    take(out->status, sizeof out->status, r, 0);
    take(out->target, sizeof out->target, r, 1);
    take(out->study, sizeof out->study, r, 2);
    out->ended = is_true(r, 3);
    pg_result_free(r);
    return 0;
}

int ledger_ended(struct pg *c, struct ledger_ended *out, const char *id, const char *child,
                 const char *command, struct err *e)
{
    struct pg_result *r;
    memset(out, 0, sizeof *out);
    if (look_up(c, &r, ended_sql, 3, (const char *const[]){id, child, command}, e))
        return -1;
    take(out->status, sizeof out->status, r, 0);
    out->ended = is_true(r, 1);
    out->again = is_true(r, 2);
    out->deleted = is_true(r, 3);
    out->kin = (enum ledger_kin)pg_int(r, 0, 4, KIN_NONE);
    take(out->kin_id, sizeof out->kin_id, r, 5);
    take(out->kin_status, sizeof out->kin_status, r, 6);
    out->counted_well = pg_int(r, 0, 7, 0);
    out->well_n = pg_int(r, 0, 8, 0);
    take_text(&out->well, r, 9);
    take_text(&out->request, r, 10);
    take_text(&out->first, r, 11);
    pg_result_free(r);
    return 0;
}

void ledger_ended_free(struct ledger_ended *d)
{
    str_free(&d->well);
    str_free(&d->request);
    str_free(&d->first);
}

int ledger_delivery_failures(struct pg *c, struct str *out, const char *target, int64_t max,
                             struct err *e)
{
    struct pg_result *r;
    char limit[24];
    snprintf(limit, sizeof limit, "%" PRId64, max);
    if (pg_query(c, &r, failures_sql, 2, (const char *const[]){target, limit}, e) != 0)
        return -1;
    take_text(out, r, 0);
    pg_result_free(r);
    return 0;
}
