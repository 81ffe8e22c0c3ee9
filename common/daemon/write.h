/*
 * The records of outputs on their way to Kafka, for the skeleton and for what has none of it
 * (talaria recover). Any thread; the producer outlives the call, nothing else does.
 */
#ifndef DAEMON_WRITE_H
#define DAEMON_WRITE_H

#include "event/outputs.h"
#include "kafka/kafka.h"

/* The Kafka message of an output record; borrows both. */
void write_message(struct kafka_message *m, const struct output_record *r, const char *topic);
/* All records of o, in order, and the wait (≤ wait_ms) for every acknowledgement. stop (may be
 * NULL) cuts short the wait for room in the producer's queue. *last (may be NULL): the highest
 * offset they have got. -1: not every record is acknowledged; any of them may be in the log, now or
 * later. */
int write_records(struct kafka_producer *p, const char *site, const struct outputs *o,
                  int64_t wait_ms, const volatile int *stop, int64_t *last,
                  struct err *e) MUST_CHECK;

#endif
