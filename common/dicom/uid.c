/* UID syntax and the table of abstract syntaxes that are not storage (PS3.6 Annex A). */
#include "dicom/uid.h"

#include <string.h>

bool uid_safe(const char *p, size_t n)
{
    if (n == 0 || n > UID_MAX)
        return false;
    bool digit = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= '0' && p[i] <= '9')
            digit = true;
        else if (p[i] != '.')
            return false;
    }
    return digit;
}

/* Whole families without a storage class; the prefix ends with a dot. */
static const char *const families[] = {
    "1.2.840.10008.5.1.4.1.2.", /* query/retrieve: patient, study, composite instance */
    "1.2.840.10008.5.1.4.20.",  /* defined procedure protocol query/retrieve */
    "1.2.840.10008.3.1.",       /* detached patient, visit, study, results management; MPPS */
    "1.2.840.10008.5.1.4.32.",  /* general purpose worklist */
    "1.2.840.10008.5.1.4.37.",  /* relevant patient information */
    "1.2.840.10008.5.1.4.34.6." /* unified procedure step */
};

/* Print management is a family with three storage classes in it. */
#define PRINT "1.2.840.10008.5.1.1."
static const char *const print_storage[] = {
    "1.2.840.10008.5.1.1.27", /* stored print */
    "1.2.840.10008.5.1.1.29", /* hardcopy grayscale image */
    "1.2.840.10008.5.1.1.30", /* hardcopy colour image */
};

static const char *const single[] = {
    UID_VERIFICATION,
    "1.2.840.10008.1.9", /* basic study content notification */
    "1.2.840.10008.1.20.1",
    "1.2.840.10008.1.20.2",   /* storage commitment */
    "1.2.840.10008.1.40",     /* procedural event logging */
    "1.2.840.10008.1.42",     /* substance administration logging */
    "1.2.840.10008.4.2",      /* storage service class, meta */
    "1.2.840.10008.5.1.4.31", /* modality worklist */
    "1.2.840.10008.5.1.4.32", /* general purpose worklist, meta */
    "1.2.840.10008.5.1.4.33", /* instance availability notification */
    "1.2.840.10008.5.1.4.34.4.1",
    "1.2.840.10008.5.1.4.34.4.2", /* UPS trial */
    "1.2.840.10008.5.1.4.34.4.3",
    "1.2.840.10008.5.1.4.34.4.4",
    "1.2.840.10008.5.1.4.34.2",
    "1.2.840.10008.5.1.4.34.3", /* RT machine verification */
    "1.2.840.10008.5.1.4.34.8",
    "1.2.840.10008.5.1.4.34.9",
    "1.2.840.10008.5.1.4.38.2",
    "1.2.840.10008.5.1.4.38.3", /* hanging protocol Q/R */
    "1.2.840.10008.5.1.4.38.4",
    "1.2.840.10008.5.1.4.39.2",
    "1.2.840.10008.5.1.4.39.3", /* colour palette Q/R */
    "1.2.840.10008.5.1.4.39.4",
    "1.2.840.10008.5.1.4.41", /* product characteristics query */
    "1.2.840.10008.5.1.4.42", /* substance approval query */
    "1.2.840.10008.5.1.4.43.2",
    "1.2.840.10008.5.1.4.43.3", /* implant templates Q/R */
    "1.2.840.10008.5.1.4.43.4",
    "1.2.840.10008.5.1.4.44.2",
    "1.2.840.10008.5.1.4.44.3",
    "1.2.840.10008.5.1.4.44.4",
    "1.2.840.10008.5.1.4.45.2",
    "1.2.840.10008.5.1.4.45.3",
    "1.2.840.10008.5.1.4.45.4",
    "1.2.840.10008.5.1.4.1.1.200.4",
    "1.2.840.10008.5.1.4.1.1.200.5", /* protocol approval Q/R */
    "1.2.840.10008.5.1.4.1.1.200.6",
    "1.2.840.10008.5.1.4.1.1.201.2",
    "1.2.840.10008.5.1.4.1.1.201.3", /* inventory Q/R */
    "1.2.840.10008.5.1.4.1.1.201.4",
    "1.2.840.10008.5.1.4.1.1.201.5",
    "1.2.840.10008.5.1.4.1.1.201.6",
};

static bool listed(const char *uid, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(uid, list[i]))
            return true;
    }
    return false;
}

bool uid_known_non_storage(const char *uid)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (!strncmp(uid, families[i], strlen(families[i])))
            return true;
    }
    if (!strncmp(uid, PRINT, strlen(PRINT)))
        return !listed(uid, print_storage, sizeof print_storage / sizeof print_storage[0]);
    return listed(uid, single, sizeof single / sizeof single[0]);
}
