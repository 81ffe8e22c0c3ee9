/*
 * DIMSE messages over the PDU reader: commands are gathered, datasets are passed on piece by piece,
 * answers and requests are written as whole PDUs with as few system calls as there are reasons to
 * wait.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dimse/dimse_priv.h"

#define OUT_KEEP      16384 /* responses held back at most */
#define IDLE_KEEP_MS  1000  /* after that an idle association gives its read buffer back */
#define RATE_GRACE_MS 10000
#define RELEASE_MS    5000
#define GATHER        64 /* pieces of one sendmsg */

/* ---- reading ---- */
/* Absolute deadline of the wait that is about to begin. */
static int64_t read_deadline(const struct dimse_assoc *a, int64_t now)
{
    const struct dimse_limits *l = &a->limits;
    int64_t deadline = CONN_NEVER;

    if (!a->in_message)
        return l->idle_ms > 0 ? now + l->idle_ms : CONN_NEVER;
    if (l->message_ms > 0)
        deadline = a->message_start + l->message_ms;
    if (l->min_rate > 0) {
        /* time that we spent ourselves (storing) does not count against the peer's rate */
        int64_t earned = (int64_t)(a->message_bytes * 1000 / (uint64_t)l->min_rate);
        int64_t left = (earned > RATE_GRACE_MS ? earned : RATE_GRACE_MS) - a->message_waited;

        if (now + left < deadline)
            deadline = now + left;
    }
    return deadline;
}

static int wait_for_bytes(struct dimse_assoc *a, int64_t deadline, struct err *e)
{
    int64_t before = clock_mono_ms();
    int late = conn_wait_read(&a->conn, deadline);

    if (a->in_message)
        a->message_waited += clock_mono_ms() - before;
    if (!late)
        return 0;
    return err_set(e, ERR_RETRY, ETIMEDOUT,
                   a->in_message ? "message took too long" : "association was idle too long");
}

static void begin_message(struct dimse_assoc *a, int64_t now)
{
    a->in_message = true;
    a->message_start = now;
    a->message_waited = 0;
    a->message_bytes = 0;
}

/* Also asked after bytes came: a peer that always has one ready must not outlive its time. */
static ssize_t count_bytes(struct dimse_assoc *a, ssize_t got, struct err *e)
{
    int64_t now = clock_mono_ms();

    if (!a->in_message)
        begin_message(a, now);
    a->message_bytes += (uint64_t)got;
    if (now >= read_deadline(a, now))
        return err_set(e, ERR_RETRY, ETIMEDOUT, "message took too long");
    return got;
}

/* The reader's source of bytes. */
static ssize_t source(void *arg, void *p, size_t n, struct err *e)
{
    struct dimse_assoc *a = arg;

    for (;;) {
        ssize_t got = conn_try_read(&a->conn, p, n, e);

        if (got > 0)
            return count_bytes(a, got, e);
        if (got != CONN_AGAIN)
            return got;
        if (a->out.len > 0 && assoc_flush(a, NULL, 0, e)) /* never wait with an answer in hand */
            return -1;
        if (a->in_message)
            conn_quickack(&a->conn);
        if (wait_for_bytes(a, read_deadline(a, clock_mono_ms()), e))
            return -1;
    }
}

static void start_reader(struct dimse_assoc *a)
{
    if (!a->reader.read)
        pdu_init(&a->reader, source, a, DIMSE_PDU_MAX);
}

/* What is not a message's piece ends the association. */
static enum dimse_event ended(struct dimse_assoc *a, enum pdu_kind k, const struct pdu_piece *piece,
                              struct err *e)
{
    static const uint8_t rp[10] = {PDU_RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0};

    switch (k) {
    case PDU_GOT_RELEASE_RQ:
        if (a->dataset_open || a->command.len > 0)
            break;
        str_append(&a->out, rp, sizeof rp);
        (void)assoc_flush(a, NULL, 0, e); /* it is released whether or not the peer hears it */
        a->state = ASSOC_OVER;
        a->linger = true;
        return DIMSE_RELEASED;
    case PDU_GOT_ABORT:
        a->state = ASSOC_OVER;
        (void)err_set(e, ERR_RETRY, piece->reason, "peer aborted the association");
        return DIMSE_ABORTED;
    case PDU_GOT_END:
        a->state = ASSOC_OVER;
        (void)err_set(e, ERR_RETRY, ECONNRESET, "peer closed the connection");
        return DIMSE_LOST;
    case PDU_GOT_FAILED:
        if (e->code == ETIMEDOUT)
            assoc_abort(a, 2, ABORT_NO_REASON);
        a->state = ASSOC_OVER;
        return DIMSE_LOST;
    case PDU_GOT_BROKEN:
        assoc_abort(a, 2, piece->reason);
        return DIMSE_LOST;
    default:
        break;
    }
    (void)err_set(e, ERR_REJECT, 0, "peer broke the protocol: release PDU inside a message");
    assoc_abort(a, 2, ABORT_UNEXPECTED);
    return DIMSE_LOST;
}

static enum dimse_event violated(struct dimse_assoc *a, struct err *e, const char *what)
{
    (void)err_set(e, ERR_REJECT, 0, "peer broke the protocol: %s", what);
    assoc_abort(a, 2, ABORT_BAD_PARAMETER);
    return DIMSE_LOST;
}

/* The message is complete; what lies in the buffer already belongs to the next one. */
static void end_message(struct dimse_assoc *a)
{
    a->in_message = pdu_buffered(&a->reader);
    if (a->in_message)
        begin_message(a, clock_mono_ms());
}

/* Before a wait between messages: send what is held back, and after a while give the buffer back.
 */
static int settle(struct dimse_assoc *a, struct err *e)
{
    if (a->in_message || pdu_buffered(&a->reader) || conn_buffered(&a->conn))
        return 0;
    if (a->out.len > 0 && assoc_flush(a, NULL, 0, e))
        return -1;
    int64_t keep = a->limits.idle_ms;

    if (keep <= 0 || keep > IDLE_KEEP_MS)
        keep = IDLE_KEEP_MS;
    if (a->reader.buf && conn_wait_read(&a->conn, clock_mono_ms() + keep)) {
        pdu_shrink(&a->reader);
        str_free(&a->out);
        str_free(&a->command);
    }
    return 0;
}

static int gather_command(struct dimse_assoc *a, const struct pdu_piece *piece, const uint8_t **p,
                          size_t *n, struct err *e)
{
    if (a->command.len == 0 && piece->last) { /* the usual case: whole, no copy */
        *p = piece->p;
        *n = piece->n;
        return 0;
    }
    if (a->command.len + piece->n > DIMSE_COMMAND_MAX)
        return err_set(e, ERR_REJECT, 0, "peer broke the protocol: command set too long");
    str_append(&a->command, piece->p, piece->n);
    *p = (const uint8_t *)a->command.data;
    *n = a->command.len;
    return 0;
}

/* One piece of a command set. Returns true when *event is to be returned. */
static bool take_piece(struct dimse_assoc *a, const struct pdu_piece *piece,
                       struct dimse_command *cmd, enum dimse_event *event, struct err *e)
{
    const struct dimse_context *c = dimse_context_by_id(a, piece->context);
    const uint8_t *p = NULL;
    size_t n = 0;

    *event = DIMSE_LOST;
    if (!c || !c->accepted)
        *event = violated(a, e, "presentation context was not accepted");
    else if (!piece->command)
        *event = violated(a, e, "data set without a command");
    else if (a->command.len > 0 && piece->context != a->command_context)
        *event = violated(a, e, "command set over two presentation contexts");
    else if (gather_command(a, piece, &p, &n, e))
        assoc_abort(a, 2, ABORT_BAD_PARAMETER);
    else if (!piece->last) {
        a->command_context = piece->context;
        return false;
    } else if (command_parse(cmd, p, n, e))
        assoc_abort(a, 2, ABORT_BAD_PARAMETER);
    else {
        cmd->context = piece->context;
        *event = DIMSE_COMMAND;
    }
    return true;
}

enum dimse_event dimse_next(struct dimse_assoc *a, struct dimse_command *cmd, struct err *e)
{
    struct pdu_piece piece = {0};
    struct err unused;
    enum dimse_event event;
    int sunk;

    if (!e)
        e = &unused;

    if (a->state != ASSOC_OPEN) {
        (void)err_set(e, ERR_RETRY, ENOTCONN, "association is over");
        return DIMSE_LOST;
    }
    start_reader(a);
    if (a->dataset_open && dimse_dataset(a, NULL, NULL, &sunk, e))
        return DIMSE_LOST;
    if (settle(a, e)) {
        a->state = ASSOC_OVER;
        return DIMSE_LOST;
    }
    for (;;) {
        enum pdu_kind k = pdu_next(&a->reader, &piece, e);

        if (k != PDU_GOT_DATA)
            return ended(a, k, &piece, e);
        if (take_piece(a, &piece, cmd, &event, e))
            break;
    }
    str_clear(&a->command);
    if (event == DIMSE_COMMAND) {
        a->dataset_open = cmd->has_dataset;
        a->dataset_context = cmd->context;
        if (!cmd->has_dataset)
            end_message(a);
    }
    return event;
}

int dimse_dataset(struct dimse_assoc *a, dimse_sink sink, void *arg, int *sunk, struct err *e)
{
    struct pdu_piece piece = {0};
    uint64_t total = 0;
    struct err unused;
    int verdict = 0;

    if (!e)
        e = &unused;
    *sunk = 0;
    if (a->state != ASSOC_OPEN)
        return err_set(e, ERR_RETRY, ENOTCONN, "association is over");
    if (!a->dataset_open)
        return err_set(e, ERR_REJECT, 0, "no data set to read");
    do {
        enum pdu_kind k = pdu_next(&a->reader, &piece, e);

        if (k != PDU_GOT_DATA) {
            (void)ended(a, k, &piece, e);
            return -1;
        }
        if (piece.command || piece.context != a->dataset_context) {
            (void)violated(a, e, "data set interrupted by another command or context");
            return -1;
        }
        total += piece.n;
        if (a->limits.message_max > 0 && total > (uint64_t)a->limits.message_max) {
            (void)violated(a, e, "data set larger than the limit");
            return -1;
        }
        if (verdict == 0 && sink)
            verdict = *sunk = sink(arg, piece.p, piece.n, piece.last);
    } while (!piece.last);
    a->dataset_open = false;
    end_message(a);
    return 0;
}

bool dimse_pending(struct dimse_assoc *a)
{
    return pdu_buffered(&a->reader) || conn_wait_read(&a->conn, 0) == 0;
}

/* ---- writing ---- */
int assoc_flush(struct dimse_assoc *a, struct iovec *more, int n, struct err *e)
{
    struct iovec iov[GATHER + 1];
    int count = 0;

    if (a->state == ASSOC_OVER)
        return err_set(e, ERR_RETRY, ENOTCONN, "association is over");
    if (a->out.len > 0)
        iov[count++] = (struct iovec){a->out.data, a->out.len};
    for (int i = 0; i < n; i++)
        iov[count++] = more[i];
    int64_t deadline = a->send_deadline ? a->send_deadline : conn_deadline(a->limits.message_ms);
    if (count > 0 && conn_write(&a->conn, iov, count, deadline, e)) {
        a->state = ASSOC_OVER;
        return -1;
    }
    str_clear(&a->out);
    return 0;
}

static void put_pdv_head(uint8_t h[12], size_t n, uint8_t context, bool command, bool last)
{
    h[0] = PDU_P_DATA;
    h[1] = 0;
    put_be32(h + 2, (uint32_t)n + 6);
    put_be32(h + 6, (uint32_t)n + 2);
    h[10] = context;
    h[11] = (uint8_t)((command ? 1 : 0) | (last ? 2 : 0));
}

/* Bytes of one PDV as the peer takes them; even, as PS3.8 annex E wants fragments. */
static size_t pdv_room(const struct dimse_assoc *a)
{
    return (a->peer_max - 6) & ~(size_t)1;
}

static void put_command(struct dimse_assoc *a, const struct dimse_command *c, uint8_t context)
{
    uint8_t bytes[DIMSE_COMMAND_BYTES], head[12];
    size_t n = command_encode(c, bytes), room = pdv_room(a);

    for (size_t at = 0; at < n; at += room) {
        size_t k = n - at < room ? n - at : room;

        put_pdv_head(head, k, context, true, at + k == n);
        str_append(&a->out, head, sizeof head);
        str_append(&a->out, bytes + at, k);
    }
}

int dimse_respond(struct dimse_assoc *a, const struct dimse_command *rq, uint16_t status,
                  const char *comment, struct err *e)
{
    struct dimse_command c = {
        .field = rq->field | 0x8000,
        .message_id = rq->message_id,
        .status = status,
    };

    if (a->state != ASSOC_OPEN)
        return err_set(e, ERR_RETRY, ENOTCONN, "association is over");
    memcpy(c.sop_class, rq->sop_class, sizeof c.sop_class);
    memcpy(c.sop, rq->sop, sizeof c.sop);
    (void)str_copy(c.comment, sizeof c.comment, comment ? comment : "");
    for (char *p = c.comment; *p; p++) /* LO in the default repertoire */
        if (*p < 0x20 || *p > 0x7E || *p == '\\')
            *p = '?';
    put_command(a, &c, rq->context);
    /* more requests lie in the buffer: their answers go out together */
    if (a->out.len < OUT_KEEP && (pdu_buffered(&a->reader) || conn_buffered(&a->conn)))
        return 0;
    return assoc_flush(a, NULL, 0, e);
}

static int begin(struct dimse_assoc *a, uint8_t context, const struct dimse_command *c,
                 struct err *e)
{
    const struct dimse_context *pc = dimse_context_by_id(a, context);

    if (a->state != ASSOC_OPEN)
        return err_set(e, ERR_RETRY, ENOTCONN, "association is over");
    if (a->open_pdu != SIZE_MAX)
        return err_set(e, ERR_REJECT, 0, "the data set before is not complete");
    if (!pc || !pc->accepted)
        return err_set(e, ERR_REJECT, 0, "presentation context %d was not accepted", context);
    put_command(a, c, context);
    return 0;
}

int dimse_echo_begin(struct dimse_assoc *a, uint8_t context, uint16_t message_id, struct err *e)
{
    struct dimse_command c = {.field = DIMSE_C_ECHO_RQ, .message_id = message_id};

    (void)str_copy(c.sop_class, sizeof c.sop_class, "1.2.840.10008.1.1");
    if (begin(a, context, &c, e))
        return -1;
    return assoc_flush(a, NULL, 0, e);
}

int dimse_store_begin(struct dimse_assoc *a, uint8_t context, uint16_t message_id,
                      const char *sop_class, const char *sop, uint16_t priority, struct err *e)
{
    struct dimse_command c = {
        .field = DIMSE_C_STORE_RQ,
        .message_id = message_id,
        .priority = priority,
        .has_dataset = true,
    };

    if (!str_copy(c.sop_class, sizeof c.sop_class, sop_class) ||
        !str_copy(c.sop, sizeof c.sop, sop))
        return err_set(e, ERR_REJECT, 0, "UID longer than 64 characters");
    if (begin(a, context, &c, e))
        return -1;
    a->store_context = context;
    a->send_deadline = conn_deadline(a->limits.message_ms);
    a->open_pdu = a->out.len; /* the command waits in out and goes with the first data */
    str_append(&a->out, (uint8_t[12]){0}, 12);
    return 0;
}

/* Completes the PDU under way with k bytes at p (not copied) and sends it and whole PDUs after it.
 */
static int send_pdus(struct dimse_assoc *a, const uint8_t *p, size_t n, bool last, struct err *e)
{
    uint8_t heads[GATHER / 2][12];
    struct iovec iov[GATHER];
    size_t room = pdv_room(a), have = a->out.len - a->open_pdu - 12;
    size_t k = n < room - have ? n : room - have;
    int count = 0;

    put_pdv_head((uint8_t *)a->out.data + a->open_pdu, have + k, a->store_context, false,
                 last && k == n);
    iov[count++] = (struct iovec){(void *)p, k};
    for (size_t at = k; at < n; at += k) {
        if (count + 2 > GATHER) {
            if (assoc_flush(a, iov, count, e))
                return -1;
            count = 0;
        }
        k = n - at < room ? n - at : room;
        uint8_t *head = heads[count / 2];
        put_pdv_head(head, k, a->store_context, false, last && at + k == n);
        iov[count++] = (struct iovec){head, 12};
        iov[count++] = (struct iovec){(void *)(p + at), k};
    }
    return assoc_flush(a, iov, count, e);
}

int dimse_store_write(struct dimse_assoc *a, const void *p, size_t n, bool last, struct err *e)
{
    size_t room = pdv_room(a);

    if (a->state != ASSOC_OPEN)
        return err_set(e, ERR_RETRY, ENOTCONN, "association is over");
    if (a->open_pdu == SIZE_MAX)
        return err_set(e, ERR_REJECT, 0, "no data set under way");
    size_t have = a->out.len - a->open_pdu - 12;
    if (last) {
        if (send_pdus(a, p, n, true, e))
            return -1;
        a->open_pdu = SIZE_MAX;
        a->send_deadline = 0;
        return 0;
    }
    /* Whole PDUs go out from the caller's memory; what is left waits, so that the last fragment is
     * never empty. */
    if (have + n > room) {
        size_t whole = room - have + (n - (room - have) - 1) / room * room;

        if (send_pdus(a, p, whole, false, e))
            return -1;
        p = (const uint8_t *)p + whole;
        n -= whole;
        a->open_pdu = 0;
        str_append(&a->out, (uint8_t[12]){0}, 12);
    }
    str_append(&a->out, p, n);
    return 0;
}

/* ---- the end ---- */
int dimse_release(struct dimse_assoc *a, struct err *e)
{
    static const uint8_t rq[10] = {PDU_RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    static const uint8_t rp[10] = {PDU_RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    struct pdu_piece piece;
    struct err mine = {0};
    bool collided = false;

    if (a->state != ASSOC_OPEN)
        return err_set(e, ERR_RETRY, ENOTCONN, "association is over");
    if (a->open_pdu != SIZE_MAX)
        return err_set(e, ERR_REJECT, 0, "release inside a data set");
    start_reader(a);
    a->limits.message_ms = a->limits.idle_ms = RELEASE_MS;
    a->limits.min_rate = 0;
    begin_message(a, clock_mono_ms()); /* one deadline for all that may still come */
    str_append(&a->out, rq, sizeof rq);
    if (assoc_flush(a, NULL, 0, e))
        return -1;
    for (;;) {
        enum pdu_kind k = pdu_next(&a->reader, &piece, &mine);

        if (k == PDU_GOT_DATA) /* what was on its way is of no interest any more */
            continue;
        if (k == PDU_GOT_RELEASE_RQ && !collided) {
            /* PS3.8 AR-8..10: both asked; the requestor answers first */
            collided = true;
            if (a->requestor) {
                str_append(&a->out, rp, sizeof rp);
                if (assoc_flush(a, NULL, 0, e))
                    return -1;
            }
            continue;
        }
        if (k == PDU_GOT_RELEASE_RP) {
            if (collided && !a->requestor) {
                str_append(&a->out, rp, sizeof rp);
                (void)assoc_flush(a, NULL, 0, NULL); /* released either way */
            }
            a->state = ASSOC_OVER;
            return 0;
        }
        str_clear(&a->command);
        a->dataset_open = false;
        (void)ended(a, k, &piece, &mine);
        a->state = ASSOC_OVER;
        return err_set(e, ERR_RETRY, mine.code, "release: %s", mine.text);
    }
}
