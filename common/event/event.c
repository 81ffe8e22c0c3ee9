/* The codec: CloudEvents envelope around one body, and what a record's headers say. */
#include "event_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "event/positions.h"

#define PREFIX "talaria."
#define SUFFIX ".v1"

struct type_info {
    const char *name, *header, *schema;
    const struct row_table *table;
    bool choice;
};

#define TYPE(t, record, id, ...)                                                                   \
    [t] = {record, PREFIX record SUFFIX, "urn:talaria:schema:" record SUFFIX, &body_##id,          \
           __VA_ARGS__}

static const struct type_info types[EVENT_TYPES] = {
    TYPE(EVENT_INSTANCE_STORED, "instance.stored", instance_stored),
    TYPE(EVENT_ASSOCIATION_ENDED, "association.ended", association_ended),
    TYPE(EVENT_ASSOCIATION_ALIVE, "association.alive", association_alive),
    TYPE(EVENT_TICK, "tick", tick),
    TYPE(EVENT_PADDING, "padding", padding),
    TYPE(EVENT_COMMAND_COMPLETE, "command.complete", command_complete),
    TYPE(EVENT_COMMAND_REROUTE, "command.reroute", command_reroute),
    TYPE(EVENT_COMMAND_REPLAY, "command.replay", command_replay),
    TYPE(EVENT_CLAIM, "claim", claim),
    TYPE(EVENT_SERIES_DECIDED, "series.decided", series_decided, true),
    TYPE(EVENT_STUDY_DECIDED, "study.decided", study_decided, true),
    TYPE(EVENT_TASK_REQUESTED, "task.requested", task_requested),
    TYPE(EVENT_TASK_STARTED, "task.started", task_started, true),
    TYPE(EVENT_TASK_HEARTBEAT, "task.heartbeat", task_heartbeat),
    TYPE(EVENT_TASK_ATTEMPTED, "task.attempted", task_attempted),
    TYPE(EVENT_TASK_FINISHED, "task.finished", task_finished, true),
    TYPE(EVENT_DELIVERY_REQUESTED, "delivery.requested", delivery_requested),
    TYPE(EVENT_DELIVERY_PROGRESS, "delivery.progress", delivery_progress),
    TYPE(EVENT_DELIVERY_ATTEMPTED, "delivery.attempted", delivery_attempted),
    TYPE(EVENT_DELIVERY_FINISHED, "delivery.finished", delivery_finished, true),
    TYPE(EVENT_COMMAND_CANCEL, "command.cancel", command_cancel),
    TYPE(EVENT_COMMAND_RETRY, "command.retry", command_retry),
    TYPE(EVENT_CONFIG_CURRENT, "config.current", config_current),
    TYPE(EVENT_RECORD_REJECTED, "record.rejected", record_rejected),
    TYPE(EVENT_SERVICE_STARTED, "service.started", service_started),
    TYPE(EVENT_SERVICE_STOPPED, "service.stopped", service_stopped),
    TYPE(EVENT_CONFIG_PUBLISHED, "config.published", config_published),
    TYPE(EVENT_TARGET_TESTED, "target.tested", target_tested),
    TYPE(EVENT_OBJECT_CONDEMNED, "object.condemned", object_condemned),
    TYPE(EVENT_OBJECT_DELETED, "object.deleted", object_deleted),
    TYPE(EVENT_HOLD_SET, "hold.set", hold_set),
    TYPE(EVENT_HOLD_RELEASED, "hold.released", hold_released),
    TYPE(EVENT_DISMISSED, "dismissed", dismissed),
    TYPE(EVENT_COMMAND_ANSWERED, "command.answered", command_answered),
    TYPE(EVENT_COMMAND_DECIDED, "command.decided", command_decided, true),
    TYPE(EVENT_RULE_FAILED, "rule.failed", rule_failed),
    TYPE(EVENT_ALARM_RAISED, "alarm.raised", alarm_raised),
    TYPE(EVENT_ALARM_CLEARED, "alarm.cleared", alarm_cleared),
};

static bool known(enum event_type t)
{
    return t > EVENT_UNKNOWN && t < EVENT_TYPES;
}

const char *event_type_name(enum event_type t)
{
    return known(t) ? types[t].name : "unknown";
}

enum event_type event_type_of_header(struct slice ce_type)
{
    const size_t around = sizeof PREFIX - 1 + sizeof SUFFIX - 1;
    if (ce_type.n <= around || memcmp(ce_type.p, PREFIX, sizeof PREFIX - 1) != 0)
        return EVENT_UNKNOWN;
    for (int t = EVENT_UNKNOWN + 1; t < EVENT_TYPES; t++)
        if (strncmp(types[t].header, ce_type.p, ce_type.n) == 0 && !types[t].header[ce_type.n])
            return (enum event_type)t;
    return EVENT_UNKNOWN;
}

bool event_is_choice(enum event_type t)
{
    return known(t) && types[t].choice;
}

const struct row_table *event_table(enum event_type t)
{
    return known(t) ? types[t].table : NULL;
}

/* ---- envelope ---- */

struct envelope {
    const char *specversion, *type, *dataschema, *datacontenttype;
    struct event ev;
};

#define EV(member) (offsetof(struct envelope, ev) + offsetof(struct event, member))

static const struct row envelope_rows[] = {
    {"specversion", ROW_STRING, ROW(envelope, specversion), ROW_REQUIRED},
    {"id", ROW_STRING, EV(id), ROW_REQUIRED, .min = 1},
    {"source", ROW_STRING, EV(source), ROW_REQUIRED, .min = 1},
    {"type", ROW_STRING, ROW(envelope, type), ROW_REQUIRED, .min = 1},
    {"subject", ROW_STRING, EV(subject)},
    {"time", ROW_STRING, EV(time)},
    {"dataschema", ROW_STRING, ROW(envelope, dataschema)},
    {"datacontenttype", ROW_STRING, ROW(envelope, datacontenttype)},
    {"traceparent", ROW_STRING, EV(traceparent)},
    {"data", ROW_OBJECT, EV(stored), ROW_REQUIRED}, /* of: the body's table */
};
#define ENVELOPE_ROWS ARRAY_LEN(envelope_rows)

/* The envelope with the body of t as data; of an unknown type nobody reads the data. */
static struct row_table envelope_table(struct row rows[ENVELOPE_ROWS], enum event_type t)
{
    memcpy(rows, envelope_rows, sizeof envelope_rows);
    rows[ENVELOPE_ROWS - 1].of = event_table(t);
    size_t n = known(t) ? ENVELOPE_ROWS : ENVELOPE_ROWS - 1;
    return (struct row_table){"event", sizeof(struct envelope), rows, n};
}

static int check_request(const struct event_delivery_requested *d, const char *where, size_t i,
                         struct err *e)
{
    char at[40] = "/data";
    if (where)
        snprintf(at, sizeof at, "/data/%s/%zu", where, i);
    if (!d->decision == !d->task)
        return err_set(e, ERR_REJECT, 0, "%s: exactly one of decision and task", at);
    if (d->positions && positions_count(d->positions) != d->members)
        return err_set(e, ERR_REJECT, 0, "%s/members: must be the number of positions", at);
    return 0;
}

static int check_requests(const struct row_list *deliveries, struct err *e)
{
    for (size_t i = 0; i < deliveries->n; i++)
        if (check_request(rows_at(struct event_delivery_requested, deliveries, i), "deliveries", i,
                          e))
            return -1;
    return 0;
}

/* What the rows cannot say. */
static int check_body(const struct event *ev, struct err *e)
{
    switch (ev->type) {
    case EVENT_DELIVERY_REQUESTED:
        return check_request(&ev->requested, NULL, 0, e);
    case EVENT_SERIES_DECIDED:
        return check_requests(&ev->decided.deliveries, e);
    case EVENT_STUDY_DECIDED:
        return check_requests(&ev->study_decided.deliveries, e);
    case EVENT_TASK_FINISHED:
        return check_requests(&ev->task_finished.deliveries, e);
    case EVENT_COMMAND_CANCEL:
    case EVENT_COMMAND_RETRY:
        if (!ev->command.task == !ev->command.delivery)
            return err_set(e, ERR_REJECT, 0, "/data: exactly one of task and delivery");
        return 0;
    default:
        return 0;
    }
}

static size_t size_limit(enum event_type t)
{
    return t == EVENT_RECORD_REJECTED ? EVENT_MAX_REJECTED : EVENT_MAX;
}

int event_encode(struct str *out, const struct event *ev, struct err *e)
{
    struct row rows[ENVELOPE_ROWS];
    char id[EVENT_ID];
    if (!known(ev->type))
        return err_set(e, ERR_REJECT, 0, "/type: unknown");
    if (!ev->source || !ev->time)
        return err_set(e, ERR_REJECT, 0, "/%s: required", ev->source ? "time" : "source");
    struct envelope box = {.specversion = "1.0",
                           .type = types[ev->type].header,
                           .dataschema = types[ev->type].schema,
                           .ev = *ev};
    if (!box.ev.id)
        box.ev.id = event_id(id, ev);
    if (!box.ev.subject)
        box.ev.subject = event_subject(ev);
    struct row_table t = envelope_table(rows, ev->type);
    if (rows_check(&t, &box, e) || check_body(ev, e))
        return -1;
    size_t before = out->len;
    rows_encode(out, &t, &box, true);
    if (out->len - before <= size_limit(ev->type))
        return 0;
    size_t got = out->len - before;
    out->len = before;
    out->data[before] = '\0';
    return err_set(e, ERR_REJECT, 0, "/: record of %zu bytes; the bound is %zu", got,
                   size_limit(ev->type));
}

/* The type is looked for first, so that the data can be read in one pass wherever it stands. */
static enum event_type peek_type(const char *text, size_t n)
{
    struct slice raw;
    if (rows_peek(&raw, text, n, "type") || raw.n < 2 || raw.p[0] != '"')
        return EVENT_UNKNOWN;
    return event_type_of_header((struct slice){raw.p + 1, raw.n - 2});
}

int event_decode(struct event *out, const char *text, size_t n, struct arena *a, struct err *e)
{
    struct row rows[ENVELOPE_ROWS];
    struct envelope box;
    enum event_type type = n <= EVENT_MAX_REJECTED ? peek_type(text, n) : EVENT_UNKNOWN;
    struct rows_limits limits = {.bytes = size_limit(type)};
    struct row_table t = envelope_table(rows, type);
    if (rows_decode(&box, &t, text, n, a, &limits, e))
        return -1;
    if (strcmp(box.specversion, "1.0") != 0)
        return err_set(e, ERR_REJECT, 0, "/specversion: must be 1.0");
    if (event_type_of_header(slice_of(box.type)) != type)
        return err_set(e, ERR_REJECT, 0, "/type: must be written without escapes");
    box.ev.type = type;
    if (check_body(&box.ev, e))
        return -1;
    *out = box.ev;
    return 0;
}
