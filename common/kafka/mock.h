/* librdkafka's in-process broker, for unit tests of whatever uses this library. It keeps at most 5
 * MB per partition, and knows no administration, retention, compaction or transactions. */
#ifndef KAFKA_MOCK_H
#define KAFKA_MOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kafka_mock;

struct kafka_mock *kafka_mock_new(int brokers); /* aborts on failure */
void kafka_mock_free(struct kafka_mock *m);
const char *kafka_mock_brokers(const struct kafka_mock *m);
void kafka_mock_topic(struct kafka_mock *m, const char *name, int partitions);
/* The next n produce requests fail with this code of Kafka's protocol. */
void kafka_mock_fail_produce(struct kafka_mock *m, int code, int n);
void kafka_mock_clear_produce(struct kafka_mock *m);
/* Commits for a group from outside, as an earlier member might have. */
void kafka_mock_commit(struct kafka_mock *m, const char *group, const char *topic,
                       int32_t partition, int64_t offset, const char *metadata);
/* Refuses connections and drops those that are open, until up again. */
void kafka_mock_down(struct kafka_mock *m);
void kafka_mock_up(struct kafka_mock *m);

#ifdef __cplusplus
}
#endif
#endif
