#include "spool/codec.h"

#include <limits.h>

#include "lib/alloc.h"

/* How much deflate looks at before it makes a block: mail changes its kind often, and smaller blocks follow it better
 * than larger ones. */
#define ZIP_MEMORY 7

/* What brotli looks back over, and what it weighs at a time where it makes the most of it; powers of two. Larger ones cost
 * memory, twice as much each, and gain next to nothing. */
#define BROTLI_WINDOW	    20
#define BROTLI_BLOCK_EFFORT 16
#define BROTLI_QUALITY_FAST 5

/* ---- memory ---------------------------------------------------------------------------------------------- */

static voidpf zip_take(voidpf opaque, uInt items, uInt size)
{
	(void)opaque;
	return mem_array(items, size);
}

static void zip_give(voidpf opaque, voidpf memory)
{
	(void)opaque;
	free(memory);
}

static void *brotli_take(void *opaque, size_t size)
{
	(void)opaque;
	return mem_alloc(size);
}

static void brotli_give(void *opaque, void *memory)
{
	(void)opaque;
	free(memory);
}

/* zlib counts in uInt. */
static uInt at_most(size_t size)
{
	return size < UINT_MAX ? (uInt)size : UINT_MAX;
}

static void zip_from(z_stream *zip, const struct codec_io *io)
{
	zip->next_in = (z_const Bytef *)io->in;
	zip->avail_in = at_most(io->in_left);
	zip->next_out = io->out;
	zip->avail_out = at_most(io->out_left);
}

static void zip_to(const z_stream *zip, struct codec_io *io)
{
	io->in_left -= (size_t)(zip->next_in - io->in);
	io->in = zip->next_in;
	io->out_left -= (size_t)(zip->next_out - io->out);
	io->out = zip->next_out;
}

/* ---- smaller --------------------------------------------------------------------------------------------- */

static bool deflate_open(z_stream *zip, uint8_t dictionary)
{
	if (deflateInit2(zip, Z_BEST_COMPRESSION, Z_DEFLATED, CODEC_ZIP_WINDOW, ZIP_MEMORY, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return false;
	return dictionary == 0 ||
	       deflateSetDictionary(zip, (const Bytef *)codec_dictionary, (uInt)codec_dictionary_size) == Z_OK;
}

static bool brotli_open(struct compressor *c, uint64_t expected)
{
	bool fast = expected > CODEC_EFFORT;

	c->brotli = BrotliEncoderCreateInstance(brotli_take, brotli_give, NULL);
	return c->brotli != NULL &&
	       BrotliEncoderSetParameter(
		   c->brotli, BROTLI_PARAM_QUALITY, fast ? BROTLI_QUALITY_FAST : BROTLI_MAX_QUALITY) &&
	       BrotliEncoderSetParameter(c->brotli, BROTLI_PARAM_LGWIN, BROTLI_WINDOW) &&
	       (fast || BrotliEncoderSetParameter(c->brotli, BROTLI_PARAM_LGBLOCK, BROTLI_BLOCK_EFFORT));
}

bool compressor_open(struct compressor *c, enum codec codec, uint8_t dictionary, uint64_t expected)
{
	*c = (struct compressor){.codec = codec, .open = true, .zip = {.zalloc = zip_take, .zfree = zip_give}};
	return codec == CODEC_BROTLI ? brotli_open(c, expected) : deflate_open(&c->zip, dictionary);
}

static enum codec_state deflate_run(z_stream *zip, struct codec_io *io, enum codec_push push)
{
	static const int flush[] = {[CODEC_MORE] = Z_NO_FLUSH, [CODEC_FLUSH] = Z_SYNC_FLUSH, [CODEC_END] = Z_FINISH};
	int status;

	zip_from(zip, io);
	status = deflate(zip, flush[push]);
	zip_to(zip, io);
	if (status == Z_STREAM_ERROR)
		return CODEC_BROKEN;
	/* While the room is used up there may be more. */
	return status == Z_STREAM_END || (push != CODEC_END && io->out_left > 0) ? CODEC_ENDED : CODEC_GOES_ON;
}

static enum codec_state brotli_run(BrotliEncoderState *brotli, struct codec_io *io, enum codec_push push)
{
	static const BrotliEncoderOperation operation[] = {[CODEC_MORE] = BROTLI_OPERATION_PROCESS,
	    [CODEC_FLUSH] = BROTLI_OPERATION_FLUSH,
	    [CODEC_END] = BROTLI_OPERATION_FINISH};

	if (!BrotliEncoderCompressStream(
		brotli, operation[push], &io->in_left, &io->in, &io->out_left, &io->out, NULL))
		return CODEC_BROKEN;
	if (io->in_left > 0 || BrotliEncoderHasMoreOutput(brotli))
		return CODEC_GOES_ON;
	return push != CODEC_END || BrotliEncoderIsFinished(brotli) ? CODEC_ENDED : CODEC_GOES_ON;
}

enum codec_state compressor_run(struct compressor *c, struct codec_io *io, enum codec_push push)
{
	return c->codec == CODEC_BROTLI ? brotli_run(c->brotli, io, push) : deflate_run(&c->zip, io, push);
}

void compressor_close(struct compressor *c)
{
	if (c->open && c->codec == CODEC_DEFLATE)
		deflateEnd(&c->zip);
	if (c->brotli != NULL)
		BrotliEncoderDestroyInstance(c->brotli);
	c->brotli = NULL;
	c->open = false;
}

/* ---- and larger again ------------------------------------------------------------------------------------ */

static bool inflate_open(z_stream *zip, uint8_t dictionary)
{
	if (inflateInit2(zip, CODEC_ZIP_WINDOW) != Z_OK)
		return false;
	return dictionary == 0 ||
	       inflateSetDictionary(zip, (const Bytef *)codec_dictionary, (uInt)codec_dictionary_size) == Z_OK;
}

bool decompressor_open(struct decompressor *d, enum codec codec, uint8_t dictionary)
{
	*d = (struct decompressor){.codec = codec, .open = true, .zip = {.zalloc = zip_take, .zfree = zip_give}};
	if (codec == CODEC_DEFLATE)
		return inflate_open(&d->zip, dictionary);
	d->brotli = BrotliDecoderCreateInstance(brotli_take, brotli_give, NULL);
	return d->brotli != NULL;
}

static enum codec_state inflate_run(z_stream *zip, struct codec_io *io)
{
	int status;

	zip_from(zip, io);
	status = inflate(zip, Z_NO_FLUSH);
	zip_to(zip, io);
	if (status == Z_STREAM_END)
		return CODEC_ENDED;
	return status == Z_OK || status == Z_BUF_ERROR ? CODEC_GOES_ON : CODEC_BROKEN;
}

/* RFC 7932 section 9.1: windows of 2^23 and 2^24 octets are those whose first octet ends in 1101 and 1111. */
static bool window_too_large(uint8_t first)
{
	return (first & 0x0d) == 0x0d;
}

static enum codec_state unbrotli_run(struct decompressor *d, struct codec_io *io)
{
	if (!d->begun && io->in_left > 0 && window_too_large(*io->in))
		return CODEC_BROKEN;
	d->begun = d->begun || io->in_left > 0;
	switch (BrotliDecoderDecompressStream(d->brotli, &io->in_left, &io->in, &io->out_left, &io->out, NULL)) {
	case BROTLI_DECODER_RESULT_SUCCESS:
		return CODEC_ENDED;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
	case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
		return CODEC_GOES_ON;
	case BROTLI_DECODER_RESULT_ERROR:
		break;
	}
	return CODEC_BROKEN;
}

enum codec_state decompressor_run(struct decompressor *d, struct codec_io *io)
{
	return d->codec == CODEC_BROTLI ? unbrotli_run(d, io) : inflate_run(&d->zip, io);
}

void decompressor_close(struct decompressor *d)
{
	if (d->open && d->codec == CODEC_DEFLATE)
		inflateEnd(&d->zip);
	if (d->brotli != NULL)
		BrotliDecoderDestroyInstance(d->brotli);
	d->brotli = NULL;
	d->open = false;
}
