/*
 * The SQL shell of the bookkeeper: writes planned rows and positions in one transaction. A book
 * belongs to one thread at a time.
 */
#ifndef BOOKKEEPER_BOOK_H
#define BOOKKEEPER_BOOK_H

#include "bookkeeper/plan.h"
#include "daemon/stage.h"
#include "objstore/objstore.h"
#include "pg/pg.h"

struct book;

struct book *book_new(const char *conninfo, struct objstore *store);
void book_free(struct book *b);

/* Where to read each partition from, and what stood before; a new partition begins at its start. */
int book_positions(struct book *b, struct stage_place *places, size_t n, struct err *e) MUST_CHECK;
/* Reads a partition again from an earlier offset. 1: not one in which choices stand, which count by
 * the claims before them. */
int book_back(struct book *b, const struct stage_place *place, int64_t offset,
              struct err *e) MUST_CHECK;
/* All or nothing. RETRY: again; REJECT: one of the records cannot be written; FATAL: another
 * bookkeeper has gone on from here, or this batch is in already: ask for the positions again. */
int book_batch(struct book *b, const struct kafka_record *records, size_t n,
               struct err *e) MUST_CHECK;

/* Decisions whose manifest could not be read with their record: tries again, and gives up on those
 * that are older than 2 minutes. */
int book_pending(struct book *b, struct err *e) MUST_CHECK;

/* The connection (connected or not), for the queries of the same thread. */
struct pg *book_pg(struct book *b);

#endif
