/* The object store's table and what is common to all backends: key check, timing, whole reads. */
#include "objstore/objstore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "objstore/objstore_priv.h"

METRIC_HISTOGRAM(request_seconds, "talaria_objectstore_request_seconds",
                 "Time of object store calls; put includes stable storage.", "op",
                 metric_seconds_instance);
METRIC_COUNTER(request_errors, "talaria_objectstore_errors_total", "Failed object store calls.",
               "op");

static const struct objstore_backend *const backends[] = {
    &objstore_fail,
    &objstore_file,
    &objstore_null,
};

struct objstore {
    const struct objstore_backend *backend;
    void *state;
};

struct objstore_writer {
    const struct objstore_backend *backend;
    void *state;
    char *key;
};

struct objstore_reader {
    const struct objstore_backend *backend;
    void *state;
};

int objstore_open(struct objstore **out, const char *url, struct err *e)
{
    const char *colon = strchr(url, ':');
    for (size_t i = 0; colon && i < ARRAY_LEN(backends); i++) {
        size_t n = (size_t)(colon - url);
        if (strlen(backends[i]->scheme) != n || strncmp(backends[i]->scheme, url, n) != 0)
            continue;
        void *state = NULL;
        if (backends[i]->open(&state, colon + 1, e))
            return -1;
        struct objstore *s = mem_alloc(sizeof *s);
        *s = (struct objstore){backends[i], state};
        *out = s;
        return 0;
    }
    return err_set(e, ERR_FATAL, 0, "unknown object store \"%s\" (file:/path, null:, fail:)", url);
}

void objstore_close(struct objstore *s)
{
    if (!s)
        return;
    s->backend->close(s->state);
    mem_free(s);
}

/* Components without "..", ".", empty ones, control characters; bounded. */
static int check_key(const char *key, struct err *e)
{
    size_t n = strlen(key);
    bool ok = n > 0 && n < OBJSTORE_KEY_MAX && key[0] != '/' && key[n - 1] != '/';
    const char *component = key;
    for (const char *p = key; ok; p++) {
        if (*p && *p != '/') {
            ok = (unsigned char)*p > 0x20 && *p != 0x7f && *p != '\\';
            continue;
        }
        size_t len = (size_t)(p - component);
        ok = len > 0 && len < 256 && !(len == 1 && component[0] == '.') &&
             !(len == 2 && component[0] == '.' && component[1] == '.');
        component = p + 1;
        if (!*p)
            break;
    }
    return ok ? 0 : err_set(e, ERR_REJECT, EINVAL, "not an object key");
}

/* Counts and times one finished call; passes its result through. */
static int done(const char *op, int64_t started_ns, int result)
{
    metric_observe(&request_seconds, (double)(clock_mono_ns() - started_ns) / 1e9, op);
    if (result < 0)
        metric_add(&request_errors, 1, op);
    return result;
}

int objstore_put(struct objstore *s, const char *key, const struct iovec *pieces, int n,
                 struct err *e)
{
    if (check_key(key, e))
        return -1;
    int64_t started = clock_mono_ns();
    return done("put", started, s->backend->put(s->state, key, pieces, n, e));
}

int objstore_put_bytes(struct objstore *s, const char *key, const void *p, size_t n, struct err *e)
{
    struct iovec piece = {.iov_base = (void *)p, .iov_len = n};
    return objstore_put(s, key, &piece, 1, e);
}

int objstore_put_block(struct objstore *s, const char *key, void *p, size_t n, size_t cap,
                       struct err *e)
{
    if (!s->backend->put_block)
        return objstore_put_bytes(s, key, p, n, e);
    if (check_key(key, e))
        return -1;
    int64_t started = clock_mono_ns();
    return done("put", started, s->backend->put_block(s->state, key, p, n, cap, e));
}

int objstore_begin(struct objstore *s, const char *key, struct objstore_writer **out,
                   struct err *e)
{
    void *state = NULL;
    if ((key && check_key(key, e)) || s->backend->begin(s->state, &state, e))
        return -1;
    struct objstore_writer *w = mem_alloc(sizeof *w);
    *w = (struct objstore_writer){s->backend, state, mem_strdup(key)};
    *out = w;
    return 0;
}

int objstore_write(struct objstore_writer *w, const void *p, size_t n, struct err *e)
{
    return w->backend->write(w->state, p, n, e);
}

int objstore_rewrite(struct objstore_writer *w, const void *p, size_t n, struct err *e)
{
    return w->backend->rewrite(w->state, p, n, e);
}

static void free_writer(struct objstore_writer *w)
{
    mem_free(w->key);
    mem_free(w);
}

int objstore_commit_as(struct objstore_writer *w, const char *key, struct err *e)
{
    int64_t started = clock_mono_ns();
    int r = -1;
    if (!key)
        err_set(e, ERR_REJECT, EINVAL, "not an object key");
    if (key && check_key(key, e) == 0)
        r = w->backend->commit(w->state, key, e);
    else
        w->backend->abort(w->state);
    free_writer(w);
    return done("put", started, r);
}

int objstore_commit(struct objstore_writer *w, struct err *e)
{
    return objstore_commit_as(w, w->key, e);
}

void objstore_abort(struct objstore_writer *w)
{
    if (!w)
        return;
    w->backend->abort(w->state);
    free_writer(w);
}

int objstore_read_begin(struct objstore *s, const char *key, struct objstore_reader **out,
                        int64_t *size, struct err *e)
{
    void *state = NULL;
    if (check_key(key, e))
        return -1;
    int64_t started = clock_mono_ns();
    if (done("get", started, s->backend->read_begin(s->state, key, &state, size, e)))
        return -1;
    struct objstore_reader *r = mem_alloc(sizeof *r);
    *r = (struct objstore_reader){s->backend, state};
    *out = r;
    return 0;
}

ssize_t objstore_read(struct objstore_reader *r, void *p, size_t n, struct err *e)
{
    return r->backend->read(r->state, p, n, e);
}

int objstore_seek(struct objstore_reader *r, int64_t offset, struct err *e)
{
    return r->backend->seek(r->state, offset, e);
}

void objstore_read_end(struct objstore_reader *r)
{
    if (!r)
        return;
    r->backend->read_end(r->state);
    mem_free(r);
}

int objstore_get(struct objstore *s, const char *key, struct str *out, size_t max, struct err *e)
{
    struct objstore_reader *r;
    int64_t size;
    if (objstore_read_begin(s, key, &r, &size, e))
        return -1;
    int result = 0;
    if (size < 0 || (uint64_t)size > max) {
        result = err_set(e, ERR_REJECT, EFBIG, "object is larger than %zu bytes", max);
        goto out;
    }
    str_reserve(out, (size_t)size);
    for (int64_t left = size; left > 0;) {
        ssize_t n = objstore_read(r, out->data + out->len, (size_t)left, e);
        if (n == 0)
            err_set(e, ERR_RETRY, EIO, "object is shorter than its size");
        if (n <= 0) {
            result = -1;
            goto out;
        }
        out->len += (size_t)n;
        left -= n;
    }
    out->data[out->len] = '\0';
out:
    objstore_read_end(r);
    return result;
}

int objstore_head(struct objstore *s, const char *key, int64_t *size, struct err *e)
{
    return check_key(key, e) ? -1 : s->backend->head(s->state, key, size, e);
}

int objstore_delete(struct objstore *s, const char *key, struct err *e)
{
    if (check_key(key, e))
        return -1;
    int64_t started = clock_mono_ns();
    return done("delete", started, s->backend->remove(s->state, key, e));
}

int objstore_list(struct objstore *s, const char *prefix, objstore_found fn, void *arg,
                  struct err *e)
{
    return s->backend->list(s->state, prefix, fn, arg, e);
}

int objstore_space(struct objstore *s, uint64_t *free_bytes, uint64_t *total, struct err *e)
{
    return s->backend->space(s->state, free_bytes, total, e);
}
