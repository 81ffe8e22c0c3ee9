/* The dispatcher's stage. */
#ifndef DISPATCHER_DISPATCH_STAGE_H
#define DISPATCHER_DISPATCH_STAGE_H

#include "daemon/daemon.h"

extern const struct stage dispatch_stage;

#endif
