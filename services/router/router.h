/* The stages of the router; main.c puts them into one process. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "daemon/daemon.h"

struct router_settings {
    struct daemon_settings common; /* it has no settings of its own */
};

extern const struct stage router_decide, router_plan;

#endif
