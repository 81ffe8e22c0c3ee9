/* librdkafka's in-process broker, for unit tests. */
#include "kafka/mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "kafka/kafka_priv.h"

#include <librdkafka/rdkafka_mock.h>

#define API_PRODUCE 0

struct kafka_mock {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
};

struct kafka_mock *kafka_mock_new(int brokers)
{
    struct err e = {0};
    struct kafka_mock *m = mem_zalloc(sizeof *m);
    rd_kafka_conf_t *conf = kafka_conf(&(struct kafka_options){.client_id = "mock"}, &e);
    m->rk = conf ? kafka_handle(RD_KAFKA_PRODUCER, conf, &e) : NULL;
    m->cluster = m->rk ? rd_kafka_mock_cluster_new(m->rk, brokers) : NULL;
    if (!m->cluster)
        abort();
    return m;
}

void kafka_mock_free(struct kafka_mock *m)
{
    rd_kafka_mock_cluster_destroy(m->cluster);
    rd_kafka_destroy(m->rk);
    mem_free(m);
}

const char *kafka_mock_brokers(const struct kafka_mock *m)
{
    return rd_kafka_mock_cluster_bootstraps(m->cluster);
}

void kafka_mock_topic(struct kafka_mock *m, const char *name, int partitions)
{
    if (rd_kafka_mock_topic_create(m->cluster, name, partitions, 1))
        abort();
}

void kafka_mock_fail_produce(struct kafka_mock *m, int code, int n)
{
    while (n-- > 0)
        rd_kafka_mock_push_request_errors(m->cluster, API_PRODUCE, 1, (rd_kafka_resp_err_t)code);
}

void kafka_mock_clear_produce(struct kafka_mock *m)
{
    rd_kafka_mock_clear_request_errors(m->cluster, API_PRODUCE);
}

void kafka_mock_commit(struct kafka_mock *m, const char *group, const char *topic,
                       int32_t partition, int64_t offset, const char *metadata)
{
    struct err e = {0};
    const struct kafka_setting s = {"group.id", group, false};
    rd_kafka_conf_t *conf =
        kafka_conf(&(struct kafka_options){.brokers = kafka_mock_brokers(m), .client_id = "mock"}, &e);
    if (!conf || kafka_conf_add(conf, &s, 1, &e))
        abort();
    rd_kafka_t *rk = kafka_handle(RD_KAFKA_CONSUMER, conf, &e);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *t = rd_kafka_topic_partition_list_add(list, topic, partition);
    t->offset = offset;
    t->metadata = mem_strdup(metadata);
    t->metadata_size = strlen(metadata);
    if (!rk || rd_kafka_commit(rk, list, 0) || list->elems[0].err)
        abort();
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void kafka_mock_down(struct kafka_mock *m)
{
    rd_kafka_mock_broker_set_down(m->cluster, -1);
}

void kafka_mock_up(struct kafka_mock *m)
{
    rd_kafka_mock_broker_set_up(m->cluster, -1);
}

struct child {
    pid_t pid;
    FILE *said;
};

static void start_child(struct child *c, int (*one)(void *arg, size_t i), void *arg, size_t i)
{
    c->said = tmpfile();
    fflush(stdout);
    fflush(stderr);
    c->pid = c->said ? fork() : -1;
    if (c->pid < 0)
        abort();
    if (c->pid > 0)
        return;
    if (dup2(fileno(c->said), 1) < 0 || dup2(fileno(c->said), 2) < 0)
        abort();
    exit(one(arg, i) ? 1 : 0); /* with its leak check */
}

static int end_child(struct child *c)
{
    char buffer[4096];
    size_t n;
    int status;
    if (waitpid(c->pid, &status, 0) != c->pid)
        abort();
    rewind(c->said);
    while ((n = fread(buffer, 1, sizeof buffer, c->said)) > 0)
        fwrite(buffer, 1, n, stdout);
    fclose(c->said);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

int kafka_mock_side_by_side(int (*one)(void *arg, size_t i), void *arg, size_t n)
{
    struct child *children = mem_array(NULL, n ? n : 1, sizeof *children);
    int failed = 0;
    for (size_t i = 0; i < n; i++)
        start_child(&children[i], one, arg, i);
    for (size_t i = 0; i < n; i++)
        failed += end_child(&children[i]);
    mem_free(children);
    return failed;
}
