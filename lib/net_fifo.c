#include "lib/net_fifo.h"

/* An empty buffer above this is given back. */
#define KEEP_MAX 1024

void fifo_init(struct fifo *f, size_t maximum)
{
	buf_init(&f->buf, maximum);
	f->start = 0;
}

void fifo_release(struct fifo *f)
{
	buf_release(&f->buf);
	f->start = 0;
}

size_t fifo_length(const struct fifo *f)
{
	return f->buf.length - f->start;
}

struct view fifo_view(const struct fifo *f)
{
	return view_from(view_buf(&f->buf), f->start);
}

void fifo_put(struct fifo *f, const void *bytes, size_t length)
{
	if (f->start > 0 && f->start >= f->buf.length / 2) {
		buf_consume(&f->buf, f->start);
		f->start = 0;
	}
	buf_append(&f->buf, bytes, length);
}

void fifo_take(struct fifo *f, size_t length)
{
	f->start += length < fifo_length(f) ? length : fifo_length(f);
	if (f->start < f->buf.length)
		return;
	f->start = 0;
	if (f->buf.capacity > KEEP_MAX)
		buf_release(&f->buf);
	else
		buf_clear(&f->buf);
}
