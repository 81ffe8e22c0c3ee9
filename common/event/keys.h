/* Object keys of formats.md. A UID that is not [0-9.]{1,64} (or is "." or "..") never becomes a path:
 * it is replaced by "x" + its id hash, and keys_uid returns 1 so that the caller flags it. */
#ifndef EVENT_KEYS_H
#define EVENT_KEYS_H

#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KEYS_UID 72
/* 0: the UID itself; 1: a hash stands for it. */
int keys_uid(char out[KEYS_UID], const char *uid);
/* instances/<hh>/<study>/<series>/<sop>.<receipt>.dcm; returns 1 if any UID was hashed. */
int keys_instance(struct str *out, const char *study, const char *series, const char *sop,
                  const char *receipt);
void keys_outbox(struct str *out, const char *receipt);
void keys_config(struct str *out, const char *sha256);

#ifdef __cplusplus
}
#endif
#endif
