/* talaria studies: the newest, or those that a search finds. */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "talaria/commands.h"
#include "talaria/http.h"
#include "talaria/show.h"

static void add_parameter(struct str *path, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    str_printf(path, "&%s=", name);
    http_escape(path, value);
}

static int run(struct cli *c, int argc, char **argv)
{
    const char *q = NULL, *state = NULL, *cursor = NULL;
    int64_t limit = 50;
    const struct option_row rows[] = {
        OPTION_TEXT("--q", "PREFIX", &q, "of an accession number, a patient id or a study UID"),
        OPTION_TEXT("--state", "WORD", &state,
                    "receiving, working, held, failed, rejected, delivered, done, discarded"),
        OPTION_NUMBER("--limit", "N", &limit, 1, 500, "at most so many (50)"),
        OPTION_TEXT("--cursor", "TEXT", &cursor, "the next page, as the page before named it"),
    };
    int status = options_take(&command_studies, rows, ARRAY_LEN(rows), &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    struct str path = STR_INIT, raw = STR_INIT, out = STR_INIT;
    str_printf(&path, "/studies?limit=%lld", (long long)limit);
    add_parameter(&path, "q", q);
    add_parameter(&path, "state", state);
    add_parameter(&path, "cursor", cursor);
    json_t *j = http_get_json(c, str_cstr(&path), &raw, &status);
    if (j && c->json) {
        printf("%s\n", str_cstr(&raw));
    } else if (j) {
        const char *next = show_text(j, "next");
        show_studies(&out, j, colors_wanted(STDOUT_FILENO));
        fputs(str_cstr(&out), stdout);
        if (next)
            message("there are more: --cursor '%s'", next);
    }
    if (j)
        status = EXIT_DONE;
    json_decref(j);
    str_free(&path);
    str_free(&raw);
    str_free(&out);
    return status;
}

const struct command command_studies = {"studies", "", "studies, the latest image first", run};
