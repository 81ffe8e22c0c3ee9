/* Durable small files. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int file_read(struct str *out, const char *path, size_t max, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno == ENOENT ? ERR_REJECT : ERR_RETRY, errno, "%s", path);
    size_t start = out->len;
    for (;;) {
        str_reserve(out, 65536);
        ssize_t n = read(fd, out->data + out->len, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int saved = errno;
            close(fd);
            return n == 0 ? 0 : err_errno(e, ERR_RETRY, saved, "%s", path);
        }
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len - start > max) {
            close(fd);
            return err_set(e, ERR_REJECT, EFBIG, "%s is larger than %zu bytes", path, max);
        }
    }
}

int file_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

static int sync_parent(const char *path)
{
    struct str dir = STR_INIT;
    const char *slash = strrchr(path, '/');
    if (slash)
        str_append(&dir, path, (size_t)(slash - path) + 1);
    else
        str_puts(&dir, ".");
    int fd = open(str_cstr(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    str_free(&dir);
    if (fd < 0)
        return -1;
    int r = fsync(fd);
    close(fd);
    return r;
}

int file_replace(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
    struct str tmp = STR_INIT;
    str_printf(&tmp, "%s.part", path);
    int r = -1;
    int fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0) {
        err_errno(e, ERR_RETRY, errno, "%s", tmp.data);
        goto out;
    }
    if (file_write_all(fd, p, n) || fsync(fd)) {
        err_errno(e, ERR_RETRY, errno, "%s", tmp.data);
        close(fd);
        unlink(tmp.data);
        goto out;
    }
    close(fd);
    if (rename(tmp.data, path) || sync_parent(path)) {
        err_errno(e, ERR_RETRY, errno, "%s", path);
        goto out;
    }
    r = 0;
out:
    str_free(&tmp);
    return r;
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
    char *copy = mem_strdup(path);
    int r = 0;
    for (char *p = copy + 1; r == 0; p++) {
        if (*p && *p != '/')
            continue;
        char saved = *p;
        *p = '\0';
        if (mkdir(copy, mode) && errno != EEXIST)
            r = err_errno(e, ERR_RETRY, errno, "mkdir %s", copy);
        *p = saved;
        if (!saved)
            break;
    }
    mem_free(copy);
    return r;
}
