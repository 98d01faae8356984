#include "lib/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "lib/limits.h"

enum outcome lock_try(struct lock *lock, const struct dir *d, const char *name, bool *held, struct error *err)
{
	enum outcome outcome;

	*lock = LOCK_NONE;
	*held = false;
	lock->fd = openat(d->fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock->fd < 0)
		return error_errno(err, errno, "cannot open the lock %s/%s", d->path, name);
	while (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		*held = errno == EWOULDBLOCK;
		outcome = *held ? error_set(err, EX_TEMPFAIL, "another process works on %s (lock %s/%s)", name,
				      d->path, name)
				: error_errno(err, errno, "cannot lock %s/%s", d->path, name);
		file_close(&lock->fd);
		return outcome;
	}
	return OUTCOME_DONE;
}

enum outcome lock_wait(
    struct lock *lock, const struct dir *d, const char *name, int64_t milliseconds, bool *held, struct error *err)
{
	struct timespec pause = {.tv_nsec = 5000000};
	int64_t waited = 0; /* milliseconds */

	for (;;) {
		enum outcome outcome = lock_try(lock, d, name, held, err);

		if (outcome == OUTCOME_DONE || !*held || waited >= milliseconds)
			return outcome;
		nanosleep(&pause, NULL);
		waited += pause.tv_nsec / 1000000;
		if (pause.tv_nsec < 100000000)
			pause.tv_nsec *= 2;
	}
}

enum outcome lock_take(struct lock *lock, const struct dir *d, const char *name, struct error *err)
{
	bool held;

	return lock_wait(lock, d, name, LOCK_PATIENCE * 1000, &held, err);
}

void lock_release(struct lock *lock)
{
	file_close(&lock->fd);
}
