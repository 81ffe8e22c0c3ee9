/*
 * TLS by OpenSSL (PS3.15 B.12, BCP 195): versions 1.2 and 1.3, ECDHE with AEAD ciphers only. The
 * session works on the connection's non-blocking descriptor, so handshake, reads and writes keep
 * the same deadlines as plain ones.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "dimse/dimse_priv.h"

struct dimse_tls {
    SSL_CTX *ctx;
    char *host;
    bool server;
};

static int tls_error(struct err *e, const char *what)
{
    unsigned long code = ERR_get_error();
    char text[160] = "";

    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(e, ERR_RETRY, 0, "TLS: %s%s%s", what, code ? ": " : "", text);
}

static int load(SSL_CTX *x, const struct dimse_tls_options *o, bool server, struct err *e)
{
    if (o->certificate && SSL_CTX_use_certificate_chain_file(x, o->certificate) != 1)
        return tls_error(e, "certificate");
    if (o->key && SSL_CTX_use_PrivateKey_file(x, o->key, SSL_FILETYPE_PEM) != 1)
        return tls_error(e, "private key");
    if (o->certificate && SSL_CTX_check_private_key(x) != 1)
        return tls_error(e, "private key does not belong to the certificate");
    if (server && !o->certificate)
        return err_set(e, ERR_FATAL, 0, "TLS: a listener needs a certificate");
    if (o->ca && SSL_CTX_load_verify_locations(x, o->ca, NULL) != 1)
        return tls_error(e, "CA certificates");
    if (o->ca && server)
        SSL_CTX_set_client_CA_list(x, SSL_load_client_CA_file(o->ca));
    if (!o->ca && o->verify != DIMSE_VERIFY_NONE)
        return err_set(e, ERR_FATAL, 0, "TLS: verifying needs CA certificates");
    return 0;
}

int dimse_tls_new(struct dimse_tls **out, const struct dimse_tls_options *o, bool server,
                  struct err *e)
{
    SSL_CTX *x = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    int mode = SSL_VERIFY_NONE;

    if (!x)
        return tls_error(e, "context");
    if (SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(x, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        SSL_CTX_free(x);
        return tls_error(e, "cipher suites");
    }
    SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(x, 0);
    if (load(x, o, server, e)) {
        SSL_CTX_free(x);
        return -1;
    }
    if (o->verify != DIMSE_VERIFY_NONE)
        mode = SSL_VERIFY_PEER;
    if (server && o->verify == DIMSE_VERIFY_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(x, mode, NULL);

    struct dimse_tls *t = mem_zalloc(sizeof *t);
    *t = (struct dimse_tls){.ctx = x, .host = mem_strdup(o->host), .server = server};
    *out = t;
    return 0;
}

void dimse_tls_free(struct dimse_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    mem_free(t->host);
    mem_free(t);
}

/* The name (or address) the peer's certificate must carry. */
static int expect_host(SSL *s, const char *host)
{
    unsigned char address[16];
    X509_VERIFY_PARAM *p = SSL_get0_param(s);

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(p, host);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(s, host) == 1 && X509_VERIFY_PARAM_set1_host(p, host, 0) == 1;
}

/* 0: try again; 1: deadline passed; -1: not a matter of waiting. */
static int wait_ssl(struct conn *c, int rc, int64_t deadline)
{
    int what = SSL_get_error(c->ssl, rc);
    struct pollfd p = {.fd = c->fd};

    if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE)
        return -1;
    p.events = what == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    int64_t left = deadline == CONN_NEVER ? 60000 : deadline - clock_mono_ms();
    if (left <= 0)
        return 1;
    (void)poll(&p, 1, left > 60000 ? 60000 : (int)left);
    return 0;
}

static int handshake_error(SSL *s, struct err *e)
{
    long verify = SSL_get_verify_result(s);

    if (verify != X509_V_OK) {
        ERR_clear_error();
        return err_set(e, ERR_RETRY, (int)verify, "TLS: peer's certificate: %s",
                       X509_verify_cert_error_string(verify));
    }
    return tls_error(e, "handshake");
}

int tls_handshake(struct conn *c, const struct dimse_tls *t, int64_t deadline, struct err *e)
{
    SSL *s = SSL_new(t->ctx);
    int rc;

    if (!s)
        return tls_error(e, "session");
    c->ssl = s;
    if (SSL_set_fd(s, c->fd) != 1)
        return tls_error(e, "socket");
    if (t->host && !t->server && !expect_host(s, t->host))
        return tls_error(e, "host name");
    ERR_clear_error();
    while ((rc = t->server ? SSL_accept(s) : SSL_connect(s)) != 1) {
        int wait = wait_ssl(c, rc, deadline);

        if (wait == 1)
            return err_set(e, ERR_RETRY, ETIMEDOUT, "TLS: handshake: deadline passed");
        if (wait < 0)
            return handshake_error(s, e);
    }
    return 0;
}

ssize_t tls_read(struct conn *c, void *p, size_t n, struct err *e)
{
    ERR_clear_error();
    int rc = SSL_read(c->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n);

    if (rc > 0)
        return rc;
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return CONN_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (errno)
            return err_errno(e, ERR_RETRY, errno, "TLS: reading from the peer");
        return 0;
    default:
        return tls_error(e, "reading from the peer");
    }
}

int tls_write(struct conn *c, const void *p, size_t n, int64_t deadline, struct err *e)
{
    const uint8_t *at = p;

    while (n > 0) {
        ERR_clear_error();
        int rc = SSL_write(c->ssl, at, (int)n);

        if (rc > 0) {
            at += rc;
            n -= (size_t)rc;
            continue;
        }
        int wait = wait_ssl(c, rc, deadline);
        if (wait == 1)
            return err_set(e, ERR_RETRY, ETIMEDOUT, "peer does not read: deadline passed");
        if (wait < 0)
            return tls_error(e, "sending to the peer");
    }
    return 0;
}

bool tls_buffered(const struct conn *c)
{
    return SSL_pending(c->ssl) > 0;
}

void tls_close(struct conn *c)
{
    ERR_clear_error();
    if (SSL_is_init_finished(c->ssl))
        (void)SSL_shutdown(c->ssl); /* our close_notify, without waiting for theirs */
    ERR_clear_error();
    SSL_free(c->ssl);
    c->ssl = NULL;
}

void tls_peer(const struct conn *c, char sha256[65], char *name, size_t cap)
{
    X509 *x = c->ssl ? SSL_get1_peer_certificate(c->ssl) : NULL;
    unsigned char *der = NULL;
    int n;

    sha256[0] = name[0] = 0;
    if (!x)
        return;
    n = i2d_X509(x, &der);
    if (n > 0)
        hash_sha256_hex(sha256, der, (size_t)n);
    OPENSSL_free(der);

    int i = X509_NAME_get_index_by_NID(X509_get_subject_name(x), NID_commonName, -1);
    unsigned char *utf8 = NULL;
    if (i >= 0) {
        X509_NAME_ENTRY *entry = X509_NAME_get_entry(X509_get_subject_name(x), i);
        n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
        if (n >= 0 && (size_t)n < cap && !memchr(utf8, 0, (size_t)n))
            (void)str_copy(name, cap, (const char *)utf8);
        if (n >= 0)
            OPENSSL_free(utf8);
    }
    X509_free(x);
}
