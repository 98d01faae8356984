/*
 * The age clock: seconds that this spool has lived, for expiry, warnings and back-off. It advances with the wall
 * clock, but a jump backwards counts as nothing and a jump forwards as AGE_STEP at most, so a clock that wakes up
 * in 1980 and is set right later neither expires everything nor stops anything. A machine that is switched off does
 * not age its mail beyond one step either: the mail had no chance to move.
 */
#ifndef QUEUE_AGE_H
#define QUEUE_AGE_H

#include "lib/log.h"

/* The most that one look at the clock adds: a day. */
#define AGE_STEP 86400

struct age {
	uint64_t now;	   /* age in seconds */
	int64_t wall;	   /* the wall clock at the last look */
	int64_t jumped;	   /* seconds the wall clock last jumped by, 0: never */
	int64_t jumped_at; /* wall clock after that jump */
};

/* Reads the clock kept in STATE (missing: begins at AGE_STEP) and advances it to the present. */
enum outcome age_look(const struct dir *state, struct age *age, struct error *err);
/* Keeps it, when it advanced a minute or jumped since it was last kept, and is not less than what is kept. A jump that was not kept
 * before is told to LOG (may be null). */
enum outcome age_keep(
    const struct dir *tmp, const struct dir *state, struct log *log, const struct age *age, struct error *err);
/*
 * Both: for whoever works on the queue, at the beginning and as long as it goes on. AGE is what the caller saw last, or all zero;
 * it never goes back, whatever has become of what is kept. On failure it stays as it is, or is not kept.
 */
enum outcome age_tick(
    const struct dir *tmp, const struct dir *state, struct log *log, struct age *age, struct error *err);

#endif
