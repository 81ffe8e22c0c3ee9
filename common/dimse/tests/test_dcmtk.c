/* The unmodified tools of DCMTK (package dcmtk) against this library, in both roles. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "acceptor.h"

extern char **environ;

static char dir[256], sample[300];
static size_t dataset_bytes;

static void element(struct str *s, uint16_t group, uint16_t el, const char *vr, const void *v,
                    size_t n)
{
    uint8_t h[8] = {(uint8_t)group, (uint8_t)(group >> 8), (uint8_t)el, (uint8_t)(el >> 8),
                    (uint8_t)vr[0], (uint8_t)vr[1],        (uint8_t)n,  (uint8_t)(n >> 8)};

    str_append(s, h, 8);
    if (vr[0] == 'O') { /* long form: reserved, then 32 bits of length */
        memset(s->data + s->len - 2, 0, 2);
        str_append(s, (uint8_t[4]){(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16)}, 4);
    }
    str_append(s, v, n);
}

/* A Part 10 file of about 11 KB. */
static int setup(void **state)
{
    (void)state;
    struct str meta = STR_INIT, s = STR_INIT, file = STR_INIT;
    static uint8_t pixels[96 * 112], preamble[128];

    (void)str_copy(dir, sizeof dir, testkit_tmpdir());
    snprintf(sample, sizeof sample, "%s/sample.dcm", dir);
    element(&meta, 2, 0x01, "OB", "\0\1", 2);
    element(&meta, 2, 0x02, "UI", CT "\0", 26);
    element(&meta, 2, 0x03, "UI", "1.2.3.4\0", 8);
    element(&meta, 2, 0x10, "UI", EXPLICIT "\0", 20);
    element(&meta, 2, 0x12, "UI", "1.2.3\0", 6);
    element(&s, 8, 0x16, "UI", CT "\0", 26);
    element(&s, 8, 0x18, "UI", "1.2.3.4\0", 8);
    element(&s, 0x10, 0x20, "LO", "TEST", 4);
    element(&s, 0x20, 0x0D, "UI", "1.2.3.\0", 6);
    element(&s, 0x28, 0x10, "US", "\x60\0", 2);
    element(&s, 0x28, 0x11, "US", "\x70\0", 2);
    element(&s, 0x7FE0, 0x10, "OW", pixels, sizeof pixels);
    dataset_bytes = s.len;
    str_append(&file, preamble, sizeof preamble);
    str_puts(&file, "DICM");
    element(&file, 2, 0x00, "UL", (uint8_t[4]){(uint8_t)meta.len, (uint8_t)(meta.len >> 8)}, 4);
    str_append(&file, meta.data, meta.len);
    str_append(&file, s.data, s.len);
    FILE *f = fopen(sample, "w");
    assert_int_equal(fwrite(file.data, 1, file.len, f), file.len);
    fclose(f);
    str_free(&meta);
    str_free(&s);
    str_free(&file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testkit_rmdir(dir);
    return 0;
}

static pid_t start(char *const argv[])
{
    pid_t pid = 0;
    int rc = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

    if (rc != 0)
        fail_msg("%s: %s (package dcmtk is needed)", argv[0], strerror(rc));
    return pid;
}

static int finish(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_echoscu(void **state)
{
    (void)state;
    struct acceptor x = {0};
    char port[16];

    acceptor_start(&x);
    snprintf(port, sizeof port, "%d", x.port);
    char *argv[] = {"echoscu", "-aet", "MODALITY", "-aec", "US", "127.0.0.1", port, NULL};
    assert_int_equal(finish(start(argv)), 0);
    acceptor_join(&x);
    assert_int_equal(x.echoes, 1);
    assert_int_equal(x.last, DIMSE_RELEASED);
    assert_string_equal(x.peer.calling_ae, "MODALITY");
    assert_string_equal(x.peer.called_ae, "US");
}

/* storescu keeps Nagle and writes every PDU in two pieces: without our acknowledging at once, each
 * instance costs two delayed ACKs (11 instances per second). */
static void test_senders_with_nagle(void **state)
{
    (void)state;
    enum { N = 300 };
    char *tools[] = {"storescu", "dcmsend"};

    for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
        struct acceptor x = {0};
        char port[16], *argv[N + 8] = {tools[i], "127.0.0.1", port};
        int64_t before = clock_mono_ms();

        acceptor_start(&x);
        snprintf(port, sizeof port, "%d", x.port);
        for (int j = 0; j < N; j++)
            argv[3 + j] = sample;
        assert_int_equal(finish(start(argv)), 0);
        acceptor_join(&x);
        int64_t took = clock_mono_ms() - before;
        assert_int_equal(x.stores, N);
        assert_int_equal(x.bytes, x.stores * dataset_bytes);
        assert_int_equal(x.last, DIMSE_RELEASED);
        print_message("%s: %u instances in %lld ms\n", tools[i], x.stores, (long long)took);
        assert_true(took < 10000);
    }
}

static int listening(void *arg)
{
    int port = *(int *)arg;
    struct sockaddr_in s = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&s, sizeof s);

    close(fd);
    return rc == 0;
}

static int free_port(void)
{
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof s;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&s, sizeof s), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&s, &n), 0);
    close(fd);
    return ntohs(s.sin_port);
}

/* Our requestor against storescp: small and large PDUs, what arrives is what was sent. */
static void test_storescp(void **state)
{
    (void)state;
    static char *pdu_sizes[] = {"4096", "131072"};
    FILE *f = fopen(sample, "r");
    uint8_t bytes[16384];
    size_t n = fread(bytes, 1, sizeof bytes, f), at = n - dataset_bytes;

    fclose(f);
    for (size_t i = 0; i < ARRAY_LEN(pdu_sizes); i++) {
        struct acceptor x = {.port = free_port()};
        struct dimse_assoc *a = NULL;
        struct dimse_command c;
        struct err e = {0};
        char port[16], out[300], received[600];

        snprintf(port, sizeof port, "%d", x.port);
        snprintf(out, sizeof out, "%s/out%zu", dir, i);
        assert_int_equal(mkdir(out, 0700), 0);
        char *argv[] = {"storescp", "-q", "+B", "-pdu", pdu_sizes[i], "-od", out, port, NULL};
        pid_t pid = start(argv);
        assert_true(testkit_within(10000, listening, &x.port));
        struct dimse_dial d = dial_to(&x);
        if (dimse_connect(&a, &d, &e))
            fail_msg("%s", e.text);
        assert_non_null(dimse_accepted(a, 0));
        assert_non_null(dimse_accepted(a, 1));
        assert_int_equal(dimse_echo_begin(a, 1, 1, &e), 0);
        assert_int_equal(dimse_next(a, &c, &e), DIMSE_COMMAND);
        assert_int_equal(c.status, 0);
        assert_int_equal(dimse_store_begin(a, 3, 2, CT, "1.2.3.4", 0, &e), 0);
        assert_int_equal(dimse_store_write(a, bytes + at, dataset_bytes, true, &e), 0);
        assert_int_equal(dimse_next(a, &c, &e), DIMSE_COMMAND);
        assert_int_equal(c.status, 0);
        assert_int_equal(dimse_release(a, &e), 0);
        dimse_free(a);
        kill(pid, SIGTERM);
        (void)finish(pid);

        snprintf(received, sizeof received, "%s/CT.1.2.3.4", out);
        f = fopen(received, "r");
        assert_non_null(f);
        uint8_t back[16384];
        size_t m = fread(back, 1, sizeof back, f);
        fclose(f);
        assert_true(m > dataset_bytes);
        assert_memory_equal(back + m - dataset_bytes, bytes + at, dataset_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echoscu),
        cmocka_unit_test(test_senders_with_nagle),
        cmocka_unit_test(test_storescp),
    };

    (void)setenv("TCP_NODELAY", "1",
                 1); /* as sites that use DCMTK like to set it: ours still works */
    dimse_setup();
    (void)unsetenv("TCP_NODELAY"); /* the tools as they are delivered */
    return cmocka_run_group_tests(tests, setup, teardown);
}
