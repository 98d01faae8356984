#include "queue/process.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/dispatch.h"
#include "queue/maildir.h"

/* Decides about one opened item: done, or a failure that ends the work on this hop. */
typedef enum outcome decide_item(
    const struct process *p, struct settle *s, struct settle_item *item, void *context, struct error *err);

/* The address as the sender wrote it, for the recipient of a record. */
static const char *asked_address(const struct settle_item *item, size_t place)
{
	const struct entry_recipient *r = &item->entry.recipients[place];
	const struct recipient *asked = envelope_recipient(&item->message.envelope, r->index);

	return asked != NULL ? asked->address : r->address;
}

void process_route(const struct process *p, const struct settle_item *item, size_t place, struct route *r)
{
	route_find(r, p->config, &p->queue->mail, asked_address(item, place));
}

bool process_routed(const struct process *p, const struct settle_item *item, const char *hop)
{
	char *first = NULL; /* the destination of the first that waits, "" where there is none */
	bool same = true;

	for (size_t i = 0; i < item->entry.recipient_count && same; i++) {
		struct route r;
		char *destination;

		if (item->entry.recipients[i].end != ENTRY_WAITS)
			continue;
		process_route(p, item, i, &r);
		destination = route_destination(&r);
		if (destination == NULL)
			destination = mem_string("");
		same = r.kind == ROUTE_HOP && strcmp(r.hop, hop) == 0 &&
		       strcmp(r.address, item->entry.recipients[i].address) == 0 &&
		       (first == NULL || strcmp(first, destination) == 0);
		if (first == NULL) {
			first = destination;
			destination = NULL;
		}
		free(destination);
		route_release(&r);
	}
	free(first);
	return same;
}

enum outcome process_again(const struct process *p, const struct dir *from, const char *name, struct error *err)
{
	/* Not synced: after a crash it lies in the one place or the other, and both are right. */
	return file_rename(from, name, &p->queue->new, name, err);
}

void process_limits(const struct process *p, struct settle_item *item)
{
	item->expire = item->message.envelope.lifetime;
	item->warn = UINT64_MAX;
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		struct route r;

		if (item->entry.recipients[i].end != ENTRY_WAITS)
			continue;
		process_route(p, item, i, &r);
		if (r.expire > 0 && (item->expire == 0 || r.expire < item->expire))
			item->expire = r.expire;
		if (r.warn > 0 && r.warn < item->warn)
			item->warn = r.warn;
		route_release(&r);
	}
	if (item->warn == UINT64_MAX)
		item->warn = 0;
}

static decide_item decide_failed;
static decide_item decide_waiting;

struct waiting {
	const char *hop;
	const char *why;
	uint64_t older;
};

/* Is the record too young to be told that it waits? One that was committed before a crash is finished all the same. */
static bool too_young(const struct process *p, const struct dir *d, const char *name, const struct waiting *w)
{
	struct entry e;
	bool young;

	if (w->older == 0)
		return false;
	young = hop_read(d, name, &e, NULL) == OUTCOME_DONE && !e.ended && e.move_count == 0 &&
		e.arrived_age + w->older > p->age->now;
	entry_release(&e);
	return young;
}

/* Failures in a row after which the cause is taken to be the disk, not the message. */
#define PROCESS_PATIENCE 16

static enum outcome process_one(const struct process *p, struct settle *s, const char *name, decide_item *decide,
    void *context, struct error *err)
{
	struct settle_item *item;
	enum outcome outcome = settle_open(s, name, &item, err);

	return outcome == OUTCOME_DONE && item != NULL ? decide(p, s, item, context, err) : outcome;
}

static enum outcome process_ready(
    const struct process *p, struct settle *s, decide_item *decide, void *context, struct error *err)
{
	struct names names = {0};
	size_t failures = 0;
	enum outcome outcome = hop_wake(&s->dir, p->age->now, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&s->dir, &names, err);
	for (size_t i = 0; i < names.count && failures < PROCESS_PATIENCE; i++) {
		struct error why = ERROR_NONE;

		if (!hop_is_record(names.items[i]))
			continue;
		if (decide == decide_failed && *p->reports_left == 0)
			break; /* the cap of this pass */
		if (decide == decide_waiting && too_young(p, &s->dir, names.items[i], context))
			continue;
		if (process_one(p, s, names.items[i], decide, context, &why) == OUTCOME_DONE) {
			failures = 0;
			continue;
		}
		/* One bad message never blocks another. */
		failures++;
		log_event(&p->queue->log, names.items[i], "trouble", "reason", why.text);
		s->trouble = why;
	}
	names_release(&names);
	if (outcome == OUTCOME_DONE)
		outcome = settle_run(s, err);
	if (outcome == OUTCOME_DONE && s->trouble.outcome != OUTCOME_DONE) {
		*err = s->trouble;
		outcome = OUTCOME_LATER;
	}
	return outcome;
}

static enum outcome process_hop(
    const struct process *p, const char *hop, decide_item *decide, void *context, struct error *err)
{
	struct settle s;
	struct dir probe;
	struct lock lock;
	bool held;
	enum outcome outcome = dir_open(&probe, &p->queue->queue, hop, err);
	bool idle = outcome != OUTCOME_DONE || dir_empty(&probe);

	dir_close(&probe);
	if (idle)
		return OUTCOME_DONE;
	outcome = hop_lock_try(p->queue, hop, &lock, &held, err);
	if (outcome != OUTCOME_DONE)
		return held ? OUTCOME_DONE : outcome;
	outcome = settle_init(&s, p->queue, p->config, p->age, hop, p->hooks, p->reports_left, err);
	if (outcome == OUTCOME_DONE)
		outcome = process_ready(p, &s, decide, context, err);
	settle_release(&s);
	lock_release(&lock);
	if (outcome != OUTCOME_DONE)
		error_context(err, "working on the hop \"%s\"", hop);
	return outcome;
}

static enum outcome send_back(const struct process *p, struct settle *s, struct settle_item *item, struct error *err)
{
	enum outcome outcome = process_again(p, &s->dir, item->name, err);

	settle_drop(item);
	return outcome;
}

/* ---- local ----------------------------------------------------------------------------------------------- */

/* Writes one recipient's copy and stages it for the Maildir. */
static enum outcome stage_mail(
    const struct process *p, struct settle *s, struct settle_item *item, size_t place, struct error *err)
{
	const struct entry_recipient *r = &item->entry.recipients[place];
	char name[40];
	struct fd_sink file;
	struct buffer_sink out;
	struct buf target;
	uint64_t size;
	uint64_t wire_size;
	int fd = -1;
	enum outcome outcome = maildir_make(&p->queue->mail, r->address, err);

	tmp_name(name);
	buf_init(&target, 1024);
	if (outcome == OUTCOME_DONE)
		outcome = file_create(&p->queue->tmp, name, &fd, err);
	fd_sink_init(&file, fd, name);
	buffer_sink_init(&out, &file.sink);
	message_rewind(&item->message);
	if (outcome == OUTCOME_DONE)
		outcome =
		    maildir_write(&item->message, asked_address(item, place), &out.sink, &size, &wire_size, err);
	if (outcome == OUTCOME_DONE)
		outcome = buffer_sink_flush(&out, err);
	buffer_sink_release(&out);
	if (outcome == OUTCOME_DONE) {
		buf_format(&target, "mail/%s/new/", r->address);
		maildir_name(
		    &item->message.envelope, r->index, item->entry.arrived, p->queue->host, size, wire_size, &target);
		outcome = settle_stage(s, item, &p->queue->tmp, name, fd, buf_string(&target), err);
		fd = -1;
	} else if (fd >= 0) {
		file_remove(&p->queue->tmp, name, NULL);
	}
	file_close(&fd);
	buf_release(&target);
	return outcome;
}

static enum outcome decide_local(
    const struct process *p, struct settle *s, struct settle_item *item, void *context, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	(void)context;
	if (!process_routed(p, item, "local"))
		return send_back(p, s, item, err);
	outcome = queue_room(p->queue, item->entry.size, err);
	for (size_t i = 0; i < item->entry.recipient_count && outcome == OUTCOME_DONE; i++) {
		if (item->entry.recipients[i].end != ENTRY_WAITS)
			continue;
		outcome = stage_mail(p, s, item, i, err);
		if (outcome == OUTCOME_DONE)
			settle_recipient(item, i, ENTRY_DELIVERED, "2.1.5", NULL);
	}
	if (outcome != OUTCOME_DONE) {
		settle_drop(item);
		return outcome;
	}
	return settle_close(s, item, err);
}

enum outcome process_local(const struct process *p, struct error *err)
{
	return process_hop(p, "local", decide_local, NULL, err);
}

/* ---- expand ---------------------------------------------------------------------------------------------- */

/* An envelope without recipients for a message that goes on as a new one. */
static void begin_again(const struct envelope *old, struct envelope *e)
{
	envelope_init(e);
	e->class = old->class;
	e->smtputf8 = old->smtputf8;
	e->ret = old->ret;
	e->envid = mem_string(old->envid);
	e->sender = mem_string(old->sender);
	e->lifetime = old->lifetime;
	for (size_t i = 0; i < old->hop_count; i++) {
		envelope_add_hop(e, old->hops[i].host, old->hops[i].time, old->hops[i].protocol);
		envelope_hop_client(e, old->hops[i].client);
	}
}

static void expanded_envelope(const struct process *p, const struct settle_item *item, const struct recipient *from,
    const struct route *r, struct envelope *e)
{
	const struct envelope *old = &item->message.envelope;

	begin_again(old, e);
	for (size_t i = 0; i < r->targets.count; i++) {
		struct recipient *to = envelope_add_recipient(e, r->targets.items[i]);

		/* RFC 3461 5.2.7.3: success was reported as "expanded", the rest goes along. */
		to->notify = (uint8_t)(from->notify & ~NOTIFY_SUCCESS);
		if (from->notify != 0 && to->notify == 0)
			to->notify = NOTIFY_NEVER;
		to->orcpt = mem_string(from->orcpt);
	}
	envelope_add_hop(e, p->queue->host, clock_now(), HOP_EXPANDED);
}

static enum outcome stage_again(
    const struct process *p, struct settle *s, struct settle_item *item, struct envelope *e, struct error *err)
{
	struct message_writer w;
	char id[LIMIT_ID];
	enum outcome outcome = queue_next_id(p->queue, 16, &e->id, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = message_writer_open(&w, &p->queue->tmp, err);
	message_rewind(&item->message);
	if (outcome == OUTCOME_DONE)
		outcome = stream_copy(&item->message.content.source, &w.sink, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = message_writer_finish(&w, e, err);
	if (outcome == OUTCOME_DONE) {
		int fd = w.fd;
		char *target;

		w.fd = -1;
		id_print(&e->id, id);
		target = mem_format("queue/new/%s", id);
		outcome = settle_stage(s, item, &p->queue->tmp, w.name, fd, target, err);
		free(target);
	}
	message_writer_abort(&w);
	return outcome;
}

static enum outcome decide_expand(
    const struct process *p, struct settle *s, struct settle_item *item, void *context, struct error *err)
{
	bool routed = true;
	enum outcome outcome = queue_room(p->queue, item->entry.size, err);

	(void)context;
	for (size_t i = 0; i < item->entry.recipient_count && outcome == OUTCOME_DONE && routed; i++) {
		const struct recipient *asked =
		    envelope_recipient(&item->message.envelope, item->entry.recipients[i].index);
		struct route r;
		struct envelope e;
		char id[LIMIT_ID];

		if (item->entry.recipients[i].end != ENTRY_WAITS || asked == NULL)
			continue;
		route_find(&r, p->config, &p->queue->mail, asked->address);
		routed = r.kind == ROUTE_EXPAND;
		if (routed) {
			expanded_envelope(p, item, asked, &r, &e);
			outcome = stage_again(p, s, item, &e, err);
			id_print(&e.id, id);
			if (outcome == OUTCOME_DONE)
				settle_recipient(item, i, ENTRY_EXPANDED, "2.1.5", id);
			envelope_release(&e);
		}
		route_release(&r);
	}
	if (outcome == OUTCOME_DONE && !routed)
		return send_back(p, s, item, err);
	if (outcome != OUTCOME_DONE) {
		settle_drop(item);
		return outcome;
	}
	return settle_close(s, item, err);
}

enum outcome process_expand(const struct process *p, struct error *err)
{
	return process_hop(p, "expand", decide_expand, NULL, err);
}

/* ---- doubtful ids ---------------------------------------------------------------------------------------- */

static char *doubt_name(uint32_t incarnation)
{
	char text[INCARNATION_TEXT];

	incarnation_print(incarnation, text);
	return mem_format("doubt.%s", text);
}

enum outcome process_doubt(struct queue *q, struct error *err)
{
	char *name = doubt_name(q->incarnation);
	enum outcome outcome = file_commit(&q->tmp, &q->state, name, view_of(NULL, 0), err);

	free(name);
	return outcome;
}

bool process_doubtful(const struct process *p, const struct id *id)
{
	char *name;
	bool doubt;

	if (strcmp(id->host, p->queue->host) != 0 || id->incarnation == p->queue->incarnation)
		return false;
	name = doubt_name(id->incarnation);
	doubt = file_exists(&p->queue->state, name, NULL);
	free(name);
	return doubt;
}

enum outcome process_reissue(const struct process *p, struct settle *s, struct settle_item *item, struct error *err)
{
	struct envelope e;
	char id[LIMIT_ID];
	enum outcome outcome;

	begin_again(&item->message.envelope, &e);
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct recipient *asked =
		    envelope_recipient(&item->message.envelope, item->entry.recipients[i].index);
		struct recipient *to;

		if (item->entry.recipients[i].end != ENTRY_WAITS || asked == NULL)
			continue;
		to = envelope_add_recipient(&e, asked->address);
		to->notify = asked->notify;
		to->orcpt = mem_string(asked->orcpt);
	}
	outcome = stage_again(p, s, item, &e, err);
	id_print(&e.id, id);
	envelope_release(&e);
	for (size_t i = 0; i < item->entry.recipient_count && outcome == OUTCOME_DONE; i++)
		if (item->entry.recipients[i].end == ENTRY_WAITS)
			settle_recipient(item, i, ENTRY_REISSUED, "2.0.0", id);
	if (outcome != OUTCOME_DONE) {
		settle_drop(item);
		return outcome;
	}
	return settle_close(s, item, err);
}

/* ---- failed, removed, waiting ---------------------------------------------------------------------------- */

static enum outcome decide_failed(
    const struct process *p, struct settle *s, struct settle_item *item, void *context, struct error *err)
{
	(void)p;
	(void)context;
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		struct entry_recipient *r = &item->entry.recipients[i];

		if (r->end == ENTRY_WAITS)
			settle_recipient(
			    item, i, ENTRY_FAILED, r->status[0] != '\0' ? r->status : "5.0.0", r->reason);
	}
	return settle_close(s, item, err);
}

enum outcome process_failed(const struct process *p, struct error *err)
{
	return process_hop(p, "failed", decide_failed, NULL, err);
}

static enum outcome decide_removed(
    const struct process *p, struct settle *s, struct settle_item *item, void *context, struct error *err)
{
	(void)p;
	(void)context;
	for (size_t i = 0; i < item->entry.recipient_count; i++)
		if (item->entry.recipients[i].end == ENTRY_WAITS)
			settle_recipient(item, i, ENTRY_REMOVED, "5.7.0", "removed by the operator");
	return settle_close(s, item, err);
}

enum outcome process_removed(const struct process *p, struct error *err)
{
	return process_hop(p, "removed", decide_removed, NULL, err);
}

static enum outcome decide_waiting(
    const struct process *p, struct settle *s, struct settle_item *item, void *context, struct error *err)
{
	const struct waiting *w = context;

	if (!process_routed(p, item, w->hop))
		return send_back(p, s, item, err);
	for (size_t i = 0; i < item->entry.recipient_count; i++)
		if (item->entry.recipients[i].end == ENTRY_WAITS)
			settle_recipient(item, i, ENTRY_WAITS, "4.3.5", w->why);
	process_limits(p, item);
	return settle_close(s, item, err);
}

enum outcome process_waiting(
    const struct process *p, const char *hop, const char *why, uint64_t older, struct error *err)
{
	struct waiting w = {hop, why, older};

	return process_hop(p, hop, decide_waiting, &w, err);
}

enum outcome process_held_up(const struct process *p, const char *hop, const char *why, struct error *err)
{
	struct waiting w = {hop, why, 0};
	struct settle s;
	enum outcome outcome = settle_init(&s, p->queue, p->config, p->age, hop, p->hooks, p->reports_left, err);

	if (outcome == OUTCOME_DONE)
		outcome = process_ready(p, &s, decide_waiting, &w, err);
	settle_release(&s);
	return outcome;
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

size_t process_rounds(const struct process *p, process_trouble *trouble, void *context)
{
	static const struct {
		const char *about;
		enum outcome (*work)(const struct process *p, struct error *err);
	} steps[] = {{"expand", process_expand}, {"failed", process_failed}, {"removed", process_removed},
	    {"local", process_local}};
	size_t moved = 0;

	for (size_t round = 0; round < PROCESS_ROUNDS; round++) {
		struct error err = ERROR_NONE;
		size_t count;

		if (dispatch_new(p->queue, p->config, p->age, &count, &err) != OUTCOME_DONE)
			trouble(context, "new", &err);
		moved += count;
		for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
			struct error why = ERROR_NONE;

			if (steps[i].work(p, &why) != OUTCOME_DONE)
				trouble(context, steps[i].about, &why);
		}
		/* What could not be routed now is not tried again in this pass. */
		if (count == 0 || dir_empty(&p->queue->new))
			break;
	}
	return moved;
}
