/*
 * Locks between processes, by flock(2) on files that are never deleted. A lock dies with its holder.
 *
 * A lock that somebody holds and one that cannot be had for another reason, as no lock service, no descriptors or a full
 * disk, are two things: the first passes, and who takes the second for it does nothing and says nothing for ever. So *HELD
 * tells of each failure which of the two it is; the exit code does not.
 *
 *	outcome = lock_try(&lock, &q->lock, "new", &held, err);
 *	if (outcome != OUTCOME_DONE)
 *		return held ? OUTCOME_DONE : outcome;
 */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include "lib/file.h"

struct lock {
	int fd; /* -1: not held */
};

#define LOCK_NONE ((struct lock){.fd = -1})

/* Takes the lock NAME in directory D, waiting up to LOCK_PATIENCE seconds; EX_TEMPFAIL when it stays busy. */
enum outcome lock_take(struct lock *lock, const struct dir *d, const char *name, struct error *err);
/* The same, waiting up to MILLISECONDS; *HELD when it fails because somebody holds it. */
enum outcome lock_wait(
    struct lock *lock, const struct dir *d, const char *name, int64_t milliseconds, bool *held, struct error *err);
/* Takes the lock at once or not at all; *HELD when it fails because somebody holds it. */
enum outcome lock_try(struct lock *lock, const struct dir *d, const char *name, bool *held, struct error *err);
void lock_release(struct lock *lock);

#endif
