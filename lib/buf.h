/*
 * Byte strings. `struct buf` owns memory that grows up to a maximum given at init; when the maximum is passed,
 * or a reader runs off its end, a sticky flag is set and further calls do nothing: callers append or read at
 * will and look at the flag once.
 *
 *	struct buf b;
 *	buf_init(&b, 4096);
 *	buf_text(&b, "hello ");
 *	buf_number(&b, 42);
 *	if (b.failed) ...
 *	buf_release(&b);
 *
 * `struct view` borrows bytes that somebody else owns.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view {
	const uint8_t *bytes;
	size_t length;
};

struct buf {
	uint8_t *bytes; /* one NUL more than `length` is kept, so text can be read in place */
	size_t length;
	size_t capacity;
	size_t maximum;
	bool failed;
};

/* An empty buffer of at most MAXIMUM bytes; nothing is allocated yet. */
void buf_init(struct buf *b, size_t maximum);
/* Frees the memory; the buffer is then as after buf_init. Safe on a zeroed struct. */
void buf_release(struct buf *b);
/* The same for what was secret: the memory is wiped first. */
void buf_wipe(struct buf *b);
/* Empties the buffer, keeps the memory, clears `failed`. */
void buf_clear(struct buf *b);

void buf_append(struct buf *b, const void *bytes, size_t length);
void buf_byte(struct buf *b, uint8_t byte);
void buf_text(struct buf *b, const char *text);
void buf_view(struct buf *b, struct view v);
void buf_number(struct buf *b, uint64_t number);
/* The same digits as a C string. */
#define DIGITS_TEXT 21
void digits_print(uint64_t number, char out[static DIGITS_TEXT]);
void buf_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for LENGTH bytes at the end, counted as used; null when the maximum is passed. */
uint8_t *buf_extend(struct buf *b, size_t length);
/* Takes LENGTH bytes off the front. */
void buf_consume(struct buf *b, size_t length);
/* The content as a C string, never null; what follows a NUL inside is not seen. */
const char *buf_string(const struct buf *b);
/* Gives up the memory to the caller as a C string (free() it); the buffer is empty afterwards. */
char *buf_detach(struct buf *b);

struct view view_of(const void *bytes, size_t length);
struct view view_text(const char *text);
struct view view_buf(const struct buf *b);
bool view_equal(struct view a, struct view b);
bool view_is(struct view a, const char *text);
/* The part of V from offset FROM to the end (empty when FROM is past it). */
struct view view_from(struct view v, size_t from);
/* Splits off the next line: sets LINE without its LF and returns true, or false at the end of V. */
bool view_line(struct view *v, struct view *line);

#endif
