/* The list of what a core wants done; owns copies of everything. */
#include "event/outputs.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"

void outputs_object(struct outputs *o, const char *key, struct str *bytes)
{
    *vec_push(&o->objects) = (struct output_object){mem_strdup(key), *bytes};
    *bytes = (struct str)STR_INIT;
}

int outputs_event(struct outputs *o, const char *noun, int32_t partition, const char *key,
                  const struct event *ev, int64_t claim, struct err *e)
{
    char time[CLOCK_RFC3339], id[ID_UUID], composed[EVENT_ID];
    struct event full = *ev;
    full.source = o->source;
    full.time = clock_rfc3339(time, o->now_ms);
    if (!full.id && !event_id(composed, ev)) {
        id_uuid7(id);
        full.id = id;
    }
    struct output_record r = {
        .noun = noun, .partition = partition, .type = ev->type, .claim = claim};
    if (event_encode(&r.value, &full, e)) {
        str_free(&r.value);
        return -1;
    }
    const char *subject = ev->subject ? ev->subject : event_subject(ev);
    r.key = mem_strdup(key ? key : subject ? subject : "");
    struct event_header headers[EVENT_HEADERS];
    r.n_headers = event_headers(headers, &full, claim);
    for (size_t i = 0; i < r.n_headers; i++)
        r.headers[i] = (struct output_header){headers[i].name, mem_strdup(headers[i].value)};
    *vec_push(&o->records) = r;
    return 0;
}

void outputs_clear(struct outputs *o)
{
    for (size_t i = 0; i < o->objects.n; i++) {
        mem_free(o->objects.items[i].key);
        str_free(&o->objects.items[i].bytes);
    }
    for (size_t i = 0; i < o->records.n; i++) {
        struct output_record *r = &o->records.items[i];
        for (size_t k = 0; k < r->n_headers; k++)
            mem_free(r->headers[k].value);
        mem_free(r->key);
        str_free(&r->value);
    }
    vec_clear(&o->objects);
    vec_clear(&o->records);
}

void outputs_free(struct outputs *o)
{
    outputs_clear(o);
    vec_free(&o->objects);
    vec_free(&o->records);
}
