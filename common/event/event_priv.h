/* Private to event: the tables of the bodies. */
#ifndef EVENT_PRIV_H
#define EVENT_PRIV_H

#include "event/event.h"

extern const struct row_table body_instance_stored, body_association_ended, body_association_alive,
    body_claim, body_tick, body_padding, body_command_complete, body_command_reroute,
    body_command_replay, body_command_cancel, body_command_retry, body_series_decided,
    body_study_decided, body_task_requested, body_task_started, body_task_heartbeat,
    body_task_attempted, body_task_finished, body_delivery_requested, body_delivery_progress,
    body_delivery_attempted, body_delivery_finished, body_config_current, body_config_published,
    body_record_rejected, body_service_started, body_service_stopped, body_target_tested,
    body_object_condemned, body_object_deleted, body_hold_set, body_hold_released, body_dismissed,
    body_command_answered, body_command_decided, body_rule_failed, body_alarm_raised,
    body_alarm_cleared;

/* Rows that several files need. ID: never absent, never empty. */
#define ID(type, json, member)                                                                     \
    {                                                                                              \
        json, ROW_STRING, ROW(type, member), ROW_REQUIRED, .min = 1                                \
    }
#define TEXT(type, json, member)                                                                   \
    {                                                                                              \
        json, ROW_STRING, ROW(type, member)                                                        \
    }
#define NUMBER(type, json, member)                                                                 \
    {                                                                                              \
        json, ROW_INT, ROW(type, member)                                                           \
    }
#define POSITION(type, json, member)                                                               \
    {                                                                                              \
        json, ROW_INT, ROW(type, member), ROW_REQUIRED, .min = 0, .max = INT64_MAX                 \
    }
#define WORD(type, json, member, words)                                                            \
    {                                                                                              \
        json, ROW_ENUM, ROW(type, member), ROW_REQUIRED, .names = words                            \
    }
#define SOURCE(type)                                                                               \
    {                                                                                              \
        "source", ROW_OBJECT, ROW(type, source), .of = &part_source                                \
    }
#define LIST(type, json, member, table)                                                            \
    {                                                                                              \
        json, ROW_LIST, ROW(type, member), .of = &(table)                                          \
    }
#define STRINGS(type, json, member)                                                                \
    {                                                                                              \
        json, ROW_STRINGS, ROW(type, member)                                                       \
    }
#define PAIRS(type, json, member)                                                                  \
    {                                                                                              \
        json, ROW_PAIRS, ROW(type, member)                                                         \
    }
#define MANIFEST(type)                                                                             \
    {                                                                                              \
        "manifest", ROW_OBJECT, ROW(type, manifest), ROW_REQUIRED, .of = &part_manifest            \
    }

#define BODY(id, record, type, rows_)                                                              \
    const struct row_table body_##id = {record, sizeof(struct type), rows_, ARRAY_LEN(rows_)}
#define PART(id, text, type, rows_)                                                                \
    const struct row_table id = {text, sizeof(struct type), rows_, ARRAY_LEN(rows_)}

extern const struct row_table part_source, part_manifest;

#endif
