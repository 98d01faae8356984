/* `packetboat trace`: the life of a message as the log tells it, and where it is now. */
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "tools/command.h"
#include "tools/health.h"
#include "tools/tracing.h"
#include "tools/trouble.h"

/* A record that waits here. */
struct waiting {
	struct queue_place place;
	char *recipients; /* with commas */
	char *reason;
};

struct telling {
	struct tool *tool;
	struct trace trace;
	struct troubles troubles;
	struct log_fields fields;
	struct waiting *waiting;
	size_t count;
	size_t capacity;
};

static bool feed(void *context, struct view line)
{
	struct telling *l = context;

	if (trace_wants(&l->trace, line) && log_fields_parse(&l->fields, line))
		trace_feed(&l->trace, &l->fields);
	return true;
}

static enum outcome read_logs(struct telling *l, struct error *err)
{
	const struct dir *spool = &l->tool->queue.spool;
	struct names files;
	enum outcome outcome = log_files(spool, &files, err);

	for (size_t i = 0; i < files.count && outcome == OUTCOME_DONE; i++)
		outcome = log_read(spool, files.items[i], feed, l, err);
	names_release(&files);
	return outcome;
}

static bool found(void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct telling *l = context;
	struct waiting *w;
	struct buf names;
	struct buf reason;

	l->waiting = mem_grow(l->waiting, l->count, &l->capacity, sizeof *w);
	w = &l->waiting[l->count++];
	*w = (struct waiting){.place = *place};
	if (e == NULL) {
		w->recipients = mem_string("?");
		w->reason = mem_string(err->text);
		return true;
	}
	buf_init(&names, LIMIT_ENTRY);
	buf_init(&reason, LIMIT_ENTRY);
	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].end == ENTRY_WAITS)
			buf_format(&names, "%s%s", names.length > 0 ? "," : "", e->recipients[i].address);
	trouble_reason(&l->troubles, place, e, &reason);
	w->recipients = buf_detach(&names);
	w->reason = buf_detach(&reason);
	return true;
}

/* ---- what a neighbour knew when ---------------------------------------------------------------------------- */

/* Wall clock of the last word from NAME, 0: never, or nothing is known of it. */
static int64_t last_heard(const struct tool *t, const char *name)
{
	struct peer p;
	int64_t contact = 0;

	if (peer_look(&t->queue, name, &p, NULL) == OUTCOME_DONE)
		contact = p.contact;
	peer_release(&p);
	return contact;
}

static char *knowledge_text(const struct tool *t, const struct trace_recipient *r)
{
	int64_t contact;
	char span[24];

	if (r->neighbour == NULL || (r->state == TRACE_WAITING && !r->told))
		return mem_string("");
	contact = last_heard(t, r->neighbour);
	if (contact == 0)
		return mem_format(" (%s was never heard)", r->neighbour);
	print_span(clock_now() - contact, span);
	return mem_format(" (known as of %s ago, when %s was last heard)", span, r->neighbour);
}

static char *state_text(const struct trace_recipient *r)
{
	const char *status = r->status != NULL ? r->status : "";
	const char *reason = r->reason != NULL ? r->reason : "";
	const char *who = r->neighbour != NULL ? r->neighbour : "a neighbour";

	switch (r->state) {
	case TRACE_FORWARDED:
		return r->told ? mem_format("forwarded further by %s", who) : mem_format("forwarded, %s has it", who);
	case TRACE_DELIVERED:
		return r->told ? mem_format("delivered, says %s", who) : mem_string("delivered here");
	case TRACE_DELETED:
		return mem_format("delivered here, and deleted from the mailbox %s", reason);
	case TRACE_RELAYED:
		return mem_string("relayed to a mail server outside");
	case TRACE_EXPANDED:
		return mem_format("goes on as %s", reason);
	case TRACE_FAILED:
		return mem_format("failed%s%s%s%s%s%s", status[0] != '\0' ? " with " : "", status,
		    reason[0] != '\0' ? ": " : "", reason, r->told ? ", says " : "", r->told ? who : "");
	case TRACE_REMOVED:
		return r->told ? mem_format("removed by an operator, says %s", who)
			       : mem_string("removed by the operator");
	case TRACE_WAITING:
	case TRACE_ACCEPTED:
		break;
	}
	return mem_string(NULL);
}

/* Is there a record that says more than the log about a recipient that has not ended? */
static bool open_state(enum trace_state state)
{
	return state == TRACE_WAITING || state == TRACE_ACCEPTED;
}

/* What is known of a record on its way to a neighbour: when it left, and when there was last a word from there. */
static char *departure_text(const struct tool *t, const struct queue_place *place)
{
	const char *neighbour = hop_neighbour(place->hop);
	const struct peer_batch *b = NULL;
	uint32_t incarnation;
	uint64_t sequence;
	char sent[24];
	char heard[24];
	struct peer p;
	char *text;

	if (neighbour == NULL)
		return mem_string("");
	if (peer_look(&t->queue, neighbour, &p, NULL) == OUTCOME_DONE &&
	    within_batch(place->within, &incarnation, &sequence) && incarnation == p.incarnation)
		b = peer_out(&p, sequence);
	print_span(b != NULL ? clock_now() - b->sent : 0, sent);
	print_span(clock_now() - p.contact, heard);
	text = mem_format(" (%s%s%s%s was %s%s%s)", b != NULL && b->sent != 0 ? "last left for it " : "",
	    b != NULL && b->sent != 0 ? sent : "", b != NULL && b->sent != 0 ? " ago; " : "", neighbour,
	    p.contact != 0 ? "last heard " : "never heard", p.contact != 0 ? heard : "",
	    p.contact != 0 ? " ago" : "");
	peer_release(&p);
	return text;
}

/* ---- telling --------------------------------------------------------------------------------------------- */

static void column(const char *text)
{
	print_visible(text != NULL ? text : "-");
}

static void tell_story(const struct telling *l)
{
	for (size_t i = 0; i < l->trace.step_count; i++) {
		const struct trace_step *s = &l->trace.steps[i];

		column(s->at);
		putchar(' ');
		if (s->recipient != NULL) {
			print_visible(s->recipient);
			fputs(": ", stdout);
		}
		print_visible(s->text);
		putchar('\n');
	}
}

static void tell_now(const struct telling *l)
{
	puts("now:");
	for (size_t i = 0; i < l->trace.recipient_count; i++) {
		const struct trace_recipient *r = &l->trace.recipients[i];
		char *state = state_text(r);
		char *knowledge = knowledge_text(l->tool, r);

		if (state != NULL) {
			printf("  ");
			print_visible(r->address);
			fputs(": ", stdout);
			print_visible(state);
			puts(knowledge);
		}
		free(state);
		free(knowledge);
	}
	for (size_t i = 0; i < l->count; i++) {
		const struct waiting *w = &l->waiting[i];
		char *departure = departure_text(l->tool, &w->place);

		fputs("  ", stdout);
		print_visible(w->recipients);
		printf(": waits in %s: ", w->place.hop);
		print_visible(w->reason);
		puts(departure);
		free(departure);
	}
	for (size_t i = 0; i < l->trace.recipient_count && l->count == 0; i++)
		if (open_state(l->trace.recipients[i].state)) {
			fputs("  ", stdout);
			print_visible(l->trace.recipients[i].address);
			puts(": no longer in the queue, and the log does not say what became of it");
		}
}

static void tell_story_json(const struct telling *l)
{
	for (size_t i = 0; i < l->trace.step_count; i++) {
		const struct trace_step *s = &l->trace.steps[i];
		json_t *object = json_object();

		json_text(object, "id", l->trace.text);
		json_text(object, "kind", "event");
		json_text(object, "at", s->at);
		json_text(object, "event", s->event);
		json_text(object, "recipient", s->recipient);
		json_text(object, "text", s->text);
		print_json(object);
	}
}

static void tell_now_json(const struct telling *l)
{
	for (size_t i = 0; i < l->trace.recipient_count; i++) {
		const struct trace_recipient *r = &l->trace.recipients[i];
		json_t *object;

		if (open_state(r->state) && l->count > 0)
			continue;
		object = json_object();
		json_text(object, "id", l->trace.text);
		json_text(object, "kind", "state");
		json_text(object, "recipient", r->address);
		json_text(object, "state", open_state(r->state) ? "unknown" : trace_state_name(r->state));
		json_text(object, "at", r->at);
		json_text(object, "status", r->status);
		json_text(object, "reason", r->reason);
		json_text(object, "neighbour", r->neighbour);
		if (r->neighbour != NULL)
			json_time(object, "heard", last_heard(l->tool, r->neighbour));
		print_json(object);
	}
	for (size_t i = 0; i < l->count; i++) {
		const struct waiting *w = &l->waiting[i];
		json_t *object = json_object();

		json_text(object, "id", l->trace.text);
		json_text(object, "kind", "state");
		json_text(object, "recipient", w->recipients);
		json_text(object, "state", "waiting");
		json_text(object, "hop", w->place.hop);
		json_text(object, "reason", w->reason);
		print_json(object);
	}
}

static enum outcome tell(struct telling *l, const struct id *id, struct error *err)
{
	enum outcome outcome = read_logs(l, err);

	if (outcome == OUTCOME_DONE)
		outcome = queue_find(&l->tool->queue, id, found, l, err);
	if (outcome == OUTCOME_DONE && l->trace.step_count == 0 && l->count == 0)
		outcome =
		    error_set(err, EX_DATAERR, "neither the log nor the queue knows a message %s", l->trace.text);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (l->tool->json) {
		tell_story_json(l);
		tell_now_json(l);
	} else {
		tell_story(l);
		tell_now(l);
	}
	return OUTCOME_DONE;
}

enum outcome command_trace(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct telling l = {.tool = t, .troubles.spool = &t->queue.spool};
	struct id id;
	enum outcome outcome = tool_options(t, options, 1, 1, 1, "an id", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_id(t->words[0], &id, err);
	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	trace_init(&l.trace, &id);
	outcome = tell(&l, &id, err);
	for (size_t i = 0; i < l.count; i++) {
		free(l.waiting[i].recipients);
		free(l.waiting[i].reason);
	}
	free(l.waiting);
	troubles_release(&l.troubles);
	log_fields_release(&l.fields);
	trace_release(&l.trace);
	return outcome;
}
