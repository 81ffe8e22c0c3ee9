/* talaria up, down, logs: the installation on this machine, through the scripts of deploy/local. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"
#include "talaria/commands.h"

#define LEVELS 6 /* folders above the program in which the root may lie */

/* The folder that holds deploy/local, upwards from this program; false if there is none. */
static bool root_of(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n <= 0)
        return false;
    out[n] = '\0';
    for (int i = 0; i < LEVELS; i++) {
        char *slash = strrchr(out, '/'), probe[PATH_MAX + 32];
        if (!slash)
            return false;
        *slash = '\0';
        snprintf(probe, sizeof probe, "%s/deploy/local/up.sh", out);
        if (access(probe, X_OK) == 0)
            return true;
    }
    return false;
}

static int no_root(void)
{
    message("deploy/local is not above this program; call its up.sh or down.sh where it lies");
    return EXIT_NOT_FOUND;
}

/* Takes the place of this process. */
static int run_script(const struct command *c, const char *name, int argc, char **argv)
{
    char root[PATH_MAX], path[PATH_MAX + 64];
    int status = options_take(c, NULL, 0, &argc, argv, 0, 0);
    if (status >= 0)
        return status;
    if (!root_of(root))
        return no_root();
    snprintf(path, sizeof path, "%s/deploy/local/%s", root, name);
    fflush(stdout);
    execl(path, path, (char *)NULL);
    struct err e;
    err_errno(&e, ERR_FATAL, errno, "%s", path);
    return failed(&e);
}

static int up(struct cli *c, int argc, char **argv)
{
    (void)c;
    return run_script(&command_up, "up.sh", argc, argv);
}

static int down(struct cli *c, int argc, char **argv)
{
    (void)c;
    return run_script(&command_down, "down.sh", argc, argv);
}

/* ---- logs ---- */

typedef VEC(char *) paths;

static void add_log(paths *to, const char *folder, const char *service)
{
    struct str s = STR_INIT;
    str_printf(&s, "%s/%s/current", folder, service);
    if (access(str_cstr(&s), R_OK) == 0)
        *vec_push(to) = str_take(&s);
    else
        str_free(&s);
}

static void add_logs(paths *to, const char *folder)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.')
            add_log(to, folder, names[i]->d_name);
        mem_free(names[i]);
    }
    if (n >= 0)
        mem_free(names);
}

static int exec_tail(const paths *files, const char *lines, bool follow)
{
    VEC(char *) words = {0};
    char tail[] = "tail", n[] = "-n", f[] = "-F", end[] = "--";
    *vec_push(&words) = tail;
    *vec_push(&words) = n;
    *vec_push(&words) = mem_strdup(lines);
    if (follow)
        *vec_push(&words) = f;
    *vec_push(&words) = end;
    for (size_t i = 0; i < files->n; i++)
        *vec_push(&words) = files->items[i];
    *vec_push(&words) = NULL;
    fflush(stdout);
    execvp("tail", words.items);
    struct err e;
    err_errno(&e, ERR_FATAL, errno, "tail");
    return failed(&e);
}

static int logs(struct cli *c, int argc, char **argv)
{
    char root[PATH_MAX];
    const char *var = getenv("TALARIA_VAR");
    bool follow = false;
    int64_t lines = 20;
    const struct option_row rows[] = {
        OPTION_FLAG("--follow", &follow, "goes on with what is written from now on"),
        OPTION_NUMBER("--lines", "N", &lines, 0, 1000000, "the last N lines of each (20)"),
    };
    (void)c;
    int status = options_take(&command_logs, rows, ARRAY_LEN(rows), &argc, argv, 0, 32);
    if (status >= 0)
        return status;
    if (!var && !root_of(root))
        return no_root();
    struct str folder = STR_INIT, count = STR_INIT;
    str_printf(&folder, "%s%s/log", var ? var : root, var ? "" : "/var");
    str_printf(&count, "%lld", (long long)lines);
    paths files = {0};
    for (int i = 1; i < argc; i++) {
        size_t before = files.n;
        if (!strchr(argv[i], '/'))
            add_log(&files, str_cstr(&folder), argv[i]);
        if (files.n == before) {
            message("%s has no log in %s", argv[i], str_cstr(&folder));
            return EXIT_NOT_FOUND;
        }
    }
    if (argc == 1)
        add_logs(&files, str_cstr(&folder));
    if (files.n == 0) {
        message("nothing has run here yet: no log in %s", str_cstr(&folder));
        return EXIT_NOT_FOUND;
    }
    return exec_tail(&files, str_cstr(&count), follow);
}

const struct command command_up = {"up", "", "starts everything on this machine", up};
const struct command command_down = {"down", "", "stops what up started here; the data stay", down};
const struct command command_logs = {"logs", "[SERVICE…]", "shows the services' logs", logs};
