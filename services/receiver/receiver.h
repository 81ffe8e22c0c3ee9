/* What the files of the receiver share: one struct for the process, one per association. */
#ifndef RECEIVER_RECEIVER_H
#define RECEIVER_RECEIVER_H

#include <pthread.h>

#include "base/id.h"
#include "dimse/dimse.h"
#include "ingest/ingest.h"
#include "receiver/alive.h"
#include "receiver/evidence.h"
#include "receiver/settings.h"

#define LISTENERS 2

struct receiver {
    struct daemon *daemon;
    const struct receiver_settings *settings;
    struct ingest *ingest;
    struct dimse_tls *tls;
    struct dimse_limits limits;
    int listen_fd[LISTENERS]; /* plain, TLS; -1 = none */
    pthread_t accept_thread[LISTENERS];
    volatile int draining, stopped;
    pthread_t beat_thread;
    bool beats;
    pthread_mutex_t lock;
    struct association *associations; /* running; under lock */
    unsigned n_associations;
    pthread_cond_t ended;
};

struct association {
    struct receiver *receiver;
    struct association *previous, *next; /* receiver.associations */
    int fd;
    int negotiating_fd; /* the same socket until it is negotiated, to wake that up; -1 after; under lock */
    bool tls, over_limit;
    char address[64]; /* of the peer, without port */
    struct dimse_assoc *dimse; /* under receiver.lock once shared (dimse_wake) */
    struct dimse_peer peer;
    const struct config_snapshot *config; /* held while it runs */
    const struct config_source *source;
    char id[ID_UUID];
    struct evidence *evidence;
    struct alive *alive; /* NULL: its source does not want it; under receiver.lock */
};

/* association.c: the life of one association; frees it. */
void *association_run(void *arg);
/* beat.c */
int receiver_beat_start(struct receiver *r, struct err *e) MUST_CHECK;
void receiver_beat_stop(struct receiver *r);
/* listener.c */
extern const struct daemon_part receiver_listeners;
void receiver_association_ended(struct association *a);
/* Negotiation is over: dimse may be woken from now on, NULL if nothing came of it. */
void receiver_negotiated(struct association *a, struct dimse_assoc *dimse);

#endif
