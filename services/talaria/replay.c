/* talaria replay, reroute: what was decided of a study once more, by the rules or to named targets. */
#include <stdio.h>

#include "base/mem.h"
#include "talaria/commands.h"
#include "talaria/http.h"
#include "talaria/show.h"

#define REASON "from the command line"

struct asked {
    const char *reason, *decisions, *rules, *targets; /* lists are separated by commas */
    bool original, dry_run;
};

static void add_list(struct str *body, const char *name, const char *list)
{
    if (!list)
        return;
    str_printf(body, ",\"%s\":[", name);
    for (bool first = true; *list; first = false) {
        size_t n = strcspn(list, ",");
        str_puts(body, first ? "" : ",");
        str_json(body, list, n);
        list += n + (list[n] == ',');
    }
    str_putc(body, ']');
}

static void make_body(struct str *body, const struct asked *x)
{
    str_puts(body, "{\"reason\":");
    str_json(body, x->reason, strlen(x->reason));
    add_list(body, "decisions", x->decisions);
    add_list(body, "rules", x->rules);
    add_list(body, "targets", x->targets);
    if (x->original)
        str_puts(body, ",\"configuration\":\"original\"");
    if (x->dry_run)
        str_puts(body, ",\"dryRun\":true");
    str_putc(body, '}');
}

/* What the router said. The exit status: failed if it refused, timeout if it has not answered. */
static int show(const struct cli *c, const struct str *raw)
{
    json_t *j = json_loadb(raw->data, raw->len, 0, NULL);
    const char *outcome = show_text(j, "outcome"), *text = show_text(j, "text");
    bool bad = outcome && strcmp(outcome, "done") != 0;
    struct str safe = STR_INIT;
    if (c->json) {
        printf("%s\n", str_cstr(raw));
    } else if (!outcome) {
        message("the router has not answered yet; command %s",
                show_text(j, "command") ? show_text(j, "command") : "?");
    } else {
        for (const char *at = text ? text : ""; *at;) { /* a line each */
            size_t n = strcspn(at, "\n");
            char *line = mem_strndup(at, n);
            format_safe(&safe, line);
            str_putc(&safe, '\n');
            mem_free(line);
            at += n + (at[n] == '\n');
        }
        if (bad)
            message("%s: %s", outcome, str_cstr(&safe));
        else
            fputs(str_cstr(&safe), stdout);
    }
    str_free(&safe);
    json_decref(j);
    return bad ? EXIT_FAILED : outcome ? EXIT_DONE : EXIT_TIMEOUT;
}

static int ask(const struct cli *c, const char *study, const char *action, const struct asked *x)
{
    struct str path = STR_INIT, body = STR_INIT, out = STR_INIT;
    str_puts(&path, "/studies/");
    http_escape(&path, study);
    str_printf(&path, "/%s", action);
    make_body(&body, x);
    int status = http_post(c, str_cstr(&path), &body, &out);
    if (status == EXIT_DONE)
        status = show(c, &out);
    str_free(&path);
    str_free(&body);
    str_free(&out);
    return status;
}

static int run_replay(struct cli *c, int argc, char **argv)
{
    struct asked x = {.reason = REASON};
    const struct option_row rows[] = {
        OPTION_TEXT("--rule", "NAME,…", &x.rules, "only these rules"),
        OPTION_TEXT("--decision", "ID,…", &x.decisions, "only these decisions of the study"),
        OPTION_FLAG("--original", &x.original, "by the configuration that each was decided with"),
        OPTION_FLAG("--dry-run", &x.dry_run, "only tell what would happen"),
        OPTION_TEXT("--reason", "TEXT", &x.reason, "for the record"),
    };
    int status = options_take(&command_replay, rows, ARRAY_LEN(rows), &argc, argv, 1, 1);
    return status >= 0 ? status : ask(c, argv[1], "replay", &x);
}
const struct command command_replay = {"replay", "UID", "evaluate the rules once more on a study",
                                       run_replay};

static int run_reroute(struct cli *c, int argc, char **argv)
{
    struct asked x = {.reason = REASON};
    const struct option_row rows[] = {
        OPTION_TEXT("--target", "NAME,…", &x.targets, "to these targets"),
        OPTION_TEXT("--decision", "ID,…", &x.decisions, "only these decisions of the study"),
        OPTION_FLAG("--dry-run", &x.dry_run, "only tell what would happen"),
        OPTION_TEXT("--reason", "TEXT", &x.reason, "for the record"),
    };
    int status = options_take(&command_reroute, rows, ARRAY_LEN(rows), &argc, argv, 1, 1);
    if (status >= 0)
        return status;
    if (!x.targets) {
        message("reroute needs --target; see: talaria help reroute");
        return EXIT_USAGE;
    }
    return ask(c, argv[1], "reroute", &x);
}
const struct command command_reroute = {
    "reroute", "UID", "deliver a study to named targets, whatever the rules say", run_reroute};
