/*
 * The operator's moves. Each commits by one rename under the lock of the hop the record lies in, so a crash leaves it
 * in the old place or the new, or marked as ended. A record that leaves a batch leaves the marker "recall" there: the next relay pass
 * takes that batch apart and packs the others again.
 */
#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/work.h"

/* Tries, and milliseconds between two, to find a record at rest that is being delivered or moved. */
#define ACT_TRIES 60
#define ACT_PAUSE 50

struct acting {
	struct queue *queue;
	enum queue_action action;
	struct queue_place *places;
	size_t count;
	size_t capacity;
};

static bool collect(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct acting *a = context;

	(void)entry;
	(void)err;
	a->places = mem_grow(a->places, a->count, &a->capacity, sizeof *place);
	a->places[a->count++] = *place;
	return true;
}

static enum outcome recall(
    const struct queue *q, const struct dir *from, const struct queue_place *place, struct error *err)
{
	if (!text_starts(place->within, "batch-"))
		return OUTCOME_DONE;
	return file_replace(&q->tmp, from, "recall", view_of(NULL, 0), err);
}

static enum outcome move_to(
    struct acting *a, const struct dir *from, const struct queue_place *place, const char *hop, struct error *err)
{
	struct dir to;
	enum outcome outcome = hop_open(a->queue, hop, &to, err);

	if (outcome == OUTCOME_DONE)
		outcome = recall(a->queue, from, place, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(from, place->name, &to, place->name, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&to, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(from, err);
	dir_close(&to);
	return outcome;
}

/*
 * Removes a record and its content at once, when nobody else must be told. The record says first that it has ended, so
 * that a crash leaves nothing that counts.
 */
static enum outcome remove_record(
    struct acting *a, const struct dir *from, const struct queue_place *place, struct entry *e, struct error *err)
{
	struct buf text;
	enum outcome outcome = recall(a->queue, from, place, err);

	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].end == ENTRY_WAITS)
			e->recipients[i].end = ENTRY_REMOVED;
	e->ended = true;
	buf_init(&text, LIMIT_ENTRY);
	entry_write(e, &text);
	if (outcome == OUTCOME_DONE)
		outcome = file_commit(&a->queue->tmp, from, place->name, view_buf(&text), err);
	buf_release(&text);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(&a->queue->msg, place->name, err);
	return outcome == OUTCOME_DONE ? file_remove(from, place->name, err) : outcome;
}

static void log_act(struct acting *a, const struct entry *e, const char *event)
{
	struct log_line line;
	char id[LIMIT_ID];

	id_print(&e->id, id);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct entry_recipient *r = &e->recipients[i];

		if (r->end != ENTRY_WAITS && r->end != ENTRY_REMOVED)
			continue;
		log_begin(&line, &a->queue->log, id, event);
		log_text(&line, "recipient", r->address);
		log_number(&line, "index", r->index);
		log_end(&line);
	}
}

static enum outcome act_on_record(
    struct acting *a, const struct dir *from, const struct queue_place *place, struct entry *e, struct error *err)
{
	static const char *const events[] = {"held", "released", "retried", "rerouted", "removed"};
	bool held = strcmp(place->hop, "hold") == 0;
	enum outcome outcome = OUTCOME_DONE;

	switch (a->action) {
	case QUEUE_HOLD:
		if (held)
			return error_set(err, EX_DATAERR, "%s is held already", place->name);
		outcome = move_to(a, from, place, "hold", err);
		break;
	case QUEUE_RELEASE:
		if (!held)
			return error_set(err, EX_DATAERR, "%s is not held", place->name);
		outcome = move_to(a, from, place, "new", err);
		break;
	case QUEUE_RETRY:
		if (text_starts(place->within, "due-"))
			outcome = move_to(a, from, place, place->hop, err);
		break;
	case QUEUE_REROUTE:
		outcome = move_to(a, from, place, "new", err);
		break;
	case QUEUE_REMOVE:
		outcome = e->neighbour != NULL ? move_to(a, from, place, "removed", err)
					       : remove_record(a, from, place, e, err);
		break;
	}
	if (outcome == OUTCOME_DONE)
		log_act(a, e, events[a->action]);
	return outcome;
}

/* A message that is not routed yet becomes a record first: in hold, or about to be removed. */
static enum outcome admit(struct acting *a, const struct queue_place *place, const char *hop, struct error *err)
{
	struct queue *q = a->queue;
	struct message m;
	struct entry e;
	struct buf text;
	struct dir to;
	char name[ENTRY_NAME];
	char claim[ENTRY_NAME + 2];
	struct age age;
	enum outcome outcome = message_open(&m, &q->new, place->name, MESSAGE_TRUST, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	/* Claimed as a dispatch does it, which also takes up what a crash leaves here. */
	snprintf(claim, sizeof claim, "%s~", place->name);
	entry_init(&e);
	e.id = m.envelope.id;
	e.class = m.envelope.class;
	e.size = m.envelope.size;
	e.sender = mem_string(m.envelope.sender);
	e.neighbour = mem_string(m.envelope.neighbour);
	for (size_t i = 0; i < m.envelope.recipient_count; i++)
		entry_add_recipient(&e, m.envelope.recipients[i].index, m.envelope.recipients[i].address);
	outcome = age_look(&q->state, &age, err);
	e.arrived = age.wall;
	e.arrived_age = age.now;
	e.parent = mem_string(claim);
	entry_name(&e, name);
	buf_init(&text, LIMIT_ENTRY);
	entry_write(&e, &text);
	if (outcome == OUTCOME_DONE)
		outcome = hop_open(q, hop, &to, err);
	else
		to = DIR_CLOSED;
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(&q->new, place->name, &q->new, claim, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&q->new, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_link(&q->new, claim, &q->msg, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&q->msg, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_commit(&q->tmp, &to, name, view_buf(&text), err);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(&q->new, claim, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&q->new, err);
	if (outcome == OUTCOME_DONE)
		log_act(a, &e, strcmp(hop, "hold") == 0 ? "held" : "removed");
	dir_close(&to);
	buf_release(&text);
	entry_release(&e);
	message_close(&m);
	return outcome;
}

/* A record in a work slot: what a crash left goes back to its hop, what is being delivered is left alone. */
static enum outcome disturb(struct acting *a, const struct queue_place *place, struct error *err)
{
	bool busy = false;
	bool held;
	struct lock slot;
	enum outcome outcome = work_slot_try(a->queue, place->hop, place->within, &slot, &held, err);

	lock_release(&slot);
	if (outcome == OUTCOME_DONE)
		outcome = work_recover(a->queue, place->hop, &busy, err);
	else if (held)
		return error_set(err, EX_UNAVAILABLE, "%s is being delivered at this moment", place->name);
	return outcome == OUTCOME_DONE ? error_set(err, EX_NOINPUT, "%s went back to its hop", place->name) : outcome;
}

/*
 * Acts on what was found at PLACE. EX_NOINPUT: it is not there any more; EX_UNAVAILABLE: a program is delivering it. Both
 * are worth another look.
 */
static enum outcome act_on_place(struct acting *a, const struct queue_place *place, struct error *err)
{
	struct lock lock;
	struct dir from;
	struct entry e;
	bool fresh = strcmp(place->hop, "new") == 0 && strchr(place->name, '+') == NULL;
	int claimed = (int)strcspn(place->name, "~");
	enum outcome outcome;

	if (text_starts(place->within, "work-"))
		return disturb(a, place, err);
	outcome = hop_lock(a->queue, place->hop, &lock, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (hop_is_claim(place->hop, place->name)) {
		/* Of a dispatch that died, or could not do it; the next one takes it up. */
		outcome = error_set(err, EX_TEMPFAIL,
		    "the routing of %.*s was begun and is not finished; run a relay pass first, and if it cannot, "
		    "see to the reason that `packetboat list` gives",
		    claimed, place->name);
	} else if (fresh && (a->action == QUEUE_HOLD || a->action == QUEUE_REMOVE)) {
		outcome = admit(a, place, a->action == QUEUE_HOLD ? "hold" : "removed", err);
	} else if (fresh && a->action == QUEUE_RELEASE) {
		outcome = error_set(err, EX_DATAERR, "%s is not held", place->name);
	} else if (!fresh) {
		entry_init(&e);
		outcome = hop_open_within(a->queue, place->hop, place->within, &from, err);
		if (outcome == OUTCOME_DONE)
			outcome = hop_read(&from, place->name, &e, err);
		if (outcome == OUTCOME_DONE && (e.ended || e.move_count > 0 ||
						   (e.parent != NULL && file_exists(&a->queue->new, e.parent, NULL))))
			outcome =
			    error_set(err, EX_TEMPFAIL, "%s is being delivered; run a relay pass first", place->name);
		if (outcome == OUTCOME_DONE)
			outcome = act_on_record(a, &from, place, &e, err);
		entry_release(&e);
		dir_close(&from);
	}
	lock_release(&lock);
	return outcome;
}

/* Where the record NAME lies now. */
struct seeking {
	const char *name;
	struct queue_place place;
	bool found;
};

static bool seek(void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct seeking *s = context;

	(void)entry;
	(void)err;
	if (strcmp(place->name, s->name) == 0) {
		s->place = *place;
		s->found = true;
	}
	return !s->found;
}

/* Acts on a record that may be moving: its place is looked up again until it stays, or for a few seconds. */
static enum outcome act_on_moving(
    struct acting *a, const struct id *id, const struct queue_place *found, struct error *err)
{
	const struct timespec pause = {.tv_nsec = ACT_PAUSE * 1000000L};
	struct seeking s = {found->name, *found, true};
	enum outcome outcome = OUTCOME_DONE;

	for (unsigned i = 0; i < ACT_TRIES; i++) {
		outcome = act_on_place(a, &s.place, err);
		if (outcome == OUTCOME_DONE || (err->code != EX_NOINPUT && err->code != EX_UNAVAILABLE))
			return outcome;
		if (err->code == EX_UNAVAILABLE)
			nanosleep(&pause, NULL);
		s.found = false;
		outcome = queue_find(a->queue, id, seek, &s, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
		if (!s.found && strchr(found->name, '+') == NULL)
			return error_set(err, EX_TEMPFAIL, "%s is being routed; try again in a moment", found->name);
		if (!s.found)
			return error_set(err, EX_DATAERR, "%s has left the queue meanwhile", found->name);
	}
	if (err->code == EX_UNAVAILABLE)
		outcome = error_set(
		    err, EX_TEMPFAIL, "%s is being delivered at this moment; try again in a moment", found->name);
	return outcome;
}

/* Gathers the places of ID. What a dispatch has claimed is left to it until it is through. */
static enum outcome places_find(struct acting *a, const struct id *id, struct error *err)
{
	enum outcome outcome = queue_find(a->queue, id, collect, a, err);
	bool claimed = false;
	struct lock lock = LOCK_NONE;

	for (size_t i = 0; i < a->count; i++)
		claimed |= hop_is_claim(a->places[i].hop, a->places[i].name);
	if (outcome != OUTCOME_DONE || !claimed)
		return outcome;
	outcome = hop_lock(a->queue, "new", &lock, err);
	lock_release(&lock);
	a->count = 0;
	return outcome == OUTCOME_DONE ? queue_find(a->queue, id, collect, a, err) : outcome;
}

enum outcome queue_act(
    struct queue *q, enum queue_action action, const struct id *id, size_t *count, struct error *err)
{
	struct acting a = {.queue = q, .action = action};
	enum outcome outcome = places_find(&a, id, err);
	char text[LIMIT_ID];

	struct error first = ERROR_NONE;

	*count = 0;
	id_print(id, text);
	if (outcome == OUTCOME_DONE && a.count == 0)
		outcome = error_set(err, EX_DATAERR, "there is no message %s in the queue", text);
	for (size_t i = 0; i < a.count && outcome == OUTCOME_DONE; i++) {
		struct error why = ERROR_NONE;

		if (act_on_moving(&a, id, &a.places[i], &why) == OUTCOME_DONE)
			(*count)++;
		else if (first.code == EX_OK)
			first = why;
	}
	free(a.places);
	/* Some of its records may be held and others not: it failed if nothing could be done. */
	if (outcome == OUTCOME_DONE && *count == 0) {
		*err = first;
		outcome = first.outcome;
	}
	return outcome;
}
