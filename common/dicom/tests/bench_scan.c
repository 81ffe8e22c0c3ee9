/*
 * Nanoseconds per header: 268 elements in front of pixel data, two thirds of them private, as a CT
 * writes them. Walk only, the tag map's values kept, and the whole tag map with its texts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "build_dataset.h"
#include "dicom/tag.h"
#include "dicom/tagmap.h"

#define ELEMENTS 268
#define RUNS     7

static const char *const names[] = {
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "SpecificCharacterSet",
    "Modality",
    "BodyPartExamined",
    "ProtocolName",
    "StationAETitle",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyDescription",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SeriesNumber",
    "StudyDate",
    "StudyTime",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "StationName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "SliceThickness",
    "InstanceNumber",
    "AcquisitionNumber",
    "InstitutionName",
    "ImageType",
    "Rows",
    "Columns",
    "ContrastBolusAgent",
};

static bool is_name(uint32_t tag)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (tag_by_keyword(names[i])->tag == tag)
            return true;
    }
    return false;
}

static const char *text_of(const struct tag *t)
{
    if (!strcmp(t->vr, "UI"))
        return "1.2.840.113619.2.55.3.604688119.971.1364.1";
    if (!strcmp(t->vr, "DA"))
        return "20260412";
    if (t->tag == 0x00080005)
        return "ISO_IR 100";
    return "some text";
}

/* ~88 public attributes from the dictionary in order, and private blocks between them. */
static size_t build(struct str *b, const struct syntax *x)
{
    size_t n = 0, publics = 0, privates = 0;
    for (uint32_t tag = 0x00080000; tag < 0x00290000; tag++) {
        const struct tag *t = tag_find(tag);
        uint32_t group = tag >> 16;
        bool private = group % 2 && group < 0x0029 && (tag & 0xffff) >= 0x1001 &&
                       (tag & 0xffff) < 0x1001 + 180 / 11 + 1 && privates < 180;
        if (private) {
            put_text(b, x, tag, tag % 3 ? "LO" : "UN", "private value");
            privates++, n++;
        } else if (t && strcmp(t->vr, "SQ") && (is_name(tag) || (publics < 50 && tag % 4 == 0))) {
            publics += !is_name(tag);
            if (!strcmp(t->vr, "US"))
                put_bytes(b, x, tag, "US", "\0\2", 2);
            else
                put_text(b, x, tag, t->vr, text_of(t));
            n++;
        }
    }
    while (n < ELEMENTS) {
        put_text(b, x, 0x00431000 + (uint32_t)n, "LO", "private value");
        n++;
    }
    put_head(b, x, 0x7fe00010, "OW", 512 * 512 * 2);
    str_append(b, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    return n;
}

struct work {
    const struct syntax *syntax;
    struct str bytes;
    struct scan *scan;
    struct tagmap *map;
    const struct scan_want *wants;
    size_t n_wants, piece;
};

static void scan_only(struct work *w)
{
    scan_start(w->scan, w->syntax, w->wants, w->n_wants);
    for (size_t at = 0; at < w->bytes.len; at += w->piece)
        scan_feed(w->scan, w->bytes.data + at,
                  w->bytes.len - at < w->piece ? w->bytes.len - at : w->piece);
    if (scan_finish(w->scan) != SCAN_DONE)
        abort();
}

static void whole_map(struct work *w)
{
    tagmap_start(w->map, w->syntax);
    tagmap_feed(w->map, w->bytes.data, w->bytes.len);
    if (tagmap_finish(w->map, NULL) != SCAN_DONE || tagmap_count(w->map) < 35)
        abort();
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, void (*run)(struct work *), struct work *w)
{
    double ns[RUNS];
    const int loops = 20000;
    for (int r = 0; r < RUNS; r++) {
        int64_t start = clock_mono_ns();
        for (int i = 0; i < loops; i++)
            run(w);
        ns[r] = (double)(clock_mono_ns() - start) / loops;
    }
    qsort(ns, RUNS, sizeof ns[0], by_value);
    printf("%-44s %7.0f ns per header (%.0f to %.0f)\n", what, ns[RUNS / 2], ns[0], ns[RUNS - 1]);
}

int main(void)
{
    struct err e = {0};
    struct tagmap_set *set = NULL;
    if (tagmap_set_new(&set, NULL, 0, &e))
        return 1;
    struct scan_want wants[64];
    size_t n = 0;
    for (; n < ARRAY_LEN(names); n++)
        wants[n] = (struct scan_want){.path = {tag_by_keyword(names[n])->tag}, .depth = 1};
    const char *const uids[] = {SYNTAX_EXPLICIT_LE, SYNTAX_IMPLICIT_LE};
    for (size_t i = 0; i < ARRAY_LEN(uids); i++) {
        struct work w = {.syntax = syntax_find(uids[i]), .scan = scan_new()};
        w.map = tagmap_new(set);
        size_t elements = build(&w.bytes, w.syntax);
        printf("%s: %zu elements, %zu bytes\n", w.syntax->name, elements, w.bytes.len);
        w.piece = w.bytes.len;
        measure("walk, nothing wanted", scan_only, &w);
        w.wants = wants;
        w.n_wants = n;
        measure("walk, 38 values kept", scan_only, &w);
        w.piece = 1400;
        measure("walk, 38 values kept, pieces of 1,400 bytes", scan_only, &w);
        measure("tag map with texts", whole_map, &w);
        scan_free(w.scan);
        tagmap_free(w.map);
        str_free(&w.bytes);
    }
    tagmap_set_free(set);
    return 0;
}
