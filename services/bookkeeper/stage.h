/* How the bookkeeper hangs in the skeleton: one batch stage over every topic, one part beside it.
 */
#ifndef BOOKKEEPER_STAGE_H
#define BOOKKEEPER_STAGE_H

#include "daemon/daemon.h"

extern const struct stage bookkeeper_stage;
/* Migrates at start, looks after pending manifests and measures ages every 10 s. */
extern const struct daemon_part bookkeeper_ledger;

#endif
