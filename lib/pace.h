/*
 * Is an answer on its way, or is the peer merely not silent? An octet now and then keeps a connection from its timeout for ever,
 * and what waits behind it is stuck with nobody told.
 *
 *	pace_begin(&p, now)               something is asked for; again whenever an answer is whole
 *	pace_count(&p, octets)            in either direction
 *	if (pace_lags(&p, timeout, now))  this will not end; to be asked now and then
 *
 * Times are steady milliseconds. A zeroed struct measures nothing.
 */
#ifndef LIB_PACE_H
#define LIB_PACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * So many timeouts are given to each answer, whatever comes of it. One that takes longer is measured: in as many timeouts again
 * and again so many octets a second must move. A line of 300 bit/s carries 30, for all sessions together.
 */
#define PACE_TIMEOUTS 10
#define PACE_RATE     2

struct pace {
	uint64_t since; /* of what is measured; 0: nothing is */
	uint64_t octets;
};

void pace_begin(struct pace *p, uint64_t now);
void pace_count(struct pace *p, uint64_t octets);
/* TIMEOUT: seconds of silence that are borne. What has kept its pace is measured anew: a burst excuses no drip behind it. */
bool pace_lags(struct pace *p, unsigned timeout, uint64_t now);

#endif
