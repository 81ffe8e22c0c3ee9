/* What a backend provides. One file per backend, one row in objstore.c's table. */
#ifndef OBJSTORE_PRIV_H
#define OBJSTORE_PRIV_H

#include "objstore/objstore.h"

struct objstore_backend {
    const char *scheme; /* "file" */
    int (*open)(void **state, const char *rest, struct err *e);
    void (*close)(void *state);
    int (*put)(void *state, const char *key, const struct iovec *pieces, int n, struct err *e);
    /* NULL: put does it. */
    int (*put_block)(void *state, const char *key, void *p, size_t n, size_t cap, struct err *e);
    int (*begin)(void *state, void **writer, struct err *e);
    int (*write)(void *writer, const void *p, size_t n, struct err *e);
    int (*rewrite)(void *writer, const void *p, size_t n, struct err *e);
    int (*commit)(void *writer, const char *key, struct err *e); /* frees the writer */
    void (*abort)(void *writer);
    int (*read_begin)(void *state, const char *key, void **reader, int64_t *size, struct err *e);
    ssize_t (*read)(void *reader, void *p, size_t n, struct err *e);
    int (*seek)(void *reader, int64_t offset, struct err *e);
    void (*read_end)(void *reader);
    int (*head)(void *state, const char *key, int64_t *size, struct err *e);
    int (*remove)(void *state, const char *key, struct err *e);
    int (*list)(void *state, const char *prefix, objstore_found fn, void *arg, struct err *e);
    int (*space)(void *state, uint64_t *free_bytes, uint64_t *total, struct err *e);
};

extern const struct objstore_backend objstore_file, objstore_null, objstore_fail;

#endif
