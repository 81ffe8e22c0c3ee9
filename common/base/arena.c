/* Arena: a chain of blocks that grow by doubling; the first block survives a reset. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_BLOCK 4096
#define MAX_BLOCK   (1 << 20)

struct block {
    struct block *next; /* older */
    size_t size, used;
    max_align_t data[];
};

struct arena {
    struct block *head;
    size_t cap, used;
    bool failed;
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *b = mem_alloc(sizeof *b + size);
    b->next = next;
    b->size = size;
    b->used = 0;
    return b;
}

struct arena *arena_new(size_t cap_bytes)
{
    struct arena *a = mem_zalloc(sizeof *a);
    a->cap = cap_bytes;
    a->head = block_new(FIRST_BLOCK, NULL);
    return a;
}

static void free_blocks(struct block *b)
{
    while (b) {
        struct block *next = b->next;
        mem_free(b);
        b = next;
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    free_blocks(a->head);
    mem_free(a);
}

void arena_reset(struct arena *a)
{
    struct block *first = a->head;
    while (first->next) {
        struct block *next = first->next;
        mem_free(first);
        first = next;
    }
    first->used = 0;
    a->head = first;
    a->used = 0;
    a->failed = false;
}

bool arena_failed(const struct arena *a)
{
    return a->failed;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2 || (a->cap && size > a->cap - a->used)) {
        a->failed = true;
        return NULL;
    }
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded > a->head->size - a->head->used) {
        size_t next = a->head->size < MAX_BLOCK ? a->head->size * 2 : MAX_BLOCK;
        a->head = block_new(rounded > next ? rounded : next, a->head);
    }
    void *p = (char *)a->head->data + a->head->used;
    a->head->used += rounded;
    a->used += size;
    return memset(p, 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    if (p && n)
        memcpy(p, s, n);
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(args, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    va_end(args);
    return p;
}
