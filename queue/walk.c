#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/hop.h"

/* A message handed over and not yet routed, claimed or not: it lies in queue/new itself. */
static bool is_fresh(const struct queue_place *place)
{
	return strcmp(place->hop, "new") == 0 && strchr(place->name, '+') == NULL;
}

enum outcome queue_message(const struct queue *q, const struct queue_place *place, enum message_check check,
    struct message *m, struct error *err)
{
	char name[ENTRY_NAME];

	if (is_fresh(place))
		return message_open(m, &q->new, place->name, check, err);
	/* A claim is of the record: the message keeps its name. */
	snprintf(name, sizeof name, "%.*s", (int)strcspn(place->name, "~"), place->name);
	return message_open(m, &q->msg, name, check, err);
}

/* A record as it will be, for a message that is not routed yet. */
static enum outcome entry_from_message(const struct queue *q, const char *name, struct entry *e, struct error *err)
{
	struct message m;
	struct stat st;
	enum outcome outcome = message_open(&m, &q->new, name, MESSAGE_TRUST, err);

	entry_init(e);
	if (outcome != OUTCOME_DONE)
		return outcome;
	e->id = m.envelope.id;
	e->class = m.envelope.class;
	e->size = m.envelope.size;
	e->arrived = fstat(m.fd, &st) == 0 ? (int64_t)st.st_mtime : 0;
	e->sender = mem_string(m.envelope.sender);
	e->neighbour = mem_string(m.envelope.neighbour);
	for (size_t i = 0; i < m.envelope.recipient_count; i++)
		entry_add_recipient(e, m.envelope.recipients[i].index, m.envelope.recipients[i].address);
	message_close(&m);
	return OUTCOME_DONE;
}

/* What a look at the queue goes by. */
struct looking {
	const struct queue *q;
	const struct names *claims; /* as of its beginning; null: not read */
	queue_visit *visit;
	void *context;
	bool go_on; /* the visitor wants more */
};

static enum outcome read_place(const struct queue *q, const struct dir *d, const struct queue_place *place,
    struct hop_reader *reader, struct entry *e, struct error *err)
{
	return is_fresh(place) ? entry_from_message(q, place->name, e, err)
			       : hop_reader_read(reader, d, place->name, e, err);
}

/* Shows one file of a hop; false when it does not count. READER is for one after the other. */
static bool show(struct looking *l, const struct dir *d, const struct queue_place *found, struct hop_reader *reader)
{
	struct queue_place place = *found;
	struct entry e;
	struct error why = ERROR_NONE;
	enum outcome outcome = read_place(l->q, d, &place, reader, &e, &why);
	bool counts;

	/* Claimed meanwhile? */
	if (outcome != OUTCOME_DONE && why.code == EX_NOINPUT && strcmp(place.hop, "new") == 0 &&
	    !hop_is_claim(place.hop, place.name)) {
		entry_release(&e);
		hop_ended_name(found->name, place.name);
		outcome = read_place(l->q, d, &place, reader, &e, &why);
	}
	counts = outcome != OUTCOME_DONE || !hop_half_made(l->q, l->claims, &e);
	if (outcome == OUTCOME_DONE && !e.ended && counts)
		l->go_on = l->visit(l->context, &place, &e, NULL);
	else if (outcome != OUTCOME_DONE && why.code != EX_NOINPUT) /* moved on meanwhile: no news */
		l->go_on = l->visit(l->context, &place, NULL, &why);
	entry_release(&e);
	return counts;
}

static void place_set(struct queue_place *place, const char *hop, const char *within, const char *name)
{
	snprintf(place->hop, sizeof place->hop, "%s", hop);
	snprintf(place->within, sizeof place->within, "%s", within);
	snprintf(place->name, sizeof place->name, "%s", name);
}

static enum outcome walk_directory(
    struct looking *l, const struct dir *d, const char *hop, const char *within, struct error *err)
{
	struct hop_reader reader = HOP_READER_NONE;
	struct names names;
	enum outcome outcome = dir_names(d, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE && l->go_on; i++) {
		struct queue_place place;

		if (!hop_shows(hop, names.items[i]))
			continue;
		place_set(&place, hop, within, names.items[i]);
		show(l, d, &place, &reader);
	}
	hop_reader_close(&reader);
	names_release(&names);
	return outcome;
}

static enum outcome walk_hop(struct looking *l, const char *hop, struct error *err)
{
	struct dir top;
	struct names parts = {0};
	enum outcome outcome = dir_open(&top, &l->q->queue, hop, err);

	if (outcome != OUTCOME_DONE)
		return err->code == EX_NOINPUT ? OUTCOME_DONE : outcome;
	outcome = hop_parts(&top, &parts, err);
	if (outcome == OUTCOME_DONE)
		outcome = walk_directory(l, &top, hop, "", err);
	for (size_t i = 0; i < parts.count && outcome == OUTCOME_DONE && l->go_on; i++) {
		struct dir part;

		outcome = dir_open(&part, &top, parts.items[i], err);
		if (outcome == OUTCOME_DONE)
			outcome = walk_directory(l, &part, hop, parts.items[i], err);
		else if (err->code == EX_NOINPUT)
			outcome = OUTCOME_DONE; /* emptied meanwhile */
		dir_close(&part);
	}
	names_release(&parts);
	dir_close(&top);
	return outcome;
}

enum outcome queue_walk(const struct queue *q, const char *hop, queue_visit *visit, void *context, struct error *err)
{
	struct names claims = {0};
	struct names hops = {0};
	struct looking l = {.q = q, .visit = visit, .context = context, .go_on = true};
	/* First in "new": what is dispatched meanwhile is met there or behind it. */
	enum outcome outcome = walk_hop(&l, hop != NULL ? hop : "new", err);

	if (hop != NULL || outcome != OUTCOME_DONE)
		return outcome;
	outcome = hop_claims(q, &claims, err);
	if (outcome == OUTCOME_DONE)
		outcome = hop_list(q, &hops, err);
	l.claims = &claims;
	for (size_t i = 0; i < hops.count && outcome == OUTCOME_DONE && l.go_on; i++)
		if (strcmp(hops.items[i], "removed") != 0 && strcmp(hops.items[i], "new") != 0)
			outcome = walk_hop(&l, hops.items[i], err);
	names_release(&hops);
	names_release(&claims);
	return outcome;
}

/* ---- one message ----------------------------------------------------------------------------------------- */

/*
 * The record names of ID. Records and links in msg/ correspond, so the envelope says which to try: the names of the
 * whole directory are read only when the first recipient's record is gone already.
 */
static enum outcome record_names(const struct queue *q, const struct id *id, struct names *names, struct error *err)
{
	char text[LIMIT_ID];
	char *first;
	struct message m;
	enum outcome outcome = OUTCOME_DONE;

	*names = (struct names){0};
	id_print(id, text);
	first = mem_format("%s+0", text);
	if (message_open(&m, &q->msg, first, MESSAGE_TRUST, NULL) == OUTCOME_DONE) {
		for (size_t i = 0; i < m.envelope.recipient_count; i++) {
			char *name = mem_format("%s+%u", text, (unsigned)m.envelope.recipients[i].index);

			if (file_exists(&q->msg, name, NULL))
				names_add(names, name);
			free(name);
		}
		message_close(&m);
	} else {
		struct names all;
		size_t length = strlen(text);

		outcome = dir_names(&q->msg, &all, err);
		for (size_t i = 0; i < all.count && outcome == OUTCOME_DONE; i++)
			if (strncmp(all.items[i], text, length) == 0 && all.items[i][length] == '+')
				names_add(names, all.items[i]);
		names_release(&all);
	}
	free(first);
	return outcome;
}

/* Every directory below queue/ that may hold records. */
struct queue_places {
	struct queue_place *items; /* without a name */
	size_t count;
	size_t capacity;
};

void queue_forget_places(struct queue *q)
{
	if (q->places != NULL)
		free(q->places->items);
	free(q->places);
	q->places = NULL;
}

static void places_add(struct queue_places *p, const char *hop, const char *within)
{
	p->items = mem_grow(p->items, p->count, &p->capacity, sizeof p->items[0]);
	place_set(&p->items[p->count++], hop, within, "");
}

static enum outcome places_read(struct queue *q, struct error *err)
{
	struct names hops = {0};
	enum outcome outcome = hop_list(q, &hops, err);

	queue_forget_places(q);
	q->places = mem_alloc(sizeof *q->places);
	for (size_t i = 0; i < hops.count && outcome == OUTCOME_DONE; i++) {
		struct names parts = {0};
		struct dir top;

		outcome = dir_open(&top, &q->queue, hops.items[i], err);
		if (outcome == OUTCOME_DONE)
			outcome = hop_parts(&top, &parts, err);
		places_add(q->places, hops.items[i], "");
		for (size_t k = 0; k < parts.count; k++)
			places_add(q->places, hops.items[i], parts.items[k]);
		names_release(&parts);
		dir_close(&top);
	}
	names_release(&hops);
	return outcome;
}

struct finding {
	struct looking look;
	const struct names *wanted;
	bool *seen; /* of each that is wanted */
	size_t found;
};

static void find_in(struct finding *f, const struct queue_place *where)
{
	char *path = mem_format("%s/%s", where->hop, where->within[0] != '\0' ? where->within : ".");
	struct hop_reader reader = HOP_READER_NONE;
	struct dir d;

	if (dir_open(&d, &f->look.q->queue, path, NULL) == OUTCOME_DONE) {
		for (size_t i = 0; i < f->wanted->count && f->look.go_on; i++) {
			struct queue_place place;

			if (f->seen[i] || !file_exists(&d, f->wanted->items[i], NULL))
				continue;
			place_set(&place, where->hop, where->within, f->wanted->items[i]);
			f->seen[i] = show(&f->look, &d, &place, &reader);
			f->found += f->seen[i];
		}
	}
	hop_reader_close(&reader);
	dir_close(&d);
	free(path);
}

/*
 * Names of messages in queue/new that are not routed: "ID", or "ID=K" when a neighbour brought it; and claims, also of records:
 * "ID+K~".
 */
static enum outcome fresh_names(const struct queue *q, const struct id *id, struct names *wanted, struct error *err)
{
	struct names fresh = {0};
	char text[LIMIT_ID];
	enum outcome outcome = dir_names(&q->new, &fresh, err);

	id_print(id, text);
	for (size_t i = 0; i < fresh.count; i++) {
		const char *name = fresh.items[i];
		char next = text_starts(name, text) ? name[strlen(text)] : '\0';

		if (next == '=' || next == '~' || (next == '+' && hop_is_claim("new", name)))
			names_add(wanted, name);
	}
	names_release(&fresh);
	return outcome;
}

enum outcome queue_find(struct queue *q, const struct id *id, queue_visit *visit, void *context, struct error *err)
{
	struct names wanted;
	struct finding f = {{.q = q, .visit = visit, .context = context, .go_on = true}, .wanted = &wanted};
	char text[LIMIT_ID];
	enum outcome outcome = record_names(q, id, &wanted, err);
	size_t records = wanted.count;
	size_t known = 0;

	id_print(id, text);
	names_add(&wanted, text);
	/* Again with the directories of now, if any record is in none of those known. */
	for (size_t round = 0; round < 2 && outcome == OUTCOME_DONE && f.look.go_on; round++) {
		if (round > 0 && f.found >= records && f.found > 0)
			break;
		if (round > 0)
			outcome = fresh_names(q, id, &wanted, err);
		f.seen = mem_resize(f.seen, wanted.count, sizeof *f.seen);
		memset(f.seen + known, 0, (wanted.count - known) * sizeof *f.seen);
		known = wanted.count;
		if (outcome == OUTCOME_DONE && (round > 0 || q->places == NULL))
			outcome = places_read(q, err);
		for (size_t i = 0; outcome == OUTCOME_DONE && i < q->places->count && f.look.go_on; i++)
			find_in(&f, &q->places->items[i]);
	}
	free(f.seen);
	names_release(&wanted);
	return outcome;
}
