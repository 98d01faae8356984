#include <criterion/criterion.h>

#include "lib/alloc.h"
#include "lib/ranges.h"

/* Sets are written as "1-3,7". */
static char *print(const struct ranges *set)
{
	struct buf b;

	buf_init(&b, 100000);
	for (size_t i = 0; i < set->count; i++) {
		buf_format(&b, "%s%llu", i > 0 ? "," : "", (unsigned long long)set->items[i].first);
		if (set->items[i].last != set->items[i].first)
			buf_format(&b, "-%llu", (unsigned long long)set->items[i].last);
	}
	return buf_detach(&b);
}

static void scan(struct ranges *set, const char *text)
{
	while (*text != '\0') {
		char *end;
		uint64_t first = strtoull(text, &end, 10);
		uint64_t last = *end == '-' ? strtoull(end + 1, &end, 10) : first;

		ranges_add(set, first, last);
		text = *end == ',' ? end + 1 : end;
	}
}

static void expect(const struct ranges *set, const char *text)
{
	char *got = print(set);

	cr_assert_str_eq(got, text);
	free(got);
}

#define TOP  "18446744073709551615"
#define TOP1 "18446744073709551614"

Test(ranges, adding)
{
	static const struct {
		const char *before;
		uint64_t first, last;
		const char *after;
	} rows[] = {
	    {"", 5, 5, "5"},
	    {"", 0, 0, "0"},
	    {"5", 5, 5, "5"},
	    {"5", 4, 4, "4-5"},
	    {"5", 6, 6, "5-6"},
	    {"5", 3, 3, "3,5"},
	    {"5", 7, 7, "5,7"},
	    {"3,5", 4, 4, "3-5"},
	    {"1-3,5-7,9", 2, 6, "1-7,9"},
	    {"1-3,5-7,9", 4, 8, "1-9"},
	    {"1-3,5-7,9", 6, 6, "1-3,5-7,9"},
	    {"1-3,7-9", 5, 5, "1-3,5,7-9"},
	    {"1,3,5,7", 0, UINT64_MAX, "0-" TOP},
	    {"0", 1, 1, "0-1"},
	    {"1", 0, 0, "0-1"},
	    {"2", 0, 0, "0,2"},
	    {"", UINT64_MAX, UINT64_MAX, TOP},
	    {TOP, UINT64_MAX - 1, UINT64_MAX - 1, TOP1 "-" TOP},
	    {TOP1, UINT64_MAX, UINT64_MAX, TOP1 "-" TOP},
	    {"7," TOP, 0, 0, "0,7," TOP},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ranges set = {0};

		scan(&set, rows[i].before);
		ranges_add(&set, rows[i].first, rows[i].last);
		expect(&set, rows[i].after);
		ranges_release(&set);
		cr_assert_eq(set.count, 0);
	}
}

Test(ranges, cutting)
{
	static const struct {
		const char *before;
		uint64_t first, last;
		const char *after;
	} rows[] = {
	    {"", 0, UINT64_MAX, ""},
	    {"5", 5, 5, ""},
	    {"5", 4, 4, "5"},
	    {"5", 6, 6, "5"},
	    {"1-9", 5, 5, "1-4,6-9"},
	    {"1-9", 1, 1, "2-9"},
	    {"1-9", 9, 9, "1-8"},
	    {"1-9", 0, 4, "5-9"},
	    {"1-9", 5, 20, "1-4"},
	    {"1-3,5-7,9-11", 2, 10, "1,11"},
	    {"1-3,5-7,9-11", 4, 8, "1-3,9-11"},
	    {"1-3,5-7,9-11", 3, 5, "1-2,6-7,9-11"},
	    {"1-3,5-7,9-11", 0, UINT64_MAX, ""},
	    {"0-" TOP, 0, 0, "1-" TOP},
	    {"0-" TOP, UINT64_MAX, UINT64_MAX, "0-" TOP1},
	    {"1,3,5,7,9,11,13,15", 6, 8, "1,3,5,9,11,13,15"},
	    {"1-2,4-5,7-8,10-11,13-14,16-17,19-20,22-30", 25, 26, "1-2,4-5,7-8,10-11,13-14,16-17,19-20,22-24,27-30"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ranges set = {0};

		scan(&set, rows[i].before);
		ranges_cut(&set, rows[i].first, rows[i].last);
		expect(&set, rows[i].after);
		ranges_release(&set);
		scan(&set, rows[i].before);
		if (rows[i].first == rows[i].last) {
			ranges_remove(&set, rows[i].first);
			expect(&set, rows[i].after);
		}
		ranges_release(&set);
	}
}

/* Against a plain table of truth, with every kind of overlap. */
Test(ranges, as_a_set_of_numbers)
{
	enum { SIZE = 64 };
	struct ranges set = {0};
	bool member[SIZE] = {false};
	uint32_t state = 12345;

	for (unsigned step = 0; step < 20000; step++) {
		uint64_t first;
		uint64_t last;

		state = state * 1664525u + 1013904223u;
		first = state >> 26;
		last = first + (state >> 8) % 7;
		if (last >= SIZE)
			last = SIZE - 1;
		if ((state >> 20) % 5 < 2)
			ranges_add(&set, first, last);
		else
			ranges_cut(&set, first, last);
		for (uint64_t n = first; n <= last; n++)
			member[n] = (state >> 20) % 5 < 2;
		for (uint64_t n = 0; n < SIZE; n++)
			cr_assert_eq(ranges_contain(&set, n), member[n], "step %u, %d", step, (int)n);
		for (size_t i = 0; i < set.count; i++) {
			cr_assert_leq(set.items[i].first, set.items[i].last);
			cr_assert(i == 0 || set.items[i].first > set.items[i - 1].last + 1, "disjoint, not adjacent");
		}
	}
	ranges_release(&set);
}

Test(ranges, merge_and_last)
{
	struct ranges a = {0};
	struct ranges b = {0};

	cr_assert_eq(ranges_last(&a), 0);
	cr_assert_not(ranges_contain(&a, 0));
	scan(&a, "1-3,9");
	scan(&b, "4,6-8,20");
	ranges_merge(&a, &b);
	ranges_merge(&a, &b);
	expect(&a, "1-4,6-9,20");
	expect(&b, "4,6-8,20");
	cr_assert_eq(ranges_last(&a), 20);
	ranges_release(&a);
	ranges_release(&b);
}

Test(ranges, write_and_read)
{
	static const struct {
		const char *set;
		size_t maximum;
		const char *back;
		size_t octets;
	} rows[] = {
	    {"", 10, "", 1},
	    {"0", 10, "0", 3},
	    {"1-100", 10, "1-100", 3},
	    {"1,3-5,9", 10, "1,3-5,9", 7},
	    {"1,3-5,9", 3, "1,3-5,9", 7},
	    {"1,3-5,9", 2, "1,3-5", 5},
	    {"1,3-5,9", 0, "", 1},
	    {"18446744073709551613", 10, "18446744073709551613", 12},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ranges set = {0};
		struct ranges back = {0};
		struct reader r;
		struct buf b;

		buf_init(&b, 1000);
		scan(&set, rows[i].set);
		ranges_write(&set, rows[i].maximum, &b);
		cr_assert_eq(b.length, rows[i].octets, "row %zu: %zu", i, b.length);
		reader_init(&r, view_buf(&b));
		ranges_read(&back, 10, &r);
		cr_assert(!r.failed && r.rest.length == 0, "row %zu", i);
		expect(&back, rows[i].back);
		ranges_release(&set);
		ranges_release(&back);
		buf_release(&b);
	}
}

Test(ranges, read_refuses)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *why;
	} rows[] = {
	    {"", 0, "nothing"},
	    {"\3\0\0\0\0\0\0", 7, "more than the maximum"},
	    {"\2\1\1\1", 4, "cut short"},
	    {"\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 12, "the largest number"},
	    {"\1\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 12, "the largest but one"},
	    {"\1\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12, "its end overflows"},
	    {"\2\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 14, "the second overflows"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ranges set = {0};
		struct reader r;

		reader_init(&r, view_of(rows[i].bytes, rows[i].length));
		ranges_read(&set, 2, &r);
		cr_assert(r.failed, "%s", rows[i].why);
		ranges_release(&set);
	}
}
