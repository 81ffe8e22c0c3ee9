/* The table of routes (schemas/openapi.yaml says the same; a test compares them) and the way to it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/gateway.h"
#include "log/log.h"
#include "metrics/metrics.h"

METRIC_COUNTER(requests, "talaria_gateway_requests_total", "Requests answered.", "route,status");
METRIC_HISTOGRAM(seconds, "talaria_gateway_request_seconds", "Time to answer a request.", "route",
                 metric_seconds_instance);

const struct route routes[] = {
    {"GET", "/", page_status, true},
    {"GET", "/status.js", page_script, true},
    {"GET", "/status.css", page_style, true},
    {"GET", "/api/v1/openapi.yaml", page_openapi, true},
    {"GET", "/api/v1/status", api_status, false},
    {"GET", "/api/v1/studies", api_studies, false},
    {"GET", "/api/v1/studies/{study}", api_study, false},
    {"POST", "/api/v1/studies/{study}/replay", api_study_replay, false},
    {"POST", "/api/v1/studies/{study}/reroute", api_study_reroute, false},
    {"GET", "/api/v1/series/{series}", api_series, false},
    {"GET", "/api/v1/deliveries", api_deliveries, false},
    {"POST", "/api/v1/deliveries/restart", api_deliveries_restart, false},
    {"POST", "/api/v1/deliveries/resend", api_deliveries_resend, false},
    {"POST", "/api/v1/deliveries/{delivery}/cancel", api_delivery_cancel, false},
    {"POST", "/api/v1/deliveries/{delivery}/retry", api_delivery_retry, false},
    {"POST", "/api/v1/deliveries/{delivery}/restart", api_delivery_restart, false},
    {"POST", "/api/v1/deliveries/{delivery}/resend", api_delivery_resend, false},
    {"GET", "/api/v1/events", api_events, false},
    {"GET", "/api/v1/ledger", api_ledger, false},
    {"GET", "/api/v1/holds", api_holds, false},
    {"POST", "/api/v1/holds", api_holds_post, false},
    {"DELETE", "/api/v1/holds/{hold}", api_holds_delete, false},
    {"POST", "/api/v1/dismissals", api_dismissals_post, false},
    {"GET", "/api/v1/config", api_config_get, false},
    {"PUT", "/api/v1/config", api_config_put, false},
    {"POST", "/api/v1/config/check", api_config_check, false},
    {"GET", "/api/v1/config/revisions", api_config_revisions, false},
    {"POST", "/api/v1/rules/test", api_rules_test, false},
};
const size_t routes_n = ARRAY_LEN(routes);

enum { PARAM_MAX = 512 };

/* Does the path fit the template? param: what stands for {…}. */
static bool fits(const char *template, const char *path, char param[PARAM_MAX])
{
    const char *brace = strchr(template, '{');
    size_t n = brace ? (size_t)(brace - template) : 0;
    *param = '\0';
    if (!brace)
        return strcmp(template, path) == 0;
    if (strncmp(template, path, n) != 0)
        return false;
    size_t length = strcspn(path + n, "/");
    const char *rest = strchr(brace, '}');
    if (length == 0 || length >= PARAM_MAX || !rest || strcmp(rest + 1, path + n + length) != 0)
        return false;
    memcpy(param, path + n, length);
    param[length] = '\0';
    return true;
}

static bool method_is(const struct http_request *r, const char *method)
{
    return strcmp(r->method, method) == 0 ||
           (strcmp(r->method, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

/* NULL: no such path; *path_exists tells whether another method would do. */
static const struct route *find(const struct http_request *r, char param[PARAM_MAX],
                                bool *path_exists)
{
    *path_exists = false;
    for (size_t i = 0; i < routes_n; i++) {
        if (!fits(routes[i].path, r->path, param))
            continue;
        *path_exists = true;
        if (method_is(r, routes[i].method))
            return &routes[i];
    }
    return NULL;
}

/* ---- who may ---- */

static bool equal_hex(const char *a, const char *b)
{
    unsigned char different = 0;
    for (size_t i = 0; i < HASH_SHA256_HEX; i++)
        different |= (unsigned char)(a[i] ^ b[i]);
    return !different;
}

static bool authorized(const struct call *c)
{
    char sha256[HASH_SHA256_HEX];
    if (!*c->g->token_sha256)
        return true;
    const char *h = http_header(c->request, "Authorization");
    if (!h || strncasecmp(h, "Bearer ", 7) != 0)
        return false;
    hash_sha256_hex(sha256, h + 7, strlen(h + 7));
    return equal_hex(sha256, c->g->token_sha256);
}

/* A page of elsewhere whose name was re-bound to our address must not read patient data. */
static bool host_is_ours(const struct call *c)
{
    const char *h = http_header(c->request, "Host");
    char name[256], address[16];
    if (!h)
        return true;
    if (*h == '[') {
        size_t n = strcspn(h + 1, "]");
        return n < sizeof name && memcpy(name, h + 1, n) && !(name[n] = '\0') &&
               inet_pton(AF_INET6, name, address) == 1;
    }
    size_t n = strcspn(h, ":");
    if (n >= sizeof name)
        return false;
    memcpy(name, h, n);
    name[n] = '\0';
    if (strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1)
        return true;
    for (size_t i = 0; i < c->g->hosts.n; i++)
        if (strcasecmp(name, c->g->hosts.items[i]) == 0)
            return true;
    return false;
}

/* Only what a form of another page cannot send may change something. */
static bool is_json(const struct call *c)
{
    const char *type = http_header(c->request, "Content-Type");
    size_t n = type ? strcspn(type, "; ") : 0;
    return n == strlen("application/json") && strncasecmp(type, "application/json", n) == 0;
}

static void dispatch(struct call *c, const struct route *route, bool path_exists)
{
    if (!host_is_ours(c))
        reply_problem(c, 421, "unknown-host", "This host name is not among the setting hosts.");
    else if (!route && path_exists)
        reply_problem(c, 405, "method-not-allowed", "The path exists, this method does not.");
    else if (!route)
        reply_problem(c, 404, "not-found", "No such path.");
    else if (!route->open && !authorized(c)) {
        http_reply_header(c->reply, "WWW-Authenticate", "Bearer");
        reply_problem(c, 401, "unauthorized", "A bearer token is needed.");
    } else if (c->request->body_too_large)
        reply_problem(c, 413, "body-too-large", "The body is larger than this server takes.");
    else if (strcmp(route->method, "GET") != 0 && !is_json(c))
        reply_problem(c, 415, "not-json", "The body must be application/json.");
    else
        route->handle(c);
}

void gateway_handle(void *gateway, const struct http_request *r, struct http_reply *out)
{
    char param[PARAM_MAX];
    struct call c = {gateway, r, out, param};
    bool path_exists;
    char status[16];
    int64_t begun = clock_mono_ns();
    const struct route *route = find(r, param, &path_exists);
    dispatch(&c, route, path_exists);
    if (!out->content_type)
        out->content_type = "application/json";
    http_reply_header(out, "Cache-Control", "no-store");
    http_reply_header(out, "X-Content-Type-Options", "nosniff");
    http_reply_header(out, "Referrer-Policy", "no-referrer");
    /* templates, never paths: a path may name a patient */
    const char *name = route ? route->path : "none";
    snprintf(status, sizeof status, "%d", out->status ? out->status : 200);
    metric_add(&requests, 1, name, status);
    metric_observe(&seconds, (double)(clock_mono_ns() - begun) / 1e9, name);
}

/* ---- replies ---- */

static const char *title_of(int status)
{
    switch (status) {
    case 400:
        return "Bad request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 409:
        return "Conflict";
    case 412:
        return "Precondition failed";
    case 413:
        return "Content too large";
    case 415:
        return "Unsupported media type";
    case 421:
        return "Misdirected request";
    case 422:
        return "Unprocessable content";
    case 428:
        return "Precondition required";
    case 503:
        return "Service unavailable";
    default:
        return "Internal error";
    }
}

static void begin_problem(struct call *c, int status, const char *code, const char *detail)
{
    struct http_reply *out = c->reply;
    str_clear(&out->body);
    out->status = status;
    out->content_type = "application/problem+json";
    str_printf(&out->body, "{\"type\":\"urn:talaria:problem:%s\",\"title\":\"%s\",\"status\":%d",
               code, title_of(status), status);
    str_puts(&out->body, ",\"detail\":");
    str_json(&out->body, detail, strlen(detail));
}

void reply_problem(struct call *c, int status, const char *code, const char *detail)
{
    begin_problem(c, status, code, detail);
    str_putc(&c->reply->body, '}');
}

void reply_errors(struct call *c, const struct rows_error *errors, size_t n)
{
    begin_problem(c, 422, "invalid", "The document is not valid; nothing was changed.");
    struct str *s = &c->reply->body;
    str_puts(s, ",\"errors\":[");
    for (size_t i = 0; i < n; i++) {
        str_puts(s, i ? ",{\"pointer\":" : "{\"pointer\":");
        str_json(s, errors[i].pointer, strlen(errors[i].pointer));
        str_puts(s, ",\"reason\":");
        str_json(s, errors[i].reason, strlen(errors[i].reason));
        str_putc(s, '}');
    }
    str_puts(s, "]}");
}

void reply_err(struct call *c, const struct err *e)
{
    if (e->kind == ERR_REJECT && e->code == 404)
        reply_problem(c, 404, "not-found", "Not in the ledger.");
    else if (e->kind == ERR_REJECT && e->code == 400)
        reply_problem(c, 400, "bad-request", e->text);
    else if (e->kind == ERR_RETRY) {
        LOG_LIMITED(LOG_LEVEL_WARN, "request not answered", LOG_ERR(e));
        http_reply_header(c->reply, "Retry-After", "2");
        reply_problem(c, 503, "unavailable", "The database does not answer; try again.");
    } else {
        LOG_LIMITED(LOG_LEVEL_ERROR, "request failed", LOG_ERR(e));
        reply_problem(c, 500, "internal", "The server's log says more.");
    }
}
