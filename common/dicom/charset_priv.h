/* The character sets that a value's bytes may be in, and the tables of the single-byte ones. */
#ifndef DICOM_CHARSET_PRIV_H
#define DICOM_CHARSET_PRIV_H

#include <stdint.h>

enum set {
    SET_NONE,
    SET_ASCII,
    SET_8859_1,
    SET_8859_2, /* SET_8859_2 to SET_8859_15 have a table */
    SET_8859_3,
    SET_8859_4,
    SET_8859_5,
    SET_8859_6,
    SET_8859_7,
    SET_8859_8,
    SET_8859_9,
    SET_8859_15,
    SET_THAI,    /* TIS 620 */
    SET_KANA,    /* JIS X 0201, upper half */
    SET_JIS0208, /* two bytes each from here on */
    SET_JIS0212,
    SET_KSX1001,
    SET_GB2312,
    SET_UTF8, /* whole values without code extension */
    SET_GB18030,
    SET_GBK,
};

/* Code point of a byte ≥ 0xA0; 0 = not assigned. */
extern const uint16_t charset_upper[SET_8859_15 - SET_8859_2 + 1][96];

#endif
