/* Every id formula. The first part is the kind, so that no formula can give another one's id. */
#include "event/ids.h"

#include <inttypes.h>
#include <stdio.h>

#define DECIMAL 24

static struct slice decimal(char buf[DECIMAL], int64_t v)
{
    int n = snprintf(buf, DECIMAL, "%" PRId64, v);
    return (struct slice){buf, (size_t)n};
}

void ids_window_decision(char out[HASH_ID_HEX], const char *site, const char *study,
                         const char *series, int64_t first, int64_t last)
{
    char a[DECIMAL], b[DECIMAL];
    const struct slice parts[] = {SLICE("window"),  slice_of(site),    slice_of(study),
                                  slice_of(series), decimal(a, first), decimal(b, last)};
    hash_id(out, parts, 6);
}

void ids_command_decision(char out[HASH_ID_HEX], const char *command, const char *series_or_rule)
{
    const struct slice parts[] = {SLICE("command"), slice_of(command), slice_of(series_or_rule)};
    hash_id(out, parts, 3);
}

void ids_study_decision(char out[HASH_ID_HEX], const char *site, const char *study,
                        const char *rule, const char *first_member, int64_t up_to)
{
    char a[DECIMAL];
    const struct slice parts[] = {SLICE("study"), slice_of(site),         slice_of(study),
                                  slice_of(rule), slice_of(first_member), decimal(a, up_to)};
    hash_id(out, parts, 6);
}

void ids_task(char out[HASH_ID_HEX], const char *decision, const char *rule)
{
    const struct slice parts[] = {SLICE("task"), slice_of(decision), slice_of(rule)};
    hash_id(out, parts, 3);
}

void ids_delivery(char out[HASH_ID_HEX], const char *decision_or_task, const char *target)
{
    const struct slice parts[] = {SLICE("delivery"), slice_of(decision_or_task), slice_of(target)};
    hash_id(out, parts, 3);
}

void ids_restart(char out[HASH_ID_HEX], const char *parent)
{
    const struct slice parts[] = {SLICE("restart"), slice_of(parent)};
    hash_id(out, parts, 2);
}

void ids_resend(char out[HASH_ID_HEX], const char *parent, const char *command)
{
    const struct slice parts[] = {SLICE("resend"), slice_of(parent), slice_of(command)};
    hash_id(out, parts, 3);
}
