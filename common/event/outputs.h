/*
 * What a pure core wants done: objects to put, then records to append. The shell (common/daemon)
 * writes objects first, then records, and waits for every acknowledgement; a simulator looks at them.
 */
#ifndef EVENT_OUTPUTS_H
#define EVENT_OUTPUTS_H

#include "base/str.h"
#include "base/vec.h"
#include "event/event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct output_object {
    char *key;
    struct str bytes;
};
struct output_header {
    const char *name; /* a literal */
    char *value;      /* owned */
};
struct output_record {
    const char *noun;  /* topic; a literal or from topics_all */
    int32_t partition; /* -1: by key */
    char *key;
    enum event_type type;
    int64_t claim; /* -1: not a choice */
    struct str value;
    struct output_header headers[EVENT_HEADERS];
    size_t n_headers;
};
struct outputs {
    const char *source;  /* "/talaria/<site>/<service>/<instance>": set by the owner */
    int64_t now_ms;      /* wall time for "time": set by the owner */
    VEC(struct output_object) objects;
    VEC(struct output_record) records;
};

/* Takes bytes over. */
void outputs_object(struct outputs *o, const char *key, struct str *bytes);
/* Encodes ev (source and time filled here; id too if NULL: a UUIDv7). key NULL = subject. -1: larger than EVENT_MAX. */
int outputs_event(struct outputs *o, const char *noun, int32_t partition, const char *key,
                  const struct event *ev, int64_t claim, struct err *e) MUST_CHECK;
void outputs_clear(struct outputs *o);
void outputs_free(struct outputs *o);

#ifdef __cplusplus
}
#endif
#endif
