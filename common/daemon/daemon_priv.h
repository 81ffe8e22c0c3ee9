/* What the files of the skeleton share. */
#ifndef DAEMON_DAEMON_PRIV_H
#define DAEMON_DAEMON_PRIV_H

#include <pthread.h>

#include "base/arena.h"
#include "daemon/daemon.h"
#include "event/topics.h"

#define DAEMON_WHY     160
#define DAEMON_STAGES  8
#define DAEMON_THREADS 16

/* How one thing stands, written by its own thread and read by /readyz. */
struct readiness {
    pthread_mutex_t lock;
    bool ready;
    char why[DAEMON_WHY];
};
void readiness_init(struct readiness *r, const char *why);
void readiness_set(struct readiness *r, bool ready, const char *why);
bool readiness_get(struct readiness *r, char why[DAEMON_WHY]);

/* A thread that must come round: the watchdog aborts the process when it does not. */
struct beat {
    const char *name;
    int64_t at; /* monotonic ms, atomic; 0 = not running */
};

struct feed;
struct admin;
struct runner;

struct daemon {
    const struct service *service;
    struct arena *arena; /* settings and strings below, for the life of the process */
    struct daemon_settings *settings;
    const char *owner, *source;
    struct kafka_options kafka;
    struct kafka_producer *producer;
    struct objstore *store;
    struct feed *feed;
    struct admin *admin;
    struct runner *runners[DAEMON_STAGES];
    size_t n_runners, n_parts; /* started */
    void *context;
    volatile int stopping;
    volatile int failed;   /* leave with an error */
    struct readiness boot; /* what main is waiting for */
    struct beat beats[DAEMON_THREADS];
    size_t n_beats;
    struct beat *main_beat;
    int64_t wall_ahead; /* of the monotonic clock, when it was last compared */
};

/* settings.c */
struct row_table settings_table(const struct service *s, struct arena *a);
/* What the command line asks for besides settings. */
enum settings_mode {
    MODE_RUN,
    MODE_HELP,
    MODE_VERSION,
    MODE_FAILPOINTS,
    MODE_REFERENCE,
    MODE_CHECK
};
/* Precedence: flags > environment > file > defaults. */
int settings_read(void *out, const struct service *s, int argc, char **argv, struct arena *a,
                  enum settings_mode *mode, struct err *e) MUST_CHECK;

/* reference.c */
void reference_help(const struct service *s);
void reference_markdown(const struct service *s);
void reference_failpoints(const struct service *s);

/* admin.c */
int admin_start(struct admin **out, struct daemon *d, struct err *e) MUST_CHECK;
void admin_stop(struct admin *a);
int admin_port(const struct admin *a);
/* The answers, for the server and for tests: HTTP status, body appended. */
int admin_health(struct daemon *d, struct str *out);
int admin_ready(struct daemon *d, struct str *out);

/* config_feed.c */
int feed_start(struct feed **out, struct daemon *d, struct err *e) MUST_CHECK;
void feed_stop(struct feed *f);
bool feed_loaded(struct feed *f, char why[DAEMON_WHY]);
const struct config_snapshot *feed_hold(struct feed *f);
void feed_release(struct feed *f, const struct config_snapshot *s);
void feed_notify(struct feed *f, void (*fn)(void *arg), void *arg);

/* write.c */
/* A failpoint "<stage>.<where>", whose name is made at run time; stage NULL: none. */
int stage_failpoint(const char *stage, const char *where, struct err *e);
/* As daemon_write; name (may be NULL) prefixes the failpoints. */
int write_outputs(struct daemon *d, struct outputs *o, const char *name, struct err *e) MUST_CHECK;

/* dlq.c */
struct rejected {
    const char *stage;
    int64_t claim, attempts;
};
int dlq_append(struct outputs *out, const struct kafka_record *r, const struct rejected *why,
               const struct err *error, struct err *e) MUST_CHECK;

/* topics_check.c: waits until the broker has every topic this service uses. */
int topics_check(struct daemon *d, struct err *e) MUST_CHECK;

/* stage.c */
int runner_start(struct runner **out, struct daemon *d, const struct stage *s,
                 struct err *e) MUST_CHECK;
void runner_stop(struct runner *r); /* joins */
bool runner_ready(struct runner *r, char why[DAEMON_WHY]);
const char *runner_name(const struct runner *r);
/* "<stage>.handled" … each once. */
void stage_failpoints(const struct stage *s, void (*fn)(const char *name, void *arg), void *arg);

/* process.c: before the metrics are rendered */
void process_measure(void);

/* watchdog.c */
struct beat *watchdog_add(struct daemon *d, const char *name);
void watchdog_beat(struct beat *b);
void watchdog_leave(struct beat *b);
/* The slowest thread's silence; *name = whose. */
int64_t watchdog_silence(struct daemon *d, const char **name);

/* notify.c: sd_notify without libsystemd; nothing happens without NOTIFY_SOCKET. */
void notify_supervisor(const char *state);

#endif
