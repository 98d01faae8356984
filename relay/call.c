#include "relay/call.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "lib/wire.h"
#include "relay/intake.h"
#include "relay/outbox.h"
#include "relay/parts.h"
#include "relay/pass.h"
#include "relay/progress.h"

/* Milliseconds between looks for mail that was handed in meanwhile. */
#define LOOK_TIME 2000
/* And when looking is put off since batches come in: what came before them is dispatched and delivered then, and nobody reads. */
#define LOOK_TIME_BUSY 10000
/* Octets read from the line at once. */
#define LINE_PIECE 65536
/* Milliseconds of a call that may go uncounted when the host goes down. */
#define ACCOUNT_TIME 60000
/* A batch of so many octets is noted as tried before its first octet leaves: another call need not send a part of it again. */
#define WORTH_NOTING 16384

struct call {
	struct relay *relay;
	struct neighbour *n;			/* null: an answerer does not know yet */
	const struct config_neighbour *claimed; /* who it says it is; not proved yet */
	struct line *line;
	const struct call_terms *terms; /* null: an answerer has none */
	struct call_report *report;
	struct session session;
	struct parts parts;
	bool parts_open;
	bool gone;	 /* our first words are said */
	bool introduced; /* our news have left once: they say of which incarnation we are */
	bool out_of_line;
	bool ended;
	bool busy; /* another process of ours works on this neighbour */
	bool told_to_leave;
	enum session_end end;
	char text[300];
	uint64_t now;
	uint64_t begun;
	uint64_t looked_at;
	uint64_t look_at;	 /* when the queue is looked at next */
	uint64_t moved_at;	 /* when anything went over the line last */
	uint64_t account_at;	 /* when the ledger is brought up to date next */
	uint64_t counted_octets; /* in the ledger already */
	uint64_t counted_seconds;
	uint64_t reading; /* sequence of the batch that `reading_fd` is open for */
	int reading_fd;
	uint64_t whole[SESSION_PARTS]; /* batches of theirs that are taken in, whose news have not left */
	size_t whole_count;
	struct buf told; /* what the neighbour told, not heeded yet */
	uint8_t *piece;
	struct progress progress;
};

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

static void contain(struct call *c, enum outcome outcome, struct error *err)
{
	if (outcome != OUTCOME_DONE)
		relay_trouble(c->relay, c->n != NULL ? c->n->config->name : c->line->name, err);
	*err = ERROR_NONE;
}

/* ---- our batches ------------------------------------------------------------------------------------------ */

static void close_batch(struct call *c)
{
	file_close(&c->reading_fd);
	c->reading = 0;
}

static void offer_batches(struct call *c)
{
	const struct peer *p = &c->n->peer;

	for (size_t i = 0; i < p->out_count; i++) {
		const struct peer_batch *b = &p->out[i];

		if (b->incarnation == p->incarnation)
			session_offer(&c->session, b->sequence, b->class, b->size, b->sendings > 0);
	}
}

/* Before the first octet leaves. */
static void note_tried(struct call *c, struct peer_batch *b)
{
	struct error err = ERROR_NONE;

	b->sent_age = c->relay->age.now;
	b->sent = clock_now();
	b->sendings++;
	snprintf(b->carrier, sizeof b->carrier, "call");
	c->n->changed = true;
	if (b->size >= WORTH_NOTING)
		contain(c, neighbour_save(c->relay, c->n, &err), &err);
}

static enum outcome open_batch(struct call *c, uint64_t sequence, struct error *err)
{
	char name[BATCH_FILE];
	struct peer_batch *b = peer_out(&c->n->peer, sequence);

	if (c->reading == sequence)
		return OUTCOME_DONE;
	close_batch(c);
	if (b == NULL)
		return error_set(err, EX_NOINPUT, "it is not out any more");
	batch_file_name(b->incarnation, b->sequence, name);
	if (file_open(&c->n->out, name, &c->reading_fd, err) != OUTCOME_DONE)
		return err->outcome;
	c->reading = sequence;
	return OUTCOME_DONE;
}

static void give_octets(struct call *c, const struct session_event *event)
{
	struct peer_batch *b = peer_out(&c->n->peer, event->sequence);
	struct error err = ERROR_NONE;
	enum outcome outcome = open_batch(c, event->sequence, &err);
	struct view bytes = view_of(c->piece, event->length);

	if (outcome == OUTCOME_DONE)
		outcome = file_read_at(c->reading_fd, c->piece, event->length, event->offset, "a batch", &err);
	if (outcome != OUTCOME_DONE)
		bytes.length = 0;
	else if (!session_begun(&c->session, event->sequence))
		note_tried(c, b);
	contain(c, outcome, &err);
	session_data(&c->session, bytes, c->now);
	progress_sent(&c->progress, event->sequence, event->offset + event->length, event->size);
}

static void check_octets(struct call *c, const struct session_event *event)
{
	uint8_t hash[SESSION_HASH];
	struct error err = ERROR_NONE;
	enum outcome outcome = open_batch(c, event->sequence, &err);

	if (outcome == OUTCOME_DONE)
		outcome = file_hash(c->reading_fd, event->offset, "a batch", hash, &err);
	session_checked(&c->session, event->sequence,
	    outcome == OUTCOME_DONE && sodium_memcmp(hash, event->bytes.bytes, sizeof hash) == 0);
	contain(c, outcome, &err);
}

static void batch_stopped(struct call *c, const struct session_event *event)
{
	static const char *const reasons[] = {
	    [SESSION_STOP_TAKEN] = "the neighbour has it already",
	    [SESSION_STOP_LATER] = "the neighbour cannot take it now",
	    [SESSION_STOP_REFUSED] = "the neighbour refuses it; its log says why",
	};
	const struct peer_batch *b = peer_out(&c->n->peer, event->sequence);

	close_batch(c);
	if (b != NULL && event->stop != SESSION_STOP_TAKEN)
		relay_log_batch(c->relay, b, "stopped", c->n->config->name, reasons[event->stop]);
}

static void batch_sent(struct call *c, uint64_t sequence)
{
	const struct peer_batch *b = peer_out(&c->n->peer, sequence);

	if (b != NULL)
		relay_log_sent(c->relay, c->n, b, c->line->name);
}

/* ---- news -------------------------------------------------------------------------------------------------- */

/* Tells what the neighbour is to know; once at the beginning in any case. */
static enum outcome tell_news(struct call *c, struct error *err)
{
	struct batch_header h;
	struct buf news;
	bool fresh = false;
	enum outcome outcome = outbox_news(c->relay, c->n, &h, &fresh, err);

	buf_init(&news, SESSION_NEWS);
	if (outcome == OUTCOME_DONE && (fresh || !c->introduced)) {
		wire_u32(&news, c->n->peer.incarnation);
		batch_header_print_extensions(&h, &news);
		if (session_news(&c->session, view_buf(&news))) {
			c->introduced = true;
			outbox_bare_sent(c->n);
			for (size_t i = 0; i < c->whole_count; i++)
				session_settled(&c->session, c->whole[i]);
			c->whole_count = 0;
		}
	}
	buf_release(&news);
	batch_header_release(&h);
	return outcome;
}

/* Batches that are acknowledged, or were taken apart, are no longer to be sent. */
static void withdraw_batches(struct call *c, const struct ranges *before)
{
	for (size_t i = 0; i < before->count; i++)
		for (uint64_t s = before->items[i].first; s <= before->items[i].last; s++)
			if (peer_out(&c->n->peer, s) == NULL) {
				session_withdraw(&c->session, s);
				if (c->reading == s)
					close_batch(c);
			}
}

static void ours_out(const struct peer *p, struct ranges *out)
{
	for (size_t i = 0; i < p->out_count; i++)
		if (p->out[i].incarnation == p->incarnation)
			ranges_add(out, p->out[i].sequence, p->out[i].sequence);
}

static enum outcome take_news(struct call *c, struct view bytes, struct error *err)
{
	struct batch_header h = {.class = CLASS_URGENT};
	uint32_t ours = c->n->peer.incarnation;
	struct ranges before = {0};
	struct reader r;
	enum outcome outcome;

	reader_init(&r, bytes);
	h.incarnation = read_u32(&r);
	snprintf(h.from, sizeof h.from, "%s", c->n->config->name);
	snprintf(h.to, sizeof h.to, "%s", c->relay->queue.host);
	outcome = r.failed ? error_set(err, EX_DATAERR, "news without an incarnation")
			   : batch_header_parse_extensions(&h, r.rest, "what the neighbour tells", err);
	if (outcome == OUTCOME_DONE) {
		parts_settle(&c->parts, h.incarnation);
		c->n->peer.contact = clock_now();
		c->n->changed = true;
		ours_out(&c->n->peer, &before);
		outcome = outbox_take_header(c->relay, c->n, &h, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = neighbour_save(c->relay, c->n, err);
	withdraw_batches(c, &before);
	/* All numbers are others now; the next call begins with them. */
	if (c->n->peer.incarnation != ours)
		session_finish(&c->session, SESSION_END_LEAVE);
	ranges_release(&before);
	batch_header_release(&h);
	return outcome;
}

static void heed_news(struct call *c)
{
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (c->told.length == 0)
		return;
	outcome = take_news(c, view_buf(&c->told), &err);
	buf_clear(&c->told);
	contain(c, outcome, &err);
}

/* ---- their batches ----------------------------------------------------------------------------------------- */

static void begin_part(struct call *c, const struct session_event *event)
{
	const struct peer_source *source = peer_present(&c->n->peer);
	uint64_t most = 2 * (c->relay->config.max_size + INTAKE_SPARE);
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;
	enum session_stop why = SESSION_STOP_LATER;

	if (source != NULL && ranges_contain(&source->received, event->sequence)) {
		/* It has not heard the acknowledgement. */
		c->n->peer.ack_due = true;
		why = SESSION_STOP_TAKEN;
	} else if (c->parts.incarnation == 0) {
		outcome = error_set(&err, EX_PROTOCOL, "a batch came before the incarnation of its sender");
	} else if (event->size > most) {
		outcome = error_set(&err, EX_DATAERR,
		    "a batch of %llu octets is offered, more than any that this host would take (max-size)",
		    (unsigned long long)event->size);
		why = SESSION_STOP_REFUSED;
	} else {
		outcome = queue_room(&c->relay->queue, event->size - event->offset, &err);
		if (outcome == OUTCOME_DONE && parts_begin(&c->parts, event->sequence, event->offset, &err) != NULL)
			return;
		outcome = err.outcome;
	}
	session_stop(&c->session, event->sequence, why);
	contain(c, outcome, &err);
}

static void put_off_look(struct call *c)
{
	uint64_t latest = c->looked_at + LOOK_TIME_BUSY;
	uint64_t at = c->now + LOOK_TIME < latest ? c->now + LOOK_TIME : latest;

	if (at > c->look_at)
		c->look_at = at;
}

static void add_to_part(struct call *c, const struct session_event *event)
{
	struct part *part = parts_find(&c->parts, event->sequence);
	uint64_t before;
	struct error err = ERROR_NONE;

	if (part == NULL)
		return;
	before = part->size;
	if (part_append(part, event->bytes, &err) != OUTCOME_DONE) {
		part_cut(part, before, NULL);
		session_stop(&c->session, event->sequence, SESSION_STOP_LATER);
		contain(c, err.outcome, &err);
	}
	put_off_look(c);
	progress_received(&c->progress, event->sequence, event->offset + event->bytes.length, event->size);
}

static void cut_part(struct call *c, const struct session_event *event)
{
	struct part *part = parts_find(&c->parts, event->sequence);
	struct error err = ERROR_NONE;

	if (part != NULL && event->offset < part->size)
		contain(c, part_cut(part, event->offset, &err), &err);
}

static void take_part(struct call *c, const struct session_event *event)
{
	struct part *part = parts_find(&c->parts, event->sequence);
	enum intake_verdict verdict = INTAKE_BUSY;
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;

	c->whole[c->whole_count++] = event->sequence;
	if (part != NULL) {
		outcome = intake_part(c->relay, c->n, c->parts.d, part->name, &verdict, &err);
		if (outcome == OUTCOME_DONE)
			parts_forget(&c->parts, part, false);
		/* What was taken is on the disk; now the state that says so. */
		if (outcome == OUTCOME_DONE)
			outcome = neighbour_save(c->relay, c->n, &err);
	}
	contain(c, outcome, &err);
	/* It is told, or there is nothing to tell. */
	if (!c->n->peer.ack_due) {
		session_settled(&c->session, event->sequence);
		c->whole_count--;
	}
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

	contain(c, intake_recover(c->relay, c->n->config->name, &err), &err);
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
		outcome = outbox_recover(c->relay, c->n, &err);
	if (outcome == OUTCOME_DONE)
		outcome = pass_feed(c->relay, c->n, &err);
	if (outcome != OUTCOME_DONE)
		session_finish(&c->session, SESSION_END_LEAVE);
	contain(c, outcome, &err);
	offer_batches(c);
	heed_limits(c);
	c->looked_at = c->now;
	c->look_at = c->now + LOOK_TIME;
}

/* The first words, when all is taken that came before them: a small batch is acknowledged by them. */
static void speak_first(struct call *c)
{
	struct error err = ERROR_NONE;
	enum outcome outcome = tell_news(c, &err);

	if (outcome != OUTCOME_DONE)
		session_finish(&c->session, SESSION_END_LEAVE);
	contain(c, outcome, &err);
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
		struct public_keys keys;

		if (key_line_parse(config->key, &keys, NULL) != OUTCOME_DONE)
			continue;
		session_hint(&keys, &r->keys.public, expected);
		if (sodium_memcmp(expected, hint.bytes, sizeof expected) != 0)
			continue;
		c->claimed = config;
		session_meet(&c->session, &keys, !config->seal, config->turn * 1000);
		return;
	}
	snprintf(c->text, sizeof c->text, "a stranger called");
}

/* An answerer knows now who calls. It hears a word of farewell when another process of ours is busy with it. */
static void meet(struct call *c)
{
	struct error err = ERROR_NONE;

	snprintf(c->report->peer, sizeof c->report->peer, "%s", c->claimed->name);
	contain(c, relay_neighbour(c->relay, c->claimed->name, &c->n, &err), &err);
	if (c->n != NULL) {
		begin_talk(c);
		return;
	}
	c->busy = c->gone = true;
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
	if (c->busy && event->kind != SESSION_CLOSED) {
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
		give_octets(c, event);
		break;
	case SESSION_CHECK:
		check_octets(c, event);
		break;
	case SESSION_BEGUN:
		begin_part(c, event);
		break;
	case SESSION_DATA:
		add_to_part(c, event);
		break;
	case SESSION_CUT_BACK:
		cut_part(c, event);
		break;
	case SESSION_WHOLE:
		take_part(c, event);
		break;
	case SESSION_TOLD:
		buf_view(&c->told, event->bytes);
		/* What is acknowledged is not to be sent. */
		if (session_has_more(&c->session))
			heed_news(c);
		break;
	case SESSION_STOPPED:
		batch_stopped(c, event);
		break;
	case SESSION_SENT:
		batch_sent(c, event->sequence);
		break;
	case SESSION_CLOSED:
		c->ended = true;
		c->end = event->end;
		snprintf(c->text, sizeof c->text, "%s",
		    c->busy	       ? "another process works on this neighbour"
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

	contain(c, tell_news(c, &err), &err);
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
				heed_news(c);
			handle(c, &event);
		} else if (c->told.length > 0) {
			if (c->session.output.length > 0 && !c->out_of_line)
				write_line(c);
			heed_news(c);
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
	c->look_at = c->now + LOOK_TIME;
	queue_follow_log(&c->relay->queue);
	contain(c, pass_feed(c->relay, c->n, &err), &err);
	offer_batches(c);
	contain(c, tell_news(c, &err), &err);
	contain(c, neighbour_save(c->relay, c->n, &err), &err);
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
	contain(c, ledger_write(c->terms->ledger, &q->tmp, &q->state, c->n->config->name, &err), &err);
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
	close_batch(c);
	if (c->parts_open)
		parts_close(&c->parts);
	c->now = clock_steady_ms();
	if (c->terms != NULL)
		account(c);
	outcome = verdict(c, err);
	/* What came last is to be delivered, too. */
	if (c->n != NULL && c->session.stands)
		contain(c, pass_feed(c->relay, c->n, &ignored), &ignored);
	if (c->n != NULL)
		contain(c, neighbour_save(c->relay, c->n, &ignored), &ignored);
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
