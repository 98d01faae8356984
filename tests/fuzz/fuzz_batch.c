/*
 * Batches from anywhere. The first byte of the input says what the rest is:
 *
 *	'p'  a file as it is, for batch_peek and a reader
 *	'f'  header and body, signed here: behind the signature
 *	'h'  a header, with the smallest body, signed here
 *	'b'  the compressed stream under a good header; 'B' of brotli
 *	'i'  the octets of the items, compressed here; 'I' by brotli
 *	's'  the compressed stream, sealed here
 *	'c'  a sealed body as it is: ephemeral key and chunks
 *
 * Laws: a header that is accepted encodes to itself (or less, without unknown extensions); an item yields
 *exactly its announced size; octets that are accepted as items are the items, encoded again.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "lib/alloc.h"
#include "spool/batch_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct host_keys city;

static const struct public_keys *lookup(void *context, const char *name)
{
	(void)context;
	return strcmp(name, "city") == 0 ? &city.public : NULL;
}

static void hold(bool law)
{
	if (!law)
		abort();
}

static void keys_once(void)
{
	uint8_t seed[crypto_sign_SEEDBYTES] = {1};

	if (city.sign_secret != NULL)
		return;
	hold(sodium_init() >= 0);
	city.sign_secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	city.seal_secret = sodium_malloc(crypto_box_SECRETKEYBYTES);
	memcpy(city.public.host, "city", 5);
	crypto_sign_seed_keypair(city.public.sign, city.sign_secret, seed);
	memcpy(city.seal_secret, seed, sizeof seed);
	crypto_scalarmult_base(city.public.seal, city.seal_secret);
}

/* From city to city: one pair of keys is enough. */
static void good_header(bool sealed, enum codec codec, struct buf *out)
{
	struct batch_header h = {.from = "city", .to = "city", .sequence = 1, .sealed = sealed, .codec = codec};

	hold(batch_header_write(&h, out, NULL) == OUTCOME_DONE);
}

static void check_header(const struct batch_header *h, struct view file)
{
	struct reader r;
	uint64_t length;
	struct buf again;

	reader_init(&r, view_from(file, BATCH_FLAGS_AT + 1));
	length = read_varint(&r);
	length += file.length - r.rest.length;
	buf_init(&again, BATCH_HEADER_MAX);
	hold(batch_header_write(h, &again, NULL) == OUTCOME_DONE);
	hold(again.length <= length);
	hold(again.length < length || memcmp(again.bytes, file.bytes, again.length) == 0);
	buf_release(&again);
}

static bool read_item(struct batch_item *item, struct buf *octets)
{
	uint8_t chunk[777];
	uint64_t total = 0;
	size_t got;

	wire_varint(octets, item->type);
	wire_view(octets, item->head);
	wire_varint(octets, item->size);
	do {
		struct error err = ERROR_NONE;

		if (source_read(&item->content, chunk, sizeof chunk, &got, &err) != OUTCOME_DONE) {
			hold(err.text[0] != '\0');
			return false;
		}
		buf_append(octets, chunk, got);
		total += got;
	} while (got > 0);
	hold(total == item->size);
	return true;
}

/* True when the whole batch was accepted; OCTETS are its items, encoded again. */
static bool read_batch(int fd, struct buf *octets)
{
	static const struct batch_limits limits = {1 << 20, 1 << 20};
	struct error err = ERROR_NONE;
	struct batch_reader r;
	struct batch_item *item;
	bool good = batch_reader_open(&r, fd, "batch", &city, lookup, NULL, &limits, &err) == OUTCOME_DONE;

	while (good) {
		good = batch_next(&r, &item, &err) == OUTCOME_DONE;
		if (good && item->type == BATCH_END)
			break;
		if (good && !read_item(item, octets))
			good = batch_next(&r, &item, &err) == OUTCOME_DONE;
	}
	hold(good || err.text[0] != '\0');
	if (good && r.header.sequence != 0)
		wire_varint(octets, BATCH_END);
	batch_reader_release(&r);
	return good;
}

static void deflated(struct view octets, struct buf *out)
{
	z_stream zip = {.next_in = (Bytef *)(uintptr_t)octets.bytes, .avail_in = (uInt)octets.length};

	hold(deflateInit2(&zip, 1, Z_DEFLATED, CODEC_ZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	zip.avail_out = (uInt)deflateBound(&zip, octets.length);
	zip.next_out = buf_extend(out, zip.avail_out);
	hold(deflate(&zip, Z_FINISH) == Z_STREAM_END);
	out->length -= zip.avail_out;
	deflateEnd(&zip);
}

static void brotlied(struct view octets, struct buf *out)
{
	size_t length = BrotliEncoderMaxCompressedSize(octets.length) + 16;
	uint8_t *place = buf_extend(out, length);
	size_t room = length;

	hold(
	    BrotliEncoderCompress(1, CODEC_WINDOW, BROTLI_MODE_GENERIC, octets.length, octets.bytes, &length, place));
	out->length -= room - length;
}

static void sealed(struct view stream, struct buf *out)
{
	uint8_t hash[BATCH_SEAL_HASH];
	uint8_t ephemeral[crypto_box_PUBLICKEYBYTES];
	uint8_t *key = batch_seal_for(city.public.seal, ephemeral);
	uint8_t *place;

	batch_seal_hash(view_buf(out), hash);
	buf_append(out, ephemeral, sizeof ephemeral);
	for (uint64_t number = 0;; number++) {
		size_t size = stream.length < BATCH_SEAL_CHUNK ? stream.length : BATCH_SEAL_CHUNK;
		struct batch_chunk_id id = {
		    key, hash, number, size < BATCH_SEAL_CHUNK ? BATCH_CHUNK_LAST : BATCH_CHUNK_MORE};

		place = buf_extend(out, size + BATCH_SEAL_TAG);
		if (size > 0)
			memcpy(place, stream.bytes, size);
		batch_chunk_seal(&id, place, size);
		stream = view_from(stream, size);
		if (id.place == BATCH_CHUNK_LAST)
			break;
	}
	sodium_free(key);
}

static void sign(struct buf *file)
{
	crypto_sign_state state;

	crypto_sign_init(&state);
	crypto_sign_update(&state, (const uint8_t *)BATCH_SIGN_DOMAIN, sizeof BATCH_SIGN_DOMAIN);
	crypto_sign_update(&state, file->bytes, file->length);
	crypto_sign_final_create(&state, buf_extend(file, crypto_sign_BYTES), NULL, city.sign_secret);
}

/* The file that MODE makes of REST. */
static void build(uint8_t mode, struct view rest, struct buf *file)
{
	if (strchr("bBiIsc", mode) != NULL)
		good_header(
		    mode == 's' || mode == 'c', mode == 'B' || mode == 'I' ? CODEC_BROTLI : CODEC_DEFLATE, file);
	if (mode == 'i')
		deflated(rest, file);
	else if (mode == 'I')
		brotlied(rest, file);
	else if (mode == 's')
		sealed(rest, file);
	else
		buf_view(file, rest);
	if (mode == 'h')
		buf_append(file, "\x63\0\0", 3);
	if (mode != 'p')
		sign(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct batch_header header;
	struct error err = ERROR_NONE;
	struct buf file;
	struct buf octets;
	bool good;
	int fd;

	keys_once();
	if (size == 0 || size > 1 << 20 || strchr("pfhbBiIsc", data[0]) == NULL || data[0] == '\0')
		return 0;
	buf_init(&file, 4 << 20);
	buf_init(&octets, 8 << 20);
	build(data[0], view_of(data + 1, size - 1), &file);
	fd = memfd_create("batch", MFD_CLOEXEC);
	hold(fd >= 0 && file_write(fd, file.bytes, file.length, "batch", &err) == OUTCOME_DONE);
	if (batch_peek(fd, "batch", &header, &err) == OUTCOME_DONE)
		check_header(&header, view_buf(&file));
	else
		hold(err.text[0] != '\0');
	batch_header_release(&header);
	good = read_batch(fd, &octets);
	if (good && (data[0] == 'i' || data[0] == 'I'))
		hold(view_equal(view_buf(&octets), view_of(data + 1, size - 1)));
	close(fd);
	buf_release(&octets);
	buf_release(&file);
	return 0;
}
