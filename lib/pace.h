/*
 * Is an answer on its way, or is the peer merely not silent? An octet now and then keeps a connection from its timeout for ever,
 * and what waits behind it is stuck with nobody told.
 *
 *	pace_begin(&p, now)               something is asked for; again whenever an answer is whole
 *	pace_count(&p, octets)            in either direction
 *	if (pace_lags(&p, timeout, now))  this will not end
 *
 * Times are steady milliseconds. A zeroed struct measures nothing.
 */
#ifndef LIB_PACE_H
#define LIB_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* So many timeouts are given to each answer, whatever comes of it; after them, so many octets a second must have moved. */
#define PACE_TIMEOUTS 10
#define PACE_RATE     20

struct pace {
	uint64_t since; /* 0: not measured */
	uint64_t octets;
};

void pace_begin(struct pace *p, uint64_t now);
/* Nobody is waited for at the moment: what is measured begins anew. */
void pace_rest(struct pace *p, uint64_t now);
void pace_count(struct pace *p, uint64_t octets);
/* TIMEOUT: seconds of silence that are borne. */
bool pace_lags(const struct pace *p, unsigned timeout, uint64_t now);

#endif
