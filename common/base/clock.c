/* Clocks and text times. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t now_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_mono_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

int64_t clock_wall_ms(void)
{
    return now_ns(CLOCK_REALTIME) / 1000000;
}

char *clock_rfc3339(char out[CLOCK_RFC3339], int64_t unix_ms)
{
    time_t s = (time_t)(unix_ms / 1000);
    int ms = (int)(unix_ms % 1000);
    if (ms < 0) {
        ms += 1000;
        s--;
    }
    struct tm t;
    gmtime_r(&s, &t);
    size_t n = strftime(out, CLOCK_RFC3339, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + n, CLOCK_RFC3339 - n, ".%03dZ", ms);
    return out;
}

int64_t clock_parse_rfc3339(const char *text)
{
    struct tm t = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &t) : NULL;
    if (!rest)
        return -1;
    int64_t ms = 0;
    if (*rest == '.') {
        int64_t scale = 100;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            ms += (*rest - '0') * scale;
    }
    return rest[0] == 'Z' && rest[1] == '\0' ? (int64_t)timegm(&t) * 1000 + ms : -1;
}

int clock_sleep_ms(int64_t ms, const volatile int *stop)
{
    int64_t end = clock_mono_ms() + ms;
    for (;;) {
        if (stop && *stop)
            return -1;
        int64_t left = end - clock_mono_ms();
        if (left <= 0)
            return 0;
        int64_t step = left < 50 ? left : 50;
        struct timespec t = {.tv_sec = 0, .tv_nsec = step * 1000000};
        nanosleep(&t, NULL);
    }
}
