/*
 * DICOM files (PS3.10 §7.1): our preamble and File Meta Information before dataset bytes as received,
 * and the bounded reader of any file's meta. The private information carries the receipt, so that
 * the record can be rebuilt from the object (formats.md).
 */
#ifndef DICOM_PART10_H
#define DICOM_PART10_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

/* (0002,0100) Private Information Creator UID of our private information. */
#define PART10_PRIVATE_CREATOR "2.25.309129846253611845160713405632117209145"
#define PART10_IMPLEMENTATION_UID "2.25.309129846253611845160713405632117209146"

struct part10_meta {
    const char *sop_class, *sop, *syntax;
    const char *calling_ae, *called_ae; /* (0002,0017) sending, (0002,0018) receiving AE title */
    const char *private_json;           /* (0002,0102), UTF-8 JSON text; NULL = none */
};

/* Appends 128 zero bytes, "DICM" and the meta group, even-padded, with its group length. */
void part10_write(struct str *out, const struct part10_meta *m);

struct part10_read {
    char sop_class[65], sop[65], syntax[65], calling_ae[17], called_ae[17];
    struct slice private_json; /* into the given buffer; only if the creator is ours */
    size_t dataset;            /* offset of the first dataset byte */
    int without_meta;          /* no preamble or meta: syntax was guessed from the first element */
};
/* Reads from the first bytes of a file (give ≥ 64 KB or the whole file). -1: not DICOM. */
int part10_parse(struct part10_read *out, const void *p, size_t n, struct err *e) MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
