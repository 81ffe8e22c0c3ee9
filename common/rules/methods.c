/*
 * Methods of texts (and count, index of lists). Positions are characters, as in Python; case
 * follows Unicode's simple mappings (and ß, which becomes SS).
 */
#include "rules/rules_priv.h"

typedef const struct value *args_t;

#define UNUSED __attribute__((unused))

static const char *self(const struct context *c)
{
    return c->at->builtin->name;
}

static bool is_none(args_t a, size_t n, size_t i)
{
    return i >= n || a[i].type == V_NONE;
}

/* The receiver and the first n arguments must be texts. */
static enum status need_texts(struct context *c, args_t a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].type != V_STR)
            return eval_fail(c, ".%s() needs a text, not %s", self(c), value_type_name(a[i]));
    return OK;
}

static enum status give_count(struct value *out, int64_t i)
{
    *out = value_int(i);
    return OK;
}

/* ---- case ------------------------------------------------------------------------------------ */

static bool is_upper(uint32_t c)
{
    return text_lower(c) != c;
}

static bool is_lower(uint32_t c)
{
    return text_upper(c) != c || c == 0xDF;
}

static uint32_t fold(uint32_t c)
{
    return c == 0x3C2 ? 0x3C3 : c == 0xB5 ? 0x3BC : c == 0x17F ? 's' : text_lower(c);
}

/* One character in the manner of the method: first letter of its name, and what stands before. */
static uint32_t convert(char method, uint32_t code, bool first, bool after_letter)
{
    switch (method) {
    case 'l':
        return text_lower(code);
    case 'u':
        return text_upper(code);
    case 's':
        return is_upper(code) ? text_lower(code) : text_upper(code);
    case 't':
        return after_letter ? text_lower(code) : text_upper(code);
    default: /* capitalize */
        return first ? text_upper(code) : text_lower(code);
    }
}

/* lower upper casefold swapcase title capitalize */
static enum status call_case(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    struct value v = a[0];
    if (need_texts(c, a, 1) != OK || eval_charge(c, v.n / 32) != OK)
        return FAILED;
    char *text = eval_alloc(c, v.n * 2 + 4); /* no mapping makes more than 3 bytes of 2 */
    if (text == NULL)
        return FAILED;
    char method = self(c)[0];
    bool folding = strcmp(self(c), "casefold") == 0, letter = false;
    size_t at = 0;
    for (size_t i = 0, len; i < v.n; i += len) {
        uint32_t code;
        len = text_decode(v.s + i, v.n - i, &code);
        uint32_t to = folding ? fold(code) : convert(method, code, i == 0, letter);
        bool up = method == 'u' || method == 's' || (method == 't' && !letter) ||
                  (method == 'c' && i == 0);
        letter = is_upper(code) || is_lower(code);
        if (code == 0xDF && (folding || up)) {
            text[at++] = folding ? 's' : 'S';
            text[at++] = folding || method == 't' || method == 'c' ? 's' : 'S';
        } else if (to == code) {
            memcpy(text + at, v.s + i, len);
            at += len;
        } else {
            at += text_encode(text + at, to);
        }
    }
    *out = value_str(text, at);
    return OK;
}

/* ---- questions about every character --------------------------------------------------------- */

static bool is_alnum(uint32_t c)
{
    return text_is_alpha(c) || text_is_numeric(c);
}

static bool is_ascii(uint32_t c)
{
    return c < 128;
}

static enum status every(struct context *c, args_t a, bool (*test)(uint32_t), bool of_empty,
                         struct value *out)
{
    if (need_texts(c, a, 1) != OK || eval_charge(c, a[0].n / 32) != OK)
        return FAILED;
    bool all = a[0].n > 0 || of_empty;
    uint32_t code;
    for (size_t i = 0; i < a[0].n && all; all = test(code))
        i += text_decode(a[0].s + i, a[0].n - i, &code);
    *out = value_bool(all);
    return OK;
}

static enum status call_isalpha(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, text_is_alpha, false, out);
}
static enum status call_isalnum(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, is_alnum, false, out);
}
static enum status call_isdecimal(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, text_is_decimal, false, out);
}
static enum status call_isdigit(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, text_is_digit, false, out);
}
static enum status call_isnumeric(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, text_is_numeric, false, out);
}
static enum status call_isspace(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, text_is_space, false, out);
}
static enum status call_isascii(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    return every(c, a, is_ascii, true, out);
}

/* islower and isupper: at least one letter with case, and none of the other case */
static enum status call_islower(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    if (need_texts(c, a, 1) != OK || eval_charge(c, a[0].n / 32) != OK)
        return FAILED;
    bool lower = self(c)[2] == 'l', found = false, other = false;
    uint32_t code;
    for (size_t i = 0; i < a[0].n;) {
        i += text_decode(a[0].s + i, a[0].n - i, &code);
        found = found || (lower ? is_lower(code) : is_upper(code));
        other = other || (lower ? is_upper(code) : is_lower(code));
    }
    *out = value_bool(found && !other);
    return OK;
}

/* ---- finding --------------------------------------------------------------------------------- */

struct window {
    struct slice text;
    int64_t first; /* characters before it */
    bool beyond;   /* begins after the end: nothing is there, not even '' */
};

/* The part of the receiver that arguments 2 and 3 (start, end) name. */
static enum status window(struct context *c, args_t a, size_t n, struct window *w)
{
    struct value part;
    *w = (struct window){.text = {a[0].s, a[0].n}};
    if (eval_charge(c, a[0].n / 32) != OK)
        return FAILED;
    if (is_none(a, n, 2) && is_none(a, n, 3))
        return OK;
    const struct value *start = is_none(a, n, 2) ? NULL : &a[2],
                       *end = is_none(a, n, 3) ? NULL : &a[3];
    if (rules_slice(c, a[0], start, end, NULL, &part) != OK)
        return FAILED;
    w->text = (struct slice){part.s, part.n};
    w->first = (int64_t)text_length(a[0].s, (size_t)(part.s - a[0].s));
    int64_t all = (int64_t)text_length(a[0].s, a[0].n), from = start != NULL ? start->i : 0;
    int64_t to = end == NULL ? all : end->i < 0 ? end->i + all : end->i < all ? end->i : all;
    from = from < 0 ? (from + all > 0 ? from + all : 0) : from;
    w->beyond = from > (to > 0 ? to : 0);
    return OK;
}

static const char *find_last(struct context *c, struct slice in, struct value what)
{
    if (what.n > in.n)
        return NULL;
    for (size_t i = in.n - what.n + 1; i-- > 0;) {
        if (what.n > 0 && in.p[i] != what.s[0])
            continue;
        if (eval_charge(c, 1 + what.n / 32) != OK)
            return NULL;
        if (memcmp(in.p + i, what.s, what.n) == 0)
            return in.p + i;
    }
    return NULL;
}

static enum status find_item(struct context *c, args_t a, size_t n, struct value *out)
{
    bool counting = self(c)[0] == 'c', same;
    int64_t count = 0;
    if (n > 2)
        return eval_fail(c, ".%s() of a list takes one argument", self(c));
    for (uint32_t i = 0; i < a[0].n; i++) {
        if (eval_charge(c, 1) != OK || value_equal(c, a[0].items[i], a[1], &same) != OK)
            return FAILED;
        if (same && !counting)
            return give_count(out, i);
        count += same;
    }
    return counting ? give_count(out, count) : eval_fail(c, ".index(): it is not in the list");
}

static bool lists(struct value v)
{
    return v.type == V_LIST || v.type == V_TUPLE;
}

/* find rfind index rindex */
static enum status call_find(struct context *c, args_t a, size_t n, struct value *out)
{
    struct window w;
    bool last = self(c)[0] == 'r', must = self(c)[last] == 'i';
    if (must && !last && lists(a[0]))
        return find_item(c, a, n, out);
    if (need_texts(c, a, 2) != OK || window(c, a, n, &w) != OK)
        return FAILED;
    const char *found = NULL;
    if (!w.beyond)
        found = last          ? find_last(c, w.text, a[1])
                : a[1].n == 0 ? w.text.p
                              : memmem(w.text.p, w.text.n, a[1].s, a[1].n);
    if (c->steps > RULES_STEPS_MAX)
        return FAILED;
    if (found != NULL)
        return give_count(out,
                          w.first + (int64_t)text_length(w.text.p, (size_t)(found - w.text.p)));
    return must ? eval_fail(c, ".%s(): it is not in the text", self(c)) : give_count(out, -1);
}

/* Occurrences without overlap, at most max. */
static size_t occurrences(struct slice in, struct value what, size_t max)
{
    if (what.n == 0) {
        size_t n = text_length(in.p, in.n) + 1;
        return n < max ? n : max;
    }
    size_t count = 0;
    const char *end = in.p + in.n;
    for (const char *p = in.p; count < max; count++) {
        p = memmem(p, (size_t)(end - p), what.s, what.n);
        if (p == NULL)
            break;
        p += what.n;
    }
    return count;
}

static enum status call_count(struct context *c, args_t a, size_t n, struct value *out)
{
    struct window w;
    if (lists(a[0]))
        return find_item(c, a, n, out);
    if (need_texts(c, a, 2) != OK || window(c, a, n, &w) != OK)
        return FAILED;
    size_t count = w.beyond ? 0 : occurrences(w.text, a[1], SIZE_MAX);
    return eval_charge(c, count / 32) == OK ? give_count(out, (int64_t)count) : FAILED;
}

static bool at_edge(const char *p, size_t n, struct value v, bool end)
{
    return v.n <= n && (v.n == 0 || memcmp(end ? p + n - v.n : p, v.s, v.n) == 0);
}

/* startswith, endswith: of one text or of any in a tuple */
static enum status call_startswith(struct context *c, args_t a, size_t n, struct value *out)
{
    struct window w;
    bool end = self(c)[0] == 'e', tuple = a[1].type == V_TUPLE, found = false;
    const struct value *options = tuple ? a[1].items : &a[1];
    size_t count = tuple ? a[1].n : 1;
    if (need_texts(c, a, 1) != OK || window(c, a, n, &w) != OK)
        return FAILED;
    for (size_t i = 0; i < count && !found; i++) {
        if (options[i].type != V_STR)
            return eval_fail(c, ".%s() needs a text or a tuple of texts", self(c));
        if (eval_charge(c, 1) != OK)
            return FAILED;
        found = !w.beyond && at_edge(w.text.p, w.text.n, options[i], end);
    }
    *out = value_bool(found);
    return OK;
}

/* removeprefix, removesuffix */
static enum status call_remove(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    bool end = self(c)[6] == 's';
    if (need_texts(c, a, 2) != OK)
        return FAILED;
    *out = a[0];
    if (!at_edge(a[0].s, a[0].n, a[1], end))
        return OK;
    out->n -= a[1].n;
    out->s += end ? 0 : a[1].n;
    return OK;
}

/* ---- stripping ------------------------------------------------------------------------------- */

static struct slice strip_chars(struct slice s, struct value chars, bool left, bool right)
{
    uint32_t code;
    while (left && s.n > 0) {
        size_t len = text_decode(s.p, s.n, &code);
        if (memmem(chars.s, chars.n, s.p, len) == NULL)
            break;
        s.p += len;
        s.n -= len;
    }
    while (right && s.n > 0) {
        size_t len = text_last(s.p, s.n, &code);
        if (memmem(chars.s, chars.n, s.p + s.n - len, len) == NULL)
            break;
        s.n -= len;
    }
    return s;
}

static enum status call_strip(struct context *c, args_t a, size_t n, struct value *out)
{
    bool left = self(c)[0] != 'r', right = self(c)[0] != 'l';
    struct slice s = {a[0].s, a[0].n};
    if (need_texts(c, a, is_none(a, n, 1) ? 1 : 2) != OK)
        return FAILED;
    size_t chars = is_none(a, n, 1) ? 1 : a[1].n;
    if (eval_charge(c, a[0].n / 32 * (1 + chars / 32)) != OK)
        return FAILED;
    s = is_none(a, n, 1) ? text_strip(s, left, right) : strip_chars(s, a[1], left, right);
    *out = value_str(s.p, s.n);
    return OK;
}

/* ---- making new texts ------------------------------------------------------------------------ */

/* '' is found before every character and at the end. */
static size_t replace_empty(char *to, struct value v, struct value with, size_t count)
{
    size_t at = 0;
    uint32_t code;
    for (size_t i = 0;; count -= count > 0) {
        if (count > 0) {
            memcpy(to + at, with.s, with.n);
            at += with.n;
        }
        if (i >= v.n)
            return at;
        size_t len = text_decode(v.s + i, v.n - i, &code);
        memcpy(to + at, v.s + i, len);
        at += len;
        i += len;
    }
}

static size_t replace_text(char *to, struct value v, struct value what, struct value with,
                           size_t count)
{
    size_t at = 0;
    const char *p = v.s, *end = v.s + v.n;
    for (; count > 0; count--) {
        const char *found = memmem(p, (size_t)(end - p), what.s, what.n);
        memcpy(to + at, p, (size_t)(found - p));
        at += (size_t)(found - p);
        memcpy(to + at, with.s, with.n);
        at += with.n;
        p = found + what.n;
    }
    memcpy(to + at, p, (size_t)(end - p));
    return at + (size_t)(end - p);
}

static enum status limit(struct context *c, args_t a, size_t n, size_t i, size_t *out)
{
    *out = SIZE_MAX;
    if (i >= n)
        return OK;
    if (!value_is_int(a[i]))
        return eval_fail(c, ".%s(): the count is a whole number", self(c));
    if (a[i].i >= 0)
        *out = (size_t)a[i].i;
    return OK;
}

static enum status call_replace(struct context *c, args_t a, size_t n, struct value *out)
{
    size_t count, size;
    if (need_texts(c, a, 3) != OK || limit(c, a, n, 3, &count) != OK ||
        eval_charge(c, a[0].n / 32) != OK)
        return FAILED;
    count = occurrences((struct slice){a[0].s, a[0].n}, a[1], count);
    size = a[0].n - count * a[1].n + count * a[2].n;
    if (count == 0) {
        *out = a[0];
        return OK;
    }
    char *text = eval_alloc(c, size);
    if (text == NULL || eval_charge(c, size / 32) != OK)
        return FAILED;
    if (a[1].n == 0)
        (void)replace_empty(text, a[0], a[2], count);
    else
        (void)replace_text(text, a[0], a[1], a[2], count);
    *out = value_str(text, size);
    return OK;
}

static enum status call_join(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    const struct value *items;
    size_t count, size = 0, at = 0;
    if (need_texts(c, a, 1) != OK || eval_items(c, a[1], &items, &count) != OK)
        return FAILED;
    for (size_t i = 0; i < count; i++) {
        if (items[i].type != V_STR)
            return eval_fail(c, ".join() needs texts, not %s", value_type_name(items[i]));
        size += items[i].n + (i > 0 ? a[0].n : 0);
    }
    char *text = eval_alloc(c, size);
    if (text == NULL || eval_charge(c, size / 32) != OK)
        return FAILED;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            memcpy(text + at, a[0].s, a[0].n);
        at += i > 0 ? a[0].n : 0;
        memcpy(text + at, items[i].s, items[i].n);
        at += items[i].n;
    }
    *out = value_str(text, size);
    return OK;
}

/* left, then the text from `from` on, then right: fills, each of one character */
static enum status pad(struct context *c, struct value v, size_t from, size_t left, size_t right,
                       struct slice fill, struct value *out)
{
    if (left > RULES_SCRATCH_MAX || right > RULES_SCRATCH_MAX)
        left = right = RULES_SCRATCH_MAX;
    size_t size = v.n + (left + right) * fill.n, at = from;
    char *text = eval_alloc(c, size);
    if (text == NULL || eval_charge(c, size / 32) != OK)
        return FAILED;
    memcpy(text, v.s, from);
    for (size_t i = 0; i < left; i++, at += fill.n)
        memcpy(text + at, fill.p, fill.n);
    memcpy(text + at, v.s + from, v.n - from);
    at += v.n - from;
    for (size_t i = 0; i < right; i++, at += fill.n)
        memcpy(text + at, fill.p, fill.n);
    *out = value_str(text, size);
    return OK;
}

/* zfill center ljust rjust */
static enum status call_pad(struct context *c, args_t a, size_t n, struct value *out)
{
    char how = self(c)[0];
    uint32_t code;
    struct slice fill = how == 'z' ? SLICE("0") : SLICE(" ");
    if (need_texts(c, a, 1) != OK)
        return FAILED;
    if (!value_is_int(a[1]))
        return eval_fail(c, ".%s() needs a whole number", self(c));
    if (n > 2) {
        if (a[2].type != V_STR || a[2].n == 0 || text_decode(a[2].s, a[2].n, &code) != a[2].n)
            return eval_fail(c, ".%s() fills with one character", self(c));
        fill = (struct slice){a[2].s, a[2].n};
    }
    int64_t have = (int64_t)text_length(a[0].s, a[0].n);
    *out = a[0];
    if (a[1].i <= have)
        return OK;
    size_t more = (size_t)(a[1].i - have), left = more;
    if (how == 'l')
        left = 0;
    else if (how == 'c') /* Python's side for the odd one */
        left = more / 2 + (more & (size_t)a[1].i & 1);
    bool sign = how == 'z' && a[0].n > 0 && (a[0].s[0] == '+' || a[0].s[0] == '-');
    return pad(c, a[0], sign, left, more - left, fill, out);
}

/* ---- splitting ------------------------------------------------------------------------------- */

struct pieces {
    struct value *items;
    size_t n;
};

static void piece(struct pieces *to, const char *p, size_t n)
{
    to->items[to->n++] = value_str(p, n);
}

static size_t space_run(const char *p, const char *end, bool space)
{
    size_t at = 0;
    uint32_t code;
    while (p + at < end) {
        size_t len = text_decode(p + at, (size_t)(end - p) - at, &code);
        if (text_is_space(code) != space)
            break;
        at += len;
    }
    return at;
}

static void split_blank(struct pieces *to, struct slice s, size_t max)
{
    const char *p = s.p, *end = s.p + s.n;
    for (;; max--) {
        p += space_run(p, end, true);
        if (p == end)
            return;
        if (max == 0)
            break;
        size_t len = space_run(p, end, false);
        piece(to, p, len);
        p += len;
    }
    piece(to, p, (size_t)(end - p));
}

static void split_by(struct pieces *to, struct slice s, struct value by, size_t max)
{
    const char *p = s.p, *end = s.p + s.n;
    for (; max > 0; max--) {
        const char *found = memmem(p, (size_t)(end - p), by.s, by.n);
        if (found == NULL)
            break;
        piece(to, p, (size_t)(found - p));
        p = found + by.n;
    }
    piece(to, p, (size_t)(end - p));
}

static enum status call_split(struct context *c, args_t a, size_t n, struct value *out)
{
    size_t max;
    bool blank = is_none(a, n, 1);
    if (need_texts(c, a, blank ? 1 : 2) != OK || limit(c, a, n, 2, &max) != OK)
        return FAILED;
    if (!blank && a[1].n == 0)
        return eval_fail(c, ".split() needs a text that is not empty");
    struct slice s = {a[0].s, a[0].n};
    size_t count = blank ? s.n / 2 + 1 : occurrences(s, a[1], max) + 1;
    struct pieces to = {.items = eval_alloc(c, count * sizeof(struct value))};
    if (to.items == NULL || eval_charge(c, s.n / 32 + count / 4) != OK)
        return FAILED;
    if (blank)
        split_blank(&to, s, max);
    else
        split_by(&to, s, a[1], max);
    *out = value_items(V_LIST, to.items, to.n);
    return OK;
}

/* partition, rpartition */
static enum status call_partition(struct context *c, args_t a, UNUSED size_t n, struct value *out)
{
    bool last = self(c)[0] == 'r';
    struct slice s = {a[0].s, a[0].n};
    if (need_texts(c, a, 2) != OK || eval_charge(c, a[0].n / 32) != OK)
        return FAILED;
    if (a[1].n == 0)
        return eval_fail(c, ".%s() needs a text that is not empty", self(c));
    struct value *parts = eval_alloc(c, 3 * sizeof *parts);
    if (parts == NULL)
        return FAILED;
    const char *found = last ? find_last(c, s, a[1]) : memmem(s.p, s.n, a[1].s, a[1].n);
    if (c->steps > RULES_STEPS_MAX)
        return FAILED;
    struct value none = value_str("", 0);
    parts[0] = found != NULL ? value_str(s.p, (size_t)(found - s.p)) : last ? none : a[0];
    parts[1] = found != NULL ? a[1] : none;
    parts[2] = found != NULL ? value_str(found + a[1].n, (size_t)(s.p + s.n - found) - a[1].n)
               : last        ? a[0]
                             : none;
    *out = value_items(V_TUPLE, parts, 3);
    return OK;
}

static const struct builtin methods[] = {
    {"lower", 0, 0, call_case},
    {"upper", 0, 0, call_case},
    {"casefold", 0, 0, call_case},
    {"swapcase", 0, 0, call_case},
    {"title", 0, 0, call_case},
    {"capitalize", 0, 0, call_case},
    {"strip", 0, 1, call_strip},
    {"lstrip", 0, 1, call_strip},
    {"rstrip", 0, 1, call_strip},
    {"startswith", 1, 3, call_startswith},
    {"endswith", 1, 3, call_startswith},
    {"find", 1, 3, call_find},
    {"rfind", 1, 3, call_find},
    {"index", 1, 3, call_find},
    {"rindex", 1, 3, call_find},
    {"count", 1, 3, call_count},
    {"replace", 2, 3, call_replace},
    {"split", 0, 2, call_split},
    {"join", 1, 1, call_join},
    {"partition", 1, 1, call_partition},
    {"rpartition", 1, 1, call_partition},
    {"removeprefix", 1, 1, call_remove},
    {"removesuffix", 1, 1, call_remove},
    {"zfill", 1, 1, call_pad},
    {"center", 1, 2, call_pad},
    {"ljust", 1, 2, call_pad},
    {"rjust", 1, 2, call_pad},
    {"isalpha", 0, 0, call_isalpha},
    {"isalnum", 0, 0, call_isalnum},
    {"isdecimal", 0, 0, call_isdecimal},
    {"isdigit", 0, 0, call_isdigit},
    {"isnumeric", 0, 0, call_isnumeric},
    {"isspace", 0, 0, call_isspace},
    {"isascii", 0, 0, call_isascii},
    {"islower", 0, 0, call_islower},
    {"isupper", 0, 0, call_islower},
};

enum status rules_receiver(struct context *c, const struct builtin *b, struct value receiver)
{
    bool also_lists = strcmp(b->name, "count") == 0 || strcmp(b->name, "index") == 0;
    if (receiver.type == V_STR || (also_lists && lists(receiver)))
        return OK;
    return eval_fail(c, ".%s() is of a text, not of %s", b->name, value_type_name(receiver));
}

const struct builtin *rules_method(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (slice_is(name, methods[i].name))
            return &methods[i];
    return NULL;
}
