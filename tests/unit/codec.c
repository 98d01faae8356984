#include <criterion/criterion.h>

#include <stdlib.h>

#include "lib/alloc.h"
#include "spool/codec.h"

static const struct {
	enum codec codec;
	uint8_t dictionary;
} kinds[] = {{CODEC_DEFLATE, 0}, {CODEC_DEFLATE, CODEC_DICTIONARY}, {CODEC_BROTLI, 0}};
#define KINDS 3

#define SIZE 60000

/* Text and noise in turns. */
static void fill(uint8_t *octets)
{
	uint32_t state = 1;

	for (size_t i = 0; i < SIZE; i++) {
		state = state * 1103515245 + 12345;
		octets[i] = i / 5000 % 2 == 0 ? (uint8_t)("the boat comes "[i % 15]) : (uint8_t)(state >> 16);
	}
}

/* Compresses SIZE octets from FROM, so many at a time, into rooms of ROOM; every third time with a flush. The length. */
static size_t squeeze(struct compressor *c, const uint8_t *from, size_t step, size_t room, uint8_t *to)
{
	struct codec_io io = {.in = from, .out = to};
	size_t left = SIZE;
	unsigned times = 0;

	while (left > 0) {
		enum codec_push push;
		enum codec_state state;

		io.in_left = left < step ? left : step;
		left -= io.in_left;
		push = left == 0 ? CODEC_END : ++times % 3 == 0 ? CODEC_FLUSH : CODEC_MORE;
		do {
			io.out_left = room;
			state = compressor_run(c, &io, push);
			cr_assert_neq(state, CODEC_BROKEN);
		} while (state == CODEC_GOES_ON);
		cr_assert_eq(io.in_left, 0);
	}
	return (size_t)(io.out - to);
}

static enum codec_state expand(
    struct decompressor *d, const uint8_t *from, size_t length, size_t step, size_t room, struct codec_io *io)
{
	enum codec_state state = CODEC_GOES_ON;

	*io = (struct codec_io){.in = from, .out = io->out};
	while (state == CODEC_GOES_ON && (length > 0 || io->out_left == 0)) {
		size_t more = length < step ? length : step;

		io->in_left += more;
		length -= more;
		do {
			io->out_left = room;
			state = decompressor_run(d, io);
		} while (state == CODEC_GOES_ON && io->out_left == 0);
	}
	io->in_left += length;
	return state;
}

Test(codec, streams_round_trip_however_they_are_cut)
{
	static const size_t steps[] = {1, 7, 1000, SIZE};
	uint8_t *octets = mem_alloc(SIZE);
	uint8_t *packed = mem_alloc((size_t)40 * SIZE);
	uint8_t *back = mem_alloc(SIZE + 5000);

	fill(octets);
	for (size_t kind = 0; kind < KINDS; kind++)
		for (size_t s = 0; s < 16; s++) {
			struct compressor c;
			struct decompressor d;
			struct codec_io io = {.out = back};
			size_t step = steps[s / 4] == 1 ? 300 : steps[s / 4];
			size_t room = steps[s % 4] == SIZE ? 5000 : 6 + steps[s % 4];
			size_t length;

			cr_assert(compressor_open(
			    &c, kinds[kind].codec, kinds[kind].dictionary, s % 2 == 0 ? 0 : CODEC_EFFORT + 1));
			length = squeeze(&c, octets, step, room, packed);
			compressor_close(&c);
			compressor_close(&c);
			memcpy(packed + length, "behind", 6);
			cr_assert(decompressor_open(&d, kinds[kind].codec, kinds[kind].dictionary));
			cr_assert_eq(expand(&d, packed, length + 6, steps[s / 4], room, &io), CODEC_ENDED);
			cr_assert_eq((size_t)(io.out - back), SIZE);
			cr_assert_eq(memcmp(back, octets, SIZE), 0);
			cr_assert_eq((size_t)(packed + length - io.in), 0, "what is behind the stream is left");
			decompressor_close(&d);
			decompressor_close(&d);
		}
	free(back);
	free(packed);
	free(octets);
}

/* A flush brings out all that came before it. */
Test(codec, a_flush_is_enough_to_read_on)
{
	uint8_t *octets = mem_alloc(SIZE);
	uint8_t *packed = mem_alloc((size_t)2 * SIZE);
	uint8_t *back = mem_alloc(SIZE);

	fill(octets);
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct codec_io io = {octets, SIZE / 2, packed, (size_t)2 * SIZE};
		struct compressor c;
		struct decompressor d;

		cr_assert(compressor_open(&c, kinds[kind].codec, kinds[kind].dictionary, 0));
		cr_assert_eq(compressor_run(&c, &io, CODEC_FLUSH), CODEC_ENDED);
		cr_assert(decompressor_open(&d, kinds[kind].codec, kinds[kind].dictionary));
		io = (struct codec_io){packed, (size_t)2 * SIZE - io.out_left, back, SIZE};
		cr_assert_eq(decompressor_run(&d, &io), CODEC_GOES_ON);
		cr_assert_eq((size_t)(io.out - back), SIZE / 2);
		cr_assert_eq(memcmp(back, octets, SIZE / 2), 0);
		decompressor_close(&d);
		compressor_close(&c);
	}
	free(back);
	free(packed);
	free(octets);
}

/* What is no such stream is broken or does not end; never more. */
Test(codec, noise_is_no_stream)
{
	uint8_t *back = mem_alloc(SIZE);
	uint8_t noise[2000];
	uint32_t state = 7;

	for (size_t kind = 0; kind < KINDS; kind++)
		for (unsigned round = 0; round < 300; round++) {
			struct decompressor d;
			struct codec_io io = {noise, sizeof noise, back, SIZE};

			for (size_t i = 0; i < sizeof noise; i++) {
				state = state * 1103515245 + 12345;
				noise[i] = (uint8_t)(state >> 16);
			}
			cr_assert(decompressor_open(&d, kinds[kind].codec, kinds[kind].dictionary));
			cr_assert(decompressor_run(&d, &io) != CODEC_ENDED || io.in_left > 0);
			decompressor_close(&d);
		}
	free(back);
}
