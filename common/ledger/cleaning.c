/* What people do to the ledger and ask of it: holds, dismissals, the balance sheet. */
#include "ledger/ledger.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

/* The first value of the first row; false: no row. */
static int one(struct pg *c, struct str *out, bool *found, const char *sql, int n,
               const char *const *params, struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r, sql, n, params, e) != 0)
        return -1;
    *found = pg_rows(r) > 0 && pg_value(r, 0, 0);
    if (*found)
        str_puts(out, pg_value(r, 0, 0));
    pg_result_free(r);
    return 0;
}

/* ---- the sheet ---- */

/* For people the names are words. */
static void add_states(struct str *out, const struct ledger_ages *a)
{
    for (size_t i = 0; i < LEDGER_STATES; i++) {
        size_t at = out->len + (i > 0) + strlen("{\"state\":\"");
        str_printf(out, "%s{\"state\":\"%s\",\"count\":%" PRId64 ",\"oldestSeconds\":%.1f}",
                   i ? "," : "", ledger_state_name((enum ledger_state)i), a->of[i].n, a->of[i].age);
        for (; out->data[at] != '"'; at++)
            if (out->data[at] == '-')
                out->data[at] = ' ';
    }
}

int ledger_sheet(struct pg *c, struct str *out, struct err *e)
{
    struct ledger_balances b;
    struct ledger_ages a;
    if (ledger_balances(c, &b, e) != 0 || ledger_ages(c, &a, e) != 0)
        return -1;
    str_printf(out,
               "{\"balanced\":%s,\"balances\":{\"receipts\":%" PRId64 ",\"deliveries\":%" PRId64
               "},\"states\":[",
               b.receipts || b.deliveries ? "false" : "true", b.receipts, b.deliveries);
    add_states(out, &a);
    str_puts(out, "]}");
    return 0;
}

/* ---- holds ---- */

#define HOLD_JSON                                                                                  \
    "json_build_object('hold',h.hold,'study',h.study,'receipts',COALESCE(to_json(h.receipts),"     \
    "'[]'),'by',h.by_user,'why',h.why,'until',h.until,'setAt',h.set_at,'releasedAt',"              \
    "h.released_at,'stands',h.hold IN (SELECT hold FROM standing_holds),'condemned',(SELECT"       \
    " count(*) FROM receipts r WHERE (r.study=h.study OR r.receipt=ANY(h.receipts)) AND"           \
    " (r.condemned_at IS NOT NULL OR r.state>='condemned')))"

int ledger_hold(struct pg *c, struct str *out, const char *hold, struct err *e)
{
    bool found;
    if (one(c, out, &found, "SELECT " HOLD_JSON " FROM holds h WHERE h.hold=$1", 1, &hold, e) != 0)
        return -1;
    return found ? 0 : err_set(e, ERR_REJECT, 404, "no such hold");
}

int ledger_holds(struct pg *c, struct str *out, struct err *e)
{
    bool found;
    return one(c, out, &found,
               "SELECT json_build_object('items',COALESCE(json_agg(" HOLD_JSON
               " ORDER BY h.set_at DESC),'[]')) FROM (SELECT * FROM standing_holds"
               " ORDER BY set_at DESC LIMIT 500) h",
               0, NULL, e);
}

int ledger_hold_stands(struct pg *c, bool *stands, const char *hold, struct err *e)
{
    bool found;
    struct str word = STR_INIT;
    int rc = one(c, &word, &found,
                 "SELECT hold IN (SELECT hold FROM standing_holds) FROM holds WHERE hold=$1", 1,
                 &hold, e);
    if (rc == 0 && !found)
        rc = err_set(e, ERR_REJECT, 404, "no such hold");
    if (rc == 0)
        *stands = strcmp(str_cstr(&word), "t") == 0;
    str_free(&word);
    return rc;
}

/* ---- dismissals ---- */

/* Each: whether it may be dismissed, as "t<study>" or "f". */
static const struct {
    const char *kind, *sql;
} dismissable[] = {
    {"task", "SELECT CASE WHEN state IN ('failed','cancelled','expired') THEN 't' || COALESCE("
             "study,'') ELSE 'f' END FROM tasks WHERE task=$1"},
    {"delivery", "SELECT CASE WHEN state IN ('failed','cancelled','expired') THEN 't' || COALESCE("
                 "study,'') ELSE 'f' END FROM deliveries WHERE delivery=$1"},
    {"held", "SELECT CASE WHEN EXISTS (SELECT FROM jsonb_array_elements(held) h WHERE $1 IN"
             " (decision,decision || '/' || (h->>'rule'))) THEN 't' || COALESCE(study,'') ELSE 'f'"
             " END FROM decisions WHERE decision=split_part($1,'/',1)"},
};

int ledger_dismissable(struct pg *c, char study[129], const char *kind, const char *id,
                       struct err *e)
{
    struct str word = STR_INIT;
    bool found = false;
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(dismissable) && rc == 0; i++)
        if (strcmp(kind, dismissable[i].kind) == 0)
            rc = one(c, &word, &found, dismissable[i].sql, 1, &id, e);
    if (rc == 0 && !found)
        rc = err_set(e, ERR_REJECT, 404, "no such %s", kind);
    else if (rc == 0 && *word.data != 't')
        rc = err_set(e, ERR_REJECT, 409, "only what ended badly, or is held, can be dismissed");
    if (rc == 0)
        str_copy(study, 129, word.data + 1);
    str_free(&word);
    return rc;
}

int ledger_dismissed(struct pg *c, bool *dismissed, const char *kind, const char *id, struct err *e)
{
    struct str word = STR_INIT;
    int rc = one(c, &word, dismissed, "SELECT 1 FROM dismissals WHERE kind=$1 AND id=$2", 2,
                 (const char *const[]){kind, id}, e);
    str_free(&word);
    return rc;
}
