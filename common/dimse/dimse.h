/*
 * Associations (PS3.8) and DIMSE messages (PS3.7) as plain C. DCMTK negotiates (A-ASSOCIATE, TLS
 * contexts); after that every byte goes through our own bounded PDU reader and command codec on our
 * own transport (reference: DUL_NextPDV walks PDVs without bounds). No exception leaves this
 * library.
 *
 * A handle belongs to one thread; only dimse_wake may be called from another. Every wait has an
 * absolute deadline. Times in milliseconds, sizes in bytes.
 */
#ifndef DIMSE_DIMSE_H
#define DIMSE_DIMSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DIMSE_AE       17
#define DIMSE_UID      65
#define DIMSE_CONTEXTS 128
#define DIMSE_PDU_MAX  131072

/* Once per process, before any thread: ignores SIGPIPE, sets TCP_NODELAY=0 in the environment
 * (DCMTK reads it), silences DCMTK's log. */
void dimse_setup(void);

/* ---- TLS (PS3.15 B.12, BCP 195): ECDHE suites, TLS 1.2 and 1.3 ---- */
enum dimse_verify { DIMSE_VERIFY_NONE, DIMSE_VERIFY_IF_GIVEN, DIMSE_VERIFY_REQUIRED };
struct dimse_tls_options {
    const char *certificate, *key, *ca; /* PEM files; ca may be NULL with VERIFY_NONE */
    enum dimse_verify verify;
    const char *host; /* requestor: name the peer's certificate must carry; NULL: not checked */
};
struct dimse_tls;
int dimse_tls_new(struct dimse_tls **out, const struct dimse_tls_options *o, bool server,
                  struct err *e) MUST_CHECK;
void dimse_tls_free(struct dimse_tls *t); /* not while an association uses it */

/* ---- timing and size limits of one association ---- */
struct dimse_limits {
    int64_t negotiate_ms; /* TLS handshake and A-ASSOCIATE together */
    int64_t idle_ms;      /* between messages */
    int64_t message_ms;   /* one whole message, and … */
    int64_t min_rate;     /* … bytes per second it must at least make after 10 s; 0 = none */
    int64_t message_max;  /* bytes of one dataset; 0 = no limit */
};

/* ---- acceptor ---- */
struct dimse_assoc;

struct dimse_peer {
    char address[64];
    char calling_ae[DIMSE_AE], called_ae[DIMSE_AE];
    char implementation_uid[DIMSE_UID], implementation_version[DIMSE_AE];
    char certificate_sha256[65]; /* "" without a client certificate */
    char certificate_name[128];  /* subject CN */
    unsigned contexts;
};

/* Takes over fd (closed by dimse_free, also on failure). Reads the A-ASSOCIATE-RQ, answers nothing
 * yet. tls NULL = plain. */
int dimse_accept(struct dimse_assoc **out, int fd, const struct dimse_tls *tls,
                 const struct dimse_limits *limits, struct dimse_peer *peer,
                 struct err *e) MUST_CHECK;

struct dimse_context {
    uint8_t id;
    char abstract[DIMSE_UID];
    unsigned n_syntaxes;         /* as proposed, at most 50 are kept */
    const char *const *syntaxes; /* valid until dimse_free */
    const char *accepted;        /* NULL: not accepted (yet) */
};
unsigned dimse_contexts(const struct dimse_assoc *a);
const struct dimse_context *dimse_context(const struct dimse_assoc *a, unsigned i);
const struct dimse_context *dimse_context_by_id(const struct dimse_assoc *a, uint8_t id);
/* syntax must be one of those proposed. What is neither accepted nor refused is refused. */
void dimse_context_accept(struct dimse_assoc *a, unsigned i, const char *syntax);
enum dimse_refusal { DIMSE_REFUSE_USER = 1, DIMSE_REFUSE_ABSTRACT = 3, DIMSE_REFUSE_SYNTAX = 4 };
void dimse_context_refuse(struct dimse_assoc *a, unsigned i, enum dimse_refusal why);

/* A-ASSOCIATE-AC; window > 1 answers an asked asynchronous operations window with at most that. */
int dimse_acknowledge(struct dimse_assoc *a, unsigned window, struct err *e) MUST_CHECK;
enum dimse_reject {                          /* PS3.8 table 9-21: result, source, reason */
                    DIMSE_REJECT_CALLING,    /* permanent, calling AE title not recognised */
                    DIMSE_REJECT_CALLED,     /* permanent, called AE title not recognised */
                    DIMSE_REJECT_CONGESTION, /* transient, temporary congestion */
                    DIMSE_REJECT_LIMIT,      /* transient, local limit exceeded */
                    DIMSE_REJECT_PERMANENT,  /* permanent, no reason given */
};
void dimse_reject(struct dimse_assoc *a, enum dimse_reject why);

/* ---- requestor ---- */
struct dimse_proposal {
    const char *abstract;
    const char *syntaxes[4]; /* NULL-terminated if fewer */
};
struct dimse_dial {
    const char *host;
    int port;
    const char *calling_ae, *called_ae;
    const struct dimse_tls *tls;
    const struct dimse_proposal *proposals; /* ≤ DIMSE_CONTEXTS */
    unsigned n;
    unsigned window; /* 1 = do not ask for one */
    struct dimse_limits limits;
};
/* Rejection: e->kind RETRY if transient, REJECT if permanent; e->code =
 * result<<16|source<<8|reason. */
int dimse_connect(struct dimse_assoc **out, const struct dimse_dial *d, struct err *e) MUST_CHECK;
/* Operations that may be outstanding at once; 1 without a negotiated window. */
unsigned dimse_window(const struct dimse_assoc *a);
/* The accepted context of proposal i, or NULL. */
const struct dimse_context *dimse_accepted(const struct dimse_assoc *a, unsigned proposal);

/* ---- messages (PS3.7 §6.3, §9, Annex E) ---- */
enum dimse_field {
    DIMSE_C_STORE_RQ = 0x0001,
    DIMSE_C_STORE_RSP = 0x8001,
    DIMSE_C_ECHO_RQ = 0x0030,
    DIMSE_C_ECHO_RSP = 0x8030,
    DIMSE_C_CANCEL_RQ = 0x0FFF,
};
struct dimse_command {
    uint16_t field;
    uint16_t message_id; /* of a request; in a response: being responded to */
    uint16_t priority;
    uint16_t status;
    bool has_dataset;
    uint8_t context;
    char sop_class[DIMSE_UID],
        sop[DIMSE_UID]; /* as sent, trimmed; bytes other than printable ASCII → '?' */
    char move_originator[DIMSE_AE];
    uint16_t move_originator_id;
    char comment[65];
};
enum dimse_event {
    DIMSE_COMMAND,  /* *cmd is filled; read its dataset with dimse_dataset if has_dataset */
    DIMSE_RELEASED, /* A-RELEASE-RQ came; it has been answered */
    DIMSE_ABORTED,  /* A-ABORT came */
    DIMSE_LOST, /* connection closed or reset, deadline passed, or the peer broke the protocol (we
                   sent A-ABORT); e says which */
};
/* Next event, within limits.idle_ms. */
enum dimse_event dimse_next(struct dimse_assoc *a, struct dimse_command *cmd, struct err *e);
/* Streams the dataset of the command just read, fragment by fragment as it lies in the read buffer
 * (no copy). sink returns 0 to go on; non-zero: the rest is read and thrown away. -1: association
 * is lost (dimse_next would say DIMSE_LOST). *sunk is the sink's last answer. */
typedef int (*dimse_sink)(void *arg, const void *p, size_t n, bool last);
int dimse_dataset(struct dimse_assoc *a, dimse_sink sink, void *arg, int *sunk,
                  struct err *e) MUST_CHECK;
/* Bytes waiting in the read buffer or socket: a response may be held back and sent with others. */
bool dimse_pending(struct dimse_assoc *a);
/* Answers a C-STORE-RQ, C-ECHO-RQ, or any other request with a status and no data set; comment
 * (Error Comment, ≤ 64) may be NULL. While more requests wait in the read buffer the answer is held
 * back; it goes with later ones, at the latest before the next wait for the peer. */
int dimse_respond(struct dimse_assoc *a, const struct dimse_command *rq, uint16_t status,
                  const char *comment, struct err *e) MUST_CHECK;

/* C-STORE request: command, then dataset bytes in any pieces, the last with last = true. */
int dimse_store_begin(struct dimse_assoc *a, uint8_t context, uint16_t message_id,
                      const char *sop_class, const char *sop, uint16_t priority,
                      struct err *e) MUST_CHECK;
int dimse_store_write(struct dimse_assoc *a, const void *p, size_t n, bool last,
                      struct err *e) MUST_CHECK;
int dimse_echo_begin(struct dimse_assoc *a, uint8_t context, uint16_t message_id,
                     struct err *e) MUST_CHECK;

/* Orderly release (waits for the answer ≤ 5 s), or abort; then dimse_free, which aborts what is
 * still open and may wait 200 ms for the peer to take our last word. */
int dimse_release(struct dimse_assoc *a, struct err *e);
void dimse_abort(struct dimse_assoc *a);
void dimse_free(struct dimse_assoc *a);
/* Any thread: makes a blocked call return DIMSE_LOST soon (shutdown(2)). */
void dimse_wake(struct dimse_assoc *a);

struct dimse_stats {
    uint64_t bytes_in, bytes_out;
};
void dimse_stats(const struct dimse_assoc *a, struct dimse_stats *out);

#ifdef __cplusplus
}
#endif
#endif
