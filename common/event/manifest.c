/* The table of a manifest. */
#include "event/manifest.h"

#include "event_priv.h"

#include "base/mem.h"

static const char *const kinds[] = {"instance", "file", NULL};

static const struct row member_rows[] = {
    {"kind", ROW_ENUM, ROW(manifest_member, kind), .names = kinds},
    TEXT(manifest_member, "receipt", receipt),
    ID(manifest_member, "key", key),
    POSITION(manifest_member, "size", size),
    TEXT(manifest_member, "sha256", sha256),
    TEXT(manifest_member, "sop", sop),
    TEXT(manifest_member, "sopClass", sop_class),
    TEXT(manifest_member, "syntax", syntax),
    TEXT(manifest_member, "callingAe", calling_ae),
    TEXT(manifest_member, "calledAe", called_ae),
    {"name", ROW_STRING, ROW(manifest_member, name), .help = "Of a file: its path under out/."},
};
static PART(part_member, "member", manifest_member, member_rows);

static const struct row shadow_rows[] = {
    ID(manifest_shadow, "receipt", receipt),
    TEXT(manifest_shadow, "key", key),
    TEXT(manifest_shadow, "sop", sop),
    NUMBER(manifest_shadow, "size", size),
    {"of", ROW_INT, ROW(manifest_shadow, of), ROW_REQUIRED, .min = 0, .max = INT64_MAX,
     .help = "Position of the member that stands for it."},
};
static PART(part_shadow, "shadow", manifest_shadow, shadow_rows);

static const struct row manifest_rows[] = {
    ID(manifest, "decision", decision),
    LIST(manifest, "members", members, part_member),
    LIST(manifest, "duplicate", duplicate, part_shadow),
    LIST(manifest, "superseded", superseded, part_shadow),
    {"parts", ROW_STRINGS, ROW(manifest, parts),
     .help = "Keys of manifests (studies, unions); then members is empty."},
};
PART(manifest_table, "manifest", manifest, manifest_rows);
