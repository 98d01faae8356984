/*
 * Packing: see relay/outbox.h.
 */
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/hop.h"
#include "relay/outbox.h"

/* What header space events may take in one batch. */
#define EVENT_SHARE 4096
/* Batches whose manifest is kept for events that are still to come. */
#define PACK_MANIFESTS 4096
/* Messages too large for the disk after which the rest waits for the next pass. */
#define PACK_PATIENCE 8

/* A record that is ready, as much of it as ordering needs: the records of a large queue are not held in memory. */
struct ready {
	char *name;
	uint8_t class;
	uint64_t size; /* of the content */
	uint64_t head; /* of the envelope, about */
};

/* One batch in the making. */
struct packing {
	struct relay *relay;
	struct neighbour *neighbour;
	uint64_t sequence;
	char file[BATCH_FILE];
	char part[BATCH_FILE];
	char temporary[40];
	int fd;
	struct batch_header header;
	struct batch_writer writer;
	struct manifest manifest;
	struct envelope_context context;
	struct names records;
	struct names addresses; /* parallel to the lines of the manifest */
	size_t refused;		/* for want of space */
	uint64_t look;
	uint64_t octets;
};

/* ---- what is ready --------------------------------------------------------------------------------------- */

static int compare_ready(const void *a, const void *b)
{
	const struct ready *x = a;
	const struct ready *y = b;

	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void ready_release(struct ready *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i].name);
	free(items);
}

/* What an envelope has beside the addresses of its recipients, and with each of those: rather too much. */
#define HEAD_ALONE     1024
#define HEAD_RECIPIENT 8

static uint64_t head_of(const struct entry *e)
{
	uint64_t octets = HEAD_ALONE;

	for (size_t i = 0; i < e->recipient_count; i++)
		octets += HEAD_RECIPIENT + strlen(e->recipients[i].address);
	return octets;
}

/* Reads class and size of every ready record; what is damaged goes aside, what a crash left is finished. */
static enum outcome ready_list(
    struct relay *r, struct neighbour *n, struct ready **items, size_t *count, struct error *err)
{
	struct hop_reader reader = HOP_READER_NONE;
	struct names names;
	size_t capacity = 0;
	enum outcome outcome = dir_names(&n->hop, &names, err);

	*items = NULL;
	*count = 0;
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		struct entry e;

		if (!hop_is_record(names.items[i]))
			continue;
		outcome = hop_reader_read(&reader, &n->hop, names.items[i], &e, err);
		if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT) {
			outcome = OUTCOME_DONE; /* taken away meanwhile by the dispatch that had begun it */
		} else if (outcome != OUTCOME_DONE && err->code == EX_DATAERR) {
			outcome = queue_set_aside(&r->queue, &n->hop, names.items[i], err->text, err);
		} else if (outcome == OUTCOME_DONE) {
			*items = mem_grow(*items, *count, &capacity, sizeof **items);
			(*items)[(*count)++] =
			    (struct ready){mem_string(names.items[i]), (uint8_t)e.class, e.size, head_of(&e)};
		}
		entry_release(&e);
	}
	hop_reader_close(&reader);
	names_release(&names);
	if (*count > 1)
		qsort(*items, *count, sizeof **items, compare_ready);
	return outcome;
}

/* ---- one batch ------------------------------------------------------------------------------------------- */

static enum outcome packing_begin(
    struct packing *p, struct relay *r, struct neighbour *n, uint8_t class, struct error *err)
{
	bool fresh;
	enum outcome outcome;

	*p = (struct packing){.relay = r, .neighbour = n, .sequence = n->peer.next, .fd = -1, .look = UINT64_MAX};
	batch_file_name(n->peer.incarnation, p->sequence, p->file);
	batch_part_name(n->peer.incarnation, p->sequence, p->part);
	tmp_name(p->temporary);
	snprintf(p->header.from, sizeof p->header.from, "%s", r->queue.host);
	snprintf(p->header.to, sizeof p->header.to, "%s", n->config->name);
	p->header.incarnation = n->peer.incarnation;
	p->header.sequence = p->sequence;
	p->header.class = class;
	p->header.sealed = n->config->seal;
	peer_fill_header(&n->peer, &p->header);
	outcome = events_collect(
	    &n->peer, &r->queue.tmp, &r->queue.state, &r->queue.lock, EVENT_SHARE, &p->header, &fresh, err);
	/* Origin and incarnation of our own messages are known from the header. */
	id_set_host(&p->context.id, r->queue.host);
	p->context.id.incarnation = n->peer.incarnation;
	if (outcome == OUTCOME_DONE)
		outcome = file_create(&r->queue.tmp, p->temporary, &p->fd, err);
	if (outcome == OUTCOME_DONE)
		outcome = batch_writer_open(&p->writer, p->fd, p->file, &p->header, &r->keys, &n->keys, err);
	return outcome;
}

static void packing_release(struct packing *p)
{
	if (p->fd >= 0)
		file_remove(&p->relay->queue.tmp, p->temporary, NULL);
	file_close(&p->fd);
	batch_writer_release(&p->writer);
	batch_header_release(&p->header);
	manifest_release(&p->manifest);
	names_release(&p->records);
	names_release(&p->addresses);
}

/* The envelope as it travels: the recipients of this record, with the addresses that the neighbour is to see. */
static void travel_envelope(const struct settle_item *item, struct envelope *e)
{
	const struct envelope *full = &item->message.envelope;

	*e = *full;
	e->recipients = mem_array(item->entry.recipient_count, sizeof e->recipients[0]);
	e->recipient_count = 0;
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct entry_recipient *from = &item->entry.recipients[i];
		const struct recipient *asked = envelope_recipient(full, from->index);

		if (from->end != ENTRY_WAITS || asked == NULL)
			continue;
		e->recipients[e->recipient_count] = *asked;
		e->recipients[e->recipient_count++].address = from->address;
	}
}

static void note_recipients(struct packing *p, const struct envelope *e)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		struct manifest_line line = {.id = e->id, .index = e->recipients[i].index};

		if (e->neighbour != NULL) {
			snprintf(line.neighbour, sizeof line.neighbour, "%s", e->neighbour);
			line.batch_incarnation = e->batch_incarnation;
			line.batch_sequence = e->batch_sequence;
			line.ordinal = e->recipients[i].ordinal;
		}
		manifest_add(&p->manifest, &line);
		names_add(&p->addresses, e->recipients[i].address);
	}
}

/* Once the batch stands. */
static void log_packed(struct packing *p)
{
	for (size_t i = 0; i < p->manifest.count; i++) {
		const struct manifest_line *line = &p->manifest.lines[i];
		struct log_line out;
		char id[LIMIT_ID];

		id_print(&line->id, id);
		log_begin(&out, &p->relay->queue.log, id, "packed");
		log_text(&out, "recipient", p->addresses.items[i]);
		log_number(&out, "index", line->index);
		log_text(&out, "neighbour", p->neighbour->config->name);
		log_number(&out, "batch", p->sequence);
		log_end(&out);
	}
}

static enum outcome add_item(struct packing *p, struct settle_item *item, struct error *err)
{
	struct envelope e;
	struct buf head;
	enum outcome outcome;

	travel_envelope(item, &e);
	if (e.lifetime > 0) {
		/* What is left of it; each host counts by its own clock. */
		uint64_t now = p->relay->age.now;
		uint64_t lived = now > item->entry.arrived_age ? now - item->entry.arrived_age : 0;

		e.lifetime = lived < e.lifetime ? e.lifetime - lived : 1;
	}
	buf_init(&head, LIMIT_ENVELOPE);
	envelope_write(&e, ENVELOPE_ON_AIR, &p->context, &head);
	outcome = batch_item_begin(&p->writer, BATCH_MESSAGE, view_buf(&head), e.size, err);
	if (outcome == OUTCOME_DONE)
		outcome = stream_copy(&item->message.content.source, &p->writer.content, NULL, err);
	if (outcome == OUTCOME_DONE) {
		note_recipients(p, &e);
		names_add(&p->records, item->name);
		p->octets += e.size;
	}
	buf_release(&head);
	free(e.recipients);
	return outcome;
}

/* Adds one record, unless the routes have changed: then it goes back to be routed. */
static enum outcome pack_record(struct packing *p, struct settle *s, const char *name, struct error *err)
{
	struct process process = {s->queue, s->config, s->age, s->hooks, s->reports_left};
	struct settle_item *item;
	uint64_t look;
	enum outcome outcome = settle_open(s, name, &item, err);

	if (outcome != OUTCOME_DONE || item == NULL)
		return outcome;
	if (process_doubtful(&process, &item->entry.id))
		return process_reissue(&process, s, item, err);
	process_limits(&process, item);
	look = settle_look(&item->entry, item->expire, item->warn);
	if (!process_routed(&process, item, p->neighbour->hop_name)) {
		outcome = process_again(&process, &s->dir, name, err);
	} else if (item->expire > 0 && s->age->now >= item->entry.arrived_age + item->expire) {
		/* Waited for a place in a batch until it was too late. */
		return settle_close(s, item, err);
	} else {
		outcome = add_item(p, item, err);
		if (look < p->look)
			p->look = look;
	}
	settle_drop(item);
	return outcome;
}

/* Puts the finished file and its records into their places; see relay/outbox.h for the order. */
static enum outcome packing_commit(struct packing *p, struct error *err)
{
	struct relay *r = p->relay;
	struct neighbour *n = p->neighbour;
	struct dir part = DIR_CLOSED;
	enum outcome outcome = batch_writer_finish(&p->writer, err);

	if (outcome == OUTCOME_DONE)
		outcome = file_sync(p->fd, p->file, err);
	if (outcome == OUTCOME_DONE)
		outcome =
		    manifest_write(&p->manifest, &r->queue.tmp, &r->queue.state, n->config->name, p->sequence, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&part, &n->hop, p->part, 0700, err);
	for (size_t i = 0; i < p->records.count && outcome == OUTCOME_DONE; i++)
		outcome = file_rename(&n->hop, p->records.items[i], &part, p->records.items[i], err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&part, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&n->hop, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(&r->queue.tmp, p->temporary, &n->out, p->file, err);
	if (outcome == OUTCOME_DONE) {
		file_close(&p->fd);
		outcome = dir_sync(&n->out, err);
	}
	dir_close(&part);
	return outcome;
}

static enum outcome packing_note(struct packing *p, struct error *err)
{
	struct neighbour *n = p->neighbour;
	struct peer_batch *b = peer_out_add(&n->peer, p->sequence);
	struct log_line line;
	char label[LIMIT_ID];

	b->class = p->header.class;
	b->size = p->writer.size;
	b->messages = p->records.count;
	memcpy(b->mark, p->writer.mark, BATCH_MARK);
	if (n->config->seal)
		memcpy(b->sealed_for, n->keys.seal, sizeof b->sealed_for);
	b->look_age = p->look;
	b->packed = clock_now();
	n->peer.next = p->sequence + 1;
	n->peer.ack_due = false; /* it rides along */
	if (p->header.event_serial > n->peer.event_packed)
		n->peer.event_packed = p->header.event_serial;
	n->changed = true;
	log_packed(p);
	id_label(p->relay->queue.host, n->peer.incarnation, p->sequence, label);
	log_begin(&line, &p->relay->queue.log, label, "made");
	log_text(&line, "neighbour", n->config->name);
	log_number(&line, "messages", p->records.count);
	log_number(&line, "content", p->octets);
	log_number(&line, "size", b->size);
	log_text(&line, "class", class_name((enum message_class)b->class));
	log_end(&line);
	/* Events about a batch that long ago will not come any more. */
	if (p->sequence > PACK_MANIFESTS)
		manifest_remove(&p->relay->queue.state, n->config->name, p->sequence - PACK_MANIFESTS, NULL);
	return neighbour_save(p->relay, n, err);
}

/* Does ITEM still go into a batch of CLASS that holds RECORDS with OCTETS of content? */
static bool fits(const struct neighbour *n, const struct ready *item, uint8_t class, size_t records, uint64_t octets)
{
	return item->class == class && records < LIMIT_BATCH_ITEMS - 1 &&
	       (records == 0 || octets + item->size <= n->config->batch_size);
}

/* Octets of the batch that begins with ITEMS[0], when all of it can be packed: rather too many than too few. */
static uint64_t expected(const struct neighbour *n, const struct ready *items, size_t count)
{
	uint64_t content = 0;
	uint64_t heads = 0;

	for (size_t i = 0; i < count && fits(n, &items[i], items[0].class, i, content); i++) {
		content += items[i].size;
		heads += items[i].head;
	}
	return content + heads;
}

/* Packs records of one class from *AT on, until the batch is full. */
static enum outcome pack_batch(struct relay *r, struct neighbour *n, struct settle *s, const struct ready *items,
    size_t count, size_t *at, struct error *err)
{
	struct packing *p = mem_alloc(sizeof *p);
	uint8_t class = items[*at].class;
	enum outcome outcome = packing_begin(p, r, n, class, err);

	if (outcome == OUTCOME_DONE)
		batch_writer_expect(&p->writer, expected(n, &items[*at], count - *at));
	while (outcome == OUTCOME_DONE && *at < count && fits(n, &items[*at], class, p->records.count, p->octets) &&
	       p->manifest.count < LIMIT_BATCH_ITEMS) {
		const struct ready *item = &items[(*at)++];
		struct error why = ERROR_NONE;

		/* A large one that has no room, or one that cannot be read, keeps nobody else back. */
		if (queue_room(&r->queue, item->size, &why) != OUTCOME_DONE) {
			relay_trouble(r, item->name, &why);
			if (++p->refused > PACK_PATIENCE)
				break; /* it is the disk, not the message */
			continue;
		}
		outcome = pack_record(p, s, item->name, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = settle_run(s, err);
	if (outcome == OUTCOME_DONE && p->records.count > 0) {
		outcome = packing_commit(p, err);
		if (outcome == OUTCOME_DONE)
			outcome = packing_note(p, err);
		/* Half of it may stand. The next run puts that right before anything is packed again. */
		n->unsure = outcome != OUTCOME_DONE;
	}
	packing_release(p);
	free(p);
	return outcome;
}

static uint64_t outstanding(const struct peer *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->out_count; i++)
		sum += p->out[i].size;
	return sum;
}

/* No more goes out until something is acknowledged: what waits is put off, so that it can be warned about and expire. */
static enum outcome put_off_all(struct relay *r, struct neighbour *n, struct error *err)
{
	struct process p = {&r->queue, &r->config, &r->age, &r->hooks, &r->reports_left};

	return process_held_up(&p, n->hop_name, "the neighbour must acknowledge what is on its way first", err);
}

static enum outcome pack_ready(struct relay *r, struct neighbour *n, struct error *err)
{
	struct ready *items = NULL;
	struct settle s;
	size_t count = 0;
	size_t at = 0;
	enum outcome outcome = ready_list(r, n, &items, &count, err);

	if (outcome == OUTCOME_DONE && count > 0) {
		outcome =
		    settle_init(&s, &r->queue, &r->config, &r->age, n->hop_name, &r->hooks, &r->reports_left, err);
		while (outcome == OUTCOME_DONE && at < count && outstanding(&n->peer) < n->config->outstanding)
			outcome = pack_batch(r, n, &s, items, count, &at, err);
		if (s.trouble.outcome != OUTCOME_DONE)
			relay_trouble(r, n->config->name, &s.trouble);
		settle_release(&s);
	}
	ready_release(items, count);
	return outcome;
}

enum outcome outbox_pack(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome;

	if (n->unsure)
		return OUTCOME_DONE;
	if (outstanding(&n->peer) >= n->config->outstanding)
		return put_off_all(r, n, err);
	/* There is room: what was put off for want of it goes now. */
	outcome = hop_wake(&n->hop, UINT64_MAX, err);
	return outcome == OUTCOME_DONE ? pack_ready(r, n, err) : outcome;
}
