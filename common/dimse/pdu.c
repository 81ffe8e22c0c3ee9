/*
 * The PDU reader of state 6: P-DATA-TF, A-RELEASE-RQ/RP, A-ABORT, nothing else. Data come out in
 * pieces as they lie in the buffer, so a PDU need not be in memory whole; each PDV is checked
 * against the end of its PDU before a byte of it is used.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "dimse/dimse_priv.h"

#define BUFFER_SMALL 16384
#define BUFFER_LARGE 131072

void pdu_init(struct pdu_reader *r, pdu_source read, void *arg, uint32_t max)
{
    *r = (struct pdu_reader){.read = read, .arg = arg, .max = max};
}

/* The large buffer is mapped, so that giving it back gives it back: freed into a heap between the
 * small things of other associations it would stay resident. */
static void free_buffer(struct pdu_reader *r)
{
    if (r->cap == BUFFER_LARGE)
        (void)munmap(r->buf, BUFFER_LARGE);
    else
        mem_free(r->buf);
    r->buf = NULL;
    r->cap = r->start = r->end = 0;
}

static void grow(struct pdu_reader *r)
{
    void *large;

    if (!r->buf) {
        r->buf = mem_alloc(BUFFER_SMALL);
        r->cap = BUFFER_SMALL;
        return;
    }
    large = mmap(NULL, BUFFER_LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (large == MAP_FAILED)
        return; /* the small one does as well, slower */
    memcpy(large, r->buf, r->end);
    mem_free(r->buf);
    r->buf = large;
    r->cap = BUFFER_LARGE;
}

void pdu_shrink(struct pdu_reader *r)
{
    if (r->start == r->end)
        free_buffer(r);
}

void pdu_free(struct pdu_reader *r)
{
    free_buffer(r);
}

bool pdu_buffered(const struct pdu_reader *r)
{
    return r->end > r->start;
}

/* One read of the source into the free part of the buffer. */
static enum pdu_kind fill(struct pdu_reader *r, struct err *e)
{
    bool filled = r->cap > 0 && r->end == r->cap;

    if (r->start > 0) {
        memmove(r->buf, r->buf + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (!r->buf || (filled && r->cap < BUFFER_LARGE))
        grow(r);
    ssize_t got = r->read(r->arg, r->buf + r->end, r->cap - r->end, e);
    if (got < 0)
        return PDU_GOT_FAILED;
    if (got == 0)
        return PDU_GOT_END;
    r->end += (size_t)got;
    return PDU_GOT_DATA;
}

/* At least n (≤ 10) bytes at start. */
static enum pdu_kind need(struct pdu_reader *r, size_t n, struct err *e)
{
    while (r->end - r->start < n) {
        enum pdu_kind k = fill(r, e);

        if (k != PDU_GOT_DATA)
            return k;
    }
    return PDU_GOT_DATA;
}

static enum pdu_kind broken(struct pdu_piece *out, uint8_t reason, struct err *e, const char *what)
{
    out->reason = reason;
    (void)err_set(e, ERR_REJECT, 0, "peer broke the protocol: %s", what);
    return PDU_GOT_BROKEN;
}

/* A-RELEASE-RQ, A-RELEASE-RP and A-ABORT: four bytes of body. */
static enum pdu_kind control(struct pdu_reader *r, uint8_t type, uint32_t length,
                             struct pdu_piece *out, struct err *e)
{
    if (length != 4)
        return broken(out, ABORT_BAD_PARAMETER, e, "length of a release or abort PDU");
    enum pdu_kind k = need(r, 10, e);
    if (k != PDU_GOT_DATA)
        return k;
    out->reason = r->buf[r->start + 9];
    r->start += 10;
    return type == PDU_RELEASE_RQ   ? PDU_GOT_RELEASE_RQ
           : type == PDU_RELEASE_RP ? PDU_GOT_RELEASE_RP
                                    : PDU_GOT_ABORT;
}

/* PDU_GOT_DATA: a P-DATA-TF was opened. */
static enum pdu_kind open_pdu(struct pdu_reader *r, struct pdu_piece *out, struct err *e)
{
    enum pdu_kind k = need(r, 6, e);
    if (k != PDU_GOT_DATA)
        return k;
    uint8_t type = r->buf[r->start];
    uint32_t length = get_be32(r->buf + r->start + 2);

    if (type >= PDU_RELEASE_RQ && type <= PDU_ABORT)
        return control(r, type, length, out, e);
    if (type >= PDU_ASSOCIATE_RQ && type <= PDU_ASSOCIATE_RJ)
        return broken(out, ABORT_UNEXPECTED, e, "A-ASSOCIATE on an open association");
    if (type != PDU_P_DATA)
        return broken(out, ABORT_UNRECOGNIZED, e, "unknown PDU type");
    if (length > r->max)
        return broken(out, ABORT_BAD_PARAMETER, e, "PDU longer than announced");
    if (length < 6)
        return broken(out, ABORT_BAD_PARAMETER, e, "P-DATA-TF without a PDV");
    r->start += 6;
    r->pdu_left = length;
    return PDU_GOT_DATA;
}

static enum pdu_kind open_pdv(struct pdu_reader *r, struct pdu_piece *out, struct err *e)
{
    if (r->pdu_left < 6)
        return broken(out, ABORT_BAD_PARAMETER, e, "bytes after the last PDV");
    enum pdu_kind k = need(r, 6, e);
    if (k != PDU_GOT_DATA)
        return k;
    uint32_t length = get_be32(r->buf + r->start);

    if (length < 2 || length > r->pdu_left - 4)
        return broken(out, ABORT_BAD_PARAMETER, e, "PDV length beyond its PDU");
    r->context = r->buf[r->start + 4];
    r->flags = r->buf[r->start + 5];
    r->start += 6;
    r->pdu_left -= 6;
    r->pdv_left = length - 2;
    r->in_pdv = true;
    return PDU_GOT_DATA;
}

enum pdu_kind pdu_next(struct pdu_reader *r, struct pdu_piece *out, struct err *e)
{
    enum pdu_kind k = PDU_GOT_DATA;

    *out = (struct pdu_piece){0};
    if (!r->in_pdv && r->pdu_left == 0)
        k = open_pdu(r, out, e);
    if (k == PDU_GOT_DATA && !r->in_pdv)
        k = open_pdv(r, out, e);
    if (k == PDU_GOT_DATA && r->pdv_left > 0)
        k = need(r, 1, e);
    if (k != PDU_GOT_DATA)
        return k;

    size_t n = r->end - r->start;
    if (n > r->pdv_left)
        n = r->pdv_left;
    out->context = r->context;
    out->command = r->flags & 1;
    out->p = r->buf + r->start;
    out->n = n;
    r->start += n;
    r->pdu_left -= (uint32_t)n;
    r->pdv_left -= (uint32_t)n;
    r->in_pdv = r->pdv_left > 0;
    out->last = !r->in_pdv && (r->flags & 2);
    return PDU_GOT_DATA;
}
