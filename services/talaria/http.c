/* HTTP to the gateway: bounded in time and size; no redirects, so a token goes nowhere else. */
#include "talaria/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"

#define BODY_MAX   (64u << 20)
#define TOKEN_MAX  8192
#define CONNECT_MS 5000L
#define WHOLE_MS   60000L

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
    struct str *body = arg;
    if (body->len + size * n > BODY_MAX)
        return 0; /* curl ends with a write error */
    str_append(body, p, size * n);
    return size * n;
}

static void take_value(char *to, size_t cap, struct slice line, const char *name)
{
    size_t n = strlen(name);
    if (line.n <= n || strncasecmp(line.p, name, n) != 0)
        return;
    struct slice v = slice_trim((struct slice){line.p + n, line.n - n}, " \t\r\n");
    if (v.n < cap) {
        memcpy(to, v.p, v.n);
        to[v.n] = '\0';
    }
}

static size_t take_header(char *p, size_t size, size_t n, void *arg)
{
    struct http_answer *a = arg;
    struct slice line = {p, size * n};
    take_value(a->etag, sizeof a->etag, line, "etag:");
    take_value(a->location, sizeof a->location, line, "location:");
    return size * n;
}

/* The token stands in a file, so that it is seen neither in argv nor in the environment. */
static int add_token(struct curl_slist **headers, const char *path, struct err *e)
{
    struct str s = STR_INIT, line = STR_INIT;
    if (file_read(&s, path, TOKEN_MAX, e)) {
        str_free(&s);
        return -1;
    }
    struct slice token = slice_trim(str_slice(&s), " \t\r\n");
    str_printf(&line, "Authorization: Bearer %.*s", (int)token.n, token.p);
    *headers = curl_slist_append(*headers, str_cstr(&line));
    str_free(&line);
    str_free(&s);
    return 0;
}

static int make_headers(struct curl_slist **out, const struct cli *c, const struct http_request *rq,
                        struct err *e)
{
    *out = curl_slist_append(NULL, "Accept: application/json, application/problem+json");
    if (rq->body)
        *out = curl_slist_append(*out, "Content-Type: application/json");
    *out = curl_slist_append(*out, "Expect:");
    if (rq->if_match) {
        struct str line = STR_INIT;
        str_printf(&line, "If-Match: %s", rq->if_match);
        *out = curl_slist_append(*out, str_cstr(&line));
        str_free(&line);
    }
    const char *file = c->settings->token_file;
    return file && *file ? add_token(out, file, e) : 0;
}

static void prepare(CURL *curl, const struct http_request *rq, const char *url,
                    struct curl_slist *headers, struct http_answer *a, char *why)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "talaria/" TALARIA_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, WHOLE_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a->body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
    if (rq->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body_n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, rq->body);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, rq->method);
}

int http_ask(struct http_answer *out, const struct cli *c, const struct http_request *rq,
             struct err *e)
{
    struct curl_slist *headers = NULL;
    struct http_answer a = {0};
    struct str url = STR_INIT;
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    int r = -1;
    if (!curl) {
        err_set(e, ERR_FATAL, 0, "libcurl does not start");
        goto done;
    }
    if (make_headers(&headers, c, rq, e))
        goto done;
    struct slice base = slice_trim(slice_of(c->settings->gateway), " /");
    str_printf(&url, "%.*s/api/v1%s", (int)base.n, base.p, rq->path);
    prepare(curl, rq, str_cstr(&url), headers, &a, why);
    CURLcode code = curl_easy_perform(curl);
    if (code) {
        err_set(e, ERR_RETRY, (int)code, "the gateway at %.*s does not answer: %s", (int)base.n,
                base.p, *why ? why : curl_easy_strerror(code));
        goto done;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a.status);
    *out = a;
    a.body = (struct str)STR_INIT;
    r = 0;
done:
    str_free(&a.body);
    str_free(&url);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return r;
}

void http_free(struct http_answer *a)
{
    str_free(&a->body);
}

static const char *text_of(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

int http_problem(const struct http_answer *a)
{
    json_t *j = json_loadb(str_cstr(&a->body), a->body.len, 0, NULL);
    const char *title = text_of(j, "title"), *detail = text_of(j, "detail");
    struct str line = STR_INIT;
    format_safe(&line, title ? title : "the gateway refused");
    if (detail) {
        str_puts(&line, ": ");
        format_safe(&line, detail);
    }
    message("%s (HTTP %ld)", str_cstr(&line), a->status);
    size_t i;
    json_t *one, *errors = json_object_get(j, "errors");
    json_array_foreach(errors, i, one)
    {
        const char *pointer = text_of(one, "pointer"), *reason = text_of(one, "reason");
        str_clear(&line);
        format_safe(&line, pointer && *pointer ? pointer : "/");
        str_puts(&line, ": ");
        format_safe(&line, reason ? reason : "wrong");
        fprintf(stderr, "  %s\n", str_cstr(&line));
    }
    str_free(&line);
    json_decref(j);
    if (a->status == 404)
        return EXIT_NOT_FOUND;
    return a->status == 502 || a->status == 503 || a->status == 504 ? EXIT_UNREACHABLE
                                                                    : EXIT_FAILED;
}

json_t *http_get_json(const struct cli *c, const char *path, struct str *raw, int *exit_status)
{
    struct http_answer a = {0};
    struct err e = {0};
    json_error_t why;
    json_t *j = NULL;
    if (http_ask(&a, c, &(struct http_request){.method = "GET", .path = path}, &e)) {
        *exit_status = failed(&e);
        return NULL;
    }
    if (a.status < 200 || a.status > 299) {
        *exit_status = http_problem(&a);
    } else {
        j = json_loadb(str_cstr(&a.body), a.body.len, JSON_REJECT_DUPLICATES, &why);
        if (!j) {
            message("the gateway's answer is not JSON: %s", why.text);
            *exit_status = EXIT_FAILED;
        } else if (raw) {
            str_append(raw, str_cstr(&a.body), a.body.len);
        }
    }
    http_free(&a);
    return j;
}

void http_escape(struct str *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || strchr("-._~", c))
            str_putc(out, (char)c);
        else
            str_printf(out, "%%%02X", c);
    }
}

int http_post(const struct cli *c, const char *path, const struct str *body, struct str *out)
{
    struct err e = {0};
    struct http_answer answer;
    struct http_request rq = {
        .method = "POST", .path = path, .body = body->data, .body_n = body->len};
    if (http_ask(&answer, c, &rq, &e))
        return failed(&e);
    int status = EXIT_DONE;
    if (answer.status / 100 == 2)
        str_append(out, answer.body.data, answer.body.len);
    else
        status = http_problem(&answer);
    http_free(&answer);
    return status;
}
