/*
 * Target types: one file each, one row in target.c's table. A type sends the open members of one
 * delivery and reports every outcome as it becomes known; what it does not report stays open.
 */
#ifndef DISPATCHER_TARGET_H
#define DISPATCHER_TARGET_H

#include "config/config.h"
#include "dimse/dimse.h"
#include "dispatcher/dispatch.h"
#include "event/manifest.h"
#include "objstore/objstore.h"

/* One attempt as its sender sees it; belongs to the sending thread. */
struct transfer {
    const struct config_target *target;
    const char *delivery, *study, *calling_ae, *called_ae, *peer; /* of the request */
    const char *default_calling_ae;
    int64_t connect_ms;
    const struct manifest *manifest;
    const uint8_t
        *states; /* per member: only open ones are sent; MEMBER_UNKNOWN as in dispatch.h */
    struct objstore *store;
    bool refused; /* set by the sender: the target refuses us for good, whatever is sent */
    bool patient; /* a missing object may only be late: transfer_late */
    int64_t late; /* … members that were left open because of that */
    const volatile int *stop; /* end soon: what is reported so far counts */
    /* state MEMBER_DELIVERED becomes repeated by itself where the member was unknown; MEMBER_OPEN
     * says that it was sent and the answer did not come. reason may be NULL. -1: it could not be
     * recorded, stop sending. */
    int (*report)(struct transfer *t, int64_t position, enum event_member_state state,
                  int64_t status, const char *reason);
    /* Hands over what blocks, so that it can be woken from outside (NULL: nothing does). */
    void (*blocked_in)(struct transfer *t, struct dimse_assoc *assoc);
    void *owner;
};

struct target_type {
    enum config_target_type type;
    const char *name;
    /* 0: every open member has been reported. -1: the attempt failed for those that were not (e:
     * why). */
    int (*send)(struct transfer *t, struct err *e);
};

extern const struct target_type target_dicom, target_dicomtls, target_folder, target_dummy,
    target_fail;
const struct target_type *target_type_of(const struct config_target *t);

static inline bool transfer_is_open(const struct transfer *t, int64_t position)
{
    return MEMBER_STATE(t->states[position]) == MEMBER_OPEN;
}
const struct manifest_member *transfer_member(const struct transfer *t, int64_t position);
/* After transfer_open_object failed: is the object perhaps only late? Then the member stays open,
 * the others go on, and send is called once more when the object has come or its time is over. */
bool transfer_late(struct transfer *t, struct err *e);
/* Opens the member's object and checks its size. ERR_REJECT: this member will never be readable. */
int transfer_open_object(const struct transfer *t, const struct manifest_member *m,
                         struct objstore_reader **out, struct err *e);

#endif
