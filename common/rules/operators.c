/*
 * Operators on values, as Python's: floor division and modulo with the sign of the divisor, true
 * division, indexing and slicing by characters. Whole numbers have 64 bits; beyond is an error.
 */
#include <math.h>

#include "rules/rules_priv.h"

static enum status overflow(struct context *c)
{
    return eval_fail(c, "the number gets too large");
}

static enum status give_int(struct value *out, int64_t i)
{
    *out = value_int(i);
    return OK;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static enum status int_power(struct context *c, int64_t base, int64_t exponent, struct value *out)
{
    int64_t r = 1;
    while (exponent > 0) {
        if ((exponent & 1) != 0 && __builtin_mul_overflow(r, base, &r))
            return overflow(c);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base))
            return overflow(c);
    }
    return give_int(out, r);
}

static enum status float_power(struct context *c, double a, double b, struct value *out)
{
    if (a == 0 && b < 0)
        return eval_fail(c, "division by zero");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        return eval_fail(c, "a negative number has no such power");
    double r = pow(a, b);
    if (isinf(r) && isfinite(a) && isfinite(b))
        return overflow(c);
    *out = value_float(r);
    return OK;
}

static enum status int_divide(struct context *c, enum binary op, int64_t a, int64_t b,
                              struct value *out)
{
    if (b == 0)
        return eval_fail(c, "division by zero");
    if (op == B_DIV) {
        *out = value_float((double)a / (double)b);
        return OK;
    }
    if (a == INT64_MIN && b == -1)
        return op == B_MOD ? give_int(out, 0) : overflow(c);
    int64_t quotient = a / b, rest = a % b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return give_int(out, op == B_MOD ? rest : quotient);
}

static enum status int_shift(struct context *c, enum binary op, int64_t a, int64_t b,
                             struct value *out)
{
    if (b < 0)
        return eval_fail(c, "a shift by less than 0");
    if (op == B_SHR)
        return give_int(out, b > 63 ? (a < 0 ? -1 : 0) : a >> b);
    if (a == 0)
        return give_int(out, 0);
    int64_t r;
    if (b > 62 || __builtin_mul_overflow(a, (int64_t)1 << b, &r))
        return overflow(c);
    return give_int(out, r);
}

static enum status int_binary(struct context *c, enum binary op, int64_t a, int64_t b,
                              struct value *out)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case B_ADD:
        over = __builtin_add_overflow(a, b, &r);
        break;
    case B_SUB:
        over = __builtin_sub_overflow(a, b, &r);
        break;
    case B_MUL:
        over = __builtin_mul_overflow(a, b, &r);
        break;
    case B_DIV:
    case B_FLOORDIV:
    case B_MOD:
        return int_divide(c, op, a, b, out);
    case B_POW:
        return b >= 0 ? int_power(c, a, b, out) : float_power(c, (double)a, (double)b, out);
    case B_SHL:
    case B_SHR:
        return int_shift(c, op, a, b, out);
    case B_OR:
        return give_int(out, a | b);
    case B_XOR:
        return give_int(out, a ^ b);
    case B_AND:
        return give_int(out, a & b);
    }
    return over ? overflow(c) : give_int(out, r);
}

static double float_modulo(double a, double b)
{
    double r = fmod(a, b);
    if (r != 0)
        return (r < 0) != (b < 0) ? r + b : r;
    return copysign(0.0, b);
}

static double float_floordiv(double a, double b)
{
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0))
        quotient -= 1;
    if (quotient == 0)
        return copysign(0.0, a / b);
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

static enum status float_binary(struct context *c, enum binary op, double a, double b,
                                struct value *out)
{
    if ((op == B_DIV || op == B_FLOORDIV || op == B_MOD) && b == 0)
        return eval_fail(c, "division by zero");
    double r;
    switch (op) {
    case B_ADD:
        r = a + b;
        break;
    case B_SUB:
        r = a - b;
        break;
    case B_MUL:
        r = a * b;
        break;
    case B_DIV:
        r = a / b;
        break;
    case B_FLOORDIV:
        r = float_floordiv(a, b);
        break;
    case B_MOD:
        r = float_modulo(a, b);
        break;
    case B_POW:
        return float_power(c, a, b, out);
    default:
        return eval_fail(
            c, "| & ^ << >> join booleans and whole numbers; for conditions write and, or");
    }
    *out = value_float(r);
    return OK;
}

/* ---- texts and lists ------------------------------------------------------------------------- */

static enum status concatenate(struct context *c, struct value a, struct value b, struct value *out)
{
    size_t unit = a.type == V_STR ? 1 : sizeof(struct value);
    size_t first = a.n * unit, second = b.n * unit;
    char *p = eval_alloc(c, first + second);
    if (p == NULL || eval_charge(c, (first + second) / 32) != OK)
        return FAILED;
    if (first > 0)
        memcpy(p, a.s, first);
    if (second > 0)
        memcpy(p + first, b.s, second);
    *out = a;
    out->s = p;
    out->n = a.n + b.n;
    return OK;
}

static enum status repeat(struct context *c, struct value v, int64_t times, struct value *out)
{
    size_t unit = v.type == V_STR ? 1 : sizeof(struct value);
    size_t once = v.n * unit, total;
    if (times < 0)
        times = 0;
    if (__builtin_mul_overflow(once, (uint64_t)times, &total))
        total = SIZE_MAX;
    char *p = eval_alloc(c, total);
    if (p == NULL || eval_charge(c, total / 32) != OK)
        return FAILED;
    for (size_t at = 0; at < total; at += once)
        memcpy(p + at, v.s, once);
    *out = v;
    out->s = p;
    out->n = (uint32_t)(total / unit);
    return OK;
}

static enum status no_such(struct context *c, enum binary op, struct value a, struct value b)
{
    static const char *const names[] = {"|", "^", "&", "<<", ">>", "+",
                                        "-", "*", "/", "//", "%",  "**"};
    bool text = a.type == V_STR || b.type == V_STR;
    bool number = value_is_number(a) || value_is_number(b);
    return eval_fail(c, "%s %s %s is not possible%s", value_type_name(a), names[op],
                     value_type_name(b), text && number ? "; use float() or str()" : "");
}

enum status rules_binary(struct context *c, enum binary op, struct value a, struct value b,
                         struct value *out)
{
    bool logic = op == B_OR || op == B_AND || op == B_XOR;
    if (a.type == V_BOOL && b.type == V_BOOL && logic) {
        *out = value_bool(op == B_OR ? a.i | b.i : op == B_AND ? a.i & b.i : a.i ^ b.i);
        return OK;
    }
    if (value_is_int(a) && value_is_int(b))
        return int_binary(c, op, a.i, b.i, out);
    if (value_is_number(a) && value_is_number(b))
        return float_binary(c, op, value_double(a), value_double(b), out);
    bool joins = a.type == V_STR || a.type == V_LIST || a.type == V_TUPLE;
    if (op == B_ADD && a.type == b.type && joins)
        return concatenate(c, a, b, out);
    if (op == B_MUL && joins && value_is_int(b))
        return repeat(c, a, b.i, out);
    if (op == B_MUL && value_is_int(a) &&
        (b.type == V_STR || b.type == V_LIST || b.type == V_TUPLE))
        return repeat(c, b, a.i, out);
    if (op == B_MOD && a.type == V_STR)
        return eval_fail(c, "%% formatting is not available; join strings with +");
    return no_such(c, op, a, b);
}

enum status rules_unary(struct context *c, char op, struct value v, struct value *out)
{
    if (v.type == V_FLOAT && op != '~') {
        *out = value_float(op == '-' ? -v.f : v.f);
        return OK;
    }
    if (!value_is_int(v))
        return eval_fail(c, "%c%s is not possible", op, value_type_name(v));
    if (op == '-' && v.i == INT64_MIN)
        return overflow(c);
    return give_int(out, op == '-' ? -v.i : op == '~' ? ~v.i : v.i);
}

/* ---- positions ------------------------------------------------------------------------------- */

static int64_t length(struct value v)
{
    return v.type == V_STR ? (int64_t)text_length(v.s, v.n) : (int64_t)v.n;
}

static bool has_positions(struct value v)
{
    return v.type == V_STR || v.type == V_LIST || v.type == V_TUPLE;
}

enum status rules_index(struct context *c, struct value v, struct value at, struct value *out)
{
    if (!has_positions(v))
        return eval_fail(c, "%s has no positions", value_type_name(v));
    if (!value_is_int(at))
        return eval_fail(c, "a position is a whole number, not %s", value_type_name(at));
    if (eval_charge(c, v.n / 32) != OK)
        return FAILED;
    int64_t n = length(v), i = at.i < 0 ? at.i + n : at.i;
    if (i < 0 || i >= n)
        return eval_fail(c, "there is no position %lld", (long long)at.i);
    if (v.type != V_STR) {
        *out = v.items[i];
        return OK;
    }
    size_t start = text_offset(v.s, v.n, (size_t)i);
    uint32_t code;
    *out = value_str(v.s + start, text_decode(v.s + start, v.n - start, &code));
    return OK;
}

/* A bound of a slice, moved into low..high as Python does. */
static enum status bound(struct context *c, const struct value *v, int64_t n, int64_t low,
                         int64_t high, int64_t absent, int64_t *out)
{
    if (v == NULL || v->type == V_NONE) {
        *out = absent;
        return OK;
    }
    if (!value_is_int(*v))
        return eval_fail(c, "a position is a whole number, not %s", value_type_name(*v));
    int64_t i = v->i < 0 ? v->i + n : v->i;
    *out = i < low ? low : i > high ? high : i;
    return OK;
}

static enum status stepped(struct context *c, struct value v, int64_t start, int64_t stop,
                           int64_t step, struct value *out)
{
    const struct value *items;
    size_t n, count = 0, bytes = 0;
    if (eval_items(c, v, &items, &n) != OK)
        return FAILED;
    struct value *picked = eval_alloc(c, (n + 1) * sizeof *picked);
    if (picked == NULL)
        return FAILED;
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        picked[count] = items[i];
        bytes += items[i].type == V_STR ? items[i].n : 0;
        count++;
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    *out = value_items(v.type, picked, count);
    if (v.type != V_STR)
        return OK;
    char *text = eval_alloc(c, bytes);
    if (text == NULL)
        return FAILED;
    size_t at = 0;
    for (size_t i = 0; i < count; at += picked[i].n, i++)
        memcpy(text + at, picked[i].s, picked[i].n);
    *out = value_str(text, bytes);
    return OK;
}

enum status rules_slice(struct context *c, struct value v, const struct value *start,
                        const struct value *stop, const struct value *step, struct value *out)
{
    if (!has_positions(v))
        return eval_fail(c, "%s has no positions", value_type_name(v));
    if (eval_charge(c, v.n / 32) != OK)
        return FAILED;
    int64_t n = length(v), by = 1, from = 0, to = 0;
    if (bound(c, step, 0, INT64_MIN, INT64_MAX, 1, &by) != OK)
        return FAILED;
    if (by == 0)
        return eval_fail(c, "the step of a slice cannot be 0");
    int64_t low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
    if (bound(c, start, n, low, high, by > 0 ? low : high, &from) != OK ||
        bound(c, stop, n, low, high, by > 0 ? high : low, &to) != OK)
        return FAILED;
    if (by != 1)
        return stepped(c, v, from, to, by, out);
    if (to < from)
        to = from;
    if (v.type != V_STR) {
        *out = value_items(v.type, v.items + from, (size_t)(to - from));
        return OK;
    }
    size_t first = text_offset(v.s, v.n, (size_t)from);
    *out = value_str(v.s + first, text_offset(v.s + first, v.n - first, (size_t)(to - from)));
    return OK;
}
