/* A C-STORE target that is never the bottleneck: reads, counts, answers, keeps nothing. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loadgen.h"

#define BUFFER      (256 * 1024)
#define PDU_LARGEST (1u << 20)
#define REPORT_MS   20
#define EVENTS      256

struct peer {
    int fd;
    uint8_t *buffer;
    size_t n;
    size_t skip;   /* bytes of a dataset fragment that are still to come */
    size_t in_pdu; /* bytes of the present P-DATA PDU after what lies in the buffer's beginning */
    bool last;     /* the fragment that is being skipped is the last one */
    unsigned context;
    struct command_set rq;
};

struct sink {
    int epoll, listener;
    long long instances, bytes;
    long long last_ms;
    long long associations;
};

static volatile sig_atomic_t stopped;

static void on_term(int s)
{
    (void)s;
    stopped = 1;
}

static int send_all(int fd, const struct str *s)
{
    /* answers are small and the peer reads them: a blocking write never waits long */
    return write(fd, s->data, s->len) == (ssize_t)s->len ? 0 : -1;
}

static int answer(struct sink *k, struct peer *p)
{
    struct str rsp = STR_INIT;
    wire_response(&rsp, p->context, &p->rq, 0);
    if (p->rq.field == C_STORE_RQ) {
        k->instances++;
        k->last_ms = clock_wall_ms();
    }
    int r = send_all(p->fd, &rsp);
    str_free(&rsp);
    return r;
}

/* One PDV at b[0..n) of a P-DATA PDU; a dataset fragment need not be there whole. Bytes taken, 0:
 * more are needed, -1: over. */
static ssize_t take_pdv(struct sink *k, struct peer *p, const uint8_t *b, size_t n)
{
    if (n < PDV_HEADER)
        return 0;
    size_t size = wire_u32be(b);
    if (size < 2 || size + 4 > p->in_pdu)
        return -1;
    size -= 2;
    p->context = b[4];
    if (b[5] & 1) {
        if (n < PDV_HEADER + size)
            return size + PDV_HEADER > BUFFER ? -1 : 0;
        if (!(b[5] & 2) || wire_parse_command(&p->rq, b + PDV_HEADER, size) ||
            (!p->rq.has_dataset && answer(k, p)))
            return -1;
        p->in_pdu -= PDV_HEADER + size;
        return (ssize_t)(PDV_HEADER + size);
    }
    p->in_pdu -= PDV_HEADER;
    p->skip = size;
    p->last = b[5] & 2;
    return PDV_HEADER;
}

/* The rest of a dataset fragment. */
static ssize_t take_data(struct sink *k, struct peer *p, size_t n)
{
    size_t take = n < p->skip ? n : p->skip;
    p->skip -= take;
    p->in_pdu -= take;
    k->bytes += (long long)take;
    if (p->skip == 0 && p->last) {
        p->last = false;
        if (answer(k, p))
            return -1;
    }
    return (ssize_t)take;
}

static ssize_t take_pdu(struct sink *k, struct peer *p, const uint8_t *b, size_t n)
{
    struct str out = STR_INIT;
    if (n < PDU_HEADER)
        return 0;
    size_t size = wire_u32be(b + 2);
    if (size > PDU_LARGEST)
        return -1;
    if (b[0] == PDU_DATA) {
        p->in_pdu = size;
        return PDU_HEADER;
    }
    if (n < PDU_HEADER + size)
        return size + PDU_HEADER > BUFFER ? -1 : 0;
    int r = -1;
    if (b[0] == PDU_ASSOCIATE_RQ) {
        k->associations++;
        r = wire_associate_ac(&out, b + PDU_HEADER, size);
    } else if (b[0] == PDU_RELEASE_RQ) {
        static const uint8_t rp[10] = {PDU_RELEASE_RP, 0, 0, 0, 0, 4};
        str_append(&out, rp, sizeof rp);
        r = 0;
    }
    if (r == 0)
        r = send_all(p->fd, &out);
    str_free(&out);
    return r ? -1 : (ssize_t)(PDU_HEADER + size);
}

/* false: the connection is over. */
static bool serve(struct sink *k, struct peer *p)
{
    ssize_t got = recv(p->fd, p->buffer + p->n, BUFFER - p->n, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    p->n += (size_t)got;
    size_t at = 0;
    while (at < p->n) {
        const uint8_t *b = p->buffer + at;
        size_t n = p->n - at;
        ssize_t took = p->skip     ? take_data(k, p, n)
                       : p->in_pdu ? take_pdv(k, p, b, n)
                                   : take_pdu(k, p, b, n);
        if (took < 0)
            return false;
        if (took == 0)
            break;
        at += (size_t)took;
    }
    memmove(p->buffer, p->buffer + at, p->n - at);
    p->n -= at;
    return true;
}

static void take_peer(struct sink *k)
{
    int one = 1, fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct peer *p = mem_zalloc(sizeof *p);
    p->fd = fd;
    p->buffer = mem_alloc(BUFFER);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    (void)epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &e);
}

static int listen_on(int port)
{
    struct sockaddr_in s = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&s, sizeof s) || listen(fd, 512)) {
        fprintf(stderr, "loadgen: cannot listen on port %d\n", port);
        return -1;
    }
    return fd;
}

static void print(const struct sink *k)
{
    printf("{\"instances\":%lld,\"bytes\":%lld,\"associations\":%lld,\"at\":%lld}\n", k->instances,
           k->bytes, k->associations, k->last_ms);
    fflush(stdout);
}

int sink_run(int port)
{
    struct sink k = {.epoll = epoll_create1(EPOLL_CLOEXEC), .listener = listen_on(port)};
    struct epoll_event events[EVENTS], e = {.events = EPOLLIN, .data.ptr = NULL};
    long long said = 0;
    int64_t said_at = 0;
    if (k.listener < 0)
        return 1;
    (void)signal(SIGTERM, on_term);
    (void)signal(SIGINT, on_term);
    (void)epoll_ctl(k.epoll, EPOLL_CTL_ADD, k.listener, &e);
    print(&k); /* it listens */
    while (!stopped) {
        int n = epoll_wait(k.epoll, events, EVENTS, REPORT_MS);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (!p) {
                take_peer(&k);
            } else if (!serve(&k, p)) {
                close(p->fd);
                mem_free(p->buffer);
                mem_free(p);
            }
        }
        if (k.instances != said && clock_mono_ms() - said_at >= REPORT_MS) {
            said = k.instances;
            said_at = clock_mono_ms();
            print(&k);
        }
    }
    print(&k);
    close(k.listener);
    close(k.epoll);
    return 0;
}
