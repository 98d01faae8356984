#include "relay/session.h"

#include "lib/alloc.h"
#include "lib/wire.h"
#include "relay/session_own.h"

/* Flags of hello and answer. */
#define HELLO_OPEN 1
#define HELLO_TURN 2

/* ---- beginning and ending -------------------------------------------------------------------------------- */

void session_end_with(struct session *s, enum session_end end, const char *format, ...)
{
	struct session_own *o = s->own;
	va_list arguments;

	if (o->phase >= PHASE_ENDING)
		return;
	va_start(arguments, format);
	vsnprintf(o->text, sizeof o->text, format, arguments);
	va_end(arguments);
	o->end = end;
	o->phase = PHASE_ENDING;
}

/* Flags, and the seconds of a turn: how this end wants to go on. */
static void payload_make(const struct session_own *o, struct buf *payload)
{
	wire_varint(payload, (o->open ? HELLO_OPEN : 0) | (o->turn > 0 ? HELLO_TURN : 0));
	if (o->turn > 0)
		wire_varint(payload, o->turn / 1000);
}

/* What the other end wants holds as well. Extensions, which may follow, are none that must be known. */
static bool payload_take(struct session_own *o, struct view payload)
{
	struct reader r;
	uint64_t flags;
	uint64_t turn = 0;

	reader_init(&r, payload);
	flags = read_varint(&r);
	if (flags & HELLO_TURN)
		turn = read_varint_max(&r, 86400);
	while (!r.failed && !reader_at_end(&r)) {
		read_varint(&r);
		read_view(&r, SESSION_PAYLOAD);
	}
	o->open |= (flags & HELLO_OPEN) != 0;
	if (o->turn == 0)
		o->turn = turn * 1000;
	return !r.failed && flags <= (HELLO_OPEN | HELLO_TURN);
}

/* The keys are known, and nothing stands between us but proof. */
static void records_begin(struct session_own *o)
{
	o->writer = (struct record_writer){.key = o->keys.send, .open = o->open};
	o->reader = (struct record_reader){.key = o->keys.receive, .open = o->open};
}

static void call_out(struct session *s, uint64_t now)
{
	struct session_own *o = s->own;
	struct buf payload;

	buf_init(&payload, SESSION_PAYLOAD);
	payload_make(o, &payload);
	o->spoke_at = now;
	o->phase = PHASE_ANSWER;
	if (!session_hello(&o->keys, o->options.keys, &o->peer, view_buf(&payload), &s->output))
		session_end_with(s, SESSION_END_ALIEN, "the neighbour's key cannot be used");
	buf_release(&payload);
}

void session_init(struct session *s, const struct session_options *options, uint64_t now)
{
	struct session_own *o = mem_alloc(sizeof *o);

	*s = (struct session){.own = o};
	buf_init(&s->output, SIZE_MAX);
	buf_init(&o->input, SIZE_MAX);
	buf_init(&o->body, RECORD_MAX);
	buf_init(&o->pending, SIZE_MAX);
	o->options = *options;
	o->open = options->open;
	o->turn = options->turn;
	o->phase = PHASE_HELLO;
	if (options->side == SESSION_CALLER) {
		o->peer = *options->peer;
		call_out(s, now);
	}
}

void session_release(struct session *s)
{
	struct session_own *o = s->own;

	buf_release(&s->output);
	if (o == NULL)
		return;
	session_keys_wipe(&o->keys);
	buf_release(&o->input);
	buf_release(&o->body);
	buf_release(&o->pending);
	free(o->in);
	free(o->out);
	free(o);
	s->own = NULL;
}

/* ---- the two lists ---------------------------------------------------------------------------------------- */

struct incoming *session_incoming(struct session_own *o, uint64_t sequence)
{
	for (size_t i = 0; i < o->in_count; i++)
		if (o->in[i].sequence == sequence)
			return &o->in[i];
	return NULL;
}

struct incoming *session_incoming_add(struct session_own *o, uint64_t sequence)
{
	o->in = mem_grow(o->in, o->in_count, &o->in_capacity, sizeof o->in[0]);
	o->in[o->in_count] = (struct incoming){.sequence = sequence};
	return &o->in[o->in_count++];
}

struct outgoing *session_outgoing(struct session_own *o, uint64_t sequence)
{
	for (size_t i = 0; i < o->out_count; i++)
		if (o->out[i].sequence == sequence)
			return &o->out[i];
	return NULL;
}

/* ---- what the driver says --------------------------------------------------------------------------------- */

void session_have(struct session *s, uint64_t sequence, uint64_t offset, const uint8_t hash[static SESSION_HASH])
{
	struct session_own *o = s->own;
	struct incoming *in;

	if (offset == 0 || o->in_count == SESSION_PARTS || session_incoming(o, sequence) != NULL)
		return;
	in = session_incoming_add(o, sequence);
	in->offset = in->verified = offset;
	buf_byte(&o->pending, FRAME_HAVE);
	wire_varint(&o->pending, sequence);
	wire_varint(&o->pending, offset);
	buf_append(&o->pending, hash, SESSION_HASH);
	session_say(o, true);
}

bool session_offer(struct session *s, uint64_t sequence, uint8_t class, uint64_t size, bool tried)
{
	struct session_own *o = s->own;

	if (session_outgoing(o, sequence) != NULL)
		return true;
	if (o->out_count == SESSION_OFFERS)
		return false;
	o->out = mem_grow(o->out, o->out_count, &o->out_capacity, sizeof o->out[0]);
	o->out[o->out_count++] = (struct outgoing){.sequence = sequence,
	    .class = class < SESSION_CLASSES ? class : SESSION_CLASSES - 1,
	    .size = size,
	    .tried = tried};
	return true;
}

void session_withdraw(struct session *s, uint64_t sequence)
{
	struct session_own *o = s->own;
	struct outgoing *out = session_outgoing(o, sequence);

	if (out == NULL)
		return;
	/* Acknowledged: so all that was given out before its end has arrived. */
	if (out->sent && out->end_at > o->confirmed)
		o->confirmed = out->end_at;
	*out = o->out[--o->out_count];
}

bool session_begun(const struct session *s, uint64_t sequence)
{
	const struct outgoing *out = session_outgoing(s->own, sequence);

	return out != NULL && out->begun;
}

void session_allow(struct session *s, uint64_t octets, uint64_t reserve)
{
	s->own->allowed = octets;
	s->own->reserve = reserve;
}

void session_go(struct session *s)
{
	s->own->gone = true;
}

void session_checked(struct session *s, uint64_t sequence, bool same)
{
	struct session_own *o = s->own;
	struct outgoing *out = session_outgoing(o, sequence);

	if (out != NULL && same && o->checking == sequence)
		out->offset = o->checking_offset;
	o->checking = 0;
}

static void say_stop(struct session_own *o, uint64_t sequence, enum session_stop why)
{
	buf_byte(&o->pending, FRAME_STOP);
	wire_varint(&o->pending, sequence);
	buf_byte(&o->pending, (uint8_t)why);
	session_say(o, true);
}

void session_stop(struct session *s, uint64_t sequence, enum session_stop why)
{
	struct incoming *in = session_incoming(s->own, sequence);

	if (in == NULL)
		return;
	/* What is on its way is of no known batch then, and thrown away. */
	*in = s->own->in[--s->own->in_count];
	say_stop(s->own, sequence, why);
}

void session_settled(struct session *s, uint64_t sequence)
{
	struct session_own *o = s->own;
	struct incoming *in = session_incoming(o, sequence);

	if (in != NULL && in->whole)
		*in = o->in[--o->in_count];
}

bool session_news(struct session *s, struct view extensions)
{
	struct session_own *o = s->own;

	if (o->pending_news || o->pending.length > SESSION_OWED)
		return false;
	if (extensions.length == 0)
		return true;
	buf_byte(&o->pending, FRAME_NEWS);
	wire_view(&o->pending, extensions);
	o->pending_news = o->pending_counts = true;
	return true;
}

void session_finish(struct session *s, enum session_end why)
{
	struct session_own *o = s->own;

	o->finishing = true;
	o->finish = why;
}

void session_lost(struct session *s, const char *why)
{
	session_end_with(s, SESSION_END_CUT, "%s", why);
}

void session_written(struct session *s, size_t length)
{
	buf_consume(&s->output, length);
}

/* ---- hello and answer ------------------------------------------------------------------------------------- */

static const char alien[] = "what came is no call of packetboat's";
static const char forged[] = "the other end cannot prove that it is who it should be";

/* How long a message is whose HEAD octets end with the length of its payload; 0: not known yet. */
static size_t message_length(const struct buf *input, size_t head)
{
	if (input->length < head)
		return 0;
	return head + input->bytes[head - 1] + SESSION_TAG;
}

/* The hello, or as much of it as is there, is what a hello must be. */
static bool hello_plausible(const struct buf *input)
{
	static const uint8_t begin[] = {'P', 'B', 'C', SESSION_VERSION};
	size_t known = input->length < sizeof begin ? input->length : sizeof begin;

	return memcmp(input->bytes, begin, known) == 0 &&
	       (input->length < SESSION_HELLO_HEAD || input->bytes[SESSION_HELLO_HEAD - 1] <= SESSION_PAYLOAD);
}

static bool take_hello(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;
	size_t length = message_length(&o->input, SESSION_HELLO_HEAD);

	if (o->input.length == 0)
		return false;
	if (!hello_plausible(&o->input)) {
		session_end_with(s, SESSION_END_ALIEN, "%s", alien);
		return false;
	}
	if (length == 0 || o->input.length < length)
		return false;
	o->phase = PHASE_HINTED;
	o->spoke_at = now; /* the answer follows at once */
	*event = (struct session_event){.kind = SESSION_HINTED, .bytes = view_of(o->input.bytes + 4, SESSION_HINT)};
	return true;
}

void session_meet(struct session *s, const struct public_keys *peer, bool open, uint64_t turn)
{
	struct session_own *o = s->own;
	size_t length = message_length(&o->input, SESSION_HELLO_HEAD);
	struct view hello = view_of(o->input.bytes, length);
	struct buf payload;

	if (o->phase != PHASE_HINTED)
		return;
	o->peer = *peer;
	o->open |= open;
	o->turn = turn;
	if (!session_hello_good(&o->keys, o->options.keys, &o->peer, hello)) {
		session_end_with(s, SESSION_END_ALIEN, "%s", forged);
		return;
	}
	buf_init(&payload, SESSION_PAYLOAD);
	payload_make(o, &payload);
	if (!payload_take(o, view_of(hello.bytes + SESSION_HELLO_HEAD, length - SESSION_HELLO_HEAD - SESSION_TAG)))
		session_end_with(s, SESSION_END_ALIEN, "a hello of a later version");
	else if (!session_answer(&o->keys, &o->peer, view_buf(&payload), &s->output))
		session_end_with(s, SESSION_END_ALIEN, "%s", forged);
	else
		o->phase = PHASE_PROOF;
	buf_release(&payload);
	buf_consume(&o->input, length);
	records_begin(o);
}

static void stand(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;

	if (o->spoke_at < now)
		s->round_trip = now - o->spoke_at;
	o->phase = PHASE_TALK;
	s->stands = true;
	session_flow_begin(o, now);
	*event = (struct session_event){.kind = SESSION_STANDS};
}

static bool take_answer(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;
	size_t length = message_length(&o->input, SESSION_ANSWER_HEAD);
	struct view answer = view_of(o->input.bytes, length);

	if (length == 0)
		return false;
	if (o->input.bytes[SESSION_ANSWER_HEAD - 1] > SESSION_PAYLOAD) {
		session_end_with(s, SESSION_END_ALIEN, "%s", alien);
		return false;
	}
	if (o->input.length < length)
		return false;
	if (!session_answer_good(&o->keys, o->options.keys, answer)) {
		session_end_with(s, SESSION_END_ALIEN, "%s", forged);
		return false;
	}
	if (!payload_take(
		o, view_of(answer.bytes + SESSION_ANSWER_HEAD, length - SESSION_ANSWER_HEAD - SESSION_TAG))) {
		session_end_with(s, SESSION_END_ALIEN, "an answer of a later version");
		return false;
	}
	buf_consume(&o->input, length);
	records_begin(o);
	stand(s, event, now);
	return true;
}

/* ---- records ---------------------------------------------------------------------------------------------- */

static void next_record(struct session_own *o)
{
	buf_clear(&o->body);
	o->taken += o->counts;
	o->heard = true;
	o->whole = o->streaming = o->asked = o->counts = false;
	o->at = 0;
}

/* Reads on in the record under way. True: EVENT is set. */
static bool take_record(struct session *s, struct session_event *event)
{
	struct session_own *o = s->own;
	struct view in = view_buf(&o->input);
	enum record_state state = record_read(&o->reader, &in, &o->body);

	buf_consume(&o->input, o->input.length - in.length);
	if (state == RECORD_BAD) {
		bool told = o->streaming && session_frame_forged(s, event);

		session_end_with(s, SESSION_END_ALIEN, "%s", forged);
		return told;
	}
	/* A record that is to prove the caller shows nothing before it has. */
	o->whole = state == RECORD_WHOLE;
	return o->phase == PHASE_TALK && session_frame_stream(s, event);
}

static bool take_input(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;

	switch (o->phase) {
	case PHASE_HELLO:
		return take_hello(s, event, now);
	case PHASE_ANSWER:
		return take_answer(s, event, now);
	case PHASE_PROOF:
	case PHASE_TALK:
		return take_record(s, event);
	default:
		return false;
	}
}

void session_feed(struct session *s, struct view bytes)
{
	if (s->own->phase < PHASE_ENDING)
		buf_view(&s->own->input, bytes);
}

/* What is known of the record that is proved. True: EVENT is set. */
static bool read_on(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;

	if (o->phase == PHASE_PROOF) {
		stand(s, event, now);
		return true;
	}
	if (o->streaming) {
		bool told = session_frame_streamed(s, event, now);

		next_record(o);
		return told;
	}
	if (session_frame_next(s, event, now))
		return true;
	if (o->at == o->body.length)
		next_record(o);
	return false;
}

/* What is owed leaves whenever there is room on the line; who asks on and on and reads nothing is not served for ever. */
static bool owes_too_much(const struct session_own *o)
{
	return o->pending.length > SESSION_OWED + (o->pending_news ? SESSION_NEWS : 0);
}

static bool told_end(struct session_own *o, struct session_event *event)
{
	o->phase = PHASE_ENDED;
	*event = (struct session_event){.kind = SESSION_CLOSED, .end = o->end, .text = o->text};
	return true;
}

bool session_next(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;

	if (o->consumed) {
		buf_clear(&o->body);
		o->consumed = false;
	}
	while (o->phase < PHASE_ENDING) {
		size_t before = o->input.length;

		if (owes_too_much(o)) {
			session_end_with(s, SESSION_END_ALIEN, "the other end asks for more than it hears");
			break;
		}
		if (o->whole) {
			if (read_on(s, event, now))
				return true;
			continue;
		}
		if (before == 0 || o->phase == PHASE_HINTED)
			break;
		if (take_input(s, event, now))
			return true;
		if (!o->whole && o->input.length == before)
			break;
	}
	if (o->phase == PHASE_TALK && o->gone && session_flow_next(s, event, now))
		return true;
	return o->phase == PHASE_ENDING && told_end(o, event);
}

/* ---- hashes ----------------------------------------------------------------------------------------------- */

void session_hash_init(struct session_hash *h)
{
	crypto_generichash_init(&h->state, NULL, 0, crypto_generichash_BYTES_MIN);
}

void session_hash_add(struct session_hash *h, struct view bytes)
{
	crypto_generichash_update(&h->state, bytes.bytes, bytes.length);
}

void session_hash_end(struct session_hash *h, uint8_t hash[static SESSION_HASH])
{
	uint8_t whole[crypto_generichash_BYTES_MIN];

	crypto_generichash_final(&h->state, whole, sizeof whole);
	memcpy(hash, whole, SESSION_HASH);
}
