/* Settings of the dispatcher (docs/reference/dispatcher.md is generated from settings.c). */
#ifndef DISPATCHER_SETTINGS_H
#define DISPATCHER_SETTINGS_H

#include "daemon/daemon.h"

struct dispatcher_settings {
    struct daemon_settings common;
    const char *calling_ae;
    int64_t transfers, connect_seconds, stop_seconds, missing_seconds, expire_seconds;
};

extern const struct row dispatcher_rows[];
extern const size_t dispatcher_rows_n;

#endif
