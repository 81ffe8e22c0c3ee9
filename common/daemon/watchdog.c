/* Who must come round, and when it last did. */
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/daemon_priv.h"

struct beat *watchdog_add(struct daemon *d, const char *name)
{
    if (d->n_beats == DAEMON_THREADS)
        abort();
    struct beat *b = &d->beats[d->n_beats++];
    b->name = name;
    watchdog_beat(b);
    return b;
}

void watchdog_beat(struct beat *b)
{
    __atomic_store_n(&b->at, clock_mono_ms(), __ATOMIC_RELAXED);
}

void watchdog_leave(struct beat *b)
{
    __atomic_store_n(&b->at, 0, __ATOMIC_RELAXED);
}

int64_t watchdog_silence(struct daemon *d, const char **name)
{
    int64_t now = clock_mono_ms(), longest = 0;
    *name = "";
    for (size_t i = 0; i < d->n_beats; i++) {
        int64_t at = __atomic_load_n(&d->beats[i].at, __ATOMIC_RELAXED);
        if (at && now - at > longest) {
            longest = now - at;
            *name = d->beats[i].name;
        }
    }
    return longest;
}

void readiness_init(struct readiness *r, const char *why)
{
    pthread_mutex_init(&r->lock, NULL);
    r->ready = false;
    str_copy(r->why, sizeof r->why, why);
}

void readiness_set(struct readiness *r, bool ready, const char *why)
{
    pthread_mutex_lock(&r->lock);
    r->ready = ready;
    str_copy(r->why, sizeof r->why, ready ? "" : why);
    pthread_mutex_unlock(&r->lock);
}

bool readiness_get(struct readiness *r, char why[DAEMON_WHY])
{
    pthread_mutex_lock(&r->lock);
    bool ready = r->ready;
    str_copy(why, DAEMON_WHY, r->why);
    pthread_mutex_unlock(&r->lock);
    return ready;
}
