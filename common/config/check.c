/*
 * What one row of a table cannot say: references between documents, what a type or an action needs,
 * lists of globs and networks, expressions. Every finding names its place by JSON Pointer.
 */
#include <stdarg.h>
#include <stdio.h>

#include "config/config_priv.h"
#include "dicom/tagmap.h"

void config_error(struct config_errors *errors, const char *pointer, const char *fmt, ...)
{
    char reason[320];
    va_list ap;
    if (errors->n++ >= errors->max)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    errors->items[errors->n - 1] =
        (struct rows_error){.pointer = arena_strdup(errors->arena, pointer),
                            .reason = arena_strdup(errors->arena, reason)};
}

/* "/rules/a/targets/2"; names need no escaping, they are letters, digits, _ and -. */
#define POINTER_MAX 192
struct place {
    char text[POINTER_MAX];
};

static struct place place(const char *list, const char *name, const char *member)
{
    struct place p;
    (void)snprintf(p.text, sizeof p.text, "/%s/%.64s/%s", list, name, member);
    return p;
}

static struct place element(const char *list, const char *name, const char *member, size_t i)
{
    struct place p;
    (void)snprintf(p.text, sizeof p.text, "/%s/%.64s/%s/%zu", list, name, member, i);
    return p;
}

/* ---- lists of texts -------------------------------------------------------------------------- */

typedef bool text_ok(const char *text);

static bool is_ae_glob(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (text[i] < 0x20 || text[i] > 0x7E || text[i] == '\\')
            return false;
    return n > 0 && n <= 64 && text[0] != ' ' && text[n - 1] != ' ';
}

static bool is_network(const char *text)
{
    struct config_network n;
    return config_network(&n, text) == 0;
}

static bool is_certificate(const char *text)
{
    return text[0] != '\0' && strlen(text) <= 1024;
}

static bool is_file_glob(const char *text)
{
    return text[0] != '\0' && strlen(text) <= 255 && strchr(text, '/') == NULL;
}

static void check_texts(struct config_errors *errors, const char *list, const char *name,
                        const char *member, const struct row_strings *texts, text_ok *ok,
                        const char *what)
{
    for (size_t i = 0; i < texts->n; i++)
        if (!ok(texts->items[i]))
            config_error(errors, element(list, name, member, i).text, "is not %s", what);
}

static void check_source(struct config_errors *errors, const struct config_source *s)
{
    const char *ae = "an AE title (* and ? allowed)";
    check_texts(errors, "sources", s->name, "callingAes", &s->calling_aes, is_ae_glob, ae);
    check_texts(errors, "sources", s->name, "calledAes", &s->called_aes, is_ae_glob, ae);
    check_texts(errors, "sources", s->name, "addresses", &s->addresses, is_network,
                "an IP address or network");
    check_texts(errors, "sources", s->name, "certificates", &s->certificates, is_certificate,
                "a SHA-256 or a subject name");
}

/* ---- targets and modules --------------------------------------------------------------------- */

static void check_option(struct config_errors *errors, const struct config_target *t, int type,
                         const void *option, const char *member)
{
    if (t->type == type && option == NULL)
        config_error(errors, place("targets", t->name, member).text, "required for type %s",
                     member);
    else if (t->type != type && option != NULL)
        config_error(errors, place("targets", t->name, member).text,
                     "does not belong to this type");
}

static void check_target(struct config_errors *errors, const struct config_target *t)
{
    check_option(errors, t, TARGET_DICOM, t->dicom, "dicom");
    check_option(errors, t, TARGET_DICOMTLS, t->dicomtls, "dicomtls");
    if (t->dicomtls != NULL && !t->dicomtls->certificate != !t->dicomtls->key)
        config_error(errors, place("targets", t->name, "dicomtls").text,
                     "certificate and key belong together");
    check_option(errors, t, TARGET_FOLDER, t->folder, "folder");
    if (t->folder != NULL)
        check_texts(errors, "targets", t->name, "folder/exclude", &t->folder->exclude, is_file_glob,
                    "a file name (* and ? allowed)");
}

static bool is_object(struct slice raw)
{
    return raw.n == 0 || raw.p[0] == '{';
}

static void check_module(struct config_errors *errors, const struct config_module *m)
{
    if (!is_object(m->settings))
        config_error(errors, place("modules", m->name, "settings").text, "is not an object");
    for (size_t i = 0; i < m->environment.n; i++) {
        const char *name = m->environment.items[i].name;
        if (name[0] == '\0' || strpbrk(name, "= \t\n") != NULL)
            config_error(errors, place("modules", m->name, "environment").text,
                         "a name is empty or has = or a blank in it");
    }
}

/* ---- rules ----------------------------------------------------------------------------------- */

typedef bool known(const struct config_snapshot *s, const char *name);

static bool known_target(const struct config_snapshot *s, const char *name)
{
    return config_target(s, name) != NULL;
}

static bool known_module(const struct config_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->modules.n; i++)
        if (strcmp(rows_at(struct config_module, &s->modules, i)->name, name) == 0)
            return true;
    return false;
}

static void check_references(struct config_errors *errors, const struct config_snapshot *s,
                             const struct config_rule *r, const char *member,
                             const struct row_strings *names, known *is_known, bool once)
{
    for (size_t i = 0; i < names->n; i++) {
        struct place at = element("rules", r->name, member, i);
        if (!is_known(s, names->items[i]))
            config_error(errors, at.text, "names nothing in /%s", member);
        for (size_t j = 0; once && j < i; j++)
            if (strcmp(names->items[i], names->items[j]) == 0) {
                config_error(errors, at.text, "is named twice");
                break;
            }
    }
}

static void check_need(struct config_errors *errors, const struct config_rule *r,
                       const char *member, size_t n, bool wanted)
{
    if (wanted && n == 0)
        config_error(errors, place("rules", r->name, member).text, "required for this action");
    else if (!wanted && n > 0)
        config_error(errors, place("rules", r->name, member).text,
                     "does not belong to this action");
}

static void check_rule(struct config_errors *errors, const struct config_snapshot *s,
                       struct config_rule *r)
{
    struct err e = {0};
    bool runs = r->action == ACTION_PROCESS || r->action == ACTION_BOTH;
    check_need(errors, r, "targets", r->targets.n,
               r->action == ACTION_ROUTE || r->action == ACTION_BOTH);
    check_need(errors, r, "modules", r->modules.n, runs);
    check_references(errors, s, r, "targets", &r->targets, known_target, true);
    check_references(errors, s, r, "modules", &r->modules, known_module, false);
    if (r->settings.n > r->modules.n)
        config_error(errors, place("rules", r->name, "settings").text,
                     "more settings than modules");
    for (size_t i = 0; i < r->settings.n; i++)
        if (!is_object(rows_at(struct config_step_settings, &r->settings, i)->settings))
            config_error(errors, element("rules", r->name, "settings", i).text,
                         "settings is not an object");
    if (rules_compile(&r->program, r->rule, &e) != 0)
        config_error(errors, place("rules", r->name, "rule").text, "%s", e.text);
}

/* By who reads them of datasets: a keyword that only looks like one would disable its neighbours. */
static void check_extra_tags(struct config_errors *errors, const struct row_strings *tags)
{
    for (size_t i = 0; i < tags->n; i++) {
        struct tagmap_set *set;
        struct err e = {0};
        char pointer[64];
        if (tagmap_set_new(&set, tags->items + i, 1, &e) == 0) {
            tagmap_set_free(set);
            continue;
        }
        (void)snprintf(pointer, sizeof pointer, "/defaults/extraTags/%zu", i);
        config_error(errors, pointer, "%s; keyword, gggg,eeee, or a path of tags", e.text);
    }
}

void config_check(struct config_snapshot *s, struct config_errors *errors)
{
    check_extra_tags(errors, &s->defaults.extra_tags);
    for (size_t i = 0; i < s->sources.n; i++)
        check_source(errors, rows_at(struct config_source, &s->sources, i));
    for (size_t i = 0; i < s->targets.n; i++)
        check_target(errors, rows_at(struct config_target, &s->targets, i));
    for (size_t i = 0; i < s->modules.n; i++)
        check_module(errors, rows_at(struct config_module, &s->modules, i));
    for (size_t i = 0; i < s->rules.n; i++)
        check_rule(errors, s, rows_at(struct config_rule, &s->rules, i));
}
