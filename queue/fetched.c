#include "queue/fetched.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/fetched_file.h"
#include "queue/hop.h"

#define FETCHED_DIR "fetch"
#define HELD_SUFFIX ".held"
/* Lines that say nothing any more are worth a new file when there are so many of them, and more than of the others. */
#define WASTE_LINES 256
/* Message numbers reserved with one wait for the disk. */
#define FETCHED_NUMBERS 64
/* Octets of a state to which items are added. It is to be read again, and what fails then is to be noted. */
#define ITEMS_MAX (LIMIT_SMALL_FILE - 65536)

/* ---- items ----------------------------------------------------------------------------------------------- */

static struct fetched_item *item_add(struct fetched *f, const struct fetched_item *item)
{
	f->items = mem_grow(f->items, f->count, &f->capacity, sizeof f->items[0]);
	f->items[f->count] = *item;
	return &f->items[f->count++];
}

static int compare_uids(const void *a, const void *b)
{
	const struct fetched_item *x = *(struct fetched_item *const *)a;
	const struct fetched_item *y = *(struct fetched_item *const *)b;
	int order = strcmp(x->uid, y->uid);

	/* Lines are in order of time: the newest of several comes last. */
	return order != 0 ? order : (x > y) - (x < y);
}

void fetched_index(struct fetched *f)
{
	free(f->by_uid);
	f->by_uid = mem_array(f->count, sizeof f->by_uid[0]);
	f->by_uid_count = 0;
	for (size_t i = 0; i < f->count; i++)
		if (f->items[i].uid != NULL && !f->items[i].gone)
			f->by_uid[f->by_uid_count++] = &f->items[i];
	if (f->by_uid_count > 0)
		qsort(f->by_uid, f->by_uid_count, sizeof f->by_uid[0], compare_uids);
}

struct fetched_item *fetched_find(const struct fetched *f, const char *uid)
{
	size_t low = 0;
	size_t high = f->by_uid_count;

	/* Behind the last that is not above it. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(f->by_uid[middle]->uid, uid) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && strcmp(f->by_uid[low - 1]->uid, uid) == 0 ? f->by_uid[low - 1] : NULL;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static void failure_set(struct fetched *f, const struct fetched_failure *failure)
{
	free(f->failure);
	f->failures = failure->times;
	f->failing_since = failure->since;
	f->failure = failure->reason;
}

static void on_line(void *context, enum fetched_line kind, struct fetched_item *item, struct fetched_failure *failure)
{
	struct fetched *f = context;

	f->lines++;
	if (kind == FETCHED_LINE_FAILURE) {
		failure_set(f, failure);
		return;
	}
	/* The age clock began anew: as if it had been taken now, so that nothing is deleted too early. */
	if (item->age > f->age)
		item->age = f->age;
	item_add(f, item);
}

/* A copy of the damaged file, and why. */
static enum outcome damage_keep(struct fetched *f, struct view file, size_t damaged, struct error *err)
{
	struct queue *q = f->queue;
	char *name = mem_format("fetch-%s", f->name);
	char *note = mem_format("%s.why", name);
	char *why = mem_format(
	    "%zu line%s of the state of the box cannot be read: mail that they told of may be fetched again", damaged,
	    damaged == 1 ? "" : "s");
	char *text = mem_format("%s/%s: %s\n", f->dir.path, f->name, why);
	enum outcome outcome = file_commit(&q->tmp, &q->corrupt, note, view_text(text), err);

	if (outcome == OUTCOME_DONE)
		outcome = file_commit(&q->tmp, &q->corrupt, name, file, err);
	if (outcome == OUTCOME_DONE)
		log_event(&q->log, name, "corrupt", "reason", why);
	free(text);
	free(why);
	free(note);
	free(name);
	return outcome;
}

static enum outcome state_print(const struct fetched *f, struct buf *out, size_t *lines, struct error *err)
{
	buf_text(out, FETCHED_HEAD);
	*lines = 0;
	for (size_t i = 0; i < f->committed; i++)
		if (!f->items[i].gone) {
			fetched_print_item(&f->items[i], out);
			++*lines;
		}
	if (f->failures > 0) {
		fetched_print_failure(&(struct fetched_failure){f->failures, f->failing_since, f->failure}, out);
		++*lines;
	}
	return out->failed ? error_set(err, EX_DATAERR, "the state of box %s is too large", f->name) : OUTCOME_DONE;
}

static enum outcome state_rewrite(struct fetched *f, struct error *err)
{
	struct buf text;
	size_t lines;
	enum outcome outcome;

	buf_init(&text, LIMIT_SMALL_FILE);
	file_close(&f->fd);
	outcome = state_print(f, &text, &lines, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_commit(&f->queue->tmp, &f->dir, f->name, view_buf(&text), err);
	if (outcome == OUTCOME_DONE) {
		f->size = text.length;
		f->lines = lines;
		f->fresh = f->torn = false;
	} else {
		f->broken = true;
	}
	buf_release(&text);
	return outcome;
}

static enum outcome state_read(struct fetched *f, struct error *err)
{
	struct error why = ERROR_NONE;
	struct buf file;
	size_t good;
	size_t damaged;
	enum outcome outcome;

	buf_init(&file, LIMIT_SMALL_FILE);
	outcome = file_read(&f->dir, f->name, &file, &why);
	if (outcome != OUTCOME_DONE) {
		buf_release(&file);
		if (why.code == EX_NOINPUT)
			return OUTCOME_DONE;
		*err = why;
		return outcome;
	}
	fetched_walk(view_buf(&file), on_line, f, &good, &damaged);
	f->committed = f->count;
	f->size = good;
	if (damaged > 0) {
		outcome = damage_keep(f, view_buf(&file), damaged, err);
		if (outcome == OUTCOME_DONE)
			outcome = state_rewrite(f, err);
	} else {
		/* What a crash left of an append would spoil the next one. */
		f->torn = good < file.length;
	}
	buf_release(&file);
	return outcome;
}

/* ---- what a crash left ----------------------------------------------------------------------------------- */

static const struct fetched_item *item_by_name(const struct fetched *f, const char *name)
{
	struct id id;

	if (!id_parse(view_text(name), &id))
		return NULL;
	for (size_t i = f->committed; i > 0; i--)
		if (id_equal(&f->items[i - 1].id, &id))
			return &f->items[i - 1];
	return NULL;
}

static void log_item(const struct fetched *f, const struct envelope *e, const struct fetched_item *item)
{
	queue_log_fetched(f->queue, e, f->name, item->uid);
}

/* A held message whose line stands: its move to the queue was not made. */
static enum outcome held_move(struct fetched *f, const char *name, const struct fetched_item *item, struct error *err)
{
	struct message m;
	struct error why = ERROR_NONE;
	enum outcome outcome;

	if (message_open(&m, &f->held, name, MESSAGE_VERIFY, &why) != OUTCOME_DONE) {
		if (why.code == EX_DATAERR)
			return queue_set_aside(f->queue, &f->held, name, why.text, err);
		*err = why;
		return why.outcome;
	}
	outcome = file_rename(&f->held, name, &f->queue->new, name, err);
	if (outcome == OUTCOME_DONE)
		log_item(f, &m.envelope, item);
	message_close(&m);
	return outcome;
}

static enum outcome held_recover(struct fetched *f, struct error *err)
{
	struct names names = {0};
	bool moved = false;
	enum outcome outcome = dir_names(&f->held, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		const struct fetched_item *item = item_by_name(f, names.items[i]);

		if (item == NULL) {
			outcome = file_remove(&f->held, names.items[i], err);
			continue;
		}
		outcome = held_move(f, names.items[i], item, err);
		moved = true;
	}
	names_release(&names);
	if (outcome == OUTCOME_DONE && moved)
		outcome = dir_sync(&f->queue->new, err);
	return outcome == OUTCOME_DONE && moved ? dir_sync(&f->held, err) : outcome;
}

static enum outcome held_open(struct fetched *f, struct error *err)
{
	char *name = mem_format("%s" HELD_SUFFIX, f->name);
	enum outcome outcome = dir_open(&f->held, &f->dir, name, err);

	free(name);
	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT) {
		*err = ERROR_NONE;
		return OUTCOME_DONE;
	}
	return outcome == OUTCOME_DONE ? held_recover(f, err) : outcome;
}

enum outcome fetched_open(
    struct fetched *f, struct queue *q, const char *name, uint64_t age, bool *busy, struct error *err)
{
	char *lock = mem_format("fetch-%s", name);
	enum outcome outcome;

	*f = (struct fetched){.queue = q,
	    .name = name,
	    .age = age,
	    .lock = LOCK_NONE,
	    .dir = DIR_CLOSED,
	    .held = DIR_CLOSED,
	    .fd = -1,
	    .fresh = true};
	sync_init(&f->sync, &q->spool);
	outcome = lock_try(&f->lock, &q->lock, lock, busy, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&f->dir, &q->state, FETCHED_DIR, 0700, err);
	if (outcome == OUTCOME_DONE)
		outcome = state_read(f, err);
	if (outcome == OUTCOME_DONE)
		outcome = held_open(f, err);
	free(lock);
	return outcome;
}

static void envelopes_drop(struct fetched *f)
{
	for (size_t i = f->committed; i < f->count; i++)
		envelope_release(&f->envelopes[i - f->committed]);
}

static void held_throw_away(struct fetched *f)
{
	for (size_t i = f->committed; i < f->count && f->held.fd >= 0 && !f->broken; i++) {
		char name[LIMIT_ID];

		id_print(&f->items[i].id, name);
		file_remove(&f->held, name, NULL);
	}
}

void fetched_close(struct fetched *f)
{
	held_throw_away(f);
	envelopes_drop(f);
	sync_drop(&f->sync);
	file_close(&f->fd);
	dir_close(&f->held);
	dir_close(&f->dir);
	lock_release(&f->lock);
	for (size_t i = 0; i < f->count; i++)
		free(f->items[i].uid);
	free(f->items);
	free(f->envelopes);
	free(f->by_uid);
	free(f->failure);
	f->items = NULL;
	f->envelopes = NULL;
	f->by_uid = NULL;
	f->failure = NULL;
	f->count = f->committed = f->by_uid_count = 0;
}

/* ---- appending ------------------------------------------------------------------------------------------- */

static enum outcome state_open(struct fetched *f, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (f->fd < 0)
		outcome = file_append(&f->dir, f->name, &f->fd, err);
	if (outcome == OUTCOME_DONE && f->torn)
		outcome = file_truncate(f->fd, f->size, f->name, err);
	if (outcome == OUTCOME_DONE)
		f->torn = false;
	if (outcome == OUTCOME_DONE && f->size == 0) {
		outcome = file_write(f->fd, FETCHED_HEAD, strlen(FETCHED_HEAD), f->name, err);
		f->torn = outcome != OUTCOME_DONE;
		f->size = f->torn ? 0 : strlen(FETCHED_HEAD);
	}
	return outcome;
}

static enum outcome state_append(struct fetched *f, struct view lines, struct error *err)
{
	enum outcome outcome = state_open(f, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = file_write(f->fd, lines.bytes, lines.length, f->name, err);
	if (outcome == OUTCOME_DONE)
		f->size += lines.length;
	else
		f->torn = true;
	return outcome;
}

static enum outcome held_need(struct fetched *f, struct error *err)
{
	char *name;
	enum outcome outcome;

	if (f->held.fd >= 0)
		return OUTCOME_DONE;
	name = mem_format("%s" HELD_SUFFIX, f->name);
	outcome = dir_make(&f->held, &f->dir, name, 0700, err);
	free(name);
	return outcome;
}

size_t fetched_waiting(const struct fetched *f)
{
	return f->count - f->committed;
}

enum outcome fetched_lay(
    struct fetched *f, struct handover *h, struct envelope *e, const struct fetched_item *item, struct error *err)
{
	struct fetched_item *own;
	enum outcome outcome = held_need(f, err);

	if (outcome == OUTCOME_DONE && f->broken)
		outcome = error_set(err, EX_TEMPFAIL, "the state of box %s could not be written", f->name);
	if (outcome == OUTCOME_DONE && f->size + (fetched_waiting(f) + 1) * FETCHED_LINE > ITEMS_MAX)
		outcome = error_set(err, EX_TEMPFAIL,
		    "%zu messages that were left there are all that can be known of a box: nothing more is fetched "
		    "before "
		    "they are fewer",
		    f->count);
	if (outcome == OUTCOME_DONE && e->id.sequence == 0)
		outcome = queue_next_id(f->queue, FETCHED_NUMBERS, &e->id, err);
	/* What is wrong with this message is no reason to take no other. */
	if (outcome == OUTCOME_DONE)
		outcome = handover_finish(h, e, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = handover_lay(h, e, &f->held, &f->sync, err);
	if (outcome != OUTCOME_DONE) {
		f->broken = true;
		return outcome;
	}
	own = item_add(f, item);
	own->uid = mem_string(item->uid);
	own->id = e->id;
	own->age = f->age;
	own->gone = own->deleted = false;
	f->envelopes = mem_grow(f->envelopes, fetched_waiting(f) - 1, &f->envelope_capacity, sizeof f->envelopes[0]);
	f->envelopes[fetched_waiting(f) - 1] = *e;
	envelope_init(e);
	return OUTCOME_DONE;
}

static enum outcome lines_commit(struct fetched *f, struct error *err)
{
	struct buf lines;
	enum outcome outcome;

	buf_init(&lines, fetched_waiting(f) * FETCHED_LINE);
	for (size_t i = f->committed; i < f->count; i++)
		fetched_print_item(&f->items[i], &lines);
	outcome = state_append(f, view_buf(&lines), err);
	buf_release(&lines);
	if (outcome == OUTCOME_DONE)
		outcome = file_sync(f->fd, f->name, err);
	if (outcome == OUTCOME_DONE && f->fresh)
		outcome = dir_sync(&f->dir, err);
	if (outcome == OUTCOME_DONE)
		f->fresh = false;
	return outcome;
}

static enum outcome held_commit(struct fetched *f, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = f->committed; i < f->count && outcome == OUTCOME_DONE; i++) {
		char name[LIMIT_ID];

		id_print(&f->items[i].id, name);
		outcome = file_rename(&f->held, name, &f->queue->new, name, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&f->queue->new, err);
	return outcome == OUTCOME_DONE ? dir_sync(&f->held, err) : outcome;
}

enum outcome fetched_commit(struct fetched *f, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (fetched_waiting(f) == 0)
		return OUTCOME_DONE;
	if (f->broken)
		return error_set(err, EX_TEMPFAIL, "the state of box %s could not be written", f->name);
	sync_add_dir(&f->sync, &f->held);
	outcome = sync_wait(&f->sync, err);
	if (outcome == OUTCOME_DONE)
		outcome = lines_commit(f, err);
	if (outcome == OUTCOME_DONE)
		outcome = held_commit(f, err);
	if (outcome != OUTCOME_DONE) {
		f->broken = true;
		return outcome;
	}
	for (size_t i = f->committed; i < f->count; i++)
		log_item(f, &f->envelopes[i - f->committed], &f->items[i]);
	envelopes_drop(f);
	f->lines += fetched_waiting(f);
	f->committed = f->count;
	return OUTCOME_DONE;
}

enum outcome fetched_keep(struct fetched *f, struct error *err)
{
	size_t gone = 0;

	for (size_t i = 0; i < f->committed; i++)
		gone += f->items[i].gone;
	if (f->broken || (gone == 0 && !f->changed && f->lines < 2 * f->committed + WASTE_LINES))
		return OUTCOME_DONE;
	return state_rewrite(f, err);
}

/* ---- how it went ----------------------------------------------------------------------------------------- */

static void failure_note(struct fetched *f)
{
	struct fetched_failure failure = {f->failures, f->failing_since, f->failure};
	struct buf line;

	buf_init(&line, FETCHED_LINE);
	fetched_print_failure(&failure, &line);
	if (!f->broken && state_append(f, view_buf(&line), NULL) == OUTCOME_DONE)
		f->lines++;
	buf_release(&line);
}

void fetched_failed(struct fetched *f, const char *reason)
{
	if (f->failures++ == 0)
		f->failing_since = clock_now();
	free(f->failure);
	f->failure = mem_string(reason);
	failure_note(f);
}

void fetched_well(struct fetched *f)
{
	if (f->failures == 0)
		return;
	failure_set(f, &(struct fetched_failure){0});
	failure_note(f);
}

/* ---- looking --------------------------------------------------------------------------------------------- */

static void on_line_seen(
    void *context, enum fetched_line kind, struct fetched_item *item, struct fetched_failure *failure)
{
	struct fetched_summary *s = context;

	if (kind == FETCHED_LINE_FAILURE) {
		free(s->failure);
		s->failures = failure->times;
		s->failing_since = failure->since;
		s->failure = failure->reason;
	} else if (item->kind == FETCHED_NOTICE) {
		s->notices++;
	} else {
		s->mail += !item->deleted;
	}
	free(item->uid);
}

static size_t held_count(const struct dir *d, const char *name)
{
	char *path = mem_format("%s" HELD_SUFFIX, name);
	struct names names = {0};
	struct dir held;
	size_t count = 0;

	if (dir_open(&held, d, path, NULL) == OUTCOME_DONE && dir_names(&held, &names, NULL) == OUTCOME_DONE)
		count = names.count;
	names_release(&names);
	dir_close(&held);
	free(path);
	return count;
}

enum outcome fetched_look(
    const struct dir *state, const char *name, struct fetched_summary *summary, struct error *err)
{
	struct dir d;
	struct buf file;
	size_t good;
	enum outcome outcome = dir_open(&d, state, FETCHED_DIR, err);

	*summary = (struct fetched_summary){0};
	buf_init(&file, LIMIT_SMALL_FILE);
	if (outcome == OUTCOME_DONE)
		outcome = file_read(&d, name, &file, err);
	if (outcome == OUTCOME_DONE) {
		fetched_walk(view_buf(&file), on_line_seen, summary, &good, &summary->damaged);
		summary->held = held_count(&d, name);
	}
	buf_release(&file);
	dir_close(&d);
	return outcome;
}

void fetched_summary_release(struct fetched_summary *summary)
{
	free(summary->failure);
	summary->failure = NULL;
}

enum outcome fetched_names(const struct dir *state, struct names *names, struct error *err)
{
	struct dir d;
	struct names all = {0};
	struct error why = ERROR_NONE;
	enum outcome outcome = dir_open(&d, state, FETCHED_DIR, &why);

	*names = (struct names){0};
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &all, &why);
	for (size_t i = 0; i < all.count; i++)
		if (!text_ends(all.items[i], HELD_SUFFIX) && host_name_valid(all.items[i]))
			names_add(names, all.items[i]);
	names_release(&all);
	dir_close(&d);
	if (outcome != OUTCOME_DONE && why.code != EX_NOINPUT) {
		if (err != NULL)
			*err = why;
		return outcome;
	}
	return OUTCOME_DONE;
}
