/*
 * Targets "dicom" and "dicomtls": C-STORE to another node. Members are grouped by AE pair; each
 * group travels over as many associations as its presentation contexts need (128 each). Dataset
 * bytes go out as they came in: the stored syntax is the only one proposed. The last fragment of a
 * dataset is held back until its hash has been checked, so damaged bytes are never stored anywhere
 * as if they were good.
 */
#include <errno.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/hash.h"
#include "base/mem.h"
#include "dicom/part10.h"
#include "dispatcher/status.h"
#include "dispatcher/target.h"

#define HEAD_BYTES  (128 * 1024)
#define CHUNK_BYTES (256 * 1024)
#define RATE_BYTES  (64 * 1024) /* a second that a target must at least take, beyond its timeout */
#define REFUSALS    3           /* in a row: a target without resources is left alone until later */
#define REPEATED    3           /* answers to messages before that are read over */
#define WINDOW_MAX  64

struct ae_pair {
    char calling[DIMSE_AE], called[DIMSE_AE];
};

/* One attempt's working state. */
struct sending {
    struct transfer *t;
    int64_t n;
    bool *done;         /* per member: nothing more to do in this attempt */
    unsigned *proposal; /* per member: its proposal in the present association */
    bool *aboard;       /* per member: in the present association */
    struct dimse_proposal *proposals;
    unsigned n_proposals;
    int64_t largest; /* bytes of the largest member aboard */
    int refusals;    /* in a row */
    bool passed;     /* a member was refused, and stays open: the attempt fails, but goes on */
    struct err refusal;
    struct waiting {
        int64_t member;
        uint16_t message_id;
    } waiting[WINDOW_MAX]; /* for their answers */
    unsigned n_waiting;
    struct dimse_tls *tls; /* NULL: plain */
    struct hash *hash;
    char *buffer;
    uint16_t message_id;
};

/* ---- who speaks to whom ---- */

static const char *first_of(const char *a, const char *b)
{
    return a && *a ? a : b;
}

static const struct config_dicom_target *config_of(const struct transfer *t)
{
    return t->target->dicom ? t->target->dicom : t->target->dicomtls;
}

/* "sender" stands for the node that sent the series. */
static bool is_sender(const struct transfer *t)
{
    return strcmp(config_of(t)->host, "sender") == 0;
}

static struct ae_pair pair_of(const struct transfer *t, const struct manifest_member *m)
{
    const struct config_dicom_target *c = config_of(t);
    struct ae_pair p;
    const char *calling = c->pass_sender_ae ? first_of(m->calling_ae, t->calling_ae) : NULL;
    const char *called = c->pass_receiver_ae ? first_of(m->called_ae, t->called_ae) : NULL;
    calling = first_of(calling, first_of(c->calling_ae, t->default_calling_ae));
    const char *none = is_sender(t) ? first_of(t->calling_ae, "ANY-SCP") : "ANY-SCP";
    called = first_of(called, first_of(c->called_ae, none));
    str_copy(p.calling, sizeof p.calling, calling);
    str_copy(p.called, sizeof p.called, called);
    return p;
}

static bool same_pair(struct ae_pair a, struct ae_pair b)
{
    return strcmp(a.calling, b.calling) == 0 && strcmp(a.called, b.called) == 0;
}

static const char *host_of(const struct transfer *t)
{
    return is_sender(t) ? t->peer : config_of(t)->host;
}

/* ---- which contexts ---- */

/* The proposal for (SOP class, syntax); -1 if the association is full. */
static int proposal_for(struct sending *s, const struct manifest_member *m)
{
    for (unsigned i = 0; i < s->n_proposals; i++)
        if (strcmp(s->proposals[i].abstract, m->sop_class) == 0 &&
            strcmp(s->proposals[i].syntaxes[0], m->syntax) == 0)
            return (int)i;
    if (s->n_proposals == DIMSE_CONTEXTS)
        return -1;
    s->proposals[s->n_proposals] = (struct dimse_proposal){m->sop_class, {m->syntax}};
    return (int)s->n_proposals++;
}

/* Takes aboard all that travels with the member first. */
static void board(struct sending *s, int64_t first)
{
    struct ae_pair pair = pair_of(s->t, transfer_member(s->t, first));
    s->n_proposals = 0;
    s->largest = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const struct manifest_member *m = transfer_member(s->t, i);
        s->aboard[i] = false;
        if (i < first || s->done[i] || !same_pair(pair, pair_of(s->t, m)))
            continue;
        int p = proposal_for(s, m);
        if (p < 0)
            continue;
        s->aboard[i] = true;
        s->proposal[i] = (unsigned)p;
        if (m->size > s->largest)
            s->largest = m->size;
    }
}

/* ---- one instance ---- */

/* Streams the dataset after the Part 10 head; the last chunk only if the hash is right. */
static int stream(struct sending *s, const struct manifest_member *m, struct objstore_reader *r,
                  struct dimse_assoc *a, const struct dimse_context *context, size_t dataset,
                  bool *began, struct err *e)
{
    char sha256[HASH_SHA256_HEX];
    int64_t left = m->size - (int64_t)dataset;
    if (objstore_seek(r, (int64_t)dataset, e))
        return -1;
    hash_reset(s->hash);
    if (dimse_store_begin(a, context->id, s->message_id, m->sop_class, m->sop, 0, e))
        return -1;
    *began = true;
    while (left > 0) {
        size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, got = 0;
        while (got < want) {
            ssize_t n = objstore_read(r, s->buffer + got, want - got, e);
            if (n <= 0)
                return n < 0 ? -1
                             : err_set(e, ERR_REJECT, EIO, "the object is shorter than its size");
            got += (size_t)n;
        }
        hash_update(s->hash, s->buffer, got);
        left -= (int64_t)got;
        if (left == 0) {
            hash_hex(s->hash, sha256);
            if (strcmp(sha256, m->sha256) != 0)
                return err_set(e, ERR_REJECT, EBADMSG, "the object's bytes are not those received");
        }
        if (dimse_store_write(a, s->buffer, got, left == 0, e))
            return -1;
    }
    return 0;
}

static int next_response(struct dimse_assoc *a, struct dimse_command *rsp, struct err *e)
{
    switch (dimse_next(a, rsp, e)) {
    case DIMSE_COMMAND:
        break;
    case DIMSE_RELEASED:
        return err_set(e, ERR_RETRY, 0, "the peer released instead of answering");
    case DIMSE_ABORTED:
        return err_set(e, ERR_RETRY, 0, "the peer aborted");
    case DIMSE_LOST:
        return -1;
    }
    if (rsp->field != DIMSE_C_STORE_RSP || rsp->has_dataset)
        return err_set(e, ERR_RETRY, 0, "the peer sent something else than an answer");
    return 0;
}

/* Refused, but perhaps not for ever: the member stays open, and its status is on record. */
static int refused(struct sending *s, int64_t i, uint16_t status)
{
    s->passed = true;
    s->refusals++;
    err_set(&s->refusal, ERR_RETRY, status, "%s", status_text(status));
    return s->t->report(s->t, i, MEMBER_OPEN, status, status_text(status));
}

/* Records an answered member. 0: go on; 2: not with this peer, now; -1: the attempt ends. */
static int take_status(struct sending *s, int64_t i, uint16_t status, struct err *e)
{
    struct transfer *t = s->t;
    const char *text = status ? status_text(status) : NULL;
    enum status_class class = status_class(status);
    int r = 0;
    if (class == STATUS_STORED) {
        s->refusals = 0;
        r = t->report(t, i, MEMBER_DELIVERED, status, text);
    } else if (class == STATUS_TRY_LATER) {
        r = refused(s, i, status);
    } else if (class == STATUS_ONCE_MORE && !(t->states[i] & MEMBER_TRIED)) {
        r = refused(s, i, status);
    } else {
        r = t->report(t, i, MEMBER_FAILED, status, text);
    }
    if (r)
        return err_set(e, ERR_RETRY, 0, "outcomes could not be recorded");
    return s->refusals >= REFUSALS ? 2 : 0;
}

/* ---- answers: up to a window of messages waits for one (PS3.7 D.3.3.3) ---- */

static int waiting_at(const struct sending *s, uint16_t message_id)
{
    for (unsigned k = 0; k < s->n_waiting; k++)
        if (s->waiting[k].message_id == message_id)
            return (int)k;
    return -1;
}

/* Takes one answer, in whatever order the peer gives them. A peer that answers twice is borne: the
 * first answer counts. As take_status. */
static int take_answer(struct sending *s, struct dimse_assoc *a, struct err *e)
{
    struct dimse_command rsp;
    for (int i = 0; i <= REPEATED; i++) {
        if (next_response(a, &rsp, e))
            return err_wrap(e, "waiting for the answer");
        int k = waiting_at(s, rsp.message_id);
        if (k >= 0) {
            int64_t member = s->waiting[k].member;
            s->waiting[k] = s->waiting[--s->n_waiting];
            return take_status(s, member, rsp.status, e);
        }
        if ((uint16_t)(s->message_id - rsp.message_id) > WINDOW_MAX)
            break; /* not one of the last that were answered */
    }
    return err_set(e, ERR_RETRY, 0, "the answer belongs to another message");
}

/* The answers that are still to come; r is what has become of the association before. If it is
 * lost, the outcome of all that were sent is unknown. */
static int take_the_rest(struct sending *s, struct dimse_assoc *a, int r, struct err *e)
{
    while (r >= 0 && s->n_waiting > 0) {
        int next = take_answer(s, a, e);
        r = next < 0 || r == 0 ? next : r;
    }
    for (unsigned k = 0; k < s->n_waiting; k++)
        if (s->t->report(s->t, s->waiting[k].member, MEMBER_OPEN, 0,
                         "sent, but the answer did not come"))
            break;
    s->n_waiting = 0;
    return r;
}

/* The object cannot be sent, ever: this member fails, the others go on (after an abort if bytes
 * have gone out already). */
static int give_up(struct sending *s, int64_t i, bool began, struct err *e)
{
    if (s->t->report(s->t, i, MEMBER_FAILED, e->code, e->text))
        return err_set(e, ERR_RETRY, 0, "outcomes could not be recorded");
    err_clear(e);
    return began ? 1 : 0;
}

/* 0: go on; 1: this association is aborted, others may follow; 2: it is released and the attempt
 * ends; -1: it is aborted and the attempt ends. */
static int send_member(struct sending *s, struct dimse_assoc *a, int64_t i, struct err *e)
{
    struct transfer *t = s->t;
    const struct manifest_member *m = transfer_member(t, i);
    const struct dimse_context *context = dimse_accepted(a, s->proposal[i]);
    struct objstore_reader *r = NULL;
    struct part10_read head;
    bool began = false;
    s->done[i] = true;
    if (!context)
        return t->report(
            t, i, t->target->unaccepted == UNACCEPTED_SKIP ? MEMBER_NOT_ACCEPTED : MEMBER_FAILED,
            0x0122, "the target refused this SOP class or transfer syntax");
    s->message_id++;
    if (transfer_open_object(t, m, &r, e)) {
        if (transfer_late(t, e))
            return 0;
        return e->kind == ERR_REJECT ? give_up(s, i, false, e) : -1;
    }
    ssize_t n = objstore_read(r, s->buffer, HEAD_BYTES, e);
    int bad = n < 0 ? -1 : part10_parse(&head, s->buffer, (size_t)n, e);
    if (!bad)
        bad = stream(s, m, r, a, context, head.dataset, &began, e);
    objstore_read_end(r);
    if (bad)
        return e->kind == ERR_REJECT ? give_up(s, i, began, e) : -1;
    (void)FAILPOINT("dispatcher.sent");
    s->waiting[s->n_waiting++] = (struct waiting){i, s->message_id};
    return s->n_waiting < dimse_window(a) ? 0 : take_answer(s, a, e);
}

/* ---- one association ---- */

static int send_aboard(struct sending *s, struct dimse_assoc *a, struct err *e)
{
    int r = 0;
    for (int64_t i = 0; i < s->n && r == 0; i++) {
        if (!s->aboard[i])
            continue;
        if (*s->t->stop)
            r = err_set(e, ERR_RETRY, 0, "stopped");
        else
            r = send_member(s, a, i, e);
    }
    return r;
}

static int one_association(struct sending *s, int64_t first, struct err *e)
{
    struct transfer *t = s->t;
    const struct config_dicom_target *c = config_of(t);
    struct ae_pair pair = pair_of(t, transfer_member(t, first));
    struct dimse_assoc *a = NULL;
    board(s, first);
    struct dimse_dial dial = {
        .host = host_of(t),
        .port = (int)c->port,
        .calling_ae = pair.calling,
        .called_ae = pair.called,
        .tls = s->tls,
        .proposals = s->proposals,
        .n = s->n_proposals,
        .window = (unsigned)(c->window < WINDOW_MAX ? c->window : WINDOW_MAX),
        .limits = {.negotiate_ms = t->connect_ms,
                   .idle_ms = c->timeout_seconds * 1000,
                   .message_ms = c->timeout_seconds * 1000 + s->largest * 1000 / RATE_BYTES}};
    if (dimse_connect(&a, &dial, e)) {
        t->refused = e->kind == ERR_REJECT && e->code >> 16 == 1; /* A-ASSOCIATE-RJ, permanent */
        return -1;
    }
    t->blocked_in(t, a);
    int r = take_the_rest(s, a, send_aboard(s, a, e), e);
    if (r == 0 || r == 2) {
        struct err ignored = {
            0}; /* all answers are in: how the peer says good-bye changes nothing */
        (void)dimse_release(a, &ignored);
    } else {
        dimse_abort(a);
    }
    t->blocked_in(t, NULL);
    dimse_free(a);
    return r == 1 ? 0 : r;
}

static int send_all(struct sending *s, struct err *e)
{
    for (int64_t i = 0; i < s->n; i++)
        s->done[i] = !transfer_is_open(s->t, i);
    int r = 0;
    for (int64_t i = 0; i < s->n && r == 0; i++)
        if (!s->done[i])
            r = one_association(s, i, e);
    if (r >= 0 && s->passed) {
        *e = s->refusal;
        return -1;
    }
    return r;
}

/* The files are read for each attempt: a renewed certificate counts from then on. */
static int make_tls(struct dimse_tls **out, const struct transfer *t, struct err *e)
{
    const struct config_dicom_target *c = t->target->dicomtls;
    *out = NULL;
    if (!c)
        return 0;
    struct dimse_tls_options o = {.certificate = c->certificate,
                                  .key = c->key,
                                  .ca = c->ca,
                                  .verify = DIMSE_VERIFY_REQUIRED,
                                  .host = first_of(c->certificate_name, host_of(t))};
    return dimse_tls_new(out, &o, false, e);
}

static int send_dicom(struct transfer *t, struct err *e)
{
    size_t n = t->manifest->members.n;
    struct sending s = {.t = t,
                        .n = (int64_t)n,
                        .done = mem_zalloc(n * sizeof(bool)),
                        .proposal = mem_zalloc(n * sizeof(unsigned)),
                        .aboard = mem_zalloc(n * sizeof(bool)),
                        .proposals = mem_zalloc(DIMSE_CONTEXTS * sizeof(struct dimse_proposal)),
                        .hash = hash_new(),
                        .buffer = mem_alloc(CHUNK_BYTES)};
    int r = make_tls(&s.tls, t, e);
    if (r == 0)
        r = send_all(&s, e);
    dimse_tls_free(s.tls);
    mem_free(s.done);
    mem_free(s.proposal);
    mem_free(s.aboard);
    mem_free(s.proposals);
    hash_free(s.hash);
    mem_free(s.buffer);
    return r;
}

const struct target_type target_dicom = {.type = TARGET_DICOM, .name = "dicom", .send = send_dicom};
const struct target_type target_dicomtls = {
    .type = TARGET_DICOMTLS, .name = "dicomtls", .send = send_dicom};
