/* What decide reads for a replay or reroute. Results as in decide_setup: 0 read, 1 gone, -1 not now. */
#ifndef ROUTER_PAST_STAGE_H
#define ROUTER_PAST_STAGE_H

#include "base/vec.h"
#include "daemon/daemon.h"
#include "event/topics.h"

struct past_reader {
    struct daemon *daemon;
    int32_t partition;
    char topic[TOPIC_NAME];
    struct kafka_reader *reader; /* only while a command is worked */
    VEC(struct config_snapshot *) snapshots;
};

void past_init(struct past_reader *p, struct daemon *d, int32_t partition);
/* The record is done: what was read for it is given back. */
void past_done(struct past_reader *p);

int past_decision(struct past_reader *p, int64_t offset, struct slice *out, struct arena *a,
                  struct err *e);
/* Valid until past_done. */
int past_configuration(struct past_reader *p, const char *revision,
                       const struct config_snapshot **out, struct err *e);

#endif
