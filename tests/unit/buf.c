#include <criterion/criterion.h>

#include "lib/alloc.h"
#include "lib/buf.h"

Test(buf, grows_to_its_maximum_and_not_beyond)
{
	static const size_t maxima[] = {0, 1, 63, 64, 65, 4096};

	for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
		struct buf b;

		buf_init(&b, maxima[i]);
		for (size_t n = 0; n < maxima[i]; n++)
			buf_byte(&b, (uint8_t)n);
		cr_assert_not(b.failed);
		cr_assert_eq(b.length, maxima[i]);
		buf_append(&b, "", 0);
		cr_assert_not(b.failed, "nothing always fits");
		buf_byte(&b, 'x');
		cr_assert(b.failed);
		cr_assert_eq(b.length, maxima[i]);
		for (size_t n = 0; n < maxima[i]; n++)
			cr_assert_eq(b.bytes[n], (uint8_t)n);
		buf_release(&b);
	}
}

Test(buf, failure_sticks_until_cleared)
{
	struct buf b;

	buf_init(&b, 4);
	buf_text(&b, "ab");
	buf_text(&b, "cde");
	cr_assert(b.failed);
	buf_text(&b, "c");
	buf_number(&b, 1);
	buf_format(&b, "%s", "");
	cr_assert_null(buf_extend(&b, 1));
	cr_assert_str_eq(buf_string(&b), "ab", "nothing is appended after a failure");
	buf_clear(&b);
	cr_assert_not(b.failed);
	cr_assert_str_eq(buf_string(&b), "");
	buf_text(&b, "wxyz");
	cr_assert_not(b.failed);
	cr_assert_str_eq(buf_string(&b), "wxyz");
	buf_release(&b);
	cr_assert_eq(b.maximum, 4, "as after buf_init");
	buf_text(&b, "ab");
	cr_assert_str_eq(buf_string(&b), "ab");
	buf_release(&b);
}

Test(buf, sizes_that_overflow_are_refused)
{
	static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 2, SIZE_MAX / 2 + 1};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct buf b;

		buf_init(&b, sizes[i] == SIZE_MAX ? SIZE_MAX : 1000);
		buf_text(&b, "abc");
		cr_assert_null(buf_extend(&b, sizes[i]));
		cr_assert(b.failed);
		buf_release(&b);
		cr_assert_null(sizes[i] == SIZE_MAX ? buf_extend(&b, SIZE_MAX) : NULL);
	}
}

Test(buf, extend_gives_room_and_a_closing_nul)
{
	struct buf b;
	uint8_t *place;

	buf_init(&b, 1000);
	place = buf_extend(&b, 0);
	cr_assert_not_null(place);
	cr_assert_str_eq(buf_string(&b), "");
	buf_text(&b, "ab");
	place = buf_extend(&b, 300);
	memset(place, 'c', 300);
	cr_assert_eq(b.length, 302);
	cr_assert_eq(strlen(buf_string(&b)), 302);
	buf_release(&b);
}

Test(buf, numbers_and_formats)
{
	struct buf b;
	char large[600];

	memset(large, 'y', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	buf_init(&b, 2000);
	buf_number(&b, 0);
	buf_byte(&b, ' ');
	buf_number(&b, UINT64_MAX);
	cr_assert_str_eq(buf_string(&b), "0 18446744073709551615");
	/* Around the size of the buffer inside buf_format. */
	for (size_t length = 250; length < 260; length++) {
		buf_clear(&b);
		buf_format(&b, "%.*s", (int)length, large);
		cr_assert_eq(b.length, length);
		cr_assert_eq(strlen(buf_string(&b)), length);
	}
	buf_clear(&b);
	buf_format(&b, "<%s>%d", large, -5);
	cr_assert_eq(b.length, 603);
	cr_assert_str_eq(buf_string(&b) + 600, ">-5");
	buf_release(&b);
}

Test(buf, consume)
{
	static const struct {
		size_t count;
		const char *left;
	} rows[] = {{0, "abcdef"}, {1, "bcdef"}, {5, "f"}, {6, ""}, {7, ""}, {SIZE_MAX, ""}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct buf b;

		buf_init(&b, 100);
		buf_consume(&b, rows[i].count);
		buf_text(&b, "abcdef");
		buf_consume(&b, rows[i].count);
		cr_assert_str_eq(buf_string(&b), rows[i].left);
		cr_assert_eq(b.length, strlen(rows[i].left));
		buf_release(&b);
	}
}

Test(buf, nul_inside_and_detach)
{
	struct buf b;
	char *text;

	buf_init(&b, 100);
	cr_assert_str_eq(buf_string(&b), "");
	text = buf_detach(&b);
	cr_assert_str_eq(text, "");
	free(text);
	buf_append(&b, "a\0b", 3);
	cr_assert_eq(b.length, 3);
	cr_assert_str_eq(buf_string(&b), "a");
	text = buf_detach(&b);
	cr_assert_eq(memcmp(text, "a\0b\0", 4), 0);
	cr_assert_null(b.bytes);
	cr_assert_eq(b.length, 0);
	cr_assert_eq(b.maximum, 100);
	free(text);
}

Test(buf, release_of_nothing)
{
	struct buf b = {0};

	buf_release(&b);
	buf_clear(&b);
	buf_release(&b);
}

/* ---- views -----------------------------------------------------------------------------------------------
 */

Test(view, equality)
{
	cr_assert(view_equal(view_of(NULL, 0), view_text("")));
	cr_assert(view_equal(view_of("a\0b", 3), view_of("a\0b", 3)));
	cr_assert_not(view_equal(view_of("a\0b", 3), view_of("a\0c", 3)));
	cr_assert_not(view_equal(view_text("ab"), view_text("abc")));
	cr_assert(view_is(view_of("abc", 2), "ab"));
	cr_assert_not(view_is(view_of("a\0", 2), "a"));
}

Test(view, from)
{
	struct view v = view_text("abc");

	cr_assert(view_is(view_from(v, 0), "abc"));
	cr_assert(view_is(view_from(v, 2), "c"));
	cr_assert_eq(view_from(v, 3).length, 0);
	cr_assert_eq(view_from(v, SIZE_MAX).length, 0);
	cr_assert_eq(view_from(view_of(NULL, 0), 1).length, 0);
}

Test(view, lines)
{
	static const struct {
		const char *text;
		size_t count;
		const char *lines[4];
	} rows[] = {
	    {"", 0, {0}},
	    {"\n", 1, {""}},
	    {"a", 1, {"a"}},
	    {"a\n", 1, {"a"}},
	    {"a\nb", 2, {"a", "b"}},
	    {"\n\n\r\n", 3, {"", "", "\r"}},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct view rest = view_text(rows[i].text);
		struct view line;
		size_t count = 0;

		while (view_line(&rest, &line)) {
			cr_assert_lt(count, rows[i].count, "row %zu", i);
			cr_assert(view_is(line, rows[i].lines[count++]), "row %zu", i);
		}
		cr_assert_eq(count, rows[i].count, "row %zu", i);
	}
}

/* ---- memory ----------------------------------------------------------------------------------------------
 */

Test(alloc, what_it_gives)
{
	uint8_t *bytes = mem_alloc(0);
	char *text = mem_format("%d-%s", 5, "x");
	char *copy = mem_copy("a\0b", 3);
	uint64_t *numbers = NULL;
	size_t capacity = 0;

	cr_assert_not_null(bytes);
	cr_assert_str_eq(text, "5-x");
	cr_assert_eq(memcmp(copy, "a\0b\0", 4), 0);
	cr_assert_null(mem_string(NULL));
	for (size_t i = 0; i < 1000; i++) {
		numbers = mem_grow(numbers, i, &capacity, sizeof numbers[0]);
		cr_assert_gt(capacity, i);
		numbers[i] = i;
	}
	for (size_t i = 0; i < 1000; i++)
		cr_assert_eq(numbers[i], i);
	free(bytes);
	free(text);
	free(copy);
	free(numbers);
	bytes = mem_array(3, 5);
	for (size_t i = 0; i < 15; i++)
		cr_assert_eq(bytes[i], 0);
	free(bytes);
}

Test(alloc, a_product_that_overflows_is_out_of_memory, .exit_code = 75)
{
	size_t half = SIZE_MAX / 2 + 2;

	fclose(stderr);
	free(mem_resize(NULL, half, 2));
}
