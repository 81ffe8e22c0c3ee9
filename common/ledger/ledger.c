/* Queries whose answer is one JSON value; Postgres builds the text, we pass it on. */
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static int json_query(struct pg *c, struct str *out, const char *sql, int n,
                      const char *const *params, struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r, sql, n, params, e) != 0)
        return -1;
    const char *text = pg_rows(r) > 0 ? pg_value(r, 0, 0) : NULL;
    int rc = 0;
    if (text)
        str_puts(out, text);
    else
        rc = err_set(e, ERR_REJECT, 404, "not in the ledger");
    pg_result_free(r);
    return rc;
}

/* ---- pieces ---- */

#define DELIVERY_JSON                                                                              \
    "json_build_object('delivery',d.delivery,'parent',d.parent,'decision',d.decision,"             \
    "'task',d.task,'study',d.study,'series',d.series,'target',d.target,'state',d.status,"          \
    "'rules',string_to_array(NULLIF(d.rules,''),','),'revision',d.revision,'priority',d.priority," \
    "'members',json_build_object('asked',d.members,'open',CASE WHEN d.finished_at IS NULL THEN"    \
    " greatest(d.members - m.ended,0) ELSE 0 END,'delivered',m.delivered,'repeated',m.repeated,"   \
    "'notAccepted',m.not_accepted,'failed',m.failed,'cancelled',m.cancelled),"                     \
    "'attempts',d.attempts,'askedAt',d.asked_at,'requestedAt',d.requested_at,"                     \
    "'attemptedAt',d.attempted_at,'nextDue',CASE WHEN d.finished_at IS NULL THEN d.next_due END,"  \
    "'finishedAt',d.finished_at,'reason',COALESCE(d.reason,CASE WHEN d.finished_at IS NULL THEN"   \
    " d.attempt_reason END),'reasons',m.reasons)"

#define DELIVERY_FROM                                                                              \
    " FROM delivery_status d CROSS JOIN LATERAL (SELECT"                                           \
    " count(*) FILTER (WHERE state='delivered') AS delivered,"                                     \
    "count(*) FILTER (WHERE state='repeated') AS repeated,"                                        \
    "count(*) FILTER (WHERE state='not-accepted') AS not_accepted,"                                \
    "count(*) FILTER (WHERE state='failed') AS failed,"                                            \
    "count(*) FILTER (WHERE state='cancelled') AS cancelled,"                                      \
    "count(*) FILTER (WHERE state<>'open') AS ended,"                                              \
    "(SELECT COALESCE(json_agg(x),'[]') FROM (SELECT state,status,reason,count(*) AS members"      \
    " FROM delivery_members w WHERE w.delivery=d.delivery AND (w.reason IS NOT NULL OR"            \
    " COALESCE(w.status,0)<>0) GROUP BY 1,2,3 ORDER BY 4 DESC LIMIT 20) x) AS reasons"             \
    " FROM delivery_members v WHERE v.delivery=d.delivery) m "

#define DECISION_JSON                                                                              \
    "json_build_object('decision',x.decision,'kind',x.kind,'series',x.series,'command',x.command," \
    "'of',x.of,'reason',x.reason,'addition',x.addition,'instances',x.n,'bytes',x.bytes," \
    "'openedAt',x.opened_at,'closedAt',x.closed_at,'decidedAt',x.decided_at,'waited',x.waited,"    \
    "'revision',x.revision,'keepSeconds',x.keep_seconds,'fired',x.fired,'failed',x.failed,"        \
    "'discardedBy',x.discarded_by,'held',x.held,'joined',x.joined,"                                \
    "'membersError',x.members_error)"

#define TASK_JSON                                                                                  \
    "json_build_object('task',t.task,'parent',t.parent,'decision',t.decision,'rule',t.rule,"       \
    "'series',t.series,'state',t.status,'steps',t.steps,'attempt',t.attempt,'owner',t.owner,"      \
    "'askedAt',t.asked_at,'requestedAt',t.requested_at,'startedAt',t.started_at,"                  \
    "'finishedAt',t.finished_at,'reason',t.reason)"

#define SERIES_JSON                                                                                \
    "json_build_object('series',s.series,'study',s.study,'modality',s.modality,'description',"     \
    "s.description,'accession',s.accession,'patientId',s.patient_id,'source',s.source,"            \
    "'firstAt',s.first_at,'lastAt',s.last_at,'instances',n.instances,'bytes',n.bytes,"             \
    "'undecided',n.undecided,'associations',(SELECT COALESCE(json_agg(json_build_object("          \
    "'association',a.association,'outcome',a.outcome,'answered',a.answered,'endedAt',a.ended_at)"  \
    " ORDER BY a.ended_at),'[]') FROM associations a WHERE a.study=s.study AND a.series=s.series)"

#define SERIES_FROM                                                                                \
    " FROM series s CROSS JOIN LATERAL (SELECT count(*) AS instances,COALESCE(sum(size),0) AS"     \
    " bytes,count(*) FILTER (WHERE state='stored') AS undecided FROM receipts r"                   \
    " WHERE r.study=s.study AND r.series=s.series) n "

/* The three stages of a study with their times: what a person asks first. */
#define STAGES_JSON                                                                                \
    "json_build_array((SELECT json_build_object('stage','received','from',min(stored_at),'to',"    \
    "max(stored_at),'done',count(*),'open',0,'failed',(SELECT count(*) FROM rejected j WHERE"      \
    " j.study=u.study)) FROM receipts r WHERE r.study=u.study),"                                   \
    "(SELECT json_build_object('stage','decided','from',(SELECT min(decided_at) FROM decisions x"  \
    " WHERE x.study=u.study),'to',(SELECT max(decided_at) FROM decisions x WHERE"                  \
    " x.study=u.study),'done',count(*) FILTER (WHERE state>'stored'),'open',count(*) FILTER"       \
    " (WHERE state='stored'),'failed',0) FROM receipts r WHERE r.study=u.study),"                  \
    "(SELECT json_build_object('stage','processed','from',min(started_at),'to',max(finished_at),"  \
    "'done',count(*) FILTER (WHERE status IN ('succeeded','dismissed','superseded')),'open',"      \
    "count(*) FILTER (WHERE state<'succeeded'),'failed',count(*) FILTER (WHERE status IN"          \
    " ('failed','cancelled','expired'))) FROM task_status t WHERE t.study=u.study),"               \
    "(SELECT json_build_object('stage','delivered','from',min(requested_at),'to',"                 \
    "max(finished_at),'done',count(*) FILTER (WHERE status IN ('delivered','dismissed',"           \
    "'superseded')),'open',count(*) FILTER (WHERE state<'delivered'),'failed',count(*) FILTER"     \
    " (WHERE status IN ('failed','cancelled','expired'))) FROM delivery_status d WHERE"            \
    " d.study=u.study))"

#define STUDY_FIELDS                                                                               \
    "'study',u.study,'state',study_state(u.study),'description',u.description,'patientId',"        \
    "u.patient_id,'firstAt',u.first_at,'lastAt',u.last_at,'accessions',(SELECT"                    \
    " COALESCE(json_agg(DISTINCT accession) FILTER (WHERE accession<>''),'[]') FROM series s"      \
    " WHERE s.study=u.study),'modalities',(SELECT COALESCE(json_agg(DISTINCT modality) FILTER"     \
    " (WHERE modality<>''),'[]') FROM series s WHERE s.study=u.study),'stages'," STAGES_JSON

/* ---- status ---- */

static const char status_sql[] =
    "SELECT json_build_object('at',now(),"
    "'configuration',(SELECT json_build_object('revision',c.revision,'at',r.at,'by',r.by_user,"
    "'why',r.why,'published',COALESCE(r.published,true)) FROM config_current c"
    " LEFT JOIN config_revisions r USING (number)),"
    "'receipts',(SELECT json_build_object('undecided',count(*),'oldest',min(stored_at))"
    " FROM receipts WHERE state='stored'),"
    "'studies',(SELECT json_build_object('lastDay',count(*),'newest',max(last_at)) FROM studies"
    " WHERE last_at > now() - interval '1 day'),"
    "'tasks',(SELECT json_build_object('open',count(*),'oldest',min(asked_at)) FROM tasks"
    " WHERE state<'succeeded'),"
    "'deliveries',(SELECT json_build_object('open',count(*),'oldest',min(asked_at)) FROM deliveries"
    " WHERE state<'delivered'),"
    "'targets',(SELECT COALESCE(json_agg(json_build_object('target',g.target,'open',g.open,"
    "'failed',g.failed,'delivered',g.delivered,'oldestOpen',g.oldest,'lastDelivered',g.last,"
    "'reason',g.reason) ORDER BY g.target),'[]') FROM (SELECT target,"
    "count(*) FILTER (WHERE state<'delivered') AS open,"
    "count(*) FILTER (WHERE status IN ('failed','expired')) AS failed,"
    "count(*) FILTER (WHERE state='delivered') AS delivered,"
    "min(asked_at) FILTER (WHERE state<'delivered') AS oldest,"
    "max(finished_at) FILTER (WHERE state='delivered') AS last,"
    "(array_agg(COALESCE(reason,attempt_reason) ORDER BY COALESCE(finished_at,attempted_at) DESC)"
    " FILTER (WHERE state<>'delivered' AND COALESCE(reason,attempt_reason) IS NOT NULL))[1] AS"
    " reason FROM delivery_status WHERE target IS NOT NULL AND (asked_at > now() - interval '1 day'"
    " OR state<'delivered' OR state IN ('failed','expired')) GROUP BY target) g),"
    "'problems',(SELECT COALESCE(json_agg(p ORDER BY p.since),'[]') FROM ("
    "SELECT 'deliveries failed' AS kind,target AS subject,count(*) AS count,min(finished_at) AS"
    " since FROM delivery_status WHERE status IN ('failed','expired') GROUP BY target"
    " UNION ALL SELECT 'tasks failed',rule,count(*),min(finished_at) FROM task_status"
    " WHERE status IN ('failed','expired') GROUP BY rule"
    " UNION ALL SELECT 'records rejected',stage,count(*),min(at) FROM rejected GROUP BY stage"
    " UNION ALL SELECT 'manifests missing',NULL,count(*),min(decided_at) FROM decisions"
    " WHERE members_at IS NULL AND members_error IS NOT NULL HAVING count(*) > 0"
    " UNION ALL SELECT 'instances undecided for long',NULL,count(*),min(stored_at) FROM receipts"
    " WHERE state='stored' AND stored_at < now() - interval '1 hour' HAVING count(*) > 0"
    " UNION ALL SELECT 'deliveries retrying',target,count(*),min(asked_at) FROM deliveries"
    " WHERE state='attempted' AND open_members > 0 GROUP BY target"
    ") p))";

int ledger_status(struct pg *c, struct str *out, struct err *e)
{
    return json_query(c, out, status_sql, 0, NULL, e);
}

/* ---- pages ---- */

struct cursor {
    char us[24], id[160], limit[24];
    bool given;
};

/* "<microseconds>~<id>": opaque to callers, who may still send anything. */
static int parse_cursor(struct cursor *out, const struct ledger_page *p, struct err *e)
{
    int64_t us = 0, limit = p->limit > 0 ? p->limit : LEDGER_PAGE;
    *out = (struct cursor){.us = "0", .id = ""};
    snprintf(out->limit, sizeof out->limit, "%" PRId64,
             limit > LEDGER_PAGE_MAX ? (int64_t)LEDGER_PAGE_MAX : limit);
    if (!p->cursor || !*p->cursor)
        return 0;
    const char *tilde = strchr(p->cursor, '~');
    size_t n = tilde ? (size_t)(tilde - p->cursor) : 0;
    if (!tilde || n >= sizeof out->us || !str_copy(out->id, sizeof out->id, tilde + 1))
        return err_set(e, ERR_REJECT, 400, "malformed cursor");
    memcpy(out->us, p->cursor, n);
    out->us[n] = '\0';
    if (str_int64(&us, out->us, 0, INT64_MAX / 4) != 0)
        return err_set(e, ERR_REJECT, 400, "malformed cursor");
    out->given = true;
    return 0;
}

/* A prefix for LIKE: its own wildcards are only letters. */
static void like_prefix(struct str *s, const char *q)
{
    for (; *q; q++) {
        if (strchr("\\%_", *q))
            str_putc(s, '\\');
        str_putc(s, *q);
    }
    str_putc(s, '%');
}

#define CURSOR_OF(column, id) "(extract(epoch FROM " column ")*1000000)::bigint || '~' || " id
#define AFTER(column, id)                                                                          \
    "($1::bigint=0 OR (" column "," id ") < (to_timestamp($1::bigint/1000000.0),$2::text))"

/* The state filter narrows by an index where the state is rare; the word itself is tested, too. */
/* Statements break where SQL does. */
/* clang-format off */
static const char studies_sql[] =
    "WITH page AS MATERIALIZED (SELECT u.* FROM studies u WHERE " AFTER("u.last_at", "u.study")
    " AND ($4::text IS NULL OR u.study LIKE $4 OR u.study IN (SELECT study FROM series WHERE"
    " accession LIKE $4 UNION SELECT study FROM series WHERE patient_id LIKE $4))"
    " AND ($5::text IS NULL OR (CASE $5"
    " WHEN 'receiving' THEN u.study IN (SELECT study FROM receipts WHERE state='stored')"
    " WHEN 'failed' THEN u.study IN (SELECT study FROM deliveries WHERE state IN"
    " ('failed','expired') UNION SELECT study FROM tasks WHERE state IN ('failed','expired'))"
    " WHEN 'held' THEN u.study IN (SELECT study FROM decisions WHERE jsonb_array_length(held) > 0)"
    " WHEN 'rejected' THEN u.study IN (SELECT study FROM rejected) ELSE true END"
    " AND study_state(u.study)=$5))"
    " ORDER BY u.last_at DESC,u.study DESC LIMIT $3::bigint) "
    "SELECT json_build_object('items',COALESCE((SELECT json_agg(json_build_object(" STUDY_FIELDS
    ",'seriesCount',(SELECT count(*) FROM series s WHERE s.study=u.study),'instances',(SELECT"
    " count(*) FROM receipts r WHERE r.study=u.study),'targets',(SELECT COALESCE(json_agg("
    "DISTINCT d.target),'[]') FROM deliveries d WHERE d.study=u.study)) ORDER BY u.last_at DESC,"
    "u.study DESC) FROM page u),'[]'),'next',(SELECT CASE WHEN count(*)=$3::bigint THEN (SELECT "
    CURSOR_OF("last_at", "study") " FROM page ORDER BY last_at,study LIMIT 1) END FROM page))";
/* clang-format on */

int ledger_studies(struct pg *c, struct str *out, const char *q, const char *state,
                   const struct ledger_page *page, struct err *e)
{
    struct cursor cur;
    if (parse_cursor(&cur, page, e) != 0)
        return -1;
    struct str like = STR_INIT;
    if (q && *q)
        like_prefix(&like, q);
    int rc = json_query(c, out, studies_sql, 5,
                        (const char *const[]){cur.us, cur.id, cur.limit, like.data, state}, e);
    str_free(&like);
    return rc;
}

static const char study_sql[] =
    "SELECT json_build_object(" STUDY_FIELDS ",'series',(SELECT COALESCE(json_agg(" SERIES_JSON
    ") ORDER BY s.first_at,s.series),'[]')" SERIES_FROM "WHERE s.study=u.study),"
    "'decisions',(SELECT COALESCE(json_agg(" DECISION_JSON " ORDER BY x.decided_at),'[]')"
    " FROM decisions x WHERE x.study=u.study),"
    "'tasks',(SELECT COALESCE(json_agg(" TASK_JSON " ORDER BY t.asked_at),'[]')"
    " FROM task_status t WHERE t.study=u.study),"
    "'deliveries',(SELECT COALESCE(json_agg(" DELIVERY_JSON
    " ORDER BY d.asked_at),'[]')" DELIVERY_FROM "WHERE d.study=u.study),"
    "'rejected',(SELECT COALESCE(json_agg(json_build_object('topic',j.topic,'partition',"
    "j.partition,'offset',j.\"offset\",'stage',j.stage,'error',j.error,'at',j.at)),'[]')"
    " FROM rejected j WHERE j.study=u.study))"
    " FROM studies u WHERE u.study=$1";

int ledger_study(struct pg *c, struct str *out, const char *study, struct err *e)
{
    return json_query(c, out, study_sql, 1, &study, e);
}

static const char series_sql[] =
    "SELECT json_build_object('items',json_agg(x.j)) FROM (SELECT " SERIES_JSON
    ",'decisions',(SELECT COALESCE(json_agg(" DECISION_JSON " ORDER BY x.decided_at),'[]')"
    " FROM decisions x WHERE x.study=s.study AND x.series=s.series),"
    "'deliveries',(SELECT COALESCE(json_agg(" DELIVERY_JSON
    " ORDER BY d.asked_at),'[]')" DELIVERY_FROM "WHERE d.study=s.study AND d.series=s.series),"
    "'items',(SELECT COALESCE(json_agg(i),'[]') FROM (SELECT receipt,sop,state,size,flags,"
    "stored_at AS \"storedAt\" FROM receipts r WHERE r.study=s.study AND r.series=s.series"
    " ORDER BY stored_at,receipt LIMIT 10000) i)) AS j" SERIES_FROM
    "WHERE s.series=$1 ORDER BY s.last_at DESC LIMIT 10) x HAVING count(*) > 0";

int ledger_series(struct pg *c, struct str *out, const char *series, struct err *e)
{
    return json_query(c, out, series_sql, 1, &series, e);
}

/* clang-format off */
static const char deliveries_sql[] =
    "WITH page AS MATERIALIZED (SELECT d.* FROM delivery_status d WHERE d.asked_at IS NOT NULL AND "
    AFTER("d.asked_at", "d.delivery")
    " AND ($4::text IS NULL OR d.target=$4) AND ($5::text IS NULL OR d.status=$5 OR"
    " ($5='open' AND d.state<'delivered')) AND ($6::text IS NULL OR d.study=$6)"
    " ORDER BY d.asked_at DESC,d.delivery DESC LIMIT $3::bigint) "
    "SELECT json_build_object('items',COALESCE((SELECT json_agg(" DELIVERY_JSON
    " ORDER BY d.asked_at DESC,d.delivery DESC)" DELIVERY_FROM
    "WHERE d.delivery IN (SELECT delivery FROM page)),'[]'),'next',(SELECT CASE WHEN"
    " count(*)=$3::bigint THEN (SELECT " CURSOR_OF("asked_at", "delivery")
    " FROM page ORDER BY asked_at,delivery LIMIT 1) END FROM page))";
/* clang-format on */

int ledger_deliveries(struct pg *c, struct str *out, const char *target, const char *state,
                      const char *study, const struct ledger_page *page, struct err *e)
{
    struct cursor cur;
    if (parse_cursor(&cur, page, e) != 0)
        return -1;
    return json_query(c, out, deliveries_sql, 6,
                      (const char *const[]){cur.us, cur.id, cur.limit, target, state, study}, e);
}

static const char events_sql[] =
    "SELECT json_build_object('items',COALESCE(json_agg(x ORDER BY x.seq),'[]'),'next',"
    "COALESCE(max(x.seq),$1::bigint)) FROM (SELECT seq,id,type,subject,source,at,body FROM events"
    " WHERE seq > $1::bigint ORDER BY CASE WHEN $1::bigint=0 THEN -seq ELSE seq END"
    " LIMIT $2::bigint) x";

int ledger_events(struct pg *c, struct str *out, int64_t after, int64_t limit, struct err *e)
{
    char from[24], n[24];
    limit = limit <= 0 ? LEDGER_PAGE : limit > LEDGER_PAGE_MAX ? LEDGER_PAGE_MAX : limit;
    snprintf(from, sizeof from, "%" PRId64, after);
    snprintf(n, sizeof n, "%" PRId64, limit);
    return json_query(c, out, events_sql, 2, (const char *const[]){from, n}, e);
}

/* ---- ages and balances ---- */

/* clang-format off */
static const struct {
    const char *name, *since, *from;
} states[LEDGER_STATES] = {
    [LEDGER_RECEIPT_UNDECIDED] = {"receipt-undecided", "stored_at", "receipts WHERE state='stored'"},
    [LEDGER_DECISION_WITHOUT_MEMBERS] = {"decision-without-members", "decided_at",
        "decisions WHERE members_at IS NULL AND manifest_key IS NOT NULL"},
    [LEDGER_COMMAND_UNANSWERED] = {"command-unanswered", "asked_at",
        "commands WHERE answered_at IS NULL"},
    [LEDGER_TASK_UNREQUESTED] = {"task-unrequested", "asked_at", "tasks WHERE state='asked'"},
    [LEDGER_TASK_OPEN] = {"task-open", "asked_at", "tasks WHERE state<'succeeded'"},
    [LEDGER_DELIVERY_UNREQUESTED] = {"delivery-unrequested", "asked_at",
        "deliveries WHERE state='asked'"},
    [LEDGER_DELIVERY_OPEN] = {"delivery-open", "asked_at", "deliveries WHERE state<'delivered'"},
    [LEDGER_TASK_FAILED] = {"task-failed", NULL, "task_status WHERE status IN"
        " ('failed','expired') AND state IN ('failed','expired')"},
    [LEDGER_DELIVERY_FAILED] = {"delivery-failed", NULL, "delivery_status WHERE status IN"
        " ('failed','expired') AND state IN ('failed','expired')"},
    [LEDGER_RECORD_REJECTED] = {"record-rejected", NULL, "rejected"},
    [LEDGER_MANIFEST_MISSING] = {"manifest-missing", NULL,
        "decisions WHERE members_at IS NULL AND members_error IS NOT NULL"},
};

/* Receipts that are decided and were never announced may still be on their way for a while. */
static const char balances_sql[] =
    "SELECT (SELECT count(*) FROM receipts r JOIN members y USING (receipt) JOIN decisions x USING"
    " (decision) WHERE r.study IS NULL AND x.decided_at BETWEEN now() - interval '1 day' AND"
    " now() - interval '5 minutes') + (SELECT count(*) FROM decisions x WHERE x.n IS NOT NULL AND"
    " x.members_at IS NOT NULL AND x.decided_at > now() - interval '1 day' AND NOT EXISTS"
    " (SELECT FROM members y WHERE y.decision=x.decision HAVING x.n IN (count(*),count(*)+"
    "x.left_out))),"
    "(SELECT count(*) FROM decisions x JOIN deliveries d USING (decision,manifest_key) WHERE"
    " x.members_at IS NOT NULL AND x.decided_at > now() - interval '1 day' AND d.parent IS NULL"
    " AND d.members <> (SELECT count(*) FROM members y WHERE y.decision=x.decision AND"
    " y.role='member')) + "
    "(SELECT count(*) FROM deliveries d WHERE d.finished_at > now() - interval '1 day' AND"
    " d.members <> COALESCE(d.delivered,0)+COALESCE(d.repeated,0)+COALESCE(d.not_accepted,0)"
    "+COALESCE(d.failed,0)+COALESCE(d.cancelled,0))";
/* clang-format on */

const char *ledger_state_name(enum ledger_state s)
{
    return states[s].name;
}

int ledger_ages(struct pg *c, struct ledger_ages *out, struct err *e)
{
    struct pg_result *r;
    struct str sql = STR_INIT;
    for (size_t i = 0; i < LEDGER_STATES; i++)
        str_printf(&sql, "%sSELECT %zu,count(*),extract(epoch FROM now()-min(%s)) FROM %s",
                   i ? " UNION ALL " : "", i, states[i].since ? states[i].since : "now()",
                   states[i].from);
    str_puts(&sql, " ORDER BY 1");
    int rc = pg_query(c, &r, str_cstr(&sql), 0, NULL, e);
    str_free(&sql);
    if (rc)
        return -1;
    for (int i = 0; i < LEDGER_STATES; i++) {
        const char *age = pg_value(r, i, 2);
        double seconds = age ? strtod(age, NULL) : 0;
        out->of[i].n = pg_int(r, i, 1, 0);
        out->of[i].age = seconds > 0 ? seconds : 0;
    }
    pg_result_free(r);
    return 0;
}

int ledger_balances(struct pg *c, struct ledger_balances *out, struct err *e)
{
    struct pg_result *r;
    if (pg_query(c, &r, balances_sql, 0, NULL, e) != 0)
        return -1;
    *out = (struct ledger_balances){pg_int(r, 0, 0, 0), pg_int(r, 0, 1, 0)};
    pg_result_free(r);
    return 0;
}
