/*
 * Any bytes as a dataset. Byte 0 chooses the syntax, byte 1 how the rest is cut into pieces; the
 * result must be the same as in one piece, and the texts of the tag map valid UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/tagmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct scan_want wants[] = {
    {{0x00080005}, 1},
    {{0x00080018}, 1},
    {{0x00100010}, 1},
    {{0x00280010}, 1},
    {{0x00400275, 0x00400009}, 2},
    {{0x00400275, 0x00400008, 0x00080104}, 3},
    {{0x00400275}, 1},
    {{0x00091002}, 1},
};
static const char *const extras[] = {"0009,1002", "00400275.00400009", "DiffusionBValue",
                                     "0028,0009", "0018,9076"};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void same_results(const struct scan *a, const struct scan *b)
{
    check(!strcmp(scan_reason(a), scan_reason(b)));
    for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
        const struct scan_value *x = scan_get(a, i), *y = scan_get(b, i);
        check(x->found == y->found);
        if (!x->found)
            continue;
        check(x->n == y->n && x->cut == y->cut && !memcmp(x->vr, y->vr, 3));
        check(x->n == 0 || !memcmp(x->bytes, y->bytes, x->n));
        check(x->charset_n == y->charset_n);
        check(x->charset_n == 0 || !memcmp(x->charset, y->charset, x->charset_n));
    }
}

static void feed_pieces(struct scan *s, const uint8_t *p, size_t n, unsigned seed)
{
    while (n) {
        seed = seed * 1103515245u + 12345u;
        size_t piece = 1 + (seed >> 16) % (seed & 1 ? 3 : 40);
        piece = piece < n ? piece : n;
        uint8_t *exact = mem_dup(p, piece);
        scan_feed(s, exact, piece);
        mem_free(exact);
        p += piece;
        n -= piece;
    }
}

static void run_map(struct tagmap *m, const struct syntax *x, const uint8_t *p, size_t n)
{
    size_t sum = 0;
    tagmap_start(m, x);
    tagmap_feed(m, p, n);
    tagmap_finish(m, n % 2 ? "ISO_IR 100" : NULL);
    for (size_t i = 0; i < tagmap_count(m); i++) {
        const char *key, *value;
        tagmap_at(m, i, &key, &value);
        sum += strlen(value);
        check(utf8_valid_prefix(value, strlen(value)) == strlen(value));
    }
    check(sum <= TAGMAP_MAX_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const uids[] = {SYNTAX_EXPLICIT_LE, SYNTAX_IMPLICIT_LE, SYNTAX_EXPLICIT_BE,
                                       SYNTAX_DEFLATED_LE};
    static struct scan *whole, *pieces;
    static struct tagmap_set *set;
    static struct tagmap *map;
    if (!whole) {
        struct err e;
        whole = scan_new();
        pieces = scan_new();
        check(tagmap_set_new(&set, extras, ARRAY_LEN(extras), &e) == 0);
        map = tagmap_new(set);
    }
    if (size < 2)
        return 0;
    const struct syntax *x = syntax_find(uids[data[0] % ARRAY_LEN(uids)]);
    scan_start(whole, x, wants, ARRAY_LEN(wants));
    scan_start(pieces, x, wants, ARRAY_LEN(wants));
    scan_feed(whole, data + 2, size - 2);
    feed_pieces(pieces, data + 2, size - 2, data[1]);
    check(scan_finish(whole) == scan_finish(pieces));
    same_results(whole, pieces);
    run_map(map, x, data + 2, size - 2);
    return 0;
}
