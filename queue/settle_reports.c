#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/report.h"
#include "queue/settle_parts.h"

#define REPORT_POSTMASTER "rfc822;postmaster"

/* Was it on its way to postmaster, under that name or where the configuration sends him? */
static bool is_postmaster(const struct settle *s, const struct report_recipient *r)
{
	const char *orcpt = r->recipient->orcpt;

	return text_same(r->recipient->address, "postmaster") ||
	       (orcpt != NULL && text_same(orcpt, REPORT_POSTMASTER)) ||
	       (s->config->postmaster != NULL && (text_same(r->recipient->address, s->config->postmaster) ||
						     text_same(r->address, s->config->postmaster)));
}

/* Which report, if any, an end calls for. */
static bool action_of(enum entry_end end, enum report_action *action)
{
	switch (end) {
	case ENTRY_FAILED:
		*action = REPORT_FAILED;
		return true;
	case ENTRY_DELIVERED:
		*action = REPORT_DELIVERED;
		return true;
	case ENTRY_RELAYED:
		*action = REPORT_RELAYED;
		return true;
	case ENTRY_EXPANDED:
		*action = REPORT_EXPANDED;
		return true;
	case ENTRY_WAITS:
		*action = REPORT_DELAYED;
		return true;
	case ENTRY_FORWARDED:
	case ENTRY_REMOVED:
	case ENTRY_REISSUED:
		break;
	}
	return false;
}

/* Collects the recipients that ACTION is to be reported for into R. */
static void report_collect(const struct settle_item *item, enum report_action action, struct report *r)
{
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct entry_recipient *from = &item->entry.recipients[i];
		const struct recipient *asked = envelope_recipient(&item->message.envelope, from->index);
		enum report_action theirs;

		if (asked == NULL || (from->end != ENTRY_WAITS && !from->fresh) || !action_of(from->end, &theirs) ||
		    theirs != action || !report_wanted(asked, action))
			continue;
		r->recipients[r->recipient_count++] =
		    (struct report_recipient){asked, from->address, from->status, from->reason};
	}
}

static enum outcome report_stage(
    struct settle *s, struct settle_item *item, const struct report *r, const char *to, struct error *err)
{
	struct message_writer w;
	struct envelope e;
	char id[LIMIT_ID];
	char *target;
	enum outcome outcome;

	envelope_init(&e);
	e.id = r->id;
	e.sender = mem_string("");
	e.smtputf8 = item->message.envelope.smtputf8;
	/* Said in a way that an alias of postmaster passes on: see is_postmaster. */
	envelope_add_recipient(&e, to)->orcpt =
	    item->message.envelope.sender[0] == '\0' ? mem_string(REPORT_POSTMASTER) : NULL;
	envelope_add_hop(&e, s->queue->host, clock_now(), HOP_REPORT);
	outcome = message_writer_open(&w, &s->queue->tmp, err);
	message_rewind(&item->message);
	if (outcome == OUTCOME_DONE)
		outcome = report_write(r, &item->message, &w.sink, err);
	if (outcome == OUTCOME_DONE)
		outcome = message_writer_finish(&w, &e, err);
	if (outcome == OUTCOME_DONE) {
		int fd = w.fd;

		w.fd = -1;
		id_print(&r->id, id);
		target = mem_format("queue/new/%s", id);
		outcome = settle_stage(s, item, &s->queue->tmp, w.name, fd, target, err);
		free(target);
	}
	message_writer_abort(&w);
	envelope_release(&e);
	return outcome;
}

/* The failures are taken back: the operator decides. */
static void hold(struct settle_item *item)
{
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		struct entry_recipient *r = &item->entry.recipients[i];

		if (r->end == ENTRY_FAILED && r->fresh) {
			r->end = ENTRY_WAITS;
			r->fresh = false;
		}
	}
	item->hold = true;
}

static enum outcome report_action_for(
    struct settle *s, struct settle_item *item, enum report_action action, struct error *err)
{
	static const char *const names[] = {"failed", "delayed", "delivered", "relayed", "expanded"};
	const char *sender = item->message.envelope.sender;
	bool orphan = sender[0] == '\0';
	const char *to = orphan ? "postmaster" : sender;
	struct report r = {.action = action,
	    .host = s->queue->host,
	    .domain = s->config->domains.count > 0 ? s->config->domains.items[0] : s->queue->host,
	    .to = to,
	    .now = clock_now(),
	    .arrived = item->entry.arrived};
	enum outcome outcome = OUTCOME_DONE;

	/* Nothing is reported about a report, but its failure is brought before postmaster. */
	if ((orphan && action != REPORT_FAILED) || (action == REPORT_RELAYED && item->passed_on))
		return OUTCOME_DONE;
	if (action == REPORT_DELAYED && item->expire > 0) {
		uint64_t lived = settle_lived(s, &item->entry);

		r.retry_for = item->expire > lived ? item->expire - lived : 0;
	}
	r.recipients = mem_array(item->entry.recipient_count, sizeof r.recipients[0]);
	report_collect(item, action, &r);
	if (r.recipient_count > 0 && orphan && is_postmaster(s, &r.recipients[0])) {
		hold(item); /* postmaster itself cannot be reached: nobody is left but the operator */
	} else if (r.recipient_count > 0) {
		outcome = queue_next_id(s->queue, 16, &r.id, err);
		if (outcome == OUTCOME_DONE)
			outcome = report_stage(s, item, &r, to, err);
		if (outcome == OUTCOME_DONE) {
			item->reports[item->report_count++] = (struct settle_report){r.id, names[action]};
			if (*s->reports_left > 0)
				(*s->reports_left)--;
		}
	}
	free(r.recipients);
	return outcome;
}

enum outcome settle_reports_make(struct settle *s, struct settle_item *item, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (int action = REPORT_FAILED; action <= REPORT_EXPANDED && outcome == OUTCOME_DONE; action++) {
		if ((item->reported >> action & 1) != 0 || (action == REPORT_DELAYED && !item->warning))
			continue;
		outcome = report_action_for(s, item, (enum report_action)action, err);
		if (outcome == OUTCOME_DONE)
			item->reported |= 1U << action;
	}
	item->unreported = outcome != OUTCOME_DONE;
	item->entry.ended = !entry_waits(&item->entry) && !item->hold;
	return outcome;
}

void settle_reports_log(struct settle *s, const struct settle_item *item)
{
	char about[LIMIT_ID];

	id_print(&item->entry.id, about);
	for (size_t i = 0; i < item->report_count; i++) {
		struct log_line line;
		char id[LIMIT_ID];

		id_print(&item->reports[i].id, id);
		log_begin(&line, &s->queue->log, about, "reported");
		log_text(&line, "action", item->reports[i].action);
		log_text(&line, "report", id);
		log_text(&line, "to",
		    item->message.envelope.sender[0] == '\0' ? "postmaster" : item->message.envelope.sender);
		log_end(&line);
	}
}
