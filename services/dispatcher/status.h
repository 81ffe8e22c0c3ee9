/* What a C-STORE status means for the member that was sent (PS3.4 Table B.2-1, PS3.7 Annex C). */
#ifndef DISPATCHER_STATUS_H
#define DISPATCHER_STATUS_H

#include <stdint.h>

enum status_class {
    STATUS_STORED,    /* success, or a warning: stored all the same */
    STATUS_TRY_LATER, /* out of resources: the member stays open */
    STATUS_ONCE_MORE, /* a failure that may pass: worth one more try */
    STATUS_NEVER,     /* this instance will not be taken */
};
enum status_class status_class(uint16_t status);
/* "0000 success", "A700 out of resources" …: static text. */
const char *status_text(uint16_t status);

#endif
