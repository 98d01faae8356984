#include "lib/net_conn_own.h"

#include <errno.h>

#include "lib/alloc.h"
#include "lib/clock.h"

/* More unsent than this, and the owner does not look at conn_unsent. */
#define OUTPUT_MAX ((size_t)64 << 20)
/* Octets written in one turn of the loop, so that a fast reader does not keep others waiting. */
#define WRITE_TURN ((size_t)256 << 10)

/* ---- time ------------------------------------------------------------------------------------------------ */

void conn_ring_at(struct conn *c, uint64_t when)
{
	uint64_t now = clock_steady_ms();
	uint64_t left = when > now ? when - now : 0;
	struct timeval wait = {.tv_sec = (time_t)(left / 1000), .tv_usec = (suseconds_t)(left % 1000 * 1000)};

	if (c->due != 0 && c->due <= when)
		return;
	c->due = when;
	event_add(&c->timer, &wait);
}

static void got_on(struct conn *c, size_t octets)
{
	c->moved = clock_steady_ms();
	pace_count(&c->pace, octets);
}

/* Its timeout begins anew. */
static void await(struct conn *c)
{
	c->moved = clock_steady_ms();
	if (c->timeout != 0)
		conn_ring_at(c, c->moved + (uint64_t)c->timeout * 1000);
}

/* ---- tasks for the loop ---------------------------------------------------------------------------------- */

static void soon(struct conn *c, unsigned task)
{
	c->tasks |= task;
	event_active(&c->soon, EV_TIMEOUT, 0);
}

/* After everybody else had a turn. */
static void later(struct conn *c, unsigned task)
{
	struct timeval at_once = {0};

	c->tasks |= task;
	event_add(&c->soon, &at_once);
}

static bool owned(const struct conn *c)
{
	return !c->dead && c->phase <= PHASE_CLOSED;
}

bool conn_shaking(const struct conn *c)
{
	return c->tls == TLS_WAITS || c->tls == TLS_SHAKES;
}

/* May octets be read now? */
static bool wants_reading(const struct conn *c)
{
	switch (c->phase) {
	case PHASE_OPEN:
		if (c->tls == TLS_WAITS || c->ended)
			return false;
		return c->tls == TLS_SHAKES || (!c->paused && fifo_length(&c->input) < CONN_INPUT_MAX);
	case PHASE_FINISHING:
		return c->tls == TLS_SHAKES;
	case PHASE_LINGERING:
		return true;
	default:
		return false;
	}
}

void conn_watch_input(struct conn *c)
{
	if (c->dead || !wants_reading(c))
		return;
	if (c->more || c->channel.always_ready)
		later(c, SOON_READ);
	if (!c->channel.always_ready && !c->reads)
		c->reads = event_add(&c->reading, NULL) == 0;
}

static void ignore_input(struct conn *c)
{
	if (c->reads)
		event_del(&c->reading);
	c->reads = false;
}

static void watch_output(struct conn *c)
{
	if (!c->dead && !c->writes)
		c->writes = event_add(&c->writing, NULL) == 0;
}

void conn_ignore_output(struct conn *c)
{
	if (c->writes)
		event_del(&c->writing);
	c->writes = false;
}

/* ---- ends ------------------------------------------------------------------------------------------------ */

/* Tells the owner, once. CODE EX_OK: the peer closed. */
static void tell_closed(struct conn *c, int code, const char *text)
{
	struct error why;

	ignore_input(c);
	if (code != EX_OK || c->phase == PHASE_CONNECTING) {
		conn_ignore_output(c);
		fifo_take(&c->output, SIZE_MAX);
	}
	if (!owned(c)) {
		conn_free(c);
		return;
	}
	if (c->phase == PHASE_CLOSED)
		return;
	c->phase = PHASE_CLOSED;
	error_set(&why, code, "%s", text);
	if (c->handlers->closed != NULL)
		c->handlers->closed(c->context, &why);
}

/* Nothing can be written any more. The owner hears of it from the loop, behind the last words of the peer. */
static void broke(struct conn *c, const struct error *err)
{
	conn_ignore_output(c);
	fifo_take(&c->output, SIZE_MAX);
	c->clear = 0;
	if (c->broken != NULL)
		return;
	c->broken = mem_string(err->text);
	c->broken_code = err->code;
	soon(c, SOON_CLOSED);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

/* One write of BYTES. */
static enum channel_result write_some(struct conn *c, struct view bytes, size_t *sent)
{
	struct error err = ERROR_NONE;
	enum channel_result result;

	if (c->tls == TLS_WAITS)
		result = channel_write_clear(
		    &c->channel, bytes.bytes, bytes.length < c->clear ? bytes.length : c->clear, sent, &err);
	else
		result = channel_write(&c->channel, bytes.bytes, bytes.length, sent, &err);
	if (result == CHANNEL_MOVED)
		got_on(c, *sent);
	else if (result == CHANNEL_AGAIN)
		watch_output(c);
	else if (result == CHANNEL_FAILED)
		broke(c, &err);
	if (result == CHANNEL_END) {
		error_set(&err, EX_TEMPFAIL, "%s closed the connection", c->channel.peer);
		broke(c, &err);
	}
	return result;
}

static bool may_write(const struct conn *c)
{
	return c->phase != PHASE_CONNECTING && c->tls != TLS_SHAKES && c->broken == NULL && !c->channel.broken;
}

static void flush(struct conn *c)
{
	size_t total = 0;

	while (may_write(c) && fifo_length(&c->output) > 0 && (c->tls != TLS_WAITS || c->clear > 0)) {
		size_t sent = 0;

		if (total >= WRITE_TURN) {
			watch_output(c);
			return;
		}
		if (write_some(c, fifo_view(&c->output), &sent) != CHANNEL_MOVED)
			return;
		if (c->tls == TLS_WAITS)
			c->clear -= sent;
		fifo_take(&c->output, sent);
		total += sent;
	}
	if (c->tls == TLS_WAITS && c->clear == 0) {
		c->tls = TLS_SHAKES;
		soon(c, SOON_HANDSHAKE);
	}
	conn_ignore_output(c);
	if (fifo_length(&c->output) > 0 || c->broken != NULL)
		return;
	if (c->phase == PHASE_FINISHING)
		conn_linger(c);
	else if (total > 0)
		soon(c, SOON_DRAINED);
}

void conn_write(struct conn *c, struct view bytes)
{
	size_t sent = 0;
	struct error err;

	if (bytes.length == 0 || c->broken != NULL || c->dead)
		return;
	if (fifo_length(&c->output) == 0) {
		c->moved = clock_steady_ms();
		/* The system takes most answers at once: neither a copy nor a turn of the loop. */
		if (may_write(c) && c->tls != TLS_WAITS)
			write_some(c, bytes, &sent);
	}
	if (c->broken != NULL)
		return;
	if (sent == bytes.length) {
		soon(c, SOON_DRAINED);
		return;
	}
	fifo_put(&c->output, bytes.bytes + sent, bytes.length - sent);
	if (c->output.buf.failed) {
		error_set(&err, EX_TEMPFAIL, "more than %zu octets wait for %s", OUTPUT_MAX, c->channel.peer);
		broke(c, &err);
	} else if (may_write(c)) {
		watch_output(c);
	}
}

void conn_write_last(struct conn *c, struct view bytes)
{
	c->channel.last = true;
	conn_write(c, bytes);
}

size_t conn_unsent(const struct conn *c)
{
	return fifo_length(&c->output);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static void give_input(struct conn *c)
{
	bool outer = c->in_input;

	c->in_input = true;
	if (owned(c) && c->handlers->input != NULL)
		c->handlers->input(c->context);
	c->in_input = outer;
}

static void give_end(struct conn *c, enum channel_result result, const struct error *err)
{
	ignore_input(c);
	c->ended = true;
	if (c->broken != NULL)
		tell_closed(c, c->broken_code, c->broken);
	else if (result == CHANNEL_FAILED)
		tell_closed(c, err->code, err->text);
	else if (!c->paused)
		tell_closed(c, EX_OK, "");
}

/* Reads what is there, up to the bound. One call, since the loop comes back if there is more; but to the end of
 * what OpenSSL holds, of which no loop can know. */
static enum channel_result read_some(struct conn *c, size_t *total, struct error *err)
{
	uint8_t bytes[CONN_INPUT_MAX];

	c->more = false;
	for (;;) {
		size_t room = CONN_INPUT_MAX - fifo_length(&c->input);
		size_t got = 0;
		enum channel_result result;

		if (room == 0) {
			c->more = c->tls == TLS_STANDS;
			return CHANNEL_AGAIN;
		}
		result = channel_read(&c->channel, bytes, room, &got, err);
		if (result != CHANNEL_MOVED)
			return result;
		fifo_put(&c->input, bytes, got);
		*total += got;
		if (c->tls != TLS_STANDS || !channel_holds(&c->channel))
			return result;
	}
}

static void step_read(struct conn *c)
{
	struct error err = ERROR_NONE;
	size_t total = 0;
	enum channel_result result = read_some(c, &total, &err);

	/* TLS has an answer of its own to give before it can read on. */
	if (result == CHANNEL_AGAIN && total == 0 && c->channel.blocked == BLOCKED_WRITING) {
		c->more = true;
		watch_output(c);
	}
	c->channel.blocked = BLOCKED_NOT;
	if (total > 0) {
		if (fifo_length(&c->output) == 0)
			got_on(c, total);
		give_input(c);
	}
	if (!owned(c))
		return;
	if (result == CHANNEL_END || result == CHANNEL_FAILED)
		give_end(c, result, &err);
	else if (c->channel.always_ready)
		conn_watch_input(c);
}

static void step_handshake(struct conn *c)
{
	struct error err = ERROR_NONE;
	enum channel_result result = channel_handshake(&c->channel, &err);

	if (result == CHANNEL_AGAIN) {
		if (c->channel.blocked == BLOCKED_WRITING)
			watch_output(c);
		else
			conn_ignore_output(c);
		conn_watch_input(c);
		return;
	}
	if (result != CHANNEL_MOVED) {
		c->ended = true;
		tell_closed(c, err.code, err.text);
		return;
	}
	c->tls = TLS_STANDS;
	c->moved = clock_steady_ms();
	/* The peer's first words may have come with the end of the handshake. */
	c->more = true;
	flush(c);
	if (owned(c) && c->handlers->secured != NULL)
		c->handlers->secured(c->context);
	conn_watch_input(c);
}

/* ---- what the loop calls --------------------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	enum channel_result result;

	(void)fd;
	(void)what;
	conn_enter(c);
	if (!wants_reading(c)) {
		ignore_input(c);
	} else if (c->phase == PHASE_LINGERING) {
		result = channel_discard(&c->channel);
		if (result == CHANNEL_END || result == CHANNEL_FAILED)
			conn_free(c);
	} else if (c->tls == TLS_SHAKES) {
		step_handshake(c);
	} else {
		step_read(c);
	}
	conn_leave(c);
}

static void step_connected(struct conn *c)
{
	int errnum = 0;
	socklen_t length = sizeof errnum;
	struct error why;

	conn_ignore_output(c);
	if (getsockopt(c->channel.out, SOL_SOCKET, SO_ERROR, &errnum, &length) != 0)
		errnum = errno;
	if (errnum != 0) {
		error_set(&why, EX_TEMPFAIL, "cannot connect to %s: %s", c->channel.peer, strerror(errnum));
		tell_closed(c, why.code, why.text);
		return;
	}
	c->phase = PHASE_OPEN;
	await(c);
	flush(c);
	if (c->handlers->connected != NULL)
		c->handlers->connected(c->context);
	conn_watch_input(c);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;

	(void)fd;
	(void)what;
	conn_enter(c);
	if (c->phase == PHASE_CONNECTING)
		step_connected(c);
	else if (c->tls == TLS_SHAKES)
		step_handshake(c);
	else
		flush(c);
	if (c->more)
		conn_watch_input(c);
	conn_leave(c);
}

static void step_closed(struct conn *c)
{
	if (c->phase == PHASE_FINISHING) {
		conn_free(c);
		return;
	}
	/* What the peer said before it closed its ear explains it, as a rule. */
	if (c->broken != NULL && c->phase == PHASE_OPEN && c->tls != TLS_SHAKES && wants_reading(c))
		step_read(c);
	if (!owned(c) || c->phase == PHASE_CLOSED)
		return;
	if (c->broken != NULL)
		tell_closed(c, c->broken_code, c->broken);
	else if (c->ended && !c->paused)
		tell_closed(c, EX_OK, "");
}

static void on_soon(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	unsigned tasks = c->tasks;

	(void)fd;
	(void)what;
	c->tasks = 0;
	conn_enter(c);
	if ((tasks & SOON_HANDSHAKE) != 0 && !c->dead && c->tls == TLS_SHAKES && c->broken == NULL)
		step_handshake(c);
	if ((tasks & SOON_READ) != 0 && owned(c) && wants_reading(c) && c->tls != TLS_SHAKES)
		step_read(c);
	if ((tasks & SOON_INPUT) != 0 && owned(c))
		give_input(c);
	if ((tasks & SOON_DRAINED) != 0 && owned(c) && fifo_length(&c->output) == 0 && c->broken == NULL &&
	    c->handlers->drained != NULL)
		c->handlers->drained(c->context);
	if ((tasks & SOON_CLOSED) != 0 && !c->dead)
		step_closed(c);
	conn_leave(c);
}

/* Nobody is waited for: the owner is at work, and all was given to the system. */
static bool rests(const struct conn *c)
{
	return c->paused && fifo_length(&c->output) == 0 && !conn_shaking(c);
}

static void check_idle(struct conn *c, uint64_t now)
{
	uint64_t patience = (uint64_t)c->timeout * 1000;
	struct error why;

	if (c->timeout == 0 || c->phase != PHASE_OPEN)
		return;
	if (rests(c))
		c->moved = now;
	if (pace_lags(&c->pace, c->timeout, now)) {
		error_set(&why, EX_UNAVAILABLE, "%s is too slow: %llu octets in %llu seconds", c->channel.peer,
		    (unsigned long long)c->pace.octets, (unsigned long long)(now - c->pace.since) / 1000);
		tell_closed(c, why.code, why.text);
		return;
	}
	if (now < c->moved + patience) {
		conn_ring_at(c, c->moved + patience);
		return;
	}
	error_set(&why, EX_UNAVAILABLE, "%s %s for %u seconds", c->channel.peer,
	    conn_shaking(c)		  ? "did not come to an end with TLS"
	    : fifo_length(&c->output) > 0 ? "took nothing"
					  : "sent nothing",
	    c->timeout);
	tell_closed(c, why.code, why.text);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;
	uint64_t now = clock_steady_ms();
	struct error why;

	(void)fd;
	(void)what;
	c->due = 0;
	conn_enter(c);
	if (c->phase == PHASE_OPEN || c->phase == PHASE_CLOSED) {
		check_idle(c, now);
	} else if (now < c->deadline) {
		conn_ring_at(c, c->deadline);
	} else if (c->phase == PHASE_CONNECTING) {
		error_set(&why, EX_TEMPFAIL, "cannot connect to %s: no answer in time", c->channel.peer);
		tell_closed(c, why.code, why.text);
	} else {
		conn_free(c);
	}
	conn_leave(c);
}

/* ---- beginnings ------------------------------------------------------------------------------------------ */

/* Its channel is the caller's to make. */
static struct conn *conn_new(
    struct event_base *base, int in, int out, const struct conn_handlers *handlers, void *context)
{
	struct conn *c = mem_alloc(sizeof *c);

	c->handlers = handlers;
	c->context = context;
	fifo_init(&c->input, 2 * CONN_INPUT_MAX);
	fifo_init(&c->output, OUTPUT_MAX);
	c->phase = PHASE_OPEN;
	c->moved = clock_steady_ms();
	event_assign(&c->reading, base, in, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->writing, base, out, EV_WRITE | EV_PERSIST, on_writable, c);
	event_assign(&c->timer, base, -1, 0, on_timer, c);
	event_assign(&c->soon, base, -1, 0, on_soon, c);
	return c;
}

struct conn *conn_pipes(struct event_base *base, int in, int out, const struct conn_handlers *handlers, void *context)
{
	struct conn *c = conn_new(base, in, out, handlers, context);

	channel_init(&c->channel, in, out);
	conn_watch_input(c);
	return c;
}

struct conn *conn_served(struct event_base *base, int fd, const struct sockaddr *address, socklen_t length,
    const struct conn_handlers *handlers, void *context)
{
	struct conn *c = conn_new(base, fd, fd, handlers, context);

	channel_init_known(&c->channel, fd, address, length);
	conn_watch_input(c);
	return c;
}

struct conn *conn_connect(struct event_base *base, const struct sockaddr *address, socklen_t length, unsigned seconds,
    const struct conn_handlers *handlers, void *context)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int errnum = errno;
	struct conn *c = conn_new(base, fd, fd, handlers, context);
	struct error err;

	channel_init(&c->channel, fd, fd);
	channel_name(&c->channel, address, length);
	c->phase = PHASE_CONNECTING;
	c->deadline = clock_steady_ms() + (uint64_t)seconds * 1000;
	if (fd >= 0 && (connect(fd, address, length) == 0 || errno == EINPROGRESS)) {
		conn_ring_at(c, c->deadline);
		watch_output(c);
		return c;
	}
	if (fd >= 0)
		errnum = errno;
	error_set(&err, EX_TEMPFAIL, "cannot connect to %s: %s", c->channel.peer, strerror(errnum));
	broke(c, &err);
	return c;
}

/* ---- the owner's calls ----------------------------------------------------------------------------------- */

struct view conn_input(struct conn *c)
{
	return fifo_view(&c->input);
}

void conn_take(struct conn *c, size_t length)
{
	fifo_take(&c->input, length);
	conn_watch_input(c);
}

void conn_again(struct conn *c)
{
	/* A handler that asks for itself must not keep others from their turn. */
	if (c->in_input)
		later(c, SOON_INPUT);
	else
		soon(c, SOON_INPUT);
}

void conn_pause(struct conn *c)
{
	c->paused = true;
}

void conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	c->moved = clock_steady_ms();
	if (c->ended && c->phase == PHASE_OPEN)
		soon(c, SOON_CLOSED);
	conn_watch_input(c);
}

void conn_timeout(struct conn *c, unsigned seconds)
{
	c->timeout = seconds;
	if (c->phase == PHASE_OPEN)
		await(c);
}

void conn_answered(struct conn *c)
{
	pace_begin(&c->pace, clock_steady_ms());
}

bool conn_start_tls(struct conn *c, struct tls *tls, const char *name)
{
	struct error err = ERROR_NONE;

	if (fifo_length(&c->input) > 0) {
		fifo_take(&c->input, SIZE_MAX);
		return false;
	}
	if (c->broken != NULL || c->tls != TLS_NONE)
		return true;
	if (channel_start_tls(&c->channel, tls, name, &err) != OUTCOME_DONE) {
		broke(c, &err);
		return true;
	}
	c->tls = TLS_WAITS;
	c->clear = fifo_length(&c->output);
	c->moved = clock_steady_ms();
	flush(c);
	return true;
}

const char *conn_tls_text(struct conn *c)
{
	return channel_tls_text(&c->channel);
}

const char *conn_peer(const struct conn *c)
{
	return c->channel.peer;
}
