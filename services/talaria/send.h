/* The pure half of talaria send: which files travel together, and what became of them. */
#ifndef TALARIA_SEND_H
#define TALARIA_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "dimse/dimse.h"

struct send_file {
    char *path;
    char sop_class[DIMSE_UID], sop[DIMSE_UID], syntax[DIMSE_UID];
    off_t dataset;
    unsigned proposal; /* in its association */
};

/* Assigns proposals to files[from …) until 128 contexts are used; returns the first file that does
 * not fit. proposals has room for DIMSE_CONTEXTS. */
size_t send_board(struct send_file *files, size_t n, size_t from, struct dimse_proposal *proposals,
                  unsigned *n_proposals);

#define SEND_STATUSES 32
#define SEND_REFUSED  (-1) /* presentation context not accepted */
struct send_result {
    int64_t stored, failed, skipped; /* skipped: files of a folder that are not DICOM */
    struct send_status {
        int status;
        int64_t n;
        char example[DIMSE_UID]; /* SOP class of the first */
    } statuses[SEND_STATUSES];
    size_t n_statuses;
};
/* status: of the answer, or SEND_REFUSED. Success and warnings (Bxxx) count as stored. */
void send_count(struct send_result *r, int status, const struct send_file *f);
void send_result_text(struct str *out, const struct send_result *r, int64_t ms);
void send_result_json(struct str *out, const struct send_result *r, int64_t ms);

/* "host:port", "[::1]:port" */
int send_address(char *host, size_t cap, int *port, const char *text) MUST_CHECK;

#endif
