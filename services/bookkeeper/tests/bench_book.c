/*
 * Replay speed of the bookkeeper: synthetic instance.stored records (42 tags, series of 300) into a
 * real Postgres with fsync on, in batches of 1000, one connection. Prints records per second.
 * Usage: bench_book [records]
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "bookkeeper/book.h"
#include "bookkeeper/tests/records.h"
#include "pg/tests/cluster.h"

enum { BATCH = 1000, TAGS = 42, SERIES = 300 };
#define TOPIC "talaria.bench.instance"

static struct row_pair tags[TAGS];

static void fill_tags(void)
{
    static char names[TAGS][24], values[TAGS][40];
    static const char *const known[] = {"PatientID", "AccessionNumber", "Modality",
                                        "StudyDescription", "SeriesDescription"};
    for (int i = 0; i < TAGS; i++) {
        snprintf(names[i], sizeof names[i], "AttributeNumber%d", i);
        snprintf(values[i], sizeof values[i], "value %d of an attribute", i * 7919);
        tags[i] = (struct row_pair){i < 5 ? known[i] : names[i], values[i]};
    }
}

static void fill_record(struct test_record *t, int64_t i)
{
    char receipt[20], study[64], series[90], sop[120], key[256];
    snprintf(receipt, sizeof receipt, "%016llx",
             (unsigned long long)(i + 1) * 0x9E3779B97F4A7C15ull);
    snprintf(study, sizeof study, "1.2.840.113619.2.55.3.604688119.%lld",
             (long long)(i / (4 * SERIES)));
    snprintf(series, sizeof series, "%s.%lld", study, (long long)(i / SERIES));
    snprintf(sop, sizeof sop, "%s.%lld", series, (long long)(i % SERIES));
    snprintf(key, sizeof key, "instances/aa/%s/%s.%s.dcm", study, sop, receipt);
    record_fill(t,
                (struct event){.type = EVENT_INSTANCE_STORED,
                               .stored = {.receipt = receipt,
                                          .key = key,
                                          .size = 526000,
                                          .study = study,
                                          .series = series,
                                          .sop = sop,
                                          .sop_class = "1.2.840.10008.5.1.4.1.1.2",
                                          .syntax = "1.2.840.10008.1.2.1",
                                          .association = "as",
                                          .sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b9"
                                                    "34ca495991b7852b855",
                                          .source = {.name = "ct-1"},
                                          .calling_ae = "CT1",
                                          .called_ae = "TALARIA",
                                          .peer = "10.0.0.7",
                                          .received_at = "2026-11-24T10:00:00.000Z",
                                          .tags = {tags, TAGS}}},
                TOPIC, i, -1);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double replay(struct cluster *c, struct objstore *store, int64_t n)
{
    struct err e;
    static struct test_record t[BATCH];
    static struct kafka_record r[BATCH];
    struct book *b = book_new(c->conninfo, store);
    struct stage_place p = {.topic = TOPIC};
    assert_int_equal(book_positions(b, &p, 1, &e), 0);
    int64_t spent = 0, cpu = 0;
    for (int64_t at = 0; at < n; at += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            fill_record(&t[i], at + i);
            r[i] = t[i].record;
        }
        int64_t begun = clock_mono_ns(), cpu_begun = cpu_ns();
        if (book_batch(b, r, BATCH, &e) != 0)
            fail_msg("%s", e.text);
        spent += clock_mono_ns() - begun;
        cpu += cpu_ns() - cpu_begun;
        for (int i = 0; i < BATCH; i++)
            record_free(&t[i]);
    }
    book_free(b);
    printf("  own CPU %.1f us per record\n", (double)cpu / (double)n / 1e3);
    return (double)n * 1e9 / (double)spent;
}

static void bench(void **state)
{
    int64_t n = *(int64_t *)*state;
    struct err e;
    struct cluster c = {.durable = true};
    struct objstore *store;
    cluster_start(&c);
    struct pg *pg = cluster_connect(&c);
    assert_int_equal(pg_migrate(pg, &e), 0);
    assert_int_equal(objstore_open(&store, "null:", &e), 0);
    fill_tags();
    printf("bookkeeper first   %8.0f records/s\n", replay(&c, store, n));
    assert_int_equal(pg_exec(pg, "UPDATE positions SET next_offset = 0", &e), 0);
    printf("bookkeeper replay  %8.0f records/s\n", replay(&c, store, n));
    objstore_close(store);
    pg_free(pg);
    cluster_stop(&c);
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    printf("PostgreSQL: %.1f us CPU per record (both runs and initdb)\n",
           ((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
            (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec)) /
               (double)n / 2);
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? atoll(argv[1]) : 100000;
    n = (n + BATCH - 1) / BATCH * BATCH;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(bench, &n)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
