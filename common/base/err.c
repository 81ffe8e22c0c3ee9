/* Errors as values: formatting into the caller's struct err. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct err *e, enum err_kind kind, int code, const char *fmt, va_list args)
{
    if (!e)
        return;
    e->kind = kind;
    e->code = code;
    vsnprintf(e->text, sizeof e->text, fmt, args);
}

int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(e, kind, code, fmt, args);
    va_end(args);
    return -1;
}

int err_errno(struct err *e, enum err_kind kind, int errno_value, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(e, kind, errno_value, fmt, args);
    va_end(args);
    if (e) {
        char reason[96];
        size_t used = strlen(e->text);
        snprintf(e->text + used, sizeof e->text - used, ": %s",
                 strerror_r(errno_value, reason, sizeof reason));
    }
    return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return -1;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    size_t used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, ": %s", old);
    return -1;
}

void err_clear(struct err *e)
{
    memset(e, 0, sizeof *e);
}
