#include "lib/wire.h"

#include "lib/alloc.h"

void wire_varint(struct buf *b, uint64_t number)
{
	while (number >= 0x80) {
		buf_byte(b, (uint8_t)(number | 0x80));
		number >>= 7;
	}
	buf_byte(b, (uint8_t)number);
}

void wire_signed(struct buf *b, int64_t number)
{
	wire_varint(b, ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0));
}

void wire_view(struct buf *b, struct view v)
{
	wire_varint(b, v.length);
	buf_view(b, v);
}

void wire_text(struct buf *b, const char *text)
{
	wire_view(b, view_text(text));
}

void wire_u32(struct buf *b, uint32_t number)
{
	for (int shift = 0; shift < 32; shift += 8)
		buf_byte(b, (uint8_t)(number >> shift));
}

void wire_u64(struct buf *b, uint64_t number)
{
	for (int shift = 0; shift < 64; shift += 8)
		buf_byte(b, (uint8_t)(number >> shift));
}

void reader_init(struct reader *r, struct view bytes)
{
	*r = (struct reader){.rest = bytes};
}

bool reader_at_end(const struct reader *r)
{
	return r->failed || r->rest.length == 0;
}

struct view read_bytes(struct reader *r, size_t length)
{
	struct view bytes;

	if (r->failed || length > r->rest.length) {
		r->failed = true;
		return view_of(NULL, 0);
	}
	bytes = view_of(r->rest.bytes, length);
	r->rest = view_from(r->rest, length);
	return bytes;
}

uint8_t read_byte(struct reader *r)
{
	struct view v = read_bytes(r, 1);

	return v.length == 1 ? v.bytes[0] : 0;
}

uint64_t read_varint(struct reader *r)
{
	uint64_t number = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = read_byte(r);

		if (r->failed || (shift == 63 && byte > 1) || (byte == 0 && shift > 0))
			break; /* cut short, above 64 bits, or not the shortest form */
		number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return number;
	}
	r->failed = true;
	return 0;
}

uint64_t read_varint_max(struct reader *r, uint64_t maximum)
{
	uint64_t number = read_varint(r);

	if (number > maximum) {
		r->failed = true;
		return 0;
	}
	return number;
}

int64_t read_signed(struct reader *r)
{
	uint64_t number = read_varint(r);

	return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

static uint64_t read_fixed(struct reader *r, size_t bytes)
{
	struct view v = read_bytes(r, bytes);
	uint64_t number = 0;

	for (size_t i = v.length; i > 0; i--)
		number = number << 8 | v.bytes[i - 1];
	return number;
}

uint32_t read_u32(struct reader *r)
{
	return (uint32_t)read_fixed(r, 4);
}

uint64_t read_u64(struct reader *r)
{
	return read_fixed(r, 8);
}

struct view read_view(struct reader *r, size_t maximum)
{
	return read_bytes(r, (size_t)read_varint_max(r, maximum));
}

char *read_text(struct reader *r, size_t maximum)
{
	struct view v = read_view(r, maximum);

	if (!r->failed && v.length > 0 && memchr(v.bytes, '\0', v.length) != NULL)
		r->failed = true;
	return r->failed ? NULL : mem_copy(v.bytes, v.length);
}
