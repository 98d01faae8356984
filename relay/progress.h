/*
 * How a call gets on, shown on standard error when that is a terminal: octets, rate, time left, for the batch under way
 * in each direction.
 */
#ifndef RELAY_PROGRESS_H
#define RELAY_PROGRESS_H

#include "relay/session.h"

struct progress_batch {
	uint64_t sequence; /* 0: none */
	uint64_t done;
	uint64_t size;
};

struct progress {
	bool shown; /* is there anybody to see it? */
	const char *name;
	struct progress_batch sent;
	struct progress_batch received;
	uint64_t next;	 /* when it is shown next */
	uint64_t since;	 /* and when the rate was measured last */
	uint64_t octets; /* of batches, both directions, then */
	uint64_t rate;	 /* octets a second, smoothed */
	size_t width;	 /* of the line that stands there */
};

void progress_begin(struct progress *p, const char *name);
void progress_sent(struct progress *p, uint64_t sequence, uint64_t done, uint64_t size);
void progress_received(struct progress *p, uint64_t sequence, uint64_t done, uint64_t size);
void progress_show(struct progress *p, const struct session *s, uint64_t now);
/* The call is to end before its end: no more is shown but that. */
void progress_leave(struct progress *p);
void progress_end(struct progress *p);

#endif
