#include "lib/stream.h"

#include <errno.h>

#include "lib/file.h"
#include "lib/limits.h"

enum outcome source_read(struct source *s, void *bytes, size_t size, size_t *got, struct error *err)
{
	return s->read(s, bytes, size, got, err);
}

enum outcome sink_write(struct sink *s, const void *bytes, size_t size, struct error *err)
{
	return size == 0 ? OUTCOME_DONE : s->write(s, bytes, size, err);
}

enum outcome sink_view(struct sink *s, struct view v, struct error *err)
{
	return sink_write(s, v.bytes, v.length, err);
}

enum outcome stream_copy(struct source *from, struct sink *to, uint64_t *copied, struct error *err)
{
	uint8_t chunk[COPY_CHUNK];
	uint64_t total = 0;
	size_t got;

	for (;;) {
		enum outcome outcome = source_read(from, chunk, sizeof chunk, &got, err);

		if (outcome == OUTCOME_DONE && got > 0)
			outcome = sink_write(to, chunk, got, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
		if (got == 0)
			break;
		total += got;
	}
	if (copied != NULL)
		*copied = total;
	return OUTCOME_DONE;
}

static enum outcome view_source_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct view_source *s = (struct view_source *)self;

	(void)err;
	*got = size < s->rest.length ? size : s->rest.length;
	if (*got > 0)
		memcpy(bytes, s->rest.bytes, *got);
	s->rest = view_from(s->rest, *got);
	return OUTCOME_DONE;
}

void view_source_init(struct view_source *s, struct view bytes)
{
	*s = (struct view_source){{view_source_read}, bytes};
}

static enum outcome buf_sink_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct buf *b = ((struct buf_sink *)self)->buf;

	buf_append(b, bytes, size);
	if (b->failed)
		return error_set(err, EX_DATAERR, "larger than the limit of %zu bytes", b->maximum);
	return OUTCOME_DONE;
}

void buf_sink_init(struct buf_sink *s, struct buf *buf)
{
	*s = (struct buf_sink){{buf_sink_write}, buf};
}

enum outcome buffer_sink_flush(struct buffer_sink *s, struct error *err)
{
	enum outcome outcome = sink_view(s->below, view_buf(&s->buf), err);

	buf_clear(&s->buf);
	return outcome;
}

static enum outcome buffer_sink_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct buffer_sink *s = (struct buffer_sink *)self;

	if (s->buf.length + size > COPY_CHUNK) {
		enum outcome outcome = buffer_sink_flush(s, err);

		if (outcome != OUTCOME_DONE || size >= COPY_CHUNK)
			return outcome == OUTCOME_DONE ? sink_write(s->below, bytes, size, err) : outcome;
	}
	buf_append(&s->buf, bytes, size);
	return OUTCOME_DONE;
}

void buffer_sink_init(struct buffer_sink *s, struct sink *below)
{
	*s = (struct buffer_sink){{buffer_sink_write}, below, {0}};
	buf_init(&s->buf, COPY_CHUNK);
}

void buffer_sink_release(struct buffer_sink *s)
{
	buf_release(&s->buf);
}

static enum outcome null_sink_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	(void)bytes;
	(void)err;
	((struct null_sink *)self)->count += size;
	return OUTCOME_DONE;
}

void null_sink_init(struct null_sink *s)
{
	*s = (struct null_sink){{null_sink_write}, 0};
}

static enum outcome fd_source_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct fd_source *s = (struct fd_source *)self;
	ssize_t count;

	do
		count = read(s->fd, bytes, size);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return error_errno(err, errno, "cannot read %s", s->name);
	*got = (size_t)count;
	return OUTCOME_DONE;
}

void fd_source_init(struct fd_source *s, int fd, const char *name)
{
	*s = (struct fd_source){{fd_source_read}, fd, name};
}

static enum outcome fd_sink_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct fd_sink *s = (struct fd_sink *)self;

	return file_write(s->fd, bytes, size, s->name, err);
}

void fd_sink_init(struct fd_sink *s, int fd, const char *name)
{
	*s = (struct fd_sink){{fd_sink_write}, fd, name};
}
