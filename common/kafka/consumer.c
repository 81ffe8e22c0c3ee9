/*
 * The consumer of a group: range assignor, static member, floors committed by hand with metadata.
 * One thread. Partitions are handed out inside kafka_poll; when the caller's assigned() fails it is
 * asked again after a growing pause, as long as the group does not take the partitions away.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "kafka/kafka_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define SESSION_MS   7000
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000
#define METADATA_MAX 1024

METRIC_COUNTER(rebalances, "talaria_kafka_rebalances_total",
               "Partitions assigned to or taken from a group member.", "group,what");
METRIC_COUNTER(commits, "talaria_kafka_commits_total", "Committed floors, by outcome.",
               "group,outcome");

struct owned {
    const char *topic; /* one of the group's */
    int32_t partition;
    int64_t next; /* what the caller gets next */
    bool at_end;
};

struct kafka_consumer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct kafka_group group; /* strings are copies */
    char **topics;
    VEC(struct owned) owned;
    rd_kafka_message_t *current;
    /* assigned by the group, not yet taken by the caller */
    rd_kafka_topic_partition_list_t *waiting;
    int64_t retry_at, pause;
    bool cut;          /* atomic; see kafka_consumer_cut */
    bool joined;       /* the group has told what is ours (perhaps nothing) */
    struct err failed; /* why, until kafka_poll has told */
};

static const char *own_topic(const struct kafka_consumer *c, const char *name)
{
    for (size_t i = 0; i < c->group.n_topics; i++)
        if (strcmp(c->topics[i], name) == 0)
            return c->topics[i];
    return NULL;
}

static struct owned *find(const struct kafka_consumer *c, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < c->owned.n; i++) {
        struct owned *o = &c->owned.items[i];
        if (o->partition == partition && (o->topic == topic || strcmp(o->topic, topic) == 0))
            return o;
    }
    return NULL;
}

/* ---- assignment ---- */

static void describe(const struct kafka_consumer *c, struct kafka_partition *out,
                     const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *t = &list->elems[i];
        out[i] = (struct kafka_partition){
            .topic = own_topic(c, t->topic),
            .partition = t->partition,
            .committed = t->offset >= 0 ? t->offset : -1,
            .metadata = t->metadata_size ? t->metadata : "",
        };
        out[i].start = out[i].committed;
    }
}

/* Commit metadata is bytes; ours are text. */
static void terminate_metadata(rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *t = &list->elems[i];
        if (!t->metadata_size)
            continue;
        char *text = mem_strndup(t->metadata, t->metadata_size);
        mem_free(t->metadata);
        t->metadata = text;
        t->metadata_size = strlen(text);
    }
}

static int start_reading(struct kafka_consumer *c, const struct kafka_partition *parts, size_t n,
                         struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        if (parts[i].start < 0 && parts[i].start != KAFKA_START && !c->group.assign_only)
            r = err_set(e, ERR_RETRY, 0, "%s [%d]: no committed offset: talaria recover",
                        parts[i].topic, parts[i].partition);
        rd_kafka_topic_partition_list_add(list, parts[i].topic, parts[i].partition)->offset =
            c->group.assign_only ? KAFKA_END : parts[i].start;
    }
    rd_kafka_resp_err_t k = r ? 0 : rd_kafka_assign(c->rk, list);
    if (!k && !r && c->group.assign_only)
        k = rd_kafka_pause_partitions(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return k ? kafka_error(e, k, "assign") : r;
}

static int hand_out(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list, struct err *e)
{
    rd_kafka_resp_err_t k = rd_kafka_committed(c->rk, list, KAFKA_REQUEST_MS);
    for (int i = 0; i < list->cnt && !k; i++)
        k = list->elems[i].err;
    if (k)
        return kafka_error(e, k, "committed offsets of %s", c->group.group);
    terminate_metadata(list);
    size_t n = (size_t)list->cnt;
    struct kafka_partition *parts = mem_array(NULL, n, sizeof *parts);
    describe(c, parts, list);
    int r = c->group.assigned ? c->group.assigned(c->group.arg, parts, n, e) : 0;
    if (!r)
        r = start_reading(c, parts, n, e);
    for (size_t i = 0; i < n && !r; i++)
        *vec_push(&c->owned) = (struct owned){parts[i].topic, parts[i].partition, parts[i].start, false};
    mem_free(parts);
    return r;
}

static void try_waiting(struct kafka_consumer *c)
{
    struct err e = {0};
    if (!hand_out(c, c->waiting, &e)) {
        rd_kafka_topic_partition_list_destroy(c->waiting);
        c->waiting = NULL;
        metric_add(&rebalances, 1, c->group.group, "assigned");
        return;
    }
    rd_kafka_assign(c->rk, NULL);
    c->pause = c->pause ? c->pause * 2 : RETRY_MIN_MS;
    if (c->pause > RETRY_MAX_MS)
        c->pause = RETRY_MAX_MS;
    c->retry_at = clock_mono_ms() + c->pause;
    c->failed = e;
    if (!c->failed.kind)
        err_set(&c->failed, ERR_RETRY, 0, "the partitions were not taken");
}

static void forget_waiting(struct kafka_consumer *c)
{
    if (c->waiting)
        rd_kafka_topic_partition_list_destroy(c->waiting);
    c->waiting = NULL;
}

static void give_back(struct kafka_consumer *c, bool lost)
{
    size_t n = c->owned.n;
    struct kafka_partition *parts = mem_array(NULL, n ? n : 1, sizeof *parts);
    for (size_t i = 0; i < n; i++)
        parts[i] = (struct kafka_partition){.topic = c->owned.items[i].topic,
                                            .partition = c->owned.items[i].partition,
                                            .committed = -1,
                                            .metadata = "",
                                            .start = -1};
    if (n && c->group.revoked)
        c->group.revoked(c->group.arg, parts, n, lost);
    mem_free(parts);
    vec_clear(&c->owned);
    metric_add(&rebalances, 1, c->group.group, lost ? "lost" : "revoked");
}

static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t what,
                       rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct kafka_consumer *c = opaque;
    forget_waiting(c);
    c->joined = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && list->cnt > 0) {
        c->waiting = rd_kafka_topic_partition_list_copy(list);
        c->pause = 0;
        try_waiting(c);
        return;
    }
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_assign(rk, list);
        return;
    }
    give_back(c, rd_kafka_assignment_lost(rk));
    rd_kafka_assign(rk, NULL);
}

static void committed(rd_kafka_t *rk, rd_kafka_resp_err_t k, rd_kafka_topic_partition_list_t *list,
                      void *opaque)
{
    struct kafka_consumer *c = opaque;
    (void)rk;
    (void)list;
    metric_add(&commits, 1, c->group.group, k ? "failed" : "ok");
    if (k)
        log_debug("kafka commit failed", LOG_STR("group", c->group.group),
                  LOG_STR("error", rd_kafka_err2str(k)));
}

/* ---- life ---- */

#define IDLE_FETCH_MS 500 /* how long the broker holds a fetch that finds nothing */

static rd_kafka_conf_t *consumer_conf(const struct kafka_options *o, const struct kafka_group *g,
                                      struct err *e)
{
    char session[16], heartbeat[16], wait[16];
    int ms = g->session_timeout_ms ? g->session_timeout_ms : SESSION_MS;
    snprintf(session, sizeof session, "%d", ms);
    snprintf(heartbeat, sizeof heartbeat, "%d", ms / 8);
    snprintf(wait, sizeof wait, "%d", g->gather_ms ? g->gather_ms : IDLE_FETCH_MS);
    const struct kafka_setting s[] = {
        {"group.id", g->group, false},
        {"group.instance.id", g->member && *g->member ? g->member : NULL, false},
        {"session.timeout.ms", session, false},
        {"heartbeat.interval.ms", heartbeat, false}, /* at which a member hears of a rebalance */
        {"partition.assignment.strategy", "range", false},
        {"coordinator.query.interval.ms", "1000", false},
        {"fetch.wait.max.ms", wait, false},
        {"fetch.min.bytes", g->gather_ms ? "262144" : "1", false},
        /* a full queue is looked at again only after a second (librdkafka before 2.2): a stage that
         * gathers has one that a replay hardly fills, the others small ones */
        {"queued.min.messages", g->gather_ms ? "20000" : "2000", false},
        {"queued.max.messages.kbytes", g->gather_ms ? "65536" : "2048", false},
    };
    rd_kafka_conf_t *conf = kafka_reading_conf(o, e);
    if (conf && kafka_conf_add(conf, s, ARRAY_LEN(s), e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

static void keep_group(struct kafka_consumer *c, const struct kafka_group *g)
{
    c->group = *g;
    c->group.group = mem_strdup(g->group);
    c->group.member = NULL;
    c->topics = mem_array(NULL, g->n_topics, sizeof *c->topics);
    for (size_t i = 0; i < g->n_topics; i++)
        c->topics[i] = mem_strdup(g->topics[i]);
    c->group.topics = (const char *const *)c->topics;
}

static int subscribe(struct kafka_consumer *c, struct err *e)
{
    rd_kafka_poll_set_consumer(c->rk);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)c->group.n_topics);
    for (size_t i = 0; i < c->group.n_topics; i++)
        rd_kafka_topic_partition_list_add(list, c->topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t k = rd_kafka_subscribe(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return k ? kafka_error(e, k, "subscribe") : 0;
}

/* The client's threads close a socket before they connect anew. One that something came by was a
 * connection, not an attempt. (The client tells only when all are lost at one moment: a broker that is
 * back at once, seen by a process that stood still meanwhile, it does not tell.) */
static int closing(int fd, void *opaque)
{
    struct kafka_consumer *c = opaque;
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) || info.tcpi_bytes_received > 0)
        __atomic_store_n(&c->cut, true, __ATOMIC_RELEASE);
    return close(fd);
}

int kafka_consumer_new(struct kafka_consumer **out, const struct kafka_options *o,
                       const struct kafka_group *g, struct err *e)
{
    struct kafka_consumer *c = mem_zalloc(sizeof *c);
    keep_group(c, g);
    rd_kafka_conf_t *conf = consumer_conf(o, g, e);
    if (conf) {
        rd_kafka_conf_set_opaque(conf, c);
        rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
        rd_kafka_conf_set_offset_commit_cb(conf, committed);
        rd_kafka_conf_set_closesocket_cb(conf, closing);
        c->rk = kafka_handle(RD_KAFKA_CONSUMER, conf, e);
    }
    if (c->rk && !subscribe(c, e)) {
        *out = c;
        return 0;
    }
    kafka_consumer_free(c);
    return -1;
}

static void drop_current(struct kafka_consumer *c)
{
    if (c->current)
        rd_kafka_message_destroy(c->current);
    c->current = NULL;
}

void kafka_consumer_free(struct kafka_consumer *c)
{
    if (!c)
        return;
    drop_current(c);
    if (c->queue) {
        rd_kafka_queue_io_event_enable(c->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(c->queue);
    }
    if (c->rk) {
        rd_kafka_consumer_close(c->rk);
        rd_kafka_destroy(c->rk);
    }
    forget_waiting(c);
    for (size_t i = 0; i < c->group.n_topics; i++)
        mem_free(c->topics[i]);
    mem_free(c->topics);
    mem_free((char *)c->group.group);
    vec_free(&c->owned);
    mem_free(c);
}

void kafka_consumer_wake(struct kafka_consumer *c, int event_fd)
{
    static const uint64_t one = 1;
    if (!c->queue)
        c->queue = rd_kafka_queue_get_consumer(c->rk);
    rd_kafka_queue_io_event_enable(c->queue, event_fd, &one, sizeof one);
}

/* ---- reading ---- */

/* What a message that is no record means: 0 the end of a partition, -1 an error. */
static int notice(struct kafka_consumer *c, const rd_kafka_message_t *m, struct kafka_record *out,
                  struct err *e)
{
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
    struct owned *o = m->rkt ? find(c, topic, m->partition) : NULL;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (o)
            o->at_end = true;
        return 0;
    }
    char why[200];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(c->rk, why, sizeof why);
    if (fatal)
        return err_set(e, ERR_FATAL, fatal, "group %s: %s", c->group.group, why);
    if (!m->rkt)
        return kafka_error(e, m->err, "group %s", c->group.group);
    out->topic = o ? o->topic : NULL;
    out->partition = m->partition;
    return kafka_error(e, m->err, "%s [%d] at %lld", topic, m->partition, (long long)m->offset);
}

static int take_failure(struct kafka_consumer *c, struct err *e)
{
    if (!c->failed.kind)
        return 0;
    if (e)
        *e = c->failed;
    err_clear(&c->failed);
    return -1;
}

/* After something that is no record the queue is looked at again without waiting: 0 means empty. */
static int poll_queue(struct kafka_consumer *c, struct kafka_record *out, int64_t wait_ms,
                      struct err *e)
{
    rd_kafka_message_t *m;
    for (; (m = rd_kafka_consumer_poll(c->rk, (int)wait_ms)); wait_ms = 0) {
        struct owned *o = NULL;
        int r = 0;
        if (m->err)
            r = notice(c, m, out, e);
        else /* not found: taken away while the message was in the queue */
            o = find(c, rd_kafka_topic_name(m->rkt), m->partition);
        if (o) {
            o->at_end = false;
            o->next = m->offset + 1;
            c->current = m;
            kafka_record_fill(out, m, o->topic);
            return 1;
        }
        rd_kafka_message_destroy(m);
        if (r < 0)
            return -1;
    }
    return 0;
}

int kafka_poll(struct kafka_consumer *c, struct kafka_record *out, int64_t wait_ms, struct err *e)
{
    drop_current(c);
    out->topic = NULL;
    int64_t now = clock_mono_ms();
    if (c->waiting && now >= c->retry_at)
        try_waiting(c);
    if (c->waiting && wait_ms > c->retry_at - now)
        wait_ms = c->retry_at > now ? c->retry_at - now : 0;
    if (take_failure(c, e))
        return -1;
    int r = poll_queue(c, out, wait_ms, e);
    return r == 0 && take_failure(c, e) ? -1 : r;
}

bool kafka_at_end(const struct kafka_consumer *c, const char *topic, int32_t partition)
{
    const struct owned *o = find(c, topic, partition);
    return o && o->at_end;
}

int64_t kafka_end(const struct kafka_consumer *c, const char *topic, int32_t partition)
{
    int64_t low, high;
    return rd_kafka_get_watermark_offsets(c->rk, topic, partition, &low, &high) ? -1 : high;
}

bool kafka_consumer_cut(struct kafka_consumer *c)
{
    return __atomic_exchange_n(&c->cut, false, __ATOMIC_ACQ_REL);
}

bool kafka_member(const struct kafka_consumer *c)
{
    return c->joined && !c->waiting;
}

/* ---- offsets ---- */

static bool refused(rd_kafka_resp_err_t k)
{
    return k == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || k == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           k == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || k == RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST ||
           k == RD_KAFKA_RESP_ERR__FATAL;
}

static int add_commit(rd_kafka_topic_partition_list_t *list, const char *topic, int32_t partition,
                      int64_t offset, const char *metadata, struct err *e)
{
    size_t n = metadata ? strlen(metadata) : 0;
    if (n > METADATA_MAX)
        return err_set(e, ERR_REJECT, 0, "commit metadata of %zu bytes", n);
    rd_kafka_topic_partition_t *t = rd_kafka_topic_partition_list_add(list, topic, partition);
    t->offset = offset;
    if (n) {
        t->metadata = mem_dup(metadata, n);
        t->metadata_size = n;
    }
    return 0;
}

/* Takes list over. */
static int commit_list(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list, bool sync,
                       struct err *e)
{
    rd_kafka_resp_err_t k = rd_kafka_commit(c->rk, list, !sync);
    for (int i = 0; i < list->cnt && !k && sync; i++)
        k = list->elems[i].err;
    rd_kafka_topic_partition_list_destroy(list);
    if (sync)
        metric_add(&commits, 1, c->group.group, k ? "failed" : "ok");
    if (!k)
        return 0;
    kafka_error(e, k, "commit of %s", c->group.group);
    if (e && refused(k))
        e->kind = ERR_FATAL;
    return -1;
}

int kafka_commit(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
                 const char *metadata, bool sync, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    if (!add_commit(list, topic, partition, offset, metadata, e))
        return commit_list(c, list, sync, e);
    rd_kafka_topic_partition_list_destroy(list);
    return -1;
}

int kafka_commit_all(struct kafka_consumer *c, const struct kafka_partition *parts, size_t n,
                     struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        if (add_commit(list, parts[i].topic, parts[i].partition, parts[i].committed,
                       parts[i].metadata, e)) {
            rd_kafka_topic_partition_list_destroy(list);
            return -1;
        }
    return commit_list(c, list, true, e);
}

void kafka_pause(struct kafka_consumer *c, bool pause)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    if (rd_kafka_assignment(c->rk, &list))
        return;
    if (list->cnt && pause)
        rd_kafka_pause_partitions(c->rk, list);
    else if (list->cnt)
        rd_kafka_resume_partitions(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* A partition whose offset was out of range is not fetched any more, and cannot be moved: everything is
 * assigned anew. */
static int assign_again(struct kafka_consumer *c, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->owned.n);
    for (size_t i = 0; i < c->owned.n; i++) {
        struct owned *o = &c->owned.items[i];
        rd_kafka_topic_partition_list_add(list, o->topic, o->partition)->offset = o->next;
        o->at_end = false;
    }
    rd_kafka_resp_err_t k = rd_kafka_assign(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return k ? kafka_error(e, k, "assign again") : 0;
}

int kafka_seek(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
               struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    int r = kafka_error_take(e, rd_kafka_seek_partitions(c->rk, list, KAFKA_REQUEST_MS), topic);
    rd_kafka_resp_err_t k = r ? 0 : list->elems[0].err;
    rd_kafka_topic_partition_list_destroy(list);
    struct owned *o = find(c, topic, partition);
    if (r || (k && (k != RD_KAFKA_RESP_ERR__STATE || !o || c->group.assign_only)))
        return r ? r : kafka_error(e, k, "seek %s [%d]", topic, partition);
    if (!o)
        return 0;
    o->next = offset;
    o->at_end = false;
    return k ? assign_again(c, e) : 0;
}
