/* A few Postgres connections for the threads of many requests. */
#ifndef GATEWAY_POOL_H
#define GATEWAY_POOL_H

#include "pg/pg.h"

struct pool;
struct pool *pool_new(const char *conninfo, size_t connections);
void pool_free(struct pool *p);
/* A connected handle; waits ≤ 5 s for a free one. NULL: ERR_RETRY. */
struct pg *pool_take(struct pool *p, struct err *e);
void pool_give(struct pool *p, struct pg *c); /* NULL is fine */

#endif
