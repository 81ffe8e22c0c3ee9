/* Target "fail": every attempt fails, as a target that is never reachable does. */
#include "dispatcher/target.h"

static int send_fails(struct transfer *t, struct err *e)
{
    (void)t;
    return err_set(e, ERR_RETRY, 0, "the fail target is never reachable");
}

const struct target_type target_fail = {.type = TARGET_FAIL, .name = "fail", .send = send_fails};
