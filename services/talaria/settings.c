/* The command line's settings: flags before environment before file, one row per key. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "rows/rows.h"
#include "talaria/cli.h"

#define AT(member) ROW(cli_settings, member)
static const struct row rows[] = {
    {"gateway", ROW_STRING, AT(gateway), 0, "http://127.0.0.1:8000", 1, 2048,
     .help = "Base address of the gateway."},
    {"brokers", ROW_STRING, AT(brokers), 0, "127.0.0.1:9092", 1, 4096,
     .help = "Kafka brokers, host:port, separated by commas."},
    {"site", ROW_STRING, AT(site), 0, "main", 1, 64, .help = "Site; part of every topic's name."},
    {"tokenFile", ROW_STRING, AT(token_file), 0, "", 0, 4096,
     .help = "File that holds the gateway's bearer token."},
};
static const struct row_table table = {.name = "talaria",
                                       .size = sizeof(struct cli_settings),
                                       .rows = rows,
                                       .n = ARRAY_LEN(rows),
                                       .help = "Settings of the command line.",
                                       .closed = true};

/* Flag and environment name of each row, in the rows' order. */
static const char *const flags[] = {"--gateway", "--brokers", "--site", "--token-file"};
static const char *const environment[] = {"TALARIA_GATEWAY", "TALARIA_BROKERS", "TALARIA_SITE",
                                          "TALARIA_TOKEN_FILE"};

/* TALARIA_SETTINGS must exist when it is named; the file in the user's folder need not. */
static int read_file(struct cli_settings *s, struct arena *a, struct err *e)
{
    const char *named = getenv("TALARIA_SETTINGS"), *base = getenv("XDG_CONFIG_HOME"),
               *home = getenv("HOME");
    const char *path = named;
    if (!named || !*named) {
        if (base && *base)
            path = arena_printf(a, "%s/talaria/settings.json", base);
        else
            path = arena_printf(a, "%s/.config/talaria/settings.json", home ? home : "");
        if (access(path, F_OK) != 0)
            return 0;
    }
    struct str text = STR_INIT;
    int r = file_read(&text, path, 1 << 16, e);
    if (!r && rows_decode(s, &table, str_cstr(&text), text.len, a, NULL, e))
        r = err_wrap(e, "%s", path);
    str_free(&text);
    return r;
}

static int set(struct cli_settings *s, size_t row, const char *value, const char *origin,
               struct arena *a, struct err *e)
{
    if (rows_set(s, &table, rows[row].name, value, a, e))
        return err_wrap(e, "%s", origin);
    return 0;
}

/* One of our flags at argv[i]? Sets it and returns how many words it was; 0: not ours; -1: wrong.
 */
static int take_flag(struct cli *c, struct cli_settings *s, int argc, char **argv, int i,
                     struct arena *a, struct err *e)
{
    if (strcmp(argv[i], "--json") == 0) {
        c->json = true;
        return 1;
    }
    for (size_t f = 0; f < ARRAY_LEN(flags); f++) {
        size_t n = strlen(flags[f]);
        if (strncmp(argv[i], flags[f], n) != 0 || (argv[i][n] != '\0' && argv[i][n] != '='))
            continue;
        if (argv[i][n] == '=')
            return set(s, f, argv[i] + n + 1, flags[f], a, e) ? -1 : 1;
        if (i + 1 >= argc)
            return err_set(e, ERR_REJECT, 0, "%s needs a value", flags[f]);
        return set(s, f, argv[i + 1], flags[f], a, e) ? -1 : 2;
    }
    return 0;
}

int settings_load(struct cli *c, int *argc, char **argv, struct err *e)
{
    static struct arena *arena; /* for the life of the process */
    static struct cli_settings s;
    if (!arena)
        arena = arena_new(0);
    *c = (struct cli){.settings = &s};
    rows_defaults(&s, &table, arena);
    if (read_file(&s, arena, e))
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *value = getenv(environment[i]);
        if (value && *value && set(&s, i, value, environment[i], arena, e))
            return -1;
    }
    int kept = 1;
    for (int i = 1; i < *argc;) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < *argc)
                argv[kept++] = argv[i++];
            break;
        }
        int n = take_flag(c, &s, *argc, argv, i, arena, e);
        if (n < 0)
            return -1;
        if (n == 0)
            argv[kept++] = argv[i++];
        else
            i += n;
    }
    *argc = kept;
    return 0;
}

void settings_help(void)
{
    printf("Everywhere:\n  --json                   machine-readable output\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        printf("  %-24s %s [%s%s%s]\n", flags[i], rows[i].help, environment[i],
               *rows[i].def ? "; " : "", rows[i].def);
    printf("  A JSON file may hold them too: TALARIA_SETTINGS, or "
           "~/.config/talaria/settings.json.\n");
}
