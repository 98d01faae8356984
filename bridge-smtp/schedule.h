/*
 * What goes next, and where not to go for a while. The schedule knows every destination that mail is under way to or waits
 * for, and the names of the records that wait, as far as they have been looked at. Each destination has a queue of its
 * own, and they have their turns in a ring, so that ten thousand messages for one never stand before the only one for another.
 *
 *	p = schedule_place(&s, destination, station)
 *	schedule_add(&s, p, name)                        it waits for P
 *	ready = schedule_next(&s, now)                   the caller claims it, and frees it
 *	schedule_given(&s, p)                            it is under way
 *	schedule_back(&s, p, REACHED_QUICKLY, now)       and is over
 *	schedule_block(&s, p, &why, now, longest)        nobody was there
 *
 * A destination that has not been reached yet gets one delivery to see whether anybody is there. One that was gets more:
 * some for each of its connections, and the more the quicker they come back. One that could not be reached is blocked
 * for a while: what waits for it is given out all the same, to be put off for the reason at hand.
 *
 * It touches no file and no clock. NOW counts seconds that never go back.
 */
#ifndef BRIDGE_SMTP_SCHEDULE_H
#define BRIDGE_SMTP_SCHEDULE_H

#include "bridge-smtp/smtp_reply.h"

/* Names kept in memory, about 80 octets each, and those for one destination. Of what is beyond them only is known that there is more. */
#define SCHEDULE_NAMES	    100000
#define SCHEDULE_NAMES_EACH (SCHEDULE_NAMES / 2)
/* Deliveries in hand for each connection of a destination that takes them quickly: the next is there when one is done. */
#define SCHEDULE_DEPTH 8
/* Seconds for which a destination that could not be reached is left alone, doubling from the one to the other. */
#define SCHEDULE_BLOCK_MIN 30
#define SCHEDULE_BLOCK_MAX 300

struct place;

/* A record that waits. */
struct ready {
	struct ready *next;    /* for the same place */
	struct ready *chained; /* in the table of names */
	struct place *place;
	char name[];
};

struct place {
	struct place *next; /* of all places */
	struct place *chained;
	struct place *turn; /* the next in the ring of those that may go on */
	bool in_ring;
	char *name;
	size_t station;	    /* the caller's: which hop */
	size_t connections; /* that it may have at once */
	size_t active;	    /* deliveries under way */
	size_t room;	    /* and so many there may be */
	bool proven;	    /* it was reached, the last time that it was tried */
	unsigned blocks;    /* failures in a row */
	uint64_t until;	    /* blocked until then */
	struct smtp_verdict why;
	struct ready *first;
	struct ready **last;
	size_t count;
	bool more; /* names of it were not kept */
};

struct schedule {
	struct place *places;
	struct place **place_table;
	struct ready **name_table;
	size_t names;
	struct place *ring;
	struct place **ring_end;
	bool more; /* somewhere, a name was not kept, and is to be looked for when there is room */
};

void schedule_init(struct schedule *s);
void schedule_release(struct schedule *s);
/* The place called NAME, made when there is none, with CONNECTIONS. */
struct place *schedule_place(struct schedule *s, const char *name, size_t station, size_t connections);
/* Does NAME wait already? */
bool schedule_has(const struct schedule *s, const char *name);
/* NAME waits for P, behind all others; what is beyond the bounds is not kept. */
void schedule_add(struct schedule *s, struct place *p, const char *name);
/* The next record that may be claimed; null: none. It is the caller's, to free. */
struct ready *schedule_next(struct schedule *s, uint64_t now);
/* It could not be claimed now: first in its queue again. */
void schedule_put_back(struct schedule *s, struct ready *r);
bool schedule_blocked(const struct place *p, uint64_t now);

enum schedule_news { SCHEDULE_QUICK, SCHEDULE_SLOW, SCHEDULE_UNTRIED };

void schedule_given(struct place *p);
/* One is over. QUICK and SLOW: the server was reached. */
void schedule_back(struct schedule *s, struct place *p, enum schedule_news news);
/* P is left alone for a while, at most LONGEST seconds (0: as ever). False when it was already. */
bool schedule_block(
    struct schedule *s, struct place *p, const struct smtp_verdict *why, uint64_t now, uint64_t longest);
/* Is there anything that schedule_next would give? And anything that waits? */
bool schedule_empty(const struct schedule *s);
/* Names were left out, and there is room for them now. */
bool schedule_wants_names(const struct schedule *s);
/* Names are looked for from the beginning: what is left out from now on is told anew. */
void schedule_look_again(struct schedule *s);
/* Forgets the places of which nothing is worth knowing any more. */
void schedule_sweep(struct schedule *s, uint64_t now);

#endif
