#include "spool/peer.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "spool/statefile.h"

#define PEER_MAGIC "pbpeer"
#define PEER_FILE  "peer"

static const uint8_t no_mark[BATCH_MARK];

/* ---- batches that are out --------------------------------------------------------------------------------
 */

/* Index of the first batch of our present incarnation with SEQUENCE or above; those of earlier ones stand
 * before. */
static size_t out_find(const struct peer *p, uint64_t sequence)
{
	size_t low = 0;
	size_t high = p->out_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->out[middle].incarnation != p->incarnation || p->out[middle].sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct peer_batch *peer_out(struct peer *p, uint64_t sequence)
{
	size_t place = out_find(p, sequence);

	return place < p->out_count && p->out[place].sequence == sequence ? &p->out[place] : NULL;
}

struct peer_batch *peer_out_add(struct peer *p, uint64_t sequence)
{
	size_t place = out_find(p, sequence);

	if (place < p->out_count && p->out[place].sequence == sequence)
		return &p->out[place];
	p->out = mem_grow(p->out, p->out_count, &p->out_capacity, sizeof p->out[0]);
	memmove(p->out + place + 1, p->out + place, (p->out_count - place) * sizeof p->out[0]);
	p->out_count++;
	p->out[place] = (struct peer_batch){.incarnation = p->incarnation, .sequence = sequence};
	return &p->out[place];
}

void peer_out_drop(struct peer *p, struct peer_batch *batch)
{
	size_t place = (size_t)(batch - p->out);

	p->out_count--;
	memmove(batch, batch + 1, (p->out_count - place) * sizeof *batch);
}

void peer_out_remove(struct peer *p, uint64_t sequence)
{
	struct peer_batch *batch = peer_out(p, sequence);

	for (size_t i = 0; batch == NULL && i < p->out_count; i++)
		if (p->out[i].sequence == sequence)
			batch = &p->out[i];
	if (batch != NULL)
		peer_out_drop(p, batch);
}

struct peer_batch *peer_out_stale(struct peer *p)
{
	return p->out_count > 0 && p->out[0].incarnation != p->incarnation ? &p->out[0] : NULL;
}

/* ---- what came -------------------------------------------------------------------------------------------
 */

struct peer_source *peer_present(struct peer *p)
{
	return p->source_count == 0 ? NULL : &p->sources[p->source_count - 1];
}

static struct peer_source *source_find(const struct peer *p, uint32_t incarnation)
{
	for (size_t i = p->source_count; i > 0; i--)
		if (p->sources[i - 1].incarnation == incarnation)
			return &p->sources[i - 1];
	return NULL;
}

static struct peer_source *source_add(struct peer *p, uint32_t incarnation)
{
	struct peer_source *s;

	p->sources = mem_resize(p->sources, p->source_count + 1, sizeof p->sources[0]);
	s = &p->sources[p->source_count++];
	*s = (struct peer_source){.incarnation = incarnation};
	return s;
}

struct peer_source *peer_source(struct peer *p, uint32_t incarnation)
{
	struct peer_source *s = source_find(p, incarnation);
	struct peer_source *last = peer_present(p);
	struct peer_source found;

	if (s != NULL && s == last)
		return s;
	p->event_seen = 0;
	if (s == NULL)
		return source_add(p, incarnation);
	/* It speaks again: a stick of an older incarnation came in between. */
	found = *s;
	memmove(s, s + 1, (size_t)(last - s) * sizeof *s);
	*last = found;
	return last;
}

static const struct peer_mark *mark_find(const struct peer_source *s, uint64_t sequence)
{
	for (size_t i = s->mark_count; i > 0; i--)
		if (s->marks[i - 1].sequence == sequence)
			return &s->marks[i - 1];
	return NULL;
}

enum peer_known peer_knows(const struct peer_source *s, uint64_t sequence, const uint8_t mark[BATCH_MARK])
{
	const struct peer_mark *known = mark_find(s, sequence);

	if (sequence == 0 || !ranges_contain(&s->received, sequence))
		return PEER_NEW;
	return known == NULL || memcmp(known->mark, mark, BATCH_MARK) == 0 ? PEER_TAKEN : PEER_CONFLICT;
}

static struct peer_mark *mark_append(struct peer_source *s)
{
	if (s->marks == NULL)
		s->marks = mem_array(PEER_MARKS, sizeof s->marks[0]);
	return &s->marks[s->mark_count++];
}

/* Keeps the marks of the highest sequences, ascending. */
static void mark_add(struct peer_source *s, uint64_t sequence, const uint8_t mark[BATCH_MARK])
{
	size_t place;

	if (mark_find(s, sequence) != NULL || (s->mark_count == PEER_MARKS && sequence < s->marks[0].sequence))
		return;
	if (s->mark_count == PEER_MARKS)
		memmove(s->marks, s->marks + 1, --s->mark_count * sizeof s->marks[0]);
	(void)mark_append(s);
	for (place = s->mark_count - 1; place > 0 && s->marks[place - 1].sequence > sequence; place--)
		s->marks[place] = s->marks[place - 1];
	s->marks[place].sequence = sequence;
	memcpy(s->marks[place].mark, mark, BATCH_MARK);
}

void peer_take(struct peer_source *s, uint64_t sequence, const uint8_t mark[BATCH_MARK])
{
	/* A sequence that is here already keeps its mark, or none when it is void: what was not taken is not
	 * vouched for. */
	if (sequence == 0 || ranges_contain(&s->received, sequence))
		return;
	ranges_add(&s->received, sequence, sequence);
	mark_add(s, sequence, mark);
}

void peer_refuse(struct peer_source *s)
{
	s->refused = true;
}

/* ---- acknowledgements ------------------------------------------------------------------------------------
 */

static void copy_lowest(struct ranges *to, const struct ranges *from)
{
	size_t count = from->count < LIMIT_ACK_RANGES ? from->count : LIMIT_ACK_RANGES;

	ranges_release(to);
	for (size_t i = 0; i < count; i++)
		ranges_add(to, from->items[i].first, from->items[i].last);
}

static void fill_ack(const struct peer_source *s, struct batch_ack *ack)
{
	const struct peer_mark *top;

	ack->incarnation = s->incarnation;
	copy_lowest(&ack->received, &s->received);
	if (s->refused) {
		ranges_release(&ack->received);
		ranges_add(&ack->received, PEER_NEVER_SENT, PEER_NEVER_SENT);
	}
	top = mark_find(s, ranges_last(&ack->received));
	memcpy(ack->check, top == NULL ? no_mark : top->mark, sizeof ack->check);
}

void peer_fill_header(const struct peer *p, struct batch_header *h)
{
	const struct peer_source *s = p->source_count == 0 ? NULL : &p->sources[p->source_count - 1];

	h->has_ack = s != NULL && (s->received.count > 0 || s->refused || p->event_seen > 0);
	if (h->has_ack)
		fill_ack(s, &h->ack);
	copy_lowest(&h->voided, &p->voided);
	h->event_seen = p->event_seen;
}

/* Does the check in ACK fit what we know of the highest batch it names? */
static bool check_holds(struct peer *p, const struct batch_ack *ack)
{
	uint64_t top = ranges_last(&ack->received);
	const struct peer_batch *batch = peer_out(p, top);
	const uint8_t *mark = NULL;

	if (batch != NULL)
		mark = batch->mark;
	else if (top != 0 && top == p->acked_top.sequence)
		mark = p->acked_top.mark;
	return mark == NULL || memcmp(ack->check, no_mark, sizeof ack->check) == 0 ||
	       memcmp(ack->check, mark, sizeof ack->check) == 0;
}

/* The neighbour has our events up to SEEN. That may be more than we remember to have given, when a crash came
 * between the groups and the peer file or when our state is an old copy: then we go on above it. */
static void take_event_seen(struct peer *p, uint64_t seen)
{
	/* Nobody loses count of that many; believed, it would use up the numbers. */
	if (seen > p->event_serial && seen - p->event_serial > UINT32_MAX)
		return;
	if (seen > p->event_confirmed)
		p->event_confirmed = seen;
	if (seen > p->event_serial)
		p->event_serial = seen;
}

enum ack_verdict peer_take_ack(struct peer *p, const struct batch_header *h, struct ranges *done)
{
	const struct ranges *named = &h->ack.received;

	if (!h->has_ack || h->ack.incarnation != p->incarnation)
		return ACK_NONE;
	if (ranges_last(named) >= p->next || ranges_contain(named, 0) || !check_holds(p, &h->ack))
		return ACK_STRANGER;
	ranges_merge(&p->acked, named);
	for (size_t i = 0; i < named->count; i++)
		ranges_cut(&p->voided, named->items[i].first, named->items[i].last);
	for (size_t i = out_find(p, 0); i < p->out_count; i++) {
		const struct peer_batch *batch = &p->out[i];

		if (!ranges_contain(&p->acked, batch->sequence))
			continue;
		ranges_add(done, batch->sequence, batch->sequence);
		if (batch->sequence > p->acked_top.sequence) {
			p->acked_top.sequence = batch->sequence;
			memcpy(p->acked_top.mark, batch->mark, BATCH_MARK);
		}
	}
	take_event_seen(p, h->event_seen);
	return ACK_TAKEN;
}

bool peer_take_events(struct peer *p, const struct batch_header *h)
{
	const struct peer_source *s = peer_present(p);

	if (s == NULL || s->incarnation != h->incarnation || h->event_serial <= p->event_seen)
		return false;
	p->event_seen = h->event_serial;
	return h->events_incarnation == p->incarnation;
}

/* ---- the file --------------------------------------------------------------------------------------------
 */

static void print_batch(const struct peer_batch *batch, struct buf *out)
{
	wire_u32(out, batch->incarnation);
	wire_varint(out, batch->sequence);
	buf_byte(out, batch->class);
	wire_varint(out, batch->size);
	wire_varint(out, batch->messages);
	buf_append(out, batch->mark, sizeof batch->mark);
	buf_append(out, batch->sealed_for, sizeof batch->sealed_for);
	wire_varint(out, batch->look_age);
	wire_signed(out, batch->packed);
	wire_varint(out, batch->sent_age);
	wire_signed(out, batch->sent);
	wire_varint(out, batch->sendings);
	wire_text(out, batch->carrier);
}

static void print_mark(const struct peer_mark *mark, struct buf *out)
{
	wire_varint(out, mark->sequence);
	buf_append(out, mark->mark, sizeof mark->mark);
}

static void print_source(const struct peer_source *s, struct buf *out)
{
	wire_u32(out, s->incarnation);
	buf_byte(out, s->refused);
	ranges_write(&s->received, SIZE_MAX, out);
	wire_varint(out, s->mark_count);
	for (size_t i = 0; i < s->mark_count; i++)
		print_mark(&s->marks[i], out);
}

void peer_print(const struct peer *p, struct buf *out)
{
	statefile_begin(out, PEER_MAGIC);
	wire_text(out, p->name);
	wire_u32(out, p->incarnation);
	wire_varint(out, p->next);
	ranges_write(&p->acked, SIZE_MAX, out);
	print_mark(&p->acked_top, out);
	ranges_write(&p->voided, SIZE_MAX, out);
	wire_varint(out, p->out_count);
	for (size_t i = 0; i < p->out_count; i++)
		print_batch(&p->out[i], out);
	wire_varint(out, p->source_count);
	for (size_t i = 0; i < p->source_count; i++)
		print_source(&p->sources[i], out);
	buf_byte(out, p->ack_due);
	wire_varint(out, p->event_serial);
	wire_varint(out, p->event_confirmed);
	wire_varint(out, p->event_packed);
	wire_varint(out, p->event_seen);
	wire_signed(out, p->contact);
	wire_signed(out, p->tried);
	buf_byte(out, p->result != NULL);
	if (p->result != NULL)
		wire_text(out, p->result);
	wire_signed(out, p->clock_apart);
	statefile_end(out);
}

static void read_fixed(struct reader *r, uint8_t *bytes, size_t size)
{
	struct view v = read_bytes(r, size);

	if (v.length == size)
		memcpy(bytes, v.bytes, size);
}

static bool read_bool(struct reader *r)
{
	uint8_t byte = read_byte(r);

	if (byte > 1)
		r->failed = true;
	return byte == 1;
}

/* A counted string of less than SIZE octets, without a NUL, into TEXT (zeroed). */
static void read_string(struct reader *r, char *text, size_t size)
{
	struct view v = read_view(r, size - 1);

	if (v.length > 0)
		memcpy(text, v.bytes, v.length);
	if (strlen(text) != v.length)
		r->failed = true;
}

/* Sequences begin at 1. */
static void read_sequences(struct ranges *set, struct reader *r)
{
	ranges_read(set, SIZE_MAX, r);
	if (ranges_contain(set, 0))
		r->failed = true;
}

static void read_batch(struct peer *p, struct reader *r)
{
	struct peer_batch batch = {.incarnation = read_u32(r)};
	const struct peer_batch *last = p->out_count == 0 ? NULL : &p->out[p->out_count - 1];

	batch.sequence = read_varint(r);
	batch.class = read_byte(r);
	batch.size = read_varint(r);
	batch.messages = read_varint(r);
	read_fixed(r, batch.mark, sizeof batch.mark);
	read_fixed(r, batch.sealed_for, sizeof batch.sealed_for);
	batch.look_age = read_varint(r);
	batch.packed = read_signed(r);
	batch.sent_age = read_varint(r);
	batch.sent = read_signed(r);
	batch.sendings = (uint32_t)read_varint_max(r, UINT32_MAX);
	read_string(r, batch.carrier, sizeof batch.carrier);
	/* The order that out_find relies on. */
	if (batch.sequence == 0 || (last != NULL && last->incarnation == p->incarnation &&
				       (batch.incarnation != p->incarnation || batch.sequence <= last->sequence)))
		r->failed = true;
	if (r->failed)
		return;
	p->out = mem_grow(p->out, p->out_count, &p->out_capacity, sizeof p->out[0]);
	p->out[p->out_count++] = batch;
}

static void read_source(struct peer *p, struct reader *r)
{
	uint32_t incarnation = read_u32(r);
	struct peer_source *s;
	uint64_t count;
	uint64_t last = 0;

	if (r->failed || source_find(p, incarnation) != NULL) {
		r->failed = true;
		return;
	}
	s = source_add(p, incarnation);
	s->refused = read_bool(r);
	read_sequences(&s->received, r);
	count = read_varint_max(r, PEER_MARKS);
	for (uint64_t i = 0; i < count && !r->failed; i++) {
		struct peer_mark *mark = mark_append(s);

		mark->sequence = read_varint(r);
		read_fixed(r, mark->mark, sizeof mark->mark);
		if (mark->sequence <= last)
			r->failed = true;
		last = mark->sequence;
	}
}

static void read_peer(struct peer *p, struct reader *r)
{
	uint64_t count;

	read_string(r, p->name, sizeof p->name);
	p->incarnation = read_u32(r);
	p->next = read_varint(r);
	read_sequences(&p->acked, r);
	p->acked_top.sequence = read_varint(r);
	read_fixed(r, p->acked_top.mark, sizeof p->acked_top.mark);
	read_sequences(&p->voided, r);
	count = read_varint(r);
	for (uint64_t i = 0; i < count && !r->failed; i++)
		read_batch(p, r);
	count = read_varint(r);
	for (uint64_t i = 0; i < count && !r->failed; i++)
		read_source(p, r);
	p->ack_due = read_bool(r);
	p->event_serial = read_varint(r);
	p->event_confirmed = read_varint(r);
	p->event_packed = read_varint(r);
	p->event_seen = read_varint(r);
	p->contact = read_signed(r);
	p->tried = read_signed(r);
	if (read_bool(r))
		p->result = read_text(r, LIMIT_SMALL_FILE);
	p->clock_apart = read_signed(r);
}

bool peer_parse(struct view bytes, struct peer *p)
{
	struct reader r;

	*p = (struct peer){.next = 0};
	if (!statefile_check(bytes, PEER_MAGIC, &r))
		return false;
	read_peer(p, &r);
	if (!r.failed && r.rest.length == 0 && p->next > 0 && host_name_valid(p->name))
		return true;
	peer_release(p);
	return false;
}

void peer_release(struct peer *p)
{
	for (size_t i = 0; i < p->source_count; i++) {
		ranges_release(&p->sources[i].received);
		free(p->sources[i].marks);
	}
	free(p->sources);
	free(p->out);
	free(p->result);
	ranges_release(&p->acked);
	ranges_release(&p->voided);
	*p = (struct peer){.next = 0};
}

/* The numbers of another incarnation of ours mean nothing any more. The serials of events go on, so that none
 * is used twice, but what was confirmed or packed of them was so to the other. */
static void peer_adapt(struct peer *p, uint32_t incarnation)
{
	p->incarnation = incarnation;
	p->next = 1;
	ranges_release(&p->acked);
	ranges_release(&p->voided);
	p->acked_top = (struct peer_mark){.sequence = 0};
	p->event_confirmed = 0;
	p->event_packed = 0;
}

static enum outcome peer_read(struct peer *p, const struct dir *d, const char *name, struct error *err)
{
	struct buf bytes;
	enum outcome outcome;

	buf_init(&bytes, LIMIT_SMALL_FILE);
	outcome = file_read(d, PEER_FILE, &bytes, err);
	if (outcome == OUTCOME_DONE && !peer_parse(view_buf(&bytes), p))
		outcome = error_set(err, EX_DATAERR,
		    "%s/" PEER_FILE " is damaged; moved away, the exchange with %s begins anew", d->path, name);
	else if (outcome == OUTCOME_DONE && strcmp(p->name, name) != 0)
		outcome = error_set(
		    err, EX_DATAERR, "%s/" PEER_FILE " is about the neighbour %s, not %s", d->path, p->name, name);
	buf_release(&bytes);
	return outcome;
}

enum outcome peer_load(
    struct peer *p, const struct dir *state, const char *name, uint32_t incarnation, struct error *err)
{
	struct error own = ERROR_NONE;
	struct dir d;
	enum outcome outcome = statefile_dir(&d, state, name, &own);

	*p = (struct peer){.next = 0};
	if (outcome == OUTCOME_DONE)
		outcome = peer_read(p, &d, name, &own);
	dir_close(&d);
	if (outcome != OUTCOME_DONE && own.code != EX_NOINPUT) {
		peer_release(p);
		if (err != NULL)
			*err = own;
		return outcome;
	}
	if (outcome != OUTCOME_DONE) {
		*p = (struct peer){.incarnation = incarnation, .next = 1};
		memcpy(p->name, name, strlen(name));
	}
	if (p->incarnation != incarnation)
		peer_adapt(p, incarnation);
	return OUTCOME_DONE;
}

enum outcome peer_save(const struct peer *p, const struct dir *tmp, const struct dir *state, struct error *err)
{
	struct buf bytes;
	struct dir d;
	enum outcome outcome = statefile_dir_make(&d, state, p->name, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	buf_init(&bytes, LIMIT_SMALL_FILE);
	peer_print(p, &bytes);
	outcome = statefile_commit(&bytes, tmp, &d, PEER_FILE, err);
	buf_release(&bytes);
	dir_close(&d);
	return outcome;
}
