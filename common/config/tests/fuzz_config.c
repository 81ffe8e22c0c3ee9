/* Any text as a configuration document: refused with pointers, or a snapshot that matches senders.
 */
#include "config/config.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_snapshot *s = NULL;
    struct rows_error errors[4] = {{NULL, NULL}};
    struct arena *scratch = arena_new(0);
    struct config_sender sender = {"CT1", "TALARIA", "10.1.2.3", "ab", "CN=ct"};
    size_t n = config_load(&s, (const char *)data, size, "1-000000000000", scratch, errors, 4);
    if ((n == 0) != (s != NULL) ||
        (n > 0 && (errors[0].pointer == NULL || errors[0].reason == NULL)))
        __builtin_trap();
    if (s != NULL) {
        enum config_mismatch why;
        if ((config_match_source(s, &sender, &why) == NULL) != (why != MISMATCH_NONE))
            __builtin_trap();
    }
    config_free(s);
    arena_free(scratch);
    return 0;
}
