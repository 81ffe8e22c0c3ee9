/*
 * A-ASSOCIATE PDUs. First byte even: a request; what the guard lets through DCMTK must parse, and
 * its contexts must be readable and answerable. Odd: an answer to a request of three contexts.
 * Without bit 7 the PDU's own length is put right first.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dimse/dimse_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const uint8_t *p, size_t n)
{
    struct associate_request asked;
    struct negotiation *g = NULL;
    struct dimse_peer peer = {0};
    struct dimse_context contexts[DIMSE_CONTEXTS] = {0};
    uint8_t refusals[DIMSE_CONTEXTS] = {0};
    struct str ac = STR_INIT;
    struct arena *arena;
    struct err e = {0};
    uint32_t max;

    if (associate_check(p, n, &asked, &e) != ASSOCIATE_OK)
        return;
    if (negotiate_read(&g, p, n, &peer, &max, &e))
        abort();
    arena = arena_new(0);
    assert(negotiate_contexts(g) >= 1 && negotiate_contexts(g) <= DIMSE_CONTEXTS);
    for (unsigned i = 0; i < negotiate_contexts(g); i++) {
        negotiate_context(g, i, arena, &contexts[i]);
        assert(contexts[i].n_syntaxes >= 1 && contexts[i].n_syntaxes <= DIMSE_KEPT_SYNTAXES);
        refusals[i] = 3;
        if (i % 2 == 0)
            contexts[i].accepted = contexts[i].syntaxes[0];
    }
    if (negotiate_answer(g, contexts, refusals, &ac, &e) || associate_finish_ac(&ac, p, 8, &e))
        abort();
    assert(get_be32((uint8_t *)ac.data + 2) == ac.len - 6);
    str_free(&ac);
    arena_free(arena);
    negotiate_free(g);
}

static void answer(const uint8_t *p, size_t n)
{
    static const char *syntaxes[] = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"};
    struct dimse_context contexts[3] = {
        {.id = 1, .n_syntaxes = 2, .syntaxes = syntaxes},
        {.id = 3, .n_syntaxes = 1, .syntaxes = syntaxes},
        {.id = 5, .n_syntaxes = 2, .syntaxes = syntaxes},
    };
    struct associate_answer out;

    if (associate_read_ac(p, n, contexts, 3, &out, NULL) == 0)
        assert(out.window >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ready;

    if (!ready) {
        dimse_setup();
        ready = 1;
    }
    if (size < 1 || size > DIMSE_ASSOCIATE_MAX)
        return 0;
    /* exact copies: a read past the end is seen */
    uint8_t *exact = mem_dup(data + 1, size - 1);
    if (size > 7 && !(data[0] & 0x80)) /* or hardly any input would get past the PDU's length */
        put_be32(exact + 2, (uint32_t)(size - 7));
    if (data[0] % 2)
        answer(exact, size - 1);
    else
        request(exact, size - 1);
    mem_free(exact);
    return 0;
}
