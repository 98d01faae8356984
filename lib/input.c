#include "lib/input.h"

#include <sodium.h>

void input_init(struct input *in, size_t maximum)
{
	in->at = 0;
	buf_init(&in->bytes, maximum);
}

void input_release(struct input *in)
{
	in->at = 0;
	buf_wipe(&in->bytes);
}

void input_rest(struct input *in)
{
	if (in->at < in->bytes.length)
		return;
	in->at = 0;
	buf_release(&in->bytes);
}

struct view input_view(const struct input *in)
{
	return view_from(view_buf(&in->bytes), in->at);
}

void input_take(struct input *in, size_t length)
{
	in->at += length;
}

/* Into a new buffer rather than a resized one, so that no password is left behind in freed memory. */
static void input_renew(struct input *in, size_t length)
{
	struct view waiting = input_view(in);
	struct buf larger;

	buf_init(&larger, in->bytes.maximum);
	buf_extend(&larger, waiting.length + length);
	buf_clear(&larger);
	buf_view(&larger, waiting);
	buf_wipe(&in->bytes);
	in->bytes = larger;
	in->at = 0;
}

void input_add(struct input *in, struct view *from)
{
	size_t room = in->bytes.maximum - input_view(in).length;
	size_t length = from->length < room ? from->length : room;

	if (length == 0)
		return;
	if (in->bytes.length + length >= in->bytes.capacity || in->bytes.length + length > in->bytes.maximum)
		input_renew(in, length);
	buf_append(&in->bytes, from->bytes, length);
	*from = view_from(*from, length);
}

/* A line that may hold a password gets its whole room at once: a buffer that grows leaves copies behind. */
static void line_room(struct buf *line, size_t maximum, enum input_secrecy secrecy)
{
	line->maximum = maximum;
	if (secrecy == INPUT_SECRET && line->length == 0 && line->capacity <= maximum) {
		buf_extend(line, maximum);
		buf_clear(line);
	}
}

bool input_line(struct input *in, struct line_reader *r, size_t maximum, enum input_secrecy secrecy)
{
	struct view v = input_view(in);
	size_t before = v.length;
	bool complete;

	line_room(&r->line, maximum, secrecy);
	complete = line_reader_feed(r, &v);
	if (secrecy == INPUT_SECRET && before > v.length)
		sodium_memzero(in->bytes.bytes + in->at, before - v.length);
	input_take(in, before - v.length);
	return complete;
}

void input_line_done(struct line_reader *r, enum input_secrecy secrecy)
{
	if (secrecy == INPUT_SECRET && r->line.bytes != NULL)
		sodium_memzero(r->line.bytes, r->line.capacity);
	line_reader_next(r);
}
