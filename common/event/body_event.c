/* Bodies of the config, dlq and event topics. */
#include "event_priv.h"

#include "base/mem.h"

static const struct row config_rows[] = {
    ID(event_config_current, "revision", revision), ID(event_config_current, "key", key),
    ID(event_config_current, "sha256", sha256),     TEXT(event_config_current, "by", by),
    TEXT(event_config_current, "why", why),
};
BODY(config_current, "config.current", event_config_current, config_rows);
BODY(config_published, "config.published", event_config_current, config_rows);

static const struct row rejected_rows[] = {
    ID(event_record_rejected, "topic", topic),
    POSITION(event_record_rejected, "partition", partition),
    POSITION(event_record_rejected, "offset", offset),
    ID(event_record_rejected, "stage", stage),
    {"claim", ROW_INT, ROW(event_record_rejected, claim), ROW_ALWAYS, .def = "-1"},
    {"error", ROW_STRING, ROW(event_record_rejected, error), ROW_REQUIRED,
     .help = "Without patient data."},
    NUMBER(event_record_rejected, "attempts", attempts),
    PAIRS(event_record_rejected, "headers", headers),
    TEXT(event_record_rejected, "recordKey", record_key),
    {"recordBase64", ROW_STRING, ROW(event_record_rejected, record_base64),
     .help = "The record whole."},
};
BODY(record_rejected, "record.rejected", event_record_rejected, rejected_rows);

/* All notes have the same members; what each insists on differs. */
#define NOTE_ROWS(named, answer, receipts_flags)                                                   \
    {"kind", ROW_STRING, ROW(event_note, kind)},                                                   \
        {"name", ROW_STRING, ROW(event_note, name), named}, TEXT(event_note, "by", by),            \
        TEXT(event_note, "why", why), TEXT(event_note, "until", until),                            \
        {"command", ROW_STRING, ROW(event_note, command), answer},                                 \
        {"outcome", ROW_STRING, ROW(event_note, outcome), answer}, TEXT(event_note, "text", text), \
        {"receipts", ROW_STRINGS, ROW(event_note, receipts), receipts_flags, .max = 500},          \
        TEXT(event_note, "study", study)

static const struct row note_rows[] = {NOTE_ROWS(0, 0, 0)};
static const struct row named_rows[] = {NOTE_ROWS(ROW_REQUIRED, 0, 0)};
static const struct row answer_rows[] = {NOTE_ROWS(0, ROW_REQUIRED, 0)};
static const struct row receipts_rows[] = {NOTE_ROWS(0, 0, ROW_REQUIRED)};

BODY(service_started, "service.started", event_note, note_rows);
BODY(service_stopped, "service.stopped", event_note, note_rows);
BODY(target_tested, "target.tested", event_note, named_rows);
BODY(object_condemned, "object.condemned", event_note, receipts_rows);
BODY(object_deleted, "object.deleted", event_note, receipts_rows);
BODY(hold_set, "hold.set", event_note, note_rows);
BODY(hold_released, "hold.released", event_note, note_rows);
BODY(dismissed, "dismissed", event_note, named_rows);
BODY(command_answered, "command.answered", event_note, answer_rows);
BODY(command_decided, "command.decided", event_note, answer_rows);
BODY(rule_failed, "rule.failed", event_note, named_rows);
BODY(alarm_raised, "alarm.raised", event_note, named_rows);
BODY(alarm_cleared, "alarm.cleared", event_note, named_rows);
