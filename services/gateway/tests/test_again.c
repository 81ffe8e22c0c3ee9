/* What a restart and a resend send, and when there is none. */
#include "testkit/testkit.h"

#include <stdio.h>

#include "base/mem.h"
#include "event/positions.h"
#include "gateway/again.h"

#define REQUEST                                                                                    \
    "{\"delivery\":\"p\",\"decision\":\"d\",\"target\":\"pacs\",\"study\":\"1.2\","                \
    "\"notAfter\":\"2020-01-01T00:00:00Z\",\"manifest\":{\"key\":\"m\",\"sha256\":\"s\"},"

struct want {
    enum again_kind kind;
    const char *status, *request, *first, *well;
    int64_t counted, n;
    enum ledger_kin kin;
    const char *positions; /* of what is sent; NULL: all */
    int64_t members;
    const char *refused; /* a word of why */
};

static const struct again_ids ids = {"p", "c", "key"};

static void check(const struct want *w)
{
    struct ledger_ended d = {.ended = strcmp(w->status, "attempted") != 0,
                             .deleted = strcmp(w->status, "expired") == 0,
                             .kin = w->kin,
                             .kin_id = "kin",
                             .kin_status = "cancelled",
                             .counted_well = w->counted,
                             .well_n = w->n};
    struct event_delivery_requested r;
    struct err e = {0};
    bool whole;
    struct arena *a = arena_new(0);
    str_copy(d.status, sizeof d.status, w->status);
    str_puts(&d.well, w->well ? w->well : "");
    str_puts(&d.request, w->request ? w->request : "");
    str_puts(&d.first, w->first ? w->first : "");
    int rc = again_request(&r, &whole, w->kind, &d, &ids, a, &e);
    if (w->refused) {
        assert_int_equal(rc, -1);
        assert_int_equal(e.code, 409);
        if (!strstr(e.text, w->refused))
            fail_msg("%s", e.text);
    } else {
        if (rc)
            fail_msg("%s", e.text);
        assert_string_equal(r.delivery, "c");
        assert_string_equal(r.parent, "p");
        assert_string_equal(r.command, "key");
        assert_null(r.not_after);
        assert_int_equal(r.members, w->members);
        assert_string_equal(r.positions ? r.positions : "all", w->positions ? w->positions : "all");
    }
    assert_false(whole);
    ledger_ended_free(&d);
    arena_free(a);
}

static void what_is_not_proven_to_have_ended_well_is_restarted(void **state)
{
    (void)state;
    static const char five[] = REQUEST "\"members\":5}",
                      three[] = REQUEST "\"members\":3,\"positions\":\"1,3-4\"}";
    static const struct want rows[] = {
        {AGAIN_RESTART, "failed", five, five, "0-2", 3, 3, KIN_NONE, "3-4", 2, NULL},
        {AGAIN_RESTART, "cancelled", five, five, "1", 1, 1, KIN_NONE, "0,2-4", 4, NULL},
        {AGAIN_RESTART, "failed", five, five, NULL, 0, 0, KIN_NONE, NULL, 5, NULL},
        /* a straggler told of one more after the end: it arrived */
        {AGAIN_RESTART, "failed", five, five, "0-3", 3, 4, KIN_NONE, "4", 1, NULL},
        {AGAIN_RESTART, "failed", five, five, "0-1", 3, 2, KIN_NONE, NULL, 0, "behind"},
        /* a restart of a restart: what that was asked for, and no more */
        {AGAIN_RESTART, "failed", three, five, "3", 1, 1, KIN_NONE, "1,4", 2, NULL},
        {AGAIN_RESTART, "failed", three, five, NULL, 0, 0, KIN_NONE, "1,3-4", 3, NULL},
        {AGAIN_RESTART, "delivered", five, five, "0-4", 5, 5, KIN_NONE, NULL, 0, "resend"},
        {AGAIN_RESTART, "dismissed", five, five, "0-4", 5, 5, KIN_NONE, NULL, 0, "resend"},
        {AGAIN_RESTART, "superseded", five, five, "0", 1, 1, KIN_WELL, NULL, 0, "as kin. A resend"},
        {AGAIN_RESTART, "failed", five, five, "0", 1, 1, KIN_BAD, NULL, 0, "ended: cancelled"},
        {AGAIN_RESTART, "superseded", five, five, "0", 1, 1, KIN_OPEN, NULL, 0, "already, as kin"},
        {AGAIN_RESTART, "attempted", five, five, NULL, 0, 0, KIN_NONE, NULL, 0, "not ended"},
        {AGAIN_RESTART, "expired", five, five, NULL, 0, 0, KIN_NONE, NULL, 0, "deleted"},
        {AGAIN_RESTART, "failed", NULL, NULL, NULL, 0, 0, KIN_NONE, NULL, 0, "not hold"},
        {AGAIN_RESEND, "delivered", five, five, "0-4", 5, 5, KIN_NONE, NULL, 5, NULL},
        {AGAIN_RESEND, "delivered", five, five, "0-4", 5, 5, KIN_WELL, NULL, 5, NULL},
        {AGAIN_RESEND, "superseded", five, five, "0", 1, 1, KIN_WELL, NULL, 5, NULL},
        {AGAIN_RESEND, "failed", five, five, "0", 3, 1, KIN_NONE, NULL, 5, NULL},
        /* of a restart: the whole manifest, which one that ended well stands for */
        {AGAIN_RESEND, "delivered", three, five, "1,3-4", 3, 3, KIN_NONE, NULL, 5, NULL},
        {AGAIN_RESEND, "delivered", three, NULL, "1,3-4", 3, 3, KIN_NONE, "1,3-4", 3, NULL},
        {AGAIN_RESEND, "delivered", five, five, "0-4", 5, 5, KIN_OPEN, NULL, 0, "already, as kin"},
        {AGAIN_RESEND, "delivered", five, five, "0-4", 5, 5, KIN_BAD, NULL, 0, "ended: cancelled"},
        {AGAIN_RESEND, "expired", five, five, NULL, 0, 0, KIN_NONE, NULL, 0, "deleted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(&rows[i]);
}

static void a_request_that_stands_is_described_again(void **state)
{
    (void)state;
    struct ledger_ended d = {.ended = true, .again = true, .kin = KIN_OPEN, .status = "superseded"};
    struct event_delivery_requested r;
    struct err e = {0};
    bool whole;
    struct arena *a = arena_new(0);
    str_puts(&d.request, REQUEST "\"members\":5}");
    str_puts(&d.well, "0-3");
    assert_int_equal(again_request(&r, &whole, AGAIN_RESTART, &d, &ids, a, &e), 0);
    assert_string_equal(r.positions, "4");
    ledger_ended_free(&d);
    arena_free(a);
}

/* Of n members every other one arrived; the request has a rule with a name of so many bytes. */
static void restart_of_pieces(int n, int rule, bool want_whole)
{
    struct ledger_ended d = {.ended = true, .status = "failed", .well_n = n / 2};
    struct event event = {.type = EVENT_DELIVERY_REQUESTED, .source = "s", .time = "t"};
    struct event_delivery_requested *r = &event.requested;
    struct err e = {0};
    struct str record = STR_INIT;
    bool whole;
    struct arena *a = arena_new(0);
    str_printf(&d.request, REQUEST "\"rules\":[\"%0*d\"],\"members\":%d}", rule, 1, n);
    for (int i = 1; i < n; i += 2)
        str_printf(&d.well, "%s%d", i > 1 ? "," : "", i);
    if (again_request(r, &whole, AGAIN_RESTART, &d, &ids, a, &e) ||
        event_encode(&record, &event, &e)) /* it fits into a record in any case */
        fail_msg("%s", e.text);
    assert_int_equal(whole, want_whole);
    assert_int_equal(r->members, want_whole ? n : n / 2);
    assert_int_equal(r->positions == NULL, want_whole);
    str_free(&record);
    ledger_ended_free(&d);
    arena_free(a);
}

static void too_many_pieces_are_sent_whole(void **state)
{
    (void)state;
    restart_of_pieces(12000, 29000, false); /* 30 KB */
    restart_of_pieces(13000, 1, true);      /* 36 KB */
    restart_of_pieces(10000, 40000, true);  /* 24 KB beside 40 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_proven_to_have_ended_well_is_restarted),
        cmocka_unit_test(a_request_that_stands_is_described_again),
        cmocka_unit_test(too_many_pieces_are_sent_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
