/* SHA-256 (OpenSSL) and the id hash of formats.md. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HASH_SHA256_HEX 65
#define HASH_ID_HEX     33

struct hash; /* one running SHA-256; one thread */

struct hash *hash_new(void);
void hash_reset(struct hash *h);
void hash_update(struct hash *h, const void *p, size_t n);
void hash_hex(struct hash *h, char out[HASH_SHA256_HEX]); /* ends the run; reset before reuse */
void hash_free(struct hash *h);

void hash_sha256_hex(char out[HASH_SHA256_HEX], const void *p, size_t n);
void hash_sha256_raw(uint8_t out[32], const void *p, size_t n);

/* formats.md "Ids": first 128 bits of SHA-256 over the length-prefixed parts, as 32 hex digits.
 * A part's length goes before it as 8 bytes big-endian. */
void hash_id(char out[HASH_ID_HEX], const struct slice *parts, size_t n);

#ifdef __cplusplus
}
#endif
#endif
