/* Positions of a manifest as text (see positions.h). */
#include "event/positions.h"

#include <inttypes.h>
#include <stdbool.h>

/* Digits without a zero before them, below the end. */
static int64_t number(const char **at)
{
    const char *s = *at;
    int64_t v = 0;
    if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9'))
        return -1;
    while (*s >= '0' && *s <= '9' && v < POSITIONS_END)
        v = v * 10 + (*s++ - '0');
    *at = s;
    return v < POSITIONS_END ? v : -1;
}

int positions_next(struct positions *p)
{
    const char *at = p->at;
    if (!at)
        return 0;
    int64_t first = number(&at), last = first;
    if (first >= 0 && *at == '-') {
        at++;
        last = number(&at);
        if (last <= first)
            return -1;
    }
    if (first <= p->last || (*at && *at != ','))
        return -1;
    *p = (struct positions){*at ? at + 1 : NULL, first, last};
    return 1;
}

int positions_check(const char *text, struct err *e)
{
    struct positions p = positions_of(text);
    int r;
    while ((r = positions_next(&p)) > 0)
        ;
    return r == 0 ? 0
                  : err_set(e, ERR_REJECT, 0,
                            "must be positions as 0-3,17: ascending, none twice, below %d",
                            POSITIONS_END);
}

int64_t positions_count(const char *text)
{
    struct positions p = positions_of(text);
    int64_t n = 0;
    while (positions_next(&p) > 0)
        n += p.last - p.first + 1;
    return n;
}

int64_t positions_end(const char *text)
{
    struct positions p = positions_of(text);
    while (positions_next(&p) > 0)
        ;
    return p.last + 1;
}

static void put(struct str *out, size_t before, int64_t first, int64_t last)
{
    str_printf(out, "%s%" PRId64, out->len > before ? "," : "", first);
    if (last > first)
        str_printf(out, "-%" PRId64, last);
}

/* What is done, as far as it was looked at. */
struct done {
    struct positions range;
    bool some;
};

/* first … last without what is done; how many. */
static int64_t put_rest(struct str *out, size_t before, int64_t first, int64_t last,
                        struct done *d)
{
    int64_t count = 0;
    while (first <= last) {
        while (d->some && d->range.last < first)
            d->some = positions_next(&d->range) > 0;
        int64_t end = d->some && d->range.first <= last ? d->range.first : last + 1;
        if (first < end)
            put(out, before, first, end - 1);
        count += first < end ? end - first : 0;
        first = end > last ? end : d->range.last + 1;
    }
    return count;
}

int64_t positions_without(struct str *out, const char *all, int64_t n, const char *done)
{
    struct positions a = positions_of(all);
    struct done d = {positions_of(done), true};
    size_t before = out->len;
    int64_t count = 0;
    if (!all)
        return put_rest(out, before, 0, n - 1, &d);
    while (positions_next(&a) > 0)
        count += put_rest(out, before, a.first, a.last, &d);
    return count;
}
