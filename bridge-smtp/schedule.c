#include "bridge-smtp/schedule.h"

#include "lib/alloc.h"

/* Powers of two. */
#define PLACE_TABLE 1024
#define NAME_TABLE  65536

/* FNV-1a; nobody gains by choosing names that fall together, since they are all ours. */
static size_t slot_of(const char *text, size_t slots)
{
	uint32_t hash = 2166136261U;

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619U;
	return (hash ^ hash >> 16) & (slots - 1);
}

void schedule_init(struct schedule *s)
{
	*s = (struct schedule){.ring = NULL};
	s->ring_end = &s->ring;
	s->place_table = mem_array(PLACE_TABLE, sizeof s->place_table[0]);
	s->name_table = mem_array(NAME_TABLE, sizeof s->name_table[0]);
}

static void place_free(struct place *p)
{
	while (p->first != NULL) {
		struct ready *r = p->first;

		p->first = r->next;
		free(r);
	}
	free(p->name);
	free(p);
}

void schedule_release(struct schedule *s)
{
	while (s->places != NULL) {
		struct place *p = s->places;

		s->places = p->next;
		place_free(p);
	}
	free(s->place_table);
	free(s->name_table);
	*s = (struct schedule){.ring = NULL};
}

/* ---- the ring -------------------------------------------------------------------------------------------- */

static size_t room_of(const struct place *p)
{
	return p->proven ? p->room : 1;
}

bool schedule_blocked(const struct place *p, uint64_t now)
{
	return p->until > now;
}

static void join_ring(struct schedule *s, struct place *p)
{
	if (p->in_ring || p->first == NULL)
		return;
	p->in_ring = true;
	p->turn = NULL;
	*s->ring_end = p;
	s->ring_end = &p->turn;
}

static struct place *leave_ring(struct schedule *s)
{
	struct place *p = s->ring;

	s->ring = p->turn;
	if (s->ring == NULL)
		s->ring_end = &s->ring;
	p->in_ring = false;
	return p;
}

/* ---- places and names ------------------------------------------------------------------------------------ */

struct place *schedule_place(struct schedule *s, const char *name, size_t station, size_t connections)
{
	struct place **slot = &s->place_table[slot_of(name, PLACE_TABLE)];
	struct place *p = *slot;

	while (p != NULL && (p->station != station || strcmp(p->name, name) != 0))
		p = p->chained;
	if (p != NULL)
		return p;
	p = mem_alloc(sizeof *p);
	p->name = mem_string(name);
	p->station = station;
	p->connections = connections > 0 ? connections : 1;
	p->room = p->connections + 1;
	p->last = &p->first;
	p->chained = *slot;
	*slot = p;
	p->next = s->places;
	s->places = p;
	return p;
}

bool schedule_has(const struct schedule *s, const char *name)
{
	const struct ready *r = s->name_table[slot_of(name, NAME_TABLE)];

	while (r != NULL && strcmp(r->name, name) != 0)
		r = r->chained;
	return r != NULL;
}

static void know(struct schedule *s, struct ready *r)
{
	struct ready **slot = &s->name_table[slot_of(r->name, NAME_TABLE)];

	r->chained = *slot;
	*slot = r;
	s->names++;
	r->place->count++;
}

static void forget(struct schedule *s, struct ready *r)
{
	struct ready **at = &s->name_table[slot_of(r->name, NAME_TABLE)];

	while (*at != r)
		at = &(*at)->chained;
	*at = r->chained;
	s->names--;
	r->place->count--;
}

void schedule_add(struct schedule *s, struct place *p, const char *name)
{
	size_t length = strlen(name);
	struct ready *r;

	if (s->names >= SCHEDULE_NAMES || p->count >= SCHEDULE_NAMES_EACH) {
		p->more = true;
		s->more = true;
		return;
	}
	r = mem_alloc(sizeof *r + length + 1);
	memcpy(r->name, name, length + 1);
	r->place = p;
	*p->last = r;
	p->last = &r->next;
	know(s, r);
	join_ring(s, p);
}

struct ready *schedule_next(struct schedule *s, uint64_t now)
{
	while (s->ring != NULL) {
		struct place *p = leave_ring(s);
		struct ready *r = p->first;

		/* One that has no room comes back with what it has under way. */
		if (r == NULL || (!schedule_blocked(p, now) && p->active >= room_of(p)))
			continue;
		p->first = r->next;
		if (p->first == NULL)
			p->last = &p->first;
		forget(s, r);
		join_ring(s, p);
		return r;
	}
	return NULL;
}

void schedule_put_back(struct schedule *s, struct ready *r)
{
	struct place *p = r->place;

	r->next = p->first;
	if (p->first == NULL)
		p->last = &r->next;
	p->first = r;
	know(s, r);
	join_ring(s, p);
}

bool schedule_empty(const struct schedule *s)
{
	return s->names == 0;
}

bool schedule_wants_names(const struct schedule *s)
{
	if (!s->more || s->names >= SCHEDULE_NAMES / 2)
		return false;
	for (const struct place *p = s->places; p != NULL; p = p->next)
		if (p->more && p->count == 0)
			return true;
	return s->names == 0;
}

void schedule_look_again(struct schedule *s)
{
	s->more = false;
	for (struct place *p = s->places; p != NULL; p = p->next)
		p->more = false;
}

/* ---- what became of it ----------------------------------------------------------------------------------- */

void schedule_given(struct place *p)
{
	p->active++;
}

void schedule_back(struct schedule *s, struct place *p, enum schedule_news news)
{
	size_t least = p->connections + 1;

	p->active--;
	if (news != SCHEDULE_UNTRIED) {
		p->proven = true;
		p->blocks = 0;
		p->until = 0;
	}
	/* Who is slow gets no more than fits on its connections: what is in hand is kept from others. */
	if (news == SCHEDULE_QUICK && p->room < p->connections * SCHEDULE_DEPTH)
		p->room++;
	else if (news == SCHEDULE_SLOW)
		p->room = p->room / 2 > least ? p->room / 2 : least;
	join_ring(s, p);
}

bool schedule_block(
    struct schedule *s, struct place *p, const struct smtp_verdict *why, uint64_t now, uint64_t longest)
{
	uint64_t wait = SCHEDULE_BLOCK_MIN;
	bool was = schedule_blocked(p, now);

	if (was)
		return false;
	for (unsigned i = 0; i < p->blocks && wait < SCHEDULE_BLOCK_MAX; i++)
		wait *= 2;
	if (wait > SCHEDULE_BLOCK_MAX)
		wait = SCHEDULE_BLOCK_MAX;
	if (longest > 0 && wait > longest)
		wait = longest;
	/* What is for ever may be put right within the hour: that is not to be missed for long. */
	if (why->outcome == OUTCOME_NEVER && wait > SCHEDULE_BLOCK_MIN)
		wait = SCHEDULE_BLOCK_MIN;
	p->blocks++;
	p->proven = false;
	p->room = p->connections + 1;
	p->why = *why;
	p->until = now + wait;
	join_ring(s, p);
	return true;
}

void schedule_sweep(struct schedule *s, uint64_t now)
{
	struct place **at = &s->places;

	while (*at != NULL) {
		struct place *p = *at;
		struct place **slot;

		if (p->active > 0 || p->first != NULL || p->in_ring || p->until + SCHEDULE_BLOCK_MAX > now) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		for (slot = &s->place_table[slot_of(p->name, PLACE_TABLE)]; *slot != p;)
			slot = &(*slot)->chained;
		*slot = p->chained;
		place_free(p);
	}
}
