/* Running attempts: threads, recording of outcomes, limits per target (see job.h). */
#include "dispatcher/job.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/thread.h"
#include "dispatcher/breaker.h"
#include "dispatcher/target.h"
#include "log/log.h"
#include "metrics/metrics.h"

METRIC_COUNTER(attempts_total, "talaria_dispatch_attempts_total", "Delivery attempts by outcome.",
               "target,outcome");
METRIC_COUNTER(members_total, "talaria_dispatch_members_total",
               "Members of deliveries by what became of them.", "target,state");
METRIC_GAUGE(running_now, "talaria_dispatch_running", "Attempts running now.", "");
METRIC_GAUGE(target_up, "talaria_target_up", "1 if the last attempt on the target went well.",
             "target");
METRIC_GAUGE(breaker_open, "talaria_target_breaker_open",
             "1 while the target is left alone after failed attempts.", "target");
METRIC_HISTOGRAM(attempt_seconds, "talaria_dispatch_attempt_seconds", "Duration of attempts.",
                 "target", metric_seconds_stage);

#define FLUSH_MS 200
#define LATE_MS  500 /* between looks at what is missing */

struct job {
    struct jobs *jobs;
    struct job *previous, *next;
    const struct stage_partition *stage; /* is told of the end, unless this is an orphan */
    int32_t partition;
    int64_t attempt;
    char *delivery, *target_name, *study, *patient, *manifest_key, *manifest_sha256;
    char *calling_ae, *called_ae, *peer;
    int64_t members, open; /* open: not yet reported as anything else */
    int64_t span;
    bool some;
    uint8_t *states; /* [span], as in struct delivery; of the whole manifest once that is read */
    const struct config_snapshot *config;
    const struct config_target *target;
    volatile int stop;
    struct dimse_assoc *blocked; /* under jobs.lock */
    bool ended, orphan, refused;
    char reason[256];
    int64_t retry_ms;
    /* the thread's own */
    VEC(struct event_member_outcome) outcomes;
    struct arena *texts; /* of outcomes */
    int64_t flushed_ms;
};

/* What is remembered of a target while the process lives. */
struct known_target {
    char *name;
    struct breaker breaker;
    UT_hash_handle hh;
};

struct jobs {
    struct daemon *daemon;
    struct known_target *targets;
    const struct dispatcher_settings *settings;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *all;
    int64_t running;
};

struct jobs *jobs_new(struct daemon *d, const struct dispatcher_settings *s)
{
    struct jobs *j = mem_zalloc(sizeof *j);
    j->daemon = d;
    j->settings = s;
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->changed, &attr);
    pthread_condattr_destroy(&attr);
    return j;
}

void jobs_free(struct jobs *j)
{
    if (!j)
        return;
    struct known_target *t, *next;
    HASH_ITER(hh, j->targets, t, next)
    {
        HASH_DEL(j->targets, t);
        mem_free(t->name);
        mem_free(t);
    }
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    mem_free(j);
}

static void job_free(struct job *x)
{
    char *const texts[] = {x->delivery,   x->target_name,  x->study,
                           x->patient,    x->manifest_key, x->manifest_sha256,
                           x->calling_ae, x->called_ae,    x->peer};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        mem_free(texts[i]);
    daemon_config_release(x->jobs->daemon, x->config);
    mem_free(x->states);
    vec_free(&x->outcomes);
    arena_free(x->texts);
    mem_free(x);
}

/* Caller holds the lock. */
static void unlink_job(struct job *x)
{
    *(x->previous ? &x->previous->next : &x->jobs->all) = x->next;
    if (x->next)
        x->next->previous = x->previous;
}

/* ---- limits ---- */

/* Caller holds the lock. */
static struct known_target *known(struct jobs *j, const char *name)
{
    struct known_target *t;
    HASH_FIND_STR(j->targets, name, t);
    if (!t) {
        t = mem_zalloc(sizeof *t);
        t->name = mem_strdup(name);
        HASH_ADD_KEYPTR(hh, j->targets, t->name, strlen(t->name), t);
    }
    return t;
}

bool jobs_allow(struct jobs *j, const struct config_snapshot *c, const char *target,
                const char *patient)
{
    const struct config_target *t = config_target(c, target);
    if (!t || t->paused || daemon_stopping(j->daemon))
        return false;
    int64_t on_target = 0;
    bool same_patient = false;
    pthread_mutex_lock(&j->lock);
    for (const struct job *x = j->all; x; x = x->next) {
        if (x->ended || strcmp(x->target_name, target) != 0)
            continue;
        on_target++;
        same_patient |= *patient && strcmp(x->patient, patient) == 0;
    }
    bool ok = on_target < t->associations && !same_patient && j->running < j->settings->transfers &&
              breaker_allows(&known(j, target)->breaker, clock_mono_ms(), on_target);
    pthread_mutex_unlock(&j->lock);
    return ok;
}

void jobs_hurry(struct jobs *j, const char *target)
{
    pthread_mutex_lock(&j->lock);
    known(j, target)->breaker = (struct breaker){0};
    pthread_mutex_unlock(&j->lock);
    metric_set(&breaker_open, 0, target);
}

void jobs_forget_gone(struct jobs *j, const struct config_snapshot *c)
{
    struct known_target *t, *next;
    if (strtoll(c->revision, NULL, 10) <= 0)
        return; /* none was read yet */
    pthread_mutex_lock(&j->lock);
    HASH_ITER(hh, j->targets, t, next)
    {
        if (config_target(c, t->name))
            continue;
        metric_forget(&target_up, t->name);
        metric_forget(&breaker_open, t->name);
        HASH_DEL(j->targets, t);
        mem_free(t->name);
        mem_free(t);
    }
    pthread_mutex_unlock(&j->lock);
}

/* Caller holds the lock. */
static void stop_job(struct job *x)
{
    x->stop = 1;
    if (x->blocked)
        dimse_wake(x->blocked);
}

void jobs_cancel(struct jobs *j, int32_t partition, const char *delivery)
{
    pthread_mutex_lock(&j->lock);
    for (struct job *x = j->all; x; x = x->next)
        if (x->partition == partition && !x->ended && strcmp(x->delivery, delivery) == 0)
            stop_job(x);
    pthread_mutex_unlock(&j->lock);
}

/* ---- recording ---- */

static int write_outcomes(struct job *x, struct err *e)
{
    struct outputs out = daemon_outputs(x->jobs->daemon);
    struct event ev = {.type = EVENT_DELIVERY_PROGRESS,
                       .progress = {.delivery = x->delivery,
                                    .attempt = x->attempt,
                                    .outcomes = {x->outcomes.items, x->outcomes.n}}};
    int r = outputs_event(&out, "delivery", x->partition, x->target_name, &ev, -1, e);
    if (r == 0)
        r = daemon_write(x->jobs->daemon, &out, e);
    outputs_free(&out);
    vec_clear(&x->outcomes);
    arena_reset(x->texts);
    x->flushed_ms = clock_mono_ms();
    return r;
}

static const char *const state_names[] = {"open",         "delivered", "repeated",
                                          "not-accepted", "failed",    "cancelled"};

static int report(struct transfer *t, int64_t position, enum event_member_state state,
                  int64_t status, const char *reason)
{
    struct job *x = t->owner;
    char time[CLOCK_RFC3339];
    if (state == MEMBER_DELIVERED && x->states[position] & MEMBER_UNKNOWN)
        state = MEMBER_REPEATED;
    *vec_push(&x->outcomes) =
        (struct event_member_outcome){position, (int)state, status, arena_strdup(x->texts, reason),
                                      arena_strdup(x->texts, clock_rfc3339(time, clock_wall_ms()))};
    metric_add(&members_total, 1, x->target_name, state_names[state]);
    if (state != MEMBER_OPEN)
        x->states[position] = (uint8_t)state;
    x->open -= state != MEMBER_OPEN;
    if (x->outcomes.n < DISPATCH_BATCH && clock_mono_ms() - x->flushed_ms < FLUSH_MS)
        return 0;
    struct err e = {0};
    if (write_outcomes(x, &e) == 0) {
        (void)FAILPOINT("dispatcher.recorded");
        return 0;
    }
    LOG_LIMITED(LOG_LEVEL_ERROR, "outcomes of a delivery could not be recorded", LOG_ERR(&e));
    return -1;
}

static void blocked_in(struct transfer *t, struct dimse_assoc *assoc)
{
    struct job *x = t->owner;
    pthread_mutex_lock(&x->jobs->lock);
    x->blocked = assoc;
    if (assoc && x->stop)
        dimse_wake(assoc);
    pthread_mutex_unlock(&x->jobs->lock);
}

/* ---- the attempt ---- */

/* The manifest has n members: the request asks for all of them, or for some. */
static int fit_manifest(struct job *x, int64_t n, struct err *e)
{
    if (x->some ? n < x->span : n != x->span)
        return err_set(e, ERR_REJECT, 0, "%lld members instead of %lld%s", (long long)n,
                       (long long)x->span, x->some ? " or more" : "");
    if (n > x->span) {
        x->states = mem_array(x->states, (size_t)n, 1);
        memset(x->states + x->span, MEMBER_NOT_ASKED, (size_t)(n - x->span));
        x->span = n;
    }
    return 0;
}

static int read_manifest(struct job *x, struct manifest *m, struct arena *a, struct err *e)
{
    struct str text = STR_INIT;
    char sha256[HASH_SHA256_HEX];
    struct rows_limits limits = {.bytes = MANIFEST_MAX, .elements = 5000000};
    int r = objstore_get(daemon_store(x->jobs->daemon), x->manifest_key, &text, MANIFEST_MAX, e);
    if (r == 0) {
        hash_sha256_hex(sha256, str_cstr(&text), text.len);
        if (strcmp(sha256, x->manifest_sha256) != 0)
            r = err_set(e, ERR_REJECT, 0, "the bytes are not those of the decision");
    }
    if (r == 0)
        r = rows_decode(m, &manifest_table, text.data, text.len, a, &limits, e);
    if (r == 0)
        r = fit_manifest(x, (int64_t)m->members.n, e);
    str_free(&text);
    return r ? err_wrap(e, "manifest") : 0;
}

static bool all_there(const struct transfer *t)
{
    struct err e;
    int64_t size;
    for (int64_t i = 0; i < (int64_t)t->manifest->members.n; i++)
        if (transfer_is_open(t, i) &&
            objstore_head(t->store, transfer_member(t, i)->key, &size, &e) && e.kind == ERR_REJECT)
            return false;
    return true;
}

/* Sends; what was late once more, when it is there or its time is over. */
static int send_members(struct job *x, struct transfer *t, struct err *e)
{
    const struct target_type *type = target_type_of(x->target);
    int64_t until = clock_mono_ms() + x->jobs->settings->missing_seconds * 1000;
    t->patient = true;
    int r = type->send(t, e);
    if (r || !t->late)
        return r;
    if (x->outcomes.n && write_outcomes(x, e))
        return -1;
    while (clock_mono_ms() < until && !x->stop && !all_there(t))
        clock_sleep_ms(LATE_MS, &x->stop);
    if (x->stop)
        return err_set(e, ERR_RETRY, 0, "stopped");
    t->patient = false;
    t->late = 0;
    return type->send(t, e);
}

static int attempt(struct job *x, struct err *e)
{
    struct manifest m;
    struct arena *a = arena_new(0);
    int r = read_manifest(x, &m, a, e);
    if (r == 0)
        r = write_outcomes(x, e); /* without outcomes: this attempt has begun */
    (void)FAILPOINT("dispatcher.begun");
    if (r == 0) {
        struct transfer t = {.target = x->target,
                             .delivery = x->delivery,
                             .study = x->study,
                             .calling_ae = x->calling_ae,
                             .called_ae = x->called_ae,
                             .peer = x->peer,
                             .default_calling_ae = x->jobs->settings->calling_ae,
                             .connect_ms = x->jobs->settings->connect_seconds * 1000,
                             .manifest = &m,
                             .states = x->states,
                             .store = daemon_store(x->jobs->daemon),
                             .stop = &x->stop,
                             .report = report,
                             .blocked_in = blocked_in,
                             .owner = x};
        r = send_members(x, &t, e);
        x->refused = r && t.refused;
    }
    struct err write_error = {0};
    if (x->outcomes.n && write_outcomes(x, &write_error) && r == 0) {
        *e = write_error;
        r = -1;
    }
    arena_free(a);
    return r;
}

static void log_attempt(const struct job *x, int r, int64_t started)
{
    metric_add(&attempts_total, 1, x->target_name, r ? "failed" : "done");
    metric_set(&target_up, r == 0, x->target_name);
    metric_observe(&attempt_seconds, (double)(clock_mono_ms() - started) / 1000, x->target_name);
    log_emit(r ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, NULL, "delivery attempt",
             LOG_FIELDS(LOG_STR("delivery", x->delivery), LOG_STR("target", x->target_name),
                        LOG_INT("attempt", x->attempt), LOG_INT("members", x->members),
                        LOG_STR("reason", x->reason), LOG_INT("ms", clock_mono_ms() - started)));
}

static void *job_run(void *arg)
{
    struct job *x = arg;
    struct jobs *j = x->jobs;
    struct err e = {0};
    int64_t started = clock_mono_ms(), opened = x->open;
    int r = attempt(x, &e);
    str_copy(x->reason, sizeof x->reason, r ? e.text : "");
    log_attempt(x, r, started);
    pthread_mutex_lock(&j->lock);
    metric_set(&running_now, (double)--j->running);
    struct breaker *breaker = &known(j, x->target_name)->breaker;
    if (!x->stop)
        breaker_result(breaker, r == 0 || x->open < opened, clock_mono_ms(), x->retry_ms);
    metric_set(&breaker_open, breaker->failures >= BREAKER_FAILURES, x->target_name);
    x->ended = true;
    bool orphan = x->orphan;
    if (orphan)
        unlink_job(x);
    else
        stage_wake(x->stage); /* under the lock: afterwards the partition may be closed */
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    if (orphan)
        job_free(x);
    return NULL;
}

static struct job *job_new(struct jobs *j, const struct stage_partition *p,
                           const struct delivery *y, int64_t attempt)
{
    struct job *x = mem_zalloc(sizeof *x);
    x->jobs = j;
    x->stage = p;
    x->partition = p->partition;
    x->attempt = attempt;
    x->delivery = mem_strdup(y->id);
    x->target_name = mem_strdup(y->target);
    x->study = mem_strdup(y->study);
    x->patient = mem_strdup(y->patient);
    x->manifest_key = mem_strdup(y->manifest);
    x->manifest_sha256 = mem_strdup(y->manifest_sha256);
    x->calling_ae = mem_strdup(y->calling_ae);
    x->called_ae = mem_strdup(y->called_ae);
    x->peer = mem_strdup(y->peer);
    x->members = y->members;
    x->span = y->span;
    x->some = y->some;
    x->states = mem_dup(y->states, (size_t)y->span);
    for (int64_t i = 0; i < y->span; i++)
        x->open += MEMBER_STATE(y->states[i]) == MEMBER_OPEN;
    x->texts = arena_new(0);
    x->config = daemon_config(j->daemon);
    x->target = config_target(x->config, y->target);
    x->retry_ms = x->target ? x->target->retry_seconds * 1000 : 0;
    return x;
}

int jobs_start(struct jobs *j, const struct stage_partition *p, const struct delivery *y,
               int64_t attempt, struct err *e)
{
    struct job *x = job_new(j, p, y, attempt);
    pthread_t thread;
    if (!x->target) {
        job_free(x);
        return err_set(e, ERR_RETRY, 0, "the target went away");
    }
    pthread_mutex_lock(&j->lock);
    x->next = j->all;
    if (x->next)
        x->next->previous = x;
    j->all = x;
    metric_set(&running_now, (double)++j->running);
    pthread_mutex_unlock(&j->lock);
    if (thread_start(&thread, "transfer", 0, job_run, x, e) == 0) {
        pthread_detach(thread);
        return 0;
    }
    pthread_mutex_lock(&j->lock);
    j->running--;
    unlink_job(x);
    pthread_mutex_unlock(&j->lock);
    job_free(x);
    return -1;
}

/* ---- ends ---- */

bool jobs_take_ended(struct jobs *j, int32_t partition, struct job_result *out)
{
    pthread_mutex_lock(&j->lock);
    struct job *x = j->all;
    while (x && !(x->partition == partition && x->ended && !x->orphan))
        x = x->next;
    if (x)
        unlink_job(x);
    pthread_mutex_unlock(&j->lock);
    if (!x)
        return false;
    str_copy(out->delivery, sizeof out->delivery, x->delivery);
    str_copy(out->reason, sizeof out->reason, x->reason);
    out->open = x->open;
    out->retry_ms = x->retry_ms;
    out->refused = x->refused;
    job_free(x);
    return true;
}

/* Caller holds the lock. */
static bool any_running(const struct jobs *j, int32_t partition)
{
    for (const struct job *x = j->all; x; x = x->next)
        if (x->partition == partition && !x->ended)
            return true;
    return false;
}

void jobs_abandon(struct jobs *j, int32_t partition, int64_t wait_ms)
{
    int64_t end = clock_mono_ms() + wait_ms;
    struct timespec until = {.tv_sec = end / 1000, .tv_nsec = end % 1000 * 1000000};
    struct job *x, *next;
    pthread_mutex_lock(&j->lock);
    for (x = j->all; x; x = x->next)
        if (x->partition == partition && !x->ended)
            stop_job(x);
    while (any_running(j, partition))
        if (pthread_cond_timedwait(&j->changed, &j->lock, &until))
            break;
    for (x = j->all; x; x = next) {
        next = x->next;
        if (x->partition != partition)
            continue;
        if (!x->ended) {
            x->orphan = true; /* frees itself */
            continue;
        }
        unlink_job(x);
        job_free(x);
    }
    pthread_mutex_unlock(&j->lock);
}
