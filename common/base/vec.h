/*
 * A growable array of any type: VEC(struct x) v = {0}; *vec_push(&v) = x; vec_free(&v).
 * Elements are v.items[0 .. v.n). Pointers into it die at the next push.
 */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include "base/mem.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n, cap;                                                                             \
    }

/* Pointer to a new, uninitialised last element. */
#define vec_push(v)                                                                                \
    ((v)->n == (v)->cap ? ((v)->cap = (v)->cap ? (v)->cap * 2 : 8,                                  \
                           (v)->items = mem_array((v)->items, (v)->cap, sizeof *(v)->items))        \
                        : (v)->items,                                                              \
     &(v)->items[(v)->n++])

#define vec_clear(v) ((void)((v)->n = 0))
#define vec_free(v)  (mem_free((v)->items), (v)->items = NULL, (v)->n = (v)->cap = 0)

#endif
