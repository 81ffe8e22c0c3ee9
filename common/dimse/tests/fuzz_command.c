/* Command sets: whatever parses can be written and parses again to the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dimse/dimse_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dimse_command c, again;
    uint8_t bytes[DIMSE_COMMAND_BYTES];

    if (command_parse(&c, data, size, NULL))
        return 0;
    size_t n = command_encode(&c, bytes);
    assert(n <= sizeof bytes);
    if (command_parse(&again, bytes, n, NULL))
        abort();
    assert(again.field == c.field);
    assert(again.message_id == c.message_id);
    assert(again.has_dataset == c.has_dataset);
    assert(strcmp(again.sop_class, c.sop_class) == 0);
    assert(strcmp(again.sop, c.sop) == 0);
    return 0;
}
