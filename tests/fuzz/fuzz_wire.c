/*
 * Binary decoding. The input is a list of calls on itself: laws are that nothing is read beyond the end, that
 * a failure stays one, and that what was read as a number, text or set is written as the very octets it was
 * read from.
 */
#include <stdint.h>

#include "lib/ranges.h"
#include "lib/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RANGES_MAXIMUM 64

static void read_ranges(struct reader *r, struct buf *out)
{
	struct ranges set = {0};

	ranges_read(&set, RANGES_MAXIMUM, r);
	for (size_t i = 0; i < set.count; i++)
		if (set.items[i].first > set.items[i].last ||
		    (i > 0 && set.items[i].first <= set.items[i - 1].last + 1))
			abort();
	ranges_write(&set, SIZE_MAX, out);
	ranges_release(&set);
}

static void read_string(struct reader *r, struct buf *out)
{
	char *text = read_text(r, 1000);

	if ((text == NULL) != r->failed)
		abort();
	if (text != NULL)
		wire_text(out, text);
	free(text);
}

/* Reads one thing of KIND and writes it to OUT. */
static void step(uint8_t kind, struct reader *r, struct buf *out)
{
	switch (kind % 8) {
	case 0:
		wire_varint(out, read_varint(r));
		break;
	case 1:
		wire_signed(out, read_signed(r));
		break;
	case 2:
		wire_u32(out, read_u32(r));
		break;
	case 3:
		wire_u64(out, read_u64(r));
		break;
	case 4:
		wire_view(out, read_view(r, 1000));
		break;
	case 5:
		read_string(r, out);
		break;
	case 6:
		read_ranges(r, out);
		break;
	default:
		wire_varint(out, read_varint_max(r, kind));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r;
	struct buf out;

	reader_init(&r, view_of(data, size));
	buf_init(&out, size + 100);
	while (!reader_at_end(&r)) {
		uint8_t kind = read_byte(&r);
		struct view before = r.rest;

		buf_clear(&out);
		step(kind, &r, &out);
		if (r.rest.length > before.length)
			abort();
		if (r.failed) {
			if (read_byte(&r) != 0 || read_varint(&r) != 0 || read_view(&r, size).length != 0 ||
			    !r.failed)
				abort();
			break;
		}
		if (out.failed || !view_equal(view_buf(&out), view_of(before.bytes, before.length - r.rest.length)))
			abort();
	}
	buf_release(&out);
	return 0;
}
