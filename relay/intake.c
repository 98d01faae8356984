#include "relay/intake.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "relay/damaged.h"
#include "relay/outbox.h"

/* Caps of one item and one batch: far above any message; the free space decides before. */
#define INTAKE_CAP ((uint64_t)1 << 40)

/* One batch on its way in. */
struct intake {
	struct relay *relay;
	struct neighbour *neighbour;
	struct batch_reader reader;
	struct seen seen;
	struct dir making;
	struct sync_set sync;
	struct envelope_context context;
	bool damaged;	  /* what failed is the batch's fault, not this host's */
	uint32_t ordinal; /* of the next recipient */
	size_t messages;
	size_t duplicates;
};

/* ---- step 3, also after a crash -------------------------------------------------------------------------- */

static void take_name(const struct batch_reader *reader, char out[static 80])
{
	struct buf mark;
	char incarnation[INCARNATION_TEXT];

	buf_init(&mark, 64);
	hex_encode(reader->mark, BATCH_MARK, &mark);
	incarnation_print(reader->header.incarnation, incarnation);
	snprintf(
	    out, 80, "take-%s-%llu-%s", incarnation, (unsigned long long)reader->header.sequence, buf_string(&mark));
	buf_release(&mark);
}

static bool take_parse(const char *name, uint32_t *incarnation, uint64_t *sequence, uint8_t mark[BATCH_MARK])
{
	const char *number = name + strlen("take-") + INCARNATION_TEXT;
	const char *dash;
	struct buf bytes;
	bool good;

	if (!text_starts(name, "take-") || strlen(name) < strlen("take-") + INCARNATION_TEXT + 2)
		return false;
	dash = strchr(number, '-');
	if (dash == NULL)
		return false;
	buf_init(&bytes, BATCH_MARK);
	good = incarnation_parse(view_of(name + strlen("take-"), INCARNATION_TEXT - 1), incarnation) &&
	       number_parse(view_of(number, (size_t)(dash - number)), UINT64_MAX, sequence) &&
	       hex_decode(view_text(dash + 1), &bytes) && bytes.length == BATCH_MARK;
	if (good)
		memcpy(mark, bytes.bytes, BATCH_MARK);
	buf_release(&bytes);
	return good;
}

static void log_message(
    struct relay *r, const struct envelope *e, const char *event, const char *neighbour, uint64_t batch)
{
	struct log_line line;
	char id[LIMIT_ID];

	id_print(&e->id, id);
	log_begin(&line, &r->queue.log, id, event);
	log_text(&line, "neighbour", neighbour);
	log_number(&line, "batch", batch);
	if (e->recipient_count > 0) {
		log_text(&line, "sender", e->sender[0] == '\0' ? "<>" : e->sender);
		if (e->recipient_count == 1) {
			log_text(&line, "recipient", e->recipients[0].address);
			log_number(&line, "index", e->recipients[0].index);
		} else {
			log_number(&line, "recipients", e->recipient_count);
		}
		log_number(&line, "size", e->size);
	}
	log_end(&line);
}

/*
 * The id that the seen sets know a message by. What a neighbour originated is known by its word alone: that another
 * neighbour brings something under the same id must not make the real one a duplicate, so that is counted apart. (The
 * price: a message that comes from its origin and through another neighbour as well, after its way was changed,
 * comes twice.)
 */
static struct id seen_id(const struct relay *r, const struct id *id, const char *from)
{
	struct id key = *id;
	uint8_t apart[crypto_generichash_BYTES_MIN];
	struct reader bytes;

	if (strcmp(id->host, from) == 0 || config_neighbour(&r->config, id->host) == NULL)
		return key;
	crypto_generichash(apart, sizeof apart, (const uint8_t *)from, strlen(from), NULL, 0);
	reader_init(&bytes, view_of(apart, sizeof apart));
	key.incarnation ^= read_u32(&bytes);
	return key;
}

/* Adds every delivery in directory D to the seen sets. */
static enum outcome see_all(
    struct relay *r, struct seen *seen, const struct dir *d, const struct names *names, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < names->count && outcome == OUTCOME_DONE; i++) {
		struct message m;

		outcome = message_open(&m, d, names->items[i], MESSAGE_TRUST, err);
		if (outcome == OUTCOME_NEVER) {
			/* Spoiled since it was written: it must not keep the others from going on. */
			relay_trouble(r, names->items[i], err);
			outcome = queue_set_aside(&r->queue, d, names->items[i], err->text, err);
			continue;
		}
		struct id key = seen_id(r, &m.envelope.id, m.envelope.neighbour != NULL ? m.envelope.neighbour : "");

		for (size_t k = 0; outcome == OUTCOME_DONE && k < m.envelope.recipient_count; k++)
			outcome = seen_add(seen, &key, m.envelope.recipients[k].index, err);
		if (outcome == OUTCOME_DONE)
			log_message(r, &m.envelope, "taken", m.envelope.neighbour, m.envelope.batch_sequence);
		message_close(&m);
	}
	return outcome == OUTCOME_DONE ? seen_commit(seen, &r->queue.tmp, err) : outcome;
}

/* Step 3 up to the received set: what lies in the take directory NAME of IN moves to queue/new. */
static enum outcome release_taken(
    struct relay *r, struct seen *seen, const struct dir *in, const char *name, struct error *err)
{
	struct dir d;
	struct names names = {0};
	enum outcome outcome = dir_open(&d, in, name, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &names, err);
	if (outcome == OUTCOME_DONE && names.count > 0)
		outcome = see_all(r, seen, &d, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		if (file_exists(&d, names.items[i], NULL))
			outcome = file_rename(&d, names.items[i], &r->queue.new, names.items[i], err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&r->queue.new, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&d, err);
	names_release(&names);
	dir_close(&d);
	return outcome;
}

/* The last of step 3 for one neighbour, whose state is at hand. */
static enum outcome note_received(struct relay *r, struct neighbour *n, const char *name, struct error *err)
{
	uint32_t incarnation;
	uint64_t sequence;
	uint8_t mark[BATCH_MARK];
	enum outcome outcome;

	if (!take_parse(name, &incarnation, &sequence, mark))
		return OUTCOME_DONE;
	peer_take(peer_source(&n->peer, incarnation), sequence, mark);
	n->peer.ack_due = true;
	n->changed = true;
	outcome = neighbour_save(r, n, err);
	return outcome == OUTCOME_DONE ? dir_remove(&n->in, name, err) : outcome;
}

/* What lies half done in one neighbour's directory. Without its lock only the messages are released. */
static enum outcome recover_neighbour(struct relay *r, const char *name, struct seen *seen, struct error *err)
{
	struct dir in;
	struct names parts = {0};
	struct neighbour *n = NULL;
	bool half_done = false;
	enum outcome outcome = dir_open(&in, &r->in, name, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&in, &parts, err);
	if (outcome != OUTCOME_DONE || parts.count == 0) {
		dir_close(&in);
		return outcome;
	}
	/* What calls have left there is no reason to lock anything. */
	for (size_t i = 0; i < parts.count; i++)
		half_done |= text_starts(parts.items[i], "take-") || strcmp(parts.items[i], "making") == 0;
	outcome = half_done ? relay_neighbour(r, name, &n, err) : OUTCOME_DONE;
	for (size_t i = 0; i < parts.count && half_done && outcome == OUTCOME_DONE; i++) {
		if (text_starts(parts.items[i], "take-")) {
			outcome = release_taken(r, seen, &in, parts.items[i], err);
			if (outcome == OUTCOME_DONE && n != NULL)
				outcome = note_received(r, n, parts.items[i], err);
		} else if (strcmp(parts.items[i], "making") == 0 && n != NULL) {
			outcome = dir_wipe(&in, "making", err);
		}
	}
	names_release(&parts);
	dir_close(&in);
	return outcome;
}

/* With the lock "seen" held; ONLY one neighbour's, unless null. */
static enum outcome recover_all(struct relay *r, const char *only, struct seen *seen, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(&r->in, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		struct error why = ERROR_NONE;

		/* What is stuck with one neighbour stays; the others go on. */
		if ((only == NULL || strcmp(names.items[i], only) == 0) &&
		    recover_neighbour(r, names.items[i], seen, &why) != OUTCOME_DONE)
			relay_trouble(r, names.items[i], &why);
	}
	names_release(&names);
	return outcome;
}

enum outcome intake_recover(struct relay *r, const char *only, struct error *err)
{
	struct lock lock;
	struct seen seen;
	bool held;
	enum outcome outcome = lock_try(&lock, &r->queue.lock, "seen", &held, err);

	if (outcome != OUTCOME_DONE)
		return held ? OUTCOME_DONE : outcome;
	outcome = seen_open(&seen, &r->queue.state, err);
	if (outcome == OUTCOME_DONE)
		outcome = recover_all(r, only, &seen, err);
	seen_close(&seen);
	lock_release(&lock);
	return outcome;
}

/* ---- step 1: one message --------------------------------------------------------------------------------- */

/* Leaves in E only the recipients that were not seen before, and counts all for their ordinals. */
static enum outcome drop_seen(struct intake *in, struct envelope *e, struct error *err)
{
	struct id key = seen_id(in->relay, &e->id, in->reader.header.from);
	size_t kept = 0;

	for (size_t i = 0; i < e->recipient_count; i++) {
		struct recipient *r = &e->recipients[i];
		bool known = false;
		enum outcome outcome = seen_known(&in->seen, &key, r->index, &known, err);

		if (outcome == OUTCOME_DONE && !known)
			outcome = seen_add(&in->seen, &key, r->index, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
		r->ordinal = in->ordinal++;
		if (known) {
			free(r->address);
			free(r->orcpt);
		} else {
			e->recipients[kept++] = *r;
		}
	}
	e->recipient_count = kept;
	return OUTCOME_DONE;
}

/*
 * Was the message here before, on this very journey? Then it is no duplicate but goes round. One that claims this host as
 * its origin was here, or is forged: either way it must not be mixed up with what this host holds under that id.
 */
static bool returns(const struct intake *in, const struct envelope *e)
{
	if (strcmp(e->id.host, in->relay->queue.host) == 0)
		return true;
	for (size_t i = e->hop_count; i > 0 && e->hops[i - 1].protocol != HOP_EXPANDED; i--)
		if (strcmp(e->hops[i - 1].host, in->relay->queue.host) == 0)
			return true;
	return false;
}

/*
 * A message that goes round is taken under a new id, so that it is neither dropped as a duplicate of itself nor
 * mixed up with what this host may still hold of it; dispatching then returns it to its sender.
 */
static enum outcome rename_returned(struct intake *in, struct envelope *e, struct error *err)
{
	char old[LIMIT_ID];
	char new[LIMIT_ID];
	struct log_line line;
	enum outcome outcome;

	id_print(&e->id, old);
	outcome = queue_next_id(&in->relay->queue, 16, &e->id, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	id_print(&e->id, new);
	log_begin(&line, &in->relay->queue.log, old, "returned");
	log_text(&line, "neighbour", in->reader.header.from);
	log_text(&line, "as", new);
	log_end(&line);
	return OUTCOME_DONE;
}

/* Does something else stand where this message would? A damaged seen set, or a forged id, can make that so. */
static bool stands_already(const struct intake *in, const struct envelope *e)
{
	char id[LIMIT_ID];
	bool found = false;

	id_print(&e->id, id);
	for (size_t i = 0; i < e->recipient_count && !found; i++) {
		char *link = mem_format("%s+%u", id, (unsigned)e->recipients[i].index);
		char *fresh = mem_format("%s=%u", id, (unsigned)e->recipients[i].index);
		char *claim = mem_format("%s~", fresh);

		found = file_exists(&in->relay->queue.msg, link, NULL) ||
			file_exists(&in->relay->queue.new, fresh, NULL) ||
			file_exists(&in->relay->queue.new, claim, NULL);
		free(link);
		free(fresh);
		free(claim);
	}
	return found;
}

static enum outcome write_message(struct intake *in, struct envelope *e, struct source *content, struct error *err)
{
	struct message_writer w;
	char id[LIMIT_ID];
	char *name;
	uint64_t size = e->size;
	enum outcome outcome = queue_space(&in->relay->queue, size, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = message_writer_open(&w, &in->making, err);
	if (outcome == OUTCOME_DONE) {
		outcome = stream_copy(content, &w.sink, NULL, err);
		in->damaged |= outcome == OUTCOME_NEVER; /* cut short, or no canonical text */
	}
	if (outcome == OUTCOME_DONE)
		outcome = message_writer_finish(&w, e, err);
	if (outcome == OUTCOME_DONE) {
		id_print(&e->id, id);
		name = mem_format("%s=%u", id, (unsigned)e->recipients[0].index);
		outcome = file_rename(&in->making, w.name, &in->making, name, err);
		free(name);
		sync_add(&in->sync, w.fd);
		w.fd = -1;
	}
	message_writer_abort(&w);
	return outcome;
}

/*
 * The last hop tells when the neighbour had the message: a time before now, by however long the way was. A time to come,
 * or before packetboat was, is a clock that is wrong: its or ours.
 */
static void note_clock(struct neighbour *n, int64_t theirs)
{
	int64_t now = clock_now();
	bool ahead = theirs > now && theirs - now > 3600;

	n->peer.clock_apart = 0;
	if ((ahead || !clock_plausible(theirs)) && theirs > 0 && theirs < INT32_MAX * INT64_C(100))
		n->peer.clock_apart = theirs - now;
}

static enum outcome take_message(struct intake *in, struct batch_item *item, struct error *err)
{
	struct envelope e;
	struct reader head;
	enum outcome outcome;

	reader_init(&head, item->head);
	if (!envelope_read(&e, &in->context, &head) || head.rest.length > 0) {
		envelope_release(&e);
		in->damaged = true;
		return error_set(
		    err, EX_DATAERR, "the envelope of item %zu makes no sense", in->messages + in->duplicates + 1);
	}
	e.size = item->size;
	outcome = returns(in, &e) ? rename_returned(in, &e, err) : OUTCOME_DONE;
	if (outcome == OUTCOME_DONE)
		outcome = drop_seen(in, &e, err);
	if (outcome == OUTCOME_DONE && e.recipient_count == 0) {
		in->duplicates++;
		log_message(in->relay, &e, "duplicate", in->reader.header.from, in->reader.header.sequence);
	} else if (outcome == OUTCOME_DONE) {
		in->messages++;
		e.neighbour = mem_string(in->reader.header.from);
		e.batch_incarnation = in->reader.header.incarnation;
		e.batch_sequence = in->reader.header.sequence;
		if (stands_already(in, &e))
			outcome = rename_returned(in, &e, err);
		if (e.hop_count > 0)
			note_clock(in->neighbour, e.hops[e.hop_count - 1].time);
		/* One above the limit is refused when it is dispatched; two could not be read back. */
		if (e.hop_count <= LIMIT_HOPS)
			envelope_add_hop(&e, in->relay->queue.host, clock_now(), HOP_BATCH);
		if (outcome == OUTCOME_DONE)
			outcome = write_message(in, &e, &item->content, err);
	}
	envelope_release(&e);
	return outcome;
}

/* ---- steps 1 and 2 --------------------------------------------------------------------------------------- */

static enum outcome unpack(struct intake *in, struct error *err)
{
	struct batch_item *item;
	enum outcome outcome;

	for (;;) {
		outcome = batch_next(&in->reader, &item, err);
		in->damaged |= outcome == OUTCOME_NEVER;
		if (outcome != OUTCOME_DONE || item->type == BATCH_END)
			break;
		outcome = take_message(in, item, err);
		if (outcome != OUTCOME_DONE)
			break;
	}
	sync_add_dir(&in->sync, &in->making);
	if (outcome == OUTCOME_DONE)
		outcome = sync_wait(&in->sync, err);
	sync_drop(&in->sync);
	return outcome;
}

/* The batch is verified; its content is taken. The lock "seen" is held. */
static enum outcome take_locked(struct intake *in, struct error *err)
{
	struct relay *r = in->relay;
	struct neighbour *n = in->neighbour;
	char name[80];
	enum outcome outcome = recover_all(r, NULL, &in->seen, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_wipe(&n->in, "making", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_make(&in->making, &n->in, "making", 0700, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	sync_init(&in->sync, &r->queue.spool);
	in->context.id.incarnation = in->reader.header.incarnation;
	id_set_host(&in->context.id, in->reader.header.from);
	outcome = unpack(in, err);
	dir_close(&in->making);
	if (outcome != OUTCOME_DONE) {
		dir_wipe(&n->in, "making", NULL);
		return outcome;
	}
	take_name(&in->reader, name);
	outcome = file_rename(&n->in, "making", &n->in, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&n->in, err);
	if (outcome == OUTCOME_DONE)
		outcome = release_taken(r, &in->seen, &n->in, name, err);
	return outcome == OUTCOME_DONE ? note_received(r, n, name, err) : outcome;
}

static enum outcome take(struct intake *in, struct error *err)
{
	struct lock lock;
	enum outcome outcome = lock_take(&lock, &in->relay->queue.lock, "seen", err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = seen_open(&in->seen, &in->relay->queue.state, err);
	if (outcome == OUTCOME_DONE)
		outcome = take_locked(in, err);
	seen_close(&in->seen);
	lock_release(&lock);
	return outcome;
}

/* ---- a file ---------------------------------------------------------------------------------------------- */

static void log_batch(struct relay *r, const struct batch_header *h, const char *event, const char *reason)
{
	struct log_line line;
	char label[LIMIT_ID];

	id_label(h->from, h->incarnation, h->sequence, label);
	log_begin(&line, &r->queue.log, label, event);
	log_text(&line, "from", h->from);
	log_text(&line, "to", h->to);
	log_text(&line, "reason", reason);
	log_end(&line);
}

/* A file in the spool that is judged: it is taken apart, kept in corrupt/ or removed; only when LATER it stays. */
struct judged {
	const struct dir *d;
	const char *path; /* in D */
	const char *name; /* for the sentences, and in corrupt/ */
	int fd;
	bool copy; /* it goes when LATER too: the original is elsewhere */
};

/* Is it a whole batch, from the same neighbour to another host, that somebody laid into the wrong directory? */
static bool misplaced(struct relay *r, int fd, const char *name, const struct batch_limits *limits)
{
	struct batch_header h;
	struct batch_reader *reader = mem_alloc(sizeof *reader);
	struct host_keys theirs = r->keys;
	bool whole = false;

	if (batch_peek(fd, name, &h, NULL) == OUTCOME_DONE) {
		/* Its signature can be proved although its content is not for us. */
		snprintf(theirs.public.host, sizeof theirs.public.host, "%s", h.to);
		whole = batch_reader_open(reader, fd, name, &theirs, relay_lookup, r, limits, NULL) == OUTCOME_DONE;
		if (whole)
			log_batch(r, &h, "refused", "it is for another host");
		batch_reader_release(reader);
	}
	batch_header_release(&h);
	free(reader);
	return whole;
}

/* A batch whose signature holds. */
static enum outcome take_verified(struct intake *in, enum intake_verdict *verdict, struct error *err)
{
	struct relay *r = in->relay;
	struct neighbour *n = in->neighbour;
	const struct batch_header *h = &in->reader.header;
	struct peer_source *source = peer_source(&n->peer, h->incarnation);
	enum outcome outcome;

	n->heard = true;
	n->changed = true;
	n->peer.contact = clock_now();
	switch (peer_knows(source, h->sequence, in->reader.mark)) {
	case PEER_TAKEN:
		*verdict = INTAKE_DUPLICATE;
		break;
	case PEER_CONFLICT:
		peer_refuse(source);
		n->peer.ack_due = true;
		in->damaged = true;
		return error_set(err, EX_DATAERR,
		    "%s used the number %llu for two batches: it was restored from a backup, and is told so", h->from,
		    (unsigned long long)h->sequence);
	case PEER_NEW:
		*verdict = INTAKE_TAKEN;
		break;
	}
	outcome = outbox_take_header(r, n, h, err);
	/* A batch that carries nothing is proved whole all the same. */
	if (outcome == OUTCOME_DONE && *verdict == INTAKE_TAKEN && h->sequence != 0) {
		outcome = take(in, err);
		if (outcome == OUTCOME_DONE)
			log_batch(r, h, "received", NULL);
	}
	return outcome;
}

static enum outcome copy_in(
    struct relay *r, int from, const char *name, char copy[static 40], int *fd, struct error *err)
{
	uint8_t chunk[COPY_CHUNK];
	struct batch_header h;
	struct fd_sink sink;
	struct stat st;
	uint64_t left;
	uint64_t at = 0;
	enum outcome outcome;

	/* What cannot be looked at, as when its server is away (ESTALE), is not damaged. */
	if (fstat(from, &st) != 0)
		return error_errno(err, errno, "cannot ask for the size of %s", name);
	left = (uint64_t)st.st_size;
	/* Of what is not even a batch by its header, no more is copied than is kept. */
	if (batch_peek(from, name, &h, NULL) != OUTCOME_DONE && left > DAMAGED_KEEP)
		left = DAMAGED_KEEP;
	batch_header_release(&h);
	if (left / 2 > r->config.max_size + INTAKE_SPARE)
		return error_set(err, EX_TEMPFAIL,
		    "%s has %llu octets, more than any batch that this host would take (max-size)", name,
		    (unsigned long long)left);
	outcome = queue_room(&r->queue, left, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	tmp_name(copy);
	outcome = file_create(&r->queue.tmp, copy, fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	fd_sink_init(&sink, *fd, copy);
	while (left > 0 && outcome == OUTCOME_DONE) {
		size_t step = left < sizeof chunk ? (size_t)left : sizeof chunk;

		outcome = file_read_at(from, chunk, step, at, name, err);
		if (outcome == OUTCOME_DONE)
			outcome = sink_write(&sink.sink, chunk, step, err);
		at += step;
		left -= step;
	}
	return outcome;
}

static enum outcome judge(
    struct relay *r, struct neighbour *n, struct judged *j, enum intake_verdict *verdict, struct error *err)
{
	static const struct batch_limits limits = {INTAKE_CAP, INTAKE_CAP};
	struct intake *in = mem_alloc(sizeof *in);
	enum outcome outcome;

	in->relay = r;
	in->neighbour = n;
	in->making = DIR_CLOSED;
	outcome = batch_reader_open(&in->reader, j->fd, j->name, &r->keys, relay_lookup, r, &limits, err);
	if (outcome == OUTCOME_DONE && strcmp(in->reader.header.from, n->config->name) != 0)
		outcome = error_set(err, EX_DATAERR, "it is named as coming from %s and signed by %s",
		    n->config->name, in->reader.header.from);
	in->damaged |= outcome == OUTCOME_NEVER;
	if (outcome == OUTCOME_DONE)
		outcome = take_verified(in, verdict, err);
	batch_reader_release(&in->reader);
	if (outcome == OUTCOME_NEVER && err->code == EX_NOHOST && misplaced(r, j->fd, j->name, &limits)) {
		*verdict = INTAKE_STRANGER;
		file_remove(j->d, j->path, NULL);
		outcome = OUTCOME_DONE;
	} else if (outcome == OUTCOME_NEVER && !in->damaged) {
		/* It is this host that is not in order: the batch stays where it is. */
		err->outcome = outcome = OUTCOME_LATER;
	} else if (outcome == OUTCOME_NEVER) {
		/* Its sender sends again what is not acknowledged, and must hear that we are here; and so must the operator. */
		relay_trouble(r, j->name, err);
		char why[sizeof err->text];

		memcpy(why, err->text, sizeof why);
		n->peer.ack_due = true;
		n->changed = true;
		*verdict = INTAKE_DAMAGED;
		outcome = damaged_keep(r, j->d, j->path, j->fd, j->name, why, err);
	} else if (outcome == OUTCOME_DONE) {
		file_remove(j->d, j->path, NULL);
	}
	if (outcome != OUTCOME_DONE && j->copy)
		file_remove(j->d, j->path, NULL);
	free(in);
	return outcome;
}

/* Works on a copy: what lies on a stick may change or vanish between proof and use. */
static enum outcome take_copy(
    struct relay *r, struct neighbour *n, int from, const char *name, enum intake_verdict *verdict, struct error *err)
{
	char copy[40] = "";
	struct judged j = {.d = &r->queue.tmp, .path = copy, .name = name, .fd = -1, .copy = true};
	enum outcome outcome = copy_in(r, from, name, copy, &j.fd, err);

	if (outcome == OUTCOME_DONE)
		outcome = judge(r, n, &j, verdict, err);
	else if (copy[0] != '\0')
		file_remove(&r->queue.tmp, copy, NULL);
	file_close(&j.fd);
	return outcome;
}

enum outcome intake_part(struct relay *r, struct neighbour *n, const struct dir *d, const char *name,
    enum intake_verdict *verdict, struct error *err)
{
	char *label = mem_format("%s.%s", n->config->name, name);
	struct judged j = {.d = d, .path = name, .name = label, .fd = -1};
	enum outcome outcome = file_append(d, name, &j.fd, err);

	if (outcome == OUTCOME_DONE)
		outcome = judge(r, n, &j, verdict, err);
	file_close(&j.fd);
	free(label);
	return outcome;
}

/*
 * Does it bear the number and the mark of a batch that was taken? Unproved, so nothing is believed but that; it saves
 * copying and proving what lies on a stick that cannot be written.
 */
static bool taken_before(struct neighbour *n, int fd, const char *name)
{
	struct batch_header h;
	uint8_t mark[BATCH_MARK];
	struct stat st;
	bool taken = false;

	if (batch_peek(fd, name, &h, NULL) == OUTCOME_DONE && fstat(fd, &st) == 0 && st.st_size > crypto_sign_BYTES &&
	    file_read_at(fd, mark, sizeof mark, (uint64_t)st.st_size - crypto_sign_BYTES, name, NULL) ==
		OUTCOME_DONE &&
	    strcmp(h.from, n->config->name) == 0)
		for (size_t i = 0; i < n->peer.source_count; i++)
			taken |= n->peer.sources[i].incarnation == h.incarnation &&
				 peer_knows(&n->peer.sources[i], h.sequence, mark) == PEER_TAKEN;
	batch_header_release(&h);
	return taken;
}

/* "FROM.INCARNATION.SEQUENCE.pb": a file is addressed by its name, and proved by its content. */
static void sender_by_name(const char *name, char out[static LIMIT_HOST_NAME + 1])
{
	size_t length = strcspn(name, ".");

	out[0] = '\0';
	if (length <= LIMIT_HOST_NAME)
		snprintf(out, LIMIT_HOST_NAME + 1, "%.*s", (int)length, name);
}

enum outcome intake_file(
    struct relay *r, const struct dir *d, const char *name, enum intake_verdict *verdict, struct error *err)
{
	char from[LIMIT_HOST_NAME + 1];
	struct neighbour *n = NULL;
	int fd = -1;
	enum outcome outcome;

	*verdict = INTAKE_STRANGER;
	sender_by_name(name, from);
	if (config_neighbour(&r->config, from) == NULL)
		return OUTCOME_DONE; /* whoever reads the directory tells of it, once */
	outcome = relay_neighbour(r, from, &n, err);
	*verdict = INTAKE_BUSY;
	if (outcome != OUTCOME_DONE || n == NULL)
		return outcome;
	outcome = file_open(d, name, &fd, err);
	if (outcome == OUTCOME_DONE && taken_before(n, fd, name))
		*verdict = INTAKE_DUPLICATE;
	else if (outcome == OUTCOME_DONE)
		outcome = take_copy(r, n, fd, name, verdict, err);
	file_close(&fd);
	return outcome;
}

void intake_duplicate(struct relay *r, const char *name)
{
	char from[LIMIT_HOST_NAME + 1];
	struct neighbour *n = NULL;
	uint32_t incarnation;
	uint64_t sequence;

	log_event(&r->queue.log, name, "duplicate", NULL, NULL);
	sender_by_name(name, from);
	if (relay_neighbour(r, from, &n, NULL) == OUTCOME_DONE && n != NULL) {
		/* The incarnation that asks again is the one to be answered. */
		if (batch_file_parse(name + strlen(from) + 1, &incarnation, &sequence))
			peer_source(&n->peer, incarnation);
		n->peer.ack_due = true;
		n->heard = true;
		n->changed = true;
	}
}
