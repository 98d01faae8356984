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

/* Looks at every octet once: what the content needs of a transport, and that it is canonical. */
static enum outcome writer_inspect(struct message_writer *w, const uint8_t *bytes, size_t size, struct error *err)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t c = bytes[i];

		if (c == '\n') {
			if (w->last != '\r')
				return error_set(err, EX_DATAERR, "the content has a bare LF after %llu octets",
				    (unsigned long long)(w->size + i));
			w->line = 0;
		} else {
			/* A CR is either the line's end or bare, which is binary by itself. */
			if (w->last == '\r' || c == '\0' || (c != '\r' && ++w->line > MESSAGE_LINE))
				w->saw_binary = true;
			if (c > 127)
				w->saw_8bit = true;
		}
		w->last = c;
	}
	return OUTCOME_DONE;
}

static enum outcome writer_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct message_writer *w = (struct message_writer *)self;
	enum outcome outcome = writer_inspect(w, bytes, size, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	crypto_generichash_update(&w->hash, bytes, size);
	w->size += size;
	if (w->pending.length + size > COPY_CHUNK) {
		outcome = writer_flush(w, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	if (size >= COPY_CHUNK)
		return file_write(w->fd, bytes, size, "a message file", err);
	buf_append(&w->pending, bytes, size);
	return OUTCOME_DONE;
}

enum outcome message_writer_open(struct message_writer *w, const struct dir *dir, struct error *err)
{
	uint8_t head[MESSAGE_HEAD] = {0};
	enum outcome outcome;

	*w = (struct message_writer){.sink = {writer_write}, .dir = dir, .fd = -1};
	buf_init(&w->pending, COPY_CHUNK);
	crypto_generichash_init(&w->hash, NULL, 0, MESSAGE_DIGEST);
	tmp_name(w->name);
	outcome = file_create(dir, w->name, &w->fd, err);
	/* The length in the head is not known yet: zeros until the end, so an unfinished file is no message. */
	buf_append(&w->pending, head, sizeof head);
	return outcome;
}

enum outcome message_writer_finish(struct message_writer *w, struct envelope *e, struct error *err)
{
	struct envelope_context context = {.time = 0};
	uint8_t digest[MESSAGE_DIGEST];
	struct buf tail;
	struct buf head;
	enum outcome outcome = writer_flush(w, err);

	if (outcome == OUTCOME_DONE && (e->recipient_count == 0 || e->recipient_count > LIMIT_RECIPIENTS))
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
	/* The head is hashed last because it is known last. */
	crypto_generichash_update(&w->hash, tail.bytes, tail.length);
	crypto_generichash_update(&w->hash, head.bytes, head.length);
	crypto_generichash_final(&w->hash, digest, sizeof digest);
	buf_append(&tail, digest, sizeof digest);
	if (outcome == OUTCOME_DONE && tail.failed)
		outcome = error_set(err, EX_DATAERR, "the envelope is larger than %zu octets", LIMIT_ENVELOPE);
	if (outcome == OUTCOME_DONE)
		outcome = file_write(w->fd, tail.bytes, tail.length, "a message file", err);
	if (outcome == OUTCOME_DONE)
		outcome = file_write_at(w->fd, head.bytes, head.length, 0, "a message file", err);
	buf_release(&head);
	buf_release(&tail);
	return outcome;
}

void message_writer_close(struct message_writer *w)
{
	file_close(&w->fd);
	buf_release(&w->pending);
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
	outcome = file_read_at(c->fd, bytes, *got, c->offset, c->name, err);
	c->offset += *got;
	c->left -= *got;
	return outcome;
}

static enum outcome message_verify(struct message *m, const uint8_t head[MESSAGE_HEAD], uint64_t end,
    const uint8_t digest[MESSAGE_DIGEST], struct error *err)
{
	struct message_content all = {{content_read}, m->fd, MESSAGE_HEAD, end - MESSAGE_HEAD, m->name};
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

static enum outcome message_read_envelope(struct message *m, uint64_t offset, uint32_t length, struct error *err)
{
	struct envelope_context context = {.time = 0};
	uint8_t *bytes = mem_alloc(length);
	struct reader r;
	enum outcome outcome = file_read_at(m->fd, bytes, length, offset, m->name, err);

	reader_init(&r, view_of(bytes, length));
	if (outcome == OUTCOME_DONE && (!envelope_read(&m->envelope, &context, &r) || r.rest.length > 0))
		outcome = error_set(err, EX_DATAERR, "%s is damaged: its envelope cannot be read", m->name);
	free(bytes);
	return outcome;
}

static enum outcome message_load(struct message *m, enum message_check check, struct error *err)
{
	uint8_t head[MESSAGE_HEAD];
	uint8_t tail[MESSAGE_END];
	struct reader r;
	struct stat st;
	uint64_t size;
	uint64_t content;
	uint32_t length;
	enum outcome outcome;

	if (fstat(m->fd, &st) != 0 || st.st_size < MESSAGE_HEAD + MESSAGE_END)
		return error_set(err, EX_DATAERR, "%s is cut short", m->name);
	size = (uint64_t)st.st_size;
	outcome = file_read_at(m->fd, head, sizeof head, 0, m->name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_read_at(m->fd, tail, sizeof tail, size - sizeof tail, m->name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (memcmp(head, message_magic, sizeof message_magic) != 0)
		return error_set(err, EX_DATAERR, "%s is no message file of this version", m->name);
	reader_init(&r, view_of(head + sizeof message_magic, 8));
	content = read_u64(&r);
	reader_init(&r, view_of(tail, 4));
	length = read_u32(&r);
	if (content > size || length > LIMIT_ENVELOPE || MESSAGE_HEAD + content + length + MESSAGE_END != size)
		return error_set(err, EX_DATAERR, "%s is damaged: its lengths do not add up", m->name);
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
	m->content = (struct message_content){{content_read}, m->fd, MESSAGE_HEAD, m->envelope.size, m->name};
}

void message_close(struct message *m)
{
	file_close(&m->fd);
	free(m->name);
	m->name = NULL;
	envelope_release(&m->envelope);
}
