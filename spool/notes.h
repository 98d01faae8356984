/*
 * Event notes for neighbours, gathered in memory until the next flush: one wait for the disk for each neighbour, however
 * many of its messages have ended. For the hooks of whoever settles (queue/settle.h): `ended` adds, `flush` flushes.
 */
#ifndef SPOOL_NOTES_H
#define SPOOL_NOTES_H

#include "spool/peer.h"

struct notes {
	struct note {
		char neighbour[LIMIT_HOST_NAME + 1];
		struct event_note event;
	} * items;
	size_t count;
	size_t capacity;
};

/* Notes what became of a recipient of a batch of NEIGHBOUR; durable after notes_flush. Null: nobody is to hear of it. */
void notes_add(struct notes *n, const char *neighbour, const struct event_note *event);
/* Appends what was noted to the neighbours' files (events_note). N is empty afterwards, also on failure. */
enum outcome notes_flush(struct notes *n, const struct dir *state, const struct dir *lock, struct error *err);
void notes_release(struct notes *n);

#endif
