/* Manifests (formats.md): what one decision or result covers. JSON object in the store. */
#ifndef EVENT_MANIFEST_H
#define EVENT_MANIFEST_H

#include "rows/rows.h"

#ifdef __cplusplus
extern "C" {
#endif

enum manifest_kind { MANIFEST_INSTANCE, MANIFEST_FILE };

struct manifest_member {
    int kind;
    const char *receipt, *key, *sha256;
    int64_t size;
    const char *sop, *sop_class, *syntax;
    const char *calling_ae, *called_ae;
    const char *name; /* kind file: path under out/ */
};
/* Same content as member `of` (duplicate), or older content of its SOP UID (superseded). */
struct manifest_shadow {
    const char *receipt, *key, *sop;
    int64_t size;
    int64_t of; /* position of the member that stands for it */
};
struct manifest {
    const char *decision;
    struct row_list members;    /* of struct manifest_member; position = index */
    struct row_list duplicate;  /* of struct manifest_shadow */
    struct row_list superseded; /* of struct manifest_shadow */
    struct row_strings parts;   /* keys of manifests (studies, unions): then members is empty */
};

extern const struct row_table manifest_table;
#define MANIFEST_MAX (64 * 1024 * 1024)

/* manifests/<hh>/<study>/<series or ->/<decision>.<claim>.json; UIDs made path-safe. */
void manifest_key(struct str *out, const char *study, const char *series, const char *decision,
                  int64_t claim);

#ifdef __cplusplus
}
#endif
#endif
