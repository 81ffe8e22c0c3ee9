/* One HTTP request to the gateway, on libcurl. */
#ifndef TALARIA_HTTP_H
#define TALARIA_HTTP_H

#include <jansson.h>

#include "talaria/cli.h"

struct http_request {
    const char *method; /* GET, PUT, POST */
    const char *path;   /* after /api/v1: "/status" */
    const char *body;   /* NULL = none */
    size_t body_n;
    const char *if_match; /* NULL = none */
};
struct http_answer {
    long status;
    struct str body;
    char etag[256], location[1024];
};

/* 0: there is an answer, whatever its status. -1: none (ERR_RETRY: the gateway cannot be reached).
 */
int http_ask(struct http_answer *out, const struct cli *c, const struct http_request *rq,
             struct err *e) MUST_CHECK;
void http_free(struct http_answer *a);

/* GET that must be answered with 2xx and JSON. NULL: *exit_status is set and it has been said why.
 * The text goes to *raw if that is not NULL (free it). */
json_t *http_get_json(const struct cli *c, const char *path, struct str *raw, int *exit_status);
/* POST; what the gateway answers with 2xx is appended to *out, else it has been said. The exit status. */
int http_post(const struct cli *c, const char *path, const struct str *body, struct str *out);
/* Says what an answer with an error status says (RFC 9457), with the pointers. The exit status. */
int http_problem(const struct http_answer *a);
/* text with all but unreserved characters as %XX. */
void http_escape(struct str *out, const char *text);

#endif
