/*
 * How a connection ends: at once, or written out and listened to until the peer has our last words.
 */
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/net_conn_own.h"

/* After the last word: milliseconds in which the peer may take it and go on sending. Closing while octets wait unread
 * sends a reset, which destroys what the peer has not read yet (RFC 1122 4.2.2.13). */
#define LINGER 2000

/* Of this thread's loops: conns that have no owner any more. */
static _Thread_local LIST_HEAD(conns, conn) finishing;

static void destroy(struct conn *c)
{
	fifo_release(&c->input);
	fifo_release(&c->output);
	free(c->broken);
	free(c);
}

void conn_enter(struct conn *c)
{
	c->nested++;
}

void conn_leave(struct conn *c)
{
	if (--c->nested == 0 && c->dead)
		destroy(c);
}

void conn_free(struct conn *c)
{
	if (c == NULL || c->dead)
		return;
	c->dead = true;
	if (c->phase >= PHASE_FINISHING)
		LIST_REMOVE(c, link);
	event_del(&c->reading);
	event_del(&c->writing);
	event_del(&c->timer);
	event_del(&c->soon);
	channel_close(&c->channel);
	if (c->nested == 0)
		destroy(c);
}

void conn_linger(struct conn *c)
{
	uint64_t until = clock_steady_ms() + LINGER;

	conn_ignore_output(c);
	c->more = false;
	if (!channel_end(&c->channel) || c->ended) {
		conn_free(c);
		return;
	}
	c->phase = PHASE_LINGERING;
	c->deadline = until < c->deadline ? until : c->deadline;
	conn_ring_at(c, c->deadline);
	conn_watch_input(c);
}

void conn_finish(struct conn *c, unsigned seconds)
{
	bool open = c->phase == PHASE_OPEN || (c->phase == PHASE_CLOSED && c->broken == NULL);

	if (c->dead || c->phase > PHASE_CLOSED)
		return;
	if (!open || c->broken != NULL || c->channel.broken || seconds == 0) {
		conn_free(c);
		return;
	}
	c->phase = PHASE_FINISHING;
	c->deadline = clock_steady_ms() + (uint64_t)seconds * 1000;
	LIST_INSERT_HEAD(&finishing, c, link);
	conn_ring_at(c, c->deadline);
	if (fifo_length(&c->output) == 0 && !conn_shaking(c))
		conn_linger(c);
}

static bool finishes_on(const struct event_base *base)
{
	for (const struct conn *c = LIST_FIRST(&finishing); c != NULL; c = LIST_NEXT(c, link))
		if (event_get_base(&c->soon) == base)
			return true;
	return false;
}

void conn_farewell(struct event_base *base)
{
	while (finishes_on(base) && event_base_loop(base, EVLOOP_ONCE) == 0)
		;
}

void conn_abandon(const struct event_base *base)
{
	for (struct conn *c = LIST_FIRST(&finishing), *next; c != NULL; c = next) {
		next = LIST_NEXT(c, link);
		if (event_get_base(&c->soon) == base)
			conn_free(c);
	}
}
