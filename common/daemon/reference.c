/* What a process says about itself: help, settings and metrics as Markdown, failpoints. */
#include <ctype.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "metrics/metrics.h"

static void print(struct str *s)
{
    fwrite(str_cstr(s), 1, s->len, stdout);
    str_free(s);
}

static void put_flag(struct str *out, const struct row *r)
{
    str_puts(out, "  --");
    for (const char *p = r->name; *p; p++) {
        if (isupper((unsigned char)*p))
            str_putc(out, '-');
        str_putc(out, (char)tolower((unsigned char)*p));
    }
    str_printf(out, " VALUE   %s", r->help ? r->help : "");
    if (r->def && *r->def)
        str_printf(out, " [%s]", r->def);
    str_putc(out, '\n');
}

void reference_help(const struct service *s)
{
    struct str out = STR_INIT;
    struct arena *a = arena_new(0);
    struct row_table t = settings_table(s, a);
    str_printf(&out,
               "talaria-%s %s: %s\n\nusage: talaria-%s [--settings FILE] [--KEY VALUE]...\n"
               "Flags go before the environment (TALARIA_KEY), that before the file (JSON).\n"
               "  --check | --help | --version | --reference | --failpoints\n\n",
               s->name, TALARIA_VERSION, s->summary, s->name);
    for (size_t i = 0; i < t.n; i++)
        put_flag(&out, &t.rows[i]);
    arena_free(a);
    print(&out);
}

static void put_metric(const struct metric *m, void *arg)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    str_printf(arg, "| `%s` | %s | %s | %s |\n", m->name, kinds[m->kind], m->labels, m->help);
}

void reference_markdown(const struct service *s)
{
    struct str out = STR_INIT;
    struct arena *a = arena_new(0);
    struct row_table t = settings_table(s, a);
    str_printf(&out, "# talaria-%s\n\nIt %s.\n\n## Settings\n\n", s->name, s->summary);
    rows_markdown(&out, &t);
    str_puts(&out, "\n## Metrics\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n");
    metrics_each(put_metric, &out);
    arena_free(a);
    print(&out);
}

static void put_name(const char *name, void *arg)
{
    str_printf(arg, "%s\n", name);
}

void reference_failpoints(const struct service *s)
{
    struct str out = STR_INIT;
#if FAILPOINTS
    failpoint_each(put_name, &out);
#endif
    for (size_t i = 0; s->stages && s->stages[i]; i++)
        stage_failpoints(s->stages[i], put_name, &out);
    print(&out);
}
