/* talaria-gateway: the REST API, the configuration and the status page. */
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "gateway/gateway.h"
#include "gateway/relay.h"
#include "gateway/settings.h"
#include "log/log.h"

enum { TIMEOUT_SECONDS = 30, TOKEN_MAX = 4096 };

/* What the one part of this process owns. */
struct context {
    struct gateway gateway;
    struct http_server *http;
    struct relay *relay;
};

static int write_config(void *arg, const struct event *current, const struct event *published,
                        struct err *e)
{
    struct daemon *d = arg;
    struct outputs o = daemon_outputs(d);
    int rc = current ? outputs_event(&o, "config", -1, "current", current, -1, e) : 0;
    if (rc == 0)
        rc = outputs_event(&o, "event", -1, NULL, published, -1, e);
    if (rc == 0)
        rc = daemon_write(d, &o, e);
    outputs_free(&o);
    return rc;
}

static int write_event(void *arg, const struct event *ev, struct err *e)
{
    struct daemon *d = arg;
    struct outputs o = daemon_outputs(d);
    int rc = outputs_event(&o, "event", -1, NULL, ev, -1, e);
    if (rc == 0)
        rc = daemon_write(d, &o, e);
    outputs_free(&o);
    return rc;
}

static int append(void *arg, const struct gateway_record *records, size_t n, struct err *e)
{
    struct daemon *d = arg;
    struct outputs o = daemon_outputs(d);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = outputs_event(&o, records[i].noun, -1, records[i].key, records[i].ev, -1, e);
    if (rc == 0)
        rc = daemon_write(d, &o, e);
    outputs_free(&o);
    return rc;
}

static void newest(void *arg, char out[CONFIGS_REVISION])
{
    const struct config_snapshot *s = daemon_config(arg);
    str_copy(out, CONFIGS_REVISION, s->revision);
    daemon_config_release(arg, s);
}

static int read_token(struct gateway *g, const char *path, struct err *e)
{
    struct str token = STR_INIT;
    if (!path || !*path)
        return 0;
    if (file_read(&token, path, TOKEN_MAX, e) != 0)
        return err_wrap(e, "apiTokenFile");
    struct slice t = slice_trim(str_slice(&token), " \t\r\n");
    int rc = t.n >= 16 ? 0 : err_set(e, ERR_FATAL, 0, "apiTokenFile: fewer than 16 characters");
    if (rc == 0)
        hash_sha256_hex(g->token_sha256, t.p, t.n);
    str_free(&token);
    return rc;
}

/* "127.0.0.1:8000" or "[::1]:8000" → address and port. */
static int split_listen(const char *listen, char address[64], int64_t *port, struct err *e)
{
    const char *colon = strrchr(listen, ':');
    if (!colon || str_int64(port, colon + 1, 0, 65535) != 0)
        return err_set(e, ERR_FATAL, 0, "listen: %s is not address:port", listen);
    struct slice a = slice_trim((struct slice){listen, (size_t)(colon - listen)}, "[]");
    if (a.n == 0 || a.n >= 64)
        return err_set(e, ERR_FATAL, 0, "listen: %s has no address", listen);
    memcpy(address, a.p, a.n);
    address[a.n] = '\0';
    return 0;
}

static int listen_http(struct context *c, const struct gateway_settings *s, struct err *e)
{
    char address[64];
    int64_t port;
    if (split_listen(s->listen, address, &port, e) != 0)
        return -1;
    struct http_options o = {.address = address,
                             .port = (int)port,
                             .body_max = (size_t)s->body_bytes,
                             .connections = (int)s->connections,
                             .timeout_seconds = TIMEOUT_SECONDS,
                             .handle = gateway_handle,
                             .arg = &c->gateway};
    if (http_start(&c->http, &o, e) != 0)
        return -1;
    log_info("listening", LOG_STR("address", address), LOG_INT("port", http_port(c->http)));
    return 0;
}

static void stop(struct daemon *d)
{
    struct context *c = daemon_context(d);
    if (!c)
        return;
    http_stop(c->http);
    relay_stop(c->relay);
    pool_free(c->gateway.pool);
    mem_free(c);
    daemon_set_context(d, NULL);
}

static int start(struct daemon *d, struct err *e)
{
    const struct gateway_settings *s = (const struct gateway_settings *)daemon_settings(d);
    struct context *c = mem_zalloc(sizeof *c);
    daemon_set_context(d, c);
    c->gateway =
        (struct gateway){.pool = pool_new(s->common.database, (size_t)s->database_connections),
                         .publisher = {daemon_store(d), write_config, d},
                         .newest = newest,
                         .write = write_event,
                         .append = append,
                         .arg = d,
                         .hosts = s->hosts};
    if (read_token(&c->gateway, s->api_token_file, e) != 0 ||
        relay_start(&c->relay, &c->gateway, s->common.database, e) != 0 ||
        listen_http(c, s, e) != 0) {
        stop(d);
        return -1;
    }
    return 0;
}

static bool ready(struct daemon *d, char why[128])
{
    struct context *c = daemon_context(d);
    return c && relay_ready(c->relay, why);
}

static const struct daemon_part api = {.name = "api", .start = start, .stop = stop, .ready = ready};
static const struct daemon_part *const parts[] = {&api, NULL};

int main(int argc, char **argv)
{
    const struct service service = {.name = "gateway",
                                    .summary =
                                        "the REST API, the configuration and the status page",
                                    .settings = gateway_rows,
                                    .n_settings = gateway_rows_n,
                                    .settings_size = sizeof(struct gateway_settings),
                                    .parts = parts};
    return daemon_main(&service, argc, argv);
}
