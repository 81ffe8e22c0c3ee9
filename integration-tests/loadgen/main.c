/* loadgen: options. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loadgen.h"

#define TINY 11152
#define CT   530832

static const char usage[] =
    "loadgen --to HOST:PORT [OPTIONS]     sends CT images, prints one JSON object\n"
    "  --called AE, --calling AE          TALARIA, LOADGEN\n"
    "  --associations N                   at once (1)\n"
    "  --instances M, --seconds S         until one of them is reached\n"
    "  --size tiny|ct|BYTES               of a dataset: 11152, 530832 (ct)\n"
    "  --series-length K, --series J      instances of a series (100), series of a study (1)\n"
    "  --reconnect                        a new association for every study\n"
    "  --window W                         operations at once on an association (1)\n"
    "  --pdu BYTES                        largest PDU (131072)\n"
    "  --run R                            part of the UIDs (from the clock)\n"
    "loadgen --to HOST:PORT --idle N --seconds S     holds N silent associations\n"
    "loadgen sink --port P                a target that answers at once and keeps nothing\n";

static int wrong(const char *what)
{
    fprintf(stderr, "loadgen: %s\n%s", what, usage);
    return 2;
}

static int number(int64_t *out, int64_t min, int64_t max)
{
    if (str_int64(out, optarg, min, max)) {
        fprintf(stderr, "loadgen: %s is not a number from %lld to %lld\n", optarg, (long long)min,
                (long long)max);
        return -1;
    }
    return 0;
}

static int size_of(size_t *out)
{
    int64_t n;
    if (strcmp(optarg, "tiny") == 0)
        n = TINY;
    else if (strcmp(optarg, "ct") == 0)
        n = CT;
    else if (number(&n, 2048, 1 << 30))
        return -1;
    *out = (size_t)n;
    return 0;
}

enum {
    TO = 1,
    CALLED,
    CALLING,
    ASSOCIATIONS,
    INSTANCES,
    SECONDS,
    SIZE,
    SERIES_LENGTH,
    SERIES,
    RECONNECT,
    WINDOW,
    PDU,
    RUN,
    IDLE
};
static const struct option options[] = {
    {"to", 1, NULL, TO},
    {"called", 1, NULL, CALLED},
    {"calling", 1, NULL, CALLING},
    {"associations", 1, NULL, ASSOCIATIONS},
    {"instances", 1, NULL, INSTANCES},
    {"seconds", 1, NULL, SECONDS},
    {"size", 1, NULL, SIZE},
    {"series-length", 1, NULL, SERIES_LENGTH},
    {"series", 1, NULL, SERIES},
    {"reconnect", 0, NULL, RECONNECT},
    {"window", 1, NULL, WINDOW},
    {"pdu", 1, NULL, PDU},
    {"run", 1, NULL, RUN},
    {"idle", 1, NULL, IDLE},
    {NULL, 0, NULL, 0},
};

static int take(struct load_options *o, int which)
{
    int64_t n = 0;
    switch (which) {
    case TO: {
        char *colon = strrchr(optarg, ':');
        if (!colon)
            return -1;
        *colon = '\0';
        o->host = optarg;
        o->port = colon + 1;
        return 0;
    }
    case CALLED:
        o->called = optarg;
        return 0;
    case CALLING:
        o->calling = optarg;
        return 0;
    case ASSOCIATIONS:
    case IDLE:
        if (number(&n, 1, 10000))
            return -1;
        o->associations = (unsigned)n;
        o->idle = which == IDLE;
        return 0;
    case INSTANCES:
        return number(&o->instances, 1, 1000000000);
    case SECONDS:
        return number(&o->seconds, 1, 86400);
    case SIZE:
        return size_of(&o->size);
    case SERIES_LENGTH:
        return number(&o->series_length, 1, 1000000);
    case SERIES:
        return number(&o->series, 1, 10000);
    case RECONNECT:
        o->reconnect = true;
        return 0;
    case WINDOW:
        if (number(&n, 1, 64))
            return -1;
        o->window = (unsigned)n;
        return 0;
    case PDU:
        if (number(&n, 8192, 131072))
            return -1;
        o->max_pdu = (uint32_t)n;
        return 0;
    case RUN:
        if (number(&n, 0, UINT32_MAX))
            return -1;
        o->run = (uint32_t)n;
        return 0;
    default:
        return -1;
    }
}

static int sink(int argc, char **argv)
{
    int64_t port;
    if (argc != 4 || strcmp(argv[2], "--port") != 0 || str_int64(&port, argv[3], 1, 65535))
        return wrong("sink --port P");
    return sink_run((int)port);
}

int main(int argc, char **argv)
{
    struct load_options o = {.called = "TALARIA",
                             .calling = "LOADGEN",
                             .associations = 1,
                             .window = 1,
                             .size = CT,
                             .series_length = 100,
                             .series = 1,
                             .max_pdu = 131072,
                             .run = (uint32_t)(clock_wall_ms() / 10)};
    int which;
    struct rlimit files;
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc > 1 && strcmp(argv[1], "sink") == 0)
        return sink(argc, argv);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (take(&o, which))
            return wrong("wrong option");
    if (!o.host || optind < argc)
        return wrong("--to HOST:PORT is needed");
    if (!o.instances && !o.seconds)
        return wrong("--instances or --seconds is needed");
    if (o.idle && !o.seconds)
        return wrong("--idle needs --seconds");
    return load_run(&o);
}
