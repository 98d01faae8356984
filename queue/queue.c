#include "queue/queue.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/daemon.h"
#include "lib/text.h"
#include "queue/hop.h"
#include "queue/maildir.h"

#define INCARNATION_FILE "incarnation"
#define SEQUENCE_FILE	 "sequence"
#define LOG_FILE	 "log"

static const char *const spool_directories[] = {
    "tmp", "stage", "arrivals", "msg", "queue", "queue/new", "out", "in", "corrupt", "state", "lock", "mail"};

/* ---- the incarnation ------------------------------------------------------------------------------------- */

/* A copied or restored spool lies in other inodes than it was made in; that is how it is told from the original. */
static uint64_t state_inode(const struct dir *state)
{
	struct stat st;

	return fstat(state->fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static enum outcome sequence_write(
    const struct dir *tmp, const struct dir *state, uint32_t incarnation, uint64_t next, struct error *err)
{
	struct buf text;
	enum outcome outcome;

	buf_init(&text, 64);
	buf_text(&text, "pbseq1");
	wire_u32(&text, incarnation);
	wire_u64(&text, next);
	outcome = file_commit(tmp, state, SEQUENCE_FILE, view_buf(&text), err);
	buf_release(&text);
	return outcome;
}

/* A new incarnation, whose sequence begins at 1. After a crash in between the two files disagree, which is noticed. */
static enum outcome incarnation_write(
    const struct dir *tmp, const struct dir *state, uint32_t incarnation, struct error *err)
{
	struct buf text;
	enum outcome outcome;

	buf_init(&text, 64);
	buf_text(&text, "pbinc1");
	wire_u32(&text, incarnation);
	wire_u64(&text, state_inode(state));
	outcome = file_commit(tmp, state, INCARNATION_FILE, view_buf(&text), err);
	buf_release(&text);
	return outcome == OUTCOME_DONE ? sequence_write(tmp, state, incarnation, 1, err) : outcome;
}

static enum outcome incarnation_read(
    const struct dir *state, uint32_t *incarnation, uint64_t *inode, struct error *err)
{
	struct buf text;
	struct reader r;
	enum outcome outcome;

	buf_init(&text, 64);
	outcome = file_read(state, INCARNATION_FILE, &text, err);
	if (outcome == OUTCOME_DONE) {
		reader_init(&r, view_buf(&text));
		bool magic = view_is(read_bytes(&r, 6), "pbinc1");

		*incarnation = read_u32(&r);
		*inode = read_u64(&r);
		if (!magic || r.failed || r.rest.length > 0)
			outcome = error_set(err, EX_DATAERR, "%s/" INCARNATION_FILE " is damaged", state->path);
	}
	buf_release(&text);
	return outcome;
}

/* With the lock "sequence" held. */
static enum outcome renew_locked(struct queue *q, const char *why, struct error *err)
{
	uint32_t incarnation = randombytes_random();
	enum outcome outcome = incarnation_write(&q->tmp, &q->state, incarnation, err);
	char text[INCARNATION_TEXT];

	if (outcome != OUTCOME_DONE)
		return outcome;
	q->incarnation = incarnation;
	q->reserved = q->reserved_end = 0;
	incarnation_print(incarnation, text);
	struct log_line line;

	log_begin(&line, &q->log, q->host, "renewed");
	log_text(&line, "incarnation", text);
	log_text(&line, "reason", why);
	log_end(&line);
	return OUTCOME_DONE;
}

enum outcome queue_renew(struct queue *q, const char *why, struct error *err)
{
	struct lock lock;
	enum outcome outcome = lock_take(&lock, &q->lock, SEQUENCE_FILE, err);

	if (outcome == OUTCOME_DONE)
		outcome = renew_locked(q, why, err);
	lock_release(&lock);
	return outcome;
}

static enum outcome incarnation_load(struct queue *q, struct error *err)
{
	struct lock lock = LOCK_NONE;
	uint64_t inode = 0;
	enum outcome outcome = incarnation_read(&q->state, &q->incarnation, &inode, err);

	if (outcome == OUTCOME_DONE && inode == state_inode(&q->state))
		return OUTCOME_DONE;
	outcome = lock_take(&lock, &q->lock, INCARNATION_FILE, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = incarnation_read(&q->state, &q->incarnation, &inode, err);
	if (outcome != OUTCOME_DONE && err->code == EX_DATAERR)
		outcome = queue_renew(q, "the old one could not be read", err);
	else if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
		outcome = queue_renew(q, "the state had none", err);
	else if (outcome == OUTCOME_DONE && inode != state_inode(&q->state))
		outcome = queue_renew(q, "the spool was copied or restored", err);
	lock_release(&lock);
	return outcome;
}

/* ---- making and opening ---------------------------------------------------------------------------------- */

enum outcome queue_make(const char *path, struct error *err)
{
	struct dir spool = DIR_CLOSED;
	struct dir below = DIR_CLOSED;
	struct dir tmp = DIR_CLOSED;
	struct dir mail = DIR_CLOSED;
	struct dir state = DIR_CLOSED;
	enum outcome outcome = dir_make(&spool, NULL, path, 0700, err);

	for (size_t i = 0; i < sizeof spool_directories / sizeof spool_directories[0] && outcome == OUTCOME_DONE;
	     i++) {
		outcome = dir_make(&below, &spool, spool_directories[i], 0700, err);
		dir_close(&below);
	}
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&tmp, &spool, "tmp", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&state, &spool, "state", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&mail, &spool, "mail", err);
	if (outcome == OUTCOME_DONE && !file_exists(&state, INCARNATION_FILE, NULL))
		outcome = incarnation_write(&tmp, &state, randombytes_random(), err);
	if (outcome == OUTCOME_DONE)
		outcome = maildir_make(&mail, "postmaster", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&spool, err);
	dir_close(&mail);
	dir_close(&state);
	dir_close(&tmp);
	dir_close(&spool);
	return outcome;
}

static enum outcome dir_open_made(struct dir *d, const struct dir *parent, const char *name, struct error *err)
{
	enum outcome outcome = dir_open(d, parent, name, err);

	return outcome != OUTCOME_DONE && err->code == EX_NOINPUT ? dir_make(d, parent, name, 0700, err) : outcome;
}

enum outcome queue_missing(const char *path, struct error *err)
{
	error_context(err,
	    "there is no spool at %s (is the path right, and its disk mounted? `packetboat init` makes a new one)",
	    path);
	err->code = EX_CONFIG;
	err->outcome = outcome_of_exit(EX_CONFIG);
	return err->outcome;
}

enum outcome queue_open(struct queue *q, const char *path, const char *host, struct error *err)
{
	enum outcome outcome;

	*q = (struct queue){.log.fd = -1};
	struct {
		struct dir *dir;
		const char *name;
	} const parts[] = {{&q->tmp, "tmp"}, {&q->stage, "stage"}, {&q->arrivals, "arrivals"}, {&q->msg, "msg"},
	    {&q->queue, "queue"}, {&q->new, "queue/new"}, {&q->lock, "lock"}, {&q->state, "state"},
	    {&q->mail, "mail"}, {&q->corrupt, "corrupt"}};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		*parts[i].dir = DIR_CLOSED;
	snprintf(q->host, sizeof q->host, "%s", host);
	outcome = daemon_become_owner(path, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&q->spool, NULL, path, err);
	/* Copying tools leave out empty directories: one that is missing is made, if this is a spool at all. */
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&q->queue, &q->spool, "queue", err);
	dir_close(&q->queue);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && outcome == OUTCOME_DONE; i++)
		outcome = dir_open_made(parts[i].dir, &q->spool, parts[i].name, err);
	for (size_t i = 0; i < sizeof spool_directories / sizeof spool_directories[0] && outcome == OUTCOME_DONE;
	     i++) {
		struct dir probe;

		outcome = dir_open_made(&probe, &q->spool, spool_directories[i], err);
		dir_close(&probe);
	}
	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
		outcome = queue_missing(path, err);
	if (outcome == OUTCOME_DONE)
		outcome = log_open(&q->log, &q->spool, LOG_FILE, err);
	if (outcome == OUTCOME_DONE)
		outcome = incarnation_load(q, err);
	if (outcome != OUTCOME_DONE)
		queue_close(q);
	return outcome;
}

void queue_close(struct queue *q)
{
	queue_forget_places(q);
	struct dir *const parts[] = {&q->spool, &q->tmp, &q->stage, &q->arrivals, &q->msg, &q->queue, &q->new,
	    &q->lock, &q->state, &q->mail, &q->corrupt};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		dir_close(parts[i]);
	log_close(&q->log);
}

/* Room for SIZE bytes, leaving KEEP. */
static enum outcome space_beyond(const struct queue *q, uint64_t keep, uint64_t size, struct error *err)
{
	uint64_t bytes;
	uint64_t inodes;
	enum outcome outcome = dir_space(&q->spool, &bytes, &inodes, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (bytes < keep || bytes - keep < size)
		return error_set(err, EX_TEMPFAIL,
		    "the disk of %s is too full: %llu bytes free, %llu wanted and %llu kept free (min-free)",
		    q->spool.path, (unsigned long long)bytes, (unsigned long long)size, (unsigned long long)keep);
	if (inodes < 100)
		return error_set(err, EX_TEMPFAIL, "the disk of %s has only %llu inodes left", q->spool.path,
		    (unsigned long long)inodes);
	return OUTCOME_DONE;
}

enum outcome queue_space(const struct queue *q, uint64_t size, struct error *err)
{
	return space_beyond(q, q->min_free, size, err);
}

enum outcome queue_room(const struct queue *q, uint64_t size, struct error *err)
{
	return space_beyond(q, q->min_free / 8, size, err);
}

/* ---- message ids ----------------------------------------------------------------------------------------- */

/*
 * The next number free, or 0 when the file does not say it for this incarnation: then no number of this incarnation can
 * be trusted to be unused.
 */
static enum outcome sequence_read(const struct queue *q, uint64_t *next, struct error *err)
{
	struct buf text;
	struct reader r;
	enum outcome outcome;

	*next = 0;
	buf_init(&text, 64);
	outcome = file_read(&q->state, SEQUENCE_FILE, &text, err);
	if (outcome == OUTCOME_DONE) {
		reader_init(&r, view_buf(&text));
		bool magic = view_is(read_bytes(&r, 6), "pbseq1");
		bool ours = read_u32(&r) == q->incarnation;
		uint64_t kept = read_u64(&r);

		if (magic && ours && !r.failed && r.rest.length == 0)
			*next = kept;
	} else if (err->code == EX_NOINPUT || err->code == EX_DATAERR) {
		outcome = OUTCOME_DONE;
	}
	buf_release(&text);
	return outcome;
}

static enum outcome sequence_reserve_locked(struct queue *q, uint64_t count, struct error *err)
{
	uint64_t next;
	uint64_t inode;
	/* Another process may have begun a new incarnation since this one opened the spool. */
	enum outcome outcome = incarnation_read(&q->state, &q->incarnation, &inode, err);

	if (outcome == OUTCOME_DONE)
		outcome = sequence_read(q, &next, err);
	if (outcome == OUTCOME_DONE && next == 0) {
		outcome = renew_locked(q, "the sequence of message ids was lost", err);
		next = 1;
	}
	if (outcome == OUTCOME_DONE)
		outcome = sequence_write(&q->tmp, &q->state, q->incarnation, next + count, err);
	if (outcome == OUTCOME_DONE) {
		q->reserved = next;
		q->reserved_end = next + count;
	}
	return outcome;
}

static enum outcome sequence_reserve(struct queue *q, uint64_t count, struct error *err)
{
	struct lock lock;
	enum outcome outcome = lock_take(&lock, &q->lock, SEQUENCE_FILE, err);

	if (outcome == OUTCOME_DONE)
		outcome = sequence_reserve_locked(q, count, err);
	lock_release(&lock);
	return outcome;
}

enum outcome queue_next_id(struct queue *q, uint64_t count, struct id *id, struct error *err)
{
	if (q->reserved == q->reserved_end) {
		enum outcome outcome = sequence_reserve(q, count > 0 ? count : 1, err);

		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	*id = (struct id){.incarnation = q->incarnation, .sequence = q->reserved++};
	id_set_host(id, q->host);
	return OUTCOME_DONE;
}

/* ---- handing over ---------------------------------------------------------------------------------------- */

void handover_begin_small(struct queue *q, struct handover *h, size_t keep)
{
	*h = (struct handover){.queue = q, .writer.fd = -1};
	message_writer_open_small(&h->writer, &q->tmp, keep);
}

enum outcome handover_begin(struct queue *q, struct handover *h, struct error *err)
{
	enum outcome outcome;

	*h = (struct handover){.queue = q, .writer.fd = -1};
	outcome = queue_space(q, COPY_CHUNK, err);
	if (outcome == OUTCOME_DONE)
		outcome = message_writer_open(&h->writer, &q->tmp, err);
	return outcome;
}

struct sink *handover_sink(struct handover *h)
{
	return &h->writer.sink;
}

void queue_follow_log(struct queue *q)
{
	log_follow(&q->log, &q->spool, LOG_FILE);
}

/* Begins the line of an accepted message. */
static void accepted_begin(struct log_line *line, struct queue *q, const struct envelope *e)
{
	char id[LIMIT_ID];

	id_print(&e->id, id);
	log_begin(line, &q->log, id, "accepted");
	log_text(line, "sender", e->sender[0] == '\0' ? "<>" : e->sender);
	if (e->recipient_count == 1) {
		log_text(line, "recipient", e->recipients[0].address);
		log_number(line, "index", e->recipients[0].index);
	} else {
		log_number(line, "recipients", e->recipient_count);
	}
	log_number(line, "size", e->size);
	log_text(line, "class", class_name(e->class));
	if (e->hop_count > 0)
		log_text(line, "client", e->hops[e->hop_count - 1].client);
}

void queue_log_accepted(struct queue *q, const struct envelope *e, const char *user)
{
	struct log_line line;

	accepted_begin(&line, q, e);
	log_text(&line, "user", user);
	log_end(&line);
}

void queue_log_fetched(struct queue *q, const struct envelope *e, const char *box, const char *uid)
{
	struct log_line line;

	accepted_begin(&line, q, e);
	log_text(&line, "box", box);
	log_text(&line, "uid", uid);
	log_end(&line);
}

enum outcome handover_finish(struct handover *h, struct envelope *e, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (e->id.sequence == 0)
		outcome = queue_next_id(h->queue, 1, &e->id, err);
	return outcome == OUTCOME_DONE ? message_writer_finish(&h->writer, e, err) : outcome;
}

struct view handover_image(const struct handover *h)
{
	return message_writer_image(&h->writer);
}

/* From the writer's file, or from memory, to queue/new/NAME. */
static enum outcome handover_place(struct handover *h, const char *name, struct error *err)
{
	struct queue *q = h->queue;
	enum outcome outcome;

	if (h->writer.fd < 0)
		return file_commit(&q->tmp, &q->new, name, message_writer_image(&h->writer), err);
	outcome = file_sync(h->writer.fd, h->writer.name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(&q->tmp, h->writer.name, &q->new, name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	message_writer_close(&h->writer);
	return dir_sync(&q->new, err);
}

enum outcome handover_commit(struct handover *h, struct envelope *e, struct error *err)
{
	char name[LIMIT_ID];
	enum outcome outcome = OUTCOME_DONE;

	if (!h->writer.finished)
		outcome = handover_finish(h, e, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	id_print(&e->id, name);
	outcome = handover_place(h, name, err);
	if (outcome == OUTCOME_DONE)
		queue_log_accepted(h->queue, e, h->user);
	else
		file_remove(&h->queue->new, name, NULL); /* it may have come so far, and will be handed in again */
	return outcome;
}

enum outcome handover_lay(
    struct handover *h, struct envelope *e, const struct dir *d, struct sync_set *sync, struct error *err)
{
	char name[LIMIT_ID];
	enum outcome outcome = OUTCOME_DONE;

	if (!h->writer.finished)
		outcome = handover_finish(h, e, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	id_print(&e->id, name);
	if (h->writer.fd < 0)
		outcome = file_create_within(d, name, message_writer_image(&h->writer), &h->writer.fd, err);
	else
		outcome = file_rename(&h->queue->tmp, h->writer.name, d, name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	sync_add(sync, h->writer.fd);
	h->writer.fd = -1;
	message_writer_close(&h->writer);
	return OUTCOME_DONE;
}

void handover_abort(struct handover *h)
{
	message_writer_abort(&h->writer);
}
