/* Random and time-ordered ids (getrandom). Any thread. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ID_RECEIPT 17 /* 16 hex + NUL */
#define ID_UUID    37

void id_random(void *out, size_t n);
void id_receipt(char out[ID_RECEIPT]);  /* 64 random bits as hex */
void id_uuid7(char out[ID_UUID]);       /* RFC 9562 version 7 */
bool id_is_hex(const char *s, size_t n); /* exactly n lower-case hex digits */

#ifdef __cplusplus
}
#endif
#endif
