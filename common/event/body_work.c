/* Bodies of the decision, task and delivery topics. */
#include "event_priv.h"

#include "base/mem.h"
#include "event/positions.h"

static const struct row manifest_rows[] = {
    ID(event_manifest_ref, "key", key),
    TEXT(event_manifest_ref, "sha256", sha256),
};
PART(part_manifest, "manifest", event_manifest_ref, manifest_rows);

static const char *const priorities[] = {"normal", "urgent", "offpeak", NULL};
static const char *const outcomes[] = {"delivered", "failed",    "cancelled",
                                       "expired",   "succeeded", NULL};
static const char *const delivery_outcomes[] = {"delivered", "failed", "cancelled", "expired",
                                                NULL};

/* ---- requests ---- */

static const struct row requested_rows[] = {
    ID(event_delivery_requested, "delivery", delivery),
    TEXT(event_delivery_requested, "parent", parent),
    TEXT(event_delivery_requested, "command", command),
    TEXT(event_delivery_requested, "decision", decision),
    TEXT(event_delivery_requested, "task", task),
    ID(event_delivery_requested, "target", target),
    TEXT(event_delivery_requested, "revision", revision),
    ID(event_delivery_requested, "study", study),
    TEXT(event_delivery_requested, "series", series),
    {"patientHash", ROW_STRING, ROW(event_delivery_requested, patient_hash),
     .help = "Keeps a patient on one association; no patient data."},
    SOURCE(event_delivery_requested),
    TEXT(event_delivery_requested, "callingAe", calling_ae),
    TEXT(event_delivery_requested, "calledAe", called_ae),
    TEXT(event_delivery_requested, "peer", peer),
    MANIFEST(event_delivery_requested),
    NUMBER(event_delivery_requested, "members", members),
    {"positions", ROW_STRING, ROW(event_delivery_requested, positions), .max = POSITIONS_TEXT,
     .check = positions_check,
     .help = "Only these members of the manifest, as 0-3,17: a restart sends what did not arrive."},
    STRINGS(event_delivery_requested, "rules", rules),
    {"priority", ROW_ENUM, ROW(event_delivery_requested, priority), .names = priorities},
    TEXT(event_delivery_requested, "notBefore", not_before),
    TEXT(event_delivery_requested, "notAfter", not_after),
};
BODY(delivery_requested, "delivery.requested", event_delivery_requested, requested_rows);

static const struct row step_rows[] = {
    ID(event_step, "module", module),
    {"settings", ROW_RAW, ROW(event_step, settings),
     .help = "JSON object, as the module reads it."},
};
static PART(part_step, "step", event_step, step_rows);

static const struct row task_rows[] = {
    ID(event_task_requested, "task", task),
    TEXT(event_task_requested, "parent", parent),
    ID(event_task_requested, "decision", decision),
    TEXT(event_task_requested, "rule", rule),
    TEXT(event_task_requested, "revision", revision),
    ID(event_task_requested, "study", study),
    TEXT(event_task_requested, "series", series),
    MANIFEST(event_task_requested),
    LIST(event_task_requested, "steps", steps, part_step),
    TEXT(event_task_requested, "persistence", persistence),
    {"priority", ROW_ENUM, ROW(event_task_requested, priority), .names = priorities},
    TEXT(event_task_requested, "notBefore", not_before),
    TEXT(event_task_requested, "notAfter", not_after),
};
BODY(task_requested, "task.requested", event_task_requested, task_rows);

/* ---- decisions ---- */

static const struct row window_rows[] = {
    POSITION(event_window, "first", first),
    POSITION(event_window, "last", last),
    TEXT(event_window, "lastReceipt", last_receipt),
    NUMBER(event_window, "n", n),
    NUMBER(event_window, "bytes", bytes),
};
static PART(part_window, "window", event_window, window_rows);

static const struct row held_rows[] = {
    ID(event_held, "rule", rule),
    TEXT(event_held, "why", why),
};
static PART(part_held, "held", event_held, held_rows);

static const char *const series_reasons[] = {"quiet", "released", "command", "cap", NULL};

static const struct row series_rows[] = {
    ID(event_series_decided, "decision", decision),
    ID(event_series_decided, "study", study),
    ID(event_series_decided, "series", series),
    {"window", ROW_OPTION, ROW(event_series_decided, window), .of = &part_window},
    TEXT(event_series_decided, "command", command),
    STRINGS(event_series_decided, "of", of),
    WORD(event_series_decided, "reason", reason, series_reasons),
    TEXT(event_series_decided, "openedAt", opened_at),
    TEXT(event_series_decided, "closedAt", closed_at),
    {"waited", ROW_NUMBER, ROW(event_series_decided, waited), .unit = "seconds"},
    MANIFEST(event_series_decided),
    PAIRS(event_series_decided, "tags", tags),
    STRINGS(event_series_decided, "conflicting", conflicting),
    SOURCE(event_series_decided),
    TEXT(event_series_decided, "callingAe", calling_ae),
    TEXT(event_series_decided, "calledAe", called_ae),
    TEXT(event_series_decided, "peer", peer),
    TEXT(event_series_decided, "forcedRule", forced_rule),
    NUMBER(event_series_decided, "addition", addition),
    TEXT(event_series_decided, "revision", revision),
    {"keep", ROW_INT, ROW(event_series_decided, keep), .unit = "seconds"},
    PAIRS(event_series_decided, "fired", fired),
    PAIRS(event_series_decided, "failed", failed),
    TEXT(event_series_decided, "discardedBy", discarded_by),
    LIST(event_series_decided, "held", held, part_held),
    STRINGS(event_series_decided, "leftOut", left_out),
    STRINGS(event_series_decided, "joined", joined),
    LIST(event_series_decided, "tasks", tasks, body_task_requested),
    LIST(event_series_decided, "deliveries", deliveries, body_delivery_requested),
};
BODY(series_decided, "series.decided", event_series_decided, series_rows);

static const char *const study_reasons[] = {
    "timeout", "required", "command", "forced-discard", "forced-proceed", "expired", NULL};

static const struct row study_rows[] = {
    ID(event_study_decided, "decision", decision),
    ID(event_study_decided, "study", study),
    ID(event_study_decided, "rule", rule),
    ID(event_study_decided, "firstMember", first_member),
    POSITION(event_study_decided, "upTo", up_to),
    WORD(event_study_decided, "reason", reason, study_reasons),
    TEXT(event_study_decided, "closedAt", closed_at),
    MANIFEST(event_study_decided),
    PAIRS(event_study_decided, "tags", tags),
    SOURCE(event_study_decided),
    TEXT(event_study_decided, "callingAe", calling_ae),
    TEXT(event_study_decided, "calledAe", called_ae),
    TEXT(event_study_decided, "peer", peer),
    TEXT(event_study_decided, "revision", revision),
    {"keep", ROW_INT, ROW(event_study_decided, keep), .unit = "seconds"},
    TEXT(event_study_decided, "discardedBy", discarded_by),
    LIST(event_study_decided, "held", held, part_held),
    LIST(event_study_decided, "tasks", tasks, body_task_requested),
    LIST(event_study_decided, "deliveries", deliveries, body_delivery_requested),
};
BODY(study_decided, "study.decided", event_study_decided, study_rows);

/* ---- tasks ---- */

static const struct row started_rows[] = {
    ID(event_task_started, "task", task),
    POSITION(event_task_started, "attempt", attempt),
    TEXT(event_task_started, "owner", owner),
};
BODY(task_started, "task.started", event_task_started, started_rows);
BODY(task_heartbeat, "task.heartbeat", event_task_started, started_rows);

static const struct row attempted_task_rows[] = {
    ID(event_task_attempted, "task", task),
    POSITION(event_task_attempted, "attempt", attempt),
    TEXT(event_task_attempted, "owner", owner),
    WORD(event_task_attempted, "outcome", outcome, outcomes),
    TEXT(event_task_attempted, "reason", reason),
    PAIRS(event_task_attempted, "exitCodes", exit_codes),
    {"result", ROW_OPTION, ROW(event_task_attempted, result), .of = &part_manifest},
    PAIRS(event_task_attempted, "usage", usage),
    TEXT(event_task_attempted, "logKey", log_key),
};
BODY(task_attempted, "task.attempted", event_task_attempted, attempted_task_rows);

static const struct row finished_task_rows[] = {
    ID(event_task_finished, "task", task),
    POSITION(event_task_finished, "attempt", attempt),
    WORD(event_task_finished, "outcome", outcome, outcomes),
    TEXT(event_task_finished, "reason", reason),
    {"result", ROW_OPTION, ROW(event_task_finished, result), .of = &part_manifest},
    {"keep", ROW_INT, ROW(event_task_finished, keep), .unit = "seconds"},
    LIST(event_task_finished, "deliveries", deliveries, body_delivery_requested),
};
BODY(task_finished, "task.finished", event_task_finished, finished_task_rows);

/* ---- deliveries ---- */

static const char *const member_states[] = {"open",   "delivered", "repeated", "not-accepted",
                                            "failed", "cancelled", NULL};

static const struct row outcome_rows[] = {
    POSITION(event_member_outcome, "position", position),
    WORD(event_member_outcome, "state", state, member_states),
    NUMBER(event_member_outcome, "status", status),
    TEXT(event_member_outcome, "reason", reason),
    TEXT(event_member_outcome, "time", time),
};
static PART(part_outcome, "memberOutcome", event_member_outcome, outcome_rows);

static const struct row progress_rows[] = {
    ID(event_delivery_progress, "delivery", delivery),
    POSITION(event_delivery_progress, "attempt", attempt),
    {"outcomes", ROW_LIST, ROW(event_delivery_progress, outcomes), ROW_REQUIRED, .max = 500,
     .of = &part_outcome},
};
BODY(delivery_progress, "delivery.progress", event_delivery_progress, progress_rows);

static const struct row attempted_rows[] = {
    ID(event_delivery_attempted, "delivery", delivery),
    POSITION(event_delivery_attempted, "attempt", attempt),
    TEXT(event_delivery_attempted, "owner", owner),
    POSITION(event_delivery_attempted, "open", open),
    TEXT(event_delivery_attempted, "reason", reason),
    TEXT(event_delivery_attempted, "nextDue", next_due),
    {"refused", ROW_BOOL, ROW(event_delivery_attempted, refused)},
};
BODY(delivery_attempted, "delivery.attempted", event_delivery_attempted, attempted_rows);

static const struct row finished_rows[] = {
    ID(event_delivery_finished, "delivery", delivery),
    WORD(event_delivery_finished, "outcome", outcome, delivery_outcomes),
    TEXT(event_delivery_finished, "reason", reason),
    NUMBER(event_delivery_finished, "delivered", delivered),
    NUMBER(event_delivery_finished, "repeated", repeated),
    NUMBER(event_delivery_finished, "notAccepted", not_accepted),
    NUMBER(event_delivery_finished, "failed", failed),
    NUMBER(event_delivery_finished, "cancelled", cancelled),
};
BODY(delivery_finished, "delivery.finished", event_delivery_finished, finished_rows);
