/*
 * One association: who is it, which contexts, then message after message until release, abort or loss.
 * Each C-STORE is answered 0000 only after ingest says durable and announced.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "receiver/policy.h"
#include "receiver/receiver.h"

METRIC_COUNTER(received, "talaria_instances_received_total", "Instances answered 0000.", "source");
METRIC_COUNTER(refused, "talaria_instances_refused_total",
               "C-STORE requests answered with a failure.", "source,status");
METRIC_COUNTER(ended, "talaria_associations_total", "Associations by how they ended.", "outcome");
METRIC_COUNTER(rejected, "talaria_association_rejects_total", "Rejected associations.", "reason");
METRIC_HISTOGRAM(answer_seconds, "talaria_store_answer_seconds",
                 "From the last byte of a C-STORE dataset to its answer.", "",
                 metric_seconds_instance);

static void reject(struct association *a, enum dimse_reject why, const char *reason)
{
    metric_add(&rejected, 1, reason);
    log_warn("association rejected", LOG_STR("reason", reason), LOG_STR("peer", a->address),
             LOG_STR("calling_ae", a->peer.calling_ae), LOG_STR("called_ae", a->peer.called_ae));
    dimse_reject(a->dimse, why);
}

/* True if the association may go on; rejects it otherwise. */
static bool admit(struct association *a)
{
    static const char *const reasons[] = {
        [MISMATCH_NONE] = "source",          [MISMATCH_ADDRESS] = "address",
        [MISMATCH_CALLING] = "calling-ae",   [MISMATCH_CALLED] = "called-ae",
        [MISMATCH_REFUSED] = "source-refused",
    };
    struct receiver *r = a->receiver;
    char why[128];
    if (a->over_limit) {
        reject(a, DIMSE_REJECT_LIMIT, "limit");
        return false;
    }
    if (r->draining) {
        reject(a, DIMSE_REJECT_CONGESTION, "stopping");
        return false;
    }
    if (!ingest_can_store(r->ingest, why)) {
        LOG_LIMITED(LOG_LEVEL_ERROR, "cannot store", LOG_STR("why", why));
        reject(a, DIMSE_REJECT_CONGESTION, "cannot-store");
        return false;
    }
    struct config_sender sender = {a->peer.calling_ae, a->peer.called_ae, a->address,
                                   a->peer.certificate_sha256, a->peer.certificate_name};
    enum config_mismatch mismatch = MISMATCH_NONE;
    a->config = daemon_config(r->daemon);
    a->source = config_match_source(a->config, &sender, &mismatch);
    if (a->source)
        return true;
    reject(a, policy_reject(mismatch), reasons[mismatch]);
    return false;
}

static int negotiate(struct association *a, struct err *e)
{
    for (unsigned i = 0; i < dimse_contexts(a->dimse); i++) {
        const struct dimse_context *c = dimse_context(a->dimse, i);
        enum dimse_refusal why;
        const char *syntax = policy_context(c->abstract, c->syntaxes, c->n_syntaxes,
                                            (enum config_syntaxes)a->source->syntaxes, &why);
        if (syntax)
            dimse_context_accept(a->dimse, i, syntax);
        else
            dimse_context_refuse(a->dimse, i, why);
    }
    return dimse_acknowledge(a->dimse, (unsigned)a->receiver->settings->window, e);
}

static int sink(void *arg, const void *p, size_t n, bool last)
{
    (void)last;
    return ingest_write(arg, p, n);
}

static void count_answer(struct association *a, uint16_t status, const struct err *why)
{
    char text[8];
    if (status == STATUS_SUCCESS) {
        metric_add(&received, 1, a->source->name);
        return;
    }
    snprintf(text, sizeof text, "%04X", status);
    metric_add(&refused, 1, a->source->name, text);
    LOG_LIMITED(LOG_LEVEL_ERROR, "instance not stored", LOG_STR("status", text),
                LOG_STR("calling_ae", a->peer.calling_ae), LOG_STR("association", a->id),
                LOG_ERR(why));
}

static void remember(struct association *a, const struct ingest_result *result)
{
    evidence_answered(a->evidence, result->study, result->series, result->announced);
    if (!a->alive)
        return;
    pthread_mutex_lock(&a->receiver->lock);
    alive_touch(a->alive, result->study);
    pthread_mutex_unlock(&a->receiver->lock);
}

/* 0: go on with the association. */
static int store(struct association *a, const struct dimse_command *cmd, struct err *e)
{
    const struct dimse_context *context = dimse_context_by_id(a->dimse, cmd->context);
    if (!cmd->has_dataset)
        return dimse_respond(a->dimse, cmd, STATUS_CANNOT_UNDERSTAND, "no dataset", e);
    struct ingest_sender sender = {
        .association = a->id,
        .source = {a->source->name, a->source->label, a->source->site},
        .calling_ae = a->peer.calling_ae,
        .called_ae = a->peer.called_ae,
        .peer = a->address,
        .charset = a->source->charset,
    };
    struct ingest_item *item = ingest_begin(a->receiver->ingest, &sender, context->accepted,
                                            cmd->sop_class, cmd->sop);
    int sunk = 0;
    if (dimse_dataset(a->dimse, sink, item, &sunk, e)) {
        ingest_abandon(item);
        return -1;
    }
    int64_t started = clock_mono_ns();
    struct ingest_result result;
    struct err why = {0};
    ingest_finish(item, &result, &why);
    uint16_t status = policy_status(result.outcome);
    int r = dimse_respond(a->dimse, cmd, status, status ? why.text : NULL, e);
    (void)FAILPOINT("receiver.answered");
    metric_observe(&answer_seconds, (double)(clock_mono_ns() - started) / 1e9);
    count_answer(a, status, &why);
    if (r == 0 && status == STATUS_SUCCESS)
        remember(a, &result);
    return r;
}

static int serve(struct association *a, const struct dimse_command *cmd, struct err *e)
{
    if (cmd->field & 0x8000) {
        dimse_abort(a->dimse);
        return err_set(e, ERR_RETRY, 0, "peer sent a response, nothing was asked");
    }
    switch (cmd->field) {
    case DIMSE_C_ECHO_RQ:
        return dimse_respond(a->dimse, cmd, STATUS_SUCCESS, NULL, e);
    case DIMSE_C_STORE_RQ:
        return store(a, cmd, e);
    case DIMSE_C_CANCEL_RQ:
        return 0;
    default:
        return dimse_respond(a->dimse, cmd, STATUS_UNRECOGNISED_OPERATION, NULL, e);
    }
}

static enum event_association_outcome converse(struct association *a, struct err *e)
{
    for (;;) {
        struct dimse_command cmd;
        switch (dimse_next(a->dimse, &cmd, e)) {
        case DIMSE_COMMAND:
            if (serve(a, &cmd, e))
                return ASSOCIATION_LOST;
            break;
        case DIMSE_RELEASED:
            return ASSOCIATION_RELEASED;
        case DIMSE_ABORTED:
            return ASSOCIATION_ABORTED;
        case DIMSE_LOST:
            return ASSOCIATION_LOST;
        }
    }
}

static void testify(struct association *a, enum event_association_outcome outcome)
{
    struct daemon *d = a->receiver->daemon;
    struct outputs out = daemon_outputs(d);
    struct event_source source = {a->source->name, a->source->label, a->source->site};
    struct err e = {0};
    (void)FAILPOINT("receiver.ended");
    /* without it the quiet time decides, so a failure costs time, not instances */
    if (evidence_records(a->evidence, a->id, &source, outcome, &out, &e) ||
        (out.records.n && daemon_write(d, &out, &e)))
        LOG_LIMITED(LOG_LEVEL_WARN, "the end of an association was not recorded", LOG_ERR(&e));
    outputs_free(&out);
}

static void set_alive(struct association *a, struct alive *alive)
{
    pthread_mutex_lock(&a->receiver->lock);
    struct alive *before = a->alive;
    a->alive = alive;
    pthread_mutex_unlock(&a->receiver->lock);
    alive_free(before);
}

static void run_admitted(struct association *a)
{
    static const char *const outcomes[] = {"released", "aborted", "lost"};
    struct err e = {0};
    enum event_association_outcome outcome = ASSOCIATION_LOST;
    int64_t started = clock_mono_ms();
    if (a->source->completion == COMPLETION_OPEN_ASSOCIATION)
        set_alive(a, alive_new());
    if (negotiate(a, &e) == 0)
        outcome = converse(a, &e);
    set_alive(a, NULL);
    metric_add(&ended, 1, outcomes[outcome]);
    testify(a, outcome);
    struct dimse_stats stats;
    dimse_stats(a->dimse, &stats);
    log_info("association ended", LOG_STR("association", a->id), LOG_STR("peer", a->address),
             LOG_STR("calling_ae", a->peer.calling_ae), LOG_STR("called_ae", a->peer.called_ae),
             LOG_STR("source", a->source->name), LOG_STR("outcome", outcomes[outcome]),
             LOG_INT("bytes", stats.bytes_in), LOG_INT("ms", clock_mono_ms() - started),
             LOG_STR("reason", outcome == ASSOCIATION_LOST ? e.text : ""));
}

void *association_run(void *arg)
{
    struct association *a = arg;
    struct receiver *r = a->receiver;
    struct err e = {0};
    struct dimse_assoc *dimse = NULL;
    id_uuid7(a->id);
    a->evidence = evidence_new();
    int failed = dimse_accept(&dimse, a->fd, a->tls ? r->tls : NULL, &r->limits, &a->peer, &e);
    receiver_negotiated(a, dimse);
    if (failed) {
        metric_add(&ended, 1, "not-established");
        LOG_LIMITED(LOG_LEVEL_INFO, "no association came of a connection",
                    LOG_STR("peer", a->address), LOG_ERR(&e));
    } else if (admit(a)) {
        run_admitted(a);
    }
    if (a->config)
        daemon_config_release(r->daemon, a->config);
    evidence_free(a->evidence);
    receiver_association_ended(a);
    return NULL;
}
