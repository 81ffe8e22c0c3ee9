/*
 * Named places where a test can kill, stop, delay or fail the process. Compiled in where
 * FAILPOINTS is 1 (VARIANT=check); elsewhere FAILPOINT() is nothing and 0.
 *
 *     if (FAILPOINT("receiver.stored"))   // non-zero: the injected errno
 *         return err_errno(e, ERR_RETRY, ...);
 *
 * Armed by the environment: TALARIA_FAILPOINTS="receiver.stored=kill@3;objstore.fsync=errno:5"
 *   action kill | abort | stop | delay:MS | errno:N, from the @k-th hit on (default 1st); kill and
 *   stop act once. A file TALARIA_FAILPOINT_ONCE (if set) is created before a kill, and a failpoint whose
 *   file exists does nothing: so a restarted process is not killed at the same place again.
 */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#include <stddef.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct failpoint {
    const char *name;
    int hits;
};

#if FAILPOINTS
int failpoint_hit(struct failpoint *f);
#define FAILPOINT(n)                                                                               \
    __extension__({                                                                                \
        static struct failpoint failpoint_here = {n, 0};                                           \
        static struct failpoint *const failpoint_link                                              \
            __attribute__((section("talaria_failpoints"), used)) = &failpoint_here;                \
        failpoint_hit(&failpoint_here);                                                            \
    })
#else
#define FAILPOINT(n) 0
#endif

/* For names made at run time (stages): not in the linker section, listed by their owner. */
int failpoint_named(const char *name);
/* Calls fn for every compiled-in name, sorted, each once. */
void failpoint_each(void (*fn)(const char *name, void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
