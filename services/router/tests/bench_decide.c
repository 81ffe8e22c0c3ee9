/*
 * How many instance records a second decide replays: decoded and taken into windows, and skipped by
 * their headers because the journal covers them. Prints both; the aim is 100,000 for the first.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "router/decide/decide.h"
#include "router/sim/world.h"

enum { SERIES = 100, INSTANCES = 300 };

static void produce(struct sim_world *w)
{
    static const char *const names[] = {"AccessionNumber",
                                        "AcquisitionDate",
                                        "AcquisitionTime",
                                        "BodyPartExamined",
                                        "BurnedInAnnotation",
                                        "Columns",
                                        "ContentDate",
                                        "DeviceSerialNumber",
                                        "ImageComments",
                                        "ImageOrientationPatient",
                                        "ImageType",
                                        "InstitutionName",
                                        "Manufacturer",
                                        "ManufacturerModelName",
                                        "Modality",
                                        "NumberOfFrames",
                                        "PatientBirthDate",
                                        "PatientID",
                                        "PatientName",
                                        "PatientSex",
                                        "PerformedProcedureStepDescription",
                                        "PerformingPhysicianName",
                                        "ProcedureCodeSequence",
                                        "ProtocolName",
                                        "ReferringPhysicianName",
                                        "RequestedProcedureDescription",
                                        "Rows",
                                        "SeriesDate",
                                        "SeriesDescription",
                                        "SeriesNumber",
                                        "SeriesTime",
                                        "SliceThickness",
                                        "SoftwareVersions",
                                        "SpecificCharacterSet",
                                        "StationName",
                                        "StudyDate",
                                        "StudyDescription",
                                        "StudyID",
                                        "StudyTime"};
    struct row_pair tags[ARRAY_LEN(names) + 1];
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        tags[i] = (struct row_pair){names[i], "a value of this tag"};
    char number[16], receipt[32], sop[64], series[64];
    for (int i = 0; i < SERIES * INSTANCES; i++) {
        snprintf(number, sizeof number, "%d", i / SERIES);
        snprintf(receipt, sizeof receipt, "%016x", (unsigned)i);
        snprintf(sop, sizeof sop, "1.2.840.113619.2.55.3.604688119.971.1385554131.350.1.%d", i);
        snprintf(series, sizeof series, "1.2.840.113619.2.55.3.604688119.971.1385554131.%d",
                 i % SERIES);
        tags[ARRAY_LEN(names)] = (struct row_pair){"InstanceNumber", number};
        w->now += 2;
        (void)world_instance(
            w, &(struct sim_instance){.receipt = receipt,
                                      .study = "1.2.840.113619.2.55.3.604688119.971.1385554131.350",
                                      .series = series,
                                      .sop = sop,
                                      .association = "019389a2-7f00-7c1a-9d3f-1b0e5c2a8897",
                                      .tags = {tags, ARRAY_LEN(tags)}});
    }
}

static struct decide *owner(struct sim_world *w)
{
    const struct decide_setup setup = {
        .site = "main", .owner = "bench", .known_receipts = world_known_receipts, .arg = w};
    return decide_new(&setup);
}

static double replay(struct sim_world *w, struct decide *d, struct sim_config *config,
                     struct outputs *out)
{
    struct arena *a = arena_new(0);
    const struct sim_log *log = &w->logs[SIM_INSTANCE];
    int64_t start = clock_mono_ns();
    for (size_t i = 0; i < log->records.n; i++) {
        const struct sim_record *r = &log->records.items[i];
        const struct decide_input in = {
            r->offset,          r->timestamp,        r->type,
            slice_of(r->study), slice_of(r->series), str_slice(&r->value)};
        struct err e;
        arena_reset(a);
        if (decide_record(d, &config->snapshot, &in, a, out, &e) != DECIDE_DONE)
            printf("record %zu: %s\n", i, e.text);
    }
    double seconds = (double)(clock_mono_ns() - start) / 1e9;
    arena_free(a);
    return (double)log->records.n / seconds;
}

int main(void)
{
    struct sim_world w;
    struct sim_config config;
    struct outputs out = {.source = "/talaria/main/router/bench"};
    world_init(&w);
    sim_config_init(&config, "1-000000000000");
    sim_config_rule(&config, &(struct config_rule){.name = "all",
                                                   .rule = "tags.Modality != 'SR'",
                                                   .targets = STRINGS("pacs")});
    produce(&w);
    struct decide *d = owner(&w);
    printf("decide replay: %.0f instance records/s of %zu bytes\n", replay(&w, d, &config, &out),
           w.logs[SIM_INSTANCE].records.items[0].value.len);

    struct event ev = {.type = EVENT_COMMAND_COMPLETE,
                       .command = {.command = "c",
                                   .study = "1.2.840.113619.2.55.3.604688119.971."
                                            "1385554131.350"}};
    const struct sim_record *r = world_produce(&w, SIM_INSTANCE, &ev, -1);
    const struct decide_input in = {r->offset,          r->timestamp,        r->type,
                                    slice_of(r->study), slice_of(r->series), str_slice(&r->value)};
    struct arena *a = arena_new(0);
    struct err e;
    int64_t start = clock_mono_ns();
    if (decide_record(d, &config.snapshot, &in, a, &out, &e) != DECIDE_DONE)
        printf("close: %s\n", e.text);
    printf("decide close: %.3f ms for a series of %d\n",
           (double)(clock_mono_ns() - start) / 1e6 / SERIES, INSTANCES);
    decide_free(d);

    d = owner(&w);
    for (size_t i = 0; i < out.records.n; i++) {
        const struct decide_entry j = {(int64_t)i, out.records.items[i].type, false,
                                       str_slice(&out.records.items[i].value)};
        arena_reset(a);
        decide_journal(d, &j, a);
    }
    outputs_clear(&out);
    printf("decide replay of what is covered: %.0f instance records/s\n",
           replay(&w, d, &config, &out));
    decide_free(d);
    arena_free(a);
    outputs_free(&out);
    sim_config_free(&config);
    world_free(&w);
    return 0;
}
