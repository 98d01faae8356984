#include "relay/session_record.h"

#include "lib/wire.h"

#define BLOCK 64

static void nonce_of(uint64_t number, uint8_t nonce[static crypto_stream_chacha20_ietf_NONCEBYTES])
{
	memset(nonce, 0, crypto_stream_chacha20_ietf_NONCEBYTES);
	for (size_t i = 0; i < sizeof number; i++)
		nonce[4 + i] = (uint8_t)(number >> (8 * i));
}

/* ---- writing --------------------------------------------------------------------------------------------- */

void record_write(struct record_writer *w, struct view body, struct buf *out)
{
	uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
	uint8_t *place;

	nonce_of(w->number++, nonce);
	wire_varint(out, body.length);
	place = buf_extend(out, body.length + SESSION_TAG);
	if (place == NULL)
		return; /* the output has no maximum */
	if (w->open) {
		memcpy(place, body.bytes, body.length);
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(place + body.length, place + body.length, NULL,
		    NULL, 0, body.bytes, body.length, NULL, nonce, w->key);
	} else {
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(
		    place, place + body.length, NULL, body.bytes, body.length, NULL, 0, NULL, nonce, w->key);
	}
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* The stream of the record under way, over zeros or over what is to be read, from block BLOCK_NUMBER on. */
static void stream_xor(
    const struct record_reader *r, uint32_t block_number, const uint8_t *from, size_t length, uint8_t *to)
{
	uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];

	nonce_of(r->number, nonce);
	crypto_stream_chacha20_ietf_xor_ic(to, from, length, nonce, block_number, r->key);
}

static void body_begin(struct record_reader *r)
{
	static const uint8_t zeros[BLOCK];
	uint8_t first[BLOCK];

	stream_xor(r, 0, zeros, sizeof zeros, first);
	crypto_onetimeauth_poly1305_init(&r->check, first);
	sodium_memzero(first, sizeof first);
	r->part = RECORD_BODY;
	r->done = 0;
	r->tag_length = 0;
}

/* True when the length is whole. */
static bool read_length(struct record_reader *r, uint8_t octet)
{
	r->length |= (uint64_t)(octet & 0x7f) << r->shift;
	r->shift += 7;
	return (octet & 0x80) == 0;
}

/* Of LENGTH octets, those up to the next edge of a block, or all whole blocks. */
static size_t stretch(const struct record_reader *r, size_t length)
{
	size_t inside = (size_t)(r->done % BLOCK);

	if (inside > 0 || length < BLOCK)
		return length < BLOCK - inside ? length : BLOCK - inside;
	return length - length % BLOCK;
}

static void decrypt(const struct record_reader *r, const uint8_t *from, size_t length, uint8_t *to)
{
	uint32_t block_number = (uint32_t)(r->done / BLOCK) + 1;
	size_t inside = (size_t)(r->done % BLOCK);
	uint8_t block[BLOCK] = {0};

	if (inside == 0 && length % BLOCK == 0) {
		stream_xor(r, block_number, from, length, to);
		return;
	}
	memcpy(block + inside, from, length);
	stream_xor(r, block_number, block, sizeof block, block);
	memcpy(to, block + inside, length);
	sodium_memzero(block, sizeof block);
}

static void read_body(struct record_reader *r, struct view *in, struct buf *out)
{
	size_t length = r->length - r->done < in->length ? (size_t)(r->length - r->done) : in->length;
	uint8_t *place = buf_extend(out, length);

	crypto_onetimeauth_poly1305_update(&r->check, in->bytes, length);
	while (length > 0 && place != NULL) {
		size_t step = r->open ? length : stretch(r, length);

		if (r->open)
			memcpy(place, in->bytes, step);
		else
			decrypt(r, in->bytes, step, place);
		*in = view_from(*in, step);
		place += step;
		r->done += step;
		length -= step;
	}
}

static bool tag_fits(struct record_reader *r)
{
	static const uint8_t zeros[16];
	uint8_t lengths[16] = {0};
	uint8_t tag[SESSION_TAG];

	crypto_onetimeauth_poly1305_update(&r->check, zeros, (16 - r->length % 16) % 16);
	for (size_t i = 0; i < 8; i++)
		lengths[(r->open ? 0 : 8) + i] = (uint8_t)(r->length >> (8 * i));
	crypto_onetimeauth_poly1305_update(&r->check, lengths, sizeof lengths);
	crypto_onetimeauth_poly1305_final(&r->check, tag);
	return sodium_memcmp(tag, r->tag, sizeof tag) == 0;
}

enum record_state record_read(struct record_reader *r, struct view *in, struct buf *out)
{
	while (in->length > 0) {
		if (r->part == RECORD_BODY) {
			read_body(r, in, out);
		} else if (r->part == RECORD_TAG) {
			r->tag[r->tag_length++] = in->bytes[0];
			*in = view_from(*in, 1);
		} else {
			uint8_t octet = in->bytes[0];
			bool whole = read_length(r, octet);

			*in = view_from(*in, 1);
			/* Nor a longer form of a number than there need be; an empty record is one, too. */
			if (r->shift > 21 || r->length > RECORD_MAX || (whole && octet == 0))
				return RECORD_BAD;
			if (whole)
				body_begin(r);
		}
		if (r->part == RECORD_BODY && r->done == r->length)
			r->part = RECORD_TAG;
		if (r->part == RECORD_TAG && r->tag_length == SESSION_TAG) {
			if (!tag_fits(r))
				return RECORD_BAD;
			*r = (struct record_reader){.key = r->key, .number = r->number + 1, .open = r->open};
			return RECORD_WHOLE;
		}
	}
	return RECORD_MORE;
}
