/* Tags as rules see them: the pairs of a record or a request. */
#include <strings.h>

#include "config/config.h"

static const char *get(void *arg, const char *name, bool any_case)
{
    const struct row_pairs *tags = arg;
    for (size_t i = 0; i < tags->n; i++)
        if (strcmp(tags->items[i].name, name) == 0)
            return tags->items[i].value;
    for (size_t i = 0; any_case && i < tags->n; i++)
        if (strcasecmp(tags->items[i].name, name) == 0)
            return tags->items[i].value;
    return NULL;
}

static size_t count(void *arg)
{
    return ((const struct row_pairs *)arg)->n;
}

struct rule_tags config_rule_tags(struct row_pairs *tags)
{
    return (struct rule_tags){get, count, tags};
}
