/* talaria: the command line. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "talaria/cli.h"

int main(int argc, char **argv)
{
    struct cli c;
    struct err e = {0};
    (void)signal(SIGPIPE, SIG_IGN); /* a lost connection is an error of its call */
    if (settings_load(&c, &argc, argv, &e)) {
        message("%s", e.text);
        return EXIT_USAGE;
    }
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0) {
        puts("talaria " TALARIA_VERSION);
        return EXIT_DONE;
    }
    const struct command *command = command_find(name);
    if (!command) {
        message("there is no command %s; see: talaria help", name);
        return EXIT_USAGE;
    }
    int status = argc > 1 ? command->run(&c, argc - 1, argv + 1) : command->run(&c, argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        message("cannot write the output");
        return status ? status : EXIT_FAILED;
    }
    return status;
}
