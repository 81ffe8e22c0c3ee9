/* Private to common/pg: the embedded migrations. */
#ifndef PG_PG_PRIV_H
#define PG_PG_PRIV_H

#include <stddef.h>

struct pg_migration {
    int version;
    const char *name; /* "0001_ledger.sql" */
    const char *start, *end;
};
/* In ascending order of version, without gaps from 1. */
extern const struct pg_migration pg_migrations[];
extern const size_t pg_migrations_n;

#endif
