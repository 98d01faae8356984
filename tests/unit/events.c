#include "tests/unit/scratch.h"

#include "spool/batch_internal.h"
#include "spool/peer.h"
#include "spool/statefile.h"
#include "tests/unit/fault.h"

#define OURS   0x11111111u
#define THEIRS 0x22222222u

struct world {
	struct dir d; /* tmp, state and lock in one */
	struct peer p;
};

static void world_open(struct world *w)
{
	w->d = scratch_open();
	w->p = (struct peer){.name = "city", .incarnation = OURS, .next = 1};
	peer_source(&w->p, THEIRS);
}

static void world_close(struct world *w)
{
	peer_release(&w->p);
	scratch_close(&w->d);
}

static struct event_note note(uint64_t sequence, uint32_t ordinal, enum event_kind kind)
{
	struct event_note n = {THEIRS, sequence, ordinal, kind, {0}};

	if (kind == EVENT_FAILED)
		memcpy(n.status, (const uint8_t[]){5, 1, 1}, 3);
	return n;
}

static void add(struct world *w, const struct event_note *notes, size_t count)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(events_note(&w->d, &w->d, "city", notes, count, &err), OUTCOME_DONE, "%s", err.text);
}

static void add_one(struct world *w, struct event_note n)
{
	add(w, &n, 1);
}

/* "4d01.03 5f511.02": sequence, first letter of the kind, status, bitmap in hex. */
static char *header_text(const struct batch_header *h)
{
	static const char letters[] = "?dfor";
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < h->event_count; i++) {
		const struct batch_event *e = &h->events[i];

		buf_format(&b, "%s%llu%c", i > 0 ? " " : "", (unsigned long long)e->sequence, letters[e->kind]);
		if (e->kind == EVENT_FAILED)
			buf_format(&b, "%u%u%u", e->status[0], e->status[1], e->status[2]);
		buf_byte(&b, '.');
		for (size_t k = 0; k < e->bitmap.length; k++)
			buf_format(&b, "%02x", e->bitmap.bytes[k]);
	}
	return buf_detach(&b);
}

/* Collects, and holds what came against TEXT and FRESH; returns the serial. */
static uint64_t collect(struct world *w, size_t maximum, const char *text, bool fresh)
{
	struct batch_header h = {.sequence = 1};
	struct error err = ERROR_NONE;
	bool is_fresh;
	uint64_t serial;
	char *got;

	cr_assert_eq(
	    events_collect(&w->p, &w->d, &w->d, &w->d, maximum, &h, &is_fresh, &err), OUTCOME_DONE, "%s", err.text);
	got = header_text(&h);
	cr_assert_str_eq(got, text);
	cr_assert_eq(is_fresh, fresh, "with \"%s\"", text);
	free(got);
	serial = h.event_serial;
	cr_assert_eq(serial == 0, h.event_count == 0);
	cr_assert_eq(h.events_incarnation, h.event_count == 0 ? 0 : THEIRS);
	batch_header_release(&h);
	return serial;
}

/* ---- notes and groups ------------------------------------------------------------------------------------
 */

Test(events, nothing_noted)
{
	struct world w;

	world_open(&w);
	collect(&w, 1000, "", false);
	add(&w, NULL, 0);
	collect(&w, 1000, "", false);
	cr_assert_eq(w.p.event_serial, 0);
	world_close(&w);
}

Test(events, notes_become_bitmaps)
{
	const struct event_note notes[] = {
	    note(4, 0, EVENT_DELIVERED),
	    note(4, 9, EVENT_DELIVERED),
	    note(7, 1, EVENT_FORWARDED),
	    note(4, 1, EVENT_FAILED),
	    note(4, 0, EVENT_DELIVERED),
	    note(4, 2, EVENT_REMOVED),
	};
	struct world w;

	world_open(&w);
	add(&w, notes, sizeof notes / sizeof notes[0]);
	cr_assert_eq(collect(&w, 1000, "4d.0102 7o.02 4f511.02 4r.04", true), 4);
	cr_assert_eq(w.p.event_serial, 4);
	/* Until a batch stands, it is still fresh; then it is said again, but is not. */
	collect(&w, 1000, "4d.0102 7o.02 4f511.02 4r.04", true);
	w.p.event_packed = 4;
	collect(&w, 1000, "4d.0102 7o.02 4f511.02 4r.04", false);
	world_close(&w);
}

Test(events, another_status_is_another_group)
{
	struct event_note n = note(4, 3, EVENT_FAILED);
	struct world w;

	world_open(&w);
	add_one(&w, note(4, 2, EVENT_FAILED));
	memcpy(n.status, (const uint8_t[]){4, 4, 7}, 3);
	add_one(&w, n);
	collect(&w, 1000, "4f511.04 4f447.08", true);
	world_close(&w);
}

Test(events, confirmed_groups_are_forgotten)
{
	struct world w;
	struct dir city;
	struct error err = ERROR_NONE;

	world_open(&w);
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	add_one(&w, note(5, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.01 5d.01", true), 2);
	w.p.event_confirmed = 1;
	cr_assert_eq(collect(&w, 1000, "5d.01", true), 2);
	w.p.event_confirmed = 2;
	cr_assert_eq(collect(&w, 1000, "", false), 0);
	/* The serials go on, also when the peer file was left behind. */
	w.p.event_serial = 0;
	add_one(&w, note(6, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "6d.01", true), 3);
	/* Nor does the notes file grow. */
	cr_assert_eq(dir_open(&city, &w.d, "city", &err), OUTCOME_DONE);
	cr_assert_not(file_exists(&city, "events", NULL));
	cr_assert_not(file_exists(&city, "folding", NULL));
	dir_close(&city);
	world_close(&w);
}

/* A group that may have been seen with one bit must not be confirmed with two. */
Test(events, a_group_with_a_serial_never_changes)
{
	struct world w;

	world_open(&w);
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.01", true), 1);
	w.p.event_packed = 1;
	add_one(&w, note(4, 1, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.03", true), 2, "the bits moved to a new one");
	/* The batch with the first comes to be confirmed late: the second stays. */
	w.p.event_confirmed = 1;
	cr_assert_eq(collect(&w, 1000, "4d.03", true), 2);
	/* Confirmed while a new note lies there: the old bits are not said again. */
	w.p.event_confirmed = 2;
	w.p.event_packed = 2;
	add_one(&w, note(4, 2, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.04", true), 3);
	world_close(&w);
}

Test(events, repeated_notes_change_nothing_while_unconfirmed)
{
	struct world w;

	world_open(&w);
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.01", true), 1);
	w.p.event_packed = 1;
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.01", false), 1);
	/* After the confirmation the same notes again are known; among others they are said once more, which
	 * tells the neighbour nothing new. */
	w.p.event_confirmed = 1;
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	collect(&w, 1000, "", false);
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	add_one(&w, note(4, 1, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.03", true), 2);
	world_close(&w);
}

Test(events, the_end_is_not_overtaken_by_what_was_before)
{
	struct world w;

	world_open(&w);
	add_one(&w, note(4, 0, EVENT_FORWARDED));
	collect(&w, 1000, "4o.01", true);
	add_one(&w, note(4, 0, EVENT_DELIVERED));
	collect(&w, 1000, "4o.01 4d.01", true);
	add_one(&w, note(4, 1, EVENT_FORWARDED));
	add_one(&w, note(5, 1, EVENT_FORWARDED));
	collect(&w, 1000, "4d.01 4o.02 5o.02", true);
	/* In one folding: nothing of it is left. */
	add_one(&w, note(6, 7, EVENT_FORWARDED));
	add_one(&w, note(6, 7, EVENT_FAILED));
	collect(&w, 1000, "4d.01 4o.02 5o.02 6f511.80", true);
	world_close(&w);
}

Test(events, another_incarnation_of_the_neighbour)
{
	struct event_note other = note(4, 0, EVENT_DELIVERED);
	struct world w;

	world_open(&w);
	other.batch_incarnation = THEIRS + 1;
	add_one(&w, other);
	add_one(&w, note(4, 1, EVENT_DELIVERED));
	collect(&w, 1000, "4d.02", true);
	/* It was reinstalled, twice: what named the old one's batches goes, also what was folded. */
	peer_source(&w.p, THEIRS + 2);
	collect(&w, 1000, "", false);
	peer_source(&w.p, THEIRS + 3);
	collect(&w, 1000, "", false);
	peer_source(&w.p, THEIRS);
	collect(&w, 1000, "", false);
	world_close(&w);
}

Test(events, a_late_stick_of_an_older_incarnation_costs_no_events)
{
	struct event_note other = note(4, 0, EVENT_DELIVERED);
	struct world w;

	world_open(&w);
	add_one(&w, note(4, 1, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "4d.02", true), 1);
	/* The older one is heard, and is told what became of its own, while more is noted for the true one.
	 */
	other.batch_incarnation = THEIRS - 1;
	peer_source(&w.p, THEIRS - 1);
	add_one(&w, other);
	add_one(&w, note(4, 2, EVENT_DELIVERED));
	struct batch_header h = {.sequence = 1};
	struct error err = ERROR_NONE;
	bool fresh;

	cr_assert_eq(events_collect(&w.p, &w.d, &w.d, &w.d, 1000, &h, &fresh, &err), OUTCOME_DONE);
	cr_assert_eq(h.event_count, 1);
	cr_assert_eq(h.events_incarnation, THEIRS - 1);
	cr_assert_eq(h.events[0].bitmap.bytes[0], 1, "sequence 4 of another incarnation is another batch");
	batch_header_release(&h);
	peer_source(&w.p, THEIRS);
	cr_assert_eq(collect(&w, 1000, "4d.06", true), 3);
	world_close(&w);
}

Test(events, notes_wait_for_the_first_batch)
{
	struct world w;
	struct peer_source *s;

	world_open(&w);
	s = w.p.sources;
	w.p.source_count = 0;
	add_one(&w, note(4, 1, EVENT_DELIVERED));
	collect(&w, 1000, "", false);
	w.p.sources = s;
	w.p.source_count = 1;
	collect(&w, 1000, "4d.02", true);
	world_close(&w);
}

/* ---- limits ----------------------------------------------------------------------------------------------
 */

Test(events, what_no_event_can_say_is_left_out)
{
	uint32_t last = BATCH_BITMAP_MAX * 8 - 1;
	const struct event_note notes[] = {note(0, 1, EVENT_DELIVERED), note(4, last + 1, EVENT_DELIVERED),
	    note(4, UINT32_MAX, EVENT_DELIVERED), note(4, 1, 0), note(4, 1, EVENT_REMOVED + 1)};
	struct batch_header h = {.sequence = 1};
	struct error err = ERROR_NONE;
	struct world w;
	bool fresh;

	world_open(&w);
	add(&w, notes, sizeof notes / sizeof notes[0]);
	collect(&w, 1000, "", false);
	add_one(&w, note(4, last, EVENT_DELIVERED));
	cr_assert_eq(events_collect(&w.p, &w.d, &w.d, &w.d, 1 << 20, &h, &fresh, &err), OUTCOME_DONE);
	cr_assert_eq(h.event_count, 1);
	cr_assert_eq(h.events[0].bitmap.length, BATCH_BITMAP_MAX);
	cr_assert_eq(h.events[0].bitmap.bytes[BATCH_BITMAP_MAX - 1], 0x80);
	batch_header_release(&h);
	world_close(&w);
}

Test(events, the_lowest_serials_that_fit)
{
	struct world w;

	world_open(&w);
	for (uint64_t n = 1; n <= 3; n++)
		add_one(&w, note(n, 0, EVENT_DELIVERED)); /* four octets each, 18 around all of them */
	collect(&w, 1000, "1d.01 2d.01 3d.01", true);
	cr_assert_eq(collect(&w, 30, "1d.01 2d.01 3d.01", true), 3);
	cr_assert_eq(collect(&w, 29, "1d.01 2d.01", true), 2);
	cr_assert_eq(collect(&w, 22, "1d.01", true), 1);
	collect(&w, 21, "", false);
	collect(&w, 0, "", false);
	/* Nothing beyond what was said is confirmed. */
	w.p.event_packed = 2;
	collect(&w, 29, "1d.01 2d.01", false);
	w.p.event_confirmed = 2;
	cr_assert_eq(collect(&w, 29, "3d.01", true), 3);
	world_close(&w);
}

Test(events, a_group_too_large_for_any_batch_does_not_block_others)
{
	struct world w;

	world_open(&w);
	add_one(&w, note(1, 800, EVENT_DELIVERED));
	add_one(&w, note(2, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 100, "2d.01", true), 2);
	world_close(&w);
}

/* MAXIMUM is kept as the batch header is really written. */
Test(events, the_size_is_that_of_the_header)
{
	struct world w;

	world_open(&w);
	for (uint64_t n = 1; n <= 40; n++) {
		add_one(&w, note(UINT64_C(1) << n, (uint32_t)(n * 37), EVENT_DELIVERED));
		add_one(&w, note(UINT64_C(1) << n, (uint32_t)n, EVENT_FAILED));
	}
	for (size_t maximum = 20; maximum < 6000; maximum += 61) {
		struct batch_header h = {.from = "village", .to = "city", .sequence = 1};
		struct error err = ERROR_NONE;
		struct buf bare;
		struct buf full;
		bool fresh;

		buf_init(&bare, BATCH_HEADER_MAX);
		buf_init(&full, BATCH_HEADER_MAX);
		cr_assert_eq(batch_header_write(&h, &bare, &err), OUTCOME_DONE);
		cr_assert_eq(events_collect(&w.p, &w.d, &w.d, &w.d, maximum, &h, &fresh, &err), OUTCOME_DONE);
		cr_assert_eq(batch_header_write(&h, &full, &err), OUTCOME_DONE);
		/* The length of the whole header may take one octet more. */
		cr_assert_leq(full.length, bare.length + maximum + 1, "maximum %zu", maximum);
		cr_assert(h.event_count == 80 || maximum < 4500, "%zu of 80 with %zu", h.event_count, maximum);
		batch_header_release(&h);
		buf_release(&bare);
		buf_release(&full);
	}
	world_close(&w);
}

/* ---- damage and crashes ----------------------------------------------------------------------------------
 */

static void city_open(struct world *w, struct dir *city)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(dir_open(city, &w->d, "city", &err), OUTCOME_DONE, "%s", err.text);
}

static struct buf file_bytes(const struct dir *d, const char *name)
{
	struct error err = ERROR_NONE;
	struct buf b;

	buf_init(&b, 1 << 20);
	cr_assert_eq(file_read(d, name, &b, &err), OUTCOME_DONE, "%s", err.text);
	return b;
}

Test(events, a_torn_tail_is_skipped_and_does_not_spoil_what_follows)
{
	for (size_t cut = 0; cut <= 64; cut++) {
		struct error err = ERROR_NONE;
		struct world w;
		struct dir city;
		int fd;

		world_open(&w);
		add_one(&w, note(1, 0, EVENT_DELIVERED));
		add_one(&w, note(2, 0, EVENT_DELIVERED));
		city_open(&w, &city);
		cr_assert_eq(file_append(&city, "events", &fd, &err), OUTCOME_DONE);
		cr_assert_eq(file_truncate(fd, cut, "events", &err), OUTCOME_DONE);
		add_one(&w, note(3, 0, EVENT_DELIVERED));
		collect(&w, 1000, cut == 64 ? "1d.01 2d.01 3d.01" : cut >= 32 ? "1d.01 3d.01" : "3d.01", true);
		file_close(&fd);
		dir_close(&city);
		world_close(&w);
	}
}

Test(events, damaged_notes_are_skipped)
{
	for (size_t at = 0; at < 64; at++) {
		struct error err = ERROR_NONE;
		struct world w;
		struct dir city;
		struct buf b;

		world_open(&w);
		add_one(&w, note(1, 0, EVENT_DELIVERED));
		add_one(&w, note(2, 0, EVENT_DELIVERED));
		city_open(&w, &city);
		b = file_bytes(&city, "events");
		cr_assert_eq(b.length, 64);
		b.bytes[at] ^= 0x10;
		cr_assert_eq(file_commit(&w.d, &city, "events", view_buf(&b), &err), OUTCOME_DONE);
		collect(&w, 1000, at < 32 ? "2d.01" : "1d.01", true);
		buf_release(&b);
		dir_close(&city);
		world_close(&w);
	}
}

Test(events, damaged_groups_are_told_once)
{
	struct batch_header h = {.sequence = 1};
	struct error err = ERROR_NONE;
	struct world w;
	struct dir city;
	struct buf b;
	bool fresh;

	world_open(&w);
	add_one(&w, note(1, 0, EVENT_DELIVERED));
	collect(&w, 1000, "1d.01", true);
	city_open(&w, &city);
	b = file_bytes(&city, "groups");
	b.bytes[9] ^= 1;
	cr_assert_eq(file_commit(&w.d, &city, "groups", view_buf(&b), &err), OUTCOME_DONE);
	add_one(&w, note(2, 0, EVENT_DELIVERED));
	cr_assert_neq(events_collect(&w.p, &w.d, &w.d, &w.d, 1000, &h, &fresh, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert_not_null(strstr(err.text, "groups.damaged"));
	cr_assert_eq(h.event_count, 0);
	cr_assert(file_exists(&city, "groups.damaged", NULL));
	cr_assert_eq(collect(&w, 1000, "2d.01", true), 2, "serials go on from the peer file");
	buf_release(&b);
	dir_close(&city);
	world_close(&w);
}

/* A crash between the groups and the removal of the notes, and then the groups were confirmed. */
Test(events, notes_that_were_folded_are_not_folded_again)
{
	struct error err = ERROR_NONE;
	struct world w;
	struct dir city;
	struct buf b;

	world_open(&w);
	add_one(&w, note(1, 0, EVENT_DELIVERED));
	city_open(&w, &city);
	b = file_bytes(&city, "events");
	cr_assert_eq(collect(&w, 1000, "1d.01", true), 1);
	cr_assert_eq(file_commit(&w.d, &city, "folding", view_buf(&b), &err), OUTCOME_DONE);
	w.p.event_confirmed = 1;
	add_one(&w, note(2, 0, EVENT_DELIVERED));
	cr_assert_eq(collect(&w, 1000, "2d.01", true), 2);
	cr_assert_not(file_exists(&city, "folding", NULL));
	buf_release(&b);
	dir_close(&city);
	world_close(&w);
}

/* A crash between the move and the groups; other notes came meanwhile. */
Test(events, what_was_moved_aside_is_folded_first)
{
	struct error err = ERROR_NONE;
	struct world w;
	struct dir city;

	world_open(&w);
	add_one(&w, note(1, 0, EVENT_DELIVERED));
	city_open(&w, &city);
	cr_assert_eq(file_rename(&city, "events", &city, "folding", &err), OUTCOME_DONE);
	add_one(&w, note(2, 0, EVENT_DELIVERED));
	add_one(&w, note(1, 0, EVENT_DELIVERED));
	collect(&w, 1000, "1d.01 2d.01", true);
	dir_close(&city);
	world_close(&w);
}

/* Steps for the sweep; they run in processes of their own. */
static int step_note_old(void *context)
{
	struct world *w = context;
	const struct event_note notes[] = {
	    note(1, 0, EVENT_DELIVERED), note(1, 3, EVENT_DELIVERED), note(2, 0, EVENT_FAILED)};

	return events_note(&w->d, &w->d, "city", notes, 3, NULL) != OUTCOME_DONE;
}

static int step_note_new(void *context)
{
	struct world *w = context;
	const struct event_note notes[] = {note(1, 5, EVENT_DELIVERED), note(3, 0, EVENT_REMOVED)};

	return events_note(&w->d, &w->d, "city", notes, 2, NULL) != OUTCOME_DONE;
}

static int step_collect(void *context)
{
	struct world *w = context;
	struct batch_header h = {.sequence = 1};
	bool fresh;
	int failed = events_collect(&w->p, &w->d, &w->d, &w->d, 1000, &h, &fresh, NULL) != OUTCOME_DONE;

	batch_header_release(&h);
	return failed;
}

static int step_work(void *context)
{
	return step_note_new(context) != 0 || step_collect(context) != 0 || step_note_new(context) != 0 ||
	       step_collect(context) != 0;
}

static int step_verify(void *context)
{
	struct world *w = context;
	struct batch_header h = {.sequence = 1};
	bool fresh;
	int bad = events_collect(&w->p, &w->d, &w->d, &w->d, 1000, &h, &fresh, NULL) != OUTCOME_DONE;
	char *text = header_text(&h);

	/* In an order by where it was cut, but each once. */
	bad |= h.event_count != 3 || strstr(text, "1d.29") == NULL || strstr(text, "2f511.01") == NULL ||
	       strstr(text, "3r.01") == NULL;
	if (bad)
		fprintf(stderr, "collected %s\n", text);
	batch_header_release(&h);
	free(text);
	return bad;
}

static void sweep(const char *kind)
{
	unsigned n = 0;
	enum fault_end end;

	do {
		struct world w;

		n++;
		world_open(&w);
		cr_assert_eq(fault_run(NULL, 0, step_note_old, &w), FAULT_RAN);
		end = fault_run(kind, n, step_work, &w);
		/* Whoever was not told that its note is kept notes it again. */
		if (end != FAULT_RAN)
			cr_assert_eq(fault_run(NULL, 0, step_note_new, &w), FAULT_RAN);
		cr_assert_eq(fault_run(NULL, 0, step_verify, &w), FAULT_RAN, "%s at change %u", kind, n);
		cr_assert_eq(fault_run(NULL, 0, step_verify, &w), FAULT_RAN, "%s at change %u, again", kind, n);
		world_close(&w);
	} while (end != FAULT_RAN);
	cr_assert_gt(n, 15, "only %u changes were visited", n);
}

Test(events, no_note_is_lost_when_killed_anywhere)
{
	sweep("kill");
}

Test(events, no_note_is_lost_when_the_disk_is_full)
{
	sweep("fail");
}

/* Writers and a folder at once: every note is there in the end, and none is in two groups. */
Test(events, writers_and_folding_at_once)
{
	enum { WRITERS = 4, NOTES = 40 };
	struct batch_header h = {.sequence = 1};
	struct error err = ERROR_NONE;
	struct world w;
	bool fresh;

	world_open(&w);
	for (uint32_t writer = 0; writer < WRITERS; writer++) {
		if (fork() != 0)
			continue;
		for (uint32_t i = 0; i < NOTES; i++) {
			struct event_note n = note(1 + i % 3, writer * NOTES + i, EVENT_DELIVERED);

			if (events_note(&w.d, &w.d, "city", &n, 1, NULL) != OUTCOME_DONE)
				_exit(1);
		}
		_exit(0);
	}
	for (unsigned left = WRITERS; left > 0;) {
		int status;

		cr_assert_eq(
		    events_collect(&w.p, &w.d, &w.d, &w.d, 0, &h, &fresh, &err), OUTCOME_DONE, "%s", err.text);
		while (left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
			cr_assert_eq(status, 0);
			left--;
		}
	}
	cr_assert_eq(events_collect(&w.p, &w.d, &w.d, &w.d, 60000, &h, &fresh, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(h.event_count, 3);
	for (uint32_t bit = 0; bit < WRITERS * NOTES; bit++) {
		unsigned times = 0;

		for (size_t i = 0; i < h.event_count; i++)
			times += bit / 8 < h.events[i].bitmap.length &&
				 (h.events[i].bitmap.bytes[bit / 8] >> bit % 8 & 1) != 0 &&
				 h.events[i].sequence == 1 + bit % NOTES % 3;
		cr_assert_eq(times, 1, "bit %u", bit);
	}
	batch_header_release(&h);
	world_close(&w);
}

/* ---- the groups file -------------------------------------------------------------------------------------
 */

Test(events, groups_parse_refuses_what_is_out_of_order)
{
	for (int flaw = 0; flaw <= 6; flaw++) {
		uint8_t bits[] = {0, 0x10};
		struct event_group items[2] = {
		    {1, THEIRS, {4, EVENT_DELIVERED, {0}, {bits, 2, 0, 9, false}}},
		    {3, THEIRS, {5, EVENT_FAILED, {5, 0, 255}, {bits, 2, 0, 9, false}}},
		};
		struct event_groups g = {.serial = 3, .items = items, .count = 2};
		struct event_groups back;
		struct buf one;
		struct buf two;

		switch (flaw) {
		case 1:
			items[1].serial = 1;
			break;
		case 2:
			g.serial = 2;
			break;
		case 3:
			items[0].event.kind = 0;
			break;
		case 4:
			items[0].event.kind = EVENT_REMOVED + 1;
			break;
		case 5:
			items[1].event.sequence = 0;
			break;
		case 6:
			items[1].event.bitmap.length = 1;
			break;
		}
		buf_init(&one, 1000);
		buf_init(&two, 1000);
		event_groups_print(&g, &one);
		cr_assert_eq(event_groups_parse(view_buf(&one), &back), flaw == 0, "flaw %d", flaw);
		if (flaw == 0) {
			event_groups_print(&back, &two);
			cr_assert(view_equal(view_buf(&one), view_buf(&two)));
			event_groups_release(&back);
		}
		buf_release(&one);
		buf_release(&two);
	}
}
