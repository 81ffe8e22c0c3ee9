/* The topic list: schemas/topics.json itself, put into the library by the assembler (the build runs
 * in the root of the repository) and decoded once. */
#include "event/topics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

__asm__(".pushsection .rodata\n"
        ".global topics_json, topics_json_end\n"
        ".hidden topics_json, topics_json_end\n"
        "topics_json:\n"
        ".incbin \"schemas/topics.json\"\n"
        "topics_json_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const char topics_json[], topics_json_end[];

struct topics {
    struct row_list topics; /* of struct topic_spec */
};

static const struct row spec_rows[] = {
    {"noun", ROW_STRING, ROW(topic_spec, noun), ROW_REQUIRED, .min = 1, .max = 32},
    {"partitions", ROW_INT, ROW(topic_spec, partitions), ROW_REQUIRED, .min = 1, .max = 1000},
    {"partitionsTest", ROW_INT, ROW(topic_spec, partitions_test), ROW_REQUIRED, .min = 1,
     .max = 1000},
    {"copartition", ROW_STRING, ROW(topic_spec, copartition)},
    {"retentionMs", ROW_INT, ROW(topic_spec, retention_ms), ROW_REQUIRED, .min = -1,
     .max = INT64_MAX, .unit = "milliseconds"},
    {"policy", ROW_STRING, ROW(topic_spec, policy), ROW_REQUIRED, .min = 1},
    {"flush", ROW_BOOL, ROW(topic_spec, flush), ROW_REQUIRED},
    {"maxBytes", ROW_INT, ROW(topic_spec, max_bytes), ROW_REQUIRED, .min = 1, .max = 1 << 20,
     .unit = "bytes"},
    {"producers", ROW_STRINGS, ROW(topic_spec, producers), ROW_REQUIRED},
    {"groups", ROW_STRINGS, ROW(topic_spec, groups), ROW_REQUIRED},
};
static const struct row_table spec_table = {"topic", sizeof(struct topic_spec), spec_rows,
                                            ARRAY_LEN(spec_rows), .closed = true};

static const struct row topics_rows[] = {
    {"topics", ROW_LIST, ROW(topics, topics), ROW_REQUIRED, .min = 1, .max = 100,
     .of = &spec_table},
};
static const struct row_table topics_table = {"topics", sizeof(struct topics), topics_rows,
                                              ARRAY_LEN(topics_rows), .closed = true};

static struct topics all;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static struct arena *arena __attribute__((used)); /* for the life of the process */
    struct err e = {0};
    size_t n = (size_t)(topics_json_end - topics_json);
    arena = arena_new(0);
    if (rows_decode(&all, &topics_table, topics_json, n, arena, NULL, &e)) {
        fprintf(stderr, "schemas/topics.json: %s\n", e.text);
        abort(); /* the program was built from a broken list; the unit test sees it first */
    }
}

const struct topic_spec *topics_all(size_t *n)
{
    pthread_once(&once, load);
    *n = all.topics.n;
    return all.topics.items;
}

const struct topic_spec *topics_find(const char *noun)
{
    size_t n;
    const struct topic_spec *t = topics_all(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(t[i].noun, noun) == 0)
            return &t[i];
    return NULL;
}

static char *site_name(char out[TOPIC_NAME], const char *site, const char *word)
{
    snprintf(out, TOPIC_NAME, "talaria.%s.%s", site, word);
    return out;
}

char *topics_name(char out[TOPIC_NAME], const char *site, const char *noun)
{
    return site_name(out, site, noun);
}

char *topics_group(char out[TOPIC_NAME], const char *site, const char *stage)
{
    return site_name(out, site, stage);
}
