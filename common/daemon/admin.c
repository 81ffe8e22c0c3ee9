/* The admin port: /healthz, /readyz, /metrics. One thread, bounded connections, GET only. */
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define CONNECTIONS  16
#define TIMEOUT_S    10
#define CONN_MEMORY  8192
#define THREAD_STACK (128 * 1024)
#define SILENCE_MS   60000

struct admin {
    struct MHD_Daemon *http;
    struct daemon *daemon;
    int port;
};

int admin_health(struct daemon *d, struct str *out)
{
    const char *name;
    int64_t silence = watchdog_silence(d, &name);
    if (silence < SILENCE_MS) {
        str_puts(out, "ok\n");
        return MHD_HTTP_OK;
    }
    str_printf(out, "thread %s has not come round for %lld s\n", name, (long long)silence / 1000);
    return MHD_HTTP_SERVICE_UNAVAILABLE;
}

struct checks {
    struct str *out;
    bool all;
    int n;
};

static void check(struct checks *c, const char *kind, const char *name, bool ready, const char *why)
{
    str_printf(c->out, "%s{\"name\":", c->n++ ? "," : "");
    char full[96];
    snprintf(full, sizeof full, "%s%s%s", kind, *name ? ":" : "", name);
    str_json(c->out, full, strlen(full));
    str_printf(c->out, ",\"ready\":%s", ready ? "true" : "false");
    if (!ready) {
        str_puts(c->out, ",\"why\":");
        str_json(c->out, why, strlen(why));
    }
    str_putc(c->out, '}');
    c->all = c->all && ready;
}

static void check_parts(struct checks *c, struct daemon *d)
{
    const struct service *s = d->service;
    for (size_t i = 0; i < __atomic_load_n(&d->n_parts, __ATOMIC_ACQUIRE); i++) {
        char why[128] = "";
        bool ready = !s->parts[i]->ready || s->parts[i]->ready(d, why);
        check(c, "part", s->parts[i]->name, ready, why);
    }
    for (size_t i = 0; i < __atomic_load_n(&d->n_runners, __ATOMIC_ACQUIRE); i++) {
        char why[DAEMON_WHY] = "";
        bool ready = runner_ready(d->runners[i], why);
        check(c, "stage", runner_name(d->runners[i]), ready, why);
    }
}

int admin_ready(struct daemon *d, struct str *out)
{
    char why[DAEMON_WHY] = "";
    struct str list = STR_INIT;
    struct checks c = {&list, true, 0};
    bool booted = readiness_get(&d->boot, why);
    check(&c, "start", "", booted, why);
    if (booted) {
        if (d->producer)
            check(&c, "kafka", "", kafka_producer_ready(d->producer), "no broker answers");
        if (d->feed) {
            bool loaded = feed_loaded(d->feed, why);
            check(&c, "configuration", "", loaded, why);
        }
        check_parts(&c, d);
    }
    if (d->stopping)
        check(&c, "stopping", "", false, "stopping");
    str_printf(out, "{\"ready\":%s,\"checks\":[%s]}\n", c.all ? "true" : "false", str_cstr(&list));
    str_free(&list);
    return c.all ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static enum MHD_Result answer(struct MHD_Connection *c, int status, const char *type,
                              struct str *body)
{
    size_t n = body->len;
    struct MHD_Response *r =
        MHD_create_response_from_buffer(n, str_take(body), MHD_RESPMEM_MUST_FREE);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    enum MHD_Result k = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return k;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    struct admin *a = arg;
    struct str body = STR_INIT;
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        str_puts(&body, "only GET\n");
        return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
    }
    if (strcmp(url, "/healthz") == 0)
        return answer(c, admin_health(a->daemon, &body), "text/plain", &body);
    if (strcmp(url, "/readyz") == 0)
        return answer(c, admin_ready(a->daemon, &body), "application/json", &body);
    if (strcmp(url, "/metrics") == 0) {
        process_measure();
        metrics_render(&body);
        return answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4", &body);
    }
    str_puts(&body, "/healthz /readyz /metrics\n");
    return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", &body);
}

/* "127.0.0.1:80", "[::1]:80", ":80" */
static int resolve(struct addrinfo **out, const char *where, struct err *e)
{
    char host[256];
    const char *colon = strrchr(where, ':');
    if (!colon || (size_t)(colon - where) >= sizeof host)
        return err_set(e, ERR_FATAL, 0, "admin: \"%.100s\" is not host:port", where);
    snprintf(host, sizeof host, "%.*s", (int)(colon - where), where);
    size_t n = strlen(host);
    char *name = host;
    if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int k = getaddrinfo(*name ? name : NULL, colon + 1, &hints, out);
    return k ? err_set(e, ERR_FATAL, 0, "admin: %.100s: %s", where, gai_strerror(k)) : 0;
}

static int listen_on(const struct addrinfo *ai, int *port, struct err *e)
{
    int on = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    char service[16] = "0";
    if (fd < 0)
        return err_errno(e, ERR_FATAL, errno, "admin: socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, CONNECTIONS) ||
        getsockname(fd, (struct sockaddr *)&bound, &n)) {
        err_errno(e, ERR_FATAL, errno, "admin: bind");
        close(fd);
        return -1;
    }
    getnameinfo((struct sockaddr *)&bound, n, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    *port = atoi(service);
    return fd;
}

static int tell_port(struct admin *a, const char *file, struct err *e)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", a->port);
    log_info("admin port", LOG_INT("port", a->port));
    return file && *file ? file_replace(file, text, (size_t)n, 0644, e) : 0;
}

int admin_start(struct admin **out, struct daemon *d, struct err *e)
{
    struct addrinfo *ai = NULL;
    if (resolve(&ai, d->settings->admin, e))
        return -1;
    struct admin *a = mem_zalloc(sizeof *a);
    a->daemon = d;
    int fd = listen_on(ai, &a->port, e);
    freeaddrinfo(ai);
    if (fd >= 0) {
        a->http = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL, handle, a,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            (size_t)CONN_MEMORY, MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK,
            MHD_OPTION_END);
        if (!a->http) {
            close(fd);
            err_set(e, ERR_FATAL, 0, "admin: the server does not start");
        }
    }
    if (a->http && !tell_port(a, d->settings->admin_file, e)) {
        *out = a;
        return 0;
    }
    admin_stop(a);
    return -1;
}

int admin_port(const struct admin *a)
{
    return a->port;
}

void admin_stop(struct admin *a)
{
    if (!a)
        return;
    if (a->http)
        MHD_stop_daemon(a->http);
    mem_free(a);
}
