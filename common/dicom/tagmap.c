/*
 * From kept values to text: character sets by charset.c, binary numbers to decimal, padding off,
 * within one budget. Which tags: the list below and the configured extras.
 */
#include "dicom/tagmap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dicom/charset.h"
#include "dicom/tag.h"

#define EXTRAS_MAX 256
#define KEY_MAX    (SCAN_PATH * 9)
#define FFFD       "\xef\xbf\xbd"

/* The first four are enum tagmap_uid. The rest: what mercure extracts from the dataset, and what
 * rules of our own use. All at the top level. */
static const char *const standard[] = {
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "SpecificCharacterSet",
    "Modality",
    "BodyPartExamined",
    "ProtocolName",
    "RetrieveAETitle",
    "StationAETitle",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyDescription",
    "CodeValue",
    "CodeMeaning",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SeriesNumber",
    "StudyDate",
    "StudyTime",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "SequenceName",
    "ScanningSequence",
    "SequenceVariant",
    "MagneticFieldStrength",
    "StationName",
    "DeviceSerialNumber",
    "DeviceUID",
    "SoftwareVersions",
    "ContrastBolusAgent",
    "ImageComments",
    "SliceThickness",
    "InstanceNumber",
    "AcquisitionNumber",
    "InstitutionName",
    "AcquisitionType",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PerformedProcedureStepDescription",
};

struct tagmap_set {
    size_t n;
    struct scan_want *wants;
    char **keys;
};

struct entry {
    size_t want;
    size_t at; /* of the NUL-terminated text */
};

struct tagmap {
    const struct tagmap_set *set;
    struct scan *scan;
    struct str text;
    struct entry *entries;
    size_t n;
    size_t bytes; /* of all values, against TAGMAP_MAX_BYTES */
    bool cut, undecodable;
};

static void set_add(struct tagmap_set *s, const char *key, const struct scan_want *w)
{
    s->wants = mem_array(s->wants, s->n + 1, sizeof *s->wants);
    s->keys = mem_array(s->keys, s->n + 1, sizeof *s->keys);
    s->wants[s->n] = *w;
    s->keys[s->n] = mem_strdup(key);
    s->n++;
}

static bool set_has(const struct tagmap_set *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!strcmp(s->keys[i], key))
            return true;
    }
    return false;
}

static int hex_digits(uint32_t *out, const char *p, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            digit = (unsigned)((c | 32) - 'a' + 10);
        else
            return -1;
        v = v << 4 | digit;
    }
    *out = v;
    return 0;
}

/* "gggg,eeee" or "ggggeeee.ggggeeee…" */
static int parse_path(struct scan_want *w, const char *text)
{
    size_t n = strlen(text);
    uint32_t group, element;
    if (n == 9 && text[4] == ',') {
        if (hex_digits(&group, text, 4) || hex_digits(&element, text + 5, 4))
            return -1;
        *w = (struct scan_want){.path = {group << 16 | element}, .depth = 1};
        return 0;
    }
    if (n % 9 != 8 || n / 9 >= SCAN_PATH)
        return -1;
    *w = (struct scan_want){.depth = (unsigned)(n / 9 + 1)};
    for (unsigned i = 0; i < w->depth; i++) {
        const char *p = text + 9 * (size_t)i;
        if ((i && p[-1] != '.') || hex_digits(&w->path[i], p, 8))
            return -1;
    }
    return 0;
}

/* Command set, file meta, pixel data and delimiters never come from here. */
static bool in_dataset(const struct scan_want *w)
{
    for (unsigned i = 0; i < w->depth; i++) {
        uint32_t group = w->path[i] >> 16;
        if (group < 0x0004 || group == 0x7fe0 || group == 0xfffe)
            return false;
    }
    return true;
}

static int add_extra(struct tagmap_set *s, const char *text, struct err *e)
{
    struct scan_want w = {.depth = 0};
    if (set_has(s, text))
        return 0;
    const struct tag *t = tag_by_keyword(text);
    if (t)
        w = (struct scan_want){.path = {t->tag}, .depth = 1};
    else if (strlen(text) > KEY_MAX || parse_path(&w, text))
        return err_set(e, ERR_REJECT, 0, "unknown tag \"%.80s\"", text);
    if (!in_dataset(&w))
        return err_set(e, ERR_REJECT, 0, "tag \"%.80s\" is not an attribute of a dataset", text);
    if (s->n >= ARRAY_LEN(standard) + EXTRAS_MAX)
        return err_set(e, ERR_REJECT, 0, "more than %d additional tags", EXTRAS_MAX);
    set_add(s, text, &w);
    return 0;
}

int tagmap_set_new(struct tagmap_set **out, const char *const *extras, size_t n, struct err *e)
{
    struct tagmap_set *s = mem_zalloc(sizeof *s);
    for (size_t i = 0; i < ARRAY_LEN(standard); i++) {
        struct scan_want w = {.path = {tag_by_keyword(standard[i])->tag}, .depth = 1};
        set_add(s, standard[i], &w);
    }
    for (size_t i = 0; i < n; i++) {
        if (add_extra(s, extras[i], e)) {
            tagmap_set_free(s);
            return -1;
        }
    }
    *out = s;
    return 0;
}

void tagmap_set_free(struct tagmap_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        mem_free(s->keys[i]);
    mem_free(s->keys);
    mem_free(s->wants);
    mem_free(s);
}

struct tagmap *tagmap_new(const struct tagmap_set *s)
{
    struct tagmap *m = mem_zalloc(sizeof *m);
    m->set = s;
    m->scan = scan_new();
    m->entries = mem_array(NULL, s->n, sizeof *m->entries);
    return m;
}

void tagmap_free(struct tagmap *m)
{
    if (!m)
        return;
    scan_free(m->scan);
    str_free(&m->text);
    mem_free(m->entries);
    mem_free(m);
}

void tagmap_start(struct tagmap *m, const struct syntax *syntax)
{
    str_clear(&m->text);
    m->n = m->bytes = 0;
    m->cut = m->undecodable = false;
    scan_start(m->scan, syntax, m->set->wants, m->set->n);
}

enum scan_state tagmap_feed(struct tagmap *m, const void *p, size_t n)
{
    return scan_feed(m->scan, p, n);
}

/* How the bytes of a VR become text. */
enum form { FORM_NONE, FORM_TEXT, FORM_UNSIGNED, FORM_SIGNED, FORM_FLOAT, FORM_TAG };

struct form_size {
    uint8_t form, size;
};

#define VR_AT(a, b) (((a) - 'A') * 26 + ((b) - 'A'))
static const struct form_size forms[26 * 26] = {
    [VR_AT('A', 'E')] = {FORM_TEXT, 1},     [VR_AT('A', 'S')] = {FORM_TEXT, 1},
    [VR_AT('A', 'T')] = {FORM_TAG, 4},      [VR_AT('C', 'S')] = {FORM_TEXT, 1},
    [VR_AT('D', 'A')] = {FORM_TEXT, 1},     [VR_AT('D', 'S')] = {FORM_TEXT, 1},
    [VR_AT('D', 'T')] = {FORM_TEXT, 1},     [VR_AT('F', 'D')] = {FORM_FLOAT, 8},
    [VR_AT('F', 'L')] = {FORM_FLOAT, 4},    [VR_AT('I', 'S')] = {FORM_TEXT, 1},
    [VR_AT('L', 'O')] = {FORM_TEXT, 1},     [VR_AT('L', 'T')] = {FORM_TEXT, 1},
    [VR_AT('O', 'B')] = {FORM_NONE, 1},     [VR_AT('O', 'D')] = {FORM_NONE, 1},
    [VR_AT('O', 'F')] = {FORM_NONE, 1},     [VR_AT('O', 'L')] = {FORM_NONE, 1},
    [VR_AT('O', 'V')] = {FORM_NONE, 1},     [VR_AT('O', 'W')] = {FORM_NONE, 1},
    [VR_AT('P', 'N')] = {FORM_TEXT, 1},     [VR_AT('S', 'H')] = {FORM_TEXT, 1},
    [VR_AT('S', 'L')] = {FORM_SIGNED, 4},   [VR_AT('S', 'Q')] = {FORM_NONE, 1},
    [VR_AT('S', 'S')] = {FORM_SIGNED, 2},   [VR_AT('S', 'T')] = {FORM_TEXT, 1},
    [VR_AT('S', 'V')] = {FORM_SIGNED, 8},   [VR_AT('T', 'M')] = {FORM_TEXT, 1},
    [VR_AT('U', 'C')] = {FORM_TEXT, 1},     [VR_AT('U', 'I')] = {FORM_TEXT, 1},
    [VR_AT('U', 'L')] = {FORM_UNSIGNED, 4}, [VR_AT('U', 'R')] = {FORM_TEXT, 1},
    [VR_AT('U', 'S')] = {FORM_UNSIGNED, 2}, [VR_AT('U', 'T')] = {FORM_TEXT, 1},
    [VR_AT('U', 'V')] = {FORM_UNSIGNED, 8},
};

/* Size 0: UN, or a VR that does not exist. */
static struct form_size form_of(const char *vr)
{
    if (vr[0] < 'A' || vr[0] > 'Z' || vr[1] < 'A' || vr[1] > 'Z')
        return (struct form_size){0};
    return forms[VR_AT(vr[0], vr[1])];
}

/* UN that nobody can name is shown if it is text: printable bytes, then padding. */
static bool looks_like_text(const char *p, size_t n)
{
    while (n && (p[n - 1] == '\0' || p[n - 1] == ' '))
        n--;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == 0x7f || (c < 0x20 && !strchr("\t\n\f\r\x1b", c)) || c == 0)
            return false;
    }
    return true;
}

static uint64_t load(const char *p, unsigned size, bool big)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v = v << 8 | (unsigned char)p[big ? i : size - 1 - i];
    return v;
}

/* Shortest text that reads back as the same number. */
static void put_float(struct str *out, uint64_t bits, unsigned size)
{
    char text[40];
    double v;
    float f = 0;
    if (size == 4) {
        uint32_t low = (uint32_t)bits;
        memcpy(&f, &low, sizeof f);
        v = f;
    } else {
        memcpy(&v, &bits, sizeof v);
    }
    for (int digits = size == 4 ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (size == 4 ? strtof(text, NULL) == f : strtod(text, NULL) == v)
            break;
        if (isnan(v))
            break;
    }
    str_puts(out, text);
}

static void put_number(struct str *out, enum form form, const struct scan_value *v, unsigned size,
                       size_t at)
{
    uint64_t bits = load(v->bytes + at, size, v->big_endian);
    uint64_t sign = 1ull << (8 * size - 1);
    if (form == FORM_UNSIGNED) {
        str_printf(out, "%llu", (unsigned long long)bits);
    } else if (form == FORM_SIGNED) {
        str_printf(out, "%lld", (long long)((bits ^ sign) - sign));
    } else if (form == FORM_FLOAT) {
        put_float(out, bits, size);
    } else { /* two 16-bit halves, each in the dataset's order */
        str_printf(out, "(%04x,%04x)", (unsigned)load(v->bytes + at, 2, v->big_endian),
                   (unsigned)load(v->bytes + at + 2, 2, v->big_endian));
    }
}

static void put_numbers(struct tagmap *m, enum form form, unsigned size, const struct scan_value *v)
{
    size_t start = m->text.len;
    for (size_t at = 0; at + size <= v->n; at += size) {
        if (at)
            str_putc(&m->text, '\\');
        put_number(&m->text, form, v, size, at);
        if (m->text.len - start > TAGMAP_MAX_BYTES)
            break;
    }
}

static void put_text(struct tagmap *m, const char *vr, const struct scan_value *v,
                     const char *fallback)
{
    size_t start = m->text.len;
    struct slice charset = {v->charset, v->charset_n};
    bool ok = charset_utf8(&m->text, vr, (struct slice){v->bytes, v->n}, charset, fallback);
    size_t n = m->text.len - start;
    if (v->cut && !ok && n >= 3 && !memcmp(m->text.data + m->text.len - 3, FFFD, 3)) {
        m->text.len -= 3; /* half a character at the place of the cut */
        m->text.data[m->text.len] = '\0';
        ok = strstr(m->text.data + start, FFFD) == NULL;
    }
    if (!ok)
        m->undecodable = true;
}

/* Appends the value's text; false: this VR has none. */
static bool convert(struct tagmap *m, size_t want, const struct scan_value *v, const char *fallback)
{
    const struct scan_want *w = &m->set->wants[want];
    const char *vr = v->vr;
    struct form_size f = form_of(vr);
    if (f.size == 0) {
        vr = tag_vr(w->path[w->depth - 1]);
        f = form_of(vr);
    }
    if (f.size == 0) {
        if (!looks_like_text(v->bytes, v->n))
            return false;
        put_text(m, "LO", v, fallback);
    } else if (f.form == FORM_TEXT) {
        put_text(m, vr, v, fallback);
    } else if (f.form == FORM_NONE) {
        return false;
    } else {
        put_numbers(m, f.form, f.size, v);
    }
    return true;
}

/* Holds the text that starts at start to the budget; cuts between characters. */
static void hold_to_budget(struct tagmap *m, size_t start)
{
    size_t n = m->text.len - start, room = TAGMAP_MAX_BYTES - m->bytes;
    if (n > room) {
        n = room;
        while (n && ((unsigned char)m->text.data[start + n] & 0xc0) == 0x80)
            n--;
        m->cut = true;
    }
    m->bytes += n;
    m->text.len = start + n;
    str_putc(&m->text, '\0');
}

enum scan_state tagmap_finish(struct tagmap *m, const char *charset_fallback)
{
    enum scan_state state = scan_finish(m->scan);
    for (size_t i = 0; i < m->set->n; i++) {
        const struct scan_value *v = scan_get(m->scan, i);
        if (!v->found)
            continue;
        size_t start = m->text.len;
        if (!convert(m, i, v, charset_fallback))
            continue;
        if (v->cut)
            m->cut = true;
        hold_to_budget(m, start);
        m->entries[m->n++] = (struct entry){.want = i, .at = start};
    }
    return state;
}

const char *tagmap_uid(const struct tagmap *m, enum tagmap_uid which)
{
    const char *v = tagmap_get(m, standard[which]);
    return v ? v : "";
}

size_t tagmap_count(const struct tagmap *m)
{
    return m->n;
}

void tagmap_at(const struct tagmap *m, size_t i, const char **keyword, const char **value)
{
    *keyword = m->set->keys[m->entries[i].want];
    *value = m->text.data + m->entries[i].at;
}

const char *tagmap_get(const struct tagmap *m, const char *keyword)
{
    for (size_t i = 0; i < m->n; i++) {
        if (!strcmp(m->set->keys[m->entries[i].want], keyword))
            return m->text.data + m->entries[i].at;
    }
    return NULL;
}

bool tagmap_cut(const struct tagmap *m)
{
    return m->cut;
}

bool tagmap_undecodable(const struct tagmap *m)
{
    return m->undecodable;
}

const char *tagmap_reason(const struct tagmap *m)
{
    return scan_reason(m->scan);
}
