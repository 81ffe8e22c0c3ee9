/* Metric families: children per label combination under a family lock, values atomic doubles. */
#include "metrics/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define MAX_CHILDREN 64
#define MAX_BUCKETS  20

struct child {
    char *labels; /* rendered: source="ct" */
    _Atomic bool forgotten;
    _Atomic double value, sum;
    _Atomic uint64_t count, buckets[MAX_BUCKETS];
};

struct metric_values {
    pthread_mutex_t lock;
    _Atomic size_t n;
    struct child children[MAX_CHILDREN + 1];
};

const double metric_seconds_instance[] = {0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32,
                                          0.64,  1.28, 2.56, 5.12, 10,   0};
const double metric_seconds_stage[] = {1,   2.5, 5,   10,   30,   60,    120,
                                       300, 600, 1800, 3600, 14400, 0};

static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;

static struct metric_values *values_of(struct metric *m)
{
    struct metric_values *v = __atomic_load_n(&m->values, __ATOMIC_ACQUIRE);
    if (v)
        return v;
    pthread_mutex_lock(&create_lock);
    if (!m->values) {
        v = mem_zalloc(sizeof *v);
        pthread_mutex_init(&v->lock, NULL);
        __atomic_store_n(&m->values, v, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&create_lock);
    return m->values;
}

/* name="value",… for the given values; with other, every value is "other". */
static void render_labels(struct str *out, const char *names, const char *const *values, bool other)
{
    const char *name = names;
    for (size_t i = 0; *name && values[i]; i++) {
        size_t n = strcspn(name, ",");
        str_printf(out, "%s%.*s=", i ? "," : "", (int)n, name);
        str_putc(out, '"');
        for (const char *p = other ? "other" : values[i]; *p; p++) {
            if (*p == '"' || *p == '\\')
                str_putc(out, '\\');
            str_putc(out, *p == '\n' ? ' ' : *p);
        }
        str_putc(out, '"');
        name += n + (name[n] == ',');
    }
}

static struct child *find(struct metric_values *v, const char *labels)
{
    size_t n = v->n;
    for (size_t i = 0; i < n; i++)
        if (strcmp(v->children[i].labels, labels) == 0)
            return &v->children[i];
    return NULL;
}

static struct child *child_of(struct metric *m, const char *const *labels)
{
    struct metric_values *v = values_of(m);
    struct str text = STR_INIT;
    render_labels(&text, m->labels, labels, false);
    struct child *c = find(v, str_cstr(&text));
    if (!c) {
        pthread_mutex_lock(&v->lock);
        if (v->n >= MAX_CHILDREN) {
            str_clear(&text);
            render_labels(&text, m->labels, labels, true);
        }
        c = find(v, str_cstr(&text));
        if (!c) {
            c = &v->children[v->n];
            c->labels = str_take(&text);
            v->n++;
        }
        pthread_mutex_unlock(&v->lock);
    }
    str_free(&text);
    c->forgotten = false;
    return c;
}

void metric_forget_labels(struct metric *m, const char *const *labels)
{
    struct str text = STR_INIT;
    render_labels(&text, m->labels, labels, false);
    struct child *c = find(values_of(m), str_cstr(&text));
    if (c)
        c->forgotten = true;
    str_free(&text);
}

static void atomic_add(_Atomic double *to, double v)
{
    double old = *to;
    while (!__atomic_compare_exchange(to, &old, &(double){old + v}, 0, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED))
        ;
}

void metric_add_labels(struct metric *m, double v, const char *const *labels)
{
    atomic_add(&child_of(m, labels)->value, v);
}

void metric_set_labels(struct metric *m, double v, const char *const *labels)
{
    child_of(m, labels)->value = v;
}

void metric_observe_labels(struct metric *m, double v, const char *const *labels)
{
    struct child *c = child_of(m, labels);
    for (size_t i = 0; m->buckets[i] > 0 && i < MAX_BUCKETS; i++)
        if (v <= m->buckets[i]) {
            c->buckets[i]++;
            break;
        }
    c->count++;
    atomic_add(&c->sum, v);
}

static void put_sample(struct str *out, const char *name, const char *suffix, const char *labels,
                       const char *extra, double v)
{
    str_printf(out, "%s%s", name, suffix);
    bool comma = *labels && *extra;
    if (*labels || *extra)
        str_printf(out, "{%s%s%s}", labels, comma ? "," : "", extra);
    str_printf(out, v == floor(v) && fabs(v) < 1e15 ? " %.0f\n" : " %.9g\n", v);
}

static void put_histogram(struct str *out, const struct metric *m, struct child *c)
{
    uint64_t running = 0;
    char le[48];
    for (size_t i = 0; m->buckets[i] > 0 && i < MAX_BUCKETS; i++) {
        running += c->buckets[i];
        snprintf(le, sizeof le, "le=\"%g\"", m->buckets[i]);
        put_sample(out, m->name, "_bucket", c->labels, le, (double)running);
    }
    put_sample(out, m->name, "_bucket", c->labels, "le=\"+Inf\"", (double)c->count);
    put_sample(out, m->name, "_sum", c->labels, "", c->sum);
    put_sample(out, m->name, "_count", c->labels, "", (double)c->count);
}

static void put_family(const struct metric *m, void *arg)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    struct str *out = arg;
    str_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
    if (m->read) {
        put_sample(out, m->name, "", "", "", m->read());
        return;
    }
    struct metric_values *v = __atomic_load_n(&m->values, __ATOMIC_ACQUIRE);
    if (!v || (v->n == 0)) {
        if (!*m->labels && m->kind != METRIC_KIND_HISTOGRAM)
            put_sample(out, m->name, "", "", "", 0);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        struct child *c = &v->children[i];
        if (c->forgotten)
            continue;
        if (m->kind == METRIC_KIND_HISTOGRAM)
            put_histogram(out, m, c);
        else
            put_sample(out, m->name, "", c->labels, "", c->value);
    }
}

void metrics_render(struct str *out)
{
    metrics_each(put_family, out);
}

extern struct metric *const __start_talaria_metrics[] __attribute__((weak));
extern struct metric *const __stop_talaria_metrics[] __attribute__((weak));

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct metric *const *)a)->name, (*(struct metric *const *)b)->name);
}

void metrics_each(void (*fn)(const struct metric *m, void *arg), void *arg)
{
    size_t n = (size_t)(__stop_talaria_metrics - __start_talaria_metrics);
    if (n == 0)
        return;
    struct metric **sorted = mem_array(NULL, n, sizeof *sorted);
    memcpy(sorted, __start_talaria_metrics, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++)
        fn(sorted[i], arg);
    mem_free(sorted);
}
