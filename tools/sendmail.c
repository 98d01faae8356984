#include "tools/sendmail.h"

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/route.h"

/* One call of sendmail_submit. */
struct submission {
	const struct sendmail_options *o;
	const struct config *config;
	struct queue *queue;
	struct envelope envelope;
	struct strings recipients;
	struct compose text;
	sendmail_complain *complain;
	void *context;
	enum outcome outcome; /* of the first fault */
	struct error first;
};

static void fault(void *context, const struct error *err)
{
	struct submission *s = context;

	s->complain(s->context, err->text);
	if (s->outcome == OUTCOME_DONE) {
		s->outcome = err->outcome;
		s->first = *err;
	}
}

/* ---- who sends -------------------------------------------------------------------------------------------
 */

static enum outcome sender_parse(struct submission *s, struct error *err)
{
	const char *given = s->o->sender;
	struct address a;
	enum outcome outcome;

	if (given == NULL)
		given = s->o->login;
	if (given == NULL)
		return error_set(err, EX_NOUSER,
		    "this process belongs to a user without a name; give the sender's address with -f");
	if (given[0] == '<')
		outcome = address_parse_path(&a, view_text(given), err);
	else
		outcome = address_parse(&a, view_text(given), err);
	if (outcome != OUTCOME_DONE)
		return error_context(err, "the sender");
	/* Whoever answers must find the way back, so a bare name gets our domain. */
	if (a.kind == ADDRESS_LOCAL)
		a.domain = view_text(config_mail_name(s->config, NULL));
	s->envelope.sender = mem_format("%.*s%s%.*s", (int)a.local.length, (const char *)a.local.bytes,
	    a.domain.length > 0 ? "@" : "", (int)a.domain.length, (const char *)a.domain.bytes);
	return OUTCOME_DONE;
}

/* ---- to whom ---------------------------------------------------------------------------------------------
 */

static void take_recipient(void *context, struct view address)
{
	struct submission *s = context;
	char *text = mem_copy(address.bytes, address.length);

	strings_add(&s->recipients, text);
	free(text);
}

static void take_arguments(struct submission *s)
{
	for (size_t i = 0; i < s->o->recipient_count; i++) {
		const char *argument = s->o->recipients[i];
		size_t before = s->recipients.count;
		struct error err = ERROR_NONE;

		if (address_list(view_text(argument), take_recipient, s, &err) != OUTCOME_DONE) {
			fault(s, &err);
		} else if (s->recipients.count == before) {
			error_set(&err, EX_DATAERR, "the recipient \"%s\" is no address", argument);
			fault(s, &err);
		}
	}
}

/* How a command leaves that was given an address which goes nowhere. */
static int code_of_status(const char *status)
{
	static const struct {
		const char *status;
		int code;
	} codes[] = {
	    {"4.3.0", EX_TEMPFAIL},
	    {"5.1.1", EX_NOUSER},
	    {"5.1.2", EX_NOHOST},
	    {"5.1.3", EX_DATAERR},
	    {"5.4.6", EX_CONFIG},
	};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (strcmp(status, codes[i].status) == 0)
			return codes[i].code;
	return EX_UNAVAILABLE;
}

/* An address with what compares without case made lower case: the domain. */
static char *address_key(const char *address)
{
	char *key = mem_string(address);
	char *at = strrchr(key, '@');

	if (at != NULL && !text_ends(at, "\""))
		text_lower_all(at);
	return key;
}

struct keyed {
	char *key;
	size_t place;
};

static int keyed_compare(const void *a, const void *b)
{
	const struct keyed *x = a;
	const struct keyed *y = b;
	int order = strcmp(x->key, y->key);

	return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

/* Nobody gets the message twice for being named twice, in the header or beside it. */
static void drop_repeated(struct strings *recipients)
{
	struct keyed *all = mem_array(recipients->count + 1, sizeof *all);
	size_t kept = 0;

	for (size_t i = 0; i < recipients->count; i++)
		all[i] = (struct keyed){address_key(recipients->items[i]), i};
	qsort(all, recipients->count, sizeof *all, keyed_compare);
	for (size_t i = 1; i < recipients->count; i++) {
		if (strcmp(all[i].key, all[i - 1].key) == 0) {
			free(recipients->items[all[i].place]);
			recipients->items[all[i].place] = NULL;
		}
	}
	for (size_t i = 0; i < recipients->count; i++) {
		free(all[i].key);
		if (recipients->items[i] != NULL)
			recipients->items[kept++] = recipients->items[i];
	}
	recipients->count = kept;
	free(all);
}

static void judge(struct submission *s, const char *address)
{
	struct route route;
	struct error err = ERROR_NONE;

	route_find(&route, s->config, &s->queue->mail, address);
	if (route.kind == ROUTE_FAIL) {
		error_set(&err, code_of_status(route.status), "cannot send to <%s>: %s", address, route.reason);
		fault(s, &err);
	}
	route_release(&route);
}

/* Judges all there are, and says so of every one that will not do. */
static enum outcome judge_recipients(struct submission *s)
{
	struct error err = ERROR_NONE;

	drop_repeated(&s->recipients);
	for (size_t i = 0; i < s->recipients.count; i++)
		judge(s, s->recipients.items[i]);
	if (s->outcome == OUTCOME_DONE && s->recipients.count == 0) {
		error_set(&err, EX_USAGE,
		    s->o->mode == COMPOSE_AS_IS
			? "no recipients: name them after the options, or give -t to take them from the "
			  "header"
			: "no recipients: neither the header nor the command line names any");
		fault(s, &err);
	}
	return s->outcome;
}

/* ---- what ------------------------------------------------------------------------------------------------
 */

/* Recipients of one message as this command makes it; LIMIT_ENVELOPE must hold them at any usual length. */
#define SENDMAIL_PART 5000

/* Lets no more than the configured size pass. */
struct limit_sink {
	struct sink sink;
	struct sink *below;
	uint64_t left;
	uint64_t maximum;
};

static enum outcome limit_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct limit_sink *s = (struct limit_sink *)self;
	char maximum[24];

	if (size > s->left) {
		size_print(s->maximum, maximum);
		return error_set(err, EX_DATAERR,
		    "the message is larger than %s, the limit that max-size sets in packetboat.conf", maximum);
	}
	s->left -= size;
	return sink_write(s->below, bytes, size, err);
}

/* The envelope of one part: the recipients from FROM on, SENDMAIL_PART at most. */
static void envelope_fill(struct submission *s, struct envelope *e, size_t from, struct view additions)
{
	const struct sendmail_options *o = s->o;
	struct view section = view_buf(&s->text.section);

	e->class = o->class_from == SENDMAIL_CLASS_GIVEN ? o->class : s->text.bulk ? CLASS_BULK : CLASS_NORMAL;
	e->ret = o->ret;
	e->envid = mem_string(o->envid);
	if (e->sender == NULL)
		e->sender = mem_string(s->envelope.sender);
	e->smtputf8 = view_has_8bit(view_text(e->sender)) || view_has_8bit(additions) ||
		      (view_has_8bit(section) && utf8_valid(section));
	for (size_t i = from; i < s->recipients.count && i < from + SENDMAIL_PART; i++) {
		struct recipient *r = envelope_add_recipient(e, s->recipients.items[i]);

		r->notify = o->notify;
		e->smtputf8 = e->smtputf8 || view_has_8bit(view_text(r->address));
	}
	envelope_add_hop(e, s->config->host, clock_now(), HOP_LOCAL);
}

static void additions_make(struct submission *s, struct buf *out)
{
	const char *domain = config_mail_name(s->config, NULL);
	char id[LIMIT_ID];
	char *message_id;
	char *address = s->envelope.sender[0] != '\0'
			    ? mem_string(s->envelope.sender)
			    : mem_format("%s@%s", s->o->login != NULL ? s->o->login : "MAILER-DAEMON", domain);

	id_print(&s->envelope.id, id);
	message_id = mem_format("%s@%s", id, domain);
	compose_additions(
	    &s->text, s->o->mode, &(struct compose_author){address, s->o->name, message_id, clock_now()}, out);
	free(message_id);
	free(address);
}

/*
 * A list longer than one message may have recipients goes as several messages with the same content, written side by
 * side in one reading and committed one after the other at the end.
 */
struct parts {
	struct sink sink; /* writes to all */
	struct handover *handovers;
	struct envelope *envelopes; /* all but the first, which is the submission's own */
	size_t count;
};

static enum outcome parts_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct parts *p = (struct parts *)self;
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < p->count && outcome == OUTCOME_DONE; i++)
		outcome = sink_write(handover_sink(&p->handovers[i]), bytes, size, err);
	return outcome;
}

static enum outcome parts_begin(struct submission *s, struct parts *p, struct view additions, struct error *err)
{
	size_t count = (s->recipients.count + SENDMAIL_PART - 1) / SENDMAIL_PART;
	enum outcome outcome = OUTCOME_DONE;

	*p = (struct parts){.sink = {parts_write}};
	p->handovers = mem_array(count, sizeof p->handovers[0]);
	p->envelopes = mem_array(count, sizeof p->envelopes[0]);
	envelope_fill(s, &s->envelope, 0, additions);
	for (; p->count < count && outcome == OUTCOME_DONE; p->count++) {
		struct envelope *e = &p->envelopes[p->count];

		envelope_init(e);
		if (p->count > 0)
			envelope_fill(s, e, p->count * SENDMAIL_PART, additions);
		outcome = handover_begin(s->queue, &p->handovers[p->count], err);
	}
	return outcome;
}

static enum outcome parts_commit(struct submission *s, struct parts *p, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < p->count && outcome == OUTCOME_DONE; i++)
		outcome = handover_commit(&p->handovers[i], i == 0 ? &s->envelope : &p->envelopes[i], err);
	return outcome;
}

static void parts_release(struct parts *p)
{
	for (size_t i = 0; i < p->count; i++) {
		handover_abort(&p->handovers[i]);
		envelope_release(&p->envelopes[i]);
	}
	free(p->handovers);
	free(p->envelopes);
}

static enum outcome hand_over(struct submission *s, struct source *in, struct error *err)
{
	struct parts parts;
	struct limit_sink limit;
	struct buf additions;
	enum outcome outcome = queue_next_id(s->queue, 1, &s->envelope.id, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	buf_init(&additions, SIZE_MAX);
	additions_make(s, &additions);
	outcome = parts_begin(s, &parts, view_buf(&additions), err);
	limit = (struct limit_sink){{limit_write}, &parts.sink, s->config->max_size, s->config->max_size};
	if (outcome == OUTCOME_DONE)
		outcome = compose_write(&s->text, s->o->mode, view_buf(&additions), in, &limit.sink, err);
	if (outcome == OUTCOME_DONE)
		outcome = parts_commit(s, &parts, err);
	parts_release(&parts);
	buf_release(&additions);
	return outcome;
}

static enum outcome submit(struct submission *s, struct source *in)
{
	struct error err = ERROR_NONE;
	bool from_header = s->o->mode == COMPOSE_FROM_HEADER;

	if (sender_parse(s, &err) != OUTCOME_DONE)
		fault(s, &err);
	take_arguments(s);
	/* What is known to be wrong is said before the message is read. */
	if (!from_header && judge_recipients(s) != OUTCOME_DONE)
		return s->outcome;
	if (compose_read(&s->text, in, &err) != OUTCOME_DONE) {
		fault(s, &err);
		return s->outcome;
	}
	if (from_header) {
		compose_recipients(&s->text, take_recipient, fault, s, &err);
		judge_recipients(s);
	}
	if (s->outcome == OUTCOME_DONE && hand_over(s, in, &err) != OUTCOME_DONE)
		fault(s, &err);
	return s->outcome;
}

enum outcome sendmail_submit(const struct sendmail_options *o, const struct config *config, struct queue *queue,
    struct source *in, sendmail_complain *complain, void *context, struct id *id, struct error *err)
{
	struct submission s = {
	    .o = o,
	    .config = config,
	    .queue = queue,
	    .complain = complain,
	    .context = context,
	    .outcome = OUTCOME_DONE,
	};

	envelope_init(&s.envelope);
	if (submit(&s, in) == OUTCOME_DONE)
		*id = s.envelope.id;
	else
		*err = s.first;
	strings_release(&s.recipients);
	compose_release(&s.text);
	envelope_release(&s.envelope);
	return s.outcome;
}
