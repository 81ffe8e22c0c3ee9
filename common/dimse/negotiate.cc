/*
 * DCMTK's ASC/DUL layer as a codec in memory: it parses A-ASSOCIATE-RQ and builds A-ASSOCIATE-AC,
 * and never sees a real socket. Its transport is ours (Memory below); the descriptor it insists on
 * is one end of a socketpair that nobody uses, shared by all associations, so that no lock is
 * needed and no DCMTK code waits for a peer.
 */
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/dcmlayer.h>
#include <dcmtk/dcmnet/dcmtrans.h>
#include <dcmtk/dcmnet/dul.h>
#include <dcmtk/dcmdata/dcuid.h>
#include <dcmtk/oflog/oflog.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <sys/socket.h>

/* in C++ a function may hide the constructor of the structure it is named after; in C it is usual
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "base/mem.h"
#include "dicom/part10.h"
#include "dimse/dimse_priv.h"
#pragma GCC diagnostic pop

namespace
{

/* What one thread's call into DCMTK reads from and writes to. */
struct Buffers {
    const uint8_t *in;
    size_t left;
    struct str *out;
};
thread_local Buffers buffers;

class Memory : public DcmTransportConnection
{
  public:
    Memory() : DcmTransportConnection(-1)
    {
    }
    OFCondition serverSideHandshake() override
    {
        return EC_Normal;
    }
    OFCondition clientSideHandshake() override
    {
        return EC_Normal;
    }
    OFCondition renegotiate(const char *) override
    {
        return EC_Normal;
    }
    ssize_t read(void *p, size_t n) override
    {
        size_t k = n < buffers.left ? n : buffers.left;

        if (k > 0)
            memcpy(p, buffers.in, k);
        buffers.in += k;
        buffers.left -= k;
        return ssize_t(k);
    }
    ssize_t write(void *p, size_t n) override
    {
        if (buffers.out)
            str_append(buffers.out, p, n);
        return ssize_t(n);
    }
    void close() override
    {
    }
    void closeTransportConnection() override
    {
    }
    unsigned long getPeerCertificateLength() override
    {
        return 0;
    }
    unsigned long getPeerCertificate(void *, unsigned long) override
    {
        return 0;
    }
    OFBool networkDataAvailable(int) override
    {
        return OFTrue; /* at the end read says 0: closed */
    }
    OFBool isTransparentConnection() override
    {
        return OFTrue;
    }
    OFString &dumpConnectionParameters(OFString &s) override
    {
        return s;
    }
};

class Layer : public DcmTransportLayer
{
  public:
    DcmTransportConnection *createConnection(DcmNativeSocketType, OFBool) override
    {
        return new Memory();
    }
};

T_ASC_Network *network; /* only read after negotiate_setup */

int condition_error(struct err *e, const char *what, const OFCondition &c)
{
    return err_set(e, ERR_REJECT, c.code(), "%s: %s", what, c.text());
}

/* Runs f with this thread's buffers set; no exception leaves. */
template <typename F> int guarded(Buffers b, struct err *e, F f)
{
    int rc;

    buffers = b;
    try {
        rc = f();
    } catch (const std::exception &x) {
        rc = err_set(e, ERR_RETRY, 0, "DCMTK: %s", x.what());
    } catch (...) {
        rc = err_set(e, ERR_RETRY, 0, "DCMTK: unknown exception");
    }
    buffers = Buffers();
    return rc;
}

} // namespace

struct negotiation {
    T_ASC_Association *assoc;
};

void negotiate_setup(void)
{
    int pair[2];

    if (network)
        return;
    /* set to 1 it would make DCMTK want an option that our socketpair does not have, and fail */
    (void)setenv("TCP_NODELAY", "0", 1);
    OFLog::configure(OFLogger::OFF_LOG_LEVEL); /* errors come back as conditions */
    dcmDisableGethostbyaddr.set(OFTrue);
    dcmSocketSendTimeout.set(-1);
    dcmSocketReceiveTimeout.set(-1);
    dcmAssociatePDUSizeLimit.set(DIMSE_ASSOCIATE_MAX);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    if (pair[0] == 0) /* DCMTK takes only descriptors > 0 */
        pair[0] = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
    dcmExternalSocketHandle.set(pair[0]); /* also keeps DCMTK from listening */
    if (ASC_initializeNetwork(NET_ACCEPTOR, 0, 30, &network).bad())
        abort();
    ASC_setTransportLayer(network, new Layer(), 1);
}

namespace
{

int read_request(struct negotiation *g, struct dimse_peer *peer, uint32_t *max_pdu, struct err *e)
{
    OFCondition c = ASC_receiveAssociation(network, &g->assoc, DIMSE_PDU_MAX);

    if (c.bad())
        return condition_error(e, "A-ASSOCIATE-RQ", c);
    T_ASC_Parameters *p = g->assoc->params;
    str_copy(peer->calling_ae, sizeof peer->calling_ae, p->DULparams.callingAPTitle);
    str_copy(peer->called_ae, sizeof peer->called_ae, p->DULparams.calledAPTitle);
    str_copy(peer->implementation_uid, sizeof peer->implementation_uid,
             p->theirImplementationClassUID);
    str_copy(peer->implementation_version, sizeof peer->implementation_version,
             p->theirImplementationVersionName);
    peer->contexts = unsigned(ASC_countPresentationContexts(p));
    *max_pdu = uint32_t(p->theirMaxPDUReceiveSize);
    return 0;
}

int build_answer(struct negotiation *g, const struct dimse_context *contexts,
                 const uint8_t *refusals, struct err *e)
{
    T_ASC_Parameters *p = g->assoc->params;
    unsigned n = unsigned(ASC_countPresentationContexts(p));
    OFCondition c = EC_Normal;

    for (unsigned i = 0; i < n && c.good(); i++) {
        if (contexts[i].accepted)
            c = ASC_acceptPresentationContext(p, contexts[i].id, contexts[i].accepted);
        else
            c = ASC_refusePresentationContext(p, contexts[i].id, T_ASC_P_ResultReason(refusals[i]));
    }
    str_copy(p->ourImplementationClassUID, sizeof p->ourImplementationClassUID,
             PART10_IMPLEMENTATION_UID);
    str_copy(p->ourImplementationVersionName, sizeof p->ourImplementationVersionName,
             DIMSE_VERSION_NAME);
    /* DCMTK refuses to write what is empty; the real titles are echoed afterwards */
    ASC_setAPTitles(p, "A", "A", "A");
    str_copy(p->DULparams.applicationContextName, sizeof p->DULparams.applicationContextName,
             UID_StandardApplicationContext);
    p->theirMaxPDUReceiveSize = ASC_MINIMUMPDUSIZE; /* sizes a send buffer that we never use */
    if (c.good())
        c = ASC_acknowledgeAssociation(g->assoc);
    return c.good() ? 0 : condition_error(e, "A-ASSOCIATE-AC", c);
}

} // namespace

int negotiate_read(struct negotiation **out, const uint8_t *rq, size_t n, struct dimse_peer *peer,
                   uint32_t *max_pdu, struct err *e)
{
    struct negotiation *g = static_cast<struct negotiation *>(mem_zalloc(sizeof *g));
    Buffers b = {rq, n, nullptr};

    if (guarded(b, e, [&] { return read_request(g, peer, max_pdu, e); })) {
        negotiate_free(g);
        return -1;
    }
    *out = g;
    return 0;
}

unsigned negotiate_contexts(const struct negotiation *g)
{
    return unsigned(ASC_countPresentationContexts(g->assoc->params));
}

/* UIDs are padded with NUL; some peers use spaces. */
static void trim(char *uid)
{
    size_t n = strlen(uid);

    while (n > 0 && uid[n - 1] == ' ')
        uid[--n] = 0;
}

void negotiate_context(const struct negotiation *g, unsigned i, struct arena *a,
                       struct dimse_context *out)
{
    T_ASC_PresentationContext pc;

    /* more than 50 transfer syntaxes are an error, but the first 50 are there */
    OFCondition c = ASC_getPresentationContext(g->assoc->params, int(i), &pc);
    out->id = pc.presentationContextID;
    trim(pc.abstractSyntax);
    str_copy(out->abstract, sizeof out->abstract, pc.abstractSyntax);
    out->n_syntaxes = c.good() ? pc.transferSyntaxCount : DIMSE_KEPT_SYNTAXES;
    if (out->n_syntaxes > DIMSE_KEPT_SYNTAXES) /* newer DCMTKs hold more */
        out->n_syntaxes = DIMSE_KEPT_SYNTAXES;
    const char **syntaxes =
        static_cast<const char **>(arena_alloc(a, out->n_syntaxes * sizeof *syntaxes));
    for (unsigned j = 0; j < out->n_syntaxes; j++) {
        trim(pc.proposedTransferSyntaxes[j]);
        syntaxes[j] = arena_strdup(a, pc.proposedTransferSyntaxes[j]);
    }
    out->syntaxes = syntaxes;
    out->accepted = nullptr;
}

int negotiate_answer(struct negotiation *g, const struct dimse_context *contexts,
                     const uint8_t *refusals, struct str *out, struct err *e)
{
    Buffers b = {nullptr, 0, out};

    return guarded(b, e, [&] { return build_answer(g, contexts, refusals, e); });
}

void negotiate_free(struct negotiation *g)
{
    if (!g)
        return;
    (void)guarded(Buffers(), nullptr, [&] {
        if (g->assoc)
            ASC_destroyAssociation(&g->assoc);
        return 0;
    });
    mem_free(g);
}
