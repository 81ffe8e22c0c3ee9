/*
 * talaria send: C-STOREs files and folders to a DICOM node. Each association carries as many (SOP
 * class, transfer syntax) pairs as it has room for; files go out in the order they were found, with
 * the bytes they have.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "dicom/part10.h"
#include "dicom/tagmap.h"
#include "dimse/dimse.h"
#include "talaria/commands.h"
#include "talaria/send.h"

#define HEAD_BYTES  (128 * 1024)
#define CHUNK_BYTES (256 * 1024)
#define WAIT_MS     60000

struct sending {
    struct dimse_dial dial;
    VEC(struct send_file) files;
    struct send_result result;
    uint16_t message_id;
    bool progress;
    char *buffer;
};

/* ---- what there is to send ---- */

/* A file without meta says what it is in its dataset. */
static int look_inside(struct send_file *f, const char *p, size_t n, const struct part10_read *head)
{
    struct tagmap_set *set = NULL;
    struct err e;
    if (tagmap_set_new(&set, NULL, 0, &e))
        return -1;
    struct tagmap *m = tagmap_new(set);
    tagmap_start(m, syntax_find(head->syntax));
    (void)tagmap_feed(m, p + head->dataset, n - head->dataset);
    (void)tagmap_finish(m, NULL); /* the file may go on: what was found counts */
    str_copy(f->sop_class, sizeof f->sop_class, tagmap_uid(m, TAGMAP_SOP_CLASS));
    str_copy(f->sop, sizeof f->sop, tagmap_uid(m, TAGMAP_SOP));
    tagmap_free(m);
    tagmap_set_free(set);
    return 0;
}

/* 0: a DICOM instance; -1: not. */
static int look_at(struct send_file *f, const char *path, char *buffer)
{
    struct part10_read head;
    struct err e;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, buffer, HEAD_BYTES, 0);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || part10_parse(&head, buffer, (size_t)n, &e))
        return -1;
    *f = (struct send_file){.dataset = (off_t)head.dataset};
    str_copy(f->sop_class, sizeof f->sop_class, head.sop_class);
    str_copy(f->sop, sizeof f->sop, head.sop);
    str_copy(f->syntax, sizeof f->syntax, head.syntax);
    if ((!*f->sop_class || !*f->sop) && look_inside(f, buffer, (size_t)n, &head))
        return -1;
    return *f->sop_class && *f->sop && *f->syntax ? 0 : -1;
}

/* named: the user meant this very file, so it counts as failed when it is none. */
static void add_file(struct sending *s, const char *path, bool named)
{
    struct send_file f;
    if (look_at(&f, path, s->buffer)) {
        if (named) {
            message("%s is not a DICOM file", path);
            s->result.failed++;
        } else {
            s->result.skipped++;
        }
        return;
    }
    f.path = mem_strdup(path);
    *vec_push(&s->files) = f;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* 0, or the exit status. */
static int add_path(struct sending *s, char *path)
{
    char *const roots[] = {path, NULL};
    int status = 0;
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    if (!walk) {
        message("%s cannot be read", path);
        return EXIT_NOT_FOUND;
    }
    for (FTSENT *f = fts_read(walk); f; f = fts_read(walk)) {
        if (f->fts_info == FTS_F && strcmp(f->fts_name, "DICOMDIR") != 0) {
            add_file(s, f->fts_accpath, f->fts_level == 0);
        } else if (f->fts_info == FTS_NS || f->fts_info == FTS_ERR || f->fts_info == FTS_DNR) {
            struct err e;
            err_errno(&e, ERR_REJECT, f->fts_errno, "%s", f->fts_path);
            message("%s", e.text);
            status = EXIT_NOT_FOUND;
        }
    }
    fts_close(walk);
    return status;
}

/* ---- sending ---- */

static int stream(struct sending *s, struct dimse_assoc *a, const struct send_file *f, int fd,
                  const struct dimse_context *context, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_errno(e, ERR_REJECT, errno, "%s", f->path);
    off_t at = f->dataset, end = st.st_size;
    if (end <= at)
        return err_set(e, ERR_REJECT, 0, "%s holds no dataset", f->path);
    if (dimse_store_begin(a, context->id, ++s->message_id, f->sop_class, f->sop, 0, e))
        return -1;
    while (at < end) {
        size_t want = end - at < CHUNK_BYTES ? (size_t)(end - at) : CHUNK_BYTES;
        ssize_t n = pread(fd, s->buffer, want, at);
        if (n <= 0)
            return err_set(e, ERR_RETRY, n < 0 ? errno : 0, "%s changed while it was sent",
                           f->path);
        at += n;
        if (dimse_store_write(a, s->buffer, (size_t)n, at >= end, e))
            return -1;
    }
    return 0;
}

/* 0: answered, or this file alone failed; -1: the association is over. */
static int send_one(struct sending *s, struct dimse_assoc *a, const struct send_file *f,
                    struct err *e)
{
    const struct dimse_context *context = dimse_accepted(a, f->proposal);
    struct dimse_command answer;
    if (!context) {
        send_count(&s->result, SEND_REFUSED, f);
        return 0;
    }
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        struct err mine;
        err_errno(&mine, ERR_REJECT, errno, "%s", f->path);
        message("%s", mine.text);
        s->result.failed++;
        return 0;
    }
    int r = stream(s, a, f, fd, context, e);
    close(fd);
    if (r)
        return -1;
    switch (dimse_next(a, &answer, e)) {
    case DIMSE_COMMAND:
        send_count(&s->result, answer.status, f);
        return 0;
    case DIMSE_RELEASED:
        return err_set(e, ERR_RETRY, 0, "the peer released instead of answering");
    case DIMSE_ABORTED:
        return err_set(e, ERR_RETRY, 0, "the peer aborted the association");
    case DIMSE_LOST:
        break;
    }
    return -1;
}

static void show_progress(const struct sending *s, size_t done)
{
    if (s->progress)
        fprintf(stderr, "\r%zu of %zu%s", done, s->files.n, done == s->files.n ? "\n" : "");
}

/* One association over files [from, to). */
static int send_range(struct sending *s, size_t from, size_t to, struct err *e)
{
    struct dimse_assoc *a = NULL;
    size_t i = from;
    if (dimse_connect(&a, &s->dial, e)) {
        s->result.failed += (int64_t)(to - from);
        return -1;
    }
    for (; i < to; i++) {
        if (send_one(s, a, &s->files.items[i], e))
            break;
        show_progress(s, i + 1);
    }
    if (i < to) {
        s->result.failed += (int64_t)(to - i);
        dimse_abort(a);
    } else {
        struct err ignored; /* every answer is in */
        (void)dimse_release(a, &ignored);
    }
    dimse_free(a);
    return i < to ? -1 : 0;
}

static int send_all(struct sending *s, struct err *e)
{
    struct dimse_proposal *proposals = mem_zalloc(DIMSE_CONTEXTS * sizeof *proposals);
    size_t from = 0;
    int r = 0;
    dimse_setup();
    while (from < s->files.n && r == 0) {
        unsigned n;
        size_t to = send_board(s->files.items, s->files.n, from, proposals, &n);
        s->dial.proposals = proposals;
        s->dial.n = n;
        r = send_range(s, from, to, e);
        from = to;
    }
    s->result.failed += (int64_t)(s->files.n - from);
    mem_free(proposals);
    return r;
}

static void report(const struct sending *s, int64_t ms, bool json)
{
    struct str out = STR_INIT;
    if (json)
        send_result_json(&out, &s->result, ms);
    else
        send_result_text(&out, &s->result, ms);
    fputs(str_cstr(&out), stdout);
    str_free(&out);
}

static int send_paths(struct sending *s, const struct cli *c, char **paths)
{
    struct err e = {0};
    int status = EXIT_DONE;
    for (; *paths; paths++) {
        int r = add_path(s, *paths);
        status = r ? r : status;
    }
    if (s->files.n == 0) {
        message("no DICOM file in what was named");
        return EXIT_NOT_FOUND;
    }
    int64_t began = clock_mono_ms();
    if (send_all(s, &e)) {
        if (s->progress)
            fputc('\n', stderr);
        status = failed(&e);
    } else if (status == EXIT_DONE && s->result.failed) {
        status = EXIT_FAILED;
    }
    report(s, clock_mono_ms() - began, c->json);
    return status;
}

static int run(struct cli *c, int argc, char **argv)
{
    const char *to = "127.0.0.1:11112", *called = "TALARIA", *calling = "TALARIA-CLI";
    char host[256];
    struct sending s = {0};
    const struct option_row rows[] = {
        OPTION_TEXT("--to", "HOST:PORT", &to, "the DICOM node (127.0.0.1:11112)"),
        OPTION_TEXT("--called", "AE", &called, "its AE title (TALARIA)"),
        OPTION_TEXT("--calling", "AE", &calling, "own AE title (TALARIA-CLI)"),
    };
    int status = options_take(&command_send, rows, ARRAY_LEN(rows), &argc, argv, 1, argc);
    if (status >= 0)
        return status;
    if (send_address(host, sizeof host, &s.dial.port, to) || !*called || !*calling ||
        strlen(called) >= DIMSE_AE || strlen(calling) >= DIMSE_AE) {
        message("--to is HOST:PORT, an AE title has 1 to 16 characters");
        return EXIT_USAGE;
    }
    s.dial.host = host;
    s.dial.called_ae = called;
    s.dial.calling_ae = calling;
    s.dial.window = 1;
    s.dial.limits = (struct dimse_limits){
        .negotiate_ms = 15000, .idle_ms = WAIT_MS, .message_ms = 10 * WAIT_MS};
    s.buffer = mem_alloc(CHUNK_BYTES);
    s.progress = isatty(STDERR_FILENO);
    status = send_paths(&s, c, argv + 1);
    for (size_t i = 0; i < s.files.n; i++)
        mem_free(s.files.items[i].path);
    vec_free(&s.files);
    mem_free(s.buffer);
    return status;
}

const struct command command_send = {"send", "PATH…",
                                     "sends DICOM files and folders to a node by C-STORE", run};
