/*
 * An arena: many small allocations that die together. One owner, one thread. A cap turns hostile
 * input into an error instead of memory: past it arena_alloc returns NULL and arena_failed is true
 * (an arena without cap never returns NULL).
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct arena;

struct arena *arena_new(size_t cap_bytes); /* 0 = no cap */
void arena_free(struct arena *a);          /* NULL is fine */
void arena_reset(struct arena *a);         /* keeps the first block */
bool arena_failed(const struct arena *a);

void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned to 16 */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#ifdef __cplusplus
}
#endif
#endif
