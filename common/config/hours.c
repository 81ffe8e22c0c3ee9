/* Hours of the day: off-peak windows, which may wrap midnight. */
#include <time.h>

#include "config/config.h"

static int two_digits(const char *p)
{
    return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9'
               ? (p[0] - '0') * 10 + p[1] - '0'
               : -1;
}

int config_minute(const char *hh_mm)
{
    if (!hh_mm || strlen(hh_mm) != 5 || hh_mm[2] != ':')
        return -1;
    int h = two_digits(hh_mm), m = two_digits(hh_mm + 3);
    return h < 0 || h > 23 || m < 0 || m > 59 ? -1 : h * 60 + m;
}

bool config_in_hours(const char *start, const char *end, int minute)
{
    int from = config_minute(start), to = config_minute(end);
    if (from < 0 || to < 0)
        return true;
    return from <= to ? minute >= from && minute <= to : minute >= from || minute <= to;
}

bool config_off_peak(const struct config_defaults *d, int64_t unix_ms)
{
    time_t s = (time_t)(unix_ms / 1000);
    struct tm t;
    localtime_r(&s, &t);
    return config_in_hours(d->off_peak_start, d->off_peak_end, t.tm_hour * 60 + t.tm_min);
}
