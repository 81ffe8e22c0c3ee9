/* What is sent again of a delivery that has ended (see again.h). */
#include "gateway/again.h"

#include <inttypes.h>

#include "base/mem.h"
#include "event/positions.h"

#define ENVELOPE_ROOM 4096 /* bytes of a record beside the texts of its parent */

/* One line of restarts and resends comes of a delivery: whoever is at its end is sent again. */
static int may_be_sent(const struct ledger_ended *d, enum again_kind kind, struct err *e)
{
    if (d->again)
        return 0;
    if (!d->ended)
        return err_set(e, ERR_REJECT, 409, "The delivery has not ended: %s.", d->status);
    if (d->kin == KIN_OPEN)
        return err_set(e, ERR_REJECT, 409, "It is sent again already, as %s.", d->kin_id);
    if (d->kin == KIN_BAD)
        return err_set(e, ERR_REJECT, 409,
                       "It was sent again already, as %s, which ended: %s. Restart or resend that.",
                       d->kin_id, d->kin_status);
    if (kind == AGAIN_RESTART && strcmp(d->status, "superseded") == 0)
        return err_set(e, ERR_REJECT, 409,
                       "It was sent again already, as %s. A resend sends all of it once more.",
                       d->kin_id);
    if (d->deleted)
        return err_set(e, ERR_REJECT, 409, "Images of it were deleted, or are about to be.");
    return 0;
}

static int decode(struct event_delivery_requested *out, const struct str *request, struct arena *a,
                  struct err *e)
{
    if (request->len == 0)
        return err_set(e, ERR_REJECT, 409, "The ledger does not hold its request.");
    if (rows_decode(out, event_table(EVENT_DELIVERY_REQUESTED), request->data, request->len, a,
                    NULL, e))
        return err_wrap(e, "request in the ledger");
    return 0;
}

/* Narrows the request to what did not end well. */
static int leave_out(struct event_delivery_requested *r, bool *whole, const struct ledger_ended *d,
                     struct arena *a, struct err *e)
{
    struct str open = STR_INIT;
    size_t used = d->request.len + ENVELOPE_ROOM;
    int64_t n = positions_without(&open, r->positions, r->members, str_cstr(&d->well));
    *whole = open.len > POSITIONS_TEXT || used + open.len > EVENT_MAX;
    if (n > 0 && n < r->members && !*whole) {
        r->positions = arena_strndup(a, open.data, open.len);
        r->members = n;
    }
    str_free(&open);
    if (n > 0)
        return 0;
    return err_set(e, ERR_REJECT, 409,
                   "Nothing of it is open: every member arrived, or was not accepted. "
                   "A resend sends all of it once more.");
}

int again_request(struct event_delivery_requested *out, bool *whole, enum again_kind kind,
                  const struct ledger_ended *d, const struct again_ids *ids, struct arena *a,
                  struct err *e)
{
    *whole = false;
    if (may_be_sent(d, kind, e) ||
        decode(out, kind == AGAIN_RESEND && d->first.len ? &d->first : &d->request, a, e))
        return -1;
    if (kind == AGAIN_RESTART && d->well_n < d->counted_well)
        return err_set(e, ERR_REJECT, 409,
                       "The ledger shows %" PRId64 " of %" PRId64 " members that ended well: it is "
                       "behind, try again. A resend does not ask.",
                       d->well_n, d->counted_well);
    out->delivery = arena_strdup(a, ids->child);
    out->parent = arena_strdup(a, ids->parent);
    out->command = arena_strdup(a, ids->command);
    out->not_before = out->not_after = NULL; /* they were those of the first one */
    return kind == AGAIN_RESTART ? leave_out(out, whole, d, a, e) : 0;
}
