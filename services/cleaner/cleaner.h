/* How the cleaner hangs in the skeleton: one part with two threads, each with its own connection.
 */
#ifndef CLEANER_CLEANER_H
#define CLEANER_CLEANER_H

#include "cleaner/settings.h"

extern const struct daemon_part cleaner_part;

#endif
