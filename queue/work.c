#include "queue/work.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/served.h"

/* Milliseconds to wait for the hop's lock before a claim, and before all is woken. */
#define CLAIM_PATIENCE 100
#define WAKE_PATIENCE  1000
/* Seconds of age between two signs of life. */
#define LIFE_INTERVAL 60

/* ---- records that were claimed -------------------------------------------------------------------------- */

/* What was read of NAME when it was claimed, if anything was. */
static struct work_claimed *claimed_find(struct work *w, const char *name)
{
	for (size_t i = 0; i < w->claimed_count; i++)
		if (strcmp(w->claimed[i].name, name) == 0)
			return &w->claimed[i];
	return NULL;
}

static void claimed_forget(struct work *w, struct work_claimed *claimed)
{
	struct work_claimed *last = &w->claimed[--w->claimed_count];

	entry_release(&claimed->entry);
	if (claimed != last)
		*claimed = *last;
}

/* ---- the sign of life ------------------------------------------------------------------------------------ */

static bool served_of_late(const struct queue *q, const char *hop, const struct age *age)
{
	uint64_t when;

	return served_look(q, hop, age, &when) && age->now - when < WORK_UNSERVED;
}

/* Not for the disk to wait for, and no reason to stop: at worst the relay pass says that nobody delivers. */
static void show_life(struct work *w)
{
	uint64_t now = w->process->age->now;

	if (w->told != 0 && now >= w->told && now - w->told < LIFE_INTERVAL)
		return;
	if (served_note(w->process->queue, w->hop, now))
		w->told = now;
}

/* ---- slots ----------------------------------------------------------------------------------------------- */

enum outcome work_slot_try(
    const struct queue *q, const char *hop, const char *part, struct lock *slot, bool *held, struct error *err)
{
	char *name = mem_format("%s-%s", hop, part);
	enum outcome outcome = lock_try(slot, &q->lock, name, held, err);

	free(name);
	return outcome;
}

/* Moves the records in FROM back to the hop, and finishes those that have ended. The slot is locked by the caller. */
static enum outcome move_back(
    const struct queue *q, const struct dir *from, const struct dir *home, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(from, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		if (hop_is_record(names.items[i]))
			outcome = file_rename(from, names.items[i], home, names.items[i], err);
		else if (hop_is_ended(names.items[i]))
			outcome = hop_end(q, from, names.items[i], err);
	if (outcome == OUTCOME_DONE && names.count > 0)
		outcome = dir_sync(home, err);
	names_release(&names);
	return outcome;
}

static enum outcome recover_slot(
    const struct queue *q, const char *hop, const struct dir *home, const char *part, bool *busy, struct error *err)
{
	struct lock slot;
	struct dir d;
	bool held;
	enum outcome outcome = work_slot_try(q, hop, part, &slot, &held, err);

	if (outcome != OUTCOME_DONE) {
		*busy = true;
		return held ? OUTCOME_DONE : outcome;
	}
	outcome = dir_open(&d, home, part, err);
	if (outcome == OUTCOME_DONE)
		outcome = move_back(q, &d, home, err);
	else if (err->code == EX_NOINPUT)
		outcome = OUTCOME_DONE; /* its process has come to its end meanwhile */
	dir_close(&d);
	if (outcome == OUTCOME_DONE)
		outcome = dir_remove(home, part, err);
	lock_release(&slot);
	return outcome;
}

enum outcome work_recover(const struct queue *q, const char *hop, bool *busy, struct error *err)
{
	struct names parts = {0};
	struct error own = ERROR_NONE;
	struct dir home;
	bool any = false;
	enum outcome outcome;

	if (err == NULL)
		err = &own;
	outcome = dir_open(&home, &q->queue, hop, err);
	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
		outcome = OUTCOME_DONE;
	else if (outcome == OUTCOME_DONE)
		outcome = hop_parts(&home, &parts, err);
	for (size_t i = 0; i < parts.count && outcome == OUTCOME_DONE; i++)
		if (text_starts(parts.items[i], "work-"))
			outcome = recover_slot(q, hop, &home, parts.items[i], &any, err);
	if (busy != NULL)
		*busy = any;
	names_release(&parts);
	dir_close(&home);
	return outcome;
}

/* The first slot that is free. */
static enum outcome slot_take(struct work *w, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (unsigned n = 1; n <= LIMIT_WORK_SLOTS; n++) {
		char part[16];
		bool held;

		snprintf(part, sizeof part, "work-%u", n);
		snprintf(w->path, sizeof w->path, "%s/%s", w->hop, part);
		outcome = work_slot_try(w->process->queue, w->hop, part, &w->slot, &held, err);
		if (outcome == OUTCOME_DONE || !held)
			return outcome;
	}
	return error_set(err, EX_TEMPFAIL,
	    "%d programs that deliver by %s are running already; there is no room for more", LIMIT_WORK_SLOTS,
	    w->hop);
}

/* What was put off because nobody was there need not wait any longer. */
static enum outcome wake_all(struct work *w, struct error *err)
{
	struct lock lock;
	bool held;
	enum outcome outcome = lock_wait(&lock, &w->process->queue->lock, w->hop, WAKE_PATIENCE, &held, err);

	if (outcome != OUTCOME_DONE)
		return held ? OUTCOME_DONE : outcome;
	outcome = hop_wake(&w->home, UINT64_MAX, err);
	lock_release(&lock);
	return outcome;
}

/* Settles with what the process has now: a configuration may have been read again. */
static void renew_settle(struct work *w)
{
	const struct process *p = w->process;

	w->settle.config = p->config;
	w->settle.age = p->age;
	w->settle.hooks = p->hooks;
	w->settle.reports_left = p->reports_left;
}

static enum outcome open_slot(struct work *w, struct error *err)
{
	const struct process *p = w->process;
	enum outcome outcome;

	outcome = settle_init(&w->settle, p->queue, p->config, p->age, w->path, p->hooks, p->reports_left, err);
	w->settle.home = &w->home;
	w->settle.outside = true;
	if (outcome == OUTCOME_DONE)
		outcome = move_back(w->process->queue, &w->settle.dir, &w->home, err);
	if (outcome == OUTCOME_DONE)
		outcome = work_recover(p->queue, w->hop, NULL, err);
	if (outcome == OUTCOME_DONE && !served_of_late(p->queue, w->hop, p->age))
		outcome = wake_all(w, err);
	return outcome;
}

enum outcome work_open(struct work *w, const struct process *p, const char *hop, struct error *err)
{
	struct error own = ERROR_NONE;
	enum outcome outcome;

	if (err == NULL)
		err = &own;
	*w = (struct work){.process = p,
	    .slot = LOCK_NONE,
	    .claiming = LOCK_NONE,
	    .reader = HOP_READER_NONE,
	    .home = DIR_CLOSED,
	    .settle.dir = DIR_CLOSED};
	snprintf(w->hop, sizeof w->hop, "%s", hop);
	outcome = hop_open(p->queue, hop, &w->home, err);
	if (outcome == OUTCOME_DONE)
		outcome = slot_take(w, err);
	if (outcome == OUTCOME_DONE)
		outcome = open_slot(w, err);
	if (outcome != OUTCOME_DONE) {
		settle_release(&w->settle);
		lock_release(&w->slot);
		dir_close(&w->home);
		return outcome;
	}
	w->opened = true;
	show_life(w);
	return OUTCOME_DONE;
}

void work_let_go(struct work *w, void (*let_go)(void *context, int fd), void *context)
{
	w->settle.let_go = let_go;
	w->settle.let_go_context = context;
}

enum outcome work_close(struct work *w, struct error *err)
{
	const char *part = strchr(w->path, '/');
	struct error why = ERROR_NONE;
	enum outcome outcome;

	if (!w->opened)
		return OUTCOME_DONE;
	outcome = work_settle(w, err);
	/* Whatever has no result on the disk is tried again. */
	if (move_back(w->process->queue, &w->settle.dir, &w->home, &why) == OUTCOME_DONE)
		dir_remove(&w->home, part + 1, &why);
	if (outcome == OUTCOME_DONE && why.outcome != OUTCOME_DONE) {
		outcome = why.outcome;
		if (err != NULL)
			*err = why;
	}
	while (w->claimed_count > 0)
		claimed_forget(w, w->claimed);
	hop_reader_close(&w->reader);
	settle_release(&w->settle);
	lock_release(&w->slot);
	dir_close(&w->home);
	w->opened = false;
	return outcome;
}

/* ---- what is ready --------------------------------------------------------------------------------------- */

static enum outcome wake(struct work *w, struct error *err)
{
	struct lock lock;
	bool held;
	enum outcome outcome = hop_lock_try(w->process->queue, w->hop, &lock, &held, err);

	if (outcome != OUTCOME_DONE)
		return held ? OUTCOME_DONE : outcome;
	outcome = hop_wake(&w->home, w->process->age->now, err);
	lock_release(&lock);
	return outcome;
}

enum outcome work_ready(struct work *w, size_t limit, struct names *names, struct error *err)
{
	struct names all = {0};
	struct error own = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;

	if (err == NULL)
		err = &own;
	*names = (struct names){0};
	show_life(w);
	if (w->after[0] == '\0')
		outcome = wake(w, err);
	/* Directories of the hop are among the names; a portion of nothing else is not the end. */
	while (outcome == OUTCOME_DONE && names->count == 0) {
		outcome = dir_names_after(&w->home, w->after, limit, &all, err);
		for (size_t i = 0; i < all.count; i++)
			if (hop_is_record(all.items[i]))
				names_add(names, all.items[i]);
		snprintf(w->after, sizeof w->after, "%s", all.count > 0 ? all.items[all.count - 1] : "");
		if (all.count == 0)
			break;
		names_release(&all);
	}
	names_release(&all);
	return outcome;
}

static bool parent_lives(const struct work *w, const struct entry *e)
{
	return e->parent != NULL && file_exists(&w->process->queue->new, e->parent, NULL);
}

static enum outcome not_made(const char *name, struct error *err)
{
	return error_set(err, EX_NOINPUT, "%s is being made", name);
}

/* The destination of the first recipient that waits; null when its way is not of this hop. */
static char *entry_destination(const struct work *w, const struct entry *e)
{
	char *destination = NULL;
	struct route r;

	for (size_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].end != ENTRY_WAITS)
			continue;
		route_find(&r, w->process->config, &w->process->queue->mail, e->recipients[i].address);
		if (r.kind == ROUTE_HOP && strcmp(r.hop, w->hop) == 0)
			destination = route_destination(&r);
		route_release(&r);
		break;
	}
	return destination;
}

enum outcome work_look(struct work *w, const char *name, char **destination, struct error *err)
{
	struct error own = ERROR_NONE;
	struct entry e;
	enum outcome outcome;

	if (err == NULL)
		err = &own;
	*destination = NULL;
	outcome = hop_reader_read(&w->reader, &w->home, name, &e, err);
	if (outcome != OUTCOME_DONE && err->code == EX_DATAERR)
		outcome = OUTCOME_DONE; /* work_item sets it aside */
	else if (outcome == OUTCOME_DONE && parent_lives(w, &e))
		outcome = not_made(name, err);
	else if (outcome == OUTCOME_DONE && !e.ended && e.move_count == 0)
		*destination = entry_destination(w, &e);
	entry_release(&e);
	return outcome;
}

/* ---- taking ---------------------------------------------------------------------------------------------- */

size_t work_room(const struct work *w)
{
	size_t taken = w->held + w->settle.count;

	return taken < WORK_ITEMS ? WORK_ITEMS - taken : 0;
}

static enum outcome have_room(const struct work *w, struct error *err)
{
	return work_room(w) > 0
		   ? OUTCOME_DONE
		   : error_set(err, EX_TEMPFAIL, "%d records are in hand, and no more can be", WORK_ITEMS);
}

/* May one more be taken? */
static enum outcome may_claim(const struct work *w, struct error *err)
{
	enum outcome outcome = have_room(w, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (w->settle.again)
		return error_set(err, EX_TEMPFAIL, "what became of the last records could not be written yet");
	if (*w->process->reports_left == 0)
		return error_set(err, EX_TEMPFAIL, "no more reports may be made for now (option reports)");
	/* Who cannot write down a result sends the same again and again. */
	return queue_room(w->process->queue, COPY_CHUNK, err);
}

/* With the hop's lock held. A record whose parent lives is looked for in the hop by the next dispatch. */
static enum outcome claim_locked(struct work *w, const char *name, struct error *err)
{
	struct work_claimed *claimed = &w->claimed[w->claimed_count];
	struct entry *e = &claimed->entry;
	bool known = hop_reader_read(&w->reader, &w->home, name, e, NULL) == OUTCOME_DONE;
	enum outcome outcome =
	    known && parent_lives(w, e)
		? not_made(name, err)
		/* Not synced: after a crash it lies in the one place or the other, and both are right. */
		: file_rename(&w->home, name, &w->settle.dir, name, err);

	/* Nobody else touches it from now on. */
	if (known && outcome == OUTCOME_DONE) {
		snprintf(claimed->name, sizeof claimed->name, "%s", name);
		w->claimed_count++;
	} else {
		entry_release(e);
	}
	return outcome;
}

enum outcome work_claims_begin(struct work *w, struct error *err)
{
	bool held;
	enum outcome outcome = may_claim(w, err);

	return outcome == OUTCOME_DONE
		   ? lock_wait(&w->claiming, &w->process->queue->lock, w->hop, CLAIM_PATIENCE, &held, err)
		   : outcome;
}

void work_claims_end(struct work *w)
{
	lock_release(&w->claiming);
}

enum outcome work_claim(struct work *w, const char *name, struct error *err)
{
	bool alone = w->claiming.fd < 0;
	enum outcome outcome = alone ? work_claims_begin(w, err) : OUTCOME_DONE;

	if (outcome == OUTCOME_DONE)
		outcome = have_room(w, err);
	if (outcome == OUTCOME_DONE)
		outcome = claim_locked(w, name, err);
	w->held += outcome == OUTCOME_DONE;
	if (alone)
		work_claims_end(w);
	return outcome;
}

/* Something is wrong with it that may pass: it leaves the slot, and is not tried again at once. */
static void set_apart(struct work *w, const char *name)
{
	const struct process *p = w->process;

	if (file_exists(&w->settle.dir, name, NULL) &&
	    hop_defer(&w->settle.dir, &w->home, name, p->age->now + p->config->retry_min, NULL) != OUTCOME_DONE)
		file_rename(&w->settle.dir, name, &w->home, name, NULL);
}

enum outcome work_item(struct work *w, const char *name, struct settle_item **item, struct error *err)
{
	struct work_claimed *claimed = claimed_find(w, name);
	enum outcome outcome;

	renew_settle(w);
	if (claimed != NULL) {
		outcome = settle_take(&w->settle, name, &claimed->entry, item, err);
		claimed_forget(w, claimed);
	} else {
		outcome = settle_open(&w->settle, name, item, err);
	}
	if (outcome == OUTCOME_DONE && *item != NULL && process_routed(w->process, *item, w->hop))
		return OUTCOME_DONE;
	if (outcome == OUTCOME_DONE && *item != NULL)
		outcome = process_again(w->process, &w->settle.dir, name, err);
	settle_drop(*item);
	*item = NULL;
	w->held--;
	if (outcome != OUTCOME_DONE)
		set_apart(w, name);
	return outcome;
}

/* ---- results --------------------------------------------------------------------------------------------- */

enum outcome work_return(struct work *w, struct settle_item *item, struct error *err)
{
	char name[ENTRY_NAME];

	snprintf(name, sizeof name, "%s", item->name);
	settle_drop(item);
	w->held--;
	return file_rename(&w->settle.dir, name, &w->home, name, err);
}

void work_put_off(struct work *w, struct settle_item *item)
{
	char name[ENTRY_NAME];

	snprintf(name, sizeof name, "%s", item->name);
	settle_drop(item);
	w->held--;
	set_apart(w, name);
}

enum outcome work_done(struct work *w, struct settle_item *item, struct error *err)
{
	enum outcome outcome;

	renew_settle(w);
	w->held--;
	outcome = settle_close(&w->settle, item, err);
	if (outcome == OUTCOME_DONE && (w->settle.count >= SETTLE_GROUP || w->settle.recipients > SETTLE_RECIPIENTS))
		outcome = work_settle(w, err);
	return outcome;
}

size_t work_unsettled(const struct work *w)
{
	return w->settle.count;
}

enum outcome work_settle(struct work *w, struct error *err)
{
	struct names settled = {0};
	enum outcome outcome;

	renew_settle(w);
	for (size_t i = 0; i < w->settle.count; i++)
		names_add(&settled, w->settle.items[i]->name);
	outcome = settle_run(&w->settle, err);
	/* One that could not be finished, which the log tells, is committed: whoever opens it next goes on. */
	for (size_t i = 0; i < settled.count && outcome == OUTCOME_DONE; i++)
		set_apart(w, settled.items[i]);
	names_release(&settled);
	return outcome;
}

/* ---- nobody there ---------------------------------------------------------------------------------------- */

enum outcome work_unserved(const struct process *p, const char *hop, struct error *err)
{
	bool busy = false;
	char *why;
	enum outcome outcome = work_recover(p->queue, hop, &busy, err);

	if (outcome != OUTCOME_DONE || busy || served_of_late(p->queue, hop, p->age))
		return outcome;
	why = mem_format("no program that delivers by %s is running on this host (packetboat-smtp)",
	    strcmp(hop, "lmtp") == 0 ? "LMTP" : "SMTP");
	outcome = process_waiting(p, hop, why, WORK_UNSERVED, err);
	free(why);
	return outcome;
}
