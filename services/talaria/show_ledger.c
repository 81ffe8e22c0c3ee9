/* The balance sheet as text. */
#include "talaria/show.h"

#include <inttypes.h>
#include <stdio.h>

static void cell_number(struct table *t, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, v);
    table_cell(t, text);
}

void show_ledger(struct str *out, const json_t *sheet, bool bold)
{
    static const char *const balances[] = {"BALANCE", "OFF BY"};
    static const char *const states[] = {"STATE", "COUNT", "OLDEST"};
    const json_t *b = json_object_get(sheet, "balances"), *list = json_object_get(sheet, "states");
    struct table *t = table_new(2, balances);
    table_cell(t, "receipts");
    cell_number(t, show_number(b, "receipts"));
    table_cell(t, "deliveries");
    cell_number(t, show_number(b, "deliveries"));
    table_write(t, out, bold);
    table_free(t);
    str_putc(out, '\n');
    t = table_new(3, states);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        double age = json_number_value(json_object_get(s, "oldestSeconds"));
        char span[FORMAT_SPAN];
        table_cell(t, show_text(s, "state"));
        cell_number(t, show_number(s, "count"));
        table_cell(t, age > 0 ? format_span(span, (int64_t)(age * 1000)) : NULL);
    }
    table_write(t, out, bold);
    table_free(t);
    str_printf(out, "\n%s\n",
               json_is_true(json_object_get(sheet, "balanced")) ? "The ledger adds up."
                                                                : "THE LEDGER DOES NOT ADD UP.");
}
