/* Keeps Postgres and what is published together: at start, and every 5 seconds. */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include "gateway/gateway.h"

struct relay;
int relay_start(struct relay **out, struct gateway *g, const char *conninfo,
                struct err *e) MUST_CHECK;
/* Postgres is there and has the schema of this program. */
bool relay_ready(struct relay *r, char why[128]);
void relay_stop(struct relay *r); /* NULL is fine */

#endif
