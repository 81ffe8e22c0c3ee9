/* What decide reads for a replay or reroute: records of its journal, manifests, earlier configurations. */
#include "past_stage.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "event/keys.h"
#include "event/topics.h"

#define READ_MS       5000
#define FETCH_WAIT_MS 20 /* the reader seeks from record to record and never waits at the end */
#define SNAPSHOT_MAX  (16 << 20)
#define SNAPSHOTS_MAX 8 /* revisions of one command */
#define REVISION_HEX  12

void past_init(struct past_reader *p, struct daemon *d, int32_t partition)
{
    *p = (struct past_reader){.daemon = d, .partition = partition};
    topics_name(p->topic, daemon_settings(d)->site, "decision");
}

void past_done(struct past_reader *p)
{
    kafka_reader_free(p->reader);
    p->reader = NULL;
    for (size_t i = 0; i < p->snapshots.n; i++)
        config_free(p->snapshots.items[i]);
    vec_free(&p->snapshots);
}

/* ---- the journal ---- */

static int begin(struct past_reader *p, struct err *e)
{
    const struct daemon_settings *s = daemon_settings(p->daemon);
    struct kafka_options o = s->kafka;
    o.brokers = s->brokers;
    o.client_id = daemon_owner(p->daemon);
    o.fetch_wait_ms = FETCH_WAIT_MS;
    return kafka_reader_new(&p->reader, &o, e);
}

static int read_record(struct past_reader *p, int64_t offset, struct slice *out, struct arena *a,
                       struct err *e)
{
    int64_t until = clock_mono_ms() + READ_MS;
    if (kafka_reader_add(p->reader, p->topic, p->partition, offset, e))
        return -1;
    while (clock_mono_ms() < until) {
        struct kafka_record k;
        int got = kafka_reader_poll(p->reader, &k, 100, e);
        if (got < 0)
            return e->kind == ERR_REJECT ? 1 : -1; /* out of range: retention took it */
        if (got == 0)
            continue;
        if (k.offset != offset)
            return 1;
        *out = (struct slice){arena_strndup(a, k.value.p, k.value.n), k.value.n};
        return 0;
    }
    return err_set(e, ERR_RETRY, 0, "a decision of the journal cannot be read");
}

int past_decision(struct past_reader *p, int64_t offset, struct slice *out, struct arena *a,
                  struct err *e)
{
    return !p->reader && begin(p, e) ? -1 : read_record(p, offset, out, a, e);
}

/* ---- configurations ---- */

struct search {
    char key[OBJSTORE_KEY_MAX];
};

static int found(void *arg, const char *key, int64_t size, int64_t modified)
{
    struct search *s = arg;
    (void)size;
    (void)modified;
    str_copy(s->key, sizeof s->key, key);
    return 1;
}

/* The revision's last part is how the name of its object begins: config/<sha256>.json. */
static int find_snapshot(struct past_reader *p, const char *revision, struct search *s,
                         struct err *e)
{
    struct str prefix = STR_INIT;
    const char *hex = strrchr(revision, '-');
    s->key[0] = '\0';
    if (!hex || strlen(hex + 1) != REVISION_HEX ||
        strspn(hex + 1, "0123456789abcdef") != REVISION_HEX)
        return 1;
    str_printf(&prefix, "config/%s", hex + 1);
    int rc = objstore_list(daemon_store(p->daemon), str_cstr(&prefix), found, s, e);
    str_free(&prefix);
    return rc < 0 ? -1 : *s->key ? 0 : 1;
}

static int load(struct past_reader *p, const char *revision, const struct str *text)
{
    struct rows_error error;
    struct config_snapshot *snapshot = NULL;
    char sha256[HASH_SHA256_HEX];
    hash_sha256_hex(sha256, str_cstr(text), text->len);
    if (strncmp(strrchr(revision, '-') + 1, sha256, REVISION_HEX) != 0)
        return 1;
    struct arena *scratch = arena_new(0);
    size_t errors =
        config_load(&snapshot, str_cstr(text), text->len, revision, scratch, &error, 1);
    arena_free(scratch);
    if (errors)
        return 1;
    *vec_push(&p->snapshots) = snapshot;
    return 0;
}

static int read_snapshot(struct past_reader *p, const char *revision, struct err *e)
{
    struct search s;
    struct str text = STR_INIT;
    if (p->snapshots.n == SNAPSHOTS_MAX)
        return 1;
    int rc = find_snapshot(p, revision, &s, e);
    if (rc)
        return rc;
    rc = objstore_get(daemon_store(p->daemon), s.key, &text, SNAPSHOT_MAX, e);
    rc = rc == 0 ? load(p, revision, &text) : e->kind == ERR_REJECT ? 1 : -1;
    str_free(&text);
    return rc;
}

int past_configuration(struct past_reader *p, const char *revision,
                       const struct config_snapshot **out, struct err *e)
{
    for (size_t i = 0; i < p->snapshots.n; i++)
        if (strcmp(p->snapshots.items[i]->revision, revision) == 0) {
            *out = p->snapshots.items[i];
            return 0;
        }
    int rc = read_snapshot(p, revision, e);
    if (rc == 0)
        *out = p->snapshots.items[p->snapshots.n - 1];
    return rc;
}
