#include "queue/message.h"

#include "lib/alloc.h"
#include "lib/limits.h"

static const uint8_t message_magic[8] = {'p', 'b', 'm', 's', 'g', 0, 1, 0};

#define MESSAGE_HEAD   16 /* magic, content length */
#define MESSAGE_DIGEST crypto_generichash_BYTES
#define MESSAGE_END    (4 + MESSAGE_DIGEST)

/* RFC 5322 2.1.1: 998 octets and CRLF; a longer line needs BINARYMIME or an encoding. */
#define MESSAGE_LINE 998

static enum outcome writer_flush(struct message_writer *w, struct error *err)
{
	enum outcome outcome = file_write(w->fd, w->pending.bytes, w->pending.length, "a message file", err);

	buf_clear(&w->pending);
	return outcome;
}

/* What the octets need of a transport, whatever lines they stand in; eight at a time. */
static void writer_classify(struct message_writer *w, const uint8_t *bytes, size_t size)
{
	const uint64_t ones = UINT64_MAX / 255;
	const uint64_t tops = ones << 7;
	uint64_t high = 0;
	uint64_t zero = 0;

	for (; size >= sizeof high; bytes += sizeof high, size -= sizeof high) {
		uint64_t word;

		memcpy(&word, bytes, sizeof word);
		high |= word;
		/* Has a top bit when, and only when, one of the octets is 0. */
		zero |= (word - ones) & ~word;
	}
	for (; size > 0; bytes++, size--) {
		high |= *bytes;
		zero |= ((uint64_t)*bytes - 1) & ~(uint64_t)*bytes & 0x80;
	}
	w->saw_8bit |= (high & tops) != 0;
	w->saw_binary |= (zero & tops) != 0;
}

/* Looks at every octet: what the content needs of a transport, and that it is canonical. */
static enum outcome writer_inspect(struct message_writer *w, const uint8_t *bytes, size_t size, struct error *err)
{
	const uint8_t *end = bytes + size;
	const uint8_t *at = bytes;

	writer_classify(w, bytes, size);
	while (at < end) {
		const uint8_t *stop;
		const uint8_t *bare;

		if (w->last == '\r' && *at == '\n') {
			w->line = 0;
			w->last = *at++;
			continue;
		}
		/* A CR is either the line's end or bare, which is binary by itself. */
		w->saw_binary |= w->last == '\r';
		stop = memchr(at, '\r', (size_t)(end - at));
		if (stop == NULL)
			stop = end;
		bare = memchr(at, '\n', (size_t)(stop - at));
		if (bare != NULL)
			return error_set(err, EX_DATAERR, "the content has a bare LF after %llu octets",
			    (unsigned long long)(w->size + (uint64_t)(bare - bytes)));
		w->line += (size_t)(stop - at);
		w->saw_binary |= w->line > MESSAGE_LINE;
		at = stop < end ? stop + 1 : end;
		w->last = at[-1];
	}
	return OUTCOME_DONE;
}

/* What is in memory is hashed in one go, when all of it is there. */
static void writer_hash_held(struct message_writer *w)
{
	crypto_generichash_update(&w->hash, w->pending.bytes + MESSAGE_HEAD, w->pending.length - MESSAGE_HEAD);
}

/* From memory into a file. */
static enum outcome writer_spill(struct message_writer *w, struct error *err)
{
	writer_hash_held(w);
	tmp_name(w->name);
	return file_create(w->dir, w->name, &w->fd, err);
}

static enum outcome writer_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct message_writer *w = (struct message_writer *)self;
	enum outcome outcome = writer_inspect(w, bytes, size, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	w->size += size;
	if (w->fd < 0 && w->size > w->hold)
		outcome = writer_spill(w, err);
	if (w->fd >= 0)
		crypto_generichash_update(&w->hash, bytes, size);
	if (outcome == OUTCOME_DONE && w->fd >= 0 && w->pending.length + size > w->hold)
		outcome = writer_flush(w, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (w->fd >= 0 && size >= w->hold)
		return file_write(w->fd, bytes, size, "a message file", err);
	buf_append(&w->pending, bytes, size);
	return OUTCOME_DONE;
}

void message_writer_open_small(struct message_writer *w, const struct dir *dir, size_t keep)
{
	uint8_t head[MESSAGE_HEAD] = {0};

	*w = (struct message_writer){.sink = {writer_write}, .dir = dir, .fd = -1, .hold = keep};
	buf_init(&w->pending, keep + LIMIT_ENVELOPE + MESSAGE_FRAME);
	crypto_generichash_init(&w->hash, NULL, 0, MESSAGE_DIGEST);
	/* The length in the head is not known yet: zeros until the end, so an unfinished file is no message. */
	buf_append(&w->pending, head, sizeof head);
}

enum outcome message_writer_open(struct message_writer *w, const struct dir *dir, struct error *err)
{
	message_writer_open_small(w, dir, COPY_CHUNK);
	return writer_spill(w, err);
}

/* Adds TAIL, and puts HEAD in its place. */
static enum outcome writer_complete(
    struct message_writer *w, const struct buf *head, const struct buf *tail, struct error *err)
{
	enum outcome outcome;

	if (w->fd < 0) {
		buf_view(&w->pending, view_buf(tail));
		memcpy(w->pending.bytes, head->bytes, head->length);
		w->finished = true;
		return OUTCOME_DONE;
	}
	outcome = writer_flush(w, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_write(w->fd, tail->bytes, tail->length, "a message file", err);
	if (outcome == OUTCOME_DONE)
		outcome = file_write_at(w->fd, head->bytes, head->length, 0, "a message file", err);
	w->finished = outcome == OUTCOME_DONE;
	return outcome;
}

enum outcome message_writer_finish(struct message_writer *w, struct envelope *e, struct error *err)
{
	struct envelope_context context = {.time = 0};
	uint8_t digest[MESSAGE_DIGEST];
	struct buf tail;
	struct buf head;
	enum outcome outcome;

	if (e->recipient_count == 0 || e->recipient_count > LIMIT_RECIPIENTS)
		return error_set(err, EX_DATAERR, "a message may have 1 to %d recipients, not %zu", LIMIT_RECIPIENTS,
		    e->recipient_count);
	if (w->last == '\r')
		w->saw_binary = true;
	e->size = w->size;
	e->body = w->saw_binary ? BODY_BINARY : w->saw_8bit ? BODY_8BIT : BODY_7BIT;
	buf_init(&head, MESSAGE_HEAD);
	buf_append(&head, message_magic, sizeof message_magic);
	wire_u64(&head, w->size);
	buf_init(&tail, LIMIT_ENVELOPE);
	envelope_write(e, ENVELOPE_ON_DISK, &context, &tail);
	wire_u32(&tail, (uint32_t)tail.length);
	if (w->fd < 0)
		writer_hash_held(w);
	/* The head is hashed last because it is known last. */
	crypto_generichash_update(&w->hash, tail.bytes, tail.length);
	crypto_generichash_update(&w->hash, head.bytes, head.length);
	crypto_generichash_final(&w->hash, digest, sizeof digest);
	buf_append(&tail, digest, sizeof digest);
	if (tail.failed)
		outcome = error_set(err, EX_DATAERR, "the envelope is larger than %zu octets", LIMIT_ENVELOPE);
	else
		outcome = writer_complete(w, &head, &tail, err);
	buf_release(&head);
	buf_release(&tail);
	return outcome;
}

struct view message_writer_image(const struct message_writer *w)
{
	return w->finished && w->fd < 0 ? view_buf(&w->pending) : view_of(NULL, 0);
}

void message_writer_close(struct message_writer *w)
{
	file_close(&w->fd);
	buf_release(&w->pending);
	w->finished = false;
}

void message_writer_abort(struct message_writer *w)
{
	if (w->fd >= 0)
		file_remove(w->dir, w->name, NULL);
	message_writer_close(w);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static enum outcome content_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct message_content *c = (struct message_content *)self;
	enum outcome outcome;

	*got = size < c->left ? size : (size_t)c->left;
	if (*got == 0)
		return OUTCOME_DONE;
	if (c->image != NULL) {
		memcpy(bytes, c->image + c->offset, *got);
		outcome = OUTCOME_DONE;
	} else {
		outcome = file_read_at(c->fd, bytes, *got, c->offset, c->name, err);
	}
	c->offset += *got;
	c->left -= *got;
	return outcome;
}

static enum outcome message_verify(struct message *m, const uint8_t head[MESSAGE_HEAD], uint64_t end,
    const uint8_t digest[MESSAGE_DIGEST], struct error *err)
{
	struct message_content all = {{content_read}, m->fd, MESSAGE_HEAD, end - MESSAGE_HEAD, m->name, NULL};
	crypto_generichash_state hash;
	uint8_t chunk[COPY_CHUNK];
	uint8_t found[MESSAGE_DIGEST];
	size_t got = 1;

	crypto_generichash_init(&hash, NULL, 0, MESSAGE_DIGEST);
	while (got > 0) {
		enum outcome outcome = content_read(&all.source, chunk, sizeof chunk, &got, err);

		if (outcome != OUTCOME_DONE)
			return outcome;
		crypto_generichash_update(&hash, chunk, got);
	}
	crypto_generichash_update(&hash, head, MESSAGE_HEAD);
	crypto_generichash_final(&hash, found, sizeof found);
	if (sodium_memcmp(found, digest, sizeof found) != 0)
		return error_set(err, EX_DATAERR, "%s is damaged: its digest does not match", m->name);
	return OUTCOME_DONE;
}

static enum outcome envelope_decode(struct view bytes, const char *name, struct envelope *e, struct error *err)
{
	struct envelope_context context = {.time = 0};
	struct reader r;

	reader_init(&r, bytes);
	if (!envelope_read(e, &context, &r) || r.rest.length > 0)
		return error_set(err, EX_DATAERR, "%s is damaged: its envelope cannot be read", name);
	return OUTCOME_DONE;
}

static enum outcome message_read_envelope(struct message *m, uint64_t offset, uint32_t length, struct error *err)
{
	uint8_t *bytes = mem_alloc(length);
	enum outcome outcome = file_read_at(m->fd, bytes, length, offset, m->name, err);

	if (outcome == OUTCOME_DONE)
		outcome = envelope_decode(view_of(bytes, length), m->name, &m->envelope, err);
	free(bytes);
	return outcome;
}

/* What head and tail of a file of SIZE octets say of the length of content and envelope. */
static enum outcome message_lengths(const uint8_t head[MESSAGE_HEAD], const uint8_t tail[MESSAGE_END], uint64_t size,
    const char *name, uint64_t *content, uint32_t *length, struct error *err)
{
	struct reader r;

	if (memcmp(head, message_magic, sizeof message_magic) != 0)
		return error_set(err, EX_DATAERR, "%s is no message file of this version", name);
	reader_init(&r, view_of(head + sizeof message_magic, 8));
	*content = read_u64(&r);
	reader_init(&r, view_of(tail, 4));
	*length = read_u32(&r);
	if (*content > size || *length > LIMIT_ENVELOPE || MESSAGE_FRAME + *content + *length != size)
		return error_set(err, EX_DATAERR, "%s is damaged: its lengths do not add up", name);
	return OUTCOME_DONE;
}

enum outcome message_image_read(struct view image, const char *name, struct envelope *e, struct error *err)
{
	uint8_t found[MESSAGE_DIGEST];
	const uint8_t *end = image.bytes + image.length;
	crypto_generichash_state hash;
	uint64_t content;
	uint32_t length;
	enum outcome outcome;

	envelope_init(e);
	if (image.length < MESSAGE_FRAME)
		return error_set(err, EX_DATAERR, "%s is cut short", name);
	outcome = message_lengths(image.bytes, end - MESSAGE_END, image.length, name, &content, &length, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	crypto_generichash_init(&hash, NULL, 0, MESSAGE_DIGEST);
	crypto_generichash_update(&hash, image.bytes + MESSAGE_HEAD, image.length - MESSAGE_HEAD - MESSAGE_DIGEST);
	crypto_generichash_update(&hash, image.bytes, MESSAGE_HEAD);
	crypto_generichash_final(&hash, found, sizeof found);
	if (sodium_memcmp(found, end - MESSAGE_DIGEST, sizeof found) != 0)
		return error_set(err, EX_DATAERR, "%s is damaged: its digest does not match", name);
	outcome = envelope_decode(view_of(image.bytes + MESSAGE_HEAD + content, length), name, e, err);
	e->size = content;
	return outcome;
}

static enum outcome message_load_image(struct message *m, size_t size, struct error *err)
{
	enum outcome outcome;

	m->image = mem_alloc(size);
	outcome = file_read_at(m->fd, m->image, size, 0, m->name, err);
	return outcome == OUTCOME_DONE ? message_image_read(view_of(m->image, size), m->name, &m->envelope, err)
				       : outcome;
}

static enum outcome message_load(struct message *m, enum message_check check, struct error *err)
{
	uint8_t head[MESSAGE_HEAD];
	uint8_t tail[MESSAGE_END];
	struct stat st;
	uint64_t size;
	uint64_t content;
	uint32_t length;
	enum outcome outcome;

	if (fstat(m->fd, &st) != 0 || st.st_size < MESSAGE_HEAD + MESSAGE_END)
		return error_set(err, EX_DATAERR, "%s is cut short", m->name);
	size = (uint64_t)st.st_size;
	if (check == MESSAGE_VERIFY && size <= MESSAGE_SMALL)
		return message_load_image(m, (size_t)size, err);
	outcome = file_read_at(m->fd, head, sizeof head, 0, m->name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_read_at(m->fd, tail, sizeof tail, size - sizeof tail, m->name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = message_lengths(head, tail, size, m->name, &content, &length, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (check == MESSAGE_VERIFY)
		outcome = message_verify(m, head, size - MESSAGE_DIGEST, tail + 4, err);
	if (outcome == OUTCOME_DONE)
		outcome = message_read_envelope(m, MESSAGE_HEAD + content, length, err);
	m->envelope.size = content;
	return outcome;
}

enum outcome message_open(
    struct message *m, const struct dir *dir, const char *name, enum message_check check, struct error *err)
{
	enum outcome outcome;

	*m = (struct message){.fd = -1};
	envelope_init(&m->envelope);
	outcome = file_open(dir, name, &m->fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	m->name = mem_format("%s/%s", dir->path, name);
	outcome = message_load(m, check, err);
	if (outcome != OUTCOME_DONE)
		message_close(m);
	else
		message_rewind(m);
	return outcome;
}

void message_rewind(struct message *m)
{
	m->content =
	    (struct message_content){{content_read}, m->fd, MESSAGE_HEAD, m->envelope.size, m->name, m->image};
}

void message_close(struct message *m)
{
	file_close(&m->fd);
	free(m->name);
	m->name = NULL;
	free(m->image);
	m->image = NULL;
	envelope_release(&m->envelope);
}
