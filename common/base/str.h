/*
 * Byte strings: struct slice borrows, struct str owns and grows, struct phi borrows a patient value
 * (no log or metric macro takes one, so it cannot slip into a log line by accident).
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct slice {
    const char *p;
    size_t n;
};

struct phi {
    struct slice raw;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

struct slice slice_of(const char *s); /* NULL gives an empty slice with p = NULL */
bool slice_eq(struct slice a, struct slice b);
bool slice_is(struct slice a, const char *s);
/* The decimal number in s, 0 … INT64_MAX; -1 if it is none (or p is NULL). */
int64_t slice_number(struct slice s);
struct slice slice_trim(struct slice s, const char *chars); /* both ends */

/* data is always NUL-terminated once anything was appended; str_cstr works on an empty one too. */
struct str {
    char *data;
    size_t len, cap;
};

#define STR_INIT {NULL, 0, 0}

void str_append(struct str *s, const void *p, size_t n);
void str_puts(struct str *s, const char *text);
void str_putc(struct str *s, char c);
void str_printf(struct str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void str_json(struct str *s, const char *text, size_t n); /* quoted and escaped; bad UTF-8 → U+FFFD */
void str_reserve(struct str *s, size_t more);
void str_clear(struct str *s);         /* keeps the memory */
void str_free(struct str *s);
char *str_take(struct str *s);         /* gives the buffer away (mem_free it); s is empty after */
const char *str_cstr(const struct str *s);
struct slice str_slice(const struct str *s);

/* Copies with truncation, always terminates; returns true when everything fitted. */
bool str_copy(char *dst, size_t cap, const char *src);
/* Bounded number parsing: the whole string must be the number. 0 or -1. */
int str_int64(int64_t *out, const char *s, int64_t min, int64_t max) MUST_CHECK;

/* Length of the valid UTF-8 prefix of p[0..n). */
size_t utf8_valid_prefix(const char *p, size_t n);

#ifdef __cplusplus
}
#endif
#endif
