/* talaria topics: creates, checks and (for tests) deletes the topics of a site. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "event/topics.h"
#include "kafka/kafka.h"
#include "talaria/commands.h"

#define CONFIGS     5
#define NEVER       "9223372036854775807"
#define CREATE_MS   60000
#define TOPICS_MOST 64

/* A topic as the broker is to have it, with the memory of its texts. */
struct wanted {
    char name[TOPIC_NAME], retention[24];
    struct kafka_header config[CONFIGS];
    struct kafka_topic topic;
};

static void config(struct wanted *w, const char *name, const char *value)
{
    w->config[w->topic.n_config++] = (struct kafka_header){name, slice_of(value)};
}

/* The broker's limit is of a whole batch: the producers' largest (librdkafka's batch.size), not the
 * size of one record, which the producers keep themselves. */
#define BATCH_BYTES "1048576"

static void want(struct wanted *w, const struct topic_spec *s, const char *site, bool test,
                 int64_t replicas)
{
    topics_name(w->name, site, s->noun);
    w->topic =
        (struct kafka_topic){.name = w->name,
                             .partitions = (int32_t)(test ? s->partitions_test : s->partitions),
                             .replicas = (int32_t)replicas,
                             .config = w->config};
    snprintf(w->retention, sizeof w->retention, "%lld", (long long)s->retention_ms);
    config(w, "message.timestamp.type", "LogAppendTime");
    config(w, "cleanup.policy", s->policy);
    config(w, "retention.ms", w->retention);
    config(w, "max.message.bytes", BATCH_BYTES);
    config(w, "flush.messages", s->flush ? "1" : NEVER); /* the broker's own default is 1 */
}

/* What was there before may be of another make. A topic that is flushed though it need not be is only slow. */
static int check_one(const struct kafka_options *o, const struct wanted *w, struct err *e)
{
    struct kafka_topic t = w->topic;
    if (slice_is(w->config[t.n_config - 1].value, NEVER))
        t.n_config--;
    return kafka_check_topic(o, &t, e);
}

static int commit_starts(const struct kafka_options *o, const char *site, const struct wanted *w,
                         struct err *e)
{
    size_t n;
    const struct topic_spec *specs = topics_all(&n);
    char group[TOPIC_NAME];
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < specs[i].groups.n; g++)
            if (kafka_commit_start(o, topics_group(group, site, specs[i].groups.items[g]),
                                   w[i].name, w[i].topic.partitions, e))
                return err_wrap(e, "group %s of %s", group, w[i].name);
    return 0;
}

static int create(const struct kafka_options *o, const char *site, const struct wanted *w, size_t n,
                  struct err *e)
{
    struct kafka_topic topics[TOPICS_MOST];
    for (size_t i = 0; i < n; i++)
        topics[i] = w[i].topic;
    if (kafka_create_topics(o, topics, n, CREATE_MS, e))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (check_one(o, &w[i], e))
            return -1;
    return commit_starts(o, site, w, e);
}

/* Every difference is said, not only the first. */
static int check(const struct kafka_options *o, const struct wanted *w, size_t n)
{
    int status = EXIT_DONE;
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};
        if (check_one(o, &w[i], &e)) {
            status = failed(&e);
            if (status == EXIT_UNREACHABLE)
                break;
        }
    }
    return status;
}

static int delete_all(const struct kafka_options *o, const struct wanted *w, size_t n,
                      struct err *e)
{
    const char *names[TOPICS_MOST];
    for (size_t i = 0; i < n; i++)
        names[i] = w[i].name;
    return kafka_delete_topics(o, names, n, e);
}

static int act(struct cli *c, const char *verb, bool test, int64_t replicas, bool yes)
{
    static struct wanted w[TOPICS_MOST];
    size_t n;
    const struct topic_spec *specs = topics_all(&n);
    const char *site = c->settings->site;
    struct kafka_options o = {.brokers = c->settings->brokers, .client_id = "talaria"};
    struct err e = {0};
    int r;
    if (n > TOPICS_MOST) {
        message("more than %d topics", TOPICS_MOST);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < n; i++)
        want(&w[i], &specs[i], site, test, replicas);
    if (strcmp(verb, "check") == 0) {
        r = check(&o, w, n);
        if (r == EXIT_DONE)
            message("%zu topics of site %s are as they should be", n, site);
        return r;
    }
    if (strcmp(verb, "delete") == 0) {
        if (!yes) {
            message("this deletes every record of site %s; say --yes", site);
            return EXIT_USAGE;
        }
        r = delete_all(&o, w, n, &e);
    } else {
        r = create(&o, site, w, n, &e);
    }
    if (r)
        return failed(&e);
    message("site %s: %zu topics %s", site, n, strcmp(verb, "delete") ? "are there" : "deleted");
    return EXIT_DONE;
}

static int run(struct cli *c, int argc, char **argv)
{
    bool test = false, yes = false;
    int64_t replicas = -1;
    const struct option_row rows[] = {
        OPTION_FLAG("--test", &test, "few partitions, as the tests use"),
        OPTION_NUMBER("--replicas", "N", &replicas, 1, 15, "instead of the broker's default"),
        OPTION_FLAG("--yes", &yes, "delete: yes, every record of this site"),
    };
    int status = options_take(&command_topics, rows, ARRAY_LEN(rows), &argc, argv, 1, 1);
    if (status >= 0)
        return status;
    static const char *const verbs[] = {"create", "check", "delete"};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(argv[1], verbs[i]) == 0)
            return act(c, verbs[i], test, replicas, yes);
    message("topics create, topics check or topics delete; see: talaria help topics");
    return EXIT_USAGE;
}

const struct command command_topics = {
    "topics", "create|check|delete",
    "creates the topics of a site (harmless when they exist), or checks them", run};
