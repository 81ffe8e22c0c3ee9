/*
 * The protocol layer alone: associations that receive, count and answer, without storage; and our
 * own requestor as the load.
 *
 *   bench_sink                   tiny (11,152 bytes) and CT (530,832) over 1 and 4 associations,
 *                                window 1 and 8: instances per second
 *   bench_sink PORT [SECONDS]    only the sink, for foreign senders; prints what came
 */
#include <signal.h>
#include <stdatomic.h>

#include "acceptor.h"

static atomic_ullong stored, received;
static atomic_int stop;

static int count(void *arg, const void *p, size_t n, bool last)
{
    (void)arg;
    (void)p;
    (void)last;
    atomic_fetch_add_explicit(&received, n, memory_order_relaxed);
    return 0;
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg, sunk;
    static const struct dimse_limits limits = {10000, 60000, 60000, 0, 0};
    struct dimse_assoc *a = NULL;
    struct dimse_peer peer;
    struct dimse_command c;
    struct err e;

    if (dimse_accept(&a, fd, NULL, &limits, &peer, &e)) {
        fprintf(stderr, "accept: %s\n", e.text);
        return NULL;
    }
    for (unsigned i = 0; i < dimse_contexts(a); i++)
        dimse_context_accept(a, i, dimse_context(a, i)->syntaxes[0]);
    if (dimse_acknowledge(a, 8, &e) == 0)
        while (dimse_next(a, &c, &e) == DIMSE_COMMAND) {
            if (c.has_dataset && dimse_dataset(a, count, NULL, &sunk, &e))
                break;
            if (dimse_respond(a, &c, 0, NULL, &e))
                break;
            atomic_fetch_add_explicit(&stored, 1, memory_order_relaxed);
        }
    dimse_free(a);
    return NULL;
}

static int listen_on(int port, int *chosen)
{
    struct sockaddr_in s = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof s;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&s, sizeof s) || listen(fd, 512) ||
        getsockname(fd, (struct sockaddr *)&s, &n)) {
        perror("listen");
        exit(1);
    }
    *chosen = ntohs(s.sin_port);
    return fd;
}

static void *accept_loop(void *arg)
{
    int listener = (int)(intptr_t)arg, fd;
    pthread_t t;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (thread_start(&t, "sink", 256 << 10, serve, (void *)(intptr_t)fd, NULL))
            close(fd);
        else
            pthread_detach(t);
    }
    return NULL;
}

struct load {
    int port;
    unsigned window;
    size_t size;
    const uint8_t *data;
    int64_t until;
    uint64_t sent;
};

static void *generate(void *arg)
{
    struct load *l = arg;
    struct acceptor x = {.port = l->port};
    struct dimse_dial d = dial_to(&x);
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    struct err e;
    uint64_t asked = 0;

    d.window = l->window;
    if (dimse_connect(&a, &d, &e)) {
        fprintf(stderr, "connect: %s\n", e.text);
        return NULL;
    }
    for (bool more = true; more || l->sent < asked;) {
        more = clock_mono_ms() < l->until;
        while (more && asked - l->sent < dimse_window(a)) {
            if (dimse_store_begin(a, 3, (uint16_t)++asked, CT, "1.2.3.4.5", 0, &e) ||
                dimse_store_write(a, l->data, l->size, true, &e))
                goto lost;
        }
        if (l->sent < asked) {
            if (dimse_next(a, &c, &e) != DIMSE_COMMAND || c.status != 0)
                goto lost;
            l->sent++;
        }
    }
    if (dimse_release(a, &e))
        fprintf(stderr, "release: %s\n", e.text);
    dimse_free(a);
    return NULL;
lost:
    fprintf(stderr, "lost: %s\n", e.text);
    dimse_free(a);
    return NULL;
}

static void measure(int port, const uint8_t *data, const char *name, size_t size, int n,
                    unsigned window)
{
    struct load l[16];
    pthread_t t[16];
    int64_t start = clock_mono_ms();
    uint64_t total = 0, before = atomic_load(&stored), bytes = atomic_load(&received);

    for (int i = 0; i < n; i++) {
        l[i] = (struct load){port, window, size, data, start + 3000, 0};
        if (thread_start(&t[i], "load", 0, generate, &l[i], NULL))
            exit(1);
    }
    for (int i = 0; i < n; i++) {
        thread_join(t[i]);
        total += l[i].sent;
    }
    double s = (double)(clock_mono_ms() - start) / 1000;
    if (atomic_load(&stored) - before < total || atomic_load(&received) - bytes < total * size)
        fprintf(stderr, "the sink saw less than was sent\n");
    printf("%-5s %d association%s window %u: %8.0f inst/s %8.0f MB/s\n", name, n,
           n == 1 ? ", " : "s,", window, (double)total / s, (double)(total * size) / s / 1e6);
}

static void on_signal(int s)
{
    (void)s;
    atomic_store(&stop, 1);
}

static void sink_only(int seconds)
{
    int64_t until = clock_mono_ms() + seconds * 1000;
    unsigned long long before = 0;

    while (!atomic_load(&stop) && clock_mono_ms() < until) {
        (void)clock_sleep_ms(1000, NULL);
        unsigned long long now = atomic_load(&stored);
        if (now != before) {
            printf("%llu instances (+%llu), %llu bytes\n", now, now - before,
                   atomic_load(&received));
            fflush(stdout);
        }
        before = now;
    }
}

int main(int argc, char **argv)
{
    int port = 0, chosen;
    pthread_t t;

    dimse_setup();
    (void)signal(SIGTERM, on_signal);
    if (argc > 1)
        port = atoi(argv[1]);
    int listener = listen_on(port, &chosen);
    if (thread_start(&t, "accept", 0, accept_loop, (void *)(intptr_t)listener, NULL))
        return 1;
    if (argc > 1) {
        sink_only(argc > 2 ? atoi(argv[2]) : 3600);
        return 0;
    }
    uint8_t *data = mem_zalloc(530832);
    for (unsigned window = 1; window <= 8; window += 7)
        for (int n = 1; n <= 4; n += 3) {
            measure(chosen, data, "tiny", 11152, n, window);
            measure(chosen, data, "CT", 530832, n, window);
        }
    mem_free(data);
    return 0;
}
