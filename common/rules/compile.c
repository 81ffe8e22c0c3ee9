/*
 * Text to program: parse, then the checks that the grammar cannot say. The program owns one arena.
 */
#include "rules/rules_priv.h"

static int check_node(const struct rule_program *p, const struct node *n, struct err *e);

static bool is_singleton(const struct node *n)
{
    return n->op == N_LITERAL && (n->literal.type == V_NONE || n->literal.type == V_BOOL);
}

static int check_tags(const struct rule_program *p, const struct node *n, struct err *e)
{
    return rules_fail(e, p->text, n->start,
                      "tags stands alone only in 'Name' in tags and len(tags); a tag is tags.Name");
}

static int check_compare(const struct rule_program *p, const struct node *n, struct err *e)
{
    for (uint32_t i = 0; i < n->n; i++) {
        const struct node *kid = n->kids[i];
        enum compare op = i > 0 ? n->compares[i - 1] : C_EQ;
        bool in = op == C_IN || op == C_NOT_IN;
        if (i > 0 && (op == C_IS || op == C_IS_NOT) && !is_singleton(kid) &&
            !is_singleton(n->kids[i - 1]))
            return rules_fail(e, p->text, kid->start,
                              "is compares only with None, True and False; use ==");
        if (kid->op == N_TAGS && in && i + 1 == n->n)
            continue;
        if (check_node(p, kid, e) < 0)
            return -1;
    }
    return 0;
}

static int check_node(const struct rule_program *p, const struct node *n, struct err *e)
{
    if (n->op == N_TAGS)
        return check_tags(p, n, e);
    if (n->op == N_COMPARE)
        return check_compare(p, n, e);
    if (n->op == N_BINARY && n->sub == B_MOD && n->kids[0]->op == N_LITERAL &&
        n->kids[0]->literal.type == V_STR)
        return rules_fail(e, p->text, n->start,
                          "%% formatting is not available; join strings with +");
    if (n->op == N_CALL && n->n == 1 && n->kids[0]->op == N_TAGS &&
        strcmp(n->builtin->name, "len") == 0)
        return 0;
    for (uint32_t i = 0; i < n->n; i++)
        if (n->kids[i] != NULL && check_node(p, n->kids[i], e) < 0)
            return -1;
    return 0;
}

int rules_check(const struct rule_program *p, struct err *e)
{
    return p->root != NULL ? check_node(p, p->root, e) : 0;
}

int rules_compile(struct rule_program **out, const char *text, struct err *e)
{
    size_t n = strnlen(text, RULES_TEXT_MAX + 1);
    if (n > RULES_TEXT_MAX)
        return err_set(e, ERR_REJECT, 0, "1:1: longer than %d bytes", RULES_TEXT_MAX);
    size_t valid = utf8_valid_prefix(text, n);
    if (valid < n)
        return rules_fail(e, text, valid, "the text is not UTF-8");
    struct arena *arena = arena_new(0);
    struct rule_program *p = arena_alloc(arena, sizeof *p);
    *p = (struct rule_program){.arena = arena, .text = arena_strndup(arena, text, n)};
    if (rules_parse(p, e) < 0 || rules_check(p, e) < 0) {
        rules_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

void rules_free(struct rule_program *p)
{
    if (p != NULL)
        arena_free(p->arena);
}
