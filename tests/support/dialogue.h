/*
 * What dialogue.c asks of a protocol's adapter: a machine behind `open`, `feed`, `act`, `close`, which writes what it says
 * and what happens to it into a record.
 */
#ifndef TESTS_SUPPORT_DIALOGUE_H
#define TESTS_SUPPORT_DIALOGUE_H

#include <err.h>

#include "lib/alloc.h"
#include "lib/text.h"

/* The options of a script, word for word: an adapter reads them when a session is opened. */
struct dialogue_options {
	char **lines;
	size_t count, capacity;
	char *watched; /* " reset end "; null: all events */
};

struct dialogue_record {
	const struct dialogue_options *options;
	struct buf output;
	struct buf events; /* one a line */
	struct buf text;   /* of the event that is being gathered */
};

struct dialogue_engine {
	const char *name;
	/* Is this a thing to do, or an option? */
	bool (*is_action)(const char *words);
	/* Notes an option; false: there is none of that name. */
	bool (*option)(struct dialogue_options *options, const char *words);
	void *(*open)(const struct dialogue_options *options, struct dialogue_record *record);
	/* Gives BYTES to the machine, and lets it work as far as it can. */
	void (*feed)(void *session, struct view bytes);
	void (*act)(void *session, const char *words);
	void (*close)(void *session);
};

static inline void dialogue_record_init(struct dialogue_record *r)
{
	*r = (struct dialogue_record){.options = NULL};
	buf_init(&r->output, SIZE_MAX);
	buf_init(&r->events, SIZE_MAX);
	buf_init(&r->text, SIZE_MAX);
}

static inline void dialogue_record_release(struct dialogue_record *r)
{
	buf_release(&r->output);
	buf_release(&r->events);
	buf_release(&r->text);
}

static inline void dialogue_options_add(struct dialogue_options *o, const char *words)
{
	o->lines = mem_grow(o->lines, o->count, &o->capacity, sizeof o->lines[0]);
	o->lines[o->count++] = mem_string(words);
}

static inline void dialogue_options_release(struct dialogue_options *o)
{
	for (size_t i = 0; i < o->count; i++)
		free(o->lines[i]);
	free(o->lines);
	free(o->watched);
}

/* What follows "NAME " or NAME in the COUNT-th option of that name; null: there is none. */
static inline const char *dialogue_option(const struct dialogue_options *o, const char *name, size_t count)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < o->count; i++)
		if (text_starts(o->lines[i], name) && (o->lines[i][length] == ' ' || o->lines[i][length] == '\0') &&
		    count-- == 0)
			return o->lines[i] + length + (o->lines[i][length] == ' ');
	return NULL;
}

/* ---- escapes -------------------------------------------------------------------------------------- */

/* Appends what V says with its escapes; SCRIPT is for complaints, which end the program. */
static inline void dialogue_unescape(struct view v, struct buf *out, const char *path);

/* "\{TEXT*COUNT}" at the start of V. ESCAPES: TEXT has escapes of its own. */
static inline void dialogue_repeat(struct view *v, struct buf *out, const char *path, bool escapes)
{
	const uint8_t *end = memchr(v->bytes, '}', v->length);
	struct view inner = view_of(v->bytes + 2, end == NULL ? 0 : (size_t)(end - v->bytes) - 2);
	size_t star = inner.length;
	uint64_t count = 0;
	struct buf text;

	while (star > 0 && inner.bytes[star - 1] != '*')
		star--;
	if (end == NULL || star == 0 || !number_parse(view_from(inner, star), 100000000, &count))
		errx(1, "%s: \\{TEXT*COUNT} is malformed", path);
	buf_init(&text, SIZE_MAX);
	if (escapes)
		dialogue_unescape(view_of(inner.bytes, star - 1), &text, path);
	else
		buf_append(&text, inner.bytes, star - 1);
	for (; count > 0; count--)
		buf_view(out, view_buf(&text));
	buf_release(&text);
	*v = view_from(*v, inner.length + 3);
}

/* One escape at the start of V. */
static inline void dialogue_unescape_one(struct view *v, struct buf *out, const char *path)
{
	static const char letters[] = "rnt\\", bytes[] = "\r\n\t\\";
	const char *letter = v->length > 1 && v->bytes[1] != 0 ? strchr(letters, v->bytes[1]) : NULL;

	if (v->length > 1 && v->bytes[1] == '{') {
		dialogue_repeat(v, out, path, true);
	} else if (letter != NULL) {
		buf_byte(out, (uint8_t)bytes[letter - letters]);
		*v = view_from(*v, 2);
	} else {
		uint8_t digits[2] = {
		    v->length > 3 ? text_lower(v->bytes[2]) : 0, v->length > 3 ? text_lower(v->bytes[3]) : 0};

		if (v->length < 4 || v->bytes[1] != 'x' || !hex_decode(view_of(digits, 2), out))
			errx(1, "%s: an unknown escape: %.*s", path, (int)v->length, (const char *)v->bytes);
		*v = view_from(*v, 4);
	}
}

static inline void dialogue_unescape(struct view v, struct buf *out, const char *path)
{
	while (v.length > 0) {
		if (v.bytes[0] == '\\') {
			dialogue_unescape_one(&v, out, path);
		} else {
			buf_byte(out, v.bytes[0]);
			v = view_from(v, 1);
		}
	}
}

static inline void dialogue_show(struct view v, struct buf *out)
{
	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];

		if (c == '\r' || c == '\n' || c == '\t')
			buf_text(out, c == '\r' ? "\\r" : c == '\n' ? "\\n" : "\\t");
		else if (c == '\\')
			buf_text(out, "\\\\");
		else if (c < ' ' || c == 127)
			buf_format(out, "\\x%02X", c);
		else
			buf_byte(out, c);
	}
}

static inline bool dialogue_watched(const struct dialogue_options *o, const char *word)
{
	char *wanted = mem_format(" %s ", word);
	bool watched = o->watched == NULL || strstr(o->watched, wanted) != NULL;

	free(wanted);
	return watched;
}

static inline void dialogue_text_flush(struct dialogue_record *r)
{
	if (r->text.length == 0)
		return;
	buf_text(&r->events, "text \"");
	dialogue_show(view_buf(&r->text), &r->events);
	buf_text(&r->events, "\"\n");
	buf_clear(&r->text);
}

/* Ends an event that was written to the record's `events` from BEGIN on: it goes when nobody watches its kind. */
static inline void dialogue_event_end(struct dialogue_record *r, const char *word, size_t begin)
{
	if (dialogue_watched(r->options, word)) {
		buf_byte(&r->events, '\n');
	} else {
		r->events.length = begin;
	}
}

#endif
