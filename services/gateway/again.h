/*
 * What is sent again of a delivery that has ended. A restart sends what is not proven to have ended
 * well (delivered, repeated, not accepted); a resend sends the whole manifest. Pure.
 */
#ifndef GATEWAY_AGAIN_H
#define GATEWAY_AGAIN_H

#include <stdbool.h>

#include "event/event.h"
#include "ledger/ledger.h"

enum again_kind { AGAIN_RESTART, AGAIN_RESEND };

struct again_ids {
    const char *parent, *child, *command; /* what has ended; its restart or resend; who asks */
};

/* The request under the id of the child; its texts live in a. *whole: it is a restart that sends
 * all its parent was asked for, because what is open of that has more pieces than a record takes.
 * ERR_REJECT, 409: why there is none. */
int again_request(struct event_delivery_requested *out, bool *whole, enum again_kind kind,
                  const struct ledger_ended *d, const struct again_ids *ids, struct arena *a,
                  struct err *e) MUST_CHECK;

#endif
