/*
 * Calling a neighbour by the addresses of its section, in their order, until one works; and answering.
 */
#ifndef RELAY_CALLS_H
#define RELAY_CALLS_H

#include "relay/call.h"

enum call_licence {
	CALL_DUE,	/* by itself: ends when its window closes, or a cap is reached */
	CALL_BY_HAND,	/* whatever the windows are */
	CALL_OVER_CAPS, /* and the caps; what it costs is counted all the same */
};
/* Exchanges with NAME over the first address that works, directories included. */
enum outcome calls_make(struct relay *r, const char *name, enum call_licence licence, struct error *err);
/* Answers who is at the other end of IN and OUT, which may be the same and are taken over; NAME: for the log. */
enum outcome calls_answer(struct relay *r, int in, int out, const char *name, struct error *err);

/* Is N, which is open, to be called of itself now? */
bool calls_due(struct relay *r, const struct neighbour *n);
/* Calls those of NAMES, each in a process of its own, and waits for all: the caller must hold no lock. What becomes of each call is
 * in the log and the neighbour's state; what is news to the operator is said on standard error, and its exit code returned. */
int calls_run(const char *config_path, bool verbose, const struct strings *names);

#endif
