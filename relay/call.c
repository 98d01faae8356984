#include "relay/call_own.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "relay/intake.h"
#include "relay/pass.h"

/* Octets read from the line at once. */
#define LINE_PIECE 65536
/* Milliseconds of a call that may go uncounted when the host goes down. */
#define ACCOUNT_TIME 60000

static volatile sig_atomic_t leaving; /* so many signals, 2 at most */
static const char told_to_leave[] = "ended by a signal; the next call goes on where this one ended";

static void on_leave(int number)
{
	(void)number;
	leaving = leaving == 0 ? 1 : 2;
}

void call_prepare(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	const struct sigaction action = {.sa_handler = on_leave};
	struct sigaction before;

	signal(SIGPIPE, SIG_IGN);
	/* What is ignored stays so: nohup(1). */
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

/* ---- limits ------------------------------------------------------------------------------------------------ */

/* Octets for what is said beside batches until the call is over. */
#define LAST_WORDS 200

/* Told by a signal: what is on its way is not thrown away, unless there is a second one. */
static void leave(struct call *c)
{
	if (!c->told_to_leave)
		progress_leave(&c->progress);
	c->told_to_leave = true;
	session_finish(&c->session, SESSION_END_LEAVE);
	if (leaving > 1)
		session_lost(&c->session, told_to_leave);
}

static void heed_limits(struct call *c)
{
	uint64_t used = c->report->octets + c->session.output.length + LAST_WORDS;
	const struct call_limits *l = c->terms == NULL ? NULL : &c->terms->limits;

	if (leaving)
		leave(c);
	if (l == NULL || !c->session.stands)
		return;
	if ((l->seconds > 0 && (c->now - c->begun) / 1000 >= l->seconds) || (l->octets > 0 && used >= l->octets))
		session_finish(&c->session, SESSION_END_LIMIT);
	else if (l->octets > 0)
		session_allow(&c->session, l->octets - used, l->reserve);
}

/* ---- who it is --------------------------------------------------------------------------------------------- */

static void begin_talk(struct call *c)
{
	const struct peer_source *source;
	struct error err = ERROR_NONE;
	enum outcome outcome;

	call_contain(c, intake_recover(c->relay, c->n->config->name, &err), &err);
	source = peer_present(&c->n->peer);
	outcome = parts_open(&c->parts, &c->n->in, source == NULL ? 0 : source->incarnation, &err);
	c->parts_open = true;
	if (source != NULL && source->incarnation == c->parts.incarnation)
		parts_drop(&c->parts, &source->received);
	snprintf(c->report->peer, sizeof c->report->peer, "%s", c->n->config->name);
	for (size_t i = 0; i < c->parts.count && outcome == OUTCOME_DONE; i++) {
		uint8_t hash[SESSION_HASH];

		outcome = part_hash(&c->parts.items[i], hash, &err);
		if (outcome == OUTCOME_DONE)
			session_have(&c->session, c->parts.items[i].sequence, c->parts.items[i].size, hash);
	}
	if (outcome == OUTCOME_DONE)
		outcome = pass_prepare(c->relay, c->n, &err);
	if (outcome != OUTCOME_DONE)
		session_finish(&c->session, SESSION_END_LEAVE);
	call_contain(c, outcome, &err);
	c->fresh = c->n->peer.next;
	call_offer(c);
	heed_limits(c);
	c->looked_at = c->now;
	c->look_at = c->now + CALL_LOOK;
}

/* The first words, when all is taken that came before them: a small batch is acknowledged by them. */
static void speak_first(struct call *c)
{
	struct error err = ERROR_NONE;
	enum outcome outcome = call_tell(c, &err);

	if (outcome != OUTCOME_DONE)
		session_finish(&c->session, SESSION_END_LEAVE);
	call_contain(c, outcome, &err);
	session_go(&c->session);
	c->gone = true;
}

/* Whose hint is it? A hint, and a whole hello, can be repeated by whoever heard it: until there is proof nothing is done or
 * locked that the neighbour itself, or a pass, would have to wait for. */
static void look_who(struct call *c, struct view hint)
{
	struct relay *r = c->relay;
	uint8_t expected[SESSION_HINT];

	for (size_t i = 0; i < r->config.neighbour_count; i++) {
		const struct config_neighbour *config = &r->config.neighbours[i];
		const struct public_keys *keys = &r->neighbours[i].keys;

		if (keys->host[0] == '\0')
			continue;
		session_hint(keys, &r->keys.public, expected);
		if (sodium_memcmp(expected, hint.bytes, sizeof expected) != 0)
			continue;
		c->claimed = config;
		session_meet(&c->session, keys, !config->seal, config->turn * 1000);
		return;
	}
	snprintf(c->text, sizeof c->text, "a stranger called");
}

/* An answerer knows now who calls. It hears a word of farewell when we cannot work on it now. */
static void meet(struct call *c)
{
	struct error err = ERROR_NONE;
	enum outcome outcome;

	snprintf(c->report->peer, sizeof c->report->peer, "%s", c->claimed->name);
	outcome = relay_neighbour(c->relay, c->claimed->name, &c->n, &err);
	if (c->n != NULL) {
		begin_talk(c);
		return;
	}
	c->why_barred = err;
	call_contain(c, outcome, &err);
	c->barred = c->gone = true;
	session_finish(&c->session, SESSION_END_LEAVE);
	session_go(&c->session);
}

/* ---- the line --------------------------------------------------------------------------------------------- */

static void read_line(struct call *c)
{
	ssize_t count = read(c->line->in, c->piece, LINE_PIECE);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) {
		session_lost(&c->session, count == 0 ? "the other end closed the line" : strerror(errno));
		return;
	}
	c->report->octets += (uint64_t)count;
	c->moved_at = c->now;
	session_feed(&c->session, view_of(c->piece, (size_t)count));
}

static void write_line(struct call *c)
{
	ssize_t count = write(c->line->out, c->session.output.bytes, c->session.output.length);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count < 0) {
		/* What it said before it closed is still to be read. */
		c->out_of_line = true;
		return;
	}
	c->report->octets += (uint64_t)count;
	c->moved_at = c->now;
	session_written(&c->session, (size_t)count);
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static void handle(struct call *c, const struct session_event *event)
{
	if (c->barred && event->kind != SESSION_CLOSED) {
		session_settled(&c->session, event->sequence); /* nothing is owed */
		return;
	}
	switch (event->kind) {
	case SESSION_HINTED:
		look_who(c, event->bytes);
		break;
	case SESSION_STANDS:
		if (c->n == NULL)
			meet(c);
		else
			begin_talk(c);
		break;
	case SESSION_READ:
		call_give(c, event);
		break;
	case SESSION_CHECK:
		call_check(c, event);
		break;
	case SESSION_BEGUN:
		call_begin_part(c, event);
		break;
	case SESSION_DATA:
		call_add_to_part(c, event);
		break;
	case SESSION_CUT_BACK:
		call_cut_part(c, event);
		break;
	case SESSION_WHOLE:
		call_take_part(c, event);
		break;
	case SESSION_TOLD:
		buf_view(&c->told, event->bytes);
		/* What is acknowledged is not to be sent. */
		if (session_has_more(&c->session))
			call_heed(c);
		break;
	case SESSION_STOPPED:
		call_stopped(c, event);
		break;
	case SESSION_SENT:
		call_sent(c, event->sequence);
		break;
	case SESSION_CLOSED:
		c->ended = true;
		c->end = event->end;
		snprintf(c->text, sizeof c->text, "%.*s", (int)sizeof c->text - 1,
		    c->barred	       ? c->why_barred.text
		    : c->told_to_leave ? told_to_leave
				       : event->text);
		break;
	}
}

static bool owes_news(const struct call *c)
{
	return c->n != NULL && c->session.stands && !c->ended && (c->n->peer.ack_due || c->whole_count > 0);
}

/* Says whether anything was told. */
static bool tell_owed(struct call *c)
{
	struct error err = ERROR_NONE;
	bool due = c->n->peer.ack_due;

	call_contain(c, call_tell(c, &err), &err);
	return due && !c->n->peer.ack_due;
}

/*
 * What the neighbour tells is heeded before anything else that it says; but when all is sent, after the answer has left: to
 * settle the messages of a batch takes syncs, and the line need not wait for them.
 */
static void work(struct call *c)
{
	struct session_event event;
	bool listened = false;
	bool more = true;

	while (more) {
		more = session_next(&c->session, &event, c->now);
		if (more) {
			if (event.kind != SESSION_CLOSED)
				call_heed(c);
			handle(c, &event);
		} else if (c->told.length > 0) {
			if (c->session.output.length > 0 && !c->out_of_line)
				write_line(c);
			call_heed(c);
			more = true;
		} else if (owes_news(c) && !listened) {
			/* Who has said meanwhile that this was all hears the news and the farewell together. */
			read_line(c);
			listened = more = true;
		} else if (c->session.stands && !c->gone) {
			speak_first(c);
			more = true;
		} else if (owes_news(c)) {
			more = tell_owed(c);
		}
	}
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

/* Mail that was handed in, or came, since the last look. */
static void look_at_queue(struct call *c)
{
	struct error err = ERROR_NONE;

	c->looked_at = c->now;
	c->look_at = c->now + CALL_LOOK;
	if (c->n->state != NEIGHBOUR_READY)
		return; /* what was begun is ended, and no more */
	queue_follow_log(&c->relay->queue);
	call_contain(c, call_feed(c, &err), &err);
	call_offer(c);
	call_contain(c, call_tell(c, &err), &err);
	call_contain(c, neighbour_save(c->relay, c->n, &err), &err);
}

/* What the call has cost since the last time. */
static void account(struct call *c)
{
	uint64_t seconds = (c->now - c->begun + 999) / 1000;

	ledger_count(c->terms->ledger, c->report->octets - c->counted_octets, seconds - c->counted_seconds,
	    c->session.rate, clock_now());
	c->counted_octets = c->report->octets;
	c->counted_seconds = seconds;
	c->account_at = c->now + ACCOUNT_TIME;
}

static void keep_account(struct call *c)
{
	struct queue *q = &c->relay->queue;
	struct error err = ERROR_NONE;

	account(c);
	call_contain(c, ledger_write(c->terms->ledger, &q->tmp, &q->state, c->n->config->name, &err), &err);
}

/* Milliseconds without a sign of life, or without proof. A program of ours may have to dial first. */
static uint64_t silence(const struct call *c)
{
	uint64_t proof = c->relay->config.relay.proof;

	if (c->n != NULL && c->session.stands)
		return c->n->config->timeout * 1000;
	return (c->n != NULL && c->line->program > 0 ? proof + c->n->config->connect : proof) * 1000;
}

/* Milliseconds until something is to be done of itself. */
static int wait_time(const struct call *c)
{
	uint64_t until = (c->session.stands ? c->moved_at : c->begun) + silence(c);

	if (c->n != NULL && c->session.stands && c->look_at < until)
		until = c->look_at;
	return until <= c->now ? 0 : until - c->now > 60000 ? 60000 : (int)(until - c->now);
}

static void wait_and_move(struct call *c)
{
	bool wants_out = c->session.output.length > 0 && !c->out_of_line;
	struct pollfd p[3] = {{.fd = c->line->in, .events = POLLIN},
	    {.fd = wants_out ? c->line->out : -1, .events = POLLOUT}, {.fd = c->line->errors, .events = POLLIN}};

	poll(p, 3, wait_time(c));
	c->now = clock_steady_ms();
	if (p[2].revents != 0)
		line_listen(c->line, &c->relay->queue.log, c->n != NULL ? c->n->config->name : "-");
	if (p[1].revents != 0)
		write_line(c);
	if (p[0].revents != 0)
		read_line(c);
	if (c->now >= (c->session.stands ? c->moved_at : c->begun) + silence(c))
		session_lost(&c->session, c->session.stands ? "nothing moved for too long"
							    : "the other end did not prove who it is in time");
}

/* Milliseconds for the other end to close its side. */
#define FAREWELL_TIME 10000

/* Closing a socket at which octets wait unread would destroy our last words (RFC 1122 4.2.2.13). */
static void hear_out(struct call *c)
{
	uint64_t until = clock_steady_ms() + FAREWELL_TIME;
	struct pollfd p = {.fd = c->line->in, .events = POLLIN};

	shutdown(c->line->out, SHUT_WR);
	for (uint64_t now = clock_steady_ms(); now < until; now = clock_steady_ms())
		if (poll(&p, 1, (int)(until - now)) <= 0 || read(c->line->in, c->piece, LINE_PIECE) <= 0)
			break;
}

/* The last words are written for a moment; whoever is gone need not hear them. */
static void say_last(struct call *c)
{
	uint64_t until = clock_steady_ms() + (c->end == SESSION_END_CUT ? 0 : silence(c));

	while (c->session.output.length > 0 && !c->out_of_line) {
		struct pollfd p = {.fd = c->line->out, .events = POLLOUT};

		c->now = clock_steady_ms();
		if (c->now >= until || poll(&p, 1, (int)(until - c->now > 1000 ? 1000 : until - c->now)) < 0)
			break;
		if (p.revents != 0)
			write_line(c);
	}
	if (c->end != SESSION_END_CUT && c->end != SESSION_END_ALIEN && !c->session.parted && !c->out_of_line)
		hear_out(c);
}

static enum outcome verdict(const struct call *c, struct error *err)
{
	if (c->end != SESSION_END_DONE)
		snprintf(c->report->reason, sizeof c->report->reason, "%s", c->text);
	c->report->milliseconds = c->now - c->begun;
	c->report->rate = c->session.rate;
	c->report->sent = c->session.data_sent;
	c->report->received = c->session.data_received;
	if (c->end == SESSION_END_DONE || c->end == SESSION_END_LIMIT)
		return OUTCOME_DONE;
	if (c->barred) {
		*err = c->why_barred;
		return err->outcome;
	}
	return error_set(err, c->end == SESSION_END_ALIEN ? EX_PROTOCOL : EX_TEMPFAIL, "%s", c->text);
}

static enum outcome run(struct call *c, const struct session_options *options, struct error *err)
{
	struct error ignored = ERROR_NONE;
	enum outcome outcome;

	c->piece = mem_alloc(LINE_PIECE > SESSION_CHUNK ? LINE_PIECE : SESSION_CHUNK);
	buf_init(&c->told, SESSION_NEWS);
	c->reading_fd = -1;
	c->now = c->begun = c->moved_at = clock_steady_ms();
	c->account_at = c->begun + ACCOUNT_TIME;
	session_init(&c->session, options, c->now);
	progress_begin(&c->progress, c->n != NULL ? c->n->config->name : c->line->name);
	work(c);
	while (!c->ended) {
		/* Who is no neighbour hears nothing, and is not listened to. */
		if (c->text[0] != '\0' || (leaving && !c->session.stands))
			session_lost(&c->session, c->text[0] != '\0' ? c->text : told_to_leave);
		else
			wait_and_move(c);
		if (c->n != NULL && c->session.stands && !c->ended && c->now >= c->look_at)
			look_at_queue(c);
		heed_limits(c);
		if (c->terms != NULL && c->now >= c->account_at)
			keep_account(c);
		work(c);
		progress_show(&c->progress, &c->session, c->now);
	}
	say_last(c);
	progress_end(&c->progress);
	call_close_batch(c);
	if (c->parts_open)
		parts_close(&c->parts);
	c->now = clock_steady_ms();
	if (c->terms != NULL)
		account(c);
	outcome = verdict(c, err);
	/* What came last is to be delivered, too. */
	if (c->n != NULL && c->session.stands && c->n->state == NEIGHBOUR_READY)
		call_contain(c, pass_feed(c->relay, c->n, &ignored), &ignored);
	if (c->n != NULL)
		call_contain(c, neighbour_save(c->relay, c->n, &ignored), &ignored);
	session_release(&c->session);
	buf_release(&c->told);
	free(c->piece);
	return outcome;
}

enum outcome call_out(struct relay *r, struct neighbour *n, struct line *l, const struct call_terms *terms,
    struct call_report *report, struct error *err)
{
	struct call c = {.relay = r, .n = n, .line = l, .terms = terms, .report = report};
	struct session_options options = {
	    SESSION_CALLER, &r->keys, &n->keys, !n->config->seal, n->config->turn * 1000};

	*report = (struct call_report){.octets = 0};
	return run(&c, &options, err);
}

enum outcome call_in(struct relay *r, struct line *l, struct call_report *report, struct error *err)
{
	struct call c = {.relay = r, .line = l, .report = report};
	struct session_options options = {SESSION_ANSWERER, &r->keys, NULL, false, 0};

	*report = (struct call_report){.octets = 0};
	return run(&c, &options, err);
}
