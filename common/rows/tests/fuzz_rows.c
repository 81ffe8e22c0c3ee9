/* Any bytes: decode (strict, collecting, closed), peek; what was accepted is encoded and must be
 * accepted again. */
#include <stdint.h>
#include <stdlib.h>

#include "sample.h"

static void again(const struct sample *s)
{
    struct arena *a = arena_new(0);
    struct str first = STR_INIT, second = STR_INIT;
    struct sample back;
    struct err e = {0};
    rows_encode(&first, &sample_table, s, true);
    if (rows_check(&sample_table, s, &e) ||
        rows_decode(&back, &sample_table, str_cstr(&first), first.len, a, NULL, &e))
        abort();
    rows_encode(&second, &sample_table, &back, true);
    if (!slice_eq(str_slice(&first), str_slice(&second)))
        abort();
    str_free(&first);
    str_free(&second);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct arena *a = arena_new(1 << 20);
    struct rows_limits limits = {.depth = 12, .elements = 5000};
    struct row_table closed = sample_table;
    struct rows_error errors[3];
    struct sample s;
    struct slice found;
    struct err e = {0};
    bool ok = rows_decode(&s, &sample_table, text, size, a, &limits, &e) == 0;
    if (ok)
        again(&s);
    else if (!*e.text)
        abort();
    if (rows_peek(&found, text, size, "raw") == 0 && (found.p < text || found.n > size))
        abort();
    arena_reset(a);
    closed.closed = true;
    size_t n = rows_decode_all(&s, &closed, text, size, a, &limits, errors, 3);
    if (!ok && n == 0)
        abort();
    arena_free(a);
    return 0;
}
