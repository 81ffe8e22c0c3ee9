/* Threads with name, bounded stack and blocked signals. */
#include "base/thread.h"

#include <signal.h>
#include <string.h>

#include "base/str.h"

int thread_start(pthread_t *out, const char *name, size_t stack, void *(*run)(void *), void *arg,
                 struct err *e)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack ? stack : 512 * 1024);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(out, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r)
        return err_errno(e, ERR_RETRY, r, "thread %s", name);
    char short_name[16];
    str_copy(short_name, sizeof short_name, name);
    pthread_setname_np(*out, short_name);
    return 0;
}

void thread_join(pthread_t t)
{
    pthread_join(t, NULL);
}
