/* The circuit breaker of one target. */
#include "dispatcher/breaker.h"

bool breaker_allows(const struct breaker *b, int64_t now, int64_t running)
{
    return b->failures < BREAKER_FAILURES || (now >= b->open_until && running == 0);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void breaker_result(struct breaker *b, bool went_well, int64_t now, int64_t retry_ms)
{
    if (went_well) {
        *b = (struct breaker){0};
        return;
    }
    if (++b->failures < BREAKER_FAILURES)
        return;
    b->pause = b->pause ? least(b->pause * 2, BREAKER_MAX_MS) : BREAKER_PAUSE_MS;
    b->pause = least(b->pause, retry_ms);
    b->open_until = now + b->pause;
}
