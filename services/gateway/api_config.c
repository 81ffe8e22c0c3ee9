/* Handlers of the configuration and of the rule tester. */
#include <stdio.h>

#include "base/mem.h"
#include "config/config.h"
#include "gateway/gateway.h"
#include "log/log.h"
#include "rules/rules.h"

enum { ERRORS_MAX = 100, SCRATCH = 64 * 1024 * 1024 };

/* ---- reading ---- */

static void etag(struct call *c, const char *revision)
{
    char tag[CONFIGS_REVISION + 2];
    snprintf(tag, sizeof tag, "\"%s\"", revision);
    http_reply_header(c->reply, "ETag", tag);
}

void api_config_get(struct call *c)
{
    struct err e = {0};
    struct configs_current now = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc = pg ? configs_get(pg, &now, &e) : -1;
    pool_give(c->g->pool, pg);
    if (rc != 0) {
        reply_err(c, &e);
        return;
    }
    etag(c, now.revision);
    c->reply->body = now.document;
}

void api_config_revisions(struct call *c)
{
    struct err e = {0};
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc = pg ? configs_list(pg, &c->reply->body, &e) : -1;
    pool_give(c->g->pool, pg);
    if (rc != 0)
        reply_err(c, &e);
}

/* ---- checking ---- */

/* 0: valid. Otherwise the reply says what is wrong. */
static int check(struct call *c)
{
    struct rows_error errors[ERRORS_MAX];
    struct config_snapshot *s = NULL;
    struct arena *scratch = arena_new(0);
    struct slice body = c->request->body;
    size_t n = config_load(&s, body.p ? body.p : "", body.n, "", scratch, errors, ERRORS_MAX);
    if (n == 0)
        config_free(s);
    else
        reply_errors(c, errors, n < ERRORS_MAX ? n : ERRORS_MAX);
    arena_free(scratch);
    return n == 0 ? 0 : -1;
}

void api_config_check(struct call *c)
{
    if (check(c) == 0)
        str_puts(&c->reply->body, "{\"valid\":true}");
}

/* ---- writing ---- */

/* The revision of If-Match: "12-ab" with or without quotes. false: answered. */
static bool if_match(struct call *c, char out[CONFIGS_REVISION])
{
    const char *h = http_header(c->request, "If-Match");
    if (!h || !*h) {
        reply_problem(c, 428, "if-match-required",
                      "If-Match must name the revision that this document replaces.");
        return false;
    }
    struct slice s = slice_trim(slice_of(h), " \t\"");
    if (s.n == 0 || s.n >= CONFIGS_REVISION) {
        reply_problem(c, 412, "stale", "If-Match is no revision of this configuration.");
        return false;
    }
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

/* Free text of a header or the query, bounded. */
static const char *said(const struct call *c, const char *header, const char *name,
                        const char *otherwise)
{
    const char *v = http_header(c->request, header);
    if (!v || !*v)
        v = http_query(c->request, name);
    return v && *v && strlen(v) <= 500 ? v : otherwise;
}

static int save(struct call *c, struct pg *pg, char revision[CONFIGS_REVISION], struct err *e)
{
    char newest[CONFIGS_REVISION] = "", seen[CONFIGS_REVISION];
    str_copy(seen, sizeof seen, revision);
    struct configs_change x = {c->request->body.p, c->request->body.n, seen,
                               said(c, "Talaria-User", "by", "api"),
                               said(c, "Talaria-Reason", "why", "")};
    c->g->newest(c->g->arg, newest);
    if (configs_import(pg, c->g->publisher.store, newest, e) != 0)
        return -1;
    return configs_put(pg, &x, revision, e);
}

static void saved(struct call *c, const char *revision, bool published)
{
    etag(c, revision);
    c->reply->status = published ? 200 : 202;
    str_puts(&c->reply->body, "{\"revision\":");
    str_json(&c->reply->body, revision, strlen(revision));
    str_printf(&c->reply->body, ",\"published\":%s}", published ? "true" : "false");
}

void api_config_put(struct call *c)
{
    struct err e = {0};
    char revision[CONFIGS_REVISION];
    if (!if_match(c, revision) || check(c) != 0)
        return;
    struct pg *pg = pool_take(c->g->pool, &e);
    int rc = pg ? save(c, pg, revision, &e) : -1;
    bool published = false;
    if (rc == 0) {
        published = configs_publish(pg, &c->g->publisher, &e) >= 0;
        if (!published) /* the relay goes on trying */
            log_warn("configuration saved, not yet published", LOG_STR("revision", revision),
                     LOG_ERR(&e));
    }
    pool_give(c->g->pool, pg);
    if (rc == 0)
        saved(c, revision, published);
    else if (e.kind == ERR_REJECT && e.code == 412) {
        etag(c, revision);
        reply_problem(c, 412, "stale", e.text);
    } else
        reply_err(c, &e);
}

/* ---- rules ---- */

struct rule_test {
    const char *rule;
    struct row_pairs tags;
};
static const struct row rule_test_rows[] = {
    {"rule", ROW_STRING, ROW(rule_test, rule), ROW_REQUIRED, .min = 1, .max = RULES_TEXT_MAX,
     .help = "The expression."},
    {"tags", ROW_PAIRS, ROW(rule_test, tags), .help = "Keyword to value."},
};
static const struct row_table rule_test_table = {"ruleTest",
                                                 sizeof(struct rule_test),
                                                 rule_test_rows,
                                                 ARRAY_LEN(rule_test_rows),
                                                 "A rule and the tags to try it on.",
                                                 true};

static void add_clause(void *arg, int depth, struct slice source, const char *value)
{
    struct str *s = arg;
    str_printf(s, "%s{\"depth\":%d,\"source\":", s->data[s->len - 1] == '[' ? "" : ",", depth);
    str_json(s, source.p, source.n);
    str_puts(s, ",\"value\":");
    str_json(s, value, strlen(value));
    str_putc(s, '}');
}

static void explain(struct call *c, const struct rule_program *p, struct rule_test *t,
                    struct arena *scratch)
{
    static const char *const verdicts[] = {"no match", "match", "error"};
    struct err e = {0};
    struct rule_tags tags = config_rule_tags(&t->tags);
    struct str *s = &c->reply->body;
    str_puts(s, "{\"clauses\":[");
    enum rule_verdict v = rules_explain(p, &tags, scratch, add_clause, s, &e);
    str_printf(s, "],\"verdict\":\"%s\"", verdicts[v]);
    if (v == RULE_ERROR) {
        str_puts(s, ",\"error\":");
        str_json(s, e.text, strlen(e.text));
    }
    str_putc(s, '}');
}

void api_rules_test(struct call *c)
{
    struct err e = {0};
    struct rule_test t;
    struct rule_program *p = NULL;
    struct rows_error errors[ERRORS_MAX];
    struct arena *a = arena_new(0), *scratch = arena_new(SCRATCH);
    struct slice body = c->request->body;
    size_t n = rows_decode_all(&t, &rule_test_table, body.p ? body.p : "", body.n, a, NULL, errors,
                               ERRORS_MAX);
    if (n == 0 && rules_compile(&p, t.rule, &e) != 0) {
        errors[0] = (struct rows_error){"/rule", e.text};
        n = 1;
    }
    if (n > 0)
        reply_errors(c, errors, n < ERRORS_MAX ? n : ERRORS_MAX);
    else
        explain(c, p, &t, scratch);
    rules_free(p);
    arena_free(scratch);
    arena_free(a);
}
