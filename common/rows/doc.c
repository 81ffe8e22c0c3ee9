/* Documents generated from the rows: JSON Schema (2020-12) and a Markdown table. */
#include "rows_priv.h"

#include <stdio.h>

static const char *json_type(enum row_type t)
{
    switch (t) {
    case ROW_STRING:
    case ROW_ENUM:
        return "string";
    case ROW_INT:
        return "integer";
    case ROW_NUMBER:
        return "number";
    case ROW_BOOL:
        return "boolean";
    case ROW_STRINGS:
    case ROW_LIST:
        return "array";
    case ROW_PAIRS:
    case ROW_OBJECT:
    case ROW_OPTION:
    case ROW_MAP:
        return "object";
    case ROW_RAW:
        break;
    }
    return NULL;
}

/* ---- JSON Schema ---- */

static void put_text(struct str *out, const char *s)
{
    str_json(out, s, strlen(s));
}

static void line(struct str *out, int indent)
{
    str_printf(out, "\n%*s", indent * 2, "");
}

static void keyword(struct str *out, const char *name)
{
    if (out->data[out->len - 1] != '{')
        str_puts(out, ", ");
    str_printf(out, "\"%s\": ", name);
}

static void schema_table(struct str *out, const struct row_table *t, int indent);

static void schema_names(struct str *out, const struct row *row)
{
    keyword(out, "enum");
    str_putc(out, '[');
    for (size_t i = 0; row->names[i]; i++) {
        if (i)
            str_puts(out, ", ");
        put_text(out, row->names[i]);
    }
    str_putc(out, ']');
}

static void bound(struct str *out, const char *name, int64_t v)
{
    keyword(out, name);
    str_printf(out, "%lld", (long long)v);
}

static void schema_bounds(struct str *out, const struct row *row)
{
    switch (row->type) {
    case ROW_STRING:
        if (row->min > 0)
            bound(out, "minLength", row->min);
        if (row->max > 0)
            bound(out, "maxLength", row->max);
        break;
    case ROW_INT:
    case ROW_NUMBER:
        if (row->min || row->max) {
            bound(out, "minimum", row->min);
            if (row->max < INT64_MAX)
                bound(out, "maximum", row->max);
        }
        break;
    case ROW_STRINGS:
    case ROW_LIST:
        if (row->min > 0)
            bound(out, "minItems", row->min);
        if (row->max > 0)
            bound(out, "maxItems", row->max);
        break;
    case ROW_PAIRS:
    case ROW_MAP:
        if (row->min > 0)
            bound(out, "minProperties", row->min);
        if (row->max > 0)
            bound(out, "maxProperties", row->max);
        break;
    default:
        break;
    }
}

static void default_list(struct str *out, const struct row *row)
{
    struct arena *a = arena_new(0);
    struct row_strings list = {0};
    struct err scratch;
    if (!set_text(&list, row, row->def, a, &scratch)) {
        str_putc(out, '[');
        for (size_t i = 0; i < list.n; i++) {
            str_puts(out, i ? ", " : "");
            put_text(out, list.items[i]);
        }
        str_putc(out, ']');
    }
    arena_free(a);
}

static void schema_default(struct str *out, const struct row *row)
{
    if (!row->def || !*row->def || row->flags & ROW_SECRET)
        return;
    keyword(out, "default");
    if (row->type == ROW_STRINGS)
        default_list(out, row);
    else if (row->type == ROW_STRING || row->type == ROW_ENUM)
        put_text(out, row->def);
    else
        str_puts(out, row->def);
}

static void schema_help(struct str *out, const struct row *row)
{
    struct str text = STR_INIT;
    if (row->help)
        str_puts(&text, row->help);
    if (row->unit)
        str_printf(&text, "%sUnit: %s.", text.len ? " " : "", row->unit);
    if (text.len) {
        keyword(out, "description");
        put_text(out, str_cstr(&text));
    }
    str_free(&text);
}

static void schema_value(struct str *out, const struct row *row, int indent)
{
    str_putc(out, '{');
    if (json_type(row->type)) {
        keyword(out, "type");
        put_text(out, json_type(row->type));
    }
    if (row->type == ROW_ENUM)
        schema_names(out, row);
    schema_bounds(out, row);
    schema_default(out, row);
    schema_help(out, row);
    if (row->flags & ROW_SECRET) {
        keyword(out, "writeOnly");
        str_puts(out, "true");
    }
    if (row->type == ROW_STRINGS || row->type == ROW_PAIRS) {
        keyword(out, row->type == ROW_STRINGS ? "items" : "additionalProperties");
        str_puts(out, "{\"type\": \"string\"}");
    } else if (row->type == ROW_LIST || row->type == ROW_MAP) {
        keyword(out, row->type == ROW_LIST ? "items" : "additionalProperties");
        str_puts(out, "{\"type\": \"object\"");
        schema_table(out, row->of, indent + 1);
        str_putc(out, '}');
    } else if (row->type == ROW_OBJECT || row->type == ROW_OPTION) {
        schema_table(out, row->of, indent + 1);
    }
    str_putc(out, '}');
}

static void schema_required(struct str *out, const struct row_table *t, int indent)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (!(t->rows[i].flags & ROW_REQUIRED) || t->rows[i].flags & ROW_NAME)
            continue;
        if (n++ == 0) {
            str_putc(out, ',');
            line(out, indent);
            str_puts(out, "\"required\": [");
        } else {
            str_puts(out, ", ");
        }
        put_text(out, t->rows[i].name);
    }
    if (n)
        str_putc(out, ']');
}

/* "properties" and what belongs to them; the caller has opened the object. */
static void schema_table(struct str *out, const struct row_table *t, int indent)
{
    bool first = true;
    str_putc(out, ',');
    line(out, indent);
    str_puts(out, "\"properties\": {");
    for (size_t i = 0; i < t->n; i++) {
        if (t->rows[i].flags & ROW_NAME)
            continue;
        if (!first)
            str_putc(out, ',');
        first = false;
        line(out, indent + 1);
        put_text(out, t->rows[i].name);
        str_puts(out, ": ");
        schema_value(out, &t->rows[i], indent + 1);
    }
    str_putc(out, '}');
    schema_required(out, t, indent);
    if (t->closed) {
        str_putc(out, ',');
        line(out, indent);
        str_puts(out, "\"additionalProperties\": false");
    }
}

void rows_schema(struct str *out, const struct row_table *t, const char *id)
{
    str_puts(out,
             "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"$id\": ");
    put_text(out, id);
    str_puts(out, ",\n  \"title\": ");
    put_text(out, t->name);
    if (t->help) {
        str_puts(out, ",\n  \"description\": ");
        put_text(out, t->help);
    }
    str_puts(out, ",\n  \"type\": \"object\"");
    schema_table(out, t, 1);
    str_puts(out, "\n}\n");
}

/* ---- Markdown ---- */

static void cell(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            str_putc(out, '\\');
        str_putc(out, *text == '\n' ? ' ' : *text);
    }
}

static void markdown_type(struct str *out, const struct row *row)
{
    if (row->type == ROW_ENUM) {
        for (size_t i = 0; row->names[i]; i++)
            str_printf(out, "%s`%s`", i ? ", " : "", row->names[i]);
        return;
    }
    if (row->type == ROW_MAP || row->type == ROW_LIST)
        str_printf(out, "%s of %s", row->type == ROW_MAP ? "map" : "list", row->of->name);
    else if (row->type == ROW_STRINGS)
        str_puts(out, "list of strings");
    else if (row->type == ROW_PAIRS)
        str_puts(out, "map of strings");
    else
        str_puts(out, json_type(row->type) ? json_type(row->type) : "JSON");
    if (row->unit)
        str_printf(out, ", %s", row->unit);
    if (row->max && (row->type == ROW_INT || row->type == ROW_NUMBER)) {
        str_printf(out, ", %lld", (long long)row->min);
        if (row->max < INT64_MAX)
            str_printf(out, "–%lld", (long long)row->max);
        else
            str_puts(out, " or more");
    }
}

static void markdown_row(struct str *out, const struct row *row, const char *under)
{
    str_printf(out, "| `%s%s` | ", under, row->flags & ROW_NAME ? "<name>" : row->name);
    markdown_type(out, row);
    str_puts(out, " | ");
    if (row->flags & ROW_REQUIRED)
        str_puts(out, "required");
    else if (row->def && *row->def && !(row->flags & ROW_SECRET)) {
        str_putc(out, '`');
        cell(out, row->def);
        str_putc(out, '`');
    }
    str_puts(out, " | ");
    if (row->help)
        cell(out, row->help);
    if (row->flags & ROW_SECRET)
        str_printf(out, "%sSecret.", row->help ? " " : "");
    if (row->flags & ROW_RELOAD)
        str_printf(out, "%sTakes effect without a restart.", row->help ? " " : "");
    str_puts(out, " |\n");
}

static void markdown_rows(struct str *out, const struct row_table *t, const char *under)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct row *row = &t->rows[i];
        markdown_row(out, row, under);
        if (!row->of)
            continue;
        struct str deeper = STR_INIT;
        str_printf(&deeper, "%s%s%s.", under, row->name,
                   row->type == ROW_LIST  ? "[]"
                   : row->type == ROW_MAP ? ".<name>"
                                          : "");
        markdown_rows(out, row->of, str_cstr(&deeper));
        str_free(&deeper);
    }
}

void rows_markdown(struct str *out, const struct row_table *t)
{
    str_puts(out, "| name | type | default | meaning |\n|---|---|---|---|\n");
    markdown_rows(out, t, "");
}
