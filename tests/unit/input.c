#include <criterion/criterion.h>

#include "lib/input.h"

static bool holds(const struct buf *b, const char *text)
{
	return b->bytes != NULL && memmem(b->bytes, b->capacity, text, strlen(text)) != NULL;
}

Test(input, no_more_is_taken_than_there_is_room_for)
{
	struct view bytes = view_text("0123456789abc");
	struct input in;

	input_init(&in, 10);
	input_add(&in, &bytes);
	cr_expect(view_is(bytes, "abc"));
	cr_expect(view_is(input_view(&in), "0123456789"));
	input_add(&in, &bytes);
	cr_expect(view_is(bytes, "abc"));
	input_take(&in, 4);
	cr_expect(view_is(input_view(&in), "456789"));
	input_add(&in, &bytes);
	cr_expect_eq(bytes.length, 0);
	cr_expect(view_is(input_view(&in), "456789abc"));
	cr_expect_leq(in.bytes.length, 10);
	input_release(&in);
}

Test(input, rest_keeps_what_waits)
{
	struct view bytes = view_text("ab");
	struct input in;

	input_init(&in, 10);
	input_add(&in, &bytes);
	input_take(&in, 1);
	input_rest(&in);
	cr_expect(view_is(input_view(&in), "b"));
	input_take(&in, 1);
	input_rest(&in);
	cr_expect_null(in.bytes.bytes);
	cr_expect_eq(input_view(&in).length, 0);
	input_release(&in);
}

Test(input, a_secret_line_leaves_nothing_behind)
{
	static const enum input_secrecy ways[] = {INPUT_SECRET, INPUT_OPEN};

	for (size_t i = 0; i < 2; i++) {
		struct view bytes = view_text("PASS se");
		struct view more = view_text("cret\r\nNOOP\r\n");
		struct line_reader r;
		struct input in;

		input_init(&in, 100);
		line_reader_init(&r, 10, NEWLINES_STRICT);
		input_add(&in, &bytes);
		cr_expect_not(input_line(&in, &r, 40, ways[i]));
		input_add(&in, &more);
		cr_expect(input_line(&in, &r, 40, ways[i]));
		cr_expect_eq(r.fault, LINE_GOOD, "the maximum is what was said last");
		cr_expect(view_is(view_buf(&r.line), "PASS secret"));
		cr_expect_eq(holds(&in.bytes, "cret"), ways[i] == INPUT_OPEN);
		cr_expect(view_is(input_view(&in), "NOOP\r\n"));
		input_line_done(&r, ways[i]);
		cr_expect_eq(holds(&r.line, "SS secret"), ways[i] == INPUT_OPEN);
		cr_expect_eq(r.line.length, 0);
		line_reader_release(&r);
		input_release(&in);
	}
}

Test(input, a_secret_line_has_its_room_from_the_start)
{
	struct view bytes = view_text("x");
	struct line_reader r;
	struct input in;
	const uint8_t *place;

	input_init(&in, 5000);
	line_reader_init(&r, 10, NEWLINES_STRICT);
	input_add(&in, &bytes);
	cr_expect_not(input_line(&in, &r, 4000, INPUT_SECRET));
	place = r.line.bytes;
	for (int i = 0; i < 3999; i++) {
		bytes = view_text("y");
		input_add(&in, &bytes);
		cr_expect_not(input_line(&in, &r, 4000, INPUT_SECRET));
	}
	cr_expect_eq(r.line.bytes, place);
	cr_expect_eq(r.line.length, 4000);
	line_reader_release(&r);
	input_release(&in);
}
