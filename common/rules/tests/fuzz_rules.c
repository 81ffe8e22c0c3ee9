/* Any text as a rule: compiles or is refused, and what compiles is evaluated and explained. */
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "rules/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *get(void *arg, const char *name, bool any_case)
{
    (void)arg;
    (void)any_case;
    if (name[0] == 'M' || name[0] == 'm')
        return "CT";
    if (name[0] == 'S')
        return "AX T1 1.5 Gr\xC3\xB6\xC3\x9F"
               "e \xE5\xB1\xB1 \xFF";
    if (name[0] == 'I')
        return "ORIGINAL\\PRIMARY\\AXIAL";
    return name[0] == 'E' ? "" : name[0] == 'N' ? " 12.50 " : NULL;
}

static size_t count(void *arg)
{
    (void)arg;
    return 7;
}

static void clause(void *arg, int depth, struct slice source, const char *value)
{
    *(size_t *)arg += (size_t)depth + source.n + strlen(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_strndup((const char *)data, size);
    struct rule_program *p;
    struct err e = {0};
    if (rules_compile(&p, text, &e) == 0) {
        struct rule_tags tags = {get, count, NULL};
        struct arena *scratch = arena_new(8 << 20);
        const char *missing;
        size_t told = 0;
        enum rule_verdict v = rules_eval(p, &tags, scratch, &missing, &e);
        arena_reset(scratch);
        if (rules_explain(p, &tags, scratch, clause, &told, &e) != v)
            __builtin_trap();
        arena_free(scratch);
        rules_free(p);
    } else if (e.text[0] == '\0') {
        __builtin_trap();
    }
    mem_free(text);
    return 0;
}
