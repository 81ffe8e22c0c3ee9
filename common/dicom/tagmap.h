/*
 * The tag map of one instance: the ~55 values that rules and people use (mercure's 41, design.md §4
 * and configured extras), as UTF-8 text by keyword. Fed with the dataset's bytes as they arrive.
 *
 * A tagmap_set (which tags) is immutable and shared; a tagmap belongs to one thread and is reused.
 */
#ifndef DICOM_TAGMAP_H
#define DICOM_TAGMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "dicom/scan.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TAGMAP_MAX_BYTES 32768 /* all values of one instance; beyond: cut and flagged */

struct tagmap_set;
/* extras: keyword, "gggg,eeee", or nested "00400275.00400009"; the map's key is the text as given.
 * Unknown keyword or malformed tag: -1, ERR_REJECT. */
int tagmap_set_new(struct tagmap_set **out, const char *const *extras, size_t n,
                   struct err *e) MUST_CHECK;
void tagmap_set_free(struct tagmap_set *s);

struct tagmap;
struct tagmap *tagmap_new(const struct tagmap_set *s);
void tagmap_free(struct tagmap *m);

void tagmap_start(struct tagmap *m, const struct syntax *syntax);
enum scan_state tagmap_feed(struct tagmap *m, const void *p, size_t n);
/* Ends the dataset and converts: text without padding (CR, LF and quotes stay), binary numbers to
 * decimal, AT as (gggg,eeee); values joined by '\'. Present but empty is "". Sequences and bulk VRs
 * are absent, and UN of no known attribute unless it is printable. charset_fallback (of the source)
 * may be NULL. */
enum scan_state tagmap_finish(struct tagmap *m, const char *charset_fallback);

enum tagmap_uid { TAGMAP_STUDY, TAGMAP_SERIES, TAGMAP_SOP, TAGMAP_SOP_CLASS };
/* Trimmed of spaces and NULs; "" if absent. Valid until the next tagmap_start. */
const char *tagmap_uid(const struct tagmap *m, enum tagmap_uid which);

size_t tagmap_count(const struct tagmap *m); /* present tags */
void tagmap_at(const struct tagmap *m, size_t i, const char **keyword, const char **value);
const char *tagmap_get(const struct tagmap *m, const char *keyword); /* NULL if absent */
bool tagmap_cut(const struct tagmap *m);         /* flag tags-cut */
bool tagmap_undecodable(const struct tagmap *m); /* flag charset */
const char *tagmap_reason(const struct tagmap *m);

#ifdef __cplusplus
}
#endif
#endif
