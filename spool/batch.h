/*
 * The batch file: spool/FORMAT.md is its definition. One batch goes from one host to one neighbour: a header in the
 * clear, a body of items compressed as one stream (and sealed, if the two agreed so), a signature over all of it.
 *
 * Writing, as a stream of any size:
 *	batch_writer_open(&w, fd, name, &header, &keys, &peer, &err);
 *	batch_item_begin(&w, BATCH_MESSAGE, head, content_size, &err);
 *	sink_write(&w.content, ...)            exactly content_size octets
 *	batch_writer_finish(&w, &err);         then w.size and w.mark are known; the caller syncs and renames
 *	batch_writer_release(&w);
 * Reading:
 *	batch_reader_open(&r, fd, name, &keys, lookup, context, &limits, &err);   the signature is verified now
 *	while (batch_next(&r, &item, &err) == done && item.type != BATCH_END)  source_read(&item.content, ...)
 *	batch_reader_release(&r);
 * A reader never hands out an item of a batch whose signature does not hold; whoever uses items must still discard
 * everything when a later batch_next fails: all or nothing.
 */
#ifndef SPOOL_BATCH_H
#define SPOOL_BATCH_H

#include "lib/ranges.h"
#include "lib/stream.h"
#include "spool/codec.h"
#include "spool/keys.h"

enum batch_item_type {
	BATCH_END = 0,
	BATCH_MESSAGE = 1,
};

/* Acknowledgement: what the sender of this batch has taken of the receiver's batches. */
struct batch_ack {
	uint32_t incarnation; /* the receiver's, whose sequences these are */
	struct ranges received;
	uint8_t check[4]; /* `mark` of the batch with the highest sequence in `received` */
};

/* What became of recipients of one earlier batch of the receiver, all the same. */
enum event_kind { EVENT_DELIVERED = 1, EVENT_FAILED, EVENT_FORWARDED, EVENT_REMOVED };
struct batch_event {
	uint64_t sequence; /* of that batch */
	enum event_kind kind;
	uint8_t status[3]; /* failed: RFC 3463 class, subject, detail; else zeros and not written */
	struct buf bitmap; /* bit N (lowest first): recipient with ordinal N of that batch */
};
#define BATCH_BITMAP_MAX 65536

struct batch_header {
	char from[LIMIT_HOST_NAME + 1];
	char to[LIMIT_HOST_NAME + 1];
	uint32_t incarnation; /* of the sender */
	uint64_t sequence;    /* 0: carries only acknowledgements and events, and is not itself acknowledged */
	uint8_t class;
	bool sealed;
	/* How the body is compressed. batch_writer_* find out for themselves, and what stands here is nothing to them. */
	enum codec codec;
	uint8_t dictionary; /* preset dictionary of the codec: CODEC_DICTIONARY, 0: none */

	bool has_ack;
	struct batch_ack ack;
	struct ranges voided;	     /* sequences of the sender that will never come */
	uint32_t events_incarnation; /* of the receiver: whose sequences the events name */
	uint64_t event_serial;	     /* serial number of the newest event group here; 0: no events */
	uint64_t event_seen;	     /* the newest serial taken from the receiver; 0: none */
	struct batch_event *events;
	size_t event_count;
	size_t event_capacity;
};
void batch_header_release(struct batch_header *h);
struct batch_event *batch_header_add_event(struct batch_header *h);
/* What rides along in a header - acknowledgement, voided numbers, events - in its encoding: it is also told in calls. */
void batch_header_print_extensions(const struct batch_header *h, struct buf *out);
/* Adds to H what BYTES say; NAME is for the sentence. H owns memory afterwards, also when it failed. */
enum outcome batch_header_parse_extensions(
    struct batch_header *h, struct view bytes, const char *name, struct error *err);

/* Identifies the bytes of a batch: the first 8 bytes of its signature. */
#define BATCH_MARK 8

struct batch_writer; /* members below, for those who embed it */
struct batch_reader;

/* A lower neighbour: the keys of the host NAME, or null when it is no neighbour. */
typedef const struct public_keys *batch_lookup(void *context, const char *name);

struct batch_limits {
	uint64_t max_item;  /* content octets of one item */
	uint64_t max_total; /* unpacked octets of the whole body */
};

struct batch_item {
	enum batch_item_type type;
	struct view head; /* valid until the next batch_next */
	uint64_t size;	  /* of the content */
	struct source content;
};

/* Octets in one sealed chunk; of the hash that ties the chunks to their header; given to the codec at a time. */
#define BATCH_SEAL_CHUNK 65536
#define BATCH_SEAL_HASH	 32
#define BATCH_PIECE	 8192

struct batch_writer {
	struct sink content; /* first: the content of the item that was begun */
	int fd;
	const char *name;
	bool sealed;
	const struct batch_header *header;
	const struct host_keys *keys;
	const struct public_keys *peer;
	uint64_t expected;
	struct compressor codec; /* open once the body has begun */
	uint64_t item_left;
	size_t items;
	crypto_sign_state signature;
	uint8_t *seal_key; /* guarded memory, null when sign-only */
	uint8_t ephemeral[crypto_box_PUBLICKEYBYTES];
	uint8_t seal_hash[BATCH_SEAL_HASH];
	uint64_t chunk;
	struct buf piece;  /* not yet compressed */
	struct buf plain;  /* compressed, not yet sealed or written */
	uint64_t unpacked; /* octets compressed so far */
	uint64_t size;	   /* bytes of the file so far */
	uint8_t mark[BATCH_MARK];
};

/* NAME, HEADER and the keys must live until the writer is released. */
enum outcome batch_writer_open(struct batch_writer *w, int fd, const char *name, const struct batch_header *header,
    const struct host_keys *keys, const struct public_keys *peer, struct error *err);
/* Before the first item: so many octets are to come, heads and content, more or less; when it is not said, few. Size, time and
 * memory depend on it, see compressor_open: who is not sure says too many. */
void batch_writer_expect(struct batch_writer *w, uint64_t octets);
enum outcome batch_item_begin(
    struct batch_writer *w, enum batch_item_type type, struct view head, uint64_t size, struct error *err);
enum outcome batch_writer_finish(struct batch_writer *w, struct error *err);
void batch_writer_release(struct batch_writer *w);

struct batch_reader {
	struct batch_item item;
	struct batch_header header;
	uint8_t mark[BATCH_MARK];
	int fd;
	const char *name;
	const struct host_keys *keys;
	struct batch_limits limits;
	uint64_t body_at; /* where the next sealed chunk or compressed byte lies */
	uint64_t body_end;
	uint8_t *seal_key;
	uint8_t seal_hash[BATCH_SEAL_HASH];
	uint64_t chunk;
	uint8_t signer[crypto_sign_PUBLICKEYBYTES];
	uint8_t signature[crypto_sign_BYTES];
	crypto_sign_state
	    check; /* sign-only: over the bytes as they are unpacked, in case the file changed meanwhile */
	struct decompressor codec;
	struct codec_io io;
	bool stream_ended;
	struct buf input; /* compressed bytes; io.in points into it */
	struct buf head;
	uint64_t packed; /* compressed bytes taken so far */
	uint64_t unpacked;
	uint64_t item_left;
	size_t items;
	bool ended;
	bool failed;
};

/*
 * Failures, with a sentence each: EX_DATAERR damaged, cut short, bad signature, malformed, over a limit; EX_NOPERM
 * from a host that is no neighbour; EX_NOHOST for somebody else; EX_PROTOCOL a version, codec, dictionary or
 * mandatory extension that this program does not know; EX_TEMPFAIL etc. when the file could not be read.
 */
enum outcome batch_reader_open(struct batch_reader *r, int fd, const char *name, const struct host_keys *keys,
    batch_lookup *lookup, void *context, const struct batch_limits *limits, struct error *err);
/* The next item; what was left unread of the one before is skipped. Sets item.type to BATCH_END after the last, and
 * only when the body ended exactly there. */
enum outcome batch_next(struct batch_reader *r, struct batch_item **item, struct error *err);
void batch_reader_release(struct batch_reader *r);

/* Reads only the header, without proof of anything: who it claims to be from and for. EX_DATAERR when it is none;
 * EX_PROTOCOL as above, and then from, to, incarnation and sequence stand if they could be read. */
enum outcome batch_peek(int fd, const char *name, struct batch_header *header, struct error *err);

#endif
