/* `packetboat hold`, `release`, `retry`, `reroute` and `remove`: the operator's moves, for one message or many. */
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "tools/command.h"
#include "tools/health.h"

struct acting {
	struct tool *tool;
	enum queue_action action;
	const char *verb;
	struct names ids; /* for ALL and for "-" */
};

/* ---- what may have left already -------------------------------------------------------------------------- */

struct leaving {
	struct acting *acting;
	char id[LIMIT_ID];
};

/* Says so when a copy of the record may be on its way to a neighbour. */
static bool warn_of_copy(
    void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct leaving *l = context;
	struct tool *t = l->acting->tool;
	const char *neighbour = hop_neighbour(place->hop);
	struct peer peer;
	uint32_t incarnation;
	uint64_t sequence;
	char span[24];

	(void)e;
	(void)err;
	if (neighbour == NULL || !within_batch(place->within, &incarnation, &sequence))
		return true;
	if (peer_look(&t->queue, neighbour, &peer, NULL) == OUTCOME_DONE) {
		const struct peer_batch *b = incarnation == peer.incarnation ? peer_out(&peer, sequence) : NULL;

		if (b != NULL && b->sent != 0) {
			print_span(clock_now() - b->sent, span);
			tool_say("%s is in batch %llu, which was handed over for %s %s ago: a copy may arrive there "
				 "all the same",
			    l->id, (unsigned long long)sequence, neighbour, span);
		}
	}
	peer_release(&peer);
	return true;
}

/* ---- one message ----------------------------------------------------------------------------------------- */

static bool count_record(
    void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	size_t *count = context;

	(void)place;
	(void)e;
	(void)err;
	(*count)++;
	return true;
}

static void act_on(struct acting *a, const char *text)
{
	struct tool *t = a->tool;
	struct leaving leaving = {.acting = a};
	struct error err = ERROR_NONE;
	struct id id;
	size_t count = 0;
	enum outcome outcome = tool_id(text, &id, &err);

	if (outcome == OUTCOME_DONE)
		id_print(&id, leaving.id);
	if (outcome == OUTCOME_DONE &&
	    (a->action == QUEUE_REROUTE || a->action == QUEUE_REMOVE || a->action == QUEUE_HOLD))
		outcome = queue_find(&t->queue, &id, warn_of_copy, &leaving, &err);
	if (outcome == OUTCOME_DONE && t->dry_run) {
		outcome = queue_find(&t->queue, &id, count_record, &count, &err);
		if (outcome == OUTCOME_DONE && count == 0)
			outcome = error_set(&err, EX_DATAERR, "there is no message %s in the queue", leaving.id);
		if (outcome == OUTCOME_DONE)
			printf("would %s %s\n", a->verb, leaving.id);
	} else if (outcome == OUTCOME_DONE) {
		outcome = queue_act(&t->queue, a->action, &id, &count, &err);
	}
	if (outcome != OUTCOME_DONE)
		tool_say_error(t, &err);
}

/* ---- which ones ------------------------------------------------------------------------------------------ */

/* ALL means all that the command can do something for. */
static bool collect(void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct acting *a = context;
	bool held = strcmp(place->hop, "hold") == 0;
	char id[LIMIT_ID];

	(void)err;
	if (e == NULL || (a->action == QUEUE_RELEASE && !held) || (a->action == QUEUE_HOLD && held) ||
	    (a->action == QUEUE_RETRY && !text_starts(place->within, "due-")))
		return true;
	id_print(&e->id, id);
	if (a->ids.count == 0 || strcmp(a->ids.items[a->ids.count - 1], id) != 0)
		names_add(&a->ids, id);
	return true;
}

static void read_ids(struct acting *a)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) > 0) {
		/* The first word, so that lines of `packetboat list` do. */
		line[strcspn(line, " \t\r\n")] = '\0';
		if (line[0] != '\0')
			names_add(&a->ids, line);
	}
	free(line);
}

static enum outcome act(struct tool *t, enum queue_action action, struct error *err)
{
	struct acting a = {.tool = t, .action = action, .verb = t->command->name};
	enum outcome outcome = tool_options(t, NULL, 0, 1, -1, "an id, \"-\" for ids on standard input, or ALL", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	t->queue.log.echo = t->verbose;
	for (int i = 0; i < t->count; i++)
		if (strcmp(t->words[i], "ALL") == 0 && t->count > 1)
			return tool_usage(t, err, "ALL stands alone");
	if (strcmp(t->words[0], "ALL") == 0) {
		outcome = queue_walk(&t->queue, NULL, collect, &a, err);
		names_sort(&a.ids);
	}
	for (int i = 0; i < t->count && outcome == OUTCOME_DONE; i++) {
		if (strcmp(t->words[i], "-") == 0)
			read_ids(&a);
		else if (strcmp(t->words[i], "ALL") != 0)
			act_on(&a, t->words[i]);
	}
	for (size_t i = 0; i < a.ids.count && outcome == OUTCOME_DONE; i++)
		if (i == 0 || strcmp(a.ids.items[i], a.ids.items[i - 1]) != 0)
			act_on(&a, a.ids.items[i]);
	names_release(&a.ids);
	return outcome;
}

enum outcome command_hold(struct tool *t, struct error *err)
{
	return act(t, QUEUE_HOLD, err);
}

enum outcome command_release(struct tool *t, struct error *err)
{
	return act(t, QUEUE_RELEASE, err);
}

enum outcome command_retry(struct tool *t, struct error *err)
{
	return act(t, QUEUE_RETRY, err);
}

enum outcome command_reroute(struct tool *t, struct error *err)
{
	return act(t, QUEUE_REROUTE, err);
}

enum outcome command_remove(struct tool *t, struct error *err)
{
	return act(t, QUEUE_REMOVE, err);
}
