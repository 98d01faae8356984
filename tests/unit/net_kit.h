/*
 * Two ends of a connection on one loop, for the tests of the network ground: what each hears is written down.
 */
#ifndef TESTS_NET_KIT_H
#define TESTS_NET_KIT_H

#include "tests/unit/scratch.h"

#include <event2/event.h>

#include "lib/net_conn.h"
#include "lib/daemon.h"
#include "lib/net_tls.h"

/* Seconds after which a test that waits has failed. */
#define NET_PATIENCE 20

struct end {
	struct event_base *base;
	struct conn *conn;
	struct buf got; /* all input, unless `leave` */
	bool leave;	/* input is left where it is */
	unsigned inputs, drained, connected, secured, closed;
	struct error why;  /* of `closed` */
	const char *until; /* the loop stops when `got` holds this */
	bool echo;
	bool pause; /* by the handler */
};

static inline void end_input(void *context)
{
	struct end *e = context;
	struct view in = conn_input(e->conn);

	e->inputs++;
	if (e->pause)
		conn_pause(e->conn);
	if (e->leave)
		return;
	buf_view(&e->got, in);
	if (e->echo)
		conn_write(e->conn, in);
	conn_take(e->conn, in.length);
	if (e->until != NULL && strstr(buf_string(&e->got), e->until) != NULL)
		event_base_loopbreak(e->base);
}

static inline void end_drained(void *context)
{
	((struct end *)context)->drained++;
}

static inline void end_connected(void *context)
{
	((struct end *)context)->connected++;
}

static inline void end_secured(void *context)
{
	((struct end *)context)->secured++;
}

static inline void end_closed(void *context, const struct error *why)
{
	struct end *e = context;

	e->closed++;
	e->why = *why;
}

static const struct conn_handlers end_handlers = {
    .connected = end_connected,
    .input = end_input,
    .drained = end_drained,
    .secured = end_secured,
    .closed = end_closed,
};

static inline void end_init(struct end *e, struct event_base *base)
{
	*e = (struct end){.base = base};
	buf_init(&e->got, (size_t)64 << 20);
}

static inline void end_release(struct end *e)
{
	conn_free(e->conn);
	buf_release(&e->got);
}

struct pair {
	struct event_base *base;
	struct end a, b;
};

static inline void pair_open(struct pair *p)
{
	int fds[2];

	daemon_ignore_pipe();
	p->base = event_base_new();
	end_init(&p->a, p->base);
	end_init(&p->b, p->base);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	p->a.conn = conn_pipes(p->base, fds[0], fds[0], &end_handlers, &p->a);
	p->b.conn = conn_pipes(p->base, fds[1], fds[1], &end_handlers, &p->b);
}

static inline void pair_close(struct pair *p)
{
	end_release(&p->a);
	end_release(&p->b);
	conn_abandon(p->base);
	event_base_free(p->base);
	libevent_global_shutdown();
}

/* Runs the loop for so many milliseconds. */
static inline void run_for(struct event_base *base, unsigned milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000)};

	event_base_loopexit(base, &time);
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static inline double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Runs the loop until CONDITION holds; false when it never does. */
#define run_until(base, condition)                                                                                   \
	({                                                                                                           \
		double until_end = seconds_now() + NET_PATIENCE;                                                     \
		while (!(condition) && seconds_now() < until_end)                                                    \
			run_for(base, 2);                                                                            \
		(condition);                                                                                         \
	})

#endif
