/*
 * One POP3 session: between its connection, the protocol machine, and the user's Maildir.
 */
#include "bridge-pop3/maildrop_reader.h"
#include "bridge-pop3/maildrop_work.h"
#include "bridge-pop3/pop3d.h"
#include "lib/alloc.h"
#include "queue/users.h"

/* Octets that one session may send in one turn of the loop, and messages that it may open, before the others have theirs. */
#define TURN_OCTETS   ((size_t)256 << 10)
#define TURN_MESSAGES 16
/* Octets given to the system at once, more or less: what it does not take of them waits here, in each of many sessions. */
#define SESSION_WRITE ((size_t)17 << 10)
/* Seconds for the last answer to leave. */
#define SESSION_FAREWELL 10

/* What the machine asks of an open maildrop. */
struct listing {
	struct pop3_listing listing;
	struct maildrop *drop;
};

struct session {
	struct served served;
	struct pop3d *daemon;
	struct settings *settings;
	struct pop3_server engine;
	struct login login;
	char *user;		       /* who is logging in, or has */
	struct maildrop_job *job;      /* opening, or removing */
	bool updating;		       /* removing: nothing ends the session before that */
	struct listing listing;	       /* logged in: the maildrop */
	struct maildrop_reader reader; /* the message that is being sent */
	bool in_turn;		       /* it follows on the one before; the next was not read ahead yet */
	size_t turn_octets;
	size_t turn_messages;
	bool closing;	   /* what is unsent is still for the client */
	bool held;	   /* what is unsent must leave before anything is worked on */
	const char *ended; /* from here, with this sentence */
	size_t retrieved;
	uint64_t retrieved_octets;
	size_t removed;
};

static void work(struct session *s);

/* ---- what is told ---------------------------------------------------------------------------------------- */

/* USER: null for who is logged in, by the name that he has here. */
static void begin_line(const struct session *s, struct log_line *line, const char *event, const char *user)
{
	log_begin(line, &s->daemon->queue.log, "-", event);
	log_text(line, "client", s->served.peer);
	log_text(line, "user", user != NULL ? user : s->engine.user != NULL ? s->user : NULL);
}

static void log_trouble(const struct session *s, const char *event, const char *user, const char *reason)
{
	struct log_line line;

	begin_line(s, &line, event, user);
	log_text(&line, "reason", reason);
	log_end(&line);
}

/* Messages that are deleted as soon as QUIT is said. */
static size_t count_marked(const struct session *s)
{
	size_t count = 0;

	for (size_t i = 0; i < s->listing.listing.count; i++)
		count += pop3_server_marked(&s->engine, i);
	return count;
}

/* What was fetched and deleted is told, and whatever did not go as it should; the rest is silence. */
static void log_over(struct session *s, const char *reason)
{
	bool good = reason == NULL || reason[0] == '\0' || strcmp(reason, "QUIT") == 0;
	size_t kept = s->listing.drop != NULL ? count_marked(s) : 0;
	bool fetched = s->retrieved > 0 || s->removed > 0 || kept > 0;
	struct log_line line;

	if (good && !fetched)
		return;
	begin_line(s, &line, fetched ? "fetched" : "session", NULL);
	if (fetched) {
		log_number(&line, "messages", s->retrieved);
		log_number(&line, "octets", s->retrieved_octets);
		log_number(&line, "deleted", s->removed);
	}
	if (kept > 0)
		log_number(&line, "kept", kept);
	if (!good || kept > 0)
		log_text(&line, "reason", good ? "the client left without QUIT" : reason);
	log_end(&line);
}

/* ---- logging in ------------------------------------------------------------------------------------------ */

static uint64_t listing_octets(const struct pop3_listing *self, size_t number)
{
	return maildrop_octets(((const struct listing *)self)->drop, number);
}

static void listing_uid(const struct pop3_listing *self, size_t number, struct buf *out)
{
	maildrop_uid(((const struct listing *)self)->drop, number, out);
}

static const char *system_code(enum outcome outcome)
{
	return outcome == OUTCOME_LATER ? "SYS/TEMP" : "SYS/PERM";
}

/* The details are for the log: they name files of this host. */
static void refuse_maildrop(struct session *s, const struct maildrop_job *job)
{
	if (job->in_use)
		pop3_server_refuse(&s->engine, "IN-USE", "another session has this maildrop open");
	else if (job->outcome == OUTCOME_LATER)
		pop3_server_refuse(&s->engine, "SYS/TEMP", "the maildrop cannot be opened at the moment");
	else
		pop3_server_refuse(&s->engine, "SYS/PERM", "there is no maildrop that could be opened");
}

static void on_opened(void *owner, struct maildrop_job *job)
{
	struct session *s = owner;

	s->job = NULL;
	if (job->outcome == OUTCOME_DONE) {
		s->listing = (struct listing){
		    {maildrop_count(job->drop), listing_octets, listing_uid},
		    job->drop,
		};
		job->drop = NULL;
		if (maildrop_trouble(s->listing.drop) != NULL)
			log_trouble(s, "trouble", job->user, maildrop_trouble(s->listing.drop));
		pop3_server_opened(&s->engine, &s->listing.listing);
	} else {
		log_trouble(s, "login", job->user, job->err.text);
		refuse_maildrop(s, job);
	}
	work(s);
}

/* Told at once, though the answer comes later. */
static void on_login_failed(void *owner, const struct error *err)
{
	const struct session *s = owner;

	log_trouble(s, "login", s->user, err->text);
}

static void refuse_too_soon(struct session *s, uint64_t wait)
{
	char text[LOGIN_WAIT_TEXT];

	login_wait_text(wait, text);
	log_trouble(s, "login", s->user, text);
	pop3_server_refuse(&s->engine, "AUTH", text);
}

static void on_login_done(void *owner, enum login_result result)
{
	struct session *s = owner;

	switch (result) {
	case LOGIN_RIGHT:
		s->job = maildrop_begin_open(s->daemon->workers, s->user, on_opened, s);
		return;
	case LOGIN_TROUBLE:
		pop3_server_refuse(&s->engine, "SYS/TEMP", "logging in does not work at the moment");
		break;
	case LOGIN_WRONG:
	case LOGIN_WRONG_LAST:
		pop3_server_refuse(&s->engine, "AUTH", "wrong user name or password");
		break;
	case LOGIN_TOO_SOON:
		refuse_too_soon(s, s->login.wait);
		break;
	}
	if (result == LOGIN_WRONG_LAST) {
		s->ended = "too many wrong passwords";
		pop3_server_end(&s->engine, "AUTH", s->ended);
	}
	work(s);
}

static void on_login(struct session *s, const struct pop3_event *event)
{
	const struct config *config = &s->settings->config;
	struct login_attempt attempt = {config->users, NULL, event->password, s->served.origin};
	uint64_t wait;

	free(s->user);
	attempt.user = s->user = users_said(config, event->user);
	wait = login_begin(s->daemon->logins, &s->login, &attempt, s);
	if (wait > 0)
		refuse_too_soon(s, wait);
}

const struct login_calls session_login_calls = {
    .stands = users_stands,
    .check = users_check,
    .failed = on_login_failed,
    .done = on_login_done,
};

/* ---- messages -------------------------------------------------------------------------------------------- */

static void flush(struct session *s)
{
	struct buf *output = &s->engine.output;

	if (output->length == 0)
		return;
	s->turn_octets += output->length;
	conn_write(s->served.conn, view_buf(output));
	/* A slow reader holds what is unsent, and not the room for as much again. */
	if (conn_unsent(s->served.conn) > 0)
		buf_release(output);
	else
		buf_clear(output);
}

static void flush_full(struct session *s)
{
	if (s->engine.output.length >= SESSION_WRITE)
		flush(s);
}

static void on_retrieve(struct session *s, const struct pop3_event *event)
{
	struct error err = ERROR_NONE;
	bool in_turn = event->number == s->reader.number + 1; /* the first follows none */
	enum outcome outcome = maildrop_reader_open(&s->reader, s->listing.drop, event->number, &err);

	s->in_turn = in_turn && outcome == OUTCOME_DONE;
	if (outcome == OUTCOME_DONE) {
		s->turn_messages++;
		pop3_server_text_begin(
		    &s->engine, maildrop_own(s->listing.drop, event->number) ? POP3_TEXT_LF : POP3_TEXT_MIXED);
		return;
	}
	log_trouble(s, "trouble", NULL, err.text);
	if (err.code == EX_NOINPUT)
		pop3_server_refuse(&s->engine, NULL, "the message is gone: another program has removed it");
	else
		pop3_server_refuse(&s->engine, system_code(outcome), "the message cannot be read");
}

/* WHOLE: all of the message was sent. Some mail programs fetch by TOP with more lines than there are. */
static void text_over(struct session *s, bool whole)
{
	maildrop_reader_close(&s->reader);
	pop3_server_text_end(&s->engine);
	if (!whole)
		return;
	s->retrieved++;
	s->retrieved_octets += maildrop_octets(s->listing.drop, s->reader.number);
}

static bool may_go_on(const struct session *s)
{
	return conn_unsent(s->served.conn) == 0 && s->turn_octets < TURN_OCTETS;
}

/* Gives PIECE to the machine, its output to the system; false: no more of the text is wanted, or not now. */
static bool give_piece(struct session *s, struct view piece)
{
	while (piece.length > 0 && may_go_on(s)) {
		size_t room = SESSION_WRITE - s->engine.output.length;
		struct view part = view_of(piece.bytes, piece.length < room ? piece.length : room);
		size_t given = part.length;

		if (!pop3_server_text(&s->engine, &part)) {
			text_over(s, false);
			return false;
		}
		maildrop_reader_took(&s->reader, given - part.length);
		piece = view_from(piece, given - part.length);
		flush_full(s);
	}
	return piece.length == 0;
}

/* Sends of the message at hand what the client takes now. What he does not take is read again, not kept. */
static void send_text(struct session *s)
{
	struct maildrop_reader *r = &s->reader;
	struct error err = ERROR_NONE;
	struct view piece;

	while (r->open && may_go_on(s)) {
		if (maildrop_reader_ended(r)) {
			text_over(s, true);
		} else if (maildrop_reader_piece(r, s->listing.drop, s->daemon->chunk, POP3D_CHUNK, &piece, &err) !=
			   OUTCOME_DONE) {
			/* Without its dot at the end, the client knows that it has not all. */
			log_trouble(s, "trouble", NULL, err.text);
			s->ended = "a message could not be read to its end";
			maildrop_reader_close(r);
			pop3_server_end(&s->engine, "SYS/TEMP", NULL);
		} else if (!give_piece(s, piece)) {
			return;
		}
	}
}

/* Reads what will be asked for next, while the client receives what he asked for. */
static void read_ahead(struct session *s)
{
	size_t next = s->reader.number + 1;

	if (!s->in_turn || s->held || s->listing.drop == NULL || pop3_server_waits(&s->engine) ||
	    conn_input(s->served.conn).length > 0)
		return;
	s->in_turn = false;
	if (next < s->listing.listing.count && !pop3_server_marked(&s->engine, next))
		maildrop_reader_prepare(&s->reader, s->listing.drop, next);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void on_removed(void *owner, struct maildrop_job *job)
{
	struct session *s = owner;

	s->job = NULL;
	s->updating = false;
	s->removed = job->removed;
	/* The lock goes before the answer: who has that may log in again at once. */
	maildrop_close(job->drop);
	job->drop = NULL;
	if (job->outcome != OUTCOME_DONE) {
		s->ended = "messages could not be removed";
		log_trouble(s, "trouble", NULL, job->err.text);
	}
	pop3_server_updated(&s->engine, job->outcome, "some deleted messages could not be removed");
	work(s);
}

static void on_update(struct session *s, size_t marked)
{
	struct maildrop_removal removal = {
	    .drop = s->listing.drop,
	    .log = &s->daemon->queue.log,
	    .client = s->served.peer,
	    .user = s->user,
	};

	if (marked == 0) {
		maildrop_close(s->listing.drop);
		s->listing.drop = NULL;
		pop3_server_updated(&s->engine, OUTCOME_DONE, NULL);
		return;
	}
	removal.numbers = mem_array(marked, sizeof *removal.numbers);
	for (size_t i = 0; i < s->listing.listing.count && removal.count < marked; i++)
		if (pop3_server_marked(&s->engine, i))
			removal.numbers[removal.count++] = (uint32_t)i;
	s->job = maildrop_begin_remove(s->daemon->workers, &removal, on_removed, s);
	s->updating = true;
	s->listing.drop = NULL;
}

static void close_now(struct session *s, const char *reason)
{
	log_over(s, reason);
	login_forget(&s->login);
	free(s->user);
	maildrop_forget(s->job);
	maildrop_reader_release(&s->reader);
	pop3_server_release(&s->engine);
	maildrop_close(s->listing.drop);
	settings_drop(s->settings);
	served_over(&s->served, s->closing ? SESSION_FAREWELL : 0);
}

static void begin_tls(struct session *s)
{
	if (!conn_start_tls(s->served.conn, s->settings->tls, NULL))
		pop3_server_secured(&s->engine, POP3_SECURED_INJECTED);
}

static void handle(struct session *s, const struct pop3_event *event)
{
	switch (event->kind) {
	case POP3_EVENT_LOGIN:
		on_login(s, event);
		break;
	case POP3_EVENT_RETRIEVE:
		on_retrieve(s, event);
		break;
	case POP3_EVENT_UPDATE:
		on_update(s, event->marked);
		break;
	case POP3_EVENT_STLS:
		flush(s);
		begin_tls(s);
		break;
	case POP3_EVENT_CLOSE:
		flush(s);
		s->closing = true;
		close_now(s, s->ended != NULL ? s->ended : event->text);
		break;
	}
}

/* One round: input to the machine, and what it makes of it to whom it concerns. False: nothing moved, or S is gone. */
static bool work_round(struct session *s, bool *gone)
{
	struct pop3_event event;
	struct view in;
	size_t offered;
	bool moved;

	flush_full(s);
	send_text(s);
	in = conn_input(s->served.conn);
	offered = in.length;
	pop3_server_feed(&s->engine, &in);
	conn_take(s->served.conn, offered - in.length);
	moved = offered > in.length;
	while (s->turn_messages < TURN_MESSAGES && pop3_server_next(&s->engine, &event)) {
		*gone = event.kind == POP3_EVENT_CLOSE;
		moved = true;
		handle(s, &event);
		if (*gone)
			return false;
		flush_full(s);
		send_text(s);
		flush_full(s);
	}
	/* The machine rests while its output is full. */
	moved |= s->engine.output.length > POP3_OUTPUT_MAX;
	flush(s);
	return moved;
}

/* Works until there is nothing to do, the client does not take what he is owed, or others are to have their turn. */
static void work(struct session *s)
{
	bool gone = false;

	s->turn_octets = 0;
	s->turn_messages = 0;
	while (may_go_on(s) && s->turn_messages < TURN_MESSAGES && work_round(s, &gone))
		;
	if (gone)
		return;
	s->held = conn_unsent(s->served.conn) > 0;
	if (!s->held && (s->turn_octets >= TURN_OCTETS || s->turn_messages >= TURN_MESSAGES))
		conn_again(s->served.conn);
	/* Nothing new is wanted until what he said is answered, nor his end of file: who sends all at once and closes his
	 * side (RFC 1122 4.2.2.13) is owed the answers. */
	if (s->held || pop3_server_waits(&s->engine))
		conn_pause(s->served.conn);
	else
		conn_resume(s->served.conn);
	read_ahead(s);
}

static void on_input(void *context)
{
	work(context);
}

static void on_drained(void *context)
{
	struct session *s = context;

	if (s->held)
		work(s);
}

static void on_secured(void *context)
{
	struct session *s = context;

	pop3_server_secured(&s->engine, POP3_SECURED_CLEAN);
	work(s);
}

static void on_closed(void *context, const struct error *why)
{
	struct session *s = context;

	s->ended = why->text[0] != '\0' ? "the connection broke" : s->ended;
	if (s->updating)
		return;
	/* RFC 1939 3: who is silent for too long hears nothing, and nothing is deleted. Who closed his side may still listen. */
	s->closing = why->code == EX_OK;
	close_now(s, why->text[0] != '\0' ? why->text : NULL);
}

static const struct conn_handlers handlers = {
    .input = on_input,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

/* ---- beginning and ending -------------------------------------------------------------------------------- */

static bool is_near(const char *peer)
{
	static char *items[] = {"127.0.0.0/8", "::1/128"};
	static const struct strings networks = {.items = items, .count = sizeof items / sizeof items[0]};

	return strcmp(peer, "local") == 0 || config_network_has(&networks, peer);
}

static void on_begin(struct served *served)
{
	struct session *s = (struct session *)served;
	struct pop3d *d = server_context(served->server);
	const struct config_server *c = &d->settings->config.pop3d.server;
	bool near = is_near(served->peer);
	const struct server_limits limits = {c->connections, near ? UINT64_MAX : c->connections_each};
	const char *why;

	s->daemon = d;
	s->settings = settings_hold(d->settings);
	maildrop_reader_init(&s->reader);
	conn_timeout(s->served.conn, (unsigned)c->idle);
	pop3_server_init(&s->engine, near ? &s->settings->near_options : &s->settings->far_options);
	why = served_crowds(served, &limits);
	if (why != NULL) {
		log_trouble(s, "refused", NULL, why);
		pop3_server_turn_away(&s->engine, "SYS/TEMP", why);
	} else if (served->service == LISTEN_POP3S) {
		/* The greeting follows behind the handshake. */
		begin_tls(s);
		return;
	}
	work(s);
}

/* What was marked is not deleted; but whoever said QUIT before is answered. */
static void end(struct session *s, const char *why)
{
	if (s->updating || s->ended != NULL)
		return;
	s->ended = why;
	login_forget(&s->login);
	maildrop_forget(s->job);
	s->job = NULL;
	maildrop_reader_close(&s->reader);
	pop3_server_end(&s->engine, "SYS/TEMP", why);
	work(s);
}

static void on_end(struct served *s, const char *why)
{
	end((struct session *)s, why);
}

static void on_drop(struct served *s)
{
	close_now((struct session *)s, "the server stops");
}

static void on_tick(struct served *served, uint64_t now)
{
	struct session *s = (struct session *)served;

	maildrop_reader_age(&s->reader);
	if (now - served->begun > s->settings->config.pop3d.server.session)
		end(s, "the session has lasted too long");
}

const struct server_calls session_calls = {
    .handlers = &handlers,
    .begin = on_begin,
    .end = on_end,
    .drop = on_drop,
    .tick = on_tick,
};

const size_t session_size = sizeof(struct session);
