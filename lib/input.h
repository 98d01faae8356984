/*
 * Input that waits for a machine which reads lines, and may hold passwords: what has been read of those is wiped, here, in
 * the reader, and wherever a buffer had to grow.
 *
 *	input_init(&in, 16384);
 *	input_add(&in, &bytes);                                takes what it has room for
 *	if (input_line(&in, &reader, 512, INPUT_SECRET)) {
 *		... reader.fault, view_buf(&reader.line)
 *		input_line_done(&reader, INPUT_SECRET);
 *	}
 */
#ifndef LIB_INPUT_H
#define LIB_INPUT_H

#include "lib/lines.h"

struct input {
	struct buf bytes;
	size_t at; /* what stands before it is done with */
};

/* May what is read be a password? */
enum input_secrecy { INPUT_OPEN, INPUT_SECRET };

/* At most MAXIMUM octets wait. */
void input_init(struct input *in, size_t maximum);
/* Wipes what is left, and frees the memory. */
void input_release(struct input *in);
/* Frees the memory when nothing waits; what was read of secrets is wiped already. */
void input_rest(struct input *in);
/* Takes bytes off the front of FROM, as many as there is room for. */
void input_add(struct input *in, struct view *from);
/* What waits. Valid until the next input_add or input_rest, whatever is taken. */
struct view input_view(const struct input *in);
void input_take(struct input *in, size_t length);
/* Goes on reading R's line, of at most MAXIMUM octets; true: it is complete. */
bool input_line(struct input *in, struct line_reader *r, size_t maximum, enum input_secrecy secrecy);
/* Begins the next line. */
void input_line_done(struct line_reader *r, enum input_secrecy secrecy);

#endif
