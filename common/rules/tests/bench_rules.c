/* Nanoseconds per evaluation of a compiled rule of two clauses, and per compilation. */
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rules/rules.h"

/* As a tag map of an instance has: ~45 tags, looked up by name. */
static const char *const names[] = {
    "SpecificCharacterSet",
    "ImageType",
    "InstanceCreationDate",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "StudyTime",
    "AccessionNumber",
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "StudyDescription",
    "ManufacturerModelName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "BodyPartExamined",
    "KVP",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ProtocolName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Rows",
    "Columns",
    "SliceThickness",
    "SeriesDescription",
    "Modality",
};

static const char *get(void *arg, const char *name, bool any_case)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return i + 1 == ARRAY_LEN(names)   ? "CT"
                   : i + 2 == ARRAY_LEN(names) ? "AX T1 Brain MPR"
                                               : "1.5";
    for (size_t i = 0; any_case && i < ARRAY_LEN(names); i++)
        if (strcasecmp(names[i], name) == 0)
            return "1.5";
    return NULL;
}

static size_t count(void *arg)
{
    (void)arg;
    return ARRAY_LEN(names);
}

static void bench(const char *text)
{
    struct rule_program *p;
    struct err e;
    struct rule_tags tags = {get, count, NULL};
    const int rounds = 1000000, compilations = 20000;
    if (rules_compile(&p, text, &e) < 0) {
        printf("%s: %s\n", text, e.text);
        return;
    }
    struct arena *scratch = arena_new(0);
    int matches = 0;
    int64_t start = clock_mono_ns();
    for (int i = 0; i < rounds; i++) {
        arena_reset(scratch);
        matches += rules_eval(p, &tags, scratch, NULL, &e) == RULE_MATCH;
    }
    int64_t evaluated = clock_mono_ns();
    for (int i = 0; i < compilations; i++) {
        struct rule_program *again;
        if (rules_compile(&again, text, &e) == 0)
            rules_free(again);
    }
    int64_t compiled = clock_mono_ns();
    printf("%6.0f ns evaluate %7.0f ns compile %3d%% match  %s\n",
           (double)(evaluated - start) / rounds, (double)(compiled - evaluated) / compilations,
           matches / (rounds / 100), text);
    arena_free(scratch);
    rules_free(p);
}

int main(void)
{
    bench("tags.Modality == 'CT' and 'T1' in tags.SeriesDescription");
    bench("tags.Modality in ('MR', 'CT') and float(tags.SliceThickness) < 2");
    bench("tags.modality == 'CT' or tags.Missing == 'x'");
    bench("'t1' in tags.SeriesDescription.lower() and tags.SeriesDescription.split()[0] == 'AX'");
    return 0;
}
