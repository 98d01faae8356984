/*
 * What is sent next, and how much may be on its way.
 *
 * On a slow link the buffers of kernel and modem would take minutes of a large batch at once, and an urgent message would
 * have to wait behind them. So what is on its way is kept to what the link carries in its round trip and some seconds
 * more, as far as can be seen from the confirmations.
 */
#include "lib/wire.h"
#include "relay/session_own.h"

/* What may be on its way: octets at least, at most, and milliseconds of the link beyond the round trip. */
#define WINDOW_LEAST ((uint64_t)8192)
#define WINDOW_MOST  ((uint64_t)64 << 20)
#define WINDOW_AHEAD 5000
/* Before anything is confirmed: milliseconds of the slowest link that can have carried the proof in the time that it took,
 * and octets at most, since the other end may not want them; and the octets of the proof, there and back, as the caller and
 * as the answerer sees it, at least. */
#define WINDOW_FIRST   30000
#define WINDOW_UNASKED ((uint64_t)65536)
#define PROOF_CALLER   110
#define PROOF_ANSWERER 66
/* A chunk: octets at least, before anything is known, and milliseconds of the link. */
#define CHUNK_LEAST 512
#define CHUNK_FIRST 2048
#define CHUNK_TIME  5000
/* A chunk of more octets is not put behind other frames: a record that begins with DATA loses nothing when it is cut. */
#define CHUNK_BEHIND 1024
/* Room in a record beside what is pending: the frames BEGIN and DATA. */
#define CHUNK_HEAD 64

static uint64_t within(uint64_t least, uint64_t wanted, uint64_t most)
{
	return wanted < least ? least : wanted > most ? most : wanted;
}

void session_flow_begin(struct session_own *o, uint64_t now)
{
	uint64_t proof = o->options.side == SESSION_CALLER ? PROOF_CALLER : PROOF_ANSWERER;
	uint64_t time = now > o->spoke_at ? now - o->spoke_at : 1;

	o->window = within(WINDOW_LEAST, proof * WINDOW_FIRST / time, WINDOW_UNASKED);
	o->allowed = UINT64_MAX;
	o->turn_ours = o->options.side == SESSION_CALLER;
	o->turn_since = now;
}

/* ---- the window ------------------------------------------------------------------------------------------- */

/*
 * What arrived while M was on its way, by the time that took: confirmations that come in a heap make it no faster than the
 * link is, since all of them took a round trip.
 */
static void measure(struct session *s, const struct marker *m, uint64_t now)
{
	struct session_own *o = s->own;
	uint64_t time = now > m->at ? now - m->at : 1;
	uint64_t rate = (m->octets - m->confirmed) * 1000 / time;

	if (now >= m->at && (s->round_trip == 0 || now - m->at < s->round_trip))
		s->round_trip = now - m->at;
	/* Only when the window was full is it the link that was measured; otherwise it was us. */
	if (rate > s->rate)
		s->rate = rate;
	else if (o->held_back)
		s->rate = (s->rate * 3 + rate) / 4;
	o->held_back = false;
}

static void widen(struct session *s)
{
	struct session_own *o = s->own;
	/* Half of it is confirmed at a time: the other half is to last for a round trip. */
	uint64_t time = s->round_trip + (s->round_trip > WINDOW_AHEAD ? s->round_trip : WINDOW_AHEAD);
	uint64_t wanted = s->rate / 1000 * time + s->rate % 1000 * time / 1000;

	o->window = within(WINDOW_LEAST, wanted, WINDOW_MOST);
}

void session_flow_got(struct session *s, uint64_t now)
{
	struct session_own *o = s->own;
	struct marker m;

	if (o->marker_count == 0)
		return;
	m = o->markers[0];
	memmove(o->markers, o->markers + 1, --o->marker_count * sizeof o->markers[0]);
	if (m.octets > o->confirmed)
		o->confirmed = m.octets;
	measure(s, &m, now);
	widen(s);
}

static uint64_t chunk(const struct session *s)
{
	uint64_t length = s->rate * CHUNK_TIME / 1000;

	if (s->rate == 0)
		length = within(CHUNK_FIRST, s->own->window * CHUNK_TIME / WINDOW_FIRST, SESSION_CHUNK);
	/* What is confirmed is confirmed by whole records: two of them fit into the window, or the line would fall idle. */
	if (s->own->turn == 0 && length > s->own->window / 2)
		length = s->own->window / 2;
	return within(CHUNK_LEAST, length, SESSION_CHUNK);
}

/* ---- whose turn -------------------------------------------------------------------------------------------- */

static bool half_duplex(const struct session_own *o)
{
	return o->turn > 0;
}

static bool turn_over(const struct session_own *o, uint64_t now)
{
	return half_duplex(o) && now - o->turn_since >= o->turn;
}

/* ---- the next batch ---------------------------------------------------------------------------------------- */

static size_t unsettled_of_ours(const struct session_own *o)
{
	size_t count = 0;

	for (size_t i = 0; i < o->out_count; i++)
		count += o->out[i].begun && !o->out[i].stopped;
	return count;
}

/* Octets of OUT that the limits of the call let go now. */
static uint64_t room_for(const struct session_own *o, const struct outgoing *out)
{
	if (out->class == 0)
		return o->allowed;
	return o->allowed > o->reserve ? o->allowed - o->reserve : 0;
}

/* Where there is no room, the call ends, unless what is left is only for urgent ones. */
static bool is_wanted(const struct session_own *o, const struct outgoing *out)
{
	return !out->sent && !out->stopped && (out->class == 0 || o->reserve == 0 || room_for(o, out) > 0);
}

static bool is_ready(const struct session_own *o, const struct outgoing *out, bool may_begin)
{
	return is_wanted(o, out) && room_for(o, out) > 0 && (out->begun || may_begin) && (!out->tried || o->heard);
}

/* The first of each class that is ready: one that is under way before a new one, and the older before the younger. */
static void firsts(struct session_own *o, struct outgoing *first[static SESSION_CLASSES])
{
	bool may_begin = unsettled_of_ours(o) < SESSION_PARTS;

	for (size_t i = 0; i < o->out_count; i++) {
		struct outgoing *out = &o->out[i];
		struct outgoing **best = &first[out->class];

		if (!is_ready(o, out, may_begin))
			continue;
		if (*best == NULL || (out->begun && !(*best)->begun) ||
		    (out->begun == (*best)->begun && out->sequence < (*best)->sequence))
			*best = out;
	}
}

/* Shares of the classes while all have something to send: the most urgent first and most, the least never starved. */
static const int shares[SESSION_CLASSES] = {16, 4, 1};

static struct outgoing *choose(struct session_own *o, struct outgoing *first[static SESSION_CLASSES])
{
	struct outgoing *best = NULL;

	firsts(o, first);
	for (size_t i = 0; i < SESSION_CLASSES; i++)
		if (first[i] != NULL &&
		    (best == NULL || o->credit[i] + shares[i] > o->credit[best->class] + shares[best->class]))
			best = first[i];
	return best;
}

/* The chunk goes to CHOSEN: those that had to stand back come sooner next time. */
static void charge(
    struct session_own *o, struct outgoing *const first[static SESSION_CLASSES], const struct outgoing *chosen)
{
	for (size_t i = 0; i < SESSION_CLASSES; i++) {
		if (first[i] == NULL) {
			o->credit[i] = 0;
			continue;
		}
		o->credit[i] += shares[i];
		o->credit[chosen->class] -= shares[i];
	}
}

/* Has anything to send, now or once the window or the other end's first word lets it. */
static bool has_more(const struct session_own *o)
{
	for (size_t i = 0; i < o->out_count; i++)
		if (is_wanted(o, &o->out[i]))
			return true;
	return false;
}

bool session_has_more(const struct session *s)
{
	return has_more(s->own);
}

/* ---- speaking ---------------------------------------------------------------------------------------------- */

void session_say(struct session_own *o, bool counts)
{
	o->pending_counts |= counts;
	o->pending_needed |= counts;
}

static void flush(struct session *s)
{
	struct session_own *o = s->own;

	if (o->pending.length == 0)
		return;
	record_write(&o->writer, view_buf(&o->pending), &s->output);
	o->said += o->pending_counts;
	if (o->pending_needed)
		o->needed = o->said;
	if (o->pending_counts)
		o->idle_told = false;
	buf_clear(&o->pending);
	o->pending_counts = o->pending_needed = o->pending_news = false;
}

static void say_begin(struct session_own *o, struct outgoing *out)
{
	if (out->begun)
		return;
	out->begun = true;
	buf_byte(&o->pending, FRAME_BEGIN);
	wire_varint(&o->pending, out->sequence);
	buf_byte(&o->pending, out->class);
	wire_varint(&o->pending, out->size);
	wire_varint(&o->pending, out->offset);
	session_say(o, true);
}

static void give_out(struct session_own *o, struct outgoing *out, uint64_t given)
{
	out->sent = out->offset == out->size;
	out->end_at = given;
	if (out->sent)
		o->sent_now = out->sequence;
}

/* May the other end hand out DATA behind what is pending before the record is whole? */
static bool only_gots(const struct session_own *o)
{
	size_t at = 0;

	while (at < o->pending.length && o->pending.bytes[at] == FRAME_GOT)
		at++;
	return at == o->pending.length;
}

/* Is it time to ask what has arrived? While the half that is asked for is confirmed the line carries the other. */
static bool asks(const struct session *s)
{
	const struct session_own *o = s->own;

	return !half_duplex(o) && o->marker_count < SESSION_MARKERS && s->data_sent - o->asked_at >= o->window / 2;
}

void session_data(struct session *s, struct view bytes, uint64_t now)
{
	struct session_own *o = s->own;
	struct outgoing *out = session_outgoing(o, o->reading);
	uint64_t sequence = o->reading;
	bool ask;

	o->reading = 0;
	if (out == NULL)
		return;
	if (bytes.length == 0 || bytes.length > out->size - out->offset) {
		out->stopped = true;
		return;
	}
	say_begin(o, out);
	if (bytes.length > CHUNK_BEHIND && !only_gots(o))
		flush(s);
	s->data_sent += bytes.length;
	out->offset += bytes.length;
	o->allowed -= o->allowed < bytes.length + CHUNK_HEAD ? o->allowed : bytes.length + CHUNK_HEAD;
	ask = asks(s);
	if (ask) {
		o->markers[o->marker_count++] = (struct marker){s->data_sent, now, o->confirmed};
		o->asked_at = s->data_sent;
	}
	buf_byte(&o->pending, ask ? FRAME_DATA_ASK : FRAME_DATA);
	wire_varint(&o->pending, sequence);
	buf_view(&o->pending, bytes);
	session_say(o, true);
	give_out(o, out, s->data_sent);
	flush(s);
}

/* The next octets of OUT are asked for, or what needs none is done. True: EVENT is set. */
static bool read_next(struct session *s, struct outgoing *out, struct session_event *event)
{
	struct session_own *o = s->own;
	uint64_t length = chunk(s);
	size_t room = RECORD_MAX - CHUNK_HEAD - o->pending.length;

	if (out->offset == out->size) {
		say_begin(o, out);
		give_out(o, out, s->data_sent);
		return false;
	}
	if (length > out->size - out->offset)
		length = out->size - out->offset;
	if (length > room)
		length = room;
	if (length > room_for(o, out))
		length = room_for(o, out);
	if (!half_duplex(o) && s->data_sent > o->confirmed && s->data_sent - o->confirmed + length > o->window) {
		o->held_back = true;
		return false;
	}
	o->reading = out->sequence;
	*event = (struct session_event){.kind = SESSION_READ,
	    .sequence = out->sequence,
	    .offset = out->offset,
	    .size = out->size,
	    .length = (size_t)length};
	return true;
}

/* ---- the end ----------------------------------------------------------------------------------------------- */

static bool owes(const struct session_own *o)
{
	for (size_t i = 0; i < o->in_count; i++)
		if (o->in[i].whole)
			return true;
	return o->ready != 0;
}

static void say_bye(struct session *s, enum session_end why, const char *text)
{
	buf_byte(&s->own->pending, FRAME_BYE);
	buf_byte(&s->own->pending, (uint8_t)why);
	flush(s);
	session_end_with(s, why, "%s", text);
}

/*
 * Nothing to send and nothing owed: the other end hears of it, or it is all over. News needs no answer: if it is lost, the
 * next call begins with it.
 */
static void rest(struct session *s)
{
	struct session_own *o = s->own;

	if (o->they_are_idle && !o->pending_needed && o->they_idle >= o->needed) {
		say_bye(s, SESSION_END_DONE, "done");
	} else if (!o->idle_told || o->pending_counts || o->idle_taken != o->taken) {
		buf_byte(&o->pending, FRAME_IDLE);
		wire_varint(&o->pending, o->taken);
		o->idle_taken = o->taken;
	}
}

static void leave(struct session *s)
{
	static const char *const texts[] = {
	    [SESSION_END_DONE] = "done",
	    [SESSION_END_LIMIT] = "a limit of this host is reached",
	    [SESSION_END_LEAVE] = "this host cannot go on",
	};

	say_bye(s, s->own->finish, texts[s->own->finish]);
}

/* What is to be said beside batches; in half-duplex, with the turn at the end of it. */
static void speak(struct session *s, bool waits_for_them, uint64_t now)
{
	struct session_own *o = s->own;
	bool idle = !has_more(o) && !owes(o);
	bool told_before = o->idle_told;

	if (o->finishing && !owes(o)) {
		leave(s);
		return;
	}
	if (idle)
		rest(s);
	if (o->phase != PHASE_TALK)
		return;
	if (half_duplex(o) && (idle || waits_for_them || turn_over(o, now))) {
		buf_byte(&o->pending, FRAME_TURN);
		o->turn_ours = false;
	} else if (waits_for_them && o->writer.number == 0 && o->pending.length == 0) {
		/* The answerer says nothing before the caller is proved, and that takes a record. */
		buf_byte(&o->pending, FRAME_READY);
	}
	flush(s);
	o->idle_told = idle || (told_before && o->idle_told);
}

/* A batch that can be sent only when the other end has spoken, or has settled others. */
static bool only_waits(const struct session_own *o, const struct outgoing *next)
{
	return next == NULL && has_more(o);
}

bool session_flow_next(struct session *s, struct session_event *event, uint64_t now)
{
	struct session_own *o = s->own;
	struct outgoing *first[SESSION_CLASSES] = {NULL};
	struct outgoing *next = NULL;

	if (o->sent_now != 0) {
		*event = (struct session_event){.kind = SESSION_SENT, .sequence = o->sent_now};
		o->sent_now = 0;
		return true;
	}
	if (s->output.length > SESSION_OUTPUT || (half_duplex(o) && !o->turn_ours))
		return false;
	if (!o->finishing && !turn_over(o, now)) {
		next = choose(o, first);
		if (next != NULL && read_next(s, next, event)) {
			charge(o, first, next);
			return true;
		}
	}
	speak(s, only_waits(o, next), now);
	if (o->sent_now != 0)
		return session_flow_next(s, event, now);
	return false;
}
