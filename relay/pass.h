/*
 * The relay pass: in, route, deliver, pack, hand over, expire, sweep.
 */
#ifndef RELAY_PASS_H
#define RELAY_PASS_H

#include "relay/relay.h"

/* One whole pass. What stays for later is in r->trouble; an error is only what keeps the pass from going on. */
enum outcome pass_run(struct relay *r, struct error *err);
/* By hand: takes in what directory PATH holds for this host, and delivers it. Says on standard error what it found. */
enum outcome pass_import(struct relay *r, const char *path, struct error *err);
/* By hand: packs what waits for NAME and leaves all that is unacknowledged in directory PATH. */
enum outcome pass_export(struct relay *r, const char *name, const char *path, struct error *err);

#endif
