/* Record → rows. Each record type writes only its own columns, in any order between topics. */
#include "bookkeeper/plan.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "daemon/careful.h"

void plan_init(struct plan *p)
{
    *p = (struct plan){.arena = arena_new(0)};
}

void plan_clear(struct plan *p)
{
    for (size_t k = 0; k < PLAN_KINDS; k++)
        vec_clear(&p->rows[k]);
    vec_clear(&p->manifests);
    arena_reset(p->arena);
}

void plan_free(struct plan *p)
{
    for (size_t k = 0; k < PLAN_KINDS; k++)
        vec_free(&p->rows[k]);
    vec_free(&p->manifests);
    arena_free(p->arena);
}

/* ---- cells ---- */

static const char *number(struct plan *p, int64_t v)
{
    return arena_printf(p->arena, "%" PRId64, v);
}

static const char *real(struct plan *p, double v)
{
    return arena_printf(p->arena, "%.3f", v);
}

/* A time of a record as milliseconds; what is no time becomes null, never a failed batch. */
static const char *time_ms(struct plan *p, const char *text)
{
    int64_t ms = text ? clock_parse_rfc3339(text) : -1;
    return ms < 0 ? NULL : number(p, ms);
}

static const char *keep(struct plan *p, struct str *s)
{
    const char *copy = arena_strndup(p->arena, str_cstr(s), s->len);
    str_free(s);
    return copy;
}

/* Decoded text is valid UTF-8, and mostly needs no escaping. */
static void put_json(struct str *s, const char *text)
{
    size_t n = 0;
    while (text && (unsigned char)text[n] >= 0x20 && text[n] != '"' && text[n] != '\\')
        n++;
    if (text && text[n]) {
        str_json(s, text, strlen(text));
        return;
    }
    str_reserve(s, n + 3);
    str_putc(s, '"');
    str_append(s, text, n);
    str_putc(s, '"');
}

static const char *json_pairs(struct plan *p, const struct row_pairs *pairs)
{
    struct str s = STR_INIT;
    str_putc(&s, '{');
    for (size_t i = 0; i < pairs->n; i++) {
        if (i)
            str_putc(&s, ',');
        put_json(&s, pairs->items[i].name);
        str_putc(&s, ':');
        put_json(&s, pairs->items[i].value);
    }
    str_putc(&s, '}');
    return keep(p, &s);
}

static const char *json_strings(struct plan *p, const struct row_strings *list)
{
    struct str s = STR_INIT;
    str_putc(&s, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            str_putc(&s, ',');
        put_json(&s, list->items[i]);
    }
    str_putc(&s, ']');
    return keep(p, &s);
}

static const char *json_held(struct plan *p, const struct row_list *list)
{
    struct str s = STR_INIT;
    str_putc(&s, '[');
    for (size_t i = 0; i < list->n; i++) {
        const struct event_held *h = rows_at(struct event_held, list, i);
        str_puts(&s, i ? ",{\"rule\":" : "{\"rule\":");
        put_json(&s, h->rule);
        str_puts(&s, ",\"why\":");
        put_json(&s, h->why);
        str_putc(&s, '}');
    }
    str_putc(&s, ']');
    return keep(p, &s);
}

static const char *json_steps(struct plan *p, const struct row_list *list)
{
    struct str s = STR_INIT;
    str_putc(&s, '[');
    for (size_t i = 0; i < list->n; i++) {
        const struct event_step *step = rows_at(struct event_step, list, i);
        str_puts(&s, i ? ",{\"module\":" : "{\"module\":");
        put_json(&s, step->module);
        if (step->settings.n) {
            str_puts(&s, ",\"settings\":");
            str_append(&s, step->settings.p, step->settings.n);
        }
        str_putc(&s, '}');
    }
    str_putc(&s, ']');
    return keep(p, &s);
}

static const char *joined(struct plan *p, const struct row_strings *list)
{
    struct str s = STR_INIT;
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            str_putc(&s, ',');
        str_puts(&s, list->items[i]);
    }
    return keep(p, &s);
}

static const char *copy(struct plan *p, const char *text)
{
    return text ? arena_strdup(p->arena, text) : NULL;
}

static void add_row(struct plan *p, enum plan_kind k, const char *const cells[PLAN_COLUMNS])
{
    size_t bytes = plan_kinds[k].n * sizeof *cells;
    struct plan_row r = {arena_alloc(p->arena, bytes)};
    memcpy(r.cells, cells, bytes);
    *vec_push(&p->rows[k]) = r;
}

/* Fills the cells in column order; the count is checked against the table in a test. */
#define CELLS(p, kind, ...) add_row(p, kind, (const char *const[PLAN_COLUMNS]){__VA_ARGS__})

/* ---- kinds ---- */

static void plan_stored(struct plan *p, const struct event_instance_stored *s,
                        const struct kafka_record *r)
{
    CELLS(p, PLAN_RECEIPT, s->receipt, s->study, s->series, s->sop, s->sop_class, s->syntax, s->key,
          number(p, s->size), s->sha256, s->association, s->source.name, s->calling_ae,
          s->called_ae, s->peer, time_ms(p, s->received_at), number(p, r->timestamp),
          joined(p, &s->flags), json_pairs(p, &s->tags), number(p, r->partition),
          number(p, r->offset));
}

static void plan_ended(struct plan *p, const struct event_association_ended *a,
                       const struct kafka_record *r)
{
    static const char *const outcomes[] = {"released", "aborted", "lost"};
    for (size_t i = 0; i < a->series.n; i++) {
        const struct event_series_count *c = rows_at(struct event_series_count, &a->series, i);
        CELLS(p, PLAN_ASSOCIATION, a->association, a->study, c->series, a->source.name,
              outcomes[a->outcome], number(p, c->answered), number(p, r->timestamp));
    }
}

static void plan_task(struct plan *p, enum plan_kind kind, const struct event_task_requested *t,
                      const struct kafka_record *r)
{
    CELLS(p, kind, t->task, t->parent, t->decision, t->rule, t->study, t->series, t->revision,
          t->manifest.key, json_steps(p, &t->steps), number(p, r->timestamp));
}

static void plan_delivery(struct plan *p, enum plan_kind kind,
                          const struct event_delivery_requested *d, const struct kafka_record *r)
{
    static const char *const priorities[] = {"normal", "urgent", "offpeak"};
    struct str request = STR_INIT;
    rows_encode(&request, event_table(EVENT_DELIVERY_REQUESTED), d, false);
    const char *text = arena_strndup(p->arena, str_cstr(&request), request.len);
    str_free(&request);
    CELLS(p, kind, d->delivery, d->parent, d->decision, d->task, d->target, d->study, d->series,
          d->revision, d->manifest.key, number(p, d->members), joined(p, &d->rules),
          priorities[d->priority], text, number(p, r->timestamp));
}

static void plan_asked(struct plan *p, const struct row_list *tasks,
                       const struct row_list *deliveries, const struct kafka_record *r)
{
    for (size_t i = 0; tasks && i < tasks->n; i++)
        plan_task(p, PLAN_TASK_ASKED, rows_at(struct event_task_requested, tasks, i), r);
    for (size_t i = 0; i < deliveries->n; i++)
        plan_delivery(p, PLAN_DELIVERY_ASKED,
                      rows_at(struct event_delivery_requested, deliveries, i), r);
}

static void want_manifest(struct plan *p, const char *decision, const struct event_manifest_ref *m)
{
    if (m->key)
        *vec_push(&p->manifests) =
            (struct plan_manifest){decision, m->key, m->sha256, p->rows[PLAN_DECISION].n - 1};
}

enum { DECISION_MEMBERS_AT = 27 };

static void plan_series_decided(struct plan *p, const struct event_series_decided *d, int64_t claim,
                                const struct kafka_record *r)
{
    static const char *const reasons[] = {"quiet", "released", "command", "cap"};
    const struct event_window *w = d->window;
    CELLS(p, PLAN_DECISION, d->decision, "series", d->study, d->series, d->command,
          reasons[d->reason], number(p, d->addition), w ? number(p, w->first) : NULL,
          w ? number(p, w->last) : NULL, w ? w->last_receipt : NULL, w ? number(p, w->n) : NULL,
          w ? number(p, w->bytes) : NULL, number(p, (int64_t)d->left_out.n),
          time_ms(p, d->opened_at), time_ms(p, d->closed_at), number(p, r->timestamp),
          real(p, d->waited), d->manifest.key, d->manifest.sha256, json_pairs(p, &d->tags),
          d->revision, number(p, d->keep), json_pairs(p, &d->fired), json_pairs(p, &d->failed),
          d->discarded_by, json_held(p, &d->held), json_strings(p, &d->joined), NULL,
          number(p, claim), number(p, r->partition), number(p, r->offset),
          d->of.n ? json_strings(p, &d->of) : NULL);
    want_manifest(p, d->decision, &d->manifest);
    plan_asked(p, &d->tasks, &d->deliveries, r);
}

static void plan_study_decided(struct plan *p, const struct event_study_decided *d, int64_t claim,
                               const struct kafka_record *r)
{
    static const char *const reasons[] = {"timeout",        "required",       "command",
                                          "forced-discard", "forced-proceed", "expired"};
    struct row_pairs none = {0};
    struct row_strings rule = {.items = (const char *[]){d->rule}, .n = 1};
    CELLS(p, PLAN_DECISION, d->decision, "study", d->study, NULL, NULL, reasons[d->reason], NULL,
          NULL, number(p, d->up_to), NULL, NULL, NULL, NULL, NULL, time_ms(p, d->closed_at),
          number(p, r->timestamp), NULL, d->manifest.key, d->manifest.sha256,
          json_pairs(p, &d->tags), d->revision, number(p, d->keep), json_pairs(p, &none),
          json_pairs(p, &none), d->discarded_by, json_held(p, &d->held), json_strings(p, &rule),
          NULL, number(p, claim), number(p, r->partition), number(p, r->offset), NULL);
    want_manifest(p, d->decision, &d->manifest);
    plan_asked(p, &d->tasks, &d->deliveries, r);
}

static void plan_task_finished(struct plan *p, const struct event_task_finished *f,
                               const struct kafka_record *r)
{
    /* "delivered" is no outcome of a task; who says so has succeeded */
    static const char *const states[] = {"succeeded", "failed", "cancelled", "expired",
                                         "succeeded"};
    CELLS(p, PLAN_TASK_FINISHED, f->task, states[f->outcome], number(p, f->attempt), f->reason,
          f->result ? f->result->key : NULL, number(p, f->keep), number(p, r->timestamp));
    plan_asked(p, NULL, &f->deliveries, r);
}

static void plan_progress(struct plan *p, const struct event_delivery_progress *d,
                          const struct kafka_record *r)
{
    static const char *const states[] = {"open",         "delivered", "repeated",
                                         "not-accepted", "failed",    "cancelled"};
    for (size_t i = 0; i < d->outcomes.n; i++) {
        const struct event_member_outcome *o =
            rows_at(struct event_member_outcome, &d->outcomes, i);
        const char *at = time_ms(p, o->time);
        CELLS(p, PLAN_DELIVERY_MEMBER, d->delivery, number(p, o->position), states[o->state],
              number(p, d->attempt), number(p, o->status), o->reason,
              at ? at : number(p, r->timestamp));
    }
}

static void plan_attempted(struct plan *p, const struct event_delivery_attempted *d,
                           const struct kafka_record *r)
{
    CELLS(p, PLAN_DELIVERY_ATTEMPTED, d->delivery, number(p, d->attempt), number(p, d->open),
          d->reason, time_ms(p, d->next_due), number(p, r->timestamp));
}

static void plan_finished(struct plan *p, const struct event_delivery_finished *d,
                          const struct kafka_record *r)
{
    static const char *const states[] = {"delivered", "failed", "cancelled", "expired"};
    CELLS(p, PLAN_DELIVERY_FINISHED, d->delivery, states[d->outcome], d->reason,
          number(p, d->delivered), number(p, d->repeated), number(p, d->not_accepted),
          number(p, d->failed), number(p, d->cancelled), number(p, r->timestamp));
}

/* Everything of the event topic, and every command, is kept as it was said. */
static void plan_event(struct plan *p, const struct event *ev, const struct kafka_record *r)
{
    struct slice data;
    const char *body = "{}";
    if (rows_peek(&data, r->value.p, r->value.n, "data") == 0)
        body = arena_strndup(p->arena, data.p, data.n);
    CELLS(p, PLAN_EVENT, ev->id, event_type_name(ev->type), ev->subject, ev->source,
          number(p, r->timestamp), body);
}

static void plan_dismissed(struct plan *p, const struct event_note *n, const struct kafka_record *r)
{
    enum plan_kind k = PLAN_KINDS;
    if (n->kind && strcmp(n->kind, "task") == 0)
        k = PLAN_TASK_DISMISSED;
    else if (n->kind && strcmp(n->kind, "delivery") == 0)
        k = PLAN_DELIVERY_DISMISSED;
    if (k != PLAN_KINDS)
        CELLS(p, k, n->name, number(p, r->timestamp));
    CELLS(p, PLAN_DISMISSAL, n->kind ? n->kind : "", n->name, n->by, n->why,
          number(p, r->timestamp));
}

/* One hold is known by its name, else by its study. */
static const char *hold_name(const struct event *ev)
{
    return ev->note.name ? ev->note.name : ev->note.study ? ev->note.study : ev->id;
}

static void plan_hold_set(struct plan *p, const struct event *ev, const struct kafka_record *r)
{
    const struct event_note *n = &ev->note;
    CELLS(p, PLAN_HOLD_SET, hold_name(ev), n->study,
          n->receipts.n ? json_strings(p, &n->receipts) : NULL, n->by, n->why, time_ms(p, n->until),
          number(p, r->timestamp), number(p, r->offset));
}

static void plan_hold_released(struct plan *p, const struct event *ev, const struct kafka_record *r)
{
    CELLS(p, PLAN_HOLD_RELEASED, hold_name(ev), ev->note.by, number(p, r->timestamp),
          number(p, r->offset));
}

static void plan_command(struct plan *p, const struct event *ev, const struct kafka_record *r)
{
    const struct event_command *c = &ev->command;
    CELLS(p, PLAN_COMMAND, c->command, event_type_name(ev->type), c->study,
          c->decisions.n ? json_strings(p, &c->decisions) : NULL,
          c->rules.n ? json_strings(p, &c->rules) : NULL, number(p, r->timestamp));
}

static void plan_answered(struct plan *p, const struct event_note *n, const struct kafka_record *r)
{
    CELLS(p, PLAN_ANSWERED, n->command, n->outcome, number(p, r->timestamp));
}

static void plan_receipts(struct plan *p, const struct event_note *n, const char *state)
{
    for (size_t i = 0; i < n->receipts.n; i++)
        CELLS(p, PLAN_RECEIPT_STATE, n->receipts.items[i], state);
}

/* Bytes of base64 text, as the skeleton writes it; NULL if it is none. */
static char *base64(struct plan *p, const char *text, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(p->arena, strlen(text) / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned held = 0;
    *n = 0;
    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit)
            return NULL;
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[(*n)++] = (char)(bits >> held & 0xff);
        }
    }
    return out;
}

/* The receipt of an instance that nobody will decide; NULL: it is none, or cannot be told. */
static const char *failed_receipt(struct plan *p, const struct event_record_rejected *x)
{
    const char *noun = strrchr(x->topic, '.');
    struct slice id;
    size_t n;
    if (!noun || strcmp(noun, ".instance") != 0 || strcmp(x->stage, "decide") != 0 ||
        !x->record_base64)
        return NULL;
    for (size_t i = 0; i < x->headers.n; i++)
        if (strcmp(x->headers.items[i].name, "ce_type") == 0 &&
            strcmp(x->headers.items[i].value, "talaria.instance.stored.v1") != 0)
            return NULL;
    const char *record = base64(p, x->record_base64, &n);
    if (!record || rows_peek(&id, record, n, "id") || id.n != ID_RECEIPT + 1)
        return NULL;
    const char *receipt = arena_strndup(p->arena, id.p + 1, ID_RECEIPT - 1);
    return id_is_hex(receipt, ID_RECEIPT - 1) ? receipt : NULL;
}

static void plan_rejected(struct plan *p, const struct event_record_rejected *x,
                          const struct kafka_record *r)
{
    const char *study = NULL;
    for (size_t i = 0; i < x->headers.n; i++)
        if (strcmp(x->headers.items[i].name, "study") == 0)
            study = x->headers.items[i].value;
    CELLS(p, PLAN_REJECTED, x->topic, number(p, x->partition), number(p, x->offset), x->stage,
          number(p, x->claim), study, x->error, number(p, x->attempts), number(p, r->timestamp));
    const char *receipt = failed_receipt(p, x);
    if (receipt)
        CELLS(p, PLAN_RECEIPT_STATE, receipt, "failed");
}

/* ---- choices ---- */

static const char *choice_id(const struct event *ev)
{
    switch (ev->type) {
    case EVENT_SERIES_DECIDED:
        return ev->decided.decision;
    case EVENT_STUDY_DECIDED:
        return ev->study_decided.decision;
    case EVENT_TASK_STARTED:
        return ev->task_started.task;
    case EVENT_TASK_FINISHED:
        return ev->task_finished.task;
    case EVENT_DELIVERY_FINISHED:
        return ev->finished.delivery;
    default:
        return ev->id;
    }
}

static void plan_void(struct plan *p, const struct event *ev, int64_t claim, int64_t newest,
                      const struct kafka_record *r)
{
    CELLS(p, PLAN_VOID, copy(p, r->topic), number(p, r->partition), number(p, r->offset),
          event_type_name(ev->type), choice_id(ev), number(p, claim), number(p, newest),
          number(p, r->timestamp));
}

/* What a record of the event topic, or a command, changes; the record itself is kept as well. */
static void plan_note(struct plan *p, const struct event *ev, const struct kafka_record *r)
{
    switch (ev->type) {
    case EVENT_DISMISSED:
        plan_dismissed(p, &ev->note, r);
        return;
    case EVENT_HOLD_SET:
        plan_hold_set(p, ev, r);
        return;
    case EVENT_HOLD_RELEASED:
        plan_hold_released(p, ev, r);
        return;
    case EVENT_COMMAND_COMPLETE:
    case EVENT_COMMAND_REROUTE:
    case EVENT_COMMAND_REPLAY:
    case EVENT_COMMAND_CANCEL:
    case EVENT_COMMAND_RETRY:
        plan_command(p, ev, r);
        return;
    case EVENT_COMMAND_ANSWERED:
        plan_answered(p, &ev->note, r);
        return;
    case EVENT_OBJECT_CONDEMNED:
        plan_receipts(p, &ev->note, "condemned");
        return;
    case EVENT_OBJECT_DELETED:
        plan_receipts(p, &ev->note, "deleted");
        return;
    default:
        return;
    }
}

static void plan_body(struct plan *p, const struct event *ev, int64_t claim,
                      const struct kafka_record *r)
{
    switch (ev->type) {
    case EVENT_INSTANCE_STORED:
        plan_stored(p, &ev->stored, r);
        return;
    case EVENT_ASSOCIATION_ENDED:
        plan_ended(p, &ev->ended, r);
        return;
    case EVENT_SERIES_DECIDED:
        plan_series_decided(p, &ev->decided, claim, r);
        return;
    case EVENT_STUDY_DECIDED:
        plan_study_decided(p, &ev->study_decided, claim, r);
        return;
    case EVENT_TASK_REQUESTED:
        plan_task(p, PLAN_TASK_REQUESTED, &ev->task_requested, r);
        return;
    case EVENT_TASK_STARTED:
        CELLS(p, PLAN_TASK_STARTED, ev->task_started.task, number(p, ev->task_started.attempt),
              ev->task_started.owner, number(p, r->timestamp));
        return;
    case EVENT_TASK_HEARTBEAT:
        CELLS(p, PLAN_TASK_HEARTBEAT, ev->task_started.task, number(p, r->timestamp));
        return;
    case EVENT_TASK_FINISHED:
        plan_task_finished(p, &ev->task_finished, r);
        return;
    case EVENT_DELIVERY_REQUESTED:
        plan_delivery(p, PLAN_DELIVERY_REQUESTED, &ev->requested, r);
        return;
    case EVENT_DELIVERY_PROGRESS:
        plan_progress(p, &ev->progress, r);
        return;
    case EVENT_DELIVERY_ATTEMPTED:
        plan_attempted(p, &ev->attempted, r);
        return;
    case EVENT_DELIVERY_FINISHED:
        plan_finished(p, &ev->finished, r);
        return;
    case EVENT_RECORD_REJECTED:
        plan_rejected(p, &ev->rejected, r);
        return;
    case EVENT_CONFIG_CURRENT:
    case EVENT_COMMAND_DECIDED: /* its answer says the same */
        return;
    default:
        plan_note(p, ev, r);
        plan_event(p, ev, r);
        return;
    }
}

static bool says_nothing(enum event_type t)
{
    return t == EVENT_UNKNOWN || t == EVENT_TICK || t == EVENT_PADDING || t == EVENT_CLAIM ||
           t == EVENT_ASSOCIATION_ALIVE;
}

int plan_record(struct plan *p, struct plan_position *at, const struct kafka_record *r,
                struct err *e)
{
    enum event_type type = event_type_of_header(kafka_record_header(r, "ce_type"));
    int64_t claim = slice_number(kafka_record_header(r, "claim"));
    struct claims claims = at->claims;
    bool is_void = claims_void(&claims, type, r->offset, claim);
    if (!says_nothing(type)) {
        struct event ev;
        if (event_decode(&ev, r->value.p, r->value.n, p->arena, e) != 0)
            return -1;
        if (ev.type != type)
            return err_set(e, ERR_REJECT, 0, "header ce_type and body name different types");
        if (is_void)
            plan_void(p, &ev, claim, claims.newest, r);
        else
            plan_body(p, &ev, claim, r);
    }
    at->claims = claims;
    at->next = r->offset + 1;
    at->marked = true;
    at->mark = careful_mark(r->timestamp, r->value);
    at->time = r->timestamp;
    return 0;
}

/* ---- members ---- */

void plan_members_read(struct plan *p, size_t at, const char *at_ms)
{
    p->rows[PLAN_DECISION].items[at].cells[DECISION_MEMBERS_AT] = at_ms;
}

static void plan_member(struct plan *p, const char *decision, const char *role, int64_t position,
                        const char *receipt, const char *sop, const char *of)
{
    const char *known = copy(p, receipt);
    CELLS(p, PLAN_MEMBER, decision, role, number(p, position), known, copy(p, sop), of);
    if (known)
        CELLS(p, PLAN_RECEIPT_STATE, known, "decided");
}

static void plan_shadows(struct plan *p, const char *decision, const char *role,
                         const struct row_list *list, int64_t base_of, int64_t *at)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct manifest_shadow *s = rows_at(struct manifest_shadow, list, i);
        plan_member(p, decision, role, (*at)++, s->receipt, s->sop, number(p, base_of + s->of));
    }
}

void plan_members(struct plan *p, const char *decision, const struct manifest *m,
                  struct plan_count *at)
{
    const char *id = copy(p, decision);
    int64_t base = at->members;
    for (size_t i = 0; i < m->members.n; i++) {
        const struct manifest_member *x = rows_at(struct manifest_member, &m->members, i);
        plan_member(p, id, "member", at->members++, x->receipt, x->sop, NULL);
    }
    plan_shadows(p, id, "duplicate", &m->duplicate, base, &at->duplicates);
    plan_shadows(p, id, "superseded", &m->superseded, base, &at->superseded);
}
