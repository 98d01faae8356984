/* What a reader of batches must refuse: damage, strangers, forgeries with a good signature, bombs. */
#include <fcntl.h>

#include "tests/unit/batch_kit.h"

static const enum kit_mode modes[] = {KIT_PLAIN, KIT_SEALED};
#define MODES 2

static void write_small(struct kit *k, const char *name, enum kit_mode mode)
{
	struct batch_header h = kit_header(mode, 300);
	struct kit_item item = {"head", view_text("Subject: x\r\n\r\nhello\r\n")};

	h.has_ack = true;
	h.ack.incarnation = 7;
	ranges_add(&h.ack.received, 2, 3);
	h.event_seen = 5;
	kit_write(k, name, &h, &item, 1, 100);
	batch_header_release(&h);
}

Test(batch_damage, every_changed_byte_is_found)
{
	static const uint8_t changes[] = {1, 2, 4, 8, 16, 32, 64, 128, 255};
	struct kit k;

	kit_open(&k);
	for (size_t m = 0; m < MODES; m++) {
		struct buf bytes;

		write_small(&k, "b", modes[m]);
		cr_assert_eq(kit_read(&k, "b"), OUTCOME_DONE, "%s", k.err.text);
		bytes = kit_bytes(&k, "b");
		for (size_t i = 0; i < bytes.length; i++) {
			for (size_t c = 0; c < sizeof changes; c++) {
				size_t items = 99;

				bytes.bytes[i] ^= changes[c];
				kit_put(&k, "c", view_buf(&bytes));
				bytes.bytes[i] ^= changes[c];
				cr_assert_neq(kit_read_as(&k, "c", &k.city, &kit_limits, NULL, &items), OUTCOME_DONE,
				    "byte %zu changed by %d", i, changes[c]);
				cr_assert_eq(items, 0, "no item is handed out");
				cr_assert(k.err.text[0] != '\0');
			}
		}
		buf_release(&bytes);
	}
	kit_close(&k);
}

Test(batch_damage, every_truncation_is_found)
{
	struct kit k;

	kit_open(&k);
	for (size_t m = 0; m < MODES; m++) {
		struct buf bytes;

		write_small(&k, "b", modes[m]);
		bytes = kit_bytes(&k, "b");
		for (size_t i = 0; i < bytes.length; i++) {
			kit_put(&k, "c", view_of(bytes.bytes, i));
			cr_assert_eq(kit_read(&k, "c"), OUTCOME_NEVER, "cut at %zu", i);
			cr_assert_eq(k.err.code, EX_DATAERR, "%s", k.err.text);
		}
		buf_byte(&bytes, 0);
		kit_put(&k, "c", view_buf(&bytes));
		cr_assert_eq(kit_read(&k, "c"), OUTCOME_NEVER);
		buf_release(&bytes);
	}
	kit_close(&k);
}

Test(batch_damage, other_hosts_and_other_keys)
{
	struct host_keys town;
	struct host_keys other;
	struct kit k;

	kit_open(&k);
	town = kit_keys("town", 128);
	other = kit_keys("city", 128);
	for (size_t m = 0; m < MODES; m++) {
		struct batch_header h = kit_header(modes[m], 1);
		struct batch_header stranger = kit_header(KIT_PLAIN, 1);
		struct buf header;

		kit_write(&k, "b", &h, NULL, 0, 1);
		kit_read_as(&k, "b", &town, &kit_limits, NULL, NULL);
		cr_assert_eq(k.err.code, EX_NOHOST, "%s", k.err.text);
		cr_assert(strstr(k.err.text, "city") != NULL, "says for whom: %s", k.err.text);

		/* The right name, but the sealing key is another one. */
		if (modes[m] == KIT_SEALED) {
			kit_read_as(&k, "b", &other, &kit_limits, NULL, NULL);
			cr_assert_eq(k.err.code, EX_DATAERR, "%s", k.err.text);
		}

		memcpy(stranger.from, "nobody", 7);
		header = kit_encode(&stranger);
		kit_forge(&k, "b", &k.village, view_buf(&header), view_of(NULL, 0));
		kit_read(&k, "b");
		cr_assert_eq(k.err.code, EX_NOPERM, "%s", k.err.text);
		cr_assert(strstr(k.err.text, "nobody") != NULL, "says from whom: %s", k.err.text);
		buf_release(&header);

		/* The name of a neighbour, signed by somebody else. */
		header = kit_encode(&h);
		kit_forge(&k, "b", &town, view_buf(&header), view_of("\x63\0\0", 3));
		kit_read(&k, "b");
		cr_assert_eq(k.err.code, EX_DATAERR, "%s", k.err.text);
		cr_assert(strstr(k.err.text, "signature") != NULL, "%s", k.err.text);
		buf_release(&header);
	}
	keys_release(&town);
	keys_release(&other);
	kit_close(&k);
}

/* ---- good signatures over bad batches
 * ---------------------------------------------------------------------- */

static void expect_forged(struct kit *k, struct view header, struct view body, int code, const char *says)
{
	kit_forge(k, "f", &k->village, header, body);
	cr_assert_neq(kit_read(k, "f"), OUTCOME_DONE, "expected: %s", says);
	cr_assert_eq(k->err.code, code, "%s", k->err.text);
	cr_assert(strstr(k->err.text, says) != NULL, "expected %s: %s", says, k->err.text);
}

static const enum codec codecs[] = {CODEC_DEFLATE, CODEC_BROTLI};
#define CODECS 2

/* Offers OCTETS as the unpacked body of a sign-only batch. */
static void expect_items(struct kit *k, struct view octets, int code, const char *says)
{
	for (size_t c = 0; c < CODECS; c++) {
		kit_forge_items(k, "f", codecs[c], octets);
		cr_assert_neq(kit_read(k, "f"), OUTCOME_DONE, "expected: %s", says);
		cr_assert_eq(k->err.code, code, "%s", k->err.text);
		cr_assert(strstr(k->err.text, says) != NULL, "expected %s: %s", says, k->err.text);
	}
}

Test(batch_damage, malformed_bodies)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf header = kit_encode(&h);
	struct kit k;

	kit_open(&k);
	for (size_t c = 0; c < CODECS; c++) {
		kit_forge_items(&k, "f", codecs[c], view_of("\1\1h\2ab\0", 7));
		cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	}

	expect_items(&k, view_of("", 0), EX_DATAERR, "ends too early");
	expect_items(&k, view_of("\1", 1), EX_DATAERR, "ends too early");
	expect_items(&k, view_of("\1\1h\2a", 5), EX_DATAERR, "ends too early");
	expect_items(&k, view_of("\1\1h\2ab", 6), EX_DATAERR, "ends too early");
	expect_items(&k, view_of("\1\1h\2ab\0\0", 8), EX_DATAERR, "follows its last item");
	expect_items(&k, view_of("\x81\0\1h\0\0", 6), EX_DATAERR, "number");
	expect_items(&k, view_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 11), EX_DATAERR, "number");
	expect_items(&k, view_of("\2\0\0\0", 4), EX_PROTOCOL, "kind 2");
	expect_items(&k, view_of("\3\0\0\0", 4), EX_PROTOCOL, "kind 3");
	expect_items(&k, view_of("\1\xff\xff\xff\x7fxxxx", 9), EX_DATAERR, "head of an item");

	expect_forged(&k, view_buf(&header), view_of(NULL, 0), EX_DATAERR, "does not end");
	expect_forged(&k, view_buf(&header), view_of("\x63", 1), EX_DATAERR, "does not end");
	expect_forged(&k, view_buf(&header), view_of("\x63\0", 2), EX_DATAERR, "does not end");
	expect_forged(&k, view_buf(&header), view_of("\x63\0\0\0", 4), EX_DATAERR, "follows its compressed stream");
	expect_forged(&k, view_buf(&header), view_of("\xff\xff\xff", 3), EX_DATAERR, "decompressed");
	buf_release(&header);
	kit_close(&k);
}

/* RFC 7932: 3b is a window of 2^22 and the last meta-block, empty; 11 is no window. */
Test(batch_damage, malformed_brotli)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf header;
	struct buf items;
	struct buf body;
	struct kit k;

	kit_open(&k);
	h.codec = CODEC_BROTLI;
	header = kit_encode(&h);
	buf_init(&items, 200000);
	buf_text(&items, "\1");
	buf_byte(&items, 0);
	wire_varint(&items, 100000);
	for (size_t i = 0; i < 100000; i++)
		buf_byte(&items, (uint8_t)(i * i >> 7));
	buf_byte(&items, 0);
	body = kit_brotli(view_buf(&items), CODEC_WINDOW);
	kit_forge(&k, "f", &k.village, view_buf(&header), view_buf(&body));
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	for (size_t length = 0; length < body.length; length += 1 + length / 7)
		expect_forged(&k, view_buf(&header), view_of(body.bytes, length), EX_DATAERR, "does not end");
	buf_byte(&body, 0);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "follows its compressed stream");
	buf_release(&body);
	body = kit_brotli(view_buf(&items), CODEC_WINDOW + 1);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "decompressed");
	buf_release(&body);
	body = kit_brotli(view_buf(&items), CODEC_WINDOW + 2);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "decompressed");
	buf_release(&body);
	kit_forge(&k, "f", &k.village, view_buf(&header), view_of("\x07\x00\x80\x00\x03", 5)); /* of FORMAT.md */
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	expect_forged(&k, view_buf(&header), view_of("\x3b", 1), EX_DATAERR, "ends too early");
	expect_forged(&k, view_buf(&header), view_of("\x11\x03", 2), EX_DATAERR, "decompressed");
	expect_forged(&k, view_buf(&header), view_of("\xff\xff\xff", 3), EX_DATAERR, "decompressed");
	buf_release(&items);
	buf_release(&header);
	kit_close(&k);
}

Test(batch_damage, unknown_versions_and_codecs)
{
	static const struct {
		size_t place;
		uint8_t byte;
		int code;
		const char *says;
	} cases[] = {
	    {0, 'Q', EX_DATAERR, "not a batch file"},
	    {3, 0, EX_PROTOCOL, "version 0"},
	    {3, 2, EX_PROTOCOL, "version 2"},
	    {4, 0x12, EX_PROTOCOL, "compressed in a way"},
	    {4, 0x1a, EX_PROTOCOL, "compressed in a way"},
	    {4, 0x42, EX_PROTOCOL, "flags"},
	    {4, 0x82, EX_PROTOCOL, "flags"},
	    {4, 0x06, EX_DATAERR, "class"},
	};
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf header = kit_encode(&h);
	struct kit k;

	kit_open(&k);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct batch_header peeked;
		uint8_t old = header.bytes[cases[i].place];
		int fd;

		header.bytes[cases[i].place] = cases[i].byte;
		expect_forged(&k, view_buf(&header), view_of("\x63\0\0", 3), cases[i].code, cases[i].says);
		cr_assert_eq(file_open(&k.dir, "f", &fd, &k.err), OUTCOME_DONE);
		cr_assert_neq(batch_peek(fd, "f", &peeked, &k.err), OUTCOME_DONE);
		cr_assert_eq(k.err.code, cases[i].code);
		file_close(&fd);
		header.bytes[cases[i].place] = old;
	}
	buf_release(&header);
	kit_close(&k);
}

Test(batch_damage, sealed_and_bare)
{
	struct batch_header h = kit_header(KIT_SEALED, 0);
	struct buf header = kit_encode(&h);
	struct kit k;

	kit_open(&k);
	header.bytes[BATCH_FLAGS_AT] |= BATCH_FLAG_SEALED;
	expect_forged(&k, view_buf(&header), view_of(NULL, 0), EX_DATAERR, "no body");
	header.bytes[BATCH_FLAGS_AT] = CODEC_BROTLI << BATCH_FLAG_CODEC_SHIFT;
	expect_forged(&k, view_buf(&header), view_of(NULL, 0), EX_DATAERR, "no body");
	buf_release(&header);
	kit_close(&k);
}

/* Without a signature that holds, a batch is damaged, not of a later version. */
Test(batch_damage, signature_is_judged_before_extensions)
{
	struct kit k;
	struct buf bytes;

	kit_open(&k);
	write_small(&k, "b", KIT_PLAIN);
	bytes = kit_bytes(&k, "b");
	bytes.bytes[BATCH_FLAGS_AT] |= 0x40;
	kit_put(&k, "c", view_buf(&bytes));
	cr_assert_neq(kit_read(&k, "c"), OUTCOME_DONE);
	cr_assert_eq(k.err.code, EX_DATAERR, "%s", k.err.text);
	buf_release(&bytes);
	kit_close(&k);
}

/* Appends to the rest of an encoded header, whose length takes one byte. */
static struct buf with_extension(const char *bytes, size_t length)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf header = kit_encode(&h);

	buf_append(&header, bytes, length);
	header.bytes[BATCH_FLAGS_AT + 1] = (uint8_t)(header.bytes[BATCH_FLAGS_AT + 1] + length);
	return header;
}

Test(batch_damage, unknown_extensions)
{
	struct kit k;
	struct buf header;

	kit_open(&k);
	header = with_extension("\x14\3abc", 5); /* 20: optional */
	kit_forge(&k, "f", &k.village, view_buf(&header), view_of("\x63\0\0", 3));
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	buf_release(&header);
	header = with_extension("\x15\3abc", 5); /* 21: mandatory */
	expect_forged(&k, view_buf(&header), view_of("\x63\0\0", 3), EX_PROTOCOL, "extension 21");
	buf_release(&header);
	kit_close(&k);
}

Test(batch_damage, unknown_dictionary)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf header = with_extension("\5", 1);
	struct kit k;

	kit_open(&k);
	header.bytes[BATCH_FLAGS_AT] |= BATCH_FLAG_DICTIONARY;
	expect_forged(&k, view_buf(&header), view_of("\x63\0\0", 3), EX_PROTOCOL, "dictionary 5");
	header.bytes[header.length - 1] = CODEC_DICTIONARY + 1;
	expect_forged(&k, view_buf(&header), view_of("\x63\0\0", 3), EX_PROTOCOL, "dictionary 2");
	header.bytes[header.length - 1] = 0;
	expect_forged(&k, view_buf(&header), view_of("\x63\0\0", 3), EX_DATAERR, "dictionary");
	header.bytes[header.length - 1] = CODEC_DICTIONARY;
	header.bytes[BATCH_FLAGS_AT] |= CODEC_BROTLI << BATCH_FLAG_CODEC_SHIFT;
	expect_forged(&k, view_buf(&header), view_of("\x3b", 1), EX_DATAERR, "not of its codec");
	buf_release(&header);
	header = kit_encode(&h);
	header.bytes[BATCH_FLAGS_AT] |= BATCH_FLAG_DICTIONARY;
	expect_forged(&k, view_buf(&header), view_of("\x63\0\0", 3), EX_DATAERR, "dictionary");
	buf_release(&header);
	kit_close(&k);
}

/* ---- seals -----------------------------------------------------------------------------------------------
 */

/* Seals PLAIN for city under HEADER, in chunks of STEP, the last COUNT times marked as last. */
static struct buf seal(struct kit *k, struct view header, struct view plain, size_t step, enum batch_chunk end)
{
	uint8_t hash[BATCH_SEAL_HASH];
	uint8_t *ephemeral;
	uint8_t *key;
	struct buf out;

	buf_init(&out, plain.length * 2 + 1000);
	ephemeral = buf_extend(&out, crypto_box_PUBLICKEYBYTES);
	key = batch_seal_for(k->city.public.seal, ephemeral);
	cr_assert_not_null(key);
	batch_seal_hash(header, hash);
	for (uint64_t number = 0;; number++) {
		size_t size = plain.length < step ? plain.length : step;
		bool last = size < step;
		struct batch_chunk_id id = {key, hash, number, last ? end : BATCH_CHUNK_MORE};
		size_t at = out.length;

		buf_append(&out, plain.bytes, size);
		buf_extend(&out, BATCH_SEAL_TAG);
		batch_chunk_seal(&id, out.bytes + at, size);
		plain = view_from(plain, size);
		if (last)
			break;
	}
	sodium_free(key);
	cr_assert(!out.failed);
	return out;
}

Test(batch_damage, seals_that_do_not_hold)
{
	struct batch_header h = kit_header(KIT_SEALED, 1);
	struct batch_header other = kit_header(KIT_SEALED, 2);
	struct batch_header open = kit_header(KIT_PLAIN, 1);
	struct buf header = kit_encode(&h);
	struct buf moved = kit_encode(&other);
	struct buf plain_header = kit_encode(&open);
	struct view end = view_of("\x63\0\0", 3);
	struct buf body;
	struct kit k;

	kit_open(&k);
	body = seal(&k, view_buf(&header), end, BATCH_SEAL_CHUNK, BATCH_CHUNK_LAST);
	kit_forge(&k, "f", &k.village, view_buf(&header), view_buf(&body));
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	expect_forged(&k, view_buf(&moved), view_buf(&body), EX_DATAERR, "unsealed");
	/* A fresh key is any bytes, so what is wrong with them as a stream differs. */
	kit_forge(&k, "f", &k.village, view_buf(&plain_header), view_buf(&body));
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_NEVER);
	expect_forged(&k, view_buf(&header), end, EX_DATAERR, "too short");
	expect_forged(&k, view_buf(&header), view_of(body.bytes, 40), EX_DATAERR, "too short");
	body.bytes[body.length - 1] ^= 1;
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "unsealed");
	memset(body.bytes, 0, crypto_box_PUBLICKEYBYTES);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "sealing key");
	buf_release(&body);
	body = seal(&k, view_buf(&header), end, BATCH_SEAL_CHUNK, BATCH_CHUNK_MORE);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "unsealed");
	buf_release(&body);
	body = seal(&k, view_buf(&header), view_of("\x63\0\0x", 4), BATCH_SEAL_CHUNK, BATCH_CHUNK_LAST);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "follows its compressed stream");
	buf_release(&body);
	buf_release(&header);
	buf_release(&moved);
	buf_release(&plain_header);
	kit_close(&k);
}

/* Chunks of noise, in another order. */
Test(batch_damage, chunks_keep_their_places)
{
	struct batch_header h = kit_header(KIT_SEALED, 1);
	size_t chunk = BATCH_SEAL_CHUNK + BATCH_SEAL_TAG;
	struct kit_item item;
	struct buf header;
	struct buf bytes;
	struct buf noise;
	struct buf swapped;
	struct view body;
	struct kit k;

	kit_open(&k);
	h.codec = CODEC_BROTLI; /* as the writer finds best */
	header = kit_encode(&h);
	noise = kit_noise(5 * BATCH_SEAL_CHUNK / 2);
	item = (struct kit_item){"", view_buf(&noise)};
	kit_write(&k, "b", &h, &item, 1, 10000);
	bytes = kit_bytes(&k, "b");
	body = view_of(bytes.bytes + header.length, bytes.length - header.length - BATCH_SIGNATURE);
	buf_init(&swapped, body.length);
	buf_append(&swapped, body.bytes, 32);
	buf_append(&swapped, body.bytes + 32 + chunk, chunk);
	buf_append(&swapped, body.bytes + 32, chunk);
	buf_view(&swapped, view_from(body, 32 + 2 * chunk));
	cr_assert_eq(swapped.length, body.length);
	expect_forged(&k, view_buf(&header), view_buf(&swapped), EX_DATAERR, "unsealed");
	/* The last chunk alone, the first left out. */
	memmove(swapped.bytes + 32, body.bytes + 32 + chunk, body.length - 32 - chunk);
	expect_forged(&k, view_buf(&header), view_of(swapped.bytes, body.length - chunk), EX_DATAERR, "unsealed");
	kit_forge(&k, "f", &k.village, view_buf(&header), body);
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	buf_release(&swapped);
	buf_release(&noise);
	buf_release(&bytes);
	buf_release(&header);
	kit_close(&k);
}

/* One stored block of exactly a chunk: it may stand as a full last chunk, or be closed by an empty one. */
Test(batch_damage, empty_last_chunk)
{
	struct batch_header h = kit_header(KIT_SEALED, 1);
	struct buf header = kit_encode(&h);
	struct buf plain;
	struct buf body;
	struct kit k;
	size_t size = BATCH_SEAL_CHUNK - 5; /* behind the block's own 5 bytes; 6 of them are framing */

	kit_open(&k);
	buf_init(&plain, BATCH_SEAL_CHUNK);
	buf_byte(&plain, 1); /* last block, stored */
	buf_byte(&plain, (uint8_t)size);
	buf_byte(&plain, (uint8_t)(size >> 8));
	buf_byte(&plain, (uint8_t)~size);
	buf_byte(&plain, (uint8_t)(~size >> 8));
	buf_append(&plain, "\1\0", 2);
	wire_varint(&plain, size - 6);
	buf_extend(&plain, size - 6);
	buf_byte(&plain, 0);
	cr_assert_eq(plain.length, BATCH_SEAL_CHUNK);

	body = seal(&k, view_buf(&header), view_buf(&plain), BATCH_SEAL_CHUNK, BATCH_CHUNK_LAST);
	cr_assert_eq(body.length, 32 + BATCH_SEAL_CHUNK + 2 * BATCH_SEAL_TAG);
	kit_forge(&k, "f", &k.village, view_buf(&header), view_buf(&body));
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	/* Cut between the chunks: the first was not sealed as the last. */
	expect_forged(
	    &k, view_buf(&header), view_of(body.bytes, body.length - BATCH_SEAL_TAG), EX_DATAERR, "unsealed");
	expect_forged(&k, view_buf(&header), view_of(body.bytes, body.length - 1), EX_DATAERR, "unsealed");
	buf_release(&body);
	body = seal(&k, view_buf(&header), view_buf(&plain), BATCH_SEAL_CHUNK, BATCH_CHUNK_MORE);
	expect_forged(&k, view_buf(&header), view_buf(&body), EX_DATAERR, "unsealed");
	buf_release(&body);
	buf_release(&plain);
	buf_release(&header);
	kit_close(&k);
}

/* ---- caps ------------------------------------------------------------------------------------------------
 */

static void expect_capped(struct kit *k, const struct batch_limits *limits, const char *says)
{
	struct null_sink sink;

	null_sink_init(&sink);
	cr_assert_neq(kit_read_as(k, "f", &k->city, limits, &sink.sink, NULL), OUTCOME_DONE);
	cr_assert_eq(k->err.code, EX_DATAERR, "%s", k->err.text);
	cr_assert(strstr(k->err.text, says) != NULL, "%s", k->err.text);
}

Test(batch_damage, too_many_items)
{
	struct buf octets;
	struct kit k;

	kit_open(&k);
	buf_init(&octets, 4 * LIMIT_BATCH_ITEMS);
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS + 1; i++)
		buf_append(&octets, "\1\0\0", 3);
	buf_byte(&octets, 0);
	kit_forge_items(&k, "f", CODEC_DEFLATE, view_from(view_buf(&octets), 3));
	cr_assert_eq(kit_read(&k, "f"), OUTCOME_DONE, "%s", k.err.text);
	kit_forge_items(&k, "f", CODEC_DEFLATE, view_buf(&octets));
	expect_capped(&k, &kit_limits, "more items");
	buf_release(&octets);
	kit_close(&k);
}

Test(batch_damage, too_large)
{
	struct batch_limits limits = {.max_item = 5, .max_total = 1000};
	struct kit k;

	kit_open(&k);
	kit_forge_items(&k, "f", CODEC_DEFLATE, view_of("\1\0\5abcde\0", 9));
	cr_assert_eq(kit_read_as(&k, "f", &k.city, &limits, NULL, NULL), OUTCOME_DONE, "%s", k.err.text);
	limits.max_total = 9;
	cr_assert_eq(kit_read_as(&k, "f", &k.city, &limits, NULL, NULL), OUTCOME_DONE, "%s", k.err.text);
	limits.max_total = 8;
	expect_capped(&k, &limits, "limit of 8");
	limits.max_total = 1000;
	limits.max_item = 4;
	expect_capped(&k, &limits, "limit of 4");
	/* A size that nothing could hold is no more than a size. */
	kit_forge_items(&k, "f", CODEC_DEFLATE, view_of("\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1x", 13));
	limits = (struct batch_limits){UINT64_MAX, UINT64_MAX};
	expect_capped(&k, &limits, "ends too early");
	kit_close(&k);
}

Test(batch_damage, bomb)
{
	struct batch_limits limits = {UINT64_MAX, UINT64_MAX};
	size_t size = (size_t)128 << 20;
	struct buf octets;
	struct kit k;

	kit_open(&k);
	buf_init(&octets, size + 100);
	buf_append(&octets, "\1\0", 2);
	wire_varint(&octets, size);
	memset(buf_extend(&octets, size), 0, size);
	buf_byte(&octets, 0);
	for (size_t c = 0; c < CODECS; c++) {
		kit_forge_items(&k, "f", codecs[c], view_buf(&octets));
		expect_capped(&k, &limits, "times its size");
	}
	buf_release(&octets);
	kit_close(&k);
}

/* ---- behaviour after a failure ---------------------------------------------------------------------------
 */

Test(batch_damage, a_failed_batch_stays_failed)
{
	struct batch_reader r;
	struct batch_item *item;
	struct kit k;
	int fd;

	kit_open(&k);
	kit_forge_items(&k, "f", CODEC_DEFLATE, view_of("\1\0\0\7\0", 5));
	cr_assert_eq(file_open(&k.dir, "f", &fd, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_reader_open(&r, fd, "f", &k.city, kit_lookup, &k, &kit_limits, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_next(&r, &item, &k.err), OUTCOME_DONE);
	for (int i = 0; i < 5; i++)
		cr_assert_neq(batch_next(&r, &item, &k.err), OUTCOME_DONE);
	batch_reader_release(&r);
	batch_reader_release(&r);
	file_close(&fd);
	kit_close(&k);
}

/* The signature is checked first, then the file is read again: it must still be the same. */
Test(batch_damage, a_file_that_changes_meanwhile)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct buf noise;
	struct kit_item item;
	struct batch_reader r;
	struct batch_item *got;
	struct kit k;
	int fd;

	kit_open(&k);
	noise = kit_noise(1000);
	item = (struct kit_item){"", view_buf(&noise)};
	kit_write(&k, "b", &h, &item, 1, 1000);
	fd = openat(k.dir.fd, "b", O_RDWR | O_CLOEXEC);
	cr_assert_eq(batch_reader_open(&r, fd, "b", &k.city, kit_lookup, &k, &kit_limits, &k.err), OUTCOME_DONE);
	noise.bytes[500] ^= 1;
	cr_assert_eq(file_write_at(fd, noise.bytes + 500, 1, r.body_at + 5 + 4 + 500, "b", &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_next(&r, &got, &k.err), OUTCOME_DONE, "%s", k.err.text);
	cr_assert_neq(batch_next(&r, &got, &k.err), OUTCOME_DONE);
	cr_assert(strstr(k.err.text, "changed while") != NULL, "%s", k.err.text);
	batch_reader_release(&r);
	file_close(&fd);
	buf_release(&noise);
	kit_close(&k);
}
