/* talaria-dispatcher: sends series and results to targets. */
#include "dimse/dimse.h"
#include "dispatcher/dispatch_stage.h"
#include "dispatcher/settings.h"

static const struct stage *const stages[] = {&dispatch_stage, NULL};
static const struct daemon_part *const parts[] = {&dispatch_jobs, NULL};

int main(int argc, char **argv)
{
    const struct service service = {
        .name = "dispatcher",
        .summary = "sends series and results to targets",
        .settings = dispatcher_rows,
        .n_settings = dispatcher_rows_n,
        .settings_size = sizeof(struct dispatcher_settings),
        .stages = stages,
        .parts = parts,
    };
    dimse_setup();
    return daemon_main(&service, argc, argv);
}
