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
	int fd;
	uint64_t size; /* content so far */
	struct buf pending;
	crypto_generichash_state hash;
	bool saw_8bit;
	bool saw_binary; /* NUL, a bare CR, or a line above 998 octets (RFC 5322 2.1.1) */
	size_t line;
	uint8_t last;
};

enum outcome message_writer_open(struct message_writer *w, const struct dir *dir, struct error *err);
/* Adds envelope and end. Sets E's size and body type from what was written. A bare LF in the content is EX_DATAERR. */
enum outcome message_writer_finish(struct message_writer *w, struct envelope *e, struct error *err);
/* Closes the descriptor; the file stays. */
void message_writer_close(struct message_writer *w);
/* Removes the file as well. Safe to call after close (then does nothing) and on a zeroed struct with fd -1. */
void message_writer_abort(struct message_writer *w);

/* Verify reads all of it first and compares the digest: do so before the content goes anywhere for good. */
enum message_check { MESSAGE_TRUST, MESSAGE_VERIFY };

struct message_content {
	struct source source; /* pulls the content from its beginning */
	int fd;
	uint64_t offset;
	uint64_t left;
	const char *name;
};

struct message {
	struct envelope envelope;
	struct message_content content;
	int fd;
	char *name;
};

/* Opens NAME in DIR. EX_NOINPUT: not there; EX_DATAERR: not a whole message file, with the reason. */
enum outcome message_open(
    struct message *m, const struct dir *dir, const char *name, enum message_check check, struct error *err);
/* Starts the content from its beginning again. */
void message_rewind(struct message *m);
void message_close(struct message *m);

#endif
