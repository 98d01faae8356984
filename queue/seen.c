/*
 * A segment as a file: "pbseen" 0 1, then
 *
 *	ranges    of offsets whose one delivery seen is that to recipient 0: by far the most, and dense
 *	varint    how many other offsets there are, and for each of them, ascending,
 *	  varint    the distance from the one before it, less one (the first: itself)
 *	  ranges    of the recipient indices seen
 *	32 bytes  BLAKE2b-256 of everything before
 */
#include "queue/seen.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/ranges.h"

static const uint8_t magic[8] = {'p', 'b', 's', 'e', 'e', 'n', 0, 1};

#define DIGEST	     32
#define SEGMENT_NAME (LIMIT_ID + 24)

/* A message of which something else was seen than recipient 0 alone. */
struct seen_other {
	uint32_t offset;
	struct ranges indices;
};

struct seen_segment {
	char name[SEGMENT_NAME];
	bool changed;
	struct ranges plain;	   /* offsets of which exactly recipient 0 was seen */
	struct seen_other *others; /* ascending offset, none of them in plain */
	size_t count;
	size_t capacity;
};

/* ---- a segment in memory -------------------------------------------------------------------------- */

static void segment_free(struct seen_segment *segment)
{
	ranges_release(&segment->plain);
	for (size_t i = 0; i < segment->count; i++)
		ranges_release(&segment->others[i].indices);
	free(segment->others);
	free(segment);
}

/* The place of the first of the others at OFFSET or behind it. */
static size_t other_place(const struct seen_segment *segment, uint32_t offset)
{
	size_t low = 0;
	size_t high = segment->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (segment->others[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct seen_other *other_find(const struct seen_segment *segment, uint32_t offset)
{
	size_t place = other_place(segment, offset);

	return place < segment->count && segment->others[place].offset == offset ? &segment->others[place] : NULL;
}

static struct seen_other *other_add(struct seen_segment *segment, uint32_t offset)
{
	size_t place = other_place(segment, offset);

	segment->others = mem_grow(segment->others, segment->count, &segment->capacity, sizeof segment->others[0]);
	memmove(segment->others + place + 1, segment->others + place,
	    (segment->count - place) * sizeof segment->others[0]);
	segment->count++;
	segment->others[place] = (struct seen_other){.offset = offset};
	return &segment->others[place];
}

static bool segment_knows(const struct seen_segment *segment, uint32_t offset, uint32_t index)
{
	const struct seen_other *other = other_find(segment, offset);

	if (other != NULL)
		return ranges_contain(&other->indices, index);
	return index == 0 && ranges_contain(&segment->plain, offset);
}

static void segment_add(struct seen_segment *segment, uint32_t offset, uint32_t index)
{
	struct seen_other *other = other_find(segment, offset);

	if (segment_knows(segment, offset, index))
		return;
	segment->changed = true;
	if (other == NULL && index == 0) {
		ranges_add(&segment->plain, offset, offset);
		return;
	}
	if (other == NULL) {
		other = other_add(segment, offset);
		if (ranges_contain(&segment->plain, offset))
			ranges_add(&other->indices, 0, 0);
		ranges_remove(&segment->plain, offset);
	}
	ranges_add(&other->indices, index, index);
}

/* ---- a segment as bytes --------------------------------------------------------------------------- */

static void segment_write(const struct seen_segment *segment, struct buf *out)
{
	uint64_t next = 0;
	uint8_t digest[DIGEST];

	buf_append(out, magic, sizeof magic);
	ranges_write(&segment->plain, SIZE_MAX, out);
	wire_varint(out, segment->count);
	for (size_t i = 0; i < segment->count; i++) {
		wire_varint(out, segment->others[i].offset - next);
		ranges_write(&segment->others[i].indices, SIZE_MAX, out);
		next = (uint64_t)segment->others[i].offset + 1;
	}
	crypto_generichash(digest, sizeof digest, out->bytes, out->length, NULL, 0);
	buf_append(out, digest, sizeof digest);
}

/* The content behind magic and before digest; R fails when it is not one. */
static void segment_read(struct seen_segment *segment, struct reader *r)
{
	uint64_t next = 0;
	uint64_t count;

	ranges_read(&segment->plain, SEEN_SEGMENT, r);
	if (ranges_last(&segment->plain) >= SEEN_SEGMENT)
		r->failed = true;
	count = read_varint_max(r, SEEN_SEGMENT);
	for (uint64_t i = 0; i < count && !r->failed; i++) {
		uint64_t offset = next + read_varint_max(r, SEEN_SEGMENT);
		struct seen_other *other;

		if (r->failed || offset >= SEEN_SEGMENT || ranges_contain(&segment->plain, offset)) {
			r->failed = true;
			break;
		}
		other = other_add(segment, (uint32_t)offset);
		ranges_read(&other->indices, LIMIT_RECIPIENTS, r);
		if (other->indices.count == 0 || ranges_last(&other->indices) > UINT32_MAX)
			r->failed = true;
		next = offset + 1;
	}
	if (!reader_at_end(r))
		r->failed = true;
}

static bool segment_parse(struct seen_segment *segment, struct view bytes)
{
	uint8_t digest[DIGEST];
	struct reader r;

	if (bytes.length < sizeof magic + DIGEST || memcmp(bytes.bytes, magic, sizeof magic) != 0)
		return false;
	bytes.length -= DIGEST;
	crypto_generichash(digest, sizeof digest, bytes.bytes, bytes.length, NULL, 0);
	if (memcmp(digest, bytes.bytes + bytes.length, DIGEST) != 0)
		return false;
	reader_init(&r, view_from(bytes, sizeof magic));
	segment_read(segment, &r);
	return !r.failed;
}

/* ---- all segments --------------------------------------------------------------------------------- */

enum outcome seen_open(struct seen *s, const struct dir *state, struct error *err)
{
	*s = (struct seen){.dir = DIR_CLOSED};
	return dir_make(&s->dir, state, "seen", 0700, err);
}

void seen_close(struct seen *s)
{
	for (size_t i = 0; i < s->count; i++)
		segment_free(s->segments[i]);
	free(s->segments);
	dir_close(&s->dir);
	*s = (struct seen){.dir = DIR_CLOSED};
}

static enum outcome segment_load(const struct seen *s, struct seen_segment *segment, struct error *err)
{
	struct error why = ERROR_NONE;
	struct buf bytes;
	enum outcome outcome;

	buf_init(&bytes, LIMIT_ENTRY);
	outcome = file_read(&s->dir, segment->name, &bytes, &why);
	if (outcome != OUTCOME_DONE && why.code == EX_NOINPUT) {
		outcome = OUTCOME_DONE; /* nothing of it was seen yet */
	} else if (outcome != OUTCOME_DONE) {
		outcome = error_set(err, why.code, "%s", why.text);
	} else if (!segment_parse(segment, view_buf(&bytes))) {
		/* Out of the way, so that the next look goes on without it: what it knew may come twice, nothing is lost. */
		char *aside = mem_format("%s.damaged", segment->name);

		file_rename(&s->dir, segment->name, &s->dir, aside, NULL);
		free(aside);
		outcome = error_set(err, EX_DATAERR,
		    "the record of what was received, %s/%s, is damaged: see \"packetboat fsck\"", s->dir.path,
		    segment->name);
	}
	buf_release(&bytes);
	return outcome;
}

/* The segment that ID lies in, from memory or from its file. */
static enum outcome segment_find(struct seen *s, const struct id *id, struct seen_segment **found, struct error *err)
{
	char incarnation[INCARNATION_TEXT];
	struct seen_segment *segment;
	char name[SEGMENT_NAME];
	enum outcome outcome;

	incarnation_print(id->incarnation, incarnation);
	snprintf(name, sizeof name, "%s.%s.%llu", id->host, incarnation,
	    (unsigned long long)(id->sequence / SEEN_SEGMENT));
	for (size_t i = s->count; i > 0; i--) {
		*found = s->segments[i - 1];
		if (strcmp((*found)->name, name) == 0)
			return OUTCOME_DONE;
	}
	segment = mem_alloc(sizeof *segment);
	memcpy(segment->name, name, sizeof name);
	outcome = segment_load(s, segment, err);
	if (outcome != OUTCOME_DONE) {
		segment_free(segment);
		return outcome;
	}
	s->segments = mem_grow(s->segments, s->count, &s->capacity, sizeof s->segments[0]);
	s->segments[s->count++] = segment;
	*found = segment;
	return OUTCOME_DONE;
}

enum outcome seen_known(struct seen *s, const struct id *id, uint32_t index, bool *known, struct error *err)
{
	struct seen_segment *segment;
	enum outcome outcome = segment_find(s, id, &segment, err);

	*known = outcome == OUTCOME_DONE && segment_knows(segment, (uint32_t)(id->sequence % SEEN_SEGMENT), index);
	return outcome;
}

enum outcome seen_add(struct seen *s, const struct id *id, uint32_t index, struct error *err)
{
	struct seen_segment *segment;
	enum outcome outcome = segment_find(s, id, &segment, err);

	if (outcome == OUTCOME_DONE)
		segment_add(segment, (uint32_t)(id->sequence % SEEN_SEGMENT), index);
	return outcome;
}

/* ---- committing ----------------------------------------------------------------------------------- */

/*
 * Puts SEGMENT in its place, its content synced. The descriptor stays open until it is there: its lock tells
 * the sweeper of TMP that somebody is at work.
 */
static enum outcome segment_put(
    const struct seen *s, const struct seen_segment *segment, const struct dir *tmp, struct error *err)
{
	char temporary[40];
	struct buf bytes;
	int fd = -1;
	enum outcome outcome = OUTCOME_DONE;

	buf_init(&bytes, LIMIT_ENTRY);
	segment_write(segment, &bytes);
	tmp_name(temporary);
	if (bytes.failed)
		outcome =
		    error_set(err, EX_DATAERR, "the record of what was received, %s, is above its limit of %zu bytes",
			segment->name, LIMIT_ENTRY);
	if (outcome == OUTCOME_DONE)
		outcome = file_create(tmp, temporary, &fd, err);
	if (outcome != OUTCOME_DONE)
		goto out;
	outcome = file_write(fd, bytes.bytes, bytes.length, segment->name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_sync(fd, segment->name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(tmp, temporary, &s->dir, segment->name, err);
	if (outcome != OUTCOME_DONE)
		file_remove(tmp, temporary, NULL);
	file_close(&fd);
out:
	buf_release(&bytes);
	return outcome;
}

/*
 * Each segment is whole by itself, so a crash between two of them leaves nothing wrong: what was not
 * committed is not acknowledged, and comes again. `changed` stays set until all are durable.
 */
enum outcome seen_commit(struct seen *s, const struct dir *tmp, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	bool any = false;

	for (size_t i = 0; i < s->count && outcome == OUTCOME_DONE; i++) {
		if (!s->segments[i]->changed)
			continue;
		outcome = segment_put(s, s->segments[i], tmp, err);
		any = true;
	}
	if (outcome == OUTCOME_DONE && any)
		outcome = dir_sync(&s->dir, err);
	for (size_t i = 0; i < s->count && outcome == OUTCOME_DONE; i++)
		s->segments[i]->changed = false;
	return outcome;
}
