/*
 * The text of a message, by DATA (RFC 5321 4.1.1.4) or in chunks by BDAT (RFC 3030).
 *
 * NUL octets are taken in both: the store holds them exactly, they end nothing, and the client's side never sends
 * such a text by DATA. A chunk has to keep to CRLF like any text, whatever the options say of line ends; under
 * BODY=BINARYMIME a lone CR may stand in it, but no lone LF, which the store could not tell from CRLF later.
 */
#include "bridge-smtp/smtp_server_own.h"
#include "lib/text.h"

/* What no session can bring: years, on the fastest line. Rather than swallow it the session is ended. */
#define CHUNK_ABSURD ((uint64_t)1 << 40)

/* ---- refusing -------------------------------------------------------------------------------------------- */

static void refusal_set(struct smtp_server_own *own, int code, const char *status, const char *text, size_t copies)
{
	own->refused = true;
	own->refusal_code = code;
	snprintf(own->refusal_status, sizeof own->refusal_status, "%s", status == NULL ? "" : status);
	buf_clear(&own->refusal_text);
	buf_append(&own->refusal_text, text,
	    strlen(text) < own->refusal_text.maximum ? strlen(text) : own->refusal_text.maximum);
	own->refusal_copies = copies;
}

/* The message is dropped now; what still comes of it is swallowed, and then the client hears why. */
static void refuse_text(struct smtp_server *s, int code, const char *status, const char *text)
{
	struct smtp_server_own *own = s->own;
	enum smtp_server_state state = own->state;
	bool whole = !own->in_chunk || own->chunk.last;

	/* RFC 2033 4.2: one answer for each recipient where the text ends. */
	refusal_set(own, code, status, text, smtp_is_lmtp(s) && whole ? own->taken : 1);
	smtp_transaction_end(own);
	if (state == SMTP_STATE_DATA)
		own->state = SMTP_STATE_DATA;
}

static void refuse_size(struct smtp_server *s)
{
	char text[100];

	snprintf(text, sizeof text, "The message has more than the %llu octets that are taken here",
	    (unsigned long long)s->options->max_size);
	refuse_text(s, 552, "5.3.4", text);
}

static void refuse_newlines(struct smtp_server *s)
{
	refuse_text(s, 550, "5.6.11", "The message holds a CR or LF that stands alone; lines end with CR LF");
}

static void refusal_answer(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;
	const char *status = own->refusal_status[0] == '\0' ? NULL : own->refusal_status;

	own->refused = false;
	for (; own->refusal_copies > 0; own->refusal_copies--)
		smtp_answer(s, own->refusal_code, status, buf_string(&own->refusal_text));
	buf_release(&own->refusal_text);
}

/* ---- what both have -------------------------------------------------------------------------------------- */

static void text_begin(struct smtp_server *s, bool chunked)
{
	struct smtp_server_own *own = s->own;

	own->chunked = chunked;
	own->size = 0;
	own->text_over = false;
	own->chunk_cr = false;
	dot_reader_init(&own->dots, s->options->newlines);
}

static uint64_t room_left(const struct smtp_server *s)
{
	return s->options->max_size == 0 ? UINT64_MAX : s->options->max_size - s->own->size;
}

static void raise_text(struct smtp_server *s, struct view v)
{
	s->own->size += v.length;
	if (v.length > 0)
		smtp_raise(s, (struct smtp_event){.kind = SMTP_EVENT_TEXT, .bytes = v});
}

static void raise_end(struct smtp_server *s)
{
	s->own->begun = false;
	s->own->answers_due = smtp_is_lmtp(s) ? s->own->taken : 1;
	smtp_raise(s, (struct smtp_event){.kind = SMTP_EVENT_END});
}

void smtp_end_verdict(struct smtp_server *s, int code, const char *status, const char *text)
{
	struct smtp_server_own *own = s->own;

	smtp_answer(s, code, status, text);
	if (--own->answers_due > 0)
		own->waiting = true;
	else
		smtp_transaction_end(own);
}

void smtp_begin_verdict(struct smtp_server *s, int code, const char *status, const char *text)
{
	struct smtp_server_own *own = s->own;
	bool go = code == 354 || code / 100 == 2;

	if (go && own->chunked) {
		own->state = SMTP_STATE_BDAT;
	} else if (go) {
		own->state = SMTP_STATE_DATA;
		smtp_answer(s, 354, NULL, text);
	} else if (own->chunked && code != 421) {
		refuse_text(s, code, status, text);
	} else {
		smtp_answer(s, code, status, text);
		smtp_transaction_end(own);
	}
}

/* ---- DATA ------------------------------------------------------------------------------------------------ */

void smtp_do_data(struct smtp_server *s, struct view arguments)
{
	if (arguments.length > 0) {
		smtp_bad(s, 501, "5.5.4", "Nothing follows this command");
	} else if (s->own->body == BODY_BINARY) {
		smtp_bad(s, 503, "5.5.1", "A message with BODY=BINARYMIME comes by BDAT");
	} else {
		text_begin(s, false);
		smtp_raise(s, (struct smtp_event){.kind = SMTP_EVENT_BEGIN});
	}
}

/*
 * Gives out what has come of the text, up to what it is refused for: the same octets, however the input was cut.
 */
static void text_judge(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;
	struct view v = view_buf(&own->text);
	bool faulty = s->options->newlines == NEWLINES_STRICT && (own->dots.bare_cr || own->dots.bare_lf);
	uint64_t room = room_left(s);

	if (faulty)
		v.length = own->dots.fault_at;
	if (v.length > room) {
		raise_text(s, view_of(v.bytes, (size_t)room));
		refuse_size(s);
		return;
	}
	raise_text(s, v);
	if (faulty)
		refuse_newlines(s);
}

static void text_end(struct smtp_server *s)
{
	buf_release(&s->own->text); /* the verdict may take as long as a disk */
	if (s->own->refused) {
		refusal_answer(s);
		s->own->state = SMTP_STATE_READY;
	} else {
		raise_end(s);
	}
}

bool smtp_text_step(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;
	struct view in = input_view(&own->input);
	size_t before = in.length;

	if (own->text_over) {
		text_end(s);
		return true;
	}
	if (before == 0)
		return false;
	buf_clear(&own->text);
	own->text_over = dot_reader_feed(&own->dots, &in, &own->text);
	input_take(&own->input, before - in.length);
	if (!own->refused)
		text_judge(s);
	return true;
}

/* ---- BDAT ------------------------------------------------------------------------------------------------ */

/* Where a chunk ends that has no size nobody can know: what follows would be read as commands. */
static bool chunk_begin(struct smtp_server *s, struct view arguments)
{
	struct smtp_server_own *own = s->own;

	if (!smtp_chunk_parse(&own->chunk, arguments)) {
		smtp_answer(s, 501, "5.5.4", "BDAT has a number of octets, and LAST or nothing; good bye");
		smtp_close(s, "BDAT without a size");
		return false;
	}
	if (own->chunk.size > CHUNK_ABSURD) {
		smtp_answer(s, 552, "5.3.4", "No message is as large as that; good bye");
		smtp_close(s, "BDAT of an absurd size");
		return false;
	}
	own->in_chunk = true;
	own->chunk_left = own->chunk.size;
	return true;
}

void smtp_do_bdat(struct smtp_server *s, struct view arguments)
{
	bool first = s->own->state == SMTP_STATE_RECIPIENT;

	if (!chunk_begin(s, arguments))
		return;
	if (first)
		text_begin(s, true);
	if (s->own->chunk.size > room_left(s))
		refuse_size(s);
	else if (first)
		smtp_raise(s, (struct smtp_event){.kind = SMTP_EVENT_BEGIN});
}

void smtp_stray_bdat(struct smtp_server *s, struct view arguments)
{
	struct smtp_server_own *own = s->own;

	if (!chunk_begin(s, arguments))
		return;
	if (own->state == SMTP_STATE_SENDER && own->tried > 0 && !smtp_is_lmtp(s))
		refusal_set(own, 554, "5.5.1", "No recipient was taken", 1);
	else if (own->state == SMTP_STATE_SENDER)
		refusal_set(own, 503, "5.5.1", "RCPT comes first", 1);
	else
		refusal_set(own, 503, "5.5.1", "MAIL and RCPT come first", 1);
}

/* How much of V stands before a CR or LF that may not stand alone; of a CR, behind it, where it is known. */
static size_t chunk_clean(struct smtp_server_own *own, struct view v)
{
	bool binary = own->body == BODY_BINARY;
	bool after_cr = own->chunk_cr;
	size_t at;

	for (at = 0; at < v.length; at++) {
		size_t plain = after_cr ? 0 : line_plain(view_from(v, at));
		uint8_t c;

		at += plain;
		if (at == v.length)
			break;
		c = v.bytes[at];
		if (c == '\n' ? !after_cr : after_cr && !binary)
			break;
		after_cr = c == '\r';
	}
	own->chunk_cr = after_cr;
	return at;
}

static void chunk_end(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;
	char text[60];

	if (!own->refused && own->chunk.last && own->chunk_cr && own->body != BODY_BINARY)
		refuse_newlines(s);
	own->in_chunk = false;
	if (own->refused) {
		refusal_answer(s);
	} else if (own->chunk.last) {
		raise_end(s);
	} else {
		snprintf(text, sizeof text, "%llu octets taken", (unsigned long long)own->chunk.size);
		smtp_answer(s, 250, "2.0.0", text);
	}
}

bool smtp_chunk_step(struct smtp_server *s)
{
	struct smtp_server_own *own = s->own;
	struct view in = input_view(&own->input);
	size_t clean;

	if (own->chunk_left == 0) {
		chunk_end(s);
		return true;
	}
	if (in.length == 0)
		return false;
	if (in.length > own->chunk_left)
		in.length = (size_t)own->chunk_left;
	input_take(&own->input, in.length);
	own->chunk_left -= in.length;
	if (own->refused)
		return true;
	clean = chunk_clean(own, in);
	raise_text(s, view_of(in.bytes, clean));
	if (clean < in.length)
		refuse_newlines(s);
	return true;
}
