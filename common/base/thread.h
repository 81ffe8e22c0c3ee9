/*
 * Threads with a name, a bounded stack and all signals blocked (the main thread waits for signals).
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name ≤ 15 bytes is shown by ps -L. stack 0 = 512 KB. */
int thread_start(pthread_t *out, const char *name, size_t stack, void *(*run)(void *), void *arg,
                 struct err *e) MUST_CHECK;
void thread_join(pthread_t t);

#ifdef __cplusplus
}
#endif
#endif
