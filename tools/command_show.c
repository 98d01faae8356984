/* `packetboat show`: one message that waits, its envelope and its records; or its content as it is carried. */
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/header.h"
#include "tools/command.h"
#include "tools/select.h"
#include "tools/trouble.h"

struct showing {
	struct tool *tool;
	struct troubles troubles;
	size_t records;
	struct queue_place first; /* any of them leads to the content */
};

static void field(const char *name, const char *value)
{
	if (value == NULL)
		return;
	printf("%-11s ", name);
	print_visible(value);
	putchar('\n');
}

static void field_time(const char *name, int64_t seconds)
{
	char text[DATE_TEXT];

	if (seconds == 0)
		return;
	date_rfc3339(seconds, text);
	field(name, text);
}

/* ---- the envelope ---------------------------------------------------------------------------------------- */

static const char *const bodies[] = {[BODY_7BIT] = "7bit", [BODY_8BIT] = "8bit", [BODY_BINARY] = "binary"};
static const char *const returns[] = {[RETURN_UNSET] = NULL, [RETURN_FULL] = "full", [RETURN_HEADERS] = "headers"};

static void envelope_print(const struct envelope *e)
{
	char id[LIMIT_ID];
	char text[64];

	id_print(&e->id, id);
	field("id", id);
	field("sender", e->sender[0] == '\0' ? "<>" : e->sender);
	field("class", class_name(e->class));
	snprintf(text, sizeof text, "%llu", (unsigned long long)e->size);
	field("size", text);
	field("body", bodies[e->body]);
	field("smtputf8", e->smtputf8 ? "yes" : NULL);
	field("return", returns[e->ret]);
	field("envid", e->envid);
	if (e->lifetime > 0) {
		duration_print(e->lifetime, text);
		field("lifetime", text);
	}
	if (e->neighbour != NULL) {
		snprintf(
		    text, sizeof text, "%s, in its batch %llu", e->neighbour, (unsigned long long)e->batch_sequence);
		field("from", text);
	}
	for (size_t i = 0; i < e->hop_count; i++) {
		char when[DATE_TEXT];
		char *hop;

		date_rfc3339(e->hops[i].time, when);
		hop = mem_format("%s %s%s%s", e->hops[i].host, when, e->hops[i].client != NULL ? " from " : "",
		    e->hops[i].client != NULL ? e->hops[i].client : "");
		field("hop", hop);
		free(hop);
	}
}

static void envelope_json(const struct envelope *e, json_t *object)
{
	json_t *hops = json_array();
	char id[LIMIT_ID];

	id_print(&e->id, id);
	json_text(object, "id", id);
	json_text(object, "sender", e->sender);
	json_text(object, "class", class_name(e->class));
	json_number(object, "size", e->size);
	json_text(object, "body", bodies[e->body]);
	json_object_set_new(object, "smtputf8", json_boolean(e->smtputf8));
	json_text(object, "return", returns[e->ret]);
	json_text(object, "envid", e->envid);
	if (e->lifetime > 0)
		json_number(object, "lifetime", e->lifetime);
	json_text(object, "from", e->neighbour);
	if (e->neighbour != NULL)
		json_number(object, "from_batch", e->batch_sequence);
	for (size_t i = 0; i < e->hop_count; i++) {
		json_t *hop = json_object();

		json_text(hop, "host", e->hops[i].host);
		json_time(hop, "time", e->hops[i].time);
		if (e->hops[i].client != NULL)
			json_text(hop, "client", e->hops[i].client);
		json_array_append_new(hops, hop);
	}
	json_object_set_new(object, "hops", hops);
}

/* ---- the records ----------------------------------------------------------------------------------------- */

static void recipient_print(const struct entry_recipient *r, const struct envelope *e)
{
	const struct recipient *asked = envelope_recipient(e, r->index);
	char notify[32];

	fputs("recipient   ", stdout);
	print_visible(r->address);
	if (asked != NULL && strcmp(asked->address, r->address) != 0) {
		fputs(" (asked for as ", stdout);
		print_visible(asked->address);
		putchar(')');
	}
	printf(" %s", entry_end_name(r->end));
	if (r->reason != NULL) {
		printf(": %s ", r->status);
		print_visible(r->reason);
	}
	if (asked != NULL && asked->notify != 0) {
		notify_print(asked->notify, notify);
		printf(" [notify %s]", notify);
	}
	putchar('\n');
}

static void record_print(
    struct showing *s, const struct queue_place *place, const struct entry *e, const struct envelope *envelope)
{
	const struct age *age = &s->tool->age;
	struct buf reason;
	char text[24];

	buf_init(&reason, LIMIT_ENTRY);
	trouble_reason(&s->troubles, place, e, &reason);
	printf("\nlies        queue/%s%s%s/%s\n", place->hop, place->within[0] != '\0' ? "/" : "", place->within,
	    place->name);
	field("waits", buf_string(&reason));
	field_time("arrived", e->arrived);
	duration_print(entry_age(e, age), text);
	field("age", text);
	if (e->attempts > 0) {
		snprintf(text, sizeof text, "%u", (unsigned)e->attempts);
		field("attempts", text);
		field_time("last tried", e->last_tried);
	}
	if (e->due_age > age->now) {
		duration_print(e->due_age - age->now, text);
		field("due in", text);
	}
	for (size_t i = 0; i < e->recipient_count; i++)
		recipient_print(&e->recipients[i], envelope);
	buf_release(&reason);
}

static void record_json(
    const struct showing *s, const struct queue_place *place, const struct entry *e, const struct envelope *envelope)
{
	json_t *object = json_object();
	json_t *recipients = json_array();

	envelope_json(envelope, object);
	json_text(object, "hop", place->hop);
	json_text(object, "within", place->within[0] != '\0' ? place->within : NULL);
	json_text(object, "record", place->name);
	json_time(object, "arrived", e->arrived);
	json_number(object, "age", entry_age(e, &s->tool->age));
	json_number(object, "attempts", e->attempts);
	json_time(object, "last_tried", e->last_tried);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct entry_recipient *r = &e->recipients[i];
		const struct recipient *asked = envelope_recipient(envelope, r->index);
		json_t *one = json_object();

		json_text(one, "address", r->address);
		json_text(one, "asked", asked != NULL ? asked->address : NULL);
		json_number(one, "index", r->index);
		json_text(one, "state", entry_end_name(r->end));
		json_text(one, "status", r->status[0] != '\0' ? r->status : NULL);
		json_text(one, "reason", r->reason);
		json_array_append_new(recipients, one);
	}
	json_object_set_new(object, "recipients", recipients);
	print_json(object);
}

static bool show(void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct showing *s = context;
	struct tool *t = s->tool;
	struct error why = ERROR_NONE;
	struct message m;

	if (e == NULL) {
		tool_say_error(t, err);
		return true;
	}
	if (queue_message(&t->queue, place, MESSAGE_TRUST, &m, &why) != OUTCOME_DONE) {
		tool_say_error(t, &why);
	} else if (t->json) {
		record_json(s, place, e, &m.envelope);
	} else {
		if (s->records == 0)
			envelope_print(&m.envelope);
		record_print(s, place, e, &m.envelope);
	}
	message_close(&m);
	s->records++;
	return true;
}

/* ---- the content ----------------------------------------------------------------------------------------- */

static bool remember(void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct showing *s = context;

	(void)e;
	(void)err;
	s->first = *place;
	s->records++;
	return false;
}

static enum outcome headers_copy(struct message *m, struct sink *out, struct error *err)
{
	struct buf section;
	struct buf extra;
	enum outcome outcome;

	buf_init(&section, LIMIT_HEADER_SECTION);
	buf_init(&extra, LIMIT_HEADER_SECTION + COPY_CHUNK);
	outcome = header_read(&m->content.source, &section, &extra, err);
	if (outcome == OUTCOME_DONE || section.length > 0)
		outcome = sink_view(out, view_buf(&section), err);
	buf_release(&section);
	buf_release(&extra);
	return outcome;
}

static enum outcome content_copy(struct showing *s, bool headers, struct error *err)
{
	struct fd_sink out;
	struct message m;
	enum outcome outcome = queue_message(&s->tool->queue, &s->first, MESSAGE_VERIFY, &m, err);

	fd_sink_init(&out, STDOUT_FILENO, "standard output");
	if (outcome == OUTCOME_DONE)
		outcome =
		    headers ? headers_copy(&m, &out.sink, err) : stream_copy(&m.content.source, &out.sink, NULL, err);
	message_close(&m);
	return outcome;
}

enum outcome command_show(struct tool *t, struct error *err)
{
	bool content = false;
	bool headers = false;
	const struct tool_option options[] = {
	    {"content", OPTION_FLAG, &content}, {"headers", OPTION_FLAG, &headers}, {"json", OPTION_FLAG, &t->json}};
	struct showing s = {.tool = t, .troubles.spool = &t->queue.spool};
	struct id id;
	enum outcome outcome = tool_options(t, options, 3, 1, 1, "an id", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_id(t->words[0], &id, err);
	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = queue_find(&t->queue, &id, content || headers ? remember : show, &s, err);
	if (outcome == OUTCOME_DONE && s.records == 0 && t->code == EX_OK)
		outcome = error_set(err, EX_DATAERR,
		    "there is no message %s in the queue (`packetboat trace` tells what became of it)", t->words[0]);
	if (outcome == OUTCOME_DONE && s.records > 0 && (content || headers))
		outcome = content_copy(&s, headers, err);
	troubles_release(&s.troubles);
	return outcome;
}
