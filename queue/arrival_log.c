#include "queue/arrival_log.h"

#include <errno.h>

#include "lib/alloc.h"

/* Read at once: some fifty messages. */
#define ARRIVAL_WINDOW ((size_t)256 << 10)

static const uint8_t magic[ARRIVAL_MAGIC] = {'p', 'b', 'a', 'r', 'r', 0, 1, 0};

void arrival_key(const char *name, uint8_t key[static crypto_shorthash_KEYBYTES])
{
	crypto_generichash(key, crypto_shorthash_KEYBYTES, (const uint8_t *)name, strlen(name), NULL, 0);
}

void arrival_magic(uint8_t out[static ARRIVAL_MAGIC])
{
	memcpy(out, magic, sizeof magic);
}

static void store(uint8_t *out, uint64_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(number >> 8 * i);
}

void arrival_head(const uint8_t key[static crypto_shorthash_KEYBYTES], uint64_t offset, uint32_t length,
    uint8_t out[static ARRIVAL_HEAD])
{
	uint8_t checked[12];

	store(checked, offset, 8);
	store(checked + 8, length, 4);
	store(out, length, 4);
	crypto_shorthash(out + 4, checked, sizeof checked, key);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

enum outcome arrival_reader_open(struct arrival_reader *r, int fd, const char *name, struct error *err)
{
	struct stat st;

	*r = (struct arrival_reader){.fd = fd, .name = name};
	if (fstat(fd, &st) != 0)
		return error_errno(err, errno, "cannot look at the arrival log %s", name);
	r->size = (uint64_t)st.st_size;
	arrival_key(name, r->key);
	return OUTCOME_DONE;
}

void arrival_reader_close(struct arrival_reader *r)
{
	free(r->window);
	*r = (struct arrival_reader){.fd = -1};
}

/* The LENGTH octets at AT, which the file has; valid until the next call. Null: they cannot be read, and nothing more is. */
static const uint8_t *look(struct arrival_reader *r, uint64_t at, size_t length, struct error *err)
{
	size_t more = length > ARRIVAL_WINDOW ? length : ARRIVAL_WINDOW;

	if (at >= r->window_at && at - r->window_at + length <= r->window_length)
		return r->window + (at - r->window_at);
	if (more > r->size - at)
		more = (size_t)(r->size - at);
	if (more > r->capacity) {
		r->window = mem_resize(r->window, more, 1);
		r->capacity = more;
	}
	r->window_at = at;
	r->window_length = more;
	if (file_read_at(r->fd, r->window, more, at, r->name, err) == OUTCOME_DONE)
		return r->window;
	r->window_length = 0;
	r->at = r->size;
	return NULL;
}

/* Does HEAD begin a record at AT? */
static bool head_valid(const struct arrival_reader *r, uint64_t at, const uint8_t *head, uint32_t *length)
{
	uint8_t right[ARRIVAL_HEAD];
	struct reader number;

	reader_init(&number, view_of(head, 4));
	*length = read_u32(&number);
	if (at < ARRIVAL_MAGIC || *length < MESSAGE_FRAME || *length > ARRIVAL_IMAGE_MAX)
		return false;
	arrival_head(r->key, at, *length, right);
	return memcmp(head, right, sizeof right) == 0;
}

/* Nothing that was written whole begins here: on to where a record does. */
static enum outcome look_for_record(struct arrival_reader *r, struct error *err)
{
	uint64_t from = r->at;
	bool zeros = true;

	for (; r->at < r->size; r->at++) {
		size_t left = r->size - r->at < ARRIVAL_HEAD ? (size_t)(r->size - r->at) : ARRIVAL_HEAD;
		const uint8_t *head = look(r, r->at, left, err);
		uint32_t length;

		if (head == NULL)
			return err->outcome;
		if (left == ARRIVAL_HEAD && head_valid(r, r->at, head, &length))
			break;
		zeros &= *head == 0;
	}
	if (zeros && r->at == r->size)
		return OUTCOME_DONE;
	return error_set(err, EX_DATAERR, "the arrival log %s is damaged from octet %llu to %llu", r->name,
	    (unsigned long long)from, (unsigned long long)r->at);
}

enum outcome arrival_next(struct arrival_reader *r, struct view *image, struct envelope *e, struct error *err)
{
	const uint8_t *bytes;
	uint32_t length;
	uint64_t begin;
	enum outcome outcome;

	*image = view_of(NULL, 0);
	envelope_init(e);
	if (r->at == 0 && r->size >= ARRIVAL_MAGIC) {
		bytes = look(r, 0, ARRIVAL_MAGIC, err);
		if (bytes == NULL)
			return err->outcome;
		if (memcmp(bytes, magic, sizeof magic) != 0)
			return look_for_record(r, err);
		r->at = ARRIVAL_MAGIC;
	}
	begin = r->at;
	if (r->size - begin < ARRIVAL_HEAD)
		return OUTCOME_DONE;
	bytes = look(r, begin, ARRIVAL_HEAD, err);
	if (bytes == NULL)
		return err->outcome;
	if (!head_valid(r, begin, bytes, &length))
		return look_for_record(r, err);
	if (length > r->size - begin - ARRIVAL_HEAD)
		return OUTCOME_DONE;
	bytes = look(r, begin + ARRIVAL_HEAD, length, err);
	if (bytes == NULL)
		return err->outcome;
	r->at = begin + ARRIVAL_HEAD + length;
	outcome = message_image_read(view_of(bytes, length), "the message", e, err);
	if (outcome == OUTCOME_DONE)
		*image = view_of(bytes, length);
	else
		error_context(err, "octet %llu of the arrival log %s", (unsigned long long)begin, r->name);
	return outcome;
}
