/*
 * The line of link.c: what a rate, a delay and a change of direction do to octets. No descriptor and no clock: whoever
 * drives it says what time it is, in nanoseconds of simulated time, and never goes back.
 *
 * Each direction is a `struct way`. An octet passes three marks, which only grow:
 *
 *	accepted	the line's buffer has it; the writer is rid of it
 *	carried		the line has sent it: its last bit left at `free_at`
 *	arrived		the delay has passed too, and it may be written to the receiver
 *	delivered	the receiver's kernel has it
 *
 * Octets are carried in pieces, so that a fast line does not need a wake-up for every octet; a piece is carried and arrives
 * when its last octet does. What happened is worked out from the times, not from when somebody looked: a driver that wakes
 * up late loses none of the line's time.
 *
 * Half-duplex: the line belongs to nobody until the first octet comes, which costs no turn. Then it belongs to one side until
 * that side has had nothing to send for the quiet time after its last octet was heard at the other end, and the other side has
 * something to send; the turn time later the other side's first octet begins. With a hold time the line is also taken from a
 * side that goes on sending, when it has had the line so long while the other side waited. A side whose receiver takes no more counts as
 * having nothing to send: it might be waiting for the line itself.
 */
#ifndef TESTS_SUPPORT_LINK_LINE_H
#define TESTS_SUPPORT_LINK_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/alloc.h"

#define NEVER  INT64_MAX
#define SECOND INT64_C(1000000000)
#define NOBODY (-1)
#define OCTET  8

/* Forth is from the near end to the far end. */
enum { FORTH, BACK, WAYS };

struct piece {
	uint64_t end; /* of what was carried */
	int64_t arrives;
};

struct way {
	uint64_t rate;	 /* bits a second; 0: without limit */
	int64_t delay;	 /* one way */
	size_t buffer;	 /* octets that may be accepted and not yet carried */
	size_t flight;	 /* octets that may be carried and not yet delivered */
	size_t at_once;	 /* octets of the largest piece */
	uint8_t *octets; /* those between delivered and accepted; octet N is at N % size */
	size_t size;
	uint64_t accepted, carried, arrived, delivered;
	struct piece *pieces; /* carried and not yet arrived, oldest first, from `first` on */
	size_t first, count, capacity;
	int64_t since;	 /* since when there was always something to carry */
	int64_t free_at; /* when the line has sent what is carried */
	bool stuck;	 /* the receiver took less than arrived */
};

struct line {
	struct way ways[WAYS];
	bool half_duplex;
	int64_t turn, quiet, hold; /* hold 0: no limit */
	int owner;
	int64_t ready_at; /* when the owner's first octet may begin */
	uint64_t turns;
};

/* ---- one direction --------------------------------------------------------------------------------------- */

/* Sets up W, whose rate, delay and buffer are set. */
static inline void way_init(struct way *w, size_t at_once, size_t flight)
{
	w->at_once = at_once;
	w->flight = flight;
	w->size = w->buffer + w->flight;
	w->octets = mem_alloc(w->size);
}

static inline void way_release(struct way *w)
{
	free(w->octets);
	free(w->pieces);
	w->octets = NULL;
	w->pieces = NULL;
}

static inline size_t way_waiting(const struct way *w)
{
	return (size_t)(w->accepted - w->carried);
}

/* Octets that the buffer has room for. */
static inline size_t way_room(const struct way *w)
{
	return w->buffer - way_waiting(w);
}

static inline bool way_is_empty(const struct way *w)
{
	return w->accepted == w->delivered;
}

/* COUNT octets were put behind the accepted ones; they had come by the time AT. */
static inline void way_accept(struct way *w, size_t count, int64_t at)
{
	if (way_waiting(w) == 0)
		w->since = at;
	w->accepted += count;
}

/* COUNT of the arrived octets were written; STUCK: more could not be, at the time NOW. */
static inline void way_deliver(struct way *w, size_t count, bool stuck, int64_t now)
{
	w->delivered += count;
	/* What had no room while the receiver took nothing begins now, not when there was no room yet. */
	if (w->stuck && !stuck && w->free_at < now)
		w->free_at = now;
	w->stuck = stuck;
}

static inline size_t way_next_piece(const struct way *w)
{
	size_t room = w->flight - (size_t)(w->carried - w->delivered);
	size_t count = way_waiting(w);

	if (count > room)
		count = room;
	return count < w->at_once ? count : w->at_once;
}

/* When the next piece will have been sent, if it may begin at EARLIEST; NEVER when there is none. */
static inline int64_t way_next_end(const struct way *w, int64_t earliest)
{
	size_t count = way_next_piece(w);
	int64_t start = w->free_at > w->since ? w->free_at : w->since;

	if (count == 0)
		return NEVER;
	if (start < earliest)
		start = earliest;
	return w->rate == 0 ? start : start + (int64_t)((unsigned __int128)count * OCTET * SECOND / w->rate);
}

static inline void way_remember(struct way *w, int64_t arrives)
{
	struct piece *last = w->count == 0 ? NULL : &w->pieces[w->first + w->count - 1];

	if (last != NULL && last->arrives == arrives) {
		last->end = w->carried;
		return;
	}
	if (w->first > w->count && w->first + w->count == w->capacity) {
		memmove(w->pieces, w->pieces + w->first, w->count * sizeof *w->pieces);
		w->first = 0;
	}
	w->pieces = mem_grow(w->pieces, w->first + w->count, &w->capacity, sizeof *w->pieces);
	w->pieces[w->first + w->count++] = (struct piece){.end = w->carried, .arrives = arrives};
}

/* Carries the next piece if that is done by NOW; says whether it was. */
static inline bool way_carry(struct way *w, int64_t earliest, int64_t now)
{
	int64_t end = way_next_end(w, earliest);

	if (end > now)
		return false;
	w->carried += way_next_piece(w);
	w->free_at = end;
	way_remember(w, end + w->delay);
	return true;
}

static inline void way_arrive(struct way *w, int64_t now)
{
	while (w->count > 0 && w->pieces[w->first].arrives <= now) {
		w->arrived = w->pieces[w->first++].end;
		if (--w->count == 0)
			w->first = 0;
	}
}

/* ---- both together --------------------------------------------------------------------------------------- */

/* When the line will be turned round if nothing more is accepted; NEVER when it will not. */
static inline int64_t line_turns_at(const struct line *l)
{
	const struct way *mine = &l->ways[l->owner];
	const struct way *other = &l->ways[BACK - l->owner];
	int64_t heard = (mine->free_at > l->ready_at ? mine->free_at : l->ready_at) + mine->delay;
	int64_t quiet = heard + l->quiet > other->since ? heard + l->quiet : other->since;
	int64_t waited = l->ready_at > other->since ? l->ready_at : other->since;

	if (way_waiting(other) == 0 || other->stuck)
		return NEVER;
	if (way_waiting(mine) == 0 || mine->stuck || mine->since > quiet)
		return quiet;
	if (l->hold > 0 && mine->free_at >= waited + l->hold)
		return heard;
	return NEVER;
}

static inline void line_take(struct line *l, int owner, int64_t ready_at)
{
	l->owner = owner;
	l->ready_at = ready_at;
}

/* Gives a line that nobody has yet to the side that spoke first. */
static inline bool line_is_taken(struct line *l)
{
	const struct way *forth = &l->ways[FORTH];
	const struct way *back = &l->ways[BACK];

	if (l->owner != NOBODY)
		return true;
	if (way_waiting(forth) == 0 && way_waiting(back) == 0)
		return false;
	if (way_waiting(back) == 0 || (way_waiting(forth) > 0 && forth->since <= back->since))
		line_take(l, FORTH, forth->since);
	else
		line_take(l, BACK, back->since);
	return true;
}

static inline void line_carry_in_turns(struct line *l, int64_t now)
{
	bool goes_on = line_is_taken(l);

	while (goes_on) {
		int64_t at = line_turns_at(l);

		goes_on = at <= now;
		if (goes_on) {
			line_take(l, BACK - l->owner, at + l->turn);
			l->turns++;
		} else {
			goes_on = way_carry(&l->ways[l->owner], l->ready_at, now);
		}
	}
}

/* Brings the line to the time NOW. */
static inline void line_advance(struct line *l, int64_t now)
{
	if (l->half_duplex)
		line_carry_in_turns(l, now);
	for (int i = 0; i < WAYS; i++) {
		while (!l->half_duplex && way_carry(&l->ways[i], 0, now))
			continue;
		way_arrive(&l->ways[i], now);
	}
}

/* When something will happen on the line next, if nothing is accepted or delivered. */
static inline int64_t line_next(const struct line *l)
{
	int64_t next = NEVER;

	for (int i = 0; i < WAYS; i++) {
		const struct way *w = &l->ways[i];
		int64_t end = NEVER;

		if (!l->half_duplex || l->owner == i)
			end = way_next_end(w, l->half_duplex ? l->ready_at : 0);
		next = end < next ? end : next;
		if (w->count > 0 && w->pieces[w->first].arrives < next)
			next = w->pieces[w->first].arrives;
	}
	if (l->half_duplex && l->owner != NOBODY && line_turns_at(l) < next)
		next = line_turns_at(l);
	return next;
}

#endif
