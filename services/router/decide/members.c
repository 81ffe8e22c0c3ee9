/*
 * From receipts to members (formats.md "Manifests"): per SOP instance the newest receipt is the
 * member; older receipts of the same content are duplicates of it, those of other content
 * superseded.
 */
#include "decide_priv.h"

#include "event/manifest.h"

struct group { /* the receipts of one SOP instance */
    UT_hash_handle hh;
    const struct receipt *newest;
    const struct receipt **all;
    size_t n, cap;
    bool again;
    int64_t position;
};

static void group_push(struct group *g, const struct receipt *r, struct arena *a)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 1;
        const struct receipt **all = arena_alloc(a, cap * sizeof *all);
        for (size_t i = 0; i < g->n; i++)
            all[i] = g->all[i];
        g->all = all;
        g->cap = cap;
    }
    g->all[g->n++] = r;
    g->again |= r->again;
}

static bool newer(const struct group *g, const struct receipt *a, const struct receipt *b)
{
    if (g->again && a->received_at && b->received_at) {
        int order = strcmp(a->received_at, b->received_at); /* RFC 3339, UTC, fixed width */
        if (order)
            return order > 0;
    }
    return a->offset > b->offset;
}

static struct group *group_all(const struct window *w, struct members *m, struct arena *a)
{
    struct group *groups = NULL, *g;
    for (const struct receipt *r = w->receipts; r; r = r->hh.next) {
        if (r->known)
            continue;
        if (!m->head)
            m->head = r;
        m->n++;
        m->bytes += r->size;
        HASH_FIND_STR(groups, r->sop, g);
        if (!g) {
            g = arena_alloc(a, sizeof *g);
            HASH_ADD_KEYPTR(hh, groups, r->sop, strlen(r->sop), g);
        }
        group_push(g, r, a);
    }
    for (g = groups; g; g = g->hh.next) {
        g->newest = g->all[0];
        for (size_t i = 1; i < g->n; i++)
            if (newer(g, g->all[i], g->newest))
                g->newest = g->all[i];
    }
    return groups;
}

static void add_member(struct members *m, struct group *g)
{
    const struct receipt *r = g->newest;
    g->position = (int64_t)m->members.n;
    *rows_at(struct manifest_member, &m->members, m->members.n++) = (struct manifest_member){
        .kind = MANIFEST_INSTANCE,
        .receipt = r->receipt,
        .key = r->key,
        .sha256 = r->sha256,
        .size = r->size,
        .sop = r->sop,
        .sop_class = r->sop_class,
        .syntax = r->syntax,
        .calling_ae = r->calling_ae,
        .called_ae = r->called_ae,
    };
}

static void add_shadows(struct members *m, const struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct receipt *r = g->all[i];
        if (r == g->newest)
            continue;
        struct row_list *list =
            strcmp(r->sha256, g->newest->sha256) == 0 ? &m->duplicate : &m->superseded;
        *rows_at(struct manifest_shadow, list, list->n++) =
            (struct manifest_shadow){.receipt = r->receipt,
                                     .key = r->key,
                                     .sop = r->sop,
                                     .size = r->size,
                                     .of = g->position};
    }
}

/* Members in the order of their offsets; shadows in the order of the members they stand behind. */
void members_build(struct members *m, const struct window *w, struct arena *a)
{
    *m = (struct members){0};
    struct group *groups = group_all(w, m, a), *g;
    size_t n = (size_t)m->n;
    m->members.items = arena_alloc(a, HASH_COUNT(groups) * sizeof(struct manifest_member));
    m->duplicate.items = arena_alloc(a, n * sizeof(struct manifest_shadow));
    m->superseded.items = arena_alloc(a, n * sizeof(struct manifest_shadow));
    for (const struct receipt *r = w->receipts; r; r = r->hh.next) {
        if (r->known)
            continue;
        HASH_FIND_STR(groups, r->sop, g);
        if (g->newest == r)
            add_member(m, g);
    }
    for (g = groups; g; g = g->hh.next)
        add_shadows(m, g);
    HASH_CLEAR(hh, groups);
}

static void tell(const struct row_list *shadows, decide_receipt_fn fn, void *to)
{
    for (size_t i = 0; i < shadows->n; i++)
        fn(to, rows_at(struct manifest_shadow, shadows, i)->receipt);
}

int decide_manifest_receipts(const char *text, size_t n, decide_receipt_fn fn, void *to,
                             struct err *e)
{
    const struct rows_limits limits = {.bytes = MANIFEST_MAX, .depth = 8, .elements = 4000000};
    struct manifest m;
    struct arena *a = arena_new(0);
    int rc = rows_decode(&m, &manifest_table, text, n, a, &limits, e);
    for (size_t i = 0; rc == 0 && i < m.members.n; i++) {
        const char *receipt = rows_at(struct manifest_member, &m.members, i)->receipt;
        if (receipt)
            fn(to, receipt);
    }
    if (rc == 0) {
        tell(&m.duplicate, fn, to);
        tell(&m.superseded, fn, to);
    }
    arena_free(a);
    return rc;
}
