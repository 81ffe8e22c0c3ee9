/* talaria status: problems, what is open, targets. */
#include <stdio.h>
#include <unistd.h>

#include "talaria/commands.h"
#include "talaria/http.h"
#include "talaria/show.h"

static int run(struct cli *c, int argc, char **argv)
{
    int status = options_take(&command_status, NULL, 0, &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    struct str raw = STR_INIT, out = STR_INIT;
    json_t *j = http_get_json(c, "/status", &raw, &status);
    if (!j)
        return status;
    if (c->json)
        printf("%s\n", str_cstr(&raw));
    else
        show_status(&out, j, colors_wanted(STDOUT_FILENO));
    fputs(str_cstr(&out), stdout);
    json_decref(j);
    str_free(&raw);
    str_free(&out);
    return EXIT_DONE;
}

const struct command command_status = {"status", "", "problems, what is open, targets", run};
