/*
 * Durable files. The only module that opens, renames, links, unlinks and syncs state; everything is relative to an
 * open directory; no file is opened through a symbolic link (a directory may be: dir_open_real does not).
 *
 * What matters is committed like this, by everyone:
 *
 *	struct sync_set sync;
 *	file_create(&tmp, name, &fd, &err)        under construction, invisible
 *	file_write(fd, ...)
 *	sync_add(&sync, fd)                       takes the descriptor; many files share one wait
 *	sync_wait(&sync, &err)                    contents are on the disk
 *	file_rename(&tmp, name, &target, name2)   the commit
 *	sync_add_dir(&sync, &target); sync_wait   the commit is on the disk
 *
 * `file_commit` does it for one small file held in memory.
 *
 * Faults: with PACKETBOAT_FAULT=kill:N in the environment the process is killed before its N-th change to the file
 * system, with fail:N:ERRNO that change fails; it is how the tests visit every crash point. All threads count together.
 */
#ifndef LIB_FILE_H
#define LIB_FILE_H

#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/names.h"

/* An open directory and the path it had, for sentences. */
struct dir {
	int fd; /* -1: closed */
	char *path;
};

#define DIR_CLOSED ((struct dir){.fd = -1})

/* Opens PATH, relative to PARENT or to the working directory when PARENT is null. Sets D in every case. */
enum outcome dir_open(struct dir *d, const struct dir *parent, const char *path, struct error *err);
/* The same for a directory on a medium that others write: a symbolic link is not followed (EX_DATAERR). */
enum outcome dir_open_real(struct dir *d, const struct dir *parent, const char *name, struct error *err);
/* The same, making the directory (mode MODE) when it is missing. The parent's entry is synced when it was made. */
enum outcome dir_make(struct dir *d, const struct dir *parent, const char *path, mode_t mode, struct error *err);
void dir_close(struct dir *d);
enum outcome dir_sync(const struct dir *d, struct error *err);
/* The same for all of the file system that D is on. Linux only; elsewhere EX_TEMPFAIL. */
enum outcome dir_sync_all(const struct dir *d, struct error *err);
/* Removes the empty directory NAME; a missing or non-empty one is no error. */
enum outcome dir_remove(const struct dir *parent, const char *name, struct error *err);
/* Removes the directory NAME and the files in it; a missing one is no error. */
enum outcome dir_wipe(const struct dir *parent, const char *name, struct error *err);

/* All names in a directory, without "." and "..", sorted bytewise; free with names_release. */
enum outcome dir_names(const struct dir *d, struct names *names, struct error *err);
/*
 * The first LIMIT (at least 1) of those names behind AFTER in that order; "" is before all. Memory for twice as many is
 * all it needs, however large the directory is.
 */
enum outcome dir_names_after(
    const struct dir *d, const char *after, size_t limit, struct names *names, struct error *err);
/* Is there a directory of that name, or a link to one? A failure to look is no answer: EX_TEMPFAIL. */
enum outcome dir_look(const struct dir *d, const char *name, bool *found, struct error *err);
/*
 * Calls VISIT with the name of each regular file in the directory NAME below D, in no order; LENGTH is that of the name.
 * Takes no memory for the names, nor a call of the system for each where the file system tells what is a file.
 */
typedef void dir_visit(void *context, const char *name, size_t length);
enum outcome dir_files(const struct dir *d, const char *name, dir_visit *visit, void *context, struct error *err);
/*
 * What a directory looks like from outside: another whenever names in it have come, gone or changed since, unless that was
 * within the same tick of the file system's clock. What a program sets back (the time of modification) is only a part of it.
 */
struct dir_stamp {
	uint64_t inode; /* 0: it cannot be told */
	struct timespec modified;
	struct timespec changed;
};

/* Of the directory NAME below D; all zero when it cannot be told. */
struct dir_stamp dir_stamp(const struct dir *d, const char *name);
/* Both are told, and the same. */
bool dir_stamp_same(const struct dir_stamp *a, const struct dir_stamp *b);
/* Does the directory hold any name at all? Reads no further than the first. */
bool dir_empty(const struct dir *d);

/* Creates NAME for reading and writing, mode 0600; it must not exist. */
enum outcome file_create(const struct dir *d, const char *name, int *fd, struct error *err);
/* The same for a file that other users may read, as far as the umask lets them: what lies in a shared directory. */
enum outcome file_create_shared(const struct dir *d, const char *name, int *fd, struct error *err);
/*
 * Creates NAME with BYTES in it, *FD open, without the lock that tells tmp_sweep of a writer: for a directory that
 * nobody else touches. -1 on failure.
 */
enum outcome file_create_within(const struct dir *d, const char *name, struct view bytes, int *fd, struct error *err);
/*
 * Opens NAME, which file_create made, if nobody has it open any more: true, and it is locked against others who
 * claim it until *FD is closed. False: it has its writer, or is not there.
 */
bool file_claim(const struct dir *d, const char *name, int *fd);
/* Opens NAME for reading. A missing file is EX_NOINPUT. */
enum outcome file_open(const struct dir *d, const char *name, int *fd, struct error *err);
/* The same, telling how large it is. */
enum outcome file_open_sized(const struct dir *d, const char *name, int *fd, uint64_t *size, struct error *err);
/* Opens NAME for appending, making it when missing (mode 0600). */
enum outcome file_append(const struct dir *d, const char *name, int *fd, struct error *err);
/* Opens /dev/null for reading and writing. */
enum outcome file_open_null(int *fd, struct error *err);
/* Writes all; NAME is for the sentence. */
enum outcome file_write(int fd, const void *bytes, size_t size, const char *name, struct error *err);
enum outcome file_write_at(
    int fd, const void *bytes, size_t size, uint64_t offset, const char *name, struct error *err);
/* Writes PARTS one behind the other, in one call of the system if it takes them all. */
enum outcome file_write_parts_at(
    int fd, const struct view *parts, size_t count, uint64_t offset, const char *name, struct error *err);
/* Reads exactly SIZE bytes at OFFSET; a short file is EX_DATAERR. */
enum outcome file_read_at(int fd, void *bytes, size_t size, uint64_t offset, const char *name, struct error *err);
/* Cuts the file to SIZE bytes. */
enum outcome file_truncate(int fd, uint64_t size, const char *name, struct error *err);
/* Sets the times of the open file to what the clock of its file system says, which may be another machine's: *NOW. */
enum outcome file_clock(int fd, const char *name, struct timespec *now, struct error *err);
enum outcome file_sync(int fd, const char *name, struct error *err);
/* The same without the times of the file: what is needed to read it back, its size among that. */
enum outcome file_sync_data(int fd, const char *name, struct error *err);
/* Asks that the next read of a synced file come from the medium. */
void file_forget_cache(int fd);
void file_close(int *fd);
/* Appends the whole of NAME to OUT; above OUT's maximum is EX_DATAERR, missing is EX_NOINPUT. */
enum outcome file_read(const struct dir *d, const char *name, struct buf *out, struct error *err);
/* Sets OUT to as much of the beginning of the file at PATH, which may be a link, as it may hold; false: it cannot be read. */
bool file_peek(const char *path, struct buf *out);
/* As file_read, and leaves it open: *FD is the caller's, -1 on failure. As long as it is open, file_is tells it from others. */
enum outcome file_read_open(const struct dir *d, const char *name, struct buf *out, int *fd, struct error *err);
/* Is NAME a name of the file that FD has open? */
bool file_is(const struct dir *d, const char *name, int fd);
/* Is there a regular file of that name? SIZE may be null. */
bool file_exists(const struct dir *d, const char *name, uint64_t *size);
/* The same, with all that the system knows of it. */
bool file_stat(const struct dir *d, const char *name, struct stat *st);

/* Moves NAME, replacing what has the new name. */
enum outcome file_rename(
    const struct dir *from, const char *name, const struct dir *to, const char *new_name, struct error *err);
/* A second name for the same file; one that stands already and is the same file is no error. */
enum outcome file_link(
    const struct dir *from, const char *name, const struct dir *to, const char *new_name, struct error *err);
/* Are both names of the same file? */
bool file_same(const struct dir *a, const char *name, const struct dir *b, const char *other);
/* Removes NAME; a missing one is no error. */
enum outcome file_remove(const struct dir *d, const char *name, struct error *err);
/* The same, telling whether it was there. */
enum outcome file_remove_found(const struct dir *d, const char *name, bool *found, struct error *err);

/*
 * Replaces NAME in D by BYTES so that after a crash there is the old or the new content, whole: written and synced
 * in TMP (on the same file system), renamed, directory synced.
 */
enum outcome file_commit(
    const struct dir *tmp, const struct dir *d, const char *name, struct view bytes, struct error *err);
/* The same without waiting for the disk, for what a crash may take back (still whole, old or new). */
enum outcome file_replace(
    const struct dir *tmp, const struct dir *d, const char *name, struct view bytes, struct error *err);

/* A fresh name for a file under construction, unique among processes and machines. */
void tmp_name(char out[static 40]);
/*
 * Removes what dead writers left in TMP. Writers hold flock(2) on what they build (file_create takes it), so
 * whatever can be locked has no writer; no clock is asked. A descriptor that sync_add took over is soon closed, and its
 * lock gone: such files wait for their move in another directory than TMP.
 */
enum outcome tmp_sweep(const struct dir *tmp, struct error *err);

/* Free bytes and inodes for unprivileged writers on the file system of D. */
enum outcome dir_space(const struct dir *d, uint64_t *bytes, uint64_t *inodes, struct error *err);

/* Files that must reach the disk together. More than a few, and the whole file system is synced once instead. */
#define SYNC_SET_FILES 16
struct sync_set {
	const struct dir *root; /* borrowed: any directory on the file system */
	int fds[SYNC_SET_FILES];
	struct stat dirs[SYNC_SET_FILES]; /* of those that are directories, else zeros */
	size_t count;
	bool all;
};
void sync_init(struct sync_set *s, const struct dir *root);
/* Takes over FD: it is closed by sync_wait or sync_drop. */
void sync_add(struct sync_set *s, int fd);
/* A directory that is in the set already, by whatever path, is not added again. */
void sync_add_dir(struct sync_set *s, const struct dir *d);
/* Returns when all that was added is on the disk; the set is empty afterwards, also on failure. */
enum outcome sync_wait(struct sync_set *s, struct error *err);
void sync_drop(struct sync_set *s);

#endif
