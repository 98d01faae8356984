/*
 * Directories as carriers: a stick, a synced folder, a network file system. What is for host X lies in DIR/X/, as
 * FROM.INCARNATION.SEQUENCE.pb, and FROM.INCARNATION.ack.pb for what carries only acknowledgements. Whoever carries it
 * needs no keys and no knowledge.
 *
 * A file is copied under another name, synced, read back from the medium and compared, and renamed. Ours stay until
 * they are acknowledged; the receiver takes its own away once they are in its queue. A small file "packetboat.id"
 * tells one stick from another, so that a second stick gets everything although the first has it too.
 */
#ifndef RELAY_CARRIER_H
#define RELAY_CARRIER_H

#include "relay/relay.h"

/* The directory of a call address "dir:PATH"; null when it is of another kind. */
const char *carrier_path(const char *address);

/* Takes in what DIR holds for this host. *TAKEN counts the batches. */
enum outcome carrier_fetch(struct relay *r, const char *path, size_t *taken, struct error *err);

enum carrier_zeal {
	CARRIER_DUE,   /* what is not there and is due to be sent (again) */
	CARRIER_FORCE, /* all that is not there: the operator asked */
};
/* Leaves there what is out for N. *SENT counts the batches copied. */
enum outcome carrier_send(
    struct relay *r, struct neighbour *n, const char *path, enum carrier_zeal zeal, size_t *sent, struct error *err);

#endif
