/*
 * Calling a neighbour by the addresses of its section, in their order, until one works; and answering.
 */
#ifndef RELAY_CALLS_H
#define RELAY_CALLS_H

#include "relay/call.h"

/* Has N an address that a call can be made to? */
bool calls_possible(const struct config_neighbour *n);
/* By hand or for a pass: exchanges with NAME over the first address that works, directories included. */
enum outcome calls_make(struct relay *r, const char *name, struct error *err);
/* Answers who is at the other end of IN and OUT, which may be the same and are taken over; NAME: for the log. */
enum outcome calls_answer(struct relay *r, int in, int out, const char *name, struct error *err);

/* Is N, which is open, to be called of itself now? */
bool calls_due(struct relay *r, const struct neighbour *n);
/* Calls those of NAMES, each in a process of its own, and waits for all: the caller must hold no lock. What becomes of each call is
 * in the log and the neighbour's state; what is news to the operator is said on standard error, and its exit code returned. */
int calls_run(const char *config_path, bool verbose, const struct strings *names);

#endif
