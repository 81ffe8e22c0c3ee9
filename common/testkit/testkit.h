/* cmocka with what it needs before it, and small helpers for unit tests. */
#ifndef TESTKIT_TESTKIT_H
#define TESTKIT_TESTKIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A fresh folder under build/ (or TMPDIR), removed by testkit_rmdir. Returns a static buffer per
 * thread. */
const char *testkit_tmpdir(void);
void testkit_rmdir(const char *path);

/* Checks until ok(arg) is true or within_ms have passed, and a machine that is four times slower
 * has had its time: what holds is seen at once, so the bound says only what hangs. The only way to
 * wait in a test. */
int testkit_within(int within_ms, int (*ok)(void *arg), void *arg);

#endif
