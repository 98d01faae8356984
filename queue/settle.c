#include "queue/settle.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/maildir.h"
#include "queue/settle_parts.h"

enum outcome settle_init(struct settle *s, struct queue *q, const struct config *config, const struct age *age,
    const char *hop, const struct settle_hooks *hooks, uint64_t *reports_left, struct error *err)
{
	*s = (struct settle){
	    .queue = q, .config = config, .age = age, .hop = hop, .hooks = hooks, .reports_left = reports_left};
	sync_init(&s->sync, &q->spool);
	return hop_open(q, hop, &s->dir, err);
}

void settle_drop(struct settle_item *item)
{
	if (item == NULL)
		return;
	message_close(&item->message);
	entry_release(&item->entry);
	free(item);
}

void settle_release(struct settle *s)
{
	for (size_t i = 0; i < s->count; i++)
		settle_drop(s->items[i]);
	s->count = 0;
	sync_drop(&s->sync);
	dir_close(&s->dir);
}

/* ---- the end of a record --------------------------------------------------------------------------------- */

static void log_end_of(struct settle *s, const struct entry *e, const struct entry_recipient *r, bool again)
{
	struct log_line line;
	char id[LIMIT_ID];

	id_print(&e->id, id);
	log_begin(&line, &s->queue->log, id, entry_end_name(r->end));
	log_text(&line, "recipient", r->address);
	log_number(&line, "index", r->index);
	log_text(&line, "status", r->status[0] != '\0' ? r->status : NULL);
	log_text(&line, "reason", r->reason);
	if (again)
		log_number(&line, "recovered", 1);
	log_end(&line);
}

/* "5.1.1" as three numbers. */
static void status_numbers(const char *text, uint8_t out[3])
{
	unsigned parts[3] = {0, 0, 0};

	if (sscanf(text, "%3u.%3u.%3u", &parts[0], &parts[1], &parts[2]) != 3)
		return;
	for (size_t i = 0; i < 3; i++)
		out[i] = (uint8_t)(parts[i] > 255 ? 255 : parts[i]);
}

static void tell_end(const struct settle *s, const struct envelope *envelope, const struct entry_recipient *r)
{
	const struct recipient *asked = envelope_recipient(envelope, r->index);
	struct settle_end end = {.neighbour = asked != NULL ? envelope->neighbour : NULL,
	    .batch_incarnation = envelope->batch_incarnation,
	    .batch_sequence = envelope->batch_sequence,
	    .ordinal = asked != NULL ? asked->ordinal : 0,
	    .end = r->end,
	    .sender = envelope->sender,
	    .recipient = r->address};

	status_numbers(r->status, end.status);
	s->hooks->ended(s->hooks->context, &end);
}

static void tell(struct settle *s, const struct entry *e, const struct envelope *envelope, bool again)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].end == ENTRY_WAITS || !e->recipients[i].fresh)
			continue;
		log_end_of(s, e, &e->recipients[i], again);
		if (s->hooks != NULL && envelope != NULL)
			tell_end(s, envelope, &e->recipients[i]);
	}
}

static enum outcome tell_flush(struct settle *s, struct error *err)
{
	return s->hooks == NULL ? OUTCOME_DONE : s->hooks->flush(s->hooks->context, err);
}

/* Makes the Maildir that "mail/USER/new" lies in. */
static enum outcome remake_box(struct settle *s, const char *parent, struct error *err)
{
	const char *user = parent + strlen("mail/");
	char *name = mem_copy(user, strcspn(user, "/"));
	enum outcome outcome = maildir_make(&s->queue->mail, name, err);

	free(name);
	return outcome;
}

static bool same_file_system(const struct dir *a, const struct dir *b)
{
	struct stat x, y;

	return fstat(a->fd, &x) == 0 && fstat(b->fd, &y) == 0 && x.st_dev == y.st_dev;
}

/*
 * For a Maildir on another file system: a whole and synced copy under the final name, then the staged file goes. A
 * crash in between copies again, over the first copy unless its reader has moved it: the one case of a second copy.
 */
static enum outcome move_across(
    struct settle *s, const char *staged, const struct dir *d, const char *name, struct error *err)
{
	char *unfinished = mem_format("../tmp/%s", name);
	struct fd_source source;
	struct fd_sink sink;
	int from = -1;
	int to = -1;
	enum outcome outcome = file_open(&s->queue->stage, staged, &from, err);

	if (outcome == OUTCOME_DONE)
		outcome = file_remove(d, unfinished, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_create(d, unfinished, &to, err);
	fd_source_init(&source, from, staged);
	fd_sink_init(&sink, to, name);
	if (outcome == OUTCOME_DONE)
		outcome = stream_copy(&source.source, &sink.sink, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_sync(to, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(d, unfinished, d, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(d, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(&s->queue->stage, staged, err);
	file_close(&from);
	file_close(&to);
	free(unfinished);
	return outcome;
}

/* Moves one staged file; one that is gone was moved before a crash. */
static enum outcome move_one(struct settle *s, const struct entry_move *move, struct error *err)
{
	const char *slash = strrchr(move->target, '/');
	char *parent = mem_copy(move->target, slash == NULL ? 0 : (size_t)(slash - move->target));
	struct dir d;
	enum outcome outcome;

	if (!file_exists(&s->queue->stage, move->staged, NULL)) {
		/* Moved, but perhaps not for good yet. */
		if (dir_open(&d, &s->queue->spool, parent, NULL) == OUTCOME_DONE)
			sync_add_dir(&s->sync, &d);
		dir_close(&d);
		free(parent);
		return OUTCOME_DONE;
	}
	outcome = dir_open(&d, &s->queue->spool, parent, err);
	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT && text_starts(parent, "mail/")) {
		/* The box went away between the commit and the move: the mail is delivered all the same. */
		outcome = remake_box(s, parent, err);
		if (outcome == OUTCOME_DONE)
			outcome = dir_open(&d, &s->queue->spool, parent, err);
	}
	if (outcome == OUTCOME_DONE && !same_file_system(&s->queue->stage, &d))
		outcome = move_across(s, move->staged, &d, slash + 1, err);
	else if (outcome == OUTCOME_DONE)
		outcome = file_rename(&s->queue->stage, move->staged, &d, slash + 1, err);
	if (outcome == OUTCOME_DONE)
		sync_add_dir(&s->sync, &d);
	dir_close(&d);
	free(parent);
	return outcome;
}

static enum outcome move_all(struct settle *s, const struct entry *e, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < e->move_count && outcome == OUTCOME_DONE; i++)
		outcome = move_one(s, &e->moves[i], err);
	return outcome;
}

static enum outcome record_write(struct settle *s, const char *name, const struct entry *e, struct error *err)
{
	struct buf text;
	enum outcome outcome;

	buf_init(&text, LIMIT_ENTRY);
	entry_write(e, &text);
	outcome = file_replace(&s->queue->tmp, &s->dir, name, view_buf(&text), err);
	buf_release(&text);
	return outcome;
}

/* Takes off what has been done and told; was there anything? */
static bool forget_told(struct entry *e)
{
	bool any = e->move_count > 0;

	for (size_t i = 0; i < e->move_count; i++) {
		free(e->moves[i].staged);
		free(e->moves[i].target);
	}
	e->move_count = 0;
	for (size_t i = 0; i < e->recipient_count; i++) {
		any |= e->recipients[i].fresh;
		e->recipients[i].fresh = false;
	}
	return any;
}

/* After the moves are durable: the record goes, or goes on without them. */
static enum outcome finish(struct settle *s, const char *name, struct entry *e, bool hold, struct error *err)
{
	const struct dir *home = s->home != NULL ? s->home : &s->dir;
	enum outcome outcome;

	if (e->ended) {
		outcome = file_remove(&s->queue->msg, name, err);
		return outcome == OUTCOME_DONE ? file_remove(&s->dir, name, err) : outcome;
	}
	if (forget_told(e)) {
		outcome = record_write(s, name, e, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	if (hold) {
		struct dir d;

		outcome = hop_open(s->queue, "hold", &d, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_rename(&s->dir, name, &d, name, err);
		dir_close(&d);
		return outcome;
	}
	if (s->stay)
		return OUTCOME_DONE;
	if (e->due_age > s->age->now)
		return hop_defer(&s->dir, home, name, e->due_age, err);
	return home == &s->dir ? OUTCOME_DONE : file_rename(&s->dir, name, home, name, err);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

/* A record that was committed before a crash and not finished. */
static enum outcome recover(struct settle *s, const char *name, struct entry *e, struct error *err)
{
	struct message m;
	enum outcome outcome = move_all(s, e, err);

	if (outcome == OUTCOME_DONE)
		outcome = sync_wait(&s->sync, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (message_open(&m, &s->queue->msg, name, MESSAGE_TRUST, NULL) == OUTCOME_DONE) {
		tell(s, e, &m.envelope, true);
		message_close(&m);
	} else {
		tell(s, e, NULL, true);
	}
	outcome = tell_flush(s, err);
	return outcome == OUTCOME_DONE ? finish(s, name, e, false, err) : outcome;
}

/*
 * A record or its message is damaged: both go to corrupt/ with the reason, and the operator hears of it, since nobody
 * else can say what they were.
 */
static enum outcome set_aside(struct settle *s, const char *name, struct error *err)
{
	struct error why = *err;
	char *record = mem_format("%s.record", name);
	enum outcome outcome = file_rename(&s->dir, name, &s->dir, record, err);

	s->trouble = why;
	if (outcome == OUTCOME_DONE)
		outcome = queue_set_aside(s->queue, &s->dir, record, why.text, err);
	if (outcome == OUTCOME_DONE && file_exists(&s->queue->msg, name, NULL))
		outcome = queue_set_aside(s->queue, &s->queue->msg, name, why.text, err);
	free(record);
	return outcome;
}

/* What is to be done about the record E before anything else; *USABLE when that was nothing. */
static enum outcome look_at(struct settle *s, const char *name, struct entry *e, bool *usable, struct error *err)
{
	*usable = false;
	if (e->ended || e->move_count > 0)
		return recover(s, name, e, err); /* also when only the telling is left */
	*usable = true;
	return OUTCOME_DONE;
}

static enum outcome open_entry(struct settle *s, const char *name, struct entry *e, bool *usable, struct error *err)
{
	enum outcome outcome = hop_read(&s->dir, name, e, err);

	*usable = false;
	if (outcome != OUTCOME_DONE && err->code == EX_DATAERR)
		return set_aside(s, name, err);
	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	if (e->parent != NULL && file_exists(&s->queue->new, e->parent, NULL))
		return OUTCOME_DONE; /* its making is not finished; the next dispatch sees to it */
	return look_at(s, name, e, usable, err);
}

static struct settle_item *item_new(const char *name)
{
	struct settle_item *item = mem_alloc(sizeof *item);

	item->message.fd = -1;
	snprintf(item->name, sizeof item->name, "%s", name);
	return item;
}

/* Gives out NEW with its message, when its record is USABLE. */
static enum outcome open_message(
    struct settle *s, struct settle_item *new, bool usable, struct settle_item **item, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	*item = NULL;
	if (usable) {
		outcome = message_open(&new->message, &s->queue->msg, new->name, MESSAGE_VERIFY, err);
		if (outcome != OUTCOME_DONE && (err->code == EX_DATAERR || err->code == EX_NOINPUT)) {
			outcome = set_aside(s, new->name, err);
			usable = false;
		}
	}
	if (outcome == OUTCOME_DONE && usable)
		*item = new;
	else
		settle_drop(new);
	return outcome;
}

enum outcome settle_open(struct settle *s, const char *name, struct settle_item **item, struct error *err)
{
	struct settle_item *new = item_new(name);
	bool usable;
	enum outcome outcome = open_entry(s, name, &new->entry, &usable, err);

	if (outcome == OUTCOME_DONE)
		return open_message(s, new, usable, item, err);
	*item = NULL;
	settle_drop(new);
	return outcome;
}

enum outcome settle_take(
    struct settle *s, const char *name, struct entry *e, struct settle_item **item, struct error *err)
{
	struct settle_item *new = item_new(name);
	bool usable;
	enum outcome outcome;

	new->entry = *e;
	entry_init(e);
	outcome = look_at(s, name, &new->entry, &usable, err);
	if (outcome == OUTCOME_DONE)
		return open_message(s, new, usable, item, err);
	*item = NULL;
	settle_drop(new);
	return outcome;
}

/* ---- deciding -------------------------------------------------------------------------------------------- */

void settle_recipient(
    struct settle_item *item, size_t place, enum entry_end end, const char *status, const char *reason)
{
	struct entry_recipient *r = &item->entry.recipients[place];

	entry_recipient_result(r, status, reason);
	r->end = end;
	r->fresh = end != ENTRY_WAITS;
	item->changed = true;
}

enum outcome settle_stage(struct settle *s, struct settle_item *item, const struct dir *from, const char *name,
    int fd, const char *target, struct error *err)
{
	char *staged = mem_format("%s.%u", item->name, item->staged++);
	enum outcome outcome = file_rename(from, name, &s->queue->stage, staged, err);

	sync_add(&s->sync, fd);
	if (outcome == OUTCOME_DONE)
		entry_add_move(&item->entry, staged, target);
	free(staged);
	return outcome;
}

uint64_t settle_lived(const struct settle *s, const struct entry *e)
{
	return s->age->now > e->arrived_age ? s->age->now - e->arrived_age : 0;
}

uint64_t settle_look(const struct entry *e, uint64_t expire, uint64_t warn)
{
	uint64_t look = UINT64_MAX;

	if (expire > 0)
		look = e->arrived_age + expire;
	if (warn > 0 && !e->warned && e->arrived_age + warn < look)
		look = e->arrived_age + warn;
	return look;
}

static void expire(struct settle_item *item)
{
	char text[24];

	duration_print_exact(item->expire, text);
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		struct entry_recipient *r = &item->entry.recipients[i];

		if (r->end != ENTRY_WAITS)
			continue;
		char *reason = mem_format("not delivered within %s; last result: %s", text,
		    r->reason != NULL ? r->reason : "there was no chance to send it");

		settle_recipient(item, i, ENTRY_FAILED, "4.4.7", reason);
		free(reason);
	}
}

/* When to try again, after ATTEMPTS failures. */
static uint64_t back_off(const struct config *c, uint32_t attempts)
{
	uint64_t wait = c->retry_min;

	for (uint32_t i = 1; i < attempts && wait < c->retry_max; i++)
		wait *= 2;
	if (wait > c->retry_max)
		wait = c->retry_max;
	/* Further ahead than that, a bucket is not believed. */
	return wait < LIMIT_RETRY ? wait : LIMIT_RETRY;
}

static void put_off(struct settle *s, struct settle_item *item)
{
	uint64_t look = settle_look(&item->entry, item->expire, item->warn);

	item->entry.attempts++;
	item->entry.last_tried = clock_now();
	item->entry.due_age = s->age->now + back_off(s->config, item->entry.attempts);
	if (item->entry.due_age > look)
		item->entry.due_age = look;
	item->put_off = true;
}

static bool needs_report(const struct settle_item *item)
{
	for (size_t i = 0; i < item->entry.recipient_count; i++)
		if (item->entry.recipients[i].end == ENTRY_FAILED && item->entry.recipients[i].fresh)
			return true;
	return false;
}

enum outcome settle_close(struct settle *s, struct settle_item *item, struct error *err)
{
	uint64_t lived = settle_lived(s, &item->entry);
	enum outcome outcome;

	if (item->expire > 0 && lived >= item->expire && entry_waits(&item->entry))
		expire(item);
	if (needs_report(item) && *s->reports_left == 0 && !s->outside) {
		settle_drop(item); /* the cap of this pass: the next one sees to it */
		return OUTCOME_DONE;
	}
	if (entry_waits(&item->entry)) {
		item->warning = item->warn > 0 && lived >= item->warn && !item->entry.warned;
		item->entry.warned |= item->warning;
		put_off(s, item);
	}
	outcome = settle_reports_make(s, item, err);
	if (outcome != OUTCOME_DONE && !s->outside) {
		settle_drop(item);
		return outcome;
	}
	s->items[s->count++] = item;
	s->recipients += item->entry.recipient_count + item->message.envelope.recipient_count;
	if (s->outside)
		return OUTCOME_DONE; /* the caller knows when */
	return s->count == SETTLE_GROUP || s->recipients > SETTLE_RECIPIENTS ? settle_run(s, err) : OUTCOME_DONE;
}

/* ---- committing ------------------------------------------------------------------------------------------ */

/* A record is written beside the staged files, under a name that tells the sweeper whose it is. */
static enum outcome record_stage(
    struct settle *s, const struct settle_item *item, const char *name, struct error *err)
{
	struct buf text;
	int fd;
	enum outcome outcome = file_create(&s->queue->stage, name, &fd, err);

	buf_init(&text, LIMIT_ENTRY);
	entry_write(&item->entry, &text);
	/* One that a run that failed left behind. */
	if (outcome != OUTCOME_DONE && file_remove(&s->queue->stage, name, err) == OUTCOME_DONE)
		outcome = file_create(&s->queue->stage, name, &fd, err);
	if (outcome == OUTCOME_DONE) {
		outcome = file_write(fd, text.bytes, text.length, name, err);
		sync_add(&s->sync, fd);
	}
	buf_release(&text);
	return outcome;
}

/*
 * Has the record nothing to say that must outlive a crash? Who died between the renaming and the telling leaves no more than
 * a line missing in the log.
 */
static bool ends_alone(const struct settle *s, const struct settle_item *item)
{
	return s->outside && item->entry.ended && item->entry.move_count == 0 && item->report_count == 0 &&
	       !item->unreported && item->message.envelope.neighbour == NULL;
}

static enum outcome record_commit(struct settle *s, struct settle_item *item, size_t pass, struct error *err)
{
	char ended[ENTRY_NAME + 1];
	char *name;
	enum outcome outcome = OUTCOME_DONE;

	if (ends_alone(s, item)) {
		hop_ended_name(item->name, ended);
		if (pass > 0 && !item->parted)
			outcome = file_rename(&s->dir, item->name, &s->dir, ended, err);
		item->parted |= pass > 0 && outcome == OUTCOME_DONE;
		return outcome;
	}
	name = mem_format("%s.record", item->name);
	outcome = pass == 0 ? record_stage(s, item, name, err)
			    : file_rename(&s->queue->stage, name, &s->dir, item->name, err);
	free(name);
	return outcome;
}

/* The records that say what was decided, durable before the moves they list. */
static enum outcome commit_records(struct settle *s, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t pass = 0; pass < 2 && outcome == OUTCOME_DONE; pass++) {
		bool staged = false;

		for (size_t i = 0; i < s->count && outcome == OUTCOME_DONE; i++) {
			outcome = record_commit(s, s->items[i], pass, err);
			staged |= !ends_alone(s, s->items[i]);
		}
		if (pass > 0 || staged)
			sync_add_dir(&s->sync, pass == 0 ? &s->queue->stage : &s->dir);
		if (outcome == OUTCOME_DONE)
			outcome = sync_wait(&s->sync, err);
	}
	return outcome;
}

static void log_put_off(struct settle *s, const struct settle_item *item)
{
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct entry_recipient *r = &item->entry.recipients[i];
		struct log_line line;
		char id[LIMIT_ID];

		if (r->end != ENTRY_WAITS)
			continue;
		id_print(&item->entry.id, id);
		log_begin(&line, &s->queue->log, id, item->hold ? "held" : "deferred");
		log_text(&line, "recipient", r->address);
		log_number(&line, "index", r->index);
		log_text(&line, "status", r->status[0] != '\0' ? r->status : NULL);
		log_text(&line, "reason", r->reason);
		log_end(&line);
	}
}

/* Says what kept one item back; the others go on, and its record is finished by the next pass. */
static void contain(struct settle *s, struct settle_item *item, const struct error *err)
{
	log_event(&s->queue->log, item->name, "trouble", "reason", err->text);
	s->trouble = *err;
	item->stuck = true;
}

static enum outcome finish_item(struct settle *s, struct settle_item *item, struct error *err)
{
	char ended[ENTRY_NAME + 1];

	if (!item->parted)
		return finish(s, item->name, &item->entry, item->hold, err);
	hop_ended_name(item->name, ended);
	return hop_end(s->queue, &s->dir, ended, err);
}

static void finish_all(struct settle *s)
{
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < s->count; i++)
		if (!s->items[i]->stuck && finish_item(s, s->items[i], &err) != OUTCOME_DONE)
			contain(s, s->items[i], &err);
}

/* What was waited for in vain is waited for again. */
static void sync_staged(struct settle *s)
{
	for (size_t i = 0; i < s->count; i++)
		for (size_t k = 0; k < s->items[i]->entry.move_count; k++) {
			int fd;

			if (file_open(&s->queue->stage, s->items[i]->entry.moves[k].staged, &fd, NULL) ==
			    OUTCOME_DONE)
				sync_add(&s->sync, fd);
		}
}

/* Reports that could not be made when their items were closed, and what else a failed run left to do. */
static enum outcome catch_up(struct settle *s, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < s->count && outcome == OUTCOME_DONE; i++) {
		s->items[i]->stuck = false;
		if (s->items[i]->unreported)
			outcome = settle_reports_make(s, s->items[i], err);
	}
	if (s->again)
		sync_staged(s);
	return outcome;
}

static void tell_all(struct settle *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct settle_item *item = s->items[i];

		if (item->stuck)
			continue;
		if (!item->told)
			settle_reports_log(s, item);
		tell(s, &item->entry, &item->message.envelope, item->told);
		if (!item->told)
			log_put_off(s, item);
		item->told = true;
	}
}

static void drop_all(struct settle *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct settle_item *item = s->items[i];

		if (s->let_go != NULL && item->entry.ended && !item->stuck) {
			s->let_go(s->let_go_context, item->message.fd);
			item->message.fd = -1;
		}
		settle_drop(item);
	}
	s->count = 0;
	s->recipients = 0;
}

enum outcome settle_run(struct settle *s, struct error *err)
{
	enum outcome outcome;

	if (s->count == 0)
		return OUTCOME_DONE;
	outcome = catch_up(s, err);
	if (outcome == OUTCOME_DONE)
		outcome = commit_records(s, err);
	for (size_t i = 0; i < s->count && outcome == OUTCOME_DONE; i++) {
		struct error why = ERROR_NONE;

		if (move_all(s, &s->items[i]->entry, &why) != OUTCOME_DONE)
			contain(s, s->items[i], &why);
	}
	if (outcome == OUTCOME_DONE)
		outcome = sync_wait(&s->sync, err);
	if (outcome == OUTCOME_DONE) {
		tell_all(s);
		outcome = tell_flush(s, err);
	}
	if (outcome == OUTCOME_DONE)
		finish_all(s);
	sync_drop(&s->sync);
	s->again = outcome != OUTCOME_DONE && s->outside;
	if (!s->again)
		drop_all(s);
	return outcome;
}
