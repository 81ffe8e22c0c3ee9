/*
 * The rule language: a typed expression in Python's syntax as mercure's users write it (mercure.md
 * §3). Compiled once per config revision; no loops; bounded size, depth, time and memory. A missing
 * tag makes the whole rule "no match" without an error (short circuit respected); an error is
 * RULE_ERROR with text, and no match.
 *
 * A program is immutable after compilation: any number of threads may evaluate it at once.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RULES_TEXT_MAX  16384
#define RULES_DEPTH_MAX 64
#define RULES_STEPS_MAX 100000  /* of one evaluation */
#define RULES_SCRATCH_MAX 1048576 /* bytes that one evaluation may make */

struct rule_program;

/* Error text: "line:column: reason"; e->code = byte offset. Empty or blank text is never true. */
int rules_compile(struct rule_program **out, const char *text, struct err *e) MUST_CHECK;
void rules_free(struct rule_program *p);

/* Where tag values come from. lookup: exact name first, then case-insensitive for attribute access;
 * NULL = the tag is missing. */
struct rule_tags {
    const char *(*get)(void *arg, const char *name, bool any_case);
    size_t (*count)(void *arg);
    void *arg;
};

enum rule_verdict { RULE_NO_MATCH, RULE_MATCH, RULE_ERROR };

/* scratch is reset by the caller. *e is filled only for RULE_ERROR. missing (may be NULL): the tag
 * that ended the evaluation, in scratch, or NULL. */
enum rule_verdict rules_eval(const struct rule_program *p, const struct rule_tags *tags,
                             struct arena *scratch, const char **missing, struct err *e);

/* The value of every clause, innermost last: for "why (not)". Calls fn per sub-expression with its
 * source text and its value as text ("true", "'CT'", "missing", "not evaluated", "error: …"). */
typedef void (*rules_clause)(void *arg, int depth, struct slice source, const char *value);
enum rule_verdict rules_explain(const struct rule_program *p, const struct rule_tags *tags,
                                struct arena *scratch, rules_clause fn, void *arg, struct err *e);

#ifdef __cplusplus
}
#endif
#endif
