/* How the command line speaks: messages, sizes, spans of time, tables. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"
#include "talaria/cli.h"

void message(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout); /* in the order in which it was said */
    fputs("talaria: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int failed(const struct err *e)
{
    message("%s", e->text);
    return e->kind == ERR_RETRY ? EXIT_UNREACHABLE : EXIT_FAILED;
}

bool colors_wanted(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

char *format_size(char out[FORMAT_SIZE], int64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 999.5 && u + 1 < ARRAY_LEN(units)) {
        v /= 1000;
        u++;
    }
    snprintf(out, FORMAT_SIZE, u && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
    return out;
}

char *format_span(char out[FORMAT_SPAN], int64_t ms)
{
    int64_t s = ms / 1000;
    if (ms < 0)
        snprintf(out, FORMAT_SPAN, "-");
    else if (ms < 1000)
        snprintf(out, FORMAT_SPAN, "%d ms", (int)ms);
    else if (s < 60)
        snprintf(out, FORMAT_SPAN, "%d.%d s", (int)s, (int)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(out, FORMAT_SPAN, "%d min %d s", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(out, FORMAT_SPAN, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(out, FORMAT_SPAN, "%lld d %d h", (long long)(s / 86400), (int)(s / 3600 % 24));
    return out;
}

void format_safe(struct str *out, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        size_t valid = utf8_valid_prefix(text, n);
        for (size_t i = 0; i < valid; i++) {
            unsigned char c = (unsigned char)text[i];
            /* C1 controls are two bytes in UTF-8: C2 80 … C2 9F */
            bool c1 = c == 0xC2 && i + 1 < valid && (unsigned char)text[i + 1] < 0xA0;
            str_putc(out, c < 0x20 || c == 0x7F || c1 ? '?' : (char)c);
            i += c1;
        }
        text += valid;
        n -= valid;
        if (n > 0) {
            str_putc(out, '?');
            text++;
            n--;
        }
    }
}

/* ---- tables ---- */

struct table {
    size_t columns;
    VEC(char *) cells; /* titles first */
};

struct table *table_new(size_t columns, const char *const *titles)
{
    struct table *t = mem_zalloc(sizeof *t);
    t->columns = columns;
    for (size_t i = 0; i < columns; i++)
        table_cell(t, titles[i]);
    return t;
}

void table_cell(struct table *t, const char *text)
{
    struct str s = STR_INIT;
    format_safe(&s, text && *text ? text : "-");
    *vec_push(&t->cells) = str_take(&s);
}

/* Characters, as far as a terminal shows one column for each. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t widest = 0;
    for (size_t i = column; i < t->cells.n; i += t->columns) {
        size_t w = width_of(t->cells.items[i]);
        widest = w > widest ? w : widest;
    }
    return widest;
}

void table_write(const struct table *t, struct str *out, bool bold)
{
    size_t *widths = mem_alloc(t->columns * sizeof *widths);
    for (size_t c = 0; c < t->columns; c++)
        widths[c] = column_width(t, c);
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t c = i % t->columns;
        if (bold && i == 0)
            str_puts(out, "\033[1m");
        str_puts(out, t->cells.items[i]);
        if (bold && i + 1 == t->columns)
            str_puts(out, "\033[0m");
        if (c + 1 == t->columns || i + 1 == t->cells.n)
            str_putc(out, '\n');
        else
            str_printf(out, "%*s", (int)(widths[c] - width_of(t->cells.items[i]) + 2), "");
    }
    mem_free(widths);
}

void table_print(const struct table *t)
{
    struct str s = STR_INIT;
    table_write(t, &s, colors_wanted(STDOUT_FILENO));
    fputs(str_cstr(&s), stdout);
    str_free(&s);
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->cells.n; i++)
        mem_free(t->cells.items[i]);
    vec_free(&t->cells);
    mem_free(t);
}
