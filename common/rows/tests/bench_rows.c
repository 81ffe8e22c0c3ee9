/* ns per decode, encode and peek of a small document. Usage: bench_rows [rounds] */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sample.h"

static const char text[] =
    "{\"text\":\"plain text of a usual length\",\"count\":12345,\"port\":11112,\"ratio\":1.25,"
    "\"on\":false,\"colour\":\"blue\",\"list\":[\"one\",\"two\",\"three\",\"four\"],\"pairs\":{"
    "\"Modality\":\"CT\",\"BodyPartExamined\":\"CHEST\",\"StudyDescription\":\"CT Thorax\"},"
    "\"raw\":{\"threshold\":0.5,\"labels\":[\"a\",\"b\"]},\"part\":{\"name\":\"p\",\"weight\":3},"
    "\"parts\":[{\"name\":\"a\"},{\"name\":\"b\",\"weight\":2}],\"map\":{\"x\":{},\"y\":{"
    "\"weight\":1}}}";

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 200000;
    struct arena *a = arena_new(0);
    struct sample s;
    struct err e = {0};
    struct slice found = {0};
    struct str out = STR_INIT;
    int64_t t0 = clock_mono_ns();
    for (int i = 0; i < rounds; i++) {
        arena_reset(a);
        if (rows_decode(&s, &sample_table, text, sizeof text - 1, a, NULL, &e))
            return fprintf(stderr, "%s\n", e.text), 1;
    }
    int64_t t1 = clock_mono_ns();
    for (int i = 0; i < rounds; i++) {
        str_clear(&out);
        rows_encode(&out, &sample_table, &s, true);
    }
    int64_t t2 = clock_mono_ns();
    for (int i = 0; i < rounds; i++)
        if (rows_peek(&found, text, sizeof text - 1, "map"))
            return 1;
    int64_t t3 = clock_mono_ns();
    printf("rows: %zu bytes: decode %.0f ns, encode %.0f ns, peek at the last member %.0f ns\n",
           sizeof text - 1, (double)(t1 - t0) / rounds, (double)(t2 - t1) / rounds,
           (double)(t3 - t2) / rounds);
    str_free(&out);
    arena_free(a);
    return 0;
}
