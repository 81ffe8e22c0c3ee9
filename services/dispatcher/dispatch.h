/*
 * The dispatcher's pure core: what is open in one partition of `delivery`, and what is to be done
 * about it. Folded from the journal (design.md §3); no I/O, no clock: now is given. One thread.
 *
 * A delivery waits, runs (an attempt is under way in some thread), settles (its end is being
 * decided from what was read back) or ends (delivery.finished is written, not yet read back). Ended
 * ids are remembered, so a repeated request is ignored.
 */
#ifndef DISPATCHER_DISPATCH_H
#define DISPATCHER_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "event/outputs.h"

struct dispatch;

enum delivery_phase {
    DELIVERY_WAITING,
    DELIVERY_RUNNING,
    DELIVERY_RECORDING, /* the attempt has ended, its record is not yet read back */
    DELIVERY_SETTLING,
    DELIVERY_ENDING,
};

/* Member states as kept: enum event_member_state, with these bits. UNKNOWN: an earlier attempt's
 * outcome is unknown, so success will be called repeated. TRIED: it was refused once with a status
 * that is worth one more try, and no more. REFUSED: the newest attempt has its answer, and it was
 * no. */
#define MEMBER_UNKNOWN     0x80
#define MEMBER_TRIED       0x40
#define MEMBER_REFUSED     0x20
#define MEMBER_STATE(byte) ((enum event_member_state)((byte)&0x1f))
/* The whole byte of a member of the manifest that is no member of this delivery. */
#define MEMBER_NOT_ASKED 0x1f

/* How many outcomes an attempt may leave unrecorded when its process dies (see dispatch_journal).
 */
#define DISPATCH_BATCH 500

/* Attempts in a row that began, recorded nothing and never ended: such a delivery ends the process
 * that works on it, and fails visibly. */
#define DISPATCH_LOST_MAX 10

#define DISPATCH_EXPIRE_MS                                                                         \
    (INT64_C(150) * 24 * 3600 * 1000) /* formats.md: before retention takes it */

struct delivery {
    const char *id, *target, *study, *patient, *manifest, *manifest_sha256;
    const char *calling_ae, *called_ae, *peer, *key;
    int64_t offset; /* of its request */
    int64_t members, next_due, not_before, not_after;
    int64_t span; /* its members' positions are below */
    int64_t attempts; /* number of the newest attempt that ended; ended: how many did */
    int64_t begun;    /* … that began */
    int64_t running;  /* … that this owner began */
    int64_t revision; /* number of the configuration that asked for it */
    int32_t ended, lost;
    int priority;
    enum delivery_phase phase;
    bool cancelled;
    bool some;       /* of the manifest's members, not all */
    char *reason;    /* why the newest attempt failed; NULL */
    uint8_t *states; /* [span] */
};

/* expire_ms: what is open for so long ends; 0 = DISPATCH_EXPIRE_MS. */
struct dispatch *dispatch_new(int32_t partition, int64_t claim, int64_t floor, int64_t expire_ms);
void dispatch_free(struct dispatch *d);

/* One record of the journal, in order. folding: it stands before our claim. */
void dispatch_journal(struct dispatch *d, const struct event *ev, int64_t offset, int64_t timestamp,
                      bool folding, bool is_void);

/* The fold is over: attempts that had begun and not ended left outcomes unknown. */
void dispatch_opened(struct dispatch *d);

/* May this target take another attempt now? patient: hash of the delivery's patient, "" if unknown
 * or if the question is about the target alone. */
typedef bool (*dispatch_allows)(void *arg, const char *target, const char *patient);
/* The next delivery to start, or NULL. Urgent before normal before off-peak (only in its hours),
 * then by offset. */
struct delivery *dispatch_next(struct dispatch *d, int64_t now, bool off_peak,
                               dispatch_allows allows, void *arg);
/* The caller starts an attempt: returns its number. */
int64_t dispatch_begin(struct dispatch *d, struct delivery *x);
/* It could not be started after all. */
void dispatch_not_begun(struct dispatch *d, struct delivery *x);
/* Did the target's newest attempt that says so find that it refuses us for good? */
bool dispatch_refused(const struct dispatch *d, const char *target);
/* A target that refuses us and that nobody asks any more: its refusal is forgotten. NULL: none. */
typedef bool (*dispatch_gone)(void *arg, const char *target);
const char *dispatch_refusal_over(struct dispatch *d, dispatch_gone gone, void *arg);
struct delivery *dispatch_find(struct dispatch *d, const char *id);

/* How an attempt went, as its thread tells it. */
struct attempt_end {
    const char *reason; /* NULL: nothing went wrong */
    int64_t open;       /* members left open */
    int64_t retry_ms;   /* pause before the next attempt */
    bool refused;       /* the target refuses us for good, as far as it knows */
};
/* The attempt has ended; all its progress is in the log (though perhaps not read back yet). Appends
 * delivery.attempted; what follows is decided when that is read back. */
int dispatch_attempt_ended(struct dispatch *d, struct delivery *x, const char *owner,
                           const struct attempt_end *end, int64_t now, struct outputs *out,
                           struct err *e) MUST_CHECK;
/* Appends what ends deliveries that are settled: the failed outcomes of what stayed open, and the
 * choice. attempts(arg, delivery): how many attempts the target's configuration grants; 0 = not
 * configured; DISPATCH_NOT_YET: the configuration known here is older than the request. */
#define DISPATCH_NOT_YET (-1)
typedef int64_t (*dispatch_attempts)(void *arg, const struct delivery *x);
int dispatch_settle(struct dispatch *d, int64_t now, dispatch_attempts attempts, void *arg,
                    struct outputs *out, struct err *e) MUST_CHECK;

/* Looks for deliveries past their time or without a target; call it every few seconds,
 * dispatch_settle ends them. */
void dispatch_expire(struct dispatch *d, int64_t now, dispatch_attempts attempts, void *arg);

/* The oldest offset still needed. */
int64_t dispatch_floor(const struct dispatch *d, int64_t position);
size_t dispatch_open(const struct dispatch *d); /* deliveries not ended */
/* Counts members by state. */
void dispatch_count(const struct delivery *x, int64_t counts[MEMBER_CANCELLED + 1]);

#endif
