/*
 * The queries on the ledger that gateway, bookkeeper and cleaner share. Answers for people come as
 * JSON text straight from Postgres and are appended to *out; the schemas stand in
 * schemas/openapi.yaml. What is not there: ERR_REJECT, code 404. The connection is the caller's.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "pg/pg.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LEDGER_PAGE     50
#define LEDGER_PAGE_MAX 500

/* Counts and ages of everything open, problems first, targets, configuration revision. */
int ledger_status(struct pg *c, struct str *out, struct err *e) MUST_CHECK;

/* All fields may be NULL (no filter); limit 0 = LEDGER_PAGE. A cursor comes from "next" of the page
 * before; a malformed one is ERR_REJECT, code 400. */
struct ledger_page {
    const char *cursor;
    int64_t limit;
};
/* q: prefix of an accession number, patient id or StudyInstanceUID. state: a word of study_state.
 */
int ledger_studies(struct pg *c, struct str *out, const char *q, const char *state,
                   const struct ledger_page *page, struct err *e) MUST_CHECK;
/* A study with its stages, series, decisions, tasks, deliveries with reasons. */
int ledger_study(struct pg *c, struct str *out, const char *study, struct err *e) MUST_CHECK;
/* One series (a list: the same UID may stand in several studies) with its instances (≤ 10,000). */
int ledger_series(struct pg *c, struct str *out, const char *series, struct err *e) MUST_CHECK;
int ledger_deliveries(struct pg *c, struct str *out, const char *target, const char *state,
                      const char *study, const struct ledger_page *page, struct err *e) MUST_CHECK;
/* Events after a sequence number (0 = the newest `limit`), oldest first. */
int ledger_events(struct pg *c, struct str *out, int64_t after, int64_t limit,
                  struct err *e) MUST_CHECK;

/* What is open, failed or rejected: for metrics and alarms. unrequested: what a decision or result
 * asks for, of which no request was seen (part of what is open). Cheap: partial indexes only. */
enum ledger_state {
    LEDGER_RECEIPT_UNDECIDED,
    LEDGER_DECISION_WITHOUT_MEMBERS,
    LEDGER_COMMAND_UNANSWERED,
    LEDGER_TASK_UNREQUESTED,
    LEDGER_TASK_OPEN,
    LEDGER_DELIVERY_UNREQUESTED,
    LEDGER_DELIVERY_OPEN,
    LEDGER_TASK_FAILED,
    LEDGER_DELIVERY_FAILED,
    LEDGER_RECORD_REJECTED,
    LEDGER_MANIFEST_MISSING,
    LEDGER_STATES
};
const char *ledger_state_name(enum ledger_state s); /* receipt-undecided … */

struct ledger_ages {
    struct {
        int64_t n;
        double age; /* seconds, of the oldest; 0: none, or it has no age */
    } of[LEDGER_STATES];
};
int ledger_ages(struct pg *c, struct ledger_ages *out, struct err *e) MUST_CHECK;

/* What does not add up in the last 24 hours; both are 0 in a healthy ledger. receipts: decided ones
 * that were never announced, decisions whose members are not as many as their window's (one by
 * command has none: what it asks for must be as many). deliveries: those that ask for more or less
 * than the members of their decision, ended ones whose outcomes are not as many as their members.
 * Reads every member of a day. */
struct ledger_balances {
    int64_t receipts, deliveries;
};
int ledger_balances(struct pg *c, struct ledger_balances *out, struct err *e) MUST_CHECK;
/* Both balances and every open state with its count and oldest age: {"balanced":…,"balances":…,"states":…} */
int ledger_sheet(struct pg *c, struct str *out, struct err *e) MUST_CHECK;

/* ---- holds and dismissals ---- */

/* One hold as the ledger knows it, with the number of its receipts that were chosen for deletion
 * ("condemned"): those the hold came too late for. */
int ledger_hold(struct pg *c, struct str *out, const char *hold, struct err *e) MUST_CHECK;
/* All that stand, the newest first (≤ 500). */
int ledger_holds(struct pg *c, struct str *out, struct err *e) MUST_CHECK;
/* Does it stand? ERR_REJECT, 404: the ledger does not know it (yet). */
int ledger_hold_stands(struct pg *c, bool *stands, const char *hold, struct err *e) MUST_CHECK;

/* May this task, delivery or held entry ("decision" or "decision/rule") be dismissed? ERR_REJECT with
 * code 404: unknown; 409: it has not ended, or it ended well. *study (≤ 128 bytes): its study or "". */
int ledger_dismissable(struct pg *c, char study[129], const char *kind, const char *id,
                       struct err *e) MUST_CHECK;
int ledger_dismissed(struct pg *c, bool *dismissed, const char *kind, const char *id,
                     struct err *e) MUST_CHECK;

/* ---- deliveries that a person acts on ---- */

struct ledger_delivery {
    char status[16]; /* what people are shown */
    char target[80], study[129];
    bool ended;
};
/* ERR_REJECT, 404: unknown. */
int ledger_delivery(struct pg *c, struct ledger_delivery *out, const char *id,
                    struct err *e) MUST_CHECK;

/* What came of a delivery by restarts and resends, and by theirs: the one that matters most. */
enum ledger_kin { KIN_NONE, KIN_WELL, KIN_BAD, KIN_OPEN };
/* What a restart or a resend is made of. */
struct ledger_ended {
    char status[16];
    bool ended;
    bool again;   /* the child that this would make is there, by this very command */
    bool deleted; /* images of its decision are deleted, or about to be */
    enum ledger_kin kin;
    char kin_id[64], kin_status[16];
    /* Members that ended well (delivered, repeated, not accepted): as its end counts them; as its
     * members tell, and their positions. */
    int64_t counted_well, well_n;
    struct str well;
    struct str request, first; /* data of its delivery.requested; of that of its first parent */
};
/* child: the id of what command is to make. ERR_REJECT, 404: unknown. Free it in any case. */
int ledger_ended(struct pg *c, struct ledger_ended *out, const char *id, const char *child,
                 const char *command, struct err *e) MUST_CHECK;
void ledger_ended_free(struct ledger_ended *d);
/* The deliveries to a target that ended badly and were not sent again, the oldest first, at most
 * max: ids joined by newlines. */
int ledger_delivery_failures(struct pg *c, struct str *out, const char *target, int64_t max,
                             struct err *e) MUST_CHECK;

/* ---- studies that a person acts on ---- */

/* The decisions of a study's series, ids joined by newlines: these n, or those of all its windows. ERR_REJECT, 404: no
 * such study; 409: none, more than max, not all of them are of this study, or images of it were deleted. */
int ledger_decisions(struct pg *c, struct str *out, const char *study, const char *const *named,
                     size_t n, int64_t max, struct err *e) MUST_CHECK;
/* What a command was answered: {"command":…,"outcome":…,"text":…}. id: of the answer. ERR_REJECT, 404: not yet. */
int ledger_answer(struct pg *c, struct str *out, const char *id, struct err *e) MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
