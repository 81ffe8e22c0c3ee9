/* Target "dummy": takes everything, sends nothing (mercure's dummy target). */
#include "dispatcher/target.h"

static int send_nothing(struct transfer *t, struct err *e)
{
    (void)e;
    for (int64_t i = 0; i < (int64_t)t->manifest->members.n && !*t->stop; i++)
        if (transfer_is_open(t, i) && t->report(t, i, MEMBER_DELIVERED, 0, NULL))
            return err_set(e, ERR_RETRY, 0, "outcomes could not be recorded");
    return 0;
}

const struct target_type target_dummy = {
    .type = TARGET_DUMMY, .name = "dummy", .send = send_nothing};
