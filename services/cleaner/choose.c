/* The cleaner's choices, pure. */
#include "cleaner/choose.h"

#include <string.h>

#include "base/id.h"

/* A topic's retention ends between two of its segments: the last day of it is not relied upon. */
#define RETENTION_MARGIN_MS (INT64_C(24) * 3600 * 1000)

enum choose_mode choose_mode(bool off_peak, bool pressure)
{
    if (pressure)
        return CHOOSE_ALL;
    return off_peak ? CHOOSE_DUE : CHOOSE_NOTHING;
}

int choose_used(uint64_t free_bytes, uint64_t total)
{
    if (total == 0 || free_bytes >= total)
        return 0;
    return (int)((double)(total - free_bytes) * 100.0 / (double)total);
}

bool choose_receipt(char out[CHOOSE_RECEIPT], const char *key)
{
    size_t n = strlen(key), tail = strlen(".0123456789abcdef.dcm");
    if (n <= tail || strcmp(key + n - 4, ".dcm") != 0 || key[n - tail] != '.')
        return false;
    memcpy(out, key + n - tail + 1, CHOOSE_RECEIPT - 1);
    out[CHOOSE_RECEIPT - 1] = '\0';
    return id_is_hex(out, CHOOSE_RECEIPT - 1);
}

enum choose_orphan choose_orphan(int64_t now, int64_t modified, int64_t young, int64_t retention)
{
    int64_t age = now - modified;
    if (age < young)
        return ORPHAN_YOUNG;
    return retention > 0 && age > retention - RETENTION_MARGIN_MS ? ORPHAN_EXPIRED
                                                                  : ORPHAN_ANNOUNCE;
}

int64_t choose_needed(int64_t low, int64_t high)
{
    return high > low ? high : 0;
}
