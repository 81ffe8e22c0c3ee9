/*
 * Files that are on stable storage when the call returns. Paths are relative to a directory that
 * the caller holds open; components never contain "..", "/" or NUL (checked by the caller that
 * built them; openat2 RESOLVE_BENEATH is the second lock).
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a whole file of at most max bytes; appends to *out. Too large is ERR_REJECT. */
int file_read(struct str *out, const char *path, size_t max, struct err *e) MUST_CHECK;
/* Temporary name, write, fsync, rename, fsync of the directory. For small state files. */
int file_replace(const char *path, const void *p, size_t n, mode_t mode, struct err *e) MUST_CHECK;
/* All of p, looping over short writes and EINTR. 0 or -1 (errno kept). */
int file_write_all(int fd, const void *p, size_t n) MUST_CHECK;
/* mkdir -p; 0 or -1. */
int file_mkdirs(const char *path, mode_t mode, struct err *e) MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
