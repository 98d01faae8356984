#include "lib/file.h"

#include <fcntl.h>

void sync_init(struct sync_set *s, const struct dir *root)
{
	*s = (struct sync_set){.root = root};
}

void sync_add(struct sync_set *s, int fd)
{
#ifdef __linux__
	if (s->count == SYNC_SET_FILES) {
		sync_drop(s);
		s->all = true;
	}
	if (s->all) {
		close(fd);
		return;
	}
#else
	if (s->count == SYNC_SET_FILES && sync_wait(s, NULL) != OUTCOME_DONE)
		s->all = true; /* remembered as a failure for the final wait */
#endif
	s->dirs[s->count] = (struct stat){.st_ino = 0};
	s->fds[s->count++] = fd;
}

static bool holds_dir(const struct sync_set *s, const struct stat *status)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->dirs[i].st_ino == status->st_ino && s->dirs[i].st_dev == status->st_dev)
			return true;
	return false;
}

void sync_add_dir(struct sync_set *s, const struct dir *d)
{
	struct stat status;
	bool known;
	int fd;

	if (s->all)
		return;
	known = fstat(d->fd, &status) == 0;
	if (known && holds_dir(s, &status))
		return;
	fd = known ? fcntl(d->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0) {
		s->all = true;
		return;
	}
	sync_add(s, fd);
	if (s->count > 0)
		s->dirs[s->count - 1] = status;
}

enum outcome sync_wait(struct sync_set *s, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (s->all)
		outcome = dir_sync_all(s->root, err);
	for (size_t i = 0; i < s->count && outcome == OUTCOME_DONE; i++)
		outcome = file_sync(s->fds[i], s->root->path, err);
	sync_drop(s);
	return outcome;
}

void sync_drop(struct sync_set *s)
{
	for (size_t i = 0; i < s->count; i++)
		close(s->fds[i]);
	s->count = 0;
	s->all = false;
}
