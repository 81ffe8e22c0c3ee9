/* End offsets from Kafka, positions from Postgres. */
#include "cleaner/ends.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cleaner/choose.h"
#include "event/topics.h"

enum { LOOK_MS = 50 };

/* Columns of a query: topic, partition, how far. */
struct ends {
    struct str columns[3];
};

static void add(struct str *column, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, v);
    pg_array_add(column, text, (size_t)n);
}

static int take_topic(struct ends *x, struct daemon *d, const char *noun, struct err *e)
{
    char topic[TOPIC_NAME];
    struct kafka_producer *p = daemon_producer(d);
    topics_name(topic, daemon_settings(d)->site, noun);
    int32_t n = kafka_partitions(p, topic, e);
    if (n < 0)
        return -1;
    for (int32_t i = 0; i < n; i++) {
        int64_t low, high;
        if (kafka_watermarks(p, topic, i, &low, &high, e))
            return -1;
        pg_array_add(&x->columns[0], topic, strlen(topic));
        add(&x->columns[1], i);
        add(&x->columns[2], choose_needed(low, high));
    }
    return 0;
}

static int take(struct ends *x, struct daemon *d, struct err *e)
{
    static const char *const nouns[] = {"instance", "decision", "task", "delivery", "event"};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(x->columns); i++)
        pg_array_begin(&x->columns[i]);
    for (size_t i = 0; i < ARRAY_LEN(nouns) && rc == 0; i++)
        rc = take_topic(x, d, nouns[i], e);
    for (size_t i = 0; i < ARRAY_LEN(x->columns); i++)
        pg_array_end(&x->columns[i]);
    return rc;
}

/* Partitions that the ledger has not passed; -1: error. */
static int64_t behind(const struct ends *x, struct pg *pg, struct err *e)
{
    struct pg_result *r;
    if (pg_query_arrays(pg, &r,
                        "SELECT count(*) FROM unnest($1::text[],$2::text[],$3::text[]) AS n"
                        " (topic,partition,need) LEFT JOIN positions p ON p.topic=n.topic AND"
                        " p.partition=n.partition::int"
                        " WHERE GREATEST(COALESCE(p.next_offset,0),0) < n.need::bigint",
                        3, x->columns, e))
        return -1;
    int64_t n = pg_int(r, 0, 0, 1);
    pg_result_free(r);
    return n;
}

int ends_pass(struct daemon *d, struct pg *pg, int64_t wait_ms, const volatile int *stop,
              struct err *e)
{
    struct ends x = {0};
    int64_t until = clock_mono_ms() + wait_ms, n;
    int rc = take(&x, d, e);
    while (rc == 0 && (n = behind(&x, pg, e)) != 0) {
        if (n < 0)
            rc = -1;
        else if (clock_mono_ms() >= until)
            rc = err_set(e, ERR_RETRY, 0, "the ledger is behind in %" PRId64 " partitions", n);
        else if (clock_sleep_ms(LOOK_MS, stop))
            rc = err_set(e, ERR_RETRY, 0, "stopping");
    }
    for (size_t i = 0; i < ARRAY_LEN(x.columns); i++)
        str_free(&x.columns[i]);
    return rc;
}
