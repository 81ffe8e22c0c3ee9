/* Which contexts are taken and which status is answered. */
#include "receiver/policy.h"

#include <string.h>

#include "dicom/syntax.h"
#include "dicom/uid.h"

const char *policy_context(const char *abstract, const char *const *syntaxes, unsigned n,
                           enum config_syntaxes allowed, enum dimse_refusal *why)
{
    *why = DIMSE_REFUSE_ABSTRACT;
    bool verification = strcmp(abstract, UID_VERIFICATION) == 0;
    if (!verification && uid_known_non_storage(abstract))
        return NULL;
    *why = DIMSE_REFUSE_SYNTAX;
    bool any = allowed == SYNTAXES_ANY && !verification;
    for (unsigned i = 0; i < n; i++)
        if (any || syntax_uncompressed(syntaxes[i]))
            return syntaxes[i];
    return NULL;
}

uint16_t policy_status(enum ingest_outcome outcome)
{
    switch (outcome) {
    case INGEST_STORED:
        return STATUS_SUCCESS;
    case INGEST_NOT_DICOM:
        return STATUS_CANNOT_UNDERSTAND;
    case INGEST_NO_RESOURCES:
        break;
    }
    return STATUS_NO_RESOURCES;
}

enum dimse_reject policy_reject(enum config_mismatch why)
{
    switch (why) {
    case MISMATCH_CALLING:
        return DIMSE_REJECT_CALLING;
    case MISMATCH_CALLED:
        return DIMSE_REJECT_CALLED;
    default:
        return DIMSE_REJECT_PERMANENT;
    }
}
