/*
 * What the parts of the batch format share: constants of spool/FORMAT.md, the encoding of the header, sealing. For
 * spool/batch_*.c and the tests only.
 */
#ifndef SPOOL_BATCH_INTERNAL_H
#define SPOOL_BATCH_INTERNAL_H

#include "spool/batch.h"

#define BATCH_MAGIC   "PBT"
#define BATCH_VERSION 1

/* Hashed before what they are for, each with its closing NUL, so that no hash can be taken for another. */
#define BATCH_SIGN_DOMAIN "packetboat batch 1"
#define BATCH_SEAL_DOMAIN "packetboat seal 1"

#define BATCH_FLAGS_AT	       4
#define BATCH_FLAG_SEALED      0x01
#define BATCH_FLAG_CLASS_SHIFT 1
#define BATCH_FLAG_CODEC_SHIFT 3
#define BATCH_FLAG_DICTIONARY  0x20
#define BATCH_FLAG_UNKNOWN     0xc0
#define BATCH_CLASS_MAX	       2

/* Even: a reader that does not know it goes on without; odd: it refuses the batch. */
enum batch_extension {
	BATCH_EXTENSION_ACK = 2,
	BATCH_EXTENSION_VOIDED = 4,
	BATCH_EXTENSION_EVENTS = 6,
	BATCH_EXTENSION_EVENT_SEEN = 8,
};

/* Magic, version, flags and the longest length of the rest. */
#define BATCH_HEADER_LEAD 8
#define BATCH_HEADER_MAX  (BATCH_HEADER_LEAD + LIMIT_BATCH_HEADER)

#define BATCH_SEAL_TAG	 crypto_aead_xchacha20poly1305_ietf_ABYTES
#define BATCH_SIGNATURE	 crypto_sign_BYTES
#define BATCH_RATIO_FREE ((uint64_t)1 << 20) /* octets that may unpack from anything */

/* ---- header ----------------------------------------------------------------------------------------------
 */

/* Appends the encoding of H; EX_SOFTWARE when H cannot be said, EX_DATAERR when it is too long. */
enum outcome batch_header_write(const struct batch_header *h, struct buf *out, struct error *err);

/* The length of the file behind FD; NAME is for the sentence. */
enum outcome batch_file_size(int fd, const char *name, uint64_t *size, struct error *err);
/* Reads the bytes of the header, all of it and no more, from the beginning of a file of SIZE bytes. */
enum outcome batch_header_load(int fd, const char *name, uint64_t size, struct buf *out, struct error *err);
/*
 * Parses what batch_header_load gave, in two steps: from, to, incarnation and sequence, which are enough to
 * check the signature; then the rest, where a damaged file could look like one of a later version. REST
 * carries the place from one to the other. H owns memory after either, also when it failed.
 */
enum outcome batch_header_identify(
    struct batch_header *h, struct view bytes, const char *name, struct reader *rest, struct error *err);
enum outcome batch_header_complete(
    struct batch_header *h, struct view bytes, const char *name, struct reader *rest, struct error *err);

/* ---- sealing ---------------------------------------------------------------------------------------------
 */

/* A new key in guarded memory for what is sent to PEER, and its wrapping in EPHEMERAL. Null: PEER is of low
 * order. */
uint8_t *batch_seal_for(const uint8_t peer[crypto_box_PUBLICKEYBYTES], uint8_t ephemeral[crypto_box_PUBLICKEYBYTES]);
/* The same key at the receiver. Null: EPHEMERAL is of low order. */
uint8_t *batch_seal_from(const struct host_keys *keys, const uint8_t ephemeral[crypto_box_PUBLICKEYBYTES]);
void batch_seal_hash(struct view header, uint8_t hash[BATCH_SEAL_HASH]);

enum batch_chunk { BATCH_CHUNK_MORE = 0, BATCH_CHUNK_LAST = 1 };
struct batch_chunk_id {
	const uint8_t *key;
	const uint8_t *header_hash;
	uint64_t number;
	enum batch_chunk place;
};
/* Seals LENGTH bytes in place; the tag follows them. */
void batch_chunk_seal(const struct batch_chunk_id *id, uint8_t *bytes, size_t length);
/* Opens LENGTH bytes (without the tag that follows them) in place; false when they are not what was sealed.
 */
bool batch_chunk_open(const struct batch_chunk_id *id, uint8_t *bytes, size_t length);

#endif
