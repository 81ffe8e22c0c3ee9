/*
 * Incremental header scanner (PS3.5 §7): walks the elements of a dataset as its bytes arrive, stops
 * at pixel data, keeps the values that were asked for. Iterative, bounded (dicom.md §4), allocates
 * nothing per element. Explicit and implicit VR, both byte orders, deflated (RFC 1951, capped).
 *
 * Tolerated, because devices do it: odd lengths, unordered tags (of a tag that comes twice the first
 * counts), needless delimiters, VRs that do not exist, trailing padding, and a dataset in the other
 * form of VR than its transfer syntax says (its first element tells).
 *
 * One scan belongs to one thread; reuse it for the next dataset with scan_start.
 */
#ifndef DICOM_SCAN_H
#define DICOM_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "dicom/syntax.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SCAN_DEPTH     64
#define SCAN_ELEMENTS  1000000
#define SCAN_PATH      8     /* longest wanted path, in tags */
#define SCAN_VALUE_MAX 16384 /* bytes kept of one value; longer ones are cut and flagged */

/* A wanted element: a top-level tag, or a path through first items: {0x00400275, 0x00400009}. */
struct scan_want {
    uint32_t path[SCAN_PATH];
    unsigned depth; /* 1 = top level */
};

struct scan_value {
    bool found, cut;
    char vr[3];             /* as encoded; in implicit VR from the small dictionary, else "UN" */
    bool big_endian;
    const char *bytes;      /* raw; valid until the next scan_start; a walked sequence has none */
    size_t n;
    const char *charset;    /* Specific Character Set in force at that place, raw; NULL = none */
    size_t charset_n;
};

enum scan_state {
    SCAN_MORE, /* give more bytes */
    SCAN_DONE, /* pixel data or the end: later bytes need not be fed (feeding them is harmless) */
    SCAN_BAD,  /* malformed: scan_reason says why, values found so far stand */
};

struct scan;

struct scan *scan_new(void);
void scan_free(struct scan *s);
/* wants must outlive the scan of this dataset. A plan is built of them; it is kept as long as the
 * next scan_start asks for the same, so one scan should serve one list. */
void scan_start(struct scan *s, const struct syntax *syntax, const struct scan_want *wants,
                size_t n);
enum scan_state scan_feed(struct scan *s, const void *p, size_t n);
/* The dataset has ended. SCAN_DONE, or SCAN_BAD when it ends inside an element. */
enum scan_state scan_finish(struct scan *s);
const struct scan_value *scan_get(const struct scan *s, size_t want);
const char *scan_reason(const struct scan *s); /* short, without data; "" if fine */

#ifdef __cplusplus
}
#endif
#endif
