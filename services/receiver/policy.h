/* Pure decisions of the receiver: which contexts are taken, which status is answered. */
#ifndef RECEIVER_POLICY_H
#define RECEIVER_POLICY_H

#include "config/config.h"
#include "dimse/dimse.h"
#include "ingest/ingest.h"

/* The syntax to accept of one proposed context, or NULL and why it is refused (PS3.8 9.3.3.2).
 * Verification always; every abstract syntax that is not a known non-storage one is storage; of the
 * proposed syntaxes the first that the source's policy allows (DICOM leaves the choice to us, and the
 * first is what the sender likes best). */
const char *policy_context(const char *abstract, const char *const *syntaxes, unsigned n,
                           enum config_syntaxes allowed, enum dimse_refusal *why);

/* PS3.7 Annex C, PS3.4 Table B.2-1. */
enum {
    STATUS_SUCCESS = 0x0000,
    STATUS_NO_RESOURCES = 0xA700,
    STATUS_CANNOT_UNDERSTAND = 0xC000,
    STATUS_UNRECOGNISED_OPERATION = 0x0211,
};
uint16_t policy_status(enum ingest_outcome outcome);

enum dimse_reject policy_reject(enum config_mismatch why);

#endif
