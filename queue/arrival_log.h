/*
 * The form of an arrival log, and reading one. Who writes and drains them is queue/arrivals.h.
 *
 *	"pbarr" 0 1 0     magic and version, 8 bytes
 *	records, one behind the other:
 *	u32               length of the image
 *	8 bytes           check: SipHash-2-4 of the record's offset in the file (u64) and that length (u32)
 *	image             a message file (queue/message.h), which proves itself by its digest
 *
 * The key of the check is made from the log's name, which is random: a record counts only at the place in the log that it
 * was written to, and nothing that somebody sends as mail can pass for one. So behind any damage the next record is found
 * again by looking for it.
 *
 * What a crash may leave of the last append is no damage: a record cut short by the end of the file, or nothing but zeros up to
 * there. Everything else that is no record is.
 */
#ifndef QUEUE_ARRIVAL_LOG_H
#define QUEUE_ARRIVAL_LOG_H

#include "queue/message.h"

#define ARRIVAL_MAGIC  8  /* octets before the first record */
#define ARRIVAL_HEAD   12 /* octets before the image */
#define ARRIVAL_SUFFIX ".log"
/* The longest image: the largest envelope, and as much content as a daemon may keep in memory. */
#define ARRIVAL_IMAGE_MAX ((size_t)4 << 20)

/* The key for the log of that name (with its suffix). */
void arrival_key(const char *name, uint8_t key[static crypto_shorthash_KEYBYTES]);
void arrival_magic(uint8_t out[static ARRIVAL_MAGIC]);
/* What stands before an image of LENGTH octets when the record begins at OFFSET. */
void arrival_head(const uint8_t key[static crypto_shorthash_KEYBYTES], uint64_t offset, uint32_t length,
    uint8_t out[static ARRIVAL_HEAD]);

struct arrival_reader {
	int fd;		  /* borrowed */
	const char *name; /* borrowed */
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t size;
	uint64_t at;
	uint8_t *window; /* what was read last */
	size_t capacity;
	uint64_t window_at;
	size_t window_length;
};

/* Reads the log NAME that FD is open on, as far as it goes now; nobody writes to it. */
enum outcome arrival_reader_open(struct arrival_reader *r, int fd, const char *name, struct error *err);
/*
 * The next message: IMAGE is borrowed until the next call, and empty at the end; E (set in every case) is its envelope.
 * EX_DATAERR: something is damaged, with the reason; the next call goes on behind it. Any other failure is one of reading.
 */
enum outcome arrival_next(struct arrival_reader *r, struct view *image, struct envelope *e, struct error *err);
void arrival_reader_close(struct arrival_reader *r);

#endif
