/* Bodies of the instance topic: receipts, associations, claims, commands. */
#include "event_priv.h"

#include "base/mem.h"

static const struct row source_rows[] = {
    TEXT(event_source, "name", name),
    TEXT(event_source, "label", label),
    TEXT(event_source, "site", site),
};
PART(part_source, "source", event_source, source_rows);

static const struct row stored_rows[] = {
    ID(event_instance_stored, "receipt", receipt),
    ID(event_instance_stored, "key", key),
    {"size", ROW_INT, ROW(event_instance_stored, size), ROW_REQUIRED, .min = 0, .max = INT64_MAX,
     .help = "Bytes of the whole Part 10 object.", .unit = "bytes"},
    {"sha256", ROW_STRING, ROW(event_instance_stored, sha256), ROW_REQUIRED, .min = 64, .max = 64,
     .help = "Of the dataset bytes as received; preamble and meta excluded."},
    ID(event_instance_stored, "study", study),
    ID(event_instance_stored, "series", series),
    ID(event_instance_stored, "sop", sop),
    TEXT(event_instance_stored, "sopClass", sop_class),
    TEXT(event_instance_stored, "syntax", syntax),
    TEXT(event_instance_stored, "association", association),
    SOURCE(event_instance_stored),
    TEXT(event_instance_stored, "callingAe", calling_ae),
    TEXT(event_instance_stored, "calledAe", called_ae),
    TEXT(event_instance_stored, "peer", peer),
    TEXT(event_instance_stored, "receivedAt", received_at),
    TEXT(event_instance_stored, "forcedRule", forced_rule),
    STRINGS(event_instance_stored, "flags", flags),
    {"tags", ROW_PAIRS, ROW(event_instance_stored, tags),
     .help = "Keyword to UTF-8 value; multi-values joined by a backslash."},
};
BODY(instance_stored, "instance.stored", event_instance_stored, stored_rows);

static const struct row count_rows[] = {
    ID(event_series_count, "series", series),
    POSITION(event_series_count, "answered", answered),
};
static PART(part_count, "seriesCount", event_series_count, count_rows);

static const char *const association_outcomes[] = {"released", "aborted", "lost", NULL};

static const struct row ended_rows[] = {
    ID(event_association_ended, "association", association),
    SOURCE(event_association_ended),
    WORD(event_association_ended, "outcome", outcome, association_outcomes),
    ID(event_association_ended, "study", study),
    {"series", ROW_LIST, ROW(event_association_ended, series), .max = 500, .of = &part_count,
     .help = "How many instances of each series were answered 0000."},
};
BODY(association_ended, "association.ended", event_association_ended, ended_rows);

static const struct row alive_rows[] = {
    ID(event_association_alive, "association", association),
    SOURCE(event_association_alive),
    STRINGS(event_association_alive, "studies", studies),
};
BODY(association_alive, "association.alive", event_association_alive, alive_rows);

static const struct row claim_rows[] = {
    TEXT(event_claim, "owner", owner),
    NUMBER(event_claim, "generation", generation),
};
BODY(claim, "claim", event_claim, claim_rows);
BODY(tick, "tick", event_claim, claim_rows);
BODY(padding, "padding", event_claim, claim_rows);

/* All commands have the same members; what each insists on differs. */
#define COMMAND_ROWS(study_flags, reroute_flags)                                                   \
    ID(event_command, "command", command), TEXT(event_command, "user", user),                      \
        TEXT(event_command, "reason", reason),                                                     \
        {"study", ROW_STRING, ROW(event_command, study), study_flags},                             \
        TEXT(event_command, "series", series),                                                     \
        {"decisions", ROW_STRINGS, ROW(event_command, decisions), reroute_flags},                  \
        {"targets", ROW_STRINGS, ROW(event_command, targets), reroute_flags},                      \
        STRINGS(event_command, "rules", rules),                                                    \
        TEXT(event_command, "configuration", configuration),                                       \
        {"dryRun", ROW_BOOL, ROW(event_command, dry_run)}, TEXT(event_command, "task", task),      \
        TEXT(event_command, "delivery", delivery)

static const struct row complete_rows[] = {COMMAND_ROWS(ROW_REQUIRED, 0)};
BODY(command_complete, "command.complete", event_command, complete_rows);
static const struct row reroute_rows[] = {COMMAND_ROWS(0, ROW_REQUIRED)};
BODY(command_reroute, "command.reroute", event_command, reroute_rows);
static const struct row command_rows[] = {COMMAND_ROWS(0, 0)};
BODY(command_replay, "command.replay", event_command, command_rows);
BODY(command_cancel, "command.cancel", event_command, command_rows);
BODY(command_retry, "command.retry", event_command, command_rows);
