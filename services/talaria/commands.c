/* The list of commands: one row each. */
#include <string.h>

#include "talaria/commands.h"

const struct command *const commands[] = {
    &command_up,     &command_down, &command_logs,  &command_status, &command_studies,
    &command_study,  &command_send, &command_apply, &command_export, &command_topics,
    &command_ledger, &command_deliveries, &command_restart, &command_resend,
    &command_cancel, &command_retry, &command_replay, &command_reroute, &command_recover,
    &command_help,   NULL,
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}
