/* The dispatcher's core: fold, schedule, settle (see dispatch.h). */
#include "dispatcher/dispatch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "dispatcher/status.h"
#include "event/positions.h"

#define REASON_MAX  160 /* kept of the reason of a failed attempt */
#define LOOK_MS     1000

struct entry {
    struct delivery d; /* first: a struct delivery * is an entry */
    struct lane *lane;
    struct entry *previous, *next; /* in the lane, by priority and offset */
    struct entry *dirty_next;
    bool dirty;
    int64_t requested_at;
    char *strings; /* one block for all texts */
    UT_hash_handle hh;
};

/* What waits and runs for one target. */
struct lane {
    char *target;
    struct entry *head, *tail;
    int64_t idle_until; /* nothing in it can start before, unless something happens */
    bool refused;       /* the target refuses us for good; until an attempt goes well */
    UT_hash_handle hh;
};

/* An ended delivery's id, 128 bits. */
struct ended {
    uint8_t id[16];
    UT_hash_handle hh;
};

struct dispatch {
    int32_t partition;
    int64_t claim, floor, expire_ms;
    struct entry *open; /* by id */
    struct lane *lanes;
    struct ended *ended;
    struct entry *dirty;
};

struct dispatch *dispatch_new(int32_t partition, int64_t claim, int64_t floor, int64_t expire_ms)
{
    struct dispatch *d = mem_zalloc(sizeof *d);
    d->partition = partition;
    d->claim = claim;
    d->floor = floor;
    d->expire_ms = expire_ms > 0 ? expire_ms : DISPATCH_EXPIRE_MS;
    return d;
}

static void entry_free(struct entry *x)
{
    mem_free(x->strings);
    mem_free(x->d.reason);
    mem_free(x->d.states);
    mem_free(x);
}

void dispatch_free(struct dispatch *d)
{
    if (!d)
        return;
    struct entry *x, *x2;
    HASH_ITER(hh, d->open, x, x2)
    {
        HASH_DEL(d->open, x);
        entry_free(x);
    }
    struct lane *l, *l2;
    HASH_ITER(hh, d->lanes, l, l2)
    {
        HASH_DEL(d->lanes, l);
        mem_free(l->target);
        mem_free(l);
    }
    struct ended *n, *n2;
    HASH_ITER(hh, d->ended, n, n2)
    {
        HASH_DEL(d->ended, n);
        mem_free(n);
    }
    mem_free(d);
}

/* ---- ended ids ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Ids are 32 hex digits; anything else is folded into 16 bytes all the same. */
static void id_bytes(uint8_t out[16], const char *id)
{
    memset(out, 0, 16);
    for (size_t i = 0; id[i]; i++) {
        int v = hex_value(id[i]);
        out[i / 2 % 16] ^= (uint8_t)((v < 0 ? id[i] : v) << (i % 2 ? 0 : 4));
    }
}

static bool has_ended(const struct dispatch *d, const char *id)
{
    uint8_t raw[16];
    struct ended *n;
    id_bytes(raw, id);
    HASH_FIND(hh, d->ended, raw, sizeof raw, n);
    return n != NULL;
}

static void remember_ended(struct dispatch *d, const char *id)
{
    if (has_ended(d, id))
        return;
    struct ended *n = mem_zalloc(sizeof *n);
    id_bytes(n->id, id);
    HASH_ADD(hh, d->ended, id, sizeof n->id, n);
}

/* ---- lanes ---- */

static int rank(int priority)
{
    return priority == PRIORITY_URGENT ? 0 : priority == PRIORITY_NORMAL ? 1 : 2;
}

static bool goes_before(const struct entry *a, const struct entry *b)
{
    int ra = rank(a->d.priority), rb = rank(b->d.priority);
    return ra != rb ? ra < rb : a->d.offset < b->d.offset;
}

static void lane_add(struct dispatch *d, struct entry *x)
{
    struct lane *l;
    HASH_FIND_STR(d->lanes, x->d.target, l);
    if (!l) {
        l = mem_zalloc(sizeof *l);
        l->target = mem_strdup(x->d.target);
        HASH_ADD_KEYPTR(hh, d->lanes, l->target, strlen(l->target), l);
    }
    x->lane = l;
    l->idle_until = 0;
    struct entry *after = l->tail; /* requests come in order: this loop hardly ever runs */
    while (after && goes_before(x, after))
        after = after->previous;
    x->previous = after;
    x->next = after ? after->next : l->head;
    *(after ? &after->next : &l->head) = x;
    *(x->next ? &x->next->previous : &l->tail) = x;
}

static void lane_remove(struct entry *x)
{
    *(x->previous ? &x->previous->next : &x->lane->head) = x->next;
    *(x->next ? &x->next->previous : &x->lane->tail) = x->previous;
}

static void mark_dirty(struct dispatch *d, struct entry *x)
{
    if (x->dirty)
        return;
    x->dirty = true;
    x->dirty_next = d->dirty;
    d->dirty = x;
}

static void unmark_dirty(struct dispatch *d, struct entry *x)
{
    for (struct entry **p = &d->dirty; *p; p = &(*p)->dirty_next)
        if (*p == x) {
            *p = x->dirty_next;
            return;
        }
}

/* ---- fold ---- */

struct copier {
    char *at;
};

static const char *copy(struct copier *c, const char *s)
{
    if (!s)
        s = "";
    size_t n = strlen(s) + 1;
    char *to = memcpy(c->at, s, n);
    c->at += n;
    return to;
}

/* Copies what an attempt needs of the request into one block. */
static void copy_request(struct entry *x, const struct event_delivery_requested *r)
{
    const char *const texts[] = {r->delivery,     r->target,       r->study,
                                 r->patient_hash, r->manifest.key, r->manifest.sha256,
                                 r->calling_ae,   r->called_ae,    r->peer};
    size_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        total += (texts[i] ? strlen(texts[i]) : 0) + 1;
    struct copier c = {x->strings = mem_alloc(total)};
    const char **into[] = {&x->d.id,         &x->d.target,    &x->d.study,
                           &x->d.patient,    &x->d.manifest,  &x->d.manifest_sha256,
                           &x->d.calling_ae, &x->d.called_ae, &x->d.peer};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *into[i] = copy(&c, texts[i]);
    x->d.key = x->d.target;
}

/* All members of the manifest are open, or only those with these positions. */
static void open_members(struct delivery *x, const struct event_delivery_requested *r)
{
    struct positions p = positions_of(r->positions);
    x->members = r->members < 0 ? 0 : r->members > POSITIONS_END ? POSITIONS_END : r->members;
    x->some = r->positions != NULL;
    x->span = r->positions ? positions_end(r->positions) : x->members;
    x->states = mem_zalloc((size_t)x->span);
    if (r->positions)
        memset(x->states, MEMBER_NOT_ASKED, (size_t)x->span);
    while (positions_next(&p) > 0)
        memset(x->states + p.first, MEMBER_OPEN, (size_t)(p.last - p.first + 1));
}

static void requested(struct dispatch *d, const struct event_delivery_requested *r, int64_t offset,
                      int64_t timestamp)
{
    if (has_ended(d, r->delivery) || dispatch_find(d, r->delivery))
        return;
    if (offset < d->floor) { /* what lies before the floor has ended */
        remember_ended(d, r->delivery);
        return;
    }
    struct entry *x = mem_zalloc(sizeof *x);
    copy_request(x, r);
    x->d.offset = offset;
    open_members(&x->d, r);
    x->d.priority = r->priority;
    x->d.revision = r->revision ? strtoll(r->revision, NULL, 10) : 0; /* "<number>-<hash>" */
    x->d.not_before = clock_parse_rfc3339(r->not_before);
    x->d.not_after = clock_parse_rfc3339(r->not_after);
    x->requested_at = timestamp;
    HASH_ADD_KEYPTR(hh, d->open, x->d.id, strlen(x->d.id), x);
    lane_add(d, x);
    mark_dirty(d, x); /* a target that is gone, an empty manifest: settled without an attempt */
}

struct delivery *dispatch_find(struct dispatch *d, const char *id)
{
    struct entry *x;
    HASH_FIND_STR(d->open, id, x);
    return x ? &x->d : NULL;
}

bool dispatch_refused(const struct dispatch *d, const char *target)
{
    struct lane *l;
    HASH_FIND_STR(d->lanes, target, l);
    return l && l->refused;
}

const char *dispatch_refusal_over(struct dispatch *d, dispatch_gone gone, void *arg)
{
    for (struct lane *l = d->lanes; l; l = l->hh.next)
        if (l->refused && gone(arg, l->target)) {
            l->refused = false;
            return l->target;
        }
    return NULL;
}

/* Still open, as an attempt says: the answer did not come (status 0), or it was a refusal that may
 * pass. */
static uint8_t still_open(uint8_t state, int64_t status)
{
    if (MEMBER_STATE(state) != MEMBER_OPEN)
        return state;
    if (status == 0)
        return state | MEMBER_UNKNOWN;
    bool last = status <= UINT16_MAX && status_class((uint16_t)status) == STATUS_ONCE_MORE;
    return state | MEMBER_REFUSED | (last ? MEMBER_TRIED : 0);
}

/* Two owners may work on one member for a while. The better end counts, whoever reports it, and two
 * successes are two copies at the target. */
static uint8_t ended_as(uint8_t byte, enum event_member_state state)
{
    static const int strength[] = {
        [MEMBER_OPEN] = 0,         [MEMBER_CANCELLED] = 1, [MEMBER_FAILED] = 2,
        [MEMBER_NOT_ACCEPTED] = 3, [MEMBER_DELIVERED] = 4, [MEMBER_REPEATED] = 5};
    enum event_member_state before = MEMBER_STATE(byte);
    if (strength[before] >= 4 && strength[state] >= 4)
        return MEMBER_REPEATED;
    return strength[state] > strength[before] ? (uint8_t)state : byte;
}

static void progress(struct delivery *x, const struct event_delivery_progress *p)
{
    if (p->attempt > x->begun) {
        x->begun = p->attempt;
        x->lost++; /* until it says something */
        for (int64_t i = 0; i < x->span; i++)
            x->states[i] &= (uint8_t)~MEMBER_REFUSED;
    }
    if (p->outcomes.n > 0)
        x->lost = 0;
    for (size_t i = 0; i < p->outcomes.n; i++) {
        const struct event_member_outcome *o =
            rows_at(struct event_member_outcome, &p->outcomes, i);
        if (o->position < 0 || o->position >= x->span ||
            x->states[o->position] == MEMBER_NOT_ASKED)
            continue;
        uint8_t *s = &x->states[o->position];
        if (o->state == MEMBER_OPEN)
            *s = still_open(*s, o->status);
        else
            *s = ended_as(*s, (enum event_member_state)o->state);
    }
}

static void attempted(struct dispatch *d, struct delivery *x,
                      const struct event_delivery_attempted *a)
{
    if (a->attempt > x->attempts) {
        x->attempts = a->attempt;
        x->ended++;
    }
    if (a->attempt > x->begun)
        x->begun = a->attempt;
    x->lost = 0;
    if (a->refused || !a->reason || !*a->reason)
        ((struct entry *)x)->lane->refused = a->refused;
    int64_t due = clock_parse_rfc3339(a->next_due);
    x->next_due = due < 0 ? 0 : due;
    mem_free(x->reason);
    x->reason =
        a->reason && *a->reason ? mem_strndup(a->reason, strnlen(a->reason, REASON_MAX)) : NULL;
    /* an attempt of an owner before us may end while ours is under way */
    if (x->phase == DELIVERY_RUNNING || (x->phase == DELIVERY_RECORDING && a->attempt < x->running))
        return;
    x->phase = DELIVERY_SETTLING;
    mark_dirty(d, (struct entry *)x);
}

static void finished(struct dispatch *d, struct entry *x)
{
    remember_ended(d, x->d.id);
    if (x->dirty)
        unmark_dirty(d, x);
    lane_remove(x);
    HASH_DEL(d->open, x);
    entry_free(x);
}

static void command(struct dispatch *d, struct delivery *x, enum event_type type)
{
    if (type == EVENT_COMMAND_CANCEL)
        x->cancelled = true;
    else
        x->next_due = 0;
    ((struct entry *)x)->lane->idle_until = 0;
    if (x->phase == DELIVERY_WAITING)
        mark_dirty(d, (struct entry *)x);
}

static const char *delivery_of(const struct event *ev)
{
    switch (ev->type) {
    case EVENT_DELIVERY_PROGRESS:
        return ev->progress.delivery;
    case EVENT_DELIVERY_ATTEMPTED:
        return ev->attempted.delivery;
    case EVENT_DELIVERY_FINISHED:
        return ev->finished.delivery;
    case EVENT_COMMAND_CANCEL:
    case EVENT_COMMAND_RETRY:
        return ev->command.delivery;
    default:
        return NULL;
    }
}

void dispatch_journal(struct dispatch *d, const struct event *ev, int64_t offset, int64_t timestamp,
                      bool folding, bool is_void)
{
    (void)folding;
    if (is_void)
        return;
    if (ev->type == EVENT_DELIVERY_REQUESTED) {
        requested(d, &ev->requested, offset, timestamp);
        return;
    }
    const char *id = delivery_of(ev);
    struct delivery *x = id ? dispatch_find(d, id) : NULL;
    if (!x) { /* a fact about an unknown id is ignored; its end is worth remembering */
        if (id && ev->type == EVENT_DELIVERY_FINISHED)
            remember_ended(d, id);
        return;
    }
    if (ev->type == EVENT_DELIVERY_PROGRESS)
        progress(x, &ev->progress);
    else if (ev->type == EVENT_DELIVERY_ATTEMPTED)
        attempted(d, x, &ev->attempted);
    else if (ev->type == EVENT_DELIVERY_FINISHED)
        finished(d, (struct entry *)x);
    else
        command(d, x, ev->type);
}

static bool has_answer(uint8_t state)
{
    return MEMBER_STATE(state) != MEMBER_OPEN || state & MEMBER_REFUSED;
}

/* Members are sent in order and recorded in batches: of an attempt that died, those after the last
 * recorded one may have been sent. Where one before it has no answer, members travel in several
 * associations, each in order: those passed over may have been sent, too. */
static void mark_unknown(struct delivery *x)
{
    int64_t last = -1, behind = 0; /* members behind the last */
    for (int64_t i = 0; i < x->span; i++)
        if (x->states[i] != MEMBER_NOT_ASKED && has_answer(x->states[i]))
            last = i;
    for (int64_t i = 0; i < x->span && behind < DISPATCH_BATCH; i++) {
        behind += i > last && x->states[i] != MEMBER_NOT_ASKED;
        if (!has_answer(x->states[i]))
            x->states[i] |= MEMBER_UNKNOWN;
    }
}

void dispatch_opened(struct dispatch *d)
{
    for (struct entry *x = d->open; x; x = x->hh.next) {
        if (x->d.begun > x->d.attempts)
            mark_unknown(&x->d);
        mark_dirty(d, x);
    }
}

/* ---- schedule ---- */

static bool startable(const struct delivery *y, int64_t now, bool off_peak)
{
    return y->phase == DELIVERY_WAITING && !((const struct entry *)y)->dirty &&
           y->next_due <= now && y->not_before <= now &&
           (y->priority != PRIORITY_OFFPEAK || off_peak);
}

/* When an entry that cannot start now is worth another look. */
static int64_t look_again(const struct delivery *y, int64_t now)
{
    int64_t due = y->next_due > y->not_before ? y->next_due : y->not_before;
    return due > now ? due : now + LOOK_MS;
}

/* The first of the lane that may start. A lane of thousands that all wait is not walked each time.
 */
static struct delivery *first_of(struct lane *l, int64_t now, bool off_peak, dispatch_allows allows,
                                 void *arg)
{
    int64_t idle = now + LOOK_MS;
    const char *busy = ""; /* the patient that was asked for last, in vain: thousands may be his */
    if (l->idle_until > now || !l->head || !allows(arg, l->target, ""))
        return NULL;
    for (struct entry *x = l->head; x; x = x->next) {
        struct delivery *y = &x->d;
        if (!startable(y, now, off_peak)) {
            int64_t again = look_again(y, now);
            idle = again < idle ? again : idle;
            continue;
        }
        if (!*y->patient ||
            (strcmp(y->patient, busy) != 0 && allows(arg, l->target, y->patient)))
            return y;
        busy = y->patient;
        idle = now; /* its patient's turn ends at any time */
    }
    l->idle_until = idle;
    return NULL;
}

struct delivery *dispatch_next(struct dispatch *d, int64_t now, bool off_peak,
                               dispatch_allows allows, void *arg)
{
    struct delivery *x = NULL;
    for (struct lane *l = d->lanes; l && !x; l = l->hh.next)
        x = first_of(l, now, off_peak, allows, arg);
    return x;
}

int64_t dispatch_begin(struct dispatch *d, struct delivery *x)
{
    (void)d;
    x->phase = DELIVERY_RUNNING;
    x->running = (x->begun > x->attempts ? x->begun : x->attempts) + 1;
    return x->running;
}

void dispatch_not_begun(struct dispatch *d, struct delivery *x)
{
    (void)d;
    x->phase = DELIVERY_WAITING;
}

void dispatch_count(const struct delivery *x, int64_t counts[MEMBER_CANCELLED + 1])
{
    memset(counts, 0, (MEMBER_CANCELLED + 1) * sizeof *counts);
    for (int64_t i = 0; i < x->span; i++)
        if (x->states[i] != MEMBER_NOT_ASKED)
            counts[MEMBER_STATE(x->states[i])]++;
}

/* ---- what follows ---- */

int dispatch_attempt_ended(struct dispatch *d, struct delivery *x, const char *owner,
                           const struct attempt_end *end, int64_t now, struct outputs *out,
                           struct err *e)
{
    char due[CLOCK_RFC3339];
    clock_rfc3339(due, now + end->retry_ms);
    struct event ev = {.type = EVENT_DELIVERY_ATTEMPTED,
                       .attempted = {.delivery = x->id,
                                     .attempt = x->running,
                                     .owner = owner,
                                     .open = end->open,
                                     .reason = end->reason,
                                     .next_due = end->open ? due : NULL,
                                     .refused = end->refused}};
    x->phase = DELIVERY_RECORDING;
    return outputs_event(out, "delivery", d->partition, x->key, &ev, -1, e);
}

/* Gives every member that is still open this state and reason, in batches. */
static int close_members(struct dispatch *d, struct delivery *x, enum event_member_state state,
                         const char *reason, int64_t now, struct outputs *out, struct err *e)
{
    struct event_member_outcome batch[DISPATCH_BATCH];
    char time[CLOCK_RFC3339];
    size_t n = 0;
    clock_rfc3339(time, now);
    for (int64_t i = 0; i <= x->span; i++) {
        if (i < x->span && MEMBER_STATE(x->states[i]) == MEMBER_OPEN)
            batch[n++] = (struct event_member_outcome){i, (int)state, 0, reason, time};
        if (n == 0 || (n < DISPATCH_BATCH && i < x->span))
            continue;
        struct event ev = {.type = EVENT_DELIVERY_PROGRESS,
                           .progress = {x->id, x->attempts, {batch, n}}};
        if (outputs_event(out, "delivery", d->partition, x->key, &ev, -1, e))
            return -1;
        n = 0;
    }
    return 0;
}

static int put_finished(struct dispatch *d, struct delivery *x, enum event_outcome outcome,
                        enum event_member_state rest, const char *reason, struct outputs *out,
                        struct err *e)
{
    int64_t c[MEMBER_CANCELLED + 1];
    dispatch_count(x, c);
    c[rest] += c[MEMBER_OPEN];
    struct event ev = {.type = EVENT_DELIVERY_FINISHED,
                       .finished = {.delivery = x->id,
                                    .outcome = (int)outcome,
                                    .reason = reason,
                                    .delivered = c[MEMBER_DELIVERED],
                                    .repeated = c[MEMBER_REPEATED],
                                    .not_accepted = c[MEMBER_NOT_ACCEPTED],
                                    .failed = c[MEMBER_FAILED],
                                    .cancelled = c[MEMBER_CANCELLED]}};
    x->phase = DELIVERY_ENDING;
    return outputs_event(out, "delivery", d->partition, x->key, &ev, d->claim, e);
}

static int end_all(struct dispatch *d, struct delivery *x, enum event_outcome outcome,
                   enum event_member_state rest, const char *reason, int64_t now,
                   struct outputs *out, struct err *e)
{
    if (close_members(d, x, rest, reason, now, out, e))
        return -1;
    return put_finished(d, x, outcome, rest, reason, out, e);
}

static bool expired(const struct entry *x, int64_t now, int64_t expire_ms)
{
    return (x->d.not_after >= 0 && now > x->d.not_after) || now - x->requested_at > expire_ms;
}

void dispatch_expire(struct dispatch *d, int64_t now, dispatch_attempts attempts, void *arg)
{
    for (const struct lane *l = d->lanes; l; l = l->hh.next) {
        bool gone = l->head && attempts(arg, &l->head->d) == 0;
        for (struct entry *x = l->head; x; x = x->next)
            if (x->d.phase == DELIVERY_WAITING && (gone || expired(x, now, d->expire_ms)))
                mark_dirty(d, x);
    }
}

static int settle_open(struct dispatch *d, struct entry *x, int64_t now, int64_t attempts,
                       struct outputs *out, struct err *e)
{
    struct delivery *y = &x->d;
    char why[REASON_MAX + 64];
    if (y->cancelled)
        return end_all(d, y, OUTCOME_CANCELLED, MEMBER_CANCELLED, "cancelled", now, out, e);
    if (expired(x, now, d->expire_ms))
        return end_all(d, y, OUTCOME_EXPIRED, MEMBER_FAILED, "expired", now, out, e);
    if (attempts == 0)
        return end_all(d, y, OUTCOME_FAILED, MEMBER_FAILED, "the target is not configured", now,
                       out, e);
    if (attempts > 0 && y->ended >= attempts && y->phase == DELIVERY_SETTLING) {
        snprintf(why, sizeof why, "after %d attempts: %s", (int)y->ended,
                 y->reason ? y->reason : "members stayed open");
        return end_all(d, y, OUTCOME_FAILED, MEMBER_FAILED, why, now, out, e);
    }
    if (y->lost >= DISPATCH_LOST_MAX) {
        snprintf(why, sizeof why, "%d attempts in a row ended without a word", (int)y->lost);
        return end_all(d, y, OUTCOME_FAILED, MEMBER_FAILED, why, now, out, e);
    }
    y->phase = DELIVERY_WAITING;
    x->lane->idle_until = 0;
    return 0;
}

static int settle_one(struct dispatch *d, struct entry *x, int64_t now, int64_t attempts,
                      struct outputs *out, struct err *e)
{
    int64_t c[MEMBER_CANCELLED + 1];
    dispatch_count(&x->d, c);
    if (c[MEMBER_OPEN])
        return settle_open(d, x, now, attempts, out, e);
    /* all have an outcome, perhaps from an owner that died before it wrote the end */
    if (c[MEMBER_CANCELLED])
        return put_finished(d, &x->d, OUTCOME_CANCELLED, MEMBER_CANCELLED, "cancelled", out, e);
    return put_finished(d, &x->d, c[MEMBER_FAILED] ? OUTCOME_FAILED : OUTCOME_DELIVERED,
                        MEMBER_FAILED, c[MEMBER_FAILED] ? "some members failed" : NULL, out, e);
}

int dispatch_settle(struct dispatch *d, int64_t now, dispatch_attempts attempts, void *arg,
                    struct outputs *out, struct err *e)
{
    struct entry *x = d->dirty;
    d->dirty = NULL;
    while (x) {
        struct entry *next = x->dirty_next;
        x->dirty = false;
        x->dirty_next = NULL;
        bool decidable = x->d.phase == DELIVERY_WAITING || x->d.phase == DELIVERY_SETTLING;
        if (decidable && settle_one(d, x, now, attempts(arg, &x->d), out, e))
            return -1;
        x = next;
    }
    return 0;
}

int64_t dispatch_floor(const struct dispatch *d, int64_t position)
{
    int64_t floor = position;
    for (const struct entry *x = d->open; x; x = x->hh.next)
        if (x->d.offset < floor)
            floor = x->d.offset;
    return floor;
}

size_t dispatch_open(const struct dispatch *d)
{
    return HASH_COUNT(d->open);
}
