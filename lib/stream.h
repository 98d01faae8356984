/*
 * Streams of bytes of any size through little memory. A source is pulled, a sink is pushed; whoever implements one
 * embeds the struct as the first member of its own. Nothing is closed through them: owners close.
 */
#ifndef LIB_STREAM_H
#define LIB_STREAM_H

#include "lib/buf.h"
#include "lib/error.h"

struct source {
	/* Fills up to SIZE bytes (SIZE > 0) and says how many in *GOT; 0 means the end. */
	enum outcome (*read)(struct source *self, void *bytes, size_t size, size_t *got, struct error *err);
};

struct sink {
	enum outcome (*write)(struct sink *self, const void *bytes, size_t size, struct error *err);
};

enum outcome source_read(struct source *s, void *bytes, size_t size, size_t *got, struct error *err);
enum outcome sink_write(struct sink *s, const void *bytes, size_t size, struct error *err);
enum outcome sink_view(struct sink *s, struct view v, struct error *err);
/* Copies the source to its end; *COPIED (may be null) counts the bytes. */
enum outcome stream_copy(struct source *from, struct sink *to, uint64_t *copied, struct error *err);

/* Borrowed bytes as a source. */
struct view_source {
	struct source source;
	struct view rest;
};
void view_source_init(struct view_source *s, struct view bytes);

/* Appends to a buffer; passing its maximum is an error (EX_DATAERR). */
struct buf_sink {
	struct sink sink;
	struct buf *buf;
};
void buf_sink_init(struct buf_sink *s, struct buf *buf);

/* Gathers small writes into large ones. Flush once at the end; release in any case. */
struct buffer_sink {
	struct sink sink;
	struct sink *below;
	struct buf buf;
};
void buffer_sink_init(struct buffer_sink *s, struct sink *below);
enum outcome buffer_sink_flush(struct buffer_sink *s, struct error *err);
void buffer_sink_release(struct buffer_sink *s);

/* Swallows and counts. */
struct null_sink {
	struct sink sink;
	uint64_t count;
};
void null_sink_init(struct null_sink *s);

/* A descriptor, unbuffered; NAME (borrowed) is for error sentences. */
struct fd_source {
	struct source source;
	int fd;
	const char *name;
};
void fd_source_init(struct fd_source *s, int fd, const char *name);

struct fd_sink {
	struct sink sink;
	int fd;
	const char *name;
};
void fd_sink_init(struct fd_sink *s, int fd, const char *name);

#endif
