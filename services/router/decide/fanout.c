/*
 * Fan-out: from a configuration and a series' tags to what happens (mercure's order and meaning).
 * Rules are tried in the document's order; a discard that fires stops there and wins; the fallback
 * counts only if nothing else fired; a forced rule stands alone, even if it is disabled.
 */
#include "decide_priv.h"


#define ERROR_TEXT 120 /* of a failed rule, in the record */

#define DONE_ROUTE   "route"
#define DONE_PROCESS "process"
#define DONE_BOTH    "both"
#define DONE_NOTIFY  "notified"
#define DONE_DISCARD "discard"
#define DONE_HELD    "held"
#define DONE_IGNORED "ignored late"

struct fired { /* rules that matched, in order */
    const struct config_rule **items;
    size_t n;
};

bool fanout_is_task(const char *done)
{
    return strcmp(done, DONE_PROCESS) == 0 || strcmp(done, DONE_BOTH) == 0;
}

/* ---- evaluation ---- */

static bool is_wanted(const struct fanout_input *in, const char *rule)
{
    for (size_t i = 0; i < in->only.n; i++)
        if (strcmp(in->only.items[i], rule) == 0)
            return true;
    return in->only.n == 0;
}

static void add_pair(struct row_pairs *pairs, const char *name, const char *value)
{
    pairs->items[pairs->n++] = (struct row_pair){name, value};
}

static bool matches(struct fanout *f, const struct fanout_input *in, const struct config_rule *rule,
                    struct arena *a)
{
    struct row_pairs tags = in->tags;
    struct rule_tags access = config_rule_tags(&tags);
    struct err why;
    err_clear(&why);
    if (!rule->program)
        return false;
    struct arena *scratch = arena_new(0);
    enum rule_verdict v = rules_eval(rule->program, &access, scratch, NULL, &why);
    arena_free(scratch);
    if (v == RULE_ERROR) {
        size_t n = utf8_valid_prefix(why.text, strnlen(why.text, ERROR_TEXT));
        add_pair(&f->failed, rule->name, arena_strndup(a, why.text, n));
    }
    return v == RULE_MATCH;
}

/* mercure: the last enabled fallback of the document, and only if its own expression is true. */
static void try_fallback(struct fanout *f, const struct fanout_input *in, struct fired *fired,
                         const struct config_rule *fallback, struct arena *a)
{
    if (fired->n == 0 && fallback && matches(f, in, fallback, a))
        fired->items[fired->n++] = fallback;
}

static struct fired evaluate(struct fanout *f, const struct fanout_input *in, struct arena *a)
{
    const struct row_list *rules = &in->config->rules;
    struct fired fired = {.items = arena_alloc(a, (rules->n + 1) * sizeof *fired.items)};
    if (in->forced_rule) {
        const struct config_rule *rule = config_rule(in->config, in->forced_rule);
        if (rule)
            fired.items[fired.n++] = rule;
        else
            add_pair(&f->failed, in->forced_rule, "unknown rule");
        return fired;
    }
    const struct config_rule *fallback = NULL;
    for (size_t i = 0; i < rules->n; i++) {
        const struct config_rule *rule = rows_at(struct config_rule, rules, i);
        if (rule->disabled || !is_wanted(in, rule->name))
            continue;
        if (rule->fallback) {
            fallback = rule;
            continue;
        }
        if (!matches(f, in, rule, a))
            continue;
        fired.items[fired.n++] = rule;
        if (rule->action == ACTION_DISCARD)
            return fired;
    }
    try_fallback(f, in, &fired, fallback, a);
    return fired;
}

/* ---- what follows ---- */

static const char *patient_hash(const struct fanout_input *in, struct arena *a)
{
    struct row_pairs tags = in->tags;
    struct rule_tags access = config_rule_tags(&tags);
    const char *patient = access.get(access.arg, "PatientID", false);
    if (!patient || !*patient)
        patient = in->decided->study;
    char hash[HASH_ID_HEX];
    hash_id(hash, (struct slice[]){slice_of(in->site), slice_of(patient)}, 2);
    return arena_strdup(a, hash);
}

static struct event_delivery_requested *find_delivery(struct fanout *f, const char *target)
{
    for (size_t i = 0; i < f->deliveries.n; i++) {
        struct event_delivery_requested *x =
            rows_at(struct event_delivery_requested, &f->deliveries, i);
        if (strcmp(x->target, target) == 0)
            return x;
    }
    return NULL;
}

/* Urgent if any rule is; off-peak only if all are. */
static int pooled_priority(int a, int b)
{
    if (a == PRIORITY_URGENT || b == PRIORITY_URGENT)
        return PRIORITY_URGENT;
    return a == PRIORITY_OFFPEAK && b == PRIORITY_OFFPEAK ? PRIORITY_OFFPEAK : PRIORITY_NORMAL;
}

static struct event_delivery_requested *new_delivery(struct fanout *f,
                                                     const struct fanout_input *in,
                                                     const char *target, int priority,
                                                     struct arena *a)
{
    const struct event_series_decided *s = in->decided;
    char id[HASH_ID_HEX];
    ids_delivery(id, s->decision, target);
    struct event_delivery_requested *x =
        rows_at(struct event_delivery_requested, &f->deliveries, f->deliveries.n++);
    *x = (struct event_delivery_requested){
        .delivery = arena_strdup(a, id),
        .decision = s->decision,
        .target = target,
        .revision = s->revision,
        .study = s->study,
        .series = s->series,
        .patient_hash = patient_hash(in, a),
        .source = s->source,
        .calling_ae = s->calling_ae,
        .called_ae = s->called_ae,
        .peer = s->peer,
        .manifest = s->manifest,
        .members = in->members,
        .rules = {.items = arena_alloc(a, in->config->rules.n * sizeof(char *))},
        .priority = priority,
    };
    return x;
}

static void route(struct fanout *f, const struct fanout_input *in, const struct config_rule *rule,
                  struct arena *a)
{
    for (size_t i = 0; i < rule->targets.n; i++) {
        const char *target = rule->targets.items[i];
        struct event_delivery_requested *x = find_delivery(f, target);
        if (!x)
            x = new_delivery(f, in, target, rule->priority, a);
        else if (strcmp(x->rules.items[x->rules.n - 1], rule->name) == 0)
            continue; /* the rule names the target twice */
        x->priority = pooled_priority(x->priority, rule->priority);
        x->rules.items[x->rules.n++] = rule->name;
    }
    add_pair(&f->fired, rule->name, DONE_ROUTE);
}

static void hold(struct fanout *f, const struct config_rule *rule, const char *why)
{
    *rows_at(struct event_held, &f->held, f->held.n++) = (struct event_held){rule->name, why};
    add_pair(&f->fired, rule->name, DONE_HELD);
}

static struct row_list steps_of(const struct config_rule *rule, struct arena *a)
{
    struct row_list steps = {.items = arena_alloc(a, rule->modules.n * sizeof(struct event_step))};
    for (size_t i = 0; i < rule->modules.n; i++) {
        struct event_step *step = rows_at(struct event_step, &steps, steps.n++);
        step->module = rule->modules.items[i];
        if (i < rule->settings.n)
            step->settings = rows_at(struct config_step_settings, &rule->settings, i)->settings;
    }
    return steps;
}

static void process(struct fanout *f, const struct fanout_input *in, const struct config_rule *rule,
                    struct arena *a)
{
    bool again = in->late && in->processed(in->arg, rule->name);
    if (again && rule->late == LATE_HOLD) {
        hold(f, rule, "late images");
        return;
    }
    if (again && rule->late == LATE_IGNORE) {
        add_pair(&f->fired, rule->name, DONE_IGNORED);
        return;
    }
    const struct event_series_decided *s = in->decided;
    char id[HASH_ID_HEX];
    ids_task(id, s->decision, rule->name);
    f->whole[f->tasks.n] = in->late;
    *rows_at(struct event_task_requested, &f->tasks, f->tasks.n++) = (struct event_task_requested){
        .task = arena_strdup(a, id),
        .decision = s->decision,
        .rule = rule->name,
        .revision = s->revision,
        .study = s->study,
        .series = s->series,
        .manifest = s->manifest,
        .steps = steps_of(rule, a),
        .priority = rule->priority,
    };
    add_pair(&f->fired, rule->name, rule->action == ACTION_BOTH ? DONE_BOTH : DONE_PROCESS);
}

static void act(struct fanout *f, const struct fanout_input *in, const struct config_rule *rule,
                struct arena *a)
{
    if (rule->trigger == TRIGGER_STUDY) {
        hold(f, rule, "study rules are not active in this version");
        return;
    }
    switch (rule->action) {
    case ACTION_ROUTE:
        route(f, in, rule, a);
        break;
    case ACTION_PROCESS:
    case ACTION_BOTH:
        process(f, in, rule, a);
        break;
    case ACTION_NOTIFICATION:
        add_pair(&f->fired, rule->name, DONE_NOTIFY);
        break;
    default:
        break;
    }
}

static int64_t longest_keep(const struct config_snapshot *config, const struct fired *fired)
{
    int64_t keep = 0;
    for (size_t i = 0; i < fired->n; i++) {
        int64_t own = fired->items[i]->keep_seconds;
        if (own <= 0)
            own = config->defaults.keep_seconds;
        keep = own > keep ? own : keep;
    }
    return fired->n ? keep : config->defaults.keep_seconds;
}

static void reserve(struct fanout *f, const struct config_snapshot *config, struct arena *a)
{
    size_t n = config->rules.n + 1;
    f->fired.items = arena_alloc(a, n * sizeof(struct row_pair));
    f->failed.items = arena_alloc(a, n * sizeof(struct row_pair));
    f->held.items = arena_alloc(a, n * sizeof(struct event_held));
    f->tasks.items = arena_alloc(a, n * sizeof(struct event_task_requested));
    f->whole = arena_alloc(a, n * sizeof *f->whole);
    f->deliveries.items =
        arena_alloc(a, (config->targets.n + 1) * sizeof(struct event_delivery_requested));
}

void fanout_evaluate(struct fanout *f, const struct fanout_input *in, struct arena *a)
{
    *f = (struct fanout){0};
    reserve(f, in->config, a);
    struct fired fired = evaluate(f, in, a);
    f->keep = longest_keep(in->config, &fired);
    if (fired.n == 0) {
        f->discarded_by = "unmatched";
        return;
    }
    const struct config_rule *newest = fired.items[fired.n - 1];
    if (newest->action == ACTION_DISCARD) { /* only the last one can be a discard */
        f->discarded_by = newest->name;
        add_pair(&f->fired, newest->name, DONE_DISCARD);
        return;
    }
    for (size_t i = 0; i < fired.n; i++)
        act(f, in, fired.items[i], a);
}

void fanout_reroute(struct fanout *f, const struct fanout_input *in,
                    const struct row_strings *targets, struct arena *a)
{
    *f = (struct fanout){0};
    reserve(f, in->config, a);
    f->keep = in->config->defaults.keep_seconds;
    for (size_t i = 0; i < targets->n; i++)
        if (!find_delivery(f, targets->items[i]))
            new_delivery(f, in, targets->items[i], PRIORITY_NORMAL, a);
}
