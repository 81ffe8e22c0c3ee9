/* SHA-256 by OpenSSL's EVP; the algorithm is fetched once. */
#include "base/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct hash {
    EVP_MD_CTX *ctx;
};

static EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256)
        abort();
}

struct hash *hash_new(void)
{
    struct hash *h = mem_alloc(sizeof *h);
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx)
        abort();
    hash_reset(h);
    return h;
}

void hash_reset(struct hash *h)
{
    pthread_once(&once, fetch);
    if (EVP_DigestInit_ex2(h->ctx, sha256, NULL) != 1)
        abort();
}

void hash_update(struct hash *h, const void *p, size_t n)
{
    if (EVP_DigestUpdate(h->ctx, p, n) != 1)
        abort();
}

static void to_hex(char *out, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static void final(struct hash *h, uint8_t out[32])
{
    unsigned n = 0;
    if (EVP_DigestFinal_ex(h->ctx, out, &n) != 1 || n != 32)
        abort();
}

void hash_hex(struct hash *h, char out[HASH_SHA256_HEX])
{
    uint8_t raw[32];
    final(h, raw);
    to_hex(out, raw, sizeof raw);
}

void hash_free(struct hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    mem_free(h);
}

void hash_sha256_raw(uint8_t out[32], const void *p, size_t n)
{
    struct hash *h = hash_new();
    hash_update(h, p, n);
    final(h, out);
    hash_free(h);
}

void hash_sha256_hex(char out[HASH_SHA256_HEX], const void *p, size_t n)
{
    uint8_t raw[32];
    hash_sha256_raw(raw, p, n);
    to_hex(out, raw, sizeof raw);
}

void hash_id(char out[HASH_ID_HEX], const struct slice *parts, size_t n)
{
    struct hash *h = hash_new();
    for (size_t i = 0; i < n; i++) {
        uint8_t length[8];
        for (int b = 0; b < 8; b++)
            length[b] = (uint8_t)((uint64_t)parts[i].n >> (56 - 8 * b));
        hash_update(h, length, sizeof length);
        hash_update(h, parts[i].p, parts[i].n);
    }
    uint8_t raw[32];
    final(h, raw);
    to_hex(out, raw, 16);
    hash_free(h);
}
