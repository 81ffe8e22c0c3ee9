/*
 * Tokens to a tree, by recursive descent over Python's grammar of expressions. Depth is bounded in
 * the parser and in the tree, so nothing that walks the tree needs a bound of its own. What Python
 * has and rules have not is refused with what to write instead.
 */
#include <stdlib.h>

#include "rules/rules_priv.h"

typedef VEC(struct node *) node_vec;

struct parser {
    struct lexer lex;
    struct rule_program *program;
    int depth;
};

#define FAIL_AT(p, at, ...)                                                                        \
    ((void)rules_fail((p)->lex.err, (p)->lex.text, (at), __VA_ARGS__), (struct node *)NULL)
#define FAIL(p, ...) FAIL_AT(p, (p)->lex.token.start, __VA_ARGS__)

static struct node *parse_expression(struct parser *p);
static struct node *parse_unary(struct parser *p);

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool is_op(const struct parser *p, int op)
{
    return p->lex.token.kind == T_OP && p->lex.token.op == op;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->lex.token.kind == T_NAME && slice_is(lex_text(&p->lex), word);
}

static bool next(struct parser *p)
{
    return lex_next(&p->lex) == 0;
}

/* Python's own words and those that people write instead of them. */
static const char *word_hint(struct slice word)
{
    static const struct {
        const char *word, *hint;
    } hints[] = {
        {"if", "conditional expressions (x if y else z) are not available; use and, or, not"},
        {"else", "conditional expressions (x if y else z) are not available; use and, or, not"},
        {"for", "comprehensions and loops are not available; any() and all() take a list"},
        {"while", "loops are not available"},
        {"lambda", "lambda is not available"},
        {"import", "import is not available"},
        {"from", "import is not available"},
        {"def", "functions cannot be defined in a rule"},
        {"class", "classes cannot be defined in a rule"},
        {"return", "a rule is one expression; leave out return"},
        {"yield", "yield is not available"},
        {"await", "await is not available"},
        {"async", "async is not available"},
        {"del", "del is not available"},
        {"assert", "assert is not available"},
        {"raise", "raise is not available"},
        {"try", "try is not available"},
        {"with", "with is not available"},
        {"AND", "write and in small letters"},
        {"OR", "write or in small letters"},
        {"NOT", "write not in small letters"},
        {"true", "write True"},
        {"false", "write False"},
        {"none", "write None"},
        {"null", "write None"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (slice_is(word, hints[i].word))
            return hints[i].hint;
    return NULL;
}

static const char *op_hint(int op)
{
    switch (op) {
    case '=':
        return "assignment is not available; use == to compare";
    case OP2(':', '='):
    case OP2('+', '='):
    case OP2('-', '='):
    case OP2('*', '='):
    case OP2('/', '='):
        return "assignment is not available";
    case ';':
        return "a rule is one expression; join several with and, or";
    case OP2('&', '&'):
        return "write and";
    case OP2('|', '|'):
        return "write or";
    case OP2('<', '>'):
        return "write != for unequal";
    case ',':
        return "put parentheses around a list of values: ('A', 'B')";
    case ':':
        return "a colon stands here outside of [ ]";
    default:
        return NULL;
    }
}

/* The current token does not fit here. */
static struct node *unexpected(struct parser *p, const char *wanted)
{
    const struct token *t = &p->lex.token;
    struct slice text = lex_text(&p->lex);
    const char *hint = t->kind == T_NAME ? word_hint(text)
                       : t->kind == T_OP ? op_hint(t->op)
                                         : NULL;
    if (hint != NULL)
        return FAIL(p, "%s", hint);
    if (t->kind == T_END)
        return FAIL(p, "%s is missing at the end", wanted);
    if (t->kind == T_NEWLINE)
        return FAIL(
            p,
            "%s is missing at the end of the line; put parentheses around a rule of several "
            "lines",
            wanted);
    int n = text.n > 40 ? 40 : (int)text.n;
    return FAIL(p, "%s is missing before %.*s", wanted, n, text.p);
}

static bool expect(struct parser *p, int op, const char *wanted)
{
    if (is_op(p, op))
        return next(p);
    (void)unexpected(p, wanted);
    return false;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Copies kids into the program. NULL when the tree gets too deep. */
static struct node *node_new(struct parser *p, enum node_op op, struct node **kids, size_t n,
                             size_t start, size_t end)
{
    struct node *node = arena_alloc(p->program->arena, sizeof *node);
    node->op = (uint8_t)op;
    node->id = p->program->nodes++;
    node->start = (uint32_t)start;
    node->end = (uint32_t)end;
    node->n = (uint32_t)n;
    node->kids = n > 0 ? arena_alloc(p->program->arena, n * sizeof(struct node *)) : NULL;
    node->depth = 1;
    for (size_t i = 0; i < n; i++) {
        node->kids[i] = kids[i];
        if (kids[i] != NULL && kids[i]->depth >= node->depth)
            node->depth = (uint16_t)(kids[i]->depth + 1);
    }
    if (node->depth > RULES_DEPTH_MAX)
        return FAIL_AT(p, start, "nested more than %d deep", RULES_DEPTH_MAX);
    return node;
}

static struct node *literal_new(struct parser *p, struct value v, size_t start, size_t end)
{
    struct node *node = node_new(p, N_LITERAL, NULL, 0, start, end);
    if (node != NULL)
        node->literal = v;
    return node;
}

static bool enter(struct parser *p)
{
    if (p->depth++ < RULES_DEPTH_MAX)
        return true;
    (void)FAIL(p, "nested more than %d deep", RULES_DEPTH_MAX);
    return false;
}

/* ---- lists of expressions -------------------------------------------------------------------- */

/* Up to the closing bracket, which is consumed; *end is its end. commas counts them. */
static bool parse_items(struct parser *p, node_vec *items, int close, size_t *commas, size_t *end)
{
    *commas = 0;
    while (!is_op(p, close)) {
        if (is_op(p, '*') || is_op(p, OP2('*', '*'))) {
            (void)FAIL(p, "unpacking with * is not available");
            return false;
        }
        struct node *item = parse_expression(p);
        if (item == NULL)
            return false;
        *vec_push(items) = item;
        if (is_op(p, close))
            break;
        if (is_op(p, ':') && close == '}') {
            (void)FAIL(p, "dictionaries are not available");
            return false;
        }
        if (!expect(p, ',', close == ')' ? ", or )" : close == ']' ? ", or ]" : ", or }"))
            return false;
        ++*commas;
    }
    *end = p->lex.token.end;
    return next(p);
}

/* A list of literals is made once, here, instead of at each evaluation. */
static struct node *fold(struct parser *p, struct node *list)
{
    struct arena *a = p->program->arena;
    struct value *items = arena_alloc(a, (list->n + 1) * sizeof *items);
    for (size_t i = 0; i < list->n; i++) {
        if (list->kids[i]->op != N_LITERAL)
            return list;
        items[i] = list->kids[i]->literal;
    }
    struct value v = value_items(list->op == N_LIST ? V_LIST : V_TUPLE, items, list->n);
    if (list->op == N_SET) {
        struct context c = {.program = p->program, .scratch = a, .err = p->lex.err, .at = list};
        if (value_set(&c, items, list->n, &v) != OK)
            return NULL;
    }
    list->op = N_LITERAL;
    list->n = 0;
    list->literal = v;
    return list;
}

static struct node *parse_list(struct parser *p, enum node_op op, int close)
{
    size_t start = p->lex.token.start, commas, end;
    node_vec items = {0};
    struct node *list = NULL;
    if (next(p) && parse_items(p, &items, close, &commas, &end)) {
        list = node_new(p, op, items.items, items.n, start, end);
        if (list != NULL && op == N_SET && items.n == 0)
            list = FAIL_AT(p, start, "dictionaries are not available");
    }
    vec_free(&items);
    return list != NULL ? fold(p, list) : NULL;
}

/* A parenthesis, or a tuple. The node's text includes the parentheses. */
static struct node *parse_parenthesis(struct parser *p)
{
    size_t start = p->lex.token.start, commas, end;
    node_vec items = {0};
    struct node *out = NULL;
    if (next(p) && parse_items(p, &items, ')', &commas, &end)) {
        if (items.n == 1 && commas == 0) {
            out = items.items[0];
            out->start = (uint32_t)start;
            out->end = (uint32_t)end;
        } else {
            out = node_new(p, N_TUPLE, items.items, items.n, start, end);
            out = out != NULL ? fold(p, out) : NULL;
        }
    }
    vec_free(&items);
    return out;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool check_arguments(struct parser *p, const struct builtin *b, size_t n, size_t at)
{
    if (n >= b->min && n <= b->max)
        return true;
    if (b->min == b->max)
        (void)FAIL_AT(p, at, "%s() takes %d argument%s, not %zu", b->name, b->min,
                      b->min == 1 ? "" : "s", n);
    else if (b->max == UINT8_MAX)
        (void)FAIL_AT(p, at, "%s() takes at least %d argument%s, not %zu", b->name, b->min,
                      b->min == 1 ? "" : "s", n);
    else
        (void)FAIL_AT(p, at, "%s() takes %d to %d arguments, not %zu", b->name, b->min, b->max, n);
    return false;
}

/* The current token is the opening parenthesis. receiver is NULL for a function. */
static struct node *parse_call(struct parser *p, const struct builtin *b, struct node *receiver,
                               size_t start)
{
    size_t at = p->lex.token.start, commas, end;
    node_vec items = {0};
    struct node *call = NULL;
    if (receiver != NULL)
        *vec_push(&items) = receiver;
    if (next(p) && parse_items(p, &items, ')', &commas, &end) &&
        check_arguments(p, b, items.n - (receiver != NULL), at)) {
        call = node_new(p, N_CALL, items.items, items.n, start, end);
        if (call != NULL) {
            call->builtin = b;
            call->sub = receiver != NULL;
        }
    }
    vec_free(&items);
    return call;
}

static bool is_private(struct slice name)
{
    return name.n >= 2 && name.p[0] == '_' && name.p[1] == '_';
}

static struct node *tag_new(struct parser *p, struct slice name, bool any_case, size_t start,
                            size_t end)
{
    struct node *tag = node_new(p, N_TAG, NULL, 0, start, end);
    if (tag == NULL)
        return NULL;
    tag->name = arena_strndup(p->program->arena, name.p, name.n);
    tag->sub = any_case;
    return tag;
}

/* tags.Name; the current token is the dot */
static struct node *parse_tag_attribute(struct parser *p, size_t start)
{
    if (!next(p))
        return NULL;
    if (p->lex.token.kind != T_NAME)
        return unexpected(p, "a tag's name");
    struct slice name = lex_text(&p->lex);
    size_t at = p->lex.token.start, end = p->lex.token.end;
    if (is_private(name))
        return FAIL(p, "names that begin with __ are not available");
    if (!next(p))
        return NULL;
    if (is_op(p, '('))
        return FAIL_AT(p, at,
                       "tags.%.*s is a value, not a function; test for a tag with 'Name' in tags",
                       (int)(name.n > 40 ? 40 : name.n), name.p);
    return tag_new(p, name, true, start, end);
}

/* tags[name]; the current token is the bracket */
static struct node *parse_tag_item(struct parser *p, size_t start)
{
    if (!next(p))
        return NULL;
    struct node *name = parse_expression(p);
    if (name == NULL)
        return NULL;
    size_t end = p->lex.token.end;
    if (!expect(p, ']', "]"))
        return NULL;
    if (name->op != N_LITERAL)
        return node_new(p, N_TAG_NAMED, &name, 1, start, end);
    if (name->literal.type != V_STR)
        return FAIL_AT(p, name->start, "a tag's name is a string: tags[\"Modality\"]");
    return tag_new(p, (struct slice){name->literal.s, name->literal.n}, false, start, end);
}

static struct node *parse_tags(struct parser *p)
{
    size_t start = p->lex.token.start, end = p->lex.token.end;
    if (!next(p))
        return NULL;
    if (is_op(p, '.'))
        return parse_tag_attribute(p, start);
    if (is_op(p, '['))
        return parse_tag_item(p, start);
    return node_new(p, N_TAGS, NULL, 0, start, end);
}

static bool constant(struct slice name, struct value *out)
{
    if (slice_is(name, "True"))
        *out = value_bool(true);
    else if (slice_is(name, "False"))
        *out = value_bool(false);
    else if (slice_is(name, "None"))
        *out = (struct value){.type = V_NONE};
    else if (slice_is(name, "pi"))
        *out = value_float(3.141592653589793);
    else if (slice_is(name, "e"))
        *out = value_float(2.718281828459045);
    else
        return false;
    return true;
}

static struct node *unknown_name(struct parser *p, struct slice name, size_t start)
{
    int n = name.n > 40 ? 40 : (int)name.n;
    if (is_op(p, '('))
        return FAIL_AT(p, start, "unknown function %.*s()", n, name.p);
    if (is_op(p, '=') && p->lex.open > 0)
        return FAIL_AT(p, start, "arguments by name (%.*s=) are not available", n, name.p);
    if (is_op(p, '=') || is_op(p, OP2(':', '=')) || is_word(p, "for"))
        return unexpected(p, "");
    return FAIL_AT(p, start, "unknown name %.*s; a tag is written tags.%.*s, a text 'in quotes'", n,
                   name.p, n, name.p);
}

static struct node *parse_name(struct parser *p)
{
    struct slice name = lex_text(&p->lex);
    size_t start = p->lex.token.start, end = p->lex.token.end;
    struct value v;
    if (slice_is(name, "tags"))
        return parse_tags(p);
    if (slice_is(name, "and") || slice_is(name, "or") || slice_is(name, "in") ||
        slice_is(name, "is") || slice_is(name, "not"))
        return unexpected(p, "a value");
    if (word_hint(name) != NULL)
        return unexpected(p, "");
    if (is_private(name))
        return FAIL(p, "names that begin with __ are not available");
    if (!next(p))
        return NULL;
    if (constant(name, &v))
        return literal_new(p, v, start, end);
    const struct builtin *b = rules_function(name);
    if (b != NULL && is_op(p, '('))
        return parse_call(p, b, NULL, start);
    if (b != NULL && !is_op(p, '='))
        return FAIL_AT(p, start, "%s is a function and needs parentheses: %s(...)", b->name,
                       b->name);
    return unknown_name(p, name, start);
}

/* ---- operands -------------------------------------------------------------------------------- */

static struct node *parse_atom(struct parser *p)
{
    const struct token t = p->lex.token;
    switch (t.kind) {
    case T_VALUE:
        return next(p) ? literal_new(p, t.value, t.start, t.end) : NULL;
    case T_LEGACY:
        if (!next(p))
            return NULL;
        return tag_new(p, (struct slice){t.value.s, t.value.n}, false, t.start, t.end);
    case T_NAME:
        return parse_name(p);
    case T_OP:
        if (t.op == '(')
            return parse_parenthesis(p);
        if (t.op == '[')
            return parse_list(p, N_LIST, ']');
        if (t.op == '{')
            return parse_list(p, N_SET, '}');
        break;
    default:
        break;
    }
    return unexpected(p, "a value");
}

static struct node *parse_method(struct parser *p, struct node *receiver)
{
    if (!next(p))
        return NULL;
    if (p->lex.token.kind != T_NAME)
        return unexpected(p, "a method's name");
    struct slice name = lex_text(&p->lex);
    size_t at = p->lex.token.start;
    int n = name.n > 40 ? 40 : (int)name.n;
    if (is_private(name))
        return FAIL(p, "names that begin with __ are not available");
    const struct builtin *b = rules_method(name);
    if (!next(p))
        return NULL;
    if (b == NULL)
        return FAIL_AT(p, at, "unknown method .%.*s()", n, name.p);
    if (!is_op(p, '('))
        return FAIL_AT(p, at, "a method needs parentheses: .%.*s()", n, name.p);
    return parse_call(p, b, receiver, receiver->start);
}

/* One of the up to three parts of a slice; *out NULL when absent. */
static bool parse_bound(struct parser *p, struct node **out)
{
    *out = NULL;
    if (is_op(p, ':') || is_op(p, ']'))
        return true;
    *out = parse_expression(p);
    return *out != NULL;
}

static struct node *parse_subscript(struct parser *p, struct node *receiver)
{
    struct node *kids[4] = {receiver, NULL, NULL, NULL};
    int colons = 0;
    if (!next(p) || (is_op(p, ']') && unexpected(p, "a position") == NULL) ||
        !parse_bound(p, &kids[1]))
        return NULL;
    while (is_op(p, ':') && colons < 2)
        if (!next(p) || !parse_bound(p, &kids[2 + colons++]))
            return NULL;
    size_t end = p->lex.token.end;
    if (!expect(p, ']', "]"))
        return NULL;
    return node_new(p, colons > 0 ? N_SLICE : N_INDEX, kids, colons > 0 ? 4 : 2, receiver->start,
                    end);
}

static struct node *parse_postfix(struct parser *p)
{
    struct node *node = parse_atom(p);
    while (node != NULL) {
        if (is_op(p, '.'))
            node = parse_method(p, node);
        else if (is_op(p, '['))
            node = parse_subscript(p, node);
        else if (is_op(p, '('))
            return FAIL(
                p, "only functions and methods can be called; an operator is missing before (");
        else
            break;
    }
    return node;
}

/* ---- operators ------------------------------------------------------------------------------- */

static struct node *binary_new(struct parser *p, enum binary op, struct node *a, struct node *b)
{
    struct node *kids[2] = {a, b};
    struct node *node = node_new(p, N_BINARY, kids, 2, a->start, b->end);
    if (node != NULL)
        node->sub = (uint8_t)op;
    return node;
}

static struct node *parse_power(struct parser *p)
{
    struct node *base = parse_postfix(p);
    if (base == NULL || !is_op(p, OP2('*', '*')))
        return base;
    if (!next(p))
        return NULL;
    struct node *exponent = parse_unary(p);
    return exponent != NULL ? binary_new(p, B_POW, base, exponent) : NULL;
}

static struct node *negative_literal(struct node *node, size_t start)
{
    struct value *v = &node->literal;
    if (v->type == V_FLOAT)
        v->f = -v->f;
    else
        *v = value_int(-v->i);
    node->start = (uint32_t)start;
    return node;
}

static struct node *parse_unary(struct parser *p)
{
    if (!is_op(p, '-') && !is_op(p, '+') && !is_op(p, '~'))
        return parse_power(p);
    int op = p->lex.token.op;
    size_t start = p->lex.token.start;
    if (!enter(p) || !next(p))
        return NULL;
    struct node *operand = parse_unary(p);
    p->depth--;
    if (operand == NULL)
        return NULL;
    if (op == '-' && operand->op == N_LITERAL && value_is_number(operand->literal) &&
        operand->literal.type != V_BOOL)
        return negative_literal(operand, start);
    struct node *node = node_new(p, N_UNARY, &operand, 1, start, operand->end);
    if (node != NULL)
        node->sub = (uint8_t)op;
    return node;
}

static const struct {
    int token;
    uint8_t level;
    enum binary op;
} binaries[] = {
    {'|', 1, B_OR},
    {'^', 2, B_XOR},
    {'&', 3, B_AND},
    {OP2('<', '<'), 4, B_SHL},
    {OP2('>', '>'), 4, B_SHR},
    {'+', 5, B_ADD},
    {'-', 5, B_SUB},
    {'*', 6, B_MUL},
    {'/', 6, B_DIV},
    {OP2('/', '/'), 6, B_FLOORDIV},
    {'%', 6, B_MOD},
};

/* Operators of at least this level, left to right. */
static struct node *parse_binary(struct parser *p, int level)
{
    struct node *left = parse_unary(p);
    while (left != NULL) {
        size_t i = 0;
        while (i < ARRAY_LEN(binaries) &&
               !(is_op(p, binaries[i].token) && binaries[i].level >= level))
            i++;
        if (i == ARRAY_LEN(binaries))
            break;
        if (!next(p))
            return NULL;
        struct node *right = parse_binary(p, binaries[i].level + 1);
        left = right != NULL ? binary_new(p, binaries[i].op, left, right) : NULL;
    }
    return left;
}

/* Consumes a comparison operator; 1 found, 0 none, -1 error. */
static int take_compare(struct parser *p, uint8_t *out)
{
    static const struct {
        int token;
        enum compare op;
    } ops[] = {{OP2('=', '='), C_EQ}, {OP2('!', '='), C_NE}, {'<', C_LT},
               {OP2('<', '='), C_LE}, {'>', C_GT},           {OP2('>', '='), C_GE}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (is_op(p, ops[i].token)) {
            *out = (uint8_t)ops[i].op;
            return next(p) ? 1 : -1;
        }
    bool negated = is_word(p, "not"), is = is_word(p, "is");
    if (!negated && !is && !is_word(p, "in"))
        return 0;
    if (!next(p))
        return -1;
    *out = is ? C_IS : C_IN;
    if (negated && !is_word(p, "in")) {
        (void)unexpected(p, "in");
        return -1;
    }
    if (is && is_word(p, "not"))
        *out = C_IS_NOT;
    if (negated)
        *out = C_NOT_IN;
    if ((negated || *out == C_IS_NOT) && !next(p))
        return -1;
    return 1;
}

static struct node *parse_comparison(struct parser *p)
{
    struct node *first = parse_binary(p, 1), *out = NULL;
    if (first == NULL)
        return NULL;
    node_vec items = {0};
    VEC(uint8_t) ops = {0};
    uint8_t op;
    int found;
    *vec_push(&items) = first;
    while ((found = take_compare(p, &op)) > 0) {
        struct node *right = parse_binary(p, 1);
        if (right == NULL) {
            found = -1;
            break;
        }
        *vec_push(&ops) = op;
        *vec_push(&items) = right;
    }
    if (found == 0 && ops.n == 0) {
        out = first;
    } else if (found == 0) {
        out = node_new(p, N_COMPARE, items.items, items.n, first->start,
                       items.items[items.n - 1]->end);
        uint8_t *copy = arena_alloc(p->program->arena, ops.n);
        memcpy(copy, ops.items, ops.n);
        if (out != NULL)
            out->compares = copy;
    }
    vec_free(&items);
    vec_free(&ops);
    return out;
}

static struct node *parse_not(struct parser *p)
{
    if (!is_word(p, "not"))
        return parse_comparison(p);
    size_t start = p->lex.token.start;
    if (!enter(p) || !next(p))
        return NULL;
    struct node *operand = parse_not(p);
    p->depth--;
    return operand != NULL ? node_new(p, N_NOT, &operand, 1, start, operand->end) : NULL;
}

/* One node for a whole chain: a long list of alternatives is not deep. */
static struct node *parse_chain(struct parser *p, const char *word, enum node_op op,
                                struct node *(*operand)(struct parser *))
{
    struct node *first = operand(p);
    if (first == NULL || !is_word(p, word))
        return first;
    node_vec items = {0};
    struct node *out = NULL, *item = first;
    *vec_push(&items) = first;
    while (item != NULL && is_word(p, word)) {
        item = next(p) ? operand(p) : NULL;
        *vec_push(&items) = item;
    }
    if (item != NULL)
        out = node_new(p, op, items.items, items.n, first->start, item->end);
    vec_free(&items);
    return out;
}

static struct node *parse_and(struct parser *p)
{
    return parse_chain(p, "and", N_AND, parse_not);
}

static struct node *parse_expression(struct parser *p)
{
    if (!enter(p))
        return NULL;
    struct node *node = parse_chain(p, "or", N_OR, parse_and);
    p->depth--;
    return node;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool skip_newlines(struct parser *p)
{
    while (p->lex.token.kind == T_NEWLINE)
        if (!next(p))
            return false;
    return true;
}

int rules_parse(struct rule_program *program, struct err *e)
{
    struct parser p = {
        .lex = {.text = program->text,
                .n = strlen(program->text),
                .arena = program->arena,
                .err = e},
        .program = program,
    };
    if (!next(&p) || !skip_newlines(&p))
        return -1;
    if (p.lex.token.kind == T_END)
        return 0;
    program->root = parse_expression(&p);
    if (program->root == NULL)
        return -1;
    bool newline = p.lex.token.kind == T_NEWLINE;
    if (!skip_newlines(&p))
        return -1;
    if (p.lex.token.kind == T_END)
        return 0;
    if (newline)
        (void)FAIL(&p, "a rule is one expression; put parentheses around a rule of several lines");
    else
        (void)unexpected(&p, "an operator");
    return -1;
}
