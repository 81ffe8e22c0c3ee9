/* talaria ledger: does it add up, and how old is what is open? */
#include <stdio.h>
#include <unistd.h>

#include "talaria/commands.h"
#include "talaria/http.h"
#include "talaria/show.h"

static int run(struct cli *c, int argc, char **argv)
{
    int status = options_take(&command_ledger, NULL, 0, &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    struct str raw = STR_INIT, out = STR_INIT;
    json_t *j = http_get_json(c, "/ledger", &raw, &status);
    if (!j)
        return status;
    if (c->json)
        printf("%s\n", str_cstr(&raw));
    else
        show_ledger(&out, j, colors_wanted(STDOUT_FILENO));
    fputs(str_cstr(&out), stdout);
    status = json_is_true(json_object_get(j, "balanced")) ? EXIT_DONE : EXIT_FAILED;
    json_decref(j);
    str_free(&raw);
    str_free(&out);
    return status;
}

const struct command command_ledger = {
    "ledger", "", "do the balances add up, how old is what is open; exit status 1 if they do not",
    run};
