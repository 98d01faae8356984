#include "bridge-pop3/maildrop_reader.h"

#include <criterion/criterion.h>

#include "tests/unit/maildrop_kit.h"

TestSuite(maildrop_reader, .init = kit_setup, .fini = kit_teardown);

static struct maildrop_reader reader;
static struct maildrop *drop;

static void begin(void)
{
	put("new/1.a", "first\n");
	put("new/2.b", "second\n");
	put("new/3.c", "third\n");
	drop = opened();
	maildrop_reader_init(&reader);
}

static void end(void)
{
	maildrop_reader_release(&reader);
	maildrop_close(drop);
}

/* The rest of the message at hand, asked for in pieces of STEP octets at most. */
static void expect_rest(size_t step, const char *text)
{
	struct error err = ERROR_NONE;
	struct buf all;
	uint8_t chunk[64];

	buf_init(&all, 100);
	while (!maildrop_reader_ended(&reader)) {
		struct view piece;

		cr_assert_eq(maildrop_reader_piece(&reader, drop, chunk, sizeof chunk, &piece, &err), OUTCOME_DONE,
		    "%s", err.text);
		cr_assert_gt(piece.length, 0);
		piece = view_of(piece.bytes, piece.length < step ? piece.length : step);
		buf_view(&all, piece);
		maildrop_reader_took(&reader, piece.length);
	}
	cr_expect_str_eq(buf_string(&all), text);
	buf_release(&all);
}

static void expect_message(size_t number, size_t step, const char *text)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(maildrop_reader_open(&reader, drop, number, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect(reader.open);
	cr_expect_eq(reader.number, number);
	expect_rest(step, text);
	maildrop_reader_close(&reader);
	cr_expect_not(reader.open);
}

static void expect_gone(size_t number)
{
	struct error err = ERROR_NONE;

	cr_expect_neq(maildrop_reader_open(&reader, drop, number, &err), OUTCOME_DONE);
	cr_expect_eq(err.code, EX_NOINPUT, "%s", err.text);
	cr_expect_not(reader.open);
}

Test(maildrop_reader, in_pieces)
{
	begin();
	expect_message(0, 1, "first\n");
	expect_message(2, 4, "third\n");
	expect_message(0, 100, "first\n");
	end();
}

Test(maildrop_reader, what_was_prepared_needs_no_file)
{
	begin();
	expect_message(0, 100, "first\n");
	maildrop_reader_prepare(&reader, drop, 1);
	take_away("new/2.b");
	expect_message(1, 3, "second\n");
	/* It is kept for one reading. */
	expect_gone(1);
	end();
}

Test(maildrop_reader, another_than_what_was_prepared)
{
	begin();
	maildrop_reader_prepare(&reader, drop, 1);
	expect_message(2, 100, "third\n");
	cr_expect_eq(reader.text.capacity, 0, "what was prepared for nothing is not kept");
	maildrop_reader_prepare(&reader, drop, 0);
	maildrop_reader_prepare(&reader, drop, 1);
	take_away("new/1.a");
	expect_gone(0);
	expect_message(1, 100, "second\n");
	end();
}

Test(maildrop_reader, what_cannot_be_prepared_is_told_when_it_is_opened)
{
	begin();
	take_away("new/2.b");
	maildrop_reader_prepare(&reader, drop, 1);
	expect_gone(1);
	expect_message(2, 100, "third\n");
	end();
}

/* Also when the listing does not know yet how large it has become. */
Test(maildrop_reader, large_messages_are_not_kept_in_memory)
{
	char *large = mem_alloc(MAILDROP_AHEAD + 2);
	struct error err = ERROR_NONE;

	memset(large, 'x', MAILDROP_AHEAD + 1);
	put("new/0.large", large);
	begin();
	maildrop_reader_prepare(&reader, drop, 0);
	cr_expect_eq(reader.text.capacity, 0);
	take_away("new/1.a");
	put("new/1.a", large);
	maildrop_reader_prepare(&reader, drop, 1);
	cr_expect_eq(reader.text.capacity, 0);
	cr_assert_eq(maildrop_reader_open(&reader, drop, 1, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_eq(reader.size, MAILDROP_AHEAD + 1);
	maildrop_reader_close(&reader);
	large[MAILDROP_AHEAD] = '\0';
	put("new/4.fits", large);
	end();
	drop = opened();
	maildrop_reader_init(&reader);
	maildrop_reader_prepare(&reader, drop, 4);
	cr_expect_eq(reader.text.length, 0, "its octets, as they are sent, are more");
	end();
	free(large);
}

Test(maildrop_reader, what_nobody_comes_for_is_let_go)
{
	struct error err = ERROR_NONE;

	begin();
	maildrop_reader_prepare(&reader, drop, 0);
	maildrop_reader_age(&reader);
	cr_expect_eq(reader.text.length, 6);
	cr_assert_eq(maildrop_reader_open(&reader, drop, 0, &err), OUTCOME_DONE);
	maildrop_reader_age(&reader);
	maildrop_reader_age(&reader);
	expect_rest(100, "first\n");
	maildrop_reader_close(&reader);
	maildrop_reader_prepare(&reader, drop, 1);
	maildrop_reader_age(&reader);
	maildrop_reader_age(&reader);
	cr_expect_eq(reader.text.capacity, 0);
	expect_message(1, 100, "second\n");
	end();
}

Test(maildrop_reader, empty_messages)
{
	put("new/0.empty", "");
	begin();
	maildrop_reader_prepare(&reader, drop, 0);
	take_away("new/0.empty");
	expect_message(0, 100, "");
	end();
}
