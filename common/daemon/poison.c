/*
 * Careful mode at work (design.md §3, Poison): a record's offset is committed as in hand before it is
 * touched; what killed its worker again and again goes to dlq and is passed by from then on.
 */
#include "daemon/stage_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define COMMIT_PAUSE_MS 500

METRIC_COUNTER(poisoned, "talaria_stage_poison_total",
               "Records that killed their worker again and again and went to dlq.", "stage");

static int passed_by(struct runner *r, struct slot *s, size_t input, const struct kafka_record *k)
{
    struct stage_record rec;
    stage_fill(&rec, k, r->stage->inputs[input], r->same ? &s->claims : &s->in[input].claims);
    if (r->stage->skipped)
        r->stage->skipped(s->state, &rec);
    return 0;
}

static int closed(struct runner *r, struct slot *s, const struct err *e)
{
    LOG_LIMITED(LOG_LEVEL_WARN, "a record cannot be taken in hand", LOG_STR("stage", r->stage->name),
                LOG_INT("partition", s->partition), LOG_ERR(e));
    if (s->state)
        slot_close(r, s, COMMIT_PAUSE_MS);
    return -1;
}

static struct careful_place place(const struct kafka_record *k)
{
    return careful_place(k->offset, k->timestamp, k->value);
}

/* dlq first, then the skip list: a crash between the two repeats both. */
static int reject(struct runner *r, struct slot *s, size_t input, const struct kafka_record *k)
{
    struct careful *c = &s->in[input].careful;
    struct rejected rejected = {r->stage->name, s->claim, c->crashes};
    struct err why = {0}, e = {0};
    err_set(&why, ERR_REJECT, 0, "in hand when its worker died, %d times", (int)c->hits);
    log_error("record rejected", LOG_STR("stage", r->stage->name), LOG_STR("topic", k->topic),
              LOG_INT("partition", k->partition), LOG_INT("offset", k->offset), LOG_ERR(&why));
    if (dlq_append(&r->out, k, &rejected, &why, &e))
        log_error("rejected record cannot be described", LOG_ERR(&e));
    if (runner_settle(r))
        return -1;
    careful_skip(c, place(k));
    metric_add(&poisoned, 1, r->stage->name);
    if (slot_commit(r, s, &e))
        return closed(r, s, &e);
    return passed_by(r, s, input, k);
}

int careful_before(struct runner *r, struct slot *s, size_t input, const struct kafka_record *k)
{
    struct careful *c = &s->in[input].careful;
    struct err e = {0};
    switch (careful_record(c, place(k))) {
    case CAREFUL_PASS:
        return passed_by(r, s, input, k);
    case CAREFUL_POISON:
        return reject(r, s, input, k);
    default:
        break;
    }
    if (!careful_is(c))
        return 1;
    careful_take(c, place(k));
    watchdog_beat(r->beat);
    /* all of them: what another partition had in hand is through */
    return slots_commit(r, &e) ? closed(r, s, &e) : 1;
}

void careful_after(struct runner *r, struct slot *s, size_t input, int64_t offset, bool done)
{
    struct careful *c = &s->in[input].careful;
    if (!careful_is(c))
        return;
    if (runner_settle(r) || !s->state)
        return;
    if (done)
        careful_done(c, offset);
    else
        careful_put(c);
    r->commit_at = 0; /* its hands are empty again: said at the end of this turn */
}
