/*
 * Metric families, declared once where they are used and rendered as Prometheus text (0.0.4).
 * Values are atomics; a family with labels holds at most 64 combinations, further ones count as
 * label value "other". Labels never carry UIDs, accession numbers, names or free text.
 *
 *     METRIC_COUNTER(received, "talaria_instances_received_total", "Instances answered 0000.",
 *                    "source");
 *     metric_add(&received, 1, "ct-1");
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };

struct metric_values;

struct metric {
    const char *name;
    const char *help;
    enum metric_kind kind;
    const char *labels;            /* "" or "source" or "target,outcome" */
    const double *buckets;         /* histogram: ascending upper bounds, ends with 0 */
    double (*read)(void);          /* gauge or counter computed at scrape time; else NULL */
    struct metric_values *values;  /* owned by the library */
};

#define METRIC_DECLARE(var, ...)                                                                   \
    static struct metric var = {__VA_ARGS__};                                                      \
    static struct metric *const var##_link __attribute__((section("talaria_metrics"), used)) = &var

#define METRIC_COUNTER(var, name, help, labels)                                                    \
    METRIC_DECLARE(var, name, help, METRIC_KIND_COUNTER, labels, 0, 0, 0)
#define METRIC_GAUGE(var, name, help, labels)                                                      \
    METRIC_DECLARE(var, name, help, METRIC_KIND_GAUGE, labels, 0, 0, 0)
#define METRIC_GAUGE_READ(var, name, help, fn)                                                     \
    METRIC_DECLARE(var, name, help, METRIC_KIND_GAUGE, "", 0, fn, 0)
#define METRIC_HISTOGRAM(var, name, help, labels, bounds)                                          \
    METRIC_DECLARE(var, name, help, METRIC_KIND_HISTOGRAM, labels, bounds, 0, 0)

/* Ready-made bounds in seconds: one instance (5 ms … 10 s), one stage (1 s … 4 h). */
extern const double metric_seconds_instance[];
extern const double metric_seconds_stage[];

/* Label values follow as const char *, as many as the family has labels. */
#define metric_add(m, v, ...)     metric_add_labels(m, v, METRIC_LABELS(__VA_ARGS__))
#define metric_set(m, v, ...)     metric_set_labels(m, v, METRIC_LABELS(__VA_ARGS__))
#define metric_observe(m, v, ...) metric_observe_labels(m, v, METRIC_LABELS(__VA_ARGS__))
/* Of what is no more: these values are rendered no longer, until they are set again. */
#define metric_forget(m, ...)     metric_forget_labels(m, METRIC_LABELS(__VA_ARGS__))
#define METRIC_LABELS(...)        ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) 0})

void metric_add_labels(struct metric *m, double v, const char *const *labels);
void metric_set_labels(struct metric *m, double v, const char *const *labels);
void metric_observe_labels(struct metric *m, double v, const char *const *labels);
void metric_forget_labels(struct metric *m, const char *const *labels);

/* Every linked family in Prometheus text form; any thread. */
void metrics_render(struct str *out);
/* Calls fn for every linked family, sorted by name (generated reference). */
void metrics_each(void (*fn)(const struct metric *m, void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
