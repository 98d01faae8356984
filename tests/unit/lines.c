#include <criterion/criterion.h>

#include "lib/lines.h"

#define BYTES(text) (text), sizeof(text) - 1

Test(lines, words_are_split_at_spaces)
{
	struct view rest = view_text("MAIL   FROM:<a@b>\tx");

	cr_expect(view_is(line_word(&rest), "MAIL"));
	cr_expect(view_is(line_word(&rest), "FROM:<a@b>\tx"));
	cr_expect(view_is(line_word(&rest), ""));
	cr_expect(view_is(line_trimmed(view_text("a b \t ")), "a b"));
	cr_expect(view_is(line_trimmed(view_text(" \t")), ""));
}

/* ---- lines ----------------------------------------------------------------------------------------------- */

struct line_case {
	enum newlines newlines;
	const char *in;
	size_t length;
	const char *said; /* "fault:line|" for each line, then what is left unfinished */
};

#define STRICT	  NEWLINES_STRICT
#define NORMALISE NEWLINES_NORMALISE

static const struct line_case line_cases[] = {
    {STRICT, BYTES(""), ""},
    {STRICT, BYTES("\r\n"), "0:|"},
    {STRICT, BYTES("NOOP\r\nQUIT\r\n"), "0:NOOP|0:QUIT|"},
    {STRICT, BYTES("NOOP"), "NOOP"},
    {STRICT, BYTES("a\nb\r\nc\r\n"), "3:a\nb|0:c|"},
    {STRICT, BYTES("\n\r\n"), "3:\n|"},
    {STRICT, BYTES("a\rb\r\n"), "2:a\rb|"},
    {STRICT, BYTES("\r\r\n"), "2:\r|"},
    {STRICT, BYTES("\r\r\r\n"), "2:\r\r|"},
    {STRICT, BYTES("a\r\rb\n\r\n"), "2:a\r\rb\n|"},
    {STRICT, BYTES("a\0b\r\nc\r\n"), "4:a|0:c|"},
    {STRICT, BYTES("\0\r\n"), "4:|"},
    {STRICT, BYTES("a\nb\rc\0d\r\n"), "3:a\nb\rc|"},
    {STRICT, BYTES("0123456789\r\n"), "0:0123456789|"},
    {STRICT, BYTES("0123456789a\r\nb\r\n"), "1:0123456789|0:b|"},
    {STRICT, BYTES("0123456789abcdefghijklmnopqrstuvwxyz\n\r\n"), "1:0123456789|"},
    {STRICT, BYTES("012345678\rab\r\n"), "2:012345678\r|"},
    {STRICT, BYTES("0123456789\rab\r\n"), "2:0123456789|"},
    {NORMALISE, BYTES("a\nb\r\n\n"), "0:a|0:b|0:|"},
    {NORMALISE, BYTES("a\rb\nc\n"), "2:a\rb|0:c|"},
    {NORMALISE, BYTES("a\0\n"), "4:a|"},
    {NORMALISE, BYTES("\r\r\n"), "2:\r|"},
};

/* What a reader of lines of at most ten octets says of C, fed in pieces of STEP. */
static void read_lines(const struct line_case *c, size_t step, struct buf *said)
{
	struct view all = view_of(c->in, c->length);
	struct line_reader r;

	line_reader_init(&r, 10, c->newlines);
	while (all.length > 0) {
		struct view piece = view_of(all.bytes, all.length < step ? all.length : step);

		all = view_from(all, piece.length);
		while (line_reader_feed(&r, &piece)) {
			buf_format(said, "%d:%s|", (int)r.fault, buf_string(&r.line));
			cr_expect_leq(r.line.length, 10);
			line_reader_next(&r);
		}
		cr_expect_eq(piece.length, 0);
	}
	buf_text(said, buf_string(&r.line));
	line_reader_release(&r);
}

Test(lines, only_crlf_ends_a_line_however_it_is_cut)
{
	for (size_t i = 0; i < sizeof line_cases / sizeof line_cases[0]; i++) {
		for (size_t step = 1; step <= line_cases[i].length + 1; step++) {
			struct buf said;

			buf_init(&said, 1000);
			read_lines(&line_cases[i], step, &said);
			cr_expect(view_is(view_buf(&said), line_cases[i].said), "case %zu by %zu: %s", i, step,
			    buf_string(&said));
			buf_release(&said);
		}
	}
}

Test(lines, what_follows_a_line_stays_in_the_input)
{
	struct view in = view_text("NOOP\r\nQUIT\r\n");
	struct line_reader r;

	line_reader_init(&r, 100, NEWLINES_STRICT);
	cr_assert(line_reader_feed(&r, &in));
	cr_expect(view_is(in, "QUIT\r\n"));
	cr_assert(line_reader_feed(&r, &in), "a complete line stays complete");
	cr_expect(view_is(view_buf(&r.line), "NOOP"));
	cr_expect(view_is(in, "QUIT\r\n"));
	line_reader_release(&r);
}

Test(lines, a_line_without_end_takes_no_more_than_its_maximum)
{
	static char zeros[100000];
	struct line_reader r;

	memset(zeros, 'a', sizeof zeros);
	line_reader_init(&r, 512, NEWLINES_STRICT);
	for (int i = 0; i < 10; i++) {
		struct view in = view_of(zeros, sizeof zeros);

		cr_expect_not(line_reader_feed(&r, &in));
		cr_expect_eq(in.length, 0);
	}
	cr_expect_eq(r.line.length, 512);
	cr_expect_eq(r.fault, LINE_TOO_LONG);
	line_reader_release(&r);
}

/* ---- text ------------------------------------------------------------------------------------------------ */

enum { GOOD = 0, CR = 1, LF = 2, OPEN = 4 };

struct dot_case {
	enum newlines newlines;
	const char *in;
	size_t length;
	const char *text;
	size_t text_length;
	int flags;
	size_t clean; /* how much stands before the first fault */
	size_t rest;  /* how much stands behind the end */
};

static const struct dot_case dot_cases[] = {
    {STRICT, BYTES(".\r\n"), BYTES(""), GOOD, 0, 0},
    {STRICT, BYTES("\r\n.\r\n"), BYTES("\r\n"), GOOD, 0, 0},
    {STRICT, BYTES("a\r\n.\r\nQUIT\r\n"), BYTES("a\r\n"), GOOD, 0, 6},
    {STRICT, BYTES("a\r\n\r\nb\r\n\r\n.\r\n"), BYTES("a\r\n\r\nb\r\n\r\n"), GOOD, 0, 0},
    {STRICT, BYTES("..\r\n...\r\n.a\r\na.\r\n.\r\n"), BYTES(".\r\n..\r\na\r\na.\r\n"), GOOD, 0, 0},
    {STRICT, BYTES("a\0b\r\n\0.\r\n.\r\n"), BYTES("a\0b\r\n\0.\r\n"), GOOD, 0, 0},
    {STRICT, BYTES("a\r\n.\0\r\n.\r\n"), BYTES("a\r\n\0\r\n"), GOOD, 0, 0},
    /* What other servers were found to take for an end. */
    {STRICT, BYTES("a\n.\n"), BYTES("a\n.\n"), LF | OPEN, 1, 0},
    {STRICT, BYTES("a\n.\r\n"), BYTES("a\n.\r\n"), LF | OPEN, 1, 0},
    {STRICT, BYTES("a\r\n.\n"), BYTES("a\r\n.\n"), LF | OPEN, 4, 0},
    {STRICT, BYTES("a\r.\r"), BYTES("a\r."), CR | OPEN, 1, 0},
    {STRICT, BYTES("a\r.\r\n"), BYTES("a\r.\r\n"), CR | OPEN, 1, 0},
    {STRICT, BYTES("a\r\n.\r"), BYTES("a\r\n"), OPEN, 0, 0},
    {STRICT, BYTES("a\r\n.\rb"), BYTES("a\r\n\rb"), CR | OPEN, 3, 0},
    {STRICT, BYTES("a\r\n.\r\r\n"), BYTES("a\r\n\r\r\n"), CR | OPEN, 3, 0},
    {STRICT, BYTES("a\r\r\n.\r\n"), BYTES("a\r\r\n"), CR, 1, 0},
    {STRICT, BYTES("a\r\n\0.\r\n"), BYTES("a\r\n\0.\r\n"), OPEN, 0, 0},
    {STRICT, BYTES("a\r\0\n.\r\n"), BYTES("a\r\0\n.\r\n"), CR | LF | OPEN, 1, 0},
    {STRICT, BYTES("a\n\r\n.\r\n"), BYTES("a\n\r\n"), LF, 1, 0},
    {STRICT, BYTES("\n.\r\n.\r\n"), BYTES("\n.\r\n"), LF, 0, 0},
    {STRICT, BYTES("a\r\n\n.\r\n.\r\n"), BYTES("a\r\n\n.\r\n"), LF, 3, 0},
    {NORMALISE, BYTES("a\nb\n\r\n.\r\n"), BYTES("a\r\nb\r\n\r\n"), LF, 1, 0},
    {NORMALISE, BYTES("a\n.\nb\r\n.\r\n"), BYTES("a\r\n.\r\nb\r\n"), LF, 1, 0},
    {NORMALISE, BYTES("a\n.\r\nb\r\n.\r\n"), BYTES("a\r\n.\r\nb\r\n"), LF, 1, 0},
    {NORMALISE, BYTES("a\r\n.\nb\r\n.\r\n"), BYTES("a\r\n.\r\nb\r\n"), LF, 4, 0},
    {NORMALISE, BYTES("a\n..b\n.\r\n.\r\n"), BYTES("a\r\n.b\r\n.\r\n"), LF, 1, 0},
    {NORMALISE, BYTES("a\rb\r\n.\r\n"), BYTES("a\rb\r\n"), CR, 1, 0},
    {NORMALISE, BYTES("\n\n\n\n\n\n"), BYTES("\r\n\r\n\r\n\r\n\r\n\r\n"), LF | OPEN, 0, 0},
};

static void check_text(const struct dot_case *c, size_t first, size_t second, size_t number)
{
	size_t cuts[] = {first, second, c->length};
	size_t at = 0;
	size_t clean = 0;
	bool ended = false;
	struct dot_reader r;
	struct buf text;

	buf_init(&text, 1000);
	dot_reader_init(&r, c->newlines);
	for (size_t i = 0; i < 3 && !ended; i++) {
		struct view piece = view_of(c->in + at, cuts[i] - at);
		size_t before = text.length;
		size_t most = c->newlines == NORMALISE ? 2 * piece.length + 2 : piece.length + 1;
		bool faulty = r.bare_cr || r.bare_lf;

		ended = dot_reader_feed(&r, &piece, &text);
		if (!faulty && (r.bare_cr || r.bare_lf))
			clean = r.fault_at;
		cr_expect_leq(text.length - before, most, "case %zu", number);
		cr_expect(ended || piece.length == 0);
		at = cuts[i] - piece.length;
	}
	cr_expect_eq(ended, (c->flags & OPEN) == 0, "case %zu at %zu, %zu: the end", number, first, second);
	cr_expect_eq(r.bare_cr, (c->flags & CR) != 0, "case %zu at %zu, %zu: bare CR", number, first, second);
	cr_expect_eq(r.bare_lf, (c->flags & LF) != 0, "case %zu at %zu, %zu: bare LF", number, first, second);
	cr_expect_eq(clean, c->clean, "case %zu at %zu, %zu: clean up to %zu", number, first, second, clean);
	cr_expect_eq(c->length - at, c->rest, "case %zu at %zu, %zu: the rest", number, first, second);
	cr_expect(view_equal(view_buf(&text), view_of(c->text, c->text_length)), "case %zu at %zu, %zu: text", number,
	    first, second);
	buf_release(&text);
}

Test(lines, only_crlf_dot_crlf_ends_a_text_however_it_is_cut)
{
	for (size_t i = 0; i < sizeof dot_cases / sizeof dot_cases[0]; i++)
		for (size_t second = 0; second <= dot_cases[i].length; second++)
			for (size_t first = 0; first <= second; first++)
				check_text(&dot_cases[i], first, second, i);
}

Test(lines, an_ended_text_takes_nothing_more)
{
	struct view in = view_text(".\r\nNOOP\r\n");
	struct dot_reader r;
	struct buf text;

	buf_init(&text, 100);
	dot_reader_init(&r, NEWLINES_STRICT);
	cr_assert(dot_reader_feed(&r, &in, &text));
	cr_assert(dot_reader_feed(&r, &in, &text));
	cr_expect(view_is(in, "NOOP\r\n"));
	cr_expect_eq(text.length, 0);
	buf_release(&text);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static void stuff(struct view text, size_t first, size_t second, struct buf *out)
{
	struct buf_sink below;
	struct dot_sink s;

	buf_sink_init(&below, out);
	dot_sink_init(&s, &below.sink);
	cr_assert_eq(sink_write(&s.sink, text.bytes, first, NULL), OUTCOME_DONE);
	cr_assert_eq(sink_write(&s.sink, text.bytes + first, second - first, NULL), OUTCOME_DONE);
	cr_assert_eq(sink_view(&s.sink, view_from(text, second), NULL), OUTCOME_DONE);
	cr_assert_eq(dot_sink_end(&s, NULL), OUTCOME_DONE);
}

Test(lines, stuffed_text_is_read_back_as_it_was)
{
	static const char *const cases[][2] = {
	    {"", ".\r\n"},
	    {"a\r\n", "a\r\n.\r\n"},
	    {"a", "a\r\n.\r\n"},
	    {".", "..\r\n.\r\n"},
	    {".\r\n", "..\r\n.\r\n"},
	    {"a\r\n.\r\n..\r\nb.\r\n", "a\r\n..\r\n...\r\nb.\r\n.\r\n"},
	    {"\r\n.a", "\r\n..a\r\n.\r\n"},
	    {"a\n.b\r\n", "a\n.b\r\n.\r\n"},
	    {"a\r.b\r\n", "a\r.b\r\n.\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct view text = view_text(cases[i][0]);
		struct buf out;

		buf_init(&out, 1000);
		for (size_t second = 0; second <= text.length; second++) {
			for (size_t first = 0; first <= second; first++) {
				struct dot_reader r;
				struct buf back;
				struct view in;

				buf_clear(&out);
				stuff(text, first, second, &out);
				cr_expect(view_is(view_buf(&out), cases[i][1]), "case %zu at %zu, %zu: %s", i, first,
				    second, buf_string(&out));
				buf_init(&back, 1000);
				dot_reader_init(&r, NEWLINES_STRICT);
				in = view_buf(&out);
				cr_expect(dot_reader_feed(&r, &in, &back));
				cr_expect(view_equal(view_of(back.bytes, text.length), text), "case %zu", i);
				cr_expect_leq(back.length, text.length + 2);
				buf_release(&back);
			}
		}
		buf_release(&out);
	}
}
