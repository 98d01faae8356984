#include "bridge-smtp/smtp_client_own.h"

/* ---- giving text ----------------------------------------------------------------------------------------- */

static void fault(struct smtp_client *c, enum outcome outcome, const char *status, const char *text)
{
	struct smtp_verdict v;

	smtp_verdict_set(&v, outcome, status, "%s", text);
	smtp_client_fail(c, &v);
}

/* A text that is cut short must not look whole to the server: the session ends without the last octet, or the dot. */
static void fault_length(struct smtp_client *c)
{
	fault(c, OUTCOME_LATER, "4.3.0", "the text has not the length that was announced");
}

static void fault_lines(struct smtp_client *c)
{
	fault(c, OUTCOME_NEVER, "5.6.1", "the text has a CR or LF that stands alone, which cannot be sent by DATA");
}

/* Some servers take a lone LF before a dot for the end of a line, and what stands behind for commands: it is not sent.
 * A CR at the end waits for what follows. */
static void give_lines(struct smtp_client *c, struct view bytes)
{
	struct transaction *t = &c->own->t;
	bool after_cr = t->after_cr;

	for (size_t i = 0; i < bytes.length; i++) {
		if ((bytes.bytes[i] == '\n') != after_cr) {
			fault_lines(c);
			return;
		}
		after_cr = bytes.bytes[i] == '\r';
	}
	if (bytes.length == 0)
		return;
	if (t->after_cr)
		sink_write(&t->dots.sink, "\r", 1, NULL);
	sink_write(&t->dots.sink, bytes.bytes, bytes.length - after_cr, NULL);
	t->after_cr = after_cr;
}

/* Without PIPELINING the next chunk would have to wait for the reply to this one: then there is but one. */
static void begin_chunk(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;
	uint64_t rest = t->m.size - t->announced;

	t->chunk_left = rest;
	if ((c->extensions & SMTP_EXT_PIPELINING) != 0 && rest > SMTP_CLIENT_CHUNK)
		t->chunk_left = SMTP_CLIENT_CHUNK;
	t->announced += t->chunk_left;
	t->chunks++;
	buf_format(&c->output, "BDAT %llu%s\r\n", (unsigned long long)t->chunk_left,
	    t->announced == t->m.size ? " LAST" : "");
}

static void give_chunks(struct smtp_client *c, struct view bytes)
{
	struct transaction *t = &c->own->t;

	if (bytes.length > t->m.size - t->given) {
		fault_length(c);
		return;
	}
	t->given += bytes.length;
	while (bytes.length > 0) {
		size_t part = bytes.length;
		bool held;

		if (t->chunk_left == 0 && t->broken)
			return;
		if (t->chunk_left == 0)
			begin_chunk(c);
		if (part > t->chunk_left)
			part = (size_t)t->chunk_left;
		held = part == t->chunk_left && t->announced == t->m.size;
		if (held)
			t->last = bytes.bytes[--part];
		buf_append(&c->output, bytes.bytes, part);
		t->chunk_left -= part;
		if (held)
			return;
		bytes = view_from(bytes, part);
	}
}

static bool takes_text(const struct smtp_client *c)
{
	return c->stage == SMTP_STAGE_MESSAGE && c->own->in_message && c->own->t.text == TEXT_OPEN;
}

void smtp_client_text(struct smtp_client *c, struct view bytes)
{
	if (!takes_text(c))
		return;
	if (c->own->t.chunked)
		give_chunks(c, bytes);
	else
		give_lines(c, bytes);
}

static void end_chunks(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;

	if (t->given != t->m.size) {
		fault_length(c);
		return;
	}
	t->text = TEXT_ENDED;
	if (t->broken && t->chunk_left == 0)
		return;
	if (t->m.size == 0)
		begin_chunk(c);
	else
		buf_byte(&c->output, t->last);
	t->chunk_left = 0;
}

static void end_lines(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;

	if (t->after_cr) {
		fault_lines(c);
		return;
	}
	dot_sink_end(&t->dots, NULL);
	t->text = TEXT_ENDED;
}

void smtp_client_text_end(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;

	if (!takes_text(c))
		return;
	if (t->chunked)
		end_chunks(c);
	else
		end_lines(c);
	if (t->text != TEXT_ENDED)
		return;
	t->finals = c->options->lmtp ? t->taken : 1;
	c->text_sent = !t->broken;
}

/* ---- replies --------------------------------------------------------------------------------------------- */

static bool is_intermediate(const struct smtp_reply *r)
{
	return r->code >= 300 && r->code < 400;
}

static void let_in(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;

	if (!t->broken) {
		t->text = TEXT_OPEN;
		buf_sink_init(&t->below, &c->output);
		dot_sink_init(&t->dots, &t->below.sink);
		smtp_client_event(c, SMTP_CLIENT_WANTS_TEXT, NULL);
	} else if (c->options->lmtp) {
		/* RFC 2033 4.2 forbids it, and nobody could tell whether a reply would come to no recipients. */
		smtp_client_out_of_turn(c, r);
	} else {
		/* RFC 2920 3.1: DATA was sent ahead, and nobody was taken. Only an empty text gets out of it. */
		smtp_client_say(c, ".");
		t->text = TEXT_EMPTY;
	}
}

static void take_data_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;
	struct smtp_verdict v;

	smtp_verdict_of(&v, r);
	if (is_intermediate(r)) {
		let_in(c, r);
	} else if (v.outcome == OUTCOME_DONE) {
		smtp_client_out_of_turn(c, r);
	} else {
		t->text = TEXT_ENDED;
		if (!t->broken)
			t->verdict = v;
		t->broken = true;
	}
}

/* The verdict on the text; over LMTP for the next of those that were taken. */
static void take_final_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;
	struct smtp_verdict v;

	smtp_verdict_of(&v, r);
	if (is_intermediate(r)) {
		smtp_client_out_of_turn(c, r);
		return;
	}
	if (c->options->lmtp) {
		while (t->fates[t->ended] != FATE_TAKEN)
			t->ended++;
		smtp_client_recipient(c, t->ended, &v);
	}
	if (--t->finals > 0)
		return;
	/* RFC 3030 4.2: what is left of a transaction whose BDAT failed is for RSET to clear. */
	t->needs_reset = t->chunked && v.outcome != OUTCOME_DONE;
	smtp_client_message_finish(c, &v);
}

/* The reply to a chunk that is not the last, or whose message is broken. */
static void take_chunk_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;
	bool complete = t->chunks_answered + 1 < t->chunks || t->chunk_left == 0;
	struct smtp_verdict v;

	smtp_verdict_of(&v, r);
	if (is_intermediate(r) || (v.outcome == OUTCOME_DONE && !complete)) {
		smtp_client_out_of_turn(c, r);
		return;
	}
	t->chunks_answered++;
	if (v.outcome == OUTCOME_DONE || t->broken)
		return;
	/* The chunk under way must be completed; no other is begun. */
	t->broken = true;
	t->verdict = v;
	c->text_sent = false;
	if (c->options->lmtp)
		smtp_client_fail(c, &v); /* how often a last chunk is answered now, RFC 2033 does not say */
}

/* A server that has seen enough says so amid the text, and closes; the text cannot be ended in good order. */
static void take_early_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_verdict v;

	smtp_verdict_of(&v, r);
	if (r->code >= 400)
		smtp_client_fail(c, &v);
	else
		smtp_client_out_of_turn(c, r);
}

void smtp_client_text_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;

	if (t->text == TEXT_ASKED)
		take_data_reply(c, r);
	else if (t->text == TEXT_EMPTY)
		t->text = TEXT_ENDED; /* whatever was said of a text to nobody */
	else if (t->chunked && t->chunks_answered < t->chunks &&
		 (t->broken || t->text != TEXT_ENDED || t->chunks_answered + 1 < t->chunks))
		take_chunk_reply(c, r);
	else if (t->text == TEXT_OPEN && !t->chunked)
		take_early_reply(c, r);
	else if (t->text == TEXT_ENDED && !t->broken)
		take_final_reply(c, r);
	else
		smtp_client_out_of_turn(c, r);
}
