/*
 * Text codecs. Laws: decode(encode(x)) == x for any octets; what decodes encodes to the same text; what one
 * function calls valid the next one can walk; printed durations and sizes are read back, and no larger than
 * they were.
 */
#include <stdint.h>

#include "lib/id.h"
#include "lib/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool law)
{
	if (!law)
		abort();
}

struct codec {
	void (*encode)(const uint8_t *bytes, size_t length, struct buf *out);
	bool (*decode)(struct view text, struct buf *out);
};

static void try_codec(const struct codec *codec, struct view v)
{
	struct buf one;
	struct buf two;

	buf_init(&one, 2 * v.length + 10);
	buf_init(&two, 2 * v.length + 10);
	codec->encode(v.bytes, v.length, &one);
	must(codec->decode(view_buf(&one), &two) && view_equal(view_buf(&two), v));
	buf_clear(&one);
	buf_clear(&two);
	if (codec->decode(v, &one)) {
		codec->encode(one.bytes, one.length, &two);
		must(view_equal(view_buf(&two), v));
	}
	buf_release(&one);
	buf_release(&two);
}

static void try_utf8(struct view v)
{
	struct view rest = v;
	struct buf shown;
	uint32_t point;
	size_t length;

	while ((length = utf8_next(rest, &point)) > 0) {
		must(length <= 4 && length <= rest.length && point <= 0x10ffff);
		rest = view_from(rest, length);
	}
	must(utf8_valid(v) == (rest.length == 0));
	buf_init(&shown, 4 * v.length + 10);
	text_visible(v, SIZE_MAX, &shown);
	must(!shown.failed && utf8_valid(view_buf(&shown)) && !text_has_control(view_buf(&shown)));
	if (utf8_valid(v) && !text_has_control(v))
		must(view_equal(view_buf(&shown), v));
	buf_release(&shown);
}

static void try_scaled(const char *text, bool parse(const char *text, uint64_t *number),
    void print(uint64_t number, char out[static 24]))
{
	char printed[24];
	char again[24];
	uint64_t number;
	uint64_t back;

	if (!parse(text, &number))
		return;
	print(number, printed);
	must(parse(printed, &back) && back <= number && back >= number / 2);
	print(back, again);
	must(strcmp(again, printed) == 0);
}

static void try_dates(struct view v)
{
	char date[DATE_TEXT];
	int64_t seconds = 0;

	memcpy(&seconds, v.bytes, v.length < sizeof seconds ? v.length : sizeof seconds);
	date_rfc5322(seconds, date);
	must(strlen(date) >= 30 && strlen(date) <= 31);
	date_rfc3339(seconds, date);
	must(strlen(date) == 20);
}

static void try_id(struct view v)
{
	char text[LIMIT_ID];
	struct id id;

	if (id_parse(v, &id)) {
		id_print(&id, text);
		must(view_is(v, text));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct codec base32 = {base32_encode, base32_decode};
	static const struct codec hex = {hex_encode, hex_decode};
	struct buf copy;
	struct view v;

	buf_init(&copy, size + 1);
	buf_append(&copy, data, size);
	v = view_of(buf_string(&copy), size);
	try_codec(&base32, v);
	try_codec(&hex, v);
	try_utf8(v);
	try_scaled(buf_string(&copy), duration_parse, duration_print);
	try_scaled(buf_string(&copy), size_parse, size_print);
	try_dates(v);
	try_id(v);
	(void)host_name_valid(buf_string(&copy));
	buf_release(&copy);
	return 0;
}
