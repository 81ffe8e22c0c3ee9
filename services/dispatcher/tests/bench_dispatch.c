/*
 * 10,000 deliveries that are open for a dead target: how long the fold of their requests takes (the
 * dispatcher's restart), what one costs in memory, and what a turn costs while they wait.
 */
#include <malloc.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dispatcher/dispatch.h"

#define DELIVERIES 10000
#define MEMBERS    200
#define TURNS      1000

static int64_t five_attempts(void *arg, const struct delivery *x)
{
    (void)arg;
    (void)x;
    return 5;
}

static bool not_the_dead(void *arg, const char *target, const char *patient)
{
    (void)arg;
    (void)patient;
    return strcmp(target, "dead-archive") != 0;
}

/* As long as real ones: UIDs of 60 characters, ids of 32. */
static void make_request(struct str *out, int i)
{
    char id[33], study[64], series[64], key[256], patient[33];
    struct err e = {0};
    snprintf(id, sizeof id, "%032x", (unsigned)i);
    snprintf(patient, sizeof patient, "%032x", (unsigned)i / 3);
    snprintf(study, sizeof study, "1.2.840.113619.2.1234567890.1234567890.1234567890.12%08d",
             i / 3);
    snprintf(series, sizeof series, "1.2.840.113619.2.1234567890.1234567890.1234567890.34%08d", i);
    snprintf(key, sizeof key, "manifests/ab/%s/%s/%s.123456.json", study, series, id);
    struct event ev = {.type = EVENT_DELIVERY_REQUESTED,
                       .id = id,
                       .source = "/talaria/main/router/1",
                       .time = "2026-01-01T00:00:00Z",
                       .requested = {.delivery = id,
                                     .decision = id,
                                     .target = "dead-archive",
                                     .revision = "12-0123456789ab",
                                     .study = study,
                                     .series = series,
                                     .patient_hash = patient,
                                     .calling_ae = "CT_ROOM_1",
                                     .called_ae = "TALARIA",
                                     .peer = "10.20.30.40",
                                     .manifest = {key, "0123456789abcdef0123456789abcdef"
                                                       "0123456789abcdef0123456789abcdef"},
                                     .members = MEMBERS}};
    if (event_encode(out, &ev, &e))
        fprintf(stderr, "%s\n", e.text);
}

static double fold(struct dispatch *d, const struct str *records)
{
    struct arena *a = arena_new(0);
    int64_t begun = clock_mono_ns();
    for (int i = 0; i < DELIVERIES; i++) {
        struct event ev;
        struct err e = {0};
        arena_reset(a);
        if (event_decode(&ev, records[i].data, records[i].len, a, &e) == 0)
            dispatch_journal(d, &ev, i, 1000000, true, false);
    }
    dispatch_opened(d);
    double ms = (double)(clock_mono_ns() - begun) / 1e6;
    arena_free(a);
    return ms;
}

/* Microseconds of one question: what may start? */
static double turns(struct dispatch *d)
{
    struct outputs out = {.source = "/talaria/bench/dispatcher/1"};
    struct err e = {0};
    if (dispatch_settle(d, 1000000, five_attempts, NULL, &out, &e) || out.records.n)
        fprintf(stderr, "unexpected outputs: %s\n", e.text);
    outputs_free(&out);
    int64_t begun = clock_mono_ns();
    for (int i = 0; i < TURNS; i++)
        if (dispatch_next(d, 1000000 + i, true, not_the_dead, NULL))
            fprintf(stderr, "something starts\n");
    return (double)(clock_mono_ns() - begun) / 1e3 / TURNS;
}

int main(void)
{
    struct str *records = mem_zalloc(DELIVERIES * sizeof *records);
    for (int i = 0; i < DELIVERIES; i++)
        make_request(&records[i], i);
    size_t before = mallinfo2().uordblks;
    struct dispatch *d = dispatch_new(0, DELIVERIES, 0, 0);
    double ms = fold(d, records);
    double bytes = (double)(mallinfo2().uordblks - before) / DELIVERIES;
    double us = turns(d);
    printf("%d deliveries of %d members: fold %.0f ms, %.0f bytes each (of which %d for members), "
           "%.1f us a turn, %zu open\n",
           DELIVERIES, MEMBERS, ms, bytes, MEMBERS, us, dispatch_open(d));
    bool ok = dispatch_open(d) == DELIVERIES && bytes - MEMBERS <= 1024 && ms < 5000;
    dispatch_free(d);
    for (int i = 0; i < DELIVERIES; i++)
        str_free(&records[i]);
    mem_free(records);
    return ok ? 0 : 1;
}
