/*
 * An association: how it begins (accepting side), what is known of its contexts, how it ends. The
 * requesting side is connect.c, messages are message.c.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dimse/dimse_priv.h"

#define SMALLEST_PDU 32 /* a peer that announces less cannot be sent a command sensibly */

void dimse_setup(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    negotiate_setup();
}

/* ---- life ---- */
struct dimse_assoc *assoc_new(int fd, const struct dimse_limits *limits)
{
    struct dimse_assoc *a = mem_zalloc(sizeof *a);

    conn_init(&a->conn, fd);
    a->limits = *limits;
    a->window = 1;
    a->open_pdu = SIZE_MAX;
    a->arena = arena_new(0);
    return a;
}

void dimse_free(struct dimse_assoc *a)
{
    if (!a)
        return;
    dimse_abort(a); /* nothing to do where it is over */
    conn_close(&a->conn, a->linger);
    negotiate_free(a->negotiation);
    pdu_free(&a->reader);
    arena_free(a->arena);
    mem_free(a->contexts);
    mem_free(a->refusals);
    str_free(&a->rq);
    str_free(&a->command);
    str_free(&a->out);
    mem_free(a);
}

void dimse_wake(struct dimse_assoc *a)
{
    (void)shutdown(a->conn.fd, SHUT_RDWR);
}

void dimse_stats(const struct dimse_assoc *a, struct dimse_stats *out)
{
    *out = (struct dimse_stats){.bytes_in = a->conn.in, .bytes_out = a->conn.out};
}

unsigned dimse_window(const struct dimse_assoc *a)
{
    return a->window;
}

static int send_control(struct dimse_assoc *a, const uint8_t pdu[10], int64_t deadline,
                        struct err *e)
{
    uint8_t bytes[10];

    memcpy(bytes, pdu, sizeof bytes);
    return conn_write(&a->conn, &(struct iovec){bytes, sizeof bytes}, 1, deadline, e);
}

void assoc_abort(struct dimse_assoc *a, uint8_t source, uint8_t reason)
{
    const uint8_t pdu[10] = {PDU_ABORT, 0, 0, 0, 0, 4, 0, 0, source, reason};

    if (a->state == ASSOC_OVER)
        return;
    a->state = ASSOC_OVER;
    a->linger = true;
    (void)send_control(a, pdu, clock_mono_ms() + 1000, NULL); /* best effort: it is over anyway */
}

void dimse_abort(struct dimse_assoc *a)
{
    if (a->state != ASSOC_OPEN)
        return;
    if (a->out.len > 0 && a->open_pdu == SIZE_MAX) {
        a->send_deadline = clock_mono_ms() + 1000;
        (void)assoc_flush(a, NULL, 0, NULL); /* answers held back; the peer may be gone */
    }
    assoc_abort(a, 0, ABORT_NO_REASON);
}

/* ---- contexts ---- */
unsigned dimse_contexts(const struct dimse_assoc *a)
{
    return a->n_contexts;
}

const struct dimse_context *dimse_context(const struct dimse_assoc *a, unsigned i)
{
    return i < a->n_contexts ? &a->contexts[i] : NULL;
}

const struct dimse_context *dimse_context_by_id(const struct dimse_assoc *a, uint8_t id)
{
    return a->by_id[id] ? &a->contexts[a->by_id[id] - 1] : NULL;
}

const struct dimse_context *dimse_accepted(const struct dimse_assoc *a, unsigned proposal)
{
    const struct dimse_context *c = dimse_context(a, proposal);

    return c && c->accepted ? c : NULL;
}

void assoc_index_contexts(struct dimse_assoc *a)
{
    for (unsigned i = 0; i < a->n_contexts; i++)
        a->by_id[a->contexts[i].id] = (uint8_t)(i + 1);
}

void dimse_context_accept(struct dimse_assoc *a, unsigned i, const char *syntax)
{
    if (i >= a->n_contexts || a->state != ASSOC_NEGOTIATING)
        return;
    struct dimse_context *c = &a->contexts[i];
    for (unsigned j = 0; j < c->n_syntaxes; j++)
        if (strcmp(c->syntaxes[j], syntax) == 0) {
            c->accepted = c->syntaxes[j];
            return;
        }
}

void dimse_context_refuse(struct dimse_assoc *a, unsigned i, enum dimse_refusal why)
{
    if (i >= a->n_contexts || a->state != ASSOC_NEGOTIATING)
        return;
    a->contexts[i].accepted = NULL;
    a->refusals[i] = (uint8_t)why;
}

/* ---- accepting ---- */
/* Reads one whole PDU into a->rq, at most DIMSE_ASSOCIATE_MAX bytes of it. */
static int read_request(struct dimse_assoc *a, int64_t deadline, struct err *e)
{
    uint8_t head[6];

    if (conn_read_all(&a->conn, head, sizeof head, deadline, e))
        return -1;
    uint32_t length = get_be32(head + 2);
    if (head[0] == PDU_ABORT) {
        a->state = ASSOC_OVER;
        return err_set(e, ERR_RETRY, 0, "peer aborted before it asked for an association");
    }
    if (head[0] != PDU_ASSOCIATE_RQ) {
        /* to something that does not speak DICOM we say nothing */
        if (head[0] >= PDU_ASSOCIATE_AC && head[0] <= PDU_RELEASE_RP)
            assoc_abort(a, 2, ABORT_UNEXPECTED);
        return err_set(e, ERR_REJECT, head[0], "peer did not begin with A-ASSOCIATE-RQ");
    }
    if (length > DIMSE_ASSOCIATE_MAX) {
        assoc_abort(a, 2, ABORT_BAD_PARAMETER);
        return err_set(e, ERR_REJECT, 0, "A-ASSOCIATE-RQ of %u bytes", length);
    }
    str_append(&a->rq, head, sizeof head);
    /* memory is given as bytes come, not as the peer announces */
    for (uint32_t have = 0; have < length;) {
        uint8_t part[4096];
        uint32_t k = length - have < sizeof part ? length - have : sizeof part;

        if (conn_read_all(&a->conn, part, k, deadline, e))
            return -1;
        str_append(&a->rq, part, k);
        have += k;
    }
    return 0;
}

static void reject(struct dimse_assoc *a, uint8_t result, uint8_t source, uint8_t reason)
{
    const uint8_t pdu[10] = {PDU_ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, result, source, reason};

    if (a->state != ASSOC_NEGOTIATING)
        return;
    a->state = ASSOC_OVER;
    a->linger = true;
    (void)send_control(a, pdu, clock_mono_ms() + 1000, NULL); /* best effort: it is over anyway */
}

static uint32_t usable_pdu(uint32_t announced)
{
    return announced == 0 || announced > DIMSE_PDU_MAX ? DIMSE_PDU_MAX : announced;
}

static int take_request(struct dimse_assoc *a, struct dimse_peer *peer, struct err *e)
{
    const uint8_t *rq = (const uint8_t *)a->rq.data;
    uint32_t max_pdu;

    switch (associate_check(rq, a->rq.len, &a->asked, e)) {
    case ASSOCIATE_OK:
        break;
    case ASSOCIATE_PROTOCOL:
        reject(a, 1, 2, 2);
        return -1;
    default:
        assoc_abort(a, 2, ABORT_BAD_PARAMETER);
        return -1;
    }
    if (negotiate_read(&a->negotiation, rq, a->rq.len, peer, &max_pdu, e)) {
        assoc_abort(a, 2, ABORT_BAD_PARAMETER);
        return -1;
    }
    a->peer_max = usable_pdu(max_pdu);
    if (a->peer_max < SMALLEST_PDU) {
        reject(a, 1, 1, 1);
        return err_set(e, ERR_REJECT, 0, "peer announces a maximum PDU of %u bytes", max_pdu);
    }
    a->n_contexts = negotiate_contexts(a->negotiation);
    a->contexts = mem_zalloc(a->n_contexts * sizeof *a->contexts);
    a->refusals = mem_zalloc(a->n_contexts);
    for (unsigned i = 0; i < a->n_contexts; i++) {
        negotiate_context(a->negotiation, i, a->arena, &a->contexts[i]);
        a->refusals[i] = DIMSE_REFUSE_USER;
    }
    assoc_index_contexts(a);
    return 0;
}

int dimse_accept(struct dimse_assoc **out, int fd, const struct dimse_tls *tls,
                 const struct dimse_limits *limits, struct dimse_peer *peer, struct err *e)
{
    struct dimse_assoc *a = assoc_new(fd, limits);
    int64_t deadline = conn_deadline(limits->negotiate_ms);

    *peer = (struct dimse_peer){0};
    conn_address(&a->conn, peer->address, sizeof peer->address);
    if (tls) {
        if (tls_handshake(&a->conn, tls, deadline, e))
            goto fail;
        tls_peer(&a->conn, peer->certificate_sha256, peer->certificate_name,
                 sizeof peer->certificate_name);
    }
    if (read_request(a, deadline, e) || take_request(a, peer, e))
        goto fail;
    *out = a;
    return 0;
fail:
    dimse_free(a);
    return -1;
}

int dimse_acknowledge(struct dimse_assoc *a, unsigned window, struct err *e)
{
    struct str ac = STR_INIT;
    int rc = -1;

    if (a->state != ASSOC_NEGOTIATING || !a->negotiation)
        return err_set(e, ERR_REJECT, 0, "association was answered already");
    if (!a->asked.asks_window || window < 1)
        window = 1;
    if (a->asked.window != 0 && window > a->asked.window)
        window = a->asked.window;
    a->window = window;
    if (negotiate_answer(a->negotiation, a->contexts, a->refusals, &ac, e) ||
        associate_finish_ac(&ac, (const uint8_t *)a->rq.data, window, e)) {
        assoc_abort(a, 2, ABORT_NO_REASON);
        goto done;
    }
    if (conn_write(&a->conn, &(struct iovec){ac.data, ac.len}, 1,
                   conn_deadline(a->limits.negotiate_ms), e)) {
        a->state = ASSOC_OVER;
        goto done;
    }
    a->state = ASSOC_OPEN;
    rc = 0;
done:
    str_free(&ac);
    str_free(&a->rq);
    negotiate_free(a->negotiation);
    a->negotiation = NULL;
    return rc;
}

void dimse_reject(struct dimse_assoc *a, enum dimse_reject why)
{
    static const uint8_t codes[][3] = {
        [DIMSE_REJECT_CALLING] = {1, 1, 3},    [DIMSE_REJECT_CALLED] = {1, 1, 7},
        [DIMSE_REJECT_CONGESTION] = {2, 3, 1}, [DIMSE_REJECT_LIMIT] = {2, 3, 2},
        [DIMSE_REJECT_PERMANENT] = {1, 1, 1},
    };

    if ((size_t)why < ARRAY_LEN(codes))
        reject(a, codes[why][0], codes[why][1], codes[why][2]);
}
