/*
 * Octets that are put in at one end and taken off at the other, without moving the rest each time. Empty, it gives back
 * all but a little of its memory.
 */
#ifndef LIB_NET_FIFO_H
#define LIB_NET_FIFO_H

#include "lib/buf.h"

struct fifo {
	struct buf buf; /* `failed` when the maximum was passed */
	size_t start;
};

/* Up to half of MAXIMUM may be taken by what has gone already. */
void fifo_init(struct fifo *f, size_t maximum);
void fifo_release(struct fifo *f);
size_t fifo_length(const struct fifo *f);
/* What is in it, in one piece; valid until the next call. */
struct view fifo_view(const struct fifo *f);
void fifo_put(struct fifo *f, const void *bytes, size_t length);
/* Takes LENGTH octets off, or all. */
void fifo_take(struct fifo *f, size_t length);

#endif
