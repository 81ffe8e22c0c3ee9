/*
 * A fake world for the pure cores: logs of one partition, an object store, log time, and a
 * configuration put together by hand. Used by the simulator and by the unit tests. One thread.
 */
#ifndef ROUTER_SIM_WORLD_H
#define ROUTER_SIM_WORLD_H

#include "base/map.h"
#include "base/vec.h"
#include "config/config.h"
#include "event/event.h"
#include "event/outputs.h"

enum sim_noun { SIM_INSTANCE, SIM_DECISION, SIM_TASK, SIM_DELIVERY, SIM_EVENT, SIM_NOUNS };

struct sim_record {
    int64_t offset, timestamp;
    enum event_type type;
    int64_t claim; /* -1: not a choice */
    char *key, *study, *series;
    struct str value;
};
struct sim_object {
    UT_hash_handle hh;
    char *key;
    struct str bytes;
};
struct sim_log {
    VEC(struct sim_record) records;
};
struct sim_world {
    struct sim_log logs[SIM_NOUNS];
    struct sim_object *store;
    int64_t now;  /* ms, monotonic: everybody's own clock but the broker's */
    int64_t skew; /* log time is now + skew */
    struct outputs producer;
    uint64_t written_twice; /* puts of a key that existed: never right */
};

void world_init(struct sim_world *w);
void world_free(struct sim_world *w);
/* The acknowledgement: the record gets the next offset and the time of now. */
const struct sim_record *world_append(struct sim_world *w, const struct output_record *r);
/* A second put of a key is counted and changes nothing: keys are written once. */
void world_put(struct sim_world *w, const struct output_object *o);
/* The log ends at offset n: what stood beyond is gone, and its offsets are used again. */
void world_cut(struct sim_world *w, enum sim_noun noun, size_t n);
/* Objects, then records; clears the outputs. */
void world_write(struct sim_world *w, struct outputs *out);
const struct str *world_get(const struct sim_world *w, const char *key); /* NULL: missing */
/* Encodes and appends ev as its producer would. Stops the program if it is not a record. */
const struct sim_record *world_produce(struct sim_world *w, enum sim_noun noun,
                                       const struct event *ev, int64_t claim);
const struct sim_record *world_claim(struct sim_world *w, enum sim_noun noun);
/* The owner's known_receipts over the store; arg = struct sim_world. */
int world_known_receipts(void *arg, const char *key, void (*fn)(void *to, const char *receipt),
                         void *to, struct err *e);
/* The owner's decision and manifest over the log and the store; arg = struct sim_world. */
int world_decision(void *arg, int64_t offset, struct slice *out, struct arena *a, struct err *e);
int world_manifest(void *arg, const char *key, struct slice *out, struct arena *a, struct err *e);
/* Is this choice void: does a newer claim precede it? The law itself, over the whole log; its readers
 * go by event/claims.h. */
bool world_is_void(const struct sim_log *log, const struct sim_record *r);

struct sim_instance { /* what varies between instances; NULL: a default */
    const char *receipt, *study, *series, *sop, *sha256, *association, *source, *forced_rule;
    const char *received_at, *flag;
    struct row_pairs tags;
    int64_t size;
};
const struct sim_record *world_instance(struct sim_world *w, const struct sim_instance *i);
const struct sim_record *world_ended(struct sim_world *w, const char *association,
                                     const char *study, int outcome,
                                     const struct event_series_count *counts, size_t n);

/* A configuration from literals: expressions are compiled; a broken one stops the program. */
struct sim_config {
    struct config_snapshot snapshot;
    struct arena *arena;
};
void sim_config_init(struct sim_config *c, const char *revision);
void sim_config_free(struct sim_config *c);
void sim_config_source(struct sim_config *c, const struct config_source *source);
/* Lists in the rule are borrowed. */
void sim_config_rule(struct sim_config *c, const struct config_rule *rule);

#define STRINGS(...)                                                                               \
    ((struct row_strings){(const char *[]){__VA_ARGS__},                                           \
                          sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *)})

#endif
