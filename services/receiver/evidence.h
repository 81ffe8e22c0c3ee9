/*
 * What an association can testify: per study and series, how many instances were answered 0000
 * (design.md §4 "Evidence"). Pure; owned by the association's thread.
 */
#ifndef RECEIVER_EVIDENCE_H
#define RECEIVER_EVIDENCE_H

#include "event/outputs.h"

struct evidence;

struct evidence *evidence_new(void);
void evidence_free(struct evidence *v);
/* announced = false (the outbox was used): this association testifies nothing. */
void evidence_answered(struct evidence *v, const char *study, const char *series, bool announced);
/* Appends association.ended records, one per study (several when over 500 series). */
int evidence_records(const struct evidence *v, const char *association,
                     const struct event_source *source, enum event_association_outcome outcome,
                     struct outputs *out, struct err *e) MUST_CHECK;

#endif
