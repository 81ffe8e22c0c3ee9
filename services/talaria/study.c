/* talaria study: what happened to one study, stage by stage; --wait until it has ended. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "talaria/commands.h"
#include "talaria/http.h"
#include "talaria/show.h"

#define POLL_MS 250

/* The study with the newest image, into *uid. */
static int find_last(const struct cli *c, struct str *uid)
{
    int status;
    json_t *j = http_get_json(c, "/studies?limit=1", NULL, &status);
    if (!j)
        return status;
    const char *found = show_text(json_array_get(json_object_get(j, "items"), 0), "study");
    status = found ? EXIT_DONE : EXIT_NOT_FOUND;
    if (found)
        str_puts(uid, found);
    else
        message("nothing has been received yet");
    json_decref(j);
    return status;
}

/* 0: *out and *raw are the study; EXIT_NOT_FOUND is not said yet, anything else is. */
static int get_study(json_t **out, struct str *raw, const struct cli *c, const char *path)
{
    struct http_answer a = {0};
    struct err e = {0};
    int status = EXIT_DONE;
    if (http_ask(&a, c, &(struct http_request){.method = "GET", .path = path}, &e))
        return failed(&e);
    if (a.status == 404) {
        status = EXIT_NOT_FOUND;
    } else if (a.status != 200) {
        status = http_problem(&a);
    } else {
        *out = json_loadb(str_cstr(&a.body), a.body.len, 0, NULL);
        str_clear(raw);
        str_append(raw, str_cstr(&a.body), a.body.len);
        if (!*out) {
            message("the gateway's answer is not JSON");
            status = EXIT_FAILED;
        }
    }
    http_free(&a);
    return status;
}

/* Until it has ended or the time is over; the newest state of it in *out. */
static int wait_for(json_t **out, struct str *raw, const struct cli *c, const char *path,
                    int64_t seconds)
{
    int64_t until = clock_mono_ms() + seconds * 1000;
    for (;;) {
        json_decref(*out);
        *out = NULL;
        int status = get_study(out, raw, c, path);
        if (status != EXIT_DONE && status != EXIT_NOT_FOUND)
            return status;
        if (status == EXIT_DONE && show_study_ended(*out))
            return show_study_bad(*out) ? EXIT_FAILED : EXIT_DONE;
        if (clock_mono_ms() >= until) {
            if (seconds > 0 && status == EXIT_DONE)
                message("not ended after %lld s", (long long)seconds);
            return status == EXIT_NOT_FOUND ? EXIT_NOT_FOUND
                   : seconds > 0            ? EXIT_TIMEOUT
                                            : EXIT_DONE;
        }
        (void)clock_sleep_ms(POLL_MS, NULL);
    }
}

static int show(const struct cli *c, const char *uid, int64_t seconds)
{
    struct str path = STR_INIT, raw = STR_INIT, out = STR_INIT;
    json_t *study = NULL;
    str_puts(&path, "/studies/");
    http_escape(&path, uid);
    int status = wait_for(&study, &raw, c, str_cstr(&path), seconds);
    if (study && c->json)
        printf("%s\n", str_cstr(&raw));
    else if (study)
        show_study(&out, study, colors_wanted(STDOUT_FILENO));
    fputs(str_cstr(&out), stdout);
    if (status == EXIT_NOT_FOUND)
        message("study %s is not in the ledger", uid);
    json_decref(study);
    str_free(&path);
    str_free(&raw);
    str_free(&out);
    return status;
}

static int run(struct cli *c, int argc, char **argv)
{
    bool last = false;
    int64_t seconds = 0;
    const struct option_row rows[] = {
        OPTION_FLAG("--last", &last, "the study with the newest image"),
        OPTION_NUMBER("--wait", "SECONDS", &seconds, 1, 86400,
                      "until all its deliveries have ended; status 1 if one failed"),
    };
    int status = options_take(&command_study, rows, ARRAY_LEN(rows), &argc, argv, 0, 1);
    if (status >= 0)
        return status;
    if (last == (argc == 2)) {
        message("talaria study UID, or talaria study --last");
        return EXIT_USAGE;
    }
    struct str uid = STR_INIT;
    if (last)
        status = find_last(c, &uid);
    else
        str_puts(&uid, argv[1]);
    if (status <= EXIT_DONE)
        status = show(c, str_cstr(&uid), seconds);
    str_free(&uid);
    return status;
}

const struct command command_study = {"study", "UID | --last",
                                      "what happened to one study, stage by stage", run};
