/* The gateway's core: from a request to a reply, by the table of routes. Knows no HTTP library. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/hash.h"
#include "gateway/configs.h"
#include "gateway/http.h"
#include "gateway/pool.h"
#include "rows/rows.h"

/* A record for another topic than event. */
struct gateway_record {
    const char *noun, *key;
    const struct event *ev;
};

struct gateway {
    struct pool *pool;
    struct configs_publisher publisher;
    /* The revision that this process has read from Kafka's pointer. */
    void (*newest)(void *arg, char out[CONFIGS_REVISION]);
    /* Appends a record to the event topic and waits for its acknowledgement. */
    int (*write)(void *arg, const struct event *ev, struct err *e);
    /* Appends records in this order and waits for all acknowledgements. */
    int (*append)(void *arg, const struct gateway_record *records, size_t n, struct err *e);
    void *arg;
    char token_sha256[HASH_SHA256_HEX]; /* "": no token is asked for */
    struct row_strings hosts; /* further names accepted in Host; IP addresses always are */
};

struct call {
    struct gateway *g;
    const struct http_request *request;
    struct http_reply *reply;
    const char *param; /* of the route's {…}, or "" */
};

struct route {
    const char *method, *path; /* one {param} at most, a whole segment, fixed ones may follow */
    void (*handle)(struct call *c);
    bool open; /* no token */
};
extern const struct route routes[];
extern const size_t routes_n;

void gateway_handle(void *gateway, const struct http_request *r, struct http_reply *out);

/* ---- replies ---- */

/* RFC 9457. code: a word for programs ("not-found"); detail: one sentence, never patient data. */
void reply_problem(struct call *c, int status, const char *code, const char *detail);
/* 422 with a pointer and a reason for each error. */
void reply_errors(struct call *c, const struct rows_error *errors, size_t n);
/* An err of a library: retry 503, 4xx as its code says, else 500 (logged, text withheld). */
void reply_err(struct call *c, const struct err *e);

/* ---- commands ---- */
enum { COMMAND_MAX = 128, COMMAND_REASON_MAX = 500 };
#define COMMAND_USER "admin"
/* The request's body and the command's id (the client's Idempotency-Key, else a new one). False: answered. */
bool command_take(struct call *c, void *body_out, const struct row_table *t, struct arena *a,
                  char command[COMMAND_MAX + 1]);
/* As reply_err, with 409 as it is said. */
void command_refuse(struct call *c, const struct err *e);

/* ---- handlers ---- */
void api_status(struct call *c);
void api_studies(struct call *c);
void api_study(struct call *c);
void api_study_replay(struct call *c);
void api_study_reroute(struct call *c);
void api_series(struct call *c);
void api_deliveries(struct call *c);
void api_deliveries_restart(struct call *c);
void api_deliveries_resend(struct call *c);
void api_delivery_cancel(struct call *c);
void api_delivery_retry(struct call *c);
void api_delivery_restart(struct call *c);
void api_delivery_resend(struct call *c);
void api_events(struct call *c);
void api_ledger(struct call *c);
void api_holds(struct call *c);
void api_holds_post(struct call *c);
void api_holds_delete(struct call *c);
void api_dismissals_post(struct call *c);
void api_config_get(struct call *c);
void api_config_put(struct call *c);
void api_config_check(struct call *c);
void api_config_revisions(struct call *c);
void api_rules_test(struct call *c);
void page_status(struct call *c);
void page_script(struct call *c);
void page_style(struct call *c);
void page_openapi(struct call *c);

#endif
