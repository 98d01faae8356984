#include "tools/tracing.h"

#include "lib/alloc.h"
#include "lib/text.h"

static const char *const state_names[] = {
    "accepted", "waiting", "forwarded", "delivered", "deleted", "relayed", "expanded", "failed", "removed"};

const char *trace_state_name(enum trace_state state)
{
	return state_names[state];
}

void trace_init(struct trace *t, const struct id *id)
{
	*t = (struct trace){.id = *id};
	id_print(id, t->text);
}

void trace_release(struct trace *t)
{
	for (size_t i = 0; i < t->recipient_count; i++) {
		struct trace_recipient *r = &t->recipients[i];

		free(r->address);
		free(r->at);
		free(r->status);
		free(r->reason);
		free(r->neighbour);
	}
	for (size_t i = 0; i < t->batch_count; i++)
		free(t->batches[i].neighbour);
	for (size_t i = 0; i < t->step_count; i++) {
		free(t->steps[i].at);
		free(t->steps[i].event);
		free(t->steps[i].recipient);
		free(t->steps[i].text);
	}
	free(t->recipients);
	free(t->batches);
	free(t->steps);
	free(t->sender);
	*t = (struct trace){.id = t->id};
}

/* ---- which lines ----------------------------------------------------------------------------------------- */

/* "ID", or the file of one of its records or parts: "ID+0", "ID=2". */
static bool names_message(const struct trace *t, const char *id, size_t length)
{
	size_t own = strlen(t->text);

	return length >= own && memcmp(id, t->text, own) == 0 && (length == own || strchr("+=~", id[own]) != NULL);
}

static bool batch_event(const char *event, size_t length)
{
	static const char *const events[] = {"made", "sent", "stopped", "acknowledged", "dissolved"};

	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
		if (strlen(events[i]) == length && memcmp(events[i], event, length) == 0)
			return true;
	return false;
}

bool trace_wants(const struct trace *t, struct view line)
{
	const char *text = (const char *)line.bytes;
	const char *space = memchr(text, ' ', line.length);
	const char *end;

	if (space == NULL)
		return false;
	if (names_message(t, text, (size_t)(space - text)))
		return true;
	if (t->batch_count == 0)
		return false;
	end = memchr(space + 1, ' ', line.length - (size_t)(space + 1 - text));
	return end != NULL && batch_event(space + 1, (size_t)(end - space - 1));
}

/* ---- recipients and batches ------------------------------------------------------------------------------ */

/* A batch may have the same label as a message: they are numbered apart. This line is about a batch of a neighbour. */
static bool foreign_batch(const struct log_fields *line)
{
	return strcmp(line->event, "received") == 0 || log_field(line, "from") != NULL;
}

static struct trace_recipient *recipient_new(struct trace *t, const char *address)
{
	struct trace_recipient *r;

	t->recipients = mem_grow(t->recipients, t->recipient_count, &t->recipient_capacity, sizeof *r);
	r = &t->recipients[t->recipient_count++];
	*r = (struct trace_recipient){.address = mem_string(address)};
	return r;
}

/* By index where the line has one: the address may be another after a bang path or an alias. */
static struct trace_recipient *recipient_of(struct trace *t, const struct log_fields *line)
{
	const char *address = log_field(line, "recipient");
	uint64_t index = 0;
	bool indexed = log_field_number(line, "index", &index);
	struct trace_recipient *r = NULL;
	char number[40];

	for (size_t i = 0; i < t->recipient_count && indexed && r == NULL; i++)
		if (t->recipients[i].indexed && t->recipients[i].index == index)
			r = &t->recipients[i];
	for (size_t i = 0; i < t->recipient_count && address != NULL && r == NULL; i++)
		if ((!indexed || !t->recipients[i].indexed) && strcmp(t->recipients[i].address, address) == 0)
			r = &t->recipients[i];
	if (r == NULL && address == NULL && !indexed)
		return NULL;
	if (r == NULL) {
		snprintf(number, sizeof number, "recipient number %llu", (unsigned long long)index);
		r = recipient_new(t, address != NULL ? address : number);
	}
	if (indexed) {
		r->indexed = true;
		r->index = index;
	}
	if (!r->named && address != NULL) {
		free(r->address);
		r->address = mem_string(address);
	}
	r->named = r->named || address != NULL;
	return r;
}

static void set(char **place, const char *text)
{
	char *copy = mem_string(text);

	free(*place);
	*place = copy;
}

static void recipient_set(struct trace_recipient *r, enum trace_state state, const struct log_fields *line)
{
	r->state = state;
	r->told = false;
	set(&r->at, log_field(line, "at"));
	set(&r->status, log_field(line, "status"));
	set(&r->reason, log_field(line, "reason"));
}

static void packed(struct trace *t, const char *neighbour, uint64_t sequence)
{
	for (size_t i = 0; i < t->batch_count; i++)
		if (t->batches[i].sequence == sequence && strcmp(t->batches[i].neighbour, neighbour) == 0)
			return;
	t->batches = mem_grow(t->batches, t->batch_count, &t->batch_capacity, sizeof t->batches[0]);
	t->batches[t->batch_count++] = (struct trace_batch){.neighbour = mem_string(neighbour), .sequence = sequence};
}

/* The batch of this line, if the message is in it. */
static const struct trace_batch *batch_of(struct trace *t, const struct log_fields *line)
{
	const char *neighbour = log_field(line, "neighbour");
	struct trace_batch *found = NULL;
	size_t count = 0;
	struct id label;

	if (!id_parse(view_text(line->id), &label))
		return NULL;
	for (size_t i = 0; i < t->batch_count; i++) {
		struct trace_batch *b = &t->batches[i];

		if (b->sequence != label.sequence || (b->known && b->incarnation != label.incarnation) ||
		    (neighbour != NULL && strcmp(neighbour, b->neighbour) != 0))
			continue;
		found = b;
		count++;
	}
	/* Where the line does not say whose batch it was, the number must be enough. */
	if (count != 1)
		return NULL;
	found->known = true;
	found->incarnation = label.incarnation;
	return found;
}

/* ---- the story ------------------------------------------------------------------------------------------- */

static void step_add(struct trace *t, const struct log_fields *line, const char *recipient, char *text)
{
	t->steps = mem_grow(t->steps, t->step_count, &t->step_capacity, sizeof t->steps[0]);
	t->steps[t->step_count++] = (struct trace_step){
	    mem_string(log_field(line, "at")), mem_string(line->event), mem_string(recipient), text};
}

/* "5.1.1 no such user", as much as the line has of it, after ", ". */
static char *result_text(const struct log_fields *line, const char *what)
{
	const char *status = log_field(line, "status");
	const char *reason = log_field(line, "reason");

	return mem_format("%s%s%s%s%s", what, status != NULL || reason != NULL ? ": " : "",
	    status != NULL ? status : "", status != NULL && reason != NULL ? " " : "", reason != NULL ? reason : "");
}

/* How it came here, as much as the line has of it. */
static char *arrival_text(const struct log_fields *line)
{
	const char *neighbour = log_field(line, "neighbour");
	const char *batch = log_field(line, "batch");
	const char *box = log_field(line, "box");
	const char *uid = log_field(line, "uid");
	const char *client = log_field(line, "client");
	const char *user = log_field(line, "user");

	if (strcmp(line->event, "taken") == 0)
		return mem_format(
		    "came from %s in batch %s", neighbour != NULL ? neighbour : "?", batch != NULL ? batch : "?");
	if (box != NULL)
		return mem_format("fetched from box %s%s%s", box, uid != NULL ? ", as " : "", uid != NULL ? uid : "");
	if (client != NULL && strcmp(client, "local") == 0)
		client = "this host";
	return mem_format("accepted%s%s%s%s", client != NULL ? " from " : "", client != NULL ? client : "",
	    user != NULL ? ", user " : "", user != NULL ? user : "");
}

static void feed_arrival(struct trace *t, const struct log_fields *line)
{
	const char *sender = log_field(line, "sender");
	const char *recipient = log_field(line, "recipient");
	const char *count = log_field(line, "recipients");
	const char *size = log_field(line, "size");
	char *from = arrival_text(line);

	set(&t->sender, sender);
	log_field_number(line, "size", &t->size);
	if (recipient != NULL)
		recipient_set(recipient_of(t, line), TRACE_ACCEPTED, line);
	step_add(t, line, NULL,
	    mem_format("%s: %s to %s%s, %s octets", from, sender != NULL ? sender : "?",
		recipient != NULL ? recipient
		: count != NULL	  ? count
				  : "?",
		recipient == NULL ? " recipients" : "", size != NULL ? size : "?"));
	free(from);
}

static void feed_packed(struct trace *t, const struct log_fields *line, struct trace_recipient *r)
{
	const char *neighbour = log_field(line, "neighbour");
	uint64_t sequence = 0;

	if (neighbour == NULL || !log_field_number(line, "batch", &sequence))
		return;
	packed(t, neighbour, sequence);
	recipient_set(r, TRACE_WAITING, line);
	set(&r->neighbour, neighbour);
	step_add(
	    t, line, r->address, mem_format("packed in batch %llu for %s", (unsigned long long)sequence, neighbour));
}

/* What a neighbour told, of itself or of hosts behind it. */
static void feed_learned(struct trace *t, const struct log_fields *line, struct trace_recipient *r)
{
	const char *fate = log_field(line, "fate");
	const char *neighbour = log_field(line, "neighbour");
	const char *status = log_field(line, "status");
	enum trace_state state = TRACE_FORWARDED;

	if (fate == NULL)
		return;
	for (size_t i = 0; i < sizeof state_names / sizeof state_names[0]; i++)
		if (strcmp(fate, state_names[i]) == 0)
			state = (enum trace_state)i;
	recipient_set(r, state, line);
	r->told = true;
	if (neighbour != NULL)
		set(&r->neighbour, neighbour);
	step_add(t, line, r->address,
	    mem_format("%s%s%s%s, says %s", fate, strcmp(fate, "forwarded") == 0 ? " further" : "",
		status != NULL ? " with " : "", status != NULL ? status : "", neighbour != NULL ? neighbour : "?"));
}

/* Ends and delays that this host saw itself. */
static bool feed_own(struct trace *t, const struct log_fields *line, struct trace_recipient *r)
{
	static const struct {
		const char *event;
		enum trace_state state;
		const char *text;
	} table[] = {
	    {"delivered", TRACE_DELIVERED, "delivered to the mailbox here"},
	    {"relayed", TRACE_RELAYED, "relayed to a mail server outside"},
	    {"expanded", TRACE_EXPANDED, "an alias of several, goes on as"},
	    {"reissued", TRACE_EXPANDED, "its id was in doubt, goes on as"},
	    {"failed", TRACE_FAILED, "failed"},
	    {"removed", TRACE_REMOVED, "removed by the operator"},
	    {"deferred", TRACE_WAITING, "deferred"},
	    {"held", TRACE_WAITING, "held"},
	    {"released", TRACE_WAITING, "released"},
	    {"retried", TRACE_WAITING, "made due at once"},
	    {"rerouted", TRACE_WAITING, "to be routed again"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		bool plain = table[i].state == TRACE_DELIVERED || table[i].state == TRACE_REMOVED;

		if (strcmp(line->event, table[i].event) != 0)
			continue;
		/* A mail program may be quicker than the line of who delivered. */
		if (table[i].state != TRACE_DELIVERED || r->state != TRACE_DELETED)
			recipient_set(r, table[i].state, line);
		if (table[i].state != TRACE_WAITING)
			set(&r->neighbour, NULL);
		if (table[i].state == TRACE_EXPANDED)
			step_add(t, line, r->address,
			    mem_format("%s %s", table[i].text, r->reason != NULL ? r->reason : "?"));
		else
			step_add(t, line, r->address,
			    plain ? mem_string(table[i].text) : result_text(line, table[i].text));
		return true;
	}
	return false;
}

static void feed_batch(struct trace *t, const struct log_fields *line, const struct trace_batch *b)
{
	const char *to = log_field(line, "to");
	uint64_t sendings = 0;
	char *what;

	log_field_number(line, "sendings", &sendings);
	if (strcmp(line->event, "sent") == 0)
		what = mem_format("left in %s%s", to != NULL ? to : "?", sendings > 1 ? " once more" : "");
	else if (strcmp(line->event, "dissolved") == 0)
		what = result_text(line, "taken apart, to be packed again");
	else if (strcmp(line->event, "made") == 0)
		what = result_text(line, "made");
	else
		what = result_text(line, line->event);
	step_add(
	    t, line, NULL, mem_format("batch %llu for %s: %s", (unsigned long long)b->sequence, b->neighbour, what));
	free(what);
}

/* What a mail program did in the mailbox here. */
static void feed_deleted(struct trace *t, const struct log_fields *line, struct trace_recipient *r)
{
	const char *user = log_field(line, "user");
	const char *client = log_field(line, "client");

	recipient_set(r, TRACE_DELETED, line);
	set(&r->neighbour, NULL);
	free(r->reason);
	r->reason = mem_format("by user %s at %s", user != NULL ? user : "?", client != NULL ? client : "?");
	step_add(t, line, r->address, mem_format("deleted from the mailbox here %s", r->reason));
}

static void feed_recipient(struct trace *t, const struct log_fields *line, struct trace_recipient *r)
{
	if (strcmp(line->event, "packed") == 0) {
		feed_packed(t, line, r);
	} else if (strcmp(line->event, "learned") == 0) {
		feed_learned(t, line, r);
	} else if (strcmp(line->event, "deleted") == 0) {
		feed_deleted(t, line, r);
	} else if (strcmp(line->event, "forwarded") == 0) {
		/* The neighbour is the one that it was packed for. Its word on the end may have come first. */
		if (r->state <= TRACE_FORWARDED)
			recipient_set(r, TRACE_FORWARDED, line);
		step_add(t, line, r->address,
		    mem_format("forwarded: %s has it", r->neighbour != NULL ? r->neighbour : "a neighbour"));
	} else if (!feed_own(t, line, r)) {
		step_add(t, line, r->address, result_text(line, line->event));
	}
}

static void feed_whole(struct trace *t, const struct log_fields *line)
{
	const char *action = log_field(line, "action");
	const char *report = log_field(line, "report");
	const char *to = log_field(line, "to");

	if (strcmp(line->event, "reported") == 0)
		step_add(t, line, NULL,
		    mem_format("report (%s) to %s: %s", action != NULL ? action : "?", to != NULL ? to : "?",
			report != NULL ? report : "?"));
	else if (strcmp(line->event, "duplicate") == 0)
		step_add(t, line, NULL, mem_string("came once more, and was dropped"));
	else if (strcmp(line->event, "returned") == 0)
		step_add(t, line, NULL,
		    mem_format("came back on the same journey, goes on as %s",
			log_field(line, "as") != NULL ? log_field(line, "as") : "?"));
	else if (strcmp(line->event, "corrupt") == 0)
		step_add(t, line, NULL, result_text(line, "set aside as damaged"));
	else
		step_add(t, line, NULL, result_text(line, line->event));
}

void trace_feed(struct trace *t, const struct log_fields *line)
{
	struct trace_recipient *r;
	const struct trace_batch *b;

	if (batch_event(line->event, strlen(line->event))) {
		b = batch_of(t, line);
		if (b != NULL)
			feed_batch(t, line, b);
		return;
	}
	if (!names_message(t, line->id, strlen(line->id)) || foreign_batch(line))
		return;
	if (strcmp(line->event, "accepted") == 0 || strcmp(line->event, "taken") == 0) {
		feed_arrival(t, line);
		return;
	}
	r = recipient_of(t, line);
	if (r != NULL)
		feed_recipient(t, line, r);
	else
		feed_whole(t, line);
}
