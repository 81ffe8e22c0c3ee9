/* What the gateway says, as text for people. Pure: JSON in, text out. */
#ifndef TALARIA_SHOW_H
#define TALARIA_SHOW_H

#include <jansson.h>

#include "talaria/cli.h"

/* Members of an object; a missing or null one gives NULL, 0, -1. */
const char *show_text(const json_t *o, const char *name);
int64_t show_number(const json_t *o, const char *name);
/* Unix ms of a time with "Z" or an offset; -1 if there is none. */
int64_t show_time(const json_t *o, const char *name);
int64_t show_parse_time(const char *text);
/* "14:15:02.123"; with the date, "2026-03-14 14:15:02": UTC. "-" for a negative one. */
#define SHOW_CLOCK 32
char *show_clock(char out[SHOW_CLOCK], int64_t ms, bool date);
/* Items of an array of strings joined by between. */
void show_joined(struct str *out, const json_t *array, const char *between);

/* status: the whole of /api/v1/status. */
void show_status(struct str *out, const json_t *status, bool bold);
/* ledger: the whole of /api/v1/ledger. */
void show_ledger(struct str *out, const json_t *sheet, bool bold);
/* A page of /api/v1/studies. */
void show_studies(struct str *out, const json_t *page, bool bold);
/* One study: what happened to it, in the order of time. */
void show_study(struct str *out, const json_t *study, bool bold);
/* Nothing of it is under way. */
bool show_study_ended(const json_t *study);
/* It ended, and a person has to look at it (failed, rejected, held). */
bool show_study_bad(const json_t *study);

#endif
