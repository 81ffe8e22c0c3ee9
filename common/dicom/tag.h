/*
 * The small data dictionary: keyword, tag and VR of the attributes that rules, pages and configured
 * extra tags may name, and of nothing more (PS3.6 has thousands). Pure.
 */
#ifndef DICOM_TAG_H
#define DICOM_TAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tag {
    uint32_t tag; /* 0xggggeeee */
    char vr[3];
    const char *keyword;
};

const struct tag *tag_by_keyword(const char *keyword); /* NULL: unknown; case matters */
const struct tag *tag_find(uint32_t tag);              /* NULL: unknown */
const char *tag_vr(uint32_t tag);                      /* "UN" if unknown */

#ifdef __cplusplus
}
#endif
#endif
