/* talaria deliveries, restart, resend, cancel, retry: what became of deliveries, and what a person
 * does. */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "talaria/commands.h"
#include "talaria/http.h"
#include "talaria/show.h"

#define REASON "from the command line"

/* ---- list ---- */

static void add_parameter(struct str *path, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    str_printf(path, "&%s=", name);
    http_escape(path, value);
}

static void show_one(struct table *t, const json_t *d)
{
    char text[64];
    const json_t *m = json_object_get(d, "members");
    int64_t ended = show_number(m, "delivered") + show_number(m, "repeated");
    table_cell(t, show_text(d, "delivery"));
    table_cell(t, show_text(d, "target"));
    table_cell(t, show_text(d, "state"));
    snprintf(text, sizeof text, "%lld of %lld", (long long)ended,
             (long long)show_number(m, "asked"));
    table_cell(t, text);
    snprintf(text, sizeof text, "%lld", (long long)show_number(d, "attempts"));
    table_cell(t, text);
    table_cell(t, show_text(d, "reason"));
}

static void show_list(struct str *out, const json_t *page, bool bold)
{
    static const char *const titles[] = {"DELIVERY",  "TARGET",   "STATE",
                                         "DELIVERED", "ATTEMPTS", "REASON"};
    const json_t *items = json_object_get(page, "items");
    struct table *t = table_new(ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < json_array_size(items); i++)
        show_one(t, json_array_get(items, i));
    table_write(t, out, bold);
    table_free(t);
}

static int run_list(struct cli *c, int argc, char **argv)
{
    const char *target = NULL, *state = NULL, *study = NULL, *cursor = NULL;
    int64_t limit = 50;
    const struct option_row rows[] = {
        OPTION_TEXT("--target", "NAME", &target, "to this target"),
        OPTION_TEXT("--state", "WORD", &state,
                    "open, or asked, requested, attempted, delivered, failed, cancelled, expired, "
                    "superseded, dismissed"),
        OPTION_TEXT("--study", "UID", &study, "of this study"),
        OPTION_NUMBER("--limit", "N", &limit, 1, 500, "at most so many (50)"),
        OPTION_TEXT("--cursor", "TEXT", &cursor, "the next page, as the page before named it"),
    };
    int status = options_take(&command_deliveries, rows, ARRAY_LEN(rows), &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    struct str path = STR_INIT, raw = STR_INIT, out = STR_INIT;
    str_printf(&path, "/deliveries?limit=%lld", (long long)limit);
    add_parameter(&path, "target", target);
    add_parameter(&path, "state", state);
    add_parameter(&path, "study", study);
    add_parameter(&path, "cursor", cursor);
    json_t *j = http_get_json(c, str_cstr(&path), &raw, &status);
    if (j) {
        const char *next = show_text(j, "next");
        status = EXIT_DONE;
        if (c->json)
            str_printf(&out, "%s\n", str_cstr(&raw));
        else
            show_list(&out, j, colors_wanted(STDOUT_FILENO));
        fputs(str_cstr(&out), stdout);
        if (next && !c->json)
            message("there are more: --cursor '%s'", next);
    }
    json_decref(j);
    str_free(&path);
    str_free(&raw);
    str_free(&out);
    return status;
}

const struct command command_deliveries = {"deliveries", "", "deliveries, the latest first",
                                           run_list};

/* ---- act ---- */

static void begin_body(struct str *body, const char *reason)
{
    str_puts(body, "{\"reason\":");
    str_json(body, reason, strlen(reason));
}

/* The new delivery of a restart or a resend; NULL. */
static const char *child_of(const json_t *answer)
{
    const char *child = show_text(answer, "restarted");
    return child ? child : show_text(answer, "resent");
}

/* Each id by itself; the worst exit status. */
static int act_on_each(const struct cli *c, const char *action, const char *reason, int n,
                       char *const *ids)
{
    int worst = EXIT_DONE;
    for (int i = 0; i < n; i++) {
        struct str path = STR_INIT, body = STR_INIT, out = STR_INIT;
        str_puts(&path, "/deliveries/");
        http_escape(&path, ids[i]);
        str_printf(&path, "/%s", action);
        begin_body(&body, reason);
        str_putc(&body, '}');
        int status = http_post(c, str_cstr(&path), &body, &out);
        json_t *j = status == EXIT_DONE ? json_loadb(out.data, out.len, 0, NULL) : NULL;
        const char *child = j ? child_of(j) : NULL;
        if (status == EXIT_DONE && c->json)
            printf("%s\n", str_cstr(&out));
        else if (status == EXIT_DONE)
            printf("%s %s%s%s\n", ids[i], action, child ? " " : "", child ? child : "");
        json_decref(j);
        worst = status > worst ? status : worst;
        str_free(&path);
        str_free(&body);
        str_free(&out);
    }
    return worst;
}

static int run_action(struct cli *c, const struct command *command, int argc, char **argv)
{
    const char *reason = REASON;
    const struct option_row rows[] = {OPTION_TEXT("--reason", "TEXT", &reason, "for the record")};
    int status = options_take(command, rows, ARRAY_LEN(rows), &argc, argv, 1, 500);
    return status >= 0 ? status : act_on_each(c, command->name, reason, argc - 1, argv + 1);
}

static int run_cancel(struct cli *c, int argc, char **argv)
{
    return run_action(c, &command_cancel, argc, argv);
}
const struct command command_cancel = {"cancel", "DELIVERY…",
                                       "cancel open deliveries; what was delivered stays delivered",
                                       run_cancel};

static int run_retry(struct cli *c, int argc, char **argv)
{
    return run_action(c, &command_retry, argc, argv);
}
const struct command command_retry = {"retry", "DELIVERY…", "send what is open of deliveries now",
                                      run_retry};

/* ---- restart ---- */

static int restart_target(const struct cli *c, const char *target, const char *reason)
{
    struct str body = STR_INIT, out = STR_INIT;
    begin_body(&body, reason);
    str_puts(&body, ",\"target\":");
    str_json(&body, target, strlen(target));
    str_putc(&body, '}');
    int status = http_post(c, "/deliveries/restart", &body, &out);
    json_t *j = status == EXIT_DONE ? json_loadb(out.data, out.len, 0, NULL) : NULL;
    const json_t *items = json_object_get(j, "items");
    if (status == EXIT_DONE && c->json)
        printf("%s\n", str_cstr(&out));
    else if (status == EXIT_DONE)
        for (size_t i = 0; i < json_array_size(items); i++) {
            const json_t *x = json_array_get(items, i);
            const char *child = child_of(x), *problem = show_text(x, "problem");
            printf("%s %s %s\n", show_text(x, "delivery"),
                   child ? "restart" : "refused:", child ? child : problem);
        }
    json_decref(j);
    str_free(&body);
    str_free(&out);
    return status;
}

static int run_restart(struct cli *c, int argc, char **argv)
{
    const char *reason = REASON, *target = NULL;
    const struct option_row rows[] = {
        OPTION_TEXT("--target", "NAME", &target,
                    "all of this target that failed or expired (500 at once)"),
        OPTION_TEXT("--reason", "TEXT", &reason, "for the record"),
    };
    int status = options_take(&command_restart, rows, ARRAY_LEN(rows), &argc, argv, 0, 500);
    if (status >= 0)
        return status;
    if (!target == (argc == 1)) {
        message("restart takes ids or --target; see: talaria help restart");
        return EXIT_USAGE;
    }
    return target ? restart_target(c, target, reason)
                  : act_on_each(c, "restart", reason, argc - 1, argv + 1);
}
const struct command command_restart = {
    "restart", "[DELIVERY…]", "of deliveries that have ended, send what did not arrive",
    run_restart};

static int run_resend(struct cli *c, int argc, char **argv)
{
    return run_action(c, &command_resend, argc, argv);
}
const struct command command_resend = {
    "resend", "DELIVERY…", "of deliveries that have ended, send everything once more", run_resend};
