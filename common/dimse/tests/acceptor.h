/*
 * For tests: one accepted association in a thread of its own that takes every context and answers
 * every request, and raw bytes to provoke it with.
 */
#ifndef DIMSE_TESTS_ACCEPTOR_H
#define DIMSE_TESTS_ACCEPTOR_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "dimse/dimse.h"
#include "dimse/dimse_priv.h"
#include "testkit/testkit.h"

#define CT       "1.2.840.10008.5.1.4.1.1.2"
#define ECHO     "1.2.840.10008.1.1"
#define EXPLICIT "1.2.840.10008.1.2.1"
#define IMPLICIT "1.2.840.10008.1.2"

static const struct dimse_limits quick = {
    .negotiate_ms = 30000, .idle_ms = 30000, .message_ms = 30000};

/* FNV-1a over the datasets received or sent. */
static inline uint64_t fnv(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3ULL;
    return h;
}

struct acceptor {
    /* set before acceptor_start */
    struct dimse_limits limits;
    const struct dimse_tls *tls;
    unsigned window;
    int reject;          /* enum dimse_reject + 1 */
    unsigned stop_after; /* stores after which it asks for release itself; 0 = never */
    int refuse_sink;     /* the sink says no at the first fragment */
    /* results, after acceptor_join */
    int port, accepted;
    struct dimse_peer peer;
    struct err e;
    unsigned stores, echoes, most_syntaxes, answered_window;
    uint64_t bytes, sum, fragments;
    enum dimse_event last;
    char sop[DIMSE_UID];
    /* inside */
    int listener;
    pthread_t thread;
};

static int acceptor_sink(void *arg, const void *p, size_t n, bool last)
{
    struct acceptor *x = arg;

    (void)last;
    if (x->refuse_sink)
        return x->refuse_sink;
    x->bytes += n;
    x->fragments++;
    x->sum = fnv(x->sum, p, n);
    return 0;
}

static int acceptor_message(struct acceptor *x, struct dimse_assoc *a, struct dimse_command *c)
{
    uint16_t status = 0;
    int sunk = 0;

    if (c->has_dataset && dimse_dataset(a, acceptor_sink, x, &sunk, &x->e))
        return -1;
    if (sunk)
        status = 0xA700;
    if (c->field == DIMSE_C_STORE_RQ) {
        x->stores++;
        memcpy(x->sop, c->sop, sizeof x->sop);
    } else if (c->field == DIMSE_C_ECHO_RQ) {
        x->echoes++;
    } else {
        status = 0x0211;
    }
    return dimse_respond(a, c, status, status ? "no" : NULL, &x->e);
}

static void acceptor_serve(struct acceptor *x, struct dimse_assoc *a)
{
    struct dimse_command c;

    for (;;) {
        x->last = dimse_next(a, &c, &x->e);
        if (x->last != DIMSE_COMMAND)
            return;
        if (acceptor_message(x, a, &c)) {
            x->last = DIMSE_LOST;
            return;
        }
        if (x->stop_after && x->stores == x->stop_after) {
            x->last = dimse_release(a, &x->e) ? DIMSE_LOST : DIMSE_RELEASED;
            return;
        }
    }
}

static void *acceptor_run(void *arg)
{
    struct acceptor *x = arg;
    struct dimse_assoc *a = NULL;
    int fd = accept4(x->listener, NULL, NULL, SOCK_CLOEXEC);

    x->last = DIMSE_LOST;
    if (dimse_accept(&a, fd, x->tls, &x->limits, &x->peer, &x->e))
        return NULL;
    x->accepted = 1;
    if (x->reject) {
        dimse_reject(a, (enum dimse_reject)(x->reject - 1));
        dimse_free(a);
        return NULL;
    }
    for (unsigned i = 0; i < dimse_contexts(a); i++) {
        const struct dimse_context *c = dimse_context(a, i);

        if (c->n_syntaxes > x->most_syntaxes)
            x->most_syntaxes = c->n_syntaxes;
        dimse_context_accept(a, i, c->syntaxes[0]);
    }
    if (dimse_acknowledge(a, x->window, &x->e) == 0) {
        x->answered_window = dimse_window(a);
        acceptor_serve(x, a);
    }
    dimse_free(a);
    return NULL;
}

static inline void acceptor_start(struct acceptor *x)
{
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof s;

    if (x->limits.negotiate_ms == 0)
        x->limits = quick;
    x->sum = fnv(0, "", 0);
    x->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(x->listener, (struct sockaddr *)&s, sizeof s), 0);
    assert_int_equal(listen(x->listener, 16), 0);
    assert_int_equal(getsockname(x->listener, (struct sockaddr *)&s, &n), 0);
    x->port = ntohs(s.sin_port);
    assert_int_equal(thread_start(&x->thread, "acceptor", 0, acceptor_run, x, NULL), 0);
}

static inline void acceptor_join(struct acceptor *x)
{
    thread_join(x->thread);
    close(x->listener);
}

/* ---- requestor ---- */
static inline struct dimse_dial dial_to(const struct acceptor *x)
{
    static const struct dimse_proposal proposals[] = {
        {ECHO, {IMPLICIT}},
        {CT, {EXPLICIT, IMPLICIT}},
    };

    return (struct dimse_dial){
        .host = "127.0.0.1",
        .port = x->port,
        .calling_ae = "SENDER",
        .called_ae = "RECEIVER",
        .proposals = proposals,
        .n = 2,
        .window = 1,
        .limits = quick,
    };
}

/* ---- raw bytes ---- */
static inline int raw_connect(int port)
{
    struct sockaddr_in s = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    assert_int_equal(connect(fd, (struct sockaddr *)&s, sizeof s), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline void raw_send(int fd, const void *p, size_t n)
{
    /* the peer may already have aborted: that is what some tests want */
    (void)!send(fd, p, n, MSG_NOSIGNAL);
}

/* One PDU within 5 s; its type, or 0 at the end of the connection. */
static inline int raw_pdu(int fd, struct str *body)
{
    struct conn c = {.fd = fd};
    uint8_t head[6];

    str_clear(body);
    if (conn_read_all(&c, head, sizeof head, conn_deadline(5000), NULL))
        return 0;
    uint32_t n = get_be32(head + 2);
    str_reserve(body, n);
    if (conn_read_all(&c, body->data, n, conn_deadline(5000), NULL))
        return 0;
    body->len = n;
    return head[0];
}

static inline void raw_item(struct str *s, uint8_t type, const void *p, size_t n)
{
    str_append(s, (uint8_t[4]){type, 0, (uint8_t)(n >> 8), (uint8_t)n}, 4);
    str_append(s, p, n);
}

/* An A-ASSOCIATE-RQ with CT contexts of so many transfer syntaxes each. */
static inline void raw_request(struct str *s, unsigned contexts, unsigned syntaxes)
{
    static const uint8_t user[] = {0x51, 0, 0, 4, 0, 0, 0x40, 0};
    uint8_t head[74] = {PDU_ASSOCIATE_RQ, [7] = 1};

    memcpy(head + 10, "RECEIVER        SENDER          ", 32);
    str_clear(s);
    str_append(s, head, sizeof head);
    raw_item(s, 0x10, "1.2.840.10008.3.1.1.1", 21);
    for (unsigned i = 0; i < contexts; i++) {
        struct str c = STR_INIT;

        str_append(&c, (uint8_t[4]){(uint8_t)(2 * i + 1)}, 4);
        raw_item(&c, 0x30, CT, strlen(CT));
        for (unsigned j = 0; j < syntaxes; j++) {
            char uid[64];

            snprintf(uid, sizeof uid, j ? "1.2.3.4.%u" : EXPLICIT, j);
            raw_item(&c, 0x40, uid, strlen(uid));
        }
        raw_item(s, 0x20, c.data, c.len);
        str_free(&c);
    }
    raw_item(s, 0x50, user, sizeof user);
    put_be32((uint8_t *)s->data + 2, (uint32_t)(s->len - 6));
}

/* Opens an association with one context, id 1. */
static inline int raw_open(int port)
{
    struct str s = STR_INIT;
    int fd = raw_connect(port);

    raw_request(&s, 1, 1);
    raw_send(fd, s.data, s.len);
    assert_int_equal(raw_pdu(fd, &s), PDU_ASSOCIATE_AC);
    str_free(&s);
    return fd;
}

/* Appends a PDV; flags: 1 command, 2 last. */
static inline void raw_pdv(struct str *s, uint8_t context, uint8_t flags, const void *p, size_t n)
{
    uint8_t head[6];

    put_be32(head, (uint32_t)n + 2);
    head[4] = context;
    head[5] = flags;
    str_append(s, head, sizeof head);
    str_append(s, p, n);
}

static inline void raw_p_data(struct str *s, const struct str *pdvs)
{
    uint8_t head[6] = {PDU_P_DATA};

    put_be32(head + 2, (uint32_t)pdvs->len);
    str_append(s, head, sizeof head);
    str_append(s, pdvs->data, pdvs->len);
}

static inline size_t store_command(uint8_t out[DIMSE_COMMAND_BYTES], uint16_t id)
{
    struct dimse_command c = {.field = DIMSE_C_STORE_RQ,
                              .message_id = id,
                              .has_dataset = true,
                              .sop_class = CT,
                              .sop = "1.2.3"};

    return command_encode(&c, out);
}

#endif
