#include "bridge-smtp/smtp_server.h"

#include "bridge-smtp/smtp_server_own.h"
#include "lib/alloc.h"
#include "lib/text.h"

/* RFC 5321 4.5.3.1.5: a reply line has at most 512 octets; the code, the status and CRLF take the rest. */
#define REPLY_TEXT_MAX 480
/* What an idle session may keep of a buffer, so that the next command need not allocate. */
#define KEPT_CAPACITY 256

/* ---- life ------------------------------------------------------------------------------------------------ */

void smtp_server_init(struct smtp_server *s, const struct smtp_server_options *options)
{
	struct smtp_server_own *own = mem_alloc(sizeof *own);

	*s = (struct smtp_server){.options = options, .own = own};
	buf_init(&s->output, SIZE_MAX);
	input_init(&own->input, SMTP_INPUT_MAX);
	buf_init(&own->text, SIZE_MAX);
	buf_init(&own->address, SMTP_COMMAND_MAX);
	buf_init(&own->parameter, SMTP_COMMAND_MAX);
	buf_init(&own->user, SMTP_AUTH_MAX);
	buf_init(&own->password, SMTP_AUTH_MAX);
	buf_init(&own->refusal_text, REPLY_TEXT_MAX);
	line_reader_init(&own->line, SMTP_COMMAND_MAX, options->newlines);
	buf_format(&s->output, "220 %s %s packetboat\r\n", options->name, smtp_is_lmtp(s) ? "LMTP" : "ESMTP");
}

void smtp_server_release(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;

	buf_release(&s->output);
	free(s->helo);
	free(s->authenticated);
	if (own != NULL) {
		input_release(&own->input);
		buf_wipe(&own->line.line);
		buf_wipe(&own->user);
		buf_wipe(&own->password);
		buf_release(&own->text);
		buf_release(&own->address);
		buf_release(&own->parameter);
		buf_release(&own->refusal_text);
	}
	free(own);
	*s = (struct smtp_server){.options = NULL};
}

bool smtp_is_lmtp(const struct smtp_server *s)
{
	return s->options->service == SMTP_SERVICE_LMTP;
}

/* ---- answers --------------------------------------------------------------------------------------------- */

/* RFC 6531 3.7.4: UTF-8 only to a client that said SMTPUTF8. */
static void put_sentence(struct smtp_server *s, struct view v)
{
	if (s->own->smtputf8)
		text_visible(v, REPLY_TEXT_MAX, &s->output);
	else
		text_visible_ascii(v, REPLY_TEXT_MAX, &s->output);
}

void smtp_answer(struct smtp_server *s, int code, const char *status, const char *text)
{
	buf_number(&s->output, (uint64_t)(code < 200 || code > 599 ? 451 : code));
	buf_byte(&s->output, ' ');
	if (status != NULL) {
		buf_text(&s->output, status);
		buf_byte(&s->output, ' ');
	}
	put_sentence(s, view_text(text));
	buf_text(&s->output, "\r\n");
}

static void count_error(struct smtp_server *s)
{
	s->own->errors++;
	if (s->options->max_errors == 0 || s->own->errors < s->options->max_errors ||
	    s->own->state == SMTP_STATE_CLOSED)
		return;
	smtp_answer(s, 421, "4.7.0", "Too many errors in this session");
	smtp_close(s, "too many errors");
}

void smtp_bad(struct smtp_server *s, int code, const char *status, const char *text)
{
	smtp_answer(s, code, status, text);
	count_error(s);
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static bool wants_verdict(enum smtp_event_kind kind)
{
	switch (kind) {
	case SMTP_EVENT_AUTH:
	case SMTP_EVENT_SENDER:
	case SMTP_EVENT_RECIPIENT:
	case SMTP_EVENT_BEGIN:
	case SMTP_EVENT_END:
	case SMTP_EVENT_ETRN:
		return true;
	case SMTP_EVENT_TEXT:
	case SMTP_EVENT_RESET:
	case SMTP_EVENT_STARTTLS:
	case SMTP_EVENT_CLOSE:
		break;
	}
	return false;
}

void smtp_raise(struct smtp_server *s, struct smtp_event event)
{
	s->own->event = event;
	s->own->event_due = true;
	s->own->asked = event.kind;
	s->own->waiting = wants_verdict(event.kind);
}

void smtp_transaction_end(struct smtp_server_own *own)
{
	own->reset_due = own->reset_due || own->begun;
	own->begun = false;
	own->smtputf8 = false;
	own->body = BODY_7BIT;
	own->tried = 0;
	own->taken = 0;
	if (own->state > SMTP_STATE_READY && own->state <= SMTP_STATE_BDAT)
		own->state = SMTP_STATE_READY;
}

void smtp_close(struct smtp_server *s, const char *reason)
{
	struct smtp_server_own *own = s->own;

	if (own->state == SMTP_STATE_CLOSED)
		return;
	smtp_transaction_end(own);
	own->state = SMTP_STATE_CLOSED;
	own->close_due = reason;
	own->waiting = false;
	own->in_chunk = false;
}

static bool take_due(struct smtp_server_own *own, struct smtp_event *event)
{
	if (own->event_due) {
		own->event_due = false;
		*event = own->event;
		return true;
	}
	if (own->reset_due) {
		own->reset_due = false;
		*event = (struct smtp_event){.kind = SMTP_EVENT_RESET};
		return true;
	}
	if (own->close_due != NULL) {
		*event = (struct smtp_event){.kind = SMTP_EVENT_CLOSE, .text = own->close_due};
		own->close_due = NULL;
		return true;
	}
	return false;
}

/* ---- input ----------------------------------------------------------------------------------------------- */

void smtp_server_feed(struct smtp_server *s, struct view *in)
{
	struct smtp_server_own *own = s->own;

	if (own->state != SMTP_STATE_CLOSED && own->state != SMTP_STATE_TLS) {
		input_add(&own->input, in);
		return;
	}
	own->injected = own->injected || (own->state == SMTP_STATE_TLS && in->length > 0);
	*in = view_from(*in, in->length);
}

/* ---- the machine ----------------------------------------------------------------------------------------- */

static void line_complaint(struct smtp_server *s, enum line_fault fault)
{
	static const char *const sentences[] = {
	    [LINE_TOO_LONG] = "The line is too long",
	    [LINE_BARE_CR] = "A command holds a carriage return that ends no line",
	    [LINE_BARE_LF] = "A line ends with CR and LF, not with LF alone",
	    [LINE_NUL] = "A command holds a NUL octet",
	};

	smtp_bad(s, 500, "5.5.2", sentences[fault]);
}

static bool line_step(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;
	enum input_secrecy secrecy = smtp_auth_offered(s) && s->authenticated == NULL ? INPUT_SECRET : INPUT_OPEN;
	size_t maximum = own->state == SMTP_STATE_AUTH ? SMTP_AUTH_MAX : SMTP_COMMAND_MAX;
	size_t behind;

	if (!input_line(&own->input, &own->line, maximum, secrecy))
		return false;
	if (own->state == SMTP_STATE_AUTH)
		smtp_auth_line(s, own->line.fault, view_buf(&own->line.line));
	else if (own->line.fault != LINE_GOOD)
		line_complaint(s, own->line.fault);
	else
		smtp_command(s, view_buf(&own->line.line));
	input_line_done(&own->line, secrecy);
	behind = input_view(&own->input).length;
	if (own->state == SMTP_STATE_TLS && behind > 0) {
		own->injected = true;
		input_take(&own->input, behind);
	}
	return true;
}

/* Works on what has come; false: more is needed. */
static bool step(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;

	if (own->state == SMTP_STATE_DATA)
		return smtp_text_step(s);
	if (own->in_chunk)
		return smtp_chunk_step(s);
	return input_view(&own->input).length > 0 && line_step(s);
}

static bool may_work(const struct smtp_server *s)
{
	const struct smtp_server_own *own = s->own;

	return !own->waiting && own->state != SMTP_STATE_TLS && own->state != SMTP_STATE_CLOSED &&
	       s->output.length <= SMTP_OUTPUT_MAX;
}

/* A session that waits for its client holds no buffers that only work needs: there may be thousands. */
static void give_back(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;

	buf_release(&own->text);
	if (own->state == SMTP_STATE_CLOSED)
		input_release(&own->input);
	else
		input_rest(&own->input);
	if (own->line.line.length == 0 && own->line.line.capacity > KEPT_CAPACITY)
		buf_release(&own->line.line);
	if (s->output.length == 0 && s->output.capacity > 2 * KEPT_CAPACITY)
		buf_release(&s->output);
}

bool smtp_server_next(struct smtp_server *s, struct smtp_event *event)
{
	do {
		if (take_due(s->own, event))
			return true;
	} while (may_work(s) && step(s));
	give_back(s);
	return false;
}

bool smtp_server_waits(const struct smtp_server *s)
{
	return s->own->waiting;
}

/* ---- what the driver decides ----------------------------------------------------------------------------- */

void smtp_server_reply(struct smtp_server *s, int code, const char *status, const char *text)
{
	struct smtp_server_own *own = s->own;

	if (!own->waiting)
		return;
	own->waiting = false;
	switch (own->asked) {
	case SMTP_EVENT_BEGIN:
		smtp_begin_verdict(s, code, status, text);
		break;
	case SMTP_EVENT_END:
		smtp_end_verdict(s, code, status, text);
		break;
	default:
		if (own->asked == SMTP_EVENT_AUTH)
			smtp_auth_verdict(s, code);
		else if (own->asked == SMTP_EVENT_SENDER)
			smtp_sender_verdict(s, code);
		else if (own->asked == SMTP_EVENT_RECIPIENT)
			smtp_recipient_verdict(s, code);
		smtp_answer(s, code, status, text);
		if (code >= 500)
			count_error(s);
	}
	if (code == 421)
		smtp_close(s, "a verdict of 421");
}

void smtp_server_turn_away(struct smtp_server *s, int code, const char *status, const char *text)
{
	buf_clear(&s->output);
	smtp_answer(s, code, status, text);
	smtp_close(s, "turned away");
}

void smtp_server_end(struct smtp_server *s, const char *status, const char *text)
{
	if (s->own->state == SMTP_STATE_CLOSED)
		return;
	smtp_answer(s, 421, status, text);
	smtp_close(s, "ended from here");
}

void smtp_server_secured(struct smtp_server *s, enum smtp_secured how)
{
	struct smtp_server_own *own = s->own;

	if (own->state == SMTP_STATE_CLOSED)
		return;
	s->secured = how == SMTP_SECURED_CLEAN;
	if (how == SMTP_SECURED_INJECTED || own->injected) {
		smtp_answer(s, 554, "5.7.0", "Commands came in clear behind STARTTLS");
		smtp_close(s, "plaintext behind STARTTLS");
		return;
	}
	free(s->helo);
	free(s->authenticated);
	s->helo = NULL;
	s->authenticated = NULL;
	s->extended = false;
	own->state = SMTP_STATE_GREETED;
}
