/* Which files share an association, how answers are counted, addresses. */
#include <stdlib.h>

#include "base/mem.h"
#include "talaria/send.h"
#include "testkit/testkit.h"

static void test_board(void **state)
{
    (void)state;
    enum { N = 300 };
    struct send_file *files = mem_zalloc(N * sizeof *files);
    struct dimse_proposal proposals[DIMSE_CONTEXTS];
    unsigned n;
    for (int i = 0; i < N; i++) { /* each pair twice, in turn: 150 pairs */
        snprintf(files[i].sop_class, DIMSE_UID, "1.2.%d", i % 75);
        snprintf(files[i].syntax, DIMSE_UID, "1.3.%d", i % 150 / 75);
    }
    size_t to = send_board(files, N, 0, proposals, &n);
    assert_int_equal(n, 128);
    assert_int_equal(to, 128);
    assert_int_equal(files[74].proposal, 74);
    assert_int_equal(files[127].proposal, 127);
    assert_string_equal(proposals[75].abstract, "1.2.0");
    assert_string_equal(proposals[75].syntaxes[0], "1.3.1");
    to = send_board(files, N, to, proposals, &n);
    assert_int_equal(to, 256);
    assert_int_equal(files[150 + 128 - 1 - 22].proposal, 127);
    to = send_board(files, N, to, proposals, &n);
    assert_int_equal(to, N);
    assert_int_equal(n, 44);
    assert_int_equal(files[N - 1].proposal, 43);
    mem_free(files);
}

static void test_result(void **state)
{
    (void)state;
    struct send_result r = {.skipped = 2};
    const struct send_file f = {.sop_class = "1.2.3"};
    struct str s = STR_INIT;
    static const int statuses[] = {0, 0, 0xB007, 0xA700, SEND_REFUSED, 0xA700};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        send_count(&r, statuses[i], &f);
    send_result_text(&s, &r, 1234);
    assert_string_equal(str_cstr(&s),
                        "3 stored, 3 failed, 2 other files left out in 1.2 s\n"
                        "  1 answered with status B007\n"
                        "  2 answered with status A700\n"
                        "  1 refused by the node: SOP class 1.2.3 or its transfer syntax\n");
    str_clear(&s);
    send_result_json(&s, &r, 1234);
    assert_string_equal(str_cstr(&s),
                        "{\"stored\":3,\"failed\":3,\"skipped\":2,\"milliseconds\":1234,"
                        "\"statuses\":{\"0000\":2,\"B007\":1,\"A700\":2,\"refused\":1}}\n");
    str_free(&s);
}

static void test_many_statuses(void **state)
{
    (void)state;
    struct send_result r = {0};
    const struct send_file f = {.sop_class = "1.2.3"};
    for (int i = 0; i < 100; i++)
        send_count(&r, 0xC000 + i, &f);
    assert_int_equal(r.failed, 100);
    assert_int_equal(r.n_statuses, SEND_STATUSES);
}

static void test_address(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port;
    } cases[] = {
        {"localhost:104", "localhost", 104},
        {"10.0.0.1:65535", "10.0.0.1", 65535},
        {"[::1]:11112", "::1", 11112},
        {"::1:11112", NULL, 0},
        {"host", NULL, 0},
        {":104", NULL, 0},
        {"host:0", NULL, 0},
        {"host:65536", NULL, 0},
        {"[]:1", NULL, 0},
        {"[::1:1", NULL, 0},
        {"a-name-too-long:1", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char host[12] = "";
        int port = 0;
        int r = send_address(host, sizeof host, &port, cases[i].text);
        assert_int_equal(r, cases[i].host ? 0 : -1);
        assert_string_equal(host, cases[i].host ? cases[i].host : "");
        assert_int_equal(port, cases[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_board),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_many_statuses),
        cmocka_unit_test(test_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
