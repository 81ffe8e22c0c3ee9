/* The dispatcher's stage, and the part that owns its attempts. */
#ifndef DISPATCHER_DISPATCH_STAGE_H
#define DISPATCHER_DISPATCH_STAGE_H

#include "daemon/daemon.h"

extern const struct stage dispatch_stage;
extern const struct daemon_part dispatch_jobs;

#endif
