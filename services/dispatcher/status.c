/* Status classes, one row per range. */
#include "dispatcher/status.h"

#include <stddef.h>

struct range {
    uint16_t first, last;
    enum status_class class;
    const char *text;
};

static const struct range ranges[] = {
    {0x0000, 0x0000, STATUS_STORED, "0000 success"},
    {0x0001, 0x0001, STATUS_STORED, "0001 warning: attribute list"},
    {0x0107, 0x0107, STATUS_STORED, "0107 warning: attribute list"},
    {0x0116, 0x0116, STATUS_STORED, "0116 warning: attribute value out of range"},
    {0x0110, 0x0110, STATUS_ONCE_MORE, "0110 processing failure"},
    {0x0111, 0x0111, STATUS_ONCE_MORE, "0111 duplicate SOP instance"},
    {0x0117, 0x0117, STATUS_NEVER, "0117 invalid SOP instance"},
    {0x0122, 0x0122, STATUS_NEVER, "0122 SOP class not supported"},
    {0x0124, 0x0124, STATUS_NEVER, "0124 not authorised"},
    {0x0210, 0x0210, STATUS_ONCE_MORE, "0210 duplicate invocation"},
    {0x0211, 0x0211, STATUS_NEVER, "0211 unrecognised operation"},
    {0x0212, 0x0212, STATUS_NEVER, "0212 mistyped argument"},
    {0xA700, 0xA7FF, STATUS_TRY_LATER, "A7xx out of resources"},
    {0xA900, 0xA9FF, STATUS_NEVER, "A9xx dataset does not match SOP class"},
    {0xB000, 0xBFFF, STATUS_STORED, "Bxxx warning: stored with changes"},
    {0xC000, 0xCFFF, STATUS_NEVER, "Cxxx cannot understand"},
};

static const struct range *find(uint16_t status)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (status >= ranges[i].first && status <= ranges[i].last)
            return &ranges[i];
    return NULL;
}

enum status_class status_class(uint16_t status)
{
    const struct range *r = find(status);
    return r ? r->class : STATUS_NEVER;
}

const char *status_text(uint16_t status)
{
    const struct range *r = find(status);
    return r ? r->text : "unknown failure status";
}
