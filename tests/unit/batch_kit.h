/*
 * What the tests of the batch format share: hosts with fixed keys, batches written and read whole, and
 * batches forged from raw bytes, with a signature that holds, to get behind it.
 */
#ifndef TESTS_BATCH_KIT_H
#define TESTS_BATCH_KIT_H

#include "tests/unit/scratch.h"

#include "spool/batch_internal.h"

/* Keys as in the example of spool/FORMAT.md: signing seed FIRST, FIRST + 1, …; sealing secret FIRST + 32, ….
 */
static inline struct host_keys kit_keys(const char *host, uint8_t first)
{
	struct host_keys keys = {.sign_secret = NULL};
	uint8_t seed[crypto_sign_SEEDBYTES];

	cr_assert(sodium_init() >= 0);
	keys.sign_secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	keys.seal_secret = sodium_malloc(crypto_box_SECRETKEYBYTES);
	for (uint8_t i = 0; i < 32; i++) {
		seed[i] = (uint8_t)(first + i);
		keys.seal_secret[i] = (uint8_t)(first + 32 + i);
	}
	memcpy(keys.public.host, host, strlen(host) + 1);
	crypto_sign_seed_keypair(keys.public.sign, keys.sign_secret, seed);
	crypto_scalarmult_base(keys.public.seal, keys.seal_secret);
	return keys;
}

/* Two neighbours and a directory. */
struct kit {
	struct dir dir;
	struct host_keys village;
	struct host_keys city;
	struct error err;
};

static inline void kit_open(struct kit *k)
{
	*k = (struct kit){.dir = scratch_open(), .village = kit_keys("village", 0), .city = kit_keys("city", 64)};
}

static inline void kit_close(struct kit *k)
{
	keys_release(&k->village);
	keys_release(&k->city);
	scratch_close(&k->dir);
}

static inline const struct public_keys *kit_lookup(void *context, const char *name)
{
	const struct kit *k = context;

	if (strcmp(name, "village") == 0)
		return &k->village.public;
	return strcmp(name, "city") == 0 ? &k->city.public : NULL;
}

enum kit_mode { KIT_PLAIN, KIT_SEALED };

static inline struct batch_header kit_header(enum kit_mode mode, uint64_t sequence)
{
	return (struct batch_header){.from = "village",
	    .to = "city",
	    .incarnation = 0x01020304,
	    .sequence = sequence,
	    .class = 1,
	    .sealed = mode == KIT_SEALED};
}

static const struct batch_limits kit_limits = {.max_item = UINT64_C(1) << 32, .max_total = UINT64_C(1) << 33};

struct kit_item {
	const char *head;
	struct view content;
};

/* Writes a batch from village to city as NAME, the content in portions of STEP octets. */
static inline void kit_write(struct kit *k, const char *name, const struct batch_header *h,
    const struct kit_item *items, size_t count, size_t step)
{
	struct batch_writer w;
	uint64_t size;
	int fd;

	cr_assert_eq(file_remove(&k->dir, name, &k->err), OUTCOME_DONE);
	cr_assert_eq(file_create(&k->dir, name, &fd, &k->err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_open(&w, fd, name, h, &k->village, &k->city.public, &k->err), OUTCOME_DONE, "%s",
	    k->err.text);
	for (size_t i = 0; i < count; i++) {
		struct view rest = items[i].content;

		cr_assert_eq(batch_item_begin(&w, BATCH_MESSAGE, view_text(items[i].head), rest.length, &k->err),
		    OUTCOME_DONE, "%s", k->err.text);
		while (rest.length > 0) {
			size_t size_now = rest.length < step ? rest.length : step;

			cr_assert_eq(sink_write(&w.content, rest.bytes, size_now, &k->err), OUTCOME_DONE);
			rest = view_from(rest, size_now);
		}
	}
	cr_assert_eq(batch_writer_finish(&w, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert(file_exists(&k->dir, name, &size));
	cr_assert_eq(w.size, size, "the size told is the file's");
	batch_writer_release(&w);
	file_close(&fd);
}

/* The whole file. */
static inline struct buf kit_bytes(struct kit *k, const char *name)
{
	struct buf bytes;

	buf_init(&bytes, (size_t)1 << 30);
	cr_assert_eq(file_read(&k->dir, name, &bytes, &k->err), OUTCOME_DONE, "%s", k->err.text);
	return bytes;
}

static inline void kit_put(struct kit *k, const char *name, struct view bytes)
{
	cr_assert_eq(file_replace(&k->dir, &k->dir, name, bytes, &k->err), OUTCOME_DONE, "%s", k->err.text);
}

/* Reads batch NAME as KEYS; every item's content goes to SINK (may be null). k->err says why it failed. */
static inline enum outcome kit_read_as(struct kit *k, const char *name, const struct host_keys *keys,
    const struct batch_limits *limits, struct sink *sink, size_t *items)
{
	struct batch_reader r;
	struct batch_item *item;
	enum outcome outcome;
	size_t count = 0;
	int fd;

	k->err = ERROR_NONE;
	cr_assert_eq(file_open(&k->dir, name, &fd, &k->err), OUTCOME_DONE);
	outcome = batch_reader_open(&r, fd, name, keys, kit_lookup, k, limits, &k->err);
	while (outcome == OUTCOME_DONE) {
		outcome = batch_next(&r, &item, &k->err);
		if (outcome != OUTCOME_DONE || item->type == BATCH_END)
			break;
		count++;
		if (sink != NULL)
			outcome = stream_copy(&item->content, sink, NULL, &k->err);
	}
	if (items != NULL)
		*items = count;
	batch_reader_release(&r);
	file_close(&fd);
	return outcome;
}

static inline enum outcome kit_read(struct kit *k, const char *name)
{
	return kit_read_as(k, name, &k->city, &kit_limits, NULL, NULL);
}

/* Reads NAME, which must hold exactly ITEMS. */
static inline void kit_expect(struct kit *k, const char *name, const struct kit_item *items, size_t count)
{
	struct batch_reader r;
	struct batch_item *item;
	int fd;

	cr_assert_eq(file_open(&k->dir, name, &fd, &k->err), OUTCOME_DONE);
	cr_assert_eq(batch_reader_open(&r, fd, name, &k->city, kit_lookup, k, &kit_limits, &k->err), OUTCOME_DONE,
	    "%s", k->err.text);
	for (size_t i = 0; i < count; i++) {
		struct buf content;
		struct buf_sink sink;

		cr_assert_eq(batch_next(&r, &item, &k->err), OUTCOME_DONE, "%s", k->err.text);
		cr_assert_eq(item->type, BATCH_MESSAGE);
		cr_assert(view_is(item->head, items[i].head));
		cr_assert_eq(item->size, items[i].content.length);
		buf_init(&content, items[i].content.length + 1);
		buf_sink_init(&sink, &content);
		cr_assert_eq(stream_copy(&item->content, &sink.sink, NULL, &k->err), OUTCOME_DONE, "%s", k->err.text);
		cr_assert(view_equal(view_buf(&content), items[i].content));
		buf_release(&content);
	}
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(batch_next(&r, &item, &k->err), OUTCOME_DONE, "%s", k->err.text);
		cr_assert_eq(item->type, BATCH_END);
	}
	batch_reader_release(&r);
	file_close(&fd);
}

/* Raw deflate; release the result. */
static inline struct buf kit_deflate(struct view bytes)
{
	z_stream zip = {.next_in = (Bytef *)(uintptr_t)bytes.bytes, .avail_in = (uInt)bytes.length};
	struct buf out;

	cr_assert_eq(deflateInit2(&zip, 9, Z_DEFLATED, CODEC_ZIP_WINDOW, 9, Z_DEFAULT_STRATEGY), Z_OK);
	buf_init(&out, deflateBound(&zip, bytes.length) + 16);
	zip.avail_out = (uInt)out.maximum;
	zip.next_out = buf_extend(&out, out.maximum);
	cr_assert_eq(deflate(&zip, Z_FINISH), Z_STREAM_END);
	out.length = zip.total_out;
	deflateEnd(&zip);
	return out;
}

/* Makes NAME of a header and a body that are taken as they are, signed by KEYS. */
static inline void kit_forge(
    struct kit *k, const char *name, const struct host_keys *keys, struct view header, struct view body)
{
	crypto_sign_state state;
	struct buf bytes;

	buf_init(&bytes, header.length + body.length + crypto_sign_BYTES);
	buf_view(&bytes, header);
	buf_view(&bytes, body);
	crypto_sign_init(&state);
	crypto_sign_update(&state, (const uint8_t *)BATCH_SIGN_DOMAIN, sizeof BATCH_SIGN_DOMAIN);
	crypto_sign_update(&state, bytes.bytes, bytes.length);
	crypto_sign_final_create(&state, buf_extend(&bytes, crypto_sign_BYTES), NULL, keys->sign_secret);
	cr_assert(!bytes.failed);
	kit_put(k, name, view_buf(&bytes));
	buf_release(&bytes);
}

/* The encoding of H. */
static inline struct buf kit_encode(const struct batch_header *h)
{
	struct error err = ERROR_NONE;
	struct buf bytes;

	buf_init(&bytes, BATCH_HEADER_MAX);
	cr_assert_eq(batch_header_write(h, &bytes, &err), OUTCOME_DONE, "%s", err.text);
	return bytes;
}

/* Brotli with a window of 2^BITS octets; release the result. */
static inline struct buf kit_brotli(struct view bytes, int bits)
{
	size_t length = BrotliEncoderMaxCompressedSize(bytes.length) + 16;
	struct buf out;

	buf_init(&out, length);
	buf_extend(&out, length);
	cr_assert(BrotliEncoderCompress(
	    BROTLI_DEFAULT_QUALITY, bits, BROTLI_MODE_GENERIC, bytes.length, bytes.bytes, &length, out.bytes));
	out.length = length;
	return out;
}

/* Forges a sign-only batch whose body is OCTETS, compressed. */
static inline void kit_forge_items(struct kit *k, const char *name, enum codec codec, struct view octets)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf body = codec == CODEC_BROTLI ? kit_brotli(octets, CODEC_WINDOW) : kit_deflate(octets);
	struct buf header;

	h.codec = codec;
	header = kit_encode(&h);
	kit_forge(k, name, &k->village, view_buf(&header), view_buf(&body));
	buf_release(&header);
	buf_release(&body);
}

/* LENGTH octets without any pattern, the same in every run. */
static inline struct buf kit_noise(size_t length)
{
	static const uint8_t seed[randombytes_SEEDBYTES] = {7};
	struct buf noise;

	buf_init(&noise, length);
	randombytes_buf_deterministic(buf_extend(&noise, length), length, seed);
	return noise;
}

#endif
