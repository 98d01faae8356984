#include "bridge-smtp/smtp_client_own.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/sasl.h"
#include "lib/text.h"

/* RFC 5321 4.5.3.1.4: with more than this the first response is not put into the AUTH command (RFC 4954 4). */
#define COMMAND_MAX 510

/* ---- EHLO ------------------------------------------------------------------------------------------------ */

static void forget(struct smtp_client *c)
{
	c->extensions = 0;
	c->max_size = 0;
	c->max_recipients = SMTP_CLIENT_RECIPIENTS;
	c->max_messages = 0;
}

static void say_hello(struct smtp_client *c, const char *verb, enum smtp_client_stage stage)
{
	forget(c);
	buf_format(&c->output, "%s %s\r\n", verb, c->options->name);
	c->stage = stage;
}

void smtp_client_hello(struct smtp_client *c)
{
	say_hello(c, c->options->lmtp ? "LHLO" : "EHLO", SMTP_STAGE_EHLO);
}

/* Splits off the next word; false: there is none. */
static bool next_word(struct view *line, struct view *word)
{
	size_t from = 0;
	size_t to;

	while (from < line->length && (line->bytes[from] == ' ' || line->bytes[from] == '\t'))
		from++;
	to = from;
	while (to < line->length && line->bytes[to] != ' ' && line->bytes[to] != '\t')
		to++;
	*word = view_of(line->bytes + from, to - from);
	*line = view_from(*line, to);
	return word->length > 0;
}

static void take_mechanisms(struct smtp_client *c, struct view line)
{
	struct view word;

	while (next_word(&line, &word)) {
		if (view_same(word, view_text("PLAIN")))
			c->extensions |= SMTP_EXT_AUTH_PLAIN;
		else if (view_same(word, view_text("LOGIN")))
			c->extensions |= SMTP_EXT_AUTH_LOGIN;
	}
}

/* RFC 9422: NAME=VALUE, a value of 0 being none. */
static void take_limits(struct smtp_client *c, struct view line)
{
	static const char recipients[] = "RCPTMAX=";
	static const char messages[] = "MAILMAX=";
	size_t name = sizeof recipients - 1;
	struct view word;
	uint64_t number;

	while (next_word(&line, &word)) {
		if (word.length <= name || !number_parse(view_from(word, name), UINT64_MAX, &number) || number == 0)
			continue;
		if (view_same(view_of(word.bytes, name), view_text(recipients)))
			c->max_recipients = number;
		else if (view_same(view_of(word.bytes, name), view_text(messages)))
			c->max_messages = number;
	}
}

static void take_keyword(struct smtp_client *c, struct view word, struct view rest)
{
	static const struct {
		const char *word;
		enum smtp_extension extension;
	} words[] = {
	    {"PIPELINING", SMTP_EXT_PIPELINING},
	    {"SIZE", SMTP_EXT_SIZE},
	    {"8BITMIME", SMTP_EXT_8BITMIME},
	    {"SMTPUTF8", SMTP_EXT_SMTPUTF8},
	    {"DSN", SMTP_EXT_DSN},
	    {"CHUNKING", SMTP_EXT_CHUNKING},
	    {"BINARYMIME", SMTP_EXT_BINARYMIME},
	    {"STARTTLS", SMTP_EXT_STARTTLS},
	    {"ENHANCEDSTATUSCODES", SMTP_EXT_ENHANCED},
	};
	static const char old_auth[] = "AUTH=";
	struct view value;

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (view_same(word, view_text(words[i].word)))
			c->extensions |= words[i].extension;
	if (view_same(word, view_text("SIZE")) && next_word(&rest, &value)) {
		/* A limit too large to be written here is none. */
		if (!number_parse(value, UINT64_MAX, &c->max_size))
			c->max_size = 0;
	} else if (view_same(word, view_text("LIMITS"))) {
		take_limits(c, rest);
	} else if (view_same(word, view_text("AUTH"))) {
		take_mechanisms(c, rest);
	} else if (word.length >= 5 && view_same(view_of(word.bytes, 5), view_text(old_auth))) {
		/* What drafts of RFC 2554 had, and some servers still say for old mail programs. */
		take_mechanisms(c, view_from(word, 5));
		take_mechanisms(c, rest);
	}
}

/* The first line of the reply is the server's name. */
static void take_extensions(struct smtp_client *c, struct view lines)
{
	struct view line;
	struct view word;

	view_line(&lines, &line);
	while (view_line(&lines, &line))
		if (next_word(&line, &word))
			take_keyword(c, word, line);
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

/* The server does not want to go on, and says so in good order: so does the client. */
static void refused(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_verdict v;

	if (r->code < 400) {
		smtp_client_out_of_turn(c, r);
		return;
	}
	smtp_verdict_of(&v, r);
	/* A wrong password, a broken certificate: the mail is good, the operator has something to do. */
	if (c->stage == SMTP_STAGE_STARTTLS || c->stage == SMTP_STAGE_AUTH)
		v.outcome = OUTCOME_LATER;
	smtp_client_say(c, "QUIT");
	smtp_client_fail(c, &v);
}

static void lacking(struct smtp_client *c, const char *status, const char *text)
{
	struct smtp_verdict v;

	smtp_verdict_set(&v, OUTCOME_LATER, status, "%s", text);
	smtp_client_say(c, "QUIT");
	smtp_client_fail(c, &v);
}

/* ---- AUTH ------------------------------------------------------------------------------------------------ */

/* PREFIX and BYTES in base64 as a line. */
static void say_base64(struct smtp_client *c, const char *prefix, struct view bytes)
{
	buf_text(&c->output, prefix);
	sasl_encode(bytes, &c->output);
	smtp_client_say(c, "");
}

static void say_plain(struct smtp_client *c, const char *prefix)
{
	buf_text(&c->output, prefix);
	sasl_plain_make(c->options->user, c->options->password, &c->output);
	smtp_client_say(c, "");
}

static bool plain_fits(const struct smtp_client_options *o)
{
	size_t size = strlen(o->user) + (o->password == NULL ? 0 : strlen(o->password)) + 2;

	return strlen("AUTH PLAIN ") + (size + 2) / 3 * 4 <= COMMAND_MAX;
}

static void begin_auth(struct smtp_client *c)
{
	const struct smtp_client_options *o = c->options;

	if (o->user == NULL) {
		smtp_client_ready(c);
		return;
	}
	c->stage = SMTP_STAGE_AUTH;
	if (!c->secured && !o->clear_auth) {
		lacking(c, "4.7.11", "the password is not sent without TLS, which was not begun");
	} else if ((c->extensions & SMTP_EXT_AUTH_PLAIN) != 0 && plain_fits(o)) {
		c->own->auth = AUTH_PLAIN;
		say_plain(c, "AUTH PLAIN ");
	} else if ((c->extensions & SMTP_EXT_AUTH_PLAIN) != 0) {
		c->own->auth = AUTH_PLAIN_ASKED;
		smtp_client_say(c, "AUTH PLAIN");
	} else if ((c->extensions & SMTP_EXT_AUTH_LOGIN) != 0) {
		c->own->auth = AUTH_LOGIN;
		smtp_client_say(c, "AUTH LOGIN");
	} else {
		lacking(c, "4.7.4", "there is a user to log in, but the server offers neither AUTH PLAIN nor LOGIN");
	}
}

/* The driver has written the output long ago; the memory behind it may still hold the password. */
static void wipe_output(struct buf *output)
{
	if (output->bytes != NULL)
		sodium_memzero(output->bytes + output->length, output->capacity - output->length);
}

/* 334: the server wants the next response. What it asks in is not looked at; servers differ. */
static void answer_challenge(struct smtp_client *c, const struct smtp_reply *r)
{
	const struct smtp_client_options *o = c->options;

	switch (c->own->auth) {
	case AUTH_PLAIN: /* the server overlooked what was in the command */
	case AUTH_PLAIN_ASKED:
		say_plain(c, "");
		c->own->auth = AUTH_PLAIN_SENT;
		break;
	case AUTH_LOGIN:
		say_base64(c, "", view_text(o->user));
		c->own->auth = AUTH_LOGIN_USER;
		break;
	case AUTH_LOGIN_USER:
		say_base64(c, "", view_text(o->password == NULL ? "" : o->password));
		c->own->auth = AUTH_LOGIN_PASSWORD;
		break;
	case AUTH_PLAIN_SENT:
	case AUTH_LOGIN_PASSWORD:
		smtp_client_out_of_turn(c, r);
		break;
	}
}

static void take_auth_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	wipe_output(&c->output);
	if (r->code == 334)
		answer_challenge(c, r);
	else if (r->code == 235)
		smtp_client_ready(c);
	else
		refused(c, r);
}

/* ---- the way to READY ------------------------------------------------------------------------------------ */

static void begin_tls(struct smtp_client *c)
{
	enum smtp_client_tls policy = c->options->tls;

	if (c->secured || policy == SMTP_TLS_NEVER) {
		begin_auth(c);
	} else if ((c->extensions & SMTP_EXT_STARTTLS) != 0) {
		smtp_client_say(c, "STARTTLS");
		c->stage = SMTP_STAGE_STARTTLS;
	} else if (policy == SMTP_TLS_NEEDED) {
		c->stage = SMTP_STAGE_STARTTLS;
		lacking(c, "4.7.4", "TLS is needed, but the server does not offer STARTTLS");
	} else {
		begin_auth(c);
	}
}

static void take_starttls_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 220)
		c->stage = SMTP_STAGE_TLS; /* the event comes once it is seen that nothing stands behind the reply */
	else
		refused(c, r);
}

void smtp_client_hello_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	bool done = smtp_outcome(r->code) == OUTCOME_DONE;

	if (c->stage == SMTP_STAGE_STARTTLS) {
		take_starttls_reply(c, r);
	} else if (c->stage == SMTP_STAGE_AUTH) {
		take_auth_reply(c, r);
	} else if (c->stage == SMTP_STAGE_GREETING && r->code == 220) {
		smtp_client_hello(c);
	} else if (c->stage == SMTP_STAGE_EHLO && done) {
		take_extensions(c, view_buf(&r->text));
		begin_tls(c);
	} else if (c->stage == SMTP_STAGE_EHLO && r->code >= 500 && !c->options->lmtp) {
		say_hello(c, "HELO", SMTP_STAGE_HELO);
	} else if (c->stage == SMTP_STAGE_HELO && done) {
		begin_tls(c);
	} else {
		refused(c, r);
	}
}
