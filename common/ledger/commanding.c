/* What a person needs to replay or reroute decisions of a study, and what became of it. */
#include "ledger/ledger.h"

#include <inttypes.h>

#include "base/mem.h"

/* clang-format off */
/* Decisions of series, by windows or named; any image that was chosen for deletion. */
static const char decisions_sql[] =
    "WITH d AS (SELECT x.decision,x.decided_at FROM decisions x WHERE x.study=$1 AND x.kind='series'"
    " AND (CASE WHEN $2::text IS NULL THEN x.n IS NOT NULL ELSE x.decision = ANY (string_to_array($2,E'\\n')) END))"
    "SELECT EXISTS (SELECT FROM studies WHERE study=$1),(SELECT count(*) FROM d),"
    "(SELECT string_agg(decision,E'\\n' ORDER BY decided_at,decision) FROM d),"
    "EXISTS (SELECT FROM d JOIN members m USING (decision) JOIN receipts r USING (receipt)"
    " WHERE r.condemned_at IS NOT NULL),(SELECT count(DISTINCT y) FROM unnest(string_to_array($2,E'\\n')) y)";
static const char answer_sql[] =
    "SELECT json_build_object('command',body->>'command','outcome',body->>'outcome','text',"
    "body->>'text') FROM events WHERE id=$1 AND type='command.answered'";
/* clang-format on */

static int64_t count(const struct pg_result *r, int column)
{
    int64_t n = 0;
    const char *text = pg_value(r, 0, column);
    return text && str_int64(&n, text, 0, INT64_MAX) == 0 ? n : 0;
}

static bool is_true(const struct pg_result *r, int column)
{
    const char *text = pg_value(r, 0, column);
    return text && *text == 't';
}

static int judge(const struct pg_result *r, int64_t max, struct err *e)
{
    int64_t n = count(r, 1);
    if (!is_true(r, 0))
        return err_set(e, ERR_REJECT, 404, "no such study");
    if (n < count(r, 4))
        return err_set(e, ERR_REJECT, 409, "Not all of these are decisions of the study's series.");
    if (n == 0)
        return err_set(e, ERR_REJECT, 409, "The study has no decision yet.");
    if (n > max)
        return err_set(e, ERR_REJECT, 409, "These are %" PRId64 " decisions; name at most %" PRId64
                       " at once.", n, max);
    if (is_true(r, 3))
        return err_set(e, ERR_REJECT, 409, "Images of it were deleted, or are about to be.");
    return 0;
}

int ledger_decisions(struct pg *c, struct str *out, const char *study, const char *const *named,
                     size_t n, int64_t max, struct err *e)
{
    struct pg_result *r;
    struct str list = STR_INIT;
    for (size_t i = 0; i < n; i++)
        str_printf(&list, "%s%s", i ? "\n" : "", named[i]);
    int rc = pg_query(c, &r, decisions_sql, 2,
                      (const char *const[]){study, n ? str_cstr(&list) : NULL}, e);
    str_free(&list);
    if (rc != 0)
        return -1;
    rc = judge(r, max, e);
    if (rc == 0)
        str_puts(out, pg_value(r, 0, 2));
    pg_result_free(r);
    return rc;
}

int ledger_answer(struct pg *c, struct str *out, const char *id, struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r, answer_sql, 1, &id, e) != 0)
        return -1;
    int rc = pg_rows(r) > 0 ? 0 : err_set(e, ERR_REJECT, 404, "not answered yet");
    if (rc == 0)
        str_puts(out, pg_value(r, 0, 0));
    pg_result_free(r);
    return rc;
}
