#include "bridge-pop3/fetch.h"

#include "bridge-pop3/fetch_notice.h"
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/origin.h"
#include "lib/text.h"

/* Message numbers reserved with one wait for the disk. */
#define MAIL_NUMBERS 64

static struct fetch_message *message_of(struct fetch_box *b, size_t number)
{
	return &b->plan.messages[number];
}

/* What was laid last is message NUMBER from now on, in the place of what was known of it. */
static void laid(struct fetch_box *b, size_t number)
{
	struct fetch_message *m = message_of(b, number);

	if (m->item != FETCH_UNKNOWN)
		b->state.items[m->item].gone = true;
	m->item = b->state.count - 1;
	b->state.items[m->item].present = true;
}

/* ---- mail ------------------------------------------------------------------------------------------------- */

enum outcome fetch_mail_begin(struct fetch_mail *mail, struct fetch_box *b, size_t number, struct error *err)
{
	struct fetch *f = b->fetch;
	enum outcome outcome = queue_space(&f->queue, message_of(b, number)->octets, err);

	handover_begin_small(&f->queue, &mail->handover, FETCH_SMALL);
	mail->box = b;
	mail->number = number;
	mail->open = true;
	fetch_text_begin(&mail->text, &f->config, b->section, &f->queue.mail, handover_sink(&mail->handover));
	return outcome;
}

void fetch_mail_drop(struct fetch_mail *mail)
{
	if (!mail->open)
		return;
	fetch_text_release(&mail->text);
	handover_abort(&mail->handover);
	mail->open = false;
}

static void envelope_fill(struct envelope *e, const struct fetch_mail *mail)
{
	const struct fetch_box *b = mail->box;
	const struct fetch_address *a = &mail->text.address;
	struct buf server;

	e->sender = mem_string(a->sender);
	for (size_t i = 0; i < a->recipients.count; i++)
		envelope_add_recipient(e, a->recipients.items[i]);
	e->class = mail->text.text.bulk ? CLASS_BULK : CLASS_NORMAL;
	envelope_add_hop(e, b->fetch->config.host, clock_now(), HOP_POP3);
	buf_init(&server, LIMIT_CLIENT);
	peer_literal(b->server.host, &server);
	envelope_hop_client(e, buf_string(&server));
	buf_release(&server);
}

static void log_lost(const struct fetch_mail *mail, const struct id *id)
{
	struct log_line line;
	char text[LIMIT_ID];

	if (mail->text.address.lost == NULL)
		return;
	id_print(id, text);
	log_begin(&line, &mail->box->fetch->queue.log, text, "untold");
	log_text(&line, "box", mail->box->section->name);
	log_text(&line, "recipient", mail->box->section->to);
	log_text(&line, "reason", mail->text.address.lost);
	log_end(&line);
}

static enum outcome lay(struct fetch_mail *mail, struct error *err)
{
	struct fetch_box *b = mail->box;
	const struct fetch_message *m = message_of(b, mail->number);
	struct fetched_item item = {.kind = FETCHED_MAIL, .uid = (char *)m->uid, .octets = m->octets};
	struct envelope e;
	uint64_t size;
	enum outcome outcome;

	memcpy(item.digest, mail->text.digest, sizeof item.digest);
	envelope_init(&e);
	envelope_fill(&e, mail);
	size = mail->text.text.size;
	outcome = fetched_lay(&b->state, &mail->handover, &e, &item, err);
	if (outcome == OUTCOME_DONE) {
		laid(b, mail->number);
		log_lost(mail, &b->state.items[b->state.count - 1].id);
		b->counts.taken++;
		b->counts.octets += size;
	}
	envelope_release(&e);
	return outcome;
}

enum outcome fetch_mail_end(struct fetch_mail *mail, size_t *known, struct error *err)
{
	struct fetch_box *b = mail->box;
	struct fetch_message *m = message_of(b, mail->number);
	enum outcome outcome = fetch_text_end(&mail->text, err);

	*known = FETCH_UNKNOWN;
	if (outcome != OUTCOME_DONE)
		return outcome;
	*known = fetch_plan_match(&b->plan, &b->state, m, FETCHED_MAIL, mail->text.digest);
	if (*known == FETCH_UNKNOWN)
		return lay(mail, err);
	m->item = *known;
	fetch_plan_met(&b->state, m);
	if (b->state.items[*known].octets != m->octets) {
		b->state.items[*known].octets = m->octets;
		b->state.changed = true;
	}
	b->counts.again++;
	return OUTCOME_DONE;
}

/* ---- notices ---------------------------------------------------------------------------------------------- */

static enum outcome notice_write(struct fetch_box *b, struct handover *h, const struct envelope *e, struct view head,
    uint64_t octets, const char *why, const char *subject, struct error *err)
{
	struct fetch_notice notice = {
	    .id = e->id,
	    .domain = config_mail_name(&b->fetch->config, NULL),
	    .to = e->recipients[0].address,
	    .box = b->section->name,
	    .server = b->server.host,
	    .user = b->section->user,
	    .head = head,
	    .octets = octets,
	    .why = why,
	    .subject = subject,
	    .now = clock_now(),
	};

	return fetch_notice_write(&notice, handover_sink(h), err);
}

static enum outcome notice_address(
    struct fetch_box *b, const char *to, struct view head, struct envelope *e, struct error *err)
{
	struct fetch_address a;
	enum outcome outcome;

	e->sender = mem_string("");
	envelope_add_hop(e, b->fetch->config.host, clock_now(), HOP_REPORT);
	if (to != NULL) {
		envelope_add_recipient(e, to);
		return OUTCOME_DONE;
	}
	outcome = fetch_address_read(&a, &b->fetch->config, b->section, &b->fetch->queue.mail, head, err);
	for (size_t i = 0; i < a.recipients.count; i++)
		envelope_add_recipient(e, a.recipients.items[i]);
	fetch_address_release(&a);
	return outcome;
}

enum outcome fetch_notice_lay(struct fetch_box *b, size_t number, const char *to, struct view head, uint64_t octets,
    const char *why, const char *subject, struct error *err)
{
	const struct fetch_message *m = message_of(b, number);
	struct fetched_item item = {.kind = FETCHED_NOTICE, .uid = (char *)m->uid, .octets = octets};
	struct handover h;
	struct envelope e;
	enum outcome outcome;

	if (head.length > 0)
		fetch_digest(head, item.digest);
	envelope_init(&e);
	handover_begin_small(&b->fetch->queue, &h, FETCH_SMALL);
	outcome = queue_space(&b->fetch->queue, FETCH_SMALL, err);
	if (outcome == OUTCOME_DONE)
		outcome = notice_address(b, to, head, &e, err);
	if (outcome == OUTCOME_DONE)
		outcome = queue_next_id(&b->fetch->queue, MAIL_NUMBERS, &e.id, err);
	if (outcome == OUTCOME_DONE)
		outcome =
		    notice_write(b, &h, &e, head, octets == FETCHED_ANY_SIZE ? m->octets : octets, why, subject, err);
	if (outcome == OUTCOME_DONE)
		outcome = fetched_lay(&b->state, &h, &e, &item, err);
	if (outcome == OUTCOME_DONE) {
		laid(b, number);
		b->counts.notices++;
	}
	handover_abort(&h);
	envelope_release(&e);
	return outcome;
}
