/*
 * THE table engine: a struct is described once by rows, and everything that has the shape of a
 * document goes through that description: settings, Kafka records, configuration documents, request
 * bodies, generated references and JSON Schemas.
 *
 * Reading is bounded (bytes, depth, elements), strict JSON, valid UTF-8, duplicate keys refused, and
 * needs no document tree: values go from the text into the struct, memory from the caller's arena.
 * Every error names the place by JSON Pointer (RFC 6901). No I/O; any thread.
 */
#ifndef ROWS_ROWS_H
#define ROWS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In the struct: */
enum row_type {
    ROW_STRING,  /* const char *       (NULL = absent) */
    ROW_INT,     /* int64_t            */
    ROW_NUMBER,  /* double             */
    ROW_BOOL,    /* bool               */
    ROW_ENUM,    /* int                index into names[] */
    ROW_STRINGS, /* struct row_strings */
    ROW_PAIRS,   /* struct row_pairs   JSON object of strings, in order */
    ROW_RAW,     /* struct slice       any JSON value, kept as text */
    ROW_OBJECT,  /* the nested struct itself (of = its table); absent = defaults */
    ROW_OPTION,  /* pointer to the nested struct, NULL = absent */
    ROW_LIST,    /* struct row_list    JSON array of nested structs */
    ROW_MAP,     /* struct row_list    JSON object name → nested struct; the name goes to the nested
                                       struct's row that is flagged ROW_NAME */
};

struct row_strings {
    const char **items;
    size_t n;
};
struct row_pair {
    const char *name, *value;
};
struct row_pairs {
    struct row_pair *items;
    size_t n;
};
struct row_list {
    void *items; /* array of the nested struct */
    size_t n;
};
/* Element i of a list with element type T: rows_at(struct T, &list, i) */
#define rows_at(type, list, i) (&((type *)(list)->items)[i])

enum {
    ROW_REQUIRED = 1 << 0,
    ROW_SECRET = 1 << 1,  /* never printed; encoders write "***" unless asked not to */
    ROW_RELOAD = 1 << 2,  /* settings: takes effect without a restart */
    ROW_NAME = 1 << 3,    /* takes the key of the surrounding ROW_MAP; not a member of the object */
    ROW_ALWAYS = 1 << 4,  /* encoded even when it has its default value */
    ROW_FILE = 1 << 5,    /* settings: the value is the path of a file that holds the secret */
};

struct row_table;

struct row {
    const char *name; /* JSON member, camelCase */
    enum row_type type;
    size_t offset;
    unsigned flags;
    const char *def;             /* default as text ("" / NULL = none: NULL, 0, false) */
    int64_t min, max;            /* INT, NUMBER: bounds; STRING: length; lists: count (0,0 = engine's) */
    const char *const *names;    /* ENUM: NULL-terminated */
    const struct row_table *of;  /* OBJECT, OPTION, LIST, MAP */
    const char *help;            /* one sentence, for the reference and the schema */
    const char *unit;            /* "seconds", "bytes" …, or NULL */
    /* Extra check of a STRING (0 ok; fills err text). */
    int (*check)(const char *value, struct err *e);
};

struct row_table {
    const char *name; /* "series.decided" */
    size_t size;      /* sizeof the struct */
    const struct row *rows;
    size_t n;
    const char *help;
    bool closed; /* unknown members are errors (documents, settings) instead of ignored (records) */
};

#define ROW(struct_type, member) offsetof(struct struct_type, member)

struct rows_limits {
    size_t bytes, depth, elements; /* 0 = 4 MB, 32, 200,000 */
};

/* Defaults into *out (nothing is allocated except through a). */
void rows_defaults(void *out, const struct row_table *t, struct arena *a);
/* Decodes text[0..n) into *out (defaults first). On failure -1, e->text = "/pointer: reason", and
 * *out is unspecified. Strings are copied to a; nothing points into text. */
int rows_decode(void *out, const struct row_table *t, const char *text, size_t n, struct arena *a,
                const struct rows_limits *limits, struct err *e) MUST_CHECK;
/* As above, but collects up to max errors instead of stopping at the first (documents, request
 * bodies). Returns the number of errors. max ≥ 1. */
struct rows_error {
    const char *pointer, *reason; /* in the arena */
};
size_t rows_decode_all(void *out, const struct row_table *t, const char *text, size_t n,
                       struct arena *a, const struct rows_limits *limits, struct rows_error *errors,
                       size_t max);

/* Appends compact JSON. Absent and default values are left out, except ROW_ALWAYS. */
void rows_encode(struct str *out, const struct row_table *t, const void *in, bool show_secrets);

/* What decoding would refuse, of a struct that is to be encoded: required members that are absent,
 * values beyond their bounds. 0 or -1 with e->text = "/pointer: reason". */
int rows_check(const struct row_table *t, const void *in, struct err *e) MUST_CHECK;

/* Only the value of one top-level member, without decoding the rest: for readers that need one
 * field of many records. 0 found (raw JSON text), 1 absent, -1 malformed. Names are compared as
 * written (without decoding escapes), and what follows the member is not looked at. */
int rows_peek(struct slice *out, const char *text, size_t n, const char *member);

/* One value from text ("5000", "true", "release") into the row's place in *out. A list of strings is
 * "a, b" or a JSON array; what is composed (pairs, objects, lists) is JSON. */
int rows_set(void *out, const struct row_table *t, const char *name, const char *text,
             struct arena *a, struct err *e) MUST_CHECK;
const struct row *rows_find(const struct row_table *t, const char *name);

/* JSON Schema (2020-12) and a Markdown table generated from the rows. */
void rows_schema(struct str *out, const struct row_table *t, const char *id);
void rows_markdown(struct str *out, const struct row_table *t);

#ifdef __cplusplus
}
#endif
#endif
