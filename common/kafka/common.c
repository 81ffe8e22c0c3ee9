/* What producer, consumer, reader and administration share: configuration, errors, records. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>

#include "base/file.h"
#include "base/mem.h"
#include "kafka/kafka_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define PASSWORD_MAX 1024

METRIC_COUNTER(client_lines, "talaria_kafka_client_messages_total",
               "Lines the Kafka client library logged, by severity.", "severity");

/* librdkafka logs from its own threads. Its lines are for debugging: what matters comes back as an
 * error of a call, and the caller logs that. */
static void log_line(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    metric_add(&client_lines, 1, level <= 3 ? "error" : level <= 4 ? "warning" : "info");
    log_debug("kafka client", LOG_STR("client", rk ? rd_kafka_name(rk) : ""),
              LOG_STR("facility", facility), LOG_STR("text", text));
}

int kafka_conf_add(rd_kafka_conf_t *conf, const struct kafka_setting *s, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        char why[256];
        if (!s[i].value)
            continue;
        rd_kafka_conf_res_t r = rd_kafka_conf_set(conf, s[i].name, s[i].value, why, sizeof why);
        if (r == RD_KAFKA_CONF_OK || (r == RD_KAFKA_CONF_UNKNOWN && s[i].optional))
            continue;
        return err_set(e, ERR_FATAL, 0, "kafka setting %s: %s", s[i].name, why);
    }
    return 0;
}

static int add_password(rd_kafka_conf_t *conf, const char *file, struct err *e)
{
    struct str text = STR_INIT;
    if (!file || !*file)
        return 0;
    int r = file_read(&text, file, PASSWORD_MAX, e);
    if (!r) {
        while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
            text.data[--text.len] = 0;
        r = kafka_conf_add(conf, &(struct kafka_setting){"sasl.password", str_cstr(&text), false},
                           1, e);
    }
    str_free(&text);
    return r;
}

static const char *given(const char *s)
{
    return s && *s ? s : NULL;
}

rd_kafka_conf_t *kafka_conf(const struct kafka_options *o, struct err *e)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const struct kafka_setting s[] = {
        {"bootstrap.servers", o->brokers, false},
        {"client.id", given(o->client_id), false},
        {"security.protocol", given(o->security_protocol), false},
        {"sasl.mechanism", given(o->sasl_mechanism), false},
        {"sasl.username", given(o->sasl_user), false},
        {"ssl.ca.location", given(o->ca_file), false},
        {"ssl.certificate.location", given(o->certificate_file), false},
        {"ssl.key.location", given(o->key_file), false},
        {"socket.nagle.disable", "true", false},
        {"socket.keepalive.enable", "true", false},
        /* a stopped broker is noticed in seconds, and asked again soon after it is back */
        {"socket.timeout.ms", "10000", false},
        {"socket.connection.setup.timeout.ms", "5000", false},
        {"reconnect.backoff.ms", "50", false},
        {"reconnect.backoff.max.ms", "1000", false},
        {"topic.metadata.propagation.max.ms", "1000", false},
        {"topic.metadata.refresh.fast.interval.ms", "100", false},
        {"allow.auto.create.topics", "false", false},
        {"log.connection.close", "false", false},
        {"enable.metrics.push", "false", true},
    };
    if (kafka_conf_add(conf, s, ARRAY_LEN(s), e) || add_password(conf, o->sasl_password_file, e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_log_cb(conf, log_line);
    return conf;
}

rd_kafka_conf_t *kafka_reading_conf(const struct kafka_options *o, struct err *e)
{
    static const struct kafka_setting s[] = {
        {"enable.auto.commit", "false", false},
        {"enable.auto.offset.store", "false", false},
        {"auto.offset.reset", "error", false},
        {"enable.partition.eof", "true", false},
        {"isolation.level", "read_uncommitted", false},
        {"fetch.message.max.bytes", "262144", false},
        {"fetch.max.bytes", "2097152", false},
        {"fetch.error.backoff.ms", "20", false},
        {"fetch.queue.backoff.ms", "5", true},
    };
    rd_kafka_conf_t *conf = kafka_conf(o, e);
    if (conf && kafka_conf_add(conf, s, ARRAY_LEN(s), e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

rd_kafka_t *kafka_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *e)
{
    sigset_t all, old;
    char why[256];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        err_set(e, ERR_FATAL, 0, "kafka client: %s", why);
    }
    return rk;
}

enum err_kind kafka_error_kind(rd_kafka_resp_err_t r)
{
    switch (r) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return ERR_NONE;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return ERR_REJECT;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        return ERR_FATAL;
    default:
        return ERR_RETRY;
    }
}

int kafka_error(struct err *e, rd_kafka_resp_err_t r, const char *fmt, ...)
{
    char what[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return err_set(e, kafka_error_kind(r), r, "%s: %s", what, rd_kafka_err2str(r));
}

int kafka_error_take(struct err *e, rd_kafka_error_t *error, const char *what)
{
    if (!error)
        return 0;
    rd_kafka_resp_err_t r = rd_kafka_error_code(error);
    err_set(e, kafka_error_kind(r), r, "%s: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return -1;
}

struct kafka_options *kafka_options_copy(const struct kafka_options *o)
{
    struct kafka_options *c = mem_dup(o, sizeof *o);
    const char **texts[] = {&c->brokers,        &c->client_id,        &c->security_protocol,
                            &c->sasl_mechanism, &c->sasl_user,        &c->sasl_password_file,
                            &c->ca_file,        &c->certificate_file, &c->key_file};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = mem_strdup(*texts[i]);
    return c;
}

void kafka_options_free(struct kafka_options *o)
{
    if (!o)
        return;
    const char *texts[] = {o->brokers,        o->client_id,        o->security_protocol,
                           o->sasl_mechanism, o->sasl_user,        o->sasl_password_file,
                           o->ca_file,        o->certificate_file, o->key_file};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        mem_free((char *)texts[i]);
    mem_free(o);
}

static void fill_headers(struct kafka_record *out, const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    out->n_headers = 0;
    if (rd_kafka_message_headers(m, &headers))
        return;
    for (size_t i = 0; out->n_headers < KAFKA_HEADERS; i++) {
        const void *value;
        size_t n;
        struct kafka_header *h = &out->headers[out->n_headers];
        if (rd_kafka_header_get_all(headers, i, &h->name, &value, &n))
            break;
        h->value = (struct slice){value, value ? n : 0};
        out->n_headers++;
    }
}

void kafka_record_fill(struct kafka_record *out, const rd_kafka_message_t *m, const char *topic)
{
    rd_kafka_timestamp_type_t kind;
    out->topic = topic;
    out->partition = m->partition;
    out->offset = m->offset;
    out->timestamp = rd_kafka_message_timestamp(m, &kind);
    out->key = (struct slice){m->key, m->key ? m->key_len : 0};
    out->value = (struct slice){m->payload, m->payload ? m->len : 0};
    fill_headers(out, m);
}

struct slice kafka_record_header(const struct kafka_record *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return (struct slice){NULL, 0};
}

int32_t kafka_partition_of(struct slice key, int32_t n)
{
    return n > 0 ? rd_kafka_msg_partitioner_murmur2(NULL, key.p ? key.p : "", key.n, n, NULL, NULL)
                 : 0;
}

int32_t kafka_count_partitions(rd_kafka_t *rk, const char *topic, int timeout_ms, struct err *e)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    if (!t) {
        kafka_error(e, rd_kafka_last_error(), "topic %s", topic);
        return -1;
    }
    int32_t n = -1;
    rd_kafka_resp_err_t r = rd_kafka_metadata(rk, 0, t, &md, timeout_ms);
    if (!r)
        r = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!r)
        n = md->topics[0].partition_cnt;
    else
        kafka_error(e, r, "topic %s", topic);
    if (md)
        rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(t);
    return n;
}
