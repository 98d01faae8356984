/*
 * A call with a neighbour that has proved its keys and then says anything. The first octet chooses how the call is; then come
 * records: an octet of length, and so many octets as frames; length 0xff: the next octet goes over the line as it is, proved by nothing.
 *
 * Laws: cutting the line differently changes nothing but where DATA is cut, and so whether any is to be cut back; DATA of a batch goes on where it stood and does not go
 * beyond its size; WHOLE comes once for a batch, and only when all is there; our batches are read in order and within their
 * size, and no more of them than is allowed; CLOSED comes once and last; what is said is bounded.
 */
#include "lib/alloc.h"
#include "relay/session_own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BATCHES 3
#define NUMBERS 300
#define ALLOWED 9000
#define RESERVE 2000

static void require(bool law)
{
	if (!law)
		abort();
}

static struct host_keys ours;
static const uint64_t sizes[BATCHES] = {1, 5000, 200000};
static uint8_t content[SESSION_CHUNK];

/* What is known of one of their batches. */
struct seen {
	uint64_t size;
	uint64_t offset;
	bool begun;
	bool whole;
};

struct run {
	struct session us;
	struct record_writer them;
	struct seen seen[NUMBERS];
	uint64_t read[BATCHES];
	struct buf told;
	uint8_t choices;
	bool closed;
	uint64_t now;
};

static void begin_ours(struct run *r)
{
	static const uint8_t hash[SESSION_HASH] = {1, 2, 3};

	session_have(&r->us, 7, 100, hash);
	for (size_t i = 0; i < BATCHES; i++)
		session_offer(&r->us, i + 1, (uint8_t)(i % 3), sizes[i], (r->choices & 4) != 0);
	if ((r->choices & 16) != 0)
		session_allow(&r->us, ALLOWED, RESERVE);
	session_go(&r->us);
}

static void tell_batch(struct run *r, const struct session_event *e)
{
	struct seen *s = &r->seen[e->sequence % NUMBERS];

	if (e->sequence >= NUMBERS) {
		if (e->kind == SESSION_BEGUN)
			session_stop(&r->us, e->sequence, SESSION_STOP_REFUSED);
		return;
	}
	if (e->kind == SESSION_BEGUN) {
		require(
		    !s->begun && e->offset <= e->size && (e->offset == 0 || (e->sequence == 7 && e->offset == 100)));
		*s = (struct seen){.size = e->size, .offset = e->offset, .begun = true};
		if (e->sequence % 5 == 4) {
			session_stop(&r->us, e->sequence, SESSION_STOP_LATER);
			s->begun = false;
		}
	} else if (e->kind == SESSION_DATA) {
		require(s->begun && !s->whole && e->offset == s->offset && e->bytes.length <= s->size - s->offset);
		s->offset += e->bytes.length;
	} else if (e->kind == SESSION_CUT_BACK) {
		require(s->begun && e->offset <= s->offset);
		s->offset = e->offset;
	} else if (e->kind == SESSION_WHOLE) {
		require(s->begun && !s->whole && s->offset == s->size);
		s->whole = true;
		session_settled(&r->us, e->sequence);
		s->begun = false;
	}
}

static void tell(struct run *r, const struct session_event *e)
{
	require(!r->closed);
	if (e->kind != SESSION_DATA && e->kind != SESSION_CUT_BACK && e->kind != SESSION_READ)
		buf_format(&r->told, "%d %llu %llu|", (int)e->kind, (unsigned long long)e->sequence,
		    (unsigned long long)e->offset);
	switch (e->kind) {
	case SESSION_STANDS:
		begin_ours(r);
		break;
	case SESSION_READ:
		require(e->sequence >= 1 && e->sequence <= BATCHES && e->length > 0 && e->length <= SESSION_CHUNK);
		require(e->offset + e->length <= sizes[e->sequence - 1] && e->offset >= r->read[e->sequence - 1]);
		r->read[e->sequence - 1] = e->offset + e->length;
		session_data(&r->us, view_of(content, e->length), r->now);
		require((r->choices & 16) == 0 ||
			(r->us.data_sent <= ALLOWED &&
			    (e->sequence == 1 || r->us.data_sent <= ALLOWED - RESERVE + sizes[0])));
		break;
	case SESSION_CHECK:
		require(e->sequence >= 1 && e->sequence <= BATCHES && e->offset <= sizes[e->sequence - 1]);
		session_checked(&r->us, e->sequence, e->bytes.bytes[0] % 2 == 0);
		break;
	case SESSION_CLOSED:
		r->closed = true;
		buf_text(&r->told, e->text);
		break;
	default:
		tell_batch(r, e);
	}
}

static void work(struct run *r)
{
	struct session_event event;

	while (session_next(&r->us, &event, r->now))
		tell(r, &event);
	require(r->us.output.length <= SESSION_OUTPUT + RECORD_MAX + 1000);
}

static void feed(struct run *r, struct view bytes, size_t step)
{
	while (bytes.length > 0) {
		size_t piece = bytes.length < step ? bytes.length : step;

		session_feed(&r->us, view_of(bytes.bytes, piece));
		work(r);
		bytes = view_from(bytes, piece);
	}
}

/* The hello is taken and the answer given: computing secrets each time would take all the time there is. Those are for the
 * unit tests. */
static void shake_hands(struct run *r)
{
	struct session_options answer = {
	    SESSION_ANSWERER, &ours, NULL, (r->choices & 1) != 0, (r->choices & 2) != 0 ? 5000 : 0};
	struct session_own *o;

	session_init(&r->us, &answer, 0);
	o = r->us.own;
	memset(o->keys.send, 1, sizeof o->keys.send);
	memset(o->keys.receive, 2, sizeof o->keys.receive);
	o->writer = (struct record_writer){.key = o->keys.send, .open = o->open};
	o->reader = (struct record_reader){.key = o->keys.receive, .open = o->open};
	o->phase = PHASE_PROOF;
	r->them = (struct record_writer){.key = o->keys.receive, .open = o->open};
}

static void run(struct run *r, const uint8_t *data, size_t size, size_t step)
{
	struct buf line;

	*r = (struct run){.choices = data[0]};
	buf_init(&r->told, SIZE_MAX);
	buf_init(&line, SIZE_MAX);
	shake_hands(r);
	for (size_t at = 1; at < size;) {
		size_t length = data[at++];

		if (length == 0xff && at < size) {
			feed(r, view_of(data + at++, 1), 1);
			continue;
		}
		length = length < size - at ? length : size - at;
		if (length == 0)
			continue;
		record_write(&r->them, view_of(data + at, length), &line);
		at += length;
		r->now += 100;
		feed(r, view_buf(&line), step);
		buf_clear(&line);
		if ((r->choices & 8) == 0)
			session_written(&r->us, r->us.output.length);
		work(r);
	}
	session_lost(&r->us, "lost");
	work(r);
	require(r->closed);
	session_release(&r->us);
	buf_release(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run whole;
	static struct run cut;

	if (size < 2)
		return 0;
	run(&whole, data, size, SIZE_MAX);
	run(&cut, data, size, 1);
	require(view_equal(view_buf(&whole.told), view_buf(&cut.told)));
	buf_release(&whole.told);
	buf_release(&cut.told);
	return 0;
}
