/*
 * A scripted server for the client's engine. A dialogue is text, one step a line:
 *
 *	S: 250 Ok          the server says so; S lines that follow one another arrive together
 *	C: MAIL FROM:<>    the client must have said so
 *	c: abc             the same without a line end
 *	E: READY           the event must have come
 *	D: secured         the driver's turn: secured, quit, lost WHY, message, text BYTES, end
 *
 * When the next S or D line comes, and at the end, nothing more may have been said or come. The driver gives the
 * messages of the list whenever the client is READY, and their text when it is wanted.
 */
#ifndef TESTS_SMTP_PLAY_KIT_H
#define TESTS_SMTP_PLAY_KIT_H

#include <criterion/criterion.h>

#include "bridge-smtp/smtp_client.h"
#include "lib/alloc.h"

struct test_message {
	struct smtp_client_message m;
	const char *text; /* null: the dialogue gives it */
};

struct play {
	struct smtp_client client;
	const struct test_message *messages;
	size_t count;
	size_t given;
	size_t step; /* octets that go at once */
	struct buf said;
	struct buf events;
	size_t line; /* of the dialogue, for complaints */
};

static inline void play_text(struct play *p, struct view text)
{
	while (text.length > 0) {
		size_t part = text.length < p->step ? text.length : p->step;

		smtp_client_text(&p->client, view_of(text.bytes, part));
		text = view_from(text, part);
	}
}

static inline void play_verdict(struct play *p, const struct smtp_client_event *event, const char *name)
{
	const struct smtp_verdict *v = &event->verdict;

	buf_text(&p->events, name);
	if (event->kind == SMTP_CLIENT_RECIPIENT)
		buf_format(&p->events, " %zu", event->place);
	buf_format(&p->events, " %s %d %s %s\n", outcome_name(v->outcome), v->code, v->status, v->text);
}

static inline void play_give(struct play *p)
{
	if (p->given < p->count)
		smtp_client_message(&p->client, &p->messages[p->given++].m);
}

static inline void play_event(struct play *p, const struct smtp_client_event *event)
{
	static const char *const names[] = {
	    "STARTTLS", "READY", "RECIPIENT", "WANTS_TEXT", "DONE", "FAILED", "CLOSED"};
	const char *text;

	switch (event->kind) {
	case SMTP_CLIENT_STARTTLS:
		buf_text(&p->events, "STARTTLS\n");
		break;
	case SMTP_CLIENT_READY:
		buf_text(&p->events, "READY\n");
		play_give(p);
		break;
	case SMTP_CLIENT_WANTS_TEXT:
		buf_text(&p->events, "WANTS_TEXT\n");
		text = p->messages[p->given - 1].text;
		if (text != NULL) {
			play_text(p, view_text(text));
			smtp_client_text_end(&p->client);
		}
		break;
	default:
		play_verdict(p, event, names[event->kind]);
		break;
	}
}

static inline void play_next(struct play *p)
{
	struct smtp_client_event event;

	while (smtp_client_next(&p->client, &event))
		play_event(p, &event);
	buf_view(&p->said, view_buf(&p->client.output));
	buf_clear(&p->client.output);
}

static inline void play_feed(struct play *p, struct view in)
{
	while (in.length > 0) {
		size_t part = in.length < p->step ? in.length : p->step;

		smtp_client_feed(&p->client, view_of(in.bytes, part));
		play_next(p);
		in = view_from(in, part);
	}
}

static inline void play_driver(struct play *p, const char *what)
{
	struct smtp_client *c = &p->client;

	if (strcmp(what, "secured") == 0)
		smtp_client_secured(c);
	else if (strcmp(what, "quit") == 0)
		smtp_client_quit(c);
	else if (strcmp(what, "message") == 0)
		play_give(p);
	else if (strcmp(what, "end") == 0)
		smtp_client_text_end(c);
	else if (strncmp(what, "text ", 5) == 0)
		play_text(p, view_text(what + 5));
	else if (strncmp(what, "lost ", 5) == 0)
		smtp_client_lost(c, what + 5);
	else
		cr_assert_fail("no such turn: %s", what);
	play_next(p);
}

/* What was said or came begins with TEXT and END: takes it off. */
static inline void play_expect(struct play *p, struct buf *of, const char *text, const char *end)
{
	char *expected = mem_format("%s%s", text, end);
	size_t length = strlen(expected);

	cr_assert(of->length >= length && memcmp(of->bytes, expected, length) == 0,
	    "line %zu, in steps of %zu: expected %s, there is: %s", p->line, p->step, text, buf_string(of));
	buf_consume(of, length);
	free(expected);
}

static inline void play_nothing_more(struct play *p)
{
	cr_assert_eq(
	    p->said.length, 0, "line %zu, in steps of %zu: said, too: %s", p->line, p->step, buf_string(&p->said));
	cr_assert_eq(p->events.length, 0, "line %zu, in steps of %zu: came, too: %s", p->line, p->step,
	    buf_string(&p->events));
}

static inline void play_line(struct play *p, const char *line, struct buf *server)
{
	const char *rest = line + 3;

	p->line++;
	if (line[0] == 'S') {
		if (server->length == 0)
			play_nothing_more(p);
		buf_format(server, "%s\r\n", rest);
		return;
	}
	play_feed(p, view_buf(server));
	buf_clear(server);
	if (line[0] == 'C' || line[0] == 'c') {
		play_expect(p, &p->said, rest, line[0] == 'C' ? "\r\n" : "");
	} else if (line[0] == 'E') {
		play_expect(p, &p->events, rest, "\n");
	} else {
		cr_assert_eq(line[0], 'D', "no such step: %s", line);
		play_nothing_more(p);
		play_driver(p, rest);
	}
}

static inline void play_begin(struct play *p, const struct smtp_client_options *options,
    const struct test_message *messages, size_t count, size_t step)
{
	*p = (struct play){.messages = messages, .count = count, .step = step};
	smtp_client_init(&p->client, options);
	buf_init(&p->said, SIZE_MAX);
	buf_init(&p->events, SIZE_MAX);
}

static inline void play_end(struct play *p)
{
	smtp_client_release(&p->client);
	buf_release(&p->said);
	buf_release(&p->events);
}

static inline void play_dialogue(struct play *p, const char *dialogue)
{
	struct view all = view_text(dialogue);
	struct view line;
	struct buf server;

	buf_init(&server, SIZE_MAX);
	while (view_line(&all, &line)) {
		char *text = mem_copy(line.bytes, line.length);

		play_line(p, text, &server);
		free(text);
	}
	play_feed(p, view_buf(&server));
	play_nothing_more(p);
	buf_release(&server);
}

/* The dialogue at once and in pieces. */
static inline void play(const struct smtp_client_options *options, const struct test_message *messages, size_t count,
    const char *dialogue)
{
	static const size_t steps[] = {SIZE_MAX, 1, 2, 3, 7, 50};

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct play p;

		play_begin(&p, options, messages, count, steps[i]);
		play_dialogue(&p, dialogue);
		play_end(&p);
	}
}

/* ---- messages and servers for them ----------------------------------------------------------------------- */

static const struct smtp_client_options smtp = {.name = "me.example"};
static const struct smtp_client_options lmtp = {.name = "me.example", .lmtp = true};

#define TO_HELLO "S: 220 mx\nC: EHLO me.example\n"
#define TO_LHLO	 "S: 220 mx\nC: LHLO me.example\n"

static struct recipient anna = {.address = "anna@mx.example"};
static struct recipient bert = {.address = "bert@mx.example"};
static struct recipient carl = {.address = "carl@mx.example"};

static struct recipient *const one[] = {&anna};
static struct recipient *const three[] = {&anna, &bert, &carl};

#define TEXT	"Subject: x\r\n\r\n.dot\r\nend\r\n"
#define STUFFED "C: Subject: x\nC: \nC: ..dot\nC: end\nC: .\n"

#define FROM(address, list, length)                                                                                  \
	.sender = (address), .recipients = (list), .count = sizeof(list) / sizeof(list)[0], .size = (length)
#define ENVELOPE(list, length) FROM("me@here.example", list, length)

static const struct test_message stalled[] = {{{ENVELOPE(three, 26)}, NULL}};

#define PLAIN_SERVER TO_HELLO "S: 250 mx\nE: READY\n"
#define PIPELINING   TO_HELLO "S: 250-mx\nS: 250 PIPELINING\nE: READY\n"
#define CHUNKING     TO_HELLO "S: 250-mx\nS: 250-CHUNKING\nS: 250 PIPELINING\nE: READY\n"
#define LOCK_CHUNKS  TO_HELLO "S: 250-mx\nS: 250 CHUNKING\nE: READY\n"
#define LMTP_SERVER  TO_LHLO "S: 250-mx\nS: 250 PIPELINING\nE: READY\n"
#define LMTP_CHUNKS  TO_LHLO "S: 250-mx\nS: 250-CHUNKING\nS: 250 PIPELINING\nE: READY\n"

#define MAIL	   "C: MAIL FROM:<me@here.example>\n"
#define ANNA	   "C: RCPT TO:<anna@mx.example>\n"
#define BERT	   "C: RCPT TO:<bert@mx.example>\n"
#define CARL	   "C: RCPT TO:<carl@mx.example>\n"
#define DATA	   "C: DATA\n"
#define OK	   "S: 250 ok\n"
#define GO	   "S: 354 go\n"
#define RESET	   "C: RSET\n" OK "E: READY\n"
#define BDAT_SMALL "C: BDAT 25 LAST\nC: Subject: x\nC: \nC: .dot\nC: end\n"

#endif
