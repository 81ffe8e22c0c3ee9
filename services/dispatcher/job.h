/*
 * An attempt in its own thread: reads the manifest, lets the target's type send, records outcomes
 * as facts while it goes. One thread per running attempt, so a target that hangs holds up nobody
 * else.
 */
#ifndef DISPATCHER_JOB_H
#define DISPATCHER_JOB_H

#include "daemon/daemon.h"
#include "dispatcher/dispatch.h"
#include "dispatcher/settings.h"

struct jobs; /* all attempts of the process */
struct job;

struct jobs *jobs_new(struct daemon *d, const struct dispatcher_settings *s);
void jobs_free(struct jobs *j); /* after the last partition was closed */

/* Is there room for another attempt on this target (its `associations`, its pause, this patient)?
 */
bool jobs_allow(struct jobs *j, const struct config_snapshot *c, const char *target,
                const char *patient);
/* The job belongs to the partition until taken or abandoned; p outlives that. */
int jobs_start(struct jobs *j, const struct stage_partition *p, const struct delivery *x,
               int64_t attempt, struct err *e) MUST_CHECK;

/* A person asks again: the target's breaker is closed. */
void jobs_hurry(struct jobs *j, const char *target);
/* What the configuration has no more: neither breaker nor metrics of it are kept. */
void jobs_forget_gone(struct jobs *j, const struct config_snapshot *c);
/* The delivery was cancelled: its attempt, if one is under way, ends soon. */
void jobs_cancel(struct jobs *j, int32_t partition, const char *delivery);

struct job_result {
    char delivery[40];
    char reason[256]; /* "" = nothing went wrong */
    int64_t open;     /* members left open */
    int64_t retry_ms;
    bool refused; /* as in struct attempt_end */
};
/* One ended attempt of the partition. */
bool jobs_take_ended(struct jobs *j, int32_t partition, struct job_result *out);
/* The partition is lost: aborts its attempts and waits for their ends, at most wait_ms. */
void jobs_abandon(struct jobs *j, int32_t partition, int64_t wait_ms);

#endif
