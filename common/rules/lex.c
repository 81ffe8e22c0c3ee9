/*
 * Text to tokens, one at a time: Python's, plus mercure's legacy @Name@. Strings and numbers come
 * out as values. Refusals say what to write instead.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/rules_priv.h"

int rules_fail(struct err *e, const char *text, size_t at, const char *fmt, ...)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    char reason[200];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_REJECT, (int)at, "%zu:%zu: %s", line,
                   text_length(text + start, at - start) + 1, reason);
}

#define FAIL(l, at, ...) rules_fail((l)->err, (l)->text, at, __VA_ARGS__)

static int peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->n ? (unsigned char)l->text[l->at + ahead] : 0;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

struct slice lex_text(const struct lexer *l)
{
    return (struct slice){l->text + l->token.start, l->token.end - l->token.start};
}

/* ---- white space ----------------------------------------------------------------------------- */

/* Skips blanks and comments, inside brackets newlines too, and a backslash before a newline. */
static void skip_blank(struct lexer *l)
{
    for (;;) {
        int c = peek(l, 0);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || (c == '\n' && l->open > 0))
            l->at++;
        else if (c == '\\' && peek(l, 1) == '\n')
            l->at += 2;
        else if (c == '#')
            while (l->at < l->n && l->text[l->at] != '\n')
                l->at++;
        else
            return;
    }
}

/* ---- strings --------------------------------------------------------------------------------- */

static int hex_value(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH; l->at is on the letter */
static int hex_escape(struct lexer *l, struct str *out, int digits)
{
    uint32_t code = 0;
    size_t at = l->at - 1;
    l->at++;
    for (int i = 0; i < digits; i++, l->at++) {
        int v = hex_value(peek(l, 0));
        if (v < 0)
            return FAIL(l, at, "this escape needs %d hexadecimal digits", digits);
        code = code << 4 | (uint32_t)v;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return FAIL(l, at, "this escape is no character");
    char buffer[4];
    str_append(out, buffer, text_encode(buffer, code));
    return 0;
}

static void octal_escape(struct lexer *l, struct str *out)
{
    uint32_t code = 0;
    for (int i = 0; i < 3 && peek(l, 0) >= '0' && peek(l, 0) <= '7'; i++, l->at++)
        code = code * 8 + (uint32_t)(peek(l, 0) - '0');
    char buffer[4];
    str_append(out, buffer, text_encode(buffer, code));
}

/* l->at is behind the backslash. An unknown escape stays as it is written, as in Python. */
static int escape(struct lexer *l, struct str *out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    int c = peek(l, 0);
    if (c == 'x' || c == 'u' || c == 'U')
        return hex_escape(l, out, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    if (c == 'N')
        return FAIL(l, l->at - 1, "\\N{...} is not available; write the character itself");
    if (c >= '0' && c <= '7') {
        octal_escape(l, out);
        return 0;
    }
    const char *found = c != 0 ? strchr(from, c) : NULL;
    l->at += c != 0;
    if (found != NULL)
        str_putc(out, to[found - from]);
    else if (c != '\n') {
        str_putc(out, '\\');
        if (c != 0)
            str_putc(out, (char)c);
    }
    return 0;
}

static int string_body(struct lexer *l, struct str *out, bool raw)
{
    size_t start = l->at;
    int quote = peek(l, 0);
    if (peek(l, 1) == quote && peek(l, 2) == quote)
        return FAIL(l, start, "triple-quoted strings are not available; use ' or \" once");
    for (l->at++; peek(l, 0) != quote;) {
        int c = peek(l, 0);
        if (l->at >= l->n || c == '\n')
            return FAIL(l, start, "this string is not closed");
        l->at++;
        if (c == '\\' && !raw) {
            if (escape(l, out) < 0)
                return -1;
            continue;
        }
        str_putc(out, (char)c);
        if (c == '\\' && l->at < l->n && peek(l, 0) != '\n')
            str_putc(out, l->text[l->at++]);
    }
    l->at++;
    return 0;
}

/* How many letters of a string prefix stand here (0: no string), or -1. */
static int string_prefix(struct lexer *l, bool *raw)
{
    int n = 0;
    while (n < 3 && is_name(peek(l, (size_t)n)) && !is_digit(peek(l, (size_t)n)))
        n++;
    int quote = peek(l, (size_t)n);
    *raw = false;
    if (n > 2 || (quote != '\'' && quote != '"'))
        return 0;
    for (int i = 0; i < n; i++) {
        int c = peek(l, (size_t)i) | 32;
        if (c == 'f')
            return FAIL(l, l->at, "f-strings are not available; compare or join strings with +");
        if (c == 'b')
            return FAIL(l, l->at, "byte strings are not available; leave out the b");
        if (c != 'r' && c != 'u')
            return 0;
        *raw = *raw || c == 'r';
    }
    return n;
}

/* Neighbouring literals are one string, as in Python. */
static int lex_string(struct lexer *l)
{
    struct str out = STR_INIT;
    int rc = 0;
    for (;;) {
        bool raw;
        int prefix = string_prefix(l, &raw);
        int quote = prefix < 0 ? 0 : peek(l, (size_t)prefix);
        if (prefix < 0 || (quote != '\'' && quote != '"')) {
            rc = prefix < 0 ? -1 : 0;
            break;
        }
        l->at += (size_t)prefix;
        rc = string_body(l, &out, raw);
        if (rc < 0)
            break;
        l->token.end = (uint32_t)l->at;
        skip_blank(l);
    }
    l->token.kind = T_VALUE;
    l->token.value = value_str(arena_strndup(l->arena, str_cstr(&out), out.len), out.len);
    str_free(&out);
    return rc;
}

/* ---- numbers --------------------------------------------------------------------------------- */

#define NUMBER_MAX 64

/* Copies digits (with single underscores between them) to out; the number of characters. */
static size_t take_digits(struct lexer *l, char *out, size_t used, int base)
{
    for (;;) {
        int c = peek(l, 0);
        int next = c == '_' ? peek(l, 1) : c;
        int v = hex_value(next);
        if (v < 0 || v >= base || (c == '_' && used == 0) || used + 1 >= NUMBER_MAX)
            return used;
        l->at += c == '_' ? 2 : 1;
        out[used++] = (char)next;
    }
}

static int int_token(struct lexer *l, const char *digits, int base)
{
    errno = 0;
    unsigned long long v = strtoull(digits, NULL, base);
    if (errno != 0 || v > INT64_MAX)
        return FAIL(l, l->token.start, "this number is too large");
    l->token.value = value_int((int64_t)v);
    return 0;
}

static int lex_based(struct lexer *l, int base)
{
    char digits[NUMBER_MAX];
    l->at += 2;
    if (peek(l, 0) == '_')
        l->at++;
    size_t n = take_digits(l, digits, 0, base);
    digits[n] = '\0';
    if (n == 0)
        return FAIL(l, l->token.start, "this number has no digits");
    return int_token(l, digits, base);
}

static int lex_decimal(struct lexer *l)
{
    char digits[NUMBER_MAX + 1];
    bool is_float = false;
    size_t n = take_digits(l, digits, 0, 10);
    size_t whole = n;
    if (peek(l, 0) == '.' && n + 1 < NUMBER_MAX) {
        is_float = true;
        digits[n++] = l->text[l->at++];
        n = take_digits(l, digits, n, 10);
    }
    int sign = peek(l, 1) == '+' || peek(l, 1) == '-';
    if ((peek(l, 0) | 32) == 'e' && is_digit(peek(l, sign ? 2 : 1)) && n + 3 < NUMBER_MAX) {
        is_float = true;
        for (int i = 0; i < 1 + sign; i++)
            digits[n++] = l->text[l->at++];
        n = take_digits(l, digits, n, 10);
    }
    digits[n] = '\0';
    if (n + 1 >= NUMBER_MAX)
        return FAIL(l, l->token.start, "this number is too long");
    if (!is_float && whole > 1 && digits[0] == '0' && strspn(digits, "0") != whole)
        return FAIL(l, l->token.start, "a number does not begin with 0; a tag's text does: '%s'",
                    digits);
    if (!is_float)
        return int_token(l, digits, 10);
    l->token.value = value_float(strtod(digits, NULL));
    return 0;
}

static int lex_number(struct lexer *l)
{
    int second = peek(l, 1) | 32;
    int base = peek(l, 0) != '0' ? 0
               : second == 'x'   ? 16
               : second == 'o'   ? 8
               : second == 'b'   ? 2
                                 : 0;
    l->token.kind = T_VALUE;
    if ((base != 0 ? lex_based(l, base) : lex_decimal(l)) < 0)
        return -1;
    if ((peek(l, 0) | 32) == 'j')
        return FAIL(l, l->token.start, "complex numbers are not available");
    if (is_name(peek(l, 0)))
        return FAIL(l, l->at, "a number ends here without a blank or an operator");
    return 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */

#define TAG_NAME_MAX 128

static int lex_legacy(struct lexer *l)
{
    size_t start = l->at + 1, end = start;
    while (end < l->n && l->text[end] != '@' && l->text[end] != '\n' && l->text[end] != '\'' &&
           l->text[end] != '"')
        end++;
    if (end >= l->n || l->text[end] != '@' || end == start || end - start > TAG_NAME_MAX)
        return FAIL(l, l->at, "@ begins a tag as in @Modality@; write tags.Modality");
    l->token.kind = T_LEGACY;
    l->token.value = value_str(arena_strndup(l->arena, l->text + start, end - start), end - start);
    l->at = end + 1;
    return 0;
}

static int lex_unknown(struct lexer *l)
{
    uint32_t code;
    (void)text_decode(l->text + l->at, l->n - l->at, &code);
    if (code == 0x2018 || code == 0x2019 || code == 0x201C || code == 0x201D || code == 0x201E)
        return FAIL(l, l->at, "this is a typographic quote; use ' or \"");
    if (code == 0xA0)
        return FAIL(l, l->at, "this is a no-break space; use a blank");
    if (code >= 0x80)
        return FAIL(l, l->at, "names are in ASCII letters; a text stands in quotes: 'text'");
    if (code == '!')
        return FAIL(l, l->at, "! is not an operator; write not, or != to compare");
    if (code == '\\')
        return FAIL(l, l->at, "a backslash stands here outside of a string");
    if (code < 0x20 || code == 0x7F)
        return FAIL(l, l->at, "a control character stands here");
    return FAIL(l, l->at, "the character %c means nothing here", (int)code);
}

static int lex_operator(struct lexer *l)
{
    static const char *const two[] = {"==", "!=", "<=", ">=", "//", "**", "<<", ">>", "&&",
                                      "||", ":=", "<>", "+=", "-=", "*=", "/=", "->"};
    l->token.kind = T_OP;
    for (size_t i = 0; i < ARRAY_LEN(two); i++)
        if (peek(l, 0) == two[i][0] && peek(l, 1) == two[i][1]) {
            l->token.op = OP2(two[i][0], two[i][1]);
            l->at += 2;
            return 0;
        }
    int c = peek(l, 0);
    if (c == 0 || strchr("()[]{}.,:;+-*/%<>=|&^~", c) == NULL)
        return lex_unknown(l);
    if (c == '(' || c == '[' || c == '{')
        l->open++;
    else if ((c == ')' || c == ']' || c == '}') && l->open > 0)
        l->open--;
    l->token.op = c;
    l->at++;
    return 0;
}

static int lex_token(struct lexer *l)
{
    int c = peek(l, 0);
    bool raw;
    int prefix = string_prefix(l, &raw);
    if (prefix < 0)
        return -1;
    if (c == '\'' || c == '"' || prefix > 0)
        return lex_string(l);
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
        return lex_number(l);
    if (c == '@')
        return lex_legacy(l);
    if (!is_name(c))
        return lex_operator(l);
    l->token.kind = T_NAME;
    while (is_name(peek(l, 0)))
        l->at++;
    return 0;
}

int lex_next(struct lexer *l)
{
    skip_blank(l);
    l->token = (struct token){.start = (uint32_t)l->at, .end = (uint32_t)l->at};
    if (l->at >= l->n)
        return 0;
    if (l->text[l->at] == '\n') {
        l->token.kind = T_NEWLINE;
        l->at++;
    } else if (lex_token(l) < 0) {
        return -1;
    }
    if (l->token.end == l->token.start)
        l->token.end = (uint32_t)l->at;
    return 0;
}
