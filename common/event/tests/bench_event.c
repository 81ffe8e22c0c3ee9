/* ns per decode and encode of an instance.stored record of about 2 KB with 45 tags, and of a look
 * at its type. Usage: bench_event [rounds] */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "event/event.h"

#define TAGS 45

static int make_record(struct str *out, struct arena *a, struct err *e)
{
    struct str text = STR_INIT;
    struct event ev;
    static struct row_pair tags[TAGS];
    int rc = file_read(&text, "schemas/examples/valid/instance.stored.json", 1 << 20, e) ||
             event_decode(&ev, str_cstr(&text), text.len, a, e);
    if (!rc) {
        size_t n = ev.stored.tags.n < TAGS ? ev.stored.tags.n : TAGS;
        memcpy(tags, ev.stored.tags.items, n * sizeof *tags);
        for (; n < TAGS; n++)
            tags[n] = (struct row_pair){arena_printf(a, "ConfiguredExtra%zu", n), "1.5\\1.5"};
        ev.stored.tags = (struct row_pairs){tags, TAGS};
        rc = event_encode(out, &ev, e);
    }
    str_free(&text);
    return rc;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 200000;
    struct arena *a = arena_new(0), *own = arena_new(0);
    struct str text = STR_INIT, out = STR_INIT;
    struct event ev;
    struct err e = {0};
    struct slice found;
    if (make_record(&text, own, &e))
        return fprintf(stderr, "%s\n", e.text), 1;
    int64_t t0 = clock_mono_ns();
    for (int i = 0; i < rounds; i++) {
        arena_reset(a);
        if (event_decode(&ev, str_cstr(&text), text.len, a, &e))
            return fprintf(stderr, "%s\n", e.text), 1;
    }
    int64_t t1 = clock_mono_ns();
    for (int i = 0; i < rounds; i++) {
        str_clear(&out);
        if (event_encode(&out, &ev, &e))
            return fprintf(stderr, "%s\n", e.text), 1;
    }
    int64_t t2 = clock_mono_ns();
    for (int i = 0; i < rounds; i++)
        if (rows_peek(&found, str_cstr(&text), text.len, "type"))
            return 1;
    int64_t t3 = clock_mono_ns();
    printf("event: instance.stored of %zu bytes, %d tags: decode %.0f ns (%.0f/s), encode %.0f ns, "
           "peek at the type %.0f ns\n",
           text.len, TAGS, (double)(t1 - t0) / rounds, 1e9 * rounds / (double)(t1 - t0),
           (double)(t2 - t1) / rounds, (double)(t3 - t2) / rounds);
    str_free(&text);
    str_free(&out);
    arena_free(a);
    arena_free(own);
    return 0;
}
