/* Before encoding: whether a struct holds what a reader of its JSON will insist on. */
#include "rows_priv.h"

#include <stdio.h>

static int check_table(const struct row_table *t, const char *in, struct err *e);

/* Puts one step before the pointer that the text starts with. */
static int under(struct err *e, const char *step)
{
    if (e) {
        char old[sizeof e->text];
        memcpy(old, e->text, sizeof old);
        snprintf(e->text, sizeof e->text, "/%.60s%.190s", step, old);
    }
    return -1;
}

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_REJECT, 0, ": %s", why);
}

static int check_elements(const struct row *row, const struct row_list *l, struct err *e)
{
    for (size_t i = 0; i < l->n; i++)
        if (check_table(row->of, (const char *)l->items + i * row->of->size, e)) {
            char step[24];
            snprintf(step, sizeof step, "%zu", i);
            return under(e, step);
        }
    return 0;
}

static size_t count_of(const struct row *row, const void *at)
{
    if (row->type == ROW_STRINGS)
        return ((const struct row_strings *)at)->n;
    if (row->type == ROW_PAIRS)
        return ((const struct row_pairs *)at)->n;
    return ((const struct row_list *)at)->n;
}

static int check_count(const struct row *row, const void *at, struct err *e)
{
    size_t n = count_of(row, at);
    if (row->min > 0 && n < (size_t)row->min && row->flags & ROW_REQUIRED)
        return refuse(e, "too few elements");
    if (row->max > 0 && n > (size_t)row->max)
        return refuse(e, "too many elements");
    return row->type == ROW_LIST || row->type == ROW_MAP ? check_elements(row, at, e) : 0;
}

static int check_enum(const struct row *row, int v, struct err *e)
{
    int n = 0;
    while (row->names[n])
        n++;
    return v < 0 || v >= n ? refuse(e, "no such name") : 0;
}

static int check_value(const struct row *row, const void *at, struct err *e)
{
    struct err scratch;
    const char *why = NULL;
    switch (row->type) {
    case ROW_STRING:
        why = *(const char *const *)at ? row_bounds_string(row, *(const char *const *)at, &scratch)
              : row->flags & ROW_REQUIRED ? "required"
                                          : NULL;
        break;
    case ROW_INT:
        why = row_bounds_int(row, *(const int64_t *)at, &scratch);
        break;
    case ROW_NUMBER:
        why = row_bounds_number(row, *(const double *)at, &scratch);
        break;
    case ROW_ENUM:
        return check_enum(row, *(const int *)at, e);
    case ROW_RAW:
        why = row->flags & ROW_REQUIRED && !((const struct slice *)at)->n ? "required" : NULL;
        break;
    case ROW_OBJECT:
        /* absent altogether unless a member is set: only a required one is looked into */
        return row->flags & ROW_REQUIRED ? check_table(row->of, at, e) : 0;
    case ROW_OPTION:
        if (*(const char *const *)at)
            return check_table(row->of, *(const char *const *)at, e);
        why = row->flags & ROW_REQUIRED ? "required" : NULL;
        break;
    case ROW_STRINGS:
    case ROW_PAIRS:
    case ROW_LIST:
    case ROW_MAP:
        return check_count(row, at, e);
    case ROW_BOOL:
        break;
    }
    return why ? refuse(e, why) : 0;
}

static int check_table(const struct row_table *t, const char *in, struct err *e)
{
    for (size_t i = 0; i < t->n; i++)
        if (check_value(&t->rows[i], in + t->rows[i].offset, e))
            return under(e, t->rows[i].name);
    return 0;
}

int rows_check(const struct row_table *t, const void *in, struct err *e)
{
    return check_table(t, in, e);
}
