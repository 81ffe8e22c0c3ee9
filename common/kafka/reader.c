/*
 * The reader without group: any partitions from any offsets through one queue. It uses librdkafka's
 * simple consumer, because adding or moving one partition there leaves the others alone, and
 * because it needs no group and so no coordinator.
 */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/vec.h"
#include "kafka/kafka_priv.h"

#define FETCH_WAIT_MS 250

struct topic {
    char *name;
    rd_kafka_topic_t *rkt;
};

struct position {
    size_t topic; /* index: the array may move */
    int32_t partition;
    int64_t from; /* records before it are left-overs from before a seek */
    bool at_end;
};

struct kafka_reader {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    VEC(struct topic) topics;
    VEC(struct position) positions;
    rd_kafka_message_t *current;
};

static rd_kafka_conf_t *reader_conf(const struct kafka_options *o, struct err *e)
{
    char wait[16];
    snprintf(wait, sizeof wait, "%d", o->fetch_wait_ms ? o->fetch_wait_ms : FETCH_WAIT_MS);
    const struct kafka_setting s[] = {
        {"auto.commit.enable", "false", false},
        {"fetch.wait.max.ms", wait, false},
        {"queued.min.messages", "2000", false},
        {"queued.max.messages.kbytes", "1024", false},
    };
    rd_kafka_conf_t *conf = kafka_reading_conf(o, e);
    if (conf && kafka_conf_add(conf, s, ARRAY_LEN(s), e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

int kafka_reader_new(struct kafka_reader **out, const struct kafka_options *o, struct err *e)
{
    rd_kafka_conf_t *conf = reader_conf(o, e);
    rd_kafka_t *rk = conf ? kafka_handle(RD_KAFKA_CONSUMER, conf, e) : NULL;
    if (!rk)
        return -1;
    struct kafka_reader *r = mem_zalloc(sizeof *r);
    r->rk = rk;
    r->queue = rd_kafka_queue_new(rk);
    *out = r;
    return 0;
}

void kafka_reader_wake(struct kafka_reader *r, int event_fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(r->queue, event_fd, &one, sizeof one);
}

static ssize_t topic_index(struct kafka_reader *r, const char *name, struct err *e)
{
    for (size_t i = 0; i < r->topics.n; i++)
        if (strcmp(r->topics.items[i].name, name) == 0)
            return (ssize_t)i;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(r->rk, name, NULL);
    if (!rkt)
        return kafka_error(e, rd_kafka_last_error(), "topic %s", name);
    *vec_push(&r->topics) = (struct topic){mem_strdup(name), rkt};
    return (ssize_t)r->topics.n - 1;
}

static struct position *find(const struct kafka_reader *r, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < r->positions.n; i++) {
        struct position *p = &r->positions.items[i];
        if (p->partition == partition && strcmp(r->topics.items[p->topic].name, topic) == 0)
            return p;
    }
    return NULL;
}

static void drop_current(struct kafka_reader *r)
{
    if (r->current)
        rd_kafka_message_destroy(r->current);
    r->current = NULL;
}

void kafka_reader_remove(struct kafka_reader *r, const char *topic, int32_t partition)
{
    struct position *p = find(r, topic, partition);
    if (!p)
        return;
    rd_kafka_consume_stop(r->topics.items[p->topic].rkt, partition);
    *p = r->positions.items[--r->positions.n];
}

int kafka_reader_add(struct kafka_reader *r, const char *topic, int32_t partition, int64_t offset,
                     struct err *e)
{
    kafka_reader_remove(r, topic, partition);
    ssize_t t = topic_index(r, topic, e);
    if (t < 0)
        return -1;
    if (rd_kafka_consume_start_queue(r->topics.items[t].rkt, partition, offset, r->queue))
        return kafka_error(e, rd_kafka_last_error(), "read %s [%d]", topic, partition);
    *vec_push(&r->positions) = (struct position){(size_t)t, partition, offset, false};
    return 0;
}

static int notice(struct kafka_reader *r, const rd_kafka_message_t *m, struct kafka_record *out,
                  struct err *e)
{
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
    struct position *p = find(r, topic, m->partition);
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (p)
            p->at_end = true;
        return 0;
    }
    if (m->rkt && !p)
        return 0;
    out->topic = p ? r->topics.items[p->topic].name : NULL;
    out->partition = m->partition;
    return kafka_error(e, m->err, "%s [%d] at %lld", topic, m->partition, (long long)m->offset);
}

/* After something that is no record the queue is looked at again without waiting: 0 means empty. */
int kafka_reader_poll(struct kafka_reader *r, struct kafka_record *out, int64_t wait_ms,
                      struct err *e)
{
    rd_kafka_message_t *m;
    drop_current(r);
    out->topic = NULL;
    for (; (m = rd_kafka_consume_queue(r->queue, (int)wait_ms)); wait_ms = 0) {
        int k = m->err ? notice(r, m, out, e) : 0;
        struct position *p = m->err ? NULL : find(r, rd_kafka_topic_name(m->rkt), m->partition);
        if (p && m->offset >= p->from) {
            p->at_end = false;
            p->from = m->offset + 1;
            r->current = m;
            kafka_record_fill(out, m, r->topics.items[p->topic].name);
            return 1;
        }
        rd_kafka_message_destroy(m);
        if (k)
            return k;
    }
    return 0;
}

bool kafka_reader_at_end(const struct kafka_reader *r, const char *topic, int32_t partition)
{
    const struct position *p = find(r, topic, partition);
    return p && p->at_end;
}

int64_t kafka_reader_end(const struct kafka_reader *r, const char *topic, int32_t partition)
{
    int64_t low, high;
    return rd_kafka_get_watermark_offsets(r->rk, topic, partition, &low, &high) ? -1 : high;
}

int kafka_reader_offset_of_time(struct kafka_reader *r, const char *topic, int32_t partition,
                                int64_t t, int64_t *offset, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = t;
    rd_kafka_resp_err_t k = rd_kafka_offsets_for_times(r->rk, list, KAFKA_REQUEST_MS);
    if (!k)
        k = list->elems[0].err;
    int64_t found = list->elems[0].offset, low;
    if (!k && found < 0)
        k = rd_kafka_query_watermark_offsets(r->rk, topic, partition, &low, &found,
                                             KAFKA_REQUEST_MS);
    rd_kafka_topic_partition_list_destroy(list);
    if (k)
        return kafka_error(e, k, "%s [%d]", topic, partition);
    *offset = found;
    return 0;
}

void kafka_reader_free(struct kafka_reader *r)
{
    if (!r)
        return;
    drop_current(r);
    rd_kafka_queue_io_event_enable(r->queue, -1, NULL, 0);
    while (r->positions.n) {
        struct position *p = &r->positions.items[r->positions.n - 1];
        rd_kafka_consume_stop(r->topics.items[p->topic].rkt, p->partition);
        r->positions.n--;
    }
    for (size_t i = 0; i < r->topics.n; i++) {
        rd_kafka_topic_destroy(r->topics.items[i].rkt);
        mem_free(r->topics.items[i].name);
    }
    rd_kafka_queue_destroy(r->queue);
    rd_kafka_destroy(r->rk);
    vec_free(&r->topics);
    vec_free(&r->positions);
    mem_free(r);
}
