/*
 * A call: the two relays of one line (relay/line.h) talk as relay/session.h says. What is out for the neighbour goes there,
 * what it has for us comes here and is taken in and acknowledged within the call, and what is handed in meanwhile is
 * routed, packed and sent too.
 *
 * What has come of a batch lies in spool/in/NAME/INCARNATION.SEQUENCE.part, with the sender's incarnation; it is kept
 * from call to call until the batch is whole.
 */
#ifndef RELAY_CALL_H
#define RELAY_CALL_H

#include "queue/ledger.h"
#include "relay/line.h"
#include "relay/relay.h"

/* How far a call may go, and where what it costs is counted, every minute of it: a host that goes down has counted most. */
struct call_terms {
	struct call_limits limits;
	struct ledger *ledger; /* borrowed; not saved after the last of it is counted */
};

/* What became of it. */
struct call_report {
	char peer[LIMIT_HOST_NAME + 1]; /* who the other end is, as far as it was proved; "" a stranger */
	char reason[300];		/* why it went no further; "": both ends had nothing more to say */
	uint64_t octets;		/* over the line, in both directions */
	uint64_t sent;			/* of these, octets of batches: given out, */
	uint64_t received;		/* and taken */
	uint64_t milliseconds;
	uint64_t rate; /* octets a second that went out, as far as seen; 0: not seen */
};

/* Once in a process that calls or answers: a line that breaks is no signal, and SIGTERM and SIGINT end a call between two
 * chunks. */
void call_prepare(void);
/* Calls N, which is open, over LINE. An error says why it went no further. */
enum outcome call_out(struct relay *r, struct neighbour *n, struct line *l, const struct call_terms *terms,
    struct call_report *report, struct error *err);
/* Answers whoever calls over LINE, if it is a neighbour. */
enum outcome call_in(struct relay *r, struct line *l, struct call_report *report, struct error *err);

#endif
