/* Failpoints: parsing of TALARIA_FAILPOINTS and what a hit does (see failpoint.h). */
#include "base/failpoint.h"

#if FAILPOINTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum action { ACTION_KILL, ACTION_ABORT, ACTION_STOP, ACTION_DELAY, ACTION_ERRNO };

struct armed {
    char name[64];
    enum action action;
    long value, at;
    int hits;
};

#define MAX_ARMED 16
static struct armed armed[MAX_ARMED];
static int n_armed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int parse_action(struct armed *a, const char *text)
{
    static const char *const names[] = {"kill", "abort", "stop", "delay", "errno"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(text, names[i], n) != 0)
            continue;
        a->action = (enum action)i;
        a->value = text[n] == ':' ? atol(text + n + 1) : 0;
        const char *at = strchr(text, '@');
        a->at = at ? atol(at + 1) : 1;
        return 0;
    }
    return -1;
}

static void parse(void)
{
    const char *env = getenv("TALARIA_FAILPOINTS");
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", env ? env : "");
    char *save = NULL;
    for (char *item = strtok_r(copy, ";", &save); item; item = strtok_r(NULL, ";", &save)) {
        char *eq = strchr(item, '=');
        if (!eq || n_armed == MAX_ARMED)
            continue;
        *eq = '\0';
        struct armed *a = &armed[n_armed];
        snprintf(a->name, sizeof a->name, "%s", item);
        if (parse_action(a, eq + 1) == 0)
            n_armed++;
    }
}

/* True once per marker file: a process that is started again passes the place. */
static int first_time(void)
{
    const char *marker = getenv("TALARIA_FAILPOINT_ONCE");
    if (!marker)
        return 1;
    int fd = open(marker, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return 0;
    close(fd);
    return 1;
}

static int act(const struct armed *a)
{
    switch (a->action) {
    case ACTION_KILL:
        if (first_time())
            kill(getpid(), SIGKILL);
        return 0;
    case ACTION_ABORT:
        if (first_time())
            abort();
        return 0;
    case ACTION_STOP:
        if (first_time())
            kill(getpid(), SIGSTOP);
        return 0;
    case ACTION_DELAY:
        clock_sleep_ms(a->value, NULL);
        return 0;
    case ACTION_ERRNO:
        return (int)a->value;
    }
    return 0;
}

int failpoint_named(const char *name)
{
    pthread_once(&once, parse);
    for (int i = 0; i < n_armed; i++) {
        if (strcmp(armed[i].name, name) != 0)
            continue;
        int hit = __atomic_add_fetch(&armed[i].hits, 1, __ATOMIC_SEQ_CST);
        return hit >= armed[i].at ? act(&armed[i]) : 0;
    }
    return 0;
}

int failpoint_hit(struct failpoint *f)
{
    __atomic_add_fetch(&f->hits, 1, __ATOMIC_RELAXED);
    return failpoint_named(f->name);
}

extern struct failpoint *const __start_talaria_failpoints[] __attribute__((weak));
extern struct failpoint *const __stop_talaria_failpoints[] __attribute__((weak));

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void failpoint_each(void (*fn)(const char *name, void *arg), void *arg)
{
    const char *names[512];
    size_t n = 0;
    for (struct failpoint *const *f = __start_talaria_failpoints;
         f < __stop_talaria_failpoints && n < 512; f++)
        names[n++] = (*f)->name;
    qsort(names, n, sizeof names[0], by_name);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            fn(names[i], arg);
}

#else

int failpoint_named(const char *name)
{
    (void)name;
    return 0;
}

void failpoint_each(void (*fn)(const char *name, void *arg), void *arg)
{
    (void)fn;
    (void)arg;
}

#endif
