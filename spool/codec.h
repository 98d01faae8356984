/*
 * The codecs of a batch's body, as streams: raw deflate (RFC 1951), with or without the preset dictionary, and brotli
 * (RFC 7932). spool/FORMAT.md says which bytes are theirs. Memory comes from lib/alloc.h.
 */
#ifndef SPOOL_CODEC_H
#define SPOOL_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <zlib.h>

/* The numbers are those of the format. */
enum codec { CODEC_DEFLATE = 0, CODEC_BROTLI = 1 };

/* zlib's window for raw deflate: without the wrapping of zlib or gzip. */
#define CODEC_ZIP_WINDOW (-15)
/* Preset dictionary 1, the newest, and the only one; without the closing NUL. */
#define CODEC_DICTIONARY 1
extern const char codec_dictionary[];
extern const size_t codec_dictionary_size;

/* What is left to be read and to be filled; both move on. */
struct codec_io {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
};

enum codec_state {
	CODEC_GOES_ON, /* it needs more input or more room */
	CODEC_ENDED,   /* all that was asked for is out; for a decompressor: the stream has ended */
	CODEC_BROKEN,  /* what came is no such stream, or the library refuses */
};

/* ---- smaller --------------------------------------------------------------------------------------------- */

enum codec_push {
	CODEC_MORE,  /* more will come */
	CODEC_FLUSH, /* also, but all that came is to come out */
	CODEC_END,   /* that was all */
};

struct compressor {
	enum codec codec;
	bool open;
	z_stream zip;
	BrotliEncoderState *brotli;
};

/*
 * DICTIONARY 0: none, and brotli has none. EXPECTED is how many octets are to come, more or less: of brotli, up to
 * CODEC_EFFORT are made as small as can be, at some 0.5 to 0.8 MB a second and with up to 25 MB of memory; more, faster than
 * deflate and still smaller, with up to 15 MB. False: the library does not start. C must not move while it is open.
 */
#define CODEC_EFFORT ((uint64_t)3 << 19)
bool compressor_open(struct compressor *c, enum codec codec, uint8_t dictionary, uint64_t expected);
/* IO has room, at least one octet. Call it with the same PUSH until it has ended. */
enum codec_state compressor_run(struct compressor *c, struct codec_io *io, enum codec_push push);
/* Also of one that was never opened, but zeroed. */
void compressor_close(struct compressor *c);

/* ---- and larger again ------------------------------------------------------------------------------------ */

struct decompressor {
	enum codec codec;
	bool open;
	z_stream zip;
	BrotliDecoderState *brotli;
	bool begun;
};

bool decompressor_open(struct decompressor *d, enum codec codec, uint8_t dictionary);
/* Leaves in IO what is behind the end of the stream. A window above CODEC_WINDOW is broken. */
#define CODEC_WINDOW 22
enum codec_state decompressor_run(struct decompressor *d, struct codec_io *io);
void decompressor_close(struct decompressor *d);

#endif
