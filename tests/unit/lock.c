#include "tests/unit/scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/lock.h"

/* As on NFS whose server has no lock service, while it is set. */
static int lock_failure;

int flock(int fd, int operation)
{
	if (lock_failure == 0)
		return (int)syscall(SYS_flock, fd, operation);
	errno = lock_failure;
	return -1;
}

Test(lock, excludes_within_and_across_processes)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct lock one = LOCK_NONE;
	struct lock two = LOCK_NONE;
	bool held;
	int status;

	cr_assert_eq(lock_try(&one, &d, "x", &held, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(lock_try(&two, &d, "x", &held, &err), OUTCOME_LATER);
	cr_assert_eq(err.code, EX_TEMPFAIL);
	cr_assert_not_null(strstr(err.text, "x"));
	cr_assert_eq(two.fd, -1);
	cr_assert_eq(lock_try(&two, &d, "y", &held, &err), OUTCOME_DONE, "another name is another lock");
	lock_release(&two);
	if (fork() == 0)
		_exit(lock_try(&two, &d, "x", &held, NULL) == OUTCOME_LATER && two.fd == -1 ? 0 : 1);
	cr_assert_gt(wait(&status), 0);
	cr_assert_eq(status, 0);
	lock_release(&one);
	lock_release(&one);
	if (fork() == 0)
		_exit(lock_try(&two, &d, "x", &held, NULL) == OUTCOME_DONE ? 0 : 1);
	cr_assert_gt(wait(&status), 0);
	cr_assert_eq(status, 0);
	cr_assert_eq(lock_try(&one, &d, "x", &held, &err), OUTCOME_DONE, "it died with its holder");
	cr_assert(file_exists(&d, "x", NULL), "the file stays");
	lock_release(&one);
	cr_assert(file_exists(&d, "x", NULL));
	scratch_close(&d);
}

/* Nobody holds it, so there is nobody to wait for. */
Test(lock, what_is_no_holder_is_not_waited_for, .timeout = 20)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct lock lock = LOCK_NONE;
	struct rlimit before;
	struct rlimit none;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_expect_eq(lock_take(&lock, &d, "x", &err), OUTCOME_LATER);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_not_null(strstr(err.text, "Too many open files"), "%s", err.text);
	scratch_close(&d);
}

Test(lock, take_waits_for_a_holder_that_is_killed)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct lock lock = LOCK_NONE;
	bool held;
	int ready[2];
	char byte;
	pid_t child;

	cr_assert_eq(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct timespec pause = {.tv_nsec = 150000000};

		if (lock_try(&lock, &d, "x", &held, NULL) == OUTCOME_DONE && write(ready[1], "x", 1) == 1)
			nanosleep(&pause, NULL);
		raise(SIGKILL);
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert_eq(lock_try(&lock, &d, "x", &held, &err), OUTCOME_LATER);
	cr_assert_eq(lock_take(&lock, &d, "x", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(waitpid(child, NULL, WNOHANG), child, "not before it was gone");
	lock_release(&lock);
	scratch_close(&d);
}

/* A counter in a file, by many processes: none of the steps is lost. */
Test(lock, take_makes_one_after_another)
{
	enum { PROCESSES = 4, STEPS = 25 };
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct buf b;
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		if (fork() != 0)
			continue;
		for (int step = 0; step < STEPS; step++) {
			struct lock lock;
			char text[32];
			unsigned count = 0;

			if (lock_take(&lock, &d, "lock", NULL) != OUTCOME_DONE)
				_exit(1);
			buf_init(&b, sizeof text - 1);
			if (file_read(&d, "count", &b, NULL) == OUTCOME_DONE)
				count = (unsigned)strtoul(buf_string(&b), NULL, 10);
			buf_release(&b);
			snprintf(text, sizeof text, "%u", count + 1);
			if (file_replace(&d, &d, "count", view_text(text), NULL) != OUTCOME_DONE)
				_exit(1);
			lock_release(&lock);
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		cr_assert_eq(status, 0);
	buf_init(&b, 100);
	cr_assert_eq(file_read(&d, "count", &b, &err), OUTCOME_DONE);
	cr_assert_str_eq(buf_string(&b), "100");
	buf_release(&b);
	scratch_close(&d);
}

/* What will not pass by waiting is told at once, also when nobody wants the sentence. */
Test(lock, a_lock_that_cannot_be_opened, .timeout = 10)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct lock lock;

	cr_assert_eq(symlinkat("elsewhere", d.fd, "link"), 0);
	cr_assert_neq(lock_take(&lock, &d, "link", &err), OUTCOME_DONE);
	cr_assert_eq(lock.fd, -1);
	cr_assert_neq(lock_take(&lock, &d, "link", NULL), OUTCOME_DONE);
	cr_assert_neq(lock_take(&lock, &d, "no/such", NULL), OUTCOME_DONE);
	lock_release(&lock);
	scratch_close(&d);
}

Test(lock, whether_it_is_held_or_something_is_wrong)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct lock mine;
	struct lock other;
	bool held = true;

	cr_assert_eq(lock_try(&mine, &d, "x", &held, &err), OUTCOME_DONE);
	cr_expect_not(held);
	cr_expect_eq(lock_try(&other, &d, "x", &held, &err), OUTCOME_LATER);
	cr_expect(held);
	cr_expect_neq(lock_try(&other, &d, "no/such", &held, &err), OUTCOME_DONE);
	cr_expect_not(held);
	held = true;
	cr_expect_eq(lock_wait(&other, &d, "x", 1, &held, &err), OUTCOME_LATER);
	cr_expect(held);
	lock_release(&mine);
	scratch_close(&d);
}

/* All of these are EX_TEMPFAIL, as a held lock is. */
Test(lock, what_fails_is_not_held)
{
	static const int failures[] = {ENOLCK, EIO, EOPNOTSUPP};
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct lock lock;
	bool held;

	for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
		held = true;
		lock_failure = failures[i];
		cr_expect_eq(lock_try(&lock, &d, "x", &held, &err), OUTCOME_LATER);
		cr_expect_not(held);
		cr_expect_not_null(strstr(err.text, strerror(failures[i])), "%s", err.text);
		held = true;
		cr_expect_eq(lock_wait(&lock, &d, "x", 60000, &held, &err), OUTCOME_LATER, "at once");
		cr_expect_not(held);
		cr_expect_eq(lock.fd, -1);
	}
	lock_failure = 0;
	cr_expect_eq(lock_try(&lock, &d, "x", &held, &err), OUTCOME_DONE);
	lock_release(&lock);
	scratch_close(&d);
}
