/*
 * The producer: idempotent, acks=all. Every accepted message stays in an own list until it is
 * acknowledged or has failed, so that a fatal error of librdkafka (which kills its handle) is
 * repaired by a new handle and sending the list again. Callers see a delay.
 *
 * One thread serves the delivery reports and is the only one that replaces the handle. Requests of
 * other threads hold a reference, and an old handle is destroyed when they are gone.
 */
#include <errno.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/vec.h"
#include "kafka/kafka_priv.h"
#include "metrics/metrics.h"

#define MESSAGE_TIMEOUT_MS 15000
#define PENDING_MAX        20000
#define PENDING_BYTES_MAX  (64u << 20)
#define SERVE_MS           250
#define PROBE_MS           1000
/* After a failed acknowledgement a good metadata answer counts only after this long. */
#define DOUBT_MS 3000

METRIC_COUNTER(acknowledged, "talaria_kafka_records_produced_total",
               "Records produced, by what the broker said.", "outcome");
METRIC_COUNTER(restarts, "talaria_kafka_producer_restarts_total",
               "Producer handles replaced after a fatal error.", "");
METRIC_HISTOGRAM(ack_seconds, "talaria_kafka_ack_seconds",
                 "From handing a record over until its acknowledgement.", "",
                 metric_seconds_instance);

struct pending {
    TAILQ_ENTRY(pending) link;
    struct kafka_message m; /* points into data */
    kafka_acked acked;
    void *arg;
    int64_t born; /* monotonic */
    size_t size;
    char data[];
};
TAILQ_HEAD(pending_list, pending);

struct handle {
    rd_kafka_t *rk;
    int users; /* requests of other threads; under the producer's lock */
};

struct known_topic {
    char *name;
    int32_t partitions;
};

struct kafka_producer {
    struct kafka_options *options;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* list became empty, a handle lost a user */
    struct handle *handle;
    struct pending_list list;
    size_t n, bytes;
    VEC(struct known_topic) topics;
    bool fatal, closed;
    bool connected, stop; /* atomics */
    int64_t doubt_until;  /* the serving thread's */
    pthread_t thread, undertaker;
    bool has_undertaker;
};

/* ---- one message ---- */

static struct pending *pending_new(const struct kafka_message *m, kafka_acked acked, void *arg)
{
    size_t n = strlen(m->topic) + 1 + m->key.n + m->value.n;
    for (size_t i = 0; i < m->n_headers; i++)
        n += strlen(m->headers[i].name) + 1 + m->headers[i].value.n;
    struct pending *p = mem_alloc(sizeof *p + n);
    char *at = p->data;
    p->m = *m;
    p->m.topic = memcpy(at, m->topic, strlen(m->topic) + 1);
    at += strlen(m->topic) + 1;
#define KEEP(slice)                                                                                \
    ((slice).n ? memcpy(at, (slice).p, (slice).n) : 0, (slice).p = (slice).p ? at : NULL,          \
     at += (slice).n)
    KEEP(p->m.key);
    KEEP(p->m.value);
    for (size_t i = 0; i < m->n_headers; i++) {
        const char *name = m->headers[i].name;
        p->m.headers[i].name = memcpy(at, name, strlen(name) + 1);
        at += strlen(name) + 1;
        KEEP(p->m.headers[i].value);
    }
#undef KEEP
    p->acked = acked;
    p->arg = arg;
    p->born = clock_mono_ms();
    p->size = sizeof *p + n;
    return p;
}

/* The headers are an object of our own: librdkafka before 2.12 frees its own ones twice when the
 * forced partition does not exist. */
static rd_kafka_headers_t *headers_of(const struct kafka_message *m)
{
    rd_kafka_headers_t *h = rd_kafka_headers_new(m->n_headers);
    for (size_t i = 0; i < m->n_headers; i++)
        rd_kafka_header_add(h, m->headers[i].name, -1, m->headers[i].value.p,
                            (ssize_t)m->headers[i].value.n);
    return h;
}

static int send_to(rd_kafka_t *rk, struct pending *p, struct err *e)
{
    const struct kafka_message *m = &p->m;
    rd_kafka_headers_t *headers = headers_of(m);
    const rd_kafka_vu_t v[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = m->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = m->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)m->key.p, m->key.n}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)m->value.p, m->value.n}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = p},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    if (!kafka_error_take(e, rd_kafka_produceva(rk, v, ARRAY_LEN(v)), m->topic))
        return 0;
    rd_kafka_headers_destroy(headers);
    return -1;
}

static void list_add(struct kafka_producer *p, struct pending *m)
{
    TAILQ_INSERT_TAIL(&p->list, m, link);
    p->n++;
    p->bytes += m->size;
}

static void list_remove(struct kafka_producer *p, struct pending *m)
{
    TAILQ_REMOVE(&p->list, m, link);
    p->bytes -= m->size;
    if (--p->n == 0)
        pthread_cond_broadcast(&p->changed);
}

/* The end of a message: the caller hears of it before flush can see it gone. */
static void finish(struct kafka_producer *p, struct pending *m, const struct kafka_ack *ack)
{
    metric_add(&acknowledged, 1, ack->err.kind ? "failed" : "ok");
    if (!ack->err.kind)
        metric_observe(&ack_seconds, (double)(clock_mono_ms() - m->born) / 1000);
    if (m->acked)
        m->acked(m->arg, ack);
    pthread_mutex_lock(&p->lock);
    list_remove(p, m);
    pthread_mutex_unlock(&p->lock);
    mem_free(m);
}

static void fail(struct kafka_producer *p, struct pending *m, const struct err *e)
{
    struct kafka_ack ack = {.partition = m->m.partition, .offset = -1, .timestamp = -1, .err = *e};
    finish(p, m, &ack);
}

/* ---- callbacks of librdkafka, in the serving thread ---- */

static void set_connected(struct kafka_producer *p, bool yes)
{
    __atomic_store_n(&p->connected, yes, __ATOMIC_RELAXED);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_producer *p = opaque;
    struct pending *own = m->_private;
    char why[16];
    if (m->err && rd_kafka_fatal_error(rk, why, sizeof why)) {
        pthread_mutex_lock(&p->lock);
        p->fatal = true; /* it stays in the list and is sent again */
        pthread_mutex_unlock(&p->lock);
        return;
    }
    struct kafka_ack ack = {.partition = m->partition, .offset = m->offset, .timestamp = -1};
    if (m->err) {
        kafka_error(&ack.err, m->err, "%s", own->m.topic);
        p->doubt_until = clock_mono_ms() + DOUBT_MS;
        set_connected(p, ack.err.kind == ERR_REJECT);
    } else {
        rd_kafka_timestamp_type_t kind;
        int64_t t = rd_kafka_message_timestamp(m, &kind);
        ack.timestamp = kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? t : -1;
        set_connected(p, true);
    }
    finish(p, own, &ack);
}

static void troubled(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_producer *p = opaque;
    (void)rk;
    (void)reason;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        set_connected(p, false);
    if (code != RD_KAFKA_RESP_ERR__FATAL)
        return;
    pthread_mutex_lock(&p->lock);
    p->fatal = true;
    pthread_mutex_unlock(&p->lock);
}

/* ---- handles ---- */

static rd_kafka_conf_t *producer_conf(struct kafka_producer *p, struct err *e)
{
    char linger[16], timeout[16];
    const struct kafka_options *o = p->options;
    snprintf(linger, sizeof linger, "%d", o->linger_ms);
    snprintf(timeout, sizeof timeout, "%d", o->message_timeout_ms);
    const struct kafka_setting s[] = {
        {"enable.idempotence", "true", false},
        {"acks", "all", false},
        {"partitioner", "murmur2_random", false},
        {"linger.ms", linger, false},
        {"message.timeout.ms", timeout, false},
        {"compression.type", "none", false},
        {"queue.buffering.max.messages", "40000", false},
        {"queue.buffering.max.kbytes", "131072", false},
    };
    rd_kafka_conf_t *conf = kafka_conf(o, e);
    if (conf && kafka_conf_add(conf, s, ARRAY_LEN(s), e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

static struct handle *handle_new(struct kafka_producer *p, struct err *e)
{
    rd_kafka_conf_t *conf = producer_conf(p, e);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_error_cb(conf, troubled);
    rd_kafka_t *rk = kafka_handle(RD_KAFKA_PRODUCER, conf, e);
    if (!rk)
        return NULL;
    struct handle *h = mem_zalloc(sizeof *h);
    h->rk = rk;
    return h;
}

static struct handle *handle_use(struct kafka_producer *p)
{
    pthread_mutex_lock(&p->lock);
    struct handle *h = p->handle;
    h->users++;
    pthread_mutex_unlock(&p->lock);
    return h;
}

static void handle_done(struct kafka_producer *p, struct handle *h)
{
    pthread_mutex_lock(&p->lock);
    h->users--;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void handle_destroy(struct kafka_producer *p, struct handle *h)
{
    pthread_mutex_lock(&p->lock);
    while (h->users)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
    rd_kafka_purge(h->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                              RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_destroy(h->rk);
    mem_free(h);
}

struct burial {
    struct kafka_producer *p;
    struct handle *h;
};

static void *bury(void *arg)
{
    struct burial *b = arg;
    handle_destroy(b->p, b->h);
    mem_free(b);
    return NULL;
}

/* Destroys an old handle in the background, one at a time. */
static void retire(struct kafka_producer *p, struct handle *old)
{
    if (p->has_undertaker)
        thread_join(p->undertaker);
    struct burial *b = mem_alloc(sizeof *b);
    *b = (struct burial){p, old};
    p->has_undertaker = !thread_start(&p->undertaker, "kafka-old", 0, bury, b, NULL);
    if (!p->has_undertaker)
        bury(b);
}

/* ---- the serving thread ---- */

/* Sends the whole list on the new handle, in order. What it cannot take has failed. */
static void send_again(struct kafka_producer *p, struct pending_list *failed, struct err *e)
{
    struct pending *m, *next;
    int64_t oldest = clock_mono_ms() - p->options->message_timeout_ms;
    for (m = TAILQ_FIRST(&p->list); m; m = next) {
        next = TAILQ_NEXT(m, link);
        if (m->born >= oldest && !send_to(p->handle->rk, m, e))
            continue;
        list_remove(p, m);
        TAILQ_INSERT_TAIL(failed, m, link);
    }
}

static void replace(struct kafka_producer *p)
{
    struct err e = {0};
    struct handle *fresh = handle_new(p, &e);
    if (!fresh) {
        clock_sleep_ms(100, NULL); /* no thread or memory left: again at the next turn */
        return;
    }
    struct handle *old = p->handle;
    while (rd_kafka_poll(old->rk, 0) > 0) /* what the old one still acknowledged counts */
        ;
    struct pending_list failed = TAILQ_HEAD_INITIALIZER(failed);
    pthread_mutex_lock(&p->lock);
    p->handle = fresh;
    p->fatal = false;
    send_again(p, &failed, &e);
    pthread_mutex_unlock(&p->lock);
    metric_add(&restarts, 1);
    retire(p, old);
    err_set(&e, ERR_RETRY, 0, "timed out while the producer was renewed");
    while (!TAILQ_EMPTY(&failed)) {
        struct pending *m = TAILQ_FIRST(&failed);
        TAILQ_REMOVE(&failed, m, link);
        pthread_mutex_lock(&p->lock);
        list_add(p, m); /* finish takes it out */
        pthread_mutex_unlock(&p->lock);
        fail(p, m, &e);
    }
}

/* Is a broker there? librdkafka tells when all are gone, not when one is back. */
static void probe(struct kafka_producer *p)
{
    const struct rd_kafka_metadata *md = NULL;
    if (!rd_kafka_metadata(p->handle->rk, 0, NULL, &md, 200))
        set_connected(p, clock_mono_ms() >= p->doubt_until);
    if (md)
        rd_kafka_metadata_destroy(md);
}

static void *serve(void *arg)
{
    struct kafka_producer *p = arg;
    int64_t next_probe = 0;
    while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
        rd_kafka_poll(p->handle->rk, SERVE_MS);
        pthread_mutex_lock(&p->lock);
        bool fatal = p->fatal;
        pthread_mutex_unlock(&p->lock);
        if (fatal)
            replace(p);
        int64_t now = clock_mono_ms();
        if (!__atomic_load_n(&p->connected, __ATOMIC_RELAXED) && now >= next_probe) {
            probe(p);
            next_probe = now + PROBE_MS;
        }
    }
    return NULL;
}

/* ---- the interface ---- */

int kafka_producer_new(struct kafka_producer **out, const struct kafka_options *o, struct err *e)
{
    struct kafka_producer *p = mem_zalloc(sizeof *p);
    p->options = kafka_options_copy(o);
    if (!p->options->message_timeout_ms)
        p->options->message_timeout_ms = MESSAGE_TIMEOUT_MS;
    TAILQ_INIT(&p->list);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &attr);
    pthread_condattr_destroy(&attr);
    p->handle = handle_new(p, e);
    if (p->handle && !thread_start(&p->thread, "kafka-acks", 0, serve, p, e)) {
        *out = p;
        return 0;
    }
    if (p->handle)
        handle_destroy(p, p->handle);
    kafka_options_free(p->options);
    mem_free(p);
    return -1;
}

static int accept_message(struct kafka_producer *p, struct pending *m, struct err *e)
{
    if (p->closed)
        return err_set(e, ERR_RETRY, 0, "producer is closed");
    if (p->n >= PENDING_MAX || p->bytes + m->size > PENDING_BYTES_MAX)
        return err_set(e, ERR_RETRY, RD_KAFKA_RESP_ERR__QUEUE_FULL, "producer queue is full");
    list_add(p, m);
    struct err own = {0};
    if (p->fatal || !send_to(p->handle->rk, m, &own))
        return 0;
    char why[16];
    if (rd_kafka_fatal_error(p->handle->rk, why, sizeof why)) {
        p->fatal = true; /* the serving thread will send it on a new handle */
        return 0;
    }
    list_remove(p, m);
    if (e)
        *e = own;
    return -1;
}

int kafka_produce(struct kafka_producer *p, const struct kafka_message *m, kafka_acked acked,
                  void *arg, struct err *e)
{
    if (m->n_headers > KAFKA_HEADERS || strlen(m->topic) >= KAFKA_TOPIC_MAX)
        return err_set(e, ERR_REJECT, 0, "too many headers or too long a topic name");
    struct pending *own = pending_new(m, acked, arg);
    pthread_mutex_lock(&p->lock);
    int r = accept_message(p, own, e);
    pthread_mutex_unlock(&p->lock);
    if (r)
        mem_free(own);
    return r;
}

static struct timespec deadline(int64_t wait_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += wait_ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool kafka_producer_ready(struct kafka_producer *p)
{
    return __atomic_load_n(&p->connected, __ATOMIC_RELAXED);
}

static int32_t known_partitions(struct kafka_producer *p, const char *topic)
{
    int32_t n = -1;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->topics.n && n < 0; i++)
        if (strcmp(p->topics.items[i].name, topic) == 0)
            n = p->topics.items[i].partitions;
    pthread_mutex_unlock(&p->lock);
    return n;
}

int32_t kafka_partitions(struct kafka_producer *p, const char *topic, struct err *e)
{
    int32_t n = known_partitions(p, topic);
    if (n >= 0)
        return n;
    struct handle *h = handle_use(p);
    n = kafka_count_partitions(h->rk, topic, KAFKA_REQUEST_MS, e);
    handle_done(p, h);
    if (n <= 0)
        return -1;
    pthread_mutex_lock(&p->lock);
    *vec_push(&p->topics) = (struct known_topic){mem_strdup(topic), n};
    pthread_mutex_unlock(&p->lock);
    return n;
}

int kafka_watermarks(struct kafka_producer *p, const char *topic, int32_t partition, int64_t *low,
                     int64_t *high, struct err *e)
{
    int64_t first, next;
    struct handle *h = handle_use(p);
    rd_kafka_resp_err_t r =
        rd_kafka_query_watermark_offsets(h->rk, topic, partition, &first, &next, KAFKA_REQUEST_MS);
    handle_done(p, h);
    if (r)
        return kafka_error(e, r, "%s [%d]", topic, partition);
    *low = first;
    *high = next;
    return 0;
}

void kafka_producer_flush(struct kafka_producer *p, int64_t wait_ms)
{
    struct timespec until = deadline(wait_ms);
    pthread_mutex_lock(&p->lock);
    while (p->n && pthread_cond_timedwait(&p->changed, &p->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&p->lock);
}

void kafka_producer_free(struct kafka_producer *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    pthread_mutex_unlock(&p->lock);
    __atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
    thread_join(p->thread);
    if (p->has_undertaker)
        thread_join(p->undertaker);
    struct err e = {0};
    err_set(&e, ERR_RETRY, 0, "producer was closed before the acknowledgement");
    while (!TAILQ_EMPTY(&p->list))
        fail(p, TAILQ_FIRST(&p->list), &e);
    handle_destroy(p, p->handle);
    for (size_t i = 0; i < p->topics.n; i++)
        mem_free(p->topics.items[i].name);
    vec_free(&p->topics);
    kafka_options_free(p->options);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

rd_kafka_t *kafka_producer_handle(struct kafka_producer *p)
{
    return p->handle->rk;
}
