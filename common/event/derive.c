/* What follows from a record's body: its id, its subject, its Kafka headers. */
#include "event_priv.h"

#include <inttypes.h>
#include <stdio.h>

static const char *attempt_id(char buf[EVENT_ID], const char *work, int64_t attempt,
                              const char *what)
{
    if (!work || snprintf(buf, EVENT_ID, "%s.%" PRId64 ".%s", work, attempt, what) >= EVENT_ID)
        return NULL;
    return buf;
}

static const char *end_id(char buf[EVENT_ID], const char *work)
{
    if (!work || snprintf(buf, EVENT_ID, "%s.finished", work) >= EVENT_ID)
        return NULL;
    return buf;
}

static const char *place_id(char buf[EVENT_ID], const struct event_record_rejected *r)
{
    if (!r->topic || snprintf(buf, EVENT_ID, "%s/%" PRId64 "/%" PRId64, r->topic, r->partition,
                              r->offset) >= EVENT_ID)
        return NULL;
    return buf;
}

const char *event_id(char buf[EVENT_ID], const struct event *ev)
{
    switch (ev->type) {
    case EVENT_INSTANCE_STORED:
        return ev->stored.receipt;
    case EVENT_SERIES_DECIDED:
        return ev->decided.decision;
    case EVENT_STUDY_DECIDED:
        return ev->study_decided.decision;
    case EVENT_TASK_REQUESTED:
        return ev->task_requested.task;
    case EVENT_DELIVERY_REQUESTED:
        return ev->requested.delivery;
    case EVENT_COMMAND_COMPLETE:
    case EVENT_COMMAND_REROUTE:
    case EVENT_COMMAND_REPLAY:
    case EVENT_COMMAND_CANCEL:
    case EVENT_COMMAND_RETRY:
        return ev->command.command;
    case EVENT_TASK_STARTED:
        return attempt_id(buf, ev->task_started.task, ev->task_started.attempt, "started");
    case EVENT_TASK_ATTEMPTED:
        return attempt_id(buf, ev->task_attempted.task, ev->task_attempted.attempt, "attempted");
    case EVENT_TASK_FINISHED:
        return end_id(buf, ev->task_finished.task);
    case EVENT_DELIVERY_ATTEMPTED:
        return attempt_id(buf, ev->attempted.delivery, ev->attempted.attempt, "attempted");
    case EVENT_DELIVERY_FINISHED:
        return end_id(buf, ev->finished.delivery);
    case EVENT_CONFIG_CURRENT:
        return ev->config.revision;
    case EVENT_RECORD_REJECTED:
        return place_id(buf, &ev->rejected);
    default:
        return NULL;
    }
}

/* The study of a record that belongs to one. */
static const char *study_of(const struct event *ev)
{
    switch (ev->type) {
    case EVENT_INSTANCE_STORED:
        return ev->stored.study;
    case EVENT_ASSOCIATION_ENDED:
        return ev->ended.study;
    case EVENT_COMMAND_COMPLETE:
    case EVENT_COMMAND_REROUTE:
    case EVENT_COMMAND_REPLAY:
    case EVENT_COMMAND_CANCEL:
    case EVENT_COMMAND_RETRY:
        return ev->command.study;
    case EVENT_SERIES_DECIDED:
        return ev->decided.study;
    case EVENT_STUDY_DECIDED:
        return ev->study_decided.study;
    case EVENT_TASK_REQUESTED:
        return ev->task_requested.study;
    case EVENT_DELIVERY_REQUESTED:
        return ev->requested.study;
    default:
        return ev->type >= EVENT_SERVICE_STARTED && ev->type != EVENT_CONFIG_PUBLISHED
                   ? ev->note.study
                   : NULL;
    }
}

static const char *series_of(const struct event *ev)
{
    switch (ev->type) {
    case EVENT_INSTANCE_STORED:
        return ev->stored.series;
    case EVENT_COMMAND_COMPLETE:
    case EVENT_COMMAND_REROUTE:
    case EVENT_COMMAND_REPLAY:
        return ev->command.series;
    case EVENT_SERIES_DECIDED:
        return ev->decided.series;
    case EVENT_TASK_REQUESTED:
        return ev->task_requested.series;
    case EVENT_DELIVERY_REQUESTED:
        return ev->requested.series;
    default:
        return NULL;
    }
}

static const char *note_subject(const struct event_note *n)
{
    return n->command ? n->command : n->name ? n->name : n->study;
}

const char *event_subject(const struct event *ev)
{
    switch (ev->type) {
    case EVENT_ASSOCIATION_ALIVE:
        return ev->alive.association;
    case EVENT_COMMAND_CANCEL:
    case EVENT_COMMAND_RETRY:
        return ev->command.task ? ev->command.task : ev->command.delivery;
    case EVENT_TASK_REQUESTED:
        return ev->task_requested.task;
    case EVENT_TASK_STARTED:
    case EVENT_TASK_HEARTBEAT:
        return ev->task_started.task;
    case EVENT_TASK_ATTEMPTED:
        return ev->task_attempted.task;
    case EVENT_TASK_FINISHED:
        return ev->task_finished.task;
    case EVENT_DELIVERY_REQUESTED:
        return ev->requested.delivery;
    case EVENT_DELIVERY_PROGRESS:
        return ev->progress.delivery;
    case EVENT_DELIVERY_ATTEMPTED:
        return ev->attempted.delivery;
    case EVENT_DELIVERY_FINISHED:
        return ev->finished.delivery;
    case EVENT_CONFIG_CURRENT:
    case EVENT_CONFIG_PUBLISHED:
        return ev->config.revision;
    case EVENT_RECORD_REJECTED:
        return ev->rejected.topic;
    default:
        return ev->type >= EVENT_SERVICE_STARTED ? note_subject(&ev->note) : study_of(ev);
    }
}

static void add(struct event_header *out, size_t *n, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    out[*n].name = name;
    out[(*n)++].value = value;
}

size_t event_headers(struct event_header out[EVENT_HEADERS], const struct event *ev, int64_t claim)
{
    size_t n = 0;
    snprintf(out[n].text, sizeof out[n].text, "talaria.%s.v1", event_type_name(ev->type));
    add(out, &n, "ce_type", out[n].text);
    add(out, &n, "content-type", "application/cloudevents+json");
    add(out, &n, "study", study_of(ev));
    add(out, &n, "series", series_of(ev));
    if (ev->type == EVENT_SERIES_DECIDED && ev->decided.window) {
        snprintf(out[n].text, sizeof out[n].text, "%" PRId64 "-%" PRId64, ev->decided.window->first,
                 ev->decided.window->last);
        add(out, &n, "window", out[n].text);
    }
    if (claim >= 0) {
        snprintf(out[n].text, sizeof out[n].text, "%" PRId64, claim);
        add(out, &n, "claim", out[n].text);
    }
    add(out, &n, "traceparent", ev->traceparent);
    return n;
}
