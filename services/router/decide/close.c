/*
 * A window closes: manifest, rules and one series.decided with everything that follows, in one
 * step. The record is kept below EVENT_MAX: what people look at gives way before what machines
 * need.
 */
#include "decide_priv.h"

#include "base/clock.h"

static const char *rfc3339(int64_t ms, struct arena *a)
{
    char text[CLOCK_RFC3339];
    return arena_strdup(a, clock_rfc3339(text, ms));
}

static const char *sha256(const struct str *s, struct arena *a)
{
    char hex[HASH_SHA256_HEX];
    hash_sha256_hex(hex, s->data, s->len);
    return arena_strdup(a, hex);
}

void close_manifest(const struct decide *d, const struct window *w, const struct manifest *m,
                    const char *id, struct event_manifest_ref *ref, struct str *bytes)
{
    struct str key = STR_INIT;
    rows_encode(bytes, &manifest_table, m, true);
    manifest_key(&key, w->study, w->series, id, d->setup.claim);
    ref->key = arena_strdup(d->scratch, str_cstr(&key));
    ref->sha256 = sha256(bytes, d->scratch);
    str_free(&key);
}

static void window_manifest(const struct decide *d, const struct window *w,
                            const struct members *members, struct event_manifest_ref *ref,
                            struct str *bytes)
{
    const struct manifest m = {.decision = w->decision,
                               .members = members->members,
                               .duplicate = members->duplicate,
                               .superseded = members->superseded};
    close_manifest(d, w, &m, w->decision, ref, bytes);
}

/* A task over the whole series names the manifests of all its windows: a later part's member
 * replaces an earlier one of the same SOP UID. */
static void union_manifest(const struct decide *d, const struct window *w,
                           struct event_task_requested *task, const char *own, struct str *bytes)
{
    struct row_strings parts = coverage_manifests(d, w, d->scratch);
    const char **items = arena_alloc(d->scratch, (parts.n + 1) * sizeof *items);
    for (size_t i = 0; i < parts.n; i++)
        items[i] = parts.items[i];
    if (own)
        items[parts.n++] = own;
    const struct manifest m = {.decision = task->decision, .parts = {items, parts.n}};
    close_manifest(d, w, &m, task->task, &task->manifest, bytes);
}

static bool processed_before(const void *arg, const char *rule)
{
    const void *const *pair = arg;
    return coverage_processed(pair[0], pair[1], rule);
}

static void describe(struct event_series_decided *s, const struct decide *d, struct window *w,
                     const struct closer *c, const char *command, int64_t at,
                     const struct members *m)
{
    struct arena *a = d->scratch;
    struct event_window *window = arena_alloc(a, sizeof *window);
    *window = (struct event_window){w->first, w->last, w->last_receipt, m->n, m->bytes};
    *s = (struct event_series_decided){
        .decision = w->decision,
        .study = w->study,
        .series = w->series,
        .window = window,
        .command = command,
        .reason = c->reason,
        .opened_at = rfc3339(w->opened, a),
        .closed_at = rfc3339(at, a),
        .waited = (double)(at - w->newest) / 1000.0,
        .tags = w->tags,
        .conflicting = tags_conflicting(w, a),
        .source = w->source,
        .calling_ae = w->calling_ae,
        .called_ae = w->called_ae,
        .peer = w->peer,
        .forced_rule = w->forced_rule,
        .addition = coverage_additions(d, w) + 1,
        .left_out = left_out_of(d, w, a),
    };
}

void close_follow(struct event_series_decided *s, const struct fanout *f)
{
    s->keep = f->keep;
    s->fired = f->fired;
    s->failed = f->failed;
    s->discarded_by = f->discarded_by;
    s->held = f->held;
    s->tasks = f->tasks;
    s->deliveries = f->deliveries;
}

static void apply_rules(struct event_series_decided *s, struct fanout *f, struct decide *d,
                        const struct window *w, const struct config_snapshot *config,
                        const struct members *m)
{
    const void *pair[] = {d, w};
    s->revision = arena_strdup(d->scratch, config->revision);
    const struct fanout_input in = {
        .config = config,
        .decided = s,
        .tags = tags_for_rules(s, d->scratch),
        .forced_rule = s->forced_rule,
        .site = d->site,
        .members = (int64_t)m->members.n,
        .late = s->addition > 1,
        .processed = processed_before,
        .arg = pair,
    };
    fanout_evaluate(f, &in, d->scratch);
    close_follow(s, f);
}

/* ---- below EVENT_MAX ---- */

/* Tags longer than max bytes are cut; those that were say so in the tag TagsCut. */
static void cut_tags(struct event_series_decided *s, size_t max, struct arena *a)
{
    struct row_pairs cut = {.items = arena_alloc(a, (s->tags.n + 1) * sizeof *cut.items)};
    struct str names = STR_INIT;
    for (size_t i = 0; i < s->tags.n; i++) {
        struct row_pair tag = s->tags.items[i];
        if (strcmp(tag.name, "TagsCut") == 0)
            continue;
        if (strlen(tag.value) > max) {
            size_t n = utf8_valid_prefix(tag.value, max);
            tag.value = arena_strndup(a, tag.value, n);
            str_printf(&names, "%s%s", names.len ? "\\" : "", tag.name);
        }
        cut.items[cut.n++] = tag;
    }
    if (names.len)
        cut.items[cut.n++] = (struct row_pair){
            "TagsCut", arena_strndup(a, names.data, names.len < 2000 ? names.len : 2000)};
    str_free(&names);
    s->tags = cut;
}

/* Nothing may be lost because it is too much for one record: a person sees it as held. */
static void hold_all(struct event_series_decided *s, struct arena *a)
{
    struct row_list held = {.items = arena_alloc(a, (s->fired.n + 1) * sizeof(struct event_held))};
    for (size_t i = 0; i < s->fired.n; i++)
        *rows_at(struct event_held, &held, held.n++) =
            (struct event_held){s->fired.items[i].name, "too much for one record"};
    s->held = held;
    s->tasks.n = s->deliveries.n = s->failed.n = s->fired.n = 0;
}

static int write_decision(struct decide *d, struct event_series_decided *s, struct outputs *out,
                          struct err *e)
{
    for (int step = 0;; step++) {
        struct event ev = {
            .type = EVENT_SERIES_DECIDED, .id = s->decision, .subject = s->study, .decided = *s};
        if (outputs_event(out, "decision", d->setup.partition, s->study, &ev, d->setup.claim, e) ==
            0)
            return 0;
        switch (step) {
        case 0:
            s->conflicting.n = 0;
            break;
        case 1:
            cut_tags(s, 256, d->scratch);
            break;
        case 2:
            cut_tags(s, 32, d->scratch);
            break;
        case 3:
            s->tags.n = 0;
            break;
        case 4:
            if (s->fired.n == 0 && s->deliveries.n)
                return -1; /* by reroute: nobody could hold it */
            hold_all(s, d->scratch);
            break;
        default:
            return -1;
        }
    }
}

static void report_failed(struct decide *d, const struct event_series_decided *s,
                          struct outputs *out)
{
    for (size_t i = 0; i < s->failed.n; i++) {
        const struct row_pair *failed = &s->failed.items[i];
        struct event ev = {
            .type = EVENT_RULE_FAILED,
            .id = arena_printf(d->scratch, "%s.failed.%s", s->decision, failed->name),
            .subject = failed->name,
            .note = {
                .kind = "rule", .name = failed->name, .text = failed->value, .study = s->study}};
        struct err e;
        if (outputs_event(out, "event", -1, NULL, &ev, -1, &e) == 0) /* the decision says it too */
            d->stats.rule_errors++;
    }
}

void close_unions(struct decide *d, const struct window *w, struct event_series_decided *s,
                  const bool *whole, const char *own, struct outputs *out)
{
    for (size_t i = 0; i < s->tasks.n; i++) {
        if (!whole[i])
            continue;
        struct event_task_requested *task = rows_at(struct event_task_requested, &s->tasks, i);
        struct str bytes = STR_INIT;
        union_manifest(d, w, task, own, &bytes);
        outputs_object(out, task->manifest.key, &bytes);
    }
}

static void count(struct decide *d, const struct event_series_decided *s)
{
    d->stats.discarded += s->discarded_by != NULL;
    d->stats.held += s->held.n;
    d->stats.tasks += s->tasks.n;
    d->stats.deliveries += s->deliveries.n;
}

int close_write(struct decide *d, struct event_series_decided *s, struct outputs *out,
                struct err *e)
{
    if (write_decision(d, s, out, e))
        return -1;
    report_failed(d, s, out);
    count(d, s);
    return 0;
}

static void to_closing(struct decide *d, struct window *w, const struct event_series_decided *s)
{
    left_out_told(d, w);
    w->manifest_key = mem_strdup(s->manifest.key);
    for (size_t i = 0; i < s->fired.n; i++)
        if (fanout_is_task(s->fired.items[i].value))
            *vec_push(&w->processed) = mem_strdup(s->fired.items[i].name);
    HASH_DEL(d->open, w);
    HASH_ADD(hh, d->closing, decision, HASH_ID_HEX - 1, w);
    d->stats.closed[s->reason]++;
}

int close_window(struct decide *d, struct window *w, int reason, const char *command, int64_t at,
                 const struct config_snapshot *config, struct outputs *out, struct err *e)
{
    arena_reset(d->scratch);
    struct members m;
    members_build(&m, w, d->scratch);
    if (m.n == 0) {
        HASH_DEL(d->open, w);
        window_free(w);
        d->stats.dropped++;
        return 0;
    }
    ids_window_decision(w->decision, d->site, w->study, w->series, w->first, w->last);
    const struct closer c = {w, reason};
    struct event_series_decided s;
    struct fanout f;
    struct str bytes = STR_INIT;
    describe(&s, d, w, &c, command, at, &m);
    window_manifest(d, w, &m, &s.manifest, &bytes);
    apply_rules(&s, &f, d, w, config, &m);
    close_unions(d, w, &s, f.whole, s.manifest.key, out);
    if (close_write(d, &s, out, e)) {
        str_free(&bytes);
        return -1;
    }
    outputs_object(out, s.manifest.key, &bytes);
    to_closing(d, w, &s);
    return 0;
}
