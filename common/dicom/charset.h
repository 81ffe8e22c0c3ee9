/*
 * Text of a dataset to UTF-8 (PS3.3 C.12.1.1.2, PS3.5 §6.1): ISO 8859-x, TIS 620, JIS X 0201,
 * ISO 2022 IR 13/87/159 (Japanese), IR 149 (Korean), IR 58, GB18030, GBK, UTF-8. Undecodable bytes
 * become U+FFFD and the result says so. One thread per call; no state is kept.
 */
#ifndef DICOM_CHARSET_H
#define DICOM_CHARSET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

/* vr decides whether the charset applies (SH LO ST LT UC UT PN) or the value is plain ASCII.
 * charset is the raw value of (0008,0005) with '\' between values; empty: fallback, then ASCII.
 * Appends to out; padding is trimmed, CR/LF kept. Returns false if something was not decodable. */
bool charset_utf8(struct str *out, const char *vr, struct slice value, struct slice charset,
                  const char *fallback);
/* Does this (single) defined term exist? For settings and documents. */
bool charset_known(const char *term);

#ifdef __cplusplus
}
#endif
#endif
