/* `packetboat list`: the records of the queue as they are found, nothing is kept in memory. */
#include "lib/text.h"
#include "queue/hop.h"
#include "tools/command.h"
#include "tools/select.h"
#include "tools/trouble.h"

struct listing {
	struct tool *tool;
	struct selection selection;
	struct troubles troubles;
	struct buf reason;
	struct buf recipients;
};

static void line_print(struct listing *l, const struct queue_place *place, const struct entry *e)
{
	char id[LIMIT_ID];
	char age[24];

	id_print(&e->id, id);
	duration_print(entry_age(e, &l->tool->age), age);
	buf_clear(&l->recipients);
	for (size_t i = 0; i < e->recipient_count; i++)
		if (e->recipients[i].end == ENTRY_WAITS)
			buf_format(
			    &l->recipients, "%s%s", l->recipients.length > 0 ? "," : "", e->recipients[i].address);
	printf("%-24s %-16s %-6s %8llu %4s ", id, place->hop, class_name(e->class), (unsigned long long)e->size, age);
	print_column(e->sender[0] == '\0' ? "<>" : e->sender, 24);
	putchar(' ');
	print_column(buf_string(&l->recipients), 24);
	putchar(' ');
	print_visible(buf_string(&l->reason));
	putchar('\n');
}

static const char *state_name(const struct queue_place *place)
{
	if (strcmp(place->hop, "hold") == 0)
		return "held";
	if (strcmp(place->hop, "new") == 0)
		return "new";
	if (text_starts(place->within, "batch-"))
		return "batch";
	if (text_starts(place->within, "work-"))
		return "delivering";
	return text_starts(place->within, "due-") ? "deferred" : "ready";
}

static json_t *recipients_json(const struct entry *e)
{
	json_t *array = json_array();

	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct entry_recipient *r = &e->recipients[i];
		json_t *one;

		if (r->end != ENTRY_WAITS)
			continue;
		one = json_object();
		json_text(one, "address", r->address);
		json_number(one, "index", r->index);
		json_text(one, "status", r->status[0] != '\0' ? r->status : NULL);
		json_text(one, "reason", r->reason);
		json_array_append_new(array, one);
	}
	return array;
}

static void object_print(struct listing *l, const struct queue_place *place, const struct entry *e)
{
	json_t *object = json_object();
	char id[LIMIT_ID];
	uint32_t incarnation;
	uint64_t sequence;

	id_print(&e->id, id);
	json_text(object, "id", id);
	json_text(object, "hop", place->hop);
	json_text(object, "state", state_name(place));
	if (within_batch(place->within, &incarnation, &sequence))
		json_number(object, "batch", sequence);
	json_text(object, "class", class_name(e->class));
	json_number(object, "size", e->size);
	json_number(object, "age", entry_age(e, &l->tool->age));
	json_time(object, "arrived", e->arrived);
	json_text(object, "sender", e->sender);
	json_object_set_new(object, "recipients", recipients_json(e));
	json_number(object, "attempts", e->attempts);
	json_text(object, "from", e->neighbour);
	json_text(object, "reason", buf_string(&l->reason));
	print_json(object);
}

static bool show(void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct listing *l = context;

	if (e == NULL) {
		tool_say_error(l->tool, err);
		return true;
	}
	if (!select_entry(&l->selection, e, &l->tool->age))
		return true;
	buf_clear(&l->reason);
	trouble_reason(&l->troubles, place, e, &l->reason);
	if (l->tool->json)
		object_print(l, place, e);
	else
		line_print(l, place, e);
	return !ferror(stdout);
}

/* The directory that --hop means: a hop's name, or a neighbour's. A word that is neither is a typing error. */
static enum outcome hop_resolve(
    const struct tool *t, const char *word, char out[static LIMIT_HOST_NAME + 16], struct error *err)
{
	static const char *const fixed[] = {"new", "local", "hold", "failed", "smtp", "lmtp", "expand", "removed"};
	struct names hops = {0};
	bool known = false;
	enum outcome outcome = hop_list(&t->queue, &hops, err);

	snprintf(
	    out, LIMIT_HOST_NAME + 16, "%s%s", config_neighbour(&t->config, word) != NULL ? "neighbour-" : "", word);
	for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
		known |= strcmp(fixed[i], out) == 0;
	known |= names_contain(&hops, out) ||
		 (hop_neighbour(out) != NULL && config_neighbour(&t->config, hop_neighbour(out)) != NULL);
	names_release(&hops);
	if (outcome == OUTCOME_DONE && !known)
		return error_set(err, EX_DATAERR, "there is no hop and no neighbour \"%s\" here", word);
	return outcome;
}

enum outcome command_list(struct tool *t, struct error *err)
{
	struct listing l = {.tool = t, .troubles.spool = &t->queue.spool};
	const char *hop = NULL;
	const char *class = NULL;
	char directory[LIMIT_HOST_NAME + 16];
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}, {"hop", OPTION_TEXT, &hop},
	    {"sender", OPTION_TEXT, &l.selection.sender}, {"recipient", OPTION_TEXT, &l.selection.recipient},
	    {"older", OPTION_TIME, &l.selection.older}, {"class", OPTION_TEXT, &class}};
	enum outcome outcome = tool_options(t, options, sizeof options / sizeof options[0], 0, 0, "", err);

	if (outcome == OUTCOME_DONE && class != NULL) {
		l.selection.by_class = class_parse(class, &l.selection.class);
		if (!l.selection.by_class)
			outcome = tool_usage(t, err, "\"%s\" is not a class: urgent, normal or bulk", class);
	}
	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome == OUTCOME_DONE && hop != NULL)
		outcome = hop_resolve(t, hop, directory, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	buf_init(&l.reason, LIMIT_ENTRY);
	buf_init(&l.recipients, LIMIT_ENTRY);
	outcome = queue_walk(&t->queue, hop != NULL ? directory : NULL, show, &l, err);
	troubles_release(&l.troubles);
	buf_release(&l.reason);
	buf_release(&l.recipients);
	return outcome;
}
