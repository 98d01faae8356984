#include "queue/canonical.h"

#include "lib/lines.h"

/* Input is converted in slices; none becomes more than twice as long. */
#define CANONICAL_SLICE ((size_t)8192)

/* Copies what begins FROM and ends no line: how many of SIZE octets. */
static size_t copy_plain(const uint8_t *from, size_t size, uint8_t *to)
{
	size_t plain = line_plain(view_of(from, size));

	memcpy(to, from, plain);
	return plain;
}

static bool needs_cr(struct canonical_sink *s)
{
	if (s->form == CANONICAL_UNDECIDED)
		s->form = s->after_cr ? CANONICAL_FROM_CRLF : CANONICAL_FROM_LF;
	return s->form == CANONICAL_FROM_LF || !s->after_cr;
}

static enum outcome canonical_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct canonical_sink *s = (struct canonical_sink *)self;
	const uint8_t *from = bytes;
	enum outcome outcome = OUTCOME_DONE;

	while (size > 0 && outcome == OUTCOME_DONE) {
		uint8_t slice[2 * CANONICAL_SLICE];
		size_t step = size < CANONICAL_SLICE ? size : CANONICAL_SLICE;
		size_t used = 0;

		for (size_t i = 0; i < step; i++) {
			size_t plain = copy_plain(from + i, step - i, slice + used);

			used += plain;
			i += plain;
			if (plain > 0)
				s->after_cr = false;
			if (i == step)
				break;
			if (from[i] == '\n' && needs_cr(s))
				slice[used++] = '\r';
			slice[used++] = from[i];
			s->after_cr = from[i] == '\r';
		}
		outcome = sink_write(s->below, slice, used, err);
		from += step;
		size -= step;
	}
	return outcome;
}

void canonical_sink_init(struct canonical_sink *s, struct sink *below)
{
	*s = (struct canonical_sink){.sink = {canonical_write}, .below = below};
}

static enum outcome unix_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct unix_sink *s = (struct unix_sink *)self;
	const uint8_t *from = bytes;
	enum outcome outcome = OUTCOME_DONE;

	while (size > 0 && outcome == OUTCOME_DONE) {
		uint8_t slice[CANONICAL_SLICE + 1];
		size_t step = size < CANONICAL_SLICE ? size : CANONICAL_SLICE;
		size_t used = 0;

		for (size_t i = 0; i < step; i++) {
			size_t plain = s->held_cr ? 0 : copy_plain(from + i, step - i, slice + used);

			used += plain;
			i += plain;
			if (i == step)
				break;
			if (s->held_cr && from[i] != '\n')
				slice[used++] = '\r';
			s->held_cr = from[i] == '\r';
			if (!s->held_cr)
				slice[used++] = from[i];
			s->lines += from[i] == '\n';
		}
		outcome = sink_write(s->below, slice, used, err);
		s->written += used;
		s->unfinished = from[step - 1] != '\n';
		from += step;
		size -= step;
	}
	return outcome;
}

void unix_sink_init(struct unix_sink *s, struct sink *below)
{
	*s = (struct unix_sink){.sink = {unix_write}, .below = below};
}

enum outcome unix_sink_finish(struct unix_sink *s, struct error *err)
{
	if (!s->held_cr)
		return OUTCOME_DONE;
	s->held_cr = false;
	s->written++;
	return sink_write(s->below, "\r", 1, err);
}
