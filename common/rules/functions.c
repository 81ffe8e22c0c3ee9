/*
 * Functions: float(), len(), any() and the like; and the one call that runs functions and methods.
 * Numbers are read as Python reads them: blanks around, underscores between digits, no locale.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/rules_priv.h"

typedef const struct value *args_t;

#define NUMBER_TEXT_MAX 400
#define UNUSED          __attribute__((unused))

static const char *self(const struct context *c)
{
    return c->at->builtin->name;
}

static enum status wrong(struct context *c, const char *wanted, struct value got)
{
    return eval_fail(c, "%s() needs %s, not %s", self(c), wanted, value_type_name(got));
}

static enum status give_text(struct context *c, struct str *text, struct value *out)
{
    enum status s = eval_copy(c, out, str_cstr(text), text->len);
    str_free(text);
    return s;
}

/* ---- numbers from text ----------------------------------------------------------------------- */

static bool isalnum_ascii(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Without blanks around and underscores between digits. false: cannot be a number. */
static bool number_text(char out[NUMBER_TEXT_MAX + 1], struct value v)
{
    struct slice t = text_strip((struct slice){v.s, v.n}, true, true);
    size_t n = 0;
    if (t.n > NUMBER_TEXT_MAX)
        return false;
    for (size_t i = 0; i < t.n; i++) {
        bool between =
            i > 0 && i + 1 < t.n && isalnum_ascii(t.p[i - 1]) && isalnum_ascii(t.p[i + 1]);
        if (t.p[i] == '\0' || (t.p[i] == '_' && !between))
            return false;
        if (t.p[i] != '_')
            out[n++] = t.p[i];
    }
    out[n] = '\0';
    return n > 0;
}

static bool is_word_number(const char *s)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    s += *s == '+' || *s == '-';
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

static enum status float_text(struct context *c, struct value v, struct value *out)
{
    char text[NUMBER_TEXT_MAX + 1], *end;
    if (number_text(text, v) &&
        (strspn(text, "+-0123456789.eE") == strlen(text) || is_word_number(text))) {
        *out = value_float(strtod(text, &end));
        if (*end == '\0')
            return OK;
    }
    return eval_fail(c, "float() needs the text of a number");
}

static enum status call_float(struct context *c, args_t a, size_t n, struct value *out)
{
    if (n == 0)
        *out = value_float(0);
    else if (value_is_number(a[0]))
        *out = value_float(value_double(a[0]));
    else if (a[0].type == V_STR)
        return float_text(c, a[0], out);
    else
        return wrong(c, "a number or a text", a[0]);
    return OK;
}

/* Skips 0x, 0o, 0b where the base allows it; base 0 becomes what the prefix says. */
static const char *skip_prefix(const char *s, int *base)
{
    int letter = s[0] == '0' ? s[1] | 32 : 0;
    int prefixed = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefixed != 0 && (*base == 0 || *base == prefixed)) {
        *base = prefixed;
        return s + 2;
    }
    if (*base == 0)
        *base = 10;
    return s;
}

static enum status int_text(struct context *c, struct value v, int base, struct value *out)
{
    char text[NUMBER_TEXT_MAX + 1], *end;
    if (!number_text(text, v))
        return eval_fail(c, "int() needs the text of a whole number");
    bool negative = text[0] == '-';
    const char *digits = skip_prefix(text + (negative || text[0] == '+'), &base);
    errno = 0;
    unsigned long long u = strtoull(digits, &end, base);
    if (!isalnum_ascii(digits[0]) || *end != '\0')
        return eval_fail(c, "int() needs the text of a whole number%s",
                         strchr(text, '.') != NULL ? "; use float()" : "");
    if (errno != 0 || u > INT64_MAX)
        return eval_fail(c, "int(): the number is too large");
    *out = value_int(negative ? -(int64_t)u : (int64_t)u);
    return OK;
}

static enum status float_to_int(struct context *c, double f, struct value *out)
{
    if (isnan(f) || isinf(f))
        return eval_fail(c, "%s(): not a finite number", self(c));
    if (f >= 9223372036854775808.0 || f < -9223372036854775808.0)
        return eval_fail(c, "%s(): the number is too large", self(c));
    *out = value_int((int64_t)f);
    return OK;
}

static enum status call_int(struct context *c, args_t a, size_t n, struct value *out)
{
    if (n == 2) {
        if (a[0].type != V_STR || !value_is_int(a[1]))
            return eval_fail(c, "int() with a base needs a text and a whole number");
        if (a[1].i != 0 && (a[1].i < 2 || a[1].i > 36))
            return eval_fail(c, "int(): the base is 0 or 2 to 36");
        return int_text(c, a[0], (int)a[1].i, out);
    }
    if (n == 0)
        *out = value_int(0);
    else if (value_is_int(a[0]))
        *out = value_int(a[0].i);
    else if (a[0].type == V_FLOAT)
        return float_to_int(c, trunc(a[0].f), out);
    else if (a[0].type == V_STR)
        return int_text(c, a[0], 10, out);
    else
        return wrong(c, "a number or a text", a[0]);
    return OK;
}

/* ---- text of values -------------------------------------------------------------------------- */

static enum status call_repr(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    struct str text = STR_INIT;
    if (!value_repr(&text, a[0], RULES_SCRATCH_MAX)) {
        str_free(&text);
        return eval_fail(c, "%s(): the text gets too long", self(c));
    }
    return give_text(c, &text, out);
}

static enum status call_str(struct context *c, args_t a, size_t n, struct value *out)
{
    if (n == 0 || a[0].type == V_STR) {
        *out = n == 0 ? value_str("", 0) : a[0];
        return OK;
    }
    return call_repr(c, a, n, out);
}

static enum status call_chr(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    char text[4];
    if (!value_is_int(a[0]) || a[0].i < 0 || a[0].i > 0x10FFFF ||
        (a[0].i >= 0xD800 && a[0].i < 0xE000))
        return eval_fail(c, "chr() needs the number of a character");
    return eval_copy(c, out, text, text_encode(text, (uint32_t)a[0].i));
}

static enum status call_ord(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    uint32_t code;
    if (a[0].type != V_STR || a[0].n == 0 || text_decode(a[0].s, a[0].n, &code) != a[0].n)
        return eval_fail(c, "ord() needs a text of one character");
    *out = value_int(code);
    return OK;
}

/* hex(), oct(), bin() */
static enum status call_based(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (!value_is_int(a[0]))
        return wrong(c, "a whole number", a[0]);
    unsigned bits = self(c)[0] == 'h' ? 4 : self(c)[0] == 'o' ? 3 : 1;
    uint64_t u = a[0].i < 0 ? 0 - (uint64_t)a[0].i : (uint64_t)a[0].i;
    char text[72];
    size_t at = sizeof text;
    do
        text[--at] = "0123456789abcdef"[u & ((1u << bits) - 1)];
    while ((u >>= bits) != 0);
    text[--at] = bits == 4 ? 'x' : bits == 3 ? 'o' : 'b';
    text[--at] = '0';
    if (a[0].i < 0)
        text[--at] = '-';
    return eval_copy(c, out, text + at, sizeof text - at);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static enum status call_bool(UNUSED struct context *c, args_t a, size_t n, struct value *out)
{
    *out = value_bool(n > 0 && value_truth(a[0]));
    return OK;
}

static enum status call_len(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (a[0].type == V_STR)
        *out = value_int((int64_t)text_length(a[0].s, a[0].n));
    else if (value_is_sequence(a[0]))
        *out = value_int(a[0].n);
    else
        return wrong(c, "a text or a list", a[0]);
    return eval_charge(c, a[0].n / 32);
}

/* any() and all() */
static enum status call_any(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    const struct value *items;
    size_t count;
    bool any = self(c)[1] == 'n', found = false;
    if (eval_items(c, a[0], &items, &count) != OK)
        return FAILED;
    for (size_t i = 0; i < count && !found; i++)
        found = value_truth(items[i]) == any;
    *out = value_bool(found == any);
    return OK;
}

/* min() and max(), of a list or of the arguments */
static enum status call_min(struct context *c, args_t a, size_t n, struct value *out)
{
    int wanted = self(c)[1] == 'i' ? -1 : 1, order;
    const struct value *items = a;
    if (n == 1 && eval_items(c, a[0], &items, &n) != OK)
        return FAILED;
    if (n == 0)
        return eval_fail(c, "%s() of nothing", self(c));
    *out = items[0];
    for (size_t i = 1; i < n; i++) {
        if (eval_charge(c, 1) != OK || value_order(c, items[i], *out, &order) != OK)
            return FAILED;
        if (order == wanted)
            *out = items[i];
    }
    return OK;
}

static enum status call_sum(struct context *c, args_t a, size_t n, struct value *out)
{
    const struct value *items;
    size_t count;
    *out = n > 1 ? a[1] : value_int(0);
    if (out->type == V_STR)
        return eval_fail(c, "sum() adds numbers; join texts with ''.join()");
    if (eval_items(c, a[0], &items, &count) != OK)
        return FAILED;
    for (size_t i = 0; i < count; i++)
        if (eval_charge(c, 1) != OK || rules_binary(c, B_ADD, *out, items[i], out) != OK)
            return FAILED;
    return OK;
}

static enum status merge(struct context *c, const struct value *from, struct value *to, size_t low,
                         size_t mid, size_t high)
{
    size_t a = low, b = mid;
    for (size_t i = low; i < high; i++) {
        int order = 1;
        if (a < mid && b < high && value_order(c, from[b], from[a], &order) != OK)
            return FAILED;
        bool left = b >= high || (a < mid && order != -1);
        to[i] = left ? from[a++] : from[b++];
    }
    return eval_charge(c, high - low);
}

static enum status call_sorted(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    const struct value *items;
    size_t count;
    if (eval_items(c, a[0], &items, &count) != OK)
        return FAILED;
    struct value *from = eval_alloc(c, (count + 1) * sizeof *from);
    struct value *to = from != NULL ? eval_alloc(c, (count + 1) * sizeof *to) : NULL;
    if (to == NULL)
        return FAILED;
    memcpy(from, items, count * sizeof *from);
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t mid = low + width < count ? low + width : count;
            size_t high = low + 2 * width < count ? low + 2 * width : count;
            if (merge(c, from, to, low, mid, high) != OK)
                return FAILED;
        }
        struct value *t = from;
        from = to;
        to = t;
    }
    *out = value_items(V_LIST, from, count);
    return OK;
}

/* list(), tuple(), set(), frozenset(), reversed() */
static enum status call_list(struct context *c, args_t a, size_t n, struct value *out)
{
    static const struct value nothing;
    const struct value *items = &nothing;
    size_t count = 0;
    if (n > 0 && eval_items(c, a[0], &items, &count) != OK)
        return FAILED;
    if (self(c)[0] == 's' || self(c)[0] == 'f')
        return value_set(c, items, count, out);
    *out = value_items(self(c)[0] == 't' ? V_TUPLE : V_LIST, items, count);
    if (self(c)[0] != 'r')
        return OK;
    if (a[0].type == V_SET)
        return wrong(c, "a list or a text", a[0]);
    struct value *turned = eval_alloc(c, (count + 1) * sizeof *turned);
    if (turned == NULL)
        return FAILED;
    for (size_t i = 0; i < count; i++)
        turned[i] = items[count - 1 - i];
    out->items = turned;
    return OK;
}

static enum status call_range(struct context *c, args_t a, size_t n, struct value *out)
{
    for (size_t i = 0; i < n; i++)
        if (!value_is_int(a[i]))
            return wrong(c, "whole numbers", a[i]);
    int64_t start = n > 1 ? a[0].i : 0, stop = n > 1 ? a[1].i : a[0].i, step = n > 2 ? a[2].i : 1;
    if (step == 0)
        return eval_fail(c, "range(): the step cannot be 0");
    size_t count = 0;
    bool end = false;
    for (int64_t i = start; !end && (step > 0 ? i < stop : i > stop); count++) {
        if (eval_charge(c, 1) != OK)
            return FAILED;
        end = __builtin_add_overflow(i, step, &i);
    }
    struct value *items = eval_alloc(c, (count + 1) * sizeof *items);
    if (items == NULL)
        return FAILED;
    for (size_t i = 0; i < count; i++)
        items[i] = value_int(start + (int64_t)i * step);
    *out = value_items(V_LIST, items, count);
    return OK;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static enum status call_abs(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (!value_is_number(a[0]))
        return wrong(c, "a number", a[0]);
    if (a[0].type == V_FLOAT) {
        *out = value_float(fabs(a[0].f));
        return OK;
    }
    return rules_unary(c, a[0].i < 0 ? '-' : '+', a[0], out);
}

/* Half goes to the even digit, as in Python. */
static double round_digits(double f, int64_t digits)
{
    char text[400];
    if (isnan(f) || isinf(f) || digits > 22)
        return f;
    if (digits >= 0) {
        (void)snprintf(text, sizeof text, "%.*f", (int)digits, f);
        return strtod(text, NULL);
    }
    double scale = digits < -308 ? INFINITY : pow(10, (double)-digits);
    return isinf(scale) ? copysign(0.0, f) : rint(f / scale) * scale;
}

static enum status call_round(struct context *c, args_t a, size_t n, struct value *out)
{
    if (!value_is_number(a[0]))
        return wrong(c, "a number", a[0]);
    bool digits = n > 1 && a[1].type != V_NONE;
    if (digits && !value_is_int(a[1]))
        return eval_fail(c, "round(): the number of digits is a whole number");
    if (a[0].type != V_FLOAT && (!digits || a[1].i >= 0))
        *out = value_int(a[0].i);
    else if (a[0].type != V_FLOAT)
        return float_to_int(c, round_digits((double)a[0].i, a[1].i), out);
    else if (!digits)
        return float_to_int(c, rint(a[0].f), out);
    else
        *out = value_float(round_digits(a[0].f, a[1].i));
    return OK;
}

/* floor(), ceil(), trunc() */
static enum status call_floor(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (!value_is_number(a[0]))
        return wrong(c, "a number", a[0]);
    if (a[0].type != V_FLOAT) {
        *out = value_int(a[0].i);
        return OK;
    }
    char which = self(c)[0];
    return float_to_int(c,
                        which == 'f'   ? floor(a[0].f)
                        : which == 'c' ? ceil(a[0].f)
                                       : trunc(a[0].f),
                        out);
}

static enum status call_pow(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return rules_binary(c, B_POW, a[0], a[1], out);
}

static enum status call_divmod(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    struct value *items = eval_alloc(c, 2 * sizeof *items);
    if (items == NULL)
        return FAILED;
    if (!value_is_number(a[0]) || !value_is_number(a[1]))
        return eval_fail(c, "divmod() needs two numbers");
    if (rules_binary(c, B_FLOORDIV, a[0], a[1], &items[0]) != OK ||
        rules_binary(c, B_MOD, a[0], a[1], &items[1]) != OK)
        return FAILED;
    *out = value_items(V_TUPLE, items, 2);
    return OK;
}

static enum status call_log(struct context *c, args_t a, size_t n, struct value *out)
{
    for (size_t i = 0; i < n; i++) {
        if (!value_is_number(a[i]))
            return wrong(c, "a number", a[i]);
        if (value_double(a[i]) <= 0)
            return eval_fail(c, "log() of a number that is not above 0");
    }
    double base = n > 1 ? log(value_double(a[1])) : 1;
    if (base == 0)
        return eval_fail(c, "division by zero");
    *out = value_float(log(value_double(a[0])) / base);
    return OK;
}

static enum status call_atan2(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (!value_is_number(a[0]) || !value_is_number(a[1]))
        return eval_fail(c, "atan2() needs two numbers");
    *out = value_float(atan2(value_double(a[0]), value_double(a[1])));
    return OK;
}

static enum status call_isnan(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (!value_is_number(a[0]))
        return wrong(c, "a number", a[0]);
    double f = value_double(a[0]);
    *out = value_bool(self(c)[2] == 'n' ? isnan(f) : isinf(f));
    return OK;
}

static enum status call_factorial(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (!value_is_int(a[0]))
        return wrong(c, "a whole number", a[0]);
    if (a[0].i < 0 || a[0].i > 20)
        return eval_fail(c, "factorial() takes 0 to 20");
    int64_t r = 1;
    for (int64_t i = 2; i <= a[0].i; i++)
        r *= i;
    *out = value_int(r);
    return OK;
}

static enum status call_math(struct context *c, const struct builtin *b, struct value v,
                             struct value *out)
{
    if (!value_is_number(v))
        return wrong(c, "a number", v);
    double f = value_double(v), r = b->math(f);
    if ((isnan(r) && !isnan(f)) || (isinf(r) && !isinf(f)))
        return eval_fail(c, "%s() has no value there", b->name);
    *out = value_float(r);
    return OK;
}

enum status rules_call(struct context *c, const struct builtin *b, const struct value *args,
                       size_t n, struct value *out)
{
    return b->math != NULL ? call_math(c, b, args[0], out) : b->call(c, args, n, out);
}

#define ANY_NUMBER UINT8_MAX

static const struct builtin functions[] = {
    {"float", 0, 1, call_float},
    {"int", 0, 2, call_int},
    {"str", 0, 1, call_str},
    {"len", 1, 1, call_len},
    {"bool", 0, 1, call_bool},
    {"any", 1, 1, call_any},
    {"all", 1, 1, call_any},
    {"min", 1, ANY_NUMBER, call_min},
    {"max", 1, ANY_NUMBER, call_min},
    {"sum", 1, 2, call_sum},
    {"abs", 1, 1, call_abs},
    {"round", 1, 2, call_round},
    {"sorted", 1, 1, call_sorted},
    {"reversed", 1, 1, call_list},
    {"list", 0, 1, call_list},
    {"tuple", 0, 1, call_list},
    {"set", 0, 1, call_list},
    {"frozenset", 0, 1, call_list},
    {"range", 1, 3, call_range},
    {"repr", 1, 1, call_repr},
    {"chr", 1, 1, call_chr},
    {"ord", 1, 1, call_ord},
    {"hex", 1, 1, call_based},
    {"oct", 1, 1, call_based},
    {"bin", 1, 1, call_based},
    {"pow", 2, 2, call_pow},
    {"divmod", 2, 2, call_divmod},
    {"floor", 1, 1, call_floor},
    {"ceil", 1, 1, call_floor},
    {"trunc", 1, 1, call_floor},
    {"log", 1, 2, call_log},
    {"atan2", 2, 2, call_atan2},
    {"isnan", 1, 1, call_isnan},
    {"isinf", 1, 1, call_isnan},
    {"factorial", 1, 1, call_factorial},
    {"sqrt", 1, 1, .math = sqrt},
    {"fabs", 1, 1, .math = fabs},
    {"exp", 1, 1, .math = exp},
    {"log10", 1, 1, .math = log10},
    {"log2", 1, 1, .math = log2},
    {"sin", 1, 1, .math = sin},
    {"cos", 1, 1, .math = cos},
    {"tan", 1, 1, .math = tan},
    {"asin", 1, 1, .math = asin},
    {"acos", 1, 1, .math = acos},
    {"atan", 1, 1, .math = atan},
};

const struct builtin *rules_function(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (slice_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}
