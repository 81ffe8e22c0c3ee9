/*
 * Any bytes as a value. Byte 0 chooses the VR, byte 1 the charset: one of a list, or what stands
 * before the first line feed. The result must be valid UTF-8 without NUL, and bounded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/charset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const vrs[] = {"PN", "LO", "LT", "UC", "CS", "UI", "UR", ""};
static const char *const charsets[] = {
    "",
    "ISO_IR 100",
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "ISO_IR 13",
    "\\ISO 2022 IR 149",
    "ISO 2022 IR 13\\ISO 2022 IR 87",
    "ISO_IR 138",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 100\\ISO 2022 IR 144",
    "ISO_IR 166",
    "ISO_IR 203",
    "no such charset",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *vr = vrs[data[0] % ARRAY_LEN(vrs)];
    struct slice value = {(const char *)data + 2, size - 2}, charset;
    const char *line = memchr(value.p, '\n', value.n);
    size_t which = data[1] % (ARRAY_LEN(charsets) + 1);
    if (which < ARRAY_LEN(charsets)) {
        charset = slice_of(charsets[which]);
    } else {
        charset = (struct slice){value.p, line ? (size_t)(line - value.p) : 0};
        value.p += charset.n;
        value.n -= charset.n;
    }
    struct str out = STR_INIT;
    str_puts(&out, "x");
    bool ok = charset_utf8(&out, vr, value, charset, size % 3 ? NULL : "ISO_IR 101");
    bool replaced = memmem(out.data, out.len, "\xef\xbf\xbd", 3) != NULL;
    if (out.data[0] != 'x' || utf8_valid_prefix(out.data, out.len) != out.len ||
        memchr(out.data, 0, out.len) || out.len > 1 + 3 * value.n || (!ok && !replaced))
        abort();
    str_free(&out);
    return 0;
}
