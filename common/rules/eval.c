/*
 * Evaluation: one walk over the tree, Python's order and short circuits. Every node is a step, and
 * so is every 32 bytes or item that an operation looks at; what it makes comes from the scratch
 * arena under a bound. A missing tag and an error end the walk.
 */
#include <stdarg.h>
#include <stdio.h>

#include "rules/rules_priv.h"

#define TAG_NAME_MAX 128

enum status eval_fail(struct context *c, const char *fmt, ...)
{
    char reason[160];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    (void)rules_fail(c->err, c->program->text, c->at->start, "%s", reason);
    return FAILED;
}

enum status eval_charge(struct context *c, size_t steps)
{
    if (steps > RULES_STEPS_MAX || (c->steps += steps) > RULES_STEPS_MAX)
        return eval_fail(c, "this takes more than %d steps", RULES_STEPS_MAX);
    return OK;
}

void *eval_alloc(struct context *c, size_t bytes)
{
    if (bytes > RULES_SCRATCH_MAX || (c->bytes += bytes) > RULES_SCRATCH_MAX) {
        (void)eval_fail(c, "this needs more than %d bytes of memory", RULES_SCRATCH_MAX);
        return NULL;
    }
    void *p = arena_alloc(c->scratch, bytes);
    if (p == NULL)
        (void)eval_fail(c, "out of memory for this evaluation");
    return p;
}

enum status eval_copy(struct context *c, struct value *out, const void *p, size_t n)
{
    char *copy = eval_alloc(c, n);
    if (copy == NULL)
        return FAILED;
    memcpy(copy, p, n);
    *out = value_str(copy, n);
    return OK;
}

enum status eval_items(struct context *c, struct value v, const struct value **items, size_t *n)
{
    if (value_is_sequence(v)) {
        *items = v.items;
        *n = v.n;
        return eval_charge(c, v.n);
    }
    if (v.type != V_STR)
        return eval_fail(c, "%s is not a list", value_type_name(v));
    if (eval_charge(c, v.n) != OK)
        return FAILED;
    struct value *out = eval_alloc(c, (v.n + 1) * sizeof *out);
    if (out == NULL)
        return FAILED;
    size_t count = 0;
    uint32_t code;
    for (size_t i = 0; i < v.n; count++) {
        size_t len = text_decode(v.s + i, v.n - i, &code);
        out[count] = value_str(v.s + i, len);
        i += len;
    }
    *items = out;
    *n = count;
    return OK;
}

/* ---- tags ------------------------------------------------------------------------------------ */

static enum status eval_tag(struct context *c, const struct node *n, struct value *out)
{
    const char *text = c->tags->get(c->tags->arg, n->name, n->sub);
    if (text == NULL) {
        c->missing = n->name;
        return MISSING;
    }
    size_t len = strnlen(text, RULES_SCRATCH_MAX + 1);
    if (len > RULES_SCRATCH_MAX)
        return eval_fail(c, "the tag is too long");
    *out = value_str(text, len);
    return OK;
}

/* The tag that a value names; NULL: none. */
static const char *named_tag(struct context *c, struct value name, char buffer[TAG_NAME_MAX + 1])
{
    buffer[0] = '\0';
    if (name.type != V_STR || name.n > TAG_NAME_MAX || memchr(name.s, 0, name.n) != NULL)
        return NULL;
    memcpy(buffer, name.s, name.n);
    buffer[name.n] = '\0';
    return c->tags->get(c->tags->arg, buffer, false);
}

static enum status eval_tag_named(struct context *c, const struct node *n, struct value *out)
{
    struct value name;
    char buffer[TAG_NAME_MAX + 1];
    enum status s = rules_run(c, n->kids[0], &name);
    if (s != OK)
        return s;
    c->at = n;
    if (name.type != V_STR)
        return eval_fail(c, "a tag's name is a string, not %s", value_type_name(name));
    const char *text = named_tag(c, name, buffer);
    if (text != NULL) {
        *out = value_str(text, strnlen(text, RULES_SCRATCH_MAX));
        return OK;
    }
    c->missing = arena_strdup(c->scratch, buffer);
    return MISSING;
}

/* ---- logic ----------------------------------------------------------------------------------- */

static enum status eval_logic(struct context *c, const struct node *n, struct value *out)
{
    bool stop = n->op == N_OR;
    for (uint32_t i = 0; i < n->n; i++) {
        enum status s = rules_run(c, n->kids[i], out);
        if (s != OK || value_truth(*out) == stop)
            return s;
    }
    return OK;
}

static enum status compare(struct context *c, enum compare op, struct value a, struct value b,
                           bool *out)
{
    enum status s;
    int order;
    switch (op) {
    case C_EQ:
    case C_NE:
        s = value_equal(c, a, b, out);
        *out = *out == (op == C_EQ);
        return s;
    case C_IN:
    case C_NOT_IN:
        s = value_contains(c, a, b, out);
        *out = *out == (op == C_IN);
        return s;
    case C_IS:
    case C_IS_NOT:
        *out = (a.type == b.type && (a.type == V_NONE || (a.type == V_BOOL && a.i == b.i))) ==
               (op == C_IS);
        return OK;
    default:
        s = value_order(c, a, b, &order);
        *out = op == C_LT   ? order == -1
               : op == C_LE ? order == -1 || order == 0
               : op == C_GT ? order == 1
                            : order == 0 || order == 1;
        return s;
    }
}

static enum status eval_compare(struct context *c, const struct node *n, struct value *out)
{
    struct value left, right;
    enum status s = rules_run(c, n->kids[0], &left);
    for (uint32_t i = 1; s == OK && i < n->n; i++) {
        bool yes = false;
        if (n->kids[i]->op == N_TAGS) {
            char buffer[TAG_NAME_MAX + 1];
            yes = (named_tag(c, left, buffer) != NULL) == (n->compares[i - 1] == C_IN);
        } else {
            s = rules_run(c, n->kids[i], &right);
            if (s != OK)
                return s;
            c->at = n;
            s = compare(c, n->compares[i - 1], left, right, &yes);
        }
        *out = value_bool(yes);
        if (!yes)
            return s;
        left = right;
    }
    return s;
}

/* ---- the rest -------------------------------------------------------------------------------- */

#define ARGUMENTS_ON_STACK 6

static enum status eval_kids(struct context *c, const struct node *n, struct value *out)
{
    for (uint32_t i = 0; i < n->n; i++) {
        enum status s = rules_run(c, n->kids[i], &out[i]);
        if (s != OK)
            return s;
    }
    c->at = n;
    return OK;
}

static enum status eval_call(struct context *c, const struct node *n, struct value *out)
{
    struct value stack[ARGUMENTS_ON_STACK];
    if (n->n == 1 && n->kids[0]->op == N_TAGS) {
        *out = value_int((int64_t)c->tags->count(c->tags->arg));
        return OK;
    }
    struct value *args =
        n->n <= ARGUMENTS_ON_STACK ? stack : eval_alloc(c, n->n * sizeof(struct value));
    if (args == NULL)
        return FAILED;
    enum status s = OK;
    for (uint32_t i = 0; s == OK && i < n->n; i++) {
        s = rules_run(c, n->kids[i], &args[i]);
        c->at = s == OK ? n : c->at;
        if (s == OK && i == 0 && n->sub)
            s = rules_receiver(c, n->builtin, args[0]);
    }
    return s == OK ? rules_call(c, n->builtin, args, n->n, out) : s;
}

static enum status eval_sequence(struct context *c, const struct node *n, struct value *out)
{
    struct value *items = eval_alloc(c, (n->n + 1) * sizeof *items);
    if (items == NULL)
        return FAILED;
    enum status s = eval_kids(c, n, items);
    if (s != OK)
        return s;
    if (n->op == N_SET)
        return value_set(c, items, n->n, out);
    *out = value_items(n->op == N_LIST ? V_LIST : V_TUPLE, items, n->n);
    return OK;
}

static enum status eval_slice(struct context *c, const struct node *n, struct value *out)
{
    struct value parts[4];
    const struct value *given[4] = {NULL, NULL, NULL, NULL};
    for (int i = 0; i < 4; i++) {
        if (n->kids[i] == NULL)
            continue;
        enum status s = rules_run(c, n->kids[i], &parts[i]);
        if (s != OK)
            return s;
        given[i] = &parts[i];
    }
    c->at = n;
    return rules_slice(c, parts[0], given[1], given[2], given[3], out);
}

static enum status eval_operands(struct context *c, const struct node *n, struct value *out)
{
    struct value v[2];
    enum status s = eval_kids(c, n, v);
    if (s != OK)
        return s;
    switch (n->op) {
    case N_BINARY:
        return rules_binary(c, (enum binary)n->sub, v[0], v[1], out);
    case N_UNARY:
        return rules_unary(c, (char)n->sub, v[0], out);
    case N_INDEX:
        return rules_index(c, v[0], v[1], out);
    default: /* N_NOT */
        *out = value_bool(!value_truth(v[0]));
        return OK;
    }
}

static enum status eval_node(struct context *c, const struct node *n, struct value *out)
{
    switch (n->op) {
    case N_LITERAL:
        *out = n->literal;
        return OK;
    case N_TAG:
        return eval_tag(c, n, out);
    case N_TAG_NAMED:
        return eval_tag_named(c, n, out);
    case N_OR:
    case N_AND:
        return eval_logic(c, n, out);
    case N_COMPARE:
        return eval_compare(c, n, out);
    case N_CALL:
        return eval_call(c, n, out);
    case N_SLICE:
        return eval_slice(c, n, out);
    case N_LIST:
    case N_TUPLE:
    case N_SET:
        return eval_sequence(c, n, out);
    default:
        return eval_operands(c, n, out);
    }
}

enum status rules_run(struct context *c, const struct node *n, struct value *out)
{
    c->at = n;
    if (++c->steps > RULES_STEPS_MAX)
        return eval_fail(c, "this takes more than %d steps", RULES_STEPS_MAX);
    enum status s = eval_node(c, n, out);
    if (c->trace != NULL) {
        struct trace *t = &c->trace[n->id];
        t->state = s == OK ? TRACE_VALUE : s == MISSING ? TRACE_MISSING : TRACE_FAILED;
        if (s == OK)
            t->value = *out;
    }
    return s;
}

enum rule_verdict rules_eval(const struct rule_program *p, const struct rule_tags *tags,
                             struct arena *scratch, const char **missing, struct err *e)
{
    if (missing != NULL)
        *missing = NULL;
    if (p->root == NULL)
        return RULE_NO_MATCH;
    struct context c = {.program = p, .tags = tags, .scratch = scratch, .err = e};
    struct value v;
    switch (rules_run(&c, p->root, &v)) {
    case OK:
        return value_truth(v) ? RULE_MATCH : RULE_NO_MATCH;
    case MISSING:
        if (missing != NULL)
            *missing = arena_strdup(scratch, c.missing);
        return RULE_NO_MATCH;
    default:
        return RULE_ERROR;
    }
}
