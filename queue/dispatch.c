#include "queue/dispatch.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/address.h"
#include "queue/hop.h"
#include "queue/judge.h"
#include "queue/records.h"
#include "queue/route.h"

/* Names that share their waits for the disk. */
#define DISPATCH_GROUP 256

/* One record in the making. */
struct child {
	char hop[LIMIT_HOST_NAME + 16];
	struct entry entry;
	char *destination; /* of all its recipients (route_destination); null where there is none */
};

/* What is being routed: a message just handed over, or a record that comes round again. */
struct parent {
	char claim[ENTRY_NAME + 2]; /* its name in queue/new now, with '~' */
	char name[ENTRY_NAME];	    /* without */
	bool fresh;		    /* the name is the message itself */
	struct message message;
	struct entry entry; /* unless fresh */
	bool stuck;	    /* could not be made now: the claim stays for the next pass */
	bool damaged;	    /* will never be made: it goes to corrupt/ */
	bool kept;	    /* the link of its own name in msg/ is a child\'s, or there is none */
	struct child *children;
	size_t count;
	size_t capacity;
	struct error unsure; /* why a recipient cannot be routed now */
};

struct dispatch {
	struct queue *queue;
	const struct config *config;
	const struct age *age;
	struct sync_set sync;
	struct records records;
	size_t committed;
	struct error trouble; /* the last failure that concerned one message only */
};

static void parent_release(struct parent *p)
{
	for (size_t i = 0; i < p->count; i++) {
		entry_release(&p->children[i].entry);
		free(p->children[i].destination);
	}
	free(p->children);
	p->children = NULL;
	p->count = p->capacity = 0;
	message_close(&p->message);
	entry_release(&p->entry);
}

/* ---- deciding -------------------------------------------------------------------------------------------- */

static void child_begin(const struct dispatch *d, const struct parent *p, struct child *child)
{
	const struct envelope *e = &p->message.envelope;

	entry_init(&child->entry);
	child->entry.id = e->id;
	child->entry.class = e->class;
	child->entry.size = e->size;
	child->entry.sender = mem_string(e->sender);
	child->entry.neighbour = mem_string(e->neighbour);
	child->entry.parent = mem_string(p->claim);
	child->entry.arrived = p->fresh ? clock_now() : p->entry.arrived;
	child->entry.arrived_age = p->fresh ? d->age->now : p->entry.arrived_age;
	child->entry.warned = !p->fresh && p->entry.warned;
}

static bool same_destination(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The child for HOP and DESTINATION; local boxes, failures and expansions share one each as well. */
static struct child *child_for(const struct dispatch *d, struct parent *p, const char *hop, const char *destination)
{
	struct child *child;

	/* From the last one on: lists are often sorted by domain. */
	for (size_t i = p->count; i > 0; i--) {
		child = &p->children[i - 1];
		if (strcmp(child->hop, hop) == 0 && same_destination(destination, child->destination))
			return child;
	}
	p->children = mem_grow(p->children, p->count, &p->capacity, sizeof *child);
	child = &p->children[p->count++];
	*child = (struct child){.destination = mem_string(destination)};
	snprintf(child->hop, sizeof child->hop, "%s", hop);
	child_begin(d, p, child);
	return child;
}

static void child_fail(const struct dispatch *d, struct parent *p, uint32_t index, const char *address,
    const char *status, const char *reason)
{
	struct child *child = child_for(d, p, "failed", NULL);

	entry_recipient_result(entry_add_recipient(&child->entry, index, address), status, reason);
}

/* Has the message been here before, since it last became a new one? */
static bool loops(const struct dispatch *d, const struct envelope *e)
{
	size_t seen = 0;

	for (size_t i = e->hop_count; i > 0 && e->hops[i - 1].protocol != HOP_EXPANDED; i--)
		seen += strcmp(e->hops[i - 1].host, d->queue->host) == 0;
	return seen > 1;
}

/* Has the host of HOP had it, since it last became a new message? */
static bool goes_back(const struct envelope *e, const char *hop)
{
	if (!text_starts(hop, "neighbour-"))
		return false;
	for (size_t i = e->hop_count; i > 0 && e->hops[i - 1].protocol != HOP_EXPANDED; i--)
		if (strcmp(e->hops[i - 1].host, hop + strlen("neighbour-")) == 0)
			return true;
	return false;
}

/* Why a neighbour may not have this recipient served; null when it may. */
static const char *forbidden(const struct dispatch *d, const struct envelope *e, const struct route *r)
{
	const struct config_neighbour *n = e->neighbour == NULL ? NULL : config_neighbour(d->config, e->neighbour);

	if (e->neighbour == NULL || !r->relayed)
		return NULL;
	if (n == NULL || !n->relay)
		return "relaying for the neighbour that brought this is not permitted here (option relay)";
	return NULL;
}

/* May the neighbour that brought it claim this sender? */
static bool sender_allowed(const struct dispatch *d, const struct envelope *e)
{
	const struct config_neighbour *n = e->neighbour == NULL ? NULL : config_neighbour(d->config, e->neighbour);
	struct address sender;

	if (n == NULL || n->senders.count == 0 || e->sender[0] == '\0')
		return true;
	if (address_parse(&sender, view_text(e->sender), NULL) != OUTCOME_DONE)
		return false;
	for (size_t i = 0; i < n->senders.count; i++)
		if (route_pattern_matches(n->senders.items[i], sender.domain))
			return true;
	return false;
}

/* Judges the message as a whole; sets STATUS and returns the reason when all of it fails. */
static const char *refused_whole(const struct dispatch *d, const struct envelope *e, const char **status)
{
	const struct config_neighbour *n = e->neighbour == NULL ? NULL : config_neighbour(d->config, e->neighbour);

	if (e->hop_count > d->config->hops || loops(d, e)) {
		*status = "5.4.6";
		return "the message goes round in a loop between hosts";
	}
	if (!sender_allowed(d, e)) {
		*status = "5.7.1";
		return "the neighbour that brought this may not send for the sender's domain (option "
		       "senders)";
	}
	if (e->size > d->config->max_size || (n != NULL && n->max_size > 0 && e->size > n->max_size)) {
		*status = "5.3.4";
		return "the message is larger than this host takes (option max-size)";
	}
	return NULL;
}

static void route_recipient(const struct dispatch *d, struct parent *p, uint32_t index, const char *address)
{
	const struct envelope *e = &p->message.envelope;
	struct route r;
	const char *why;
	struct judgement way = {.max_size = UINT64_MAX};
	char *destination;

	route_find(&r, d->config, &d->queue->mail, address);
	judge_way(&way, d->config, &r);
	why = forbidden(d, e, &r);
	if (r.kind == ROUTE_FAIL && r.status[0] == '4') {
		/* Nobody can say now: the message stays where it is. */
		error_set(&p->unsure, EX_TEMPFAIL, "%s", r.reason);
	} else if (r.kind == ROUTE_FAIL) {
		child_fail(d, p, index, address, r.status, r.reason);
	} else if (why != NULL) {
		child_fail(d, p, index, address, "5.7.1", why);
	} else if (r.kind == ROUTE_HOP && goes_back(e, r.hop)) {
		child_fail(d, p, index, address, "5.4.6",
		    "the route leads back to a host that the message has come through: the hosts' routes "
		    "make a loop");
	} else if (r.kind == ROUTE_EXPAND) {
		entry_add_recipient(&child_for(d, p, "expand", NULL)->entry, index, address);
	} else if (way.max_size < e->size) {
		judge_too_large(&way, d->config, e->size);
		child_fail(d, p, index, address, way.status, way.text);
	} else {
		destination = route_destination(&r);
		entry_add_recipient(&child_for(d, p, r.hop, destination)->entry, index, r.address);
		free(destination);
	}
	route_release(&r);
}

static void decide(const struct dispatch *d, struct parent *p)
{
	const struct envelope *e = &p->message.envelope;
	size_t count = p->fresh ? e->recipient_count : p->entry.recipient_count;
	const char *status = "";
	const char *why = p->fresh ? refused_whole(d, e, &status) : NULL;

	for (size_t i = 0; i < count; i++) {
		uint32_t index = p->fresh ? e->recipients[i].index : p->entry.recipients[i].index;
		/* Routed from the address that was asked for, not from what an earlier route made of it. */
		const struct recipient *asked = envelope_recipient(e, index);
		const char *address = asked != NULL ? asked->address : p->entry.recipients[i].address;

		if (!p->fresh && p->entry.recipients[i].end != ENTRY_WAITS)
			continue;
		if (why != NULL)
			child_fail(d, p, index, address, status, why);
		else
			route_recipient(d, p, index, address);
	}
}

/* ---- making ---------------------------------------------------------------------------------------------- */

/* The name in msg/ or queue/new that the content can be linked from. */
static const struct dir *content_dir(const struct dispatch *d, const struct parent *p)
{
	return p->fresh ? &d->queue->new : &d->queue->msg;
}

static enum outcome make_child(struct dispatch *d, struct parent *p, const struct child *child, struct error *err)
{
	char name[ENTRY_NAME];
	enum outcome outcome = OUTCOME_DONE;

	entry_name(&child->entry, name);
	/* The content first: if another message stands under that name, nothing of it may be touched. */
	if (p->fresh || strcmp(name, p->name) != 0)
		outcome = file_link(content_dir(d, p), p->fresh ? p->claim : p->name, &d->queue->msg, name, err);
	/* The record is nobody's while its parent exists. */
	return outcome == OUTCOME_DONE ? records_add(&d->records, child->hop, &child->entry, p, err) : outcome;
}

/* Takes the record NAME out of HOP when it was made from P. */
static enum outcome unmake_record(const struct parent *p, const struct dir *hop, const char *name, struct error *err)
{
	struct entry stale;
	enum outcome outcome = OUTCOME_DONE;

	if (!file_exists(hop, name, NULL) || hop_read(hop, name, &stale, NULL) != OUTCOME_DONE)
		return OUTCOME_DONE;
	if (stale.parent != NULL && strcmp(stale.parent, p->claim) == 0)
		outcome = file_remove(hop, name, err);
	entry_release(&stale);
	return outcome;
}

/* Takes away the link NAME to the content of P, unless it is P's own or another message's. */
static enum outcome unmake_link(struct dispatch *d, const struct parent *p, const char *name, struct error *err)
{
	if ((!p->fresh && strcmp(name, p->name) == 0) ||
	    !file_same(content_dir(d, p), p->fresh ? p->claim : p->name, &d->queue->msg, name))
		return OUTCOME_DONE;
	return file_remove(&d->queue->msg, name, err);
}

/* Takes away what a dispatch that died had made from the same parent, in whatever hops the routes then said. */
static enum outcome unmake(struct dispatch *d, const struct parent *p, struct error *err)
{
	size_t count = p->fresh ? p->message.envelope.recipient_count : p->entry.recipient_count;
	struct names hops;
	enum outcome outcome = hop_list(d->queue, &hops, err);
	char id[LIMIT_ID];

	id_print(&p->message.envelope.id, id);
	/* The last round, when no record is left that needs them, is for the links. */
	for (size_t h = 0; h <= hops.count && outcome == OUTCOME_DONE; h++) {
		struct dir hop = DIR_CLOSED;

		if (h < hops.count)
			outcome = dir_open(&hop, &d->queue->queue, hops.items[h], err);
		for (size_t i = 0; i < count && outcome == OUTCOME_DONE; i++) {
			uint32_t index =
			    p->fresh ? p->message.envelope.recipients[i].index : p->entry.recipients[i].index;
			char *name = mem_format("%s+%u", id, (unsigned)index);

			outcome = h < hops.count ? unmake_record(p, &hop, name, err) : unmake_link(d, p, name, err);
			free(name);
		}
		dir_close(&hop);
	}
	names_release(&hops);
	return outcome;
}

static enum outcome parent_open(struct dispatch *d, struct parent *p, struct error *err)
{
	enum outcome outcome;

	p->message.fd = -1;
	p->fresh = strchr(p->name, '+') == NULL;
	entry_init(&p->entry);
	if (p->fresh)
		return message_open(&p->message, &d->queue->new, p->claim, MESSAGE_VERIFY, err);
	outcome = hop_read(&d->queue->new, p->claim, &p->entry, err);
	if (outcome == OUTCOME_DONE)
		outcome = message_open(&p->message, &d->queue->msg, p->name, MESSAGE_TRUST, err);
	return outcome;
}

/* One bad message never blocks another: its claim stays for the next pass. */
static void keep_back(void *dispatch, void *parent, const struct error *why)
{
	struct dispatch *d = dispatch;
	struct parent *p = parent;

	p->stuck = true;
	d->trouble = *why;
	log_event(&d->queue->log, p->name, "trouble", "reason", why->text);
}

/* Routes one claimed name and makes its records, not all written and none synced. */
static enum outcome make(struct dispatch *d, struct parent *p, bool again, struct error *err)
{
	enum outcome outcome = parent_open(d, p, err);

	/* Only here is it the message that is at fault. */
	p->damaged = outcome != OUTCOME_DONE && (err->code == EX_DATAERR || err->code == EX_NOINPUT);
	if (outcome == OUTCOME_DONE && again)
		outcome = unmake(d, p, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	decide(d, p);
	if (p->unsure.outcome != OUTCOME_DONE) {
		*err = p->unsure;
		return OUTCOME_LATER;
	}
	for (size_t i = 0; i < p->count && outcome == OUTCOME_DONE; i++)
		outcome = make_child(d, p, &p->children[i], err);
	p->kept = p->fresh;
	for (size_t i = 0; i < p->count; i++) {
		char name[ENTRY_NAME];

		entry_name(&p->children[i].entry, name);
		p->kept |= strcmp(name, p->name) == 0;
	}
	/* A group may hold many messages with many recipients: nothing of them is needed any more. */
	parent_release(p);
	return outcome;
}

/* The commit: the parent goes. */
static enum outcome commit(struct dispatch *d, const struct parent *p, struct error *err)
{
	enum outcome outcome = file_remove(&d->queue->new, p->claim, err);
	/* The parent's own link to the content, when no child goes by its name. */
	if (outcome == OUTCOME_DONE && !p->kept)
		outcome = file_remove(&d->queue->msg, p->name, err);
	return outcome;
}

/* ---- a group of names ------------------------------------------------------------------------------------ */

static enum outcome claim(struct dispatch *d, const char *name, struct parent *p, bool *again, struct error *err)
{
	size_t length = strlen(name);

	*p = (struct parent){.message.fd = -1};
	*again = length > 0 && name[length - 1] == '~';
	snprintf(p->name, sizeof p->name, "%.*s", (int)(*again ? length - 1 : length), name);
	snprintf(p->claim, sizeof p->claim, "%s~", p->name);
	return *again ? OUTCOME_DONE : file_rename(&d->queue->new, name, &d->queue->new, p->claim, err);
}

static enum outcome dispatch_group(struct dispatch *d, char *const *names, size_t count, struct error *err)
{
	struct parent *parents = mem_array(count, sizeof *parents);
	bool *again = mem_array(count, sizeof *again);
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < count && outcome == OUTCOME_DONE; i++) {
		parents[i].message.fd = -1;
		/* No name that any program gives; fsck tells of it. */
		parents[i].stuck = strlen(names[i]) >= sizeof parents[i].name;
		if (!parents[i].stuck)
			outcome = claim(d, names[i], &parents[i], &again[i], err);
	}
	/* The claim must be on the disk before anything made from it is. */
	sync_add_dir(&d->sync, &d->queue->new);
	if (outcome == OUTCOME_DONE)
		outcome = sync_wait(&d->sync, err);
	for (size_t i = 0; i < count && outcome == OUTCOME_DONE; i++) {
		struct error why = ERROR_NONE;

		if (parents[i].stuck || make(d, &parents[i], again[i], &why) == OUTCOME_DONE)
			continue;
		if (parents[i].damaged) {
			parents[i].stuck = true;
			d->trouble = why;
			outcome = queue_set_aside(d->queue, &d->queue->new, parents[i].claim, why.text, err);
		} else {
			keep_back(d, &parents[i], &why);
		}
	}
	if (outcome == OUTCOME_DONE)
		records_finish(&d->records);
	sync_add_dir(&d->sync, &d->queue->msg);
	if (outcome == OUTCOME_DONE)
		outcome = sync_wait(&d->sync, err);
	for (size_t i = 0; i < count && outcome == OUTCOME_DONE; i++)
		if (!parents[i].stuck) {
			outcome = commit(d, &parents[i], err);
			d->committed++;
		}
	sync_add_dir(&d->sync, &d->queue->new);
	if (outcome == OUTCOME_DONE)
		outcome = sync_wait(&d->sync, err);
	sync_drop(&d->sync);
	for (size_t i = 0; i < count; i++)
		parent_release(&parents[i]);
	free(parents);
	free(again);
	return outcome;
}

enum outcome dispatch_new(
    struct queue *q, const struct config *c, const struct age *age, size_t *count, struct error *err)
{
	struct dispatch d = {.queue = q, .config = c, .age = age};
	struct names names = {0};
	struct lock lock;
	bool held;
	enum outcome outcome = hop_lock_try(q, "new", &lock, &held, err);

	if (count != NULL)
		*count = 0;
	if (outcome != OUTCOME_DONE)
		return held ? OUTCOME_DONE : outcome;
	sync_init(&d.sync, &q->spool);
	records_init(&d.records, q, &d.sync, keep_back, &d);
	outcome = dir_names(&q->new, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i += DISPATCH_GROUP) {
		size_t left = names.count - i;

		outcome = dispatch_group(&d, names.items + i, left < DISPATCH_GROUP ? left : DISPATCH_GROUP, err);
	}
	if (count != NULL)
		*count = d.committed;
	records_release(&d.records);
	names_release(&names);
	lock_release(&lock);
	if (outcome == OUTCOME_DONE && d.trouble.outcome != OUTCOME_DONE) {
		*err = d.trouble;
		outcome = OUTCOME_LATER;
	}
	return outcome;
}
