/* Counts of one association, and the association.ended records made of them. */
#include "receiver/evidence.h"

#include "base/map.h"

#define SERIES_PER_RECORD 500

struct counted {
    char *study, *series;
    int64_t answered;
};

struct key {
    char *text; /* study \n series */
    size_t index;
    UT_hash_handle hh;
};

struct evidence {
    VEC(struct counted) counts; /* in order of arrival */
    struct key *index;
    bool void_; /* a record went by the outbox: nothing can be testified */
};

struct evidence *evidence_new(void)
{
    return mem_zalloc(sizeof(struct evidence));
}

void evidence_free(struct evidence *v)
{
    if (!v)
        return;
    struct key *k, *next;
    HASH_ITER(hh, v->index, k, next)
    {
        HASH_DEL(v->index, k);
        mem_free(k->text);
        mem_free(k);
    }
    for (size_t i = 0; i < v->counts.n; i++) {
        mem_free(v->counts.items[i].study);
        mem_free(v->counts.items[i].series);
    }
    vec_free(&v->counts);
    mem_free(v);
}

void evidence_answered(struct evidence *v, const char *study, const char *series, bool announced)
{
    struct str text = STR_INIT;
    struct key *k;
    v->void_ |= !announced;
    str_printf(&text, "%s\n%s", study, series);
    HASH_FIND(hh, v->index, text.data, text.len, k);
    if (!k) {
        *vec_push(&v->counts) = (struct counted){mem_strdup(study), mem_strdup(series), 0};
        k = mem_zalloc(sizeof *k);
        k->index = v->counts.n - 1;
        size_t n = text.len;
        k->text = str_take(&text);
        HASH_ADD_KEYPTR(hh, v->index, k->text, n, k);
    }
    v->counts.items[k->index].answered++;
    str_free(&text);
}

static int put_record(const struct event_association_ended *body, const char *study,
                      struct event_series_count *series, size_t n, struct outputs *out,
                      struct err *e)
{
    struct event ev = {.type = EVENT_ASSOCIATION_ENDED, .ended = *body};
    ev.ended.study = study;
    ev.ended.series = (struct row_list){series, n};
    return outputs_event(out, "instance", -1, study, &ev, -1, e);
}

/* All series of the study that counts[from] opens. */
static int put_study(const struct evidence *v, size_t from, bool *taken,
                     const struct event_association_ended *body, struct outputs *out,
                     struct err *e)
{
    struct event_series_count series[SERIES_PER_RECORD];
    const char *study = v->counts.items[from].study;
    size_t n = 0;
    for (size_t i = from; i < v->counts.n; i++) {
        const struct counted *c = &v->counts.items[i];
        if (taken[i] || strcmp(c->study, study) != 0)
            continue;
        taken[i] = true;
        series[n++] = (struct event_series_count){c->series, c->answered};
        if (n == SERIES_PER_RECORD) {
            if (put_record(body, study, series, n, out, e))
                return -1;
            n = 0;
        }
    }
    return n ? put_record(body, study, series, n, out, e) : 0;
}

int evidence_records(const struct evidence *v, const char *association,
                     const struct event_source *source, enum event_association_outcome outcome,
                     struct outputs *out, struct err *e)
{
    if (v->void_ || v->counts.n == 0)
        return 0;
    struct event_association_ended body = {
        .association = association, .source = *source, .outcome = (int)outcome};
    bool *taken = mem_zalloc(v->counts.n * sizeof *taken);
    int r = 0;
    for (size_t i = 0; r == 0 && i < v->counts.n; i++)
        if (!taken[i])
            r = put_study(v, i, taken, &body, out, e);
    mem_free(taken);
    return r;
}
