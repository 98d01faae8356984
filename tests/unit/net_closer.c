#include "lib/net_closer.h"

#include <fcntl.h>
#include <unistd.h>

#include <criterion/criterion.h>

/* More than wait at once: each is closed once, whoever does it, and all of them when it has stopped. */
Test(net_closer, closes_all)
{
	struct event_base *base = event_base_new();
	struct error err = ERROR_NONE;
	struct closer *c;
	int ends[2];
	char byte;

	cr_assert_eq(closer_start(&c, base, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(pipe(ends), 0);
	for (int i = 0; i < 4 * CLOSER_BACKLOG; i++) {
		int fd = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);

		cr_assert_geq(fd, 0);
		closer_close(c, fd);
	}
	closer_close(c, ends[1]);
	closer_stop(c);
	cr_expect_eq(read(ends[0], &byte, 1), 0, "nobody can write to it any more");
	close(ends[0]);
	closer_stop(NULL);
	event_base_free(base);
}
