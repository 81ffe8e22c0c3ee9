/* What values are to each other: truth, equality, order, membership, and how they look as text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/rules_priv.h"

const char *value_type_name(struct value v)
{
    static const char *const names[] = {"None",   "a boolean", "a whole number", "a number",
                                        "a text", "a list",    "a tuple",        "a set"};
    return names[v.type];
}

bool value_truth(struct value v)
{
    switch (v.type) {
    case V_NONE:
        return false;
    case V_BOOL:
    case V_INT:
        return v.i != 0;
    case V_FLOAT:
        return v.f != 0;
    default:
        return v.n > 0;
    }
}

/* Exact also where a double cannot hold the whole number. */
static int order_numbers(struct value a, struct value b)
{
    if (value_is_int(a) && value_is_int(b))
        return a.i < b.i ? -1 : a.i > b.i;
    long double x = a.type == V_FLOAT ? (long double)a.f : (long double)a.i;
    long double y = b.type == V_FLOAT ? (long double)b.f : (long double)b.i;
    if (isnan(x) || isnan(y))
        return 2;
    return x < y ? -1 : x > y;
}

static enum status equal_items(struct context *c, struct value a, struct value b, bool *out)
{
    *out = false;
    if (a.n != b.n)
        return OK;
    for (uint32_t i = 0; i < a.n; i++) {
        bool same = false;
        enum status s = a.type == V_SET ? value_contains(c, a.items[i], b, &same)
                                        : value_equal(c, a.items[i], b.items[i], &same);
        if (s != OK || !same)
            return s;
    }
    *out = true;
    return OK;
}

enum status value_equal(struct context *c, struct value a, struct value b, bool *out)
{
    *out = false;
    if (value_is_number(a) && value_is_number(b)) {
        *out = order_numbers(a, b) == 0;
        return OK;
    }
    if (a.type != b.type)
        return OK;
    if (a.type == V_NONE) {
        *out = true;
        return OK;
    }
    if (eval_charge(c, a.type == V_STR ? a.n / 32 : a.n) != OK)
        return FAILED;
    if (a.type != V_STR)
        return equal_items(c, a, b, out);
    *out = a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
    return OK;
}

static enum status order_text(struct context *c, struct value a, struct value b, int *out)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = memcmp(a.s, b.s, n);
    *out = r < 0 ? -1 : r > 0 ? 1 : a.n < b.n ? -1 : a.n > b.n;
    return eval_charge(c, n / 32);
}

static enum status order_items(struct context *c, struct value a, struct value b, int *out)
{
    for (uint32_t i = 0; i < a.n && i < b.n; i++) {
        bool same;
        if (eval_charge(c, 1) != OK || value_equal(c, a.items[i], b.items[i], &same) != OK)
            return FAILED;
        if (!same)
            return value_order(c, a.items[i], b.items[i], out);
    }
    *out = a.n < b.n ? -1 : a.n > b.n;
    return OK;
}

enum status value_order(struct context *c, struct value a, struct value b, int *out)
{
    *out = 2;
    if (value_is_number(a) && value_is_number(b)) {
        *out = order_numbers(a, b);
        return OK;
    }
    if (a.type == V_STR && b.type == V_STR)
        return order_text(c, a, b, out);
    if (a.type == b.type && (a.type == V_LIST || a.type == V_TUPLE))
        return order_items(c, a, b, out);
    bool mixed = (a.type == V_STR && value_is_number(b)) || (value_is_number(a) && b.type == V_STR);
    return eval_fail(c, "%s and %s have no order%s", value_type_name(a), value_type_name(b),
                     mixed ? "; make a number of the text with float()" : "");
}

enum status value_contains(struct context *c, struct value item, struct value in, bool *out)
{
    *out = false;
    if (in.type == V_STR) {
        if (item.type != V_STR)
            return eval_fail(c, "only a text can be in a text, not %s", value_type_name(item));
        *out = item.n == 0 || memmem(in.s, in.n, item.s, item.n) != NULL;
        return eval_charge(c, in.n / 32);
    }
    if (!value_is_sequence(in))
        return eval_fail(c, "nothing is in %s", value_type_name(in));
    for (uint32_t i = 0; i < in.n && !*out; i++)
        if (eval_charge(c, 1) != OK || value_equal(c, item, in.items[i], out) != OK)
            return FAILED;
    return OK;
}

enum status value_set(struct context *c, const struct value *items, size_t n, struct value *out)
{
    struct value *kept = eval_alloc(c, (n + 1) * sizeof *kept);
    struct value set = value_items(V_SET, kept, 0);
    if (kept == NULL)
        return FAILED;
    for (size_t i = 0; i < n; i++) {
        bool known;
        if (items[i].type == V_LIST || items[i].type == V_SET)
            return eval_fail(c, "%s cannot be in a set", value_type_name(items[i]));
        if (value_contains(c, items[i], set, &known) != OK)
            return FAILED;
        if (!known)
            kept[set.n++] = items[i];
    }
    *out = set;
    return OK;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Python's: the shortest that reads back the same; exponent below 1e-4 and from 1e16 on. */
void value_float_text(char out[40], double f)
{
    char digits[40];
    if (isnan(f) || isinf(f)) {
        (void)snprintf(out, 40, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    int precision = 0;
    do
        (void)snprintf(digits, sizeof digits, "%.*e", precision, f);
    while (strtod(digits, NULL) != f && ++precision < 17);
    char *mark = strchr(digits, 'e');
    int exponent = mark != NULL ? atoi(mark + 1) : 0;
    if (exponent < -4 || exponent >= 16) {
        (void)snprintf(out, 40, "%s", digits);
        return;
    }
    int decimals = precision - exponent;
    (void)snprintf(out, 40, "%.*f", decimals > 1 ? decimals : 1, f);
}

static void repr_text(struct str *out, struct value v)
{
    bool single = memchr(v.s, '\'', v.n) != NULL && memchr(v.s, '"', v.n) == NULL;
    char quote = single ? '"' : '\'';
    uint32_t code;
    str_putc(out, quote);
    for (size_t i = 0, len; i < v.n; i += len) {
        len = text_decode(v.s + i, v.n - i, &code);
        if (code == (uint32_t)quote || code == '\\')
            str_printf(out, "\\%c", (int)code);
        else if (code == '\n' || code == '\r' || code == '\t')
            str_printf(out, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
        else if (code < 0x20 || (code >= 0x7F && code <= 0xA0) || code == 0xAD || code > 0x10FFFF)
            str_printf(out, "\\x%02x", code > 0x10FFFF ? (unsigned char)v.s[i] : (unsigned)code);
        else
            str_append(out, v.s + i, len);
    }
    str_putc(out, quote);
}

static bool repr_items(struct str *out, struct value v, size_t max)
{
    static const char *const brackets[] = {[V_LIST] = "[]", [V_TUPLE] = "()", [V_SET] = "{}"};
    if (v.type == V_SET && v.n == 0) {
        str_puts(out, "set()");
        return true;
    }
    str_putc(out, brackets[v.type][0]);
    for (uint32_t i = 0; i < v.n; i++) {
        if (i > 0)
            str_puts(out, ", ");
        if (!value_repr(out, v.items[i], max))
            return false;
    }
    if (v.type == V_TUPLE && v.n == 1)
        str_putc(out, ',');
    str_putc(out, brackets[v.type][1]);
    return true;
}

bool value_repr(struct str *out, struct value v, size_t max)
{
    char number[40];
    switch (v.type) {
    case V_NONE:
        str_puts(out, "None");
        break;
    case V_BOOL:
        str_puts(out, v.i ? "True" : "False");
        break;
    case V_INT:
        str_printf(out, "%" PRId64, v.i);
        break;
    case V_FLOAT:
        value_float_text(number, v.f);
        str_puts(out, number);
        break;
    case V_STR:
        repr_text(out, v);
        break;
    default:
        if (!repr_items(out, v, max))
            return false;
    }
    return out->len <= max;
}
