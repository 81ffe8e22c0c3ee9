/* Builds the tree of wanted elements. Done once per list of wants, not per dataset. */
#include "dicom/scan_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/tag.h"

#define CHARSET_TAG 0x00080005u

bool plan_same(const struct plan *p, const struct scan_want *wants, size_t n)
{
    return p->nodes && p->n_wants == n && (n == 0 || !memcmp(p->wants, wants, n * sizeof *wants));
}

size_t plan_lower(const struct plan_node *node, uint32_t tag)
{
    size_t lo = 0, hi = node->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (node->child[mid].tag < tag)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Finds or inserts a child, keeping the order. */
static struct plan_child *child_of(struct plan_node *node, uint32_t tag)
{
    size_t i = plan_lower(node, tag);
    if (i < node->n && node->child[i].tag == tag)
        return &node->child[i];
    if (node->n == node->cap) {
        node->cap = node->cap ? node->cap * 2 : 8;
        node->child = mem_array(node->child, node->cap, sizeof *node->child);
    }
    memmove(node->child + i + 1, node->child + i, (node->n - i) * sizeof *node->child);
    node->n++;
    struct plan_child *c = &node->child[i];
    *c = (struct plan_child){.tag = tag, .value = -1, .node = -1, .charset = tag == CHARSET_TAG};
    memcpy(c->vr, tag_vr(tag), 3);
    return c;
}

static int32_t node_add(struct plan *p, int32_t parent)
{
    if (p->n_nodes == p->cap_nodes) {
        p->cap_nodes = p->cap_nodes ? p->cap_nodes * 2 : 4;
        p->nodes = mem_array(p->nodes, p->cap_nodes, sizeof *p->nodes);
    }
    p->nodes[p->n_nodes] = (struct plan_node){.parent = parent};
    child_of(&p->nodes[p->n_nodes], CHARSET_TAG);
    return (int32_t)p->n_nodes++;
}

static int32_t want_add(struct plan *p, const struct scan_want *w)
{
    if (w->depth == 0 || w->depth > SCAN_PATH)
        return -1;
    int32_t node = 0;
    for (unsigned i = 0; i + 1 < w->depth; i++) {
        int32_t below = child_of(&p->nodes[node], w->path[i])->node;
        if (below < 0) {
            below = node_add(p, node); /* may move the nodes */
            child_of(&p->nodes[node], w->path[i])->node = below;
        }
        node = below;
    }
    struct plan_child *leaf = child_of(&p->nodes[node], w->path[w->depth - 1]);
    if (leaf->value < 0) {
        leaf->value = (int32_t)p->n_values++;
        p->node_of[leaf->value] = node;
    }
    return leaf->value;
}

void plan_build(struct plan *p, const struct scan_want *wants, size_t n)
{
    *p = (struct plan){0};
    p->n_wants = n;
    p->wants = mem_array(NULL, n + 1, sizeof *wants);
    if (n)
        memcpy(p->wants, wants, n * sizeof *wants);
    p->value_of = mem_array(NULL, n + 1, sizeof *p->value_of);
    p->node_of = mem_array(NULL, n + 1, sizeof *p->node_of);
    node_add(p, -1);
    for (size_t i = 0; i < n; i++)
        p->value_of[i] = want_add(p, &p->wants[i]);
}

void scan_plan_free(struct plan *p)
{
    for (size_t i = 0; i < p->n_nodes; i++)
        mem_free(p->nodes[i].child);
    mem_free(p->nodes);
    mem_free(p->wants);
    mem_free(p->value_of);
    mem_free(p->node_of);
    *p = (struct plan){0};
}
