#include "bridge-pop3/pop3_server.h"

#include "bridge-pop3/pop3_server_own.h"
#include "lib/alloc.h"
#include "lib/text.h"

/* RFC 2449 4: the first line of an answer has at most 512 octets; "-ERR", the code and CRLF take the rest. */
#define ANSWER_TEXT_MAX 470
/* What an idle session may keep of a buffer, so that the next command need not allocate. */
#define KEPT_CAPACITY 512
#define TLS_HANDSHAKE 0x16

/* ---- life ------------------------------------------------------------------------------------------------ */

void pop3_server_init(struct pop3_server *s, const struct pop3_server_options *options)
{
	struct pop3_server_own *own = mem_alloc(sizeof *own);

	*s = (struct pop3_server){.options = options, .own = own};
	buf_init(&s->output, SIZE_MAX);
	input_init(&own->input, POP3_INPUT_MAX);
	buf_init(&own->user, POP3_AUTH_MAX);
	buf_init(&own->password, POP3_AUTH_MAX);
	line_reader_init(&own->line, POP3_COMMAND_MAX, NEWLINES_STRICT);
	buf_format(&s->output, "+OK %s packetboat\r\n", options->name);
}

void pop3_server_release(struct pop3_server *s)
{
	struct pop3_server_own *own = s->own;

	buf_release(&s->output);
	free(s->user);
	if (own != NULL) {
		input_release(&own->input);
		buf_wipe(&own->line.line);
		buf_wipe(&own->user);
		buf_wipe(&own->password);
		free(own->marks);
	}
	free(own);
	*s = (struct pop3_server){.options = NULL};
}

/* ---- answers --------------------------------------------------------------------------------------------- */

void pop3_good(struct pop3_server *s)
{
	buf_text(&s->output, "+OK\r\n");
}

void pop3_error(struct pop3_server *s, const char *code, const char *text)
{
	buf_text(&s->output, "-ERR ");
	if (code != NULL)
		buf_format(&s->output, "[%s] ", code);
	if (s->own->utf8)
		text_visible(view_text(text), ANSWER_TEXT_MAX, &s->output);
	else
		text_visible_ascii(view_text(text), ANSWER_TEXT_MAX, &s->output);
	buf_text(&s->output, "\r\n");
}

void pop3_count_error(struct pop3_server *s)
{
	s->own->errors++;
	if (s->options->max_errors == 0 || s->own->errors < s->options->max_errors ||
	    s->own->state == POP3_STATE_CLOSED)
		return;
	pop3_error(s, NULL, "Too many errors in this session");
	pop3_close(s, "too many errors");
}

void pop3_bad(struct pop3_server *s, const char *text)
{
	pop3_error(s, NULL, text);
	pop3_count_error(s);
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static bool wants_verdict(enum pop3_event_kind kind)
{
	switch (kind) {
	case POP3_EVENT_LOGIN:
	case POP3_EVENT_RETRIEVE:
	case POP3_EVENT_UPDATE:
		return true;
	case POP3_EVENT_STLS:
	case POP3_EVENT_CLOSE:
		break;
	}
	return false;
}

void pop3_raise(struct pop3_server *s, struct pop3_event event)
{
	s->own->event = event;
	s->own->event_due = true;
	s->own->asked = event.kind;
	s->own->waiting = wants_verdict(event.kind);
}

void pop3_close(struct pop3_server *s, const char *reason)
{
	struct pop3_server_own *own = s->own;

	if (own->state == POP3_STATE_CLOSED)
		return;
	own->state = POP3_STATE_CLOSED;
	own->close_due = reason;
	own->waiting = false;
	pop3_login_over(s);
}

static bool take_due(struct pop3_server_own *own, struct pop3_event *event)
{
	if (own->event_due) {
		own->event_due = false;
		*event = own->event;
		return true;
	}
	if (own->close_due != NULL) {
		*event = (struct pop3_event){.kind = POP3_EVENT_CLOSE, .text = own->close_due};
		own->close_due = NULL;
		return true;
	}
	return false;
}

/* ---- the machine ----------------------------------------------------------------------------------------- */

void pop3_server_feed(struct pop3_server *s, struct view *in)
{
	struct pop3_server_own *own = s->own;

	if (own->state != POP3_STATE_CLOSED && own->state != POP3_STATE_TLS) {
		input_add(&own->input, in);
		return;
	}
	own->injected = own->injected || (own->state == POP3_STATE_TLS && in->length > 0);
	*in = view_from(*in, in->length);
}

static void line_complaint(struct pop3_server *s, enum line_fault fault)
{
	static const char *const sentences[] = {
	    [LINE_TOO_LONG] = "The line is too long",
	    [LINE_BARE_CR] = "A command holds a carriage return that ends no line",
	    [LINE_BARE_LF] = "A line ends with CR and LF, not with LF alone",
	    [LINE_NUL] = "A command holds a NUL octet",
	};

	pop3_bad(s, sentences[fault]);
}

/* The first octet of TLS (RFC 8446 5.1), which begins no command. No line end may ever follow: both would wait for the other. */
static bool began_with_tls(struct pop3_server *s)
{
	struct pop3_server_own *own = s->own;
	bool first = !own->spoken && !s->secured;

	own->spoken = true;
	if (!first || input_view(&own->input).bytes[0] != TLS_HANDSHAKE)
		return false;
	pop3_error(s, NULL, "TLS begins with STLS here");
	pop3_close(s, "the client began with TLS where STLS comes first; for that it needs a port of pop3s");
	return true;
}

/* Before the login any line may be a password, also where none should be sent. */
static void line_step(struct pop3_server *s)
{
	struct pop3_server_own *own = s->own;
	enum input_secrecy secrecy = own->state == POP3_STATE_TRANSACTION ? INPUT_OPEN : INPUT_SECRET;
	size_t maximum = own->state == POP3_STATE_AUTH ? POP3_AUTH_MAX : POP3_COMMAND_MAX;

	if (began_with_tls(s) || !input_line(&own->input, &own->line, maximum, secrecy))
		return;
	if (own->state == POP3_STATE_AUTH)
		pop3_auth_line(s, own->line.fault, view_buf(&own->line.line));
	else if (own->line.fault != LINE_GOOD)
		line_complaint(s, own->line.fault);
	else
		pop3_command(s, view_buf(&own->line.line));
	input_line_done(&own->line, secrecy);
	own->injected = own->injected || (own->state == POP3_STATE_TLS && input_view(&own->input).length > 0);
}

static bool may_work(const struct pop3_server *s)
{
	const struct pop3_server_own *own = s->own;

	return !pop3_server_waits(s) && own->state != POP3_STATE_TLS && own->state != POP3_STATE_CLOSED &&
	       s->output.length <= POP3_OUTPUT_MAX &&
	       (own->list != POP3_LIST_NONE || input_view(&own->input).length > 0);
}

/* A session that waits for its client holds no buffers that only work needs: there may be thousands. */
static void give_back(struct pop3_server *s)
{
	struct pop3_server_own *own = s->own;

	if (own->state == POP3_STATE_CLOSED)
		input_release(&own->input);
	else
		input_rest(&own->input);
	if (own->line.line.length == 0 && own->line.line.capacity > KEPT_CAPACITY)
		buf_release(&own->line.line);
	if (s->output.length == 0 && s->output.capacity > KEPT_CAPACITY && !pop3_server_waits(s))
		buf_release(&s->output);
}

bool pop3_server_next(struct pop3_server *s, struct pop3_event *event)
{
	for (;;) {
		if (take_due(s->own, event))
			return true;
		if (!may_work(s))
			break;
		if (s->own->list != POP3_LIST_NONE)
			pop3_list_step(s);
		else
			line_step(s);
	}
	give_back(s);
	return false;
}

bool pop3_server_waits(const struct pop3_server *s)
{
	return s->own->waiting || s->own->state == POP3_STATE_TEXT;
}

/* ---- what the driver decides ----------------------------------------------------------------------------- */

static bool takes_verdict(struct pop3_server_own *own, enum pop3_event_kind kind)
{
	bool due = own->waiting && own->asked == kind;

	own->waiting = own->waiting && !due;
	return due;
}

void pop3_server_opened(struct pop3_server *s, const struct pop3_listing *listing)
{
	struct pop3_server_own *own = s->own;

	if (!takes_verdict(own, POP3_EVENT_LOGIN))
		return;
	s->user = mem_string(buf_string(&own->user));
	pop3_login_over(s);
	own->state = POP3_STATE_TRANSACTION;
	own->listing = listing;
	for (size_t i = 0; i < listing->count; i++)
		own->octets += listing->octets(listing, i);
	pop3_good(s);
}

void pop3_server_refuse(struct pop3_server *s, const char *code, const char *text)
{
	struct pop3_server_own *own = s->own;
	bool login = takes_verdict(own, POP3_EVENT_LOGIN);

	if (!login && !takes_verdict(own, POP3_EVENT_RETRIEVE))
		return;
	/* What is said may be what the client said: it goes after it. */
	pop3_error(s, code, text);
	if (login)
		pop3_login_over(s);
	if (login && (code == NULL || strcmp(code, "AUTH") == 0))
		pop3_count_error(s);
}

void pop3_server_updated(struct pop3_server *s, enum outcome outcome, const char *text)
{
	if (!takes_verdict(s->own, POP3_EVENT_UPDATE))
		return;
	if (outcome == OUTCOME_DONE)
		pop3_good(s);
	else
		pop3_error(s, outcome == OUTCOME_LATER ? "SYS/TEMP" : "SYS/PERM", text);
	pop3_close(s, "QUIT");
}

void pop3_server_turn_away(struct pop3_server *s, const char *code, const char *text)
{
	buf_clear(&s->output);
	pop3_error(s, code, text);
	pop3_close(s, "turned away");
}

void pop3_server_end(struct pop3_server *s, const char *code, const char *text)
{
	struct pop3_server_own *own = s->own;

	if (own->state == POP3_STATE_CLOSED)
		return;
	if (text != NULL && own->state != POP3_STATE_TEXT && own->list == POP3_LIST_NONE)
		pop3_error(s, code, text);
	pop3_close(s, "ended from here");
}

void pop3_server_secured(struct pop3_server *s, enum pop3_secured how)
{
	struct pop3_server_own *own = s->own;

	if (own->state == POP3_STATE_CLOSED)
		return;
	s->secured = how == POP3_SECURED_CLEAN;
	if (how == POP3_SECURED_INJECTED || own->injected) {
		pop3_error(s, NULL, "Commands came in clear behind STLS");
		pop3_close(s, "plaintext behind STLS");
		return;
	}
	own->utf8 = false;
	own->state = POP3_STATE_GREETED;
}
