#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/arrival_log.h"
#include "queue/arrivals.h"
#include "queue/hop.h"

#define PART_SUFFIX ".part"
#define TAKE_SUFFIX ".take"
/* In NAME.part and NAME.take beside the messages (whose names have dots): why the log is to go to corrupt/. */
#define DAMAGE_NOTE "damaged"

/* A log and the directories that it becomes. */
struct drain {
	struct queue *queue;
	char *log;
	char *part;
	char *take;
	uint64_t moved;
};

static void drain_init(struct drain *d, struct queue *q, const char *name, const char *suffix)
{
	char *stem = mem_copy(name, strlen(name) - strlen(suffix));

	*d = (struct drain){.queue = q};
	d->log = mem_format("%s" ARRIVAL_SUFFIX, stem);
	d->part = mem_format("%s" PART_SUFFIX, stem);
	d->take = mem_format("%s" TAKE_SUFFIX, stem);
	free(stem);
}

static void drain_release(struct drain *d)
{
	free(d->log);
	free(d->part);
	free(d->take);
}

/* ---- the second half: from NAME.take to queue/new --------------------------------------------------------- */

/*
 * Does the queue have something under that id already? An id is given once, so it can only be that somebody brought back
 * an old log or directory by hand; and what stands must not be touched.
 */
static bool stands_already(const struct queue *q, const char *id)
{
	char name[LIMIT_ID + 4];

	snprintf(name, sizeof name, "%s~", id);
	if (file_exists(&q->new, id, NULL) || file_exists(&q->new, name, NULL))
		return true;
	snprintf(name, sizeof name, "%s+0", id);
	return file_exists(&q->msg, name, NULL);
}

static enum outcome move_one(struct drain *d, const struct dir *take, const char *id, struct error *err)
{
	enum outcome outcome;

	if (stands_already(d->queue, id))
		return queue_set_aside(d->queue, take, id, "the queue already has a message of this id", err);
	outcome = file_rename(take, id, &d->queue->new, id, err);
	d->moved += outcome == OUTCOME_DONE;
	return outcome;
}

/* The log has given what it had: away with it, or to corrupt/ when TAKE holds a note that it is damaged. */
static enum outcome dismiss_log(struct drain *d, const struct dir *take, struct error *err)
{
	const struct dir *arrivals = &d->queue->arrivals;
	struct buf why;
	enum outcome outcome;

	if (!file_exists(arrivals, d->log, NULL))
		return file_remove(take, DAMAGE_NOTE, err);
	/* NAME.take must outlive the log, whose messages it has. */
	outcome = dir_sync(arrivals, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (file_exists(take, DAMAGE_NOTE, NULL)) {
		buf_init(&why, sizeof err->text);
		outcome = file_read(take, DAMAGE_NOTE, &why, err);
		if (outcome == OUTCOME_DONE)
			outcome = queue_set_aside(d->queue, arrivals, d->log, buf_string(&why), err);
		buf_release(&why);
	} else {
		outcome = file_remove(arrivals, d->log, err);
	}
	/* Before the first message moves: once NAME.take is gone a log that came back would be drained again. */
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(arrivals, err);
	return outcome == OUTCOME_DONE ? file_remove(take, DAMAGE_NOTE, err) : outcome;
}

/* Also after a crash. */
static enum outcome finish_take(struct drain *d, struct error *err)
{
	struct names names = {0};
	struct dir take;
	enum outcome outcome = dir_open(&take, &d->queue->arrivals, d->take, err);

	if (outcome == OUTCOME_DONE)
		outcome = dismiss_log(d, &take, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&take, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		outcome = move_one(d, &take, names.items[i], err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&d->queue->new, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&take, err);
	names_release(&names);
	dir_close(&take);
	return outcome == OUTCOME_DONE ? dir_remove(&d->queue->arrivals, d->take, err) : outcome;
}

/* ---- the first half: from the log to NAME.take ------------------------------------------------------------ */

/* Writes one message out. What bears an id that the log had before is damage like any other. */
static enum outcome write_out(
    const struct dir *part, struct view image, const struct envelope *e, struct sync_set *sync, struct error *err)
{
	char id[LIMIT_ID];
	int fd;
	enum outcome outcome;

	id_print(&e->id, id);
	outcome = file_create_within(part, id, image, &fd, err);
	if (outcome == OUTCOME_DONE)
		sync_add(sync, fd);
	else if (err->code == EX_CANTCREAT) /* there is one */
		outcome = error_set(err, EX_DATAERR, "the arrival log has two messages of the id %s", id);
	return outcome;
}

/* All messages of the log; *WHY is the first damage that was met. */
static enum outcome write_all(struct drain *d, int fd, const struct dir *part, uint64_t *count, struct error *why,
    struct sync_set *sync, struct error *err)
{
	struct arrival_reader reader;
	enum outcome outcome = arrival_reader_open(&reader, fd, d->log, err);
	bool more = outcome == OUTCOME_DONE;

	while (more) {
		struct envelope e;
		struct view image;

		outcome = arrival_next(&reader, &image, &e, err);
		more = image.length > 0;
		if (outcome == OUTCOME_DONE && more)
			outcome = write_out(part, image, &e, sync, err);
		*count += outcome == OUTCOME_DONE && more;
		if (outcome != OUTCOME_DONE && err->code == EX_DATAERR) {
			if (why->outcome == OUTCOME_DONE)
				*why = *err;
			outcome = OUTCOME_DONE;
			more = true;
		}
		more &= outcome == OUTCOME_DONE;
		envelope_release(&e);
	}
	arrival_reader_close(&reader);
	return outcome;
}

/* Up to the name NAME.take, in the directory PART, which is new. */
static enum outcome take_log(struct drain *d, int fd, const struct dir *part, uint64_t *count, struct error *err)
{
	const struct dir *arrivals = &d->queue->arrivals;
	struct error why = ERROR_NONE;
	struct sync_set sync;
	enum outcome outcome;
	int note = -1;

	sync_init(&sync, part);
	outcome = write_all(d, fd, part, count, &why, &sync, err);
	if (outcome == OUTCOME_DONE && why.outcome != OUTCOME_DONE) {
		outcome = file_create_within(part, DAMAGE_NOTE, view_text(why.text), &note, err);
		*count += 1;
		if (outcome == OUTCOME_DONE)
			sync_add(&sync, note);
	}
	if (outcome == OUTCOME_DONE && *count > 0) {
		sync_add_dir(&sync, part);
		outcome = sync_wait(&sync, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_rename(arrivals, d->part, arrivals, d->take, err);
	}
	sync_drop(&sync);
	return outcome;
}

static enum outcome drain_log(struct drain *d, struct error *err)
{
	const struct dir *arrivals = &d->queue->arrivals;
	struct dir part = DIR_CLOSED;
	uint64_t count = 0; /* files in the part directory */
	struct stat st;
	int fd;
	enum outcome outcome = OUTCOME_DONE;

	if (!file_claim(arrivals, d->log, &fd))
		return OUTCOME_DONE;
	if (fstat(fd, &st) == 0)
		outcome = queue_room(d->queue, (uint64_t)st.st_size, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&part, arrivals, d->part, 0700, err);
	if (outcome == OUTCOME_DONE)
		outcome = take_log(d, fd, &part, &count, err);
	dir_close(&part);
	if (outcome == OUTCOME_DONE && count > 0)
		outcome = finish_take(d, err);
	else if (outcome == OUTCOME_DONE)
		outcome = file_remove(arrivals, d->log, err); /* its writer never got so far */
	/* What could not be written whole takes no room until the next try. */
	if (outcome != OUTCOME_DONE || count == 0)
		dir_wipe(arrivals, d->part, NULL);
	file_close(&fd);
	return outcome;
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

/* With the lock held: the names that end with SUFFIX, one after the other. What fails keeps no other back. */
static void drain_each(struct queue *q, const struct names *names, const char *suffix,
    enum outcome (*act)(struct drain *d, struct error *err), uint64_t *count, struct error *first)
{
	for (size_t i = 0; i < names->count; i++) {
		struct error err = ERROR_NONE;
		struct drain d;

		if (!text_ends(names->items[i], suffix))
			continue;
		drain_init(&d, q, names->items[i], suffix);
		if (act(&d, &err) != OUTCOME_DONE && first->outcome == OUTCOME_DONE)
			*first = err;
		*count += d.moved;
		drain_release(&d);
	}
}

static enum outcome wipe_part(struct drain *d, struct error *err)
{
	return dir_wipe(&d->queue->arrivals, d->part, err);
}

/* A log whose NAME.take stands is drained: it is for finish_take. */
static enum outcome drain_whole_log(struct drain *d, struct error *err)
{
	struct stat st;

	if (fstatat(d->queue->arrivals.fd, d->take, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return OUTCOME_DONE;
	return drain_log(d, err);
}

enum outcome arrivals_drain(struct queue *q, uint64_t *count, struct error *err)
{
	struct error own = ERROR_NONE;
	struct error first = ERROR_NONE;
	struct names names;
	struct lock lock;
	uint64_t moved = 0;
	bool held;
	enum outcome outcome;

	if (count == NULL)
		count = &moved;
	*count = 0;
	if (dir_empty(&q->arrivals))
		return OUTCOME_DONE;
	outcome = lock_try(&lock, &q->lock, "arrivals", &held, &own);
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&q->arrivals, &names, &own);
	else if (held)
		return OUTCOME_DONE;
	if (outcome == OUTCOME_DONE) {
		drain_each(q, &names, PART_SUFFIX, wipe_part, count, &first);
		drain_each(q, &names, TAKE_SUFFIX, finish_take, count, &first);
		drain_each(q, &names, ARRIVAL_SUFFIX, drain_whole_log, count, &first);
		names_release(&names);
	} else {
		first = own;
	}
	lock_release(&lock);
	if (first.outcome != OUTCOME_DONE && err != NULL)
		*err = first;
	return first.outcome;
}
