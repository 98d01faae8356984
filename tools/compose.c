#include "tools/compose.h"

#include "lib/limits.h"
#include "lib/text.h"
#include "queue/canonical.h"
#include "queue/header.h"

/* ---- the single dot --------------------------------------------------------------------------------------
 */

enum { DOT_START, DOT_DOT, DOT_DOT_CR, DOT_INSIDE };

/* Takes one octet; what was held back is given out as soon as the line turns out to be more than a dot. */
static void dot_step(struct dot_source *s, uint8_t c)
{
	if ((s->place == DOT_DOT || s->place == DOT_DOT_CR) && c == '\n') {
		s->ended = true;
		return;
	}
	if (s->place == DOT_DOT && c == '\r') {
		s->place = DOT_DOT_CR;
		return;
	}
	if (s->place == DOT_START && c == '.') {
		s->place = DOT_DOT;
		return;
	}
	if (s->place == DOT_DOT || s->place == DOT_DOT_CR)
		buf_byte(&s->ready, '.');
	if (s->place == DOT_DOT_CR)
		buf_byte(&s->ready, '\r');
	buf_byte(&s->ready, c);
	s->place = c == '\n' ? DOT_START : DOT_INSIDE;
}

/* Inside a line nothing can happen before its end: that much goes at once. */
static size_t dot_run(struct dot_source *s, struct view v)
{
	const uint8_t *end = memchr(v.bytes, '\n', v.length);
	size_t run = end == NULL ? v.length : (size_t)(end - v.bytes);

	buf_append(&s->ready, v.bytes, run);
	return run;
}

static enum outcome dot_fill(struct dot_source *s, struct error *err)
{
	uint8_t chunk[8192];
	size_t got;
	enum outcome outcome = source_read(s->below, chunk, sizeof chunk, &got, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < got && !s->ended; i++) {
		if (s->place == DOT_INSIDE)
			i += dot_run(s, view_of(chunk + i, got - i));
		if (i < got)
			dot_step(s, chunk[i]);
	}
	if (outcome == OUTCOME_DONE && got == 0) {
		/* A last line without its end is text, whatever it is. */
		if (s->place == DOT_DOT || s->place == DOT_DOT_CR)
			buf_byte(&s->ready, '.');
		if (s->place == DOT_DOT_CR)
			buf_byte(&s->ready, '\r');
		s->ended = true;
	}
	return outcome;
}

static enum outcome dot_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct dot_source *s = (struct dot_source *)self;

	while (s->ready.length == 0 && !s->ended) {
		enum outcome outcome = dot_fill(s, err);

		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	*got = size < s->ready.length ? size : s->ready.length;
	if (*got > 0)
		memcpy(bytes, s->ready.bytes, *got);
	buf_consume(&s->ready, *got);
	return OUTCOME_DONE;
}

void dot_source_init(struct dot_source *s, struct source *below)
{
	*s = (struct dot_source){.source = {dot_read}, .below = below, .place = DOT_START};
	buf_init(&s->ready, SIZE_MAX);
}

void dot_source_release(struct dot_source *s)
{
	buf_release(&s->ready);
}

/* ---- looking at the header section -----------------------------------------------------------------------
 */

/* A time of day sets the mbox line apart from a sentence that happens to begin with "From". */
static bool has_time_of_day(struct view line)
{
	for (size_t i = 0; i + 4 < line.length; i++)
		if (text_is_digit(line.bytes[i]) && text_is_digit(line.bytes[i + 1]) && line.bytes[i + 2] == ':' &&
		    text_is_digit(line.bytes[i + 3]) && text_is_digit(line.bytes[i + 4]))
			return true;
	return false;
}

static bool view_starts(struct view v, const char *text)
{
	struct view wanted = view_text(text);

	return v.length >= wanted.length && view_equal(view_of(v.bytes, wanted.length), wanted);
}

/* A bare CR is no line end: what looks like an mbox line may be a whole message of an old Macintosh. */
static bool has_bare_cr(struct view line)
{
	const uint8_t *cr = line.length == 0 ? NULL : memchr(line.bytes, '\r', line.length);

	return cr != NULL && cr + 1 != line.bytes + line.length;
}

/* The section without its mbox line and the ">From " lines that older hops put behind one. */
static struct view skip_mbox_lines(struct view section)
{
	struct view rest = section;
	struct view line;

	if (!view_starts(section, "From ") || !view_line(&rest, &line) || !has_time_of_day(line) || has_bare_cr(line))
		return section;
	do
		section = rest;
	while (view_starts(rest, ">From ") && view_line(&rest, &line));
	return section;
}

static bool name_is(struct view name, const char *text)
{
	return view_same(name, view_text(text));
}

static bool is_resent(struct view name)
{
	static const char prefix[] = "Resent-";

	return name.length > sizeof prefix - 1 &&
	       view_same(view_of(name.bytes, sizeof prefix - 1), view_text(prefix));
}

/* NAME, or its Resent- form when the message was resent. */
static bool role_is(const struct compose *c, struct view name, const char *text)
{
	return c->resent ? is_resent(name) && name_is(view_from(name, strlen("Resent-")), text) : name_is(name, text);
}

static void look(struct compose *c)
{
	struct view section = skip_mbox_lines(view_buf(&c->section));
	struct view rest = section;
	struct view name;
	struct view body;

	while (header_next(&rest, &name, &body))
		c->resent = c->resent || is_resent(name);
	c->rest = rest;
	c->fields = view_of(section.bytes, section.length - rest.length);
	rest = c->fields;
	while (header_next(&rest, &name, &body)) {
		c->has_from = c->has_from || role_is(c, name, "From");
		c->has_date = c->has_date || role_is(c, name, "Date");
		c->has_id = c->has_id || role_is(c, name, "Message-ID");
		c->bulk = c->bulk || (name_is(name, "Precedence") && header_is_bulk(body));
	}
}

/*
 * Text without an empty line is a long "section"; what counts is whether its fields were all read: a whole
 * line behind them is no field, part of a line may be one that was cut.
 */
static bool fields_ended(const struct compose *c)
{
	return c->fields.length == 0 || (c->rest.length > 0 && memchr(c->rest.bytes, '\n', c->rest.length) != NULL);
}

enum outcome compose_read(struct compose *c, struct source *in, struct error *err)
{
	enum outcome outcome;

	*c = (struct compose){.resent = false};
	buf_init(&c->section, LIMIT_HEADER_SECTION);
	buf_init(&c->extra, COPY_CHUNK);
	outcome = header_read(in, &c->section, &c->extra, err);
	look(c);
	if (outcome == OUTCOME_NEVER && c->section.length == LIMIT_HEADER_SECTION && fields_ended(c))
		outcome = OUTCOME_DONE;
	return outcome;
}

void compose_release(struct compose *c)
{
	buf_release(&c->section);
	buf_release(&c->extra);
}

enum outcome compose_recipients(
    const struct compose *c, address_visit *visit, compose_complain *complain, void *context, struct error *err)
{
	struct view rest = c->fields;
	struct view name;
	struct view body;
	enum outcome outcome = OUTCOME_DONE;

	while (header_next(&rest, &name, &body)) {
		struct error why = ERROR_NONE;

		if (!role_is(c, name, "To") && !role_is(c, name, "Cc") && !role_is(c, name, "Bcc"))
			continue;
		if (address_list(body, visit, context, &why) == OUTCOME_DONE)
			continue;
		error_context(&why, "the header field %.*s", (int)name.length, (const char *)name.bytes);
		complain(context, &why);
		if (outcome == OUTCOME_DONE) {
			outcome = why.outcome;
			*err = why;
		}
	}
	return outcome;
}

/* ---- what is missing -------------------------------------------------------------------------------------
 */

static void quoted_string(struct view v, struct buf *out)
{
	buf_byte(out, '"');
	for (size_t i = 0; i < v.length; i++) {
		if (v.bytes[i] == '"' || v.bytes[i] == '\\')
			buf_byte(out, '\\');
		buf_byte(out, v.bytes[i]);
	}
	buf_byte(out, '"');
}

/* Is V made of atoms and single blanks between them (RFC 5322 3.2.3)? */
static bool is_phrase(struct view v)
{
	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];
		bool blank = c == ' ' && i > 0 && i + 1 < v.length && v.bytes[i - 1] != ' ';

		if (!blank && !text_is_alpha(c) && !text_is_digit(c) &&
		    (c == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~", c)))
			return false;
	}
	return true;
}

/* A display name, however it is spelt, with a blank behind it. */
static void display_name(const char *name, struct buf *out)
{
	struct buf visible;
	struct view v;

	if (name == NULL || name[0] == '\0')
		return;
	buf_init(&visible, SIZE_MAX);
	text_visible(view_text(name), 400, &visible);
	v = view_buf(&visible);
	if (view_has_8bit(v)) {
		header_encode(v, out);
		buf_text(out, "\r\n");
	} else if (is_phrase(v) && strstr(name, "=?") == NULL) {
		buf_view(out, v);
	} else {
		quoted_string(v, out);
	}
	buf_byte(out, ' ');
	buf_release(&visible);
}

void compose_additions(
    const struct compose *c, enum compose_mode mode, const struct compose_author *author, struct buf *out)
{
	const char *prefix = c->resent ? "Resent-" : "";
	char date[DATE_TEXT];

	/* A message that was resent before is complete, unless it is being resent now. */
	if (c->resent && mode == COMPOSE_AS_IS)
		return;
	if (!c->has_from) {
		bool named = author->name != NULL && author->name[0] != '\0';

		buf_format(out, "%sFrom: ", prefix);
		display_name(author->name, out);
		buf_format(out, named ? "<%s>\r\n" : "%s\r\n", author->address);
	}
	if (!c->has_date) {
		date_rfc5322(author->date, date);
		buf_format(out, "%sDate: %s\r\n", prefix, date);
	}
	if (!c->has_id)
		buf_format(out, "%sMessage-ID: <%s>\r\n", prefix, author->id);
}

/* ---- writing ---------------------------------------------------------------------------------------------
 */

static bool is_left_out(enum compose_mode mode, struct view name)
{
	return mode == COMPOSE_FROM_HEADER && (name_is(name, "Bcc") || name_is(name, "Resent-Bcc"));
}

static enum outcome write_fields(const struct compose *c, enum compose_mode mode, struct sink *out, struct error *err)
{
	struct view rest = c->fields;
	enum outcome outcome = OUTCOME_DONE;

	while (outcome == OUTCOME_DONE) {
		struct view field = rest;
		struct view name;
		struct view body;

		if (!header_next(&rest, &name, &body))
			break;
		field.length -= rest.length;
		if (!is_left_out(mode, name))
			outcome = sink_view(out, field, err);
	}
	return outcome;
}

/* Does the message need an empty line behind what is put in front of it? */
static bool has_no_header(const struct compose *c)
{
	return c->fields.length == 0 && !view_starts(c->rest, "\n") && !view_starts(c->rest, "\r\n");
}

enum outcome compose_write(const struct compose *c, enum compose_mode mode, struct view additions, struct source *in,
    struct sink *out, struct error *err)
{
	struct canonical_sink canonical;
	enum outcome outcome;

	/* What is added goes past the conversion, which judges line ends by the text that was handed in. */
	canonical_sink_init(&canonical, out);
	outcome = sink_view(out, additions, err);
	if (outcome == OUTCOME_DONE && has_no_header(c))
		outcome = sink_write(out, "\r\n", 2, err);
	if (outcome == OUTCOME_DONE)
		outcome = write_fields(c, mode, &canonical.sink, err);
	if (outcome == OUTCOME_DONE)
		outcome = sink_view(&canonical.sink, c->rest, err);
	if (outcome == OUTCOME_DONE)
		outcome = sink_view(&canonical.sink, view_buf(&c->extra), err);
	if (outcome == OUTCOME_DONE)
		outcome = stream_copy(in, &canonical.sink, NULL, err);
	return outcome;
}
