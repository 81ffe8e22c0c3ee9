/* Valid and void choices; see claims.h. */
#include "event/claims.h"

bool claims_void(struct claims *c, enum event_type type, int64_t offset, int64_t named)
{
    if (type == EVENT_CLAIM && offset > c->newest)
        c->newest = offset;
    if (!event_is_choice(type))
        return false;
    if (named < 0 || named >= offset || named < c->newest)
        return true;
    c->newest = named;
    return false;
}
