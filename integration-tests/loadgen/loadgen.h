/*
 * A DICOM load generator and a DICOM sink of its own, so that the measured side is the bottleneck:
 * one thread and epoll, messages encoded once and patched in place. README.md tells how to use it.
 */
#ifndef LOADGEN_H
#define LOADGEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/str.h"

enum {
    PDU_ASSOCIATE_RQ = 1,
    PDU_ASSOCIATE_AC,
    PDU_ASSOCIATE_RJ,
    PDU_DATA,
    PDU_RELEASE_RQ,
    PDU_RELEASE_RP,
    PDU_ABORT
};
enum { C_STORE_RQ = 0x0001, C_STORE_RSP = 0x8001, C_ECHO_RQ = 0x0030, C_ECHO_RSP = 0x8030 };
#define PDU_HEADER 6
#define PDV_HEADER 6

/* ---- wire.c: PS3.7 and PS3.8 as far as a benchmark needs them ---- */
struct proposal {
    const char *calling, *called;
    uint32_t max_pdu;
    unsigned window;
};
/* One context: CT image storage, explicit VR little endian. */
void wire_associate_rq(struct str *out, const struct proposal *p);
struct accepted {
    bool context; /* the one that was proposed */
    uint32_t max_pdu;
    unsigned window;
};
/* body: what follows the PDU header. */
void wire_parse_ac(struct accepted *out, const uint8_t *body, size_t n);
/* Accepts every proposed context with its first syntax. -1: not an A-ASSOCIATE-RQ. */
int wire_associate_ac(struct str *out, const uint8_t *rq, size_t n);

struct command_set {
    unsigned field, message_id, status;
    bool has_dataset;
    char sop_class[65], sop[65];
};
int wire_parse_command(struct command_set *out, const uint8_t *p, size_t n);
/* A whole C-STORE-RSP or C-ECHO-RSP as one P-DATA PDU. */
void wire_response(struct str *out, unsigned context, const struct command_set *rq,
                   unsigned status);
uint32_t wire_u32be(const uint8_t *p);

/* ---- message.c: a C-STORE request, encoded once ---- */
#define UID_FIXED 52 /* length of the UIDs it carries, all the same */
struct message {
    uint8_t *bytes; /* command and dataset in their PDUs */
    size_t n, head; /* what is patched lies in the first head bytes */
    size_t message_id_at, command_sop_at, sop_at, study_at, series_at, number_at;
    size_t dataset; /* bytes of the dataset */
};
void message_new(struct message *m, size_t dataset_bytes, uint32_t max_pdu);
void message_free(struct message *m);
struct instance {
    uint32_t run, study, series, number;
};
/* Copies the head of m and patches it. */
void message_head(uint8_t *head, const struct message *m, uint16_t message_id,
                  const struct instance *i);

/* ---- load.c ---- */
struct load_options {
    const char *host, *port, *called, *calling;
    unsigned associations, window;
    int64_t instances;             /* 0: until seconds are over */
    int64_t seconds;               /* 0: until instances are sent */
    size_t size;                   /* bytes of a dataset */
    int64_t series_length, series; /* instances of a series, series of a study */
    uint32_t max_pdu, run;
    bool reconnect; /* a new association for every study */
    bool idle;      /* only opens the associations and holds them */
};
/* Runs and prints JSON; the exit status. */
int load_run(const struct load_options *o);

/* ---- sink.c ---- */
/* Accepts everything, answers 0000 at once; prints a JSON line whenever the count has changed (at
 * most each 20 ms), until TERM. */
int sink_run(int port);

#endif
