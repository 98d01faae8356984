#include "bridge-smtp/smtp_client_own.h"

#include "lib/alloc.h"

void smtp_client_init(struct smtp_client *c, const struct smtp_client_options *options)
{
	*c = (struct smtp_client){
	    .options = options, .max_recipients = SMTP_CLIENT_RECIPIENTS, .secured = options->secured};
	buf_init(&c->output, SIZE_MAX);
	c->own = mem_alloc(sizeof *c->own);
	buf_init(&c->own->input, SIZE_MAX);
	smtp_reply_reader_init(&c->own->reader);
}

void smtp_client_release(struct smtp_client *c)
{
	if (c->own == NULL)
		return;
	smtp_client_message_drop(c);
	smtp_reply_reader_release(&c->own->reader);
	buf_release(&c->own->input);
	buf_release(&c->output);
	free(c->own);
	c->own = NULL;
}

/* ---- what the parts say ---------------------------------------------------------------------------------- */

void smtp_client_event(struct smtp_client *c, enum smtp_client_event_kind kind, const struct smtp_verdict *v)
{
	struct smtp_client_own *own = c->own;
	struct smtp_client_event *event = &own->events[(own->event_first + own->event_count++) % SMTP_CLIENT_EVENTS];

	*event = (struct smtp_client_event){.kind = kind};
	if (v != NULL)
		event->verdict = *v;
}

void smtp_client_say(struct smtp_client *c, const char *command)
{
	buf_text(&c->output, command);
	buf_text(&c->output, "\r\n");
}

static void say_quit(struct smtp_client *c)
{
	smtp_client_say(c, "QUIT");
	c->stage = SMTP_STAGE_QUIT;
}

void smtp_client_ready(struct smtp_client *c)
{
	c->own->was_ready = true;
	if (c->own->quit_wanted) {
		say_quit(c);
		return;
	}
	c->stage = SMTP_STAGE_READY;
	smtp_client_event(c, SMTP_CLIENT_READY, NULL);
}

/* ---- the end of a session -------------------------------------------------------------------------------- */

static void end(struct smtp_client *c, enum smtp_client_event_kind kind, const struct smtp_verdict *v)
{
	struct smtp_verdict of_session = *v;

	if (c->own->ended)
		return;
	if (c->own->in_message) {
		smtp_client_event(c, SMTP_CLIENT_DONE, c->own->t.broken ? &c->own->t.verdict : v);
		smtp_client_message_drop(c);
		of_session.outcome = OUTCOME_LATER; /* whatever is wrong with the message */
	}
	smtp_client_event(c, kind, &of_session);
	c->own->ended = true;
}

void smtp_client_fail(struct smtp_client *c, const struct smtp_verdict *v)
{
	end(c, SMTP_CLIENT_FAILED, v);
}

void smtp_client_out_of_turn(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_verdict v;

	smtp_verdict_set(&v, OUTCOME_LATER, "4.5.0", "a reply out of turn: %d %s", r->code, buf_string(&r->text));
	v.code = r->code;
	smtp_client_fail(c, &v);
}

/* RFC 5321 3.8: 421 may answer any command. Who reconnects behind CLOSED would do so for ever if the greeting were
 * always 421: only a session that was of use is CLOSED. */
static void shut_down(struct smtp_client *c, const struct smtp_verdict *v)
{
	end(c, c->own->was_ready ? SMTP_CLIENT_CLOSED : SMTP_CLIENT_FAILED, v);
}

static void fail_injected(struct smtp_client *c)
{
	struct smtp_verdict v;

	smtp_verdict_set(&v, OUTCOME_LATER, "4.7.0", "more than the reply to STARTTLS came in clear");
	smtp_client_fail(c, &v);
}

void smtp_client_lost(struct smtp_client *c, const char *why)
{
	struct smtp_verdict v;

	smtp_verdict_set(&v, OUTCOME_LATER, "4.4.2", "%s", why);
	shut_down(c, &v);
}

void smtp_client_quit(struct smtp_client *c)
{
	c->own->quit_wanted = true;
	if (c->stage == SMTP_STAGE_READY && !c->own->ended)
		say_quit(c);
}

/* ---- the dialogue ---------------------------------------------------------------------------------------- */

void smtp_client_feed(struct smtp_client *c, struct view in)
{
	if (!c->own->ended)
		buf_view(&c->own->input, in);
}

void smtp_client_secured(struct smtp_client *c)
{
	if (c->stage != SMTP_STAGE_TLS || c->own->ended)
		return;
	if (c->own->input.length > 0) {
		fail_injected(c);
		return;
	}
	c->secured = true;
	smtp_client_hello(c);
}

static void take_reset_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_outcome(r->code) == OUTCOME_DONE)
		smtp_client_ready(c);
	else
		smtp_client_out_of_turn(c, r);
}

static void take_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_verdict v;

	smtp_verdict_of(&v, r);
	if (c->stage == SMTP_STAGE_QUIT) {
		end(c, SMTP_CLIENT_CLOSED, &v);
	} else if (r->code == 0) {
		smtp_client_fail(c, &v);
	} else if (r->code == 421) {
		c->text_sent = false;
		shut_down(c, &v);
	} else {
		switch (c->stage) {
		case SMTP_STAGE_MESSAGE:
			smtp_client_message_reply(c, r);
			break;
		case SMTP_STAGE_RESET:
			take_reset_reply(c, r);
			break;
		case SMTP_STAGE_READY:
			smtp_client_out_of_turn(c, r);
			break;
		default:
			smtp_client_hello_reply(c, r);
			break;
		}
	}
}

/* Reads on until a reply is whole, and works on it; false: it is not. */
static bool read_reply(struct smtp_client *c)
{
	struct smtp_client_own *own = c->own;
	struct view in = view_from(view_buf(&own->input), own->input_at);
	size_t before = in.length;

	if (smtp_reply_feed(&own->reader, &in) == SMTP_REPLY_MORE) {
		buf_clear(&own->input);
		own->input_at = 0;
		return false;
	}
	own->input_at += before - in.length;
	if (in.length == 0) {
		buf_clear(&own->input);
		own->input_at = 0;
	}
	c->replies++;
	take_reply(c, &own->reader.reply);
	smtp_reply_next(&own->reader);
	if (c->stage == SMTP_STAGE_TLS && own->input.length > 0)
		fail_injected(c);
	else if (c->stage == SMTP_STAGE_TLS)
		smtp_client_event(c, SMTP_CLIENT_STARTTLS, NULL);
	return true;
}

/* Something was done that may have brought an event. */
static bool step(struct smtp_client *c)
{
	if (c->own->ended)
		return false;
	if (c->stage == SMTP_STAGE_TLS) {
		if (c->own->input.length == 0)
			return false;
		fail_injected(c);
		return true;
	}
	return (c->stage == SMTP_STAGE_MESSAGE && smtp_client_message_step(c)) || read_reply(c);
}

bool smtp_client_next(struct smtp_client *c, struct smtp_client_event *event)
{
	struct smtp_client_own *own = c->own;

	while (own->event_count == 0)
		if (!step(c))
			return false;
	*event = own->events[own->event_first];
	own->event_first = (own->event_first + 1) % SMTP_CLIENT_EVENTS;
	own->event_count--;
	return true;
}
