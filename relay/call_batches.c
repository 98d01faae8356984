#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/wire.h"
#include "relay/call_own.h"
#include "relay/intake.h"
#include "relay/outbox.h"
#include "relay/pass.h"

/* Milliseconds for which a look is put off at most while batches come in: what came before them is dispatched and delivered
 * then, and nobody reads. */
#define LOOK_LATEST 10000
/* A batch of so many octets is noted as tried before its first octet leaves: another call need not send a part of it again. */
#define WORTH_NOTING 16384

void call_contain(struct call *c, enum outcome outcome, struct error *err)
{
	if (outcome != OUTCOME_DONE)
		relay_trouble(c->relay, c->n != NULL ? c->n->config->name : c->line->name, err);
	*err = ERROR_NONE;
}

/* ---- our batches ------------------------------------------------------------------------------------------ */

void call_close_batch(struct call *c)
{
	file_close(&c->reading_fd);
	c->reading = 0;
}

void call_offer(struct call *c)
{
	const struct peer *p = &c->n->peer;

	for (size_t i = 0; i < p->out_count; i++) {
		const struct peer_batch *b = &p->out[i];

		if (b->incarnation == p->incarnation)
			session_offer(&c->session, b->sequence, b->class, b->size, b->sendings > 0);
	}
}

/* Before the first octet leaves. */
static void note_tried(struct call *c, struct peer_batch *b)
{
	struct error err = ERROR_NONE;

	b->sent_age = c->relay->age.now;
	b->sent = clock_now();
	b->sendings++;
	snprintf(b->carrier, sizeof b->carrier, "call");
	c->n->changed = true;
	if (b->size >= WORTH_NOTING)
		call_contain(c, neighbour_save(c->relay, c->n, &err), &err);
}

static enum outcome open_batch(struct call *c, uint64_t sequence, struct error *err)
{
	char name[BATCH_FILE];
	struct peer_batch *b = peer_out(&c->n->peer, sequence);

	if (b != NULL && c->reading == sequence)
		return OUTCOME_DONE;
	call_close_batch(c);
	if (b == NULL)
		return error_set(err, EX_NOINPUT, "it is not out any more");
	batch_file_name(b->incarnation, b->sequence, name);
	if (file_open(&c->n->out, name, &c->reading_fd, err) != OUTCOME_DONE)
		return err->outcome;
	c->reading = sequence;
	return OUTCOME_DONE;
}

void call_give(struct call *c, const struct session_event *event)
{
	struct peer_batch *b = peer_out(&c->n->peer, event->sequence);
	struct error err = ERROR_NONE;
	enum outcome outcome = open_batch(c, event->sequence, &err);
	struct view bytes = view_of(c->piece, event->length);

	if (outcome == OUTCOME_DONE)
		outcome = file_read_at(c->reading_fd, c->piece, event->length, event->offset, "a batch", &err);
	if (outcome != OUTCOME_DONE)
		bytes.length = 0;
	else if (!session_begun(&c->session, event->sequence))
		note_tried(c, b);
	call_contain(c, outcome, &err);
	session_data(&c->session, bytes, c->now);
	progress_sent(&c->progress, event->sequence, event->offset + event->length, event->size);
}

void call_check(struct call *c, const struct session_event *event)
{
	uint8_t hash[SESSION_HASH];
	struct error err = ERROR_NONE;
	enum outcome outcome = open_batch(c, event->sequence, &err);

	if (outcome == OUTCOME_DONE)
		outcome = file_hash(c->reading_fd, event->offset, "a batch", hash, &err);
	session_checked(&c->session, event->sequence,
	    outcome == OUTCOME_DONE && sodium_memcmp(hash, event->bytes.bytes, sizeof hash) == 0);
	call_contain(c, outcome, &err);
}

/*
 * It would be refused in every call. Whether it is our own file that is damaged is to be seen here; if so, its messages are
 * packed anew and sent at once. What was made in this call is looked at in the next: a disk that damages all, or a neighbour
 * that refuses all, does not keep us packing.
 */
static void take_refusal(struct call *c, struct peer_batch *b)
{
	uint64_t sequence = b->sequence;
	struct error err = ERROR_NONE;
	enum outcome outcome;
	char label[LIMIT_ID];

	id_label(c->relay->queue.host, b->incarnation, sequence, label);
	call_contain(c,
	    error_set(&err, EX_DATAERR, "%s refuses the batch %s; its log says why", c->n->config->name, label),
	    &err);
	if (sequence >= c->fresh)
		return;
	outcome = outbox_check(c->relay, c->n, b, &err);
	if (peer_out(&c->n->peer, sequence) == NULL) {
		session_withdraw(&c->session, sequence);
		if (outcome == OUTCOME_DONE)
			outcome = outbox_pack(c->relay, c->n, &err);
		call_offer(c);
	}
	call_contain(c, outcome, &err);
}

void call_stopped(struct call *c, const struct session_event *event)
{
	static const char *const reasons[] = {
	    [SESSION_STOP_TAKEN] = "the neighbour has it already",
	    [SESSION_STOP_LATER] = "the neighbour cannot take it now",
	    [SESSION_STOP_REFUSED] = "the neighbour refuses it; its log says why",
	};
	struct peer_batch *b = peer_out(&c->n->peer, event->sequence);

	call_close_batch(c);
	if (b == NULL || event->stop == SESSION_STOP_TAKEN)
		return;
	relay_log_batch(c->relay, b, "stopped", c->n->config->name, reasons[event->stop]);
	if (event->stop == SESSION_STOP_REFUSED)
		take_refusal(c, b);
}

void call_sent(struct call *c, uint64_t sequence)
{
	const struct peer_batch *b = peer_out(&c->n->peer, sequence);

	if (b != NULL)
		relay_log_sent(c->relay, c->n, b, c->line->name);
}

/* ---- news -------------------------------------------------------------------------------------------------- */

enum outcome call_tell(struct call *c, struct error *err)
{
	struct batch_header h;
	struct buf news;
	bool fresh = false;
	enum outcome outcome = outbox_news(c->relay, c->n, &h, &fresh, err);

	buf_init(&news, SESSION_NEWS);
	if (outcome == OUTCOME_DONE && (fresh || !c->introduced)) {
		wire_u32(&news, c->n->peer.incarnation);
		batch_header_print_extensions(&h, &news);
		if (session_news(&c->session, view_buf(&news))) {
			c->introduced = true;
			outbox_bare_sent(c->n);
			for (size_t i = 0; i < c->whole_count; i++)
				session_settled(&c->session, c->whole[i]);
			c->whole_count = 0;
		}
	}
	buf_release(&news);
	batch_header_release(&h);
	return outcome;
}

/* Batches that are acknowledged, or were taken apart, are no longer to be sent. */
static void withdraw_batches(struct call *c, const struct ranges *before)
{
	for (size_t i = 0; i < before->count; i++)
		for (uint64_t s = before->items[i].first; s <= before->items[i].last; s++)
			if (peer_out(&c->n->peer, s) == NULL) {
				session_withdraw(&c->session, s);
				if (c->reading == s)
					call_close_batch(c);
			}
}

static void ours_out(const struct peer *p, struct ranges *out)
{
	for (size_t i = 0; i < p->out_count; i++)
		if (p->out[i].incarnation == p->incarnation)
			ranges_add(out, p->out[i].sequence, p->out[i].sequence);
}

/* All numbers are others now, or not to be had; the next call begins with them. */
static void heed_renewal(struct call *c, uint32_t ours)
{
	if (c->n->peer.incarnation != ours || c->n->state != NEIGHBOUR_READY)
		session_finish(&c->session, SESSION_END_LEAVE);
}

static enum outcome take_news(struct call *c, struct view bytes, struct error *err)
{
	struct batch_header h = {.class = CLASS_URGENT};
	uint32_t ours = c->n->peer.incarnation;
	struct ranges before = {0};
	struct reader r;
	enum outcome outcome;

	reader_init(&r, bytes);
	h.incarnation = read_u32(&r);
	snprintf(h.from, sizeof h.from, "%s", c->n->config->name);
	snprintf(h.to, sizeof h.to, "%s", c->relay->queue.host);
	outcome = r.failed ? error_set(err, EX_DATAERR, "news without an incarnation")
			   : batch_header_parse_extensions(&h, r.rest, "what the neighbour tells", err);
	if (outcome == OUTCOME_DONE) {
		parts_settle(&c->parts, h.incarnation);
		c->n->peer.contact = clock_now();
		c->n->changed = true;
		ours_out(&c->n->peer, &before);
		outcome = outbox_take_header(c->relay, c->n, &h, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = neighbour_save(c->relay, c->n, err);
	withdraw_batches(c, &before);
	heed_renewal(c, ours);
	ranges_release(&before);
	batch_header_release(&h);
	return outcome;
}

enum outcome call_feed(struct call *c, struct error *err)
{
	struct ranges before = {0};
	enum outcome outcome;

	ours_out(&c->n->peer, &before);
	outcome = pass_feed(c->relay, c->n, err);
	withdraw_batches(c, &before);
	ranges_release(&before);
	return outcome;
}

void call_heed(struct call *c)
{
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (c->told.length == 0)
		return;
	outcome = take_news(c, view_buf(&c->told), &err);
	buf_clear(&c->told);
	call_contain(c, outcome, &err);
}

/* ---- their batches ----------------------------------------------------------------------------------------- */

void call_begin_part(struct call *c, const struct session_event *event)
{
	const struct peer_source *source = peer_present(&c->n->peer);
	uint64_t most = 2 * (c->relay->config.max_size + INTAKE_SPARE);
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;
	enum session_stop why = SESSION_STOP_LATER;

	if (source != NULL && ranges_contain(&source->received, event->sequence)) {
		/* It has not heard the acknowledgement. */
		c->n->peer.ack_due = true;
		why = SESSION_STOP_TAKEN;
	} else if (c->parts.incarnation == 0) {
		outcome = error_set(&err, EX_PROTOCOL, "a batch came before the incarnation of its sender");
	} else if (event->size > most) {
		outcome = error_set(&err, EX_DATAERR,
		    "a batch of %llu octets is offered, more than any that this host would take (max-size)",
		    (unsigned long long)event->size);
		why = SESSION_STOP_REFUSED;
	} else {
		outcome = queue_room(&c->relay->queue, event->size - event->offset, &err);
		if (outcome == OUTCOME_DONE && parts_begin(&c->parts, event->sequence, event->offset, &err) != NULL)
			return;
		outcome = err.outcome;
	}
	session_stop(&c->session, event->sequence, why);
	call_contain(c, outcome, &err);
}

static void put_off_look(struct call *c)
{
	uint64_t latest = c->looked_at + LOOK_LATEST;
	uint64_t at = c->now + CALL_LOOK < latest ? c->now + CALL_LOOK : latest;

	if (at > c->look_at)
		c->look_at = at;
}

void call_add_to_part(struct call *c, const struct session_event *event)
{
	struct part *part = parts_find(&c->parts, event->sequence);
	uint64_t before;
	struct error err = ERROR_NONE;

	if (part == NULL)
		return;
	before = part->size;
	if (part_append(part, event->bytes, &err) != OUTCOME_DONE) {
		part_cut(part, before, NULL);
		session_stop(&c->session, event->sequence, SESSION_STOP_LATER);
		call_contain(c, err.outcome, &err);
	}
	put_off_look(c);
	progress_received(&c->progress, event->sequence, event->offset + event->bytes.length, event->size);
}

void call_cut_part(struct call *c, const struct session_event *event)
{
	struct part *part = parts_find(&c->parts, event->sequence);
	struct error err = ERROR_NONE;

	if (part != NULL && event->offset < part->size)
		call_contain(c, part_cut(part, event->offset, &err), &err);
}

void call_take_part(struct call *c, const struct session_event *event)
{
	struct part *part = parts_find(&c->parts, event->sequence);
	enum intake_verdict verdict = INTAKE_BUSY;
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;
	uint32_t ours = c->n->peer.incarnation;
	bool refused = false;

	if (part != NULL) {
		outcome = intake_part(c->relay, c->n, c->parts.d, part->name, &verdict, &err);
		refused = outcome == OUTCOME_DONE && (verdict == INTAKE_DAMAGED || verdict == INTAKE_STRANGER);
		if (outcome == OUTCOME_DONE)
			parts_forget(&c->parts, part, false);
		/* What was taken is on the disk; now the state that says so. */
		if (outcome == OUTCOME_DONE)
			outcome = neighbour_save(c->relay, c->n, &err);
	}
	call_contain(c, outcome, &err);
	heed_renewal(c, ours);
	if (refused)
		session_stop(&c->session, event->sequence, SESSION_STOP_REFUSED);
	else if (c->n->peer.ack_due)
		c->whole[c->whole_count++] = event->sequence;
	else
		session_settled(&c->session, event->sequence); /* there is nothing to tell */
}
