/* Helpers of unit tests. */
#include "testkit/testkit.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

const char *testkit_tmpdir(void)
{
    static _Thread_local char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/talaria-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(path);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st;
    (void)kind;
    (void)f;
    return remove(path);
}

void testkit_rmdir(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int testkit_within(int within_ms, int (*ok)(void *arg), void *arg)
{
    int64_t end = clock_mono_ms() + 4 * (int64_t)within_ms;
    while (!ok(arg)) {
        if (clock_mono_ms() > end)
            return 0;
        clock_sleep_ms(5, NULL);
    }
    return 1;
}
