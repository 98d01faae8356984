#include "relay/outbox.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/hop.h"

static const char file_damaged[] = "its file is damaged";

/* The records in the directory of a batch; none when there is no such directory. */
static enum outcome part_count(const struct neighbour *n, const char *part, uint64_t *count, struct error *err)
{
	struct names names = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &n->hop, part, err);

	*count = 0;
	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count; i++)
		*count += hop_is_record(names.items[i]);
	names_release(&names);
	dir_close(&d);
	return outcome;
}

/* ---- the end of a batch ---------------------------------------------------------------------------------- */

/* Moves the records of a batch back into the hop, and removes its directory. */
static enum outcome unpack_records(struct neighbour *n, const char *part, struct error *err)
{
	struct dir d;
	struct names names = {0};
	enum outcome outcome = dir_open(&d, &n->hop, part, err);

	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		outcome = hop_is_record(names.items[i])
			      ? file_rename(&d, names.items[i], &n->hop, names.items[i], err)
			      : file_remove(&d, names.items[i], err);
	names_release(&names);
	dir_close(&d);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&n->hop, err);
	return outcome == OUTCOME_DONE ? dir_remove(&n->hop, part, err) : outcome;
}

enum outcome outbox_dissolve(
    struct relay *r, struct neighbour *n, struct peer_batch *batch, const char *why, struct error *err)
{
	struct peer_batch was = *batch;
	char file[BATCH_FILE];
	char part[BATCH_FILE];
	uint64_t sequence = batch->sequence;
	bool ours = batch->incarnation == n->peer.incarnation;
	enum outcome outcome;

	batch_file_name(batch->incarnation, sequence, file);
	batch_part_name(batch->incarnation, sequence, part);
	/* The state first: a batch that it calls void is not adopted again after a crash. */
	peer_out_drop(&n->peer, batch);
	if (ours)
		ranges_add(&n->peer.voided, sequence, sequence);
	n->changed = true;
	outcome = neighbour_save(r, n, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(&n->out, file, err);
	if (outcome == OUTCOME_DONE && ours)
		outcome = manifest_remove(&r->queue.state, n->config->name, sequence, err);
	if (outcome == OUTCOME_DONE)
		outcome = unpack_records(n, part, err);
	if (outcome == OUTCOME_DONE)
		relay_log_batch(r, &was, "dissolved", n->config->name, why);
	return outcome;
}

/* Whoever a file says it is from, it is ours or of no use. */
static const struct public_keys *our_keys(void *context, const char *name)
{
	const struct relay *r = context;

	(void)name;
	return &r->keys.public;
}

/* Is the file of B what was made here? NEVER: it is not. */
static enum outcome prove(struct relay *r, struct neighbour *n, const struct peer_batch *b, struct error *err)
{
	static const struct batch_limits limits = {0};
	struct batch_reader *reader;
	struct host_keys theirs = r->keys;
	char name[BATCH_FILE];
	int fd;
	enum outcome outcome;

	batch_file_name(b->incarnation, b->sequence, name);
	outcome = file_open(&n->out, name, &fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	/* Its signature can be proved although its content is not for us. */
	snprintf(theirs.public.host, sizeof theirs.public.host, "%s", n->config->name);
	reader = mem_alloc(sizeof *reader);
	outcome = batch_reader_open(reader, fd, name, &theirs, our_keys, r, &limits, err);
	if (outcome == OUTCOME_DONE && memcmp(reader->mark, b->mark, sizeof reader->mark) != 0)
		outcome = error_set(err, EX_DATAERR, "%s is another batch", name);
	batch_reader_release(reader);
	sodium_memzero(&theirs, sizeof theirs);
	free(reader);
	file_close(&fd);
	return outcome;
}

enum outcome outbox_check(struct relay *r, struct neighbour *n, struct peer_batch *batch, struct error *err)
{
	struct error why = ERROR_NONE;
	enum outcome outcome = prove(r, n, batch, &why);

	if (outcome == OUTCOME_NEVER)
		return outbox_dissolve(r, n, batch, file_damaged, err);
	if (outcome != OUTCOME_DONE)
		*err = why;
	return outcome;
}

/* One record of an acknowledged batch: the neighbour has it. */
static enum outcome forwarded(struct settle *s, const char *name, void *context, struct error *err)
{
	struct settle_item *item;
	enum outcome outcome = settle_open(s, name, &item, err);

	(void)context;
	if (outcome != OUTCOME_DONE || item == NULL)
		return outcome;
	for (size_t i = 0; i < item->entry.recipient_count; i++)
		if (item->entry.recipients[i].end == ENTRY_WAITS)
			settle_recipient(item, i, ENTRY_FORWARDED, "2.0.0", NULL);
	return settle_close(s, item, err);
}

typedef enum outcome decide_record(struct settle *s, const char *name, void *context, struct error *err);

/* Goes through the records of a batch. */
static enum outcome settle_part(
    struct relay *r, struct neighbour *n, const char *part, decide_record *decide, void *context, struct error *err)
{
	char *hop = mem_format("%s/%s", n->hop_name, part);
	struct names names = {0};
	struct settle s;
	enum outcome outcome;

	outcome = settle_init(&s, &r->queue, &r->config, &r->age, hop, &r->hooks, &r->reports_left, err);
	s.stay = true;
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&s.dir, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		if (hop_is_record(names.items[i]))
			outcome = decide(&s, names.items[i], context, err);
	if (outcome == OUTCOME_DONE)
		outcome = settle_run(&s, err);
	names_release(&names);
	settle_release(&s);
	free(hop);
	return outcome;
}

/* The batch SEQUENCE of ours is acknowledged: its records end, its file goes. */
static enum outcome finish_batch(struct relay *r, struct neighbour *n, uint64_t sequence, struct error *err)
{
	char file[BATCH_FILE];
	char part[BATCH_FILE];
	const struct peer_batch *batch = peer_out(&n->peer, sequence);
	struct peer_batch was;
	struct dir probe;
	enum outcome outcome;

	if (batch == NULL)
		return OUTCOME_DONE;
	was = *batch;
	batch_file_name(batch->incarnation, sequence, file);
	batch_part_name(batch->incarnation, sequence, part);
	outcome = dir_open(&probe, &n->hop, part, err);
	if (outcome == OUTCOME_DONE) {
		outcome = settle_part(r, n, part, forwarded, NULL, err);
		if (outcome == OUTCOME_DONE)
			outcome = file_remove(&probe, "recall", err);
		if (outcome == OUTCOME_DONE)
			outcome = dir_remove(&n->hop, part, err);
	} else if (err->code == EX_NOINPUT) {
		outcome = OUTCOME_DONE; /* settled before a crash */
	}
	dir_close(&probe);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(&n->out, file, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	peer_out_remove(&n->peer, sequence);
	n->changed = true;
	relay_log_batch(r, &was, "acknowledged", n->config->name, NULL);
	return OUTCOME_DONE;
}

static enum outcome finish_acknowledged(
    struct relay *r, struct neighbour *n, const struct ranges *done, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	/* Backwards: finishing takes the batch out of the array. */
	for (size_t i = n->peer.out_count; i > 0 && outcome == OUTCOME_DONE; i--) {
		const struct peer_batch *b = &n->peer.out[i - 1];

		if (b->incarnation == n->peer.incarnation && ranges_contain(done, b->sequence))
			outcome = finish_batch(r, n, b->sequence, err);
	}
	return outcome;
}

/* ---- what rides in a header ------------------------------------------------------------------------------ */

static void log_learned(
    struct relay *r, struct neighbour *n, const struct manifest_line *line, const struct batch_event *event)
{
	static const char *const fates[] = {"", "delivered", "failed", "forwarded", "removed"};
	struct log_line out;
	char id[LIMIT_ID];
	char status[STATUS_TEXT];

	id_print(&line->id, id);
	log_begin(&out, &r->queue.log, id, "learned");
	log_text(&out, "fate", fates[event->kind]);
	log_number(&out, "index", line->index);
	log_text(&out, "neighbour", n->config->name);
	if (event->kind == EVENT_FAILED) {
		snprintf(status, sizeof status, "%u.%u.%u", event->status[0], event->status[1], event->status[2]);
		log_text(&out, "status", status);
	}
	log_end(&out);
}

/* Applies one group of events to the manifest of the batch it names; tells it on, the way the message came. */
static void apply_event(struct relay *r, struct neighbour *n, struct manifest *m, const struct batch_event *event)
{
	for (size_t i = 0; i < m->count; i++) {
		struct manifest_line *line = &m->lines[i];
		bool set = i / 8 < event->bitmap.length && (event->bitmap.bytes[i / 8] >> (i % 8) & 1);

		if (!set || line->final)
			continue;
		line->final = event->kind != EVENT_FORWARDED;
		log_learned(r, n, line, event);
		if (line->neighbour[0] != '\0') {
			struct event_note note = {line->batch_incarnation, line->batch_sequence, line->ordinal,
			    event->kind, {event->status[0], event->status[1], event->status[2]}};

			notes_add(&r->notes, line->neighbour, &note);
		}
	}
}

static bool all_final(const struct manifest *m)
{
	for (size_t i = 0; i < m->count; i++)
		if (!m->lines[i].final)
			return false;
	return true;
}

static enum outcome take_event(
    struct relay *r, struct neighbour *n, const struct batch_event *event, struct error *err)
{
	const char *name = n->config->name;
	struct manifest m;
	enum outcome outcome = manifest_read(&m, &r->queue.state, name, event->sequence, err);

	if (outcome != OUTCOME_DONE)
		return err->outcome == OUTCOME_NEVER ? OUTCOME_DONE
						     : outcome; /* known to its end already, or damaged */
	apply_event(r, n, &m, event);
	outcome = notes_flush(&r->notes, &r->queue.state, &r->queue.lock, err);
	if (outcome == OUTCOME_DONE)
		outcome = all_final(&m)
			      ? manifest_remove(&r->queue.state, name, event->sequence, err)
			      : manifest_write(&m, &r->queue.tmp, &r->queue.state, name, event->sequence, err);
	manifest_release(&m);
	return outcome;
}

static enum outcome take_events(struct relay *r, struct neighbour *n, const struct batch_header *h, struct error *err)
{
	uint64_t before = n->peer.event_seen;
	enum outcome outcome = OUTCOME_DONE;

	if (!peer_take_events(&n->peer, h))
		return OUTCOME_DONE;
	for (size_t i = 0; i < h->event_count && outcome == OUTCOME_DONE; i++)
		outcome = take_event(r, n, &h->events[i], err);
	if (outcome != OUTCOME_DONE)
		n->peer.event_seen = before; /* they will come again */
	n->changed = true;
	return outcome;
}

/* The least time, by the age clock, between two renewals that the same neighbour brings about. */
#define RENEW_PAUSE (7 * 86400)

/*
 * A new incarnation makes what is under way come twice, for everybody: no neighbour may cause one as often as it likes.
 * The age at which it last did is kept in state/NAME/stranger.
 */
static bool may_renew(struct relay *r, struct neighbour *n)
{
	struct dir state;
	struct buf text;
	uint64_t last = 0;
	bool may;

	if (dir_make(&state, &r->queue.state, n->config->name, 0700, NULL) != OUTCOME_DONE)
		return false;
	buf_init(&text, 64);
	file_read(&state, "stranger", &text, NULL);
	may = !number_parse(view_buf(&text), UINT64_MAX, &last) || last > r->age.now ||
	      r->age.now - last >= RENEW_PAUSE;
	buf_clear(&text);
	buf_number(&text, r->age.now);
	if (may)
		may = file_commit(&r->queue.tmp, &state, "stranger", view_buf(&text), NULL) == OUTCOME_DONE;
	buf_release(&text);
	dir_close(&state);
	return may;
}

static enum outcome take_ack(struct relay *r, struct neighbour *n, const struct batch_header *h, struct error *err)
{
	struct ranges done = {0};
	enum outcome outcome = OUTCOME_DONE;

	switch (peer_take_ack(&n->peer, h, &done)) {
	case ACK_NONE:
		break;
	case ACK_TAKEN:
		n->changed = true;
		/* Saved before anything is deleted by it. */
		if (done.count > 0)
			outcome = neighbour_save(r, n, err);
		if (outcome == OUTCOME_DONE)
			outcome = finish_acknowledged(r, n, &done, err);
		break;
	case ACK_STRANGER:
		if (may_renew(r, n)) {
			log_event(&r->queue.log, n->config->name, "stranger", "reason",
			    "it acknowledges what this state never sent");
			outcome = relay_renew(
			    r, RENEW_ALL, "a neighbour acknowledges batches that this state never sent", err);
		}
		break;
	}
	ranges_release(&done);
	return outcome;
}

enum outcome outbox_take_header(struct relay *r, struct neighbour *n, const struct batch_header *h, struct error *err)
{
	struct peer_source *source = peer_source(&n->peer, h->incarnation);
	enum outcome outcome;

	if (h->voided.count > 0) {
		ranges_merge(&source->received, &h->voided);
		n->peer.ack_due = true;
		n->changed = true;
	}
	outcome = take_ack(r, n, h, err);
	return outcome == OUTCOME_DONE ? take_events(r, n, h, err) : outcome;
}

/* ---- putting right --------------------------------------------------------------------------------------- */

/* A batch file that the state does not know: packed just before a crash, perhaps seen by a transport. */
static enum outcome adopt(
    struct relay *r, struct neighbour *n, const char *file, uint64_t sequence, struct error *err)
{
	struct batch_header h;
	struct peer_batch *batch;
	char part[BATCH_FILE];
	struct stat st;
	int fd;
	enum outcome outcome = file_open(&n->out, file, &fd, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = batch_peek(fd, file, &h, err);
	if (outcome == OUTCOME_NEVER) {
		/* Its records are still here and are packed again. */
		outcome = queue_set_aside(&r->queue, &n->out, file, err->text, err);
		ranges_add(&n->peer.voided, sequence, sequence);
		if (n->peer.next <= sequence)
			n->peer.next = sequence + 1;
		n->changed = true;
	} else if (outcome == OUTCOME_DONE && fstat(fd, &st) == 0 && st.st_size >= (off_t)crypto_sign_BYTES) {
		batch = peer_out_add(&n->peer, sequence);
		batch->size = (uint64_t)st.st_size;
		batch->class = h.class;
		batch->packed = (int64_t)st.st_mtime;
		batch->look_age = r->age.now;
		batch_part_name(n->peer.incarnation, sequence, part);
		outcome = part_count(n, part, &batch->messages, err);
		if (h.sealed)
			memcpy(batch->sealed_for, n->keys.seal, sizeof batch->sealed_for);
		if (outcome == OUTCOME_DONE)
			outcome =
			    file_read_at(fd, batch->mark, BATCH_MARK, batch->size - crypto_sign_BYTES, file, err);
		if (outcome != OUTCOME_DONE)
			peer_out_drop(&n->peer, batch);
		if (n->peer.next <= sequence)
			n->peer.next = sequence + 1;
		n->changed = true;
	}
	batch_header_release(&h);
	file_close(&fd);
	return outcome;
}

static bool known_out(struct peer *p, uint32_t incarnation, uint64_t sequence)
{
	for (size_t i = 0; i < p->out_count; i++)
		if (p->out[i].incarnation == incarnation && p->out[i].sequence == sequence)
			return true;
	return false;
}

static enum outcome recover_files(struct relay *r, struct neighbour *n, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(&n->out, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		uint32_t incarnation;
		uint64_t sequence;

		if (!batch_file_parse(names.items[i], &incarnation, &sequence) ||
		    known_out(&n->peer, incarnation, sequence))
			continue;
		if (incarnation != n->peer.incarnation || ranges_contain(&n->peer.voided, sequence) ||
		    ranges_contain(&n->peer.acked, sequence))
			outcome = file_remove(&n->out, names.items[i], err);
		else
			outcome = adopt(r, n, names.items[i], sequence, err);
	}
	names_release(&names);
	return outcome;
}

/* Directories of records whose batch never came to be. */
static enum outcome recover_parts(struct neighbour *n, struct error *err)
{
	struct names parts;
	enum outcome outcome = hop_parts(&n->hop, &parts, err);

	for (size_t i = 0; i < parts.count && outcome == OUTCOME_DONE; i++) {
		uint32_t incarnation;
		uint64_t sequence;

		if (batch_part_parse(parts.items[i], &incarnation, &sequence) &&
		    !known_out(&n->peer, incarnation, sequence))
			outcome = unpack_records(n, parts.items[i], err);
	}
	names_release(&parts);
	return outcome;
}

/* Is the file of a batch what it was made? *WHY says what it is not. */
static enum outcome unfit_file(
    const struct neighbour *n, const struct peer_batch *b, const char **why, struct error *err)
{
	char name[BATCH_FILE];
	uint64_t size;
	int fd;
	enum outcome outcome;

	batch_file_name(b->incarnation, b->sequence, name);
	outcome = file_open_sized(&n->out, name, &fd, &size, err);
	file_close(&fd);
	if (outcome == OUTCOME_LATER)
		return outcome;
	if (outcome == OUTCOME_NEVER && err->code == EX_NOINPUT)
		*why = "its file is gone";
	else if (outcome == OUTCOME_NEVER || size != b->size)
		*why = file_damaged;
	return OUTCOME_DONE;
}

static enum outcome unfit_records(
    const struct neighbour *n, const struct peer_batch *b, const char **why, struct error *err)
{
	char name[BATCH_FILE];
	struct dir part;
	enum outcome outcome;

	batch_part_name(b->incarnation, b->sequence, name);
	outcome = dir_open(&part, &n->hop, name, err);
	if (outcome == OUTCOME_DONE && file_exists(&part, "recall", NULL))
		*why = "the operator took a message out of it";
	dir_close(&part);
	if (outcome == OUTCOME_DONE || err->code != EX_NOINPUT)
		return outcome;
	*why = "its records are gone";
	return OUTCOME_DONE;
}

/* *WHY says why a batch that is out cannot stay so; null when it can. */
static enum outcome unfit(const struct neighbour *n, const struct peer_batch *b, const char **why, struct error *err)
{
	static const uint8_t open[sizeof b->sealed_for];
	bool sealed = memcmp(b->sealed_for, open, sizeof open) != 0;
	enum outcome outcome = OUTCOME_DONE;

	*why = NULL;
	if (b->incarnation != n->peer.incarnation)
		*why = "this host has begun a new incarnation";
	else if (sealed != n->config->seal)
		*why = "the option seal was changed";
	else if (sealed && memcmp(b->sealed_for, n->keys.seal, sizeof b->sealed_for) != 0)
		*why = "the neighbour has a new key";
	else
		outcome = unfit_file(n, b, why, err);
	if (outcome == OUTCOME_DONE && *why == NULL)
		outcome = unfit_records(n, b, why, err);
	return outcome;
}

enum outcome outbox_recover(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome = recover_files(r, n, err);

	if (outcome == OUTCOME_DONE)
		outcome = recover_parts(n, err);
	/* Settling that a crash cut short. */
	if (outcome == OUTCOME_DONE)
		outcome = finish_acknowledged(r, n, &n->peer.acked, err);
	for (size_t i = n->peer.out_count; i > 0 && outcome == OUTCOME_DONE; i--) {
		struct error trouble = ERROR_NONE;
		const char *why;

		/* What cannot be looked at stays as it is, and keeps no other back. */
		if (unfit(n, &n->peer.out[i - 1], &why, &trouble) != OUTCOME_DONE)
			relay_trouble(r, n->config->name, &trouble);
		else if (why != NULL)
			outcome = outbox_dissolve(r, n, &n->peer.out[i - 1], why, err);
	}
	return outcome;
}

/* ---- expiry ---------------------------------------------------------------------------------------------- */

/* What a look at the records of a batch finds. */
struct expiring {
	uint64_t look; /* age of the next look */
	bool ended;    /* a record expired */
};

static enum outcome look_at(struct settle *s, const char *name, void *context, struct error *err)
{
	struct expiring *expiring = context;
	struct process p = {s->queue, s->config, s->age, s->hooks, s->reports_left};
	struct settle_item *item;
	uint64_t look;
	enum outcome outcome = settle_open(s, name, &item, err);

	if (outcome != OUTCOME_DONE || item == NULL)
		return outcome;
	process_limits(&p, item);
	look = settle_look(&item->entry, item->expire, item->warn);
	if (look > s->age->now) {
		if (look < expiring->look)
			expiring->look = look;
		settle_drop(item);
		return OUTCOME_DONE;
	}
	for (size_t i = 0; i < item->entry.recipient_count; i++)
		if (item->entry.recipients[i].end == ENTRY_WAITS)
			settle_recipient(
			    item, i, ENTRY_WAITS, "4.4.7", "packed for the neighbour, which has not acknowledged it");
	if (item->expire > 0 && s->age->now >= item->entry.arrived_age + item->expire)
		expiring->ended = true;
	else
		expiring->look = s->age->now + 1; /* warned now; look again for the expiry */
	return settle_close(s, item, err);
}

enum outcome outbox_expire(struct relay *r, struct neighbour *n, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = n->peer.out_count; i > 0 && outcome == OUTCOME_DONE; i--) {
		struct peer_batch *b = &n->peer.out[i - 1];
		struct expiring expiring = {UINT64_MAX, false};
		char part[BATCH_FILE];
		uint64_t count;

		if (b->look_age > r->age.now)
			continue;
		batch_part_name(b->incarnation, b->sequence, part);
		outcome = settle_part(r, n, part, look_at, &expiring, err);
		if (outcome == OUTCOME_DONE)
			b->look_age = expiring.look;
		n->changed = true;
		if (outcome == OUTCOME_DONE)
			outcome = part_count(n, part, &count, err);
		/* Or one that expired was finished before a crash and this was not. */
		if (outcome == OUTCOME_DONE && (expiring.ended || count < b->messages))
			outcome = outbox_dissolve(r, n, b, "a message in it has expired", err);
	}
	return outcome;
}

/* ---- bare batches ---------------------------------------------------------------------------------------- */

/* Acknowledgements and events for the next batch; what does not fit into the header's share waits. */
#define EVENT_SHARE 4096

enum outcome outbox_news(struct relay *r, struct neighbour *n, struct batch_header *h, bool *fresh, struct error *err)
{
	enum outcome outcome;

	*h = (struct batch_header){.class = CLASS_URGENT, .incarnation = n->peer.incarnation};
	snprintf(h->from, sizeof h->from, "%s", r->queue.host);
	snprintf(h->to, sizeof h->to, "%s", n->config->name);
	peer_fill_header(&n->peer, h);
	outcome =
	    events_collect(&n->peer, &r->queue.tmp, &r->queue.state, &r->queue.lock, EVENT_SHARE, h, fresh, err);
	*fresh |= n->peer.ack_due;
	if (outcome == OUTCOME_DONE)
		n->bare_serial = h->event_serial;
	return outcome;
}

/* The batch without items that H is all of. */
static enum outcome write_bare(
    struct relay *r, struct neighbour *n, const struct batch_header *h, const char *name, int *fd, struct error *err)
{
	struct batch_writer w;
	enum outcome outcome = file_create(&r->queue.tmp, name, fd, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = batch_writer_open(&w, *fd, name, h, &r->keys, &n->keys, err);
	if (outcome == OUTCOME_DONE)
		outcome = batch_writer_finish(&w, err);
	batch_writer_release(&w);
	if (outcome != OUTCOME_DONE) {
		file_close(fd);
		file_remove(&r->queue.tmp, name, NULL);
	}
	return outcome;
}

enum outcome outbox_bare(struct relay *r, struct neighbour *n, char name[static 40], int *fd, struct error *err)
{
	struct batch_header h;
	bool fresh = false;
	enum outcome outcome = outbox_news(r, n, &h, &fresh, err);

	*fd = -1;
	if (outcome == OUTCOME_DONE && fresh) {
		tmp_name(name);
		outcome = write_bare(r, n, &h, name, fd, err);
	}
	batch_header_release(&h);
	return outcome;
}

void outbox_bare_sent(struct neighbour *n)
{
	n->peer.ack_due = false;
	if (n->bare_serial > n->peer.event_packed)
		n->peer.event_packed = n->bare_serial;
	n->changed = true;
}
