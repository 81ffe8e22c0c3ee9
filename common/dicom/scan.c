/*
 * The walk over a dataset's elements: one loop, an explicit stack of open sequences and items, no
 * allocation per element. Values that nobody wants are only counted. Deflated data go through zlib
 * in 32 KB pieces. What to do with the values is left to tagmap.
 */
#include "dicom/scan.h"

#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "dicom/scan_priv.h"

#define STORE_BYTES   65536 /* all kept values of one dataset */
#define CHARSET_BYTES 512
#define INFLATE_CHUNK 32768
#define INFLATE_MAX   (64u << 20) /* header bytes before pixel data */
#define INFLATE_RATIO 100         /* above INFLATE_FREE */
#define INFLATE_FREE  (1u << 20)
#define UNDEFINED     0xffffffffu
#define NO_END        UINT64_MAX
#define TAG_ITEM      0xfffee000u
#define TAG_ITEM_END  0xfffee00du
#define TAG_SEQ_END   0xfffee0ddu
#define TAG_PIXELS    0x7fe00010u
#define FRAMES        (2 * SCAN_DEPTH + 1)

enum frame_kind { F_DATASET, F_ITEM, F_SEQUENCE, F_FRAGMENTS };

struct frame {
    enum frame_kind kind;
    bool implicit, big;
    bool first;            /* sequence: its first item is still to come */
    int32_t node;          /* of the plan; -1: nothing below is wanted */
    uint64_t end;          /* NO_END: undefined length, or the top */
    uint64_t limit;        /* the nearest end around */
    uint32_t gap_a, gap_b; /* no wanted tag lies in gap_a ≤ tag ≤ gap_b */
    size_t cursor;         /* child expected next */
};

struct element {
    uint32_t tag, length;
    char vr[3]; /* empty in implicit VR */
};

struct scan {
    enum scan_state state;
    const char *reason;
    uint64_t pos;  /* bytes walked */
    uint64_t left; /* bytes of the current value still to pass */
    uint8_t head[12];
    unsigned have; /* bytes of an incomplete element header */
    unsigned top, depth;
    uint32_t elements;
    struct frame frames[FRAMES];
    /* the value being kept */
    struct scan_value *keep;    /* NULL: none, or only a charset */
    struct slice *keep_charset; /* where charset goes when its bytes are all there */
    struct slice charset;
    char *keep_to;
    size_t keep_left;
    /* results */
    struct plan plan;
    struct scan_value *values;
    struct slice *charsets; /* per node; p == NULL: not given there */
    bool *seen;             /* per node: walked already, later ones are not the first item */
    size_t used;
    char store[STORE_BYTES];
    /* deflated */
    bool deflated, inflating, inflate_ended;
    z_stream z;
    size_t out_used;
    uint8_t *out;
};

/* VR bytes → header form: 0 unknown, 2 = 16-bit length, 4 = reserved and 32-bit length */
#define VR_AT(a, b) (((a) - 'A') * 26 + ((b) - 'A'))
static const uint8_t vr_form[26 * 26] = {
    [VR_AT('A', 'E')] = 2, [VR_AT('A', 'S')] = 2, [VR_AT('A', 'T')] = 2, [VR_AT('C', 'S')] = 2,
    [VR_AT('D', 'A')] = 2, [VR_AT('D', 'S')] = 2, [VR_AT('D', 'T')] = 2, [VR_AT('F', 'L')] = 2,
    [VR_AT('F', 'D')] = 2, [VR_AT('I', 'S')] = 2, [VR_AT('L', 'O')] = 2, [VR_AT('L', 'T')] = 2,
    [VR_AT('P', 'N')] = 2, [VR_AT('S', 'H')] = 2, [VR_AT('S', 'L')] = 2, [VR_AT('S', 'S')] = 2,
    [VR_AT('S', 'T')] = 2, [VR_AT('T', 'M')] = 2, [VR_AT('U', 'I')] = 2, [VR_AT('U', 'L')] = 2,
    [VR_AT('U', 'S')] = 2, [VR_AT('O', 'B')] = 4, [VR_AT('O', 'D')] = 4, [VR_AT('O', 'F')] = 4,
    [VR_AT('O', 'L')] = 4, [VR_AT('O', 'V')] = 4, [VR_AT('O', 'W')] = 4, [VR_AT('S', 'Q')] = 4,
    [VR_AT('S', 'V')] = 4, [VR_AT('U', 'C')] = 4, [VR_AT('U', 'N')] = 4, [VR_AT('U', 'R')] = 4,
    [VR_AT('U', 'T')] = 4, [VR_AT('U', 'V')] = 4,
};

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

/* Header size of an explicit element: 8 or 12. A VR that does not exist has a 16-bit length, unless
 * it is two letters and the two bytes after it are zero: new VRs get the long form (PS3.5 §7.1.2).
 */
static inline unsigned explicit_size(const uint8_t *h)
{
    if (!is_upper(h[4]) || !is_upper(h[5]))
        return 8;
    uint8_t form = vr_form[VR_AT(h[4], h[5])];
    if (form == 2)
        return 8;
    return form == 4 || (h[6] == 0 && h[7] == 0) ? 12 : 8;
}

unsigned scan_explicit_size(const uint8_t *h)
{
    return explicit_size(h);
}

bool scan_known_vr(const uint8_t *vr)
{
    return is_upper(vr[0]) && is_upper(vr[1]) && vr_form[VR_AT(vr[0], vr[1])] != 0;
}

static inline uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static inline uint32_t get16(const uint8_t *p, bool big)
{
    return big ? (uint32_t)p[0] << 8 | p[1] : le16(p);
}

static inline uint32_t get32(const uint8_t *p, bool big)
{
    return big ? get16(p, true) << 16 | get16(p + 2, true) : le32(p);
}

static void bad(struct scan *s, const char *reason)
{
    s->state = SCAN_BAD;
    s->reason = reason;
}

struct scan *scan_new(void)
{
    struct scan *s = mem_zalloc(sizeof *s);
    s->state = SCAN_DONE;
    s->reason = "";
    return s;
}

void scan_free(struct scan *s)
{
    if (!s)
        return;
    if (s->inflating)
        inflateEnd(&s->z);
    mem_free(s->out);
    mem_free(s->values);
    mem_free(s->charsets);
    mem_free(s->seen);
    scan_plan_free(&s->plan);
    mem_free(s);
}

static void use_wants(struct scan *s, const struct scan_want *wants, size_t n)
{
    if (!plan_same(&s->plan, wants, n)) {
        scan_plan_free(&s->plan);
        plan_build(&s->plan, wants, n);
        s->values = mem_array(s->values, s->plan.n_values + 1, sizeof *s->values);
        s->charsets = mem_array(s->charsets, s->plan.n_nodes, sizeof *s->charsets);
        s->seen = mem_array(s->seen, s->plan.n_nodes, sizeof *s->seen);
    }
    memset(s->values, 0, (s->plan.n_values + 1) * sizeof *s->values);
    memset(s->charsets, 0, s->plan.n_nodes * sizeof *s->charsets);
    memset(s->seen, 0, s->plan.n_nodes * sizeof *s->seen);
}

static void *z_alloc(void *opaque, unsigned n, unsigned size)
{
    (void)opaque;
    return mem_zalloc((size_t)n * size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    mem_free(p);
}

static void start_inflate(struct scan *s)
{
    s->out_used = 0;
    s->inflate_ended = false;
    if (!s->out)
        s->out = mem_alloc(INFLATE_CHUNK);
    if (s->inflating) {
        inflateReset(&s->z);
        return;
    }
    s->z = (z_stream){.zalloc = z_alloc, .zfree = z_free};
    if (inflateInit2(&s->z, -15) != Z_OK)
        bad(s, "zlib does not start");
    else
        s->inflating = true;
}

void scan_start(struct scan *s, const struct syntax *syntax, const struct scan_want *wants,
                size_t n)
{
    s->state = SCAN_MORE;
    s->reason = "";
    s->pos = s->left = 0;
    s->have = s->top = s->depth = 0;
    s->elements = 0;
    s->keep = NULL;
    s->keep_charset = NULL;
    s->keep_left = s->used = 0;
    use_wants(s, wants, n);
    s->frames[0] = (struct frame){
        .kind = F_DATASET,
        .implicit = !syntax->explicit_vr,
        .big = syntax->big_endian,
        .end = NO_END,
        .limit = NO_END,
        .gap_a = 1,
    };
    s->deflated = syntax->deflated;
    if (s->deflated)
        start_inflate(s);
}

/* Space in the store for a value of n bytes, cut to max and to what is left. */
static struct slice reserve(struct scan *s, size_t n, size_t max)
{
    size_t kept = n < max ? n : max;
    if (kept > STORE_BYTES - s->used)
        kept = STORE_BYTES - s->used;
    s->keep_to = s->store + s->used;
    s->keep_left = kept;
    s->used += kept;
    return (struct slice){s->keep_to, kept};
}

static void value_complete(struct scan *s)
{
    if (s->keep)
        s->keep->found = true;
    if (s->keep_charset)
        *s->keep_charset = s->charset;
    s->keep = NULL;
    s->keep_charset = NULL;
}

/* Passes over the value's bytes, copying those that are kept. Returns where the walk goes on. */
static const uint8_t *pass_value(struct scan *s, const uint8_t *p, const uint8_t *end)
{
    size_t n = (size_t)(end - p);
    if (n > s->left)
        n = (size_t)s->left;
    if (s->keep_left && n) {
        size_t copy = n < s->keep_left ? n : s->keep_left;
        memcpy(s->keep_to, p, copy);
        s->keep_to += copy;
        s->keep_left -= copy;
    }
    s->left -= n;
    s->pos += n;
    if (s->left == 0)
        value_complete(s);
    return p + n;
}

/* The wanted child with this tag, or NULL; remembers the gap around it for the next elements. */
static const struct plan_child *wanted(const struct scan *s, struct frame *f, uint32_t tag)
{
    if (f->node < 0 || (tag >= f->gap_a && tag <= f->gap_b))
        return NULL;
    const struct plan_node *node = &s->plan.nodes[f->node];
    size_t i = f->cursor;
    if (i >= node->n || node->child[i].tag != tag)
        i = plan_lower(node, tag);
    bool hit = i < node->n && node->child[i].tag == tag;
    size_t next = hit ? i + 1 : i;
    f->gap_a = hit ? tag + 1 : i ? node->child[i - 1].tag + 1 : 0;
    f->gap_b = next < node->n ? node->child[next].tag - 1 : UINT32_MAX;
    f->cursor = next;
    return hit ? &node->child[i] : NULL;
}

/* A value is about to pass: keeps it, and notes it as the level's charset if it is that. */
static void want_value(struct scan *s, const struct frame *f, const struct plan_child *c,
                       const struct element *e)
{
    bool charset = c->charset && !s->charsets[f->node].p && e->length;
    if (c->value >= 0 && !s->values[c->value].found) {
        struct scan_value *v = &s->values[c->value];
        s->keep = v;
        memcpy(v->vr, e->vr[0] ? e->vr : c->vr, 3);
        v->big_endian = f->big && strcmp(v->vr, "UN") != 0;
        s->charset = reserve(s, e->length, SCAN_VALUE_MAX);
        v->bytes = s->charset.p;
        v->n = s->charset.n;
        v->cut = v->n < e->length;
    } else if (charset) {
        s->charset = reserve(s, e->length, CHARSET_BYTES);
    }
    if (charset && s->charset.n) {
        s->keep_charset = &s->charsets[f->node];
        if (s->charset.n > CHARSET_BYTES)
            s->charset.n = CHARSET_BYTES;
    }
}

static struct frame *push(struct scan *s, enum frame_kind kind, const struct frame *outer,
                          uint32_t length)
{
    struct frame *f = &s->frames[++s->top];
    *f = (struct frame){
        .kind = kind,
        .implicit = outer->implicit,
        .big = outer->big,
        .first = true,
        .node = -1,
        .gap_a = 1,
        .end = length == UNDEFINED ? NO_END : s->pos + length,
    };
    f->limit = f->end < outer->limit ? f->end : outer->limit;
    return f;
}

static void open_sequence(struct scan *s, const struct frame *outer, const struct plan_child *c,
                          const struct element *e)
{
    if (s->depth == SCAN_DEPTH) {
        bad(s, "sequences nested too deeply");
        return;
    }
    s->depth++;
    bool pixels = e->tag == TAG_PIXELS;
    struct frame *f = push(s, pixels ? F_FRAGMENTS : F_SEQUENCE, outer, e->length);
    if (!strcmp(e->vr, "UN")) { /* PS3.5 §6.2.2 note: what UN hides is implicit little endian */
        f->implicit = true;
        f->big = false;
    }
    if (!c)
        return;
    if (c->value >= 0 && !s->values[c->value].found) {
        s->values[c->value].found = true;
        memcpy(s->values[c->value].vr, "SQ", 3);
    }
    if (c->node >= 0 && !s->seen[c->node]) {
        s->seen[c->node] = true;
        f->node = c->node;
    }
}

static void pop(struct scan *s)
{
    if (s->frames[s->top].kind >= F_SEQUENCE)
        s->depth--;
    s->top--;
}

static void skip(struct scan *s, const struct frame *f, uint32_t length)
{
    if (length > f->limit - s->pos) {
        bad(s, "length beyond the enclosing item");
        return;
    }
    s->left = length;
    if (length == 0)
        value_complete(s);
}

static bool may_be_sequence(const struct frame *f, const struct element *e)
{
    return f->implicit || !strcmp(e->vr, "SQ") || !strcmp(e->vr, "UN");
}

static void delimiter(struct scan *s, const struct frame *f, const struct element *e)
{
    if (e->length != 0)
        bad(s, "delimiter with a length");
    else if (f->end == NO_END && ((f->kind == F_ITEM && e->tag == TAG_ITEM_END) ||
                                  (f->kind >= F_SEQUENCE && e->tag == TAG_SEQ_END)))
        pop(s);
    else if (f->kind == F_ITEM && f->end == NO_END)
        bad(s, "sequence ends inside an item");
    /* a needless delimiter (after a defined length) is what some writers do */
}

static void dataset_element(struct scan *s, struct frame *f, const struct element *e)
{
    if (s->top == 0 && (e->tag == TAG_PIXELS || e->tag == 0x7fe00008 || e->tag == 0x7fe00009)) {
        s->state = SCAN_DONE;
        return;
    }
    const struct plan_child *c = wanted(s, f, e->tag);
    if (e->length == UNDEFINED) {
        if (e->tag == TAG_PIXELS || may_be_sequence(f, e))
            open_sequence(s, f, c, e);
        else
            bad(s, "undefined length of a plain value");
    } else if (c && c->node >= 0 && e->length && may_be_sequence(f, e)) {
        if (e->length > f->limit - s->pos)
            bad(s, "length beyond the enclosing item");
        else
            open_sequence(s, f, c, e);
    } else {
        if (c && e->length <= f->limit - s->pos)
            want_value(s, f, c, e);
        skip(s, f, e->length);
    }
}

static void sequence_element(struct scan *s, struct frame *f, const struct element *e)
{
    if (e->tag != TAG_ITEM) {
        if (f->end == NO_END)
            bad(s, "no item where a sequence must have one");
        else
            s->left = f->end - s->pos; /* its length is known: pass over what it is */
        return;
    }
    int32_t node = f->first ? f->node : -1;
    f->first = false;
    if (e->length != UNDEFINED && e->length > f->limit - s->pos) {
        bad(s, "length beyond the enclosing item");
    } else if (f->kind == F_FRAGMENTS && e->length == UNDEFINED) {
        bad(s, "fragment of undefined length");
    } else if (e->length != UNDEFINED && node < 0) {
        skip(s, f, e->length);
    } else {
        struct frame *item = push(s, F_ITEM, f, e->length);
        item->node = node;
    }
}

static inline unsigned head_size(const struct frame *f, const uint8_t *h)
{
    if (f->implicit || f->kind >= F_SEQUENCE || get16(h, f->big) == 0xfffe)
        return 8;
    return explicit_size(h);
}

/* Some writers declare one form of VR and write the other. The first element tells: its VR is a
 * real one, or it is no letters and the four bytes make a small length. */
static void look_at_first(struct scan *s, const uint8_t *h)
{
    struct frame *f = &s->frames[0];
    if (get16(h, f->big) == 0 || get16(h, f->big) == 0xfffe)
        return; /* padding or a stray delimiter */
    if (f->implicit)
        f->implicit = !scan_known_vr(h + 4);
    else if (!is_upper(h[4]) || !is_upper(h[5]))
        f->implicit = !f->big && le32(h + 4) <= SCAN_FIRST_MAX;
}

static void one_element(struct scan *s, const uint8_t *h, unsigned size)
{
    struct frame *f = &s->frames[s->top];
    struct element e = {0};
    if (size > f->limit - s->pos) {
        bad(s, "element beyond the enclosing item");
        return;
    }
    if (++s->elements > SCAN_ELEMENTS) {
        bad(s, "too many elements");
        return;
    }
    s->pos += size;
    e.tag = get16(h, f->big) << 16 | get16(h + 2, f->big);
    if (f->implicit || f->kind >= F_SEQUENCE || e.tag >> 16 == 0xfffe) {
        e.length = get32(h + 4, f->big);
    } else {
        memcpy(e.vr, h + 4, 2);
        e.length = size == 12 ? get32(h + 8, f->big) : get16(h + 6, f->big);
    }
    if (e.tag == TAG_ITEM_END || e.tag == TAG_SEQ_END)
        delimiter(s, f, &e);
    else if (f->kind >= F_SEQUENCE)
        sequence_element(s, f, &e);
    else if (e.tag == TAG_ITEM)
        bad(s, "item outside a sequence");
    else
        dataset_element(s, f, &e);
}

/* Passes over whole unwanted elements of a little endian level: the usual case, kept tight. What
 * is special in any way is left to one_element. */
static const uint8_t *pass_unwanted(struct scan *s, const uint8_t *p, const uint8_t *end)
{
    const struct frame *f = &s->frames[s->top];
    const uint8_t *from = p;
    if (f->big || f->kind >= F_SEQUENCE || s->elements == 0)
        return p;
    size_t room = (size_t)(end - p);
    if (room > f->limit - s->pos)
        room = (size_t)(f->limit - s->pos);
    if (room > INT32_MAX)
        room = INT32_MAX; /* so that an undefined length is never within it */
    uint32_t budget = SCAN_ELEMENTS - s->elements;
    uint32_t gap_a = f->node < 0 ? 0 : f->gap_a, gap_b = f->node < 0 ? UINT32_MAX : f->gap_b;
    while (room >= 12 && budget) {
        uint32_t tag = le16(p) << 16 | le16(p + 2);
        if (tag < gap_a || tag > gap_b || tag >> 16 == 0xfffe || tag >> 16 == 0x7fe0)
            break;
        unsigned size = f->implicit ? 8 : explicit_size(p);
        size_t length = f->implicit ? le32(p + 4) : size == 12 ? le32(p + 8) : le16(p + 6);
        if (length > room - size)
            break;
        p += size + length;
        room -= size + length;
        budget--;
    }
    s->elements = SCAN_ELEMENTS - budget;
    s->pos += (size_t)(p - from);
    return p;
}

/* The next whole element header, taken from the input or gathered over several feeds. */
static const uint8_t *take_head(struct scan *s, const uint8_t **p, const uint8_t *end,
                                unsigned *size)
{
    const struct frame *f = &s->frames[s->top];
    if (s->have == 0 && end - *p >= 12) {
        const uint8_t *h = *p;
        if (s->elements == 0)
            look_at_first(s, h);
        *size = head_size(f, h);
        *p += *size;
        return h;
    }
    while (*p < end) {
        s->head[s->have++] = *(*p)++;
        if (s->have == 8 && s->elements == 0)
            look_at_first(s, s->head);
        if (s->have >= 8 && s->have == head_size(f, s->head)) {
            *size = s->have;
            s->have = 0;
            return s->head;
        }
    }
    return NULL;
}

static void walk(struct scan *s, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    while (s->state == SCAN_MORE) {
        if (s->left) {
            p = pass_value(s, p, end);
            if (s->left)
                return;
        }
        if (s->have == 0) {
            while (s->frames[s->top].end == s->pos)
                pop(s);
            p = pass_unwanted(s, p, end);
            while (s->frames[s->top].end == s->pos)
                pop(s);
        }
        unsigned size = 0;
        const uint8_t *h = take_head(s, &p, end, &size);
        if (!h)
            return;
        one_element(s, h, size);
    }
}

static void check_inflated(struct scan *s)
{
    uint64_t in = s->z.total_in, out = s->z.total_out;
    if (out > INFLATE_MAX)
        bad(s, "deflated header too large");
    else if (out > INFLATE_FREE && out / INFLATE_RATIO > in)
        bad(s, "deflated data expand beyond all measure");
}

/* The limits are checked only when a chunk is full, so that they do not depend on how the input was
 * cut into pieces. */
static void walk_deflated(struct scan *s, const uint8_t *p, size_t n)
{
    s->z.next_in = (Bytef *)(uintptr_t)p;
    s->z.avail_in = (uInt)n;
    while (s->state == SCAN_MORE && !s->inflate_ended) {
        s->z.next_out = s->out + s->out_used;
        s->z.avail_out = (uInt)(INFLATE_CHUNK - s->out_used);
        int r = inflate(&s->z, Z_NO_FLUSH);
        size_t made = INFLATE_CHUNK - s->out_used - s->z.avail_out;
        walk(s, s->out + s->out_used, made);
        s->out_used += made;
        if (s->state != SCAN_MORE)
            return;
        s->inflate_ended = r == Z_STREAM_END;
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) {
            bad(s, "deflated data are damaged");
        } else if (s->out_used == INFLATE_CHUNK) {
            s->out_used = 0;
            check_inflated(s);
        } else if (s->z.avail_in == 0 || r == Z_BUF_ERROR) {
            return;
        }
    }
}

enum scan_state scan_feed(struct scan *s, const void *p, size_t n)
{
    const uint8_t *from = p;
    if (!s->deflated) {
        if (n && s->state == SCAN_MORE)
            walk(s, from, n);
        return s->state;
    }
    while (n && s->state == SCAN_MORE && !s->inflate_ended) {
        size_t part = n < (1u << 30) ? n : 1u << 30;
        walk_deflated(s, from, part);
        from += part;
        n -= part;
    }
    return s->state;
}

/* Files may end with a few zero bytes. */
static bool only_padding(const struct scan *s)
{
    for (unsigned i = 0; i < s->have; i++) {
        if (s->head[i])
            return false;
    }
    return true;
}

enum scan_state scan_finish(struct scan *s)
{
    if (s->state != SCAN_MORE)
        return s->state;
    if (s->have == 0) {
        while (s->frames[s->top].end == s->pos)
            pop(s);
    }
    if (s->deflated && !s->inflate_ended)
        bad(s, "deflated data end early");
    else if (s->left)
        bad(s, "ends inside a value");
    else if (s->top)
        bad(s, "ends inside a sequence");
    else if (!only_padding(s))
        bad(s, "ends inside an element header");
    else
        s->state = SCAN_DONE;
    return s->state;
}

const struct scan_value *scan_get(const struct scan *s, size_t want)
{
    static const struct scan_value none;
    if (want >= s->plan.n_wants || s->plan.value_of[want] < 0)
        return &none;
    int32_t value = s->plan.value_of[want];
    struct scan_value *v = &s->values[value];
    v->charset = NULL;
    v->charset_n = 0;
    for (int32_t node = s->plan.node_of[value]; node >= 0; node = s->plan.nodes[node].parent) {
        if (s->charsets[node].p) {
            v->charset = s->charsets[node].p;
            v->charset_n = s->charsets[node].n;
            break;
        }
    }
    return v;
}

const char *scan_reason(const struct scan *s)
{
    return s->reason;
}
