/* A table with every row type, for the tests and the fuzz target of rows. */
#ifndef ROWS_TESTS_SAMPLE_H
#define ROWS_TESTS_SAMPLE_H

#include <string.h>

#include "rows/rows.h"

enum colour { RED, DARK_GREEN, BLUE };

struct part {
    const char *name;
    int64_t weight;
};

struct sample {
    const char *text, *secret, *checked;
    int64_t count, port;
    double ratio;
    bool on, off;
    int colour;
    struct row_strings list, words;
    struct row_pairs pairs;
    struct slice raw;
    struct part part, *option;
    struct row_list parts, map;
};

static int sample_check(const char *value, struct err *e)
{
    return strcmp(value, "bad") ? 0 : err_set(e, ERR_REJECT, 0, "must not be bad");
}

static const char *const colour_names[] = {"red", "dark-green", "blue", NULL};

static const struct row part_rows[] = {
    {"name", ROW_STRING, ROW(part, name), .flags = ROW_REQUIRED, .max = 8, .help = "Its name."},
    {"weight", ROW_INT, ROW(part, weight), .unit = "grams"},
};
static const struct row_table part_table = {"part", sizeof(struct part), part_rows, 2};

static const struct row entry_rows[] = {
    {"name", ROW_STRING, ROW(part, name), .flags = ROW_NAME | ROW_REQUIRED, .max = 8},
    {"weight", ROW_INT, ROW(part, weight), .def = "7"},
};
static const struct row_table entry_table = {"entry", sizeof(struct part), entry_rows, 2};

static const struct row sample_rows[] = {
    {"text", ROW_STRING, ROW(sample, text), .help = "Any | text."},
    {"secret", ROW_STRING, ROW(sample, secret), .flags = ROW_SECRET},
    {"checked", ROW_STRING, ROW(sample, checked), .check = sample_check, .def = "good"},
    {"count", ROW_INT, ROW(sample, count)},
    {"port", ROW_INT, ROW(sample, port), .def = "104", .min = 1, .max = 65535, .flags = ROW_ALWAYS},
    {"ratio", ROW_NUMBER, ROW(sample, ratio), .def = "0.5"},
    {"on", ROW_BOOL, ROW(sample, on), .def = "true"},
    {"off", ROW_BOOL, ROW(sample, off)},
    {"colour", ROW_ENUM, ROW(sample, colour), .names = colour_names, .def = "dark-green"},
    {"list", ROW_STRINGS, ROW(sample, list), .max = 20},
    {"words", ROW_STRINGS, ROW(sample, words), .def = "one, two"},
    {"pairs", ROW_PAIRS, ROW(sample, pairs)},
    {"raw", ROW_RAW, ROW(sample, raw)},
    {"part", ROW_OBJECT, ROW(sample, part), .of = &part_table},
    {"option", ROW_OPTION, ROW(sample, option), .of = &part_table},
    {"parts", ROW_LIST, ROW(sample, parts), .of = &part_table},
    {"map", ROW_MAP, ROW(sample, map), .of = &entry_table},
};
static const struct row_table sample_table = {"sample", sizeof(struct sample), sample_rows,
                                              sizeof sample_rows / sizeof sample_rows[0],
                                              .help = "All row types."};

#endif
