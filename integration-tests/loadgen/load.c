/*
 * The load: one thread, epoll, N associations. The clock starts when all of them are established;
 * each takes a study after the other and sends it instance by instance, `window` at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "loadgen.h"

#define WINDOW_MAX   64
#define RECEIVE_MAX  (256 * 1024)
#define STALL_MS     60000 /* nothing answered for so long: given up */
#define ESTABLISH_MS 60000
#define STATUSES     16

enum state { CLOSED, ASKED, READY, RELEASING };

struct association {
    int fd;
    enum state state;
    unsigned window;
    /* what is being written: own head, then the shared rest */
    uint8_t *head;
    size_t written;
    bool writing, wants_write;
    struct {
        uint16_t id;
        int64_t began;
    } pending[WINDOW_MAX];
    unsigned n_pending;
    uint16_t message_id;
    uint8_t *rx;
    size_t rx_n;
    unsigned opened; /* how often */
    /* its study */
    struct instance at;
    int64_t left;
};

struct load {
    const struct load_options *o;
    struct message message;
    struct association *a;
    struct epoll_event *events;
    int epoll;
    int64_t given; /* instances handed out to studies */
    uint32_t studies;
    bool started, over;
    int64_t begin, last_answer, last_answer_wall, progress_ms;
    int64_t sent, answered, refused, lost, established;
    VEC(uint32_t) latency; /* microseconds */
    struct {
        unsigned status;
        int64_t n;
    } statuses[STATUSES];
    size_t n_statuses;
};

/* ---- what to send ---- */

static int64_t study_size(const struct load_options *o)
{
    return o->series_length * o->series;
}

/* The next study, if there is one. */
static bool take_study(struct load *l, struct association *a)
{
    int64_t n = study_size(l->o);
    if (l->over || (l->o->instances && l->given >= l->o->instances))
        return false;
    if (l->o->instances && n > l->o->instances - l->given)
        n = l->o->instances - l->given;
    a->at = (struct instance){.run = l->o->run, .study = l->studies++, .series = 0, .number = 0};
    a->left = n;
    l->given += n;
    return true;
}

/* Moves on to the next instance of the study. */
static bool next_instance(struct load *l, struct association *a)
{
    if (l->over || a->left == 0)
        return false;
    a->left--;
    if (a->at.number == l->o->series_length) {
        a->at.number = 0;
        a->at.series++;
    }
    a->at.number++;
    return true;
}

/* ---- associations ---- */

static int dial(const struct load_options *o)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1, one = 1;
    if (getaddrinfo(o->host, o->port, &hints, &list))
        return -1;
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, i->ai_addr, i->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    return fd;
}

static void watch(struct load *l, struct association *a, int op)
{
    struct epoll_event e = {.events = EPOLLIN | (a->wants_write ? EPOLLOUT : 0), .data.ptr = a};
    (void)epoll_ctl(l->epoll, op, a->fd, &e);
}

static void drop(struct load *l, struct association *a, const char *why)
{
    if (why) {
        if (l->lost++ < 5)
            fprintf(stderr, "loadgen: association lost: %s\n", why);
    }
    close(a->fd);
    a->fd = -1;
    a->state = CLOSED;
    a->n_pending = 0;
    a->writing = false;
}

static void open_association(struct load *l, struct association *a)
{
    struct str rq = STR_INIT;
    const struct load_options *o = l->o;
    wire_associate_rq(&rq, &(struct proposal){o->calling, o->called, o->max_pdu, o->window});
    a->fd = dial(o);
    a->opened++;
    a->rx_n = 0;
    a->wants_write = false;
    if (a->fd < 0) {
        drop(l, a, strerrorname_np(errno));
    } else {
        a->state = ASKED;
        watch(l, a, EPOLL_CTL_ADD);
        /* a fresh socket's buffer holds it */
        if (write(a->fd, rq.data, rq.len) != (ssize_t)rq.len)
            drop(l, a, "the request could not be written");
    }
    str_free(&rq);
}

static void release(struct load *l, struct association *a)
{
    static const uint8_t rq[10] = {PDU_RELEASE_RQ, 0, 0, 0, 0, 4};
    a->state = RELEASING;
    if (write(a->fd, rq, sizeof rq) != sizeof rq)
        drop(l, a, "the release could not be written");
}

/* ---- writing ---- */

/* false: the socket is full, or the association is lost. */
static bool write_on(struct load *l, struct association *a)
{
    const struct message *m = &l->message;
    while (a->written < m->n) {
        struct iovec v[2];
        int n = 0;
        if (a->written < m->head)
            v[n++] = (struct iovec){a->head + a->written, m->head - a->written};
        size_t rest = a->written > m->head ? a->written : m->head;
        if (rest < m->n)
            v[n++] = (struct iovec){m->bytes + rest, m->n - rest};
        ssize_t w = writev(a->fd, v, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno != EAGAIN) {
            drop(l, a, strerrorname_np(errno));
            return false;
        }
        if (w < 0) {
            if (!a->wants_write) {
                a->wants_write = true;
                watch(l, a, EPOLL_CTL_MOD);
            }
            return false;
        }
        a->written += (size_t)w;
    }
    a->writing = false;
    return true;
}

static void begin_instance(struct load *l, struct association *a)
{
    if (++a->message_id == 0)
        a->message_id = 1;
    message_head(a->head, &l->message, a->message_id, &a->at);
    a->pending[a->n_pending].id = a->message_id;
    a->pending[a->n_pending++].began = clock_mono_ns();
    a->written = 0;
    a->writing = true;
    l->sent++;
}

/* Writes what may be written now; releases when there is nothing left. */
static void pump(struct load *l, struct association *a)
{
    while (a->state == READY && !a->writing && a->n_pending < a->window) {
        if (a->left == 0 && l->o->reconnect && a->at.number > 0)
            break; /* its study is through: a new association for the next */
        if (a->left == 0 && !take_study(l, a))
            break;
        if (!next_instance(l, a))
            break;
        begin_instance(l, a);
        if (!write_on(l, a))
            return;
    }
    if (a->state == READY && !a->writing && a->n_pending == 0)
        release(l, a);
}

/* ---- reading ---- */

static void count_status(struct load *l, unsigned status)
{
    size_t i = 0;
    while (i < l->n_statuses && l->statuses[i].status != status)
        i++;
    if (i == STATUSES)
        return;
    if (i == l->n_statuses)
        l->statuses[l->n_statuses++].status = status;
    l->statuses[i].n++;
}

static void take_answer(struct load *l, struct association *a, const uint8_t *pdv, size_t n)
{
    struct command_set c;
    unsigned i = 0;
    if (n < PDV_HEADER || wire_u32be(pdv) != n - 4 || pdv[5] != 3 ||
        wire_parse_command(&c, pdv + PDV_HEADER, n - PDV_HEADER) || c.field != C_STORE_RSP) {
        drop(l, a, "an answer is not a C-STORE-RSP in one fragment");
        return;
    }
    while (i < a->n_pending && a->pending[i].id != c.message_id)
        i++;
    if (i == a->n_pending) {
        drop(l, a, "an answer to no question");
        return;
    }
    int64_t now = clock_mono_ns();
    *vec_push(&l->latency) = (uint32_t)((now - a->pending[i].began) / 1000);
    a->pending[i] = a->pending[--a->n_pending];
    count_status(l, c.status);
    l->answered++;
    l->refused += c.status != 0 && c.status >> 12 != 0xB;
    l->last_answer = now;
    l->last_answer_wall = clock_wall_ms();
}

static void take_pdu(struct load *l, struct association *a, unsigned type, const uint8_t *body,
                     size_t n)
{
    struct accepted ac;
    if (type == PDU_ASSOCIATE_AC && a->state == ASKED) {
        wire_parse_ac(&ac, body, n);
        if (!ac.context || (ac.max_pdu && ac.max_pdu < l->o->max_pdu)) {
            fprintf(stderr, "loadgen: context %s, largest PDU %u: use --pdu\n",
                    ac.context ? "accepted" : "refused", ac.max_pdu);
            drop(l, a, "not usable");
            return;
        }
        a->state = READY;
        a->window = ac.window < l->o->window ? ac.window : l->o->window;
        l->established++;
    } else if (type == PDU_DATA && a->state == READY) {
        take_answer(l, a, body, n);
    } else if (type == PDU_RELEASE_RP && a->state == RELEASING) {
        drop(l, a, NULL);
        a->at.number = 0;
        if (l->o->reconnect && take_study(l, a))
            open_association(l, a);
    } else {
        drop(l, a,
             type == PDU_ABORT          ? "aborted by the peer"
             : type == PDU_ASSOCIATE_RJ ? "rejected by the peer"
                                        : "an unexpected PDU");
    }
}

static void read_on(struct load *l, struct association *a)
{
    ssize_t got = read(a->fd, a->rx + a->rx_n, RECEIVE_MAX - a->rx_n);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(l, a, got ? strerrorname_np(errno) : "closed by the peer");
        return;
    }
    a->rx_n += (size_t)got;
    size_t at = 0;
    while (a->rx_n - at >= PDU_HEADER) {
        size_t n = wire_u32be(a->rx + at + 2);
        if (n > RECEIVE_MAX - PDU_HEADER) {
            drop(l, a, "a PDU of impossible length");
            return;
        }
        if (a->rx_n - at < PDU_HEADER + n)
            break;
        unsigned opened = a->opened;
        take_pdu(l, a, a->rx[at], a->rx + at + PDU_HEADER, n);
        if (a->opened != opened || a->state == CLOSED)
            return; /* lost, or a new association in its place */
        at += PDU_HEADER + n;
    }
    memmove(a->rx, a->rx + at, a->rx_n - at);
    a->rx_n -= at;
}

/* ---- the run ---- */

static size_t alive(const struct load *l, bool asked_only)
{
    size_t n = 0;
    for (unsigned i = 0; i < l->o->associations; i++)
        n += asked_only ? l->a[i].state == ASKED : l->a[i].state != CLOSED;
    return n;
}

static void handle(struct load *l, const struct epoll_event *e)
{
    struct association *a = e->data.ptr;
    if (a->state == CLOSED)
        return;
    if (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_on(l, a);
    if (a->state == READY && a->writing && e->events & EPOLLOUT && write_on(l, a) &&
        a->wants_write) {
        a->wants_write = false;
        watch(l, a, EPOLL_CTL_MOD);
    }
    if (l->started && a->state == READY)
        pump(l, a);
}

static void poll_once(struct load *l, int wait_ms)
{
    int n = epoll_wait(l->epoll, l->events, (int)l->o->associations, wait_ms);
    for (int i = 0; i < n; i++)
        handle(l, &l->events[i]);
}

static void establish(struct load *l)
{
    int64_t until = clock_mono_ms() + ESTABLISH_MS;
    for (unsigned i = 0; i < l->o->associations; i++) {
        open_association(l, &l->a[i]);
        poll_once(l, 0);
    }
    while (alive(l, true) > 0 && clock_mono_ms() < until)
        poll_once(l, 100);
    for (unsigned i = 0; i < l->o->associations; i++)
        if (l->a[i].state == ASKED)
            drop(l, &l->a[i], "no answer to the association request");
}

static void send_load(struct load *l)
{
    int64_t end = l->o->seconds ? clock_mono_ms() + l->o->seconds * 1000 : INT64_MAX, seen = -1;
    l->begin = l->last_answer = clock_mono_ns();
    l->started = true;
    for (unsigned i = 0; i < l->o->associations; i++)
        if (l->a[i].state == READY)
            pump(l, &l->a[i]);
    while (alive(l, false) > 0) {
        poll_once(l, 100);
        int64_t now = clock_mono_ms();
        l->over = l->over || now >= end;
        if (l->answered != seen) {
            seen = l->answered;
            l->progress_ms = now;
        } else if (now - l->progress_ms > STALL_MS) {
            for (unsigned i = 0; i < l->o->associations; i++)
                if (l->a[i].state != CLOSED)
                    drop(l, &l->a[i], "nothing came for 60 s");
        }
    }
}

static void hold(struct load *l)
{
    int64_t end = clock_mono_ms() + l->o->seconds * 1000;
    printf("{\"established\":%lld}\n", (long long)l->established);
    fflush(stdout);
    while (clock_mono_ms() < end && alive(l, false) > 0)
        poll_once(l, 100);
    printf("{\"held\":%zu,\"lost\":%lld}\n", alive(l, false), (long long)l->lost);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(const struct load *l, double p)
{
    if (l->latency.n == 0)
        return 0;
    size_t i = (size_t)((double)(l->latency.n - 1) * p + 0.5);
    return l->latency.items[i] / 1000.0;
}

static void report(struct load *l)
{
    struct rusage u;
    double s = (double)(l->last_answer - l->begin) / 1e9;
    double rate = s > 0 ? (double)l->answered / s : 0;
    if (l->latency.n)
        qsort(l->latency.items, l->latency.n, sizeof *l->latency.items, by_size);
    getrusage(RUSAGE_SELF, &u);
    printf(
        "{\"associations\":%u,\"established\":%lld,\"lost\":%lld,\"sent\":%lld,\"answered\":%lld,"
        "\"refused\":%lld,\"studies\":%u,\"size\":%zu,",
        l->o->associations, (long long)l->established, (long long)l->lost, (long long)l->sent,
        (long long)l->answered, (long long)l->refused, l->studies, l->message.dataset);
    printf("\"seconds\":%.4f,\"perSecond\":%.1f,\"megabytesPerSecond\":%.1f,", s, rate,
           rate * (double)l->message.dataset / 1e6);
    printf("\"latencyMs\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"lastAnswerAt\":%lld,",
           percentile(l, 0.5), percentile(l, 0.99), percentile(l, 1),
           (long long)l->last_answer_wall);
    printf("\"cpuSeconds\":%.3f,\"statuses\":{",
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    for (size_t i = 0; i < l->n_statuses; i++)
        printf("%s\"%04X\":%lld", i ? "," : "", l->statuses[i].status, (long long)l->statuses[i].n);
    printf("}}\n");
}

int load_run(const struct load_options *o)
{
    struct load l = {.o = o, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    message_new(&l.message, o->size, o->max_pdu);
    l.a = mem_zalloc(o->associations * sizeof *l.a);
    l.events = mem_zalloc(o->associations * sizeof *l.events);
    for (unsigned i = 0; i < o->associations; i++) {
        l.a[i].fd = -1;
        l.a[i].head = o->idle ? NULL : mem_alloc(l.message.head);
        l.a[i].rx = mem_alloc(RECEIVE_MAX);
    }
    establish(&l);
    if (o->idle) {
        hold(&l);
    } else {
        send_load(&l);
        report(&l);
    }
    for (unsigned i = 0; i < o->associations; i++) {
        if (l.a[i].fd >= 0)
            close(l.a[i].fd);
        mem_free(l.a[i].head);
        mem_free(l.a[i].rx);
    }
    bool fine = l.lost == 0 && l.refused == 0 && l.established >= (int64_t)o->associations;
    message_free(&l.message);
    vec_free(&l.latency);
    mem_free(l.a);
    mem_free(l.events);
    close(l.epoll);
    return fine ? 0 : 1;
}
