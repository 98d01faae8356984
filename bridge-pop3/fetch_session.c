#include "bridge-pop3/fetch.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"

/* Seconds for our last words to leave. */
#define FAREWELL 5
/* Octets that a server may count of a message without any: line ends and the dot behind it. More, and the text was lost. */
#define EMPTY_MOST 5
/* Of one with a text a server may count twice as much as it has, and so much more. */
#define SHORT_MOST 500

static const struct conn_handlers handlers;

/* ---- connecting ---------------------------------------------------------------------------------------------- */

static enum pop3_client_tls client_tls(const struct fetch_box *b)
{
	switch (b->policy) {
	case POLICY_REQUIRED:
	case POLICY_VERIFIED:
		return POP3_TLS_NEEDED;
	case POLICY_OFFERED:
		return b->plain ? POP3_TLS_NEVER : POP3_TLS_OFFERED;
	default:
		return POP3_TLS_NEVER;
	}
}

void fetch_session_begin(struct fetch_box *b)
{
	const struct dns_address *a = &b->addresses[b->tried];

	b->options = (struct pop3_client_options){
	    .tls = client_tls(b),
	    .secured = b->policy == POLICY_IMPLICIT,
	    .user = b->section->user,
	    .password = b->password,
	    /* Whoever asks for no TLS, or takes what is offered, lets the password go in clear. */
	    .clear = b->policy == POLICY_NONE || b->policy == POLICY_OFFERED,
	};
	b->progress_before = b->progress;
	b->conn = conn_connect(b->fetch->base, (const struct sockaddr *)&a->address, a->length,
	    (unsigned)b->section->connect, &handlers, b);
	pop3_client_init(&b->client, &b->options);
	b->spoke = true;
	b->connected = b->heard = b->again = b->exact = false;
	b->postponed = FETCH_UNKNOWN;
}

static void forget_plan(struct fetch_box *b)
{
	free(b->plan.messages);
	b->plan = (struct fetch_plan){0};
	b->next = b->under_way = 0;
	b->round = 0;
	b->round_octets = 0;
	b->laid_count = 0;
	b->laid_octets = 0;
	buf_clear(&b->header);
	b->header_octets = 0;
	b->planned = b->leaving = b->round_full = b->broken = b->incomplete = false;
}

void fetch_session_close(struct fetch_box *b)
{
	fetch_mail_drop(&b->mail);
	if (b->conn != NULL && b->leaving)
		conn_finish(b->conn, FAREWELL);
	else if (b->conn != NULL)
		conn_free(b->conn);
	b->conn = NULL;
	if (b->spoke)
		pop3_client_release(&b->client);
	b->spoke = false;
	forget_plan(b);
}

static void begin_tls(struct fetch_box *b)
{
	if (!conn_start_tls(b->conn, b->tls, b->server.host))
		pop3_client_lost(&b->client, "the server spoke between STLS and TLS");
}

static void flush(struct fetch_box *b)
{
	if (b->client.output.length == 0)
		return;
	conn_write(b->conn, view_buf(&b->client.output));
	buf_clear(&b->client.output);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- what comes ------------------------------------------------------------------------------------------------ */

static void warn(struct fetch_box *b, const char *sentence)
{
	char *name = mem_format("fetch-%s", b->section->name);

	log_event(&b->fetch->queue.log, name, "trouble", "reason", sentence);
	fprintf(stderr, "packetboat-fetch: %s: %s\n", b->section->name, sentence);
	free(name);
}

static void tell_doubled(struct fetch_box *b)
{
	char *text;

	if (b->plan.doubled == 0)
		return;
	text =
	    mem_format("%zu messages at %s have a UID that another has too: they are known by their texts alone, and "
		       "retrieved in each run",
		b->plan.doubled, b->server.host);
	warn(b, text);
	free(text);
}

static bool is_message(const struct fetch_box *b, size_t number)
{
	const char *uid = b->plan.messages[number].uid;

	return uid != NULL && b->stumbled_uid != NULL ? strcmp(uid, b->stumbled_uid) == 0
						      : number == b->stumbled_number;
}

/* The message at which the connection was lost in this run; FETCH_UNKNOWN: none. */
static size_t stumbled_at(const struct fetch_box *b)
{
	for (size_t i = 0; b->stumbled && i < b->plan.count; i++)
		if (is_message(b, i))
			return i;
	return FETCH_UNKNOWN;
}

static enum outcome on_ready(struct fetch_box *b, struct error *err)
{
	struct pop3_client *c = &b->client;
	struct fetch_plan *plan = &b->plan;

	*plan = (struct fetch_plan){
	    .messages = mem_array(c->count + 1, sizeof plan->messages[0]),
	    .count = c->count,
	    .max_size = b->max_size,
	    .leave = b->section->leave,
	    .named = c->named,
	    .partial = !c->complete,
	    .top = c->top && !b->no_top,
	    .multidrop = b->section->multidrop != NULL,
	};
	for (size_t i = 0; i < plan->count; i++) {
		plan->messages[i].octets = pop3_client_octets(c, i);
		plan->messages[i].uid = pop3_client_uid(c, i);
	}
	b->planned = true;
	b->counts.left = plan->count;
	if (!plan->named && plan->leave > 0 && plan->count > 0)
		return error_set(err, EX_CONFIG,
		    "%s gives its messages no UIDs, so that nothing can be left there without being fetched again in "
		    "each "
		    "run: take leave-on-server out of %s; nothing was fetched",
		    b->server.host, b->section->where);
	if (!c->complete)
		error_set(&b->refused, EX_TEMPFAIL,
		    "%s has other messages than the %zu that its listing tells of: those are not fetched",
		    b->server.host, c->count);
	fetch_plan_make(plan, &b->state);
	tell_doubled(b);
	b->postponed = b->last_try ? FETCH_UNKNOWN : stumbled_at(b);
	if (b->fetch->verbose)
		fprintf(stderr, "packetboat-fetch: %s: %zu messages at %s\n", b->section->name, plan->count,
		    b->server.host);
	return OUTCOME_DONE;
}

/* The end of what is larger than it may be, or than was said: no way but to hang up. */
static enum outcome break_off(struct fetch_box *b, size_t number, uint64_t limit, struct error *err)
{
	struct fetch_message *m = &b->plan.messages[number];
	uint64_t octets = b->mail.text.octets > m->octets ? b->mail.text.octets : m->octets;
	struct buf head = b->mail.text.head;
	enum outcome outcome;

	buf_init(&b->mail.text.head, 1);
	fetch_mail_drop(&b->mail);
	outcome = fetch_tell_too_large(b, number, view_buf(&head), octets, limit, err);
	if (outcome == OUTCOME_DONE)
		outcome = fetch_commit(b, err);
	buf_release(&head);
	b->broken = true;
	b->breaks++;
	return outcome;
}

static enum outcome on_text(struct fetch_box *b, const struct pop3_client_event *event, struct error *err)
{
	uint64_t limit = b->max_size;
	struct fetch_mail *mail = &b->mail;
	enum outcome outcome;

	if (event->top) {
		/* As much of it as fits. Where it is more than any header, it is not worth asking for. */
		size_t room = b->header.maximum - b->header.length;

		buf_append(&b->header, event->bytes.bytes, (size_t)smaller(event->bytes.length, room));
		b->header_octets += event->bytes.length;
		if (b->header_octets > FETCH_HEADER_MAX) {
			b->broken = b->no_top = true;
			b->progress++;
			return fetch_commit(b, err);
		}
		return OUTCOME_DONE;
	}
	if (!mail->open) {
		outcome = fetch_mail_begin(mail, b, event->number, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	/* On a slow line what is here already does not wait for what comes. */
	if (fetched_waiting(&b->state) > 0 && clock_steady() - b->laid_since >= FETCH_GROUP_SECONDS) {
		outcome = fetch_commit(b, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	fetch_text_add(&mail->text, event->bytes);
	if (mail->text.text.outcome == OUTCOME_LATER) {
		*err = mail->text.text.err;
		return OUTCOME_LATER;
	}
	if (mail->text.looked && b->plan.multidrop)
		limit = smaller(limit, mail->text.address.max_size);
	return mail->text.octets > limit ? break_off(b, event->number, limit, err) : OUTCOME_DONE;
}

/* Servers err by some octets, or count other line ends; but not so much. */
static bool cut_short(struct fetch_box *b, size_t number)
{
	uint64_t listed = b->plan.messages[number].octets;
	uint64_t octets = b->mail.open ? b->mail.text.octets : 0;

	if (octets > 0 ? listed / 2 <= octets + SHORT_MOST : listed <= EMPTY_MOST)
		return false;
	b->incomplete = true;
	error_set(&b->refused, EX_TEMPFAIL,
	    "%s lists message %zu with %llu octets, and gives %llu of them: it stays there", b->server.host,
	    number + 1, (unsigned long long)listed, (unsigned long long)octets);
	return true;
}

/* Is the text as long as it was listed? Some servers count LF where CRLF is sent. */
static bool is_exact(const struct fetch_box *b, size_t number)
{
	uint64_t listed = b->plan.messages[number].octets;
	const struct fetch_text *t = &b->mail.text;

	return !b->mail.open || listed == t->octets || listed == t->octets - t->lines;
}

/*
 * A text of another length than was listed may have ended too early: at a lone dot within it, at a server that does not double dots. What
 * follows would be taken for answers, and a stranger may have written it. So the server is asked for what nobody else can know, the size
 * of another message if there is one. True: it is taken when that was answered.
 */
static bool must_be_proved(struct fetch_box *b, size_t number)
{
	size_t later = b->plan.count - number - 1;

	b->exact = is_exact(b, number);
	if (b->exact)
		return false;
	if (pop3_client_under_way(&b->client) > 0) {
		/* Answers to other requests are on their way: it is received once more, alone, as all are from here on. */
		fetch_mail_drop(&b->mail);
		b->broken = b->careful = true;
		b->progress++;
		return true;
	}
	b->under_way++;
	pop3_client_probe(&b->client, later == 0 ? number : number + 1 + randombytes_uniform((uint32_t)later));
	return true;
}

static enum outcome take(struct fetch_box *b, size_t number, struct error *err);

static enum outcome on_retrieved(struct fetch_box *b, size_t number, struct error *err)
{
	if (cut_short(b, number)) {
		fetch_mail_drop(&b->mail);
		return OUTCOME_DONE;
	}
	if (must_be_proved(b, number))
		return b->broken ? fetch_commit(b, err) : OUTCOME_DONE;
	return take(b, number, err);
}

/* The message is whole. */
static enum outcome take(struct fetch_box *b, size_t number, struct error *err)
{
	struct error why = ERROR_NONE;
	size_t known;
	uint64_t octets;
	enum outcome outcome = OUTCOME_DONE;

	if (!b->mail.open) /* an empty one */
		outcome = fetch_mail_begin(&b->mail, b, number, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = fetch_mail_end(&b->mail, &known, &why);
	octets = b->mail.text.octets;
	if (outcome == OUTCOME_NEVER && why.code == EX_DATAERR) {
		warn(b, why.text);
		outcome = fetch_tell_looping(b, number, &why, err);
	} else if (outcome != OUTCOME_DONE) {
		*err = why;
	} else if (known == FETCH_UNKNOWN) {
		outcome = fetch_laid(b, number, octets, err);
	} else {
		fetch_known_again(b, number);
	}
	fetch_mail_drop(&b->mail);
	return outcome;
}

static void header_forget(struct fetch_box *b)
{
	buf_clear(&b->header);
	b->header_octets = 0;
}

static enum outcome on_topped(struct fetch_box *b, size_t number, struct error *err)
{
	const struct fetch_message *m = &b->plan.messages[number];
	struct view head = view_buf(&b->header);
	struct fetch_address a;
	uint64_t limit = b->max_size;
	size_t known = fetch_notice_of(b, number, head);
	enum outcome outcome =
	    fetch_address_read(&a, &b->fetch->config, b->section, &b->fetch->queue.mail, head, err);

	if (b->plan.multidrop)
		limit = smaller(limit, a.max_size);
	fetch_address_release(&a);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (known != FETCH_UNKNOWN && (m->octets > limit || b->state.items[known].octets > limit))
		fetch_notice_met(b, number, known);
	else if (m->octets > limit)
		outcome = fetch_tell_too_large(b, number, head, m->octets, limit, err);
	else
		fetch_ask_retrieve(b, number);
	header_forget(b);
	return outcome;
}

/* TOP is not to be had: what is small enough by its listing is retrieved all the same. */
static enum outcome on_top_refused(struct fetch_box *b, size_t number, struct error *err)
{
	const struct fetch_message *m = &b->plan.messages[number];

	header_forget(b);
	b->plan.top = false;
	if (m->too_large)
		return fetch_tell_too_large(b, number, view_of(NULL, 0), m->octets, b->max_size, err);
	fetch_ask_retrieve(b, number);
	return OUTCOME_DONE;
}

static enum outcome on_refused(struct fetch_box *b, const struct pop3_client_event *event, struct error *err)
{
	if (event->request == POP3_TOP)
		return on_top_refused(b, event->number, err);
	fetch_mail_drop(&b->mail);
	b->incomplete = true;
	error_set(&b->refused, EX_TEMPFAIL, "%s refuses to %s message %zu: %s", b->server.host,
	    event->request == POP3_RETRIEVE ? "give" : "delete", event->number + 1, event->text);
	return OUTCOME_DONE;
}

/* Message M is deleted, says the server. It is known until it is not listed any more. */
static void deletion_note(struct fetch_box *b, const struct fetch_message *m)
{
	struct fetched_item *item = &b->state.items[m->item];

	b->counts.deleted++;
	b->counts.left--;
	if (item->deleted)
		return;
	item->deleted = b->state.changed = true;
	b->progress++;
}

/* The deletions stand; and what is not there need not be known any more. */
static void on_closed_well(struct fetch_box *b)
{
	bool all = b->next == b->plan.count && b->postponed == FETCH_UNKNOWN && !b->incomplete && !b->plan.partial;

	for (size_t i = 0; i < b->plan.count; i++) {
		const struct fetch_message *m = &b->plan.messages[i];

		if (m->delete &&m->item != FETCH_UNKNOWN)
			deletion_note(b, m);
	}
	for (size_t i = 0; all && i < b->state.count; i++)
		if (fetch_plan_absent(&b->plan, &b->state.items[i]))
			b->state.items[i].gone = true;
}

/* RFC 7435: rather in clear than not at all, where nobody asked for more. */
static bool clear_will_do(const struct fetch_box *b)
{
	return b->policy == POLICY_OFFERED && !b->plain &&
	       (b->client.stage == POP3_STAGE_STLS || b->client.stage == POP3_STAGE_TLS);
}

/* What is whole is kept, even now. */
static void fail(struct fetch_box *b, const struct error *why)
{
	struct error err = *why;
	struct error own = ERROR_NONE;

	fetch_mail_drop(&b->mail);
	if (fetch_commit(b, &own) != OUTCOME_DONE && own.text[0] != '\0' && why->code != own.code)
		err = own;
	fetch_box_session_over(b, &err);
}

/* Says in ERR at which message the session ended, if at any, and notes that one: another session passes it by. */
static void stumble(struct fetch_box *b, const char *text, struct error *err)
{
	size_t number;
	bool at = b->mail.open || pop3_client_awaited(&b->client, &number);

	if (b->mail.open)
		number = b->mail.number;
	if (!at) {
		error_set(err, EX_TEMPFAIL, "%s: %s", b->server.host, text);
		return;
	}
	error_set(err, EX_TEMPFAIL, "%s: %s (at message %zu of %zu, with %llu octets)", b->server.host, text,
	    number + 1, b->plan.count, (unsigned long long)b->plan.messages[number].octets);
	b->again = !b->stumbled;
	b->stumbled = true;
	b->stumbled_number = number;
	free(b->stumbled_uid);
	b->stumbled_uid = mem_string(b->plan.messages[number].uid);
}

static void on_closed(struct fetch_box *b, const struct pop3_client_event *event)
{
	struct error err = ERROR_NONE;

	if (!event->committed) {
		stumble(b, event->text, &err);
		fail(b, &err);
		return;
	}
	on_closed_well(b);
	if (fetched_keep(&b->state, &err) == OUTCOME_DONE) {
		err = b->refused;
		b->refused = ERROR_NONE;
	}
	fetch_box_session_over(b, err.code != EX_OK ? &err : NULL);
}

/* What is at fault more often than the server, when client and server wait for one another to begin. */
static const char *advice(const struct fetch_box *b, const char *why)
{
	if (!b->connected || b->heard)
		return "";
	if (!b->options.secured)
		return "; where TLS begins with the connection, tls = \"implicit\" is needed";
	return strstr(why, "wrong version number") != NULL
		   ? "; where TLS begins with STLS, tls = \"verified\" is needed"
		   : "";
}

static void on_failed(struct fetch_box *b, const struct pop3_client_event *event)
{
	struct error err = ERROR_NONE;

	if (clear_will_do(b)) {
		char *text = mem_format("%s: %s; going on without TLS", b->server.host, event->text);

		warn(b, text);
		free(text);
		fetch_session_close(b);
		b->plain = true;
		fetch_session_begin(b);
		return;
	}
	/* A password that is refused by one address is refused by all. */
	error_set(&err, b->client.stage == POP3_STAGE_AUTH ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s: %s%s",
	    b->section->server, event->text, advice(b, event->text));
	fail(b, &err);
}

/* True when the session is over. */
static bool handle(
    struct fetch_box *b, const struct pop3_client_event *event, enum outcome *outcome, struct error *err)
{
	if (event->kind != POP3_CLIENT_TEXT)
		conn_answered(b->conn);
	switch (event->kind) {
	case POP3_CLIENT_STLS:
		flush(b);
		begin_tls(b);
		break;
	case POP3_CLIENT_READY:
		*outcome = on_ready(b, err);
		break;
	case POP3_CLIENT_TEXT:
		*outcome = on_text(b, event, err);
		break;
	case POP3_CLIENT_RETRIEVED:
		b->under_way--;
		*outcome = on_retrieved(b, event->number, err);
		break;
	case POP3_CLIENT_TOPPED:
		b->under_way--;
		*outcome = on_topped(b, event->number, err);
		break;
	case POP3_CLIENT_REFUSED:
		b->under_way--;
		*outcome = on_refused(b, event, err);
		break;
	case POP3_CLIENT_DELETED:
		b->under_way--;
		b->plan.messages[event->number].delete = true;
		break;
	case POP3_CLIENT_PROBED:
		b->under_way--;
		*outcome = take(b, b->mail.number, err);
		break;
	case POP3_CLIENT_FAILED:
		/* What the machine has still to say, it says. */
		b->leaving = b->client.output.length > 0;
		flush(b);
		on_failed(b, event);
		return true;
	case POP3_CLIENT_CLOSED:
		flush(b);
		on_closed(b, event);
		return true;
	}
	return false;
}

/* Does what can be done now. The session may be over afterwards. */
static void work(struct fetch_box *b)
{
	struct pop3_client_event event;
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;
	bool asked = true;

	while (asked && outcome == OUTCOME_DONE) {
		while (outcome == OUTCOME_DONE && !b->broken && pop3_client_next(&b->client, &event))
			if (handle(b, &event, &outcome, &err))
				return;
		if (b->broken && outcome == OUTCOME_DONE) {
			fetch_box_session_over(b, NULL);
			return;
		}
		asked = false;
		if (outcome == OUTCOME_DONE && b->planned && !b->leaving)
			outcome = fetch_ask(b, &asked, &err);
	}
	if (outcome != OUTCOME_DONE)
		fail(b, &err);
	else
		flush(b);
}

enum outcome fetch_session_keep(struct fetch_box *b, struct error *err)
{
	fetch_mail_drop(&b->mail);
	return fetch_commit(b, err);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

/*
 * Seconds for the first words of a server. Where TLS comes first it waits for ours, and both would for as long as a session may
 * be silent.
 */
static unsigned first_words(const struct config_fetch *section)
{
	return (unsigned)smaller(2 * section->connect, section->timeout);
}

static void on_connected(void *context)
{
	struct fetch_box *b = context;

	b->connected = true;
	conn_timeout(b->conn, first_words(b->section));
	conn_answered(b->conn);
	if (b->options.secured)
		begin_tls(b);
	work(b);
}

static void on_input(void *context)
{
	struct fetch_box *b = context;
	struct view in = conn_input(b->conn);

	if (!b->heard)
		conn_timeout(b->conn, (unsigned)b->section->timeout);
	b->heard = true;
	pop3_client_feed(&b->client, in);
	conn_take(b->conn, in.length);
	work(b);
}

static void on_drained(void *context)
{
	work(context);
}

static void on_secured(void *context)
{
	struct fetch_box *b = context;

	if (!b->options.secured)
		pop3_client_secured(&b->client);
	work(b);
}

static void on_lost(void *context, const struct error *why)
{
	struct fetch_box *b = context;

	pop3_client_lost(&b->client, why->text[0] != '\0' ? why->text : "the connection was closed");
	work(b);
}

static const struct conn_handlers handlers = {
    .connected = on_connected,
    .input = on_input,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_lost,
};
