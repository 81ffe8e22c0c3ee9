/*
 * Target "folder": mercure's layout: <folder>/<delivery>/ with the files, then an empty
 * `.complete`. Each file is written under a temporary name, fsynced, renamed; the folder is fsynced
 * before the mark. The delivery's id names the folder, so that a second attempt goes on in the same
 * one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "dicom/part10.h"
#include "dispatcher/target.h"
#include "event/keys.h"

#define COPY_BYTES (256 * 1024) /* the head of any of our files lies in the first */

/* mercure: <SeriesUID>#<SOP UID>.dcm; the series is the manifest key's fourth part. */
static void file_name(char out[256], const struct manifest_member *m)
{
    char sop[KEYS_UID], series[KEYS_UID] = "";
    const char *part = m->key;
    for (int i = 0; part && i < 3; i++)
        part = (part = strchr(part, '/')) ? part + 1 : NULL;
    if (part)
        snprintf(series, sizeof series, "%.*s", (int)strcspn(part, "/"), part);
    keys_uid(sop, m->sop ? m->sop : "");
    snprintf(out, 256, "%s#%s.%s.dcm", series, sop, m->receipt);
}

static bool excluded(const struct config_folder_target *f, const char *name)
{
    for (size_t i = 0; i < f->exclude.n; i++)
        if (config_glob(f->exclude.items[i], name))
            return true;
    return false;
}

/* Where the bytes begin whose hash the manifest names: of an instance those of its dataset. */
static int hashed_from(const struct manifest_member *m, const char *head, size_t n, size_t *from,
                       struct err *e)
{
    struct part10_read read = {0};
    int r = m->kind == MANIFEST_INSTANCE ? part10_parse(&read, head, n, e) : 0;
    *from = read.dataset;
    return r;
}

/* Fills the buffer, which only the end of the object leaves with room. */
static int read_chunk(struct objstore_reader *r, char *buffer, int64_t left, size_t *got,
                      struct err *e)
{
    size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
    for (*got = 0; *got < want;) {
        ssize_t n = objstore_read(r, buffer + *got, want - *got, e);
        if (n <= 0)
            return n < 0 ? -1 : err_set(e, ERR_REJECT, EIO, "the object is shorter than its size");
        *got += (size_t)n;
    }
    return 0;
}

static int copy_chunks(const struct manifest_member *m, struct objstore_reader *r, int fd,
                       char *buffer, struct hash *hash, struct err *e)
{
    int64_t left = m->size;
    while (left > 0) {
        size_t n, from = 0;
        if (read_chunk(r, buffer, left, &n, e) ||
            (left == m->size && hashed_from(m, buffer, n, &from, e)))
            return -1;
        hash_update(hash, buffer + from, n - from);
        if (file_write_all(fd, buffer, n))
            return err_errno(e, ERR_RETRY, errno, "write to the folder");
        left -= (int64_t)n;
    }
    return 0;
}

static int copy_bytes(const struct manifest_member *m, struct objstore_reader *r, int fd,
                      struct err *e)
{
    char *buffer = mem_alloc(COPY_BYTES), sha256[HASH_SHA256_HEX];
    struct hash *hash = hash_new();
    int result = copy_chunks(m, r, fd, buffer, hash, e);
    hash_hex(hash, sha256);
    hash_free(hash);
    mem_free(buffer);
    if (result == 0 && strcmp(sha256, m->sha256) != 0)
        result = err_set(e, ERR_REJECT, EBADMSG, "the object's bytes are not those received");
    return result;
}

static int copy_member(const struct transfer *t, int dir, const struct manifest_member *m,
                       const char *name, struct err *e)
{
    char part[264];
    struct objstore_reader *r;
    if (transfer_open_object(t, m, &r, e))
        return -1;
    snprintf(part, sizeof part, ".%.250s.part", name);
    int result = -1;
    int fd = openat(dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        err_errno(e, ERR_RETRY, errno, "create in the folder");
        goto out;
    }
    int bad = copy_bytes(m, r, fd, e);
    if (!bad && fsync(fd))
        bad = err_errno(e, ERR_RETRY, errno, "fsync in the folder");
    close(fd);
    if (!bad && renameat(dir, part, dir, name))
        bad = err_errno(e, ERR_RETRY, errno, "rename in the folder");
    if (bad)
        unlinkat(dir, part, 0);
    result = bad ? -1 : 0;
out:
    objstore_read_end(r);
    return result;
}

static int open_folder(const struct transfer *t, struct err *e)
{
    struct str path = STR_INIT;
    str_printf(&path, "%s/%s", t->target->folder->path, t->delivery);
    int dir = -1;
    /* the target folder itself must be there: a mount that is missing must not be filled up */
    if (access(t->target->folder->path, F_OK))
        err_errno(e, ERR_RETRY, errno, "folder %s", t->target->folder->path);
    else if (mkdir(path.data, 0755) && errno != EEXIST)
        err_errno(e, ERR_RETRY, errno, "mkdir in %s", t->target->folder->path);
    else if ((dir = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        err_errno(e, ERR_RETRY, errno, "open in %s", t->target->folder->path);
    str_free(&path);
    return dir;
}

static int mark_complete(const struct transfer *t, int dir, struct err *e)
{
    int fd = openat(dir, ".complete", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || fsync(fd) || fsync(dir)) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        return err_errno(e, ERR_RETRY, saved, "complete the folder");
    }
    close(fd);
    int parent = open(t->target->folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = parent < 0 ? -1 : fsync(parent);
    int saved = errno;
    if (parent >= 0)
        close(parent);
    return r ? err_errno(e, ERR_RETRY, saved, "fsync %s", t->target->folder->path) : 0;
}

/* What became of a member before anything is reported. */
enum copied { COPIED, UNREADABLE, EXCLUDED };

/* Outcomes are reported only when the whole folder is on stable storage: before that, none counts.
 */
static int report_all(struct transfer *t, const enum copied *what, struct err *e)
{
    for (int64_t i = 0; i < (int64_t)t->manifest->members.n; i++) {
        if (!transfer_is_open(t, i) || what[i] == UNREADABLE)
            continue;
        int r = what[i] == COPIED
                    ? t->report(t, i, MEMBER_DELIVERED, 0, NULL)
                    : t->report(t, i, MEMBER_NOT_ACCEPTED, 0, "excluded by the target's filter");
        if (r)
            return err_set(e, ERR_RETRY, 0, "outcomes could not be recorded");
    }
    return 0;
}

static int send_members(struct transfer *t, int dir, enum copied *what, struct err *e)
{
    for (int64_t i = 0; i < (int64_t)t->manifest->members.n; i++) {
        char name[256];
        const struct manifest_member *m = transfer_member(t, i);
        if (*t->stop)
            return err_set(e, ERR_RETRY, 0, "stopped");
        if (!transfer_is_open(t, i))
            continue;
        file_name(name, m);
        what[i] = excluded(t->target->folder, name) ? EXCLUDED : COPIED;
        if (what[i] == EXCLUDED || copy_member(t, dir, m, name, e) == 0)
            continue;
        if (transfer_late(t, e))
            continue;
        if (e->kind != ERR_REJECT)
            return -1;
        what[i] = UNREADABLE; /* this object will never be readable; the others go on */
        if (t->report(t, i, MEMBER_FAILED, e->code, e->text))
            return -1;
    }
    return 0;
}

static int send_folder(struct transfer *t, struct err *e)
{
    int dir = open_folder(t, e);
    if (dir < 0)
        return -1;
    enum copied *what = mem_zalloc(t->manifest->members.n * sizeof *what);
    int r = send_members(t, dir, what, e);
    bool whole = r == 0 && t->late == 0;
    if (whole)
        r = mark_complete(t, dir, e);
    if (whole && r == 0)
        r = report_all(t, what, e);
    mem_free(what);
    close(dir);
    return r;
}

const struct target_type target_folder = {
    .type = TARGET_FOLDER, .name = "folder", .send = send_folder};
