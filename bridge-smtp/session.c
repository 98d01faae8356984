/*
 * One SMTP session: between its connection, the protocol machine, and the queue.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>

#include "bridge-smtp/smtpd.h"
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/program.h"
#include "lib/text.h"
#include "queue/judge.h"
#include "queue/message_text.h"
#include "queue/users.h"

/* Output that a slow reader may leave unsent before no more of his input is worked on. */
#define SESSION_UNSENT 32768
/* Seconds for the last answer to leave. */
#define SESSION_FAREWELL 10
/* The rate of a text counts from here on, seconds; sooner where clients may not be idle for so long. */
#define RATE_GRACE 60

struct session {
	struct served served;
	struct smtpd *daemon;
	struct settings *settings;
	struct smtp_server engine;
	struct login login;
	char *user;		  /* who is logging in, or has */
	struct commit *commit;	  /* the message that is coming, or being stored */
	bool storing;		  /* it was submitted */
	struct message_text text; /* looks at its header */
	struct judgement widest;  /* of the recipients taken: the one with the most room */
	enum judge_trust trust;
	bool closing;	  /* what is unsent is still for the client */
	bool held;	  /* reading waits until what is unsent has left */
	const char *lost; /* to be ended with this sentence as soon as it may */
	const char *lost_status;
	const char *ended; /* it was, with this sentence */
	size_t taken;	   /* recipients of this message, one that was named twice counted twice */
	unsigned accepted;
	unsigned refused;
	uint64_t text_begun; /* 0: no text is coming */
	uint64_t text_bytes;
};

const size_t session_size = sizeof(struct session);

static void work(struct session *s);

static struct queue *spool(const struct session *s)
{
	return committer_queue(s->daemon->committer);
}

/* ---- what is told ---------------------------------------------------------------------------------------- */

/* Null: nobody is logged in. */
static const char *user_of(const struct session *s)
{
	return s->engine.authenticated != NULL ? s->user : NULL;
}

static void begin_line(const struct session *s, struct log_line *line, const char *event)
{
	log_begin(line, &spool(s)->log, "-", event);
	log_text(line, "client", s->served.peer);
	log_text(line, "helo", s->engine.helo);
	log_text(line, "user", user_of(s));
}

static void log_refused(struct session *s, const char *recipient, const char *status, const char *reason)
{
	struct log_line line;

	s->refused++;
	begin_line(s, &line, "refused");
	if (s->commit != NULL)
		log_text(&line, "sender", s->commit->envelope.sender[0] == '\0' ? "<>" : s->commit->envelope.sender);
	log_text(&line, "recipient", recipient);
	log_text(&line, "status", status);
	log_text(&line, "reason", reason);
	log_end(&line);
}

static void log_over(struct session *s, const char *reason)
{
	struct log_line line;

	/* Of a session that went as it should, the messages tell. */
	if (reason == NULL || reason[0] == '\0' || strcmp(reason, "QUIT") == 0)
		return;
	begin_line(s, &line, "session");
	log_number(&line, "accepted", s->accepted);
	log_number(&line, "refused", s->refused);
	log_text(&line, "reason", reason);
	log_end(&line);
}

static void refuse(struct session *s, const char *recipient, int code, const char *status, const char *text)
{
	log_refused(s, recipient, status, text);
	smtp_server_reply(&s->engine, code, status, text);
}

/* ---- logging in ------------------------------------------------------------------------------------------ */

static void on_login_failed(void *owner, const struct error *err)
{
	struct log_line line;

	begin_line(owner, &line, "login");
	log_text(&line, "reason", err->text);
	log_end(&line);
}

static void refuse_too_soon(struct session *s, uint64_t wait)
{
	char text[LOGIN_WAIT_TEXT];

	login_wait_text(wait, text);
	refuse(s, NULL, 454, "4.7.0", text);
}

static void on_login(void *owner, enum login_result result)
{
	struct session *s = owner;

	switch (result) {
	case LOGIN_RIGHT:
		s->trust = JUDGE_KNOWN;
		smtp_server_reply(&s->engine, 235, "2.7.0", "welcome");
		break;
	case LOGIN_WRONG:
		smtp_server_reply(&s->engine, 535, "5.7.8", "wrong user name or password");
		break;
	case LOGIN_WRONG_LAST:
		smtp_server_reply(&s->engine, 421, "4.7.0", "too many wrong passwords");
		break;
	case LOGIN_TOO_SOON:
		refuse_too_soon(s, s->login.wait);
		break;
	case LOGIN_TROUBLE:
		smtp_server_reply(&s->engine, 454, "4.7.0", "logging in does not work at the moment");
		break;
	}
	work(s);
}

const struct login_calls session_logins = {
    .stands = users_stands,
    .check = users_check,
    .failed = on_login_failed,
    .done = on_login,
};

static void on_auth(struct session *s, const struct smtp_event *event)
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

/* ---- the transaction ------------------------------------------------------------------------------------- */

static void forget_message(struct session *s)
{
	message_text_release(&s->text);
	s->text_begun = 0;
	if (!s->storing)
		commit_drop(s->commit);
	else if (s->commit != NULL)
		s->commit->owner = NULL;
	s->commit = NULL;
	s->storing = false;
}

static enum hop_protocol protocol_of(const struct session *s)
{
	if (s->served.service == LISTEN_LMTP)
		return HOP_LMTP;
	if (!s->engine.extended)
		return HOP_SMTP;
	if (s->engine.authenticated != NULL)
		return s->engine.secured ? HOP_ESMTPSA : HOP_ESMTPA;
	return s->engine.secured ? HOP_ESMTPS : HOP_ESMTP;
}

/* "mail.example.org ([192.0.2.1])": RFC 5321 4.4, with what he calls himself cut down to what a domain may be made of. */
static void client_name(const struct session *s, struct buf *out)
{
	const char *helo = s->engine.helo;

	for (size_t i = 0; helo != NULL && helo[i] != '\0' && i < 255; i++) {
		uint8_t c = (uint8_t)helo[i];
		bool good = c > 127 || text_is_alpha(c) || text_is_digit(c) || strchr(".-:[]_", c) != NULL;

		buf_byte(out, good ? c : '?');
	}
	if (out->length == 0)
		buf_text(out, "unknown");
	buf_text(out, " (");
	peer_literal(s->served.peer, out);
	buf_text(out, ")");
}

/* Who logged in may use his own addresses; where that cannot be looked up, none. */
static bool may_send(struct session *s, const char *sender)
{
	const struct config *config = &s->settings->config;
	struct error err = ERROR_NONE;
	struct users users;
	bool may;

	if (s->engine.authenticated == NULL)
		return true;
	if (users_open(&users, NULL, config->users, USERS_READ, &err) != OUTCOME_DONE) {
		log_refused(s, NULL, "4.3.0", err.text);
		smtp_server_reply(
		    &s->engine, 451, "4.3.0", "your sender addresses cannot be looked up at the moment");
		may = false;
	} else {
		may = users_may_send(&users, config, &spool(s)->mail, user_of(s), sender);
		if (!may)
			refuse(s, NULL, 550, "5.7.1", "you may not send with this sender address");
	}
	users_close(&users);
	return may;
}

static void on_sender(struct session *s, const struct smtp_event *event)
{
	const struct config *config = &s->settings->config;
	struct error err = ERROR_NONE;
	struct envelope *e;
	struct buf client;

	if (!may_send(s, event->text))
		return;
	/* What is not said to be large finds the room that commit_begin asks for. */
	if ((event->size > COPY_CHUNK && queue_space(spool(s), event->size, &err) != OUTCOME_DONE) ||
	    commit_begin(s->daemon->committer, &s->commit, s, &err) != OUTCOME_DONE) {
		log_refused(s, NULL, "4.3.1", err.text);
		smtp_server_reply(&s->engine, 452, "4.3.1", "there is no room for mail at the moment");
		return;
	}
	e = &s->commit->envelope;
	s->commit->user = mem_string(user_of(s));
	e->sender = mem_string(event->text);
	e->smtputf8 = event->smtputf8;
	e->ret = event->ret;
	e->envid = mem_string(event->envid);
	e->size = event->size;
	envelope_add_hop(e, config->host, clock_now(), protocol_of(s));
	buf_init(&client, LIMIT_CLIENT);
	client_name(s, &client);
	envelope_hop_client(e, buf_string(&client));
	buf_release(&client);
	s->widest = (struct judgement){.max_size = 0};
	s->taken = 0;
	smtp_server_reply(&s->engine, 250, "2.1.0", "Ok");
}

static bool named_already(const struct envelope *e, const char *address)
{
	for (size_t i = 0; i < e->recipient_count; i++)
		if (strcmp(e->recipients[i].address, address) == 0)
			return true;
	return false;
}

static int code_of(const struct judgement *j)
{
	if (strcmp(j->status, "5.3.4") == 0)
		return 552;
	if (strcmp(j->status, "5.1.3") == 0)
		return 553;
	return j->outcome == OUTCOME_LATER ? 451 : 550;
}

static void on_recipient(struct session *s, const struct smtp_event *event)
{
	struct envelope *e = &s->commit->envelope;
	struct recipient *recipient;
	struct judgement j;
	struct buf text;

	judge_recipient(&j, &s->settings->config, &spool(s)->mail, event->text, s->trust, e->size);
	if (j.outcome != OUTCOME_DONE) {
		buf_init(&text, LIMIT_REASON + LIMIT_BANG_PATH + 8);
		buf_format(&text, "<%s>: %s", event->text, j.text);
		refuse(s, event->text, code_of(&j), j.status, buf_string(&text));
		buf_release(&text);
		return;
	}
	if (j.max_size > s->widest.max_size)
		s->widest = j;
	/* Over LMTP he is owed an answer as often as he is named (RFC 2033 4.2), but one copy. */
	s->taken++;
	if (!named_already(e, event->text)) {
		recipient = envelope_add_recipient(e, event->text);
		recipient->notify = event->notify;
		recipient->orcpt = mem_string(event->orcpt);
	}
	smtp_server_reply(&s->engine, 250, "2.1.5", "Ok");
}

static void on_begin(struct session *s)
{
	struct text_author author = {
	    .submitted = s->engine.options->service == SMTP_SERVICE_SUBMISSION,
	    .domain = s->settings->name,
	    .now = clock_now(),
	};

	message_text_init(&s->text, commit_sink(s->commit), &author);
	s->text_begun = clock_steady();
	s->text_bytes = 0;
	smtp_server_reply(&s->engine, 354, NULL, "end with a line that has only a dot");
}

/* A failure of the disk in the midst of the text is answered at its end, when the sender listens. */
static void on_text(struct session *s, struct view bytes)
{
	s->text_bytes += bytes.length;
	message_text_add(&s->text, bytes);
}

/* Over LMTP every recipient that was named is owed an answer (RFC 2033 4.2). */
static void answer_each(struct session *s, int code, const char *status, const char *text)
{
	size_t count = s->served.service == LISTEN_LMTP ? s->taken : 1;

	for (size_t i = 0; i < count; i++)
		smtp_server_reply(&s->engine, code, status, text);
}

static void refuse_text(struct session *s, int code, const char *status, const char *reason, const char *text)
{
	log_refused(s, NULL, status, reason);
	answer_each(s, code, status, text);
	forget_message(s);
}

static void on_end(struct session *s)
{
	struct envelope *e = &s->commit->envelope;
	struct error err = ERROR_NONE;
	enum outcome outcome = message_text_end(&s->text, &err);

	s->text_begun = 0;
	if (outcome == OUTCOME_NEVER && err.code == EX_DATAERR) {
		refuse_text(s, 554, s->text.looping ? "5.4.6" : "5.6.0", err.text, err.text);
	} else if (outcome != OUTCOME_DONE) {
		/* Also what will not pass by itself, as a directory of the spool that is gone: no fault of the message. */
		refuse_text(s, 452, "4.3.1", err.text, "the message cannot be stored at the moment");
	} else if (s->text.size > s->widest.max_size) {
		judge_too_large(&s->widest, &s->settings->config, s->text.size);
		refuse_text(s, 552, "5.3.4", s->widest.text, s->widest.text);
	} else {
		e->class = s->text.bulk ? CLASS_BULK : CLASS_NORMAL;
		s->storing = true;
		commit_submit(s->daemon->committer, s->commit);
	}
}

void session_committed(struct commit *commit)
{
	struct session *s = commit->owner;
	char id[LIMIT_ID];
	struct buf text;

	/* The client left before it heard: it will send the message again, and may not be told of the first. */
	if (s == NULL) {
		commit_drop(commit);
		return;
	}
	if (commit->outcome == OUTCOME_DONE) {
		s->accepted++;
		id_print(&commit->envelope.id, id);
		buf_init(&text, LIMIT_ID + 20);
		buf_format(&text, "Ok: queued as %s", id);
		answer_each(s, 250, "2.0.0", buf_string(&text));
		buf_release(&text);
	} else {
		log_refused(s, NULL, "4.3.1", commit->err.text);
		answer_each(s, 452, "4.3.1", "the message cannot be stored at the moment");
	}
	s->storing = false;
	forget_message(s);
	work(s);
}

/* ---- ETRN ------------------------------------------------------------------------------------------------ */

/* Starts PROGRAM with nothing of ours: its words must not get into anybody's dialogue, and SIGPIPE is ignored only here. */
static bool start_alone(const char *program, char *const argv[])
{
	posix_spawn_file_actions_t nothing;
	posix_spawnattr_t attributes;
	sigset_t signals;
	pid_t pid;
	bool started;

	sigemptyset(&signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&nothing);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&nothing, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
	started = posix_spawnp(&pid, program, &nothing, &attributes, argv, environ) == 0;
	posix_spawn_file_actions_destroy(&nothing);
	posix_spawnattr_destroy(&attributes);
	return started;
}

/* RFC 1985: a relay pass is begun, which exchanges batches with the neighbours that have something to say. */
static void on_etrn(struct session *s, const char *node)
{
	const struct config *config = &s->settings->config;
	char *const argv[] = {"packetboat-relay", "-c", config->path, "run", NULL};
	char *program = program_path(argv[0]);
	struct judgement j;
	char *address = mem_format("postmaster@%s", node[0] == '@' ? node + 1 : node);

	judge_recipient(&j, config, &spool(s)->mail, address, JUDGE_KNOWN, 0);
	if (s->trust != JUDGE_KNOWN) {
		refuse(s, NULL, 459, "4.7.1", "log in first");
	} else if (j.outcome != OUTCOME_DONE || !text_starts(j.hop, "neighbour-")) {
		refuse(s, NULL, 459, "4.7.1", "no neighbour of this host serves that node");
	} else if (s->daemon->relays >= SMTPD_RELAYS) {
		refuse(s, NULL, 458, "4.3.2", "enough exchanges have begun; try again when they are over");
	} else if (!start_alone(program, argv)) {
		refuse(s, NULL, 458, "4.3.0", "the relay cannot be started");
	} else {
		struct log_line line;

		s->daemon->relays++;
		begin_line(s, &line, "called");
		log_text(&line, "neighbour", j.hop + strlen("neighbour-"));
		log_end(&line);
		smtp_server_reply(&s->engine, 250, "2.0.0", "the exchange has begun");
	}
	free(address);
	free(program);
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static void close_now(struct session *s, const char *reason)
{
	log_over(s, reason);
	login_forget(&s->login);
	free(s->user);
	forget_message(s);
	smtp_server_release(&s->engine);
	settings_drop(s->settings);
	served_over(&s->served, s->closing ? SESSION_FAREWELL : 0);
}

static void begin_tls(struct session *s)
{
	if (!conn_start_tls(s->served.conn, s->settings->tls, NULL))
		smtp_server_secured(&s->engine, SMTP_SECURED_INJECTED);
}

static void flush(struct session *s)
{
	if (s->engine.output.length == 0)
		return;
	conn_write(s->served.conn, view_buf(&s->engine.output));
	buf_clear(&s->engine.output);
}

static void handle(struct session *s, const struct smtp_event *event)
{
	switch (event->kind) {
	case SMTP_EVENT_AUTH:
		on_auth(s, event);
		break;
	case SMTP_EVENT_SENDER:
		on_sender(s, event);
		break;
	case SMTP_EVENT_RECIPIENT:
		on_recipient(s, event);
		break;
	case SMTP_EVENT_BEGIN:
		on_begin(s);
		break;
	case SMTP_EVENT_TEXT:
		on_text(s, event->bytes);
		break;
	case SMTP_EVENT_END:
		on_end(s);
		break;
	case SMTP_EVENT_ETRN:
		on_etrn(s, event->text);
		break;
	case SMTP_EVENT_RESET:
		forget_message(s);
		break;
	case SMTP_EVENT_STARTTLS:
		flush(s);
		begin_tls(s);
		break;
	case SMTP_EVENT_CLOSE:
		conn_write_last(s->served.conn, view_buf(&s->engine.output));
		s->closing = true;
		close_now(s, s->ended != NULL ? s->ended : event->text);
		break;
	}
}

/* Hands input to the machine, and what it makes of it to whom it concerns, until there is nothing to do. */
static void work(struct session *s)
{
	struct smtp_event event;
	bool more = true;

	while (more && conn_unsent(s->served.conn) <= SESSION_UNSENT) {
		struct view in = conn_input(s->served.conn);
		size_t offered = in.length;

		if (s->lost != NULL && !s->storing) {
			smtp_server_end(&s->engine, s->lost_status, s->lost);
			s->ended = s->lost;
			s->lost = NULL;
		}
		smtp_server_feed(&s->engine, &in);
		conn_take(s->served.conn, offered - in.length);
		more = offered > in.length;
		while (smtp_server_next(&s->engine, &event)) {
			bool last = event.kind == SMTP_EVENT_CLOSE;

			more = true;
			handle(s, &event);
			if (last)
				return; /* and S is gone */
		}
		/* The machine rests while its output is full. */
		more |= s->engine.output.length > SMTP_OUTPUT_MAX;
		flush(s);
	}
	/* Nothing new is wanted until what he said is answered, nor his end of file: who sends all at once and closes his
	 * side (RFC 1122 4.2.2.13) is owed the answers. */
	s->held = conn_unsent(s->served.conn) > SESSION_UNSENT;
	if (s->held || smtp_server_waits(&s->engine))
		conn_pause(s->served.conn);
	else
		conn_resume(s->served.conn);
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

	smtp_server_secured(&s->engine, SMTP_SECURED_CLEAN);
	work(s);
}

/* Ends it with 421 as soon as no answer is owed. */
static void lose(struct session *s, const char *status, const char *why)
{
	s->lost = why;
	s->lost_status = status;
	work(s);
}

static void on_closed(void *context, const struct error *why)
{
	struct session *s = context;

	/* Behind the answer, when a message is being stored. */
	if (why->code == EX_UNAVAILABLE) {
		lose(s, "4.4.2", "nothing has come from you for too long");
		return;
	}
	/* Who closed his side may still listen. */
	s->closing = why->code == EX_OK;
	close_now(s, why->text[0] != '\0' ? why->text
		     : s->commit != NULL  ? "the client left in the midst of a message"
					  : NULL);
}

const struct conn_handlers session_handlers = {
    .input = on_input,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

/* ---- beginning and ending -------------------------------------------------------------------------------- */

/* Why not one more; null when there is room. */
static const char *crowded(const struct session *s)
{
	const struct config_server *c = &s->settings->config.smtpd.server;
	struct server_limits limits = {.connections = c->connections, .each = UINT64_MAX};

	if (s->trust == JUDGE_STRANGER)
		limits.each = c->connections_each;
	/* Strangers cannot shut out those whom the server is there for. */
	if (s->trust == JUDGE_STRANGER && s->served.service == LISTEN_SMTP)
		limits.connections -= limits.connections / 4;
	return served_crowds(&s->served, &limits);
}

void session_begin(struct served *served)
{
	struct session *s = (struct session *)served;
	struct smtpd *d = server_context(served->server);
	const struct config_smtpd *c = &d->settings->config.smtpd;
	const char *why;

	s->daemon = d;
	s->settings = settings_hold(d->settings);
	s->trust = strcmp(served->peer, "local") == 0 || config_network_has(&c->networks, served->peer)
		       ? JUDGE_KNOWN
		       : JUDGE_STRANGER;
	conn_timeout(served->conn, (unsigned)c->server.idle);
	smtp_server_init(&s->engine, &s->settings->options[served->service]);
	why = crowded(s);
	if (why != NULL) {
		log_refused(s, NULL, "4.7.0", why);
		smtp_server_turn_away(&s->engine, 421, "4.7.0", why);
	} else if (served->service == LISTEN_SUBMISSIONS) {
		/* The greeting follows behind the handshake. */
		begin_tls(s);
		return;
	}
	work(s);
}

void session_end(struct served *s, const char *why)
{
	lose((struct session *)s, "4.3.2", why);
}

void session_drop(struct served *s)
{
	close_now((struct session *)s, "the server stops");
}

void session_tick(struct served *served, uint64_t now)
{
	struct session *s = (struct session *)served;
	const struct config_smtpd *c = &s->settings->config.smtpd;
	uint64_t text_for = s->text_begun == 0 ? 0 : now - s->text_begun;
	uint64_t grace = c->server.idle < RATE_GRACE ? c->server.idle : RATE_GRACE;

	if (s->lost != NULL || s->ended != NULL)
		return;
	if (now - served->begun > c->server.session)
		lose(s, "4.4.2", "the session has lasted too long");
	else if (text_for > grace && s->text_bytes / text_for < c->min_rate)
		lose(s, "4.4.2", "the message comes too slowly");
}
