/* librdkafka's in-process broker, for unit tests of whatever uses this library. It keeps at most 5
 * MB per partition, and knows no administration, retention, compaction or transactions. */
#ifndef KAFKA_MOCK_H
#define KAFKA_MOCK_H

#include <stddef.h>
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

/* Runs n tests side by side, each in a process of its own: they mostly wait, for the mock makes who
 * joins or comes back wait for seconds. one(arg, i) runs test i and returns 0 if it passed. What they
 * print comes in order, one test after the other. Returns how many failed. */
int kafka_mock_side_by_side(int (*one)(void *arg, size_t i), void *arg, size_t n);

#ifdef __cplusplus
}
#endif
#endif
