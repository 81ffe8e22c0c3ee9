/*
 * Some members of a manifest, as text: positions and ranges of them, ascending, none twice
 * ("0-3,17,20-29"). NULL stands for all members. Pure; any thread.
 */
#ifndef EVENT_POSITIONS_H
#define EVENT_POSITIONS_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

#define POSITIONS_TEXT 32768   /* bytes that a record may carry */
#define POSITIONS_END  5000000 /* every position is below */

/* The next range of a text. Start with {text} and last = -1. */
struct positions {
    const char *at; /* NULL: no more */
    int64_t first, last;
};
static inline struct positions positions_of(const char *text)
{
    return (struct positions){text, -1, -1};
}
/* 1: first … last is a range; 0: there is none left; -1: malformed. */
int positions_next(struct positions *p);

/* 0, or -1 and why the text is none. */
int positions_check(const char *text, struct err *e) MUST_CHECK;
/* Of a text that was checked: how many they are; one past the last. */
int64_t positions_count(const char *text);
int64_t positions_end(const char *text);

/* Appends those of "all" (NULL: 0 … n-1) that are not in "done", both of them checked; returns how
 * many. */
int64_t positions_without(struct str *out, const char *all, int64_t n, const char *done);

#ifdef __cplusplus
}
#endif
#endif
