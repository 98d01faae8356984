#include "bridge-smtp/courier.h"

#include "lib/alloc.h"
#include "lib/text.h"

/* Text is read and handed on in such pieces, while no more than this waits to be sent. */
#define LINK_PIECE  16384
#define LINK_UNSENT ((size_t)128 << 10)
/* Seconds that a connection waits for more mail before it is closed. */
#define LINK_IDLE     2
#define LINK_FAREWELL 5

struct link {
	struct link *next;
	struct target *target;
	size_t tried;	       /* candidates before this one */
	struct candidate peer; /* this one: the target's may be looked up anew meanwhile */
	struct conn *conn;
	struct smtp_client client;
	struct smtp_client_options options;
	struct event *idle;
	bool plain;   /* TLS failed at this address, and may be left out */
	bool spoke;   /* the machine is set up */
	bool resting; /* READY, and there is nothing to send */
	bool leaving; /* QUIT was said */
	bool working; /* in `advance`, which goes on by itself */
	uint64_t messages;
	uint64_t replies; /* that have come */
	/* The delivery under way and the recipients of it that this transaction is for. */
	struct delivery *delivery;
	struct recipient **recipients;
	const char **addresses;
	size_t *places; /* in the delivery */
	size_t count;
	bool text;    /* the text is being sent */
	size_t trace; /* octets of the trace lines already sent */
};

static void advance(struct link *l);

struct link *link_next(const struct link *l)
{
	return l->next;
}

/* ---- the end of a link ----------------------------------------------------------------------------------- */

static void transaction_release(struct link *l)
{
	free(l->recipients);
	free(l->addresses);
	free(l->places);
	l->recipients = NULL;
	l->addresses = NULL;
	l->places = NULL;
	l->count = 0;
	l->text = false;
}

static void disconnect(struct link *l)
{
	if (l->conn != NULL && l->leaving)
		conn_finish(l->conn, LINK_FAREWELL);
	else if (l->conn != NULL)
		conn_free(l->conn);
	l->conn = NULL;
	if (l->spoke)
		smtp_client_release(&l->client);
	l->spoke = false;
}

static void link_free(struct link *l)
{
	struct target *t = l->target;
	struct link **self = &t->links;

	disconnect(l);
	transaction_release(l);
	if (l->idle != NULL)
		event_free(l->idle);
	while (*self != l)
		self = &(*self)->next;
	*self = l->next;
	t->link_count--;
	free(l);
	courier_link_over(t->courier);
}

/* ---- connecting ------------------------------------------------------------------------------------------ */

static const struct conn_handlers handlers;

static enum smtp_client_tls client_tls(const struct link *l)
{
	switch (l->target->policy) {
	case POLICY_REQUIRED:
	case POLICY_VERIFIED:
		return SMTP_TLS_NEEDED;
	case POLICY_OFFERED:
		return l->plain ? SMTP_TLS_NEVER : SMTP_TLS_OFFERED;
	default:
		return SMTP_TLS_NEVER;
	}
}

static void connect_now(struct link *l)
{
	const struct config_smtp *smtp = &l->target->courier->config.smtp;
	const struct config_destination *section = l->target->section;

	l->options = (struct smtp_client_options){
	    .lmtp = l->target->lmtp,
	    .name = config_mail_name(&l->target->courier->config, smtp->name),
	    .tls = client_tls(l),
	    .secured = l->target->policy == POLICY_IMPLICIT,
	    .user = section == NULL ? NULL : section->user,
	    .password = l->target->password,
	};
	l->conn = conn_connect(l->target->courier->base, (const struct sockaddr *)&l->peer.address, l->peer.length,
	    (unsigned)smtp->connect, &handlers, l);
	smtp_client_init(&l->client, &l->options);
	l->replies = 0;
	l->spoke = true;
}

void link_begin(struct target *t)
{
	struct link *l = mem_alloc(sizeof *l);

	l->target = t;
	l->next = t->links;
	t->links = l;
	t->link_count++;
	t->courier->links++;
	l->peer = t->candidates[t->candidate_first];
	connect_now(l);
}

/* This address will not do: the next one, or none. L may be gone afterwards. */
static void next_candidate(struct link *l, const struct smtp_verdict *why)
{
	struct target *t = l->target;
	struct smtp_verdict last = *why;

	disconnect(l);
	l->plain = false;
	if (++l->tried < t->candidate_count && !t->courier->stopping) {
		l->peer = t->candidates[(t->candidate_first + l->tried) % t->candidate_count];
		connect_now(l);
		return;
	}
	/* Beside a link that works this one is only one too many. */
	if (t->link_count == 1)
		target_block(t, &last);
	link_free(l);
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static void give_back(struct link *l)
{
	struct delivery *d = l->delivery;

	l->delivery = NULL;
	transaction_release(l);
	conn_timeout(l->conn, (unsigned)l->target->courier->config.smtp.timeout);
	d->proven = true;
	courier_give_back(l->target->courier, d, DELIVERY_JUDGED);
}

/* Gives the recipients that have no verdict yet to the machine, as many as the server takes at once. */
static void transaction_begin(struct link *l)
{
	struct delivery *d = l->delivery;
	const struct envelope *e = &d->item->message.envelope;
	struct smtp_client_message m;

	transaction_release(l);
	l->recipients = mem_array(d->count, sizeof l->recipients[0]);
	l->addresses = mem_array(d->count, sizeof l->addresses[0]);
	l->places = mem_array(d->count, sizeof l->places[0]);
	for (size_t i = 0; i < d->count && l->count < l->client.max_recipients; i++) {
		if (d->recipients[i].judged)
			continue;
		l->recipients[l->count] = d->recipients[i].recipient;
		l->addresses[l->count] = d->recipients[i].address;
		l->places[l->count++] = i;
	}
	m = (struct smtp_client_message){
	    .sender = e->sender,
	    .recipients = l->recipients,
	    .addresses = l->addresses,
	    .count = l->count,
	    .size = e->size + d->trace.length,
	    .body = d->body,
	    .smtputf8 = d->smtputf8,
	    .ret = e->ret,
	    .envid = e->envid,
	};
	d->dsn = (l->client.extensions & SMTP_EXT_DSN) != 0;
	l->resting = false;
	message_rewind(&d->item->message);
	l->trace = 0;
	smtp_client_message(&l->client, &m);
}

bool link_take_up(struct link *l)
{
	if (!l->resting || l->leaving)
		return false;
	l->delivery = target_take(l->target);
	if (l->delivery == NULL)
		return false;
	if (l->idle != NULL)
		event_del(l->idle);
	l->messages++;
	transaction_begin(l);
	if (!l->working)
		conn_again(l->conn);
	return true;
}

/* QUIT, now or behind what the server has still to answer. */
static void say_farewell(struct link *l)
{
	l->leaving = true;
	smtp_client_quit(&l->client);
	if (!l->working)
		conn_again(l->conn);
}

bool link_dismiss(struct link *l)
{
	if (!l->resting || l->leaving)
		return false;
	say_farewell(l);
	return true;
}

void link_stop(struct link *l)
{
	if (l->delivery != NULL || l->leaving)
		return;
	/* One that is not yet of use is not waited for. */
	if (l->client.stage >= SMTP_STAGE_READY)
		say_farewell(l);
	else
		link_free(l);
}

static void on_idle(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	link_dismiss(context);
}

static void rest(struct link *l)
{
	struct timeval idle = {.tv_sec = LINK_IDLE};

	if (l->idle == NULL)
		l->idle = evtimer_new(l->target->courier->base, on_idle, l);
	evtimer_add(l->idle, &idle);
}

static void on_ready(struct link *l)
{
	struct target *t = l->target;

	l->resting = true;
	if (l->client.max_messages > 0 && l->messages >= l->client.max_messages)
		link_dismiss(l);
	else if (!link_take_up(l) && t->courier->stopping)
		link_dismiss(l);
	else if (l->resting)
		rest(l);
	target_proven(t, l->tried);
	l->tried = 0;
}

static void with_host(const struct link *l, struct smtp_verdict *v)
{
	char text[LIMIT_REASON];
	const char *host = l->target->lmtp ? l->target->name : l->peer.host;

	memcpy(text, v->text, sizeof text);
	if (v->code > 0)
		snprintf(v->text, sizeof v->text, "%s said: %d %.*s", host, v->code, (int)sizeof text - 300, text);
	else
		snprintf(v->text, sizeof v->text, "%s: %.*s", host, (int)sizeof text - 300, text);
}

static void judge_recipient_at(struct link *l, size_t place, const struct smtp_verdict *verdict)
{
	struct delivery_recipient *r = &l->delivery->recipients[l->places[place]];

	if (r->judged)
		return;
	r->judged = true;
	r->verdict = *verdict;
	with_host(l, &r->verdict);
}

static bool all_judged(const struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (!d->recipients[i].judged)
			return false;
	return true;
}

static void on_message_done(struct link *l, const struct smtp_client_event *event)
{
	struct smtp_verdict v = event->verdict;

	if (v.outcome == OUTCOME_LATER && v.code == 0 && l->client.text_sent) {
		size_t length = strlen(v.text);

		snprintf(v.text + length, sizeof v.text - length,
		    "; all of the message had been sent, so it may arrive twice");
	}
	for (size_t i = 0; i < l->count; i++)
		judge_recipient_at(l, i, &v);
	/* Those beyond the server's limit follow as a message of their own, when the session goes on. */
	if (all_judged(l->delivery))
		give_back(l);
	else
		l->text = false;
}

/* ---- text ------------------------------------------------------------------------------------------------ */

static void send_piece(struct link *l)
{
	struct delivery *d = l->delivery;
	struct error err = ERROR_NONE;
	uint8_t piece[LINK_PIECE];
	size_t got;

	if (l->trace < d->trace.length) {
		smtp_client_text(&l->client, view_from(view_buf(&d->trace), l->trace));
		l->trace = d->trace.length;
	} else if (source_read(&d->item->message.content.source, piece, sizeof piece, &got, &err) != OUTCOME_DONE) {
		l->text = false;
		smtp_client_lost(&l->client, err.text);
	} else if (got > 0) {
		smtp_client_text(&l->client, view_of(piece, got));
	} else {
		l->text = false;
		smtp_client_text_end(&l->client);
		/* RFC 5321 4.5.3.2.6: who is impatient here gets everything twice. */
		conn_timeout(l->conn, 2 * (unsigned)l->target->courier->config.smtp.timeout);
	}
}

static void flush(struct link *l)
{
	if (l->client.output.length == 0)
		return;
	conn_write(l->conn, view_buf(&l->client.output));
	buf_clear(&l->client.output);
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static void begin_tls(struct link *l)
{
	struct error err = ERROR_NONE;
	struct tls *tls = target_tls(l->target, &err);

	if (tls == NULL)
		smtp_client_lost(&l->client, err.text);
	else if (!conn_start_tls(l->conn, tls, l->peer.host))
		smtp_client_lost(&l->client, "the server spoke between STARTTLS and TLS");
}

/* RFC 7435: rather in clear than not at all, where nobody asked for more. */
static bool clear_will_do(const struct link *l)
{
	return l->target->policy == POLICY_OFFERED && !l->plain &&
	       (l->client.stage == SMTP_STAGE_STARTTLS || l->client.stage == SMTP_STAGE_TLS);
}

/* The session is over; L may be gone afterwards. */
static void on_over(struct link *l, const struct smtp_client_event *event)
{
	struct smtp_verdict v = event->verdict;

	l->resting = false;
	v.outcome = OUTCOME_LATER; /* a server that refuses all is no verdict on a message */
	if (v.status[0] != '4')
		snprintf(v.status, sizeof v.status, "4.4.0");
	with_host(l, &v);
	if (l->delivery != NULL) { /* with recipients that had no turn yet */
		delivery_judge_rest(l->delivery, &v);
		give_back(l);
	}
	if (event->kind == SMTP_CLIENT_CLOSED) {
		link_free(l);
	} else if (clear_will_do(l)) {
		size_t length = strlen(v.text);

		snprintf(v.text + length, sizeof v.text - length, "; sending without TLS");
		clerk_trouble(l->target->courier->clerk, l->target->name, v.text);
		l->plain = true;
		disconnect(l);
		connect_now(l);
	} else {
		next_candidate(l, &v);
	}
}

/* True when the session is over. */
static bool handle(struct link *l, const struct smtp_client_event *event)
{
	switch (event->kind) {
	case SMTP_CLIENT_STARTTLS:
		flush(l);
		begin_tls(l);
		break;
	case SMTP_CLIENT_READY:
		if (l->delivery != NULL)
			transaction_begin(l);
		else
			on_ready(l);
		break;
	case SMTP_CLIENT_RECIPIENT:
		judge_recipient_at(l, event->place, &event->verdict);
		break;
	case SMTP_CLIENT_WANTS_TEXT:
		l->text = true;
		break;
	case SMTP_CLIENT_DONE:
		on_message_done(l, event);
		break;
	case SMTP_CLIENT_FAILED:
	case SMTP_CLIENT_CLOSED:
		flush(l);
		on_over(l, event);
		return true;
	}
	return false;
}

/* Does what can be done now; L may be gone afterwards. */
static void advance(struct link *l)
{
	struct smtp_client_event event;

	l->working = true;
	for (;;) {
		while (smtp_client_next(&l->client, &event))
			if (handle(l, &event))
				return;
		if (l->replies != l->client.replies) {
			l->replies = l->client.replies;
			conn_answered(l->conn);
		}
		/* A short message goes out in one piece. */
		if (!l->text || l->client.output.length >= LINK_PIECE)
			flush(l);
		if (!l->text || conn_unsent(l->conn) >= LINK_UNSENT)
			break;
		send_piece(l);
	}
	flush(l);
	l->working = false;
}

static void on_connected(void *context)
{
	struct link *l = context;

	conn_timeout(l->conn, (unsigned)l->target->courier->config.smtp.timeout);
	conn_answered(l->conn);
	if (l->options.secured)
		begin_tls(l);
	advance(l);
}

static void on_input(void *context)
{
	struct link *l = context;
	struct view in = conn_input(l->conn);

	smtp_client_feed(&l->client, in);
	conn_take(l->conn, in.length);
	advance(l);
}

static void on_drained(void *context)
{
	advance(context);
}

static void on_secured(void *context)
{
	struct link *l = context;

	if (!l->options.secured)
		smtp_client_secured(&l->client);
	advance(l);
}

static void on_closed(void *context, const struct error *why)
{
	struct link *l = context;

	smtp_client_lost(&l->client, why->text[0] != '\0' ? why->text
				     : l->client.stage == SMTP_STAGE_GREETING
					 ? "the connection was closed without a greeting"
					 : "the connection was closed");
	advance(l);
}

static const struct conn_handlers handlers = {
    .connected = on_connected,
    .input = on_input,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

void link_abort(struct link *l, const char *why)
{
	smtp_client_lost(&l->client, why);
	advance(l);
}
