/*
 * Locks between processes, by flock(2) on files that are never deleted. A lock dies with its holder.
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
/* The same, waiting up to MILLISECONDS. */
enum outcome lock_wait(
    struct lock *lock, const struct dir *d, const char *name, int64_t milliseconds, struct error *err);
/* Takes the lock at once or not at all: EX_TEMPFAIL when somebody holds it. */
enum outcome lock_try(struct lock *lock, const struct dir *d, const char *name, struct error *err);
/* The same, telling by *HELD whether that is the reason for an error. */
enum outcome lock_try_held(struct lock *lock, const struct dir *d, const char *name, bool *held, struct error *err);
void lock_release(struct lock *lock);

#endif
