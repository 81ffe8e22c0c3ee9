/*
 * What the commit metadata of one input of one partition says, and the careful mode that follows
 * from it (design.md §3, Poison and Commit metadata). Pure: stage.c, slot.c and poison.c do the I/O.
 *
 * An owner that takes a partition over writes its own name first; who finds another's name there
 * knows that it never closed, and counts a crash. From two crashes in a row on, each record's offset
 * is committed as "in hand" before it is touched. A record that was in hand at two crashes is poison.
 */
#ifndef DAEMON_CAREFUL_H
#define DAEMON_CAREFUL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define CAREFUL_CRASHES 2    /* in a row: from then on carefully */
#define CAREFUL_HITS    2    /* crashes with the same record in hand: poison */
#define CAREFUL_SKIPS   16   /* poison beyond one floor that is remembered */
#define CAREFUL_AHEAD   5000 /* how far beyond the last known place a crash may have been */
#define CAREFUL_NAME    40

/* A record: where it stands, and its mark (a part of careful_mark; 0: not known, from an older
 * version), since a log that lost its tail may hold another one there. */
struct careful_place {
    int64_t offset; /* -1: none */
    uint16_t mark;
};

struct careful {
    int64_t claim;           /* newest one of the input at the floor; -1 unknown */
    int64_t own;             /* newest claim of the own journal; -1 */
    char open[CAREFUL_NAME]; /* who works on it; "": closed cleanly */
    int64_t crashes;         /* in a row */
    int64_t at;              /* last record that was handled; -1 none */
    uint64_t mark;           /* what stands there */
    struct careful_place hand, suspect; /* in hand now; in hand at a crash */
    int64_t hits;                       /* at how many crashes the suspect was */
    struct careful_place skips[CAREFUL_SKIPS];
    size_t n_skips;
    bool alarm; /* it is known that the partition stays closed */
};

void careful_init(struct careful *c);
/* The metadata's text, and back; ≤ 1 KB whatever *c holds. encode replaces *out. */
int careful_decode(struct careful *c, const char *text, struct err *e) MUST_CHECK;
void careful_encode(struct str *out, const struct careful *c);

/* me (a name of this process's life) takes the partition over. */
void careful_open(struct careful *c, const char *me);
/* Given away cleanly. */
void careful_close(struct careful *c);
/* Is every record taken in hand? */
bool careful_is(const struct careful *c);
enum careful_what { CAREFUL_WORK, CAREFUL_PASS, CAREFUL_POISON };
/* What is done with the record at this offset: worked, passed by (it is in dlq), or put to dlq. */
enum careful_what careful_record(const struct careful *c, struct careful_place p);
void careful_take(struct careful *c, struct careful_place p); /* in hand */
void careful_put(struct careful *c);                          /* untouched: it has to wait */
void careful_done(struct careful *c, int64_t offset);         /* survived */
/* Into the skip list. If it is full the oldest goes, to be found out again after the next crash. */
void careful_skip(struct careful *c, struct careful_place p);
/* What lies before the floor is forgotten. */
void careful_floor(struct careful *c, int64_t floor);
/* Where the place of the crashes is surely passed, in a log that ends at end. */
int64_t careful_until(const struct careful *c, int64_t floor, int64_t end);
/* It is passed, and the floor has moved on. */
void careful_calm(struct careful *c);

/* What is remembered of a record: a hash of its id (without one: of its bytes) and its log time. */
uint64_t careful_mark(int64_t timestamp, struct slice value);
struct careful_place careful_place(int64_t offset, int64_t timestamp, struct slice value);
/* The id in an envelope; p NULL: none. */
struct slice careful_id(struct slice value);

#endif
