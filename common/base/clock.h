/*
 * Two clocks. Decisions use neither: they use log time (design.md §3). Monotonic time measures
 * durations and deadlines inside one process; wall time is for people.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);
int64_t clock_wall_ms(void); /* Unix time */

#define CLOCK_RFC3339 32
/* 2026-11-24T13:16:00.123Z */
char *clock_rfc3339(char out[CLOCK_RFC3339], int64_t unix_ms);

/* The reverse (UTC "Z" only); -1 if it is not such a time. */
int64_t clock_parse_rfc3339(const char *text);

/* Sleeps; returns early (and -1) when *stop becomes non-zero. Checks every 50 ms. */
int clock_sleep_ms(int64_t ms, const volatile int *stop);

#ifdef __cplusplus
}
#endif
#endif
