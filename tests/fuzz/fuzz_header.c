/*
 * Header sections and line ends. The first octet says how the rest is cut into pieces.
 */
#include "queue/canonical.h"
#include "queue/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

struct piece_source {
	struct source source;
	struct view rest;
	size_t step;
};

static enum outcome piece_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct piece_source *s = (struct piece_source *)self;

	(void)err;
	*got = s->rest.length < s->step ? s->rest.length : s->step;
	*got = *got < size ? *got : size;
	if (*got > 0)
		memcpy(bytes, s->rest.bytes, *got);
	s->rest = view_from(s->rest, *got);
	return OUTCOME_DONE;
}

static void write_pieces(struct sink *s, struct view v, size_t step)
{
	while (v.length > 0) {
		size_t part = v.length < step ? v.length : step;

		require(sink_write(s, v.bytes, part, NULL) == OUTCOME_DONE);
		v = view_from(v, part);
	}
}

static bool has_line_end_inside(struct view v)
{
	for (size_t i = 0; i < v.length; i++)
		if (v.bytes[i] == '\n' && (i + 1 == v.length || (v.bytes[i + 1] != ' ' && v.bytes[i + 1] != '\t')))
			return true;
	return false;
}

/* Fields follow one another without a gap, and unfolding leaves no line end. */
static void check_fields(struct view all)
{
	struct view rest = all;
	struct view name;
	struct view body;
	struct buf unfolded;

	buf_init(&unfolded, SIZE_MAX);
	while (rest.length > 0) {
		const uint8_t *before = rest.bytes;

		if (!header_next(&rest, &name, &body))
			break;
		require(name.bytes == before && name.length > 0 && memchr(name.bytes, ':', name.length) == NULL);
		require(body.bytes > name.bytes && body.bytes + body.length <= rest.bytes);
		require(!has_line_end_inside(body));
		buf_clear(&unfolded);
		header_unfold(body, &unfolded);
		require(unfolded.length <= body.length);
		require(unfolded.length == 0 || memchr(unfolded.bytes, '\n', unfolded.length) == NULL);
	}
	require(rest.bytes + rest.length == all.bytes + all.length);
	buf_release(&unfolded);
}

/* However it comes in, the section is the same, and nothing is lost. */
static void check_read(struct view all, size_t step)
{
	struct piece_source slow = {{piece_read}, all, step};
	struct piece_source fast = {{piece_read}, all, SIZE_MAX};
	struct buf out[2];
	struct buf extra[2];

	for (size_t i = 0; i < 2; i++) {
		struct piece_source *s = i == 0 ? &slow : &fast;

		buf_init(&out[i], SIZE_MAX);
		buf_init(&extra[i], SIZE_MAX);
		require(header_read(&s->source, &out[i], &extra[i], NULL) == OUTCOME_DONE);
		require(out[i].length + extra[i].length + s->rest.length == all.length);
		require(view_equal(view_buf(&out[i]), view_of(all.bytes, out[i].length)));
	}
	require(out[0].length == out[1].length);
	for (size_t i = 0; i < 2; i++) {
		buf_release(&out[i]);
		buf_release(&extra[i]);
	}
}

static void check_round_trip(struct view all, size_t step)
{
	struct buf crlf;
	struct buf lf;
	struct buf_sink crlf_sink;
	struct buf_sink lf_sink;
	struct canonical_sink canonical;
	struct unix_sink back;

	buf_init(&crlf, SIZE_MAX);
	buf_init(&lf, SIZE_MAX);
	buf_sink_init(&crlf_sink, &crlf);
	buf_sink_init(&lf_sink, &lf);
	canonical_sink_init(&canonical, &crlf_sink.sink);
	write_pieces(&canonical.sink, all, step);
	for (size_t i = 0; i < crlf.length; i++)
		require(crlf.bytes[i] != '\n' || (i > 0 && crlf.bytes[i - 1] == '\r'));
	unix_sink_init(&back, &lf_sink.sink);
	write_pieces(&back.sink, view_buf(&crlf), step);
	require(unix_sink_finish(&back, NULL) == OUTCOME_DONE);
	require(back.written == lf.length);
	if (canonical.form != CANONICAL_FROM_CRLF)
		require(view_equal(view_buf(&lf), all));
	buf_release(&crlf);
	buf_release(&lf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view all;
	size_t step;

	if (size == 0)
		return 0;
	step = (size_t)data[0] + 1;
	all = view_of(data + 1, size - 1);
	check_fields(all);
	check_read(all, step);
	check_round_trip(all, step);
	return 0;
}
