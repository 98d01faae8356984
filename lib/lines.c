#include "lib/lines.h"

/* ---- lines ----------------------------------------------------------------------------------------------- */

void line_reader_init(struct line_reader *r, size_t maximum, enum newlines newlines)
{
	*r = (struct line_reader){.newlines = newlines};
	buf_init(&r->line, maximum);
}

void line_reader_release(struct line_reader *r)
{
	buf_release(&r->line);
}

void line_reader_next(struct line_reader *r)
{
	buf_clear(&r->line);
	r->fault = LINE_GOOD;
	r->after_cr = false;
	r->complete = false;
}

static void line_fault(struct line_reader *r, enum line_fault fault)
{
	if (r->fault == LINE_GOOD)
		r->fault = fault;
}

static void line_add(struct line_reader *r, uint8_t c)
{
	if (r->line.length < r->line.maximum)
		buf_byte(&r->line, c);
	else
		line_fault(r, LINE_TOO_LONG);
}

/* Takes one octet; true: it ended the line. */
static bool line_step(struct line_reader *r, uint8_t c)
{
	bool after_cr = r->after_cr;

	r->after_cr = c == '\r';
	if (c == '\n' && (after_cr || r->newlines == NEWLINES_NORMALISE))
		return true;
	if (after_cr) {
		line_fault(r, LINE_BARE_CR);
		line_add(r, '\r');
	}
	if (c == '\r')
		return false; /* held until what follows is known */
	if (c == '\n')
		line_fault(r, LINE_BARE_LF);
	else if (c == '\0')
		line_fault(r, LINE_NUL);
	line_add(r, c);
	return false;
}

/* What needs no thought goes at once. */
static size_t line_run(struct line_reader *r, const uint8_t *bytes, size_t length)
{
	size_t room = r->line.maximum - r->line.length;
	size_t run = 0;

	while (run < length && bytes[run] != '\r' && bytes[run] != '\n' && bytes[run] != '\0')
		run++;
	if (run > room)
		line_fault(r, LINE_TOO_LONG);
	buf_append(&r->line, bytes, run < room ? run : room);
	return run;
}

size_t line_plain(struct view v)
{
	size_t at = 0;

	/* In steps: of a text that is all CR the whole rest would be searched for LF at every octet. */
	while (at < v.length) {
		size_t reach = v.length - at < 1024 ? v.length - at : 1024;
		const uint8_t *lf = memchr(v.bytes + at, '\n', reach);
		const uint8_t *cr;

		if (lf != NULL)
			reach = (size_t)(lf - v.bytes) - at;
		cr = memchr(v.bytes + at, '\r', reach);
		if (cr != NULL)
			return (size_t)(cr - v.bytes);
		at += reach;
		if (lf != NULL)
			break;
	}
	return at;
}

struct view line_word(struct view *rest)
{
	struct view word = view_of(rest->bytes, 0);

	while (word.length < rest->length && word.bytes[word.length] != ' ')
		word.length++;
	*rest = view_from(*rest, word.length);
	while (rest->length > 0 && rest->bytes[0] == ' ')
		*rest = view_from(*rest, 1);
	return word;
}

struct view line_trimmed(struct view v)
{
	while (v.length > 0 && (v.bytes[v.length - 1] == ' ' || v.bytes[v.length - 1] == '\t'))
		v.length--;
	return v;
}

bool line_reader_feed(struct line_reader *r, struct view *in)
{
	size_t at = 0;

	while (at < in->length && !r->complete) {
		if (!r->after_cr)
			at += line_run(r, in->bytes + at, in->length - at);
		if (at < in->length)
			r->complete = line_step(r, in->bytes[at++]);
	}
	*in = view_from(*in, at);
	return r->complete;
}

/* ---- reading dot-terminated text ------------------------------------------------------------------------- */

void dot_reader_init(struct dot_reader *r, enum newlines newlines)
{
	*r = (struct dot_reader){.place = DOT_LINE_START, .newlines = newlines};
}

/* Inside a line nothing happens before a CR or LF, nor at a CRLF that no dot follows: that much goes at once. */
static size_t dot_run(const uint8_t *bytes, size_t length, struct buf *out)
{
	size_t run = 0;

	for (;;) {
		run += line_plain(view_of(bytes + run, length - run));
		if (length - run < 3 || bytes[run] != '\r' || bytes[run + 1] != '\n' || bytes[run + 2] == '.')
			break;
		run += 2;
	}
	buf_append(out, bytes, run);
	return run;
}

static void dot_fault(struct dot_reader *r, bool *which, const struct buf *out)
{
	if (!r->bare_cr && !r->bare_lf)
		r->fault_at = out->length;
	*which = true;
}

static void dot_lone_lf(struct dot_reader *r, struct buf *out)
{
	dot_fault(r, &r->bare_lf, out);
	buf_text(out, r->newlines == NEWLINES_NORMALISE ? "\r\n" : "\n");
	r->place = r->newlines == NEWLINES_NORMALISE ? DOT_AFTER_LF : DOT_TEXT;
}

/* An octet that is text, whatever stood before it in its line. */
static void dot_text(struct dot_reader *r, uint8_t c, struct buf *out)
{
	if (c == '\r') {
		r->place = DOT_CR;
	} else if (c == '\n') {
		dot_lone_lf(r, out);
	} else {
		buf_byte(out, c);
		r->place = DOT_TEXT;
	}
}

static void dot_step(struct dot_reader *r, uint8_t c, struct buf *out)
{
	switch (r->place) {
	case DOT_LINE_START:
	case DOT_AFTER_LF:
		if (c == '.') {
			r->lone_dot = r->place == DOT_AFTER_LF;
			r->place = DOT_DOT;
			return;
		}
		break;
	case DOT_CR:
		if (c == '\n') {
			buf_text(out, "\r\n");
			r->place = DOT_LINE_START;
			return;
		}
		dot_fault(r, &r->bare_cr, out);
		buf_byte(out, '\r');
		break;
	case DOT_DOT:
		if (c == '\r') {
			r->place = DOT_DOT_CR;
			return;
		}
		if (c == '\n')
			buf_byte(out, '.'); /* ".LF" is text */
		break;
	case DOT_DOT_CR:
		if (c == '\n' && !r->lone_dot) {
			r->ended = true;
			return;
		}
		if (c == '\n') {
			buf_text(out, ".\r\n");
			r->place = DOT_LINE_START;
			return;
		}
		dot_fault(r, &r->bare_cr, out);
		buf_byte(out, '\r');
		break;
	case DOT_TEXT:
		break;
	}
	dot_text(r, c, out);
}

bool dot_reader_feed(struct dot_reader *r, struct view *in, struct buf *out)
{
	size_t at = 0;

	while (at < in->length && !r->ended) {
		if (r->place == DOT_TEXT)
			at += dot_run(in->bytes + at, in->length - at, out);
		if (at < in->length)
			dot_step(r, in->bytes[at++], out);
	}
	*in = view_from(*in, at);
	return r->ended;
}

/* ---- writing it ------------------------------------------------------------------------------------------ */

static enum outcome dot_sink_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct dot_sink *s = (struct dot_sink *)self;
	const uint8_t *at = bytes;
	const uint8_t *end = at + size;
	enum outcome outcome = OUTCOME_DONE;

	while (at < end && outcome == OUTCOME_DONE) {
		const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
		const uint8_t *stop = lf == NULL ? end : lf + 1;

		if (s->line_start && *at == '.')
			outcome = sink_write(s->below, ".", 1, err);
		if (outcome == OUTCOME_DONE)
			outcome = sink_write(s->below, at, (size_t)(stop - at), err);
		s->line_start = lf != NULL && (lf > at ? lf[-1] == '\r' : s->after_cr);
		s->after_cr = stop[-1] == '\r';
		at = stop;
	}
	return outcome;
}

void dot_sink_init(struct dot_sink *s, struct sink *below)
{
	*s = (struct dot_sink){.sink = {dot_sink_write}, .below = below, .line_start = true};
}

enum outcome dot_sink_end(struct dot_sink *s, struct error *err)
{
	const char *end = s->line_start ? ".\r\n" : "\r\n.\r\n";

	return sink_write(s->below, end, strlen(end), err);
}
