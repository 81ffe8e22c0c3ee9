/*
 * Shared by the files of the rule language: values, syntax tree, compiler and evaluation contexts.
 * Nothing here is known outside common/rules.
 */
#ifndef RULES_RULES_PRIV_H
#define RULES_RULES_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "rules/rules.h"

/* ---- values ---------------------------------------------------------------------------------- */

enum value_type { V_NONE, V_BOOL, V_INT, V_FLOAT, V_STR, V_LIST, V_TUPLE, V_SET };

/* Never changed after it was made, so values may share memory (slices of a tag, of a literal). */
struct value {
    enum value_type type;
    uint32_t n; /* STR: bytes; LIST, TUPLE, SET: items */
    union {
        int64_t i; /* BOOL too */
        double f;
        const char *s; /* not NUL-terminated */
        const struct value *items;
    };
};

static inline struct value value_bool(bool b)
{
    return (struct value){.type = V_BOOL, .i = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.type = V_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.type = V_FLOAT, .f = f};
}
static inline struct value value_str(const char *s, size_t n)
{
    return (struct value){.type = V_STR, .n = (uint32_t)n, .s = s};
}
static inline struct value value_items(enum value_type type, const struct value *items, size_t n)
{
    return (struct value){.type = type, .n = (uint32_t)n, .items = items};
}
static inline bool value_is_int(struct value v)
{
    return v.type == V_INT || v.type == V_BOOL;
}
static inline bool value_is_number(struct value v)
{
    return v.type == V_FLOAT || value_is_int(v);
}
static inline bool value_is_sequence(struct value v)
{
    return v.type == V_LIST || v.type == V_TUPLE || v.type == V_SET;
}
static inline double value_double(struct value v)
{
    return v.type == V_FLOAT ? v.f : (double)v.i;
}

/* ---- syntax tree ----------------------------------------------------------------------------- */

enum node_op {
    N_LITERAL,
    N_TAG,       /* tags.Name, tags["Name"], @Name@ */
    N_TAG_NAMED, /* tags[expression] */
    N_TAGS,      /* tags itself: only in "x in tags" and len(tags) */
    N_OR,
    N_AND,
    N_NOT,
    N_COMPARE,
    N_BINARY,
    N_UNARY,
    N_CALL, /* function or method; the method's receiver is kids[0] */
    N_INDEX,
    N_SLICE, /* kids: value, start, stop, step; the last three may be NULL */
    N_LIST,
    N_TUPLE,
    N_SET,
};

enum compare { C_EQ, C_NE, C_LT, C_LE, C_GT, C_GE, C_IN, C_NOT_IN, C_IS, C_IS_NOT };

enum binary {
    B_OR,
    B_XOR,
    B_AND,
    B_SHL,
    B_SHR,
    B_ADD,
    B_SUB,
    B_MUL,
    B_DIV,
    B_FLOORDIV,
    B_MOD,
    B_POW
};

struct builtin;

struct node {
    uint8_t op;  /* enum node_op */
    uint8_t sub; /* enum binary; unary: '-', '+', '~'; N_TAG: any case; N_CALL: method */
    uint16_t depth;
    uint32_t id;         /* index of its value in a trace */
    uint32_t start, end; /* place in the text */
    uint32_t n;          /* kids */
    struct node **kids;
    union {
        struct value literal;
        const char *name;
        const uint8_t *compares; /* n - 1 of enum compare */
        const struct builtin *builtin;
    };
};

struct rule_program {
    struct arena *arena;
    const char *text;
    struct node *root; /* NULL: blank, never true */
    uint32_t nodes;
};

/* ---- compiling ------------------------------------------------------------------------------- */

enum token_kind { T_END, T_NEWLINE, T_NAME, T_VALUE, T_LEGACY, T_OP };

#define OP2(a, b) ((a) << 8 | (b))

struct token {
    enum token_kind kind;
    int op; /* one character, or two: OP2 */
    uint32_t start, end;
    struct value value; /* T_VALUE; T_LEGACY: the name */
};

struct lexer {
    const char *text;
    size_t n, at;
    int open; /* brackets: inside them a newline is white space */
    struct arena *arena;
    struct err *err;
    struct token token; /* the current one */
};

/* Fills *e with "line:column: ..." and code = offset; returns -1. */
int rules_fail(struct err *e, const char *text, size_t at, const char *fmt, ...) PRINTF_LIKE(4, 5);

int lex_next(struct lexer *l) MUST_CHECK;
struct slice lex_text(const struct lexer *l); /* of the current token */

/* Builds the tree, or returns NULL with *e filled; *root is NULL for blank text. */
int rules_parse(struct rule_program *p, struct err *e) MUST_CHECK;
/* What the grammar cannot say: where `tags` may stand, what `is` may compare. */
int rules_check(const struct rule_program *p, struct err *e) MUST_CHECK;

/* ---- evaluation ------------------------------------------------------------------------------ */

enum status { OK, MISSING, FAILED };

struct trace {
    enum { TRACE_NONE, TRACE_VALUE, TRACE_MISSING, TRACE_FAILED } state;
    struct value value;
};

struct context {
    const struct rule_program *program;
    const struct rule_tags *tags;
    struct arena *scratch;
    struct err *err;
    const struct node *at; /* what errors name */
    const char *missing;   /* in the program or in scratch */
    struct trace *trace;   /* NULL unless explaining */
    size_t steps, bytes;
};

enum status rules_run(struct context *c, const struct node *n, struct value *out);
enum status eval_fail(struct context *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Work that is not a node: n bytes looked at or n items touched. */
enum status eval_charge(struct context *c, size_t steps);
/* Uninitialised use is fine: zeroed. NULL after eval_fail when over a bound. */
void *eval_alloc(struct context *c, size_t bytes);
enum status eval_copy(struct context *c, struct value *out, const void *p, size_t n);
/* The items of a list, or the characters of a string. */
enum status eval_items(struct context *c, struct value v, const struct value **items, size_t *n);

const char *value_type_name(struct value v);
bool value_truth(struct value v);
enum status value_equal(struct context *c, struct value a, struct value b, bool *out);
/* -1, 0, 1; 2 = unordered (NaN). Different kinds are an error. */
enum status value_order(struct context *c, struct value a, struct value b, int *out);
enum status value_contains(struct context *c, struct value item, struct value in, bool *out);
enum status value_set(struct context *c, const struct value *items, size_t n, struct value *out);
/* Python's repr(), at most max bytes: false when cut there. */
bool value_repr(struct str *out, struct value v, size_t max);
void value_float_text(char out[40], double f);

enum status rules_binary(struct context *c, enum binary op, struct value a, struct value b,
                         struct value *out);
enum status rules_unary(struct context *c, char op, struct value v, struct value *out);
enum status rules_index(struct context *c, struct value v, struct value at, struct value *out);
enum status rules_slice(struct context *c, struct value v, const struct value *start,
                        const struct value *stop, const struct value *step, struct value *out);

struct builtin {
    const char *name;
    uint8_t min, max; /* arguments, without the receiver */
    enum status (*call)(struct context *c, const struct value *args, size_t n, struct value *out);
    double (*math)(double); /* instead of call: one number to one number */
};

const struct builtin *rules_function(struct slice name);
const struct builtin *rules_method(struct slice name);
/* What method b belongs to: Python looks it up before it evaluates the arguments. */
enum status rules_receiver(struct context *c, const struct builtin *b, struct value receiver);
/* Runs b; a method's receiver is args[0] and counts in n. */
enum status rules_call(struct context *c, const struct builtin *b, const struct value *args,
                       size_t n, struct value *out);

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes of the character at p (1 for a byte that is no UTF-8), and its code point. */
size_t text_decode(const char *p, size_t n, uint32_t *code);
size_t text_encode(char out[4], uint32_t code);
size_t text_length(const char *p, size_t n);                    /* characters */
size_t text_offset(const char *p, size_t n, size_t chars);      /* byte offset of a character */
size_t text_last(const char *p, size_t n, uint32_t *code);      /* bytes of the last character */
struct slice text_strip(struct slice s, bool left, bool right); /* of white space */
uint32_t text_lower(uint32_t c);
uint32_t text_upper(uint32_t c);
bool text_is_space(uint32_t c);
bool text_is_alpha(uint32_t c);
bool text_is_decimal(uint32_t c);
bool text_is_digit(uint32_t c);
bool text_is_numeric(uint32_t c);

#endif
