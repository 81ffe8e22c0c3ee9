/*
 * The object store: immutable objects by key (formats.md "Object store"). A table of backends: file
 * (a POSIX directory shared by the workers), null (takes everything, keeps nothing), fail (fails
 * every call); s3 has its own file. A put returns when the object is on stable storage. A key is written once.
 *
 * Handles are shared by all threads; a writer and a reader belong to one.
 */
#ifndef OBJSTORE_OBJSTORE_H
#define OBJSTORE_OBJSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OBJSTORE_KEY_MAX 1024
#define OBJSTORE_WHOLE (-1) /* length: to the end */

struct objstore;
struct objstore_writer;
struct objstore_reader;

/* "file:/var/lib/talaria/store", "null:", "fail:" */
int objstore_open(struct objstore **out, const char *url, struct err *e) MUST_CHECK;
void objstore_close(struct objstore *s);

/* Puts a whole object from pieces. ERR_RETRY: disk full, I/O error (the object is not there);
 * ERR_REJECT: bad key, or the key exists. */
int objstore_put(struct objstore *s, const char *key, const struct iovec *pieces, int n,
                 struct err *e) MUST_CHECK;
int objstore_put_bytes(struct objstore *s, const char *key, const void *p, size_t n,
                       struct err *e) MUST_CHECK;

/* Puts n bytes of a buffer that begins at a multiple of OBJSTORE_BLOCK. cap (also a multiple) is what the
 * buffer holds; what lies behind n may be overwritten. Large objects go to the disk without being
 * copied through the page cache, where the file system can do that. */
#define OBJSTORE_BLOCK 4096
int objstore_put_block(struct objstore *s, const char *key, void *p, size_t n, size_t cap,
                       struct err *e) MUST_CHECK;

/* Streams an object of unknown size; it exists only after commit. Abort (or failed commit) leaves
 * nothing behind. commit and abort free the writer. */
int objstore_begin(struct objstore *s, const char *key, struct objstore_writer **out,
                   struct err *e) MUST_CHECK;
int objstore_write(struct objstore_writer *w, const void *p, size_t n, struct err *e) MUST_CHECK;
/* Replaces the first n bytes (n ≤ what has been written): a header that is known only at the end. */
int objstore_rewrite(struct objstore_writer *w, const void *p, size_t n, struct err *e) MUST_CHECK;
int objstore_commit(struct objstore_writer *w, struct err *e) MUST_CHECK;
/* As commit, under another key (the key may be known only after the bytes). */
int objstore_commit_as(struct objstore_writer *w, const char *key, struct err *e) MUST_CHECK;
void objstore_abort(struct objstore_writer *w);

/* Appends to *out. Missing object: ERR_REJECT, code ENOENT. More than max bytes: ERR_REJECT, EFBIG. */
int objstore_get(struct objstore *s, const char *key, struct str *out, size_t max,
                 struct err *e) MUST_CHECK;
/* Streaming read. */
int objstore_read_begin(struct objstore *s, const char *key, struct objstore_reader **out,
                        int64_t *size, struct err *e) MUST_CHECK;
/* Bytes read (0 = end) or -1. */
ssize_t objstore_read(struct objstore_reader *r, void *p, size_t n, struct err *e) MUST_CHECK;
int objstore_seek(struct objstore_reader *r, int64_t offset, struct err *e) MUST_CHECK;
void objstore_read_end(struct objstore_reader *r);

int objstore_head(struct objstore *s, const char *key, int64_t *size, struct err *e) MUST_CHECK;
/* Missing is success. */
int objstore_delete(struct objstore *s, const char *key, struct err *e) MUST_CHECK;
/* Calls fn for each object whose key starts with prefix (a folder "outbox/"), in no order, until fn
 * returns non-zero (which is returned). */
typedef int (*objstore_found)(void *arg, const char *key, int64_t size, int64_t modified_ms);
int objstore_list(struct objstore *s, const char *prefix, objstore_found fn, void *arg,
                  struct err *e) MUST_CHECK;
/* Free and total bytes of what holds the store; total 0 if the backend does not know. */
int objstore_space(struct objstore *s, uint64_t *free_bytes, uint64_t *total, struct err *e)
    MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
