#include "relay/parts.h"

#include "lib/alloc.h"
#include "lib/text.h"

#define PART_PIECE 65536

/* "INCARNATION.SEQUENCE.part" */
static bool name_parse(const char *name, uint32_t *incarnation, uint64_t *sequence)
{
	char batch[BATCH_FILE];

	if (!text_ends(name, ".part") || strlen(name) >= sizeof batch)
		return false;
	snprintf(batch, sizeof batch, "%.*s.pb", (int)(strlen(name) - strlen(".part")), name);
	return batch_file_parse(batch, incarnation, sequence);
}

static void name_make(uint32_t incarnation, uint64_t sequence, char out[static BATCH_FILE + 8])
{
	char batch[BATCH_FILE];

	batch_file_name(incarnation, sequence, batch);
	snprintf(out, BATCH_FILE + 8, "%.*s.part", (int)(strlen(batch) - strlen(".pb")), batch);
}

static enum outcome open_one(struct parts *p, const char *name, uint64_t sequence, uint64_t size, struct error *err)
{
	struct part *part = &p->items[p->count];
	enum outcome outcome;

	*part = (struct part){.sequence = sequence, .size = size, .fd = -1};
	snprintf(part->name, sizeof part->name, "%s", name);
	outcome = file_append(p->d, name, &part->fd, err);
	if (outcome == OUTCOME_DONE)
		p->count++;
	return outcome;
}

enum outcome parts_open(struct parts *p, const struct dir *d, uint32_t incarnation, struct error *err)
{
	struct names names = {0};
	enum outcome outcome = dir_names(d, &names, err);

	*p = (struct parts){.d = d, .incarnation = incarnation};
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		uint32_t of;
		uint64_t sequence;
		uint64_t size;

		if (!name_parse(names.items[i], &of, &sequence) || !file_exists(d, names.items[i], &size))
			continue;
		if (p->incarnation == 0)
			p->incarnation = of;
		if (of != p->incarnation || size == 0 || p->count == SESSION_PARTS)
			outcome = file_remove(d, names.items[i], err);
		else
			outcome = open_one(p, names.items[i], sequence, size, err);
	}
	names_release(&names);
	return outcome;
}

void parts_settle(struct parts *p, uint32_t incarnation)
{
	if (p->incarnation != incarnation)
		while (p->count > 0)
			parts_forget(p, &p->items[p->count - 1], true);
	p->incarnation = incarnation;
}

void parts_drop(struct parts *p, const struct ranges *received)
{
	for (size_t i = p->count; i-- > 0;)
		if (ranges_contain(received, p->items[i].sequence))
			parts_forget(p, &p->items[i], true);
}

void parts_close(struct parts *p)
{
	for (size_t i = 0; i < p->count; i++) {
		file_sync(p->items[i].fd, p->items[i].name, NULL);
		file_close(&p->items[i].fd);
	}
	p->count = 0;
}

struct part *parts_find(struct parts *p, uint64_t sequence)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->items[i].sequence == sequence)
			return &p->items[i];
	return NULL;
}

struct part *parts_begin(struct parts *p, uint64_t sequence, uint64_t size, struct error *err)
{
	struct part *part = parts_find(p, sequence);
	char name[BATCH_FILE + 8];

	if (part == NULL && p->count == SESSION_PARTS) {
		error_set(err, EX_TEMPFAIL, "%s holds too many unfinished batches", p->d->path);
		return NULL;
	}
	if (part == NULL) {
		name_make(p->incarnation, sequence, name);
		if (open_one(p, name, sequence, 0, err) != OUTCOME_DONE)
			return NULL;
		part = &p->items[p->count - 1];
	}
	return part_cut(part, size, err) == OUTCOME_DONE ? part : NULL;
}

enum outcome part_append(struct part *part, struct view bytes, struct error *err)
{
	enum outcome outcome = file_write(part->fd, bytes.bytes, bytes.length, part->name, err);

	if (outcome == OUTCOME_DONE)
		part->size += bytes.length;
	return outcome;
}

enum outcome part_cut(struct part *part, uint64_t size, struct error *err)
{
	enum outcome outcome = file_truncate(part->fd, size, part->name, err);

	if (outcome == OUTCOME_DONE)
		part->size = size;
	return outcome;
}

enum outcome file_hash(int fd, uint64_t size, const char *name, uint8_t hash[static SESSION_HASH], struct error *err)
{
	uint8_t *piece = mem_alloc(PART_PIECE);
	struct session_hash h;
	enum outcome outcome = OUTCOME_DONE;

	session_hash_init(&h);
	for (uint64_t at = 0; at < size && outcome == OUTCOME_DONE;) {
		size_t step = size - at < PART_PIECE ? (size_t)(size - at) : PART_PIECE;

		outcome = file_read_at(fd, piece, step, at, name, err);
		session_hash_add(&h, view_of(piece, step));
		at += step;
	}
	session_hash_end(&h, hash);
	free(piece);
	return outcome;
}

enum outcome part_hash(const struct part *part, uint8_t hash[static SESSION_HASH], struct error *err)
{
	return file_hash(part->fd, part->size, part->name, hash, err);
}

void parts_forget(struct parts *p, struct part *part, bool wipe)
{
	file_close(&part->fd);
	if (wipe)
		file_remove(p->d, part->name, NULL);
	*part = p->items[--p->count];
}
