/* The status page and the OpenAPI document, part of the program. */
#include "base/mem.h"
#include "gateway/gateway.h"

#define EMBED(symbol, file)                                                                        \
    __asm__(".section .rodata\n" #symbol "_start:\n.incbin \"" file "\"\n" #symbol                 \
            "_end:\n.byte 0\n.previous\n");                                                        \
    extern const char symbol##_start[], symbol##_end[]

EMBED(page_html, "webui/status.html");
EMBED(page_js, "webui/status.js");
EMBED(page_css, "webui/status.css");
EMBED(page_yaml, "schemas/openapi.yaml");

static void answer(struct call *c, const char *type, const char *start, const char *end)
{
    c->reply->content_type = type;
    str_append(&c->reply->body, start, (size_t)(end - start));
}

void page_status(struct call *c)
{
    http_reply_header(c->reply, "Content-Security-Policy",
                      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
                      " base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    answer(c, "text/html; charset=utf-8", page_html_start, page_html_end);
}

void page_script(struct call *c)
{
    answer(c, "text/javascript; charset=utf-8", page_js_start, page_js_end);
}

void page_style(struct call *c)
{
    answer(c, "text/css; charset=utf-8", page_css_start, page_css_end);
}

void page_openapi(struct call *c)
{
    answer(c, "application/yaml", page_yaml_start, page_yaml_end);
}
