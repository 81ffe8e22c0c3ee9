/*
 * The PDU reader with reassembly and command codec on a stream from memory, as message.c drives
 * them. The first byte says in which portions the source gives the rest; pieces are compared with a
 * second run in other portions.
 */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "dimse/dimse_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const uint8_t *p;
    size_t n, step;
};

struct result {
    uint64_t sum, bytes;
    unsigned commands, datasets, parsed;
    enum pdu_kind end;
};

static ssize_t memory_read(void *arg, void *p, size_t n, struct err *e)
{
    struct memory *m = arg;
    size_t k = n < m->n ? n : m->n;

    (void)e;
    if (k > m->step)
        k = m->step;
    if (k > 0)
        memcpy(p, m->p, k);
    m->p += k;
    m->n -= k;
    return (ssize_t)k;
}

static struct result run(const uint8_t *data, size_t size, size_t step)
{
    struct memory m = {data, size, step};
    struct result r = {0};
    struct str command = STR_INIT;
    struct pdu_reader reader;
    struct pdu_piece piece;
    struct dimse_command c;

    pdu_init(&reader, memory_read, &m, DIMSE_PDU_MAX);
    while ((r.end = pdu_next(&reader, &piece, NULL)) == PDU_GOT_DATA) {
        for (size_t i = 0; i < piece.n; i++)
            r.sum = r.sum * 31 + piece.p[i];
        r.bytes += piece.n;
        if (!piece.command) {
            r.datasets += piece.last;
            continue;
        }
        if (command.len + piece.n > DIMSE_COMMAND_MAX)
            break;
        str_append(&command, piece.p, piece.n);
        if (piece.last) {
            r.commands++;
            r.parsed += command_parse(&c, (uint8_t *)str_cstr(&command), command.len, NULL) == 0;
            str_clear(&command);
        }
    }
    pdu_free(&reader);
    str_free(&command);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct result a = run(data + 1, size - 1, (size_t)data[0] + 1);
    struct result b = run(data + 1, size - 1, 1 << 20);

    if (a.end == PDU_GOT_DATA || b.end == PDU_GOT_DATA)
        return 0; /* a command set grew too long: where the run stops depends on the portions */
    assert(a.bytes <= size);
    assert(a.sum == b.sum && a.bytes == b.bytes && a.end == b.end);
    assert(a.commands == b.commands && a.datasets == b.datasets && a.parsed == b.parsed);
    return 0;
}
