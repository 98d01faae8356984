#include "bridge-pop3/fetch.h"

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
	b->connected = b->heard = false;
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

/* ---- what is asked for ---------------------------------------------------------------------------------------- */

static void ask_delete(struct fetch_box *b, size_t number)
{
	pop3_client_delete(&b->client, number);
	b->under_way++;
}

static void ask_retrieve(struct fetch_box *b, size_t number)
{
	const struct fetch_message *m = &b->plan.messages[number];

	pop3_client_retrieve(&b->client, number);
	b->under_way++;
	b->round++;
	b->round_octets += m->octets;
	/* What has no name is safe from being sent again only when QUIT was answered; what is left there never is. */
	if (b->plan.unnamed > 0 && b->plan.leave == 0 &&
	    (b->round >= FETCH_ROUND || b->round_octets >= FETCH_ROUND_OCTETS))
		b->round_full = true;
}

/* It was known: a session takes as many others. */
static void round_give_back(struct fetch_box *b, size_t number)
{
	b->round--;
	b->round_octets -= b->plan.messages[number].octets;
	b->round_full = false;
}

/* The server has said before that this message, which it lists again, is deleted. */
static void note_kept(struct fetch_box *b)
{
	error_set(&b->refused, EX_TEMPFAIL,
	    "%s goes on listing messages (%zu so far) of which it said that they were deleted: they are received in "
	    "each run, and "
	    "compared; nothing comes twice",
	    b->server.host, ++b->kept);
}

static void ask_top(struct fetch_box *b, size_t number)
{
	pop3_client_top(&b->client, number, 0);
	b->under_way++;
}

/* Makes durable what was laid. */
static enum outcome commit(struct fetch_box *b, struct error *err)
{
	enum outcome outcome = fetched_commit(&b->state, err);

	if (outcome == OUTCOME_DONE)
		b->progress += b->laid_count;
	return outcome;
}

/* The same, and the server may delete it, as far as it is due. */
static enum outcome settle(struct fetch_box *b, struct error *err)
{
	enum outcome outcome = commit(b, err);

	for (size_t i = 0; i < b->laid_count && outcome == OUTCOME_DONE; i++) {
		const struct fetched_item *item = &b->state.items[b->plan.messages[b->laid[i]].item];

		if (item->kind == FETCHED_MAIL && fetch_plan_due(&b->plan, &b->state, item))
			ask_delete(b, b->laid[i]);
	}
	b->laid_count = 0;
	b->laid_octets = 0;
	return outcome;
}

static enum outcome laid_add(struct fetch_box *b, size_t number, uint64_t octets, struct error *err)
{
	b->laid[b->laid_count++] = number;
	b->laid_octets += octets;
	if (b->laid_count == 1)
		b->laid_since = clock_steady();
	if (b->laid_count == FETCH_GROUP || b->laid_octets >= FETCH_GROUP_OCTETS)
		return settle(b, err);
	return OUTCOME_DONE;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The notice that was sent about this message, of which no more is known than HEAD (may be empty); FETCH_UNKNOWN: none. */
static size_t notice_of(const struct fetch_box *b, size_t number, struct view head)
{
	const struct fetch_message *m = &b->plan.messages[number];
	uint8_t digest[FETCHED_DIGEST] = {0};

	if (m->item != FETCH_UNKNOWN)
		return b->state.items[m->item].kind == FETCHED_NOTICE ? m->item : FETCH_UNKNOWN;
	if (head.length > 0)
		fetch_digest(head, digest);
	else if (m->uid != NULL)
		return FETCH_UNKNOWN;
	return fetch_plan_match(&b->state, m, FETCHED_NOTICE, digest);
}

static void notice_met(struct fetch_box *b, size_t number, size_t known)
{
	b->plan.messages[number].item = known;
	fetch_plan_met(&b->state, &b->plan.messages[number]);
}

/* Was somebody told of it? Nobody is told twice, though it should turn out to be larger than was known. */
static bool told_before(struct fetch_box *b, size_t number, struct view head, uint64_t octets)
{
	size_t known = notice_of(b, number, head);
	struct fetched_item *item;

	if (known == FETCH_UNKNOWN)
		return false;
	notice_met(b, number, known);
	item = &b->state.items[known];
	if (octets > item->octets) {
		item->octets = octets;
		b->state.changed = true;
		b->progress += b->plan.messages[number].uid != NULL; /* the next session passes it by */
	}
	return true;
}

static enum outcome tell_too_large(
    struct fetch_box *b, size_t number, struct view head, uint64_t octets, uint64_t limit, struct error *err)
{
	char has[24];
	char takes[24];
	char why[100];
	enum outcome outcome;

	if (told_before(b, number, head, octets))
		return OUTCOME_DONE;
	size_print_both(octets, has, limit, takes);
	snprintf(why, sizeof why, "it has %s, and at most %s are fetched", has, takes);
	outcome = fetch_notice_lay(b, number, NULL, head, octets, why, "Too large to be fetched", err);
	return outcome == OUTCOME_DONE ? laid_add(b, number, 0, err) : outcome;
}

static enum outcome ask_one(struct fetch_box *b, size_t number, struct error *err)
{
	const struct fetch_message *m = &b->plan.messages[number];

	switch (m->action) {
	case FETCH_DELETE:
		ask_delete(b, number);
		return OUTCOME_DONE;
	case FETCH_RETRIEVE:
		ask_retrieve(b, number);
		return OUTCOME_DONE;
	case FETCH_LOOK:
		ask_top(b, number);
		return OUTCOME_DONE;
	case FETCH_TELL:
		return tell_too_large(b, number, view_of(NULL, 0), m->octets, b->plan.max_size, err);
	default:
		return OUTCOME_DONE;
	}
}

/* Asks for as much as is good at once. *ASKED: there is something new for the machine. */
static enum outcome ask(struct fetch_box *b, bool *asked, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	size_t before = b->under_way;

	while (b->next < b->plan.count && !b->round_full && b->under_way < FETCH_AHEAD && outcome == OUTCOME_DONE)
		outcome = ask_one(b, b->next++, err);
	if (outcome == OUTCOME_DONE && b->under_way == 0)
		outcome = settle(b, err);
	if (outcome == OUTCOME_DONE && b->under_way == 0) {
		b->leaving = true;
		pop3_client_quit(&b->client);
		*asked = true;
		return OUTCOME_DONE;
	}
	*asked = b->under_way > before;
	return outcome;
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
	    .partial = c->count == POP3_CLIENT_MESSAGES,
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
	fetch_plan_make(plan, &b->state);
	tell_doubled(b);
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
	outcome = tell_too_large(b, number, view_buf(&head), octets, limit, err);
	if (outcome == OUTCOME_DONE)
		outcome = commit(b, err);
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
			return commit(b, err);
		}
		return OUTCOME_DONE;
	}
	if (!mail->open) {
		outcome = fetch_mail_begin(mail, b, event->number, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	/* On a slow line what is here already does not wait for what comes. */
	if (b->laid_count > 0 && clock_steady() - b->laid_since >= FETCH_GROUP_SECONDS) {
		outcome = settle(b, err);
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

static enum outcome tell_looping(struct fetch_box *b, size_t number, const struct error *why, struct error *err)
{
	const struct config *c = &b->fetch->config;
	struct buf head = b->mail.text.head;
	enum outcome outcome;

	buf_init(&b->mail.text.head, 1);
	if (told_before(b, number, view_buf(&head), FETCHED_ANY_SIZE)) {
		buf_release(&head);
		return OUTCOME_DONE;
	}
	outcome = fetch_notice_lay(b, number, c->postmaster != NULL ? c->postmaster : "postmaster", view_buf(&head),
	    FETCHED_ANY_SIZE, why->text, "Not fetched", err);
	buf_release(&head);
	return outcome == OUTCOME_DONE ? laid_add(b, number, 0, err) : outcome;
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

static enum outcome on_retrieved(struct fetch_box *b, size_t number, struct error *err)
{
	struct error why = ERROR_NONE;
	size_t known;
	uint64_t octets;
	enum outcome outcome = OUTCOME_DONE;

	if (cut_short(b, number)) {
		fetch_mail_drop(&b->mail);
		return OUTCOME_DONE;
	}
	if (!b->mail.open) /* an empty one */
		outcome = fetch_mail_begin(&b->mail, b, number, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = fetch_mail_end(&b->mail, &known, &why);
	octets = b->mail.text.octets;
	if (outcome == OUTCOME_NEVER && why.code == EX_DATAERR) {
		warn(b, why.text);
		outcome = tell_looping(b, number, &why, err);
	} else if (outcome != OUTCOME_DONE) {
		*err = why;
	} else if (known == FETCH_UNKNOWN) {
		outcome = laid_add(b, number, octets, err);
	} else {
		round_give_back(b, number);
		if (b->state.items[known].deleted)
			note_kept(b);
		if (fetch_plan_due(&b->plan, &b->state, &b->state.items[known]))
			ask_delete(b, number);
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
	size_t known = notice_of(b, number, head);
	enum outcome outcome =
	    fetch_address_read(&a, &b->fetch->config, b->section, &b->fetch->queue.mail, head, err);

	if (b->plan.multidrop)
		limit = smaller(limit, a.max_size);
	fetch_address_release(&a);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (known != FETCH_UNKNOWN && (m->octets > limit || b->state.items[known].octets > limit))
		notice_met(b, number, known);
	else if (m->octets > limit)
		outcome = tell_too_large(b, number, head, m->octets, limit, err);
	else
		ask_retrieve(b, number);
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
		return tell_too_large(b, number, view_of(NULL, 0), m->octets, b->max_size, err);
	ask_retrieve(b, number);
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
	bool all = b->next == b->plan.count && !b->incomplete && !b->plan.partial;

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
	if (commit(b, &own) != OUTCOME_DONE && own.text[0] != '\0' && why->code != own.code)
		err = own;
	fetch_box_session_over(b, &err);
}

static void on_closed(struct fetch_box *b, const struct pop3_client_event *event)
{
	struct error err = ERROR_NONE;

	if (!event->committed) {
		error_set(&err, EX_TEMPFAIL, "%s: %s", b->server.host, event->text);
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
			outcome = ask(b, &asked, &err);
	}
	if (outcome != OUTCOME_DONE)
		fail(b, &err);
	else
		flush(b);
}

enum outcome fetch_session_keep(struct fetch_box *b, struct error *err)
{
	fetch_mail_drop(&b->mail);
	return commit(b, err);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

static void on_connected(void *context)
{
	struct fetch_box *b = context;

	b->connected = true;
	conn_timeout(b->conn, (unsigned)b->section->timeout);
	if (b->options.secured)
		begin_tls(b);
	work(b);
}

static void on_input(void *context)
{
	struct fetch_box *b = context;
	struct view in = conn_input(b->conn);

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
