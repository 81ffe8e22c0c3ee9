/* talaria apply and export: the whole configuration document, in and out of the gateway. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "talaria/commands.h"
#include "talaria/http.h"

#define DOCUMENT_MAX (4u << 20)
#define ERRORS_MAX   50

static int read_document(struct str *out, const char *path, struct err *e)
{
    if (strcmp(path, "-") != 0)
        return file_read(out, path, DOCUMENT_MAX, e);
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, stdin)) > 0) {
        str_append(out, block, n);
        if (out->len > DOCUMENT_MAX)
            return err_set(e, ERR_REJECT, 0, "standard input is larger than 4 MB");
    }
    return ferror(stdin) ? err_set(e, ERR_REJECT, 0, "standard input cannot be read") : 0;
}

/* What the gateway would say, without one. */
static int check(const struct str *text, const char *path)
{
    struct rows_error errors[ERRORS_MAX];
    struct config_snapshot *snapshot = NULL;
    struct arena *a = arena_new(64u << 20);
    size_t n = config_load(&snapshot, str_cstr(text), text->len, "check", a, errors, ERRORS_MAX);
    if (n == 0)
        message("%s is valid", path);
    else
        message("%s is not valid", path);
    for (size_t i = 0; i < n && i < ERRORS_MAX; i++)
        fprintf(stderr, "  %s: %s\n", *errors[i].pointer ? errors[i].pointer : "/",
                errors[i].reason);
    config_free(snapshot);
    arena_free(a);
    return n == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int get_config(struct http_answer *out, const struct cli *c)
{
    struct err e = {0};
    if (http_ask(out, c, &(struct http_request){.method = "GET", .path = "/config"}, &e))
        return failed(&e);
    if (out->status == 200)
        return EXIT_DONE;
    int status = http_problem(out);
    http_free(out);
    return status;
}

static int put_config(struct http_answer *out, const struct cli *c, const struct str *text,
                      const char *etag, const char *why)
{
    struct str path = STR_INIT;
    struct err e = {0};
    const char *by = getenv("USER");
    str_puts(&path, "/config?by=");
    http_escape(&path, by && *by ? by : "talaria");
    str_puts(&path, "&why=");
    http_escape(&path, why);
    struct http_request rq = {.method = "PUT",
                              .path = str_cstr(&path),
                              .body = str_cstr(text),
                              .body_n = text->len,
                              .if_match = etag};
    int r = http_ask(out, c, &rq, &e) ? failed(&e) : EXIT_DONE;
    str_free(&path);
    return r;
}

/* 0: *out is the answer of the PUT, which a stale ETag has not stopped twice. */
static int put_over_newest(struct http_answer *out, const struct cli *c, const struct str *text,
                           const char *why)
{
    for (int tries = 0;; tries++) {
        struct http_answer before = {0};
        int r = get_config(&before, c);
        if (r)
            return r;
        r = put_config(out, c, text, before.etag, why);
        http_free(&before);
        if (r || out->status != 412 || tries == 1)
            return r;
        http_free(out); /* somebody else saved in between: once more over theirs */
    }
}

static int apply(const struct cli *c, const struct str *text, const char *why)
{
    struct http_answer a = {0};
    int status = put_over_newest(&a, c, text, why);
    if (status)
        return status;
    if (a.status < 200 || a.status > 299) {
        status = http_problem(&a);
    } else if (c->json) {
        fwrite(str_cstr(&a.body), 1, a.body.len, stdout);
    } else {
        json_t *j = json_loadb(str_cstr(&a.body), a.body.len, 0, NULL);
        const char *revision = json_string_value(json_object_get(j, "revision"));
        printf("revision %s\n", revision ? revision : a.etag);
        json_decref(j);
    }
    http_free(&a);
    return status;
}

static int run_apply(struct cli *c, int argc, char **argv)
{
    const char *why = "";
    bool only_check = false;
    const struct option_row rows[] = {
        OPTION_TEXT("--why", "TEXT", &why, "the reason, kept with the revision"),
        OPTION_FLAG("--check", &only_check,
                    "says whether it is valid; changes nothing, asks nobody"),
    };
    int status = options_take(&command_apply, rows, ARRAY_LEN(rows), &argc, argv, 1, 1);
    if (status >= 0)
        return status;
    struct str text = STR_INIT;
    struct err e = {0};
    if (read_document(&text, argv[1], &e)) {
        message("%s", e.text);
        status = EXIT_NOT_FOUND;
    } else {
        status = only_check ? check(&text, argv[1]) : apply(c, &text, why);
    }
    str_free(&text);
    return status;
}

static int run_export(struct cli *c, int argc, char **argv)
{
    int status = options_take(&command_export, NULL, 0, &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    struct http_answer a = {0};
    status = get_config(&a, c);
    if (status)
        return status;
    fwrite(str_cstr(&a.body), 1, a.body.len, stdout);
    if (a.body.len == 0 || a.body.data[a.body.len - 1] != '\n')
        putchar('\n');
    http_free(&a);
    return EXIT_DONE;
}

const struct command command_apply = {
    "apply", "FILE", "makes a document the configuration (- reads standard input)", run_apply};
const struct command command_export = {"export", "", "prints the configuration document",
                                       run_export};
