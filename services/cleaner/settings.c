/* The cleaner's settings, one row per key. When deletion is allowed stands in the configuration:
 * the retention of each rule, offPeakStart and offPeakEnd. */
#include "cleaner/settings.h"

#include "base/mem.h"

#define AT(member) ROW(cleaner_settings, member)

const struct row cleaner_rows[] = {
    {"scanSeconds", ROW_INT, AT(scan_seconds), 0, "60", 1, 86400,
     .help = "Pause between two looks for what is settled and due.", .unit = "seconds"},
    {"batch", ROW_INT, AT(batch), 0, "10000", 1, 100000,
     .help = "Objects deleted, or found to be unknown, behind one barrier at most."},
    {"emergencyPercentage", ROW_INT, AT(emergency_percentage), 0, "90", 1, 100,
     .help = "Use of the store's volume from which settled objects go at any hour and without "
             "waiting for their retention."},
    {"barrierSeconds", ROW_INT, AT(barrier_seconds), 0, "60", 1, 3600,
     .help = "Time for the bookkeeper to reach the ends of all topics; otherwise nothing is "
             "deleted and the next look begins anew.",
     .unit = "seconds"},
    {"reconcileSeconds", ROW_INT, AT(reconcile_seconds), 0, "3600", 1, 604800,
     .help = "Pause between two walks through the store for objects that nobody knows.",
     .unit = "seconds"},
    {"orphanSeconds", ROW_INT, AT(orphan_seconds), 0, "3600", 0, 604800,
     .help = "Age from which an object that nobody knows counts as one.", .unit = "seconds"},
    {"outboxAlarmSeconds", ROW_INT, AT(outbox_alarm_seconds), 0, "600", 1, 604800,
     .help = "Age of the oldest record in the outbox from which it is an alarm.",
     .unit = "seconds"},
};
const size_t cleaner_rows_n = ARRAY_LEN(cleaner_rows);
