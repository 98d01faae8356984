#include "queue/header.h"

#include <sodium.h>

#include "lib/text.h"

#define HEADER_CHUNK ((size_t)8192)

/* Where in a line the scan stands: an empty line is a line end met at its start, with or without a CR. */
enum line_place { LINE_START, LINE_START_CR, LINE_INSIDE };

/* How many of the bytes belong to the section; *ENDED when the empty line is among them. */
static size_t section_part(enum line_place *place, struct view v, bool *ended)
{
	for (size_t i = 0; i < v.length; i++) {
		if (v.bytes[i] == '\n') {
			if (*place != LINE_INSIDE) {
				*ended = true;
				return i + 1;
			}
			*place = LINE_START;
		} else {
			*place = *place == LINE_START && v.bytes[i] == '\r' ? LINE_START_CR : LINE_INSIDE;
		}
	}
	return v.length;
}

enum outcome header_read(struct source *source, struct buf *out, struct buf *extra, struct error *err)
{
	uint8_t chunk[HEADER_CHUNK];
	enum line_place place = LINE_START;
	bool ended = false;
	size_t got;

	while (!ended) {
		enum outcome outcome = source_read(source, chunk, sizeof chunk, &got, err);
		size_t part;
		size_t room;

		if (outcome != OUTCOME_DONE || got == 0)
			return outcome;
		part = section_part(&place, view_of(chunk, got), &ended);
		room = out->maximum - out->length;
		buf_append(out, chunk, part < room ? part : room);
		buf_append(extra, chunk + (part < room ? part : room), got - (part < room ? part : room));
		if (part > room)
			return error_set(
			    err, EX_DATAERR, "the header section is longer than %zu octets", out->maximum);
		if (extra->failed)
			return error_set(err, EX_DATAERR, "no room for what follows the header section");
	}
	return OUTCOME_DONE;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Length of the field name at the start of V, and where the body begins; 0 when this is no field. */
static size_t name_length(struct view v, size_t *body)
{
	size_t length = 0;
	size_t at;

	while (length < v.length && v.bytes[length] > 32 && v.bytes[length] < 127 && v.bytes[length] != ':')
		length++;
	/* RFC 5322 4.5: old messages have white space before the colon. */
	for (at = length; at < v.length && is_blank(v.bytes[at]); at++)
		continue;
	if (at == v.length || v.bytes[at] != ':')
		return 0;
	*body = at + 1;
	return length;
}

bool header_next(struct view *section, struct view *name, struct view *body)
{
	struct view rest = *section;
	struct view line;
	size_t begin = 0;
	size_t length = name_length(rest, &begin);
	size_t end;

	if (length == 0)
		return false;
	do
		view_line(&rest, &line);
	while (rest.length > 0 && is_blank(rest.bytes[0]));
	end = section->length - rest.length;
	rest.bytes = section->bytes + end;
	*name = view_of(section->bytes, length);
	if (section->bytes[end - 1] == '\n') {
		end--;
		if (end > begin && section->bytes[end - 1] == '\r')
			end--;
	}
	*body = view_of(section->bytes + begin, end - begin);
	*section = rest;
	return true;
}

bool header_find(struct view section, const char *name, struct view *body)
{
	struct view wanted = view_text(name);
	struct view found;

	while (header_next(&section, &found, body))
		if (view_same(found, wanted))
			return true;
	*body = view_of(NULL, 0);
	return false;
}

static bool is_space(uint8_t c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

void header_unfold(struct view body, struct buf *out)
{
	while (body.length > 0 && is_space(body.bytes[0]))
		body = view_from(body, 1);
	while (body.length > 0 && is_space(body.bytes[body.length - 1]))
		body.length--;
	for (size_t i = 0; i < body.length; i++) {
		bool line_end = body.bytes[i] == '\n' ||
				(body.bytes[i] == '\r' && i + 1 < body.length && body.bytes[i + 1] == '\n');

		if (!line_end)
			buf_byte(out, body.bytes[i]);
	}
}

bool header_is_bulk(struct view body)
{
	static const char *const words[] = {"bulk", "list", "junk"};
	struct buf word;
	bool bulk = false;

	buf_init(&word, SIZE_MAX);
	header_unfold(body, &word);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		bulk |= view_same(view_buf(&word), view_text(words[i]));
	buf_release(&word);
	return bulk;
}

/* RFC 2047 2: a line with an encoded word is at most 76 characters; 36 octets of UTF-8 make 48 of base64. */
#define WORD_OCTETS 36

/* The next character of *TEXT, taken off it. */
static struct view character_next(struct view *text)
{
	uint32_t point;
	size_t step = utf8_next(*text, &point);
	struct view character = step > 0 ? view_of(text->bytes, step) : view_text("\xef\xbf\xbd");

	*text = view_from(*text, step > 0 ? step : 1);
	return character;
}

void header_encode(struct view text, struct buf *out)
{
	char base64[sodium_base64_ENCODED_LEN(WORD_OCTETS, sodium_base64_VARIANT_ORIGINAL)];
	const char *between = "";

	while (text.length > 0) {
		uint8_t word[WORD_OCTETS];
		size_t length = 0;

		/* Whole characters only (RFC 2047 5). */
		while (text.length > 0) {
			struct view rest = text;
			struct view character = character_next(&rest);

			if (character.length > sizeof word - length)
				break;
			memcpy(word + length, character.bytes, character.length);
			length += character.length;
			text = rest;
		}
		sodium_bin2base64(base64, sizeof base64, word, length, sodium_base64_VARIANT_ORIGINAL);
		buf_format(out, "%s=?utf-8?B?%s?=", between, base64);
		between = "\r\n ";
	}
}
