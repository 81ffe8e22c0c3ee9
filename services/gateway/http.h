/*
 * HTTP behind a thin adapter: one function is called for every request, in a thread of the
 * connection. Only http.c knows the library below, so that another can take its place.
 */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_request {
    const char *method, *path; /* path is decoded, without the query */
    struct slice body;
    bool body_too_large; /* the body is not there, or cut */
    const void *raw;
};
/* NULL if absent. Header names in any case. */
const char *http_header(const struct http_request *r, const char *name);
const char *http_query(const struct http_request *r, const char *name);

#define HTTP_HEADERS 8
struct http_reply {
    int status;               /* 0 = 200 */
    const char *content_type; /* a literal */
    struct str body;
    struct {
        const char *name; /* a literal */
        char value[160];
    } headers[HTTP_HEADERS];
    size_t n_headers;
};
void http_reply_header(struct http_reply *r, const char *name, const char *value);

struct http_options {
    const char *address; /* IPv4 or IPv6 */
    int port;            /* 0 = any; see http_port */
    size_t body_max;
    int connections, timeout_seconds;
    void (*handle)(void *arg, const struct http_request *r, struct http_reply *out);
    void *arg;
};

struct http_server;
int http_start(struct http_server **out, const struct http_options *o, struct err *e) MUST_CHECK;
int http_port(const struct http_server *s);
/* Waits for running requests. NULL is fine. */
void http_stop(struct http_server *s);

#endif
