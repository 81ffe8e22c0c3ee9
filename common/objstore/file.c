/*
 * Backend "file": a POSIX directory, possibly shared by workers. A whole object is created under its
 * final name and fdatasynced (its key is never used twice, so a name never stands for other bytes);
 * a streamed one is written as parts/<random>.part, fdatasynced, renamed, its directory fsynced. An
 * fsync error fails that object for good: the kernel may have dropped the dirty pages.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "objstore/objstore_priv.h"

#define SYNCED_SLOTS (1 << 16)
#define DIRECT_READ  (256 * 1024) /* smaller objects are read through the page cache */
#define LIST_DEPTH   8

struct store {
    int root;
    pthread_mutex_t lock;
    uint64_t *synced; /* open-addressed set of directory path hashes; forgotten when half full */
    size_t n_synced;
};

/* ---- directories that this process knows to be on stable storage ---- */

static uint64_t path_hash(const char *p, size_t n)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 1099511628211u;
    return h ? h : 1;
}

static bool synced_before(struct store *s, uint64_t h)
{
    pthread_mutex_lock(&s->lock);
    size_t i = h % SYNCED_SLOTS;
    while (s->synced[i] && s->synced[i] != h)
        i = (i + 1) % SYNCED_SLOTS;
    bool found = s->synced[i] == h;
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void remember_synced(struct store *s, uint64_t h)
{
    pthread_mutex_lock(&s->lock);
    if (s->n_synced >= SYNCED_SLOTS / 2) {
        memset(s->synced, 0, SYNCED_SLOTS * sizeof *s->synced);
        s->n_synced = 0;
    }
    size_t i = h % SYNCED_SLOTS;
    while (s->synced[i] && s->synced[i] != h)
        i = (i + 1) % SYNCED_SLOTS;
    s->n_synced += s->synced[i] == 0;
    s->synced[i] = h;
    pthread_mutex_unlock(&s->lock);
}

/* The second lock against paths that leave the store (the first is the key check). */
static int open_beneath(const struct store *s, const char *path, uint64_t flags, mode_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = RESOLVE_BENEATH};
    int fd;
    do
        fd = (int)syscall(SYS_openat2, s->root, path, &how, sizeof how);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 && errno == ENOSYS)
        fd = openat(s->root, path, (int)flags | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd;
}

static int sync_dir(const struct store *s, const char *path)
{
    int fd = open_beneath(s, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return -1;
    int injected = FAILPOINT("objstore.dirsync");
    int r = injected ? -1 : fsync(fd);
    int saved = injected ? injected : errno;
    close(fd);
    errno = saved;
    return r;
}

/* fsyncs every directory above key that this process has not yet fsynced, root included. They are
 * remembered only when all of them are done: a directory in the set has its parents in it. */
static int sync_parents(struct store *s, const char *key)
{
    uint64_t fresh[OBJSTORE_KEY_MAX / 2];
    size_t n = 0;
    char path[OBJSTORE_KEY_MAX];
    str_copy(path, sizeof path, key);
    bool known = false;
    for (char *slash; (slash = strrchr(path, '/'));) {
        *slash = '\0';
        fresh[n] = path_hash(path, strlen(path));
        known = synced_before(s, fresh[n]);
        if (known)
            break;
        if (sync_dir(s, path))
            return -1;
        n++;
    }
    if (!known && sync_dir(s, "."))
        return -1;
    for (size_t i = 0; i < n; i++)
        remember_synced(s, fresh[i]);
    return 0;
}

static int make_parents(const struct store *s, const char *key)
{
    char path[OBJSTORE_KEY_MAX];
    str_copy(path, sizeof path, key);
    for (char *p = path; (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdirat(s->root, path, 0750) && errno != EEXIST)
            return -1;
        *p = '/';
    }
    return 0;
}

/* ---- put ---- */

static int fail(struct err *e, const char *what)
{
    enum err_kind kind = errno == EEXIST ? ERR_REJECT : ERR_RETRY;
    return err_errno(e, kind, errno, "object store: %s", what);
}

static int create(struct store *s, const char *key, uint64_t flags)
{
    flags |= O_WRONLY | O_CREAT | O_EXCL;
    int fd = open_beneath(s, key, flags, 0640);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    return make_parents(s, key) ? -1 : open_beneath(s, key, flags, 0640);
}

static int write_pieces(int fd, const struct iovec *pieces, int n)
{
    int injected = FAILPOINT("objstore.write");
    if (injected) {
        errno = injected;
        return -1;
    }
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += pieces[i].iov_len;
    ssize_t done = writev(fd, pieces, n);
    if (done >= 0 && (size_t)done == total)
        return 0;
    if (done < 0 && errno != EINTR)
        return -1;
    size_t skip = done > 0 ? (size_t)done : 0;
    for (int i = 0; i < n; i++) {
        size_t len = pieces[i].iov_len;
        if (skip < len && file_write_all(fd, (char *)pieces[i].iov_base + skip, len - skip))
            return -1;
        skip = skip > len ? skip - len : 0;
    }
    return 0;
}

static int sync_data(int fd)
{
    int injected = FAILPOINT("objstore.fsync");
    if (injected) {
        errno = injected;
        return -1;
    }
    return fdatasync(fd);
}

/* Ends a put: stable storage, or no object. written: 0 if all bytes are in the file. */
static int finish_put(struct store *s, const char *key, int fd, int written, struct err *e)
{
    const char *what = "write";
    int bad = written || sync_data(fd);
    int saved = errno;
    (void)FAILPOINT("objstore.written");
    if (close(fd) && !bad) {
        bad = -1;
        saved = errno;
    }
    if (!bad && sync_parents(s, key)) {
        bad = -1;
        saved = errno;
        what = "sync";
    }
    if (!bad)
        return 0;
    unlinkat(s->root, key, 0);
    errno = saved;
    return fail(e, what);
}

static int file_put(void *state, const char *key, const struct iovec *pieces, int n, struct err *e)
{
    struct store *s = state;
    int fd = create(s, key, 0);
    if (fd < 0)
        return fail(e, "create");
    return finish_put(s, key, fd, write_pieces(fd, pieces, n), e);
}

/* Writes whole blocks past the page cache, then cuts the file to its length. */
static int write_direct(int fd, char *p, size_t n, size_t rounded)
{
    int injected = FAILPOINT("objstore.write");
    if (injected) {
        errno = injected;
        return -1;
    }
    memset(p + n, 0, rounded - n);
    ssize_t done = write(fd, p, rounded);
    if (done < 0 && errno != EINTR)
        return -1;
    size_t at = done > 0 ? (size_t)done : 0;
    if (at < rounded && (fcntl(fd, F_SETFL, 0) || file_write_all(fd, p + at, rounded - at)))
        return -1;
    return ftruncate(fd, (off_t)n);
}

static int file_put_block(void *state, const char *key, void *p, size_t n, size_t cap,
                          struct err *e)
{
    struct store *s = state;
    size_t rounded = (n + OBJSTORE_BLOCK - 1) & ~(size_t)(OBJSTORE_BLOCK - 1);
    int fd = rounded <= cap ? create(s, key, O_DIRECT) : -1;
    if (fd >= 0)
        return finish_put(s, key, fd, write_direct(fd, p, n, rounded), e);
    if (rounded <= cap && errno != EINVAL)
        return fail(e, "create");
    struct iovec piece = {.iov_base = p, .iov_len = n}; /* the file system cannot do it */
    return file_put(state, key, &piece, 1, e);
}

struct writer {
    struct store *store;
    int fd;
    char part[64];
};

static int file_begin(void *state, void **out, struct err *e)
{
    struct store *s = state;
    char id[ID_UUID];
    id_uuid7(id);
    struct writer *w = mem_zalloc(sizeof *w);
    w->store = s;
    snprintf(w->part, sizeof w->part, "parts/%s.part", id);
    w->fd = create(s, w->part, 0);
    if (w->fd < 0) {
        mem_free(w);
        return fail(e, "create");
    }
    *out = w;
    return 0;
}

static int file_write(void *writer, const void *p, size_t n, struct err *e)
{
    struct writer *w = writer;
    struct iovec piece = {.iov_base = (void *)p, .iov_len = n};
    return write_pieces(w->fd, &piece, 1) ? fail(e, "write") : 0;
}

static int file_rewrite(void *writer, const void *p, size_t n, struct err *e)
{
    struct writer *w = writer;
    ssize_t done = pwrite(w->fd, p, n, 0);
    if (done >= 0 && (size_t)done != n)
        errno = EIO;
    return done >= 0 && (size_t)done == n ? 0 : fail(e, "write");
}

static void file_abort(void *writer)
{
    struct writer *w = writer;
    if (w->fd >= 0)
        close(w->fd);
    unlinkat(w->store->root, w->part, 0);
    mem_free(w);
}

/* Moves the part to its key without ever replacing anything. */
static int rename_part(struct writer *w, const char *key)
{
    struct store *s = w->store;
    int r = renameat2(s->root, w->part, s->root, key, RENAME_NOREPLACE);
    if (r && errno == ENOENT)
        r = make_parents(s, key) ? -1
                                 : renameat2(s->root, w->part, s->root, key, RENAME_NOREPLACE);
    if (r && errno == EINVAL) /* a file system without the flag (some NFS): link does not replace */
        r = linkat(s->root, w->part, s->root, key, 0) || unlinkat(s->root, w->part, 0);
    return r;
}

static int file_commit(void *writer, const char *key, struct err *e)
{
    struct writer *w = writer;
    if (sync_data(w->fd)) {
        fail(e, "sync");
        file_abort(w);
        return -1;
    }
    close(w->fd);
    w->fd = -1;
    if (rename_part(w, key)) {
        fail(e, "rename");
        file_abort(w);
        return -1;
    }
    (void)FAILPOINT("objstore.renamed");
    char dir[OBJSTORE_KEY_MAX];
    str_copy(dir, sizeof dir, key);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    /* a rename is durable only with its directory, every time */
    int r = sync_dir(w->store, slash ? dir : ".") || sync_parents(w->store, key);
    if (r) {
        fail(e, "sync");
        unlinkat(w->store->root, key, 0);
    }
    mem_free(w);
    return r ? -1 : 0;
}

/* ---- read ---- */

/* A large object is read past the page cache, by way of an aligned buffer. */
struct reader {
    int fd;
    char *block;           /* NULL: plain reads */
    int64_t at;            /* next byte to give */
    int64_t from, to;      /* what block holds */
};

static int missing_or(struct err *e)
{
    return err_errno(e, errno == ENOENT ? ERR_REJECT : ERR_RETRY, errno, "object store: open");
}

static int file_read_begin(void *state, const char *key, void **out, int64_t *size, struct err *e)
{
    int fd = open_beneath(state, key, O_RDONLY, 0);
    struct stat st;
    if (fd < 0)
        return missing_or(e);
    if (fstat(fd, &st)) {
        close(fd);
        return fail(e, "stat");
    }
    struct reader *r = mem_zalloc(sizeof *r);
    r->fd = fd;
    if (st.st_size >= DIRECT_READ && fcntl(fd, F_SETFL, O_DIRECT) == 0)
        r->block = mem_aligned(OBJSTORE_BLOCK, DIRECT_READ);
    *out = r;
    *size = st.st_size;
    return 0;
}

static ssize_t read_plain(int fd, void *p, size_t n)
{
    ssize_t got;
    do
        got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Fills the block that holds r->at. The bytes in it, or -1. */
static int fill_block(struct reader *r)
{
    ssize_t got;
    r->from = r->at & ~(int64_t)(OBJSTORE_BLOCK - 1);
    r->to = r->from;
    do
        got = pread(r->fd, r->block, DIRECT_READ, r->from);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EINVAL) { /* cannot do it after all: the page cache can */
        if (fcntl(r->fd, F_SETFL, 0))
            return -1;
        got = pread(r->fd, r->block, DIRECT_READ, r->from);
    }
    if (got < 0)
        return -1;
    r->to = r->from + got;
    return 0;
}

static ssize_t file_read_some(void *reader, void *p, size_t n, struct err *e)
{
    struct reader *r = reader;
    if (!r->block) {
        ssize_t got = read_plain(r->fd, p, n);
        return got < 0 ? fail(e, "read") : got;
    }
    if ((r->at < r->from || r->at >= r->to) && fill_block(r))
        return fail(e, "read");
    int64_t left = r->to - r->at;
    if (left <= 0)
        return 0;
    size_t take = (int64_t)n < left ? n : (size_t)left;
    memcpy(p, r->block + (r->at - r->from), take);
    r->at += (int64_t)take;
    return (ssize_t)take;
}

static int file_seek(void *reader, int64_t offset, struct err *e)
{
    struct reader *r = reader;
    r->at = offset;
    return !r->block && lseek(r->fd, offset, SEEK_SET) < 0 ? fail(e, "seek") : 0;
}

static void file_read_end(void *reader)
{
    struct reader *r = reader;
    close(r->fd);
    mem_free(r->block);
    mem_free(r);
}

static int file_head(void *state, const char *key, int64_t *size, struct err *e)
{
    struct store *s = state;
    struct stat st;
    if (fstatat(s->root, key, &st, AT_SYMLINK_NOFOLLOW))
        return missing_or(e);
    *size = st.st_size;
    return 0;
}

static int file_remove(void *state, const char *key, struct err *e)
{
    struct store *s = state;
    if (unlinkat(s->root, key, 0) && errno != ENOENT)
        return fail(e, "delete");
    return 0;
}

/* ---- list ---- */

struct walk {
    struct store *store;
    const char *prefix;
    objstore_found fn;
    void *arg;
    int depth;
};

static int walk_dir(struct walk *w, const char *dir);

static int walk_entry(struct walk *w, const char *path)
{
    struct stat st;
    if (fstatat(w->store->root, path, &st, AT_SYMLINK_NOFOLLOW))
        return 0; /* gone meanwhile */
    size_t n = strlen(path), prefix = strlen(w->prefix);
    if (S_ISDIR(st.st_mode)) {
        size_t common = n < prefix ? n : prefix;
        return strncmp(path, w->prefix, common) == 0 ? walk_dir(w, path) : 0;
    }
    if (!S_ISREG(st.st_mode) || n < prefix || strncmp(path, w->prefix, prefix) != 0)
        return 0;
    int64_t modified = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return w->fn(w->arg, path, st.st_size, modified);
}

static int walk_dir(struct walk *w, const char *dir)
{
    if (w->depth == LIST_DEPTH)
        return 0;
    int fd = open_beneath(w->store, *dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    w->depth++;
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(d));) {
        char path[OBJSTORE_KEY_MAX];
        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s%s%s", dir, *dir ? "/" : "", entry->d_name) <
            sizeof path)
            r = walk_entry(w, path);
    }
    w->depth--;
    closedir(d);
    return r;
}

static int file_list(void *state, const char *prefix, objstore_found fn, void *arg, struct err *e)
{
    (void)e;
    struct walk w = {.store = state, .prefix = prefix, .fn = fn, .arg = arg};
    return walk_dir(&w, "");
}

static int file_space(void *state, uint64_t *free_bytes, uint64_t *total, struct err *e)
{
    struct store *s = state;
    struct statvfs v;
    if (fstatvfs(s->root, &v))
        return fail(e, "statvfs");
    *free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    *total = (uint64_t)v.f_blocks * v.f_frsize;
    return 0;
}

/* ---- open ---- */

static int file_open(void **out, const char *path, struct err *e)
{
    if (file_mkdirs(path, 0750, e))
        return -1;
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_errno(e, ERR_RETRY, errno, "object store %s", path);
    struct store *s = mem_zalloc(sizeof *s);
    s->root = root;
    pthread_mutex_init(&s->lock, NULL);
    s->synced = mem_zalloc(SYNCED_SLOTS * sizeof *s->synced);
    *out = s;
    return 0;
}

static void file_close(void *state)
{
    struct store *s = state;
    close(s->root);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->synced);
    mem_free(s);
}

const struct objstore_backend objstore_file = {
    .scheme = "file",
    .open = file_open,
    .close = file_close,
    .put = file_put,
    .put_block = file_put_block,
    .begin = file_begin,
    .write = file_write,
    .rewrite = file_rewrite,
    .commit = file_commit,
    .abort = file_abort,
    .read_begin = file_read_begin,
    .read = file_read_some,
    .seek = file_seek,
    .read_end = file_read_end,
    .head = file_head,
    .remove = file_remove,
    .list = file_list,
    .space = file_space,
};
