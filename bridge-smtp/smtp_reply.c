#include "bridge-smtp/smtp_reply.h"

#include "lib/text.h"

/* ---- reading --------------------------------------------------------------------------------------------- */

void smtp_reply_reader_init(struct smtp_reply_reader *r)
{
	*r = (struct smtp_reply_reader){.state = SMTP_REPLY_MORE};
	buf_init(&r->reply.text, SMTP_REPLY_MAX);
	line_reader_init(&r->line, SMTP_REPLY_LINE, NEWLINES_STRICT);
}

void smtp_reply_reader_release(struct smtp_reply_reader *r)
{
	buf_release(&r->reply.text);
	line_reader_release(&r->line);
}

void smtp_reply_next(struct smtp_reply_reader *r)
{
	if (r->state != SMTP_REPLY_WHOLE)
		return;
	r->state = SMTP_REPLY_MORE;
	r->reply.code = 0;
	r->reply.status[0] = '\0';
	buf_clear(&r->reply.text);
	r->lines = 0;
	r->octets = 0;
}

static enum smtp_reply_state nonsense(struct smtp_reply_reader *r, const char *what)
{
	r->state = SMTP_REPLY_NONSENSE;
	r->reply.code = 0;
	r->reply.status[0] = '\0';
	buf_clear(&r->reply.text);
	buf_format(&r->reply.text, "%s: ", what);
	buf_view(&r->reply.text, view_buf(&r->line.line));
	return r->state;
}

static int code_of(struct view line)
{
	if (line.length < 3 || line.bytes[0] < '2' || line.bytes[0] > '5' || !text_is_digit(line.bytes[1]) ||
	    !text_is_digit(line.bytes[2]))
		return 0;
	return (line.bytes[0] - '0') * 100 + (line.bytes[1] - '0') * 10 + line.bytes[2] - '0';
}

/* "." and one to three digits at AT: where they end, 0: there are none. */
static size_t status_part(struct view v, size_t at)
{
	size_t first = at + 1;

	if (at >= v.length || v.bytes[at] != '.')
		return 0;
	at = first;
	while (at < v.length && at < first + 3 && text_is_digit(v.bytes[at]))
		at++;
	return at == first ? 0 : at;
}

/* The length of the enhanced status code that WORDS begin with; 0: none of this class. */
static size_t status_length(struct view words, uint8_t class)
{
	size_t at = words.length > 0 && words.bytes[0] == class ? status_part(words, 1) : 0;

	at = at == 0 ? 0 : status_part(words, at);
	return at > 0 && (at == words.length || words.bytes[at] == ' ') ? at : 0;
}

/* RFC 2034 3: the status stands in every line behind the code. */
static struct view without_status(struct smtp_reply *reply, struct view words, uint8_t class)
{
	size_t length = status_length(words, class);

	if (length == 0)
		return words;
	if (reply->status[0] == '\0') {
		memcpy(reply->status, words.bytes, length);
		reply->status[length] = '\0';
	} else if (!view_is(view_of(words.bytes, length), reply->status)) {
		return words;
	}
	return view_from(words, length + 1);
}

static void add_words(struct smtp_reply_reader *r, struct view words)
{
	if (r->lines > 1)
		buf_byte(&r->reply.text, '\n');
	for (size_t i = 0; i < words.length; i++)
		buf_byte(&r->reply.text, words.bytes[i] == '\n' ? ' ' : words.bytes[i]);
}

static enum smtp_reply_state take_line(struct smtp_reply_reader *r)
{
	struct view line = view_buf(&r->line.line);
	int code = code_of(line);

	if (code == 0 || (line.length > 3 && line.bytes[3] != ' ' && line.bytes[3] != '-'))
		return nonsense(r, "no reply");
	if (r->lines > 0 && code != r->reply.code)
		return nonsense(r, "a reply with two codes");
	if (++r->lines > SMTP_REPLY_LINES)
		return nonsense(r, "a reply of too many lines");
	r->reply.code = code;
	add_words(r, without_status(&r->reply, view_from(line, 4), line.bytes[0]));
	r->state = line.length > 3 && line.bytes[3] == '-' ? SMTP_REPLY_MORE : SMTP_REPLY_WHOLE;
	line_reader_next(&r->line);
	return r->state;
}

enum smtp_reply_state smtp_reply_feed(struct smtp_reply_reader *r, struct view *in)
{
	while (r->state == SMTP_REPLY_MORE && in->length > 0) {
		size_t room = SMTP_REPLY_MAX - r->octets;
		struct view part = view_of(in->bytes, in->length < room ? in->length : room);
		size_t before = part.length;
		bool whole = line_reader_feed(&r->line, &part);

		r->octets += before - part.length;
		*in = view_from(*in, before - part.length);
		if (whole)
			take_line(r);
		if (r->state == SMTP_REPLY_MORE && r->octets == SMTP_REPLY_MAX)
			nonsense(r, "a reply that is too long");
	}
	return r->state;
}

/* ---- judging --------------------------------------------------------------------------------------------- */

enum outcome smtp_outcome(int code)
{
	if (code >= 200 && code <= 299)
		return OUTCOME_DONE;
	return code >= 500 && code <= 599 ? OUTCOME_NEVER : OUTCOME_LATER;
}

/* Text for a verdict: lines are joined by a blank. */
static void verdict_text(struct smtp_verdict *v, struct view words)
{
	struct buf joined;
	struct buf visible;

	buf_init(&joined, SIZE_MAX);
	buf_init(&visible, LIMIT_REASON - 1);
	buf_view(&joined, words);
	for (size_t i = 0; i < joined.length; i++)
		if (joined.bytes[i] == '\n')
			joined.bytes[i] = ' ';
	text_visible(view_buf(&joined), LIMIT_REASON - 1, &visible);
	snprintf(v->text, sizeof v->text, "%s", buf_string(&visible));
	buf_release(&visible);
	buf_release(&joined);
}

void smtp_verdict_of(struct smtp_verdict *v, const struct smtp_reply *r)
{
	static const char *const classes[] = {
	    [OUTCOME_DONE] = "2.0.0", [OUTCOME_LATER] = "4.0.0", [OUTCOME_NEVER] = "5.0.0"};

	*v = (struct smtp_verdict){.outcome = smtp_outcome(r->code), .code = r->code};
	snprintf(v->status, sizeof v->status, "%s", r->status[0] != '\0' ? r->status : classes[v->outcome]);
	verdict_text(v, view_buf(&r->text));
}

void smtp_verdict_set(struct smtp_verdict *v, enum outcome outcome, const char *status, const char *format, ...)
{
	char text[2 * LIMIT_REASON];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	*v = (struct smtp_verdict){.outcome = outcome};
	snprintf(v->status, sizeof v->status, "%s", status);
	verdict_text(v, view_text(text));
}
