/*
 * Listening sockets: accept loops that never wait for a peer, one thread per association from a
 * bounded number, per-address limits, and the drain at TERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "receiver/receiver.h"

#define BACKLOG          1024
#define OVER_LIMIT_SPARE 32 /* associations beyond the limit that are told so; further ones are closed */
#define STACK            (512 * 1024)

METRIC_GAUGE(active, "talaria_associations_active", "Associations running now.", "");

static struct receiver *receiver_of(struct daemon *d)
{
    return daemon_context(d);
}

/* ---- sockets ---- */

static int listen_on(const char *host, int64_t port, struct err *e)
{
    char service[8];
    snprintf(service, sizeof service, "%d", (int)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *ai = NULL;
    if (getaddrinfo(host, service, &hints, &ai))
        return err_set(e, ERR_FATAL, 0, "bind: \"%s\" is not an address", host);
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (ai->ai_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, BACKLOG)) {
            int saved = errno;
            close(fd);
            errno = saved;
            fd = -1;
        }
    }
    int saved = errno;
    freeaddrinfo(ai);
    return fd >= 0 ? fd : err_errno(e, ERR_FATAL, saved, "DICOM listener %s port %d", host, (int)port);
}

/* "192.0.2.7" also for an IPv4 peer of a dual-stack socket. */
static void peer_text(char *out, size_t cap, const struct sockaddr_storage *sa, socklen_t len)
{
    char host[64] = "?";
    getnameinfo((const struct sockaddr *)sa, len, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    str_copy(out, cap, strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host);
}

/* ---- associations ---- */

static bool register_association(struct receiver *r, struct association *a)
{
    int64_t limit = r->settings->associations, per_peer = 0;
    pthread_mutex_lock(&r->lock);
    for (struct association *x = r->associations; x; x = x->next)
        per_peer += strcmp(x->address, a->address) == 0;
    a->over_limit = r->n_associations >= limit || per_peer >= r->settings->associations_per_peer;
    bool ok = r->n_associations < limit + OVER_LIMIT_SPARE;
    if (ok) {
        a->next = r->associations;
        if (a->next)
            a->next->previous = a;
        r->associations = a;
        metric_set(&active, ++r->n_associations);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void receiver_negotiated(struct association *a, struct dimse_assoc *dimse)
{
    pthread_mutex_lock(&a->receiver->lock);
    a->dimse = dimse;
    if (a->negotiating_fd >= 0)
        close(a->negotiating_fd);
    a->negotiating_fd = -1;
    pthread_mutex_unlock(&a->receiver->lock);
}

void receiver_association_ended(struct association *a)
{
    struct receiver *r = a->receiver;
    pthread_mutex_lock(&r->lock);
    struct dimse_assoc *dimse = a->dimse;
    a->dimse = NULL;
    if (a->previous)
        a->previous->next = a->next;
    else
        r->associations = a->next;
    if (a->next)
        a->next->previous = a->previous;
    pthread_mutex_unlock(&r->lock);
    dimse_free(dimse);
    mem_free(a);
    pthread_mutex_lock(&r->lock);
    metric_set(&active, --r->n_associations);
    pthread_cond_broadcast(&r->ended);
    pthread_mutex_unlock(&r->lock);
}

static void start_association(struct receiver *r, int fd, bool tls,
                              const struct sockaddr_storage *sa, socklen_t len)
{
    struct association *a = mem_zalloc(sizeof *a);
    struct err e = {0};
    pthread_t thread;
    a->receiver = r;
    a->fd = fd;
    a->negotiating_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    a->tls = tls;
    peer_text(a->address, sizeof a->address, sa, len);
    if (!register_association(r, a)) {
        LOG_LIMITED(LOG_LEVEL_WARN, "far too many associations, connection closed",
                    LOG_STR("peer", a->address));
        close(fd);
        receiver_negotiated(a, NULL);
        mem_free(a);
        return;
    }
    if (thread_start(&thread, "association", STACK, association_run, a, &e) == 0) {
        pthread_detach(thread);
        return;
    }
    LOG_LIMITED(LOG_LEVEL_ERROR, "no thread for an association", LOG_ERR(&e));
    close(fd);
    receiver_negotiated(a, NULL);
    receiver_association_ended(a);
}

struct accept_arg {
    struct receiver *receiver;
    int which;
};

static void *accept_loop(void *arg)
{
    struct accept_arg me = *(struct accept_arg *)arg;
    struct receiver *r = me.receiver;
    mem_free(arg);
    while (!r->draining) {
        struct pollfd p = {.fd = r->listen_fd[me.which], .events = POLLIN};
        if (poll(&p, 1, 200) <= 0)
            continue;
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        int fd = accept4(p.fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);
        if (fd >= 0) {
            start_association(r, fd, me.which == 1, &sa, len);
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            LOG_LIMITED(LOG_LEVEL_ERROR, "accept failed", LOG_STR("error", strerrordesc_np(errno)));
            clock_sleep_ms(100, &r->draining);
        }
    }
    return NULL;
}

/* ---- the part ---- */

/* The lock: of two calls at once the later one must not set the older tags. */
static void take_config(void *arg)
{
    struct receiver *r = arg;
    pthread_mutex_lock(&r->lock);
    const struct config_snapshot *c = daemon_config(r->daemon);
    const struct row_strings *extra = &c->defaults.extra_tags;
    struct err e = {0};
    if (ingest_set_tags(r->ingest, extra->items, extra->n, &e))
        log_error("extra tags of the configuration are not usable", LOG_ERR(&e));
    daemon_config_release(r->daemon, c);
    pthread_mutex_unlock(&r->lock);
}

static int open_tls(struct receiver *r, struct err *e)
{
    const struct receiver_settings *s = r->settings;
    struct dimse_tls_options o = {.certificate = s->tls_certificate,
                                  .key = s->tls_key,
                                  .ca = s->tls_ca && *s->tls_ca ? s->tls_ca : NULL,
                                  .verify = (enum dimse_verify)s->tls_verify};
    return dimse_tls_new(&r->tls, &o, true, e);
}

static int open_listeners(struct receiver *r, struct err *e)
{
    const struct receiver_settings *s = r->settings;
    int64_t ports[LISTENERS] = {s->port, s->tls_port};
    if (s->tls_port && open_tls(r, e))
        return -1;
    for (int i = 0; i < LISTENERS; i++) {
        if (!ports[i])
            continue;
        r->listen_fd[i] = listen_on(s->bind, ports[i], e);
        if (r->listen_fd[i] < 0)
            return -1;
        struct accept_arg *arg = mem_alloc(sizeof *arg);
        *arg = (struct accept_arg){r, i};
        if (thread_start(&r->accept_thread[i], "accept", 0, accept_loop, arg, e)) {
            mem_free(arg);
            close(r->listen_fd[i]);
            r->listen_fd[i] = -1;
            return -1;
        }
        log_info(i ? "DICOM TLS listener" : "DICOM listener", LOG_INT("port", ports[i]));
    }
    return 0;
}

/* A socket and at most two files for each association (one of them while it negotiates). */
static void allow_files(int64_t associations)
{
    rlim_t want = (rlim_t)(associations + OVER_LIMIT_SPARE) * 3 + 256;
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= want)
        return;
    l.rlim_cur = l.rlim_max == RLIM_INFINITY || l.rlim_max > want ? want : l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur < want)
        log_warn("the limit of open files is too low for so many associations",
                 LOG_INT("limit", (int64_t)l.rlim_cur), LOG_INT("wanted", (int64_t)want));
}

static int start(struct daemon *d, struct err *e)
{
    const struct receiver_settings *s = (const struct receiver_settings *)daemon_settings(d);
    struct receiver *r = mem_zalloc(sizeof *r);
    r->daemon = d;
    r->settings = s;
    r->listen_fd[0] = r->listen_fd[1] = -1;
    r->limits = (struct dimse_limits){.negotiate_ms = s->negotiate_seconds * 1000,
                                      .idle_ms = s->idle_seconds * 1000,
                                      .message_ms = s->message_seconds * 1000,
                                      .min_rate = s->minimum_rate,
                                      .message_max = s->message_bytes};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->ended, NULL);
    daemon_set_context(d, r);
    allow_files(s->associations);
    dimse_setup();
    struct ingest_options o = {.site = s->common.site,
                               .source = daemon_source(d),
                               .store = daemon_store(d),
                               .producer = daemon_producer(d),
                               .memory_budget = (size_t)s->memory_bytes,
                               .stream_above = (size_t)s->stream_bytes,
                               .reserve_bytes = (uint64_t)s->reserve_bytes,
                               .announce_ms = s->announce_ms};
    if (ingest_new(&r->ingest, &o, e))
        return -1;
    daemon_on_config(d, take_config, r);
    take_config(r);
    if (receiver_beat_start(r, e))
        return -1;
    return open_listeners(r, e);
}

static void drain(struct daemon *d)
{
    struct receiver *r = receiver_of(d);
    if (!r || r->draining)
        return;
    r->draining = 1;
    for (int i = 0; i < LISTENERS; i++) {
        if (r->listen_fd[i] < 0)
            continue;
        thread_join(r->accept_thread[i]);
        close(r->listen_fd[i]);
        r->listen_fd[i] = -1;
    }
}

/* Waits until no association runs, at most seconds. */
static bool wait_ended(struct receiver *r, int64_t seconds)
{
    int64_t end = clock_mono_ms() + seconds * 1000;
    struct timespec until = {.tv_sec = end / 1000, .tv_nsec = end % 1000 * 1000000};
    pthread_mutex_lock(&r->lock);
    while (r->n_associations &&
           pthread_cond_clockwait(&r->ended, &r->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
        ;
    bool none = r->n_associations == 0;
    pthread_mutex_unlock(&r->lock);
    return none;
}

static void stop(struct daemon *d)
{
    struct receiver *r = receiver_of(d);
    if (!r)
        return;
    drain(d);
    if (!wait_ended(r, r->settings->drain_seconds)) {
        pthread_mutex_lock(&r->lock);
        for (struct association *a = r->associations; a; a = a->next) {
            if (a->dimse)
                dimse_wake(a->dimse);
            else if (a->negotiating_fd >= 0)
                (void)shutdown(a->negotiating_fd, SHUT_RDWR); /* fails if the peer was quicker */
        }
        pthread_mutex_unlock(&r->lock);
        if (!wait_ended(r, 30)) /* bounded by negotiate and Kafka time-outs; the process ends anyway */
            return;
    }
    receiver_beat_stop(r);
    daemon_on_config(d, NULL, NULL);
    ingest_free(r->ingest);
    dimse_tls_free(r->tls);
    pthread_cond_destroy(&r->ended);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

static bool ready(struct daemon *d, char why[128])
{
    struct receiver *r = receiver_of(d);
    if (!r->draining)
        return ingest_can_store(r->ingest, why);
    snprintf(why, 128, "stopping");
    return false;
}

const struct daemon_part receiver_listeners = {
    .name = "listeners", .start = start, .drain = drain, .stop = stop, .ready = ready};
