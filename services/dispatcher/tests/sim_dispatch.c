/*
 * The dispatcher's core against a log that misbehaves, by seed: owners that crash between any two
 * steps, zombies that go on after their partition was given away, requests that come twice, targets
 * that lose answers, refuse or are away, people who cancel, retry and restart, deliveries that
 * expire, a log whose clock jumps both ways. (The log keeps its end: `delivery` is flushed before
 * it is acknowledged.) SEEDS=n runs more, SEED=n prints one schedule.
 *
 * Invariants: every request ends in exactly one valid delivery.finished; what it says is what the
 * members say; a member is never sent again by an owner that had read its outcome; no ended id is
 * attempted again; nothing is cancelled that nobody cancelled, or expires that cannot; the floor
 * never passes open work; a restart sends nothing that its parent is known to have delivered, and
 * when it ends well every member of the manifest has arrived.
 */
#include "testkit/testkit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatcher/dispatch.h"
#include "event/claims.h"
#include "event/positions.h"

#define DELIVERIES  6
#define RESTARTS    2 /* of each: one after the other */
#define ALL         (DELIVERIES * (1 + RESTARTS))
#define MEMBERS_MAX 7
#define STEPS       400
#define OWNERS      3
#define START_MS    1700000000000
#define EXPIRE_MS   30000 /* in some seeds */
#define JUMP_MS     30000

/* Planted faults, which the simulator must find. */
enum plant {
    PLANT_NONE,
    PLANT_FORGET_ENDED,
    PLANT_EARLY_FLOOR,
    PLANT_NO_CLAIM,
    PLANT_RESEND_ALL,
    PLANT_RESTART_ALL,
    PLANT_RESTART_LITTLE,
    PLANTS
};

struct entry {
    enum event_type type;
    int64_t claim, timestamp;
    bool is_void;
    char *text;
    size_t n;
    const struct event *event; /* of text; NULL: nobody has read it yet */
};

struct owner {
    struct dispatch *core;
    int64_t claim, read; /* next offset to read */
    int64_t ahead;       /* log time at the claim - own clock then */
    /* the attempt under way, one at a time */
    char running[40];
    int64_t attempt, sent; /* next member */
    int64_t known;         /* how far it had read when the attempt began */
    struct event_member_outcome pending[MEMBERS_MAX];
    size_t n_pending;
    uint8_t states[MEMBERS_MAX];
};

struct truth { /* of one delivery; its restarts stand DELIVERIES further, one after the other */
    char id[40];
    int members;                 /* of the manifest */
    int asked;                   /* … of these */
    char positions[64];          /* which; "": all */
    int64_t requested, finished; /* offsets; -1 */
    int outcome;
    bool cancelled;                /* somebody asked for it */
    int64_t recorded[MEMBERS_MAX]; /* offset of the first outcome other than open; -1 */
    bool arrived[MEMBERS_MAX];     /* the log says so */
    bool proven[MEMBERS_MAX];      /* of a restart: the ledger said so of its parent */
};

static long ends[OUTCOME_EXPIRED + 1], restarts; /* of all runs */

struct world {
    uint64_t random;
    enum plant plant;
    bool print;
    VEC(struct entry) log;
    struct owner owners[OWNERS];
    int owner; /* who the group says */
    int64_t now, skew; /* own clocks; log time is now + skew */
    int64_t committed, expire_ms;
    struct truth deliveries[ALL];
    struct claims claims;
    const char *violation;
    struct arena *arena, *events; /* of a moment; of the whole run */
};

static uint32_t dice(struct world *w, uint32_t n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % n;
}

static void violate(struct world *w, const char *what)
{
    if (!w->violation)
        w->violation = what;
}

static void say(const struct world *w, const char *what, const char *id, int64_t n)
{
    if (w->print)
        printf("%6zu %-12s %s %lld\n", w->log.n, what, id, (long long)n);
}

static struct truth *truth_of(struct world *w, const char *id)
{
    for (int i = 0; i < ALL; i++)
        if (strcmp(w->deliveries[i].id, id) == 0)
            return &w->deliveries[i];
    return NULL;
}

/* ---- the log ---- */

/* A delivery has ended well: with those before it, everything is there. */
static void check_arrived(struct world *w, int i)
{
    for (int m = 0; m < w->deliveries[i].members; m++) {
        bool arrived = false;
        for (int k = i; k >= 0; k -= DELIVERIES)
            arrived |= w->deliveries[k].arrived[m];
        if (!arrived)
            violate(w, "ended well, and a member has not arrived");
    }
}

static void check_finished(struct world *w, const struct event *ev)
{
    struct truth *t = truth_of(w, ev->finished.delivery);
    const struct event_delivery_finished *f = &ev->finished;
    if (t->finished >= 0)
        violate(w, "two valid ends of one delivery");
    t->finished = (int64_t)w->log.n;
    t->outcome = f->outcome;
    ends[f->outcome]++;
    if (f->outcome == OUTCOME_DELIVERED)
        check_arrived(w, (int)(t - w->deliveries));
    if (f->outcome == OUTCOME_CANCELLED && !t->cancelled)
        violate(w, "cancelled by nobody");
    if (f->outcome == OUTCOME_EXPIRED && !w->expire_ms)
        violate(w, "expired without a limit");
    if (f->delivered + f->repeated + f->not_accepted + f->failed + f->cancelled != t->asked)
        violate(w, "the end does not account for every member");
}

static void append(struct world *w, enum event_type type, int64_t claim, const char *text, size_t n)
{
    struct entry x = {type, claim, w->now + w->skew, false, mem_strndup(text, n), n, NULL};
    x.is_void =
        claims_void(&w->claims, type, (int64_t)w->log.n, claim) && w->plant != PLANT_NO_CLAIM;
    if (type == EVENT_DELIVERY_FINISHED && !x.is_void) {
        struct event ev;
        struct err e = {0};
        arena_reset(w->arena);
        if (event_decode(&ev, text, n, w->arena, &e) == 0)
            check_finished(w, &ev);
    }
    *vec_push(&w->log) = x;
    w->now += 1 + dice(w, 50);
}

static void append_event(struct world *w, const struct event *ev)
{
    struct event full = *ev;
    struct str text = STR_INIT;
    struct err e = {0};
    char time[CLOCK_RFC3339];
    full.source = "/talaria/sim/dispatcher/1";
    full.time = clock_rfc3339(time, w->now);
    if (!full.id)
        full.id = "sim";
    if (event_encode(&text, &full, &e))
        fail_msg("%s", e.text);
    append(w, ev->type, -1, text.data, text.len);
    str_free(&text);
}

static void append_outputs(struct world *w, struct outputs *out, bool crash)
{
    size_t n = crash ? dice(w, (uint32_t)out->records.n + 1) : out->records.n;
    for (size_t i = 0; i < n; i++) {
        const struct output_record *r = &out->records.items[i];
        append(w, r->type, r->claim, r->value.data, r->value.len);
    }
    outputs_free(out);
}

static void request(struct world *w, int i)
{
    struct truth *t = &w->deliveries[i];
    struct event ev = {.type = EVENT_DELIVERY_REQUESTED,
                       .requested = {.delivery = t->id,
                                     .decision = "d",
                                     .target = i % DELIVERIES % 2 ? "pacs" : "archive",
                                     .study = "1.2",
                                     .manifest = {"manifests/m.json", "00"},
                                     .members = t->asked,
                                     .positions = *t->positions ? t->positions : NULL}};
    if (t->requested < 0)
        t->requested = (int64_t)w->log.n;
    say(w, "request", t->id, t->asked);
    append_event(w, &ev);
}

/* Of a restart only a repetition: how one begins is another matter. */
static void request_again(struct world *w, int i)
{
    if (i < DELIVERIES || w->deliveries[i].requested >= 0)
        request(w, i);
}

static bool ended_well(const struct world *w, int state)
{
    return state == MEMBER_DELIVERED || state == MEMBER_REPEATED ||
           (w->plant == PLANT_RESTART_LITTLE && state == MEMBER_OPEN);
}

/* Which members arrived, as a ledger knows that has read the log up to here. */
static void ledger_says(struct world *w, const char *id, int64_t until, bool well[MEMBERS_MAX])
{
    for (int64_t at = 0; at < until; at++) {
        const struct entry *x = &w->log.items[at];
        struct event ev;
        struct err e = {0};
        arena_reset(w->arena);
        if (x->type != EVENT_DELIVERY_PROGRESS || event_decode(&ev, x->text, x->n, w->arena, &e) ||
            strcmp(ev.progress.delivery, id) != 0)
            continue;
        for (size_t i = 0; i < ev.progress.outcomes.n; i++) {
            const struct event_member_outcome *o =
                rows_at(struct event_member_outcome, &ev.progress.outcomes, i);
            well[o->position] |= ended_well(w, o->state);
        }
    }
}

/* What of the parent is open, as the gateway finds it. */
static void choose(const struct world *w, struct truth *t, const struct truth *parent)
{
    struct str well = STR_INIT, open = STR_INIT;
    for (int m = 0; m < t->members; m++)
        if (t->proven[m])
            str_printf(&well, "%s%d", well.len ? "," : "", m);
    t->asked = (int)positions_without(&open, *parent->positions ? parent->positions : NULL,
                                      parent->members, str_cstr(&well));
    str_copy(t->positions, sizeof t->positions, str_cstr(&open));
    if (w->plant == PLANT_RESTART_ALL) {
        t->asked = t->members;
        *t->positions = '\0';
    }
    str_free(&well);
    str_free(&open);
}

/* Somebody restarts what has ended badly, from a ledger that knows its end, and perhaps more. */
static void restart(struct world *w, int i)
{
    while (i + DELIVERIES < ALL && w->deliveries[i + DELIVERIES].requested >= 0)
        i += DELIVERIES;
    const struct truth *parent = &w->deliveries[i];
    if (i + DELIVERIES >= ALL || parent->finished < 0 || parent->outcome == OUTCOME_DELIVERED)
        return;
    struct truth *t = &w->deliveries[i + DELIVERIES];
    int64_t more = dice(w, (uint32_t)((int64_t)w->log.n - parent->finished));
    ledger_says(w, parent->id, parent->finished + 1 + more, t->proven);
    choose(w, t, parent);
    if (!t->asked)
        return;
    restarts++;
    request(w, i + DELIVERIES);
}

/* Somebody cancels, or wants to have it tried now. */
static void command(struct world *w, int i)
{
    struct truth *t = &w->deliveries[i];
    bool cancel = dice(w, 2);
    struct event ev = {.type = cancel ? EVENT_COMMAND_CANCEL : EVENT_COMMAND_RETRY,
                       .command = {.command = "c", .delivery = t->id}};
    t->cancelled |= cancel;
    say(w, cancel ? "cancel" : "retry", t->id, 0);
    append_event(w, &ev);
}

static void jump(struct world *w)
{
    w->skew = (int64_t)dice(w, 2 * JUMP_MS) - JUMP_MS;
    say(w, "jump", "", w->skew);
}

/* ---- owners ---- */

/* Log time as an owner knows it: that of its claim, and its own clock since. */
static int64_t owner_now(const struct world *w, const struct owner *o)
{
    return w->now + o->ahead;
}

static void owner_dies(struct owner *o)
{
    dispatch_free(o->core);
    memset(o, 0, sizeof *o);
}

/* What a record says; it is parsed once, however many owners read it. */
static const struct event *event_of(struct world *w, struct entry *x)
{
    if (x->event)
        return x->event;
    struct event *ev = arena_alloc(w->events, sizeof *ev);
    struct err e = {0};
    if (event_decode(ev, x->text, x->n, w->events, &e))
        fail_msg("%s", e.text);
    return x->event = ev;
}

static void owner_reads(struct world *w, struct owner *o, int64_t until)
{
    for (; o->read < until; o->read++) {
        struct entry *x = &w->log.items[o->read];
        if (x->type == EVENT_CLAIM)
            continue;
        if (w->plant == PLANT_FORGET_ENDED && x->type == EVENT_DELIVERY_FINISHED &&
            o->read < o->claim)
            continue;
        dispatch_journal(o->core, event_of(w, x), o->read, x->timestamp, o->read < o->claim,
                         x->is_void);
    }
}

static void owner_opens(struct world *w, int which)
{
    struct owner *o = &w->owners[which];
    owner_dies(o);
    o->claim = (int64_t)w->log.n;
    say(w, "claim", "", which);
    append(w, EVENT_CLAIM, -1, "", 0);
    o->ahead = w->skew;
    o->core = dispatch_new(0, o->claim, w->committed, w->expire_ms);
    owner_reads(w, o, o->claim + 1);
    dispatch_opened(o->core);
    w->owner = which;
}

static bool allows(void *arg, const char *target, const char *patient)
{
    (void)arg;
    (void)target;
    (void)patient;
    return true;
}

static int64_t three_attempts(void *arg, const struct delivery *x)
{
    (void)arg;
    (void)x;
    return 3;
}

static struct outputs fresh_outputs(const struct world *w)
{
    return (struct outputs){.source = "/talaria/sim/dispatcher/1", .now_ms = w->now};
}

static void owner_begins(struct world *w, struct owner *o)
{
    struct delivery *x = dispatch_next(o->core, owner_now(w, o), true, allows, NULL);
    if (!x)
        return;
    const struct truth *t = truth_of(w, x->id);
    if (t->finished >= 0 && t->finished < o->claim)
        violate(w, "an ended delivery is attempted again");
    str_copy(o->running, sizeof o->running, x->id);
    o->attempt = dispatch_begin(o->core, x);
    o->sent = 0;
    o->known = o->read;
    o->n_pending = 0;
    memset(o->states, MEMBER_NOT_ASKED, sizeof o->states);
    memcpy(o->states, x->states, (size_t)x->span);
    struct event ev = {.type = EVENT_DELIVERY_PROGRESS,
                       .progress = {.delivery = x->id, .attempt = o->attempt}};
    say(w, "begin", x->id, o->attempt);
    append_event(w, &ev);
}

static void owner_records(struct world *w, struct owner *o)
{
    if (!o->n_pending)
        return;
    struct event ev = {.type = EVENT_DELIVERY_PROGRESS,
                       .progress = {.delivery = o->running,
                                    .attempt = o->attempt,
                                    .outcomes = {o->pending, o->n_pending}}};
    struct truth *t = truth_of(w, o->running);
    for (size_t i = 0; i < o->n_pending; i++) {
        int64_t *first = &t->recorded[o->pending[i].position];
        if (o->pending[i].state != MEMBER_OPEN && *first < 0)
            *first = (int64_t)w->log.n;
        t->arrived[o->pending[i].position] |= o->pending[i].state == MEMBER_DELIVERED ||
                                              o->pending[i].state == MEMBER_REPEATED;
    }
    say(w, "record", o->running, (int64_t)o->n_pending);
    append_event(w, &ev);
    o->n_pending = 0;
}

/* Sends one member; its outcome waits to be recorded. */
static void owner_sends(struct world *w, struct owner *o)
{
    const struct truth *t = truth_of(w, o->running);
    int64_t i = o->sent++;
    bool open = MEMBER_STATE(o->states[i]) == MEMBER_OPEN || w->plant == PLANT_RESEND_ALL;
    if (!open)
        return;
    if (t->recorded[i] >= 0 && t->recorded[i] < o->known)
        violate(w, "a recorded member is sent again");
    if (t->proven[i])
        violate(w, "a restart sends what was delivered");
    uint32_t fate = dice(w, 10);
    int state = fate == 0 ? MEMBER_OPEN : fate == 1 ? MEMBER_FAILED : MEMBER_DELIVERED;
    if (state == MEMBER_DELIVERED && o->states[i] & MEMBER_UNKNOWN)
        state = MEMBER_REPEATED;
    o->pending[o->n_pending++] = (struct event_member_outcome){.position = i, .state = state};
    say(w, "send", o->running, i);
}

static void owner_ends(struct world *w, struct owner *o, bool crash)
{
    struct outputs out = fresh_outputs(w);
    struct err e = {0};
    struct delivery *x = dispatch_find(o->core, o->running);
    owner_records(w, o);
    struct attempt_end end = {NULL, 1, 100};
    if (x && x->phase == DELIVERY_RUNNING &&
        dispatch_attempt_ended(o->core, x, "sim", &end, owner_now(w, o), &out, &e))
        fail_msg("%s", e.text);
    say(w, "end", o->running, o->attempt);
    append_outputs(w, &out, crash);
    o->running[0] = '\0';
}

static void owner_works(struct world *w, struct owner *o, bool crash)
{
    const struct truth *t = o->running[0] ? truth_of(w, o->running) : NULL;
    if (!t)
        owner_begins(w, o);
    else if (o->sent < t->members && dice(w, 12))
        owner_sends(w, o);
    else if (o->sent < t->members)
        owner_records(w, o);
    else
        owner_ends(w, o, crash);
}

static void owner_settles(struct world *w, struct owner *o, bool crash)
{
    struct outputs out = fresh_outputs(w);
    struct err e = {0};
    dispatch_expire(o->core, owner_now(w, o), three_attempts, NULL);
    if (dispatch_settle(o->core, owner_now(w, o), three_attempts, NULL, &out, &e))
        fail_msg("%s", e.text);
    append_outputs(w, &out, crash);
}

static void check_floor(struct world *w, int64_t floor)
{
    for (int i = 0; i < ALL; i++) {
        const struct truth *t = &w->deliveries[i];
        if (t->requested >= 0 && t->requested < floor && t->finished < 0)
            violate(w, "the floor passed open work");
    }
}

static void owner_commits(struct world *w, int which)
{
    const struct owner *o = &w->owners[which];
    if (w->owner != which) /* the group refuses a commit of an older generation */
        return;
    int64_t floor = w->plant == PLANT_EARLY_FLOOR ? o->read : dispatch_floor(o->core, o->read);
    check_floor(w, floor);
    w->committed = floor;
    say(w, "commit", "", floor);
}

static void owner_step(struct world *w, int which)
{
    struct owner *o = &w->owners[which];
    bool crash = dice(w, 25) == 0;
    switch (dice(w, 6)) {
    case 0:
        owner_reads(w, o, (int64_t)w->log.n);
        break;
    case 1:
        owner_settles(w, o, crash);
        break;
    case 2:
        owner_commits(w, which);
        break;
    default:
        owner_works(w, o, crash);
    }
    if (crash) {
        say(w, "crash", "", which);
        owner_dies(o);
        if (w->owner == which)
            w->owner = -1;
    }
}

/* ---- the world ---- */

static void step(struct world *w)
{
    w->now += dice(w, 200);
    uint32_t what = dice(w, 30);
    if (what == 0)
        request_again(w, (int)dice(w, dice(w, 4) ? DELIVERIES : ALL));
    else if (what == 2 && dice(w, 4) == 0)
        command(w, (int)dice(w, dice(w, 4) ? DELIVERIES : ALL));
    else if (what == 3 && dice(w, 4) == 0)
        jump(w);
    else if (what == 4)
        restart(w, (int)dice(w, DELIVERIES));
    else if (what == 1 || w->owner < 0)
        owner_opens(w, (int)dice(w, OWNERS)); /* the one before, if another, goes on as a zombie */
    else {
        int which = dice(w, 8) ? w->owner : (int)dice(w, OWNERS);
        if (w->owners[which].core)
            owner_step(w, which);
    }
}

/* Faults stop, one owner remains: everything must end. */
static void come_to_rest(struct world *w)
{
    for (int i = 0; i < OWNERS; i++)
        owner_dies(&w->owners[i]);
    for (int i = 0; i < DELIVERIES; i++)
        request(w, i);
    owner_opens(w, 0);
    for (int i = 0; i < 3000 && !w->violation; i++) {
        w->now += 50;
        if (i % 1000 < DELIVERIES)
            restart(w, i % 1000);
        owner_reads(w, &w->owners[0], (int64_t)w->log.n);
        owner_settles(w, &w->owners[0], false);
        owner_works(w, &w->owners[0], false);
    }
    owner_reads(w, &w->owners[0], (int64_t)w->log.n);
    for (int i = 0; i < ALL; i++)
        if (w->deliveries[i].requested >= 0 && w->deliveries[i].finished < 0)
            violate(w, "a delivery never ended");
}

static const char *run(uint64_t seed, enum plant plant, bool print)
{
    struct world w = {.random = seed * 2654435761u + 1,
                      .plant = plant,
                      .print = print,
                      .owner = -1,
                      .now = START_MS,
                      .claims = CLAIMS_NONE,
                      .arena = arena_new(0),
                      .events = arena_new(0)};
    w.expire_ms = dice(&w, 3) ? 0 : EXPIRE_MS;
    for (int i = 0; i < ALL; i++) {
        struct truth *t = &w.deliveries[i];
        snprintf(t->id, sizeof t->id, "%032d", i);
        t->members = i < DELIVERIES ? 1 + (int)dice(&w, MEMBERS_MAX)
                                    : w.deliveries[i - DELIVERIES].members;
        t->asked = t->members;
        t->requested = t->finished = -1;
        memset(t->recorded, 0xff, sizeof t->recorded);
    }
    for (int i = 0; i < STEPS && !w.violation; i++)
        step(&w);
    if (!w.violation)
        come_to_rest(&w);
    for (int i = 0; i < OWNERS; i++)
        owner_dies(&w.owners[i]);
    for (size_t i = 0; i < w.log.n; i++)
        mem_free(w.log.items[i].text);
    vec_free(&w.log);
    arena_free(w.arena);
    arena_free(w.events);
    return w.violation;
}

static long from_environment(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static void every_delivery_ends_once_whatever_happens(void **state)
{
    (void)state;
    long one = from_environment("SEED", -1), seeds = from_environment("SEEDS", 300);
    if (one >= 0) {
        const char *violation = run((uint64_t)one, PLANT_NONE, true);
        if (violation)
            fail_msg("seed %ld: %s", one, violation);
        return;
    }
    for (long seed = 0; seed < seeds; seed++) {
        const char *violation = run((uint64_t)seed, PLANT_NONE, false);
        if (violation)
            fail_msg("seed %ld: %s (SEED=%ld prints its schedule)", seed,
                     run((uint64_t)seed, PLANT_NONE, true), seed);
    }
    printf("%ld seeds: %ld failed, %ld cancelled, %ld expired, %ld restarts\n", seeds,
           ends[OUTCOME_FAILED], ends[OUTCOME_CANCELLED], ends[OUTCOME_EXPIRED], restarts);
    if (seeds >= 100) /* a simulator in which nothing happens proves nothing */
        assert_true(ends[OUTCOME_FAILED] && ends[OUTCOME_CANCELLED] && ends[OUTCOME_EXPIRED] &&
                    restarts);
}

static void planted_faults_are_found(void **state)
{
    (void)state;
    static const char *const names[] = {[PLANT_FORGET_ENDED] = "ended ids forgotten",
                                        [PLANT_EARLY_FLOOR] = "floor follows the position",
                                        [PLANT_NO_CLAIM] = "claims not checked",
                                        [PLANT_RESEND_ALL] = "everything sent again",
                                        [PLANT_RESTART_ALL] = "a restart sends all",
                                        [PLANT_RESTART_LITTLE] = "a restart leaves out what is unknown"};
    for (int plant = PLANT_FORGET_ENDED; plant < PLANTS; plant++) {
        int seed = 0;
        while (seed < 300 && !run((uint64_t)seed, (enum plant)plant, false))
            seed++;
        printf("%s: found by seed %d\n", names[plant], seed);
        if (seed == 300)
            fail_msg("not found: %s", names[plant]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_delivery_ends_once_whatever_happens),
        cmocka_unit_test(planted_faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
