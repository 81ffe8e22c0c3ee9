/* Every id formula of formats.md, and nothing else. Output: 32 hex digits. */
#ifndef EVENT_IDS_H
#define EVENT_IDS_H

#include <stdint.h>

#include "base/hash.h"

#ifdef __cplusplus
extern "C" {
#endif

void ids_window_decision(char out[HASH_ID_HEX], const char *site, const char *study,
                         const char *series, int64_t first, int64_t last);
/* replay or reroute: of a series or a rule */
void ids_command_decision(char out[HASH_ID_HEX], const char *command, const char *series_or_rule);
void ids_study_decision(char out[HASH_ID_HEX], const char *site, const char *study,
                        const char *rule, const char *first_member, int64_t up_to);
void ids_task(char out[HASH_ID_HEX], const char *decision, const char *rule);
void ids_delivery(char out[HASH_ID_HEX], const char *decision_or_task, const char *target);
/* Of a delivery there is one restart, whoever asks, but any number of resends. */
void ids_restart(char out[HASH_ID_HEX], const char *parent);
void ids_resend(char out[HASH_ID_HEX], const char *parent, const char *command);

#ifdef __cplusplus
}
#endif
#endif
