#include "spool/batch_internal.h"

#include <stddef.h>

#include "lib/alloc.h"

static enum outcome damaged(const struct batch_reader *r, const char *what, struct error *err)
{
	return error_set(err, EX_DATAERR, "%s is not a well-formed batch: %s", r->name, what);
}

/* ---- compressed bytes: from the file, through the seal
 * ----------------------------------------------------- */

/* Takes the next part of the body into `input`; an empty one at the end of the body. */
static enum outcome reader_fill(struct batch_reader *r, struct error *err)
{
	uint64_t left = r->body_end - r->body_at;
	size_t most = BATCH_SEAL_CHUNK + (r->header.sealed ? BATCH_SEAL_TAG : 0);
	size_t size = left < most ? (size_t)left : most;
	enum outcome outcome = OUTCOME_DONE;

	buf_clear(&r->input);
	buf_extend(&r->input, size);
	if (size > 0)
		outcome = file_read_at(r->fd, r->input.bytes, size, r->body_at, r->name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	r->body_at += size;
	if (r->header.sealed && size > 0) {
		struct batch_chunk_id id = {r->seal_key, r->seal_hash, r->chunk++,
		    r->body_at == r->body_end ? BATCH_CHUNK_LAST : BATCH_CHUNK_MORE};

		if (size < BATCH_SEAL_TAG || !batch_chunk_open(&id, r->input.bytes, size - BATCH_SEAL_TAG))
			return damaged(r, "it cannot be unsealed", err);
		r->input.length = size - BATCH_SEAL_TAG;
	} else if (!r->header.sealed) {
		crypto_sign_update(&r->check, r->input.bytes, size);
	}
	r->packed += r->input.length;
	r->io.in = r->input.bytes;
	r->io.in_left = r->input.length;
	return OUTCOME_DONE;
}

/* ---- unpacked octets, under the caps ---------------------------------------------------------------------
 */

static enum outcome reader_check_caps(const struct batch_reader *r, struct error *err)
{
	uint64_t taken = r->packed - r->io.in_left;

	if (r->unpacked > r->limits.max_total)
		return error_set(err, EX_DATAERR, "%s unpacks to more than the limit of %llu octets", r->name,
		    (unsigned long long)r->limits.max_total);
	if (r->unpacked > BATCH_RATIO_FREE && r->unpacked - BATCH_RATIO_FREE > taken * LIMIT_BATCH_RATIO)
		return error_set(err, EX_DATAERR, "%s unpacks to more than %d times its size, which no mail does",
		    r->name, LIMIT_BATCH_RATIO);
	return OUTCOME_DONE;
}

static enum outcome reader_step(struct batch_reader *r, struct error *err)
{
	size_t room = r->io.out_left;
	enum codec_state state = decompressor_run(&r->codec, &r->io);

	r->unpacked += room - r->io.out_left;
	if (state == CODEC_BROKEN)
		return damaged(r, "it cannot be decompressed", err);
	r->stream_ended = state == CODEC_ENDED;
	return reader_check_caps(r, err);
}

/* Unpacks up to SIZE octets, at least one; *GOT is 0 only where the compressed stream ended. */
static enum outcome reader_unpack(struct batch_reader *r, void *octets, size_t size, size_t *got, struct error *err)
{
	size_t room = size < BATCH_SEAL_CHUNK ? size : BATCH_SEAL_CHUNK;
	enum outcome outcome = OUTCOME_DONE;

	*got = 0;
	r->io.out = octets;
	r->io.out_left = room;
	while (outcome == OUTCOME_DONE && r->io.out_left == room && !r->stream_ended) {
		/* Also without input: the codec may hold octets that had no room before. */
		outcome = reader_step(r, err);
		if (outcome != OUTCOME_DONE || r->io.out_left < room || r->stream_ended)
			break;
		if (r->body_at == r->body_end)
			return damaged(r, "its compressed stream does not end", err);
		outcome = reader_fill(r, err);
	}
	*got = room - r->io.out_left;
	return outcome;
}

static enum outcome reader_some(struct batch_reader *r, void *octets, size_t size, size_t *got, struct error *err)
{
	enum outcome outcome = reader_unpack(r, octets, size, got, err);

	if (outcome == OUTCOME_DONE && *got == 0)
		return damaged(r, "its body ends too early", err);
	return outcome;
}

static enum outcome reader_varint(struct batch_reader *r, uint64_t *number, struct error *err)
{
	uint8_t octets[VARINT_MAX];
	size_t length = 0;
	struct reader parser;

	do {
		size_t got;
		enum outcome outcome = reader_some(r, octets + length, 1, &got, err);

		if (outcome != OUTCOME_DONE)
			return outcome;
	} while (octets[length++] >= 0x80 && length < sizeof octets);
	reader_init(&parser, view_of(octets, length));
	*number = read_varint(&parser);
	return parser.failed ? damaged(r, "a number in it", err) : OUTCOME_DONE;
}

/* The caller's limits make the announced length no promise of memory: it grows with what really comes. */
static enum outcome reader_head(struct batch_reader *r, struct error *err)
{
	uint64_t left;
	enum outcome outcome = reader_varint(r, &left, err);

	if (outcome == OUTCOME_DONE && left > LIMIT_ENVELOPE)
		return damaged(r, "the head of an item is too large", err);
	buf_clear(&r->head);
	while (left > 0 && outcome == OUTCOME_DONE) {
		uint8_t octets[4096];
		size_t got = 0;

		outcome = reader_some(r, octets, left < sizeof octets ? (size_t)left : sizeof octets, &got, err);
		buf_append(&r->head, octets, got);
		left -= got;
	}
	return outcome;
}

static enum outcome item_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct batch_reader *r = (struct batch_reader *)(void *)((char *)self - offsetof(struct batch_reader, item) -
								 offsetof(struct batch_item, content));
	enum outcome outcome;

	*got = 0;
	if (r->failed)
		return damaged(r, "it failed before", err);
	if (r->item_left == 0)
		return OUTCOME_DONE;
	outcome = reader_some(r, bytes, size < r->item_left ? size : (size_t)r->item_left, got, err);
	if (outcome != OUTCOME_DONE)
		r->failed = true;
	else
		r->item_left -= *got;
	return outcome;
}

/* ---- items -----------------------------------------------------------------------------------------------
 */

static enum outcome reader_skip(struct batch_reader *r, struct error *err)
{
	uint8_t octets[4096];
	enum outcome outcome = OUTCOME_DONE;
	size_t got;

	while (r->item_left > 0 && outcome == OUTCOME_DONE)
		outcome = source_read(&r->item.content, octets, sizeof octets, &got, err);
	return outcome;
}

/* The body ended with its last item: nothing more may come, neither out of the stream nor behind it. */
static enum outcome reader_end(struct batch_reader *r, struct error *err)
{
	uint8_t octet;
	size_t got;
	enum outcome outcome = reader_unpack(r, &octet, 1, &got, err);

	if (outcome == OUTCOME_DONE && got > 0)
		return damaged(r, "something follows its last item", err);
	/* A sealed body may close with an empty chunk. */
	if (outcome == OUTCOME_DONE && r->io.in_left == 0 && r->body_at < r->body_end)
		outcome = reader_fill(r, err);
	if (outcome == OUTCOME_DONE && (r->io.in_left > 0 || r->body_at < r->body_end))
		return damaged(r, "something follows its compressed stream", err);
	return outcome;
}

static enum outcome reader_finish(struct batch_reader *r, struct error *err)
{
	enum outcome outcome = r->codec.open ? reader_end(r, err) : OUTCOME_DONE;

	if (outcome == OUTCOME_DONE && !r->header.sealed &&
	    crypto_sign_final_verify(&r->check, r->signature, r->signer) != 0)
		outcome = error_set(err, EX_DATAERR, "%s changed while it was read", r->name);
	if (outcome == OUTCOME_DONE)
		r->ended = true;
	return outcome;
}

static enum outcome reader_item(struct batch_reader *r, struct error *err)
{
	uint64_t type = BATCH_END;
	enum outcome outcome = reader_skip(r, err);

	r->item.type = BATCH_END;
	r->item.size = 0;
	r->item.head = view_of(NULL, 0);
	if (outcome == OUTCOME_DONE && r->codec.open)
		outcome = reader_varint(r, &type, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (type == BATCH_END)
		return reader_finish(r, err);
	if (type != BATCH_MESSAGE)
		return error_set(err, EX_PROTOCOL, "%s holds an item of kind %llu, which this program does not know",
		    r->name, (unsigned long long)type);
	if (r->items++ == LIMIT_BATCH_ITEMS)
		return error_set(
		    err, EX_DATAERR, "%s holds more items than the limit of %d", r->name, LIMIT_BATCH_ITEMS);
	outcome = reader_head(r, err);
	if (outcome == OUTCOME_DONE)
		outcome = reader_varint(r, &r->item.size, err);
	if (outcome == OUTCOME_DONE && r->item.size > r->limits.max_item)
		return error_set(err, EX_DATAERR, "%s holds an item of %llu octets, above the limit of %llu", r->name,
		    (unsigned long long)r->item.size, (unsigned long long)r->limits.max_item);
	r->item.type = BATCH_MESSAGE;
	r->item.head = view_buf(&r->head);
	r->item_left = r->item.size;
	return outcome;
}

enum outcome batch_next(struct batch_reader *r, struct batch_item **item, struct error *err)
{
	enum outcome outcome;

	*item = &r->item;
	if (r->failed)
		return damaged(r, "it failed before", err);
	if (r->ended)
		return OUTCOME_DONE;
	outcome = reader_item(r, err);
	if (outcome != OUTCOME_DONE)
		r->failed = true;
	return outcome;
}

/* ---- opening ---------------------------------------------------------------------------------------------
 */

/* The signature over the file as it lies. */
static enum outcome reader_verify(struct batch_reader *r, struct view header, struct error *err)
{
	crypto_sign_state state;
	enum outcome outcome;

	outcome = file_read_at(r->fd, r->signature, sizeof r->signature, r->body_end, r->name, err);
	crypto_sign_init(&state);
	crypto_sign_update(&state, (const uint8_t *)BATCH_SIGN_DOMAIN, sizeof BATCH_SIGN_DOMAIN);
	crypto_sign_update(&state, header.bytes, header.length);
	r->check = state;
	for (uint64_t at = r->body_at; at < r->body_end && outcome == OUTCOME_DONE;) {
		size_t size = r->body_end - at < BATCH_SEAL_CHUNK ? (size_t)(r->body_end - at) : BATCH_SEAL_CHUNK;

		buf_clear(&r->input);
		buf_extend(&r->input, size);
		outcome = file_read_at(r->fd, r->input.bytes, size, at, r->name, err);
		if (outcome == OUTCOME_DONE)
			crypto_sign_update(&state, r->input.bytes, size);
		at += size;
	}
	if (outcome == OUTCOME_DONE && crypto_sign_final_verify(&state, r->signature, r->signer) != 0)
		outcome = error_set(err, EX_DATAERR,
		    "the signature of %s does not hold: it was damaged on its way, or %s did not make it", r->name,
		    r->header.from);
	return outcome;
}

static enum outcome reader_unseal(struct batch_reader *r, struct view header, struct error *err)
{
	uint8_t ephemeral[crypto_box_PUBLICKEYBYTES];
	enum outcome outcome;

	if (r->body_end - r->body_at < sizeof ephemeral + BATCH_SEAL_TAG)
		return damaged(r, "its sealed body is too short", err);
	outcome = file_read_at(r->fd, ephemeral, sizeof ephemeral, r->body_at, r->name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	r->body_at += sizeof ephemeral;
	r->seal_key = batch_seal_from(r->keys, ephemeral);
	if (r->seal_key == NULL)
		return damaged(r, "its sealing key is not a good one", err);
	batch_seal_hash(header, r->seal_hash);
	return OUTCOME_DONE;
}

static enum outcome reader_open_body(struct batch_reader *r, struct view header, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (r->header.sequence == 0)
		return r->body_at == r->body_end ? OUTCOME_DONE : damaged(r, "it has a body but no sequence", err);
	if (r->header.sealed)
		outcome = reader_unseal(r, header, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (!decompressor_open(&r->codec, r->header.codec, r->header.dictionary))
		return error_set(err, EX_SOFTWARE, "cannot read %s: the codec does not start", r->name);
	return OUTCOME_DONE;
}

/* For us, and from a neighbour? */
static enum outcome reader_check_hosts(struct batch_reader *r, batch_lookup *lookup, void *context, struct error *err)
{
	const struct public_keys *sender;

	if (strcmp(r->header.to, r->keys->public.host) != 0)
		return error_set(
		    err, EX_NOHOST, "%s is for the host %s, not for %s", r->name, r->header.to, r->keys->public.host);
	sender = lookup(context, r->header.from);
	if (sender == NULL)
		return error_set(err, EX_NOPERM, "%s is from the host %s, which is no neighbour of %s", r->name,
		    r->header.from, r->keys->public.host);
	memcpy(r->signer, sender->sign, sizeof r->signer);
	return OUTCOME_DONE;
}

static enum outcome reader_prove(
    struct batch_reader *r, struct buf *header, batch_lookup *lookup, void *context, struct error *err)
{
	struct reader rest;
	uint64_t size;
	enum outcome outcome = batch_file_size(r->fd, r->name, &size, err);

	if (outcome == OUTCOME_DONE)
		outcome = batch_header_load(r->fd, r->name, size, header, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	r->body_at = header->length;
	r->body_end = size - BATCH_SIGNATURE;
	outcome = batch_header_identify(&r->header, view_buf(header), r->name, &rest, err);
	if (outcome == OUTCOME_DONE)
		outcome = reader_check_hosts(r, lookup, context, err);
	if (outcome == OUTCOME_DONE)
		outcome = reader_verify(r, view_buf(header), err);
	/* Only now: a damaged batch must not be taken for one of a later version. */
	if (outcome == OUTCOME_DONE)
		outcome = batch_header_complete(&r->header, view_buf(header), r->name, &rest, err);
	return outcome;
}

enum outcome batch_reader_open(struct batch_reader *r, int fd, const char *name, const struct host_keys *keys,
    batch_lookup *lookup, void *context, const struct batch_limits *limits, struct error *err)
{
	struct buf header;
	enum outcome outcome;

	*r = (struct batch_reader){.item = {.content = {item_read}}, .fd = fd, .name = name, .keys = keys};
	r->limits = *limits;
	if (sodium_init() < 0)
		return error_set(err, EX_OSERR, "cannot read %s: libsodium does not start", name);
	buf_init(&r->input, BATCH_SEAL_CHUNK + BATCH_SEAL_TAG);
	buf_init(&r->head, LIMIT_ENVELOPE);
	buf_init(&header, BATCH_HEADER_MAX);
	outcome = reader_prove(r, &header, lookup, context, err);
	if (outcome == OUTCOME_DONE) {
		memcpy(r->mark, r->signature, sizeof r->mark);
		outcome = reader_open_body(r, view_buf(&header), err);
	}
	buf_release(&header);
	if (outcome != OUTCOME_DONE)
		batch_reader_release(r);
	return outcome;
}

void batch_reader_release(struct batch_reader *r)
{
	decompressor_close(&r->codec);
	sodium_free(r->seal_key);
	r->seal_key = NULL;
	buf_release(&r->input);
	buf_release(&r->head);
	batch_header_release(&r->header);
}
