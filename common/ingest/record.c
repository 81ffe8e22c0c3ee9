/* What is written about one instance: its ids, its Part 10 head and its instance.stored record. */
#include <stdio.h>

#include "base/clock.h"
#include "base/vec.h"
#include "dicom/part10.h"
#include "dicom/uid.h"
#include "event/keys.h"
#include "ingest/ingest_priv.h"

/* UIDs come from the dataset (design.md §4); the command only fills a missing SOP Instance UID. */
int record_ids(struct item_ids *ids, const struct ingest_item *item, struct err *e)
{
    const char *study = tagmap_uid(item->map, TAGMAP_STUDY);
    const char *series = tagmap_uid(item->map, TAGMAP_SERIES);
    const char *sop = tagmap_uid(item->map, TAGMAP_SOP);
    const char *sop_class = tagmap_uid(item->map, TAGMAP_SOP_CLASS);
    memset(ids, 0, sizeof *ids);
    if (!*study || !*series)
        return err_set(e, ERR_REJECT, 0, "no %s Instance UID", *study ? "Series" : "Study");
    if (!str_copy(ids->study, sizeof ids->study, study) ||
        !str_copy(ids->series, sizeof ids->series, series))
        return err_set(e, ERR_REJECT, 0, "Study or Series Instance UID too long");
    ids->sop_missing = !*sop;
    ids->uid_differs = *sop && strcmp(sop, item->sop) != 0;
    if (!str_copy(ids->sop, sizeof ids->sop, *sop ? sop : item->sop) || !*ids->sop)
        return err_set(e, ERR_REJECT, 0, "no usable SOP Instance UID");
    bool class_fits = *sop_class && strlen(sop_class) < sizeof ids->sop_class;
    ids->uid_differs |= class_fits && strcmp(sop_class, item->sop_class) != 0;
    str_copy(ids->sop_class, sizeof ids->sop_class, class_fits ? sop_class : item->sop_class);
    ids->uid_hashed = !uid_safe(ids->study, strlen(ids->study)) ||
                      !uid_safe(ids->series, strlen(ids->series)) ||
                      !uid_safe(ids->sop, strlen(ids->sop));
    return 0;
}

static void put_member(struct str *s, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    str_puts(s, s->len > 1 ? "," : "");
    str_json(s, name, strlen(name));
    str_putc(s, ':');
    str_json(s, value, strlen(value));
}

/* The private information of formats.md: enough to write the record again from the object. */
static void put_private(struct str *s, const struct ingest_item *item)
{
    const struct ingest_sender *from = &item->sender;
    str_putc(s, '{');
    put_member(s, "receipt", item->receipt);
    put_member(s, "sha256", item->sha256);
    put_member(s, "peer", from->peer);
    put_member(s, "source", from->source.name);
    put_member(s, "sourceLabel", from->source.label);
    put_member(s, "sourceSite", from->source.site);
    put_member(s, "association", from->association);
    put_member(s, "receivedAt", item->received_at);
    put_member(s, "forcedRule", from->forced_rule);
    str_putc(s, '}');
}

static void head_once(struct str *out, const struct ingest_item *item, const struct item_ids *ids,
                      size_t pad)
{
    struct str private = STR_INIT;
    put_private(&private, item);
    for (size_t k = 0; k < pad; k++)
        str_putc(&private, ' ');
    str_clear(out);
    part10_write(out, &(struct part10_meta){.sop_class = ids->sop_class,
                                            .sop = ids->sop,
                                            .syntax = item->syntax,
                                            .calling_ae = item->sender.calling_ae,
                                            .called_ae = item->sender.called_ae,
                                            .private_json = private.data});
    str_free(&private);
}

int record_head(struct str *out, const struct ingest_item *item, const struct item_ids *ids,
                size_t pad_to)
{
    head_once(out, item, ids, 0);
    if (!pad_to || out->len == pad_to)
        return 0;
    if (out->len > pad_to)
        return -1;
    size_t missing = pad_to - out->len; /* elements are even-padded: one of the two fits */
    head_once(out, item, ids, missing);
    if (out->len != pad_to)
        head_once(out, item, ids, missing - 1);
    return out->len == pad_to ? 0 : -1;
}

typedef VEC(struct row_pair) pair_vec;

static void add_pair(pair_vec *v, const char *name, const char *value)
{
    if (value && *value)
        *vec_push(v) = (struct row_pair){name, value};
}

/* The dataset's tags and those that mercure's rules know from the association. */
static void collect_tags(pair_vec *v, const struct ingest_item *item, const struct item_ids *ids)
{
    for (size_t k = 0; k < tagmap_count(item->map); k++) {
        const char *name, *value;
        tagmap_at(item->map, k, &name, &value);
        add_pair(v, name, value);
    }
    add_pair(v, "TransferSyntaxUID", item->syntax);
    add_pair(v, "MediaStorageSOPClassUID", ids->sop_class);
    add_pair(v, "SenderAddress", item->sender.peer);
    add_pair(v, "SenderAET", item->sender.calling_ae);
    add_pair(v, "ReceiverAET", item->sender.called_ae);
}

/* What the tags may take of a record once they are escaped; the decision repeats them. */
#define TAGS_ENCODED_MAX (40 * 1024)

/* Escapes make text up to six times longer: leaves out the longest values until there is room, else the
 * record of an odd but storable instance would be too large for ever. True: some were left out. */
static bool fit_tags(pair_vec *v)
{
    struct str text = STR_INIT;
    size_t total = 0;
    for (size_t i = 0; i < v->n; i++)
        total += strlen(v->items[i].name) + 6 * strlen(v->items[i].value) + strlen("\"\":\"\",");
    if (total <= TAGS_ENCODED_MAX) /* all but odd ones */
        return false;
    size_t *sizes = mem_zalloc((v->n + 1) * sizeof *sizes);
    total = 0;
    for (size_t i = 0; i < v->n; i++) {
        str_clear(&text);
        str_json(&text, v->items[i].value, strlen(v->items[i].value));
        sizes[i] = text.len + strlen(v->items[i].name) + strlen("\"\":,");
        total += sizes[i];
    }
    bool cut = total > TAGS_ENCODED_MAX;
    while (total > TAGS_ENCODED_MAX) {
        size_t longest = 0;
        for (size_t i = 1; i < v->n; i++)
            longest = sizes[i] > sizes[longest] ? i : longest;
        total -= sizes[longest];
        v->n--;
        sizes[longest] = sizes[v->n];
        v->items[longest] = v->items[v->n];
    }
    mem_free(sizes);
    str_free(&text);
    return cut;
}

static size_t collect_flags(const char *flags[8], const struct ingest_item *item,
                            const struct item_ids *ids, bool cut)
{
    size_t n = 0;
    if (ids->uid_differs)
        flags[n++] = "uid-differs";
    if (ids->sop_missing)
        flags[n++] = "sop-missing";
    if (ids->uid_hashed)
        flags[n++] = "uid-unsafe";
    if (cut || tagmap_cut(item->map))
        flags[n++] = "tags-cut";
    if (tagmap_undecodable(item->map))
        flags[n++] = "charset";
    if (item->scan == SCAN_BAD)
        flags[n++] = "malformed";
    return n;
}

int record_encode(struct str *out, const struct ingest_item *item, const struct item_ids *ids,
                  const char *key, int64_t size, struct err *e)
{
    pair_vec tags = {0};
    const char *flags[8];
    collect_tags(&tags, item, ids);
    bool cut = fit_tags(&tags);
    char now[CLOCK_RFC3339];
    struct event ev = {
        .type = EVENT_INSTANCE_STORED,
        .id = item->receipt,
        .source = item->ingest->source,
        .subject = ids->study,
        .time = clock_rfc3339(now, clock_wall_ms()),
        .stored = {.receipt = item->receipt,
                   .key = key,
                   .sha256 = item->sha256,
                   .size = size,
                   .study = ids->study,
                   .series = ids->series,
                   .sop = ids->sop,
                   .sop_class = ids->sop_class,
                   .syntax = item->syntax,
                   .association = item->sender.association,
                   .source = item->sender.source,
                   .calling_ae = item->sender.calling_ae,
                   .called_ae = item->sender.called_ae,
                   .peer = item->sender.peer,
                   .received_at = item->received_at,
                   .forced_rule = item->sender.forced_rule,
                   .flags = {flags, collect_flags(flags, item, ids, cut)},
                   .tags = {tags.items, tags.n}},
    };
    int r = event_encode(out, &ev, e);
    vec_free(&tags);
    return r;
}
