/*
 * The command line's own house: settings, options, output. Data goes to stdout, messages to stderr.
 * A command is one file with one const struct command and one row in commands.c.
 */
#ifndef TALARIA_CLI_H
#define TALARIA_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum cli_exit {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,      /* it was tried, and something of it was refused or failed */
    EXIT_USAGE = 2,       /* the command line or a settings file is wrong; nothing was tried */
    EXIT_UNREACHABLE = 3, /* gateway, broker or DICOM node does not answer */
    EXIT_NOT_FOUND = 4,   /* no such study, file or service */
    EXIT_TIMEOUT = 5,     /* --wait ran out */
};

/* What flags, environment and settings file agree on (in this order). */
struct cli_settings {
    const char *gateway;    /* http://127.0.0.1:8000 */
    const char *brokers;    /* 127.0.0.1:9092 */
    const char *site;       /* main */
    const char *token_file; /* "" = none */
};

struct cli {
    const struct cli_settings *settings;
    bool json;
};

/* argv[0] is the command's name. */
struct command {
    const char *name;
    const char *arguments; /* "PATH…", as the usage line shows it */
    const char *summary;   /* one line */
    int (*run)(struct cli *c, int argc, char **argv);
};
extern const struct command *const commands[]; /* NULL-terminated, in the order of `talaria help` */
const struct command *command_find(const char *name);

/* ---- options of a command ---- */
struct option_row {
    const char *name;  /* "--to" */
    const char *value; /* "HOST:PORT"; NULL: a flag */
    const char *help;
    const char **text; /* where the value goes */
    bool *flag;
    int64_t *number, min, max; /* instead of text: a bounded number */
};
#define OPTION_TEXT(name, value, into, help)                                                       \
    {                                                                                              \
        name, value, help, into, NULL, NULL, 0, 0                                                  \
    }
#define OPTION_FLAG(name, into, help)                                                              \
    {                                                                                              \
        name, NULL, help, NULL, into, NULL, 0, 0                                                   \
    }
#define OPTION_NUMBER(name, value, into, min, max, help)                                           \
    {                                                                                              \
        name, value, help, NULL, NULL, into, min, max                                              \
    }

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_BAD };
/* Takes the options out of argv (also --name=value; "--" ends them); what is left, from argv[1] on,
 * are the operands, *argc counts them too, and a NULL ends them (as in main, argv has room for it).
 * Unknown options are an error. */
enum options_result options_parse(const struct option_row *rows, size_t n, int *argc, char **argv,
                                  struct err *e);
/* Parses, prints help or the error, checks the number of operands. -1: go on; otherwise the exit
 * status. */
int options_take(const struct command *c, const struct option_row *rows, size_t n, int *argc,
                 char **argv, int least, int most);
void options_help(const struct command *c, const struct option_row *rows, size_t n);

/* Settings from TALARIA_SETTINGS or the user's folder, then the environment, then the flags that
 * argv begins or ends with (taken out). *c and what it points to live as long as the process. */
int settings_load(struct cli *c, int *argc, char **argv, struct err *e) MUST_CHECK;
void settings_help(void);

/* ---- output ---- */
/* A line on stderr: "talaria: text". */
void message(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* message(e->text); the exit status that e means. */
int failed(const struct err *e);
bool colors_wanted(int fd); /* a terminal, and neither NO_COLOR nor TERM=dumb */

/* "1.5 KB", "512 B" */
#define FORMAT_SIZE 24
char *format_size(char out[FORMAT_SIZE], int64_t bytes);
/* "840 ms", "2.4 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"; "-" for a negative one */
#define FORMAT_SPAN 32
char *format_span(char out[FORMAT_SPAN], int64_t ms);

/* Columns of text, as wide as their widest cell. Cells are copied; control characters of a cell
 * become '?', so that no text of a peer drives the terminal. */
struct table;
struct table *table_new(size_t columns, const char *const *titles);
void table_cell(struct table *t, const char *text); /* NULL = "-"; row by row */
void table_write(const struct table *t, struct str *out, bool bold);
void table_print(const struct table *t); /* to stdout */
void table_free(struct table *t);
/* Appends text as a cell would show it. */
void format_safe(struct str *out, const char *text);

#endif
