#include "spool/batch_internal.h"

#include "lib/alloc.h"

/*
 * Input reaches zlib in pieces of BATCH_PIECE octets, whatever the caller's writes are, because deflate's
 * output may depend on how its input was cut. Output gathers in `plain` until a chunk is full.
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

/* Compresses the piece gathered so far. */
static enum outcome writer_deflate(struct batch_writer *w, int flush, struct error *err)
{
	int status;

	w->zip.next_in = w->piece.bytes;
	w->zip.avail_in = (uInt)w->piece.length;
	do {
		if (w->plain.length == BATCH_SEAL_CHUNK) {
			enum outcome outcome = writer_chunk(w, BATCH_CHUNK_MORE, err);

			if (outcome != OUTCOME_DONE)
				return outcome;
		}
		w->zip.next_out = w->plain.bytes + w->plain.length;
		w->zip.avail_out = (uInt)(BATCH_SEAL_CHUNK - w->plain.length);
		status = deflate(&w->zip, flush);
		w->plain.length = BATCH_SEAL_CHUNK - w->zip.avail_out;
		if (status == Z_STREAM_ERROR)
			return error_set(err, EX_SOFTWARE, "cannot compress for %s: zlib refuses", w->name);
	} while (w->zip.avail_out == 0 && status != Z_STREAM_END);
	buf_clear(&w->piece);
	return OUTCOME_DONE;
}

/*
 * Long runs of one octet shrink by up to 1032:1, which the reader would take for a bomb: where the ratio
 * comes near the limit, each piece ends in a flush, whose bytes keep it below.
 */
static int writer_flush_mode(const struct batch_writer *w)
{
	uint64_t packed = w->chunk * BATCH_SEAL_CHUNK + w->plain.length;

	if (w->unpacked > BATCH_RATIO_FREE && w->unpacked - BATCH_RATIO_FREE > packed * RATIO_KEPT)
		return Z_SYNC_FLUSH;
	return Z_NO_FLUSH;
}

static enum outcome writer_pack(struct batch_writer *w, const void *bytes, size_t size, struct error *err)
{
	const uint8_t *at = bytes;

	w->unpacked += size;
	while (size > 0) {
		size_t room = BATCH_PIECE - w->piece.length;
		size_t step = size < room ? size : room;

		buf_append(&w->piece, at, step);
		at += step;
		size -= step;
		if (w->piece.length == BATCH_PIECE) {
			enum outcome outcome = writer_deflate(w, writer_flush_mode(w), err);

			if (outcome != OUTCOME_DONE)
				return outcome;
		}
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

static enum outcome writer_seal(
    struct batch_writer *w, const struct public_keys *peer, struct view header, struct error *err)
{
	uint8_t ephemeral[crypto_box_PUBLICKEYBYTES];

	w->seal_key = batch_seal_for(peer->seal, ephemeral);
	if (w->seal_key == NULL)
		return error_set(
		    err, EX_CONFIG, "cannot seal a batch for %s: its sealing key is not a good one", peer->host);
	batch_seal_hash(header, w->seal_hash);
	w->sealed = true;
	return writer_put(w, ephemeral, sizeof ephemeral, err);
}

/* How much deflate looks at before it makes a block: mail changes its kind often, and smaller blocks follow it better than
 * larger ones. */
#define ZIP_MEMORY 7

static bool zip_begin(z_stream *zip, uint8_t dictionary)
{
	if (deflateInit2(zip, 9, Z_DEFLATED, BATCH_WINDOW_BITS, ZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	return dictionary == 0 ||
	       deflateSetDictionary(zip, (const Bytef *)batch_dictionary, (uInt)batch_dictionary_size) == Z_OK;
}

static enum outcome writer_zip(struct batch_writer *w, uint8_t dictionary, struct error *err)
{
	/* Room for a chunk and its tag at once: zlib writes into it directly. */
	buf_init(&w->plain, BATCH_SEAL_CHUNK + BATCH_SEAL_TAG);
	buf_extend(&w->plain, BATCH_SEAL_CHUNK + BATCH_SEAL_TAG);
	buf_clear(&w->plain);
	buf_init(&w->piece, BATCH_PIECE);
	batch_zip_memory(&w->zip);
	w->zip_open = true;
	if (!zip_begin(&w->zip, dictionary))
		return error_set(err, EX_SOFTWARE, "cannot compress for %s: zlib does not start", w->name);
	return OUTCOME_DONE;
}

static enum outcome writer_begin(struct batch_writer *w, const struct batch_header *header, struct view bytes,
    const struct public_keys *peer, struct error *err)
{
	enum outcome outcome;

	crypto_sign_init(&w->signature);
	crypto_sign_update(&w->signature, (const uint8_t *)BATCH_SIGN_DOMAIN, sizeof BATCH_SIGN_DOMAIN);
	outcome = writer_put(w, bytes.bytes, bytes.length, err);
	if (outcome != OUTCOME_DONE || header->sequence == 0)
		return outcome;
	if (header->sealed)
		outcome = writer_seal(w, peer, bytes, err);
	return outcome == OUTCOME_DONE ? writer_zip(w, header->dictionary, err) : outcome;
}

enum outcome batch_writer_open(struct batch_writer *w, int fd, const char *name, const struct batch_header *header,
    const struct host_keys *keys, const struct public_keys *peer, struct error *err)
{
	struct buf bytes;
	enum outcome outcome;

	*w = (struct batch_writer){.content = {writer_content}, .fd = fd, .name = name, .keys = keys};
	if (sodium_init() < 0)
		return error_set(err, EX_OSERR, "cannot write %s: libsodium does not start", name);
	if (strcmp(header->from, keys->public.host) != 0)
		return error_set(err, EX_SOFTWARE, "cannot sign a batch from %s with the keys of %s", header->from,
		    keys->public.host);
	if (header->sealed && strcmp(header->to, peer->host) != 0)
		return error_set(
		    err, EX_SOFTWARE, "cannot seal a batch for %s with the keys of %s", header->to, peer->host);
	buf_init(&bytes, BATCH_HEADER_MAX);
	outcome = batch_header_write(header, &bytes, err);
	if (outcome == OUTCOME_DONE)
		outcome = writer_begin(w, header, view_buf(&bytes), peer, err);
	buf_release(&bytes);
	if (outcome != OUTCOME_DONE)
		batch_writer_release(w);
	return outcome;
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
	if (!w->zip_open || type == BATCH_END)
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
		outcome = writer_deflate(w, Z_FINISH, err);
	if (outcome == OUTCOME_DONE && (w->sealed || w->plain.length > 0))
		outcome = writer_chunk(w, BATCH_CHUNK_LAST, err);
	return outcome;
}

enum outcome batch_writer_finish(struct batch_writer *w, struct error *err)
{
	uint8_t signature[BATCH_SIGNATURE];
	enum outcome outcome = writer_between_items(w, err);

	if (outcome == OUTCOME_DONE && w->zip_open)
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
	if (w->zip_open)
		deflateEnd(&w->zip);
	w->zip_open = false;
	sodium_free(w->seal_key);
	w->seal_key = NULL;
	buf_release(&w->piece);
	buf_release(&w->plain);
}
