/*
 * The SMTP server for dialogue.c.
 *
 * Options: service relay|submission|lmtp, max-size N, max-recipients N, max-messages N, max-errors N, normalise, starttls,
 * tls-needed, auth USER PASSWORD (who may), auth-needed, etrn, implicit-tls, turn-away CODE STATUS TEXT. The host is
 * mx.example.
 *
 * The driver takes everything, but: refuse sender|recipient|node WORD CODE STATUS TEXT; begin CODE STATUS TEXT for every
 * message; end CODE STATUS TEXT for the next answer to a text, in order, after which all is taken.
 *
 * Actions: secured; injected (the driver found plaintext behind STARTTLS); over STATUS TEXT (it ends the session).
 */
#ifndef TESTS_SUPPORT_DIALOGUE_SMTP_H
#define TESTS_SUPPORT_DIALOGUE_SMTP_H

#include <err.h>

#include "bridge-smtp/smtp_server.h"
#include "tests/support/dialogue.h"

struct smtp_session {
	struct smtp_server server;
	struct smtp_server_options options;
	const struct dialogue_options *said;
	struct dialogue_record *record;
	size_t taken;
	size_t ends;
};

static bool smtp_is_action(const char *words)
{
	return strcmp(words, "secured") == 0 || strcmp(words, "injected") == 0 || text_starts(words, "over ");
}

static bool smtp_option(struct dialogue_options *options, const char *words)
{
	static const char *const names[] = {"service", "max-size", "max-recipients", "max-messages", "max-errors",
	    "normalise", "starttls", "tls-needed", "auth", "auth-needed", "etrn", "implicit-tls", "turn-away",
	    "refuse", "begin", "end"};
	size_t length = strcspn(words, " ");

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (view_is(view_of(words, length), names[i])) {
			dialogue_options_add(options, words);
			return true;
		}
	}
	return false;
}

static uint64_t smtp_number(const struct dialogue_options *o, const char *name)
{
	const char *said = dialogue_option(o, name, 0);

	return said == NULL ? 0 : strtoull(said, NULL, 10);
}

/* Answers by WORDS: "CODE STATUS TEXT". */
static void smtp_say(struct smtp_session *s, const char *words)
{
	char status[12] = "";
	int code = 0;
	int at = 0;

	if (sscanf(words, "%d %11s %n", &code, status, &at) != 2)
		errx(1, "not CODE STATUS TEXT: %s", words);
	smtp_server_reply(&s->server, code, status, words + at);
}

static const char *smtp_refusal(const struct smtp_session *s, const char *kind, const char *word)
{
	char *start = mem_format("%s %s ", kind, word);
	const char *said;

	for (size_t i = 0; (said = dialogue_option(s->said, "refuse", i)) != NULL; i++)
		if (text_starts(said, start)) {
			said += strlen(start);
			break;
		}
	free(start);
	return said;
}

static void smtp_judge(struct smtp_session *s, const char *kind, const char *word, const char *good)
{
	const char *refusal = smtp_refusal(s, kind, word);

	smtp_say(s, refusal != NULL ? refusal : good);
}

static void smtp_write_parameters(const struct smtp_event *event, struct buf *out)
{
	static const char *const bodies[] = {"", " body=8bit", " body=binary"};
	static const char *const rets[] = {"", " ret=full", " ret=hdrs"};
	char notify[32];

	if (event->size > 0)
		buf_format(out, " size=%llu", (unsigned long long)event->size);
	buf_text(out, bodies[event->body]);
	buf_text(out, event->smtputf8 ? " utf8" : "");
	buf_text(out, rets[event->ret]);
	notify_print(event->notify, notify);
	if (event->notify != 0)
		buf_format(out, " notify=%s", notify);
	if (event->envid != NULL)
		buf_format(out, " envid=\"%s\"", event->envid);
	if (event->orcpt != NULL)
		buf_format(out, " orcpt=\"%s\"", event->orcpt);
}

static const char *smtp_write_event(struct smtp_session *s, const struct smtp_event *event)
{
	static const char *const names[] = {
	    [SMTP_EVENT_AUTH] = "auth",
	    [SMTP_EVENT_SENDER] = "sender",
	    [SMTP_EVENT_RECIPIENT] = "recipient",
	    [SMTP_EVENT_BEGIN] = "begin",
	    [SMTP_EVENT_END] = "end",
	    [SMTP_EVENT_ETRN] = "etrn",
	    [SMTP_EVENT_TEXT] = "text",
	    [SMTP_EVENT_RESET] = "reset",
	    [SMTP_EVENT_STARTTLS] = "starttls",
	    [SMTP_EVENT_CLOSE] = "close",
	};
	struct buf *out = &s->record->events;

	buf_text(out, names[event->kind]);
	if (event->kind == SMTP_EVENT_SENDER || event->kind == SMTP_EVENT_RECIPIENT)
		buf_format(out, " <%s>", event->text);
	else if (event->text != NULL)
		buf_format(out, " %s", event->text);
	if (event->kind == SMTP_EVENT_AUTH)
		buf_format(out, " %s %s", event->user, event->password);
	smtp_write_parameters(event, out);
	return names[event->kind];
}

static void smtp_auth(struct smtp_session *s, const struct smtp_event *event)
{
	const char *known = dialogue_option(s->said, "auth", 0);
	char *given = mem_format("%s %s", event->user, event->password);

	smtp_say(s, strcmp(known, given) == 0 ? "235 2.7.0 Welcome" : "535 5.7.8 The user or the password is wrong");
	free(given);
}

static void smtp_end(struct smtp_session *s)
{
	size_t answers = s->options.service == SMTP_SERVICE_LMTP ? s->taken : 1;

	for (; answers > 0; answers--) {
		const char *said = dialogue_option(s->said, "end", s->ends++);

		smtp_say(s, said != NULL ? said : "250 2.0.0 Taken");
	}
	s->taken = 0;
}

static void smtp_decide(struct smtp_session *s, const struct smtp_event *event)
{
	const char *begin = dialogue_option(s->said, "begin", 0);

	if (event->kind == SMTP_EVENT_SENDER)
		smtp_judge(s, "sender", event->text, "250 2.1.0 Sender ok");
	else if (event->kind == SMTP_EVENT_RECIPIENT && smtp_refusal(s, "recipient", event->text) == NULL)
		s->taken++;
	if (event->kind == SMTP_EVENT_RECIPIENT)
		smtp_judge(s, "recipient", event->text, "250 2.1.5 Recipient ok");
	else if (event->kind == SMTP_EVENT_ETRN)
		smtp_judge(s, "node", event->text, "250 2.0.0 Queuing started");
	else if (event->kind == SMTP_EVENT_BEGIN)
		smtp_say(s, begin != NULL ? begin : "354 2.0.0 Go on");
	else if (event->kind == SMTP_EVENT_AUTH)
		smtp_auth(s, event);
	else if (event->kind == SMTP_EVENT_END)
		smtp_end(s);
	else if (event->kind == SMTP_EVENT_RESET)
		s->taken = 0;
}

static void smtp_event(struct smtp_session *s, const struct smtp_event *event)
{
	size_t begin;
	const char *name;

	if (event->kind == SMTP_EVENT_TEXT) {
		if (dialogue_watched(s->said, "text"))
			buf_view(&s->record->text, event->bytes);
		return;
	}
	dialogue_text_flush(s->record);
	begin = s->record->events.length;
	name = smtp_write_event(s, event);
	dialogue_event_end(s->record, name, begin);
	smtp_decide(s, event);
}

static void smtp_run(struct smtp_session *s)
{
	struct smtp_event event;
	bool full;

	do {
		while (smtp_server_next(&s->server, &event))
			smtp_event(s, &event);
		full = s->server.output.length > SMTP_OUTPUT_MAX;
		buf_view(&s->record->output, view_buf(&s->server.output));
		buf_clear(&s->server.output);
	} while (full);
}

static void *smtp_open(const struct dialogue_options *said, struct dialogue_record *record)
{
	struct smtp_session *s = mem_alloc(sizeof *s);
	const char *service = dialogue_option(said, "service", 0);
	const char *away = dialogue_option(said, "turn-away", 0);

	s->said = said;
	s->record = record;
	record->options = said;
	s->options = (struct smtp_server_options){
	    .service = service == NULL			    ? SMTP_SERVICE_RELAY
		       : strcmp(service, "submission") == 0 ? SMTP_SERVICE_SUBMISSION
		       : strcmp(service, "lmtp") == 0	    ? SMTP_SERVICE_LMTP
							    : SMTP_SERVICE_RELAY,
	    .name = "mx.example",
	    .max_size = smtp_number(said, "max-size"),
	    .max_recipients = smtp_number(said, "max-recipients"),
	    .max_messages = smtp_number(said, "max-messages"),
	    .max_errors = (unsigned)smtp_number(said, "max-errors"),
	    .newlines = dialogue_option(said, "normalise", 0) != NULL ? NEWLINES_NORMALISE : NEWLINES_STRICT,
	    .starttls = dialogue_option(said, "starttls", 0) != NULL,
	    .tls_needed = dialogue_option(said, "tls-needed", 0) != NULL,
	    .auth = dialogue_option(said, "auth", 0) != NULL,
	    .auth_needed = dialogue_option(said, "auth-needed", 0) != NULL,
	    .etrn = dialogue_option(said, "etrn", 0) != NULL,
	};
	smtp_server_init(&s->server, &s->options);
	if (dialogue_option(said, "implicit-tls", 0) != NULL)
		smtp_server_secured(&s->server, SMTP_SECURED_CLEAN);
	if (away != NULL) {
		char status[12];
		int at = 0;
		int code = 0;

		if (sscanf(away, "%d %11s %n", &code, status, &at) == 2)
			smtp_server_turn_away(&s->server, code, status, away + at);
	}
	smtp_run(s);
	return s;
}

static void smtp_feed(void *session, struct view bytes)
{
	struct smtp_session *s = session;

	while (bytes.length > 0) {
		size_t before = bytes.length;

		smtp_server_feed(&s->server, &bytes);
		smtp_run(s);
		if (bytes.length == before)
			errx(1, "the engine takes nothing more");
	}
}

static void smtp_act(void *session, const char *words)
{
	struct smtp_session *s = session;

	if (text_starts(words, "over ")) {
		char status[12] = "";
		int at = 0;

		if (sscanf(words, "over %11s %n", status, &at) == 1)
			smtp_server_end(&s->server, status, words + at);
	} else {
		smtp_server_secured(
		    &s->server, strcmp(words, "secured") == 0 ? SMTP_SECURED_CLEAN : SMTP_SECURED_INJECTED);
	}
	smtp_run(s);
}

static void smtp_session_close(void *session)
{
	struct smtp_session *s = session;

	smtp_server_release(&s->server);
	free(s);
}

static const struct dialogue_engine dialogue_smtp = {
    "smtp", smtp_is_action, smtp_option, smtp_open, smtp_feed, smtp_act, smtp_session_close};

#endif
