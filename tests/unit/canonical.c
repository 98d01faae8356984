#include <criterion/criterion.h>

#include "queue/canonical.h"

/* TEXT through the conversion to CRLF, cut at FIRST and SECOND. */
static void to_crlf(struct view text, size_t first, size_t second, struct buf *out)
{
	struct buf_sink end;
	struct canonical_sink s;

	buf_sink_init(&end, out);
	canonical_sink_init(&s, &end.sink);
	cr_assert_eq(sink_write(&s.sink, text.bytes, first, NULL), OUTCOME_DONE);
	cr_assert_eq(sink_write(&s.sink, text.bytes + first, second - first, NULL), OUTCOME_DONE);
	cr_assert_eq(sink_view(&s.sink, view_from(text, second), NULL), OUTCOME_DONE);
}

static uint64_t to_lf(struct view text, size_t first, size_t second, struct buf *out)
{
	struct buf_sink end;
	struct unix_sink s;

	buf_sink_init(&end, out);
	unix_sink_init(&s, &end.sink);
	cr_assert_eq(sink_write(&s.sink, text.bytes, first, NULL), OUTCOME_DONE);
	cr_assert_eq(sink_write(&s.sink, text.bytes + first, second - first, NULL), OUTCOME_DONE);
	cr_assert_eq(sink_view(&s.sink, view_from(text, second), NULL), OUTCOME_DONE);
	cr_assert_eq(unix_sink_finish(&s, NULL), OUTCOME_DONE);
	cr_assert_eq(unix_sink_finish(&s, NULL), OUTCOME_DONE, "a second finish adds nothing");
	return s.written;
}

struct pair {
	const char *lf;
	size_t lf_length;
	const char *crlf;
	size_t crlf_length;
};

#define PAIR(lf, crlf)                                                                                               \
	{                                                                                                            \
		lf, sizeof lf - 1, crlf, sizeof crlf - 1                                                             \
	}

/* Exact inverses, whatever else stands in the text. */
static const struct pair inverses[] = {
    PAIR("", ""),
    PAIR("\n", "\r\n"),
    PAIR("a\nb\n", "a\r\nb\r\n"),
    PAIR("a\nb", "a\r\nb"),
    PAIR("\n\n\n", "\r\n\r\n\r\n"),
    PAIR("a\nb\r\nc", "a\r\nb\r\r\nc"),
    PAIR("a\nb\r\r\n\r", "a\r\nb\r\r\r\n\r"),
    PAIR("a\rb", "a\rb"),
    PAIR("\rab\n", "\rab\r\n"),
    PAIR("a\r", "a\r"),
    PAIR("a\n\0b\n", "a\r\n\0b\r\n"),
    PAIR("\xff\n\xfe", "\xff\r\n\xfe"),
};

Test(canonical, conversions_are_inverse_however_the_writes_are_split)
{
	for (size_t i = 0; i < sizeof inverses / sizeof inverses[0]; i++) {
		struct view lf = view_of(inverses[i].lf, inverses[i].lf_length);
		struct view crlf = view_of(inverses[i].crlf, inverses[i].crlf_length);
		struct buf out;

		buf_init(&out, 1000);
		for (size_t second = 0; second <= lf.length; second++) {
			for (size_t first = 0; first <= second; first++) {
				buf_clear(&out);
				to_crlf(lf, first, second, &out);
				cr_expect(view_equal(view_buf(&out), crlf), "case %zu at %zu, %zu", i, first, second);
			}
		}
		for (size_t second = 0; second <= crlf.length; second++) {
			for (size_t first = 0; first <= second; first++) {
				buf_clear(&out);
				cr_expect_eq(to_lf(crlf, first, second, &out), lf.length);
				cr_expect(view_equal(view_buf(&out), lf), "case %zu at %zu, %zu", i, first, second);
			}
		}
		buf_release(&out);
	}
}

Test(canonical, text_with_crlf_at_its_first_line_end_keeps_it)
{
	static const char *const cases[][2] = {
	    {"a\r\nb\r\n", "a\r\nb\r\n"},
	    {"a\r\nb\nc", "a\r\nb\r\nc"},
	    {"\r\n\n", "\r\n\r\n"},
	    {"a\r\r\nb\n", "a\r\r\nb\r\n"},
	    {"a\rb\r\nc\r", "a\rb\r\nc\r"},
	    {"a\r\n\rbc\nd", "a\r\n\rbc\r\nd"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct view text = view_text(cases[i][0]);
		struct buf out;

		buf_init(&out, 1000);
		for (size_t second = 0; second <= text.length; second++) {
			for (size_t first = 0; first <= second; first++) {
				buf_clear(&out);
				to_crlf(text, first, second, &out);
				cr_expect(
				    view_is(view_buf(&out), cases[i][1]), "case %zu at %zu, %zu", i, first, second);
			}
		}
		buf_release(&out);
	}
}

Test(canonical, long_text_goes_through_in_slices)
{
	struct buf text;
	struct buf crlf;
	struct buf back;

	buf_init(&text, 1 << 20);
	for (size_t i = 0; text.length < 100000; i++)
		buf_format(&text, "%.*s\n", (int)(i % 50), "rrrrrrrrrr\rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\r");
	buf_init(&crlf, 1 << 20);
	buf_init(&back, 1 << 20);
	to_crlf(view_buf(&text), 0, 0, &crlf);
	to_lf(view_buf(&crlf), 0, 0, &back);
	cr_assert(view_equal(view_buf(&text), view_buf(&back)));
	buf_release(&text);
	buf_release(&crlf);
	buf_release(&back);
}

Test(canonical, a_failure_below_is_passed_on)
{
	struct buf small;
	struct buf_sink end;
	struct canonical_sink s;
	struct unix_sink u;
	struct error err = ERROR_NONE;

	buf_init(&small, 3);
	buf_sink_init(&end, &small);
	canonical_sink_init(&s, &end.sink);
	cr_assert_neq(sink_write(&s.sink, "a\nb\n", 4, &err), OUTCOME_DONE);
	buf_clear(&small);
	unix_sink_init(&u, &end.sink);
	cr_assert_neq(sink_write(&u.sink, "abcd", 4, &err), OUTCOME_DONE);
	buf_release(&small);
}
