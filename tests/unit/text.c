#include <criterion/criterion.h>

#include "lib/limits.h"
#include "lib/text.h"

Test(text, ascii_only)
{
	for (unsigned c = 0; c < 256; c++) {
		bool upper = c >= 'A' && c <= 'Z';
		bool lower = c >= 'a' && c <= 'z';

		cr_assert_eq(text_is_alpha((uint8_t)c), upper || lower, "octet %u", c);
		cr_assert_eq(text_is_digit((uint8_t)c), c >= '0' && c <= '9', "octet %u", c);
		cr_assert_eq(text_lower((uint8_t)c), upper ? c + 32 : c, "octet %u", c);
	}
}

Test(text, comparisons)
{
	char text[] = "ABC-xyz\xc3\x89Z";

	cr_assert(text_same("VilLage", "vIlLage"));
	cr_assert_not(text_same("village", "villag"));
	cr_assert_not(text_same("\xc3\x89", "\xc3\xa9"), "no case but that of A-Z");
	cr_assert_not(text_same("[", "{"));
	cr_assert(view_same(view_of("A\0", 2), view_of("a\0", 2)));
	cr_assert(view_same(view_of(NULL, 0), view_text("")));
	cr_assert(text_starts("abc", ""));
	cr_assert(text_starts("abc", "abc"));
	cr_assert_not(text_starts("abc", "abcd"));
	cr_assert(text_ends("abc", ""));
	cr_assert(text_ends("abc", "abc"));
	cr_assert(text_ends("abc", "bc"));
	cr_assert_not(text_ends("bc", "abc"));
	cr_assert_not(text_ends("abcd", "bc"));
	text_lower_all(text);
	cr_assert_str_eq(text, "abc-xyz\xc3\x89z");
}

/* ---- UTF-8 -----------------------------------------------------------------------------------------------
 */

static size_t utf8_put(uint32_t point, uint8_t out[static 4])
{
	if (point < 0x80) {
		out[0] = (uint8_t)point;
		return 1;
	}
	size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;

	for (size_t i = more; i > 0; i--) {
		out[i] = (uint8_t)(0x80 | (point & 0x3f));
		point >>= 6;
	}
	out[0] = (uint8_t)((0xf00 >> (more + 1) & 0xff) | point);
	return more + 1;
}

Test(text, every_code_point)
{
	for (uint32_t point = 0; point < 0x200000; point++) {
		uint8_t bytes[4];
		size_t length = utf8_put(point, bytes);
		uint32_t back = 0;
		bool good = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);

		cr_assert_eq(utf8_valid(view_of(bytes, length)), good, "U+%X", point);
		cr_assert_eq(utf8_next(view_of(bytes, length), &back), good ? length : 0, "U+%X", point);
		cr_assert(!good || back == point, "U+%X", point);
		for (size_t cut = 1; cut < length; cut++)
			cr_assert_not(utf8_valid(view_of(bytes, cut)), "U+%X cut to %zu", point, cut);
	}
}

Test(text, malformed_utf8)
{
	static const char *const rows[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
	    "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80",
	    "\xfe", "\xff", "\xed\xa0\x80", "\xed\xbf\xbf", "\xc3(", "\xe2\x82(", "\xf0\x9f\x98(", "a\xc3",
	    "\xc3\xa9\xa9"};
	uint32_t unused;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		cr_assert_not(utf8_valid(view_text(rows[i])), "row %zu", i);
	cr_assert(utf8_valid(view_of(NULL, 0)));
	cr_assert(utf8_valid(view_of("a\0b", 3)));
	cr_assert_eq(utf8_next(view_of(NULL, 0), &unused), 0);
	cr_assert_not(view_has_8bit(view_text("abc\x7f")));
	cr_assert(view_has_8bit(view_text("abc\x80")));
}

Test(text, controls_and_what_is_visible)
{
	static const struct {
		const char *text;
		size_t length;
		bool control;
		const char *shown;
	} rows[] = {
	    {"", 0, false, ""},
	    {"plain ~", 7, false, "plain ~"},
	    {"a\nb", 3, true, "a\\x0Ab"},
	    {"a\0b", 3, true, "a\\x00b"},
	    {"\x1b[31m", 5, true, "\\x1B[31m"},
	    {"\x7f", 1, true, "\\x7F"},
	    {"h\xc3\xa9", 3, false, "h\xc3\xa9"},
	    {"\xc2\x85", 2, true, "\\xC2\\x85"},
	    {"\xc2\xa0", 2, false, "\xc2\xa0"},
	    {"\xff\xc3", 2, false, "\\xFF\\xC3"},
	    {"\xed\xa0\x80", 3, false, "\\xED\\xA0\\x80"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct view v = view_of(rows[i].text, rows[i].length);

		cr_assert_eq(text_has_control(v), rows[i].control, "row %zu", i);
		for (size_t maximum = 0; maximum < 20; maximum++) {
			struct buf b;
			size_t whole = strlen(rows[i].shown);

			buf_init(&b, 100);
			text_visible(v, maximum, &b);
			cr_assert_leq(b.length, maximum);
			cr_assert(text_starts(rows[i].shown, buf_string(&b)), "row %zu", i);
			cr_assert(utf8_valid(view_buf(&b)), "never cut inside a character");
			cr_assert(b.length == whole || maximum < whole, "row %zu", i);
			buf_release(&b);
		}
	}
}

Test(text, strangers_words_are_shown_in_ascii)
{
	static const struct {
		const char *text;
		size_t maximum;
		const char *shown;
	} rows[] = {
	    {"", 100, ""},
	    {"plain ~ text", 100, "plain ~ text"},
	    {"plain", 3, "pla"},
	    {"plain", 0, ""},
	    {"\xc3\xa4x\n", 100, "\\xC3\\xA4x\\x0A"},
	    {"a\x7f\x1b", 100, "a\\x7F\\x1B"},
	    {"a\nb", 6, "a\\x0Ab"},
	    {"a\nb", 5, "a\\x0A"},
	    {"a\nb", 4, "a"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct buf b;

		buf_init(&b, SIZE_MAX);
		text_visible_ascii(view_text(rows[i].text), rows[i].maximum, &b);
		cr_expect_str_eq(buf_string(&b), rows[i].shown, "row %zu", i);
		buf_release(&b);
	}
}

/* ---- names, numbers --------------------------------------------------------------------------------------
 */

Test(text, host_names)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
	    {"a", true},
	    {"village", true},
	    {"b2-3", true},
	    {"abcdefghijklmnopqrstuvwxyz012345", true},
	    {"", false},
	    {"abcdefghijklmnopqrstuvwxyz0123456", false},
	    {"2b", false},
	    {"-a", false},
	    {"a-", false},
	    {"A", false},
	    {"a.b", false},
	    {"a_b", false},
	    {"a b", false},
	    {"..", false},
	    {"a/b", false},
	    {"\xc3\xa9", false},
	    {"a\n", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		cr_assert_eq(host_name_valid(rows[i].name), rows[i].good, "\"%s\"", rows[i].name);
}

Test(text, numbers)
{
	static const struct {
		const char *text;
		uint64_t maximum;
		bool good;
		uint64_t number;
	} rows[] = {
	    {"0", 0, true, 0},
	    {"1", 0, false, 0},
	    {"007", 7, true, 7},
	    {"100", 100, true, 100},
	    {"101", 100, false, 0},
	    {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
	    {"18446744073709551616", UINT64_MAX, false, 0},
	    {"18446744073709551620", UINT64_MAX, false, 0},
	    {"99999999999999999999999", UINT64_MAX, false, 0},
	    {"", 9, false, 0},
	    {"+1", 9, false, 0},
	    {"-1", 9, false, 0},
	    {" 1", 9, false, 0},
	    {"1 ", 9, false, 0},
	    {"1a", 9, false, 0},
	    {"0x1", 9, false, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t number = 4711;

		cr_assert_eq(number_parse(view_text(rows[i].text), rows[i].maximum, &number), rows[i].good, "\"%s\"",
		    rows[i].text);
		cr_assert_eq(number, rows[i].good ? rows[i].number : 4711, "\"%s\"", rows[i].text);
	}
}

Test(text, durations_and_sizes)
{
	static const struct {
		const char *text;
		bool duration; /* else a size */
		bool good;
		uint64_t number;
	} rows[] = {
	    {"90", true, true, 90},
	    {"90s", true, true, 90},
	    {"15m", true, true, 900},
	    {"4h", true, true, 14400},
	    {"3d", true, true, 259200},
	    {"2w", true, true, 1209600},
	    {"2W", true, true, 1209600},
	    {"0", true, true, 0},
	    {"30500568904943w", true, true, UINT64_C(18446744073709526400)},
	    {"30500568904944w", true, false, 0},
	    {"", true, false, 0},
	    {"w", true, false, 0},
	    {"1y", true, false, 0},
	    {"1 d", true, false, 0},
	    {"-1d", true, false, 0},
	    {"1dd", true, false, 0},
	    {"1h30m", true, false, 0},
	    {"1.5h", true, false, 0},
	    {"512", false, true, 512},
	    {"64k", false, true, 65536},
	    {"64K", false, true, 65536},
	    {"10M", false, true, 10485760},
	    {"1G", false, true, 1073741824},
	    {"17179869183G", false, true, UINT64_C(18446744072635809792)},
	    {"17179869184G", false, false, 0},
	    {"18446744073709551615", false, true, UINT64_MAX},
	    {"k", false, false, 0},
	    {"1T", false, false, 0},
	    {"1kB", false, false, 0},
	    {"", false, false, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t number = 0;
		bool good =
		    rows[i].duration ? duration_parse(rows[i].text, &number) : size_parse(rows[i].text, &number);

		cr_assert_eq(good, rows[i].good, "\"%s\"", rows[i].text);
		cr_assert(!good || number == rows[i].number, "\"%s\"", rows[i].text);
	}
}

Test(text, printed_durations_and_sizes)
{
	static const struct {
		uint64_t number;
		const char *duration;
		const char *size;
	} rows[] = {
	    {0, "0s", "0"},
	    {59, "59s", "59"},
	    {60, "1m", "60"},
	    {1023, "17m", "1023"},
	    {1024, "17m", "1k"},
	    {3599, "59m", "3k"},
	    {3600, "1h", "3k"},
	    {86399, "23h", "84k"},
	    {86400, "1d", "84k"},
	    {604799, "6d", "590k"},
	    {604800, "1w", "590k"},
	    {1048575, "1w", "1023k"},
	    {1048576, "1w", "1M"},
	    {1073741823, "1775w", "1023M"},
	    {1073741824, "1775w", "1G"},
	    {UINT64_MAX, "30500568904943w", "17179869183G"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char text[24];
		uint64_t back;

		duration_print(rows[i].number, text);
		cr_assert_str_eq(text, rows[i].duration);
		cr_assert(duration_parse(text, &back));
		cr_assert_leq(back, rows[i].number);
		size_print(rows[i].number, text);
		cr_assert_str_eq(text, rows[i].size);
		cr_assert(size_parse(text, &back));
		cr_assert_leq(back, rows[i].number);
	}
}

Test(text, two_sizes_are_told_apart)
{
	char a[24];
	char b[24];

	size_print_both(2052824, a, 1048576, b);
	cr_expect_str_eq(a, "2052824");
	cr_expect_str_eq(b, "1048576");
	size_print_both(3000000, a, 1048576, b);
	cr_expect_str_eq(a, "2M");
	cr_expect_str_eq(b, "1M");
	size_print_both(5, a, 5, b);
	cr_expect_str_eq(a, "5");
	cr_expect_str_eq(b, "5");
}

Test(text, dates)
{
	static const struct {
		int64_t seconds;
		const char *mail;
		const char *log;
	} rows[] = {
	    {0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z"},
	    {-1, "Wed, 31 Dec 1969 23:59:59 +0000", "1969-12-31T23:59:59Z"},
	    {951827696, "Tue, 29 Feb 2000 12:34:56 +0000", "2000-02-29T12:34:56Z"},
	    {INT64_C(1) << 31, "Tue, 19 Jan 2038 03:14:08 +0000", "2038-01-19T03:14:08Z"},
	    {INT64_C(253402300799), "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"},
	    {INT64_C(253402300800), "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"},
	    {INT64_C(67768036191676799), "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"},
	    {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"},
	    {INT64_C(-62135596800), "Mon, 1 Jan 0001 00:00:00 +0000", "0001-01-01T00:00:00Z"},
	    {INT64_MIN, "Mon, 1 Jan 0001 00:00:00 +0000", "0001-01-01T00:00:00Z"},
	};

	setenv("TZ", "Pacific/Kiritimati", 1);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char text[DATE_TEXT];

		date_rfc5322(rows[i].seconds, text);
		cr_assert_str_eq(text, rows[i].mail);
		date_rfc3339(rows[i].seconds, text);
		cr_assert_str_eq(text, rows[i].log);
	}
}

/* ---- encodings -------------------------------------------------------------------------------------------
 */

Test(text, base32_by_rfc4648)
{
	static const struct {
		const char *plain;
		const char *text;
	} rows[] = {{"", ""}, {"f", "my"}, {"fo", "mzxq"}, {"foo", "mzxw6"}, {"foob", "mzxw6yq"},
	    {"fooba", "mzxw6ytb"}, {"foobar", "mzxw6ytboi"}};
	static const char *const bad[] = {
	    "a", "aaa", "aaaaaa", "mz", "mzxw7", "MY", "m1", "my======", "m y", "m8", "\xc3\xa9"};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct buf b;

		buf_init(&b, 100);
		base32_encode((const uint8_t *)rows[i].plain, strlen(rows[i].plain), &b);
		cr_assert_str_eq(buf_string(&b), rows[i].text);
		buf_clear(&b);
		cr_assert(base32_decode(view_text(rows[i].text), &b));
		cr_assert_str_eq(buf_string(&b), rows[i].plain);
		buf_release(&b);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct buf b;

		buf_init(&b, 100);
		cr_assert_not(base32_decode(view_text(bad[i]), &b), "\"%s\"", bad[i]);
		buf_release(&b);
	}
	struct buf b;

	buf_init(&b, 100);
	cr_assert_not(base32_decode(view_of("a\0", 2), &b));
	buf_release(&b);
}

Test(text, encodings_are_inverse_at_every_length)
{
	uint8_t bytes[300];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 151 + 7);
	for (size_t length = 0; length <= sizeof bytes; length++) {
		struct buf text;
		struct buf back;

		buf_init(&text, 1000);
		buf_init(&back, 1000);
		base32_encode(bytes, length, &text);
		cr_assert_eq(text.length, (length * 8 + 4) / 5);
		cr_assert(base32_decode(view_buf(&text), &back));
		cr_assert(view_equal(view_buf(&back), view_of(bytes, length)));
		buf_clear(&text);
		buf_clear(&back);
		hex_encode(bytes, length, &text);
		cr_assert_eq(text.length, 2 * length);
		cr_assert(hex_decode(view_buf(&text), &back));
		cr_assert(view_equal(view_buf(&back), view_of(bytes, length)));
		buf_release(&text);
		buf_release(&back);
	}
}

Test(text, hex)
{
	static const char *const bad[] = {"0", "0g", "g0", "AB", "0x00", " 00", "000"};
	struct buf b;

	buf_init(&b, 100);
	hex_encode((const uint8_t *)"\0\x0f\xf0\xff", 4, &b);
	cr_assert_str_eq(buf_string(&b), "000ff0ff");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_not(hex_decode(view_text(bad[i]), &b), "\"%s\"", bad[i]);
	cr_assert_not(hex_decode(view_of("0\0", 2), &b));
	cr_assert_not(hex_decode(view_of("\0"
					 "0",
				     2),
	    &b));
	buf_release(&b);
}
