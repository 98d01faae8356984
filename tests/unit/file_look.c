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

Test(file_look, a_change_in_a_directory_has_its_time)
{
	struct dir d = scratch_open();
	struct dir below;
	const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct error err = ERROR_NONE;

	cr_expect_eq(dir_changed(&d, "below").tv_sec, 0);
	cr_assert_eq(dir_make(&below, &d, "below", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(utimensat(d.fd, "below", past, 0), 0);
	cr_expect_eq(dir_changed(&d, "below").tv_sec, 1000);
	cr_assert_eq(file_commit(&d, &below, "one", view_text("x"), &err), OUTCOME_DONE);
	cr_expect_gt(dir_changed(&d, "below").tv_sec, 1000);
	dir_close(&below);
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
