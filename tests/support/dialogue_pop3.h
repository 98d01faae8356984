/*
 * The POP3 server for dialogue.c.
 *
 * Options: stls, clear (passwords without TLS), max-errors N, implicit-tls, user NAME PASSWORD (who may), and the maildrop, in
 * order: message TEXT (a file in the LF form), mixed TEXT (a file of another program), both with the escapes of C and S,
 * many COUNT (small messages). The host is mx.example, and the UID of the first message is "uid1".
 *
 * The driver takes everything, but: turn-away CODE TEXT; refuse-login CODE TEXT, once the password is right; refuse NUMBER
 * CODE TEXT for a message; update later|never TEXT; break NUMBER: half of that message is all that can be read. CODE "-" is
 * none. It hands texts over in pieces of all sizes.
 *
 * Actions: secured; injected (the driver found plaintext behind STLS); over CODE TEXT (it ends the session); silent (it ends
 * it without a word).
 */
#ifndef TESTS_SUPPORT_DIALOGUE_POP3_H
#define TESTS_SUPPORT_DIALOGUE_POP3_H

#include "bridge-pop3/pop3_server.h"
#include "tests/support/dialogue.h"

struct pop3_message {
	enum pop3_text_form form;
	struct buf text;
};

struct pop3_session {
	struct pop3_listing listing;
	struct pop3_server server;
	struct pop3_server_options options;
	const struct dialogue_options *said;
	struct dialogue_record *record;
	struct pop3_message *messages;
	size_t capacity;
	size_t step; /* how much is handed over next */
};

static bool pop3_is_action(const char *words)
{
	return strcmp(words, "secured") == 0 || strcmp(words, "injected") == 0 || strcmp(words, "silent") == 0 ||
	       text_starts(words, "over ");
}

static bool pop3_option(struct dialogue_options *options, const char *words)
{
	static const char *const names[] = {"stls", "clear", "max-errors", "implicit-tls", "user", "message", "mixed",
	    "many", "turn-away", "refuse-login", "refuse", "update", "break"};
	size_t length = strcspn(words, " ");

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (view_is(view_of(words, length), names[i])) {
			dialogue_options_add(options, words);
			return true;
		}
	}
	return false;
}

/* ---- the maildrop ---------------------------------------------------------------------------------------- */

/* Octet by octet, so that it shares nothing with what it is held against. */
static uint64_t pop3_octets(const struct pop3_listing *self, size_t number)
{
	const struct pop3_message *m = &((const struct pop3_session *)self)->messages[number];
	uint64_t octets = m->text.length;
	uint8_t before = 0;

	for (size_t i = 0; i < m->text.length; i++) {
		if (m->text.bytes[i] == '\n' && (m->form == POP3_TEXT_LF || before != '\r'))
			octets++;
		before = m->text.bytes[i];
	}
	return octets + (m->text.length > 0 && before != '\n' ? 2 : 0);
}

static void pop3_uid(const struct pop3_listing *self, size_t number, struct buf *out)
{
	(void)self;
	buf_format(out, "uid%zu", number + 1);
}

static struct buf *pop3_add(struct pop3_session *s, enum pop3_text_form form)
{
	struct pop3_message *m;

	s->messages = mem_grow(s->messages, s->listing.count, &s->capacity, sizeof s->messages[0]);
	m = &s->messages[s->listing.count++];
	m->form = form;
	buf_init(&m->text, SIZE_MAX);
	return &m->text;
}

static void pop3_fill(struct pop3_session *s)
{
	s->listing = (struct pop3_listing){.octets = pop3_octets, .uid = pop3_uid};
	for (size_t i = 0; i < s->said->count; i++) {
		const char *words = s->said->lines[i];

		if (text_starts(words, "message"))
			dialogue_unescape(view_text(words + strcspn(words, " ") + (words[7] == ' ')),
			    pop3_add(s, POP3_TEXT_LF), "a message");
		else if (text_starts(words, "mixed "))
			dialogue_unescape(view_text(words + 6), pop3_add(s, POP3_TEXT_MIXED), "a message");
		else if (text_starts(words, "many "))
			for (unsigned long n = strtoul(words + 5, NULL, 10); n > 0; n--)
				buf_format(pop3_add(s, POP3_TEXT_LF), "Subject: %lu\n\nHello\n", n);
	}
}

/* ---- the driver ------------------------------------------------------------------------------------------ */

static void pop3_flush(struct pop3_session *s)
{
	buf_view(&s->record->output, view_buf(&s->server.output));
	buf_clear(&s->server.output);
}

/* "CODE TEXT", of which CODE may be "-". */
static const char *pop3_code(const char *words, char code[static 20], const char **text)
{
	int at = 0;

	if (sscanf(words, "%19s %n", code, &at) != 1)
		errx(1, "not CODE TEXT: %s", words);
	*text = words + at;
	return strcmp(code, "-") == 0 ? NULL : code;
}

static void pop3_login(struct pop3_session *s, const struct pop3_event *event)
{
	const char *refusal = dialogue_option(s->said, "refuse-login", 0);
	char *given = mem_format("%s %s", event->user, event->password);
	bool known = false;
	const char *words;
	const char *text;
	char code[20];

	for (size_t i = 0; (words = dialogue_option(s->said, "user", i)) != NULL && !known; i++)
		known = strcmp(words, given) == 0;
	free(given);
	if (!known) {
		pop3_server_refuse(&s->server, "AUTH", "The user or the password is wrong");
	} else if (refusal != NULL) {
		const char *said = pop3_code(refusal, code, &text);

		pop3_server_refuse(&s->server, said, text);
	} else {
		pop3_server_opened(&s->server, &s->listing);
	}
}

/* What follows "NAME NUMBER" among the options; null: nothing is said of this message. */
static const char *pop3_of_message(const struct pop3_session *s, const char *name, size_t number)
{
	const char *words;

	for (size_t i = 0; (words = dialogue_option(s->said, name, i)) != NULL; i++)
		if (strtoul(words, NULL, 10) == number + 1)
			return words + strcspn(words, " ");
	return NULL;
}

static void pop3_text(struct pop3_session *s, size_t number)
{
	struct view rest = view_buf(&s->messages[number].text);
	bool whole = pop3_of_message(s, "break", number) == NULL;

	rest.length = whole ? rest.length : rest.length / 2;
	pop3_server_text_begin(&s->server, s->messages[number].form);
	while (rest.length > 0) {
		struct view piece = view_of(rest.bytes, rest.length < s->step ? rest.length : s->step);

		rest = view_from(rest, piece.length);
		s->step = s->step * 7 % 10007;
		while (pop3_server_text(&s->server, &piece) && piece.length > 0)
			pop3_flush(s);
		if (piece.length > 0)
			errx(1, "the engine does not take all of what it wants no more of");
	}
	if (whole)
		pop3_server_text_end(&s->server);
	else
		pop3_server_end(&s->server, "SYS/TEMP", "The disk is broken");
}

static void pop3_retrieve(struct pop3_session *s, size_t number)
{
	const char *refusal = pop3_of_message(s, "refuse", number);
	const char *text;
	char code[20];

	if (refusal == NULL) {
		pop3_text(s, number);
	} else {
		const char *said = pop3_code(refusal, code, &text);

		pop3_server_refuse(&s->server, said, text);
	}
}

static void pop3_update(struct pop3_session *s)
{
	const char *said = dialogue_option(s->said, "update", 0);
	enum outcome outcome = said == NULL		     ? OUTCOME_DONE
			       : text_starts(said, "later ") ? OUTCOME_LATER
							     : OUTCOME_NEVER;

	pop3_server_updated(&s->server, outcome, said == NULL ? NULL : said + strlen("later "));
}

static const char *pop3_write_event(struct pop3_session *s, const struct pop3_event *event)
{
	struct buf *out = &s->record->events;

	switch (event->kind) {
	case POP3_EVENT_LOGIN:
		buf_format(out, "login %s %s", event->user, event->password);
		return "login";
	case POP3_EVENT_RETRIEVE:
		buf_format(out, "%s %zu", event->top ? "top" : "retrieve", event->number + 1);
		if (event->top)
			buf_format(out, " %llu", (unsigned long long)event->lines);
		return "retrieve";
	case POP3_EVENT_UPDATE:
		buf_format(out, "update %zu:", event->marked);
		for (size_t i = 0; i < s->listing.count; i++)
			if (pop3_server_marked(&s->server, i))
				buf_format(out, " %zu", i + 1);
		return "update";
	case POP3_EVENT_STLS:
		buf_text(out, "stls");
		return "stls";
	case POP3_EVENT_CLOSE:
		buf_format(out, "close %s", event->text);
		break;
	}
	return "close";
}

static void pop3_event(struct pop3_session *s, const struct pop3_event *event)
{
	size_t begin = s->record->events.length;

	dialogue_event_end(s->record, pop3_write_event(s, event), begin);
	if (event->kind == POP3_EVENT_LOGIN)
		pop3_login(s, event);
	else if (event->kind == POP3_EVENT_RETRIEVE)
		pop3_retrieve(s, event->number);
	else if (event->kind == POP3_EVENT_UPDATE)
		pop3_update(s);
}

static void pop3_run(struct pop3_session *s)
{
	struct pop3_event event;
	bool more;

	do {
		while (pop3_server_next(&s->server, &event))
			pop3_event(s, &event);
		more = s->server.output.length > 0;
		pop3_flush(s);
	} while (more);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

static void *pop3_open(const struct dialogue_options *said, struct dialogue_record *record)
{
	struct pop3_session *s = mem_alloc(sizeof *s);
	const char *errors = dialogue_option(said, "max-errors", 0);
	const char *away = dialogue_option(said, "turn-away", 0);

	s->said = said;
	s->record = record;
	s->step = 1;
	record->options = said;
	s->options = (struct pop3_server_options){
	    .name = "mx.example",
	    .stls = dialogue_option(said, "stls", 0) != NULL,
	    .clear_passwords = dialogue_option(said, "clear", 0) != NULL,
	    .max_errors = errors == NULL ? 0 : (unsigned)strtoul(errors, NULL, 10),
	};
	pop3_fill(s);
	pop3_server_init(&s->server, &s->options);
	if (dialogue_option(said, "implicit-tls", 0) != NULL)
		pop3_server_secured(&s->server, POP3_SECURED_CLEAN);
	if (away != NULL) {
		const char *text;
		char place[20];
		const char *code = pop3_code(away, place, &text);

		pop3_server_turn_away(&s->server, code, text);
	}
	pop3_run(s);
	return s;
}

static void pop3_feed(void *session, struct view bytes)
{
	struct pop3_session *s = session;

	while (bytes.length > 0) {
		size_t before = bytes.length;

		pop3_server_feed(&s->server, &bytes);
		pop3_run(s);
		if (bytes.length == before)
			errx(1, "the engine takes nothing more");
	}
}

static void pop3_act(void *session, const char *words)
{
	struct pop3_session *s = session;

	if (text_starts(words, "over ")) {
		const char *text;
		char place[20];
		const char *code = pop3_code(words + strlen("over "), place, &text);

		pop3_server_end(&s->server, code, text);
	} else if (strcmp(words, "silent") == 0) {
		pop3_server_end(&s->server, NULL, NULL);
	} else {
		pop3_server_secured(
		    &s->server, strcmp(words, "secured") == 0 ? POP3_SECURED_CLEAN : POP3_SECURED_INJECTED);
	}
	pop3_run(s);
}

static void pop3_session_close(void *session)
{
	struct pop3_session *s = session;

	pop3_server_release(&s->server);
	for (size_t i = 0; i < s->listing.count; i++)
		buf_release(&s->messages[i].text);
	free(s->messages);
	free(s);
}

static const struct dialogue_engine dialogue_pop3 = {
    "pop3", pop3_is_action, pop3_option, pop3_open, pop3_feed, pop3_act, pop3_session_close};

#endif
