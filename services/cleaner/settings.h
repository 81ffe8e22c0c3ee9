/* Settings of the cleaner (docs/reference/cleaner.md is generated from settings.c). */
#ifndef CLEANER_SETTINGS_H
#define CLEANER_SETTINGS_H

#include "daemon/daemon.h"

struct cleaner_settings {
    struct daemon_settings common;
    int64_t scan_seconds, batch, emergency_percentage, barrier_seconds;
    int64_t reconcile_seconds, orphan_seconds, outbox_alarm_seconds;
};

extern const struct row cleaner_rows[];
extern const size_t cleaner_rows_n;

#endif
