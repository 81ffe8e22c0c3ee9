/* Every command of the command line. */
#ifndef TALARIA_COMMANDS_H
#define TALARIA_COMMANDS_H

#include "talaria/cli.h"

extern const struct command command_up, command_down, command_logs, command_status, command_studies,
    command_study, command_send, command_apply, command_export, command_topics, command_ledger,
    command_deliveries, command_restart, command_resend, command_cancel, command_retry,
    command_replay, command_reroute, command_recover, command_help;

#endif
