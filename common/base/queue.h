/* A bounded queue of pointers for many producers and consumers. Closing wakes everybody. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct queue;

struct queue *queue_new(size_t capacity);
void queue_free(struct queue *q);                               /* items are the caller's */
bool queue_push(struct queue *q, void *item, int64_t wait_ms);  /* false: full or closed */
void *queue_pop(struct queue *q, int64_t wait_ms);              /* NULL: empty, or closed and empty */
void queue_close(struct queue *q);
size_t queue_length(struct queue *q);

#ifdef __cplusplus
}
#endif
#endif
