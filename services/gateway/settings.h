/* Settings of the gateway, one row per key in settings.c. */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "daemon/daemon.h"

struct gateway_settings {
    struct daemon_settings common;
    const char *listen, *api_token_file;
    struct row_strings hosts;
    int64_t connections, body_bytes, database_connections;
};

extern const struct row gateway_rows[];
extern const size_t gateway_rows_n;

#endif
