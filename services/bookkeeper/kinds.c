/*
 * How the rows of each kind reach Postgres: one statement per kind and batch, whose parameters are
 * the columns as arrays. Statements are order-free: a row is made by whoever comes first, each kind
 * sets only its own columns, states only advance. ROWS(…) numbers the rows, because a statement may
 * touch a row only once: of two in one batch the last (or, where said, another) counts. Rows are
 * written, and so locked, sorted by their key (plan.h, plan_kind).
 */
#include "bookkeeper/plan.h"

#include "base/mem.h"

/* Statements break where SQL does. */
/* clang-format off */

/* One parameter per column: unnest($1::text[], …) WITH ORDINALITY AS u (columns, ord) */
#define U2  "unnest($1::text[],$2::text[])"
#define U4  "unnest($1::text[],$2::text[],$3::text[],$4::text[])"
#define UP4 "$1::text[],$2::text[],$3::text[],$4::text[]"
#define U3  "unnest($1::text[],$2::text[],$3::text[])"
#define U5  "unnest(" UP4 ",$5::text[])"
#define U6  "unnest(" UP4 ",$5::text[],$6::text[])"
#define UP8 UP4 ",$5::text[],$6::text[],$7::text[],$8::text[]"
#define U7  "unnest(" UP4 ",$5::text[],$6::text[],$7::text[])"
#define U8  "unnest(" UP8 ")"
#define U9  "unnest(" UP8 ",$9::text[])"
#define U10 "unnest(" UP8 ",$9::text[],$10::text[])"
#define U14                                                                                        \
    "unnest(" UP8 ",$9::text[],$10::text[],$11::text[],$12::text[],$13::text[],$14::text[])"
#define UP20                                                                                       \
    UP8 ",$9::text[],$10::text[],$11::text[],$12::text[],$13::text[],$14::text[],$15::text[],"      \
        "$16::text[],$17::text[],$18::text[],$19::text[],$20::text[]"
#define U20 "unnest(" UP20 ")"
#define U32                                                                                        \
    "unnest(" UP20 ",$21::text[],$22::text[],$23::text[],$24::text[],$25::text[],$26::text[],"      \
    "$27::text[],$28::text[],$29::text[],$30::text[],$31::text[],$32::text[])"
#define ROWS(u, columns) " FROM " u " WITH ORDINALITY AS u (" columns ",ord) "
#define MS(column) "to_timestamp(" column "::bigint / 1000.0)"
#define ALL "WITH r AS MATERIALIZED "

#define RECEIPT_COLUMNS                                                                            \
    "receipt,study,series,sop,sop_class,syntax,object_key,size,sha256,association,source,"         \
    "calling_ae,called_ae,peer,received_at,stored_at,flags,tags,partition,\"offset\""
/* $21, $22: states of receipts that other records name, whether their instance is known or not. */
static const char receipt_sql[] =
    ALL "(SELECT DISTINCT ON (receipt) receipt,study,series,sop,sop_class,syntax,object_key,"
        "size::bigint AS size,sha256,association,source,calling_ae,called_ae,peer,"
        MS("received_at") " AS received_at," MS("stored_at") " AS stored_at,flags,"
        "tags::jsonb AS tags,partition::int AS partition,\"offset\"::bigint AS \"offset\""
    ROWS(U20, RECEIPT_COLUMNS) "ORDER BY receipt, ord DESC), "
    "s AS (SELECT receipt,max(state::receipt_state) AS state FROM unnest($21::text[],$22::text[])"
    " AS u (receipt,state) GROUP BY receipt), "
    "a AS (INSERT INTO studies AS o (study,description,patient_id,first_at,last_at)"
    " SELECT study,max(tags->>'StudyDescription'),max(tags->>'PatientID'),min(stored_at),"
    "max(stored_at) FROM r GROUP BY study ORDER BY study ON CONFLICT (study) DO UPDATE SET"
    " description=COALESCE(o.description,EXCLUDED.description),"
    "patient_id=COALESCE(o.patient_id,EXCLUDED.patient_id),"
    "first_at=LEAST(o.first_at,EXCLUDED.first_at),last_at=GREATEST(o.last_at,EXCLUDED.last_at)), "
    "b AS (INSERT INTO series AS o (study,series,patient_id,accession,modality,description,source,"
    "first_at,last_at) SELECT study,series,max(tags->>'PatientID'),max(tags->>'AccessionNumber'),"
    "max(tags->>'Modality'),max(tags->>'SeriesDescription'),max(source),min(stored_at),"
    "max(stored_at) FROM r GROUP BY study,series ORDER BY study,series"
    " ON CONFLICT (study,series) DO UPDATE SET"
    " patient_id=COALESCE(o.patient_id,EXCLUDED.patient_id),"
    "accession=COALESCE(o.accession,EXCLUDED.accession),"
    "modality=COALESCE(o.modality,EXCLUDED.modality),"
    "description=COALESCE(o.description,EXCLUDED.description),"
    "source=COALESCE(o.source,EXCLUDED.source),"
    "first_at=LEAST(o.first_at,EXCLUDED.first_at),last_at=GREATEST(o.last_at,EXCLUDED.last_at)) "
    "INSERT INTO receipts AS o (" RECEIPT_COLUMNS ",state) SELECT " RECEIPT_COLUMNS
    ",COALESCE(state,'stored') FROM r FULL JOIN s USING (receipt) ORDER BY receipt"
    " ON CONFLICT (receipt) DO UPDATE SET study=COALESCE(EXCLUDED.study,o.study),"
    "series=COALESCE(EXCLUDED.series,o.series),sop=COALESCE(EXCLUDED.sop,o.sop),"
    "sop_class=COALESCE(EXCLUDED.sop_class,o.sop_class),syntax=COALESCE(EXCLUDED.syntax,o.syntax),"
    "object_key=COALESCE(EXCLUDED.object_key,o.object_key),size=COALESCE(EXCLUDED.size,o.size),"
    "sha256=COALESCE(EXCLUDED.sha256,o.sha256),"
    "association=COALESCE(EXCLUDED.association,o.association),"
    "source=COALESCE(EXCLUDED.source,o.source),"
    "calling_ae=COALESCE(EXCLUDED.calling_ae,o.calling_ae),"
    "called_ae=COALESCE(EXCLUDED.called_ae,o.called_ae),peer=COALESCE(EXCLUDED.peer,o.peer),"
    "received_at=COALESCE(EXCLUDED.received_at,o.received_at),"
    "stored_at=LEAST(o.stored_at,EXCLUDED.stored_at),flags=COALESCE(EXCLUDED.flags,o.flags),"
    "tags=COALESCE(EXCLUDED.tags,o.tags),partition=COALESCE(EXCLUDED.partition,o.partition),"
    "\"offset\"=COALESCE(EXCLUDED.\"offset\",o.\"offset\"),state=GREATEST(o.state,EXCLUDED.state)"
    " WHERE o.state < EXCLUDED.state OR (EXCLUDED.\"offset\" IS NOT NULL AND"
    " (o.partition,o.\"offset\") IS DISTINCT FROM (EXCLUDED.partition,EXCLUDED.\"offset\"))";

#define ASSOCIATION_COLUMNS "association,study,series,source,outcome,answered,ended_at"
static const char association_sql[] =
    "INSERT INTO associations (" ASSOCIATION_COLUMNS ")"
    " SELECT DISTINCT ON (association,study,series) association,study,series,source,"
    "outcome::association_outcome,answered::bigint," MS("ended_at")
    ROWS(U7, ASSOCIATION_COLUMNS) "ORDER BY association,study,series,ord DESC"
    " ON CONFLICT (association,study,series) DO UPDATE SET source=EXCLUDED.source,"
    "outcome=EXCLUDED.outcome,answered=EXCLUDED.answered,ended_at=EXCLUDED.ended_at";

#define DECISION_COLUMNS                                                                           \
    "decision,kind,study,series,command,reason,addition,first_offset,last_offset,last_receipt,n,"  \
    "bytes,left_out,opened_at,closed_at,decided_at,waited,manifest_key,manifest_sha256,tags,"      \
    "revision,"                                                                                    \
    "keep_seconds,fired,failed,discarded_by,held,joined,members_at,claim,partition,\"offset\",\"of\""
/* At most one choice of an id is valid; should the log hold two, the first is the one that counted. */
static const char decision_sql[] =
    "INSERT INTO decisions (" DECISION_COLUMNS ") SELECT DISTINCT ON (decision) decision,kind,"
    "study,series,command,reason,addition::bigint,first_offset::bigint,last_offset::bigint,"
    "last_receipt,n::bigint,bytes::bigint,left_out::bigint," MS("opened_at") "," MS("closed_at") ","
    MS("decided_at") ",waited::float8,manifest_key,manifest_sha256,tags::jsonb,revision,"
    "keep_seconds::bigint,fired::jsonb,failed::jsonb,discarded_by,held::jsonb,joined::jsonb,"
    MS("members_at") ",claim::bigint,partition::int,\"offset\"::bigint,\"of\"::jsonb"
    ROWS(U32, DECISION_COLUMNS) "ORDER BY decision,ord ON CONFLICT (decision) DO NOTHING";

#define MEMBER_COLUMNS "decision,role,position,receipt,sop,of"
static const char member_sql[] =
    "INSERT INTO members (" MEMBER_COLUMNS ") SELECT DISTINCT ON (decision,role,position) decision,"
    "role::member_role AS role,position::int AS position,receipt,sop,of::int"
    ROWS(U6, MEMBER_COLUMNS) "ORDER BY decision,role,position,ord"
    " ON CONFLICT (decision,role,position) DO NOTHING";

#define TASK_COLUMNS "task,parent,decision,rule,study,series,revision,manifest_key,steps,at"
#define TASK_SQL(word)                                                                             \
    "INSERT INTO tasks AS o (task,state,parent,decision,rule,study,series,revision,manifest_key,"  \
    "steps," word "_at) SELECT DISTINCT ON (task) task,'" word "'::task_state,parent,decision,"    \
    "rule,study,series,revision,manifest_key,steps::jsonb," MS("at") ROWS(U10, TASK_COLUMNS)       \
    "ORDER BY task,ord ON CONFLICT (task) DO UPDATE SET state=GREATEST(o.state,EXCLUDED.state),"   \
    "parent=COALESCE(o.parent,EXCLUDED.parent),decision=COALESCE(o.decision,EXCLUDED.decision),"   \
    "rule=COALESCE(o.rule,EXCLUDED.rule),study=COALESCE(o.study,EXCLUDED.study),"                  \
    "series=COALESCE(o.series,EXCLUDED.series),revision=COALESCE(o.revision,EXCLUDED.revision),"   \
    "manifest_key=COALESCE(o.manifest_key,EXCLUDED.manifest_key),"                                 \
    "steps=COALESCE(o.steps,EXCLUDED.steps)," word "_at=LEAST(o." word "_at,EXCLUDED." word "_at)"

static const char task_started_sql[] =
    "INSERT INTO tasks AS o (task,state,attempt,owner,started_at) SELECT DISTINCT ON (task) task,"
    "'started'::task_state,attempt::bigint,owner," MS("at") ROWS(U4, "task,attempt,owner,at")
    "ORDER BY task,attempt::bigint DESC ON CONFLICT (task) DO UPDATE SET"
    " state=GREATEST(o.state,EXCLUDED.state),attempt=EXCLUDED.attempt,owner=EXCLUDED.owner,"
    "started_at=EXCLUDED.started_at WHERE COALESCE(o.attempt,-1) <= EXCLUDED.attempt";

/* The last kind of its table, for it makes no row that plan_tables could lock before: it takes what
 * it gets without waiting, and nothing in the table waits after it. A task that is passed by has
 * its next heartbeat. */
static const char task_heartbeat_sql[] =
    "UPDATE tasks o SET heartbeat_at=GREATEST(o.heartbeat_at,n.at) FROM (SELECT task,max("
    MS("at") ") AS at" ROWS(U2, "task,at") "GROUP BY task) n WHERE o.task=n.task AND o.task IN"
    " (SELECT task FROM tasks WHERE task = ANY($1::text[]) FOR UPDATE SKIP LOCKED)";

#define TASK_FINISHED_COLUMNS "task,state,attempt,reason,result_key,keep_seconds,finished_at"
static const char task_finished_sql[] =
    "INSERT INTO tasks AS o (" TASK_FINISHED_COLUMNS ") SELECT DISTINCT ON (task) task,"
    "state::task_state,attempt::bigint,reason,result_key,keep_seconds::bigint," MS("finished_at")
    ROWS(U7, TASK_FINISHED_COLUMNS) "ORDER BY task,ord ON CONFLICT (task) DO UPDATE SET"
    " state=GREATEST(o.state,EXCLUDED.state),attempt=GREATEST(o.attempt,EXCLUDED.attempt),"
    "reason=EXCLUDED.reason,result_key=EXCLUDED.result_key,keep_seconds=EXCLUDED.keep_seconds,"
    "finished_at=EXCLUDED.finished_at WHERE o.finished_at IS NULL";

#define DELIVERY_COLUMNS                                                                           \
    "delivery,parent,decision,task,target,study,series,revision,manifest_key,members,rules,"       \
    "priority,request,at"
#define DELIVERY_SQL(word)                                                                         \
    "INSERT INTO deliveries AS o (delivery,state,parent,decision,task,target,study,series,"        \
    "revision,manifest_key,members,rules,priority,request," word "_at)"                            \
    " SELECT DISTINCT ON (delivery)"                                                               \
    " delivery,'" word "'::delivery_state,parent,decision,task,target,study,series,revision,"      \
    "manifest_key,members::bigint,rules,priority,request," MS("at") ROWS(U14, DELIVERY_COLUMNS)    \
    "ORDER BY delivery,ord ON CONFLICT (delivery) DO UPDATE SET"                                   \
    " state=GREATEST(o.state,EXCLUDED.state),parent=COALESCE(o.parent,EXCLUDED.parent),"           \
    "decision=COALESCE(o.decision,EXCLUDED.decision),task=COALESCE(o.task,EXCLUDED.task),"         \
    "target=COALESCE(o.target,EXCLUDED.target),study=COALESCE(o.study,EXCLUDED.study),"            \
    "series=COALESCE(o.series,EXCLUDED.series),revision=COALESCE(o.revision,EXCLUDED.revision),"   \
    "manifest_key=COALESCE(o.manifest_key,EXCLUDED.manifest_key),"                                 \
    "members=COALESCE(o.members,EXCLUDED.members),rules=COALESCE(o.rules,EXCLUDED.rules),"         \
    "priority=COALESCE(o.priority,EXCLUDED.priority),"                                             \
    "request=COALESCE(o.request,EXCLUDED.request)," word "_at=LEAST(o." word "_at,EXCLUDED." word  \
    "_at)"

/* While a member is open the newest attempt's word stands; then the better end, whoever reports it.
 * Successes of two moments are two copies at the target (the same record read again is one). */
#define DELIVERY_MEMBER_COLUMNS "delivery,position,state,attempt,status,reason,at"
#define STRENGTH(state)                                                                            \
    "array_position('{open,cancelled,failed,not-accepted,delivered,repeated}'::text[]," state ")"
#define SUCCESSES "FILTER (WHERE state IN ('delivered','repeated')) OVER same"
static const char delivery_member_sql[] =
    "INSERT INTO delivery_members AS o (" DELIVERY_MEMBER_COLUMNS ")"
    " SELECT DISTINCT ON (delivery,position::int) delivery,position::int,(CASE WHEN"
    " state='delivered' AND min(at) " SUCCESSES "<>max(at) " SUCCESSES " THEN 'repeated' ELSE state"
    " END)::member_state,attempt::bigint,status::bigint,reason," MS("at")
    ROWS(U7, DELIVERY_MEMBER_COLUMNS)
    "WINDOW same AS (PARTITION BY delivery,position::int) "
    "ORDER BY delivery,position::int," STRENGTH("state") " DESC,CASE WHEN state='open' THEN -ord"
    " ELSE ord END ON CONFLICT (delivery,position) DO UPDATE SET state=CASE WHEN o.state='delivered'"
    " THEN 'repeated' ELSE EXCLUDED.state END,attempt=EXCLUDED.attempt,"
    "status=CASE WHEN EXCLUDED.state IN ('failed','cancelled') AND EXCLUDED.status=0 THEN o.status"
    " ELSE EXCLUDED.status END,reason=EXCLUDED.reason,at=EXCLUDED.at WHERE o.state='open'"
    " OR " STRENGTH("EXCLUDED.state::text") ">" STRENGTH("o.state::text")
    " OR (o.state='delivered' AND EXCLUDED.state='delivered' AND o.at<>EXCLUDED.at)";

#define DELIVERY_ATTEMPTED_COLUMNS "delivery,attempts,open_members,attempt_reason,next_due,at"
static const char delivery_attempted_sql[] =
    "INSERT INTO deliveries AS o (delivery,state,attempts,open_members,attempt_reason,next_due,"
    "attempted_at) SELECT DISTINCT ON (delivery) delivery,'attempted'::delivery_state,"
    "attempts::bigint,open_members::bigint,attempt_reason," MS("next_due") "," MS("at")
    ROWS(U6, DELIVERY_ATTEMPTED_COLUMNS) "ORDER BY delivery,attempts::bigint DESC"
    " ON CONFLICT (delivery) DO UPDATE SET state=GREATEST(o.state,EXCLUDED.state),"
    "attempts=EXCLUDED.attempts,open_members=EXCLUDED.open_members,"
    "attempt_reason=EXCLUDED.attempt_reason,next_due=EXCLUDED.next_due,"
    "attempted_at=EXCLUDED.attempted_at WHERE o.attempts <= EXCLUDED.attempts";

#define DELIVERY_FINISHED_COLUMNS                                                                  \
    "delivery,state,reason,delivered,repeated,not_accepted,failed,cancelled,finished_at"
static const char delivery_finished_sql[] =
    "INSERT INTO deliveries AS o (" DELIVERY_FINISHED_COLUMNS ") SELECT DISTINCT ON (delivery)"
    " delivery,state::delivery_state,reason,delivered::bigint,repeated::bigint,"
    "not_accepted::bigint,failed::bigint,cancelled::bigint," MS("finished_at")
    ROWS(U9, DELIVERY_FINISHED_COLUMNS) "ORDER BY delivery,ord ON CONFLICT (delivery) DO UPDATE SET"
    " state=GREATEST(o.state,EXCLUDED.state),reason=EXCLUDED.reason,delivered=EXCLUDED.delivered,"
    "repeated=EXCLUDED.repeated,not_accepted=EXCLUDED.not_accepted,failed=EXCLUDED.failed,"
    "cancelled=EXCLUDED.cancelled,finished_at=EXCLUDED.finished_at WHERE o.finished_at IS NULL";

#define DISMISSED_SQL(table, id, type)                                                             \
    "INSERT INTO " table " AS o (" id ",state,dismissed_at) SELECT " id ",'dismissed'::" type      \
    ",min(" MS("at") ")" ROWS(U2, id ",at") "GROUP BY " id " ORDER BY " id " ON CONFLICT"          \
    " (" id ") DO UPDATE SET state='dismissed',dismissed_at=LEAST(o.dismissed_at,EXCLUDED.dismissed_at)"

#define DISMISSAL_COLUMNS "kind,id,by_user,why,at"
static const char dismissal_sql[] =
    "INSERT INTO dismissals AS o (" DISMISSAL_COLUMNS ") SELECT DISTINCT ON (kind,id) kind,id,"
    "by_user,why," MS("at") ROWS(U5, DISMISSAL_COLUMNS) "ORDER BY kind,id,ord"
    " ON CONFLICT (kind,id) DO NOTHING";

/* Of a hold the newest word counts; all its records lie in one partition. */
#define HOLD_SET_COLUMNS "hold,study,receipts,by_user,why,until,set_at,set_offset"
static const char hold_set_sql[] =
    "INSERT INTO holds AS o (" HOLD_SET_COLUMNS ") SELECT DISTINCT ON (hold) hold,study,"
    "(SELECT array_agg(x) FROM jsonb_array_elements_text(receipts::jsonb) x),by_user,why,"
    MS("until") "," MS("set_at") ",set_offset::bigint" ROWS(U8, HOLD_SET_COLUMNS)
    "ORDER BY hold,set_offset::bigint DESC ON CONFLICT (hold) DO UPDATE SET study=EXCLUDED.study,"
    "receipts=EXCLUDED.receipts,by_user=EXCLUDED.by_user,why=EXCLUDED.why,until=EXCLUDED.until,"
    "set_at=EXCLUDED.set_at,set_offset=EXCLUDED.set_offset"
    " WHERE COALESCE(o.set_offset,-1) < EXCLUDED.set_offset";

#define HOLD_RELEASED_COLUMNS "hold,released_by,released_at,released_offset"
static const char hold_released_sql[] =
    "INSERT INTO holds AS o (" HOLD_RELEASED_COLUMNS ") SELECT DISTINCT ON (hold) hold,"
    "released_by," MS("released_at") ",released_offset::bigint" ROWS(U4, HOLD_RELEASED_COLUMNS)
    "ORDER BY hold,released_offset::bigint DESC ON CONFLICT (hold) DO UPDATE SET"
    " released_by=EXCLUDED.released_by,released_at=EXCLUDED.released_at,"
    "released_offset=EXCLUDED.released_offset"
    " WHERE COALESCE(o.released_offset,-1) < EXCLUDED.released_offset";

#define COMMAND_COLUMNS "command,type,study,decisions,rules,asked_at"
static const char command_sql[] =
    "INSERT INTO commands AS o (" COMMAND_COLUMNS ") SELECT DISTINCT ON (command) command,type,"
    "study,decisions::jsonb,rules::jsonb," MS("asked_at") ROWS(U6, COMMAND_COLUMNS)
    "ORDER BY command,ord ON CONFLICT (command) DO UPDATE SET type=EXCLUDED.type,"
    "study=EXCLUDED.study,decisions=EXCLUDED.decisions,rules=EXCLUDED.rules,"
    "asked_at=EXCLUDED.asked_at WHERE o.type IS NULL";

/* The first answer, as of the events: one that is given again after a crash has the same id. */
#define ANSWERED_COLUMNS "command,outcome,answered_at"
static const char answered_sql[] =
    "INSERT INTO commands AS o (" ANSWERED_COLUMNS ") SELECT DISTINCT ON (command) command,outcome,"
    MS("answered_at") ROWS(U3, ANSWERED_COLUMNS) "ORDER BY command,answered_at::bigint,ord"
    " ON CONFLICT (command) DO UPDATE SET outcome=EXCLUDED.outcome,"
    "answered_at=EXCLUDED.answered_at WHERE o.answered_at IS NULL"
    " OR o.answered_at > EXCLUDED.answered_at";

#define VOID_COLUMNS "topic,partition,\"offset\",type,id,claim,newest_claim,at"
static const char void_sql[] =
    "INSERT INTO void_choices (" VOID_COLUMNS ") SELECT topic,partition::int,\"offset\"::bigint,"
    "type,id,claim::bigint,newest_claim::bigint," MS("at") ROWS(U8, VOID_COLUMNS)
    "ORDER BY 1,2,3 ON CONFLICT DO NOTHING";

/* Numbered in the order of the log, written in that of their ids. */
#define EVENT_COLUMNS "id,type,subject,source,at,body"
static const char event_sql[] =
    "INSERT INTO events (seq," EVENT_COLUMNS ") OVERRIDING SYSTEM VALUE SELECT * FROM (SELECT"
    " nextval(pg_get_serial_sequence('events','seq')) AS seq,id,type,subject,source," MS("at")
    ",body::jsonb" ROWS(U6, EVENT_COLUMNS) "ORDER BY ord) x ORDER BY id,seq ON CONFLICT DO NOTHING";

#define REJECTED_COLUMNS "topic,partition,\"offset\",stage,claim,study,error,attempts,at"
static const char rejected_sql[] =
    "INSERT INTO rejected (" REJECTED_COLUMNS ") SELECT topic,partition::int,\"offset\"::bigint,"
    "stage,claim::bigint,study,error,attempts::bigint," MS("at") ROWS(U9, REJECTED_COLUMNS)
    "ORDER BY 1,2,3,4 ON CONFLICT DO NOTHING";

/* DO UPDATE locks a row even if its WHERE keeps it as it is. */
#define LOCK_SQL(table, id, columns, rest)                                                         \
    "INSERT INTO " table " AS o (" columns ") SELECT DISTINCT id" rest " FROM unnest($1::text[])"  \
    " AS u (id) ORDER BY id ON CONFLICT (" id ") DO UPDATE SET " id "=o." id " WHERE false"

/* clang-format on */

const struct plan_kind_info plan_kinds[PLAN_KINDS] = {
    [PLAN_MEMBER] = {"member", MEMBER_COLUMNS, 6, member_sql},
    [PLAN_RECEIPT_STATE] = {"receipt state", "receipt,state", 2, NULL},
    [PLAN_RECEIPT] = {"receipt", RECEIPT_COLUMNS, 20, receipt_sql, PLAN_RECEIPT_STATE},
    [PLAN_ASSOCIATION] = {"association", ASSOCIATION_COLUMNS, 7, association_sql},
    [PLAN_DECISION] = {"decision", DECISION_COLUMNS, 32, decision_sql},
    [PLAN_TASK_ASKED] = {"task asked", TASK_COLUMNS, 10, TASK_SQL("asked")},
    [PLAN_TASK_REQUESTED] = {"task requested", TASK_COLUMNS, 10, TASK_SQL("requested")},
    [PLAN_TASK_STARTED] = {"task started", "task,attempt,owner,at", 4, task_started_sql},
    [PLAN_TASK_FINISHED] = {"task finished", TASK_FINISHED_COLUMNS, 7, task_finished_sql},
    [PLAN_TASK_DISMISSED] = {"task dismissed", "task,at", 2,
                             DISMISSED_SQL("tasks", "task", "task_state")},
    [PLAN_TASK_HEARTBEAT] = {"task heartbeat", "task,at", 2, task_heartbeat_sql},
    [PLAN_DELIVERY_ASKED] = {"delivery asked", DELIVERY_COLUMNS, 14, DELIVERY_SQL("asked")},
    [PLAN_DELIVERY_REQUESTED] = {"delivery requested", DELIVERY_COLUMNS, 14,
                                 DELIVERY_SQL("requested")},
    [PLAN_DELIVERY_ATTEMPTED] = {"delivery attempted", DELIVERY_ATTEMPTED_COLUMNS, 6,
                                 delivery_attempted_sql},
    [PLAN_DELIVERY_FINISHED] = {"delivery finished", DELIVERY_FINISHED_COLUMNS, 9,
                                delivery_finished_sql},
    [PLAN_DELIVERY_DISMISSED] = {"delivery dismissed", "delivery,at", 2,
                                 DISMISSED_SQL("deliveries", "delivery", "delivery_state")},
    [PLAN_DELIVERY_MEMBER] = {"delivery member", DELIVERY_MEMBER_COLUMNS, 7, delivery_member_sql},
    [PLAN_DISMISSAL] = {"dismissal", DISMISSAL_COLUMNS, 5, dismissal_sql},
    [PLAN_HOLD_SET] = {"hold set", HOLD_SET_COLUMNS, 8, hold_set_sql},
    [PLAN_HOLD_RELEASED] = {"hold released", HOLD_RELEASED_COLUMNS, 4, hold_released_sql},
    [PLAN_COMMAND] = {"command", COMMAND_COLUMNS, 6, command_sql},
    [PLAN_ANSWERED] = {"command answered", ANSWERED_COLUMNS, 3, answered_sql},
    [PLAN_VOID] = {"void choice", VOID_COLUMNS, 8, void_sql},
    [PLAN_EVENT] = {"event", EVENT_COLUMNS, 6, event_sql},
    [PLAN_REJECTED] = {"rejected", REJECTED_COLUMNS, 9, rejected_sql},
};

const struct plan_table plan_tables[PLAN_TABLES] = {
    {PLAN_TASK_ASKED, PLAN_TASK_DISMISSED,
     LOCK_SQL("tasks", "task", "task,state", ",'asked'::task_state")},
    {PLAN_DELIVERY_ASKED, PLAN_DELIVERY_DISMISSED,
     LOCK_SQL("deliveries", "delivery", "delivery,state", ",'asked'::delivery_state")},
    {PLAN_HOLD_SET, PLAN_HOLD_RELEASED, LOCK_SQL("holds", "hold", "hold", "")},
    {PLAN_COMMAND, PLAN_ANSWERED, LOCK_SQL("commands", "command", "command", "")},
};
