/* Topics and start offsets: what the command line does once, and what every worker checks at start.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka_priv.h"

#define ADMIN_MS       10000
#define COORDINATOR_MS 20000 /* as long as a broker that was killed takes to serve its groups */
#define PASSING_MS     100
#define TOPICS_MAX     256
#define PARTITIONS_MAX 10000

/* One admin request: a client handle, its options, and the queue the answer comes to. */
struct call {
    rd_kafka_t *rk;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_queue_t *queue;
};

static int call_begin(struct call *c, const struct kafka_options *o, rd_kafka_admin_op_t op,
                      struct err *e)
{
    rd_kafka_conf_t *conf = kafka_conf(o, e);
    c->rk = conf ? kafka_handle(RD_KAFKA_PRODUCER, conf, e) : NULL;
    if (!c->rk)
        return -1;
    char why[128];
    c->options = rd_kafka_AdminOptions_new(c->rk, op);
    rd_kafka_AdminOptions_set_request_timeout(c->options, ADMIN_MS, why, sizeof why);
    if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_DELETETOPICS)
        rd_kafka_AdminOptions_set_operation_timeout(c->options, ADMIN_MS, why, sizeof why);
    c->queue = rd_kafka_queue_new(c->rk);
    return 0;
}

/* The answer (to be destroyed by the caller), or NULL and e. */
static rd_kafka_event_t *call_answer(struct call *c, const char *what, struct err *e)
{
    rd_kafka_event_t *answer = rd_kafka_queue_poll(c->queue, ADMIN_MS + 2000);
    if (!answer) {
        err_set(e, ERR_RETRY, RD_KAFKA_RESP_ERR__TIMED_OUT, "%s: no answer", what);
        return NULL;
    }
    rd_kafka_resp_err_t k = rd_kafka_event_error(answer);
    if (!k)
        return answer;
    err_set(e, kafka_error_kind(k), k, "%s: %s", what, rd_kafka_event_error_string(answer));
    rd_kafka_event_destroy(answer);
    return NULL;
}

static void call_end(struct call *c)
{
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_AdminOptions_destroy(c->options);
    rd_kafka_destroy(c->rk);
}

/* ---- creating ---- */

static int new_topic(rd_kafka_NewTopic_t **out, const struct kafka_topic *t, struct err *e)
{
    char why[200];
    *out = rd_kafka_NewTopic_new(t->name, t->partitions, t->replicas, why, sizeof why);
    if (!*out)
        return err_set(e, ERR_FATAL, 0, "topic %s: %s", t->name, why);
    for (size_t i = 0; i < t->n_config; i++) {
        char value[256];
        snprintf(value, sizeof value, "%.*s", (int)t->config[i].value.n, t->config[i].value.p);
        if (rd_kafka_NewTopic_set_config(*out, t->config[i].name, value))
            return err_set(e, ERR_FATAL, 0, "topic %s: setting %s", t->name, t->config[i].name);
    }
    return 0;
}

static int topic_results(const rd_kafka_topic_result_t *const *results, size_t n,
                         rd_kafka_resp_err_t fine, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        rd_kafka_resp_err_t k = rd_kafka_topic_result_error(results[i]);
        const char *text = rd_kafka_topic_result_error_string(results[i]);
        if (k && k != fine)
            return err_set(e, kafka_error_kind(k), k, "topic %s: %s",
                           rd_kafka_topic_result_name(results[i]),
                           text ? text : rd_kafka_err2str(k));
    }
    return 0;
}

/* A new topic can be used once every partition has a leader. */
static bool has_leaders(rd_kafka_t *rk, const struct kafka_topic *t)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, t->name, NULL);
    bool yes = rkt && !rd_kafka_metadata(rk, 0, rkt, &md, KAFKA_REQUEST_MS) && md->topic_cnt == 1 &&
               !md->topics[0].err && md->topics[0].partition_cnt > 0;
    for (int i = 0; yes && i < md->topics[0].partition_cnt; i++)
        yes = !md->topics[0].partitions[i].err && md->topics[0].partitions[i].leader >= 0;
    if (md)
        rd_kafka_metadata_destroy(md);
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    return yes;
}

static int wait_for_leaders(rd_kafka_t *rk, const struct kafka_topic *t, size_t n, int64_t until,
                            struct err *e)
{
    for (size_t i = 0; i < n; i++)
        while (!has_leaders(rk, &t[i])) {
            if (clock_mono_ms() > until)
                return err_set(e, ERR_RETRY, 0, "topic %s: no leader yet", t[i].name);
            clock_sleep_ms(20, NULL);
        }
    return 0;
}

int kafka_create_topics(const struct kafka_options *o, const struct kafka_topic *t, size_t n,
                        int64_t wait_ms, struct err *e)
{
    rd_kafka_NewTopic_t *topics[TOPICS_MAX] = {NULL};
    struct call c = {0};
    int r = 0;
    size_t made = 0, cnt;
    int64_t until = clock_mono_ms() + wait_ms;
    if (n == 0 || n > TOPICS_MAX)
        return n ? err_set(e, ERR_FATAL, 0, "too many topics") : 0;
    if (call_begin(&c, o, RD_KAFKA_ADMIN_OP_CREATETOPICS, e))
        return -1;
    for (; made < n && !r; made++)
        r = new_topic(&topics[made], &t[made], e);
    rd_kafka_event_t *answer = NULL;
    if (!r) {
        rd_kafka_CreateTopics(c.rk, topics, n, c.options, c.queue);
        answer = call_answer(&c, "create topics", e);
        r = answer ? 0 : -1;
    }
    if (!r) {
        const rd_kafka_topic_result_t *const *results =
            (const rd_kafka_topic_result_t *const *)rd_kafka_CreateTopics_result_topics(
                rd_kafka_event_CreateTopics_result(answer), &cnt);
        r = topic_results(results, cnt, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, e);
    }
    if (!r)
        r = wait_for_leaders(c.rk, t, n, until, e);
    if (answer)
        rd_kafka_event_destroy(answer);
    for (size_t i = 0; i < made; i++)
        if (topics[i])
            rd_kafka_NewTopic_destroy(topics[i]);
    call_end(&c);
    return r;
}

int kafka_delete_topics(const struct kafka_options *o, const char *const *names, size_t n,
                        struct err *e)
{
    rd_kafka_DeleteTopic_t *topics[TOPICS_MAX];
    struct call c = {0};
    size_t cnt;
    if (n == 0 || n > TOPICS_MAX)
        return n ? err_set(e, ERR_FATAL, 0, "too many topics") : 0;
    if (call_begin(&c, o, RD_KAFKA_ADMIN_OP_DELETETOPICS, e))
        return -1;
    for (size_t i = 0; i < n; i++)
        topics[i] = rd_kafka_DeleteTopic_new(names[i]);
    rd_kafka_DeleteTopics(c.rk, topics, n, c.options, c.queue);
    rd_kafka_event_t *answer = call_answer(&c, "delete topics", e);
    int r = answer ? 0 : -1;
    if (answer) {
        const rd_kafka_topic_result_t *const *results =
            (const rd_kafka_topic_result_t *const *)rd_kafka_DeleteTopics_result_topics(
                rd_kafka_event_DeleteTopics_result(answer), &cnt);
        r = topic_results(results, cnt, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, e);
        rd_kafka_event_destroy(answer);
    }
    rd_kafka_DeleteTopic_destroy_array(topics, n);
    call_end(&c);
    return r;
}

/* ---- checking ---- */

static int compare(const struct kafka_topic *t, const rd_kafka_ConfigEntry_t **have, size_t n,
                   struct err *e)
{
    for (size_t i = 0; i < t->n_config; i++) {
        const struct kafka_header *want = &t->config[i];
        for (size_t k = 0; k < n; k++) {
            const char *value = rd_kafka_ConfigEntry_value(have[k]);
            if (strcmp(rd_kafka_ConfigEntry_name(have[k]), want->name) != 0)
                continue;
            if (!slice_is(want->value, value ? value : ""))
                return err_set(e, ERR_FATAL, 0, "topic %s: %s is %s, not %.*s", t->name, want->name,
                               value ? value : "absent", (int)want->value.n, want->value.p);
        }
    }
    return 0;
}

static const struct kafka_topic *named(const struct kafka_topic *t, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    return NULL;
}

static int compare_answer(const rd_kafka_event_t *answer, const struct kafka_topic *t, size_t n,
                          struct err *e)
{
    size_t cnt;
    const rd_kafka_ConfigResource_t **found = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)answer), &cnt);
    for (size_t i = 0; i < cnt; i++) {
        size_t entries;
        rd_kafka_resp_err_t k = rd_kafka_ConfigResource_error(found[i]);
        const char *name = rd_kafka_ConfigResource_name(found[i]);
        const struct kafka_topic *topic = named(t, n, name);
        if (k)
            return kafka_error(e, k, "topic %s", name);
        const rd_kafka_ConfigEntry_t **have = rd_kafka_ConfigResource_configs(found[i], &entries);
        if (topic && compare(topic, have, entries, e))
            return -1;
    }
    return 0;
}

static int check_configs(struct call *c, const struct kafka_topic *t, size_t n, struct err *e)
{
    rd_kafka_ConfigResource_t *wanted[TOPICS_MAX];
    struct err own = {0};
    size_t cnt = 0;
    for (size_t i = 0; i < n; i++)
        if (t[i].n_config)
            wanted[cnt++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, t[i].name);
    if (!cnt)
        return 0;
    rd_kafka_DescribeConfigs(c->rk, wanted, cnt, c->options, c->queue);
    rd_kafka_event_t *answer = call_answer(c, "topic settings", &own);
    /* a broker that cannot tell (the one of unit tests) has nothing to compare */
    int r = answer || own.code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE ? 0 : -1;
    if (answer) {
        r = compare_answer(answer, t, n, &own);
        rd_kafka_event_destroy(answer);
    }
    rd_kafka_ConfigResource_destroy_array(wanted, cnt);
    if (r && e)
        *e = own;
    return r;
}

static int check_count(struct call *c, const struct kafka_topic *t, struct err *e)
{
    int32_t n = kafka_count_partitions(c->rk, t->name, KAFKA_REQUEST_MS, e);
    if (n < 0)
        return -1;
    if (t->partitions > 0 && n != t->partitions)
        return err_set(e, ERR_FATAL, 0, "topic %s has %d partitions, not %d", t->name, n,
                       t->partitions);
    return 0;
}

int kafka_check_topics(const struct kafka_options *o, const struct kafka_topic *t, size_t n,
                       struct err *e)
{
    struct call c = {0};
    int r = 0;
    if (n > TOPICS_MAX)
        return err_set(e, ERR_FATAL, 0, "too many topics");
    if (call_begin(&c, o, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, e))
        return -1;
    for (size_t i = 0; i < n && !r; i++)
        r = check_count(&c, &t[i], e);
    if (!r)
        r = check_configs(&c, t, n, e);
    call_end(&c);
    return r;
}

int kafka_check_topic(const struct kafka_options *o, const struct kafka_topic *t, struct err *e)
{
    return kafka_check_topics(o, t, 1, e);
}

/* ---- start offsets ---- */

static rd_kafka_t *group_handle(const struct kafka_options *o, const char *group, struct err *e)
{
    const struct kafka_setting s[] = {{"group.id", group, false},
                                      {"enable.auto.commit", "false", false},
                                      {"coordinator.query.interval.ms", "200", false}};
    rd_kafka_conf_t *conf = kafka_conf(o, e);
    if (conf && kafka_conf_add(conf, s, ARRAY_LEN(s), e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf ? kafka_handle(RD_KAFKA_CONSUMER, conf, e) : NULL;
}

/* Only what has no committed offset. */
static rd_kafka_topic_partition_list_t *without_offset(const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *left = rd_kafka_topic_partition_list_new(list->cnt);
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].offset < 0)
            rd_kafka_topic_partition_list_add(left, list->elems[i].topic, list->elems[i].partition);
    return left;
}

/* The start of each log: 0, or where retention has brought it. */
static rd_kafka_resp_err_t find_starts(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t k = 0;
    for (int i = 0; i < list->cnt && !k; i++) {
        int64_t high;
        k = rd_kafka_query_watermark_offsets(rk, list->elems[i].topic, list->elems[i].partition,
                                             &list->elems[i].offset, &high, ADMIN_MS);
    }
    return k;
}

static rd_kafka_resp_err_t first_error(rd_kafka_resp_err_t k,
                                       const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt && !k; i++)
        k = list->elems[i].err;
    return k;
}

/* A broker that has just come back looks for its coordinators for a while. */
static bool passes(rd_kafka_resp_err_t k)
{
    return k == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
           k == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
           k == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS || k == RD_KAFKA_RESP_ERR__WAIT_COORD ||
           k == RD_KAFKA_RESP_ERR__TRANSPORT || k == RD_KAFKA_RESP_ERR__TIMED_OUT ||
           k == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
           k == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || /* a topic that was just made */
           k == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           k == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* Asks for the committed offsets of list until somebody knows them. */
static rd_kafka_resp_err_t ask_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                         int64_t until)
{
    for (;;) {
        rd_kafka_resp_err_t k = first_error(rd_kafka_committed(rk, list, ADMIN_MS), list);
        if (!passes(k) || clock_mono_ms() >= until)
            return k;
        clock_sleep_ms(PASSING_MS, NULL);
    }
}

static rd_kafka_resp_err_t commit_missing(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list)
{
    int64_t until = clock_mono_ms() + COORDINATOR_MS;
    for (;;) {
        rd_kafka_resp_err_t k = ask_committed(rk, list, until);
        rd_kafka_topic_partition_list_t *left = without_offset(list);
        if (!k && left->cnt)
            k = find_starts(rk, left);
        if (!k && left->cnt)
            k = first_error(rd_kafka_commit(rk, left, 0), left);
        rd_kafka_topic_partition_list_destroy(left);
        if (!passes(k) || clock_mono_ms() >= until)
            return k;
        clock_sleep_ms(PASSING_MS, NULL);
    }
}

int kafka_commit_start(const struct kafka_options *o, const char *group, const char *topic,
                       int32_t partitions, struct err *e)
{
    if (partitions < 1 || partitions > PARTITIONS_MAX)
        return err_set(e, ERR_FATAL, 0, "topic %s: %d partitions", topic, partitions);
    rd_kafka_t *rk = group_handle(o, group, e);
    if (!rk)
        return -1;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int32_t i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i);
    rd_kafka_resp_err_t k = commit_missing(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return k ? kafka_error(e, k, "start of %s in %s", topic, group) : 0;
}

int kafka_commits(const struct kafka_options *o, const char *group, struct kafka_partition *parts,
                  size_t n, struct err *e)
{
    rd_kafka_t *rk = group_handle(o, group, e);
    if (!rk)
        return -1;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, parts[i].topic, parts[i].partition);
    rd_kafka_resp_err_t k = ask_committed(rk, list, clock_mono_ms() + COORDINATOR_MS);
    for (size_t i = 0; i < n && !k; i++) {
        const rd_kafka_topic_partition_t *t = &list->elems[i];
        parts[i].committed = t->offset >= 0 ? t->offset : -1;
        parts[i].metadata = mem_strndup(t->metadata_size ? t->metadata : "", t->metadata_size);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return k ? kafka_error(e, k, "offsets of %s", group) : 0;
}

int kafka_committed(const struct kafka_options *o, const char *group, const char *topic,
                    int32_t partition, int64_t *offset, struct err *e)
{
    struct kafka_partition part = {.topic = topic, .partition = partition};
    if (kafka_commits(o, group, &part, 1, e))
        return -1;
    *offset = part.committed;
    mem_free((char *)(uintptr_t)part.metadata);
    return 0;
}
