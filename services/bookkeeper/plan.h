/*
 * The planner of the bookkeeper: what a record says, as rows of the ledger. Pure: no I/O, no clock;
 * the rows of one batch live in one arena. kinds.c says how the rows of each kind reach Postgres.
 */
#ifndef BOOKKEEPER_PLAN_H
#define BOOKKEEPER_PLAN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"
#include "event/claims.h"
#include "event/event.h"
#include "event/manifest.h"
#include "kafka/kafka.h"

/* In the order in which they are written, in every batch alike: with the rows of a statement sorted
 * by their key it is the order in which all bookkeepers lock, so that none waits for one that waits
 * for it. Kinds of one table stand side by side. */
enum plan_kind {
    PLAN_MEMBER,
    PLAN_RECEIPT_STATE, /* of receipts that other records name; written by PLAN_RECEIPT's statement */
    PLAN_RECEIPT,
    PLAN_ASSOCIATION,
    PLAN_DECISION,
    PLAN_TASK_ASKED,
    PLAN_TASK_REQUESTED,
    PLAN_TASK_STARTED,
    PLAN_TASK_FINISHED,
    PLAN_TASK_DISMISSED,
    PLAN_TASK_HEARTBEAT, /* takes rows without waiting: after all that wait for rows of its table */
    PLAN_DELIVERY_ASKED,
    PLAN_DELIVERY_REQUESTED,
    PLAN_DELIVERY_ATTEMPTED,
    PLAN_DELIVERY_FINISHED,
    PLAN_DELIVERY_DISMISSED,
    PLAN_DELIVERY_MEMBER,
    PLAN_DISMISSAL,
    PLAN_HOLD_SET,
    PLAN_HOLD_RELEASED,
    PLAN_COMMAND,
    PLAN_ANSWERED,
    PLAN_VOID,
    PLAN_EVENT,
    PLAN_REJECTED,
    PLAN_KINDS
};

#define PLAN_COLUMNS 32

struct plan_kind_info {
    const char *name, *columns; /* comma-separated, as the planner fills them */
    size_t n;
    const char *sql;     /* $1 … $n are text[] columns of equal length; then those of: */
    enum plan_kind with; /* a kind without a statement of its own; PLAN_MEMBER: none */
};
extern const struct plan_kind_info plan_kinds[PLAN_KINDS];

/* Kinds of one table, whose first column is its key. If a batch holds rows of several, sql ($1: the
 * keys of all) locks them sorted before the first is written, and makes those that are missing. */
struct plan_table {
    enum plan_kind first, last;
    const char *sql;
};
#define PLAN_TABLES 4
extern const struct plan_table plan_tables[PLAN_TABLES];

struct plan_row {
    const char **cells; /* as many as the kind has columns; NULL = SQL null */
};
typedef VEC(struct plan_row) plan_rows;

/* A valid decision whose manifest is to be read. */
struct plan_manifest {
    const char *decision, *key, *sha256;
    size_t row; /* of PLAN_DECISION */
};

struct plan {
    struct arena *arena;
    plan_rows rows[PLAN_KINDS];
    VEC(struct plan_manifest) manifests;
};

/* One partition as the ledger knows it, and as it will be after the batch. */
struct plan_position {
    const char *topic;
    int32_t partition;
    int64_t next;
    struct claims claims; /* of the records before next */
    bool marked; /* the record before next is known: */
    uint64_t mark;
    int64_t time;
};

void plan_init(struct plan *p);
void plan_clear(struct plan *p);
void plan_free(struct plan *p);

/* Adds the record's rows and advances *at. ERR_REJECT: not decodable (nothing was added). */
int plan_record(struct plan *p, struct plan_position *at, const struct kafka_record *r,
                struct err *e) MUST_CHECK;

/* Says in the decision's row that its members are written. */
void plan_members_read(struct plan *p, size_t row, const char *at_ms);
/* One row per member and per shadow of a manifest (or of the next part of one); at counts through
 * the parts. */
struct plan_count {
    int64_t members, duplicates, superseded;
};
void plan_members(struct plan *p, const char *decision, const struct manifest *m,
                  struct plan_count *at);

#endif
