#include "relay/line.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/listen.h"

/* More than a backlog of 0 holds. */
#define FILLERS 4

static void on_alarm(int number)
{
	(void)number;
}

static void interrupt_after(suseconds_t microseconds)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval timer = {.it_value.tv_usec = microseconds};

	cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* "tcp:127.0.0.1:PORT", where a connection neither comes about nor fails; release with free(). */
static char *deaf_address(int fds[1 + FILLERS])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;

	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(fds[0], (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(fds[0], 0), 0);
	cr_assert_eq(getsockname(fds[0], (struct sockaddr *)&address, &length), 0);
	for (size_t i = 1; i <= FILLERS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&address, sizeof address);
	}
	return mem_format("tcp:127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
}

Test(line, a_connection_that_does_not_come_about)
{
	static const struct {
		unsigned seconds;
		suseconds_t interrupted; /* microseconds; 0: not */
		const char *says;
	} cases[] = {{1, 0, "timed out"}, {20, 200000, "Interrupted"}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int fds[1 + FILLERS];
		char *address = deaf_address(fds);
		uint64_t begun = clock_steady_ms();
		struct error err = ERROR_NONE;
		struct line line;

		if (cases[i].interrupted > 0)
			interrupt_after(cases[i].interrupted);
		cr_expect_eq(line_open(&line, address, cases[i].seconds, &err), OUTCOME_LATER);
		cr_expect_eq(err.code, EX_TEMPFAIL);
		cr_expect_not_null(strstr(err.text, cases[i].says), "%s", err.text);
		cr_expect_lt(clock_steady_ms() - begun, 10000);
		for (size_t k = 0; k <= FILLERS; k++)
			close(fds[k]);
		free(address);
	}
}
