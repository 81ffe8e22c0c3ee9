/* talaria-router: recognises complete series and decides by rules what happens to them. */
#include "router.h"

static const struct stage *const stages[] = {&router_decide, &router_plan, NULL};

int main(int argc, char **argv)
{
    const struct service service = {
        .name = "router",
        .summary = "recognises complete series and decides by rules what happens to them",
        .settings_size = sizeof(struct router_settings),
        .stages = stages,
    };
    return daemon_main(&service, argc, argv);
}
