#include "tests/unit/scratch.h"

static void gather(void *context, const char *name, size_t length)
{
	struct buf *out = context;

	cr_expect_eq(length, strlen(name));
	buf_format(out, "%s ", name);
}

Test(file_look, the_files_of_a_directory)
{
	struct dir d = scratch_open();
	struct dir below;
	struct dir made;
	struct error err = ERROR_NONE;
	struct buf seen;

	buf_init(&seen, 1000);
	cr_assert_eq(dir_files(&d, "below", gather, &seen, &err), OUTCOME_NEVER);
	cr_expect_eq(err.code, EX_NOINPUT);
	cr_assert_eq(dir_make(&below, &d, "below", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(dir_files(&d, "below", gather, &seen, &err), OUTCOME_DONE);
	cr_expect_eq(seen.length, 0);
	cr_assert_eq(file_commit(&d, &below, "one", view_text("x"), &err), OUTCOME_DONE);
	cr_assert_eq(symlinkat("one", below.fd, "link"), 0);
	cr_assert_eq(dir_make(&made, &below, "sub", 0700, NULL), OUTCOME_DONE);
	dir_close(&made);
	cr_assert_eq(dir_files(&d, "below", gather, &seen, &err), OUTCOME_DONE);
	cr_expect_str_eq(buf_string(&seen), "one ", "neither links nor directories");
	buf_release(&seen);
	dir_close(&below);
	scratch_close(&d);
}

static void age(const struct dir *d, const char *name)
{
	const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

	cr_assert_eq(utimensat(d->fd, name, past, 0), 0);
}

Test(file_look, a_change_in_a_directory_leaves_its_stamp)
{
	struct dir d = scratch_open();
	struct dir below;
	struct error err = ERROR_NONE;
	struct dir_stamp before = dir_stamp(&d, "below");
	struct dir_stamp now;

	cr_expect_not(dir_stamp_same(&before, &before), "what is not told is like nothing");
	cr_assert_eq(dir_make(&below, &d, "below", 0700, &err), OUTCOME_DONE);
	age(&d, "below");
	before = now = dir_stamp(&d, "below");
	cr_expect_eq(now.modified.tv_sec, 1000);
	cr_expect(dir_stamp_same(&before, &now));
	cr_assert_eq(usleep(20000), 0);
	cr_assert_eq(file_commit(&d, &below, "one", view_text("x"), &err), OUTCOME_DONE);
	now = dir_stamp(&d, "below");
	cr_expect_gt(now.modified.tv_sec, 1000);
	cr_expect_not(dir_stamp_same(&before, &now));
	/* Who sets the time back, as whoever restores a directory, is seen all the same. */
	age(&d, "below");
	now = dir_stamp(&d, "below");
	cr_expect_eq(now.modified.tv_sec, 1000);
	cr_expect_not(dir_stamp_same(&before, &now));
	dir_close(&below);
	scratch_close(&d);
}

Test(file_look, a_file_tells_the_time)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct timespec now = {0};
	struct stat st;
	int fd;

	cr_assert_eq(file_create(&d, "one", &fd, &err), OUTCOME_DONE);
	age(&d, "one");
	cr_expect_eq(file_clock(fd, "one", &now, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_gt(now.tv_sec, 1000);
	cr_assert(file_stat(&d, "one", &st));
	cr_expect_eq(st.st_mtim.tv_sec, now.tv_sec);
	file_close(&fd);
	cr_expect_neq(file_clock(fd, "one", &now, &err), OUTCOME_DONE);
	scratch_close(&d);
}

Test(file_look, opening_and_removing_tell_more)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	uint64_t size = 7;
	bool found = true;
	int fd;

	cr_expect_eq(file_open_sized(&d, "one", &fd, &size, &err), OUTCOME_NEVER);
	cr_expect_eq(fd, -1);
	cr_expect_eq(size, 0);
	cr_assert_eq(file_commit(&d, &d, "one", view_text("four"), &err), OUTCOME_DONE);
	cr_assert_eq(file_open_sized(&d, "one", &fd, &size, &err), OUTCOME_DONE);
	cr_expect_eq(size, 4);
	file_close(&fd);
	cr_expect_eq(file_remove_found(&d, "one", &found, &err), OUTCOME_DONE);
	cr_expect(found);
	cr_expect_eq(file_remove_found(&d, "one", &found, &err), OUTCOME_DONE);
	cr_expect_not(found);
	scratch_close(&d);
}

Test(file_look, the_beginning_of_a_file_is_had_through_a_link)
{
	struct dir d = scratch_open();
	char *path = mem_format("%s/link", d.path);
	struct error err = ERROR_NONE;
	struct buf text;

	buf_init(&text, 5);
	cr_assert_eq(symlinkat("one", d.fd, "link"), 0);
	cr_expect_not(file_peek(path, &text));
	cr_assert_eq(file_commit(&d, &d, "one", view_text("hello you"), &err), OUTCOME_DONE);
	for (int i = 0; i < 2; i++) {
		cr_expect(file_peek(path, &text));
		cr_expect(view_is(view_buf(&text), "hello"));
	}
	cr_expect_not(file_peek(d.path, &text), "a directory");
	cr_expect_eq(text.length, 0);
	buf_release(&text);
	free(path);
	scratch_close(&d);
}
