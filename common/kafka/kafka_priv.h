/* What the files of this library share. librdkafka's header stays inside common/kafka. */
#ifndef KAFKA_KAFKA_PRIV_H
#define KAFKA_KAFKA_PRIV_H

#include <librdkafka/rdkafka.h>

#include "kafka/kafka.h"

/* Kafka's longest topic name is 249 bytes. */
#define KAFKA_TOPIC_MAX 250

/* How long one request to the broker may take before it counts as not answered. */
#define KAFKA_REQUEST_MS 5000

struct kafka_setting {
    const char *name, *value; /* value NULL: skipped */
    bool optional;            /* not known to every supported librdkafka */
};

/* A configuration with what all handles have in common; NULL and e. */
rd_kafka_conf_t *kafka_conf(const struct kafka_options *o, struct err *e);
/* The same with what everything that reads has in common: no commits but our own, an offset out of
 * range is an error, ends are told, small fetches. */
rd_kafka_conf_t *kafka_reading_conf(const struct kafka_options *o, struct err *e);
int kafka_conf_add(rd_kafka_conf_t *conf, const struct kafka_setting *s, size_t n,
                   struct err *e) MUST_CHECK;
/* Takes conf over (also on failure). Its threads are born with all signals blocked. */
rd_kafka_t *kafka_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *e);

enum err_kind kafka_error_kind(rd_kafka_resp_err_t r);
/* Fills e from r and returns -1. */
int kafka_error(struct err *e, rd_kafka_resp_err_t r, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* As above from an error object, which it destroys; NULL is success (0). */
int kafka_error_take(struct err *e, rd_kafka_error_t *error, const char *what);

struct kafka_options *kafka_options_copy(const struct kafka_options *o);
void kafka_options_free(struct kafka_options *o);

/* Everything but the topic, which the caller knows under a longer-lived name. */
void kafka_record_fill(struct kafka_record *out, const rd_kafka_message_t *m, const char *topic);

/* Partition count by a metadata request; -1 and e. */
int32_t kafka_count_partitions(rd_kafka_t *rk, const char *topic, int timeout_ms, struct err *e);

/* For tests of the recovery: the current handle of a producer. */
rd_kafka_t *kafka_producer_handle(struct kafka_producer *p);

#endif
