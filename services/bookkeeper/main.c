/* talaria-bookkeeper: keeps the ledger in PostgreSQL, from every topic. */
#include "bookkeeper/stage.h"

static const struct stage *const stages[] = {&bookkeeper_stage, NULL};
static const struct daemon_part *const parts[] = {&bookkeeper_ledger, NULL};

int main(int argc, char **argv)
{
    const struct service service = {.name = "bookkeeper",
                                    .summary = "keeps the ledger in PostgreSQL, from every topic",
                                    .settings_size = sizeof(struct daemon_settings),
                                    .stages = stages,
                                    .parts = parts,
                                    .without_config = true};
    return daemon_main(&service, argc, argv);
}
