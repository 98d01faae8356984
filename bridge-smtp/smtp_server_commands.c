#include "bridge-smtp/smtp_server_own.h"
#include "lib/alloc.h"
#include "lib/text.h"

/* ---- what stands in the way ------------------------------------------------------------------------------ */

static void too_early(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_bad(s, 503, "5.5.1", smtp_is_lmtp(s) ? "Say LHLO first" : "Say EHLO first");
}

static void no_sender(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_bad(s, 503, "5.5.1", "MAIL comes first");
}

/* RFC 2920 3.1: a client that pipelines learns only here that nobody was taken. RFC 2033 4.2 has one code for both. */
static void no_recipient(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	if (s->own->tried > 0 && !smtp_is_lmtp(s))
		smtp_bad(s, 554, "5.5.1", "No recipient was taken");
	else
		smtp_bad(s, 503, "5.5.1", "RCPT comes first");
}

static void in_mail(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_bad(s, 503, "5.5.1", "Not within a message; RSET ends it");
}

static void in_chunks(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_bad(s, 503, "5.5.1", "A message is coming by BDAT; BDAT LAST or RSET ends it");
}

static bool no_arguments(struct smtp_server *s, struct view arguments)
{
	if (arguments.length > 0)
		smtp_bad(s, 501, "5.5.4", "Nothing follows this command");
	return arguments.length == 0;
}

/* What mail needs before it. */
static bool entitled(struct smtp_server *s)
{
	if (s->options->tls_needed && !s->secured)
		smtp_bad(s, 530, "5.7.0", "STARTTLS comes first");
	else if (s->options->auth_needed && s->authenticated == NULL)
		smtp_bad(s, 530, "5.7.0", "AUTH comes first");
	else
		return true;
	return false;
}

/* ---- hello ----------------------------------------------------------------------------------------------- */

static bool hello(struct smtp_server *s, struct view name)
{
	if (!smtp_helo_valid(name)) {
		smtp_bad(s, 501, "5.5.4", "Say which host you are: a domain, or an address in brackets");
		return false;
	}
	smtp_transaction_end(s->own);
	s->own->state = SMTP_STATE_READY;
	free(s->helo);
	s->helo = mem_copy(name.bytes, name.length);
	return true;
}

static void do_helo(struct smtp_server *s, struct view name)
{
	if (!hello(s, name))
		return;
	s->extended = false;
	smtp_answer(s, 250, NULL, s->options->name);
}

/* RFC 9422 */
static void put_limits(const struct smtp_server_options *options, struct buf *out)
{
	if (options->max_recipients == 0 && options->max_messages == 0)
		return;
	buf_text(out, "250-LIMITS");
	if (options->max_recipients > 0)
		buf_format(out, " RCPTMAX=%zu", options->max_recipients);
	if (options->max_messages > 0)
		buf_format(out, " MAILMAX=%zu", options->max_messages);
	buf_text(out, "\r\n");
}

static void do_ehlo(struct smtp_server *s, struct view name)
{
	const struct smtp_server_options *options = s->options;
	struct buf *out = &s->output;

	if (!hello(s, name))
		return;
	s->extended = true;
	buf_format(out, "250-%s\r\n250-PIPELINING\r\n", options->name);
	if (options->max_size > 0)
		buf_format(out, "250-SIZE %llu\r\n", (unsigned long long)options->max_size);
	else
		buf_text(out, "250-SIZE\r\n");
	buf_text(out, "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"
		      "250-CHUNKING\r\n250-BINARYMIME\r\n");
	if (options->starttls && !s->secured)
		buf_text(out, "250-STARTTLS\r\n");
	if (smtp_auth_offered(s))
		buf_text(out, "250-AUTH PLAIN LOGIN\r\n");
	if (options->etrn)
		buf_text(out, "250-ETRN\r\n");
	put_limits(options, out);
	buf_text(out, "250 HELP\r\n");
}

static void do_starttls(struct smtp_server *s, struct view arguments)
{
	if (s->secured) {
		smtp_bad(s, 503, "5.5.1", "TLS is there already");
	} else if (!s->options->starttls) {
		smtp_bad(s, 502, "5.5.1", "TLS is not offered here");
	} else if (no_arguments(s, arguments)) {
		smtp_answer(s, 220, "2.0.0", "Begin TLS");
		s->own->state = SMTP_STATE_TLS;
		smtp_raise(s, (struct smtp_event){.kind = SMTP_EVENT_STARTTLS});
	}
}

/* ---- a message ------------------------------------------------------------------------------------------- */

static void refuse(struct smtp_server *s, const struct smtp_complaint *c)
{
	smtp_bad(s, c->code, c->status, c->text);
}

static const char *kept(struct buf *place, struct view v)
{
	buf_clear(place);
	buf_view(place, v);
	return buf_string(place);
}

static bool too_large(struct smtp_server *s, uint64_t size)
{
	char text[100];

	if (s->options->max_size == 0 || size <= s->options->max_size)
		return false;
	snprintf(text, sizeof text, "A message may have %llu octets here", (unsigned long long)s->options->max_size);
	smtp_answer(s, 552, "5.3.4", text);
	return true;
}

static void mail_event(struct smtp_server *s, const struct smtp_mail *m)
{
	struct smtp_server_own *own = s->own;

	own->smtputf8 = m->smtputf8;
	own->body = m->body;
	own->messages++;
	smtp_raise(s, (struct smtp_event){
			  .kind = SMTP_EVENT_SENDER,
			  .text = kept(&own->address, smtp_address_text(&m->address)),
			  .size = m->size,
			  .body = m->body,
			  .smtputf8 = m->smtputf8,
			  .ret = m->ret,
			  .envid = m->has_envid ? kept(&own->parameter, view_buf(&m->envid)) : NULL,
		      });
}

static void do_mail(struct smtp_server *s, struct view arguments)
{
	struct smtp_complaint complaint;
	struct smtp_mail m;

	if (!entitled(s))
		return;
	/* RFC 9422 4.1: a client that comes again can go on. */
	if (s->options->max_messages > 0 && s->own->messages >= s->options->max_messages) {
		smtp_answer(s, 421, "4.5.3", "This session has had all its messages; connect again");
		smtp_close(s, "as many messages as a session may have");
		return;
	}
	smtp_mail_init(&m);
	if (!smtp_mail_parse(&m, arguments, &complaint))
		refuse(s, &complaint);
	else if (!too_large(s, m.size))
		mail_event(s, &m);
	smtp_mail_release(&m);
}

void smtp_sender_verdict(struct smtp_server *s, int code)
{
	if (code / 100 == 2) {
		s->own->begun = true;
		s->own->state = SMTP_STATE_SENDER;
	}
}

static void rcpt_event(struct smtp_server *s, const struct smtp_rcpt *r)
{
	struct smtp_server_own *own = s->own;

	smtp_raise(s, (struct smtp_event){
			  .kind = SMTP_EVENT_RECIPIENT,
			  .text = kept(&own->address, smtp_address_text(&r->address)),
			  .notify = r->notify,
			  .orcpt = r->has_orcpt ? kept(&own->parameter, view_buf(&r->orcpt)) : NULL,
		      });
}

static void do_rcpt(struct smtp_server *s, struct view arguments)
{
	struct smtp_server_own *own = s->own;
	struct smtp_complaint complaint;
	struct smtp_rcpt r;

	own->tried++;
	smtp_rcpt_init(&r);
	if (!smtp_rcpt_parse(&r, arguments, &complaint))
		refuse(s, &complaint);
	else if (r.utf8 && !own->smtputf8)
		smtp_bad(s, 553, "5.6.7", "This address needs the parameter SMTPUTF8 of MAIL");
	else if (s->options->max_recipients > 0 && own->taken >= s->options->max_recipients)
		smtp_answer(s, 452, "4.5.3", "This message has all the recipients that one may have");
	else
		rcpt_event(s, &r);
	smtp_rcpt_release(&r);
}

void smtp_recipient_verdict(struct smtp_server *s, int code)
{
	if (code / 100 == 2) {
		s->own->taken++;
		s->own->state = SMTP_STATE_RECIPIENT;
	}
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

static void do_rset(struct smtp_server *s, struct view arguments)
{
	if (!no_arguments(s, arguments))
		return;
	smtp_transaction_end(s->own);
	smtp_answer(s, 250, "2.0.0", "Ok");
}

static void do_noop(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_answer(s, 250, "2.0.0", "Ok");
}

static void do_quit(struct smtp_server *s, struct view arguments)
{
	if (!no_arguments(s, arguments))
		return;
	smtp_answer(s, 221, "2.0.0", "Good bye");
	smtp_close(s, "QUIT");
}

static void do_vrfy(struct smtp_server *s, struct view arguments)
{
	if (arguments.length == 0)
		smtp_bad(s, 501, "5.5.4", "VRFY whom?");
	else
		smtp_answer(s, 252, "2.5.0", "Not told here; send the message, and it will be tried");
}

static void do_expn(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_bad(s, 502, "5.5.1", "Lists are not told here");
}

static void do_etrn(struct smtp_server *s, struct view arguments)
{
	if (!s->options->etrn)
		smtp_bad(s, 502, "5.5.1", "ETRN is not offered here");
	else if (!smtp_node_valid(arguments))
		smtp_bad(s, 501, "5.5.4", "ETRN and the name of a node");
	else if (entitled(s))
		smtp_raise(
		    s, (struct smtp_event){.kind = SMTP_EVENT_ETRN, .text = kept(&s->own->address, arguments)});
}

/* A browser was led here, perhaps with mail commands in what it posts: nothing of it is read. */
static void web(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	smtp_answer(s, 421, "4.7.0", "This is a mail server");
	smtp_close(s, "HTTP was spoken");
}

static smtp_handler do_help;

/* ---- the protocol ---------------------------------------------------------------------------------------- */

enum service { SMTP = 1, LMTP = 2, BOTH = SMTP | LMTP, HIDDEN = 4 };

#define STATES 5

/*
 * Every command in every state that takes one. DATA is left by its text, AUTH by its exchange, TLS by
 * smtp_server_secured; BDAT lasts from the verdict on the first chunk to the last, or to RSET.
 */
static const struct command {
	const char *verb;
	unsigned services;
	smtp_handler *in[STATES];
} commands[] = {
    /* clang-format off */
    /* verb       for            GREETED          READY            SENDER           RECIPIENT    BDAT */
    {"EHLO",     SMTP,          {do_ehlo,         do_ehlo,         do_ehlo,         do_ehlo,     do_ehlo}},
    {"HELO",     SMTP,          {do_helo,         do_helo,         do_helo,         do_helo,     do_helo}},
    {"LHLO",     LMTP,          {do_ehlo,         do_ehlo,         do_ehlo,         do_ehlo,     do_ehlo}},
    {"MAIL",     BOTH,          {too_early,       do_mail,         in_mail,         in_mail,     in_chunks}},
    {"RCPT",     BOTH,          {too_early,       no_sender,       do_rcpt,         do_rcpt,     in_chunks}},
    {"DATA",     BOTH,          {too_early,       no_sender,       no_recipient,    smtp_do_data, in_chunks}},
    {"BDAT",     BOTH,          {smtp_stray_bdat, smtp_stray_bdat, smtp_stray_bdat, smtp_do_bdat, smtp_do_bdat}},
    {"RSET",     BOTH,          {do_rset,         do_rset,         do_rset,         do_rset,     do_rset}},
    {"NOOP",     BOTH,          {do_noop,         do_noop,         do_noop,         do_noop,     do_noop}},
    {"QUIT",     BOTH,          {do_quit,         do_quit,         do_quit,         do_quit,     do_quit}},
    {"VRFY",     BOTH,          {do_vrfy,         do_vrfy,         do_vrfy,         do_vrfy,     do_vrfy}},
    {"EXPN",     BOTH,          {do_expn,         do_expn,         do_expn,         do_expn,     do_expn}},
    {"HELP",     BOTH,          {do_help,         do_help,         do_help,         do_help,     do_help}},
    {"STARTTLS", BOTH,          {too_early,       do_starttls,     in_mail,         in_mail,     in_mail}},
    {"AUTH",     BOTH,          {too_early,       smtp_do_auth,    in_mail,         in_mail,     in_mail}},
    {"ETRN",     BOTH,          {too_early,       do_etrn,         in_mail,         in_mail,     in_mail}},
    {"GET",      BOTH | HIDDEN, {web,             web,             web,             web,         web}},
    {"HEAD",     BOTH | HIDDEN, {web,             web,             web,             web,         web}},
    {"POST",     BOTH | HIDDEN, {web,             web,             web,             web,         web}},
    {"PUT",      BOTH | HIDDEN, {web,             web,             web,             web,         web}},
    {"OPTIONS",  BOTH | HIDDEN, {web,             web,             web,             web,         web}},
    {"CONNECT",  BOTH | HIDDEN, {web,             web,             web,             web,         web}},
    /* clang-format on */
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static unsigned service_of(const struct smtp_server *s)
{
	return smtp_is_lmtp(s) ? LMTP : SMTP;
}

static void do_help(struct smtp_server *s, struct view arguments)
{
	(void)arguments;
	buf_text(&s->output, "214 2.0.0 Commands:");
	for (size_t i = 0; i < COMMANDS; i++)
		if ((commands[i].services & service_of(s)) && !(commands[i].services & HIDDEN))
			buf_format(&s->output, " %s", commands[i].verb);
	buf_text(&s->output, "\r\n");
}

void smtp_command(struct smtp_server *s, struct view line)
{
	static const size_t columns[] = {
	    [SMTP_STATE_GREETED] = 0,
	    [SMTP_STATE_READY] = 1,
	    [SMTP_STATE_SENDER] = 2,
	    [SMTP_STATE_RECIPIENT] = 3,
	    [SMTP_STATE_BDAT] = 4,
	};
	struct view arguments = line_trimmed(line);
	struct view verb = line_word(&arguments);

	for (size_t i = 0; i < COMMANDS; i++) {
		if ((commands[i].services & service_of(s)) && view_same(verb, view_text(commands[i].verb))) {
			commands[i].in[columns[s->own->state]](s, arguments);
			return;
		}
	}
	if (verb.length == 0)
		smtp_bad(s, 500, "5.5.2", "A line begins with a command");
	else
		smtp_bad(s, 500, "5.5.1", "This command is not known here");
}
