/*
 * A target that fails again and again is left alone for a while: after three failed attempts in a
 * row the breaker opens, then lets one attempt through at a time, with longer pauses while that
 * fails, too. Waiting for an open breaker is not an attempt. Pure; times are the caller's.
 */
#ifndef DISPATCHER_BREAKER_H
#define DISPATCHER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 3
#define BREAKER_PAUSE_MS 60000
#define BREAKER_MAX_MS   900000

struct breaker {
    int failures; /* in a row */
    int64_t open_until, pause;
};

/* May another attempt start, while running ones are under way? */
bool breaker_allows(const struct breaker *b, int64_t now, int64_t running);
/* An attempt has ended. retry_ms: the target's own pause, which the breaker's never exceeds. */
void breaker_result(struct breaker *b, bool went_well, int64_t now, int64_t retry_ms);

#endif
