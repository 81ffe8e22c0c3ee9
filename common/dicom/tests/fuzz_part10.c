/* Any bytes as a file; what was read is written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/part10.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void again(const struct part10_read *r)
{
    struct part10_read back;
    struct err e;
    struct str b = STR_INIT;
    char *json = mem_strndup(r->private_json.p ? r->private_json.p : "", r->private_json.n);
    struct part10_meta m = {.sop_class = r->sop_class,
                            .sop = r->sop,
                            .syntax = r->syntax,
                            .calling_ae = r->calling_ae,
                            .called_ae = r->called_ae,
                            .private_json = json[0] ? json : NULL};
    part10_write(&b, &m);
    check(part10_parse(&back, b.data, b.len, &e) == 0);
    check(!strcmp(back.sop_class, r->sop_class) && !strcmp(back.sop, r->sop));
    check(!strcmp(back.syntax, r->syntax) && !strcmp(back.calling_ae, r->calling_ae));
    check(!strcmp(back.called_ae, r->called_ae) && back.dataset == b.len);
    mem_free(json);
    str_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct part10_read r;
    struct err e = {0};
    if (part10_parse(&r, data, size, &e)) {
        check(e.kind == ERR_REJECT && e.text[0]);
        return 0;
    }
    check(r.dataset <= size);
    check(r.syntax[0] != '\0');
    if (r.private_json.n)
        check(r.private_json.p >= (const char *)data &&
              r.private_json.p + r.private_json.n <= (const char *)data + size);
    again(&r);
    return 0;
}
