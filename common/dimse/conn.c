/*
 * One socket with deadlines. The descriptor is non-blocking; every wait is a poll with what is left
 * of an absolute deadline, so a peer that sends a byte now and then gains no time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "dimse/dimse_priv.h"

#define LINGER_MS    200
#define LINGER_BYTES (4 << 20)

void conn_init(struct conn *c, int fd)
{
    int one = 1;

    *c = (struct conn){.fd = fd};
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    /* not a TCP socket (socketpair): fails, harmless */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

int64_t conn_deadline(int64_t ms)
{
    return ms <= 0 ? CONN_NEVER : clock_mono_ms() + ms;
}

/* 0 ready, 1 deadline passed. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};

    for (;;) {
        int64_t left = deadline == CONN_NEVER ? INT_MAX : deadline - clock_mono_ms();

        if (left < 0)
            left = 0;
        int rc = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (rc > 0 || (rc < 0 && errno != EINTR))
            return 0;
        if (rc == 0 && deadline != CONN_NEVER && clock_mono_ms() >= deadline)
            return 1;
    }
}

int conn_wait_read(const struct conn *c, int64_t deadline)
{
    return conn_buffered(c) ? 0 : wait_for(c->fd, POLLIN, deadline);
}

ssize_t conn_try_read(struct conn *c, void *p, size_t n, struct err *e)
{
    ssize_t got;

    if (c->ssl) {
        got = tls_read(c, p, n, e);
    } else {
        do {
            got = recv(c->fd, p, n, MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return CONN_AGAIN;
        if (got < 0)
            return err_errno(e, ERR_RETRY, errno, "reading from the peer");
    }
    if (got > 0)
        c->in += (uint64_t)got;
    return got;
}

int conn_read_all(struct conn *c, void *p, size_t n, int64_t deadline, struct err *e)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = conn_try_read(c, (uint8_t *)p + have, n - have, e);

        if (got == 0)
            return err_set(e, ERR_RETRY, ECONNRESET, "peer closed the connection");
        if (got == -1)
            return -1;
        if (got > 0)
            have += (size_t)got;
        /* asked after bytes too: a peer that always has one ready must not outlive the deadline */
        if (deadline != CONN_NEVER && clock_mono_ms() >= deadline)
            return err_set(e, ERR_RETRY, ETIMEDOUT, "deadline passed");
        if (got == CONN_AGAIN && conn_wait_read(c, deadline))
            return err_set(e, ERR_RETRY, ETIMEDOUT, "deadline passed");
    }
    return 0;
}

static int plain_write(struct conn *c, struct iovec *iov, int n, int64_t deadline, struct err *e)
{
    while (n > 0) {
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)(n > IOV_MAX ? IOV_MAX : n)};
        ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (wait_for(c->fd, POLLOUT, deadline))
                return err_set(e, ERR_RETRY, ETIMEDOUT, "peer does not read: deadline passed");
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return err_errno(e, ERR_RETRY, errno, "sending to the peer");
        c->out += (uint64_t)sent;
        while (n > 0 && (size_t)sent >= iov->iov_len) {
            sent -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + sent;
            iov->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

/* Pieces are gathered into whole TLS records: a 12-byte header must not become a record. */
static int gather_write(struct conn *c, const struct iovec *iov, int n, int64_t deadline,
                        struct err *e)
{
    uint8_t record[16384];
    size_t have = 0;

    for (int i = 0; i < n; i++) {
        const uint8_t *p = iov[i].iov_base;
        size_t left = iov[i].iov_len;

        while (left > 0) {
            size_t k = left < sizeof record - have ? left : sizeof record - have;

            memcpy(record + have, p, k);
            have += k;
            p += k;
            left -= k;
            if (have == sizeof record) {
                if (tls_write(c, record, have, deadline, e))
                    return -1;
                have = 0;
            }
        }
    }
    return have ? tls_write(c, record, have, deadline, e) : 0;
}

int conn_write(struct conn *c, struct iovec *iov, int n, int64_t deadline, struct err *e)
{
    if (!c->ssl)
        return plain_write(c, iov, n, deadline, e);
    uint64_t total = 0;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (gather_write(c, iov, n, deadline, e))
        return -1;
    c->out += total;
    return 0;
}

bool conn_buffered(const struct conn *c)
{
    return c->ssl && tls_buffered(c);
}

void conn_quickack(const struct conn *c)
{
    int one = 1;

    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

static void drain(int fd)
{
    char waste[4096];
    size_t total = 0;
    int64_t deadline = conn_deadline(LINGER_MS);

    while (total < LINGER_BYTES) {
        ssize_t got = recv(fd, waste, sizeof waste, MSG_DONTWAIT);

        if (got > 0)
            total += (size_t)got;
        else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return;
        else if (wait_for(fd, POLLIN, deadline))
            return;
        if (clock_mono_ms() >= deadline)
            return;
    }
}

void conn_close(struct conn *c, bool linger)
{
    if (c->fd < 0)
        return;
    if (c->ssl)
        tls_close(c);
    if (linger) {
        (void)shutdown(c->fd, SHUT_WR);
        drain(c->fd);
    }
    (void)close(c->fd);
    c->fd = -1;
}

void conn_address(const struct conn *c, char *out, size_t cap)
{
    struct sockaddr_storage s = {0};
    socklen_t n = sizeof s;
    char text[INET6_ADDRSTRLEN] = "";

    if (getpeername(c->fd, (struct sockaddr *)&s, &n) == 0) {
        if (s.ss_family == AF_INET)
            (void)inet_ntop(AF_INET, &((struct sockaddr_in *)&s)->sin_addr, text, sizeof text);
        else if (s.ss_family == AF_INET6)
            (void)inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&s)->sin6_addr, text, sizeof text);
    }
    /* ::ffff:10.0.0.1 of a dual-stack listener is 10.0.0.1 to everybody else */
    (void)str_copy(out, cap,
                   strncmp(text, "::ffff:", 7) == 0 && strchr(text, '.') ? text + 7 : text);
}
