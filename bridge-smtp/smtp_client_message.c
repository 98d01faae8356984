#include "bridge-smtp/smtp_client_own.h"

#include "lib/alloc.h"
#include "lib/text.h"

/* The longest BDAT command of a text that is sent ahead. */
#define BDAT_ROOM (sizeof "BDAT 4096 LAST\r\n" - 1)

static bool pipelines(const struct smtp_client *c)
{
	return (c->extensions & SMTP_EXT_PIPELINING) != 0;
}

/* ---- beginning and end ----------------------------------------------------------------------------------- */

void smtp_client_message(struct smtp_client *c, const struct smtp_client_message *m)
{
	struct transaction *t = &c->own->t;
	struct smtp_verdict v;

	if (c->stage != SMTP_STAGE_READY || c->own->ended)
		return;
	*t = (struct transaction){.m = *m, .fates = mem_array(m->count + 1, 1)};
	c->own->in_message = true;
	c->text_sent = false;
	c->stage = SMTP_STAGE_MESSAGE;
	if (smtp_client_refuses(c, m, &v)) {
		smtp_client_message_finish(c, &v);
		return;
	}
	t->utf8 = m->smtputf8 || view_has_8bit(view_text(m->sender));
	for (size_t i = 0; i < m->count; i++) {
		if (smtp_client_refuses_recipient(c, m, i, &v)) {
			t->fates[i] = FATE_BAD;
			continue;
		}
		t->utf8 = t->utf8 || view_has_8bit(view_text(smtp_client_address(m, i)));
		t->good++;
	}
	while (c->own->event_count == 0 && smtp_client_message_step(c))
		;
}

void smtp_client_message_drop(struct smtp_client *c)
{
	free(c->own->t.fates);
	c->own->t = (struct transaction){0};
	c->own->in_message = false;
}

void smtp_client_message_finish(struct smtp_client *c, const struct smtp_verdict *v)
{
	bool needs_reset = c->own->t.needs_reset;

	c->text_sent = false;
	smtp_client_event(c, SMTP_CLIENT_DONE, v);
	smtp_client_message_drop(c);
	if (needs_reset) {
		smtp_client_say(c, "RSET");
		c->stage = SMTP_STAGE_RESET;
	} else {
		smtp_client_ready(c);
	}
}

/* ---- going on -------------------------------------------------------------------------------------------- */

/* Replies that are due, whatever the driver does. */
static uint64_t outstanding(const struct transaction *t)
{
	return (t->mail == MAIL_SENT) + t->unanswered + (t->text == TEXT_ASKED || t->text == TEXT_EMPTY) +
	       (t->chunks - t->chunks_answered);
}

static bool may_send(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;

	if (outstanding(t) == 0) {
		t->window = 0;
		return true;
	}
	return pipelines(c) && t->window < SMTP_CLIENT_WINDOW;
}

/* No text is wanted; once all replies are in, the message is over with V. */
static void give_up(struct smtp_client *c, const struct smtp_verdict *v)
{
	struct transaction *t = &c->own->t;

	t->broken = true;
	if (v != &t->verdict)
		t->verdict = *v;
	c->text_sent = false;
}

static bool tell_bad(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;

	while (t->tell < t->m.count && t->fates[t->tell] != FATE_BAD)
		t->tell++;
	if (t->tell == t->m.count)
		return false;
	smtp_client_refuses_recipient(c, &t->m, t->tell, &t->verdict);
	smtp_client_recipient(c, t->tell, &t->verdict);
	return true;
}

void smtp_client_recipient(struct smtp_client *c, size_t place, const struct smtp_verdict *v)
{
	struct smtp_client_own *own = c->own;

	smtp_client_event(c, SMTP_CLIENT_RECIPIENT, v);
	own->events[(own->event_first + own->event_count - 1) % SMTP_CLIENT_EVENTS].place = place;
	own->t.fates[place] = FATE_TOLD;
}

static void send_mail(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;
	size_t before = c->output.length;

	smtp_client_mail_command(c, t, &c->output);
	smtp_client_say(c, "");
	t->window += c->output.length - before;
	t->mail = MAIL_SENT;
}

static bool send_recipient(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;
	size_t before = c->output.length;

	if (t->fates[t->next] != FATE_OPEN) {
		t->next++;
		return true;
	}
	if (!may_send(c))
		return false;
	smtp_client_rcpt_command(c, t, t->next, &c->output);
	smtp_client_say(c, "");
	t->window += c->output.length - before;
	t->fates[t->next++] = FATE_SENT;
	t->unanswered++;
	return true;
}

/*
 * The way of the text. LMTP answers the end of the text once for each recipient that was taken, so there nobody
 * could tell how many replies a BDAT is due that was sent before that was known.
 */
static bool begin_text(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;
	bool answered = t->mail == MAIL_TAKEN && t->unanswered == 0;

	if ((c->extensions & SMTP_EXT_CHUNKING) != 0) {
		bool eager = pipelines(c) && !c->options->lmtp && t->m.size <= SMTP_CLIENT_EAGER - BDAT_ROOM &&
			     t->window + t->m.size <= SMTP_CLIENT_EAGER - BDAT_ROOM;

		if (!answered && !eager)
			return false;
		t->chunked = true;
		t->text = TEXT_OPEN;
		smtp_client_event(c, SMTP_CLIENT_WANTS_TEXT, NULL);
		return true;
	}
	if (!may_send(c))
		return false;
	smtp_client_say(c, "DATA");
	t->text = TEXT_ASKED;
	return true;
}

bool smtp_client_message_step(struct smtp_client *c)
{
	struct transaction *t = &c->own->t;

	if (tell_bad(c))
		return true;
	if (!t->broken && t->good == 0)
		give_up(c, &t->verdict);
	if (t->broken) {
		if (outstanding(t) > 0 || t->chunk_left > 0)
			return false;
		smtp_client_message_finish(c, &t->verdict);
		return true;
	}
	if (t->mail == MAIL_UNSENT) {
		send_mail(c);
		return true;
	}
	if (t->next < t->m.count)
		return send_recipient(c);
	if (t->mail == MAIL_TAKEN && t->unanswered == 0 && t->taken == 0) {
		give_up(c, &t->verdict); /* which is the last recipient's */
		return true;
	}
	return t->text == TEXT_NONE && begin_text(c);
}

/* ---- replies --------------------------------------------------------------------------------------------- */

static void take_mail_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;
	struct smtp_verdict v;

	smtp_verdict_of(&v, r);
	if (r->code >= 300 && r->code < 400) {
		smtp_client_out_of_turn(c, r);
	} else if (v.outcome == OUTCOME_DONE) {
		t->mail = MAIL_TAKEN;
		t->needs_reset = true;
	} else {
		t->mail = MAIL_TAKEN; /* as far as replies are concerned */
		give_up(c, &v);
	}
}

/*
 * RFC 5321 4.5.3.1.10: 452, and by old servers 552, says that there are too many recipients; the rest is taken another
 * time. But 552 may as well speak of the mailbox: what its status says goes first, and without one it can be a matter
 * of number only when some were taken.
 */
static bool too_many(const struct transaction *t, const struct smtp_reply *r)
{
	if (r->code != 552)
		return false;
	return r->status[0] != '\0' ? strcmp(r->status, "5.5.3") == 0 : t->taken > 0;
}

static void take_recipient_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->own->t;
	struct smtp_verdict v;

	if (r->code >= 300 && r->code < 400) {
		smtp_client_out_of_turn(c, r);
		return;
	}
	while (t->fates[t->answer] != FATE_SENT)
		t->answer++;
	t->unanswered--;
	smtp_verdict_of(&v, r);
	if (v.outcome == OUTCOME_DONE) {
		t->fates[t->answer++] = FATE_TAKEN;
		t->taken++;
		return;
	}
	if (too_many(t, r)) {
		v.outcome = OUTCOME_LATER;
		snprintf(v.status, sizeof v.status, "4.5.3");
	}
	if (t->broken) {
		t->answer++; /* MAIL was refused: its verdict is theirs */
		return;
	}
	smtp_client_recipient(c, t->answer++, &v);
	t->verdict = v;
}

void smtp_client_message_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	const struct transaction *t = &c->own->t;

	if (t->mail == MAIL_SENT)
		take_mail_reply(c, r);
	else if (t->unanswered > 0)
		take_recipient_reply(c, r);
	else
		smtp_client_text_reply(c, r);
}
