/* UIDs (PS3.5 §9) and the classes of SOP class that this system tells apart. Pure. */
#ifndef DICOM_UID_H
#define DICOM_UID_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UID_MAX 64
#define UID_VERIFICATION "1.2.840.10008.1.1"

/* [0-9.]{1,64} and not only dots: what may become part of a path (formats.md). */
bool uid_safe(const char *p, size_t n);
/* A known non-storage abstract syntax (query/retrieve, MPPS, MWL, commitment, print, UPS …). Private
 * and unknown UIDs are storage: any SOP class is taken. */
bool uid_known_non_storage(const char *uid);

#ifdef __cplusplus
}
#endif
#endif
