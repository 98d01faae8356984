#include "bridge-pop3/maildrop_reader.h"

#include "lib/file.h"

#define NO_MESSAGE SIZE_MAX

void maildrop_reader_init(struct maildrop_reader *r)
{
	*r = (struct maildrop_reader){.fd = -1, .number = NO_MESSAGE, .ahead = NO_MESSAGE};
	buf_init(&r->text, MAILDROP_AHEAD);
}

static void forget_text(struct maildrop_reader *r)
{
	buf_release(&r->text);
	r->ahead = NO_MESSAGE;
}

void maildrop_reader_release(struct maildrop_reader *r)
{
	maildrop_reader_close(r);
	forget_text(r);
}

static bool in_memory(const struct maildrop_reader *r)
{
	return r->ahead == r->number;
}

enum outcome maildrop_reader_open(struct maildrop_reader *r, struct maildrop *d, size_t number, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (r->ahead == number) {
		r->size = r->text.length;
	} else {
		forget_text(r);
		outcome = maildrop_message(d, number, &r->fd, &r->size, err);
	}
	if (outcome != OUTCOME_DONE)
		return outcome;
	r->open = true;
	r->number = number;
	r->offset = 0;
	return OUTCOME_DONE;
}

bool maildrop_reader_ended(const struct maildrop_reader *r)
{
	return r->offset == r->size;
}

enum outcome maildrop_reader_piece(struct maildrop_reader *r, const struct maildrop *d, uint8_t *chunk, size_t size,
    struct view *piece, struct error *err)
{
	uint64_t left = r->size - r->offset;
	size_t step = left < size ? (size_t)left : size;

	if (in_memory(r)) {
		*piece = view_from(view_buf(&r->text), (size_t)r->offset);
		return OUTCOME_DONE;
	}
	*piece = view_of(chunk, step);
	return file_read_at(r->fd, chunk, step, r->offset, maildrop_name(d, r->number), err);
}

void maildrop_reader_took(struct maildrop_reader *r, size_t length)
{
	r->offset += length;
}

void maildrop_reader_close(struct maildrop_reader *r)
{
	if (!r->open)
		return;
	r->open = false;
	file_close(&r->fd);
	forget_text(r);
}

void maildrop_reader_age(struct maildrop_reader *r)
{
	if (!r->open && r->aged)
		forget_text(r);
	r->aged = true;
}

void maildrop_reader_prepare(struct maildrop_reader *r, struct maildrop *d, size_t number)
{
	uint64_t size;
	int fd;

	if (r->ahead == number || maildrop_octets(d, number) > MAILDROP_AHEAD)
		return;
	forget_text(r);
	r->aged = false;
	if (maildrop_message(d, number, &fd, &size, NULL) != OUTCOME_DONE)
		return;
	if (size <= MAILDROP_AHEAD && file_read_at(fd, buf_extend(&r->text, (size_t)size), (size_t)size, 0,
					  maildrop_name(d, number), NULL) == OUTCOME_DONE)
		r->ahead = number;
	else
		forget_text(r);
	file_close(&fd);
}
