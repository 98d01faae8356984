#include "lib/buf.h"

#include <sodium.h>
#include <stdarg.h>

#include "lib/alloc.h"

/* A buffer below this grows to double its size, a larger one by half. */
#define BUF_DOUBLES 4096

void buf_init(struct buf *b, size_t maximum)
{
	*b = (struct buf){.maximum = maximum};
}

void buf_release(struct buf *b)
{
	free(b->bytes);
	buf_init(b, b->maximum);
}

void buf_wipe(struct buf *b)
{
	if (b->bytes != NULL)
		sodium_memzero(b->bytes, b->capacity);
	buf_release(b);
}

void buf_clear(struct buf *b)
{
	b->length = 0;
	b->failed = false;
	if (b->bytes != NULL)
		b->bytes[0] = '\0';
}

uint8_t *buf_extend(struct buf *b, size_t length)
{
	size_t wanted;
	uint8_t *place;

	if (b->failed || __builtin_add_overflow(b->length, length, &wanted) || wanted > b->maximum ||
	    wanted == SIZE_MAX) {
		b->failed = true;
		return NULL;
	}
	if (wanted + 1 > b->capacity) {
		size_t capacity = b->capacity < 64 ? 64 : b->capacity;

		while (capacity < wanted + 1)
			if (__builtin_add_overflow(
				capacity, capacity < BUF_DOUBLES ? capacity : capacity / 2, &capacity))
				capacity = wanted + 1;
		b->bytes = mem_resize(b->bytes, capacity, 1);
		b->capacity = capacity;
	}
	place = b->bytes + b->length;
	b->length = wanted;
	b->bytes[wanted] = '\0';
	return place;
}

void buf_append(struct buf *b, const void *bytes, size_t length)
{
	uint8_t *place;

	if (length == 0)
		return;
	place = buf_extend(b, length);
	if (place != NULL)
		memcpy(place, bytes, length);
}

void buf_byte(struct buf *b, uint8_t byte)
{
	buf_append(b, &byte, 1);
}

void buf_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_view(struct buf *b, struct view v)
{
	buf_append(b, v.bytes, v.length);
}

void digits_print(uint64_t number, char out[static DIGITS_TEXT])
{
	char digits[DIGITS_TEXT] = "";
	size_t at = sizeof digits - 1;

	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	memcpy(out, digits + at, sizeof digits - at);
}

void buf_number(struct buf *b, uint64_t number)
{
	char digits[DIGITS_TEXT];

	digits_print(number, digits);
	buf_text(b, digits);
}

void buf_format(struct buf *b, const char *format, ...)
{
	va_list arguments;
	char small[256];
	int length;

	va_start(arguments, format);
	length = vsnprintf(small, sizeof small, format, arguments);
	va_end(arguments);
	if (length < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)length < sizeof small) {
		buf_append(b, small, (size_t)length);
		return;
	}
	char *large = mem_alloc((size_t)length + 1);

	va_start(arguments, format);
	vsnprintf(large, (size_t)length + 1, format, arguments);
	va_end(arguments);
	buf_append(b, large, (size_t)length);
	free(large);
}

void buf_consume(struct buf *b, size_t length)
{
	if (length >= b->length) {
		b->length = 0;
	} else {
		memmove(b->bytes, b->bytes + length, b->length - length);
		b->length -= length;
	}
	if (b->bytes != NULL)
		b->bytes[b->length] = '\0';
}

const char *buf_string(const struct buf *b)
{
	return b->bytes == NULL ? "" : (const char *)b->bytes;
}

char *buf_detach(struct buf *b)
{
	char *text = b->bytes == NULL ? mem_string("") : (char *)b->bytes;

	buf_init(b, b->maximum);
	return text;
}

struct view view_of(const void *bytes, size_t length)
{
	return (struct view){bytes, length};
}

struct view view_text(const char *text)
{
	return view_of(text, strlen(text));
}

struct view view_buf(const struct buf *b)
{
	return view_of(b->bytes, b->length);
}

bool view_equal(struct view a, struct view b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

bool view_is(struct view a, const char *text)
{
	return view_equal(a, view_text(text));
}

struct view view_from(struct view v, size_t from)
{
	return from >= v.length ? view_of(v.bytes, 0) : view_of(v.bytes + from, v.length - from);
}

bool view_line(struct view *v, struct view *line)
{
	const uint8_t *end;

	if (v->length == 0)
		return false;
	end = memchr(v->bytes, '\n', v->length);
	if (end == NULL) {
		*line = *v;
		*v = view_of(v->bytes, 0);
	} else {
		*line = view_of(v->bytes, (size_t)(end - v->bytes));
		*v = view_from(*v, line->length + 1);
	}
	return true;
}
