/* Transfer syntaxes (PS3.5 §10, PS3.6 Annex A): what a reader must know to walk a dataset. Pure. */
#ifndef DICOM_SYNTAX_H
#define DICOM_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SYNTAX_IMPLICIT_LE "1.2.840.10008.1.2"
#define SYNTAX_EXPLICIT_LE "1.2.840.10008.1.2.1"
#define SYNTAX_DEFLATED_LE "1.2.840.10008.1.2.1.99"
#define SYNTAX_EXPLICIT_BE "1.2.840.10008.1.2.2"

struct syntax {
    const char *uid, *name;
    bool explicit_vr, big_endian, deflated, encapsulated;
};

/* Never NULL: an unknown (private, newer) syntax is explicit little endian, encapsulated. */
const struct syntax *syntax_find(const char *uid);
bool syntax_known(const char *uid);
/* Uncompressed: implicit LE, explicit LE, explicit BE (deflated counts as compressed). */
bool syntax_uncompressed(const char *uid);

#ifdef __cplusplus
}
#endif
#endif
