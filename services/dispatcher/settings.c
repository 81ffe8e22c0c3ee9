/* The dispatcher's settings, one row per key. */
#include "dispatcher/settings.h"

#include "base/mem.h"

#define AT(member) ROW(dispatcher_settings, member)

const struct row dispatcher_rows[] = {
    {"callingAe", ROW_STRING, AT(calling_ae), 0, "TALARIA", 1, 16,
     .help = "Calling AE title where a target names none."},
    {"transfers", ROW_INT, AT(transfers), 0, "256", 1, 4096,
     .help = "Transfers to all targets together at once."},
    {"connectSeconds", ROW_INT, AT(connect_seconds), 0, "15", 1, 300,
     .help = "Time for connection, TLS handshake and A-ASSOCIATE together.", .unit = "seconds"},
    {"stopSeconds", ROW_INT, AT(stop_seconds), 0, "5", 0, 3600,
     .help =
         "Time for running transfers to end after TERM; then they are aborted and go on elsewhere.",
     .unit = "seconds"},
    {"missingSeconds", ROW_INT, AT(missing_seconds), 0, "120", 0, 3600,
     .help =
         "An object that is missing may only be late (caches of a network file system): its member "
         "fails after so long.",
     .unit = "seconds"},
    {"expireSeconds", ROW_INT, AT(expire_seconds), 0, "12960000", 1, 13000000,
     .help = "A delivery that is open for so long ends as expired, before the topic's retention "
             "(180 days) takes its request.",
     .unit = "seconds"},
};
const size_t dispatcher_rows_n = ARRAY_LEN(dispatcher_rows);
