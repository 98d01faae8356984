/*
 * Taking in: a batch file becomes messages in queue/new, all of them or none, exactly once.
 *
 *  1. Everything is unpacked into spool/in/NAME/making, duplicates left out, and synced.
 *  2. The directory is renamed to take-INCARNATION-SEQUENCE-MARK: from here on the batch is taken.
 *  3. The deliveries in it are added to the seen sets; then its files move to queue/new one by one; then the batch
 *     is noted as received; then the empty directory goes.
 *
 * After a crash a directory "making" is thrown away and a directory "take-…" goes through step 3 again, where whatever
 * has been done already is not there any more. Steps 1 to 3 are done under the lock "seen".
 */
#ifndef RELAY_INTAKE_H
#define RELAY_INTAKE_H

#include "relay/relay.h"

/* What a batch may have beside its largest message: other messages, framing, what does not compress. */
#define INTAKE_SPARE ((uint64_t)64 << 20)

enum intake_verdict {
	INTAKE_TAKEN,	  /* its messages are in the queue; the file may go */
	INTAKE_DUPLICATE, /* taken before; the file may go */
	INTAKE_DAMAGED,	  /* a copy is in corrupt/ with the reason; the file may go */
	INTAKE_STRANGER,  /* named after no neighbour, or a whole batch for another host: left alone */
	INTAKE_BUSY,	  /* another process works on that neighbour */
};

/* Judges and takes in the file NAME of D. Nothing is removed. LATER (disk full …) leaves everything as it was. */
enum outcome intake_file(
    struct relay *r, const struct dir *d, const char *name, enum intake_verdict *verdict, struct error *err);
/* The same for NAME in D, a directory of the spool that nobody else writes: what a call brought from neighbour N. It is taken
 * as it lies, and is gone afterwards, unless LATER. */
enum outcome intake_part(struct relay *r, struct neighbour *n, const struct dir *d, const char *name,
    enum intake_verdict *verdict, struct error *err);
/* A duplicate was taken off its carrier: it is logged, and its sender hears the acknowledgement again. */
void intake_duplicate(struct relay *r, const char *name);
/* Finishes what a crash cut short, for all neighbours or ONLY one. */
enum outcome intake_recover(struct relay *r, const char *only, struct error *err);

#endif
