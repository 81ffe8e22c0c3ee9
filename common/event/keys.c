/* Object keys. Whatever comes from a dataset is made safe for a path first. */
#include "event/keys.h"

#include <inttypes.h>

#include "base/hash.h"
#include "base/mem.h"
#include "event/manifest.h"

static bool is_uid(const char *uid)
{
    size_t n = strspn(uid, "0123456789.");
    return n >= 1 && n <= 64 && uid[n] == '\0' && strcmp(uid, ".") != 0 && strcmp(uid, "..") != 0;
}

/* Our own ids: receipts, decisions. They are hex or UUIDs unless a record is forged. */
static bool is_id(const char *id)
{
    size_t n = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    return n >= 1 && n <= 64 && id[n] == '\0';
}

static int hashed(char out[KEYS_UID], const char *text)
{
    char hex[HASH_ID_HEX];
    const struct slice parts[] = {SLICE("uid"), slice_of(text)};
    hash_id(hex, parts, 2);
    out[0] = 'x';
    memcpy(out + 1, hex, sizeof hex);
    return 1;
}

int keys_uid(char out[KEYS_UID], const char *uid)
{
    if (!uid || !is_uid(uid))
        return hashed(out, uid);
    memcpy(out, uid, strlen(uid) + 1);
    return 0;
}

static void keys_id(char out[KEYS_UID], const char *id)
{
    if (!id || !is_id(id))
        (void)hashed(out, id); /* only of a forged record: there is nobody to flag it to */
    else
        memcpy(out, id, strlen(id) + 1);
}

/* First byte of SHA-256 of the study as it stands in the record: spreads folders evenly. */
static void put_study(struct str *out, const char *folder, const char *study)
{
    uint8_t digest[32];
    hash_sha256_raw(digest, study ? study : "", study ? strlen(study) : 0);
    str_printf(out, "%s/%02x/", folder, digest[0]);
}

int keys_instance(struct str *out, const char *study, const char *series, const char *sop,
                  const char *receipt)
{
    char uids[3][KEYS_UID], id[KEYS_UID];
    int flagged = keys_uid(uids[0], study) | keys_uid(uids[1], series) | keys_uid(uids[2], sop);
    keys_id(id, receipt);
    put_study(out, "instances", study);
    str_printf(out, "%s/%s/%s.%s.dcm", uids[0], uids[1], uids[2], id);
    return flagged;
}

void keys_outbox(struct str *out, const char *receipt)
{
    char id[KEYS_UID];
    keys_id(id, receipt);
    str_printf(out, "outbox/%s.json", id);
}

void keys_config(struct str *out, const char *sha256)
{
    char id[KEYS_UID];
    keys_id(id, sha256);
    str_printf(out, "config/%s.json", id);
}

void manifest_key(struct str *out, const char *study, const char *series, const char *decision,
                  int64_t claim)
{
    char uids[2][KEYS_UID] = {"", "-"}, id[KEYS_UID];
    (void)keys_uid(uids[0], study); /* the receipt is flagged, its manifest need not be */
    if (series)
        (void)keys_uid(uids[1], series);
    keys_id(id, decision);
    put_study(out, "manifests", study);
    str_printf(out, "%s/%s/%s.%" PRId64 ".json", uids[0], uids[1], id, claim);
}
