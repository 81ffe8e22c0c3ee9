/*
 * Memory that never fails: out of memory aborts the process (kill -9 is a tested event). Sizes that
 * come from a peer are bounded by the caller before they get here.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *mem_alloc(size_t size);                      /* uninitialised; size 0 gives a valid pointer */
void *mem_zalloc(size_t size);                     /* zeroed */
void *mem_realloc(void *p, size_t size);           /* p may be NULL */
void *mem_array(void *p, size_t n, size_t size);   /* realloc to n elements, overflow aborts */
char *mem_strdup(const char *s);                   /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);        /* always NUL-terminated */
void *mem_dup(const void *p, size_t n);
void *mem_aligned(size_t align, size_t size);      /* align: a power of two that divides size */
void mem_free(void *p);                            /* NULL is fine */

/* Frees and clears the caller's pointer. */
#define MEM_CLEAR(p) (mem_free(p), (p) = NULL)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#ifdef __cplusplus
}
#endif
#endif
