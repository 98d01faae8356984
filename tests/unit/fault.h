/*
 * Runs a step in a process of its own, with a plan of faults (lib/file.h). The plan is read at the
 * first change to the file system, so a test that uses this changes nothing itself: everything is a step.
 *
 *	for (n = 1; fault_run("kill", n, step, &context) != FAULT_RAN; n++)
 *		...
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <criterion/criterion.h>
#include <sys/wait.h>

#include "lib/alloc.h"

enum fault_end {
	FAULT_RAN,	/* the step came to its end and returned 0 */
	FAULT_KILLED,	/* the plan struck */
	FAULT_COMPLAINS /* the step returned something else */
};

/* KIND null: no faults. Anything else that ends the process fails the test. */
static inline enum fault_end fault_run(const char *kind, unsigned number, int (*step)(void *context), void *context)
{
	pid_t child;
	int status = 0;

	fflush(NULL);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		char *plan = mem_format("%s:%u:28", kind == NULL ? "" : kind, number); /* ENOSPC */

		if (kind != NULL)
			setenv("PACKETBOAT_FAULT", plan, 1);
		free(plan);
		_exit(step(context));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status)) {
		cr_assert_eq(WTERMSIG(status), SIGKILL, "died of signal %d", WTERMSIG(status));
		return FAULT_KILLED;
	}
	return WEXITSTATUS(status) == 0 ? FAULT_RAN : FAULT_COMPLAINS;
}

#endif
