/* TLS: who is let in, who is believed, and that a handshake cannot be dragged out. Certificates are
 * made here. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "acceptor.h"

struct identity {
    X509 *certificate;
    EVP_PKEY *key;
    char certificate_path[256], key_path[256], sha256[65];
};

static const char *dir;
static struct identity ca, other_ca, server, client, stranger;

static void extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static void write_files(struct identity *i, const char *name)
{
    uint8_t *der = NULL;

    snprintf(i->certificate_path, sizeof i->certificate_path, "%s/%s.pem", dir, name);
    snprintf(i->key_path, sizeof i->key_path, "%s/%s.key", dir, name);
    FILE *f = fopen(i->certificate_path, "w");
    assert_int_equal(PEM_write_X509(f, i->certificate), 1);
    fclose(f);
    f = fopen(i->key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, i->key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    int n = i2d_X509(i->certificate, &der);
    unsigned char digest[32];
    unsigned length = 0;
    assert_int_equal(EVP_Digest(der, (size_t)n, digest, &length, EVP_sha256(), NULL), 1);
    for (unsigned j = 0; j < length; j++)
        snprintf(i->sha256 + 2 * j, 3, "%02x", digest[j]);
    OPENSSL_free(der);
}

static void make(struct identity *i, const struct identity *issuer, const char *name,
                 const char *san)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);

    i->key = EVP_EC_gen("P-256");
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, i->key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->certificate) : subject);
    extension(x, issuer ? issuer->certificate : x, NID_basic_constraints,
              issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (san)
        extension(x, issuer->certificate, NID_subject_alt_name, san);
    assert_true(X509_sign(x, issuer ? issuer->key : i->key, EVP_sha256()) > 0);
    i->certificate = x;
    write_files(i, name);
}

static int setup(void **state)
{
    (void)state;
    static char path[256];

    snprintf(path, sizeof path, "%s", testkit_tmpdir());
    dir = path;
    make(&ca, NULL, "Hospital CA", NULL);
    make(&other_ca, NULL, "Other CA", NULL);
    make(&server, &ca, "receiver", "DNS:localhost,IP:127.0.0.1");
    make(&client, &ca, "CT scanner 1", NULL);
    make(&stranger, &other_ca, "stranger", "DNS:localhost");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct identity *all[] = {&ca, &other_ca, &server, &client, &stranger};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        X509_free(all[i]->certificate);
        EVP_PKEY_free(all[i]->key);
    }
    testkit_rmdir(dir);
    return 0;
}

static struct dimse_tls *context(const struct identity *i, const struct identity *trusted,
                                 enum dimse_verify verify, const char *host, bool is_server)
{
    struct dimse_tls_options o = {
        .certificate = i ? i->certificate_path : NULL,
        .key = i ? i->key_path : NULL,
        .ca = trusted ? trusted->certificate_path : NULL,
        .verify = verify,
        .host = host,
    };
    struct dimse_tls *t = NULL;
    struct err e = {0};

    if (dimse_tls_new(&t, &o, is_server, &e))
        fail_msg("%s", e.text);
    return t;
}

/* A store of 300 KB and an echo over TLS; 0 when all went well. */
static int exchange(struct acceptor *x, const struct dimse_tls *mine, struct err *e)
{
    struct dimse_assoc *a = NULL;
    struct dimse_command c;
    uint8_t *data = mem_zalloc(300000);
    int rc = -1;

    acceptor_start(x);
    struct dimse_dial d = dial_to(x);
    d.tls = mine;
    d.window = 4;
    for (size_t i = 0; i < 300000; i++)
        data[i] = (uint8_t)(i >> 3);
    if (dimse_connect(&a, &d, e) == 0) {
        /* TLS 1.3: a refused client learns it only when it reads */
        rc = dimse_echo_begin(a, 1, 1, e) || dimse_store_begin(a, 3, 2, CT, "1.2", 0, e) ||
             dimse_store_write(a, data, 1000, false, e) ||
             dimse_store_write(a, data + 1000, 299000, true, e) ||
             dimse_next(a, &c, e) != DIMSE_COMMAND || dimse_next(a, &c, e) != DIMSE_COMMAND ||
             dimse_release(a, e);
    }
    dimse_free(a);
    acceptor_join(x);
    if (rc == 0) {
        assert_int_equal(x->bytes, 300000);
        assert_true(x->sum == fnv(fnv(0, "", 0), data, 300000));
        assert_int_equal(x->last, DIMSE_RELEASED);
    }
    mem_free(data);
    return rc ? -1 : 0;
}

static void test_who_is_let_in(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum dimse_verify server_verify;
        const struct identity *client;
        const struct identity *client_trusts;
        const char *host;
        int want;
        const struct identity *seen;
    } cases[] = {
        {"nobody checks", DIMSE_VERIFY_NONE, NULL, NULL, NULL, 0, NULL},
        {"client checks", DIMSE_VERIFY_NONE, NULL, &ca, "localhost", 0, NULL},
        {"client checks the address", DIMSE_VERIFY_NONE, NULL, &ca, "127.0.0.1", 0, NULL},
        {"wrong name", DIMSE_VERIFY_NONE, NULL, &ca, "pacs.example", -1, NULL},
        {"wrong address", DIMSE_VERIFY_NONE, NULL, &ca, "10.0.0.1", -1, NULL},
        {"server of another CA", DIMSE_VERIFY_NONE, NULL, &other_ca, "localhost", -1, NULL},
        {"certificate required", DIMSE_VERIFY_REQUIRED, &client, &ca, "localhost", 0, &client},
        {"certificate missing", DIMSE_VERIFY_REQUIRED, NULL, &ca, "localhost", -1, NULL},
        {"certificate of another CA", DIMSE_VERIFY_REQUIRED, &stranger, &ca, "localhost", -1, NULL},
        {"optional, none", DIMSE_VERIFY_IF_GIVEN, NULL, &ca, "localhost", 0, NULL},
        {"optional, good", DIMSE_VERIFY_IF_GIVEN, &client, &ca, "localhost", 0, &client},
        {"optional, bad", DIMSE_VERIFY_IF_GIVEN, &stranger, &ca, "localhost", -1, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct acceptor x = {.window = 4};
        struct err e = {0};
        struct dimse_tls *theirs = context(&server, &ca, cases[i].server_verify, NULL, true);
        struct dimse_tls *mine =
            context(cases[i].client, cases[i].client_trusts,
                    cases[i].client_trusts ? DIMSE_VERIFY_REQUIRED : DIMSE_VERIFY_NONE,
                    cases[i].host, false);

        x.tls = theirs;
        int got = exchange(&x, mine, &e);
        if (got != cases[i].want)
            fail_msg("%s: got %d (%s; %s), want %d", cases[i].name, got, e.text, x.e.text,
                     cases[i].want);
        assert_int_equal(x.accepted, cases[i].want == 0);
        if (got)
            assert_int_equal(e.kind, ERR_RETRY);
        assert_string_equal(x.peer.certificate_sha256, cases[i].seen ? cases[i].seen->sha256 : "");
        assert_string_equal(x.peer.certificate_name, cases[i].seen ? "CT scanner 1" : "");
        dimse_tls_free(mine);
        dimse_tls_free(theirs);
    }
}

static void test_handshake_deadline(void **state)
{
    (void)state;
    struct acceptor x = {.limits = {.negotiate_ms = 200, .idle_ms = 30000, .message_ms = 30000}};
    struct dimse_tls *theirs = context(&server, NULL, DIMSE_VERIFY_NONE, NULL, true);

    x.tls = theirs;
    acceptor_start(&x);
    int fd = raw_connect(x.port);
    raw_send(fd, "\x16\3\1", 3);
    acceptor_join(&x);
    close(fd);
    assert_int_equal(x.accepted, 0);
    assert_int_equal(x.e.code, ETIMEDOUT);
    dimse_tls_free(theirs);
}

static void test_plain_client_on_tls_port(void **state)
{
    (void)state;
    struct acceptor x = {0};
    struct err e = {0};
    struct dimse_tls *theirs = context(&server, NULL, DIMSE_VERIFY_NONE, NULL, true);

    x.tls = theirs;
    assert_int_equal(exchange(&x, NULL, &e), -1);
    assert_int_equal(x.accepted, 0);
    dimse_tls_free(theirs);
}

static void test_bad_options(void **state)
{
    (void)state;
    const struct dimse_tls_options cases[] = {
        {.certificate = "/nonexistent.pem", .key = server.key_path},
        {.certificate = server.certificate_path, .key = "/nonexistent.key"},
        {.certificate = server.certificate_path, .key = client.key_path},
        {.certificate = server.certificate_path, .key = server.key_path, .ca = "/nonexistent.pem"},
        {.certificate = server.certificate_path,
         .key = server.key_path,
         .verify = DIMSE_VERIFY_REQUIRED},
        {.certificate = NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dimse_tls *t = NULL;
        struct err e = {0};

        assert_int_equal(dimse_tls_new(&t, &cases[i], true, &e), -1);
        assert_null(t);
        assert_int_equal(strncmp(e.text, "TLS: ", 5), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_let_in),
        cmocka_unit_test(test_handshake_deadline),
        cmocka_unit_test(test_plain_client_on_tls_port),
        cmocka_unit_test(test_bad_options),
    };

    dimse_setup();
    return cmocka_run_group_tests(tests, setup, teardown);
}
