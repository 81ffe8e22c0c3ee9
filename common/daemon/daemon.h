/*
 * The skeleton of every process: settings, log, metrics, signals, Kafka producer, object store,
 * configuration feed, stages, parts, admin port, watchdog. A service is a const table and main is
 * one call.
 *
 * Contract with a supervisor: JSON lines on stderr; TERM drains and exits 0; any other exit means
 * start me again; /healthz (own threads), /readyz (can do its job), /metrics on the admin port;
 * sd_notify. Flags: --settings FILE, --<key> VALUE, --help, --version, --failpoints, --reference
 * (Markdown of settings and metrics), --check (settings only). Precedence: flags > TALARIA_<KEY> >
 * file > default.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "daemon/stage.h"
#include "kafka/kafka.h"
#include "objstore/objstore.h"
#include "rows/rows.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What every process has; a service's own settings follow it in its struct. */
struct daemon_settings {
    const char *site;           /* main */
    const char *instance;       /* default: host name */
    const char *brokers;        /* 127.0.0.1:9092 */
    struct kafka_options kafka; /* the other Kafka keys; brokers, client_id, linger are filled in */
    int64_t linger_ms;       /* of the producer; 0 = send at once */
    int64_t session_seconds; /* of every group: how long a crashed member keeps its partitions; 7 */
    const char *store;       /* file:var/store */
    const char *database;    /* libpq connection string; "" = none */
    const char *admin; /* 127.0.0.1:0 host:port of /healthz … ; port 0 = any, logged and written to
                          admin_file */
    const char *admin_file; /* where the chosen port is written; "" = nowhere */
    int log_level;
};
/* Their rows; the skeleton puts them before the service's own. */
extern const struct row daemon_rows[];
extern const size_t daemon_rows_n;

struct daemon;

/* Something that runs beside the stages: a listener, a relay, a web server. Started in order after
 * producer, store and configuration are there; stopped in reverse. */
struct daemon_part {
    const char *name;
    int (*start)(struct daemon *d, struct err *e);
    /* TERM has come: take in nothing new; running work may finish (≤ grace). May be NULL. */
    void (*drain)(struct daemon *d);
    void (*stop)(struct daemon *d);
    /* Can it do its job? why (≤ 127 bytes) when not. NULL: always. Any thread. */
    bool (*ready)(struct daemon *d, char why[128]);
};

struct service {
    const char *name;    /* "receiver" */
    const char *summary; /* one line for --help */
    /* Own settings: table rows beside the common ones; the struct starts with struct
     * daemon_settings. Key "tlsPort" is flag --tls-port, environment TALARIA_TLS_PORT, file member
     * "tlsPort". */
    const struct row *settings;
    size_t n_settings, settings_size;
    const struct stage *const *stages;                 /* NULL-terminated or NULL */
    const struct daemon_part *const *parts;            /* NULL-terminated or NULL */
    bool without_kafka, without_store, without_config; /* not needed by this service */
};

/* The whole life of the process; returns the exit status. */
int daemon_main(const struct service *s, int argc, char **argv);

/* ---- for parts and stages; any thread ---- */
const struct daemon_settings *daemon_settings(const struct daemon *d);
const char *daemon_owner(const struct daemon *d);  /* "<service>-<instance>" */
const char *daemon_source(const struct daemon *d); /* "/talaria/<site>/<service>/<instance>" */
struct kafka_producer *daemon_producer(struct daemon *d);
struct objstore *daemon_store(struct daemon *d);
bool daemon_stopping(const struct daemon *d);
/* A slot of the service's own (set by its first part or stage). */
void daemon_set_context(struct daemon *d, void *context);
void *daemon_context(struct daemon *d);

/* The newest configuration; hold it as long as it is used, then release. Never NULL. */
const struct config_snapshot *daemon_config(struct daemon *d);
void daemon_config_release(struct daemon *d, const struct config_snapshot *s);
/* Calls fn (in the feed's thread) after every new snapshot; may be NULL. */
void daemon_on_config(struct daemon *d, void (*fn)(void *arg), void *arg);
/* Appends all outputs: objects first, then records, waits for every acknowledgement. For parts and
 * for threads of a stage that record facts; stages' own outputs are written by the skeleton. */
int daemon_write(struct daemon *d, struct outputs *o, struct err *e) MUST_CHECK;
/* Prepares outputs (source, now). */
struct outputs daemon_outputs(struct daemon *d);

#ifdef __cplusplus
}
#endif
#endif
