/* Inside of the scanner: the plan of wanted elements (scan_plan.c) and the walk (scan.c). */
#ifndef DICOM_SCAN_PRIV_H
#define DICOM_SCAN_PRIV_H

#include "dicom/scan.h"

/*
 * The wanted paths as a tree. A node is a dataset level (the top, or the first item of a wanted
 * sequence); its children are sorted by tag. Every node also watches for (0008,0005).
 */
struct plan_child {
    uint32_t tag;
    int32_t value; /* index of the value to keep; -1 = none */
    int32_t node;  /* level below; -1 = none */
    char vr[3];    /* for implicit VR */
    bool charset;  /* this is the level's Specific Character Set */
};

struct plan_node {
    int32_t parent;           /* -1 = this is the top */
    struct plan_child *child; /* sorted */
    size_t n, cap;
};

struct plan {
    struct scan_want *wants; /* own copy: tells whether the next scan_start asks for the same */
    size_t n_wants;
    int32_t *value_of; /* want → value; -1: a want without a valid path */
    int32_t *node_of;  /* value → node */
    size_t n_values;
    struct plan_node *nodes;
    size_t n_nodes, cap_nodes;
};

bool plan_same(const struct plan *p, const struct scan_want *wants, size_t n);
void plan_build(struct plan *p, const struct scan_want *wants, size_t n); /* p zeroed or freed */
void scan_plan_free(struct plan *p);
/* A dataset's first element (group length, charset, type or UID) is not longer in implicit VR. */
#define SCAN_FIRST_MAX 1024

/* Header size of the explicit VR element at h (8 bytes are read): 8 or 12. */
unsigned scan_explicit_size(const uint8_t *h);
bool scan_known_vr(const uint8_t *vr);

/* First child with a tag ≥ tag. */
size_t plan_lower(const struct plan_node *node, uint32_t tag);

#endif
