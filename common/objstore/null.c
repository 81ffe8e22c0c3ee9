/* Backend "null": takes everything, keeps nothing (benchmarks of what lies before the store). */
#include <errno.h>

#include "objstore/objstore_priv.h"

static int ok_open(void **state, const char *rest, struct err *e)
{
    (void)rest;
    (void)e;
    *state = NULL;
    return 0;
}

static void nothing(void *state)
{
    (void)state;
}

static int ok_put(void *state, const char *key, const struct iovec *pieces, int n, struct err *e)
{
    (void)state;
    (void)key;
    (void)pieces;
    (void)n;
    (void)e;
    return 0;
}

static int ok_begin(void *state, void **writer, struct err *e)
{
    return ok_open(writer, state, e);
}

static int ok_write(void *writer, const void *p, size_t n, struct err *e)
{
    (void)writer;
    (void)p;
    (void)n;
    (void)e;
    return 0;
}

static int ok_key(void *state, const char *key, struct err *e)
{
    return ok_write(state, key, 0, e);
}

static int missing(struct err *e)
{
    return err_set(e, ERR_REJECT, ENOENT, "the null store keeps nothing");
}

static int no_read(void *state, const char *key, void **reader, int64_t *size, struct err *e)
{
    (void)state;
    (void)key;
    (void)reader;
    (void)size;
    return missing(e);
}

static ssize_t no_bytes(void *reader, void *p, size_t n, struct err *e)
{
    (void)reader;
    (void)p;
    (void)n;
    return missing(e);
}

static int no_seek(void *reader, int64_t offset, struct err *e)
{
    (void)reader;
    (void)offset;
    return missing(e);
}

static int no_head(void *state, const char *key, int64_t *size, struct err *e)
{
    (void)state;
    (void)key;
    (void)size;
    return missing(e);
}

static int empty_list(void *state, const char *prefix, objstore_found fn, void *arg, struct err *e)
{
    (void)state;
    (void)prefix;
    (void)fn;
    (void)arg;
    (void)e;
    return 0;
}

static int no_space(void *state, uint64_t *free_bytes, uint64_t *total, struct err *e)
{
    (void)state;
    (void)e;
    *free_bytes = *total = 0;
    return 0;
}

const struct objstore_backend objstore_null = {
    .scheme = "null",
    .open = ok_open,
    .close = nothing,
    .put = ok_put,
    .begin = ok_begin,
    .write = ok_write,
    .rewrite = ok_write,
    .commit = ok_key,
    .abort = nothing,
    .read_begin = no_read,
    .read = no_bytes,
    .seek = no_seek,
    .read_end = nothing,
    .head = no_head,
    .remove = ok_key,
    .list = empty_list,
    .space = no_space,
};
