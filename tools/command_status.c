/*
 * `packetboat status`: what waits for whom. It costs by the number of batches and of records that are not in one, by
 * their names alone: no record in a batch is opened.
 */
#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "queue/arrivals.h"
#include "queue/hop.h"
#include "queue/ledger.h"
#include "tools/command.h"
#include "tools/health.h"

/* What lies in one hop outside of batches. */
struct pile {
	uint64_t records;
	uint64_t octets; /* on the disk */
	int64_t oldest;	 /* wall clock of its arrival, 0: none */
};

struct line {
	const char *name;
	struct pile pile;
	struct peer peer;
	bool peer_known;
	uint64_t packed; /* messages in batches */
	uint64_t packed_octets;
	int64_t last_sent;
	bool called; /* by us: the rest of the line is of that */
	int64_t next_call;
	const char *call_waits; /* for what; null: it is due */
	struct ledger ledger;
	uint64_t rate; /* octets a second, of the last call or by the configuration; 0: not known */
	/* Seconds for what waits; what is in no batch yet counts as if it could not be compressed. */
	uint64_t sending_time;
};

/* ---- counting -------------------------------------------------------------------------------------------- */

static void oldest_of(struct pile *p, const struct dir *d, const char *name)
{
	struct entry e;

	if (hop_read(d, name, &e, NULL) == OUTCOME_DONE && (p->oldest == 0 || e.arrived < p->oldest))
		p->oldest = e.arrived;
	entry_release(&e);
}

static void oldest_file(struct pile *p, const struct dir *d, const char *name)
{
	struct stat st;

	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (p->oldest == 0 || st.st_mtime < p->oldest))
		p->oldest = st.st_mtime;
}

/* Made so far by a dispatch whose claim stands, and is counted itself. Only where a claim has the same id is it opened. */
static bool half_made(const struct queue *q, const struct names *claims, const struct dir *d, const char *name)
{
	size_t length = strcspn(name, "+");
	bool may_be = false;
	bool is = false;
	struct entry e;

	for (size_t i = 0; i < claims->count && !may_be; i++)
		may_be = strncmp(claims->items[i], name, length) == 0 && strcspn(claims->items[i], "+=~") == length;
	if (!may_be)
		return false;
	is = hop_read(d, name, &e, NULL) == OUTCOME_DONE && hop_half_made(q, claims, &e);
	entry_release(&e);
	return is;
}

/* Of records from one origin the lowest sequence is the oldest: only that one is opened. */
static void count_records(
    const struct queue *q, const char *hop, const struct names *claims, const struct dir *d, struct pile *p)
{
	struct names names;
	struct id lowest = {.sequence = 0};
	const char *candidate = NULL;

	if (dir_names(d, &names, NULL) != OUTCOME_DONE)
		return;
	for (size_t i = 0; i < names.count; i++) {
		char name[ENTRY_NAME]; /* its own, without the mark of a claim */
		uint64_t size = 0;
		struct id id;
		uint32_t first;

		snprintf(name, sizeof name, "%.*s", (int)strcspn(names.items[i], "~"), names.items[i]);
		if (!hop_shows(hop, names.items[i]) ||
		    (strcmp(hop, "new") != 0 && half_made(q, claims, d, names.items[i])))
			continue;
		p->records++;
		/* What is not routed yet is the message itself. */
		if (file_exists(&q->msg, name, &size) || file_exists(d, names.items[i], &size))
			p->octets += size;
		if (!entry_name_parse(name, &id, &first)) {
			oldest_file(p, d, names.items[i]);
			continue;
		}
		bool same = strcmp(id.host, lowest.host) == 0 && id.incarnation == lowest.incarnation;

		if (candidate != NULL && !same)
			oldest_of(p, d, candidate);
		if (candidate == NULL || !same || id.sequence < lowest.sequence) {
			candidate = names.items[i];
			lowest = id;
		}
	}
	if (candidate != NULL)
		oldest_of(p, d, candidate);
	names_release(&names);
}

/* What is ready, and what is not due; batches only for hops that have no neighbour's state to ask. */
static void count_hop(const struct queue *q, const char *hop, const struct names *claims, struct pile *p)
{
	struct names parts = {0};
	struct dir top;

	*p = (struct pile){0};
	if (dir_open(&top, &q->queue, hop, NULL) != OUTCOME_DONE)
		return;
	count_records(q, hop, claims, &top, p);
	if (hop_parts(&top, &parts, NULL) == OUTCOME_DONE)
		for (size_t i = 0; i < parts.count; i++) {
			struct dir d;

			if (text_starts(parts.items[i], "batch-"))
				continue;
			if (dir_open(&d, &top, parts.items[i], NULL) == OUTCOME_DONE)
				count_records(q, hop, claims, &d, p);
			dir_close(&d);
		}
	names_release(&parts);
	dir_close(&top);
}

/* When it is called next, as the relay pass will judge, and how long it will take. */
static void line_call(struct tool *t, const struct config_neighbour *n, struct line *l)
{
	int64_t now = clock_now();
	struct waiting w = {.octets = l->pile.octets + l->packed_octets};

	w.any = l->pile.records + l->peer.out_count > 0 || l->peer.ack_due;
	w.oldest = l->pile.oldest != 0 && l->pile.oldest < now ? (uint64_t)(now - l->pile.oldest) : 0;
	for (size_t i = 0; i < l->peer.out_count; i++)
		w.urgent |= l->peer.out[i].class == CLASS_URGENT;
	ledger_read(&l->ledger, &t->queue.state, n->name);
	ledger_turn(&l->ledger, now);
	l->rate = l->ledger.rate > 0 ? l->ledger.rate : n->rate / 8;
	l->sending_time = l->rate == 0 ? 0 : (w.octets + l->rate - 1) / l->rate;
	l->called = config_calls(n);
	l->next_call = ledger_next(&l->ledger, n, &w, &t->age, now, &l->call_waits);
	if (l->next_call <= now)
		l->call_waits = NULL;
}

static void line_fill(
    struct tool *t, const struct config_neighbour *n, const struct names *claims, struct line *l, struct error *err)
{
	const char *name = n->name;
	char *hop = mem_format("neighbour-%s", name);

	*l = (struct line){.name = name};
	count_hop(&t->queue, hop, claims, &l->pile);
	free(hop);
	l->peer_known = peer_look(&t->queue, name, &l->peer, err) == OUTCOME_DONE;
	if (!l->peer_known) {
		tool_say_error(t, err);
		return;
	}
	for (size_t i = 0; i < l->peer.out_count; i++) {
		const struct peer_batch *b = &l->peer.out[i];

		l->packed += b->messages;
		l->packed_octets += b->size;
		if (b->sent > l->last_sent)
			l->last_sent = b->sent;
		if (l->pile.oldest == 0 || (b->packed != 0 && b->packed < l->pile.oldest))
			l->pile.oldest = b->packed;
	}
	line_call(t, n, l);
}

/* ---- one neighbour --------------------------------------------------------------------------------------- */

static void ago(const char *what, int64_t when)
{
	char span[24];

	if (when == 0) {
		printf("; %s never", what);
		return;
	}
	print_span(clock_now() - when, span);
	printf("; %s %s ago", what, span);
}

static void call_print(const struct line *l)
{
	char text[24];

	if (l->rate > 0 && l->sending_time > 0) {
		print_span((int64_t)l->sending_time, text);
		printf("; about %s at %llu bit/s", text, (unsigned long long)l->rate * 8);
	}
	if (!l->called)
		return;
	if (l->call_waits == NULL) {
		fputs("; a call is due", stdout);
	} else if (l->next_call == LEDGER_NEVER) {
		printf("; no call due: %s", l->call_waits);
	} else {
		print_span(l->next_call - clock_now(), text);
		printf("; next call in %s: %s", text, l->call_waits);
	}
	if (l->ledger.month.octets > 0) {
		size_print(l->ledger.month.octets, text);
		printf("; calls took %s", text);
		print_span((int64_t)l->ledger.month.seconds, text);
		printf(" in %s this month", text);
	}
}

static void line_print(const struct line *l)
{
	char octets[24];
	char span[24];
	char *apart = clock_apart_text(l->peer.clock_apart);

	size_print(l->pile.octets + l->packed_octets, octets);
	printf("%-16s %llu waiting", l->name, (unsigned long long)(l->pile.records + l->packed));
	if (l->pile.records + l->packed > 0)
		printf(", %s", octets);
	if (l->pile.oldest != 0) {
		print_span(clock_now() - l->pile.oldest, span);
		printf(", oldest %s", span);
	}
	if (l->peer.out_count > 0) {
		printf("; %zu batch%s unacknowledged", l->peer.out_count, l->peer.out_count == 1 ? "" : "es");
		ago("last sent", l->last_sent);
	}
	ago("heard", l->peer.contact);
	ago("tried", l->peer.tried);
	if (l->peer.result != NULL) {
		fputs(": ", stdout);
		print_visible(l->peer.result);
	}
	if (l->peer_known)
		call_print(l);
	if (apart != NULL)
		printf("; its clock is %s", apart);
	putchar('\n');
	free(apart);
}

static void json_span(json_t *object, const char *key, const struct ledger_span *span)
{
	json_t *spent = json_object();

	json_number(spent, "octets", span->octets);
	json_number(spent, "seconds", span->seconds);
	json_object_set_new(object, key, spent);
}

static void line_json(const struct line *l)
{
	json_t *object = json_object();

	json_text(object, "kind", "neighbour");
	json_text(object, "name", l->name);
	json_number(object, "waiting", l->pile.records + l->packed);
	json_number(object, "octets", l->pile.octets + l->packed_octets);
	json_number(object, "ready", l->pile.records);
	json_number(object, "packed", l->packed);
	json_number(object, "batches", l->peer.out_count);
	json_time(object, "oldest", l->pile.oldest);
	json_time(object, "last_sent", l->last_sent);
	json_time(object, "heard", l->peer.contact);
	json_time(object, "tried", l->peer.tried);
	json_text(object, "result", l->peer.result);
	json_number(object, "rate", l->rate * 8);
	json_number(object, "sending_time", l->sending_time);
	if (l->called) {
		json_time(object, "next_call", l->next_call == LEDGER_NEVER ? 0 : l->next_call);
		json_text(object, "call_waits", l->call_waits);
		json_span(object, "today", &l->ledger.day);
		json_span(object, "month", &l->ledger.month);
	}
	json_object_set_new(object, "clock_apart", json_integer(l->peer.clock_apart));
	print_json(object);
}

static void show_neighbours(struct tool *t, const struct names *claims)
{
	for (size_t i = 0; i < t->config.neighbour_count; i++) {
		struct line l;
		struct error err = ERROR_NONE;

		line_fill(t, &t->config.neighbours[i], claims, &l, &err);
		if (t->json)
			line_json(&l);
		else
			line_print(&l);
		peer_release(&l.peer);
	}
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

static void show_pile(const struct tool *t, const char *hop, const struct pile *p)
{
	json_t *object;
	char octets[24];
	char span[24];

	if (p->records == 0)
		return;
	if (t->json) {
		object = json_object();
		json_text(object, "kind", "hop");
		json_text(object, "name", hop);
		json_number(object, "waiting", p->records);
		json_number(object, "octets", p->octets);
		json_time(object, "oldest", p->oldest);
		print_json(object);
		return;
	}
	size_print(p->octets, octets);
	printf("%-16s %llu waiting, %s", hop, (unsigned long long)p->records, octets);
	if (p->oldest != 0) {
		print_span(clock_now() - p->oldest, span);
		printf(", oldest %s", span);
	}
	putchar('\n');
}

/* Hops of this host itself, and those of neighbours that are gone from the configuration. */
static enum outcome show_hops(struct tool *t, const struct names *claims, struct error *err)
{
	struct names hops;
	enum outcome outcome = hop_list(&t->queue, &hops, err);

	for (size_t i = 0; outcome == OUTCOME_DONE && i < hops.count; i++) {
		const char *neighbour = hop_neighbour(hops.items[i]);
		struct pile pile;

		if (neighbour != NULL && config_neighbour(&t->config, neighbour) != NULL)
			continue;
		count_hop(&t->queue, hops.items[i], claims, &pile);
		show_pile(t, hops.items[i], &pile);
	}
	names_release(&hops);
	return outcome;
}

/* Accepted, and not in the queue yet. How many messages that is nobody knows without reading them. */
static void show_arrivals(const struct tool *t)
{
	uint64_t waiting = arrivals_waiting(&t->queue);
	json_t *object;
	char octets[24];

	if (waiting == 0)
		return;
	if (t->json) {
		object = json_object();
		json_text(object, "kind", "arrivals");
		json_number(object, "octets", waiting);
		print_json(object);
		return;
	}
	size_print(waiting, octets);
	printf("%-16s %s accepted, not in the queue yet\n", "arrivals", octets);
}

static void show_finding(void *context, enum health_level level, const char *sentence)
{
	const struct tool *t = context;
	json_t *object;

	(void)level;
	if (!t->json) {
		print_visible(sentence);
		putchar('\n');
		return;
	}
	object = json_object();
	json_text(object, "kind", "notice");
	json_text(object, "text", sentence);
	print_json(object);
}

enum outcome command_status(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct names claims;
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = hop_claims(&t->queue, &claims, err);
	show_neighbours(t, &claims);
	show_arrivals(t);
	if (outcome == OUTCOME_DONE)
		outcome = show_hops(t, &claims, err);
	names_release(&claims);
	health_mailboxes(&t->config, &t->queue, show_finding, t);
	health_boxes(&t->config, &t->queue, &t->age, show_finding, t);
	health_corrupt(&t->queue, show_finding, t);
	health_clock(&t->age, show_finding, t);
	health_space(&t->queue, show_finding, t);
	return outcome;
}
