#include "lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include "lib/alloc.h"
#include "lib/limits.h"

/* Parts that go to the system in one call, at most (POSIX lets it take no more than IOV_MAX, 1024 on Linux). */
#define FILE_PARTS 256

/* ---- faults, for the tests ------------------------------------------------------------------------------- */

enum fault_kind { FAULT_UNKNOWN, FAULT_READING, FAULT_NONE, FAULT_KILL, FAULT_FAIL };

static struct {
	_Atomic int kind;
	_Atomic uint64_t countdown;
	int errnum;
} fault;

/* By the thread that comes first; the others wait until it has read the plan. */
static void fault_configure(void)
{
	const char *plan = getenv("PACKETBOAT_FAULT");
	int found = FAULT_UNKNOWN;
	char kind[8];
	int errnum = EIO;
	uint64_t count = 0;

	if (!atomic_compare_exchange_strong(&fault.kind, &found, FAULT_READING)) {
		while (atomic_load(&fault.kind) == FAULT_READING)
			sched_yield();
		return;
	}
	if (plan == NULL || sscanf(plan, "%7[a-z]:%" SCNu64 ":%d", kind, &count, &errnum) < 2)
		kind[0] = '\0';
	atomic_store(&fault.countdown, count);
	fault.errnum = errnum;
	atomic_store(&fault.kind, strcmp(kind, "kill") == 0   ? FAULT_KILL
				  : strcmp(kind, "fail") == 0 ? FAULT_FAIL
							      : FAULT_NONE);
}

/* Called before every change to the file system; true: the change must fail with errno as set. */
static bool fault_strikes(void)
{
	if (atomic_load(&fault.kind) <= FAULT_READING)
		fault_configure();
	/* Counted down by all threads together; past one it goes on below zero, and never comes back. */
	if (atomic_load(&fault.kind) == FAULT_NONE || atomic_fetch_sub(&fault.countdown, 1) != 1)
		return false;
	if (atomic_load(&fault.kind) == FAULT_KILL)
		raise(SIGKILL);
	errno = fault.errnum;
	return true;
}

/* ---- directories ----------------------------------------------------------------------------------------- */

static const char *parent_path(const struct dir *parent, const char *path)
{
	return parent == NULL || path[0] == '/' ? "" : parent->path;
}

enum outcome dir_open(struct dir *d, const struct dir *parent, const char *path, struct error *err)
{
	const char *above = parent_path(parent, path);

	d->path = mem_format("%s%s%s", above, above[0] != '\0' ? "/" : "", path);
	d->fd = openat(parent == NULL ? AT_FDCWD : parent->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0) {
		enum outcome outcome = error_errno(err, errno, "cannot open the directory %s", d->path);

		dir_close(d);
		return outcome;
	}
	return OUTCOME_DONE;
}

enum outcome dir_open_real(struct dir *d, const struct dir *parent, const char *name, struct error *err)
{
	struct stat st;

	*d = DIR_CLOSED;
	if (fstatat(parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
		return error_set(err, EX_DATAERR, "%s/%s is no directory, or a link to one, which is not followed",
		    parent->path, name);
	return dir_open(d, parent, name, err);
}

enum outcome dir_make(struct dir *d, const struct dir *parent, const char *path, mode_t mode, struct error *err)
{
	*d = DIR_CLOSED;
	if (fault_strikes() || mkdirat(parent == NULL ? AT_FDCWD : parent->fd, path, mode) != 0) {
		if (errno != EEXIST) {
			const char *above = parent_path(parent, path);

			return error_errno(
			    err, errno, "cannot make the directory %s%s%s", above, above[0] != '\0' ? "/" : "", path);
		}
	} else if (parent != NULL) {
		enum outcome outcome = dir_sync(parent, err);

		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	return dir_open(d, parent, path, err);
}

void dir_close(struct dir *d)
{
	file_close(&d->fd);
	free(d->path);
	d->path = NULL;
}

enum outcome dir_sync(const struct dir *d, struct error *err)
{
	return file_sync(d->fd, d->path, err);
}

enum outcome dir_sync_all(const struct dir *d, struct error *err)
{
#ifdef __linux__
	if (!fault_strikes() && syncfs(d->fd) == 0)
		return OUTCOME_DONE;
	return error_errno(err, errno, "cannot sync the file system of %s", d->path);
#else
	return error_set(err, EX_TEMPFAIL, "cannot sync the file system of %s", d->path);
#endif
}

enum outcome dir_remove(const struct dir *parent, const char *name, struct error *err)
{
	if (fault_strikes() || unlinkat(parent->fd, name, AT_REMOVEDIR) != 0)
		if (errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
			return error_errno(err, errno, "cannot remove the directory %s/%s", parent->path, name);
	return OUTCOME_DONE;
}

enum outcome dir_wipe(const struct dir *parent, const char *name, struct error *err)
{
	struct dir d;
	struct names names = {0};
	struct error why = ERROR_NONE;
	enum outcome outcome = dir_open(&d, parent, name, &why);

	if (outcome != OUTCOME_DONE) {
		if (why.code == EX_NOINPUT)
			return OUTCOME_DONE;
		if (err != NULL)
			*err = why;
		return outcome;
	}
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		outcome = file_remove(&d, names.items[i], err);
	names_release(&names);
	dir_close(&d);
	return outcome == OUTCOME_DONE ? dir_remove(parent, name, err) : outcome;
}

static DIR *dir_stream(const struct dir *d, const char *name)
{
	/* A descriptor of its own, also for ".": reading must not share its position with other readers of D. */
	int fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (stream == NULL && fd >= 0)
		close(fd);
	return stream;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

enum outcome dir_names_after(
    const struct dir *d, const char *after, size_t limit, struct names *names, struct error *err)
{
	DIR *stream = dir_stream(d, ".");
	struct dirent *item;

	*names = (struct names){0};
	if (stream == NULL)
		return error_errno(err, errno, "cannot read the directory %s", d->path);
	while (errno = 0, (item = readdir(stream)) != NULL) {
		if (is_dots(item->d_name) || strcmp(item->d_name, after) <= 0)
			continue;
		names_add(names, item->d_name);
		/* Cut rarely, so that each name is sorted a few times only. */
		if (names->count / 2 >= limit)
			names_cut(names, limit);
	}
	if (errno != 0) {
		enum outcome outcome = error_errno(err, errno, "cannot read the directory %s", d->path);

		closedir(stream);
		names_release(names);
		return outcome;
	}
	closedir(stream);
	names_cut(names, limit);
	return OUTCOME_DONE;
}

enum outcome dir_names(const struct dir *d, struct names *names, struct error *err)
{
	return dir_names_after(d, "", SIZE_MAX, names, err);
}

enum outcome dir_look(const struct dir *d, const char *name, bool *found, struct error *err)
{
	struct stat st;
	int result = fstatat(d->fd, name, &st, 0);

	*found = result == 0 && S_ISDIR(st.st_mode);
	if (result == 0 || errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP)
		return OUTCOME_DONE;
	error_errno(err, errno, "cannot look at %s/%s", d->path, name);
	if (err != NULL)
		err->code = EX_TEMPFAIL;
	return OUTCOME_LATER;
}

/* Some file systems do not say what a name stands for. */
static bool is_file(const struct dir *d, const char *parent, const struct dirent *item)
{
	char *path;
	bool found;

	if (item->d_type != DT_UNKNOWN)
		return item->d_type == DT_REG;
	path = mem_format("%s/%s", parent, item->d_name);
	found = file_exists(d, path, NULL);
	free(path);
	return found;
}

enum outcome dir_files(const struct dir *d, const char *name, dir_visit *visit, void *context, struct error *err)
{
	DIR *stream = dir_stream(d, name);
	const struct dirent *item;
	enum outcome outcome = OUTCOME_DONE;

	if (stream == NULL)
		return error_errno(err, errno, "cannot read the directory %s/%s", d->path, name);
	while (errno = 0, (item = readdir(stream)) != NULL)
		if (is_file(d, name, item))
			visit(context, item->d_name, strlen(item->d_name));
	if (errno != 0)
		outcome = error_errno(err, errno, "cannot read the directory %s/%s", d->path, name);
	closedir(stream);
	return outcome;
}

struct dir_stamp dir_stamp(const struct dir *d, const char *name)
{
	struct stat st;

	if (fstatat(d->fd, name, &st, 0) != 0)
		return (struct dir_stamp){0};
	return (struct dir_stamp){st.st_ino, st.st_mtim, st.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool dir_stamp_same(const struct dir_stamp *a, const struct dir_stamp *b)
{
	return a->inode != 0 && a->inode == b->inode && same_time(a->modified, b->modified) &&
	       same_time(a->changed, b->changed);
}

bool dir_empty(const struct dir *d)
{
	DIR *stream = dir_stream(d, ".");
	struct dirent *item;
	bool empty = true;

	if (stream == NULL)
		return true;
	while (empty && (item = readdir(stream)) != NULL)
		empty = is_dots(item->d_name);
	closedir(stream);
	return empty;
}

enum outcome dir_space(const struct dir *d, uint64_t *bytes, uint64_t *inodes, struct error *err)
{
	struct statvfs fs;

	if (fstatvfs(d->fd, &fs) != 0)
		return error_errno(err, errno, "cannot ask for the free space of %s", d->path);
	*bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* Some file systems have no fixed number of inodes and report none. */
	*inodes = fs.f_files == 0 ? UINT64_MAX : (uint64_t)fs.f_favail;
	return OUTCOME_DONE;
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static enum outcome file_open_stat(
    const struct dir *d, const char *name, int flags, const char *verb, int *fd, struct stat *st, struct error *err)
{
	bool changes = (flags & O_CREAT) != 0;
	enum outcome outcome = OUTCOME_DONE;

	*fd = -1;
	/* Not blocking, since on a stick there may be anything: a FIFO would wait for ever. */
	if (!changes || !fault_strikes())
		*fd = openat(d->fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (*fd < 0)
		return error_errno(err, errno, "cannot %s %s/%s", verb, d->path, name);
	if (fstat(*fd, st) != 0)
		outcome = error_errno(err, errno, "cannot %s %s/%s", verb, d->path, name);
	else if (!S_ISREG(st->st_mode))
		outcome = error_set(err, EX_DATAERR, "cannot %s %s/%s: it is no regular file", verb, d->path, name);
	if (outcome != OUTCOME_DONE)
		file_close(fd);
	return outcome;
}

static enum outcome file_open_as(
    const struct dir *d, const char *name, int flags, const char *verb, int *fd, struct error *err)
{
	struct stat st;

	return file_open_stat(d, name, flags, verb, fd, &st, err);
}

enum outcome file_create(const struct dir *d, const char *name, int *fd, struct error *err)
{
	struct stat st;

	for (;;) {
		enum outcome outcome = file_open_as(d, name, O_RDWR | O_CREAT | O_EXCL, "create", fd, err);

		if (outcome != OUTCOME_DONE)
			return outcome;
		/* For tmp_sweep: this one has a writer. A sweep that came in between has removed it: once more. */
		while (flock(*fd, LOCK_SH) != 0 && errno == EINTR)
			;
		if (fstat(*fd, &st) != 0 || st.st_nlink > 0)
			return OUTCOME_DONE;
		file_close(fd);
	}
}

enum outcome file_create_shared(const struct dir *d, const char *name, int *fd, struct error *err)
{
	enum outcome outcome = file_create(d, name, fd, err);

	if (outcome == OUTCOME_DONE) {
		mode_t mask = umask(0);

		umask(mask);
		/* Media without permissions refuse this, and do not need it. */
		(void)fchmod(*fd, 0666 & ~mask);
	}
	return outcome;
}

enum outcome file_create_within(const struct dir *d, const char *name, struct view bytes, int *fd, struct error *err)
{
	enum outcome outcome;

	*fd = -1;
	if (!fault_strikes())
		*fd = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return error_errno(err, errno, "cannot create %s/%s", d->path, name);
	outcome = file_write(*fd, bytes.bytes, bytes.length, name, err);
	if (outcome != OUTCOME_DONE)
		file_close(fd);
	return outcome;
}

bool file_claim(const struct dir *d, const char *name, int *fd)
{
	/* For reading and writing: over NFS an exclusive lock wants that. */
	*fd = openat(d->fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0)
		file_close(fd);
	return *fd >= 0;
}

enum outcome file_open(const struct dir *d, const char *name, int *fd, struct error *err)
{
	return file_open_as(d, name, O_RDONLY, "open", fd, err);
}

enum outcome file_open_sized(const struct dir *d, const char *name, int *fd, uint64_t *size, struct error *err)
{
	struct stat st;
	enum outcome outcome = file_open_stat(d, name, O_RDONLY, "open", fd, &st, err);

	*size = outcome == OUTCOME_DONE ? (uint64_t)st.st_size : 0;
	return outcome;
}

enum outcome file_open_null(int *fd, struct error *err)
{
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *fd < 0 ? error_errno(err, errno, "cannot open /dev/null") : OUTCOME_DONE;
}

enum outcome file_append(const struct dir *d, const char *name, int *fd, struct error *err)
{
	return file_open_as(d, name, O_RDWR | O_CREAT | O_APPEND, "open", fd, err);
}

enum outcome file_write(int fd, const void *bytes, size_t size, const char *name, struct error *err)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		ssize_t count = fault_strikes() ? -1 : write(fd, at, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_errno(err, errno, "cannot write %s", name);
		at += count;
		size -= (size_t)count;
	}
	return OUTCOME_DONE;
}

enum outcome file_write_at(
    int fd, const void *bytes, size_t size, uint64_t offset, const char *name, struct error *err)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		ssize_t count = fault_strikes() ? -1 : pwrite(fd, at, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_errno(err, errno, "cannot write %s", name);
		at += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return OUTCOME_DONE;
}

/* PARTS as the system takes them, beginning SKIP bytes behind the front; how many of them. */
static int parts_gather(struct iovec *out, const struct view *parts, size_t count, size_t skip)
{
	size_t used = 0;

	for (size_t i = 0; i < count && used < FILE_PARTS; i++, skip = 0) {
		struct view rest = view_from(parts[i], skip);

		if (rest.length > 0)
			out[used++] = (struct iovec){(void *)(uintptr_t)rest.bytes, rest.length};
	}
	return (int)used;
}

enum outcome file_write_parts_at(
    int fd, const struct view *parts, size_t count, uint64_t offset, const char *name, struct error *err)
{
	struct iovec gathered[FILE_PARTS];
	size_t skip = 0; /* of the first part */

	for (;;) {
		ssize_t written;
		int used;

		for (; count > 0 && skip >= parts->length; parts++, count--)
			skip -= parts->length;
		if (count == 0)
			return OUTCOME_DONE;
		used = parts_gather(gathered, parts, count, skip);
		written = fault_strikes() ? -1 : pwritev(fd, gathered, used, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return error_errno(err, errno, "cannot write %s", name);
		offset += (uint64_t)written;
		skip += (size_t)written;
	}
}

enum outcome file_read_at(int fd, void *bytes, size_t size, uint64_t offset, const char *name, struct error *err)
{
	uint8_t *at = bytes;

	while (size > 0) {
		ssize_t count = pread(fd, at, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_errno(err, errno, "cannot read %s", name);
		if (count == 0)
			return error_set(err, EX_DATAERR, "%s is cut short", name);
		at += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return OUTCOME_DONE;
}

enum outcome file_truncate(int fd, uint64_t size, const char *name, struct error *err)
{
	if (fault_strikes() || ftruncate(fd, (off_t)size) != 0)
		return error_errno(err, errno, "cannot shorten %s", name);
	return OUTCOME_DONE;
}

enum outcome file_clock(int fd, const char *name, struct timespec *now, struct error *err)
{
	struct stat st = {0};
	bool told = !fault_strikes() && futimens(fd, NULL) == 0 && fstat(fd, &st) == 0;

	*now = st.st_mtim;
	return told ? OUTCOME_DONE : error_errno(err, errno, "cannot set the time of %s", name);
}

void file_forget_cache(int fd)
{
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

enum outcome file_sync(int fd, const char *name, struct error *err)
{
	if (fault_strikes() || fsync(fd) != 0)
		return error_errno(err, errno, "cannot sync %s to the disk", name);
	return OUTCOME_DONE;
}

enum outcome file_sync_data(int fd, const char *name, struct error *err)
{
	if (fault_strikes() || fdatasync(fd) != 0)
		return error_errno(err, errno, "cannot sync %s to the disk", name);
	return OUTCOME_DONE;
}

void file_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static ssize_t read_some(int fd, void *bytes, size_t size)
{
	ssize_t count;

	do
		count = read(fd, bytes, size);
	while (count < 0 && errno == EINTR);
	return count;
}

enum outcome file_read_open(const struct dir *d, const char *name, struct buf *out, int *fd, struct error *err)
{
	enum outcome outcome = file_open(d, name, fd, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	out->failed = false;
	for (;;) {
		size_t step = out->maximum - out->length < 8192 ? out->maximum - out->length : 8192;
		uint8_t *place = buf_extend(out, step);
		uint8_t probe;
		ssize_t count = read_some(*fd, step > 0 ? place : &probe, step > 0 ? step : 1);

		if (count < 0)
			outcome = error_errno(err, errno, "cannot read %s/%s", d->path, name);
		else if (step == 0 && count > 0)
			outcome = error_set(err, EX_DATAERR, "%s/%s is larger than the limit of %zu bytes", d->path,
			    name, out->maximum);
		if (step > 0) {
			out->length -= step - (count > 0 ? (size_t)count : 0);
			out->bytes[out->length] = '\0';
		}
		/* A short count from a regular file is its end: no second read to be told so. */
		if (outcome != OUTCOME_DONE || count < (ssize_t)step || step == 0)
			break;
	}
	if (outcome != OUTCOME_DONE)
		file_close(fd);
	return outcome;
}

enum outcome file_read(const struct dir *d, const char *name, struct buf *out, struct error *err)
{
	int fd;
	enum outcome outcome = file_read_open(d, name, out, &fd, err);

	file_close(&fd);
	return outcome;
}

bool file_peek(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = -1;

	buf_clear(out);
	if (fd >= 0)
		got = read(fd, buf_extend(out, out->maximum), out->maximum);
	out->length = got > 0 ? (size_t)got : 0;
	file_close(&fd);
	return got >= 0;
}

bool file_stat(const struct dir *d, const char *name, struct stat *st)
{
	return fstatat(d->fd, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

bool file_is(const struct dir *d, const char *name, int fd)
{
	struct stat x;
	struct stat y;

	return fstatat(d->fd, name, &x, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &y) == 0 && same_file(&x, &y);
}

bool file_exists(const struct dir *d, const char *name, uint64_t *size)
{
	struct stat st;

	if (!file_stat(d, name, &st))
		return false;
	if (size != NULL)
		*size = (uint64_t)st.st_size;
	return true;
}

enum outcome file_rename(
    const struct dir *from, const char *name, const struct dir *to, const char *new_name, struct error *err)
{
	if (fault_strikes() || renameat(from->fd, name, to->fd, new_name) != 0)
		return error_errno(err, errno, "cannot move %s/%s to %s/%s", from->path, name, to->path, new_name);
	return OUTCOME_DONE;
}

bool file_same(const struct dir *a, const char *name, const struct dir *b, const char *other)
{
	struct stat x;
	struct stat y;

	return fstatat(a->fd, name, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(b->fd, other, &y, AT_SYMLINK_NOFOLLOW) == 0 && same_file(&x, &y);
}

enum outcome file_link(
    const struct dir *from, const char *name, const struct dir *to, const char *new_name, struct error *err)
{
	int errnum;

	if (!fault_strikes() && linkat(from->fd, name, to->fd, new_name, 0) == 0)
		return OUTCOME_DONE;
	errnum = errno;
	if (errnum == EEXIST && file_same(from, name, to, new_name))
		return OUTCOME_DONE;
	return error_errno(err, errnum, "cannot link %s/%s to %s/%s", from->path, name, to->path, new_name);
}

enum outcome file_remove_found(const struct dir *d, const char *name, bool *found, struct error *err)
{
	*found = !fault_strikes() && unlinkat(d->fd, name, 0) == 0;
	if (!*found && errno != ENOENT)
		return error_errno(err, errno, "cannot remove %s/%s", d->path, name);
	return OUTCOME_DONE;
}

enum outcome file_remove(const struct dir *d, const char *name, struct error *err)
{
	bool found;

	return file_remove_found(d, name, &found, err);
}

static enum outcome file_put(
    const struct dir *tmp, const struct dir *d, const char *name, struct view bytes, bool wait, struct error *err)
{
	char temporary[40];
	int fd;
	enum outcome outcome;

	tmp_name(temporary);
	outcome = file_create(tmp, temporary, &fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = file_write(fd, bytes.bytes, bytes.length, name, err);
	if (outcome == OUTCOME_DONE && wait)
		outcome = file_sync(fd, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(tmp, temporary, d, name, err);
	if (outcome != OUTCOME_DONE)
		file_remove(tmp, temporary, NULL);
	file_close(&fd);
	if (outcome == OUTCOME_DONE && wait)
		outcome = dir_sync(d, err);
	return outcome;
}

enum outcome file_commit(
    const struct dir *tmp, const struct dir *d, const char *name, struct view bytes, struct error *err)
{
	return file_put(tmp, d, name, bytes, true, err);
}

enum outcome file_replace(
    const struct dir *tmp, const struct dir *d, const char *name, struct view bytes, struct error *err)
{
	return file_put(tmp, d, name, bytes, false, err);
}

void tmp_name(char out[static 40])
{
	uint64_t random[2];

	randombytes_buf(random, sizeof random);
	snprintf(out, 40, "t%016" PRIx64 "%08" PRIx32, random[0], (uint32_t)random[1]);
}

enum outcome tmp_sweep(const struct dir *tmp, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(tmp, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		int fd;

		if (!file_exists(tmp, names.items[i], NULL))
			continue; /* finished or removed meanwhile, or nothing of ours */
		if (file_claim(tmp, names.items[i], &fd))
			outcome = file_remove(tmp, names.items[i], err);
		file_close(&fd);
	}
	names_release(&names);
	return outcome;
}
