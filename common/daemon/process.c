/* Metrics of the process itself, measured when they are asked for. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/daemon_priv.h"
#include "metrics/metrics.h"

static double resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; /* ".", ".." and the directory itself */
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

METRIC_GAUGE(resident, "process_resident_memory_bytes", "Resident memory.", "");
METRIC_GAUGE(fds, "process_open_fds", "Open file descriptors.", "");
METRIC_COUNTER(cpu, "process_cpu_seconds_total", "User and system CPU time.", "");

void process_measure(void)
{
    metric_set(&resident, resident_bytes());
    metric_set(&fds, open_fds());
    metric_set(&cpu, cpu_seconds());
}
