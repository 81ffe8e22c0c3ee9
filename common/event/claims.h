/*
 * Which choice counts (design §3): a choice is void if a newer claim precedes it in its partition.
 * Every reader of a journal decides it here, record by record, so that all see the same one. Pure.
 *
 * A claim's number is its offset, and a choice names the claim under which it was made. Not every
 * reader has read every claim: retention takes the log's start, and a fold may start later. So a
 * valid choice stands for the claim that it names, which precedes it: where the claim itself was
 * not read, the highest one named so far counts. A choice that names none, or one that cannot
 * precede it, is void; were it valid, a single record of nonsense could make all later ones void.
 *
 * Life cycle: CLAIMS_NONE where nothing is known; then every record of the partition once, in
 * order, whether or not it can be used otherwise. newest is what a reader keeps beside its offset,
 * and it belongs to exactly that offset: kept with an earlier one it makes valid choices void. A
 * struct claims is a plain value of whoever reads the partition, for one thread at a time.
 */
#ifndef EVENT_CLAIMS_H
#define EVENT_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct claims {
    int64_t newest; /* offset of the newest claim that was read or validly named; -1: none known */
};
#define CLAIMS_NONE ((struct claims){-1})

/* Takes the next record of the partition. True: it is a choice, and void. named: the header `claim`
 * of a choice, negative if it has none; of other records it is not looked at. */
bool claims_void(struct claims *c, enum event_type type, int64_t offset, int64_t named);

#ifdef __cplusplus
}
#endif
#endif
