/* Hash maps: uthash with our allocator (which never fails). Include this, never <uthash.h>. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/mem.h"

#define uthash_malloc(sz)    mem_alloc(sz)
#define uthash_free(ptr, sz) mem_free(ptr)
#include <uthash.h>

#endif
