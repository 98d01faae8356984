/*
 * The message file: content and envelope of one message, immutable, proving its own completeness.
 *
 *	"pbmsg" 0 1 0     magic and version, 8 bytes
 *	u64               length of the content
 *	content           octets exactly as carried: RFC 5322, CRLF line ends, no bare LF
 *	envelope          as queue/envelope.h
 *	u32               length of the envelope
 *	32 bytes          BLAKE2b-256 of content, envelope, its length, and the 16 bytes of the head
 *
 * Writing:
 *	message_writer_open(&w, tmp, &err);  sink_write(&w.sink, ...);  message_writer_finish(&w, &envelope, &err);
 *	... the caller syncs w.fd, renames w.name to its place, then message_writer_close(&w)
 *	message_writer_abort at any time instead removes it.
 * Writing what is small in memory, with no file made:
 *	message_writer_open_small(&w, tmp, keep, &err);  sink_write ...;  message_writer_finish(&w, &envelope, &err);
 *	... message_writer_image(&w) is the whole message file; empty: it became larger, and is in a file as above
 * Reading:
 *	message_open(&m, dir, name, &err);   m.envelope;  source_read(&m.content.source, ...);  message_close(&m);
 */
#ifndef QUEUE_MESSAGE_H
#define QUEUE_MESSAGE_H

#include <sodium.h>

#include "lib/file.h"
#include "lib/stream.h"
#include "queue/envelope.h"

struct message_writer {
	struct sink sink;      /* takes the content */
	const struct dir *dir; /* where it is built; borrowed */
	char name[40];
	int fd;	       /* -1: all of it is in memory so far */
	uint64_t size; /* content so far */
	struct buf pending;
	size_t hold; /* octets that PENDING takes before it is written out */
	bool finished;
	crypto_generichash_state hash;
	bool saw_8bit;
	bool saw_binary; /* NUL, a bare CR, or a line above 998 octets (RFC 5322 2.1.1) */
	size_t line;
	uint8_t last;
};

enum outcome message_writer_open(struct message_writer *w, const struct dir *dir, struct error *err);
/*
 * The same in memory, which grows with the content; the file is made when there are more than KEEP octets of content. After
 * that no more than KEEP octets are held back, so that many writers at once need little.
 */
void message_writer_open_small(struct message_writer *w, const struct dir *dir, size_t keep);
/* Adds envelope and end. Sets E's size and body type from what was written. A bare LF in the content is EX_DATAERR. */
enum outcome message_writer_finish(struct message_writer *w, struct envelope *e, struct error *err);
/* The finished message file, borrowed until the writer is closed; empty when it lies in a file. */
struct view message_writer_image(const struct message_writer *w);
/* Closes the descriptor; the file stays. */
void message_writer_close(struct message_writer *w);
/* Removes the file as well. Safe to call after close (then does nothing) and on a zeroed struct with fd -1. */
void message_writer_abort(struct message_writer *w);

/* Octets that a message file has beside content and envelope. */
#define MESSAGE_FRAME ((size_t)20 + crypto_generichash_BYTES)

/* What is verified stays in memory until the message is closed, unless its file has more octets than this. */
#define MESSAGE_SMALL ((size_t)16 << 10)

/* Verify reads all of it first and compares the digest: do so before the content goes anywhere for good. */
enum message_check { MESSAGE_TRUST, MESSAGE_VERIFY };

struct message_content {
	struct source source; /* pulls the content from its beginning */
	int fd;
	uint64_t offset;
	uint64_t left;
	const char *name;
	const uint8_t *image; /* the message file, when it is in memory */
};

struct message {
	struct envelope envelope;
	struct message_content content;
	int fd;
	char *name;
	uint8_t *image; /* all of it, when it is small and was verified */
};

/* Opens NAME in DIR. EX_NOINPUT: not there; EX_DATAERR: not a whole message file, with the reason. */
enum outcome message_open(
    struct message *m, const struct dir *dir, const char *name, enum message_check check, struct error *err);
/*
 * Is IMAGE, called NAME, a whole message file? Its digest is always compared. Sets E in every case; EX_DATAERR with the
 * reason when it is not one.
 */
enum outcome message_image_read(struct view image, const char *name, struct envelope *e, struct error *err);
/* Starts the content from its beginning again. */
void message_rewind(struct message *m);
void message_close(struct message *m);

#endif
