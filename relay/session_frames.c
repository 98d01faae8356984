/*
 * What the other end says: frames of proved records, and octets of batches before their proof.
 */
#include "lib/wire.h"
#include "relay/session_own.h"

static bool malformed(struct session *s)
{
	session_end_with(s, SESSION_END_ALIEN, "the other end speaks another version of the protocol, or wrongly");
	s->own->at = s->own->body.length;
	return false;
}

/* It is to be known when all that counts has been taken. */
static void count(struct session_own *o)
{
	o->counts = true;
	o->they_are_idle = false;
}

static void owe_got(struct session_own *o)
{
	buf_byte(&o->pending, FRAME_GOT);
	session_say(o, false);
}

/* ---- batches of theirs ------------------------------------------------------------------------------------ */

static bool frame_begin(struct session *s, struct reader *r, struct session_event *event)
{
	struct session_own *o = s->own;
	uint64_t sequence = read_varint(r);
	uint8_t class = read_byte(r);
	uint64_t size = read_varint(r);
	uint64_t offset = read_varint(r);
	struct incoming *in = session_incoming(o, sequence);

	count(o);
	if (r->failed || sequence == 0 || class >= SESSION_CLASSES || size == 0 || offset > size ||
	    (in != NULL && in->begun) || (offset > 0 && (in == NULL || in->offset != offset)) ||
	    (in == NULL && o->in_count == SESSION_PARTS))
		return malformed(s);
	if (in == NULL)
		in = session_incoming_add(o, sequence);
	in->begun = true;
	in->size = size;
	in->offset = in->verified = offset;
	if (offset == size)
		o->ready = sequence;
	*event = (struct session_event){
	    .kind = SESSION_BEGUN, .sequence = sequence, .class = class, .size = size, .offset = offset};
	return true;
}

/* A batch of which all is there; it may have been stopped since. */
static bool tell_whole(struct session_own *o, struct session_event *event)
{
	struct incoming *in = session_incoming(o, o->ready);

	o->ready = 0;
	if (in == NULL || in->whole)
		return false;
	in->whole = true;
	*event = (struct session_event){.kind = SESSION_WHOLE, .sequence = in->sequence, .size = in->size};
	return true;
}

/* Hands out BYTES of the batch. What is of no known batch is thrown away: it was stopped. */
static bool tell_data(struct session *s, uint64_t sequence, struct view bytes, struct session_event *event)
{
	struct incoming *in = session_incoming(s->own, sequence);

	if (in == NULL || bytes.length == 0)
		return false;
	if (!in->begun || in->whole || bytes.length > in->size - in->offset)
		return malformed(s);
	*event = (struct session_event){
	    .kind = SESSION_DATA, .sequence = sequence, .offset = in->offset, .size = in->size, .bytes = bytes};
	in->offset += bytes.length;
	s->data_received += bytes.length;
	return true;
}

/* What was handed out of the batch is proved. */
static void data_proved(struct session_own *o, uint64_t sequence)
{
	struct incoming *in = session_incoming(o, sequence);

	if (in == NULL)
		return;
	in->verified = in->offset;
	if (in->offset == in->size)
		o->ready = sequence;
}

static bool frame_data(struct session *s, struct reader *r, bool ask, struct session_event *event)
{
	uint64_t sequence = read_varint(r);
	bool told;

	count(s->own);
	if (r->failed)
		return malformed(s);
	if (ask)
		owe_got(s->own);
	told = tell_data(s, sequence, r->rest, event);
	r->rest.length = 0;
	data_proved(s->own, sequence);
	return told;
}

/* ---- the rest --------------------------------------------------------------------------------------------- */

static bool frame_have(struct session *s, struct reader *r, bool first, struct session_event *event)
{
	struct session_own *o = s->own;
	uint64_t sequence = read_varint(r);
	uint64_t offset = read_varint(r);
	struct view hash = read_bytes(r, SESSION_HASH);
	struct outgoing *out = session_outgoing(o, sequence);

	count(o);
	if (r->failed)
		return malformed(s);
	if (out == NULL || out->begun || out->held || !first || offset == 0 || offset > out->size)
		return false;
	out->held = true;
	o->checking = sequence;
	o->checking_offset = offset;
	*event = (struct session_event){.kind = SESSION_CHECK, .sequence = sequence, .offset = offset, .bytes = hash};
	return true;
}

static bool frame_news(struct session *s, struct reader *r, struct session_event *event)
{
	struct view extensions = read_view(r, SESSION_NEWS);

	count(s->own);
	if (r->failed)
		return malformed(s);
	*event = (struct session_event){.kind = SESSION_TOLD, .bytes = extensions};
	return true;
}

static bool frame_stop(struct session *s, struct reader *r, struct session_event *event)
{
	uint64_t sequence = read_varint(r);
	uint8_t reason = read_byte(r);
	struct outgoing *out = session_outgoing(s->own, sequence);

	count(s->own);
	if (r->failed || reason < SESSION_STOP_TAKEN || reason > SESSION_STOP_REFUSED)
		return malformed(s);
	if (out == NULL || out->stopped)
		return false;
	out->stopped = true;
	*event =
	    (struct session_event){.kind = SESSION_STOPPED, .sequence = sequence, .stop = (enum session_stop)reason};
	return true;
}

static bool frame_idle(struct session *s, struct reader *r)
{
	s->own->they_idle = read_varint(r);
	s->own->they_are_idle = true;
	return !r->failed && s->own->they_idle <= s->own->said ? false : malformed(s);
}

static bool frame_bye(struct session *s, struct reader *r)
{
	static const char *const texts[] = {
	    [SESSION_END_DONE] = "done",
	    [SESSION_END_LIMIT] = "the other end has reached a limit",
	    [SESSION_END_LEAVE] = "the other end cannot go on",
	};
	uint8_t reason = read_byte(r);

	if (r->failed || reason > SESSION_END_LEAVE)
		return malformed(s);
	session_end_with(s, (enum session_end)reason, "%s", texts[reason]);
	s->parted = true;
	s->own->at = s->own->body.length;
	return false;
}

static bool frame(struct session *s, struct reader *r, bool first, struct session_event *event, uint64_t now)
{
	uint8_t type = read_byte(r);

	switch (type) {
	case FRAME_DATA:
	case FRAME_DATA_ASK:
		return frame_data(s, r, type == FRAME_DATA_ASK, event);
	case FRAME_BEGIN:
		return frame_begin(s, r, event);
	case FRAME_HAVE:
		return frame_have(s, r, first, event);
	case FRAME_GOT:
		session_flow_got(s, now);
		return false;
	case FRAME_NEWS:
		return frame_news(s, r, event);
	case FRAME_STOP:
		return frame_stop(s, r, event);
	case FRAME_IDLE:
		return frame_idle(s, r);
	case FRAME_TURN:
		s->own->turn_ours = true;
		s->own->turn_since = now;
		return false;
	case FRAME_BYE:
		return frame_bye(s, r);
	case FRAME_READY:
		return false;
	default:
		return malformed(s);
	}
}

bool session_frame_next(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;

	while (o->phase == PHASE_TALK) {
		struct reader r;
		bool told;

		if (o->ready != 0 && tell_whole(o, event))
			return true;
		if (o->at >= o->body.length)
			return false;
		reader_init(&r, view_from(view_buf(&o->body), o->at));
		told = frame(s, &r, !o->heard, event, now);
		o->at = o->body.length - r.rest.length;
		if (told)
			return true;
	}
	return false;
}

/* ---- before the proof -------------------------------------------------------------------------------------- */

/* Does the record that is coming begin, but for GOT, with octets of a batch that goes on? Those may be handed out as they come. */
static void look_for_data(struct session_own *o)
{
	struct reader r;
	struct incoming *in;
	size_t gots = 0;
	uint8_t type;
	uint64_t sequence;

	reader_init(&r, view_buf(&o->body));
	while ((type = read_byte(&r)) == FRAME_GOT)
		gots++;
	sequence = read_varint(&r);
	if (r.failed || (type != FRAME_DATA && type != FRAME_DATA_ASK))
		return;
	in = session_incoming(o, sequence);
	if (in == NULL || !in->begun || in->whole)
		return;
	o->streaming = true;
	o->streamed = sequence;
	o->asked = type == FRAME_DATA_ASK;
	o->gots = gots;
	buf_consume(&o->body, o->body.length - r.rest.length);
}

/* Octets beyond the batch's size are kept: only when the record is proved, or not, is it known whose fault they are. */
static bool fits(struct session_own *o)
{
	const struct incoming *in = session_incoming(o, o->streamed);

	return in == NULL || o->body.length <= in->size - in->offset;
}

bool session_frame_stream(struct session *s, struct session_event *event)
{
	struct session_own *o = s->own;

	if (!o->streaming && !o->whole)
		look_for_data(o);
	if (!o->streaming || o->body.length == 0 || !fits(o))
		return false;
	o->consumed = tell_data(s, o->streamed, view_buf(&o->body), event);
	if (!o->consumed)
		buf_clear(&o->body);
	return o->consumed;
}

bool session_frame_forged(struct session *s, struct session_event *event)
{
	struct incoming *in = session_incoming(s->own, s->own->streamed);

	if (in == NULL || in->offset == in->verified)
		return false;
	in->offset = in->verified;
	*event = (struct session_event){.kind = SESSION_CUT_BACK, .sequence = in->sequence, .offset = in->offset};
	return true;
}

bool session_frame_streamed(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;

	for (; o->gots > 0; o->gots--)
		session_flow_got(s, now);
	count(o);
	if (!fits(o))
		return malformed(s);
	data_proved(o, o->streamed);
	if (o->asked)
		owe_got(o);
	return o->ready != 0 && tell_whole(o, event);
}
