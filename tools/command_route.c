/* `packetboat route` and `packetboat alias`: which way addresses go. */
#include "tools/command_route.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/route.h"
#include "tools/dropin.h"

/* ---- the order of precedence ----------------------------------------------------------------------------- */

int route_rank(const char *pattern)
{
	if (strcmp(pattern, "*") == 0)
		return 5;
	if (text_starts(pattern, "*."))
		return 4;
	return strchr(pattern, '@') != NULL ? 0 : 1;
}

int route_compare(const void *a, const void *b)
{
	const struct route_line *x = a;
	const struct route_line *y = b;
	size_t long_x = strlen(x->pattern);
	size_t long_y = strlen(y->pattern);

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	/* Of two "*.domain" the longer one decides. */
	if (x->rank == 4 && long_x != long_y)
		return long_x > long_y ? -1 : 1;
	return strcmp(x->pattern, y->pattern);
}

static void line_add(struct route_lines *lines, int rank, const char *pattern, char *via, const char *where)
{
	lines->items = mem_grow(lines->items, lines->count, &lines->capacity, sizeof lines->items[0]);
	lines->items[lines->count++] =
	    (struct route_line){.rank = rank, .pattern = pattern, .via = via, .where = where};
}

static char *via_text(const struct config_route *r)
{
	static const char *const names[] = {
	    [VIA_NEIGHBOUR] = "neighbour", [VIA_SMTP] = "smtp", [VIA_MAILDIR] = "maildir", [VIA_LMTP] = "lmtp"};

	return mem_format("%s%s%s", names[r->via], r->target == NULL ? "" : ":", r->target == NULL ? "" : r->target);
}

static const struct config_route *find_route(const struct config *c, const char *pattern)
{
	for (size_t i = 0; i < c->route_count; i++)
		if (text_same(c->routes[i].pattern, pattern))
			return &c->routes[i];
	return NULL;
}

void route_lines_make(const struct config *c, struct route_lines *lines)
{
	*lines = (struct route_lines){0};
	for (size_t i = 0; i < c->route_count; i++) {
		const struct config_route *r = &c->routes[i];

		line_add(lines, route_rank(r->pattern), r->pattern, via_text(r), r->where);
		lines->items[lines->count - 1].route = r;
	}
	for (size_t i = 0; i < c->domains.count; i++)
		if (find_route(c, c->domains.items[i]) == NULL)
			line_add(lines, 2, c->domains.items[i], mem_string("maildir"), "domains");
	if (!strings_contain(&c->domains, c->host) && find_route(c, c->host) == NULL)
		line_add(lines, 2, c->host, mem_string("maildir"), "host");
	for (size_t i = 0; i < c->neighbour_count; i++)
		if (find_route(c, c->neighbours[i].name) == NULL)
			line_add(lines, 3, c->neighbours[i].name, mem_format("neighbour:%s", c->neighbours[i].name),
			    c->neighbours[i].where);
	if (lines->count > 1)
		qsort(lines->items, lines->count, sizeof lines->items[0], route_compare);
}

void route_lines_release(struct route_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->items[i].via);
	free(lines->items);
	*lines = (struct route_lines){0};
}

/* ---- list ------------------------------------------------------------------------------------------------ */

static void span_text(uint64_t seconds, char out[static 24])
{
	if (seconds == 0)
		snprintf(out, 24, "never");
	else
		duration_print_exact(seconds, out);
}

static void line_print(const struct tool *t, const struct route_line *line)
{
	uint64_t expire = line->route != NULL ? line->route->expire : t->config.expire;
	uint64_t warn = line->route != NULL ? line->route->warn : t->config.warn;
	char expires[24];
	char warns[24];
	json_t *object;

	if (!t->json) {
		span_text(expire, expires);
		span_text(warn, warns);
		print_column(line->pattern, 28);
		putchar(' ');
		print_column(line->via, 24);
		printf(" %-5s %-5s ", expires, warns);
		print_visible(line->where);
		putchar('\n');
		return;
	}
	object = json_object();
	json_text(object, "pattern", line->pattern);
	json_text(object, "via", line->via);
	json_number(object, "expire", expire);
	json_number(object, "warn", warn);
	json_text(object, "where", line->where);
	print_json(object);
}

enum outcome command_route_list(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct route_lines lines = {0};
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	if (outcome == OUTCOME_DONE)
		route_lines_make(&t->config, &lines);
	for (size_t i = 0; i < lines.count; i++)
		line_print(t, &lines.items[i]);
	route_lines_release(&lines);
	return outcome;
}

/* ---- add, remove ----------------------------------------------------------------------------------------- */

enum outcome command_route_add(struct tool *t, struct error *err)
{
	const char *expire = NULL;
	const char *warn = NULL;
	const struct config_route *old;
	const struct tool_option options[] = {{"expire", OPTION_TEXT, &expire}, {"warn", OPTION_TEXT, &warn}};
	struct buf file;
	struct buf text;
	enum outcome outcome = tool_options(t, options, 2, 2, 2, "a pattern and a way", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	buf_init(&file, 1024);
	dropin_name("route", t->words[0], &file);
	old = find_route(&t->config, t->words[0]);
	if (old != NULL && !dropin_is(t, old->where, buf_string(&file))) {
		buf_release(&file);
		return error_set(
		    err, EX_CANTCREAT, "the route \"%s\" stands at %s: change it there", t->words[0], old->where);
	}
	buf_init(&text, COPY_CHUNK);
	buf_text(&text, "route ");
	dropin_quote(&text, t->words[0]);
	buf_text(&text, " {\n\tvia = ");
	dropin_quote(&text, t->words[1]);
	if (expire != NULL) {
		buf_text(&text, "\n\texpire = ");
		dropin_quote(&text, expire);
	}
	if (warn != NULL) {
		buf_text(&text, "\n\twarn = ");
		dropin_quote(&text, warn);
	}
	buf_text(&text, "\n}\n");
	outcome = old != NULL ? dropin_replace(t, buf_string(&file), view_buf(&text), err)
			      : dropin_add(t, buf_string(&file), view_buf(&text), err);
	buf_release(&file);
	buf_release(&text);
	return outcome;
}

/* Records that no route leads anywhere any more. */
struct stranded {
	const struct tool *tool;
	const struct config *config;
	size_t count;
};

static bool count_stranded(
    void *context, const struct queue_place *place, const struct entry *e, const struct error *err)
{
	struct stranded *s = context;
	struct message m;
	bool lost = false;

	(void)err;
	/* What is in a batch or with a server goes on its way; what is held or failed is not routed. */
	if (e == NULL || strcmp(place->hop, "hold") == 0 || strcmp(place->hop, "failed") == 0 ||
	    text_starts(place->within, "batch-") || text_starts(place->within, "work-") ||
	    queue_message(&s->tool->queue, place, MESSAGE_TRUST, &m, NULL) != OUTCOME_DONE)
		return true;
	for (size_t i = 0; i < e->recipient_count && !lost; i++) {
		/* By the address that was asked for, as a pass does it: the record's may be what a route made of it. */
		const struct recipient *asked = envelope_recipient(&m.envelope, e->recipients[i].index);
		struct route r;

		if (e->recipients[i].end != ENTRY_WAITS || asked == NULL)
			continue;
		route_find(&r, s->config, &s->tool->queue.mail, asked->address);
		lost = r.kind == ROUTE_FAIL && strcmp(r.status, "5.1.2") == 0;
		route_release(&r);
	}
	message_close(&m);
	s->count += lost;
	return true;
}

/* What waits and has lost its way is returned when it is next about to move: said while there is time. */
static void warn_of_stranded(struct tool *t)
{
	struct config c;
	struct stranded s = {t, &c, 0};
	struct error err = ERROR_NONE;

	if (config_load(&c, tool_config_path(t), NULL, NULL, &err) != OUTCOME_DONE)
		return;
	if (queue_walk(&t->queue, NULL, count_stranded, &s, &err) == OUTCOME_DONE && s.count > 0)
		tool_say("%zu waiting %s no route now: a relay pass returns %s to the sender when due (see "
			 "`packetboat hold`)",
		    s.count, s.count == 1 ? "message has" : "messages have", s.count == 1 ? "it" : "them");
	config_release(&c);
}

enum outcome command_route_remove(struct tool *t, struct error *err)
{
	struct buf file;
	enum outcome outcome = tool_options(t, NULL, 0, 1, 1, "a pattern", err);
	const struct config_route *r;

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	r = find_route(&t->config, t->words[0]);
	if (r == NULL)
		return error_set(err, EX_DATAERR, "there is no route \"%s\" in the configuration", t->words[0]);
	buf_init(&file, 1024);
	dropin_name("route", r->pattern, &file);
	if (dropin_is(t, r->where, buf_string(&file)))
		outcome = dropin_remove(t, buf_string(&file), err);
	else
		outcome = error_set(
		    err, EX_CONFIG, "the route \"%s\" is written at %s; take it out there", r->pattern, r->where);
	if (outcome == OUTCOME_DONE && !t->dry_run)
		warn_of_stranded(t);
	buf_release(&file);
	return outcome;
}

/* ---- test ------------------------------------------------------------------------------------------------ */

static void found_json(const char *address, const struct route *r)
{
	static const char *const kinds[] = {[ROUTE_HOP] = "hop", [ROUTE_EXPAND] = "expand", [ROUTE_FAIL] = "fail"};
	json_t *object = json_object();
	json_t *targets = json_array();

	json_text(object, "address", address);
	json_text(object, "result", kinds[r->kind]);
	if (r->kind == ROUTE_HOP) {
		json_text(object, "hop", r->hop);
		json_text(object, "as", r->address);
		json_text(object, "target", r->target);
		json_number(object, "expire", r->expire);
		json_number(object, "warn", r->warn);
	}
	if (r->kind == ROUTE_FAIL) {
		json_text(object, "status", r->status);
		json_text(object, "reason", r->reason);
	}
	for (size_t i = 0; i < r->targets.count; i++)
		json_array_append_new(targets, json_string(r->targets.items[i]));
	if (r->kind == ROUTE_EXPAND)
		json_object_set(object, "targets", targets);
	json_decref(targets);
	json_text(object, "why", r->why);
	print_json(object);
}

static void found_text(const char *address, const struct route *r)
{
	const char *neighbour = hop_neighbour(r->hop);

	print_visible(address);
	if (r->kind == ROUTE_EXPAND) {
		fputs(" is an alias of", stdout);
		for (size_t i = 0; i < r->targets.count; i++) {
			putchar(' ');
			print_visible(r->targets.items[i]);
		}
	} else if (strcmp(r->hop, "local") == 0) {
		fputs(" is the local user ", stdout);
		print_visible(r->address);
	} else {
		printf(" goes %s %s", neighbour != NULL ? "to the neighbour" : "out by",
		    neighbour != NULL ? neighbour : r->hop);
		if (r->target != NULL) {
			putchar(' ');
			print_visible(r->target);
		}
		fputs(" as ", stdout);
		print_visible(r->address);
	}
	fputs(", by ", stdout);
	print_visible(r->why);
	putchar('\n');
}

static int fail_code(const struct route *r)
{
	if (strcmp(r->status, "5.1.1") == 0)
		return EX_NOUSER;
	return strcmp(r->status, "5.1.2") == 0 ? EX_NOHOST : EX_DATAERR;
}

enum outcome command_route_test(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct route r;
	enum outcome outcome = tool_options(t, options, 1, 1, 1, "an address", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	route_find(&r, &t->config, &t->queue.mail, t->words[0]);
	if (t->json)
		found_json(t->words[0], &r);
	else if (r.kind != ROUTE_FAIL)
		found_text(t->words[0], &r);
	if (r.kind == ROUTE_FAIL)
		outcome = error_set(err, fail_code(&r), "%s %s (%s)", r.status, r.reason, r.why);
	route_release(&r);
	return outcome;
}

/* ---- aliases --------------------------------------------------------------------------------------------- */

enum outcome command_alias_list(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < t->config.alias_count; i++) {
		const struct config_alias *a = &t->config.aliases[i];

		if (t->json) {
			json_t *object = json_object();
			json_t *targets = json_array();

			json_text(object, "alias", a->name);
			for (size_t k = 0; k < a->targets.count; k++)
				json_array_append_new(targets, json_string(a->targets.items[k]));
			json_object_set_new(object, "targets", targets);
			json_text(object, "where", a->where);
			print_json(object);
			continue;
		}
		print_column(a->name, 24);
		putchar(' ');
		for (size_t k = 0; k < a->targets.count; k++) {
			if (k > 0)
				putchar(',');
			print_column(a->targets.items[k], 0);
		}
		printf(" %s\n", a->where);
	}
	return outcome;
}
