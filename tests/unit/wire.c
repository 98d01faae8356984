#include <criterion/criterion.h>

#include "lib/wire.h"

/* "e58e26" */
static size_t unhex(const char *hex, uint8_t out[static 64])
{
	size_t length = strlen(hex) / 2;

	for (size_t i = 0; i < length; i++) {
		unsigned byte = 0;

		cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return length;
}

Test(wire, varints)
{
	static const struct {
		uint64_t number;
		const char *hex;
	} rows[] = {
	    {0, "00"},
	    {1, "01"},
	    {127, "7f"},
	    {128, "8001"},
	    {624485, "e58e26"},
	    {16383, "ff7f"},
	    {16384, "808001"},
	    {UINT32_MAX, "ffffffff0f"},
	    {UINT64_C(1) << 63, "80808080808080808001"},
	    {UINT64_MAX, "ffffffffffffffffff01"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint8_t bytes[64];
		size_t length = unhex(rows[i].hex, bytes);
		struct reader r;
		struct buf b;

		buf_init(&b, VARINT_MAX);
		wire_varint(&b, rows[i].number);
		cr_assert(view_equal(view_buf(&b), view_of(bytes, length)), "row %zu", i);
		reader_init(&r, view_buf(&b));
		cr_assert_eq(read_varint(&r), rows[i].number);
		cr_assert(reader_at_end(&r));
		cr_assert_not(r.failed);
		for (size_t cut = 0; cut < length; cut++) {
			reader_init(&r, view_of(bytes, cut));
			cr_assert_eq(read_varint(&r), 0);
			cr_assert(r.failed, "row %zu cut to %zu", i, cut);
		}
		buf_release(&b);
	}
}

/* Each length at both of its ends, both signs. */
Test(wire, round_trips_at_every_bit)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int around = -1; around <= 1; around++) {
			uint64_t number = (UINT64_C(1) << bit) + (uint64_t)around;
			struct reader r;
			struct buf b;

			buf_init(&b, 1000);
			wire_varint(&b, number);
			wire_signed(&b, (int64_t)number);
			wire_signed(&b, (int64_t)(0 - number));
			wire_u64(&b, number);
			wire_u32(&b, (uint32_t)number);
			reader_init(&r, view_buf(&b));
			cr_assert_eq(read_varint(&r), number);
			cr_assert_eq(read_signed(&r), (int64_t)number);
			cr_assert_eq(read_signed(&r), (int64_t)(0 - number));
			cr_assert_eq(read_u64(&r), number);
			cr_assert_eq(read_u32(&r), (uint32_t)number);
			cr_assert(!r.failed && r.rest.length == 0);
			buf_release(&b);
		}
	}
}

Test(wire, malformed_varints)
{
	static const char *const rows[] = {
	    "8000",		      /* zero in two octets */
	    "ff00",		      /* 127 in two */
	    "80808000",		      /* longer still */
	    "ffffffffffffffffff02",   /* 65 bits */
	    "ffffffffffffffffff7f",   /* 70 bits */
	    "ffffffffffffffffffff01", /* eleven octets */
	    "80808080808080808000",   /* ten octets of nothing */
	    "ffffffffffffffffff80",   /* goes on after the tenth */
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint8_t bytes[64];
		struct reader r;

		reader_init(&r, view_of(bytes, unhex(rows[i], bytes)));
		cr_assert_eq(read_varint(&r), 0, "row %zu", i);
		cr_assert(r.failed, "row %zu", i);
	}
}

Test(wire, signed_numbers_near_zero_are_short)
{
	static const struct {
		int64_t number;
		uint8_t byte;
	} rows[] = {{0, 0}, {-1, 1}, {1, 2}, {-2, 3}, {2, 4}, {63, 126}, {-64, 127}};
	struct buf b;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		buf_init(&b, 10);
		wire_signed(&b, rows[i].number);
		cr_assert_eq(b.length, 1);
		cr_assert_eq(b.bytes[0], rows[i].byte);
		buf_release(&b);
	}
	buf_init(&b, 10);
	wire_signed(&b, INT64_MIN);
	wire_signed(&b, INT64_MAX);
	cr_assert(b.failed, "ten octets each");
	buf_release(&b);
}

Test(wire, fixed_numbers_are_little_endian)
{
	struct buf b;

	buf_init(&b, 100);
	wire_u32(&b, 0x01020304u);
	wire_u64(&b, UINT64_C(0x0102030405060708));
	cr_assert(view_equal(view_buf(&b), view_of("\4\3\2\1\10\7\6\5\4\3\2\1", 12)));
	buf_release(&b);
}

Test(wire, maxima)
{
	struct reader r;

	reader_init(&r, view_of("\x05\x05", 2));
	cr_assert_eq(read_varint_max(&r, 5), 5);
	cr_assert_not(r.failed);
	cr_assert_eq(read_varint_max(&r, 4), 0);
	cr_assert(r.failed);
	reader_init(&r, view_of("\3abc\3abc", 8));
	cr_assert(view_is(read_view(&r, 3), "abc"));
	cr_assert_eq(read_view(&r, 2).length, 0);
	cr_assert(r.failed);
	reader_init(&r, view_of("\4abc", 4));
	cr_assert_eq(read_view(&r, 100).length, 0);
	cr_assert(r.failed, "longer than what is there");
}

Test(wire, texts)
{
	struct reader r;
	struct buf b;
	char *text;

	buf_init(&b, 100);
	wire_text(&b, "");
	wire_text(&b, "h\xc3\xa9");
	wire_view(&b, view_of("a\0b", 3));
	reader_init(&r, view_buf(&b));
	text = read_text(&r, 10);
	cr_assert_str_eq(text, "");
	free(text);
	text = read_text(&r, 3);
	cr_assert_str_eq(text, "h\xc3\xa9");
	free(text);
	cr_assert_null(read_text(&r, 10), "a NUL inside");
	cr_assert(r.failed);
	buf_release(&b);
}

Test(wire, after_a_failure_everything_is_empty)
{
	struct reader r;

	reader_init(&r, view_of("\1\2\3\4\5\6\7\10", 8));
	cr_assert_eq(read_bytes(&r, 9).length, 0);
	cr_assert(r.failed);
	cr_assert(reader_at_end(&r));
	cr_assert_eq(read_byte(&r), 0);
	cr_assert_eq(read_varint(&r), 0);
	cr_assert_eq(read_signed(&r), 0);
	cr_assert_eq(read_u32(&r), 0);
	cr_assert_eq(read_u64(&r), 0);
	cr_assert_eq(read_bytes(&r, 0).length, 0);
	cr_assert_eq(read_view(&r, 10).length, 0);
	cr_assert_null(read_text(&r, 10));
	cr_assert(r.failed);
}

Test(wire, the_end)
{
	struct reader r;

	reader_init(&r, view_of(NULL, 0));
	cr_assert(reader_at_end(&r));
	cr_assert_eq(read_bytes(&r, 0).length, 0);
	cr_assert_not(r.failed, "nothing can always be read");
	cr_assert_eq(read_byte(&r), 0);
	cr_assert(r.failed);
	reader_init(&r, view_of("\1\2\3", 3));
	cr_assert_eq(read_u32(&r), 0, "three octets are no number");
	cr_assert(r.failed);
}
