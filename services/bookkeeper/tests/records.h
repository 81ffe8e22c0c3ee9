/* Records for the tests: a struct event as the broker would hand it over. */
#ifndef BOOKKEEPER_TESTS_RECORDS_H
#define BOOKKEEPER_TESTS_RECORDS_H

#include "base/mem.h"
#include "bookkeeper/plan.h"
#include "testkit/testkit.h"

struct test_record {
    struct kafka_record record;
    struct event_header headers[EVENT_HEADERS];
    struct str value;
};

static inline struct kafka_record *record_fill(struct test_record *t, struct event ev,
                                               const char *topic, int64_t offset, int64_t claim)
{
    struct err e;
    static int64_t ids;
    char id[32];
    snprintf(id, sizeof id, "id-%lld", (long long)++ids);
    if (!ev.id && !event_id((char[EVENT_ID]){0}, &ev))
        ev.id = id;
    ev.source = ev.source ? ev.source : "/talaria/test/unit/1";
    ev.time = "2026-11-24T10:00:00.000Z";
    *t = (struct test_record){0};
    if (event_encode(&t->value, &ev, &e) != 0)
        fail_msg("%s: %s", event_type_name(ev.type), e.text);
    t->record = (struct kafka_record){
        .topic = topic, .offset = offset, .timestamp = 1795514400000 + offset * 10};
    t->record.value = str_slice(&t->value);
    size_t n = event_headers(t->headers, &ev, claim);
    for (size_t i = 0; i < n && i < KAFKA_HEADERS; i++)
        t->record.headers[t->record.n_headers++] =
            (struct kafka_header){t->headers[i].name, slice_of(mem_strdup(t->headers[i].value))};
    return &t->record;
}

static inline void record_free(struct test_record *t)
{
    for (size_t i = 0; i < t->record.n_headers; i++)
        mem_free((void *)(uintptr_t)t->record.headers[i].value.p);
    str_free(&t->value);
}

#endif
