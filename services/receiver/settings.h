/* Settings of the receiver (docs/reference/receiver.md is generated from settings.c). */
#ifndef RECEIVER_SETTINGS_H
#define RECEIVER_SETTINGS_H

#include "daemon/daemon.h"

struct receiver_settings {
    struct daemon_settings common;
    const char *bind;
    int64_t port, tls_port;
    const char *tls_certificate, *tls_key, *tls_ca;
    int tls_verify; /* enum dimse_verify */
    int64_t associations, associations_per_peer, window;
    int64_t negotiate_seconds, idle_seconds, message_seconds, minimum_rate, message_bytes;
    int64_t memory_bytes, stream_bytes, reserve_bytes, announce_ms, drain_seconds, alive_seconds;
};

extern const struct row receiver_rows[];
extern const size_t receiver_rows_n;

#endif
