/*
 * Why a rule matched or not: the rule is evaluated once with the value of every node kept, then the
 * clauses (operands of and, or, not; comparisons and what they compare) are told from the outside
 * in.
 */
#include <stdio.h>

#include "rules/rules_priv.h"

#define VALUE_TEXT_MAX 200

struct teller {
    const struct rule_program *program;
    const struct trace *trace;
    rules_clause fn;
    void *arg;
    const char *error; /* reason of the failure, or NULL */
};

static void cut_text(struct str *text)
{
    if (text->len <= VALUE_TEXT_MAX)
        return;
    text->len = utf8_valid_prefix(text->data, VALUE_TEXT_MAX);
    str_puts(text, "…");
}

static void value_text(const struct teller *t, const struct node *n, struct str *out)
{
    const struct trace *trace = &t->trace[n->id];
    switch (trace->state) {
    case TRACE_NONE:
        str_puts(out, "not evaluated");
        return;
    case TRACE_MISSING:
        str_puts(out, "missing");
        return;
    case TRACE_FAILED:
        str_printf(out, "error: %s", t->error);
        return;
    case TRACE_VALUE:
        break;
    }
    if (trace->value.type == V_BOOL)
        str_puts(out, trace->value.i ? "true" : "false");
    else
        (void)value_repr(out, trace->value, VALUE_TEXT_MAX);
    cut_text(out);
}

static void tell(const struct teller *t, const struct node *n, int depth)
{
    struct str text = STR_INIT;
    value_text(t, n, &text);
    t->fn(t->arg, depth, (struct slice){t->program->text + n->start, n->end - n->start},
          str_cstr(&text));
    str_free(&text);
}

static bool is_logic(const struct node *n)
{
    return n->op == N_OR || n->op == N_AND || n->op == N_NOT;
}

static void walk(const struct teller *t, const struct node *n, int depth)
{
    tell(t, n, depth);
    for (uint32_t i = 0; i < n->n; i++) {
        const struct node *kid = n->kids[i];
        if (kid == NULL || kid->op == N_TAGS || (kid->op == N_LITERAL && !is_logic(n)))
            continue;
        walk(t, kid, depth + 1);
    }
}

enum rule_verdict rules_explain(const struct rule_program *p, const struct rule_tags *tags,
                                struct arena *scratch, rules_clause fn, void *arg, struct err *e)
{
    struct err own = {0};
    if (p->root == NULL)
        return RULE_NO_MATCH;
    e = e != NULL ? e : &own;
    struct context c = {.program = p, .tags = tags, .scratch = scratch, .err = e, .at = p->root};
    c.trace = arena_alloc(scratch, p->nodes * sizeof *c.trace);
    if (c.trace == NULL) {
        (void)eval_fail(&c, "out of memory for this evaluation");
        return RULE_ERROR;
    }
    struct value v;
    enum status s = rules_run(&c, p->root, &v);
    struct teller t = {.program = p,
                       .trace = c.trace,
                       .fn = fn,
                       .arg = arg,
                       .error = s == FAILED ? e->text : NULL};
    walk(&t, p->root, 0);
    if (s == FAILED)
        return RULE_ERROR;
    return s == OK && value_truth(v) ? RULE_MATCH : RULE_NO_MATCH;
}
