/*
 * The requesting side: resolve, connect, TLS, A-ASSOCIATE-RQ and its answer, under one deadline.
 * (The resolver keeps its own, short, time limits.)
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dimse/dimse_priv.h"

#define SMALLEST_PDU 32

/* errno of the attempt; *fd on 0. */
static int connect_one(int *fd, const struct addrinfo *i, int64_t deadline)
{
    int s = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = 0;
    socklen_t n = sizeof code;

    if (s < 0)
        return errno;
    if (connect(s, i->ai_addr, i->ai_addrlen) != 0)
        code = errno;
    if (code == EINPROGRESS) {
        struct pollfd p = {.fd = s, .events = POLLOUT};
        int ready;

        do {
            int64_t left = deadline == CONN_NEVER ? -1 : deadline - clock_mono_ms();
            ready = deadline != CONN_NEVER && left <= 0 ? 0 : poll(&p, 1, (int)left);
        } while (ready < 0 && errno == EINTR);
        code = ETIMEDOUT;
        if (ready > 0 && getsockopt(s, SOL_SOCKET, SO_ERROR, &code, &n) != 0)
            code = errno;
    }
    if (code) {
        (void)close(s);
        return code;
    }
    *fd = s;
    return 0;
}

static int connect_any(int *fd, const struct dimse_dial *d, int64_t deadline, struct err *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    char port[16];
    int left = 0, code = EADDRNOTAVAIL;

    (void)snprintf(port, sizeof port, "%d", d->port);
    int rc = getaddrinfo(d->host, port, &hints, &list);
    if (rc == EAI_NONAME || rc == EAI_ADDRFAMILY) { /* 127.0.0.1 on a host without network */
        hints.ai_flags = 0;
        rc = getaddrinfo(d->host, port, &hints, &list);
    }
    if (rc)
        return err_set(e, ERR_RETRY, rc, "resolving %s: %s", d->host, gai_strerror(rc));
    for (const struct addrinfo *i = list; i; i = i->ai_next)
        left++;
    for (const struct addrinfo *i = list; i; i = i->ai_next, left--) {
        int64_t now = clock_mono_ms(), until = deadline;

        if (deadline != CONN_NEVER) /* a dead first address leaves time for the others */
            until = now + (deadline - now) / left;
        code = connect_one(fd, i, until);
        if (code == 0)
            break;
    }
    freeaddrinfo(list);
    if (code)
        return err_errno(e, ERR_RETRY, code, "connecting to %s:%d", d->host, d->port);
    return 0;
}

static void propose(struct dimse_assoc *a, const struct dimse_dial *d)
{
    a->n_contexts = d->n;
    a->contexts = mem_zalloc(d->n * sizeof *a->contexts);
    for (unsigned i = 0; i < d->n; i++) {
        const struct dimse_proposal *p = &d->proposals[i];
        struct dimse_context *c = &a->contexts[i];
        const char **syntaxes = arena_alloc(a->arena, sizeof p->syntaxes);

        c->id = (uint8_t)(2 * i + 1);
        (void)str_copy(c->abstract, sizeof c->abstract, p->abstract);
        while (c->n_syntaxes < ARRAY_LEN(p->syntaxes) && p->syntaxes[c->n_syntaxes]) {
            syntaxes[c->n_syntaxes] = arena_strdup(a->arena, p->syntaxes[c->n_syntaxes]);
            c->n_syntaxes++;
        }
        c->syntaxes = syntaxes;
    }
    assoc_index_contexts(a);
}

/* PS3.8 table 9-21 */
static const char *rejection_text(uint8_t source, uint8_t reason)
{
    static const struct {
        uint8_t source, reason;
        const char *text;
    } texts[] = {
        {1, 1, "no reason given"},
        {1, 2, "application context not supported"},
        {1, 3, "calling AE title not recognised"},
        {1, 7, "called AE title not recognised"},
        {2, 1, "no reason given"},
        {2, 2, "protocol version not supported"},
        {3, 1, "temporary congestion"},
        {3, 2, "local limit exceeded"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].source == source && texts[i].reason == reason)
            return texts[i].text;
    return "unknown reason";
}

static int rejected(const uint8_t body[4], struct err *e)
{
    return err_set(e, body[1] == 2 ? ERR_RETRY : ERR_REJECT, body[1] << 16 | body[2] << 8 | body[3],
                   "peer rejected the association: %s, %s (source %d, reason %d)",
                   body[1] == 2 ? "transient" : "permanent", rejection_text(body[2], body[3]),
                   body[2], body[3]);
}

static int read_answer(struct dimse_assoc *a, int64_t deadline, struct err *e)
{
    uint8_t head[6], body[4];
    struct associate_answer answer;
    struct str pdu = STR_INIT;
    int rc = -1;

    if (conn_read_all(&a->conn, head, sizeof head, deadline, e))
        return -1;
    uint32_t length = get_be32(head + 2);
    if (head[0] == PDU_ASSOCIATE_RJ || head[0] == PDU_ABORT) {
        a->state = ASSOC_OVER;
        if (length != 4 || conn_read_all(&a->conn, body, sizeof body, deadline, e))
            return err_set(e, ERR_RETRY, 0, "peer refused the association, malformed");
        return head[0] == PDU_ASSOCIATE_RJ
                   ? rejected(body, e)
                   : err_set(e, ERR_RETRY, 0, "peer aborted the association it was asked for");
    }
    if (head[0] != PDU_ASSOCIATE_AC || length > DIMSE_ASSOCIATE_MAX)
        return err_set(e, ERR_RETRY, head[0], "peer did not answer with A-ASSOCIATE-AC");
    str_append(&pdu, head, sizeof head);
    str_reserve(&pdu, length);
    if (conn_read_all(&a->conn, pdu.data + pdu.len, length, deadline, e))
        goto done;
    pdu.len += length;
    if (associate_read_ac((const uint8_t *)pdu.data, pdu.len, a->contexts, a->n_contexts, &answer,
                          e))
        goto done;
    a->peer_max =
        answer.max_pdu == 0 || answer.max_pdu > DIMSE_PDU_MAX ? DIMSE_PDU_MAX : answer.max_pdu;
    if (a->peer_max < SMALLEST_PDU) {
        (void)err_set(e, ERR_RETRY, 0, "peer announces a maximum PDU of %u bytes", answer.max_pdu);
        goto done;
    }
    a->window = answer.window;
    rc = 0;
done:
    str_free(&pdu);
    return rc;
}

static int check_dial(const struct dimse_dial *d, struct err *e)
{
    if (d->n == 0 || d->n > DIMSE_CONTEXTS)
        return err_set(e, ERR_REJECT, 0, "%u presentation contexts to propose", d->n);
    if (strlen(d->calling_ae) > 16 || strlen(d->called_ae) > 16)
        return err_set(e, ERR_REJECT, 0, "AE title longer than 16 characters");
    for (unsigned i = 0; i < d->n; i++) {
        const struct dimse_proposal *p = &d->proposals[i];

        if (strlen(p->abstract) > 64 || !p->syntaxes[0])
            return err_set(e, ERR_REJECT, 0, "presentation context %u cannot be proposed", i);
        for (unsigned j = 0; j < ARRAY_LEN(p->syntaxes) && p->syntaxes[j]; j++)
            if (strlen(p->syntaxes[j]) > 64)
                return err_set(e, ERR_REJECT, 0, "presentation context %u cannot be proposed", i);
    }
    return 0;
}

int dimse_connect(struct dimse_assoc **out, const struct dimse_dial *d, struct err *e)
{
    int64_t deadline = conn_deadline(d->limits.negotiate_ms);
    struct str rq = STR_INIT;
    int fd;

    if (check_dial(d, e) || connect_any(&fd, d, deadline, e))
        return -1;
    struct dimse_assoc *a = assoc_new(fd, &d->limits);
    a->requestor = true;
    propose(a, d);
    associate_write_rq(&rq, d);
    if ((d->tls && tls_handshake(&a->conn, d->tls, deadline, e)) ||
        conn_write(&a->conn, &(struct iovec){rq.data, rq.len}, 1, deadline, e)) {
        a->state = ASSOC_OVER;
        goto fail;
    }
    if (read_answer(a, deadline, e)) {
        assoc_abort(a, 2, ABORT_NO_REASON);
        goto fail;
    }
    if (a->window > d->window)
        a->window = d->window > 1 ? d->window : 1;
    a->state = ASSOC_OPEN;
    str_free(&rq);
    *out = a;
    return 0;
fail:
    str_free(&rq);
    dimse_free(a);
    return -1;
}
