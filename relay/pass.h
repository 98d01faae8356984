/*
 * The relay pass: in, route, deliver, pack, hand over, expire, sweep.
 */
#ifndef RELAY_PASS_H
#define RELAY_PASS_H

#include "relay/relay.h"

/* One whole pass. DUE gets the names of the neighbours that are to be called then. What stays for later is in r->trouble; an error is only what keeps the pass from going on. */
enum outcome pass_run(struct relay *r, struct strings *due, struct error *err);
/* Within a call with N: routes and delivers what is new, and packs what there is for N. */
enum outcome pass_feed(struct relay *r, struct neighbour *n, struct error *err);
/* Before one: the same, once what a crash left is put right. */
enum outcome pass_prepare(struct relay *r, struct neighbour *n, struct error *err);
/* What an attempt to reach a neighbour came to: kept in its state. News is told; the same again is not. */
void pass_note_attempt(struct relay *r, struct neighbour *n, enum outcome outcome, const struct error *err);
/* By hand: takes in what directory PATH holds for this host, and delivers it. Says on standard error what it found. */
enum outcome pass_import(struct relay *r, const char *path, struct error *err);
/* By hand: packs what waits for NAME and leaves all that is unacknowledged in directory PATH. */
enum outcome pass_export(struct relay *r, const char *name, const char *path, struct error *err);

#endif
