#include <malloc.h>

#include "tests/unit/batch_kit.h"

static const enum kit_mode modes[] = {KIT_PLAIN, KIT_SEALED};
#define MODES 2

/* ---- round trips -----------------------------------------------------------------------------------------
 */

Test(batch, items_round_trip)
{
	struct buf noise;
	struct kit k;

	kit_open(&k);
	noise = kit_noise(200000);
	{
		const struct kit_item items[] = {
		    {"first head", view_text("Subject: one\r\n\r\nbody\r\n")},
		    {"", view_of(NULL, 0)},
		    {"noise", view_buf(&noise)},
		    {"nul", view_of("a\0b\rc\n", 6)},
		    {"again", view_text("Subject: one\r\n\r\nbody\r\n")},
		};

		for (size_t m = 0; m < MODES; m++) {
			for (size_t count = 0; count <= sizeof items / sizeof items[0]; count++) {
				struct batch_header h = kit_header(modes[m], 1 + count);

				kit_write(&k, "b", &h, items, count, 1000);
				kit_expect(&k, "b", items, count);
			}
		}
	}
	buf_release(&noise);
	kit_close(&k);
}

/* Once mail has gone out with it, it must not change. */
Test(batch, the_dictionary_is_the_one_of_the_format)
{
	static const uint8_t expected[] = {0x53, 0x7b, 0x65, 0x72, 0x93, 0x4f, 0x18, 0x5b, 0x34, 0xdb, 0x24, 0x2e,
	    0xd1, 0xab, 0x2f, 0x86, 0x8e, 0xc1, 0x70, 0xa7, 0xbc, 0x65, 0xca, 0x5f, 0x92, 0xa2, 0x6d, 0x8a, 0x9b,
	    0x3c, 0x48, 0xc0};
	uint8_t hash[sizeof expected];

	cr_assert_eq(codec_dictionary_size, 5790u);
	crypto_generichash(hash, sizeof hash, (const uint8_t *)codec_dictionary, codec_dictionary_size, NULL, 0);
	cr_assert_arr_eq(hash, expected, sizeof hash);
}

/* Writes ONE as a batch; how it is compressed, and how long the file is. */
static uint64_t written(struct kit *k, enum kit_mode mode, struct view one, enum codec *codec, uint8_t *dictionary)
{
	struct kit_item item = {"anna@village.example.org bela@city.example.org", one};
	struct batch_header h = kit_header(mode, 7);
	struct batch_header peeked;
	uint64_t size;
	int fd;

	kit_write(k, "b", &h, &item, 1, 1000);
	kit_expect(k, "b", &item, 1);
	cr_assert(file_exists(&k->dir, "b", &size));
	cr_assert_eq(file_open(&k->dir, "b", &fd, &k->err), OUTCOME_DONE);
	cr_assert_eq(batch_peek(fd, "b", &peeked, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(peeked.sealed, mode == KIT_SEALED);
	*codec = peeked.codec;
	*dictionary = peeked.dictionary;
	batch_header_release(&peeked);
	file_close(&fd);
	return size;
}

/* The dictionary has what a short message has; what is longer, and words of many languages, are brotli's. */
Test(batch, the_smaller_codec_is_taken)
{
	static const char mail[] =
	    "Received: from localhost (localhost [127.0.0.1])\r\n\tby village.example (Postfix) with ESMTP id 7\r\n"
	    "From: Anna <anna@village.example>\r\nTo: bela@city.example\r\nSubject: Re: the boat\r\n"
	    "Date: Sat, 28 Nov 2026 12:00:00 +0100\r\nMessage-ID: <1@village.example>\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nOn Tuesday.\r\n";
	static const char words[] = "government university international development information environment "
				    "community understanding president education technology organization";
	struct buf twice;
	enum codec codec;
	uint8_t dictionary;
	struct kit k;

	kit_open(&k);
	buf_init(&twice, 100000);
	while (twice.length <= BATCH_PIECE)
		buf_text(&twice, mail);
	for (size_t m = 0; m < MODES; m++) {
		struct buf plain = kit_deflate(view_text(mail));
		uint64_t least = plain.length + BATCH_SIGNATURE;

		cr_assert_lt(written(&k, modes[m], view_text(mail), &codec, &dictionary) + 100,
		    least + (modes[m] == KIT_SEALED ? 48 : 0));
		cr_assert_eq(codec, CODEC_DEFLATE);
		cr_assert_eq(dictionary, CODEC_DICTIONARY);
		written(&k, modes[m], view_text(words), &codec, &dictionary);
		cr_assert_eq(codec, CODEC_BROTLI);
		cr_assert_eq(dictionary, 0);
		written(&k, modes[m], view_buf(&twice), &codec, &dictionary);
		cr_assert_eq(codec, CODEC_BROTLI);
		buf_release(&plain);
	}
	buf_release(&twice);
	kit_close(&k);
}

/* Around the end of the first piece, where it is decided. */
Test(batch, piece_boundaries)
{
	struct kit k;
	struct buf noise;

	kit_open(&k);
	noise = kit_noise(2 * BATCH_PIECE + 10);
	for (size_t m = 0; m < MODES; m++)
		for (size_t size = BATCH_PIECE - 12; size < BATCH_PIECE + 3; size++) {
			struct batch_header h = kit_header(modes[m], 1);
			struct kit_item item = {"h", view_of(noise.bytes, size)};

			kit_write(&k, "b", &h, &item, 1, 1000);
			kit_expect(&k, "b", &item, 1);
			item.content.length += BATCH_PIECE;
			kit_write(&k, "b", &h, &item, 1, 100000);
			kit_expect(&k, "b", &item, 1);
		}
	buf_release(&noise);
	kit_close(&k);
}

Test(batch, many_items)
{
	struct kit k;
	struct kit_item *items = mem_array(LIMIT_BATCH_ITEMS, sizeof *items);

	kit_open(&k);
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS; i++)
		items[i] = (struct kit_item){"h", view_text(i % 3 == 0 ? "abc" : "")};
	for (size_t m = 0; m < MODES; m++) {
		struct batch_header h = kit_header(modes[m], 1);

		kit_write(&k, "b", &h, items, LIMIT_BATCH_ITEMS, 10);
		kit_expect(&k, "b", items, LIMIT_BATCH_ITEMS);
	}
	free(items);
	kit_close(&k);
}

/* Sizes around the end of a chunk: full last chunks, and what spills over. */
Test(batch, chunk_boundaries)
{
	struct kit k;
	struct buf noise;

	kit_open(&k);
	noise = kit_noise(2 * BATCH_SEAL_CHUNK);
	for (size_t size = BATCH_SEAL_CHUNK - 60; size < BATCH_SEAL_CHUNK + 10; size++) {
		struct batch_header h = kit_header(KIT_SEALED, 1);
		struct kit_item item = {"h", view_of(noise.bytes, size)};

		kit_write(&k, "b", &h, &item, 1, size);
		kit_expect(&k, "b", &item, 1);
		item.content.length += BATCH_SEAL_CHUNK - 20;
		kit_write(&k, "b", &h, &item, 1, size);
		kit_expect(&k, "b", &item, 1);
	}
	buf_release(&noise);
	kit_close(&k);
}

Test(batch, large_heads)
{
	struct kit k;
	char *head = mem_alloc(300001);
	struct kit_item items[3] = {{head, view_text("x")}, {"", view_text("y")}, {head, view_text("")}};

	kit_open(&k);
	for (size_t i = 0; i < 300000; i++)
		head[i] = (char)('a' + i * i % 26);
	for (size_t m = 0; m < MODES; m++) {
		struct batch_header h = kit_header(modes[m], 1);

		kit_write(&k, "b", &h, items, 3, 1);
		kit_expect(&k, "b", items, 3);
	}
	free(head);
	kit_close(&k);
}

Test(batch, header_is_handed_on)
{
	struct batch_header h = kit_header(KIT_SEALED, 77);
	struct batch_reader r;
	struct batch_writer w;
	struct batch_header peeked;
	struct kit k;
	int fd;

	kit_open(&k);
	h.has_ack = true;
	h.ack.incarnation = 5;
	ranges_add(&h.ack.received, 1, 9);
	memcpy(h.ack.check, "abcd", 4);
	h.class = 2;
	cr_assert_eq(file_create(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_open(&w, fd, "b", &h, &k.village, &k.city.public, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_finish(&w, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_reader_open(&r, fd, "b", &k.city, kit_lookup, &k, &kit_limits, &k.err), OUTCOME_DONE, "%s",
	    k.err.text);
	cr_assert_arr_eq(r.mark, w.mark, BATCH_MARK);
	cr_assert_eq(batch_peek(fd, "b", &peeked, &k.err), OUTCOME_DONE, "%s", k.err.text);
	for (int i = 0; i < 2; i++) {
		const struct batch_header *got = i == 0 ? &r.header : &peeked;

		cr_assert_str_eq(got->from, "village");
		cr_assert_str_eq(got->to, "city");
		cr_assert_eq(got->incarnation, 0x01020304);
		cr_assert_eq(got->sequence, 77);
		cr_assert_eq(got->class, 2);
		cr_assert(got->sealed);
		cr_assert(got->has_ack);
		cr_assert(ranges_contain(&got->ack.received, 9));
		cr_assert_arr_eq(got->ack.check, "abcd", 4);
	}
	batch_header_release(&peeked);
	batch_reader_release(&r);
	batch_writer_release(&w);
	batch_header_release(&h);
	file_close(&fd);
	kit_close(&k);
}

Test(batch, what_is_left_unread_is_skipped)
{
	struct kit_item items[3];
	struct batch_item *item;
	struct batch_reader r;
	struct buf noise;
	struct kit k;
	int fd;

	kit_open(&k);
	noise = kit_noise(100000);
	for (size_t i = 0; i < 3; i++)
		items[i] = (struct kit_item){i == 1 ? "one" : "other", view_of(noise.bytes, 70000 + i)};
	for (size_t m = 0; m < MODES; m++) {
		struct batch_header h = kit_header(modes[m], 1);
		uint8_t octets[100];
		size_t got;

		kit_write(&k, "b", &h, items, 3, 5000);
		cr_assert_eq(file_open(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
		cr_assert_eq(
		    batch_reader_open(&r, fd, "b", &k.city, kit_lookup, &k, &kit_limits, &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_next(&r, &item, &k.err), OUTCOME_DONE);
		cr_assert_eq(source_read(&item->content, octets, sizeof octets, &got, &k.err), OUTCOME_DONE);
		cr_assert_arr_eq(octets, noise.bytes, got);
		cr_assert_eq(batch_next(&r, &item, &k.err), OUTCOME_DONE);
		cr_assert(view_is(item->head, "one"));
		cr_assert_eq(batch_next(&r, &item, &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_next(&r, &item, &k.err), OUTCOME_DONE, "%s", k.err.text);
		cr_assert_eq(item->type, BATCH_END);
		batch_reader_release(&r);
		file_close(&fd);
	}
	buf_release(&noise);
	kit_close(&k);
}

/* The same items give the same file, however the content comes; sign-only, because a sealed one has a fresh
 * key. */
Test(batch, splitting_the_writes_changes_nothing)
{
	static const size_t steps[] = {1, 7, 1000, 16384, 65536, 1000000};
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct kit_item items[2];
	struct buf content;
	struct buf first;
	struct kit k;

	kit_open(&k);
	content = kit_noise(300000);
	for (size_t i = 0; i < content.length; i++)
		if (i / 20000 % 2 == 0)
			content.bytes[i] = (uint8_t)("lorem ipsum "[i % 12] + (content.bytes[i] > 200));
	items[0] = (struct kit_item){"head", view_buf(&content)};
	items[1] = (struct kit_item){"other", view_from(view_buf(&content), 60001)};
	kit_write(&k, "first", &h, items, 2, steps[0]);
	first = kit_bytes(&k, "first");
	for (size_t i = 1; i < sizeof steps / sizeof steps[0]; i++) {
		struct buf other;

		kit_write(&k, "other", &h, items, 2, steps[i]);
		other = kit_bytes(&k, "other");
		cr_assert(view_equal(view_buf(&first), view_buf(&other)), "portions of %zu", steps[i]);
		buf_release(&other);
	}
	buf_release(&first);
	buf_release(&content);
	kit_close(&k);
}

/* ---- large items -----------------------------------------------------------------------------------------
 */

/* Heap in use, mapped blocks included. */
static size_t heap(void)
{
#ifdef __GLIBC__
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
#else
	return 0;
#endif
}

/* What brotli has to remember, not what passes through. */
#define HEAP_WRITING ((size_t)25 << 20)
#define HEAP_READING ((size_t)6 << 20)

static void write_large(struct kit *k, int fd, const struct batch_header *h, struct view block, uint64_t blocks)
{
	size_t before = heap();
	struct batch_writer w;

	cr_assert_eq(batch_writer_open(&w, fd, "b", h, &k->village, &k->city.public, &k->err), OUTCOME_DONE);
	batch_writer_expect(&w, block.length * blocks);
	cr_assert_eq(
	    batch_item_begin(&w, BATCH_MESSAGE, view_text("head"), block.length * blocks, &k->err), OUTCOME_DONE);
	for (uint64_t i = 0; i < blocks; i++)
		cr_assert_eq(sink_view(&w.content, block, &k->err), OUTCOME_DONE);
	cr_assert_leq(heap(), before + HEAP_WRITING);
	cr_assert_eq(batch_writer_finish(&w, &k->err), OUTCOME_DONE, "%s", k->err.text);
	batch_writer_release(&w);
}

static void read_large(struct kit *k, int fd, struct view block, uint64_t blocks)
{
	uint8_t *octets = mem_alloc(block.length);
	size_t before = heap();
	struct batch_item *item;
	struct batch_reader r;

	cr_assert_eq(batch_reader_open(&r, fd, "b", &k->city, kit_lookup, k, &kit_limits, &k->err), OUTCOME_DONE,
	    "%s", k->err.text);
	cr_assert_eq(batch_next(&r, &item, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(item->size, block.length * blocks);
	for (uint64_t i = 0; i < blocks; i++) {
		size_t length = 0;
		size_t got = 1;

		while (length < block.length && got > 0) {
			cr_assert_eq(
			    source_read(&item->content, octets + length, block.length - length, &got, &k->err),
			    OUTCOME_DONE, "%s", k->err.text);
			length += got;
		}
		cr_assert(view_equal(view_of(octets, length), block));
	}
	cr_assert_leq(heap(), before + HEAP_READING);
	cr_assert_eq(batch_next(&r, &item, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(item->type, BATCH_END);
	batch_reader_release(&r);
	free(octets);
}

static void round_trip_large(struct kit *k, enum kit_mode mode, struct view block, uint64_t blocks)
{
	struct batch_header h = kit_header(mode, 1);
	int fd;

	cr_assert_eq(file_remove(&k->dir, "b", &k->err), OUTCOME_DONE);
	cr_assert_eq(file_create(&k->dir, "b", &fd, &k->err), OUTCOME_DONE);
	write_large(k, fd, &h, block, blocks);
	read_large(k, fd, block, blocks);
	file_close(&fd);
}

/* LENGTH octets of words, of which there are 3000. */
static struct buf words(size_t length)
{
	struct buf noise = kit_noise(3000 * 11 + length / 2);
	struct buf text;

	buf_init(&text, length);
	for (size_t i = 33000; text.length < length; i += 2) {
		const uint8_t *word = noise.bytes + (noise.bytes[i] * 256u + noise.bytes[i + 1]) % 3000 * 11;

		for (size_t c = 0; c <= 1u + word[0] % 9 && text.length < length - 1; c++)
			buf_byte(&text, (uint8_t)('a' + word[1 + c] % 26));
		buf_byte(&text, ' ');
	}
	buf_release(&noise);
	return text;
}

/* Words make brotli remember more than noise does. */
Test(batch, large_items_take_little_memory)
{
	struct buf noise;
	struct buf text;
	struct kit k;

	kit_open(&k);
	noise = kit_noise(100000);
	text = words(8 << 20);
	for (size_t m = 0; m < MODES; m++)
		round_trip_large(&k, modes[m], view_buf(&noise), 60);
	round_trip_large(&k, KIT_PLAIN, view_buf(&text), 1);
	round_trip_large(&k, KIT_PLAIN, view_of(text.bytes, CODEC_EFFORT - 1000), 1);
	buf_release(&text);
	buf_release(&noise);
	kit_close(&k);
}

/* What is expected to be much is compressed faster, and less well. */
Test(batch, effort_goes_by_what_is_expected)
{
	uint64_t sizes[2];
	struct buf text;
	struct kit k;

	kit_open(&k);
	text = words(300000);
	for (int i = 0; i < 2; i++) {
		struct batch_header h = kit_header(KIT_PLAIN, 1);
		struct batch_writer w;
		int fd;

		cr_assert_eq(file_create(&k.dir, i == 0 ? "a" : "b", &fd, &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_writer_open(&w, fd, "b", &h, &k.village, &k.city.public, &k.err), OUTCOME_DONE);
		batch_writer_expect(&w, i == 0 ? CODEC_EFFORT : CODEC_EFFORT + 1);
		cr_assert_eq(batch_item_begin(&w, BATCH_MESSAGE, view_text("h"), text.length, &k.err), OUTCOME_DONE);
		cr_assert_eq(sink_view(&w.content, view_buf(&text), &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_writer_finish(&w, &k.err), OUTCOME_DONE);
		sizes[i] = w.size;
		batch_writer_release(&w);
		file_close(&fd);
	}
	cr_assert_lt(sizes[0] + sizes[0] / 50, sizes[1], "%llu and %llu", (unsigned long long)sizes[0],
	    (unsigned long long)sizes[1]);
	buf_release(&text);
	kit_close(&k);
}

/* A codec may bring this to 1000000:1; the writer must not make what the reader takes for a bomb. */
Test(batch, long_runs_of_one_octet_are_no_bomb)
{
	uint8_t *zeros = mem_alloc((size_t)1 << 20);
	struct kit k;

	kit_open(&k);
	for (size_t m = 0; m < MODES; m++)
		round_trip_large(&k, modes[m], view_of(zeros, (size_t)1 << 20), 128);
	free(zeros);
	kit_close(&k);
}

/* ---- bare batches ----------------------------------------------------------------------------------------
 */

Test(batch, bare_batches_have_no_body)
{
	struct kit k;

	kit_open(&k);
	for (size_t m = 0; m < MODES; m++) {
		struct batch_header h = kit_header(modes[m], 0);
		struct batch_writer w;
		struct buf header;
		struct buf bytes;
		int fd;

		kit_write(&k, "b", &h, NULL, 0, 1);
		kit_expect(&k, "b", NULL, 0);
		header = kit_encode(&h);
		bytes = kit_bytes(&k, "b");
		cr_assert_eq(bytes.length, header.length + BATCH_SIGNATURE);
		kit_forge(&k, "f", &k.village, view_buf(&header), view_of("\x63\0\0", 3));
		cr_assert_eq(kit_read(&k, "f"), OUTCOME_NEVER);
		cr_assert_eq(k.err.code, EX_DATAERR);
		buf_release(&header);
		buf_release(&bytes);

		cr_assert_eq(file_open(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
		cr_assert_eq(file_remove(&k.dir, "w", &k.err), OUTCOME_DONE);
		file_close(&fd);
		cr_assert_eq(file_create(&k.dir, "w", &fd, &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_writer_open(&w, fd, "w", &h, &k.village, &k.city.public, &k.err), OUTCOME_DONE);
		cr_assert_neq(batch_item_begin(&w, BATCH_MESSAGE, view_text(""), 0, &k.err), OUTCOME_DONE);
		cr_assert_eq(k.err.code, EX_SOFTWARE);
		batch_writer_release(&w);
		file_close(&fd);
	}
	kit_close(&k);
}

/* ---- the writer's own checks -----------------------------------------------------------------------------
 */

Test(batch, writer_holds_the_announced_size)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct batch_writer w;
	struct kit k;
	int fd;

	kit_open(&k);
	cr_assert_eq(file_create(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_open(&w, fd, "b", &h, &k.village, &k.city.public, &k.err), OUTCOME_DONE);
	cr_assert_neq(sink_write(&w.content, "x", 1, &k.err), OUTCOME_DONE, "no item was begun");
	cr_assert_eq(batch_item_begin(&w, BATCH_MESSAGE, view_text(""), 3, &k.err), OUTCOME_DONE);
	cr_assert_eq(sink_write(&w.content, "ab", 2, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_item_begin(&w, BATCH_MESSAGE, view_text(""), 3, &k.err), OUTCOME_NEVER);
	cr_assert_eq(k.err.code, EX_DATAERR);
	cr_assert_eq(batch_writer_finish(&w, &k.err), OUTCOME_NEVER);
	cr_assert_eq(sink_write(&w.content, "cd", 2, &k.err), OUTCOME_NEVER);
	cr_assert_eq(k.err.code, EX_DATAERR);
	cr_assert_eq(sink_write(&w.content, "c", 1, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_finish(&w, &k.err), OUTCOME_DONE);
	batch_writer_release(&w);
	batch_writer_release(&w);
	file_close(&fd);
	kit_close(&k);
}

Test(batch, writer_holds_the_number_of_items)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct batch_writer w;
	struct kit k;
	int fd;

	kit_open(&k);
	cr_assert_eq(file_create(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_open(&w, fd, "b", &h, &k.village, NULL, &k.err), OUTCOME_DONE);
	for (size_t i = 0; i < LIMIT_BATCH_ITEMS; i++)
		cr_assert_eq(batch_item_begin(&w, BATCH_MESSAGE, view_text(""), 0, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_item_begin(&w, BATCH_MESSAGE, view_text(""), 0, &k.err), OUTCOME_NEVER);
	cr_assert(strstr(k.err.text, "too many items") != NULL, "%s", k.err.text);
	batch_writer_release(&w);
	file_close(&fd);
	kit_close(&k);
}

Test(batch, writer_refuses_wrong_keys)
{
	struct public_keys weak;
	struct batch_writer w;
	struct kit k;
	int fd;

	kit_open(&k);
	weak = k.city.public;
	memset(weak.seal, 0, sizeof weak.seal);
	cr_assert_eq(file_create(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
	for (int i = 0; i < 4; i++) {
		struct batch_header h = kit_header(KIT_SEALED, 1);
		const struct host_keys *keys = i == 0 ? &k.city : &k.village;
		const struct public_keys *peer = i == 1 ? &k.village.public : i == 2 ? &weak : &k.city.public;

		h.class = i == 3 ? 3 : 0;
		cr_assert_neq(batch_writer_open(&w, fd, "b", &h, keys, peer, &k.err), OUTCOME_DONE, "case %d", i);
		cr_assert_eq(k.err.code, i == 2 ? EX_CONFIG : EX_SOFTWARE);
		batch_writer_release(&w);
	}
	file_close(&fd);
	kit_close(&k);
}

Test(batch, sign_only_needs_no_peer)
{
	struct batch_header h = kit_header(KIT_PLAIN, 1);
	struct batch_writer w;
	struct kit k;
	int fd;

	kit_open(&k);
	cr_assert_eq(file_create(&k.dir, "b", &fd, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_open(&w, fd, "b", &h, &k.village, NULL, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_finish(&w, &k.err), OUTCOME_DONE);
	batch_writer_release(&w);
	file_close(&fd);
	cr_assert_eq(kit_read(&k, "b"), OUTCOME_DONE);
	kit_close(&k);
}

/* ---- overhead --------------------------------------------------------------------------------------------
 */

/* DESIGN section 7: what a batch costs beyond its items, compressed. */
Test(batch, overhead)
{
	static const char content[] = "From: anna@village.example.org\r\nTo: bela@city.example.org\r\n"
				      "Subject: the boat\r\n\r\nIt comes on Tuesday with the spare parts.\r\n";
	static const size_t most[MODES] = {120, 190};
	struct kit_item item = {"anna@village.example.org bela@city.example.org", view_text(content)};
	struct buf items;
	struct buf packed;
	struct kit k;

	kit_open(&k);
	buf_init(&items, 1000);
	buf_text(&items, item.head);
	buf_view(&items, item.content);
	packed = kit_deflate(view_buf(&items));
	for (size_t m = 0; m < MODES; m++) {
		struct batch_header h = kit_header(modes[m], 100000);
		uint64_t size;

		h.has_ack = true;
		h.ack.incarnation = 0x99aabbcc;
		ranges_add(&h.ack.received, 1, 100000);
		memcpy(h.ack.check, "mark", 4);
		kit_write(&k, "b", &h, &item, 1, 100);
		kit_expect(&k, "b", &item, 1);
		cr_assert(file_exists(&k.dir, "b", &size));
		cr_log_info("overhead: %zu bytes", (size_t)size - packed.length);
		cr_assert_leq(size - packed.length, most[m]);
		batch_header_release(&h);
	}
	buf_release(&items);
	buf_release(&packed);
	kit_close(&k);
}
