#include "spool/batch_internal.h"

#include "lib/alloc.h"

/*
 * Input reaches the codec in pieces of BATCH_PIECE octets, whatever the caller's writes are, because its output may
 * depend on how its input was cut. Output gathers in `plain` until a chunk is full.
 *
 * Header and body are begun when there is more than one piece, or at the end: what a codec makes of a batch of one piece
 * is known before anything is written, and the smaller one is taken.
 */

/* The reader refuses what unpacks to more than LIMIT_BATCH_RATIO; ours stays below this. */
#define RATIO_KEPT (LIMIT_BATCH_RATIO - LIMIT_BATCH_RATIO / 10)

static enum outcome writer_put(struct batch_writer *w, const void *bytes, size_t size, struct error *err)
{
	crypto_sign_update(&w->signature, bytes, size);
	w->size += size;
	return file_write(w->fd, bytes, size, w->name, err);
}

/* Writes what `plain` holds as the next chunk. */
static enum outcome writer_chunk(struct batch_writer *w, enum batch_chunk place, struct error *err)
{
	size_t size = w->plain.length;

	if (w->sealed) {
		struct batch_chunk_id id = {w->seal_key, w->seal_hash, w->chunk, place};

		batch_chunk_seal(&id, w->plain.bytes, size);
		size += BATCH_SEAL_TAG;
	}
	w->chunk++;
	w->plain.length = 0;
	return writer_put(w, w->plain.bytes, size, err);
}

/* Compresses what was gathered. */
static enum outcome writer_compress(struct batch_writer *w, enum codec_push push, struct error *err)
{
	struct codec_io io = {.in = w->piece.bytes, .in_left = w->piece.length};
	enum codec_state state;

	do {
		if (w->plain.length == BATCH_SEAL_CHUNK) {
			enum outcome outcome = writer_chunk(w, BATCH_CHUNK_MORE, err);

			if (outcome != OUTCOME_DONE)
				return outcome;
		}
		io.out = w->plain.bytes + w->plain.length;
		io.out_left = BATCH_SEAL_CHUNK - w->plain.length;
		state = compressor_run(&w->codec, &io, push);
		w->plain.length = BATCH_SEAL_CHUNK - io.out_left;
	} while (state == CODEC_GOES_ON);
	return state == CODEC_ENDED
		   ? OUTCOME_DONE
		   : error_set(err, EX_SOFTWARE, "cannot compress for %s: the codec refuses", w->name);
}

/*
 * Long runs of one octet shrink by more than the reader believes: where the ratio comes near the limit, each piece ends
 * in a flush, which costs brotli 13 bytes at least, and keeps it below.
 */
static enum codec_push writer_push(const struct batch_writer *w)
{
	uint64_t packed = w->chunk * BATCH_SEAL_CHUNK + w->plain.length;

	if (w->unpacked > BATCH_RATIO_FREE && w->unpacked - BATCH_RATIO_FREE > packed * RATIO_KEPT)
		return CODEC_FLUSH;
	return CODEC_MORE;
}

/* ---- the beginning --------------------------------------------------------------------------------------- */

/* The header, and what goes before the first chunk. */
static enum outcome writer_begin(struct batch_writer *w, enum codec codec, uint8_t dictionary, struct error *err)
{
	struct batch_header header = *w->header;
	struct buf bytes;
	enum outcome outcome;

	header.codec = codec;
	header.dictionary = dictionary;
	buf_init(&bytes, BATCH_HEADER_MAX);
	outcome = batch_header_write(&header, &bytes, err);
	if (outcome == OUTCOME_DONE)
		outcome = writer_put(w, bytes.bytes, bytes.length, err);
	if (outcome == OUTCOME_DONE && w->sealed) {
		batch_seal_hash(view_buf(&bytes), w->seal_hash);
		outcome = writer_put(w, w->ephemeral, sizeof w->ephemeral, err);
	}
	buf_release(&bytes);
	return outcome;
}

static enum outcome writer_start(struct batch_writer *w, enum codec codec, uint8_t dictionary, struct error *err)
{
	if (!compressor_open(&w->codec, codec, dictionary, w->expected))
		return error_set(err, EX_SOFTWARE, "cannot compress for %s: the codec does not start", w->name);
	return OUTCOME_DONE;
}

/* More than one piece: brotli makes the least of that. */
static enum outcome writer_go_on(struct batch_writer *w, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (!w->codec.open) {
		outcome = writer_start(w, CODEC_BROTLI, 0, err);
		if (outcome == OUTCOME_DONE)
			outcome = writer_begin(w, CODEC_BROTLI, 0, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = writer_compress(w, writer_push(w), err);
	buf_clear(&w->piece);
	return outcome;
}

/* Compresses the only piece into `plain`, which has room for all that becomes of it. */
static enum outcome writer_try(struct batch_writer *w, enum codec codec, uint8_t dictionary, struct error *err)
{
	enum outcome outcome = writer_start(w, codec, dictionary, err);

	w->plain.length = 0;
	if (outcome == OUTCOME_DONE)
		outcome = writer_compress(w, CODEC_END, err);
	compressor_close(&w->codec);
	return outcome;
}

/* One piece was all: both codecs are tried. */
static enum outcome writer_small(struct batch_writer *w, struct error *err)
{
	enum outcome outcome = writer_try(w, CODEC_BROTLI, 0, err);
	struct buf brotli;

	buf_init(&brotli, BATCH_SEAL_CHUNK);
	buf_view(&brotli, view_buf(&w->plain));
	if (outcome == OUTCOME_DONE)
		outcome = writer_try(w, CODEC_DEFLATE, CODEC_DICTIONARY, err);
	if (outcome == OUTCOME_DONE && brotli.length <= w->plain.length) {
		memcpy(w->plain.bytes, brotli.bytes, brotli.length);
		w->plain.length = brotli.length;
		outcome = writer_begin(w, CODEC_BROTLI, 0, err);
	} else if (outcome == OUTCOME_DONE) {
		outcome = writer_begin(w, CODEC_DEFLATE, CODEC_DICTIONARY, err);
	}
	buf_release(&brotli);
	return outcome;
}

/* ---- content ---------------------------------------------------------------------------------------------
 */

static enum outcome writer_pack(struct batch_writer *w, const void *bytes, size_t size, struct error *err)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		size_t room = BATCH_PIECE - w->piece.length;
		size_t step = size < room ? size : room;

		/* Only now: the piece before could have been the last. */
		if (room == 0) {
			enum outcome outcome = writer_go_on(w, err);

			if (outcome != OUTCOME_DONE)
				return outcome;
			continue;
		}
		buf_append(&w->piece, at, step);
		w->unpacked += step;
		at += step;
		size -= step;
	}
	return OUTCOME_DONE;
}

static enum outcome writer_content(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct batch_writer *w = (struct batch_writer *)self;

	if (size > w->item_left)
		return error_set(err, EX_DATAERR, "cannot write %s: an item is longer than was announced", w->name);
	w->item_left -= size;
	return writer_pack(w, bytes, size, err);
}

/* ---- opening ---------------------------------------------------------------------------------------------
 */

/* Null, or what is wrong. */
static const char *keys_fault(
    const struct batch_header *header, const struct host_keys *keys, const struct public_keys *peer)
{
	if (strcmp(header->from, keys->public.host) != 0)
		return "the keys to sign it with are those of another host";
	if (header->sealed && strcmp(header->to, peer->host) != 0)
		return "the key to seal it with is that of another host";
	return NULL;
}

static enum outcome writer_prepare(struct batch_writer *w, struct error *err)
{
	struct batch_header longest = *w->header;
	struct buf bytes;
	enum outcome outcome;

	if (w->sealed)
		w->seal_key = batch_seal_for(w->peer->seal, w->ephemeral);
	if (w->sealed && w->seal_key == NULL)
		return error_set(
		    err, EX_CONFIG, "cannot seal a batch for %s: its sealing key is not a good one", w->peer->host);
	/* Room for a chunk and its tag at once: the codec writes into it directly. */
	buf_init(&w->plain, BATCH_SEAL_CHUNK + BATCH_SEAL_TAG);
	buf_extend(&w->plain, BATCH_SEAL_CHUNK + BATCH_SEAL_TAG);
	buf_clear(&w->plain);
	buf_init(&w->piece, BATCH_PIECE);
	/* The header is written when the codec is known; whether it can be said is found out now. */
	longest.codec = CODEC_DEFLATE;
	longest.dictionary = CODEC_DICTIONARY;
	buf_init(&bytes, BATCH_HEADER_MAX);
	outcome = batch_header_write(&longest, &bytes, err);
	buf_release(&bytes);
	return outcome;
}

enum outcome batch_writer_open(struct batch_writer *w, int fd, const char *name, const struct batch_header *header,
    const struct host_keys *keys, const struct public_keys *peer, struct error *err)
{
	const char *fault = keys_fault(header, keys, peer);
	enum outcome outcome;

	*w = (struct batch_writer){
	    .content = {writer_content}, .fd = fd, .name = name, .header = header, .keys = keys, .peer = peer};
	if (sodium_init() < 0)
		return error_set(err, EX_OSERR, "cannot write %s: libsodium does not start", name);
	if (fault != NULL)
		return error_set(
		    err, EX_SOFTWARE, "cannot write a batch from %s to %s: %s", header->from, header->to, fault);
	w->sealed = header->sealed && header->sequence != 0;
	crypto_sign_init(&w->signature);
	crypto_sign_update(&w->signature, (const uint8_t *)BATCH_SIGN_DOMAIN, sizeof BATCH_SIGN_DOMAIN);
	outcome = header->sequence == 0 ? writer_begin(w, CODEC_DEFLATE, 0, err) : writer_prepare(w, err);
	if (outcome != OUTCOME_DONE)
		batch_writer_release(w);
	return outcome;
}

void batch_writer_expect(struct batch_writer *w, uint64_t octets)
{
	w->expected = octets;
}

/* ---- items and end ---------------------------------------------------------------------------------------
 */

static enum outcome writer_between_items(const struct batch_writer *w, struct error *err)
{
	if (w->item_left > 0)
		return error_set(err, EX_DATAERR,
		    "cannot write %s: an item is %llu octets shorter than was announced", w->name,
		    (unsigned long long)w->item_left);
	return OUTCOME_DONE;
}

enum outcome batch_item_begin(
    struct batch_writer *w, enum batch_item_type type, struct view head, uint64_t size, struct error *err)
{
	enum outcome outcome = writer_between_items(w, err);
	struct buf frame;

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (w->header->sequence == 0 || type == BATCH_END)
		return error_set(err, EX_SOFTWARE, "cannot write %s: no item may stand here", w->name);
	if (w->items == LIMIT_BATCH_ITEMS || head.length > LIMIT_ENVELOPE)
		return error_set(err, EX_DATAERR, "cannot write %s: %s", w->name,
		    w->items == LIMIT_BATCH_ITEMS ? "too many items for one batch"
						  : "the head of an item is too large");
	buf_init(&frame, 4 * VARINT_MAX);
	wire_varint(&frame, type);
	wire_varint(&frame, head.length);
	outcome = writer_pack(w, frame.bytes, frame.length, err);
	if (outcome == OUTCOME_DONE)
		outcome = writer_pack(w, head.bytes, head.length, err);
	buf_clear(&frame);
	wire_varint(&frame, size);
	if (outcome == OUTCOME_DONE)
		outcome = writer_pack(w, frame.bytes, frame.length, err);
	buf_release(&frame);
	w->item_left = size;
	w->items++;
	return outcome;
}

static enum outcome writer_end_body(struct batch_writer *w, struct error *err)
{
	uint8_t end = BATCH_END;
	enum outcome outcome = writer_pack(w, &end, 1, err);

	if (outcome == OUTCOME_DONE)
		outcome = w->codec.open ? writer_compress(w, CODEC_END, err) : writer_small(w, err);
	if (outcome == OUTCOME_DONE && (w->sealed || w->plain.length > 0))
		outcome = writer_chunk(w, BATCH_CHUNK_LAST, err);
	return outcome;
}

enum outcome batch_writer_finish(struct batch_writer *w, struct error *err)
{
	uint8_t signature[BATCH_SIGNATURE];
	enum outcome outcome = writer_between_items(w, err);

	if (outcome == OUTCOME_DONE && w->header->sequence != 0)
		outcome = writer_end_body(w, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	crypto_sign_final_create(&w->signature, signature, NULL, w->keys->sign_secret);
	w->size += sizeof signature;
	memcpy(w->mark, signature, sizeof w->mark);
	return file_write(w->fd, signature, sizeof signature, w->name, err);
}

void batch_writer_release(struct batch_writer *w)
{
	compressor_close(&w->codec);
	sodium_free(w->seal_key);
	w->seal_key = NULL;
	buf_release(&w->piece);
	buf_release(&w->plain);
}
