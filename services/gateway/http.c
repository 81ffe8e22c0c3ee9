/*
 * The adapter on ulfius. What it closes: ulfius' default select() loop ends at a thousand
 * connections, so poll is asked for; it buffers whole bodies and cuts them silently at its limit,
 * so the limit is one more than ours and a body of that size is too large.
 */
#include "gateway/http.h"

#include <arpa/inet.h>
#include <strings.h>
#include <ulfius.h>

#include "base/mem.h"

enum { STACK = 256 * 1024 };

struct http_server {
    struct _u_instance instance;
    struct http_options options;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static const char *map_get(const struct _u_map *m, const char *name)
{
    return u_map_has_key_case(m, name) ? u_map_get_case(m, name) : NULL;
}

const char *http_header(const struct http_request *r, const char *name)
{
    return map_get(((const struct _u_request *)r->raw)->map_header, name);
}

const char *http_query(const struct http_request *r, const char *name)
{
    return map_get(((const struct _u_request *)r->raw)->map_url, name);
}

void http_reply_header(struct http_reply *r, const char *name, const char *value)
{
    if (r->n_headers == HTTP_HEADERS)
        return;
    r->headers[r->n_headers].name = name;
    str_copy(r->headers[r->n_headers].value, sizeof r->headers[0].value, value);
    r->n_headers++;
}

/* The path without its query; ulfius leaves it in http_url. */
static char *path_of(const struct _u_request *q)
{
    return mem_strndup(q->http_url, strcspn(q->http_url, "?"));
}

static int on_request(const struct _u_request *q, struct _u_response *a, void *arg)
{
    struct http_server *s = arg;
    char *path = path_of(q);
    struct http_request r = {.method = q->http_verb, .path = path, .raw = q};
    r.body = (struct slice){q->binary_body, q->binary_body_length};
    r.body_too_large = q->binary_body_length > s->options.body_max;
    struct http_reply reply = {0};
    s->options.handle(s->options.arg, &r, &reply);
    for (size_t i = 0; i < reply.n_headers; i++)
        u_map_put(a->map_header, reply.headers[i].name, reply.headers[i].value);
    if (reply.content_type)
        u_map_put(a->map_header, "Content-Type", reply.content_type);
    ulfius_set_binary_body_response(a, (unsigned)(reply.status ? reply.status : 200),
                                    str_cstr(&reply.body), reply.body.len);
    str_free(&reply.body);
    mem_free(path);
    return U_CALLBACK_COMPLETE;
}

static int parse_address(struct http_server *s, const struct http_options *o, struct err *e)
{
    s->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    s->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)o->port)};
    if (inet_pton(AF_INET, o->address, &s->v4.sin_addr) == 1)
        return 4;
    if (inet_pton(AF_INET6, o->address, &s->v6.sin6_addr) == 1)
        return 6;
    return err_set(e, ERR_FATAL, 0, "%s is not an IP address", o->address);
}

static int start(struct http_server *s, int family, struct err *e)
{
    const void *address = family == 4 ? (const void *)&s->v4 : (const void *)&s->v6;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)mhd_request_completed, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)ulfius_uri_logger, NULL},
        {MHD_OPTION_SOCK_ADDR, 0, (void *)(uintptr_t)address},
        {MHD_OPTION_THREAD_STACK_SIZE, STACK, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, s->options.connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, s->options.timeout_seconds, NULL},
        {MHD_OPTION_LISTENING_ADDRESS_REUSE, 1, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | (family == 6 ? MHD_USE_IPv6 | MHD_USE_DUAL_STACK : 0);
    if (ulfius_start_framework_with_mhd_options(&s->instance, flags, options) != U_OK)
        return err_set(e, ERR_FATAL, 0, "cannot listen on %s port %d", s->options.address,
                       s->options.port);
    return 0;
}

int http_start(struct http_server **out, const struct http_options *o, struct err *e)
{
    struct http_server *s = mem_zalloc(sizeof *s);
    s->options = *o;
    int family = parse_address(s, o, e);
    /* ulfius insists on a port of its own although MHD gets the address */
    if (family < 0 ||
        ulfius_init_instance(&s->instance, o->port ? (unsigned)o->port : 1, NULL, NULL) != U_OK) {
        mem_free(s);
        return family < 0 ? -1 : err_set(e, ERR_FATAL, 0, "ulfius does not start");
    }
    s->instance.max_post_body_size = o->body_max + 1;
    s->instance.allowed_post_processor = U_POST_PROCESS_NONE;
    ulfius_set_default_endpoint(&s->instance, on_request, s);
    if (start(s, family, e) != 0) {
        ulfius_clean_instance(&s->instance);
        mem_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

/* Asked of the socket: MHD believes the port that ulfius told it. */
int http_port(const struct http_server *s)
{
    const union MHD_DaemonInfo *i =
        MHD_get_daemon_info(s->instance.mhd_daemon, MHD_DAEMON_INFO_LISTEN_FD);
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    if (!i || getsockname(i->listen_fd, (struct sockaddr *)&a, &n) != 0)
        return s->options.port;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

void http_stop(struct http_server *s)
{
    if (!s)
        return;
    ulfius_stop_framework(&s->instance);
    ulfius_clean_instance(&s->instance);
    mem_free(s);
}
