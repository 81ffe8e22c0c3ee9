/* Backend "fail": every call fails as if the medium were gone (tests of those who use the store). */
#include <errno.h>

#include "objstore/objstore_priv.h"

static int refuse(struct err *e)
{
    return err_errno(e, ERR_RETRY, EIO, "object store: the fail backend");
}

static int fail_open(void **state, const char *rest, struct err *e)
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

static int fail_put(void *state, const char *key, const struct iovec *pieces, int n, struct err *e)
{
    (void)state;
    (void)key;
    (void)pieces;
    (void)n;
    return refuse(e);
}

static int fail_begin(void *state, void **writer, struct err *e)
{
    (void)state;
    (void)writer;
    return refuse(e);
}

static int fail_write(void *writer, const void *p, size_t n, struct err *e)
{
    (void)writer;
    (void)p;
    (void)n;
    return refuse(e);
}

static int fail_key(void *state, const char *key, struct err *e)
{
    (void)state;
    (void)key;
    return refuse(e);
}

static int fail_read_begin(void *state, const char *key, void **reader, int64_t *size,
                           struct err *e)
{
    (void)state;
    (void)key;
    (void)reader;
    (void)size;
    return refuse(e);
}

static ssize_t fail_read(void *reader, void *p, size_t n, struct err *e)
{
    (void)reader;
    (void)p;
    (void)n;
    return refuse(e);
}

static int fail_seek(void *reader, int64_t offset, struct err *e)
{
    (void)reader;
    (void)offset;
    return refuse(e);
}

static int fail_head(void *state, const char *key, int64_t *size, struct err *e)
{
    (void)size;
    return fail_key(state, key, e);
}

static int fail_list(void *state, const char *prefix, objstore_found fn, void *arg, struct err *e)
{
    (void)fn;
    (void)arg;
    return fail_key(state, prefix, e);
}

static int fail_space(void *state, uint64_t *free_bytes, uint64_t *total, struct err *e)
{
    (void)free_bytes;
    (void)total;
    return fail_key(state, "", e);
}

const struct objstore_backend objstore_fail = {
    .scheme = "fail",
    .open = fail_open,
    .close = nothing,
    .put = fail_put,
    .begin = fail_begin,
    .write = fail_write,
    .rewrite = fail_write,
    .commit = fail_key,
    .abort = nothing,
    .read_begin = fail_read_begin,
    .read = fail_read,
    .seek = fail_seek,
    .read_end = nothing,
    .head = fail_head,
    .remove = fail_key,
    .list = fail_list,
    .space = fail_space,
};
