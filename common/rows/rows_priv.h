/* Private to rows: the bounded pull reader of JSON text, and what decode, set and doc share. */
#ifndef ROWS_PRIV_H
#define ROWS_PRIV_H

#include "rows/rows.h"

#include "base/vec.h"

#define READER_DEPTH    64  /* hard bound of limits.depth */
#define READER_BYTES    ((size_t)4 * 1024 * 1024) /* of a text, unless limited otherwise */
#define READER_MAX_ROWS 256 /* rows of one table */

/* One step of the path to the current value: a member name, or an array index. */
struct reader_step {
    const char *name; /* NULL: index */
    size_t n, index;
};

struct reader_name { /* of an object that is being read; for the duplicate check */
    const char *p;
    size_t n;
    uint64_t hash;
};

struct reader {
    const char *start, *p, *end;
    struct arena *arena;
    char *pool, *pool_end; /* string memory, taken from the arena in pieces */
    size_t depth, max_depth, elements, max_elements;
    struct reader_step path[READER_DEPTH + 1];
    VEC(struct reader_name) names; /* a stack: each open object has its own top part */
    bool no_names;                 /* peek: duplicates are not its business */

    /* Errors: the first one goes to err; if collected, each to errors[] and reading goes on after
     * wrong values. stopped: the text is malformed or the errors are full. */
    struct err *err;
    struct rows_error *errors;
    size_t n_errors, max_errors;
    bool stopped;
};

int reader_init(struct reader *r, const char *text, size_t n, struct arena *a,
                const struct rows_limits *limits, struct err *e) MUST_CHECK;
void reader_free(struct reader *r);

/* Malformed or too large: reading stops. Always -1. */
int reader_fail(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A well-formed value that the table does not allow; the value has been consumed. 0 if errors are
 * collected and there is room, else -1. */
int reader_reject(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* White space, then the next character without consuming it; '\0' at the end. */
char reader_next(struct reader *r);
/* Opening bracket: 1 = entered, 0 = entered and empty (closed at once), -1 = failed. */
int reader_open(struct reader *r, char open) MUST_CHECK;
/* After an element: 1 = a comma, another follows; 0 = closed; -1 = failed. */
int reader_more(struct reader *r, char close) MUST_CHECK;

/* A string; in *raw its text between the quotes, *escapes says whether '\' occurs in it. */
int reader_raw_string(struct reader *r, struct slice *raw, bool *escapes) MUST_CHECK;
/* Its value, NUL-terminated, in the arena. */
int reader_string(struct reader *r, struct slice *out) MUST_CHECK;
/* A member's name and the colon; sets the path. Names with escapes are decoded into the arena,
 * others point into the text. */
int reader_member(struct reader *r, struct slice *name) MUST_CHECK;
/* A number's text. */
int reader_number(struct reader *r, struct slice *raw) MUST_CHECK;
/* true or false. */
int reader_bool(struct reader *r, bool *out) MUST_CHECK;
/* Any value, checked in full; raw may be NULL. */
int reader_skip(struct reader *r, struct slice *raw) MUST_CHECK;
/* Nothing but white space may follow. */
int reader_end(struct reader *r) MUST_CHECK;

/* Duplicate check of the open object: remember a name; at its end check those since base. */
void reader_remember(struct reader *r, struct slice name);
int reader_distinct(struct reader *r, size_t base) MUST_CHECK;

/* NUL-terminated copy in the arena, or NULL (failed). */
char *reader_copy(struct reader *r, const char *p, size_t n);

/* One value of a row at its place in the struct (decode.c). */
int decode_value(struct reader *r, const struct row *row, void *at) MUST_CHECK;
int decode_object(struct reader *r, const struct row_table *t, char *out) MUST_CHECK;

/* Value from plain text (set.c): NULL, or the reason why not. */
const char *set_text(void *at, const struct row *row, const char *text, struct arena *a,
                     struct err *scratch);
/* Reason why the bounds of the row do not allow it, or NULL. */
const char *row_bounds_string(const struct row *row, const char *value, struct err *scratch);
const char *row_bounds_int(const struct row *row, int64_t v, struct err *scratch);
const char *row_bounds_number(const struct row *row, double v, struct err *scratch);
const char *row_bounds_enum(const struct row *row, const char *value, int *out,
                            struct err *scratch);
size_t row_max_count(const struct row *row, size_t engine);
/* The text must be a whole JSON number. */
double number_of_text(const char *text, size_t n);

#endif
