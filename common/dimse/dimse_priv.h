/*
 * How the pieces of this library see each other: conn (bytes with a deadline), pdu (P-DATA reader),
 * command (DIMSE command sets), associate (A-ASSOCIATE guard, our own RQ, the peer's AC), negotiate
 * (DCMTK), and the association itself.
 */
#ifndef DIMSE_DIMSE_PRIV_H
#define DIMSE_DIMSE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "dimse/dimse.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DIMSE_KEPT_SYNTAXES 50  /* of a context; what DCMTK's ASC layer can hold */
#define DIMSE_MAX_SYNTAXES  128 /* more in one context is refused before DCMTK sees it */
#define DIMSE_COMMAND_MAX   16384
#define DIMSE_ASSOCIATE_MAX (1 << 20)
#define DIMSE_VERSION_NAME  "TALARIA"

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, v >> 16);
    put_be16(p + 2, v & 0xFFFF);
}

enum { /* PS3.8 table 9-11 and following */
       PDU_ASSOCIATE_RQ = 1,
       PDU_ASSOCIATE_AC,
       PDU_ASSOCIATE_RJ,
       PDU_P_DATA,
       PDU_RELEASE_RQ,
       PDU_RELEASE_RP,
       PDU_ABORT,
};
enum { /* A-ABORT reasons of the service provider, table 9-26 */
       ABORT_NO_REASON = 0,
       ABORT_UNRECOGNIZED = 1,
       ABORT_UNEXPECTED = 2,
       ABORT_BAD_PARAMETER = 6,
};

/* ---- conn.c: a socket, plain or TLS; non-blocking inside, every wait has a deadline ---- */
struct conn {
    int fd;
    void *ssl; /* SSL, or NULL */
    uint64_t in, out;
};

#define CONN_AGAIN (-2)
#define CONN_NEVER INT64_MAX

void conn_init(struct conn *c, int fd);
/* Absolute monotonic deadline in ms; ms ≤ 0 is no deadline. */
int64_t conn_deadline(int64_t ms);
/* Bytes, 0 at the end, -1 (e filled), or CONN_AGAIN. Never blocks. */
ssize_t conn_try_read(struct conn *c, void *p, size_t n, struct err *e);
/* 0 when readable (or broken: the read says so), 1 when the deadline passed. */
int conn_wait_read(const struct conn *c, int64_t deadline);
int conn_read_all(struct conn *c, void *p, size_t n, int64_t deadline, struct err *e) MUST_CHECK;
/* Everything or -1; iov is consumed. */
int conn_write(struct conn *c, struct iovec *iov, int n, int64_t deadline, struct err *e);
/* Bytes already decrypted, waiting inside TLS. */
bool conn_buffered(const struct conn *c);
/* A peer with Nagle holds its next bytes until we acknowledge: do so now. */
void conn_quickack(const struct conn *c);
/* Says good-bye without waiting and closes; linger waits ≤ 200 ms for the peer to close first, so
 * that what we sent last is not destroyed by a reset. */
void conn_close(struct conn *c, bool linger);
void conn_address(const struct conn *c, char *out, size_t cap);

/* ---- tls.c ---- */
int tls_handshake(struct conn *c, const struct dimse_tls *t, int64_t deadline,
                  struct err *e) MUST_CHECK;
ssize_t tls_read(struct conn *c, void *p, size_t n, struct err *e);
/* As conn_write for one piece. */
int tls_write(struct conn *c, const void *p, size_t n, int64_t deadline, struct err *e) MUST_CHECK;
bool tls_buffered(const struct conn *c);
void tls_close(struct conn *c);
void tls_peer(const struct conn *c, char sha256[65], char *name, size_t cap);

/* ---- pdu.c: state 6 of PS3.8 as a stream of pieces; every PDV is bounded by its PDU ---- */
/* Source of bytes: as conn_try_read, but waits itself and never says CONN_AGAIN. */
typedef ssize_t (*pdu_source)(void *arg, void *p, size_t n, struct err *e);

struct pdu_reader {
    pdu_source read;
    void *arg;
    uint32_t max; /* largest P-DATA-TF body we announced */
    uint8_t *buf; /* allocated at the first read; grows when the peer fills it */
    size_t cap, start, end;
    uint32_t pdu_left, pdv_left;
    bool in_pdv;
    uint8_t context, flags;
};

enum pdu_kind {
    PDU_GOT_DATA, /* a piece of a PDV */
    PDU_GOT_RELEASE_RQ,
    PDU_GOT_RELEASE_RP,
    PDU_GOT_ABORT,
    PDU_GOT_END,    /* peer closed */
    PDU_GOT_BROKEN, /* protocol violation; e says which, *reason the A-ABORT reason */
    PDU_GOT_FAILED, /* source failed; e is its */
};
struct pdu_piece {
    uint8_t context;
    bool command;
    bool last;        /* the final bytes of the message's command or dataset */
    const uint8_t *p; /* valid until the next call */
    size_t n;
    uint8_t reason;
};

void pdu_init(struct pdu_reader *r, pdu_source read, void *arg, uint32_t max);
enum pdu_kind pdu_next(struct pdu_reader *r, struct pdu_piece *out, struct err *e);
bool pdu_buffered(const struct pdu_reader *r); /* bytes of the peer are waiting in the buffer */
void pdu_shrink(struct pdu_reader *r);         /* an idle association keeps no buffer */
void pdu_free(struct pdu_reader *r);

/* ---- command.c: a command set is flat, implicit VR little endian, group 0000 (PS3.7 §6.3) ---- */
int command_parse(struct dimse_command *out, const uint8_t *p, size_t n, struct err *e) MUST_CHECK;
/* Returns the length; cap DIMSE_COMMAND_BYTES always suffices. */
#define DIMSE_COMMAND_BYTES 512
size_t command_encode(const struct dimse_command *c, uint8_t out[DIMSE_COMMAND_BYTES]);

/* ---- associate.c ---- */
enum associate_verdict { ASSOCIATE_OK, ASSOCIATE_MALFORMED, ASSOCIATE_PROTOCOL };
/* Checks a whole A-ASSOCIATE-RQ PDU (header included): every length against what encloses it,
 * counts, uniqueness, so that DCMTK's parser only meets what it can digest. */
struct associate_request {
    bool asks_window;
    uint16_t window; /* operations the requestor wants to invoke; 0 = unlimited */
};
enum associate_verdict associate_check(const uint8_t *p, size_t n, struct associate_request *out,
                                       struct err *e);
/* A-ASSOCIATE-AC: inserts the asynchronous operations window (53H) and echoes the 64 bytes of AE
 * titles and reserved field of the request. */
int associate_finish_ac(struct str *ac, const uint8_t *rq, unsigned window,
                        struct err *e) MUST_CHECK;
void associate_write_rq(struct str *out, const struct dimse_dial *d);
struct associate_answer {
    uint32_t max_pdu; /* 0 = no limit */
    unsigned window;  /* 1 without an answer */
};
/* Fills accepted of the contexts that the A-ASSOCIATE-AC accepts with a syntax we proposed. */
int associate_read_ac(const uint8_t *p, size_t n, struct dimse_context *contexts,
                      unsigned n_contexts, struct associate_answer *out, struct err *e) MUST_CHECK;

/* ---- negotiate.cc: DCMTK parses the request and builds the answer, in memory only ---- */
struct negotiation;
void negotiate_setup(void);
/* rq: a checked A-ASSOCIATE-RQ PDU. Fills AE titles and implementation of peer, and the contexts.
 */
int negotiate_read(struct negotiation **out, const uint8_t *rq, size_t n, struct dimse_peer *peer,
                   uint32_t *max_pdu, struct err *e) MUST_CHECK;
unsigned negotiate_contexts(const struct negotiation *g);
/* Strings are copied into the arena. */
void negotiate_context(const struct negotiation *g, unsigned i, struct arena *a,
                       struct dimse_context *out);
/* Appends an A-ASSOCIATE-AC PDU for contexts; refusals[i] is used where accepted is NULL. */
int negotiate_answer(struct negotiation *g, const struct dimse_context *contexts,
                     const uint8_t *refusals, struct str *out, struct err *e) MUST_CHECK;
void negotiate_free(struct negotiation *g);

/* ---- the association ---- */
enum assoc_state {
    ASSOC_NEGOTIATING,
    ASSOC_OPEN,
    ASSOC_OVER, /* released, aborted or lost: nothing is sent any more */
};

struct dimse_assoc {
    struct conn conn;
    struct pdu_reader reader;
    enum assoc_state state;
    bool requestor;
    bool linger; /* we sent something last that the peer should still get */
    struct dimse_limits limits;
    struct arena *arena; /* contexts */
    struct dimse_context *contexts;
    uint8_t *refusals;
    unsigned n_contexts;
    uint8_t by_id[256]; /* context id → index + 1 */
    unsigned window;
    uint32_t peer_max; /* of a P-DATA-TF body, as we use it */

    /* acceptor, until the answer */
    struct negotiation *negotiation;
    struct associate_request asked;
    struct str rq;

    /* message being read */
    bool in_message;
    int64_t message_start, message_waited; /* ms */
    uint64_t message_bytes;
    struct str command; /* fragments of a command set */
    uint8_t command_context;
    bool dataset_open; /* command was delivered, its dataset not yet read to the end */
    uint8_t dataset_context;

    /* bytes to be sent: whole PDUs, then (requestor) one PDU under way */
    struct str out;
    size_t open_pdu; /* offset in out of the P-DATA-TF being filled; SIZE_MAX: none */
    uint8_t store_context;
    int64_t send_deadline;
};

struct dimse_assoc *assoc_new(int fd, const struct dimse_limits *limits);
void assoc_index_contexts(struct dimse_assoc *a);
/* Sends what waits in a->out and n more pieces. */
int assoc_flush(struct dimse_assoc *a, struct iovec *more, int n, struct err *e);
/* Tells the peer (provider abort with this reason) and ends the association. */
void assoc_abort(struct dimse_assoc *a, uint8_t source, uint8_t reason);

#ifdef __cplusplus
}
#endif
#endif
