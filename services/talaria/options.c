/* Options of one command: parsed in place, described once for parser and help. */
#include <stdio.h>
#include <string.h>

#include "talaria/cli.h"

static const struct option_row *row_of(const struct option_row *rows, size_t n, const char *name,
                                       size_t length)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0)
            return &rows[i];
    return NULL;
}

static int store(const struct option_row *row, const char *value, struct err *e)
{
    if (row->text) {
        *row->text = value;
        return 0;
    }
    if (str_int64(row->number, value, row->min, row->max))
        return err_set(e, ERR_REJECT, 0, "%s takes a number from %lld to %lld", row->name,
                       (long long)row->min, (long long)row->max);
    return 0;
}

/* The option at argv[*i]; *i moves on to its value if that stands apart. */
static int take_one(const struct option_row *rows, size_t n, int argc, char **argv, int *i,
                    struct err *e)
{
    const char *given = argv[*i], *equals = strchr(given, '=');
    size_t length = equals ? (size_t)(equals - given) : strlen(given);
    const struct option_row *row = row_of(rows, n, given, length);
    if (!row)
        return err_set(e, ERR_REJECT, 0, "unknown option %.*s", (int)length, given);
    if (row->flag) {
        *row->flag = true;
        return equals ? err_set(e, ERR_REJECT, 0, "%s takes no value", row->name) : 0;
    }
    if (equals)
        return store(row, equals + 1, e);
    if (*i + 1 >= argc)
        return err_set(e, ERR_REJECT, 0, "%s needs a value: %s", row->name, row->value);
    return store(row, argv[++*i], e);
}

enum options_result options_parse(const struct option_row *rows, size_t n, int *argc, char **argv,
                                  struct err *e)
{
    int kept = 1, i = 1;
    for (; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return OPTIONS_HELP;
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            argv[kept++] = argv[i];
        else if (take_one(rows, n, *argc, argv, &i, e))
            return OPTIONS_BAD;
    }
    for (; i < *argc; i++)
        argv[kept++] = argv[i];
    argv[kept] = NULL;
    *argc = kept;
    return OPTIONS_OK;
}

void options_help(const struct command *c, const struct option_row *rows, size_t n)
{
    printf("talaria %s%s%s%s\n  %s\n", c->name, n ? " [OPTIONS]" : "", *c->arguments ? " " : "",
           c->arguments, c->summary);
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("%s  %-24s %s\n", i ? "" : "\nOptions:\n", left, rows[i].help);
    }
}

int options_take(const struct command *c, const struct option_row *rows, size_t n, int *argc,
                 char **argv, int least, int most)
{
    struct err e = {0};
    switch (options_parse(rows, n, argc, argv, &e)) {
    case OPTIONS_HELP:
        options_help(c, rows, n);
        return EXIT_DONE;
    case OPTIONS_BAD:
        message("%s; see: talaria help %s", e.text, c->name);
        return EXIT_USAGE;
    case OPTIONS_OK:
        break;
    }
    if (*argc - 1 >= least && *argc - 1 <= most)
        return -1;
    message("usage: talaria %s %s; see: talaria help %s", c->name, c->arguments, c->name);
    return EXIT_USAGE;
}
