/* Builds dataset bytes for the tests of this folder. */
#ifndef DICOM_TESTS_BUILD_DATASET_H
#define DICOM_TESTS_BUILD_DATASET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "dicom/syntax.h"

#define UNDEF 0xffffffffu

__attribute__((unused)) static void put16(struct str *s, bool big, unsigned v)
{
    str_putc(s, (char)(big ? v >> 8 : v));
    str_putc(s, (char)(big ? v : v >> 8));
}

__attribute__((unused)) static void put32(struct str *s, bool big, uint32_t v)
{
    put16(s, big, big ? v >> 16 : v & 0xffff);
    put16(s, big, big ? v & 0xffff : v >> 16);
}

static bool long_form(const char *vr)
{
    static const char *const list[] = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                       "SV", "UC", "UN", "UR", "UT", "UV"};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!strcmp(vr, list[i]))
            return true;
    }
    return false;
}

/* Header only; vr NULL: implicit or a delimiter. */
__attribute__((unused)) static void put_head(struct str *s, const struct syntax *x, uint32_t tag,
                                             const char *vr, uint32_t length)
{
    put16(s, x->big_endian, tag >> 16);
    put16(s, x->big_endian, tag & 0xffff);
    if (!x->explicit_vr || !vr) {
        put32(s, x->big_endian, length);
        return;
    }
    str_append(s, vr, 2);
    if (long_form(vr)) {
        put16(s, false, 0);
        put32(s, x->big_endian, length);
    } else {
        put16(s, x->big_endian, length);
    }
}

__attribute__((unused)) static void put_bytes(struct str *s, const struct syntax *x, uint32_t tag,
                                              const char *vr, const void *p, size_t n)
{
    put_head(s, x, tag, vr, (uint32_t)n);
    str_append(s, p, n);
}

/* A text value, padded to even length. */
__attribute__((unused)) static void put_text(struct str *s, const struct syntax *x, uint32_t tag,
                                             const char *vr, const char *text)
{
    size_t n = strlen(text);
    put_head(s, x, tag, vr, (uint32_t)(n + n % 2));
    str_append(s, text, n);
    if (n % 2)
        str_putc(s, strcmp(vr, "UI") ? ' ' : '\0');
}

#define ITEM     0xfffee000u
#define ITEM_END 0xfffee00du
#define SEQ_END  0xfffee0ddu

#endif
