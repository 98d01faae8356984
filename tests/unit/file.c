#include "tests/unit/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>

#include "tests/unit/fault.h"

static char *content(const struct dir *d, const char *name)
{
	struct error err = ERROR_NONE;
	struct buf b;

	buf_init(&b, 1 << 20);
	if (file_read(d, name, &b, &err) != OUTCOME_DONE)
		buf_text(&b, "(none)");
	return buf_detach(&b);
}

static bool content_is(const struct dir *d, const char *name, const char *text)
{
	char *got = content(d, name);
	bool same = strcmp(got, text) == 0;

	if (!same)
		cr_log_error("%s holds \"%.60s\", not \"%.60s\"", name, got, text);
	free(got);
	return same;
}

static void put(const struct dir *d, const char *name, const char *text)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(file_commit(d, d, name, view_text(text), &err), OUTCOME_DONE, "%s", err.text);
}

static size_t count_names(const struct dir *d)
{
	struct error err = ERROR_NONE;
	struct names names;
	size_t count;

	cr_assert_eq(dir_names(d, &names, &err), OUTCOME_DONE);
	count = names.count;
	names_release(&names);
	return count;
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* ---- directories -----------------------------------------------------------------------------------------
 */

Test(file, directories)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct dir sub;
	struct dir again;

	cr_assert(dir_empty(&d));
	cr_assert_neq(dir_open(&sub, &d, "sub", &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT);
	cr_assert_not_null(strstr(err.text, "/sub"));
	cr_assert_eq(sub.fd, -1);
	dir_close(&sub);
	cr_assert_eq(dir_make(&sub, &d, "sub", 0700, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(dir_make(&again, &d, "sub", 0700, &err), OUTCOME_DONE, "one that stands is taken");
	cr_assert(strcmp(sub.path + strlen(d.path), "/sub") == 0);
	dir_close(&again);
	cr_assert_not(dir_empty(&d));
	put(&sub, "x", "1");
	cr_assert_eq(dir_remove(&d, "sub", &err), OUTCOME_DONE, "not empty: no error");
	cr_assert(file_exists(&sub, "x", NULL));
	cr_assert_eq(file_remove(&sub, "x", &err), OUTCOME_DONE);
	cr_assert(dir_empty(&sub));
	cr_assert_eq(dir_remove(&d, "sub", &err), OUTCOME_DONE);
	cr_assert_eq(dir_remove(&d, "sub", &err), OUTCOME_DONE, "missing: no error");
	cr_assert(dir_empty(&d));
	dir_close(&sub);
	put(&d, "file", "");
	cr_assert_neq(dir_make(&sub, &d, "file", 0700, &err), OUTCOME_DONE);
	dir_close(&sub);
	cr_assert_neq(dir_make(&sub, &d, "no/sub", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(sub.fd, -1);
	scratch_close(&d);
}

Test(file, names)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct names names;

	cr_assert_eq(dir_names(&d, &names, &err), OUTCOME_DONE);
	cr_assert_eq(names.count, 0);
	cr_assert_not(names_contain(&names, "a"));
	names_release(&names);
	put(&d, "b", "");
	put(&d, "a", "");
	put(&d, "\xc3\xa9", "");
	put(&d, ".hidden", "");
	put(&d, "B", "");
	for (int again = 0; again < 2; again++) {
		static const char *const sorted[] = {".hidden", "B", "a", "b", "\xc3\xa9"};

		cr_assert_eq(dir_names(&d, &names, &err), OUTCOME_DONE);
		cr_assert_eq(names.count, 5);
		for (size_t i = 0; i < 5; i++) {
			cr_assert_str_eq(names.items[i], sorted[i]);
			cr_assert(names_contain(&names, sorted[i]));
		}
		cr_assert_not(names_contain(&names, "c"));
		cr_assert_not(names_contain(&names, ""));
		names_release(&names);
	}
	scratch_close(&d);
}

Test(file, space)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	uint64_t bytes = 0;
	uint64_t inodes = 0;

	cr_assert_eq(dir_space(&d, &bytes, &inodes, &err), OUTCOME_DONE);
	cr_assert_gt(bytes, 0);
	cr_assert_gt(inodes, 0);
	scratch_close(&d);
	cr_assert_neq(dir_space(&DIR_CLOSED, &bytes, &inodes, &err), OUTCOME_DONE);
}

/* ---- files -----------------------------------------------------------------------------------------------
 */

Test(file, create_open_append)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct stat st;
	int fd;

	umask(0);
	cr_assert_neq(file_open(&d, "x", &fd, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT);
	cr_assert_eq(fd, -1);
	cr_assert_eq(file_create(&d, "x", &fd, &err), OUTCOME_DONE);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	file_close(&fd);
	cr_assert_eq(fd, -1);
	file_close(&fd);
	cr_assert_neq(file_create(&d, "x", &fd, &err), OUTCOME_DONE, "it must not exist");
	cr_assert_eq(err.code, EX_CANTCREAT);
	cr_assert_eq(file_append(&d, "x", &fd, &err), OUTCOME_DONE);
	cr_assert_eq(file_write(fd, "ab", 2, "x", &err), OUTCOME_DONE);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	cr_assert_eq(file_write(fd, "cd", 2, "x", &err), OUTCOME_DONE);
	cr_assert(content_is(&d, "x", "abcd"));
	file_close(&fd);
	cr_assert_eq(file_append(&d, "y", &fd, &err), OUTCOME_DONE, "made when missing");
	file_close(&fd);
	cr_assert(file_exists(&d, "y", NULL));
	scratch_close(&d);
}

Test(file, symbolic_links_are_not_followed)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct buf b;
	int fd;

	put(&d, "target", "secret");
	cr_assert_eq(symlinkat("target", d.fd, "link"), 0);
	cr_assert_eq(symlinkat("nowhere", d.fd, "dangling"), 0);
	buf_init(&b, 100);
	cr_assert_neq(file_open(&d, "link", &fd, &err), OUTCOME_DONE);
	cr_assert_neq(file_append(&d, "link", &fd, &err), OUTCOME_DONE);
	cr_assert_neq(file_append(&d, "dangling", &fd, &err), OUTCOME_DONE);
	cr_assert_neq(file_create(&d, "dangling", &fd, &err), OUTCOME_DONE);
	cr_assert_neq(file_read(&d, "link", &b, &err), OUTCOME_DONE);
	cr_assert_not(file_exists(&d, "link", NULL));
	cr_assert_not(file_exists(&d, "nowhere", NULL));
	put(&d, "link", "new");
	cr_assert(content_is(&d, "target", "secret"), "a commit replaces the link, not what it shows");
	cr_assert(content_is(&d, "link", "new"));
	buf_release(&b);
	scratch_close(&d);
}

Test(file, read_and_write_at_places)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	char bytes[8] = {0};
	int fd;

	cr_assert_eq(file_create(&d, "x", &fd, &err), OUTCOME_DONE);
	cr_assert_eq(file_write(fd, "0123456789", 10, "x", &err), OUTCOME_DONE);
	cr_assert_eq(file_write_at(fd, "AB", 2, 4, "x", &err), OUTCOME_DONE);
	cr_assert_eq(file_write_at(fd, "end", 3, 12, "x", &err), OUTCOME_DONE);
	cr_assert_eq(file_read_at(fd, bytes, 4, 3, "x", &err), OUTCOME_DONE);
	cr_assert_str_eq(bytes, "3AB6");
	cr_assert_eq(file_read_at(fd, bytes, 5, 10, "x", &err), OUTCOME_DONE);
	cr_assert_eq(memcmp(bytes, "\0\0end", 5), 0);
	cr_assert_eq(file_read_at(fd, bytes, 0, 1000, "x", &err), OUTCOME_DONE);
	cr_assert_neq(file_read_at(fd, bytes, 2, 14, "x", &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert_not_null(strstr(err.text, "cut short"));
	cr_assert_eq(file_truncate(fd, 3, "x", &err), OUTCOME_DONE);
	cr_assert(content_is(&d, "x", "012"));
	file_close(&fd);
	cr_assert_neq(file_write(-1, "x", 1, "the name", &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "the name"));
	cr_assert_neq(file_write_at(-1, "x", 1, 0, "x", &err), OUTCOME_DONE);
	cr_assert_neq(file_read_at(-1, bytes, 1, 0, "x", &err), OUTCOME_DONE);
	cr_assert_neq(file_truncate(-1, 0, "x", &err), OUTCOME_DONE);
	cr_assert_neq(file_sync(-1, "x", &err), OUTCOME_DONE);
	scratch_close(&d);
}

Test(file, read_whole_at_the_limit)
{
	static const size_t sizes[] = {0, 1, 8191, 8192, 8193, 16384, 16385};
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char *bytes = mem_alloc(sizes[i] + 1);

		memset(bytes, 'x', sizes[i]);
		put(&d, "x", bytes);
		for (size_t slack = 0; slack < 3; slack++) {
			struct buf b;

			buf_init(&b, sizes[i] + slack);
			cr_assert_eq(file_read(&d, "x", &b, &err), OUTCOME_DONE, "size %zu + %zu", sizes[i], slack);
			cr_assert_eq(b.length, sizes[i]);
			cr_assert_not(b.failed);
			cr_assert_str_eq(buf_string(&b), bytes);
			buf_release(&b);
		}
		if (sizes[i] > 0) {
			struct buf b;

			buf_init(&b, sizes[i] - 1);
			cr_assert_neq(file_read(&d, "x", &b, &err), OUTCOME_DONE, "size %zu", sizes[i]);
			cr_assert_eq(err.code, EX_DATAERR);
			buf_release(&b);
		}
		free(bytes);
	}
	scratch_close(&d);
}

Test(file, read_appends)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct buf b;

	put(&d, "x", "def");
	buf_init(&b, 8);
	buf_text(&b, "abc");
	cr_assert_eq(file_read(&d, "x", &b, &err), OUTCOME_DONE);
	cr_assert_str_eq(buf_string(&b), "abcdef");
	cr_assert_neq(file_read(&d, "x", &b, &err), OUTCOME_DONE, "no room for it again");
	cr_assert_neq(file_read(&d, "none", &b, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT);
	/* A buffer that had failed before is read into like any other. */
	buf_clear(&b);
	buf_text(&b, "123456789");
	cr_assert(b.failed);
	cr_assert_eq(file_read(&d, "x", &b, &err), OUTCOME_DONE);
	cr_assert_str_eq(buf_string(&b), "def");
	cr_assert_neq(file_read(&d, ".", &b, &err), OUTCOME_DONE);
	buf_release(&b);
	scratch_close(&d);
}

Test(file, rename_link_remove_exists)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct dir sub;
	uint64_t size = 0;

	cr_assert_eq(dir_make(&sub, &d, "sub", 0700, &err), OUTCOME_DONE);
	put(&d, "a", "one");
	put(&d, "b", "three");
	cr_assert(file_exists(&d, "b", &size));
	cr_assert_eq(size, 5);
	cr_assert_not(file_exists(&d, "sub", NULL), "a directory is no file");
	cr_assert_eq(file_rename(&d, "a", &sub, "c", &err), OUTCOME_DONE);
	cr_assert_not(file_exists(&d, "a", NULL));
	cr_assert_eq(file_rename(&d, "b", &sub, "c", &err), OUTCOME_DONE, "what has the name is replaced");
	cr_assert(content_is(&sub, "c", "three"));
	cr_assert_neq(file_rename(&d, "b", &sub, "c", &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT);
	cr_assert_eq(file_link(&sub, "c", &d, "e", &err), OUTCOME_DONE);
	cr_assert_eq(file_link(&sub, "c", &d, "e", &err), OUTCOME_DONE, "the same file already");
	put(&d, "f", "three");
	cr_assert_neq(file_link(&sub, "c", &d, "f", &err), OUTCOME_DONE, "another file");
	cr_assert_eq(err.code, EX_CANTCREAT);
	cr_assert_neq(file_link(&sub, "none", &d, "g", &err), OUTCOME_DONE);
	cr_assert_eq(file_remove(&d, "e", &err), OUTCOME_DONE);
	cr_assert_eq(file_remove(&d, "e", &err), OUTCOME_DONE, "a missing one is no error");
	cr_assert(content_is(&sub, "c", "three"));
	cr_assert_neq(file_remove(&d, "sub", &err), OUTCOME_DONE);
	dir_close(&sub);
	scratch_close(&d);
}

/* ---- commits and faults ----------------------------------------------------------------------------------
 */

static int step_old(void *context)
{
	struct dir *d = context;

	return file_commit(&d[1], &d[0], "x", view_text("old content"), NULL) != OUTCOME_DONE;
}

static int step_commit(void *context)
{
	struct dir *d = context;

	return file_commit(&d[1], &d[0], "x", view_text("new"), NULL) != OUTCOME_DONE;
}

static int step_replace(void *context)
{
	struct dir *d = context;

	return file_replace(&d[1], &d[0], "x", view_text("new"), NULL) != OUTCOME_DONE;
}

static int step_make_tmp(void *context)
{
	struct dir *d = context;
	struct dir made;
	int failed = dir_make(&made, &d[0], "tmp", 0700, NULL) != OUTCOME_DONE;

	dir_close(&made);
	return failed;
}

static int step_sweep(void *context)
{
	struct dir *d = context;

	return tmp_sweep(&d[1], NULL) != OUTCOME_DONE;
}

static void sweep(const char *kind, int (*step)(void *context), unsigned changes)
{
	for (unsigned n = 1; n <= changes + 1; n++) {
		struct dir d[2] = {scratch_open(), DIR_CLOSED};
		struct error err = ERROR_NONE;
		enum fault_end end;
		char *text;

		cr_assert_eq(fault_run(NULL, 0, step_make_tmp, d), FAULT_RAN);
		cr_assert_eq(dir_open(&d[1], &d[0], "tmp", &err), OUTCOME_DONE);
		cr_assert_eq(fault_run(NULL, 0, step_old, d), FAULT_RAN);
		end = fault_run(kind, n, step, d);
		cr_assert_eq(end == FAULT_RAN, n > changes, "%s at change %u of %u", kind, n, changes);
		text = content(&d[0], "x");
		cr_assert(strcmp(text, "new") == 0 || (end != FAULT_RAN && strcmp(text, "old content") == 0),
		    "holds \"%s\"", text);
		/* Who only failed cleans up; who died leaves it to the sweep. */
		if (end == FAULT_COMPLAINS)
			cr_assert(dir_empty(&d[1]));
		cr_assert_eq(fault_run(NULL, 0, step_sweep, d), FAULT_RAN);
		cr_assert(dir_empty(&d[1]));
		free(text);
		dir_close(&d[1]);
		scratch_close(&d[0]);
	}
}

Test(file, commit_leaves_old_or_new_when_killed)
{
	sweep("kill", step_commit, 5); /* create, write, sync, rename, sync */
}

Test(file, commit_leaves_old_or_new_when_the_disk_fails)
{
	sweep("fail", step_commit, 5);
}

Test(file, replace_leaves_old_or_new)
{
	sweep("kill", step_replace, 3);
	sweep("fail", step_replace, 3);
}

/* 1: it failed for the reason of the plan, and not when tried again; 0: it failed otherwise. */
#define TRY(call)                                                                                                    \
	do {                                                                                                         \
		if ((call) != OUTCOME_DONE)                                                                          \
			return err.code == EX_TEMPFAIL && strstr(err.text, "No space left") != NULL &&               \
			       (call) == OUTCOME_DONE;                                                               \
	} while (0)

static int step_every_change(void *context)
{
	struct dir *d = context;
	struct error err = ERROR_NONE;
	struct sync_set s;
	struct dir sub;
	int fd;

	TRY(file_create(d, "f", &fd, &err));
	TRY(file_write(fd, "x", 1, "f", &err));
	TRY(file_write_at(fd, "x", 1, 0, "f", &err));
	TRY(file_truncate(fd, 0, "f", &err));
	TRY(file_sync(fd, "f", &err));
	TRY(file_append(d, "f", &fd, &err));
	TRY(file_link(d, "f", d, "g", &err));
	TRY(file_rename(d, "f", d, "h", &err));
	TRY(file_remove(d, "h", &err));
	TRY(dir_sync(d, &err));
	sync_init(&s, d);
	sync_add_dir(&s, d);
	TRY(sync_wait(&s, &err));
	TRY(dir_remove(d, "none", &err));
	TRY(dir_make(&sub, d, "sub", 0700, &err));
	return 0;
}

/* dir_make makes and syncs. */
#define EVERY_CHANGE 14

/* Every change can be made to fail, just once, and says so. */
Test(file, faults_strike_each_change_once)
{
	for (unsigned n = 1; n <= EVERY_CHANGE + 1; n++) {
		struct dir d = scratch_open();

		cr_assert_eq(fault_run("fail", n, step_every_change, &d),
		    n <= EVERY_CHANGE ? FAULT_COMPLAINS : FAULT_RAN, "change %u", n);
		scratch_close(&d);
	}
	for (unsigned n = 1; n <= EVERY_CHANGE + 1; n++) {
		struct dir d = scratch_open();

		cr_assert_eq(fault_run("kill", n, step_every_change, &d),
		    n <= EVERY_CHANGE ? FAULT_KILLED : FAULT_RAN, "change %u", n);
		scratch_close(&d);
	}
}

Test(file, a_plan_that_is_none_is_ignored)
{
	struct dir d = scratch_open();

	cr_assert_eq(fault_run("fail", 0, step_every_change, &d), FAULT_RAN);
	scratch_close(&d);
	d = scratch_open();
	cr_assert_eq(fault_run("nonsense", 1, step_every_change, &d), FAULT_RAN);
	scratch_close(&d);
}

/* ---- files under construction ----------------------------------------------------------------------------
 */

Test(file, temporary_names_are_unique_and_safe)
{
	struct names names = {0};

	for (int i = 0; i < 1000; i++) {
		char name[40];

		tmp_name(name);
		cr_assert_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789"), strlen(name));
		names_add(&names, name);
	}
	names_sort(&names);
	for (size_t i = 1; i < names.count; i++)
		cr_assert_str_neq(names.items[i - 1], names.items[i]);
	names_release(&names);
}

Test(file, sweep_leaves_alone_what_is_being_written, .timeout = 20)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	int held;
	int dead;

	cr_assert_eq(file_create(&d, "held", &held, &err), OUTCOME_DONE);
	cr_assert_eq(file_create(&d, "dead", &dead, &err), OUTCOME_DONE);
	file_close(&dead);
	put(&d, "committed-into-it", "x");
	/* What is not ours does no harm. */
	cr_assert_eq(mkfifoat(d.fd, "fifo", 0600), 0);
	cr_assert_eq(mkdirat(d.fd, "directory", 0700), 0);
	cr_assert_eq(symlinkat("held", d.fd, "link"), 0);
	cr_assert_eq(tmp_sweep(&d, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert(file_exists(&d, "held", NULL));
	cr_assert_not(file_exists(&d, "dead", NULL));
	cr_assert_not(file_exists(&d, "committed-into-it", NULL));
	cr_assert_eq(count_names(&d), 4);
	/* From another process too. */
	cr_assert_eq(fault_run(NULL, 0, step_sweep, (struct dir[2]){d, d}), FAULT_RAN);
	cr_assert(file_exists(&d, "held", NULL));
	file_close(&held);
	cr_assert_eq(tmp_sweep(&d, &err), OUTCOME_DONE);
	cr_assert_eq(count_names(&d), 3);
	scratch_close(&d);
}

/* Writers and sweepers at once: no commit fails because its file was swept away. */
Test(file, sweep_and_commit_at_once, .timeout = 60)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct dir tmp;
	pid_t writer = getpid();
	pid_t sweeper;
	int status;

	cr_assert_eq(dir_make(&tmp, &d, "tmp", 0700, &err), OUTCOME_DONE);
	sweeper = fork();
	if (sweeper == 0) {
		while (getppid() == writer) /* also when the test fails and is gone */
			if (tmp_sweep(&tmp, NULL) != OUTCOME_DONE)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 3000; i++)
		cr_assert_eq(file_replace(&tmp, &d, "x", view_text("content"), &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(waitpid(sweeper, &status, WNOHANG), 0, "the sweeper had no trouble");
	kill(sweeper, SIGKILL);
	waitpid(sweeper, &status, 0);
	dir_close(&tmp);
	scratch_close(&d);
}

/* ---- sync sets -------------------------------------------------------------------------------------------
 */

Test(file, sync_sets_of_any_size)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	unsigned before = open_descriptors();

	for (unsigned count = 0; count <= 3 * SYNC_SET_FILES; count++) {
		struct sync_set s;

		sync_init(&s, &d);
		for (unsigned i = 0; i < count; i++) {
			char name[40];
			int fd;

			tmp_name(name);
			cr_assert_eq(file_create(&d, name, &fd, &err), OUTCOME_DONE);
			cr_assert_eq(file_write(fd, "x", 1, name, &err), OUTCOME_DONE);
			sync_add(&s, fd);
			cr_assert_leq(open_descriptors(), before + SYNC_SET_FILES, "few stay open");
		}
		sync_add_dir(&s, &d);
		cr_assert_eq(sync_wait(&s, &err), OUTCOME_DONE, "%u files: %s", count, err.text);
		cr_assert_eq(s.count, 0);
		cr_assert_eq(open_descriptors(), before, "%u files", count);
		cr_assert_eq(sync_wait(&s, &err), OUTCOME_DONE, "empty again");
	}
	scratch_close(&d);
}

Test(file, sync_sets_fail_and_drop)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	unsigned before = open_descriptors();
	struct sync_set s;
	int ends[2];
	int fd;

	sync_init(&s, &d);
	cr_assert_eq(file_create(&d, "x", &fd, &err), OUTCOME_DONE);
	sync_add(&s, fd);
	cr_assert_eq(pipe(ends), 0);
	sync_add(&s, ends[0]); /* a pipe cannot be synced */
	cr_assert_neq(sync_wait(&s, &err), OUTCOME_DONE);
	close(ends[1]);
	cr_assert_eq(s.count, 0);
	cr_assert_eq(open_descriptors(), before, "also on failure");
	cr_assert_eq(file_open(&d, "x", &fd, &err), OUTCOME_DONE);
	sync_add(&s, fd);
	sync_drop(&s);
	sync_drop(&s);
	cr_assert_eq(open_descriptors(), before);
	scratch_close(&d);
}

/* A hundred messages for one mailbox are one wait for its directory. */
Test(file, a_directory_is_in_a_sync_set_once)
{
	struct dir d = scratch_open();
	struct dir sub;
	struct dir again;
	struct error err = ERROR_NONE;
	struct sync_set s;

	cr_assert_eq(dir_make(&sub, &d, "sub", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(dir_open(&again, &d, "sub", &err), OUTCOME_DONE);
	sync_init(&s, &d);
	for (unsigned i = 0; i < 100; i++) {
		sync_add_dir(&s, &sub);
		sync_add_dir(&s, &d);
		sync_add_dir(&s, &again);
	}
	cr_assert_eq(s.count, 2);
	cr_assert_eq(sync_wait(&s, &err), OUTCOME_DONE, "%s", err.text);
	sync_add_dir(&s, &sub);
	cr_assert_eq(s.count, 1, "only what was added since");
	sync_drop(&s);
	sync_add(&s, dup(d.fd));
	sync_add_dir(&s, &sub);
	cr_assert_eq(s.count, 2, "what stood in its place before is not taken for it");
	sync_drop(&s);
	dir_close(&again);
	dir_close(&sub);
	scratch_close(&d);
}

static int step_large_set(void *context)
{
	struct dir *d = context;
	struct sync_set s;

	sync_init(&s, d);
	for (unsigned i = 0; i < SYNC_SET_FILES + 1; i++)
		sync_add(&s, dup(d->fd));
	return sync_wait(&s, NULL) != OUTCOME_DONE;
}

static int step_small_set(void *context)
{
	struct dir *d = context;
	struct sync_set s;

	sync_init(&s, d);
	for (unsigned i = 0; i < SYNC_SET_FILES; i++)
		sync_add(&s, dup(d->fd));
	return sync_wait(&s, NULL) != OUTCOME_DONE;
}

/* As many waits as files while they are few; one for the whole file system when they are more. */
Test(file, a_large_set_is_one_wait)
{
	struct dir d = scratch_open();

	cr_assert_eq(fault_run("fail", SYNC_SET_FILES, step_small_set, &d), FAULT_COMPLAINS);
	cr_assert_eq(fault_run("fail", SYNC_SET_FILES + 1, step_small_set, &d), FAULT_RAN);
#ifdef __linux__
	cr_assert_eq(fault_run("fail", 1, step_large_set, &d), FAULT_COMPLAINS);
	cr_assert_eq(fault_run("fail", 2, step_large_set, &d), FAULT_RAN);
#endif
	scratch_close(&d);
}

/* ---- many parts, and faults that threads share -------------------------------------------------------------- */

Test(file, parts_are_written_one_behind_the_other)
{
	static const size_t counts[] = {0, 1, 2, 255, 256, 257, 700};
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		struct view parts[700];
		struct buf right;
		struct buf found;
		int fd;

		buf_init(&right, 1 << 16);
		buf_init(&found, 1 << 16);
		buf_text(&right, "before");
		for (size_t n = 0; n < counts[i]; n++) {
			parts[n] = view_of("0123456789abcdef", n % 17); /* empty ones too */
			buf_view(&right, parts[n]);
		}
		cr_assert_eq(file_create_within(&d, "x", view_text("before it"), &fd, &err), OUTCOME_DONE);
		cr_assert_eq(file_write_parts_at(fd, parts, counts[i], 6, "x", &err), OUTCOME_DONE, "%s", err.text);
		cr_assert_eq(file_sync_data(fd, "x", &err), OUTCOME_DONE);
		file_close(&fd);
		cr_assert_eq(file_read(&d, "x", &found, &err), OUTCOME_DONE);
		if (right.length > strlen("before it"))
			cr_expect(view_equal(view_buf(&found), view_buf(&right)), "%zu parts", counts[i]);
		cr_expect_eq(file_create_within(&d, "x", view_text(""), &fd, &err), OUTCOME_LATER, "it stands");
		cr_expect_eq(fd, -1);
		cr_assert_eq(file_remove(&d, "x", &err), OUTCOME_DONE);
		buf_release(&right);
		buf_release(&found);
	}
	scratch_close(&d);
}

Test(file, what_has_a_writer_is_not_claimed)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	int writer;
	int one;
	int two;

	cr_assert_eq(file_create(&d, "x", &writer, &err), OUTCOME_DONE);
	cr_expect(!file_claim(&d, "x", &one));
	cr_expect_eq(one, -1);
	file_close(&writer);
	cr_expect(file_claim(&d, "x", &one));
	cr_expect(!file_claim(&d, "x", &two), "once");
	file_close(&one);
	cr_expect(file_claim(&d, "x", &one));
	file_close(&one);
	cr_expect(!file_claim(&d, "missing", &one));
	scratch_close(&d);
}

Test(file, wiping_a_directory)
{
	struct dir d = scratch_open();
	struct dir below;
	struct error err = ERROR_NONE;

	cr_expect_eq(dir_wipe(&d, "below", &err), OUTCOME_DONE, "a missing one is no error");
	cr_assert_eq(dir_make(&below, &d, "below", 0700, &err), OUTCOME_DONE);
	put(&below, "a", "x");
	put(&below, "b", "y");
	cr_expect_eq(dir_wipe(&d, "below", &err), OUTCOME_DONE, "%s", err.text);
	cr_expect(dir_empty(&d));
	dir_close(&below);
	scratch_close(&d);
}

#define FAULT_THREADS 4
#define FAULT_WRITES  1000

static void *count_strikes(void *context)
{
	int *strikes = context;
	struct error err;

	for (int i = 0; i < FAULT_WRITES; i++) {
		/* Without a fault the call itself fails, and says so otherwise. */
		file_sync_data(-1, "x", &err);
		*strikes += strstr(err.text, "No space") != NULL;
	}
	return NULL;
}

static int strike_threads(void *context)
{
	pthread_t threads[FAULT_THREADS];
	int strikes[FAULT_THREADS] = {0};
	const int *expected = context;
	int all = 0;

	for (int i = 0; i < FAULT_THREADS; i++)
		if (pthread_create(&threads[i], NULL, count_strikes, &strikes[i]) != 0)
			return 1;
	for (int i = 0; i < FAULT_THREADS; i++) {
		pthread_join(threads[i], NULL);
		all += strikes[i];
	}
	return all != *expected;
}

/* The N-th change of all threads together fails, and no other. */
Test(file, a_fault_strikes_once_among_threads)
{
	static const unsigned at[] = {1, 2, FAULT_THREADS * FAULT_WRITES / 2, FAULT_THREADS * FAULT_WRITES};

	int expected = 1;

	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
		cr_expect_eq(fault_run("fail", at[i], strike_threads, &expected), FAULT_RAN, "%u", at[i]);
	expected = 0;
	cr_expect_eq(fault_run("fail", FAULT_THREADS * FAULT_WRITES + 1, strike_threads, &expected), FAULT_RAN);
}
