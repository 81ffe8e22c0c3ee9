/*
 * For LD_PRELOAD: a wall clock that is wrong by the seconds in the file WRONG_CLOCK (eight bytes),
 * which may change at any moment. The monotonic clock stays right. Waits until a wall time follow
 * the wrong clock, as the kernel's do when its clock is set.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum {
    BOOTED = 1000000000, /* deadlines before it are of the monotonic clock */
    LOOK_NS = 50000000,  /* how soon a wait notices a jump */
};

static const volatile int64_t right, *wrong = &right;
static int (*real_pthread)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_cnd)(cnd_t *, mtx_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("WRONG_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *wrong, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        abort();
    close(fd);
    wrong = p;
    real_pthread = (__typeof__(real_pthread))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real_cnd = (__typeof__(real_cnd))dlsym(RTLD_NEXT, "cnd_timedwait");
}

int clock_gettime(clockid_t which, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, which, t);
    if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        t->tv_sec += *wrong;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    (void)zone;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

int timespec_get(struct timespec *t, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}

static int before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* How long to wait by the right clock: to the deadline, but no later than the next look. 0: it has
 * passed. */
static int step(const struct timespec *deadline, struct timespec *until)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec look = {now.tv_sec, now.tv_nsec + LOOK_NS};
    if (look.tv_nsec >= 1000000000)
        look = (struct timespec){look.tv_sec + 1, look.tv_nsec - 1000000000};
    *until = before(deadline, &look) ? *deadline : look;
    until->tv_sec -= *wrong;
    return before(&now, deadline);
}

/* A wait that ends early is a spurious wake-up, which everybody must bear. */
int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
                           const struct timespec *restrict deadline)
{
    if (deadline->tv_sec < BOOTED)
        return real_pthread(c, m, deadline);
    struct timespec until;
    step(deadline, &until);
    int rc = real_pthread(c, m, &until);
    return rc == ETIMEDOUT && step(deadline, &until) ? 0 : rc;
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict deadline)
{
    struct timespec until;
    step(deadline, &until);
    int rc = real_cnd(c, m, &until);
    return rc == thrd_timedout && step(deadline, &until) ? thrd_success : rc;
}
