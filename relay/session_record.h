/*
 * Records of a call: a varint length, so many octets, a tag of 16. Under ChaCha20-Poly1305 (RFC 8439) with the number of
 * the record as its nonce; where nothing may be encrypted the octets stand in the clear, as what RFC 8439 calls
 * additional data, under the same tag.
 *
 * A reader hands out octets as they come, before the tag has been seen: what may be done with those is the caller's to know.
 */
#ifndef RELAY_SESSION_RECORD_H
#define RELAY_SESSION_RECORD_H

#include "relay/session_keys.h"

/* News are the longest that one record has to bear beside octets of a batch. */
#define RECORD_MAX ((size_t)SESSION_CHUNK + SESSION_NEWS + 4096)

struct record_writer {
	const uint8_t *key; /* borrowed */
	uint64_t number;
	bool open;
};

/* Appends BODY, of RECORD_MAX octets at most, as the next record to OUT. */
void record_write(struct record_writer *w, struct view body, struct buf *out);

enum record_part { RECORD_LENGTH, RECORD_BODY, RECORD_TAG };

struct record_reader {
	const uint8_t *key; /* borrowed */
	uint64_t number;
	bool open;
	enum record_part part;
	uint64_t length;
	unsigned shift; /* of the next group of the length */
	uint64_t done;	/* octets of the body so far */
	uint8_t tag[SESSION_TAG];
	size_t tag_length;
	crypto_onetimeauth_poly1305_state check;
};

enum record_state {
	RECORD_MORE,  /* IN is used up */
	RECORD_WHOLE, /* the record is whole and proved; the next call begins the next one */
	RECORD_BAD,   /* it is none, or not of whom it should be: nothing more can be read */
};

/* Takes bytes off the front of IN and appends what they say to OUT. */
enum record_state record_read(struct record_reader *r, struct view *in, struct buf *out);

#endif
