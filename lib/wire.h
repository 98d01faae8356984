/*
 * Binary encoding for files and the air: variable-length integers (base 128, little end first, as few bytes as
 * possible: a longer form of the same number is refused), and counted strings.
 *
 * A `struct reader` walks over borrowed bytes. Running off the end or a malformed number sets `failed`, after
 * which every call returns zero or empty: read everything, then look at the flag once.
 */
#ifndef LIB_WIRE_H
#define LIB_WIRE_H

#include "lib/buf.h"

/* Longest encoding of a 64-bit number. */
#define VARINT_MAX 10

void wire_varint(struct buf *b, uint64_t number);
/* Signed numbers near zero stay short: 0, -1, 1, -2 … become 0, 1, 2, 3 … */
void wire_signed(struct buf *b, int64_t number);
/* A length as varint, then the bytes. */
void wire_view(struct buf *b, struct view v);
void wire_text(struct buf *b, const char *text);
void wire_u32(struct buf *b, uint32_t number); /* little-endian */
void wire_u64(struct buf *b, uint64_t number);

struct reader {
	struct view rest;
	bool failed;
};

void reader_init(struct reader *r, struct view bytes);
bool reader_at_end(const struct reader *r);
uint8_t read_byte(struct reader *r);
uint64_t read_varint(struct reader *r);
/* A varint that must not exceed MAXIMUM. */
uint64_t read_varint_max(struct reader *r, uint64_t maximum);
int64_t read_signed(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct view read_bytes(struct reader *r, size_t length);
/* A counted string of at most MAXIMUM bytes. */
struct view read_view(struct reader *r, size_t maximum);
/* The same as a new C string (free() it); null on failure or when it holds a NUL. */
char *read_text(struct reader *r, size_t maximum);

#endif
