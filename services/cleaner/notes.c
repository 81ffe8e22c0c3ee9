/* Records of the event topic that the cleaner writes. */
#include "cleaner/notes.h"

#include "base/mem.h"

enum { PER_RECORD = 500 };

static int write_note(struct daemon *d, struct event *ev, struct err *e)
{
    struct outputs o = daemon_outputs(d);
    int rc = outputs_event(&o, "event", -1, NULL, ev, -1, e);
    if (rc == 0)
        rc = daemon_write(d, &o, e);
    outputs_free(&o);
    return rc;
}

static int ask_ledger(struct alarm *a, struct pg *pg, struct err *e)
{
    struct pg_result *r;
    if (pg_query(pg, &r,
                 "SELECT type='alarm.raised' FROM events WHERE subject=$1 AND type IN"
                 " ('alarm.raised','alarm.cleared') ORDER BY at DESC,seq DESC LIMIT 1",
                 1, &a->kind, e))
        return -1;
    a->raised = pg_rows(r) > 0 && strcmp(pg_value(r, 0, 0), "t") == 0;
    a->known = true;
    pg_result_free(r);
    return 0;
}

int alarm_set(struct alarm *a, struct daemon *d, struct pg *pg, bool raised, const char *text,
              struct err *e)
{
    if (!a->known && ask_ledger(a, pg, e))
        return -1;
    if (a->raised == raised)
        return 0;
    struct event ev = {.type = raised ? EVENT_ALARM_RAISED : EVENT_ALARM_CLEARED,
                       .note = {.kind = a->kind, .name = a->kind, .text = text}};
    if (write_note(d, &ev, e))
        return -1;
    a->raised = raised;
    return 0;
}

static int add_receipts(struct outputs *o, enum event_type type, const char *const *ids, size_t n,
                        struct err *e)
{
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0; at += PER_RECORD) {
        struct event ev = {.type = type, .note = {.kind = "receipt", .name = ids[at]}};
        ev.note.receipts.items = (const char **)(uintptr_t)(ids + at);
        ev.note.receipts.n = n - at < PER_RECORD ? n - at : PER_RECORD;
        rc = outputs_event(o, "event", -1, NULL, &ev, -1, e);
    }
    return rc;
}

static int add_others(struct outputs *o, enum event_type type, const char *kind,
                      const char *const *ids, size_t n, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct event ev = {.type = type, .note = {.kind = kind, .name = ids[i]}};
        rc = outputs_event(o, "event", -1, NULL, &ev, -1, e);
    }
    return rc;
}

int notes_objects(struct daemon *d, enum event_type type, const char *kind, const char *const *ids,
                  size_t n, struct err *e)
{
    struct outputs o = daemon_outputs(d);
    int rc = strcmp(kind, "receipt") == 0 ? add_receipts(&o, type, ids, n, e)
                                          : add_others(&o, type, kind, ids, n, e);
    if (rc == 0 && n > 0)
        rc = daemon_write(d, &o, e);
    outputs_free(&o);
    return rc;
}
