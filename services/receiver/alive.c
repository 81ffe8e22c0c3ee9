/* The studies of an open association, in the order in which they were touched last. */
#include "receiver/alive.h"

#include "base/map.h"

struct touched {
    char *study;
    UT_hash_handle hh; /* in order: the one touched longest ago first */
};

struct alive {
    struct touched *studies;
    struct touched *latest;
};

struct alive *alive_new(void)
{
    return mem_zalloc(sizeof(struct alive));
}

static void forget(struct alive *l, struct touched *t)
{
    HASH_DEL(l->studies, t);
    mem_free(t->study);
    mem_free(t);
}

void alive_free(struct alive *l)
{
    if (!l)
        return;
    while (l->studies)
        forget(l, l->studies);
    mem_free(l);
}

void alive_touch(struct alive *l, const char *study)
{
    if (l->latest && strcmp(l->latest->study, study) == 0)
        return;
    struct touched *t;
    HASH_FIND_STR(l->studies, study, t);
    if (t) {
        HASH_DEL(l->studies, t);
    } else {
        t = mem_zalloc(sizeof *t);
        t->study = mem_strdup(study);
    }
    HASH_ADD_KEYPTR(hh, l->studies, t->study, strlen(t->study), t);
    l->latest = t;
    if (HASH_COUNT(l->studies) > ALIVE_STUDIES)
        forget(l, l->studies);
}

int alive_records(const struct alive *l, const char *association,
                  const struct event_source *source, struct outputs *out, struct err *e)
{
    for (const struct touched *t = l->studies; t; t = t->hh.next) {
        const char *study = t->study;
        const struct event ev = {
            .type = EVENT_ASSOCIATION_ALIVE,
            .alive = {.association = association, .source = *source, .studies = {&study, 1}}};
        if (outputs_event(out, "instance", -1, study, &ev, -1, e))
            return -1;
    }
    return 0;
}
