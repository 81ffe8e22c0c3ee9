/*
 * command.replay and command.reroute: what a person asks of series that are decided. A replay
 * evaluates the rules again on the decisions' tags, over their manifests; a reroute asks for
 * deliveries to named targets. One decision per series, with an id of the command and the series, so
 * that a command that is read again does what is missing and nothing twice.
 *
 * First everything is read and checked (replay_prepare), then all of it is done, or nothing.
 */
#include "decide_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define DECISIONS_MAX 200               /* of one command */
#define TARGETS_MAX   32                /* of one reroute: they fit into one record */
#define BYTES_MAX     ((size_t)MANIFEST_MAX) /* of all manifests of one command */
#define TEXT_MAX      2000              /* of an answer */

enum { OK, REFUSED, LATER = -1 };

struct part { /* a decision that is replayed */
    const struct past *past;
    struct event_series_decided decided;
    struct manifest manifest;
};

struct group { /* the decisions of one series: one new decision */
    struct window name; /* no window: the name of the series and of the new decision */
    struct part **parts;
    size_t n;
    bool before; /* it stands in the journal */
    const struct config_snapshot *config;
};

struct replay {
    struct arena *arena;
    const struct event_command *command;
    const struct config_snapshot *config;
    bool reroute;
    int64_t offset, at; /* of the command */
    struct part *parts;
    size_t n_parts;
    struct group *groups;
    size_t n_groups;
    size_t bytes;
    char refused[240];
    bool concluded; /* the command is read again: it has its outcome */
};

/* "…" says why; nothing will be done. */
static int PRINTF_LIKE(2, 3) refuse(struct replay *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->refused, sizeof r->refused, format, args);
    va_end(args);
    r->refused[utf8_valid_prefix(r->refused, strlen(r->refused))] = '\0';
    return REFUSED;
}

/* ---- which decisions ---- */

static bool is_asked(const struct decide *d, const char *decision)
{
    for (size_t i = 0; i < d->asked.n; i++)
        if (strcmp(d->asked.items[i].decision, decision) == 0)
            return true;
    return false;
}

static bool is_closing(const struct decide *d, const char *decision)
{
    struct window *w;
    HASH_FIND_STR(d->closing, decision, w);
    return w || is_asked(d, decision);
}

static bool has_part(const struct replay *r, const struct past *past)
{
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].past == past)
            return true;
    return false;
}

static int choose_named(struct replay *r, const struct decide *d, struct err *e)
{
    const struct row_strings *names = &r->command->decisions;
    if (names->n > DECISIONS_MAX)
        return refuse(r, "more than %d decisions", DECISIONS_MAX);
    r->parts = arena_alloc(r->arena, names->n * sizeof *r->parts);
    for (size_t i = 0; i < names->n; i++) {
        const struct past *past = coverage_past(d, names->items[i]);
        if (!past && is_closing(d, names->items[i]))
            return err_set(e, ERR_RETRY, 0, "the decision was not read back yet");
        if (!past)
            return refuse(r, "decision %.40s is not in the log: unknown, or older than the topic",
                          names->items[i]);
        if (!has_part(r, past))
            r->parts[r->n_parts++].past = past;
    }
    return OK;
}

/* The windows of the study that were decided before the command came, by log time: the same ones when
 * it is read again. */
static int choose_study(struct replay *r, const struct decide *d, struct err *e)
{
    struct slice study = decide_trim(slice_of(r->command->study));
    for (const struct window *w = d->closing; w; w = w->hh.next)
        if (slice_is(study, w->study))
            return err_set(e, ERR_RETRY, 0, "a decision of the study was not read back yet");
    r->parts = arena_alloc(r->arena, DECISIONS_MAX * sizeof *r->parts);
    for (const struct past *x = d->past; x; x = x->hh.next) {
        if (!x->window || x->closed >= r->at || !slice_is(study, x->study))
            continue;
        if (r->n_parts == DECISIONS_MAX)
            return refuse(r, "the study has more than %d decisions: name them", DECISIONS_MAX);
        r->parts[r->n_parts++].past = x;
    }
    return OK;
}

static int choose(struct replay *r, const struct decide *d, struct err *e)
{
    int rc = r->command->decisions.n ? choose_named(r, d, e)
             : r->command->study     ? choose_study(r, d, e)
                                     : OK;
    return rc == OK && r->n_parts == 0 ? refuse(r, "no decision to work on") : rc;
}

/* Decisions by command first: what they cover is older than any window that is named beside them. */
static int by_age(const void *a, const void *b)
{
    const struct past *x = ((const struct part *)a)->past, *y = ((const struct part *)b)->past;
    if (x->window != y->window)
        return x->window ? 1 : -1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* ---- reading ---- */

static int read_decision(struct replay *r, struct decide *d, struct part *p, struct err *e)
{
    struct slice text;
    struct event ev;
    int rc = d->setup.decision(d->setup.arg, p->past->offset, &text, r->arena, e);
    if (rc < 0)
        return LATER;
    if (rc > 0 || event_decode(&ev, text.p, text.n, r->arena, e) ||
        ev.type != EVENT_SERIES_DECIDED || strcmp(ev.decided.decision, p->past->decision) != 0)
        return refuse(r, "decision %s cannot be read any more", p->past->decision);
    p->decided = ev.decided;
    return OK;
}

static int read_manifest(struct replay *r, struct decide *d, struct part *p, struct err *e)
{
    const struct rows_limits limits = {.bytes = MANIFEST_MAX, .depth = 8, .elements = 4000000};
    const struct event_manifest_ref *ref = &p->decided.manifest;
    char sha256[HASH_SHA256_HEX];
    struct slice text;
    int rc = d->setup.manifest(d->setup.arg, ref->key, &text, r->arena, e);
    if (rc < 0)
        return LATER;
    if (rc > 0)
        return refuse(r, "the manifest of decision %s is gone: its images were deleted",
                      p->decided.decision);
    r->bytes += text.n;
    if (r->bytes > BYTES_MAX)
        return refuse(r, "too many images for one command");
    hash_sha256_hex(sha256, text.p, text.n);
    if ((ref->sha256 && strcmp(sha256, ref->sha256) != 0) ||
        rows_decode(&p->manifest, &manifest_table, text.p, text.n, r->arena, &limits, e) ||
        p->manifest.members.n == 0)
        return refuse(r, "the manifest of decision %s is not the one it names",
                      p->decided.decision);
    return OK;
}

/* ---- groups ---- */

static struct group *group_of(struct replay *r, struct decide *d,
                              const struct event_series_decided *s)
{
    for (size_t i = 0; i < r->n_groups; i++)
        if (strcmp(r->groups[i].name.series, s->series) == 0)
            return &r->groups[i];
    struct group *g = &r->groups[r->n_groups++];
    decide_key(d, slice_of(s->study), slice_of(s->series));
    char *key = arena_alloc(r->arena, d->key.len + 1);
    memcpy(key, d->key.data, d->key.len);
    g->name.key = key;
    g->name.key_n = d->key.len;
    g->name.study = key;
    g->name.series = key + strlen(key) + 1;
    g->parts = arena_alloc(r->arena, r->n_parts * sizeof(struct part *));
    g->config = r->config;
    ids_command_decision(g->name.decision, r->command->command, g->name.series);
    g->before = coverage_past(d, g->name.decision) != NULL;
    return g;
}

static bool is_original(const struct replay *r)
{
    return r->command->configuration && strcmp(r->command->configuration, "original") == 0;
}

static int find_configuration(struct replay *r, struct decide *d, struct group *g, struct err *e)
{
    const char *revision = g->parts[0]->decided.revision;
    if (!is_original(r) || g->before)
        return OK;
    int rc = d->setup.configuration(d->setup.arg, revision ? revision : "", &g->config, e);
    if (rc < 0)
        return LATER;
    return rc ? refuse(r, "configuration %.40s is not in the store", revision ? revision : "?")
              : OK;
}

static int check_names(struct replay *r, const struct group *g)
{
    const struct event_command *c = r->command;
    for (size_t i = 0; i < c->targets.n && r->reroute; i++)
        if (!config_target(g->config, c->targets.items[i]))
            return refuse(r, "no target %.64s", c->targets.items[i]);
    for (size_t i = 0; i < c->rules.n && !r->reroute; i++)
        if (!config_rule(g->config, c->rules.items[i]))
            return refuse(r, "no rule %.64s", c->rules.items[i]);
    return OK;
}

/* Rules that see less than they saw might send images where nobody wanted them. */
static bool has_its_tags(const struct event_series_decided *s)
{
    for (size_t i = 0; i < s->tags.n; i++)
        if (strcmp(s->tags.items[i].name, "TagsCut") == 0)
            return false;
    return s->tags.n > 0;
}

static int check_group(struct replay *r, struct decide *d, struct group *g, struct err *e)
{
    if (g->before)
        return OK;
    if (!r->reroute && !has_its_tags(&g->parts[0]->decided))
        return refuse(r, "the record of decision %s does not hold all tags: reroute it",
                      g->parts[0]->decided.decision);
    for (size_t i = 0; i < g->n; i++) {
        int rc = read_manifest(r, d, g->parts[i], e);
        if (rc)
            return rc;
    }
    int rc = find_configuration(r, d, g, e);
    return rc ? rc : check_names(r, g);
}

static int read_all(struct replay *r, struct decide *d, struct err *e)
{
    r->groups = arena_alloc(r->arena, r->n_parts * sizeof *r->groups);
    qsort(r->parts, r->n_parts, sizeof *r->parts, by_age);
    for (size_t i = 0; i < r->n_parts; i++) {
        struct part *p = &r->parts[i];
        if (strcmp(p->past->study, r->parts[0].past->study) != 0)
            return refuse(r, "the decisions are of several studies");
        int rc = read_decision(r, d, p, e);
        if (rc)
            return rc;
        struct group *g = group_of(r, d, &p->decided);
        g->parts[g->n++] = p;
    }
    for (size_t i = 0; i < r->n_groups; i++) {
        int rc = check_group(r, d, &r->groups[i], e);
        if (rc)
            return rc;
    }
    return OK;
}

static int check_command(struct replay *r)
{
    const struct event_command *c = r->command;
    if (r->reroute && c->targets.n == 0)
        return refuse(r, "no target is named");
    if (r->reroute && c->targets.n > TARGETS_MAX)
        return refuse(r, "more than %d targets", TARGETS_MAX);
    if (c->configuration && *c->configuration && !is_original(r) &&
        strcmp(c->configuration, "current") != 0)
        return refuse(r, "configuration is current or original");
    return OK;
}

/* Once: given twice, it is judged when the first one's outcome has been read back. */
static int begin(struct replay *r, const struct decide *d, struct err *e)
{
    char id[HASH_ID_HEX];
    ids_command_decision(id, r->command->command, "decided");
    if (is_asked(d, id))
        return err_set(e, ERR_RETRY, 0, "the command's outcome was not read back yet");
    r->concluded = coverage_concluded(d, r->command->command);
    return r->concluded ? REFUSED : OK;
}

int replay_prepare(struct replay **out, struct decide *d, const struct config_snapshot *config,
                   const struct decide_input *in, const struct event_command *c, struct err *e)
{
    struct replay *r = mem_zalloc(sizeof *r);
    r->arena = arena_new(0);
    r->command = c;
    r->config = config;
    r->reroute = in->type == EVENT_COMMAND_REROUTE;
    r->offset = in->offset;
    r->at = in->timestamp;
    int rc = begin(r, d, e);
    if (rc == OK)
        rc = check_command(r);
    if (rc == OK)
        rc = choose(r, d, e);
    if (rc == OK)
        rc = read_all(r, d, e);
    if (rc == LATER) {
        replay_free(r);
        return -1;
    }
    *out = r;
    return 0;
}

void replay_free(struct replay *r)
{
    if (!r)
        return;
    arena_free(r->arena);
    mem_free(r);
}

/* ---- one manifest of several ---- */

struct place { /* of a SOP instance */
    UT_hash_handle hh;
    int64_t at;
};
struct seen { /* a receipt */
    UT_hash_handle hh;
};
struct merge {
    struct manifest *m;
    struct place *places;
    struct seen *seen;
    struct arena *arena;
};

static bool take_receipt(struct merge *x, const char *receipt)
{
    struct seen *s;
    HASH_FIND_STR(x->seen, receipt, s);
    if (s)
        return false;
    s = arena_alloc(x->arena, sizeof *s);
    HASH_ADD_KEYPTR(hh, x->seen, receipt, strlen(receipt), s);
    return true;
}

static void add_shadow(struct row_list *list, const char *receipt, const char *key,
                       const char *sop, int64_t size, int64_t of)
{
    *rows_at(struct manifest_shadow, list, list->n++) =
        (struct manifest_shadow){receipt, key, sop, size, of};
}

/* A later window's member replaces an earlier one of the same SOP UID. */
static void merge_member(struct merge *x, const struct manifest_member *new)
{
    struct place *p;
    if (!take_receipt(x, new->receipt))
        return;
    HASH_FIND_STR(x->places, new->sop, p);
    if (!p) {
        p = arena_alloc(x->arena, sizeof *p);
        p->at = (int64_t)x->m->members.n++;
        HASH_ADD_KEYPTR(hh, x->places, new->sop, strlen(new->sop), p);
    } else {
        const struct manifest_member *old =
            rows_at(struct manifest_member, &x->m->members, p->at);
        bool same = strcmp(old->sha256, new->sha256) == 0;
        add_shadow(same ? &x->m->duplicate : &x->m->superseded, old->receipt, old->key, old->sop,
                   old->size, p->at);
    }
    *rows_at(struct manifest_member, &x->m->members, p->at) = *new;
}

static void merge_shadows(struct merge *x, struct row_list *to, const struct row_list *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct manifest_shadow *s = rows_at(struct manifest_shadow, from, i);
        struct place *p;
        HASH_FIND_STR(x->places, s->sop, p);
        if (p && take_receipt(x, s->receipt))
            add_shadow(to, s->receipt, s->key, s->sop, s->size, p->at);
    }
}

static void merge_all(struct manifest *m, const struct group *g, struct arena *a)
{
    struct merge x = {.m = m, .arena = a};
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct manifest *part = &g->parts[i]->manifest;
        n += part->members.n + part->duplicate.n + part->superseded.n;
    }
    m->members.items = arena_alloc(a, n * sizeof(struct manifest_member));
    m->duplicate.items = arena_alloc(a, n * sizeof(struct manifest_shadow));
    m->superseded.items = arena_alloc(a, n * sizeof(struct manifest_shadow));
    for (size_t i = 0; i < g->n; i++) {
        const struct manifest *part = &g->parts[i]->manifest;
        for (size_t k = 0; k < part->members.n; k++)
            merge_member(&x, rows_at(struct manifest_member, &part->members, k));
        merge_shadows(&x, &m->duplicate, &part->duplicate);
        merge_shadows(&x, &m->superseded, &part->superseded);
    }
    HASH_CLEAR(hh, x.places);
    HASH_CLEAR(hh, x.seen);
}

/* ---- doing ---- */

static bool nothing_is_late(const void *arg, const char *rule)
{
    (void)arg;
    (void)rule;
    return false;
}

static struct row_strings names_of(const struct group *g, struct arena *a)
{
    struct row_strings of = {.items = arena_alloc(a, g->n * sizeof *of.items)};
    for (size_t i = 0; i < g->n; i++)
        of.items[of.n++] = g->parts[i]->decided.decision;
    return of;
}

static const char *forced_rule(const struct group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->parts[i]->decided.forced_rule)
            return g->parts[i]->decided.forced_rule;
    return NULL;
}

static void describe(struct event_series_decided *s, const struct replay *r,
                     const struct group *g, struct arena *a)
{
    char at[CLOCK_RFC3339];
    const struct event_series_decided *first = &g->parts[0]->decided;
    *s = (struct event_series_decided){
        .decision = g->name.decision,
        .study = g->name.study,
        .series = g->name.series,
        .command = r->command->command,
        .of = names_of(g, a),
        .reason = REASON_COMMAND,
        .closed_at = arena_strdup(a, clock_rfc3339(at, r->at)),
        .manifest = first->manifest,
        .tags = first->tags,
        .conflicting = first->conflicting,
        .source = first->source,
        .calling_ae = first->calling_ae,
        .called_ae = first->called_ae,
        .peer = first->peer,
        .forced_rule = forced_rule(g),
        .addition = g->parts[g->n - 1]->decided.addition,
        .revision = arena_strdup(a, g->config->revision),
    };
}

/* One decision's manifest serves again; several become one. The number of members. */
static int64_t manifest_for(struct event_series_decided *s, struct decide *d,
                            const struct group *g, struct outputs *out)
{
    struct manifest m = {.decision = s->decision};
    struct str bytes = STR_INIT;
    if (g->n == 1)
        return (int64_t)g->parts[0]->manifest.members.n;
    merge_all(&m, g, d->scratch);
    close_manifest(d, &g->name, &m, s->decision, &s->manifest, &bytes);
    if (out)
        outputs_object(out, s->manifest.key, &bytes);
    str_free(&bytes);
    return (int64_t)m.members.n;
}

static void evaluate(struct fanout *f, const struct replay *r, const struct group *g,
                     const struct event_series_decided *s, int64_t members, struct decide *d)
{
    const struct fanout_input in = {
        .config = g->config,
        .decided = s,
        .tags = tags_for_rules(s, d->scratch),
        .site = d->site,
        .only = r->command->rules,
        .forced_rule = r->command->rules.n ? NULL : s->forced_rule, /* who names rules means them */
        .members = members,
        .late = s->addition > 1, /* a task gets the whole series */
        .processed = nothing_is_late,
    };
    if (r->reroute)
        fanout_reroute(f, &in, &r->command->targets, d->scratch);
    else
        fanout_evaluate(f, &in, d->scratch);
}

static void say_pairs(struct str *text, const char *label, const struct row_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++)
        str_printf(text, "%s%s (%s)", i ? ", " : label, pairs->items[i].name,
                   pairs->items[i].value);
}

/* "1.2.3: rules a (route); to pacs; tasks 1" */
static void say(struct str *text, const struct event_series_decided *s)
{
    str_printf(text, "%s%s: ", text->len ? "\n" : "", s->series);
    size_t begun = text->len;
    say_pairs(text, "rules ", &s->fired);
    say_pairs(text, "; failed rules ", &s->failed);
    for (size_t i = 0; i < s->deliveries.n; i++)
        str_printf(text, "%s%s", i ? ", " : text->len > begun ? "; to " : "to ",
                   rows_at(struct event_delivery_requested, &s->deliveries, i)->target);
    if (s->tasks.n)
        str_printf(text, "; tasks %zu", s->tasks.n);
    for (size_t i = 0; i < s->held.n; i++) {
        const struct event_held *h = rows_at(struct event_held, &s->held, i);
        str_printf(text, "; held for %s (%s)", h->rule, h->why ? h->why : "?");
    }
    if (s->discarded_by)
        str_printf(text, "%sdiscarded by %s", text->len > begun ? "; " : "", s->discarded_by);
}

static int decide_group(struct decide *d, const struct replay *r, struct group *g,
                        struct str *text, struct outputs *out, struct err *e)
{
    bool dry = r->command->dry_run;
    struct event_series_decided s;
    struct fanout f;
    arena_reset(d->scratch);
    describe(&s, r, g, d->scratch);
    int64_t members = manifest_for(&s, d, g, dry ? NULL : out);
    evaluate(&f, r, g, &s, members, d);
    close_follow(&s, &f);
    say(text, &s);
    if (dry)
        return 0;
    close_unions(d, &g->name, &s, f.whole, NULL, out);
    if (close_write(d, &s, out, e))
        return -1;
    struct asked *asked = vec_push(&d->asked);
    memcpy(asked->decision, g->name.decision, HASH_ID_HEX);
    asked->at = r->offset;
    if (r->reroute)
        d->stats.rerouted++;
    else
        d->stats.replayed++;
    return 0;
}

static void cut(struct str *text)
{
    if (text->len <= TEXT_MAX)
        return;
    text->len = utf8_valid_prefix(text->data, TEXT_MAX);
    text->data[text->len] = '\0';
    str_puts(text, "\n…");
}

/* The outcome stands in the journal, behind what was decided: read again, when the configuration and the
 * store may be others, the command does nothing more. plan answers it. */
static void conclude(struct decide *d, const struct replay *r, const char *outcome,
                     const char *text, struct outputs *out)
{
    struct err e;
    struct asked asked = {.at = r->offset};
    const struct event_command *c = r->command;
    ids_command_decision(asked.decision, c->command, "decided");
    struct event ev = {.type = EVENT_COMMAND_DECIDED,
                       .id = asked.decision,
                       .subject = c->command,
                       .note = {.command = c->command,
                                .outcome = outcome,
                                .text = text,
                                .by = c->user,
                                .study = c->study}};
    if (outputs_event(out, "decision", d->setup.partition, c->command, &ev, d->setup.claim, &e) == 0)
        *vec_push(&d->asked) = asked;
}

/* A crash may have come between two decisions of the command: those stand. */
static void conclude_refused(struct decide *d, const struct replay *r, struct outputs *out)
{
    struct str text = STR_INIT;
    bool acted = coverage_acted(d, r->command->command);
    str_printf(&text, "%s%s", acted ? "a part was done before; the rest was not: " : "", r->refused);
    conclude(d, r, acted ? "failed" : "refused", str_cstr(&text), out);
    str_free(&text);
}

void replay_do(struct decide *d, struct replay *r, struct outputs *out)
{
    const struct event_command *c = r->command;
    struct str text = STR_INIT;
    const char *outcome = "done";
    struct err e;
    if (r->concluded)
        return;
    if (*r->refused) {
        conclude_refused(d, r, out);
        return;
    }
    if (c->dry_run)
        str_puts(&text, "dry run, nothing was done");
    for (size_t i = 0; i < r->n_groups; i++) {
        struct group *g = &r->groups[i];
        if (g->before) {
            str_printf(&text, "%s%s: done before", text.len ? "\n" : "", g->name.series);
        } else if (decide_group(d, r, g, &text, out, &e)) {
            str_puts(&text, "; not done: too much for one record");
            outcome = "failed";
        }
    }
    cut(&text);
    conclude(d, r, outcome, str_cstr(&text), out);
    str_free(&text);
}

void replay_read_back(struct decide *d, const char *decision)
{
    for (size_t i = d->asked.n; i-- > 0;)
        if (strcmp(d->asked.items[i].decision, decision) == 0)
            d->asked.items[i] = d->asked.items[--d->asked.n];
}
