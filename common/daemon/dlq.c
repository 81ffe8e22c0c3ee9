/* A record that cannot be worked, whole, for the topic dlq. */
#include <stdio.h>

#include "base/arena.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "event/topics.h"

static char *base64(struct arena *a, struct slice in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(a, in.n / 3 * 4 + 8), *at = out;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)(uint8_t)in.p[i] << 16;
        v |= left > 1 ? (uint32_t)(uint8_t)in.p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(uint8_t)in.p[i + 2] : 0;
        *at++ = digits[v >> 18];
        *at++ = digits[v >> 12 & 63];
        *at++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[v & 63] : '=';
    }
    *at = 0;
    return out;
}

/* Bytes of others go into JSON: what is not UTF-8 ends the text. */
static char *text(struct arena *a, struct slice s, size_t max)
{
    size_t n = utf8_valid_prefix(s.p, s.n < max ? s.n : max);
    return arena_strndup(a, s.p ? s.p : "", n);
}

static void put_headers(struct arena *a, struct row_pairs *out, const struct kafka_record *r)
{
    out->items = arena_alloc(a, (r->n_headers + 1) * sizeof *out->items);
    for (size_t i = 0; i < r->n_headers; i++) {
        bool again = false;
        for (size_t k = 0; k < out->n; k++)
            again |= strcmp(out->items[k].name, r->headers[i].name) == 0;
        if (again)
            continue;
        out->items[out->n].name = text(a, slice_of(r->headers[i].name), 64);
        out->items[out->n++].value = text(a, r->headers[i].value, 512);
    }
}

/* What is too large even so keeps everything but its bytes, which stay readable at its place until
 * the topic's retention ends. */
int dlq_append(struct outputs *out, const struct kafka_record *r, const struct rejected *why,
               const struct err *error, struct err *e)
{
    struct arena *a = arena_new(0);
    struct event ev = {.type = EVENT_RECORD_REJECTED};
    struct event_record_rejected *x = &ev.rejected;
    x->topic = r->topic;
    x->partition = r->partition;
    x->offset = r->offset;
    x->stage = why->stage;
    x->claim = why->claim;
    x->error = text(a, slice_of(*error->text ? error->text : "rejected"), sizeof error->text);
    x->attempts = why->attempts;
    put_headers(a, &x->headers, r);
    x->record_key = text(a, r->key, 512);
    x->record_base64 = base64(a, r->value);
    int result = outputs_event(out, "dlq", -1, x->record_key, &ev, -1, e);
    if (result) {
        x->record_base64 = NULL;
        result = outputs_event(out, "dlq", -1, x->record_key, &ev, -1, e);
    }
    arena_free(a);
    return result;
}

int stage_reject(struct outputs *out, const struct stage_record *r, const struct daemon *d,
                 const char *stage, int64_t claim, const struct err *why, struct err *e)
{
    char topic[TOPIC_NAME], type[96];
    struct kafka_record k = {
        .topic = topics_name(topic, daemon_settings(d)->site, r->noun),
        .partition = r->partition,
        .offset = r->offset,
        .timestamp = r->timestamp,
        .key = r->key,
        .value = r->value,
    };
    struct rejected rejected = {stage, claim, 1};
    snprintf(type, sizeof type, "talaria.%s.v1", event_type_name(r->type));
    k.headers[k.n_headers++] = (struct kafka_header){"ce_type", slice_of(type)};
    if (r->study.p)
        k.headers[k.n_headers++] = (struct kafka_header){"study", r->study};
    return dlq_append(out, &k, &rejected, why, e);
}
