/* Instances that nobody works, because each try has killed the worker or they cannot be read: they lie
 * in dlq, and the next decision of their series names them. */
#include "decide_priv.h"

#include <inttypes.h>

#define LEFT_OUT_MAX 1000 /* of a partition; a floor that moves on forgets them anyway */

static char *receipt_of(const struct decide *d, const struct decide_input *in)
{
    struct slice id;
    if (!rows_peek(&id, in->value.p ? in->value.p : "", in->value.n, "id") && id.n > 2 &&
        id.n <= 66 && id.p[0] == '"' && utf8_valid_prefix(id.p, id.n) == id.n &&
        !memchr(id.p, '\\', id.n))
        return mem_strndup(id.p + 1, id.n - 2);
    struct str text = STR_INIT;
    str_printf(&text, "%" PRId32 "/%" PRId64, d->setup.partition, in->offset);
    return str_take(&text);
}

static void drop(struct decide *d, size_t i)
{
    mem_free(d->left_out.items[i].key);
    mem_free(d->left_out.items[i].receipt);
    d->left_out.n--;
    memmove(&d->left_out.items[i], &d->left_out.items[i + 1],
            (d->left_out.n - i) * sizeof d->left_out.items[0]);
}

void decide_leave_out(struct decide *d, const struct decide_input *in)
{
    if (in->type != EVENT_INSTANCE_STORED || !in->study.p || !in->series.p)
        return;
    decide_key(d, in->study, in->series);
    const struct coverage *c = coverage_find(d);
    if (c && in->offset <= c->last)
        return; /* an earlier decision has said it */
    if (d->left_out.n == LEFT_OUT_MAX)
        drop(d, 0);
    *vec_push(&d->left_out) = (struct left_out){mem_dup(d->key.data, d->key.len + 1),
                                                receipt_of(d, in), d->key.len};
}

static bool of_window(const struct left_out *x, const struct window *w)
{
    return x->key_n == w->key_n && memcmp(x->key, w->key, w->key_n) == 0;
}

struct row_strings left_out_of(const struct decide *d, const struct window *w, struct arena *a)
{
    struct row_strings out = {0};
    for (size_t i = 0; i < d->left_out.n; i++) {
        if (!of_window(&d->left_out.items[i], w))
            continue;
        if (!out.items)
            out.items = arena_alloc(a, d->left_out.n * sizeof *out.items);
        out.items[out.n++] = arena_strdup(a, d->left_out.items[i].receipt);
    }
    return out;
}

void left_out_told(struct decide *d, const struct window *w)
{
    for (size_t i = d->left_out.n; i-- > 0;)
        if (of_window(&d->left_out.items[i], w))
            drop(d, i);
}

void left_out_free(struct decide *d)
{
    while (d->left_out.n)
        drop(d, d->left_out.n - 1);
    vec_free(&d->left_out);
}
