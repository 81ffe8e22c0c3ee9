/* talaria help: all commands, or one of them. */
#include <stdio.h>

#include "talaria/commands.h"

static void overview(void)
{
    puts("talaria COMMAND [OPTIONS] [ARGUMENTS]\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    putchar('\n');
    settings_help();
    puts("\nExit status: 0 done; 1 something was refused or failed; 2 wrong usage; 3 gateway, "
         "broker "
         "or\nDICOM node does not answer; 4 not found; 5 --wait ran out.");
}

static int run(struct cli *c, int argc, char **argv)
{
    (void)c;
    if (argc < 2 || argv[1][0] == '-') {
        overview();
        return EXIT_DONE;
    }
    const struct command *about = command_find(argv[1]);
    if (!about) {
        message("there is no command %s; see: talaria help", argv[1]);
        return EXIT_USAGE;
    }
    if (about == &command_help) {
        overview();
        return EXIT_DONE;
    }
    char help[] = "--help";
    char *words[] = {argv[1], help, NULL};
    return about->run(c, 2, words);
}

const struct command command_help = {"help", "[COMMAND]", "what there is, or how one command works",
                                     run};
