#include "spool/peer.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/lock.h"
#include "spool/statefile.h"

/*
 * Notes lie in "events". To fold them the file is moved to "folding", under the lock that writers hold, so
 * none can be added to what is being read. Then the groups are committed, with the digest of "folding" in
 * them, and "folding" is removed. After a crash:
 *
 * - before the move: nothing happened;
 * - between move and commit: "folding" is folded first the next time, and then what was noted meanwhile;
 * - between commit and removal: its digest stands in the groups, so it is only removed.
 */
#define EVENTS_NOTES   "events"
#define EVENTS_FOLDING "folding"
#define EVENTS_GROUPS  "groups"
#define EVENTS_DAMAGED "groups.damaged"
#define EVENTS_MAGIC   "pbevnt"

/* A note: 20 octets and 12 of their digest. It divides a sector, so a torn write leaves whole notes and one
 * tail. */
#define NOTE_FIELDS 20
#define NOTE_DIGEST 12
#define NOTE_SIZE   (NOTE_FIELDS + NOTE_DIGEST)

/* ---- groups ----------------------------------------------------------------------------------------------
 */

void event_groups_release(struct event_groups *g)
{
	for (size_t i = 0; i < g->count; i++)
		buf_release(&g->items[i].event.bitmap);
	free(g->items);
	*g = (struct event_groups){.serial = 0};
}

static struct event_group *groups_add(struct event_groups *g)
{
	struct event_group *group;

	g->items = mem_grow(g->items, g->count, &g->capacity, sizeof g->items[0]);
	group = &g->items[g->count++];
	*group = (struct event_group){.serial = 0};
	buf_init(&group->event.bitmap, BATCH_BITMAP_MAX);
	return group;
}

static void groups_drop(struct event_groups *g, size_t place)
{
	buf_release(&g->items[place].event.bitmap);
	g->count--;
	memmove(g->items + place, g->items + place + 1, (g->count - place) * sizeof g->items[0]);
}

void event_groups_print(const struct event_groups *g, struct buf *out)
{
	statefile_begin(out, EVENTS_MAGIC);
	wire_varint(out, g->serial);
	buf_append(out, g->folded, sizeof g->folded);
	wire_varint(out, g->count);
	for (size_t i = 0; i < g->count; i++) {
		const struct batch_event *event = &g->items[i].event;

		wire_varint(out, g->items[i].serial);
		wire_u32(out, g->items[i].incarnation);
		wire_varint(out, event->sequence);
		buf_byte(out, (uint8_t)event->kind);
		if (event->kind == EVENT_FAILED)
			buf_append(out, event->status, sizeof event->status);
		wire_view(out, view_buf(&event->bitmap));
	}
	statefile_end(out);
}

static void read_group(struct reader *r, struct event_group *group)
{
	struct batch_event *event = &group->event;
	struct view status;
	struct view bitmap;

	group->serial = read_varint(r);
	group->incarnation = read_u32(r);
	event->sequence = read_varint(r);
	event->kind = read_byte(r);
	if (event->kind == EVENT_FAILED) {
		status = read_bytes(r, sizeof event->status);
		if (status.length == sizeof event->status)
			memcpy(event->status, status.bytes, sizeof event->status);
	}
	bitmap = read_view(r, BATCH_BITMAP_MAX);
	buf_view(&event->bitmap, bitmap);
	if (event->sequence == 0 || event->kind < EVENT_DELIVERED || event->kind > EVENT_REMOVED ||
	    bitmap.length == 0 || bitmap.bytes[bitmap.length - 1] == 0)
		r->failed = true;
}

bool event_groups_parse(struct view bytes, struct event_groups *g)
{
	struct reader r;
	struct view folded;
	uint64_t count;
	uint64_t last = 0;

	*g = (struct event_groups){.serial = 0};
	if (!statefile_check(bytes, EVENTS_MAGIC, &r))
		return false;
	g->serial = read_varint(&r);
	folded = read_bytes(&r, sizeof g->folded);
	if (folded.length == sizeof g->folded)
		memcpy(g->folded, folded.bytes, sizeof g->folded);
	count = read_varint(&r);
	for (uint64_t i = 0; i < count && !r.failed; i++) {
		struct event_group *group = groups_add(g);

		read_group(&r, group);
		if (group->serial <= last || group->serial > g->serial)
			r.failed = true;
		last = group->serial;
	}
	if (!r.failed && r.rest.length == 0)
		return true;
	event_groups_release(g);
	return false;
}

/* ---- notes -----------------------------------------------------------------------------------------------
 */

static void note_digest(const uint8_t *fields, uint8_t digest[static NOTE_DIGEST])
{
	uint8_t whole[crypto_generichash_BYTES_MIN];

	crypto_generichash(whole, sizeof whole, fields, NOTE_FIELDS, NULL, 0);
	memcpy(digest, whole, NOTE_DIGEST);
}

/* Can an event say it? */
static bool note_good(const struct event_note *note)
{
	return note->batch_sequence != 0 && note->ordinal / 8 < BATCH_BITMAP_MAX && note->kind >= EVENT_DELIVERED &&
	       note->kind <= EVENT_REMOVED;
}

static void note_print(const struct event_note *note, struct buf *out)
{
	uint8_t digest[NOTE_DIGEST];

	wire_u32(out, note->batch_incarnation);
	wire_u64(out, note->batch_sequence);
	wire_u32(out, note->ordinal);
	buf_byte(out, (uint8_t)note->kind);
	buf_append(out, note->kind == EVENT_FAILED ? note->status : (const uint8_t[3]){0}, sizeof note->status);
	note_digest(out->bytes + out->length - NOTE_FIELDS, digest);
	buf_append(out, digest, sizeof digest);
}

/* False when it is not a note: the rest of one that was being written in a crash. */
static bool note_parse(struct view bytes, struct event_note *note)
{
	uint8_t digest[NOTE_DIGEST];
	struct reader r;

	note_digest(bytes.bytes, digest);
	reader_init(&r, bytes);
	note->batch_incarnation = read_u32(&r);
	note->batch_sequence = read_u64(&r);
	note->ordinal = read_u32(&r);
	note->kind = read_byte(&r);
	memcpy(note->status, read_bytes(&r, sizeof note->status).bytes, sizeof note->status);
	return view_equal(r.rest, view_of(digest, sizeof digest)) && note_good(note);
}

static void lock_name(const char *name, char out[static LIMIT_ID])
{
	snprintf(out, LIMIT_ID, "events-%s", name);
}

/* Under the lock: what stands behind the last whole note is of a writer that died, and would put all that
 * follow out of step. */
static enum outcome notes_append(const struct dir *d, const struct buf *notes, struct error *err)
{
	uint64_t size = 0;
	int fd;
	bool fresh = !file_exists(d, EVENTS_NOTES, &size);
	enum outcome outcome = file_append(d, EVENTS_NOTES, &fd, err);

	if (outcome == OUTCOME_DONE && size % NOTE_SIZE != 0)
		outcome = file_truncate(fd, size - size % NOTE_SIZE, EVENTS_NOTES, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_write(fd, notes->bytes, notes->length, EVENTS_NOTES, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_sync(fd, EVENTS_NOTES, err);
	if (outcome == OUTCOME_DONE && fresh)
		outcome = dir_sync(d, err);
	file_close(&fd);
	return outcome;
}

enum outcome events_note(const struct dir *state, const struct dir *lock, const char *name,
    const struct event_note *notes, size_t count, struct error *err)
{
	struct lock held = LOCK_NONE;
	struct dir d = DIR_CLOSED;
	struct buf bytes;
	char text[LIMIT_ID];
	enum outcome outcome = OUTCOME_DONE;

	buf_init(&bytes, SIZE_MAX - 1);
	for (size_t i = 0; i < count; i++)
		if (note_good(&notes[i]))
			note_print(&notes[i], &bytes);
	if (bytes.length == 0)
		goto out;
	outcome = statefile_dir_make(&d, state, name, err);
	if (outcome != OUTCOME_DONE)
		goto out;
	lock_name(name, text);
	outcome = lock_take(&held, lock, text, err);
	if (outcome == OUTCOME_DONE)
		outcome = notes_append(&d, &bytes, err);
	if (outcome != OUTCOME_DONE)
		error_context(err, "cannot note for %s what became of its messages", name);
out:
	lock_release(&held);
	dir_close(&d);
	buf_release(&bytes);
	return outcome;
}

/* ---- folding ---------------------------------------------------------------------------------------------
 */

static bool bit_get(const struct buf *bitmap, uint32_t bit)
{
	return bit / 8 < bitmap->length && (bitmap->bytes[bit / 8] >> bit % 8 & 1) != 0;
}

static void bit_set(struct buf *bitmap, uint32_t bit)
{
	while (bitmap->length <= bit / 8)
		buf_byte(bitmap, 0);
	bitmap->bytes[bit / 8] |= (uint8_t)(1u << bit % 8);
}

static bool same_event(const struct event_group *group, const struct event_note *note)
{
	const struct batch_event *event = &group->event;

	return group->incarnation == note->batch_incarnation && event->sequence == note->batch_sequence &&
	       event->kind == note->kind &&
	       (note->kind != EVENT_FAILED || memcmp(event->status, note->status, sizeof note->status) == 0);
}

/* Serials above LAST are of this folding. */
static void fold_note(struct event_groups *g, uint64_t last, const struct event_note *note)
{
	struct event_group *group;
	struct buf bitmap;
	size_t place = g->count;

	while (place > 0 && !same_event(&g->items[place - 1], note))
		place--;
	if (place > 0 && bit_get(&g->items[place - 1].event.bitmap, note->ordinal))
		return;
	if (place > 0 && g->items[place - 1].serial > last) {
		bit_set(&g->items[place - 1].event.bitmap, note->ordinal);
		return;
	}
	buf_init(&bitmap, BATCH_BITMAP_MAX);
	if (place > 0) {
		bitmap = g->items[place - 1].event.bitmap;
		buf_init(&g->items[place - 1].event.bitmap, BATCH_BITMAP_MAX);
		groups_drop(g, place - 1);
	}
	group = groups_add(g);
	group->serial = ++g->serial;
	group->incarnation = note->batch_incarnation;
	group->event.sequence = note->batch_sequence;
	group->event.kind = note->kind;
	memcpy(group->event.status, note->status, sizeof note->status);
	group->event.bitmap = bitmap;
	bit_set(&group->event.bitmap, note->ordinal);
}

static void bits_clear(struct buf *bitmap, const struct buf *other)
{
	for (size_t i = 0; i < bitmap->length && i < other->length; i++)
		bitmap->bytes[i] &= (uint8_t)~other->bytes[i];
	while (bitmap->length > 0 && bitmap->bytes[bitmap->length - 1] == 0)
		bitmap->length--;
}

/* Who is told of the end need not be told that it went on before: a group of "forwarded" that took old bits
 * along would else say so behind the end. */
static void drop_superseded(struct event_groups *g, uint64_t last)
{
	for (size_t i = g->count; i > 0 && g->items[i - 1].serial > last; i--) {
		struct batch_event *event = &g->items[i - 1].event;

		if (event->kind != EVENT_FORWARDED)
			continue;
		for (size_t k = 0; k < g->count; k++)
			if (g->items[k].incarnation == g->items[i - 1].incarnation &&
			    g->items[k].event.sequence == event->sequence &&
			    g->items[k].event.kind != EVENT_FORWARDED)
				bits_clear(&event->bitmap, &g->items[k].event.bitmap);
		if (event->bitmap.length == 0)
			groups_drop(g, i - 1);
	}
}

/* The present incarnation of the neighbour could use it, or the one heard before: a stick that comes late
 * makes an older one present until the true one is heard again. */
static bool useful(const struct peer *p, uint32_t incarnation)
{
	for (size_t i = p->source_count; i > 0 && i + 2 > p->source_count; i--)
		if (p->sources[i - 1].incarnation == incarnation)
			return true;
	return false;
}

static void fold_notes(struct event_groups *g, struct view bytes, const struct peer *p)
{
	uint64_t last = g->serial;

	for (; bytes.length >= NOTE_SIZE; bytes = view_from(bytes, NOTE_SIZE)) {
		struct event_note note;

		if (note_parse(view_of(bytes.bytes, NOTE_SIZE), &note) && useful(p, note.batch_incarnation))
			fold_note(g, last, &note);
	}
	drop_superseded(g, last);
}

/* What is confirmed, and what the neighbour cannot make sense of any more, need not be said. */
static size_t drop_settled(struct event_groups *g, const struct peer *p)
{
	size_t kept = 0;
	size_t dropped;

	for (size_t i = 0; i < g->count; i++) {
		if (g->items[i].serial <= p->event_confirmed || !useful(p, g->items[i].incarnation))
			buf_release(&g->items[i].event.bitmap);
		else
			g->items[kept++] = g->items[i];
	}
	dropped = g->count - kept;
	g->count = kept;
	return dropped;
}

static enum outcome groups_load(struct event_groups *g, const struct dir *d, struct error *err)
{
	struct buf bytes;
	enum outcome outcome = OUTCOME_DONE;

	*g = (struct event_groups){.serial = 0};
	if (!file_exists(d, EVENTS_GROUPS, NULL))
		return OUTCOME_DONE;
	buf_init(&bytes, LIMIT_SMALL_FILE);
	outcome = file_read(d, EVENTS_GROUPS, &bytes, err);
	if (outcome == OUTCOME_DONE && !event_groups_parse(view_buf(&bytes), g)) {
		outcome = file_rename(d, EVENTS_GROUPS, d, EVENTS_DAMAGED, err);
		if (outcome == OUTCOME_DONE)
			outcome = error_set(err, EX_DATAERR,
			    "%s/" EVENTS_GROUPS " is damaged and now " EVENTS_DAMAGED
			    "; what it held of delivered and failed messages is not told to the neighbour",
			    d->path);
	}
	buf_release(&bytes);
	return outcome;
}

static enum outcome groups_save(
    const struct event_groups *g, const struct dir *tmp, const struct dir *d, struct error *err)
{
	struct buf bytes;
	enum outcome outcome;

	buf_init(&bytes, LIMIT_SMALL_FILE);
	event_groups_print(g, &bytes);
	outcome = statefile_commit(&bytes, tmp, d, EVENTS_GROUPS, err);
	buf_release(&bytes);
	return outcome;
}

/* Folds "folding" into G and removes it. */
static enum outcome fold_file(
    struct event_groups *g, const struct peer *p, const struct dir *tmp, const struct dir *d, struct error *err)
{
	uint8_t digest[sizeof g->folded];
	struct buf bytes;
	enum outcome outcome;

	buf_init(&bytes, SIZE_MAX - 1);
	outcome = file_read(d, EVENTS_FOLDING, &bytes, err);
	if (outcome != OUTCOME_DONE)
		goto out;
	crypto_generichash(digest, sizeof digest, bytes.bytes, bytes.length, NULL, 0);
	if (memcmp(digest, g->folded, sizeof digest) != 0) {
		fold_notes(g, view_buf(&bytes), p);
		memcpy(g->folded, digest, sizeof digest);
		outcome = groups_save(g, tmp, d, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(d, EVENTS_FOLDING, err);
	/* The same notes may come again one day, after the groups were confirmed: then it must be gone for
	 * certain. */
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(d, err);
out:
	buf_release(&bytes);
	return outcome;
}

static enum outcome move_aside(const struct dir *d, const struct dir *lock, const char *name, struct error *err)
{
	struct lock held;
	char text[LIMIT_ID];
	enum outcome outcome;

	lock_name(name, text);
	outcome = lock_take(&held, lock, text, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = file_rename(d, EVENTS_NOTES, d, EVENTS_FOLDING, err);
	lock_release(&held);
	return outcome;
}

static enum outcome fold(struct event_groups *g, const struct peer *p, const struct dir *tmp, const struct dir *d,
    const struct dir *lock, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (g->serial < p->event_serial)
		g->serial = p->event_serial;
	if (drop_settled(g, p) > 0)
		outcome = groups_save(g, tmp, d, err);
	if (outcome == OUTCOME_DONE && file_exists(d, EVENTS_FOLDING, NULL))
		outcome = fold_file(g, p, tmp, d, err);
	if (outcome != OUTCOME_DONE || !file_exists(d, EVENTS_NOTES, NULL))
		return outcome;
	outcome = move_aside(d, lock, p->name, err);
	return outcome == OUTCOME_DONE ? fold_file(g, p, tmp, d, err) : outcome;
}

/* ---- into a header ---------------------------------------------------------------------------------------
 */

/* The extension that holds them: type, length, serial, incarnation. */
#define EVENTS_OVERHEAD (1 + 3 + VARINT_MAX + 4)

static size_t varint_size(uint64_t number)
{
	size_t size = 1;

	while (number >>= 7)
		size++;
	return size;
}

static size_t group_size(const struct batch_event *event)
{
	return varint_size(event->sequence) + 1 + (event->kind == EVENT_FAILED ? sizeof event->status : 0) +
	       varint_size(event->bitmap.length) + event->bitmap.length;
}

static void fill_events(
    const struct event_groups *g, const struct peer *p, size_t maximum, struct batch_header *h, bool *fresh)
{
	uint32_t present = p->sources[p->source_count - 1].incarnation;
	size_t left = maximum > EVENTS_OVERHEAD ? maximum - EVENTS_OVERHEAD : 0;
	size_t room = left;

	for (size_t i = 0; i < g->count; i++) {
		const struct batch_event *event = &g->items[i].event;
		size_t size = group_size(event);
		struct batch_event *copy;

		if (g->items[i].incarnation != present || size > room)
			continue; /* not for this one, or in no batch of this size */
		if (size > left)
			break;
		left -= size;
		copy = batch_header_add_event(h);
		copy->sequence = event->sequence;
		copy->kind = event->kind;
		memcpy(copy->status, event->status, sizeof copy->status);
		buf_view(&copy->bitmap, view_buf(&event->bitmap));
		h->event_serial = g->items[i].serial;
		h->events_incarnation = g->items[i].incarnation;
		*fresh = *fresh || g->items[i].serial > p->event_packed;
	}
}

enum outcome events_collect(struct peer *p, const struct dir *tmp, const struct dir *state, const struct dir *lock,
    size_t maximum, struct batch_header *h, bool *fresh, struct error *err)
{
	struct event_groups groups = {.serial = 0};
	struct dir d;
	enum outcome outcome;

	*fresh = false;
	if (peer_present(p) == NULL)
		return OUTCOME_DONE; /* notes may wait until it is known which incarnation could use them */
	outcome = statefile_dir_make(&d, state, p->name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = groups_load(&groups, &d, err);
	if (outcome == OUTCOME_DONE)
		outcome = fold(&groups, p, tmp, &d, lock, err);
	if (outcome == OUTCOME_DONE) {
		p->event_serial = groups.serial;
		fill_events(&groups, p, maximum, h, fresh);
	}
	event_groups_release(&groups);
	dir_close(&d);
	return outcome;
}
