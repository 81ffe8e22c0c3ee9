/*
 * schemas/sql/ embedded in the program. One line per file, twice; tests/test_pg.c compares the list
 * with the folder. (.incbin needs the file name at assembly time; builds run in the root of the
 * tree.)
 */
#include "pg/pg_priv.h"

#include "base/mem.h"

#define EMBED(symbol, file)                                                                        \
    __asm__(".section .rodata\n" #symbol "_start:\n.incbin \"schemas/sql/" file "\"\n" #symbol     \
            "_end:\n.byte 0\n.previous\n");                                                        \
    extern const char symbol##_start[], symbol##_end[]

EMBED(pg_sql_0001, "0001_ledger.sql");
EMBED(pg_sql_0002, "0002_cleaner.sql");
EMBED(pg_sql_0003, "0003_delivery_requests.sql");
EMBED(pg_sql_0004, "0004_failed.sql");
EMBED(pg_sql_0005, "0005_held.sql");
EMBED(pg_sql_0006, "0006_lost_tail.sql");
EMBED(pg_sql_0007, "0007_unanswered.sql");
EMBED(pg_sql_0008, "0008_superseded.sql");
EMBED(pg_sql_0009, "0009_last_day.sql");

const struct pg_migration pg_migrations[] = {
    {1, "0001_ledger.sql", pg_sql_0001_start, pg_sql_0001_end},
    {2, "0002_cleaner.sql", pg_sql_0002_start, pg_sql_0002_end},
    {3, "0003_delivery_requests.sql", pg_sql_0003_start, pg_sql_0003_end},
    {4, "0004_failed.sql", pg_sql_0004_start, pg_sql_0004_end},
    {5, "0005_held.sql", pg_sql_0005_start, pg_sql_0005_end},
    {6, "0006_lost_tail.sql", pg_sql_0006_start, pg_sql_0006_end},
    {7, "0007_unanswered.sql", pg_sql_0007_start, pg_sql_0007_end},
    {8, "0008_superseded.sql", pg_sql_0008_start, pg_sql_0008_end},
    {9, "0009_last_day.sql", pg_sql_0009_start, pg_sql_0009_end},
};
const size_t pg_migrations_n = ARRAY_LEN(pg_migrations);
